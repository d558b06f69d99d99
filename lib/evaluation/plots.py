"""Drawings that pages are made of: bars, matrices, curves, the circumplex, sheets of images.

All are narrow (WIDTH inches), so that a phone shows their letters large enough. matplotlib draws
into files only (Agg); it is imported here, and this module only where pictures are asked for.
"""

import matplotlib
import numpy as np

from lib import images
from lib.files import replacing

matplotlib.use("Agg")
# names of people, sets and expressions may hold a $, which would begin a formula
matplotlib.rcParams["text.parse_math"] = False
from matplotlib import pyplot  # noqa: E402  the backend is chosen first

WIDTH = 4.8  # inches; at DOTS an inch twice the width of a phone's screen
DOTS = 160
# Okabe & Ito
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999"]
UNLABELLED = "#dddddd"
WORDS = {"right": (1.0, 0.0, "pleasant"), "left": (-1.0, 0.0, "unpleasant"),
         "top": (0.0, 1.0, "active"), "bottom": (0.0, -1.0, "passive")}


def save(figure, path):
    """Write a figure as PNG, replacing the file at once."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DOTS, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)


def canvas(rows=1, height=3.6, **keywords):
    """(figure, axes [rows]) of the one width."""
    figure, axes = pyplot.subplots(rows, 1, figsize=(WIDTH, height), layout="constrained",
                                   squeeze=False, **keywords)
    return figure, axes[:, 0]


def bars(path, names, series, title, bounds=None, limits=None):
    """Bars to the right, one group a name from top to bottom; None leaves a gap.

    series: label -> N values; bounds: label -> N (low, high) or None, drawn as whiskers."""
    figure, (axes,) = canvas(height=max(2.2, 0.17 * len(names) * (len(series) + 0.6) + 1.1))
    thick = 0.84 / len(series)
    for i, (label, values) in enumerate(series.items()):
        at = np.arange(len(names)) + (i - (len(series) - 1) / 2) * thick
        lengths = np.array([np.nan if value is None else value for value in values], float)
        axes.barh(at, lengths, thick * 0.92, label=shown(label), color=colour(i))
        for y, value, pair in zip(at, lengths, (bounds or {}).get(label) or []):
            if pair and value == value:
                axes.plot(pair, [y, y], color="black", linewidth=0.9, solid_capstyle="butt")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.45, -0.55)
    if limits:
        axes.set_xlim(*limits)
    axes.grid(axis="x", alpha=0.3)
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_title(title, fontsize=9)
    if len(series) > 1:
        below(axes, series, 0.4 / figure.get_figheight())
    save(figure, path)


def colour(k):
    """The k-th colour; they begin anew after the last."""
    return COLOURS[k % len(COLOURS)]


def shown(label):
    """A label as a legend shows it: matplotlib leaves out those that begin with _."""
    return f" {label}" if label.startswith("_") else label


def below(axes, names, gap):
    """A legend under a chart, side by side where the names are short. gap: share of the chart's
    height."""
    wide = sum(map(len, names)) > 40
    axes.legend(fontsize=8, ncols=1 if wide else len(names), loc="upper center", frameon=False,
                bbox_to_anchor=(0.5, -gap))


def matrices(path, names, pictures, signed=()):
    """Matrices [A,A] one below the other, NaN blank. pictures: title -> matrix in [0, 1]; signed:
    titles of differences in [-1, 1], which get two colours."""
    figure, axes = canvas(len(pictures), 4.3 * len(pictures))
    for axis, (title, matrix) in zip(axes, pictures.items()):
        low, colours = (-1, "RdBu_r") if title in signed else (0, "viridis")
        drawn = axis.imshow(matrix, vmin=low, vmax=1, cmap=colours)
        axis.set_title(title, fontsize=9)
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axis.set_yticks(range(len(names)), names, fontsize=7)
        axis.set_facecolor("#eeeeee")
        figure.colorbar(drawn, ax=axis, shrink=0.75).ax.tick_params(labelsize=7)
    save(figure, path)


def confusion(path, names, counts):
    """A confusion matrix [E,E] of counts (rows: truth), coloured by the share of its row."""
    counts = np.asarray(counts, float)
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    figure, (axes,) = canvas(height=4.4)
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, f"{count:.0f}", ha="center", va="center", fontsize=7,
                  color="white" if shares[row, column] > 0.55 else "black")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("read as", fontsize=8)
    axes.set_ylabel("truth", fontsize=8)
    save(figure, path)


def reliability(path, curves, labels):
    """Curves of lib.evaluation.metrics.reliability (label -> result) over the diagonal, and how
    many readings each bin has. labels: (x, y)."""
    figure, (axes, number) = canvas(2, 4.6, height_ratios=(3, 1), sharex=True)
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.8, linestyle="--")
    for (label, found), tone in zip(curves.items(), COLOURS):
        rows = [row for row in found["bins"] if row["n"]]
        ece = "undefined" if found["ece"] is None else f"{found['ece']:.3f}"
        axes.plot([row["score"] for row in rows], [row["truth"] for row in rows], "o-",
                  color=tone, markersize=4, label=f"{label}, error {ece}")
        number.step([row["from"] for row in found["bins"]] + [1],
                    [row["n"] for row in found["bins"]] + [found["bins"][-1]["n"]], where="post",
                    color=tone)
    axes.set_ylabel(labels[1], fontsize=8)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    number.set_yscale("symlog", linthresh=1)
    number.yaxis.set_major_formatter("{x:,.0f}")  # its own writes formulas: $10^2$
    number.set_xlabel(labels[0], fontsize=8)
    number.set_ylabel("readings", fontsize=8)
    for axis in (axes, number):
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    save(figure, path)


def circumplex(axis):
    """Valence to the right and arousal upwards, with the unit circle and words at its ends."""
    axis.add_patch(pyplot.Circle((0, 0), 1, fill=False, color="#888888", linewidth=0.8))
    axis.axhline(0, color="#bbbbbb", linewidth=0.6)
    axis.axvline(0, color="#bbbbbb", linewidth=0.6)
    axis.set_xlim(-1.08, 1.08)
    axis.set_ylim(-1.08, 1.08)
    axis.set_aspect("equal")
    axis.tick_params(labelsize=7)
    for side, (x, y, word) in WORDS.items():
        upright = {"right": ("right", "bottom"), "left": ("left", "bottom"), "top": ("left", "top"),
                   "bottom": ("left", "bottom")}[side]
        axis.text(x, y, f" {word} ", fontsize=7, color="#333333", ha=upright[0], va=upright[1],
                  zorder=5, bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5})
    axis.set_xlabel("valence", fontsize=8)
    axis.set_ylabel("arousal", fontsize=8)


def circumplex_points(path, groups):
    """Points (label -> [N,2]) on the circumplex, in one picture."""
    figure, (axis,) = canvas(height=4.8)
    circumplex(axis)
    for (label, points), tone in zip(groups.items(), COLOURS):
        axis.scatter(*points.T, s=7, alpha=0.45, color=tone, linewidths=0, label=label)
    axis.legend(fontsize=8, frameon=False, loc="upper center", ncols=len(groups),
                bbox_to_anchor=(0.5, 1.1), markerscale=2)
    save(figure, path)


def circumplex_density(path, groups):
    """How many points (label -> [N,2]) lie where, one circumplex below the other."""
    figure, axes = canvas(len(groups), 4.3 * len(groups))
    for axis, (label, points) in zip(axes, groups.items()):
        circumplex(axis)
        drawn = axis.hexbin(*points.T, gridsize=24, extent=(-1, 1, -1, 1), mincnt=1, cmap="viridis")
        axis.set_title(label, fontsize=9)
        figure.colorbar(drawn, ax=axis, shrink=0.75, label="images").ax.tick_params(labelsize=7)
    save(figure, path)


def agreement(path, groups):
    """Prediction over truth (label -> (truth [N], prediction [N])), in [-1, 1], with the
    diagonal."""
    figure, axes = canvas(len(groups), 4.1 * len(groups))
    for axis, (label, (truth, predicted)) in zip(axes, groups.items()):
        axis.plot([-1, 1], [-1, 1], color="#888888", linewidth=0.8, linestyle="--")
        axis.scatter(truth, predicted, s=6, alpha=0.4, color=COLOURS[0], linewidths=0)
        axis.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
        axis.set_title(label, fontsize=9)
        axis.set_xlabel("truth", fontsize=8)
        axis.set_ylabel("prediction", fontsize=8)
        axis.tick_params(labelsize=7)
    save(figure, path)


def traces(path, time, groups, title, label="frame"):
    """Truth and prediction over time (label -> (truth [N], prediction [N])), one chart below the
    other."""
    figure, axes = canvas(len(groups), 1.9 * len(groups) + 0.6, sharex=True)
    for axis, (name, (truth, predicted)) in zip(axes, groups.items()):
        axis.plot(time, truth, color="black", linewidth=1.2, label="truth")
        axis.plot(time, predicted, color=COLOURS[0], linewidth=1.2, label="prediction")
        axis.set_ylim(-1.05, 1.05)
        axis.set_ylabel(name, fontsize=8)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=7)
    axes[0].legend(fontsize=8, frameon=False, ncols=2, loc="upper right")
    axes[0].set_title(title, fontsize=9)
    axes[-1].set_xlabel(label, fontsize=8)
    save(figure, path)


def histograms(path, groups, label, bins=20, limits=(-1, 1)):
    """Histograms (title -> {label: values}) one below the other; those of one title share their
    axes."""
    figure, axes = canvas(len(groups), 2.5 * len(groups) + 0.4)
    for axis, (title, sets) in zip(axes, groups.items()):
        edges = np.linspace(*limits, bins + 1)
        axis.hist(list(sets.values()), edges, label=list(map(shown, sets)),
                  color=[colour(k) for k in range(len(sets))])
        axis.set_title(title, fontsize=9)
        axis.set_ylabel(label, fontsize=8)
        axis.grid(axis="y", alpha=0.3)
        axis.tick_params(labelsize=8)
        if len(sets) > 1:
            below(axis, sets, 0.14)
    save(figure, path)


def stacked(path, names, parts, title):
    """Stacked bars to the right: parts is label -> N shares, from the left."""
    figure, (axes,) = canvas(height=max(2.2, 0.24 * len(names) + 1.2))
    left = np.zeros(len(names))
    tones = pyplot.get_cmap("viridis")(np.linspace(0.95, 0.05, len(parts)))
    for (label, values), tone in zip(parts.items(), tones):
        axes.barh(range(len(names)), values, 0.8, left, label=label, color=tone)
        left = left + np.asarray(values)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_title(title, fontsize=9)
    axes.legend(fontsize=8, ncols=min(6, len(parts)), loc="upper center", frameon=False,
                handlelength=1, columnspacing=1,
                bbox_to_anchor=(0.5, -0.4 / figure.get_figheight()))
    save(figure, path)


def clouds(path, points, colourings):
    """Points [N,2] one below the other, coloured by numbers (title -> (values [N], label); grey
    where NaN) or by names (title -> N texts; the eight most frequent have a colour)."""
    figure, axes = canvas(len(colourings), 4.0 * len(colourings))
    for axis, (title, values) in zip(axes, colourings.items()):
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        if isinstance(values, tuple):
            drawn = scatter(axis, points, values[0], s=9)
            bar = figure.colorbar(drawn, ax=axis, shrink=0.75, label=values[1])
            bar.ax.tick_params(labelsize=7)
            continue
        names = np.array(values)
        found, counts = np.unique(names, return_counts=True)
        frequent = found[np.argsort(-counts, kind="stable")][:len(COLOURS) - 1]
        axis.scatter(*points[~np.isin(names, frequent)].T, s=7, color=UNLABELLED, linewidths=0)
        for k, name in enumerate(frequent):
            axis.scatter(*points[names == name].T, s=11, color=colour(k), linewidths=0,
                         label=shown(str(name)))
        axis.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.02),
                    ncols=2, markerscale=1.5)
    save(figure, path)


def scatter(axis, points, values, **keywords):
    """Points [N,2] coloured by values [N], and grey where these are NaN; returns what a colour bar
    needs."""
    known = ~np.isnan(values)
    axis.scatter(*points[~known].T, s=7, color=UNLABELLED, linewidths=0)
    return axis.scatter(*points[known].T, c=np.asarray(values)[known], cmap="viridis",
                        linewidths=0, **keywords)


def small_circumplexes(path, groups, columns=2):
    """Densities of points (label -> [N,2]) as small circumplexes, two side by side."""
    rows = -(-len(groups) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(WIDTH, 2.35 * rows),
                                   layout="constrained", squeeze=False)
    for axis in axes.ravel()[len(groups):]:
        axis.axis("off")
    for axis, (label, points) in zip(axes.ravel(), groups.items()):
        axis.add_patch(pyplot.Circle((0, 0), 1, fill=False, color="#888888", linewidth=0.8))
        axis.axhline(0, color="#bbbbbb", linewidth=0.6)
        axis.axvline(0, color="#bbbbbb", linewidth=0.6)
        axis.hexbin(*points.T, gridsize=16, extent=(-1, 1, -1, 1), mincnt=1, cmap="viridis")
        axis.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", xticks=(-1, 0, 1),
                 yticks=(-1, 0, 1))
        axis.set_title(label, fontsize=8)
        axis.tick_params(labelsize=7)
    save(figure, path)


def captioned(path, tiles, columns=3, side=220):
    """A sheet of images with words below each: tiles are (uint8 [H,W,3], lines of text)."""
    lines = max(len(text) for _, text in tiles)
    cells = [np.concatenate([images.resize(image, side), words(text, side, 22 * lines + 8)])
             for image, text in tiles]
    rows = [cells[i:i + columns] for i in range(0, len(cells), columns)]
    images.save(path, images.sheet([row + [None] * (columns - len(row)) for row in rows], gap=8))


def words(lines, width, height):
    """Lines of text in black on white, uint8 [height,width,3]."""
    from PIL import Image, ImageDraw

    tile = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(tile)
    for k, line in enumerate(lines):
        draw.text((2, 4 + 22 * k), line, "black", font_size=18)
    return np.asarray(tile)


def sheet(path, names, pairs, shown_of_each=3):
    """One row an AU (its name at the left): source, edited and true image of its first pairs."""
    size = pairs.pictures["source"].shape[1]
    rows = []
    for name in names:
        first = [i for i, target in enumerate(pairs.target_au) if target == name][:shown_of_each]
        cells = [pairs.pictures[kind][i] for i in first for kind in ("source", "edited", "true")]
        rows.append([caption(name, size), *cells])
    header = [caption(text, size) for text in ("", *("source", "edited", "true") * shown_of_each)]
    images.save(path, images.sheet([header[:max(map(len, rows))], *rows], scale=max(1, 96 // size)))


def caption(text, size):
    """A white tile with a word in it, uint8 [size,size,3]."""
    from PIL import Image, ImageDraw

    tile = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(tile).text((size / 2, size / 2), text, "black", anchor="mm",
                              font_size=max(6, size // 4))
    return np.asarray(tile)
