"""Sets of images while they are being written: a pack, or folders of PNG files, with a manifest at
the end.

Images go to a hidden sibling and take their place together, just before the manifest is written: a
killed run leaves the set that was there, or none.
"""

import contextlib
import os
import re
import shutil
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from lib import images, manifest
from lib.cli import BadInput, naming
from lib.files import replacing

PER_FOLDER = 1000
AHEAD = 1000  # images that may wait to be encoded


class ImageSet:
    """DIR/images.npy or DIR/images/000/000000.png …, and DIR/manifest.csv. With a tag (a shard,
    '-2of4') the names are images-2of4 and manifest-2of4.csv, so that shards may share a folder.

    >>> with ImageSet("out", count=3, size=64) as out: out.add(images); out.finish(columns)
    """

    def __init__(self, folder, count, size, format="npy", tag=""):
        self.folder, self.size, self.format, self.written = Path(folder), size, format, 0
        self.manifest = self.folder / f"manifest{tag}.csv"
        self.target = self.folder / f"images{tag}{'.npy' if format == 'npy' else ''}"
        self.temporary = (
            self.folder / f".{self.target.name}.tmp{'.npy' if format == 'npy' else ''}"
        )
        self.count, self.pool, self.jobs = count, None, deque()
        if self.target.is_dir() and not all(map(ours, self.target.rglob("*"))):
            raise BadInput(
                f"{self.target}: holds files that are not of a synthetic set; choose another --out"
            )

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clear()
        if self.format == "npy":
            try:
                with naming(self.target, self.temporary):
                    self.array = images.new_pack(self.temporary, self.count, self.size)
            except OSError:
                self.__exit__()
                raise
        else:
            self.pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
        return self

    def __exit__(self, *error):
        if self.pool:
            self.pool.shutdown(cancel_futures=True)
        self.clear()
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # only if it is empty, as after a failure on a new folder

    def clear(self):
        """Remove what an earlier run left half done."""
        shutil.rmtree(self.temporary, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.temporary.unlink(missing_ok=True)

    def add(self, images):
        """Append uint8 [n,H,W,3]; PNG files are encoded in the background."""
        if self.format == "npy":
            self.array[self.written : self.written + len(images)] = images
        else:
            for i, image in enumerate(images):
                self.jobs.append(
                    self.pool.submit(encode, self.temporary / png(self.written + i), image)
                )
            while len(self.jobs) > AHEAD:  # wait for the encoder rather than fill the memory
                self.jobs.popleft().result()
        self.written += len(images)

    def finish(self, columns):
        """Put the images in their place, then write the manifest; columns {name: a cell an
        image}."""
        if self.format == "npy":
            if self.written < self.count:  # some were dropped: shorten the pack
                images.write_pack(self.temporary, np.array(self.array[: self.written]))
            else:
                self.array.flush()
            paths = [f"{self.target.name}#{i}" for i in range(self.written)]
        else:
            for job in self.jobs:
                job.result()
            paths = [f"{self.target.name}/{png(i)}" for i in range(self.written)]
            self.temporary.mkdir(exist_ok=True)
        with replacing(self.manifest) as rows:
            manifest.write(rows, {"path": paths, **columns})
            self.manifest.unlink(missing_ok=True)  # it described the images that go now
            if self.target.is_dir():
                shutil.rmtree(self.target)
            os.replace(self.temporary, self.target)


def png(i):
    """Where image i lies: '000/000017.png'."""
    return f"{i // PER_FOLDER:03d}/{i:06d}.png"


def encode(path, image):
    """Write one PNG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        Image.fromarray(image).save(path, compress_level=1)


def ours(path):
    """Whether a path below images/ is one that `png` makes."""
    return re.fullmatch(r"\d{3,}" if path.is_dir() else r"\d{6,}\.png", path.name) is not None
