"""One photo, the whole way: find the face, register it, and put the edited face back into the
photo.

    found = find(photo, "crop", 128)
    photo = paste(photo, found, edit(found.picture))

Where the edit changes little, the photo's own detail stays, at its full resolution; the rim is
soft. A 3D registered face goes back through its mesh, to the parts that the photo shows.
"""
from dataclasses import dataclass

import numpy as np

from lib.cli import BadInput, note
from lib.faces import align, landmarks, models
from lib.faces.geometry import invert, move, warp
from lib.faces.raster import rasterise
from lib.manifest import mode as mode_of

RIM = 0.06         # of the picture's side: how softly the face's rim and the picture's edge fade
MOST_CHANGE = 40   # levels of 255: where an edit changes more, it brings its own detail
FINEST = 640       # samples across the face when a mesh is pasted; edits are no finer


@dataclass
class Found:
    """A face in a photo. picture: uint8 [S,S,3], registered as `mode` says; mask: bool [S,S], see
    align."""

    face: landmarks.Face
    mode: str
    picture: np.ndarray
    mask: np.ndarray

    @property
    def size(self):
        return len(self.picture)


def find(photo, mode, size, name="the photo", number=1):
    """The largest face of a photo, uint8 [H,W,3] RGB, registered; number: 2 for the second
    largest, and so on. BadInput when there is no such face."""
    models.check()
    faces = landmarks.faces_in(photo)
    if not faces:
        raise BadInput(
            f"{name}: no face found; give a photo where it is larger, or more from the front"
        )
    if number > len(faces):
        raise BadInput(
            f"{name}: there is no face {number}; {len(faces)} found, counted from the largest"
        )
    face = faces[number - 1]
    return Found(face, mode, *align.register(photo, face, mode, size))


def soft_mask(found):
    """How much of the edit is taken, float32 [S,S] in [0, 1]: the face, fading towards its rim."""
    cv2, size = models.opencv(), found.size
    if found.mode == "3d":
        face = found.mask.astype(np.uint8)
        face = cv2.morphologyEx(face, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    else:
        matrix = align.MATRICES[found.mode](found.face.points, size)
        outline = cv2.convexHull(move(matrix, found.face.points[:, :2]).astype(np.float32))
        outline = outline.round().astype(np.int32)
        face = cv2.fillConvexPoly(np.zeros((size, size), np.uint8), outline, 1)
    inner = np.zeros((size + 2, size + 2), np.uint8)  # the picture's edge is a rim, too
    inner[1:-1, 1:-1] = face
    depth = cv2.distanceTransform(inner, cv2.DIST_L2, 5)[1:-1, 1:-1] / (RIM * size)
    depth = np.clip(depth, 0, 1).astype(np.float32)
    return depth ** 2 * (3 - 2 * depth)


def layers(found, edited):
    """What is pasted, float32 [S,S,8]: edited RGB, registered RGB, how much of the photo's detail
    stays, mask."""
    cv2 = models.opencv()
    before, after = found.picture.astype(np.float32), edited.astype(np.float32)
    change = cv2.GaussianBlur(np.abs(after - before).mean(-1), (0, 0), max(found.size / 64, 0.5))
    detail = 1 - np.clip(change / MOST_CHANGE, 0, 1)
    return np.concatenate([after, before, detail[..., None], soft_mask(found)[..., None]], -1)


def paste(photo, found, edited):
    """The photo with its face edited: uint8 [H,W,3], unchanged outside the face.

    edited: uint8 [S,S,3], found.picture after the edit. For editors that say how they move pixels,
    lib.faces.flow keeps more of the photo."""
    if edited.shape != found.picture.shape:
        raise ValueError(f"edited face is {edited.shape}, the registered one {found.picture.shape}")
    corner, stack = carry(found, layers(found, edited), photo.shape[:2])
    out = photo.copy()
    part = out[corner[1]:corner[1] + stack.shape[0], corner[0]:corner[0] + stack.shape[1]]
    detail = (part - stack[..., 3:6]) * stack[..., 6:7]
    mixed = part + stack[..., 7:] * (stack[..., :3] + detail - part)
    part[:] = mixed.round().clip(0, 255).astype(np.uint8)
    return out


def carry(found, stack, shape, smooth=False):
    """Layers of the registered face brought to where it lies in the photo; smooth: by cubic
    interpolation.

    stack: float32 [S,S,C], the last layer a mask; shape: the photo's (H, W). Returns (corner (x,
    y), layers [h,w,C] of the photo's part that begins there); beyond the face the mask is 0."""
    if found.mode == "3d":
        return _through_mesh(found, stack, shape)
    matrix = invert(align.MATRICES[found.mode](found.face.points, found.size))
    corners = move(matrix, np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float64) * found.size)
    corner, extent = _part(corners, shape)
    matrix[:, 2] -= corner
    # black, so nothing, beyond the picture
    mask = warp(np.ascontiguousarray(stack[..., -1]), matrix, extent)
    parts = [warp(part, matrix, extent, black=False, smooth=smooth)
             for part in _by_four(stack[..., :-1])]
    return corner, np.concatenate([*parts, mask[..., None]], -1)


def _by_four(stack):
    """Layers [S,S,C] as parts of at most four, which is what OpenCV takes at once, each
    [S,S,c]."""
    return [np.ascontiguousarray(stack[..., k:k + 4]) for k in range(0, stack.shape[-1], 4)]


def _part(points, shape):
    """(corner (x, y), extent (height, width)) of the photo's part that holds the points, whole
    pixels."""
    low = np.clip(np.floor(points.min(0)).astype(int), 0, [shape[1] - 1, shape[0] - 1])
    high = np.clip(np.ceil(points.max(0)).astype(int), low + 1, [shape[1], shape[0]])
    return low, (int(high[1] - low[1]), int(high[0] - low[0]))


def _through_mesh(found, stack, shape):
    """`carry` for a 3D registered face: the layers drawn by the mesh where it lies in the
    photo."""
    cv2, mesh, points = models.opencv(), align.triangles(), found.face.points.astype(np.float64)
    corner, (height, width) = _part(points[:, :2], shape)
    scale = min(1.0, FINEST / max(height, width))
    small = max(1, round(height * scale)), max(1, round(width * scale))
    screen = (points - [*corner, 0]) * [small[1] / width, small[0] / height, scale]
    samples = rasterise(screen, mesh, *small)
    at = (samples.interpolate(align.frontal(points, found.size)[:, :2], mesh).astype(np.float32)
          - 0.5)
    drawn = [cv2.remap(part, at[..., 0], at[..., 1], cv2.INTER_LINEAR,
                       borderMode=cv2.BORDER_REPLICATE) for part in _by_four(stack)]
    drawn = np.concatenate([part.reshape(*small, -1) for part in drawn], -1)
    drawn[..., -1] *= samples.hit
    large = [cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
             for part in _by_four(drawn)]
    return corner, np.concatenate([part.reshape(height, width, -1) for part in large], -1)


def face_for(photo, size, expected, chosen="", name="the photo", number=1):
    """The photo's face as a model wants it, a Found; None when the photo itself is what the model
    wants.

    size: the model's pixels a side; expected: the registration that it was trained on, such as
    '3d-128', or None; chosen: the user's word, one of align.MODES, 'none', or '' to go by
    `expected`; number: which face, 1 is the largest. A photo of the model's own size is a
    registered face already. Without any word the framing of rendered faces is taken, and a photo
    without a face is taken whole. BadInput when a registration is asked for and no face is
    found."""
    usual = mode_of(expected or "")
    mode = chosen or usual
    if mode == "none":
        return None
    if not chosen and photo.shape[:2] == (size, size):
        note(f"{name}: is {size}x{size}, as the model's images are, and so taken for a registered "
             f"face; if it is not one, say --registration {usual or 'tight'}")
        return None
    if chosen and usual and chosen != usual:
        note(f"warning: the model expects registration {expected!r}, but --registration {chosen} "
             "is asked for; leave it out to register as the model was trained")
    if mode and mode not in align.MODES:
        raise BadInput(f"the model expects registration {expected!r}, which is not known here; "
                       f"choose one ({', '.join(align.MODES)}, none) with --registration")
    try:
        return find(photo, mode or "tight", size, name, number)
    except BadInput as error:
        if mode or number > 1:
            raise
        note(f"warning: {error}; the whole photo is taken for the face")
        return None


def registration_of(found, expected, chosen=""):
    """How the picture that `face_for` found is registered, as manifests say it ('2d-64'); '' for
    not at all.

    The same arguments as there. What is taken as it stands is taken for what the model expects,
    and the framing of rendered faces, where nobody asked for one, for the unregistered images that
    such models learn from."""
    return align.name(found.mode, found.size) if found and (chosen or expected) else expected or ""
