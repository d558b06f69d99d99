"""The judge: a residual network of another design than the compact ones, so that it errs
otherwise.

He et al. 2016, "Identity Mappings in Deep Residual Networks", with squeeze-and-excitation (Hu et
al. 2018). It reads the images that a generator has edited.
"""

from torch import nn

DESIGN = (4, (64, 128, 192), 2, 256)  # as in lib.classifiers.compact


def residual_stage(before, after, stride, blocks):
    """`blocks` residual blocks; the first one strides."""
    first = Residual(before, after, stride)
    return nn.Sequential(first, *(Residual(after, after, 1) for _ in range(blocks - 1)))


class Residual(nn.Module):
    """[N,C,H,W] -> [N,D,H/s,W/s]: a bottleneck of convolutions with squeeze-and-excitation, added
    to the input (averaged and projected where the shape changes)."""

    def __init__(self, before, after, stride):
        super().__init__()
        inner = after // 2
        self.body = nn.Sequential(
            nn.Conv2d(before, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.SiLU(True),
            nn.Conv2d(inner, inner, 3, stride, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.SiLU(True),
            nn.Conv2d(inner, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.excite = nn.Sequential(
            nn.Linear(after, after // 8), nn.SiLU(True), nn.Linear(after // 8, after)
        )
        nn.init.zeros_(self.body[-1].weight)  # every block starts as the identity
        self.short = nn.Identity()
        if stride > 1 or before != after:
            pool = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)
            project = nn.Conv2d(before, after, 1, bias=False)
            self.short = nn.Sequential(pool, project, nn.BatchNorm2d(after))
        self.act = nn.SiLU(True)

    def forward(self, x):
        change = self.body(x)  # [N,D,H/s,W/s]
        gate = self.excite(change.mean((2, 3))).sigmoid()[:, :, None, None]  # [N,D,1,1]
        return self.act(self.short(x) + change * gate)
