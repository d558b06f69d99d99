"""Images at the edges: RGB uint8 [H,W,3], read once, resized antialiased, written losslessly.

A reference is a file's path, or `pack.npy#17` for image 17 of a uint8 [N,H,W,3] array.
"""

import contextlib
import functools
import logging
import os
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lib.cli import BadInput, progress
from lib.files import allocate, digest, replacing

FILTER = "bicubic"  # Pillow's, antialiased; the name goes into model metadata
MOST_PIXELS = 64_000_000
warnings.simplefilter(
    "ignore", Image.DecompressionBombWarning
)  # `load` says it in one line, from fewer pixels on
warnings.filterwarnings(
    "ignore", module="PIL"
)  # of damaged files: they are read, or `load` says in one line why not
logging.getLogger("PIL").addHandler(logging.NullHandler())
SILENCE = threading.Lock()
CACHED_FROM = 500  # sets with fewer files are decoded anew each time


@functools.lru_cache(maxsize=64)
def pack(path):
    """A memory-mapped pack of images, uint8 [N,H,W,3]."""
    try:
        array = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise BadInput(f"{path}: no such image pack; is it beside its manifest?") from None
    except Exception as error:  # of a damaged header NumPy raises nearly anything
        reason = " ".join(str(error).split())[:120]
        raise BadInput(f"{path}: not a readable .npy pack ({reason}); make it again") from None
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
        raise BadInput(
            f"{path}: holds {array.dtype} {list(array.shape)}, not uint8 [N,H,W,3] images"
        )
    return array


def pack_of(reference):
    """("pack.npy", "7") of "pack.npy#7"; ("", "") of an image file, whose path may have a # of its
    own."""
    path, _, index = reference.rpartition("#")
    return (path, index) if path.endswith(".npy") else ("", "")


def row_of(array, reference, index):
    """The number of a pack's image from its text in a reference."""
    if not index.isdigit() or int(index) >= len(array):
        raise BadInput(f"{reference}: the pack holds images 0 to {len(array) - 1}")
    return int(index)


def load(reference):
    """The image as uint8 [H,W,3] RGB: EXIF rotation applied, grey widened, 16-bit and floats in
    [0, 1] scaled, alpha dropped on white.

    BadInput for what is missing, cut short, huge (over 64 megapixels) or not an image."""
    path, index = pack_of(reference)
    if path:
        array = pack(path)
        return np.asarray(array[row_of(array, reference, index)])
    try:
        with Image.open(reference) as image:
            if image.width * image.height > MOST_PIXELS:
                raise BadInput(
                    f"{reference}: {image.width}x{image.height} pixels; "
                    "shrink it below 64 megapixels"
                )
            with silent() if image.format == "TIFF" else contextlib.nullcontext():
                image.load()  # what follows the pixels in the file may turn the picture
            return np.asarray(as_rgb(image))
    except FileNotFoundError:
        raise BadInput(f"{reference}: no such image; correct its path") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(
            f"{reference}: cannot be decoded ({error}); replace the file or drop its row"
        ) from None


@contextlib.contextmanager
def silent():
    """What libraries in C write to stderr vanishes: libtiff does so of damaged files, whatever
    Pillow is told."""
    with SILENCE:
        sys.stderr.flush()
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


def as_rgb(image):
    """A Pillow image as 8-bit RGB."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in (
        "I;16",
        "I;16B",
        "I;16L",
        "I",
        "F",
    ):  # 16-bit grey and floats: Pillow would clip, not scale
        values = np.nan_to_num(np.asarray(image, np.float64))
        top = values.max(initial=0)
        scale = 1 / 257 if top > 255 else 255 if image.mode == "F" and top <= 1 else 1
        image = Image.fromarray((values * scale).round().clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def resize(image, size):
    """uint8 [H,W,3] to [size,size,3], antialiased; unchanged when it has that size."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


def batch(rows, size):
    """Images of references or uint8 [H,W,3] arrays as uint8 [n,size,size,3]. Rows that follow each
    other in a pack are that part of its memory; a reference that repeats is decoded once."""
    together = at_hand(rows, size)
    if together is not None:
        return np.ascontiguousarray(together)
    known = {row: resize(load(row), size) for row in {row for row in rows if isinstance(row, str)}}
    return np.stack([known[row] if isinstance(row, str) else resize(row, size) for row in rows])


def pack_part(rows):
    """Images i to i + n of a pack, uint8 [n,H,W,3], when `rows` are its references in that order;
    else None."""
    if not all(isinstance(row, str) for row in rows):  # some are images already
        return None
    path, start = pack_of(rows[0])
    if not start.isdigit():
        return None
    start = int(start)
    if list(rows) != [f"{path}#{i}" for i in range(start, start + len(rows))]:
        return None
    return pack(path)[start : start + len(rows)] if start + len(rows) <= len(pack(path)) else None


def at_hand(rows, size):
    """Images that are there without decoding, uint8 [n,size,size,3]: an array, or rows of one pack
    that follow each other; else None."""
    together = rows if isinstance(rows, np.ndarray) else pack_part(rows)
    return together if together is not None and together.shape[1:3] == (size, size) else None


class Rows:
    """Images of one size, left where they are: rows of arrays, which may be memory maps.

    arrays: uint8 [n,S,S,3] each; part, row: int [N], image i is arrays[part[i]][row[i]]. Indexing
    with a slice or integers [B] gives uint8 [B,S,S,3]: a view, perhaps read-only, where the rows
    follow each other in one array, else a copy."""

    def __init__(self, arrays, part, row):
        self.arrays, self.part, self.row = arrays, part, row
        self.shape = (len(row), *arrays[0].shape[1:])

    def __len__(self):
        return len(self.row)

    def __getitem__(self, index):
        part, row = self.part[index], self.row[index]
        if len(row) and (part == part[0]).all():
            array, first = self.arrays[part[0]], row[0]
            if (np.diff(row) == 1).all():
                return array[first : first + len(row)]
            return array[row]
        out = np.empty((len(row), *self.shape[1:]), np.uint8)
        for number in np.unique(part):
            out[part == number] = self.arrays[number][row[part == number]]
        return out

    @staticmethod
    def join(several):
        """The images of several Rows, one after another."""
        starts = np.cumsum([0] + [len(each.arrays) for each in several])
        return Rows(
            [array for each in several for array in each.arrays],
            np.concatenate([each.part + start for each, start in zip(several, starts)]),
            np.concatenate([each.row for each in several]),
        )


def rows_of(references, size=None, what="decoding"):
    """All images as Rows: a pack of that size stays in its file, in whatever order its rows are
    named; all else is decoded once, and in large sets kept in a cache on disk.

    size None takes the first image's."""
    if not references:
        return Rows([np.zeros((0, size or 1, size or 1, 3), np.uint8)], *np.zeros((2, 0), int))
    size = size or len(load(references[0]))
    packs, numbers, others = {}, {}, {}
    part, row = np.zeros(len(references), np.int32), np.zeros(len(references), np.int64)
    for i, reference in enumerate(references):
        path, index = pack_of(reference)
        if path and path not in packs:
            packs[path] = np.asarray(pack(path))
        if path in packs and packs[path].shape[1:3] == (size, size):
            part[i] = numbers.setdefault(path, len(numbers) + 1)
            row[i] = row_of(packs[path], reference, index)
        else:
            row[i] = others.setdefault(reference, len(others))
    decoded = decoded_once(list(others), size, what)
    return Rows([decoded, *(packs[path] for path in numbers)], part, row)


def load_all(references, size=None, what="decoding"):
    """All images, uint8 [N,size,size,3]; see `rows_of`."""
    return rows_of(references, size, what)[:]


def decoded_once(references, size, what):
    """Images decoded and resized, uint8 [N,size,size,3]. Large sets are kept in a memory-mapped
    cache ($FACES_EM_CACHE or ~/.cache/faces-em) named by paths, file dates and size."""
    if len(references) < CACHED_FROM:
        return decode(references, size, np.empty((len(references), size, size, 3), np.uint8), what)
    place = Path(os.environ.get("FACES_EM_CACHE") or Path.home() / ".cache/faces-em")
    cached = place / f"{digest(*map(stamp, references), size)}.npy"
    if not cached.exists():
        with replacing(cached) as temporary:
            out = new_pack(temporary, len(references), size)
            decode(references, size, out, what)
            out.flush()
    return np.asarray(np.load(cached, mmap_mode="r"))


def stamp(reference):
    """A text that changes when an image file does."""
    try:
        status = os.stat(pack_of(reference)[0] or reference)
    except OSError:
        raise BadInput(f"{reference}: no such image; correct its path") from None
    return f"{os.path.abspath(reference)} {status.st_mtime_ns} {status.st_size}"


def decode(references, size, out, what):
    """Fill out [N,size,size,3] with the images, decoding on all cores."""

    def one(i):
        out[i] = resize(load(references[i]), size)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in progress(
            pool.map(one, range(len(references))), total=len(references), what=what, unit="image"
        ):
            pass
    return out


def save(path, image):
    """Write uint8 [H,W,3] as PNG, replacing the file at once."""
    with replacing(path) as temporary:
        Image.fromarray(np.asarray(image)).save(temporary, format="PNG", compress_level=1)


def new_pack(path, count, size):
    """A pack to be filled: a memory-mapped file of uint8 [count,size,size,3]."""
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (count, size, size, 3))
    allocate(path)
    return array


def save_pack(path, images):
    """Write uint8 [N,H,W,3] as a pack, replacing the file at once."""
    with replacing(path) as temporary:
        write_pack(temporary, np.asarray(images, np.uint8))


def write_pack(path, array):
    """Write an array as a .npy file. As `np.save`, but a full disk is an OSError that says so:
    NumPy's own short write has no errno."""
    array = np.ascontiguousarray(array)
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def sheet(rows, gap=2, scale=1):
    """A contact sheet, uint8 [H,W,3], from rows of equally large uint8 [h,w,3] images (None is a
    blank)."""
    first = next(image for row in rows for image in row if image is not None)
    height, width = first.shape[:2]
    columns = max(map(len, rows))
    out = np.full(
        (len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8
    )
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            if image is not None:
                out[r * (height + gap) :, c * (width + gap) :][:height, :width] = image
    return out.repeat(scale, 0).repeat(scale, 1) if scale > 1 else out
