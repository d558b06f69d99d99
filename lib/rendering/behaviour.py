"""What faces do: AU levels as in posed and spontaneous films, and valence and arousal that go with
them.

Prototypes: EMFACS (W. Friesen, P. Ekman, 1983) and the table of basic expressions of the TU Delft
thesis.
"""
import numpy as np

from lib.rendering.units import AUS, INDEX, possible

# Emotion -> AU -> chance to take part when the emotion is shown.
PROTOTYPES = {
    "happiness": {12: 1.0, 6: 0.85, 25: 0.55, 7: 0.15, 26: 0.12},
    "sadness": {1: 0.9, 4: 0.75, 15: 0.9, 17: 0.4, 2: 0.25},
    "surprise": {1: 0.95, 2: 0.95, 5: 0.85, 26: 0.6, 25: 0.7, 27: 0.25},
    "fear": {1: 0.9, 2: 0.8, 4: 0.7, 5: 0.85, 7: 0.35, 20: 0.8, 25: 0.5, 26: 0.45},
    "anger": {4: 0.95, 5: 0.35, 7: 0.7, 23: 0.5, 24: 0.35, 17: 0.3, 10: 0.15},
    "disgust": {9: 0.8, 15: 0.35, 10: 0.45, 17: 0.35, 4: 0.35, 7: 0.3, 25: 0.2, 6: 0.2},
    "contempt": {14: 0.95, 12: 0.45},
}
# Films are mostly neutral and smiles; the rest is rare, as in DISFA.
FREQUENCY = {"neutral": 0.22, "happiness": 0.22, "sadness": 0.1, "surprise": 0.1, "fear": 0.07,
             "anger": 0.08, "disgust": 0.07, "contempt": 0.05, "other": 0.09}
# AUs that emotions lack, and that talking and habit bring
ALONE = (10, 14, 18, 18, 20, 23, 24, 27, 43)
VALENCE = {12: .75, 6: .25, 25: .05, 1: -.15, 4: -.35, 15: -.5, 9: -.45, 10: -.3, 7: -.1, 20: -.35,
           17: -.2, 14: -.2, 24: -.2, 23: -.2, 5: -.05, 18: -.05}
AROUSAL = {5: .55, 26: .3, 27: .5, 1: .1, 2: .25, 4: .2, 7: .15, 9: .25, 10: .2, 12: .3, 6: .1,
           20: .35, 23: .25, 24: .1, 25: .1, 43: -.5, 15: -.15}


def natural(rng, count):
    """AU levels [N,20] and expression names [N] of emotions with drop-outs and jittered
    strength."""
    names = rng.choice(list(FREQUENCY), size=count, p=list(FREQUENCY.values()))
    levels = np.zeros((count, len(AUS)))
    for row, name in enumerate(names):
        if name == "other":  # a rare single AU
            chosen = rng.choice(ALONE) if rng.random() < 0.7 else rng.choice(AUS)
            levels[row, INDEX[int(chosen)]] = rng.uniform(0.3, 1)
            continue
        strength = rng.beta(2.2, 1.6)
        for au, chance in PROTOTYPES.get(name, {}).items():
            if rng.random() < chance:
                levels[row, INDEX[au]] = np.clip(strength + 0.15 * rng.standard_normal(), 0.1, 1)
        couple_brows(rng, levels[row])
        if rng.random() < 0.08:  # a blink, or something that does not belong
            levels[row, rng.choice([INDEX[43], rng.integers(len(AUS))])] = rng.uniform(0.2, 0.9)
    return possible(levels), names


# What people do in photographs, as (expression, share, {AU: chance}): angry people shout, sad
# people cry, and people who talk show nothing. An open mouth must not tell one emotion from
# another.
SCENES = (
    ("neutral", .17, {}),
    # talking
    ("neutral", .11, {25: .9, 26: .6, 10: .1, 18: .1}),
    ("happiness", .07, {12: 1, 6: .8, 7: .2}),
    # laughing
    ("happiness", .10, {12: 1, 6: .9, 25: 1, 26: .4, 7: .25, 10: .1}),
    ("sadness", .06, {1: .95, 4: .75, 15: .9, 17: .5}),
    # crying
    ("sadness", .06, {1: .85, 4: .85, 6: .4, 7: .5, 15: .65, 20: .3, 25: .6, 26: .35, 43: .15}),
    ("sadness", .03, {15: .9, 17: .5, 43: .4, 1: .5}),
    ("surprise", .09, {1: .95, 2: .95, 5: .8, 26: .75, 25: .7, 27: .2}),
    ("fear", .06, {1: .9, 2: .75, 4: .75, 5: .85, 20: .6, 25: .7, 26: .5}),
    ("anger", .05, {4: .95, 7: .75, 23: .5, 24: .4, 17: .35, 5: .2}),
    # shouting
    ("anger", .09, {4: .95, 7: .75, 10: .6, 9: .35, 25: 1, 26: .6, 27: .25, 6: .25}),
    ("disgust", .05, {9: .8, 10: .5, 4: .5, 7: .4, 6: .25, 15: .3, 17: .3, 25: .2}),
    ("contempt", .02, {14: .95, 12: .4}),
    ("other", .04, {}),
)
# What most people show of an emotion: what editors are asked for.
USUAL = (("happiness", (6, 12)), ("happiness", (6, 12, 25)), ("surprise", (1, 2, 5, 26)),
         ("sadness", (1, 4, 15)), ("anger", (4, 7, 23)), ("anger", (4, 5, 7, 24)),
         ("fear", (1, 2, 4, 5, 20, 25)), ("disgust", (9, 10, 17)))
FREE = .22  # share of faces with AUs that no emotion explains


def photographed(rng, count):
    """AU levels [N,20] and expression names [N] of people in photographs: as `natural`, with the
    mouth open in any emotion, and a share of faces with any AU beside any other."""
    chosen = rng.choice(len(SCENES), size=count, p=[share for _, share, _ in SCENES])
    names = np.array([SCENES[i][0] for i in chosen], dtype=object)
    levels, _ = independent(rng, count, most=3)
    free = (names == "other") | (rng.random(count) < FREE)
    names[free] = "other"
    for row in np.flatnonzero(~free):
        levels[row], strength = 0, rng.beta(2.0, 1.7)
        for au, chance in SCENES[chosen[row]][2].items():
            if rng.random() < chance:
                levels[row, INDEX[au]] = np.clip(strength + 0.2 * rng.standard_normal(), 0.1, 1)
        couple_brows(rng, levels[row])
        if rng.random() < 0.08:
            levels[row, rng.choice([INDEX[43], rng.integers(len(AUS))])] = rng.uniform(0.2, 0.9)
    return possible(levels), names


def couple_brows(rng, levels):
    """The frontalis rarely lifts one half of a brow alone: AU01 and AU02 rise together."""
    inner, outer = INDEX[1], INDEX[2]
    if levels[inner] > 0 and levels[outer] > 0:
        levels[outer] = np.clip(levels[inner] + 0.1 * rng.standard_normal(), 0.1, 1)


def independent(rng, count, most=5):
    """AU levels [N,20] and names [N]: 1 to `most` AUs, any with any that a face can do
    together."""
    levels = np.zeros((count, len(AUS)))
    for row in range(count):
        chosen = rng.choice(len(AUS), size=rng.integers(1, most + 1), replace=False)
        levels[row, chosen] = rng.uniform(0.15, 1, len(chosen))
        if rng.random() < 0.06:
            levels[row] = 0
    return possible(levels), np.where(levels.any(1), "other", "neutral")


def feeling(levels):
    """Valence and arousal [N,2] in [-1, 1] that AU levels [N,20] mean, before the person's own
    manner."""
    weights = np.array([[VALENCE.get(au, 0), AROUSAL.get(au, 0)] for au in AUS])
    return np.tanh(1.3 * (np.asarray(levels) @ weights + [0, -0.15]))


def felt(rng, levels, manner):
    """Valence and arousal [N,2] as labelled: each person's own gain and offset (manner [N,4]) and
    noise."""
    meant = feeling(levels)
    own = meant * manner[:, :2] + manner[:, 2:] + 0.06 * rng.standard_normal(meant.shape)
    return np.clip(own, -1, 1)


def draw_manner(rng):
    """A person's valence and arousal gains and offsets [4]."""
    return np.concatenate([np.exp(0.22 * rng.standard_normal(2)), 0.1 * rng.standard_normal(2)])


def ccc(one, other):
    """Lin's concordance correlation coefficient of two arrays [N]."""
    covariance = ((one - one.mean()) * (other - other.mean())).mean()
    return float(2 * covariance / (one.var() + other.var() + (one.mean() - other.mean()) ** 2))
