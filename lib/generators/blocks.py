"""Building blocks that several generators share."""
import torch
from torch import nn
from torch.nn import functional as F


def normalisation(kind, channels):
    """'instance': affine InstanceNorm without running statistics, as the papers have it.

    'group': GroupNorm over 8 channels. InstanceNorm subtracts each channel's mean over the image,
    and with it the constant that a tiled condition adds: the published networks see their
    condition mostly at the zero-padded borders. GroupNorm lets it through, and small networks then
    obey sooner."""
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if kind == "group":
        return nn.GroupNorm(max(1, channels // 8), channels)
    return nn.Identity()


def convolve(inputs, outputs, kernel, stride=1, norm="none", activation=None):
    """Convolution (no bias before a norm), norm, activation ('relu', 'leaky', None)."""
    padding = (kernel - stride + 1) // 2
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=norm == "none"),
              normalisation(norm, outputs), activate(activation)]
    return nn.Sequential(*layers)


def upconvolve(inputs, outputs, norm="none", activation=None):
    """ConvTranspose 4, stride 2: doubles height and width."""
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=norm == "none"),
                         normalisation(norm, outputs), activate(activation))


def activate(kind):
    """LeakyReLU's slope is the papers' 0.01."""
    return {"relu": nn.ReLU, "leaky": lambda: nn.LeakyReLU(0.01), None: nn.Identity}[kind]()


def tile(condition, features):
    """[N,C] -> [N,C,H,W] as large as `features`."""
    return condition[:, :, None, None].expand(-1, -1, *features.shape[2:])


def flow_warp(pictures, flow):
    """Move pixels: out(p) = pictures(p + flow(p)), bilinear, the border repeated.

    pictures [N,3,H,W]; flow [N,2,H,W] in halves of the image's width (2 = the whole width)."""
    n, _, height, width = pictures.shape
    y = (torch.arange(height, device=flow.device, dtype=flow.dtype) * 2 + 1) / height - 1
    x = (torch.arange(width, device=flow.device, dtype=flow.dtype) * 2 + 1) / width - 1
    # [H,W,2]
    grid = torch.stack([x[None, :].expand(height, width), y[:, None].expand(height, width)], -1)
    return F.grid_sample(pictures, grid[None] + flow.permute(0, 2, 3, 1), mode="bilinear",
                         padding_mode="border", align_corners=False)


class PatchDiscriminator(nn.Module):
    """Convolutional discriminator with a patch head (real or generated) and a regression head
    (AUs).

    Ling et al. 2020: conv5s2 to `width`, then conv4s2 doubling to 2 x 2; no norm, no bias;
    LeakyReLU 0.01; heads conv3 -> 1 and conv(whole) -> C. stem > 1 starts from space-to-depth
    blocks instead, which moves the work away from full resolution; label_bias gives the label
    head a bias."""

    def __init__(self, outputs, size, width=64, layers=6, stem=1, most=32, label_bias=True):
        super().__init__()
        self.stem = stem
        if stem > 1:
            body = [convolve(3 * stem * stem, width, 3, activation="leaky")]
            side = size // stem
        else:
            body = [nn.Sequential(nn.Conv2d(3, width, 5, 2, 2, bias=False), activate("leaky"))]
            side = (size + 1) // 2
        channels = width
        for _ in range(layers - 1):
            if side < 2:  # the image is used up: small ones get fewer layers
                break
            wider = min(channels * 2, width * most)
            body.append(nn.Sequential(nn.Conv2d(channels, wider, 4, 2, 1, bias=False),
                                      activate("leaky")))
            channels, side = wider, side // 2
        self.body = nn.Sequential(*body)
        self.patch = nn.Conv2d(channels, 1, 3, 1, 1, bias=False)
        self.labels = nn.Conv2d(channels, outputs, side, bias=label_bias)

    def forward(self, pictures):
        """[N,3,S,S] -> patch scores [N,1,h,w], label readings [N,C]."""
        if self.stem > 1:
            pictures = F.pixel_unshuffle(pictures, self.stem)
        features = self.body(pictures)
        return self.patch(features), self.labels(features).flatten(1)


MOST = 0.99  # of an image's pixels, where edits are added to them: atanh of 1 is infinite


def painted(colour, image=None):
    """What a generator's last convolution gives, [N,3,S,S], as a picture in [-1, 1]: tanh(colour),
    every pixel anew; or, added to an image, tanh(colour + atanh(image)): 0 leaves the image."""
    if image is None:
        return colour.tanh()
    return (colour + torch.atanh(image.clamp(-MOST, MOST))).tanh()
