"""Reweight a labelled set to another set's AU marginals: the control that tells balance from new information.

    python -m lib.balance pseudo.csv --like synthetic/manifest.csv --out reweighted.csv

Raking (iterative proportional fitting; Deming & Stephan 1940): row weights are scaled, AU after AU, until
each AU is present in the same weighted share of labelled rows as in the other set. An unlabelled cell counts
neither as present nor as absent. Weights have mean 1 and are capped, so a share that the set cannot reach is
approached only; what was reached is printed.
"""
from dataclasses import dataclass

import numpy as np

from lib import manifest
from lib.cli import BadInput, arg, note, parse, run


@dataclass
class Options:
    manifest: str = arg(args=["manifest"], metavar="FILE.csv", help="the set to reweight")
    like: str = arg(help="the set whose AU marginals are wanted", required=True, metavar="FILE.csv")
    out: str = arg("-", help="where the manifest with the column weight goes; - is stdout", writes="file")
    cap: float = arg(20.0, help="largest weight, in multiples of the mean", least=1)
    rounds: int = arg(100, help="most rounds of raking", least=1)


def rake(present, shares, *, cap=20.0, rounds=100, tolerance=1e-4):
    """Weights [N], mean 1, such that the weighted share of rows that show an AU approaches shares [A].

    present: [N,A], 1, 0, or NaN where an AU is unlabelled. Such a row is in no share of that AU, and that AU does not
    change the row's weight. An AU that no labelled row shows, or that every one shows, cannot be moved and is left
    alone; so is an AU whose share is NaN."""
    present = np.asarray(present, float)
    known, shown = ~np.isnan(present), present == 1
    weights = np.ones(len(present))
    movable = [a for a in range(present.shape[1])
               if 0 < shown[:, a].sum() < known[:, a].sum() and not np.isnan(shares[a])]
    for _ in range(rounds):
        before = weights.copy()
        for a in movable:
            share = np.clip(shares[a], 1e-6, 1 - 1e-6)
            now = np.average(shown[known[:, a], a], weights=weights[known[:, a]])
            factor = np.where(shown[:, a], share / now, (1 - share) / (1 - now))
            weights = weights * np.where(known[:, a], factor, 1.0)
        weights = np.minimum(weights / weights.mean(), cap)
        weights /= weights.mean()
        if np.abs(weights - before).max() < tolerance:
            break
    return weights


def marginals(present, weights=None):
    """The weighted share of labelled rows that show each AU, [A] of present [N,A]; NaN where none is labelled."""
    known = ~np.isnan(present)
    weights = np.ones(len(present)) if weights is None else weights
    total = (known * weights[:, None]).sum(0)
    return np.divide((np.nan_to_num(present) * weights[:, None]).sum(0), total,
                     out=np.full(present.shape[1], np.nan), where=total > 0)


def main():
    options = parse(Options, __doc__)
    given, like = manifest.read(options.manifest), manifest.read(options.like)
    aus = [au for au in given.au_names if au in like.au_names]
    if not aus:
        raise BadInput(f"{given.name} and {like.name} have no AU in common; nothing to balance")
    present, shares = given.present(aus), marginals(like.present(aus))
    weights = rake(present, shares, cap=options.cap, rounds=options.rounds)
    for au, before, wanted, after in zip(aus, marginals(present), shares, marginals(present, weights)):
        if np.isnan([before, wanted]).any():
            note(f"{au}: labelled nowhere in {(given if np.isnan(before) else like).name}; left alone")
        else:
            note(f"{au}: present in {before:.3f} of labelled rows, wanted {wanted:.3f}, weighted {after:.3f}")
    note(f"effective sample size {weights.sum() ** 2 / np.square(weights).sum():.0f} of {len(weights)}")
    given.columns["weight"] = [manifest.number(w) for w in weights * given.numbers("weight", 1.0)]
    given.write(options.out)


if __name__ == "__main__":
    run(main)
