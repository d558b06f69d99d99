"""synthesize.py against ONNX Runtime alone on the same batches, and the editor in ONNX Runtime
against PyTorch.

The editor is the warp editor of the quick preset with the weights that it starts with: its speed
does not depend on what it learnt."""

import shutil

import numpy as np
import torch

import synthesize
from lib import generators, images, manifest, onnx_export, recipes
from lib.labels import Labels
from lib.onnx_runtime import Model
from lib.synthesis import known_conditions
from tests.bench.common import Row, against_torch, compiled, interleaved, speedup
from tests.bench.inference import BATCH, pictures
from tests.bench.training import AUS

COUNT = 5 * BATCH


def make_editor(path, pack):
    """Export a fresh editor; the module that ONNX was made of."""
    config = generators.configure("warp-editor", "quick", {})
    torch.manual_seed(0)
    system = generators.module("warp-editor").System(Labels(aus=AUS), config)
    checkpoint = {
        "kind": "generator",
        "architecture": "warp-editor",
        "config": vars(config),
        "nets": {name: net.state_dict() for name, net in system.nets.items()},
        "labels": {"aus": list(AUS), "valence_arousal": False, "expressions": []},
    }
    onnx_export.export(checkpoint, path, pack[:8])
    return onnx_export.wrap(checkpoint)


def rows(folder, rounds):
    """The lines of the table."""
    pack = pictures()[:COUNT]
    editor = make_editor(folder / "e.onnx", pack)
    model = Model.open(folder / "e.onnx", "cpu")
    images.save_pack(folder / "pack.npy", pack)
    data = manifest.Manifest(
        str(folder / "pack.csv"), folder, {"path": [f"pack.npy#{i}" for i in range(COUNT)]}
    )
    options = synthesize.Options(
        model=str(folder / "e.onnx"), source=[data.name], out=str(folder / "out"), format="npy",
        assume_neutral=True, batch=BATCH,
    )
    known, _ = known_conditions(data, model, options)
    target = np.random.default_rng(1).random((COUNT, len(AUS)), np.float32)
    plan = recipes.Plan(np.arange(COUNT), target, [""] * COUNT, [""] * COUNT)

    def whole():
        shutil.rmtree(folder / "out", ignore_errors=True)
        synthesize.write_set(data, known, plan, model, None, options)

    def batches():
        for start in range(0, COUNT, BATCH):
            yield [each[start : start + BATCH] for each in (pack, known, target)]

    @torch.inference_mode()
    def in_torch(each):
        for batch in batches():
            each(*map(torch.from_numpy, batch))

    def in_onnx():
        for batch in batches():
            model.session.run(["edited"], dict(zip(("image", "source", "target"), batch)))

    quick = compiled(editor, [torch.from_numpy(each) for each in next(batches())])
    sides = {"whole": whole, "onnx": in_onnx, "eager": lambda: in_torch(editor)}
    if quick is not None:
        sides["compiled"] = lambda: in_torch(quick)
    seconds = interleaved(sides, rounds)
    says = {name: f"{COUNT / np.median(values):.0f} images/s" for name, values in seconds.items()}
    yield Row(
        "synthesize.py on a pack, without its start",
        says["whole"],
        f"ONNX Runtime alone: {says['onnx']}",
        speedup(seconds["onnx"], seconds["whole"]),
        "0.97",
    )
    yield from against_torch("editor `warp-editor`, quick, batch 64", seconds, COUNT, "1.2")
