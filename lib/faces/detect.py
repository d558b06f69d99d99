"""Face boxes by BlazeFace (Bazarevsky et al., 2019), and which of several faces is kept.

Where several faces are in a frame, the one nearest the previous frame's is kept (Richer 3.1.3); in
a first frame, and in a photo, the largest.
"""
import functools
from dataclasses import dataclass

import numpy as np

from lib.faces import models

LEAST_SCORE = 0.5
OVERLAP = 0.3  # boxes that share more are one face

# network: (input side, (stride, boxes a cell) ..., names of its outputs)
_SHAPES = {"near": (128, ((8, 2), (16, 6)), ("regressors", "classificators")),
           "far": (192, ((4, 1),), ("reshaped_regressor_face_4", "reshaped_classifier_face_4"))}


@dataclass
class Box:
    """A detected face, in pixels of the image. points: float [6,2], the person's right eye, left
    eye, nose tip, mouth, right ear, left ear; score in [0, 1]."""

    x0: float
    y0: float
    x1: float
    y1: float
    points: np.ndarray
    score: float

    @property
    def centre(self):
        return np.array([(self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2])

    @property
    def size(self):
        """Side of a square of the box's area, pixels."""
        return float(np.sqrt(max(self.x1 - self.x0, 0) * max(self.y1 - self.y0, 0)))


@functools.lru_cache(maxsize=None)
def _anchors(network):
    """Centres of the network's cells in [0, 1], float32 [N,2]."""
    side, grids, _ = _SHAPES[network]
    parts = []
    for stride, repeats in grids:
        line = (np.arange(side // stride) + 0.5) / (side // stride)
        parts.append(np.stack(np.meshgrid(line, line), -1).reshape(-1, 2).repeat(repeats, 0))
    return np.concatenate(parts).astype(np.float32)


def _look(image, network, corner, side):
    """Boxes that a network sees in the square of `side` pixels at `corner` (x, y), which may reach
    beyond the image; in the image's pixels, before overlapping ones are joined."""
    cv2 = models.opencv()
    size, _, outputs = _SHAPES[network]
    scale = size / side
    place = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]], np.float32)
    patch = cv2.warpAffine(image, place, (size, size), flags=cv2.INTER_LINEAR)
    blob = (patch.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
    boxes, scores = models.run(network, np.ascontiguousarray(blob), outputs)
    scores = 1 / (1 + np.exp(-np.clip(scores.reshape(-1), -80, 80)))
    keep = scores >= LEAST_SCORE
    # centre, size and six points; all but the size are offsets from the cell's centre
    values = boxes.reshape(len(scores), 8, 2)[keep] / size
    values[:, [0, 2, 3, 4, 5, 6, 7]] += _anchors(network)[keep][:, None]
    values *= side
    values[:, [0, 2, 3, 4, 5, 6, 7]] += np.asarray(corner, np.float32)
    return [(np.concatenate([v[0] - v[1] / 2, v[0] + v[1] / 2]), v[2:], float(s))
            for v, s in zip(values, scores[keep]) if v[1].min() > 0]


def _join(found):
    """Overlapping boxes as one: their average, weighted by score (as BlazeFace does)."""
    found = sorted(found, key=lambda entry: -entry[2])
    faces = []
    while found:
        best = found[0][0]
        group = [entry for entry in found if _share(best, entry[0]) > OVERLAP]
        found = [entry for entry in found if _share(best, entry[0]) <= OVERLAP]
        weight = np.array([entry[2] for entry in group])
        box = np.average([entry[0] for entry in group], axis=0, weights=weight)
        points = np.average([entry[1] for entry in group], axis=0, weights=weight)
        faces.append(Box(*map(float, box), points, float(weight.max())))
    return faces


def _share(a, b):
    """Intersection over union of two boxes (x0, y0, x1, y1); a box inside another counts as the
    same."""
    overlap = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    areas = (a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod()
    return max(overlap / max(sum(areas) - overlap, 1e-9), 0.5 * overlap / max(min(areas), 1e-9))


def _squares(height, width):
    """Squares to look at, in stages; a stage is tried when those before it found nothing.

    The whole image; the image amid a border (faces that fill it); overlapping parts (small faces).
    """
    long = max(height, width)
    middle = lambda side: ((width - side) / 2, (height - side) / 2)
    yield [("near", middle(long), long), ("far", middle(long), long)]
    yield [("near", middle(1.6 * long), 1.6 * long)]
    for parts in (2, 4):
        side = max(long / parts, 96)
        if side >= long:
            return
        count = lambda length: max(1, int(np.ceil(1.5 * length / side)))
        steps = lambda length: np.linspace(0, max(length - side, 0), count(length))
        yield [("far", (x, y), side) for y in steps(height) for x in steps(width)]


def detect(image):
    """Faces in uint8 [H,W,3] RGB: a list of Box, largest first; empty when there is none."""
    image, scale = _shrunk(image)
    for squares in _squares(*image.shape[:2]):
        found = _join([box for square in squares for box in _look(image, *square)])
        if found:
            faces = [Box(b.x0 / scale, b.y0 / scale, b.x1 / scale, b.y1 / scale, b.points / scale,
                         b.score) for b in found]
            return sorted(faces, key=lambda face: -face.size)
    return []


def _shrunk(image, most=1024):
    """(image at most `most` pixels a side, antialiased; its scale): huge photos cost no more than
    large."""
    scale = most / max(image.shape[:2])
    if scale >= 1:
        return image, 1.0
    cv2 = models.opencv()
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def choose(faces, previous=None):
    """Which of the faces is kept: index of the one whose centre is nearest `previous` ((x, y) of
    the previous frame's face), or of the largest when there is none before; None without faces.

    faces: anything with `.centre` [2] and `.size`."""
    if not faces:
        return None
    if previous is None:
        return int(np.argmax([face.size for face in faces]))
    return int(np.argmin([np.linalg.norm(np.asarray(face.centre) - previous) for face in faces]))
