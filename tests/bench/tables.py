"""`lib.manifest check` and `lib.datasets.split` on a million rows x 26 columns, against Python's
csv module."""

import numpy as np

from lib import manifest
from tests.bench.common import Row, median, processes

ROUNDS = 3  # without --rounds: one takes forty seconds, most of them the csv module's
ROWS, AUS, PEOPLE = 1_000_000, 20, 5000
READ_BY_HAND = """import csv, sys
rows = list(csv.reader(open(sys.argv[1], newline="")))
columns = {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}
[[float(cell) for cell in columns[name] if cell] for name in columns if name.startswith("AU")]"""


def make(path, rows=ROWS):
    """A manifest of AUs (a fifth unlabelled), valence, arousal, expression, source: 26 columns."""
    random = np.random.default_rng(0)
    columns = {
        "path": [f"images/{i // 1000:03d}/{i:07d}.png" for i in range(rows)],
        "subject": [f"S{i % PEOPLE:05d}" for i in range(rows)],
    }
    for au in range(1, AUS + 1):
        values = random.random(rows)
        columns[f"AU{au:02d}"] = np.where(random.random(rows) < 0.2, np.nan, values)
    for name in ("valence", "arousal"):
        columns[name] = random.random(rows) * 2 - 1
    columns["expression"] = [("happiness", "sadness", "anger")[i % 3] for i in range(rows)]
    columns["source"] = ["real"] * rows
    manifest.write(path, columns)


def rows(folder, rounds):
    """The lines of the table."""
    path = folder / "million.csv"
    make(path)
    runs = processes(
        {
            "check": ["-m", "lib.manifest", "check", path],
            "split": ["-m", "lib.datasets.split", path, "--out", folder / "split"],
            "csv": ["-c", READ_BY_HAND, path],
        },
        rounds,
    )
    for name, aim in (("check", "at most 5 s, 1,000 MB"), ("split", "at most 12 s, 1,200 MB")):
        wall = [run.seconds for run in runs[name]]
        yield Row(
            f"{name} of a million rows x 26 columns",
            f"{np.median(wall):.1f} s ({min(wall):.1f}-{max(wall):.1f}), "
            f"{median(runs[name], 'processor'):.1f} s of processor, "
            f"{median(runs[name], 'megabytes'):.0f} MB",
            f"csv module, reading and float() only: {median(runs['csv'], 'seconds'):.1f} s, "
            f"{median(runs['csv'], 'megabytes'):.0f} MB",
            [a.seconds / b.seconds for a, b in zip(runs["csv"], runs[name])],
            aim,
        )
