"""Personal models: one process, a learning rate chosen on validation people, and less error on the
person."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import call

import evaluate
import train_classifier
from lib import checkpoints, images, manifest, model_card
from lib.classifiers import personal, settings
from lib.cli import GateFailed

AUS = ("AU01", "AU12")


def faces(folder, name, people, count, seed):
    """Stripes whose brightness is the AU, upside down for odd people: what a generic model cannot
    know."""
    draw = np.random.default_rng(seed)
    levels = draw.integers(0, 6, (len(people) * count, 2)) / 5
    subjects = np.repeat(people, count)
    shown = np.where(np.array([int(s[1:]) % 2 for s in subjects])[:, None] == 1, 1 - levels, levels)
    images.save_pack(
        folder / f"{name}.npy",
        (shown.repeat(8, 1)[:, None, :, None] * 200 + 20).repeat(16, 1).repeat(3, 3),
    )
    manifest.write(
        folder / f"{name}.csv",
        {
            "path": [f"{name}.npy#{i}" for i in range(len(levels))],
            "subject": list(subjects),
            AUS[0]: list(levels[:, 0]),
            AUS[1]: list(levels[:, 1]),
        },
    )
    return folder / f"{name}.csv"


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    return {
        "generic": faces(folder, "generic", ["g0", "g2"], 40, 0),
        "people": faces(folder, "people", ["v1", "t1", "t2"], 30, 1),
        "validation": faces(folder, "validation", ["v1", "w2"], 20, 2),
        "test": faces(folder, "test", ["t1", "t2"], 20, 3),
        "folder": folder,
    }


@pytest.fixture(scope="module")
def generic(sets):
    import sys

    out = sets["folder"] / "generic.pt"
    old, sys.argv = (
        sys.argv,
        [
            "train_classifier.py",
            "--train",
            str(sets["generic"]),
            "--validation",
            str(sets["validation"]),
            "--out",
            str(out),
            "--arch",
            "tiny",
            "--device",
            "cpu",
            "--batch",
            "20",
            "--max-steps",
            "60",
            "--augment",
            "grid",
            "--learning-rate",
            "0.005",
        ],
    )
    try:
        train_classifier.main()
    finally:
        sys.argv = old
    return out


def personalise(sets, generic, capsys, out, *more, status=0):
    code, shown, said = call(
        train_classifier.main,
        capsys,
        "--init",
        generic,
        "--personalise",
        sets["people"],
        "--validation",
        sets["validation"],
        "--out",
        out,
        "--device",
        "cpu",
        "--augment",
        "none",
        "--batch",
        20,
        *more,
    )
    assert code == status and not shown, said
    return said


def errors(sets, model, capsys, tmp_path):
    """Mean absolute error of each test person."""
    code, _, said = call(
        evaluate.main,
        capsys,
        "--model",
        model,
        "--test",
        sets["test"],
        "--predictions",
        tmp_path / "p.csv",
    )
    assert code == 0, said
    found = manifest.read(tmp_path / "p.csv")
    apart = np.abs(found.aus(AUS) - np.stack([found.numbers(f"true_{au}") for au in AUS], 1)).mean(
        1
    )
    return {s: apart[np.array(found.text("subject")) == s].mean() for s in ("t1", "t2")}


def test_each_person_has_a_model_that_knows_them(sets, generic, capsys, tmp_path):
    said = personalise(
        sets, generic, capsys, tmp_path / "{subject}.pt", "--personal-rates", 1e-7, 3e-3
    )
    assert (
        "validation, 1 people: generic model" in said
        and "learning rate 0.003: 2 personal models" in said
    )
    assert sorted(path.name for path in tmp_path.glob("*.onnx")) == [
        "t1.onnx",
        "t2.onnx",
    ]  # v1 is of validation
    from lib import onnx_export

    state = checkpoints.load_finished(generic)
    onnx_export.export(state, sets["folder"] / "generic.onnx", state["samples"].numpy())
    before = errors(sets, sets["folder"] / "generic.onnx", capsys, tmp_path)
    after = errors(sets, tmp_path / "{subject}.onnx", capsys, tmp_path)
    assert (
        after["t1"] < 0.8 * before["t1"]
        and checkpoints.load(tmp_path / "t1.pt")["personal"] == "t1"
    )


def test_only_the_last_layers(sets, generic, capsys, tmp_path):
    personalise(
        sets,
        generic,
        capsys,
        tmp_path / "{subject}.pt",
        "--personal-rates",
        1e-3,
        "--only-heads",
        "--personal-steps",
        3,
    )
    before, after = (checkpoints.load(path)["weights"] for path in (generic, tmp_path / "t1.pt"))
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"heads.au.weight", "heads.au.bias"}


def test_a_training_starts_from_a_finished_one(sets, generic, capsys, tmp_path):
    arguments = ("--train", sets["people"], "--validation", sets["test"], "--allow-shared-subjects")
    arguments += ("--init", generic, "--max-steps", 1, "--learning-rate", 0, "--device", "cpu")
    code, _, said = call(train_classifier.main, capsys, *arguments, "--arch", "tiny",
                         "--out", tmp_path / "c.pt")
    assert code == 0, said
    before, after = (checkpoints.load(path)["weights"] for path in (generic, tmp_path / "c.pt"))
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith("heads"))
    code, _, said = call(train_classifier.main, capsys, *arguments, "--arch", "compact",
                         "--out", tmp_path / "d.pt")
    assert code == 3 and "differs in architecture" in said


def test_what_a_second_training_has_learnt_from_is_what_both_learnt_from(sets, generic, capsys,
                                                                         tmp_path):
    arguments = ("--train", sets["people"], "--validation", sets["test"], "--allow-shared-subjects",
                 "--max-steps", 1, "--arch", "tiny", "--device", "cpu", "--init")
    first = checkpoints.load(generic)
    for start, out in ((generic, "second.pt"), (tmp_path / "second.pt", "third.pt")):
        code, _, said = call(train_classifier.main, capsys, *arguments, start, "--out",
                             tmp_path / out)
        assert code == 0, said
    second, third = (checkpoints.load(tmp_path / name) for name in ("second.pt", "third.pt"))
    own = model_card.facts(manifest.read(sets["people"]))
    assert second["training_sets"] == [*first["training_sets"], own]
    assert third["training_sets"] == second["training_sets"]  # no set is named twice
    assert len({state["trained_on"] for state in (first, second, third)}) == 3
    assert second["run"]["starts_from"] == checkpoints.digest_of(first["weights"])
    assert second["run"]["starts_from"] != third["run"]["starts_from"]


def test_going_on_from_other_first_weights_is_refused(sets, generic, capsys, tmp_path):
    arguments = ("--train", sets["people"], "--validation", sets["test"], "--allow-shared-subjects",
                 "--arch", "tiny", "--device", "cpu", "--resume", "--out", tmp_path / "c.pt",
                 "--max-steps", 1, "--init")
    assert call(train_classifier.main, capsys, *arguments, generic)[0] == 0
    run = checkpoints.load(tmp_path / "c.pt")["run"]
    (tmp_path / "c.pt").unlink()
    checkpoints.save(tmp_path / "last.pt", {"kind": "classifier",
                                            "run": run | {"starts_from": "another"}})
    code, _, said = call(train_classifier.main, capsys, *arguments, generic)
    assert code == 3 and "another run (starts_from differ)" in said


def test_presence_is_learnt_as_the_generic_model_learnt_it(sets):
    """A classifier that only occurrences taught reads presence, from 0.4 on."""
    state = {"config": {"size": 16}, "au_kind": "occurrence",
             "labels": {"aus": list(AUS), "valence_arousal": False, "expressions": []}}
    read = personal.People(sets["people"], state, torch.device("cpu")).true
    levels = manifest.read(sets["people"]).aus(list(AUS))
    assert np.array_equal(read["au"].numpy(), levels >= 0.4)
    state["au_kind"] = "intensity"
    read = personal.People(sets["people"], state, torch.device("cpu")).true
    assert np.allclose(read["au"].numpy(), levels)


def test_what_is_wrong_is_said(sets, generic, capsys, tmp_path):
    out = tmp_path / "{subject}.pt"
    assert "--out with {subject}" in personalise(sets, generic, capsys, tmp_path / "x.pt", status=2)
    ignored = personalise(sets, generic, capsys, out, "--ema", 0.9, "--tasks", "au", "va", status=2)
    assert "--tasks --ema would change nothing" in ignored
    assert "no such checkpoint" in personalise(sets, tmp_path / "no.pt", capsys, out, status=3)
    stranger = {**sets, "validation": sets["test"], "people": sets["generic"]}
    assert "cannot be chosen" in personalise(stranger, generic, capsys, out, status=3)
    unnamed = tmp_path / "unnamed.csv"
    unnamed.write_text(f"path,subject,AU01\n{sets['folder'] / 'test.npy'}#0,,0.2\n")
    assert "row 2, column subject is empty" in personalise(
        {**sets, "people": unnamed}, generic, capsys, out, status=3
    )
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.parametrize("more, named", [
    (("--dropout", 0.5), "--dropout"), (("--consistency", 2), "--consistency"),
])
def test_settings_of_a_training_are_refused(sets, generic, capsys, tmp_path, more, named):
    said = personalise(sets, generic, capsys, tmp_path / "{subject}.pt", *more, status=2)
    assert f"--personalise: {named} would change nothing" in said


def test_one_model_an_au_is_not_for_people(sets, generic, capsys, tmp_path):
    out = tmp_path / "{au}/{subject}.pt"
    assert "--per-au would" in personalise(sets, generic, capsys, out, "--per-au", status=2)


def test_losses_are_those_of_the_generic_models_tasks(sets, capsys, tmp_path):
    """A personal model has the tasks of the generic one, whatever --tasks says by default."""
    code, _, said = call(
        train_classifier.main, capsys, "--train", sets["generic"],
        "--validation", sets["validation"], "--out", tmp_path / "levels.pt", "--arch", "tiny",
        "--device", "cpu", "--batch", 20, "--max-steps", 2, "--tasks", "au_level",
    )
    assert code == 0, said
    more = ["--personal-steps", 1, "--personal-rates", 1e-3, "--losses"]
    out = tmp_path / "{subject}.pt"
    personalise(sets, tmp_path / "levels.pt", capsys, out, *more, "au_level=ce")
    assert (tmp_path / "t1.onnx").exists()
    said = personalise(sets, tmp_path / "levels.pt", capsys, out, *more, "au=bce", status=3)
    assert "levels.pt: learns au_level; --losses au=bce: write TASK=VALUE with a task of this" \
        in said and said.count("\n") == 1


def test_without_losses_those_of_the_first_training_hold(sets, capsys, tmp_path):
    line = ["--train", sets["generic"], "--validation", sets["validation"], "--arch", "tiny",
            "--device", "cpu", "--batch", 20, "--max-steps", 1, "--tasks", "au_level"]

    def train(out, *more):
        code, _, said = call(train_classifier.main, capsys, *line, "--out", tmp_path / out, *more)
        assert code == 0, said
        return checkpoints.load(tmp_path / out)["losses"]

    assert train("first.pt") == {"au_level": "ordinal"}
    assert train("first.pt", "--losses", "au_level=ce") == {"au_level": "ce"}
    assert train("second.pt", "--init", tmp_path / "first.pt") == {"au_level": "ce"}
    assert train("third.pt", "--init", tmp_path / "second.pt") == {"au_level": "ce"}
    own = ["--personal-steps", 1, "--personal-rates", 1e-3]
    place = [tmp_path / "third.pt", capsys, tmp_path / "{subject}.pt"]
    read = [re.search(r"generic model ([0-9.]+)", personalise(sets, *place, *own, *more))[1]
            for more in ((), ("--losses", "au_level=ce"), ("--losses", "au_level=ordinal"))]
    assert read[0] == read[1] != read[2]
    assert checkpoints.load(tmp_path / "t1.pt")["losses"] == {"au_level": "ordinal"}
    state = checkpoints.load(tmp_path / "first.pt")
    del state["losses"]  # an older checkpoint, in which only the command line tells
    assert settings.loss_kinds([], ["au_level"], state) == {"au_level": "ce"}


def test_a_rate_at_which_models_diverge_is_not_chosen(sets, generic, monkeypatch):
    """NaN is no error below the others: of 0.5, NaN and 0.25 the third is the least."""
    state = checkpoints.load_finished(generic)
    people = personal.People(sets["people"], state, torch.device("cpu"))
    checked = personal.People(sets["validation"], state, torch.device("cpu"))
    one = object.__new__(personal.Personal)
    one.options, one.start = SimpleNamespace(personal_rates=[0.1, 10.0, 0.2]), "generic"
    error_of = {"generic": 1.0, 0.1: 0.5, 10.0: float("nan"), 0.2: 0.25}
    monkeypatch.setattr(one, "fit", lambda people, rows, rate: rate)
    monkeypatch.setattr(one, "error", lambda weights, people, rows: error_of[weights])
    assert one.choose_rate(people, checked) == 0.2
    error_of |= {0.1: float("nan"), 0.2: float("nan")}
    with pytest.raises(GateFailed, match="diverged at every learning rate"):
        one.choose_rate(people, checked)


@pytest.mark.parametrize("more, named", [
    (("--only-heads",), "--only-heads"),
    (("--personal-steps", 9, "--personal-rates", 1e-3), "--personal-steps --personal-rates"),
])
def test_settings_of_personal_models_alone_are_refused(more, named, tmp_path, capsys):
    code, shown, said = call(train_classifier.main, capsys, "--train", "l.csv", "--validation",
                             "v.csv", "--out", tmp_path / "c.pt", *more)
    assert code == 2 and not shown and said.count("\n") == 1
    assert f": {named} would change nothing without --personalise; leave it out" in said
