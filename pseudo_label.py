"""Label images with an exported classifier: the empty label cells of a manifest are filled in.

    pseudo_label.py --model classifier.onnx --images unlabelled.csv --out pseudo.csv
    find photos -name '*.jpg' | pseudo_label.py --model c.onnx --images - --register > aus.csv
    seq 4 | parallel pseudo_label.py --model c.onnx --images u.csv --shard {}/4 --out p-{}of4.csv
    python -m lib.manifest merge p-*of4.csv --out pseudo.csv     refuses a set that lacks a shard

--images is any manifest, or - for a manifest or bare image paths (one a line) on stdin. Rows keep
their order. A row of which at least one cell was filled gets source=pseudo and a confidence: the
mean over the model's AUs of the distance between value p and threshold t as a share of the
greatest possible one, |p - t| / max over [0, 1] on p's side (|2p - 1| when t is 0.5), or the
greatest probability of a model that only knows expressions. t is that of --threshold, else the
model's own. The values stay soft unless --threshold makes them 0/1: rows without AU labels of
their own are then au_kind=occurrence. Rows that keep AU labels keep their au_kind, too: among
occurrences a level is written as 0 or 1, and among levels an occurrence, which has none, is not
written. --mask-confidence and --per-class leave cells empty, and rows out of which all are. Every
other column passes through. Runs on ONNX Runtime, without torch.
--register takes the images for photos: the largest face of each is found and registered as the
model was trained, face_confidence says how sure that is, and photos without a face are left out.
"""

import sys
from dataclasses import dataclass
from typing import Literal, Optional

from lib.cli import BadInput, arg, log, parse, run


@dataclass
class Options:
    model: str = arg(help="exported classifier", required=True, metavar="FILE.onnx")
    images: str = arg(
        help="manifest of the images; - is a manifest or bare paths on stdin",
        required=True,
        metavar="FILE.csv",
    )
    out: str = arg(
        "-",
        help="where the labelled manifest goes; - is stdout",
        metavar="FILE.csv",
        writes="file",
    )
    threshold: str = arg(
        "", help="make AUs 0/1: a number, or `stored` for the model's own thresholds", metavar="X"
    )
    min_confidence: Optional[float] = arg(
        None, help="leave out images labelled with less confidence", metavar="X"
    )
    mask_confidence: float = arg(
        0.0,
        help="leave AU and expression cells empty that are labelled with less confidence",
        least=0,
        metavar="X",
    )
    per_class: int = arg(
        0,
        help="keep of every AU this many of the surest presences and of the surest absences, and "
        "as many of every expression (0: all)",
        least=0,
        metavar="N",
    )
    relabel: bool = arg(False, help="also overwrite labels that are there; one stays "
                               "where the new one is left out as unsure")
    register: bool = arg(
        False,
        help="find the largest face in each image, and register it as the model was trained "
        "(needs `make setup-photos` or `setup-faces`)",
    )
    shard: str = arg("", help="only part i of n, e.g. 2/4: consecutive rows", metavar="I/N")
    batch: int = arg(64, help="images a batch", least=1)
    device: Literal["auto", "cpu", "cuda"] = arg("auto", help="where the model runs")
    threads: Optional[int] = arg(
        None, help="CPU threads [OMP_NUM_THREADS, else all cores]", least=1
    )

    def __post_init__(self):
        from lib.onnx_runtime import shard

        shard(self.shard, sys.maxsize)
        if self.threshold not in ("", "stored"):
            try:
                fits = 0 < float(self.threshold) < 1
            except ValueError:
                fits = False
            if not fits:
                raise ValueError(
                    f"--threshold {self.threshold}: say a number between 0 and 1, or `stored`"
                )


def read_images(place):
    """The manifest to label; on stdin a header with `path` makes a manifest, anything else is a
    list of paths."""
    from lib import manifest, manifest_reading

    if place != "-":
        return manifest.read(place)
    given, name, folder = manifest_reading.read_bytes(place)
    header = next(manifest_reading.csv_rows(given, name), [])
    if "path" in [column.strip() for column in header]:
        return manifest.parse(given, name, folder)
    try:
        lines = given.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BadInput(f"{name}: not text; pipe in a manifest, or one path a line") from None
    paths = [line.strip() for line in lines if line.strip()]
    if not paths:
        raise BadInput(f"{name}: no image paths; pipe in a manifest, or one path a line")
    return manifest.Manifest(name, folder, {"path": paths})


def limits_of(model, options):
    """The value from which each AU counts as present, float32 [A]: that of --threshold, or the
    model's own."""
    import numpy as np

    if options.threshold in ("", "stored"):
        return model.thresholds()
    return np.full(len(model.aus), float(options.threshold), np.float32)


def mask(found, model, outputs, options):
    """Empty those found labels that --mask-confidence and --per-class leave out, in place."""
    import numpy as np

    from lib import selection
    from lib.onnx_runtime import au_scores

    if model.aus:
        scores, at = au_scores(model, outputs), limits_of(model, options)
        keep = selection.cell_confidence(scores, at) >= options.mask_confidence
        if options.per_class:
            keep &= selection.balanced_cells(scores, at, options.per_class)
        for name, values, kept in zip(model.aus, [found[name] for name in model.aus], keep.T):
            found[name] = np.where(kept, values, np.float32(np.nan))
    if "expression" in found:
        keep = outputs["expression"].max(1) >= options.mask_confidence
        if options.per_class:
            keep &= selection.balanced_rows(outputs["expression"], options.per_class)
        found["expression"] = [
            name if kept else "" for name, kept in zip(found["expression"], keep)
        ]


def find_faces(data, model):
    """(the rows of a manifest whose photos show a face, their registered faces uint8 [N,S,S,3]).

    Photos without one are named on stderr; BadInput when all are."""
    import numpy as np

    from lib.faces import align, reading
    from lib.manifest import number

    if "reference" in model.inputs:
        raise BadInput(
            f"{model.path}: compares with reference images; "
            "register both with python -m lib.faces.register"
        )
    mode = reading.mode_for(model)
    faces, confidence, reasons = reading.registered(data.images(), mode, model.image_size)
    there = np.array([not reason for reason in reasons], bool)
    if not there.any():
        raise BadInput(
            f"{data.name}: no face in any of {len(data)} images; the first: {reasons[0]}"
        )
    for reason in filter(None, reasons):
        log(f"left out: {reason}")
    data = data.take(there)
    data.columns["registration"] = [align.name(mode, model.image_size)] * len(data)
    data.columns["face_confidence"] = [number(value) for value in confidence[there]]
    return data, faces[there]


def label(data, model, options, references=None, faces=None):
    """Fill in labels, source, confidence and au_kind of a manifest in place; bool [N]: rows that
    were filled.

    references: each row's reference image, for models that compare with one; faces: uint8
    [N,S,S,3], what the model sees in place of the manifest's images."""
    import numpy as np

    from lib.pseudo_labels import READ, columns_of, predictions, write_labels

    columns_of(model)  # refuses a model that labels nothing
    wanted = [name for name in READ if name in model.outputs]
    outputs = model.predict(
        data.images() if faces is None else faces,
        options.batch,
        "labelling",
        wanted,
        reference=references,
    )
    found = predictions(model, outputs)
    at = limits_of(model, options)
    if options.threshold:
        found.update(
            {name: (found[name] >= t).astype(np.float32) for name, t in zip(model.aus, at)}
        )
    if options.mask_confidence or options.per_class:
        mask(found, model, outputs, options)
    return write_labels(
        data,
        model,
        found,
        outputs,
        relabel=options.relabel,
        occurs=bool(options.threshold),
        source="pseudo",
        at=at,
    )


def own_labels(data):
    """bool [N]: rows that hold an AU, a value or an expression."""
    import numpy as np

    from lib.labels import VALENCE_AROUSAL

    names = [*data.au_names, *VALENCE_AROUSAL, "expression"]
    return np.any([~data.empty(name) for name in names], 0)


def main():
    options = parse(Options, __doc__)
    import numpy as np

    from lib.onnx_runtime import Model, brief, check_registration, reference_images, shard
    from lib.pseudo_labels import columns_of

    data = read_images(options.images)
    model = Model.open(options.model, options.device, options.threads, kind="classifier")
    if options.threshold == "stored" and not model.meta.get("thresholds"):
        raise BadInput(f"{options.model}: stores no thresholds; say --threshold 0.5")
    if not options.register:
        check_registration(model, data)
    part = shard(options.shard, len(data))
    references = reference_images(
        model, data
    )  # of all rows: a person's mean image is that of every shard
    data = data.take(np.arange(len(data))[part])
    data, faces = find_faces(data, model) if options.register else (data, None)
    filled = label(data, model, options, references and references[part], faces)
    keep = np.ones(len(data), bool)
    if options.min_confidence is not None:
        if "confidence" not in data.columns:
            raise BadInput(
                f"{options.model}: has neither AUs nor expressions, so no confidence; "
                "leave out --min-confidence"
            )
        sure = data.numbers("confidence", 1.0)
        keep = ~filled | (sure >= options.min_confidence)
        if not keep.any() and len(data):
            raise BadInput(
                f"{data.name}: no image reaches --min-confidence {options.min_confidence:g} "
                f"(highest {sure.max():.4f}); lower it"
            )
    if options.mask_confidence or options.per_class:
        keep &= filled | own_labels(data)
        if not keep.any() and len(data):
            raise BadInput(
                f"{data.name}: no label is left by "
                f"--mask-confidence {options.mask_confidence:g} and "
                f"--per-class {options.per_class}; lower the one or raise the other"
            )
    data.take(keep).write(options.out)
    log(
        f"{data.name}: labelled {int(filled.sum())} of {len(data)} images "
        f"with {brief(columns_of(model))}"
        + (
            f"; left out {int((~keep).sum())} that the model is not sure of"
            if not keep.all()
            else ""
        )
    )


if __name__ == "__main__":
    run(main)
