"""Loss curves of trainings, side by side.

    python -m lib.evaluation.loss_curves runs/a/history.jsonl runs/b/history.jsonl --out curves.png
    python -m lib.evaluation.loss_curves runs/*/history.jsonl --terms d_real d_fake --out curves.png

One small chart a training, under the name of its folders; the mean of each epoch over the steps.
Without --terms a generator shows its d_… and g_…, a classifier what has `loss` in its name.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.cli import BadInput, arg, log, parse, run

COLUMNS, HEIGHT = 4, 1.5  # charts in a row; inches of a chart


@dataclass
class Options:
    histories: list[str] = arg(
        help="history.jsonl of trainings", args=["histories"], nargs="+", metavar="history.jsonl"
    )
    out: str = arg(help="where the picture goes", required=True, metavar="FILE.png", writes="file")
    terms: list[str] = arg([], nargs="+", help="which terms [all losses: d_… and g_…, else …loss]")


def read(path):
    """(steps [E], {term: values [E]}) of one training; NaN where an epoch lacks a term.

    BadInput for a file that is missing, empty or no history."""
    try:
        lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
        steps = [line["step"] for line in lines]
    except FileNotFoundError:
        raise BadInput(f"{path}: no such history; give that beside a training's --out") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: not a history of a training ({error})") from None
    if not lines:
        raise BadInput(f"{path}: the training has not finished an epoch")
    names = dict.fromkeys(name for line in lines for name in line)
    series = {name: np.array([number(line.get(name)) for line in lines]) for name in names}
    return steps, series


def number(value):
    """A float, NaN for what is no number."""
    return float(value) if isinstance(value, (int, float)) else np.nan


def title(path):
    """runs/quick/richer/d-au/seed1/history.jsonl: 'd-au seed1'."""
    return " ".join(Path(path).absolute().parts[-3:-1])


def losses(path, names):
    """Which of a history's names are losses; BadInput where none is known by its name."""
    found = [name for name in names if name.startswith(("d_", "g_"))]
    found = found or [name for name in names if "loss" in name]
    if not found:
        raise BadInput(f"{path}: no name is that of a loss (d_…, g_… or …loss…); "
                       f"say --terms with some of {' '.join(names)}")
    return found


def draw(histories, terms, out):
    """The picture. histories: paths; terms: names, or [] for every loss (see `losses`)."""
    from lib.evaluation import plots  # starts matplotlib

    found = [read(path) for path in histories]
    known = list(dict.fromkeys(name for _, series in found for name in series))
    missing = [name for name in terms if name not in known]
    if missing:
        raise BadInput(f"--terms {' '.join(missing)}: not in the histories; "
                       f"they have {' '.join(known)}")
    shown = terms or list(dict.fromkeys(
        name for path, (_, series) in zip(histories, found) for name in losses(path, series)
    ))
    rows = -(-len(found) // COLUMNS)
    figure, axes = plots.pyplot.subplots(
        rows, min(COLUMNS, len(found)), figsize=(plots.WIDTH * 1.6, HEIGHT * rows + 0.5),
        layout="constrained", squeeze=False, sharex=True,
    )
    for axis in axes.ravel()[len(found):]:
        axis.axis("off")
    lines = {}
    for axis, path, (steps, series) in zip(axes.ravel(), histories, found):
        for k, name in enumerate(shown):
            if name in series and np.isfinite(series[name]).any():
                (lines[name],) = axis.plot(
                    steps, series[name], color=f"C{k}", linewidth=1, marker=".", markersize=2
                )
        axis.set_title(title(path), fontsize=7)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=6)
    figure.legend(
        lines.values(), lines, loc="outside lower center", ncols=min(8, max(1, len(lines))),
        fontsize=7, frameon=False,
    )
    plots.save(figure, out)


def main(argv=None):
    options = parse(Options, __doc__, argv)
    draw(options.histories, options.terms, options.out)
    log(f"{options.out}: {len(options.histories)} trainings")


if __name__ == "__main__":
    run(main)
