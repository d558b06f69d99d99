"""export_onnx.py --precision: smaller files that do as well, or nothing."""

import json
from types import SimpleNamespace

import models
import numpy as np
import onnx
import onnxruntime
import pytest
from commands import call, succeed
from stripes import make_set

import export_onnx
from lib import manifest, onnx_precision
from lib.cli import GateFailed
from lib.onnx_runtime import Model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a trained classifier of stripes and its sets."""
    folder = tmp_path_factory.mktemp("trained")
    sets = [make_set(folder, name, count, name, 1) for name, count in (("train", 60), ("test", 40))]
    line = ["train_classifier.py", "--train", sets[0], "--validation", sets[1], "--arch", "tiny"]
    line += ["--device", "cpu", "--batch", 20, "--max-steps", 60, "--out", folder / "c.pt"]
    succeed(*line, "--tasks", "au", "va", "expression")
    return folder


def export(folder, out, capsys, *more):
    """(exit status, stderr) of export_onnx.py."""
    status, shown, said = call(export_onnx.main, capsys, folder / "c.pt", "--out", out,
                               "--test", folder / "test.csv", *more)
    assert shown == ""
    return status, said


def test_fp16_and_int8(trained, tmp_path, capsys):
    more = ("--max-drop", 0.05, "--precision")
    status, said = export(trained, tmp_path / "half.onnx", capsys, *more, "fp16")
    assert status == 0 and "fp16" in said and "F1" in said and "CCC" in said and "accuracy" in said
    calibration = ("--calibration", trained / "train.csv")
    status, said = export(trained, tmp_path / "int8.onnx", capsys, *more, "int8", *calibration)
    assert status == 0, said
    kinds = {}
    for name in ("half", "int8"):
        model = Model.open(tmp_path / f"{name}.onnx", "cpu", kind="classifier")
        assert model.meta["precision"] == {"half": "fp16"}.get(name, name) and model.aus
        assert set(model.meta["drop"]) == {"F1", "CCC", "accuracy"}
        beside = json.loads((tmp_path / f"{name}.json").read_text())
        assert beside == model.meta and (tmp_path / f"{name}.md").exists()
        graph = onnx.load(tmp_path / f"{name}.onnx").graph
        kinds[name] = {item.data_type for item in graph.initializer if np.prod(item.dims) > 500}
        assert model.inputs["image"].type == "tensor(uint8)"
    assert kinds == {"half": {onnx.TensorProto.FLOAT16}, "int8": {onnx.TensorProto.INT8}}


def test_a_model_that_loses_too_much_is_not_written(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(onnx_precision, "half", lambda whole, path, _: worse(whole.path, path))
    status, said = export(trained, tmp_path / "half.onnx", capsys, "--precision", "fp16")
    assert status == 4 and "falls from" in said and "nothing was written" in said
    assert not list(tmp_path.iterdir())


def worse(source, path):
    """The model with its weights upside down."""
    model = onnx.load(source)
    for item in model.graph.initializer:
        if np.prod(item.dims) > 100 and item.data_type == onnx.TensorProto.FLOAT:
            turned = -onnx.numpy_helper.to_array(item)
            item.CopyFrom(onnx.numpy_helper.from_array(turned, item.name))
    onnx.save(model, path)


def test_figures_by_hand(tmp_path):
    """Two rows: AU01 found once of twice (F1 2/3), valence as the truth (CCC 1), arousal its
    opposite (CCC -1), one expression of two."""
    manifest.write(
        tmp_path / "m.csv",
        {
            "path": ["a.png", "b.png"],
            "AU01": [1.0, 0.8],
            "valence": [-0.5, 0.5],
            "arousal": [-0.5, 0.5],
            "expression": ["calm", "joy"],
        },
    )

    class Known:
        path, aus, expressions = "m.onnx", ["AU01"], ["calm", "joy"]

        def thresholds(self):
            return np.array([0.5], np.float32)

    found = {
        "au": np.array([[0.9], [0.1]]),
        "valence_arousal": np.array([[-0.5, 0.5], [0.5, -0.5]]),
        "expression": np.array([[0.6, 0.4], [0.7, 0.3]]),
    }
    numbers = onnx_precision.figures(Known(), found, manifest.read(tmp_path / "m.csv"))
    assert numbers["F1"] == pytest.approx(2 / 3)
    assert numbers["CCC"] == pytest.approx(0.0) and numbers["accuracy"] == 0.5


@pytest.mark.parametrize("more", [("--precision", "int8"), ("--precision", "float32")])
def test_what_it_needs_is_said(trained, tmp_path, capsys, more):
    status, said = export(trained, tmp_path / "x.onnx", capsys, *more)
    assert status == 2 and len(said.splitlines()) == 1


def test_a_binding_gives_what_a_plain_run_gives(trained, tmp_path, capsys):
    call(export_onnx.main, capsys, trained / "c.pt", "--out", tmp_path / "c.onnx")
    model = Model.open(tmp_path / "c.onnx", "cpu")
    assert model.bound_to == ""  # bindings are for GPUs
    pictures = np.load(trained / "test.npy")
    plain = model.predict(pictures, batch=16)
    model.bound_to = "cpu"  # the same calls, on the one device that is always there
    bound = model.predict(pictures, batch=16)
    assert set(plain) == set(bound) and len(plain["au"]) == len(pictures) > 32
    for name, values in plain.items():
        np.testing.assert_allclose(bound[name], values, atol=1e-6)
    np.testing.assert_allclose(model.once(image=pictures[:3])["au"], plain["au"][:3], atol=1e-5)


def test_what_two_nodes_share_is_cast_once(tmp_path):
    """Two enlargements with the same factors: ONNX Runtime's converter casts these twice under one
    name, and then refuses the graph."""
    helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
    scales = helper.make_tensor("scales", FLOAT, [4], [1, 1, 2, 2])
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["a"], "one", mode="nearest"),
             helper.make_node("Mul", ["x", "x"], ["squared"], "square"),
             helper.make_node("Resize", ["squared", "", "scales"], ["b"], "two", mode="nearest"),
             helper.make_node("Add", ["a", "b"], ["y"], "sum")]
    shapes = [helper.make_tensor_value_info(name, FLOAT, [1, 1, side, side])
              for name, side in (("x", 2), ("y", 4))]
    named = [helper.make_tensor_value_info("scales", FLOAT, [4])]  # as PyTorch's exporter does
    graph = helper.make_graph(nodes, "g", shapes[:1], shapes[1:], [scales], value_info=named)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
              tmp_path / "whole.onnx")
    onnx_precision.half(SimpleNamespace(path=tmp_path / "whole.onnx"), tmp_path / "half.onnx", None)
    session = onnxruntime.InferenceSession(tmp_path / "half.onnx",
                                           providers=["CPUExecutionProvider"])
    x = np.array([[[[1, 2], [3, 4]]]], np.float32)
    expected = np.array([[2, 2, 6, 6], [2, 2, 6, 6], [12, 12, 20, 20], [12, 12, 20, 20]])
    np.testing.assert_allclose(session.run(None, {"x": x})[0][0, 0], expected)


def affect_set(folder):
    """Two faces: AU01 0 and 1, so that valence is -1 and 1, arousal 1 and -1."""
    path = models.dataset(folder, [[0, 0, 0, 0], [1, 0, 0, 0]])
    columns = manifest.read(path).columns
    manifest.write(path, {**columns, "valence": [-1.0, 1.0], "arousal": [1.0, -1.0]})
    return manifest.read(path)


def with_constants(whole, path, **changed):
    """The model with other numbers in some of its constants, {name: array}."""
    model = onnx.load(whole.path)
    for item in model.graph.initializer:
        if item.name in changed:
            values = np.array(changed[item.name], np.float32)
            item.CopyFrom(onnx.numpy_helper.from_array(values, item.name))
    onnx.save(model, path)


@pytest.mark.parametrize("bias", [[np.nan, 1], [np.nan, np.nan], [np.inf, 1]])
def test_readings_that_are_no_numbers_do_not_pass(bias, tmp_path, monkeypatch):
    """NaN has no CCC, and what is undefined stays out of the mean: arousal alone would pass."""
    source, data = models.classifier(tmp_path / "c.onnx"), affect_set(tmp_path)
    monkeypatch.setattr(onnx_precision, "half", lambda whole, path, _: with_constants(
        whole, path, va_bias=bias
    ))
    with pytest.raises(GateFailed, match="fp16: output 'valence_arousal' has NaN or infinity"):
        onnx_precision.shrink(source, tmp_path / "half.onnx", "fp16", data)
    assert not list(tmp_path.glob("half*"))


def test_a_figure_that_the_smaller_model_lacks_does_not_pass(tmp_path, monkeypatch):
    """No AU is there. The model reads AU01 in both images (F1 0), the smaller one none: no F1."""
    source, path = models.classifier(tmp_path / "c.onnx"), models.dataset(tmp_path, [[1, 0, 0, 0]])
    columns = manifest.merge([manifest.read(path)] * 2, tmp_path).columns
    columns = {name: columns[name] for name in ("path", "subject")}
    manifest.write(path, {**columns, **dict.fromkeys(models.AUS, [0.0, 0.0])})
    nothing = np.zeros((models.SIZE * models.SIZE * 3, len(models.AUS)))
    monkeypatch.setattr(onnx_precision, "half", lambda whole, path, _: with_constants(
        whole, path, spread=nothing
    ))
    with pytest.raises(GateFailed, match="fp16: F1, 0.0000 in float32, is undefined"):
        onnx_precision.shrink(source, tmp_path / "half.onnx", "fp16", manifest.read(path))
    assert not list(tmp_path.glob("half*"))


def test_only_what_is_compared_is_kept(tmp_path):
    model, data = Model.open(models.classifier(tmp_path / "c.onnx"), "cpu"), affect_set(tmp_path)
    found = onnx_precision.outputs(model, data, "float32")
    assert set(found) == {"au", "valence_arousal", "expression"}  # no features
    np.testing.assert_allclose(found["valence_arousal"], [[-1, 1], [1, -1]], atol=1e-6)


def test_the_card_of_a_smaller_model_says_whom_it_learnt_from(trained, tmp_path, capsys):
    more = ("--precision", "fp16", "--max-drop", 0.05)
    status, said = export(trained, tmp_path / "half.onnx", capsys, *more)
    assert status == 0, said
    text = (tmp_path / "half.md").read_text()
    assert f"{trained / 'train.csv'}: 60 images" in text and "images and people" not in text
