"""torch.compile for networks in training: whether it works here, and what of a network it replaces.

A compiled method is set on the network itself and calls the same parameters. Names in checkpoints,
averages, exports and processes stay as they are.
"""

import contextlib
import logging
import os
import shutil
import sys

import torch

from lib.cli import log

OFF = "off"
GRAPHS = "reduce-overhead"  # torch.compile's name for CUDA graphs


def obstacle(device):
    """Why nothing can be compiled here, in a sentence; '' where it can."""
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if not shutil.which(compiler):
        return f"there is no C++ compiler {compiler} (or set CXX)"
    # it warns of a CUDA toolkit without a GPU, which nobody asked for
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    try:
        torch.compile(lambda x: x.sin() + 1, dynamic=False)(torch.ones(64, device=device))
    except Exception as error:  # of the compiler, of Python's headers, of Triton
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"a trial failed ({lines[0][:200]})"
    return ""


class Compiled:
    """The compiled methods of networks in training.

    nets: {name: network}; of each its `step_calls` are compiled, names of the methods that a
    training step calls (default: forward). Each shape of batch gets a program of its own.
    mode: `default`, or `reduce-overhead`, which also records CUDA graphs on a GPU."""

    def __init__(self, nets, mode, device):
        self.graphs = mode == GRAPHS and device.type == "cuda"
        if mode == GRAPHS and not self.graphs:
            log(f"--compile {GRAPHS}: CUDA graphs need a GPU; compiled without them")
        for net in nets.values():
            for method in getattr(net, "step_calls", ("forward",)):
                fast = torch.compile(getattr(net, method), dynamic=False,
                                     mode=GRAPHS if self.graphs else "default")
                setattr(net, method, fast)

    def begin_step(self):
        """Before each step: what the last step's graphs gave may be written over."""
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()

    @staticmethod
    def paused():
        """A context in which the networks run uncompiled, as for batches of other sizes."""
        return torch.compiler.set_stance("force_eager")


class Eager:
    """Nothing is compiled."""

    def begin_step(self):
        """Nothing to do."""

    @staticmethod
    def paused():
        """A context that changes nothing."""
        return contextlib.nullcontext()
