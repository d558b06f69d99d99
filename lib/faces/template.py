"""Makes lib/faces/template.csv, the average frontal face that registration aligns to.

    python -m lib.faces.template [--people 60] [--out lib/faces/template.csv]

The landmarks found on rendered people who look straight ahead, each with an expression of their
own, are brought together (generalised Procrustes, Gower 1975), averaged and made symmetric. Needs
torch, to render.
"""
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.cli import arg, log, parse, run
from lib.faces import align, landmarks
from lib.faces.geometry import similarity
from lib.files import write_text

SEED = 4_000_003  # people whom the measurement does not use


@dataclass
class Options:
    people: int = arg(60, help="rendered people to average")
    out: str = arg(str(Path(__file__).with_name("template.csv")), help="file to write")


def average(shapes, rounds=10):
    """The mean of meshes float [N,P,3], in size 1, turned as they are on average."""
    level = [shape - shape.mean(0) for shape in shapes]
    level = np.array([shape / np.sqrt((shape**2).sum(1).mean()) for shape in level])
    upright = mean = level.mean(0)
    for _ in range(rounds):
        moved = [scale * shape @ rotation.T + shift for shape in level
                 for scale, rotation, shift in [similarity(shape, mean)]]
        mean = np.mean(moved, 0)
        scale, rotation, shift = similarity(mean, upright)  # neither shrink nor drift
        mean = scale * mean @ rotation.T + shift
    return mean


def mirror_pairs(shape):
    """For each point of a nearly symmetric mesh its counterpart on the other side, int [P]."""
    from scipy.optimize import linear_sum_assignment

    distance = ((shape[:, None] - shape[None] * [-1, 1, 1]) ** 2).sum(-1)
    return linear_sum_assignment(distance)[1]


def framed(shape):
    """The mesh in the registered picture: its box's square x 1.1 becomes [0, 1]; mean depth 0."""
    low, high = shape.min(0), shape.max(0)
    scale = 1 / (align.ROOM * (high - low)[:2].max())
    middle = np.array([*(low + high)[:2] / 2, shape[:, 2].mean()])
    return (shape - middle) * scale + [0.5, 0.5, 0]


def main(argv=None):
    options = parse(Options, __doc__, argv)
    from lib.faces.portraits import portraits

    pictures = portraits(options.people, [(0, 0, 0)], 256, SEED)[:, 0]
    found = [landmarks.faces_in(picture) for picture in pictures]
    shapes = [faces[0].points.astype(np.float64) for faces in found if faces]
    mean = average(shapes)
    mean = mean - [mean[:, 0].mean(), 0, 0]
    mean = (mean + mean[mirror_pairs(mean)] * [-1, 1, 1]) / 2
    lines = [",".join(f"{value:.4f}" for value in point) for point in framed(mean)]
    write_text(options.out, "x,y,depth\n" + "\n".join(lines) + "\n")
    log(f"averaged {len(shapes)} of {options.people} people")


if __name__ == "__main__":
    run(main)
