"""pseudo_label.py on a model that reads the brightness of stripes: values, confidence, which cells
are filled."""
import csv
import io
import os
import signal
import subprocess
import time
from types import SimpleNamespace

import models
import numpy as np
import pytest
from commands import (
    ENVIRONMENT,
    NO_TORCH,
    call,
    command,
    execute,
    fail,
    files,
    interruptible,
    succeed,
    wait_until_it_runs,
)

import pseudo_label
from lib import images, pseudo_labels

# exact in 8 bits
LEVELS = [[0, .2, .4, .6], [1, 0, 0, .8], [.2, .2, .2, .2], [0, 0, 0, 0], [1, 1, 1, 1]]


@pytest.fixture
def place(tmp_path):
    models.classifier(tmp_path / "model.onnx")
    models.dataset(tmp_path, LEVELS, "images.csv", aus=[])
    return tmp_path


def table(text):
    """CSV text as a list of {column: cell}."""
    return list(csv.DictReader(io.StringIO(text)))


def label(place, capsys, *arguments, status=0):
    """Run in this process on the five images; the rows that come out (or what was said, when it
    fails)."""
    code, out, err = call(pseudo_label.main, capsys, "--model", place / "model.onnx", *arguments)
    assert code == status, err
    return err if status else table(out)


def test_soft_values_and_confidence_by_hand(place, capsys):
    rows = label(place, capsys, "--images", place / "images.csv", "--batch", 2)
    assert [[float(row[au]) for au in models.AUS] for row in rows] == LEVELS
    assert [row["path"].split("#")[1] for row in rows] == list("01234")
    assert {row["source"] for row in rows} == {"pseudo"}
    assert rows[1]["valence"] == "1"
    assert rows[1]["arousal"] == "-1"
    assert rows[1]["expression"] == "happiness"
    # threshold 0.4: (0.4 / 0.4 + 0.2 / 0.4 + 0 + 0.2 / 0.6) / 4
    assert float(rows[0]["confidence"]) == pytest.approx((1 + .5 + 0 + 1 / 3) / 4, abs=1e-4)
    assert float(rows[3]["confidence"]) == float(rows[4]["confidence"]) == 1
    assert "au_kind" not in rows[0]


def test_thresholds_make_occurrences(place, capsys):
    rows = label(place, capsys, "--images", place / "images.csv", "--threshold", "0.7")
    assert [[row[au] for au in models.AUS] for row in rows][:2] == [list("0000"), list("1001")]
    assert {row["au_kind"] for row in rows} == {"occurrence"}
    rows = label(place, capsys, "--images", place / "images.csv", "--threshold", "stored")
    assert [rows[0][au] for au in models.AUS] == list("0001")


def test_only_empty_cells_are_filled_and_columns_pass_through(place, capsys):
    (place / "part.csv").write_text("path,AU01,AU43,remark,au_kind,source,confidence\n"
                                    'images.npy#0,0.9,,"a, b",intensity,real,\n'
                                    "images.npy#1,,0.5,,,,\nimages.npy#2,,,,occurrence,,\n")
    rows = label(place, capsys, "--images", place / "part.csv", "--threshold", "0.5")
    assert [row["AU01"] for row in rows] == ["0.9", "", "0"]
    assert [row["AU43"] for row in rows] == ["", "0.5", ""]
    assert rows[0]["remark"] == "a, b" and rows[0]["expression"] == "happiness"
    # 0.6 is above the threshold, but a 1 beside levels would be level 5
    assert [row["AU26"] for row in rows] == ["", "", "0"]
    # rows with AUs of their own keep it
    assert [row["au_kind"] for row in rows] == ["intensity", "", "occurrence"]
    rows = label(place, capsys, "--images", place / "part.csv", "--relabel")
    assert [row["AU01"] for row in rows] == ["0", "1", "0.2"]
    assert [row["au_kind"] for row in rows] == ["intensity", "", "intensity"]


def test_a_row_is_of_one_kind(place, capsys):
    """Row 0 has a level of AU43, row 1 an occurrence; the model reads 0, .2, .4, .6 and 1, 0, 0,
    .8."""
    (place / "part.csv").write_text("path,AU43,au_kind\nimages.npy#0,0.2,\n"
                                    "images.npy#1,1,occurrence\nimages.npy#0,0,occurrence\n")
    rows = label(place, capsys, "--images", place / "part.csv")
    assert [[row[au] for au in models.AUS] for row in rows] == \
        [["0", "0.2", "0.4", "0.6"], list("1001"), list("0011")]
    models.classifier(place / "model.onnx", au_kind="occurrence")
    rows = label(place, capsys, "--images", place / "part.csv")
    assert [[row[au] for au in models.AUS] for row in rows] == \
        [[""] * 4, ["1", "0", "0", "0.8"], ["0", "0.2", "0.4", "0.6"]]
    assert [(row["AU43"], row["au_kind"]) for row in rows] == \
        [("0.2", ""), ("1", "occurrence"), ("0", "occurrence")]


def test_confidence_is_told_by_the_threshold_that_labels(place, capsys):
    """At 0.7 the readings 0, .2, .4, .6 are 7/7, 5/7, 3/7 and 1/7 sure of absence; the model's own
    thresholds are 0.4."""
    rows = label(place, capsys, "--images", place / "images.csv", "--threshold", "0.7",
                 "--mask-confidence", 0.5)
    assert float(rows[0]["confidence"]) == pytest.approx(16 / 28, abs=1e-4)
    assert [rows[0][au] for au in models.AUS] == ["0", "0", "", ""]
    # image 1 reads 0.8: a third sure of presence
    assert [rows[1][au] for au in models.AUS] == ["1", "0", "0", ""]


def test_a_label_stays_where_the_new_one_is_unsure(place, capsys):
    """Of AU01 0, 1 and 0.2 are read: at threshold 0.4 the confidence is 1, 1 and 0.5."""
    (place / "part.csv").write_text("path,AU01,au_kind\nimages.npy#0,0.9,occurrence\n"
                                    "images.npy#1,,\nimages.npy#2,0.7,occurrence\n")
    rows = label(place, capsys, "--images", place / "part.csv", "--relabel",
                 "--mask-confidence", 0.8)
    assert [row["AU01"] for row in rows] == ["0", "1", "0.7"]
    assert [row["au_kind"] for row in rows] == ["intensity", "intensity", "occurrence"]


def test_what_was_labelled_is_named():
    judge = SimpleNamespace(aus=[], outputs=["valence_arousal", "expression", "features"],
                            expressions=["anger", "joy"])
    assert pseudo_labels.columns_of(judge) == ["valence", "arousal", "expression"]


def test_a_model_of_occurrences_labels_occurrences(place, capsys):
    models.classifier(place / "model.onnx", au_kind="occurrence")
    rows = label(place, capsys, "--images", place / "images.csv")
    assert {row["au_kind"] for row in rows} == {"occurrence"}
    assert float(rows[0]["AU02"]) == pytest.approx(0.2)


def test_a_row_with_all_labels_stays_real(place, capsys):
    (place / "full.csv").write_text(
        "path,AU01,AU02,AU12,AU26,valence,arousal,expression,source,confidence\n"
        "images.npy#0,0,0,0,0,0.5,0,sadness,real,0.1\nimages.npy#3,,,,,,,,,\n"
    )
    rows = label(place, capsys, "--images", place / "full.csv", "--min-confidence", "0.9")
    sure = [(row["source"], float(row["confidence"])) for row in rows]
    assert sure == [("real", 0.1), ("pseudo", 1)]
    assert rows[0]["expression"] == "sadness" and rows[1]["valence"] == "-1"


def test_cells_that_the_model_is_unsure_of_stay_empty(place, capsys):
    """Thresholds are 0.4: 0 and 0.2 are 1 and 0.5 sure of absence; 0.6, 0.8 and 1 are 1/3, 2/3 and
    1 of presence."""
    rows = label(place, capsys, "--images", place / "images.csv", "--mask-confidence", 0.55)
    cells = [[row[au] for au in models.AUS] for row in rows]
    assert cells == [["0", "", "", ""], ["1", "0", "0", "0.8"], [""] * 4, ["0"] * 4, ["1"] * 4]
    expected = ["neutral" if k in (2, 3) else "happiness" for k in range(5)]
    assert [row["expression"] for row in rows] == expected
    models.classifier(place / "model.onnx", only=["au"])
    rows = label(place, capsys, "--images", place / "images.csv", "--mask-confidence", 0.55)
    assert [row["path"][-1] for row in rows] == list("0134")  # nothing is known of image 2


def test_as_many_presences_as_absences_of_each_au(place, capsys):
    models.classifier(place / "model.onnx", only=["au"])
    rows = label(place, capsys, "--images", place / "images.csv", "--per-class", 1,
                 "--threshold", "stored")
    table = {row["path"][-1]: [row[au] for au in models.AUS] for row in rows}
    assert table == {"0": ["0", "", "", ""], "1": ["1", "0", "0", ""], "3": ["", "", "", "0"],
                     "4": ["", "1", "1", "1"]}
    assert {row["au_kind"] for row in rows} == {"occurrence"}
    said = label(place, capsys, "--images", place / "images.csv", "--mask-confidence", 1.1,
                 status=3)
    assert "no label is left" in said


def test_min_confidence_and_shards(place, capsys):
    rows = label(place, capsys, "--images", place / "images.csv", "--min-confidence", "0.95")
    assert [row["path"][-1] for row in rows] == list("34")
    assert "highest 0.4583" in label(place, capsys, "--images", place / "images.csv",
                                     "--shard", "1/5", "--min-confidence", "0.9", status=3)
    whole = label(place, capsys, "--images", place / "images.csv")
    parts = [label(place, capsys, "--images", place / "images.csv", "--shard", f"{i}/3")
             for i in (1, 2, 3)]
    assert sum(parts, []) == whole
    assert "empty" in label(place, capsys, "--images", place / "images.csv", "--shard", "1/9",
                            status=3)


def test_paths_and_manifests_from_stdin(place):
    for i in (1, 2):
        # another size
        images.save(place / f"face {i}.png", models.paint(LEVELS[i]).repeat(3, 0).repeat(3, 1))
    out, said = succeed("pseudo_label.py", "--model", "model.onnx", "--images", "-", cwd=place,
                        stdin="face 1.png\n\nface 2.png\n")
    rows = table(out)
    assert [row["path"] for row in rows] == ["face 1.png", "face 2.png"]
    assert "labelled 2 of 2" in said
    assert float(rows[1]["AU12"]) == pytest.approx(0.2, abs=0.01)
    out, _ = succeed("pseudo_label.py", "--model", "model.onnx", "--images", "-",
                     "--out", "deep/out.csv", cwd=place, stdin="subject,path\nann,face 1.png\n")
    assert not out and table((place / "deep/out.csv").read_text())[0]["path"] == "../face 1.png"
    fail(3, "no image paths", "pseudo_label.py", "--model", "model.onnx", "--images", "-",
         cwd=place, stdin="\n")


def test_metadata_beside_the_model_and_models_without(place, capsys):
    import json

    import onnx

    model = onnx.load(place / "model.onnx")
    meta = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    del model.metadata_props[:]
    onnx.save(model, place / "model.onnx")
    said = label(place, capsys, "--images", place / "images.csv", status=3)
    assert "lacks the metadata kind" in said
    (place / "model.json").write_text(json.dumps(meta))
    assert len(label(place, capsys, "--images", place / "images.csv")) == 5


def test_registration_mismatch_is_said(place, capsys):
    models.classifier(place / "model.onnx", registration="3d")
    (place / "crops.csv").write_text("path,registration\nimages.npy#0,2d\n")
    code, _, said = call(pseudo_label.main, capsys, "--model", place / "model.onnx",
                         "--images", place / "crops.csv")
    assert code == 0 and "expects registration '3d'" in said and "has 2d" in said
    line = command("pseudo_label.py", "--model", place / "model.onnx", "--images", "-")
    paths = subprocess.run(line, cwd=place, env=ENVIRONMENT, input="images.npy#0\n",
                           capture_output=True, text=True)
    assert paths.returncode == 0
    assert "expects registration '3d', stdin has unregistered images" in paths.stderr


def test_the_mean_image_of_a_person_is_subtracted_where_the_model_asks(place):
    from types import SimpleNamespace

    from lib import manifest
    from lib.cli import BadInput
    from lib.onnx_runtime import reference_images

    model = SimpleNamespace(inputs={"image": None, "reference": None}, image_size=8,
                            path="model.onnx")
    data = manifest.read(place / "images.csv")
    data.columns["subject"] = ["a", "b", "a", "b", "b"]
    found = reference_images(model, data)
    assert np.array_equal(found[0], found[2])
    assert found[0][0, ::2, 0] == pytest.approx([26, 51, 76, 102], abs=1)
    data.columns["subject"] = [""] * 5
    with pytest.raises(BadInput, match="column reference"):
        reference_images(model, data)


@pytest.mark.parametrize("case, status, mentions",
                         [("missing", 3, "no such image"), ("truncated", 3, "cannot be decoded"),
                          ("AU01", 3, "'7.3' is not in [0, 1]"), ("AU1", 3, "rename it to 'AU01'"),
                          ("Valence", 3, "rename it to 'valence'"), ("empty", 3, "no rows"),
                          ("model", 3, "no such model"), ("onnx", 3, "not a usable ONNX model"),
                          ("threshold", 2, "--threshold 2"), ("shard", 2, "--shard 3/2"),
                          ("generator", 3, "is an editor, not a classifier")])
def test_bad_input_is_one_line_and_leaves_the_old_output(place, capsys, case, status, mentions):
    images.save(place / "cut.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    (place / "cut.jpg").write_bytes((place / "cut.png").read_bytes()[:500])
    text = {"missing": "path\nimages.npy#0\nnone.png\n",
            "truncated": "path\nimages.npy#0\ncut.jpg\n", "AU01": "path,AU01\nimages.npy#0,7.3\n",
            "AU1": "path,AU1\nimages.npy#0,\n", "empty": "path\n",
            "Valence": "path,Valence\nimages.npy#0,\n"}.get(case, "path\nimages.npy#0\n")
    (place / "in.csv").write_text(text)
    (place / "out.csv").write_text("old")
    (place / "bad.onnx").write_text("text")
    model = {"model": place / "none.onnx", "onnx": place / "bad.onnx",
             "generator": models.generator(place / "g.onnx")}.get(case, place / "model.onnx")
    more = {"threshold": ["--threshold", "2"], "shard": ["--shard", "3/2"]}.get(case, [])
    before = files(place)
    code, out, err = call(pseudo_label.main, capsys, "--model", model,
                          "--images", place / "in.csv", "--out", place / "out.csv", *more)
    assert code == status and mentions in err and len(err.splitlines()) == 1 and not out
    assert files(place) == before


def test_a_full_disk_is_bad_input_and_a_closed_pipe_is_none(place):
    with open("/dev/full", "w") as full:
        done = execute("pseudo_label.py", "--model", "model.onnx", "--images", "images.csv",
                       cwd=place, stdout=full)
    assert done.returncode == 3
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("sent, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopping_leaves_nothing_behind(place, sent, status):
    before = {path.name for path in place.iterdir()}
    line = command("pseudo_label.py", "--model", "model.onnx", "--images", "-",
                   "--out", "out.csv")
    running = subprocess.Popen(line, preexec_fn=interruptible, cwd=place, env=ENVIRONMENT,
                               stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until_it_runs(running)
    time.sleep(1)  # it waits for its list of images
    running.send_signal(sent)
    _, said = running.communicate(timeout=10)
    assert running.returncode == status and "Traceback" not in said
    assert {path.name for path in place.iterdir()} == before


def test_torch_is_never_imported_and_help_is_quick(place):
    start = sum(os.times()[2:4])
    succeed("pseudo_label.py", "--help")
    assert sum(os.times()[2:4]) - start < 0.7  # processor seconds of the process that ran it
    python, *line = command("pseudo_label.py", "--model", "model.onnx", "--images", "images.csv")
    done = subprocess.run([python, "-c", NO_TORCH, *line], cwd=place, env=ENVIRONMENT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_photos_are_registered_and_those_without_a_face_left_out(place, capsys):
    """The astronaut's face is found; the grey picture has none."""
    from lib.cli import BadInput
    from lib.faces import models as networks

    photo = pytest.importorskip("skimage.data", reason="scikit-image is not installed").astronaut()
    try:
        networks.check()
    except BadInput as error:
        pytest.skip(str(error))
    images.save(place / "a.png", photo)
    images.save(place / "b.png", np.full((64, 64, 3), 128, np.uint8))
    (place / "list.csv").write_text("path,remark\nb.png,none\na.png,one\n")
    code, out, err = call(pseudo_label.main, capsys, "--model", place / "model.onnx",
                          "--images", place / "list.csv", "--register")
    rows = table(out)
    assert code == 0 and "left out: " in err and "b.png: no face found" in err
    assert [row["remark"] for row in rows] == ["one"]
    assert rows[0]["registration"].startswith("tight-")
    assert float(rows[0]["face_confidence"]) > .9 and 0 <= float(rows[0]["AU01"]) <= 1
    (place / "list.csv").write_text("path\nb.png\n")
    said = label(place, capsys, "--images", place / "list.csv", "--register", status=3)
    assert "no face in any of 1 images" in said
