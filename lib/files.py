"""Writing files so that a killed stage leaves either the old file or the new, never half of
one."""
import contextlib
import errno
import hashlib
import json
import os
import sys
from pathlib import Path

from lib.cli import naming


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary sibling of `path`; it takes path's name when the block ends without error.

    >>> with replacing("a.json") as temporary: temporary.write_text("{}")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        with naming(path, temporary):
            yield temporary
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def allocate(path):
    """Take the disk space of a file that is to be filled through memory: where the disk is full
    that is an OSError now, and not a crash (SIGBUS) at the first page without a place."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
            except OSError as error:
                # a file system that cannot
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise


def write_text(path, text):
    """Write text to a file, replacing it at once; `-` is stdout."""
    if str(path) == "-":
        with naming("stdout"):
            sys.stdout.write(text)
            sys.stdout.flush()
    else:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def to_json(value):
    """JSON text that any parser reads: no NaN or Infinity, floats shortened to 6 digits."""
    def plain(item):
        if isinstance(item, dict):
            return {str(key): plain(entry) for key, entry in item.items()}
        if isinstance(item, (list, tuple)):
            return [plain(entry) for entry in item]
        if hasattr(item, "tolist"):  # NumPy scalars and arrays
            return plain(item.tolist())
        if isinstance(item, float):
            return (None if item != item or item in (float("inf"), float("-inf"))
                    else float(f"{item:.6g}"))
        return item

    return json.dumps(plain(value), indent=1, allow_nan=False)


def digest(*parts):
    """A short hash (16 hex digits) of texts, bytes and files' contents (given as Path)."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with open(part, "rb") as file:
                while block := file.read(1 << 20):
                    total.update(block)
        else:
            total.update(part if isinstance(part, bytes) else str(part).encode())
        total.update(b"\0")
    return total.hexdigest()[:16]
