"""Faces from noise, without conditions: the two plain GANs (Goodfellow et al. 2014) of the papers.

`mlp`: Richer 2018, 3.2.1: one hidden layer of 128 units in each network, grey images of 28 x 28
pixels. It works on MNIST and collapses on faces, as that work shows. `convolutional`:
Kolbenschlager 2020's first model, of which no sizes are published; ours are DCGAN's.
"""
from dataclasses import dataclass

from torch import nn

from lib.generators.contract import SampleDrawing, System as Contract, adam
from lib.generators.sampler_blocks import ConvolutionalGenerator, ConvolutionalTrunk, even, is_real

TASKS = ()


@dataclass
class Config:
    network: str = "mlp"          # mlp | convolutional
    size: int = 28                # image side in pixels
    colours: int = 1              # mlp: 1 grey, 3 colours
    width: int = 128              # mlp: hidden units; convolutional: channels of the first map
    noise_size: int = 100         # Z, even in [-1, 1]
    learning_rate: float = 1e-3   # Adam's
    beta1: float = 0.9


CONVOLUTIONAL = {"network": "convolutional", "size": 64, "width": 64, "learning_rate": 2e-4,
                 "beta1": 0.5}
PRESETS = {"paper": {}, "convolutional": CONVOLUTIONAL,
           "quick": {**CONVOLUTIONAL, "size": 32, "width": 24}}
SCHEDULES = {"paper": {"epochs": 100, "decay_epochs": 0, "batch": 128},
             "convolutional": {"epochs": 100, "decay_epochs": 0, "batch": 64},
             "quick": {"epochs": 20, "decay_epochs": 0, "batch": 32}}


def xavier(net):
    """Richer's first weights: normal with standard deviation 1 / √(inputs / 2), biases 0."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=(layer.in_features / 2) ** -0.5)
            nn.init.zeros_(layer.bias)
    return net


class MlpGenerator(nn.Module):
    """noise [N,Z] -> image [N,3,S,S] in [-1, 1]; grey ones have three equal colours."""

    def __init__(self, config):
        super().__init__()
        self.shape = (config.colours, config.size, config.size)
        pixels = config.colours * config.size ** 2
        self.layers = xavier(nn.Sequential(nn.Linear(config.noise_size, config.width), nn.ReLU(),
                                           nn.Linear(config.width, pixels), nn.Sigmoid()))

    def forward(self, noise, y=None):
        image = self.layers(noise).view(-1, *self.shape) * 2 - 1
        return image.expand(-1, 3, -1, -1)


class MlpDiscriminator(nn.Module):
    """image [N,3,S,S] -> logit [N] of being real."""

    def __init__(self, config):
        super().__init__()
        self.colours = config.colours
        pixels = config.colours * config.size ** 2
        self.layers = xavier(nn.Sequential(nn.Linear(pixels, config.width), nn.ReLU(),
                                           nn.Linear(config.width, 1)))

    def forward(self, x):
        x = x.mean(1, keepdim=True) if self.colours == 1 else x
        return self.layers((x.flatten(1) + 1) / 2)[:, 0]


class ConvolutionalDiscriminator(nn.Module):
    """image [N,3,S,S] -> logit [N] of being real."""

    def __init__(self, config):
        super().__init__()
        self.trunk = ConvolutionalTrunk(config.size, config.width)
        self.score = nn.Linear(self.trunk.features, 1)

    def forward(self, x):
        return self.score(self.trunk(x))[:, 0]


class System(Contract):
    """Generator and discriminator, one step of each on a batch."""

    kind = "sampler"
    averaged = ("generator",)

    def __init__(self, labels, config):
        super().__init__(labels, config)
        if config.network == "mlp":
            self.generator, self.discriminator = MlpGenerator(config), MlpDiscriminator(config)
        else:
            self.generator = ConvolutionalGenerator(config.noise_size, 0, config.size, config.width)
            self.discriminator = ConvolutionalDiscriminator(config)
        self.nets = {"generator": self.generator, "discriminator": self.discriminator}
        self.optimisers = {
            name: adam(net, config.learning_rate, (config.beta1, 0.999))
            for name, net in self.nets.items()
        }
        self.drawing = SampleDrawing("uniform", config.noise_size)

    def step(self, batch, step):
        x_real = batch.x_real
        noise = even(self.draw, len(x_real), self.config.noise_size, x_real.device)
        x_fake = self.generator(noise)

        # L_D = -E[log D(x)] - E[log(1 - D(G(z)))]
        real, fake = self.discriminator(x_real), self.discriminator(x_fake.detach())
        d_loss = is_real(real, 1) + is_real(fake, 0)
        self.update("discriminator", d_loss)

        # L_G = -E[log D(G(z))]
        g_loss = is_real(self.discriminator(x_fake), 1)
        self.update("generator", g_loss)
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(),
                "d_gap": (real.mean() - fake.mean()).detach()}

    @property
    def exports(self):
        return {"sampler": self.generator}
