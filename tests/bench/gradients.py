"""What it saves that an optimiser's step takes gradients of its own network alone: eight steps of
an editor at quick size, against the same with gradients of all that the loss goes through. By
seconds of the processor."""

import time
import types

import numpy as np
import torch

from lib import generators
from lib.generators.contract import EditBatch
from lib.labels import Labels
from tests.bench.common import Row, interleaved, speedup
from tests.bench.training import AUS

COUNT, STEPS = 8, 8  # images a step; all that a schedule of steps has comes in eight


def batch(size):
    """Random pictures, half of them with another of the same person."""
    draw = torch.Generator().manual_seed(0)
    rand = lambda *shape: torch.rand(*shape, generator=draw)
    last = torch.channels_last
    picture = lambda n: (rand(n, 3, size, size) * 2 - 1).contiguous(memory_format=last)
    source, target = rand(COUNT, len(AUS)), rand(COUNT, len(AUS))
    return EditBatch(
        x_real=picture(COUNT), x_true=picture(COUNT - 1), labels={"au": source}, y_org=source,
        y_trg=target, known=torch.ones(COUNT, len(AUS), dtype=torch.bool),
        kinds=["pair"] * (COUNT - 1) + ["single"],
    )


def build():
    """A warp editor at quick size, as train_generator.py lays it, past its warm-up."""
    config = generators.configure("warp-editor", "quick", {"d_warmup": 0})
    torch.manual_seed(0)
    system = generators.module("warp-editor").System(Labels(aus=AUS), config)
    for net in system.nets.values():
        net.to(memory_format=system.layout(torch.device("cpu")))
    return system


def update_all(self, name, loss):
    """`contract.System.update`, with gradients of every network."""
    self.optimisers[name].zero_grad(set_to_none=True)
    loss.backward()
    self.optimisers[name].step()


def rows(folder, rounds):
    """The lines of the table."""
    systems = {name: build() for name in ("ours", "all")}
    systems["all"].update = types.MethodType(update_all, systems["all"])
    data = batch(systems["ours"].config.size)
    seconds = interleaved(
        {name: lambda each=system: [each.step(data, step) for step in range(STEPS)]
         for name, system in systems.items()},
        rounds,
        clock=time.process_time,
    )
    rate = {name: COUNT * STEPS / np.median(values) for name, values in seconds.items()}
    yield Row(
        f"warp-editor at quick size, {torch.get_num_threads()} threads",
        f"{rate['ours']:.0f} images a second of processor",
        f"gradients of all networks: {rate['all']:.0f}",
        speedup(seconds["all"], seconds["ours"]),
    )
