"""Folder-per-class, and any set whose file names say what is on an image.

    python -m lib.datasets.folder ROOT --out DIR                      ROOT/happy/….png
    python -m lib.datasets.folder ROOT --images '{subject}/{expression}/*' --out DIR
    python -m lib.datasets.folder ROOT --images '{subject}-{expression}-*.jpg' --out DIR
    python -m lib.datasets.folder ROOT --images '{partition}/{expression}/*' \\
        --classes 0=neutral 1=happy --out DIR
    python -m lib.datasets.folder ROOT --images '**/*' --out DIR      no labels: an unlabelled set

In a template `*` is anything within a name, `**/` any folders, `{expression}`, `{subject}`,
`{partition}`, `{video}`, `{frame:d}` become columns, as does any other name; `{subject:S\\d+}` is
a part that matches a regular expression. Happy, joy and happiness are one name, `happiness`, and
so on (--keep-names leaves them as they are).
"""
import os
from dataclasses import dataclass

from lib.cli import arg, run
from lib.datasets import importing
from lib.datasets.layouts import IMAGES, Tree, expression
from lib.labels import is_au


@dataclass(kw_only=True)
class Options(importing.Options):
    images: str = arg("{expression}/**/*", metavar="TEMPLATE", help="where the images lie")
    classes: list[str] = arg([], nargs="+", metavar="FOLDER=NAME",
                             help="folders called otherwise than the expression")
    keep_names: bool = arg(False, help="leave the names of expressions as they are")
    prefix: str = arg("", help="before each subject, e.g. wsefep-; the folder's name when empty")

    def __post_init__(self):
        super().__post_init__()
        if wrong := [pair for pair in self.classes if "=" not in pair]:
            raise ValueError(f"--classes {wrong[0]}: say FOLDER=NAME, e.g. 0=neutral")


def collect(options, data_set="folder"):
    """The collection of all images that match."""
    tree = Tree(options.root)
    collection = importing.Collection(options, data_set)
    names = dict(pair.split("=", 1) for pair in options.classes)
    prefix = options.prefix or os.path.basename(tree.root) + "-"
    photos, matched = [], set()
    for path, parts in tree.find(options.images, IMAGES):
        cells = {name: text or "" for name, text in parts.items() if not is_au(name)}
        if "expression" in cells:
            text = names.get(cells["expression"], cells["expression"])
            cells["expression"] = text if options.keep_names else expression(text)
        if cells.get("subject"):
            cells["subject"] = prefix + cells["subject"]
        matched.add(path)
        photos.append((path, tree.path(path), cells))
    for path in tree.files(IMAGES):
        if path not in matched:
            collection.drop(path, "does not match --images")
    importing.add_photos(collection, photos)
    return collection


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
