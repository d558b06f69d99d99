"""export_onnx.py and its parity gate: classifiers, editors with NaN labels, tampered models."""
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from lib import checkpoints, classifiers, generators, onnx_export
from lib.cli import BadInput, GateFailed
from lib.generators import conditions, contract
from lib.labels import Labels

ROOT = Path(__file__).parent.parent
AUS = ["AU01", "AU12"]


class Brighten(nn.Module):
    """A toy editor: the image plus the sum of the relative AUs."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def edit(self, image, source, target):
        return image + self.gain * (target - source).sum(1)[:, None, None, None]


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    config = {"architecture": "tiny", "size": 16, "aus": 2, "valence_arousal": True,
              "expressions": 3, "dropout": 0.2}
    return {"kind": "classifier", "architecture": "tiny", "config": config,
            "labels": {"aus": AUS, "valence_arousal": True,
                       "expressions": ["anger", "joy", "neutral"]},
            "weights": classifiers.build(config).state_dict(),
            "thresholds": {"AU01": 0.3, "AU12": 0.6},
            "samples": torch.randint(0, 256, (5, 16, 16, 3), dtype=torch.uint8),
            "trained_on": "abc"}


@pytest.fixture
def editor(monkeypatch):
    monkeypatch.setattr(generators, "build",
                        lambda checkpoint: SimpleNamespace(
                            kind="editor", exports={"editor": contract.Editor(Brighten())},
                            nets={}, labels=Labels(tuple(AUS)), config=SimpleNamespace(size=8)
                        ))
    return {"kind": "generator", "architecture": "brighten", "config": {"size": 8},
            "labels": {"aus": AUS}, "weights": {},
            "samples": torch.randint(0, 256, (3, 8, 8, 3), dtype=torch.uint8)}


def test_command_line_and_metadata(classifier, tmp_path):
    checkpoints.save(tmp_path / "c.pt", classifier)
    done = subprocess.run([sys.executable, ROOT / "export_onnx.py", tmp_path / "c.pt",
                           "--out", tmp_path / "c.onnx"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and done.stdout == "", done.stderr
    session = onnxruntime.InferenceSession(tmp_path / "c.onnx", providers=["CPUExecutionProvider"])
    meta = {key: json.loads(text)
            for key, text in session.get_modelmeta().custom_metadata_map.items()}
    assert meta == json.loads((tmp_path / "c.json").read_text())
    assert meta["kind"] == "classifier" and meta["aus"] == AUS and meta["image_size"] == 16
    assert meta["thresholds"] == {"AU01": 0.3, "AU12": 0.6}
    assert meta["expressions"] == ["anger", "joy", "neutral"]
    assert meta["color_order"] == "RGB" and meta["trained_on"] == "abc"
    assert [output.name for output in session.get_outputs()] == [
        "au", "valence_arousal", "expression", "features"
    ]
    assert [item.type for item in session.get_inputs()] == ["tensor(uint8)"]
    once = (tmp_path / "c.onnx").read_bytes()
    assert str(ROOT).encode() not in once and b"stack_trace" not in once
    onnx_export.export(classifier, tmp_path / "again.onnx", classifier["samples"].numpy())
    assert (tmp_path / "again.onnx").read_bytes() == once
    for count in (1, 2, 7, 30):  # the number of images is free
        image = np.random.default_rng(count).integers(0, 256, (count, 16, 16, 3), np.uint8)
        au, va, expression, features = session.run(None, {"image": image})
        assert au.shape == (count, 2) and va.shape == (count, 2) and features.shape[0] == count
        assert expression.sum(1) == pytest.approx(np.ones(count), abs=1e-5)


@pytest.mark.parametrize("kind", ["missing", "text", "last"])
def test_what_is_no_finished_checkpoint_is_refused(classifier, tmp_path, kind):
    path = tmp_path / "c.pt"
    if kind == "text":
        path.write_text("no checkpoint")
    if kind == "last":
        checkpoints.save(path, {**classifier, "optimiser": {}})
    done = subprocess.run([sys.executable, ROOT / "export_onnx.py", path,
                           "--out", tmp_path / "c.onnx"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 3 and len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("*.onnx")) and not list(tmp_path.glob("*.json"))


def test_gate_refuses_a_tampered_model_and_writes_nothing(classifier, tmp_path, monkeypatch):
    convert = onnx_export.convert

    def tampered(*arguments):
        model = convert(*arguments)
        for weight in model.graph.initializer:
            if weight.name.endswith("au.bias"):
                weight.CopyFrom(onnx.numpy_helper.from_array(
                    onnx.numpy_helper.to_array(weight) + np.float32(1e-2), weight.name
                ))
        return model
    (tmp_path / "c.onnx").write_text("the earlier export")
    monkeypatch.setattr(onnx_export, "convert", tampered)
    with pytest.raises(GateFailed, match="'au' differs"):
        onnx_export.export(classifier, tmp_path / "c.onnx", classifier["samples"].numpy())
    assert [path.name for path in tmp_path.iterdir()] == ["c.onnx"]
    assert (tmp_path / "c.onnx").read_text() == "the earlier export"
    onnx_export.export(classifier, tmp_path / "c.onnx", classifier["samples"].numpy(),
                       tolerance=0.1)
    assert (tmp_path / "c.json").exists()


def test_editor_keeps_what_is_unknown(editor, tmp_path):
    worst = onnx_export.export(editor, tmp_path / "g.onnx", editor["samples"].numpy())
    assert worst["edited"] <= 1
    session = onnxruntime.InferenceSession(tmp_path / "g.onnx", providers=["CPUExecutionProvider"])
    assert [item.name for item in session.get_inputs()] == ["image", "source", "target"]
    nan = np.nan
    rows = [([0.1, 0.2], [0.3, 0.2], 0.2), ([0.1, 0.2], [nan, 0.4], 0.2),
            ([nan, 0.2], [0.9, 0.2], 0.0), ([nan, nan], [nan, 0.7], 0.0),
            ([0.5, 0.0], [nan, nan], 0.0), ([0.0, 0.0], [1.0, 1.0], 2.0),
            ([1.0, 1.0], [0.0, 0.0], -2.0)]
    source, target, change = (np.array(part, np.float32) for part in zip(*rows))
    image = np.full((7, 8, 8, 3), 100, np.uint8)
    edited = session.run(["edited"], {"image": image, "source": source, "target": target})[0]
    # rounded to the nearest level, clamped
    expected = np.clip(np.round(100 + change * 127.5), 0, 255)
    assert np.abs(edited.reshape(7, -1) - expected[:, None]).max() <= 0.51
    assert edited.dtype == np.uint8
    assert (edited[[2, 3, 4]] == 100).all()


@pytest.mark.parametrize("tolerance", [1e-3, 1e-4, 1e-5, 3e-5, 0.5])
def test_a_picture_may_be_one_level_off_at_any_tolerance(tolerance):
    """1e-5 x (1 / 1e-5) is 0.9999999999999999 in floating point."""
    onnx_export.check_parity({"edited": 1.0, "sampled": 1.0}, 96, tolerance)
    for name in ("edited", "sampled"):
        with pytest.raises(GateFailed, match=r"differs by 2 .*\(allowed: 1\)"):
            onnx_export.check_parity({name: 2.0}, 96, tolerance)
    with pytest.raises(GateFailed, match="'flow' differs by"):
        onnx_export.check_parity({"flow": tolerance * 97}, 96, tolerance)


def test_thresholds_are_chosen_of_classifiers_alone(editor, tmp_path):
    """Nothing is run or written before it is known that the graph reads."""
    out = tmp_path / "g.onnx"
    arguments = (editor, out, editor["samples"].numpy(), 1e-4, "g.pt")
    with pytest.raises(BadInput, match="g.pt: --validation .* this gives an editor; leave it out"):
        onnx_export.export(*arguments, thresholds=lambda model: {})
    assert not list(tmp_path.iterdir())


def test_a_discriminator_that_reads_is_named(editor, tmp_path, monkeypatch):
    system = generators.build(editor)
    system.exports["classifier"] = nn.Identity()
    monkeypatch.setattr(generators, "build", lambda checkpoint: system)
    with pytest.raises(BadInput, match="gives an editor; say --as classifier"):
        onnx_export.export(editor, tmp_path / "g.onnx", editor["samples"].numpy(),
                           thresholds=lambda model: {})


@pytest.mark.parametrize("which", ["editor", "sampler"])
def test_a_classifier_is_exported_as_nothing_else(classifier, which):
    with pytest.raises(BadInput, match=f"c.pt: is a classifier, .* leave --as {which} out"):
        onnx_export.wrap(classifier, "c.pt", which)
    assert "au" in onnx_export.wrap(classifier, "c.pt", "classifier").outputs


def test_unknown_labels_become_equal():
    nan = float("nan")
    source, target = conditions.known_values(torch.tensor([[nan, nan, 0.2, 0.3]]),
                                             torch.tensor([[0.8, nan, nan, 0.9]]))
    assert torch.equal(source, torch.tensor([[0.8, 0.0, 0.2, 0.3]]))
    assert torch.equal(target, torch.tensor([[0.8, 0.0, 0.2, 0.9]]))
