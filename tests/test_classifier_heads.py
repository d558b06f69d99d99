"""Every combination of heads trained, exported and measured; networks; the mean teacher."""

import itertools
import json
import urllib.error
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from commands import call, files
from stripes import make_set, train
from torch import nn

import evaluate
from lib import checkpoints, choices, classifiers, manifest, onnx_export
from lib.classifiers import heads, mean_teacher, settings, torchvision_backbone
from lib.classifiers.training import Training
from lib.cli import BadInput

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


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return make_set(folder, "train", 60, "a", 0), make_set(folder, "validation", 30, "b", 1)


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


class SideBySide(nn.Module):
    """Graphs of several classifiers as one, whose outputs are `tasks:output`."""

    inputs = ("image",)

    def __init__(self, graphs):
        super().__init__()
        self.graphs = nn.ModuleList(graphs.values())
        self.outputs = [f"{name}:{output}" for name in graphs for output in graphs[name].outputs]

    def forward(self, image):
        return tuple(value for graph in self.graphs for value in graph(image))


def test_every_other_combination_exports_with_parity(tmp_path):
    """Untrained, and all in one graph: an export of each would take two seconds."""
    torch.manual_seed(0)
    graphs = {}
    for tasks in set(COMBINATIONS) - set(EXPORTED):
        au_heads = [name for name in tasks if name in choices.AU_HEADS]
        net = classifiers.build({
            "architecture": "linear", "size": 8, "aus": 2 if au_heads else 0,
            "au_heads": au_heads, "valence_arousal": "va" in tasks,
            "expressions": 3 if "expression" in tasks else 0, "separate": True,
        })
        assert set(net.heads) == set(tasks)
        graphs["+".join(tasks)] = onnx_export.ClassifierGraph(net)
    graph = SideBySide(graphs).eval()
    pictures = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)
    onnx.save(onnx_export.convert(graph, {"image": pictures[:2]}), tmp_path / "all.onnx")
    worst = onnx_export.parity(graph, tmp_path / "all.onnx", {"image": pictures})
    assert len(graphs) == 18 and set(worst) == set(graph.outputs)
    assert max(worst.values()) < 1e-5


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


def test_images_that_are_too_small_or_too_few_for_a_network(data, tmp_path, capsys):
    one = make_set(tmp_path, "one", 1, "c", 7)
    said = train((one, data[1]), tmp_path / "c.pt", capsys, "--size", 8, status=3)
    assert "at 8 pixels tiny has maps of one pixel" in said and "Traceback" not in said
    train((one, data[1]), tmp_path / "c.pt", capsys)  # at 16 pixels there are four
    training = object.__new__(Training)
    training.options, training.data = SimpleNamespace(arch="vgg16"), SimpleNamespace(size=1)
    training.on_gpu = False
    for layer in (nn.Conv2d(3, 3, 2), nn.MaxPool2d(2)):
        training.forward = layer
        with pytest.raises(BadInput, match="1 pixels are too few for vgg16"):
            training.read([torch.zeros(2, 3, 1, 1)])


def test_a_model_of_one_au_of_other_data_is_not_taken_for_done(data, tmp_path, capsys):
    """--resume leaves what is finished, but not what older labels or other settings have made."""
    labelled = make_set(tmp_path, "own", 20, "c", 7)
    line = ((labelled, data[1]), tmp_path / "{au}" / "c.pt", capsys, "--per-au", "--resume")
    train(*line)
    assert train(*line).count("is there already") == 2
    first = checkpoints.load_finished(tmp_path / "AU12" / "c.pt")
    make_set(tmp_path, "own", 20, "c", 7, AU12=[0.2] * 20)
    assert "is there already" not in train(*line)
    second = checkpoints.load_finished(tmp_path / "AU12" / "c.pt")
    assert first["run"]["data"] != second["run"]["data"]
    assert "is there already" not in train(*line, "--seed", 2)


def test_models_of_one_au_read_aus_alone(data, tmp_path, capsys):
    said = train(data, tmp_path / "{au}" / "c.pt", capsys, "--per-au", "--tasks", "au", "va",
                 status=2)
    assert "for tasks of AUs alone" in said


def test_an_au_that_a_set_lacks_has_no_model_of_its_own(data, tmp_path, capsys):
    lacks = make_set(tmp_path, "lacks", 20, "c", 3, AU12=[""] * 20)
    before = files(tmp_path)
    said = train((data[0], lacks), tmp_path / "{au}" / "c.pt", capsys, "--per-au", "--tasks", "au",
                 status=3)
    assert "lacks.csv: has no label of AU12" in said and files(tmp_path) == before


@pytest.mark.parametrize("name", ["vgg16", "resnet18", "resnet50", "mobilenet_v3", "convnext_tiny"])
def test_torchvisions_networks_have_features(name):
    with torch.device("meta"):  # shapes without numbers: quick
        net = classifiers.build(
            {"architecture": name, "size": 64, "aus": 4, "au_heads": ["au_level"]}
        ).eval()
        out = net(torch.zeros(2, 3, 64, 64))
    assert out["au_level"].shape == (2, 4, 6) and out["features"].shape == (2, net.backbone.width)


def test_a_torchvision_network_learns_and_exports(data, tmp_path, capsys):
    train(data, tmp_path / "c.pt", capsys, "--arch", "mobilenet_v3", "--size", 32, "--tasks",
          "au_level", "--max-steps", 1)
    state = checkpoints.load_finished(tmp_path / "c.pt")
    differs = onnx_export.export(state, tmp_path / "c.onnx", state["samples"].numpy())
    assert set(differs) == {"au", "au_level", "features"} and max(differs.values()) < 1e-3


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


def test_pretrained_vgg16_is_trained_from_the_third_convolution_on(monkeypatch):
    """Niinuma et al. 2022. torchvision's weights have a last layer of 1,000 classes, which is not
    taken over."""
    from torchvision import models

    with torch.device("meta"):  # 138 million weights, without numbers
        net = classifiers.build(
            {"architecture": "vgg16", "size": 224, "aus": 4, "au_heads": ["au_level"]}
        )
        weights = models.vgg16().state_dict()
    assert all(parameter.requires_grad for parameter in net.parameters())  # without such weights
    monkeypatch.setattr(torchvision_backbone, "imagenet", {"vgg16": weights}.__getitem__)
    net.backbone.load_pretrained("imagenet")
    frozen = [name for name, value in net.named_parameters() if not value.requires_grad]
    layers = net.backbone.net.features
    convolutions = [k for k, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    assert convolutions[:3] == [0, 2, 5]
    assert frozen == [
        f"backbone.net.features.{k}.{part}" for k in (0, 2) for part in ("weight", "bias")
    ]
    with torch.device("meta"):  # so is a personal model, or a second training, of such a network
        config = {"architecture": "vgg16", "size": 224, "aus": 4, "au_heads": ["au_level"]}
        again = classifiers.build({**config, "frozen": True})
    assert frozen == [name for name, value in again.named_parameters() if not value.requires_grad]


def test_layers_that_do_not_learn_do_not_in_a_second_training_either(
    data, tmp_path, capsys, monkeypatch
):
    from torchvision import models

    monkeypatch.setattr(torchvision_backbone, "FROZEN", {"mobilenet_v3": 1})
    torch.save(models.mobilenet_v3_large().state_dict(), tmp_path / "m.pth")
    chosen = ("--arch", "mobilenet_v3", "--size", 32, "--max-steps", 1, "--weight-decay", 0.1)
    start = ("--pretrained", tmp_path / "m.pth")
    for out in ("first", "second", "third"):
        train(data, tmp_path / out / "c.pt", capsys, *chosen, *start)
        start = ("--init", tmp_path / out / "c.pt")
    first, third = (
        checkpoints.load_finished(tmp_path / name / "c.pt") for name in ("first", "third")
    )
    assert first["config"]["frozen"] and third["config"]["frozen"]
    before, after = first["weights"], third["weights"]
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert "backbone.net.features.0.0.weight" in same
    assert "backbone.net.features.1.block.0.0.weight" not in same


def test_first_weights_of_a_file_or_of_nowhere(data, tmp_path, capsys, monkeypatch):
    """The command takes a file of torchvision's weights; without a network, those of ImageNet are
    one line."""
    from torchvision import models

    chosen = ("--arch", "resnet18", "--size", 32)
    weights = models.resnet18().state_dict()
    weights["conv1.weight"] = torch.full_like(weights["conv1.weight"], 0.25)
    torch.save(weights, tmp_path / "resnet18.pth")
    train(data, tmp_path / "c.pt", capsys, *chosen, "--pretrained", tmp_path / "resnet18.pth",
          "--max-steps", 1, "--learning-rate", 1e-9)
    learnt = checkpoints.load_finished(tmp_path / "c.pt")["weights"]
    assert learnt["backbone.net.conv1.weight"].numpy() == pytest.approx(0.25, abs=1e-6)

    def no_network(*_, **__):
        raise urllib.error.URLError("Temporary failure in name resolution")

    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", no_network)
    said = train(data, tmp_path / "d" / "c.pt", capsys, *chosen, "--pretrained", "imagenet",
                 status=3)
    assert len(said.splitlines()) == 1 and "resnet18" in said
    assert "cannot be downloaded here; download it elsewhere and say --pretrained FILE" in said


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
    weights = [mean_teacher.weight(2.0, step, 100, 50) for step in (0, 15, 30, 90)]
    assert weights == pytest.approx([2 * np.exp(-5), 2 * np.exp(-5 / 4), 2, 2])
    # of 10,000 steps 3,000 would be the rise: 10 epochs of 3 steps are soon enough
    weights = [mean_teacher.weight(2.0, step, 10_000, 3) for step in (0, 15, 30, 90)]
    assert weights == pytest.approx([2 * np.exp(-5), 2 * np.exp(-5 / 4), 2, 2])


@pytest.mark.parametrize("kind", ["ordinal", "ce"])
def test_a_network_that_equals_its_teacher_is_left_alone(kind):
    """A teacher that wavers between levels 0 and 5 teaches that, not the level between."""
    head = heads.Level(3, 1)
    features = torch.zeros(1, 3)
    with torch.no_grad():
        head.bias.copy_(torch.tensor([4.0, 0, 0, 0, 0, 4]))
    teacher = {key: value.detach() for key, value in head(features).items()}
    true = mean_teacher.soft_truth(lambda _: teacher, [None])
    loss = head.loss(kind, head(features), true, torch.ones(1))
    loss.backward()
    assert head.bias.grad.abs().max() < 1e-6
    levels = teacher["au_level"][0, 0]
    if kind == "ce":
        assert loss.item() == pytest.approx(-(levels * levels.log()).sum().item(), rel=1e-5)


def test_weight_decay_leaves_learnt_weights_of_tasks_alone():
    options = SimpleNamespace(learning_rate=0.1, weight_decay=0.5, optimiser="adamw")
    layer, learnt = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimiser = settings.optimiser(options, [layer], [learnt])
    for each in (layer, learnt):
        each.grad = torch.zeros(1)
    optimiser.step()
    assert layer.item() == pytest.approx(0.95) and learnt.item() == 1


def test_an_au_of_occurrences_alone_is_read_as_such(data, tmp_path, capsys):
    """Beside AU01's levels; --per-au makes of it what --aus AU12 makes."""
    both = []
    for name, folder in (("train", 30), ("checked", 20)):
        levels = make_set(tmp_path, f"{name}_levels", folder, name[0], 1, AU12=[""] * folder)
        occurs = make_set(tmp_path, f"{name}_occurs", folder, name[0], 2, AU01=[""] * folder,
                          AU12=[0, 1] * (folder // 2), au_kind=["occurrence"] * folder)
        both.append(tmp_path / f"{name}.csv")
        manifest.merge([manifest.read(levels), manifest.read(occurs)], tmp_path).write(both[-1])
    train(both, tmp_path / "{au}" / "c.pt", capsys, "--per-au", "--aus", "AU01", "AU12",
          "--max-steps", 2)
    kinds = [checkpoints.load(tmp_path / au / "c.pt")["au_kind"] for au in ("AU01", "AU12")]
    assert kinds == ["intensity", "occurrence"]
    said = train(both, tmp_path / "{au}" / "d.pt", capsys, "--per-au", "--aus", "AU01", "AU12",
                 "--tasks", "au_level", status=3)
    assert "AU12 has no level" in said and not list(tmp_path.glob("*/d.pt"))


def test_unlabelled_images_teach_and_a_run_repeats(data, tmp_path, capsys):
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
    alone = train(data, tmp_path / "x.pt", capsys, "--consistency", "2", status=2)
    assert "--consistency needs --unlabelled" in alone
