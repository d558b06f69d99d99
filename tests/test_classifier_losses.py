"""Losses and task weights of classifiers, worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from stripes import make_set

from lib import manifest
from lib.classifiers import heads, label_tensors, losses
from lib.classifiers.objective import Objective
from lib.classifiers.training_data import TrainingData

NAN = float("nan")


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


def test_an_occurrence_beside_levels_is_no_level(tmp_path, capsys):
    """AU12 has occurrences only, AU01 levels: AU12 is read as at least 0.4 where it is there."""
    kinds = ["occurrence"] * 10 + ["intensity"] * 10
    one = make_set(
        tmp_path,
        "one",
        20,
        "a",
        0,
        AU12=[1] * 10 + [""] * 10,
        AU01=[""] * 10 + [0.6] * 10,
        au_kind=kinds,
    )
    options = SimpleNamespace(train=[one], validation=make_set(tmp_path, "other", 8, "b", 1),
                              tasks=["au"], aus=[], size=0, allow_shared_subjects=False,
                              weights=[], upsample=0, reference="none", seed=0)
    data = TrainingData(options, torch.device("cpu"))
    assert (
        data.true["au"][:, 1].isnan().all() and data.true["au_present"][:10, 1].tolist() == [1] * 10
    )
    assert data.au_kind(["au"]) == "intensity" and data.au_kind(["au_present"]) == "occurrence"
    reading = {"au": torch.full((20, 2), 0.6)}
    loss = heads.Intensity(3, 2).loss("mse", reading, data.true, torch.ones(20))
    assert loss.item() == pytest.approx(0, abs=1e-6)  # nothing more is asked of AU12
