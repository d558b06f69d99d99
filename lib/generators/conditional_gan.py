"""Faces from noise by condition: Kolbenschlager 2020's second model, a plain conditional GAN
(Mirza and Osindero 2014).

The label is a second input of both networks. The discriminator judges pairs of image and label: a
real image with another image's label counts as fake, like a generated one. No sizes are published;
ours are DCGAN's.
"""
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from lib.generators.contract import SampleDrawing, System as Contract, adam
from lib.generators.sampler_blocks import ConvolutionalGenerator, ConvolutionalTrunk, is_real
from lib.training import over_processes

TASKS = ("expression",)


@dataclass
class Config:
    size: int = 64                # image side in pixels
    width: int = 64               # channels of the first map
    noise_size: int = 100         # Z, normal
    learning_rate: float = 2e-4   # Adam's
    beta1: float = 0.5
    # share of the fakes' loss that real images with a wrong label have
    w_wrong: float = 0.5


PRESETS = {"paper": {}, "quick": {"size": 32, "width": 24}}
SCHEDULES = {"paper": {"epochs": 100, "decay_epochs": 0, "batch": 64},
             "quick": {"epochs": 20, "decay_epochs": 0, "batch": 32}}


class Discriminator(nn.Module):
    """image [N,3,S,S], y [N,C] -> logit [N] of "real, and y is its label". y becomes one more
    colour of the image."""

    def __init__(self, config, conditions):
        super().__init__()
        self.size = config.size
        self.label = nn.Linear(conditions, config.size ** 2)
        self.trunk = ConvolutionalTrunk(config.size, config.width, colours=4)
        self.score = nn.Linear(self.trunk.features + conditions, 1)

    def forward(self, x, y):
        plane = self.label(y).view(-1, 1, self.size, self.size)
        features = self.trunk(torch.cat([x, plane], 1))
        return self.score(torch.cat([features, y], 1))[:, 0]


def wrong_labels(y):
    """(labels of the next image of the batch [N,C], bool [N] whether they differ from the image's
    own)."""
    other = y.roll(1, 0)
    return other, (other != y).any(1)


class System(Contract):
    """Generator and discriminator, one step of each on a batch."""

    kind = "sampler"
    averaged = ("generator",)

    def __init__(self, labels, config):
        super().__init__(labels, config)
        self.generator = ConvolutionalGenerator(config.noise_size, labels.count, config.size,
                                                config.width)
        self.discriminator = Discriminator(config, labels.count)
        self.nets = {"generator": self.generator, "discriminator": self.discriminator}
        self.optimisers = {
            name: adam(net, config.learning_rate, (config.beta1, 0.999))
            for name, net in self.nets.items()
        }
        self.drawing = SampleDrawing("normal", config.noise_size)

    def step(self, batch, step):
        x_real, y, w = batch.x_real, batch.y, self.config.w_wrong
        x_fake = self.generator(self.draw.randn(len(y), self.config.noise_size, device=y.device), y)

        # L_D = -E[log D(x, y)] - (1 - w) E[log(1 - D(G(z, y), y))] - w E[log(1 - D(x, y'))], y'
        # the wrong label
        real, fake = self.discriminator(x_real, y), self.discriminator(x_fake.detach(), y)
        d_loss = is_real(real, 1) + (1 - w) * is_real(fake, 0)
        terms = {}
        if w:
            y_wrong, differs = wrong_labels(y)
            # -log(1 - sigmoid) is softplus; rows are weighed, as choosing them would wait for a GPU
            each = F.softplus(self.discriminator(x_real, y_wrong)) * differs
            wrong = each.sum() / over_processes(differs.float().sum()).clamp(min=1e-8)
            d_loss = d_loss + w * wrong
            terms["d_wrong"] = wrong.detach()
        self.update("discriminator", d_loss)

        # L_G = -E[log D(G(z, y), y)]
        g_loss = is_real(self.discriminator(x_fake, y), 1)
        self.update("generator", g_loss)
        return {**terms, "d_loss": d_loss.detach(), "g_loss": g_loss.detach(),
                "d_gap": (real.mean() - fake.mean()).detach()}

    @property
    def exports(self):
        return {"sampler": self.generator}
