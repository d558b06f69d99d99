"""The smoke targets, killed at random and run twice at once: they go on, and end where an
untouched run ends.

KILLS (40) says how often; TARGET (mnist-em) and a copy of the work tree, in which everything
happens.
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
TARGET = os.environ.get("TARGET", "mnist-em")
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


def make(folder):
    """Start the target, as the head of a process group."""
    return subprocess.Popen(
        ["make", TARGET, "PRESET=smoke"],
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


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    folder = copy_of_the_tree(tmp_path_factory.mktemp("untouched"))
    finish(make(folder))
    return reports(folder)


def test_killed_at_random(tmp_path, untouched):
    folder, draw = copy_of_the_tree(tmp_path), random.Random(0)
    for number in range(KILLS):
        process = make(folder)
        try:
            process.communicate(timeout=draw.uniform(0.5, LONGEST))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, draw.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
            said = process.communicate()[0]
            assert "Traceback" not in said, said[-3000:]
        if process.returncode == 0:  # it ended before the kill: begin anew
            shutil.rmtree(folder / "runs/smoke")
            if number % 2:
                shutil.rmtree(folder / "data/smoke")
    finish(make(folder))
    assert reports(folder) == untouched
    assert not [path for path in folder.glob("[dr]*/smoke/**/*") if ".tmp" in path.name]
    assert subprocess.run(["make", "-q", TARGET, "PRESET=smoke"], cwd=folder).returncode == 0


def test_two_at_once(tmp_path, untouched):
    folder = copy_of_the_tree(tmp_path)
    first, second = make(folder), make(folder)
    said = finish(first) + finish(second)
    assert "works here; waiting until it has done" in said
    assert reports(folder) == untouched
