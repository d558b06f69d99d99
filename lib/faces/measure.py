"""Is a turned face nearer to its frontal picture after 3D registration than after 2D? On rendered
people.

    python -m lib.faces.measure --people 50 > report.json

Each person is rendered looking ahead and turned by --yaw to either side, with one expression,
light and background; once with the light kept on the same side of the face (the camera walks
around it, which leaves registration alone to differ), once with the light kept in the room, so
that the shading changes, too. All are registered alike, and the mean absolute difference (levels
of 255, over the channels) of the turned picture to the frontal one is taken over the visible face:
the pixels that both 3D registrations show, the same for every mode. `whole_face` counts
self-occluded parts, too, where 3D is black. Exit status 4 when 3D is not nearer. Needs torch, to
render.
"""
from dataclasses import dataclass

import numpy as np

from lib.cli import GateFailed, arg, parse, progress, run
from lib.faces import align, landmarks, models
from lib.faces.detect import choose
from lib.faces.geometry import angles, similarity
from lib.files import to_json, write_text

SEED = 5_000_011  # not the people of the template


@dataclass
class Options:
    people: int = arg(50, help="rendered people")
    yaw: float = arg(30.0, help="degrees turned to either side")
    size: int = arg(128, help="pixels a side of the registered picture")
    render: int = arg(256, help="pixels a side of the rendered picture")
    out: str = arg("-", help="JSON file to write; - is stdout", writes="file")
    sheet: str = arg("",
                     help="also write a picture of the first people: frontal and turned, by mode",
                     metavar="FILE.png")


def registered(picture, size):
    """{mode: (picture, mask)} of a picture's face and its yaw in degrees as the mesh has it; None
    without one."""
    faces = landmarks.faces_in(picture)
    if not faces:
        return None
    face = faces[choose(faces)]
    rotation = similarity(align.template()[align.STABLE], face.points[align.STABLE])[1]
    return {mode: align.register(picture, face, mode, size)
            for mode in ("crop", "2d", "3d")}, angles(rotation)[0]


def difference(one, other, mask):
    """Mean absolute difference of two pictures inside a mask, levels of 255."""
    return float(np.abs(one[mask].astype(np.float64) - other[mask]).mean())


def compare(frontal, turned):
    """{'visible_face', 'whole_face'} -> {mode: difference}, of two results of `registered`."""
    whole = frontal["3d"][1]
    masks = {"visible_face": whole & turned["3d"][1], "whole_face": whole}
    return {name: {mode: difference(frontal[mode][0], turned[mode][0], mask) for mode in frontal}
            for name, mask in masks.items()}


def summary(pairs):
    """Means over pairs, and the share of pairs in which 3D is nearer than 2D."""
    out = {}
    for name in ("visible_face", "whole_face"):
        table = {mode: np.array([pair[name][mode] for pair in pairs])
                 for mode in ("crop", "2d", "3d")}
        out[name] = {f"l1_{mode}": values.mean() for mode, values in table.items()}
        out[name] |= {"ratio_3d_to_2d": table["3d"].mean() / table["2d"].mean(),
                      "pairs_nearer_in_3d": (table["3d"] < table["2d"]).mean()}
    return out


def measure(options, light_turns):
    """(report, rows of pictures) over the people, with the light on the face or in the room."""
    from lib.faces.portraits import portraits

    yaws = (0.0, -options.yaw, options.yaw)
    pictures = portraits(options.people, [(yaw, 0, 0) for yaw in yaws], options.render, SEED,
                         light_turns)
    pairs, read, missed, rows = [], {yaw: [] for yaw in yaws}, 0, []
    for views in progress(pictures, what="registering", unit="person"):
        found = [registered(view, options.size) for view in views]
        missed += sum(one is None for one in found)
        rows.append([one[0][mode][0] if one else None for one in found for mode in ("2d", "3d")])
        for yaw, one in zip(yaws, found):
            if one is not None:
                read[yaw].append(one[1])
                if yaw and found[0] is not None:
                    pairs.append(compare(found[0][0], one[0]))
    read = {f"{yaw:g}": {"mean": np.mean(values), "sd": np.std(values)}
            for yaw, values in read.items()}
    return {"pairs": len(pairs), "faces_not_found": missed, **summary(pairs),
            "yaw_read": read}, rows


def main(argv=None):
    """Render, register, compare, print JSON."""
    options = parse(Options, __doc__, argv)
    models.check()
    from lib import images

    report = {"people": options.people, "yaw": options.yaw, "size": options.size, "seed": SEED}
    for name, light_turns in (("light_on_face", True), ("light_in_room", False)):
        report[name], rows = measure(options, light_turns)
        if light_turns and options.sheet:
            images.save(options.sheet, images.sheet(rows[:8]))
    write_text(options.out, to_json(report) + "\n")
    for name in ("light_on_face", "light_in_room"):
        if report[name]["visible_face"]["ratio_3d_to_2d"] >= 1:
            raise GateFailed(
                f"{name}: 3D registration is not nearer to the frontal picture than 2D"
            )


if __name__ == "__main__":
    run(main)
