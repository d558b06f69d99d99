"""Expression Manipulator: edits facial expressions by relative action units.

Ling, Xue, Song, Yang, Xiao, Gu: "Toward Fine-grained Facial Expression Manipulation", ECCV 2020; used by
Marinos (TU Delft, 2023) to make training sets for AU classifiers.

A U-Net is told the *relative* AUs (target - source), so that zero means "change nothing"; its skips pass
through multi-scale fusion (MSF) modules, each told the relative AUs again; a discriminator judges patches
and regresses *absolute* AUs.

`paper` is the published network. `quick` is the same idea for a CPU: a space-to-depth stem moves the work
to a quarter of the resolution, GroupNorm lets the condition through (see blocks.normalisation), and the
head moves pixels (a flow field) before it paints them.
"""
import math
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from lib.cli import BadInput
from lib.generators import frame_alignment, losses
from lib.generators.blocks import PatchDiscriminator, convolve, flow_warp, tile, upconvolve
from lib.generators.pairs import make_batch  # noqa: F401  (what train_generator.py draws for this system)


@dataclass
class Config:
    """What the networks and losses depend on; the defaults are the paper's."""

    size: int = 128            # image side in pixels
    width: int = 64            # channels after the stem
    levels: int = 4            # halvings after the stem
    most: int = 8              # channels are at most width * most
    stem: int = 1              # 1: conv7 at full resolution; s: space-to-depth by s
    skip_from: int = 1         # encoder features from this level down reach the decoder through MSF
    kernel: int = 5            # of the MSF modules' outer convolutions
    norm: str = "instance"     # instance | group
    inject: str = "concat"     # how MSF takes the condition: concat (tiled channels) | modulate (scale and shift)
    head: str = "direct"       # direct: tanh image; warp: flow field and painting, both proportional to the condition
    joined: int = 64           # channels before the warp head
    fine: int = 16             # channels at full resolution in the warp head
    position: int = 0          # channels of a learned map beside the image there, and whether one is added to the
                               # stem's features, for pictures that do not show which place is which
    d_width: int = 64
    d_layers: int = 6
    d_stem: int = 1
    adversarial: str = "wgan-gp"   # wgan-gp | nonsaturating
    w_adversarial: float = 1.0
    w_condition: float = 150.0
    w_penalty: float = 10.0
    w_self: float = 30.0       # 0 where the head is `warp`: zero relative AUs return the input by construction
    w_cycle: float = 30.0
    w_variation: float = 1e-5
    w_pair: float = 0.0        # idiosyncratic loss (Niinuma et al. 2022)
    pair_emphasis: float = 3.0  # how much more the pixels count that differ most between the two frames
    register_pairs: bool = False  # take the head's movement between the two frames out of that loss
    doubles: bool = False      # that loss compares changes: the edit's, and that from a double of the source to J
    n_critic: int = 4          # discriminator steps a generator step
    critic_every: int = 1      # the discriminator is asked, and learns, on every so many generator steps
    d_warmup: int = 0          # steps in which the AU head alone learns, on real images, before anything else
    penalty_every: int = 1     # lazy regularisation: the penalty, times this, on every so many steps
    cycle_every: int = 1
    augment: bool = False      # differentiable augmentation of what the discriminator sees
    shift: float = 3.0         # its shifts, in pixels
    noisy_targets: float = 0.1
    shares: str = "permuted=1"  # kinds of targets in a batch, e.g. pair=2,single=1,self=1
    learning_rate: float = 1e-4
    d_learning_rate: float = 1e-4


PRESETS = {
    "paper": {},
    # the true image of the same person does most of the teaching; the discriminator is asked on every 4th step
    "quick": dict(size=64, width=48, levels=2, most=3, stem=4, skip_from=0, kernel=3, norm="group",
                  inject="modulate", head="warp", joined=128, d_width=64, d_layers=3, d_stem=4,
                  adversarial="nonsaturating", n_critic=1, critic_every=4, d_warmup=300, penalty_every=4,
                  cycle_every=8, augment=True, w_adversarial=0.1, w_condition=1.0, w_penalty=0.02, w_self=0.0,
                  w_cycle=5.0, w_variation=0.0, w_pair=40.0, pair_emphasis=5.0, register_pairs=True,
                  shares="pair=14,single=2", learning_rate=1.5e-3, d_learning_rate=5e-4),
    # a digit grid has no people, so any two grids are a pair; but their digits are drawn otherwise, and their noise is
    # another: what is compared are changes
    "grid": dict(size=48, width=32, levels=2, most=3, stem=4, skip_from=0, kernel=3, norm="group",
                 inject="modulate", head="warp", joined=64, position=16, d_width=48, d_layers=3, d_stem=4,
                 adversarial="nonsaturating", n_critic=1, critic_every=4, d_warmup=200, penalty_every=4, cycle_every=8,
                 augment=True, shift=1.0, w_adversarial=0.1, w_condition=1.0, w_penalty=0.02, w_self=0.0, w_cycle=5.0,
                 w_variation=0.0, w_pair=400.0, doubles=True, shares="pair=14,single=2", learning_rate=1.5e-3,
                 d_learning_rate=5e-4),
}


class MultiScaleFusion(nn.Module):
    """Fuses an encoder feature x [N,C,H,W] with a low-resolution feature d [N,L,H/2,W/2] under a condition.

    Two streams exchange what they have, then come together; the result is [N,C,H,W] (paper, section 3.2)."""

    def __init__(self, channels, low, condition, kernel=5, norm="instance", inject="concat"):
        super().__init__()
        self.modulate = nn.Linear(condition, 2 * channels) if inject == "modulate" else None
        inputs = channels + condition * (inject == "concat")
        self.inject = convolve(inputs, channels, kernel, 1, norm, "relu" if inject == "concat" else None)
        self.high_keep = convolve(channels, channels // 2, 3, activation="relu")
        self.high_take = upconvolve(low, channels // 2, activation="leaky")
        self.low_take = convolve(channels, low // 2, 4, 2, activation="leaky")
        self.low_keep = convolve(low, low // 2, 3, activation="relu")
        self.lift = upconvolve(low // 2 * 2, min(low, channels), activation="leaky")
        joined = channels // 2 * 2 + min(low, channels)
        self.fine = convolve(joined, channels // 2, 3, activation="relu")
        self.coarse = convolve(joined, channels - channels // 2, kernel, activation="relu")

    def forward(self, x, d, condition):
        if self.modulate:
            scale, shift = self.modulate(condition)[..., None, None].chunk(2, 1)  # [N,C,1,1] each
            a = F.relu(self.inject(x) * (1 + scale) + shift)
        else:
            a = self.inject(torch.cat([x, tile(condition, x)], 1))
        high = torch.cat([self.high_keep(a), self.high_take(d)], 1)
        low = torch.cat([self.low_take(a), self.low_keep(d)], 1)
        joined = torch.cat([high, self.lift(low)], 1)
        return torch.cat([self.fine(joined), self.coarse(joined)], 1)


class Generator(nn.Module):
    """U-Net with MSF skips: (image [N,3,S,S] in [-1,1], relative AUs [N,C]) -> image in [-1,1]."""

    def __init__(self, aus, config):
        super().__init__()
        self.config = config
        widths = [config.width * min(2 ** i, config.most) for i in range(config.levels + 1)]
        first = convolve(3, widths[0], 7, 1, config.norm, "leaky") if config.stem == 1 else \
            convolve(3 * config.stem ** 2, widths[0], 3, 1, config.norm, "leaky")
        self.encoder = nn.ModuleList([first] + [convolve(a, b, 4, 2, config.norm, "leaky")
                                                for a, b in zip(widths, widths[1:])])
        side = config.size // config.stem
        self.position = nn.Parameter(torch.randn(1, widths[0], side, side) / 2) if config.position else None
        self.bottleneck = convolve(widths[-1] + aus, widths[-1], 3, 1, config.norm, "relu")
        self.up, self.fuse = nn.ModuleList(), nn.ModuleList()
        channels, low = widths[-1], widths[-1]
        for level in reversed(range(config.levels)):
            outputs = widths[level + 1] if level == config.levels - 1 and config.stem == 1 else widths[level]
            self.up.append(upconvolve(channels, outputs, config.norm, "relu"))
            channels = outputs
            if level >= config.skip_from:
                self.fuse.append(MultiScaleFusion(widths[level], low, aus, config.kernel, config.norm,
                                                  config.inject))
                channels, low = channels + widths[level], widths[level]
        if config.head == "direct":
            last = 3 * config.stem ** 2
            self.head = nn.Conv2d(channels, last, 7 if config.stem == 1 else 3, padding="same", bias=False)
        else:
            self.join = convolve(channels, config.joined, 3, 1, config.norm, "relu")
            self.gain = nn.Linear(aus, config.joined, bias=False)
            self.finer = Finer(config.joined, config.stem, config.fine, config.position, config.size)
            self.head = nn.Conv2d(2 * config.fine, 3 + 2, 3, padding=1, bias=False)  # paint and flow
            nn.init.zeros_(self.head.weight)  # begins as the identity, and learns where to leave it

    def forward(self, image, relative):
        config = self.config
        x = F.pixel_unshuffle(image, config.stem) if config.stem > 1 else image
        features = []
        for level, block in enumerate(self.encoder):
            x = block(x)
            if self.position is not None and level == 0:  # norms make nothing of black, and nothing learns nothing
                x = x + self.position
            features.append(x)
        d = low = self.bottleneck(torch.cat([x, tile(relative, x)], 1))
        fuse = iter(self.fuse)
        for up, level in zip(self.up, reversed(range(config.levels))):
            d = up(d)
            if level >= config.skip_from:
                low = next(fuse)(features[level], low, relative)
                d = torch.cat([d, low], 1)
        if config.head == "direct":
            out = self.head(d)
            return torch.tanh(F.pixel_shuffle(out, config.stem) if config.stem > 1 else out)
        gain = self.gain(relative)[..., None, None]  # [N,J,1,1], zero where nothing is to change
        return self.paint(image, self.head(self.finer(self.join(d) * gain, image)))

    def paint(self, image, out):
        """Move the pixels of `image`, then repaint what movement cannot make (teeth, furrows)."""
        paint, flow = out.split([3, 2], 1)
        flow = flow * 0.1
        if self.training:  # NaN coordinates crash grid_sample's backward: let a diverged run end with a message
            flow = torch.nan_to_num(flow)
        painted = flow_warp(image, flow) + paint * 0.5
        shown = painted.clamp(-1, 1)
        # clamped pixels keep their gradient: else what is once too dark stays so, and its neighbours make up for it
        return painted + (shown - painted).detach() if self.training else shown

    def edit(self, image, source, target):
        """Image [N,3,S,S] with absolute AUs `source` [N,C] changed to `target` [N,C]; none may be NaN."""
        return self(image, target - source)


class Finer(nn.Module):
    """From the stem's resolution to the image's: features [N,J,S/s,S/s], image [N,3,S,S] -> [N,2·fine,S,S],
    zero where the features are.

    Enlarged and then convolved, every pixel is made by the same weights: transposed convolutions and pixel
    shuffles have other weights for each place in a cell, and chequered open mouths (Odena et al. 2016). What is
    finer than a cell comes from the image, whose own features are multiplied in."""

    def __init__(self, inputs, stem, fine, position=0, size=0):
        super().__init__()
        widths = [2 * fine] + [fine] * int(math.log2(stem)) if stem > 1 else [fine]
        self.first = nn.Conv2d(inputs, widths[0], 1, bias=False)
        self.steps = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in zip(widths, widths[1:]))
        self.position = nn.Parameter(torch.randn(1, position, size, size) / 2) if position else None
        self.detail = convolve(3 + position, fine, 3, activation="leaky")

    def forward(self, features, image):
        features = self.first(features)
        for step in self.steps:
            features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features = F.leaky_relu(step(features), 0.2)
        if self.position is not None:
            image = torch.cat([image, self.position.expand(image.shape[0], -1, -1, -1)], 1)
        return torch.cat([features, features * self.detail(image)], 1)


class System:
    """The networks and one training step of each: what train_generator.py drives."""

    def __init__(self, aus, config):
        self.config = config if isinstance(config, Config) else Config(**config)
        config = self.config
        if config.size % (config.stem * 2 ** config.levels) or config.size % config.d_stem:
            raise BadInput(f"images of {config.size} pixels: this network needs a multiple of "
                           f"{math.lcm(config.stem * 2 ** config.levels, config.d_stem)}; say so by --size")
        if config.head == "warp" and config.stem & (config.stem - 1):
            raise BadInput(f"stem={config.stem}: the warp head doubles its way back to the image; give a power of two")
        self.generator = Generator(aus, config)
        self.discriminator = PatchDiscriminator(aus, config.size, config.d_width, config.d_layers, config.d_stem)
        self.edited_batch = self.edited = None
        self.shares = {kind: float(share) for kind, share in (part.split("=") for part in config.shares.split(","))}

    def asked(self, step):
        """Whether the discriminator has a say at this step."""
        return bool(self.config.w_adversarial or self.config.w_condition) and step % self.config.critic_every == 0

    def config_dict(self):
        return asdict(self.config)

    def optimisers(self, fused=False):
        """(generator's, discriminator's): Adam, betas (0.5, 0.999)."""
        return [torch.optim.Adam(net.parameters(), lr=rate, betas=(0.5, 0.999), fused=fused)
                for net, rate in ((self.generator, self.config.learning_rate),
                                  (self.discriminator, self.config.d_learning_rate))]

    def see(self, pictures):
        """The discriminator's outputs for what it may see of the pictures."""
        return self.discriminator(losses.augment(pictures, self.config.shift) if self.config.augment else pictures)

    def discriminator_loss(self, batch, step):
        """Eq. 3-5: E[D(fake)] - E[D(real)] + penalty + w_condition · MSE(D's AUs on real, labels)."""
        config = self.config
        if batch is self.edited_batch:  # the generator's own step has just edited it: one pass less
            fake = self.edited
        else:
            with torch.no_grad():
                fake = self.generator.edit(batch.image, batch.source, batch.target)
        score_fake, _ = self.see(fake)
        score_real, reading = self.see(batch.image)
        terms = {"d_adversarial": losses.critic_loss(config.adversarial, score_real, score_fake),
                 "d_condition": losses.masked_mse(reading, batch.label)}
        total = config.w_adversarial * terms["d_adversarial"] + config.w_condition * terms["d_condition"]
        if step // config.critic_every % config.penalty_every == 0:
            penalty = losses.gradient_penalty(self.discriminator, batch.image, fake) \
                if config.adversarial == "wgan-gp" else losses.real_penalty(self.discriminator, batch.image)
            terms["d_penalty"] = penalty
            total = total + config.w_penalty * config.penalty_every * penalty
        terms["d_gap"] = score_real.detach().mean() - score_fake.detach().mean()
        return total, terms

    def warmup_loss(self, batch):
        """The discriminator's condition loss on real images alone: a head that cannot read AUs yet teaches
        the generator nothing, or worse, patterns."""
        _, reading = self.see(batch.image)
        return losses.masked_mse(reading, batch.label)

    def generator_loss(self, batch, step):
        """Eq. 6-9: adversarial + condition + self-reconstruction + cycle + total variation (+ pairs)."""
        config = self.config
        fake = self.generator.edit(batch.image, batch.source, batch.target)
        self.edited_batch, self.edited = batch, fake.detach()
        terms, total = {}, 0.0
        if self.asked(step):
            score, reading = self.see(fake)
            terms["g_adversarial"] = losses.deceive_loss(config.adversarial, score)
            wanted = torch.where(torch.isnan(batch.label), torch.nan, batch.target)  # masked where unlabelled
            terms["g_condition"] = losses.masked_mse(reading, wanted)
            total = config.w_adversarial * terms["g_adversarial"] + config.w_condition * terms["g_condition"]
        distance = (fake - batch.image).abs()
        terms["g_change"] = distance.detach().mean()
        kept = batch.kind_rows("self")
        if config.w_self:  # relative AUs of zero must return the input
            same = distance[kept] if kept is not None else \
                (self.generator(batch.image, torch.zeros_like(batch.source)) - batch.image).abs()
            terms["g_self"] = same.mean()
            total = total + config.w_self * terms["g_self"]
        if config.w_cycle and step % config.cycle_every == 0:
            back = self.generator.edit(fake, batch.target, batch.source)
            terms["g_cycle"] = (back - batch.image).abs().mean()
            total = total + config.w_cycle * config.cycle_every * terms["g_cycle"]
        if config.w_variation:
            terms["g_variation"] = losses.total_variation(fake)
            total = total + config.w_variation * terms["g_variation"]
        paired = batch.kind_rows("pair")
        if config.w_pair and paired is not None:  # G(I, AUs of J) against J itself, or change against change
            terms["g_pair"] = self.change_loss(fake[paired], batch, batch.image[paired]) if config.doubles else \
                self.pair_loss(fake[paired], batch.answer, batch.image[paired])
            total = total + config.w_pair * terms["g_pair"]
        return total, terms

    def pair_loss(self, edited, answer, source):
        """L1 between edits and true images [P,3,S,S]; with `register_pairs`, after one is moved onto the other.

        Moving blurs. Were only edits moved, a chequered edit would pass; were only answers, a blurred one."""
        distance = partial(losses.pyramid_l1, emphasis=self.config.pair_emphasis)
        if not self.config.register_pairs:
            return distance(edited, answer, source)
        there = frame_alignment.movement(source, answer)
        returned = frame_alignment.move(answer, frame_alignment.back(there))
        return (distance(frame_alignment.move(edited, there), answer, frame_alignment.move(source, there))
                + distance(edited, returned, source)) / 2

    def change_loss(self, edited, batch, source):
        """E‖(G(I, AUs of J) - I) - (J - I')‖², I' being another image with the AUs of I: [P,3,S,S] each.

        Its least value is the mean change from those AUs to these. Compared with J itself, an edit would gain by
        taking away the noise of I, which J does not share; J - I' knows nothing of that noise. Halving the
        resolution leaves a quarter of the noise, so the coarser of three scales count 4 and 16 times as much."""
        total, error = 0.0, edited - source - (batch.answer - batch.double)
        for scale in range(3):
            total = total + 4 ** scale * error.square().mean()
            error = F.avg_pool2d(error, 2)
        return total / 21
