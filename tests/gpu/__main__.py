"""What only a GPU can show, in at most nine minutes: one JSON file, and one table on stdout.

    make gpu-check          or: python -m tests.gpu --out runs/gpu-check.json
    python -m tests.gpu --device cpu --out check.json --architectures gan      the small form

Each part says what it found, or in one line what went wrong; then the status is 4. Parts that the
time does not allow are named. Pictures are random: nothing is said about how well anything learns.
"""

import json
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from lib import generators
from lib.cli import GateFailed, arg, log, parse, run
from lib.files import to_json, write_text


@dataclass
class Options:
    out: str = arg("runs/gpu-check.json", help="where the figures go", metavar="FILE.json",
                   writes="file")
    device: str = arg("auto", help="where it runs; on a CPU in a small form",
                      choices=["auto", "cuda", "cpu"])
    architectures: list[str] = arg(
        list(generators.ARCHITECTURES), help="generators to try", nargs="*", metavar="NAME",
        choices=list(generators.ARCHITECTURES),
    )
    seconds: float = arg(530, help="end by this time: a part that is not done by then is cut "
                                   "short, and those after it are left out", least=1)


def main():
    options = parse(Options, __doc__)
    from lib import device_data
    from tests.gpu import parts

    device = device_data.device(options.device)
    found = {"machine": parts.machine(device)}
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        check = parts.Check(Path(folder), device)
        for name, part in check.parts(options.architectures).items():
            left = options.seconds - (time.monotonic() - start)
            if left <= 0:
                found[name] = {"left out": "no time left"}
                continue
            found[name] = attempt(part, left) | {"seconds": round(time.monotonic() - start, 1)}
            log(f"{name}: {json.dumps(found[name])}")
    write_text(options.out, to_json(found) + "\n")
    write_text("-", table(found))
    if broken := [name for name, row in found.items() if "error" in row]:
        raise GateFailed(f"{options.out}: went wrong: {', '.join(broken)}")


class OutOfTime(Exception):
    """Raised in a part by the clock."""


def ring(signum, frame):
    """The clock's signal."""
    raise OutOfTime


def attempt(part, seconds):
    """A part's figures, or its error: the parts after it run all the same. It has so many
    seconds."""
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return part()
    except OutOfTime:
        return {"left out": "cut short, no time left"}
    except (Exception, SystemExit) as error:
        traceback.print_exc(file=sys.stderr)
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def table(found):
    """The figures as Markdown, a line a part."""
    lines = ["| part | figures |", "|---|---|"]
    for name, row in found.items():
        said = ", ".join(f"{key} {show(value)}" for key, value in row.items() if key != "seconds")
        lines.append(f"| {name} | {said} |")
    return "\n".join(lines) + "\n"


def show(value):
    """A figure with three digits, anything else as it is."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    run(main)
