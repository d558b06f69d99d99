"""Images of a training stay in their files, and are those that loading one by one gives."""
import subprocess
import sys

import numpy as np
import pytest
import torch

from lib import device_data, images, manifest
from tests.commands import ENVIRONMENT, ROOT

ROWS, SIZE = 40_000, 128  # 2 GB of pixels
CHILD = """import sys
import train_classifier
from lib import cli
try:
    cli.run(train_classifier.main)
finally:
    with open("/proc/self/status") as status:  # as ru_maxrss, but without the parent's
        print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A large pack with holes, of which a few images are written, and manifests of it."""
    folder = tmp_path_factory.mktemp("large")
    pack = np.lib.format.open_memmap(folder / "pack.npy", "w+", np.uint8, (ROWS, SIZE, SIZE, 3))
    draw = np.random.default_rng(0)
    pack[::2_500] = draw.integers(0, 255, (16, SIZE, SIZE, 3))
    pack.flush()
    rows = draw.permutation(ROWS)
    for name, part in {"a": rows[:15_000], "b": rows[15_000:-16], "check": rows[-16:]}.items():
        manifest.write(folder / f"{name}.csv",
                       {"path": [f"pack.npy#{i}" for i in part],
                        "subject": [f"{name}{i % 7}" for i in part],
                        "AU01": (part % 5) / 4, "AU12": (part % 2)})
    return folder


def test_a_training_needs_little_memory_for_its_images(folder, tmp_path):
    line = [sys.executable, "-c", CHILD, "--train", folder / "a.csv", folder / "b.csv",
            "--validation", folder / "check.csv", "--out", tmp_path / "c.pt", "--arch", "tiny",
            "--device", "cpu", "--threads", "1", "--max-steps", "2",
            "--batch", "8"]
    done = subprocess.run(list(map(str, line)), cwd=ROOT, env=ENVIRONMENT, capture_output=True,
                          text=True)
    assert done.returncode == 0 and (tmp_path / "c.pt").exists(), done.stderr
    assert int(done.stdout) * 1024 < 0.5 * ROWS * SIZE * SIZE * 3


def test_rows_are_the_images_that_they_name(tmp_path, monkeypatch):
    monkeypatch.setenv("FACES_EM_CACHE", str(tmp_path / "cache"))
    draw = np.random.default_rng(1)
    for name, size in (("p", 8), ("q", 8), ("other", 12)):
        images.save_pack(tmp_path / f"{name}.npy", draw.integers(0, 255, (6, size, size, 3)))
    images.save(tmp_path / "file.png", draw.integers(0, 255, (9, 8, 3)).astype(np.uint8))
    names = ["q.npy#5", "p.npy#2", "p.npy#3", "file.png", "other.npy#1", "q.npy#0", "p.npy#2",
             "file.png"]
    references = [str(tmp_path / name) for name in names]
    expected = np.stack([images.resize(images.load(each), 8) for each in references])
    for least in (500, 1):  # decoded in memory, and in the cache
        monkeypatch.setattr(images, "CACHED_FROM", least)
        rows = images.rows_of(references, 8)
        assert np.array_equal(rows[:], expected) and rows.shape == (8, 8, 8, 3)
        both = device_data.Pictures(images.Rows.join([rows, images.rows_of(references[:3], 8)]))
        chosen, twice = [9, 0, 4, 4, 10, 7], np.concatenate([expected, expected[:3]])
        assert np.array_equal(both[torch.tensor(chosen)].numpy(), twice[chosen])
        assert np.array_equal(both[3:9].numpy(), twice[3:9])
    whole = images.load_all([str(tmp_path / f"p.npy#{i}") for i in range(1, 5)])
    assert np.shares_memory(whole, images.pack(str(tmp_path / "p.npy")))  # nothing was copied
