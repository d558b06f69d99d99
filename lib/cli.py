"""What every command line here shares: options from a dataclass, streams, progress bars, exit statuses.

Stdout carries only the product. Everything said goes to stderr. Exit statuses: 0 done, 2 usage,
3 bad input, 4 a gate failed, 130 interrupted, 143 terminated; a traceback means a bug.
"""
import contextlib
import dataclasses
import errno
import os
import signal
import sys

from argparse_dataclass import ArgumentParser

DONE, USAGE, BAD_INPUT, GATE_FAILED, INTERRUPTED, TERMINATED = 0, 2, 3, 4, 130, 143


class BadInput(Exception):
    """Input that cannot be used. The message is one line: file, row, column, value and the remedy."""


class GateFailed(Exception):
    """A check that the caller asked for did not hold (parity, --min-f1)."""


def arg(default=dataclasses.MISSING, *, help, **meta):
    """A dataclass field that becomes an option; `help` shows the default (None shows as nothing).

    meta: argparse-dataclass's metadata keys (args, type, choices, nargs, metavar, required).
    """
    text = help.replace("%", "%%")  # argparse formats help with %, and a bare one crashes --help
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata={"help": text, **meta})
    if default not in (None, "", False, True) and default != []:
        shown = " ".join(map(str, default)) if isinstance(default, (list, tuple)) else default
        text += f" [{shown}]"
    meta = {"help": text, **meta}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=meta)
    return dataclasses.field(default=default, metadata=meta)


def parse(options, description, argv=None):
    """Parse argv into an instance of the dataclass `options`; a ValueError of its __post_init__ is a
    usage error (exit 2). `description`'s first line is shown by --help."""
    from argparse import RawDescriptionHelpFormatter

    parser = ArgumentParser(options, description=description, allow_abbrev=False,
                            formatter_class=RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(USAGE, f"{parser.prog}: {message}; see --help\n")  # one line
    try:
        return parser.parse_args(argv)
    except ValueError as error:
        parser.error(str(error))


def log(*parts):
    """Say something on stderr, without breaking a progress bar."""
    text = " ".join(str(part) for part in parts)
    tqdm = sys.modules.get("tqdm")
    if tqdm is not None and sys.stderr.isatty():
        tqdm.tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)


def progress(iterable=None, *, total=None, what="", unit="it"):
    """A tqdm bar on stderr, on a terminal only."""
    from tqdm import tqdm

    return tqdm(iterable, total=total, desc=what, unit=unit, file=sys.stderr,
                disable=not sys.stderr.isatty(), dynamic_ncols=True, leave=False)


def run(main):
    """Call main() and leave with the exit status that its outcome deserves.

    Every script ends in `if __name__ == "__main__": run(main)`.
    """
    def terminate(signum, frame):
        raise SystemExit(TERMINATED)  # unwinds, so temporary files are removed

    signal.signal(signal.SIGTERM, terminate)
    name = os.path.basename(sys.argv[0])
    status = DONE
    try:
        main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        log(f"{name}: interrupted")
        status = INTERRUPTED
    except BadInput as error:
        log(f"{name}: {error}")
        status = BAD_INPUT
    except GateFailed as error:
        log(f"{name}: {error}")
        status = GATE_FAILED
    except BrokenPipeError:  # the reader of the pipe has gone, as in `… | head`
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = DONE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.ENOENT,
                               errno.EISDIR, errno.ENOTDIR):
            raise
        log(f"{name}: {error.filename or ''}: {os.strerror(error.errno)}")
        status = BAD_INPUT
    sys.exit(status)
