"""The report's `intervals`: 95 % intervals over people for the numbers of its other sections.

They lie where the numbers do: intervals.au.mean.f1 belongs to au.mean.f1. None is undefined.
"""
from dataclasses import replace

import numpy as np

from lib import labels
from lib.evaluation import bootstrap, metrics


def au_resampled(truth, scores, truth_at, thresholds, levels, people, pair=None, ranked=False):
    """AU numbers in each resample: {'per_au': {metric: [B,A]}, 'mean': {metric: [B]}, 'pooled',
    'pair'}.

    truth [N,A] in [0, 1], NaN unlabelled; scores [N,A]; truth_at [N,1] and thresholds ([A], one
    number, or [N,A] where people have models of their own): present from there on; levels: bool
    [N], rows with a level (None: presence only); pair: two column numbers; ranked: AUC, too, which
    is there anyway beside levels."""
    on, said = metrics.present(truth, truth_at), metrics.present(scores, thresholds)
    sums = people.resampled(bootstrap.detection_sums(people, on, said))  # [B,A,4]
    per_au = bootstrap.detection_numbers(sums)
    if ranked or levels is not None:
        per_au["auc"] = bootstrap.auc_resampled(people, on, scores)
    if levels is not None:
        known = np.where(levels[:, None], truth, np.nan)
        level_sums = bootstrap.level_sums(people, known, scores)
        numbers = bootstrap.level_numbers(people.resampled(level_sums))
        per_au |= {name: numbers[name] for name in ("pcc", "icc", "mse", "mae")}
    out = {"per_au": per_au,
           "mean": {name: bootstrap.mean_over(values) for name, values in per_au.items()},
           "pooled": bootstrap.detection_numbers(sums.sum(1))}
    if pair:
        out["pair"] = bootstrap.detection_numbers(sums[:, pair].sum(1))
    return out


def va_resampled(truth, predicted, people):
    """{'valence': {metric: [B]}, 'arousal': …}; truth and predicted [N,2]."""
    sums = bootstrap.level_sums(people, truth, predicted)
    numbers = bootstrap.level_numbers(people.resampled(sums))
    return {name: {metric: values[:, k] for metric, values in numbers.items() if metric != "icc"}
            for k, name in enumerate(labels.VALENCE_AROUSAL)}


def expression_resampled(truth, predicted, classes, people):
    """{accuracy: [B], macro_f1: [B]}; truth int [N], -1 unlabelled; predicted int [N]."""
    return bootstrap.class_numbers(people.resampled(
        bootstrap.class_sums(people, np.asarray(truth), np.asarray(predicted), classes)))


def whole(people):
    """The same people in one resample that has each of them once: numbers of it are the point
    estimates."""
    return replace(people, weights=np.ones((1, people.count)))


def au_section(resampled, names, people):
    """Intervals of `au_resampled`, as they stand in the report."""
    per_au = resampled["per_au"]
    out = {"per_au": {au: bootstrap.intervals({metric: values[:, k]
                                               for metric, values in per_au.items()}, people)
                      for k, au in enumerate(names)}}
    return out | {part: bootstrap.intervals(resampled[part], people)
                  for part in ("mean", "pooled", "pair") if part in resampled}
