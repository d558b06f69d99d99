"""Classifiers that read levels and presence: the output `au_present` has thresholds and figures of
its own, beside those of `au`."""

import csv
import json
import re

import models
import numpy as np
import onnx
import onnxruntime
import pytest
from commands import call
from onnx import TensorProto, helper, numpy_helper
from sklearn import metrics as reference
from stripes import make_set, train

import evaluate
import export_onnx
from lib import checkpoints, manifest, model_card, onnx_precision, pseudo_labels
from lib.classifiers import thresholds
from lib.evaluation import bootstrap, intervals
from lib.onnx_runtime import Model, stored_thresholds

BOTH = {"au_kind": "intensity", "thresholds_au_present": {"AU01": 0.9}}
PAINTED = [[1, 0], [.2, 1], [0, 0], [.6, 0]]  # au_present: [0, 1], [.8, 0], [1, 1], [.4, 1]
TRUTH = {"AU01": ["0", "0.4", "1", "0"], "AU02": ["0.2", "1", "", "1"],
         "au_kind": ["intensity", "", "occurrence", "occurrence"]}


def two_heads(path, aus=("AU01", "AU02"), only=("au",), **meta):
    """The classifier of tests/models.py with one more output, au_present = 1 - au."""
    models.classifier(path, list(aus), only=only, **meta)
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "one"))
    model.graph.node.append(helper.make_node("Sub", ["one", "au"], ["au_present"]))
    model.graph.output.append(
        helper.make_tensor_value_info("au_present", TensorProto.FLOAT, ["N", len(aus)]))
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def a_test(folder, **columns):
    """The manifest of PAINTED and TRUTH."""
    place = models.dataset(folder, PAINTED, aus=["AU01", "AU02"], subjects=list("aabb"))
    data = manifest.read(place)
    data.columns |= TRUTH | columns
    data.write(place)
    return place


def measure(capsys, model, test, *more):
    """(the report, what was said)."""
    code, shown, said = call(evaluate.main, capsys, "--model", *np.atleast_1d(model), "--test",
                             test, *more)
    assert code == 0, said
    return json.loads(shown), said


def test_presence_by_hand(tmp_path, capsys):
    """AU01: 0 0 1 0 is said at 0.9, the truth is 0 1 1 0. AU02: 1 0 1 1 is said at 0.5, the truth
    is 0 1 - 1. The last two rows are occurrences."""
    model, test = two_heads(tmp_path / "c.onnx", **BOTH), a_test(tmp_path)
    report, said = measure(capsys, model, test, "--predictions", tmp_path / "p.csv")
    found = report["au_present"]
    first, second = found["per_au"]["AU01"], found["per_au"]["AU02"]
    assert (first["precision"], first["recall"], first["support"]) == (1, 0.5, 2)
    assert (first["labelled"], second["labelled"]) == (4, 3)
    assert (second["f1"], second["fdr"], first["auc"], second["auc"]) == (0.5, 0.5, 1, 0.25)
    assert found["mean"]["f1"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["pooled"]["fdr"] == pytest.approx(1 / 3)
    assert found["pair"]["aus"] == ["AU01", "AU02"]
    assert set(first) == {"precision", "recall", "f1", "fdr", "accuracy", "auc", "support",
                          "labelled"}  # no ICC: it reads no levels
    ece = found["calibration"]["per_au"]
    assert ece["AU01"]["presence_ece"] == pytest.approx((.2 + .4) / 4)
    assert ece["AU02"]["presence_ece"] == pytest.approx((1 + 1 - 1 + 1) / 3)
    assert found["two_afc"]["per_au"]["AU01"] == {"A": 1, "B": 1, "C": None}  # of two levels
    assert report["au_present_fixed"]["per_au"]["AU01"]["f1"] == 1
    assert report["protocol"]["au_present"] == {
        "aus": ["AU01", "AU02"], "thresholds": {"AU01": 0.9, "AU02": 0.5},
        "thresholds_from": "model"}
    assert report["au"]["per_au"]["AU01"]["labelled"] == 4  # occurrences count there, too
    assert report["protocol"]["thresholds"] == {"AU01": 0.4, "AU02": 0.4}
    assert "au_present: mean F1 0.583, at 0.5 0.750" in said
    assert {"per_au", "mean", "pooled", "pair"} == set(report["intervals"]["au_present"])
    assert "auc" in report["intervals"]["au_present"]["mean"]
    with open(tmp_path / "p.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["au_present_AU01"] for row in rows] == ["0", "0.8", "1", "0.4"]
    assert [row["au_present_on_AU01"] for row in rows] == ["0", "0", "1", "0"]
    code, table, said = call(evaluate.main, capsys, "--compare", tmp_path / "p.csv",
                             tmp_path / "p.csv", "--paired")
    assert code == 0 and "au_present" not in table, said


def test_nothing_else_of_the_report_changes(tmp_path, capsys):
    """Beside the same model without the output."""
    test = a_test(tmp_path)
    kind = {"au_kind": "intensity"}
    plain = models.classifier(tmp_path / "plain.onnx", ["AU01", "AU02"], only=["au"], **kind)
    expected, _ = measure(capsys, plain, test)
    found, _ = measure(capsys, two_heads(tmp_path / "c.onnx", **BOTH), test)
    for part in (found, found["protocol"], found["intervals"]):
        for name in ("au_present", "au_present_fixed"):
            part.pop(name, None)
    del found["model"], expected["model"]
    assert found == expected


@pytest.mark.parametrize("meta, there", [
    ({"au_kind": "intensity"}, True),  # exported before thresholds of presence were stored
    ({"au_kind": "occurrence", "thresholds_au_present": {}}, True),  # both learnt of occurrences
    ({"au_kind": "occurrence"}, False),  # a head of presence alone: `au` is `au_present`
    ({}, False),
])
def test_which_models_read_presence_beside_levels(tmp_path, capsys, meta, there):
    report, _ = measure(capsys, two_heads(tmp_path / "c.onnx", **meta), a_test(tmp_path))
    assert ("au_present" in report) == there == ("au_present" in report["intervals"])
    if there:
        protocol = report["protocol"]["au_present"]
        assert protocol["thresholds_from"] == "fixed"
        assert protocol["thresholds"] == {"AU01": 0.5, "AU02": 0.5}


def test_several_models_and_one_for_each_person(tmp_path, capsys):
    """AU01 of a model of both heads, AU02 of one that reads levels alone: there is no pair then.
    People's own thresholds are 0.9 and 0.3: 0 0 1 1 is said."""
    test = a_test(tmp_path)
    apart = [two_heads(tmp_path / "one.onnx", ["AU01"], **BOTH),
             models.classifier(tmp_path / "two.onnx", ["AU02"], only=["au"])]
    for order in (apart, apart[::-1]):
        report, _ = measure(capsys, order, test)
        assert set(report["au_present"]["per_au"]) == {"AU01"} and "pair" in report["au"]
        assert "pair" not in report["au_present"]
        assert set(report["au"]["per_au"]) == {"AU01", "AU02"}
    for person, limit in (("a", 0.9), ("b", 0.3)):
        two_heads(tmp_path / f"{person}.onnx", thresholds_au_present={"AU01": limit})
    report, _ = measure(capsys, tmp_path / "{subject}.onnx", test)
    assert report["au_present"]["per_au"]["AU01"]["precision"] == 0.5
    assert report["protocol"]["au_present"]["thresholds"] == "of each person's model"
    models.classifier(tmp_path / "b.onnx", ["AU01", "AU02"], only=["au"])
    code, _, said = call(evaluate.main, capsys, "--model", tmp_path / "{subject}.onnx", "--test",
                         test)
    assert code == 3 and "b.onnx: reads other labels than" in said


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a model of both heads, learnt from levels and occurrences, and its sets."""
    folder = tmp_path_factory.mktemp("both")
    rng = np.random.default_rng(5)
    for name, count, seed in (("train", 60, 0), ("validation", 48, 1), ("test", 48, 2)):
        levels = make_set(folder, f"{name}_levels", count, name, seed)
        seen = rng.integers(0, 2, (count, 2))
        occurs = make_set(folder, f"{name}_occurs", count, name, seed + 9, AU01=list(seen[:, 0]),
                          AU12=list(seen[:, 1]), au_kind=["occurrence"] * count)
        both = manifest.merge([manifest.read(levels), manifest.read(occurs)], folder)
        both.write(folder / f"{name}.csv")
    return folder


@pytest.mark.parametrize("head", ["au", "au_level"])
def test_train_export_and_measure_against_sklearn(trained, tmp_path, capsys, head):
    sets = trained / "train.csv", trained / "validation.csv"
    train(sets, tmp_path / "c.pt", capsys, "--tasks", head, "au_present", "--max-steps", 30)
    model = tmp_path / "c.onnx"
    code, _, said = call(export_onnx.main, capsys, tmp_path / "c.pt", "--out", model,
                         "--validation", sets[1])
    assert code == 0 and "au_present" in said  # its parity
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])

    def read(name):
        data = manifest.read(trained / f"{name}.csv")
        pictures = np.concatenate([np.load(trained / f"{name}_{part}.npy")
                                   for part in ("levels", "occurs")])
        return data, session.run(["au", "au_present"], {"image": pictures})

    data, (au, present) = read("validation")
    meta = Model.open(model).meta
    beside = json.loads((tmp_path / "c.json").read_text())
    for key, readings in (("thresholds", au), ("thresholds_au_present", present)):
        expected = thresholds.choose_steadily(readings, data, ["AU01", "AU12"])
        assert meta[key] == pytest.approx(expected, abs=1e-5)
        assert beside[key] == pytest.approx(expected, abs=1e-5)
    assert meta["thresholds"] != meta["thresholds_au_present"]

    report, _ = measure(capsys, model, trained / "test.csv")
    data, (_, present) = read("test")
    on, f1 = data.present(["AU01", "AU12"]), []
    bounds = report["intervals"]["au_present"]
    for k, name in enumerate(("AU01", "AU12")):
        said = present[:, k] >= meta["thresholds_au_present"][name]
        f1.append(reference.f1_score(on[:, k], said))
        found = report["au_present"]["per_au"][name]
        assert found["f1"] == pytest.approx(f1[-1]) and found["labelled"] == 96
        assert found["auc"] == pytest.approx(reference.roc_auc_score(on[:, k], present[:, k]))
        low, high = bounds["per_au"][name]["auc"]
        assert low <= found["auc"] <= high
    assert report["au_present"]["mean"]["f1"] == pytest.approx(np.mean(f1))
    assert report["au"]["mean"]["f1"] != report["au_present"]["mean"]["f1"]


@pytest.mark.parametrize("tasks", [("au",), ("au_present",)])
def test_a_single_head_is_exported_and_measured_as_ever(trained, tmp_path, capsys, tasks):
    train((trained / "train.csv", trained / "validation.csv"), tmp_path / "c.pt", capsys, "--tasks",
          *tasks)
    code, _, said = call(export_onnx.main, capsys, tmp_path / "c.pt", "--out", tmp_path / "c.onnx")
    assert code == 0, said
    assert "thresholds_au_present" not in json.loads((tmp_path / "c.json").read_text())
    report, _ = measure(capsys, tmp_path / "c.onnx", trained / "test.csv", "--predictions",
                        tmp_path / "p.csv")
    assert "au_present" not in report and "au_present" not in (tmp_path / "p.csv").read_text()


def test_what_a_checkpoint_keeps_is_exported(trained, tmp_path, capsys):
    train((trained / "train.csv", trained / "validation.csv"), tmp_path / "c.pt", capsys, "--tasks",
          "au", "au_present")
    state = checkpoints.load_finished(tmp_path / "c.pt")
    state["thresholds_au_present"] = {"AU01": 0.25, "AU12": 0.75}
    checkpoints.save(tmp_path / "c.pt", state)
    code, _, said = call(export_onnx.main, capsys, tmp_path / "c.pt", "--out", tmp_path / "c.onnx")
    assert code == 0, said
    model = Model.open(tmp_path / "c.onnx")
    assert model.reads_presence
    assert model.thresholds(output="au_present").tolist() == [0.25, 0.75]


def test_auc_is_resampled_alike_with_and_without_levels():
    rng = np.random.default_rng(3)
    truth, scores = rng.integers(0, 6, (60, 2)) / 5, rng.random((60, 2))
    people = bootstrap.People.of([f"p{i // 5}" for i in range(60)], resamples=20)
    given = (truth, scores, 0.4, 0.5)
    presence = intervals.au_resampled(*given, None, people, ranked=True)["per_au"]
    both = intervals.au_resampled(*given, np.ones(60, bool), people)["per_au"]
    assert set(both) - set(presence) == {"pcc", "icc", "mse", "mae"}
    for name, values in presence.items():
        np.testing.assert_array_equal(values, both[name])


def test_images_are_labelled_with_au(tmp_path):
    model = Model.open(two_heads(tmp_path / "c.onnx", **BOTH))
    outputs = model.predict(np.stack([models.paint(row) for row in PAINTED]))
    found = pseudo_labels.predictions(model, outputs)
    assert found["AU01"] == pytest.approx([1, .2, 0, .6])
    assert found["AU02"] == pytest.approx([0, 1, 0, 0])


def test_a_smaller_model_has_to_hold_for_presence(tmp_path):
    """1 - au at 0.9 (AU01) and 0.5 (AU02): F1 2/3 and 1/2, as above."""
    model = Model.open(two_heads(tmp_path / "c.onnx", **BOTH))
    data = manifest.read(a_test(tmp_path))
    found = onnx_precision.outputs(model, data, "float32")
    numbers = onnx_precision.figures(model, found, data)
    assert numbers["F1 of au_present"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert set(numbers) == {"F1", "F1 of au_present"}


def test_a_card_has_the_figures_of_presence(tmp_path, capsys):
    model = two_heads(tmp_path / "c.onnx", **BOTH)
    report, _ = measure(capsys, model, a_test(tmp_path))
    (tmp_path / "r.json").write_text(json.dumps(report))
    (tmp_path / "c.json").write_text(json.dumps(Model.open(model).meta))
    code, _, said = call(model_card.main, capsys, model, "--reports", tmp_path / "r.json")
    assert code == 0, said
    text = (tmp_path / "c.md").read_text()
    assert "| F1 of AUs by `au_present` | 0.583 |" in text
    assert "| false discovery rate of AUs by `au_present` | 0.333 |" in text


@pytest.mark.parametrize("head", ["au", "au_level"])
def test_training_stores_thresholds_of_both(trained, tmp_path, capsys, head):
    train((trained / "train.csv", trained / "validation.csv"), tmp_path / "c.pt", capsys, "--tasks",
          head, "au_present", "--max-steps", 30)
    model = tmp_path / "c.onnx"
    stored = []
    for more in ((), ("--validation", trained / "validation.csv")):
        code, _, said = call(export_onnx.main, capsys, tmp_path / "c.pt", "--out", model, *more)
        assert code == 0, said
        meta = Model.open(model).meta
        stored.append([meta[key] for key in ("thresholds", "thresholds_au_present")])
    for first, second in zip(*stored):
        assert set(first) == {"AU01", "AU12"} and first == pytest.approx(second, abs=1e-4)


def test_the_page_shows_presence_beside_levels(tmp_path, capsys):
    """F1 of the hand-worked test: 2/3 of AU01, 1/2 of AU02."""
    model, test = two_heads(tmp_path / "c.onnx", **BOTH), a_test(tmp_path)
    measure(capsys, model, test, "--report", tmp_path / "page")
    text = (tmp_path / "page/index.html").read_text()
    pictures = {path.name for path in (tmp_path / "page").glob("*.png")}
    assert {"au_bars.png", "au_present_bars.png", "au_present_reliability.png"} <= pictures
    assert set(re.findall(r'<img src="([^"]+)"', text)) == pictures
    assert "The highest is AU01 with 0.67, the lowest AU02 with 0.50." in text
    assert "<td>F1 of AUs, output au_present</td><td>0.583</td>" in text
    plain = models.classifier(tmp_path / "plain.onnx", ["AU01", "AU02"], only=["au"])
    measure(capsys, plain, test, "--report", tmp_path / "other")
    assert "au_present" not in (tmp_path / "other/index.html").read_text()


def test_min_f1_looks_at_presence_where_au_has_no_f1(tmp_path, capsys):
    """No AU is there, and `au` says none: its F1 is undefined. `au_present` = 1 - au says all."""
    model = two_heads(tmp_path / "c.onnx", **BOTH)
    dark = models.dataset(tmp_path / "dark", [[0, 0], [0, 0]], aus=["AU01", "AU02"])
    code, shown, said = call(evaluate.main, capsys, "--model", model, "--test", dark,
                             "--min-f1", 0.1)
    report = json.loads(shown)
    assert report["au"]["mean"]["f1"] is None and report["au_present"]["mean"]["f1"] == 0
    assert code == 4 and "mean F1 of au_present 0.000 is below --min-f1 0.1" in said
    measure(capsys, model, dark, "--min-f1", 0)
    test = a_test(tmp_path)  # au: 1 .2 0 .6 and 0 1 0 0, present from 0.4
    report, _ = measure(capsys, model, test)
    of_au = report["au"]["mean"]["f1"]
    assert of_au < report["au_present"]["mean"]["f1"]
    code, _, said = call(evaluate.main, capsys, "--model", model, "--test", test, "--min-f1",
                         of_au + 0.01)
    assert code == 4 and f"mean F1 {of_au:.3f} is below" in said


def test_thresholds_are_looked_up_once_for_reports_and_labels(tmp_path):
    """A report prints 0.35; a labelled image is compared in float32."""
    meta = {"thresholds": {"AU02": 0.35}, "au_kind": "intensity",
            "thresholds_au_present": {"AU01": 1}}
    model = Model.open(two_heads(tmp_path / "c.onnx", **meta))
    assert stored_thresholds(model, default=0.6).tolist() == [0.6, 0.35]
    assert stored_thresholds(model, "au_present").tolist() == [1.0, 0.5]
    assert model.thresholds(0.6).dtype == np.float32
    assert model.thresholds(0.6).tolist() == np.array([0.6, 0.35], np.float32).tolist()
