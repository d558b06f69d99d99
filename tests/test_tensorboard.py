"""--tensorboard: both trainers write the numbers of history.jsonl as curves. The package is not
among the requirements, so a stand-in records what it would be given."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest
from commands import call
from stripes import make_set, train

import train_generator
from lib import images, manifest
from lib.training import History, flat


@pytest.fixture
def writers(monkeypatch):
    """The SummaryWriters that are made, each with its folder, its purge_step and its scalars
    {(name, step): value}."""
    made = []

    class SummaryWriter:
        def __init__(self, folder, purge_step=None):
            self.folder, self.purge_step = folder, purge_step
            self.scalars, self.flushed = {}, 0
            made.append(self)

        def add_scalar(self, name, value, step):
            assert (name, step) not in self.scalars
            self.scalars[name, step] = value

        def flush(self):
            self.flushed = len(self.scalars)

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return made


def numbers(path):
    """{(name, line): value} of the numbers in history.jsonl."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {(name, row): value for row, line in enumerate(lines, 1)
            for name, value in flat(line) if type(value) in (int, float)}


def check(writer, folder):
    """The curves are the numbers of history.jsonl, which keeps six digits; nothing is left
    unflushed."""
    expected = numbers(folder / "history.jsonl")
    assert writer.folder == str(folder / "board") and writer.flushed == len(writer.scalars)
    assert writer.scalars == pytest.approx(expected, rel=1e-5)
    return {step for _, step in expected}, {name for name, _ in expected}


def test_the_classifiers_history_as_curves(tmp_path, capsys, writers):
    data = make_set(tmp_path, "train", 40, "a", 0), make_set(tmp_path, "validation", 20, "b", 1)
    more = "--tensorboard", tmp_path / "board", "--max-steps", 4, "--tasks", "au", "va"
    train(data, tmp_path / "c.pt", capsys, *more)
    steps, names = check(writers[0], tmp_path)
    assert len(writers) == 1 and writers[0].purge_step is None
    assert steps == {1, 2} and {"epoch", "loss", "validation_loss"} <= names  # 2 steps an epoch


def test_curves_of_one_model_an_au_stand_apart(tmp_path, capsys, writers):
    data = make_set(tmp_path, "train", 40, "a", 0), make_set(tmp_path, "validation", 20, "b", 1)
    train(data, tmp_path / "{au}" / "c.pt", capsys, "--per-au", "--tensorboard", tmp_path / "board")
    assert [writer.folder for writer in writers] == [
        str(tmp_path / "board" / au) for au in ("AU01", "AU12")]
    for writer, au in zip(writers, ("AU01", "AU12"), strict=True):
        expected = numbers(tmp_path / au / "history.jsonl")
        assert writer.scalars == pytest.approx(expected, rel=1e-5)


def test_the_generators_history_as_curves(tmp_path, capsys, writers):
    draw = np.random.default_rng(0)
    for name, count in (("train", 16), ("validation", 8)):
        pixels = draw.integers(0, 256, (count, 32, 32, 3), np.uint8)
        images.save_pack(tmp_path / f"{name}.npy", pixels)
        manifest.write(tmp_path / f"{name}.csv", {
            "path": [f"{name}.npy#{i}" for i in range(count)],
            "subject": [f"{name}{i // 8}" for i in range(count)],
            "session": [f"{name}{i // 4}" for i in range(count)],
            "AU01": list(draw.uniform(0, 1, count)), "AU12": [i % 4 / 5 for i in range(count)],
        })
    status, _, said = call(
        train_generator.main, capsys, "--train", tmp_path / "train.csv",
        "--validation", tmp_path / "validation.csv", "--out", tmp_path / "g.pt",
        "--device", "cpu", "--threads", 1, "--batch", 8, "--epochs", 2, "--decay-epochs", 1,
        "--epoch-images", 16, "--tensorboard", tmp_path / "board",
        "--config", "width=8", "d_width=8", "joined=8", "d_warmup=1", "critic_every=2",
    )
    assert status == 0, said
    steps, names = check(writers[0], tmp_path)
    assert len(writers) == 1 and steps == {1, 2} and {"epoch", "step", "g_adversarial"} <= names


def test_a_resumed_run_goes_on_with_its_curves(tmp_path, writers):
    path = tmp_path / "history.jsonl"
    path.write_text('{"epoch": 1}\n{"epoch": 2}\n')
    history = History(path, keep=1, tensorboard=tmp_path / "board")
    history.write({"epoch": 2, "loss": float("nan"), "best": True, "validation": {"f1": 0.5}})
    # the second line is written again: what TensorBoard has from step 2 on goes
    assert writers[0].purge_step == 2
    assert writers[0].scalars == {("epoch", 2): 2, ("validation/f1", 2): 0.5}


def test_curves_for_tensorboard(tmp_path):
    """With the package itself, where it is installed."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = History(tmp_path / "history.jsonl", tensorboard=tmp_path / "board")
    history.write({"epoch": 1, "loss": 0.5, "validation": {"f1": None, "ccc": 0.25}})
    history.write({"epoch": 2, "loss": 0.25, "note": "text", "validation": {"f1": 0.5, "ccc": 0.5}})
    found = events.EventAccumulator(str(tmp_path / "board"))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [(1, 0.5), (2, 0.25)]
    assert [event.step for event in found.Scalars("validation/f1")] == [2]
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 2
