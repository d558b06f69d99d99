"""What skin, brows, lips and hair look like: one texture a person, painted in the average face's front view.

A texel is a place of the average face (x to the person's left, z up, millimetres), so paint moves with
the skin whatever the person's shape or expression.
"""
import numpy as np
import torch

STEP = 0.8                              # millimetres a texel
LEFT, RIGHT, BOTTOM, TOP = -88.0, 88.0, 12.0, 220.0
WIDTH, HEIGHT = int((RIGHT - LEFT) / STEP), int((TOP - BOTTOM) / STEP)
EYE_X, EYE_Z = 30.0, 136.2              # centre of the left eye's opening


def places(device="cpu"):
    """x and z in millimetres of every texel, each [HEIGHT,WIDTH]; row 0 is the top."""
    x = LEFT + (torch.arange(WIDTH, device=device) + 0.5) * STEP
    z = TOP - (torch.arange(HEIGHT, device=device) + 0.5) * STEP
    return x[None].expand(HEIGHT, WIDTH), z[:, None].expand(HEIGHT, WIDTH)


def texture_grid(rest):
    """Sampling coordinates in [-1, 1] for grid_sample from rest positions [...,3] in metres."""
    x = (rest[..., 0] * 1000 - LEFT) / (RIGHT - LEFT) * 2 - 1
    z = (TOP - rest[..., 2] * 1000) / (TOP - BOTTOM) * 2 - 1
    return torch.stack([x, z], -1)


def draw_look(rng, phenotypes):
    """A person's colours and details, a dict of floats and float lists, fitting geometry's ancestry and age."""
    mix = np.array([phenotypes[k] for k in ("african", "asian", "caucasian")])
    skin = mix @ np.array([[.42, .28, .21], [.84, .65, .51], [.90, .70, .60]])
    skin = skin * rng.uniform(0.9, 1.08) * np.exp(0.035 * rng.standard_normal(3))
    grey = phenotypes["age"] > 0.7 and rng.random() < 0.6
    dark = rng.random() < 1 - 0.6 * mix[2]
    hair = np.array([.07, .055, .05]) if dark else np.array(
        [[.3, .18, .1], [.2, .13, .08], [.5, .36, .2], [.42, .2, .1]][rng.integers(4)])
    brow = hair * rng.uniform(0.7, 1.2)
    if grey:
        hair = 0.35 * hair + 0.4
        brow = 0.6 * brow + 0.2
    light_eyes = rng.random() < 0.75 * mix[2] ** 1.5
    iris = np.array([[.35, .5, .6], [.35, .45, .3], [.4, .42, .45]][rng.integers(3)] if light_eyes else
                    [[.22, .13, .08], [.3, .18, .09], [.14, .09, .07]][rng.integers(3)])
    male = phenotypes["gender"] > 0.5
    made_up = (not male) and rng.random() < 0.4
    return dict(skin=skin, hair=hair, brow=np.clip(brow, .03, .8), iris=iris * rng.uniform(.8, 1.2),
                lip=np.array([.92, .58, .58]) * np.exp(0.08 * rng.standard_normal(3)) * (.85 if made_up else 1),
                lip_strength=rng.uniform(.55, .95) if made_up else rng.uniform(.3, .75),
                brow_thick=rng.uniform(1.8, 3.9) * (1.1 if male else .85), brow_high=rng.normal(0, 1.2),
                brow_tilt=rng.normal(0, .06), brow_arch=rng.uniform(.5, 4), brow_dark=rng.uniform(.65, .95),
                brow_inner=rng.uniform(8, 13), brow_outer=rng.uniform(47, 54),
                hairline=rng.uniform(172, 205), hair_round=rng.uniform(.004, .016), side=rng.uniform(60, 74),
                beard=rng.choice([0, rng.uniform(.1, .45)]) if male else 0.0,
                lash=rng.uniform(.55, .85) if made_up else rng.uniform(.3, .6),
                blush=rng.uniform(0, .1), socket=rng.uniform(.02, .14), mottle=rng.uniform(.02, .06),
                freckle=rng.uniform(.1, .3) if rng.random() < .2 * mix[2] + .03 else 0.0,
                gloss=rng.uniform(.3, 1.2), wrinkle=.8 + .5 * phenotypes["age"] * rng.uniform(.7, 1.1),
                teeth=rng.uniform(.78, .95), sclera=rng.uniform(.82, .95), iris_size=rng.uniform(5.4, 6.1),
                seed=int(rng.integers(1 << 31)))


def bump(x, z, cx, cz, rx, rz):
    """A smooth round spot, 1 in its middle."""
    return torch.exp(-0.5 * (((x - cx) / rx) ** 2 + ((z - cz) / rz) ** 2))


def noise(generator, rows, columns):
    """Smooth noise [HEIGHT,WIDTH] of unit strength from a coarse random grid."""
    coarse = torch.randn(1, 1, rows, columns, generator=generator)
    return torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic")[0, 0]


def brow_mask(x, z, look):
    """Where the brows are [HEIGHT,WIDTH]: tapered arcs above each eye."""
    along = (x.abs() - look["brow_inner"]) / (look["brow_outer"] - look["brow_inner"])
    inside = along.clamp(0, 1)
    height = 150.5 + look["brow_high"] + look["brow_arch"] * (1 - (2 * (inside - .62)) ** 2) + \
        look["brow_tilt"] * (x.abs() - EYE_X)
    thick = look["brow_thick"] * (0.45 + 0.55 * torch.sin((0.25 + 0.75 * inside) * 3.1416))
    ends = torch.sigmoid(along * 22) * torch.sigmoid((1 - along) * 22)
    return torch.sigmoid((thick - (z - height).abs()) / 0.7) * ends


def lash_mask(x, z):
    """The lids' margins with lashes, the upper one stronger [HEIGHT,WIDTH]."""
    u = (x.abs() - EYE_X) / 13.6
    rim = (1 - u ** 2).clamp(min=0).sqrt()
    upper = torch.exp(-(((z - (EYE_Z + 5.3 * rim)) / 1.3) ** 2))
    lower = torch.exp(-(((z - (EYE_Z - 4.9 * rim)) / 1.0) ** 2))
    return (upper + 0.35 * lower) * (u.abs() < 1.08)


def paint(look, lips, x, z):
    """A person's texture, float [4,HEIGHT,WIDTH]: albedo RGB in [0, 1] and gloss."""
    g = torch.Generator().manual_seed(look["seed"])
    colour = lambda name: torch.tensor(np.asarray(look[name]), dtype=torch.float32)[:, None, None]
    skin = colour("skin").expand(3, HEIGHT, WIDTH)
    mottle = 1 + look["mottle"] * (noise(g, 12, 10) + 0.6 * noise(g, 44, 38))
    skin = skin * mottle
    red = look["blush"] * (bump(x.abs(), z, 42, 105, 14, 12) + .7 * bump(x, z, 0, 100, 14, 10))
    skin = skin * torch.stack([1 + .3 * red, 1 - red, 1 - .8 * red])
    hollow = look["socket"] * (bump(x.abs(), z, 28, 124, 13, 5) + 1.2 * bump(x.abs(), z, 19, 140, 5, 7)
                               + bump(x.abs(), z, 31, 145, 13, 4))
    skin = skin * (1 - hollow)
    if look["freckle"]:
        spots = (noise(g, 130, 110) - 1.1).clamp(0, 1) * bump(x.abs(), z, 25, 112, 30, 22)
        skin = skin * (1 - look["freckle"] * torch.stack([.5 * spots, spots, spots]))
    beard = look["beard"] * (1 - bump(x, z, 0, 112, 44, 22)).clamp(0, 1) * torch.sigmoid((92 - z + .25 * x.abs()) / 4)
    skin = skin * (1 - beard * (1 - .7 * lips)) + beard * (1 - .7 * lips) * .6 * colour("hair")
    skin = skin * (1 - .35 * torch.exp(-(((z - 70.3) / 0.9) ** 2)) * (x.abs() < 22))  # the line between lips
    mix = (lips * look["lip_strength"])[None]
    out = skin * (1 - mix) + mix * skin * colour("lip") * 1.0
    strands = (0.85 + 0.25 * noise(g, 60, 110)).clamp(.3, 1.3)
    brow = (brow_mask(x, z, look) * look["brow_dark"] * strands).clamp(0, 1)
    out = out * (1 - brow) + brow * colour("brow")
    lash = (lash_mask(x, z) * look["lash"]).clamp(0, 1)
    out = out * (1 - lash) + lash * .05
    line = look["hairline"] - look["hair_round"] * x ** 2 + 1.5 * noise(g, 8, 40)
    hair = torch.maximum(torch.sigmoid((z - line) / 1.8), torch.sigmoid((x.abs() - look["side"]) / 2) *
                         torch.sigmoid((z - 125) / 4))
    out = out * (1 - hair) + hair * colour("hair") * (1 + .2 * noise(g, 20, 120))
    gloss = look["gloss"] * (1 + .5 * bump(x, z, 0, 175, 30, 15) + .6 * bump(x, z, 0, 105, 8, 18) + 1.2 * lips) * (1 - hair)
    return torch.cat([out.clamp(.01, 1), gloss[None]])
