"""Metrics as the field uses them, for labels that may be missing.

Truths and predictions are arrays [N] or [N,A]; NaN in a truth means unlabelled and is left out
(masked), never read as 0. What is undefined is None, never 0 or NaN, and `mean_of` counts what a
mean leaves out. No torch; scikit-learn is imported where it is used, since importing it takes a
second.
"""
import numpy as np


def ratio(numerator, denominator):
    """numerator / denominator as float; None where either is undefined (None or NaN) or the
    denominator is not above 0."""
    if numerator is None or denominator is None or numerator != numerator or not denominator > 0:
        return None
    return float(numerator) / float(denominator)


def mean(values):
    """The mean of what is neither None nor NaN, or None when nothing is left."""
    values = np.asarray(values, np.float64)  # None becomes NaN
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None


def known(truth, *others):
    """float64 arrays [M] of the places where the truth is labelled."""
    truth = np.asarray(truth, np.float64)
    mask = ~np.isnan(truth)
    return [np.asarray(values, np.float64)[mask] for values in (truth, *others)]


def present(values, threshold):
    """1.0 where values >= threshold, 0.0 below, NaN where unlabelled. threshold: number or array
    that broadcasts.

    A truth of 0.4 stored as float32 counts as reaching 0.4."""
    values = np.asarray(values, np.float64)
    return np.where(np.isnan(values), np.nan,
                    (values >= np.asarray(threshold, np.float64) - 1e-6).astype(float))


# ---- presence or absence ----------------------------------------------------

def counts(truth, predicted):
    """(TP, FP, FN, TN) over all labelled entries. truth in {0, 1, NaN}, predicted in {0, 1}, of
    one shape."""
    truth, predicted = known(truth, predicted)
    truth, predicted = truth > 0.5, predicted > 0.5
    return tuple(int(np.count_nonzero(cells)) for cells in
                 (truth & predicted, ~truth & predicted, truth & ~predicted, ~truth & ~predicted))


def detection(truth, predicted):
    """Presence metrics over all labelled entries, pooled when given more than one column.

    precision = TP/(TP+FP), recall = TP/(TP+FN), f1 = 2TP/(2TP+FP+FN), fdr = FP/(FP+TP) = 1 -
    precision, accuracy = (TP+TN)/n. Without any positive prediction precision and FDR are None; F1
    is None only when neither truth nor prediction has a positive. support = TP+FN."""
    tp, fp, fn, tn = counts(truth, predicted)
    return {"precision": ratio(tp, tp + fp), "recall": ratio(tp, tp + fn),
            "f1": ratio(2 * tp, 2 * tp + fp + fn), "fdr": ratio(fp, fp + tp),
            "accuracy": ratio(tp + tn, tp + fp + fn + tn), "support": tp + fn}


def auc(truth, scores):
    """Area under the ROC curve; None when the truth has one class only. truth in {0, 1, NaN},
    scores any real."""
    truth, scores = known(truth, scores)
    if len(np.unique(truth)) < 2:
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth > 0.5, scores))


def two_afc(levels, scores):
    """2AFC per FACS level: the AUC of "at least A (1) … E (5)" against the rest, {'A': …, 'E': …}.

    levels: truth in [0, 1] (FACS level / 5); scores: any real. (Niinuma et al. 2022 print A to
    C.)"""
    return {name: auc(present(levels, (k + 1) / 5), scores) for k, name in enumerate("ABCDE")}


# ---- intensities and dimensions ---------------------------------------------

def mse(truth, predicted):
    """Mean squared error, in squared units of the truth."""
    truth, predicted = known(truth, predicted)
    return float(np.mean((truth - predicted) ** 2)) if len(truth) else None


def mae(truth, predicted):
    """Mean absolute error."""
    truth, predicted = known(truth, predicted)
    return float(np.mean(np.abs(truth - predicted))) if len(truth) else None


def pcc(truth, predicted):
    """Pearson's correlation; None when either side is constant."""
    truth, predicted = known(truth, predicted)
    if len(truth) < 2 or is_constant(truth) or is_constant(predicted):
        return None
    return float(np.corrcoef(truth, predicted)[0, 1])


def is_constant(values):
    """Whether all values are the same but for rounding."""
    return bool(np.ptp(values) <= 1e-9 * max(1.0, np.abs(values).max()))


def icc(truth, predicted):
    """ICC(3,1) of truth and prediction as two raters (see `icc31`); None when undefined.

    None where the truth never varies, too: any prediction that varies then gets 0, which says
    nothing about it and would lower a mean over AUs."""
    truth, predicted = known(truth, predicted)
    if len(truth) and is_constant(truth):
        return None
    return icc31(np.stack([truth, predicted], 1))


def icc31(ratings):
    """ICC(3,1), consistency (Shrout & Fleiss 1979): (BMS - EMS) / (BMS + (k - 1) EMS).

    ratings: float [n targets, k raters], without NaN. BMS is the mean square between targets, EMS
    that of the residual of the two-way analysis of variance. None when n < 2 or nothing varies."""
    n, k = ratings.shape
    if n < 2:
        return None
    grand = ratings.mean()
    between = k * np.sum((ratings.mean(1) - grand) ** 2)
    raters = n * np.sum((ratings.mean(0) - grand) ** 2)
    residual = np.sum((ratings - grand) ** 2) - between - raters
    bms, ems = between / (n - 1), max(residual, 0.0) / ((n - 1) * (k - 1))
    total = bms + (k - 1) * ems
    return float((bms - ems) / total) if total > 1e-18 else None


def ccc(truth, predicted):
    """Lin's concordance: 2 cov / (var x + var y + (mean x - mean y)^2), population form (divided
    by n).

    None where the truth never varies: any prediction then gets 0, or 0/0."""
    truth, predicted = known(truth, predicted)
    if len(truth) < 2 or is_constant(truth):
        return None
    covariance = np.mean((truth - truth.mean()) * (predicted - predicted.mean()))
    spread = truth.var() + predicted.var() + (truth.mean() - predicted.mean()) ** 2
    return float(2 * covariance / spread) if spread > 1e-18 else None


def sign_agreement(truth, predicted):
    """The share of predictions with the sign of the truth (Toisoul et al. 2021's SAGR); 0 agrees
    with 0 only."""
    truth, predicted = known(truth, predicted)
    return float(np.mean(np.sign(truth) == np.sign(predicted))) if len(truth) else None


# ---- calibration ------------------------------------------------------------

def reliability(truth, scores, bins=10):
    """How often what a score promises comes true: {'bins': […], 'ece'}.

    truth in [0, 1] or NaN; scores in [0, 1], cut into equal bins, the last closed at 1 (as
    scikit-learn's calibration_curve, except that a score on an edge goes up). A bin: from, to, n,
    score and truth (means, None when empty). ece = Σ n/N |mean score - mean truth|, the expected
    calibration error."""
    truth, scores = known(truth, scores)
    place = np.minimum((np.clip(scores, 0, 1) * bins).astype(int), bins - 1)
    n = np.bincount(place, minlength=bins)
    score, true = (np.bincount(place, values, minlength=bins) for values in (scores, truth))
    rows = [{"from": k / bins, "to": (k + 1) / bins, "n": int(n[k]), "score": ratio(score[k], n[k]),
             "truth": ratio(true[k], n[k])} for k in range(bins)]
    return {"bins": rows, "ece": ratio(np.abs(score - true).sum(), len(truth))}


# ---- classes and tables -----------------------------------------------------

def classes(truth, predicted, names):
    """accuracy, macro_f1, f1, confusion (rows: truth, columns: prediction) of class numbers [N]
    into `names`.

    f1: {name: F1}, None for a class that does not occur in the truth. Macro-F1 is the mean of the
    others."""
    if not len(truth):
        return {"accuracy": None, "macro_f1": None, "confusion": None}
    from sklearn.metrics import confusion_matrix, f1_score

    occur = np.unique(truth)
    return {"accuracy": float(np.mean(np.asarray(truth) == np.asarray(predicted))),
            "macro_f1": float(f1_score(truth, predicted, labels=occur, average="macro",
                                       zero_division=0)),
            "f1": {name: None for name in names} | {names[k]: float(value) for k, value in zip(
                occur, f1_score(truth, predicted, labels=occur, average=None, zero_division=0)
            )}, "confusion": confusion_matrix(truth, predicted, labels=range(len(names))).tolist()}


def correlations(values):
    """Pearson correlations between the columns of [N,A], A x A, over rows where both are known;
    None if undefined."""
    values = np.asarray(values, np.float64)
    return [[pcc(*both(first, second)) for second in values.T] for first in values.T]


def coactivation(values):
    """P(column present | row present) of presences [N,A] in {0, 1, NaN}, float [A,A]; NaN where
    undefined."""
    values = np.asarray(values, np.float64)
    on, labelled = values == 1, ~np.isnan(values)
    together = on.T.astype(float) @ on
    times = on.T.astype(float) @ labelled
    return np.divide(together, times, out=np.full(together.shape, np.nan), where=times > 0)


def both(first, second):
    """The two columns [N] at the rows where neither is NaN."""
    mask = ~(np.isnan(first) | np.isnan(second))
    return first[mask], second[mask]


def mean_of(rows):
    """The mean of each metric over dicts (one a label), and under `left_out` how many were
    undefined.

    `support` is summed, not averaged."""
    out, left_out = {}, {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if row.get(name) is not None]
        if name == "support":
            out[name] = sum(values)
            continue
        out[name] = float(np.mean(values)) if values else None
        if len(values) < len(rows):
            left_out[name] = len(rows) - len(values)
    return {**out, "left_out": left_out}
