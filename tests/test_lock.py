"""Two commands in one folder: the second says who works there, waits, and then runs."""

import signal
import subprocess
import sys
import time

from commands import ENVIRONMENT, command, execute, fail, succeed
from filelock import FileLock

SLOW = "print('in', flush=True); input(); print('out', flush=True)"  # goes on after a line on stdin


def start(folder):
    return subprocess.Popen(
        command("-m lib.lock", "here", sys.executable, "-c", SLOW),
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_second_waits_and_says_for_whom(tmp_path):
    first = start(tmp_path)
    assert first.stdout.readline() == "in\n"
    second = start(tmp_path)
    said = second.stderr.readline()
    assert f"here: process {first.pid} on " in said and "waiting until it has done" in said
    assert first.communicate("go on\n") == ("out\n", "")
    assert second.communicate("go on\n") == ("in\nout\n", "")
    assert first.returncode == second.returncode == 0


def test_who_has_just_taken_the_lock_is_named_as_soon_as_it_has_written_its_name(tmp_path):
    (tmp_path / "here").mkdir()
    with FileLock(tmp_path / "here" / ".lock"):
        second = start(tmp_path)
        time.sleep(0.8)  # it has asked for the lock by now, and found no name
        (tmp_path / "here" / ".lock.holder").write_text("process 1 on earth\n")
        assert second.stderr.readline().startswith("here: process 1 on earth works here")
    assert second.communicate("go on\n") == ("in\nout\n", "")


def test_a_killed_holder_frees_the_folder(tmp_path):
    first = start(tmp_path)
    first.stdout.readline()
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 143
    second = start(tmp_path)
    second.stdout.readline()
    second.kill()
    second.wait()
    out, said = succeed("-m lib.lock", "here", sys.executable, "-c", "print(1)", cwd=tmp_path)
    assert out == "1\n" and said == ""


def test_inside_its_own_lock_it_does_not_wait(tmp_path):
    inner = command("-m lib.lock", "b", *command("-m lib.lock", tmp_path / "a", "echo", "here"))
    out, said = succeed("-m lib.lock", "a", "timeout", "60", *inner, cwd=tmp_path)
    assert out == "here\n" and said == ""


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
