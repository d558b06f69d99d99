"""How long a stage takes to start: --help, and the smallest piece of work."""

import numpy as np

from lib import images, manifest
from tests.bench.common import ROOT, Row, median, processes


def rows(folder, rounds):
    """The lines of the table."""
    manifest.write(folder / "one.csv", {"path": ["x.png"], "AU01": [1]})
    stages = {
        f"{name} --help": [name, "--help"]
        for name in (
            "pseudo_label.py",
            "synthesize.py",
            "evaluate.py",
            "train_classifier.py",
            "train_generator.py",
            "export_onnx.py",
        )
    }
    stages["lib.manifest count, one row"] = ["-m", "lib.manifest", "count", folder / "one.csv"]
    images.save(folder / "x.png", np.zeros((96, 96, 3), np.uint8))
    model = ROOT / "runs/models/reader.onnx"
    stages["pseudo_label.py, one image"] = [
        "pseudo_label.py", "--model", model, "--images", folder / "one.csv", "--relabel",
        "--out", folder / "out.csv",
    ]
    runs = processes({"numpy": ["-c", "import numpy"], **stages}, rounds)
    for name in stages:
        yield Row(
            f"start: {name}",
            f"{median(runs[name], 'seconds'):.2f} s",
            f"python -c 'import numpy': {median(runs['numpy'], 'seconds'):.2f} s",
            [a.seconds / b.seconds for a, b in zip(runs["numpy"], runs[name])],
            "under 0.7 s",
        )
