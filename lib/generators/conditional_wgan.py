"""Faces from noise by condition: Kolbenschlager 2020's last model, a conditional Wasserstein GAN.

The critic has two heads: a Wasserstein score, and the condition (class). The generator gets noise
and label. No sizes and no optimiser are published; ours are DCGAN's and those of WGAN-GP
(Gulrajani et al. 2017). `lipschitz=clip` is the first form, weights clipped at ±0.01 (Arjovsky et
al. 2017).
"""
from dataclasses import dataclass

import torch
from torch import nn

from lib.generators.contract import SampleDrawing, System as Contract, adam
from lib.generators.sampler_blocks import (
    ConvolutionalGenerator,
    ConvolutionalTrunk,
    condition_loss,
    probabilities,
)

TASKS = ("expression",)


@dataclass
class Config:
    size: int = 64                # image side in pixels
    width: int = 64               # channels of the first map
    noise_size: int = 100         # Z, normal
    learning_rate: float = 1e-4   # Adam's
    beta1: float = 0.0
    beta2: float = 0.9
    lipschitz: str = "penalty"    # penalty (WGAN-GP) | clip
    penalty: float = 10.0
    clip: float = 0.01
    n_critic: int = 5             # critic steps for one of the generator
    # the class head's loss, of real images in the critic, of generated in the generator
    w_condition: float = 1.0


PRESETS = {"paper": {}, "quick": {"size": 32, "width": 24, "n_critic": 3, "learning_rate": 2e-4}}
SCHEDULES = {"paper": {"epochs": 100, "decay_epochs": 0, "batch": 64},
             "quick": {"epochs": 30, "decay_epochs": 0, "batch": 32}}


class Critic(nn.Module):
    """image [N,3,S,S] -> Wasserstein score [N], readings of the condition [N,C] (logits)."""

    def __init__(self, config, conditions):
        super().__init__()
        self.trunk = ConvolutionalTrunk(config.size, config.width)
        self.score = nn.Linear(self.trunk.features, 1)
        self.read = nn.Linear(self.trunk.features, conditions)

    def forward(self, x):
        features = self.trunk(x)
        return self.score(features)[:, 0], self.read(features)


class Reader(nn.Module):
    """The critic as a classifier: image -> dict of what it reads, and `real` [N], the Wasserstein
    score."""

    def __init__(self, critic, labels):
        super().__init__()
        self.critic, self.labels = critic, labels

    def forward(self, x):
        score, readings = self.critic(x)
        return {**probabilities(readings, self.labels), "real": score}


def penalty(critic, x_real, x_fake, mix):
    """E[(‖∇C(x̂)‖₂ - 1)²] at x̂ = m x + (1 - m) G(z). Images [N,3,S,S]; mix: m in [0, 1],
    [N,1]."""
    mix = mix[:, :, None, None]
    between = (mix * x_real + (1 - mix) * x_fake).detach().requires_grad_(True)
    slope, = torch.autograd.grad(critic(between)[0].sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


class System(Contract):
    """Generator and critic; the generator learns at every n_critic-th step."""

    kind = "sampler"
    averaged = ("generator",)
    differentiated_twice = ("critic",)
    real_kind = "score"

    def __init__(self, labels, config):
        super().__init__(labels, config)
        self.generator = ConvolutionalGenerator(config.noise_size, labels.count, config.size,
                                                config.width)
        self.critic = Critic(config, labels.count)
        self.nets = {"generator": self.generator, "critic": self.critic}
        self.optimisers = {name: adam(net, config.learning_rate, (config.beta1, config.beta2))
                           for name, net in self.nets.items()}
        self.drawing = SampleDrawing("normal", config.noise_size)

    def step(self, batch, step):
        config, critic, x_real, y = self.config, self.critic, batch.x_real, batch.y
        x_fake = self.generator(self.draw.randn(len(y), config.noise_size, device=y.device), y)

        # L_C = E[C(G(z, y))] - E[C(x)] + λ E[(‖∇C(x̂)‖₂ - 1)²] + w E[class of x]
        real, readings = critic(x_real)
        fake, _ = critic(x_fake.detach())
        d_condition = condition_loss(readings, y, batch.known, self.labels)
        d_loss = fake.mean() - real.mean() + config.w_condition * d_condition
        terms = {"d_gap": (real.mean() - fake.mean()).detach(), "d_condition": d_condition.detach()}
        if config.lipschitz == "penalty":
            slope = penalty(critic, x_real, x_fake, self.draw.rand(len(y), 1, device=y.device))
            d_loss = d_loss + config.penalty * slope
            terms["penalty"] = slope.detach()
        self.update("critic", d_loss)
        if config.lipschitz == "clip":
            with torch.no_grad():
                for weights in critic.parameters():
                    weights.clamp_(-config.clip, config.clip)

        # L_G = -E[C(G(z, y))] + w E[class of G(z, y)]
        if step % config.n_critic == config.n_critic - 1:
            fake, readings = critic(x_fake)
            g_condition = condition_loss(readings, y, batch.known, self.labels)
            g_loss = -fake.mean() + config.w_condition * g_condition
            self.update("generator", g_loss)
            terms |= {"g_loss": g_loss.detach(), "g_condition": g_condition.detach()}
        return {**terms, "d_loss": d_loss.detach()}

    @property
    def exports(self):
        return {"sampler": self.generator, "classifier": Reader(self.critic, self.labels)}
