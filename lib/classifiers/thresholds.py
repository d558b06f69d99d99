"""From which reading on an AU counts as present: chosen on validation data, for the best F1.

Validation sets show rare AUs in a few images of fewer people, so the best threshold of the very
set is often an accident. What is stored (`choose_steadily`) has the best mean F1 over sets of
people drawn from the validation people with replacement.
"""

import numpy as np

from lib.choices import THRESHOLDS
from lib.classifiers import label_tensors
from lib.evaluation import bootstrap

RESAMPLES = 200


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


def mean_f1(predicted, present, weights):
    """Cuts between readings, float [K], and the mean over weightings of F1 there, [K].

    predicted: float [N]; present: bool [N]; weights: [B,N], how often each image is drawn in each
    of B resamples. A resample without a presence says nothing and is left out. A reading >= its
    cut counts as present."""
    order = np.argsort(-predicted, kind="stable")
    values, there = predicted[order].astype(np.float64), present[order]
    ends = np.flatnonzero(np.append(values[:-1] != values[1:], True))  # never part equal readings
    total, used = np.zeros(len(ends)), 0
    for drawn in weights[:, order]:
        hits, said = np.cumsum(drawn * there), np.cumsum(drawn)
        if hits[-1]:
            total += 2 * hits[ends] / (said[ends] + hits[-1])
            used += 1
    below = np.append(values[ends[:-1] + 1], 0.0)
    return (values[ends] + below) / 2, total / max(used, 1)


def resampled_people(subjects):
    """How often each image is drawn when people are drawn with replacement, [RESAMPLES,N].

    subjects: N names; an image without a name is alone."""
    people = bootstrap.People.of(subjects, RESAMPLES)
    return people.weights[:, people.of_image]


def choose_steadily(predicted, part, names):
    """{AU: threshold with the best mean F1 over resampled people of a manifest}; 0.5 for an AU
    that is never or always there. predicted: float [N,A]."""
    known, have = ~np.isnan(part.aus(names)), label_tensors.present(part, names)
    weights = resampled_people(part.text("subject"))
    limits = {}
    for a, name in enumerate(names):
        rows = known[:, a]
        if have[rows, a].all() or not have[rows, a].any():
            limits[name] = 0.5
            continue
        cuts, f1 = mean_f1(predicted[rows, a], have[rows, a], weights[:, rows])
        limits[name] = float(cuts[f1.argmax()])
    return limits


def to_store(readings, part, names):
    """What a checkpoint or a model keeps, {key of lib.choices.THRESHOLDS: {AU: threshold}}, as
    `choose_steadily` chooses. readings: {AU output (lib.choices.au_outputs): float [N,A]}."""
    return {
        THRESHOLDS[output]: choose_steadily(predicted, part, names)
        for output, predicted in readings.items()
    }
