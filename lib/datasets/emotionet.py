"""EmotioNet: photos from the web, AU occurrence by hand (about 25,000) or by machine (950,000).

    python -m lib.datasets.emotionet ROOT --out DIR

    EmotioNet_FACS.csv         header URL, URL orig, 'AU 1' … 'AU 60' in any quotes, or
                               path,AU1,…,AU60, or none at all (then the last 60 columns are the
                               AUs); 0, 1, 999 missing; commas or tabs
    **/N_0000000001_00001.jpg  images lie anywhere below ROOT or --images-root, found by the last
                               part of URL or path (of several with that name, the one whose
                               folders match best)

Who is on a photo is not known: no `subject`. Labels by machine: say --source pseudo.
Benitez-Quiroz, Srinivasan, Martinez: EmotioNet: An Accurate, Real-Time Algorithm (2016).
"""
import re
from dataclasses import dataclass

from lib.cli import BadInput, arg, progress, run
from lib.datasets import importing
from lib.datasets.layouts import Photos, Tree, cell, occurrence
from lib.labels import au_name

AU = re.compile(r"(?i)[^a-z]*au\W*0*(\d{1,2})\W*")


@dataclass(kw_only=True)
class Options(importing.Options):
    csv: str = arg("**/*.{kind:csv|txt|tsv}", metavar="TEMPLATE", help="the label files")
    images_root: str = arg("", metavar="FOLDER", help="images downloaded elsewhere")
    source: str = arg("real", help="who labelled: real (people) or pseudo (a machine)",
                      choices=["real", "pseudo"])


def columns_of(row):
    """({column: AU}, whether the row is a header)."""
    found = {i: match for i, name in enumerate(row) if (match := AU.fullmatch(name))}
    if found:
        return {i: au_name(match[1])
                for i, match in found.items() if 1 <= int(match[1]) <= 64}, True
    return {len(row) - 60 + i: au_name(i + 1) for i in range(60)} if len(row) > 60 else {}, False


def collect(options):
    """The collection of all labelled photos."""
    tree = Tree(options.root)
    collection = importing.Collection(options, "EmotioNet", au_kind="occurrence",
                                      source=options.source)
    source = Tree(options.images_root) if options.images_root else tree
    photos, labelled = Photos(source), []
    for path, _ in tree.need(options.csv, "--csv"):
        rows = tree.rows(path)
        columns, header = columns_of(rows[0][1]) if rows else ({}, False)
        if len(rows) == header:
            collection.drop(path, "empty label file")
            continue
        if not columns:  # a readme, say
            collection.drop(path, "neither a header with AU columns nor 60 of them")
            continue
        for line, cells in progress(rows[header:], what="labels", unit="row"):
            if len(cells) <= max(columns):
                raise BadInput(f"{path}: line {line} has {len(cells)} cells, "
                               f"not {max(columns) + 1}; correct the line")
            labelled.append((cells[0], photos.ask(cells[0]), {
                au: cell(occurrence, cells[i], path, line) for i, au in columns.items()
            }))
    importing.add_photos(collection, photos.settle(labelled))
    importing.drop_unnamed(collection, photos.unasked())
    return collection


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
