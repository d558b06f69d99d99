"""NAME.md beside an exported model: what it reads or makes, of whom it learnt, its figures and its
limits.

export_onnx.py writes a first card, which knows what the model's metadata and its checkpoint say.
Once there are reports, and for the facts that no file has, write it again:

    python -m lib.model_card classifier.onnx \\
        --reports report.json report_natural.json --licence "rendered faces, CC0"

The models of people ('DIR/{subject}.onnx', as evaluate.py reads them) have a card each in one call,
with the reports in whose tests their person is; those figures are of all people's models together.

What it learnt from stands in its checkpoint: the one beside it (classifier.pt), or --checkpoint, or
--train names the manifests. Each figure says whether its data are held out: people of the training
manifests are looked for in the test manifest that the report names. What is not known is said to be
unknown. A report on another model, or on an earlier export, is refused. (After Mitchell et al.
2019.)
"""
import functools
import json
from dataclasses import dataclass
from pathlib import Path

from lib import manifest
from lib.choices import SUBJECT
from lib.cli import BadInput, arg, parse, run
from lib.evaluation.sections import value_at
from lib.files import digest, write_text

UNKNOWN = "unknown"
KINDS = {"intensity": "intensities, 0 to 1", "occurrence": "occurrences, 0 or 1"}
FIGURES = {"F1 of AUs": ("au", "mean", "f1"),
           "false discovery rate of AUs": ("au", "pooled", "fdr"),
           "ICC(3,1) of AUs": ("au", "mean", "icc"),
           "F1 of AUs by `au_present`": ("au_present", "mean", "f1"),
           "false discovery rate of AUs by `au_present`": ("au_present", "pooled", "fdr"),
           "CCC of valence": ("va", "valence", "ccc"),
           "CCC of arousal": ("va", "arousal", "ccc"),
           "accuracy of expressions": ("expression", "accuracy"),
           "macro F1 of expressions": ("expression", "macro_f1"),
           "median fulfilment of edits": ("edits", "summary", "fulfilment_median")}
LIMITS = """\
- It reads faces as its training images show them: of that size, crop, light and kind of camera.
- It says what a face shows, not what a person feels. Do not decide about people by it.
- People, ages, skins and poses that the training images lack are read worse; \
measure on your own before use."""


@dataclass
class Options:
    model: str = arg(args=["model"], metavar="FILE.onnx",
                     help="exported model, with its NAME.json, or 'DIR/{subject}.onnx': one for "
                     "each person of the reports' tests")
    reports: list[str] = arg([], nargs="+", metavar="REPORT.json",
                             help="reports of evaluate.py on this model")
    train: list[str] = arg([], nargs="+", metavar="FILE.csv",
                           help="manifests that it was trained on [as its checkpoint says]")
    checkpoint: str = arg("", help="the checkpoint it was made from [NAME.pt]", metavar="FILE.pt")
    licence: str = arg("", help="licence of the training data, in words")

    def __post_init__(self):
        if SUBJECT in self.model and (not self.reports or self.checkpoint):
            raise ValueError(f"{self.model}: models of people need --reports, whose tests name the "
                             "people, and have no --checkpoint but those beside them")


def facts(part):
    """What a card says of a training Manifest, as a checkpoint keeps it: a dict."""
    return {"file": part.name, "images": len(part), "people": len(set(part.text("subject")) - {""}),
            "sources": sorted(set(part.text("source")) - {""})}


def write(model, meta, sets=(), reports=(), licence="", together=""):
    """Write NAME.md beside a model. meta: its metadata; sets: `facts` of what it learnt from;
    reports: (report, status of its people) pairs; together: the 'DIR/{subject}.onnx' that the
    reports are on, where they are on the models of all people."""
    lines = [f"# {Path(model).stem}", "", *about(meta), "", "## Data", "",
             *about_data(meta, sets, licence), "", "## Figures", "",
             *([f"The figures are of all people's models together ({together}): each person is "
                "read by that person's own.", ""] if together else []),
             *figures(reports), "", "## Limits", "", LIMITS, ""]
    write_text(Path(model).with_suffix(".md"), "\n".join(lines))


def about(meta):
    """What the model is."""
    labels = meta.get("conditions")
    if not labels:
        feelings = ["valence", "arousal"] if meta.get("valence_arousal") else []
        labels = [*(meta.get("aus") or []), *feelings, *meta.get("expressions", [])]
    return [f"- kind: {meta.get('kind', UNKNOWN)} ({meta.get('architecture') or UNKNOWN})",
            f"- labels: {', '.join(labels) or 'none'}",
            f"- AUs are: {KINDS[meta.get('au_kind', 'intensity')]}" if meta.get("aus")
            else "- AUs: none",
            f"- images: {meta.get('image_size', UNKNOWN)} pixels square, "
            f"{meta.get('color_order', 'RGB')}",
            f"- registration expected: {meta.get('registration') or 'none'}"]


def about_data(meta, sets, licence):
    """Of what and of whom it learnt."""
    lines = [f"- trained on (hash): {meta.get('trained_on') or UNKNOWN}"]
    for each in sets:
        sources = each["sources"]
        lines.append(f"- {each['file']}: {each['images']} images, "
                     f"{each['people'] or 'unnamed'} people"
                     + (f", column source: {' and '.join(sources)}" if sources else ""))
    if not sets:
        lines.append(f"- images and people: {UNKNOWN}; name the manifests with --train")
    return [*lines, f"- licence of the data: {licence or UNKNOWN}"]


def figures(reports):
    """A row a figure of each report, with its interval and whether its people are held out."""
    if not reports:
        return ["Not measured yet. Measure with evaluate.py, then run python -m "
                "lib.model_card with --reports."]
    lines = []
    for report, held in reports:
        data = report["data"]["path"].replace("|", "\\|")  # a bar would end its cell
        for name, where in FIGURES.items():
            value, bounds = value_at(report, where), value_at(report.get("intervals"), where)
            if value is not None:
                lines.append(f"| {name} | {value:.3f} | "
                             + (f"{bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else "–")
                             + f" | {data} | {report['n']} | "
                               f"{report['subjects'] or 'unnamed'} | {held} |")
    if not lines:  # no AU was read well enough, say
        return ["The reports hold none of the figures that stand here."]
    return ["| figure | value | 95 % interval | data | images | people | status |",
            "|---|---|---|---|---|---|---|", *lines]


def status(learnt):
    """Whether people of a test are among those of the training: 'held out', 'train' and how many,
    or 'unknown'. learnt: {person of the test: the people from whom the model that reads this
    person learnt}.

    A person "" has no name, and no people are unknown ones: nothing is held out beside them."""
    shared = sum(person in people for person, people in learnt.items() if person)
    unnamed = "" in learnt or any("" in people or not people for people in learnt.values())
    if not shared:
        return UNKNOWN if unnamed or not learnt else "held out"
    named = len(learnt.keys() - {""})
    return f"train: {'at least ' if unnamed else ''}{shared} of {named} people"


read = functools.cache(manifest.read)  # many models learn from one manifest


def people_of(report):
    """The people of a report's test, "" among them where images have none; nobody where its
    manifest is missing."""
    path = Path(report["data"]["path"])
    return frozenset(read(path).text("subject")) if path.is_file() else frozenset()


def learnt_from(model, options):
    """`facts` of what a model learnt from, and its people; nobody where a manifest is missing."""
    parts = [read(path) for path in options.train]
    sets = [facts(part) for part in parts] or sets_of(model, options.checkpoint)
    if not parts and all(Path(each["file"]).is_file() for each in sets):
        parts = [read(each["file"]) for each in sets]
    return sets, frozenset(name for part in parts for name in part.text("subject"))


def sets_of(model, checkpoint=""):
    """`facts` of what a model learnt from, as its checkpoint says: the one named, else the one
    beside it. [] where that does not say, or none is beside it."""
    from lib import checkpoints

    path = Path(checkpoint or Path(model).with_suffix(".pt"))
    there = checkpoint or path.is_file()
    return checkpoints.load(path).get("training_sets", []) if there else []


def read_json(path, remedy):
    """A JSON object from a file; BadInput names the remedy."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; {remedy}") from None
    except ValueError:
        raise BadInput(f"{path}: not JSON; {remedy}") from None
    return found


def metadata(model):
    """The NAME.json beside a model."""
    return read_json(Path(model).with_suffix(".json"),
                     "export the model again with export_onnx.py")


def read_report(path):
    """A report of evaluate.py."""
    report = read_json(path, "write it with evaluate.py")
    if not isinstance(report, dict) or not {"data", "n"} <= set(report):
        raise BadInput(f"{path}: not a report of evaluate.py; write it with evaluate.py")
    return report


def check_model(model, path, report):
    """BadInput where a report, read from path, says that it is on other bytes than this model's.
    Nothing is said where it does not tell, or is on several models together."""
    of = report.get("model", {})
    if "digest" in of and "models" not in of and Path(model).is_file() \
            and of["digest"] != digest(Path(model)):
        raise BadInput(f"{path}: is not on this {model}, but on {of.get('path', 'another model')} "
                       f"({of['digest']}); measure again with evaluate.py")


def models_of(pattern, path, report):
    """{person of a report's test: the model of this person}. A link is the model that it names."""
    people = people_of(report) - {""}
    if not people:
        raise BadInput(f"{path}: its test {report['data']['path']} is missing or names nobody, so "
                       "it is not known whose models it is on; measure again with evaluate.py")
    places = {person: Path(pattern.replace(SUBJECT, person)) for person in people}
    return {person: place.resolve() if place.is_symlink() else place
            for person, place in places.items()}


def cards_of_people(options, reports):
    """A card for each model of 'DIR/{subject}.onnx' that the reports are on."""
    tests = [models_of(options.model, path, report)
             for path, report in zip(options.reports, reports, strict=True)]
    models = sorted({model for test in tests for model in test.values()})
    meta = {model: metadata(model) for model in models}
    learnt = {model: learnt_from(model, options) for model in models}
    held = [status({person: learnt[model][1] for person, model in test.items()}) for test in tests]
    for model in models:
        measured = [(report, of_all) for report, of_all, test
                    in zip(reports, held, tests, strict=True) if model in test.values()]
        write(model, meta[model], learnt[model][0], measured, options.licence, options.model)


def main(argv=None):
    options = parse(Options, __doc__, argv)
    read.cache_clear()
    reports = [read_report(path) for path in options.reports]
    if SUBJECT in options.model:
        cards_of_people(options, reports)
        return
    for path, report in zip(options.reports, reports, strict=True):
        check_model(options.model, path, report)
    meta, (sets, people) = metadata(options.model), learnt_from(options.model, options)
    measured = [(report, status(dict.fromkeys(people_of(report), people))) for report in reports]
    write(options.model, meta, sets, measured, options.licence)


if __name__ == "__main__":
    run(main)
