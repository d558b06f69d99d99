"""SIGTERM in the middle of an epoch: the trainers save, leave with 143, and go on exactly."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from commands import ENVIRONMENT, ROOT, succeed_here

import train_classifier
import train_generator
from lib import checkpoints, images, manifest
from lib.termination import Termination
from lib.training import Processes

# runs a trainer as a script, and sends it SIGTERM in its n-th step
CUT = """import os, runpy, signal, sys
import torch
script, stop = sys.argv[1], int(sys.argv[2])
sys.argv = sys.argv[1:2] + sys.argv[3:]
count, whole = 0, torch.Tensor.backward
def backward(*arguments, **keywords):
    global count
    count += 1
    if count == stop:
        os.kill(os.getpid(), signal.SIGTERM)
    return whole(*arguments, **keywords)
torch.Tensor.backward = backward
runpy.run_path(script, run_name="__main__")
"""


MAINS = {"train_classifier.py": train_classifier.main, "train_generator.py": train_generator.main}


def to_the_end(script, *arguments):
    """Stderr of a trainer that runs to its end, in this process."""
    out, said = succeed_here(MAINS[script], *arguments)
    assert not out
    return said


def cut_short(*arguments, stop):
    """(exit status, stderr) of a trainer that gets SIGTERM in its stop-th backward pass."""
    line = [sys.executable, "-c", CUT, str(ROOT / arguments[0]), str(stop)]
    line += list(map(str, arguments[1:]))
    done = subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True)
    assert not done.stdout and "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def history(folder):
    """The lines of history.jsonl, without what a clock said."""
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("images_per_second"), line.pop("seconds", None)
    return lines


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Manifests of a training and a validation set."""
    folder = tmp_path_factory.mktemp("sets")
    draw = np.random.default_rng(0)
    for name, count in (("train", 24), ("validation", 12), ("others", 16)):
        pictures = draw.integers(0, 256, (count, 16, 16, 3), np.uint8)
        images.save_pack(folder / f"{name}.npy", pictures)
        manifest.write(folder / f"{name}.csv",
                       {"path": [f"{name}.npy#{i}" for i in range(count)],
                        "subject": [f"{name}{i // 4}" for i in range(count)],
                        **{au: list(draw.random(count) * (draw.random(count) < 0.6))
                           for au in ("AU01", "AU12")}})
    return ["--train", folder / "train.csv", "--validation", folder / "validation.csv"]


def equal(first, second):
    """Whether two structures of tensors, dicts and lists are bit for bit the same."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


COMMON = ["--device", "cpu", "--threads", 1, "--seed", 5, "--resume", "--epochs"]
TRAINERS = {
    # six steps an epoch; dropout, augmentation, averaged weights and the images that these label
    # draw or keep something, too
    "classifier": ("train_classifier.py",
                   ["--batch", 4, "--ema", 0.9, "--unlabelled", "OTHERS", *COMMON, 3],
                   "last.pt", 9),
    # two backward passes a step
    "generator": (
        "train_generator.py",
        ["--arch", "conditional-gan", "--tasks", "au", "--batch", 4, "--config", "width=4",
         *COMMON, 3],
        "out.last.pt",
        15,
    ),
}


def with_others(options, sets):
    """Options of TRAINERS, with the set of unlabelled images in its place."""
    return [sets[1].with_name("others.csv") if each == "OTHERS" else each for each in options]


@pytest.mark.parametrize("name", list(TRAINERS))
def test_terminated_and_resumed_equals_untouched(sets, tmp_path, name):
    script, options, last, stop = TRAINERS[name]
    line = [script, *sets, *with_others(options, sets), "--out"]
    to_the_end(*line, tmp_path / "whole" / "out.pt")
    status, said = cut_short(*line, tmp_path / "cut" / "out.pt", stop=stop)
    assert status == 143 and "terminated: saved after step" in said
    assert not (tmp_path / "cut" / "out.pt").exists()
    assert len(history(tmp_path / "cut")) == 1  # in the second epoch
    assert (tmp_path / "cut" / last).exists()
    assert "after epoch" in to_the_end(*line, tmp_path / "cut" / "out.pt")
    assert history(tmp_path / "whole") == history(tmp_path / "cut")
    untouched, cut = (checkpoints.load(tmp_path / each / "out.pt") for each in ("whole", "cut"))
    assert equal(untouched, cut)


@pytest.mark.parametrize("name", list(TRAINERS))
def test_a_signal_in_an_epochs_only_step_ends_it(sets, tmp_path, name):
    """No step is in the middle of such an epoch."""
    script, options, last, stop = TRAINERS[name]
    options = [32 if value == 4 else value for value in options if value != "width=4"]
    options = [value for value in options if value != "--config"]
    line = [script, *sets, *with_others(options, sets), "--out", tmp_path / "out.pt"]
    status, said = cut_short(*line, stop=2)
    assert status == 143 and "terminated: saved after epoch" in said, said
    assert 1 <= len(history(tmp_path)) < 3
    assert (tmp_path / last).exists() and not (tmp_path / "out.pt").exists()


def test_a_second_signal_leaves_at_once():
    with pytest.raises(SystemExit) as left, Termination(Processes("cpu")) as termination:
        os.kill(os.getpid(), 15)
        assert termination.at(1)
        os.kill(os.getpid(), 15)
    assert left.value.code == 143
