"""Manifests: CSV files with one image a row, the one form in which data flows between stages.

Columns: `path` (relative to the CSV; `pack.npy#17` is image 17 of a uint8 [N,H,W,3] array), then any of
`subject`, `AU01` … `AU64`, `au_kind`, `valence`, `arousal`, `expression`, `source`, `confidence`,
`weight`. An empty cell is unlabelled, which is not 0. Other columns pass through untouched.

    python -m lib.manifest merge a.csv b.csv --out all.csv     several manifests as one
    python -m lib.manifest check a.csv b.csv                   read them, say what is in them
    python -m lib.manifest check a.csv --apart v.csv t.csv     … and that nobody of v.csv or t.csv is in another one
    python -m lib.manifest count a.csv                         how many images
"""
import csv
import io
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lib import labels
from lib.cli import BadInput, arg, log, note, run
from lib.cli import parse as parse_options
from lib.files import digest, write_text


@dataclass
class Manifest:
    """A table of images and labels. Cells are kept as text, so that what is not touched stays the same."""

    name: str                       # file it came from, for messages
    folder: Path                    # what the column `path` is relative to
    columns: dict = field(default_factory=dict)  # name -> list of N texts

    def __len__(self):
        return len(self.columns.get("path", ()))

    @property
    def au_names(self):
        """AU columns in FACS order, e.g. ['AU01', 'AU02']."""
        return sorted(column for column in self.columns if labels.is_au(column))

    def numbers(self, column, default=np.nan):
        """A numeric column, float32 [N]; an absent column or empty cell is `default`."""
        cells = self.columns.get(column)
        if cells is None:
            return np.full(len(self), default, np.float32)
        return np.array([float(cell) if cell else default for cell in cells], np.float32)

    def aus(self, names=None):
        """AU values, float32 [N,A] in [0, 1], NaN where unlabelled or the manifest lacks the AU."""
        names = self.au_names if names is None else names
        table = [self.numbers(name) for name in names]
        return np.stack(table, 1) if table else np.zeros((len(self), 0), np.float32)

    def text(self, column, default=""):
        """A column as a list of N texts."""
        return self.columns.get(column, [default] * len(self))

    def images(self):
        """References to the images, N texts that lib.images.load understands."""
        return [reference(self.folder, path) for path in self.columns["path"]]

    def occurrence(self):
        """bool [N]: rows whose AUs are 0/1 occurrences without a level."""
        return np.array([kind == "occurrence" for kind in self.text("au_kind")], bool)

    def take(self, indices):
        """The manifest of the given rows (indices or a bool mask), in that order."""
        indices = np.arange(len(self))[np.asarray(indices)]
        columns = {name: [cells[i] for i in indices] for name, cells in self.columns.items()}
        return Manifest(self.name, self.folder, columns)

    def digest(self):
        """A hash of the rows, which models record as what they were trained on."""
        return digest(*(",".join([name, *cells]) for name, cells in self.columns.items()))

    def write(self, path):
        """Write as CSV; `path` cells are rewritten to be relative to the new place. `-` is stdout."""
        folder = Path.cwd() if str(path) == "-" else Path(path).parent
        columns = dict(self.columns)
        if os.path.abspath(folder) != os.path.abspath(self.folder):
            columns["path"] = [os.path.relpath(image, folder) for image in self.images()]
            for column in [name for name in columns if names_images(name)]:
                columns[column] = [cell and os.path.relpath(reference(self.folder, cell), folder)
                                   for cell in columns[column]]
        write(path, columns)


def names_images(column):
    """Whether a column beside `path` holds paths of images, relative to the manifest."""
    return column == "reference" or column.endswith("_path")


def reference(folder, path):
    """Where an image is: `path` as it stands when absolute, else below `folder`."""
    return path if os.path.isabs(path) else os.path.normpath(os.path.join(folder, path))


def number(value):
    """A number as a manifest holds it: at most 4 decimals, empty for NaN or None."""
    if value is None or value != value:
        return ""
    return f"{value:.4f}".rstrip("0").rstrip(".") or "0"


def write(path, columns):
    """Write {column: N cells} as CSV, replacing the file at once. Numbers get 4 decimals, NaN is empty."""
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of unequal length: {lengths}")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    cells = [[cell if isinstance(cell, str) else number(cell) for cell in column]
             for column in columns.values()]
    writer.writerows(zip(*cells))
    write_text(path, out.getvalue())


def read(path, *, empty_ok=False):
    """Read and check a manifest; `-` is stdin. BadInput names file, row, column, value and remedy."""
    return parse(*read_text(path), empty_ok=empty_ok)


def read_text(path):
    """(text, name for messages, folder of its paths) of a CSV file, or of stdin for `-`."""
    name, folder = ("stdin", Path.cwd()) if str(path) == "-" else (str(path), Path(path).parent)
    try:
        raw = sys.stdin.buffer.read() if name == "stdin" else Path(path).read_bytes()
        return raw.decode("utf-8-sig"), name, folder
    except FileNotFoundError:
        raise BadInput(f"{name}: no such manifest; give the CSV that lists the images") from None
    except IsADirectoryError:
        raise BadInput(f"{name}: is a folder; give the CSV that lists the images") from None
    except OSError as error:
        raise BadInput(f"{name}: cannot be read ({error.strerror}); give a CSV that can be") from None
    except UnicodeDecodeError:
        raise BadInput(f"{name}: not a CSV text file; a manifest is UTF-8 CSV") from None


def parse(text, name, folder, *, empty_ok=False):
    """Manifest from CSV text; see `read`."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise BadInput(f"{name}: not CSV ({error}); is a quotation mark left open?") from None
    if not rows:
        raise BadInput(f"{name}: empty file; a manifest starts with a header line such as path,AU01,AU02")
    header = [column.strip() for column in rows[0]]
    for column, count in Counter(header).items():
        if count > 1:
            raise BadInput(f"{name}: column {column!r} stands {count} times; keep one")
        if meant := labels.misspelt(column):
            raise BadInput(f"{name}: column {column!r} is unknown; rename it to {meant!r}")
    if "path" not in header:
        raise BadInput(f"{name}: no column 'path' (found: {', '.join(header)[:80]}); add one with the images")
    body = [row for row in rows[1:] if row]
    for line, row in enumerate(rows[1:], 2):
        if row and len(row) != len(header):
            raise BadInput(f"{name}: row {line} has {len(row)} cells, the header {len(header)}; quote commas")
    if not body and not empty_ok:
        raise BadInput(f"{name}: no rows; a manifest needs at least one image")
    columns = {column: [row[i].strip() for row in body] for i, column in enumerate(header)}
    check(columns, name)
    return Manifest(name, Path(folder), columns)


def check(columns, name):
    """BadInput for the first cell that a known column cannot hold."""
    for column, cells in columns.items():
        if bounds := labels.value_range(column.removeprefix("target_")):
            for row, cell in enumerate(cells, 2):
                try:
                    fits = not cell or bounds[0] <= float(cell) <= bounds[1]
                except ValueError:
                    fits = False
                if not fits:
                    hint = "FACS level / 5" if labels.is_au(column.removeprefix("target_")) else "a number"
                    raise BadInput(f"{name}: row {row}, column {column}: {cell!r} is not in "
                                   f"[{bounds[0]:g}, {bounds[1]:g}]; write {hint}, or leave the cell empty")
        elif column in ("au_kind", "source"):
            allowed = labels.AU_KINDS if column == "au_kind" else labels.SOURCES
            for row, cell in enumerate(cells, 2):
                if cell and cell not in allowed:
                    raise BadInput(f"{name}: row {row}, column {column}: {cell!r} is none of "
                                   f"{', '.join(allowed)}; use one of them or leave the cell empty")
    for row, cell in enumerate(columns["path"], 2):
        if not cell:
            raise BadInput(f"{name}: row {row}, column path is empty; name the image or drop the row")


def merge(manifests, folder):
    """One manifest with all rows; a column that a part lacks is empty there. Paths become relative to
    `folder`."""
    names = list(dict.fromkeys(column for part in manifests for column in part.columns))
    columns = {name: [] for name in names}
    for part in manifests:
        for name in names:
            cells = part.text(name)
            if name == "path" or names_images(name):
                cells = [cell and os.path.relpath(reference(part.folder, cell), folder) for cell in cells]
            columns[name].extend(cells)
    return Manifest("+".join(part.name for part in manifests), Path(folder), columns)


def refuse_overwriting(sources, *targets):
    """BadInput when a file to write is one of the manifests that were read; `-` and '' name no file."""
    places = {os.path.realpath(target) for target in targets}
    for source in sources:
        if source not in ("", "-") and os.path.realpath(source) in places:
            raise BadInput(f"{source}: would be overwritten by what is made of it; choose another --out")


def check_disjoint(first, second, allow=False):
    """BadInput when a subject is in both manifests, unless `allow`ed (personalisation)."""
    shared = sorted((set(first.text("subject")) & set(second.text("subject"))) - {""})
    if shared and not allow:
        raise BadInput(f"{first.name} and {second.name} share {len(shared)} subject(s), such as {shared[0]!r}; "
                       "split by subject, or say --allow-shared-subjects (make: "
                       "ALLOW_SHARED_SUBJECTS=1) if it is meant")


def mode(registration):
    """How faces were aligned, without the size in pixels: 'crop' of 'crop-128', '' of ''."""
    name, _, size = registration.rpartition("-")
    return name if size.isdigit() else registration


def registration(manifests, validation=None):
    """How the faces of all rows were registered, such as '3d-64' (the first row's size), where that is one and the
    same way; else '', which is said, as a model of such rows cannot tell later what it expects.

    validation: a manifest of which it is said, too, when its rows are registered otherwise."""
    found = list(dict.fromkeys(text for part in manifests for text in part.text("registration")))
    if len(set(map(mode, found))) > 1:
        note(f"warning: {'+'.join(part.name for part in manifests)}: registered in several ways "
             f"({', '.join(text or 'unregistered' for text in found)}), so the model remembers none; register all "
             "images alike (python -m lib.faces.register)")
        return ""
    expected = found[0] if found else ""
    others = {text for text in validation.text("registration") if mode(text) != mode(expected)} if validation else ()
    if others:
        note(f"warning: {validation.name} is {', '.join(text or 'unregistered' for text in sorted(others))}, the training "
             f"images are {expected or 'unregistered'}; register all images alike (python -m lib.faces.register)")
    return expected


def describe(manifest):
    """Facts about a manifest, for a person: rows, subjects, and per AU how many are labelled and present."""
    subjects = len(set(manifest.text("subject")) - {""})
    lines = [f"{manifest.name}: {len(manifest)} images, {subjects} subjects"]
    for name in manifest.au_names:
        values = manifest.numbers(name)
        known = values[~np.isnan(values)]
        present = int((known >= labels.PRESENT_INTENSITY).sum())
        lines.append(f"  {name}: {len(known)} labelled, {present} present, mean {known.mean() if len(known) else 0:.3f}")
    return "\n".join(lines)


@dataclass
class Options:
    action: str = arg(args=["action"], choices=["merge", "check", "count"], metavar="merge|check|count",
                      help="merge: several manifests as one; check: say what is in each; count: print the number of rows")
    manifests: list[str] = arg(args=["manifests"], nargs="+", metavar="FILE.csv", help="the manifests; - is stdin")
    out: str = arg("-", help="where merge writes; - is stdout", metavar="FILE.csv", writes="file")
    apart: list[str] = arg([], nargs="+", metavar="FILE.csv", help="check: manifests whose people are in no other one")
    allow_shared_subjects: bool = arg(False, help="check: let them be")


def check_apart(parts, apart, allow):
    """BadInput when a subject of one of the manifests `apart` is in another of all; says where none is named."""
    for i, held in enumerate(apart):
        for other in [*parts, *apart[:i]]:
            check_disjoint(other, held, allow)
    for part in [*parts, *apart]:
        if not any(part.text("subject")):
            note(f"{part.name}: names no subjects; whether its people are elsewhere cannot be told")


def main():
    options = parse_options(Options, __doc__)
    parts = [read(path) for path in options.manifests]
    if options.action == "check":
        apart = [read(path) for path in options.apart]
        check_apart(parts, apart, options.allow_shared_subjects)
        for part in parts + apart:
            log(describe(part))
    elif options.action == "count":
        write_text("-", f"{sum(map(len, parts))}\n")
    else:
        merge(parts, Path.cwd() if options.out == "-" else Path(options.out).parent).write(options.out)


if __name__ == "__main__":
    run(main)
