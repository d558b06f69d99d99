"""A z-buffer rasteriser in NumPy for meshes of a thousand triangles: about 10 ms for 256 x 256
samples."""
from dataclasses import dataclass

import numpy as np


@dataclass
class Samples:
    """What the samples of a picture hit. triangle: int [H,W], -1 for nothing; weights: float
    [H,W,3] of its corners; depth: float [H,W], infinite for nothing."""

    triangle: np.ndarray
    weights: np.ndarray
    depth: np.ndarray

    @property
    def hit(self):
        """bool [H,W]: samples that lie on the mesh."""
        return self.triangle >= 0

    def interpolate(self, values, triangles):
        """Values at corners, float [P,D], at the samples: [H,W,D]; 0 where nothing was hit."""
        corners = values[triangles[np.maximum(self.triangle, 0)]]  # [H,W,3,D]
        return np.einsum("hwk,hwkd->hwd", self.weights * self.hit[..., None], corners)


def rasterise(points, triangles, height, width):
    """The nearest triangle at each sample.

    points: float [P,3], x and y in samples (centres at .5), smaller depth is nearer; triangles:
    int [T,3], either way round. Returns Samples [height,width]."""
    corners = np.asarray(points, np.float64)[triangles]  # [T,3,3]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    limits = np.array([width, height])
    low = np.clip(np.ceil(corners[..., :2].min(1) - 0.5), 0, limits).astype(int)
    high = np.clip(np.floor(corners[..., :2].max(1) - 0.5) + 1, 0, limits).astype(int)
    span = np.maximum(high - low, 0)
    counts = np.where(np.abs(area) > 1e-9, span.prod(1), 0)
    # one entry for each sample of each bounding box
    which = np.repeat(np.arange(len(triangles)), counts)
    place = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    column = low[which, 0] + place % np.maximum(span[which, 0], 1)
    row = low[which, 1] + place // np.maximum(span[which, 0], 1)
    x, y, a, b, c = column + 0.5, row + 0.5, a[which], b[which], c[which]
    u = ((b[:, 0] - x) * (c[:, 1] - y) - (b[:, 1] - y) * (c[:, 0] - x)) / area[which]
    v = ((c[:, 0] - x) * (a[:, 1] - y) - (c[:, 1] - y) * (a[:, 0] - x)) / area[which]
    w = 1 - u - v
    inside = (u >= -1e-9) & (v >= -1e-9) & (w >= -1e-9)
    depth = u * a[:, 2] + v * b[:, 2] + w * c[:, 2]
    order = np.flatnonzero(inside)
    # far to near: the last to write is the nearest
    order = order[np.argsort(-depth[order], kind="stable")]
    pixel = row[order] * width + column[order]
    out = Samples(np.full(height * width, -1), np.zeros((height * width, 3)), np.full(height * width, np.inf))
    out.triangle[pixel] = which[order]
    out.weights[pixel] = np.stack([u, v, w], 1)[order]
    out.depth[pixel] = depth[order]
    return Samples(out.triangle.reshape(height, width), out.weights.reshape(height, width, 3),
                   out.depth.reshape(height, width))


def normals(points, triangles):
    """Unit normals at the points, float [P,3]; those of triangles that run clockwise as seen (y
    down) have a negative depth, which is towards the camera. Triangles weigh by their area."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    turned = -np.cross(b - a, c - a)
    total = np.stack([np.bincount(triangles.ravel(), np.repeat(turned[:, k], 3), len(points)) for k in range(3)], 1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
