"""The same numbers in Node: `make test-hosts` (installs onnxruntime-node without its scripts)."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import models
from commands import ROOT
from needs import lacks

from lib.onnx_runtime import Model

MODULES = Path(os.environ.get("NODE_PATH", ROOT / ".venv/node/node_modules"))
MODEL = os.environ.get("MODEL")  # a classifier to measure; a toy one without it


@pytest.fixture(scope="module", autouse=True)
def node():
    if not (shutil.which("node") and (MODULES / "onnxruntime-node").is_dir()):
        lacks("needs node and onnxruntime-node: make test-hosts")


def test_node_reads_as_python_does(tmp_path, capsys):
    path = Path(MODEL) if MODEL else models.classifier(tmp_path / "c.onnx")
    model = Model.open(path, "cpu", threads=1)
    if not path.with_suffix(".json").exists():
        path.with_suffix(".json").write_text(json.dumps(model.meta))
    size = model.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (64, size, size, 3), np.uint8)
    pixels.tofile(tmp_path / "pixels.bin")
    line = ["node", Path(__file__).with_name("read.cjs"), path, tmp_path / "pixels.bin", "64",
            "100"]
    done = subprocess.run(
        line, env={**os.environ, "NODE_PATH": str(MODULES)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["labels"] == model.aus
    np.testing.assert_allclose(found["au"], model.predict(pixels)["au"], atol=1e-4)
    assert 0 < found["latency"]["p50"] <= found["latency"]["p99"]
    assert set(found["throughput"]) == {"1", "8", "64"}
    with capsys.disabled():
        print(f"\nnode, {path.name}, {size} px: {found['latency']} ms, "
              f"images/s by batch {found['throughput']}")
