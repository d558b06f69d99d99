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
        hit = self.hit
        corners = values[triangles[self.triangle[hit]]]  # [hits,3,D]
        out = np.zeros((*hit.shape, values.shape[1]))
        out[hit] = np.einsum("nk,nkd->nd", self.weights[hit], corners)
        return out


def rasterise(points, triangles, height, width):
    """The nearest triangle at each sample.

    points: float [P,3], x and y in samples (centres at .5), smaller depth is nearer; triangles:
    int [T,3], either way round. Returns Samples [height,width]."""
    corners = np.asarray(points, np.float64)[triangles]  # [T,3,3]
    limits = np.array([width, height])
    low = np.clip(np.ceil(corners[..., :2].min(1) - 0.5), 0, limits).astype(int)
    high = np.clip(np.floor(corners[..., :2].max(1) - 0.5) + 1, 0, limits).astype(int)
    span = np.maximum(high - low, 0)
    planes, area = barycentric(corners)
    counts = np.where(np.abs(area) > 1e-9, span.prod(1), 0)
    # one entry for each sample of each bounding box
    which = np.repeat(np.arange(len(triangles)), counts)
    place = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(place, np.maximum(span[which, 0], 1))
    row, column = row + low[which, 1], column + low[which, 0]
    u, v = (a[which] + b[which] * (column + 0.5) + c[which] * (row + 0.5) for a, b, c in planes)
    inside = np.flatnonzero((u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9))
    which, u, v = which[inside], u[inside], v[inside]
    weights = np.stack([u, v, 1 - u - v], 1)
    depth = (weights * corners[..., 2][which]).sum(1)
    pixel = row[inside] * width + column[inside]
    # far to near: the last to write is the nearest
    order = np.argsort(-depth, kind="stable")
    pixel = pixel[order]
    out = Samples(
        np.full(height * width, -1), np.zeros((height * width, 3)), np.full(height * width, np.inf)
    )
    out.triangle[pixel] = which[order]
    out.weights[pixel] = weights[order]
    out.depth[pixel] = depth[order]
    return Samples(
        out.triangle.reshape(height, width),
        out.weights.reshape(height, width, 3),
        out.depth.reshape(height, width),
    )


def barycentric(corners):
    """The weights of a triangle's first two corners as planes over the picture: u = a + b x + c y.

    corners: float [T,3,3]. Returns [(a, b, c) of u, (a, b, c) of v], each [T], and twice the
    signed area [T]; planes of triangles without area are 0."""
    (ax, ay), (bx, by), (cx, cy) = (corners[:, k, :2].T for k in range(3))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    scale = np.divide(1.0, area, out=np.zeros_like(area), where=np.abs(area) > 1e-9)
    u = (bx * cy - by * cx, by - cy, cx - bx)
    v = (cx * ay - cy * ax, cy - ay, ax - cx)
    return [tuple(part * scale for part in plane) for plane in (u, v)], area


def normals(points, triangles):
    """Unit normals at the points, float [P,3]; those of triangles that run clockwise as seen (y
    down) have a negative depth, which is towards the camera. Triangles weigh by their area."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    turned = -np.cross(b - a, c - a)
    total = np.stack([np.bincount(triangles.ravel(), np.repeat(turned[:, k], 3), len(points))
                      for k in range(3)], 1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
