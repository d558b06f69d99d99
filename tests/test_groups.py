"""The reader's error by groups of people: numbers by hand, and a run on a few rendered people."""
import json

import numpy as np
import pytest

from lib.faces import groups


def test_groups_are_thirds_of_the_skin_and_the_sexes():
    found = groups.groups_of(np.array([.1, .2, .3, .4, .5, .6]), np.array([True] * 2 + [False] * 4))
    skins = [f"skin, {name} third" for name in ("darkest", "middle", "lightest")]
    assert list(found) == [*skins, "women", "men"]
    assert [int(rows.sum()) for rows in found.values()] == [2, 2, 2, 4, 2]
    assert found["skin, darkest third"].tolist() == [True, True] + [False] * 4


def test_error_and_order_by_hand():
    truth = np.array([[0.0], [1], [0], [1], [0], [1]] * 2)
    # the first three people are read well
    scores = np.where(np.arange(12) < 6, truth[:, 0] * .8, .5)[:, None]
    person = np.arange(12) // 2
    table = groups.section(truth, scores, person,
                           {"well": person[::2] < 3, "badly": person[::2] >= 3}, 0)
    assert table["well"] == {"people": 3, "mean_absolute_error": .1, "interval": [.1, .1],
                             "auc": 1, "auc_interval": [1, 1]}
    assert (table["badly"]["mean_absolute_error"], table["badly"]["auc"]) == (.5, .5)
    assert np.isnan(groups.order(truth[:4] * 0, scores[:4]))


def test_a_run(tmp_path, capsys):
    pytest.importorskip("anny", reason="anny is not installed, which renders faces")
    import models as tiny

    tiny.classifier(tmp_path / "reader.onnx", size=32)
    groups.main(["--reader", str(tmp_path / "reader.onnx"), "--people", "6"])
    report = json.loads(capsys.readouterr().out)
    assert report["pictures"] == 6 * groups.FRAMES and len(report["groups"]) == 5
    assert sum(report["groups"][name]["people"] for name in ("women", "men")) == 6
