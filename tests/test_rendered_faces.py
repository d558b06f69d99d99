"""Rendered faces: labels that tell the truth, people apart, bytes equal after a kill, changes in
their place."""
import filecmp
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lib import images, manifest
from lib.datasets import rendered_faces
from lib.rendering import behaviour, plan, raster, report
from lib.rendering.units import AUS, IMPOSSIBLE, INDEX, LEAST_AU27, NAMES

ROOT = Path(__file__).parents[1]
SETS = plan.SETS
SMALL = ["--labelled", "195", "--unlabelled", "40", "--validation", "30", "--test", "42",
         "--test-natural", "30", "--pairs", "20", "--pairs-validation", "10",
         "--pairs-expression", "9", "--judge", "40", "--judge-validation", "16", "--size", "32",
         "--people", "5"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    rendered_faces.main(["--out", str(folder), *SMALL, "--workers", "1"])
    return folder


def table(folder, name):
    return manifest.read(folder / f"{name}.csv")


def test_every_set_is_written_with_its_number_of_images(faces):
    counts = dict(zip(SMALL[::2], SMALL[1::2]))
    for name in SETS:
        rows = table(faces, name)
        assert len(rows) == int(counts["--" + name.replace("_", "-")])
        picture = images.load(rows.images()[-1])
        assert picture.shape == (32, 32, 3) and picture.std() > 10
    assert (faces / "sheet.png").exists()
    assert not list(faces.glob(".*"))


def test_no_person_is_in_two_sets(faces):
    people = {name: set(table(faces, name).text("subject")) for name in SETS}
    assert sum(map(len, people.values())) == len(set.union(*people.values()))
    assert all(person.startswith("faces-") for group in people.values() for person in group)
    assert len(people["labelled"]) == 5


def test_unlabelled_cells_are_empty_and_the_truth_is_beside(faces):
    assert np.isnan(table(faces, "unlabelled").aus()).all()
    truth = table(faces, "unlabelled_truth")
    assert truth.columns["path"] == table(faces, "unlabelled").columns["path"]
    assert np.isfinite(truth.aus()).all() and (truth.aus() > 0).any()


@pytest.mark.parametrize("draw", [behaviour.natural, behaviour.independent])
def test_labels_are_possible(draw):
    levels, _ = draw(np.random.default_rng(3), 4000)
    assert levels.min() >= 0 and levels.max() <= 1
    on = levels > 0
    for one, other in IMPOSSIBLE:
        assert not (on[:, INDEX[one]] & on[:, INDEX[other]]).any(), (one, other)
    assert (levels[:, INDEX[25]] >= 0.6 * levels[:, INDEX[26]]).all()
    assert (levels[:, INDEX[25]] >= 0.8 * levels[:, INDEX[27]]).all()
    jaw = levels[:, INDEX[27]]
    assert jaw[jaw > 0].min() >= LEAST_AU27


def test_independent_shows_every_au_and_natural_couples_brows():
    levels, _ = behaviour.independent(np.random.default_rng(0), 4000)
    assert (levels > 0).mean(0).min() > 0.05
    assert abs(np.corrcoef(levels[:, 0], levels[:, 1])[0, 1]) < 0.1
    levels, names = behaviour.natural(np.random.default_rng(0), 4000)
    assert np.corrcoef(levels[:, 0], levels[:, 1])[0, 1] > 0.6
    shares = (levels >= 0.4).mean(0)
    assert shares.max() > 8 * shares.min()
    assert set(names) >= {"neutral", "happiness", "sadness", "surprise", "fear", "anger", "disgust"}


def test_one_au_at_a_time(faces):
    levels = table(faces, "test").aus(NAMES)
    for row, au in zip(levels, [None, *AUS] * 2):
        shown = set(np.array(AUS)[row > 0].tolist())
        assert shown == (set() if au is None else {au, 25} if au in (26, 27) else {au})
        assert au is None or row[INDEX[au]] >= 0.3


def test_valence_and_arousal_are_the_persons_own(faces):
    rows = table(faces, "labelled")
    feeling = np.stack([rows.numbers("valence"), rows.numbers("arousal")], 1)
    assert np.abs(feeling).max() <= 1
    ceiling = behaviour.ccc(behaviour.feeling(rows.aus(NAMES))[:, 0], feeling[:, 0])
    assert 0.7 < ceiling < 0.99


def test_sessions_keep_the_light_and_drift_a_little(faces):
    drawn = plan.draw("labelled", 0, 150, 4, "natural")
    for session in range(10):
        pose = drawn.pose[drawn.session == session]
        assert np.abs(pose - pose.mean(0)).max() < 3.2
        assert (drawn.levels[drawn.session == session][:2] == 0).all()
        assert len(set(drawn.person[drawn.session == session])) == 1
    assert np.ptp(drawn.pose[::15], axis=0)[0] > 5
    assert len(set(table(faces, "labelled").text("session"))) == 13


def test_a_pair_differs_only_by_its_target():
    drawn = plan.draw("pairs", 0, 20, 0, "pairs")
    true = drawn.neutral >= 0
    assert true.sum() == 20 and (drawn.levels[~true] == 0).all()
    for field in ("person", "session", "pose", "shift", "gaze", "grain"):
        values = getattr(drawn, field)
        assert (values[true] == values[drawn.neutral[true]]).all(), field
    alone = drawn.levels[true].copy()
    alone[:, INDEX[25]] *= ~(drawn.levels[true][:, [INDEX[26], INDEX[27]]] > 0).any(1)
    assert ((alone > 0).sum(1) == 1).all()
    assert ((alone > 0).sum(0) == 1).all()  # every AU equally often


def test_pair_images_are_equal_away_from_the_au(faces):
    rows = table(faces, "pairs")
    source = np.stack([images.load(name) for name in rows.images()]).astype(int)
    true = [images.load(manifest.reference(faces, path)) for path in rows.columns["true_path"]]
    true = np.stack(true).astype(int)
    change = np.abs(source - true).max(-1)
    target = np.stack([rows.numbers(f"target_{name}") for name in NAMES], 1)
    assert (change.reshape(len(rows), -1).max(1) > 8).all()
    lower = target[:, [INDEX[a] for a in (15, 18, 20, 23, 24, 25)]].any(1)
    upper = target[:, [INDEX[a] for a in (1, 2, 5)]].any(1)
    assert (change[lower][:, :8] <= 1).all()    # the forehead and brows do not move with the mouth
    assert (change[upper][:, 24:] <= 1).all()   # nor the chin with the brows


def test_each_au_changes_its_own_region(faces):
    found = report.pixel_changes(32, "cpu", 3, people=3)
    assert set(found) == set(NAMES)
    for name, one in found.items():
        assert one["change"] > 0.5, name
        assert one["inside"] > 0.75, name


def test_a_killed_run_goes_on_to_the_same_bytes(faces, tmp_path):
    command = [sys.executable, "-m", "lib.datasets.rendered_faces", "--out", str(tmp_path), *SMALL,
               "--workers", "2"]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.time() + 300
    while not list(tmp_path.glob(".labelled-*/[0-9]*.npy")):
        assert running.poll() is None and time.time() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    assert running.communicate()[0] == b""  # stdout is for products, and the data are in files
    assert not (tmp_path / "unlabelled.csv").exists()
    rendered_faces.main(command[3:])
    names = sorted(path.name for path in faces.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert filecmp.cmpfiles(faces, tmp_path, names, shallow=False)[0] == names


def test_the_seed_changes_everything_and_a_second_run_nothing(faces, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in faces.iterdir()}
    rendered_faces.main(["--out", str(faces), *SMALL])
    assert before == {path: path.stat().st_mtime_ns for path in faces.iterdir()}
    one, two = (plan.draw("labelled", seed, 60, 4, "natural") for seed in (0, 1))
    assert not np.array_equal(one.levels, two.levels)


def test_rendering_starts_without_a_word():
    """Warp says on stderr that there is no GPU, and anny talks on stdout."""
    done = subprocess.run(
        [sys.executable, "-c", "from lib.rendering import heads; heads.load_anny()"], cwd=ROOT,
        capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_compiling_is_said_once(tmp_path):
    assert raster.begins_to_compile(tmp_path, "cpu")
    assert not raster.begins_to_compile(tmp_path, "cpu")  # another process of the same render
    (begun,) = tmp_path.iterdir()
    os.utime(begun, (0, 0))  # one that was killed long ago
    assert raster.begins_to_compile(tmp_path, "cpu")
    os.utime(begun, (0, 0))
    kernels = tmp_path / raster._fill.module.get_module_identifier(1)
    kernels.mkdir()
    (kernels / "compiled.cpu1a2b3c4d.o").touch()
    assert not raster.begins_to_compile(tmp_path, "cpu")
    assert raster.begins_to_compile(tmp_path, "cuda")  # of a GPU are others


def test_png_files(tmp_path):
    few = [text if text.startswith("--") else "0" for text in SMALL]
    few[1], few[SMALL.index("--size") + 1], few[SMALL.index("--people") + 1] = "6", "32", "2"
    rendered_faces.main(["--out", str(tmp_path), *few, "--format", "png", "--workers", "1"])
    rows = table(tmp_path, "labelled")
    assert rows.columns["path"][3] == "labelled/000/000003.png"
    assert images.load(rows.images()[3]).shape == (32, 32, 3)


@pytest.mark.skipif(importlib.util.find_spec("mediapipe") is None,
                    reason="mediapipe is not installed")
def test_a_detector_of_real_faces_finds_them(tmp_path):
    import mediapipe
    from PIL import Image

    few = [text if text.startswith("--") else "0" for text in SMALL]
    few[1], few[SMALL.index("--size") + 1], few[SMALL.index("--people") + 1] = "100", "64", "20"
    rendered_faces.main(["--out", str(tmp_path), *few])
    detector = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True,
                                                      min_detection_confidence=0.3)
    found = 0
    for picture in np.load(tmp_path / "labelled.npy"):
        large = np.asarray(Image.fromarray(picture).resize((256, 256), Image.Resampling.BICUBIC))
        padded = np.pad(large, ((64, 64), (64, 64), (0, 0)), mode="edge")
        found += detector.process(np.ascontiguousarray(padded)).multi_face_landmarks is not None
    assert found >= 99


def test_pairs_of_expressions_show_one_person_in_one_light(faces):
    names = ["happiness", "sadness", "surprise", "fear", "anger", "disgust", "contempt"]
    rows = table(faces, "pairs_expression")
    assert rows.columns["target_expression"] == [*names, *names[:2]]
    assert set(rows.columns["expression"]) == {"neutral"} and len(set(rows.columns["subject"])) == 2
    assert rows.columns["path"] == ["pairs_expression.npy#0"] * 7 + ["pairs_expression.npy#8"] * 2
    assert rows.columns["true_path"][6:8] == ["pairs_expression.npy#7", "pairs_expression.npy#9"]
    happy = {au: rows.numbers(f"target_{au}")[0] for au in NAMES}
    assert {au for au, level in happy.items() if level} == {"AU06", "AU12", "AU25"}
    assert not rows.aus(list(NAMES)).any()
    drawn = plan.draw("pairs_expression", 0, 9, 0, "expressions")
    for part in (drawn.pose, drawn.shift, drawn.gaze, drawn.grain):  # as their neutral frame
        assert all((part[i] == part[drawn.neutral[i]]).all()
                   for i in range(len(drawn)) if drawn.neutral[i] >= 0)
