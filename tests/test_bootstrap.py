"""Bootstrap intervals over people, against plain loops over resamples and against scipy."""
import time

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from lib.evaluation import bootstrap, intervals, metrics

NAN = np.nan


def readings(people=12, each=9, aus=3, seed=0):
    """truth [N,A] in [0, 1] with gaps, scores that follow it, subjects."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 6, (people * each, aus)) / 5
    scores = np.clip(truth * 0.6 + rng.normal(0.1, 0.2, truth.shape), 0, 1)
    truth[rng.random(truth.shape) < 0.1] = NAN
    return truth, scores, [f"p{i // each}" for i in range(people * each)]


def test_each_resample_is_what_metrics_say_of_the_repeated_images():
    truth, scores, subjects = readings()
    people = bootstrap.People.of(subjects, resamples=5, seed=3)
    found = intervals.au_resampled(truth, scores, 0.4, 0.5, np.ones(len(truth), bool), people,
                                   [0, 1])
    for b in range(5):
        rows = np.repeat(np.arange(len(truth)), people.weights[b, people.of_image].astype(int))
        on, said = metrics.present(truth[rows], 0.4), metrics.present(scores[rows], 0.5)
        one = metrics.detection(on[:, 1], said[:, 1])
        for name in ("f1", "fdr", "accuracy", "precision", "recall"):
            assert found["per_au"][name][b, 1] == pytest.approx(one[name])
        for name in ("pcc", "icc", "mse", "mae"):
            expected = getattr(metrics, name)(truth[rows, 1], scores[rows, 1])
            assert found["per_au"][name][b, 1] == pytest.approx(expected)
        assert found["per_au"]["auc"][b, 1] == pytest.approx(metrics.auc(on[:, 1], scores[rows, 1]))
        assert found["pooled"]["fdr"][b] == pytest.approx(metrics.detection(on, said)["fdr"])
        of_pair = metrics.detection(on[:, :2], said[:, :2])["f1"]
        assert found["pair"]["f1"][b] == pytest.approx(of_pair)
        each = [metrics.detection(on[:, k], said[:, k])["f1"] for k in range(3)]
        assert found["mean"]["f1"][b] == pytest.approx(np.mean(each))


def test_levels_that_never_vary_in_the_truth_have_no_icc():
    people = bootstrap.People.of(["a", "a", "b", "b"])
    truth = np.array([[.2, .6], [.2, .2], [.2, .8], [.2, 0]])
    said = np.array([[.1, .2], [.3, .2], [.2, .2], [.6, .2]])
    sums = bootstrap.level_sums(people, truth, said).sum(0)
    numbers = bootstrap.level_numbers(sums)
    assert np.isnan(numbers["icc"][0]) and np.isnan(numbers["ccc"][0])
    assert (numbers["icc"][1], numbers["ccc"][1]) == (0, 0)
    assert numbers["mse"][0] == pytest.approx((.01 + .01 + 0 + .16) / 4)


def test_auc_of_more_people_than_a_matrix_holds():
    rng = np.random.default_rng(4)
    people = bootstrap.People.of([""] * 600, resamples=6)  # without names: each image is alone
    on = rng.integers(0, 2, (600, 2)).astype(float)
    on[rng.random(on.shape) < 0.1] = NAN
    scores = np.round(on * 0.2 + rng.random(on.shape), 1)  # many are equal
    scores[np.isnan(scores)] = 0.5
    assert people.count > bootstrap.MOST_FOR_PAIRS
    found = bootstrap.auc_resampled(people, on, scores)
    for k in range(2):
        known = ~np.isnan(on[:, k])
        said = on[known, k], scores[known, k]
        expected = [reference.roc_auc_score(*said, sample_weight=weights[known])
                    for weights in people.weights]
        assert found[:, k] == pytest.approx(expected)
        by_pairs = bootstrap.auc_by_pairs(people.weights, people.of_image[known], said[0] > 0.5,
                                          said[1])
        assert found[:, k] == pytest.approx(by_pairs)
    on[:, 1] = 1  # nothing to tell apart
    assert np.isnan(bootstrap.auc_resampled(people, on, scores)[:, 1]).all()
    on[:, 0] = NAN  # nothing known
    assert np.isnan(bootstrap.auc_resampled(people, on, scores)[:, 0]).all()


def test_va_and_expressions_in_a_resample():
    rng = np.random.default_rng(1)
    truth, predicted = rng.uniform(-1, 1, (2, 60, 2))
    truth[3, 0] = NAN
    people = bootstrap.People.of([f"p{i % 10}" for i in range(60)], resamples=2)
    found = intervals.va_resampled(truth, predicted, people)
    rows = np.repeat(np.arange(60), people.weights[1, people.of_image].astype(int))
    for name in ("ccc", "pcc", "mse", "sign_agreement"):
        expected = getattr(metrics, name)(truth[rows, 0], predicted[rows, 0])
        assert found["valence"][name][1] == pytest.approx(expected)
    classes, said = rng.integers(-1, 3, 60), rng.integers(0, 3, 60)
    numbers = intervals.expression_resampled(classes, said, 3, people)
    kept = rows[classes[rows] >= 0]
    assert numbers["accuracy"][1] == pytest.approx(np.mean(classes[kept] == said[kept]))
    assert numbers["macro_f1"][1] == pytest.approx(reference.f1_score(
        classes[kept], said[kept], labels=np.unique(classes[kept]), average="macro",
        zero_division=0
    ))


def test_without_resampling_the_numbers_are_the_reports():
    truth, scores, subjects = readings(seed=4)
    people = intervals.whole(bootstrap.People.of(subjects, resamples=2))
    found = intervals.au_resampled(truth, scores, 0.4, 0.5, np.ones(len(truth), bool), people)
    assert found["per_au"]["icc"][0, 2] == pytest.approx(metrics.icc(truth[:, 2], scores[:, 2]))


def test_the_interval_of_a_mean_agrees_with_scipy():
    rng = np.random.default_rng(2)
    error = rng.uniform(0, 1, 80)  # one image a person: the mean absolute error is a plain mean
    people = bootstrap.People.of([f"p{i}" for i in range(80)], resamples=4000)
    sums = bootstrap.level_sums(people, np.zeros((80, 1)), error[:, None])
    numbers = bootstrap.level_numbers(people.resampled(sums))
    low, high = bootstrap.interval(numbers["mae"][:, 0])
    other = stats.bootstrap((error,), np.mean, n_resamples=4000, method="percentile",
                            rng=0).confidence_interval
    assert (low, high) == (pytest.approx(other.low, abs=0.006),
                           pytest.approx(other.high, abs=0.006))


def test_people_count_not_images():
    """Ten people whose images are all alike: the interval is that of ten images, not of a
    thousand."""
    right = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0.0]).repeat(100)[:, None]
    people = bootstrap.People.of([f"p{i // 100}" for i in range(1000)])
    alone = bootstrap.People.of([""] * 1000)
    widths = []
    for each in (people, alone):
        sums = each.resampled(bootstrap.detection_sums(each, np.ones((1000, 1)), right))
        low, high = bootstrap.interval(bootstrap.detection_numbers(sums)["recall"][:, 0])
        widths.append(high - low)
    assert (people.unit, alone.unit) == ("subject", "image")
    # 2 x 1.96 x sqrt(.24 / n)
    assert widths[0] == pytest.approx(0.6, abs=0.11) and widths[1] < 0.07


def test_one_person_and_undefined_numbers_have_no_interval():
    people = bootstrap.People.of(["a", "a"])
    assert bootstrap.intervals({"f1": np.ones(1000)}, people) == {"f1": None}
    several = bootstrap.People.of(["a", "b"])
    assert bootstrap.intervals({"f1": np.full(1000, NAN), "fdr": np.ones(1000)}, several) \
        == {"f1": None, "fdr": [1, 1]}


def test_paired_differences():
    rng = np.random.default_rng(5)
    people = bootstrap.People.of([f"p{i // 5}" for i in range(200)])
    truth = (rng.random((200, 1)) < 0.5).astype(float)
    good, bad = (np.where(rng.random((200, 1)) < chance, truth, 1 - truth) for chance in (0.9, 0.6))

    def accuracy(said):
        return bootstrap.detection_numbers(people.resampled(
            bootstrap.detection_sums(people, truth, said)))["accuracy"][:, 0]

    found = bootstrap.difference(accuracy(good), accuracy(bad), people)
    assert found["interval"][0] > 0.1 and found["p"] == pytest.approx(2 / 1001)
    same = bootstrap.difference(accuracy(good), accuracy(good), people)
    assert same == {"interval": [0, 0], "p": 1}


def test_quick_enough():
    """5,000 images of 100 people, 20 AUs: under 2 s of computing."""
    rng = np.random.default_rng(0)
    truth, scores = rng.random((2, 5000, 20))
    before = time.process_time()
    people = bootstrap.People.of([f"p{i // 50}" for i in range(5000)])
    found = intervals.au_resampled(truth, scores, 0.4, 0.5, np.ones(5000, bool), people)
    intervals.au_section(found, list("abcdefghijklmnopqrst"), people)
    assert time.process_time() - before < 2
