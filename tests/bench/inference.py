"""pseudo_label.py against ONNX Runtime alone and against decoding alone; ONNX Runtime against
PyTorch eager.

The classifier is `compact` at 64 px with the weights that it starts with, exported as
export_onnx.py does: its speed does not depend on what it learnt. Pictures are smooth with some
grain, so that a PNG has the size of one of a face.
"""

from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

import pseudo_label
from lib import classifiers, images, manifest, onnx_export
from lib.onnx_runtime import Model
from tests.bench.common import Row, against_torch, compiled, interleaved, speedup

SIZE, BATCH = 64, 64
COUNT = 24 * BATCH  # whole batches: torch.compile makes a program for each size
AUS = [f"AU{i:02d}" for i in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)]


def pictures():
    """uint8 [COUNT,SIZE,SIZE,3]."""
    random = np.random.default_rng(0)
    small = random.integers(0, 255, (COUNT, 6, 6, 3), np.uint8)
    smooth = np.stack(
        [
            np.asarray(Image.fromarray(one).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
            for one in small
        ]
    )
    return (
        (smooth.astype(int) + random.integers(-6, 7, smooth.shape)).clip(0, 255).astype(np.uint8)
    )


def make_model(path, pack):
    """Export a fresh classifier; the network that it was made of."""
    config = {"architecture": "compact", "size": SIZE, "aus": len(AUS)}
    torch.manual_seed(0)
    net = classifiers.build(config).eval()
    checkpoint = {
        "kind": "classifier",
        "config": config,
        "weights": net.state_dict(),
        "labels": {"aus": AUS, "valence_arousal": False, "expressions": []},
    }
    onnx_export.export(checkpoint, path, pack[:8])
    return net


def label(model, data, out):
    """What pseudo_label.py does after its start: predict, fill in, write."""
    options = SimpleNamespace(
        batch=BATCH, threshold="", relabel=False, mask_confidence=0.0, per_class=0
    )
    fresh = manifest.Manifest(data.name, data.folder, data.columns.copy())
    pseudo_label.label(fresh, model, options)
    fresh.write(out)


def rows(folder, rounds):
    """The lines of the table."""
    pack = pictures()
    net = make_model(folder / "c.onnx", pack)
    model = Model.open(folder / "c.onnx", "cpu")
    images.save_pack(folder / "pack.npy", pack)
    files = [folder / f"{i:05d}.png" for i in range(COUNT)]
    for file, picture in zip(files, pack):
        images.save(file, picture)
    in_pack = manifest.Manifest(
        "pack.csv", folder, {"path": [f"pack.npy#{i}" for i in range(COUNT)]}
    )
    as_files = manifest.Manifest("png.csv", folder, {"path": [file.name for file in files]})
    decoded = np.empty_like(pack)

    def to_float(part):
        return torch.from_numpy(part).permute(0, 3, 1, 2).float() / 127.5 - 1

    @torch.inference_mode()
    def in_torch(each):
        for start in range(0, COUNT, BATCH):
            each(to_float(pack[start : start + BATCH]))

    def in_onnx():
        for start in range(0, COUNT, BATCH):
            model.session.run(["au"], {"image": pack[start : start + BATCH]})

    quick = compiled(net, [to_float(pack[:BATCH])])
    seconds = interleaved(
        {
            "onnx": in_onnx,
            "pack": lambda: label(model, in_pack, folder / "a.csv"),
            "png": lambda: label(model, as_files, folder / "b.csv"),
            "eager": lambda: in_torch(net),
            **({"compiled": lambda: in_torch(quick)} if quick is not None else {}),
            "decode": lambda: images.decode(as_files.images(), SIZE, decoded, "decoding"),
        },
        rounds,
    )
    rate = {name: COUNT / np.median(values) for name, values in seconds.items()}
    says = {name: f"{value:.0f} images/s" for name, value in rate.items()}
    yield Row(
        "pseudo_label.py on a pack, without its start",
        says["pack"],
        f"ONNX Runtime alone: {says['onnx']}",
        speedup(seconds["onnx"], seconds["pack"]),
        "at least 0.95",
    )
    yield Row(
        "pseudo_label.py on 64 px PNG files",
        says["png"],
        f"decoding alone, all cores: {says['decode']}",
        speedup(seconds["decode"], seconds["png"]),
        "0.9",
    )
    both = [a + b for a, b in zip(seconds["decode"], seconds["onnx"])]
    yield Row(
        "the same",
        says["png"],
        "decoding, then ONNX Runtime, each on all cores: "
        f"{1 / (1 / rate['decode'] + 1 / rate['onnx']):.0f} images/s",
        speedup(both, seconds["png"]),
        "1",
    )
    yield from against_torch("classifier `compact`, batch 64", seconds, COUNT, "1.5")
