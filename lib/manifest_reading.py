"""Reading manifests: what a table must look like, and where it does not.

Every refusal is one line: file, row, column, value and remedy. Arrow reads; Python's csv module is
asked where Arrow could not.
"""

import contextlib
import csv
import sys
from collections import Counter
from pathlib import Path

from lib import labels, table
from lib.cli import BadInput
from lib.manifest import Manifest


def read(path, *, empty_ok=False):
    """Read and check a manifest; `-` is stdin. BadInput names file, row, column, value and
    remedy."""
    if not table.is_parquet(path):
        return parse(*read_bytes(path), empty_ok=empty_ok)
    with readable(path):
        columns, header = table.read_parquet(path)
    check_header(header, path)
    return checked(columns, str(path), Path(path).parent, empty_ok=empty_ok, first_row=1)


def read_bytes(path):
    """(bytes or an Arrow buffer, name for messages, folder of its paths) of a CSV file, or of
    stdin for `-`."""
    if str(path) == "-":
        return sys.stdin.buffer.read(), "stdin", Path.cwd()
    with readable(path):
        return table.source(path), str(path), Path(path).parent


@contextlib.contextmanager
def readable(name):
    """BadInput for a manifest that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise BadInput(f"{name}: no such manifest; give the CSV that lists the images") from None
    except IsADirectoryError:
        raise BadInput(f"{name}: is a folder; give the CSV that lists the images") from None
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())[:80]
        raise BadInput(f"{name}: cannot be read ({reason}); give a CSV that can be") from None
    except (ValueError, NotImplementedError) as error:  # of Arrow, for Parquet
        reason = " ".join(str(error).split())[:80]
        raise BadInput(f"{name}: not a Parquet table ({reason}); write it again") from None


def parse(text, name, folder, *, empty_ok=False):
    """Manifest from CSV text or bytes; see `read`."""
    buffer = text.encode() if isinstance(text, str) else text
    first_row = next(csv_rows(buffer, name), None)
    if first_row is None:
        raise BadInput(
            f"{name}: empty file; a manifest starts with a header line such as path,AU01,AU02"
        )
    header = [column.strip() for column in first_row]
    check_header(header, name)
    try:
        columns = table.read_csv(buffer, header)
    except ValueError as error:
        columns = without_rows(buffer, header, name, error)
    return checked(columns, name, folder, empty_ok=empty_ok, first_row=2)


def csv_rows(buffer, name):
    """The rows of CSV bytes, one by one; BadInput for what is no CSV or no text."""
    try:
        yield from table.rows_of(buffer)
    except csv.Error as error:
        raise BadInput(f"{name}: not CSV ({error}); is a quotation mark left open?") from None
    except UnicodeDecodeError:
        raise BadInput(f"{name}: not a CSV text file; a manifest is UTF-8 CSV") from None


def without_rows(buffer, header, name, error):
    """What Arrow could not read: BadInput says where that is; a header without rows is a manifest,
    though."""
    rows = -1
    for line, row in enumerate(csv_rows(buffer, name), 1):
        if row and len(row) != len(header):
            raise BadInput(
                f"{name}: row {line} has {len(row)} cells, the header {len(header)}; quote commas"
            )
        rows += bool(row)
    if rows:
        reason = " ".join(str(error).split())[:120]
        raise BadInput(f"{name}: not CSV ({reason}); is a quotation mark left open?")
    return {column: [] for column in header}


def check_header(header, name):
    """BadInput for a column that stands twice, is misspelt, or is missing."""
    for column, count in Counter(header).items():
        if count > 1:
            raise BadInput(f"{name}: column {column!r} stands {count} times; keep one")
        if meant := labels.misspelt(column):
            raise BadInput(f"{name}: column {column!r} is unknown; rename it to {meant!r}")
    if "path" not in header:
        raise BadInput(
            f"{name}: no column 'path' (found: {', '.join(header)[:80]}); add one with the images"
        )


def checked(columns, name, folder, *, empty_ok, first_row):
    """The manifest of columns whose cells hold what they may; first_row: what messages call the
    first one."""
    manifest = Manifest(name, Path(folder), columns)
    if not len(manifest) and not empty_ok:
        raise BadInput(f"{name}: no rows; a manifest needs at least one image")
    check(manifest.columns, name, first_row)
    return manifest


def check(columns, name, first_row=2):
    """BadInput for the first cell that a known column cannot hold."""

    def refuse(column, row, text):
        cell = columns.array(column)[row].as_py()
        raise BadInput(f"{name}: row {row + first_row}, column {column}{text.format(cell=cell)}")

    for column in columns:
        if bounds := labels.value_range(column.removeprefix("target_")):
            row = columns.unfit_number(column, *bounds)
            if row is not None:
                hint = (
                    "FACS level / 5"
                    if labels.is_au(column.removeprefix("target_"))
                    else "a number"
                )
                refuse(
                    column,
                    row,
                    f": {{cell!r}} is not in [{bounds[0]:g}, {bounds[1]:g}]; "
                    f"write {hint}, or leave the cell empty",
                )
        elif column in ("au_kind", "source"):
            allowed = labels.AU_KINDS if column == "au_kind" else labels.SOURCES
            row = columns.unfit_text(column, [*allowed, ""])
            if row is not None:
                refuse(
                    column,
                    row,
                    f": {{cell!r}} is none of {', '.join(allowed)}; "
                    "use one of them or leave the cell empty",
                )
    row = columns.first_empty("path")
    if row is not None:
        refuse("path", row, " is empty; name the image or drop the row")
