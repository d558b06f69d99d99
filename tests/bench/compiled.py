"""Training steps with the networks compiled, as train_generator.py --compile default does, against
the same uncompiled, by seconds of the processor. What compiling takes is said beside it."""

import os
import time

import numpy as np
import torch

from lib import compiling
from tests.bench import gradients, optimisers, training
from tests.bench.common import Row, interleaved, speedup
from tests.bench.half_size import HALF

WHAT = ("warp-editor, quick", "Expression Manipulator, half size", "relativistic-sampler, quick")


def build(what):
    """(System, a batch, the steps of a round)."""
    if what == WHAT[0]:
        system = gradients.build()
        return system, gradients.batch(system.config.size), range(8)
    if what == WHAT[1]:
        system, _ = training.build(**HALF)
        return system, training.batch_of(4, system.config.size, len(training.AUS)), range(4)
    system, batch = optimisers.build("relativistic-sampler")
    first = 2 * system.config.condition_after  # the classifier then takes part
    return system, batch, range(first, first + 8)


def rows(folder, rounds):
    """The lines of the table."""
    if why := compiling.obstacle(torch.device("cpu")):
        raise SystemExit(f"nothing can be compiled: {why}")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)  # an empty one
    for what in WHAT:
        sides, cost = {}, {}
        for name in ("compiled", "eager"):
            system, batch, steps = build(what)
            if name == "compiled":
                nets = {key: net for key, net in system.nets.items()
                        if key not in system.differentiated_twice}
                compiling.Compiled(nets, "default", torch.device("cpu"))
            sides[name] = lambda system=system, batch=batch: [
                system.step(batch, step) for step in steps]
            start = time.process_time()
            sides[name]()
            cost[name] = time.process_time() - start
        seconds = interleaved(sides, rounds, clock=time.process_time, first=1)
        median = {name: np.median(values) for name, values in seconds.items()}
        yield Row(
            f"--compile default: {what} ({len(steps)} steps, {torch.get_num_threads()} threads)",
            f"{median['compiled']:.2f} s of processor; compiling took "
            f"{cost['compiled'] - cost['eager']:.0f} s of this process",
            f"uncompiled: {median['eager']:.2f} s",
            speedup(seconds["eager"], seconds["compiled"]),
        )
