"""Recipes: which source image is edited to which target AUs or expressions.

A recipe deals `count` edits evenly: numbers of edits differ by at most one between AUs (or
emotions, or AU levels) and between sources, and no edit is made twice before every other has been
made. Same seed, same plan.
    single-au    one AU at a time at a level, all others 0 (Marinos 2023, 4.3: 20 images from a
                 neutral face)
    emotions     the AUs of a basic emotion together (FACS, EMFACS; Marinos 2023, table 1.1)
    deactivate   one AU that the source shows set to 0, the others kept
    activate     one AU that the source does not show set to a level, the others kept; evenly over
                 AUs, each of which draws its sources
    random       target rows of a manifest, or independent AUs
    reweight     semantic resampling (Niinuma et al. 2022, 4.2.2): every level 1 to 5 of every AU
                 equally often, the targets being true label rows, the sources rows that do not
                 show the AU
    balanced     as reweight, with level 0 too: six levels of every AU equally often, as Niinuma et
                 al. print it. Neither takes rows of occurrences for targets: they have no level
    expressions  each expression of a model of classes, from neutral faces (Siddiqui 2022)
    mix          several expressions at once, such as anger+sadness (Siddiqui 2022)
Targets are condition columns of the model: AUs, valence and arousal, expressions. NaN keeps the
source's value.
"""
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from lib.cli import BadInput, note
from lib.labels import PRESENT_INTENSITY, au_name
from lib.onnx_runtime import brief

NAMES = ("single-au", "emotions", "deactivate", "activate", "random", "reweight", "balanced",
         "expressions", "mix")
OF_CLASSES = ("expressions", "mix")
# each edit is for one AU
OF_ONE_AU = ("single-au", "deactivate", "activate", "reweight", "balanced")
MIXES = (("anger", "sadness"), ("happiness", "disgust"), ("joy", "disgust"), ("fear", "surprise"))
EMOTIONS = {"happiness": (6, 12), "surprise": (1, 2, 5, 26), "fear": (1, 2, 4, 5, 7, 20, 26),
            "sadness": (1, 4, 15), "anger": (4, 5, 7, 23), "disgust": (9, 15, 17),
            "contempt": (12, 14)}
# one jaw, one pair of lids, lips pressed or parted, pursed or stretched
IMPOSSIBLE = (("AU26", "AU27"), ("AU05", "AU43"), ("AU24", "AU25"), ("AU24", "AU26"),
              ("AU24", "AU27"), ("AU18", "AU20"))
INDEPENDENT = 0.2  # chance of an AU in random combinations
ABSENT = 0.2       # an AU below level 1 of 5 counts as not shown


@dataclass
class Plan:
    """M edits, those of one source together."""
    source: np.ndarray      # index of the source, int [M]
    # target conditions, float32 [M,C] with 4 decimals; NaN keeps the source's
    target: np.ndarray
    edit: list              # what is done, M texts such as 'AU12=0.7'
    expression: list        # M names of emotions, '' where there is none
    # bool [M]: AUs of the target are occurrences, and not levels; without it none are
    occurs: np.ndarray = None

    def __post_init__(self):
        if self.occurs is None:
            self.occurs = np.zeros(len(self.source), bool)

    def __len__(self):
        return len(self.source)

    def part(self, rows):
        """The edits of a slice, or of indices in their order."""
        rows = np.arange(len(self))[rows]
        return Plan(self.source[rows], self.target[rows], [self.edit[i] for i in rows],
                    [self.expression[i] for i in rows], self.occurs[rows])


def make(name, source, names, *, kinds=None, count=None, levels=(0.7, 0.7), seed=0, targets=None,
         values=None, mixes=(), neutral_too=False, only=(), occurs=None):
    """The plan of a recipe. source [K,C] conditions of the sources, NaN unknown; names and kinds:
    of the C columns (without kinds they are AUs); count: how many edits, None for every one once;
    levels: of AUs, (lowest, highest), drawn evenly when they differ; targets [T,C]: rows to draw
    from (random, reweight, balanced); values {name: value}: explicit edits instead of a recipe;
    mixes: of expressions, 'anger+sadness'; neutral_too: also make the neutral expression; only:
    the AUs that edits are made for, of recipes of one AU at a time (without it all); occurs: bool
    [T], which target rows have occurrences in place of levels (without targets: [K,A], which AUs
    of the sources are occurrences)."""
    rng = np.random.default_rng(seed)
    kinds = kinds or ["au"] * len(names)
    if values:
        edits = [explicit(values, names, kinds)]
        plan = every(source, edits, count, (1.0, 1.0), rng, kinds)
    else:
        check_kinds(name, names, kinds, targets)
        if name in ("single-au", "emotions", *OF_CLASSES):
            plan = every(source, variants(name, names, kinds, mixes, neutral_too, only), count,
                         levels, rng, kinds)
        else:
            plan = of_aus(name, source, names, kinds, count, levels, rng, targets, only,
                          occurs)
    plan = plan_by_source(plan)
    plan.target = np.round(plan.target.astype(np.float64), 4).astype(np.float32)
    return plan


def explicit(values, names, kinds):
    """The edit of --set: (text, expression, target [C]). Where it names an expression, those that
    it does not name are 0."""
    for name in values:
        if name not in names:
            raise BadInput(f"--set {name}: the model does not know it; it has {', '.join(names)}")
    row = np.array([values.get(name, np.nan) for name in names], np.float32)
    classes = np.array(kinds) == "expression"
    if not np.isnan(row[classes]).all():
        row[classes] = np.nan_to_num(row[classes])
    return " ".join(f"{name}={value:g}" for name, value in values.items()), "", row


def check_kinds(recipe, names, kinds, targets):
    """BadInput where a model lacks the kind of labels that a recipe edits."""
    if recipe in OF_CLASSES:
        if "expression" not in kinds:
            raise BadInput(f"--recipe {recipe}: the model knows no expressions; it has "
                           f"{brief(names)}. Use a recipe of AUs, or a model of expressions")
    elif "au" not in kinds and not (recipe == "random" and targets is not None):
        raise BadInput(f"--recipe {recipe}: the model knows no AUs; it has {brief(names)}. Use "
                       "--set" + (", or --recipe expressions" if "expression" in kinds else ""))


def check_only(recipe, only, names):
    """BadInput where --aus has no meaning: of recipes that edit several AUs, or none, at a time,
    and of AUs that are not among `names`, those of the model."""
    if recipe not in OF_ONE_AU:
        raise BadInput(f"--aus: --recipe {recipe} does not edit one AU at a time; leave out --aus, "
                       f"or use --recipe {', '.join(OF_ONE_AU[:-1])} or {OF_ONE_AU[-1]}")
    for name in only:
        if name not in names:
            raise BadInput(f"--aus {name}: the model does not know it; its AUs are {brief(names)}")


def rarest(present, names, count):
    """The `count` AUs that the fewest rows show, in the order of `names`; of equals the first.

    present: [N,A], 1, 0, or NaN where unlabelled. An AU that no row has a label of is left out:
    unlabelled is not absent. BadInput where fewer than `count` are labelled."""
    labelled = ~np.isnan(present).all(0)
    if count > labelled.sum():
        raise BadInput(f"--aus rarest:{count}: the sources have labels of {labelled.sum()} of the "
                       f"AUs of the model ({brief(names)}); ask for at most as many, or name AUs")
    shown = (present == 1).sum(0)
    order = np.argsort(np.where(labelled, shown, len(present) + 1), kind="stable")
    chosen = sorted(order[:count])
    note(f"--aus rarest:{count}: "
         + ", ".join(f"{names[a]} (in {shown[a]} of {len(present)} rows)" for a in chosen))
    return [names[a] for a in chosen]


def of_aus(recipe, source, names, kinds, count, levels, rng, targets, only=(), occurs=None):
    """The plans of `deactivate`, `activate`, `random`, `reweight` and `balanced`: on the AU
    columns, the others keep the source's value."""
    if recipe == "random" and targets is not None:
        return random(source, names, count, levels, rng, targets, occurs)
    columns = np.flatnonzero(np.array(kinds) == "au")
    source, aus = source[:, columns], [names[k] for k in columns]
    if recipe == "deactivate":
        plan = deactivate(source, aus, count, rng, only)
    elif recipe == "activate":
        plan = activate(source, aus, count, levels, rng, only)
    elif recipe == "random":
        plan = random(source, aus, count, levels, rng, None)
    else:
        givers = with_levels(source if targets is None else targets[:, columns], occurs, recipe)
        plan = reweight(source, aus, count, rng, givers, 0 if recipe == "balanced" else 1, only)
    whole = np.full((len(plan), len(names)), np.nan, np.float32)
    whole[:, columns] = plan.target
    plan.target = whole
    return plan


def variants(name, names, kinds=None, mixes=(), neutral_too=False, only=()):
    """The edits that a recipe makes of a source: [(text or AU, emotion, target [C] with AUs at
    level 1)]. only: the AUs of `single-au`, without it all."""
    kinds = np.array(kinds or ["au"] * len(names))
    if name in OF_CLASSES:
        classes = [name for name, kind in zip(names, kinds) if kind == "expression"]
        found = class_variants(name, classes, mixes, neutral_too)
    else:
        found = au_variants(name, [name for name, kind in zip(names, kinds) if kind == "au"])
        found = [edit for edit in found if not only or edit[0] in only]
    columns = kinds == ("expression" if name in OF_CLASSES else "au")
    return [(text, emotion, spread(row, columns)) for text, emotion, row in found]


def spread(row, columns):
    """A row of one kind's columns (bool [C]) among all C; the others are NaN."""
    whole = np.full(len(columns), np.nan, np.float32)
    whole[columns] = row
    return whole


def class_variants(recipe, classes, mixes, neutral_too):
    """[(text, emotion or '', one-hot or several-hot row)] of `expressions` and `mix`."""
    if recipe == "expressions":
        return [(name, name, row)
                for name, row in zip(classes, np.eye(len(classes), dtype=np.float32))
                if neutral_too or name != "neutral"]
    wanted = [tuple(mix.split("+")) for mix in mixes]
    if missing := [(mix, name) for mix in wanted for name in mix if name not in classes]:
        raise BadInput(f"--mix {'+'.join(missing[0][0])}: the model does not know "
                       f"{missing[0][1]}; it has {', '.join(classes)}")
    wanted = wanted or [mix for mix in MIXES if set(mix) <= set(classes)]
    if not wanted:
        raise BadInput(f"--recipe mix: say which with --mix, such as {'+'.join(classes[:2])}")
    return [("+".join(mix), "", np.array([name in mix for name in classes], np.float32))
            for mix in wanted]


def au_variants(recipe, aus):
    """[(text or AU, emotion, row [A] at level 1)] of `single-au` and `emotions`."""
    if recipe == "single-au":
        return [(au, "", row) for au, row in zip(aus, np.eye(len(aus), dtype=np.float32))]
    found = []
    for emotion, numbers in EMOTIONS.items():
        has = [au for au in map(au_name, numbers) if au in aus]
        if len(has) < max(2, math.ceil(len(numbers) / 2)):
            note(f"{emotion}: left out; of its AUs {', '.join(map(au_name, numbers))} the "
                 f"model has {brief(has)}")
        else:
            found.append((emotion, emotion, np.array([au in has for au in aus], np.float32)))
    if not found:
        raise BadInput("--recipe emotions: the model has too few of the AUs of any emotion "
                       f"({', '.join(aus)}); use --recipe single-au or --set")
    return found


def deal(count, sources, edits, rng):
    """(source [count], edit [count]) indices, evenly over both, every pair once before any is
    repeated."""
    i = np.arange(count)
    source, edit = i % sources, (i + i // math.lcm(sources, edits)) % edits
    return rng.permutation(sources)[source], rng.permutation(edits)[edit]


def every(source, edits, count, levels, rng, kinds):
    """Each of the edits of each source."""
    possible = len(source) * len(edits)
    count = possible if count is None else count
    if count > possible and levels[0] == levels[1]:
        note(f"warning: {len(source)} sources x {len(edits)} edits make "
             f"{possible} different images; the other {count - possible} of --count repeat them. "
             "Give more sources, or --level-range")
    which, edit = deal(count, len(source), len(edits), rng)
    level = rng.uniform(*levels, count).round(4)
    aus = np.array(kinds) == "au"
    target = np.stack([row for _, _, row in edits])[edit]
    target = np.where(aus, target * level[:, None], target)
    text = [f"{edits[e][0]}={at:g}" if edits[e][0].startswith("AU") and "=" not in edits[e][0]
            else edits[e][0] for e, at in zip(edit, level)]
    return Plan(which, target, text, [edits[e][1] for e in edit])


def deactivate(source, aus, count, rng, only=()):
    """One active AU of a source (of `only`, where given) set to 0."""
    chosen = np.array([not only or au in only for au in aus])
    rows, active = np.nonzero((source >= PRESENT_INTENSITY) & chosen)
    if not len(rows):
        raise BadInput(f"--recipe deactivate: no source shows {brief(only) if only else 'an AU'} "
                       f"at {PRESENT_INTENSITY:g} or more; give sources with expressions")
    if count is not None:
        rows, active = one_au_each(rows, active, count, rng)
    target = source[rows].copy()
    target[np.arange(len(rows)), active] = 0
    return Plan(rows, target, [f"{aus[a]}=0" for a in active], [""] * len(rows))


def activate(source, aus, count, levels, rng, only=()):
    """One AU that a source does not show (of `only`, where given) set to a level. A source that
    shows an AU which cannot go with it is left out."""
    chosen = np.array([not only or au in only for au in aus])
    if np.isnan(source[:, chosen]).all():
        raise BadInput(f"--recipe activate: no source has labels of {brief(only or aus)}; "
                       "read them with --classifier FILE.onnx")
    able = (source < ABSENT) & chosen  # NaN: false
    for a, b in impossible_pairs(aus):
        able[:, a] &= ~(source[:, b] >= PRESENT_INTENSITY)
        able[:, b] &= ~(source[:, a] >= PRESENT_INTENSITY)
    rows, added = np.nonzero(able)
    if not len(rows):
        raise BadInput(f"--recipe activate: every source shows {brief(only) if only else 'all AUs'}"
                       ", or an AU that cannot go with it; give sources that do not")
    if count is not None:
        rows, added = one_au_each(rows, added, count, rng)
    level = rng.uniform(*levels, len(rows)).round(4)
    target = source[rows].copy()
    target[np.arange(len(rows)), added] = level
    text = [f"{aus[a]}={at:g}" for a, at in zip(added, level)]
    return Plan(rows, target, text, [""] * len(rows))


def impossible_pairs(aus):
    """Columns (a, b) of the AUs that cannot go together, of those that there are."""
    return [(aus.index(first), aus.index(second)) for first, second in IMPOSSIBLE
            if first in aus and second in aus]


def one_au_each(rows, columns, count, rng):
    """`count` of the pairs (row, AU column), AU by AU in turn; those of an AU are repeated when
    they have all been drawn. int [count], int [count]."""
    owners = {a: rng.permutation(rows[columns == a]) for a in rng.permutation(np.unique(columns))}
    turns = np.array([list(owners)[i % len(owners)] for i in range(count)], int)
    drawn = [owners[a][i // len(owners) % len(owners[a])] for i, a in enumerate(turns)]
    return np.array(drawn, int), turns


def random(source, aus, count, levels, rng, targets, occurs=None):
    """Targets drawn from true rows, or each AU on its own by chance, impossible pairs ruled
    out. occurs: bool [T], which target rows are occurrences."""
    count = len(source) if count is None else count
    which = rng.permutation(len(source))[np.arange(count) % len(source)]
    if targets is not None:
        drawn = rng.permutation(len(targets))[np.arange(count) % len(targets)]
        return Plan(which, targets[drawn], ["random"] * count, [""] * count,
                    None if occurs is None else occurs[drawn])
    target = (rng.random((count, len(aus))) < INDEPENDENT) * rng.uniform(*levels, (count, len(aus)))
    for a, b in impossible_pairs(aus):
        both = (target[:, a] > 0) & (target[:, b] > 0)
        drop_first = rng.random(count) < 0.5
        target[both & drop_first, a] = 0
        target[both & ~drop_first, b] = 0
    return Plan(which, target, ["random"] * count, [""] * count)


def with_levels(rows, occurs, recipe):
    """AU levels of rows [T,A], NaN in those that are occurrences (bool [T] or [T,A], None: none
    is). BadInput where no level is left."""
    if occurs is None or not occurs.any():
        return rows
    occurs = occurs if occurs.ndim == 2 else occurs[:, None]
    rows = np.where(occurs, np.float32(np.nan), rows)
    if np.isnan(rows).all():
        raise BadInput(f"--recipe {recipe}: draws levels of AUs, but all rows to draw from are "
                       "occurrences (au_kind=occurrence); give --targets with levels, or say "
                       "--recipe activate")
    return rows


def reweight(source, aus, count, rng, targets, lowest=1, only=()):
    """Every level, from `lowest` to 5, of every AU (of `only`, where given) equally often. Targets
    are whole rows."""
    cells, missing = [], []
    for a, au in enumerate(aus):
        if only and au not in only:
            continue
        takers = rng.permutation(np.flatnonzero(source[:, a] < ABSENT))
        for level in range(lowest, 6):
            givers = rng.permutation(of_level(targets[:, a], level))
            if len(givers) and len(takers):
                cells.append((a, level, takers, givers))
            else:
                missing.append(f"{au} at {level / 5:g}")
    if missing:
        note(f"nothing to draw {brief(missing)} from; left out")
    if not cells:
        which = f"none of {brief(only)}" if only else "no AU"
        raise BadInput(f"--recipe reweight or balanced: {which} has both rows that show it and "
                       "rows that do not; give --targets with expressions and sources without")
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


def of_level(intensities, level):
    """Rows whose intensity [N] (FACS level / 5, NaN unlabelled) is nearest to a FACS level 0-5,
    int [n]."""
    return np.flatnonzero(np.round(intensities * 5) == level)


def plan_by_source(plan):
    """The same edits, those of one source together: its image is decoded once."""
    return plan.part(np.argsort(plan.source, kind="stable"))


def neutral(source, below, names=(), kinds=None):
    """Rows of source [K,C] that are neutral, int [n]: every AU known and under `below`, or, where
    the columns are expressions only, of the class neutral. BadInput when there are none."""
    kinds = np.array(kinds or ["au"] * source.shape[1])
    if "au" not in kinds:
        return of_neutral_class(source, names)
    source = source[:, kinds == "au"]
    rows = np.flatnonzero((source < below).all(1))  # NaN compares as false
    if not len(rows):
        known = source[~np.isnan(source).any(1)]
        if not len(known):
            raise BadInput(
                "no source has labels of all AUs of the model; read them with --classifier "
                "FILE.onnx, or say --assume-neutral if the faces are neutral"
            )
        raise BadInput(f"no source is neutral (all AUs under {below:g}); the nearest has an AU at "
                       f"{known.max(1).min():.4f}. Raise --neutral-below, or say --sources all")
    return rows


def of_neutral_class(source, names):
    """Rows of source [K,C] of the expression neutral."""
    if "neutral" not in names:
        raise BadInput(
            f"the model knows no neutral expression (it has {brief(names)}); say --sources all"
        )
    rows = np.flatnonzero(source[:, list(names).index("neutral")] == 1)
    if not len(rows):
        raise BadInput("no source has the expression neutral; say --sources all, "
                       "or --assume-neutral if the faces are neutral")
    return rows
