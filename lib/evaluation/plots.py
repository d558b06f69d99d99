"""Pictures for `evaluate.py --report DIR`: bars an AU, true and predicted co-activation, sheets of edits.

matplotlib draws into files only (Agg); it is imported here, and this module only where pictures are asked for.
"""
from pathlib import Path

import matplotlib
import numpy as np

from lib import images
from lib.files import replacing

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  the backend is chosen first

PAIRS_SHOWN = 3  # edited faces an AU in sheet.png


def classifier(folder, out):
    """au_bars.png and coactivation.png of a report; does nothing when it has no AUs."""
    if "au" not in out:
        return
    names = list(out["au"]["per_au"])
    rows = out["au"]["per_au"].values()
    fixed = out["au_fixed"]["per_au"].values()
    bars(Path(folder) / "au_bars.png", names,
         {"F1 at chosen thresholds": [row["f1"] for row in rows], "F1 at 0.5": [row["f1"] for row in fixed],
          "FDR at chosen thresholds": [row["fdr"] for row in rows]}, f"{out['n']} images")
    matrices(Path(folder) / "coactivation.png", names,
             {name: np.array(out["au"]["coactivation"][name], float) for name in ("true", "predicted")})


def bars(path, names, series, title):
    """Grouped bars, one group a name; None leaves a gap. series: label -> values in [0, 1] (or beyond)."""
    figure, axes = pyplot.subplots(figsize=(max(6, 0.55 * len(names) + 2), 3.6), layout="constrained")
    width = 0.8 / len(series)
    for i, (label, values) in enumerate(series.items()):
        heights = [np.nan if value is None else value for value in values]
        axes.bar(np.arange(len(names)) + (i - (len(series) - 1) / 2) * width, heights, width, label=label)
    axes.set_xticks(range(len(names)), names, rotation=60)
    axes.set_title(title, fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.legend(fontsize=8, ncols=len(series), loc="upper center", bbox_to_anchor=(0.5, -0.25), frameon=False)
    save(figure, path)


def matrices(path, names, pictures):
    """Matrices [A,A] in [0, 1] side by side, NaN blank. pictures: title -> matrix."""
    figure, axes = pyplot.subplots(1, len(pictures), figsize=(len(pictures) * (0.22 * len(names) + 2.5),
                                                              0.22 * len(names) + 2.2), layout="constrained")
    for axis, (title, matrix) in zip(np.atleast_1d(axes), pictures.items()):
        shown = axis.imshow(matrix, vmin=0, vmax=1, cmap="viridis")
        axis.set_title(f"P(column | row), {title}", fontsize=9)
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axis.set_yticks(range(len(names)), names, fontsize=7)
    figure.colorbar(shown, ax=axes, shrink=0.7)
    save(figure, path)


def edits(folder, out, pairs):
    """edit_bars.png, and sheet.png with source, edited and true image of the first pairs of each AU."""
    per_au = out["edits"]["per_au"]
    names = list(per_au)
    bars(Path(folder) / "edit_bars.png", names,
         {"fulfilment": [row["fulfilment"] for row in per_au.values()],
          "leakage / rise": [row["leakage_ratio"] for row in per_au.values()],
          "L1 to the true image / unedited's": [row["l1_ratio"] for row in per_au.values()]},
         f"{out['n']} pairs (the judge's readings; fulfilment 1 is the true rise)")
    sheet(Path(folder) / "sheet.png", names, pairs)


def sheet(path, names, pairs):
    """One row an AU (its name at the left): source, edited and true image, PAIRS_SHOWN times."""
    size = pairs.pictures["source"].shape[1]
    rows = []
    for name in names:
        shown = [i for i, target in enumerate(pairs.target_au) if target == name][:PAIRS_SHOWN]
        cells = [pairs.pictures[kind][i] for i in shown for kind in ("source", "edited", "true")]
        rows.append([caption(name, size), *cells])
    header = [caption(text, size) for text in ("", *("source", "edited", "true") * PAIRS_SHOWN)]
    images.save(path, images.sheet([header[:max(map(len, rows))], *rows], scale=max(1, 96 // size)))


def caption(text, size):
    """A white tile with a word in it, uint8 [size,size,3]."""
    from PIL import Image, ImageDraw

    tile = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(tile).text((size / 2, size / 2), text, "black", anchor="mm", font_size=max(6, size // 4))
    return np.asarray(tile)


def save(figure, path):
    """Write a figure as PNG, replacing the file at once."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)
