"""Noisy stripes whose brightness is an AU, and train_classifier.py on them in this process."""

import numpy as np
from commands import call

import train_classifier
from lib import images, manifest


def make_set(folder, name, count, subject, seed, **columns):
    """Noisy stripes of 16 x 16 pixels: the brightness of stripe k is AU k; every label is
    there."""
    draw = np.random.default_rng(seed)
    levels = draw.integers(0, 6, (count, 2)) / 5
    pixels = levels.repeat(8, 1)[:, None, :, None] * 200 + draw.normal(20, 8, (count, 16, 16, 3))
    images.save_pack(folder / f"{name}.npy", pixels.clip(0, 255))
    table = {
        "path": [f"{name}.npy#{i}" for i in range(count)],
        "subject": [f"{subject}{i % 4}" for i in range(count)],
        "AU01": list(levels[:, 0]),
        "AU12": list(levels[:, 1]),
        "valence": list(2 * levels[:, 1] - 1),
        "arousal": list(levels[:, 0]),
        "expression": [["calm", "joy"][int(x > 0.5)] for x in levels[:, 1]],
    }
    manifest.write(folder / f"{name}.csv", table | columns)
    return folder / f"{name}.csv"


def train(data, out, capsys, *more, status=0):
    """Train in this process; what was said."""
    code, shown, said = call(
        train_classifier.main,
        capsys,
        "--train",
        data[0],
        "--validation",
        data[1],
        "--out",
        out,
        "--arch",
        "tiny",
        "--device",
        "cpu",
        "--batch",
        20,
        "--max-steps",
        2,
        *more,
    )
    assert code == status and shown == "", said
    return said
