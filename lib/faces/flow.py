"""Edits at the photo's own resolution: an editor's flow moves the photo's pixels, and paint shows
where needed.

    found = paste.find(photo, "tight", 64)
    photo = apply(photo, found, flow, paint, cover)        # the editor's outputs for found.picture

Editors work at 64 to 128 pixels. Enlarged smoothly, their flow is as good for a photo of 2,000
pixels: skin, teeth and hair move and stay sharp. Only what was not there before, such as an open
mouth, is painted, and shows the editor's small picture. Where nothing moves and nothing is
painted, the photo stays bit for bit.
"""
import numpy as np

from lib.faces import align, models
from lib.faces.paste import carry, soft_mask
from lib.faces.raster import rasterise

STILL = 0.02       # pixels of the photo: less movement is none
BARE = 1 / 512     # less cover is none
SOFT = 0.9         # standard deviation, in 64ths of the model's image, that flow is smoothed with
# neighbours are read at least this share of a pixel apart: nothing is shown twice
LEAST_SPREAD = 0.25
ROUNDS = 12        # of smoothing where a flow folds
# standard deviation, in 64ths of the model's image, of where paint takes its hue from
HUE_REACH = 4.0
LUMA = np.array([.299, .587, .114], np.float32)


def displacement(found, flow):
    """How far from each pixel of the registered face the photo is read, float32 [S,S,2] in pixels
    of the photo.

    flow: float [S,S,2], the same in pixels of the registered face: x, y from a pixel's centre to
    where it is read."""
    flow = np.asarray(flow, np.float32)
    if found.mode != "3d":
        inside = np.linalg.inv(align.MATRICES[found.mode](found.face.points, found.size)[:, :2])
        return flow @ inside.T.astype(np.float32)
    cv2, mesh, size = models.opencv(), align.triangles(), found.size
    points = found.face.points.astype(np.float64)
    samples = rasterise(align.frontal(points, size), mesh, size, size)
    # [S,S,2]: where the photo shows a pixel
    place = samples.interpolate(points[:, :2], mesh).astype(np.float32)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    read = cv2.remap(place, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REPLICATE)
    known = cv2.remap(samples.hit.astype(np.float32), columns + flow[..., 0], rows + flow[..., 1],
                      cv2.INTER_NEAREST)
    return np.where((samples.hit & (known > .5))[..., None], read - place, 0).astype(np.float32)


def unfolded(flow):
    """A flow [S,S,2] smoothed a little, and more where it would read the same place twice (pupils
    of raised lids)."""
    cv2 = models.opencv()
    if not flow.any():
        return flow
    size = len(flow)
    flow = cv2.GaussianBlur(flow, (0, 0), SOFT * size / 64)
    for _ in range(ROUNDS):
        down, across = np.gradient(flow, axis=(0, 1))  # [S,S,2] each
        spread = np.minimum(1 + across[..., 0], 1 + down[..., 1])
        if spread.min() >= LEAST_SPREAD:
            break
        folds = cv2.dilate((spread < LEAST_SPREAD).astype(np.float32), np.ones((5, 5)))
        share = cv2.GaussianBlur(folds, (0, 0), 1.0)[..., None]
        flow = flow + share * (cv2.GaussianBlur(flow, (0, 0), 1.5 * size / 64) - flow)
    return flow


def toned(paint, picture):
    """Paint [S,S,3] in the photo's own colours: its brightness, with the hue of what lies around
    it.

    Bright paint (teeth) keeps little of that hue. The paint of a grey photo is grey. picture: the
    registered face, uint8 [S,S,3]."""
    cv2 = models.opencv()
    around = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), HUE_REACH * len(picture) / 64)
    light = (around @ LUMA).clip(1)[..., None]
    bright = (paint @ LUMA).clip(0)[..., None]
    share = 1 - .7 * ((bright - light) / (255 - light).clip(1)).clip(0, 1)
    return bright * (1 + share * (around / light - 1))


def within(points, corner, extent):
    """Where a photo's part shows the face, uint8 [h,w]: the hull of its points, to the pixel.

    The soft mask is made at the model's resolution, so its rim may lie a pixel of the model too
    far out."""
    cv2 = models.opencv()
    outline = cv2.convexHull((points[:, :2] - np.asarray(corner) - .5).astype(np.float32))
    outline = outline.round().astype(np.int32)
    return cv2.fillConvexPoly(np.zeros(extent, np.uint8), outline, 1)


def apply(photo, found, flow, paint, cover):
    """The photo with its face edited at its own resolution: uint8 [H,W,3], unchanged outside the
    face.

    photo: uint8 [H,W,3]; found: paste.Found; of the registered face [S,S]: flow float [S,S,2],
    from each pixel's centre to where it is read, in its pixels; paint float [S,S,3] in [0, 255];
    cover float [S,S,1] in [0, 1]: edited = (1 - cover) moved + cover paint. Bit for bit the photo
    where flow and cover are 0."""
    cv2 = models.opencv()
    away = displacement(found, unfolded(np.asarray(flow, np.float32)))
    paint = toned(np.asarray(paint, np.float32), found.picture)
    cover = np.asarray(cover, np.float32).reshape(found.size, found.size, 1)
    stack = np.concatenate([away, cover, paint, soft_mask(found)[..., None]], -1)
    (left, top), stack = carry(found, stack, photo.shape[:2], smooth=True)
    height, width = stack.shape[:2]
    mask = stack[..., 6] * within(found.face.points, (left, top), (height, width))
    away = stack[..., :2] * mask[..., None]
    cover = stack[..., 2].clip(0, 1) * mask
    moves = np.abs(away).max(-1) > STILL
    painted = cover > BARE
    out = photo.copy()
    if not (moves.any() or painted.any()):
        return out
    column = np.arange(left, left + width, dtype=np.float32) + away[..., 0]
    row = np.arange(top, top + height, dtype=np.float32)[:, None] + away[..., 1]
    part = out[top:top + height, left:left + width]
    moved = part.copy()
    read = cv2.remap(photo, column, row, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    moved[moves] = read[moves]
    share = cover[painted][:, None]
    part[moves] = moved[moves]
    mixed = moved[painted] + share * (stack[..., 3:6][painted] - moved[painted])
    part[painted] = mixed.round().clip(0, 255).astype(np.uint8)
    return out
