"""FExGAN: a variational auto-encoder between a source and a target expression, with a classifying
discriminator.

Siddiqui: "Explore the Expression: Facial Expression Generation using Auxiliary Classifier
Generative Adversarial Network", 2022. The encoder sees the image and the source label A_s, the
decoder a latent vector and the target label A_t; the answer is another image of the same person
with the target expression. The decoder alone makes faces from noise. Equations are the paper's; α,
β and γ are not printed there, so their values are ours."""
import math
from dataclasses import dataclass

import torch
from torch import nn

from lib.cli import BadInput
from lib.generators.contract import EditDrawing, SampleDrawing, System as Contract, adam
from lib.generators.sampler_blocks import condition_loss, is_real

TASKS = ("expression",)


@dataclass
class Config:
    """What the networks and losses depend on; the defaults are the published ones."""

    size: int = 128                # image side in pixels, a power of two
    width: int = 128               # channels of the first encoder block; at most 4 times as many
    # channels of the encoder's last block, whose map is one pixel; 0: `width` of them
    code: int = 0
    latent: int = 128              # n, numbers of the latent vector
    d_width: int = 64              # the discriminator's three blocks have 1, 2 and 8 times as many
    w_gan: float = 1.0             # α
    w_kl: float = 1e-3             # β
    w_pair: float = 100.0          # γ, of the mean over pixels
    # images of one subject | session are a pair; the paper's sets have one session a person
    pair_by: str = "subject"
    w_binary: float = 1.0          # of real against generated within the generator's GAN loss
    w_binary_late: float = 0.1     # the same from `late` on (the paper: it is reduced)
    late: int = 50                 # epoch
    scale_label: bool = True       # the target label times λ ~ N(0, 1)
    # ours, of the mean over pixels of |x + G(z, A_t) - G(z, A_s) - I_t|. Where it is not 0, the
    # exported editor gives this edit and not G(z, A_t): what z forgets of the person stays
    w_difference: float = 0.0
    gain: float = 1.0              # the exported editor adds this many times the difference
    # pad and crop at random; the paper also jitters images, and does not say how: left out
    crop: bool = True
    learning_rate: float = 2e-4
    beta1: float = 0.5


# CPU: a label times λ says nothing where λ is near 0, and the opposite where it is negative; 60
# people are too few for the discriminator to teach more than the pairs do, so that it counts less.
# Light and background change between the sessions of a person, so that answers from any session
# teach their mean, a blur. The latent vector, learnt from 60 people, turns a new face into another
# person. So the difference of two decodings is added to the image, twice, as it is weak.
QUICK = {"size": 64, "width": 32, "code": 128, "d_width": 32, "w_binary": 0.2,
         "w_binary_late": 0.02, "late": 6, "scale_label": False, "crop": False, "w_kl": 1e-3,
         "pair_by": "session", "w_difference": 100.0, "gain": 2.0,
         "learning_rate": 1e-3}
PRESETS = {"paper": {}, "quick": QUICK}
SCHEDULES = {"paper": {"epochs": 100, "decay_epochs": 0, "batch": 32},
             "quick": {"epochs": 10, "decay_epochs": 4, "batch": 32}}


def shrink(before, after):
    """[N,before,H,W] -> [N,after,H/2,W/2]: convolution, batch norm, ReLU."""
    return nn.Sequential(nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after),
                         nn.ReLU())


class Encoder(nn.Module):
    """(image [N,3,S,S], A_s [N,C]) -> mu [N,Z], log-variance [N,Z]. The label is a fourth
    colour."""

    def __init__(self, conditions, config):
        super().__init__()
        halvings, width = int(math.log2(config.size)), config.width
        code = config.code or width
        self.size = config.size
        self.label = nn.Linear(conditions, config.size ** 2)
        widths = [4, width, 2 * width, *[4 * width] * (halvings - 3), code]
        blocks = [shrink(a, b) for a, b in zip(widths, widths[1:])]
        self.blocks = nn.Sequential(*blocks, nn.Flatten())
        self.mu = nn.Linear(code, config.latent)
        self.log_variance = nn.Linear(code, config.latent)

    def forward(self, image, a_s):
        plane = self.label(a_s).view(-1, 1, self.size, self.size)
        features = self.blocks(torch.cat([image, plane], 1))
        return self.mu(features), self.log_variance(features)


class Decoder(nn.Module):
    """(z [N,Z], A_t [N,C]) -> image [N,3,S,S] in [-1, 1]."""

    def __init__(self, conditions, config):
        super().__init__()
        doublings, width = int(math.log2(config.size)), config.width
        self.latent = nn.Linear(config.latent, 2 * width)
        self.label = nn.Sequential(nn.Linear(conditions, max(8, width // 2)),
                                   nn.Linear(max(8, width // 2), 2 * width))
        widths = [*[4 * width] * (doublings - 2), 2 * width, width]
        blocks = [nn.Sequential(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b),
                                nn.LeakyReLU(0.2)) for a, b in zip(widths, widths[1:])]
        self.blocks = nn.Sequential(*blocks, nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())

    def forward(self, z, a_t):
        joined = torch.cat([self.latent(z), self.label(a_t)], 1)  # [N,4·width]
        return self.blocks(joined[:, :, None, None])


class Discriminator(nn.Module):
    """image [N,3,S,S] -> logit [N] of being real, logits [N,C] of the expressions."""

    def __init__(self, conditions, config):
        super().__init__()
        widths = [3, config.d_width, 2 * config.d_width, 8 * config.d_width]
        blocks = [shrink(a, b) for a, b in zip(widths, widths[1:])]
        self.blocks = nn.Sequential(*blocks, nn.Flatten())
        features = widths[-1] * (config.size // 8) ** 2
        self.real, self.expression = nn.Linear(features, 1), nn.Linear(features, conditions)

    def forward(self, image):
        features = self.blocks(image)
        return self.real(features)[:, 0], self.expression(features)


class Editor(nn.Module):
    """The exported editor: the latent vector is mu, without chance. With `difference` the image
    changes as its decoding does from label to label."""

    def __init__(self, encoder, decoder, difference=False, gain=1.0):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.difference, self.gain = difference, gain

    def forward(self, image, source, target):
        z = self.encoder(image, source)[0]
        decoded = self.decoder(z, target)  # [N,3,S,S]
        if not self.difference:
            return decoded
        return (image + self.gain * (decoded - self.decoder(z, source))).clamp(-1, 1)


class Reader(nn.Module):
    """The discriminator as a classifier: probabilities of the expressions, and of being real."""

    def __init__(self, discriminator):
        super().__init__()
        self.discriminator = discriminator

    def forward(self, image):
        real, classes = self.discriminator(image)
        return {"expression": classes.softmax(1), "real": real.sigmoid()}


def divergence(mu, log_variance):
    """Eq. 3: -½ Σ_i (1 + σ_i - μ_i² - e^σ_i), σ being the log-variance; [N,Z] each -> mean over
    images."""
    return -0.5 * (1 + log_variance - mu.square() - log_variance.exp()).sum(1).mean()


class System(Contract):
    """Encoder, decoder and discriminator, and one step of all on a batch."""

    kind = "editor"
    averaged = ("encoder", "decoder")

    def __init__(self, labels, config):
        super().__init__(labels, config)
        if not labels.expressions or labels.aus or labels.valence_arousal:
            raise BadInput("fexgan edits expression classes alone; give --tasks expression "
                           "and images with them")
        if config.size < 16 or config.size & (config.size - 1):
            raise BadInput(f"images of {config.size} pixels: fexgan halves them to one pixel; "
                           "give --size 64 or 128")
        self.encoder = Encoder(labels.count, config)
        self.decoder = Decoder(labels.count, config)
        self.discriminator = Discriminator(labels.count, config)
        self.nets = {"encoder": self.encoder, "decoder": self.decoder,
                     "discriminator": self.discriminator}
        rate, betas = config.learning_rate, (config.beta1, 0.999)
        generator = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimisers = {"generator": adam(generator, rate, betas),
                           "discriminator": adam(self.discriminator, rate, betas)}
        self.drawing = EditDrawing({"pair": 1.0}, pair_by=config.pair_by, crop=config.crop)

    @property
    def noise_drawing(self):
        """Noise of the exported sampler."""
        return SampleDrawing("normal", self.config.latent)

    def step(self, batch, step):
        config, labels = self.config, self.labels
        x_real, y_org, y_trg, known = batch.x_real, batch.y_org, batch.y_trg, batch.known
        rows = len(x_real)
        mu, log_variance = self.encoder(x_real, y_org)
        z = mu + (log_variance / 2).exp() * self.draw.randn(rows, config.latent, device=mu.device)
        scale = self.draw.randn(rows, 1, device=mu.device) if config.scale_label else 1.0
        x_fake = self.decoder(z, y_trg * scale)  # G(I_s, A_t(λ))

        # eq. 5-7: L_D = φ_b(1, D(I_s)) + φ_m(A_s, D(I_s)) + φ_b(0, D(I_g)) + φ_m(A_t, D(I_g))
        real, class_real = self.discriminator(x_real)
        fake, class_fake = self.discriminator(x_fake.detach())
        terms = {"d_real": is_real(real, 1), "d_fake": is_real(fake, 0),
                 "d_class_real": condition_loss(class_real, y_org, known, labels),
                 "d_class_fake": condition_loss(class_fake, y_trg, known, labels)}
        self.update("discriminator", sum(terms.values()))
        terms["d_gap"] = real.mean() - fake.mean()
        # Table 1
        terms["d_class_real_accuracy"] = agreement(class_real, y_org, known)
        terms["d_class_fake_accuracy"] = agreement(class_fake, y_trg, known)
        terms["d_real_accuracy"] = (real > 0).float().mean()
        terms["d_fake_accuracy"] = (fake < 0).float().mean()

        # eq. 1: L_GAN = φ_b(1, D(I_g)) + φ_m(A_t, D(I_g)); the binary part counts less from `late`
        # on
        real, classes = self.discriminator(x_fake)
        terms["g_adversarial"] = is_real(real, 1)
        terms["g_condition"] = condition_loss(classes, y_trg, known, labels)
        w_binary = config.w_binary if batch.epoch < config.late else config.w_binary_late
        gan = w_binary * terms["g_adversarial"] + terms["g_condition"]
        # eq. 3 and 4: L_G = α L_GAN + β L_KL + γ L_reconstruction
        terms["g_kl"] = divergence(mu, log_variance)
        g_loss = config.w_gan * gan + config.w_kl * terms["g_kl"]
        # eq. 2: |G(I_s, A_t) - I_t|, I_t a random image of the same person with the target
        # expression
        pair = batch.kind_rows("pair")
        if pair is not None:
            terms["g_pair"] = (x_fake[pair] - batch.x_true).abs().mean()
            g_loss = g_loss + config.w_pair * terms["g_pair"]
        if pair is not None and config.w_difference:
            edited = x_real + (x_fake - self.decoder(z, y_org * scale))
            terms["g_difference"] = (edited[pair] - batch.x_true).abs().mean()
            g_loss = g_loss + config.w_difference * terms["g_difference"]
        self.update("generator", g_loss)
        terms["g_change"] = (x_fake - x_real).abs().mean()
        return {name: value.detach() for name, value in terms.items()}

    @property
    def exports(self):
        return {"editor": Editor(self.encoder, self.decoder, self.config.w_difference > 0,
                                 self.config.gain),
                "sampler": self.decoder,
                "classifier": Reader(self.discriminator)}


def agreement(logits, y, known):
    """Share of rows with a known class whose largest logit is that class; [N,C] each -> scalar."""
    sure = known.all(1).float()
    return ((logits.argmax(1) == y.argmax(1)).float() * sure).sum() / sure.sum().clamp(min=1)
