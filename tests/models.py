"""Tiny ONNX models whose outputs can be worked out by hand, and images and manifests to go with
them.

An image is SIZE x SIZE and has one stripe of columns an AU. The classifier reads an AU as the mean
brightness of its stripe / 255; the generator adds 255 x (target - source) to it; the sampler
paints 255 x target.
"""
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lib import manifest

AUS = ["AU01", "AU02", "AU12", "AU26"]
SIZE = 8


def paint(levels, size=SIZE):
    """The image of AU levels [A] in [0, 1], uint8 [size,size,3]: stripe k has the brightness of AU
    k."""
    row = np.repeat(np.round(np.asarray(levels) * 255), size // len(levels)).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (size, size, 3)).copy()


def classifier(path, aus=AUS, size=SIZE, only=None, reference=False, **meta):
    """Write the classifier: au [N,A], valence_arousal [N,2] = (2 x first AU - 1, 1 - 2 x first
    AU), expression [N,2] = (1 - last AU, last AU), features [N,A] = au; or `only` those
    outputs. With a reference, au is of image - reference."""
    pixels = size * size * 3
    spread = stripes(aus, size) / (pixels / len(aus)) / 255
    nodes = [("Cast", ["image"], ["float"], {"to": TensorProto.FLOAT}),
             ("Reshape", ["float", "flat_shape"], ["flat"], {}),
             ("MatMul", ["flat", "spread"], ["au"], {}), ("Identity", ["au"], ["features"], {}),
             ("MatMul", ["au", "va_weights"], ["va"], {}),
             ("Add", ["va", "va_bias"], ["valence_arousal"], {}),
             ("MatMul", ["au", "e_weights"], ["e"], {}),
             ("Add", ["e", "e_bias"], ["expression"], {})]
    first, last = np.eye(len(aus))[0], np.eye(len(aus))[-1]
    inputs = {"image": (TensorProto.UINT8, ["N", size, size, 3])}
    if reference:
        inputs["reference"] = inputs["image"]
        nodes[1:2] = [("Cast", ["reference"], ["other"], {"to": TensorProto.FLOAT}),
                      ("Sub", ["float", "other"], ["difference"], {}),
                      ("Reshape", ["difference", "flat_shape"], ["flat"], {})]
    constants = {"flat_shape": np.array([-1, pixels], np.int64), "spread": spread,
                 "va_weights": np.stack([2 * first, -2 * first], 1),
                 "va_bias": np.array([-1.0, 1.0]), "e_weights": np.stack([-last, last], 1),
                 "e_bias": np.array([1.0, 0.0])}
    outputs = {"au": len(aus), "valence_arousal": 2, "expression": 2, "features": len(aus)}
    outputs = {name: outputs[name] for name in only or outputs}
    return save(path, nodes, constants, inputs,
                {name: (TensorProto.FLOAT, ["N", width]) for name, width in outputs.items()},
                {"kind": "classifier", "architecture": "stripes", "aus": aus, "image_size": size,
                 "expressions": ["neutral", "happiness"],
                 "thresholds": {name: 0.4 for name in aus}, **meta})


def generator(path, aus=AUS, size=SIZE, labels=None, **meta):
    """Write the editor: edited = image + 255 x (target - source) in each stripe, clipped; NaN
    changes nothing.

    labels: metadata in place of `aus`, where the stripes are other conditions."""
    nodes = [("Sub", ["target", "source"], ["difference"], {}),
             ("IsNaN", ["difference"], ["unknown"], {}),
             ("Where", ["unknown", "zero", "difference"], ["relative"], {}),
             ("MatMul", ["relative", "paint"], ["flat"], {}),
             ("Reshape", ["flat", "shape"], ["change"], {}),
             ("Cast", ["image"], ["float"], {"to": TensorProto.FLOAT}),
             ("Add", ["float", "change"], ["sum"], {}), *clipped("sum", "edited")]
    constants = {"zero": np.array(0.0), "paint": stripes(aus, size).T * 255,
                 "shape": np.array([-1, size, size, 3], np.int64), "low": np.array(0.0),
                 "high": np.array(255.0)}
    numbers = (TensorProto.FLOAT, ["N", len(aus)])
    return save(path, nodes, constants,
                {"image": (TensorProto.UINT8, ["N", size, size, 3]), "source": numbers,
                 "target": numbers}, {"edited": (TensorProto.UINT8, ["N", size, size, 3])},
                {"kind": "generator", "architecture": "stripes", "image_size": size,
                 **(labels or {"aus": aus}), **meta})


def sampler(path, aus=AUS, size=SIZE, noise=3, labels=None, **meta):
    """Write the sampling generator: sampled = 255 x target in each stripe + the first noise
    number."""
    nodes = [("MatMul", ["target", "paint"], ["painted"], {}),
             ("MatMul", ["noise", "first"], ["brightness"], {}),
             ("Add", ["painted", "brightness"], ["flat"], {}),
             ("Reshape", ["flat", "shape"], ["sum"], {}), *clipped("sum", "sampled")]
    constants = {"paint": stripes(aus, size).T * 255, "first": np.eye(noise)[:, :1],
                 "shape": np.array([-1, size, size, 3], np.int64), "low": np.array(0.0),
                 "high": np.array(255.0)}
    return save(path, nodes, constants, {"noise": (TensorProto.FLOAT, ["N", noise]),
                                         "target": (TensorProto.FLOAT, ["N", len(aus)])},
                {"sampled": (TensorProto.UINT8, ["N", size, size, 3])},
                {"kind": "generator", "architecture": "stripes-from-noise", "image_size": size,
                 **(labels or {"aus": aus}), **meta})


def stripes(aus, size):
    """Which pixel values belong to which AU's stripe, 0/1 [size*size*3, A]."""
    column = np.arange(size) // (size // len(aus))
    of_pixel = np.broadcast_to(column[None, :, None], (size, size, 3)).ravel()
    return (of_pixel[:, None] == np.arange(len(aus))).astype(np.float64)


def clipped(name, output):
    """Nodes that round to uint8."""
    return [("Round", [name], ["rounded"], {}),
            ("Clip", ["rounded", "low", "high"], ["in_range"], {}),
            ("Cast", ["in_range"], [output], {"to": TensorProto.UINT8})]


def save(path, nodes, constants, inputs, outputs, meta):
    """Assemble and write a model with its metadata; returns its path."""
    arrays = {name: value if value.dtype == np.int64 else value.astype(np.float32)
              for name, value in constants.items()}
    graph = helper.make_graph(
        [helper.make_node(op, ins, outs, **attributes) for op, ins, outs, attributes in nodes],
        "tiny", [helper.make_tensor_value_info(name, *spec) for name, spec in inputs.items()],
        [helper.make_tensor_value_info(name, *spec) for name, spec in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in meta.items()})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return Path(path)


def dataset(folder, levels, name="set.csv", aus=AUS, subjects=None, size=SIZE):
    """Write painted images as a pack and a manifest of them; levels [N,A]. Returns the manifest's
    path."""
    levels = np.asarray(levels, float)
    Path(folder).mkdir(parents=True, exist_ok=True)
    pack = Path(name).stem + ".npy"
    np.save(Path(folder) / pack, np.stack([paint(row, size) for row in levels]))
    columns = {"path": [f"{pack}#{i}" for i in range(len(levels))],
               "subject": list(subjects) if subjects else [f"s{i}" for i in range(len(levels))],
               **{au: list(levels[:, k]) for k, au in enumerate(aus)}}
    manifest.write(Path(folder) / name, columns)
    return Path(folder) / name
