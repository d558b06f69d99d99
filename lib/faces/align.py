"""Registration: a face brought to one place and size (crop), also upright (2D), also frontal (3D).

K. Niinuma et al., "Facial Action Unit Intensity Estimation with Synthetic Expressions", 2022, 3.1
and 4.3 (2D Procrustes; a dense mesh rotated to the canonical frontal view and rasterised,
self-occluded parts black), and the Expression Manipulator's square landmark crop x 1.1. These
share one frame: the square around the landmarks, 1.1 times as wide. `tight`, brows to chin, is how
lib.rendering frames its faces.
"""
import functools
from pathlib import Path

import numpy as np

from lib.faces import models
from lib.faces.geometry import affine, similarity, warp
from lib.faces.landmarks import LEFT_EYE, RIGHT_EYE
from lib.faces.raster import normals, rasterise

MODES = ("crop", "2d", "3d", "tight")
ROOM = 1.1          # side of the square over the landmarks' box
SUPERSAMPLING = 2
BUFFER = 160        # samples across a face in the depth buffer of its own view
NEAR_ENOUGH = 0.02  # of the face's size: what lies this little behind the surface is the surface
BROWS, CHIN = (105, 334), 152
# of brow to chin: the frame's height, how far its middle lies below theirs
TIGHT_HEIGHT, TIGHT_DROP = 1.23, -0.055
# cosine: skin that the photo shows more aslant is smeared, and mixed with the background
LEAST_FACING = 0.12

# Points that expressions move least: eye corners, bridge and base of the nose, temples, forehead.
STABLE = np.array([33, 133, 362, 263, 168, 6, 197, 195, 2, 98, 327, 127, 356, 234, 454, 162, 389,
                   21, 251, 54, 284, 103, 332, 67, 297, 109, 338, 10])


def name(mode, size):
    """How manifests and models call a registration: '3d-128'."""
    return f"{mode}-{size}"


@functools.lru_cache(maxsize=1)
def template():
    """The average frontal face, float64 [468,3], in sides of the registered picture: x and y in
    (0, 1)."""
    path = Path(__file__).with_name("template.csv")
    return np.loadtxt(path, delimiter=",", skiprows=1)


@functools.lru_cache(maxsize=1)
def triangles():
    """The mesh over the points, int [T,3]: Delaunay's of the frontal template, mouth and eyes
    filled, clockwise as seen."""
    from scipy.spatial import Delaunay

    found = Delaunay(template()[:, :2]).simplices.astype(int)
    a, b, c = (template()[found[:, k], :2] for k in range(3))
    clockwise = (b - a)[:, 0] * (c - a)[:, 1] > (b - a)[:, 1] * (c - a)[:, 0]
    return np.where(clockwise[:, None], found, found[:, ::-1])


def square(points, size):
    """The affine matrix [2,3] of the crop: the landmarks' square x 1.1 becomes size x size."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    scale = size / (ROOM * float((high - low).max()))
    return affine(scale, np.eye(2), size / 2 - scale * (low + high) / 2)


def upright(points, size):
    """The affine matrix [2,3] of 2D registration: the similarity (Procrustes) to the frontal
    template."""
    return affine(*similarity(points[STABLE, :2], template()[STABLE, :2] * size))


def tight(points, size):
    """The affine matrix [2,3] of the framing of rendered faces (lib.rendering.scene): level eyes,
    brows to chin and little more, the face's middle in the middle."""
    brow, chin = points[list(BROWS), :2].mean(0), points[CHIN, :2]
    across = points[LEFT_EYE, :2] - points[RIGHT_EYE, :2]
    angle = np.arctan2(across[1], across[0])
    level = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    height = (level @ (chin - brow))[1]
    scale = size / (TIGHT_HEIGHT * max(float(height), 1e-3))
    eyes = level @ (points[LEFT_EYE, :2] + points[RIGHT_EYE, :2]) / 2
    middle = np.array([eyes[0], (level @ (brow + chin))[1] / 2 + TIGHT_DROP * height])
    return affine(scale, level, size / 2 - scale * middle)


MATRICES = {"crop": square, "2d": upright, "tight": tight}


def frontal(points, size):
    """The mesh in the frontal canonical view, float [468,3], pixels of the registered picture."""
    scale, rotation, shift = similarity(points[STABLE], template()[STABLE] * size)
    return scale * points @ rotation.T + shift


def register(image, face, mode, size):
    """A registered face: (picture uint8 [size,size,3], mask bool [size,size] of what the photo
    shows of it).

    image: uint8 [H,W,3] RGB; face: landmarks.Face; mode: one of MODES. The 2D masks say which
    pixels lie in the photo, the 3D mask which parts of the face are neither beyond the mesh nor
    self-occluded."""
    if mode == "3d":
        return retexture(image, face.points, frontal(face.points, size), size)
    matrix = MATRICES[mode](face.points, size)
    inside = warp(np.full(image.shape[:2], 255, np.uint8), matrix, size)
    return warp(image, matrix, size), inside > 127


def retexture(image, source, target, size):
    """The face with its mesh at `target` and its skin from a picture in which the mesh is at
    `source`.

    source, target: float [468,3] in pixels of the picture and of the result. Parts that the
    picture does not show are black. Returns (uint8 [size,size,3], mask bool [size,size])."""
    cv2, mesh = models.opencv(), triangles()
    fine = size * SUPERSAMPLING
    samples = rasterise(target * SUPERSAMPLING, mesh, fine, fine)
    # [fine,fine,3] in the picture
    places = samples.interpolate(np.asarray(source, np.float64), mesh)
    seen = samples.hit & visible(source, samples.triangle, samples.weights, places)
    # shrink the picture to about the samples' spacing first, so that it does not alias
    low, high = source[:, :2].min(0) - 2, source[:, :2].max(0) + 2
    area = np.ptp(target[:, 0]) * np.ptp(target[:, 1])
    spacing = float(np.sqrt(area / max(np.prod(high - low), 1e-9)))
    scale = min(1.0, spacing * SUPERSAMPLING)
    extent = np.maximum(np.ceil((high - low) * scale), 1).astype(int)
    texture = warp(image, affine(scale, np.eye(2), -low * scale), (extent[1], extent[0]),
                   black=False)
    at = ((places[..., :2] - low) * scale - 0.5).astype(np.float32)
    colours = cv2.remap(texture, at[..., 0], at[..., 1], cv2.INTER_LINEAR,
                        borderMode=cv2.BORDER_REPLICATE)
    inside = ((places[..., :2] >= 0) & (places[..., :2] <= image.shape[1::-1])).all(-1)
    return _reduce(colours, seen & inside)


def _reduce(colours, seen):
    """Samples averaged to pixels; a pixel counts as seen when half of its samples are."""
    places = [(i, k) for i in range(SUPERSAMPLING) for k in range(SUPERSAMPLING)]
    # slices in place of reshape and sum, which walks memory in small steps
    fold = lambda array: sum(array[i::SUPERSAMPLING, k::SUPERSAMPLING] for i, k in places)
    weight = fold(seen.astype(np.float64))[..., None]
    mask = weight[..., 0] >= SUPERSAMPLING**2 / 2
    mean = fold(colours * seen[..., None].astype(np.float64)) / np.maximum(weight, 1)
    return (mean.round() * mask[..., None]).astype(np.uint8), mask


def visible(source, triangle, weights, places):
    """bool [H,W]: whether the picture shows these parts of the face, or itself hides them.

    source: float [468,3], the mesh in the picture; triangle, weights: which part, as in
    raster.Samples; places: float [H,W,3], where it lies in the picture."""
    cv2, mesh = models.opencv(), triangles()
    low, high = source[:, :2].min(0), source[:, :2].max(0)
    scale = BUFFER / float((high - low).max())
    shifted = (source - [*low, 0]) * scale + [2, 2, 0]
    extent = np.ceil((high - low) * scale).astype(int) + 4
    depth = rasterise(shifted, mesh, extent[1], extent[0]).depth
    # slopes are steep at the rim
    depth = cv2.dilate(np.where(np.isinf(depth), -1e9, depth), np.ones((3, 3)))
    column = np.clip((places[..., 0] - low[0]) * scale + 2, 0, extent[0] - 1).astype(int)
    row = np.clip((places[..., 1] - low[1]) * scale + 2, 0, extent[1] - 1).astype(int)
    toward = normals(source, mesh)[mesh[np.maximum(triangle, 0)], 2]  # [H,W,3] at the corners
    return ((toward * weights).sum(-1) < -LEAST_FACING) & \
        (places[..., 2] * scale <= depth[row, column] + NEAR_ENOUGH * BUFFER)
