"""Raking against a case worked out by hand."""
import numpy as np
import pytest
from commands import call

from lib import balance, cli, manifest
from lib.balance import marginals, rake


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


def test_no_weight_is_above_the_cap():
    """Of 6 + 2 + 1 + 1 + 0 six is cut to 2.5 means; the rest share 2.5 as 2 : 1 : 1, with nothing
    above the cap; a second round cuts what the first one raised."""
    assert balance.capped(np.array([6, 2, 1, 1, 0.0]), 2.5) == pytest.approx(
        [2.5, 1.25, 0.625, 0.625, 0])
    assert balance.capped(np.array([7, 3, 1.0]), 1.2) == pytest.approx([1.2, 1.2, 0.6])
    rare = np.zeros((200, 1), bool)
    rare[:2] = True  # a hundredth; half is wanted, which takes weights of 50
    weights = rake(rare, [0.5], cap=5)
    assert weights.max() == pytest.approx(5) and weights.mean() == pytest.approx(1)


def test_weights_that_are_there_are_scaled():
    """Weights 3, 1, 1, 1 show AU01 in half of the weight; a quarter is wanted: 1 to 3, as 0.25 of
    4 to 0.75 of 4. A row of weight 0 is in no share."""
    present = np.array([[1], [0], [0], [0]])
    assert rake(present, [0.25], start=[3, 1, 1, 1]) == pytest.approx([1, 1, 1, 1], abs=1e-3)
    shares = rake(np.append(present, [[1]], 0), [0.5], start=[1, 1, 1, 1, 0])
    assert shares == pytest.approx([2.5, 2.5 / 3, 2.5 / 3, 2.5 / 3, 0], abs=1e-3)
    assert rake(np.ones((3, 1)), [0.5], cap=2, start=[0, 0, 1]) == pytest.approx([0, 0, 3])


def test_weights_of_both_sets_count(tmp_path, capsys):
    """Of the other set 3 of 4 parts of the weight show AU01, of the given one 1 of 4."""
    manifest.write(tmp_path / "given.csv", {"path": list("ab"), "AU01": [1, 0], "weight": [1, 3]})
    manifest.write(tmp_path / "like.csv", {"path": list("cd"), "AU01": [1, 0], "weight": [3, 1]})
    code, _, said = call(balance.main, capsys, tmp_path / "given.csv", "--like",
                         tmp_path / "like.csv", "--out", tmp_path / "out.csv")
    assert code == 0
    assert "AU01: present in 0.250 of labelled rows, wanted 0.750, weighted 0.750" in said
    weights = manifest.read(tmp_path / "out.csv").numbers("weight")
    assert weights == pytest.approx([1.5, 0.5], abs=1e-3)
    manifest.write(tmp_path / "none.csv", {"path": ["a"], "AU01": [1], "weight": [0]})
    code, _, said = call(balance.main, capsys, tmp_path / "none.csv", "--like",
                         tmp_path / "like.csv", "--out", tmp_path / "out.csv")
    assert code == 3 and said.count("\n") == 1 and "all weights are 0" in said


def test_unlabelled_rows_are_in_no_share_and_keep_their_weight():
    # a quarter of those labelled; half is wanted
    present = np.array([[1], [0], [0], [0], [np.nan], [np.nan]])
    weights = rake(present, [0.5])
    assert weights / weights[4] == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3, 1, 1], abs=1e-3)
    assert marginals(present) == pytest.approx([0.25])
    assert marginals(present, weights) == pytest.approx([0.5])
    assert rake(present, [np.nan]) == pytest.approx(np.ones(6))
    assert np.isnan(marginals(present[4:])).all()


def test_manifests_are_read_as_labelled_and_by_their_kind(tmp_path, monkeypatch, capsys):
    """AU01: 1 of 2 labelled rows shows it (an occurrence of 0.45 does not, an intensity of 0.4
    does), 3 of 4 are wanted, so weights are 3 to 1; read as absent, the empty cells would make it
    1 of 4. AU02 is labelled nowhere."""
    manifest.write(tmp_path / "given.csv", {
        "path": list("abcd"), "AU01": [0.4, 0.45, "", ""], "AU02": [""] * 4,
        "au_kind": ["intensity", "occurrence", "", ""]})
    manifest.write(tmp_path / "like.csv", {"path": list("efghi"), "AU01": [1, 1, 0.5, 0.45, ""],
                                           "AU02": [1] * 5, "au_kind": ["occurrence"] * 4 + [""]})
    monkeypatch.setattr("sys.argv",
                        ["balance", str(tmp_path / "given.csv"),
                         "--like", str(tmp_path / "like.csv"), "--out", str(tmp_path / "out.csv")])
    balance.main()
    weights = manifest.read(tmp_path / "out.csv").numbers("weight")
    assert weights[0] / weights[1] == pytest.approx(3, abs=0.01)
    assert weights[2] == weights[3] == pytest.approx((weights[0] + weights[1]) / 2, abs=0.01)
    cli.say_notes()
    said = capsys.readouterr().err
    assert "AU01: present in 0.500 of labelled rows, wanted 0.750, weighted 0.750" in said
    assert "AU02: labelled nowhere in" in said


def test_levels_are_drawn_for_equally_often():
    """AU01 has levels 0, 0, 0, 5 and AU02 2, 2, 2, 2: three cells, of three, one and four rows.
    Nine draws take each cell three times: row 3 thrice for AU01's level 5, rows 0-2 once each for
    its level 0, three rows for AU02."""
    intensities = np.array([[0, .4], [0, .4], [0, .4], [1, .4]])
    rows = balance.level_rows(intensities, 9, np.random.default_rng(0))
    drawn = np.bincount(rows, minlength=4)
    assert drawn.sum() == 9
    assert drawn[3] in (3, 4)
    assert drawn[:3].sum() in (5, 6)
    assert drawn[:3].min() >= 1
    unlabelled = np.full((2, 1), np.nan)
    with pytest.raises(cli.BadInput, match="no AU is labelled with a level"):
        balance.level_rows(unlabelled, 3, np.random.default_rng(0))


@pytest.mark.parametrize("weights, expected", [
    (["2", "", "0.5", ""], ["1.5", "0.25", "0.5", ""]),  # the last two have no confidence
    (None, ["0.75", "0.25", "", ""]),
])
def test_weights_by_confidence(tmp_path, capsys, weights, expected):
    """Confidences of 0.75 and 0.25; an empty weight is 1, for the trainers too."""
    cells = {"path": list("abcd"), "confidence": ["0.75", "0.25", "", ""], "AU01": [0, 1, 0, 1]}
    manifest.write(tmp_path / "given.csv", cells | ({"weight": weights} if weights else {}))
    code, _, said = call(balance.main, capsys, tmp_path / "given.csv", "--by", "confidence",
                         "--out", tmp_path / "out.csv")
    assert code == 0, said
    out = manifest.read(tmp_path / "out.csv")
    assert out.columns["weight"] == expected
    assert out.columns["path"] == list("abcd") and out.columns["AU01"] == list("0101")
    mean = "0.8125" if weights else "0.7500"  # (1.5 + 0.25 + 0.5 + 1) / 4, (0.75 + 0.25 + 2) / 4
    assert f"2 of 4 rows have a confidence; the mean weight is {mean}" in said


def test_weights_by_confidence_need_one(tmp_path, capsys):
    manifest.write(tmp_path / "given.csv", {"path": list("ab"), "AU01": [0, 1]})
    line = [tmp_path / "given.csv", "--out", tmp_path / "out.csv", "--by"]
    code, _, said = call(balance.main, capsys, *line, "confidence")
    assert code == 3 and "given.csv: has no column confidence" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out.csv").exists()
    for more in (["confidence", "--levels"], ["confidence", "--like", "x.csv"], ["AU01"]):
        code, _, said = call(balance.main, capsys, *line, *more)
        assert code == 2 and len(said.splitlines()) == 1


def test_rows_that_levels_draws_stand_in_the_manifest(tmp_path, monkeypatch, capsys):
    manifest.write(tmp_path / "given.csv", {"path": list("abc"), "AU01": [0, 0, 0.8]})
    monkeypatch.setattr("sys.argv",
                        ["balance", str(tmp_path / "given.csv"), "--levels", "--count", "4",
                         "--out", str(tmp_path / "out.csv")])
    balance.main()
    paths = manifest.read(tmp_path / "out.csv").columns["path"]
    assert paths.count("c") == 2 and sorted(set(paths)) == ["a", "b", "c"]
    cli.say_notes()
    assert "3 of 3 rows are drawn, the most frequent 2 times" in capsys.readouterr().err


@pytest.mark.parametrize("option, mode", [
    (["--count", "4"], "--levels"), (["--seed", "2"], "--levels"),
    (["--cap", "3"], "--like"), (["--rounds", "5"], "--like"),
])
def test_options_of_another_mode_are_refused(option, mode, tmp_path, capsys):
    """Such an option would change nothing."""
    given = ["--by", "confidence", *option]
    code, _, said = call(balance.main, capsys, tmp_path / "given.csv", *given)
    assert code == 2 and f"{option[0]} needs {mode}" in said
