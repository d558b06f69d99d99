"""What is to be registered: images and frames, in order, each once, from manifests, photos,
folders and videos."""
import functools
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np

from lib import images, manifest
from lib.cli import BadInput
from lib.faces import video

PHOTOS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif", ".jp2")


@dataclass(eq=False)
class Item:
    """One picture. reference: what lib.images.load understands, or 'video.mp4#frame=12'; stamp:
    changes when the file does; sequence: the video it belongs to, or None; image: uint8 [H,W,3],
    for frames of videos."""

    reference: str
    stamp: str
    sequence: Optional[str] = None
    image: Optional[np.ndarray] = None


@dataclass
class Row:
    """A row of the manifest to write: its cells, and by column the Items whose faces take the
    place of cells."""

    cells: dict
    items: dict = field(default_factory=dict)

    def origin(self, out):
        """The photo relative to the folder `out`; frames of videos keep '#frame=12'."""
        return os.path.relpath(self.items["path"].reference, out)


def items(inputs, out, fps, columns, rows, has):
    """Yield the Items of all inputs in order; `rows` is filled on the way.

    inputs: paths; columns: names of manifest columns whose images are faces; has(item): whether it
    is registered already, so that a video's frame need not be decoded."""
    seen = {}  # the same picture in two rows is registered once
    videos = [path for path in inputs if video.is_video(path)]
    videos = dict(zip(videos, video.names(videos)))
    for path in inputs:
        if path in videos:
            yield from _of_video(path, videos[path], fps, rows, has)
        elif path == "-" or path.lower().endswith(manifest.SUFFIXES):
            yield from _of_manifest(manifest.read(path, empty_ok=True), out, columns, rows, seen)
        else:
            for photo in _photos(path, out):
                item, new = _once(os.path.abspath(photo), None, seen)
                rows.append(Row({"path": ""}, {"path": item}))
                if new:
                    yield item


_real = functools.lru_cache(maxsize=4096)(os.path.realpath)  # a folder holds many images


def made(path, out):
    """Whether an image is one that a run with --out `out` writes, such as
    out/faces/000/000017.png."""
    folder, name = os.path.split(os.path.abspath(path))
    below = os.path.relpath(_real(folder), _real(os.path.abspath(out)))
    return (re.fullmatch(r"faces/\d{3,}", below) is not None
            and re.fullmatch(r"\d{6,}\.png", name) is not None)


def refuse_made(data, out, columns=("path",)):
    """BadInput when images of a manifest are those that a run with --out `out` writes."""
    for name in [name for name in columns if name in data.columns]:
        for cell in data.columns[name]:
            if made(manifest.reference(data.folder, cell), out):
                raise BadInput(f"{data.name}: {cell} would be overwritten by what is made of it; "
                               "choose another --out")


def _photos(path, out):
    """The photos that an input names: itself, or all below a folder, sorted, without what was made
    of them before."""
    if not os.path.isdir(path):
        return [path]
    found = sorted(
        str(file) for file in Path(path).rglob("*")
        if file.suffix.lower() in PHOTOS and not file.name.startswith(".") and not made(file, out)
    )
    if not found:
        raise BadInput(f"{path}: no photo in this folder ({' '.join(PHOTOS[:4])} …)")
    return found


def _once(reference, sequence, seen):
    """(the Item of a picture, whether it is met for the first time)."""
    if reference in seen:
        return seen[reference], False
    try:
        stamp = images.stamp(reference).removeprefix(reference)
    except BadInput:
        stamp = "missing"  # loading will say so, and the row goes to failed.csv
    seen[reference] = Item(reference, stamp.strip(), sequence)
    return seen[reference], True


def of_images(references):
    """An Item for each image of a list, the same one where an image is named again."""
    seen = {}
    return [_once(os.path.abspath(reference), None, seen)[0] for reference in references]


def _of_manifest(data, out, columns, rows, seen):
    columns = [name for name in columns if name in data.columns]
    refuse_made(data, out, columns)
    for i in range(len(data)):
        cells = {name: column[i] for name, column in data.columns.items()}
        for name, cell in cells.items():  # paths stay valid in the new place
            if name.endswith("_path") and cell and name not in columns:
                cells[name] = os.path.relpath(manifest.reference(data.folder, cell), out)
        row = Row(cells)
        rows.append(row)
        for name in columns:
            reference = os.path.abspath(manifest.reference(data.folder, data.columns[name][i]))
            row.items[name], new = _once(reference, cells.get("video") or None, seen)
            if new:
                yield row.items[name]


def _of_video(path, name, fps, rows, has):
    reference = lambda number: f"{os.path.abspath(path)}#frame={number}"
    stamp = images.stamp(path).split(" ", 1)[-1] if os.path.exists(path) else ""
    wanted = lambda number: not has(Item(reference(number), stamp))
    for frame in video.frames(path, fps, wanted):
        item = Item(reference(frame.number), stamp, name, frame.image)
        cells = {"path": "", "video": name, "frame": str(frame.number), "time": f"{frame.time:.4f}"}
        rows.append(Row(cells, {"path": item}))
        yield item
