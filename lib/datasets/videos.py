"""Videos as folders of frames: which image belongs to which label, and traces at another rate."""
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lib import manifest
from lib.cli import BadInput, arg, note, progress
from lib.datasets.importing import Options
from lib.datasets.layouts import IMAGES, VIDEOS, Tree, decode, named_rows, natural, stem, template


@dataclass(kw_only=True)
class VideoOptions(Options):
    images_root: str = arg(
        "", metavar="FOLDER",
        help="frames extracted elsewhere, one folder a video, or a folder with a manifest.csv of "
             "path,video,frame (what lib.faces.register writes)"
    )
    images: str = arg("", metavar="TEMPLATE",
                      help="where the frames lie, e.g. '{subject}/{frame:d}.*'")
    frame_offset: str = arg(
        "auto", help="label frame N is image N + this; auto: -1, 0 or 1, whichever fits the files"
    )
    fps: float = arg(
        0.0, help="frames a second, for the column `time`; 0: the data set's own rate where known"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.frame_offset != "auto" and not self.frame_offset.lstrip("+-").isdigit():
            raise ValueError(
                f"--frame-offset {self.frame_offset}: a whole number such as -1, or auto"
            )


@dataclass
class Video:
    """One video's labels and frames. labels: frame -> cells of `columns`, or None where the
    frame was dropped before; images: number in the file's name
    -> (path, {column: cell} that the frames' own manifest has); cells: the same for every row."""

    name: str
    columns: tuple
    labels: dict
    images: dict
    cells: dict = field(default_factory=dict)


def join(columns):
    """{column: {frame: cell}} -> (column names, {frame: tuple of cells}); absent cells are
    empty."""
    names = sorted(columns)
    frames = sorted(set().union(*(columns[name] for name in names)))
    return tuple(names), {
        frame: tuple(columns[name].get(frame, "") for name in names) for frame in frames
    }


def frames(options, tree, pattern, keys, collection, prefer=""):
    """{key: {image number: (path, extra cells)}}: frames grouped by the pattern's parts `keys`.

    When a key has frames in several folders, the one whose path has the word `prefer` counts."""
    source = Tree(options.images_root) if options.images_root else tree
    text = options.images or pattern
    table, groups = registered(source), {}
    collection.registered = table is not None
    for name, found, path, extra in listed(source, text, table):
        folder = groups.setdefault(tuple(found[key] or "" for key in keys), {}).setdefault(
            os.path.dirname(name), {}
        )
        if (frame := int(found["frame"])) in folder:
            collection.drop(name, "second image of the same frame")
        else:
            folder[frame] = (path, extra)
    if not groups:
        no_frames(source, text)
    out = {}
    for key, folders in groups.items():
        names = ([name for name in folders if prefer.lower() in name.lower()] if len(folders) > 1
                 else list(folders))
        if len(names) != 1:
            raise BadInput(f"{'/'.join(key)} has frames in several folders "
                           f"({', '.join(sorted(folders)[:3])}); say which with --images TEMPLATE")
        out[key] = folders[names[0]]
    return out


def registered(source):
    """source/manifest.csv when it has path, video and frame, as lib.faces writes it, else None."""
    table = Path(source.root, "manifest.csv")
    found = manifest.read(table) if table.exists() else None
    return found if found and {"video", "frame"} <= found.columns.keys() else None


def listed(source, text, table=None):
    """(name, template's parts, absolute path, extra cells) of images: the rows of such a table,
    else the files themselves. A row counts as video/frame.png, the video without its folders or,
    where that does not match (`{subject}/{task}`), with them."""
    if table:
        extra = [name for name in ("confidence", "face_confidence", "registration", "time")
                 if name in table.columns]
        match = template(text).fullmatch
        columns = map(table.text, ("video", "frame", *extra))
        for path, video, frame, *cells in zip(table.images(), *columns):
            name = f"{os.path.splitext(video)[0]}/{frame}.png"
            if parts := match(f"{stem(video)}/{frame}.png") or match(name):
                given = {column: cell for column, cell in zip(extra, cells) if cell}
                yield name, parts.groupdict(), path, given
        return
    for name, parts in source.find(text, IMAGES):
        yield name, parts, source.path(name), {}


def no_frames(source, text):
    """Say that there are no frames, and what to do about it."""
    videos = [name for name in source.files(VIDEOS)]
    if videos:
        folder = os.path.dirname(source.path(videos[0]))
        raise BadInput(f"{source.name}: {len(videos)} videos, but no frames extracted from them "
                       f"that match '{text}'; run: python -m lib.faces.register {folder}/* --out "
                       "FRAMES, then import again with --images-root FRAMES")
    example = next(iter(source.files(IMAGES)), "none")
    raise BadInput(f"{source.name}: no image matches '{text}' (an image found: {example}); "
                   "say where they lie with --images TEMPLATE or --images-root FOLDER")


def times(images):
    """{number: seconds since the video's start} of its images ({number: (path, cells)}); None
    unless all have one."""
    try:
        return {number: float(cells["time"]) for number, (_, cells) in images.items()}
    except (KeyError, ValueError):
        return None


def first_number(images):
    """What a video's images count from, 0 or 1, by their times; None where these do not tell."""
    at = times(images)
    if not at or len(at) < 2:
        return None
    early, late = min(at), max(at)
    seconds = at[late] - at[early]
    # too far off to reckon back from times with four decimals
    if seconds <= 0 or at[early] > seconds:
        return None
    first = early - at[early] * (late - early) / seconds
    return round(first) if abs(first - round(first)) < 0.25 and round(first) in (0, 1) else None


def likely_offset(collection, videos):
    """(offset to take when files cannot decide, by how many images it may fit worse).

    Frames that lib.faces took from a video count from 0, labels from 1 unless there is a label 0.
    Where times and labels show what both count from, missing faces at a video's ends must not
    overrule it."""
    if not collection.registered:
        return 0, 0
    low = min((min(video.labels) for video in videos if video.labels), default=1)
    starts = {first_number(video.images) for video in videos if video.images} - {None}
    if len(starts) == 1 and low in (0, 1):
        return starts.pop() - low, len(videos)
    return (0 if low == 0 else -1), 0


def frame_offset(collection, videos):
    """What is added to a label's frame to get the number in its image's name. Detected by how many
    images then have a label; of equals the likeliest."""
    if collection.options.frame_offset != "auto":
        return int(collection.options.frame_offset)
    likely, slack = likely_offset(collection, videos)
    each = {offset: [len({frame + offset for frame in video.labels} & video.images.keys())
                     for video in videos] for offset in (0, -1, 1)}
    fits = {offset: sum(matches) for offset, matches in each.items()}
    best = max(fits, key=lambda offset: fits[offset] + (slack + 0.5) * (offset == likely))
    total = sum(len(video.images) for video in videos)
    others = [fit for offset, fit in fits.items() if offset != best]
    if best or fits[best] < total:
        note(f"  frames: label N is image N{best:+d}; so {fits[best]} of {total} images have a "
             f"label (else {max(others)} at most)")
    for i, video in enumerate(videos):
        other = max(each, key=lambda offset: (each[offset][i], offset == best))
        if each[other][i] - each[best][i] > (slack > 0):
            note(f"  {video.name} alone would fit better as N{other:+d} ({each[other][i]} images, "
                 f"now {each[best][i]}): was it extracted otherwise?")
    if fits[best] in others and fits[best] and not slack:
        note("  frames: the files cannot tell whether they count from 0 or 1; taken as "
             f"{'registered from 0 and labelled from 1' if best else 'equal'} (see --frame-offset)")
    return best


def add_videos(collection, videos, fps=0.0, images=None):
    """Add the videos' frames in order. A label without an image is dropped; an image without a
    label stays, unlabelled. `time` is in seconds since the first frame (0 or 1). Of `images` (what
    `frames` gave) those that no video uses are counted among the dropped."""
    options = collection.options
    used = {id(video.images) for video in videos}
    for key, found in (images or {}).items():
        if id(found) not in used:
            collection.drop("/".join(key), "no labels of this video")
    fps = options.fps or fps
    offset = frame_offset(collection, videos)
    for video in progress(sorted(videos, key=lambda video: natural(video.name)), what="rows",
                          unit="video"):
        if not video.images:
            collection.drop(video.name, "no frames of this video")
            continue
        every = sorted(video.labels.keys() | {frame - offset for frame in video.images})
        first = 0 if every and every[0] <= 0 else 1
        for frame in every[::options.stride]:
            path, extra = video.images.get(frame + offset, ("", {}))
            name = f"{video.name}/{frame}"
            found = video.labels.get(frame, ())
            if found is None:
                continue
            if not path:
                collection.drop(name, "no image for this label")
                continue
            cells = dict(zip(video.columns, found)) | video.cells | {"video": video.name,
                                                                     "frame": str(frame)}
            if fps:
                cells["time"] = manifest.number((frame - first) / fps)
            collection.add(path, cells | extra, name)


def resample(trace, rate, fps):
    """A trace of N values at `rate` a second as round(N * fps / rate) values at `fps`, linearly
    interpolated (Richer 3.1.3). A value next to a missing one (NaN) is missing; both traces start
    at time 0."""
    trace = np.asarray(trace, np.float64)
    if rate == fps or not len(trace):
        return trace
    return values_at(trace, np.arange(round(len(trace) * fps / rate)) * (rate / fps))


def values_at(trace, at):
    """A trace's values at places of 0 or more in samples, linearly interpolated; after its end the
    last one. A value next to a missing one (NaN) is missing."""
    trace, at = np.asarray(trace, np.float64), np.minimum(at, len(trace) - 1)
    low = at.astype(int)
    high = np.minimum(low + 1, len(trace) - 1)
    part = at - low
    return np.where(part == 0, trace[low], trace[low] * (1 - part) + trace[high] * part)


def fit(trace, length, tolerance=2):
    """The trace at exactly `length` values: up to `tolerance` trailing ones are trimmed, or the
    last one is repeated (Richer 3.1.3: interpolation gives +-2 annotations); None when it is
    further off."""
    if abs(len(trace) - length) > tolerance or not len(trace):
        return None
    return np.concatenate([trace[:length], np.repeat(trace[-1:], max(0, length - len(trace)))])


def people(path):
    """{video: subject} of a CSV with these columns; {} without a path."""
    if not path:
        return {}
    rows = [row for _, row in named_rows(decode(Path(path).read_bytes()))]
    if rows and not {"video", "subject"} <= set(rows[0]):
        raise BadInput(
            f"{path}: its columns are {', '.join(rows[0])}; --subjects wants video,subject"
        )
    return {row["video"]: row["subject"] for row in rows}
