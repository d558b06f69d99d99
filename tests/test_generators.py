"""Generator networks, losses and targets, against values worked out by hand."""
from types import SimpleNamespace

import pytest
import torch

from lib.cli import BadInput
from lib.generators import (
    blocks,
    configure,
    editing,
    expression_manipulator,
    frame_alignment,
    losses,
    pairs,
)
from lib.generators.contract import EditBatch, EditDrawing
from lib.generators.warp_editor import PRESETS, Config, Finer, System as WarpEditor
from lib.labels import Labels
from lib.manifest import Manifest
from lib.training import Draws


def labels_of(count):
    """As many AUs."""
    return Labels(tuple(f"AU{k + 1:02d}" for k in range(count)))


def System(count, config):
    """A warp editor of so many AUs."""
    return WarpEditor(labels_of(count), config)


def small(**config):
    """Settings of a small warp editor."""
    return Config(**{"size": 16, "width": 8, "levels": 1, "stem": 4, "joined": 8,
                     "pair_emphasis": 3.0, "register_pairs": False, **config})


def batch_of(image, label, target, **more):
    """An EditBatch of pairs."""
    return EditBatch(image, {}, label, target, ~label.isnan(), ["pair"] * len(image), **more)


def parameters(network):
    return sum(value.numel() for value in network.parameters()) / 1e6


def test_paper_networks_have_the_published_size():
    with torch.device("meta"):
        system = expression_manipulator.System(labels_of(12), expression_manipulator.Config())
    assert parameters(system.generator) == pytest.approx(57.5, rel=0.02)
    assert parameters(system.discriminator) == pytest.approx(44.8, rel=0.02)


@pytest.mark.parametrize("overrides", [{}, {"stem": "2", "levels": "3"}, {"size": "96"}])
def test_networks_keep_the_image_size(overrides):
    config = configure("warp-editor", "quick", {"width": "16", **overrides})
    system = System(5, config)
    image = torch.rand(2, 3, config.size, config.size) * 2 - 1
    edited = system.generator.edit(image, torch.zeros(2, 5), torch.rand(2, 5))
    score, reading = system.discriminator(image)
    assert edited.shape == image.shape and edited.abs().max() <= 1
    assert reading.shape == (2, 5) and score.shape[:2] == (2, 1)


def test_quick_network_begins_as_the_identity_and_a_paper_sized_one_runs():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 64) * 1.8 - 0.9
    quick = System(5, Config(**PRESETS["quick"])).generator
    assert torch.allclose(quick(image, torch.ones(1, 5)), image, atol=1e-6)
    config = expression_manipulator.Config(size=32, width=8)
    published = expression_manipulator.System(labels_of(5), config).generator
    assert published(image[:, :, :32, :32], torch.ones(1, 5)).shape == (1, 3, 32, 32)


def test_only_the_difference_of_aus_counts():
    torch.manual_seed(0)
    config = expression_manipulator.Config(size=32, width=8, levels=3)
    generator = expression_manipulator.System(labels_of(4), config).generator
    image = torch.rand(1, 3, 32, 32)
    a, b = torch.tensor([[0.5, 0, 0, 0.25]]), torch.tensor([[0.75, 0, 0, 1.0]])
    assert torch.equal(generator.edit(image, a, b), generator.edit(image, a + 0.25, b + 0.25))


def test_flow_of_one_pixel_shifts_by_one_pixel():
    picture = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    flow = torch.zeros(1, 2, 4, 4)
    flow[:, 0] = 2 / 4  # one of four pixels, in halves of the width
    moved = blocks.flow_warp(picture, flow)
    assert torch.allclose(moved[..., :3], picture[..., 1:], atol=1e-5)
    assert torch.allclose(moved[..., 3], picture[..., 3], atol=1e-5)  # the border is repeated


class Linear(torch.nn.Module):
    """Score 3·sum(x), labels 2·sum(x): gradients known by hand."""

    def forward(self, x):
        total = x.sum((1, 2, 3))
        return 3 * total[:, None, None, None], 2 * total[:, None]


def test_gradient_penalties_of_a_linear_discriminator():
    x = torch.rand(4, 3, 2, 2)  # 12 entries: ‖∇score‖ = 3·√12
    expected = (3 * 12 ** 0.5 - 1) ** 2
    assert losses.gradient_penalty(Linear(), x, x + 1) == pytest.approx(expected, rel=1e-5)
    expected = {12 * 1.0 ** 2, 12 * 5.0 ** 2}  # slope 3 ± 2, as the sign falls; a mixture between
    value = losses.real_penalty(Linear(), x).item()
    assert min(expected) - 1e-3 <= value <= max(expected) + 1e-3


def test_masked_mse_skips_the_unlabelled():
    predicted = torch.tensor([[1.0, 5.0], [0.0, 1.0]])
    true = torch.tensor([[0.0, float("nan")], [0.0, 3.0]])
    assert losses.masked_mse(predicted, true) == pytest.approx((1 + 0 + 4) / 3)
    assert losses.masked_mse(predicted, torch.full((2, 2), float("nan"))) == 0


def test_total_variation_of_a_ramp():
    # rises by 1 along x, constant along y
    ramp = torch.arange(3.0).view(1, 1, 1, 3).expand(2, 3, 3, 3)
    # channels x rows x steps of 1²
    assert losses.total_variation(ramp) == pytest.approx(3 * 3 * 2)
    assert losses.total_variation(ramp * 2, power=1) == pytest.approx(3 * 3 * 2 * 2)  # … of |2|


def test_adversarial_losses_by_hand():
    real, fake = torch.tensor([2.0]), torch.tensor([0.5])
    assert losses.critic_loss("wgan-gp", real, fake) == pytest.approx(-1.5)
    assert losses.deceive_loss("wgan-gp", fake) == pytest.approx(-0.5)
    expected = 0.974077 + 0.126928
    assert losses.critic_loss("nonsaturating", real, fake) == pytest.approx(expected, abs=1e-5)


def test_augmentation_keeps_shape_and_gradient():
    x = torch.rand(8, 3, 16, 16, requires_grad=True)
    losses.augment(x).sum().backward()
    assert x.grad.abs().sum() > 0 and losses.augment(x).shape == x.shape


def faces(n, size=64):
    """Smooth random pictures [n,3,size,size] in [-1,1]."""
    return torch.nn.functional.interpolate(torch.rand(n, 3, 9, 9) * 2 - 1, size=size,
                                           mode="bicubic").clamp(-1, 1)


def test_head_movement_between_frames_is_found():
    torch.manual_seed(0)
    source = faces(4)
    true = torch.tensor([[0.02, 0.01, 0.03, -0.01, -0.02, -0.02]]).repeat(4, 1)
    found = frame_alignment.movement(source, frame_alignment.move(source, true), steps=8)
    assert (found - true).abs().max() < 0.004  # 0.03 is one pixel of 64


def test_a_movement_back_undoes_it():
    there = torch.tensor([[0.1, 0.02, 0.3, -0.03, -0.1, -0.2]])
    matrix, undo = (m.view(2, 3) + torch.eye(2, 3) for m in (there, frame_alignment.back(there)))
    point = torch.tensor([0.4, -0.7, 1.0])
    assert undo @ torch.cat([matrix @ point, torch.ones(1)]) == pytest.approx(point[:2], abs=1e-6)


def test_what_is_too_dark_can_be_painted_lighter():
    net = System(2, small()).generator
    out = torch.zeros(1, 5, 16, 16)
    out[:, :3] = -9
    out.requires_grad_()
    picture = net.paint(torch.zeros(1, 3, 16, 16), out)
    picture.sum().backward()
    assert picture.min() == picture.max() == -1 and (out.grad[:, :3] == 0.5).all()


def test_a_plain_region_is_not_chequered():
    torch.manual_seed(0)
    made = Finer(8, 4, 4)(torch.ones(1, 8, 6, 6), torch.zeros(1, 3, 24, 24))[:, :, 4:-4, 4:-4]
    assert made.abs().max() > 0 and (made - made[:, :, :1, :1]).abs().max() < 1e-6
    assert Finer(8, 4, 4)(torch.zeros(1, 8, 6, 6), torch.rand(1, 3, 24, 24)).abs().max() == 0


def test_the_warp_head_doubles_its_way_back():
    with pytest.raises(BadInput, match="power of two"):
        System(2, Config(size=24, levels=1, stem=3, d_stem=3))


def test_an_expression_is_no_head_movement():
    torch.manual_seed(0)
    source = faces(4)
    answer = source.clone()
    answer[:, :, 40:50, 24:40] = -0.5  # a mouth opens
    assert frame_alignment.movement(source, answer).abs().max() < 0.003
    blank = torch.zeros(2, 3, 64, 64)
    assert frame_alignment.movement(blank, blank).abs().max() == 0


def test_the_pair_loss_forgives_the_head_and_not_the_face():
    torch.manual_seed(0)
    pictures = faces(2)
    moved = frame_alignment.move(pictures, torch.tensor([[0, 0, 0.03, 0, 0, 0.03]]).repeat(2, 1))
    opened = moved.clone()
    opened[:, :, 36:48, 24:40] = -0.8

    def loss(answer, **config):
        system = System(2, small(size=64, levels=2, w_adversarial=0, w_condition=0, w_cycle=0,
                                 w_pair=1, shares="pair=1", **config))
        label = torch.zeros(2, 2)
        batch = batch_of(pictures, label, label, x_true=answer)
        return system.step(batch, 1)["g_pair"].item()  # an untrained warp head returns its input

    assert loss(moved, register_pairs=True) < 0.2 * loss(moved)
    assert loss(opened, register_pairs=True) > 5 * loss(moved, register_pairs=True)


def test_pairs_stay_in_their_session_and_show_rare_aus():
    sessions = ["a", "a", "b", "b", "b", ""]
    aus = torch.tensor([[0, 0.8], [0, 0], [0.9, 0], [0, 0], [0, 0], [1, 1]])
    manifest = Manifest("m", ".", {"path": list("uvwxyz"), "session": sessions})
    drawn = pairs.Pairs(manifest, aus)
    torch.manual_seed(0)
    i, j = drawn.draw(300)
    assert all(sessions[a] == sessions[b] != "" for a, b in zip(i.tolist(), j.tolist()))
    rare = ((i == 2) | (j == 2)).float().mean()
    assert rare > 0.4  # one image of five, yet in half of the pairs


def test_isolated_pairs_differ_in_one_condition():
    """J = row 0 shows AU a beside b. Rows 1-3 lack a and differ in b by 0.1, 0.2 and 0.3; row 4 by
    0.8, row 5 has a."""
    aus = torch.tensor([[0.8, 0.9], [0, 0.8], [0, 0.7], [0, 0.6], [0, 0.1], [0.8, 0.9]])
    manifest = Manifest("m", ".", {"path": list("uvwxyz"), "session": ["a"] * 6})
    drawn = pairs.Pairs(manifest, aus, isolate=1.0)
    torch.manual_seed(0)
    assert {int(drawn.isolated(0, 0, torch.tensor(9))) for _ in range(50)} == {1, 2, 3}
    # nobody shows less of what row 1 does not show
    assert int(drawn.isolated(1, 0, torch.tensor(9))) == 9
    i, j = drawn.draw(400)
    first = torch.tensor([bool({a, b} & {0, 5}) and {a, b} <= {0, 1, 2, 3, 5}
                          for a, b in zip(i.tolist(), j.tolist())])
    assert first.float().mean() > 0.4  # half of the draws are of AU a: all those, and some of b's


def toy_batch(aus, sessions, count=400, shares="pair=1", doubles=False, world=1):
    """A batch of images that are black but for their row's number."""
    manifest = Manifest("m", ".", {"path": ["x"] * len(sessions), "session": sessions})
    data = SimpleNamespace(manifest=manifest, weight=torch.ones(len(sessions)),
                           images=lambda rows: rows.float().view(-1, 1, 1, 1).expand(-1, 3, 2, 2))
    parts = (part.split("=") for part in shares.split(","))
    drawing = EditDrawing({kind: float(share) for kind, share in parts}, doubles=doubles)
    system = SimpleNamespace(drawing=drawing, labels=labels_of(aus.shape[1]),
                             draw=Draws(0, world))
    torch.manual_seed(0)
    return editing.Batches(data, aus, system, flip=False).draw(count)


def test_every_process_needs_a_pair_where_any_has_one():
    """Of 4 rows 3 are pairs: with 4 processes the last would have none, and the others would wait
    for it."""
    aus, sessions = torch.tensor([[0.8], [0.0], [0.4]]), ["a"] * 3
    shares = "pair=3,permuted=1"
    assert toy_batch(aus, sessions, 2, shares, world=2).kinds == ["pair"] * 2
    with pytest.raises(BadInput, match="3 of a batch's 4 rows are pairs .* 4 processes"):
        toy_batch(aus, sessions, 1, shares, world=4)


def test_pairs_ask_only_for_what_both_images_label():
    nan = float("nan")
    aus = torch.tensor([[0.8, nan, 0.2], [0.0, nan, nan], [nan, 0.9, nan], [nan, 0.1, 0.5],
                        [nan, nan, nan]])
    batch = toy_batch(aus, ["a", "a", "a", "b", "b"])
    i, j = batch.x_real[:, 0, 0, 0].long(), batch.x_true[:, 0, 0, 0].long()
    asked = {(a, b): change
             for a, b, change in zip(i.tolist(), j.tolist(), (batch.y_trg - batch.y_org).tolist())}
    # 2 shares no label with 0 and 1, and 3 is alone, as 4 has none; one of the two shows an AU
    assert set(asked) == {(0, 0), (0, 1), (1, 0), (2, 2)}
    assert asked[0, 1] == pytest.approx([-0.8, 0, 0]) and asked[1, 0] == pytest.approx([0.8, 0, 0])
    assert asked[0, 0] == asked[2, 2] == [0, 0, 0]
    assert not (batch.y_org.isnan().any() or batch.y_trg.isnan().any())
    assert batch.labels["au"].isnan().any()
    assert torch.equal(batch.labels["au"].isnan(), ~batch.known)


@pytest.mark.parametrize("kind", ["single", "change", "permuted", "self"])
def test_unknown_aus_are_never_asked_to_change(kind):
    aus = torch.tensor([[0.8, float("nan"), 0.0], [float("nan"), 0.5, 0.1]])
    batch = toy_batch(aus, ["", ""], shares=f"{kind}=1")
    change = batch.y_trg - batch.y_org
    assert not change[~batch.known].any() and change[batch.known].any() == (kind != "self")
    if kind == "single":  # one of the two AUs that are known, each about as often
        chosen = (batch.y_trg > 0)[batch.known].view(-1, 2).float()
        assert (chosen.sum(1) == 1).all() and 0.4 < chosen.mean(0)[0] < 0.6


def test_doubles_have_the_aus_of_the_source_and_are_others_of_its_session():
    nan = float("nan")
    aus = torch.tensor([[0.0, 1], [0, 1], [0, 0.9], [0, nan], [1, 0], [0, 1], [0, 1], [1, nan],
                        [1, 1]])
    batch = toy_batch(aus, ["a"] * 5 + ["b"] * 4, doubles=True)
    number = lambda pictures: pictures[:, 0, 0, 0].long().tolist()
    found = {}
    for row, double in zip(number(batch.x_real), number(batch.x_double)):
        found.setdefault(row, set()).add(double)
    # an AU that the source knows and the other does not counts as wholly different, one unknown to
    # the source as nothing
    assert found == {0: {1}, 1: {0}, 2: {0, 1}, 3: {0, 1, 2}, 4: {2}, 5: {6}, 6: {5}, 7: {8},
                     8: {5, 6, 7}}
    assert toy_batch(aus, ["a"] * 5 + ["b"] * 4).x_double is None


def test_comparing_changes_does_not_ask_for_noise_to_go():
    """Grids of one digit in noise: the edit that draws the digit is best; compared with J, the one
    that wipes all is."""
    torch.manual_seed(0)
    digit = torch.zeros(1, 3, 16, 16)
    digit[..., 4:12, 7:9] = 0.3
    noise = lambda: torch.randn(1024, 1, 16, 16).expand(-1, 3, -1, -1) * 0.4
    image, double, answer = noise(), noise(), digit + noise()
    label = torch.zeros(1024, 1)
    batch = batch_of(image, label, label + 1, x_true=answer, x_double=double)
    edits = {"draws": image + digit, "leaves": image, "wipes": digit.expand(1024, -1, -1, -1)}
    system = System(1, small(doubles=True))
    changes = {name: system.change_loss(edit, batch, image).item() for name, edit in edits.items()}
    answers = {name: system.pair_loss(edit, batch, image).item() for name, edit in edits.items()}
    assert min(changes, key=changes.get) == "draws" and min(answers, key=answers.get) == "wipes"
    # 16 of 256 pixels at 0.3, 8 of 64 at 0.15, 4 of 16 at 0.075; noise has its own share in all
    # three edits
    energy = (16 / 256 * 0.3 ** 2 + 4 * 8 / 64 * 0.15 ** 2 + 16 * 4 / 16 * 0.075 ** 2) / 21
    assert changes["leaves"] - changes["draws"] == pytest.approx(energy, rel=0.2)


@pytest.mark.parametrize("position", [0, 4])
def test_only_a_map_of_positions_tells_places_of_a_black_picture_apart(position):
    torch.manual_seed(0)
    net = System(1, small(size=64, position=position)).generator
    torch.nn.init.normal_(net.head.weight, std=0.05)
    black = torch.full((2, 3, 64, 64), -1.0)
    drawn = net.paint(torch.zeros_like(black),
                      net.head(net.finer(torch.ones(2, 8, 16, 16), black)))[..., 16:48, 16:48]
    assert (drawn.std((2, 3)).max() > 1e-3) == bool(position) and torch.equal(drawn[0], drawn[1])
    assert torch.equal(net(black, torch.zeros(2, 1)), black)


def test_weights_say_how_often_images_are_drawn():
    manifest = Manifest("m", ".", {"path": list("abcdef"), "subject": list("xxyyzz")})
    aus = torch.tensor([[0.0], [0.6]] * 3)
    drawn = pairs.Pairs(manifest, aus, weight=torch.tensor([1.0, 3.0, 1.0, 1.0, 0.0, 0.0]))
    torch.manual_seed(0)
    share = torch.bincount(drawn.rows(6000), minlength=6) / 6000
    assert share == pytest.approx([1 / 6, 1 / 2, 1 / 6, 1 / 6, 0, 0], abs=0.03)
    i, j = drawn.draw(3000)
    assert drawn.count == 4 and max(i.max(), j.max()) == 3
    # J shows the AU: image 1 with weight 3 or image 3 with weight 1
    assert ((i < 2).float().mean(), (j < 2).float().mean()) == pytest.approx((0.75, 0.75), abs=0.03)
    even = pairs.Pairs(manifest, aus, weight=torch.full((6,), 0.5))
    assert even.weight is None and even.count == 6


def test_no_pairs_without_people():
    manifest = Manifest("m", ".", {"path": ["a", "b"]})
    assert pairs.Pairs(manifest, torch.zeros(2, 1)).count == 0


def test_targets_by_kind():
    torch.manual_seed(0)
    source = torch.tensor([[0.8, 0.0, float("nan")]] * 4)
    target = pairs.draw(["self", "single", "change", "permuted"], source, torch.full((5, 3), 0.5),
                        labels_of(3))
    assert torch.equal(target[0, :2], source[0, :2])
    assert (torch.nan_to_num(target[1]) > 0).sum() == 1
    assert ((target[2] != source[2])[:2]).sum() <= 1
    # unknown stays unknown
    assert ((target[3, :2] - 0.5).abs() <= 0.1 + 1e-6).all() and target[:, 2].isnan().all()


def test_shares_fill_the_batch():
    assert pairs.share_out(8, {"self": 1, "single": 3}) == ["self"] * 2 + ["single"] * 6
    assert len(pairs.share_out(7, {"a": 1, "b": 1, "c": 1})) == 7


def test_targets_of_expressions_and_feelings():
    torch.manual_seed(0)
    labels = Labels(("AU12",), True, ("anger", "joy"))  # AU12, valence, arousal, anger, joy
    source = torch.tensor([[0.2, 0.1, -0.1, 1.0, 0.0]]).repeat(60, 1)
    pool = torch.tensor([[0.9, -1.0, 1.0, 0.0, 1.0]])
    permuted = pairs.draw(["permuted"] * 60, source, pool, labels, jitter=0.1)
    assert (permuted[:, 3:] == pool[:, 3:]).all()  # classes are not jittered
    # -1 ± 0.1, kept in [-1, 1]
    assert permuted[:, 1:3].abs().max() <= 1 and permuted[:, 1].max() > -1
    free = pairs.draw(["permuted"] * 60, source, pool, labels, jitter=0.1, clamp=False)
    assert free[:, 1].min() < -1
    single = pairs.draw(["single"] * 60, source, pool, labels)
    classes = single[:, 3:]
    assert ((classes == 0) | (classes == 1)).all() and (classes.sum(1) == 1).all()
    assert (single[:, 1:3] != source[:, 1:3]).any(1).float().mean() > 0.2


def test_source_noise_is_shared_with_the_labels_and_targets_may_leave_the_range():
    manifest = Manifest("m", ".", {"path": ["x"] * 4})
    data = SimpleNamespace(manifest=manifest, weight=torch.ones(4),
                           images=lambda rows: torch.zeros(len(rows), 3, 32, 32))
    drawing = EditDrawing({"permuted": 1.0}, target_noise=0.1, source_noise=0.02, clamp=False,
                          crop=True)
    system = SimpleNamespace(drawing=drawing, labels=labels_of(2), draw=Draws())
    torch.manual_seed(0)
    batch = editing.Batches(data, torch.tensor([[0.0, 1.0]] * 4), system).draw(200)
    assert torch.equal(batch.labels["au"], batch.y_org) and batch.x_real.shape == (200, 3, 32, 32)
    assert 0 < (batch.y_org - torch.tensor([0.0, 1.0])).abs().max() <= 0.02
    assert batch.y_trg.max() > 1.02 and batch.y_trg.min() < -0.02
