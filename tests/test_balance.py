"""Raking against a case worked out by hand."""
import numpy as np
import pytest

from lib.balance import rake


def test_one_label_is_solved_exactly():
    present = np.array([[1], [0], [0], [0]], bool)  # a quarter; half is wanted
    weights = rake(present, [0.5])
    assert weights == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3], abs=1e-3)


def test_two_labels_reach_both_shares_and_keep_the_mean():
    rng = np.random.default_rng(0)
    present = rng.random((2000, 2)) < [0.5, 0.1]
    weights = rake(present, [0.2, 0.3])
    assert np.average(present, axis=0, weights=weights) == pytest.approx([0.2, 0.3], abs=0.002)
    assert weights.mean() == pytest.approx(1)


def test_an_absent_label_is_left_alone_and_weights_stay_finite():
    weights = rake(np.zeros((5, 1), bool), [0.5])
    assert weights == pytest.approx(np.ones(5))
