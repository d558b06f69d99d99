"""Classifiers of action units, valence/arousal and expressions: compact CNNs, their masked losses, thresholds.

`compact` is a plain strided CNN for 2 CPU cores or a phone; `judge` is a residual network of another design
(He et al. 2016, "Identity Mappings in Deep Residual Networks", with squeeze-and-excitation, Hu et al. 2018),
used only to read AUs in edited images. Both start with a space-to-depth step, which keeps every pixel and
spares the costly high-resolution layers, and both keep *where* a feature was seen up to the last layer:
faces are registered, so AU01 is always near the upper edge.

>>> net = build({"architecture": "compact", "size": 64, "aus": 20, "valence_arousal": False, "expressions": 0})
>>> net(torch.zeros(5, 3, 64, 64))["au"].shape
torch.Size([5, 20])
"""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

#            space-to-depth, width of each stage, blocks a stage, features
ARCHITECTURES = {
    "tiny": ("plain", 4, (16, 32), 1, 32),                # tests, PRESET=smoke
    "compact": ("plain", 4, (48, 96, 192), 1, 192),
    "wide": ("plain", 2, (48, 96, 192, 384), 2, 384),     # for a GPU
    "judge": ("residual", 4, (64, 128, 192), 2, 256),
}
EXPRESSION_WEIGHT = 0.1  # brings cross-entropy (about 2 at first) near the squared errors, lest it rule the trunk
LARGEST_MAP = 6  # stages of the last width are added until the map is at most 6 x 6


def build(config):
    """The network of a checkpoint's config: architecture, size (pixels), aus (how many), valence_arousal
    (bool), expressions (how many; 0 is none), dropout (default 0.2)."""
    return Classifier(**config)


class Classifier(nn.Module):
    """float [N,3,S,S] in [-1,1] -> dict of `au` [N,A] in [0,1], `valence_arousal` [N,2] in [-1,1],
    `expression` [N,E] probabilities (those it has), and `features` [N,F]."""

    def __init__(self, architecture, size, aus, valence_arousal=False, expressions=0, dropout=0.2):
        super().__init__()
        design, self.fold, widths, blocks, features = ARCHITECTURES[architecture]
        widths, edge = list(widths), -(-size // self.fold)
        for width in widths[1:]:
            edge = -(-edge // 2)
        while edge > LARGEST_MAP:
            edge = -(-edge // 2)
            widths.append(widths[-1])
        stage = {"plain": plain_stage, "residual": residual_stage}[design]
        before = 3 * self.fold**2
        layers = [nn.Conv2d(before, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(True)]
        for before, after in zip([widths[0], *widths], widths):
            layers.append(stage(before, after, 1 if before == after and len(layers) == 3 else 2, blocks))
        self.trunk = nn.Sequential(*layers)
        self.squeeze = nn.Sequential(nn.Conv2d(widths[-1], 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(True))
        self.features = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(64 * edge**2, features),
                                      nn.ReLU(True))
        self.au = nn.Linear(features, aus) if aus else None
        self.valence_arousal = nn.Linear(features, 2) if valence_arousal else None
        self.expression = nn.Linear(features, expressions) if expressions else None

    @torch.no_grad()
    def start_at(self, means):
        """Let an untrained network read every AU's mean [A] (in [0,1]), which saves it the first epochs."""
        self.au.bias.copy_(means.clamp(0.01, 0.99).logit())

    def forward(self, pictures):
        height, width = pictures.shape[2:]
        if height % self.fold or width % self.fold:
            pictures = F.pad(pictures, (0, -width % self.fold, 0, -height % self.fold))
        folded = F.pixel_unshuffle(pictures, self.fold)  # [N,3*fold*fold,S/fold,S/fold]
        features = self.features(self.squeeze(self.trunk(folded)))  # [N,F]
        out = {}
        if self.au is not None:
            out["au"] = self.au(features).sigmoid()  # [N,A]
        if self.valence_arousal is not None:
            out["valence_arousal"] = self.valence_arousal(features).tanh()  # [N,2]
        if self.expression is not None:
            out["expression"] = self.expression(features).softmax(1)  # [N,E]
        out["features"] = features
        return out


def plain_stage(before, after, stride, blocks):
    """`blocks` times convolution, batch norm, ReLU; the first one strides."""
    layers = []
    for block in range(blocks):
        layers += [nn.Conv2d(before if block == 0 else after, after, 3, stride if block == 0 else 1, 1, bias=False),
                   nn.BatchNorm2d(after), nn.ReLU(True)]
    return nn.Sequential(*layers)


def residual_stage(before, after, stride, blocks):
    """`blocks` residual blocks; the first one strides."""
    return nn.Sequential(*(Residual(before if block == 0 else after, after, stride if block == 0 else 1)
                           for block in range(blocks)))


class Residual(nn.Module):
    """[N,C,H,W] -> [N,D,H/s,W/s]: a bottleneck of two convolutions with squeeze-and-excitation, added to
    the input (averaged and projected where the shape changes)."""

    def __init__(self, before, after, stride):
        super().__init__()
        inner = after // 2
        self.body = nn.Sequential(
            nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.SiLU(True),
            nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner), nn.SiLU(True),
            nn.Conv2d(inner, after, 1, bias=False), nn.BatchNorm2d(after))
        self.excite = nn.Sequential(nn.Linear(after, after // 8), nn.SiLU(True), nn.Linear(after // 8, after))
        nn.init.zeros_(self.body[-1].weight)  # every block starts as the identity
        self.short = nn.Identity()
        if stride > 1 or before != after:
            self.short = nn.Sequential(nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False),
                                       nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))
        self.act = nn.SiLU(True)

    def forward(self, x):
        change = self.body(x)  # [N,D,H/s,W/s]
        gate = self.excite(change.mean((2, 3))).sigmoid()[:, :, None, None]  # [N,D,1,1]
        return self.act(self.short(x) + change * gate)


def masked_mse(predicted, true, weight):
    """Mean of weight * (predicted - true)**2 over the labels that are known.

    predicted, true: [N,C], NaN in true is unlabelled and does not act (it is not read as 0); weight: [N].
    A weight below 1 makes a row count less; it does not change what the others count."""
    known = ~true.isnan()  # [N,C]
    error = torch.where(known, predicted.float() - true, 0.0)  # masked before the square: no NaN gradients
    return (weight[:, None] * error.square()).sum() / known.sum().clamp(min=1)


def masked_cross_entropy(probabilities, true, weight):
    """Mean of weight * -log p(true class) over rows whose class is known.

    probabilities: [N,E]; true: int64 [N], -1 is unlabelled; weight: [N]."""
    known = true >= 0  # [N]
    picked = probabilities.float().gather(1, true.clamp(min=0)[:, None])[:, 0]  # [N]
    return torch.where(known, -weight * picked.clamp(min=1e-6).log(), 0.0).sum() / known.sum().clamp(min=1)


def loss(out, true, weight):
    """The weighted sum of the heads' losses, and each as a dict. out: what the network returns; true: a dict with
    the same keys (au [N,A] and valence_arousal [N,2] with NaN, expression int64 [N] with -1); weight: [N]."""
    terms = {}
    for task in ("au", "valence_arousal"):
        if task in out and task in true:
            terms[task] = masked_mse(out[task], true[task], weight)
    if "expression" in out and "expression" in true:
        terms["expression"] = masked_cross_entropy(out["expression"], true["expression"], weight)
    return sum(value * (EXPRESSION_WEIGHT if task == "expression" else 1) for task, value in terms.items()), terms


@torch.no_grad()
def predict(net, pixels, batch=500):
    """What the network says of uint8 [N,H,W,3] pixels: dict of float32 tensors [N,…]. Leaves net in eval mode."""
    from lib.device_data import to_float

    net.eval()
    parts = [net(to_float(pixels[start:start + batch])) for start in range(0, len(pixels), batch)]
    return {key: torch.cat([part[key] for part in parts]).float() for key in parts[0]}


def best_threshold(predicted, present):
    """The threshold with the highest F1 (a reading >= it counts as present), and that F1.

    predicted: float [N] in [0,1]; present: bool [N]. (0.5, nan) where nothing, or everything, is present:
    such data says nothing about a threshold."""
    positives = int(present.sum())
    if positives in (0, len(present)):
        return 0.5, float("nan")
    order = np.argsort(-predicted, kind="stable")
    values, hits = predicted[order].astype(np.float64), np.cumsum(present[order])
    cuts = np.flatnonzero(np.append(values[:-1] != values[1:], True))  # a cut never parts equal readings
    f1 = 2 * hits[cuts] / (cuts + 1 + positives)
    cut = cuts[f1.argmax()]
    below = values[cut + 1] if cut + 1 < len(values) else 0.0
    return float((values[cut] + below) / 2), float(f1.max())
