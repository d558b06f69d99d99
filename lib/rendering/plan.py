"""Who shows what, in which session: the frames of a set, drawn before anything is rendered.

A labelled person is filmed in sessions, as in DISFA and BP4D: light, camera and background stay,
the head drifts by a degree. Random numbers hang on (seed, set, person) and (seed, set, session),
never on the order of work.
"""
from dataclasses import dataclass, field, fields, replace

import numpy as np

from lib.files import digest
from lib.rendering import behaviour, skin, world
from lib.rendering.heads import draw_geometry
from lib.rendering.scene import draw_scene
from lib.rendering.units import AUS, INDEX, possible

# new ones last: the place is part of a set's seed
SETS = ("labelled", "unlabelled", "validation", "test", "test_natural", "pairs",
        "pairs_validation", "judge", "judge_validation", "pairs_expression")
SESSION = 15           # frames in a session, the first NEUTRAL of them without expression
NEUTRAL = 2
JUDGE_SESSION = 4      # the judge must read AUs of strangers: many people, few frames
STILL_ALONE, STILL_EMOTIONS = 6, 5  # of a still session's frames: AUs alone, and emotions
TARGETS = 5            # edited versions of a neutral face in pairs


def as_bytes(value):
    """A plan's entry, to be hashed. CPUs' libraries of mathematics differ in the last bits of a
    number; a set begun on one kind of machine is still the same set on another."""
    if not isinstance(value, np.ndarray):
        return str(value)
    if value.dtype.kind != "f":
        return value.tobytes()
    # adding 0 turns -0, which rounding leaves behind, into 0
    return (np.round(value.astype(np.float64), 6) + 0.0).tobytes()


@dataclass
class Plan:
    """N frames of one set. Arrays: person, session, grain [N] int; levels, left, right [N,20];
    pose [N,3] degrees; shift [N,2] pixels; gaze [N,2] mm; feeling [N,2]; expression [N] text;
    neutral [N]: index of the frame's neutral source (pairs only, else -1)."""

    name: str
    seed: int
    wide: bool
    person: np.ndarray
    session: np.ndarray
    levels: np.ndarray
    left: np.ndarray
    right: np.ndarray
    pose: np.ndarray
    shift: np.ndarray
    gaze: np.ndarray
    grain: np.ndarray
    feeling: np.ndarray
    expression: np.ndarray
    neutral: np.ndarray
    look: str = field(default="plain", kw_only=True)       # plain | world
    # neutral | tight: by the neutral or the shown face
    framing: str = field(default="neutral", kw_only=True)
    # also how the skin moved from rest (lib.rendering.motion)
    motion: bool = field(default=False, kw_only=True)

    def __len__(self):
        return len(self.person)

    def take(self, chosen):
        """The plan of some frames (a slice or indices)."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{k: v[chosen] if isinstance(v, np.ndarray) else v
                             for k, v in parts.items()})

    def digest(self):
        """A hash of all that is to be rendered, the same on every kind of CPU."""
        # options that came later count only where they are used: earlier images keep their hash
        names = [f.name for f in fields(self)
                 if not (f.kw_only and getattr(self, f.name) == f.default)]
        return digest(*(as_bytes(getattr(self, name)) for name in names))

    def subjects(self):
        """The manifest's names of the people [N]."""
        return [f"faces-{self.name}-{person:04d}" for person in self.person]

    def stream(self, *key):
        """The random numbers of one thing in this set."""
        return np.random.default_rng([self.seed, SETS.index(self.name), *key])

    def geometry_and_look(self, person, shapes):
        """What a person looks like; see heads.draw_geometry and skin.draw_look."""
        rng = self.stream(0, person)
        geometry = draw_geometry(rng, shapes)
        look = skin.draw_look(rng, geometry["phenotypes"])
        if self.look == "world":
            look = world.draw_person(self.stream(5, person), geometry["phenotypes"], look)
        return geometry, look

    def scene(self, session):
        """Light, camera and background of a session."""
        scene = draw_scene(self.stream(1, session), self.wide)
        return world.draw_scene(self.stream(6, session), scene) if self.look == "world" else scene

    def jitter(self, scenes):
        """Errors of what frames the shown face, [N,4] (see scene.View), of frames with these
        scenes."""
        return np.stack([
            scene["jitter"] * np.clip(self.stream(7, int(frame)).standard_normal(4), -2, 2)
            for scene, frame in zip(scenes, self.grain)
        ])


def draw(name, seed, count, people, kind, max_pose=15.0, look="plain", framing="neutral"):
    """The plan of a set.

    name: one of SETS; count: frames (rows for pairs); people: how many different ones; kind:
    'natural', 'independent' (sessions of emotions or of random combinations), 'varied'
    (independent, short sessions), 'wild' (natural, single pictures), 'single' (one AU at a time),
    'still' (see draw_still), 'pairs', 'expressions'; max_pose: degrees; look, framing: as in Plan.
    In the look `world` natural behaviour is that of photographs (behaviour.photographed).
    """
    rng = np.random.default_rng([seed, SETS.index(name), 2])
    neutral = None
    if kind == "pairs":
        person, levels, expression, neutral = draw_pairs(rng, count)
        session = person
    elif kind == "expressions":
        person, levels, expression, neutral = draw_expressions(rng, count)
        session = person
    elif kind == "still":
        person, levels, expression, neutral = draw_still(rng, count)
        session = person
    elif kind == "single":
        person, levels, expression = draw_single(rng, count)
        session = person
    else:
        length = {"wild": 1, "varied": JUDGE_SESSION}.get(kind, SESSION)
        session = np.arange(count) // length
        person = np.sort(np.arange(session[-1] + 1) % max(1, min(people, session[-1] + 1)))[session]
        draw_levels = behaviour.independent if kind in ("independent", "varied") else \
            behaviour.photographed if look == "world" else behaviour.natural
        levels, expression = draw_levels(rng, count)
        if length == SESSION:
            calm = np.arange(count) % length < NEUTRAL
            levels[calm], expression[calm] = 0, "neutral"
    plan = fill(rng, name, seed, kind == "wild", person, session, levels, expression, neutral,
                max_pose)
    return replace(plan, look=look, framing=framing, motion=kind == "still")


def draw_single(rng, count):
    """Each person: a neutral face, then every AU alone at U(0.3, 1), in sessions of 21 frames."""
    each = len(AUS) + 1
    person, column = np.arange(count) // each, np.arange(count) % each
    levels = np.zeros((count, len(AUS)))
    shown = column > 0
    levels[shown, column[shown] - 1] = rng.uniform(0.3, 1, shown.sum())
    return person, possible(levels), np.where(shown, "other", "neutral").astype(object)


def draw_still(rng, count):
    """Each person in one session of 15 frames in which only the expression changes, as editors
    learn best: a neutral frame, AUs alone, emotions as most people show them, and behaviour as in
    photographs. AUs come equally often."""
    person, place = np.arange(count) // SESSION, np.arange(count) % SESSION
    levels, expression = behaviour.photographed(rng, count)
    levels[place == 0], expression[place == 0] = 0, "neutral"
    alone = np.flatnonzero((place > 0) & (place <= STILL_ALONE))
    rounds = -(-len(alone) // len(AUS))
    order = np.concatenate([rng.permutation(len(AUS)) for _ in range(rounds)])[:len(alone)]
    levels[alone], expression[alone] = 0, "other"
    levels[alone, order] = rng.uniform(0.4, 1, len(alone))
    for row in np.flatnonzero((place > STILL_ALONE) & (place <= STILL_ALONE + STILL_EMOTIONS)):
        expression[row], aus = behaviour.USUAL[rng.integers(len(behaviour.USUAL))]
        levels[row] = 0
        shown = rng.uniform(0.5, 1) + 0.1 * rng.standard_normal(len(aus))
        levels[row, [INDEX[au] for au in aus]] = shown.clip(.2, 1)
    first = np.arange(count) - place
    return person, possible(levels), expression, np.where(place > 0, first, -1)


def draw_pairs(rng, count):
    """Blocks of a neutral frame and TARGETS frames of one AU each; every AU comes equally
    often."""
    rounds = -(-count // len(AUS))
    order = np.concatenate([rng.permutation(len(AUS)) for _ in range(rounds)])[:count]
    blocks = -(-count // TARGETS)
    target = np.full(blocks * TARGETS, -1)
    target[:count] = order
    target = np.concatenate([np.full((blocks, 1), -1), target.reshape(blocks, TARGETS)], 1).ravel()
    keep = np.arange(len(target)) < count + blocks
    target, person = target[keep], (np.arange(len(target)) // (TARGETS + 1))[keep]
    levels = np.zeros((len(target), len(AUS)))
    shown = target >= 0
    levels[shown, target[shown]] = rng.uniform(0.3, 1, shown.sum())
    first = np.arange(len(target)) // (TARGETS + 1) * (TARGETS + 1)
    expression = np.where(shown, "other", "neutral").astype(object)
    return person, possible(levels), expression, np.where(shown, first, -1)


def draw_expressions(rng, count):
    """Blocks of a neutral frame and a frame of each expression: the AUs that most people show,
    alike in strength."""
    names = list(behaviour.PROTOTYPES)
    block = len(names) + 1
    place = np.arange(-(-count // len(names)) * block)
    place = place[np.cumsum(place % block > 0) <= count]
    levels = np.zeros((len(place), len(AUS)))
    expression = np.full(len(place), "neutral", dtype=object)
    for row in np.flatnonzero(place % block > 0):
        expression[row] = names[place[row] % block - 1]
        usual = [au for au, chance in behaviour.PROTOTYPES[expression[row]].items()
                 if chance >= 0.5]
        levels[row, [INDEX[au] for au in usual]] = rng.uniform(0.6, 1)
    first = np.arange(len(place)) // block * block
    neutral = np.where(expression == "neutral", -1, first)
    return np.arange(len(place)) // block, possible(levels), expression, neutral


def fill(rng, name, seed, wide, person, session, levels, expression, neutral, max_pose):
    """Add what every frame has: pose, drift, asymmetry, gaze, feeling."""
    count, same = len(person), neutral is not None
    levels = np.asarray(levels).round(4)  # as the manifest holds it
    lean = np.clip(0.07 * rng.standard_normal(levels.shape), -.2, .2)
    aside = np.array(expression) == "contempt"  # a one-sided expression
    lean[aside] = rng.choice([-.6, .6], size=(aside.sum(), 1))
    lean = np.clip(lean, -(1 - levels) / np.maximum(levels, 1e-6),
                   (1 - levels) / np.maximum(levels, 1e-6))
    spread = np.array([.5, .32, .2]) * max_pose * (1.3 if wide else 1.0)
    base = np.stack([np.random.default_rng([seed, SETS.index(name), 3, s]).standard_normal(3)
                     for s in range(session.max() + 1)]) * spread
    base = np.clip(base, -max_pose, max_pose)[session]
    drift = 0 if same else 0.75 * np.clip(rng.standard_normal((count, 3)), -2, 2)
    shift = (0 * rng.standard_normal((count, 2)) if same
             else np.clip(.45 * rng.standard_normal((count, 2)), -1, 1))
    gaze = .7 * rng.standard_normal((count, 2)) * [1, .5]
    grain = np.arange(count)
    if same:
        first = np.where(neutral >= 0, neutral, np.arange(count))
        gaze, grain = gaze[first], first
    manner = np.stack([behaviour.draw_manner(np.random.default_rng([seed, SETS.index(name), 4, p]))
                       for p in range(person.max() + 1)])[person]
    return Plan(name=name, seed=seed, wide=wide, person=person, session=session, levels=levels,
                left=levels * (1 + lean), right=levels * (1 - lean), pose=base + drift,
                shift=shift, gaze=gaze, grain=grain, feeling=behaviour.felt(rng, levels, manner),
                expression=np.array(expression, dtype="U12"),
                neutral=np.full(count, -1) if neutral is None else neutral)
