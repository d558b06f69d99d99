"""Compact CNNs for 2 CPU cores or a phone.

They start with a space-to-depth step, which keeps every pixel and spares the costly layers of high
resolution. They keep *where* a feature was seen up to the last layer: faces are registered, so
AU01 is always near the upper edge.
"""

import torch.nn.functional as F
from torch import nn

#          space-to-depth, width of each stage, blocks a stage, features
DESIGNS = {
    "tiny": (4, (16, 32), 1, 32),  # tests, PRESET=smoke
    "compact": (4, (48, 96, 192), 1, 192),
    "wide": (2, (48, 96, 192, 384), 2, 384),  # for a GPU
}
LARGEST_MAP = 6  # stages of the last width are added until the map is at most 6 x 6
SQUEEZED = 64  # channels of the map that the last layer reads


def plain_stage(before, after, stride, blocks):
    """`blocks` times convolution, batch norm, ReLU; the first one strides."""
    layers = []
    for block in range(blocks):
        first = block == 0
        convolution = nn.Conv2d(
            before if first else after, after, 3, stride if first else 1, 1, bias=False
        )
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(True)]
    return nn.Sequential(*layers)


class Compact(nn.Module):
    """Pictures float [N,3,S,S] in [-1, 1] -> features [N,F]; F is `width`.

    size: S; design: as in DESIGNS; stage: a function like `plain_stage` that builds one stage."""

    def __init__(self, size, dropout, design, stage=plain_stage):
        super().__init__()
        self.fold, widths, blocks, self.width = design
        widths, edge = list(widths), -(-size // self.fold)
        for _ in widths[1:]:
            edge = -(-edge // 2)
        while edge > LARGEST_MAP:
            edge = -(-edge // 2)
            widths.append(widths[-1])
        first = nn.Conv2d(3 * self.fold**2, widths[0], 3, padding=1, bias=False)
        layers = [first, nn.BatchNorm2d(widths[0]), nn.ReLU(True)]
        for before, after in zip([widths[0], *widths], widths):
            stride = 1 if before == after and len(layers) == 3 else 2
            layers.append(stage(before, after, stride, blocks))
        self.trunk = nn.Sequential(*layers)
        squeeze = nn.Conv2d(widths[-1], SQUEEZED, 1, bias=False)
        self.squeeze = nn.Sequential(squeeze, nn.BatchNorm2d(SQUEEZED), nn.ReLU(True))
        self.inputs, self.dropout = SQUEEZED * edge**2, dropout
        self.features = self.make_stage()

    def make_stage(self):
        """A new last stage: maps -> features [N,F]."""
        joined = nn.Linear(self.inputs, self.width)
        return nn.Sequential(nn.Flatten(), nn.Dropout(self.dropout), joined, nn.ReLU(True))

    def maps(self, pictures):
        """What every last stage reads, [N,64,E,E]."""
        height, width = pictures.shape[2:]
        if height % self.fold or width % self.fold:
            pictures = F.pad(pictures, (0, -width % self.fold, 0, -height % self.fold))
        folded = F.pixel_unshuffle(pictures, self.fold)  # [N,3*fold*fold,S/fold,S/fold]
        return self.squeeze(self.trunk(folded))

    def forward(self, pictures):
        return self.features(self.maps(pictures))  # [N,F]
