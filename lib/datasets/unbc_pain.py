"""UNBC-McMaster shoulder pain archive: 25 patients, 48,398 frames, AU levels and the pain score
PSPI.

    python -m lib.datasets.unbc_pain ROOT --out DIR

    Images/042-ll042/ll042t1aaaff/ll042t1aaaff001.png
    Frame_Labels/FACS/042-ll042/ll042t1aaaff/ll042t1aaaff001_facs.txt  lines `AU level …`; empty:
                                                                       no AU
    Frame_Labels/PSPI/042-ll042/ll042t1aaaff/ll042t1aaaff001_facs.txt  one number

All frames were coded for AUs 4 6 7 9 10 12 20 25 26 27 43, so one that a file does not name is 0.
AU43 (eyes closed) has no levels: coded is 1. PSPI = AU4 + max(AU6, AU7) + max(AU9, AU10) + AU43 is
the column `pspi`, computed where its file is missing. Lucey, Cohn, Prkachin, Solomon, Matthews:
Painful Data: The UNBC-McMaster Archive Database (2011).
"""
from dataclasses import dataclass

from lib.cli import BadInput, arg, note, progress, run
from lib.datasets import importing
from lib.datasets.layouts import IMAGES, Tree, cell, last_number, level, stem, whole
from lib.labels import parse_au
from lib.manifest import number

WITHOUT_LEVELS = 43


@dataclass(kw_only=True)
class Options(importing.Options):
    images: str = arg("**/Images/{subject}/{sequence}/{file}", metavar="TEMPLATE",
                      help="the images")
    facs: str = arg("**/FACS/{subject}/{sequence}/{file}_facs.txt", metavar="TEMPLATE",
                    help="the AU files")
    pspi: str = arg("**/PSPI/{subject}/{sequence}/{file}_facs.txt", metavar="TEMPLATE",
                    help="the pain score files")
    coded: list[str] = arg(["4", "6", "7", "9", "10", "12", "20", "25", "26", "27", "43"],
                           nargs="+", metavar="AU", help="AUs that every frame was coded for")


def read_facs(tree, path, coded):
    """({AU: cell}, {AU number: level}) of one frame's file; AUs that were not coded everywhere are
    left out."""
    levels = {}
    for line, text in tree.lines(path):
        words = text.replace(",", " ").split()
        if len(words) < 2:
            raise BadInput(f"{path}: line {line}: {text!r} is not `AU level`; correct the line")
        unit = cell(whole, words[0], path, line)
        value = cell(level, words[1], path, line)
        levels[unit] = (
            1.0 if unit == WITHOUT_LEVELS and value not in ("", "0") else 5 * float(value or "nan")
        )
    out = {}
    for name, unit in coded.items():
        value = levels.get(unit, 0.0)
        out[name] = number(value if unit == WITHOUT_LEVELS else value / 5)
    return out, levels


def score(levels):
    """PSPI in [0, 16] from AU levels, NaN when one is missing (Prkachin and Solomon 2008)."""
    at = [levels.get(unit, 0.0) for unit in (4, 6, 7, 9, 10, 43)]
    if any(value != value for value in at):
        return float("nan")
    return at[0] + max(at[1:3]) + max(at[3:5]) + at[5]


def collect(options):
    """The collection of all sequences, each a video."""
    tree = Tree(options.root)
    collection = importing.Collection(options, "UNBC Pain")
    coded = {parse_au(name): int(parse_au(name)[2:]) for name in options.coded}

    def by_frame(found):
        return {(parts["subject"], parts["sequence"], stem(parts["file"])): path
                for path, parts in found}

    pain, facs = by_frame(tree.find(options.pspi)), by_frame(tree.need(options.facs, "--facs"))
    images = by_frame(tree.find(options.images, IMAGES))
    chosen, ignored = importing.strided(images, options.stride, lambda frame: frame[1]), set()
    tree.prefetch([files[frame] for frame in chosen for files in (facs, pain) if frame in files])
    for frame in progress(chosen, what="rows", unit="image"):
        cells = {"subject": f"unbc-{frame[0].split('-')[0]}", "video": frame[1],
                 "frame": str(last_number(frame[2]) or 0)}
        if frame in facs:
            aus, levels = read_facs(tree, facs[frame], coded)
            ignored |= levels.keys() - set(coded.values())
            cells |= aus | {"pspi": number(score(levels))}
        if frame in pain and (lines := tree.lines(pain[frame])):
            cells["pspi"] = number(cell(float, lines[0][1], pain[frame], lines[0][0]))
        collection.add(tree.path(images[frame]), cells, images[frame])
    for frame in sorted(facs.keys() - images.keys()):
        collection.drop(facs[frame], "no image for this label")
    if ignored:
        note(f"UNBC Pain: AUs {' '.join(map(str, sorted(ignored)))} are in some files but were "
             "not coded throughout; left out (--coded)")
    return collection


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
