"""Image quality of edits, the value asked, the person, and the sheet of several editors."""
import json

import models
import numpy as np
import onnx
import pytest
from commands import fail_here, succeed_here

import evaluate
from lib import images, manifest
from lib.evaluation import edit_report, edit_sheet, image_quality
from lib.onnx_runtime import Model


def test_ssim_is_that_of_scikit_image():
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    draw = np.random.default_rng(0)
    one = draw.integers(0, 256, (2, 19, 16, 3)).astype(np.uint8)
    other = np.clip(one + draw.normal(0, 30, one.shape), 0, 255).astype(np.uint8)
    found = image_quality.ssim_map(one, other)
    for k in range(2):
        _, expected = structural_similarity(one[k], other[k], channel_axis=2, full=True)
        assert found[k] == pytest.approx(expected.mean(2), abs=1e-9)
    assert image_quality.ssim_map(one, one) == pytest.approx(1)


def test_quality_inside_and_outside_by_hand():
    source = np.full((1, 20, 20, 3), 100, np.uint8)
    true, edited = source.copy(), source.copy()
    region = np.zeros((1, 20, 20), bool)
    region[0, :, :10] = True
    true[0, :, :10], edited[0, :, :10] = 120, 110
    found = image_quality.quality(source, edited, true, region)

    def decibels(difference):
        return 20 * np.log10(255 / difference)

    assert found["psnr_inside"]["edited"] == pytest.approx(decibels(10))
    assert found["psnr_inside"]["unedited"] == pytest.approx(decibels(20))
    assert found["psnr_outside"]["edited"] == 60  # equal
    assert found["ssim_inside"]["edited"] > found["ssim_inside"]["unedited"]
    nothing = image_quality.quality(source, edited, true, region & False)
    assert np.isnan(nothing["psnr_inside"]["edited"]).all()


def test_likeness_by_hand():
    one = np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    other = np.array([[0.0, 2.0], [3.0, 4.0], [1.0, 0.0]])
    assert image_quality.likeness(one, other) == pytest.approx([0, 1, 0])


def pairs_of_one_au(folder):
    """Sources without AUs, true images with AU12 at 0.2 to 0.8; the editor is asked for half of
    it."""
    levels = np.array([0.2, 0.4, 0.6, 0.8])
    blank = np.zeros((4, 4))
    true = blank.copy()
    true[:, 2] = levels
    pictures = [models.paint(row, 16) for row in np.concatenate([blank, true])]
    images.save_pack(folder / "pairs.npy", np.stack(pictures))
    manifest.write(folder / "pairs.csv", {
        "path": [f"pairs.npy#{i}" for i in range(4)], "subject": list("abcd"),
        "true_path": [f"pairs.npy#{i + 4}" for i in range(4)],
        **{au: [0.0] * 4 for au in models.AUS},
        **{f"target_{au}": list(levels / 2 if au == "AU12" else blank[:, 0]) for au in models.AUS}})
    return folder / "pairs.csv"


def test_the_report_says_value_quality_and_person(tmp_path):
    pairs = pairs_of_one_au(tmp_path)
    editor = models.generator(tmp_path / "g.onnx", size=16)
    judge = models.classifier(tmp_path / "judge.onnx", size=16)
    given = (evaluate.main, "--model", editor, "--pairs", pairs, "--judge", judge)
    report = json.loads(succeed_here(*given, "--identity", judge)[0])
    row, summary = report["edits"]["per_au"]["AU12"], report["edits"]["summary"]
    # asked for 0.1 to 0.4, which the edit shows; the true images show twice that
    assert row["asked"]["edited"]["pcc"] == pytest.approx(1, abs=1e-3)
    assert row["asked"]["edited"]["mae"] == pytest.approx(0, abs=2e-3)
    assert row["asked"]["true"]["mae"] == pytest.approx(0.25, abs=2e-3)
    quality = row["quality"]
    assert quality["psnr_inside"]["edited"] == pytest.approx(
        quality["psnr_inside"]["unedited"] + 20 * np.log10(2), abs=0.1)
    assert quality["psnr_outside"] == {"edited": 60, "unedited": 60}
    # a black source has no features; all edits show AU12 alone, as the true image of another does
    assert row["person"] == {"edited": 0, "true": 0, "other": pytest.approx(1, abs=1e-4)}
    # a stripe of four rises by 0.1, 0.2, 0.3, 0.4; nothing asked, nothing changed
    assert row["change"] == {"asked": pytest.approx(255 * 0.25 / 4, abs=0.1), "nothing_asked": 0}
    assert summary["quality"] == quality and summary["asked"] == row["asked"]
    assert report["protocol"]["identity"]["path"] == str(judge)
    plain = json.loads(succeed_here(*given)[0])
    assert plain["edits"]["summary"]["person"] == {} and plain["protocol"]["identity"] is None
    folder = tmp_path / "quick" / "toy" / "stripes" / "seed1"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(report))
    table, _ = succeed_here(evaluate.main, "--compare", folder / "report.json")
    assert "### toy: edits of AUs against true images" in table
    cells = quality_row(table)
    assert cells["PSNR outside, dB"] == cells["PSNR outside, unedited"] == "60.0"
    for name, key in (("SSIM outside", "edited"), ("SSIM outside, unedited", "unedited")):
        assert cells[name] == f"{quality['ssim_outside'][key]:.2f}"
    assert cells["change, /255"] == "15.9" and cells["change where nothing is asked"] == "0.00"
    assert [cells[name] for name in ("same person", "true image", "another person")] == [
        "0.00", "0.00", "1.00"]
    assert f"an embedding that tells people apart: stripes ({judge}, which learnt from" in table


def quality_row(text):
    """{heading: cell} of the first generator in the table of image quality."""
    lines = text.split("image quality, change, person\n\n")[1].split("\n")
    headings, _, cells = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[:3])
    return dict(zip(headings, cells))


def test_strangers_by_hand():
    """In the order of people a a a b c c: each image takes what stands three further on."""
    assert edit_report.strangers(["a", "b", "a", "c", "a", "c"]).tolist() == [1, 0, 3, 2, 5, 4]
    # more than half of the images are of one person: one of them finds nobody else
    assert edit_report.strangers(["a", "a", "b"]).tolist() == [2, -1, 1]
    assert edit_report.strangers(["", "b", "a", ""]).tolist() == [-1, 2, 1, -1]
    assert edit_report.strangers(["a", "a"]).tolist() == [-1, -1]
    assert edit_report.strangers(["", ""]).tolist() == [-1, -1]


def test_tables_say_what_is_edited_and_what_was_not_measured(tmp_path):
    """Two reports on one generator, one of them made before people and change were measured."""
    pairs = pairs_of_one_au(tmp_path)
    editor = models.generator(tmp_path / "g.onnx", size=16)
    judge = models.classifier(tmp_path / "judge.onnx", size=16)
    report = json.loads(succeed_here(evaluate.main, "--model", editor, "--pairs", pairs,
                                     "--judge", judge)[0])
    folder = tmp_path / "quick" / "toy" / "generators" / "stripes" / "seed1"
    folder.mkdir(parents=True)
    for name in ("report", "report_aus"):
        (folder / f"{name}.json").write_text(json.dumps(report))
        report["edits"]["summary"].pop("change", None)
    text, _ = succeed_here(evaluate.main, "--compare", *folder.glob("*.json"))
    headings = [line for line in text.splitlines() if line.startswith("#")]
    more = "value asked, image quality, change, person"
    assert headings == [
        "### toy: edits of AUs against true images",
        f"### toy: edits of AUs: {more}",
        "### toy: edits of AUs (report_aus.json) against true images",
        f"### toy: edits of AUs (report_aus.json): {more}",
    ]
    first, second = (quality_row(part) for part in text.split("(report_aus.json) against"))
    assert first["change, /255"] == "15.9" and second["change, /255"] == "not measured"
    assert {first[name] for name in ("same person", "another person")} == {"not measured"}
    assert "Person:" not in text


def test_the_papers_figures_stand_below_both_arms(tmp_path):
    """Generators with and without the idiosyncratic loss, and the classifiers of both."""
    pairs = pairs_of_one_au(tmp_path)
    judge = models.classifier(tmp_path / "judge.onnx", size=16)
    editor = models.generator(tmp_path / "g.onnx", size=16)
    edits, _ = succeed_here(evaluate.main, "--model", editor, "--pairs", pairs, "--judge", judge)
    read, _ = succeed_here(evaluate.main, "--model", judge, "--test", pairs)
    reports = []
    for name in ("ganimation", "ganimation-no-pairs"):
        for place, text in ((f"{name}-g1", read), (f"generators/{name}", edits)):
            path = tmp_path / "quick" / "toy" / place / "seed1" / "report.json"
            path.parent.mkdir(parents=True)
            path.write_text(text)
            reports.append(path)
    text, _ = succeed_here(evaluate.main, "--compare", *reports)
    of_edits, of_readings = (
        next(line for line in text.splitlines() if line.startswith("Niinuma") and name in line)
        for name in ("SSIM", "ICC"))
    assert of_readings == (
        "Niinuma et al. 2022, section 4.4, on fera17: ICC 0.523 (ganimation, with the "
        "idiosyncratic loss) and 0.525 (ganimation-no-pairs, without the idiosyncratic loss).")
    assert "SSIM 0.835 (ganimation, " in of_edits and "0.824 (ganimation-no-pairs, " in of_edits
    assert "FID 4.88 (ganimation, " in of_edits and "5.94 (ganimation-no-pairs, " in of_edits
    alone, _ = succeed_here(evaluate.main, "--compare", *reports[:2])
    assert "Niinuma" not in alone


def test_a_sheet_has_a_row_an_editor_and_a_column_a_condition(tmp_path):
    pairs = pairs_of_one_au(tmp_path)
    editors = [models.generator(tmp_path / "all.onnx", size=16),
               models.generator(tmp_path / "two.onnx", ["AU12", "AU43"], size=16)]
    sheet = (edit_sheet.main, "--models", *editors, "--images", pairs, "--level", 1)
    _, said = succeed_here(*sheet, "--out", tmp_path / "sheet.png", "--scale", 1)
    assert "columns the image, AU01, AU02, AU12, AU26, AU43" in said
    picture = images.load(str(tmp_path / "sheet.png"))
    assert picture.shape == (16 * 2 + 2, 16 * 6 + 2 * 5, 3)

    def cell(row, column):
        return picture[18 * row:18 * row + 16, 18 * column:18 * column + 16]

    assert np.array_equal(cell(0, 3), models.paint([0, 0, 1, 0], 16))
    assert np.array_equal(cell(1, 3), models.paint([1, 0], 16))
    assert (cell(0, 5) == 255).all() and (cell(1, 1) == 255).all()  # unknown to that editor
    fail_here(3, "has 4 images", *sheet, "--row", 9, "--out", tmp_path / "no.png")


def test_a_row_is_blank_where_an_editor_knows_no_column(tmp_path):
    """The second editor knows valence and arousal only, for which a sheet has no columns."""
    pairs = pairs_of_one_au(tmp_path)
    feelings = {"aus": [], "valence_arousal": True}
    editors = [models.generator(tmp_path / "aus.onnx", ["AU12", "AU43"], size=16),
               models.generator(tmp_path / "va.onnx", ["valence", "arousal"], 16, feelings)]
    sheet = (edit_sheet.main, "--models", *editors, "--images", pairs)
    _, said = succeed_here(*sheet, "--out", tmp_path / "sheet.png", "--scale", 1)
    assert "columns the image, AU12, AU43" in said
    picture = images.load(str(tmp_path / "sheet.png"))
    assert picture.shape == (16 * 2 + 2, 16 * 3 + 2 * 2, 3)
    assert np.array_equal(picture[18:, :16], picture[:16, :16])  # the image as it is
    assert (picture[18:, 18:] == 255).all()


def test_similarity_is_taken_once_for_both_regions(monkeypatch):
    """It takes longest; inside and outside are means of one map."""
    taken, plain = [], image_quality.ssim_map
    monkeypatch.setattr(image_quality, "ssim_map",
                        lambda one, other: taken.append(one[0, 0, 0, 0]) or plain(one, other))
    source = np.full((1, 8, 8, 3), 100, np.uint8)
    region = np.zeros((1, 8, 8), bool)
    region[0, :4] = True
    found = image_quality.quality(source, source + 10, source, region)
    assert taken == [110, 100]  # of the edit and of the unedited image
    assert list(found) == ["psnr_inside", "ssim_inside", "psnr_outside", "ssim_outside"]
    assert found["psnr_outside"]["edited"] == pytest.approx(20 * np.log10(25.5))
    assert found["ssim_inside"]["unedited"] == pytest.approx(1)


def test_the_changed_region_is_looked_for_once(tmp_path, monkeypatch):
    """Quality and distances are of the same region."""
    looked, plain = [], edit_report.changed_region
    monkeypatch.setattr(edit_report, "changed_region",
                        lambda source, true: looked.append(len(true)) or plain(source, true))
    opened = [Model.open(path, "cpu") for path in (
        models.generator(tmp_path / "g.onnx", size=16),
        models.classifier(tmp_path / "judge.onnx", size=16))]
    found = edit_report.run(*opened, manifest.read(pairs_of_one_au(tmp_path)))
    assert looked == [4]
    # a stripe of four with a pixel on either side; AU12 rises by half of 0.2 to 0.8
    assert found.pixels["region_share"] == pytest.approx(6 / 16)
    changed = np.round(255 * np.array([0.1, 0.2, 0.3, 0.4])) * 4 / 6
    assert found.pixels["unedited"] == pytest.approx(2 * changed, abs=1)
    assert found.pixels["edited"] == pytest.approx(changed, abs=1)
    assert found.pixels["outside"].tolist() == [0] * 4


def test_edits_of_expressions_by_hand(tmp_path):
    """The judge reads happiness as the brightness of the last stripe; the editor paints its half
    white."""
    judge = models.classifier(tmp_path / "judge.onnx", size=16)
    editor = models.generator(tmp_path / "g.onnx", ["neutral", "happiness"], size=16)
    graph = onnx.load(editor)
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, {name: json.dumps(value) for name, value in {
        "kind": "editor", "conditions": ["neutral", "happiness"],
        "expressions": ["neutral", "happiness"], "image_size": 16,
        "condition_kind": ["expression"] * 2}.items()})
    onnx.save(graph, editor)
    pictures = [models.paint(row, 16) for row in ([0, 0, 0, 0], [0, 0, 0, 0.8], [0, 0, 0, 0.4])]
    images.save_pack(tmp_path / "pairs.npy", np.stack(pictures))
    manifest.write(tmp_path / "pairs.csv", {
        "path": ["pairs.npy#0"] * 3, "true_path": [f"pairs.npy#{i}" for i in (1, 2, 1)],
        "expression": ["neutral"] * 3, "target_expression": ["happiness", "happiness", "anger"]})
    given = ("--model", editor, "--pairs", tmp_path / "pairs.csv", "--judge", judge)
    report = json.loads(succeed_here(evaluate.main, *given, "--identity", judge)[0])
    row = report["edits"]["per_au"]["happiness"]
    assert row["n"] == 2 and row["rise"] == pytest.approx(1, abs=0.01)
    # one of the two true images shows too little to be read as happiness
    assert report["edits"]["expression"]["mean"] == {"source": 0, "edited": 1, "true": 0.5}
    assert report["protocol"]["pairs_left_out"] == 1
    # nobody is named: there is no other person
    assert row["person"] == {"edited": 0, "true": 0, "other": None}
    assert row["quality"]["psnr_inside"]["edited"] < row["quality"]["psnr_inside"]["unedited"]
    (tmp_path / "report.json").write_text(json.dumps(report))
    said = succeed_here(evaluate.main, "--compare", tmp_path / "report.json")[0]
    headings, cells = (next(line for line in said.split("\n") if word in line).split("|")
                       for word in ("read as asked", "| 100 "))
    place = next(i for i, heading in enumerate(headings) if "read as asked" in heading)
    assert [cell.strip() for cell in cells[place:place + 2]] == ["100", "50"]
    assert "expressions read well" in said and "AUs" not in said
    assert "### reports: edits of expressions against true images" in said
    # each pair asks for happiness 1: no correlation
    cells = quality_row(said)
    assert cells["PCC with the value asked"] == cells["true images"] == "undefined"
    assert cells["another person"] == "undefined" and cells["MAE"] == "0.00"
