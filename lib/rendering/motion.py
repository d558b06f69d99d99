"""Where the skin goes when a face acts: exact flow between a frame and the same frame at rest.

Both are one head in one pose before one camera, so that a vertex of the one is a vertex of the
other. Editors that move pixels learn from it (lib.generators.motion); a photograph tells nobody
where its skin came from.
"""

import numpy as np
import torch
import torch.nn.functional as functional

COARSER = 4  # samples a side of a cell: half the picture's resolution, at a supersampling of 2
CHANNELS = 4  # to rest x, y; from rest x, y
LEAST = 0.5  # a cell is known where this share of its samples is


def displacements(raster, seen, other, n):
    """From each sample of one picture to where the other picture shows the same point: float
    [B,2,n,n], in samples, NaN where the other does not show it. seen, other: (screen [B,V,3], kind
    int [B,n,n])."""
    (screen, kind), (there, kind_there) = seen, other
    # [B,2,n,n]
    place = torch.stack(
        [raster.spread(screen, there[..., axis].contiguous(), n) for axis in (0, 1)], 1
    )
    line = torch.arange(n, device=place.device) + 0.5
    here = torch.stack([line.expand(n, n), line[:, None].expand(n, n)])  # [2,n,n]
    away = torch.where((kind < 0)[:, None], torch.zeros_like(place), place - here)
    column, row = ((here + away).floor().long().clamp(0, n - 1)).unbind(1)
    shown = kind_there.flatten(1).gather(1, (row * n + column).flatten(1)).view_as(kind)
    return torch.where((shown == kind)[:, None], away, torch.nan)


def cells(away):
    """Displacements [B,2,n,n] as means of cells, [B,2,n/4,n/4], in halves of the picture's width;
    NaN where unknown."""
    known = ~away.isnan()
    share = functional.avg_pool2d(known.float(), COARSER)
    mean = functional.avg_pool2d(away.nan_to_num(), COARSER) / share.clamp(min=1e-6)
    return torch.where(share >= LEAST, mean * 2 / away.shape[-1], torch.nan)


def motion(room, neutral, scenes, frames):
    """The motion of frames, float16 [B,S/2,S/2,4], arguments as of Studio.frames: where a pixel of
    the frame is in the frame at rest (x, y from here, in halves of the width), and where one of
    the frame at rest is in the frame."""
    at_rest = frames | {side: np.zeros_like(frames[side]) for side in ("left", "right")}
    views = []
    for shown in (frames, at_rest):
        view, _, _, kind, _ = room.samples(neutral, scenes, shown)
        views.append((view.screen.contiguous(), kind))
    acting, resting = views
    fields = [
        cells(displacements(room.raster, *pair, room.n))
        for pair in ((acting, resting), (resting, acting))
    ]
    return torch.cat(fields, 1).permute(0, 2, 3, 1).half().cpu().numpy()
