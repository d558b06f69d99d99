"""What fused Adam saves: training steps against the same with PyTorch's plain one, by seconds of
the processor, and the optimiser's share of a step (as tests.bench.profile counts it)."""

import time

import numpy as np
import torch

from lib import generators
from lib.generators import contract
from lib.labels import Labels
from tests.bench import profile, training
from tests.bench.common import Row, interleaved, speedup

STEPS = 8
CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
NAMES = ("relativistic-sampler", "fexgan", "stargan")


def labels_of(source):
    """Labels of the kind that an architecture learns first."""
    expressions = "expression" in source.TASKS
    return Labels(expressions=CLASSES) if expressions else Labels(aus=training.AUS)


def build(name):
    """(a System at quick size as train_generator.py lays it, a batch of its usual size)."""
    source = generators.module(name)
    config = generators.configure(name, "quick", {})
    torch.manual_seed(0)
    system = source.System(labels_of(source), config)
    for net in system.nets.values():
        net.to(memory_format=system.layout(torch.device("cpu")))
    count = source.SCHEDULES["quick"]["batch"]
    return system, batch_of(system, count, config.size)


def batch_of(system, count, size):
    """Random pictures with labels that are all known; of an editor half are pairs."""
    draw = torch.Generator().manual_seed(0)

    def pictures(number):
        values = torch.rand(number, 3, size, size, generator=draw) * 2 - 1
        return values.contiguous(memory_format=torch.channels_last)

    y = torch.rand(count, system.labels.count, generator=draw)
    if system.labels.expressions:
        y = torch.eye(len(CLASSES))[torch.arange(count) % len(CLASSES)]
    known = torch.ones_like(y, dtype=torch.bool)
    if system.kind == "sampler":
        return contract.SampleBatch(pictures(count), {}, y, known)
    half = count // 2
    return contract.EditBatch(pictures(count), {}, y, y.roll(1, 0), known,
                              ["pair"] * half + ["permuted"] * (count - half), pictures(half))


def steps(system, batch, first=0):
    """STEPS training steps, all that a schedule of the quick presets has."""
    for step in range(first, first + STEPS):
        system.step(batch, step)


def rows(folder, rounds):
    """The lines of the table."""
    for name in NAMES:
        both = {}
        for fused in (True, False):
            system, batch = both[fused] = build(name)
            for optimiser in system.optimisers.values():
                for group in optimiser.param_groups:
                    group["fused"] = fused
            steps(system, batch)
        seconds = interleaved(
            {fused: lambda each=each: steps(*each) for fused, each in both.items()},
            rounds, clock=time.process_time, first=1,
        )
        share = {fused: profile.shares_of_steps(lambda each=each: steps(*each))[1]["optimiser"]
                 for fused, each in both.items()}
        said = {fused: f"{np.median(seconds[fused]):.2f} s of processor, optimiser "
                       f"{share[fused]:.1%}" for fused in both}
        yield Row(f"{name}, quick, {STEPS} steps ({torch.get_num_threads()} threads)",
                  f"fused Adam: {said[True]}", f"plain Adam: {said[False]}",
                  speedup(seconds[False], seconds[True]))
