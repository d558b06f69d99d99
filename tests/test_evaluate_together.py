"""evaluate.py with several models, one a person, strides, files of predictions, and pages of
pictures."""
import csv
import json
import re

import models
import numpy as np
import pytest
from commands import call

import evaluate as script
from lib import manifest
from lib.cli import BadInput
from lib.evaluation import bootstrap, gains, metrics, paired, reading, report_page


def measure(capsys, *arguments):
    """The report of one run in this process."""
    status, out, said = call(script.main, capsys, *arguments)
    assert status == 0, said
    return json.loads(out)


def without(path, *outputs, **meta):
    """A model of tests/models.py less some outputs, in place."""
    import onnx
    from onnx import helper

    model = onnx.load(str(path))
    kept = [item for item in model.graph.output if item.name not in outputs]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    props = {item.key: json.loads(item.value) for item in model.metadata_props} | meta
    del model.metadata_props[:]
    helper.set_model_props(model, {key: json.dumps(value) for key, value in props.items()})
    onnx.save(model, str(path))
    return path


@pytest.fixture
def people(tmp_path):
    """Twelve images of three people, whose AUs are what is painted."""
    rng = np.random.default_rng(0)
    models.dataset(tmp_path, rng.integers(0, 6, (12, 4)) / 5,
                   subjects=[name for name in "abc" for _ in range(4)])
    return tmp_path


def test_models_of_different_labels_are_one(people, capsys):
    whole = models.classifier(people / "whole.onnx")
    both = ["--test", people / "set.csv"]
    together = measure(capsys, "--model", whole, *both)
    parts = []
    # the graph reads all four; the metadata says which one it gives
    for k, name in enumerate(models.AUS):
        parts.append(one_au(people / f"{name}.onnx", k))
    apart = measure(capsys, "--model", *parts, *both)
    assert apart["au"]["per_au"] == together["au"]["per_au"] and apart["model"]["models"] == 4
    assert apart["protocol"]["thresholds"] == together["protocol"]["thresholds"]
    status, _, said = call(script.main, capsys, "--model", parts[0], parts[0], *both)
    assert status == 3 and "reads AU01, as" in said and said.count("\n") == 1


def test_every_model_is_asked_for_its_registration(people, capsys):
    """The second of two models, or one person's, expects another than the images have."""
    aus = without(models.classifier(people / "aus.onnx"), "valence_arousal", "expression")
    feelings = without(models.classifier(people / "va.onnx"), "au", "expression", "features",
                       aus=[], expressions=[], registration="3d-8")
    _, _, said = call(script.main, capsys, "--model", aus, feelings, "--test", people / "set.csv")
    assert "va.onnx expects registration '3d-8'" in said and said.count("expects") == 1
    for name in "abc":
        models.classifier(people / f"{name}.onnx", registration="3d-8" if name == "b" else None)
    _, _, said = call(script.main, capsys, "--model", people / "{subject}.onnx",
                      "--test", people / "set.csv")
    assert "b.onnx expects registration '3d-8'" in said and said.count("expects") == 1


def discriminator(path, **meta):
    """A model that takes an image for real with a probability, its last stripe's brightness."""
    import onnx
    from onnx import helper, numpy_helper

    models.classifier(path, **meta)
    model = onnx.load(str(path))
    model.graph.initializer.append(numpy_helper.from_array(np.array(3, np.int64), "which"))
    model.graph.node.append(helper.make_node("Gather", ["au", "which"], ["real"], axis=1))
    shape = helper.make_tensor_value_info("real", onnx.TensorProto.FLOAT, ["N"])
    model.graph.output.append(shape)
    onnx.save(model, str(path))
    return path


def test_a_discriminator_among_several_models_is_measured(people, capsys):
    """Whatever its place, and where people have models of their own."""
    aus = without(models.classifier(people / "aus.onnx"), "valence_arousal", "expression")
    reader = discriminator(people / "d.onnx", real_kind="probability")
    reader = without(reader, "au", "expression", "features", aus=[], expressions=[])
    columns = manifest.read(people / "set.csv").numbers("AU26")
    share = float((columns >= 0.5).mean())  # AU26 is the last stripe
    assert 0 < share < 1
    for paths in ((aus, reader), (reader, aus)):
        report = measure(capsys, "--model", *paths, "--test", people / "set.csv")
        assert report["real_as_real"] == pytest.approx(share)
    for name in "abc":
        discriminator(people / f"{name}.onnx", real_kind="probability")
    report = measure(capsys, "--model", people / "{subject}.onnx", "--test", people / "set.csv")
    assert report["real_as_real"] == pytest.approx(share)


def one_au(path, k):
    """A model that gives AU k of four only."""
    import onnx
    from onnx import helper, numpy_helper

    models.classifier(path)
    model = onnx.load(str(path))
    model.graph.initializer.append(numpy_helper.from_array(np.array([k], np.int64), "which"))
    for node in model.graph.node:
        node.output[:] = ["all" if name == "au" else name for name in node.output]
        node.input[:] = ["all" if name == "au" else name for name in node.input]
    model.graph.node.append(helper.make_node("Gather", ["all", "which"], ["au"], axis=1))
    onnx.save(model, str(path))
    return without(path, "valence_arousal", "expression", "features", aus=[models.AUS[k]],
                   expressions=[], thresholds={models.AUS[k]: 0.4})


def test_a_model_a_person(people, capsys):
    for name, threshold in (("a", 0.1), ("b", 0.5), ("c", 0.9)):
        models.classifier(people / f"{name}.onnx", thresholds={au: threshold for au in models.AUS})
    report = measure(capsys, "--model", people / "{subject}.onnx", "--test", people / "set.csv",
                     "--predictions", people / "p.csv")
    with open(people / "p.csv") as file:
        rows = list(csv.DictReader(file))
    for row, threshold in zip(rows, np.repeat([0.1, 0.5, 0.9], 4)):
        assert row["present_AU01"] == str(int(float(row["AU01"]) >= threshold - 1e-4))
    assert report["protocol"]["thresholds"] == "of each person's model"
    assert report["model"]["models"] == 3
    (people / "b.onnx").unlink()
    status, _, said = call(script.main, capsys, "--model", people / "{subject}.onnx",
                           "--test", people / "set.csv")
    assert status == 3 and "b.onnx: no such model" in said and said.count("\n") == 1
    status, _, said = call(script.main, capsys, "--model", people / "{subject}.onnx",
                           people / "a.onnx", "--test", people / "set.csv")
    assert status == 3 and "stands alone" in said


def test_stride_counts_each_persons_images(people, capsys):
    model = models.classifier(people / "c.onnx")
    report = measure(capsys, "--model", model, "--test", people / "set.csv", "--stride", 3,
                     "--predictions", people / "p.csv")
    assert report["n"] == 6 and report["protocol"]["stride"] == 3
    assert [image.rpartition("#")[2] for image in manifest.read(people / "p.csv").images()] \
        == ["0", "3", "4", "7", "8", "11"]


def predictions(path, truth, scores, subjects, start=0):
    """A file as --predictions writes it, of one AU, present from 0.4 on."""
    manifest.write(path, {"path": [f"set.npy#{start + i}" for i in range(len(truth))],
                          "subject": subjects, "AU01": list(scores), "true_AU01": list(truth),
                          "present_AU01": list(metrics.present(scores, 0.4)),
                          "true_present_AU01": list(metrics.present(truth, 0.4))})
    return path


def table(text):
    """Rows of a Markdown table, {first cell: {heading: cell}}."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]]
            for line in text.splitlines() if line.startswith("|")]
    return {row[0]: dict(zip(rows[0], row)) for row in rows[2:]}


def test_paired_difference_by_hand(tmp_path, capsys):
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 6, 80) / 5
    subjects = [f"p{i // 4}" for i in range(80)]
    near, far = np.clip(truth + rng.normal(0, 0.05, 80), 0, 1), np.clip(rng.random(80), 0, 1)
    first, second = predictions(tmp_path / "a.csv", truth, near, subjects), tmp_path / "b.csv"
    predictions(second, truth[::-1], far, subjects[::-1])
    data = manifest.read(second)  # the same images in another order
    data.columns["path"] = [f"set.npy#{79 - i}" for i in range(80)]
    data.write(second)
    status, out, _ = call(script.main, capsys, "--compare", first, second, "--paired")
    rows = table(out)
    assert status == 0 and list(rows) == ["F1", "FDR", "AU accuracy", "ICC", "PCC", "MAE"]
    mae = [np.abs(manifest.read(path).numbers("AU01")
                  - manifest.read(path).numbers("true_AU01")).mean() for path in (first, second)]
    assert float(rows["MAE"]["difference"]) == pytest.approx(mae[0] - mae[1], abs=6e-4)
    f1 = [metrics.detection(metrics.present(t, 0.4), metrics.present(s, 0.4))["f1"]
          for t, s in ((truth, near), (truth[::-1], far))]
    assert rows["F1"]["difference"] == f"{100 * (f1[0] - f1[1]):.1f}"
    assert float(rows["F1"]["p"]) < 0.01
    assert "80 images, 20 people, 1 AUs" in out
    same = table(call(script.main, capsys, "--compare", first, first, "--paired")[1])
    assert same["ICC"]["difference"] == "0.000" and same["ICC"]["p"] == "1.000"


def test_paired_refuses_other_images_and_files(tmp_path, capsys):
    one = predictions(tmp_path / "a.csv", np.ones(2), np.ones(2), ["a", "b"])
    other = predictions(tmp_path / "b.csv", np.ones(2), np.ones(2), ["a", "b"], start=2)
    for arguments, status, part in (
        ([one, other], 3, "no image in common"), ([one], 2, "--paired compares two"),
        ([one, "report.json"], 2, "--paired compares two")
    ):
        found = call(script.main, capsys, "--compare", *arguments, "--paired")
        assert found[0] == status and part in found[2] and found[2].count("\n") == 1
    (tmp_path / "plain.csv").write_text("path,AU01\na,1\n")
    found = call(script.main, capsys, "--compare", one, tmp_path / "plain.csv", "--paired")
    assert found[0] == 3 and "--predictions" in found[2]


def test_folds_pooled_and_their_mean(tmp_path, capsys):
    rng = np.random.default_rng(2)
    files, f1 = [], []
    truth, scores = rng.random((3, 30)), rng.random((3, 30))
    for k in range(3):
        files.append(predictions(tmp_path / f"fold{k}.csv", truth[k], scores[k],
                                 [f"{k}{i // 5}" for i in range(30)], 30 * k))
        f1.append(metrics.detection(metrics.present(truth[k], 0.4),
                                    metrics.present(scores[k], 0.4))["f1"])
    rows = table(call(script.main, capsys, "--compare", *files)[1])
    mean, sd = 100 * np.mean(f1), 100 * np.std(f1, ddof=1)
    assert rows["mean of folds"]["F1"] == f"{mean:.1f} ± {sd:.1f}"
    whole = metrics.detection(metrics.present(truth.ravel(), 0.4),
                              metrics.present(scores.ravel(), 0.4))["f1"]
    assert rows["pooled"]["F1"] == f"{100 * whole:.1f}" and rows["pooled"]["images"] == "90"
    low, high = map(float, rows["pooled, 95 % interval"]["F1"].split(" to "))
    assert low < 100 * whole < high
    with pytest.raises(BadInput, match="in two folds"):
        paired.fold_table([files[0], files[0]])


def test_occurrences_have_no_level_in_comparisons(tmp_path):
    path = predictions(tmp_path / "a.csv", np.ones(4), np.array([1, 0, 1, 0.5]), list("abcd"))
    data = manifest.read(path)
    data.columns["au_kind"] = ["occurrence"] * 4
    data.write(path)
    found = paired.point(paired.Predictions.read(path))
    assert "MAE" not in found and found["F1"] == pytest.approx(6 / 7)


KINDS = {"au": ("valence_arousal", "expression"), "va": ("au", "features", "expression"),
         "expression": ("au", "features", "valence_arousal")}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_model_has_its_page(kind, people, capsys):
    meta = {} if kind == "au" else {"aus": [], "thresholds": {}}
    model = without(models.classifier(people / "c.onnx"), *KINDS[kind], **meta,
                    **({} if kind == "expression" else {"expressions": []}))
    data = manifest.read(people / "set.csv")
    data.columns |= {"valence": [f"{value}" for value in np.linspace(-1, 1, 12)],
                     "arousal": ["0.5", ""] * 6, "expression": ["neutral", "happiness", ""] * 4,
                     "video": ["v"] * 12, "subject": list("aaaaaaaaaabb")}
    data.write(people / "set.csv")
    report = measure(capsys, "--model", model, "--test", people / "set.csv",
                     "--report", people / "page")
    assert set(report) & {"au", "va", "expression"} == {kind}
    text = (people / "page/index.html").read_text()
    pictures = {path.name for path in (people / "page").glob("*.png")}
    assert set(re.findall(r'<img src="([^"]+)"', text)) == pictures
    assert {"au": {"au_bars.png", "coactivation.png", "features.png"},
            "va": {"va_traces.png", "va_scatter.png"},
            "expression": {"confusion.png", "mistakes.png"}}[kind] <= pictures
    alts = re.findall(r'alt="([^"]*)"', text)
    assert len(alts) == len(pictures) and min(map(len, alts)) > 40
    assert "http" not in re.sub(r"<style>.*?</style>", "", text, flags=re.S)  # it opens offline


def test_intervals_stand_beside_their_numbers(people, capsys):
    model = models.classifier(people / "c.onnx")
    report = measure(capsys, "--model", model, "--test", people / "set.csv")
    found = report["intervals"]
    resampled = (found["unit"], found["units"], found["resamples"])
    assert resampled == ("subject", 3, bootstrap.RESAMPLES)
    assert set(found["au"]["mean"]) <= set(report["au"]["mean"])
    low, high = found["au"]["mean"]["icc"]
    assert low <= report["au"]["mean"]["icc"] <= high
    assert set(report["au"]["two_afc"]["mean"]) == {"A", "B", "C", "left_out"}
    lines = (people / "set.csv").read_text().splitlines()
    (people / "one.csv").write_text("\n".join(lines[:5]) + "\n")
    alone = measure(capsys, "--model", model, "--test", people / "one.csv")
    assert alone["intervals"]["au"]["mean"]["f1"] is None and alone["subjects"] == 1


def test_seeds_are_averaged_and_people_who_gain_are_counted(tmp_path, capsys):
    """Two people, two seeds a side: the mean MAE of a side is that of its files. p0 is read well
    by the first side and badly by the second, p1 the other way round: one gains, one loses, and
    the sign test says nothing."""
    truth, subjects = np.tile([0, 0.4, 0.8, 1.0], 2), ["p0"] * 4 + ["p1"] * 4
    wrong = 1 - truth
    near, far = np.where(np.arange(8) < 4, truth, wrong), np.where(np.arange(8) < 4, wrong, truth)
    files = [predictions(tmp_path / f"{k}.csv", truth, scores, subjects)
             for k, scores in enumerate((near, truth * 0.9, far, wrong))]
    status, out, _ = call(script.main, capsys, "--compare", *files[:2], "--against", *files[2:])
    rows = table(out)
    assert status == 0 and "First: the mean of 2 files, second: of 2." in out
    mae = [np.abs(scores - truth).mean() for scores in (near, truth * 0.9, far, wrong)]
    assert float(rows["MAE"]["first"]) == pytest.approx((mae[0] + mae[1]) / 2, abs=6e-4)
    expected = (mae[0] + mae[1] - mae[2] - mae[3]) / 2
    assert float(rows["MAE"]["difference"]) == pytest.approx(expected, abs=6e-4)
    single = call(script.main, capsys, "--compare", files[0], files[2], "--paired")[1]
    assert "1 of 2 people gain, 1 lose; sign test p = 1.000. Most is lost by p1 (" in single
    found = call(script.main, capsys, "--compare", files[0], "--against", "report.json")
    assert found[0] == 2 and "--against compares files" in found[2]


def test_mistakes_of_every_kind_are_shown():
    """Fourteen wrong expressions do not hide the AU that is 0.95 off. How wrong an expression is,
    its probabilities say."""
    n = 20
    told = {"true_AU01": [0.0] * n, "AU01": [0.95] + [0.0] * (n - 1), "true_valence": [0.0] * n,
            "valence": [0.0] * n, "true_arousal": [0.0] * n, "arousal": [0, 1] + [0.0] * (n - 2),
            "true_expression": ["joy"] * n, "expression": ["fear"] * 14 + ["joy"] * 6}
    chances = np.linspace(0.55, 0.68, n)
    read = reading.Reading(expressions=["fear", "joy"],
                           expression=np.stack([chances, 1 - chances], 1))
    out = {"au": {"per_au": {"AU01": {}}}, "va": {}, "expression": {}}
    kinds = report_page.worst(out, told, read)
    assert [len(kind) for kind in kinds] == [1, 1, 14]
    assert kinds[0][0][:2] == (0.95, 0) and kinds[1][0][:2] == (0.5, 1)
    assert kinds[2][3][0] == pytest.approx(2 * chances[3] - 1)
    shown = report_page.worst_of_each(kinds)
    assert [row for _, row, _ in shown] == [0, 1, *range(13, 3, -1)]
    assert len(shown) == report_page.MISTAKES and report_page.worst_of_each([[], []]) == []


def test_tables_say_what_is_resampled(people, capsys):
    """People where they are named, else images."""
    model = models.classifier(people / "c.onnx")
    data = manifest.read(people / "set.csv")
    del data.columns["subject"]
    data.write(people / "unnamed.csv")
    for name, drawn in (("set", "subjects"), ("unnamed", "images")):
        place = people / f"quick/{name}/supervised/seed1/report.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(measure(
            capsys, "--model", model, "--test", people / f"{name}.csv",
            "--report", people / name, "--predictions", people / f"{name}_predictions.csv")))
        shown = call(script.main, capsys, "--compare", place)[1]
        assert f"Intervals: bootstrap over {drawn}, the mean" in shown
        drawn = drawn.replace("subjects", "people")
        page = (people / name / "index.html").read_text()
        assert f"Intervals come from a bootstrap over {drawn}." in page
        files = [people / f"{name}_predictions.csv"] * 2
        shown = call(script.main, capsys, "--compare", *files, "--paired")[1]
        assert f"Paired bootstrap over {drawn}, 1,000 resamples" in shown


def test_sign_test_by_hand():
    """Nine of ten gain: p = 2 (1 + 10) / 1024."""
    assert gains.p_value(22 / 1024) == "0.021" and gains.p_value(2 / 2 ** 20) == "< 0.001"
    assert gains.sign_test(9, 1) == pytest.approx(22 / 1024) and gains.sign_test(0, 0) == 1.0
    assert gains.sign_test(3, 3) == 1.0
