"""Register the faces of manifests, photos, folders of photos and videos: one place, size and pose
for all.

    python -m lib.faces.register photos/*.jpg --mode 3d --size 128 --out DIR
    python -m lib.faces.register data.csv --mode 2d --out DIR  labels and other columns pass
                                                               through
    python -m lib.faces.register trial1.mp4 --fps 5 --out DIR  columns video, frame, time

crop: the landmarks' square x 1.1. 2d: also upright, by a similarity to the frontal template. 3d:
the dense face mesh turned to the frontal view; what the photo does not show is black. tight: brows
to chin, as rendered faces are framed. With several faces in a frame of a video (or of a manifest
with a column video), the one nearest the previous frame's is kept; in a photo the largest. DIR
gets faces/000/000000.png …, failed.csv (what has no face, and why) and, last, manifest.csv with
`registration` (such as 3d-128) and `face_confidence`. A second run does only what is missing or
has changed.
"""
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from lib import images, manifest
from lib.cli import BadInput, arg, log, parse, run
from lib.faces import align, landmarks, models, sources
from lib.faces.detect import choose
from lib.faces.journal import Journal
from lib.faces.workers import cores, ordered_map

REGISTERED = ("path", "true_path")  # columns whose images are faces


@dataclass
class Options:
    inputs: list[str] = arg(
        args=["inputs"], nargs="+", metavar="INPUT",
        help="manifests (.csv, .parquet, or - for stdin), videos, photos, folders of photos"
    )
    out: str = arg(help="folder for the registered faces and their manifest", required=True,
                   writes="folder")
    mode: str = arg("crop", choices=list(align.MODES), help="how faces are aligned")
    size: int = arg(128, help="pixels a side")
    fps: Optional[float] = arg(None, help="frames a second taken from videos [all]")
    confidence: float = arg(landmarks.LEAST_CONFIDENCE,
                            help="least confidence that it is a face, 0 to 1")
    jobs: int = arg(0, help="processes, 0 for one a core; the result is the same")

    def __post_init__(self):
        if not 16 <= self.size <= 1024:
            raise ValueError("--size must be 16 to 1024")
        if self.fps is not None and not self.fps > 0:
            raise ValueError("--fps must be more than 0")
        if not 0 <= self.confidence <= 1:
            raise ValueError("--confidence must be 0 to 1")


@dataclass
class Registered:
    """One face, ready to be chosen: picture uint8 [S,S,3], and where it was in the frame
    (pixels)."""

    picture: object
    confidence: float
    centre: tuple
    size: float


def work(task):
    """All faces of one picture, registered: a list of Registered, or the text that says why it
    failed.

    task: (reference of an image or the image itself, mode, size, least confidence)."""
    picture, mode, size, least = task
    try:
        picture = images.load(picture) if isinstance(picture, str) else picture
        found = landmarks.faces_in(picture, 0.0)
    except BadInput as error:
        return str(error)
    faces = [face for face in found if face.confidence >= least]
    if not faces:
        best = max((face.confidence for face in found), default=0)
        return f"no face found (best confidence {best:.2f})" if found else "no face found"
    return [Registered(align.register(picture, face, mode, size)[0], face.confidence,
                       tuple(float(x) for x in face.centre), face.size) for face in faces]


def register_all(items, journal, options):
    """Register what is missing, in order; (how many were done now, how many failed now)."""
    previous, done, failed = {}, 0, 0

    def tasks():
        for item in items:
            if journal.has(item):
                yield item, None
            else:
                photo = item.image if item.image is not None else item.reference
                yield item, (photo, options.mode, options.size, options.confidence)
            item.image = photo = None  # the task has it; whole videos do not fit into memory

    for item, result in ordered_map(work, tasks(), options.jobs):
        if result is None:
            entry = journal[item]
        elif isinstance(result, str):
            failed += 1
            entry = journal.fail(item, result)
        else:
            face = result[choose(result, previous.get(item.sequence))]
            done += 1
            entry = journal.add(item, face)
        if item.sequence is not None and "centre" in entry:
            previous[item.sequence] = entry["centre"]
    return done, failed


def write_results(rows, journal, out, registration):
    """manifest.csv of the rows whose every face was found, failed.csv of the others; (kept,
    failed)."""
    names = list(dict.fromkeys(name for row in rows for name in row.cells))
    kept = {name: [] for name in dict.fromkeys([*names, "registration", "face_confidence"])}
    kept.setdefault("original_path", [])
    lost = {name: [] for name in ("path", "video", "frame", "reason")}
    for row in rows:
        entries = {column: journal[item] for column, item in row.items.items()}
        cells = {**dict.fromkeys(kept, ""), **row.cells}
        errors = [entry["error"] for entry in entries.values() if "error" in entry]
        if errors:
            for name, cell in (("path", row.origin(out)), ("video", cells.get("video", "")),
                               ("frame", cells.get("frame", "")), ("reason", errors[0])):
                lost[name].append(cell)
            continue
        if "original_path" not in names:
            cells["original_path"] = row.origin(out)
        cells |= {column: entry["path"] for column, entry in entries.items()}
        cells |= {
            "registration": registration,
            "face_confidence": f"{min(entry['confidence'] for entry in entries.values()):.4f}"
        }
        for name in kept:
            kept[name].append(cells[name])
    manifest.write(out / "failed.csv", lost)
    if not kept["path"]:
        raise BadInput(f"no face in any of {len(rows)} images, such as {lost['path'][0]}: "
                       f"{lost['reason'][0]}; see {out / 'failed.csv'}")
    manifest.write(out / "manifest.csv", kept)
    return len(kept["path"]), len(lost["path"])


def main(argv=None):
    """Find, register, write; see the module's text."""
    options = parse(Options, __doc__, argv)
    options.jobs = options.jobs or cores()
    out, registration = Path(options.out), align.name(options.mode, options.size)
    manifest.refuse_overwriting(options.inputs, out / "manifest.csv", out / "failed.csv")
    models.check()
    rows, began = [], time.monotonic()
    with Journal(out, {"registration": registration, "confidence": options.confidence}) as journal:
        items = sources.items(options.inputs, out, options.fps, REGISTERED, rows, journal.has)
        done, failed = register_all(items, journal, options)
        seconds = max(time.monotonic() - began, 1e-9)
        if not rows:
            raise BadInput(f"{' '.join(options.inputs)[:80]}: nothing to register")
        kept, lost = write_results(rows, journal, out, registration)
    log(f"{out / 'manifest.csv'}: {kept} faces as {registration}"
        + (f"; {lost} without a face are listed in {out / 'failed.csv'}" if lost else "") + (
            f" ({done + failed} images now, {(done + failed) / seconds:.1f} a second on "
            f"{options.jobs} processes)" if done + failed else " (all were there)"
        ))


if __name__ == "__main__":
    run(main)
