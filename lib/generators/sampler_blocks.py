"""Networks and losses that several samplers share: a convolutional generator, a convolutional
trunk, conditions.

They follow DCGAN (Radford, Metz, Chintala 2016): strided convolutions, batch norm in the
generator, LeakyReLU 0.2.
"""
import torch
from torch import nn
from torch.nn import functional as F

from lib.training import over_processes

LEAK = 0.2
SMALLEST = 3  # the smallest map has this side or up to twice as much


def sides(size):
    """Sides of the maps from the smallest to the image, each twice the last: 32 -> [4, 8, 16,
    32]."""
    found = [size]
    while found[0] % 2 == 0 and found[0] // 2 > SMALLEST:
        found.insert(0, found[0] // 2)
    return found


class ConvolutionalGenerator(nn.Module):
    """noise [N,Z], y [N,C] -> image [N,3,S,S] in [-1, 1]: a linear layer to the smallest map, then
    transposed convolutions that double it, with batch norm and ReLU, and tanh at the end. y is
    appended to the noise where there are conditions."""

    def __init__(self, noise_size, conditions, size, width):
        super().__init__()
        self.conditions = conditions
        maps = sides(size)
        channels = [min(width * 2 ** k, width * 8) for k in reversed(range(len(maps) - 1))] + [3]
        self.side, self.channels = maps[0], channels[0] if len(channels) > 1 else width
        self.start = nn.Linear(noise_size + conditions, self.channels * self.side ** 2, bias=False)
        layers = [nn.BatchNorm2d(self.channels), nn.ReLU()]
        for before, after in zip(channels, channels[1:]):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=after == 3)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()] if after != 3 else [nn.Tanh()]
        self.grow = nn.Sequential(*layers)

    def forward(self, noise, y=None):
        start = self.start(torch.cat([noise, y], 1) if self.conditions else noise)
        return self.grow(start.view(noise.shape[0], self.channels, self.side, self.side))


class ConvolutionalTrunk(nn.Module):
    """image [N,colours,S,S] -> features [N,F], F being `features`: convolutions that halve the
    map."""

    def __init__(self, size, width, colours=3):
        super().__init__()
        maps = sides(size)[::-1]
        channels = [colours] + [min(width * 2 ** k, width * 8) for k in range(len(maps) - 1)]
        layers = []
        for before, after in zip(channels, channels[1:]):
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(LEAK)]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.features = channels[-1] * maps[-1] ** 2

    def forward(self, x):
        return self.layers(x)


def condition_loss(readings, y, known, labels):
    """Readings (logits) of conditions against y, all [N,C]; known: bool [N,C].

    Expressions: cross-entropy. AUs: binary cross-entropy with the level as target. Valence and
    arousal: mean squared error of tanh. The sum of those that there are; what is unlabelled does
    not act."""
    total = readings.new_zeros(())
    for kind in dict.fromkeys(labels.kinds):
        part = labels.columns(kind)
        read, true, sure = readings[:, part], y[:, part], known[:, part].float()
        if kind == "expression":
            # the mean over E columns is then the sum
            error = -(read.log_softmax(1) * true) * read.shape[1]
        elif kind == "au":
            error = F.binary_cross_entropy_with_logits(read, true, reduction="none")
        else:
            error = (read.tanh() - true).square()
        total = total + (error * sure).sum() / over_processes(sure.sum()).clamp(min=1e-8)
    return total


def probabilities(readings, labels):
    """Readings (logits) [N,C] as a classifier's outputs: those of au, valence_arousal, expression
    that there are."""
    out = {}
    if labels.aus:
        out["au"] = readings[:, labels.columns("au")].sigmoid()
    if labels.valence_arousal:
        out["valence_arousal"] = readings[:, labels.columns("va")].tanh()
    if labels.expressions:
        out["expression"] = readings[:, labels.columns("expression")].softmax(1)
    return out


def even(draw, count, size, device):
    """Noise [N,Z], even in [-1, 1). draw: lib.training.Draws."""
    return draw.rand(count, size, device=device) * 2 - 1


def is_real(scores, real):
    """Mean cross-entropy of logits `scores` against real (1) or generated (0)."""
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)))
