"""Balance a labelled set without new images: the controls that tell balance from new information.

    python -m lib.balance pseudo.csv --like synthetic/manifest.csv --out reweighted.csv
    python -m lib.balance labelled.csv --levels --count 3000 --out balanced.csv
    python -m lib.balance pseudo.csv --by confidence --out weighted.csv

--like weights rows to another set's AU marginals.

Raking (iterative proportional fitting; Deming & Stephan 1940): row weights are scaled, AU after
AU, until each AU is present in the same weighted share of labelled rows as in the other set. An
unlabelled cell counts neither as present nor as absent. Weights that either set has count: scaling
starts from them. The result has mean 1 and is capped, so a share that the set cannot reach is
approached only; what was reached is printed. --levels draws
rows, so that each of the six levels of every AU is drawn for equally often (up- and down-sampling,
Niinuma et al. 2022, 4.2.2): the counterpart of `synthesize.py --recipe balanced`, with the same
counts of levels. --by confidence multiplies each row's weight by the column confidence that
pseudo_label.py writes, so that unsure labels count less; rows without one keep their weight.
"""
from dataclasses import dataclass

import numpy as np

from lib import manifest
from lib.cli import BadInput, arg, note, parse, run
from lib.recipes import of_level


@dataclass
class Options:
    manifest: str = arg(args=["manifest"], metavar="FILE.csv", help="the set to reweight")
    like: str = arg("", help="the set whose AU marginals are wanted", metavar="FILE.csv")
    levels: bool = arg(False, help="draw every level of every AU equally often")
    by: str = arg("", choices=["confidence"], help="multiply weights by this column")
    count: int = arg(0, help="with --levels: how many rows to draw (0: as many as there are)",
                     least=0)
    seed: int = arg(0, help="with --levels: of what is drawn", least=0)
    out: str = arg("-", help="where the manifest with the column weight goes; - is stdout",
                   writes="file")
    cap: float = arg(20.0, help="with --like: largest weight, in multiples of the mean", least=1)
    rounds: int = arg(100, help="with --like: most rounds of raking", least=1)

    def __post_init__(self):
        if bool(self.like) + self.levels + bool(self.by) != 1:
            raise ValueError("say one of --like FILE.csv, --levels and --by confidence")
        for name, mode in (("count", "levels"), ("seed", "levels"),
                           ("cap", "like"), ("rounds", "like")):
            changed = getattr(self, name) != getattr(type(self), name)  # a class has the defaults
            if changed and not getattr(self, mode):
                raise ValueError(f"--{name} needs --{mode}")


def rake(present, shares, *, cap=20.0, rounds=100, tolerance=1e-4, start=None):
    """Weights [N], mean 1, such that the weighted share of rows that show an AU approaches shares
    [A].

    present: [N,A], 1, 0, or NaN where an AU is unlabelled. Such a row is in no share of that AU,
    and that AU does not change the row's weight. An AU that no labelled row shows, or that every
    one shows, cannot be moved and is left alone; so is an AU whose share is NaN. start: the weights
    [N] that are scaled, without them 1; a row of weight 0 keeps it and is in no share."""
    present = np.asarray(present, float)
    weights = np.ones(len(present)) if start is None else np.asarray(start, float)
    known, shown = ~np.isnan(present), present == 1
    counts = known & (weights > 0)[:, None]
    movable = [a for a in range(present.shape[1])
               if 0 < (shown & counts)[:, a].sum() < counts[:, a].sum() and not np.isnan(shares[a])]
    weights = capped(weights, cap)
    for _ in range(rounds):
        before = weights.copy()
        for a in movable:
            share = np.clip(shares[a], 1e-6, 1 - 1e-6)
            now = np.average(shown[known[:, a], a], weights=weights[known[:, a]])
            factor = np.where(shown[:, a], share / now, (1 - share) / (1 - now))
            weights = weights * np.where(known[:, a], factor, 1.0)
        weights = capped(weights, cap)
        if np.abs(weights - before).max() < tolerance:
            break
    return weights


def capped(weights, cap):
    """Weights [N] of mean 1 and at most cap: what those above it lose, the others gain, in
    proportion."""
    weights = weights / weights.mean()
    at_cap = np.zeros(len(weights), bool)
    while (weights > cap * (1 + 1e-9)).any():
        at_cap |= weights > cap
        weights[at_cap] = cap
        others = weights[~at_cap].sum()
        if others <= 0:  # all but those at the cap have weight 0: nothing can gain
            return weights / weights.mean()
        weights[~at_cap] *= (len(weights) - cap * at_cap.sum()) / others
    return weights


def marginals(present, weights=None):
    """The weighted share of labelled rows that show each AU, [A] of present [N,A]; NaN where none
    is labelled."""
    known = ~np.isnan(present)
    weights = np.ones(len(present)) if weights is None else weights
    total = (known * weights[:, None]).sum(0)
    return np.divide((np.nan_to_num(present) * weights[:, None]).sum(0), total,
                     out=np.full(present.shape[1], np.nan), where=total > 0)


def level_rows(intensities, count, rng):
    """Rows int [count] drawn so that each (AU, level 0-5) that some row has is drawn for equally
    often (counts differ by at most one), and no row of a level comes twice before all others of
    it. intensities: [N,A], FACS level / 5."""
    cells = [rng.permutation(rows) for a in range(intensities.shape[1]) for level in range(6)
             if len(rows := of_level(intensities[:, a], level))]
    if not cells:
        raise BadInput("no AU is labelled with a level, so there are no levels to balance")
    cells = [cells[k] for k in rng.permutation(len(cells))]
    return np.array([
        cells[i % len(cells)][i // len(cells) % len(cells[i % len(cells)])] for i in range(count)
    ])


def balance_levels(given, options):
    """The rows of a manifest that --levels draws, as a manifest."""
    count, rng = options.count or len(given), np.random.default_rng(options.seed)
    rows = level_rows(given.levels(), count, rng)
    note(f"{len(np.unique(rows))} of {len(given)} rows are drawn, "
         f"the most frequent {np.bincount(rows).max()} times")
    return given.take(rows)


def weighted_by(given, options):
    """The manifest with weights times a column, confidence; where that is empty they stay."""
    if options.by not in given.columns:
        raise BadInput(f"{given.name}: has no column {options.by}; pseudo_label.py writes it, "
                       "and synthesize.py --check FILE.onnx --relabel")
    known = ~given.empty(options.by)
    weights = given.numbers("weight", 1.0) * given.numbers(options.by, 1.0)
    given.columns.put("weight", known, [manifest.number(w) for w in weights])
    note(f"{known.sum()} of {len(given)} rows have a {options.by}; "
         f"the mean weight is {weights.mean():.4f}")
    return given


def main():
    options = parse(Options, __doc__)
    given = manifest.read(options.manifest)
    how = balance_levels if options.levels else weighted_by if options.by else weighted
    how(given, options).write(options.out)


def weighted(given, options):
    """The manifest with weights that bring its AU marginals to those of --like."""
    like = manifest.read(options.like)
    aus = [au for au in given.au_names if au in like.au_names]
    if not aus:
        raise BadInput(f"{given.name} and {like.name} have no AU in common; nothing to balance")
    own = given.numbers("weight", 1.0).astype(float)
    if not own.any():
        raise BadInput(f"{given.name}: all weights are 0; there is nothing to balance")
    present = given.present(aus)
    shares = marginals(like.present(aus), like.numbers("weight", 1.0).astype(float))
    weights = rake(present, shares, cap=options.cap, rounds=options.rounds, start=own)
    for au, before, wanted, after in zip(aus, marginals(present, own), shares,
                                         marginals(present, weights)):
        if np.isnan([before, wanted]).any():
            note(f"{au}: labelled nowhere in {(given if np.isnan(before) else like).name}; "
                 "left alone")
        else:
            note(f"{au}: present in {before:.3f} of labelled rows, wanted {wanted:.3f}, "
                 f"weighted {after:.3f}")
    note(f"effective sample size {weights.sum() ** 2 / np.square(weights).sum():.0f} of "
         f"{len(weights)}")
    given.columns["weight"] = [manifest.number(w) for w in weights]
    return given


if __name__ == "__main__":
    run(main)
