"""What GANimation (Pumarola et al. 2018) and StarGAN (Choi et al. 2018) share: networks, and how
their discriminator is asked.

Both append the tiled conditions to the image, halve it twice, keep it there for six residual
blocks, and double it twice; their discriminator is six strided convolutions with a patch head and
a head for the conditions."""
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from lib.cli import BadInput
from lib.generators import frame_alignment, losses
from lib.generators.blocks import activate, convolve, tile, upconvolve
from lib.generators.contract import EditDrawing, System, adam


class ResidualBlock(nn.Module):
    """[N,C,H,W] -> the same shape: two conv3 with norm, added to the input."""

    def __init__(self, channels, norm):
        super().__init__()
        self.body = nn.Sequential(convolve(channels, channels, 3, 1, norm, "relu"),
                                  convolve(channels, channels, 3, 1, norm))

    def forward(self, x):
        return x + self.body(x)


class ResidualTrunk(nn.Module):
    """image [N,3,S,S] in [-1, 1], conditions [N,C] -> features [N,width,S,S].

    Published: conv7 to `width`, two conv4 of stride 2 to 4·width, six residual blocks, two
    transposed convolutions back. `stem` s begins with s x s pixels as one (space-to-depth) and
    conv3, and ends with bilinear enlargement: with stem=2 and halvings=1 the residual blocks have
    the published quarter of the resolution, without the cost of convolutions at the whole of
    it. The tiled conditions are times `louder`."""

    def __init__(self, conditions, width, halvings=2, blocks=6, stem=1, norm="instance",
                 louder=1.0):
        super().__init__()
        self.stem, self.louder = stem, louder
        kernel = 7 if stem == 1 else 3
        layers = [convolve(3 * stem ** 2 + conditions, width, kernel, 1, norm, "relu")]
        widths = [width * 2 ** i for i in range(halvings + 1)]
        layers += [convolve(a, b, 4, 2, norm, "relu") for a, b in zip(widths, widths[1:])]
        layers += [ResidualBlock(widths[-1], norm) for _ in range(blocks)]
        layers += [upconvolve(b, a, norm, "relu") for a, b in zip(widths[-2::-1], widths[:0:-1])]
        self.layers = nn.Sequential(*layers)

    def forward(self, image, conditions):
        x = F.pixel_unshuffle(image, self.stem) if self.stem > 1 else image
        x = self.layers(torch.cat([x, tile(conditions * self.louder, x)], 1))
        if self.stem == 1:
            return x
        return F.interpolate(x, scale_factor=self.stem, mode="bilinear", align_corners=False)


class ResidualHead(nn.Conv2d):
    """[N,width,S,S] -> [N,outputs,S,S], before its tanh or sigmoid: conv7 as published, conv3
    after a stem."""

    def __init__(self, width, outputs, stem=1):
        super().__init__(width, outputs, 7 if stem == 1 else 3, padding="same", bias=False)


class StarDiscriminator(nn.Module):
    """image [N,3,S,S] -> patch scores [N,1,h,w], readings of the conditions [N,C] (no activation).

    Published: six conv4 of stride 2 with bias, `width` doubling to 32·width, LeakyReLU 0.01, no
    norm; heads conv3 and a convolution over the whole map, without bias. Small images get fewer
    layers, until the map is 2 x 2."""

    def __init__(self, conditions, size, width=64, layers=6, stem=1):
        super().__init__()
        self.stem = stem
        body, channels, side = [], 3, size
        if stem > 1:
            body = [convolve(3 * stem ** 2, width, 3, activation="leaky")]
            channels, side = width, size // stem
        for layer in range(layers):
            if side < 4 or side % 2:
                break
            wider = width if channels == 3 else channels * 2
            body.append(nn.Sequential(nn.Conv2d(channels, wider, 4, 2, 1), activate("leaky")))
            channels, side = wider, side // 2
        self.body = nn.Sequential(*body)
        self.patch = nn.Conv2d(channels, 1, 3, 1, 1, bias=False)
        self.labels = nn.Conv2d(channels, conditions, side, bias=False)

    def forward(self, pictures):
        if self.stem > 1:
            pictures = F.pixel_unshuffle(pictures, self.stem)
        features = self.body(pictures)
        return self.patch(features), self.labels(features).flatten(1)


class StarSystem(System):
    """A generator, a StarDiscriminator, an Adam optimiser for each, and how batches are drawn."""

    kind = "editor"
    averaged = ("generator",)
    differentiated_twice = ("discriminator",)
    sums = ("g_smooth",)

    def __init__(self, labels, config, generator, **drawing):
        """generator: class of (conditions, config); drawing: settings of the EditDrawing."""
        super().__init__(labels, config)
        check_size(config)
        self.generator = generator(labels.count, config)
        self.discriminator = StarDiscriminator(labels.count, config.size, config.d_width,
                                               config.d_layers, config.d_stem)
        self.nets = {"generator": self.generator, "discriminator": self.discriminator}
        rates = {"generator": config.learning_rate, "discriminator": config.d_learning_rate}
        self.optimisers = {name: adam(net, rates[name])
                           for name, net in self.nets.items()}
        self.drawing = EditDrawing(shares_of(config.shares), isolate=config.isolate, **drawing)
        self.real_kind = "score" if config.adversarial == "wgan-gp" else "probability"

    def learn_without_pairs(self):
        """The discriminator then teaches alone, and is asked at every step."""
        self.config.critic_every = 1
        return super().learn_without_pairs()

    def see(self, pictures):
        """The discriminator's scores and readings of what it may see of the pictures."""
        if self.config.augment:
            pictures = losses.augment(pictures, self.config.shift, draw=self.draw)
        return self.discriminator(pictures)

    def pair_loss(self, edited, batch, source):
        """The idiosyncratic loss: L1 between edits and true images [P,3,S,S]; from an epoch on
        after one is moved onto the other.

        Unregistered pairs end in edits that blur what the head's movement may have moved.
        Registered from the start they end in none: the input itself is then too good an answer."""
        config = self.config
        distance = partial(losses.pair_l1, emphasis=config.pair_emphasis)
        if not 0 <= config.registered_from <= batch.epoch:
            return distance(edited, batch.x_true, source)
        return frame_alignment.both_ways(distance, edited, batch.x_true, source)

    def penalty_due(self, step):
        """Whether the discriminator's gradient penalty is formed at this step."""
        return step // self.config.critic_every % self.config.penalty_every == 0


def check_size(config):
    """BadInput unless images of config.size go through trunk and discriminator."""
    step = max(config.stem * 2 ** config.halvings, config.d_stem * 2)
    if config.size % step or config.size < 2 * step:
        raise BadInput(f"images of {config.size} pixels: this network needs a multiple of {step}, "
                       f"{2 * step} or more; say so by --size")


def shares_of(text):
    """'pair=2,permuted=1' -> {'pair': 2.0, 'permuted': 1.0}."""
    try:
        return {kind: float(share) for kind, share in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise BadInput(f"shares={text}: write kinds of targets and their shares, "
                       "such as pair=2,permuted=1") from None
