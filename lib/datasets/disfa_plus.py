"""DISFA+: nine of DISFA's people posing and reacting, twelve AUs with levels 0 to 5.

    python -m lib.datasets.disfa_plus ROOT --out DIR

    Labels/SN001/A1_AU1_TrailNo_1/AU1.txt  lines `image file  level`; blank and # lines are skipped
    Images/SN001/A1_AU1_TrailNo_1/000.jpg

All nine are in DISFA too and keep their key, `disfa-SN001`: a split of both sets keeps them
together. Mavadati, Sanger, Mahoor: Extended DISFA Dataset: Investigating Posed and Spontaneous
Facial Expressions (2016).
"""
from dataclasses import dataclass

from lib.cli import BadInput, arg, progress, run
from lib.datasets import importing
from lib.datasets.layouts import IMAGES, Tree, cell, last_number, level, natural, stem
from lib.labels import au_name


@dataclass(kw_only=True)
class Options(importing.Options):
    labels: str = arg(r"**/Labels/{subject:SN\d+}/{trial}/AU{au:d}.txt", metavar="TEMPLATE",
                      help="the label files")
    images: str = arg(r"**/Images/{subject:SN\d+}/{trial}/{file}", metavar="TEMPLATE",
                      help="the images")


def collect(options):
    """The collection of all trials, each a video."""
    tree = Tree(options.root)
    collection = importing.Collection(options, "DISFA+")
    rows = {}  # (subject, trial) -> {image stem: {column: cell}}
    for path, parts in progress(tree.need(options.labels, "--labels"), what="labels", unit="file"):
        trial = rows.setdefault((parts["subject"].upper(), parts["trial"]), {})
        lines = tree.lines(path)
        if not lines:
            collection.drop(path, "empty label file")
        for line, text in lines:
            words = text.replace(",", " ").split()
            if len(words) != 2:
                raise BadInput(
                    f"{path}: line {line}: {text!r} is not `image file  level`; correct the line"
                )
            cells = trial.setdefault(stem(words[0]), {})
            cells[au_name(parts["au"])] = cell(level, words[1], path, line)
    images = {}
    for path, parts in tree.find(options.images, IMAGES):
        images.setdefault((parts["subject"].upper(), parts["trial"]), {})[stem(path)] = path
    for key in progress(sorted(rows, key=lambda key: natural("/".join(key))), what="rows",
                        unit="video"):
        video, found = "/".join(key), images.get(key, {})
        shared = {"subject": f"disfa-{key[0]}", "video": video}
        for name in sorted(rows[key].keys() | found.keys(), key=natural)[::options.stride]:
            if name not in found:
                collection.drop(f"{video}/{name}", "no image for this label")
                continue
            number = last_number(name)
            cells = rows[key].get(name, {}) | shared
            cells |= {"frame": "" if number is None else str(number)}
            collection.add(tree.path(found[name]), cells, found[name])
    return collection


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
