"""StarGAN: one generator for all conditions, here AUs or expression classes.

Choi, Choi, Kim, Ha, Kim, Choo: "StarGAN: Unified Generative Adversarial Networks for Multi-Domain
Image-to-Image Translation", CVPR 2018. The generator's output is the whole image; the
discriminator also classifies:

    L_D = -L_adv + λ_cls L_cls(real)        L_G = L_adv + λ_cls L_cls(fake) + λ_rec ‖x - G(G(x, c),
    c')‖₁

The authors' InstanceNorm keeps running statistics and is never told to use them, so that an
exported model differs from the trained one; here it has none."""
from dataclasses import dataclass

import torch
from torch import nn

from lib.generators import losses
from lib.generators.blocks import painted
from lib.generators.contract import Editor
from lib.generators.residual_blocks import ResidualHead, ResidualTrunk, StarSystem
from lib.generators.sampler_blocks import condition_loss, probabilities

TASKS = ("au",)


@dataclass
class Config:
    """What the networks and losses depend on; the defaults are the published ones."""

    size: int = 128                # image side in pixels
    width: int = 64                # channels of the generator at full resolution
    halvings: int = 2
    blocks: int = 6                # residual blocks
    stem: int = 1                  # s: the generator takes s x s pixels as one
    residual: bool = False         # ours: what is painted is added to the image
    norm: str = "instance"         # instance | group (see blocks.normalisation)
    # the tiled conditions are times this: a condition that is small beside the image is learnt late
    louder: float = 1.0
    d_width: int = 64
    d_layers: int = 6
    d_stem: int = 1
    adversarial: str = "wgan-gp"   # wgan-gp | nonsaturating (with R1 on real images as penalty)
    au_loss: str = "bce"           # bce | mse: of AUs, against their level
    w_adversarial: float = 1.0
    w_penalty: float = 10.0        # λ_gp
    penalty_every: int = 1         # the penalty, times this, on every so many discriminator steps
    w_condition: float = 1.0       # λ_cls
    w_cycle: float = 10.0          # λ_rec
    w_pair: float = 0.0            # ours: L1 to the true image in rows of kind `pair`
    pair_emphasis: float = 0.0     # over 0: at three scales, and more where I and J differ
    # epoch from which on the head's movement between I and J is taken out of that loss; -1: never
    registered_from: int = -1
    pair_by: str = "session"       # images of one session | subject are a pair
    isolate: float = 0.0           # share of pairs that differ in one condition where they can
    n_critic: int = 5              # discriminator steps a generator step
    critic_every: int = 1          # the discriminator is asked, and learns, on every so many steps
    cycle_every: int = 1           # the cycle's loss, times this, on every so many steps
    augment: bool = False          # small random changes of all that the discriminator sees
    shift: float = 3.0             # of them, in pixels
    shares: str = "permuted=1"     # kinds of targets in a batch
    learning_rate: float = 1e-4
    d_learning_rate: float = 1e-4


# CPU: ours has true images of the same person as further teachers; without them few steps make
# patterns that the discriminator takes for AUs. GroupNorm lets the tiled condition through. Few
# steps do not teach it to paint a sharp image anew, so it changes the pixels of the one it has.
QUICK = {"size": 64, "width": 32, "halvings": 1, "blocks": 4, "stem": 2, "norm": "group",
         "d_width": 64, "d_layers": 3, "d_stem": 4, "adversarial": "nonsaturating",
         "au_loss": "mse", "w_adversarial": 0.1, "w_penalty": 0.02, "penalty_every": 4,
         "w_condition": 1.0, "w_cycle": 5.0, "w_pair": 40.0, "pair_emphasis": 5.0,
         "louder": 3.0, "residual": True, "isolate": 0.7, "registered_from": 4, "n_critic": 1,
         "critic_every": 4, "cycle_every": 8, "augment": True,
         "shares": "pair=14,permuted=2", "learning_rate": 1e-3, "d_learning_rate": 5e-4}
PRESETS = {"paper": {}, "quick": QUICK}
# 200,000 steps of 16 images, of which the last half decays: epochs of the authors' 202,599 faces
SCHEDULES = {"paper": {"epochs": 16, "decay_epochs": 8, "batch": 16},
             "quick": {"epochs": 10, "decay_epochs": 5, "batch": 16}}


class Generator(nn.Module):
    """(image [N,3,S,S] in [-1, 1], y_trg [N,C]) -> edited image [N,3,S,S] in [-1, 1].

    Published, it paints every pixel anew, which takes many steps to become sharp. With `residual`
    it changes those of the image (blocks.painted)."""

    def __init__(self, conditions, config):
        super().__init__()
        self.residual = config.residual
        self.trunk = ResidualTrunk(conditions, config.width, config.halvings, config.blocks,
                                   config.stem, config.norm, config.louder)
        self.colour = ResidualHead(config.width, 3, config.stem)

    def forward(self, image, y_trg):
        return painted(self.colour(self.trunk(image, y_trg)), image if self.residual else None)

    def edit(self, image, source, target):
        """The edited image; StarGAN does not use the source's conditions."""
        return self(image, target)


class Reader(nn.Module):
    """The discriminator as a classifier of all conditions, with its mean patch score."""

    def __init__(self, system):
        super().__init__()
        self.discriminator, self.labels = system.discriminator, system.labels
        self.bounded = system.config.au_loss == "mse"
        self.probability = system.real_kind == "probability"

    def forward(self, image):
        score, readings = self.discriminator(image)
        score, out = score.mean((1, 2, 3)), probabilities(readings, self.labels)
        if self.bounded and self.labels.aus:
            out["au"] = readings[:, self.labels.columns("au")].clamp(0, 1)
        return {**out, "real": score.sigmoid() if self.probability else score}


class System(StarSystem):
    """Generator and discriminator, and one step of both on a batch."""

    def __init__(self, labels, config):
        super().__init__(labels, config, Generator, pair_by=config.pair_by)

    def classify(self, readings, y, known):
        """L_cls of readings [N,C]: cross-entropy of expressions, BCE or MSE of AUs, MSE of valence
        and arousal."""
        if self.config.au_loss == "bce" or not self.labels.aus:
            return condition_loss(readings, y, known, self.labels)
        au, others = self.labels.columns("au"), known.clone()
        others[:, au] = False
        squared = losses.masked_mse(readings[:, au], torch.where(known, y, torch.nan)[:, au])
        return squared + condition_loss(readings, y, others, self.labels)

    def step(self, batch, step):
        config = self.config
        x_real, y_org, y_trg = batch.x_real, batch.y_org, batch.y_trg
        update_generator = step % config.n_critic == config.n_critic - 1
        ask_critic = step % config.critic_every == 0
        with torch.set_grad_enabled(update_generator):
            x_fake = self.generator(x_real, y_trg)
        terms = {}

        if ask_critic:
            # L_D = E[D(x_fake)] - E[D(x_real)] + λ_cls L_cls(x_real, y_org)
            score_real, reading = self.see(x_real)
            score_fake, _ = self.see(x_fake.detach())
            terms["d_adversarial"] = losses.critic_loss(config.adversarial, score_real, score_fake)
            terms["d_condition"] = self.classify(reading, y_org, batch.known)
            d_loss = (config.w_adversarial * terms["d_adversarial"]
                      + config.w_condition * terms["d_condition"])
            # + λ_gp E[(‖∇D(x̂)‖ - 1)²]
            if self.penalty_due(step):
                terms["d_penalty"] = losses.critic_penalty(
                    config.adversarial, self.discriminator, x_real, x_fake.detach(), self.draw)
                d_loss = d_loss + config.w_penalty * config.penalty_every * terms["d_penalty"]
            self.update("discriminator", d_loss)
            terms["d_gap"] = score_real.mean() - score_fake.mean()

        if update_generator:
            g_loss = 0.0
            if ask_critic:
                # L_G = -E[D(x_fake)] + λ_cls L_cls(x_fake, y_trg)
                score, reading = self.see(x_fake)
                terms["g_adversarial"] = losses.deceive_loss(config.adversarial, score)
                terms["g_condition"] = self.classify(reading, y_trg, batch.known)
                g_loss = (config.w_adversarial * terms["g_adversarial"]
                          + config.w_condition * terms["g_condition"])
            if step % config.cycle_every == 0:
                # + λ_rec ‖x_real - G(x_fake, y_org)‖₁
                x_back = self.generator(x_fake, y_org)
                terms["g_cycle"] = (x_back - x_real).abs().mean()
                g_loss = g_loss + config.w_cycle * config.cycle_every * terms["g_cycle"]
            # ours: ‖G(I, conditions of J) - J‖₁, I and J of one person
            pair = batch.kind_rows("pair")
            if config.w_pair and pair is not None:
                terms["g_pair"] = self.pair_loss(x_fake[pair], batch, x_real[pair])
                g_loss = g_loss + config.w_pair * terms["g_pair"]
            g_loss = self.due(g_loss, x_fake)
            if torch.is_tensor(g_loss) and g_loss.requires_grad:  # some steps ask for nothing
                self.update("generator", g_loss)
            terms["g_change"] = (x_fake - x_real).abs().mean()
        return {name: value.detach() for name, value in terms.items()}

    @property
    def exports(self):
        return {"editor": Editor(self.generator), "classifier": Reader(self)}
