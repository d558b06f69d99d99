"""Faces from noise by condition, with the losses of R3GAN: our own answer to mode collapse.

Huang, Gokaslan, Kuleshov, Tompkin: "The GAN is dead; long live the GAN! A Modern Baseline GAN",
NeurIPS 2024 (arXiv 2501.05441). A plain GAN may put all samples on one image that the
discriminator likes. A *relativistic pairing* loss compares every generated image with a real one,
so that real images that no sample resembles keep pulling. Zero-centred penalties of the
discriminator's gradient at real images (R1) and at generated ones (R2) make that loss converge.

Ours, and not the paper's: the two images of a pair have the same condition; the condition acts on
the discriminator by projection (Miyato and Koyama 2018) and on the generator by a style that
scales channels; penalties are formed every few steps; networks are small enough for a CPU. A
classifier of its own, learnt on real images alone, tells the generator whether a sample shows what
was asked. A head of the discriminator in its place stayed at chance: without batch norm, and with
penalties on its gradient, that trunk learns expressions far too slowly.
"""
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from lib import classifiers
from lib.generators import losses
from lib.generators.contract import SampleDrawing, System as Contract, adam
from lib.generators.sampler_blocks import condition_loss

TASKS = ("expression",)


@dataclass
class Config:
    size: int = 32                 # image side in pixels, 4 · 2^n
    noise_size: int = 64           # Z
    width: int = 16                # channels of the largest map (half the image's side)
    widest: int = 128              # channels of the smallest map, 4 x 4
    learning_rate: float = 1e-3    # Adam's, of the generator
    d_rate: float = 1.5            # the discriminator's learning rate, a share of it
    beta1: float = 0.5
    beta2: float = 0.99
    # images of a batch whose spread the discriminator sees, 1: each image alone
    together: int = 4
    penalty: float = 0.3           # gamma of R1 and R2
    penalty_every: int = 8         # steps; the penalty is then so many times as strong
    classifier: str = "compact"    # network of the classifier, of lib.classifiers
    classifier_dropout: float = 0.2
    classifier_rate: float = 2e-3  # its learning rate, Adam's
    # steps that the classifier learns before the others, of 3 times as many images
    warmup: int = 400
    classifier_every: int = 4      # steps, after that
    w_condition: float = 0.2       # the condition as the classifier reads it in samples
    condition_after: int = 1000    # steps without it; then it grows for as many steps
    # shift, colour and noise on all that the discriminator sees (for few images)
    augment: bool = False
    balance: bool = True           # draw classes evenly
    # networks compute in bfloat16: 1.5 times as fast on CPUs that have it
    bf16: bool = False


PRESETS = {"paper": {"width": 128, "widest": 512, "penalty_every": 1, "learning_rate": 2e-4,
                     "beta1": 0.0}, "quick": {}}
SCHEDULES = {"paper": {"epochs": 300, "decay_epochs": 100, "batch": 256},
             "quick": {"epochs": 30, "decay_epochs": 10, "batch": 32}}


def widths(config):
    """Channels of the maps from 4 x 4 to half the image's side."""
    side, channels = config.size // 2, [config.width]
    while side > 4:
        side //= 2
        channels.append(min(channels[-1] * 2, config.widest))
    return channels[::-1]


def scaled(convolution, gain):
    """A convolution whose first weights are `gain` times as large: small in residual branches
    (Zhang et al. 2019)."""
    with torch.no_grad():
        convolution.weight.mul_(gain)
    return convolution


class Block(nn.Module):
    """[N,C,h,h] -> [N,C,h,h]: x + conv(act(conv(act(x)) · (1 + style))), without a norm."""

    def __init__(self, channels, style=0):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, 1, 1)
        self.second = scaled(nn.Conv2d(channels, channels, 3, 1, 1), 0.25)
        self.style = nn.Linear(style, channels) if style else None

    def forward(self, x, style=None):
        change = self.first(F.leaky_relu(x, 0.2))
        if self.style is not None:
            change = change * (1 + self.style(style)[:, :, None, None])
        return x + self.second(F.leaky_relu(change, 0.2))


class Generator(nn.Module):
    """noise [N,Z], y [N,C] -> image [N,3,S,S] in [-1, 1]."""

    def __init__(self, config, conditions):
        super().__init__()
        channels, style = widths(config), 2 * config.noise_size
        self.style = nn.Sequential(nn.Linear(config.noise_size + conditions, style),
                                   nn.LeakyReLU(0.2), nn.Linear(style, style), nn.LeakyReLU(0.2))
        self.start = nn.Linear(style, channels[0] * 16)
        self.blocks = nn.ModuleList(Block(count, style) for count in channels)
        self.narrow = nn.ModuleList(
            nn.Conv2d(before, after, 1) for before, after in zip(channels, channels[1:])
        )
        self.image = nn.Conv2d(channels[-1], 3, 3, 1, 1)

    def forward(self, noise, y):
        style = self.style(torch.cat([noise, y * noise.shape[1] ** 0.5], 1))  # [N,2Z]
        x = self.start(style).view(noise.shape[0], -1, 4, 4)
        x = self.blocks[0](x, style)
        for narrow, block in zip(self.narrow, self.blocks[1:]):
            x = F.interpolate(narrow(x), scale_factor=2, mode="bilinear", align_corners=False)
            x = block(x, style)
        x = F.interpolate(F.leaky_relu(x, 0.2), scale_factor=2, mode="bilinear",
                          align_corners=False)
        return self.image(x).tanh()


def spread(x, together):
    """[N,C,h,w] -> [N,1,h,w]: standard deviation over `together` neighbours of the batch, its mean
    over C, h and w (Karras et al. 2018). Samples that are all alike give themselves away. 0 where
    N is no multiple of it, or it is 1."""
    count, _, height, width = x.shape
    if together < 2 or count % together:
        return x.new_zeros(count, 1, height, width)
    groups = x.reshape(count // together, together, -1).float()
    deviation = (groups.var(1, unbiased=False) + 1e-8).sqrt().mean(1)  # [N/together]
    deviation = deviation.to(x.dtype).repeat_interleave(together)
    return deviation.view(count, 1, 1, 1).expand(-1, 1, height, width)


class Discriminator(nn.Module):
    """image [N,3,S,S], y [N,C] -> score [N] of the pair of image and condition."""

    def __init__(self, config, conditions):
        super().__init__()
        channels = widths(config)[::-1]
        self.start = nn.Conv2d(3, channels[0], 4, 2, 1)
        self.blocks = nn.ModuleList(map(Block, channels))
        self.widen = nn.ModuleList(
            nn.Conv2d(before, after, 1) for before, after in zip(channels, channels[1:])
        )
        self.together = config.together
        self.features = nn.Linear((channels[-1] + 1) * 16, channels[-1])
        self.score = nn.Linear(channels[-1], 1)
        self.embed = nn.Linear(conditions, channels[-1], bias=False) if conditions else None

    def forward(self, x, y):
        x = self.start(x)
        for block, widen in zip(self.blocks, [*self.widen, None]):
            x = block(x)
            x = F.avg_pool2d(widen(x), 2) if widen is not None else x
        x = F.leaky_relu(torch.cat([x, spread(x, self.together)], 1), 0.2)
        features = F.leaky_relu(self.features(x.flatten(1)), 0.2)  # [N,F]
        score = self.score(features)[:, 0]
        return score if self.embed is None else score + (features * self.embed(y)).sum(1)


class Classifier(nn.Module):
    """image [N,3,S,S] -> readings of the condition [N,C] (logits)."""

    def __init__(self, config, conditions):
        super().__init__()
        self.trunk = classifiers.BACKBONES[config.classifier](config.size,
                                                              config.classifier_dropout)
        self.read = nn.Linear(self.trunk.width, conditions)

    def forward(self, x):
        return self.read(self.trunk(x))


def zero_centred(discriminator, x, y):
    """E[||grad_x D(x, y)||^2] over images x [N,3,S,S]: R1 where they are real, R2 where they are
    generated."""
    x = x.detach().requires_grad_(True)
    slope, = torch.autograd.grad(discriminator(x, y).sum(), x, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def growth(step, after):
    """0 before step `after`, then a line up to 1 at twice as many steps. A classifier's gradient
    on what is no face yet teaches patterns that only this classifier reads."""
    return min(1.0, max(0.0, (step + 1 - after) / max(after, 1)))


class System(Contract):
    """Generator, discriminator and classifier; each step trains the three in turn."""

    kind = "sampler"
    averaged = ("generator",)
    differentiated_twice = ("discriminator",)

    def __init__(self, labels, config):
        super().__init__(labels, config)
        self.generator = Generator(config, labels.count)
        self.discriminator = Discriminator(config, labels.count)
        self.classifier = Classifier(config, labels.count)
        self.nets = {"generator": self.generator, "discriminator": self.discriminator,
                     "classifier": self.classifier}
        rates = {"generator": config.learning_rate,
                 "discriminator": config.d_rate * config.learning_rate,
                 "classifier": config.classifier_rate}
        self.optimisers = {
            name: adam(net, rates[name], (config.beta1, config.beta2))
            for name, net in self.nets.items()
        }
        self.drawing = SampleDrawing("normal", config.noise_size, config.balance)

    def learn_condition(self, batch):
        """One step of the classifier on real images, changed at random; its loss."""
        readings = self.classifier(losses.augment(batch.x_real, shift=2, draw=self.draw))
        loss = condition_loss(readings, batch.y, batch.known, self.labels)
        self.update("classifier", loss)
        return loss.detach()

    def warm_up(self, draw_batch):
        """The classifier learns first: one that cannot read yet teaches the generator nothing, or
        worse, patterns."""
        steps = self.config.warmup if self.labels.count else 0
        total = sum(self.learn_condition(draw_batch(3)) for _ in range(steps))
        return (f"the classifier's mean loss while it warmed up is {total.item() / steps:.3f}"
                if steps else "")

    def read(self, pictures, batch):
        """The condition in samples as the classifier reads it by the statistics of real images: a
        loss."""
        self.classifier.requires_grad_(False).eval()
        changed = losses.augment(pictures, shift=2, draw=self.draw)
        loss = condition_loss(self.classifier(changed), batch.y, batch.known, self.labels)
        self.classifier.requires_grad_(True).train()
        return loss

    def step(self, batch, step):
        if not self.config.bf16:  # as the trainer has it: bfloat16 on a GPU, float32 on a CPU
            return self.three_updates(batch, step)
        with torch.autocast(batch.x_real.device.type, torch.bfloat16):
            return self.three_updates(batch, step)

    def three_updates(self, batch, step):
        """Discriminator, generator, and now and then the classifier."""
        config, generator, discriminator = self.config, self.generator, self.discriminator
        x_real, y = batch.x_real, batch.y
        count = len(y)
        alter = ((lambda pictures: losses.augment(pictures, draw=self.draw)) if config.augment
                 else (lambda x: x))
        terms = {}

        # discriminator: L_D = E[softplus(-(D(x, y) - D(G(z, y), y)))]
        x_fake = generator(self.draw.randn(count, config.noise_size, device=y.device), y)
        both = alter(torch.cat([x_real, x_fake.detach()]))
        score = discriminator(both, torch.cat([y, y]))
        gap = score[:count] - score[count:]
        d_loss = d_total = F.softplus(-gap).mean()
        if config.penalty and step % config.penalty_every == 0:
            # gamma / 2 (E[||grad D(x)||^2] + E[||grad D(G(z))||^2]), now and then but so much
            # stronger
            r1 = zero_centred(discriminator, both[:count], y)
            r2 = zero_centred(discriminator, both[count:], y)
            d_total = d_loss + config.penalty / 2 * config.penalty_every * (r1 + r2)
            terms |= {"r1": r1.detach(), "r2": r2.detach()}
        self.update("discriminator", d_total)

        # generator: L_G = E[softplus(-(D(G(z, y), y) - D(x, y)))] + w E_fake[condition]
        discriminator.requires_grad_(False)
        gain = discriminator(alter(x_real), y) - discriminator(alter(x_fake), y)
        g_loss = F.softplus(gain).mean()
        g_total = g_loss
        weight = (config.w_condition * growth(step, config.condition_after) if self.labels.count
                  else 0)
        if weight:
            g_condition = self.read(x_fake, batch)
            g_total = g_loss + weight * g_condition
            terms["g_condition"] = g_condition.detach()
        self.update("generator", g_total)
        discriminator.requires_grad_(True)

        # classifier: L_C = E_real[condition]
        if self.labels.count and step % config.classifier_every == 0:
            terms["c_condition"] = self.learn_condition(batch)
        return {**terms, "d_loss": d_loss.detach(), "g_loss": g_loss.detach(),
                "d_gap": gap.detach().mean()}

    @property
    def exports(self):
        return {"sampler": self.generator}
