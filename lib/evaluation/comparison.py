"""Tables of conditions over seeds, for `evaluate.py --compare`, with published figures beside
ours.

A report's place says what it is: …/<preset>/<set>/<condition>/seed<k>/report.json (or
report_natural.json, the test set whose AUs occur together). Output is Markdown; numbers are
percentages, correlations (ICC, CCC) are not; mean ± standard deviation over seeds (divided by n -
1). What papers print is in published.csv.
"""
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.cli import BadInput, note
from lib.evaluation import confusion_tables, pose_tables, published, sample_tables
from lib.evaluation.sections import value_at

THESIS = "thesis"  # the work of published.csv whose figures stand beside the conditions
# the simplest baselines: in a table without generated images the others are compared with them
PLAIN = ("supervised", "upsampled", "pseudo")
# without generated images
BASELINES = ("supervised", "upsampled", "upsampled-longer", "printed", "upsampled-printed",
             "balanced-real", "pseudo", "pseudo-hard", "pseudo-balanced", "pseudo-masked",
             "pseudo-upsampled", "pseudo-first", "pseudo-5x", "pseudo-round2", "mean-teacher",
             "reweighted")
CEILINGS = ("truth",)              # taught with labels that nobody has
ORDER_OF_PRESETS = {"smoke": 0, "quick": 1, "long": 2, "paper": 3}
NUMBERS = {  # heading: where it is in a report
    "F1": ("au", "mean", "f1"), "FDR": ("au", "pooled", "fdr"), "FDR pair": ("au", "pair", "fdr"),
    "F1 at 0.5": ("au_fixed", "mean", "f1"), "FDR at 0.5": ("au_fixed", "pooled", "fdr"),
    "FDR pair at 0.5": ("au_fixed", "pair", "fdr"), "partner rate": ("au", "pair", "partner_rate"),
    "ICC": ("au", "mean", "icc"),
    **{f"{heading} {name}": ("va", name, key) for name in ("valence", "arousal")
       for heading, key in (("CCC", "ccc"), ("PCC", "pcc"), ("MSE", "mse"),
                            ("same sign", "sign_agreement"))},
    "accuracy": ("expression", "accuracy"), "macro F1": ("expression", "macro_f1"),
    "real as real": ("real_as_real",),  # of a discriminator
}
# correlations and squared errors, which are printed as they are
NOT_IN_PER_CENT = ("ICC", *(f"{heading} {name}" for heading in ("CCC", "PCC", "MSE")
                            for name in ("valence", "arousal")))
SECTIONS = ("au", "va", "expression", "edits", "samples")  # a report has at least one of them
# numbers that have an interval beside them, where all reports have it
INTERVALS = {heading: ("intervals", *NUMBERS[heading])
             for heading in ("F1", "FDR", "F1 at 0.5", "ICC", "CCC valence", "CCC arousal",
                             "accuracy", "macro F1")}
EDIT_NUMBERS = {"fulfilled ≥ 1/2, % of {}": ("share_half_fulfilled", 100),
                "≥ 1/3": ("share_third_fulfilled", 100),
                "median fulfilment": ("fulfilment_median", 1),
                "leakage / rise": ("leakage_ratio", 1), "L1 / unedited's": ("l1_ratio", 1),
                "change outside, /255": ("outside_change", 1)}


@dataclass
class Run:
    """One report and its place."""
    preset: str
    set: str
    condition: str
    seed: str
    test: str      # 'test', or what follows report_ in the file's name
    report: dict

    @property
    def name(self):
        """Its condition and, where there is one, its seed: 'em seed 1'."""
        return " ".join(filter(None, [self.condition, self.seed and f"seed {self.seed}"]))


def place(path):
    """(preset, set, condition, seed, test) from
    …/<preset>/<set>/<condition>/seed<k>/report[_test].json.

    Generators stand in …/<set>/generators/<architecture>/seed<k>/: the architecture is the
    condition. Any other folder between set and condition (`affect`, `sources`) is part of the
    set's name: 'faces affect'; so is `personal` (and `personal-across`),
    …/<set>/personal/seed<k>/<condition>/. A path of
    another shape is its own condition."""
    parts = Path(path).absolute().parts
    if parts[-4:-3] == ("generators",):
        parts = parts[:-4] + parts[-3:]
    if len(parts) > 4 and re.match(r"personal\b", parts[-4]):
        parts = (*parts[:-3], parts[-2], parts[-3], parts[-1])
    test = re.sub(r"^report_?", "", Path(path).stem) or "test"
    if len(parts) > 5 and re.fullmatch(r"seed\w+", parts[-2]):
        preset, set_name = parts[-5:-3]
        if preset not in ORDER_OF_PRESETS and parts[-6] in ORDER_OF_PRESETS:
            preset, set_name = parts[-6], f"{preset} {set_name}"
        return preset, set_name, parts[-3], parts[-2].removeprefix("seed"), test
    return "", "", str(path), "", "test"


def read(path):
    """A Run from a report's file."""
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such report; make it with evaluate.py") from None
    except ValueError:
        raise BadInput(f"{path}: not JSON; make the report again with evaluate.py") from None
    if not isinstance(report, dict) or not {*SECTIONS} & set(report):
        raise BadInput(f"{path}: not a report of evaluate.py (it has none of "
                       f"{', '.join(SECTIONS)})")
    return Run(*place(path), report)


def tables(paths):
    """All tables as Markdown text."""
    runs = [read(path) for path in paths]
    groups = {}
    for run in runs:
        # generators of all presets stand in one table
        edits = "edits" in run.report or "samples" in run.report
        groups.setdefault(("" if edits else run.preset, run.set, run.test, edits), []).append(run)
    texts = []
    for key in sorted(groups, key=lambda key: (key[0], in_order(key[1]), key[3], key[2] != "test",
                                               key[2])):
        for protocol in split_by_protocol(groups[key]):
            texts.append(table(protocol))
    return "\n\n".join(texts)


def table(runs):
    """The tables that runs of one set, test and protocol ask for."""
    if "edits" in runs[0].report:
        return "\n\n".join(filter(None, [edit_table(runs), quality_table(runs),
                                        idiosyncratic(runs, ("ssim", "fid"))]))
    if "samples" in runs[0].report:
        return sample_tables.table(in_order_of_presets(runs), markdown)
    if all(pose_tables.is_by_pose(run.report) for run in runs):
        conditions = {name: [run.report for run in members]
                      for name, members in by_condition(runs).items()}
        return pose_tables.tables(conditions, title_of(runs), markdown, spread)
    return "\n\n".join(filter(None, [classifier_table(runs), idiosyncratic(runs, ("icc",)),
                                    confusions(runs)]))


def confusions(runs):
    """Of every condition that reads expressions: which is read as which."""
    conditions = {name: [run.report for run in members]
                  for name, members in by_condition(runs).items()}
    return confusion_tables.tables(conditions, title(runs, "which expression is read as which,"),
                                   markdown)


def idiosyncratic(runs, metrics):
    """What Niinuma et al. 2022 print of GANimation with and without the idiosyncratic loss, where a
    table has both (`make idiosyncratic`), else ''."""
    generators = {re.sub(r"-g\d+$", "", run.condition) for run in runs}
    return published.sentence("idiosyncratic", "fera17", generators, metrics)


def in_order(name):
    """A sorting key that reads numbers as numbers: mnist-hard-300, mnist-hard-3000,
    mnist-hard-30000."""
    return [(part.isdigit(), int(part) if part.isdigit() else part)
            for part in re.split(r"(\d+)", name)]


def split_by_protocol(runs):
    """Lists of runs that were measured alike: same data, AUs, pair, rule for a present truth,
    and stride."""
    alike = {}
    for run in runs:
        protocol = run.report.get("protocol", {})
        # registered in two ways, it is one set; each sampler's samples are compared with the same
        # real faces
        whole = (run.report.get("by", {}).get("of")
                 or run.report.get("real") or run.report.get("data", {}))
        key = json.dumps([whole.get("digest"), protocol.get("aus"), protocol.get("pair"),
                          protocol.get("truth_present_from"), protocol.get("aus_in_summary"),
                          protocol.get("stride", 1)])
        alike.setdefault(key, []).append(run)
    if len(alike) > 1:
        note(f"{runs[0].set or runs[0].condition}: reports of {len(alike)} different protocols or "
             "data; one table each")
    return list(alike.values())


def title(runs, what):
    """A table's headline and what was measured on."""
    return f"{title_of(runs)}, {runs[0].test.replace('_', ' ')}: {what}"


def title_of(runs):
    """What a headline begins with: '### faces (quick)'."""
    first = runs[0]
    preset = f"({first.preset})" if first.preset else ""
    return "### " + (" ".join(filter(None, [first.set, preset])) or "reports")


def classifier_table(runs):
    """Conditions by row: F1 and FDR at chosen thresholds and at 0.5, ICC, CCC, accuracy; the
    thesis's beside them."""
    conditions = by_condition(runs)
    numbers = {heading: where for heading, where in NUMBERS.items()
               if any(value_at(run.report, where) is not None for run in runs)}
    intervals = {heading: where for heading, where in INTERVALS.items()
                 if all(value_at(run.report, where) for run in runs)}
    printed = published.about(runs[0].set, runs[0].test, THESIS)
    section, name_of_table = published.sections(printed), printed[0]["table"] if printed else ""
    rows = []
    for name, members in conditions.items():
        row = [name, *([section.get(name, "–")] if printed else []), str(len(members))]
        for heading, where in numbers.items():
            row.append(spread([value_at(run.report, where) for run in members], scale_of(heading)))
            if heading in intervals:
                row.append(interval([value_at(run.report, intervals[heading]) for run in members],
                                    scale_of(heading)))
        if printed:
            row += [" / ".join(published.values(printed, name, metric)) or "–"
                    for metric in ("f1", "fdr")]
        rows.append(row)
    headings = [text for heading in numbers
                for text in ([heading, "95 % interval"] if heading in intervals else [heading])]
    head = ["condition", *(["thesis section"] if printed else []), "seeds", *headings,
            *([f"thesis F1 ({name_of_table})", "thesis FDR"] if printed else [])]
    heading = title(runs, "F1 and false discovery rate" if "F1" in numbers else "readings")
    return "\n".join([heading, "", *markdown(head, rows), "",
                      reading(runs[0], numbers, intervals, printed),
                      *left_out_notes(conditions), *difference_notes(conditions)])


def reading(run, numbers, intervals, printed):
    """The sentences below a table: what was measured, on what, and in which unit."""
    report = run.report
    protocol = report.get("protocol", {})
    pair, aus = protocol.get("pair"), protocol.get("aus", [])
    said = [f"{report['n']} images, {people(report)}"
            + (f", {len(aus)} AUs." if aus else "."), "Per cent, mean ± sd over seeds."]
    if "F1" in numbers:
        said += ["F1 is the mean over AUs; FDR is pooled over all AUs"
                 + (f", and over {' and '.join(pair)}." if pair else "."),
                 "Thresholds chosen on validation data, then the fixed 0.5."]
    if "partner rate" in numbers:
        said.append("Partner rate: an absent AU of the pair is predicted where only "
                    "its partner is present.")
    if set(NOT_IN_PER_CENT) & set(numbers):
        said.append("ICC(3,1) and CCC are correlations, not per cent.")
    if any(heading.startswith("MSE") for heading in numbers):
        said.append("MSE is a squared error, not per cent.")
    if "real as real" in numbers:
        said.append("Real as real: the share of real images that the discriminator takes for real.")
    if intervals:
        drawn = report["intervals"].get("unit", "subject")
        said.append(f"Intervals: bootstrap over {drawn}s, the mean of the seeds' bounds.")
    if printed:
        said.append("The thesis's FDR is that of its correlated pair. It leaves parts of its "
                    "protocol unpublished: its figures are no one-to-one yardstick.")
    if printed and run.set in published.AS_HARD:
        said.append(f"The noise was chosen so that `supervised` is as good as the thesis's on "
                    f"{printed[0]['set']}.")
    return " ".join(said)


def scale_of(heading):
    """100 for shares, which are printed in per cent, 1 for correlations and squared errors."""
    return 1 if heading in NOT_IN_PER_CENT else 100


def edit_table(runs):
    """Generators by row: what the judge and the true images say of their edits."""
    called = CALLED[kind_of_edits(runs[0])]
    rows, reads = [], [run.report["edits"].get("expression", {}).get("mean") for run in runs]
    judges = {run.report.get("judge", {}).get("digest") for run in runs} - {None}
    if len(judges) > 1:
        note(f"{title_of_edits(runs).removeprefix('### ')}: {len(judges)} different judges read "
             "the edits of one table; what they read is compared with caution")
    for run in in_order_of_presets(runs):
        summary = run.report["edits"]["summary"]
        cells = [None if summary.get(key) is None else summary[key] * scale
                 for key, scale in EDIT_NUMBERS.values()]
        if any(reads):
            read = run.report["edits"].get("expression", {}).get("mean") or {}
            cells += [None if read.get(name) is None else read[name] * 100
                      for name in ("edited", "true")]
        rows.append([run.preset or "–", run.name, str(summary["aus"]),
                     *("undefined" if cell is None else f"{cell:.{2 if cell < 10 else 0}f}"
                       for cell in cells)])
    headings = ["preset", "generator", f"{called} read well",
                *(name.format(called) for name in EDIT_NUMBERS),
                *(["read as asked, %", "true images"] if any(reads) else [])]
    return "\n".join([f"{title_of_edits(runs)} against true images", "", *markdown(headings, rows),
                      "", f"{runs[0].report['n']} pairs, {people(runs[0].report)}."])


def kind_of_edits(run):
    """What a report's edits were asked for: au (also reports from before the others), expression
    or va."""
    return run.report.get("protocol", {}).get("kind", "au")


CALLED = {"au": "AUs", "expression": "expressions", "va": "dimensions"}


def title_of_edits(runs):
    """What the headlines of both tables of edits begin with: '### faces: edits of AUs', and the
    reports' file where it is not report.json: a generator may have several, of other models."""
    file = "" if runs[0].test == "test" else f" (report_{runs[0].test}.json)"
    return f"### {runs[0].set or 'reports'}: edits of {CALLED[kind_of_edits(runs[0])]}{file}"


QUALITY_NUMBERS = {  # heading: place in a report's summary
    "PCC with the value asked": ("asked", "edited", "pcc"), "true images": ("asked", "true", "pcc"),
    "MAE": ("asked", "edited", "mae"), "MAE of true images": ("asked", "true", "mae"),
    "PSNR inside, dB": ("quality", "psnr_inside", "edited"),
    "PSNR inside, unedited": ("quality", "psnr_inside", "unedited"),
    "PSNR outside, dB": ("quality", "psnr_outside", "edited"),
    "PSNR outside, unedited": ("quality", "psnr_outside", "unedited"),
    "SSIM inside": ("quality", "ssim_inside", "edited"),
    "SSIM inside, unedited": ("quality", "ssim_inside", "unedited"),
    "SSIM outside": ("quality", "ssim_outside", "edited"),
    "SSIM outside, unedited": ("quality", "ssim_outside", "unedited"),
    "change, /255": ("change", "asked"),
    "change where nothing is asked": ("change", "nothing_asked"),
    "same person": ("person", "edited"), "true image": ("person", "true"),
    "another person": ("person", "other")}


def in_order_of_presets(runs):
    """Small presets first, then by condition and seed."""
    return sorted(runs, key=lambda run: (ORDER_OF_PRESETS.get(run.preset, 9), run.condition,
                                         run.seed))


def people(report):
    """How many subjects a report's images show, in words."""
    return f"{report['subjects']} subjects" if report["subjects"] else "subjects not named"


def quality_table(runs):
    """Generators by row: the value asked, image quality, change and the person; '' where no report
    has them."""
    runs = [run for run in in_order_of_presets(runs) if "quality" in run.report["edits"]["summary"]]
    if not runs:
        return ""
    rows = [[run.preset or "–", run.name,
             *(quality_cell(run.report["edits"]["summary"], place)
               for place in QUALITY_NUMBERS.values())] for run in runs]
    return "\n".join([f"{title_of_edits(runs)}: value asked, image quality, change, person", "",
                      *markdown(["preset", "generator", *QUALITY_NUMBERS], rows), "",
                      quality_reading(runs, rows)])


def quality_cell(summary, place):
    """A number of a report's summary as text. A report that lacks it was made without it; one that
    has null could not say."""
    *above, last = place
    section = value_at(summary, above) or {}
    if last not in section:
        return "not measured"
    value = section[last]
    return "undefined" if value is None else f"{value:.1f}" if value > 2 else f"{value:.2f}"


def quality_reading(runs, rows):
    """The sentences below the table of quality."""
    said = ["Inside and outside: where true image and input differ, and elsewhere. Change: mean "
            "difference of edit and input over the whole picture."]
    if any("undefined" in row for row in rows):
        said.append("Undefined: the values do not vary (each pair of an expression asks for 1), so "
                    "nothing correlates with them; or people are not named.")
    found = [run.report.get("protocol", {}).get("identity") for run in runs]
    named = {f"{each['architecture']} ({each['path']}, which learnt from data "
             f"{each['trained_on']})" for each in found if each}
    if named:
        said.append("Person: cosine of features of edit and input, of true image and input, and of "
                    "the edit and another person's true image. The features are those of an "
                    f"embedding that tells people apart: {'; '.join(sorted(named))}.")
    return " ".join(said)


def by_condition(runs):
    """{condition: runs sorted by seed}: baselines and published conditions first, ceilings
    last."""
    known = [*dict.fromkeys([*published.conditions(), *BASELINES])]
    place_of = {name: (0, k) for k, name in enumerate(known)} | {name: (2, 0) for name in CEILINGS}
    names = sorted({run.condition for run in runs},
                   key=lambda name: (*place_of.get(name, (1, 0)), in_order(name), name))
    return {name: sorted((run for run in runs if run.condition == name), key=lambda run: run.seed)
            for name in names}


def spread(values, scale=100):
    """'61.3 ± 0.4' over seeds, scaled; one seed has no ±; None is left out and said. The one place
    that writes numbers for --compare."""
    defined = [value * scale for value in values if value is not None]
    if not defined:
        return "undefined"
    digits = 1 if scale == 100 else 3
    text = f"{round(np.mean(defined), digits) + 0.0:.{digits}f}"  # + 0.0: no '-0.000'
    if len(defined) > 1:
        text += f" ± {np.std(defined, ddof=1):.{digits}f}"
    undefined = len(values) - len(defined)
    return text + (f" ({undefined} undefined)" if undefined else "")


def interval(bounds, scale=100):
    """'58.1 to 64.9': the mean over seeds of lower and upper bounds [(low, high), …], scaled."""
    return " to ".join(spread([np.mean([pair[i] for pair in bounds])], scale) for i in (0, 1))


def left_out_notes(conditions):
    """How many labels the means leave out, where any."""
    found = []
    for name, runs in conditions.items():
        counts = [(value_at(run.report, ("au", "mean", "left_out")) or {}).get("f1", 0)
                  for run in runs]
        if any(counts):
            found.append(f"{name} {max(counts)}")
    return ["AUs without a defined F1, left out of its mean (at most, over seeds): "
            f"{', '.join(found)}."] if found else []


def difference_notes(conditions):
    """Each condition with generated images against each baseline: F1 at chosen thresholds, over
    shared seeds. In a table without generated images, the other baselines against the plain
    ones."""
    lines, baselines = [], BASELINES
    if not set(conditions) - {*BASELINES, *CEILINGS}:
        baselines = PLAIN
    for name in conditions:
        if name in baselines or name in CEILINGS:
            continue
        notes = []
        for other in baselines:
            ours, theirs = ({run.seed: value_at(run.report, NUMBERS["F1"])
                             for run in conditions.get(each, [])} for each in (name, other))
            shared = [seed for seed in ours if None not in (ours[seed], theirs.get(seed))]
            if shared:
                text = spread([ours[seed] - theirs[seed] for seed in shared])
                notes.append(f"{name} - {other}: {text} F1 ({len(shared)} seeds that both have).")
        lines += [" ".join(notes)] if notes else []
    return lines


def markdown(head, rows):
    """Lines of a Markdown table, columns aligned. A | in a name of a file would end its cell."""
    table = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
             for row in table]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines
