"""Editors that are told more than is asked, where they do less."""
import json

import models
import numpy as np
import onnx
import pytest

from lib import strength
from lib.cli import BadInput
from lib.onnx_runtime import Model


def report(tmp_path, **fulfilled):
    """A report on edits: a true rise of 0.5 each, and this share of it shown."""
    per_au = {au: {"rise": None if share is None else 0.5 * share, "true_rise": 0.5}
              for au, share in fulfilled.items()}
    (tmp_path / "r.json").write_text(json.dumps({"edits": {"per_au": per_au}}))
    return str(tmp_path / "r.json")


def test_strengths_by_hand():
    """A tenth of the rise is an eighth of 0.8, and 8^(2/3) = 4; what is enough, or unknown, or
    wrong, stays."""
    per_au = {"AU01": {"rise": 0.05, "true_rise": 0.5}, "AU02": {"rise": 0.5, "true_rise": 0.5},
              "AU04": {"rise": -0.1, "true_rise": 0.5}, "AU05": {"rise": None, "true_rise": None}}
    names = ["AU01", "AU02", "AU04", "AU05", "AU06"]
    assert strength.strengths_of(per_au, names, 5).tolist() == [4, 1, 1, 1, 1]
    assert strength.strengths_of(per_au, names, 1.5).tolist() == [1.5, 1, 1, 1, 1]


def test_the_network_is_told_more(tmp_path):
    """The toy editor adds 255 (target - source) to an AU's stripe: with a strength of 2, AU01
    rises twice as far."""
    models.generator(tmp_path / "g.onnx")
    strength.main([str(tmp_path / "g.onnx"),
                   "--report", report(tmp_path, AU01=0.8 / 2 ** 1.5, AU02=0.8),
                   "--out", str(tmp_path / "s.onnx"), "--most", "3"])
    image = models.paint([0.1, 0.1, 0.1, 0.1])[None]
    source = np.full((1, 4), 0.1, np.float32)
    target = source + np.array([[0.2, 0.2, 0, 0]], np.float32)
    plain, strong = (Model.open(str(tmp_path / name)).predict(image, 1, "x", ["edited"],
                                                              source=source, target=target)
                     for name in ("g.onnx", "s.onnx"))
    plain, strong = (made["edited"][0, 0, ::2, 0].astype(int) for made in (plain, strong))
    assert np.allclose(plain, [0.3 * 255, 0.3 * 255, 0.1 * 255, 0.1 * 255], atol=1)
    assert np.allclose(strong, [0.5 * 255, 0.3 * 255, 0.1 * 255, 0.1 * 255], atol=1)
    same = Model.open(str(tmp_path / "s.onnx")).predict(
        image, 1, "x", ["edited"], source=source, target=source
    )
    assert np.array_equal(same["edited"][0], image[0])
    assert json.loads((tmp_path / "s.json").read_text())["strength"] == {
        "AU01": 2, "AU02": 1, "AU12": 1, "AU26": 1
    }


def test_what_is_wrong_is_said(tmp_path):
    models.generator(tmp_path / "g.onnx")
    models.classifier(tmp_path / "c.onnx")
    (tmp_path / "bad.json").write_text("{}")
    good, out = report(tmp_path, AU01=0.1), str(tmp_path / "s.onnx")
    for model, said, told in (
        ("c.onnx", good, "no editor of AUs"), ("r.json", good, "no ONNX model"),
        ("none.onnx", good, "no such model"),
        ("g.onnx", str(tmp_path / "bad.json"), "no report on edits")
    ):
        with pytest.raises(BadInput, match=told):
            strength.main([str(tmp_path / model), "--report", said, "--out", out])
    strength.main([str(tmp_path / "g.onnx"), "--report", good, "--out", out])
    with pytest.raises(BadInput, match="strengthened already"):
        strength.main([out, "--report", good, "--out", str(tmp_path / "t.onnx")])


def test_metadata_of_other_tools_are_one_line(tmp_path):
    """Other tools write plain text there, author=Jane, which is no JSON."""
    model = onnx.load(models.generator(tmp_path / "g.onnx"))
    model.metadata_props.add(key="author", value="Jane")
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(BadInput, match="foreign.onnx: its metadata is not JSON .* export one with"):
        strength.main([str(tmp_path / "foreign.onnx"), "--report", report(tmp_path, AU01=0.1),
                       "--out", str(tmp_path / "s.onnx")])
