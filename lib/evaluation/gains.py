"""Who gains: two sets of predictions compared person by person, with a sign test.

A mean may rise while most people lose. Each person's ICC(3,1) is taken over all cells (image and
AU) of that person, as few images of one person show any single AU.
"""

import math

import numpy as np

from lib.evaluation import bootstrap

SHOWN = 3  # people who lose most, by name


def person_icc(people, truth, scores):
    """ICC of each person over all labelled cells, float [S]; NaN where undefined.

    truth, scores: [N,A]."""
    sums = bootstrap.level_sums(people, truth, scores).sum(1)  # [S,8]
    return bootstrap.level_numbers(sums)["icc"]


def names(people, subjects):
    """Who each of the S people is, '' for an image without a name, which counts as one."""
    first = np.unique(people.of_image, return_index=True)[1]
    return [subjects[row] for row in first]


def counted(people, subjects):
    """How many people a comparison has, in words, and how many images that name nobody."""
    if people.unit == "image":
        return f"{people.count} images, as no subject is named"
    unnamed = names(people, subjects).count("")
    text = f"{people.count - unnamed} people"
    return f"{text} and {unnamed} images without a name" if unnamed else text


def sign_test(gains, losses):
    """Two-sided p of as uneven a split when gains and losses are equally likely (binomial, exact);
    1.0 without any."""
    n, least = gains + losses, min(gains, losses)
    tail = sum(math.comb(n, k) for k in range(least + 1)) / 2**n
    return min(1.0, 2 * tail)


def p_value(p):
    """A p for people: three digits, '< 0.001' below."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def sentence(names, first, second):
    """[who gains from second to first], [] where no person's ICC is known. names: S people, '' for
    an image without a name, which is no person; first, second: their ICC [S]."""
    known = ~np.isnan(first) & ~np.isnan(second) & np.array([bool(name) for name in names])
    if not known.any():
        return []
    change = np.where(known, first - second, 0.0)
    gains, losses = int((change > 1e-9).sum()), int((change < -1e-9).sum())
    p = p_value(sign_test(gains, losses))
    text = (
        f"ICC over all cells of a person: {gains} of {known.sum()} people gain, {losses} lose; "
        f"sign test p {p if p.startswith('<') else '= ' + p}."
    )
    worst = [k for k in np.argsort(change)[:SHOWN] if change[k] < -1e-9]
    if worst:
        text += (
            " Most is lost by " + ", ".join(f"{names[k]} ({change[k]:+.3f})" for k in worst) + "."
        )
    return [text]
