"""Folders as their owners have them: files listed once, found by templates, label texts read and
checked.

A template is a path with named parts: `*` is anything within a name, `**/` any folders (or none),
`{subject}` a part to remember, `{frame:d}` a whole number, `{subject:SN\\d+}` a part that matches
a regular expression; a name used twice must match the same text. Letter case does not matter.
"""
import csv
import functools
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from lib.cli import BadInput
from lib.manifest import number

IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
VIDEOS = {".avi", ".mp4", ".mov", ".mkv", ".mpg", ".mpeg", ".wmv", ".webm", ".m4v"}
# what the data sets write for "not labelled"; no level is one of them
MISSING = {-1.0, -2.0, -5.0, 9.0, 999.0}
EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger",
               "contempt", "other")
_SYNONYMS = {"happy": "happiness", "joy": "happiness", "joyful": "happiness", "smile": "happiness",
             "sad": "sadness", "surprised": "surprise", "afraid": "fear", "fearful": "fear",
             "scared": "fear", "disgusted": "disgust", "angry": "anger",
             "contemptuous": "contempt", "neutrality": "neutral"}
_PART = re.compile(r"\{(\w+)(?::([^{}]*(?:\{\d+\}[^{}]*)*))?\}|(\*\*/)|(\*)")


def natural(text):
    """Sort key by which 'T2' comes before 'T10'."""
    return [(0, int(part), part) if part.isdigit() else (1, 0, part)
            for part in re.split(r"(\d+)", text)]


@functools.cache
def template(text):
    """A template as a regular expression with named groups; BadInput when it is malformed."""
    out, end, seen = [], 0, set()
    for match in _PART.finditer(text):
        out.append(re.escape(text[end:match.start()]))
        end = match.end()
        name, pattern, folders, star = match.groups()
        if folders or star:
            out.append("(?:.*/)?" if folders else "[^/]*")
        elif name in seen:
            out.append(f"(?P={name})")
        else:
            seen.add(name)
            whole = pattern == "d"
            out.append(rf"(?<!\d)(?P<{name}>\d+)(?!\d)" if whole
                       else f"(?P<{name}>{pattern or '[^/]+'})")
    try:
        return re.compile("".join(out) + re.escape(text[end:]), re.IGNORECASE)
    except re.error as error:
        raise BadInput(f"template '{text}': {error}; "
                       "see python -m lib.datasets.folder --help") from None


class Tree:
    """Every file below a folder, listed once, so that no row costs a look at the disk. Hidden
    files (.DS_Store, ._x) and __MACOSX are left out."""

    def __init__(self, root):
        self.root = os.path.realpath(root)
        self.name = str(root)
        if not os.path.isdir(self.root):
            raise BadInput(f"{root}: no such folder; give the folder that holds the data set")
        self.ahead = {}  # path -> bytes read before they are asked for
        # relative folder ('' is the root) -> names, naturally sorted
        self.folders, seen = {}, set()
        for folder, inner, names in os.walk(self.root, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:  # a link that leads back up
                inner.clear()
                continue
            seen.add(real)
            inner[:] = sorted((name for name in inner if name[0] != "." and name != "__MACOSX"),
                              key=natural)
            relative = os.path.relpath(folder, self.root).replace(os.sep, "/")
            self.folders["" if relative == "." else relative] = sorted(
                (name for name in names if name[0] != "."), key=natural)

    def files(self, suffixes=None):
        """Relative paths in natural order, all or those with one of the suffixes."""
        for folder, names in self.folders.items():
            start = folder + "/" if folder else ""
            for name in names:
                if suffixes is None or os.path.splitext(name)[1].lower() in suffixes:
                    yield start + name

    def find(self, text, suffixes=None):
        """[(relative path, {name: text})] of the files that match a template, in natural order."""
        match = template(text).fullmatch
        return [(path, found.groupdict())
                for path in self.files(suffixes) if (found := match(path))]

    def need(self, text, what):
        """Like find; BadInput when nothing matches."""
        if found := self.find(text):
            return found
        top = ", ".join(sorted({path.split("/")[0] for path in self.files()})[:6]) or "nothing"
        raise BadInput(f"{self.name}: no file matches {what} '{text}' (found at the top: {top}); "
                       f"give the data set's own folder, or its pattern with {what}")

    def path(self, relative):
        """Absolute path of a relative one."""
        return f"{self.root}/{relative}"

    def prefetch(self, relatives):
        """Read many small files at once with several threads: on a slow disk waiting for one after
        the other is most of the time. Each is then read from memory, once."""
        def read(relative):
            with open(self.path(relative), "rb") as file:
                return relative, file.read()

        with ThreadPoolExecutor(16) as pool:
            for start in range(0, len(relatives), 4096):
                self.ahead.update(pool.map(read, relatives[start:start + 4096]))

    def raw(self, relative):
        """A file's bytes."""
        if relative in self.ahead:
            return self.ahead.pop(relative)
        with open(self.path(relative), "rb") as file:
            return file.read()

    def text(self, relative):
        return decode(self.raw(relative))

    def lines(self, relative):
        """[(line number, stripped line)] without blank lines and # comments."""
        stripped = ((i, line.strip()) for i, line in enumerate(self.text(relative).splitlines(), 1))
        return [(i, line) for i, line in stripped if line and line[0] != "#"]

    def rows(self, relative):
        """[(line number, cells)] of a CSV, tab- or space-separated file; cells stripped of blanks
        and quotes."""
        return split_rows(self.text(relative))


class Photos:
    """The images below a folder, found by names that may come from another machine, and which were
    asked for."""

    def __init__(self, tree):
        # asked: path -> how like it the likest name was
        self.tree, self.by_name, self.asked = tree, {}, {}
        for path in tree.files(IMAGES):
            self.by_name.setdefault(path.rpartition("/")[2].lower(), []).append(path)

    @functools.cached_property
    def by_stem(self):
        """{name without suffix: paths}, for names that have none."""
        out = {}
        for name, paths in self.by_name.items():
            out.setdefault(stem(name), []).extend(paths)
        return out

    def likest(self, name):
        """(paths of that file name whose folders match best, (how many folders do, whether the
        whole path does))."""
        *folders, last = name.lower().replace("\\", "/").split("/")

        def alike(path):
            others = path.lower().split("/")[:-1]
            same = next((i for i, (a, b) in enumerate(zip(folders[::-1], others[::-1])) if a != b),
                        min(len(folders), len(others)))
            return same, folders == others

        found = self.by_name.get(last) or []
        if not found and os.path.splitext(last)[1] not in IMAGES:
            found = self.by_stem.get(last, [])
        ranks = [alike(path) for path in found]
        best = max(ranks, default=(0, False))
        return [path for path, rank in zip(found, ranks) if rank == best], best

    def ask(self, name):
        """The image's relative path, '' when there is none; BadInput when several fit equally
        well."""
        found = self.mention(name)
        if len(found) > 1:
            raise BadInput(f"{name}: {found[0]} and {found[1]} both fit; give --images-root, "
                           "or longer paths in the CSV")
        return found[0] if found else ""

    def mention(self, name):
        """Count the images that a name fits as spoken of, whether or not they are to be imported;
        returns them."""
        found, rank = self.likest(name)
        self.asked |= {path: max(rank, self.asked.get(path, rank)) for path in found}
        return found

    def settle(self, rows):
        """[(name, path from `ask`, cells)] as what importing.add_photos takes. An image that
        another name fits better is that one's: a label whose own image is missing must not take
        its namesake in another folder."""
        return [(name, self.tree.path(path) if path and self.likest(name)[1] == self.asked[path]
                       else "", cells) for name, path, cells in rows]

    def unasked(self):
        """Relative paths of the images that no name spoke of."""
        return [path for paths in self.by_name.values() for path in paths if path not in self.asked]


def decode(raw):
    """The text of a file whatever editor saved it: UTF-8 with or without a byte order mark,
    UTF-16, Latin-1."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def split_rows(text):
    """[(line number, cells)] of comma-, tab-, semicolon- or blank-separated text, without blank
    lines."""
    return list(each_row(text))


def each_row(text):
    """What split_rows lists, one row after the other."""
    first = text[:text.find("\n")] if "\n" in text else text
    delimiter = next((mark for mark in ",\t;" if mark in first), None)
    if delimiter is None:
        for i, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield i, line.split()
        return
    # a StringIO takes 4 bytes a letter
    lines = (match[0] for match in re.finditer(r"[^\n]*\n|[^\n]+", text))
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    for row in reader:
        if any(row):
            yield reader.line_num, [cell.strip(" '\"\t") for cell in row]


def named_rows(text, wanted=None):
    """[(line number, {column in lower case: cell})] of a CSV's text with a header. wanted(column):
    whether to keep it, which matters where there are hundreds."""
    rows = each_row(text)
    header = [name.lower() for name in next(rows, (0, []))[1]]
    kept = [(i, name) for i, name in enumerate(header) if wanted is None or wanted(name)]
    return [(line, {name: cells[i] for i, name in kept if i < len(cells)}) for line, cells in rows]


@functools.lru_cache(1 << 16)
def level(text):
    """A FACS level '0' … '5' as a manifest's cell, '' for a missing marker; ValueError for
    anything else."""
    value = float(text or "nan")
    if value != value or value in MISSING:
        return ""
    if not 0 <= value <= 5:
        raise ValueError("is no FACS level (0 to 5, or -1, 9, 999 for missing)")
    return number(value / 5)


@functools.lru_cache(1 << 16)
def occurrence(text):
    """'0' or '1' as a cell, '' for a missing marker; ValueError for anything else."""
    value = float(text or "nan")
    if value != value or value in MISSING:
        return ""
    if value not in (0, 1):
        raise ValueError("is no occurrence (0 or 1, or -1, 9, 999 for missing)")
    return str(int(value))


@functools.lru_cache(1 << 16)
def affect(text):
    """Valence or arousal in [-1, 1] as a cell, '' for -2 and -5 (missing; -1 is a value here)."""
    value = float(text or "nan")
    if value != value or value in (-2, -5):
        return ""
    if not -1 <= value <= 1:
        raise ValueError("is not in [-1, 1] (-2 and -5 are missing)")
    return number(value)


def unit(text):
    """A number clipped to [0, 1] as a cell ('' when absent): what detectors write as
    confidence."""
    value = float(text or "nan")
    return number(min(max(value, 0.0), 1.0)) if value == value else ""


def whole(text):
    """A whole number, written '7' or '7.0'; ValueError for anything else."""
    value = float(text)
    if not value.is_integer():
        raise ValueError("is no whole number")
    return int(value)


def cell(parse, text, file, line):
    """parse(text); BadInput that names file, line and value when it cannot be read."""
    try:
        return parse(text)
    except ValueError as error:
        reason = str(error) if str(error).startswith("is ") else "is no number"
        raise BadInput(f"{file}: line {line}: {text!r} {reason}; correct the line") from None


def expression(text):
    """An expression's common name ('Happy' -> 'happiness'), so that data sets can be mixed."""
    plain = text.strip().lower().replace(" ", "_")
    return _SYNONYMS.get(plain, plain)


def stem(path):
    return PurePosixPath(path).stem


def last_number(name):
    """The last whole number in a file's stem, 'S005_001_00000011.png' -> 11, or None."""
    found = re.findall(r"\d+", stem(name))
    return int(found[-1]) if found else None
