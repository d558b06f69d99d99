"""Checkpoints as ONNX files that own their pre- and post-processing, checked against PyTorch
before they exist.

uint8 images go in and come out, the number of images is free, and metadata says what a host must
know. After the export wrappers of Segment Anything (Kirillov et al. 2023) and timm's habit of
scoring the exported file.
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

from lib import choices, classifiers, device_data, generators, images, model_card, onnx_precision
from lib.cli import BadInput, GateFailed, uninterrupted
from lib.files import replacing, to_json
from lib.generators import conditions
from lib.labels import Labels

PARITY_BATCHES = (1, 2, 7)
PICTURES = onnx_precision.PICTURES  # uint8 outputs, which are compared in whole levels


class ClassifierGraph(nn.Module):
    """`image` uint8 [N,H,W,3], and `reference` of the same shape where the classifier compares
    with a person's neutral or mean image -> the outputs that it has, in the order of `outputs`."""

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
    """`image` uint8 [N,H,W,3], `source` and `target` [N,C] -> `edited` uint8 [N,H,W,3]; editors
    that move pixels also give `flow` [N,H,W,2] (pixels), `paint` [N,H,W,3] (0-255) and `cover`
    [N,H,W,1] (0-1).

    NaN in source and target: see lib.generators.conditions.source_and_target."""

    inputs = ("image", "source", "target")

    def __init__(self, net, labels, moves):
        super().__init__()
        self.net, self.labels = net, labels
        self.outputs = ["edited", "flow", "paint", "cover"] if moves else ["edited"]

    def forward(self, image, source, target):
        made = self.net(device_data.to_float(image),
                        *conditions.source_and_target(self.labels, source, target))
        if len(self.outputs) == 1:
            return (device_data.to_uint8(made),)
        last = lambda values: values.permute(0, 2, 3, 1)  # [N,C,H,W] -> [N,H,W,C]
        return (device_data.to_uint8(made["edited"]), last(made["flow"]) * (image.shape[2] / 2),
                (last(made["paint"]) + 1) * 127.5, last(made["cover"]))


class SamplerGraph(nn.Module):
    """`noise` [N,Z] and `target` [N,C] (absent where C = 0) -> `sampled` uint8 [N,H,W,3]. NaN in
    target is unknown."""

    outputs = ["sampled"]

    def __init__(self, net, labels):
        super().__init__()
        self.net, self.labels = net, labels
        self.inputs = ("noise", "target") if labels.count else ("noise",)

    def forward(self, noise, target=None):
        if target is None:
            target = noise.new_zeros(noise.shape[0], 0)
        elif self.labels.count:
            target = conditions.without_gaps(self.labels, target)
        return (device_data.to_uint8(self.net(noise, target).clamp(-1, 1)),)


class CriticGraph(nn.Module):
    """`image` uint8 [N,H,W,3] -> what a generator's discriminator reads: `au` in [0,1],
    `valence_arousal` in [-1,1], `expression`, `real`, `features`, those that it has."""

    inputs = ("image",)
    low = {"au": 0.0, "valence_arousal": -1.0}

    def __init__(self, net, size):
        super().__init__()
        self.net = net
        with torch.no_grad():
            self.outputs = list(net(torch.zeros(2, 3, size, size)))

    def forward(self, image):
        out = self.net(device_data.to_float(image))
        return tuple(out[name].clamp(self.low[name], 1.0) if name in self.low else out[name]
                     for name in self.outputs)


def wrap(checkpoint, name="the checkpoint", which=None):
    """The graph to export for a finished checkpoint, in evaluation mode on the CPU.

    which: of a generator's exports (editor, sampler, classifier); None is the system's own
    kind. A classifier's checkpoint holds a classifier only."""
    if checkpoint["kind"] != "generator" and which not in (None, "classifier"):
        raise BadInput(f"{name}: is a classifier, not a generator; leave --as {which} out")
    try:
        if checkpoint["kind"] == "generator":
            return generator_graph(checkpoint, name, which)
        net = classifiers.build(checkpoint["config"])
        net.load_state_dict(checkpoint["weights"])
        return ClassifierGraph(net).eval()
    # so say torch and Python of what another version has written
    except (RuntimeError, TypeError, KeyError):
        raise BadInput(
            f"{name}: its weights do not fit the network that this version builds; train it again"
        ) from None


def generator_graph(checkpoint, name, which):
    """The graph of one of a generator's exports; see `wrap`."""
    system = generators.build(checkpoint)
    which = which or system.kind
    if which not in system.exports:
        raise BadInput(f"{name}: gives no {which}; say --as {' or '.join(system.exports)}")
    lost = "discriminator" in system.nets and "discriminator" not in checkpoint_nets(checkpoint)
    if which == "classifier" and lost:
        raise BadInput(
            f"{name}: was trained by an earlier version and holds no discriminator; train it again"
        )
    net = system.exports[which].eval()
    if which == "sampler":
        graph = SamplerGraph(net, system.labels if system.conditional else Labels())
        graph.noise, graph.noise_size = system.noise_drawing.noise, system.noise_drawing.noise_size
    elif which == "classifier":
        graph = CriticGraph(net, system.config.size)
        graph.real_kind = system.real_kind
    else:
        with torch.no_grad():
            blank = torch.zeros(1, system.labels.count)
            made = net(torch.zeros(1, 3, system.config.size, system.config.size), blank, blank)
        graph = EditorGraph(net, system.labels, isinstance(made, dict))
    graph.kind = which
    return graph.eval()


def checkpoint_nets(checkpoint):
    """Names of the networks whose weights a generator's checkpoint holds."""
    return set(checkpoint["nets"]) if "nets" in checkpoint else {"generator"}


def example(graph, checkpoint, pictures, seed=0, count=8):
    """Inputs for a graph, dict of arrays: the given images uint8 [N,S,S,3] where it takes images,
    and conditions and noise drawn from a seed, some conditions NaN."""
    inputs = {}
    if "image" in graph.inputs:
        inputs["image"], count = pictures, len(pictures)
    if "reference" in graph.inputs:
        inputs["reference"] = pictures[::-1].copy()
    draw = np.random.default_rng(seed)
    for name in ("source", "target"):
        if name in graph.inputs:
            shape = (count, Labels(**names_of(checkpoint)).count)
            values = draw.random(shape, np.float32)
            inputs[name] = np.where(draw.random(shape) < 0.1, np.float32(np.nan), values)
    if "noise" in graph.inputs:
        inputs["noise"] = draw.standard_normal((count, graph.noise_size), np.float32)
        if graph.noise == "uniform":
            inputs["noise"] = np.tanh(inputs["noise"])
    return inputs


def names_of(checkpoint):
    """A checkpoint's label names, {'aus', 'valence_arousal', 'expressions'}."""
    blank = {"aus": [], "valence_arousal": False, "expressions": []}
    return {name: checkpoint["labels"].get(name, default) for name, default in blank.items()}


def convert(graph, inputs):
    """The graph as an onnx.ModelProto with dynamic N. inputs: arrays of a batch of 2."""
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in graph.inputs)
    count = torch.export.Dim("N", min=1, max=65536)
    shapes = {name: {0: count} for name in graph.inputs}
    talk = io.StringIO()  # the exporter's remarks are shown only when it fails
    silent = quiet("torch.onnx", "onnxscript", "torch.export")
    # in PyTorch's tracer Ctrl-C would become a TypeError of its own, and be lost
    with warnings.catch_warnings(), contextlib.redirect_stdout(talk), silent, uninterrupted():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(graph, tensors, dynamo=True, external_data=False,
                                    verbose=False, input_names=list(graph.inputs),
                                    output_names=list(graph.outputs), dynamic_shapes=shapes)
    model = program.model_proto
    # stack traces: where this repository lies on this machine is nobody's business
    for node in model.graph.node:
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


def stored_thresholds(checkpoint):
    """{metadata key: {AU: threshold}}, empty where none were chosen: `thresholds`, and
    `thresholds_au_present` where presence has a head beside one that reads levels."""
    heads = checkpoint["config"].get("au_heads") or []
    keys = [choices.THRESHOLDS[output] for output in choices.au_outputs(heads)]
    return {key: checkpoint.get(key, {}) for key in keys}


def metadata(checkpoint, size, graph=None):
    """What a host must know, a dict of JSON values (each stands as text in the model's
    metadata_props).

    graph: what is exported of a generator's checkpoint."""
    import onnx

    labels = names_of(checkpoint)
    kind = checkpoint["kind"] if graph is None else getattr(graph, "kind", checkpoint["kind"])
    found = {"kind": "editor" if kind == "generator" else kind,
             "architecture": checkpoint.get("architecture", ""), "aus": labels["aus"],
             "expressions": labels["expressions"],
             "valence_arousal": bool(labels["valence_arousal"]),
             "au_kind": checkpoint.get("au_kind", "intensity"), "image_size": size,
             "color_order": "RGB", "resize_filter": f"{images.FILTER}, antialiased",
             "crop": "none: the whole image, resized to image_size",
             "registration": checkpoint.get("registration") or None,
             **stored_thresholds(checkpoint),
             "trained_on": checkpoint.get("trained_on", ""),
             "epoch": checkpoint.get("best_epoch", checkpoint.get("epoch")),
             "versions": {**checkpoint.get("versions", {}), "export_torch": str(torch.__version__),
                          "onnx": onnx.__version__}}
    if found["kind"] in ("editor", "sampler"):
        conditioned = getattr(graph, "labels", Labels(**labels))
        found |= {"conditions": conditioned.conditions, "condition_kind": conditioned.kinds}
    for name in ("noise", "real_kind"):
        if hasattr(graph, name):
            found[name] = getattr(graph, name)
    return found


def parity(graph, path, inputs):
    """Largest difference between PyTorch and ONNX Runtime (CPU) over batches of 1, 2 and 7:
    {output: value}.

    Float outputs in their own unit, uint8 outputs in levels. inputs: arrays [N,…], repeated to 7
    rows."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    worst = dict.fromkeys(graph.outputs, 0.0)
    for count in PARITY_BATCHES:
        total = len(next(iter(inputs.values())))
        for start in range(0, total, count):
            rows = (start + np.arange(count)) % total
            feed = {name: np.ascontiguousarray(values[rows]) for name, values in inputs.items()}
            with torch.no_grad():
                ours = graph(*(torch.from_numpy(feed[name]) for name in graph.inputs))
            feed = {item.name: feed[item.name]
                    for item in session.get_inputs() if item.name in feed}
            theirs = session.run(list(graph.outputs), feed)
            for name, expected, got in zip(graph.outputs, ours, theirs):
                difference = np.abs(expected.numpy().astype(np.float64) - got).max()
                worst[name] = max(worst[name],
                                  float("inf") if np.isnan(difference) else float(difference))
    return worst


def check_parity(worst, size, tolerance):
    """GateFailed when an output differs by more than the tolerance: one level for uint8 images;
    for what is measured in levels of 255 or in pixels of an image of this size, the tolerance
    times that range.

    `cover` and `paint` are quotients of small numbers: ten times the tolerance moves a pixel by a
    quarter of a level at most."""
    ranges = {"paint": 2550, "flow": size, "cover": 10}
    for name, difference in worst.items():
        limit = 1.0 if name in PICTURES else tolerance * ranges.get(name, 1)
        if difference > limit:
            raise GateFailed(f"output {name!r} differs by {difference:.3g} between PyTorch and "
                             f"ONNX Runtime (allowed: {limit:g}); nothing was written")


def check_reads(graph, checkpoint, name):
    """BadInput where the graph is no classifier, whose thresholds could be chosen."""
    kind = getattr(graph, "kind", checkpoint["kind"])
    if kind == "classifier":
        return
    article = "an" if kind == "editor" else "a"
    reader = "classifier" in generators.build(checkpoint).exports
    remedy = "say --as classifier for its discriminator" if reader else "leave it out"
    raise BadInput(
        f"{name}: --validation chooses thresholds of a classifier, and this gives {article} {kind};"
        f" {remedy}"
    )


def export(
    checkpoint, out, pictures, tolerance=1e-4, name="the checkpoint", which=None, thresholds=None
):
    """Write OUT.onnx and OUT.json, or neither; returns the parity found, {output: largest
    difference}.

    checkpoint: dict as lib.checkpoints.load_finished gives it; pictures: real images uint8
    [N,S,S,3] for the parity gate, None for a sampler; name: the checkpoint's, for messages; which:
    see `wrap`; thresholds: a function of the model's path that chooses what
    lib.classifiers.thresholds.to_store gives, in place of the checkpoint's."""
    import onnx

    graph, size = wrap(checkpoint, name, which), checkpoint["config"]["size"]
    if thresholds:
        check_reads(graph, checkpoint, name)
    if "image" in graph.inputs and pictures is None:
        raise BadInput(f"{name}: keeps no sample images; give --parity-images FILE.csv")
    inputs = example(graph, checkpoint, pictures)
    two = {name: values[np.arange(2) % len(values)] for name, values in inputs.items()}
    model = convert(graph, two)
    meta = json.loads(to_json(metadata(checkpoint, size, graph)))
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in meta.items()})
    onnx.checker.check_model(model)
    missing = {*graph.inputs} - {item.name for item in model.graph.input}
    if missing:
        raise GateFailed(
            f"the exported graph lost its input {', '.join(sorted(missing))}; nothing was written"
        )
    out = Path(out)
    # .json is renamed first
    with replacing(out) as temporary, replacing(out.with_suffix(".json")) as beside:
        onnx.save(model, temporary)
        worst = parity(graph, temporary, inputs)
        check_parity(worst, size, tolerance)
        if thresholds:
            meta |= thresholds(temporary)
            onnx_precision.write_metadata(temporary, meta)
        beside.write_text(to_json(meta) + "\n", encoding="utf-8")
        # the model takes its name last, when all is there
        model_card.write(out, meta, checkpoint.get("training_sets", ()))
    return worst
