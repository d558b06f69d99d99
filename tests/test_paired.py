"""Files of predictions side by side: which rows, people, AUs and truths are compared, against cases
worked out by hand."""
import json

import models
import numpy as np
import pytest
from commands import call

import evaluate
from lib import manifest
from lib.cli import BadInput
from lib.evaluation import bootstrap, comparison, gains, metrics, paired

TRUTH = np.array([[0, .6], [.8, 0], [.2, 1], [1, .2], [0, .4], [.6, 0], [.4, .8], [1, 0]])
SCORES = np.array([[.1, .5], [.7, .2], [.4, .9], [.9, .1], [.2, .3], [.6, .1], [.5, .7], [.8, .3]])
PEOPLE = ["p0", "p0", "p1", "p1", "p2", "p2", "p3", "p3"]


def predictions(path, truth=TRUTH, scores=SCORES, subjects=PEOPLE, start=0, aus=("AU01", "AU02"),
                images=None, **more):
    """A file as --predictions writes it, AUs present from 0.4 on."""
    names = images or [f"set.npy#{start + i}" for i in range(len(truth))]
    columns = {"path": names, "subject": subjects}
    for k, au in enumerate(aus):
        columns |= {au: list(scores[:, k]), f"true_{au}": list(truth[:, k]),
                    f"present_{au}": list(metrics.present(scores[:, k], 0.4)),
                    f"true_present_{au}": list(metrics.present(truth[:, k], 0.4))}
    path.parent.mkdir(exist_ok=True)
    manifest.write(path, columns | more)
    return path


def compared(capsys, *arguments):
    """({first cell: {heading: cell}}, the whole text, what was said) of --compare."""
    code, text, said = call(evaluate.main, capsys, "--compare", *arguments)
    assert code == 0, said
    rows = [[cell.strip() for cell in line.split(" | ")] for line in
            (line.strip("| ") for line in text.splitlines() if line.startswith("|"))]
    return {row[0]: dict(zip(rows[0], row)) for row in rows[2:]}, text, said


def test_an_au_that_one_file_never_names_is_left_out_of_both_means(tmp_path, capsys):
    """Nobody shows AU02. The first file never names it: no F1 there. The second does once: F1 0,
    and its mean would be half of the first's, for one mistake."""
    truth, silent, once = TRUTH.copy(), SCORES.copy(), SCORES.copy()
    truth[:, 1] = silent[:, 1] = once[:, 1] = 0
    once[0, 1] = 1
    files = [predictions(tmp_path / f"{name}.csv", truth, scores)
             for name, scores in (("a", silent), ("b", once))]
    f1 = metrics.detection(truth[:, 0] >= .4, SCORES[:, 0] >= .4)["f1"]
    rows, text, _ = compared(capsys, *files, "--paired")
    assert rows["F1"]["first"] == rows["F1"]["second"] == f"{100 * f1:.1f}"
    assert rows["F1"]["difference"] == "0.0" and rows["F1"]["95 % interval"] == "0.0 to 0.0"
    assert rows["ICC"]["difference"] == "0.000"
    said = "Means leave out AUs that a file does not define: F1 of AU02; ICC of AU02; PCC of AU02."
    assert said in text
    # the false alarm is counted where it can be: FDR is pooled over AUs
    assert float(rows["FDR"]["first"]) < float(rows["FDR"]["second"])
    assert rows["AU accuracy"]["difference"] == f"{100 / 16:.1f}"
    _, text, _ = compared(capsys, predictions(tmp_path / "c.csv"), tmp_path / "c.csv", "--paired")
    assert "leave out" not in text


def test_images_without_a_name_are_no_people(tmp_path, capsys):
    """p1 is read worse by the first file, p3 better. The images of nobody are not counted as
    people, and names stay with their people."""
    subjects = ["", "", "p1", "p1", "", "", "p3", "p3"]
    first, second = TRUTH.copy(), TRUTH.copy()
    first[2:4] = 1 - TRUTH[2:4]
    second[6:] = 1 - TRUTH[6:]
    files = [predictions(tmp_path / f"{name}.csv", TRUTH, scores, subjects)
             for name, scores in (("a", first), ("b", second))]
    _, text, _ = compared(capsys, *files, "--paired")
    assert "8 images, 2 people and 4 images without a name, 2 AUs." in text
    assert "1 of 2 people gain, 1 lose; sign test p = 1.000. Most is lost by p1 (" in text
    people = bootstrap.People.of(subjects)
    assert gains.names(people, subjects) == ["", "", "p1", "", "", "p3"]


def test_occurrences_alone_say_nothing_of_who_gains(tmp_path, capsys):
    file = predictions(tmp_path / "a.csv", au_kind=["occurrence"] * 8)
    _, text, _ = compared(capsys, file, file, "--paired")
    assert "people gain" not in text


@pytest.mark.parametrize("other", ["truth", "present", "unlabelled", "valence", "expression"])
def test_another_truth_is_refused(other, tmp_path, capsys):
    both = {"valence": [0.1] * 8, "true_valence": [0.2] * 8, "true_expression": ["joy"] * 8,
            "expression": ["joy"] * 8}
    one = predictions(tmp_path / "a.csv", **both)
    change = {"truth": {"true_AU01": ["0.2", *TRUTH[1:, 0]]},
              "present": {"true_present_AU02": [0] * 8},  # as with another --present
              "unlabelled": {"true_AU02": ["", *TRUTH[1:, 1]]},
              "valence": {"true_valence": [-0.2] + [0.2] * 7},
              "expression": {"true_expression": ["fear"] + ["joy"] * 7}}[other]
    two = predictions(tmp_path / "b.csv", **both | change)
    code, _, said = call(evaluate.main, capsys, "--compare", one, two, "--paired")
    assert code == 3 and said.count("\n") == 1
    assert "b.csv: has another truth than" in said and "set.npy#0" in said
    compared(capsys, one, one, "--paired")


def test_an_image_that_stands_twice_is_paired_with_its_like(tmp_path, capsys):
    """Two rows of one image, of two people in it, say: each is compared with its own."""
    images = ["set.npy#0", "set.npy#0", *(f"set.npy#{k}" for k in range(2, 8))]
    file = predictions(tmp_path / "a.csv", images=images)
    rows, text, _ = compared(capsys, file, file, "--paired")
    assert text.count("8 images") == 1 and rows["MAE"]["difference"] == "0.000"
    mae = np.abs(TRUTH - SCORES).mean()
    assert float(rows["MAE"]["first"]) == pytest.approx(mae, abs=6e-4)
    less = predictions(tmp_path / "b.csv")  # has it once
    rows, text, said = compared(capsys, file, less, "--paired")
    assert "7 images" in text and "compared on 7 images" in said
    rows, _, _ = compared(capsys, file)  # one fold: its images are in no other
    assert rows["pooled"]["images"] == "8"


def test_nothing_in_common_is_refused(tmp_path, capsys):
    one = predictions(tmp_path / "a.csv")
    others = predictions(tmp_path / "b.csv", aus=("AU04", "AU05"))
    folds = predictions(tmp_path / "c.csv", aus=("AU04", "AU05"), start=20)
    for arguments in ([one, others, "--paired"], [one, folds]):
        code, _, said = call(evaluate.main, capsys, "--compare", *arguments)
        assert code == 3 and "have no labels in common" in said and said.count("\n") == 1


def test_folds_of_different_aus_are_compared_on_those_of_all(tmp_path, capsys):
    """The first fold's mean is over AU01, too, which alone is pooled."""
    one = predictions(tmp_path / "a.csv")
    other = predictions(tmp_path / "b.csv", TRUTH[:, :1], SCORES[:, :1], start=20, aus=("AU01",))
    rows, text, said = compared(capsys, one, other)
    f1 = metrics.detection(TRUTH[:, 0] >= .4, SCORES[:, 0] >= .4)["f1"]
    assert rows[str(one)]["F1"] == rows["pooled"]["F1"] == f"{100 * f1:.1f}"
    assert rows["mean of folds"]["F1"] == f"{100 * f1:.1f} ± 0.0"
    assert "AU02: not in all folds" in said and "1 AUs" in text


def test_arousal_alone_stays_arousal(tmp_path, capsys):
    """Beside a fold that has valence, too."""
    truth, said = np.linspace(-1, 1, 8), np.linspace(-.5, 1, 8)
    ccc = metrics.ccc(truth, said)
    alone = {"arousal": list(said), "true_arousal": list(truth)}
    both = alone | {"valence": list(-truth), "true_valence": list(truth)}
    for name, columns in (("a", alone), ("b", both)):
        manifest.write(tmp_path / f"{name}.csv", {
            "path": [f"{name}.npy#{k}" for k in range(8)], "subject": PEOPLE, **columns})
    rows, _, _ = compared(capsys, tmp_path / "a.csv")
    assert rows["pooled"] == {"fold": "pooled", "images": "8", "CCC arousal": f"{ccc:.3f}"}
    rows, _, _ = compared(capsys, tmp_path / "a.csv", tmp_path / "b.csv")
    assert rows["mean of folds"]["CCC arousal"] == f"{ccc:.3f} ± 0.000"
    assert rows["mean of folds"]["CCC valence"] == "-1.000 (1 undefined)"


def test_a_bar_in_a_name_does_not_end_its_cell(tmp_path, capsys):
    file = predictions(tmp_path / "a|b" / "p.csv")
    _, text, _ = compared(capsys, file)
    assert f"| {tmp_path}/a\\|b/p.csv |" in text
    head, rule, row = comparison.markdown(["set", "n"], [["a|b", "1"]])
    assert row == "| a\\|b | 1 |" and len(head) == len(rule) == len(row)


def test_folds_that_share_an_image_are_both_named(tmp_path):
    files = [predictions(tmp_path / f"{name}.csv", start=start)
             for name, start in (("a", 0), ("b", 20), ("c", 27))]
    with pytest.raises(BadInput, match=r"b.csv and .*c.csv: .*set.npy#27 is in two folds"):
        paired.fold_table(files)


def test_expressions_that_a_model_does_not_know_are_left_out_of_both(tmp_path, capsys):
    """As in its report: of joy, fear and awe the first model has no awe. On joy and fear it is
    right in 3 of 4 images, the second in 2 of 4."""
    truth = ["joy", "joy", "fear", "fear", "awe", "awe", "", ""]
    files = []
    for name, said, more in (
        ("a", ["joy", "joy", "fear", "joy", "joy", "joy", "joy", "joy"],
         {"expression_known": [1, 1, 1, 1, 0, 0, "", ""]}),
        ("b", ["joy", "fear", "fear", "joy", "awe", "awe", "joy", "joy"], {}),
    ):
        manifest.write(tmp_path / f"{name}.csv", {
            "path": [f"set.npy#{k}" for k in range(8)], "subject": PEOPLE, "expression": said,
            "true_expression": truth, **more})
        files.append(tmp_path / f"{name}.csv")
    rows, _, _ = compared(capsys, *files, "--paired")
    accuracy = rows["expression accuracy"]
    assert (accuracy["first"], accuracy["second"]) == ("75.0", "50.0")
    # F1 of joy and fear: 4/5 and 2/3 of the first, 1/2 and 1/2 of the second
    assert rows["expression macro F1"]["first"] == f"{100 * (4 / 5 + 2 / 3) / 2:.1f}"
    rows, _, _ = compared(capsys, files[0])
    assert rows["pooled"]["expression accuracy"] == "75.0"
    rows, _, _ = compared(capsys, files[1])
    assert rows["pooled"]["expression accuracy"] == f"{100 * 4 / 6:.1f}"


def test_predictions_say_which_expressions_the_model_knows(tmp_path, capsys):
    """The report and the file of predictions give one accuracy; the column is there only where it
    is needed."""
    model = models.classifier(tmp_path / "c.onnx")
    place = models.dataset(tmp_path, [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]])
    columns = {name: manifest.read(place).columns[name] for name in ("path", "subject")}
    for names, known in ((["neutral", "neutral", "awe"], ["1", "1", "0"]),
                         (["neutral", "neutral", ""], None)):
        manifest.write(place, columns | {"expression": names})
        code, text, said = call(evaluate.main, capsys, "--model", model, "--test", place,
                                "--predictions", tmp_path / "p.csv")
        assert code == 0 and json.loads(text)["expression"]["accuracy"] == 0.5, said
        written = manifest.read(tmp_path / "p.csv")
        assert ("expression_known" in written.columns) == bool(known)
        assert not known or written.text("expression_known") == known
        assert paired.point(paired.Predictions.read(tmp_path / "p.csv"))[
            "expression accuracy"] == 0.5
