"""The loss of a classifier with several heads: each head's own loss, and how they are weighed.

`balanced` divides a head's loss by that of its best constant reading, and multiplies it by how
much its labels count (Head.share): an AU 3, valence and arousal 1 each, an expression 1. Without
it the mean squared error of rare AUs (0.037 on rendered faces) drowns beside those of valence and
arousal (0.15) and cross-entropy (2): the common layers then learn little of the AUs. `learnt` lets
training find the weights (Kendall, Gal and Cipolla 2018, "Multi-Task Learning Using Uncertainty to
Weigh Losses"): sum over heads of exp(-s) L + s/2, with a learnt s, over losses L divided by those
of the constant readings.
"""

import torch
from torch import nn

LEAST_SCALE = 1e-4  # a constant label has no loss to divide by


class Objective(nn.Module):
    """Outputs, truth and weights of a batch -> (the loss, {head: its own loss}).

    heads: {name: Head}; true: the truth of the training rows; kinds: {head: name of its loss}, the
    first of each head where not given; weights: 'balanced', 'learnt', or {head: number}; rare: the
    most that a rare AU or class may count (0: all count alike)."""

    def __init__(self, heads, true, kinds=None, weights="balanced", rare=0.0):
        super().__init__()
        self.kinds = {
            name: (kinds or {}).get(name, next(iter(head.losses))) for name, head in heads.items()
        }
        self.loss_of = {name: head.loss for name, head in heads.items()}
        self.weight_of = {name: head.cell_weight for name, head in heads.items()}
        self.rare = {name: head.rare(true, rare) if rare else None for name, head in heads.items()}
        self.scale = dict.fromkeys(heads, 1.0)
        learnt = weights == "learnt" and len(heads) > 1
        if isinstance(weights, dict):
            self.scale |= {name: weights[name] for name in heads if name in weights}
        elif len(heads) > 1:
            share = {name: 1 if learnt else head.share for name, head in heads.items()}
            self.scale = {
                name: share[name] / self.of_constant(name, head, true)
                for name, head in heads.items()
            }
        self.log_variance = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(())) for name in heads if learnt}
        )

    @torch.no_grad()
    def of_constant(self, name, head, true):
        """The loss of the best constant reading over the training rows, a number."""
        count = len(next(iter(true.values())))
        out = {
            key: value.expand(count, *value.shape[1:]) for key, value in head.constant(true).items()
        }
        weight = torch.ones(count, device=next(iter(true.values())).device)
        return max(float(self.term(name, out, true, weight)), LEAST_SCALE)

    def term(self, name, out, true, weight):
        """The loss of one head."""
        if self.rare[name] is not None:
            weight = self.weight_of[name](true, weight, self.rare[name])
        return self.loss_of[name](self.kinds[name], out, true, weight)

    def forward(self, out, true, weight, fixed=False):
        """fixed: leave learnt weights out, as validation does, whose epochs have to be
        comparable."""
        terms = {name: self.term(name, out, true, weight) for name in self.kinds}
        if fixed or not self.log_variance:
            return sum(value * self.scale[name] for name, value in terms.items()), terms
        total = sum(
            (-s).exp() * terms[name] * self.scale[name] + s / 2
            for name, s in self.log_variance.items()
        )
        return total, terms
