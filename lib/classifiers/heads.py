"""Heads: what a classifier reads from its features, and how each reading is taught.

A head is a class here and a line in HEADS. It says its outputs, its possible losses (the first is
the default), and what it would read if it knew nothing but the marginals of the labels.

The truth is a dict of tensors, as lib.classifiers.label_tensors.truth makes it: `au` [N,A] (FACS
level / 5, NaN where there is no level), `au_present` [N,A] (1, 0 or NaN), `valence_arousal` [N,2],
`expression` [N]. A mean teacher adds `au_level` [N,A,6], what it reads.
"""

import torch
from torch import nn

from lib.classifiers import losses

AU_SHARE = 3  # an AU counts thrice beside another label: AUs tell most of the others
PRESENT_LEVEL = (
    2  # from this FACS level on an AU counts as present (as lib.labels.PRESENT_INTENSITY)
)


def rare_weights(have, most):
    """How much the presence of each label counts, [C]: absences / presences, between 1 and `most`.

    have: [N,C] in {0, 1, NaN}. 1 where a label is never there."""
    there = torch.nansum(have, 0)
    absent = (~have.isnan()).sum(0) - there
    return torch.where(there > 0, absent / there.clamp(min=1), 1.0).clamp(1, most)


def occurrences_only(true):
    """Presence [N,A] in the rows that have no level, NaN elsewhere."""
    return torch.where(true["au"].isnan(), true["au_present"], torch.nan)


class Head(nn.Linear):
    """A linear layer from features [N,F] to readings. Subclasses fill in what follows."""

    losses = {}  # name: function of (prediction, truth, weight); the first is the default
    outputs = ()  # what forward gives
    counts = 1  # how much a label counts beside those of other heads

    @property
    def share(self):
        """How much it counts beside other heads: `counts` for each label of a row."""
        return self.counts * self.out_features

    def loss(self, kind, out, true, weight):
        """The loss `kind` of the network's outputs `out`. weight: [N] or [N,A]."""
        raise NotImplementedError

    def constant(self, true):
        """The reading that is best when pictures are not looked at, as a dict like forward's, of
        one row."""
        raise NotImplementedError

    def cell_weight(self, true, weight, rare):
        """Row weights [N] with presences times rare [A], [N,A]."""
        have = true["au_present"] >= 0.5
        return weight[:, None] * torch.where(have, rare, 1.0)

    def rare(self, true, most):
        """Weights of the rare labels, as `cell_weight` takes them."""
        return rare_weights(true["au_present"], most)


class Intensity(Head):
    """AU intensity by regression: `au` [N,A] in [0, 1], FACS level / 5.

    Rows with an occurrence in place of a level teach presence only
    (lib.classifiers.losses.masked_presence)."""

    outputs = ("au",)
    counts = AU_SHARE
    losses = {
        "mse": losses.masked_mse,
        "huber": losses.masked_huber,
        "bce": losses.masked_bce,
        "ccc": losses.masked_ccc,
    }

    def forward(self, features):
        return {"au": super().forward(features).sigmoid()}

    @torch.no_grad()
    def start_at(self, true):
        """Let the untrained network read every AU's mean, which saves it the first epochs."""
        self.bias.copy_(self.constant(true)["au"][0].clamp(0.01, 0.99).logit())

    def constant(self, true):
        mean = true["au"].nanmean(0)
        return {
            "au": torch.where(mean.isnan(), true["au_present"].nanmean(0), mean).nan_to_num(0.5)[
                None
            ]
        }

    def loss(self, kind, out, true, weight):
        level = self.losses[kind](out["au"], true["au"], weight)
        # 0 where there are none: to ask for it would wait for a GPU
        return level + losses.masked_presence(out["au"], occurrences_only(true), weight)


class Level(Head):
    """AU intensity as six ordinal levels: `au_level` [N,A,6] probabilities; the reading `au` [N,A]
    is their expected value / 5 (Niinuma et al. 2022). A row with an occurrence teaches P(level >=
    2)."""

    outputs = ("au", "au_level")
    counts = AU_SHARE
    losses = {"ordinal": losses.masked_ordinal, "ce": losses.masked_level_cross_entropy}

    def __init__(self, features, count):
        super().__init__(features, count * losses.LEVELS)
        self.count = count

    @property
    def share(self):
        return self.counts * self.count

    def forward(self, features):
        scores = super().forward(features).unflatten(1, (self.count, losses.LEVELS))
        levels = scores.softmax(2)  # [N,A,6]
        steps = torch.arange(losses.LEVELS, device=levels.device, dtype=levels.dtype)
        return {"au_level": levels, "au": (levels * steps).sum(2) / (losses.LEVELS - 1)}

    @torch.no_grad()
    def start_at(self, true):
        """Let the untrained network read how often each level occurs."""
        self.bias.copy_(self.constant(true)["au_level"][0].clamp(min=1e-3).log().flatten())

    def constant(self, true):
        levels = (true["au"] * (losses.LEVELS - 1)).round()  # [N,A]
        shares = torch.stack(
            [(levels == k).sum(0) for k in range(losses.LEVELS)], 1
        ).float()  # [A,6]
        shares = (shares + 0.1) / (shares + 0.1).sum(1, keepdim=True)
        steps = torch.arange(losses.LEVELS, device=shares.device)
        return {"au_level": shares[None], "au": (shares * steps).sum(1)[None] / (losses.LEVELS - 1)}

    def loss(self, kind, out, true, weight):
        level = self.losses[kind](out["au_level"], true.get("au_level", true["au"]), weight)
        chance = out["au_level"][..., PRESENT_LEVEL:].sum(2)  # [N,A], P(level >= 2)
        return level + losses.masked_bce(chance, occurrences_only(true), weight)


class Occurrence(Head):
    """AU occurrence: `au_present` [N,A], the probability that the AU is there (level 2 or
    above)."""

    outputs = ("au_present",)
    counts = AU_SHARE
    losses = {"bce": losses.masked_bce, "mse": losses.masked_mse}

    def forward(self, features):
        return {"au_present": super().forward(features).sigmoid()}

    @torch.no_grad()
    def start_at(self, true):
        """Let the untrained network read how often each AU occurs."""
        self.bias.copy_(self.constant(true)["au_present"][0].clamp(0.01, 0.99).logit())

    def constant(self, true):
        return {"au_present": true["au_present"].nanmean(0).nan_to_num(0.5)[None]}

    def loss(self, kind, out, true, weight):
        return self.losses[kind](out["au_present"], true["au_present"], weight)


class ValenceArousal(Head):
    """`valence_arousal` [N,2] in [-1, 1]."""

    outputs = ("valence_arousal",)
    losses = {"mse": losses.masked_mse, "huber": losses.masked_huber, "ccc": losses.masked_ccc}

    def forward(self, features):
        return {"valence_arousal": super().forward(features).tanh()}

    def constant(self, true):
        return {"valence_arousal": true["valence_arousal"].nanmean(0).nan_to_num(0.0)[None]}

    def loss(self, kind, out, true, weight):
        return self.losses[kind](out["valence_arousal"], true["valence_arousal"], weight)

    def rare(self, true, most):
        return None  # values without classes: none is rare

    def cell_weight(self, true, weight, rare):
        return weight


class Expression(Head):
    """`expression` [N,E], the probabilities of the classes."""

    outputs = ("expression",)
    share = 1  # one class a row
    losses = {"ce": losses.masked_cross_entropy}

    def forward(self, features):
        return {"expression": super().forward(features).softmax(1)}

    def constant(self, true):
        counts = self.frequencies(true)
        return {"expression": (counts / counts.sum().clamp(min=1))[None]}

    def frequencies(self, true):
        """How often each class is there, [E]."""
        known = true["expression"][true["expression"] >= 0]
        return torch.bincount(known, minlength=self.out_features).float()

    def loss(self, kind, out, true, weight):
        return self.losses[kind](out["expression"], true["expression"], weight)

    def rare(self, true, most):
        """Weights of the classes [E]: as often as the most frequent one, at most `most`."""
        counts = self.frequencies(true)
        return (counts.max() / counts.clamp(min=1)).clamp(1, most)

    def cell_weight(self, true, weight, rare):
        return weight * torch.where(
            true["expression"] >= 0, rare[true["expression"].clamp(min=0)], 1.0
        )


#        a head's name is what --tasks calls it
HEADS = {
    "au": Intensity,
    "au_level": Level,
    "au_present": Occurrence,
    "va": ValenceArousal,
    "expression": Expression,
}
