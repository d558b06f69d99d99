"""Features of one person's images by two models (Niinuma's figure 8 B): who is shown, how well
features sort, and the page."""

from types import SimpleNamespace

import models
import numpy as np
import pytest
from commands import call

from lib import manifest
from lib.cli import BadInput
from lib.evaluation import feature_maps, plots, report_page


def test_features_that_are_the_level_sort_and_others_do_not():
    """Ten images at levels 0, 1, … 9 of one feature: each has its neighbours around it, so the
    mean level of the two nearest is its own (and 1.5, 7.5 at the ends). Constant levels have no
    correlation."""
    level = np.arange(10.0)
    near = np.array([1.5, *range(1, 9), 7.5])
    expected = np.corrcoef(level, near)[0, 1]
    assert feature_maps.nearest_agree(level[:, None], level, 2) == pytest.approx(expected)
    assert feature_maps.nearest_agree(level[:, None], np.ones(10), 2) is None
    assert feature_maps.nearest_agree(level[:3, None], level[:3], 3) is None
    blind = np.tile([0.0, 1, 0, 1, 0], 2)[:, None] * 100 + level[:, None] % 5
    assert feature_maps.nearest_agree(blind, level, 2) < expected - 0.2
    unlabelled = np.append(level, np.nan)
    assert feature_maps.nearest_agree(np.append(level, 4.2)[:, None], unlabelled, 2) == (
        pytest.approx(expected)
    )


@pytest.fixture
def people(tmp_path):
    """Nine images of p (weak), ten of q (strong), and three of r, the strongest of all."""
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 6, (22, 4)) / 5
    levels[:9] *= 0.4
    levels[9:19, 2] = 0.6  # of q, AU12 never changes
    levels[19:] = 1
    models.dataset(tmp_path, levels, subjects=["p"] * 9 + ["q"] * 10 + ["r"] * 3)
    for name in ("generic", "own-p", "own-q"):
        models.classifier(tmp_path / f"{name}.onnx")
    return tmp_path


def test_the_liveliest_person_of_enough_images_is_shown(people):
    data = manifest.read(people / "set.csv")
    rows, name = feature_maps.choose_subject(data, "")
    assert name == "q" and list(rows) == list(range(9, 19))
    assert feature_maps.choose_subject(data, "p")[1] == "p"
    assert "AU12" in feature_maps.choose_aus(data.take(rows), ["AU12"])
    with pytest.raises(BadInput, match="has 3 images of subject 'r'"):
        feature_maps.choose_subject(data, "r")
    with pytest.raises(BadInput, match="has no column AU45"):
        feature_maps.choose_aus(data, ["AU45"])


def test_the_page_has_a_map_for_each_au_and_model(people, capsys):
    status, out, said = call(
        feature_maps.main, capsys, people / "generic.onnx", people / "own-{subject}.onnx",
        "--test", people / "set.csv", "--out", people / "page", "--aus", "AU01", "AU26",
    )
    assert status == 0 and out == "", said
    text = (people / "page/index.html").read_text()
    assert "Person: q, 10 images" in text and "AU01, AU26" in text
    assert (people / "page/features.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_without_features_is_one_line(people, capsys):
    models.classifier(people / "generic.onnx", only=["au"])
    status, _, said = call(
        feature_maps.main, capsys, people / "generic.onnx", people / "own-{subject}.onnx",
        "--test", people / "set.csv", "--out", people / "page",
    )
    assert status == 3 and "has no output `features`" in said and "Traceback" not in said


def test_unlabelled_images_are_no_neutral_ones(tmp_path, monkeypatch):
    """p has nine labels of 0.4 (3.6), q eight of 0.4 among sixteen images (3.2; with the empty ones
    as the others are 6.4), r sixteen images of which two have a label."""
    levels = [[0.4] * 4] * 41
    models.dataset(tmp_path, levels, subjects=["p"] * 9 + ["q"] * 16 + ["r"] * 16)
    data = manifest.read(tmp_path / "set.csv")
    for name in models.AUS:
        data.columns[name] = ["0.4"] * 9 + ["0.4", ""] * 8 + ["1"] * 2 + [""] * 14
    data.columns["AU26"] = [""] * 41
    rows, name = feature_maps.choose_subject(data, "")
    assert name == "q" and "AU26" not in feature_maps.choose_aus(data, [])
    with pytest.raises(BadInput, match="nobody has 8 images with a label of an AU"):
        feature_maps.choose_subject(data.take(np.arange(25, 41)), "")
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, path: drawn.append(figure))
    places = np.arange(32.0).reshape(16, 2)
    feature_maps.draw("x.png", {"generic": (places, places)},
                      {"AU01": data.take(rows).numbers("AU01")})
    grey, coloured = drawn[0].axes[0].collections
    assert np.array_equal(grey.get_offsets(), places[1::2])
    assert np.array_equal(coloured.get_offsets(), places[::2])
    plots.clouds("x.png", places[:3], {"sum": (np.array([0, np.nan, 1.0]), "sum of AUs")})
    grey, coloured = drawn[1].axes[0].collections
    assert len(grey.get_offsets()) == 1 and coloured.get_array().tolist() == [0, 1]


def test_the_report_says_which_images_are_grey(tmp_path, monkeypatch):
    """Twelve images; the last has no label of AU02, and so no sum."""
    models.dataset(tmp_path, [[k / 20, .2, 0, 0] for k in range(12)])
    data = manifest.read(tmp_path / "set.csv")
    data.columns["AU02"] = ["0.2"] * 11 + [""]
    drawn, page = {}, SimpleNamespace(folder=tmp_path, picture=lambda *texts: drawn.update(
        text=" ".join(texts)))
    monkeypatch.setattr(plots, "clouds", lambda path, points, colourings: drawn.update(colourings))
    monkeypatch.setattr(feature_maps, "tsne", lambda values: values)
    reading = SimpleNamespace(features=np.arange(24.0).reshape(12, 2))
    report_page.features(page, data, reading)
    amount, label = drawn["intensity: sum of all AUs, level / 5"]
    rows = np.random.default_rng(0).permutation(12)
    expected = np.where(rows == 11, np.nan, rows / 20 + 0.2)
    assert amount == pytest.approx(expected, nan_ok=True) and label == "sum of AUs"
    assert "Images that lack labels of intensity are grey." in drawn["text"]
    data.columns["AU02"] = ["0.2"] * 12
    report_page.features(page, data, reading)
    assert "grey" not in drawn["text"]
