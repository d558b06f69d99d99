"""py-feat's CSVs as pseudo-labels: 20 AUs as probabilities, emotions, and valence and arousal
where it gives them.

    fex.to_csv("fex.csv")
    python -m lib.datasets.py_feat_csv fex.csv --images-root PHOTOS --out DIR

    ,frame,FaceScore,…,AU01 … AU43,anger,disgust,fear,happiness,sadness,surprise,neutral,input,…

`input` names the photo, or the video of which `frame` (from 0) is one. AUs are probabilities of
occurrence: au_kind=occurrence, rounded with --hard. FaceScore is the confidence; rows without one
have no face. The likeliest emotion becomes `expression`. Cheong, Jolly, Xie, Byrne, Kenney, Chang:
Py-Feat: Python Facial Expression Analysis Toolbox (2023).
"""
import re
from dataclasses import dataclass

from lib.cli import arg, run
from lib.datasets import importing, tool_csv
from lib.datasets.layouts import cell, unit
from lib.labels import au_name

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
AU = re.compile(r"au0*(\d+)")


@dataclass(kw_only=True)
class Options(tool_csv.Options):
    hard: bool = arg(False, help="round probabilities to 0 and 1")


def within(text):
    """Valence or arousal clipped to [-1, 1]."""
    value = float(text or "nan")
    return importing.manifest.number(min(max(value, -1.0), 1.0)) if value == value else ""


def collect(options):
    """The collection of all rows with a face."""
    def read(row, where):
        sure = cell(unit, row.get("facescore", ""), *where)
        if not sure:
            return "no face found"
        out = {"confidence": sure}
        for name, text in row.items():
            if match := AU.fullmatch(name):
                value = cell(unit, text, *where)
                level = str(round(float(value))) if options.hard and value else value
                out[au_name(match[1])] = level
            elif name in ("valence", "arousal"):
                out[name] = cell(within, text, *where)
        scores = {name: cell(float, row[name], *where) for name in EMOTIONS if row.get(name)}
        if len(scores) == len(EMOTIONS):
            out["expression"] = max(scores, key=scores.get)
        return out

    columns = re.compile("|".join((AU.pattern, "facescore", "valence", "arousal") + EMOTIONS))
    return tool_csv.collect(options, "py-feat", "occurrence", read, columns)


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
