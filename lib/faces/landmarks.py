"""468 points with depth on a face, by Face Mesh (Kartynnik et al., 2019), and how sure it is.

Indices are Face Mesh's: 33 and 263 are the outer corners of the person's right and left eye, 1 the
tip of the nose, 61 and 291 the corners of the mouth, 152 the chin.
"""
from dataclasses import dataclass

import numpy as np

from lib.faces import detect, models
from lib.faces.geometry import invert, move, warp

POINTS = 468
SIDE = 192            # the network's input
ROOM = 1.5            # side of its square over the face's box, as it was trained
LEAST_CONFIDENCE = 0.5
MOST_FACES = 6        # in one frame, largest first
RIGHT_EYE, LEFT_EYE = 33, 263
_OUTPUTS = ("conv2d_20", "conv2d_30")


@dataclass
class Face:
    """points: float32 [468,3], x and y in pixels of the image (pixel centres at .5), depth on the
    same scale, smaller is nearer; confidence in [0, 1] that this is a face."""

    points: np.ndarray
    confidence: float

    @property
    def centre(self):
        """Middle of the face's box, (x, y) in pixels."""
        return (self.points[:, :2].min(0) + self.points[:, :2].max(0)) / 2

    @property
    def size(self):
        """Longer side of the face's box, pixels."""
        return float((self.points[:, :2].max(0) - self.points[:, :2].min(0)).max())


def _read(image, centre, side, angle):
    """Face in the square of `side` pixels around `centre`, turned by `angle` (radians)."""
    scale = SIDE / side
    inside = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.concatenate([inside, SIDE / 2 - inside @ np.reshape(centre, (2, 1))], 1)
    patch = warp(image, matrix, SIDE, black=False)
    blob = np.ascontiguousarray((patch.astype(np.float32) / 255).transpose(2, 0, 1)[None])
    points, flag = models.run("mesh", blob, _OUTPUTS)
    points = points.reshape(POINTS, 3)
    confidence = float(1 / (1 + np.exp(-np.clip(flag.reshape(-1)[0], -50, 50))))
    return Face(np.concatenate([move(invert(matrix), points[:, :2]), points[:, 2:] / scale],
                               1).astype(np.float32), confidence)


def _tilt(right, left):
    """Angle of the line from the person's right eye to the left, radians, 0 when level."""
    across = np.asarray(left) - np.asarray(right)
    return float(np.arctan2(across[1], across[0]))


def locate(image, box, rounds=2):
    """The face at a detected box: first in the box's square, then again in the square that the
    points found ask for, which takes the box's inaccuracy out. image: uint8 [H,W,3] RGB."""
    face = _read(image, box.centre, ROOM * max(box.x1 - box.x0, box.y1 - box.y0),
                 _tilt(*box.points[:2]))
    for _ in range(rounds - 1):
        angle = _tilt(face.points[RIGHT_EYE, :2], face.points[LEFT_EYE, :2])
        level = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        flat = face.points[:, :2] @ level.T
        low, high = flat.min(0), flat.max(0)
        if face.confidence < 0.1 or (high - low).max() < 4:
            break
        face = _read(image, level.T @ ((low + high) / 2), ROOM * float((high - low).max()), angle)
    return face


def faces_in(image, least=LEAST_CONFIDENCE):
    """Faces in uint8 [H,W,3] RGB, most confident points only, largest first: a list of Face.

    Raises nothing: an image without a face gives an empty list."""
    found = [locate(image, box) for box in detect.detect(image)[:MOST_FACES]]
    return sorted((face for face in found if face.confidence >= least), key=lambda face: -face.size)
