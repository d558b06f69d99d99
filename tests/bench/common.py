"""Timing side by side: every figure is a ratio of two things run in turn, round after round, on
one machine."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


@dataclass
class Row:
    """One line of the table. ratio: {round: ours against the other}, more is better unless `aim`
    says otherwise."""

    what: str
    ours: str
    other: str
    ratios: list
    aim: str = ""

    def markdown(self):
        middle, low, high = np.median(self.ratios), min(self.ratios), max(self.ratios)
        ratio = f"{middle:.2f} ({low:.2f}-{high:.2f})"
        return f"| {self.what} | {self.ours} | {self.other} | {ratio} | {self.aim} |"


HEADER = "| what | this project | against | ratio: median (range) | aim |\n|---|---|---|---|---|"


def in_turn(names, numbers):
    """(number of the round, name) for every round and name.
    Every other round goes backwards, so that a machine that grows slower favours nobody."""
    for number in numbers:
        for name in list(names) if number % 2 else list(reversed(names)):
            yield number, name


def interleaved(sides, rounds, clock=time.perf_counter, first=0):
    """{name: seconds of each round, by `clock`} of {name: function}, after one round that does not
    count; first=1 leaves that one out, for sides that have run before."""
    seconds = {name: [] for name in sides}
    for number, name in in_turn(sides, range(first, rounds + 1)):
        start = clock()
        sides[name]()
        if number:
            seconds[name].append(clock() - start)
    return seconds


def speedup(other, ours):
    """Per round: how many times as fast ours is."""
    return [a / b for a, b in zip(other, ours)]


@dataclass
class Ran:
    """A finished process: seconds of wall and of processor time, and its greatest memory in MB."""

    seconds: float
    processor: float
    megabytes: float


def compiled(net, example):
    """The net by torch.compile, run once on the example, or None where there is no C++ compiler."""
    import torch

    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return None
    quick = torch.compile(net)
    with torch.inference_mode():
        quick(*example)
    return quick


def against_torch(what, seconds, count, aim):
    """The Rows of ONNX Runtime against PyTorch. seconds: of `onnx`, `eager` and, where it is,
    `compiled`, each for `count` images."""
    says = {name: f"{count / np.median(values):.0f} images/s" for name, values in seconds.items()}
    for name in ("eager", "compiled"):
        if name in seconds:
            ratios = speedup(seconds[name], seconds["onnx"])
            yield Row(
                what, f"ONNX Runtime: {says['onnx']}", f"PyTorch {name}: {says[name]}", ratios, aim
            )


MEASURE = """import resource, subprocess, sys, time
start = time.perf_counter()
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(status, time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss)"""


def process(*arguments, cwd=ROOT):
    """Run Python with arguments in a process of its own; CalledProcessError when it fails.

    A small process starts it: its greatest memory counts that of the one it was forked from."""
    line = [sys.executable, *map(str, arguments)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *line],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    status, seconds, processor, memory = done.stdout.split()
    if int(status):
        raise subprocess.CalledProcessError(int(status), line)
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return Ran(float(seconds), float(processor), float(memory) / scale)


def processes(sides, rounds):
    """{name: [Ran of each round]} of {name: arguments of Python}, in turn."""
    out = {name: [] for name in sides}
    for _, name in in_turn(sides, range(rounds)):
        out[name].append(process(*sides[name]))
    return out


def median(runs, field):
    """The median of a field of several `Ran`."""
    return float(np.median([getattr(run, field) for run in runs]))
