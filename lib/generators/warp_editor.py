"""Warp editor: edits faces by moving their pixels before it paints them. Our own system.

It descends from the Expression Manipulator (Ling et al. 2020, expression_manipulator.py): a U-Net
that is told *relative* conditions (target - source) and takes its skips through multi-scale fusion
(MSF). What is ours:

- a space-to-depth stem, which moves the work to a quarter of the resolution;
- GroupNorm, which lets the condition through (see blocks.normalisation);
- a condition that multiplies: features before the head are scaled by a linear function of the
  relative condition without bias, so that zero returns the input bit for bit;
- a head that moves pixels (a flow field) before it paints;
- the true image of the same person as teacher (the idiosyncratic loss of Niinuma et al. 2022),
  after the head's own movement between the two frames is taken out.
"""
import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from lib.cli import BadInput
from lib.generators import contract, frame_alignment, losses, motion
from lib.generators.blocks import PatchDiscriminator, convolve, flow_warp, tile, upconvolve
from lib.generators.expression_manipulator import MultiScaleFusion
from lib.training import row_mean

TASKS = ("au",)


@dataclass
class Config:
    """What the networks and losses depend on; the defaults are those of `quick`."""

    size: int = 64             # image side in pixels
    width: int = 48            # channels after the stem
    levels: int = 2            # halvings after the stem
    most: int = 3              # channels are at most width * most
    stem: int = 4              # space-to-depth by this
    # encoder features from this level down reach the decoder through MSF
    skip_from: int = 0
    kernel: int = 3            # of the MSF modules' outer convolutions
    joined: int = 128          # channels before the head
    fine: int = 16             # channels at full resolution in the head
    # the head can also take away what is moved, so that paint covers it (teeth, a dark mouth)
    cover: bool = False
    # channels of a learned map beside the image there, and whether one is added to the stem's
    # features, for pictures that do not show which place is which
    position: int = 0
    d_width: int = 64
    d_layers: int = 3
    d_stem: int = 4
    w_adversarial: float = 0.1
    w_condition: float = 1.0
    w_penalty: float = 0.02    # R1 on both heads of the discriminator
    w_cycle: float = 5.0
    w_pair: float = 40.0       # idiosyncratic loss
    # of the true flow between the two frames, where the data have it (lib.generators.motion)
    w_motion: float = 0.0
    # how much more the pixels count that differ most between the two frames
    pair_emphasis: float = 5.0
    # how much more pairs count that differ little (see losses.pyramid_l1)
    pair_balance: float = 1.0
    # share of pairs that differ in one condition alone, as far as the session allows
    isolate: float = 0.7
    pair_by: str = "session"   # images of one session | subject are a pair; any: any two are
    register_pairs: bool = True  # take the head's movement between the two frames out of that loss
    # that loss compares changes: the edit's, and that from a double of the source to J
    doubles: bool = False
    critic_every: int = 4      # the discriminator is asked, and learns, on every so many steps
    # steps in which the label head alone learns, on real images, before anything else
    d_warmup: int = 300
    # lazy regularisation: the penalty, times this, on every so many steps
    penalty_every: int = 4
    cycle_every: int = 8
    augment: bool = True       # differentiable augmentation of what the discriminator sees
    shift: float = 3.0         # its shifts, in pixels
    noisy_targets: float = 0.1
    shares: str = "pair=14,single=2"  # kinds of targets in a batch
    learning_rate: float = 1.5e-3
    d_learning_rate: float = 5e-4


PRESETS = {
    # the true image of the same person does most of the teaching; the discriminator is asked on
    # every 4th step
    "quick": {},
    # a digit grid has no people, so any two grids are a pair; but their digits are drawn
    # otherwise, and their noise is another: what is compared are changes
    "grid": dict(size=48, width=32, joined=64, position=16, d_width=48, d_warmup=200, shift=1.0,
                 w_pair=400.0, pair_emphasis=3.0, pair_balance=0.0, isolate=0.0, pair_by="any",
                 register_pairs=False, doubles=True),
    # for photographs: frames in which only the expression changes, and the true flow between them,
    # teach alone
    "photographs": dict(cover=True, w_adversarial=0.0, w_condition=0.0, w_cycle=0.0, w_motion=5.0,
                        pair_balance=0.8, isolate=0.0, register_pairs=False, shares="pair=1",
                        learning_rate=5e-4),
}

SCHEDULES = {"photographs": {"epochs": 4, "decay_epochs": 3, "batch": 16}}


class ModulatedFusion(MultiScaleFusion):
    """The fusion of Ling et al. 2020, in which the condition scales and shifts; theirs is
    concatenated."""

    def build_injection(self, channels, condition, kernel, norm):
        self.modulate = nn.Linear(condition, 2 * channels)
        self.inject = convolve(channels, channels, kernel, 1, norm)

    def injected(self, x, condition):
        scale, shift = self.modulate(condition)[..., None, None].chunk(2, 1)  # [N,C,1,1] each
        return F.relu(self.inject(x) * (1 + scale) + shift)


class Generator(nn.Module):
    """(image [N,3,S,S] in [-1,1], relative conditions [N,C]) -> image in [-1,1]."""

    step_calls = ("head_of", "compose")  # see lib.compiling

    def __init__(self, conditions, config):
        super().__init__()
        self.config = config
        widths = [config.width * min(2 ** i, config.most) for i in range(config.levels + 1)]
        first = convolve(3 * config.stem ** 2, widths[0], 3, 1, "group", "leaky")
        self.encoder = nn.ModuleList([first] + [convolve(a, b, 4, 2, "group", "leaky")
                                                for a, b in zip(widths, widths[1:])])
        side = config.size // config.stem
        self.position = (
            nn.Parameter(torch.randn(1, widths[0], side, side) / 2) if config.position else None
        )
        self.bottleneck = convolve(widths[-1] + conditions, widths[-1], 3, 1, "group", "relu")
        self.up, self.fuse = nn.ModuleList(), nn.ModuleList()
        channels, low = widths[-1], widths[-1]
        for level in reversed(range(config.levels)):
            self.up.append(upconvolve(channels, widths[level], "group", "relu"))
            channels = widths[level]
            if level >= config.skip_from:
                self.fuse.append(ModulatedFusion(widths[level], low, conditions, config.kernel,
                                                 "group"))
                channels, low = channels + widths[level], widths[level]
        self.join = convolve(channels, config.joined, 3, 1, "group", "relu")
        self.gain = nn.Linear(conditions, config.joined, bias=False)
        self.finer = Finer(config.joined, config.stem, config.fine, config.position, config.size)
        outputs = 3 + 2 + config.cover  # paint, flow, and how much is taken away
        self.head = nn.Conv2d(2 * config.fine, outputs, 3, padding=1, bias=False)
        nn.init.zeros_(self.head.weight)  # begins as the identity, and learns where to leave it
        self.register_load_state_dict_pre_hook(begin_without_cover)

    def forward(self, image, relative):
        return self.paint(image, self.head_of(image, relative))

    def head_of(self, image, relative):
        """The head's output [N,5 or 6,S,S]; 0 where `relative` is."""
        config = self.config
        x = F.pixel_unshuffle(image, config.stem) if config.stem > 1 else image
        features = []
        for level, block in enumerate(self.encoder):
            x = block(x)
            # norms make nothing of black, and nothing learns nothing
            if self.position is not None and level == 0:
                x = x + self.position
            features.append(x)
        d = low = self.bottleneck(torch.cat([x, tile(relative, x)], 1))
        fuse = iter(self.fuse)
        for up, level in zip(self.up, reversed(range(config.levels))):
            d = up(d)
            if level >= config.skip_from:
                low = next(fuse)(features[level], low, relative)
                d = torch.cat([d, low], 1)
        gain = self.gain(relative)[..., None, None]  # [N,J,1,1], zero where nothing is to change
        return self.head(self.finer(self.join(d) * gain, image))

    def paint(self, image, out):
        """Move the pixels of `image`, then repaint what movement cannot make (teeth, furrows)."""
        return self.compose(image, out)[0]

    def compose(self, image, out):
        """(edited, moved, flow) of an image and the head's output.

        moved(p) = image(p + flow(p)),  edited = (1 - gone) moved + paint / 2, cut to [-1, 1]"""
        paint, flow = out[:, :3], out[:, 3:5] * 0.1
        # NaN coordinates crash grid_sample's backward: let a diverged run end with a message
        if self.training:
            flow = torch.nan_to_num(flow)
        moved = flow_warp(image, flow)
        if self.config.cover:
            painted = moved * (1 - self.cut(out[:, 5:], 0, 1)) + paint * 0.5
        else:
            painted = moved + paint * 0.5
        return self.cut(painted, -1, 1), moved, flow

    def cut(self, values, low, high):
        """values within a range. In training what is beyond it keeps its gradient: else what is
        once too dark stays so, and its neighbours make up for it."""
        shown = values.clamp(low, high)
        return values + (shown - values).detach() if self.training else shown

    def parts(self, image, source, target):
        """What a host needs to apply an edit at a photo's own resolution: dict of `edited`,
        `flow`, `paint`, `cover`."""
        edited, moved, flow = self.compose(image, self.head_of(image, target - source))
        return {"edited": edited, "flow": flow, **matte(moved, edited)}

    def edit(self, image, source, target):
        """Image [N,3,S,S] with conditions `source` [N,C] changed to `target` [N,C]; none may be
        NaN."""
        return self(image, target - source)


def begin_without_cover(net, weights, prefix, *_):
    """Weights of an editor without `cover` fit one with it, which begins by taking nothing away
    (--init)."""
    head = weights.get(f"{prefix}head.weight")
    if net.config.cover and head is not None and len(head) == 5:
        weights[f"{prefix}head.weight"] = torch.cat([head, torch.zeros_like(head[:1])])


def matte(moved, edited, least=0.004):
    """The smallest `cover` [N,1,S,S] in [0, 1] and the `paint` [N,3,S,S] in [-1, 1] with

        edited = (1 - cover) moved + cover paint

    to within half a level of 255. Where cover is below `least` the paint tends to the moved image:
    it is free there."""
    change = edited - moved
    # how far the image could change at most
    room = torch.where(change > 0, 1 - moved, 1 + moved).clamp(min=0.02)
    cover = (change.abs() / room).amax(1, keepdim=True).clamp(max=1)
    paint = moved + change * cover / (cover.square() + least ** 2)
    return {"paint": paint.clamp(-1, 1), "cover": cover}


class Editor(contract.Editor):
    """The export graph: the edit and the parts that it is made of."""

    def forward(self, image, source, target):
        return self.net.parts(image, source, target)


class Finer(nn.Module):
    """From the stem's resolution to the image's: features [N,J,S/s,S/s], image [N,3,S,S] ->
    [N,2·fine,S,S], zero where the features are.

    Enlarged and then convolved, every pixel is made by the same weights: transposed convolutions
    and pixel shuffles have other weights for each place in a cell, and chequered open mouths
    (Odena et al. 2016). What is finer than a cell comes from the image, whose own features are
    multiplied in."""

    def __init__(self, inputs, stem, fine, position=0, size=0):
        super().__init__()
        widths = [2 * fine] + [fine] * int(math.log2(stem)) if stem > 1 else [fine]
        self.first = nn.Conv2d(inputs, widths[0], 1, bias=False)
        self.steps = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in zip(widths, widths[1:])
        )
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


class System(contract.System):
    """Generator and discriminator, and the step that trains both."""

    kind = "editor"
    averaged = ("generator",)
    differentiated_twice = ("discriminator",)

    def __init__(self, labels, config):
        super().__init__(labels, config)
        check_size(config)
        self.generator = Generator(labels.count, config)
        self.discriminator = PatchDiscriminator(labels.count, config.size, config.d_width,
                                                config.d_layers, config.d_stem)
        self.nets = {"generator": self.generator, "discriminator": self.discriminator}
        self.optimisers = {"g": contract.adam(self.generator, config.learning_rate),
                           "d": contract.adam(self.discriminator, config.d_learning_rate)}
        parts = (part.split("=") for part in config.shares.split(","))
        shares = {kind: float(share) for kind, share in parts}
        self.drawing = contract.EditDrawing(shares=shares, target_noise=config.noisy_targets,
                                            pair_by=config.pair_by, doubles=config.doubles,
                                            isolate=config.isolate, motion=bool(config.w_motion))

    @property
    def exports(self):
        return {"editor": Editor(self.generator),
                "classifier": contract.LabelReader(self.discriminator, self.labels,
                                                   self.real_kind, clamp=False)}

    def asks_critic(self, step):
        """Whether the discriminator has a say at this step."""
        config = self.config
        return bool(config.w_adversarial or config.w_condition) and step % config.critic_every == 0

    def learn_without_pairs(self):
        """Without true images of the same person the discriminator teaches at every step."""
        self.config.critic_every = 1
        return self.asks_critic(0)

    def see(self, pictures):
        """The discriminator's outputs for what it may see of the pictures."""
        if self.config.augment:
            pictures = losses.augment(pictures, self.config.shift, draw=self.draw)
        return self.discriminator(pictures)

    def warm_up(self, draw_batch):
        """The discriminator's label head learns on real images alone: a head that cannot read
        labels yet teaches the generator nothing, or worse, patterns."""
        steps = self.config.d_warmup if self.asks_critic(0) else 0
        for _ in range(steps):
            batch = draw_batch(4)
            _, reading = self.see(batch.x_real)
            loss = losses.masked_mse(reading, torch.where(batch.known, batch.y_org, torch.nan))
            self.update("d", loss)
        return (f"the discriminator reads labels with a squared error of {loss.item():.4f}"
                if steps else "")

    def step(self, batch, step):
        config, x_real, y_org, y_trg = self.config, batch.x_real, batch.y_org, batch.y_trg
        terms, paired = {}, batch.kind_rows("pair")

        # generator
        head = self.generator.head_of(x_real, y_trg - y_org)
        x_fake, _, flow = self.generator.compose(x_real, head)
        g_loss = 0.0
        if self.asks_critic(step):
            score, reading = self.see(x_fake)
            # softplus(-D(x_fake)): the non-saturating loss (Goodfellow et al. 2014)
            terms["g_adversarial"] = losses.deceive_loss("nonsaturating", score)
            # MSE(D's labels on x_fake, y_trg), masked where unlabelled
            wanted = torch.where(batch.known, y_trg, torch.nan)
            terms["g_condition"] = losses.masked_mse(reading, wanted)
            g_loss = (config.w_adversarial * terms["g_adversarial"]
                      + config.w_condition * terms["g_condition"])
        terms["g_change"] = (x_fake - x_real).abs().detach().mean()
        if config.w_cycle and step % config.cycle_every == 0:
            # L1(G(x_fake, y_org - y_trg), x_real)
            terms["g_cycle"] = (self.generator.edit(x_fake, y_trg, y_org) - x_real).abs().mean()
            g_loss = g_loss + config.w_cycle * config.cycle_every * terms["g_cycle"]
        if config.w_pair and paired is not None:
            # distance of G(I, labels of J) to J itself, or of one change to the other
            compare = self.change_loss if config.doubles else self.pair_loss
            terms["g_pair"] = compare(x_fake[paired], batch, x_real[paired])
            g_loss = g_loss + config.w_pair * terms["g_pair"]
        if config.w_motion and paired is not None:
            # mean |flow - true flow|, where the true image shows what the source shows
            terms["g_motion"] = motion.motion_loss(flow[paired], batch.motion)
            g_loss = g_loss + config.w_motion * terms["g_motion"]
        g_loss = self.due(g_loss, x_fake)
        # no loss is due where pairs are few and the discriminator is not asked
        if torch.is_tensor(g_loss):
            self.update("g", g_loss)

        # discriminator, on what the generator has just made
        if self.asks_critic(step):
            score_fake, _ = self.see(x_fake.detach())
            score_real, reading = self.see(x_real)
            # softplus(D(x_fake)) + softplus(-D(x_real))
            terms["d_adversarial"] = losses.critic_loss("nonsaturating", score_real, score_fake)
            # MSE(D's labels on x_real, y_org)
            labels = torch.where(batch.known, y_org, torch.nan)
            terms["d_condition"] = losses.masked_mse(reading, labels)
            d_loss = (config.w_adversarial * terms["d_adversarial"]
                      + config.w_condition * terms["d_condition"])
            if step // config.critic_every % config.penalty_every == 0:
                # R1 on both heads: E[|grad score|^2 + |grad labels|^2] at x_real (Mescheder et al.
                # 2018)
                terms["d_penalty"] = losses.real_penalty(self.discriminator, x_real, draw=self.draw)
                d_loss = d_loss + config.w_penalty * config.penalty_every * terms["d_penalty"]
            terms["d_gap"] = score_real.detach().mean() - score_fake.detach().mean()
            self.update("d", d_loss)
        return {name: value.detach() for name, value in terms.items()}

    def pair_loss(self, edited, batch, source):
        """L1 between edits and true images [P,3,S,S]; with `register_pairs`, after one is moved
        onto the other."""
        distance = partial(losses.pyramid_l1, emphasis=self.config.pair_emphasis,
                           balance=self.config.pair_balance)
        if not self.config.register_pairs:
            return distance(edited, batch.x_true, source)
        return frame_alignment.both_ways(distance, edited, batch.x_true, source)

    def change_loss(self, edited, batch, source):
        """E‖(G(I, labels of J) - I) - (J - I')‖², I' being another image with the labels of I:
        [P,3,S,S] each.

        Its least value is the mean change from those labels to these. Compared with J itself, an
        edit would gain by taking away the noise of I, which J does not share; J - I' knows nothing
        of that noise. Halving the resolution leaves a quarter of the noise, so the coarser of
        three scales count 4 and 16 times as much."""
        total, error = 0.0, edited - source - (batch.x_true - batch.x_double)
        for scale in range(3):
            total = total + 4 ** scale * row_mean(error.square())
            error = F.avg_pool2d(error, 2)
        return total / 21


def check_size(config):
    """BadInput for an image side that the networks cannot halve."""
    unit = math.lcm(config.stem * 2 ** config.levels, config.d_stem)
    if config.size % unit:
        raise BadInput(f"images of {config.size} pixels: this network needs a multiple of "
                       f"{unit}; say so by --size")
    if config.stem & (config.stem - 1):
        raise BadInput(
            f"stem={config.stem}: the head doubles its way back to the image; give a power of two"
        )
