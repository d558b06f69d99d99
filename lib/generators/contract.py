"""The contract between `train_generator.py` and a generator.

A generator is one module that offers

    Config     dataclass of settings; its defaults are the paper's
    PRESETS    {"paper": {}, "quick": {...}}: settings that replace Config's defaults
    SCHEDULES  {"paper": {"epochs": 50, "decay_epochs": 20, "batch": 16}, ...}: what the trainer's
               options of these names are in a preset where the command line does not say (any of
               them may be left out)
    TASKS      the labels it learns where --tasks does not say: any of "au", "va", "expression"; ()
               is none
    System     a subclass of `System` below

The trainer keeps time, averaged weights, checkpoints, history, the choice of the epoch, alarms and
processes. It names no architecture, no setting of one and no kind of label. `editing.py` and
`sampling.py` know, for each kind of generator, how batches are drawn, how it is watched and how it
is exported.

Shapes: B images of this process, C conditions (`labels.conditions`), S pixels a side, P rows of
kind `pair`, Z noise. Pictures are float [B,3,S,S] in [-1, 1]. AU conditions are FACS level / 5 in
[0, 1], valence and arousal in [-1, 1], expressions 0 or 1 (one-hot).
"""
from dataclasses import asdict, dataclass, field

import torch
from torch import nn

from lib.training import Draws


@dataclass
class EditDrawing:
    """Which batches an editor learns from (`editing.py` draws them)."""

    # kinds of targets, see lib.generators.pairs
    shares: dict = field(default_factory=lambda: {"permuted": 1.0})
    target_noise: float = 0.0   # targets of kind `permuted` get U(±this)
    source_noise: float = 0.0   # the source's AUs and VA get U(±this), in y_org and in labels
    clamp: bool = True          # keep noisy values in the range of their kind
    # also another image with the labels of the source, for rows of kind `pair`
    doubles: bool = False
    # images of one session | subject | any are a pair (falls back to subject)
    pair_by: str = "session"
    # share of pairs that differ in one condition, as far as the session allows
    isolate: float = 0.0
    # also where pixels of a pair's images lie in each other (lib.generators.motion)
    motion: bool = False
    crop: bool = False          # pad by S/16 (black) and crop at random, as Ling et al. do
    levels: tuple = (0.3, 1.0)  # AU levels of kinds `single` and `change`


@dataclass
class EditBatch:
    """One step's data for an editor; rows of a kind stand together, those of kind `pair` first."""

    x_real: torch.Tensor    # [B,3,S,S]
    # the source's: au [B,A], valence_arousal [B,2] (NaN unlabelled), expression int64 [B] (-1)
    labels: dict
    # [B,C] the source's conditions, without NaN (unknown expression: the uniform vector)
    y_org: torch.Tensor
    # [B,C] asked for, without NaN; equals y_org where the source is unlabelled
    y_trg: torch.Tensor
    known: torch.Tensor     # bool [B,C] whether the source is labelled there
    kinds: list             # B names
    # [P,3,S,S] true images of the rows of kind `pair`: same person, conditions y_trg
    x_true: torch.Tensor = None
    # [P,3,S,S] other images with the source's conditions, where `doubles`
    x_double: torch.Tensor = None
    # [P,2,h,w] the flow that makes x_true from x_real, NaN unknown, where `motion`
    motion: torch.Tensor = None
    epoch: int = 0                 # from 0

    def kind_rows(self, kind):
        """slice of the rows of a kind, or None."""
        first = self.kinds.index(kind) if kind in self.kinds else None
        return None if first is None else slice(first, first + self.kinds.count(kind))


@dataclass
class SampleDrawing:
    """Which batches a sampler learns from (`sampling.py` draws them)."""

    noise: str = "normal"   # normal | uniform (in [-1, 1])
    noise_size: int = 100   # Z
    balance: bool = False   # draw classes (expressions, else rare AUs) evenly


@dataclass
class SampleBatch:
    """One step's data for a sampler."""

    x_real: torch.Tensor    # [B,3,S,S]
    # au [B,A], valence_arousal [B,2] (NaN unlabelled), expression int64 [B] (-1 unlabelled)
    labels: dict
    y: torch.Tensor         # [B,C] the same as conditions, without NaN; [B,0] where there is none
    known: torch.Tensor     # bool [B,C]
    epoch: int = 0          # from 0


class System:
    """A generator with everything that it learns with. Subclasses set, in __init__:

    kind         "editor" | "sampler"
    nets         {name: nn.Module}: all networks
    optimisers   {name: torch.optim.Optimizer}: all optimisers; the trainer scales their rates
    drawing      EditDrawing | SampleDrawing
    averaged     names of nets whose averaged weights are kept, watched and exported (default: all)

    and give `step` and `exports`.
    """

    kind = "editor"
    averaged = None
    # names of nets whose gradient is part of a loss (a gradient penalty): --compile leaves them
    # out, as torch.compile's gradients cannot be differentiated again
    differentiated_twice = ()
    # names of terms that are sums over pixels, not means: they are large by nature
    sums = ()
    # channels last makes convolutions faster; False where a CPU's copies cost more than it brings
    channels_last = True

    def __init__(self, labels, config):
        self.labels, self.config = labels, config  # lib.labels.Labels, the module's Config
        self.nets, self.optimisers, self.drawing = {}, {}, None
        # random numbers of a step come from here, so that several processes agree
        self.draw = Draws()

    def step(self, batch, step):
        """One training step on a batch: forward, losses, backward, optimiser steps, visible in one
        block.

        step: counts from 0 over the whole training. Returns {term: detached scalar}; a term that
        this step does not have is left out. `d_gap`, where there is a critic, is mean score of
        real minus that of generated images."""
        raise NotImplementedError

    def layout(self, device):
        """How networks and images lie in memory, a torch.memory_format."""
        wanted = self.channels_last or device.type == "cuda"
        return torch.channels_last if wanted else torch.contiguous_format

    def learn_without_pairs(self):
        """Called before training where no two images show one person and kind `pair` is asked for:
        rows of that kind go to the other kinds. Whether there is still something to learn from."""
        return len(self.drawing.shares) > 1

    def warm_up(self, draw_batch):
        """Before the first step: whatever must be learnt beforehand. draw_batch(n) draws a batch n
        times as large as a step's. Returns a text for the log, or ''."""
        return ""

    @property
    def exports(self):
        """{name: nn.Module} of float graphs, sharing the networks' weights:

        editor       (image [N,3,S,S], source [N,C], target [N,C]; no NaN) -> image [N,3,S,S],
                     or a dict of `edited` and `flow` [N,2,S,S] (halves of the image's width),
                     `paint` [N,3,S,S] in [-1, 1] and `cover` [N,1,S,S] in [0, 1]
        sampler      (noise [N,Z], target [N,C]) -> image [N,3,S,S]
        classifier   (image [N,3,S,S]) -> dict of any of `au` [N,A], `valence_arousal` [N,2],
                     `expression` [N,E] (probabilities), `real` [N] (a probability, or a
                     Wasserstein score), `features` [N,F]"""
        raise NotImplementedError

    @property
    def noise_drawing(self):
        """The SampleDrawing that says which noise the export `sampler` takes."""
        return self.drawing

    # whether the export `sampler` acts on its target; else its graph has no such input
    conditional = True
    real_kind = "probability"  # what the classifier's output `real` is: probability | score

    def update(self, name, loss):
        """Backward and one step of the named optimiser. (Several processes average gradients in a
        hook of it.)

        Only its own parameters get gradients: a generator's loss goes through the discriminator,
        whose weights' gradients nobody would use."""
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward(inputs=[
            value for group in optimiser.param_groups for value in group["params"]
        ])
        optimiser.step()

    def due(self, loss, pictures):
        """A generator's loss, which may be 0.0 (nothing is due at this step), with several
        processes as a tensor: where others have a loss, this one takes the step with them.

        pictures: what the generator made, with its graph."""
        return loss + 0 * pictures.sum() if self.draw.world > 1 else loss

    def config_dict(self):
        """Settings as the checkpoint holds them."""
        return asdict(self.config)


def adam(parameters, rate, betas=(0.5, 0.999)):
    """Adam, one kernel for all parameters on a CPU and on a GPU. parameters: of a network, or an
    iterable of them."""
    if isinstance(parameters, nn.Module):
        parameters = parameters.parameters()
    return torch.optim.Adam(parameters, rate, betas, fused=True)


class Editor(nn.Module):
    """The export graph of a network with `edit(image, source, target)`."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, image, source, target):
        return self.net.edit(image, source, target)


class LabelReader(nn.Module):
    """The export graph of a discriminator, image -> (scores [N,…], readings [N,C]), whose readings
    learnt the conditions by squared error: `au`, `valence_arousal`, `expression` (the readings of
    0 or 1 that each class has, as shares of their sum), and `real`, the mean score, or the
    sigmoid of a mean logit.

    real_kind: probability | score, see System.real_kind. clamp: AUs to [0, 1], valence and
    arousal to [-1, 1]; False: as the network reads them."""

    def __init__(self, net, labels, real_kind, clamp=True):
        super().__init__()
        self.net, self.labels, self.real_kind, self.clamp = net, labels, real_kind, clamp

    def forward(self, image):
        score, reading = self.net(image)
        out = {}
        if self.labels.aus:
            levels = reading[:, self.labels.columns("au")]
            out["au"] = levels.clamp(0, 1) if self.clamp else levels
        if self.labels.valence_arousal:
            values = reading[:, self.labels.columns("va")]
            out["valence_arousal"] = values.clamp(-1, 1) if self.clamp else values
        if self.labels.expressions:
            shares = reading[:, self.labels.columns("expression")].clamp(min=1e-6)
            out["expression"] = shares / shares.sum(1, keepdim=True)
        real = score.flatten(1).mean(1)
        return out | {"real": real.sigmoid() if self.real_kind == "probability" else real}
