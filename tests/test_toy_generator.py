"""A generator that nobody knows but its own file and one line of the table, through train, export,
synthesize, evaluate."""
import json
import runpy
import sys

import models
import numpy as np
import pytest
from commands import ROOT, succeed_here

import evaluate
import synthesize
from lib import generators, images, manifest

TOY = '''
from dataclasses import dataclass

import torch

from lib.generators import contract

TASKS = ("au",)


@dataclass
class Config:
    size: int = 8
    learning_rate: float = 0.1


PRESETS = {"quick": {}}
SCHEDULES = {"quick": {"epochs": 2, "decay_epochs": 1, "batch": 8}}


class Painter(torch.nn.Module):
    """Adds a learned picture for each condition."""

    def __init__(self, conditions, size):
        super().__init__()
        self.pictures = torch.nn.Parameter(torch.zeros(conditions, 3, size, size))

    def edit(self, image, source, target):
        return (image + torch.einsum("nc,cxyz->nxyz", target - source, self.pictures)).clamp(-1, 1)


class System(contract.System):
    kind = "editor"

    def __init__(self, labels, config):
        super().__init__(labels, config)
        self.painter = Painter(labels.count, config.size)
        self.nets = {"painter": self.painter}
        adam = torch.optim.Adam(self.painter.parameters(), config.learning_rate)
        self.optimisers = {"painter": adam}
        self.drawing = contract.EditDrawing(shares={"pair": 1.0})

    def step(self, batch, step):
        x_fake = self.painter.edit(batch.x_real, batch.y_org, batch.y_trg)
        loss = (x_fake - batch.x_true).abs().mean()  # L1 to the true image
        self.update("painter", loss)
        return {"g_pair": loss.detach()}

    @property
    def exports(self):
        return {"editor": contract.Editor(self.painter)}
'''


@pytest.fixture
def run(place, monkeypatch, capsys):
    """A function that runs a script which needs the table's line (those on ONNX Runtime do not),
    from its first line on but in this process; what it says."""
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "toy", raising=False)
    monkeypatch.setitem(generators.ARCHITECTURES, "toy", "toy")

    def run(script, *arguments, status=0):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        out, said = capsys.readouterr()
        assert end.value.code == status and not out, said
        return said

    return run


def faces(place, name, people, seed):
    """Four pictures of each person: the levels of AUs are the brightness of the stripes."""
    levels = np.random.default_rng(seed).uniform(0, 1, (4 * people, 4)).round(2)
    levels[::4] = 0
    path = models.dataset(place, levels, f"{name}.csv",
                          subjects=[f"{name}{i // 4}" for i in range(4 * people)])
    return path, levels


@pytest.fixture
def place(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    faces(tmp_path, "train", 12, 0)
    faces(tmp_path, "validation", 4, 1)
    models.classifier(tmp_path / "reader.onnx")
    return tmp_path


def test_from_training_to_evaluation(place, run):
    said = run("train_generator.py", "--arch", "toy", "--train", place / "train.csv",
               "--validation", place / "validation.csv", "--out", place / "toy.pt",
               "--reader", place / "reader.onnx", "--no-flip", "--ema", "0.5",
               "--epoch-images", "240", "--level", "1", "--device", "cpu", "--threads", "1")
    assert "epoch" in said
    lines = [json.loads(line) for line in (place / "history.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert lines[-1]["g_pair"] < lines[0]["g_pair"]
    assert lines[-1]["target_rise"] > 0.5
    run("export_onnx.py", place / "toy.pt", "--out", place / "toy.onnx")

    succeed_here(synthesize.main, "--model", place / "toy.onnx", "--source",
                 place / "validation.csv", "--level", "1", "--out", place / "made")
    made = manifest.read(place / "made/manifest.csv")
    assert len(made) == 4 * 4  # each of four AUs on each neutral face
    for row, path in enumerate(made.images()):
        level = [float(made.columns[au][row]) for au in models.AUS]
        assert np.abs(images.load(path).astype(int) - models.paint(level)).mean() < 40

    source, levels = manifest.read(place / "validation.csv"), np.eye(4)
    np.save(place / "true.npy", np.stack([models.paint(row) for row in levels]))
    manifest.write(place / "pairs.csv", {
        "path": [source.columns["path"][0]] * 4, "subject": ["a"] * 4,
        **{au: [0.0] * 4 for au in models.AUS}, "true_path": [f"true.npy#{i}" for i in range(4)],
        **{f"target_{au}": list(levels[:, k]) for k, au in enumerate(models.AUS)}
    })
    text, _ = succeed_here(evaluate.main, "--model", place / "toy.onnx", "--pairs",
                           place / "pairs.csv", "--judge", place / "reader.onnx")
    summary = json.loads(text)["edits"]["summary"]
    assert summary["share_half_fulfilled"] == 1 and summary["aus"] == 4


def test_an_editor_that_nothing_reads_is_refused_before_training(place, run):
    said = run("train_generator.py", "--arch", "toy", "--train", place / "train.csv",
               "--validation", place / "validation.csv", "--out", place / "toy.pt",
               "--device", "cpu", "--threads", "1", status=3)
    assert "give --reader FILE.onnx" in said and len(said.splitlines()) == 1
