"""AffectNet: a million photos from the web; expression, valence and arousal of half of them by
hand.

    python -m lib.datasets.affectnet ROOT --out DIR

Old form, CSVs (images uncropped; the face box passes through as face_x … face_height):
    training.csv, validation.csv, automatically_annotated.csv, with or without a header:
        subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,
        expression,valence,arousal
    Manually_Annotated_Images/689/737db2.jpg
New form, cropped:
    train_set/images/12.jpg, train_set/annotations/12_exp.npy, 12_val.npy, 12_aro.npy
    val_set likewise

Expressions 0 to 7; 8 (none) and 9 (uncertain) become empty, 10 (no face) is dropped, as is a
face_width that is below 0, NULL or empty. Valence or arousal -2 is missing. Who is on a photo is
not known: no `subject`. Automatic labels: source=pseudo. Mollahosseini, Hasani, Mahoor: AffectNet:
A Database for Facial Expression, Valence, and Arousal (2017).
"""
import io
from dataclasses import dataclass

import numpy as np

from lib.cli import BadInput, arg, progress, run
from lib.datasets import importing
from lib.datasets.layouts import IMAGES, Tree, affect, cell

NAMES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
COLUMNS = ("subdirectory_filepath", "face_x", "face_y", "face_width", "face_height",
           "facial_landmarks", "expression", "valence", "arousal")
BOX = COLUMNS[1:5]


@dataclass(kw_only=True)
class Options(importing.Options):
    csv: str = arg("**/{file}.csv", metavar="TEMPLATE", help="the old form's CSVs")
    expression: str = arg("**/{set}/annotations/{id}_exp.npy", metavar="TEMPLATE",
                          help="the new form's expressions")
    valence: str = arg("**/{set}/annotations/{id}_val.npy", metavar="TEMPLATE",
                       help="the new form's valences")
    arousal: str = arg("**/{set}/annotations/{id}_aro.npy", metavar="TEMPLATE",
                       help="the new form's arousals")
    images: str = arg("**/{set}/images/{id}.*", metavar="TEMPLATE", help="the new form's images")


def expression_cell(text):
    """'' for none and uncertain, 'no face' for 10; ValueError for what is no expression."""
    value = float(text)
    if value in (8, 9, -1):
        return ""
    if value == 10:
        return "no face"
    if value not in range(8):
        raise ValueError("is no expression (0 to 10)")
    return NAMES[int(value)]


def width(text):
    """A face box's width in pixels, -1 where there is none (NULL or empty)."""
    return -1.0 if text.lower() in ("null", "nan", "") else float(text)


def partition(name):
    """The part that a file or folder name speaks of."""
    return next((part for start, part in (("val", "validation"), ("train", "train"),
                                          ("test", "test")) if name.lower().startswith(start)), "")


def old_form(collection, tree, files):
    """Rows of the CSVs; images are found by the last two parts of their path, wherever they
    lie."""
    last_two = lambda path: "/".join(path.split("/")[-2:]).lower()
    found = {last_two(path): path for path in tree.files(IMAGES)}
    out, named = [], set()
    for path, parts in files:
        rows = tree.rows(path)
        header = COLUMNS
        if rows and rows[0][1][0].lower() == COLUMNS[0]:
            header = [name.lower() for name in rows.pop(0)[1]]
        if not rows:
            collection.drop(path, "empty label file")
        automatic = parts["file"].lower().startswith("auto")
        for line, cells in progress(rows, what=path, unit="row"):
            row = dict(zip(header, cells))
            if len(row) < len(COLUMNS):
                raise BadInput(f"{path}: line {line} has {len(cells)} cells, "
                               f"not {len(COLUMNS)}; correct the line")
            name = row[COLUMNS[0]].replace("\\", "/")
            named.add(last_two(name))
            kind = cell(expression_cell, row["expression"], path, line)
            if kind == "no face" or cell(width, row["face_width"], path, line) < 0:
                collection.drop(name, "no face in it" if kind == "no face" else "no face box")
                continue
            image = found.get(last_two(name))
            labels = {"expression": kind, "partition": partition(parts["file"]),
                      "valence": cell(affect, row["valence"], path, line),
                      "arousal": cell(affect, row["arousal"], path, line),
                      "source": "pseudo" if automatic else ""} | {side: row[side] for side in BOX}
            out.append((name, tree.path(image) if image else "", labels))
    importing.drop_unnamed(collection, [path for key, path in found.items() if key not in named])
    return out


def scalar(raw, path):
    """The text of a .npy's bytes that hold one number, itself perhaps as text."""
    try:
        return str(np.load(io.BytesIO(raw), allow_pickle=False).reshape(-1)[0])
    except (ValueError, EOFError, IndexError, OSError):
        raise BadInput(f"{path}: not a .npy with one value; replace it or remove it") from None


def new_form(collection, tree, options):
    """Rows of images and their .npy annotations."""
    def by_id(found):
        return {(parts["set"], parts["id"]): path for path, parts in found}

    kinds = {name: by_id(tree.find(getattr(options, name)))
             for name in ("expression", "valence", "arousal")}
    images = by_id(tree.find(options.images, IMAGES))
    keys = list(images) + sorted(set().union(*kinds.values()) - images.keys())
    keys, out = keys[::options.stride], []
    tree.prefetch([files[key] for key in keys for files in kinds.values() if key in files])
    for key in progress(keys, what="labels", unit="image"):
        cells = {"partition": partition(key[0])}
        for name, files in kinds.items():
            if key in files:
                parse = expression_cell if name == "expression" else affect
                cells[name] = cell(parse, scalar(tree.raw(files[key]), files[key]), files[key], 1)
        name = "/".join(key)
        if cells.get("expression") == "no face":
            collection.drop(name, "no face in it")
        else:
            out.append((name, tree.path(images[key]) if key in images else "", cells))
    return out


def collect(options):
    """The collection of either form, whichever lies there."""
    tree = Tree(options.root)
    collection = importing.Collection(options, "AffectNet")
    if tree.find(options.expression):
        # what is left out is not even read
        photos, options.stride = new_form(collection, tree, options), 1
    else:
        photos = old_form(collection, tree, tree.need(options.csv, "--csv"))
    importing.add_photos(collection, photos)
    return collection


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
