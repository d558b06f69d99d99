"""Model cards: what is known is said, with its held-out status; what is not known is said to be
unknown."""
import json

import models
import pytest
import torch
from commands import call

import evaluate
from lib import manifest, model_card

META = {"kind": "classifier", "architecture": "stripes", "aus": models.AUS, "valence_arousal": True,
        "expressions": ["joy"], "image_size": 8, "trained_on": "0123"}


def report(path, data, f1=0.5):
    path.write_text(json.dumps({
        "n": 2, "subjects": 2, "data": {"path": str(data)}, "au": {"mean": {"f1": f1}},
        "intervals": {"au": {"mean": {"f1": [0.4, 0.6]}}}
    }))
    return path


def test_card_says_figures_people_and_what_is_held_out(tmp_path, capsys):
    (tmp_path / "c.json").write_text(json.dumps(META))
    train = models.dataset(tmp_path, [[0] * 4] * 3, "train.csv", subjects=["a", "a", "b"])
    fresh = models.dataset(tmp_path, [[0] * 4] * 2, "test.csv", subjects=["c", "d"])
    known = models.dataset(tmp_path, [[0] * 4] * 2, "seen.csv", subjects=["a", "d"])
    reports = [report(tmp_path / "r1.json", fresh), report(tmp_path / "r2.json", known, 0.75)]
    status, _, _ = call(model_card.main, capsys, tmp_path / "c.onnx", "--train", train,
                        "--reports", *reports, "--licence", "CC0")
    text = (tmp_path / "c.md").read_text()
    assert status == 0
    assert f"{train}: 3 images, 2 people" in text
    assert "licence of the data: CC0" in text
    assert f"| F1 of AUs | 0.500 | 0.400 to 0.600 | {fresh} | 2 | 2 | held out |" in text
    row = f"| F1 of AUs | 0.750 | 0.400 to 0.600 | {known} | 2 | 2 | train: 1 of 2 people |"
    assert row in text
    assert "AU01, AU02, AU12, AU26, valence, arousal, joy" in text and "## Limits" in text


def test_what_a_model_learnt_from_stands_in_the_checkpoint_beside_it(tmp_path, capsys):
    (tmp_path / "c.json").write_text(json.dumps(META))
    train = models.dataset(tmp_path, [[0] * 4] * 3, "train.csv", subjects=["a", "a", "b"])
    sets = [model_card.facts(manifest.read(train))]
    assert sets == [{"file": str(train), "images": 3, "people": 2, "sources": []}]
    torch.save({"kind": "classifier", "training_sets": sets}, tmp_path / "c.pt")
    seen = models.dataset(tmp_path, [[0] * 4] * 2, "seen.csv", subjects=["a", "d"])
    line = ("--reports", report(tmp_path / "r.json", seen))
    status, _, _ = call(model_card.main, capsys, tmp_path / "c.onnx", *line)
    text = (tmp_path / "c.md").read_text()
    assert status == 0 and f"{train}: 3 images, 2 people" in text
    assert "| train: 1 of 2 people |" in text
    train.unlink()  # who is in it is not known any more
    call(model_card.main, capsys, tmp_path / "c.onnx", *line)
    text = (tmp_path / "c.md").read_text()
    assert f"{train}: 3 images, 2 people" in text and "| unknown |" in text


def test_a_report_on_another_export_is_refused(tmp_path, capsys):
    test = models.dataset(tmp_path, [[0] * 4, [.6, .2, 0, 1]], "test.csv", subjects=["c", "d"])
    models.classifier(tmp_path / "c.onnx")
    (tmp_path / "c.json").write_text(json.dumps(META))
    place = tmp_path / "r.json"
    line = ("--model", tmp_path / "c.onnx", "--test", test)
    status, text, said = call(evaluate.main, capsys, *line)
    assert status == 0, said
    place.write_text(text)
    card = (tmp_path / "c.onnx", "--reports", place)
    status, _, said = call(model_card.main, capsys, *card)
    assert status == 0 and "| F1 of AUs |" in (tmp_path / "c.md").read_text(), said
    models.classifier(tmp_path / "c.onnx", valence_arousal=True)  # exported anew
    status, _, said = call(model_card.main, capsys, *card)
    assert status == 3 and f"{place}: is not on this {tmp_path / 'c.onnx'}" in said
    assert len(said.splitlines()) == 1
    (tmp_path / "c.onnx").unlink()  # without it there is nothing to compare with
    assert call(model_card.main, capsys, *card)[0] == 0


def test_a_checkpoint_elsewhere_is_named(tmp_path, capsys):
    (tmp_path / "strong.json").write_text(json.dumps(META))
    sets = [{"file": "gone.csv", "images": 3, "people": 2, "sources": ["disfa"]}]
    torch.save({"kind": "generator", "training_sets": sets}, tmp_path / "generator.pt")
    model = tmp_path / "strong.onnx"
    status, _, _ = call(model_card.main, capsys, model, "--checkpoint", tmp_path / "generator.pt")
    assert status == 0
    text = (tmp_path / "strong.md").read_text()
    assert "gone.csv: 3 images, 2 people, column source: disfa" in text
    status, _, said = call(model_card.main, capsys, model, "--checkpoint", tmp_path / "none.pt")
    assert status == 3 and "none.pt" in said and said.count("\n") == 1


def test_what_is_unknown_is_said(tmp_path, capsys):
    model_card.write(tmp_path / "c.onnx", META)
    text = (tmp_path / "c.md").read_text()
    assert "licence of the data: unknown" in text and "Not measured yet" in text
    gone = json.loads(report(tmp_path / "r.json", tmp_path / "gone.csv").read_text())
    assert model_card.people_of(gone) == set() and model_card.status({}) == "unknown"
    gone["au"] = None
    assert model_card.figures([(gone, "unknown")]) == [
        "The reports hold none of the figures that stand here."]
    status, _, said = call(model_card.main, capsys, tmp_path / "none.onnx")
    assert status == 3 and "none.json: no such file" in said and said.count("\n") == 1


def people(folder, name, *subjects):
    """A manifest of an image of each subject."""
    return models.dataset(folder, [[0] * 4] * len(subjects), name, subjects=subjects)


@pytest.mark.parametrize("train, test, status", [
    ("ab", "cd", "held out"),
    ("ab-", "cd", "unknown"),
    ("-", "cd", "unknown"),
    ("ab", "c-", "unknown"),  # the second image may be of a or b
    ("ab", "ad", "train: 1 of 2 people"),
    ("ab-", "ad", "train: at least 1 of 2 people"),
    ("ab", "a-", "train: at least 1 of 1 people"),
])
def test_nothing_is_held_out_beside_images_of_unnamed_people(train, test, status, tmp_path,
                                                             capsys):
    """Each letter is a person, - an image without a subject; each person has a manifest."""
    (tmp_path / "c.json").write_text(json.dumps(META))
    parts = [people(tmp_path, f"train{k}.csv", name.strip("-")) for k, name in enumerate(train)]
    tested = people(tmp_path, "test.csv", *(name.strip("-") for name in test))
    code, _, _ = call(model_card.main, capsys, tmp_path / "c.onnx", "--train", *parts,
                      "--reports", report(tmp_path / "r.json", tested))
    assert code == 0 and f"| {status} |" in (tmp_path / "c.md").read_text()


@pytest.fixture
def of_people(tmp_path):
    """Models of the people a, b (tested by one report) and c (by another), which learnt from one
    manifest of all three; and a model of other people, to which d and e are links."""
    everyone, others = people(tmp_path, "abc.csv", *"abc"), people(tmp_path, "xy.csv", *"xy")
    for name, train in (("a", everyone), ("b", everyone), ("c", everyone), ("fold", others)):
        (tmp_path / f"own-{name}.json").write_text(json.dumps(META))
        (tmp_path / f"own-{name}.onnx").touch()
        sets = [{"file": str(train), "images": 1, "people": 1, "sources": ["synthetic"]}]
        torch.save({"kind": "classifier", "training_sets": sets}, tmp_path / f"own-{name}.pt")
    for name in "de":
        (tmp_path / f"own-{name}.onnx").symlink_to("own-fold.onnx")
    reports = [report(tmp_path / f"r_{test}.json", people(tmp_path, f"{test}.csv", *test), f1)
               for test, f1 in (("ab", 0.5), ("c", 0.25), ("de", 0.75))]
    return tmp_path / "own-{subject}.onnx", reports


def test_models_of_people_have_the_report_of_all_and_the_licence(of_people, tmp_path, capsys):
    pattern, reports = of_people
    status, _, said = call(model_card.main, capsys, pattern, "--reports", *reports,
                           "--licence", "CC0")
    assert status == 0, said
    rows = {name: f"| F1 of AUs | {f1} | 0.400 to 0.600 | {tmp_path / test}.csv | 2 | 2 | {held} |"
            for name, f1, test, held in (
                ("a", "0.500", "ab", "train: 2 of 2 people"),
                ("b", "0.500", "ab", "train: 2 of 2 people"),
                ("c", "0.250", "c", "train: 1 of 1 people"),
                ("fold", "0.750", "de", "held out"))}
    for name, row in rows.items():
        text = (tmp_path / f"own-{name}.md").read_text()
        assert text.count("| F1 of AUs |") == 1 and row in text
        assert "licence of the data: CC0" in text and "Not measured yet" not in text
        assert f"The figures are of all people's models together ({pattern})" in text
    assert "abc.csv: 1 images, 1 people, column source: synthetic" in (
        tmp_path / "own-a.md").read_text()
    assert not [*tmp_path.glob("own-[de].md")]


def test_of_models_of_people_what_cannot_be_is_said(of_people, tmp_path, capsys):
    pattern, reports = of_people
    for more in ((), ("--reports", reports[0], "--checkpoint", tmp_path / "own-a.pt")):
        status, _, said = call(model_card.main, capsys, pattern, *more)
        assert status == 2 and "models of people need --reports" in said
        assert said.count("\n") == 1
    (tmp_path / "own-b.json").unlink()
    status, _, said = call(model_card.main, capsys, pattern, "--reports", *reports)
    assert status == 3 and "own-b.json: no such file" in said and said.count("\n") == 1
    assert not [*tmp_path.glob("own-*.md")]
    (tmp_path / "ab.csv").unlink()
    status, _, said = call(model_card.main, capsys, pattern, "--reports", *reports)
    assert status == 3 and "r_ab.json: its test" in said and said.count("\n") == 1


def test_a_bar_in_the_name_of_the_data_does_not_end_its_cell(tmp_path, capsys):
    (tmp_path / "c.json").write_text(json.dumps(META))
    place = report(tmp_path / "r.json", tmp_path / "a|b.csv")
    status, _, said = call(model_card.main, capsys, tmp_path / "c.onnx", "--reports", place)
    assert status == 0, said
    assert f"| 0.400 to 0.600 | {tmp_path}/a\\|b.csv | 2 | 2 |" in (tmp_path / "c.md").read_text()
