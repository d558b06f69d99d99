"""Personal and normalised models against the generic one, as a table.

    python -m lib.evaluation.personal_table generic/report.json own/report.json … --out table.md

The first report is the generic model's. Beside each report (report.json, report_natural.json)
stand predictions of the same images (predictions.csv, predictions_natural.csv). A row: ICC and
2AFC at levels A to C (means over AUs), the difference of ICC to the generic model with a paired
bootstrap interval over people, and how many people gain or lose (lib.evaluation.gains).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.cli import BadInput, arg, parse, run
from lib.evaluation import bootstrap, comparison, gains, paired
from lib.files import write_text

HEAD = [
    "model",
    "F1",
    "ICC",
    "2AFC at A",
    "at B",
    "at C",
    "ICC - generic",
    "95 % interval",
    "relative",
    "people who gain",
    "who lose",
    "sign test p",
]


@dataclass
class Options:
    reports: list[str] = arg(
        args=["reports"],
        nargs="+",
        metavar="REPORT.json",
        help="reports of evaluate.py --test, the generic model's first",
    )
    out: str = arg(
        "-", help="where the Markdown goes; - is stdout", metavar="FILE.md", writes="file"
    )


def figures(report):
    """F1 in per cent, ICC, 2AFC at A, B and C, as text."""
    two_afc = report["au"]["two_afc"]["mean"]
    return [
        comparison.spread([report["au"]["mean"]["f1"]]),
        *(
            comparison.spread([value], 1)
            for value in (report["au"]["mean"]["icc"], *(two_afc.get(letter) for letter in "ABC"))
        ),
    ]


def against(first, generic, people):
    """The last six cells: a model's predictions against those of the generic one, on the same
    images. Without an ICC of both there is no difference; a difference relative to a generic ICC
    of 0 or below says nothing."""
    points, resampled = ([each.get("ICC") for each in found] for found in (
        paired.points([first, generic]), paired.numbers_of_all([first, generic], people)))
    known = None not in points
    bounds = bootstrap.difference(*resampled, people)["interval"] if known else None
    relative = known and points[1] > 1e-9
    each = [gains.person_icc(people, file.truth, file.scores) for file in (first, generic)]
    # an image without a name is nobody's
    named = np.array([bool(name) for name in gains.names(people, first.subjects)])
    change = np.where(named, each[0] - each[1], np.nan)
    gain, loss = int((change > 1e-9).sum()), int((change < -1e-9).sum())
    return [
        f"{points[0] - points[1]:+.3f}" if known else "undefined",
        " to ".join(f"{bound:+.3f}" for bound in bounds) if bounds else "undefined",
        f"{100 * (points[0] / points[1] - 1):+.1f} %" if relative else "undefined",
        str(gain),
        str(loss),
        gains.p_value(gains.sign_test(gain, loss)),
    ]


def predictions_of(report):
    """The file of predictions beside a report."""
    name = Path(report).stem.replace("report", "predictions", 1)
    return Path(report).with_name(f"{name}.csv")


def table(paths):
    """Markdown of reports and the predictions beside them."""
    reports = [comparison.read(path).report for path in paths]
    files = [paired.Predictions.read(predictions_of(path)) for path in paths]
    generic = files[0]
    if any(file.images != generic.images for file in files):
        raise BadInput(
            f"{paths[0]}: the reports are of different images; evaluate all models on the same test"
        )
    files = paired.alike(files)
    generic = files[0]
    people = bootstrap.People.of(generic.subjects)
    rows = [[Path(paths[0]).parent.name, *figures(reports[0]), *["–"] * 6]]
    for path, report, file in zip(paths[1:], reports[1:], files[1:]):
        rows.append([Path(path).parent.name, *figures(report), *against(file, generic, people)])
    return "\n".join(
        [
            *comparison.markdown(HEAD, rows),
            "",
            f"{len(generic.images)} images of {people.count} people, "
            f"{len(generic.aus)} AUs; F1 in per cent. ICC of a person: over all cells "
            "(image and AU). Intervals: paired bootstrap over people.",
        ]
    )


def main(argv=None):
    options = parse(Options, __doc__, argv)
    write_text(options.out, table(options.reports) + "\n")


if __name__ == "__main__":
    run(main)
