"""The editors of the papers: losses worked out by hand, steps, exports, resume."""

import copy
import json
import math

import numpy as np
import onnxruntime
import pytest
import torch
from commands import call

import export_onnx
import train_generator
from lib import generators, images, manifest
from lib.classifiers import thresholds
from lib.cli import BadInput
from lib.generators import (
    expression_manipulator,
    fexgan,
    frame_alignment,
    ganimation,
    losses,
    stargan,
    warp_editor,
)
from lib.generators.blocks import MOST, painted
from lib.generators.contract import EditBatch, LabelReader
from lib.generators.residual_blocks import StarDiscriminator, shares_of
from lib.labels import Labels

AUS = Labels(aus=("AU04", "AU12", "AU26"))
CLASSES = Labels(expressions=("anger", "joy", "neutral"))
MIXED = Labels(aus=("AU12",), valence_arousal=True, expressions=("joy", "neutral"))
SMALL = {"size": 16, "width": 8, "d_width": 8}
TINY = {**SMALL, "halvings": 1, "blocks": 1, "stem": 2, "norm": "group", "d_layers": 2}
BOTH = {"ganimation": ganimation, "stargan": stargan}
U_NET = {**SMALL, "levels": 2, "kernel": 3, "d_layers": 3, "g_every": 1}
SMALL_OF = {fexgan: SMALL, expression_manipulator: U_NET, ganimation: TINY, stargan: TINY}
SMALL_BY_NAME = {module.__name__.split(".")[-1].replace("_", "-"): settings
                 for module, settings in SMALL_OF.items()}


def make(module, labels, preset="paper", **settings):
    torch.manual_seed(0)
    config = module.Config(**{**module.PRESETS[preset], **SMALL_OF[module], **settings})
    return module.System(labels, config)


def make_batch(labels, kinds=("pair",) * 4 + ("permuted",) * 2, epoch=0, size=16):
    """Smooth images, one known condition each; the last row is unlabelled."""
    rows = len(kinds)
    draw = torch.Generator().manual_seed(1)

    def picture(count):
        return torch.rand(count, 3, size, size, generator=draw) * 2 - 1

    part = labels.columns("expression")
    y_org, y_trg = (
        torch.rand(rows, labels.count, generator=draw),
        torch.rand(rows, labels.count, generator=draw),
    )
    if labels.expressions:
        count = len(labels.expressions)
        y_org[:, part], y_trg[:, part] = (
            torch.eye(count)[torch.arange(rows) % count],
            torch.eye(count)[torch.arange(1, rows + 1) % count],
        )
    known = torch.ones(rows, labels.count, dtype=torch.bool)
    known[-1] = False
    paired = list(kinds).count("pair")
    return EditBatch(
        picture(rows),
        {},
        y_org,
        torch.where(known, y_trg, y_org),
        known,
        list(kinds),
        picture(paired) if paired else None,
        epoch=epoch,
    )


def weights(system):
    return {name: copy.deepcopy(net.state_dict()) for name, net in system.nets.items()}


def changed(before, system):
    """Names of the networks whose parameters have changed."""
    return {
        name
        for name, net in system.nets.items()
        if any(not torch.equal(before[name][key], value) for key, value in net.named_parameters())
    }


SYSTEMS = [
    (ganimation, AUS, {}),
    (ganimation, Labels(("AU12",), True), {"mask": False, "w_pair": 1.0}),
    (ganimation, AUS, {"adversarial": "nonsaturating", "augment": True}),
    (stargan, AUS, {}),
    (stargan, CLASSES, {}),
    (stargan, MIXED, {"au_loss": "mse", "w_pair": 1.0}),
    (stargan, AUS, {"norm": "instance", "stem": 1, "halvings": 2}),
    (stargan, CLASSES, {"residual": True}),
    (fexgan, CLASSES, {}),
    (fexgan, CLASSES, {"scale_label": False, "w_difference": 1.0}),
    (expression_manipulator, AUS, {}),
    (expression_manipulator, AUS, {"msf": False, "residual": True}),
    (expression_manipulator, AUS, {"relative": False, "norm": "group", "begin": "uniform"}),
]


@pytest.mark.parametrize("module, labels, settings", SYSTEMS)
def test_every_network_learns_and_losses_are_finite(module, labels, settings):
    critic = {"n_critic": 1} if hasattr(module.Config, "n_critic") else {}
    system = make(module, labels, **settings, **critic)
    before, terms = weights(system), system.step(make_batch(labels), 0)
    assert changed(before, system) == set(system.nets)
    assert all(math.isfinite(value) and not value.requires_grad for value in terms.values())
    assert {"d_gap", "g_adversarial", "g_condition", "g_change"} <= set(terms)
    assert set(system.averaged) < set(system.nets)
    unpaired = make_batch(labels, ("permuted",) * 4)
    assert "g_pair" not in system.step(unpaired, 1)


@pytest.mark.parametrize("preset", ["paper", "quick"])
@pytest.mark.parametrize(
    "module, labels", [(ganimation, AUS), (stargan, AUS), (stargan, CLASSES), (fexgan, CLASSES),
                       (expression_manipulator, AUS)]
)
def test_presets_build_at_their_own_size(module, labels, preset):
    config = module.Config(**module.PRESETS[preset])
    with torch.device("meta"):
        system = module.System(labels, config)
        image, y = torch.zeros(2, 3, config.size, config.size), torch.zeros(2, labels.count)
    for net in system.nets.values():
        net.eval()
    edited = system.exports["editor"](image, y, y)
    assert edited.shape == image.shape and set(module.SCHEDULES[preset]) == {
        "epochs",
        "decay_epochs",
        "batch",
    }
    if (
        preset == "paper" and module in (ganimation, stargan)
    ):  # the published sizes: 8.5 and 44.9 million, 17 AUs
        for net, published in ((system.generator, 8.5), (system.discriminator, 44.9)):
            millions = sum(p.numel() for p in net.parameters()) / 1e6
            assert millions == pytest.approx(published, abs=0.2)


def test_ganimation_losses_by_hand():
    """Heads of zeros: C = 0 and A = 1/2 everywhere, so that G(x) = x / 2 and G(G(x)) = x / 4."""
    system = make(ganimation, AUS, n_critic=1, w_pair=1.0)
    torch.nn.init.zeros_(system.generator.colour.weight)
    torch.nn.init.zeros_(system.generator.attention.weight)
    torch.nn.init.zeros_(system.discriminator.labels.weight)  # reads 0 for every AU
    torch.nn.init.zeros_(
        system.discriminator.patch.weight
    )  # scores 0 everywhere: its gradient is 0
    batch = make_batch(AUS)
    x, size = batch.x_real, batch.x_real.abs().mean().item()
    terms = system.step(batch, 0)
    assert terms["g_change"].item() == pytest.approx(size / 2)
    assert terms["g_cycle"].item() == pytest.approx(size * 3 / 4)
    assert terms["g_pair"].item() == pytest.approx((x[:4] / 2 - batch.x_true).abs().mean().item())
    assert (
        terms["g_mask_mean"].item() == 0.5
        and terms["g_mask"].item() == 1.0
        and terms["g_smooth"].item() == 0
    )
    assert terms["d_adversarial"].item() == terms["d_gap"].item() == 0
    assert terms["d_penalty"].item() == pytest.approx(1)  # (0 - 1)²
    assert terms["d_condition"].item() == pytest.approx(
        batch.y_org[:5].square().mean().item()
    )  # row 6 is unlabelled


def test_mask_smoothness_by_hand():
    mask = torch.zeros(2, 1, 3, 3)
    mask[0, 0, 1, 1] = 0.5  # four neighbours differ by 0.5 in one of two masks
    assert losses.total_variation(mask).item() == pytest.approx(4 * 0.25 / 2)


def test_a_saturated_mask_is_seen_and_returns_the_input():
    system = make(ganimation, AUS)
    torch.nn.init.constant_(
        system.generator.attention.weight, 1e3
    )  # features after ReLU are not negative
    batch = make_batch(AUS)
    terms = system.step(batch, 0)
    assert terms["g_mask_mean"] > 0.97
    x_fake, mask = system.generator(batch.x_real, batch.y_trg)
    kept = mask.expand_as(x_fake) == 1
    assert torch.equal(x_fake[kept], batch.x_real[kept]) and kept.float().mean() > 0.9


def test_niinuma_removes_the_masks_losses_and_adds_the_idiosyncratic_one():
    paper, niinuma = (
        ganimation.Config(**ganimation.PRESETS[name]) for name in ("paper", "niinuma")
    )
    assert (paper.w_mask, paper.w_smooth, paper.w_pair) == (0.1, 1e-5, 0)
    assert (niinuma.w_mask, niinuma.w_smooth, niinuma.w_pair, niinuma.size) == (0, 0, 1, 224)
    assert (niinuma.w_adversarial, niinuma.w_condition, niinuma.w_cycle) == (1, 160, 10)
    assert niinuma.mask and "pair" in shares_of(niinuma.shares)


@pytest.mark.parametrize("name", BOTH)
def test_the_generator_learns_at_every_fifth_step(name):
    system = make(BOTH[name], AUS)
    learnt = []
    for step in range(10):
        before = weights(system)
        system.step(make_batch(AUS), step)
        learnt.append(changed(before, system))
    both = {"generator", "discriminator"}
    assert learnt == ([{"discriminator"}] * 4 + [both]) * 2


@pytest.mark.parametrize("name", BOTH)
def test_settings_say_when_critic_and_cycle_take_part(name):
    system = make(
        BOTH[name], AUS, n_critic=1, critic_every=3, cycle_every=2, penalty_every=2, w_pair=1.0
    )
    seen = [set(system.step(make_batch(AUS), step)) for step in range(7)]
    assert [("d_condition" in terms, "g_condition" in terms) for terms in seen] == [
        (step % 3 == 0,) * 2 for step in range(7)
    ]
    assert ["g_cycle" in terms for terms in seen] == [step % 2 == 0 for step in range(7)]
    assert ["d_penalty" in terms for terms in seen] == [step in (0, 6) for step in range(7)]


def test_stargan_classifies_by_hand():
    system = make(stargan, MIXED)  # AU12, valence, arousal, joy, neutral
    y = torch.tensor([[1.0, 0.5, -0.5, 0.0, 1.0]] * 2)
    known = torch.tensor([[True] * 5, [False] * 5])
    zeros = torch.zeros(2, 5)
    assert system.classify(zeros, y, known).item() == pytest.approx(
        math.log(2) + 0.25 + math.log(2)
    )
    system.config.au_loss = "mse"
    assert system.classify(zeros + 0.25, y, known).item() == pytest.approx(
        0.75**2 + ((math.tanh(0.25) - 0.5) ** 2 + (math.tanh(0.25) + 0.5) ** 2) / 2 + math.log(2)
    )
    assert system.classify(zeros, y, known & False).item() == 0
    only = make(stargan, CLASSES)
    assert only.classify(
        torch.zeros(1, 3), torch.eye(3)[:1], torch.ones(1, 3, dtype=torch.bool)
    ).item() == pytest.approx(math.log(3))


def test_fexgan_divergence_by_hand():
    mu, log_variance = (
        torch.tensor([[1.0, 0.0], [0.0, 0.0]]),
        torch.tensor([[0.0, math.log(2)], [0.0, 0.0]]),
    )
    # -½(1 + 0 - 1 - 1) - ½(1 + ln 2 - 0 - 2) in the first image, 0 in the second
    assert fexgan.divergence(mu, log_variance).item() == pytest.approx(
        (0.5 + (1 - math.log(2)) / 2) / 2
    )


def test_fexgan_draws_around_mu_by_the_log_variance_and_scales_the_label():
    system = make(fexgan, CLASSES)
    system.draw.randn = lambda count, *shape, device="cpu": torch.full((count, *shape), 2.0)
    fed = []
    system.decoder.register_forward_pre_hook(
        lambda net, inputs: fed.append([each.detach() for each in inputs])
    )
    batch = make_batch(CLASSES, ("pair",) * 6)
    mu, log_variance = system.encoder(batch.x_real, batch.y_org)
    system.step(batch, 0)
    z, a_t = fed[0]
    assert torch.allclose(z, mu + 2 * (log_variance / 2).exp(), atol=1e-5)
    assert torch.equal(a_t, 2 * batch.y_trg)


def test_fexgan_may_add_the_difference_of_two_decodings_to_the_image():
    """The edit is x + gain (G(z, A_t) - G(z, A_s)): of a decoder that gives the label's first
    number everywhere, twice 0.5 - 0.2 more; and x itself where the label stays. The loss is the
    mean distance of the edit with gain 1 from I_t, of the pairs alone."""
    system = make(fexgan, CLASSES, w_difference=1.0, gain=2.0, scale_label=False)
    batch = make_batch(CLASSES, ("pair",) * 4 + ("permuted",) * 2)
    for net in system.nets.values():
        net.eval()
    editor = system.exports["editor"]
    assert torch.equal(editor(batch.x_real, batch.y_org, batch.y_org), batch.x_real)
    system.decoder.forward = lambda z, label: label[:, :1, None, None].expand(-1, 3, 16, 16)
    source, target = batch.y_org.clone(), batch.y_trg.clone()
    source[:, 0], target[:, 0] = 0.2, 0.5
    expected = (batch.x_real + 0.6).clamp(-1, 1)
    assert torch.allclose(editor(batch.x_real, source, target), expected, atol=1e-6)
    wanted = batch.x_real[:4] + (batch.y_trg - batch.y_org)[:4, :1, None, None] - batch.x_true
    system.update = lambda *_: None
    terms = system.step(batch, 0)
    assert terms["g_difference"].item() == pytest.approx(wanted.abs().mean().item(), rel=1e-5)
    assert "g_difference" not in make(fexgan, CLASSES).step(batch, 0)


def test_fexgan_teaches_the_class_of_fakes_and_lowers_only_the_binary_weight():
    system = make(fexgan, CLASSES, w_pair=0.0, w_kl=0.0, w_binary_late=0.0)
    torch.nn.init.zeros_(system.discriminator.expression.weight)
    torch.nn.init.zeros_(system.discriminator.expression.bias)
    terms = system.step(make_batch(CLASSES, ("pair",) * 6), 0)
    for name in (
        "d_class_real",
        "d_class_fake",
    ):  # three classes, alike for an untrained head (row 6 unlabelled)
        assert terms[name].item() == pytest.approx(math.log(3))
    for epoch, known, learns in ((49, False, True), (50, False, False), (50, True, True)):
        system = make(fexgan, CLASSES, w_pair=0.0, w_kl=0.0, w_binary_late=0.0)
        batch = make_batch(CLASSES, ("pair",) * 6, epoch=epoch)
        batch.known[:] = known
        before = weights(system)
        system.step(batch, 0)
        assert ("decoder" in changed(before, system)) == learns


@pytest.mark.parametrize("module, labels, settings", SYSTEMS)
def test_exports_have_their_shapes(module, labels, settings):
    system = make(module, labels, **settings)
    for net in system.nets.values():
        net.eval()
    batch, exports = make_batch(labels), system.exports
    assert exports["editor"](batch.x_real, batch.y_org, batch.y_trg).shape == (6, 3, 16, 16)
    read = exports["classifier"](batch.x_real)
    shapes = {"real": (6,)}
    if labels.aus:
        shapes["au"] = (6, len(labels.aus))
        assert 0 <= read["au"].min() and read["au"].max() <= 1
    if labels.valence_arousal:
        shapes["valence_arousal"] = (6, 2)
    if labels.expressions:
        shapes["expression"] = (6, len(labels.expressions))
        assert torch.allclose(read["expression"].sum(1), torch.ones(6))
    assert {key: tuple(value.shape) for key, value in read.items()} == shapes
    score = (module is expression_manipulator
             or getattr(system.config, "adversarial", "") == "wgan-gp")
    assert system.real_kind == ("score" if score else "probability")
    if module is fexgan:  # the edit is what the decoder makes of mu, or of that and the image
        noise = torch.randn(6, system.noise_drawing.noise_size)
        assert exports["sampler"](noise, batch.y_trg).shape == (6, 3, 16, 16)
        mu, _ = system.encoder(batch.x_real, batch.y_org)
        edited = exports["editor"](batch.x_real, batch.y_org, batch.y_trg)
        decoded = exports["sampler"](mu, batch.y_trg)
        if system.config.w_difference:
            decoded = (batch.x_real + (decoded - system.decoder(mu, batch.y_org))).clamp(-1, 1)
        assert torch.equal(decoded, edited)
    assert set(exports) == {"editor", "classifier"} | ({"sampler"} if module is fexgan else set())


def faces(folder, name, subject, count=24):
    """Random images of two people in sessions of four, with AUs and expressions."""
    draw = np.random.default_rng(len(name))
    images.save_pack(folder / f"{name}.npy", draw.integers(0, 256, (count, 16, 16, 3), np.uint8))
    classes = [["neutral", "joy", "anger", ""][i % 4] for i in range(count)]
    manifest.write(
        folder / f"{name}.csv",
        {
            "path": [f"{name}.npy#{i}" for i in range(count)],
            "subject": [f"{subject}{i // 12}" for i in range(count)],
            "session": [f"{subject}{i // 4}" for i in range(count)],
            "expression": classes,
            "AU04": [float(each == "anger") for each in classes],
            "AU12": [float(each == "joy") if each else "" for each in classes],
        },
    )
    return folder / f"{name}.csv"


@pytest.mark.parametrize(
    "arch, tasks, exports",
    [
        ("ganimation", "au", ("editor", "classifier")),
        ("stargan", "expression", ("editor", "classifier")),
        ("fexgan", "expression", ("editor", "sampler", "classifier")),
        ("expression-manipulator", "au", ("editor", "classifier")),
    ],
)
def test_the_trainer_drives_them_and_every_export_agrees(arch, tasks, exports, tmp_path, capsys):
    train, validation = faces(tmp_path, "train", "a"), faces(tmp_path, "validation", "b")
    settings = dict(SMALL_BY_NAME[arch])
    settings.pop("size")
    out = tmp_path / "run" / "g.pt"
    status, _, said = call(
        train_generator.main,
        capsys,
        "--train",
        train,
        "--validation",
        validation,
        "--out",
        out,
        "--arch",
        arch,
        "--tasks",
        tasks,
        "--device",
        "cpu",
        "--epochs",
        2,
        "--decay-epochs",
        1,
        "--batch",
        8,
        "--config",
        *(f"{name}={value}" for name, value in settings.items()),
    )
    assert status == 0, said
    lines = [json.loads(line) for line in (out.parent / "history.jsonl").read_text().splitlines()]
    assert (
        len(lines) == 2
        and ("g_pair" in lines[1]) == (arch != "expression-manipulator")
        and ("g_mask_mean" in lines[1]) == (arch == "ganimation")
    )
    for name in exports:
        model = tmp_path / f"{name}.onnx"
        status, _, said = call(export_onnx.main, capsys, out, "--out", model, "--as", name)
        assert status == 0 and "agrees with PyTorch" in said
    meta = json.loads((tmp_path / "editor.json").read_text())
    assert meta["architecture"] == arch
    assert meta["conditions"] == (
        ["AU04", "AU12"] if tasks == "au" else ["anger", "joy", "neutral"]
    )
    if "classifier" in exports:
        check_thresholds(out, validation, tmp_path / "classifier.onnx", tasks, capsys)


def check_thresholds(checkpoint, validation, model, tasks, capsys):
    """export_onnx.py --as classifier --validation stores what the readings of its ONNX ask for."""
    assert json.loads(model.with_suffix(".json").read_text())["thresholds"] == {}
    again = (checkpoint, "--as", "classifier", "--validation", validation, "--out", model)
    status, _, said = call(export_onnx.main, capsys, *again)
    if tasks == "expression":
        assert status == 3 and "it reads no AUs" in said and len(said.splitlines()) == 1
        return
    assert status == 0, said
    data = manifest.read(validation)
    pictures = np.stack([images.load(reference) for reference in data.images()])
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    read = session.run(["au"], {session.get_inputs()[0].name: pictures})[0]
    expected = thresholds.choose_steadily(read, data, ["AU04", "AU12"])
    stored = json.loads(model.with_suffix(".json").read_text())["thresholds"]
    assert stored == pytest.approx(expected, abs=1e-5) and set(stored) == {"AU04", "AU12"}


@pytest.mark.parametrize(
    "module, labels", [(ganimation, AUS), (stargan, CLASSES), (fexgan, CLASSES),
                       (expression_manipulator, AUS)]
)
def test_edits_differ_by_target_and_are_repeatable(module, labels):
    system = make(module, labels)
    for net in system.nets.values():
        net.eval()
    batch = make_batch(labels)

    def edit(source, target):
        return system.exports["editor"](batch.x_real, source, target)

    first = edit(batch.y_org, batch.y_trg)
    assert torch.equal(first, edit(batch.y_org, batch.y_trg))
    assert not torch.allclose(first[:-1], edit(batch.y_org, batch.y_org)[:-1], atol=1e-6)
    # only FExGAN's encoder is told the source, and the Expression Manipulator the difference
    told = (fexgan, expression_manipulator)
    assert torch.equal(first, edit(batch.y_trg, batch.y_trg)) == (module not in told)


@pytest.mark.parametrize("module, labels", [(ganimation, AUS), (stargan, MIXED), (fexgan, CLASSES),
                                            (expression_manipulator, AUS)])
def test_resumed_equals_uninterrupted(module, labels):
    def steps(system, first, last):
        for step in range(first, last):
            system.step(make_batch(labels), step)

    whole = make(module, labels, preset="quick")
    steps(whole, 0, 6)
    half = make(module, labels, preset="quick")
    steps(half, 0, 3)
    random, saved = torch.get_rng_state(), weights(half)
    optimisers = {name: copy.deepcopy(each.state_dict()) for name, each in half.optimisers.items()}
    again = make(module, labels, preset="quick")
    for name, net in again.nets.items():
        net.load_state_dict(saved[name])
    for name, optimiser in again.optimisers.items():
        optimiser.load_state_dict(optimisers[name])
    torch.set_rng_state(random)
    steps(again, 3, 6)
    for name, state in weights(whole).items():
        for key, value in state.items():
            assert torch.equal(value, again.nets[name].state_dict()[key]), (name, key)


def test_the_penalty_is_a_second_step_of_the_discriminators_optimiser():
    """Its weight counts: with an Adam of its own it would not."""
    moved = {}
    for weight in (0.0, 10.0, 1000.0):
        system = make(expression_manipulator, AUS, g_every=4, w_penalty=weight)
        assert set(system.optimisers) == {"g", "d"}
        before = weights(system)["discriminator"]
        system.step(make_batch(AUS), 0)
        steps = system.optimisers["d"].state_dict()["state"][0]["step"]
        assert int(steps) == 2  # its own losses, then the penalty
        moved[weight] = torch.cat([(value - before[name]).flatten()
                                   for name, value in system.discriminator.named_parameters()])
    assert (moved[0.0] - moved[10.0]).abs().mean() > 1e-6
    assert (moved[10.0] - moved[1000.0]).abs().mean() > 1e-6


def test_the_published_networks_have_norms_and_no_biases():
    """As in the public code: every convolution but G's last has an InstanceNorm, D's have none;
    none has a bias; they begin as N(0, 0.02)."""
    system = make(expression_manipulator, AUS, width=64, levels=2)
    layers = [each for each in system.generator.modules()
              if isinstance(each, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))]
    norms = [each for each in system.generator.modules()
             if isinstance(each, torch.nn.InstanceNorm2d)]
    assert len(norms) == len(layers) - 1 and all(each.affine for each in norms)
    layers += [each for each in system.discriminator.modules()
               if isinstance(each, torch.nn.Conv2d)]
    assert all(each.bias is None for each in layers)
    first = torch.cat([each.weight.detach().flatten() for each in layers])
    assert first.std().item() == pytest.approx(0.02, rel=0.01)
    assert not any(isinstance(each, torch.nn.InstanceNorm2d)
                   for each in system.discriminator.modules())


def test_an_expression_manipulator_of_before_still_opens():
    """Its fusion had biases and no norms, its discriminator's label head a bias."""
    system = make(expression_manipulator, AUS, fusion_norm=False, d_bias=True)
    config = {name: value for name, value in system.config_dict().items()
              if name not in ("fusion_norm", "d_bias", "begin")}
    old = {"kind": "generator", "architecture": "expression-manipulator", "config": config,
           "labels": {"aus": list(AUS.aus)}, "nets": weights(system)}
    opened, batch = generators.build(old), make_batch(AUS)
    expected = system.generator.edit(batch.x_real, batch.y_org, batch.y_trg)
    edited = opened.exports["editor"](batch.x_real, batch.y_org, batch.y_trg)
    assert torch.equal(edited, expected)


@pytest.mark.parametrize("module, last", [(stargan, "colour"), (expression_manipulator, "head")])
def test_a_residual_generator_adds_to_the_image(module, last):
    system, batch = make(module, AUS, residual=True), make_batch(AUS)
    torch.nn.init.zeros_(getattr(system.generator, last).weight)  # nothing is added
    image = batch.x_real.clone()
    image[0, 0, 0, 0] = 1.0  # whose atanh is infinite
    edited = system.generator.edit(image, batch.y_org, batch.y_trg)
    assert torch.allclose(edited, image.clamp(-MOST, MOST), atol=1e-6)
    assert edited[0, 0, 0, 0].item() == pytest.approx(MOST)
    assert painted(torch.tensor([[0.5]])).item() == pytest.approx(math.tanh(0.5))


def test_a_reader_of_squared_errors_gives_shares_and_probabilities():
    """Readings 0.9, 0.1, -0.2 of three classes: 0.9, 0.1 and 0 of their sum. Logits: 0 is 1/2."""
    class Net(torch.nn.Module):
        def forward(self, image):
            return torch.tensor([[[[0.0, 2.0], [-2.0, 0.0]]]]), torch.tensor([[0.9, 0.1, -0.2]])

    shares = LabelReader(Net(), CLASSES, "probability")(None)
    assert shares["expression"].tolist() == [pytest.approx([0.9, 0.1, 0.0], abs=1e-5)]
    assert shares["real"].tolist() == [0.5]
    levels = LabelReader(Net(), AUS, "score")(None)
    assert levels["au"].tolist() == [pytest.approx([0.9, 0.1, 0.0])]
    assert levels["real"].tolist() == [0.0]
    assert warp_editor.System.real_kind == "probability"


def test_settings_that_do_not_fit_are_refused_in_a_line():
    for module, labels, settings, mentions in (
        (expression_manipulator, AUS, {"size": 18}, "a multiple of 4"),
        (expression_manipulator, AUS, {"begin": "zero"}, "normal or uniform"),
        (ganimation, CLASSES, {}, "take stargan or fexgan"),
        (fexgan, AUS, {}, "--tasks expression"),
        (fexgan, CLASSES, {"size": 24}, "--size 64 or 128"),
        (stargan, AUS, {"size": 18}, "a multiple of 4"),
        (stargan, AUS, {"shares": "pair"}, "shares=pair"),
    ):
        with pytest.raises(BadInput, match=mentions):
            make(module, labels, **settings)


def test_pairs_are_compared_plainly_or_with_emphasis():
    source, true = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    true[..., :4] = 0.5  # half of the picture changes
    assert losses.pair_l1(source, true, source).item() == pytest.approx(0.25)
    # each scale: the changed half counts 1 + 5 times, the other half is right
    assert losses.pair_l1(source, true, source, 5.0).item() == pytest.approx(0.25 * 6)
    assert losses.pair_l1(true, true, source, 5.0).item() == 0


@pytest.mark.parametrize("module", BOTH.values(), ids=BOTH)
def test_a_nod_between_the_images_of_a_pair_counts_until_they_are_registered(module):
    """A smooth face moved by 3 % of its width: the unedited input is then the right answer."""
    system = make(module, AUS, w_pair=1.0)
    rows, columns = torch.meshgrid(*[torch.linspace(0, 6, 32)] * 2, indexing="ij")
    source = torch.stack([rows.sin() * columns.cos()] * 3)[None].repeat(2, 1, 1, 1) / 2
    nod = torch.tensor([[0.0, 0, 0.03, 0, 0, 0.03]]).repeat(2, 1)
    true = frame_alignment.move(source, nod)
    first, later = (EditBatch(source, {}, None, None, None, ["pair"] * 2, true, epoch=epoch)
                    for epoch in (1, 2))
    plain = (source - true).abs().mean().item()
    assert system.pair_loss(source, later, source).item() == pytest.approx(plain, rel=1e-5)
    system.config.registered_from = 2
    assert system.pair_loss(source, first, source).item() == pytest.approx(plain, rel=1e-5)
    assert system.pair_loss(source, later, source).item() < plain / 5
    # and what an edit gets wrong still counts in full
    assert system.pair_loss(source + 0.2, later, source).item() == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("module", BOTH.values(), ids=BOTH)
def test_conditions_are_as_loud_as_asked(module):
    """The trunk sees the image and the conditions, times `louder`, in every pixel."""
    system = make(module, AUS, louder=3.0)
    seen = []
    system.generator.trunk.layers[0].register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    y_trg = torch.linspace(0, 1, AUS.count)[None]
    system.generator(torch.zeros(1, 3, 16, 16), y_trg)
    tiled = seen[0][0, -AUS.count:]
    assert torch.allclose(tiled, 3 * y_trg[0, :, None, None].expand_as(tiled))
    assert make(module, AUS).config.louder == 1 and make(module, AUS, "quick").config.louder == 3


def test_the_discriminator_reads_the_whole_map():
    net = StarDiscriminator(
        5, 24, width=4, layers=6
    )  # 24 -> 12 -> 6 -> 3: an odd map is not halved
    score, readings = net(torch.zeros(2, 3, 24, 24))
    assert score.shape == (2, 1, 3, 3) and readings.shape == (2, 5)
