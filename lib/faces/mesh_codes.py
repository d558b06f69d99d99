"""What Face Mesh holds of a registered face before it names points: two codes that readings are
learnt from.

`points`, float [288], lies right before the points: geometry. `wide`, float [1152], is its last
wide layer, averaged to 3 x 3 places: also how brows, lids and lips look. The network has seen real
faces, so both mean much the same on rendered faces and on photographs.
"""
import numpy as np

from lib import images
from lib.cli import progress
from lib.faces import mesh_graph

# The mesh's square picture over the registered face (tight): its side, and how far its middle lies
# above, in sides
SIDE, ABOVE = 1.7, 0.1
TENSORS = {"points": "t207", "wide": "t141"}  # of the network, [N,32,3,3] and [N,128,6,6]
WIDTHS = {"points": 288, "wide": 1152}
BATCH = 32


def borders(size):
    """Pixels that are added around a registered face of `size` pixels: (above, below, left,
    right)."""
    side = round(SIDE * size)
    above = round((SIDE / 2 + ABOVE - 0.5) * size)
    left = (side - size) // 2
    return above, side - size - above, left, side - size - left


def needed(nodes, outputs):
    """The nodes that some tensors depend on, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]


def initializers(constants):
    """{name: array or TensorProto} as a list of TensorProto."""
    from onnx import TensorProto, numpy_helper

    return [item if isinstance(item, TensorProto)
            else numpy_helper.from_array(np.asarray(item), name)
            for name, item in constants.items()]


def nodes_for(size, image):
    """(ONNX nodes, {name: constant}) that turn `image` uint8 [N,S,S,3] into `points_code` and
    `wide_code`."""
    from onnx import TensorProto, helper

    above, below, left, right = borders(size)
    mesh, make = mesh_graph.graph(), helper.make_node
    constants = {"mesh_scale": np.float32(255), "mesh_side": np.array([192, 192]),
                 "flat": np.array([0, -1]),
                 "mesh_borders": np.array([0, 0, above, left, 0, 0, below, right])}
    kept = needed(mesh.node, TENSORS.values())
    names = {name for node in kept for name in node.input}
    constants |= {item.name: item for item in mesh.initializer if item.name in names}
    return [
        make("Cast", [image], ["mesh_float"], to=TensorProto.FLOAT),
        make("Div", ["mesh_float", "mesh_scale"], ["mesh_unit"]),
        make("Transpose", ["mesh_unit"], ["mesh_first"], perm=[0, 3, 1, 2]),
        make("Pad", ["mesh_first", "mesh_borders"], ["mesh_padded"], mode="edge"),
        make("Resize", ["mesh_padded", "", "", "mesh_side"], ["mesh_image"], mode="linear",
             axes=[2, 3]), *kept, make("Reshape", [TENSORS["points"], "flat"], ["points_code"]),
        make("AveragePool", [TENSORS["wide"]], ["wide_pooled"], kernel_shape=[2, 2],
             strides=[2, 2]), make("Reshape", ["wide_pooled", "flat"], ["wide_code"])
    ], constants


def codes(size, pictures, mirrored=False):
    """{'points': float32 [N,288], 'wide': [N,1152]} of registered faces, uint8 [N,S,S,3] or
    references to images."""
    import onnxruntime
    from onnx import TensorProto, helper

    nodes, constants = nodes_for(size, "image")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "codes", [value("image", TensorProto.UINT8, ["N", size, size, 3])],
        [value(f"{name}_code", TensorProto.FLOAT, None) for name in TENSORS],
        initializers(constants)
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", mesh_graph.OPSET)],
                              ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(),
                                           providers=["CPUExecutionProvider"])
    found = []
    for first in progress(range(0, len(pictures), BATCH), what="mesh", unit="batch"):
        batch = [picture if isinstance(picture, np.ndarray) else images.load(picture)
                 for picture in pictures[first:first + BATCH]]
        batch = np.stack([images.resize(picture, size) for picture in batch])
        found.append(session.run(None, {"image": batch[:, :, ::-1] if mirrored else batch}))
    return {name: np.concatenate(parts) for name, parts in zip(TENSORS, zip(*found))}
