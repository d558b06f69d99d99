"""Splits of manifests in which nobody is on two sides: labelled.csv, validation.csv, test.csv.

    python -m lib.datasets.split manifest.csv --out DIR                             70 % / 15 % / 15 % of the images
    python -m lib.datasets.split a.csv b.csv --out DIR --fractions 0.8 0 0.2 --tries 1 --seed 3
    python -m lib.datasets.split manifest.csv --out DIR --folds 5                   DIR/fold1/labelled.csv …
    python -m lib.datasets.split disfa.csv --out DIR --protocol disfa               its three usual folds
    python -m lib.datasets.split manifest.csv --out DIR --protocol column           the data set's own `partition`

Of --tries random splits of the subjects the one stays whose parts are most alike in AUs, valence, arousal and
expressions (Richer 3.1.4); the table of differences goes to stderr. A fold's checkpoints are chosen on its
validation.csv, which are people of the other folds. With --unlabelled 0.5 half of the labelled people lose their
labels and go to unlabelled.csv, as do images of the labelled part that never had one. Rows without a subject are
kept together by `video`; without that each is alone. subjects.csv says who is where. An earlier split's files are
replaced; any other file of these names, an input above all, is refused.
"""
import contextlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import labels, manifest
from lib.cli import BadInput, arg, log, note, parse, run
from lib.files import replacing

PARTS = ("labelled", "validation", "test")
WRITTEN = (*PARTS, "unlabelled", "subjects")
DISFA = [["SN002", "SN010", "SN001", "SN026", "SN027", "SN032", "SN030", "SN009", "SN016"],
         ["SN013", "SN018", "SN011", "SN028", "SN012", "SN006", "SN031", "SN021", "SN024"],
         ["SN003", "SN029", "SN023", "SN025", "SN008", "SN005", "SN007", "SN017", "SN004"]]
OWN = {"train": 0, "training": 0, "labelled": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2}
BINS = 20  # of the histograms of valence and arousal over [-1, 1]
MOST_ROWS = 20_000_000  # subjects x tries: with many subjects every split is alike, and fewer tries do


@dataclass(kw_only=True)
class Options:
    manifests: list[str] = arg(args=["manifests"], nargs="+", metavar="FILE.csv", help="manifests, split as one")
    out: str = arg(required=True, metavar="DIR", help="where the parts are written", writes="folder")
    fractions: list[float] = arg([0.7, 0.15, 0.15], nargs=3, metavar="F",
                                 help="shares of images for labelled, validation and test")
    protocol: str = arg("fractions", help="how to split", choices=["fractions", "disfa", "column"])
    folds: int = arg(0, help="cross-validation with this many folds, in place of fractions")
    validation: float = arg(0.15, help="share of a fold's other people on which its checkpoints are chosen")
    column: str = arg("partition", help="the column with train, validation, test (--protocol column)")
    tries: int = arg(1000, help="random splits of which the most even is taken; 1: any", least=1)
    unlabelled: float = arg(0.0, help="share of the labelled images whose people lose their labels")
    seed: int = arg(0, help="of the random splits", least=0)
    allow_shared_subjects: bool = arg(False, help="let --protocol column have a person on two sides")

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
    names = [subject or (f"video {video}" if video else path) for subject, video, path in
             zip(data.text("subject"), data.text("video"), data.text("path"))]
    order = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([order[name] for name in names]), list(order)


def statistics(data):
    """What splits are compared by: (names [F], counts float64 [N,F], blocks). A block (kind, columns) is an AU
    (labelled, present), or a histogram (valence, arousal, expression)."""
    names, columns, blocks = [], [], []

    def block(kind, label, titles, values):
        blocks.append((kind, label, slice(len(names), len(names) + len(titles))))
        names.extend(titles)
        columns.extend(values)

    occurrence = data.occurrence()
    threshold = np.where(occurrence, labels.PRESENT_OCCURRENCE, labels.PRESENT_INTENSITY)
    for name in data.au_names:
        values = data.numbers(name)
        block("au", name, ["labelled", "present"], [~np.isnan(values), values >= threshold])
    for name in labels.VALENCE_AROUSAL:
        values = data.numbers(name)
        if not np.isnan(values).all():
            low = np.clip(np.floor((np.nan_to_num(values, nan=-9) + 1) / 2 * BINS), -1, BINS - 1)
            low[np.isnan(values)] = -1
            block("histogram", name, range(BINS), [low == i for i in range(BINS)])
    if kinds := sorted(set(data.text("expression")) - {""}):
        cells = np.array(data.text("expression"))
        block("histogram", "expression", kinds, [cells == kind for kind in kinds])
    return names, np.array(columns, np.float64).reshape(len(columns), len(data)).T, blocks


def gaps(part, whole, blocks):
    """Differences [B] in [0, 1] between a part's and the whole's counts [F]: of an AU's frequency, or half the sum
    of differences of two histograms. An AU or variable that the part lacks altogether differs by 1."""
    out = []
    for kind, _, columns in blocks:
        a, b = part[columns], whole[columns]
        if kind == "au":
            lacks = b[1] > 0 and a[1] == 0
            out.append(1.0 if lacks else abs(a[1] / max(a[0], 1) - b[1] / max(b[0], 1)))
        else:
            out.append(abs(a / a.sum() - b / b.sum()).sum() / 2 if a.sum() else 1.0)
    return np.array(out)


def best_split(group, counts, blocks, fractions, tries, seed):
    """Assign G groups to parts of about `fractions` of the rows. Returns (part [G], score, mean score of all tries):
    the score of a split is the mean of its parts' gaps plus the mean gap in size."""
    fractions = np.asarray(fractions)
    wanted = np.flatnonzero(fractions)
    number = group.max() + 1
    if number < len(wanted):
        raise BadInput(f"{number} subject(s) cannot be split into {len(wanted)} parts; more people are needed")
    sums = np.array([np.bincount(group, column, number) for column in counts.T]).reshape(-1, number).T  # [G,F]
    rows = np.bincount(group).astype(float)
    whole, random, scores, best = sums.sum(0), np.random.default_rng(seed), [], None
    tries = max(1, min(tries, MOST_ROWS // (number * max(1, counts.shape[1]))))
    ends = np.cumsum(fractions[wanted])[:-1] * rows.sum()
    for _ in range(tries):
        order = random.permutation(number)
        middle = np.cumsum(rows[order]) - rows[order] / 2  # a group goes where its middle falls
        cuts = np.searchsorted(middle, ends)
        cuts = [min(max(cut, i + 1), number - len(ends) + i) for i, cut in enumerate(cuts)]
        for i in range(1, len(cuts)):
            cuts[i] = max(cuts[i], cuts[i - 1] + 1)  # nobody's part is empty
        part = np.empty(number, int)
        part[order] = wanted[np.searchsorted(cuts, np.arange(number), side="right")]
        score = 0.0
        for p in wanted:
            inside = part == p
            score += abs(rows[inside].sum() / rows.sum() - fractions[p]) / len(wanted)
            if blocks:
                score += gaps(sums[inside].sum(0), whole, blocks).mean() / len(wanted)
        scores.append(score)
        if best is None or score < best[1]:
            best = (part, score)
    return *best, float(np.mean(scores))


def table(row_part, counts, blocks, titles):
    """The table of differences as text: per AU how often it is present, per histogram how far a part is from all."""
    parts = [p for p in range(len(titles)) if (row_part == p).any()]
    whole = counts.sum(0)
    lines = [f"{'':12}" + "".join(f"{titles[p]:>12}" for p in parts) + f"{'all':>12}{'largest gap':>13}",
             f"{'images':12}" + "".join(f"{(row_part == p).sum():>12}" for p in parts) + f"{len(row_part):>12}"]
    sums = [counts[row_part == p].sum(0) for p in parts]
    every = [gaps(part, whole, blocks) for part in sums]
    for b, (kind, label, columns) in enumerate(blocks):
        largest = f"{100 * max(gap[b] for gap in every):>12.1f}%"
        if kind == "au":
            cells = [f"{100 * part[columns][1] / max(part[columns][0], 1):>11.1f}%" for part in [*sums, whole]]
        else:
            cells = [f"{100 * gap[b]:>11.1f}%" for gap in every] + [f"{'-':>12}"]
        lines.append(f"{label:12}" + "".join(cells) + largest)
    return "\n".join(lines)


def write_parts(data, row_part, group, names, options, folder):
    """Write labelled.csv, validation.csv, test.csv, unlabelled.csv and, last, subjects.csv."""
    is_label = [name for name in data.columns if labels.is_au(name) or name in ("valence", "arousal", "expression")]
    bare = np.array([not any(cells) for cells in zip(*(data.columns[name] for name in is_label))]
                    if is_label else [True] * len(data))
    hidden = (row_part == 0) & bare
    if options.unlabelled:
        people = np.unique(group[(row_part == 0) & ~bare])
        inside = np.flatnonzero(np.isin(group, people) & (row_part == 0))
        order = {person: i for i, person in enumerate(people)}
        renumbered = np.array([order[g] for g in group[inside]])
        shares = (1 - options.unlabelled, options.unlabelled)
        _, counts, blocks = statistics(data.take(inside))
        part, _, _ = best_split(renumbered, counts, blocks, shares, options.tries, options.seed)
        hidden[inside[part[renumbered] == 1]] = True
    parts = {name: data.take((row_part == p) & ~hidden) for p, name in enumerate(PARTS)}
    parts["unlabelled"] = data.take(hidden)
    parts["unlabelled"].columns = {name: cells for name, cells in parts["unlabelled"].columns.items()
                                   if name not in is_label and name != "au_kind"}
    where = {}
    for g, p, away in zip(group, row_part, hidden):
        if p >= 0:
            where[g] = "unlabelled" if away and where.get(g) != "labelled" else PARTS[p]
    with contextlib.ExitStack() as stack:  # all take their places at its end, the one entered first last
        place = lambda name: stack.enter_context(replacing(Path(folder, name + ".csv")))
        manifest.write(place("subjects"), {"subject": [names[g] for g in where], "part": list(where.values())})
        for name, part in parts.items():
            if len(part):
                part.write(place(name))
        for name in WRITTEN:  # an earlier split's parts must not mix with this one's
            Path(folder, name + ".csv").unlink(missing_ok=True)


def refuse_overwriting(options):
    """BadInput when a part would take the place of an input, or of a file that no split wrote (a split's parts have
    its subjects.csv beside them)."""
    folds = 3 if options.protocol == "disfa" else options.folds
    folders = [Path(options.out, f"fold{k + 1}") for k in range(folds)] or [Path(options.out)]
    inputs = {os.path.realpath(path): path for path in options.manifests if path != "-"}
    for folder in folders:
        listed = Path(folder, "subjects.csv")
        earlier = listed.is_file() and listed.read_bytes().split(b"\n", 1)[0].strip() == b"subject,part"
        for file in (Path(folder, name + ".csv") for name in WRITTEN):
            if source := inputs.get(os.path.realpath(file)):
                raise BadInput(f"{source}: would be overwritten by its own parts; choose another --out")
            if file.exists() and not earlier:
                raise BadInput(f"{file}: is there and not of an earlier split; choose another --out, or remove it")


def folds_of(group, names, counts, blocks, options):
    """The fold of each group, int [G]."""
    if options.protocol == "disfa":
        fold = {subject: i for i, subjects in enumerate(DISFA) for subject in subjects}
        keys = [re.search(r"SN\d+", name) for name in names]
        if unknown := [name for name, key in zip(names, keys) if not key or key[0] not in fold]:
            raise BadInput(f"subject {unknown[0]!r} is none of DISFA's 27 (SN001 …); use --folds for other data")
        return np.array([fold[key[0]] for key in keys])
    share = [1 / options.folds] * options.folds
    part, score, mean = best_split(group, counts, blocks, share, options.tries, options.seed)
    log(f"folds: gap {score:.4f}, the average of the tries {mean:.4f}")
    return part


def split_folds(data, group, names, counts, blocks, options):
    """DIR/fold1 … each with its own test people; the validation people are chosen among the others."""
    fold = folds_of(group, names, counts, blocks, options)
    for k in range(fold.max() + 1):
        part = np.where(fold == k, 2, 0)
        others = np.flatnonzero(part == 0)
        inside = np.isin(group, others)
        if options.validation and len(others) > 1:
            shares = (1 - options.validation, options.validation)
            renumbered = np.searchsorted(others, group[inside])
            chosen, _, _ = best_split(renumbered, counts[inside], blocks, shares, options.tries, options.seed)
            part[others] = chosen
        log(f"fold {k + 1}\n" + table(part[group], counts, blocks, PARTS))
        write_parts(data, part[group], group, names, options, Path(options.out, f"fold{k + 1}"))


def split_column(data, options):
    """The part of each row after the data set's own partition, int [N], -1 for none."""
    if options.column not in data.columns:
        raise BadInput(f"{data.name}: no column {options.column!r}; say --column NAME, or split by --fractions")
    cells = data.text(options.column)
    if others := Counter(cell for cell in cells if cell.lower() not in OWN):
        note("in no part: " + ", ".join(f"{count} rows of {name or 'no'} {options.column}"
                                        for name, count in others.items()))
    row_part = np.array([OWN.get(cell.lower(), -1) for cell in cells])
    parts = [data.take(row_part == p) for p in range(3)]
    for p, q in ((0, 1), (0, 2), (1, 2)):
        parts[p].name, parts[q].name = PARTS[p], PARTS[q]
        manifest.check_disjoint(parts[p], parts[q], options.allow_shared_subjects)
    return row_part


def main():
    options = parse(Options, __doc__)
    refuse_overwriting(options)
    parts = [manifest.read(path) for path in options.manifests]
    data = manifest.merge(parts, Path(options.out)) if len(parts) > 1 else parts[0]
    group, names = groups_of(data)
    _, counts, blocks = statistics(data)
    if options.folds or options.protocol == "disfa":
        split_folds(data, group, names, counts, blocks, options)
        return
    if options.protocol == "column":
        row_part = split_column(data, options)
    else:
        part, score, mean = best_split(group, counts, blocks, options.fractions, options.tries, options.seed)
        row_part = part[group]
        log(f"gap {score:.4f}; the average of the tries {mean:.4f}")
    log(table(row_part, counts, blocks, PARTS))
    write_parts(data, row_part, group, names, options, options.out)


if __name__ == "__main__":
    run(main)
