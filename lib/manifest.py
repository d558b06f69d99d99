"""Manifests: tables with one image a row, the one form in which data flows between stages.

CSV, or Parquet where the file is called so (a.parquet). Columns: `path` (relative to the file;
`pack.npy#17` is image 17 of a uint8 [N,H,W,3] array), then any of `subject`, `session`,
`registration`, `reference` (a person's neutral or mean image, relative like `path`), `AU01` …
`AU64`, `au_kind`, `valence`, `arousal`, `expression`, `source`, `confidence`, `weight`. An empty
cell is unlabelled, which is not 0. Other columns pass through untouched.

    python -m lib.manifest merge a.csv b.csv --out all.csv     several manifests as one
    python -m lib.manifest merge p-*of4.csv --out all.csv      … of shards: all four must be there
    python -m lib.manifest check a.csv b.csv                   read them, say what is in them
    python -m lib.manifest check a.csv --apart v.csv t.csv     … and that nobody there is elsewhere
    python -m lib.manifest count a.csv                         how many images
    python -m lib.manifest levels a.csv                        … and how many have an AU's level
"""

import os
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lib import labels
from lib.cli import BadInput, arg, log, naming, note, parse as parse_options, run
from lib.files import digest, replacing, write_text

SUFFIXES = (".csv", ".parquet")  # of a manifest's file


@dataclass
class Manifest:
    """A table of images and labels. Cells are kept as text, so that what is not touched stays the
    same."""

    name: str  # file it came from, for messages
    folder: Path  # what the column `path` is relative to
    columns: dict = field(default_factory=dict)  # name -> list of N texts (lib.table.Columns)

    def __post_init__(self):
        from lib.table import Columns

        self.columns = self.columns if isinstance(self.columns, Columns) else Columns(self.columns)

    def __len__(self):
        return self.columns.height("path")

    @property
    def au_names(self):
        """AU columns in FACS order, e.g. ['AU01', 'AU02']."""
        return sorted(column for column in self.columns if labels.is_au(column))

    def numbers(self, column, default=np.nan):
        """A numeric column, float32 [N]; an absent column or empty cell is `default`."""
        if column not in self.columns:
            return np.full(len(self), default, np.float32)
        return self.columns.numbers(column, default)

    def aus(self, names=None):
        """AU values, float32 [N,A] in [0, 1], NaN where unlabelled or the manifest lacks the
        AU."""
        names = self.au_names if names is None else names
        table = [self.numbers(name) for name in names]
        return np.stack(table, 1) if table else np.zeros((len(self), 0), np.float32)

    def levels(self, names=None):
        """AU values as `aus` gives them, NaN also in rows of occurrences, which have no level."""
        return np.where(self.occurrence()[:, None], np.float32(np.nan), self.aus(names))

    def present(self, names=None):
        """Whether each AU is present, float32 [N,A]: 1, 0, or NaN where unlabelled. An intensity
        counts from level 2 of 5 on, an occurrence (column au_kind) from 0.5 on."""
        names = self.au_names if names is None else names
        limits = self.limits()
        out = np.empty((len(self), len(names)), np.float32)
        for column, name in zip(out.T, names):  # one AU at a time: a million rows stay small
            values = self.numbers(name)
            column[:] = np.where(np.isnan(values), np.nan, values >= limits)
        return out

    def limits(self):
        """The value from which a row's AUs count as present, float32 [N]."""
        limits = np.where(self.occurrence(), labels.PRESENT_OCCURRENCE, labels.PRESENT_INTENSITY)
        return limits.astype(np.float32)  # as the values are: 0.4 reaches 0.4

    def text(self, column, default=""):
        """A column as a list of N texts."""
        return self.columns[column] if column in self.columns else [default] * len(self)

    def empty(self, column):
        """bool [N]: rows whose cell is empty; all, without the column."""
        return self.columns.empty(column) if column in self.columns else np.full(len(self), True)

    def distinct(self, column):
        """The different texts of a column, in order of their first row; [""] without the
        column."""
        if column not in self.columns:
            return [""] if len(self) else []
        return self.columns.distinct(column)

    def images(self):
        """References to the images, N texts that lib.images.load understands."""
        return moved(self.columns["path"], lambda path: reference(self.folder, path))

    def occurrence(self):
        """bool [N]: rows whose AUs are 0/1 occurrences without a level."""
        if "au_kind" not in self.columns:
            return np.zeros(len(self), bool)
        return self.columns.equal("au_kind", "occurrence")

    def take(self, indices):
        """The manifest of the given rows (indices, a slice or a bool mask), in that order."""
        if not isinstance(indices, slice):
            indices = np.asarray(indices)
            indices = indices if indices.size else indices.astype(int)  # [] is of floats
        rows = np.arange(len(self))[indices]
        return Manifest(self.name, self.folder, self.columns.take(rows))

    def relocated(self, folder):
        """The columns, with the paths of images relative to another folder."""
        columns = self.columns.copy()
        if os.path.abspath(folder) == os.path.abspath(self.folder):
            return columns
        for name in [name for name in columns if name == "path" or names_images(name)]:
            columns[name] = moved(
                columns[name],
                lambda path: path and os.path.relpath(reference(self.folder, path), folder),
            )
        return columns

    def digest(self):
        """A hash of the rows, which models record as what they were trained on."""
        return digest(
            *(",".join([name, *self.columns.array(name).to_pylist()]) for name in self.columns)
        )

    def write(self, path):
        """Write as CSV or Parquet; paths of images become relative to the new place. `-` is
        stdout."""
        folder = Path.cwd() if str(path) == "-" else Path(path).parent
        write(path, self.relocated(folder))


def moved(paths, move):
    """Paths of images as `move` rewrites them. It is asked once for each folder: a million files
    lie in few."""
    folders, out = {}, []
    for path in paths:
        name = path.rpartition("/")[2]
        folder = path[: len(path) - len(name)]
        if name in ("", ".", "..") or os.sep != "/":
            out.append(move(path))
            continue
        if folder not in folders:
            folders[folder] = move(folder + "x")[:-1]
        out.append(folders[folder] + name)
    return out


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
    return f"{value:z.4f}".rstrip("0").rstrip(".")


def write(path, columns):
    """Write {column: N cells} as CSV or, for a name that ends in .parquet, as Parquet, replacing
    the file at once. Numbers get 4 decimals, NaN is empty. `-` is stdout."""
    from lib import table

    columns = table.Columns(columns.cells if isinstance(columns, table.Columns) else columns)
    lengths = {name: columns.height(name) for name in columns}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of unequal length: {lengths}")
    if str(path) == "-":
        with naming("stdout"):
            sys.stdout.flush()
            table.write_csv(sys.stdout.buffer, columns.cells)
            sys.stdout.flush()
        return
    with replacing(path) as temporary:
        if table.is_parquet(path):
            table.write_parquet(temporary, columns.cells)
        else:
            with open(temporary, "wb") as file:
                table.write_csv(file, columns.cells)


def read(path, *, empty_ok=False):
    """Read and check a manifest; `-` is stdin. BadInput names file, row, column, value and
    remedy."""
    from lib import manifest_reading

    return manifest_reading.read(path, empty_ok=empty_ok)


def parse(text, name, folder, *, empty_ok=False):
    """Manifest from CSV text or bytes; see `read`."""
    from lib import manifest_reading

    return manifest_reading.parse(text, name, folder, empty_ok=empty_ok)


def merge(manifests, folder):
    """One manifest with all rows; a column that a part lacks is empty there. Paths become relative
    to `folder`."""
    from lib import table

    names = list(dict.fromkeys(column for part in manifests for column in part.columns))
    parts = [part.relocated(folder) for part in manifests]
    heights = list(map(len, manifests))
    columns = {
        name: table.concatenate(
            [part.array(name) if name in part else None for part in parts], heights
        )
        for name in names
    }
    return Manifest("+".join(part.name for part in manifests), Path(folder), columns)


def refuse_overwriting(sources, *targets):
    """BadInput when a file or folder that was read is one of those to write, or lies in one; `-`
    and '' name no file."""
    places = [Path(os.path.realpath(target)) for target in targets]
    for source in sources:
        real = Path(os.path.realpath(source))
        if source not in ("", "-") and any(real.is_relative_to(place) for place in places):
            raise BadInput(
                f"{source}: would be overwritten by what is made of it; choose another --out"
            )


def check_disjoint(first, second, allow=False):
    """BadInput when a subject is in both manifests, unless `allow`ed (personalisation)."""
    shared = sorted((set(first.distinct("subject")) & set(second.distinct("subject"))) - {""})
    if shared and not allow:
        raise BadInput(
            f"{first.name} and {second.name} share {len(shared)} subject(s), "
            f"such as {shared[0]!r}; "
            "split by subject, or say --allow-shared-subjects (make: "
            "ALLOW_SHARED_SUBJECTS=1) if it is meant"
        )


def mode(registration):
    """How faces were aligned, without the size in pixels: 'crop' of 'crop-128', '' of ''."""
    name, _, size = registration.rpartition("-")
    return name if size.isdigit() else registration


def registration(manifests, validation=None):
    """How the faces of all rows were registered, such as '3d-64' (the first row's size), where
    that is one and the same way; else '', which is said, as a model of such rows cannot tell later
    what it expects.

    validation: a manifest of which it is said, too, when its rows are registered otherwise."""
    found = list(
        dict.fromkeys(text for part in manifests for text in part.distinct("registration"))
    )
    if len(set(map(mode, found))) > 1:
        note(
            f"warning: {'+'.join(part.name for part in manifests)}: registered in several ways "
            f"({', '.join(text or 'unregistered' for text in found)}), "
            "so the model remembers none; register all "
            "images alike (python -m lib.faces.register)"
        )
        return ""
    expected = found[0] if found else ""
    others = (
        {text for text in validation.distinct("registration") if mode(text) != mode(expected)}
        if validation
        else ()
    )
    if others:
        has = ", ".join(text or "unregistered" for text in sorted(others))
        note(
            f"warning: {validation.name} is {has}, the training "
            f"images are {expected or 'unregistered'}; register all images alike "
            "(python -m lib.faces.register)"
        )
    return expected


def describe(manifest):
    """Facts about a manifest, for a person: rows, subjects, and per AU how many are labelled and
    present."""
    subjects = len(set(manifest.distinct("subject")) - {""})
    lines = [f"{manifest.name}: {len(manifest)} images, {subjects} subjects"]
    limits = manifest.limits()
    for name in manifest.au_names:
        values = manifest.numbers(name)
        known = values[~np.isnan(values)]
        present = int((values >= limits).sum())  # NaN, an unlabelled row, reaches nothing
        lines.append(
            f"  {name}: {len(known)} labelled, {present} present, "
            f"mean {known.mean() if len(known) else 0:.3f}"
        )
    return "\n".join(lines)


def check_shards(paths):
    """BadInput when files called *-1of4.csv, *-2of4.csv … are merged and one of them is lacking,
    or there twice: a shard that failed would leave a hole that nobody sees."""
    found = {}
    for path in paths:
        if match := re.fullmatch(r"(.*?)-?(\d+)of(\d+)", Path(path).stem):
            stem, part, parts = match.groups()
            found.setdefault((str(Path(path).parent / stem), int(parts)), []).append(int(part))
    for (stem, parts), numbers in found.items():
        lacking = sorted(set(range(1, parts + 1)) - set(numbers))
        if lacking:
            raise BadInput(
                f"{stem}: shard {lacking[0]} of {parts} is not among the files ({len(lacking)} of "
                f"{parts} are lacking); run --shard {lacking[0]}/{parts} again, "
                "or name its file too"
            )
        if len(numbers) > parts:
            raise BadInput(
                f"{stem}: shard {Counter(numbers).most_common(1)[0][0]} of {parts} is named twice; "
                "name each file once"
            )


@dataclass
class Options:
    action: str = arg(
        args=["action"],
        choices=["merge", "check", "count", "levels"],
        metavar="merge|check|count|levels",
        help="merge: several manifests as one; check: say what is in each; "
        "count: print the number of rows; levels: print the number of rows that have the level "
        "of an AU, and not only occurrences",
    )
    manifests: list[str] = arg(
        args=["manifests"], nargs="+", metavar="FILE.csv", help="the manifests; - is stdin"
    )
    out: str = arg("-", help="where merge writes; - is stdout", metavar="FILE.csv", writes="file")
    apart: list[str] = arg(
        [], nargs="+", metavar="FILE.csv", help="check: manifests whose people are in no other one"
    )
    allow_shared_subjects: bool = arg(False, help="check: let them be")


def check_apart(parts, apart, allow):
    """BadInput when a subject of one of the manifests `apart` is in another of all; says where
    none is named."""
    for i, held in enumerate(apart):
        for other in [*parts, *apart[:i]]:
            check_disjoint(other, held, allow)
    for part in [*parts, *apart]:
        if not any(part.distinct("subject")):
            note(
                f"{part.name}: names no subjects; whether its people are elsewhere cannot be told"
            )


def main():
    options = parse_options(Options, __doc__)
    if options.action == "merge":
        check_shards(options.manifests)
    parts = [read(path) for path in options.manifests]
    if options.action == "check":
        apart = [read(path) for path in options.apart]
        check_apart(parts, apart, options.allow_shared_subjects)
        for part in parts + apart:
            log(describe(part))
    elif options.action == "count":
        write_text("-", f"{sum(map(len, parts))}\n")
    elif options.action == "levels":
        have = sum(int((~np.isnan(part.levels())).any(1).sum()) for part in parts)
        write_text("-", f"{have}\n")
    else:
        merge(parts, Path.cwd() if options.out == "-" else Path(options.out).parent).write(
            options.out
        )


if __name__ == "__main__":
    run(main)
