"""Samplers: each family's losses worked out by hand, its steps, and the figures and alarm of
sample_report."""

import copy
import json
import math
import os
import subprocess
import sys
import tracemalloc

import models
import numpy as np
import onnxruntime
import pytest
import torch
from commands import NO_TORCH, ROOT, fail_here, succeed_here

import evaluate
import export_onnx
import train_generator
from lib import checkpoints, generators, images, manifest, onnx_export
from lib.cli import BadInput
from lib.evaluation import identity, sample_report, sample_tables
from lib.generators import (
    categorical_gan,
    conditional_gan,
    conditional_wgan,
    gan,
    multitask_gan,
    relativistic_sampler,
    sampler_blocks,
)
from lib.generators.contract import SampleBatch
from lib.generators.trainer import Trainer
from lib.labels import Labels
from lib.rendering import farm, plan as rendering_plan
from lib.training import History

B = 6
EXPRESSIONS = Labels(expressions=("anger", "joy", "neutral"))
BOTH = Labels(aus=("AU01", "AU12"), valence_arousal=True)
FAMILIES = {
    "gan mlp": (gan, Labels(), {"width": 16}),
    "gan convolutional": (gan, Labels(), {**gan.CONVOLUTIONAL, "size": 16, "width": 4}),
    "conditional gan": (conditional_gan, EXPRESSIONS, {"size": 16, "width": 4}),
    "conditional wgan": (conditional_wgan, EXPRESSIONS, {"size": 16, "width": 4, "n_critic": 2}),
    "conditional wgan clip": (
        conditional_wgan,
        BOTH,
        {"size": 16, "width": 4, "n_critic": 2, "lipschitz": "clip"},
    ),
    "categorical au": (categorical_gan, Labels(aus=("AU01", "AU12")), {"update_rate": 1}),
    "categorical va ccc": (
        categorical_gan,
        Labels(valence_arousal=True),
        {"size": 28, "va_loss": "ccc", "update_rate": 1},
    ),
    "categorical joint": (
        categorical_gan,
        BOTH,
        {**categorical_gan.PRESETS["joint"], "size": 64, "discriminator": "tiny"},
    ),
    "categorical of torchvision": (
        categorical_gan,
        BOTH,
        {"size": 96, "discriminator": "resnet18", "g_width": 4, "update_rate": 1},
    ),
    "multitask": (multitask_gan, BOTH, {"discriminator": "tiny"}),
    "relativistic": (
        relativistic_sampler,
        EXPRESSIONS,
        {"size": 16, "width": 8, "widest": 16, "classifier": "tiny", "condition_after": 1},
    ),
}


def batch_of(labels, size, draws=None):
    """A batch of random images with random labels, all known."""
    draws = draws or torch.Generator().manual_seed(0)
    y, known = torch.zeros(B, labels.count), {}
    if labels.aus:
        known["au"] = y[:, labels.columns("au")] = torch.rand(B, len(labels.aus), generator=draws)
    if labels.valence_arousal:
        known["valence_arousal"] = y[:, labels.columns("va")] = (
            torch.rand(B, 2, generator=draws) * 2 - 1
        )
    if labels.expressions:
        known["expression"] = torch.arange(B) % 3
        y[:, labels.columns("expression")] = torch.eye(3)[known["expression"]]
    x_real = torch.rand(B, 3, size, size, generator=draws) * 2 - 1
    return SampleBatch(x_real, known, y, torch.ones_like(y, dtype=torch.bool))


def system_of(name, seed=0):
    """(system, a batch for it)."""
    module, labels, settings = FAMILIES[name]
    config = module.Config(**settings)
    torch.manual_seed(seed)
    return module.System(labels, config), batch_of(labels, config.size)


@pytest.mark.parametrize("name", FAMILIES)
def test_steps_have_finite_losses_and_change_every_network(name):
    system, batch = system_of(name)
    before = {
        key: [p.detach().clone() for p in net.parameters()] for key, net in system.nets.items()
    }
    for step in range(4):
        terms = system.step(batch, step)
        assert terms and all(math.isfinite(float(value)) for value in terms.values()), terms
        assert not any(value.requires_grad for value in terms.values())
    for key, net in system.nets.items():
        assert any(not torch.equal(old, new) for old, new in zip(before[key], net.parameters())), (
            key
        )


@pytest.mark.parametrize("name", FAMILIES)
def test_exports_have_the_contracts_shapes_and_ranges(name):
    system, batch = system_of(name)
    for as_kind, graph in system.exports.items():
        graph.eval()
        if as_kind == "sampler":
            image = graph(torch.rand(2, system.config.noise_size), batch.y[:2])
            assert (
                image.shape == (2, 3, system.config.size, system.config.size)
                and image.abs().max() <= 1
            )
            continue
        out = graph(batch.x_real[:2])
        assert out["real"].shape == (2,)
        if system.labels.aus:
            assert (
                out["au"].shape == (2, len(system.labels.aus))
                and 0 <= out["au"].min() <= out["au"].max() <= 1
            )
        if system.labels.valence_arousal:
            assert (
                out["valence_arousal"].shape == (2, 2) and out["valence_arousal"].abs().max() <= 1
            )


@pytest.mark.parametrize("name", FAMILIES)
def test_presets_name_settings_and_schedules(name):
    module = FAMILIES[name][0]
    for preset, settings in module.PRESETS.items():
        module.Config(**settings)
        assert preset in module.SCHEDULES
    assert {"paper", "quick"} <= set(module.PRESETS)


# ---- categorical GAN --------------------------------------------------------


def test_generated_images_have_smoothed_labels():
    system, _ = system_of("categorical joint")
    assert system.config.alpha == 0.9
    batch = batch_of(BOTH, 64)
    batch.labels["au"] = torch.tensor([[0.4, 0.39], [torch.nan, 1.0]])
    batch.x_real, batch.labels["valence_arousal"] = (
        batch.x_real[:2],
        torch.tensor([[0.5, -0.5], [torch.nan, 1.0]]),
    )
    real, fake = system.targets(batch)
    assert real["au"][0].tolist() == [1, 0]  # level 2 of 5 is present
    assert real["au"][1, 0].isnan() and real["au"][1, 1] == 1
    assert real["generated"].tolist() == [0, 0]
    assert torch.allclose(fake["au"], torch.full((2, 2), 0.05))  # (1 - 0.9) / 2
    assert torch.allclose(fake["generated"], torch.tensor([0.9, 0.9]))
    assert torch.equal(fake["va"].isnan(), real["va"].isnan())  # the real batch's
    ours, _ = system_of("multitask")
    ours.config.alpha = 0.8
    real_to_us, fake = ours.targets(batch)
    assert fake["au"].isnan().all() and fake["va"].isnan().all()
    assert torch.allclose(fake["generated"], torch.tensor([0.8, 0.8]))
    assert torch.equal(real_to_us["au"].isnan(), real["au"].isnan())
    ours.config.fake_labels = "paper"
    assert torch.allclose(ours.targets(batch)[1]["au"], torch.full((2, 2), 0.1))


def test_huber_loss_is_annealed_over_1500_steps():
    weight, published = categorical_gan.huber_weight, categorical_gan.Config()
    assert [weight(published, step) for step in (0, 750, 1500, 9999)] == [10, 5, 0, 0]
    ours = categorical_gan.Config(huber_weight=2.0, huber_steps=100)
    assert [weight(ours, step) for step in (0, 50, 100)] == [2, 1, 0]


def test_update_rate_says_which_network_learns():
    order = [categorical_gan.learns(step, 2)[0] for step in range(6)]
    assert order == ["d", "g", "g", "d", "g", "g"]


def test_losses_of_aus_valence_and_arousal_by_hand():
    logits, true = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, torch.nan]])
    assert categorical_gan.au_loss(logits, true).item() == pytest.approx(math.log(2))
    read, true = (
        torch.tensor([[0.5, 0.0], [0.0, 1.0]]),
        torch.tensor([[0.0, 1.0], [torch.nan, 1.0]]),
    )
    assert categorical_gan.mse_loss(read, true).item() == pytest.approx(0.25 + 0.5)
    # valence: r = t, CCC 1; arousal: r = (0, 2), t = (0, 1): cov 0.5, var 1 and 0.25, means 1 and
    # 0.5
    read, true = torch.tensor([[0.0, 0.0], [1.0, 2.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    assert categorical_gan.ccc_loss(read, true).item() == pytest.approx(
        0 + 1 - 2 * 0.5 / (1 + 0.25 + 0.25)
    )


def test_running_statistics_can_be_those_of_real_images_alone():
    system, batch = system_of("multitask")
    norm = next(
        net for net in system.discriminator.modules() if isinstance(net, torch.nn.BatchNorm2d)
    )
    before = norm.running_mean.clone()
    system.read(batch.x_real, real=False)
    assert torch.equal(norm.running_mean, before) and norm.momentum == 0.1
    system.read(batch.x_real, real=True)
    assert not torch.equal(norm.running_mean, before)
    published, batch = system_of("categorical joint")
    norm = next(net for net in published.discriminator.modules() if hasattr(net, "running_mean"))
    before = norm.running_mean.clone()
    published.read(batch.x_real, real=False)
    assert not torch.equal(norm.running_mean, before)


def test_gradients_are_clipped_before_a_step():
    system, _ = system_of("categorical au")
    weights = list(system.discriminator.parameters())
    system.update("discriminator", 1e6 * sum(weight.sum() for weight in weights))
    norm = torch.stack([weight.grad.norm() for weight in weights]).norm()
    assert norm.item() == pytest.approx(20, rel=1e-3)


# ---- the other families -----------------------------------------------------


def test_richers_networks_have_his_layers():
    generator = gan.MlpGenerator(gan.Config())
    assert [
        layer.out_features for layer in generator.layers if hasattr(layer, "out_features")
    ] == [128, 784]
    assert (
        sum(p.numel() for p in gan.MlpDiscriminator(gan.Config()).parameters())
        == 784 * 128 + 128 + 128 + 1
    )
    # 1 / √2500
    assert gan.xavier(torch.nn.Linear(5000, 100)).weight.std().item() == pytest.approx(
        0.02, rel=0.02
    )
    small = categorical_gan.SmallGenerator(categorical_gan.Config())
    shapes = [
        tuple(layer.weight.shape)
        for layer in small.layers
        if isinstance(layer, torch.nn.ConvTranspose2d)
    ]
    assert shapes == [(100, 384, 2, 2), (384, 128, 4, 4), (128, 64, 4, 4), (64, 3, 6, 6)]
    assert (
        categorical_gan.SmallTrunk(28, 0.5).width
        == categorical_gan.SmallTrunk(32, 0.5).width
        == 4 * 4 * 256
    )


def test_a_wrong_label_is_another_images_label():
    y = torch.eye(3)[torch.tensor([0, 0, 2])]
    other, differs = conditional_gan.wrong_labels(y)
    assert other.argmax(1).tolist() == [2, 0, 0] and differs.tolist() == [True, False, True]


def test_a_real_image_with_a_wrong_label_counts_as_fake():
    system, batch = system_of("conditional gan")
    for net in (system.discriminator.label, system.discriminator.score):
        torch.nn.init.zeros_(net.weight)
        torch.nn.init.zeros_(net.bias)
    torch.nn.init.constant_(system.discriminator.score.bias, 2.0)  # logit 2 for everything
    terms = system.step(batch, 0)
    as_real, as_fake = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert terms["d_wrong"].item() == pytest.approx(as_fake, rel=1e-5)
    # real, and half each of fake and wrong
    assert terms["d_loss"].item() == pytest.approx(as_real + as_fake, rel=1e-5)


def before_and_after(name, **settings):
    """(networks before a step, after it, its terms, the batch, the noise that it drew)."""
    module, labels, more = FAMILIES[name]
    config = module.Config(**{**more, **settings})
    torch.manual_seed(0)
    system, batch = module.System(labels, config), batch_of(labels, config.size)
    before = copy.deepcopy(system)
    torch.manual_seed(7)
    uniform = system.drawing.noise == "uniform"
    draw = (
        (lambda *shape: sampler_blocks.even(system.draw, *shape, "cpu"))
        if uniform
        else (system.draw.randn)
    )
    noise = draw(B, config.noise_size)
    torch.manual_seed(7)
    return before, system, system.step(batch, 0), batch, noise


softplus = lambda x: torch.log1p(torch.exp(x)).mean().item()  # noqa: E731  -log(1 - sigmoid)


def test_losses_of_the_plain_gan_by_hand():
    for name in ("gan mlp", "gan convolutional"):
        before, after, terms, batch, noise = before_and_after(name)
        fake = before.generator(noise)
        with torch.no_grad():
            real_score, fake_score = before.discriminator(batch.x_real), before.discriminator(fake)
        # -log D(x) = softplus(-logit), -log(1 - D(G(z))) = softplus(logit)
        expected = softplus(-real_score) + softplus(fake_score)
        assert terms["d_loss"].item() == pytest.approx(expected, rel=1e-4)
        gap = real_score.mean() - fake_score.mean()
        assert terms["d_gap"].item() == pytest.approx(gap.item(), abs=1e-5)
        # the generator's loss is that of the discriminator that has just learnt
        expected = softplus(-after.discriminator(fake).detach())
        assert terms["g_loss"].item() == pytest.approx(expected, rel=1e-4)


def test_losses_of_the_wasserstein_gan_by_hand():
    name, settings = "conditional wgan clip", {"w_condition": 0.0, "n_critic": 1}
    before, after, terms, batch, noise = before_and_after(name, **settings)
    fake = before.generator(noise, batch.y).detach()
    expected = before.critic(fake)[0].mean() - before.critic(batch.x_real)[0].mean()
    assert terms["d_loss"].item() == pytest.approx(expected.item(), abs=1e-5)
    assert terms["g_loss"].item() == pytest.approx(-after.critic(fake)[0].mean().item(), abs=1e-5)


def test_losses_of_the_relativistic_sampler_by_hand():
    settings = {"w_condition": 0.0, "penalty": 0.0, "augment": False}
    before, after, terms, batch, noise = before_and_after("relativistic", **settings)
    fake = before.generator(noise, batch.y).detach()
    y = batch.y
    score = before.discriminator(torch.cat([batch.x_real, fake]), torch.cat([y, y])).detach()
    gap = score[:B] - score[B:]
    assert terms["d_loss"].item() == pytest.approx(softplus(-gap), rel=1e-4)
    gain = after.discriminator(batch.x_real, y) - after.discriminator(fake, y)
    assert terms["g_loss"].item() == pytest.approx(softplus(gain.detach()), rel=1e-4)


def test_losses_of_the_categorical_gan_by_hand():
    settings = {"dropout": 0.0, "w_au": 3.0, "w_real": 0.5}
    before, after, terms, batch, noise = before_and_after("categorical au", **settings)
    fake = before.generator(noise).detach()
    with torch.no_grad():
        (au, _, real, _), (fake_au, _, generated, _) = map(
            before.discriminator, (batch.x_real, fake)
        )
    present = (batch.labels["au"] >= 0.4).float()
    entropy = lambda p, t: -(t * p.log() + (1 - t) * (1 - p).log()).mean().item()  # noqa: E731
    aus = entropy(au.sigmoid(), present) + entropy(fake_au.sigmoid(), torch.full_like(au, 0.05))
    reals = entropy(real.sigmoid(), torch.zeros(B)) + entropy(
        generated.sigmoid(), torch.full((B,), 0.9)
    )
    assert terms["d_loss"].item() == pytest.approx(3 * aus + 0.5 * reals, rel=1e-3)
    after.config.huber_weight = 0.0
    fooled = after.discriminator(after.generator(noise))[2]
    expected = fooled.sigmoid().log().mean().item()  # E[log P(generated)]
    torch.manual_seed(7)
    assert after.step(batch, 1)["g_adversarial"].item() == pytest.approx(expected, rel=1e-3)


def test_the_loss_of_our_generator_by_hand():
    logits = torch.tensor([0.0, 2.0])
    ours, _ = system_of("multitask")
    # P(generated) = 0.5 and 0.880797; ours: -E[log P(real)]
    expected = -(math.log(0.5) + math.log(1 - 0.880797)) / 2
    assert ours.adversarial(logits).item() == pytest.approx(expected, rel=1e-4)
    ours.config.generator_loss = "saturating"
    expected = (math.log(0.5) + math.log(0.880797)) / 2
    assert ours.adversarial(logits).item() == pytest.approx(expected, rel=1e-4)


def enlarge(net):
    for weights in net.parameters():
        weights.grad.mul_(1e6)


def test_the_gradients_that_several_processes_have_averaged_are_clipped():
    system, batch = system_of("categorical au")
    seen = []
    optimiser = system.optimisers["discriminator"]
    optimiser.register_step_pre_hook(  # as the trainer's, which averages
        lambda *_: enlarge(system.discriminator)
    )
    system.step(batch, 0)
    optimiser.register_step_post_hook(
        lambda *_: seen.append([p.grad for p in system.discriminator.parameters()])
    )
    system.step(batch, 2)
    norm = torch.stack([gradient.norm() for gradient in seen[0]]).norm().item()
    assert norm == pytest.approx(system.config.clip, rel=1e-3)


def test_wasserstein_penalty_by_hand():
    class Sum(torch.nn.Module):  # its gradient is 1 at each of 12 numbers: norm √12
        def forward(self, x):
            return x.flatten(1).sum(1), None

    x = torch.zeros(2, 3, 2, 2)
    found = conditional_wgan.penalty(Sum(), x, x + 1, torch.tensor([[0.2], [0.7]]))
    assert found.item() == pytest.approx((math.sqrt(12) - 1) ** 2)


def test_clipped_critic_stays_within_its_bound():
    system, batch = system_of("conditional wgan clip")
    system.step(batch, 0)
    assert max(p.abs().max() for p in system.critic.parameters()) <= system.config.clip


def test_zero_centred_penalty_by_hand():
    def score(x, y):  # gradient 3 at each of 12 numbers: squared norm 108
        return 3 * x.flatten(1).sum(1)

    x = torch.zeros(2, 3, 2, 2)
    assert relativistic_sampler.zero_centred(score, x, None).item() == pytest.approx(108)


def test_the_condition_acts_when_there_are_faces():
    assert [relativistic_sampler.growth(step, 4) for step in (0, 3, 4, 5, 7, 99)] == [
        0,
        0,
        0.25,
        0.5,
        1,
        1,
    ]
    assert relativistic_sampler.growth(0, 0) == 1


def test_spread_of_neighbours_by_hand():
    x = torch.tensor([[0.0, 2.0], [4.0, 2.0], [1.0, 1.0], [1.0, 7.0]]).view(4, 2, 1, 1)
    # of rows 0 and 1: deviations 2 and 0; of rows 2 and 3: 0 and 3
    assert relativistic_sampler.spread(x, 2).flatten() == pytest.approx([1, 1, 1.5, 1.5], abs=1e-3)
    assert (
        not relativistic_sampler.spread(x, 3).any() and not relativistic_sampler.spread(x, 1).any()
    )


def test_conditions_loss_leaves_out_what_is_unlabelled():
    labels = Labels(aus=("AU01",), valence_arousal=True, expressions=("joy", "fear"))
    readings = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0, -9.0]])
    y = torch.tensor([[1.0, 0.5, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 1.0]])
    known = torch.tensor([[True] * 5, [False] * 5])
    expected = math.log(2) + (0.25 + 0) / 2 + math.log(2)
    assert sampler_blocks.condition_loss(readings, y, known, labels).item() == pytest.approx(
        expected
    )


@pytest.mark.parametrize(
    "size, maps",
    [(28, [7, 14, 28]), (32, [4, 8, 16, 32]), (64, [4, 8, 16, 32, 64]), (96, [6, 12, 24, 48, 96])],
)
def test_maps_double_up_to_the_image(size, maps):
    assert sampler_blocks.sides(size) == maps


# ---- figures ----------------------------------------------------------------


def faces(count, seed, size=16):
    """Images as varied as faces: a colour, and a bright disc somewhere. uint8 [N,S,S,3]."""
    draw = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1)[None]
    centre = draw.uniform(4, size - 4, (count, 1, 1, 2))
    disc = (np.linalg.norm(grid - centre, axis=-1) < 4)[..., None]
    colours = draw.uniform(0, 255, (2, count, 1, 1, 3))
    return np.where(disc, colours[0], colours[1]).astype(np.uint8)


def test_collapse_is_seen_and_real_images_are_not_called_collapsed():
    real, draw = faces(60, 1), np.random.default_rng(3)
    few = faces(5, 2)[np.arange(60) % 5]
    noisy = np.clip(few + draw.normal(0, 12, few.shape), 0, 255).astype(np.uint8)
    constant = np.repeat(real[:1], 60, 0)
    for sampled in (constant, few, noisy):
        assert sample_report.collapse(sampled, real)["collapsed"]
    found = sample_report.collapse(faces(60, 4), real)
    assert not found["collapsed"] and found["spread"] == pytest.approx(1, abs=0.2)


def frames(people, each, seed):
    """Images of some people, `each` of a session, which differ little; (uint8 [N,S,S,3], N
    subjects)."""
    still = np.repeat(faces(people, seed), each, 0)
    moved = np.clip(
        still + np.random.default_rng(seed).normal(0, 3, (len(still), 1, 1, 3)), 0, 255
    ).astype(np.uint8)
    return moved, [f"person{k // each}" for k in range(len(moved))]


def test_noisy_prototypes_collapse_where_real_images_are_frames_of_sessions():
    real, subjects = frames(30, 10, 1)
    few = faces(5, 2)[np.arange(60) % 5]
    noisy = np.clip(few + np.random.default_rng(3).normal(0, 25, few.shape), 0, 255).astype(
        np.uint8
    )
    rows = sample_report.of_different_people(subjects, 64)
    assert rows.tolist() == list(range(0, 300, 10))
    assert sample_report.collapse(noisy, real[rows])["collapsed"]
    assert not sample_report.collapse(noisy, real[:30])["collapsed"]  # three people: no measure
    others, names = frames(40, 10, 4)
    assert not sample_report.collapse(
        others[sample_report.of_different_people(names, 64)], real[rows]
    )["collapsed"]


@pytest.fixture(scope="module")
def strangers():
    """Rendered faces of 128 people, uint8 [128,32,32,3]."""
    plan = rendering_plan.draw("judge", 3, 4 * 128, 10**6, "varied")
    plan = plan.take(np.arange(0, len(plan), 4))  # one of four frames a person
    assert len(set(plan.subjects())) == 128
    return farm.render(plan, 32)


@pytest.mark.parametrize("noise", [0, 12, 25])
@pytest.mark.parametrize("prototypes", [1, 5, 20])
def test_prototypes_of_rendered_faces_collapse(strangers, prototypes, noise):
    real, others = strangers[:64], strangers[64:]
    few = others[np.arange(64) % prototypes]
    few = few + np.random.default_rng(3).normal(0, noise, few.shape)
    found = sample_report.collapse(np.clip(few, 0, 255).astype(np.uint8), real)
    assert found["collapsed"] and found["nearest_other"] < 0.4


def test_held_out_rendered_faces_do_not_collapse(strangers):
    draw = np.random.default_rng(4)
    for _ in range(20):
        rows = draw.permutation(128)
        found = sample_report.collapse(strangers[rows[:64]], strangers[rows[64:]])
        assert not found["collapsed"] and found["spread"] == pytest.approx(1, abs=0.25)


def test_rows_of_different_people():
    assert sample_report.of_different_people(["b", "b", "a", "", "a", ""], 9).tolist() == [
        0,
        2,
        3,
        5,
    ]
    assert sample_report.of_different_people([""] * 7, 3).tolist() == [0, 3, 6]
    # people whose names are numbers, and row 2 without one: four people
    assert sample_report.of_different_people(["7", "5", "", "2"], 9).tolist() == [0, 1, 2, 3]


def test_distances_by_hand():
    features = np.array([[2.0, 0], [0, 1], [3, 3], [0, -5]])
    # within class a: (1,0) and (0,1): 1; within b: 45° and -90°: 1 + √½; averaged
    assert sample_report.within(features, ["a", "a", "b", "b"]) == pytest.approx(
        (1 + 1 + math.sqrt(0.5)) / 2
    )
    assert math.isnan(sample_report.within(features, list("abcd")))
    assert sample_report.nearest(features[2:3], features[:2]) == pytest.approx(1 - math.sqrt(0.5))


def test_frechet_distance_of_gaussians():
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(500, 3))
    assert sample_report.frechet(rows, rows) == pytest.approx(0, abs=1e-8)
    # equal covariances: |m - m'|²
    assert sample_report.frechet(rows, rows + [3, 0, 4]) == pytest.approx(25)
    covariance = np.cov(rows, rowvar=False)
    assert sample_report.frechet(rows, 2 * (rows - rows.mean(0)) + rows.mean(0)) == pytest.approx(
        np.trace(covariance)
    )


def test_class_entropy():
    assert sample_report.entropy(np.eye(4)) == pytest.approx(1)
    assert sample_report.entropy(np.eye(4)[[1, 1, 1]]) == 0
    assert sample_report.entropy(np.eye(4)[[0, 0, 3, 3]]) == pytest.approx(0.5)


# ---- evaluate.py --samples, and the identity embedding ----------------------


def painted(folder, name, rows, subject):
    """A manifest of images of AU levels (tests/models.py) with expressions: [(levels,
    expression)]."""
    images.save_pack(
        folder / f"{name}.npy", np.stack([models.paint(levels) for levels, _ in rows])
    )
    manifest.write(
        folder / f"{name}.csv",
        {
            "path": [f"{name}.npy#{k}" for k in range(len(rows))],
            "subject": [subject] * len(rows),
            "expression": [expression for _, expression in rows],
        },
    )
    return folder / f"{name}.csv"


@pytest.fixture(scope="module")
def sample_set(tmp_path_factory):
    """A folder with a reader that sees happiness where the last AU is above 0.5, and three
    sets."""
    folder = tmp_path_factory.mktemp("samples")
    models.classifier(folder / "reader.onnx")
    draw = np.random.default_rng(0)

    def faces_of(last, count):  # three random AUs, and the last one
        return [[*draw.random(3), last] for _ in range(count)]

    def rows(neutral, happy):
        return [(levels, "neutral") for levels in neutral] + [
            (levels, "happiness") for levels in happy
        ]

    painted(folder, "real", rows(faces_of(0.1, 6), faces_of(0.9, 6)), "held-out")
    painted(folder, "learnt", rows(faces_of(0.1, 6), faces_of(0.9, 6)), "learnt")
    painted(folder, "sampled", rows(faces_of(0.1, 4), faces_of(0.9, 1) + faces_of(0.2, 3)), "")
    painted(folder, "constant", rows([[0.5, 0.5, 0.5, 0.1]] * 4, [[0.5, 0.5, 0.5, 0.9]] * 4), "")
    return folder


def options_of(folder, name):
    return [
        "--model",
        folder / "reader.onnx",
        "--identity",
        folder / "reader.onnx",
        "--real",
        folder / "real.csv",
        "--learnt",
        folder / "learnt.csv",
        "--samples",
        folder / f"{name}.csv",
    ]


def test_report_of_samples_by_hand(sample_set):
    line = options_of(sample_set, "sampled")
    out, said = succeed_here(evaluate.main, *line, "--report", sample_set / "report")
    found = json.loads(out)["samples"]
    assert found["condition"]["expression"]["recall"] == {"neutral": 1, "happiness": 0.25}
    assert found["condition_of_real"]["expression"]["mean_recall"] == 1
    assert found["accuracy_ratio"] == pytest.approx((1 + 0.25) / 2)
    share = np.array([7, 1]) / 8  # neutral is read in 4 + 3 of 8
    assert found["class_entropy"]["samples"] == pytest.approx(
        -(share * np.log(share)).sum() / np.log(2)
    )
    assert found["class_entropy"]["real"] == pytest.approx(1)
    assert found["frechet"]["features_of"].endswith("reader.onnx") and "fid" not in found
    assert (sample_set / "report" / "samples.png").exists() and "as well as in real images" in said


class Reads:
    """A reader of two AUs, valence and arousal, as lib.onnx_runtime.Model."""

    aus, expressions = ["AU01", "AU12"], []


def test_aus_valence_and_arousal_of_samples_by_hand(tmp_path):
    asked = {"AU12": [0.0, 0.5, 1.0, 0.0], "AU26": [1] * 4, "valence": [-1, 1, 0, 0.5]}
    data = manifest.Manifest("m.csv", tmp_path, {"path": [""] * 4, "arousal": [0.5] * 4, **asked})
    read = {
        "au": np.array([[0.3, 0.1], [0.1, 0.3], [0.0, 0.5], [0.9, 0.1]]),  # AU12: 0.1 + 0.4 asked
        "valence_arousal": np.array([[-1, 0.5], [1, 0.5], [0, 0.5], [0.5, 0.5]]),
    }
    found = sample_report.condition(Reads, data, read)
    assert set(found) == {"au", "va"} and set(found["au"]["pcc"]) == {"AU12"}
    assert found["au"]["mean_pcc"] == pytest.approx(1)
    assert found["va"]["valence"]["ccc"] == pytest.approx(1)
    report = {"condition": found, "condition_of_real": found}
    place = sample_tables.NUMBERS
    assert sample_tables.value_at(report, place["asked AUs, PCC"]) == pytest.approx(1)
    assert sample_tables.value_at(report, place["valence of real images"]) == pytest.approx(1)


def test_fid_is_named_only_with_inceptions_features(sample_set):
    line = options_of(sample_set, "sampled")
    inception = ["--inception", sample_set / "reader.onnx"]
    found, plain = (
        json.loads(succeed_here(evaluate.main, *line, *more)[0]) for more in (inception, [])
    )
    assert "frechet" not in found["samples"]
    assert found["samples"]["fid"]["samples"] == pytest.approx(
        plain["samples"]["frechet"]["samples"]
    )


def test_repeated_samples_have_no_diversity(sample_set):
    out, said = succeed_here(evaluate.main, *options_of(sample_set, "constant"))
    found = json.loads(out)["samples"]
    assert found["diversity"]["ratio"] == pytest.approx(0, abs=1e-6)
    assert found["collapse"]["collapsed"] and "collapsed" in said


def test_a_diversity_that_no_class_has_is_undefined(sample_set):
    """Each class has one image: there are no two of one class, whose distance is measured."""
    rows = [([0.1, 0.5, 0.9, 0.1], "neutral"), ([0.9, 0.2, 0.3, 0.9], "happiness"),
            ([0.4, 0.8, 0.1, 0.4], "joy")]
    painted(sample_set, "single", rows, "")
    out, said = succeed_here(evaluate.main, *options_of(sample_set, "single"))
    diversity = json.loads(out)["samples"]["diversity"]
    assert diversity["samples"] is None and diversity["ratio"] is None
    assert "diversity undefined, nearest" in said and "nan" not in said


def test_too_few_samples_are_refused(sample_set):
    """Two images have no spread to compare."""
    painted(sample_set, "two", [([0.1, 0.5, 0.9, 0.1], "neutral")] * 2, "")
    fail_here(3, ["has 2 images", "3 or more"], evaluate.main, *options_of(sample_set, "two"))


def test_entropy_of_a_single_class_is_undefined():
    assert np.isnan(sample_report.entropy(np.ones((4, 1))))


def test_levels_of_samples_are_read_as_their_mean(tmp_path):
    """A reader of six levels: 0, 0.5 and 1 are read as levels 0, 2 or 3, and 5."""
    data = manifest.Manifest("m.csv", tmp_path, {"path": [""] * 3, "AU12": [0.0, 0.5, 1.0]})
    levels = np.zeros((3, 2, 6))
    levels[:, 0, 0] = levels[0, 1, 0] = levels[2, 1, 5] = 1
    levels[1, 1, [2, 3]] = 0.5
    found = sample_report.condition(Reads, data, {"au_level": levels})
    assert found["au"]["mean_pcc"] == pytest.approx(1)


def test_samples_need_their_companions_and_other_people(sample_set):
    arguments = options_of(sample_set, "sampled")
    alone = [*arguments[:4], *arguments[8:]]
    fail_here(2, "--samples needs --real", evaluate.main, *alone)
    arguments[7] = sample_set / "real.csv"
    fail_here(3, "share 1 subject", evaluate.main, *arguments)


def test_samples_are_measured_without_torch(sample_set):
    script = [
        sys.executable,
        "-c",
        NO_TORCH,
        str(ROOT / "evaluate.py"),
        *options_of(sample_set, "sampled"),
    ]
    done = subprocess.run(list(map(str, script)), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_samplers_stand_in_one_table(tmp_path):
    def report(name, seed, ratio):
        samples = {
            "n": 90,
            "n_real": 120,
            "n_training": 300,
            "size": 32,
            "class_entropy": {"samples": 0.5},
            "diversity": {"ratio": 0.75},
            "nearest_training": {"ratio": 1.25},
            "frechet": {"samples": 21.0, "training": 0.25},
            "collapse": {"collapsed": name == "gan"},
            "condition": {},
            "condition_of_real": {},
        }
        if ratio:
            samples |= {
                "accuracy_ratio": ratio,
                "condition": {"expression": {"mean_recall": ratio / 2}},
                "condition_of_real": {"expression": {"mean_recall": 0.5}},
            }
        path = (
            tmp_path / "quick" / "samplers" / "generators" / name / f"seed{seed}" / "report.json"
        )
        path.parent.mkdir(parents=True)
        path.write_text(
            json.dumps(
                {"samples": samples, "data": {"digest": f"{name}{seed}"}, "real": {"digest": "a"}}
            )
        )
        return path

    reports = [
        report("relativistic-sampler", 1, 0.9),
        report("gan", 2, None),
        report("gan", 1, None),
    ]
    lines = succeed_here(evaluate.main, "--compare", *reports)[0].splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("| ")
    ]
    assert lines[0] == "### samplers: samples against held-out real images"
    assert cells[0] == [
        "preset",
        "sampler",
        "asked class read",
        "of real images",
        "ratio",
        "entropy of classes",
        "diversity / real",
        "nearest training image / real",
        "Fréchet distance",
        "of training images",
        "collapsed",
    ]
    assert cells[1:] == [
        ["quick", "gan seed 1", "–", "–", "–", "0.50", "0.75", "1.25", "21", "0.25", "yes"],
        ["quick", "gan seed 2", "–", "–", "–", "0.50", "0.75", "1.25", "21", "0.25", "yes"],
        [
            "quick",
            "relativistic-sampler seed 1",
            "0.45",
            "0.50",
            "0.90",
            "0.50",
            "0.75",
            "1.25",
            "21",
            "0.25",
            "no",
        ],
    ]


def test_identity_embedding_is_trained_and_exported(sample_set, tmp_path):
    draw = np.random.default_rng(1)
    for name, people in (("train", "abcd"), ("validation", "ef")):
        levels = {person: draw.random(4) for person in people}
        painted(
            tmp_path,
            name,
            [(levels[person] * draw.uniform(0.9, 1, 4), "") for person in people for _ in "123"],
            "",
        )
        table = manifest.read(tmp_path / f"{name}.csv")
        manifest.write(
            tmp_path / f"{name}.csv",
            {**table.columns, "subject": [p for p in people for _ in "123"]},
        )
    fixed = [
        "--validation",
        tmp_path / "validation.csv",
        "--arch",
        "tiny",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    _, said = succeed_here(
        identity.main,
        "--train",
        tmp_path / "train.csv",
        *fixed,
        "--steps",
        "3",
        "--batch",
        "6",
        "--out",
        tmp_path / "identity.pt",
    )
    assert "12 images of 4 people" in said and "of cases" in said
    made = tmp_path / "identity.onnx"
    succeed_here(export_onnx.main, tmp_path / "identity.pt", "--out", made)
    arguments = options_of(sample_set, "sampled")
    arguments[3] = made
    succeed_here(evaluate.main, *arguments)
    fail_here(
        3,
        "fewer than two people",
        identity.main,
        "--train",
        sample_set / "real.csv",
        *fixed,
        "--out",
        tmp_path / "other.pt",
    )


def test_verification_by_hand():
    features = np.array([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]])
    people = np.array([0, 0, 1, 1])
    assert identity.verification(features, people, np.array([0, 1, 2, 3])) == 1
    # people mixed: same-person cosines 0 and 0.198; others 0.995, 0.0995, 0.0995, 0.995: 2 of 8
    # comparisons won
    assert identity.verification(features[[0, 2, 1, 3]], people, np.array([0, 1, 2, 3])) == 0.25
    # of images without a name it is not known whether they are of one person
    unnamed = np.concatenate([features, [[1, 0], [0, 1.0]]])
    who, sessions = np.array([0, 0, 1, 1, -1, -1]), np.arange(6)
    assert identity.verification(unnamed, who, sessions) == 1
    # pairs of one session do not count where there are others: person 0's pair is left out
    assert identity.verification(features, people, np.array([0, 0, 1, 2])) == 1


def test_verification_needs_no_features_of_all_pairs():
    """400 images are 79,800 pairs: their features would be 82 MB, three times over."""
    features = np.random.default_rng(0).normal(size=(400, 256)).astype(np.float32)
    people = np.arange(400) // 2
    tracemalloc.start()
    found = identity.verification(features, people, np.full(400, -1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.3 < found < 0.7  # nothing tells these people apart
    assert peak < 40e6


def test_fisherfaces_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    draw, true = np.random.default_rng(0), np.arange(120) // 20
    people = np.repeat(draw.uniform(0, 255, (6, 4, 4, 3)), 20, 0)
    pixels = np.clip(people + draw.normal(0, 20, people.shape), 0, 255).astype(np.uint8)
    layer = torch.nn.Linear(48, 8)
    identity.fisherfaces(layer, pixels, true, 0)
    rows = (pixels.transpose(0, 3, 1, 2).reshape(120, -1) / 127.5 - 1).astype(np.float32)
    reduced = PCA(48, svd_solver="randomized", random_state=0).fit(rows).transform(rows)
    expected = LinearDiscriminantAnalysis(n_components=5).fit(reduced, true).transform(reduced)
    found = layer(torch.from_numpy(rows)).detach().numpy()
    assert found.shape == (120, 8) and not found[:, 5:].any()
    assert np.abs(expected).max() > 5 and found[:, :5] == pytest.approx(expected, abs=0.01)


def test_margin_loss_by_hand():
    # cosines 1 and 0; logits 16 (1 - 0.2) and 0
    found = identity.margin_loss(torch.tensor([[2.0, 0.0]]), torch.eye(2) * 5, torch.tensor([0]))
    assert found.item() == pytest.approx(math.log(1 + math.exp(-16 * 0.8)), abs=1e-7)


# ---- with the trainer: trained, resumed, exported ---------------------------


@pytest.fixture(scope="module")
def face_sets(tmp_path_factory):
    """(training set, validation set): coloured discs with expressions, AUs, valence and
    arousal."""
    folder = tmp_path_factory.mktemp("faces")
    for name, count in (("train", 24), ("validation", 12)):
        images.save_pack(folder / f"{name}.npy", faces(count, len(name)))
        draw = np.random.default_rng(count)
        numbers = {
            column: list(draw.random(count)) for column in ("AU01", "AU12", "valence", "arousal")
        }
        manifest.write(
            folder / f"{name}.csv",
            {
                "path": [f"{name}.npy#{k}" for k in range(count)],
                "subject": [f"{name}{k // 4}" for k in range(count)],
                **numbers,
                "expression": [("joy", "fear", "anger")[k % 3] for k in range(count)],
            },
        )
    return folder / "train.csv", folder / "validation.csv"


def trainer_of(sets, folder, arch, *config):
    """A seeded Trainer of two epochs of two steps."""
    options = train_generator.Options(
        train=[str(sets[0])],
        validation=str(sets[1]),
        out=str(folder / "g.pt"),
        arch=arch,
        config=list(config),
        epochs=2,
        decay_epochs=0,
        epoch_images=16,
        batch=8,
        device="cpu",
    )
    checkpoints.seed_all(options.seed)
    return Trainer(options, torch.device("cpu"))


TINY = {
    "gan": ["width=4"],
    "conditional-gan": ["width=4"],
    "conditional-wgan": ["width=4", "n_critic=2"],
    "categorical-gan": ["discriminator=tiny"],
    "multitask-gan": ["discriminator=tiny"],
    "relativistic-sampler": ["width=8", "widest=16", "classifier=tiny", "warmup=0"],
}


@pytest.mark.parametrize("arch", TINY)
def test_resumed_equals_uninterrupted_and_exports_agree(arch, face_sets, tmp_path):
    trainer_of(face_sets, tmp_path / "whole", arch, *TINY[arch]).train()
    cut = trainer_of(face_sets, tmp_path / "cut", arch, *TINY[arch])
    cut.finish_epoch(0, *cut.train_epoch(0), History(tmp_path / "cut" / "history.jsonl"))
    again = trainer_of(face_sets, tmp_path / "cut", arch, *TINY[arch])
    again.resume()
    again.train()
    whole, resumed = (
        checkpoints.load_finished(tmp_path / name / "g.pt") for name in ("whole", "cut")
    )
    for name, weights in whole["nets"].items():
        assert all(
            torch.equal(value, resumed["nets"][name][key]) for key, value in weights.items()
        ), name
    found = onnx_export.export(whole, tmp_path / "g.onnx", None)
    assert found["sampled"] <= 1
    meta = json.loads((tmp_path / "g.json").read_text())
    conditional = arch not in ("gan", "categorical-gan", "multitask-gan")
    assert meta["kind"] == "sampler" and meta["conditions"] == (
        ["anger", "fear", "joy"] if conditional else []
    )
    assert meta["noise"] == ("normal" if conditional else "uniform")
    if arch in ("categorical-gan", "multitask-gan", "conditional-wgan"):
        onnx_export.export(
            whole,
            tmp_path / "c.onnx",
            np.load(face_sets[0].with_suffix(".npy"))[:3],
            which="classifier",
        )
        assert json.loads((tmp_path / "c.json").read_text())["real_kind"] == (
            "score" if conditional else "probability"
        )
        check_real_as_real(tmp_path / "c.onnx", face_sets[1], whether=not conditional)


def check_real_as_real(model, test, whether):
    """evaluate.py reports the share of real images that a discriminator takes for real."""
    found = json.loads(succeed_here(evaluate.main, "--model", model, "--test", test)[0])
    pictures = np.load(test.with_suffix(".npy"))
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    real = session.run(["real"], {session.get_inputs()[0].name: pictures})[0]
    if whether:  # a score has no middle
        assert found["real_as_real"] == pytest.approx((real >= 0.5).mean())
    assert ("real_as_real" in found) == whether


def test_two_processes_train_one_sampler(face_sets, tmp_path):
    def line(folder):
        return [
            "--arch",
            "relativistic-sampler",
            "--train",
            face_sets[0],
            "--validation",
            face_sets[1],
            "--out",
            tmp_path / folder / "g.pt",
            "--epochs",
            "2",
            "--batch",
            "8",
            "--decay-epochs",
            "0",
            "--epoch-images",
            "24",
            "--device",
            "cpu",
            "--threads",
            "1",
            "--config",
            *TINY["relativistic-sampler"],
            "w_condition=0",
            "penalty_every=2",
            "classifier_dropout=0",
            "together=1",
        ]

    succeed_here(train_generator.main, *line("1"))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, ROOT / "train_generator.py", *map(str, line("2"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = []
    for folder in "12":
        lines = (tmp_path / folder / "history.jsonl").read_text().splitlines()
        state = checkpoints.load_finished(tmp_path / folder / "g.pt")
        found.append(([json.loads(text) for text in lines], state))
    (one, whole), (two, parts) = found
    # the classifier's batch norm sees half a batch in each process
    for first, second in zip(one, two, strict=True):
        for name in first.keys() - {"images_per_second", "best_epoch", "alarms", "c_condition"}:
            assert second[name] == pytest.approx(first[name], rel=1e-4, abs=2e-4), name
    # Adam moves a weight by 1e-3 a step, however small its gradient
    for name, value in whole["nets"]["generator"].items():
        assert (value - parts["nets"]["generator"][name]).abs().mean() < 2e-5, name


def test_the_trainers_alarm_says_that_samples_have_collapsed(face_sets, tmp_path):
    watch = trainer_of(face_sets, tmp_path, "gan", *TINY["gan"]).watch
    figures, _ = watch.look({"sampler": lambda noise, y: torch.zeros(len(noise), 3, 16, 16)})
    assert any("collapsed" in text for text in watch.alarms(figures, {}, 2))
    assert not watch.alarms(figures, {}, 1)  # too early
    real = torch.from_numpy(faces(64, 9)).permute(0, 3, 1, 2) / 127.5 - 1
    figures, _ = watch.look({"sampler": lambda noise, y: real[: len(noise)]})
    assert not watch.alarms(figures, {}, 2)


@pytest.mark.parametrize("backbone", ["tiny", "resnet18"])
def test_tasks_with_stages_of_their_own_share_the_maps_alone(backbone):
    labels = Labels(aus=("AU04", "AU12"), valence_arousal=True)
    config = multitask_gan.Config(size=32, discriminator=backbone, dropout=0)
    net = multitask_gan.Discriminator(config, labels)
    assert set(net.stages) == {"va", "generated"}
    au, va, generated, _ = net(torch.rand(4, 3, 32, 32))
    assert (au.shape, va.shape, generated.shape) == ((4, 2), (4, 2), (4,))
    va.sum().backward()
    has_gradient = lambda part: any(p.grad is not None and p.grad.any() for p in part.parameters())
    assert has_gradient(net.stages["va"]) and not has_gradient(net.stages["generated"])
    shared = net.trunk.trunk if backbone == "tiny" else net.trunk.net
    assert has_gradient(shared) and not has_gradient(net.trunk.features)
    assert not net.last.weight.grad[:2].any() and net.last.weight.grad[2:4].any()


def test_the_published_network_has_no_stages_of_their_own():
    labels = Labels(aus=("AU04",), valence_arousal=True)
    with pytest.raises(BadInput, match="stages=own needs another discriminator than small"):
        multitask_gan.Discriminator(multitask_gan.Config(discriminator="small"), labels)


@pytest.mark.parametrize("differs", [{}, {"stages": "own"}, {"statistics": "real"}])
def test_checkpoints_of_the_multitask_gan_once_bore_the_published_name(differs):
    config = multitask_gan.Config(
        size=16, discriminator="tiny", g_width=4, **{**generators.CATEGORICAL, **differs}
    )
    system = multitask_gan.System(BOTH, config)
    built = generators.build(
        {
            "architecture": "categorical-gan",
            "config": vars(config),
            "labels": BOTH.as_dict(),
            "nets": {name: net.state_dict() for name, net in system.nets.items()},
        }
    )
    theirs = multitask_gan if differs else categorical_gan
    assert type(built) is theirs.System
    x = torch.rand(2, 3, 16, 16)
    for read, expected in zip(built.discriminator(x), system.discriminator.eval()(x)):
        torch.testing.assert_close(read, expected)
