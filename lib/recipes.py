"""Recipes: which source image is edited to which target AUs.

A recipe deals `count` edits evenly: numbers of edits differ by at most one between AUs (or emotions, or
AU levels) and between sources, and no edit is made twice before every other has been made. Same seed, same plan.
    single-au    one AU at a time at a level, all others 0 (Marinos 2023, 4.3: 20 images from a neutral face)
    emotions     the AUs of a basic emotion together (FACS, EMFACS; Marinos 2023, table 1.1)
    deactivate   one AU that the source shows set to 0, the others kept
    random       target rows of a manifest, or independent AUs
    reweight     semantic resampling (Niinuma et al. 2022, 4.2.2): every level 1 to 5 of every AU equally often, the
                 targets being true label rows, the sources rows that do not show the AU
"""
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from lib.cli import BadInput, note
from lib.labels import PRESENT_INTENSITY, au_name
from lib.onnx_runtime import brief

NAMES = ("single-au", "emotions", "deactivate", "random", "reweight")
EMOTIONS = {"happiness": (6, 12), "surprise": (1, 2, 5, 26), "fear": (1, 2, 4, 5, 7, 20, 26), "sadness": (1, 4, 15),
            "anger": (4, 5, 7, 23), "disgust": (9, 15, 17), "contempt": (12, 14)}
IMPOSSIBLE = (("AU26", "AU27"), ("AU05", "AU43"), ("AU24", "AU25"), ("AU24", "AU26"), ("AU24", "AU27"),
              ("AU18", "AU20"))  # one jaw, one pair of lids, lips pressed or parted, pursed or stretched
INDEPENDENT = 0.2  # chance of an AU in random combinations
ABSENT = 0.2       # an AU below level 1 of 5 counts as not shown


@dataclass
class Plan:
    """M edits, those of one source together."""
    source: np.ndarray      # index of the source, int [M]
    target: np.ndarray      # target AUs, float32 [M,C] in [0, 1] with 4 decimals; NaN keeps the source's
    edit: list              # what is done, M texts such as 'AU12=0.7'
    expression: list        # M names of emotions, '' where there is none

    def __len__(self):
        return len(self.source)

    def part(self, rows):
        """The edits of a slice."""
        return Plan(self.source[rows], self.target[rows], self.edit[rows], self.expression[rows])


def make(name, source, aus, *, count=None, levels=(0.7, 0.7), seed=0, targets=None, values=None):
    """The plan of a recipe. source [K,C] AU values of the sources, NaN unknown; aus: their C names; count: how many
    edits, None for every one once; levels: (lowest, highest), drawn evenly when they differ; targets [T,C]:
    rows to draw from (random, reweight); values {AU: level}: explicit edits instead of a recipe."""
    rng = np.random.default_rng(seed)
    if values:
        unknown = [au for au in values if au not in aus]
        if unknown:
            raise BadInput(f"--set {unknown[0]}: the model does not know it; it has {', '.join(aus)}")
        text = " ".join(f"{au}={value:g}" for au, value in values.items())
        row = np.array([values.get(au, np.nan) for au in aus], np.float32)
        edits = [(text, "", row)]
        plan = every(source, edits, count, (1.0, 1.0), rng)
    elif name in ("single-au", "emotions"):
        plan = every(source, variants(name, aus), count, levels, rng)
    elif name == "deactivate":
        plan = deactivate(source, aus, count, rng)
    elif name == "random":
        plan = random(source, aus, count, levels, rng, targets)
    else:
        plan = reweight(source, aus, count, rng, source if targets is None else targets)
    plan = plan_by_source(plan)
    plan.target = np.round(plan.target.astype(np.float64), 4).astype(np.float32)
    return plan


def variants(name, aus):
    """The edits that a recipe makes of a source: [(text or AU, emotion, target [C] at level 1)]."""
    if name == "single-au":
        return [(au, "", row) for au, row in zip(aus, np.eye(len(aus), dtype=np.float32))]
    found = []
    for emotion, numbers in EMOTIONS.items():
        has = [au for au in map(au_name, numbers) if au in aus]
        if len(has) < max(2, math.ceil(len(numbers) / 2)):
            note(f"{emotion}: left out; of its AUs {', '.join(map(au_name, numbers))} the model has {brief(has)}")
        else:
            found.append((emotion, emotion, np.array([au in has for au in aus], np.float32)))
    if not found:
        raise BadInput(f"--recipe emotions: the model has too few of the AUs of any emotion ({', '.join(aus)}); "
                       "use --recipe single-au or --set")
    return found


def deal(count, sources, edits, rng):
    """(source [count], edit [count]) indices, evenly over both, every pair once before any is repeated."""
    i = np.arange(count)
    source, edit = i % sources, (i + i // math.lcm(sources, edits)) % edits
    return rng.permutation(sources)[source], rng.permutation(edits)[edit]


def every(source, edits, count, levels, rng):
    """Each of the edits of each source."""
    possible = len(source) * len(edits)
    count = possible if count is None else count
    if count > possible and levels[0] == levels[1]:
        note(f"warning: {len(source)} sources x {len(edits)} edits make {possible} different images; the other "
             f"{count - possible} of --count repeat them. Give more sources, or --level-range")
    which, edit = deal(count, len(source), len(edits), rng)
    level = rng.uniform(*levels, count).round(4)
    target = np.stack([row for _, _, row in edits])[edit] * level[:, None]
    text = [f"{edits[e][0]}={at:g}" if edits[e][0].startswith("AU") and "=" not in edits[e][0] else edits[e][0]
            for e, at in zip(edit, level)]
    return Plan(which, target, text, [edits[e][1] for e in edit])


def deactivate(source, aus, count, rng):
    """One active AU of a source set to 0."""
    rows, active = np.nonzero(source >= PRESENT_INTENSITY)
    if not len(rows):
        raise BadInput(f"--recipe deactivate: no source shows an AU at {PRESENT_INTENSITY:g} or more; "
                       "give sources with expressions")
    if count is not None:
        owners = {a: rng.permutation(rows[active == a]) for a in rng.permutation(np.unique(active))}
        turns = [list(owners)[i % len(owners)] for i in range(count)]
        rows = np.array([owners[a][i // len(owners) % len(owners[a])] for i, a in enumerate(turns)], int)
        active = np.array(turns, int)
    target = source[rows].copy()
    target[np.arange(len(rows)), active] = 0
    return Plan(rows, target, [f"{aus[a]}=0" for a in active], [""] * len(rows))


def random(source, aus, count, levels, rng, targets):
    """Targets drawn from true rows, or each AU on its own by chance, impossible pairs ruled out."""
    count = len(source) if count is None else count
    which = rng.permutation(len(source))[np.arange(count) % len(source)]
    if targets is not None:
        return Plan(which, targets[rng.permutation(len(targets))[np.arange(count) % len(targets)]],
                    ["random"] * count, [""] * count)
    target = (rng.random((count, len(aus))) < INDEPENDENT) * rng.uniform(*levels, (count, len(aus)))
    for first, second in IMPOSSIBLE:
        if first in aus and second in aus:
            a, b = aus.index(first), aus.index(second)
            both = (target[:, a] > 0) & (target[:, b] > 0)
            drop_first = rng.random(count) < 0.5
            target[both & drop_first, a] = 0
            target[both & ~drop_first, b] = 0
    return Plan(which, target, ["random"] * count, [""] * count)


def reweight(source, aus, count, rng, targets):
    """Every level of every AU equally often."""
    cells, missing = [], []
    for a, au in enumerate(aus):
        takers = rng.permutation(np.flatnonzero(source[:, a] < ABSENT))
        for level in range(1, 6):
            givers = rng.permutation(np.flatnonzero(np.round(targets[:, a] * 5) == level))
            if len(givers) and len(takers):
                cells.append((a, level, takers, givers))
            else:
                missing.append(f"{au} at {level / 5:g}")
    if missing:
        note(f"reweight: nothing to draw {brief(missing)} from; left out")
    if not cells:
        raise BadInput("--recipe reweight: no AU has both rows that show it and rows that do not; "
                       "give --targets with expressions and sources without")
    count = len(source) if count is None else count
    cells = [cells[k] for k in rng.permutation(len(cells))]
    which, target, text, used = [], np.empty((count, len(aus)), np.float32), [], Counter()
    for i in range(count):
        a, level, takers, givers = cells[i % len(cells)]
        which.append(takers[used[a] % len(takers)])
        used[a] += 1
        target[i] = targets[givers[i // len(cells) % len(givers)]]
        text.append(f"{aus[a]}={level / 5:g}")
    return Plan(np.array(which), target, text, [""] * count)


def plan_by_source(plan):
    """The same edits, those of one source together: its image is decoded once."""
    order = np.argsort(plan.source, kind="stable")
    return Plan(plan.source[order], plan.target[order], [plan.edit[i] for i in order],
                [plan.expression[i] for i in order])


def neutral(source, below):
    """Rows of source [K,C] of which every AU is known and under `below`, int [n]; BadInput when there are none."""
    rows = np.flatnonzero((source < below).all(1))  # NaN compares as false
    if not len(rows):
        known = source[~np.isnan(source).any(1)]
        if not len(known):
            raise BadInput("no source has labels of all AUs of the model; read them with --classifier FILE.onnx, or "
                           "say --assume-neutral if the faces are neutral")
        raise BadInput(f"no source is neutral (all AUs under {below:g}); the nearest has an AU at "
                       f"{known.max(1).min():.4f}. Raise --neutral-below, or say --sources all")
    return rows
