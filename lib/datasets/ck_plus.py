"""CK+: 593 sequences of 123 people from neutral to a posed peak; the peak frame is FACS-coded.

    python -m lib.datasets.ck_plus ROOT --out DIR                       peak frames, occurrence
    python -m lib.datasets.ck_plus ROOT --labels intensity --frames peak-and-first --out DIR

    cohn-kanade-images/S005/001/S005_001_00000011.png
    FACS/S005/001/S005_001_00000011_facs.txt        lines `9.0000000e+00  4.0000000e+00`: AU, level
    Emotion/S005/001/S005_001_00000011_emotion.txt  0 neutral … 7 surprise, as a float; many
                                                    sequences have none

Level 0 is *present, without a level*: 1 as an occurrence, and empty (not absent) as an intensity.
An AU that a peak's file does not name is 0. The first frame of a sequence is neutral (all AUs 0);
those between are unlabelled. Lucey, Cohn, Kanade, Saragih, Ambadar, Matthews: The Extended
Cohn-Kanade Dataset (2010).
"""
from dataclasses import dataclass

from lib.cli import BadInput, arg, note, progress, run
from lib.datasets import importing
from lib.datasets.layouts import IMAGES, Tree, cell, last_number, level, stem, whole
from lib.labels import au_name

NAMES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")


@dataclass(kw_only=True)
class Options(importing.Options):
    labels: str = arg("occurrence", help="which labels", choices=["occurrence", "intensity"])
    frames: str = arg("peak", help="which frames", choices=["peak", "peak-and-first", "all"])
    images: str = arg("**/cohn-kanade-images/{subject}/{sequence}/{name}.*", metavar="TEMPLATE",
                      help="the images")
    facs: str = arg("**/FACS/{subject}/{sequence}/{name}_facs.txt", metavar="TEMPLATE",
                    help="the AU files")
    emotion: str = arg("**/Emotion/{subject}/{sequence}/{name}_emotion.txt", metavar="TEMPLATE",
                       help="the emotion files")


def read_facs(tree, path, kind):
    """{AU: cell} of the AUs that a peak's file names, and the numbers that are no AU of 1 to
    64."""
    out, unknown = {}, set()
    for line, text in tree.lines(path):
        words = text.replace(",", " ").split()
        if len(words) != 2:
            raise BadInput(f"{path}: line {line}: {text!r} is not `AU level`; correct the line")
        unit = cell(whole, words[0], path, line)
        value = cell(level, words[1], path, line)
        if not 1 <= unit <= 64:
            unknown.add(unit)
        elif kind == "occurrence":
            out[au_name(unit)] = "1"
        else:
            out[au_name(unit)] = "" if value == "0" else value
    return out, unknown


def read_emotion(tree, path):
    """The name of a sequence's emotion, '' when the file is empty."""
    for line, text in tree.lines(path):
        code = cell(whole, text, path, line)
        if not 0 <= code < len(NAMES):
            raise BadInput(
                f"{path}: line {line}: {text!r} is no emotion (0 to 7); correct the line"
            )
        return NAMES[code]
    return ""


def collect(options):
    """The collection of all sequences, each a video."""
    tree = Tree(options.root)
    collection = importing.Collection(options, "CK+", au_kind=options.labels)
    by_name = lambda found: {parts["name"].lower(): path for path, parts in found}
    emotions, facs = by_name(tree.find(options.emotion)), by_name(tree.need(options.facs, "--facs"))
    coded, unknown = {}, set()
    for name, path in progress(facs.items(), what="labels", unit="file"):
        coded[name], odd = read_facs(tree, path, options.labels)
        unknown |= odd
    units = sorted(set().union(*coded.values()))
    sequences = {}
    for path, parts in tree.find(options.images, IMAGES):
        sequences.setdefault((parts["subject"], parts["sequence"]), []).append(path)
    rows = []
    for (subject, sequence), paths in sequences.items():
        for path in paths:
            name = stem(path).lower()
            cells = {"subject": f"ck-{subject}", "video": f"{subject}/{sequence}",
                     "frame": str(last_number(path) or 0)}
            if name in coded:
                cells |= {unit: coded[name].get(unit, "0") for unit in units}
            if name in emotions:
                cells["expression"] = read_emotion(tree, emotions[name])
            peak = name in coded or name in emotions
            if path == paths[0] and not peak and options.frames != "peak":
                cells |= {unit: "0" for unit in units} | {"expression": "neutral"}
            elif not peak and options.frames != "all":
                continue
            rows.append((path, tree.path(path), cells))
    here = {stem(path).lower() for paths in sequences.values() for path in paths}
    rows += [(facs[name], "", {"video": facs[name]}) for name in sorted(facs.keys() - here)]
    importing.add_photos(collection, rows, video=lambda row: row[2]["video"])
    if unknown:
        note("CK+: codes that are not action units left out: "
             f"{' '.join(map(str, sorted(unknown)))}")
    return collection


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
