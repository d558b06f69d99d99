"""Damaged files: whatever the bytes, a reader gives what it read or one line; nothing on stderr,
no hang, no crash.

make test-faults        or: pytest tests/faults/test_mutations.py
"""

import io
import os
import pickle
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import models
from commands import ENVIRONMENT, call

import evaluate
import pseudo_label
import synthesize
import train_classifier
from lib import checkpoints, images, manifest
from lib.cli import BadInput, one_line

MANIFESTS, IMAGES, MODELS, CHECKPOINTS = 1000, 1500, 40, 200
SECONDS = 20  # longest that one file may take


def mutate(content, random):
    """The bytes of a file, damaged in one to four ways."""
    out = bytearray(content)
    for _ in range(random.integers(1, 5)):
        at, length = random.integers(0, max(1, len(out))), random.integers(1, 40)
        kind = random.integers(0, 6)
        if kind == 0:
            out[at : at + 1] = bytes([random.integers(0, 256)])
        elif kind == 1:
            out[at : at + length] = random.bytes(length)
        elif kind == 2:
            del out[at : at + length]
        elif kind == 3:
            del out[at:]
        elif kind == 4:
            out[at:at] = out[:length]
        else:
            out[at:at] = random.choice(
                [b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"nan", b"-", b"1e999", b"\xef\xbb\xbf"]
            )
    return bytes(out)


class Hang(Exception):
    """A file took longer than SECONDS."""


def survive(read, *arguments):
    """Call a reader: True where it read something, False where it refused in one line. Anything
    else is a fault."""

    def ring(*_):
        raise Hang

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        read(*arguments)
        return True
    except BadInput as error:
        said = one_line(error)
        assert len(said.splitlines()) == 1 and len(said) < 1000, said
        return False
    finally:
        signal.alarm(0)


def keep(folder, name, content):
    """Write a damaged file; its path. What fails last is there to look at."""
    (folder / name).write_bytes(content)
    return str(folder / name)


def test_manifests(tmp_path, capfd):
    text = "path,subject,AU01,AU12,au_kind,valence,expression,source,weight,remark\n" + "".join(
        f'{i}.png,s{i % 3},{i % 6 / 5},,intensity,{i / 40 - 0.5:.2f},joy,real,1,"a, ""b"" é"\n'
        for i in range(40)
    )
    random = np.random.default_rng(1)
    fine = sum(
        survive(
            lambda path: manifest.read(path).aus(),
            keep(tmp_path, "m.csv", mutate(text.encode(), random)),
        )
        for _ in range(MANIFESTS)
    )
    assert 0.05 * MANIFESTS < fine < 0.95 * MANIFESTS and capfd.readouterr().err == ""


def test_parquet(tmp_path, capfd):
    manifest.write(
        tmp_path / "m.parquet",
        {"path": [f"{i}.png" for i in range(50)], "AU01": [i / 50 for i in range(50)]},
    )
    content, random = (tmp_path / "m.parquet").read_bytes(), np.random.default_rng(1)
    fine = sum(
        survive(
            lambda path: manifest.read(path).aus(),
            keep(tmp_path, "x.parquet", mutate(content, random)),
        )
        for _ in range(200)
    )
    assert 0 < fine < 200 and capfd.readouterr().err == ""


def pictures():
    """Healthy files of every kind that people have, {name: bytes}."""
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
    exif = Image.Exif()
    exif[274], exif[306] = 6, "2026:01:01 00:00:00"
    out = {}
    for name, image, options in (
        ("jpg", noise, {"exif": exif}),
        ("png", noise, {"exif": exif}),
        ("png", noise.convert("P"), {}),
        ("png", noise.convert("RGBA"), {}),
        ("gif", noise.convert("P"), {}),
        ("bmp", noise, {}),
        ("tiff", noise, {}),
        ("tiff", noise, {"compression": "tiff_lzw"}),
        ("webp", noise, {"exif": exif}),
        ("png", Image.fromarray(random.integers(0, 65535, (24, 32), np.uint16)), {}),
        ("tiff", noise, {"compression": "jpeg"}),
        ("jpg", noise, {"progressive": True}),
    ):
        file = io.BytesIO()
        image.save(file, {"jpg": "JPEG"}.get(name, name.upper()), **options)
        out[f"{len(out)}.{name}"] = file.getvalue()
    return out


def test_pictures(tmp_path, capfd):
    files, random = list(pictures().items()), np.random.default_rng(2)
    fine = 0
    for i in range(IMAGES):
        name, content = files[i % len(files)]
        fine += survive(
            lambda path: images.resize(images.load(path), 16),
            keep(tmp_path, name, mutate(content, random)),
        )
    assert 0.05 * IMAGES < fine < 0.95 * IMAGES and capfd.readouterr().err == ""


def test_packs(tmp_path, capfd):
    images.save_pack(tmp_path / "a.npy", np.zeros((3, 4, 4, 3), np.uint8))
    content, random = (tmp_path / "a.npy").read_bytes(), np.random.default_rng(3)
    fine = 0
    for _ in range(300):
        images.pack.cache_clear()
        fine += survive(
            lambda path: images.batch([f"{path}#0", f"{path}#1"], 4),
            keep(tmp_path, "x.npy", mutate(content, random)),
        )
    assert 0 < fine < 300 and capfd.readouterr().err == ""


def test_models(tmp_path):
    """Each in a process of its own: ONNX Runtime is not to crash, either."""
    content = models.classifier(tmp_path / "c.onnx").read_bytes()
    models.dataset(tmp_path, [[0, 0.2, 0.4, 1]] * 3)
    random, statuses = np.random.default_rng(4), []
    for i in range(MODELS):
        keep(tmp_path, "x.onnx", mutate(content, random) if i else content)
        code = (
            "import sys, pseudo_label; from lib import cli; sys.argv = ['pseudo_label.py', "
            "'--model', 'x.onnx', "
            "'--images', 'set.csv', '--device', 'cpu']; cli.run(pseudo_label.main)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode in (0, 3) and "Traceback" not in done.stderr, (
            i,
            done.returncode,
            done.stderr,
        )
        assert done.returncode == 0 or len(done.stderr.splitlines()) == 1, (i, done.stderr)
        statuses.append(done.returncode)
    assert set(statuses) == {0, 3}


class Bomb:
    """A pickle that would run something."""

    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_checkpoints(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(
        {"kind": "classifier", "config": {"size": 8}, "weights": {"w": torch.zeros(3)}}, "c.pt"
    )
    content, random = (tmp_path / "c.pt").read_bytes(), np.random.default_rng(5)
    fine = sum(
        survive(checkpoints.load, keep(tmp_path, "x.pt", mutate(content, random)))
        for _ in range(CHECKPOINTS)
    )
    assert 0 < fine < CHECKPOINTS
    torch.save(Bomb(), "bomb.pt")
    assert not survive(checkpoints.load, "bomb.pt")
    with zipfile.ZipFile("c.pt") as healthy, zipfile.ZipFile("spliced.pt", "w") as spliced:
        for item in healthy.infolist():
            spliced.writestr(
                item,
                pickle.dumps(Bomb()) if item.filename.endswith("data.pkl") else healthy.read(item),
            )
    assert not survive(checkpoints.load, "spliced.pt")
    assert not os.path.exists("exploded") and capfd.readouterr().err == ""


def test_pillow_warns_nobody(tmp_path):
    """In a process of its own, as pytest catches warnings: what a stage says of damaged pictures
    is one line."""
    files, random = list(pictures().items()), np.random.default_rng(2)
    paths = [
        keep(tmp_path, f"{i}-{files[i % len(files)][0]}", mutate(files[i % len(files)][1], random))
        for i in range(300)
    ]
    code = """import sys
from lib import images
from lib.cli import BadInput
for path in sys.argv[1:]:
    try:
        images.load(path)
    except BadInput:
        pass"""
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr


@pytest.mark.parametrize("rows", [0, 1_000_000])
def test_sets_of_no_and_of_a_million_rows(tmp_path, rows):
    path = tmp_path / "m.csv"
    path.write_text("path,AU01\n" + "x.png,0.5\n" * rows)
    assert survive(manifest.read, path) == bool(rows)


@pytest.mark.parametrize(
    "script, line",
    [
        (pseudo_label, "--model c.onnx --images none.csv"),
        (synthesize, "--model g.onnx --source none.csv --recipe random --count 3 --out made"),
        (evaluate, "--model c.onnx --test none.csv"),
        (train_classifier, "--train none.csv --validation set.csv --out new.pt"),
        (train_classifier, "--train set.csv --validation none.csv --out new.pt"),
    ],
)
def test_each_script_refuses_a_manifest_without_rows(script, line, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models.classifier(tmp_path / "c.onnx")
    models.generator(tmp_path / "g.onnx")
    models.dataset(tmp_path, [[0, 0.2, 0.4, 1]] * 3)
    (tmp_path / "none.csv").write_text("path,subject,AU01,AU02,AU12,AU26\n")
    before = set(tmp_path.iterdir())
    status, out, said = call(script.main, capsys, *line.split(), "--device", "cpu")
    assert status == 3 and out == "" and set(tmp_path.iterdir()) == before
    assert said == f"{script.__name__}.py: none.csv: no rows; a manifest needs at least one image\n"
