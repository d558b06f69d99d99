"""The alarms of editors, each on a generator built to be wrong so: the sentence, the field in
history.jsonl, and --stop-on-alarm."""
import json
import sys
from dataclasses import dataclass
from types import ModuleType

import models
import numpy as np
import pytest
import torch
from commands import call

import train_generator
from lib import generators
from lib.generators import contract, editing, expression_manipulator


@dataclass
class Config:
    size: int = 8
    wrong: str = ""        # one of the kinds below
    learning_rate: float = 0.05


class Painter(torch.nn.Module):
    """Adds a learned picture for each condition, or is wrong: `same` returns its input, `deaf` adds
    the sum of all pictures whatever is asked, `opaque` and `glassy` have a mask of 0 and 1."""

    def __init__(self, conditions, config):
        super().__init__()
        self.wrong = config.wrong
        self.pictures = torch.nn.Parameter(torch.zeros(conditions, 3, config.size, config.size))
        if config.wrong == "deaf":
            torch.nn.init.constant_(self.pictures, 0.1)
        self.mask = {"opaque": 0.0, "glassy": 1.0}.get(config.wrong, 0.5)

    def edit(self, image, source, target):
        change = torch.ones_like(target) if self.wrong == "deaf" else target - source
        if self.wrong in ("same", "glassy"):
            change = change * 0
        made = image + torch.einsum("nc,cxyz->nxyz", change, self.pictures)
        return made if self.wrong == "wild" else made.clamp(-1, 1)


class System(contract.System):
    kind = "editor"

    def __init__(self, labels, config):
        super().__init__(labels, config)
        self.painter = Painter(labels.count, config)
        self.nets = {"painter": self.painter}
        adam = torch.optim.SGD(self.painter.parameters(), config.learning_rate)
        self.optimisers = {"painter": adam}
        self.drawing = contract.EditDrawing(shares={"pair": 1.0})

    def step(self, batch, step):
        x_fake = self.painter.edit(batch.x_real, batch.y_org, batch.y_trg)
        # a sum in place of a mean: at a rate that suits means every step goes too far
        error = (x_fake - batch.x_true).square()
        loss = error.sum() if self.config.wrong == "wild" else error.mean()
        self.update("painter", loss + 0 * self.painter.pictures.sum())
        return {"g_pair": loss.detach(), "g_mask_mean": torch.tensor(self.painter.mask)}

    @property
    def exports(self):
        return {"editor": contract.Editor(self.painter)}


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """A function: train a wrong generator; (exit status, what was said, lines of history)."""
    module = ModuleType("wrong")
    module.Config, module.System, module.PRESETS = Config, System, {"quick": {}}
    module.SCHEDULES = {"quick": {"epochs": 4, "decay_epochs": 0, "batch": 8}}
    module.TASKS = ("au",)
    monkeypatch.setitem(sys.modules, "wrong", module)
    # in the place of one that the command line knows
    monkeypatch.setitem(generators.ARCHITECTURES, "ganimation", "wrong")
    for name, people, seed in (("train", 6, 0), ("validation", 4, 1)):
        levels = np.random.default_rng(seed).uniform(0, 1, (4 * people, 4)).round(2)
        levels[::4] = 0
        models.dataset(tmp_path, levels, f"{name}.csv",
                       subjects=[f"{name}{i // 4}" for i in range(4 * people)])
    reader = models.classifier(tmp_path / "reader.onnx")

    def run(*more, **config):
        settings = [f"{name}={value}" for name, value in config.items()]
        status, out, said = call(
            train_generator.main, capsys, "--arch", "ganimation", "--train", tmp_path / "train.csv",
            "--validation", tmp_path / "validation.csv", "--out", tmp_path / "g.pt", "--reader",
            reader, "--no-flip", "--ema", "0.5", "--epoch-images", "80", "--device", "cpu",
            "--threads", "1", "--config", *settings, *more)
        assert out == "" and (tmp_path / "history.jsonl").exists(), said
        text = (tmp_path / "history.jsonl").read_text()
        return status, said, [json.loads(line) for line in text.splitlines()]

    return run


SENTENCES = {
    "same": "the output is the input (mean change 0.00/255)",
    "deaf": "the condition is ignored",
    "opaque": "the mask is saturated (mean 0.000)",
    "glassy": "the mask is saturated (mean 1.000)",
}


@pytest.mark.parametrize("wrong", SENTENCES)
def test_what_is_wrong_is_said_and_kept(wrong, train):
    status, said, lines = train(wrong=wrong)
    assert status == 0
    assert [epoch for epoch, line in enumerate(lines) if "alarms" in line] == [2, 3]  # not at once
    for line in lines[2:]:
        assert line["alarms"][0].startswith(SENTENCES[wrong]), line
    assert said.count(f"  alarm: {SENTENCES[wrong]}") == 2


@pytest.mark.parametrize("wrong", SENTENCES)
def test_training_stops_when_asked_to(wrong, train, tmp_path):
    status, said, lines = train("--stop-on-alarm", wrong=wrong)
    assert status == 4 and len(lines) == 3  # the line of the alarm is there
    assert f"alarm in epoch 2: {SENTENCES[wrong]}" in said.splitlines()[-1]
    assert not (tmp_path / "g.pt").exists()


def test_an_explosion_is_said_at_once(train, tmp_path):
    status, said, lines = train("--stop-on-alarm", wrong="wild", learning_rate=1)
    assert status == 4 and len(lines) == 1 and lines[0]["g_pair"] > 1e4
    assert lines[0]["alarms"][0].startswith("a loss has exploded (g_pair ")
    assert "alarm in epoch 0: a loss has exploded" in said.splitlines()[-1]


def test_sums_over_pixels_are_large_without_having_exploded():
    means = {"g_smooth": 3e4, "g_pair": 0.1}
    assert editing.exploded(means, expression_manipulator.System.sums) == []
    assert "g_smooth 3e+04" in editing.exploded(means)[0]


def test_a_right_one_raises_none(train):
    status, said, lines = train("--level", "1", learning_rate=100)
    assert status == 0 and lines[-1]["target_rise"] > 0.5
    assert not any("alarms" in line for line in lines) and "alarm" not in said
