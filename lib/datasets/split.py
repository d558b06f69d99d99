"""Splits of manifests in which nobody is on two sides: labelled.csv, validation.csv, test.csv.

    python -m lib.datasets.split manifest.csv --out DIR
        70 % / 15 % / 15 % of the images
    python -m lib.datasets.split a.csv b.csv --out DIR --fractions 0.8 0 0.2 --tries 1 --seed 3
    python -m lib.datasets.split manifest.csv --out DIR --folds 5
        DIR/fold1/labelled.csv …
    python -m lib.datasets.split disfa.csv --out DIR --protocol disfa
        its three usual folds
    python -m lib.datasets.split manifest.csv --out DIR --protocol leave-one-out
        one fold a subject
    python -m lib.datasets.split manifest.csv --out DIR --protocol column
        the data set's own `partition`

Of --tries random splits of the subjects the one stays whose parts are most alike in AUs, valence,
arousal and expressions (Richer 3.1.4); the table of differences goes to stderr. A fold's
checkpoints are chosen on its validation.csv, which are people of the other folds. With
--unlabelled 0.5 half of the labelled people lose their labels and go to unlabelled.csv, as do
images of the labelled part that never had one. Rows without a subject are kept together by
`video`; without that each is alone. The parts of Parquet manifests are Parquet. subjects.csv says
who is where. An earlier split's files are replaced; any other file of these names, an input above
all, is refused.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lib import labels, manifest
from lib.cli import BadInput, arg, log, naming, note, parse, run

PARTS = ("labelled", "validation", "test")
WRITTEN = (
    *(name + ending for name in (*PARTS, "unlabelled") for ending in manifest.SUFFIXES),
    "subjects.csv",
)
DISFA = [
    ["SN002", "SN010", "SN001", "SN026", "SN027", "SN032", "SN030", "SN009", "SN016"],
    ["SN013", "SN018", "SN011", "SN028", "SN012", "SN006", "SN031", "SN021", "SN024"],
    ["SN003", "SN029", "SN023", "SN025", "SN008", "SN005", "SN007", "SN017", "SN004"],
]
OWN = {
    "train": 0,
    "training": 0,
    "labelled": 0,
    "val": 1,
    "valid": 1,
    "validation": 1,
    "dev": 1,
    "test": 2,
}
LABELS = (*labels.VALENCE_AROUSAL, "expression")
BINS = 20  # of the histograms of valence and arousal over [-1, 1]
MOST_ROWS = (
    20_000_000  # subjects x tries: with many subjects every split is alike, and fewer tries do
)


@dataclass(kw_only=True)
class Options:
    manifests: list[str] = arg(
        args=["manifests"], nargs="+", metavar="FILE.csv", help="manifests, split as one"
    )
    out: str = arg(
        required=True, metavar="DIR", help="where the parts are written", writes="folder"
    )
    fractions: list[float] = arg(
        [0.7, 0.15, 0.15],
        nargs=3,
        metavar="F",
        help="shares of images for labelled, validation and test",
    )
    protocol: str = arg(
        "fractions", help="how to split", choices=["fractions", "disfa", "leave-one-out", "column"]
    )
    folds: int = arg(0, help="cross-validation with this many folds, in place of fractions")
    validation: float = arg(
        0.15, help="share of a fold's other people on which its checkpoints are chosen"
    )
    column: str = arg(
        "partition", help="the column with train, validation, test (--protocol column)"
    )
    tries: int = arg(1000, help="random splits of which the most even is taken; 1: any", least=1)
    unlabelled: float = arg(
        0.0, help="share of the labelled images whose people lose their labels"
    )
    seed: int = arg(0, help="of the random splits", least=0)
    allow_shared_subjects: bool = arg(
        False, help="let --protocol column have a person on two sides"
    )

    def __post_init__(self):
        total = sum(self.fractions)
        if min(self.fractions) < 0 or not total or abs(total - 1) > 1e-6:
            raise ValueError("--fractions are three shares that add up to 1, e.g. 0.7 0.15 0.15")
        if self.folds == 1 or self.folds < 0:
            raise ValueError("--folds is at least 2")
        if not 0 <= self.unlabelled < 1 or not 0 <= self.validation < 1:
            raise ValueError("--unlabelled and --validation are shares, from 0 to below 1")


def groups_of(data):
    """What must stay together: (int [N] group of each row, names [G])."""
    video = data.text("video") if "video" in data.columns else None
    if "" not in data.distinct("subject"):
        return data.columns.codes("subject")
    names = [
        subject or (f"video {video[i]}" if video and video[i] else path)
        for i, (subject, path) in enumerate(zip(data.text("subject"), data.text("path")))
    ]
    order = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([order[name] for name in names]), list(order)


def statistics(data):
    """What splits are compared by: (names [F], counts bool [N,F], blocks). A block (kind, columns)
    is an AU (labelled, present), or a histogram (valence, arousal, expression)."""
    names, columns, blocks = [], [], []

    def block(kind, label, titles, values):
        blocks.append((kind, label, slice(len(names), len(names) + len(titles))))
        names.extend(titles)
        columns.extend(values)

    for name in data.au_names:
        present = data.present([name])[:, 0]
        block("au", name, ["labelled", "present"], [~np.isnan(present), present == 1])
    for name in labels.VALENCE_AROUSAL:
        values = data.numbers(name)
        known = ~np.isnan(values)
        if known.any():
            level = np.floor((np.where(known, values, -1) + 1) / 2 * BINS).clip(0, BINS - 1)
            block("histogram", name, range(BINS), [known & (level == i) for i in range(BINS)])
    if "expression" in data.columns:
        codes, kinds = data.columns.codes("expression")
        order = sorted((kind, code) for code, kind in enumerate(kinds) if kind)
        if order:
            block(
                "histogram",
                "expression",
                [kind for kind, _ in order],
                [codes == code for _, code in order],
            )
    return names, np.array(columns, bool).reshape(len(columns), len(data)).T, blocks


def gaps(part, whole, blocks):
    """Differences [B] in [0, 1] between a part's and the whole's counts [F]: of an AU's frequency,
    or half the sum of differences of two histograms. An AU or variable that the part lacks
    altogether differs by 1."""
    out = []
    for kind, _, columns in blocks:
        a, b = part[columns], whole[columns]
        if kind == "au":
            lacks = b[1] > 0 and a[1] == 0
            out.append(1.0 if lacks else abs(a[1] / max(a[0], 1) - b[1] / max(b[0], 1)))
        else:
            out.append(abs(a / a.sum() - b / b.sum()).sum() / 2 if a.sum() else 1.0)
    return np.array(out)


def groups_a_part(number, fractions):
    """How many of `number` groups each part gets: as `fractions` [P] say, rounded, but none of a
    part that is to have some is left without."""
    fractions = np.asarray(fractions, float)
    wanted = fractions > 0
    if number < wanted.sum():
        raise BadInput(
            f"{number} subject(s) cannot be split into {wanted.sum()} parts; more people are needed"
        )
    sizes = np.maximum(np.floor(fractions * number), wanted).astype(int)
    while sizes.sum() != number:
        lacking = fractions * number - sizes
        if sizes.sum() < number:
            sizes[np.where(wanted, lacking, -np.inf).argmax()] += 1
        else:
            sizes[np.where(sizes > 1, lacking, np.inf).argmin()] -= 1
    return sizes


def best_split(group, counts, blocks, fractions, tries, seed):
    """Assign G groups to parts of about `fractions` of them, by chance. Returns (part [G], score,
    mean score of all tries): the score of a split is the mean of its parts' gaps plus the mean gap
    in the share of rows."""
    fractions = np.asarray(fractions)
    wanted = np.flatnonzero(fractions)
    number = group.max() + 1
    parts = np.repeat(np.arange(len(fractions)), groups_a_part(number, fractions))
    sums = np.array([np.bincount(group, column, number) for column in counts.T], np.float32)
    sums = sums.reshape(-1, number).T  # [G,F]
    rows = np.bincount(group)
    whole, random, scores, best = sums.sum(0, dtype=float), np.random.default_rng(seed), [], None
    for _ in range(max(1, min(tries, MOST_ROWS // (number * max(1, counts.shape[1]))))):
        part = random.permutation(parts)
        score = 0.0
        for p in wanted:
            inside = part == p
            score += abs(rows[inside].sum() / rows.sum() - fractions[p]) / len(wanted)
            if blocks:
                score += gaps(sums[inside].sum(0, dtype=float), whole, blocks).mean() / len(wanted)
        scores.append(score)
        if best is None or score < best[1]:
            best = (part, score)
    return *best, float(np.mean(scores))


def table(row_part, counts, blocks, titles):
    """The table of differences as text: per AU how often it is present, per histogram how far a
    part is from all."""
    parts = [p for p in range(len(titles)) if (row_part == p).any()]
    whole = counts.sum(0)
    lines = [
        f"{'':12}"
        + "".join(f"{titles[p]:>12}" for p in parts)
        + f"{'all':>12}{'largest gap':>13}",
        f"{'images':12}"
        + "".join(f"{(row_part == p).sum():>12}" for p in parts)
        + f"{len(row_part):>12}",
    ]
    sums = [counts[row_part == p].sum(0) for p in parts]
    every = [gaps(part, whole, blocks) for part in sums]
    for b, (kind, label, columns) in enumerate(blocks):
        largest = f"{100 * max(gap[b] for gap in every):>12.1f}%"
        if kind == "au":
            cells = [
                f"{100 * part[columns][1] / max(part[columns][0], 1):>11.1f}%"
                for part in [*sums, whole]
            ]
        else:
            cells = [f"{100 * gap[b]:>11.1f}%" for gap in every] + [f"{'-':>12}"]
        lines.append(f"{label:12}" + "".join(cells) + largest)
    return "\n".join(lines)


def hidden_rows(data, row_part, group, is_label, options):
    """bool [N]: rows of the labelled part that go to unlabelled.csv, as they have no label or are
    to lose it."""
    bare = np.ones(len(data), bool)
    for name in is_label:
        bare &= data.empty(name)
    hidden = (row_part == 0) & bare
    if options.unlabelled:
        people = np.unique(group[(row_part == 0) & ~bare])
        inside = np.flatnonzero(np.isin(group, people) & (row_part == 0))
        renumbered = np.searchsorted(people, group[inside])
        shares = (1 - options.unlabelled, options.unlabelled)
        _, counts, blocks = statistics(data.take(inside))
        part, _, _ = best_split(renumbered, counts, blocks, shares, options.tries, options.seed)
        hidden[inside[part[renumbered] == 1]] = True
    return hidden


def write_parts(data, row_part, group, names, options, folder):
    """Write labelled.csv, validation.csv, test.csv, unlabelled.csv (or .parquet) and, last,
    subjects.csv."""
    is_label = [name for name in data.columns if labels.is_au(name) or name in LABELS]
    hidden = hidden_rows(data, row_part, group, is_label, options)
    parts = {name: (row_part == p) & ~hidden for p, name in enumerate(PARTS)} | {
        "unlabelled": hidden
    }
    where = {}
    for name, rows in parts.items():  # who is in labelled and in unlabelled counts as labelled
        for g in np.unique(group[rows]):
            where.setdefault(g, name)
    Path(folder).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".split-", dir=folder) as unfinished:
        for name, rows in parts.items():
            if rows.any():
                part = data.take(rows)
                if name == "unlabelled":
                    drop(part.columns, [*is_label, "au_kind"])
                place = Path(unfinished, name + ending(options.manifests))
                with naming(Path(folder, place.name), place):
                    manifest.write(place, part.relocated(folder))
        manifest.write(
            Path(unfinished, "subjects.csv"),
            {
                "subject": [names[g] for g in sorted(where)],
                "part": [where[g] for g in sorted(where)],
            },
        )
        for name in WRITTEN:  # an earlier split's parts must not mix with this one's
            Path(folder, name).unlink(missing_ok=True)
        for file in sorted(Path(unfinished).iterdir(), key=lambda file: file.stem == "subjects"):
            os.replace(file, Path(folder, file.name))


def ending(inputs):
    """The parts' suffix: that of the manifests, where all have one."""
    from lib.table import is_parquet

    return ".parquet" if all(map(is_parquet, inputs)) else ".csv"


def drop(columns, names):
    """Delete columns, where they are."""
    for name in names:
        columns.pop(name, None)


def refuse_overwriting(options, folds):
    """folds: how many, 0 for none. BadInput when a part would take the place of an input, or of a
    file that no split wrote (a split's parts have its subjects.csv beside them)."""
    folders = [Path(options.out, f"fold{k + 1}") for k in range(folds)] or [Path(options.out)]
    inputs = {os.path.realpath(path): path for path in options.manifests if path != "-"}
    for folder in folders:
        listed = Path(folder, "subjects.csv")
        earlier = (
            listed.is_file() and listed.read_bytes().split(b"\n", 1)[0].strip() == b"subject,part"
        )
        for file in (Path(folder, name) for name in WRITTEN):
            if source := inputs.get(os.path.realpath(file)):
                raise BadInput(
                    f"{source}: would be overwritten by its own parts; choose another --out"
                )
            if file.exists() and not earlier:
                raise BadInput(
                    f"{file}: is there and not of an earlier split; "
                    "choose another --out, or remove it"
                )


def folds_of(group, names, counts, blocks, options):
    """The fold of each group, int [G]."""
    if options.protocol == "leave-one-out":
        return np.arange(len(names))
    if options.protocol == "disfa":
        fold = {subject: i for i, subjects in enumerate(DISFA) for subject in subjects}
        keys = [re.search(r"SN\d+", name) for name in names]
        if unknown := [name for name, key in zip(names, keys) if not key or key[0] not in fold]:
            raise BadInput(
                f"subject {unknown[0]!r} is none of DISFA's 27 (SN001 …); "
                "use --folds for other data"
            )
        return np.array([fold[key[0]] for key in keys])
    share = [1 / options.folds] * options.folds
    part, score, mean = best_split(group, counts, blocks, share, options.tries, options.seed)
    log(f"folds: gap {score:.4f}, the average of the tries {mean:.4f}")
    return part


def split_folds(data, group, names, counts, blocks, options):
    """DIR/fold1 … each with its own test people; the validation people are chosen among the
    others."""
    fold = folds_of(group, names, counts, blocks, options)
    for k in range(fold.max() + 1):
        part = np.where(fold == k, 2, 0)
        others = np.flatnonzero(part == 0)
        inside = np.isin(group, others)
        if options.validation and len(others) > 1:
            shares = (1 - options.validation, options.validation)
            renumbered = np.searchsorted(others, group[inside])
            chosen, _, _ = best_split(
                renumbered, counts[inside], blocks, shares, options.tries, options.seed
            )
            part[others] = chosen
        log(f"fold {k + 1}\n" + table(part[group], counts, blocks, PARTS))
        write_parts(data, part[group], group, names, options, Path(options.out, f"fold{k + 1}"))


def split_column(data, options):
    """The part of each row after the data set's own partition, int [N], -1 for none."""
    if options.column not in data.columns:
        raise BadInput(
            f"{data.name}: no column {options.column!r}; say --column NAME, or split by --fractions"
        )
    cells = data.text(options.column)
    if others := Counter(cell for cell in cells if cell.lower() not in OWN):
        note(
            "in no part: "
            + ", ".join(
                f"{count} rows of {name or 'no'} {options.column}"
                for name, count in others.items()
            )
        )
    row_part = np.array([OWN.get(cell.lower(), -1) for cell in cells])
    parts = [data.take(row_part == p) for p in range(3)]
    for p, q in ((0, 1), (0, 2), (1, 2)):
        parts[p].name, parts[q].name = PARTS[p], PARTS[q]
        manifest.check_disjoint(parts[p], parts[q], options.allow_shared_subjects)
    return row_part


def main():
    options = parse(Options, __doc__)
    parts = [manifest.read(path) for path in options.manifests]
    data = manifest.merge(parts, Path(options.out)) if len(parts) > 1 else parts[0]
    group, names = groups_of(data)
    if options.protocol == "leave-one-out" and "" in data.distinct("subject"):
        raise BadInput(
            f"{data.name}: rows without a subject cannot be left out by subject; "
            "name whom they show"
        )
    if options.protocol == "leave-one-out" and len(names) < 2:
        raise BadInput(
            f"{data.name}: has {len(names)} subject(s); to leave one out, two are needed: "
            "the others teach"
        )
    folds = {"disfa": 3, "leave-one-out": len(names)}.get(options.protocol, options.folds)
    refuse_overwriting(options, folds)
    _, counts, blocks = statistics(data)
    if folds:
        split_folds(data, group, names, counts, blocks, options)
        return
    if options.protocol == "column":
        row_part = split_column(data, options)
    else:
        part, score, mean = best_split(
            group, counts, blocks, options.fractions, options.tries, options.seed
        )
        row_part = part[group]
        log(f"gap {score:.4f}; the average of the tries {mean:.4f}")
    log(table(row_part, counts, blocks, PARTS))
    write_parts(data, row_part, group, names, options, options.out)


if __name__ == "__main__":
    run(main)
