"""Metrics against values worked out by hand, published examples, scipy and scikit-learn."""
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from lib.cli import BadInput
from lib.evaluation import classifier_report, metrics
from lib.manifest import parse

NAN = np.nan


def test_detection_by_hand():
    truth = [1, 1, 1, 0, 0, NAN, 0, 0]
    # TP 2, FN 1, FP 1, TN 3; the unlabelled one does not count
    predicted = [1, 1, 0, 1, 0, 1, 0, 0]
    assert metrics.counts(truth, predicted) == (2, 1, 1, 3)
    row = metrics.detection(truth, predicted)
    assert row == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "fdr": 1 / 3,
                                 "accuracy": 5 / 7, "support": 3})


def test_detection_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    truth, predicted = rng.random((2, 500)) < 0.3
    row = metrics.detection(truth, predicted)
    assert row["f1"] == pytest.approx(reference.f1_score(truth, predicted))
    assert row["precision"] == pytest.approx(reference.precision_score(truth, predicted))
    assert row["recall"] == pytest.approx(reference.recall_score(truth, predicted))
    assert row["accuracy"] == pytest.approx(reference.accuracy_score(truth, predicted))


def test_undefined_is_none_and_a_mean_says_what_it_leaves_out():
    silent = metrics.detection([1, 0], [0, 0])    # nothing predicted: no precision, but an F1 of 0
    assert silent["precision"] is None and silent["fdr"] is None
    assert (silent["f1"], silent["recall"]) == (0, 0)
    absent = metrics.detection([0, 0], [0, 0])    # nothing there either
    assert (absent["f1"], absent["recall"], absent["accuracy"]) == (None, None, 1)
    assert metrics.detection([NAN], [1])["accuracy"] is None
    mean = metrics.mean_of([silent, absent, metrics.detection([1, 0], [1, 1])])
    assert mean["fdr"] == 0.5
    assert mean["f1"] == pytest.approx((0 + 2 / 3) / 2)
    assert mean["support"] == 2
    assert mean["left_out"] == {"precision": 2, "recall": 1, "f1": 1, "fdr": 2}
    for function in (metrics.pcc, metrics.icc, metrics.ccc):
        assert function([0.5, 0.5], [0.5, 0.5]) is None and function([1], [1]) is None
        assert function([0.5, 0.5, 0.5], [0.1, 0.5, 0.7]) is None  # no truth to follow
    for function in (metrics.icc, metrics.ccc):  # a reading that never varies follows nothing
        assert function([0.1, 0.5, 0.7], [0.5, 0.5, 0.5]) == pytest.approx(0)
    assert metrics.mse([NAN], [1]) is None and metrics.auc([1, 1], [0, 1]) is None


def test_quotients_and_means_of_what_is_undefined():
    assert metrics.ratio(1, 4) == 0.25 and metrics.ratio(0.0, 2.0) == 0.0
    for numerator, denominator in (
        (1, 0), (1, None), (None, 1), (NAN, 1), (1, NAN), (1, -2)
    ):
        assert metrics.ratio(numerator, denominator) is None
    assert metrics.mean([1.0, None, NAN, 2.0]) == 1.5
    assert metrics.mean([]) is None and metrics.mean([NAN, None]) is None


def test_present_counts_level_two_of_five_in_float32():
    values = metrics.present(np.array([0.4, 0.3999, np.nan], np.float32), 0.4)
    assert values[:2].tolist() == [1, 0] and np.isnan(values[2])


def test_auc_and_two_afc_by_hand():
    # 3 of the 4 pairs in order
    assert metrics.auc([0, 0, NAN, 1, 1], [0.1, 0.4, 9, 0.35, 0.8]) == 0.75
    levels = [0, 0.2, 0.4, 0.6]
    assert metrics.two_afc(levels, [0.3, 0.1, 0.2, 0.9]) == {
        "A": pytest.approx(1 / 3), "B": 0.75, "C": 1, "D": None, "E": None
    }


def test_icc_of_shrout_and_fleiss():
    """Shrout & Fleiss 1979, table 2: six targets, four judges; ICC(3,1) is 0.71."""
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9],
                        [6, 2, 4, 7]], float)
    assert metrics.icc31(ratings) == pytest.approx(0.7148, abs=5e-5)


def test_icc_of_two_columns_by_hand():
    # BMS = 7/2, EMS = 1/2, so (3.5 - 0.5) / (3.5 + 0.5)
    assert metrics.icc([1, 2, NAN, 3], [2, 2, 7, 5]) == pytest.approx(0.75)
    # consistency: an offset does not matter
    assert metrics.icc([1, 2, 3], [11, 12, 13]) == pytest.approx(1)


def test_ccc_by_hand_in_population_form():
    # cov 1, variances 2/3 and 2, means 2 and 3: 2 / (2/3 + 2 + 1)
    assert metrics.ccc([1, 2, 3, NAN], [2, 2, 5, 0]) == pytest.approx(6 / 11)
    assert metrics.ccc([1, 2, 3], [2, 2, 2]) == 0


def test_pcc_and_errors_agree_with_scipy():
    rng = np.random.default_rng(1)
    truth, predicted = rng.random((2, 40))
    expected = stats.pearsonr(truth, predicted).statistic
    assert metrics.pcc(truth, predicted) == pytest.approx(expected)
    assert metrics.mse([0, 1], [0.5, 1]) == 0.125 and metrics.mae([0, 1], [0.5, 1]) == 0.25


def test_classes_by_hand():
    found = metrics.classes([0, 0, 1, 2], [0, 1, 1, 1], ["neutral", "happiness", "anger", "fear"])
    assert found["accuracy"] == 0.5 and found["confusion"][0] == [1, 1, 0, 0]
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)  # fear does not occur


def test_tables_of_pairs_by_hand():
    on = np.array([[1, 1], [1, 0], [0, 1], [0, 0], [1, NAN], [1, 1]])
    assert metrics.coactivation(on).tolist() == [[1, 2 / 3], [2 / 3, 1]]
    table = metrics.correlations(on)
    assert table[0][1] == pytest.approx(stats.pearsonr([1, 1, 0, 0, 1], [1, 0, 1, 0, 1]).statistic)
    assert table[0][0] == pytest.approx(1)


def test_pair_tells_lures_from_other_mistakes():
    on = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [0, 0]])
    # one lure of three taken; one other mistake
    predicted = np.array([[1, 1], [1, 0], [0, 1], [1, 1], [1, 0]])
    row = classifier_report.pair_numbers(on, predicted, ["AU01", "AU02"])
    assert row["partner_rate"] == pytest.approx(1 / 3) and row["fdr"] == pytest.approx(2 / 7)


def test_occurrences_stay_out_of_intensity_metrics(tmp_path):
    data = parse("path,AU01,au_kind\na,1,occurrence\nb,0.2,\nc,0.4,intensity\nd,0.6,\n", "t.csv",
                 tmp_path)
    scores = np.array([[0.0], [0.2], [0.4], [0.6]])
    found = classifier_report.au_numbers(
        data.aus(), scores, ["AU01"], classifier_report.truth_thresholds(data), 0.5,
        intensities=~data.occurrence()
    )
    assert found["per_au"]["AU01"]["mae"] == pytest.approx(0, abs=1e-7)
    assert found["per_au"]["AU01"]["support"] == 3
    assert found["per_au"]["AU01"]["recall"] == pytest.approx(1 / 3)


def test_the_pair_is_asked_for_or_the_sets_or_the_thesis_pair(tmp_path):
    grid = [f"AU0{k}" for k in range(1, 10)]
    choose, of_set = classifier_report.choose_pair, ["AU02", "AU03"]
    assert choose(grid, of_set=of_set) == (of_set, "data set")
    assert choose(grid, ["AU04", "AU05"], of_set) == (["AU04", "AU05"], "option")
    assert choose(grid) == (["AU01", "AU02"], "default")
    assert choose(["AU01", "AU02", "AU12"], of_set=of_set)[0] == ["AU01", "AU02"]
    assert choose(["AU12"]) == (None, "default")
    data = parse("path,AU01\na,1\n", "t.csv", tmp_path)
    assert classifier_report.pair_of_set(data) is None
    (tmp_path / "set.json").write_text('{"correlated_pair": ["AU02", "AU03"]}')
    assert classifier_report.pair_of_set(data) == ["AU02", "AU03"]
    for text in ("[]", "{", '{"correlated_pair": ["AU02"]}',
                 '{"correlated_pair": ["AU02", "brow"]}'):
        (tmp_path / "set.json").write_text(text)
        with pytest.raises(BadInput, match="set.json"):
            classifier_report.pair_of_set(data)


def test_reliability_agrees_with_scikit_learn():
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(3)
    scores = rng.random(400)
    truth = (rng.random(400) < scores ** 2).astype(float)
    found = metrics.reliability([*truth, NAN], [*scores, 0.5])
    rate, mean = calibration_curve(truth, scores, n_bins=10)
    assert [row["truth"] for row in found["bins"]] == pytest.approx(rate)
    assert [row["score"] for row in found["bins"]] == pytest.approx(mean)


def test_calibration_error_by_hand():
    # |0.1 - 0.5| x 1/2 + |0.975 - 1| x 1/2
    found = metrics.reliability([1, 0, 1, 1], [0.1, 0.1, 0.95, 1.0], bins=2)
    assert found["ece"] == pytest.approx(0.2125) and [row["n"] for row in found["bins"]] == [2, 2]
    assert metrics.reliability([NAN], [0.5])["ece"] is None


def test_sign_agreement_by_hand():
    assert metrics.sign_agreement([0.5, -0.2, 0, NAN, -1], [0.1, 0.3, 0, 1, -0.1]) == 0.75
    assert metrics.sign_agreement([NAN], [1]) is None


def test_icc_agrees_with_a_two_way_analysis_of_variance():
    """Mean squares written out row by row (as pingouin's ICC(C,1) has them)."""
    rng = np.random.default_rng(6)
    x = rng.random(30)
    ratings = np.stack([x, 0.5 * x + rng.normal(0, 0.1, 30)], 1)
    grand, rows, columns = ratings.mean(), ratings.mean(1), ratings.mean(0)
    between = sum(2 * (row - grand) ** 2 for row in rows) / 29
    error = sum((ratings[i, j] - rows[i] - columns[j] + grand) ** 2
                for i in range(30) for j in range(2)) / 29
    assert metrics.icc(*ratings.T) == pytest.approx((between - error) / (between + error))


def test_expressions_have_an_f1_each_and_a_calibration():
    report = classifier_report.expression_section(["joy", "", "anger", "joy"], np.array(
        [[0.9, 0.1, 0], [0.5, 0.5, 0], [0.6, 0.4, 0], [0.8, 0.2, 0]]), ["joy", "anger", "fear"])
    assert report["f1"] == {"joy": pytest.approx(0.8), "anger": 0, "fear": None}
    assert report["accuracy"] == pytest.approx(2 / 3)
    assert report["calibration"]["ece"] == pytest.approx((0.1 + 0.6 + 0.2) / 3)
