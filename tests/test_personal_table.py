"""The table of personal models: figures from reports, and who gains, against a hand-worked
case."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import call

from lib import manifest
from lib.cli import BadInput
from lib.evaluation import metrics, personal_table


def model(folder, name, truth, scores, subjects):
    """A report and the predictions beside it, of one AU; the path of the report."""
    place = folder / name
    place.mkdir()
    two_afc = {letter: metrics.two_afc(truth, scores)[letter] for letter in "ABC"}
    report = {
        "au": {"mean": {"f1": 0.5, "icc": metrics.icc(truth, scores)}, "two_afc": {"mean": two_afc}}
    }
    (place / "report.json").write_text(json.dumps(report))
    manifest.write(
        place / "predictions.csv",
        {
            "path": [f"/images/set.npy#{i}" for i in range(len(truth))],
            "subject": subjects,
            "AU01": list(scores),
            "true_AU01": list(truth),
            "present_AU01": [1] * len(truth),
            "true_present_AU01": list(metrics.present(truth, 0.4)),
        },
    )
    return str(place / "report.json")


def cells(text):
    """{model: cells} of a Markdown table."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    return {row[0]: dict(zip(rows[0], row)) for row in rows[2:]}


def test_every_row_is_compared_with_the_generic_model(tmp_path):
    """p0 is read as well by both, p1 better and p2 worse by the personal model, which is better on
    the whole."""
    truth = np.tile([0, 0.2, 0.6, 1], 3)
    subjects = ["p0"] * 4 + ["p1"] * 4 + ["p2"] * 4
    generic, own = truth.copy(), truth.copy()
    generic[4:8] = [1, 0.6, 0.2, 0]
    own[8:] = [0, 0.2, 1, 0.6]
    paths = [
        model(tmp_path, name, truth, scores, subjects)
        for name, scores in (("generic", generic), ("personal", own))
    ]
    rows = cells(personal_table.table(paths))
    assert (
        rows["generic"]["ICC"] == f"{metrics.icc(truth, generic):.3f}"
        and rows["generic"]["sign test p"] == "–"
    )
    difference = metrics.icc(truth, own) - metrics.icc(truth, generic)
    assert float(rows["personal"]["ICC - generic"]) == pytest.approx(difference, abs=6e-4)
    assert (rows["personal"]["people who gain"], rows["personal"]["who lose"]) == ("1", "1")
    assert rows["personal"]["sign test p"] == "1.000"
    assert float(rows["personal"]["at B"]) == pytest.approx(
        metrics.two_afc(truth, own)["B"], abs=6e-4
    )


def test_predictions_are_those_of_the_same_test(tmp_path):
    truth, subjects = np.tile([0, 0.2, 0.6, 1], 2), ["p0"] * 4 + ["p1"] * 4
    for name, scores in (("generic", truth[::-1]), ("personal", truth)):
        place = Path(model(tmp_path, name, truth, scores, subjects)).parent
        for kind in ("report.json", "predictions.csv"):
            stem, ending = kind.split(".")
            (place / kind).rename(place / f"{stem}_natural.{ending}")
    paths = [str(tmp_path / name / "report_natural.json") for name in ("generic", "personal")]
    assert cells(personal_table.table(paths))["personal"]["people who gain"] == "2"


@pytest.mark.parametrize("truth, icc, difference", [
    # the generic model says one thing of all: ICC 0; of the other cov -.01, variances .01 and .02
    ([0.2, 0.4, 0.2, 0.4], "0.000", "-0.667"),
    ([0.4, 0.4, 0.4, 0.4], "undefined", "undefined"),  # a truth that never changes
])
def test_without_a_generic_icc_above_0_there_is_no_relative_difference(
    truth, icc, difference, tmp_path, capsys
):
    truth = np.array(truth)
    paths = [
        model(tmp_path, "generic", truth, np.full(4, 0.4), list("aabb")),
        model(tmp_path, "own", truth, np.array([0.4, 0.2, 0.6, 0.4]), list("aabb")),
    ]
    status, out, said = call(personal_table.main, capsys, *paths)
    rows = cells(out)
    assert status == 0, said
    assert rows["generic"]["ICC"] == icc and rows["own"]["relative"] == "undefined"
    assert rows["own"]["ICC - generic"] == difference


def test_reports_of_other_images_are_refused(tmp_path):
    truth = np.array([0, 0.4, 0.8, 1])
    paths = [
        model(tmp_path, "generic", truth, truth, list("aabb")),
        model(tmp_path, "own", truth[:3], truth[:3], list("aab")),
    ]
    with pytest.raises(BadInput, match="of different images"):
        personal_table.table(paths)


def test_models_are_compared_on_the_aus_that_all_read(tmp_path):
    """The generic model reads AU02, too, and badly: that is no gain of the personal model."""
    truth = np.tile([0, 0.2, 0.6, 1], 2)
    paths = [
        model(tmp_path, name, truth, truth, ["p0"] * 4 + ["p1"] * 4) for name in ("generic", "own")
    ]
    place = tmp_path / "generic" / "predictions.csv"
    data = manifest.read(place)
    columns = {"AU02": 1 - truth, "true_AU02": truth, "present_AU02": truth * 0,
               "true_present_AU02": truth * 0}
    manifest.write(place, {name: data.columns[name] for name in data.columns} | {
        name: list(values) for name, values in columns.items()})
    rows = cells(personal_table.table(paths))
    assert rows["own"]["ICC - generic"] == "+0.000"
    assert (rows["own"]["people who gain"], rows["own"]["who lose"]) == ("0", "0")
