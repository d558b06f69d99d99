"""One's own data, as a user brings them: from a DISFA folder to a result table, and data sets with
different AUs."""
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ENVIRONMENT, ROOT, call, files, succeed
from PIL import Image

import train_classifier
from lib import images, manifest
from lib.classifiers import training_data
from lib.cli import BadInput
from lib.faces import models

FRAMES, PEOPLE = 8, 9
SUBJECTS = [f"SN{person:03d}" for person in range(1, PEOPLE + 1)]
LEVELS = {1: (0, 0, 3, 4, 0, 0, 2, 0), 2: (0, 0, 3, 5, 0, 0, 1, 0), 4: (0, 0, 0, 0, 4, 2, 0, 9),
          12: (0, 0, 0, 1, 0, 3, 5, 2), 25: (0, 0, 0, 0, 0, 0, 5, 3)}  # 9: not to be read
TINY = {"FACES_SIZE_smoke": 32,
        "FACES_CLASSIFIER_smoke": "--max-steps 4 --arch tiny --batch 16 --threads 1",
        "FACES_GENERATOR_smoke": "--epochs 1 --decay-epochs 0 --epoch-images 16 --batch 8 "
                                 "--threads 1 --config d_warmup=1 width=8 joined=8 d_width=8"}


def disfa_labels(root):
    """DISFA's label files as they are delivered, in root/ActionUnit_Labels."""
    for name in SUBJECTS:
        for au, levels in LEVELS.items():
            place = root / "ActionUnit_Labels" / name / f"{name}_au{au}.txt"
            place.parent.mkdir(parents=True, exist_ok=True)
            rows = [f"{frame},{level}\r\n" for frame, level in enumerate(levels, 1)]
            place.write_text("".join(rows))


def disfa_videos(root):
    """DISFA's videos as they are delivered, in root/Video_LeftCamera: a face in noise, of another
    brightness a frame."""
    cv2, draw = models.opencv(), np.random.default_rng(0)
    face = pytest.importorskip("skimage.data").astronaut()[:240, 100:340, ::-1]
    for name in SUBJECTS:
        place = root / "Video_LeftCamera" / f"LeftVideo{name}_comp.avi"
        place.parent.mkdir(parents=True, exist_ok=True)
        video = cv2.VideoWriter(str(place), cv2.VideoWriter_fourcc(*"MJPG"), 20, (280, 240))
        for frame in range(FRAMES):
            # not square, and not of the networks' size
            picture = draw.integers(0, 256, (240, 280, 3), np.uint8)
            picture[:, 20:260] = face * (1 - 0.04 * frame)
            video.write(picture)
        video.release()
    (place.parent / "Thumbs.db").write_text("x")


def frames_instead(folder):
    """Frames as any tool extracts them, one folder a video, for where there are no face
    networks."""
    draw = np.random.default_rng(0)
    for name in SUBJECTS:
        for frame in range(FRAMES):
            images.save(folder / f"LeftVideo{name}_comp/{frame}.png",
                        draw.integers(0, 256, (40, 48, 3), np.uint8))


def make(folder, *arguments, **variables):
    """The project's make, its results in `folder`; the completed process."""
    # newer than requirements.txt: the environment is the one that runs the tests
    (folder / "ready").touch()
    variables = {"FACES_RUN": folder, "READY": folder / "ready", "PY": sys.executable,
                 "DEVICE": "cpu", "PRESET": "smoke", **TINY, **variables}
    environment = {name: value for name, value in ENVIRONMENT.items()
                   if not name.startswith("MAKE")}
    line = ["make", *arguments, *(f"{name}={value}" for name, value in variables.items())]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)


def readme_commands(folder):
    """The way from DISFA to a table in docs/your-data.md, command by command; DISFA and data/disfa
    then lie in `folder`."""
    text = (ROOT / "docs/your-data.md").read_text(encoding="utf-8")
    text = text.partition("## From DISFA to a table")[2]
    lines = [line.strip() for line in text.split("\n\n")[2].splitlines()]
    return [re.sub(r"(?<![\w/])(DISFA|data/disfa)(?![\w])", lambda found: f"{folder}/{found[0]}",
                   line) for line in lines]


def test_readmes_commands_lead_from_disfa_to_a_result_table(tmp_path):
    register, collect, split, compare = readme_commands(tmp_path)
    disfa_labels(tmp_path / "DISFA")
    commands = [register, collect, split]
    try:
        models.check()
        disfa_videos(tmp_path / "DISFA")
    except BadInput:
        frames_instead(tmp_path / "data/disfa/frames")
        commands = [collect, split]
    before, own = files(tmp_path / "DISFA"), tmp_path / "data/disfa"
    for line in commands:
        assert line.startswith("python -m lib."), line
        done = subprocess.run(line.replace("python", shlex.quote(sys.executable), 1), shell=True,
                              cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0 and not done.stdout, done.stderr
    assert files(tmp_path / "DISFA") == before
    assert len(manifest.read(own / "manifest.csv")) == FRAMES * PEOPLE

    _, goal, *given = shlex.split(compare)
    given, run = dict(word.split("=", 1) for word in given), tmp_path / "run"
    run.mkdir()
    done = make(run, goal, **given)
    assert done.returncode == 0, done.stdout + done.stderr
    for condition in ("supervised", "upsampled", "pseudo", "reweighted", "em"):
        assert f"| {condition} " in done.stdout
    report = json.loads((run / "em/seed1/report.json").read_text())
    assert report["protocol"]["aus"] == ["AU01", "AU02", "AU04", "AU12", "AU25"]
    assert report["protocol"]["unlabelled_au_cells"] == report["subjects"] == len(
        set(manifest.read(own / "test.csv").text("subject")))  # one 9 a person
    assert report["protocol"]["pair"] == ["AU01", "AU02"]
    assert report["au"]["pooled"]["f1"] is not None
    made = manifest.read(run / "em/synthetic/manifest.csv")
    assert len(made) == len(manifest.read(own / "unlabelled.csv"))
    assert set(made.text("source")) == {"synthetic"}
    assert {Path(path).parent.name for path in made.images()} == {"synthetic"}
    seen = Image.open(run / "em/synthetic/sheet.png")
    assert seen.width > seen.height / 2
    again = make(run, "-q", "faces-em", **given)
    assert again.returncode == 0, make(run, "-n", "faces-em", **given).stdout
    assert "no judge" in again.stderr


@pytest.fixture(scope="module")
def domains(tmp_path_factory):
    """Three data sets of other people, each with its own AUs; the second has occurrences only."""
    folder, draw = tmp_path_factory.mktemp("domains"), np.random.default_rng(1)
    for name, aus, count, more in (
        ("a", ("AU01", "AU02", "AU12"), 30, {}),
        ("b", ("AU02", "AU04"), 20, {"au_kind": ["occurrence"] * 20, "weight": [2] * 20}),
        ("c", ("AU02", "AU12", "AU25"), 24, {})
    ):
        images.save_pack(folder / f"{name}.npy",
                         draw.integers(0, 256, (count, 32, 32, 3), np.uint8))
        most = 1 if name == "b" else 5
        levels = draw.integers(0, most + 1, (count, len(aus))) / most
        manifest.write(folder / f"{name}.csv",
                       {"path": [f"{name}.npy#{i}" for i in range(count)],
                        "subject": [f"{name}-{i % 4}" for i in range(count)],
                        **{au: list(levels[:, k]) for k, au in enumerate(aus)}, **more})
    return folder


def test_two_data_sets_train_the_union_and_are_tested_on_the_intersection(domains, tmp_path):
    a, b, c = (domains / f"{name}.csv" for name in "abc")
    succeed("train_classifier.py", "--train", a, b, "--weights", 1, 0.25, "--validation", c,
            "--out", tmp_path / "c.pt", "--arch", "tiny", "--max-steps", 2, "--device", "cpu",
            "--threads", 1)
    succeed("export_onnx.py", tmp_path / "c.pt", "--out", tmp_path / "c.onnx")
    out, said = succeed("evaluate.py", "--model", tmp_path / "c.onnx", "--test", c)
    protocol = json.loads(out)["protocol"]
    assert protocol["aus"] == ["AU02", "AU12"]
    assert protocol["aus_left_out"] == {"not_in_data": ["AU01", "AU04"], "not_in_model": ["AU25"]}
    assert "AU25" in said and "AU01, AU04" in said


def test_sources_are_masked_and_weighted(domains, monkeypatch):
    """What a data set does not label says nothing; --weights multiplies the rows' own."""
    monkeypatch.chdir(domains)
    options = train_classifier.Options(train=["a.csv", "b.csv"], validation="c.csv", out="c.pt",
                                       weights=[1, 0.25])
    data = training_data.TrainingData(options, torch.device("cpu"))
    assert data.names["aus"] == ["AU01", "AU02", "AU04", "AU12"]
    assert data.true["au"][30:, 1].isnan().all()  # occurrences of AU02 say nothing about its level
    unknown = data.true["au_present"].isnan()
    assert unknown[:30].all(0).tolist() == [False, False, True, False]
    assert not unknown[:30, [0, 1, 3]].any()
    assert unknown[30:].all(0).tolist() == [True, False, False, True]
    assert not unknown[30:, [1, 2]].any()
    assert data.weight.tolist() == [1.0] * 30 + [0.5] * 20


def test_own_data_that_cannot_be_used(domains, tmp_path):
    a, c = domains / "a.csv", domains / "c.csv"
    done = make(tmp_path, "faces-em", LABELLED=a)
    assert done.returncode == 2 and "also give UNLABELLED=" in done.stderr
    done = make(tmp_path, "faces-supervised", LABELLED=a, UNLABELLED=a, VALIDATION=a, TEST=c)
    assert done.returncode == 2
    assert "--allow-shared-subjects" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.pt")) and not list(tmp_path.rglob("*.json"))
    for name in ("faces", "registration", "mnist-medium-3000"):
        done = make(tmp_path, "faces-em", NAME=name, LABELLED=a, UNLABELLED=a, VALIDATION=c, TEST=c)
        assert done.returncode == 2 and f"NAME={name} is the name of a set" in done.stderr


@pytest.mark.parametrize("size, variables", [
    (64, {"PRESET": "quick"}), (64, {"PRESET": "long"}), (128, {"PRESET": "paper"}),
    (128, {"PRESET": "quick", "FACES_SIZE_quick": 128})
])
def test_sizes_under_make_are_those_that_readme_says(domains, tmp_path, size, variables):
    given = {part: domains / "a.csv" for part in ("LABELLED", "UNLABELLED", "VALIDATION", "TEST")}
    said = make(tmp_path, "-n", "faces-em", **given, **variables).stdout
    lines = said.replace("\\\n", " ").splitlines()
    trained = [line for line in lines
               if " train_classifier.py " in line or " train_generator.py " in line]
    assert len(trained) == 3
    for words in map(str.split, trained):
        assert words.count("--size") == 1 and words[words.index("--size") + 1] == str(size)


def test_occurrences_alone_make_tables_without_balanced_levels(domains, tmp_path, capsys):
    """b.csv has occurrences only, a.csv levels in 30 rows."""
    a, b, c = (domains / f"{name}.csv" for name in "abc")
    for given, count in (((b,), 0), ((a,), 30), ((a, b), 30)):
        assert call(manifest.main, capsys, "levels", *given)[:2] == (0, f"{count}\n")
    own = {"NAME": "own", "UNLABELLED": c, "VALIDATION": c, "TEST": c, "SEEDS": 1}
    done = make(tmp_path, "-n", "compare-faces", **own, LABELLED=b)
    assert done.returncode == 0 and "/supervised/seed1/report.json" in done.stdout
    assert "/em-activate-first/seed1/report.json" in done.stdout
    assert "balanced" not in done.stdout
    assert done.stderr.count("no levels; the tables leave out balanced-real and balanced") == 1
    # what is asked for by name stays, and so does what data with levels can give
    for more in ({"LABELLED": b, "BESIDES": "balanced-real"}, {"LABELLED": a},
                 {"LABELLED": b, "CONDITIONS": "balanced-real"},
                 {"LABELLED": b, "PY": tmp_path / "nothing"}):
        assert "lib.balance" in make(tmp_path, "-n", "compare-faces", **{**own, **more}).stdout


def test_several_files_under_make(domains, tmp_path):
    """LABELLED may be several files, which every stage then gets; what is one file is refused
    before anything runs."""
    a, b, c = (domains / f"{name}.csv" for name in "abc")
    own = {"NAME": "own", "LABELLED": f"{a} {b}", "UNLABELLED": c, "VALIDATION": c, "TEST": c}
    done = make(tmp_path, "-n", "compare-faces", **own, SEEDS=1)
    assert done.returncode == 0
    lines = done.stdout.replace("\\\n", " ").splitlines()
    merged = tmp_path / "labelled.csv"  # for what is drawn from their rows
    assert any(f"lib.manifest merge {a} {b} --out {merged}" in line for line in lines)
    assert any(f"lib.balance {merged} --levels" in line for line in lines)
    assert any(f"--recipe balanced --targets {merged}" in line for line in lines)
    lines = [line for line in lines if "/balanced" not in line]
    for stage, option in (("train_classifier.py", "--train"), ("train_generator.py", "--train"),
                          ("synthesize.py", "--source"), ("-m lib.manifest", "check")):
        ran = [line.split() for line in lines if f" {stage} " in line and f" {option} " in line]
        assert ran, stage
        assert all(words[words.index(option) + 1:][:2] == [str(a), str(b)] for words in ran), stage
    for goal, given in (("faces-folds", f"lib.datasets.split {merged} --out"),
                        ("faces-normalised", f"lib.references {merged} --by labels"),
                        ("compare-domain", f"labelled.csv {merged} --weights 1 0.5"),
                        ("compare-sources", f"--source {merged} --targets {merged} --recipe")):
        said = make(tmp_path, "-n", goal, **own, SEEDS=1, OTHER=domains).stdout
        assert given in " ".join(said.split()), goal
        assert said.count(f"lib.manifest merge {a} {b} --out {merged}") == 1, goal
    for name in ("UNLABELLED", "VALIDATION", "TEST", "TEST_NATURAL"):
        done = make(tmp_path, "-n", "faces-em", **{**own, name: f"{b} {c}"})
        assert done.returncode == 2
        assert f"{name}={b} {c}: name one file" in done.stderr
        assert not done.stdout
        assert f"lib.manifest merge {b} {c} --out FILE.csv" in done.stderr


def test_people_of_the_test_set_are_nowhere_else(domains, tmp_path):
    """Unlabelled images of test people would be seen by the generator and, pseudo-labelled, by the
    classifier."""
    a, b, c = (domains / f"{name}.csv" for name in "abc")
    test = manifest.read(c)
    for name, people in (("v", ["v"] * 24),
                         ("t", [f"b-{i % 4}" if i == 7 else "t" for i in range(24)])):
        test.columns["subject"] = people
        test.write(tmp_path / f"{name}.csv")
    own = {"NAME": "own", "LABELLED": a, "UNLABELLED": b, "VALIDATION": tmp_path / "v.csv",
           "TEST": tmp_path / "t.csv"}
    done = make(tmp_path, "faces-data", **own)
    said = [line for line in done.stderr.splitlines() if line.startswith("manifest.py")]
    assert done.returncode == 2 and len(said) == 1 and not (tmp_path / ".checked").exists()
    assert "share 1 subject(s), such as 'b-3'" in said[0] and "ALLOW_SHARED_SUBJECTS=1" in said[0]
    assert make(tmp_path, "faces-data", **own, ALLOW_SHARED_SUBJECTS=1).returncode == 0
    assert make(tmp_path, "-q", "faces-data", **own).returncode == 0
    trained = make(tmp_path, "-n", "faces-supervised", **own, ALLOW_SHARED_SUBJECTS=1).stdout
    assert "train_classifier.py" in trained and "--allow-shared-subjects" in trained
