"""Frames of videos at a given rate, in order, and as a manifest of `path,video,frame,time`.

    python -m lib.faces.video trial1.mp4 trial2.avi --fps 5 --out DIR

Frames are written lossless (PNG); a second run decodes again but writes only what is missing. To
get registered faces straight from a video, without its frames on disk, see lib.faces.register.
"""
import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from lib import images, manifest
from lib.cli import BadInput, arg, log, parse, progress, run
from lib.faces import models

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".wmv", ".mpg", ".mpeg", ".mts",
            ".flv", ".ogv")


@dataclass
class Options:
    videos: list[str] = arg(args=["videos"], nargs="+", metavar="VIDEO", help="video files")
    out: str = arg(help="folder for the frames and manifest.csv", required=True, writes="folder")
    fps: Optional[float] = arg(None, help="frames a second [all]")

    def __post_init__(self):
        if self.fps is not None and not self.fps > 0:
            raise ValueError("--fps must be more than 0")


@dataclass
class Frame:
    """number: counted from 0 in the file; time: seconds; image: uint8 [H,W,3] RGB, None when not
    wanted."""

    number: int
    time: float
    image: Optional[np.ndarray]


def is_video(path):
    """Whether a path is called like a video."""
    return str(path).lower().endswith(SUFFIXES)


def names(paths):
    """How manifests call videos: the file's name, or the whole path where two names are the
    same."""
    short = [os.path.basename(path) for path in paths]
    return [name if short.count(name) == 1 else str(path) for name, path in zip(short, paths)]


def rate(path):
    """Frames a second of a video; 25 where the file does not say. BadInput when there is no such
    file."""
    cv2 = models.opencv()
    if not os.path.exists(path):
        raise BadInput(f"{path}: no such video")
    capture = cv2.VideoCapture(str(path))
    try:
        return known_rate(capture.get(cv2.CAP_PROP_FPS))
    finally:
        capture.release()


def known_rate(said):
    """Frames a second that a container says; 25 where it says nothing of use."""
    return said if 0 < said < 1000 else 25.0


class Writer:
    """Writes frames, uint8 [H,W,3] RGB, to a video file without sound. Sides are cut to even
    numbers of pixels."""

    def __init__(self, path, rate, shape):
        cv2 = self.cv2 = models.opencv()
        self.path, self.count = path, 0
        self.height, self.width = shape[0] // 2 * 2, shape[1] // 2 * 2
        self.file = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate,
                                    (self.width, self.height))
        if not self.file.isOpened():
            raise BadInput(
                f"{path}: cannot write a video here; give --out FILE.mp4 in a folder that exists"
            )

    def write(self, picture):
        self.file.write(np.ascontiguousarray(picture[:self.height, :self.width, ::-1]))
        self.count += 1

    def close(self):
        """Finish the file. OpenCV does not say what could not be written, so it is looked at: an
        OSError where the disk is full, BadInput where the film lacks frames for another reason."""
        self.file.release()
        capture = self.cv2.VideoCapture(str(self.path))
        whole = int(capture.get(self.cv2.CAP_PROP_FRAME_COUNT)) == self.count
        capture.release()
        if not whole and shutil.disk_usage(Path(self.path).parent).free < self.height * self.width:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        if not whole:
            raise BadInput(f"{self.path}: the film could not be written whole; "
                           "choose another place, or a shorter film")


def frames(path, fps=None, wanted=lambda number: True):
    """Yield a video's frames in order, upright: a Frame each, fps of them a second (None: all).

    wanted(number): whether the picture itself is needed. At --fps the first frame at or after each
    tick is taken. BadInput when the file is missing or holds no frame; one that is cut short is
    said."""
    cv2 = models.opencv()
    if not os.path.exists(path):
        raise BadInput(f"{path}: no such video")
    capture = cv2.VideoCapture(str(path))
    try:
        rate = known_rate(capture.get(cv2.CAP_PROP_FPS))
        expected = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        number, tick = 0, 0
        while capture.grab():
            time = number / rate
            if fps is None or time >= tick / fps - 1e-6:
                tick = tick + 1 if fps is None else int(np.floor(time * fps + 1e-6)) + 1
                image = None
                if wanted(number):
                    found, picture = capture.retrieve()
                    if not found:
                        break
                    image = np.ascontiguousarray(picture[..., ::-1]) if picture.ndim == 3 else \
                        np.repeat(picture[..., None], 3, 2)
                yield Frame(number, time, image)
            number += 1
    finally:
        capture.release()
    if not number:
        raise BadInput(f"{path}: no frame can be decoded; convert it with ffmpeg, or leave it out")
    if number < 0.98 * expected - 1:
        log(f"warning: {path}: {number} of {expected} frames could be decoded; "
            "the file is cut short or damaged")


def main(argv=None):
    """Write frames and their manifest."""
    options = parse(Options, __doc__, argv)
    out = Path(options.out)
    columns = {name: [] for name in ("path", "video", "frame", "time")}
    for k, (path, name) in enumerate(zip(options.videos, names(options.videos))):
        folder = f"frames/{k:03d}-{Path(path).stem}"
        place = lambda number: f"{folder}/{number // 1000:03d}/{number:06d}.png"
        for frame in progress(frames(path, options.fps, lambda n: not (out / place(n)).exists()),
                              what=name, unit="frame"):
            if frame.image is not None:
                images.save(out / place(frame.number), frame.image)
            for column, cell in zip(
                columns, (place(frame.number), name, str(frame.number), f"{frame.time:.4f}")
            ):
                columns[column].append(cell)
    manifest.write(out / "manifest.csv", columns)
    log(f"{out / 'manifest.csv'}: {len(columns['path'])} frames of {len(options.videos)} videos")


if __name__ == "__main__":
    run(main)
