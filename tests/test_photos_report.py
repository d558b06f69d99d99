"""The report on photographs: its numbers by hand, and judges whose networks are small enough to
work out."""
import json

import numpy as np
import pytest
from needs import needs

from lib.cli import BadInput
from lib.faces import align, judges, landmarks, models, photos_report

pytestmark = needs(models.opencv)


def face_in(photo, share=.6):
    side = min(photo.shape[:2])
    middle = [photo.shape[1] / 2 - share / 2 * side, photo.shape[0] / 2 - share / 2 * side, 0]
    return landmarks.Face((align.template() * side * share + middle).astype(np.float32), 1.0)


def test_auc_of_an_au_for_its_emotion():
    """Two smiles of .9 and .3 against neutral .1, .3 and .5: 3 + 1.5 of 6 pairs are in order."""
    levels = [{"AU12": value} for value in (.9, .3, .1, .3, .5)]
    section = photos_report.reading_section(levels, np.array(["happiness"] * 2 + ["neutral"] * 3))
    assert section["pairs"].keys() == {"happiness AU12"} and section["mean_auc"] == .75
    low, high = section["interval"]
    assert 0 <= low < .75 < high <= 1
    assert photos_report.reading_section(levels, np.array(["sadness"] * 5)) is None


def test_one_edit_in_numbers():
    photo = np.full((120, 120, 3), 100, np.uint8)
    photo[::2, ::2] = 140
    face = face_in(photo)
    same = photos_report.compare(photo, photo, face)
    assert (same["outside"], same["changed"], same["colour"], same["detail"]) == (0, 0, 0, (0, 0))
    after = photo.copy()
    after[50:70, 50:70] += 10
    brighter = photos_report.compare(photo, after, face)
    assert brighter["outside"] == 0
    assert brighter["changed"] == pytest.approx(400 / photos_report.hull(face, (120, 120)).sum())
    assert brighter["detail"][0] == pytest.approx(brighter["detail"][1], rel=.05)
    after[50:70, 50:70] = 120  # smooth now; only the rim of the square is detail
    detail = photos_report.compare(photo, after, face)["detail"]
    assert detail[0] < .2 * detail[1]
    after[0, 0] = [100, 103, 100]
    tinted = photos_report.compare(photo, after, face)
    assert tinted["outside"] == 40 and tinted["colour"] == 3
    assert photos_report.compare(after, photo, face)["colour"] is None  # not a grey photo


def test_a_summary_over_edits():
    figures = [{"detail": (9.0, 10.0), "outside": 0, "changed": .2, "colour": 1},
               {"detail": (30.0, 20.0), "outside": 2, "changed": .4, "colour": None}]
    assert photos_report.summary(np.array([.3, .7]), figures) == {
        "same_person": .5, "distance": .5, "fine_detail": 1.3, "fine_detail_median": 1.2,
        "changed_share_of_face": .3, "outside_most": 2, "grey_tint_most": 1
    }


class Told:
    """A judge that takes bright faces for happy ones, and every face for the same person."""

    def expressions(self, photos, faces):
        happy = np.array([photo.mean() > 128 for photo in photos])
        return np.eye(7)[np.where(happy, 1, 0)]

    def embeddings(self, photos, faces):
        return np.zeros((len(photos), 128))


def test_what_the_judge_sees_is_set_against_real_photographs(monkeypatch):
    monkeypatch.setattr(landmarks, "faces_in", lambda photo: [])
    dark, bright = np.full((60, 60, 3), 50, np.uint8), np.full((60, 60, 3), 200, np.uint8)
    photos = [dark, dark, bright, dark, bright, bright]
    expressions = np.array(["neutral"] * 2 + ["happiness"] * 4)
    made = {"happiness": [bright, dark]}
    section = photos_report.edits_section(made, photos, [face_in(photo) for photo in photos],
                                          [0, 1], expressions, Told())
    entry = section["emotions"]["happiness"]
    shares = [entry[name] for name in ("edits", "unedited", "real", "of_real")]
    assert shares == [.5, 0, .75, .6667]
    assert entry["interval"] == [0, 1]
    assert section["all"]["same_person"] == 1
    assert section["photographs"] == 2


def test_the_cut_is_about_eyes_and_mouth():
    photo = np.zeros((200, 200, 3), np.uint8)
    face = face_in(photo)
    left, right = face.points[landmarks.LEFT_EYE, :2], face.points[landmarks.RIGHT_EYE, :2]
    mouth = face.points[[13, 14], :2].mean(0)
    for point, colour in ((left, 0), (right, 1), (mouth, 2)):
        x, y = point.round().astype(int)
        photo[y - 3:y + 4, x - 3:x + 4, colour] = 255
    made = judges.cut(photo, face, 100).astype(float)
    middle = [np.argwhere(made[..., k] > 100).mean(0) for k in range(3)]
    assert np.mean(middle, 0) == pytest.approx([43, 50], abs=1.5)
    reach = np.mean([np.linalg.norm(middle[k] - middle[2]) for k in (0, 1)])
    assert reach == pytest.approx(45, abs=1.5)


def package(folder, name, tensors):
    """Write tensors as the npm package holds them, the first one in 8 bits."""
    entries, raw = [], b""
    for k, (key, values) in enumerate(tensors.items()):
        entry = {"name": key, "shape": list(values.shape), "dtype": "float32"}
        if k == 0:
            entry["quantization"] = {"dtype": "uint8", "scale": .5, "min": -1.0}
            values = np.round((values + 1) / .5).astype(np.uint8)
        raw += values.tobytes() if k == 0 else values.astype(np.float32).tobytes()
        entries.append(entry)
    (folder / f"{name}_model.bin").write_bytes(raw)
    (folder / f"{name}_model-weights_manifest.json").write_text(
        json.dumps([{"weights": entries, "paths": [f"{name}_model.bin"]}]))


def test_weights_of_the_package_are_read_back(tmp_path):
    first, second = np.array([[-1.0, 1.5], [0, 2]]), np.array([.25, 7])
    package(tmp_path, "x", {"a": first, "b": second})
    found = judges.weights(tmp_path, "x")
    assert np.array_equal(found["a"], first) and np.array_equal(found["b"], second)
    with pytest.raises(BadInput, match="make judges"):
        judges.weights(tmp_path, "y")


def run(graph, out, side, picture):
    import onnxruntime

    session = onnxruntime.InferenceSession(graph.model(out, side),
                                           providers=["CPUExecutionProvider"])
    return session.run(None, {"image": picture.astype(np.float32)})[0]


def test_convolutions_pad_as_tensorflow_does():
    """Of an even side at stride 2, 'same' pads at the end: a kernel's first tap reads pixels 0 and
    2."""
    picture = np.arange(3 * 16).reshape(1, 3, 4, 4)
    kernel = np.zeros((3, 3, 3, 1))
    kernel[0, 0, :, 0] = [1, 0, 0]
    graph = judges.Graph({"k": kernel.astype(np.float32)})
    assert run(graph, graph.conv("image", "k", 2), 4, picture)[0, 0].tolist() == [[0, 2], [8, 10]]
    depth = np.zeros((3, 3, 3, 1))
    depth[1, 1, :, 0] = [1, 10, 100]
    graph = judges.Graph({"s/depthwise_filter": depth.astype(np.float32), "s/bias": np.float32([5]),
                          "s/pointwise_filter": np.ones((1, 1, 3, 1), np.float32)})
    made = run(graph, graph.separable("image", "s"), 4, picture)
    assert made[0, 0, 0, 0] == 0 + 16 * 10 + 32 * 100 + 5


def test_a_block_that_halves_adds_the_pooled_picture_and_zeros():
    """With weights of 0 only the shortcut is left: means of 2x2 pixels, ReLU, and channels of
    zeros."""
    zeros = lambda inputs: {"conv/filters": np.zeros((3, 3, inputs, 4)), "conv/bias": np.zeros(4),
                            "scale/weights": np.ones(4), "scale/biases": np.zeros(4)}
    tensors = {f"d/conv{k}/{name}": values.astype(np.float32)
               for k, inputs in ((1, 3), (2, 4)) for name, values in zeros(inputs).items()}
    picture = np.arange(3 * 64).reshape(1, 3, 8, 8) - 100
    graph = judges.Graph(tensors)
    out, side, channels = graph.down("image", "d", 8, 3)
    made = run(graph, out, 8, picture)
    assert (side, channels) == (4, 4) and made.shape == (1, 4, 4, 4)
    assert made[0, 2, 0, 0] == (28 + 29 + 36 + 37) / 4
    assert not made[0, 3].any()
    assert not made[0, 0].any()
