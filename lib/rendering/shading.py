"""From samples to pictures: eyes and teeth, light, and the camera. All tensors are batches of one
device."""
import numpy as np
import torch
import torch.nn.functional as functional

from lib.rendering.heads import EYE, MOUTH, TONGUE
from lib.rendering.skin import LIP_LINE

IRIS_X, IRIS_Z = 30.1, 136.7   # centre of the left eyeball's front, millimetres
TEETH_DEPTH = -0.072           # the incisors' plane, metres before the view's pivot
JAW_METRES = 0.034             # how far a fully open jaw drops the lower teeth


def stacked(dicts, name, device):
    """A number or vector of each of B dicts as float [B,1,1,K]."""
    values = torch.tensor(np.array([one[name] for one in dicts]), dtype=torch.float32,
                          device=device)
    return values.reshape(len(dicts), 1, 1, -1)


def eyes(albedo, rest, kind, looks, gaze):
    """Put sclera, iris and pupil into albedo [B,n,n,3] where kind is EYE; gaze [B,2]
    millimetres."""
    where = (kind == EYE).nonzero(as_tuple=True)
    image = where[0]
    of = lambda name: stacked(looks, name, albedo.device)[image, 0, 0]
    x, z = rest[where][:, 0] * 1000, rest[where][:, 2] * 1000
    side = torch.where(x > 0, IRIS_X, -IRIS_X)
    away = ((x - side - gaze[image, 0]) ** 2 + (z - IRIS_Z - gaze[image, 1]) ** 2).sqrt()[:, None]
    size = of("iris_size")
    iris, pupil = torch.sigmoid((size - away) / .35), torch.sigmoid((2.3 - away) / .3)
    white = of("sclera") * torch.tensor([1.0, .97, .95], device=albedo.device)
    colour = (torch.lerp(white, of("iris"), iris)
              * (1 - .35 * torch.exp(-((away - size) / .7) ** 2)) * (1 - .95 * pupil))
    albedo[where] = colour


def mouths(albedo, kind, looks, view, lip_height, jaw):
    """Put teeth and tongue into albedo where the mouth is open. lip_height [B]: where the lips
    meet in the person's neutral head, metres; jaw [B]: the jaw unit's weight.

    Teeth are two arcs at a plane behind the lips, found for every sample by its ray: they cannot
    poke through lips, and a shut mouth hides them."""
    where = ((kind == MOUTH) | (kind == TONGUE)).nonzero(as_tuple=True)
    image, row, column = where
    x, z = view.meet(image, row, column, TEETH_DEPTH)
    x, z = x * 1000, (z - lip_height[image]) * 1000 + LIP_LINE
    drop = (jaw * JAW_METRES * 1000)[image]
    soft = torch.sigmoid
    upper = soft((z - 71.2) / .4) * soft((81 - z) / .6)
    lower = .8 * soft((69.0 - drop - z) / .4) * soft((z + drop - 60) / .6)
    gaps = 1 - .25 * torch.exp(-((((x / 7.5) % 1) - .5) * 15) ** 2)
    tooth = (torch.maximum(upper, lower) * soft((23 - x.abs()) / 1.5) * gaps
             * (1 - .4 * (x.abs() / 23).clamp(max=1) ** 2))
    ivory = (stacked(looks, "teeth", albedo.device)[image, 0, 0]
             * torch.tensor([1.0, .97, .9], device=albedo.device))
    tongue = (torch.tensor([.5, .22, .22], device=albedo.device)
              * (.3 + .6 * drop).clamp(max=1)[:, None])
    hole = torch.where((kind[where] == TONGUE)[:, None], tongue,
                       torch.tensor([.22, .07, .07], device=albedo.device))
    # the palate's side of the mouth is darkest
    depth = .45 + .55 * ((LIP_LINE - z) / (drop + 6)).clamp(0, 1)
    albedo[where] = torch.lerp(hole * depth[:, None], ivory, tooth[:, None])


def light(albedo, gloss, normal, kind, scenes, reached=None):
    """Radiance [B,n,n,3] from albedo [B,n,n,3], gloss [B,n,n] and normals: sky and bounce, one key
    light, its sheen.

    reached: [B,n,n], how much of the key light arrives; None: all of it, as nothing casts a
    shadow."""
    of = lambda name: stacked(scenes, name, albedo.device)
    key, strength, colour = of("key"), of("strength"), of("colour")
    facing = torch.einsum("bhwi,bi->bhw", normal, key[:, 0, 0])[..., None]
    diffuse = ((facing + .15) / 1.15).clamp(min=0)
    up, front = 0.5 + 0.5 * normal[..., 2:], (-normal[..., 1:2]).clamp(min=0)
    ambient = of("sky") * (of("bounce") + (1 - of("bounce")) * up) * (.55 + .45 * front)
    half = functional.normalize(key + torch.tensor([0.0, -1.0, 0.0], device=albedo.device), dim=-1)
    sheen = torch.einsum("bhwi,bi->bhw", normal, half[:, 0, 0]).clamp(min=0) ** 24
    if reached is not None:
        diffuse, sheen = diffuse * reached[..., None], sheen * reached
    hole = (kind == MOUTH) | (kind == TONGUE)
    gloss = torch.where(kind == EYE, 3.0, torch.where(hole, 0.0, gloss))
    lit = ambient + 1.15 * strength * diffuse
    # lips shade what lies behind them
    lit = torch.where(hole[..., None], .8 * (of("sky") + .5 * strength), lit)
    return (of("exposure") * colour
            * (albedo * lit + strength * of("gloss") * (gloss * sheen)[..., None]))


def photograph(radiance, kind, scenes, grain, supersampling):
    """uint8 [B,S,S,3]: background, blur, contrast, colour, and sensor noise by the seeds `grain`
    [B]."""
    of = lambda name: stacked(scenes, name, radiance.device)
    n = radiance.shape[1]
    back = torch.tensor(np.array([scene["back"] for scene in scenes]), dtype=torch.float32,
                        device=radiance.device)
    back = functional.interpolate(back.permute(0, 3, 1, 2), (n, n), mode="bilinear",
                                  align_corners=True)
    picture = torch.where((kind < 0)[:, None], back, radiance.permute(0, 3, 1, 2)).clamp(0, 1.3)
    picture = functional.avg_pool2d(picture, supersampling)
    soft = functional.avg_pool2d(functional.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, 1)
    picture = picture + of("blur") * (soft - picture)
    picture = torch.lerp(picture.mean(1, keepdim=True), picture, of("saturation"))
    picture = 0.45 + of("contrast") * (picture - 0.45)
    drawn = [torch.randn(picture.shape[1:], generator=torch.Generator().manual_seed(int(seed)))
             for seed in grain]
    noise = torch.stack(drawn).to(picture.device)
    picture = picture + of("noise") * noise
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
