"""Mishaps with every script: one line on stderr, exit 2 or 3, nothing on stdout, and the files as
they were.

Each script is a healthy command line with one part made bad. Scripts run in this process, which
saves seconds.
"""
import contextlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import models
import numpy as np
import onnx
import pytest
import torch
from commands import ENVIRONMENT, ROOT, call, command, execute, here, interruptible
from PIL import Image

import evaluate
import export_onnx
import pseudo_label
import synthesize
import train_classifier
import train_generator
from lib import balance, checkpoints, classifiers, cli, manifest
from lib.datasets import importing, mnist_grid, split

AUS = models.AUS
SIZE = 16
LEVELS = np.random.default_rng(0).integers(0, 6, (8, 4)) / 5
LEVELS[::4] = 0  # some neutral faces
UNREADABLE = Path("/proc/self/mem")  # even the superuser cannot read its beginning

CLASSIFIER = [train_classifier.main, "--train", "set.csv", "--validation", "validation.csv",
              "--out", "out/c.pt", "--arch", "tiny", "--device", "cpu", "--epochs", "1"]
GENERATOR = [train_generator.main, "--train", "set.csv", "--validation", "validation.csv",
             "--out", "out/g.pt", "--reader", "classifier.onnx", "--device", "cpu",
             "--epochs", "1", "--batch", "2", "--config", "width=8", "d_width=8", "joined=8",
             "d_warmup=1"]
EXPORT = [export_onnx.main, "classifier.pt", "--out", "out/c.onnx", "--parity-images", "set.csv"]
PSEUDO = [pseudo_label.main, "--model", "classifier.onnx", "--images", "set.csv",
          "--out", "out/p.csv"]
SYNTHESIZE = [synthesize.main, "--model", "generator.onnx", "--source", "set.csv",
              "--out", "out/made", "--recipe", "random", "--targets", "validation.csv",
              "--classifier", "classifier.onnx", "--check", "classifier.onnx",
              "--sheet", "out/sheet.png"]
EVALUATE = [evaluate.main, "--model", "classifier.onnx", "--test", "set.csv",
            "--predictions", "out/p.csv", "--report", "out/plots"]
PAIRS = [evaluate.main, "--model", "generator.onnx", "--pairs", "pairs.csv",
         "--judge", "classifier.onnx", "--judge-report", "judge.json",
         "--predictions", "out/p.csv", "--report", "out/plots"]
COMPARE = [evaluate.main, "--compare", "judge.json"]
SPLIT = [split.main, "set.csv", "--out", "out/split"]
BALANCE = [balance.main, "set.csv", "--like", "validation.csv", "--out", "out/b.csv"]
MERGE = [manifest.main, "merge", "set.csv", "--out", "out/m.csv"]
MNIST = [mnist_grid.main, "--out", "out/grid", "--labelled", "20", "--validation", "9",
         "--test-per-au", "9", "--size", "24"]
CHECK = [manifest.main, "check", "set.csv", "--apart", "validation.csv"]

SCRIPTS = [CLASSIFIER, GENERATOR, EXPORT, PSEUDO, SYNTHESIZE, EVALUATE, SPLIT, BALANCE, MERGE]
IMAGES = [(CLASSIFIER, "set.csv"), (CLASSIFIER, "validation.csv"), (GENERATOR, "set.csv"),
          (GENERATOR, "validation.csv"), (EXPORT, "set.csv"), (PSEUDO, "set.csv"),
          (SYNTHESIZE, "set.csv"), (EVALUATE, "set.csv"), (PAIRS, "pairs.csv")]
MANIFESTS = [*IMAGES, (SYNTHESIZE, "validation.csv"), (SPLIT, "set.csv"), (BALANCE, "set.csv"),
             (BALANCE, "validation.csv"), (MERGE, "set.csv"), (CHECK, "validation.csv")]
MODELS = [(GENERATOR, "--reader"), (PSEUDO, "--model"), (SYNTHESIZE, "--model"),
          (SYNTHESIZE, "--classifier"), (SYNTHESIZE, "--check"), (EVALUATE, "--model"),
          (PAIRS, "--model"), (PAIRS, "--judge")]
OUT_FILES = [(CLASSIFIER, "out/c.pt"), (GENERATOR, "out/g.pt"), (EXPORT, "out/c.onnx"),
             (PSEUDO, "out/p.csv"), (SYNTHESIZE, "out/sheet.png"), (EVALUATE, "out/p.csv"),
             (PAIRS, "out/p.csv"), (BALANCE, "out/b.csv"), (MERGE, "out/m.csv")]
OUT_FOLDERS = [(SYNTHESIZE, "out/made"), (EVALUATE, "out/plots"), (PAIRS, "out/plots"),
               (SPLIT, "out/split")]


def name(value):
    """A readable name of a case."""
    return value[0].__module__ + "." + value[1].strip("-") if isinstance(value, list) else None


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with everything that the healthy command lines need, and an earlier output."""
    monkeypatch.chdir(tmp_path)
    for part, subject in (("set", "s"), ("validation", "v")):
        models.dataset(tmp_path, LEVELS, f"{part}.csv",
                       subjects=[f"{subject}{i}" for i in range(8)], size=SIZE)
    models.dataset(tmp_path, LEVELS, "pairs.csv", size=SIZE)
    data = manifest.read("pairs.csv")
    data.columns["true_path"] = data.columns["path"][::-1]
    data.columns |= {f"target_{au}": data.columns[au][::-1] for au in AUS}
    data.write("pairs.csv")
    models.classifier(tmp_path / "classifier.onnx", size=SIZE)
    models.generator(tmp_path / "generator.onnx", size=SIZE)
    per_au = {au: {"pcc": 0.9} for au in AUS}
    (tmp_path / "judge.json").write_text(json.dumps({"au": {"per_au": per_au}}))
    config = {"architecture": "tiny", "size": SIZE, "aus": 4, "valence_arousal": False,
              "expressions": 0}
    weights = classifiers.build(config).state_dict()
    checkpoints.save("classifier.pt", {"kind": "classifier", "architecture": "tiny",
                                       "config": config, "labels": {"aus": AUS},
                                       "weights": weights})
    for _, out in OUT_FILES + OUT_FOLDERS:  # the last run's
        path = tmp_path / out if (tmp_path / out).suffix else tmp_path / out / "manifest.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("earlier")
    return tmp_path


def state(folder):
    """Every file and folder below a folder, {relative path: bytes}."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
            for path in Path(folder).rglob("*")}


def refuse(place, capsys, line, old, new, mentions, status=3):
    """Run a line with one part replaced; check that it is refused as it should be."""
    assert old in line
    before = state(place)
    main, *arguments = [new if part == old else part for part in line]
    found, out, err = call(main, capsys, *arguments)
    assert found == status, (found, err)
    assert len(err.splitlines()) == 1 and not out, (err, out)
    assert all(text in err for text in ([mentions] if isinstance(mentions, str) else mentions)), err
    assert state(place) == before


@pytest.mark.parametrize("line, given", MANIFESTS, ids=name)
@pytest.mark.parametrize("case, mentions", [
    ("nowhere", "no such manifest"), ("empty", "empty file"), ("header", "no rows"),
    ("7.3", "'7.3' is not in [0, 1]"), ("AU1", "rename it to 'AU01'"),
    ("no path", "no column 'path'"), ("folder", "is a folder"),
    ("picture", "not a CSV text file"), ("unreadable", "cannot be read")
])
def test_manifests(place, capsys, line, given, case, mentions):
    text = (place / given).read_text()
    if case == "unreadable":
        if not UNREADABLE.exists():
            pytest.skip("no /proc")
        return refuse(place, capsys, line, given, str(UNREADABLE), ["mem", mentions])
    if case == "folder":
        (place / "bad.csv").mkdir()
    elif case == "picture":
        Image.new("RGB", (9, 9)).save(place / "bad.csv", format="PNG")
    elif case != "nowhere":
        (place / "bad.csv").write_text({
            "empty": "",
            "header": text.splitlines()[0] + "\n",
            "7.3": with_cell(text, "AU12", "7.3"),
            "AU1": text.replace("AU01", "AU1", 1),
            "no path": text.replace("path", "file", 1),
        }[case])
    refuse(place, capsys, line, given, "bad.csv", ["bad.csv", mentions])


def with_cell(text, column, value):
    """CSV text with another value in the last row."""
    rows = [row.split(",") for row in text.splitlines()]
    rows[-1][rows[0].index(column)] = value
    return "".join(",".join(row) + "\n" for row in rows)


@pytest.mark.parametrize("line, given", IMAGES, ids=name)
@pytest.mark.parametrize("case, mentions", [
    ("nowhere", "no such image"), ("cut", "cannot be decoded"), ("folder", "cannot be decoded"),
    ("number", "the pack holds images 0 to 7")
])
def test_images(place, capsys, line, given, case, mentions):
    draw = np.random.default_rng(0)
    Image.fromarray(draw.integers(0, 255, (64, 64, 3), np.uint8)).save(place / "whole.jpg")
    (place / "cut.jpg").write_bytes((place / "whole.jpg").read_bytes()[:1500])
    bad = {"nowhere": "nowhere.jpg", "cut": "cut.jpg", "folder": ".", "number": "set.npy#8"}[case]
    (place / "bad.csv").write_text(with_cell((place / given).read_text(), "path", bad))
    refuse(place, capsys, line, given, "bad.csv", mentions)


@pytest.mark.parametrize("line, option", MODELS, ids=name)
@pytest.mark.parametrize("case, mentions", [
    ("nowhere", "no such model"), ("text", "not a usable ONNX model"),
    ("empty", "not a usable ONNX model"), ("folder", "no such model"),
    ("bare", "lacks the metadata kind"), ("other kind", "not a "), ("other labels", "AU")
])
def test_models(place, capsys, line, option, case, mentions):
    labels_what_it_knows = (line, option) in ((PSEUDO, "--model"), (SYNTHESIZE, "--classifier"))
    if case == "other labels" and labels_what_it_knows:
        return  # nothing is asked of it, as the sources are labelled
    good = line[line.index(option) + 1]
    bad = place / "bad.onnx"
    if case == "folder":
        bad.mkdir()
    elif case in ("text", "empty"):
        bad.write_text("no model" if case == "text" else "")
    elif case == "bare":
        model = onnx.load(place / good)
        del model.metadata_props[:]
        onnx.save(model, bad)
    elif case != "nowhere":
        make = {"classifier.onnx": models.classifier, "generator.onnx": models.generator}
        kinds = list(make.values()) if good == "classifier.onnx" else list(make.values())[::-1]
        kinds[case == "other kind"](bad, ["AU05", "AU06", "AU07", "AU09"], SIZE)
    place_of = line.index(option) + 1
    line = [*line[:place_of], "MODEL", *line[place_of + 1:]]
    refuse(place, capsys, line, "MODEL", "bad.onnx", mentions)


@pytest.mark.parametrize("case, mentions", [
    ("nowhere", "no such checkpoint"), ("text", "not a checkpoint"), ("empty", "not a checkpoint"),
    ("folder", "is a folder"), ("list", "not a checkpoint"), ("kind", "lacks"),
    ("object", "not a checkpoint"), ("cut", "not a checkpoint"),
    ("unfinished", "has not finished"), ("generator-training", "has not finished"),
    ("weights", "do not fit"), ("unreadable", "cannot be read")
])
def test_checkpoints(place, capsys, case, mentions):
    good, bad = checkpoints.load("classifier.pt"), place / "bad.pt"
    if case == "folder":
        bad.mkdir()
    elif case in ("text", "empty"):
        bad.write_text("no checkpoint" if case == "text" else "")
    elif case == "cut":
        bad.write_bytes((place / "classifier.pt").read_bytes()[:5000])
    elif case == "unreadable" and not UNREADABLE.exists():
        pytest.skip("no /proc")
    elif case not in ("nowhere", "unreadable"):
        torch.save({"list": [1, 2], "kind": {"kind": "classifier"}, "object": torch.nn.Linear(1, 1),
                    "unfinished": {**good, "optimiser": {}}, "weights": {**good, "weights": {}},
                    "generator-training": {"kind": "generator-training", "weights": {}}}[case], bad)
    refuse(place, capsys, EXPORT, "classifier.pt",
           str(UNREADABLE) if case == "unreadable" else "bad.pt", mentions)


@pytest.mark.parametrize("line, out", [*OUT_FILES, *OUT_FOLDERS], ids=name)
@pytest.mark.parametrize("case", ["below a file", "other kind"])
def test_places_that_cannot_be_written(place, capsys, line, out, case):
    """A folder that cannot be made; a folder where a file is wanted, and the reverse. Said before
    the work."""
    bad = "set.csv/" + out if case == "below a file" else "there" + Path(out).suffix
    if case == "other kind":
        (place / bad).mkdir() if (line, out) in OUT_FILES else (place / bad).write_text("mine")
    refuse(place, capsys, line, out, bad, bad.partition("/")[0])


@pytest.mark.parametrize("line", SCRIPTS, ids=name)
def test_required_options(place, capsys, line):
    """Without any one of its options, what is required is asked for by name, before anything is
    read."""
    main = line[0]
    status, out, err = call(main, capsys)
    assert status == 2 and len(err.splitlines()) == 1 and not out
    asked = "say one of --test" if main is evaluate.main else "arguments are required: "
    assert asked in err
    without_out = (evaluate.main, pseudo_label.main, balance.main, manifest.main)
    assert "--out" in err or main in without_out


@pytest.mark.parametrize("line", SCRIPTS, ids=name)
@pytest.mark.parametrize("more", [["--nonsense"], ["--recipe", "smile"], ["--device", "abacus"]])
def test_usage(place, capsys, line, more):
    main, *arguments = line
    before = state(place)
    status, out, err = call(main, capsys, *arguments, *more)
    assert status in (2, 3) and len(err.splitlines()) == 1 and not out, err
    assert state(place) == before


MODULES = {path.stem: path.read_text() for path in sorted((ROOT / "lib/datasets").glob("*.py"))}
SETS = [one for one, text in MODULES.items() if "run(" in text]
IMPORTERS = [one for one in SETS if "importing.main(" in MODULES[one]]


def module(one, capsys, *arguments):
    """Run a module of lib/datasets as `python -m` does, in this process: (exit status, stdout,
    stderr)."""
    source = importlib.import_module(f"lib.datasets.{one}")

    def imported():
        importing.main(source.Options, source.collect, source.__doc__)

    return call(getattr(source, "main", imported), capsys, *arguments)


@pytest.mark.parametrize("one", IMPORTERS)
@pytest.mark.parametrize("case", ["nowhere", "file", "empty", "unreadable", "inside",
                                  "below a file", "out is a file", "AU99", "stride", "nonsense"])
def test_importers(place, capsys, one, case):
    (place / "root").mkdir()
    (place / "file").write_text("mine")
    root = {"nowhere": "nowhere", "file": "file", "unreadable": str(UNREADABLE)}.get(case, "root")
    outs = {"inside": "root/out", "below a file": "file/out", "out is a file": "file"}
    out = outs.get(case, "new")
    wrong = {"AU99": ["--aus", "AU99"], "stride": ["--stride", "0"], "nonsense": ["--nonsense"]}
    more = wrong.get(case, [])
    has_images_root = one in ("disfa", "fera17", "aff_wild", "emotionet")
    images_root = ["--images-root", root] if has_images_root else []
    before = state(place)
    status, out, err = module(one, capsys, root, *images_root, "--out", out, *more)
    assert status == (2 if more else 3) and not out and len(err.splitlines()) == 1, err
    assert state(place) == before


@pytest.mark.parametrize("one, arguments, mentions", [
    ("mnist_grid", ["--labelled", "0"], "at least one image"),
    ("mnist_grid", ["--level", "harder"], "'harder'"),
    ("mnist_grid", ["--digits", "nowhere"], "no MNIST there"),
    ("mnist_grid", ["--size", "8"], "at least 24"),
    ("rendered_faces", ["--labelled", "-1"], "must not be negative"),
    ("rendered_faces", ["--size", "8"], "16 to 1024"),
    ("rendered_faces", ["--device", "abacus"], "'abacus'"),
    ("mnist_grid", ["--out", "set.csv"], "is a file"),
    ("rendered_faces", ["--out", "set.csv/new"], "is a file")
])
def test_makers_of_sets(place, capsys, one, arguments, mentions):
    before = state(place)
    status, out, err = module(one, capsys, "--out", "new", *arguments)
    assert status in (2, 3) and not out and len(err.splitlines()) == 1 and mentions in err, err
    assert state(place) == before


def script_of(line):
    """What the command line of a main() begins with."""
    module = line[0].__module__
    return "-m " + module if "." in module else module + ".py"


@pytest.mark.parametrize("line", [PSEUDO, EVALUATE, PAIRS, BALANCE, MERGE,
                                  [evaluate.main, "--compare", "REPORT"]], ids=name)
def test_stdout_on_a_full_disk(place, line):
    if line[-1] == "REPORT":
        line = [*line[:-1], ROOT / "runs/results/quick/faces-mse/em/seed1/report.json"]
    script = script_of(line)
    arguments = line[1:line.index("--out")] if "--out" in line else line[1:]
    with open("/dev/full", "w") as full:
        done = execute(script, *arguments, cwd=place, stdout=full)
    stem = line[0].__module__.split(".")[-1]
    said = [f"{stem}.py: stdout: No space left on device"]
    assert (done.returncode, done.stderr.splitlines()) == (3, said)


@contextlib.contextmanager
def small_disk():
    """A file may grow to 2,000 bytes and then there is no more room, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        yield
    finally:  # pytest writes files of its own
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("line, out", [
    (CLASSIFIER, "out/last.pt"), (GENERATOR, "out/g.last.pt"), (EXPORT, "out/c.json"),
    (PSEUDO, "out/p.csv"), (SYNTHESIZE, "out/made/images.npy"),
    (SYNTHESIZE + ["--format", "png"], "out/sheet.png"),
    (SYNTHESIZE[:-2] + ["--format", "png"], "out/made/manifest.csv"), (EVALUATE, "out/p.csv"),
    (EVALUATE[:5] + EVALUATE[-2:], "out/plots/"), (MERGE, "out/m.csv"),
    (SPLIT, "out/split/labelled.csv"), (MNIST, "out/grid/")
], ids=name)
def test_files_on_a_full_disk(place, monkeypatch, line, out):
    # a CSV of more than 2,000 bytes
    many = "".join((place / "set.csv").read_text().partition("\n")[1:]) * 12
    (place / "set.csv").write_text((place / "set.csv").read_text().partition("\n")[0] + many)
    draw = np.random.default_rng(0)
    np.save(place / "set.npy", draw.integers(0, 256, (8, 32, 32, 3), np.uint8))
    before = {path: content for path, content in state(place).items() if content}
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # no module is cut short
    with small_disk():
        status, shown, err = here(*line)
    said = [text for text in err.splitlines() if "File too large" in text]
    assert status == 3 and not shown and len(said) == 1, err
    assert out in said[0], err
    assert said[0] == err.splitlines()[-1] and "tmp" not in said[0], err
    after = state(place)
    assert {path: after.get(path) for path in before} == before
    assert not [path for path in after if "tmp" in path]


@pytest.mark.parametrize("line, option, value, status", [
    (CLASSIFIER, "--learning-rate", "nan", 2), (CLASSIFIER, "--batch", "0", 2),
    (GENERATOR, "--seed", "-1", 2), (EXPORT, "--tolerance", "nan", 2),
    (PSEUDO, "--batch", "0", 2), (PSEUDO, "--min-confidence", "2", 3),
    (SYNTHESIZE, "--sheet-rows", "0", 2), (SYNTHESIZE, "--batch", "-1", 2),
    (SYNTHESIZE, "--max-error", "-1", 2), (EVALUATE, "--batch", "0", 2),
    (EVALUATE, "--min-f1", "nan", 2), (BALANCE, "--cap", "0", 2),
    (SPLIT, "--seed", "-1", 2), (CLASSIFIER, "--seed", str(2**63), 2),
], ids=name)
def test_numbers(place, capsys, line, option, value, status):
    refuse(place, capsys, [*line, option, "NUMBER"], "NUMBER", value, f"{option} {value}", status)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_when_all_is_done_shows_no_traceback(signum):
    """A thread that is still there holds up the interpreter's end, where the signal comes."""
    code = ("import threading, time\nfrom lib.cli import run\n"
            "run(lambda: (threading.Thread(target=time.sleep, args=(3,)).start(),"
            " print('done', flush=True)))")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "done\n"
    time.sleep(1)
    process.send_signal(signum)
    assert process.communicate() == ("", "") and process.returncode == 0


def test_a_signal_before_all_is_imported_shows_no_traceback(tmp_path):
    """A package that a script imports first, and that takes its time."""
    (tmp_path / "argparse_dataclass.py").write_text(
        "import sys, time\nprint('imports', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        command("pseudo_label.py", "--help"), cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=interruptible,
        env=ENVIRONMENT | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    assert process.stdout.readline() == "imports\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate() == ("", "") and process.returncode == -signal.SIGINT


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_what_must_not_be_interrupted(signum):
    came, done = [], False
    signal.signal(signum, lambda signum, frame: came.append(signum))
    with cli.uninterrupted():
        signal.raise_signal(signum)
        signal.raise_signal(signum)
        assert not came
        done = True
    assert done and came == [signum]
    with cli.uninterrupted():
        pass
    assert came == [signum]
    with pytest.raises(KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with cli.uninterrupted():
            signal.raise_signal(signal.SIGINT)
