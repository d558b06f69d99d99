"""evaluate.py as a command, on tiny models whose outputs can be worked out by hand
(tests/models.py)."""
import csv
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import models
import numpy as np
import pytest
from commands import ROOT, here, succeed

import evaluate as evaluate_script
from lib import manifest
from lib.cli import BadInput
from lib.evaluation import comparison, edit_report, edit_targets, reading


def evaluate(*arguments, status=0):
    """Run the script in this process; returns (stdout, stderr)."""
    found, out, said = here(evaluate_script.main, *arguments)
    assert found == status, said
    return out, said


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A classifier, a set whose truth differs from what is painted, and its report with every
    option used."""
    place = tmp_path_factory.mktemp("evaluate")
    models.classifier(place / "classifier.onnx", thresholds={"AU01": 0.3, "AU02": 0.5})
    painted = [[1, .35, 0, 0], [.35, .8, 0, .6], [0, 0, 0, 1], [0, .6, 0, 0]]
    models.dataset(place, painted, subjects=["a", "a", "b", "b"])
    data = manifest.read(place / "set.csv")
    # AU01 at 0.3: predicted 1 1 0 0, truth 1 0 0 -; AU02 at 0.5: predicted 0 1 0 1, truth 0.4 0.8
    # 0 0
    data.columns |= {"AU01": ["1", "0", "0", ""], "AU02": ["0.4", "0.8", "0", "0"],
                     "AU12": ["0"] * 4, "valence": ["1", "-0.3", "-1", ""],
                     "arousal": ["-1", "0.3", "1", ""],
                     "expression": ["neutral", "happiness", "", "puzzled"]}
    del data.columns["AU26"]
    data.write(place / "test.csv")
    text, said = evaluate("--model", place / "classifier.onnx", "--test", place / "test.csv",
                          "--report", place / "plots",
                          "--predictions", place / "out/predictions.csv")
    (place / "report.json").write_text(text)
    (place / "said.txt").write_text(said)
    return place


def test_report_of_a_classifier_by_hand(folder):
    report = json.loads((folder / "report.json").read_text())
    au = report["au"]
    assert (report["n"], report["subjects"]) == (4, 2)
    first, second = au["per_au"]["AU01"], au["per_au"]["AU02"]
    assert (first["precision"], first["recall"], first["fdr"], first["support"]) == (0.5, 1, 0.5, 1)
    assert first["labelled"] == 3
    assert first["auc"] == 1
    assert first["accuracy"] == pytest.approx(2 / 3, abs=1e-5)
    assert [second[name] for name in ("precision", "recall", "f1", "support")] == [0.5] * 3 + [2]
    assert second["mae"] == pytest.approx((.05 + 0 + 0 + .6) / 4, abs=0.002)  # painted in 8 bit
    assert au["per_au"]["AU12"]["precision"] is None and au["per_au"]["AU12"]["pcc"] is None
    assert au["mean"]["f1"] == pytest.approx((2 / 3 + 1 / 2) / 2, abs=1e-5)
    names = ("precision", "recall", "f1", "fdr", "auc", "pcc", "icc")
    assert au["mean"]["left_out"] == dict.fromkeys(names, 1)
    assert au["pooled"]["fdr"] == 0.5 and au["pooled"]["support"] == 3
    assert au["pair"]["aus"] == ["AU01", "AU02"] and au["pair"]["fdr"] == 0.5
    # image 2 has AU02 only, AU01 is predicted; AU01 is never alone
    assert au["pair"]["partner_rate"] == 1
    assert au["correlation"]["aus"] == ["AU01", "AU02", "AU12"]
    assert au["correlation"]["predicted"][0][1] == pytest.approx(0, abs=1e-6)
    fixed = report["au_fixed"]
    assert fixed["threshold"] == 0.5 and fixed["per_au"]["AU01"]["precision"] == 1
    assert report["va"]["valence"]["ccc"] == pytest.approx(1, abs=0.001)
    assert report["va"]["arousal"]["labelled"] == 3
    assert report["expression"]["accuracy"] == 1 and report["expression"]["unknown_to_model"] == 1


def test_protocol_is_said(folder):
    protocol = json.loads((folder / "report.json").read_text())["protocol"]
    assert protocol["aus"] == ["AU01", "AU02", "AU12"]
    assert protocol["aus_left_out"]["not_in_data"] == ["AU26"]
    assert protocol["thresholds"] == {"AU01": 0.3, "AU02": 0.5, "AU12": 0.5}
    assert protocol["missing_labels"] == "masked" and protocol["unlabelled_au_cells"] == 1
    said = (folder / "said.txt").read_text()
    assert "lacks AU26" in said and "mean F1 0.583" in said


def test_predictions_and_plots(folder):
    with open(folder / "out/predictions.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["AU01"] for row in rows] == ["1", "0.349", "0", "0"] and rows[3]["true_AU01"] == ""
    assert rows[0]["path"] == "../set.npy#0" and rows[1]["expression"] == "happiness"
    assert len(manifest.read(folder / "out/predictions.csv").images()) == 4
    assert {path.name for path in (folder / "plots").iterdir()} == {
        "index.html", "au_bars.png", "au_levels.png", "coactivation.png", "au_reliability.png",
        "va_scatter.png", "va_density.png", "va_agreement.png", "confusion.png",
        "expression_bars.png", "expression_reliability.png", "mistakes.png"
    }


def test_gate_and_options(folder):
    given = ["--model", folder / "classifier.onnx", "--test", folder / "test.csv"]
    text, said = evaluate(*given, "--min-f1", 0.9, status=4)
    assert json.loads(text)["n"] == 4 and "0.583 is below --min-f1 0.9" in said
    text, _ = evaluate(*given, "--min-f1", 0.4, "--present", 0.5, "--pair", "12", "AU02")
    report = json.loads(text)
    assert report["au"]["per_au"]["AU02"]["support"] == 1
    assert report["protocol"]["pair"] == ["AU12", "AU02"]


def test_bad_input_is_one_line(folder, tmp_path):
    model, test = folder / "classifier.onnx", folder / "test.csv"
    (tmp_path / "other.csv").write_text("path,AU43\nset.npy#0,1\n")
    (tmp_path / "empty.csv").write_text(f"path,AU01,AU02,AU12,AU26\n{folder}/set.npy#0,,,,\n")
    for arguments, status, part in [
        (["--model", folder / "none.onnx", "--test", test], 3, "no such model"),
        (["--model", model, "--test", tmp_path / "other.csv"], 3, "none of the AUs"),
        (["--model", model, "--test", tmp_path / "empty.csv"], 3, "no AU cell is labelled"),
        (["--model", model, "--test", folder / "set.csv", "--pair", "AU01", "AU43"], 3,
         "--pair AU01 AU43"),
        (["--model", model, "--pairs", test, "--judge", model], 3, "not a generator"),
        (["--model", model, "--pairs", test], 2, "--judge"), (["--model", model], 2, "say one of"),
        (["--compare", folder / "none.json"], 3, "no such report")
    ]:
        text, said = evaluate(*arguments, status=status)
        assert text == "" and part in said
        assert status == 2 or said.count("\n") == 1, said


def test_the_truth_is_not_overwritten_by_predictions(folder):
    model, test = folder / "classifier.onnx", folder / "test.csv"
    before = test.read_bytes()
    _, said = evaluate("--model", model, "--test", test, "--predictions", test, status=3)
    assert "would be overwritten" in said and test.read_bytes() == before


def test_empty_au_columns_do_not_hide_other_labels(folder, tmp_path):
    rows = (f"{folder}/set.npy#0,,1,-1", f"{folder}/set.npy#1,,-0.3,0.3")
    (tmp_path / "va.csv").write_text("\n".join(("path,AU01,valence,arousal", *rows, "")))
    text, _ = evaluate("--model", folder / "classifier.onnx", "--test", tmp_path / "va.csv")
    report = json.loads(text)
    assert "au" not in report and report["va"]["valence"]["ccc"] == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize("line", [("--compare", "r.json", "--report", "pages"),
                                  ("--compare", "r.json", "--predictions", "p.csv")])
def test_options_that_would_do_nothing_are_refused(line, capsys):
    with pytest.raises(SystemExit) as left:
        evaluate_script.main(list(line))
    assert left.value.code == 2 and "leave them out beside --compare" in capsys.readouterr().err


def test_levels_are_read_as_their_mean():
    levels = np.zeros((1, 2, 6))
    levels[0, 0, 3], levels[0, 1, [1, 2]] = 1, 0.5
    model = SimpleNamespace(path="levels.onnx")
    scores = reading.au_scores(model, {"au_level": levels})
    assert scores.tolist() == [[pytest.approx(0.6), pytest.approx(0.3)]]
    with pytest.raises(BadInput, match="predicts NaN"):
        reading.au_scores(model, {"au": np.array([[np.nan]])})


def pairs_set(place, edited, rows=6):
    """A pairs manifest: sources at 0.2 everywhere; one AU of the true image at 0.6; what the
    generator is asked for is `edited`, which may differ. AU26 comes with AU12, as AU25 does with a
    jaw."""
    source, true = np.full((rows, 4), 0.2), np.full((rows, 4), 0.2)
    true[np.arange(rows), np.arange(rows) % 3] = 0.6
    true[true[:, 2] == 0.6, 3] = 0.4
    asked = np.where(true > 0.2, 0.2 + (true - 0.2) * edited, 0.2)
    place.mkdir()
    pictures = [models.paint(row, 16) for row in np.concatenate([source, true])]
    np.save(place / "pairs.npy", np.stack(pictures))
    names = models.AUS
    manifest.write(place / "pairs.csv", {
        "path": [f"pairs.npy#{i}" for i in range(rows)], "subject": [f"s{i}" for i in range(rows)],
        **{name: list(source[:, k]) for k, name in enumerate(names)},
        "true_path": [f"pairs.npy#{i + rows}" for i in range(rows)],
        **{f"target_{name}": list(asked[:, k]) for k, name in enumerate(names)}})
    models.generator(place / "generator.onnx", size=16)
    models.classifier(place / "judge.onnx", size=16)
    return ["--model", place / "generator.onnx", "--pairs", place / "pairs.csv",
            "--judge", place / "judge.onnx"]


def test_edits_by_hand(tmp_path):
    given = pairs_set(tmp_path / "half", edited=0.5)  # the target AU moves half of the way
    (tmp_path / "judge.json").write_text(json.dumps({"au": {"per_au": {
        "AU01": {"pcc": 0.9}, "AU02": {"pcc": 0.5}, "AU12": {"pcc": 0.7}, "AU26": {"pcc": None}}}}))
    text, _ = evaluate(*given, "--judge-report", tmp_path / "judge.json",
                       "--report", tmp_path / "plots", "--predictions", tmp_path / "p.csv")
    report = json.loads(text)
    per_au, summary = report["edits"]["per_au"], report["edits"]["summary"]
    assert list(per_au) == ["AU01", "AU02", "AU12"] and per_au["AU01"]["n"] == 2
    for row in per_au.values():
        assert row["true_rise"] == pytest.approx(0.4, abs=0.003)
        assert row["fulfilment"] == pytest.approx(0.5, abs=0.01)
        assert row["outside_change"] == 0
    assert per_au["AU01"]["leakage_all"] == 0
    assert per_au["AU01"]["l1_ratio"] == pytest.approx(0.5, abs=0.01)
    assert per_au["AU12"]["leakage_all"] == pytest.approx(0.1 / 3, abs=0.002)  # AU26 lags by 0.1
    # … but is not read well
    assert per_au["AU12"]["leakage"] == 0
    # the region is the stripe of 4 columns and, grown by one pixel, one column beside it: 5 of 16
    assert per_au["AU01"]["region_share"] == 5 / 16
    assert per_au["AU01"]["l1_unedited"] == pytest.approx(102 * 4 / 5)
    assert (summary["aus"], summary["share_third_fulfilled"], summary["leakage_ratio"]) == (2, 1, 0)
    assert report["protocol"]["aus_in_summary"] == ["AU01", "AU12"] and report["subjects"] == 6
    assert {path.name for path in (tmp_path / "plots").iterdir()} \
        == {"index.html", "edit_bars.png", "sheet.png"}
    assert len(manifest.read(tmp_path / "p.csv")) == 6


def test_unregistered_data_of_registered_models_are_said(folder, tmp_path):
    models.classifier(tmp_path / "c.onnx", registration="3d-64")
    said = evaluate("--model", tmp_path / "c.onnx", "--test", folder / "test.csv")[1]
    assert said.count("warning") == 1
    assert "c.onnx expects registration '3d-64'" in said
    assert "unregistered" in said
    given = pairs_set(tmp_path / "pairs", edited=1)
    models.generator(tmp_path / "pairs/generator.onnx", size=16, registration="2d-64")
    said = evaluate(*given)[1]
    assert said.count("warning") == 1 and "generator.onnx expects registration '2d-64'" in said


def test_change_outside_the_region():
    source = np.full((1, 10, 10, 3), 100, np.uint8)
    true, edited = source.copy(), source.copy()
    true[0, 5, 5] = 150        # region: 3 x 3 around it
    true[0, 0, 0] = 108        # 8 levels are not more than 8
    edited[0, 5, 5] = 120
    edited[0, 9, 9] = [109, 100, 100]
    found = edit_report.pixel_distances(source, edited, true)
    assert found["region_share"] == 9 / 100
    assert found["unedited"] == pytest.approx(50 / 9) and found["edited"] == pytest.approx(30 / 9)
    assert found["outside"] == pytest.approx(3 / 91)
    same = edit_report.pixel_distances(source, edited, source)
    assert np.isnan(same["edited"]) and edit_report.mean(same["edited"]) is None


def test_pairs_without_a_clear_target_are_left_out():
    source = np.array([[0, 0, 0], [0, np.nan, 0], [0, 0, 0], [0.5, 0, 0]])
    target = np.array([[0, 0.5, 0.3], [np.nan, 0.4, np.nan], [0.5, 0.5, 0], [0.1, 0, 0]])
    index, change = edit_targets.main_target(source, target, ["AU26", "AU25", "AU12"])
    assert index.tolist() == [1, 1, -1, 0] and change[3, 0] == pytest.approx(-0.4)


def test_compare_prints_means_over_seeds_beside_the_thesis(folder, tmp_path):
    report = json.loads((folder / "report.json").read_text())
    paths = []
    for condition, values in {"em": (0.6, 0.7), "supervised": (0.5, 0.6), "mine": (0.4,)}.items():
        for seed, f1 in enumerate(values, 1):
            for name in ("report.json", "report_natural.json"):
                path = tmp_path / "runs/quick/mnist-hard-3000" / condition / f"seed{seed}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                report["au"]["mean"]["f1"] = f1
                path.write_text(json.dumps(report))
                paths.append(path)
    text, _ = evaluate("--compare", *paths)
    tables = [part for part in text.split("### ") if "which expression is read" not in part]
    assert [table.splitlines()[0].split(":")[0] for table in tables[1:]] \
        == ["mnist-hard-3000 (quick), test", "mnist-hard-3000 (quick), natural"]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]]
            for line in tables[1].splitlines() if line.startswith("|")]
    assert [row[0] for row in rows] == ["condition", rows[1][0], "supervised", "em", "mine"]
    supervised = dict(zip(rows[0], rows[2]))
    # sd of 50, 60 over n - 1
    assert supervised["F1"] == "55.0 ± 7.1" and supervised["seeds"] == "2"
    assert supervised["thesis F1 (table 11)"] == "46.42" and supervised["thesis FDR"] == "23.59"
    assert dict(zip(rows[0], rows[4]))["F1"] == "40.0"
    assert "em - supervised: 10.0 ± 0.0 F1 (2 seeds that both have)" in tables[1]
    assert "thesis" not in tables[2].split("\n\n")[1]


def test_intervals_stand_beside_the_numbers_they_belong_to(tmp_path):
    """Two seeds: an interval in the table has the mean of their lower and of their upper
    bounds."""
    paths = []
    for seed, shift in ((1, 0.0), (2, 0.1)):
        section = {"mean": {"f1": 0.5 + shift, "icc": 0.6 + shift}, "pooled": {"fdr": 0.3 - shift}}
        between = {"mean": {"f1": [0.4 + shift, 0.7 + shift], "icc": [0.5 + shift, 0.7 + shift]},
                   "pooled": {"fdr": [0.2 - shift, 0.5 - shift]}}
        path = tmp_path / f"quick/faces/em/seed{seed}/report.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({
            "n": 10, "subjects": 2, "au": section, "au_fixed": section,
            "expression": {"accuracy": 0.8, "macro_f1": 0.6},
            "intervals": {"au": between, "au_fixed": between,
                          "expression": {"accuracy": [0.7, 0.9], "macro_f1": None}}
        }))
        paths.append(path)
    lines = [line for line in comparison.tables(paths).splitlines() if line.startswith("|")]
    head, row = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[::2])
    beside = {name: row[place + 1] for place, name in enumerate(head[:-1])
              if head[place + 1] == "95 % interval"}
    assert beside == {"F1": "45.0 to 75.0", "FDR": "15.0 to 45.0", "F1 at 0.5": "45.0 to 75.0",
                      "ICC": "0.550 to 0.750", "accuracy": "70.0 to 90.0"}
    # an interval that is undefined has no column
    assert dict(zip(head, row))["macro F1"] == "60.0 ± 0.0"


@pytest.mark.parametrize("name, table, f1", [
    ("mnist-noise0.24-3000", "table 10", "64.70"), ("mnist-noise0.47-3000", "table 11", "46.42"),
])
def test_sets_as_hard_as_the_thesiss_stand_beside_its_figures(name, table, f1, tmp_path):
    path = tmp_path / "runs/quick" / name / "supervised/seed1/report.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"n": 4, "subjects": 0, "au": {"mean": {"f1": 0.5}}}))
    text = comparison.tables([path])
    assert f"thesis F1 ({table})" in text and f" {f1} " in text
    assert f"as good as the thesis's on mnist-{'medium' if '24' in name else 'hard'}-3000." in text


def test_places_of_reports():
    assert comparison.place("runs/quick/faces/em/seed3/report_natural.json") \
        == ("quick", "faces", "em", "3", "natural")
    assert comparison.place("runs/results/quick/faces/generators/warp-editor/seed2/report.json") \
        == ("quick", "faces", "warp-editor", "2", "test")
    assert comparison.place("runs/quick/faces/affect/va/seed1/report_natural.json") \
        == ("quick", "faces affect", "va", "1", "natural")
    assert comparison.place("runs/quick/faces/sources/few/seed2/report_other.json") \
        == ("quick", "faces sources", "few", "2", "other")
    assert comparison.place("runs/long/faces/personal/seed3/last-layer/report.json") \
        == ("long", "faces personal", "last-layer", "3", "test")
    # a set of one's own may have such a name
    assert comparison.place("runs/quick/affect/em/seed1/report.json") \
        == ("quick", "affect", "em", "1", "test")
    assert comparison.place("report.json") == ("", "", "report.json", "", "test")


def test_the_heading_names_the_set_and_the_preset_of_a_folder_within(tmp_path):
    path = tmp_path / "runs/quick/faces/affect/va/seed1/report_natural.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"n": 4, "subjects": 2, "va": {"valence": {"ccc": 0.5}}}))
    assert comparison.tables([path]).startswith("### faces affect (quick), natural: readings\n")


def test_help_is_quick():
    """Under 0.7 s of computing: wall-clock time would measure what else the machine is doing."""
    times = []
    for _ in range(3):
        before = os.times()
        succeed("evaluate.py", "--help")
        after = os.times()
        times.append(after.children_user + after.children_system
                     - before.children_user - before.children_system)
    assert min(times) < 0.7


def test_torch_is_never_imported(folder, tmp_path):
    given = pairs_set(tmp_path / "pairs", edited=1)
    code = ("import sys, evaluate\n"
            f"evaluate.main(['--model', r'{folder}/classifier.onnx', '--test', "
            f"r'{folder}/test.csv', '--report', r'{tmp_path}/a'])\n"
            f"evaluate.main({[str(item) for item in given]!r} + ['--report', r'{tmp_path}/b'])\n"
            f"evaluate.main(['--compare', r'{folder}/report.json'])\n"
            "assert not [name for name in sys.modules if name.split('.')[0] == 'torch']")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
