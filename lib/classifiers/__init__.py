"""Classifiers of action units, valence/arousal and expressions: a backbone and any number of
heads.

A backbone turns pictures into features: a file here (compact, judge, torchvision_backbone) and a
line in BACKBONES. A head reads the features: a class and a line in lib.classifiers.heads.

>>> net = build({"architecture": "compact", "size": 64, "aus": 20})
>>> net(torch.zeros(5, 3, 64, 64))["au"].shape
torch.Size([5, 20])
"""

from functools import partial

import torch
from torch import nn

from lib.choices import AU_HEADS
from lib.classifiers import compact, judge, linear, torchvision_backbone
from lib.classifiers.heads import HEADS

# name: function of (size, dropout) that gives a module: pictures -> features, and its `width`
BACKBONES = {
    **{name: partial(compact.Compact, design=design) for name, design in compact.DESIGNS.items()},
    "linear": linear.Linear,
    "judge": partial(compact.Compact, design=judge.DESIGN, stage=judge.residual_stage),
    **{
        name: partial(torchvision_backbone.Backbone, name=name)
        for name in torchvision_backbone.NAMES
    },
}
OUTPUTS = (
    "au",
    "au_level",
    "au_present",
    "valence_arousal",
    "expression",
    "features",
)  # in an exported model
EARLIER_NAMES = {
    "trunk": "backbone.trunk",
    "squeeze": "backbone.squeeze",
    "features": "backbone.features",
    "au": "heads.au",
    "valence_arousal": "heads.va",
    "expression": "heads.expression",
}


def build(config):
    """The network of a checkpoint's config: architecture, size (pixels), aus (how many),
    valence_arousal (bool), expressions (how many; 0 is none), dropout (default 0.2), au_heads
    (default: au), reference, separate, frozen."""
    return Classifier(**config)


class Classifier(nn.Module):
    """float [N,3,S,S] in [-1,1] -> dict of those readings that its heads have
    (lib.classifiers.heads): `au`, `au_level`, `au_present`, `valence_arousal`, `expression`, and
    `features` [N,F].

    `au` is there with any AU head: the intensity, or else the presence.

    reference: how a picture is compared with the person's neutral or mean image, a second input of
    the same shape: 'none' not at all; 'image': the network reads picture - reference (Niinuma et
    al. 2022, 4.5); 'features': its heads read features(picture) - features(reference) (one-frame
    calibration with a Siamese network, arXiv 2409.00240). separate: valence/arousal and expression
    have a last stage each, beside that of the AUs (or of the first head), so that tasks share the
    common layers but not the last features. `features` are those of the first stage. frozen: the
    backbone has pretrained layers that do not learn (lib.classifiers.torchvision_backbone)."""

    def __init__(
        self,
        architecture,
        size,
        aus,
        valence_arousal=False,
        expressions=0,
        dropout=0.2,
        au_heads=("au",),
        reference="none",
        separate=False,
        frozen=False,
    ):
        super().__init__()
        self.reference = reference
        self.backbone = BACKBONES[architecture](size, dropout)
        if frozen:
            self.backbone.freeze()
        counts = dict.fromkeys(au_heads if aus else (), aus)
        counts |= {"va": 2} if valence_arousal else {}
        counts |= {"expression": expressions} if expressions else {}
        self.heads = nn.ModuleDict(
            {name: HEADS[name](self.backbone.width, n) for name, n in counts.items()}
        )
        apart = [name for name in list(self.heads)[1:] if name not in AU_HEADS] if separate else []
        self.stages = nn.ModuleDict({name: self.backbone.make_stage() for name in apart})
        self.register_load_state_dict_pre_hook(rename_earlier)

    @property
    def outputs(self):
        """Names of the outputs, in the order of OUTPUTS."""
        there = {name for head in self.heads.values() for name in head.outputs} | {"features"}
        there |= {"au"} if "au_present" in there else set()
        return [name for name in OUTPUTS if name in there]

    def start_at(self, true):
        """Let the untrained AU heads read the marginals of the truth."""
        for name, head in self.heads.items():
            if name in AU_HEADS:
                head.start_at(true)

    def reader(self, pictures, reference):
        """A function: last stage -> its features [N,F] of pictures, compared with their
        references."""
        if self.reference == "image":
            pictures = pictures - reference
        if self.reference != "features":
            maps = self.backbone.maps(pictures)
            return lambda stage: stage(maps)
        if not self.training:
            maps, compared = self.backbone.maps(pictures), self.backbone.maps(reference)
            return lambda stage: stage(maps) - stage(compared)
        # In one batch, so that norms treat both alike, as in use. In batches of their own, pictures
        # and neutral references would each be normalised by statistics of their own.
        both = self.backbone.maps(torch.cat([pictures, reference]))
        return lambda stage: torch.sub(*stage(both).chunk(2))

    def forward(self, pictures, reference=None):
        read = self.reader(pictures, reference)
        features = read(self.backbone.features)  # [N,F]
        out = {}
        for name, head in self.heads.items():
            out |= head(read(self.stages[name]) if name in self.stages else features)
        if "au_present" in out:
            out.setdefault("au", out["au_present"])
        return out | {"features": features}


def rename_earlier(module, state, prefix, *_):
    """Rename the weights of checkpoints that were written before backbones and heads had names."""
    for key in list(state):
        first, dot, rest = key.removeprefix(prefix).partition(".")
        if key.startswith(prefix) and first in EARLIER_NAMES:
            state[f"{prefix}{EARLIER_NAMES[first]}.{rest}"] = state.pop(key)


@torch.no_grad()
def predict(net, pixels, reference=None, batch=500):
    """What the network says of uint8 [N,H,W,3] pixels: dict of float32 tensors [N,…]. Leaves net
    in eval mode.

    reference: function of a slice of rows that gives their reference pixels, where the network
    compares."""
    from lib.device_data import to_float

    net.eval()
    parts = []
    for start in range(0, len(pixels), batch):
        rows = slice(start, start + batch)
        compared = [to_float(reference(rows))] if reference else []
        parts.append(net(to_float(pixels[rows]), *compared))
    return {key: torch.cat([part[key] for part in parts]).float() for key in parts[0]}
