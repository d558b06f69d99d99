"""Reference images: which they are, and that every reader of a model feeds them."""


import models
import numpy as np
import onnxruntime
import pytest
import torch
from commands import call
from stripes import make_set, train

import evaluate
import pseudo_label
from lib import checkpoints, classifiers, images, manifest, onnx_export, references
from lib.cli import BadInput
from lib.evaluation.reading import Readers


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return make_set(folder, "train", 60, "a", 0), make_set(folder, "validation", 30, "b", 1)


@pytest.mark.parametrize("how", ["image", "features"])
def test_a_picture_that_is_the_reference_says_nothing_of_the_person(how):
    torch.manual_seed(0)
    net = classifiers.build({"architecture": "tiny", "size": 16, "aus": 2, "reference": how}).eval()
    one, other = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    same, again = net(one, one)["au"], net(other, other)["au"]
    assert torch.allclose(same, again, atol=1e-6)
    assert not torch.allclose(net(one, other)["au"], same, atol=1e-4)


def test_norms_see_pictures_and_references_in_one_batch():
    """Statistics of neutral faces alone would be gone when running ones take their place."""
    torch.manual_seed(0)
    net = classifiers.build({"architecture": "tiny", "size": 16, "aus": 2, "dropout": 0,
                             "reference": "features"})
    norm = next(part for part in net.modules() if isinstance(part, torch.nn.BatchNorm2d))
    seen = []
    norm.register_forward_hook(lambda module, given, out: seen.append((given[0], out.clone())))
    pictures, references_ = torch.rand(3, 3, 16, 16), torch.rand(3, 3, 16, 16) + 2
    out = net.train()(pictures, references_)
    ((given, normed),) = seen
    assert len(given) == 6 and out["features"].shape[0] == 3
    assert torch.allclose(normed.mean((0, 2, 3)), norm.bias, atol=1e-5)
    means = [part.mean((0, 2, 3)) for part in normed.chunk(2)]
    assert (means[0] - means[1]).abs().max() > 0.1  # the two are told apart


@pytest.mark.parametrize("how", ["image", "features"])
def test_reference_trains_exports_and_is_fed_by_every_reader(data, tmp_path, capsys, how):
    train(data, tmp_path / "c.pt", capsys, "--reference", how)
    state = checkpoints.load_finished(tmp_path / "c.pt")
    onnx_export.export(state, tmp_path / "c.onnx", state["samples"].numpy())
    session = onnxruntime.InferenceSession(tmp_path / "c.onnx", providers=["CPUExecutionProvider"])
    assert [item.name for item in session.get_inputs()] == ["image", "reference"]
    code, shown, said = call(
        evaluate.main,
        capsys,
        "--model",
        tmp_path / "c.onnx",
        "--test",
        data[1],
        "--predictions",
        tmp_path / "p.csv",
    )
    assert code == 0, said
    checked = manifest.read(data[1])
    means = references.of_rows(checked, 16)
    pixels = np.stack([images.load(path) for path in checked.images()])
    expected = session.run(["au"], {"image": pixels, "reference": np.stack(means)})[0]
    predicted = manifest.read(tmp_path / "p.csv").aus(["AU01", "AU12"])
    np.testing.assert_allclose(predicted, expected, atol=1e-4)
    code, _, said = call(
        pseudo_label.main,
        capsys,
        "--model",
        tmp_path / "c.onnx",
        "--images",
        data[1],
        "--relabel",
        "--shard",
        "1/2",
        "--out",
        tmp_path / "pseudo.csv",
    )
    assert code == 0, said
    labelled = manifest.read(tmp_path / "pseudo.csv").aus(["AU01", "AU12"])
    np.testing.assert_allclose(
        labelled, expected[:15], atol=1e-4
    )  # the mean is over all rows, not over the shard


def test_references_by_mean_by_least_activity_and_by_labels(tmp_path, capsys):
    """Subject a has brightness 0, 51 and 102; b 204; the model reads brightness."""
    models.classifier(tmp_path / "model.onnx")
    models.dataset(
        tmp_path,
        [[0.4] * 4, [0] * 4, [0.2] * 4, [0.8] * 4],
        "set.csv",
        subjects=["a", "a", "a", "b"],
    )
    for how, more in (
        ("mean", ()),
        ("least", ("--model", tmp_path / "model.onnx")),
        ("labels", ()),
    ):
        code, _, said = call(
            references.main,
            capsys,
            tmp_path / "set.csv",
            "--by",
            how,
            *more,
            "--out",
            tmp_path / "out" / f"{how}.csv",
        )
        assert code == 0, said
        data = manifest.read(tmp_path / "out" / f"{how}.csv")
        found = [images.load(item)[0, 0, 0] for item in references.of_rows(data, 8)]
        assert found == ([51, 51, 51, 204] if how == "mean" else [0, 0, 0, 204])
    code, _, said = call(
        references.main,
        capsys,
        tmp_path / "set.csv",
        "--by",
        "labels",
        "--drop",
        "--frames",
        tmp_path / "frames" / "neutral.csv",
        "--out",
        tmp_path / "kept.csv",
    )
    frames = manifest.read(tmp_path / "frames" / "neutral.csv")
    assert frames.columns["subject"] == ["a", "b"] and not frames.au_names
    assert [images.load(path)[0, 0, 0] for path in frames.images()] == [0, 204]
    kept = manifest.read(tmp_path / "kept.csv")
    assert [path.split("#")[1] for path in kept.columns["path"]] == [
        "0",
        "2",
    ]  # b had one image: it is left out
    merged = manifest.merge(
        [kept, manifest.read(tmp_path / "out" / "least.csv")], tmp_path / "elsewhere"
    )
    assert all(images.load(item)[0, 0, 0] in (0, 204) for item in references.of_rows(merged, 8))


def test_an_empty_label_is_no_neutral_one(tmp_path, capsys):
    """Of a's frames the first has one label alone, 0: it may show anything, so the third is chosen,
    with all labels and the least of them. No frame of b has all labels of b's: the means are 0.4
    and 0.3. Nobody has labels of AU26."""
    models.dataset(tmp_path, [[0.0] * 4] * 5, "set.csv", subjects=["a", "a", "a", "b", "b"])
    data = manifest.read(tmp_path / "set.csv")
    cells = {"AU01": ["0", ".6", ".2", "0", ".3"], "AU02": ["", ".2", ".2", ".8", ""],
             "AU12": ["", "0", "0", "", ".3"], "AU26": [""] * 5}
    for name, column in cells.items():
        data.columns[name] = column
    data.write(tmp_path / "gaps.csv")
    code, _, said = call(references.main, capsys, tmp_path / "gaps.csv", "--by", "labels",
                         "--out", tmp_path / "out.csv")
    assert code == 0
    assert manifest.read(tmp_path / "out.csv").columns["reference"] == [
        "set.npy#2", "set.npy#2", "set.npy#2", "set.npy#4", "set.npy#4"]
    assert "1 people have no frame with labels of all their AUs" in said


def test_paths_and_mean_images_go_together_in_a_batch(tmp_path):
    """A cell that names a pack's image, and the mean of a person whose cell is empty."""
    models.dataset(tmp_path, [[0.4] * 4, [0.8] * 4], "set.csv")
    found = images.batch([f"{tmp_path}/set.npy#1", np.full((8, 8, 3), 51, np.uint8)], 8)
    assert found[:, 0, 0, 0].tolist() == [204, 51]


def test_the_mean_of_a_person_is_of_images_that_stride_leaves_out_too(tmp_path):
    for i, value in enumerate((0, 100, 200, 40, 80, 120)):
        images.save(tmp_path / f"{i}.png", np.full((16, 16, 3), value, np.uint8))
    manifest.write(tmp_path / "m.csv", {"path": [f"{i}.png" for i in range(6)],
                                        "subject": ["a"] * 3 + ["b"] * 3, "AU01": [0.5] * 6})
    torch.manual_seed(0)
    state = {"kind": "classifier", "architecture": "tiny", "weights": None, "thresholds": {},
             "config": {"architecture": "tiny", "size": 16, "aus": 1, "reference": "image"},
             "labels": {"aus": ["AU01"], "valence_arousal": False, "expressions": []}}
    state["weights"] = classifiers.build(state["config"]).state_dict()
    pixels = np.zeros((2, 16, 16, 3), np.uint8)
    onnx_export.export(state, tmp_path / "c.onnx", pixels)
    data = manifest.read(tmp_path / "m.csv")
    readers = Readers([str(tmp_path / "c.onnx")], "cpu", data, [0, 2, 4])
    found = readers.references(readers.models[0])
    assert [image[0, 0, 0] for image in found] == [100, 100, 80]
    whole = Readers([str(tmp_path / "c.onnx")], "cpu", data).read(8, 0.5).au
    assert np.allclose(readers.read(8, 0.5).au, whole[[0, 2, 4]], atol=1e-6)
    of_one = readers.references(readers.models[0], [2])  # as a model of one person is fed
    assert len(of_one) == 1 and of_one[0][0, 0, 0] == 80


def test_a_row_without_subject_and_reference_is_bad_input(tmp_path, capsys):
    path = make_set(tmp_path, "set", 3, "a", 0)
    path.write_text(path.read_text().replace(",a1,", ",,"))
    with pytest.raises(BadInput, match="row 3: the model needs a person's reference image"):
        references.of_rows(manifest.read(path), 16)


def test_without_any_label_nobody_can_be_chosen(tmp_path, capsys):
    models.dataset(tmp_path, [[0.0] * 4] * 2, "set.csv", subjects=["a", "b"])
    data = manifest.read(tmp_path / "set.csv")
    for name in data.au_names:
        data.columns[name] = ["", ""]
    data.write(tmp_path / "bare.csv")
    line = ("--by", "labels", "--frames", tmp_path / "frames.csv", "--out", tmp_path / "out.csv")
    code, _, said = call(references.main, capsys, tmp_path / "bare.csv", *line)
    assert code == 3 and "nobody's frame can be chosen" in said and said.count("\n") == 1
    assert not (tmp_path / "out.csv").exists() and not (tmp_path / "frames.csv").exists()
