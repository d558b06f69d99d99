"""What a data set holds: AUs and their levels, which occur together, valence and arousal, people,
gaps.

    python -m lib.datasets.describe manifest.csv                 tables, as Markdown on stdout
    python -m lib.datasets.describe labelled.csv test.csv        side by side, and how far apart
    python -m lib.datasets.describe manifest.csv --report DIR    also pictures: DIR/index.html

The tables and pictures are those with which Richer 2018 describes a data set (chapter 3.1: tables
3.1-3.8, figures 3.2-3.16). An empty cell is unlabelled and counts as nothing else. Present: from
level 2 of 5 on (0.4), or an occurrence. Columns 0 and A to E have levels rounded to whole ones.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from lib import labels, manifest
from lib.cli import arg, parse, run
from lib.evaluation import metrics
from lib.evaluation.comparison import markdown
from lib.files import write_text

LEVELS = 6  # FACS 0, A to E
BINS = 20  # of the histograms of valence and arousal
EXAMPLES = 12  # faces on the sheet


@dataclass
class Options:
    manifests: list[str] = arg(
        args=["manifests"], nargs="+", metavar="FILE.csv", help="manifests; - is stdin"
    )
    report: Optional[str] = arg(
        None, help="also write a page of pictures, DIR/index.html", metavar="DIR", writes="folder"
    )


@dataclass
class Described:
    """A manifest and what the tables need of it."""

    name: str
    data: manifest.Manifest
    aus: list  # A names
    values: np.ndarray  # [N,A] in [0, 1], NaN unlabelled
    on: np.ndarray  # [N,A] in {0, 1, NaN}
    va: np.ndarray  # [N,2], NaN unlabelled

    @classmethod
    def of(cls, path, name):
        data = manifest.read(path)
        values = data.aus().astype(np.float64)
        at = np.where(data.occurrence(), labels.PRESENT_OCCURRENCE, labels.PRESENT_INTENSITY)[
            :, None
        ]
        va = np.stack([data.numbers(name) for name in labels.VALENCE_AROUSAL], 1).astype(
            np.float64
        )
        return cls(name, data, data.au_names, values, metrics.present(values, at), va)

    def levels(self):
        """How many images have each level of each AU, int [A,6]; occurrences have none."""
        known = self.values[~self.data.occurrence()]
        rounded = np.where(np.isnan(known), -1, np.round(known * (LEVELS - 1))).astype(int)
        return np.stack([(rounded == level).sum(0) for level in range(LEVELS)], 1)


def short_names(paths):
    """'labelled' of 'data/labelled.csv', with the folders that tell two of one name apart."""
    parts = [Path(path).with_suffix("").parts for path in paths]
    depth = 1
    while depth < max(map(len, parts)) and len({part[-depth:] for part in parts}) < len(
        set(parts)
    ):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]


def percent(count, total):
    """'12.3 %', or '–' of nothing."""
    return f"{100 * count / total:.1f} %" if total else "–"


def section(title, head, rows):
    """Lines of a heading and a table."""
    return [f"## {title}", "", *markdown(head, [[str(cell) for cell in row] for row in rows]), ""]


# ---- tables -----------------------------------------------------------------


def overview(sets):
    """A row a set: images, people, videos, and how many images have labels of each kind."""
    head = [
        "set",
        "images",
        "people",
        "videos",
        "images a person (least, median, most)",
        "with AUs",
        "with valence and arousal",
        "with an expression",
        "without any label",
    ]
    rows = []
    for each in sets:
        n = len(each.data)
        of_person = per_person(each)
        expression = np.array([bool(text) for text in each.data.text("expression")], bool)
        have = [(~np.isnan(each.values)).any(1), (~np.isnan(each.va)).any(1), expression]
        rows.append(
            [
                each.name,
                n,
                len(of_person) or "not named",
                len(set(each.data.text("video")) - {""}) or "–",
                f"{min(of_person)}, {np.median(of_person):g}, {max(of_person)}"
                if of_person
                else "–",
                *(percent(mask.sum(), n) for mask in have),
                percent((~np.any(have, 0)).sum(), n),
            ]
        )
    return section("Images and people", head, rows)


def per_person(each):
    """Numbers of images of the named people."""
    names, counts = np.unique(
        [name for name in each.data.text("subject") if name], return_counts=True
    )
    return counts.tolist()


def au_table(each):
    """A row an AU: labelled, present, images of each level, people who show it, mean level."""
    levels, subjects = each.levels(), np.array(each.data.text("subject"))
    rows = []
    for k, name in enumerate(each.aus):
        known = ~np.isnan(each.on[:, k])
        there = each.on[:, k] == 1
        people = len(set(subjects[there]) - {""})
        levelled = each.values[~each.data.occurrence(), k]  # an occurrence of 1 is no level 5
        mean = np.nanmean(levelled) if not np.isnan(levelled).all() else None
        rows.append(
            [
                name,
                known.sum(),
                percent((~known).sum(), len(known)),
                there.sum(),
                percent(there.sum(), known.sum()),
                *levels[k],
                people or "–",
                "–" if mean is None else f"{mean:.3f}",
            ]
        )
    return section(
        f"Action units of {each.name}",
        [
            "AU",
            "labelled",
            "missing",
            "present",
            "share",
            "0",
            *"ABCDE",
            "people",
            "mean level / 5",
        ],
        rows,
    )


def together_table(each, most=10):
    """The pairs of AUs that occur together most often, beside what chance would give."""
    rows = []
    for a, b in itertools.combinations(range(len(each.aus)), 2):
        first, second = metrics.both(each.on[:, a], each.on[:, b])
        both = int((first * second).sum())
        if both:
            chance = first.mean() * second.mean()
            rows.append(
                [
                    both,
                    f"{each.aus[a]} {each.aus[b]}",
                    percent(both, len(first)),
                    f"{both / len(first) / chance:.1f}",
                    metrics.pcc(first, second),
                ]
            )
    rows.sort(key=lambda row: -row[0])
    shown = [
        [pair, both, share, times, "undefined" if r is None else f"{r:.2f}"]
        for both, pair, share, times, r in rows
    ]
    return (
        section(
            f"AUs together in {each.name}",
            ["pair", "images", "share", "times chance", "correlation"],
            shown[:most],
        )
        if rows
        else []
    )


def va_table(sets):
    """A row a set and dimension: labelled, mean, spread, range, quartiles."""
    rows = []
    for each in sets:
        for k, name in enumerate(labels.VALENCE_AROUSAL):
            known = each.va[~np.isnan(each.va[:, k]), k]
            if len(known):
                numbers = [
                    known.mean(),
                    known.std(),
                    known.min(),
                    *np.percentile(known, [25, 50, 75]),
                    known.max(),
                ]
                rows.append([each.name, name, len(known), *(f"{value:.2f}" for value in numbers)])
    return (
        section(
            "Valence and arousal",
            [
                "set",
                "dimension",
                "labelled",
                "mean",
                "sd",
                "least",
                "25 %",
                "median",
                "75 %",
                "most",
            ],
            rows,
        )
        if rows
        else []
    )


def va_of_aus(each):
    """A row an AU: mean valence and arousal where it is present and absent (Richer's figure 3.11
    in numbers)."""
    rows = []
    for k, name in enumerate(each.aus):
        means = [each.va[each.on[:, k] == state] for state in (1, 0)]
        if all((~np.isnan(part)).any(0).all() for part in means):
            rows.append(
                [name, *(f"{value:.2f}" for part in means for value in np.nanmean(part, 0))]
            )
    head = ["AU", "valence, present", "arousal, present", "valence, absent", "arousal, absent"]
    return section(f"AUs in the valence-arousal space of {each.name}", head, rows) if rows else []


def expression_table(sets):
    """A row an expression: how many images of each set, and which share of the labelled ones."""
    names = sorted({name for each in sets for name in each.data.text("expression")} - {""})
    rows = []
    for name in names:
        counts = [each.data.text("expression").count(name) for each in sets]
        labelled = [sum(map(bool, each.data.text("expression"))) for each in sets]
        rows.append(
            [
                name,
                *(
                    f"{count} ({percent(count, total)})"
                    for count, total in zip(counts, labelled)
                ),
            ]
        )
    return (
        section("Expressions", ["expression", *(each.name for each in sets)], rows) if rows else []
    )


def gap_table(sets):
    """How often an AU is present in each of several sets, and the largest gap (Richer's table
    3.4)."""
    names = [name for name in sets[0].aus if all(name in each.aus for each in sets)]
    rows = []
    for name in names:
        columns = [each.on[:, each.aus.index(name)] for each in sets]
        shares = [
            float(np.nanmean(column)) if (~np.isnan(column)).any() else None for column in columns
        ]
        known = [share for share in shares if share is not None]
        rows.append(
            [
                name,
                *("–" if share is None else f"{100 * share:.1f} %" for share in shares),
                f"{100 * (max(known) - min(known)):.1f}" if known else "–",
            ]
        )
    return (
        section(
            "How the sets differ", ["present", *(each.name for each in sets), "gap, points"], rows
        )
        if len(sets) > 1 and rows
        else []
    )


def tables(sets):
    """All tables as Markdown text."""
    lines = overview(sets)
    for each in sets:
        if each.aus:
            lines += au_table(each) + together_table(each)
    lines += gap_table(sets) + va_table(sets)
    for each in sets:
        lines += va_of_aus(each)
    return "\n".join(lines + expression_table(sets))


def main(argv=None):
    options = parse(Options, __doc__, argv)
    sets = [
        Described.of(path, name)
        for path, name in zip(options.manifests, short_names(options.manifests))
    ]
    if options.report:
        from lib.datasets import describe_page

        describe_page.write(Path(options.report), sets)
    write_text("-", tables(sets).rstrip() + "\n")


if __name__ == "__main__":
    run(main)
