"""Running the scripts as a user does: another process, its streams and exit status."""
import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
import unittest.mock
from pathlib import Path

import pytest

from lib import cli

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

# runs a script, then fails if torch was imported on the way
NO_TORCH = """import sys, runpy
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code, end
assert "torch" not in sys.modules
"""


def command(script, *arguments):
    """The command line of a script or, as '-m lib.manifest', of a module."""
    start = script.split() if script.startswith("-m ") else [str(ROOT / script)]
    return [sys.executable, *start, *map(str, arguments)]


def interruptible():
    """For Popen's preexec_fn: a job that a shell starts in the background, as CI may be, inherits
    an ignored SIGINT and would pass that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_until_it_runs(process, patience=60):
    """Wait until a script's main() has begun: lib.cli.run has taken SIGTERM."""
    until, status = time.monotonic() + patience, Path(f"/proc/{process.pid}/status")
    while time.monotonic() < until and status.exists():
        caught = re.search(r"SigCgt:\s*(\w+)", status.read_text())
        if caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.05)


def execute(script, *arguments, cwd=None, stdin=None, stdout=subprocess.PIPE):
    """Run to the end; the completed process with texts."""
    return subprocess.run(command(script, *arguments), cwd=cwd, env=ENVIRONMENT, input=stdin,
                          stdout=stdout, stderr=subprocess.PIPE, text=True)


def succeed(script, *arguments, **keywords):
    """Run, expect exit 0 and no traceback; (stdout, stderr)."""
    done = execute(script, *arguments, **keywords)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def fail(status, mentions, script, *arguments, **keywords):
    """Run, expect an exit status, nothing on stdout and one line on stderr that mentions some
    texts."""
    done = execute(script, *arguments, **keywords)
    assert done.returncode == status, (done.returncode, done.stderr)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not done.stdout
    for text in [mentions] if isinstance(mentions, str) else mentions:
        assert text in done.stderr, done.stderr


def call(main, capsys, *arguments):
    """Run a script's main() in this process, which is quicker: (exit status, stdout, stderr)."""
    old = sys.argv
    sys.argv = [main.__module__ + ".py", *map(str, arguments)]
    try:
        cli.run(main)
    except SystemExit as error:
        status = error.code
    finally:
        sys.argv = old
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err


def here(main, *arguments):
    """As `call`, for fixtures and functions that have no capsys."""
    out, err = io.StringIO(), io.StringIO()
    line = [main.__module__ + ".py", *map(str, arguments)]
    # a fixture of a module begins before tests/conftest.py looks at the handlers
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (unittest.mock.patch.object(sys, "argv", line), contextlib.redirect_stdout(out),
              contextlib.redirect_stderr(err), pytest.raises(SystemExit) as left):
            cli.run(main)
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
    assert "Traceback" not in err.getvalue()
    return left.value.code, out.getvalue(), err.getvalue()


def succeed_here(main, *arguments):
    """As `succeed`, in this process, which need not import everything once more."""
    status, out, err = here(main, *arguments)
    assert status == 0, err
    return out, err


def fail_here(status, mentions, main, *arguments):
    """As `fail`, in this process."""
    found, out, err = here(main, *arguments)
    assert found == status, (found, err)
    assert len(err.splitlines()) == 1, err
    assert not out
    for text in [mentions] if isinstance(mentions, str) else mentions:
        assert text in err, err


def files(folder):
    """Every file below a folder, {relative path: bytes}."""
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(Path(folder).rglob("*")) if path.is_file()}
