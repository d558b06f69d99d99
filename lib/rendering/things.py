"""Things of the look `world` that are not skin: hair around the head, glasses, hats, what stands
in front.

Glasses and hats are drawn at planes that move with the head, found for every sample by its ray, as
teeth are (see shading.mouths). Hair around the head lies behind it.
"""
import torch

GLASSES_DEPTH = -0.086   # metres before the view's pivot
HAT_DEPTH = -0.080
HAIR_DEPTH = 0.02        # behind the face's plane
EYE_X, EYE_Z = 31.0, 136.0
CROWN = 205.0            # top of the average head, millimetres


def plane(view, image, depth):
    """x, z in millimetres of the average face where the rays of one picture's samples meet a
    plane, each [n,n]."""
    rows, columns = torch.meshgrid(torch.arange(view.n, device=view.points.device),
                                   torch.arange(view.n, device=view.points.device), indexing="ij")
    which = torch.full((view.n ** 2,), image, device=view.points.device)
    x, z = view.meet(which, rows.flatten(), columns.flatten(), depth)
    return x.view(view.n, view.n) * 1000, z.view(view.n, view.n) * 1000


def colour(values, like):
    return torch.as_tensor(values, dtype=torch.float32, device=like.device)


def over(picture, layer, cover):
    """Lay a colour [3] or [n,n,3] over a picture [n,n,3] where cover [n,n] in [0, 1] says."""
    return picture + cover[..., None] * (layer - picture)


def hair_behind(back, view, image, look, strands):
    """The background [n,n,3] with the hair around a head: an oval, and locks beside the face when
    it is long."""
    x, z = plane(view, image, HAIR_DEPTH)
    wide, high = 78 + 26 * look["mass"], CROWN + 22 * look["mass"]
    oval = ((x / wide) ** 2 + ((z - 125).clamp(min=0) / (high - 125)) ** 2) ** .5
    cover = torch.sigmoid((1 - oval + .06 * strands) / .02)
    if not look["mass_long"]:
        cover = cover * torch.sigmoid((z - 120) / 6)
    else:
        cover = cover * torch.sigmoid((z + 10) / 20)
    shade = (.5 + .5 * (1 - oval).clamp(0, 1)) * (1 + look["strands"] * strands)
    return over(back, colour(look["hair"], back) * shade[..., None].clamp(.1, 2), cover)


def glasses(picture, view, image, look, neutral_eye, light):
    """Glasses on a picture [n,n,3]; neutral_eye: height of the person's eyes less the average's,
    millimetres; light: brightness of the rim's surroundings [3]."""
    kind = look["glasses"]
    x, z = plane(view, image, GLASSES_DEPTH)
    z = z - neutral_eye - EYE_Z - kind["drop"]
    away = ((x.abs() - EYE_X) / kind["wide"]).abs()
    power = kind["power"]
    lens = (away ** power + (z / kind["high"]).abs() ** power) ** (1 / power)
    inside = torch.sigmoid((1 - lens) * 30)
    picture = over(picture, colour(kind["colour"], picture) * .6, inside * kind["tint"])
    glare = torch.sigmoid((6 - (x.abs() - EYE_X + 1.2 * z - 4).abs()) / 2) * inside * kind["glare"]
    picture = over(picture, colour([1.0, 1.0, 1.0], picture), glare)
    edge = (lens - 1).abs() * min(kind["wide"], kind["high"])
    frame = torch.sigmoid((kind["rim"] - edge) / .4)
    bridge = (torch.sigmoid((kind["rim"] * .8 - (z - 3).abs()) / .4)
              * (x.abs() < EYE_X - kind["wide"] + 1))
    temple = (torch.sigmoid((kind["rim"] - (z - 5).abs()) / .4)
              * (x.abs() > EYE_X + kind["wide"]) * (x.abs() < 76))
    cover = torch.maximum(torch.maximum(frame * (.25 if kind["rimless"] else 1), bridge), temple)
    return over(picture, colour(kind["colour"], picture) * light, cover)


def hat(picture, view, image, look, strands):
    """A hat over the forehead of a picture [n,n,3], and the shadow of its peak."""
    kind = look["hat"]
    x, z = plane(view, image, HAT_DEPTH)
    low = kind["low"] + kind["bend"] * x ** 2
    on_head = torch.sigmoid((90 - x.abs()) / 2)
    shadow = torch.sigmoid((z - low + 3 * kind["peak"]) / 6) * on_head
    picture = picture * (1 - .45 * shadow)[..., None]
    cloth = colour(kind["colour"], picture) * (1 + .15 * strands)[..., None]
    picture = over(picture, cloth, torch.sigmoid((z - low) / 1.0) * on_head)
    return over(picture, cloth * .6,
                torch.sigmoid((kind["peak"] - (z - low).abs()) / 1.0) * on_head * (x.abs() < 75))


def bar(picture, scene, skin):
    """A thick line across a picture [n,n,3], skin-coloured for a hand."""
    kind, n = scene["bar"], picture.shape[0]
    place = torch.stack(torch.meshgrid(torch.arange(n), torch.arange(n), indexing="xy"),
                        -1).to(picture) / n
    start, end = colour(kind["start"], picture), colour(kind["end"], picture)
    along = (((place - start) @ (end - start)) / ((end - start) @ (end - start))).clamp(0, 1)
    away = (place - start - along[..., None] * (end - start)).norm(dim=-1) / kind["width"]
    tone = colour(skin if kind["colour"] is None else kind["colour"], picture)
    shade = (1.05 - .5 * away.clamp(0, 1) ** 2)[..., None]
    return over(picture, tone * shade, torch.sigmoid((1 - away) * 12))
