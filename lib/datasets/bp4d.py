"""BP4D and FERA 2015: 41 people in eight tasks, AU occurrence for all, levels for five AUs.

    python -m lib.datasets.bp4d ROOT --out DIR                       occurrence, 0 and 1
    python -m lib.datasets.bp4d ROOT --labels intensity --out DIR    levels of AUs 6 10 12 14 17

    AUCoding/AU_OCC/F001_T1.csv                  header of AU numbers (first column: frame); 0, 1,
                                                 9 missing
    AU Intensity Codes3.0/AU06/F001_T1_AU06.csv  `frame,level` without a header; 0 to 5, 9 missing
    F001/T1/2440.jpg                             sometimes padded with zeros; frames start anywhere

Subjects are `bp4d-F001`, as in FERA 2017's training part, which filmed the same people.
Zhang, Yin, Cohn, Canavan, Reale, Horowitz, Liu, Girard: BP4D-Spontaneous (2014); Valstar et al.:
FERA 2015.
"""
from dataclasses import dataclass

from lib.cli import BadInput, arg, progress, run
from lib.datasets import importing, videos
from lib.datasets.layouts import Tree, cell, level, occurrence, whole
from lib.labels import au_name


@dataclass(kw_only=True)
class Options(videos.VideoOptions):
    labels: str = arg("occurrence", help="which labels", choices=["occurrence", "intensity"])
    occurrence: str = arg(r"**/{folder:AU_OCC|AUCoding}/{subject:[FM]\d+}_{task:T\d+}.csv",
                          metavar="TEMPLATE", help="the occurrence files")
    intensity: str = arg(r"**/AU{au:d}/{subject:[FM]\d+}_{task:T\d+}*.csv", metavar="TEMPLATE",
                         help="the intensity files")


def read_occurrence(tree, path, collection):
    """{AU: {frame: cell}} of a file whose header names the AUs and whose first column is the
    frame."""
    rows = tree.rows(path)
    if len(rows) < 2:
        collection.drop(path, "empty label file")
        return {}
    header = rows[0][1]
    names = [name.upper().removeprefix("AU") for name in header]
    numbers = [int(name) if name.isdigit() else 0 for name in names]
    columns = [(i, au_name(number)) for i, number in enumerate(numbers) if i and 1 <= number <= 64]
    out = {name: {} for _, name in columns}
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            raise BadInput(f"{path}: line {line} has {len(cells)} cells, "
                           f"the header {len(header)}; correct the line")
        frame = cell(whole, cells[0], path, line)
        for i, name in columns:
            out[name][frame] = cell(occurrence, cells[i], path, line)
    return out


def read_intensity(tree, path, collection):
    """{frame: cell} of `frame,level` lines; a header, if there is one, is passed over."""
    rows = tree.rows(path)
    if rows and not rows[0][1][0].isdigit():
        rows.pop(0)
    if not rows:
        collection.drop(path, "empty label file")
    for line, cells in rows:
        if len(cells) < 2:
            raise BadInput(
                f"{path}: line {line}: {cells[0]!r} is not `frame,level`; correct the line"
            )
    return {cell(whole, cells[0], path, line): cell(level, cells[1], path, line)
            for line, cells in rows}


def read_all(options, tree, collection, keys):
    """{key: {AU: {frame: cell}}} of occurrence or intensity files; a key is made of the templates'
    parts."""
    out = {}
    pattern = options.occurrence if options.labels == "occurrence" else options.intensity
    for path, parts in progress(tree.need(pattern, f"--{options.labels}"), what="labels",
                                unit="file"):
        aus = out.setdefault(tuple(parts[key].upper() for key in keys), {})
        if options.labels == "occurrence":
            aus |= read_occurrence(tree, path, collection)
        else:
            aus[au_name(parts["au"])] = read_intensity(tree, path, collection)
    return out


def collect(options):
    """The collection of all coded tasks, each a video."""
    tree = Tree(options.root)
    collection = importing.Collection(options, "BP4D", au_kind=options.labels)
    known = read_all(options, tree, collection, ["subject", "task"])
    images = videos.frames(options, tree, r"**/{subject:[FM]\d+}/{task:T\d+}/*{frame:d}.*",
                           ["subject", "task"], collection)
    images = {tuple(part.upper() for part in key): found for key, found in images.items()}
    found = [videos.Video("_".join(key), *videos.join(aus), images.get(key, {}),
                          {"subject": f"bp4d-{key[0]}"}) for key, aus in known.items()]
    videos.add_videos(collection, found, 25, images)
    return collection


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
