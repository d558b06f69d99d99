"""Tables of conditions over seeds, for `evaluate.py --compare`: the thesis's tables 10-13 and 17 with our numbers.

A report's place says what it is: …/<preset>/<set>/<condition>/seed<k>/report.json (or report_natural.json, the
test set whose AUs occur together). Output is Markdown; numbers are percentages, mean ± standard deviation over
seeds (divided by n - 1).
"""
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.evaluation import pose_tables
from lib.cli import BadInput, note

SECTION = {"supervised": "4.5.1", "pseudo": "4.5.2", "em": "4.5.3", "upsampled": "4.5.4"}  # the thesis's baselines
ORDER = [*SECTION, "reweighted", "truth"]
ORDER_OF_PRESETS = {"smoke": 0, "quick": 1, "long": 2, "paper": 3}
# Marinos 2023, (F1, FDR) in %; the FDR is that of the correlated pair. Tables 10-13 and 17 number the MNIST
# baselines like those on faces. Faces with pseudo-labels stand twice: 60,000 and 300,000 AffectNet images.
THESIS = {
    "mnist-medium-3000": ("table 10", {"supervised": [(64.70, 7.76)], "pseudo": [(64.22, 4.64)],
                                       "em": [(65.07, 6.10)], "upsampled": [(60.68, 10.11)]}),
    "mnist-hard-3000": ("table 11", {"supervised": [(46.42, 23.59)], "pseudo": [(45.45, 24.88)],
                                     "em": [(44.52, 24.84)], "upsampled": [(41.18, 28.15)]}),
    "mnist-medium-30000": ("table 12", {"supervised": [(84.82, 2.15)], "pseudo": [(84.85, 1.77)],
                                        "em": [(83.59, 3.09)], "upsampled": [(80.2, 2.26)]}),
    "mnist-hard-30000": ("table 13", {"supervised": [(65.01, 11.46)], "pseudo": [(64.64, 10.36)],
                                      "em": [(58.84, 12.75)], "upsampled": [(61.8, 12.41)]}),
    "faces": ("table 17", {"supervised": [(61.31, 47.75)], "pseudo": [(63.04, 47.92), (64.04, 47.86)],
                           "em": [(65.34, 46.83)]}),
}
NUMBERS = {  # heading: where it is in a report
    "F1": ("au", "mean", "f1"), "FDR": ("au", "pooled", "fdr"), "FDR pair": ("au", "pair", "fdr"),
    "F1 at 0.5": ("au_fixed", "mean", "f1"), "FDR at 0.5": ("au_fixed", "pooled", "fdr"),
    "FDR pair at 0.5": ("au_fixed", "pair", "fdr"), "partner rate": ("au", "pair", "partner_rate"),
}
VA_NUMBERS = {"CCC valence": ("va", "valence", "ccc"), "CCC arousal": ("va", "arousal", "ccc")}
EDIT_NUMBERS = {"fulfilled ≥ 1/2, % of AUs": ("share_half_fulfilled", 100), "≥ 1/3": ("share_third_fulfilled", 100),
                "median fulfilment": ("fulfilment_median", 1), "leakage / rise": ("leakage_ratio", 1),
                "L1 / unedited's": ("l1_ratio", 1), "change outside, /255": ("outside_change", 1)}


@dataclass
class Run:
    """One report and its place."""
    preset: str
    set: str
    condition: str
    seed: str
    test: str      # 'test', or what follows report_ in the file's name
    report: dict


def place(path):
    """(preset, set, condition, seed, test) from …/<preset>/<set>/<condition>/seed<k>/report[_test].json.

    A path of another shape is its own condition."""
    parts = Path(path).absolute().parts
    test = re.sub(r"^report_?", "", Path(path).stem) or "test"
    if len(parts) > 5 and re.fullmatch(r"seed\w+", parts[-2]):
        return parts[-5], parts[-4], parts[-3], parts[-2].removeprefix("seed"), test
    return "", "", str(path), "", "test"


def read(path):
    """A Run from a report's file."""
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such report; make it with evaluate.py") from None
    except ValueError:
        raise BadInput(f"{path}: not JSON; make the report again with evaluate.py") from None
    if not isinstance(report, dict) or not {"au", "va", "expression", "edits"} & set(report):
        raise BadInput(f"{path}: not a report of evaluate.py (it has none of au, va, expression, edits)")
    return Run(*place(path), report)


def tables(paths):
    """All tables as Markdown text."""
    runs = [read(path) for path in paths]
    groups = {}
    for run in runs:
        edits = "edits" in run.report  # generators of all presets stand in one table
        groups.setdefault(("" if edits else run.preset, run.set, run.test, edits), []).append(run)
    texts = []
    for key in sorted(groups, key=lambda key: (key[0], in_order(key[1]), key[3], key[2] != "test", key[2])):
        for protocol in split_by_protocol(groups[key]):
            texts.append(table(protocol))
    return "\n\n".join(texts)


def table(runs):
    """The tables that runs of one set, test and protocol ask for."""
    if "edits" in runs[0].report:
        return edit_table(runs)
    if all(pose_tables.is_by_pose(run.report) for run in runs):
        conditions = {name: [run.report for run in members] for name, members in by_condition(runs).items()}
        return pose_tables.tables(conditions, title_of(runs), markdown)
    return classifier_table(runs)


def in_order(name):
    """A sorting key that reads numbers as numbers: mnist-hard-300, mnist-hard-3000, mnist-hard-30000."""
    return [(part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", name)]


def split_by_protocol(runs):
    """Lists of runs that were measured alike: same data, AUs, pair and rule for a present truth."""
    alike = {}
    for run in runs:
        protocol = run.report.get("protocol", {})
        whole = run.report.get("by", {}).get("of") or run.report.get("data", {})  # registered in two ways, it is one set
        key = json.dumps([whole.get("digest"), protocol.get("aus"), protocol.get("pair"),
                          protocol.get("truth_present_from"), protocol.get("aus_in_summary")])
        alike.setdefault(key, []).append(run)
    if len(alike) > 1:
        note(f"{runs[0].set or runs[0].condition}: reports of {len(alike)} different protocols or data; one table each")
    return list(alike.values())


def title(runs, what):
    """A table's headline and what was measured on."""
    return f"{title_of(runs)}, {runs[0].test.replace('_', ' ')}: {what}"


def title_of(runs):
    """What a headline begins with: '### faces (quick)'."""
    first = runs[0]
    return "### " + (" ".join(filter(None, [first.set, f"({first.preset})" if first.preset else ""])) or "reports")


def thesis_key(name):
    """The thesis's set that one of ours stands for: 'mnist-hard-3000-whole' -> 'mnist-hard-3000'; else None."""
    return name.removesuffix("-whole") if name.removesuffix("-whole") in THESIS else None


def classifier_table(runs):
    """Conditions by row; F1 and FDR at chosen thresholds and at 0.5, the thesis's beside them."""
    first = runs[0].report
    numbers = {**(NUMBERS if "au" in first else {}), **(VA_NUMBERS if "va" in first else {})}
    numbers = {name: where for name, where in numbers.items()
               if any(value_at(run.report, where) is not None for run in runs)}
    key = thesis_key(runs[0].set) if runs[0].test == "test" else None
    thesis = THESIS[key][1] if key else {}
    rows, conditions = [], by_condition(runs)
    for name, members in conditions.items():
        row = [name, SECTION.get(name, "–") if key else None, str(len(members))]
        row += [spread([value_at(run.report, where) for run in members], 1 if "CCC" in heading else 100)
                for heading, where in numbers.items()]
        if key:
            row += [" / ".join(f"{pair[i]:.2f}" for pair in thesis.get(name, [])) or "–" for i in (0, 1)]
        rows.append([cell for cell in row if cell is not None])
    head = ["condition", *(["thesis section"] if key else []), "seeds", *numbers,
            *([f"thesis F1 ({THESIS[key][0]})", "thesis FDR"] if key else [])]
    protocol = first.get("protocol", {})
    pair = protocol.get("pair")
    notes = [f"{first['n']} images, {first['subjects'] or 'unnumbered'} subjects, {len(protocol.get('aus', []))} AUs. "
             "Per cent, mean ± sd over seeds; F1 is the mean over AUs; FDR is pooled over all AUs"
             + (f", and over {' and '.join(pair)}" if pair else "")
             + ". Thresholds chosen on validation data, then the fixed 0.5."
             + (" Partner rate: an absent AU of the pair is predicted where only its partner is present." if pair else "")
             + (" The thesis leaves parts of its protocol unpublished: its figures are no one-to-one yardstick." if key
                else ""), *left_out_notes(conditions),
             *difference_notes(conditions)]
    return "\n".join([title(runs, "F1 and false discovery rate"), "", *markdown(head, rows), "", *notes])


def edit_table(runs):
    """Generators by row: what the judge and the true images say of their edits."""
    rows = []
    for run in sorted(runs, key=lambda run: (ORDER_OF_PRESETS.get(run.preset, 9), run.condition, run.seed)):
        summary = run.report["edits"]["summary"]
        cells = [None if summary.get(key) is None else summary[key] * scale for key, scale in EDIT_NUMBERS.values()]
        rows.append([run.preset or "–", " ".join(filter(None, [run.condition, run.seed and f"seed {run.seed}"])),
                     str(summary["aus"]),
                     *("undefined" if cell is None else f"{cell:.2f}" if cell < 10 else f"{cell:.0f}"
                       for cell in cells)])
    return "\n".join([f"### {runs[0].set or 'reports'}: edits against true images", "",
                      *markdown(["preset", "generator", "AUs read well", *EDIT_NUMBERS], rows), "",
                      f"{runs[0].report['n']} pairs, {runs[0].report['subjects'] or 'unnumbered'} subjects."])


def by_condition(runs):
    """{condition: runs sorted by seed}, the thesis's baselines first."""
    names = sorted({run.condition for run in runs}, key=lambda name: (ORDER.index(name) if name in ORDER else 99, name))
    return {name: sorted((run for run in runs if run.condition == name), key=lambda run: run.seed) for name in names}


def value_at(report, where):
    """report[a][b][c], None where any of them is missing."""
    for key in where:
        report = (report or {}).get(key)
    return report


def spread(values, scale=100):
    """'61.3 ± 0.4' over seeds; one seed has no ±; None is left out and said."""
    defined = [value * scale for value in values if value is not None]
    if not defined:
        return "undefined"
    digits = 1 if scale == 100 else 3
    text = f"{np.mean(defined):.{digits}f}"
    if len(defined) > 1:
        text += f" ± {np.std(defined, ddof=1):.{digits}f}"
    return text + (f" ({len(values) - len(defined)} undefined)" if len(defined) < len(values) else "")


def left_out_notes(conditions):
    """How many labels the means leave out, where any."""
    found = []
    for name, runs in conditions.items():
        counts = [(value_at(run.report, ("au", "mean", "left_out")) or {}).get("f1", 0) for run in runs]
        if any(counts):
            found.append(f"{name} {max(counts)}")
    return [f"AUs without a defined F1, left out of its mean (at most, over seeds): {', '.join(found)}."] if found else []


def difference_notes(conditions):
    """em against supervised and pseudo, F1 at chosen thresholds, over the seeds that both have."""
    notes = []
    for other in ("supervised", "pseudo", "reweighted"):
        pair = [{run.seed: value_at(run.report, NUMBERS["F1"]) for run in conditions.get(name, [])}
                for name in ("em", other)]
        shared = [seed for seed in pair[0] if None not in (pair[0][seed], pair[1].get(seed))]
        if shared:
            text = spread([pair[0][seed] - pair[1][seed] for seed in shared])
            notes.append(f"em - {other}: {text} F1 over {len(shared)} shared seed(s).")
    return [" ".join(notes)] if notes else []


def markdown(head, rows):
    """Lines of a Markdown table, columns aligned."""
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in table]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines
