"""The table of classifiers taught on one data set or on two, against hand-worked cases."""

import json

import numpy as np
import pytest

from lib import manifest
from lib.cli import BadInput
from lib.evaluation import metrics, source_table

TRUTH = np.tile([0, 0.2, 0.6, 1], 3)
PEOPLE = ["p0"] * 4 + ["p1"] * 4 + ["p2"] * 4
WORSE = np.array([0, 0.2, 0.6, 1, 0.2, 0, 0.6, 1, 0, 0.2, 1, 0.6])


def evaluated(folder, condition, test, scores, f1=0.5, seed=1, data=None):
    """A report and the predictions beside it, of one AU; the path of the report. data: the digest
    of what it was tested on."""
    place = folder / "quick" / "faces" / condition / f"seed{seed}"
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"report_{test}.json"
    report = {"au": {"mean": {"f1": f1, "icc": metrics.icc(TRUTH[: len(scores)], scores)}}}
    path.write_text(json.dumps(report | ({"data": {"digest": data}} if data else {})))
    truth = TRUTH[: len(scores)]
    manifest.write(
        place / f"predictions_{test}.csv",
        {
            "path": [f"/{test}.npy#{i}" for i in range(len(scores))],
            "subject": PEOPLE[: len(scores)],
            "AU01": list(scores),
            "true_AU01": list(truth),
            "present_AU01": [1] * len(scores),
            "true_present_AU01": list(metrics.present(truth, 0.4)),
        },
    )
    return str(path)


def rows(text):
    """Cells of a Markdown table, a list a row, the heading first."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[:1] + lines[2:]]


def test_a_row_a_condition_and_four_columns_a_test(tmp_path):
    """The first row has ICC 1 on the test `other`, the second less: the difference is the whole
    of what it lacks. On `home` both read alike, so it is 0, and so are the bounds."""
    paths = [
        evaluated(tmp_path, "real-home", "home", TRUTH, 0.6),
        evaluated(tmp_path, "real-home", "other", TRUTH, 0.5),
        evaluated(tmp_path, "edits", "home", TRUTH.copy(), 0.7),
        evaluated(tmp_path, "edits", "other", WORSE, 0.4),
    ]
    manifest.write(tmp_path / "a.csv", {"path": ["a.png", "b.png"]})
    manifest.write(tmp_path / "b.csv", {"path": ["c.png"]})
    text = source_table.table(
        paths, [f"real-home={tmp_path}/a.csv", f"edits={tmp_path}/a.csv,{tmp_path}/b.csv"]
    )
    head, first, second = rows(text)
    assert head[:4] == ["learnt from", "images", "seeds", "home: F1"]
    assert first[:9] == ["real-home", "2", "1", "60.0", "1.000", "–", "–", "50.0", "1.000"]
    icc = metrics.icc(TRUTH, WORSE)
    assert second[:7] == ["edits", "3", "1", "70.0", "1.000", "+0.000", "+0.000 to +0.000"]
    assert second[7:10] == ["40.0", f"{icc:.3f}", f"{icc - 1:+.3f}"]
    low, high = map(float, second[10].split(" to "))
    assert low <= icc - 1 + 1e-3 and high <= 0
    assert "home: 12 images of 3 people. other: 12 images of 3 people. 1 AUs." in text


def test_seeds_are_averaged(tmp_path):
    paths = [
        evaluated(tmp_path, "few", "other", WORSE, 0.5, seed=1),
        evaluated(tmp_path, "few", "other", WORSE, 0.5, seed=2),
        evaluated(tmp_path, "all", "other", TRUTH, 0.6, seed=1),
        evaluated(tmp_path, "all", "other", WORSE, 0.4, seed=2),
    ]
    _, _, second = rows(source_table.table(paths))
    icc = metrics.icc(TRUTH, WORSE)
    assert second[:3] == ["all", "–", "2"]
    assert second[3] == "50.0 ± 14.1"  # sd of 60 and 40, divided by n - 1
    assert float(second[5]) == pytest.approx((1 + icc) / 2 - icc, abs=6e-4)


def test_reports_that_do_not_fit_are_refused(tmp_path):
    first = evaluated(tmp_path, "a", "home", TRUTH)
    with pytest.raises(BadInput, match="give the same tests of all"):
        source_table.table([first, evaluated(tmp_path, "b", "other", TRUTH)])
    with pytest.raises(BadInput, match="of other images"):
        source_table.table([first, evaluated(tmp_path, "c", "home", TRUTH[:8])])
    with pytest.raises(BadInput, match="say CONDITION=FILE.csv"):
        source_table.table([first], ["a.csv"])


def test_every_seed_was_tested_on_the_same_images(tmp_path):
    """The second seed of either row has eight of the twelve images."""
    whole = [evaluated(tmp_path, name, "home", TRUTH) for name in "ab"]
    for name in "ab":
        part = evaluated(tmp_path, name, "home", TRUTH[:8], seed=2)
        with pytest.raises(BadInput, match=f"{name}/seed2/.* is of other images"):
            source_table.table([*whole, part])


def test_the_data_of_a_test_are_the_same(tmp_path):
    """Images of one name may have got other labels."""
    paths = [evaluated(tmp_path, name, "home", TRUTH, data="one") for name in "ab"]
    paths.append(evaluated(tmp_path, "c", "home", TRUTH))  # does not say
    assert len(rows(source_table.table(paths))) == 4
    other = evaluated(tmp_path, "b", "home", TRUTH, seed=2, data="two")
    with pytest.raises(BadInput, match="b/seed2/.*: was tested on other data than .*a/seed1"):
        source_table.table([*paths, other])


def test_tests_and_seeds_in_any_order(tmp_path):
    given = [("a", "home", 10), ("a", "other", 2), ("a", "home", 2), ("a", "other", 10),
             ("b", "other", 1), ("b", "home", 1)]
    paths = [evaluated(tmp_path, name, test, TRUTH, seed=seed) for name, test, seed in given]
    found = source_table.grouped(paths)
    assert [run.seed for _, run in found["a"]["home"]] == ["2", "10"]
    assert [run.seed for _, run in found["a"]["other"]] == ["2", "10"]
    head, first, second = rows(source_table.table(paths))
    assert [cell for cell in head if ": F1" in cell] == ["home: F1", "other: F1"]
    assert first[2] == "2" and second[:4] == ["b", "–", "1", "50.0"]


def test_conditions_that_were_tested_on_another_truth_are_refused(tmp_path):
    """The same images, of which one has another label."""
    paths = [evaluated(tmp_path, name, "home", TRUTH) for name in ("real-home", "edits-home")]
    place = tmp_path / "quick/faces/edits-home/seed1/predictions_home.csv"
    data = manifest.read(place)
    data.columns["true_AU01"] = ["1", *data.columns["true_AU01"][1:]]
    data.write(place)
    with pytest.raises(BadInput, match="has another truth than"):
        source_table.table(paths)
