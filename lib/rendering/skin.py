"""What skin, brows, lips and hair look like: one texture a person, painted in the average face's
front view.

A texel is a place of the average face (x to the person's left, z up, millimetres), so paint moves
with the skin whatever the person's shape or expression.
"""
import numpy as np
import torch
from torch.nn.functional import interpolate

STEP = 0.8                              # millimetres a texel
LEFT, RIGHT, BOTTOM, TOP = -88.0, 88.0, 12.0, 220.0
WIDTH, HEIGHT = int((RIGHT - LEFT) / STEP), int((TOP - BOTTOM) / STEP)
EYE_X, EYE_Z = 30.0, 136.2              # centre of the left eye's opening
LIP_LINE = 70.3                         # height at which the lips meet
MOUTH_X = 22.3                          # half the mouth's width


def places():
    """x and z in millimetres of every texel, each [HEIGHT,WIDTH]; row 0 is the top."""
    x = LEFT + (torch.arange(WIDTH) + 0.5) * STEP
    z = TOP - (torch.arange(HEIGHT) + 0.5) * STEP
    return x[None].expand(HEIGHT, WIDTH), z[:, None].expand(HEIGHT, WIDTH)


def texture_grid(rest):
    """Sampling coordinates in [-1, 1] for grid_sample from rest positions [...,3] in metres."""
    x = (rest[..., 0] * 1000 - LEFT) / (RIGHT - LEFT) * 2 - 1
    z = (TOP - rest[..., 2] * 1000) / (TOP - BOTTOM) * 2 - 1
    return torch.stack([x, z], -1)


def bump(x, z, cx, cz, rx, rz):
    """A smooth round spot, 1 in its middle."""
    return torch.exp(-0.5 * (((x - cx) / rx) ** 2 + ((z - cz) / rz) ** 2))


def lip_mask(x, z):
    """How much of a texel is lip [HEIGHT,WIDTH]: a bow above the line where the lips meet, one
    below."""
    x = x.abs()
    u = (x / 22.5).clamp(max=1)
    middle = LIP_LINE - .6 * u ** 2
    top = middle + 8.6 * (1 - u ** 1.6) * (1 - .16 * torch.exp(-(x / 3.2) ** 2))
    bottom = middle - 11.2 * (1 - u ** 2.2)
    return (torch.sigmoid((top - z) / .5) * torch.sigmoid((z - bottom) / .6)
            * torch.sigmoid((MOUTH_X - x) / .5))


def lash_mask(x, z):
    """The lids' margins with lashes, the upper one stronger [HEIGHT,WIDTH]."""
    u = (x.abs() - EYE_X) / 13.6
    rim = (1 - u ** 2).clamp(min=0).sqrt()
    upper = torch.exp(-(((z - (EYE_Z + 5.3 * rim)) / 1.3) ** 2))
    lower = torch.exp(-(((z - (EYE_Z - 4.9 * rim)) / 1.0) ** 2))
    return (upper + 0.35 * lower) * (u.abs() < 1.08)


def draw_colours(rng, phenotypes):
    """Skin, hair, brow and iris colours (RGB in [0, 1]) that fit ancestry and age."""
    mix = np.array([phenotypes[k] for k in ("african", "asian", "caucasian")])
    skin = mix @ np.array([[.44, .29, .22], [.84, .65, .51], [.90, .70, .60]])
    skin = skin * rng.uniform(0.9, 1.08) * np.exp(0.03 * rng.standard_normal(3))
    hair = np.array([.07, .055, .05]) if rng.random() < 1 - 0.6 * mix[2] else np.array(
        [[.3, .18, .1], [.2, .13, .08], [.5, .36, .2], [.42, .2, .1]][rng.integers(4)])
    brow = hair * rng.uniform(0.7, 1.2)
    if phenotypes["age"] > 0.7 and rng.random() < 0.5:  # grey
        hair, brow = 0.35 * hair + 0.4, 0.6 * brow + 0.15
    light = rng.random() < 0.75 * mix[2] ** 1.5
    iris = np.array([[.35, .5, .6], [.35, .45, .3], [.4, .42, .45]][rng.integers(3)] if light else
                    [[.22, .13, .08], [.3, .18, .09], [.14, .09, .07]][rng.integers(3)])
    return dict(skin=skin, hair=hair, brow=np.clip(brow, .03, .7),
                iris=iris * rng.uniform(.8, 1.2), fair=mix[2])


def draw_look(rng, phenotypes):
    """A person's colours and details, a dict of floats and RGB arrays, fitting geometry's ancestry
    and age."""
    look = draw_colours(rng, phenotypes)
    male = phenotypes["gender"] > 0.5
    made_up = (not male) and rng.random() < 0.4
    look.update(
        lip=(np.array([.92, .58, .58]) * np.exp(0.08 * rng.standard_normal(3))
             * (.85 if made_up else 1)),
        lip_strength=rng.uniform(.6, .95) if made_up else rng.uniform(.4, .8),
        brow_thick=rng.uniform(1.8, 3.7) * (1.1 if male else .85), brow_high=rng.normal(0, 1.2),
        brow_tilt=rng.normal(0, .06), brow_arch=rng.uniform(.5, 4),
        brow_dark=rng.uniform(.65, .95), brow_inner=rng.uniform(8, 13),
        brow_outer=rng.uniform(47, 54), hairline=rng.uniform(181, 210),
        hair_round=rng.uniform(.004, .012), side=rng.uniform(61, 74),
        beard=rng.choice([0, rng.uniform(.1, .4)]) if male else 0.0,
        lash=rng.uniform(.6, .9) if made_up else rng.uniform(.35, .65), blush=rng.uniform(0, .07),
        socket=rng.uniform(.02, .14), mottle=rng.uniform(.01, .04),
        freckle=rng.uniform(.1, .3) if rng.random() < .2 * look["fair"] + .03 else 0.0,
        gloss=rng.uniform(.3, 1.2), wrinkle=.75 + .5 * phenotypes["age"] * rng.uniform(.8, 1.1),
        teeth=rng.uniform(.78, .95), sclera=rng.uniform(.82, .95), iris_size=rng.uniform(5.4, 6.1)
    )
    return look | dict(seed=int(rng.integers(1 << 31)))


class Painter:
    """Paints textures. What does not depend on the person is computed once: places, spots, fields
    of noise."""

    FIELDS = 24  # noise fields of a scale to choose from

    def __init__(self):
        self.x, self.z = places()
        x, z = self.x, self.z
        self.lips, self.lashes = lip_mask(x, z), lash_mask(x, z)
        self.red = bump(x.abs(), z, 42, 105, 14, 12) + .7 * bump(x, z, 0, 100, 14, 10)
        self.hollow = (bump(x.abs(), z, 28, 124, 13, 5) + 1.2 * bump(x.abs(), z, 19, 140, 5, 7)
                       + bump(x.abs(), z, 31, 145, 13, 4))
        self.seam = 1 - .35 * torch.exp(-(((z - LIP_LINE) / 0.9) ** 2)) * (x.abs() < 22)
        self.freckled = bump(x.abs(), z, 25, 112, 30, 22)
        self.bearded = ((1 - bump(x, z, 0, 112, 44, 22)).clamp(0, 1)
                        * torch.sigmoid((92 - z + .25 * x.abs()) / 4) * (1 - .7 * self.lips))
        self.oily = (
            1 + .5 * bump(x, z, 0, 175, 30, 15) + .6 * bump(x, z, 0, 105, 8, 18) + 1.2 * self.lips
        )
        g = torch.Generator().manual_seed(8)
        self.fields = {scale: interpolate(torch.randn(self.FIELDS, 1, *scale, generator=g),
                                          (HEIGHT, WIDTH), mode="bicubic")[:, 0]
                       for scale in ((12, 10), (44, 38), (130, 110), (60, 110))}

    def brows(self, look):
        """Where the brows are [HEIGHT,WIDTH]: tapered arcs above each eye."""
        away = self.x.abs()
        along = (away - look["brow_inner"]) / (look["brow_outer"] - look["brow_inner"])
        inside = along.clamp(0, 1)
        height = 150.5 + look["brow_high"] + look["brow_arch"] * (1 - (2 * (inside - .62)) ** 2) + \
            look["brow_tilt"] * (away - EYE_X)
        thick = look["brow_thick"] * (0.45 + 0.55 * torch.sin((0.25 + 0.75 * inside) * 3.1416))
        return (torch.sigmoid((thick - (self.z - height).abs()) / 0.7)
                * torch.sigmoid(along * 22) * torch.sigmoid((1 - along) * 22))

    def __call__(self, look):
        """A person's texture, float [4,HEIGHT,WIDTH]: albedo RGB in [0, 1] and gloss."""
        rng = np.random.default_rng(look["seed"])
        noise = lambda *scale: self.fields[scale][int(rng.integers(self.FIELDS))]
        colour = lambda name: torch.tensor(np.asarray(look[name]),
                                           dtype=torch.float32)[:, None, None]
        shade = ((1 + look["mottle"] * (noise(12, 10) + noise(44, 38)))
                 * (1 - look["socket"] * self.hollow) * self.seam)
        red = look["blush"] * self.red
        out = colour("skin") * torch.stack([shade * (1 + .3 * red), shade * (1 - red),
                                            shade * (1 - .8 * red)])
        if look["freckle"]:
            spots = look["freckle"] * (noise(130, 110) - 1.1).clamp(0, 1) * self.freckled
            out = out * (1 - torch.stack([.5 * spots, spots, spots]))
        if look["beard"]:
            beard = look["beard"] * self.bearded
            out = out * (1 - beard) + beard * .6 * colour("hair")
        mix = self.lips * look["lip_strength"]
        out = out * (1 - mix + mix * colour("lip"))
        strands = noise(60, 110)
        brow = self.brows(look) * look["brow_dark"] * (0.85 + 0.25 * strands).clamp(.3, 1.3)
        brow = brow.clamp(0, 1)
        out = torch.lerp(out, colour("brow"), brow)
        lash = (self.lashes * look["lash"]).clamp(0, 1)
        out = out * (1 - lash) + lash * .05
        line = look["hairline"] - look["hair_round"] * self.x ** 2 + 1.5 * noise(12, 10)
        hair = torch.maximum(
            torch.sigmoid((self.z - line) / 1.8),
            torch.sigmoid((self.x.abs() - look["side"]) / 2) * torch.sigmoid((self.z - 125) / 4)
        )
        out = torch.lerp(out, colour("hair") * (1 + .2 * strands), hair)
        return torch.cat([out.clamp(.01, 1), (look["gloss"] * self.oily * (1 - hair))[None]])
