"""Cast shadows of the key light: brows shade eyes, noses shade cheeks, lips shade chins.

A shadow map (L. Williams, "Casting curved shadows on curved surfaces", 1978): what the lamp does
not see is in shadow. It is asked at the vertices and interpolated, so that edges are soft.
"""
import torch
import torch.nn.functional as functional

SIDE = 160        # samples of the lamp's picture
EXTENT = 0.26     # metres that it shows
BIAS = 0.004      # metres that a surface may lie behind what the lamp sees


def reached(raster, points, key):
    """How much of the key light reaches each vertex, float [B,V] in [0, 1].

    points: float [B,V,3], camera space, metres; key: float [B,3], unit vectors towards the
    lamp."""
    away = -key
    up = torch.tensor([0.0, 0.0, 1.0], device=points.device).expand_as(away)
    right = functional.normalize(torch.linalg.cross(away, up), dim=-1)
    up = torch.linalg.cross(right, away)
    middle = points.mean(1, keepdim=True)
    along = lambda axis: torch.einsum("bvi,bi->bv", points - middle, axis)
    column = (along(right) / EXTENT + .5) * SIDE
    row = (.5 - along(up) / EXTENT) * SIDE
    depth = along(away) + 1.0
    seen = raster.depth(torch.stack([column, row, depth], -1), SIDE)
    # a lamp has an extent: of the 3 x 3 samples around a vertex, how many see it
    grid = torch.stack([column, row], -1)[:, None] / SIDE * 2 - 1
    total = 0
    for dx in (-1.2, 0, 1.2):
        for dy in (-1.2, 0, 1.2):
            moved = grid + torch.tensor([dx, dy], device=points.device) * 2 / SIDE
            found = functional.grid_sample(seen.clamp(max=9)[:, None], moved, mode="nearest",
                                           align_corners=False, padding_mode="border")[:, 0, 0]
            total = total + torch.sigmoid((found + BIAS - depth) / .001)
    return total / 9
