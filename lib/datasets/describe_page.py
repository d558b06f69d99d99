"""The pictures of `lib.datasets.describe --report DIR`: index.html and PNGs beside it."""

import re

import numpy as np

from lib import images, labels
from lib.datasets import describe
from lib.evaluation import metrics, plots
from lib.evaluation.page import Page


def write(folder, sets):
    """The page of one or several manifests; a picture for which there are no labels is left
    out."""
    page = Page(folder, "What the data hold")
    page.text(
        f"{', '.join(each.name for each in sets)}: {sum(len(each.data) for each in sets)} images. "
        "Unlabelled cells count as unlabelled, never as 0."
    )
    lines = describe.overview(sets)
    page.table(*from_markdown(lines), "Images and people")
    people(page, sets)
    missing(page, sets)
    for k, each in enumerate(sets):
        tag = f"{k + 1}_" if len(sets) > 1 else ""
        of_set = f" of {each.name}" if len(sets) > 1 else ""
        action_units(page, each, tag, of_set)
        valence_arousal(page, each, tag, of_set)
    va_histograms(page, sets)
    expressions(page, sets)
    examples(page, sets[0])
    page.write()


def from_markdown(lines):
    """(head, rows) of the first table among lines of Markdown."""
    cells = [
        # a | inside a cell stands there as \|
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
        if line.startswith("|")
    ]
    return cells[0], cells[2:]


def people(page, sets):
    """How many images each person has."""
    counts = {each.name: describe.per_person(each) for each in sets}
    counts = {name: found for name, found in counts.items() if found}
    if not counts:
        return
    most = max(map(max, counts.values()))
    wide = most // 20 + 1  # whole numbers, so that no bar counts one number more than the next
    bins = most // wide + 1
    plots.histograms(
        page.folder / "people.png",
        {"images a person": counts},
        "people",
        bins,
        (0, bins * wide),
    )
    page.picture(
        "people.png",
        "People",
        "A histogram of how many images each person has: "
        + ", ".join(
            f"{name} has {len(found)} people with {min(found)} to {max(found)} images"
            for name, found in counts.items()
        )
        + ".",
        "A few people with most of the images make a set smaller than it looks.",
    )


def missing(page, sets):
    """The share of labelled images of each label."""
    names = list(
        dict.fromkeys(
            [au for each in sets for au in each.aus] + [*labels.VALENCE_AROUSAL, "expression"]
        )
    )
    series = {each.name: [labelled(each, name) for name in names] for each in sets}
    plots.bars(
        page.folder / "labelled.png",
        names,
        series,
        "share of images with this label",
        limits=(0, 1),
    )
    gaps = [
        name for k, name in enumerate(names) if any(shares[k] < 1 for shares in series.values())
    ]
    page.picture(
        "labelled.png",
        "Labels and gaps",
        "Bars of the share of images that have each label. Labels with "
        f"gaps: {', '.join(gaps) or 'none'}.",
        "What is unlabelled is left out of losses and metrics.",
    )


def labelled(each, name):
    """The share of images that have a label."""
    cells = each.data.text(name)
    return sum(map(bool, cells)) / len(cells)


def action_units(page, each, tag, of_set):
    """Presence, levels and co-occurrence."""
    if not each.aus:
        return
    shares = [
        float(np.nanmean(column)) if (~np.isnan(column)).any() else None for column in each.on.T
    ]
    known = {name: share for name, share in zip(each.aus, shares) if share is not None}
    if not known:
        return
    plots.bars(
        page.folder / f"{tag}au_present.png",
        each.aus,
        {"present": shares},
        "share of labelled images",
    )
    page.picture(
        f"{tag}au_present.png",
        f"How often AUs are present{of_set}",
        f"Bars of how often each AU is present. The most frequent is "
        f"{max(known, key=known.get)} with "
        f"{max(known.values()):.2f}, the rarest {min(known, key=known.get)} with "
        f"{min(known.values()):.2f}.",
        "Rare AUs are what balanced synthesis is for.",
    )
    counts = each.levels()
    if counts.sum():
        total = np.maximum(counts[:, 1:].sum(1, keepdims=True), 1)
        plots.stacked(
            page.folder / f"{tag}au_levels.png",
            each.aus,
            {letter: counts[:, level] / total[:, 0] for level, letter in enumerate("ABCDE", 1)},
            "levels where the AU is there",
        )
        page.picture(
            f"{tag}au_levels.png",
            f"Levels of AUs{of_set}",
            "Stacked bars of how the images that show an AU spread over levels A to "
            "E. Over all AUs: "
            + ", ".join(
                f"{letter} {count}" for letter, count in zip("ABCDE", counts[:, 1:].sum(0))
            )
            + ".",
            "A is a trace, E the maximum. Level 0 is left out.",
        )
    plots.matrices(
        page.folder / f"{tag}au_together.png",
        each.aus,
        {
            "P(column | row)": metrics.coactivation(each.on),
            "correlation": np.array(metrics.correlations(each.on), float),
        },
        signed=("correlation",),
    )
    rows = describe.together_table(each, 1)
    first = from_markdown(rows)[1][0] if rows else None
    page.picture(
        f"{tag}au_together.png",
        f"AUs that occur together{of_set}",
        "Two matrices: how often the AU of a column is present where that of the "
        "row is, and their "
        "correlation. "
        + (
            f"The most frequent pair is {first[0]}, {first[1]} images."
            if first
            else "No two AUs occur together."
        ),
        "A classifier may learn such a pair in place of its AUs.",
    )


def valence_arousal(page, each, tag, of_set):
    """Density on the circumplex, and that of each AU (Richer's figure 3.11)."""
    known = ~np.isnan(each.va).any(1)
    if not known.any():
        return
    plots.circumplex_density(
        page.folder / f"{tag}va_density.png", {f"{known.sum()} images": each.va[known]}
    )
    page.picture(f"{tag}va_density.png", f"Valence and arousal{of_set}",
                 "A map of how many images lie where on the circumplex. The mean is valence "
                 "{:.2f}, arousal {:.2f}.".format(*each.va[known].mean(0)),
                 "Empty corners are what a classifier never learns.")
    groups = {
        f"{name}: {int((each.on[known, k] == 1).sum())} images": each.va[known][
            each.on[known, k] == 1
        ]
        for k, name in enumerate(each.aus)
    }
    groups = {title: points for title, points in groups.items() if len(points)}
    if groups:
        plots.small_circumplexes(page.folder / f"{tag}va_of_aus.png", groups)
        page.picture(
            f"{tag}va_of_aus.png",
            f"AUs in the valence-arousal space{of_set}",
            f"Small maps, one for each of {len(groups)} AUs, of valence and arousal "
            f"where it is present.",
            "Valence to the right, arousal upwards.",
        )


def va_histograms(page, sets):
    """Valence and arousal, each set in its colour."""
    groups = {}
    for k, name in enumerate(labels.VALENCE_AROUSAL):
        values = {each.name: each.va[~np.isnan(each.va[:, k]), k] for each in sets}
        groups[name] = {title: found for title, found in values.items() if len(found)}
    groups = {name: found for name, found in groups.items() if found}
    if not groups:
        return
    plots.histograms(page.folder / "va_histograms.png", groups, "images", describe.BINS)
    page.picture(
        "va_histograms.png",
        "Histograms of valence and arousal",
        "Histograms over -1 to 1. "
        + " ".join(
            f"Mean {name} of {title}: {found.mean():.2f}."
            for name, sides in groups.items()
            for title, found in sides.items()
        ),
        "Most sets are crowded near the neutral middle.",
    )


def expressions(page, sets):
    """How many images of each expression."""
    names = sorted({name for each in sets for name in each.data.text("expression")} - {""})
    if not names:
        return
    series = {
        each.name: [each.data.text("expression").count(name) for name in names] for each in sets
    }
    plots.bars(page.folder / "expressions.png", names, series, "images")
    page.picture(
        "expressions.png",
        "Expressions",
        "Bars of images of each expression: "
        + ", ".join(
            f"{name} {sum(counts[k] for counts in series.values())}"
            for k, name in enumerate(names)
        )
        + ".",
        "Rare expressions want weights or more images.",
    )


def examples(page, each):
    """Faces of different people, drawn at random, with what is labelled of them."""
    order, used, tiles = np.random.default_rng(0).permutation(len(each.data)), set(), []
    for row in order:
        person = each.data.text("subject")[row]
        if person and person in used or len(tiles) == describe.EXAMPLES:
            continue
        used.add(person)
        there = [name for k, name in enumerate(each.aus) if each.on[row, k] == 1]
        va = [] if np.isnan(each.va[row]).any() else ["{:+.1f} {:+.1f}".format(*each.va[row])]
        texts = [
            " ".join(there[:3]) + (" …" if len(there) > 3 else "") or "no AU",
            *va,
            each.data.text("expression")[row],
        ]
        tiles.append((images.load(each.data.images()[row]), [text for text in texts if text]))
    plots.captioned(page.folder / "examples.png", tiles)
    page.picture(
        "examples.png",
        "Examples",
        f"{len(tiles)} images, drawn at random, of different people where they are "
        "named, with the AUs that are present, valence and arousal, and the expression.",
        "Look here for wrong crops and wrong labels.",
    )
