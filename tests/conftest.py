"""What every test leaves as it found it, and what all exports of a process share."""

import functools
import signal
import sys

import pytest


@pytest.fixture(autouse=True)
def handlers():
    """lib.cli.run takes SIGINT and SIGTERM; in a test it runs in pytest's own process."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture(autouse=True)
def one_table_of_operators():
    """PyTorch's exporter writes the table of ONNX's operators anew for each model, which takes half
    of the time of a small one. After the first export of a process it is kept."""
    exporter = sys.modules.get("torch.onnx._internal.exporter._registration")
    make = getattr(getattr(exporter, "ONNXRegistry", None), "from_torchlib", None)
    if make is not None and not hasattr(make, "cache_info"):
        exporter.ONNXRegistry.from_torchlib = staticmethod(functools.cache(make))
