"""What has been registered so far, one JSON line a picture: a killed run goes on where it
stopped."""
import json
from pathlib import Path

from lib import images
from lib.cli import BadInput, naming

A_FOLDER = 1000  # images


def face_path(number):
    """Where face `number` lies: 'faces/000/000017.png'."""
    return f"faces/{number // A_FOLDER:03d}/{number:06d}.png"


class Journal:
    """The record of a folder. Its first line holds the settings, which all later runs must share.

    >>> with Journal("DIR", {"registration": "3d-128"}) as journal: journal.has(item)
    """

    FILE = "registered.jsonl"

    def __init__(self, out, settings):
        self.out, self.entries, self.count = Path(out), {}, 0
        path = self.path = self.out / self.FILE
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        # a line that was cut short is written anew
        whole = sum(len(line) + 1 for line in lines[:-1])
        if whole:
            self._read(lines[:-1], settings)
        self.out.mkdir(parents=True, exist_ok=True)
        self.file = open(path, "r+b" if path.exists() else "w+b")
        self.file.truncate(whole)
        self.file.seek(whole)
        if not whole:
            self._write(settings)

    def _read(self, lines, settings):
        try:
            first, *rest = map(json.loads, lines)
        except ValueError as error:
            raise BadInput(f"{self.out / self.FILE}: damaged ({error}); "
                           "remove it to do everything again") from None
        if first != settings:
            differing = ", ".join(
                f"{key} {first.get(key)}, now {settings.get(key)}"
                for key in {**first, **settings} if first.get(key) != settings.get(key)
            )
            raise BadInput(f"{self.out}: was {self.FILE.partition('.')[0]} with {differing}; "
                           "give another --out")
        for entry in rest:
            self.entries[entry["reference"]] = entry
            self.count = max(self.count, entry["number"] + 1)

    def _write(self, entry):
        with naming(self.path):
            self.file.write(json.dumps(entry).encode() + b"\n")
            self.file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with naming(self.path):  # tries once more to write what a full disk refused
            self.file.close()

    def __getitem__(self, item):
        return self.entries[item.reference]

    def has(self, item):
        """Whether an Item is done, its file unchanged since, and its face still there."""
        entry = self.entries.get(item.reference)
        return bool(entry) and entry["stamp"] == item.stamp and \
            ("error" in entry or all((self.out / path).exists() for path in self.paths(entry)))

    def paths(self, entry):
        """The pictures of an entry, relative to the folder."""
        return [entry["path"]]

    def _enter(self, item, **facts):
        old = self.entries.get(item.reference)
        number = old["number"] if old else self.count  # a picture that changed keeps its place
        self.count = max(self.count, number + 1)
        return {"reference": item.reference, "stamp": item.stamp, "number": number, **facts}

    def _record(self, item, entry):
        self._write(entry)
        self.entries[item.reference] = entry
        return entry

    def fail(self, item, reason):
        """Record that an Item has no usable face; returns the entry."""
        return self._record(item, self._enter(item, error=reason))

    def add(self, item, face):
        """Write an Item's registered face, then record it; returns the entry."""
        entry = self._enter(item, confidence=round(face.confidence, 4),
                            centre=[round(x, 2) for x in face.centre])
        entry["path"] = face_path(entry["number"])
        images.save(self.out / entry["path"], face.picture)
        return self._record(item, entry)
