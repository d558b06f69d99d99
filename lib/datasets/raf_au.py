"""RAF-AU: 4,601 photos from the web with the AUs that two coders saw (occurrence).

    python -m lib.datasets.raf_au ROOT --out DIR

    RAFAU_label.txt           lines `0007.jpg 1+L2+25`; `null` is no AU (a line of nothing is
                              dropped); L and R are one-sided
    aligned/0007_aligned.jpg  (--images 'original/{name}.*' takes the uncropped ones)

An AU that a line does not name is 0. Who is on a photo is not known: no `subject`.
Yan, Li, Que, Pei, Deng: RAF-AU Database: In-the-Wild Facial Expressions with Subjective Emotion
Judgement and Objective AU Annotations (2020).
"""
import re
from dataclasses import dataclass

from lib.cli import BadInput, arg, note, progress, run
from lib.datasets import importing
from lib.datasets.layouts import IMAGES, Tree, stem
from lib.labels import au_name

CODE = re.compile(r"(?i)([LRTB]*)(?:AU)?0*(\d{1,2})")


@dataclass(kw_only=True)
class Options(importing.Options):
    labels: str = arg("**/RAFAU_label.txt", metavar="TEMPLATE", help="the label file")
    images: str = arg("**/aligned/{name}_aligned.*", metavar="TEMPLATE", help="the images")
    one_sided: str = arg("present", help="what L2 or R12 counts as",
                         choices=["present", "unlabelled"])


def read_codes(text, path, line, one_sided):
    """{AU: '1' or ''} of '1+L2+25', and how many codes are no action unit (above 64)."""
    out, unknown = {}, 0
    for code in text.split("+") if text.lower() != "null" else ():
        match = CODE.fullmatch(code.strip())
        if not match:
            raise BadInput(f"{path}: line {line}: {code!r} is no action unit; correct the line")
        if not 1 <= int(match[2]) <= 64:
            unknown += 1
            continue
        name = au_name(match[2])
        seen = "" if match[1] and one_sided == "unlabelled" else "1"
        out[name] = max(out.get(name, ""), seen)
    return out, unknown


def collect(options):
    """The collection of all labelled photos."""
    tree = Tree(options.root)
    collection = importing.Collection(options, "RAF-AU", au_kind="occurrence")
    images = {parts["name"].lower(): path for path, parts in tree.find(options.images, IMAGES)}
    rows, unknown, named = [], 0, set()
    for path, _ in tree.need(options.labels, "--labels"):
        lines = tree.lines(path)
        if not lines:
            collection.drop(path, "empty label file")
        for line, text in progress(lines, what="labels", unit="row"):
            name, *codes = text.split(None, 1)
            named.add(stem(name).lower())
            if not codes:  # not the same as `null`, which says that both coders saw none
                collection.drop(name, "no AU codes in its line")
                continue
            aus, more = read_codes(codes[0], path, line, options.one_sided)
            unknown += more
            rows.append((name, images.get(stem(name).lower()), aus))
    known = sorted(set().union(*(aus for _, _, aus in rows)))
    importing.add_photos(collection, [
        (name, tree.path(image) if image else "", {au: aus.get(au, "0") for au in known})
        for name, image, aus in rows
    ])
    importing.drop_unnamed(collection, [path for name, path in images.items() if name not in named])
    if unknown:
        note(f"RAF-AU: {unknown} codes above 64 (not action units) left out")
    return collection


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
