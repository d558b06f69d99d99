"""Checkpoints as ONNX files that own their pre- and post-processing, checked against PyTorch before they exist.

uint8 images go in and come out, the number of images is free, and metadata says what a host must know. After
the export wrappers of Segment Anything (Kirillov et al. 2023) and timm's habit of scoring the exported file.
"""
import contextlib
import io
import json
import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lib import device_data, classifiers, generators, images
from lib.cli import BadInput, GateFailed
from lib.files import replacing, to_json

PARITY_BATCHES = (1, 2, 7)


class ClassifierGraph(nn.Module):
    """`image` uint8 [N,H,W,3], and `reference` of the same shape where the classifier compares with a person's
    neutral or mean image -> the outputs that it has, in the order of `outputs`."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.inputs = ("image",) if net.reference == "none" else ("image", "reference")
        self.outputs = net.outputs

    def forward(self, image, reference=None):
        compared = () if reference is None else (device_data.to_float(reference),)
        out = self.net(device_data.to_float(image), *compared)
        return tuple(out[name] for name in self.outputs)


class EditorGraph(nn.Module):
    """`image` uint8 [N,H,W,3], `source` and `target` [N,C] -> `edited` uint8 [N,H,W,3].

    NaN in target keeps the source's value; NaN in source is unknown: no relative change there."""

    inputs, outputs = ("image", "source", "target"), ["edited"]

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, image, source, target):
        source, target = known_labels(source, target)
        return (device_data.to_uint8(self.net.edit(device_data.to_float(image), source, target)),)


def known_labels(source, target):
    """Source and target [N,C] without NaN: where one is unknown it is taken to be the other (so that their
    difference is 0), and 0 where both are."""
    zero = torch.zeros_like(source)
    either = torch.where(target.isnan(), torch.where(source.isnan(), zero, source), target)  # [N,C]
    source = torch.where(source.isnan(), either, source)
    return source, torch.where(target.isnan(), source, target)


def wrap(checkpoint, name="the checkpoint"):
    """The graph to export for a finished checkpoint, in evaluation mode on the CPU."""
    try:
        if checkpoint["kind"] == "generator":
            return EditorGraph(generators.build(checkpoint)).eval()
        net = classifiers.build(checkpoint["config"])
        net.load_state_dict(checkpoint["weights"])
        return ClassifierGraph(net).eval()
    except (RuntimeError, TypeError, KeyError):  # so say torch and Python of what another version has written
        raise BadInput(f"{name}: its weights do not fit the network that this version builds; train it again") from None


def example(graph, checkpoint, pictures, seed=0):
    """Inputs for a graph, dict of arrays: the given images uint8 [N,S,S,3], and AUs drawn from a seed, some NaN."""
    inputs = {"image": pictures}
    if "reference" in graph.inputs:
        inputs["reference"] = pictures[::-1].copy()
    if "source" in graph.inputs:
        draw = np.random.default_rng(seed)
        shape = (len(pictures), len(checkpoint["labels"]["aus"]))
        for name in ("source", "target"):
            values = draw.random(shape, np.float32)
            inputs[name] = np.where(draw.random(shape) < 0.1, np.float32(np.nan), values)
    return inputs


def convert(graph, inputs):
    """The graph as an onnx.ModelProto with dynamic N. inputs: arrays of a batch of 2."""
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in graph.inputs)
    count = torch.export.Dim("N", min=1, max=65536)
    shapes = {name: {0: count} for name in graph.inputs}
    talk = io.StringIO()  # the exporter's remarks are shown only when it fails
    with warnings.catch_warnings(), contextlib.redirect_stdout(talk), quiet("torch.onnx", "onnxscript", "torch.export"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(graph, tensors, dynamo=True, external_data=False, verbose=False,
                                    input_names=list(graph.inputs), output_names=list(graph.outputs),
                                    dynamic_shapes=shapes)
    model = program.model_proto
    for node in model.graph.node:  # stack traces: where this repository lies on this machine is nobody's business
        del node.metadata_props[:]
    return model


@contextlib.contextmanager
def quiet(*names):
    """Silence loggers below errors for a while."""
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def metadata(checkpoint, size):
    """What a host must know, a dict of JSON values (each stands as text in the model's metadata_props)."""
    import onnx

    labels = checkpoint["labels"]
    return {
        "kind": checkpoint["kind"], "architecture": checkpoint.get("architecture", ""),
        "aus": labels.get("aus", []), "expressions": labels.get("expressions", []),
        "valence_arousal": bool(labels.get("valence_arousal", False)),
        "au_kind": checkpoint.get("au_kind", "intensity"),
        "image_size": size, "color_order": "RGB", "resize_filter": f"{images.FILTER}, antialiased",
        "crop": "none: the whole image, resized to image_size",
        "registration": checkpoint.get("registration") or None,
        "thresholds": checkpoint.get("thresholds", {}), "trained_on": checkpoint.get("trained_on", ""),
        "epoch": checkpoint.get("best_epoch", checkpoint.get("epoch")),
        "versions": {**checkpoint.get("versions", {}), "export_torch": str(torch.__version__), "onnx": onnx.__version__},
    }


def parity(graph, path, inputs):
    """Largest difference between PyTorch and ONNX Runtime (CPU) over batches of 1, 2 and 7: {output: value}.

    Float outputs in their own unit, uint8 outputs in levels. inputs: arrays [N,…], repeated to 7 rows."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    worst = dict.fromkeys(graph.outputs, 0.0)
    for count in PARITY_BATCHES:
        for start in range(0, len(inputs["image"]), count):
            rows = (start + np.arange(count)) % len(inputs["image"])
            feed = {name: np.ascontiguousarray(values[rows]) for name, values in inputs.items()}
            with torch.no_grad():
                ours = graph(*(torch.from_numpy(feed[name]) for name in graph.inputs))
            feed = {item.name: feed[item.name] for item in session.get_inputs() if item.name in feed}
            for name, expected, got in zip(graph.outputs, ours, session.run(list(graph.outputs), feed)):
                difference = np.abs(expected.numpy().astype(np.float64) - got).max()
                worst[name] = max(worst[name], float("inf") if np.isnan(difference) else float(difference))
    return worst


def check_parity(worst, graph, tolerance):
    """GateFailed when an output differs by more than the tolerance (one level for uint8 images)."""
    for name, difference in worst.items():
        limit = 1.0 if name == "edited" else tolerance
        if difference > limit:
            raise GateFailed(f"output {name!r} differs by {difference:.3g} between PyTorch and ONNX Runtime "
                             f"(allowed: {limit:g}); nothing was written")


def export(checkpoint, out, pictures, tolerance=1e-4, name="the checkpoint"):
    """Write OUT.onnx and OUT.json, or neither; returns the parity found, {output: largest difference}.

    checkpoint: dict as lib.checkpoints.load_finished gives it; pictures: real images uint8 [N,S,S,3] for the parity
    gate; name: the checkpoint's, for messages."""
    import onnx

    graph = wrap(checkpoint, name)
    inputs = example(graph, checkpoint, pictures)
    model = convert(graph, {name: values[np.arange(2) % len(values)] for name, values in inputs.items()})
    meta = json.loads(to_json(metadata(checkpoint, pictures.shape[1])))
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in meta.items()})
    onnx.checker.check_model(model)
    missing = {*graph.inputs} - {item.name for item in model.graph.input}
    if missing:
        raise GateFailed(f"the exported graph lost its input {', '.join(sorted(missing))}; nothing was written")
    out = Path(out)
    with replacing(out) as temporary, replacing(out.with_suffix(".json")) as beside:  # .json is renamed first
        onnx.save(model, temporary)
        worst = parity(graph, temporary, inputs)
        check_parity(worst, graph, tolerance)
        beside.write_text(to_json(meta) + "\n", encoding="utf-8")
    return worst
