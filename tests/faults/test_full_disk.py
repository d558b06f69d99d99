"""A small disk (tmpfs) that fills while a stage writes: one line, status 3, no traceback, what was
there stays.

Needs the right to mount; skipped without it.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import models
from commands import ENVIRONMENT, command
from needs import lacks

KILOBYTES = 600
LEFT = {"pseudo_label": 40, "merge parquet": 4}  # KB that are left of it; where not said, 500
LEVELS = np.random.default_rng(0).integers(0, 6, (1500, 4)) / 5


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Models and data on a roomy disk."""
    folder = tmp_path_factory.mktemp("work")
    models.classifier(folder / "classifier.onnx")
    models.generator(folder / "generator.onnx")
    models.dataset(folder, LEVELS)
    return folder


@pytest.fixture
def disk(tmp_path):
    """A folder on a disk of KILOBYTES."""
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={KILOBYTES}k", "tmpfs", tmp_path],
        capture_output=True,
    ).returncode:
        lacks("no right to mount a small disk")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


SYNTHESIZE = (
    "synthesize.py --model generator.onnx --source set.csv --recipe random --count 9000".split()
)
STAGES = {
    "pseudo_label": [
        "pseudo_label.py",
        "--model",
        "classifier.onnx",
        "--images",
        "set.csv",
        "--out",
        "DISK/p.csv",
    ],
    "synthesize pack": [*SYNTHESIZE, "--out", "DISK/made"],
    "synthesize png": [*SYNTHESIZE, "--format", "png", "--out", "DISK/made"],
    "merge": ["-m lib.manifest", "merge", *["set.csv"] * 20, "--out", "DISK/m.csv"],
    "merge parquet": ["-m lib.manifest", "merge", *["set.csv"] * 60, "--out", "DISK/m.parquet"],
    "split": ["-m lib.datasets.split", *["set.csv"] * 20, "--out", "DISK/s", "--tries", "1"],
    "mnist grid": [
        "-m lib.datasets.mnist_grid",
        "--labelled",
        "300",
        "--validation",
        "9",
        "--test-per-au",
        "9",
        "--out",
        "DISK/grid",
    ],
    "rendered faces": [
        "-m lib.datasets.rendered_faces",
        "--labelled",
        "200",
        "--unlabelled",
        "20",
        "--validation",
        "20",
        "--test",
        "20",
        "--test-natural",
        "20",
        "--pairs",
        "20",
        "--pairs-validation",
        "20",
        "--judge",
        "20",
        "--judge-validation",
        "20",
        "--size",
        "64",
        "--device",
        "cpu",
        "--out",
        "DISK/faces",
    ],
    "train_classifier": [
        "train_classifier.py",
        "--train",
        "set.csv",
        "--validation",
        "set.csv",
        "--out",
        "DISK/c.pt",
        "--arch",
        "compact",
        "--device",
        "cpu",
        "--max-steps",
        "2",
        "--allow-shared-subjects",
    ],
    "train_generator": [
        "train_generator.py",
        "--arch",
        "expression-manipulator",
        "--train",
        "set.csv",
        "--validation",
        "set.csv",
        "--out",
        "DISK/g.pt",
        "--device",
        "cpu",
        "--epochs",
        "1",
        "--epoch-images",
        "16",
        "--size",
        "32",
        "--allow-shared-subjects",
    ],
}


@pytest.mark.parametrize("name", list(STAGES))
def test_a_disk_that_fills(work, disk, name):
    script, *words = STAGES[name]
    before = bytes((KILOBYTES - LEFT.get(name, 500)) * 1024)
    (disk / "before").write_bytes(before)
    done = subprocess.run(
        command(script, *(word.replace("DISK", str(disk)) for word in words)),
        cwd=work,
        env={**ENVIRONMENT, "TMPDIR": str(work)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 3 and "Traceback" not in done.stderr, (done.returncode, done.stderr)
    last = done.stderr.splitlines()[-1]
    assert "No space left on device" in last and str(disk) in last, done.stderr
    assert (disk / "before").read_bytes() == before
    assert not [path for path in disk.rglob("*") if ".tmp" in path.name], list(disk.rglob("*"))
