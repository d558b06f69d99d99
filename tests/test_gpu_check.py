"""`make gpu-check` in its small form, on the CPU."""

import json
import sys
import time

import torch
from commands import ROOT

sys.path.insert(0, str(ROOT))
from lib import cli
from tests.gpu import __main__ as check, parts


def test_the_small_form_runs(tmp_path, capsys):
    status, shown, said = call_quietly(
        check.main, capsys, "--device", "cpu", "--out", tmp_path / "check.json",
        "--architectures", "gan",
    )
    found = json.loads((tmp_path / "check.json").read_text())
    assert status == 0, (found, said)
    assert {"machine", "peak", "EM cycle", "generator gan", "two processes"} <= set(found)
    assert found["EM cycle"]["ratio_to_eager_float32"] > 0
    assert found["EM cycle"]["share_of_peak"] > 0
    assert found["backbone resnet18"]["export"] == "agrees with PyTorch"
    assert found["ONNX in fp16"]["largest_difference"] < 0.01
    assert found["generator gan"]["export"] == "agrees with PyTorch"
    rows = [line for line in shown.splitlines() if line.startswith("| ")]
    assert len(rows) == len(found) + 1 and "| peak | tflops " in shown


def test_operations_by_hand():
    """A product of 2 x 3 and 3 x 5: 60; its backward pass: twice that."""
    a, b = torch.rand(2, 3, requires_grad=True), torch.rand(3, 5, requires_grad=True)
    with parts.Operations() as counted:
        (a @ b).sum().backward()
    assert counted.total == 60 * 3


def test_a_part_trains_by_each_way_of_compiling_that_the_machine_is_for(tmp_path):
    found = parts.Check(tmp_path, torch.device("cpu")).compiled_training("relativistic-sampler")
    assert list(found) == ["off_images_per_second"] and found["off_images_per_second"] > 0


def test_a_part_that_breaks_is_named_and_the_others_run(tmp_path, capsys, monkeypatch):
    def broken():
        raise ValueError("no such\ncard")

    monkeypatch.setattr(parts.Check, "parts", lambda *_: {"a": broken, "b": lambda: {"x": 0.12345}})
    out = tmp_path / "check.json"
    status, shown, _ = call_quietly(check.main, capsys, "--device", "cpu", "--out", out)
    assert status == 4 and "| a | error ValueError: no such card |" in shown
    assert "| b | x 0.123 |" in shown and json.loads(out.read_text())["b"]["x"] == 0.12345


def test_a_part_that_takes_too_long_is_cut_short(tmp_path, capsys, monkeypatch):
    def long():
        time.sleep(60)

    monkeypatch.setattr(parts.Check, "parts", lambda *_: {"a": long, "b": lambda: {"x": 1}})
    begun = time.monotonic()
    status, shown, _ = call_quietly(check.main, capsys, "--device", "cpu", "--seconds", 1,
                                    "--out", tmp_path / "check.json")
    assert time.monotonic() - begun < 30
    assert status == 0 and "| a | left out cut short, no time left |" in shown
    assert "| b | left out no time left |" in shown


def call_quietly(main, capsys, *arguments):
    """As `call`; a part's traceback on stderr is meant for who mends it."""
    before, sys.argv = sys.argv, ["gpu", *map(str, arguments)]
    try:
        cli.run(main)
    except SystemExit as left:
        return left.code, *capsys.readouterr()
    finally:
        sys.argv = before
