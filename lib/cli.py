"""What every command line here shares: options from a dataclass, streams, progress bars, exit
statuses.

Stdout carries only the product. Everything said goes to stderr. Exit statuses: 0 done, 2 usage,
3 bad input, 4 a gate failed, 130 interrupted, 143 terminated; a traceback means a bug.
"""
import contextlib
import dataclasses
import errno
import os
import signal
import sys
from pathlib import Path

from argparse_dataclass import ArgumentParser

DONE, USAGE, BAD_INPUT, GATE_FAILED, INTERRUPTED, TERMINATED = 0, 2, 3, 4, 130, 143
OF_THE_USER = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS,
               errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EIO,
               errno.ELOOP, errno.ENAMETOOLONG}
LARGEST_SEED = 2**63 - 1  # what a signed integer of 64 bits holds

_notes = []  # what `note` was told


class BadInput(Exception):
    """Input that cannot be used. The message is one line: file, row, column, value and the
    remedy."""


class GateFailed(Exception):
    """A check that the caller asked for did not hold (parity, --min-f1)."""


def arg(default=dataclasses.MISSING, *, help, **meta):
    """A dataclass field that becomes an option; `help` shows the default. None, "", [], False and
    True show as nothing.

    meta: argparse-dataclass's metadata keys (args, type, choices, nargs, metavar, required), and
    what `parse` checks: `least`, the smallest number allowed; `writes`, 'file' or 'folder', for
    the place of an output.
    """
    text = help.replace("%", "%%")  # argparse formats help with %, and a bare one crashes --help
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata={"help": text, **meta})
    # by identity: 0 == False and 1 == True, and both are shown
    if not any(default is one for one in (None, False, True)) and default not in ("", []):
        shown = " ".join(map(str, default)) if isinstance(default, (list, tuple)) else default
        text += f" [{shown}]"
    meta = {"help": text, **meta}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=meta)
    return dataclasses.field(default=default, metadata=meta)


def parse(options, description, argv=None):
    """Parse argv into an instance of the dataclass `options`; a ValueError of its __post_init__ is
    a usage error (exit 2), BadInput an output that could not be written. --help shows
    `description`."""
    from argparse import RawDescriptionHelpFormatter

    parser = ArgumentParser(options, description=description, allow_abbrev=False,
                            formatter_class=RawDescriptionHelpFormatter)
    # one line
    parser.error = lambda message: parser.exit(USAGE, f"{parser.prog}: {message}; see --help\n")
    try:
        found = parser.parse_args(argv)
    except ValueError as error:
        parser.error(str(error))
    for field in dataclasses.fields(found):
        value, least = getattr(found, field.name), field.metadata.get("least")
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and number != number:
                parser.error(f"--{field.name.replace('_', '-')} nan: give a number")
            if least is not None and number is not None and number < least:
                parser.error(f"--{field.name.replace('_', '-')} {number}: must be at least {least}")
        if field.name == "seed" and value > LARGEST_SEED:
            parser.error(f"--seed {value}: must be at most {LARGEST_SEED}")
        if value and (kind := field.metadata.get("writes")):
            check_place(value, kind)
    return found


def check_place(place, kind="file"):
    """BadInput when a 'file' or 'folder' could not be written at `place`: known before the work,
    not after it. Makes nothing. `-` is stdout."""
    if place == "-":
        return
    place = Path(place)
    if kind == "file" and place.is_dir():
        raise BadInput(f"{place}: is a folder; name a file in it")
    above = place.parent if kind == "file" else place
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise BadInput(f"{place}: {above} is a file, not a folder; choose another place")
    if not os.access(above, os.W_OK | os.X_OK):
        raise BadInput(f"{place}: {above} may not be written in; choose another place")


def log(*parts):
    """Say something on stderr, without breaking a progress bar."""
    text = " ".join(str(part) for part in parts)
    tqdm = sys.modules.get("tqdm")
    if tqdm is not None and sys.stderr.isatty():
        tqdm.tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)


def note(text):
    """A remark on the inputs, said once the command has done its work: bad input is one line and
    no more."""
    if text not in _notes:
        _notes.append(text)


def say_notes():
    """Say what `note` was told; `run` does, at the end."""
    while _notes:
        log(_notes.pop(0))


def progress(iterable=None, *, total=None, what="", unit="it"):
    """A tqdm bar on stderr, on a terminal only."""
    from tqdm import tqdm

    return tqdm(iterable, total=total, desc=what, unit=unit, file=sys.stderr,
                disable=not sys.stderr.isatty(), dynamic_ncols=True, leave=False)


def run(main):
    """Call main() and leave with the exit status that its outcome deserves.

    Every script ends in `if __name__ == "__main__": run(main)`.
    """
    try:
        end_with_status(main)
    except SystemExit as end:
        # all is done: a signal while the interpreter ends would only show a traceback
        signal.signal(signal.SIGINT, ignore)
        signal.signal(signal.SIGTERM, ignore)
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            raise
        # one of several processes of torchrun: the threads that exchange gradients may outlive
        # the interpreter, which then aborts ("terminate called without an active exception")
        sys.stderr.flush()
        os._exit(end.code or DONE)


@contextlib.contextmanager
def uninterrupted():
    """SIGINT and SIGTERM wait until the block is done: for calls of libraries that take an
    exception from a signal for an error of their own. In the main thread alone."""
    came, before = [], {}
    try:
        for signum in (signal.SIGINT, signal.SIGTERM):
            before[signum] = signal.signal(signum, lambda signum, frame: came.append(signum))
    except ValueError:  # another thread: signals do not come here
        pass
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        if came:
            signal.raise_signal(came[0])


def ignore(signum, frame):
    """Stand in for SIG_IGN, which a child would inherit."""


def end_with_status(main):
    """Call main(); SystemExit with the status that its outcome deserves."""
    def terminate(signum, frame):
        raise SystemExit(TERMINATED)  # unwinds, so temporary files are removed

    signal.signal(signal.SIGTERM, terminate)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # of lib's first lines
        signal.signal(signal.SIGINT, signal.default_int_handler)
    name = os.path.basename(sys.argv[0])
    status = DONE
    _notes.clear()
    try:
        main()
        with naming("stdout"):
            sys.stdout.flush()
    except KeyboardInterrupt:
        log(f"{name}: interrupted")
        status = INTERRUPTED
    except BadInput as error:
        log(f"{name}: {one_line(error)}")
        status = BAD_INPUT
    except GateFailed as error:
        log(f"{name}: {error}")
        status = GATE_FAILED
    except BrokenPipeError:  # the reader of the pipe has gone, as in `… | head`
        abandon_stdout()
    except OSError as error:
        if error.errno not in OF_THE_USER:
            raise
        log(": ".join(
            str(part) for part in (name, error.filename, os.strerror(error.errno)) if part
        ))
        abandon_stdout()
        status = BAD_INPUT
    if status in (DONE, GATE_FAILED):
        say_notes()
    sys.exit(status)


def one_line(text):
    """A text without line ends and other control characters, which a damaged file may have put
    there."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(text))


@contextlib.contextmanager
def naming(place, *instead_of):
    """An OSError inside names `place`, where it names nothing, or what stands for it (a temporary
    file)."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename) in map(str, instead_of):
            error.filename = str(place)
        raise


def abandon_stdout():
    """Let what is still to be written to stdout vanish: Python would try again, and complain, on
    its way out."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
