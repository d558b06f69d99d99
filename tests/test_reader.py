"""The reader of photographs: Face Mesh as ONNX against OpenCV's own reading of it, and the
averages in its graph."""
import json

import numpy as np
import pytest
from needs import needs

from lib import images, manifest
from lib.cli import BadInput
from lib.faces import mesh_codes, mesh_graph, models, reader

pytestmark = needs(models.check)
SIZE = 32


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """24 pictures whose brightness is AU12, as a manifest of tight faces."""
    folder = tmp_path_factory.mktemp("reader")
    rng = np.random.default_rng(0)
    levels = rng.uniform(0, 1, 24).round(4)
    noise = rng.uniform(0, 40, (24, SIZE, SIZE, 3))
    pictures = (levels[:, None, None, None] * 200 + noise).astype(np.uint8)
    images.save_pack(folder / "faces.npy", pictures)
    manifest.write(folder / "faces.csv", {
        "path": [f"faces.npy#{i}" for i in range(24)], "subject": [f"p{i}" for i in range(24)],
        "AU12": levels.tolist(), "valence": (2 * levels - 1).tolist(), "arousal": [0.0] * 24,
        "expression": ["happiness" if level > .5 else "neutral" for level in levels],
        "registration": ["tight-32"] * 24
    })
    return folder


def test_the_onnx_mesh_is_opencvs(tmp_path):
    import onnxruntime

    mesh_graph.main(["--out", str(tmp_path / "mesh.onnx")])
    session = onnxruntime.InferenceSession(str(tmp_path / "mesh.onnx"),
                                           providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).uniform(0, 1, (1, 3, 192, 192)).astype(np.float32)
    points, score = session.run(None, {"mesh_image": image})
    expected, flag = models.run("mesh", image, ("conv2d_20", "conv2d_30"))
    assert np.abs(points - expected.reshape(1, 468, 3)).max() < 1e-2
    assert score.ravel() == pytest.approx(flag.ravel(), abs=1e-3)


def test_a_reader_averages_its_readings_and_the_mirror_image(faces):
    from lib.onnx_runtime import Model

    out = faces / "reader.onnx"
    reader.main(["--train", str(faces / "faces.csv"), "--validation", str(faces / "faces.csv"),
                 "--size", str(SIZE), "--out", str(out)])
    model = Model.open(out, kind="classifier")
    assert model.aus == ["AU12"] and model.expressions == ["happiness", "neutral"]
    assert json.loads((faces / "reader.json").read_text())["registration"] == "tight-32"
    pictures = np.load(faces / "faces.npy")
    made = model.once(image=pictures)
    mirrored = model.once(image=np.ascontiguousarray(pictures[:, :, ::-1]))
    assert made["au"] == pytest.approx(mirrored["au"], abs=1e-4)
    assert made["expression"].sum(1) == pytest.approx(np.ones(24), abs=1e-4)
    assert made["valence_arousal"].shape == (24, 2) and np.abs(made["valence_arousal"]).max() <= 1
    options = reader.Options(train=[str(faces / "faces.csv")], validation="", out="", size=SIZE)
    again = reader.learn(options)[0]
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    total = 0
    for view in (False, True):  # by hand, from the codes and the weights
        found = mesh_codes.codes(SIZE, list(pictures), view)
        for code, own in again.items():
            z = ((found[code] - own["mean"]) / own["spread"]).clip(-reader.FARTHEST,
                                                                   reader.FARTHEST)
            hidden = np.maximum(z @ own["first"] + own["first_offset"], 0)
            total = total + sigmoid(hidden @ own["last"] + own["last_offset"])[:, :1] / 4
    assert made["au"] == pytest.approx(total, abs=1e-3)


def test_only_tight_faces_are_learnt_from(faces):
    rows = manifest.read(faces / "faces.csv")
    rows.columns["registration"] = ["2d-32"] * len(rows)
    rows.write(faces / "upright.csv")
    with pytest.raises(BadInput, match="the reader wants tight ones"):
        reader.main(["--train", str(faces / "upright.csv"),
                     "--validation", str(faces / "faces.csv"), "--size", str(SIZE),
                     "--out", str(faces / "no.onnx")])
