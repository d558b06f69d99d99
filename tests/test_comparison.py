"""Tables of reports: what stands where, in which order and unit."""

from lib.evaluation import comparison
from lib.evaluation.comparison import Run
from lib.evaluation.sections import value_at


def test_a_place_in_a_report():
    report = {"au": {"mean": {"f1": 0.5}, "pair": None}, "n": 3}
    assert value_at(report, ("au", "mean", "f1")) == 0.5
    assert value_at(report, ()) == report
    for where in (("va", "ccc"), ("au", "pair", "fdr"), ("n", "f1"), ("au", "mean", "icc")):
        assert value_at(report, where) is None
    assert value_at(None, ("au",)) is None


def test_personal_models_across_data_sets_are_a_set_of_their_own():
    for folder in ("personal", "personal-across", "personal-across-disfa"):
        found = comparison.place(f"runs/quick/faces/{folder}/seed2/generic/report_natural.json")
        assert found == ("quick", f"faces {folder}", "generic", "2", "natural")
    found = comparison.place("runs/quick/faces/personalised/seed2/report.json")
    assert found == ("quick", "faces", "personalised", "2", "test")


def test_samplers_stand_in_the_order_of_presets():
    """As edits do: not by the alphabet, which has long before quick and smoke last."""
    section = {"n": 3, "n_real": 3, "n_training": 3, "size": 8}
    runs = [Run(preset, "faces", "gan", seed, "test", {"samples": section})
            for preset, seed in (("long", "1"), ("paper", "1"), ("quick", "2"), ("smoke", "1"),
                                 ("quick", "1"))]
    lines = [line for line in comparison.table(runs).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.split("|")[1:3]] for line in lines[2:]]
    assert cells == [["smoke", "gan seed 1"], ["quick", "gan seed 1"], ["quick", "gan seed 2"],
                     ["long", "gan seed 1"], ["paper", "gan seed 1"]]


def sentences(**sections):
    """What is said below the table of one report."""
    report = {"n": 2, "subjects": 1, **sections}
    return comparison.table([Run("quick", "faces", "va", "1", "test", report)]).splitlines()[-1]


def test_what_is_not_in_per_cent_is_said():
    """MSE 0.25 is printed as it is, and only a table that has it speaks of it."""
    said = sentences(va={"valence": {"ccc": 0.5, "mse": 0.25}})
    assert "ICC(3,1) and CCC are correlations, not per cent. MSE is a squared error, not" in said
    assert comparison.scale_of("MSE valence") == comparison.scale_of("ICC") == 1
    assert comparison.scale_of("F1") == 100
    assert "MSE" not in sentences(au={"mean": {"f1": 0.5, "icc": 0.5}})


def test_which_expression_is_read_as_which():
    def report(*confusion):
        return {"n": 8, "subjects": 2, "expression": {"accuracy": 0.5, "names": ["joy", "rage"],
                                                      "confusion": list(confusion)}}

    runs = [Run("quick", "set", name, seed, "natural", found) for name, seed, found in (
        ("a", "1", report([3, 1], [0, 4])), ("a", "2", report([1, 3], [2, 2])),
        ("b", "1", report([4, 0], [0, 0])), ("c", "1", {"n": 8, "subjects": 2, "au": {}}))]
    text = comparison.confusions(runs)
    a, b = text.split("### set (quick), natural: which expression is read as which, ")[1:]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]]
             for line in (a + b).splitlines() if line.startswith(("| joy", "| rage"))]
    # seed 1 reads 3 of 4 joys, seed 2 one of 4: 4 of 8
    assert cells == [["joy", "4", "50", "50"], ["rage", "4", "25", "75"],
                     ["joy", "4", "100", "0"], ["rage", "0", "–", "–"]]
    assert "mean of 2 seeds" in a and "seeds" not in b
    assert comparison.confusions(runs[3:]) == ""


def test_a_stride_is_part_of_how_reports_were_measured(monkeypatch):
    """Every image, and every fifth one, are two measurements of one set. Reports from before
    strides were written down measured every image."""
    notes = []
    monkeypatch.setattr(comparison, "note", notes.append)
    runs = [Run("quick", "faces", "em", str(seed), "test",
                {"data": {"digest": "d"}, "protocol": protocol})
            for seed, protocol in enumerate(({"stride": 1}, {"stride": 5}, {}))]
    found = comparison.split_by_protocol(runs)
    assert [[run.seed for run in part] for part in found] == [["0", "2"], ["1"]]
    assert "reports of 2 different protocols" in notes[0]


def test_several_judges_of_one_table_are_said(monkeypatch):
    notes = []
    monkeypatch.setattr(comparison, "note", notes.append)
    summary = dict.fromkeys(name for name, _ in comparison.EDIT_NUMBERS.values()) | {"aus": 3}
    runs = [Run("quick", "faces", name, "1", "test", {
        "edits": {"summary": summary}, "judge": {"digest": judge}, "n": 1, "subjects": 1})
        for name, judge in (("a", "x"), ("b", "y"))]
    comparison.edit_table(runs[:1])
    assert not notes
    comparison.edit_table(runs)
    assert "faces: edits of AUs: 2 different judges read the edits" in notes[0]
