"""Two commands in one folder: the second says who works there, waits, and then runs."""

import signal
import subprocess
import sys
import time

from commands import ENVIRONMENT, command, execute, fail, succeed

SLOW = "import sys, time; print('in', flush=True); time.sleep({}); print('out', flush=True)"


def start(folder, seconds):
    return subprocess.Popen(
        command("-m lib.lock", "here", sys.executable, "-c", SLOW.format(seconds)),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_second_waits_and_says_for_whom(tmp_path):
    first = start(tmp_path, 2)
    assert first.stdout.readline() == "in\n"
    began = time.time()
    second = start(tmp_path, 0)
    said = second.stderr.readline()
    assert f"here: process {first.pid} on " in said and "waiting until it has done" in said
    assert second.stdout.readline() == "in\n" and time.time() - began > 0.5
    assert first.wait() == second.wait() == 0 and first.stdout.read() == "out\n"
    assert second.stderr.read() == first.stderr.read() == ""


def test_a_killed_holder_frees_the_folder(tmp_path):
    first = start(tmp_path, 60)
    first.stdout.readline()
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 143
    second = start(tmp_path, 60)
    second.stdout.readline()
    second.kill()
    second.wait()
    out, said = succeed("-m lib.lock", "here", sys.executable, "-c", "print(1)", cwd=tmp_path)
    assert out == "1\n" and said == ""


def test_statuses(tmp_path):
    assert (
        execute(
            "-m lib.lock", "here", sys.executable, "-c", "raise SystemExit(4)", cwd=tmp_path
        ).returncode
        == 4
    )
    fail(3, "nonesuch: no such command", "-m lib.lock", "here", "nonesuch", cwd=tmp_path)
    fail(2, "give a folder and a command", "-m lib.lock", "here", cwd=tmp_path)
    (tmp_path / "file").write_text("")
    fail(3, "file: is a file", "-m lib.lock", "file", "true", cwd=tmp_path)
    assert "runs/quick/faces" in succeed("-m lib.lock", "--help")[0]
