"""Heads, losses and task weights of classifiers: worked out by hand, and every combination of heads
trained."""

import itertools
import json

import models
import numpy as np
import onnxruntime
import pytest
import torch
from commands import call

import evaluate
import pseudo_label
import train_classifier
from lib import checkpoints, classifiers, images, manifest, onnx_export, references
from lib.classifiers import heads, label_tensors, losses, mean_teacher
from lib.classifiers.objective import Objective
from lib.cli import BadInput

NAN = float("nan")
AU_HEADS = [
    (),
    ("au",),
    ("au_level",),
    ("au_present",),
    ("au", "au_present"),
    ("au_level", "au_present"),
]
COMBINATIONS = [
    (*au, *va, *expression)
    for au, va, expression in itertools.product(AU_HEADS, [(), ("va",)], [(), ("expression",)])
    if (*au, *va, *expression)
]
EXPORTED = [
    ("au_level",),
    ("au_present", "expression"),
    ("va",),
    ("expression",),
    ("au_level", "au_present", "va", "expression"),
]


def make_set(folder, name, count, subject, seed, **columns):
    """Noisy stripes of 16 x 16 pixels: the brightness of stripe k is AU k; every label is there."""
    draw = np.random.default_rng(seed)
    levels = draw.integers(0, 6, (count, 2)) / 5
    pixels = levels.repeat(8, 1)[:, None, :, None] * 200 + draw.normal(20, 8, (count, 16, 16, 3))
    images.save_pack(folder / f"{name}.npy", pixels.clip(0, 255))
    table = {
        "path": [f"{name}.npy#{i}" for i in range(count)],
        "subject": [f"{subject}{i % 4}" for i in range(count)],
        "AU01": list(levels[:, 0]),
        "AU12": list(levels[:, 1]),
        "valence": list(2 * levels[:, 1] - 1),
        "arousal": list(levels[:, 0]),
        "expression": [["calm", "joy"][int(x > 0.5)] for x in levels[:, 1]],
    }
    manifest.write(folder / f"{name}.csv", table | columns)
    return folder / f"{name}.csv"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return make_set(folder, "train", 60, "a", 0), make_set(folder, "validation", 30, "b", 1)


def train(data, out, capsys, *more, status=0):
    """Train in this process; what was said."""
    code, shown, said = call(
        train_classifier.main,
        capsys,
        "--train",
        data[0],
        "--validation",
        data[1],
        "--out",
        out,
        "--arch",
        "tiny",
        "--device",
        "cpu",
        "--batch",
        20,
        "--max-steps",
        2,
        *more,
    )
    assert code == status and shown == "", said
    return said


# ---- losses, by hand -----------------------------------------------------------------------------------------


def test_binary_cross_entropy_with_masks_soft_labels_and_weights():
    predicted = torch.tensor([[0.8, 0.3], [0.5, 0.9]], requires_grad=True)
    true = torch.tensor([[1.0, NAN], [0.25, 0.0]])
    loss = losses.masked_bce(predicted, true, torch.tensor([1.0, 2.0]))
    by_hand = [np.log(0.8), 2 * (0.25 * np.log(0.5) + 0.75 * np.log(0.5)), 2 * np.log(0.1)]
    assert loss.item() == pytest.approx(-sum(by_hand) / 3, rel=1e-5)
    loss.backward()
    assert predicted.grad[0, 1] == 0 and not predicted.grad.isnan().any()


def test_huber_is_square_near_and_linear_far():
    predicted, true = torch.tensor([[0.05, 0.5, 0.7]]), torch.tensor([[0.0, 0.0, NAN]])
    loss = losses.masked_huber(predicted, true, torch.ones(1), delta=0.1)
    assert loss.item() == pytest.approx((0.05**2 / 2 + 0.1 * (0.5 - 0.05)) / 2)


def test_concordance_by_hand():
    """Column 0: p = (1, 2, 3), t = (2, 3, 4): cov 2/3, variances 2/3, means differ by 1: CCC =
    (4/3)/(4/3 + 1)."""
    predicted = torch.tensor([[1.0, 0.5], [2.0, 0.1], [3.0, 0.3], [9.0, 0.2]])
    true = torch.tensor(
        [[2.0, NAN], [3.0, NAN], [4.0, 0.7], [NAN, NAN]]
    )  # column 1: one label says nothing
    assert losses.masked_ccc(predicted, true, torch.ones(4)).item() == pytest.approx(
        (1 - 4 / 7) / 2, abs=1e-5
    )
    assert losses.masked_ccc(
        predicted[:3, :1], predicted[:3, :1], torch.ones(3)
    ).item() == pytest.approx(0, abs=1e-5)


def test_ordinal_asks_five_questions():
    levels = torch.tensor([[[0.1, 0.2, 0.3, 0.2, 0.1, 0.1]], [[1 / 6] * 6]])
    true = torch.tensor([[0.4], [NAN]])  # level 2: at least 1 and 2, not 3, 4, 5
    assert losses.level_tails(levels)[0, 0].tolist() == pytest.approx([0.9, 0.7, 0.4, 0.2, 0.1])
    assert losses.tails(torch.tensor([[0.5, 1.0]])).tolist() == [
        [[1, 1, 0.5, 0, 0], [1, 1, 1, 1, 1]]
    ]
    loss = losses.masked_ordinal(levels, true, torch.ones(2))
    assert loss.item() == pytest.approx(-np.log([0.9, 0.7, 0.6, 0.8, 0.9]).mean(), rel=1e-5)
    cross = losses.masked_level_cross_entropy(levels, true, torch.ones(2))
    assert cross.item() == pytest.approx(-np.log(0.3), rel=1e-5)


def test_ordinal_costs_more_for_farther_levels():
    near, far = (torch.eye(6)[[k]][None] * 0.9 + 0.1 / 6 for k in (3, 5))
    true, one = torch.tensor([[0.4]]), torch.ones(1)
    assert losses.masked_ordinal(far, true, one) > 1.5 * losses.masked_ordinal(near, true, one)


def test_presence_teaches_a_range_and_no_level():
    """Present: at least 0.4; absent: at most 0.2; inside there is nothing to learn."""
    reading = torch.tensor([[0.1, 0.9, 0.5, 0.15, 0.3]])
    present = torch.tensor([[1.0, 1.0, 0.0, 0.0, NAN]])
    loss = losses.masked_presence(reading, present, torch.ones(1))
    assert loss.item() == pytest.approx((0.3**2 + 0 + 0.3**2 + 0) / 4)


def test_the_expected_level_is_the_reading():
    head = heads.Level(3, 1)
    torch.nn.init.zeros_(head.weight)
    head.bias.data = torch.tensor([0.1, 0.2, 0.3, 0.2, 0.1, 0.1]).log()
    out = head(torch.zeros(1, 3))
    assert out["au"].item() == pytest.approx((0.2 + 0.6 + 0.6 + 0.4 + 0.5) / 5)


def test_rare_labels_count_more_and_no_more_than_allowed():
    have = torch.tensor([[1.0, 0, 1, 0], [0, 0, 1, NAN], [0, 0, 1, 1], [0, 0, NAN, 0]])
    assert heads.rare_weights(have, 2.5).tolist() == [2.5, 1, 1, 2]
    head = heads.Expression(2, 3)
    true = {"expression": torch.tensor([0, 0, 0, 0, 1, 1, 2, -1])}
    rare = head.rare(true, 3)
    assert rare.tolist() == [1, 2, 3]
    assert head.cell_weight(true, torch.ones(8), rare).tolist() == [1, 1, 1, 1, 2, 2, 3, 1]


# ---- occurrences and task weights ----------------------------------------------------------------------------


def test_occurrence_rows_have_presence_and_no_level(tmp_path):
    path = make_set(
        tmp_path,
        "set",
        4,
        "a",
        0,
        AU01=[0.2, 0.4, 1, 0.7],
        AU12=["", 0.6, 0, 1],
        au_kind=["", "intensity", "occurrence", "occurrence"],
    )
    true = label_tensors.truth(
        manifest.read(path), {"aus": ["AU01", "AU12"], "valence_arousal": False, "expressions": []}
    )
    expected = {
        "au": [[0.2, NAN], [0.4, 0.6], [NAN, NAN], [NAN, NAN]],
        "au_present": [[0, NAN], [1, 1], [1, 0], [0.7, 1]],
    }  # 0.7 is a soft label
    for name, values in expected.items():
        np.testing.assert_allclose(true[name], np.array(values, np.float32))


def test_balanced_tasks_start_at_the_number_of_their_labels():
    true = {
        "au": torch.tensor([[0.0], [0.4]]),
        "au_present": torch.tensor([[0.0], [1.0]]),
        "expression": torch.tensor([0, 1]),
    }
    both = {"au": heads.Intensity(3, 1), "expression": heads.Expression(3, 2)}
    objective = Objective(both, true)
    constant = {"au": torch.full((2, 1), 0.2), "expression": torch.full((2, 2), 0.5)}
    total, terms = objective(constant, true, torch.ones(2))
    assert total.item() == pytest.approx(3 + 1, rel=1e-5)  # an AU counts thrice
    assert terms["au"].item() == pytest.approx(0.04) and terms[
        "expression"
    ].item() == pytest.approx(np.log(2))
    given = Objective(both, true, weights={"au": 3.0, "expression": 0.5})
    assert given(constant, true, torch.ones(2))[0].item() == pytest.approx(0.12 + np.log(2) / 2)
    true["valence_arousal"] = torch.tensor([[0.1, 0.5], [0.3, NAN]])  # two labels count twice
    pair = Objective(both | {"va": heads.ValenceArousal(3, 2)}, true)
    constant["valence_arousal"] = torch.tensor([[0.2, 0.5]]).expand(2, 2)
    assert pair(constant, true, torch.ones(2))[0].item() == pytest.approx(3 + 1 + 2, rel=1e-5)
    alone = Objective({"au": both["au"]}, true)
    assert alone(constant, true, torch.ones(2))[0].item() == pytest.approx(0.04)  # alone: as it is


def test_learnt_weights_follow_kendall():
    """exp(-s) L + s/2 for each task; at s = 0 the gradient of s is 1/2 - L."""
    true = {
        "au": torch.tensor([[0.0], [0.4]]),
        "au_present": torch.tensor([[0.0], [1.0]]),
        "expression": torch.tensor([0, 1]),
    }
    objective = Objective(
        {"au": heads.Intensity(3, 1), "expression": heads.Expression(3, 2)}, true, weights="learnt"
    )
    out = {
        "au": torch.tensor([[0.0], [0.4]]),
        "expression": torch.full((2, 2), 0.5),
    }  # losses 0 and (scaled) 1
    total, _ = objective(out, true, torch.ones(2))
    total.backward()
    assert total.item() == pytest.approx(1, rel=1e-5)
    assert objective.log_variance["au"].grad.item() == pytest.approx(0.5)
    assert objective.log_variance["expression"].grad.item() == pytest.approx(-0.5, rel=1e-4)
    assert objective(out, true, torch.ones(2), fixed=True)[0].item() == pytest.approx(1, rel=1e-5)


# ---- whole trainings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tasks", COMBINATIONS, ids="+".join)
def test_every_combination_of_heads_trains(data, tmp_path, capsys, tasks):
    train(data, tmp_path / "c.pt", capsys, "--tasks", *tasks)
    state = checkpoints.load_finished(tmp_path / "c.pt")
    net = classifiers.build(state["config"])
    net.load_state_dict(state["weights"])
    assert set(net.heads) == set(tasks)
    out = net.eval()(torch.zeros(3, 3, 16, 16))
    assert set(net.outputs) == set(out)


@pytest.mark.parametrize("tasks", EXPORTED, ids="+".join)
def test_exports_with_parity_and_evaluates(data, tmp_path, capsys, tasks):
    train(
        data,
        tmp_path / "c.pt",
        capsys,
        "--tasks",
        *tasks,
        "--task-weights",
        "learnt",
        "--rare-weight",
        5,
    )
    state = checkpoints.load_finished(tmp_path / "c.pt")
    worst = onnx_export.export(state, tmp_path / "c.onnx", state["samples"].numpy())
    assert max(worst.values()) < 1e-4
    assert json.loads((tmp_path / "c.json").read_text())["au_kind"] == (
        "occurrence" if tasks[0] == "au_present" else "intensity"
    )
    code, shown, said = call(
        evaluate.main, capsys, "--model", tmp_path / "c.onnx", "--test", data[1]
    )
    assert code == 0, said
    report = json.loads(shown)
    assert ("au" in report) == bool({"au_level", "au_present"} & set(tasks))
    assert ("va" in report) == ("va" in tasks) and ("expression" in report) == (
        "expression" in tasks
    )


def test_losses_by_name_and_what_they_refuse(data, tmp_path, capsys):
    train(
        data,
        tmp_path / "c.pt",
        capsys,
        "--tasks",
        "au",
        "va",
        "--losses",
        "au=bce",
        "va=ccc",
        "--optimiser",
        "adam",
        "--task-weights",
        "au=1",
        "va=0.5",
    )
    for more, told in (
        (("--losses", "au=ce"), "au has mse"),
        (("--losses", "va=mse"), "--tasks"),
        (("--tasks", "au", "au_level"), "choose one"),
        (("--task-weights", "au=x"), "number"),
        (("--pretrained", "imagenet"), "resnet18"),
        (("--per-au",), "{au}"),
    ):
        assert told in train(data, tmp_path / "c.pt", capsys, *more, status=2)


def test_labels_that_are_missing_or_constant_end_well(data, tmp_path, capsys):
    none = make_set(
        tmp_path, "none", 20, "c", 3, valence=[""] * 20, arousal=[""] * 20, expression=["joy"] * 20
    )
    for task, told in (("va", "no valence"), ("expression", "fewer than two")):
        said = train((none, data[1]), tmp_path / "c.pt", capsys, "--tasks", task, status=3)
        assert told in said and len(said.splitlines()) == 1
    occurs = make_set(
        tmp_path, "occurs", 20, "d", 4, AU01=[0, 1] * 10, AU12=[1] * 20, au_kind=["occurrence"] * 20
    )
    assert "only occurrences" in train(
        (occurs, data[1]), tmp_path / "c.pt", capsys, "--tasks", "au_level", status=3
    )
    train((occurs, data[1]), tmp_path / "occurs" / "c.pt", capsys)
    assert checkpoints.load(tmp_path / "occurs" / "c.pt")["au_kind"] == "occurrence"
    flat = make_set(
        tmp_path, "flat", 20, "e", 5, AU01=[0] * 20, valence=[0.5] * 20, arousal=[0] * 20
    )
    train((flat, data[1]), tmp_path / "flat" / "c.pt", capsys, "--tasks", "au", "va")
    said = train((data[0], none), tmp_path / "said" / "c.pt", capsys, "--tasks", "au", "va")
    assert "has no label of valence_arousal" in said


def test_one_model_an_au(data, tmp_path, capsys):
    train(data, tmp_path / "{au}" / "c.pt", capsys, "--per-au", "--tasks", "au_level")
    for au in ("AU01", "AU12"):
        state = checkpoints.load_finished(tmp_path / au / "c.pt")
        assert state["labels"]["aus"] == [au] and set(state["thresholds"]) == {au}
    assert "is there already" in train(
        data, tmp_path / "{au}" / "c.pt", capsys, "--per-au", "--tasks", "au_level", "--resume"
    )


@pytest.mark.parametrize("name", ["vgg16", "resnet18", "resnet50", "mobilenet_v3", "convnext_tiny"])
def test_torchvisions_networks_have_features(name):
    with torch.device("meta"):  # shapes without numbers: quick
        net = classifiers.build(
            {"architecture": name, "size": 64, "aus": 4, "au_heads": ["au_level"]}
        ).eval()
        out = net(torch.zeros(2, 3, 64, 64))
    assert out["au_level"].shape == (2, 4, 6) and out["features"].shape == (2, net.backbone.width)


def test_weights_of_a_file_are_taken_over_and_others_refused(tmp_path):
    config = {"architecture": "mobilenet_v3", "size": 32, "aus": 2}
    first, second = classifiers.build(config), classifiers.build(config)
    torch.save(first.backbone.net.state_dict(), tmp_path / "m.pth")
    second.backbone.load_pretrained(str(tmp_path / "m.pth"))
    assert all(
        torch.equal(a, b) for a, b in zip(first.backbone.parameters(), second.backbone.parameters())
    )
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    for path, told in (("other.pth", "not those of mobilenet_v3"), ("none.pth", "no such file")):
        with pytest.raises(BadInput, match=told):
            second.backbone.load_pretrained(str(tmp_path / path))


def test_separate_last_stages_share_the_rest(tmp_path):
    torch.manual_seed(0)
    config = {
        "architecture": "tiny",
        "size": 16,
        "aus": 2,
        "valence_arousal": True,
        "expressions": 3,
        "separate": True,
    }
    net = classifiers.build(config).eval()
    assert set(net.stages) == {"va", "expression"}
    out, features = net(torch.ones(1, 3, 16, 16)), net.backbone(torch.ones(1, 3, 16, 16))
    assert torch.equal(out["features"], features) and torch.equal(
        out["au"], net.heads["au"](features)["au"]
    )
    out["au"].sum().backward()
    assert all(parameter.grad is None for parameter in net.stages.parameters())
    assert net.backbone.trunk[0].weight.grad is not None


# ---- reference images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["image", "features"])
def test_a_picture_that_is_the_reference_says_nothing_of_the_person(how):
    torch.manual_seed(0)
    net = classifiers.build({"architecture": "tiny", "size": 16, "aus": 2, "reference": how}).eval()
    one, other = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    same, again = net(one, one)["au"], net(other, other)["au"]
    assert torch.allclose(same, again, atol=1e-6)
    assert not torch.allclose(net(one, other)["au"], same, atol=1e-4)


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
        "--out",
        tmp_path / "kept.csv",
    )
    kept = manifest.read(tmp_path / "kept.csv")
    assert [path.split("#")[1] for path in kept.columns["path"]] == [
        "0",
        "2",
    ]  # b had one image: it is left out
    merged = manifest.merge(
        [kept, manifest.read(tmp_path / "out" / "least.csv")], tmp_path / "elsewhere"
    )
    assert all(images.load(item)[0, 0, 0] in (0, 204) for item in references.of_rows(merged, 8))


def test_a_row_without_subject_and_reference_is_bad_input(tmp_path, capsys):
    path = make_set(tmp_path, "set", 3, "a", 0)
    path.write_text(path.read_text().replace(",a1,", ",,"))
    with pytest.raises(BadInput, match="row 3: the model needs a person's reference image"):
        references.of_rows(manifest.read(path), 16)


# ---- mean teacher --------------------------------------------------------------------------------------------


def test_the_teacher_gives_soft_labels_and_sure_expressions_only():
    def teacher(pictures):
        return {
            "au": torch.tensor([[0.3], [0.6]]),
            "valence_arousal": torch.tensor([[0.1, -0.2], [0.0, 0.5]]),
            "expression": torch.tensor([[0.9, 0.1], [0.3, 0.7]]),
        }

    true = mean_teacher.soft_truth(teacher, [None])
    assert torch.equal(true["au"], torch.tensor([[0.3], [0.6]]))
    assert true["au_present"].tolist() == [[0], [1]] and true["expression"].tolist() == [0, -1]
    weights = [mean_teacher.weight(2.0, step, 100) for step in (0, 15, 30, 90)]
    assert weights == pytest.approx([2 * np.exp(-5), 2 * np.exp(-5 / 4), 2, 2])


def test_unlabelled_images_teach_and_resume_repeats(data, tmp_path, capsys):
    extra = make_set(tmp_path, "extra", 30, "f", 7)
    more = (
        "--unlabelled",
        extra,
        "--ema",
        0.9,
        "--tasks",
        "au",
        "va",
        "expression",
        "--max-steps",
        6,
    )
    train(data, tmp_path / "with" / "c.pt", capsys, *more)
    train(data, tmp_path / "again" / "c.pt", capsys, *more)
    train(data, tmp_path / "less" / "c.pt", capsys, *more, "--consistency", 0)
    first, again, less = (
        checkpoints.load(tmp_path / name / "c.pt")["weights"] for name in ("with", "again", "less")
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["heads.au.weight"], less["heads.au.weight"])
    assert "--ema" in train(data, tmp_path / "x.pt", capsys, "--unlabelled", extra, status=2)
