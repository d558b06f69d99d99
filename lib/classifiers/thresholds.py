"""From which reading on an AU counts as present: chosen on validation data, for the best F1."""

import numpy as np

from lib.classifiers import label_tensors


def best_threshold(predicted, present):
    """The threshold with the highest F1 (a reading >= it counts as present), and that F1.

    predicted: float [N] in [0,1]; present: bool [N]. (0.5, nan) where nothing, or everything, is
    present: such data says nothing about a threshold."""
    positives = int(present.sum())
    if positives in (0, len(present)):
        return 0.5, float("nan")
    order = np.argsort(-predicted, kind="stable")
    values, hits = predicted[order].astype(np.float64), np.cumsum(present[order])
    cuts = np.flatnonzero(
        np.append(values[:-1] != values[1:], True)
    )  # a cut never parts equal readings
    f1 = 2 * hits[cuts] / (cuts + 1 + positives)
    cut = cuts[f1.argmax()]
    below = values[cut + 1] if cut + 1 < len(values) else 0.0
    return float((values[cut] + below) / 2), float(f1.max())


def choose(predicted, part, names):
    """Per AU the threshold with the best F1 on a manifest, {AU: value}, and the mean of those F1.

    predicted: float [N,A]. The mean leaves out AUs that are never or always there; NaN when all
    are."""
    known, have = ~np.isnan(part.aus(names)), label_tensors.present(part, names)
    limits, scores = {}, []
    for a, name in enumerate(names):
        rows = known[:, a]
        limits[name], score = best_threshold(predicted[rows, a], have[rows, a])
        if score == score:
            scores.append(score)
    return limits, float(np.mean(scores)) if scores else float("nan")
