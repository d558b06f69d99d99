"""Where pixels of one frame lie in another of its session, for editors that learn from it.

A manifest's column `motion_path` names float16 fields [h,w,4] (lib.rendering.motion): from a pixel
of the frame to the same point in the session's frame at rest, x, y in halves of the picture's
width, and from there to the frame.
"""

import numpy as np
import torch
from torch.nn import functional as F

from lib.cli import BadInput
from lib.manifest import reference

COLUMN = "motion_path"


class Motion:
    """The fields of a training set: float16 [N,4,h,w], NaN where a point is not seen."""

    def __init__(self, manifest, device="cpu"):
        if COLUMN not in manifest.columns:
            raise BadInput(
                f"{manifest.name}: has no column {COLUMN}, from which these settings learn; "
                "render it with rendered_faces --behaviour still, or set w_motion=0"
            )
        packs = [text.rpartition("#") for text in manifest.columns[COLUMN]]
        arrays = {
            name: np.load(reference(manifest.folder, name), mmap_mode="r")
            for name in dict.fromkeys(p[0] for p in packs)
        }
        fields = np.stack([arrays[name][int(number)] for name, _, number in packs])
        self.fields = torch.from_numpy(fields).permute(0, 3, 1, 2).contiguous().to(device)

    def between(self, source, true, mirrored):
        """The flow that makes frames `true` from frames `source` (int64 [P] each), float [P,2,h,w]
        in halves of the width: from a pixel of `true` to the same point of `source`. mirrored:
        bool [P], of pictures that are flipped.

        to_rest(true), then from_rest(source) there: flow(p) = d(p) + u(p + d(p))."""
        to_rest, from_rest = self.fields[true, :2].float(), self.fields[source, 2:].float()
        height, width = to_rest.shape[2:]
        y = (torch.arange(height, device=to_rest.device) * 2 + 1) / height - 1
        x = (torch.arange(width, device=to_rest.device) * 2 + 1) / width - 1
        # [h,w,2]
        here = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)
        place = (here + to_rest.permute(0, 2, 3, 1)).nan_to_num(-9)
        known = (~from_rest.isnan()).float()
        read = lambda values: F.grid_sample(
            values, place, padding_mode="border", align_corners=False
        )
        share = read(known[:, :1])
        flow = to_rest + torch.where(
            share > 0.6, read(from_rest.nan_to_num()) / share.clamp(min=0.1), torch.nan
        )
        across = torch.linspace(-1, 1, 2, device=flow.device)[:, None, None]
        return torch.where(mirrored.view(-1, 1, 1, 1).to(flow.device), flow.flip(3) * across, flow)


def motion_loss(flow, true):
    """How far a flow [P,2,S,S] is from the true one [P,2,h,w] (NaN unknown), in shares of the
    picture's width / 64.

    Points that move count more, up to 1 + their distance in that unit: most of a face is still."""
    flow = F.adaptive_avg_pool2d(flow, true.shape[2:]) * 32
    known = ~true.isnan().any(1, keepdim=True)
    true = true.nan_to_num() * 32
    weight = known * (1 + true.norm(dim=1, keepdim=True).clamp(max=4))
    return (weight * (flow - true).abs()).sum() / (2 * weight.sum()).clamp(min=1)
