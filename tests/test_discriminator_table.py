"""The table of a discriminator's four accuracies, against counts worked out by hand."""

import json

import pytest

from lib.cli import BadInput
from lib.evaluation import discriminator_table

REAL = {"learnt": (0.75, 0.5), "held_out": (0.5, 0.25)}       # taken for real; class
GENERATED = {"learnt": (0.125, 1.0), "held_out": (0.25, 0.875)}


def reports(folder):
    """A discriminator's folder; returns its path."""
    folder.mkdir(parents=True)
    for part in REAL:
        for kind, (as_real, right) in (("real", REAL[part]), ("generated", GENERATED[part])):
            report = {"n": 8, "real_as_real": as_real, "expression": {"accuracy": right}}
            (folder / f"{kind}_{part}.json").write_text(json.dumps(report))
            report = {"n": 8, "expression": {"accuracy": right / 2}}
            (folder / f"judge_{kind}_{part}.json").write_text(json.dumps(report))
    return folder


def rows_of(text):
    """Rows of cells below the headings."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_four_accuracies_stand_beside_those_of_the_paper(tmp_path):
    folder = reports(tmp_path / "fexgan-expressions/seed2/discriminator")
    rows = rows_of(discriminator_table.table([folder]))
    # a generated image is right where it is not taken for real: 1 - 0.125, 1 - 0.25
    assert rows[0] == ["fexgan-expressions seed 2", "learnt from", "75.0", "50.0", "87.5", "100.0",
                       "25.0", "50.0"]
    assert rows[1][1:] == ["held-out people", "50.0", "25.0", "75.0", "87.5", "12.5", "43.8"]
    assert rows[2][0] == "Siddiqui 2022" and rows[2][2:6] == ["98.1", "100.0", "99.8", "99.4"]
    assert rows[3][2:6] == ["91.3", "99.7", "100.0", "99.5"]


def test_a_classifier_that_knows_no_real_is_refused(tmp_path):
    folder = reports(tmp_path / "d")
    (folder / "real_learnt.json").write_text(json.dumps({"n": 8, "expression": {"accuracy": 1}}))
    with pytest.raises(BadInput, match="real_learnt.json: its model does not tell real"):
        discriminator_table.table([folder])
    (folder / "real_learnt.json").unlink()
    with pytest.raises(BadInput, match="real_learnt.json: no such report"):
        discriminator_table.table([folder])
    (folder / "real_learnt.json").write_text('{"au": {}}')
    with pytest.raises(BadInput, match="not a report on expressions"):
        discriminator_table.table([folder])
