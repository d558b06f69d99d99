"""One linear layer from pixels to features: what lib.evaluation.identity fills with Fisher's
discriminants."""

from torch import nn


class Linear(nn.Module):
    """Pictures float [N,3,S,S] in [-1, 1] -> features [N,F]; F is `width`. size: S; dropout: not
    used."""

    width = 48

    def __init__(self, size, dropout=0.0):
        super().__init__()
        self.inputs = 3 * size**2
        self.features = self.make_stage()

    def make_stage(self):
        """A new last stage: maps -> features [N,F]."""
        return nn.Linear(self.inputs, self.width)

    def maps(self, pictures):
        """What the last stage reads, [N,3·S·S]."""
        return pictures.flatten(1)

    def forward(self, pictures):
        return self.features(self.maps(pictures))
