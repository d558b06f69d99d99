"""A discriminator that reads AUs, valence and arousal: the categorical GAN of Richer 2018 (3.2.2
to 3.2.5).

The generator makes faces from noise alone. The discriminator is a classifier with one more output:
generated or not. Labels of generated images can only be guessed: (1 - a) / n for each of n AUs and
a for "generated", where a is `alpha` (label smoothing); valence and arousal take the real batch's.
With AUs, or valence and arousal, alone that works. Both together, with those losses, cost the AUs
their F1 (0.80 -> 0.25).

Presets: `paper` for one of the two, `joint` for both as published (the three losses averaged),
`weighted` as published with 0.27, 0.40 and 0.33; `quick` is `paper` with fewer steps, of which the
discriminator gets more. What reads both without a loss is ours: multitask_gan.py.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from lib import augment, classifiers
from lib.generators.contract import SampleDrawing, System as Contract, adam
from lib.generators.sampler_blocks import LEAK, ConvolutionalGenerator, even
from lib.labels import PRESENT_INTENSITY
from lib.training import over_processes

TASKS = ("au", "va")


@dataclass
class Config:
    # image side in pixels: 28 and 32 by the published networks, 64 and 96 by larger ones
    size: int = 32
    noise_size: int = 100  # Z, even in [-1, 1]
    g_width: int = 48  # channels of the generator's largest map, above 32 pixels
    # small (published) | compact | resnet18 | vgg16 | … of lib.classifiers
    discriminator: str = "small"
    dropout: float = 0.5  # of the discriminator
    # random changes of all that the discriminator sees, of lib.augment
    augment: str = "none"
    learning_rate: float = 1e-4  # Adam's, of the generator
    d_rate: float = 0.5  # the discriminator's learning rate, a share of it
    beta1: float = 0.5
    clip: float = 20.0  # norm of all gradients of a network, 0 for no limit
    # u: the discriminator learns at every (u + 1)-th step, the generator at the others
    update_rate: int = 5
    alpha: float = 0.9  # a: the label "generated" of generated images
    va_loss: str = "mse"  # mse | ccc (1 - CCC)
    w_au: float = 1.0  # task weights in the discriminator's loss
    w_va: float = 1.0  # of the sum of valence's and arousal's losses
    w_real: float = 1.0  # of real against generated
    # of the generator's Huber loss towards real images: it falls to 0 over so many steps
    huber_weight: float = 10.0
    huber_steps: int = 1500


# means of v and a, of the AUs, and real/generated, averaged
JOINT = {"w_va": 1 / 6, "w_au": 1 / 3, "w_real": 1 / 3}
PRESETS = {
    "paper": {},
    "joint": JOINT,
    "weighted": {"w_va": 0.27 / 2, "w_au": 0.40, "w_real": 0.33},
    "quick": {"update_rate": 2},
}
SCHEDULES = {
    **dict.fromkeys(
        ("paper", "joint", "weighted"), {"epochs": 600, "decay_epochs": 0, "batch": 64}
    ),
    "quick": {"epochs": 20, "decay_epochs": 0, "batch": 64},
}


class SmallGenerator(nn.Module):
    """Table 3.11: noise [N,Z] -> image [N,3,S,S] in [-1, 1]. Unpadded transposed convolutions grow
    the map 1 -> 2 -> 6 -> 14 -> 32, which is resized for S = 28."""

    def __init__(self, config):
        super().__init__()
        self.size, layers = config.size, []
        shapes = [(config.noise_size, 384, 2, 1), (384, 128, 4, 2), (128, 64, 4, 2)]
        for before, after, kernel, stride in shapes:
            layers += [
                nn.ConvTranspose2d(before, after, kernel, stride),
                nn.LeakyReLU(LEAK),
                nn.BatchNorm2d(after),
            ]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 6, 2), nn.Tanh())

    def forward(self, noise, y=None):
        image = self.layers(noise[:, :, None, None])
        if self.size != 32:
            image = F.interpolate(
                image, size=(self.size, self.size), mode="bilinear", align_corners=False
            )
        return image


class SmallTrunk(nn.Module):
    """Table 3.10: image [N,3,S,S] -> features [N,width]. Above 32 pixels there is one more
    layer."""

    def __init__(self, size, dropout):
        super().__init__()
        layers, channels, side = [], 3, size
        for after in (64, 128, 256, 256)[: 3 if size <= 32 else 4]:
            layers += [
                nn.Conv2d(channels, after, 5, 2, 2),
                nn.LeakyReLU(LEAK),
                nn.BatchNorm2d(after),
                nn.Dropout(dropout),
            ]
            channels, side = after, (side + 1) // 2
        self.layers, self.width = nn.Sequential(*layers, nn.Flatten()), channels * side**2

    def forward(self, x):
        return self.layers(x)


class Discriminator(nn.Module):
    """image [N,3,S,S] -> logits: AUs [N,A], valence and arousal (values) [N,2 V], generated [N],
    and features [N,F]."""

    def __init__(self, config, labels):
        super().__init__()
        self.trunk = (
            SmallTrunk(config.size, config.dropout)
            if config.discriminator == "small"
            else classifiers.BACKBONES[config.discriminator](config.size, config.dropout)
        )
        self.aus, self.va = len(labels.aus), labels.valence_arousal
        self.last = nn.Linear(self.trunk.width, self.aus + 2 * self.va + 1)

    def forward(self, x):
        features = self.trunk(x)
        outputs = self.last(features)
        return outputs[:, : self.aus], outputs[:, self.aus : -1], outputs[:, -1], features


class Reader(nn.Module):
    """The discriminator as a classifier: image -> dict of `au` (presence), `valence_arousal`,
    `real`, `features`."""

    def __init__(self, discriminator):
        super().__init__()
        self.discriminator = discriminator

    def forward(self, x):
        au, va, generated, features = self.discriminator(x)
        out = {"au": au.sigmoid()} if self.discriminator.aus else {}
        if self.discriminator.va:
            out["valence_arousal"] = va.clamp(-1, 1)
        return {**out, "real": 1 - generated.sigmoid(), "features": features}


def au_loss(logits, true):
    """Mean over images and AUs of the binary cross-entropy, NaN in `true` left out: [N,A],
    [N,A]."""
    known = ~true.isnan()
    error = F.binary_cross_entropy_with_logits(logits, torch.nan_to_num(true), reduction="none")
    return (error * known).sum() / over_processes(known.sum()).clamp(min=1e-8)


def mse_loss(read, true):
    """MSE of valence plus MSE of arousal, NaN in `true` left out: [N,2], [N,2]."""
    known = ~true.isnan()
    error = (read - torch.nan_to_num(true)).square() * known
    return (error.sum(0) / over_processes(known.sum(0)).clamp(min=1e-8)).sum()


def ccc_loss(read, true):
    """(1 - CCC) of valence plus that of arousal over the batch, NaN in `true` left out: [N,2],
    [N,2].

    CCC = 2 cov(r, t) / (var r + var t + (mean r - mean t)²)."""
    known = (~true.isnan()).float()
    count = known.sum(0).clamp(min=1)
    true = torch.nan_to_num(true)
    means = [(values * known).sum(0) / count for values in (read, true)]
    centred = [(values - mean) * known for values, mean in zip((read, true), means)]
    covariance = (centred[0] * centred[1]).sum(0) / count
    spread = (
        sum(values.square().sum(0) / count for values in centred) + (means[0] - means[1]).square()
    )
    return (1 - 2 * covariance / spread.clamp(min=1e-8)).sum()


def huber_weight(config, step):
    """10 max(0, (1500 - step) / 1500) as published: a generated image starts near *some* real
    one."""
    return config.huber_weight * max(0.0, 1 - step / max(config.huber_steps, 1))


def learns(step, update_rate):
    """Which network learns at a step: the discriminator at multiples of u + 1, else the
    generator."""
    return "discriminator" if step % (update_rate + 1) == 0 else "generator"


def clipping(net, most):
    """A hook of an optimiser: before a step, the norm of all gradients of this process is at most
    `most`."""

    def hook(*_):
        torch.nn.utils.clip_grad_norm_(net.parameters(), most)

    return hook


class System(Contract):
    """Generator and discriminator, of which one learns at a step."""

    kind = "sampler"
    conditional = False
    Discriminator = Discriminator

    def __init__(self, labels, config):
        super().__init__(labels, config)
        small = config.size <= 32
        self.generator = (
            SmallGenerator(config)
            if small
            else ConvolutionalGenerator(config.noise_size, 0, config.size, config.g_width)
        )
        self.discriminator = self.Discriminator(config, labels)
        self.nets = {"generator": self.generator, "discriminator": self.discriminator}
        rates = {
            "generator": config.learning_rate,
            "discriminator": config.learning_rate * config.d_rate,
        }
        self.optimisers = {
            name: adam(net, rates[name], (config.beta1, 0.999))
            for name, net in self.nets.items()
        }
        self.clipped = set()
        self.drawing = SampleDrawing("uniform", config.noise_size)

    def targets(self, batch):
        """Labels of real and of generated images: {"au", "va", "generated"} each, NaN where there
        is none."""
        count, alpha = len(batch.x_real), self.config.alpha
        like = batch.x_real
        levels = batch.labels.get("au", like.new_zeros(count, 0))
        au = torch.where(levels.isnan(), levels, (levels >= PRESENT_INTENSITY).float())
        va = batch.labels.get("valence_arousal", like.new_zeros(count, 0))
        real = {"au": au, "va": va, "generated": like.new_zeros(count)}
        guessed = torch.full_like(au, (1 - alpha) / max(au.shape[1], 1))
        generated = torch.full_like(real["generated"], alpha)
        return real, {"au": guessed, "va": va, "generated": generated}

    def read(self, x, real):
        """The discriminator's logits on real or generated images [N,3,S,S]."""
        # None: torch's own generator
        return self.discriminator(augment.augment(x, self.config.augment, None))

    def adversarial(self, generated):
        """What the generator makes small: E[log P(generated | G(z))], of logits [N]."""
        return F.logsigmoid(generated).mean()

    def update(self, name, loss):
        """As every system's; gradients are clipped after several processes have averaged them,
        so this hook comes last."""
        if self.config.clip and name not in self.clipped:
            hook = clipping(self.nets[name], self.config.clip)
            self.optimisers[name].register_step_pre_hook(hook)
            self.clipped.add(name)
        super().update(name, loss)

    def losses(self, logits, true):
        """{"au", "va", "real"}: the discriminator's losses on one kind of images."""
        au, va, generated, _ = logits
        terms = {"real": F.binary_cross_entropy_with_logits(generated, true["generated"])}
        if au.shape[1]:
            terms["au"] = au_loss(au, true["au"])
        if va.shape[1]:
            terms["va"] = (mse_loss if self.config.va_loss == "mse" else ccc_loss)(va, true["va"])
        return terms

    def step(self, batch, step):
        config, x_real = self.config, batch.x_real
        noise = even(self.draw, len(x_real), config.noise_size, x_real.device)
        x_fake = self.generator(noise)
        if learns(step, config.update_rate) == "discriminator":
            # L_D = sum over real and generated images of w_au BCE(AUs) + w_va VA + w_real
            # BCE(generated)
            of_real, of_fake = self.targets(batch)
            logits = self.read(x_real, real=True)
            real = self.losses(logits, of_real)
            fake = self.losses(self.read(x_fake.detach(), real=False), of_fake)
            weights = {"au": config.w_au, "va": config.w_va, "real": config.w_real}
            d_loss = sum(weights[name] * (real[name] + fake[name]) for name in real)
            self.update("discriminator", d_loss)
            terms = {f"d_{name}": value.detach() for name, value in real.items()}
            return {
                **terms,
                "d_loss": d_loss.detach(),
                "d_fake": fake["real"].detach(),
                "real_as_real": (logits[2] < 0).float().mean(),
            }

        # L_G = E[log P(generated | G(z))] + weight(step) Huber(x, G(z))
        adversarial = self.adversarial(self.read(x_fake, real=False)[2])
        huber = F.huber_loss(x_fake, x_real, delta=1.0)
        self.update("generator", adversarial + huber_weight(config, step) * huber)
        return {"g_adversarial": adversarial.detach(), "huber": huber.detach()}

    @property
    def exports(self):
        return {"sampler": self.generator, "classifier": Reader(self.discriminator)}
