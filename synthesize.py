"""Make images with an exported generator: edit source faces by a recipe, and write them with their labels.

    synthesize.py --model generator.onnx --source a.csv --recipe single-au --level 0.7 --count 3000 --out DIR
    synthesize.py --model generator.onnx --source a.csv b.csv --set AU12=0.8 AU06=0.5 --out DIR
    synthesize.py --model generator.onnx --image photo.jpg --assume-neutral --set AU12=0.8 --out edited.png

DIR gets images.npy (one pack, the fastest to write and to read; --format png makes files, 1,000 a folder) and,
last, manifest.csv: source=synthetic, the target as label, and source_path, the image that was edited. Recipes:
single-au (each source, one AU at a time, others 0), emotions (FACS combinations), deactivate (one active AU off),
random (rows of --targets, or independent AUs), reweight (every level of every AU equally often). --count edits
are dealt evenly over AUs and sources. Shards of one command (--shard i/n) may share DIR; they write
manifest-iofn.csv, which `python -m lib.manifest merge DIR/manifest-*.csv --out DIR/manifest.csv` joins.
Sampling generators (noise in place of images) need no --source. Runs on ONNX Runtime, without torch.
"""
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from lib.cli import BadInput, arg, check_place, log, parse, run

PASSED = ("subject", "session", "registration", "au_kind")  # columns that an edit does not change


@dataclass
class Options:
    model: str = arg(help="exported generator", required=True, metavar="FILE.onnx")
    out: str = arg(help="folder for the images and their manifest; with --image, the PNG to write", required=True)
    source: list[str] = arg([], nargs="+", help="manifests of the images to edit; - is stdin", metavar="FILE.csv")
    recipe: Literal["single-au", "emotions", "deactivate", "random", "reweight"] = arg(
        "single-au", help="which edits to make")
    set: list[str] = arg([], nargs="+", metavar="AUxx=LEVEL", help="explicit edits instead of a recipe; other AUs are "
                                                                    "kept")
    level: float = arg(0.7, help="level that AUs are set to, FACS level / 5 (thesis: 0.7 for faces, 1 for MNIST)")
    level_range: list[float] = arg([], nargs=2, metavar=("LOW", "HIGH"), help="draw levels evenly from here instead")
    count: Optional[int] = arg(None, help="how many images [each edit of each source once]", least=1)
    sources: str = arg("", choices=["neutral", "all"], help="which rows to edit [neutral for single-au and emotions, "
                                                            "else all]")
    neutral_below: float = arg(0.1, help="a source is neutral when all its AUs are under this, half of FACS level A",
                               least=0)
    targets: str = arg("", help="manifest of target rows for random and reweight [reweight: the sources]",
                       metavar="FILE.csv")
    classifier: str = arg("", help="reads AUs that the sources lack", metavar="FILE.onnx")
    assume_neutral: bool = arg(False, help="AUs that the sources lack are 0")
    check: str = arg("", help="classifier that reads the edits; those that disagree with their target are dropped, so "
                              "fewer than --count may remain", metavar="FILE.onnx")
    max_error: float = arg(0.3, help="with --check: largest mean |reading - target|, over edited AUs and over the rest",
                           least=0)
    image: str = arg("", help="edit this one photo's face by --set", metavar="PHOTO")
    registration: str = arg("", choices=["crop", "2d", "3d", "tight", "none"], help="how the face of --image is cut "
                            "out; none: the photo is one [what the model was trained on, else tight]")
    sheet: str = arg("", help="also write a contact sheet: a row a source, a column an AU or emotion",
                     metavar="FILE.png", writes="file")
    sheet_rows: int = arg(8, help="sources on the sheet", least=1)
    format: Literal["npy", "png"] = arg("npy", help="one pack, or lossless files")
    seed: int = arg(0, help="seed of what is drawn", least=0)
    shard: str = arg("", help="only part i of n, e.g. 2/4", metavar="I/N")
    batch: int = arg(64, help="images a batch", least=1)
    device: Literal["auto", "cpu", "cuda"] = arg("auto", help="where the models run")
    threads: Optional[int] = arg(None, help="CPU threads [OMP_NUM_THREADS, else all cores]", least=1)

    def __post_init__(self):
        if not 0 <= self.levels[0] <= self.levels[1] <= 1:
            raise ValueError("--level and --level-range lie in [0, 1], LOW first")
        if self.image and not (self.values and self.out.lower().endswith(".png")):
            raise ValueError("--image needs --set AUxx=LEVEL and --out FILE.png")
        if self.image and self.source:
            raise ValueError("say either --image or --source")
        self.sources = self.sources or ("neutral" if self.recipe in ("single-au", "emotions") and not self.values
                                        else "all")
        check_shard(self.shard)

    @property
    def values(self):
        """--set as {AU: level}."""
        return dict(map(explicit, self.set))

    @property
    def levels(self):
        """(lowest, highest) level that recipes set AUs to."""
        return tuple(self.level_range) or (self.level, self.level)


def explicit(text):
    """'AU12=0.8' -> ('AU12', 0.8); ValueError for anything else."""
    from lib.labels import parse_au

    name, _, value = text.partition("=")
    try:
        level = float(value)
    except ValueError:
        level = -1.0
    if not 0 <= level <= 1:
        raise ValueError(f"--set {text}: say AUxx=LEVEL with a level in [0, 1], such as AU12=0.8")
    return parse_au(name), level


def check_shard(text):
    """ValueError unless text is empty or i/n."""
    import sys

    from lib.onnx_runtime import shard
    shard(text, sys.maxsize)


def make_plan(data, known, model, options):
    """The edits to make, with plan.source as rows of `data`."""
    import numpy as np

    from lib import manifest, recipes
    from lib.onnx_runtime import shared_aus

    targets = None
    if options.targets:
        rows = manifest.read(options.targets)
        shared_aus(model, rows)
        targets = rows.aus(model.aus)
    rows = recipes.neutral(known, options.neutral_below) if options.sources == "neutral" else np.arange(len(known))
    plan = recipes.make(options.recipe, known[rows], model.aus, count=options.count, levels=options.levels,
                        seed=options.seed, targets=targets, values=options.values)
    plan.source = rows[plan.source]
    blind = np.isnan(known[plan.source]) & ~np.isnan(plan.target)
    if model.edits and blind.any():
        au = model.aus[int(blind.any(0).argmax())]
        raise BadInput(f"{data.name}: {int(blind.any(1).sum())} of {len(plan)} edits start from images without a label "
                       f"of {au}; read it with --classifier FILE.onnx, or say --assume-neutral")
    return plan


def write_set(data, known, plan, model, check, options):
    """Make the images of a plan and write them with their manifest. Returns how many were dropped, by reason."""
    import numpy as np

    from lib.image_sets import ImageSet
    from lib.manifest import number, refuse_overwriting
    from lib.synthesis import inputs, rejected, write_sheet

    from_source = known[plan.source] if model.edits else np.zeros_like(plan.target)
    labels = np.where(np.isnan(plan.target), from_source, plan.target)
    changed = np.abs(labels - from_source) > 1e-3
    tag = ""
    if options.shard:
        part, parts = options.shard.split("/")
        tag = f"-{int(part):0{len(parts)}d}of{parts}"
    kept, dropped, output = [], Counter(), "edited" if model.edits else "sampled"
    with ImageSet(options.out, len(plan), model.image_size, options.format, tag) as out:
        packs = {image.rpartition("#")[0] for image in data.images()}
        refuse_overwriting([*options.source, *packs], out.manifest, out.target)
        for rows, results in model.stream(batch=options.batch, what="synthesizing",
                                          **inputs(data, known, plan, model, options)):
            images, keep = results[output], np.arange(rows.start, rows.stop)
            if check:
                reasons = rejected(check, model, images, labels[rows], changed[rows], options.max_error)
                good = np.array([not reason for reason in reasons])
                dropped.update(reason for reason in reasons if reason)
                images, keep = images[good], keep[good]
            out.add(images)
            kept.extend(keep)
        if not kept:
            raise BadInput(f"{options.check}: no edit is within --max-error {options.max_error:g} of its target "
                           f"({dict(dropped)}); raise it, or train the generator longer")
        kept = np.array(kept)
        columns = {name: [data.columns[name][i] for i in plan.source[kept]] for name in PASSED if name in data.columns}
        columns |= {au: [number(value) for value in labels[kept, k]] for k, au in enumerate(model.aus)}
        if any(plan.expression):
            columns["expression"] = [plan.expression[i] for i in kept]
        columns |= {"source": ["synthetic"] * len(kept), "edit": [plan.edit[i] for i in kept]}
        if model.edits:
            images = data.images()
            columns["source_path"] = [os.path.relpath(images[i], options.out) for i in plan.source[kept]]
        if options.sheet:  # before the manifest, which says that all is there
            write_sheet(data, known, plan, model, options)
        out.finish(columns)
    return dropped


def read_sources(paths):
    """The images to edit, of one manifest or several together (paths then relative to the current folder)."""
    from lib import manifest

    parts = [manifest.read(path) for path in paths]
    return parts[0] if len(parts) == 1 else manifest.merge(parts, Path.cwd())


def edit_one(photo, found, edit, size):
    """A photo, uint8 [H,W,3], after edit(uint8 [size,size,3]) -> the same, of its face.

    found: the face (lib.faces.paste.Found), which goes back into the photo; None: the photo is one, and the
    result has the model's size."""
    from lib.faces.paste import paste
    from lib.images import resize

    return paste(photo, found, edit(found.picture)) if found else edit(resize(photo, size))


def edit_photo(model, options):
    """--image: the face of one photo edited by --set."""
    import tempfile

    import numpy as np

    from lib import images, manifest
    from lib.faces.paste import face_for, registration_of
    from lib.synthesis import known_aus, write_sheet

    photo = images.load(options.image)
    found = face_for(photo, model.image_size, model.meta.get("registration"), options.registration, options.image)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.abspath(options.image)
        if found:  # the classifier and the sheet see the face, not the photo
            path = os.path.join(folder, "face.png")
            images.save(path, found.picture)
        shown = registration_of(found, model.meta.get("registration"), options.registration)
        data = manifest.Manifest(options.image, Path.cwd(), {"path": [path], "registration": [shown]})
        known = known_aus(data, model, options)
        plan = make_plan(data, known, model, options)

        def edit(face):
            return model.once(image=face[None], source=known, target=np.asarray(plan.target))["edited"][0]

        images.save(options.out, edit_one(photo, found, edit, model.image_size))
        if options.sheet:
            write_sheet(data, known, plan, model, options)


def main():
    options = parse(Options, __doc__)
    check_place(options.out, "file" if options.image else "folder")
    import numpy as np

    from lib import manifest
    from lib.onnx_runtime import Model, check_registration, shard, shared_aus
    from lib.synthesis import known_aus

    model = Model.open(options.model, options.device, options.threads, kind="generator")
    if options.image:
        if not model.edits:
            raise BadInput(f"{options.model}: samples new faces and cannot edit --image; give an editing generator")
        return edit_photo(model, options)
    if model.edits and not options.source:
        raise BadInput(f"{options.model}: edits images; say which with --source FILE.csv or --image PHOTO")
    check = Model.open(options.check, options.device, options.threads, kind="classifier") if options.check else None
    if model.edits:
        data = read_sources(options.source)
        check_registration(model, data)
        known = known_aus(data, model, options)
    else:
        if not options.count:
            raise BadInput(f"{options.model}: samples faces from noise; say how many with --count")
        data = manifest.Manifest("noise", Path.cwd(), {"path": [""] * options.count})
        known = np.zeros((options.count, len(model.aus)), np.float32)
    if check:
        shared_aus(check, manifest.Manifest(options.model, Path.cwd(), dict.fromkeys(model.aus, [])))
        if model.edits:
            check_registration(check, data)  # edits are registered as their sources are
    plan = make_plan(data, known, model, options)
    total = len(plan)
    plan = plan.part(shard(options.shard, total))
    dropped = write_set(data, known, plan, model, check, options)
    log(f"{options.out}: {len(plan) - sum(dropped.values())} images from {len(set(plan.source))} "
        + ("sources" if model.edits else "draws of noise")
        + "".join(f"; dropped {n}: {reason}" for reason, n in sorted(dropped.items())))


if __name__ == "__main__":
    run(main)
