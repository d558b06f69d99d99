"""Features of one person's images by two models (Niinuma's figure 8 B): who is shown, how well
features sort, and the page."""

import models
import numpy as np
import pytest
from commands import call

from lib import manifest
from lib.cli import BadInput
from lib.evaluation import feature_maps


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
