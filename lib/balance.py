"""Reweight a labelled set to another set's AU marginals: the control that tells balance from new information.

    python -m lib.balance pseudo.csv --like synthetic/manifest.csv --out reweighted.csv

Raking (iterative proportional fitting; Deming & Stephan 1940): row weights are scaled, AU after AU, until
each AU is present in the same weighted share of rows as in the other set. Weights have mean 1 and are capped,
so a share that the set cannot reach is approached only; what was reached is printed.
"""
from dataclasses import dataclass

import numpy as np

from lib import labels, manifest
from lib.cli import BadInput, arg, note, parse, run


@dataclass
class Options:
    manifest: str = arg(args=["manifest"], metavar="FILE.csv", help="the set to reweight")
    like: str = arg(help="the set whose AU marginals are wanted", required=True, metavar="FILE.csv")
    out: str = arg("-", help="where the manifest with the column weight goes; - is stdout", writes="file")
    cap: float = arg(20.0, help="largest weight, in multiples of the mean", least=1)
    rounds: int = arg(100, help="most rounds of raking", least=1)


def rake(present, shares, *, cap=20.0, rounds=100, tolerance=1e-4):
    """Weights [N], mean 1, such that the weighted mean of present [N,A] (bool) approaches shares [A].

    AUs that no row, or every row, shows cannot be moved and are left alone."""
    present = np.asarray(present, bool)
    weights = np.ones(len(present))
    movable = [a for a in range(present.shape[1]) if 0 < present[:, a].sum() < len(present)]
    for _ in range(rounds):
        before = weights.copy()
        for a in movable:
            share = np.clip(shares[a], 1e-6, 1 - 1e-6)
            now = np.average(present[:, a], weights=weights)
            weights = weights * np.where(present[:, a], share / now, (1 - share) / (1 - now))
        weights = np.minimum(weights / weights.mean(), cap)
        weights /= weights.mean()
        if np.abs(weights - before).max() < tolerance:
            break
    return weights


def main():
    options = parse(Options, __doc__)
    given, like = manifest.read(options.manifest), manifest.read(options.like)
    aus = [au for au in given.au_names if au in like.au_names]
    if not aus:
        raise BadInput(f"{given.name} and {like.name} have no AU in common; nothing to balance")
    present = np.nan_to_num(given.aus(aus)) >= labels.PRESENT_INTENSITY
    shares = (np.nan_to_num(like.aus(aus)) >= labels.PRESENT_INTENSITY).mean(0)
    weights = rake(present, shares, cap=options.cap, rounds=options.rounds)
    reached = np.average(present, axis=0, weights=weights)
    for au, before, wanted, after in zip(aus, present.mean(0), shares, reached):
        note(f"{au}: present in {before:.3f} of rows, wanted {wanted:.3f}, weighted {after:.3f}")
    note(f"effective sample size {weights.sum() ** 2 / np.square(weights).sum():.0f} of {len(weights)}")
    given.columns["weight"] = [manifest.number(w) for w in weights * given.numbers("weight", 1.0)]
    given.write(options.out)


if __name__ == "__main__":
    run(main)
