"""NAME.md beside an exported model: what it reads or makes, of whom it learnt, its figures and its
limits.

export_onnx.py writes a first card, which knows what the model's metadata and its checkpoint say.
Once there are reports, and for the facts that no file has, write it again:

    python -m lib.model_card classifier.onnx \\
        --reports report.json report_natural.json --licence "rendered faces, CC0"

What it learnt from stands in its checkpoint: the one beside it (classifier.pt), or --checkpoint, or
--train names the manifests. Each figure says whether its data are held out: people of the training
manifests are looked for in the test manifest that the report names. What is not known is said to be
unknown. (After Mitchell et al. 2019.)
"""
import json
from dataclasses import dataclass
from pathlib import Path

from lib import manifest
from lib.cli import BadInput, arg, parse, run
from lib.evaluation.sections import value_at
from lib.files import write_text

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
    model: str = arg(args=["model"], help="exported model, with its NAME.json", metavar="FILE.onnx")
    reports: list[str] = arg([], nargs="+", metavar="REPORT.json",
                             help="reports of evaluate.py on this model")
    train: list[str] = arg([], nargs="+", metavar="FILE.csv",
                           help="manifests that it was trained on [as its checkpoint says]")
    checkpoint: str = arg("", help="the checkpoint it was made from [NAME.pt]", metavar="FILE.pt")
    licence: str = arg("", help="licence of the training data, in words")


def facts(part):
    """What a card says of a training Manifest, as a checkpoint keeps it: a dict."""
    return {"file": part.name, "images": len(part), "people": len(set(part.text("subject")) - {""}),
            "sources": sorted(set(part.text("source")) - {""})}


def write(model, meta, sets=(), train=(), reports=(), licence=""):
    """Write NAME.md beside a model. meta: its metadata; sets: `facts` of what it learnt from;
    train: the Manifests of them that there are; reports: (path, report) pairs."""
    lines = [f"# {Path(model).stem}", "", *about(meta), "", "## Data", "",
             *about_data(meta, sets, licence), "", "## Figures", "", *figures(train, reports), "",
             "## Limits", "", LIMITS, ""]
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


def figures(train, reports):
    """A row a figure of each report, with its interval and whether its people are held out."""
    if not reports:
        return ["Not measured yet. Measure with evaluate.py, then run python -m "
                "lib.model_card with --reports."]
    lines = []
    for _, report in reports:
        held = status(train, report)
        for name, where in FIGURES.items():
            value, bounds = value_at(report, where), value_at(report.get("intervals"), where)
            if value is not None:
                lines.append(f"| {name} | {value:.3f} | "
                             + (f"{bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else "–")
                             + f" | {report['data']['path']} | {report['n']} | "
                               f"{report['subjects'] or 'unnamed'} | {held} |")
    if not lines:  # no AU was read well enough, say
        return ["The reports hold none of the figures that stand here."]
    return ["| figure | value | 95 % interval | data | images | people | status |",
            "|---|---|---|---|---|---|---|", *lines]


def status(train, report):
    """Whether people of the test are among those of the training: 'held out', 'train' and how
    many, or 'unknown'. Images without a subject may be of anybody: nothing is held out beside
    them."""
    path = Path(report["data"]["path"])
    if not train or not path.is_file():
        return UNKNOWN
    test = set(manifest.read(path).text("subject"))
    known = {name for part in train for name in part.text("subject")}
    unnamed = "" in test | known
    shared = len((test & known) - {""})
    if not shared:
        return UNKNOWN if unnamed else "held out"
    return f"train: {'at least ' if unnamed else ''}{shared} of {len(test - {''})} people"


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


def main(argv=None):
    options = parse(Options, __doc__, argv)
    meta = read_json(Path(options.model).with_suffix(".json"),
                     "export the model again with export_onnx.py")
    reports = [(path, read_json(path, "write it with evaluate.py")) for path in options.reports]
    for path, report in reports:
        if not isinstance(report, dict) or not {"data", "n"} <= set(report):
            raise BadInput(f"{path}: not a report of evaluate.py; write it with evaluate.py")
    train = [manifest.read(path) for path in options.train]
    sets = [facts(part) for part in train] or sets_of(options.model, options.checkpoint)
    if not train and all(Path(each["file"]).is_file() for each in sets):
        train = [manifest.read(each["file"]) for each in sets]
    write(options.model, meta, sets, train, reports, options.licence)


if __name__ == "__main__":
    run(main)
