"""evaluate.py --pairs with editors of expressions, and of valence and arousal, by hand."""
import json

import models
import numpy as np
import pytest
from commands import fail_here, succeed_here

import evaluate
from lib import manifest

CLASSES = ["neutral", "anger", "sadness", "happiness"]


def pictures(place, sources, trues):
    """Grey-stripe pictures [N,K] of sources and true images; columns of a pairs manifest."""
    rows = len(sources)
    pictures = [models.paint(row, 16) for row in np.concatenate([sources, trues])]
    np.save(place / "p.npy", np.stack(pictures))
    return {"path": [f"p.npy#{i}" for i in range(rows)], "subject": [f"s{i}" for i in range(rows)],
            "true_path": [f"p.npy#{i + rows}" for i in range(rows)]}


def report(place, *more):
    text, _ = succeed_here(evaluate.main, "--model", place / "generator.onnx",
                           "--pairs", place / "pairs.csv", "--judge", place / "judge.onnx",
                           "--report", place / "plots", *more)
    return json.loads(text)


def test_expressions(tmp_path):
    """Stripes are classes. The judge reads the last stripe: happiness, else neutral."""
    sources = np.array([[1, 0, 0, 0.0], [1, 0, 0, 0], [0, 0, 0, 1]])
    trues = np.array([[0, 0, 0, 1.0], [0, 0, 0, 0.8], [1, 0, 0, 0]])
    columns = pictures(tmp_path, sources, trues)
    # the third is not edited: its source's label is unknown, and NaN changes nothing in this
    # generator
    manifest.write(tmp_path / "pairs.csv",
                   {**columns, "expression": ["neutral", "neutral", ""],
                    "target_expression": ["happiness", "happiness", "neutral"]})
    models.generator(tmp_path / "generator.onnx", aus=CLASSES, size=16,
                     labels={"aus": [], "expressions": CLASSES})
    models.classifier(tmp_path / "judge.onnx", size=16)
    found = report(tmp_path)
    assert found["protocol"]["kind"] == "expression" and found["n"] == 3
    happy, neutral = (found["edits"]["per_au"][name] for name in ("happiness", "neutral"))
    assert happy["rise"] == pytest.approx(1, abs=1e-3)
    assert happy["true_rise"] == pytest.approx(0.9, abs=1e-3)
    assert happy["fulfilment"] == pytest.approx(1 / 0.9, abs=2e-3)
    assert neutral["rise"] == pytest.approx(0, abs=1e-3)
    assert neutral["true_rise"] == pytest.approx(1, abs=1e-3)
    assert found["edits"]["expression"] == {
        "read_as_asked": {"neutral": {"source": 0, "edited": 0, "true": 1},
                          "happiness": {"source": 0, "edited": 1, "true": 1}},
        "mean": {"source": 0, "edited": 0.5, "true": 1}
    }
    assert (tmp_path / "plots/index.html").exists()


def test_the_class_that_a_source_already_shows_is_no_target(tmp_path):
    columns = pictures(tmp_path, np.zeros((2, 4)), np.eye(4)[[3, 3]])
    manifest.write(tmp_path / "pairs.csv", {**columns, "expression": ["happiness", "neutral"],
                                            "target_expression": ["happiness", "happiness"]})
    models.generator(tmp_path / "generator.onnx", aus=CLASSES, size=16,
                     labels={"aus": [], "expressions": CLASSES})
    models.classifier(tmp_path / "judge.onnx", size=16)
    assert report(tmp_path)["n"] == 1


def test_valence_and_arousal(tmp_path):
    """The judge reads valence = 2 x first stripe - 1 and arousal = -valence; the editor adds its
    change to the stripe."""
    valence = np.array([-1, -0.5, 0.0])
    sources = np.stack([(valence + 1) / 2, np.full(3, 0.5)], 1)
    trues = sources + [[0.4, 0]]  # valence + 0.8
    columns = pictures(tmp_path, sources, trues)
    manifest.write(tmp_path / "pairs.csv",
                   {**columns, "valence": list(valence), "arousal": [0.0] * 3,
                    "target_valence": list(valence + 0.2)})
    models.generator(tmp_path / "generator.onnx", aus=["valence", "arousal"], size=16,
                     labels={"valence_arousal": True})
    models.classifier(tmp_path / "judge.onnx", aus=["AU01", "AU02"], size=16)
    found = report(tmp_path)
    # the stripe rises by 0.2 (the change), valence reads twice that
    row = found["edits"]["per_au"]["valence"]
    assert row["rise"] == pytest.approx(0.4, abs=0.01)
    assert row["fulfilment"] == pytest.approx(0.5, abs=0.01)
    read, wanted = valence + 0.4, valence + 0.2
    # both vary alike, so CCC = 2 var / (2 var + 0.2²), var = 1/6
    of_valence = found["edits"]["va"]["valence"]
    assert of_valence["ccc_edited"] == pytest.approx((1 / 3) / (1 / 3 + 0.04), abs=0.01)
    assert of_valence["mae_edited"] == pytest.approx(np.abs(read - wanted).mean(), abs=0.01)
    assert found["edits"]["va"]["arousal"]["n"] == 0
    assert found["edits"]["va"]["arousal"]["ccc_edited"] is None


def test_what_does_not_fit_is_one_line(tmp_path):
    columns = pictures(tmp_path, np.zeros((1, 4)), np.eye(4)[:1])
    models.generator(tmp_path / "generator.onnx", aus=CLASSES, size=16,
                     labels={"aus": [], "expressions": CLASSES})
    models.classifier(tmp_path / "judge.onnx", size=16, only=["au"])
    line = [evaluate.main, "--model", tmp_path / "generator.onnx",
            "--pairs", tmp_path / "pairs.csv", "--judge", tmp_path / "judge.onnx"]
    manifest.write(tmp_path / "pairs.csv", {**columns, "target_AU12": [1.0]})
    fail_here(3, "no column target_AUxx, target_expression", *line)
    manifest.write(tmp_path / "pairs.csv", {**columns, "target_expression": ["anger"]})
    fail_here(3, "has no output 'expression'", *line)
