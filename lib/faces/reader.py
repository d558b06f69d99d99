"""Makes a reader of photographs: AUs, valence and arousal, and expressions, from a face's picture
and its mesh.

    python -m lib.faces.reader --train labelled.csv --validation validation.csv --out reader.onnx
    python -m lib.faces.reader --train labelled.csv --validation validation.csv --classifier c.onnx
    --out reader.onnx

A classifier that only saw rendered faces trusts rendered skin. Face Mesh has seen real faces: two
small networks learn here to read its codes (lib.faces.mesh_codes), from rendered faces framed as
registration does (lib.datasets.rendered_faces --look world --framing tight). The reader averages
them, and a classifier when one is given, over the picture and its mirror image. One ONNX file
holds all; Face Mesh is unchanged (Apache-2.0).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import manifest
from lib.cli import BadInput, arg, log, parse, run
from lib.faces import align, mesh_codes, mesh_graph
from lib.files import digest, replacing, to_json
from lib.labels import VALENCE_AROUSAL

HIDDEN, EPOCHS, BATCH, RATE, DECAY = 256, 12, 100, 1e-3, 0.05
DROPOUT, NOISE = 0.5, 0.2  # of hidden units; standard deviation added to standardised codes
FARTHEST = 4.0  # standard deviations; what lies farther is unlike any training face
VA_WEIGHT, EXPRESSION_WEIGHT = 0.5, 0.1
TASKS = ("au", "valence_arousal", "expression")


@dataclass
class Options:
    train: list[str] = arg(
        help="manifests of registered faces (tight) to learn from",
        nargs="+",
        required=True,
        metavar="FILE.csv",
    )
    validation: str = arg(
        help="manifest that chooses thresholds", required=True, metavar="FILE.csv"
    )
    out: str = arg(
        help="where the reader goes; its metadata go beside it, as NAME.json",
        required=True,
        metavar="FILE.onnx",
        writes="file",
    )
    classifier: str = arg(
        "", help="also average this classifier of the same labels in", metavar="FILE.onnx"
    )
    share: float = arg(0.3, help="of the classifier's reading", least=0)
    size: int = arg(96, help="pixels a side of the reader's images", least=32)
    most: int = arg(0, help="learn from the first so many images (0: all)", least=0)
    seed: int = arg(0, help="of weights, order and noise", least=0)

    def __post_init__(self):
        if self.share > 1:
            raise ValueError("--share must be at most 1")


def build(codes, outputs):
    """A reading: standardised codes [N,codes] -> [N,outputs], before sigmoid, tanh and softmax."""
    from torch import nn

    return nn.Sequential(
        nn.Dropout(0.6 * DROPOUT),
        nn.Linear(codes, HIDDEN),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(HIDDEN, outputs),
    )


def columns(names):
    """Which outputs of a reading are which, {task: slice}."""
    aus, dimensions = len(names["aus"]), 2 * names["valence_arousal"]
    return {
        "au": slice(0, aus),
        "valence_arousal": slice(aus, aus + dimensions),
        "expression": slice(aus + dimensions, aus + dimensions + len(names["expressions"])),
    }


def loss(out, true, parts):
    """Binary cross-entropy of AU levels, squared error of valence and arousal, cross-entropy of
    expressions; labels that are not known (NaN, -1) do not act. out: [N,K]; true: as
    label_tensors.truth gives it."""
    from torch.nn import functional as F

    au, known = true["au"], ~true["au"].isnan()
    total = F.binary_cross_entropy_with_logits(out[:, parts["au"]][known], au[known])
    if "valence_arousal" in true:
        known = ~true["valence_arousal"].isnan()
        error = out[:, parts["valence_arousal"]].tanh()[known] - true["valence_arousal"][known]
        total = total + VA_WEIGHT * error.square().mean()
    if "expression" in true:
        total = total + EXPRESSION_WEIGHT * F.cross_entropy(
            out[:, parts["expression"]], true["expression"], ignore_index=-1
        )
    return total


def fit(codes, true, names, seed):
    """Learn to read codes float [N,F]: {first, first_offset, last, last_offset, mean, spread},
    float32 arrays."""
    import torch

    torch.manual_seed(seed)
    mean, spread = codes.mean(0), codes.std(0) + 1e-6
    x = torch.from_numpy(((codes - mean) / spread).clip(-FARTHEST, FARTHEST)).float()
    parts = columns(names)
    net = build(x.shape[1], parts["expression"].stop)
    with torch.no_grad():  # begin at every AU's mean
        net[4].bias[parts["au"]] = true["au"].nanmean(0).clamp(0.01, 0.99).logit()
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    steps = EPOCHS * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(x)).split(BATCH):
            out = net(x[chosen] + NOISE * torch.randn(len(chosen), x.shape[1]))
            optimiser.zero_grad()
            loss(out, {task: values[chosen] for task, values in true.items()}, parts).backward()
            optimiser.step()
            schedule.step()
    array = lambda values: np.ascontiguousarray(values.detach().numpy(), np.float32)
    return dict(
        first=array(net[1].weight.T),
        first_offset=array(net[1].bias),
        last=array(net[4].weight.T),
        last_offset=array(net[4].bias),
        mean=mean.astype(np.float32),
        spread=spread.astype(np.float32),
    )


def learn(options):
    """({code: reading}, names of the labels, the training manifest)."""
    import torch

    from lib.classifiers import label_tensors

    torch.set_flush_denormal(True)
    sets = [manifest.read(path) for path in options.train]
    data = sets[0] if len(sets) == 1 else manifest.merge(sets, Path.cwd())
    if modes := {manifest.mode(text) for text in data.text("registration")} - {"tight"}:
        raise BadInput(
            f"{data.name}: has images registered as {sorted(modes)[0] or 'nothing'!r}; "
            "the reader wants tight ones (rendered_faces --framing tight, "
            "lib.faces.register --mode tight)"
        )
    data = data.take(slice(options.most or None))
    names = label_tensors.label_names([data], ["au", "va", "expression"])
    true = label_tensors.truth(data, names)
    true = {task: torch.cat([true[task]] * 2) for task in TASKS}
    views = [mesh_codes.codes(options.size, data.images(), mirrored) for mirrored in (False, True)]
    readings = {
        code: fit(np.concatenate([view[code] for view in views]), true, names, options.seed)
        for code in mesh_codes.TENSORS
    }
    return readings, names, data


def read_code(make, constants, code, reading, names):
    """Nodes from `{code}_code` to `{code}_au`, `{code}_valence_arousal` and
    `{code}_expression`."""
    constants |= {f"{code}_{key}": values for key, values in reading.items()}
    name = lambda text: f"{code}_{text}"
    nodes = [
        make("Sub", [name("code"), name("mean")], [name("level")]),
        make("Div", [name("level"), name("spread")], [name("standard")]),
        make("Clip", [name("standard"), "nearest", "farthest"], [name("clipped")]),
        make("Gemm", [name("clipped"), name("first"), name("first_offset")], [name("inner")]),
        make("Relu", [name("inner")], [name("hidden")]),
        make("Gemm", [name("hidden"), name("last"), name("last_offset")], [name("out")]),
    ]
    for task, shape in zip(TASKS, ("Sigmoid", "Tanh", "Softmax")):
        part = columns(names)[task]
        constants |= {
            f"{task}_start": np.array([part.start]),
            f"{task}_stop": np.array([part.stop]),
        }
        nodes += [
            make(
                "Slice",
                [name("out"), f"{task}_start", f"{task}_stop", "last_axis"],
                [name(f"{task}_raw")],
            ),
            make(shape, [name(f"{task}_raw")], [name(task)]),
        ]
    return nodes


def assemble(readings, names, size, classifier=None, share=0.0):
    """The reader's ONNX model; classifier: an ONNX model whose reading has this share."""
    from onnx import TensorProto, compose, helper

    make, value = helper.make_node, helper.make_tensor_value_info
    nodes, constants = mesh_codes.nodes_for(size, "both")
    constants |= {
        "backward": np.array([-1]),
        "beyond": np.array([-(1 << 40)]),
        "across": np.array([2]),
        "last_axis": np.array([1]),
        "nearest": np.float32(-FARTHEST),
        "farthest": np.float32(FARTHEST),
        "mesh_share": np.float32(1 - share),
        "classifier_share": np.float32(share),
    }
    nodes = [
        make("Slice", ["image", "backward", "beyond", "across", "backward"], ["mirrored"]),
        make("Concat", ["image", "mirrored"], ["both"], axis=0),
        *nodes,
    ]
    for code, reading in readings.items():
        nodes += read_code(make, constants, code, reading, names)
    tensors, there = mesh_codes.initializers(constants), []
    if classifier is not None:
        inner = compose.add_prefix_graph(classifier.graph, "c_")
        there = [item.name for item in inner.output]
        nodes += [make("Identity", ["both"], ["c_image"]), *inner.node]
        tensors += list(inner.initializer)
    for task in TASKS:
        nodes += averaged(make, task, list(readings), f"c_{task}" in there)
    outputs = [
        value(
            task, TensorProto.FLOAT, ["N", columns(names)[task].stop - columns(names)[task].start]
        )
        for task in TASKS
    ]
    graph = helper.make_graph(
        nodes,
        "reader",
        [value("image", TensorProto.UINT8, ["N", size, size, 3])],
        outputs,
        tensors,
    )
    opsets = (
        classifier.opset_import
        if classifier is not None
        else [helper.make_opsetid("", mesh_graph.OPSET)]
    )
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def averaged(make, task, codes, with_classifier):
    """Nodes that average a task's readings, and those of both pictures, into its output."""
    nodes = [make("Mean", [f"{code}_{task}" for code in codes], [f"{task}_mesh"])]
    mixed = f"{task}_mesh"
    if with_classifier:
        mixed = f"{task}_mixed"
        nodes += [
            make("Mul", [f"{task}_mesh", "mesh_share"], [f"{task}_one_part"]),
            make("Mul", [f"c_{task}", "classifier_share"], [f"{task}_other_part"]),
            make("Add", [f"{task}_one_part", f"{task}_other_part"], [mixed]),
        ]
    return nodes + [
        make("Split", [mixed], [f"{task}_straight", f"{task}_mirrored"], axis=0, num_outputs=2),
        make("Mean", [f"{task}_straight", f"{task}_mirrored"], [task]),
    ]


def save(model, meta, path):
    """Write the model with its metadata, and the metadata beside it."""
    import onnx

    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in meta.items()})
    onnx.checker.check_model(model)
    # .json is renamed first
    with replacing(path) as temporary, replacing(Path(path).with_suffix(".json")) as beside:
        onnx.save(model, temporary)
        beside.write_text(to_json(meta), encoding="utf-8")


def metadata(options, names, data):
    """What a host must know, as lib.onnx_export.metadata says it."""
    import onnx

    from lib import images

    return {
        "kind": "classifier",
        "architecture": "face mesh reader" + (" + classifier" * bool(options.classifier)),
        "aus": names["aus"],
        "expressions": names["expressions"],
        "valence_arousal": True,
        "au_kind": "intensity",
        "image_size": options.size,
        "color_order": "RGB",
        "resize_filter": f"{images.FILTER}, antialiased",
        "crop": "face registered tight",
        "registration": align.name("tight", options.size),
        "thresholds": {},
        "trained_on": digest(data.digest()),
        "versions": {"onnx": onnx.__version__},
    }


def open_classifier(options, names):
    """The classifier that is averaged in, an ONNX model; None without one. BadInput when it reads
    other labels."""
    if not options.classifier:
        return None
    import onnx

    from lib.onnx_runtime import Model

    opened = Model.open(options.classifier, kind="classifier")
    if (opened.aus, opened.image_size, list(opened.inputs)) != (
        names["aus"],
        options.size,
        ["image"],
    ) or opened.expressions not in ([], names["expressions"]):
        raise BadInput(
            f"{options.classifier}: reads other labels, or images of {opened.image_size} pixels; "
            f"train it on the same data, at --size {options.size}"
        )
    return onnx.load(options.classifier)


def main(argv=None):
    options = parse(Options, __doc__, argv)
    from lib.classifiers.thresholds import choose
    from lib.onnx_runtime import Model

    readings, names, data = learn(options)
    model = assemble(readings, names, options.size, open_classifier(options, names), options.share)
    meta = metadata(options, names, data)
    save(model, meta, options.out)
    checked = manifest.read(options.validation)
    scores = Model.open(options.out).predict(checked.images(), what="thresholds")["au"]
    meta["thresholds"], f1 = choose(scores, checked, names["aus"])
    save(model, meta, options.out)
    log(
        f"{options.out}: {len(names['aus'])} AUs, {', '.join(VALENCE_AROUSAL)}, "
        f"{len(names['expressions'])} expressions "
        f"from {len(data)} images; F1 {f1:.3f} on {checked.name}; "
        f"{Path(options.out).stat().st_size / 2**20:.1f} MB"
    )


if __name__ == "__main__":
    run(main)
