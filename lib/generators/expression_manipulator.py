"""Expression Manipulator: edits facial expressions by relative action units.

Ling, Xue, Song, Yang, Xiao, Gu: "Toward Fine-grained Facial Expression Manipulation", ECCV 2020;
used by Marinos (TU Delft, 2023) to make training sets for AU classifiers.

A U-Net is told the *relative* AUs (target - source), so that zero means "change nothing"; its
skips pass through multi-scale fusion (MSF) modules, each told the relative AUs again; a
discriminator judges patches and regresses *absolute* AUs. The system that this project uses by
default, with a flow field and other changes of ours, is warp_editor.py.
"""
from dataclasses import dataclass

import torch
from torch import nn

from lib.cli import BadInput
from lib.generators import contract, losses
from lib.generators.blocks import PatchDiscriminator, convolve, painted, tile, upconvolve

TASKS = ("au",)


@dataclass
class Config:
    """Networks and losses; the defaults are those of the authors' training command
    (src/launch/train.sh)."""

    size: int = 128            # image side in pixels
    width: int = 64            # channels after the first convolution
    levels: int = 4            # halvings
    most: int = 8              # channels are at most width * most
    kernel: int = 5            # of the MSF modules' outer convolutions
    msf: bool = True           # ablation: False hands encoder features on as they are
    relative: bool = True      # ablation: False tells the generator absolute target AUs
    residual: bool = False     # ours: what is painted is added to the image
    norm: str = "instance"     # instance | group (ours: see blocks.normalisation)
    fusion_norm: bool = True   # norms within MSF; False: biases (models made before they had them)
    # convolutions' first weights: normal, N(0, 0.02) | uniform, PyTorch's own
    begin: str = "normal"
    d_width: int = 64
    d_layers: int = 6
    d_bias: bool = False       # of D's label head; True: as in models made before
    w_adversarial: float = 1.0
    w_condition: float = 150.0
    w_penalty: float = 10.0
    w_self: float = 30.0
    w_cycle: float = 30.0
    w_smooth: float = 1e-5
    g_every: int = 4           # the generator learns on every so many steps
    g_every_late: int = 3      # … from epoch `late_from` on
    late_from: int = 29        # counted from 0
    source_noise: float = 0.02
    target_noise: float = 0.1
    crop: bool = True          # pad by size / 16 (black) and crop at random
    learning_rate: float = 1e-4


PRESETS = {
    "paper": {},
    # the published losses and schedule, on a quarter of the width and images of 64 px; GroupNorm,
    # as InstanceNorm takes most of a tiled condition away again; N(0, 0.02) is small for layers
    # that are narrow. A thousand generator steps do not teach it to paint an image anew, so it
    # changes the pixels of the one it has. Norms count a crop's black rim, and shift the colours
    # of images that have none: no crops
    "quick": dict(size=64, width=16, levels=3, kernel=3, residual=True, norm="group",
                  begin="uniform", d_width=32, d_layers=5, crop=False, learning_rate=4e-4),
}
SCHEDULES = {"paper": dict(epochs=50, decay_epochs=20, batch=16),
             "quick": dict(epochs=10, decay_epochs=5, batch=16)}


class MultiScaleFusion(nn.Module):
    """Fuses an encoder feature x [N,C,H,W] with a low-resolution feature d [N,L,H/2,W/2] under a
    condition.

    Two streams exchange what they have, then come together; the result is [N,C,H,W] (paper,
    section 3.2). fusion_norm: of the layers that exchange and join; "none" gives them biases."""

    def __init__(self, channels, low, condition, kernel=5, norm="instance", fusion_norm="none"):
        super().__init__()
        self.build_injection(channels, condition, kernel, norm)
        norm = fusion_norm
        self.high_keep = convolve(channels, channels // 2, 3, 1, norm, "relu")
        self.high_take = upconvolve(low, channels // 2, norm, "leaky")
        self.low_take = convolve(channels, low // 2, 4, 2, norm, "leaky")
        self.low_keep = convolve(low, low // 2, 3, 1, norm, "relu")
        self.lift = upconvolve(low // 2 * 2, min(low, channels), norm, "leaky")
        joined = channels // 2 * 2 + min(low, channels)
        self.fine = convolve(joined, channels // 2, 3, 1, norm, "relu")
        self.coarse = convolve(joined, channels - channels // 2, kernel, 1, norm, "relu")

    def build_injection(self, channels, condition, kernel, norm):
        """The layers with which x takes the condition: concatenated, as published."""
        self.inject = convolve(channels + condition, channels, kernel, 1, norm, "relu")

    def injected(self, x, condition):
        """x [N,C,H,W] once it has been told the condition."""
        return self.inject(torch.cat([x, tile(condition, x)], 1))

    def forward(self, x, d, condition):
        a = self.injected(x, condition)
        high = torch.cat([self.high_keep(a), self.high_take(d)], 1)
        low = torch.cat([self.low_take(a), self.low_keep(d)], 1)
        joined = torch.cat([high, self.lift(low)], 1)
        return torch.cat([self.fine(joined), self.coarse(joined)], 1)


class Generator(nn.Module):
    """U-Net with MSF skips: (image [N,3,S,S] in [-1,1], AUs [N,C], relative ones) -> image in
    [-1,1]."""

    step_calls = ("encode", "decode")  # see lib.compiling

    def __init__(self, aus, config):
        super().__init__()
        self.config = config
        widths = [config.width * min(2 ** i, config.most) for i in range(config.levels + 1)]
        first = convolve(3, widths[0], 7, 1, config.norm, "leaky")
        self.encoder = nn.ModuleList([first] + [convolve(a, b, 4, 2, config.norm, "leaky")
                                                for a, b in zip(widths, widths[1:])])
        self.bottleneck = convolve(widths[-1] + aus, widths[-1], 3, 1, config.norm, "relu")
        self.up, self.fuse = nn.ModuleList(), nn.ModuleList()
        channels, low = widths[-1], widths[-1]
        for level in reversed(range(config.levels)):
            outputs = widths[level + 1] if level == config.levels - 1 else widths[level]
            self.up.append(upconvolve(channels, outputs, config.norm, "relu"))
            channels = outputs
            if level:  # no skip at full resolution
                if config.msf:
                    self.fuse.append(MultiScaleFusion(
                        widths[level], low, aus, config.kernel, config.norm,
                        config.norm if config.fusion_norm else "none"))
                channels, low = channels + widths[level], widths[level]
        self.head = nn.Conv2d(channels, 3, 7, padding="same", bias=False)

    def forward(self, image, condition):
        return self.decode(self.encode(image), condition)

    def encode(self, image):
        """The image, and features of each level, [N,C,S/2^l,S/2^l]: they do not depend on the
        condition."""
        features, x = [image], image
        for block in self.encoder:
            x = block(x)
            features.append(x)
        return features

    def decode(self, features, condition):
        """The image [N,3,S,S] that these features become under a condition [N,C]."""
        image, *features = features
        x = features[-1]
        d = low = self.bottleneck(torch.cat([x, tile(condition, x)], 1))
        fuse = iter(self.fuse)
        for up, level in zip(self.up, reversed(range(self.config.levels))):
            d = up(d)
            if level:
                low = (next(fuse)(features[level], low, condition) if self.config.msf
                       else features[level])
                d = torch.cat([d, low], 1)
        return painted(self.head(d), image if self.config.residual else None)

    def edit(self, image, source, target):
        """Image [N,3,S,S] with absolute AUs `source` [N,C] changed to `target` [N,C]; none may be
        NaN."""
        return self(image, self.change(source, target))

    def change(self, source, target):
        """What the network is told, [N,C]."""
        return target - source if self.config.relative else target


def begin_small(layer):
    """A convolution's first weights as in the public code: N(0, 0.02), biases 0."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class System(contract.System):
    """Generator and discriminator, and the authors' training step."""

    kind = "editor"
    averaged = ("generator",)
    differentiated_twice = ("discriminator",)
    channels_last = False  # its many instance norms copy each map on a CPU: 15 % of a cycle
    real_kind = "score"    # the critic is Wasserstein's
    sums = ("g_smooth",)

    def __init__(self, labels, config):
        super().__init__(labels, config)
        if config.size % 2 ** config.levels:
            raise BadInput(f"images of {config.size} pixels: this network needs a multiple of "
                           f"{2 ** config.levels}; say so by --size")
        self.generator = Generator(labels.count, config)
        self.discriminator = PatchDiscriminator(labels.count, config.size, config.d_width,
                                                config.d_layers, label_bias=config.d_bias)
        self.nets = {"generator": self.generator, "discriminator": self.discriminator}
        if config.begin not in ("normal", "uniform"):
            raise BadInput(f"setting begin={config.begin}: say normal or uniform")
        if config.begin == "normal":
            for net in self.nets.values():
                net.apply(begin_small)
        self.optimisers = {name: contract.adam(net, config.learning_rate)
                           for name, net in (("g", self.generator), ("d", self.discriminator))}
        self.drawing = contract.EditDrawing(
            target_noise=config.target_noise, source_noise=config.source_noise, clamp=False,
            crop=config.crop
        )

    @property
    def exports(self):
        return {"editor": contract.Editor(self.generator),
                "classifier": contract.LabelReader(self.discriminator, self.labels,
                                                   self.real_kind)}

    def step(self, batch, step):
        """A discriminator step, another for its penalty, and on every g_every-th batch a generator
        step."""
        config, y_org, y_trg = self.config, batch.y_org, batch.y_trg
        x_real = batch.x_real.contiguous(memory_format=self.layout(batch.x_real.device))
        known = lambda values: torch.where(batch.known, values, torch.nan)
        every = config.g_every if batch.epoch < config.late_from else config.g_every_late
        generator, learns = self.generator, (step + 1) % every == 0
        terms = {}

        # x_fake = G(x_real, y_trg - y_org): the generator's own step takes it up, as do the
        # features of x_real
        with torch.set_grad_enabled(learns):
            features = generator.encode(x_real)
            x_fake = generator.decode(features, generator.change(y_org, y_trg))

        # discriminator
        score_real, reading = self.discriminator(x_real)
        score_fake, _ = self.discriminator(x_fake.detach())
        # E[D(x_fake)] - E[D(x_real)]  (eq. 3)
        terms["d_adversarial"] = score_fake.mean() - score_real.mean()
        # MSE(D_au(x_real), y_org)  (eq. 4)
        terms["d_condition"] = losses.masked_mse(reading, known(y_org))
        self.update("d", config.w_adversarial * terms["d_adversarial"]
                         + config.w_condition * terms["d_condition"])
        # E[(||grad D(x_hat)||_2 - 1)^2], a second step of the same optimiser, as in the public
        # code. (Adam forgets the scale of a loss that is its only one: with an optimiser for the
        # penalty alone, w_penalty would mean nothing.)
        terms["d_penalty"] = losses.gradient_penalty(self.discriminator, x_real, x_fake,
                                                     draw=self.draw)
        self.update("d", config.w_penalty * terms["d_penalty"])
        terms["d_gap"] = score_real.mean() - score_fake.mean()

        # generator
        if learns:
            score, reading = self.discriminator(x_fake)
            x_back = generator.edit(x_fake, y_trg, y_org)
            x_same = generator.decode(features, generator.change(y_org, y_org))
            # -E[D(x_fake)]
            terms["g_adversarial"] = -score.mean()
            # MSE(D_au(x_fake), y_trg)
            terms["g_condition"] = losses.masked_mse(reading, known(y_trg))
            # L1(G(x_real, 0), x_real)
            terms["g_self"] = (x_same - x_real).abs().mean()
            # L1(G(x_fake, y_org - y_trg), x_real)
            terms["g_cycle"] = (x_back - x_real).abs().mean()
            # sum of absolute differences of neighbours, over image and the batch of all processes
            terms["g_smooth"] = (losses.total_variation(x_fake, power=1)
                                 * len(x_fake) * self.draw.world)
            terms["g_change"] = (x_fake - x_real).abs().mean()
            g_loss = (config.w_adversarial * terms["g_adversarial"]
                      + config.w_condition * terms["g_condition"]
                      + config.w_self * terms["g_self"] + config.w_cycle * terms["g_cycle"]
                      + config.w_smooth * terms["g_smooth"])
            self.update("g", g_loss)
        return {name: value.detach() for name, value in terms.items()}
