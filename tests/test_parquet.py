"""A Parquet manifest does wherever a CSV does: each stage makes the same of both."""
import numpy as np
import pytest
import torch

import pseudo_label
import train_classifier
from lib import checkpoints, manifest
from lib.datasets import split
from lib.faces import sources
from tests import models
from tests.commands import call

SUFFIXES = (".csv", ".parquet")


def split_up(place, suffix, capsys):
    """The rows of each part, and subjects.csv."""
    out = place / suffix[1:]
    assert call(split.main, capsys, place / f"set{suffix}", "--out", out, "--tries", 3)[0] == 0
    names = ("labelled", "validation", "test")
    assert {file.name for file in out.iterdir()} == {*(name + suffix for name in names),
                                                     "subjects.csv"}
    return [cells(out / f"{name}{suffix}") for name in names], (out / "subjects.csv").read_text()


def label(place, suffix, capsys):
    """The rows that pseudo_label.py writes, in the format that it reads."""
    models.classifier(place / "model.onnx")
    out = place / f"labelled{suffix}"
    assert call(pseudo_label.main, capsys, "--model", place / "model.onnx", "--images",
                place / f"bare{suffix}", "--out", out)[0] == 0
    return cells(out)


def train(place, suffix, capsys):
    """The weights of a classifier after two steps."""
    out = place / f"{suffix[1:]}.pt"
    status, _, said = call(train_classifier.main, capsys, "--train", place / f"set{suffix}",
                           "--validation", place / f"others{suffix}", "--out", out, "--arch",
                           "tiny", "--device", "cpu", "--threads", 1, "--max-steps", 2)
    assert status == 0, said
    return checkpoints.load(out, "classifier")["weights"]


def register(place, suffix, capsys):
    """The faces that lib.faces.register would look for."""
    found = sources.items([str(place / f"set{suffix}")], place / "out", None, ("path",), [],
                          lambda item: False)
    return [item.reference for item in found]


def cells(path):
    data = manifest.read(path)
    return {name: data.text(name) if name in ("path", "subject", "source")
            else data.columns.numbers(name, np.nan).tolist()
            for name in data.columns if name != "expression"}


@pytest.mark.parametrize("stage", [split_up, label, train, register])
def test_parquet_gives_what_csv_gives(stage, tmp_path, capsys):
    levels = np.random.default_rng(0).integers(0, 5, (24, 4)) / 5
    for suffix in SUFFIXES:
        models.dataset(tmp_path, levels, f"set{suffix}", subjects=[f"s{i // 3}" for i in range(24)])
        models.dataset(tmp_path, levels[:6], f"others{suffix}", subjects=["other"] * 6)
        models.dataset(tmp_path, levels, f"bare{suffix}", aus=[])
    one, other = (stage(tmp_path, suffix, capsys) for suffix in SUFFIXES)
    if stage is train:
        assert all(torch.equal(one[key], other[key]) for key in one)
    else:
        assert one == other and len(one)
