"""Signs of AUs in the skin itself: furrows, folds, bulges, and lips that pale when they are
pressed.

Geometry alone is too smooth at this size: real AUs are read from wrinkles as much as from shape.
Each sign belongs to one AU, lies in that AU's region, moves with the skin and grows smoothly with
intensity.
"""
import torch

from lib.rendering.skin import HEIGHT, LIP_LINE, STEP, WIDTH, Painter, bump
from lib.rendering.units import AUS, INDEX

STRENGTH = 0.7      # of all signs, so that a level of 1 is a strong expression and no mask
SHADE = 0.28        # log albedo a millimetre of depth: light does not reach into a furrow


def groove(x, z, *points, width=1.2):
    """Height of a furrow along a polyline, -1 at its deepest and thinning out at its ends; width
    in mm."""
    best, along = torch.full_like(x, 1e9), torch.zeros_like(x)
    steps = len(points) - 1
    for i, ((ax, az), (bx, bz)) in enumerate(zip(points, points[1:])):
        dx, dz = bx - ax, bz - az
        t = (((x - ax) * dx + (z - az) * dz) / (dx * dx + dz * dz)).clamp(0, 1)
        far = (x - ax - t * dx) ** 2 + (z - az - t * dz) ** 2
        along = torch.where(far < best, (i + t) / steps, along)
        best = torch.minimum(best, far)
    deep = 0.25 + 0.75 * torch.sin(3.14159 * along).clamp(min=0) ** 0.7
    return -torch.exp(-best / (2 * width ** 2)) * deep


def upper_reliefs(x, z):
    """AU -> height in millimetres [HEIGHT,WIDTH] at level 1 of signs of the upper face; x is 0 or
    more."""
    cut = lambda *points, width=1.2: groove(x, z, *points, width=width)
    return {
        1: 1.7 * (cut((-20, 160.5), (0, 162), (21, 159.5), width=1.5)
                  + cut((-23, 168), (0, 168.5), (23, 167.5), width=1.5)),
        2: 1.7 * (cut((24, 160), (37, 163), (52, 158), width=1.5)
                  + cut((26, 167.5), (38, 170), (50, 166), width=1.5)),
        4: 2.2 * cut((4.5, 144), (6.8, 151), (6, 158), width=1.5)
           + .8 * cut((-5, 145), (0, 146), (5, 145)),
        5: 1.5 * cut((17, 143), (30, 148.5), (44, 143), width=1.4),
        6: 1.3 * (cut((46.5, 138), (52, 141), (58, 145))
                  + cut((47, 135), (60, 135.5)) + cut((46, 132), (57, 127)))
           + 1.5 * cut((19, 124), (30, 119.5), (43, 121.5), width=1.4)
           + 2.4 * bump(x, z, 36, 111, 9, 6),
        7: 2.0 * bump(x, z, 30, 127.5, 12, 1.6) + 1.5 * cut((17, 127), (30, 123.5), (43, 127.5)),
        9: 1.5 * (cut((3, 135), (10, 129))
                  + cut((4, 128.5), (12, 122)) + cut((5.5, 122), (12.5, 115)))
           + 1.3 * (cut((-7, 141), (7, 141)) + cut((-6, 136.5), (6, 136.5)))
           + 1.2 * cut((17, 110), (22, 99)),
        43: .6 * cut((18, 140), (30, 145.5), (43, 140)),
    }


def lower_reliefs(x, z, pebbles):
    """The same for the lower face; pebbles: fine noise [HEIGHT,WIDTH] for the chin's dimpled
    skin."""
    cut = lambda *points, width=1.2: groove(x, z, *points, width=width)
    pleats = lambda ends, away: sum(
        cut((a, ends[0]), (a * away, ends[1]), width=1.0) for a in (2.5, 7, 11.5)
    )
    return {
        10: 2.0 * cut((18, 107), (25, 98), (30, 84), width=1.6) + 1.2 * bump(x, z, 25, 106, 5, 5),
        12: 2.0 * cut((20, 102), (29, 91), (34, 80), (33.5, 70), width=1.7)
            + 1.6 * bump(x, z, 39, 95, 8, 8),
        14: -2.2 * bump(x, z, 27.5, 70, 2.0, 4.2) + 1.0 * bump(x, z, 32.5, 70, 2.4, 5.5),
        15: 1.9 * cut((24.5, 67), (28.5, 58), (28, 47), width=1.5)
            + 1.0 * bump(x, z, 22, 59, 3, 3),
        17: .9 * pebbles * bump(x, z, 0, 43, 9, 6)
            + 2.0 * cut((-15, 51.5), (-9, 54), (0, 54.5), (9, 54), (15, 51.5), width=1.5)
            + 1.6 * bump(x, z, 0, 43, 9, 6),
        18: 1.1 * (pleats((79.5, 88), 1.25) + pleats((58, 51), 1.2)),
        20: 1.6 * (cut((27, 67), (38, 62)) + cut((27, 60), (37, 52)))
            + .9 * cut((24, 71), (36, 72)),
        23: .6 * (pleats((79, 84), 1.0) + pleats((58.5, 54.5), 1.0))
            - 1.0 * bump(x, z, 0, 84, 14, 2.2),
        24: 2.0 * bump(x, z, 0, 84.5, 14, 2.6)
            + 2.0 * bump(x, z, 0, 54, 12, 2.6) + 1.4 * cut((20, 72), (26, 70), (27, 65))
    }


def tints(x, z, lips):
    """AU -> change of the logarithm of albedo, RGB [3,HEIGHT,WIDTH], at level 1: blood and
    shadow."""
    rgb = lambda mask, r, g, b: mask * torch.tensor([r, g, b])[:, None, None]
    seam = lips * torch.exp(-(((z - LIP_LINE) / 3.0) ** 2))
    return {
        4: rgb(bump(x, z, 5.5, 151, 2.6, 5), -.16, -.18, -.18),
        5: rgb(bump(x, z, 30, 146, 11, 2.2), -.2, -.22, -.22),
        6: rgb(bump(x, z, 38, 112, 9, 6), .06, -.02, -.02),
        9: rgb(bump(x, z, 8, 126, 5, 8), -.08, -.14, -.14),
        10: rgb(bump(x, z, 26, 97, 4, 5), -.1, -.12, -.12),
        14: rgb(bump(x, z, 27, 70, 2.6, 4.5), -.22, -.26, -.26),
        15: rgb(bump(x, z, 25.5, 64, 3, 4), -.22, -.25, -.25),
        17: rgb(bump(x, z, 0, 54, 10, 2), -.16, -.18, -.18),
        20: rgb(bump(x, z, 32, 62, 6, 4), -.1, -.12, -.12),
        23: rgb(lips, .06, .26, .24),
        24: rgb(seam, -.45, -.3, -.3),
        43: rgb(bump(x, z, 30, 143, 12, 3), -.1, -.12, -.12),
    }


class Signs:
    """All signs as one table, so that an image's are a matrix product.

    maps: float [2*20,5,HEIGHT,WIDTH] for the left half of every AU, then the right: log albedo RGB
    and the height's slopes towards +x and +z.
    """

    def __init__(self, painter: Painter, device="cpu"):
        x, z = painter.x, painter.z
        pebbles = painter.fields[(60, 110)][0]
        relief = upper_reliefs(x.abs(), z) | lower_reliefs(x.abs(), z, pebbles)
        colour = tints(x.abs(), z, painter.lips)
        maps = torch.zeros(2, len(AUS), 5, HEIGHT, WIDTH)
        for side, half in enumerate((torch.sigmoid(x), torch.sigmoid(-x))):
            for au, height in relief.items():
                down, across = torch.gradient(height, spacing=STEP)
                maps[side, INDEX[au], :3] += half * SHADE * height.clamp(max=0)
                maps[side, INDEX[au], 3:] += half * torch.stack([across, -down])
            for au, tint in colour.items():
                maps[side, INDEX[au], :3] += half * tint
        self.maps = (STRENGTH * maps.flatten(0, 1)).to(device)

    def __call__(self, left, right, wrinkle):
        """Signs [B,5,HEIGHT,WIDTH] of AU levels [B,20] of both halves; wrinkle [B] is how deeply a
        skin folds."""
        return torch.tensordot(torch.cat([left, right], 1) * wrinkle[:, None], self.maps, dims=1)
