"""Cheap augmentation of training batches on the device: one affine resampling, then colour and
noise.

All draws come from a generator that the caller seeds by epoch, so that a resumed run repeats them.
"""
import torch
import torch.nn.functional as F

from lib.device_data import to_float

#         flip, shift (share of the side), zoom, rotation (radians), light, colour,
#         noise (sd, on [-1, 1])
KINDS = {
    "none": None,
    # AUs are scored without a side, so faces may be flipped
    "faces": (True, 0.05, 0.06, 0.08, 0.20, 0.06, 0.04),
    # then as poor cameras see them, see `photographed`
    "photos": (True, 0.04, 0.07, 0.10, 0.25, 0.08, 0.05),
    "grid": (False, 0.03, 0.0, 0.0, 0.0, 0.0, 0.0),       # digits do not flip, and keep their cell
}
GREY, BLURRED, COVERED = 0.35, 0.4, 0.3  # shares of the images that `photographed` changes so
LARGEST_COVER = 0.35                     # of the side, what hides a part of the face


def augment(pictures, kind, generator):
    """float [N,3,H,W] in [-1,1] -> the same shape, about the same range. generator: of pictures'
    device."""
    if KINDS[kind] is None:
        return pictures
    flip, shift, zoom, turn, light, colour, noise = KINDS[kind]
    count, device = len(pictures), pictures.device

    def draw(*shape):
        return torch.rand(count, *shape, generator=generator, device=device) * 2 - 1  # in [-1, 1]

    scale, angle = 1 + zoom * draw(1), turn * draw(1)  # [N,1]
    side = draw(1).sign() if flip else torch.ones(count, 1, device=device)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = torch.cat([side * cos, -sin, 2 * shift * draw(1), side * sin, cos, 2 * shift * draw(1)],
                     1)
    grid = F.affine_grid(rows.view(count, 2, 3), pictures.shape, align_corners=False)  # [N,H,W,2]
    out = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if light or colour:
        gain = 1 + light * draw(1, 1, 1) + colour * draw(3, 1, 1)  # [N,3,1,1]
        out = out * gain + light * draw(1, 1, 1) + colour * draw(3, 1, 1)
    if noise:
        amount = noise * draw(1, 1, 1)
        out = out + amount * torch.randn(out.shape, generator=generator, device=device)
    if kind == "photos":
        out = photographed(out, generator)
    return out.contiguous(memory_format=torch.channels_last)


def photographed(pictures, generator):
    """float [N,3,H,W], some of them grey, some blurred, some behind a rectangle, each of its own
    contrast."""
    count, _, height, width = pictures.shape

    def draw(*shape):
        return torch.rand(count, *shape, generator=generator, device=pictures.device)

    chosen = lambda share: (draw(1, 1, 1) < share).to(pictures.dtype)
    pictures = torch.lerp(pictures, pictures.mean(1, keepdim=True).expand_as(pictures),
                          chosen(GREY))
    soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    pictures = torch.lerp(pictures, soft, chosen(BLURRED) * draw(1, 1, 1))
    middle = pictures.mean((1, 2, 3), keepdim=True)
    pictures = middle + (pictures - middle) * (0.6 + 0.9 * draw(1, 1, 1))
    row = torch.arange(height, device=pictures.device).view(1, 1, -1, 1) / height
    column = torch.arange(width, device=pictures.device).view(1, 1, 1, -1) / width
    behind = chosen(COVERED)
    for place in (row, column):
        behind = behind * ((place - draw(1, 1, 1)).abs() < LARGEST_COVER / 2 * draw(1, 1, 1))
    return torch.lerp(pictures, (2 * draw(3, 1, 1) - 1).expand_as(pictures), behind)


def both(pixels, reference, kind, generator):
    """Augmented pictures of uint8 pixels [N,H,W,3], and of a reference [N,H,W,3], or None, changed
    alike: a list of one or two float [N,3,H,W]."""
    before = generator.get_state()
    found = [augment(to_float(pixels), kind, generator)]
    if reference is not None:
        after = generator.get_state()
        generator.set_state(before)
        found.append(augment(to_float(reference), kind, generator))
        generator.set_state(after)
    return found
