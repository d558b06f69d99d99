"""Photographs of the look `world`: walls with texture, things, and cameras of any quality."""
import io

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image

from lib.rendering import things


def wall(scene, n, device):
    """A textured background [n,n,3]: fields of noise of three scales over one colour."""
    kind = scene["wall"]
    mode = dict(mode="nearest") if kind["sharp"] else dict(mode="bicubic", align_corners=True)
    total = torch.tensor(kind["base"], dtype=torch.float32)[:, None, None].expand(3, n, n)
    for grid in kind["grids"]:
        field = torch.tensor(grid, dtype=torch.float32).permute(2, 0, 1)[None]
        total = total * (1 + functional.interpolate(field, (n, n), **mode)[0])
    return total.permute(1, 2, 0).clamp(.01, 1.2).to(device)


def brightness(scene):
    """About how brightly a session's lights shine on a face, whatever the face does."""
    facing = max(-float(scene["key"][1]), 0.0)
    return float(.62 * scene["sky"] + 1.15 * scene["strength"] * (.1 + .6 * facing))


def noise_field(seed, n, device, rows=14, columns=60):
    """Strands: noise that varies across more than along, [n,n]."""
    made = torch.Generator().manual_seed(int(seed))
    field = torch.randn(1, 1, rows, columns, generator=made)
    return functional.interpolate(field, (n, n), mode="bicubic")[0, 0].to(device)


def compose(radiance, kind, view, looks, scenes, eye):
    """Radiance [B,n,n,3] with background, hair and things; eye [B]: how much higher than the
    average face's the neutral eyes are, millimetres."""
    out = []
    for i, (picture, look, scene) in enumerate(zip(radiance, looks, scenes)):
        n = len(picture)
        strands = noise_field(look["seed"], n, picture.device)
        back = wall(scene, n, picture.device)
        if look["mass"] is not None and look["hat"] is None:
            back = things.hair_behind(back, view, i, look, strands)
        shown = kind[i] >= 0
        light = brightness(scene)
        # the camera meters the face
        gain = scene["meter"] / (light * float(np.mean(look["skin"])))
        light = light * gain
        picture = torch.where(shown[..., None], gain * picture, back)
        if look["glasses"]:
            picture = things.glasses(picture, view, i, look, eye[i], light)
        if look["hat"]:
            picture = things.hat(picture, view, i, look, strands)
        if scene["bar"]:
            picture = things.bar(picture, scene, look["skin"] * light)
        out.append(picture)
    return torch.stack(out)


def blurred(picture, sigma):
    """A picture [3,S,S] blurred by a Gaussian, pixels."""
    if sigma < .15:
        return picture
    reach = max(1, int(np.ceil(2.5 * sigma)))
    line = torch.exp(-.5 * (torch.arange(-reach, reach + 1, device=picture.device) / sigma) ** 2)
    line = (line / line.sum()).view(1, 1, 1, -1)
    padded = functional.pad(picture[:, None], (reach,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(padded, line), line.transpose(2, 3))[:, 0]


def coarse(picture, factor):
    """A picture [3,S,S] as if its face had been `factor` times smaller."""
    if factor <= 1.02:
        return picture
    side = max(8, round(picture.shape[1] / factor))
    small = functional.interpolate(picture[None], (side, side), mode="bilinear", antialias=True,
                                   align_corners=False)
    return functional.interpolate(small, picture.shape[1:], mode="bicubic", align_corners=False)[0]


def photograph(radiance, scenes, grain, supersampling):
    """uint8 [B,S,S,3] of radiance [B,n,n,3] by each scene's camera; grain [B] seeds the sensor's
    noise."""
    pictures = functional.avg_pool2d(radiance.permute(0, 3, 1, 2).clamp(0, 1.4), supersampling)
    return np.stack([
        develop(picture, scene, int(seed)) for picture, scene, seed in zip(pictures, scenes, grain)
    ])


def develop(picture, scene, seed):
    """uint8 [S,S,3] of one picture [3,S,S]: lens, sensor, tone, and JPEG."""
    size = picture.shape[1]
    picture = coarse(blurred(picture, scene["soft"] * size / 96), scene["shrink"])
    picture = torch.lerp(picture.mean(0, keepdim=True), picture, float(scene["saturation"]))
    picture = picture.clamp(0, 1) ** scene["gamma"]
    picture = .45 + scene["contrast"] * (picture - .45)
    colours = 3 if scene["saturation"] else 1  # a grey photograph's noise is grey
    sensor = torch.randn(colours, size, size, generator=torch.Generator().manual_seed(seed))
    picture = picture + scene["noise"] * sensor.to(picture.device)
    if scene["wedge"]:
        place = (torch.arange(size, device=picture.device) + .5) / size - .5
        normal, far = scene["wedge"]["normal"], scene["wedge"]["far"]
        picture = picture * (place[None] * normal[0] + place[:, None] * normal[1] < far)
    pixels = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "jpeg", quality=scene["jpeg"])
    return np.asarray(Image.open(stored))
