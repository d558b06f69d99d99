"""Figures that papers print, from published.csv: a row is one figure of one table.

Columns: `work`, `table`, `section` (of the work), `set` and `test` (those of our sets that the
figure stands beside), `condition`, `metric` (f1, fdr, binary and class in per cent; icc, ssim, fid
are not), `value`, `remark`. The FDR of Marinos 2023 (`thesis`) is that of the correlated pair. Its
table 17 has two figures for pseudo-labels, for 60,000 and 300,000 images.
"""
import csv
import functools
from pathlib import Path

PLACE = Path(__file__).with_name("published.csv")
# sets whose noise was chosen (`make mnist-tune`) so that `supervised` finds them as hard as it
# finds a set of the thesis
AS_HARD = {"mnist-noise0.24-3000": "mnist-medium-3000", "mnist-noise0.47-3000": "mnist-hard-3000"}


@functools.cache
def rows():
    """All rows, as dicts of texts."""
    with open(PLACE, encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def about(set_name, test, work=None):
    """The rows of one set and test; whole MNIST ('mnist-hard-3000-whole') and a set of AS_HARD
    stand beside the same figures."""
    name = AS_HARD.get(set_name, set_name.removesuffix("-whole"))
    return [row for row in rows()
            if row["set"] == name and row["test"] == test and work in (None, row["work"])]


def values(found, condition, metric):
    """The printed values (texts) of a condition among some rows, in their order."""
    return [row["value"] for row in found
            if row["condition"] == condition and row["metric"] == metric]


def sections(found):
    """{condition: section of the work that is about it}."""
    return {row["condition"]: row["section"] for row in found}


def conditions():
    """Names of conditions in the order in which the papers have them."""
    return list(dict.fromkeys(row["condition"] for row in rows()))


def sentence(set_name, test, names, metrics):
    """What a work prints of some metrics of an experiment, in words; '' unless `names` has every
    condition of the experiment."""
    found = about(set_name, test)
    if not found or not {row["condition"] for row in found} <= set(names):
        return ""
    figures = [
        f"{metric.upper()} " + " and ".join(
            f"{row['value']} ({row['condition']}, {row['remark']})"
            for row in found if row["metric"] == metric)
        for metric in metrics
    ]
    return f"{found[0]['work']}, section {found[0]['section']}, on {test}: {'; '.join(figures)}."
