"""The look `world`: what people and photographs have that the plain look lacks.

People get any skin tone, other hair, beards, glasses, hats, faces that rest in their own way (low
brows, hooded lids, corners of the mouth that hang), and lines that stay when the face rests.
Scenes get side light from anywhere, hard and coloured light, textured walls, things in front of
the face, and poor cameras. Geometry and AU levels are those of the plain look; a person's resting
face is no AU, as FACS scores what a face does.
"""
import numpy as np
import torch

from lib.rendering.heads import EYE
from lib.rendering.shading import IRIS_X, IRIS_Z
from lib.rendering.skin import bump
from lib.rendering.units import AUS, INDEX

# log albedo of the darkest and of the lightest skin, RGB
DARK, LIGHT = np.log([.22, .13, .09]), np.log([.97, .80, .70])
HAIR = np.array([[.05, .04, .04], [.10, .07, .05], [.2, .13, .08], [.3, .18, .1], [.5, .36, .2],
                 [.42, .2, .1], [.62, .5, .33], [.55, .53, .5], [.8, .78, .75]])
# Lines that stay at rest: AU -> the deepest, as a level of the AU's own sign; they deepen with age
STAYING = {1: .5, 2: .4, 4: .45, 6: .6, 10: .5, 12: .55, 15: .35, 17: .25, 20: .2, 9: .2}
# How faces rest: face unit (both sides) -> standard deviation of its weight
RESTING = {"browDown*": .28, "browOuterUp*": .16, "eyeSquint*": .22, "eyeBlink*": .12,
           "eyeWide*": .1, "cheekSquint*": .12, "mouthPress*": .15, "mouthShrugLower": .18,
           "mouthRollLower": .15, "mouthPucker": .1}
HOODED = 0.06  # the mean resting weight of eyeBlink: real lids hang lower than the model's


def draw_person(rng, phenotypes, look):
    """A person's plain look (see skin.draw_look) with what the world adds to it."""
    age, male = phenotypes["age"], phenotypes["gender"] > 0.5
    tone = np.clip(.7 * look["skin"][1] / .7 + .45 * rng.random() + .1 * rng.standard_normal(), 0,
                   1)
    skin = np.exp(DARK + tone * (LIGHT - DARK) + .05 * rng.standard_normal(3))
    hair = HAIR[rng.integers(len(HAIR) if tone > .45 else 3)] * rng.uniform(.7, 1.25)
    added = dict(
        skin=np.clip(skin, .03, .95), hair=hair,
        brow=np.clip(hair * rng.uniform(.55, 1.15), .03, .7), brow_high=rng.normal(-.6, 2.0),
        brow_thick=look["brow_thick"] * rng.uniform(.7, 1.4), brow_dark=rng.uniform(.3, .95),
        sclera=rng.uniform(.5, .85), socket=rng.uniform(.02, .38), mottle=rng.uniform(.01, .07),
        gloss=rng.uniform(.2, 2.2), hairline=rng.uniform(166, 215), fringe=rng.uniform(0, 6),
        lash=rng.uniform(.3, .9), blush=rng.uniform(0, .1), catchlight=rng.uniform(0, .9),
        mass=rng.uniform(.0, 1) if rng.random() < .75 else None,
        mass_long=rng.random() < (.25 if male else .75), lip_strength=rng.uniform(.15, .9),
        furrows=draw_furrows(rng, age), resting=draw_resting(rng, age),
        wrinkle=look["wrinkle"] * rng.uniform(.5, 1.25), strands=rng.uniform(.1, .5),
        beard_shape=draw_beard(rng) if male and rng.random() < .4 else None,
        glasses=draw_glasses(rng) if rng.random() < .22 else None,
        hat=draw_hat(rng) if rng.random() < .08 else None
    )
    return look | added


def draw_furrows(rng, age):
    """Lines that stay when the face rests, as levels [20] of the AUs that would make them."""
    levels = np.zeros(len(AUS))
    for au, most in STAYING.items():
        levels[INDEX[au]] = most * rng.beta(1.2, 1.8) * np.clip((age - .4) * 2.2, .15, 1.1)
    return levels


def draw_resting(rng, age):
    """How the face rests: {face unit: weight}, to be added to what the face does."""
    weights = {unit: sd * rng.standard_normal() for unit, sd in RESTING.items()}
    weights["eyeBlink*"] += HOODED + .1 * np.clip(age - .5, 0, 1) * rng.random()
    corner = .16 * rng.standard_normal() - .12 * np.clip(age - .6, 0, 1)
    weights["mouthSmile*" if corner > 0 else "mouthFrown*"] = abs(corner)
    return weights


def draw_beard(rng):
    """A beard: how dense, and whether it covers the upper lip, the chin and the cheeks."""
    shapes = [(1, 0, 0), (1, 1, 0), (1, 1, 1), (0, 1, 0), (.8, .8, .8)]
    return dict(dense=rng.uniform(.35, .97), shape=shapes[rng.integers(len(shapes))])


def draw_glasses(rng):
    """Glasses: half width, height and roundness of a lens in millimetres, rim, bridge, tint,
    glare."""
    dark = rng.random() < .07
    return dict(wide=rng.uniform(21, 28), high=rng.uniform(13, 22), power=rng.uniform(2, 5),
                rim=rng.uniform(.5, 2.4),
                colour=np.clip(rng.choice([.05, .1, .45]) + .08 * rng.standard_normal(3), .02, .8),
                tint=rng.uniform(.7, .95) if dark else rng.uniform(0, .15),
                glare=rng.uniform(0, .5) * (rng.random() < .5), drop=rng.normal(-1.5, 2),
                rimless=rng.random() < .15)


def draw_hat(rng):
    """A hat or cap: how low it sits, millimetres on the average face; its colour; whether it has a
    peak."""
    return dict(low=rng.uniform(162, 182),
                colour=rng.uniform(.04, .9) * np.exp(.2 * rng.standard_normal(3)),
                peak=rng.uniform(4, 12), bend=rng.uniform(-.004, .004))


def draw_scene(rng, scene):
    """A session's plain scene (see scene.draw_scene) with the world's light, walls, obstacles and
    cameras."""
    turn, lift = np.radians(rng.uniform(-95, 95)), np.radians(rng.uniform(-15, 80))
    strength = rng.beta(1.3, 1.5) * 1.15 + .08
    colour = np.exp(rng.choice([.03, .15], p=[.75, .25]) * rng.standard_normal(3))
    small = rng.random()
    added = dict(
        key=np.array([np.sin(turn) * np.cos(lift), -np.cos(turn) * np.cos(lift), np.sin(lift)]),
        strength=strength, colour=colour,
        sky=(1.1 - .8 * min(strength, 1)) * rng.uniform(.45, 1.1), bounce=rng.uniform(.15, .8),
        shadow=rng.uniform(.35, 1), exposure=1.0, meter=np.clip(rng.normal(.46, .11), .18, .75),
        contrast=np.exp(rng.normal(.05, .22)), gamma=np.exp(rng.normal(0, .12)),
        saturation=0.0 if rng.random() < .4 else np.clip(rng.normal(.9, .3), .1, 1.6),
        gloss=rng.uniform(.03, .3), noise=rng.beta(1, 4) * .045, blur=0.0,
        soft=rng.beta(1, 2.2) * 1.3, shrink=1 + 1.4 * max(0, small - .6) / .4,
        jpeg=int(rng.integers(25, 97)), wall=draw_wall(rng),
        bar=draw_bar(rng) if rng.random() < .1 else None,
        wedge=draw_wedge(rng) if rng.random() < .2 else None,
        jitter=np.array([.022, .022, .03, 2.0]) * rng.uniform(.3, 1.3)
    )
    return scene | added


def draw_wall(rng):
    """A background: uint8-free numbers only: coarse and fine grids of colours, and how much each
    matters."""
    base = rng.uniform(.03, .97, 3) * rng.choice([.35, 1]) + rng.choice([0, .1])
    grids = [share * rng.standard_normal((n, n, colours)) for n, share, colours in (
        (3, rng.uniform(0, .35), 1), (8, rng.uniform(0, .25), 3), (24, rng.uniform(0, .15), 1)
    )]
    return dict(base=base, grids=grids, sharp=rng.random() < .3)


def draw_bar(rng):
    """A thing in front of the face, such as a hand or a microphone: a thick line in shares of the
    picture."""
    start = np.array([rng.uniform(-.2, 1.2), rng.uniform(.75, 1.2)])
    end = np.array([rng.uniform(.1, .9), rng.uniform(.45, .95)])
    skin = rng.random() < .5
    return dict(start=start, end=end, width=rng.uniform(.05, .14),
                colour=None if skin
                       else np.clip(rng.uniform(.03, .9) + .1 * rng.standard_normal(3), .02, .95))


def draw_wedge(rng):
    """The black corner of a registered photo whose edge was near: a half plane in shares of the
    picture."""
    angle = rng.choice([0, .5, 1, 1.5]) * np.pi + .25 * rng.standard_normal()
    return dict(normal=np.array([np.cos(angle), np.sin(angle)]), far=rng.uniform(.33, .5))


def rested(weights, resting, unit_names):
    """Face unit weights [B,52] with how each face rests (B dicts of draw_resting); shut lids stay
    just shut."""
    column = {name: i for i, name in enumerate(unit_names)}
    weights = weights.copy()
    for row, own in zip(weights, resting):
        for name, value in own.items():
            for side in (("Left", "Right") if name.endswith("*") else ("",)):
                row[column[name.rstrip("*") + side]] += value
        for side in ("Left", "Right"):
            row[column["eyeBlink" + side]] = min(row[column["eyeBlink" + side]], 1.0)
    return weights


def paint(painter, look, texture):
    """A person's texture [4,H,W] with a beard, strands in brows and beard, and a hairline of
    locks."""
    rng = np.random.default_rng(look["seed"] + 1)
    x, z = painter.x, painter.z
    strands = painter.fields[(130, 110)][int(rng.integers(painter.FIELDS))]
    coarse = painter.fields[(44, 38)][int(rng.integers(painter.FIELDS))]
    hair = (torch.tensor(look["hair"], dtype=torch.float32)[:, None, None]
            * (1 + .35 * strands).clamp(.2, 2))
    colours = texture[:3]
    if look["beard_shape"]:
        lip, chin, cheek = look["beard_shape"]["shape"]
        cover = torch.maximum(lip * bump(x, z, 0, 83, 19, 4.5),
                              chin * bump(x, z, 0, 44, 17, 13)).clamp(max=1)
        cover = torch.maximum(cover, cheek * painter.bearded)
        cover = ((look["beard_shape"]["dense"] * (1.6 * cover + .15 * coarse * cover)).clamp(0, 1)
                 * (1 - painter.lips))
        colours = torch.lerp(colours, hair, cover)
    locks = torch.sigmoid(
        (z - look["hairline"] + look["hair_round"] * x ** 2 + look["fringe"] * coarse) / 1.5
    )
    colours = torch.lerp(colours, hair, locks)
    return torch.cat([colours.clamp(.01, 1), texture[3:] * (1 - .8 * locks)])


def catchlights(albedo, rest, kind, looks, scenes, gaze):
    """The lamp's reflection on wet eyes, into albedo [B,n,n,3]; gaze [B,2] millimetres."""
    where = (kind == EYE).nonzero(as_tuple=True)
    of = lambda values: torch.tensor(np.array(values), dtype=torch.float32,
                                     device=albedo.device)[where[0]]
    key = of([scene["key"] for scene in scenes])
    strength = of([look["catchlight"] for look in looks])
    x, z = rest[where][:, 0] * 1000, rest[where][:, 2] * 1000
    side = torch.where(x > 0, IRIS_X, -IRIS_X) + gaze[where[0], 0] + 3 * key[:, 0]
    away = (x - side) ** 2 + (z - IRIS_Z - gaze[where[0], 1] - 3 * key[:, 2]) ** 2
    albedo[where] = albedo[where] + 2.5 * (strength * torch.exp(-away / 1.6))[:, None]
