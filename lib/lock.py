"""Run a command alone in a folder: who comes second says who works there, and waits.

    python -m lib.lock runs/quick/faces make faces-em

Two `make`s in one folder would take away each other's temporary files. The lock is the file .lock
in the folder; it goes with the process that holds it, however that ends. A command that runs
inside another one's lock of the same folder does not wait for itself. The exit status is the
command's.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from lib.cli import USAGE, BadInput, log, run

HELD = "FACES_EM_LOCKS"  # the folders whose locks a parent holds, for the processes that it starts


@contextlib.contextmanager
def alone(folder, command):
    """Hold the lock of a folder, unless a parent does; says on stderr whom it waits for. command:
    what others are told. Yields the environment of what runs inside the lock."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise BadInput(f"{folder}: is a file, not a folder; choose another place") from None
    held, place = [*filter(None, os.environ.get(HELD, "").split(os.pathsep))], str(folder.resolve())
    if place in held:
        yield dict(os.environ)
        return
    lock, holder = FileLock(folder / ".lock"), folder / ".lock.holder"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log(f"{folder}: {who(holder)} works here; waiting until it has done (Ctrl-C leaves)")
        lock.acquire()
    try:
        holder.write_text(
            f"process {os.getpid()} on {socket.gethostname()}, "
            f"since {time.strftime('%H:%M')}: {command}\n"
        )
        yield os.environ | {HELD: os.pathsep.join([*held, place])}
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def who(holder, patience=2.0):
    """Who holds a lock, in words. Who has just taken it may not have written its name yet, so
    this waits for it, at most `patience` seconds."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if said := holder.read_text().strip():
                return said
        time.sleep(0.02)
    return "another process"


def main():
    if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
        asked = "--help" in sys.argv[1:2]
        print(
            __doc__ if asked else "lock.py: give a folder and a command; see --help",
            file=sys.stdout if asked else sys.stderr,
        )
        sys.exit(0 if asked else USAGE)
    folder, command = sys.argv[1], sys.argv[2:]
    with alone(folder, " ".join(command)) as environment:
        try:  # make's job server is an open file
            child = subprocess.Popen(command, close_fds=False, env=environment)
        except FileNotFoundError:
            raise BadInput(f"{command[0]}: no such command; correct its name") from None
        try:
            status = child.wait()
        except BaseException:  # terminated or interrupted: so is the command, which may still save
            child.terminate()
            child.wait()
            raise
    sys.exit(128 - status if status < 0 else status)


if __name__ == "__main__":
    run(main)
