"""Turn registered or synthetic faces to other poses, as training data for faces that do not look
at the camera.

    python -m lib.faces.pose DIR/manifest.csv --out POSED                           the nine poses
                                                                                    of FERA 2017
    python -m lib.faces.pose DIR/manifest.csv --yaw -30 0 30 --pitch 0 --out POSED
    python -m lib.faces.pose DIR/manifest.csv --behind 2D/manifest.csv --out POSED  hair and
                                                                                    background
                                                                                    around them

K. Niinuma et al., 2022, 4.6: synthetic faces as 3D meshes are rotated to FERA 2017's orientations,
and classifiers trained on them are tested on 2D registered photos; so the result is 2D registered.
The mesh is found on each face, or the average face's where none is found (--mesh template:
always). Parts beyond the mesh, and those that the picture does not show, are black, or with
--behind the blurred colours of a 2D registered picture that is drawn for each pose, of the same
subject where there is one: a classifier that has only seen faces on black has not learnt to leave
hair and background alone. (Blurred, as its expression is another.)

Every row becomes one row a pose, with `yaw` and `pitch` in degrees: yaw > 0 turns the nose to the
picture's right, pitch > 0 lifts it. A second run does only what is missing or has changed.
"""
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import images, manifest
from lib.cli import BadInput, arg, log, parse, run
from lib.faces import align, landmarks, models, sources
from lib.faces.detect import choose
from lib.faces.geometry import similarity, turn
from lib.faces.journal import Journal, face_path
from lib.faces.workers import cores, ordered_map
from lib.files import digest

BLUR = 0.08  # of the picture's side: what is left of the picture behind is colours
# levels of 255: patches as dark as this are what a 3D registration did not show, or its edit
DARK = 8
FERA17 = [-40.0, -20.0, 0.0]  # degrees; the nine poses are all pairs of yaw and pitch


@dataclass
class Options:
    manifest: str = arg(args=["manifest"], metavar="FILE.csv",
                        help="registered or synthetic faces; - is stdin")
    out: str = arg(help="folder for the turned faces and their manifest", required=True,
                   writes="folder")
    yaw: list[float] = arg(FERA17, nargs="+", help="turns about the vertical axis, degrees",
                           metavar="DEGREES")
    pitch: list[float] = arg(FERA17, nargs="+", help="nods, degrees", metavar="DEGREES")
    mesh: str = arg("found", choices=["found", "template"], help="where the face's mesh comes from")
    behind: str = arg("", metavar="FILE.csv",
                      help="2D registered pictures to show around the faces, in place of black")
    jobs: int = arg(0, help="processes, 0 for one a core; the result is the same")

    def __post_init__(self):
        if max(map(abs, self.yaw + self.pitch)) > 75:
            raise ValueError("--yaw and --pitch must be within 75 degrees")


def mesh_of(picture, how="found"):
    """The mesh of a registered face, float64 [468,3] in its pixels, and whether it was found on
    it."""
    size = len(picture)
    faces = landmarks.faces_in(picture) if how == "found" else []
    if faces:
        return faces[choose(faces)].points.astype(np.float64), True
    return align.template() * size, False


def turned(points, yaw, pitch, size):
    """The mesh turned from frontal by yaw and pitch (degrees), then 2D registered; float
    [468,3]."""
    mesh = align.frontal(points, size)
    middle = mesh.mean(0)
    mesh = (mesh - middle) @ turn(yaw, pitch).T + middle
    scale, rotation, shift = similarity(mesh[align.STABLE, :2],
                                        align.template()[align.STABLE, :2] * size)
    return np.concatenate([scale * mesh[:, :2] @ rotation.T + shift, scale * mesh[:, 2:]], 1)


def pose(picture, points, yaw, pitch, behind=None):
    """A registered face, uint8 [S,S,3] with its mesh, as seen from another side: uint8 [S,S,3].

    behind: uint8 [S,S,3], whose colours are around the face, or None for black."""
    size = len(picture)
    layers = picture
    if behind is not None:
        layers = np.dstack([picture, 255 * shown(picture).astype(np.uint8)])
    layers, mask = align.retexture(layers, points, turned(points, yaw, pitch, size), size)
    if behind is None:
        return layers
    around = models.opencv().GaussianBlur(behind, (0, 0), BLUR * size)
    return np.where((mask & (layers[..., 3] > 250))[..., None], layers[..., :3], around)


def shown(picture):
    """bool [S,S]: where a registered face is not black, nor beside black; specks (pupils) do not
    count."""
    cv2, square = models.opencv(), np.ones((5, 5))
    black = (picture.max(-1) <= DARK).astype(np.uint8)
    return cv2.dilate(cv2.morphologyEx(black, cv2.MORPH_OPEN, square), square) == 0


def work(task):
    """Every pose of one face: (list of uint8 [S,S,3], whether its mesh was found).

    task: (reference, poses, how, for each pose the reference of the picture behind it or None)."""
    reference, poses, how, backs = task
    picture = images.load(reference)
    picture = images.resize(picture, min(picture.shape[:2]))
    points, found = mesh_of(picture, how)
    backs = [back and images.resize(images.load(back), len(picture)) for back in backs]
    return [pose(picture, points, yaw, pitch, back)
            for (yaw, pitch), back in zip(poses, backs)], found


def backdrops(data, behind, count):
    """For each image of a manifest, {reference: the references of `count` pictures of the manifest
    `behind`}.

    They are of the image's subject where `behind` has it. Drawn by the image's cell alone, so that
    neither other rows nor the folder's place change them."""
    pictures, by_subject, drawn = behind.images(), {}, {}
    for picture, subject in zip(pictures, behind.text("subject")):
        by_subject.setdefault(subject, []).append(picture)
    for reference, cell, subject in zip(data.images(), data.columns["path"], data.text("subject")):
        own = by_subject.get(subject) or pictures
        draw = np.random.default_rng(list(cell.encode()))
        drawn[os.path.abspath(reference)] = [own[i] for i in draw.integers(len(own), size=count)]
    return drawn


class Turned(Journal):
    """What has been turned so far, a line a face; its pictures are numbered pose by pose."""

    FILE = "turned.jsonl"

    def paths(self, entry):
        """The pictures of one face, relative to the folder."""
        first = entry["number"] * entry["poses"]
        return [face_path(number) for number in range(first, first + entry["poses"])]

    def add(self, item, pictures, found):
        """Write a face's pictures, then record them; returns the entry."""
        entry = self._enter(item, poses=len(pictures), size=len(pictures[0]), found=found)
        for path, picture in zip(self.paths(entry), pictures):
            images.save(self.out / path, picture)
        return self._record(item, entry)


def turn_all(items, journal, poses, options, backs):
    """Turn what is missing, in order; how many faces were turned now. backs: see `backdrops`, or
    empty."""
    done, black = 0, [None] * len(poses)
    tasks = ((item, None if journal.has(item)
              else (item.reference, poses, options.mesh, backs.get(item.reference, black)))
             for item in dict.fromkeys(items))
    for item, result in ordered_map(work, tasks, options.jobs, "turning"):
        if result is not None:
            journal.add(item, *result)
            done += 1
    return done


def write_manifest(data, entries, journal, poses, out):
    """manifest.csv: every row of `data` once a pose; entries: the journal's, one a row."""
    rows = np.repeat(np.arange(len(data)), len(poses))
    columns = {name: [cells[i] for i in rows] for name, cells in data.columns.items()}
    for name in [name for name in columns if name.endswith("_path")]:
        columns[name] = [cell and os.path.relpath(manifest.reference(data.folder, cell), out)
                         for cell in columns[name]]
    columns |= {"path": [path for entry in entries for path in journal.paths(entry)],
                "registration": [align.name("2d", entries[i]["size"]) for i in rows],
                "yaw": [float(yaw) for yaw, _ in poses] * len(data),
                "pitch": [float(p) for _, p in poses] * len(data)}
    manifest.write(out / "manifest.csv", columns)


def main(argv=None):
    """Turn every face of a manifest to every pose."""
    options = parse(Options, __doc__, argv)
    options.jobs = options.jobs or cores()
    data, out = manifest.read(options.manifest), Path(options.out)
    manifest.refuse_overwriting([options.manifest], out / "manifest.csv")
    sources.refuse_made(data, out)
    models.check()
    poses = [(yaw, pitch) for pitch in options.pitch for yaw in options.yaw]
    items, began = sources.of_images(data.images()), time.monotonic()
    settings, backs = {"poses": [list(pair) for pair in poses], "mesh": options.mesh}, {}
    if options.behind:
        behind = manifest.read(options.behind)
        if manifest.mode(manifest.registration([behind])) != "2d":
            raise BadInput(f"{options.behind}: --behind takes 2D registered faces (python -m "
                           "lib.faces.register --mode 2d), as what is turned is 2D registered")
        manifest.refuse_overwriting([options.behind], out / "manifest.csv")
        backs = backdrops(data, behind, len(poses))
        settings["behind"] = digest(*behind.columns["path"])
    with Turned(out, settings) as journal:
        done = turn_all(items, journal, poses, options, backs)
        seconds = max(time.monotonic() - began, 1e-9)
        entries = [journal[item] for item in items]
        write_manifest(data, entries, journal, poses, out)
    missed = 0 if options.mesh == "template" else sum(not entry["found"] for entry in entries)
    now, served = " (all were there)", ""
    if missed:
        served = f"; the average face's mesh served for {missed} on which none was found"
    if done:
        now = (f" ({done * len(poses)} images now, {done * len(poses) / seconds:.1f} a second on "
               f"{options.jobs} processes)")
    log(f"{out / 'manifest.csv'}: {len(data)} faces in {len(poses)} poses{served}{now}")


if __name__ == "__main__":
    run(main)
