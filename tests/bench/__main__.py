"""Speed as ratios, measured in turn on this machine; one Markdown table on stdout.

python -m tests.bench                       all that fits 2 cores in ten minutes (make bench)
python -m tests.bench start inference       some parts
python -m tests.bench training              half an hour: the Expression Manipulator at paper
                                            size
python -m tests.bench compiled              some minutes: steps by torch.compile
python -m tests.bench editors               ten minutes: a training image of each editor
"""

import importlib
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from lib.cli import arg, log, parse, run
from lib.files import write_text
from tests.bench.common import HEADER

ROUNDS = 10
LONG = ("training", "compiled", "editors")  # only when they are named
PARTS = [
    path.stem
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if path.stem not in ("__main__", "common", "profile")
]


@dataclass
class Options:
    parts: list[str] = arg(
        [],
        args=["parts"],
        nargs="*",
        metavar="PART",
        help=f"some of {' '.join(PARTS)} [all but {', '.join(LONG)}]",
    )
    rounds: Optional[int] = arg(None, help="how often each thing is run [10, or less]", least=1)


def machine():
    """The machine and the versions, in one line."""
    from importlib.metadata import version

    versions = ", ".join(
        f"{name} {version(name)}" for name in ("numpy", "pyarrow", "pillow", "torch")
    )
    model = (
        next(
            (
                line.partition(":")[2].strip()
                for line in open("/proc/cpuinfo")
                if "model name" in line
            ),
            platform.processor(),
        )
        if os.path.exists("/proc/cpuinfo")
        else platform.processor()
    )
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} cores, {model}; Python {platform.python_version()}, {versions}{load}"


def main():
    options = parse(Options, __doc__)
    lines = [machine(), "", HEADER]
    with tempfile.TemporaryDirectory() as folder:
        for part in options.parts or [part for part in PARTS if part not in LONG]:
            module = importlib.import_module(f"tests.bench.{part}")
            rounds = options.rounds or getattr(module, "ROUNDS", ROUNDS)
            # packs of one name in one folder would be taken for each other
            own = Path(folder, part)
            own.mkdir()
            for row in module.rows(own, rounds):
                log(row.markdown())
                lines.append(row.markdown())
    write_text("-", "\n".join(lines) + "\n")


if __name__ == "__main__":
    run(main)
