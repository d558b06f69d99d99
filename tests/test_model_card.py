"""Model cards: what is known is said, with its held-out status; what is not known is said to be
unknown."""
import json

import models
import torch
from commands import call

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
    train = manifest.read(models.dataset(tmp_path, [[0] * 4], subjects=["a"]))
    gone = json.loads(report(tmp_path / "r.json", tmp_path / "gone.csv").read_text())
    assert model_card.status([train], gone) == "unknown"
    gone["au"] = None
    assert model_card.figures([train], [("r.json", gone)]) == [
        "The reports hold none of the figures that stand here."]
    status, _, said = call(model_card.main, capsys, tmp_path / "none.onnx")
    assert status == 3 and "none.json: no such file" in said and said.count("\n") == 1


def test_nothing_is_held_out_beside_images_of_unnamed_people(tmp_path):
    def people(name, *subjects):
        return models.dataset(tmp_path, [[0] * 4] * len(subjects), name, subjects=subjects)

    named = manifest.read(people("named.csv", "a", "b"))
    unnamed = manifest.read(people("unnamed.csv", "", ""))
    partly = manifest.read(people("partly.csv", "b", ""))
    fresh, known, some = ({"data": {"path": str(path)}} for path in (
        people("fresh.csv", "c", "d"), people("known.csv", "a", "d"), people("some.csv", "c", "")))
    assert model_card.status([named], fresh) == "held out"
    assert model_card.status([named, unnamed], fresh) == "unknown"
    assert model_card.status([partly], fresh) == "unknown"
    assert model_card.status([unnamed], fresh) == "unknown"
    assert model_card.status([named], some) == "unknown"  # the second image may be of a or b
    assert model_card.status([named], known) == "train: 1 of 2 people"
    assert model_card.status([named, unnamed], known) == "train: at least 1 of 2 people"
