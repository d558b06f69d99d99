"""Make images with an exported generator: edit source faces by a recipe, and write them with their
labels.

    synthesize.py --model generator.onnx --source a.csv --recipe single-au --count 3000 --out DIR
    synthesize.py --model generator.onnx --source a.csv b.csv --set AU12=0.8 AU06=0.5 --out DIR
    synthesize.py --model generator.onnx --source a.csv --recipe mix --mix anger+sadness --out DIR
    synthesize.py --model generator.onnx --source a.csv --check judge.onnx --relabel --out DIR
    synthesize.py --model editor.onnx --image photo.jpg --set AU12=0.8 --out edited.png
    synthesize.py --model editor.onnx --image photo.jpg --set AU12=1 --strip 0:1:0.1 --out smile.gif
    synthesize.py --model editor.onnx --image photo.jpg --copy-from other.jpg --out edited.png
    synthesize.py --model editor.onnx --video clip.mp4 --set AU12=0.8 --out edited.mp4

DIR gets images.npy (one pack, the fastest to write and to read; --format png makes files, 1,000 a
folder) and, last, manifest.csv: source=synthetic, the target as label, and source_path, the image
that was edited. An edit of a source with au_kind=occurrence keeps AUs without a level. So its row
says au_kind=occurrence, too, and the AUs that were set are 1 from level 2 of 5 on, else 0; only a
row whose AUs were all set to levels says intensity. Recipes: single-au (each source, one AU at a
time, others 0), emotions (FACS combinations), deactivate (one active AU off), activate (one absent
AU on, the others kept), random (rows of --targets, or independent AUs), reweight (every level 1-5
of every AU equally often), balanced (level 0 too; target rows that are occurrences are left out of
both); for models of expressions, expressions (neutral faces to each) and mix (several at once).
--aus AU09 AU23, or --aus rarest:3, makes edits for some AUs only. --count edits are dealt evenly
over AUs, and over sources where the AU does not choose them. --check drops the edits that a
classifier does not confirm; with --relabel it drops none, and the labels are what the classifier
reads, as pseudo_label.py --relabel would write them. Shards of one command (--shard i/n) may share
DIR; they write manifest-iofn.csv, which `python -m lib.manifest merge DIR/manifest-*.csv --out
DIR/manifest.csv` joins. Sampling generators (noise in place of images) need no --source. Runs on
ONNX Runtime, without torch.
"""
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from lib.cli import BadInput, arg, check_place, log, parse, run

PASSED = ("subject", "session", "registration")  # columns that an edit does not change


@dataclass
class Options:
    model: str = arg(help="exported generator", required=True, metavar="FILE.onnx")
    out: str = arg(help="folder for the images and their manifest; "
                        "with --image or --video, the file to write", required=True)
    source: list[str] = arg([], nargs="+", help="manifests of the images to edit; - is stdin",
                            metavar="FILE.csv")
    recipe: str = arg(
        "", choices=["single-au", "emotions", "deactivate", "activate", "random", "reweight",
                     "balanced", "expressions", "mix"],
        help="which edits to make [single-au; expressions where the model knows no AUs]"
    )
    set: list[str] = arg([], nargs="+", metavar="NAME=VALUE",
                         help="explicit edits instead of a recipe: AU12=0.8, valence=-0.5, "
                              "anger=1; other AUs, valence and arousal are kept")
    mix: list[str] = arg([], nargs="+", metavar="NAME+NAME",
                         help="for --recipe mix [anger+sadness, happiness+disgust, fear+surprise, "
                              "those that the model has]")
    level: float = arg(
        0.7, help="level that AUs are set to, FACS level / 5 (thesis: 0.7 for faces, 1 for MNIST)"
    )
    level_range: list[float] = arg([], nargs=2, metavar=("LOW", "HIGH"),
                                   help="draw levels evenly from here instead")
    aus: list[str] = arg([], nargs="+", metavar="AUxx",
                         help="make edits for these AUs only; rarest:K: for the K AUs that the "
                              "fewest rows of --source show. For single-au, deactivate, activate, "
                              "reweight and balanced [all]")
    count: Optional[int] = arg(None, help="how many images [each edit of each source once]",
                               least=1)
    sources: str = arg(
        "", choices=["neutral", "all"],
        help="which rows to edit [neutral for single-au, emotions, expressions and mix, else all]"
    )
    neutral_below: float = arg(0.1, help="a source is neutral when all its AUs are under this, "
                                         "half of FACS level A", least=0)
    targets: str = arg("", help="manifest of target rows for random, reweight and balanced "
                                "[the sources; random: none]", metavar="FILE.csv")
    classifier: str = arg("", help="reads labels that the sources lack "
                                   "[--image and --video: runs/models/reader.onnx]",
                          metavar="FILE.onnx")
    assume_neutral: bool = arg(False, help="the sources are neutral where they have no label")
    check: str = arg("", help="classifier that reads the edits; those that disagree with their "
                              "target are dropped, so fewer than --count may remain",
                     metavar="FILE.onnx")
    max_error: float = arg(0.3, help="with --check: largest mean |reading - target|, "
                                     "over edited AUs and over the rest; between a level and an "
                                     "occurrence 0 or 1", least=0)
    relabel: bool = arg(False, help="with --check: drop nothing; each row gets the labels that the "
                                    "classifier reads, and its confidence")
    image: str = arg("", help="edit this one photo's face by --set or --copy-from", metavar="PHOTO")
    video: str = arg("", help="edit the face of this film, frame by frame, without its sound",
                     metavar="FILM")
    copy_from: str = arg("", help="with --image or --video: the AUs that the classifier reads in "
                                  "another photo; --set goes before it", metavar="PHOTO")
    strip: str = arg("", metavar="FROM:TO:STEP",
                     help="with --image, several edits: the values of --set times FROM to TO, "
                          "expressions from the photo's own at 0 to those of --set at 1; "
                          "side by side (.png), or an animation (.gif, .webp)")
    face: int = arg(1, help="which face of --image to edit, counted from the largest", least=1)
    registration: str = arg("", choices=["crop", "2d", "3d", "tight", "none"],
                            help="how the face of --image is cut out; none: the photo is one "
                                 "[what the model was trained on, else tight]")
    sheet: str = arg("",
                     help="also write a contact sheet: a row a source, a column an AU or emotion",
                     metavar="FILE.png", writes="file")
    sheet_rows: int = arg(8, help="sources on the sheet", least=1)
    format: Literal["npy", "png"] = arg("npy", help="one pack, or lossless files")
    seed: int = arg(0, help="seed of what is drawn", least=0)
    shard: str = arg("", help="only part i of n, e.g. 2/4", metavar="I/N")
    batch: int = arg(64, help="images a batch", least=1)
    device: Literal["auto", "cpu", "cuda"] = arg("auto", help="where the models run")
    threads: Optional[int] = arg(None, help="CPU threads [OMP_NUM_THREADS, else all cores]",
                                 least=1)

    def __post_init__(self):
        if not 0 <= self.levels[0] <= self.levels[1] <= 1:
            raise ValueError("--level and --level-range lie in [0, 1], LOW first")
        forms = (".mp4",) if self.video else (".png", ".gif", ".webp") if self.strip else (".png",)
        if self.one and not ((self.values or self.copy_from) and self.out.lower().endswith(forms)):
            raise ValueError(f"--{'video' if self.video else 'image'} needs --set NAME=VALUE "
                             f"(or --copy-from PHOTO) and --out FILE{' or '.join(forms)}")
        if bool(self.image) + bool(self.video) + bool(self.source) > 1:
            raise ValueError("say one of --image, --video and --source")
        if self.copy_from and not self.one:
            raise ValueError("--copy-from needs --image PHOTO or --video FILM")
        if self.strip and not self.image:
            raise ValueError("--strip needs --image PHOTO and --set NAME=VALUE")
        if self.mix and self.recipe != "mix":
            raise ValueError("--mix needs --recipe mix")
        if self.relabel and (not self.check or self.one):
            raise ValueError("--relabel needs --check FILE.onnx, the classifier that reads the "
                             "labels, and a set of images")
        if self.aus and (self.values or self.one):
            raise ValueError("--aus chooses among the edits of a recipe; leave it out with --set, "
                             "--image and --video")
        self.values, self.factors, self.chosen  # refuse what cannot be read
        check_shard(self.shard)

    def settle(self, model):
        """Recipe and sources where the command line does not say, for a model."""
        self.recipe = self.recipe or (
            "single-au" if model.aus or not model.expressions else "expressions"
        )
        by_neutral = ("single-au", "emotions", "expressions", "mix")
        self.sources = self.sources or (
            "neutral" if self.recipe in by_neutral and not self.values else "all"
        )

    @property
    def one(self):
        """The photo or film to edit, '' for sets of images."""
        return self.image or self.video

    @property
    def values(self):
        """--set as {name: value}."""
        return dict(map(explicit, self.set))

    @property
    def chosen(self):
        """--aus as (AU names, K of rarest:K or 0)."""
        return wanted_aus(self.aus)

    @property
    def factors(self):
        """--strip as numbers: '0:1:0.5' is 0, 0.5, 1; without it 1."""
        if not self.strip:
            return [1.0]
        try:
            first, last, step = map(float, self.strip.split(":"))
            count = int((last - first) / step + 1e-6) + 1
        except (ValueError, ZeroDivisionError, OverflowError):
            count = 0
        if not (1 <= count <= 1000 and 0 <= first <= 1 and 0 <= last <= 1):
            raise ValueError(
                f"--strip {self.strip}: say FROM:TO:STEP within [0, 1], such as 0:1:0.1"
            )
        return [round(first + k * step, 6) for k in range(count)]

    @property
    def levels(self):
        """(lowest, highest) level that recipes set AUs to."""
        return tuple(self.level_range) or (self.level, self.level)


def explicit(text):
    """'AU12=0.8' -> ('AU12', 0.8), 'valence=-0.5', 'anger=1'; ValueError for anything else."""
    import re

    from lib.labels import VALENCE_AROUSAL, parse_au

    name, _, value = text.partition("=")
    if re.fullmatch(r"(?i)(au[ _-]?)?\d+", name):
        name = parse_au(name)
    low = -1 if name in VALENCE_AROUSAL else 0
    try:
        level = float(value)
    except ValueError:
        level = -2.0
    if not (name and low <= level <= 1):
        raise ValueError(f"--set {text}: say NAME=VALUE, such as AU12=0.8 or anger=1 in [0, 1], "
                         "valence=-0.5 in [-1, 1]")
    return name, level


def wanted_aus(texts):
    """--aus as (AU names, K of rarest:K or 0); ValueError for anything else."""
    from lib.labels import parse_au

    if not any(text.startswith("rarest") for text in texts):
        return list(dict.fromkeys(map(parse_au, texts))), 0
    count = texts[0].removeprefix("rarest:")
    if len(texts) > 1 or not count.isdecimal() or int(count) < 1:
        raise ValueError(f"--aus {' '.join(texts)}: say AU names, or rarest:K alone, "
                         "such as rarest:3")
    return [], int(count)


def check_shard(text):
    """ValueError unless text is empty or i/n."""
    import sys

    from lib.onnx_runtime import shard
    shard(text, sys.maxsize)


def choose_aus(data, model, options):
    """The AUs that --aus says, [] for all; BadInput where the recipe or the model has none such."""
    from lib import recipes

    if not options.aus:
        return []
    aus, rarest = options.chosen
    recipes.check_only(options.recipe, aus, model.aus)
    if rarest and not model.edits:
        raise BadInput(f"--aus rarest:{rarest}: {options.model} makes faces from noise, "
                       "so there are no rows to count; name the AUs")
    return recipes.rarest(data.present(model.aus), model.aus, rarest) if rarest else aus


def make_plan(data, known, model, options, target=None, occurs=None):
    """The edits to make, with plan.source as rows of `data`; target [1,C]: the one edit to make of
    the one image; occurs: bool [K,A], which AUs of the sources are occurrences."""
    import numpy as np

    from lib import manifest, recipes

    names, kinds = model.labels.conditions, model.labels.kinds
    if not names:  # a sampler without conditions
        return recipes.Plan(np.arange(len(known)), known, [""] * len(known), [""] * len(known))
    targets = givers = None
    if options.targets:
        givers = manifest.read(options.targets)
        targets = model.labels.encode(givers)
        if np.isnan(targets).all():
            raise BadInput(f"{givers.name}: has none of the labels of {model.path} "
                           f"({', '.join(names)}); give target rows of the same labels")
    rows = np.arange(len(known))
    if target is not None:
        return checked(recipes.Plan(rows, target, [""], [""]), data, known, model)
    if options.sources == "neutral" and model.edits:
        recipes.check_kinds(options.recipe, names, kinds, targets)
        by = kinds
        if options.recipe in recipes.OF_CLASSES:
            by = ["expression" if kind == "expression" else "" for kind in kinds]
        rows = recipes.neutral(known, options.neutral_below, names, by)
    if givers:
        occurs = givers.occurrence()
    elif occurs is not None:
        occurs = occurs[rows]
    plan = recipes.make(options.recipe, known[rows], names, kinds=kinds, count=options.count,
                        levels=options.levels, seed=options.seed, targets=targets,
                        values=options.values, mixes=options.mix, neutral_too=not model.edits,
                        only=options.aus, occurs=occurs)
    plan.source = rows[plan.source]
    return checked(plan, data, known, model)


def checked(plan, data, known, model):
    """The plan. BadInput where an editor would change what it does not know of the source."""
    import numpy as np

    names, kinds = model.labels.conditions, model.labels.kinds
    # an unknown expression may be edited: the model is told that it is
    relative = np.array(kinds) != "expression"
    blind = np.isnan(known[plan.source]) & ~np.isnan(plan.target) & relative
    if model.edits and blind.any():
        name = names[int(blind.any(0).argmax())]
        raise BadInput(f"{data.name}: {int(blind.any(1).sum())} of {len(plan)} edits start from "
                       f"images without a label of {name}; read it with --classifier FILE.onnx, "
                       "or say --assume-neutral")
    return plan


def write_set(data, known, plan, model, check, options, references=None, occurs=None):
    """Make the images of a plan and write them with their manifest. Returns how many were dropped,
    by reason. references: the sources' reference images, where `check` compares with them; occurs:
    bool [K,A], which AUs of the sources are occurrences (without it none is)."""
    import os

    import numpy as np

    from lib.image_sets import ImageSet
    from lib.images import pack_of
    from lib.manifest import refuse_overwriting
    from lib.pseudo_labels import READ
    from lib.synthesis import inputs, is_changed, occurring, rejected, relabelled, write_sheet

    from_source = known[plan.source] if model.edits else np.zeros_like(plan.target)
    labels = np.where(np.isnan(plan.target), from_source, plan.target)
    changed = is_changed(labels, from_source)
    if not model.edits:  # an AU of nobody is what its target is
        of_source = plan.occurs[:, None]
    else:
        of_source = False if occurs is None else occurs[plan.source]
    aus = model.labels.columns("au")
    occurs = occurring(labels[:, aus], changed[:, aus], plan.occurs, of_source)
    tag = ""
    if options.shard:
        part, parts = options.shard.split("/")
        tag = f"-{int(part):0{len(parts)}d}of{parts}"
    kept, dropped, output = [], Counter(), "edited" if model.edits else "sampled"
    read = {}  # what `check` reads in the images, {output: arrays [n,...]}
    with ImageSet(options.out, len(plan), model.image_size, options.format, tag) as out:
        files = {pack_of(image)[0] or os.path.dirname(image) for image in data.images()}
        refuse_overwriting([*options.source, *files], out.manifest, out.target)
        for rows, results in model.stream(
            batch=options.batch, what="synthesizing", outputs=[output],
            **inputs(data, known, plan, model, options)
        ):
            images, keep = results[output], np.arange(rows.start, rows.stop)
            if check:
                seen = references and [references[i] for i in plan.source[rows]]
                outputs = check.once(image=images, reference=seen)
            if options.relabel:
                for name in {*READ} & {*outputs}:
                    read.setdefault(name, []).append(outputs[name])
            elif check:
                reasons = rejected(outputs, check, model, labels[rows], changed[rows],
                                   occurs[rows], options.max_error)
                good = np.array([not reason for reason in reasons])
                dropped.update(reason for reason in reasons if reason)
                images, keep = images[good], keep[good]
            out.add(images)
            kept.extend(keep)
        if not kept:
            raise BadInput(
                f"{options.check}: no edit is within --max-error {options.max_error:g} of its "
                f"target ({dict(dropped)}); raise it, or train the generator longer"
            )
        kept = np.array(kept)
        columns = columns_of(data, plan.part(kept), model, labels[kept], occurs[kept], options)
        if options.relabel:
            columns = relabelled(columns, check, {name: np.concatenate(parts)
                                                  for name, parts in read.items()})
        if options.sheet:  # before the manifest, which says that all is there
            write_sheet(data, known, plan, model, options)
        out.finish(columns)
    return dropped


def columns_of(data, plan, model, labels, occurs, options):
    """The manifest's columns of the edits of a plan: what the source says of them, their labels
    [N,C], and what was done. occurs: bool [N,A], which AUs of the labels are occurrences."""
    from lib.synthesis import au_kinds, label_columns, of_one_kind

    columns = {name: [data.columns[name][i] for i in plan.source]
               for name in PASSED if name in data.columns}
    aus = model.labels.columns("au")
    labels = labels.copy()
    labels[:, aus], rows = of_one_kind(labels[:, aus], occurs)
    if (kinds := au_kinds(data, plan, rows)) is not None:
        columns["au_kind"] = kinds
    columns |= label_columns(model.labels, labels, plan.expression)
    columns |= {"source": ["synthetic"] * len(plan), "edit": plan.edit}
    if model.edits:
        images = data.images()
        columns["source_path"] = [os.path.relpath(images[i], options.out) for i in plan.source]
    if "reference" in data.columns:  # of the person, who stays the same
        cells = data.relocated(options.out)["reference"]
        columns["reference"] = [cells[i] for i in plan.source]
    return columns


def read_sources(paths):
    """The images to edit, of one manifest or several together (paths then relative to the current
    folder)."""
    from lib import manifest

    parts = [manifest.read(path) for path in paths]
    return parts[0] if len(parts) == 1 else manifest.merge(parts, Path.cwd())


def write_pictures(path, pictures):
    """Pictures uint8 [H,W,3] side by side as PNG, or as the frames of a GIF or WebP animation."""
    import numpy as np
    from PIL import Image

    from lib import images
    from lib.files import replacing

    if path.lower().endswith(".png"):
        return images.save(path, np.concatenate(pictures, 1))
    frames = [Image.fromarray(picture) for picture in pictures]
    with replacing(path) as temporary:
        frames[0].save(temporary, format=path.rpartition(".")[2].upper(), save_all=True,
                       append_images=frames[1:], duration=80, loop=0)


def photo_editor(model, options):
    """The lib.faces.photo_editor.PhotoEditor of a model, with the reader that --classifier names
    or that is shipped; None for models of other labels than AUs, and where no reader reads
    them."""
    from lib.faces import photo_editor
    from lib.onnx_runtime import Model

    if {*model.labels.kinds} != {"au"}:
        return None
    if options.assume_neutral and not options.copy_from:
        return photo_editor.PhotoEditor(model)
    path = options.classifier or (photo_editor.SHIPPED if photo_editor.SHIPPED.exists() else "")
    reader = (Model.open(str(path), options.device, options.threads, kind="classifier")
              if path else None)
    if not options.classifier and not photo_editor.reads_photos(reader, model):
        return None
    return photo_editor.PhotoEditor(model, reader)


def wanted(model, editor, options):
    """The edit asked for, as a target row float32 [1,C]: --set, and what --copy-from shows; NaN
    keeps the photo's own."""
    from lib import recipes
    from lib.faces import photo_editor

    values = options.values
    if options.copy_from:
        if not (editor and editor.reader):
            raise BadInput("--copy-from: the AUs of that photo are to be read; "
                           f"give --classifier FILE.onnx that reads the AUs of {options.model}")
        read = photo_editor.levels_of(options.copy_from, editor.reader)
        values = {name: read[name] for name in model.labels.conditions} | values
    return recipes.explicit(values, model.labels.conditions, model.labels.kinds)[2][None]


def edit_photo(model, options):
    """--image: the face of one photo edited."""
    import tempfile

    import numpy as np

    from lib import images, manifest
    from lib.faces.paste import face_for, registration_of
    from lib.faces.photo_editor import edit_one
    from lib.synthesis import known_conditions, part_of_the_way, write_sheet

    photo = images.load(options.image)
    found = face_for(photo, model.image_size, model.meta.get("registration"), options.registration,
                     options.image, options.face)
    editor = photo_editor(model, options)
    target = wanted(model, editor, options)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.abspath(options.image)
        if found:  # the classifier and the sheet see the face, not the photo
            path = os.path.join(folder, "face.png")
            images.save(path, found.picture)
        shown = registration_of(found, model.meta.get("registration"), options.registration)
        data = manifest.Manifest(options.image, Path.cwd(),
                                 {"path": [path], "registration": [shown]})
        if found and editor:
            known = np.zeros_like(target) if options.assume_neutral else editor.shown(photo, found)
        else:
            known, _ = known_conditions(data, model, options)
        plan = make_plan(data, known, model, options, target)

        def edited(factor):
            """The photo after a part of the edit asked for."""
            def edit(face):
                made = model.once(
                    image=face[None], source=known,
                    target=part_of_the_way(model.labels, known, plan.target, factor))
                return {name: values[0] for name, values in made.items()}

            return edit_one(photo, found, edit, model.image_size)

        pictures = [edited(factor) for factor in options.factors]
        if options.sheet:  # before the picture, which says that all is there
            write_sheet(data, known, plan, model, options)
        write_pictures(options.out, pictures)


def edit_video(model, options):
    """--video: the face of a film edited, frame by frame."""
    from lib.faces.reading import mode_for

    editor = photo_editor(model, options)
    if not editor:
        raise BadInput(f"{options.model}: nothing here reads what the film shows for this model; "
                       "give --classifier FILE.onnx that reads its AUs, or say --assume-neutral")
    count, _ = editor.edit_clip(options.video, options.out, options.registration or mode_for(model),
                                wanted(model, editor, options))
    log(f"{options.out}: {count} frame{'' if count == 1 else 's'}")


def main():
    options = parse(Options, __doc__)
    check_place(options.out, "file" if options.one else "folder")
    import numpy as np

    from lib import manifest
    from lib.onnx_runtime import Model, check_registration, shard
    from lib.synthesis import check_reads, check_references, check_relabels, known_conditions

    model = Model.open(options.model, options.device, options.threads, kind="generator")
    options.settle(model)
    if options.one:
        if not model.edits:
            raise BadInput(f"{options.model}: samples new faces and cannot edit {options.one}; "
                           "give an editing generator")
        return edit_video(model, options) if options.video else edit_photo(model, options)
    if model.edits and not options.source:
        raise BadInput(
            f"{options.model}: edits images; say which with --source FILE.csv or --image PHOTO"
        )
    check = (Model.open(options.check, options.device, options.threads, kind="classifier")
             if options.check else None)
    if model.edits:
        data = read_sources(options.source)
        check_registration(model, data)
        known, occurs = known_conditions(data, model, options)
    else:
        if not options.count:
            raise BadInput(f"{options.model}: samples faces from noise; say how many with --count")
        data = manifest.Manifest("noise", Path.cwd(), {"path": [""] * options.count})
        known, occurs = np.zeros((options.count, model.labels.count), np.float32), None
    references = None
    if check:
        (check_relabels if options.relabel else check_reads)(check, model)
        references = check_references(check, data, model)
        if model.edits:
            check_registration(check, data)  # edits are registered as their sources are
    options.aus = choose_aus(data, model, options)
    plan = make_plan(data, known, model, options, occurs=occurs)
    total = len(plan)
    plan = plan.part(shard(options.shard, total))
    dropped = write_set(data, known, plan, model, check, options, references, occurs)
    log(f"{options.out}: {len(plan) - sum(dropped.values())} images from {len(set(plan.source))} "
        + ("sources" if model.edits else "draws of noise")
        + (f", labelled by {options.check}" if options.relabel else "")
        + "".join(f"; dropped {n}: {reason}" for reason, n in sorted(dropped.items())))


if __name__ == "__main__":
    run(main)
