"""synthesize.py with generators of expressions, of valence and arousal, and without conditions;
strips of one photo."""
import csv

import models
import numpy as np
import pytest
from commands import call
from PIL import Image

import synthesize
from lib import images, manifest, recipes, synthesis
from lib.cli import BadInput
from lib.labels import Labels

CLASSES = ["neutral", "anger", "sadness", "happiness"]


@pytest.fixture
def place(tmp_path):
    """A generator whose four stripes are expressions; a neutral, an angry and an unlabelled face,
    all black."""
    models.generator(tmp_path / "classes.onnx", aus=CLASSES, labels=of_classes())
    np.save(tmp_path / "s.npy", np.zeros((3, 8, 8, 3), np.uint8))
    (tmp_path / "source.csv").write_text(
        "path,subject,expression\ns.npy#0,ann,neutral\ns.npy#1,bob,anger\ns.npy#2,cyn,\n")
    return tmp_path


def of_classes():
    """Metadata of a generator whose conditions are expressions."""
    return {"aus": [], "expressions": CLASSES, "conditions": CLASSES,
            "condition_kind": ["expression"] * 4}


def make(place, capsys, *arguments, model="classes.onnx", source="source.csv", status=0):
    """(manifest rows, images) of a run, or what was said when it fails."""
    given = ["--source", place / source] if source else []
    code, text, err = call(synthesize.main, capsys, "--model", place / model,
                           "--out", place / "out", *given, *arguments)
    assert code == status and not text, err
    if status:
        assert len(err.splitlines()) == 1, err
        return err
    images.pack.cache_clear()
    path = place / "out/manifest.csv"
    pictures = [images.load(one) for one in manifest.read(path).images()]
    return list(csv.DictReader(path.open())), np.stack(pictures)


def stripes(image):
    """Brightness of the four stripes."""
    return image[0, ::2, 0].tolist()


def test_neutral_faces_to_each_expression(place, capsys):
    rows, made = make(place, capsys)  # the default recipe of a model without AUs
    assert sorted(row["expression"] for row in rows) == sorted(CLASSES[1:])
    assert {row["subject"] for row in rows} == {"ann"}
    # the edit adds 255 x (one-hot of the target - one-hot of neutral)
    for row, image in zip(rows, made):
        assert stripes(image) == [255 * (name == row["expression"]) for name in CLASSES]
    assert "AU01" not in rows[0] and rows[0]["source"] == "synthetic"


def test_mixes(place, capsys):
    # of the published three only anger+sadness is known
    rows, made = make(place, capsys, "--recipe", "mix")
    assert [row["edit"] for row in rows] == ["anger+sadness"]
    assert stripes(made[0]) == [0, 255, 255, 0]
    assert not rows[0].get("expression")  # a mixture is no class
    rows, made = make(place, capsys, "--recipe", "mix", "--mix", "anger+happiness",
                      "sadness+happiness", "--count", "2")
    assert {row["edit"] for row in rows} == {"anger+happiness", "sadness+happiness"}
    said = make(place, capsys, "--recipe", "mix", "--mix", "anger+joy", status=3)
    assert "does not know joy" in said


def test_explicit_expressions_go_as_given_and_the_others_are_off(place, capsys):
    rows, made = make(place, capsys, "--set", "anger=0.4", "sadness=0.6")
    assert [row["edit"] for row in rows] == ["anger=0.4 sadness=0.6"] * 3
    assert stripes(made[0]) == [0, 102, 153, 0]  # from neutral = 1
    assert stripes(made[1]) == [0, 0, 153, 0]    # from anger = 1: -0.6 is cut to black
    rows, _ = make(place, capsys, "--set", "happiness=1")
    assert [row["expression"] for row in rows] == ["happiness"] * 3


@pytest.mark.parametrize("arguments, status, told", [
    (("--recipe", "single-au"), 3, "the model knows no AUs"),
    (("--recipe", "reweight"), 3, "--recipe expressions"),
    (("--set", "AU12=1"), 3, "--set AU12: the model does not know it; it has neutral, anger"),
    (("--set", "anger=-0.5"), 2, "in [0, 1]"), (("--set", "valence=-1.5"), 2, "[-1, 1]"),
    (("--set", "anger"), 2, "NAME=VALUE"), (("--mix", "anger+sadness"), 2, "--recipe mix"),
    (("--strip", "0:1:0.5"), 2, "--image"),
    (("--source", "aus.csv"), 3, "has none of the labels of"),
    (("--source", "calm.csv"), 3, "no source has the expression")
])
def test_wrong_combinations_are_one_line(place, capsys, monkeypatch, arguments, status, told):
    (place / "aus.csv").write_text("path,AU12\ns.npy#0,0.5\n")
    (place / "calm.csv").write_text("path,expression\ns.npy#0,anger\n")
    monkeypatch.chdir(place)
    assert told in make(place, capsys, *arguments, status=status)


def test_a_model_of_aus_refuses_recipes_of_classes(place, capsys):
    models.generator(place / "aus.onnx")
    (place / "aus.csv").write_text("path,AU01,AU02,AU12,AU26\ns.npy#0,0,0,0,0\n")
    said = make(place, capsys, "--recipe", "expressions", model="aus.onnx", source="aus.csv",
                status=3)
    assert "the model knows no expressions; it has AU01, AU02, AU12, AU26" in said
    assert "knows no AUs" in make(place, capsys, "--recipe", "emotions", status=3)


def test_sources_are_read_or_taken_for_neutral(place, capsys):
    (place / "bare.csv").write_text("path\ns.npy#0\n")
    rows, made = make(place, capsys, "--assume-neutral", source="bare.csv")
    assert len(rows) == 3 and all(max(stripes(image)) == 255 for image in made)
    # the reader sees its last stripe dark: neutral; its class happiness = that stripe's brightness
    models.classifier(place / "reader.onnx")
    rows = make(place, capsys, "--classifier", place / "reader.onnx", source="bare.csv", status=3)
    assert "does not read anger, sadness" in rows


def test_valence_and_arousal_may_be_negative(place, capsys):
    names = ["valence", "arousal"]
    models.generator(place / "va.onnx", aus=names, labels={"valence_arousal": True})
    np.save(place / "grey.npy", np.full((1, 8, 8, 3), 128, np.uint8))
    (place / "va.csv").write_text("path,valence,arousal\ngrey.npy#0,0.2,0.1\n")
    rows, made = make(place, capsys, "--set", "valence=-0.2", model="va.onnx", source="va.csv")
    assert (rows[0]["valence"], rows[0]["arousal"]) == ("-0.2", "0.1")
    assert made[0, 0, [0, 7], 0].tolist() == [26, 128]  # 128 - 0.4 x 255
    said = make(place, capsys, model="va.onnx", source="va.csv", status=3)
    assert "the model knows no AUs" in said
    (place / "va.csv").write_text("path\ngrey.npy#0\n")
    said = make(place, capsys, "--set", "valence=1", model="va.onnx", source="va.csv", status=3)
    assert "without a label of valence" in said


def test_samplers_of_expressions_and_their_noise(place, capsys):
    models.sampler(place / "sampler.onnx", aus=CLASSES, labels=of_classes())
    rows, made = make(place, capsys, "--count", "8", model="sampler.onnx", source=None)
    assert sorted(row["expression"] for row in rows) == sorted(CLASSES * 2)  # neutral, too
    for i, (row, image) in enumerate(zip(rows, made)):
        noise = np.random.default_rng([0, i]).standard_normal(3, np.float32)[0]
        wanted = [255 * (name == row["expression"]) + noise for name in CLASSES]
        assert stripes(image) == pytest.approx(np.clip(np.round(wanted), 0, 255))


@pytest.mark.parametrize("form", ["png", "gif", "webp"])
def test_a_strip_of_one_photo(place, capsys, form):
    """From the photo's own class, neutral, to the class asked for."""
    images.save(place / "photo.png", np.full((8, 8, 3), 100, np.uint8))
    out = place / f"strip.{form}"
    code, _, said = call(synthesize.main, capsys, "--model", place / "classes.onnx",
                         "--image", place / "photo.png", "--out", out, "--registration", "none",
                         "--assume-neutral", "--set", "anger=1", "--strip", "0:1:0.5")
    assert code == 0, said
    with Image.open(out) as picture:
        if form == "png":
            # the first two stripes of each picture: neutral fades as anger comes
            assert np.asarray(picture)[0, 0::8, 0].tolist() == [100, 0, 0]
            assert np.asarray(picture)[0, 2::8, 0].tolist() == [100, 228, 255]
        else:
            assert picture.n_frames == 3 and picture.size == (8, 8)


def test_part_of_an_edit_by_hand():
    labels = Labels(aus=("AU12",), expressions=("neutral", "anger"))
    known = np.array([[0.5, 1, 0]], np.float32)
    target = np.array([[0.8, 0, 1]], np.float32)

    def part(known, target, factor):
        return synthesis.part_of_the_way(labels, known, target, factor)[0].tolist()

    assert part(known, target, 0.0) == [0, 1, 0]
    assert part(known, target, 0.25) == pytest.approx([0.2, 0.75, 0.25])
    assert part(known, target, 1.0) == pytest.approx([0.8, 0, 1])
    unknown = np.array([[0.5, np.nan, np.nan]], np.float32)
    assert part(unknown, target, 0.5) == pytest.approx([0.4, 0.25, 0.75])
    # an edit of AUs alone keeps the class: NaN stays
    kept = part(known, np.array([[0.8, np.nan, np.nan]], np.float32), 0.5)
    assert kept[0] == pytest.approx(0.4) and np.isnan(kept[1:]).all()


def test_recipes_of_mixed_labels_leave_the_other_kinds_alone():
    names = ["AU01", "AU12", "valence", "anger", "neutral"]
    kinds = ["au", "au", "va", "expression", "expression"]
    source = np.zeros((1, 5), np.float32)
    plan = recipes.make("single-au", source, names, kinds=kinds)
    assert np.isnan(plan.target[:, 2:]).all()
    assert sorted(plan.target[:, :2].max(1)) == pytest.approx([0.7, 0.7])
    plan = recipes.make("expressions", source, names, kinds=kinds)
    assert plan.expression == ["anger"]
    assert np.isnan(plan.target[0, :3]).all()
    assert plan.target[0, 3:].tolist() == [1, 0]
    plan = recipes.make("reweight", np.array([[0, .8, .1, 1, 0], [.6, 0, .2, 0, 1]], np.float32),
                        names, kinds=kinds, count=2)
    assert np.isnan(plan.target[:, 2:]).all() and not np.isnan(plan.target[:, :2]).any()
    with pytest.raises(BadInput, match="no neutral expression"):
        recipes.neutral(np.zeros((1, 1), np.float32), 0.1, ["anger"], ["expression"])
