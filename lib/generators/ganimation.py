"""GANimation: edits facial expressions by action units, through an attention mask.

Pumarola, Agudo, Martinez, Sanfeliu, Moreno-Noguer: "GANimation: Anatomically-aware Facial
Animation from a Single Image", ECCV 2018. The generator paints colours C and says by a mask A
where the input stays:

    G(x, y_trg) = A · x + (1 - A) · C

Niinuma, Onal Ertugrul, Cohn, Jeni: "Facial Expression Manipulation for Personalized Facial Action
Estimation", 2022, remove the mask's losses and add the idiosyncratic loss: for two images I, J of
one person, ‖G(I, AUs of J) - J‖₁ (preset `niinuma`). Their discriminator's AU head, D_exp, is
exported as a classifier.

The mask is known to end at 1 (the output is the input) or at 0: `g_mask_mean` tells, about 0.5 is
healthy."""
from dataclasses import dataclass

import torch
from torch import nn

from lib.cli import BadInput
from lib.generators import losses
from lib.generators.contract import Editor, LabelReader
from lib.generators.residual_blocks import ResidualHead, ResidualTrunk, StarSystem

TASKS = ("au",)


@dataclass
class Config:
    """What the networks and losses depend on; the defaults are the published ones."""

    size: int = 128                # image side in pixels
    width: int = 64                # channels of the generator at full resolution
    halvings: int = 2
    blocks: int = 6                # residual blocks
    stem: int = 1                  # s: the generator takes s x s pixels as one
    norm: str = "instance"         # instance | group (see blocks.normalisation)
    mask: bool = True              # False: no mask, the output is C
    # the tiled conditions are times this: a condition that is small beside the image is learnt late
    louder: float = 1.0
    d_width: int = 64
    d_layers: int = 6
    d_stem: int = 1
    adversarial: str = "wgan-gp"   # wgan-gp | nonsaturating (with R1 on real images as penalty)
    w_adversarial: float = 1.0     # λ_I
    w_penalty: float = 10.0        # λ_gp
    penalty_every: int = 1         # the penalty, times this, on every so many discriminator steps
    w_condition: float = 160.0     # λ_y: 4000 over a batch of 25 in the authors' code
    w_cycle: float = 10.0          # λ_idt
    w_mask: float = 0.1            # λ_A
    w_smooth: float = 1e-5         # λ_TV, of the mask
    w_pair: float = 0.0            # λ_ids, the idiosyncratic loss
    pair_emphasis: float = 0.0     # over 0: at three scales, and more where I and J differ
    # epoch from which on the head's movement between I and J is taken out of that loss; -1: never
    registered_from: int = -1
    isolate: float = 0.0           # share of pairs that differ in one condition where they can
    n_critic: int = 5              # discriminator steps a generator step
    critic_every: int = 1          # the discriminator is asked, and learns, on every so many steps
    cycle_every: int = 1           # the cycle's loss, times this, on every so many steps
    augment: bool = False          # small random changes of all that the discriminator sees
    shift: float = 3.0             # of them, in pixels
    shares: str = "permuted=1"     # kinds of targets in a batch
    target_noise: float = 0.1      # permuted targets get U(±this), clamped to [0, 1]
    learning_rate: float = 1e-4
    d_learning_rate: float = 1e-4


NIINUMA = {"size": 224, "w_mask": 0.0, "w_smooth": 0.0, "w_pair": 1.0,
           "shares": "pair=1,permuted=1"}
# CPU: true images of the same person teach most (as in Niinuma's variant, but with a weight of
# 40), GroupNorm lets the tiled condition through, and a small discriminator with R1 is harder to
# fool than a critic of few steps. With plain L1 the first 250 steps made the input again (mask
# mean 0.97); the emphasis counts what an AU moves, and w_mask pulls the mask down.
QUICK = {"size": 64, "width": 32, "halvings": 1, "blocks": 4, "stem": 2, "norm": "group",
         "d_width": 64, "d_layers": 3, "d_stem": 4, "adversarial": "nonsaturating",
         "w_adversarial": 0.1, "w_penalty": 0.02, "penalty_every": 4, "w_condition": 1.0,
         "w_cycle": 5.0, "w_mask": 1.0, "w_smooth": 0.0, "w_pair": 40.0, "pair_emphasis": 5.0,
         "louder": 3.0, "isolate": 0.7, "registered_from": 4, "n_critic": 1,
         "critic_every": 4, "cycle_every": 8, "augment": True,
         "shares": "pair=14,single=2", "learning_rate": 1e-3,
         "d_learning_rate": 5e-4}
PRESETS = {"paper": {}, "niinuma": NIINUMA, "quick": QUICK}
SCHEDULES = {"paper": {"epochs": 30, "decay_epochs": 10, "batch": 25},
             "niinuma": {"epochs": 30, "decay_epochs": 10, "batch": 25},
             "quick": {"epochs": 10, "decay_epochs": 5, "batch": 16}}


class Generator(nn.Module):
    """(image [N,3,S,S] in [-1, 1], y_trg [N,C]) -> edited image, mask A [N,1,S,S] in [0, 1] (1:
    the input stays)."""

    def __init__(self, conditions, config):
        super().__init__()
        self.trunk = ResidualTrunk(conditions, config.width, config.halvings, config.blocks,
                                   config.stem, config.norm, config.louder)
        self.colour = ResidualHead(config.width, 3, config.stem)
        self.attention = ResidualHead(config.width, 1, config.stem) if config.mask else None

    def forward(self, image, y_trg):
        features = self.trunk(image, y_trg)
        colour = self.colour(features).tanh()
        if self.attention is None:
            return colour, torch.zeros_like(colour[:, :1])
        mask = self.attention(features).sigmoid()
        return mask * image + (1 - mask) * colour, mask

    def edit(self, image, source, target):
        """The edited image; GANimation does not use the source's conditions."""
        return self(image, target)[0]


class System(StarSystem):
    """Generator and discriminator, and one step of both on a batch."""

    def __init__(self, labels, config):
        if labels.expressions:
            raise BadInput("ganimation edits AUs, valence and arousal; "
                           "for expression classes take stargan or fexgan")
        super().__init__(labels, config, Generator, target_noise=config.target_noise)

    def step(self, batch, step):
        config = self.config
        x_real, y_org, y_trg = batch.x_real, batch.y_org, batch.y_trg
        y_real = torch.where(batch.known, y_org, torch.nan)  # NaN is left out of the losses
        y_fake = torch.where(batch.known, y_trg, torch.nan)
        update_generator = step % config.n_critic == config.n_critic - 1
        ask_critic = step % config.critic_every == 0
        with torch.set_grad_enabled(update_generator):
            x_fake, mask = self.generator(x_real, y_trg)
        terms = {}

        if ask_critic:
            # L_D = λ_I (E[D(x_fake)] - E[D(x_real)]) + λ_y ‖D_exp(x_real) - y_org‖²
            score_real, reading = self.see(x_real)
            score_fake, _ = self.see(x_fake.detach())
            terms["d_adversarial"] = losses.critic_loss(config.adversarial, score_real, score_fake)
            terms["d_condition"] = losses.masked_mse(reading, y_real)
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
                # -λ_I E[D(x_fake)] + λ_y ‖D_exp(x_fake) - y_trg‖²
                score, reading = self.see(x_fake)
                terms["g_adversarial"] = losses.deceive_loss(config.adversarial, score)
                terms["g_condition"] = losses.masked_mse(reading, y_fake)
                g_loss = (config.w_adversarial * terms["g_adversarial"]
                          + config.w_condition * terms["g_condition"])
            masks = [mask]
            if step % config.cycle_every == 0:
                # λ_idt ‖G(G(x, y_trg), y_org) - x‖₁
                x_back, mask_back = self.generator(x_fake, y_org)
                terms["g_cycle"] = (x_back - x_real).abs().mean()
                g_loss = g_loss + config.w_cycle * config.cycle_every * terms["g_cycle"]
                masks.append(mask_back)
            # λ_A E[A] + λ_TV E[Σ (A_i+1,j - A_i,j)² + (A_i,j+1 - A_i,j)²], of every mask made
            terms["g_mask"] = sum(each.mean() for each in masks)
            terms["g_smooth"] = sum(losses.total_variation(each) for each in masks)
            g_loss = g_loss + config.w_mask * terms["g_mask"] + config.w_smooth * terms["g_smooth"]
            # λ_ids ‖G(I, AUs of J) - J‖₁, I and J of one person
            pair = batch.kind_rows("pair")
            if config.w_pair and pair is not None:
                terms["g_pair"] = self.pair_loss(x_fake[pair], batch, x_real[pair])
                g_loss = g_loss + config.w_pair * terms["g_pair"]
            g_loss = self.due(g_loss, x_fake)
            if torch.is_tensor(g_loss) and g_loss.requires_grad:  # some steps ask for nothing
                self.update("generator", g_loss)
            terms["g_change"] = (x_fake - x_real).abs().mean()
        if config.mask:
            terms["g_mask_mean"] = mask.mean()
        return {name: value.detach() for name, value in terms.items()}

    @property
    def exports(self):
        # D_exp
        reader = LabelReader(self.discriminator, self.labels, self.real_kind)
        return {"editor": Editor(self.generator), "classifier": reader}
