"""A small disk (tmpfs) that fills while a stage writes: one line, status 3, no traceback, no torn
file, what was there stays.

Needs the right to mount; skipped without it.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import models
from commands import ENVIRONMENT, command, succeed
from needs import lacks

from lib import images, manifest
from lib.cli import BadInput

KILOBYTES, PAGE = 600, 4096
# KB that are left of it; where not said, 500
LEFT = {"pseudo_label": 40, "merge parquet": 4, "register": 60, "video": 100}
LEVELS = np.random.default_rng(0).integers(0, 6, (1500, 4)) / 5
TRAIN = "--train set.csv --validation set.csv --device cpu --allow-shared-subjects"
TINY = f"train_classifier.py {TRAIN} --arch tiny --max-steps 2"
GAN = (
    f"train_generator.py {TRAIN} --arch conditional-gan --tasks au --epochs 1 --epoch-images 16"
    " --config width=4"
)
EDITOR = (
    f"train_generator.py {TRAIN} --arch expression-manipulator --epochs 1 --epoch-images 16"
    " --size 32"
)
NARROW = "width=4 levels=3 d_width=4 d_layers=4"


def pairs(folder):
    """pairs.csv: each image of set.csv, to be edited to the labels of another."""
    data = manifest.read(folder / "set.csv").take(np.arange(60))
    data.columns["true_path"] = data.columns["path"][::-1]
    data.columns |= {f"target_{au}": data.columns[au][::-1] for au in models.AUS}
    data.write(folder / "pairs.csv")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Models and data on a roomy disk."""
    folder = tmp_path_factory.mktemp("work")
    models.classifier(folder / "classifier.onnx")
    models.generator(folder / "generator.onnx")
    models.sampler(folder / "sampler.onnx")
    models.dataset(folder, LEVELS, subjects=[f"s{i // 4}" for i in range(len(LEVELS))])
    models.dataset(folder, LEVELS[:300], "bare.csv", aus=[])
    models.dataset(folder, LEVELS[:90], "others.csv", subjects=[f"o{i // 3}" for i in range(90)])
    pairs(folder)
    noise = np.random.default_rng(1).integers(0, 256, (20, 16, 16, 3), np.uint8)
    images.save(folder / "photo.png", noise[0, :8, :8])
    for i, picture in enumerate(noise):
        images.save(folder / f"tree/{'happy' if i % 2 else 'sad'}/{i}.png", picture)
    reports(folder)
    for name, line in (("c.pt", TINY), ("g.pt", GAN), ("e.pt", f"{EDITOR} --config {NARROW}")):
        succeed(*line.split(), "--out", folder / name, cwd=folder)
    return folder


def reports(folder):
    """What small stages read: a report on edits, a history, reports beside predictions."""
    rises = {au: {"rise": 0.2, "true_rise": 0.5} for au in models.AUS}
    (folder / "edits.json").write_text(json.dumps({"edits": {"per_au": rises}}))
    rows = [{"step": 10 * i, "d_real": 1 / i, "g_fake": i / 9} for i in (1, 2, 3)]
    (folder / "history.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    for name in ("a", "b"):
        line = EVALUATE.split()
        said, _ = succeed(*line, "--predictions", f"{name}/predictions.csv", cwd=folder)
        (folder / name / "report.json").write_text(said)


def photographs(folder):
    """photos/, each with a face, and a film of them; what finds faces is needed."""
    try:
        from skimage.data import astronaut

        from lib.faces import models as networks, video

        networks.check()
    except (ImportError, BadInput) as error:
        lacks(str(error))
    photos = [np.roll(astronaut()[:350, :350], i, 1) for i in range(8)]
    for i, photo in enumerate(photos):
        images.save(folder / f"photos/{i}.png", photo)
    film, noise = video.Writer(folder / "film.mp4", 25, (350, 350)), np.random.default_rng(0)
    for photo in photos:
        film.write(np.clip(photo + noise.normal(0, 12, photo.shape), 0, 255).astype(np.uint8))
    film.close()


@pytest.fixture
def disk(tmp_path):
    """A function that gives a folder on a disk of so many bytes."""
    mounted = []

    def mount(size):
        line = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", tmp_path]
        if subprocess.run(line, capture_output=True).returncode:
            lacks("no right to mount a small disk")
        mounted.append(tmp_path)
        return tmp_path

    yield mount
    for place in mounted:
        subprocess.run(["umount", place], check=True)


SYNTHESIZE = "synthesize.py --model generator.onnx --source set.csv --recipe random --count 9000"
EXPORT = "export_onnx.py c.pt --parity-images others.csv --out DISK/c.onnx"
SMALL = "--max-drop 1 --test others.csv"
EVALUATE = "evaluate.py --model classifier.onnx --test others.csv"
PAIRS = "evaluate.py --model generator.onnx --pairs pairs.csv --judge classifier.onnx"
PHOTO = (
    "synthesize.py --model generator.onnx --image photo.png --registration none"
    " --assume-neutral --set AU12=1"
)
SETS = ("validation", "test", "test-natural", "pairs", "pairs-validation", "judge",
        "judge-validation", "unlabelled")
# stages that need much more than KILOBYTES
LARGE = {
    "pseudo_label": "pseudo_label.py --model classifier.onnx --images set.csv --out DISK/p.csv",
    "synthesize pack": f"{SYNTHESIZE} --out DISK/made",
    "synthesize png": f"{SYNTHESIZE} --format png --out DISK/made",
    "merge": f"-m lib.manifest merge {'set.csv ' * 20} --out DISK/m.csv",
    "merge parquet": f"-m lib.manifest merge {'set.csv ' * 60} --out DISK/m.parquet",
    "split": f"-m lib.datasets.split {'set.csv ' * 20} --out DISK/s --tries 1",
    "mnist grid": "-m lib.datasets.mnist_grid --labelled 300 --validation 9 --test-per-au 9"
                  " --out DISK/grid",
    "rendered faces": "-m lib.datasets.rendered_faces --labelled 200 --size 64 --device cpu "
                      + " ".join(f"--{name} 20" for name in SETS) + " --out DISK/faces",
    "train_classifier": f"train_classifier.py {TRAIN} --arch compact --max-steps 2"
                        " --out DISK/c.pt",
    "train_generator": f"{EDITOR} --out DISK/g.pt",
    "mnist digits": "-m lib.datasets.mnist_digits --out DISK/digits",
    "register": "-m lib.faces.register photos --jobs 1 --out DISK/faces",
    "video": "synthesize.py --model generator.onnx --video film.mp4 --registration tight"
             " --assume-neutral --set AU12=1 --out DISK/edited.mp4",
}
# stages of a few KB, which are run once to see how much they need
EXACT = {
    "pseudo_label parquet":
        "pseudo_label.py --model classifier.onnx --images bare.csv --out DISK/p.parquet",
    "balance": "-m lib.balance set.csv --like others.csv --out DISK/b.csv",
    "balance parquet": "-m lib.balance set.csv --like others.csv --out DISK/b.parquet",
    "references mean": "-m lib.references set.csv --by mean --out DISK/r.csv",
    "references labels":
        "-m lib.references set.csv --by labels --out DISK/r.csv --frames DISK/f.csv",
    "describe": "-m lib.datasets.describe set.csv others.csv --report DISK/page",
    "importer": "-m lib.datasets.folder tree --pack --size 16 --out DISK/in",
    "split parquet": "-m lib.datasets.split set.csv --out DISK/s --tries 1",
    "synthesize image": f"{PHOTO} --out DISK/edited.png --sheet DISK/sheet.png",
    "synthesize strip": f"{PHOTO} --strip 0:1:0.01 --out DISK/edited.gif",
    "synthesize sampler": "synthesize.py --model sampler.onnx --recipe random --count 300"
                          " --out DISK/made --sheet DISK/sheet.png",
    "evaluate predictions": f"{EVALUATE} --predictions DISK/p.csv",
    "evaluate report": f"{EVALUATE} --report DISK/page",
    "evaluate pairs": f"{PAIRS} --predictions DISK/p.csv --report DISK/page",
    "evaluate samples": "evaluate.py --model classifier.onnx --samples set.csv --real others.csv"
                        " --learnt set.csv --identity classifier.onnx --report DISK/page",
    "export classifier": EXPORT,
    "export fp16": f"{EXPORT} --precision fp16 {SMALL}",
    "export int8": f"{EXPORT} --precision int8 {SMALL} --calibration others.csv",
    "export sampler": "export_onnx.py g.pt --out DISK/g.onnx",
    "export discriminator":
        "export_onnx.py e.pt --as classifier --parity-images others.csv --out DISK/d.onnx",
    "export editor": "export_onnx.py e.pt --parity-images others.csv --out DISK/e.onnx",
    "strength": "-m lib.strength generator.onnx --report edits.json --out DISK/s.onnx",
    "loss curves": "-m lib.evaluation.loss_curves history.jsonl --out DISK/curves.png",
    "edit sheet": "-m lib.evaluation.edit_sheet --models generator.onnx --images set.csv"
                  " --out DISK/sheet.png",
    "personal table": "-m lib.evaluation.personal_table a/report.json b/report.json"
                      " --out DISK/table.md",
    "face mesh": "-m lib.faces.mesh_graph --out DISK/mesh.onnx",
}


def execute(work, place, line):
    """Run a stage's line, with DISK a place."""
    script = re.match(r"(-m )?\S+", line).group()
    words = line[len(script):].replace("DISK", str(place)).split()
    return subprocess.run(
        command(script, *words), cwd=work, env={**ENVIRONMENT, "TMPDIR": str(work)},
        capture_output=True, text=True, timeout=500,
    )


def refused(done, place, before):
    """Check what a stage said, and what it left."""
    assert done.returncode == 3 and "Traceback" not in done.stderr, (done.returncode, done.stderr)
    assert not done.stdout
    last = done.stderr.splitlines()[-1]
    assert "No space left on device" in last and str(place) in last, done.stderr
    assert (place / "before").read_bytes() == before
    assert not [path for path in place.rglob("*") if ".tmp" in path.name], list(place.rglob("*"))
    for path in place.rglob("*"):
        if path.is_file() and path.name != "before":
            whole(path)


def whole(path):
    """Fail where a file is cut short."""
    match path.suffix:
        case ".png" | ".gif" | ".webp" | ".jpg":
            Image.open(path).load()
        case ".csv":
            text = path.read_text()
            assert text.endswith("\n") and len({line.count(",") for line in text.split()}) == 1
        case ".parquet":
            manifest.read(path)
        case ".npy":
            np.load(path)
        case ".onnx":
            onnx.checker.check_model(onnx.load(path))
        case ".json":
            json.loads(path.read_text())
        case ".html":
            assert path.read_text().endswith("</html>\n")
        case ".md":
            assert path.read_text().endswith(".\n")
        case ".mp4":
            raise AssertionError(f"{path}: no film had room")
        case ".jsonl":  # of what was done so far: a line that was cut short is written anew
            for line in path.read_text().split("\n")[:-1]:
                json.loads(line)
        case ".partial":  # hidden; the next run goes on after its last whole chunk
            assert path.name.startswith(".")
        case _:
            raise AssertionError(f"{path}: what is this?")


@pytest.mark.parametrize("name", list(LARGE))
def test_a_disk_that_fills(work, disk, name):
    place = disk(f"{KILOBYTES}k")
    if name in ("register", "video"):
        photographs(work)
    before = bytes((KILOBYTES - LEFT.get(name, 500)) * 1024)
    (place / "before").write_bytes(before)
    refused(execute(work, place, LARGE[name]), place, before)


NEEDS = {}  # bytes of each stage of EXACT


def needs(work, name):
    """How many bytes on disk a stage's files need, whole pages."""
    if name not in NEEDS:
        place = work / "roomy" / name.replace(" ", "-")
        done = execute(work, place, EXACT[name])
        assert done.returncode == 0, done.stderr
        sizes = [path.stat().st_size for path in place.rglob("*") if path.is_file()]
        NEEDS[name] = sum(-(-size // PAGE) * PAGE for size in sizes)
    return NEEDS[name]


@pytest.mark.parametrize("share", [0.5, 1])
@pytest.mark.parametrize("name", list(EXACT))
def test_a_disk_that_lacks_half_or_a_page(work, disk, name, share):
    """Room for a half of what the stage writes, and for all but the last page."""
    if name == "face mesh":
        photographs(work)
    need = needs(work, name)
    room = min(int(need * share) // PAGE * PAGE, need - PAGE)
    before = b"before"
    place = disk(room + PAGE)  # one for the file that is there
    (place / "before").write_bytes(before)
    done = execute(work, place, EXACT[name])
    refused(done, place, before)
    product = re.search(r"--out DISK/(\S+)", EXACT[name])
    if product:
        made = place / product.group(1)
        assert not (made / "manifest.csv" if made.is_dir() else made).exists(), "looks finished"
