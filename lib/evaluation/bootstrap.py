"""Confidence intervals by the bootstrap over people, and paired comparisons of two sets of
predictions.

People are drawn with replacement, each with all their images, as images of one person are alike
(Efron & Tibshirani 1993, chapters 8 and 13). Every metric here is a function of sums over images,
so the sums of each person are made once, and a resample is a weighting of people: one matrix
product.

S people, A labels, B resamples. Sums are float64 [S,A,K]; numbers of sums [...,A,K] are [...,A],
NaN where undefined. Without any subject names each image counts as a person of its own.
"""
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
MOST_FOR_PAIRS = 400  # people: a matrix of people x people is the faster way to the AUC


def persons(subjects):
    """(int [N] who is in each image, how many people S), numbered as they first appear.

    subjects: N names; an image without a name is alone."""
    keys = [name or f"\0{row}" for row, name in enumerate(subjects)]  # no name starts like this
    place = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    return np.array([place[key] for key in keys], int), len(place)


@dataclass
class People:
    """Who is in which image, and the resamples of them."""
    of_image: np.ndarray   # int [N], which of the S people
    count: int             # S
    unit: str              # 'subject', or 'image' where no subject is named
    weights: np.ndarray    # float64 [B,S]: how often each is drawn

    @classmethod
    def of(cls, subjects, resamples=RESAMPLES, seed=0):
        """subjects: N names; an image without a name is alone."""
        of_image, count = persons(subjects)
        draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
        return cls(of_image, count, "subject" if any(subjects) else "image",
                   draws.astype(np.float64))

    def sums(self, values):
        """Sums over each person's images: [N,...] -> [S,...]."""
        flat = np.ascontiguousarray(values, np.float64).reshape(len(values), -1)
        out = np.zeros((self.count, flat.shape[1]))
        np.add.at(out, self.of_image, flat)
        return out.reshape(self.count, *np.shape(values)[1:])

    def resampled(self, sums):
        """Sums [S,...] of people as sums [B,...] of resamples."""
        flat = self.weights @ sums.reshape(self.count, -1)
        return flat.reshape(len(self.weights), *sums.shape[1:])

    def about(self):
        """What a report says of its intervals."""
        return {"level": LEVEL, "method": "percentile bootstrap", "unit": self.unit,
                "units": self.count, "resamples": len(self.weights)}


# ---- sums -------------------------------------------------------------------

def detection_sums(people, on, predicted):
    """TP, FP, FN, TN of each person, [S,A,4]. on [N,A] in {0, 1, NaN}, predicted in {0, 1}."""
    known, there, said = ~np.isnan(on), on > 0.5, predicted > 0.5
    return people.sums(np.stack([there & said, ~there & said, there & ~said, ~there & ~said], 2)
                       & known[..., None])


def level_sums(people, truth, predicted):
    """Sums of 1, x, y, x², y², xy, |x - y| and of equal signs, [S,A,8]; NaN in the truth is left
    out."""
    known = ~np.isnan(truth)
    x, y = np.where(known, truth, 0.0), np.where(known, predicted, 0.0).astype(np.float64)
    parts = [known, x, y, x * x, y * y, x * y, np.abs(x - y), known & (np.sign(x) == np.sign(y))]
    return people.sums(np.stack([np.asarray(part, np.float64) for part in parts], 2))


def class_sums(people, truth, predicted, classes):
    """Confusions of each person, [S,E,E] (rows: truth). truth int [N], -1 unlabelled; predicted
    int [N]."""
    out = np.zeros((people.count, classes, classes))
    known = truth >= 0
    np.add.at(out, (people.of_image[known], truth[known], predicted[known]), 1)
    return out


# ---- numbers of sums --------------------------------------------------------

def divide(numerator, denominator):
    """A quotient, NaN where the denominator is not positive."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float),
                                                 np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan),
                     where=denominator > 1e-12)


def detection_numbers(sums):
    """f1, fdr, precision, recall, accuracy of [...,4] sums (lib.evaluation.metrics.detection)."""
    tp, fp, fn, tn = np.moveaxis(sums, -1, 0)
    return {"precision": divide(tp, tp + fp), "recall": divide(tp, tp + fn),
            "f1": divide(2 * tp, 2 * tp + fp + fn), "fdr": divide(fp, tp + fp),
            "accuracy": divide(tp + tn, tp + fp + fn + tn)}


def level_numbers(sums):
    """pcc, icc, ccc, mse, mae, sign_agreement of [...,8] sums.

    ICC(3,1) of two raters is 2 cov / (var x + var y): BMS - EMS = 2 cov, BMS + EMS = var x + var
    y. x is the truth: where it never varies, ICC and CCC are undefined (lib.evaluation.metrics)."""
    n, x, y, xx, yy, xy, absolute, signs = np.moveaxis(sums, -1, 0)
    mean_x, mean_y = divide(x, n), divide(y, n)
    var_x, var_y = divide(xx, n) - mean_x ** 2, divide(yy, n) - mean_y ** 2
    covariance = divide(xy, n) - mean_x * mean_y
    var_x, var_y = (np.where(var > 1e-12, var, 0.0) for var in (var_x, var_y))  # rounding
    spread = np.where(var_x > 0, var_x + var_y, np.nan)
    return {"pcc": divide(covariance, np.sqrt(var_x * var_y)),
            "icc": divide(2 * covariance, spread),
            "ccc": divide(2 * covariance, spread + (mean_x - mean_y) ** 2),
            "mse": divide(xx - 2 * xy + yy, n), "mae": divide(absolute, n),
            "sign_agreement": divide(signs, n)}


def class_numbers(sums):
    """accuracy and macro_f1 (over the classes that occur in the truth) of confusions [...,E,E]."""
    right, true, said = np.einsum("...ii->...i", sums), sums.sum(-1), sums.sum(-2)
    f1 = np.where(true > 0, divide(2 * right, true + said), np.nan)
    return {"accuracy": divide(right.sum(-1), true.sum(-1)), "macro_f1": mean_over(f1)}


def auc_resampled(people, on, scores):
    """The area under the ROC curve in each resample, [B,A]. on [N,A] in {0, 1, NaN}; ties count
    half."""
    of_one = auc_by_pairs if people.count <= MOST_FOR_PAIRS else auc_by_order
    out = np.empty((len(people.weights), on.shape[1]))
    for k in range(on.shape[1]):
        known = ~np.isnan(on[:, k])
        who = people.of_image[known]
        out[:, k] = of_one(people.weights, who, on[known, k] > 0.5, scores[known, k])
    return out


def auc_by_pairs(weights, who, there, score):
    """AUC [B] for weights [B,S] of few people with many images: who int [n], there bool [n].

    M[s,t] counts the pairs of a present image of person s and an absent one of t that are in order
    (ties count half); with weights w of people AUC = wᵀ M w / (wᵀ p · wᵀ n)."""
    count = weights.shape[1]
    absent = np.argsort(score[~there], kind="stable")
    # row i: whose are the i lowest scores of absences
    below = np.zeros((len(absent) + 1, count))
    below[np.arange(1, len(absent) + 1), who[~there][absent]] = 1
    below = below.cumsum(0)
    ordered = score[~there][absent]
    ranks = [np.searchsorted(ordered, score[there], side) for side in ("left", "right")]
    pairs = np.zeros((count, count))
    np.add.at(pairs, who[there], (below[ranks[0]] + below[ranks[1]]) / 2)
    present, missing = np.bincount(who[there], minlength=count), below[-1]
    return divide(((weights @ pairs) * weights).sum(1), (weights @ present) * (weights @ missing))


def auc_by_order(weights, who, there, score):
    """As auc_by_pairs, for many people, or images that are each alone: one pass over the images in
    the order of their scores for every resample."""
    order = np.argsort(score, kind="stable")
    who, there, score = who[order], there[order], score[order]
    # where each group of equal scores ends
    last = np.flatnonzero(np.diff(score, append=np.inf))
    out = np.full(len(weights), np.nan)
    for b, weight in enumerate(weights if len(score) else ()):
        weight = weight[who]
        present, absent = (np.cumsum(weight * part)[last] for part in (there, ~there))
        lower = np.r_[0, absent[:-1]]
        in_order = np.diff(present, prepend=0) @ (lower + absent) / 2
        out[b] = divide(in_order, present[-1] * absent[-1])
    return out


def mean_over(values):
    """Mean over the last axis of what is defined; NaN where nothing is."""
    known = ~np.isnan(values)
    return divide(np.where(known, values, 0).sum(-1), known.sum(-1))


# ---- intervals --------------------------------------------------------------

def interval(values, least=RESAMPLES // 2):
    """[low, high] of resampled values [B], or None when fewer than `least` of them are defined."""
    values = values[~np.isnan(values)]
    if len(values) < max(1, least):
        return None
    tail = (1 - LEVEL) / 2 * 100
    return [float(bound) for bound in np.percentile(values, [tail, 100 - tail])]


def intervals(numbers, people):
    """{metric: [low, high] or None} of {metric: values [B]}; None throughout with a single
    person."""
    return {name: interval(values) if people.count > 1 else None
            for name, values in numbers.items()}


def difference(first, second, people):
    """Of two resampled numbers [B]: {interval, p} of first - second on the same resamples.

    p is two-sided, 2 min(share at or below 0, share at or above 0), at least 2 / (B + 1)."""
    values = first - second
    values = values[~np.isnan(values)]
    bounds = interval(values) if people.count > 1 else None
    if bounds is None:
        return {"interval": None, "p": None}
    tail = 1 + min((values <= 0).sum(), (values >= 0).sum())
    return {"interval": bounds, "p": min(1.0, float(2 * tail / (len(values) + 1)))}
