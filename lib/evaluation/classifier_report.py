"""The report on a classifier: which numbers evaluate.py writes, from truths and predictions.

Action units at two thresholds (those stored in the model, and a fixed 0.5), valence and arousal,
expressions; every report says its protocol. The numbers themselves are in
lib/evaluation/metrics.py.
"""
import json
from pathlib import Path

import numpy as np

from lib import labels
from lib.cli import BadInput
from lib.evaluation import bootstrap, intervals, metrics

FIXED = 0.5  # on every prediction; papers that name a threshold mostly use it
PAIR = ("AU01", "AU02")


def truth_thresholds(data, override=None):
    """From which value a truth counts as present, float [N,1]: 0.4 for intensities, 0.5 for
    occurrences."""
    if override is not None:
        return np.full((len(data), 1), override)
    return np.where(data.occurrence(), labels.PRESENT_OCCURRENCE, labels.PRESENT_INTENSITY)[:, None]


def choose_pair(names, asked=None, of_set=None):
    """(the correlated pair, two AU names or None; where it comes from): as asked, else the data
    set's own (`set.json`), else AU01 and AU02, the thesis's pair on faces."""
    if asked:
        return list(asked), "option"
    if of_set and set(of_set) <= set(names):
        return list(of_set), "data set"
    return (list(PAIR), "default") if set(PAIR) <= set(names) else (None, "default")


def pair_of_set(data):
    """The correlated pair that a data set names in `set.json` beside its manifest, or None.

    {"correlated_pair": ["AU02", "AU03"]}; BadInput when it is something else than two AUs."""
    place = Path(data.folder) / "set.json"
    try:
        pair = json.loads(place.read_text(encoding="utf-8")).get("correlated_pair")
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError):
        raise BadInput(f"{place}: not a JSON object; write "
                       f"{{\"correlated_pair\": [\"AU02\", \"AU03\"]}}, or delete it") from None
    is_pair = isinstance(pair, list) and len(set(pair)) == 2 and all(map(labels.is_au, pair))
    if pair is not None and not is_pair:
        raise BadInput(f"{place}: correlated_pair {pair!r} is not two different AUs; "
                       "write [\"AU02\", \"AU03\"]")
    return pair


def au_numbers(truth, scores, names, truth_at, thresholds, pair=None, intensities=None,
               ranked=False):
    """Per AU, mean, pooled and pair.

    truth [N,A] in [0, 1], NaN unlabelled; scores [N,A]; truth_at [N,1] and thresholds ([A], one
    number, or [N,A] where people have models of their own): present from there on; intensities:
    bool [N], rows with a level, which PCC, ICC, MSE and MAE are taken over (None: presence
    only); ranked: AUC of presence, too, which is there anyway beside levels."""
    on, predicted = metrics.present(truth, truth_at), metrics.present(scores, thresholds)
    per_au = {}
    for k, name in enumerate(names):
        row = metrics.detection(on[:, k], predicted[:, k])
        support = row.pop("support")
        if ranked or intensities is not None:
            row["auc"] = metrics.auc(on[:, k], scores[:, k])
        if intensities is not None:
            level, score = truth[intensities, k], scores[intensities, k]
            row |= {"pcc": metrics.pcc(level, score), "icc": metrics.icc(level, score),
                    "mse": metrics.mse(level, score), "mae": metrics.mae(level, score)}
        per_au[name] = {**row, "support": support, "labelled": int((~np.isnan(on[:, k])).sum())}
    out = {"per_au": per_au,
           "mean": metrics.mean_of([without(row, "labelled") for row in per_au.values()]),
           "pooled": metrics.detection(on, predicted)}
    if pair:
        columns = [list(names).index(name) for name in pair]
        out["pair"] = pair_numbers(on[:, columns], predicted[:, columns], pair)
    return out


def pair_numbers(on, predicted, pair):
    """Pooled over the pair's two columns; `partner_rate` is how often an AU is predicted that is
    absent while its partner is present: what a classifier does that has learnt the correlation in
    place of the AU."""
    lures = np.stack([(on[:, 0] == 0) & (on[:, 1] == 1), (on[:, 1] == 0) & (on[:, 0] == 1)], 1)
    return {"aus": list(pair), **metrics.detection(on, predicted),
            "partner_rate": metrics.ratio((predicted[lures] == 1).sum(), lures.sum())}


def au_section(truth, scores, names, truth_at, thresholds, pair, intensities):
    """The report's `au` and `au_fixed`: at the given thresholds, and at 0.5 throughout."""
    chosen = au_numbers(truth, scores, names, truth_at, thresholds, pair, intensities)
    on, predicted = metrics.present(truth, truth_at), metrics.present(scores, thresholds)
    for name, table in (("correlation", metrics.correlations),
                        ("coactivation", metrics.coactivation)):
        # [A,A] each
        chosen[name] = {"aus": list(names), "true": table(on), "predicted": table(predicted)}
    levels = np.where(intensities[:, None], truth, np.nan)
    chosen["two_afc"] = two_afc_section(levels, scores, names)
    chosen["calibration"] = calibration(on, levels, scores, names)
    fixed = {"threshold": FIXED, **au_numbers(truth, scores, names, truth_at, FIXED, pair)}
    return {"au": chosen, "au_fixed": fixed}


def presence_section(truth, scores, names, truth_at, thresholds, pair, intensities):
    """The report's `au_present` and `au_present_fixed`, of the output `au_present` of a model that
    also reads levels: as `au_section`, less what is of levels. Rows of occurrences count, except
    in `two_afc`, which is of levels."""
    given = {"truth": truth, "scores": scores, "names": names, "truth_at": truth_at, "pair": pair}
    chosen = au_numbers(**given, thresholds=thresholds, ranked=True)
    on = metrics.present(truth, truth_at)
    chosen["two_afc"] = two_afc_section(np.where(intensities[:, None], truth, np.nan), scores,
                                        names)
    chosen["calibration"] = {
        "presence": metrics.reliability(on, scores),
        "per_au": {name: {"presence_ece": metrics.reliability(on[:, k], scores[:, k])["ece"]}
                   for k, name in enumerate(names)}}
    fixed = {"threshold": FIXED, **au_numbers(**given, thresholds=FIXED)}
    return {"au_present": chosen, "au_present_fixed": fixed}


def two_afc_section(levels, scores, names):
    """2AFC of each AU at levels A, B and C, and means over AUs (Niinuma et al. 2022, figure 7)."""
    per_au = {name: {letter: value
                     for letter, value in metrics.two_afc(levels[:, k], scores[:, k]).items()
                     if letter in "ABC"} for k, name in enumerate(names)}
    return {"per_au": per_au, "mean": metrics.mean_of(per_au.values())}


def calibration(on, levels, scores, names):
    """Reliability over all AUs: how often an AU is present (`presence`), and its mean level
    (`level`), at each reading; per_au has the expected calibration errors. A model that reads
    levels promises no presence."""
    per_au = {name: {"presence_ece": metrics.reliability(on[:, k], scores[:, k])["ece"],
                     "level_ece": metrics.reliability(levels[:, k], scores[:, k])["ece"]}
              for k, name in enumerate(names)}
    return {"presence": metrics.reliability(on, scores),
            "level": metrics.reliability(levels, scores), "per_au": per_au}


def interval_sections(people, au=None, presence=None, va=None, expression=None):
    """The report's `intervals`. au and presence (the output `au_present`): dicts of truth, scores,
    names, truth_at, thresholds, pair, intensities; va: (truth [N,2], predicted [N,2]); expression:
    (truth int [N], -1 unlabelled, predicted int [N], names)."""
    out = people.about()
    for section, given, has_levels in (("au", au, True), ("au_present", presence, False)):
        if not given:
            continue
        pair, names = given["pair"], given["names"]
        columns = [names.index(name) for name in pair] if pair else None
        known = given["intensities"] if has_levels else None
        for part, thresholds, levels, ranked in ((section, given["thresholds"], known, True),
                                                 (f"{section}_fixed", FIXED, None, False)):
            found = intervals.au_resampled(given["truth"], given["scores"], given["truth_at"],
                                           thresholds, levels, people, columns, ranked)
            out[part] = intervals.au_section(found, names, people)
    if va:
        out["va"] = {name: bootstrap.intervals(numbers, people)
                     for name, numbers in intervals.va_resampled(*va, people).items()}
    if expression:
        truth, predicted, names = expression
        out["expression"] = bootstrap.intervals(
            intervals.expression_resampled(truth, predicted, len(names), people), people)
    return out


def levels(given):
    """The truth [N,A] of rows with a level, NaN in rows with an occurrence."""
    return np.where(given["intensities"][:, None], given["truth"], np.nan)


def au_columns(data, given):
    """Columns of --predictions: reading and truth of each AU, and whether it counts as present in
    either."""
    truth, scores = given["truth"], given["scores"]
    on = metrics.present(truth, given["truth_at"])
    said = metrics.present(scores, given["thresholds"])
    table = {"au_kind": data.text("au_kind")} if data.occurrence().any() else {}
    for k, name in enumerate(given["names"]):
        table |= {name: scores[:, k].tolist(), f"true_{name}": truth[:, k].tolist(),
                  f"present_{name}": said[:, k].tolist(), f"true_present_{name}": on[:, k].tolist()}
    return table


def presence_columns(given):
    """Columns of --predictions for the output `au_present`: the probability of each AU, and
    whether that counts as present."""
    said = metrics.present(given["scores"], given["thresholds"])
    table = {}
    for k, name in enumerate(given["names"]):
        table |= {f"au_present_{name}": given["scores"][:, k].tolist(),
                  f"au_present_on_{name}": said[:, k].tolist()}
    return table


def every(data, stride):
    """Row numbers: each `stride`-th image of every video, or of every person where no video is
    named."""
    kept, met = [], {}
    for row, (subject, video) in enumerate(zip(data.text("subject"), data.text("video"))):
        if met.get((subject, video), 0) % stride == 0:
            kept.append(row)
        met[subject, video] = met.get((subject, video), 0) + 1
    return kept


def by_section(truth, scores, names, columns, where, whole):
    """The report's `by`: ICC and MAE of the rows that share their cells in some columns.

    truth [N,A] levels, NaN unlabelled; scores [N,A]; where: N tuples of cells of `columns`; whole:
    the tuples of all images, `of` a cell, of which these, `n`, may lack some."""
    found = []
    for cells in dict.fromkeys(whole):
        rows = np.array([other == cells for other in where], bool)
        per_au = {name: {"icc": metrics.icc(truth[rows, k], scores[rows, k]),
                         "mae": metrics.mae(truth[rows, k], scores[rows, k])}
                  for k, name in enumerate(names)}
        found.append({"at": dict(zip(columns, cells)), "n": int(rows.sum()),
                      "of": whole.count(cells), "per_au": per_au,
                      "mean": metrics.mean_of(per_au.values())})
    return {"columns": list(columns), "cells": found}


def va_section(truth, predicted):
    """The report's `va`; truth and predicted [N,2] (valence, arousal) in [-1, 1], NaN
    unlabelled."""
    return {name: {"ccc": metrics.ccc(truth[:, k], predicted[:, k]),
                   "pcc": metrics.pcc(truth[:, k], predicted[:, k]),
                   "mse": metrics.mse(truth[:, k], predicted[:, k]),
                   "mae": metrics.mae(truth[:, k], predicted[:, k]),
                   "sign_agreement": metrics.sign_agreement(truth[:, k], predicted[:, k]),
                   "labelled": int((~np.isnan(truth[:, k])).sum())}
            for k, name in enumerate(labels.VALENCE_AROUSAL)}


def expression_section(truth, probabilities, names):
    """The report's `expression`; truth: N names ('' unlabelled), probabilities [N,E]. Names that
    the model does not know are left out and counted."""
    known = class_numbers(truth, names)
    rows = np.flatnonzero(known >= 0)
    predicted = probabilities.argmax(1)
    unknown = sum(1 for name in truth if name and name not in names)
    numbers = metrics.classes(known[rows], predicted[rows], names)
    right = (predicted == known)[rows].astype(float)
    return {**numbers, "calibration": metrics.reliability(right, probabilities[rows].max(1)),
            "names": list(names), "labelled": len(rows), "unknown_to_model": unknown}


def class_numbers(truth, names):
    """Which of `names` each truth is, int [N]; -1 for '' and for other names."""
    place = {name: k for k, name in enumerate(names)}
    return np.array([place.get(name, -1) for name in truth], int)


def subjects(data):
    """How many people, or None when the manifest names none."""
    return len(set(data.text("subject")) - {""}) or None


def without(row, *names):
    """A dict less some keys."""
    return {key: value for key, value in row.items() if key not in names}
