"""Similarities, rotations and antialiased warps. Points count from the image's corner: pixel
centres lie at .5."""
import numpy as np

from lib.faces import models


def similarity(source, target, weights=None):
    """The similarity that brings source nearest to target in the least-squares sense (Umeyama
    1991).

    source, target: float [P,D], D 2 or 3; weights: float [P] >= 0. Returns (scale, rotation [D,D],
    shift [D]) with target ~ scale * source @ rotation.T + shift; never a mirror image.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    weights = np.full(len(source), 1.0) if weights is None else np.asarray(weights, np.float64)
    weights = (weights / weights.sum())[:, None]
    middle, goal = (weights * source).sum(0), (weights * target).sum(0)
    source, target = source - middle, target - goal
    u, spread, v = np.linalg.svd(target.T @ (weights * source))
    signs = np.ones(len(spread))
    if np.linalg.det(u) * np.linalg.det(v) < 0:
        signs[-1] = -1
    rotation = u @ np.diag(signs) @ v
    scale = (spread * signs).sum() / max((weights * source**2).sum(), 1e-12)
    return float(scale), rotation, goal - scale * rotation @ middle


def affine(scale, rotation, shift):
    """A 2D similarity as a matrix, float [2,3]: point -> matrix @ (x, y, 1)."""
    return np.concatenate([scale * np.asarray(rotation), np.reshape(shift, (2, 1))], 1)


def move(matrix, points):
    """Points [...,2] moved by an affine matrix [2,3]."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def invert(matrix):
    """The inverse of an affine matrix, float [2,3]."""
    inside = np.linalg.inv(matrix[:, :2])
    return np.concatenate([inside, -inside @ matrix[:, 2:]], 1)


def turn(yaw, pitch, roll=0.0):
    """Rotation [3,3] of a face that looks at the camera (x right, y down, smaller depth is
    nearer).

    Degrees; yaw > 0 turns the nose to the image's right, pitch > 0 lifts it, roll > 0 turns the
    image clockwise. Points are columns: rotated = rotation @ point."""
    a, b, c = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def angles(rotation):
    """(yaw, pitch, roll) in degrees of a rotation that `turn` makes; pitch within +-90."""
    pitch = np.arcsin(np.clip(rotation[2] @ [0, -1, 0], -1, 1))
    return tuple(float(np.degrees(angle))
                 for angle in (np.arctan2(rotation[2, 0], rotation[2, 2]), pitch,
                               np.arctan2(-rotation[0, 1], rotation[1, 1])))


def warp(image, matrix, size, black=True, smooth=False):
    """An affine warp that does not alias, also when it shrinks much.

    image: [H,W] or [H,W,C], uint8 or float32; matrix: float [2,3] from its points to the result's;
    size: (height, width) or one side. Beyond the image it is black, or its edge goes on. smooth:
    enlarge by cubic interpolation, not by linear."""
    cv2 = models.opencv()
    height, width = (size, size) if np.isscalar(size) else size
    matrix = np.asarray(matrix, np.float64)
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if scale < 0.7:  # shrink the part that is needed by areas, then do the rest by interpolation
        corners = move(invert(matrix),
                       np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64))
        low = np.clip(np.floor(corners.min(0)) - 2, 0, image.shape[1::-1]).astype(int)
        high = np.clip(np.ceil(corners.max(0)) + 2, 0, image.shape[1::-1]).astype(int)
        if (high - low).min() < 1:
            return np.zeros((height, width, *image.shape[2:]), image.dtype)
        if not black:  # the edge must stay the edge
            low, high = np.zeros(2, int), np.array(image.shape[1::-1])
        part = image[low[1]:high[1], low[0]:high[0]]
        small = np.maximum(np.round((high - low) * scale), 1).astype(int)
        image = cv2.resize(part, [int(n) for n in small], interpolation=cv2.INTER_AREA)
        grow = (high - low) / small
        matrix = np.concatenate([matrix[:, :2] * grow,
                                 (matrix[:, :2] @ low + matrix[:, 2])[:, None]], 1)
    inside = matrix.copy()  # OpenCV counts from the first pixel's centre
    inside[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    return cv2.warpAffine(image, inside, (int(width), int(height)),
                          flags=cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_CONSTANT if black else cv2.BORDER_REPLICATE)
