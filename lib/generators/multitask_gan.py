"""A GAN whose discriminator reads AUs and valence and arousal together, without a loss: our answer
to the joint categorical GAN of Richer 2018 (categorical_gan.py), whose AUs lost their F1.

Five changes, each a setting: generated images teach real/generated alone, as their labels can only
be guessed (fake_labels); batch norm's statistics are of real images (statistics); each task has a
last stage of its own (stages); AUs weigh more (w_au); the generator's loss does not saturate
(generator_loss), with other rates.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from lib.cli import BadInput
from lib.generators import categorical_gan

TASKS = categorical_gan.TASKS


@dataclass
class Config(categorical_gan.Config):
    size: int = 64
    discriminator: str = "compact"
    dropout: float = 0.2
    learning_rate: float = 1e-3
    update_rate: int = 1
    w_au: float = 4.0
    w_real: float = 0.1
    # own: one last stage a task, and one for real against generated | shared (published)
    stages: str = "own"
    # none: generated images teach real/generated alone | paper: they have guessed labels
    fake_labels: str = "none"
    # batch norm's running statistics: of real batches | both (published)
    statistics: str = "real"
    # tanh on valence and arousal (published: the linear layer itself)
    squash: bool = True
    # nonsaturating: -E[log P(real)] | saturating (published): E[log P(generated)]
    generator_loss: str = "nonsaturating"


PRESETS = {"quick": {}, "paper": {"size": 96, "discriminator": "resnet18", "learning_rate": 2e-4}}
SCHEDULES = {
    "quick": {"epochs": 20, "decay_epochs": 10, "batch": 64},
    "paper": {"epochs": 600, "decay_epochs": 300, "batch": 64},
}


class Discriminator(categorical_gan.Discriminator):
    """As the published one; features are those that read the AUs (or valence and arousal, where
    there are no AUs).

    With stages="own" the second task and "generated" have a last stage each, as the classifiers'
    heads without --shared do: tasks share the maps, but none of the last features."""

    def __init__(self, config, labels):
        if config.discriminator == "small" and config.stages == "own":
            raise BadInput("stages=own needs another discriminator than small, e.g. compact")
        super().__init__(config, labels)
        self.squash = config.squash
        tasks = [name for name, there in (("au", self.aus), ("va", self.va)) if there]
        apart = [*tasks[1:], "generated"] if config.stages == "own" else []
        self.stages = nn.ModuleDict({name: self.trunk.make_stage() for name in apart})

    def read(self, name, features, outputs):
        """The columns `outputs` of the last layer, on the features of a task."""
        return F.linear(features[name], self.last.weight[outputs], self.last.bias[outputs])

    def forward(self, x):
        if self.stages:
            maps = self.trunk.maps(x)
            first = self.trunk.features(maps)
            own = {name: stage(maps) for name, stage in self.stages.items()}
        else:
            first, own = self.trunk(x), {}
        features = dict.fromkeys(("au", "va", "generated"), first) | own
        au = self.read("au", features, slice(0, self.aus))
        va = self.read("va", features, slice(self.aus, -1))
        generated = self.read("generated", features, slice(-1, None))[:, 0]
        return au, va.tanh() if self.squash else va, generated, first


class System(categorical_gan.System):
    Discriminator = Discriminator

    def targets(self, batch):
        real, fake = super().targets(batch)
        if self.config.fake_labels == "none":
            fake |= {name: torch.full_like(fake[name], torch.nan) for name in ("au", "va")}
        return real, fake

    def read(self, x, real):
        """Running statistics move where the settings say so."""
        norms = [net for net in self.discriminator.modules() if isinstance(net, nn.BatchNorm2d)]
        kept = not real and self.config.statistics == "real"
        momenta = [norm.momentum for norm in norms]
        for norm in norms if kept else ():
            norm.momentum = 0.0
        out = super().read(x, real)
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
        return out

    def adversarial(self, generated):
        """-E[log P(real | G(z))]: it pulls most where the generator is worst."""
        if self.config.generator_loss == "saturating":
            return super().adversarial(generated)
        return -F.logsigmoid(-generated).mean()
