"""Turn registered or synthetic faces to other poses, as training data for faces that do not look at the camera.

    python -m lib.faces.pose DIR/manifest.csv --out POSED                     the nine poses of FERA 2017
    python -m lib.faces.pose DIR/manifest.csv --yaw -30 0 30 --pitch 0 --out POSED

K. Niinuma et al., 2022, 4.6: synthetic faces as 3D meshes are rotated to FERA 2017's orientations, and
classifiers trained on them are tested on 2D registered photos; so the result is 2D registered. The mesh is
found on each face, or the average face's where none is found (--mesh template: always). Parts beyond the
mesh, and those that the picture does not show, are black. Every row becomes one row a pose, with `yaw` and
`pitch` in degrees: yaw > 0 turns the nose to the picture's right, pitch > 0 lifts it.
"""
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import images, manifest
from lib.cli import arg, log, parse, run
from lib.faces import align, landmarks, models
from lib.faces.detect import choose
from lib.faces.geometry import similarity, turn
from lib.faces.workers import cores, ordered_map

FERA17 = [-40.0, -20.0, 0.0]  # degrees; the nine poses are all pairs of yaw and pitch


@dataclass
class Options:
    manifest: str = arg(args=["manifest"], metavar="FILE.csv", help="registered or synthetic faces; - is stdin")
    out: str = arg(help="folder for the turned faces and their manifest", required=True, writes="folder")
    yaw: list[float] = arg(FERA17, nargs="+", help="turns about the vertical axis, degrees", metavar="DEGREES")
    pitch: list[float] = arg(FERA17, nargs="+", help="nods, degrees", metavar="DEGREES")
    mesh: str = arg("found", choices=["found", "template"], help="where the face's mesh comes from")
    jobs: int = arg(0, help="processes, 0 for one a core; the result is the same")

    def __post_init__(self):
        if max(map(abs, self.yaw + self.pitch)) > 75:
            raise ValueError("--yaw and --pitch must be within 75 degrees")


def mesh_of(picture, how="found"):
    """The mesh of a registered face, float64 [468,3] in its pixels, and whether it was found on it."""
    size = len(picture)
    faces = landmarks.faces_in(picture) if how == "found" else []
    if faces:
        return faces[choose(faces)].points.astype(np.float64), True
    return align.template() * size, False


def turned(points, yaw, pitch, size):
    """The mesh turned from frontal by yaw and pitch (degrees), then 2D registered; float [468,3]."""
    mesh = align.frontal(points, size)
    middle = mesh.mean(0)
    mesh = (mesh - middle) @ turn(yaw, pitch).T + middle
    scale, rotation, shift = similarity(mesh[align.STABLE, :2], align.template()[align.STABLE, :2] * size)
    return np.concatenate([scale * mesh[:, :2] @ rotation.T + shift, scale * mesh[:, 2:]], 1)


def pose(picture, points, yaw, pitch):
    """A registered face, uint8 [S,S,3] with its mesh, as seen from another side: uint8 [S,S,3]."""
    return align.retexture(picture, points, turned(points, yaw, pitch, len(picture)), len(picture))[0]


def work(task):
    """Every pose of one face: (list of uint8 [S,S,3], whether its mesh was found). task: (reference, poses, how)."""
    reference, poses, how = task
    picture = images.load(reference)
    picture = images.resize(picture, min(picture.shape[:2]))
    points, found = mesh_of(picture, how)
    return [pose(picture, points, yaw, pitch) for yaw, pitch in poses], found


def main(argv=None):
    """Turn every face of a manifest to every pose."""
    options = parse(Options, __doc__, argv)
    options.jobs = options.jobs or cores()
    models.check()
    data, out = manifest.read(options.manifest), Path(options.out)
    poses = [(yaw, pitch) for pitch in options.pitch for yaw in options.yaw]
    place = lambda k: f"faces/{k // 1000:03d}/{k:06d}.png"
    tasks = ((i, (reference, poses, options.mesh)) for i, reference in enumerate(data.images()))
    missed, size = 0, 0
    for i, (pictures, found) in ordered_map(work, tasks, options.jobs, "turning"):
        missed, size = missed + (not found), len(pictures[0])
        for k, picture in enumerate(pictures):
            images.save(out / place(i * len(poses) + k), picture)
    rows = np.repeat(np.arange(len(data)), len(poses))
    columns = {name: [cells[i] for i in rows] for name, cells in data.columns.items()}
    for name in [name for name in columns if name.endswith("_path")]:
        columns[name] = [cell and os.path.relpath(manifest.reference(data.folder, cell), out) for cell in columns[name]]
    columns |= {"path": [place(k) for k in range(len(rows))], "registration": [align.name("2d", size)] * len(rows),
                "yaw": [float(yaw) for yaw, _ in poses] * len(data), "pitch": [float(p) for _, p in poses] * len(data)}
    manifest.write(out / "manifest.csv", columns)
    log(f"{out / 'manifest.csv'}: {len(data)} faces in {len(poses)} poses"
        + (f"; the average face's mesh served for {missed} on which none was found" if missed else ""))


if __name__ == "__main__":
    run(main)
