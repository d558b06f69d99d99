"""Losses of classifiers, for labels that may be missing.

NaN in a truth (-1 in a class) is unlabelled: it does not act, and is not read as 0. Every loss is
a mean over the labels that are known. `weight` is [N], one a row, or [N,C], one a label. A weight
below 1 makes a label count less; it does not change what the others count. With several processes
the mean is over the labels of all; CCC is that of each process's rows.
"""

import torch

from lib.training import over_processes

LEAST = 1e-6  # probabilities are kept this far from 0 and 1 before the logarithm
LEVELS = 6  # FACS levels 0 (absent), 1 (A) … 5 (E)


def spread(weight):
    """Weights [N] or [N,C] as [N,1] or [N,C]."""
    return weight if weight.dim() == 2 else weight[:, None]


def labels_of(known):
    """How many labels a mean is over, as a tensor: of a process's share of the rows, such that the
    processes' gradients, averaged, are those of the mean over all rows."""
    return over_processes(known.sum()).clamp(min=1e-8)


def masked_mse(predicted, true, weight):
    """Mean of weight * (predicted - true)². predicted, true: [N,C]."""
    known = ~true.isnan()  # [N,C]
    # before the square: no NaN gradients
    error = torch.where(known, predicted.float() - true, 0.0)
    return (spread(weight) * error.square()).sum() / labels_of(known)


def masked_huber(predicted, true, weight, delta=0.1):
    """Mean of weight * h(e): h = e²/2 where |e| <= delta, delta (|e| - delta/2) beyond (Huber
    1964).

    predicted, true: [N,C]."""
    known = ~true.isnan()  # [N,C]
    error = torch.where(known, predicted.float() - true, 0.0)
    beyond = error.abs() - delta
    loss = torch.where(beyond > 0, delta * (error.abs() - delta / 2), error.square() / 2)
    return (spread(weight) * loss).sum() / labels_of(known)


def masked_bce(predicted, true, weight):
    """Mean of -weight * (t log p + (1 - t) log(1 - p)). predicted p and true t: [N,C] in [0, 1].

    A t between 0 and 1 is a soft label."""
    known = ~true.isnan()  # [N,C]
    target = torch.where(known, true, 0.5)
    chance = predicted.float().clamp(LEAST, 1 - LEAST)
    loss = -(target * chance.log() + (1 - target) * (1 - chance).log())
    return (spread(weight) * torch.where(known, loss, 0.0)).sum() / labels_of(known)


def masked_cross_entropy(probabilities, true, weight):
    """Mean of -weight * log p(true class) over rows whose class is known.

    probabilities: [N,E]; true: int64 [N], -1 is unlabelled; weight: [N]."""
    known = true >= 0  # [N]
    picked = probabilities.float().gather(1, true.clamp(min=0)[:, None])[:, 0]  # [N]
    return torch.where(
        known, -weight * picked.clamp(min=1e-6).log(), 0.0
    ).sum() / labels_of(known)


def masked_ccc(predicted, true, weight):
    """1 - CCC, the mean over the C columns; CCC = 2 cov / (var p + var t + (mean p - mean t)²)
    (Lin 1989).

    predicted, true: [N,C]. Means are weighted. A column with fewer than two labels does not
    act."""
    terms = []
    known = ~true.isnan()
    shares = torch.where(known, spread(weight).expand_as(true), 0.0)
    for k in range(true.shape[1]):
        w = shares[:, k] / shares[:, k].sum().clamp(min=1e-8)
        p = predicted[:, k].float()
        t = torch.where(known[:, k], true[:, k], 0.0)
        mean_p, mean_t = (w * p).sum(), (w * t).sum()
        covariance = (w * (p - mean_p) * (t - mean_t)).sum()
        spreads = (w * (p - mean_p).square()).sum() + (w * (t - mean_t).square()).sum()
        ccc = 2 * covariance / (spreads + (mean_p - mean_t).square() + 1e-8)
        terms.append(torch.where(known[:, k].sum() > 1, 1 - ccc, 0.0))
    return torch.stack(terms).mean()


def tails(true):
    """Levels / 5 [N,A] -> [N,A,5]: whether the level is at least 1, 2, … 5, as 0 or 1.

    A label between two levels is soft: 0.5 is level 2.5, so [1, 1, 0.5, 0, 0]."""
    steps = torch.arange(LEVELS - 1, device=true.device)
    return (true[..., None] * (LEVELS - 1) - steps).clamp(0, 1)


def level_tails(levels):
    """Probabilities of the levels [N,A,6] -> P(level >= k) for k = 1 … 5, [N,A,5]."""
    return levels.float().flip(2).cumsum(2).flip(2)[..., 1:]


def tails_of(true):
    """P(level >= k), [N,A,5], of a truth in either form: levels / 5 [N,A], or what a teacher
    reads, the probabilities of the levels [N,A,6]."""
    return level_tails(true) if true.dim() == 3 else tails(true)


def masked_ordinal(levels, true, weight):
    """Ordinal loss: the mean binary cross-entropy of the five questions "is the level at least
    k?".

    The questions are those of Frank and Hall (2001) and Niu et al. (2016). An error of several
    levels costs more than one of a single level. levels: [N,A,6]; true: as `tails_of` takes it."""
    asked = level_tails(levels)  # [N,A,5]
    flat = spread(weight).expand(asked.shape[:2]).reshape(-1, 1)
    steps = LEVELS - 1
    return masked_bce(asked.reshape(-1, steps), tails_of(true).reshape(-1, steps), flat)


def masked_level_cross_entropy(levels, true, weight):
    """Mean of -weight * log p(true level), as in 6-way classification (Niinuma et al. 2022).

    levels: [N,A,6]; true: as `tails_of` takes it; a label between two levels is shared between
    them."""
    at_least = tails_of(true)  # [N,A,5]
    known = ~at_least[..., 0].isnan()  # [N,A]
    at_least = torch.where(known[..., None], at_least, 0.0)
    ones, zeros = torch.ones_like(at_least[..., :1]), torch.zeros_like(at_least[..., :1])
    share = torch.cat([ones, at_least], 2) - torch.cat([at_least, zeros], 2)  # [N,A,6]
    loss = -(share * levels.float().clamp(min=LEAST).log()).sum(2)  # [N,A]
    return (spread(weight) * torch.where(known, loss, 0.0)).sum() / labels_of(known)


def masked_presence(reading, present, weight, present_from=0.4, absent_to=0.2):
    """What presence alone says of a level: mean of weight * (how far the reading is outside the
    range)².

    present 1: the reading is to be at least `present_from` (level 2); present 0: at most
    `absent_to` (level 1). Inside the range nothing is said, as an occurrence has no level.
    reading, present: [N,A]."""
    known = ~present.isnan()  # [N,A]
    chance = torch.where(known, present, 0.5)
    short = (present_from - reading.float()).clamp(min=0).square()
    over = (reading.float() - absent_to).clamp(min=0).square()
    loss = torch.where(known, chance * short + (1 - chance) * over, 0.0)
    return (spread(weight) * loss).sum() / labels_of(known)
