"""Rendered people in nine poses, before a background: what Niinuma's registration experiment is
run on.

    python -m lib.datasets.rendered_poses --out data/quick/registration

K. Niinuma et al., "Facial expression manipulation for personalized facial action estimation",
Frontiers in Signal Processing 2, 2022: classifiers learn from frontal faces and are tested on FERA
2017's nine poses. Here `training` has people who look about ahead, in sessions of natural
behaviour (AUs unbalanced); `validation` is as `training`, of other people; `test` has frames of
yet other people, each in every pose of lib.faces.pose, with the light that stays on the face as in
FERA 2017, whose poses are renders of one scan. Validation and test frames are chosen from natural
behaviour so that no AU is rare: an ICC over three faces that show an AU says nothing.

Labels are the 7 AUs that FERA 2017 gives levels of, and in training and validation AU15 (which
FERA 2015 labels in the same films): sad faces lower the mouth's corners and raise the chin, and a
generator told of one of the two alone draws both for it. Other AUs are shown, too, unlabelled.
Faces fill half of the picture and are to be found and registered (lib.faces.register). Writes CSV
+ uint8 packs, and sheet.png (a row a test frame, a column a pose). `yaw` and `pitch` are the turn
from the person's own pose, degrees, signed as in lib.faces.pose.
"""
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import images, labels, manifest
from lib.cli import arg, log, parse, run
from lib.faces.pose import FERA17
from lib.files import digest, to_json, write_text

AUS = (1, 4, 6, 10, 12, 14, 17)  # FERA 2017's intensities: what is tested
TOLD_APART = (15,)               # labelled, too, where models learn
POSES = [(yaw, pitch) for pitch in FERA17 for yaw in FERA17]
ZOOM = 1.6   # brows to chin fill half of the picture's height
POOL = 15    # frames of natural behaviour from which one of validation or test is chosen
SEED = 6_000_011
LOOKS = 1    # raise when images of the same plan change, so that old ones are not kept
# sets of lib.rendering.plan
KINDS = {"training": "labelled", "validation": "validation", "test": "test_natural"}


@dataclass
class Options:
    out: str = arg(help="folder to write", required=True, writes="folder")
    training: int = arg(1800, help="training images, in sessions of 15")
    validation: int = arg(210, help="validation images")
    test: int = arg(90, help="test frames, each in nine poses")
    people: int = arg(60, help="people in training; half as many in validation and in test")
    size: int = arg(160, help="pixels a side")
    seed: int = arg(0, help="seed of everything", least=0)
    workers: int = arg(0, help="processes, 0 for one a core; the result is the same")
    device: str = arg("auto", choices=["auto", "cpu", "cuda"], help="auto: a GPU when there is one")

    def __post_init__(self):
        if not 32 <= self.size <= 1024:
            raise ValueError("--size must be 32 to 1024")
        if min(self.training, self.validation, self.test) < 1 or self.people < 2:
            raise ValueError("counts must be at least 1, and --people at least 2")


def evenly(have, count, rng):
    """Rows [count] in rising order, none twice, that show each AU, and no AU at all, about equally
    often.

    have: bool [N,A]. The AUs and `none` take turns; one that has no row left is passed over."""
    queues = [list(rng.permutation(np.flatnonzero(column))) for column in [*have.T, ~have.any(1)]]
    chosen = set()
    while len(chosen) < count and any(queues):
        for queue in queues:
            while queue and queue[-1] in chosen:
                queue.pop()
            if queue and len(chosen) < count:
                chosen.add(queue.pop())
    return np.array(sorted(chosen), int)


def plans(options):
    """(name, plan, yaw and pitch of each frame [N,2]) of the three sets."""
    from lib.faces.portraits import loosely
    from lib.rendering.plan import draw
    from lib.rendering.units import INDEX

    for place, (name, kind) in enumerate(KINDS.items()):
        count, seed = getattr(options, name), SEED + options.seed
        rows, turns = np.arange(count), np.zeros((1, 2))
        if name == "training":
            base = draw(kind, seed, count, options.people, "natural")
        else:
            base = draw(kind, seed, POOL * count, options.people // 2, "natural")
            have = base.levels[:, [INDEX[au] for au in AUS]] >= labels.PRESENT_INTENSITY
            rows = evenly(have, count, np.random.default_rng([seed, place]))
        if name == "test":
            turns = np.array(POSES, float)
        repeated = np.repeat(rows, len(turns))
        turns = np.tile(turns, (len(rows), 1))
        # its pitch > 0 nods
        turned = base.pose[repeated] + np.stack([turns[:, 0], -turns[:, 1], 0 * turns[:, 0]], 1)
        yield name, loosely(base, repeated, turned, light_turns=name == "test", zoom=ZOOM), turns


def columns(name, plan, turns):
    """The manifest of a set: {column: N cells}."""
    from lib.rendering.units import INDEX

    table = {"path": [f"{name}.npy#{i}" for i in range(len(plan))],
             "subject": [f"poses-{name}-{person:04d}" for person in plan.person],
             "session": [f"poses-{name}-{person:04d}-session{session:04d}"
                         for person, session in zip(plan.person, plan.scenes)]}
    aus = AUS if name == "test" else sorted(AUS + TOLD_APART)
    table |= {labels.au_name(au): plan.levels[:, INDEX[au]].tolist() for au in aus}
    return table | {"source": ["real"] * len(plan), "yaw": turns[:, 0].tolist(),
                    "pitch": turns[:, 1].tolist()}


def main(argv=None):
    options = parse(Options, __doc__, argv)
    from lib import device_data
    from lib.rendering import farm

    out, device = Path(options.out), device_data.device(options.device).type
    settings = out / "settings.json"
    made = json.loads(settings.read_text()) if settings.exists() else {}
    for name, plan, turns in plans(options):
        mark = digest(plan.digest(), options.size, LOOKS, AUS, TOLD_APART)
        if made.get(name) != mark or not (out / f"{name}.csv").exists():
            chunks = out / f".{name}-{mark}"
            farm.render_all([(plan, chunks)], options.size, device, options.workers or farm.cores())
            # never an old manifest beside new images
            (out / f"{name}.csv").unlink(missing_ok=True)
            images.save_pack(
                out / f"{name}.npy",
                np.concatenate([np.load(path) for path in sorted(chunks.glob("*.npy"))])
            )
            manifest.write(out / f"{name}.csv", columns(name, plan, turns))
            made[name] = mark
            write_text(settings, to_json(made))
            # this, and what an abandoned run with other options left
            for left in out.glob(f".{name}-*"):
                shutil.rmtree(left)
        log(f"{name}: {len(plan)} images of {len(np.unique(plan.person))} people")
    shown = list(images.pack(str(out / "test.npy"))[:6 * len(POSES)])
    rows = [shown[i:i + len(POSES)] for i in range(0, len(shown), len(POSES))]
    images.save(out / "sheet.png", images.sheet(rows))


if __name__ == "__main__":
    run(main)
