"""Cheap augmentation of training batches on the device: one affine resampling, then colour and noise.

All draws come from a generator that the caller seeds by epoch, so that a resumed run repeats them.
"""
import torch
import torch.nn.functional as F

#         flip, shift (share of the side), zoom, rotation (radians), light, colour, noise (sd, on [-1, 1])
KINDS = {
    "none": None,
    "faces": (True, 0.05, 0.06, 0.08, 0.20, 0.06, 0.04),  # AUs are scored without a side, so faces may be flipped
    "grid": (False, 0.03, 0.0, 0.0, 0.0, 0.0, 0.0),       # digits do not flip, and keep their cell
}


def augment(pictures, kind, generator):
    """float [N,3,H,W] in [-1,1] -> the same shape, about the same range. generator: of pictures' device."""
    if KINDS[kind] is None:
        return pictures
    flip, shift, zoom, turn, light, colour, noise = KINDS[kind]
    count, device = len(pictures), pictures.device

    def draw(*shape):
        return torch.rand(count, *shape, generator=generator, device=device) * 2 - 1  # in [-1, 1]

    scale, angle = 1 + zoom * draw(1), turn * draw(1)  # [N,1]
    side = draw(1).sign() if flip else torch.ones(count, 1, device=device)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = torch.cat([side * cos, -sin, 2 * shift * draw(1), side * sin, cos, 2 * shift * draw(1)], 1)
    grid = F.affine_grid(rows.view(count, 2, 3), pictures.shape, align_corners=False)  # [N,H,W,2]
    out = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if light or colour:
        gain = 1 + light * draw(1, 1, 1) + colour * draw(3, 1, 1)  # [N,3,1,1]
        out = out * gain + light * draw(1, 1, 1) + colour * draw(3, 1, 1)
    if noise:
        amount = noise * draw(1, 1, 1)
        out = out + amount * torch.randn(out.shape, generator=generator, device=device)
    return out.contiguous(memory_format=torch.channels_last)
