"""What every importer of a real data set shares: options, frames, what was dropped, the manifest.

An importer reads a data set's folder as its owner has it and writes DIR/manifest.csv (last),
DIR/dropped.csv (path,reason) and, with --pack, DIR/images.npy. Nothing is written inside ROOT.
Missing markers become empty cells; AU levels become level/5.
"""
import functools
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lib import images, labels, manifest
from lib.cli import BadInput, arg, log, note, parse, progress, say_notes
from lib.files import replacing

is_au = functools.cache(labels.is_au)  # asked for every cell
_FIRST = ("path", "subject")
_THEN = ("au_kind", "valence", "arousal", "expression", "source", "confidence", "weight",
         "partition", "video", "frame", "time")


@dataclass(kw_only=True)
class Options:
    root: str = arg(args=["root"], metavar="ROOT",
                    help="the data set's folder, as its owner has it")
    out: str = arg(required=True, metavar="DIR",
                   help="where manifest.csv and dropped.csv are written", writes="folder")
    aus: list[str] = arg([], nargs="+", metavar="AU",
                         help="import these action units only, e.g. 1 2 4 AU12")
    stride: int = arg(
        1, help="keep every n-th frame of a video (or n-th image of a set of photos)", least=1
    )
    drop_unlabelled: bool = arg(False, help="drop images without a single label")
    drop_inactive: bool = arg(
        False, help="drop images on which no AU is present, as Richer's data set does"
    )
    pack: bool = arg(False,
                     help="decode the images into DIR/images.npy (else they stay where they are)")
    size: int = arg(128, help="side of packed images, in pixels", least=1)

    def __post_init__(self):
        self.aus = [labels.parse_au(name) for name in self.aus]


class Collection:
    """Rows as they are found, and what was dropped. `au_kind`, `source`: the same for all rows."""

    def __init__(self, options, data_set, au_kind="intensity", source="real"):
        self.options, self.data_set, self.au_kind, self.source = options, data_set, au_kind, source
        self.out = Path(os.path.realpath(options.out))
        root = os.path.realpath(options.root)
        if os.path.isdir(root) and os.path.commonpath([root, self.out]) == root:
            raise BadInput(f"--out {options.out} lies inside {options.root}, "
                           "where nothing is written; choose a folder elsewhere")
        self.paths, self.columns, self.dropped, self.notes = [], {}, [], Counter()
        self.seen_aus, self.wanted = set(), set(options.aus)
        self.registered = False  # whether the frames are those of a manifest, which count from 0
        self.present = (
            labels.PRESENT_INTENSITY if au_kind == "intensity" else labels.PRESENT_OCCURRENCE
        )

    def add(self, path, cells, name=""):
        """One image: its absolute path (or pack.npy#17) and {column: cell}; empty cells may be
        left out. `name` stands for it in dropped.csv."""
        labelled = active = False
        row = len(self.paths)
        for column, cell in cells.items():
            if is_au(column):
                self.seen_aus.add(column)
                if self.wanted and column not in self.wanted:
                    continue
                labelled |= cell != ""
                active = active or cell != "" and float(cell) >= self.present
            elif column in ("valence", "arousal", "expression"):
                labelled |= cell != ""
            if cell:
                known = self.columns.setdefault(column, [])
                known.extend([""] * (row - len(known)))
                known.append(cell)
        if (self.options.drop_unlabelled and not labelled
                or self.options.drop_inactive and not active):
            for known in self.columns.values():
                del known[row:]
            self.drop(name or path, "no AU present" if labelled else "unlabelled")
            return
        self.notes["unlabelled rows"] += not labelled
        self.paths.append(path)

    def drop(self, path, reason):
        """Something that does not reach the manifest, and why."""
        self.dropped.append((str(path), reason))

    def table(self):
        """The manifest's columns in their order, {name: N cells}; `path` relative to DIR."""
        if absent := sorted(self.wanted - self.seen_aus):
            raise BadInput(f"--aus {absent[0]}: {self.data_set} as it lies here has no such label "
                           f"(it has {' '.join(sorted(self.seen_aus)) or 'none'})")
        rows = len(self.paths)
        for column in self.columns.values():
            column.extend([""] * (rows - len(column)))
        aus = sorted(self.wanted or filter(is_au, self.columns))
        silent = [] if self.wanted else sorted(self.seen_aus - set(self.columns))
        if silent:
            note(f"{self.data_set}: no label at all, left out: {' '.join(silent)}")
        blank = [""] * rows
        out = {"path": self.relative(), "subject": self.columns.get("subject", blank)}
        out |= {name: self.columns.get(name, blank) for name in aus}
        given = self.columns | {"au_kind": [self.au_kind if aus else ""] * rows}
        given["source"] = [cell or self.source for cell in given.get("source", blank)]
        out |= {name: given.get(name, blank) for name in _THEN}
        out |= {name: cells for name, cells in self.columns.items() if not is_au(name)
                and name not in _FIRST + _THEN}
        return {name: cells for name, cells in out.items()
                if name in aus or name == "path" or any(cells)}

    def relative(self):
        """Paths relative to DIR; absolute ones where DIR lies behind a link, so that `..` would
        lead elsewhere."""
        folders, typed = {}, os.path.abspath(self.options.out)
        for folder in dict.fromkeys(map(os.path.dirname, self.paths)):
            near = os.path.relpath(folder, self.out)
            same = (os.path.realpath(os.path.normpath(os.path.join(typed, near)))
                    == os.path.realpath(folder))
            folders[folder] = near if same else folder
        return [os.path.join(folders[os.path.dirname(path)], os.path.basename(path))
                for path in self.paths]

    def write(self):
        """Write DIR/images.npy with --pack, dropped.csv, and the manifest last; say what came of
        it."""
        table = self.table()
        self.need_some(table["path"])
        if self.options.pack:
            table = self.pack(table)
        said = self.write_dropped()
        manifest.write(self.out / "manifest.csv", table)
        subjects = len(set(table.get("subject", ())) - {""})
        aus = [name for name in table if is_au(name)]
        log(f"{self.data_set}: {len(table['path'])} images, {subjects} subjects, {len(aus)} AUs "
            f"-> {self.options.out}/manifest.csv")
        say_notes()
        for text, count in self.notes.items():
            if count:
                log(f"  {text}: {count}")
        if said:
            log(f"  dropped {len(self.dropped)}: {said} (dropped.csv)")

    def write_dropped(self):
        """Write DIR/dropped.csv; how many were dropped by reason, as text."""
        manifest.write(self.out / "dropped.csv", {"path": [path for path, _ in self.dropped],
                                                  "reason": [reason for _, reason in self.dropped]})
        reasons = Counter(reason for _, reason in self.dropped)
        return "; ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))

    def need_some(self, rows):
        """BadInput when no rows are left."""
        if not rows:
            why = "no image was found; give the data set's own folder, or say where its images lie"
            if self.dropped:
                why = f"dropped: {self.write_dropped()}; see {self.options.out}/dropped.csv"
            raise BadInput(f"{self.options.root}: not one image reaches the manifest ({why})")

    def pack(self, table):
        """Decode into DIR/images.npy, uint8 [N,size,size,3]; images that cannot be decoded are
        dropped (their slots stay black and no row names them). Returns the table of the others."""
        size, failed, squeezed = self.options.size, {}, []
        aligned = table.get("registration", [""] * len(self.paths))

        def one(i):
            try:
                image = images.load(self.paths[i])
                if image.shape[0] != image.shape[1] and not aligned[i]:
                    squeezed.append(i)
                array[i] = images.resize(image, size)
            except BadInput as error:
                failed[i] = str(error).partition(": ")[2].partition(";")[0]

        with replacing(self.out / "images.npy") as temporary:
            array = images.new_pack(temporary, len(self.paths), size)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for _ in progress(pool.map(one, range(len(array))), total=len(array),
                                  what="packing", unit="image"):
                    pass
            array.flush()
            if squeezed:
                note(f"{len(squeezed)} of {len(array)} images are not square and were squeezed "
                     "into squares, whatever they show; python -m lib.faces.register makes "
                     "square faces of them")
            for i in sorted(failed):
                self.drop(table["path"][i], failed[i])
            kept = [i for i in range(len(self.paths)) if i not in failed]
            self.need_some(kept)
            # never an old manifest beside new images
            (self.out / "manifest.csv").unlink(missing_ok=True)
        out = {name: [cells[i] for i in kept] for name, cells in table.items()}
        return out | {"path": [f"images.npy#{i}" for i in kept], "original_path": out["path"]}


def strided(items, stride, video):
    """Every stride-th item of each video (`video(item)` names it), in order."""
    seen = Counter()
    kept = []
    for item in items:
        if seen[video(item)] % stride == 0:
            kept.append(item)
        seen[video(item)] += 1
    return kept


def add_photos(collection, photos, video=lambda photo: ""):
    """Add photos: [(name, absolute path or '' when missing, {column: cell})]. Those that belong to
    no video are strided as one set, others by video(photo)."""
    for name, path, cells in progress(strided(photos, collection.options.stride, video),
                                      what="rows", unit="image"):
        if path:
            collection.add(path, cells, name)
        else:
            collection.drop(name, "no image for this label")


def drop_unnamed(collection, paths):
    """List images that no label speaks of."""
    for path in paths:
        collection.drop(path, "no label of this image")


def main(options, collect, description):
    """Parse argv, collect, write: what each importer's main does."""
    collect(parse(options, description)).write()
