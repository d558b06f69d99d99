"""Backbones of torchvision, with ImageNet's weights, those of a file, or none.

`vgg16` is that of Niinuma et al. 2022: the fully connected layers up to the last but one are kept,
and with pretrained weights only the layers from the third convolution on are trained. Their
settings: `--arch vgg16 --tasks au_level --losses au_level=ce --pretrained imagenet --dropout 0.5
--optimiser adam --learning-rate 5e-5 --epochs 10 --size 224`.
"""

import contextlib
import io
from pathlib import Path

import torch
from torch import nn

from lib.cli import BadInput

#         name: (constructor, weights, where its last linear layer is)
NAMES = {
    "vgg16": ("vgg16", "VGG16_Weights", "classifier.6"),
    "resnet18": ("resnet18", "ResNet18_Weights", "fc"),
    "resnet50": ("resnet50", "ResNet50_Weights", "fc"),
    "mobilenet_v3": ("mobilenet_v3_large", "MobileNet_V3_Large_Weights", "classifier.3"),
    "convnext_tiny": ("convnext_tiny", "ConvNeXt_Tiny_Weights", "classifier.2"),
}
HAVE_DROPOUT = ("vgg16", "mobilenet_v3")  # torchvision's own, before the last layer
FROZEN = {"vgg16": 5}  # layers of `features` before the third convolution
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, on [0, 1]


class Backbone(nn.Module):
    """Pictures float [N,3,S,S] in [-1, 1] -> features [N,F]; F is `width`."""

    def __init__(self, size, dropout, name):
        from torchvision import models  # takes a second to import

        super().__init__()
        self.name = name
        constructor, _, last = NAMES[name]
        own = {"dropout": dropout} if name in HAVE_DROPOUT else {}
        self.net = getattr(models, constructor)(weights=None, **own)
        self.width = self.net.get_submodule(last).in_features
        self.net.set_submodule(last, nn.Identity() if own else nn.Dropout(dropout))
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)

        self.features = nn.Identity()

    def make_stage(self):
        """A new last stage: maps -> features [N,F]."""
        return nn.Sequential(nn.Linear(self.width, self.width), nn.ReLU())

    def maps(self, pictures):
        """What every last stage reads, [N,F]."""
        return self.net(((pictures + 1) / 2 - self.mean) / self.deviation)

    def forward(self, pictures):
        return self.features(self.maps(pictures))  # [N,F]

    def load_pretrained(self, source):
        """Take over weights: 'imagenet', or a file of torchvision's weights. BadInput says what is
        wrong."""
        weights = imagenet(self.name) if source == "imagenet" else of_file(source)
        last = NAMES[self.name][2] + "."
        weights = {key: value for key, value in weights.items() if not key.startswith(last)}
        try:
            self.net.load_state_dict(weights)
        except RuntimeError:
            raise BadInput(
                f"--pretrained {source}: its weights are not those of {self.name}; "
                "give the file of this network"
            ) from None
        self.freeze()

    def freeze(self):
        """Let the layers that stay as ImageNet taught them learn no more."""
        layers = self.net.features[: FROZEN[self.name]].parameters() if self.name in FROZEN else ()
        for parameter in layers:
            parameter.requires_grad_(False)


def imagenet(name):
    """torchvision's ImageNet weights, downloaded once into torch's own cache."""
    from torchvision import models

    weights = getattr(models, NAMES[name][1]).DEFAULT
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # where torch announces the download
            return weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError):  # no network; a download that was cut
        raise BadInput(
            f"--pretrained imagenet: {weights.url} cannot be downloaded here; "
            "download it elsewhere and say --pretrained FILE, or say --pretrained none"
        ) from None


def of_file(path):
    """The weights in a file of torch, {name: tensor}."""
    if not Path(path).is_file():
        raise BadInput(
            f"--pretrained {path}: no such file; say imagenet, none, or a file of weights"
        )
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds for files that are no weights
        weights = None
    if not isinstance(weights, dict):
        raise BadInput(
            f"--pretrained {path}: not a file of weights; give one that torch.save wrote"
        )
    return weights
