"""Recipes: how many edits of what, which AUs they set, and that the same seed makes the same
plan."""
from collections import Counter

import numpy as np
import pytest

from lib import cli, recipes
from lib.cli import BadInput

AUS = ["AU01", "AU02", "AU06", "AU12"]
NEUTRAL = np.zeros((3, 4), np.float32)


def even(counts, members):
    """Whether every member is counted, and no two counts differ by more than one."""
    return set(counts) == set(members) and max(counts.values()) - min(counts.values()) <= 1


def test_single_au_makes_one_image_an_au_of_each_face():
    aus = [f"AU{k:02d}" for k in range(1, 21)]
    plan = recipes.make("single-au", np.zeros((1, 20), np.float32), aus)
    assert len(plan) == 20 and sorted(plan.edit) == [f"{au}=0.7" for au in aus]
    order = [aus.index(text[:4]) for text in plan.edit]
    assert np.array_equal(plan.target, np.eye(20, dtype=np.float32)[order] * np.float32(0.7))


@pytest.mark.parametrize("count", [1, 5, 11, 12, 30])
@pytest.mark.parametrize("sources", [1, 3, 4, 6])
def test_counts_are_even_over_aus_and_sources_without_repeats(count, sources):
    plan = recipes.make("single-au", np.zeros((sources, 4), np.float32), AUS, count=count,
                        levels=(1, 1))
    assert len(plan) == count and list(plan.source) == sorted(plan.source)
    assert even(Counter(plan.edit), plan.edit) and even(Counter(plan.source), plan.source)
    if count >= 4:
        assert len(set(plan.edit)) == 4
    if count >= sources:
        assert len(set(plan.source)) == sources
    assert len(set(zip(plan.source, plan.edit))) == min(count, 4 * sources)


def test_same_seed_same_plan_and_another_seed_another():
    plans = [recipes.make("single-au", NEUTRAL, AUS, count=7, levels=(0.3, 1), seed=seed)
             for seed in (1, 1, 2)]
    assert np.array_equal(plans[0].target, plans[1].target) and plans[0].edit == plans[1].edit
    assert not np.array_equal(plans[0].target, plans[2].target)
    levels = plans[0].target.max(1)
    assert levels.min() >= 0.3 and levels.max() <= 1 and len(set(levels)) == 7


@pytest.fixture(autouse=True)
def no_notes_of_others(capsys):
    said(capsys)


def said(capsys):
    """What the command would say at its end."""
    cli.say_notes()
    return capsys.readouterr().err


def test_more_than_there_is_to_make_is_said(capsys):
    recipes.make("single-au", NEUTRAL, AUS, count=13)
    assert ("3 sources x 4 edits make 12 different images; the other 1 of --count repeat"
            in said(capsys))
    recipes.make("single-au", NEUTRAL, AUS, count=13, levels=(0.5, 0.9))
    assert not said(capsys)


def test_emotions_are_those_whose_aus_the_model_has(capsys):
    plan = recipes.make("emotions", NEUTRAL, AUS, levels=(0.5, 0.5))
    assert set(plan.expression) == {"happiness", "surprise"} and len(plan) == 6
    rows = dict(zip(plan.expression, plan.target.tolist()))
    assert rows == {"happiness": [0, 0, .5, .5], "surprise": [.5, .5, 0, 0]}
    assert "anger: left out; of its AUs AU04, AU05, AU07, AU23 the model has none" in said(capsys)
    with pytest.raises(BadInput, match="too few"):
        recipes.make("emotions", NEUTRAL[:, :1], ["AU01"])


def test_deactivate_switches_one_active_au_off_and_keeps_the_others():
    source = np.array([[.8, .4, .1, 0], [0, 0, 0, .3], [np.nan, 1, 0, 0]], np.float32)
    plan = recipes.make("deactivate", source, AUS)
    assert list(zip(plan.source, plan.edit)) == [(0, "AU01=0"), (0, "AU02=0"), (2, "AU02=0")]
    assert plan.target[0] == pytest.approx([0, .4, .1, 0]) and np.isnan(plan.target[2, 0])
    many = recipes.make("deactivate", source, AUS, count=9)
    assert even(Counter(many.edit), ["AU01=0", "AU02=0"])
    with pytest.raises(BadInput, match="no source shows an AU"):
        recipes.make("deactivate", NEUTRAL, AUS)


def test_activate_switches_one_absent_au_on_and_keeps_the_others():
    """AU01 and AU02 of the first row are there already; what is unlabelled is not absent."""
    source = np.array([[.8, .4, .1, 0], [np.nan, 1, 0, .3]], np.float32)
    plan = recipes.make("activate", source, AUS, levels=(0.7, 0.7))
    absent = [(0, f"{AUS[2]}=0.7"), (0, f"{AUS[3]}=0.7"), (1, f"{AUS[2]}=0.7")]
    assert list(zip(plan.source, plan.edit)) == absent
    assert plan.target[0] == pytest.approx([.8, .4, .7, 0])
    assert plan.target[2, 1:] == pytest.approx([1, .7, .3]) and np.isnan(plan.target[2, 0])
    many = recipes.make("activate", source, AUS, count=9, levels=(0.3, 1), only=[AUS[3], AUS[2]])
    assert even(Counter(edit[:4] for edit in many.edit), AUS[2:])
    assert all(0.3 <= float(edit[5:]) <= 1 for edit in many.edit)
    assert {float(edit[5:]) for edit in many.edit} <= {round(float(v), 4) for v in np.nan_to_num(
        many.target).ravel()}
    with pytest.raises(BadInput, match="every source shows AU02, or an AU that cannot"):
        recipes.make("activate", source, AUS, only=["AU02"])
    with pytest.raises(BadInput, match="no source has labels of AU01; read them with"):
        recipes.make("activate", source[1:], AUS, only=["AU01"])


def test_activate_adds_no_au_that_cannot_go_with_another():
    """One jaw: a face with AU27 gets no AU26; a face with a trace of it may."""
    source = np.array([[0, .8], [0, .1]], np.float32)
    plan = recipes.make("activate", source, ["AU26", "AU27"])
    assert list(zip(plan.source, plan.edit)) == [(1, "AU26=0.7"), (1, "AU27=0.7")]


def test_random_draws_target_rows_or_independent_aus():
    targets = np.array([[1, 0, 0, 0], [0, .5, .5, 0]], np.float32)
    plan = recipes.make("random", NEUTRAL, AUS, count=8, targets=targets)
    assert even(Counter(map(tuple, plan.target)), map(tuple, targets))
    assert even(Counter(plan.source), range(3))
    lone = recipes.make("random", np.zeros((4000, 2), np.float32), ["AU26", "AU27"],
                        levels=(0.4, 0.8))
    on = lone.target > 0
    assert not on.all(1).any()  # one jaw
    # 0.2 less half of the 0.04 with both
    assert on.mean(0) == pytest.approx([0.18, 0.18], abs=0.02)
    assert lone.target[on].min() >= 0.4 and lone.target.max() <= 0.8


def test_reweight_makes_every_level_of_every_au_equally_often(capsys):
    targets = np.array([[.2, 0, 0, 0]] * 9 + [[1, .4, 0, 0], [0, 0, 0, .6]], np.float32)
    plan = recipes.make("reweight", targets, AUS, count=40)
    assert Counter(plan.edit) == {"AU01=0.2": 10, "AU01=1": 10, "AU02=0.4": 10, "AU12=0.6": 10}
    assert "nothing to draw" in said(capsys)
    for source, target, edit in zip(plan.source, plan.target, plan.edit):
        au = AUS.index(edit[:4])
        assert targets[source, au] < 0.2 and target[au] == pytest.approx(float(edit[5:]))


def test_balanced_makes_level_0_as_often_as_the_others(capsys):
    targets = np.array([[.2, 0, 0, 0]] * 9 + [[1, .4, 0, 0], [0, 0, 0, .6]], np.float32)
    plan = recipes.make("balanced", targets, AUS, count=80)
    assert Counter(plan.edit) == {
        **dict.fromkeys(["AU01=0.2", "AU01=1", "AU02=0.4", "AU12=0.6"], 10),
        **dict.fromkeys([f"{au}=0" for au in AUS], 10)
    }
    said(capsys)


def test_occurrences_are_no_levels_to_draw(capsys):
    """Of three target rows the first has occurrences: its AU01 at 1 is not level 5. `random` takes
    it, and says so of its edits."""
    targets = np.array([[1, 0, 0, 0], [0, .4, 0, 0], [0, 0, 0, .6]], np.float32)
    occurs = np.array([True, False, False])
    plan = recipes.make("reweight", NEUTRAL, AUS, count=6, targets=targets, occurs=occurs)
    assert Counter(plan.edit) == {"AU02=0.4": 3, "AU12=0.6": 3} and not plan.occurs.any()
    assert "nothing to draw AU01 at 0.2" in said(capsys)
    plan = recipes.make("balanced", targets, AUS, count=12, occurs=occurs)  # of the sources
    assert Counter(plan.edit) == {**dict.fromkeys([f"{au}=0" for au in AUS], 2), "AU02=0.4": 2,
                                  "AU12=0.6": 2}
    plan = recipes.make("random", NEUTRAL, AUS, count=6, targets=targets, occurs=occurs)
    assert plan.occurs.tolist() == (plan.target[:, 0] == 1).tolist() and plan.occurs.sum() == 2
    for given in ({}, {"targets": targets}):
        with pytest.raises(BadInput, match="--recipe balanced: .* are occurrences"):
            recipes.make("balanced", targets, AUS, occurs=np.ones(3, bool), **given)


def test_some_aus_only(capsys):
    """Of AU02 and AU12 each neutral face gets one edit; only AU01 of the first row is switched
    off; AU01's three levels, of which rows have 0, 0.2 and 1, take ten of thirty edits each."""
    plan = recipes.make("single-au", NEUTRAL, AUS, only=["AU12", "AU02"])
    assert Counter(plan.edit) == {"AU02=0.7": 3, "AU12=0.7": 3}
    assert plan.target.sum(0) == pytest.approx([0, 2.1, 0, 2.1])
    source = np.array([[.8, .4, .1, 0], [0, .6, 0, .3]], np.float32)
    plan = recipes.make("deactivate", source, AUS, only=["AU01", "AU12"])
    assert list(zip(plan.source, plan.edit)) == [(0, "AU01=0")]
    assert plan.target[0] == pytest.approx([0, .4, .1, 0])
    with pytest.raises(BadInput, match="no source shows AU12 at 0.4 or more"):
        recipes.make("deactivate", source, AUS, only=["AU12"])
    targets = np.array([[.2, 0, 0, 0]] * 9 + [[1, .4, 0, 0], [0, 0, 0, .6]], np.float32)
    plan = recipes.make("balanced", targets, AUS, count=30, only=["AU01"])
    assert Counter(plan.edit) == {"AU01=0": 10, "AU01=0.2": 10, "AU01=1": 10}
    rows = {tuple(row) for row in targets.tolist()}
    assert {tuple(row) for row in plan.target.tolist()} <= rows  # targets are whole rows
    assert "nothing to draw AU01 at 0.4, AU01 at 0.6, AU01 at 0.8 from" in said(capsys)
    with pytest.raises(BadInput, match="none of AU06 has both rows"):
        recipes.make("reweight", targets, AUS, only=["AU06"])


def test_the_rarest_aus_are_those_that_the_fewest_rows_show(capsys):
    """AU01 is shown by 2 rows, AU06 by 1 of the 2 that are labelled, AU12 by 1; AU02 has no
    label, which is not absence."""
    unknown = np.nan
    present = np.array([[1, unknown, 1, 0], [1, unknown, 0, 1], [0, unknown, unknown, 0]])
    assert recipes.rarest(present, AUS, 1) == ["AU06"]
    assert recipes.rarest(present, AUS, 2) == ["AU06", "AU12"]
    assert "rarest:2: AU06 (in 1 of 3 rows), AU12 (in 1 of 3 rows)" in said(capsys)
    assert recipes.rarest(present, AUS, 3) == ["AU01", "AU06", "AU12"]
    with pytest.raises(BadInput, match="rarest:4: the sources have labels of 3 of the AUs"):
        recipes.rarest(present, AUS, 4)


def test_explicit_edits_keep_the_other_aus():
    plan = recipes.make("single-au", NEUTRAL, AUS, values={"AU12": 0.8, "AU06": 0.5})
    assert plan.edit == ["AU12=0.8 AU06=0.5"] * 3
    assert np.isnan(plan.target[:, :2]).all() and plan.target[0, 2:] == pytest.approx([.5, .8])
    with pytest.raises(BadInput, match="AU45: the model does not know it"):
        recipes.make("single-au", NEUTRAL, AUS, values={"AU45": 1})


def test_neutral_sources():
    source = np.array([[0, .1], [0, .3], [np.nan, 0]], np.float32)
    assert list(recipes.neutral(source, 0.2)) == [0]
    with pytest.raises(BadInput, match="nearest has an AU at 0.3000. Raise --neutral-below"):
        recipes.neutral(source[1:], 0.2)
    with pytest.raises(BadInput, match="--classifier FILE.onnx, or say --assume-neutral"):
        recipes.neutral(source[2:], 0.2)
