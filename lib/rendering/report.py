"""Does an AU show, and only where it should? A contact sheet, and the pixel change that each AU
causes."""
from dataclasses import replace

import numpy as np
import torch

from lib.images import sheet
from lib.rendering import farm
from lib.rendering.plan import draw
from lib.rendering.skin import EYE_X
from lib.rendering.units import AUS, INDEX, NAMES, possible

# AU -> the part of the average face it may change: least and greatest distance from the midline,
# lowest and highest place, millimetres.
REGIONS = {1: (0, 42, 136, 200), 2: (12, 66, 136, 195), 4: (0, 58, 130, 180),
           5: (10, 50, 122, 154), 6: (10, 70, 82, 152), 7: (10, 54, 108, 154), 9: (0, 44, 62, 175),
           10: (0, 42, 52, 116), 12: (0, 66, 40, 128), 14: (0, 52, 30, 102), 15: (0, 54, 24, 102),
           17: (0, 40, 26, 98), 18: (0, 48, 28, 102), 20: (0, 62, 24, 102), 23: (0, 48, 30, 102),
           24: (0, 50, 28, 102), 25: (0, 42, 34, 100), 26: (0, 80, 0, 116), 27: (0, 80, 0, 116),
           43: (EYE_X - 20, EYE_X + 20, 118, 156)}


def one_by_one(people, seed, level, max_pose=15.0):
    """A plan of `people` rows of 21 frames: neutral, then every AU alone at `level`, all else the
    same."""
    plan = draw("test", seed, people * (len(AUS) + 1), 0, "single", max_pose)
    first = np.arange(len(plan)) // (len(AUS) + 1) * (len(AUS) + 1)
    own = np.where(plan.levels > 0, level, 0.0)
    for au in (26, 27):  # AU25 follows the jaw: only as far as it must
        own[plan.levels[:, INDEX[au]] > 0, INDEX[25]] = 0
    levels = possible(own)
    return replace(plan, levels=levels, left=levels, right=levels, pose=plan.pose[first],
                   shift=plan.shift[first], gaze=plan.gaze[first], grain=first)


def contact_sheet(size, device, seed, people=8):
    """uint8 picture: a row a person, a column an AU at 0.8, neutral first."""
    pictures = farm.render(one_by_one(people, seed, 0.8), size, device)
    return sheet(pictures.reshape(people, -1, *pictures.shape[1:]))


def inside(rest, kind, au, supersampling):
    """bool [S,S]: pixels that show the AU's region, or something behind the skin next to it."""
    x, z = rest[..., 0].abs() * 1000, rest[..., 2] * 1000
    near, far, low, high = REGIONS[au]
    mask = (kind >= 0) & (x >= near) & (x <= far) & (z >= low) & (z <= high)
    return torch.nn.functional.max_pool2d(mask.float()[None, None], supersampling + 1,
                                          supersampling, 1)[0, 0] > 0


def pixel_changes(size, device, seed, people=12):
    """AU -> {change: mean absolute change of the picture (of 255) at level 1, inside: share of it
    in its region, outside: mean change of pixels outside}."""
    plan = one_by_one(people, seed + 1, 1.0)
    pictures = torch.from_numpy(farm.render(plan, size, device)).float()
    samples = farm.samples(plan, size, device)
    found = {name: [] for name in NAMES}
    for first in range(0, len(plan), len(AUS) + 1):
        for i, au in enumerate(AUS):
            moved = first + 1 + i
            change = (pictures[moved] - pictures[first]).abs().mean(-1)
            mask = torch.zeros_like(change, dtype=torch.bool)
            for frame in (first, moved):
                rest, kind = samples[frame]
                own = inside(rest, kind, au, kind.shape[0] // size)
                mask |= own[:size, :size].to(mask.device)
            found[NAMES[i]].append((change.mean(), (change * mask).sum() / change.sum(),
                                    change[~mask].mean()))
    average = lambda rows: dict(zip(("change", "inside", "outside"),
                                    (float(x) for x in torch.tensor(rows).mean(0))))
    return {name: average(rows) for name, rows in found.items()}
