"""LibreFace's CSVs as pseudo-labels: 12 AU intensities, 12 occurrences, the facial expression.

    python -m lib.datasets.libreface_csv OUT --images-root FRAMES --out DIR
    python -m lib.datasets.libreface_csv OUT --labels occurrence --images-root FRAMES --out DIR

    clip.csv     frame_idx, frame_time_in_ms, …, au_1 … au_24 (0, 1),
                 au_1_intensity … au_26_intensity (0 to 5), facial_expression;
                 a CSV with one row and no frame is called like its photo

Intensities are divided by 5 and clipped. A row without any value has no face.
Chang, Yin, Li, Tran, Soleymani: LibreFace: An Open-Source Toolkit for Deep Facial Expression
Analysis (2024).
"""
import re
from dataclasses import dataclass

from lib.cli import arg, run
from lib.datasets import importing, tool_csv
from lib.datasets.layouts import cell, expression, occurrence
from lib.datasets.openface_csv import fifth
from lib.labels import au_name
from lib.manifest import number


@dataclass(kw_only=True)
class Options(tool_csv.Options):
    labels: str = arg("intensity", help="which labels", choices=["intensity", "occurrence"])


def collect(options):
    """The collection of all rows with a face."""
    wanted = re.compile(r"au_0*(\d+)_intensity" if options.labels == "intensity" else r"au_0*(\d+)")
    parse = fifth if options.labels == "intensity" else occurrence

    def read(row, where):
        out = {au_name(match[1]): cell(parse, text, *where) for name, text in row.items()
               if (match := wanted.fullmatch(name))}
        if not any(out.values()):
            return "no face found"
        if row.get("frame_time_in_ms"):
            out["time"] = number(cell(float, row["frame_time_in_ms"], *where) / 1000)
        return out | {"expression": expression(row.get("facial_expression", ""))}

    columns = re.compile(f"{wanted.pattern}|frame_time_in_ms|facial_expression")
    return tool_csv.collect(options, "LibreFace", options.labels, read, columns)


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
