"""Exported models with smaller numbers: fp16, or int8 by static quantisation, kept only if they do
their work as well.

fp16 halves the file; it is meant for GPUs, as ONNX Runtime computes in float32 on a CPU all the
same. int8 quarters the file: weights per channel, activations by the ranges that they have on the
calibration images. ONNX Runtime's own tools do both; no torch.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from lib import images, model_card
from lib.cli import BadInput, GateFailed
from lib.files import replacing, to_json
from lib.onnx_runtime import Model, au_scores, shared_aus

CALIBRATION_IMAGES, BATCH = 256, 32
LEVELS = 255  # of an image
PICTURES = ("edited", "sampled")
# the outputs that figures are made of; others, such as an editor's flow, are as large as all images
COMPARED = (*PICTURES, "au", "au_level", "au_present", "valence_arousal", "expression")


def shrink(source, out, precision, data, calibration=None, max_drop=0.01, sets=()):
    """Write OUT.onnx and OUT.json, a float32 model `source` in fp16 or int8; {figure: (before,
    after)}.

    data: test Manifest; calibration: Manifest for int8; sets: `model_card.facts` of what the model
    learnt from, for its card. GateFailed, and nothing written, when a figure of `figures` is more
    than max_drop lower or undefined, or when an output of either model has NaN or infinity."""
    out, whole = Path(out), Model.open(source, "cpu")
    convert = {"fp16": half, "int8": eight_bit}[precision]
    with replacing(out) as temporary, replacing(out.with_suffix(".json")) as beside:
        convert(whole, temporary, calibration)
        write_metadata(temporary, whole.meta)  # quantisation loses it
        before = outputs(whole, data, "float32")
        small = Model.open(temporary, "cpu")
        found = compared(whole, before, outputs(small, data, precision), data)
        for name, (full, less) in found.items():
            if less is None:
                raise GateFailed(
                    f"{precision}: {name}, {full:.4f} in float32, is undefined on {data.name}; "
                    "nothing was written"
                )
            if full - less > max_drop:
                raise GateFailed(
                    f"{precision}: {name} falls from {full:.4f} to {less:.4f} on {data.name} "
                    f"(allowed: {max_drop:g} less); nothing was written"
                )
        drop = {name: round(full - less, 5) for name, (full, less) in found.items()}
        meta = whole.meta | {"precision": precision, "drop": drop}
        write_metadata(temporary, meta)
        beside.write_text(to_json(meta) + "\n", encoding="utf-8")
        # the model takes its name last, when all is there
        model_card.write(out, meta, sets)
    return found


def half(whole, path, _):
    """The model with float16 inside; its inputs and outputs stay as they are."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(onnx.load(whole.path), keep_io_types=True)
    # it casts what several nodes share once for each of them, under one name, which no graph may
    seen, kept = set(), []
    for node in model.graph.node:
        if node.output[0] not in seen:
            kept.append(node)
        seen.add(node.output[0])
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.save(model, path)


def eight_bit(whole, path, calibration):
    """The model with int8 weights (per channel) and uint8 activations.

    Weights use 7 of the 8 bits: processors without VNNI add two products in 16 bits, which would
    overflow."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(whole.path, ready, skip_symbolic_shape=True)  # joins conv and batch norm
        quantize_static(
            ready,
            path,
            Calibration(whole, calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            op_types_to_quantize=["Conv", "ConvTranspose", "MatMul", "Gemm"],
        )


class Calibration:
    """The model's inputs on the calibration images, as onnxruntime.quantization reads them: dicts,
    then None."""

    def __init__(self, model, data):
        count = min(len(data), CALIBRATION_IMAGES)
        chosen = data.take(np.linspace(0, len(data) - 1, count).astype(int))
        self.batches = batches(model, chosen)

    def get_next(self):
        """The next batch, or None."""
        return next(self.batches, None)


def batches(model, data):
    """Dicts of inputs of a model, BATCH rows each."""
    rest = conditions(model, len(data))
    pictures = data.images() if "image" in model.inputs else None
    if "reference" in model.inputs:
        raise BadInput(f"{model.path}: compares with reference images; export it in float32")
    for start in range(0, len(data), BATCH):
        rows = slice(start, min(start + BATCH, len(data)))
        found = {name: values[rows] for name, values in rest.items()}
        if pictures is not None:
            found["image"] = images.batch(pictures[rows], model.image_size)
        yield found


def conditions(model, count):
    """Noise, and conditions of generators [count,C]: each condition in turn, from nothing to its
    most."""
    found, size = {}, len(model.labels.conditions)
    for name in ("source", "target"):
        if name in model.inputs:
            found[name] = np.zeros((count, size), np.float32)
    if "target" in found:
        found["target"][np.arange(count), np.arange(count) % max(1, size)] = 1
    if "noise" in model.inputs:
        shape = (count, model.inputs["noise"].shape[1])
        found["noise"] = np.random.default_rng(0).standard_normal(shape, np.float32)
        if model.meta.get("noise") == "uniform":
            found["noise"] = np.tanh(found["noise"])
    return found


def outputs(model, data, precision):
    """Outputs of a model on a manifest's images, {name: array}, those that are compared.

    GateFailed, which names the precision, when any output has NaN or infinity: the numbers that
    are compared leave out what is undefined, and would not see it."""
    found = {}
    for inputs in batches(model, data):
        for name, values in model.once(**inputs).items():
            if not np.isfinite(values).all():
                raise GateFailed(
                    f"{precision}: output {name!r} has NaN or infinity on {data.name}; "
                    "nothing was written"
                )
            if name in COMPARED:
                found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def compared(model, before, after, data):
    """{figure: (of float32, of the smaller model)}, more is better; None where the smaller model
    has none. Of a classifier those of `figures`; of a generator how like its pictures are: 1 - mean
    difference / 255."""
    for name in PICTURES:
        if name in before:
            apart = np.abs(before[name].astype(np.float32) - after[name]).mean() / LEVELS
            return {"likeness of pictures": (1.0, 1.0 - float(apart))}
    ours, theirs = figures(model, before, data), figures(model, after, data)
    if not ours:
        raise BadInput(f"{data.name}: has none of the labels of {model.path}; give a labelled set")
    return {name: (value, theirs.get(name)) for name, value in ours.items()}


def figures(model, found, data):
    """Of a classifier's outputs on a labelled manifest: mean F1 of AUs at the stored thresholds
    (of `au`, and of `au_present` beside it), mean CCC of valence and arousal, accuracy of
    expressions; those that there are."""
    from lib.evaluation import metrics
    from lib.evaluation.classifier_report import truth_thresholds
    from lib.labels import VALENCE_AROUSAL

    scores = {}
    if model.aus and data.au_names:
        names = shared_aus(model, data)
        columns = [model.aus.index(name) for name in names]
        on = metrics.present(data.aus(names), truth_thresholds(data))
        read = {"F1": (au_scores(model, found), model.thresholds())}
        if "au_present" in found and model.reads_presence:
            limits = model.thresholds(output="au_present")
            read["F1 of au_present"] = (found["au_present"], limits)
        for figure, (values, limits) in read.items():
            said = metrics.present(values, limits)[:, columns]
            rows = [metrics.detection(on[:, k], said[:, k]) for k in range(len(names))]
            scores[figure] = metrics.mean_of([{"f1": row["f1"]} for row in rows])["f1"]
    if "valence_arousal" in found:
        pairs = enumerate(found["valence_arousal"].T)
        values = [metrics.ccc(data.numbers(VALENCE_AROUSAL[k]), each) for k, each in pairs]
        scores["CCC"] = metrics.mean_of([{"ccc": value} for value in values])["ccc"]
    if "expression" in found and model.expressions:
        truth = np.array(data.text("expression"))
        said = np.array(model.expressions)[found["expression"].argmax(1)]
        known = truth != ""
        scores["accuracy"] = float((truth == said)[known].mean()) if known.any() else None
    return {name: value for name, value in scores.items() if value is not None}


def write_metadata(path, meta):
    """Put metadata into a model file; each value is JSON."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in meta.items()})
    onnx.save(model, path)
