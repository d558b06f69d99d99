"""OpenFace 2's CSVs as pseudo-labels: 17 AU intensities, 18 occurrences.

    FeatureExtraction -f clip.avi -out_dir OUT -simalign
    python -m lib.datasets.openface_csv OUT --out DIR                       intensities
    python -m lib.datasets.openface_csv OUT --labels occurrence --out DIR
    FaceLandmarkImg -fdir PHOTOS -out_dir OUT
    python -m lib.datasets.openface_csv OUT --images-root PHOTOS --out DIR

    clip.csv                              frame, face_id, timestamp, confidence, success, …,
                                          AU01_r … AU45_c
    photo.csv                             face, confidence, …: the faces of one photo
    clip_aligned/frame_det_00_000001.bmp  or frames elsewhere: --images-root, --images

AUxx_r is a level 0 to 5 (divided by 5, clipped), AUxx_c 0 or 1. Rows with success 0 are dropped;
of several faces the surest stays. Baltrusaitis, Zadeh, Lim, Morency: OpenFace 2.0 (2018).
"""
import re
from dataclasses import dataclass

from lib.cli import arg, run
from lib.datasets import importing, tool_csv
from lib.datasets.layouts import cell, occurrence, unit
from lib.labels import au_name
from lib.manifest import number


@dataclass(kw_only=True)
class Options(tool_csv.Options):
    labels: str = arg("intensity", help="which labels", choices=["intensity", "occurrence"])


def fifth(text):
    """A regressed level as a cell in [0, 1]; regressors overshoot 0 and 5 a little."""
    return unit(str(float(text or "nan") / 5))


def collect(options):
    """The collection of all rows with a face."""
    wanted = re.compile(r"au0*(\d+)_r" if options.labels == "intensity" else r"au0*(\d+)_c")
    parse = fifth if options.labels == "intensity" else occurrence

    def read(row, where):
        if row.get("success") and float(row["success"]) == 0:
            return "no face found"
        out = {"confidence": cell(unit, row.get("confidence", ""), *where)}
        if row.get("timestamp"):
            out["time"] = number(cell(float, row["timestamp"], *where))
        for name, text in row.items():
            if match := wanted.fullmatch(name):
                out[au_name(match[1])] = cell(parse, text, *where)
        return out

    columns = re.compile(f"{wanted.pattern}|success|confidence|timestamp")
    return tool_csv.collect(options, "OpenFace", options.labels, read, columns)


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
