"""Columns of text, held by Arrow: read from CSV or Parquet, looked through, written.

A million rows are read in seconds and held in about ten bytes a cell. `lib.manifest` knows what
the columns mean; it imports this module only where there is a table, as Arrow's start costs a
tenth of a second.
"""

import csv
import io
import os
import sys
from collections.abc import MutableMapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from lib import labels
from lib.manifest import number

BLOCK_BYTES = 4 << 20  # of a CSV file, read by one thread; no row may be longer
ROWS_A_WRITE = 50_000


class NoPandas:
    """An import finder that finds no pandas."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """ModuleNotFoundError for pandas; everything else is left to the next finder."""
        if name == "pandas":
            raise ModuleNotFoundError("not needed here")


# Arrow looks for pandas once, when it makes its first array; that import takes 0.2 s, and
# nothing here needs it
sys.meta_path.insert(0, NoPandas)
pa.array([0.5]).to_numpy()
sys.meta_path.remove(NoPandas)


class Columns(MutableMapping):
    """Column name -> list of N texts. A column stays an Arrow array until somebody asks for its
    list."""

    def __init__(self, columns=()):
        self.cells = dict(columns)  # name -> pa.ChunkedArray, or a list of texts

    def __getitem__(self, name):
        if isinstance(
            self.cells[name], pa.ChunkedArray
        ):  # the list stays, as its owner may change it
            self.cells[name] = self.array(name).to_pylist()
        return self.cells[name]

    def __setitem__(self, name, cells):
        self.cells[name] = cells

    def __delitem__(self, name):
        del self.cells[name]

    def __iter__(self):
        return iter(self.cells)

    def __len__(self):
        return len(self.cells)

    def __contains__(self, name):
        return name in self.cells

    def __ior__(self, other):
        self.update(other)
        return self

    def __repr__(self):
        return f"Columns({dict(self)})"

    def copy(self):
        """The same columns; to set or delete one in the copy leaves this one alone."""
        return Columns(self.cells)

    def height(self, name):
        """N, the number of cells in a column; 0 without it."""
        return len(self.cells.get(name, ()))

    def array(self, name):
        """A column as texts, pa.ChunkedArray of string [N]; "" where empty."""
        return as_text(self.cells[name])

    def floats(self, name):
        """A column as pa.ChunkedArray of float64 [N], null where empty. ValueError for what is no
        number."""
        cells = self.cells[name]
        if isinstance(cells, pa.ChunkedArray) and not pa.types.is_string(cells.type):
            return pc.cast(cells, pa.float64())
        cells = as_text(cells)
        known = pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
        try:
            return pc.cast(known, pa.float64())
        except pa.ArrowInvalid:  # Python reads more forms of a number, such as +1
            values = [None if cell is None else float(cell) for cell in known.to_pylist()]
            return pa.chunked_array([pa.array(values, pa.float64())])

    def numbers(self, name, default=np.nan):
        """A column as float32 [N]; an empty cell is `default`. ValueError for what is no
        number."""
        values = self.floats(name).to_numpy().astype(np.float32)
        return (
            values
            if np.isnan(default)
            else np.where(np.isnan(values), np.float32(default), values)
        )

    def distinct(self, name):
        """The different texts of a column, in order of their first row."""
        return pc.unique(self.array(name)).to_pylist()

    def put(self, name, rows, cells):
        """Set the cells of some rows, bool [N], to N cells or to one text; the others stay as they
        are, or are empty where the column is new."""
        new = pa.scalar(cells) if isinstance(cells, str) else as_text(cells)
        old = self.array(name) if name in self else pa.scalar("")
        self.cells[name] = chunked(pc.if_else(pa.array(rows), new, old))

    def equal(self, name, text):
        """bool [N]: which cells of a column are this text."""
        return pc.equal(self.array(name), text).to_numpy()

    def empty(self, name):
        """bool [N]: which cells of a column are empty."""
        return self.equal(name, "")

    def codes(self, name):
        """(int [N]: which of the different texts each row has, list of those texts)."""
        encoded = self.array(name).combine_chunks().dictionary_encode()
        encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
        return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()

    def take(self, indices):
        """The columns with the given rows, int [M], in that order."""
        rows = pa.array(indices)
        return Columns(
            {
                name: cells.take(rows)
                if isinstance(cells, pa.ChunkedArray)
                else [cells[i] for i in indices]
                for name, cells in self.cells.items()
            }
        )

    def unfit_number(self, name, low, high):
        """The first row whose cell is neither empty nor a number in [low, high]; None without
        one."""
        try:
            values = self.floats(name)
        except ValueError:
            return next(
                row
                for row, cell in enumerate(self.array(name).to_pylist())
                if cell and not fits(cell, low, high)
            )
        return first(pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high)), False)

    def unfit_text(self, name, allowed):
        """The first row whose cell is none of the texts `allowed`; None without one."""
        return first(pc.is_in(self.array(name), pa.array(allowed, pa.string())), False)

    def first_empty(self, name):
        """The first row whose cell is empty; None without one."""
        return first(self.array(name), "")


def first(cells, value):
    """The index of the first cell with a value, or None."""
    row = pc.index(cells, value).as_py()
    return None if row < 0 else row


def fits(cell, low, high):
    """Whether a text is a number in [low, high]."""
    try:
        return low <= float(cell) <= high
    except ValueError:
        return False


def as_text(cells):
    """Cells as texts, pa.ChunkedArray of string [N]: null is "", and of a list numbers as
    `lib.manifest.number` says."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind == "f":  # the same as `number`, at once
        values = np.round(cells.astype(np.float64), 4) + 0.0  # no -0
        cells = chunked(pa.array(values, from_pandas=True))
    elif not isinstance(cells, pa.ChunkedArray):
        return chunked(
            pa.array(
                [cell if isinstance(cell, str) else number(cell) for cell in cells], pa.string()
            )
        )
    if pa.types.is_string(cells.type):
        return cells
    return pc.fill_null(pc.cast(cells, pa.string()), "")


def chunked(cells):
    """An Arrow array in the form of this module."""
    return cells if isinstance(cells, pa.ChunkedArray) else pa.chunked_array([cells])


def concatenate(parts, heights):
    """One column of several: as_text arrays, or None for a part that lacks it (its height rows are
    empty)."""
    chunks = [
        chunk
        for part, height in zip(parts, heights)
        for chunk in (
            [pa.repeat(pa.scalar("", pa.string()), height)] if part is None else part.chunks
        )
    ]
    return pa.chunked_array(chunks, pa.string())


# ---- CSV ------------------------------------------------------------------------------------


def source(path):
    """The bytes of a file as an Arrow buffer: mapped, where it is a regular file (not a pipe)."""
    if os.path.isfile(path) and os.path.getsize(path):
        return pa.memory_map(str(path)).read_buffer()
    with open(path, "rb") as file:
        return pa.py_buffer(file.read())


def rows_of(buffer):
    """The rows of CSV bytes, one by one, as Python's csv module reads them."""
    return csv.reader(io.TextIOWrapper(pa.BufferReader(buffer), encoding="utf-8-sig", newline=""))


def simple(buffer):
    """(whether CSV bytes hold no quotation mark, whether they hold no space either: nothing but
    line ends and ASCII letters, digits and marks)."""
    letters = np.frombuffer(buffer, np.uint8)
    unquoted = spaceless = True
    for start in range(0, len(letters), BLOCK_BYTES):
        block = letters[start : start + BLOCK_BYTES]
        unquoted = unquoted and not (block == ord('"')).any()
        ends = np.count_nonzero(block == ord("\n")) + np.count_nonzero(block == ord("\r"))
        # from ! to ~; what is smaller wraps around to the largest bytes
        visible = np.count_nonzero(block - np.uint8(ord("!")) <= ord("~") - ord("!"))
        spaceless = spaceless and ends + visible == len(block)
    return unquoted, spaceless


def read_csv(buffer, header):
    """Columns of CSV bytes whose first row is `header`; blank lines are skipped, cells lose outer
    spaces.

    ValueError when rows have another number of cells, or it is no UTF-8 CSV."""
    unquoted, spaceless = simple(buffer)
    table = arrow_csv.read_csv(
        pa.BufferReader(buffer),
        read_options=arrow_csv.ReadOptions(
            column_names=header, skip_rows_after_names=1, block_size=BLOCK_BYTES
        ),
        # where every line end ends a row, blocks are cut without reading all that stands before
        parse_options=arrow_csv.ParseOptions(newlines_in_values=not unquoted),
        convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
    )
    trim = (lambda cells: cells) if unquoted and spaceless else pc.utf8_trim_whitespace
    return Columns({name: trim(table[name]) for name in header})


def write_csv(file, columns):
    """Write columns as CSV to a binary file: cells are quoted where they have to be."""
    arrays = [as_text(cells) for cells in columns.values()]
    header = io.StringIO()
    csv.writer(header, lineterminator="").writerow(columns)
    file.write(header.getvalue().encode() + b"\n")
    for start in range(0, len(arrays[0]) if arrays else 0, ROWS_A_WRITE):
        cells = [quoted(array.slice(start, ROWS_A_WRITE).combine_chunks()) for array in arrays]
        lines = pc.binary_join_element_wise(*cells, ",")
        whole = pa.ListArray.from_arrays([0, len(lines)], lines)
        file.write(pc.binary_join(whole, "\n")[0].as_buffer())
        file.write(b"\n")


def quoted(cells):
    """Cells as they stand in CSV: in quotation marks where they hold a comma, a quotation mark or
    a line end."""
    letters = bytes_of(cells)
    if not any(character in letters for character in b'",\r\n'):
        return cells
    special = pc.match_substring_regex(cells, '[",\r\n]')
    doubled = pc.replace_substring(cells, '"', '""')
    return pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), cells)


def bytes_of(cells):
    """The letters of a string array, one cell after the other."""
    if not len(cells):
        return b""
    _, ends, letters = cells.buffers()
    ends = np.frombuffer(ends, np.int32)[cells.offset : cells.offset + len(cells) + 1]
    return letters[ends[0] : ends[-1]].to_pybytes() if letters else b""


# ---- Parquet --------------------------------------------------------------------------------


def is_parquet(path):
    """Whether a manifest is a Parquet file, which its name says."""
    return str(path).lower().endswith(".parquet")


def read_parquet(path):
    """(columns, names in the file) of a Parquet file; numbers stay numbers until texts are asked
    for. ValueError for what is no such table."""
    from pyarrow import parquet

    table = parquet.read_table(path)
    columns = {}
    for name, cells in zip(table.column_names, table.columns):
        if pa.types.is_boolean(cells.type):
            cells = pc.cast(cells, pa.int8())
        elif pa.types.is_floating(cells.type):  # NaN is another maker's way to leave a cell empty
            cells = pc.if_else(pc.is_nan(cells), pa.scalar(None, cells.type), cells)
        elif not pa.types.is_integer(cells.type):
            cells = pc.utf8_trim_whitespace(as_text(cells))
        columns[name.strip()] = cells
    return Columns(columns), [name.strip() for name in table.column_names]


def write_parquet(path, columns):
    """Write columns as Parquet: labels and other known numbers as float64 with nulls, all else as
    text."""
    from pyarrow import parquet

    columns = Columns(columns)
    numeric = {name for name in columns if labels.value_range(name.removeprefix("target_"))}
    table = {
        name: columns.floats(name) if name in numeric else columns.array(name) for name in columns
    }
    parquet.write_table(pa.table(table), path)
