"""Signs of AUs in the skin itself: furrows, folds, bulges, and lips that pale when they are pressed.

Geometry alone is too smooth at this size: real AUs are read from wrinkles as much as from shape. Each
sign belongs to one AU, lies in that AU's region, moves with the skin and grows smoothly with intensity.
"""
import torch

from lib.rendering.skin import HEIGHT, STEP, WIDTH, bump, places
from lib.rendering.units import AUS, INDEX


def line(x, z, points, width):
    """Profile of a groove along a polyline, 1 in its middle; width in mm (standard deviation)."""
    best = torch.full_like(x, 1e9)
    for (ax, az), (bx, bz) in zip(points, points[1:]):
        dx, dz = bx - ax, bz - az
        t = (((x - ax) * dx + (z - az) * dz) / (dx * dx + dz * dz)).clamp(0, 1)
        best = torch.minimum(best, (x - ax - t * dx) ** 2 + (z - az - t * dz) ** 2)
    return torch.exp(-best / (2 * width ** 2))


def reliefs(x, z):
    """AU -> height in millimetres [HEIGHT,WIDTH] of its skin at level 1; x is 0 or more (one half)."""
    def groove(*points, width=1.1):
        return -line(x, z, points, width)

    forehead = lambda a, b, rise: sum(groove((a, h), ((a + b) / 2, h + rise), (b, h - rise / 2)) for h in (161, 167.5, 174))
    pebbles = torch.sin(x * 2.0) * torch.sin((z + .4 * x) * 1.9) * bump(x, z, 0, 42, 8, 6)
    return {
        1: 1.3 * forehead(0, 22, 0.8),
        2: 1.3 * forehead(25, 50, 1.0),
        4: 1.8 * groove((5.5, 144), (6.5, 152), (5, 160), width=1.3) + .7 * groove((0, 146), (5, 145)),
        6: 1.1 * (groove((47, 138), (59, 145)) + groove((47, 135), (61, 135.5)) + groove((46, 132), (58, 126)))
           + 1.3 * groove((20, 124), (30, 119.5), (43, 121)) + 2.2 * bump(x, z, 36, 111, 9, 6),
        7: 1.5 * bump(x, z, 30, 127.5, 12, 1.6) + 1.0 * groove((17, 127), (30, 123.8), (43, 127.5), width=.9),
        9: 1.3 * (groove((4, 135), (10, 129)) + groove((5, 128.5), (12, 122)) + groove((6, 122), (12.5, 115)))
           + 1.2 * (groove((0, 141), (7, 140)) + groove((0, 137), (6, 136))) + 1.0 * groove((18, 108), (22, 99)),
        10: 1.7 * groove((19, 105), (26, 96), (29, 86), width=1.5) + 1.0 * bump(x, z, 26, 104, 5, 5),
        12: 2.0 * groove((20, 102), (29, 90), (34, 76), (33, 68), width=1.5) + 1.4 * bump(x, z, 38, 93, 7, 8),
        14: 2.2 * groove((27, 77), (29.5, 70), (27, 62), width=1.4) - 1.6 * bump(x, z, 27, 70, 3, 3),
        15: 1.6 * groove((25, 67), (28.5, 58), (28, 48), width=1.4) + .8 * bump(x, z, 22, 60, 3, 3),
        17: 1.6 * pebbles + 1.8 * groove((0, 54.5), (9, 54), (15, 50.5), width=1.4) + 1.4 * bump(x, z, 0, 43, 9, 6),
        18: .9 * sum(groove((a, 80), (a * 1.25, 88), width=.9) + groove((a, 58), (a * 1.2, 51), width=.9) for a in (3, 8, 13)),
        20: 1.5 * (groove((27, 66), (38, 61)) + groove((27, 60), (37, 53))) + .8 * groove((24, 70), (35, 71)),
        23: .9 * sum(groove((a, 79.5), (a, 84), width=.8) + groove((a, 59), (a, 55), width=.8) for a in (2, 6, 10, 14)),
        24: 1.6 * bump(x, z, 0, 84, 13, 2.6) + 1.6 * bump(x, z, 0, 54, 12, 2.4) + 1.2 * groove((20, 70), (26, 69)),
        43: .5 * groove((18, 140), (30, 145.5), (43, 140), width=.9),
    }


def tints(x, z, lips):
    """AU -> change of the logarithm of albedo, RGB [3,HEIGHT,WIDTH], at level 1: blood and shadow."""
    rgb = lambda mask, r, g, b: mask * torch.tensor([r, g, b])[:, None, None]
    rim = lips * torch.exp(-(((z - 70.3) / 3.2) ** 2))
    return {
        4: rgb(bump(x, z, 5.5, 151, 2.2, 5), -.12, -.14, -.14),
        6: rgb(bump(x, z, 38, 112, 9, 6), .05, -.02, -.02),
        9: rgb(bump(x, z, 8, 126, 5, 8), -.06, -.12, -.12),
        14: rgb(bump(x, z, 28, 70, 2.5, 3.5), -.22, -.26, -.26),
        15: rgb(bump(x, z, 25.5, 64, 3, 4), -.15, -.18, -.18),
        17: rgb(bump(x, z, 0, 54, 10, 2), -.1, -.12, -.12),
        20: rgb(bump(x, z, 32, 62, 6, 4), -.07, -.08, -.08),
        23: rgb(lips, .1, .42, .38),
        24: rgb(rim, -.28, -.1, -.1) + rgb(lips - rim, .04, .16, .14),
        43: rgb(bump(x, z, 30, 143, 12, 3), -.08, -.1, -.1),
    }


class Signs:
    """All signs as one table, so that an image's are a matrix product.

    maps: float [2*20,5,HEIGHT,WIDTH] for the left half of every AU, then the right: log albedo RGB and
    the height's slopes towards +x and +z.
    """

    def __init__(self, lips, device="cpu"):
        x, z = places()
        height, tint = reliefs(x.abs(), z), tints(x.abs(), z, lips)
        maps = torch.zeros(2, len(AUS), 5, HEIGHT, WIDTH)
        for side, half in enumerate((torch.sigmoid(x / 1.0), torch.sigmoid(-x / 1.0))):
            for au, relief in height.items():
                slopes = torch.gradient(relief, spacing=STEP)
                crease = 0.28 * relief.clamp(max=0)  # light does not reach into a furrow
                maps[side, INDEX[au], :3] += half * crease
                maps[side, INDEX[au], 3] += half * slopes[1]
                maps[side, INDEX[au], 4] -= half * slopes[0]
            for au, colour in tint.items():
                maps[side, INDEX[au], :3] += half * colour
        self.maps = maps.flatten(0, 1).to(device)

    def __call__(self, left, right, wrinkle):
        """Signs [B,5,HEIGHT,WIDTH] of AU levels [B,20] of both halves; wrinkle [B] is how deeply a skin folds."""
        weights = 0.55 * torch.cat([left, right], 1) * wrinkle[:, None]
        return torch.tensordot(weights, self.maps, dims=1)
