"""The commands for photographs at the top of README, as they stand there, on a real photograph."""
import csv
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import ENVIRONMENT

from lib import images
from lib.cli import BadInput
from lib.faces import models

ROOT = Path(__file__).parents[1]
LINES = re.findall(r"^    ((?:find|\.venv/bin/python) .*(?:synthesize|pseudo_label)\.py .*)$",
                   (ROOT / "README.md").read_text(), re.M)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder like a clone, with photo.jpg and photos/a.jpg: the astronaut, 2,000 pixels and
    less."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    try:
        models.check()
    except BadInput as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("clone")
    for name in ("lib", "runs", "synthesize.py", "pseudo_label.py"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "photos").mkdir()
    from PIL import Image

    Image.fromarray(data.astronaut()).save(folder / "photos/a.jpg", quality=95)
    Image.fromarray(data.astronaut()).resize((1000, 1000)).save(folder / "photo.jpg", quality=95)
    return folder


def run(line, place):
    """A line of README in the folder, with this Python; no torch is there to be imported."""
    blocked = place / "torch.py"
    blocked.write_text("raise ImportError('no torch here')")
    line = line.replace(".venv/bin/python", sys.executable)
    done = subprocess.run(["sh", "-c", line], cwd=place, env=ENVIRONMENT, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_both_commands_stand_there():
    kinds = [("synthesize" in line, "pseudo_label" in line) for line in LINES[:2]]
    assert kinds == [(True, False), (False, True)]
    assert all((ROOT / path).exists()
               for line in LINES for path in re.findall(r"runs/models/\S+", line))


def test_the_photograph_is_edited_in_the_face_alone(place):
    run(LINES[0], place)
    before, after = (images.load(str(place / name)) for name in ("photo.jpg", "smile.png"))
    changed = (before != after).any(-1)
    assert before.shape == after.shape and 0.005 < changed.mean() < .15
    y, x = np.nonzero(changed)
    assert 320 < x.min() and x.max() < 600 and 80 < y.min() and y.max() < 460  # her face


def test_no_change_is_none_and_grey_stays_grey(place):
    """Levels that the photo shows already give it back bit for bit; a grey photo stays grey within
    2 levels."""
    run(".venv/bin/python synthesize.py --model runs/models/editor.onnx --image photo.jpg "
        "--copy-from photo.jpg --out same.png", place)
    assert np.array_equal(images.load(str(place / "photo.jpg")),
                          images.load(str(place / "same.png")))
    grey = images.load(str(place / "photo.jpg")).mean(-1, keepdims=True).round()
    grey = grey.astype(np.uint8).repeat(3, -1)
    images.save(place / "grey.png", grey)
    run(".venv/bin/python synthesize.py --model runs/models/editor.onnx --image grey.png --set "
        "AU26=1 AU12=1 --out e.png", place)
    edited = images.load(str(place / "e.png")).astype(int)
    assert np.ptp(edited, axis=-1).max() <= 2 and (edited != grey).any()


def test_faces_are_read(place):
    run(LINES[1], place)
    row, = csv.DictReader(io.StringIO((place / "aus.csv").read_text()))
    # she smiles
    assert row["path"].endswith("a.jpg")
    assert float(row["AU12"]) > .5
    assert row["expression"] == "happiness"


def test_a_photo_without_a_face_is_one_line(place):
    images.save(place / "wall.png", np.full((200, 200, 3), 128, np.uint8))
    done = subprocess.run([sys.executable, "synthesize.py", "--model", "runs/models/editor.onnx",
                           "--image", "wall.png", "--set", "AU12=1", "--out", "x.png"], cwd=place,
                          env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "wall.png: no face found" in done.stderr


def test_every_file_a_host_needs_is_named():
    listed = (ROOT / "requirements-photos.txt").read_text()
    assert all(name in listed for name in ("numpy", "pillow", "onnxruntime",
                                           "opencv-python-headless", "argparse-dataclass"))
    assert "torch" not in listed and shutil.which("sh")
