"""The smoke targets, killed at random and run twice at once: they go on, and end where an
untouched run ends.

KILLS (40) says how often in all, TARGET (mnist-em and faces-em) which; everything happens in a
copy of the work tree.
"""

import json
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("KILLS", 40))
TARGETS = os.environ.get("TARGET", "mnist-em faces-em").split()
LONGEST = 40  # seconds before a kill


def copy_of_the_tree(folder):
    """The tracked files, and the environment by a link."""
    for name in subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n"):
        if name and not name.startswith("runs/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
    return folder


def make(folder, target):
    """Start the target."""
    return start(folder, "make", target, "PRESET=smoke")


def start(folder, *line):
    """Start a command, as the head of a process group."""
    return subprocess.Popen(
        line,
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    """What it said; it has to end well."""
    said = process.communicate()[0]
    assert process.returncode == 0 and "Traceback" not in said, said[-3000:]
    return said


MEASURED = ("au", "au_fixed", "va", "expression", "edits", "samples", "intervals")


def reports(folder):
    """{path: what report.json measured} of the run; models, versions and places are left out."""
    found = {}
    for path in sorted(folder.glob("runs/smoke/**/report*.json")):
        report = json.loads(path.read_text())
        measured = {name: report[name] for name in MEASURED if name in report}
        assert measured, path
        found[str(path.relative_to(folder))] = measured
    assert found
    return found


@pytest.fixture(scope="module", params=TARGETS)
def untouched(request, tmp_path_factory):
    """A target, and its reports where nobody kills it."""
    folder = copy_of_the_tree(tmp_path_factory.mktemp("untouched"))
    finish(make(folder, request.param))
    return request.param, reports(folder)


def share_of(target):
    """How many of all KILLS a target gets."""
    return len(range(TARGETS.index(target), KILLS, len(TARGETS)))


def kill_at_random(folder, start, kills, longest=LONGEST):
    """Start a make and kill it, `kills` times; one that ends before its kill has to end well, and
    begins anew. How many did."""
    draw, killed, ended = random.Random(0), 0, 0
    while killed < kills:
        process = start()
        try:
            said = process.communicate(timeout=draw.uniform(longest / 80, longest))[0]
            assert process.returncode == 0, said[-3000:]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, draw.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
            said = process.communicate()[0]
        assert "Traceback" not in said, said[-3000:]
        if process.returncode:
            killed += 1
            continue
        shutil.rmtree(folder / "runs/smoke")
        if ended % 2:
            shutil.rmtree(folder / "data/smoke")
        ended += 1
    return ended


def test_killed_at_random(tmp_path, untouched):
    folder, (target, expected) = copy_of_the_tree(tmp_path), untouched
    kill_at_random(folder, lambda: make(folder, target), share_of(target))
    finish(make(folder, target))
    assert reports(folder) == expected
    assert not [path for path in folder.glob("[dr]*/smoke/**/*") if ".tmp" in path.name]
    assert subprocess.run(["make", "-q", target, "PRESET=smoke"], cwd=folder).returncode == 0


def test_two_at_once(tmp_path, untouched):
    folder, (target, expected) = copy_of_the_tree(tmp_path), untouched
    first, second = make(folder, target), make(folder, target)
    said = finish(first) + finish(second)
    assert "works here; waiting until it has done" in said
    assert reports(folder) == expected


def stand_in(folder, line, starts):
    """In place of a make: a shell that counts its starts."""
    starts.append(line)
    return start(folder, "sh", "-c", "mkdir -p runs/smoke data/smoke; " + line)


def test_only_real_kills_count(tmp_path):
    """Every other one ends by itself: it begins anew, and there are four kills all the same."""
    starts = []
    ended = kill_at_random(
        tmp_path, lambda: stand_in(tmp_path, ["sleep 60", "true"][len(starts) % 2], starts), 4, 2
    )
    assert len(starts) - ended == 4 and 1 <= ended <= starts.count("true")
    with pytest.raises(AssertionError, match="no such thing"):
        kill_at_random(tmp_path, lambda: stand_in(tmp_path, "echo no such thing; exit 2", []), 1)
    assert sum(map(share_of, TARGETS)) == KILLS
