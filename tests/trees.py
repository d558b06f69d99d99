"""Small trees in the data sets' exact layouts, traps included, for tests/test_importers.py."""
import hashlib
import importlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

from lib import manifest

BOM = b"\xef\xbb\xbf"


def png(level=0, size=4):
    """A small image file's bytes."""
    out = io.BytesIO()
    Image.new("RGB", (size, size), (level, level, level)).save(out, format="PNG")
    return out.getvalue()


IMAGE = png()


def npy(value):
    """A .npy file's bytes."""
    out = io.BytesIO()
    np.save(out, np.array(value))
    return out.getvalue()


def plant(root, files):
    """Write {path: text or bytes}; paths that end in an image's suffix may have None. A text
    ending in '|' lists several files of one folder: 'a/1.png|2.png'."""
    for path, content in files.items():
        folder, _, names = path.rpartition("/")
        for name in names.split("|"):
            place = Path(root, folder, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            content = IMAGE if content is None else content
            place.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(root)


def fingerprint(root):
    """A hash of every name, content and date below a folder."""
    total = hashlib.sha256()
    for path in sorted(Path(root).rglob("*")):
        total.update(f"{path.relative_to(root)} {path.lstat().st_mtime_ns}".encode())
        if path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()


def run(name, tmp_path, files, **options):
    """(manifest.csv, dropped.csv, what was said) of an importer; ROOT must come out as it went
    in."""
    root = plant(tmp_path / "root",
                 files | {".DS_Store": "x", "__MACOSX/._a.png": "x", "readme.pdf": "x"})
    before = fingerprint(root)
    module = importlib.import_module(f"lib.datasets.{name}")
    options = {"root": str(root), "out": str(tmp_path / "out")} | options
    try:
        module.collect(module.Options(**options)).write()
    finally:
        assert fingerprint(root) == before, "something was written inside ROOT"
    manifest.read(tmp_path / "out/manifest.csv")  # what every other stage does first
    return [(tmp_path / "out" / file).read_text() for file in ("manifest.csv", "dropped.csv")]
