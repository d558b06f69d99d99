"""train_generator.py as a user runs it (tiny), killed and resumed; the alarms on made-up
figures."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models import classifier
from PIL import Image

import train_generator
from lib import checkpoints, cli, generators, images, manifest, onnx_export
from lib.generators.editing import Watch
from lib.generators.trainer import Trainer

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
AUS = ["AU01", "AU12"]
SMALL = ("width=8", "d_width=8", "joined=8", "d_warmup=2", "critic_every=2", "penalty_every=1",
         "cycle_every=2")


def make_set(folder, name, count, subject, aus=AUS, **columns):
    """Random images, 32 x 32 in a pack, four a session; the first of each session is neutral."""
    draw = np.random.default_rng(len(name))
    images.save_pack(folder / f"{name}.npy", draw.integers(0, 256, (count, 32, 32, 3), np.uint8))
    levels = draw.uniform(0, 1, (count, len(aus))) * (np.arange(count) % 4 > 0)[:, None]
    manifest.write(folder / f"{name}.csv",
                   {"path": [f"{name}.npy#{i}" for i in range(count)],
                    "subject": [f"{subject}{i // 8}" for i in range(count)],
                    "session": [f"{subject}-{i // 4}" for i in range(count)],
                    **{au: list(levels[:, k]) for k, au in enumerate(aus)}, **columns})
    return folder / f"{name}.csv"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return (make_set(folder, "train", 24, "a"), make_set(folder, "validation", 12, "b"),
            classifier(folder / "reader.onnx", ["AU12", "AU26"], 32))


def command(data, out, *more, config=SMALL):
    return [sys.executable, str(ROOT / "train_generator.py"), "--train", str(data[0]),
            "--validation", str(data[1]), "--out", str(out), "--device", "cpu", "--threads", "1",
            "--batch", "8", "--config", *config, *map(str, more)]


def history(folder):
    """The lines of history.jsonl, without what a clock said."""
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert all(line.pop("images_per_second") > 0 for line in lines)
    return lines


def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(data, tmp_path, monkeypatch, capsys):
    more = ("--epochs", 4, "--decay-epochs", 2, "--epoch-images", 48, "--reader", data[2],
            "--resume", "--seed", 3)
    cut = subprocess.Popen(command(data, tmp_path / "cut" / "g.pt", *more), env=ENVIRONMENT,
                           cwd=ROOT, stderr=subprocess.DEVNULL)
    place, last = tmp_path / "cut" / "history.jsonl", tmp_path / "cut" / "g.last.pt"
    deadline = time.time() + 300
    while (not (last.exists() and len(place.read_text().splitlines()) >= 1)
           and time.time() < deadline):
        time.sleep(0.002)
    cut.send_signal(signal.SIGKILL)
    assert cut.wait() == -signal.SIGKILL, "it finished before the kill; make the run longer"
    assert not (tmp_path / "cut" / "g.pt").exists()  # the named output appears only when finished
    place.write_text(place.read_text() + '{"epoch": 1, "st')  # a line that the kill cut short
    status, said = run(data, tmp_path / "cut" / "g.pt", more, monkeypatch, capsys)
    assert status == 0 and "resumed after epoch" in said, said
    status, said = run(data, tmp_path / "whole" / "g.pt", more, monkeypatch, capsys)
    assert status == 0, said
    assert history(tmp_path / "whole") == history(tmp_path / "cut")
    first, second = (
        checkpoints.load(tmp_path / name / "g.pt", "generator") for name in ("whole", "cut")
    )
    assert first["epoch"] == second["epoch"]
    assert set(first["nets"]) == {"generator", "discriminator"}
    for net, weights in first["nets"].items():
        assert weights.keys() == second["nets"][net].keys()
        for name, value in weights.items():
            assert torch.equal(value, second["nets"][net][name]), name
    for folder in (tmp_path / "whole", tmp_path / "cut"):
        names = {path.name for path in folder.iterdir()}
        assert names == {"g.pt", "history.jsonl", "epochs"}  # finished: nothing to resume

    lines = history(tmp_path / "whole")
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    assert [line["step"] for line in lines] == [6, 12, 18, 24]
    assert {"g_adversarial", "g_condition", "g_pair", "g_cycle", "d_adversarial", "d_condition",
            "d_penalty", "condition_error", "target_rise", "change"} <= set(lines[0])
    errors = [line["condition_error"] for line in lines]
    shares = [line["condition_error"] / line["unedited_error"] for line in lines]
    close = [epoch for epoch, share in enumerate(shares) if share <= 1.02 * min(shares[:epoch + 1])]
    # the last one within 2 % of the least until then
    assert first["epoch"] == lines[-1]["best_epoch"] == close[-1]
    assert first["condition_error"] == errors[close[-1]]
    assert f"kept epoch {first['epoch']}" in said
    sheets = [np.asarray(Image.open(tmp_path / f"whole/epochs/{epoch:04d}.png"))
              for epoch in range(4)]
    # three neutral faces are too few: six faces, two AUs
    assert len({sheet.shape for sheet in sheets}) == 1
    assert sheets[0].shape == (6 * 34 - 2, 3 * 34 - 2, 3)
    # the same faces each time
    assert all(np.array_equal(sheet[:, :32], sheets[0][:, :32]) for sheet in sheets)
    assert first["labels"]["aus"] == AUS and first["samples"].dtype == torch.uint8
    editor = generators.build(first).exports["editor"]
    edited = editor(torch.zeros(2, 3, 32, 32), torch.zeros(2, 2), torch.ones(2, 2))["edited"]
    assert edited.shape == (2, 3, 32, 32) and torch.isfinite(edited).all()


def run(data, out, more, monkeypatch, capsys, config=SMALL):
    """main() in this process, which saves seconds: (exit status, stderr)."""
    monkeypatch.setattr(sys, "argv", command(data, out, *more, config=config)[1:])
    with pytest.raises(SystemExit) as end:
        cli.run(train_generator.main)
    said = capsys.readouterr()
    assert said.out == ""
    return end.value.code, said.err


def test_the_reader_reads_the_edits(data, tmp_path, monkeypatch, capsys):
    """A reader of brightness knows the unedited error; without one the discriminator is asked."""
    more = ("--epochs", 1, "--decay-epochs", 0, "--epoch-images", 8)
    reader = (*more, "--reader", data[2])
    assert run(data, tmp_path / "a" / "g.pt", reader, monkeypatch, capsys)[0] == 0
    assert run(data, tmp_path / "b" / "g.pt", more, monkeypatch, capsys)[0] == 0
    with_reader, without = history(tmp_path / "a")[0], history(tmp_path / "b")[0]
    assert with_reader["g_pair"] == without["g_pair"]
    assert with_reader["unedited_error"] != without["unedited_error"]
    # noise is half bright; of 12 faces, 6 are asked for AU12 = 0.7 and 6 for 0
    assert with_reader["unedited_error"] == pytest.approx((0.2 ** 2 + 0.5 ** 2) / 2, abs=0.01)


def test_the_published_network_runs_small(data, tmp_path, monkeypatch, capsys):
    """The first architecture that has the preset `paper` is the Expression Manipulator."""
    done = run(data, tmp_path / "g.pt", ("--preset", "paper", "--epochs", 1,
                                         "--decay-epochs", 0, "--epoch-images", 32),
               monkeypatch, capsys, config=("width=8", "d_width=8", "levels=3"))
    assert done[0] == 0, done[1]
    line = history(tmp_path)[0]
    assert {"g_self", "g_smooth", "d_penalty"} <= set(line) and line["step"] == 4
    assert checkpoints.load(tmp_path / "g.pt")["architecture"] == "expression-manipulator"


def test_unlabelled_aus_are_masked(data, tmp_path, monkeypatch, capsys):
    """An AU that one manifest lacks, single gaps, and a column that is empty throughout."""
    gaps = make_set(tmp_path, "gaps", 16, "c", ["AU01"], AU12=["", "0.5"] * 8, AU26=[""] * 16)
    other = make_set(tmp_path, "other", 8, "d", ["AU04", "AU12"])
    done = run((gaps, data[1]), tmp_path / "out" / "g.pt",
               ("--train", gaps, other, "--epochs", 1, "--epoch-images", 16), monkeypatch, capsys)
    assert done[0] == 0, done[1]
    assert "nan" not in done[1]
    # the union; nobody knows AU26
    assert checkpoints.load(tmp_path / "out/g.pt")["labels"]["aus"] == ["AU01", "AU04", "AU12"]


def test_weighted_sources(data, tmp_path, monkeypatch, capsys):
    """--weights multiplies the rows' own; a source of weight 0 is not learnt from."""
    other = make_set(tmp_path, "other", 8, "d", ["AU04"], weight=[2.0] * 8)
    options = train_generator.Options(train=[str(data[0]), str(other)], validation=str(data[1]),
                                      out="g.pt", weights=[0.5, 3.0], config=list(SMALL))
    trainer = Trainer(options, torch.device("cpu"))
    assert trainer.data.weight.tolist() == [0.5] * 24 + [6.0] * 8
    assert list(trainer.labels.aus) == ["AU01", "AU04", "AU12"]
    share = (trainer.batches.pairs.rows(1000) >= 24).float().mean()
    assert share == pytest.approx(48 / 60, abs=0.05)
    options.weights = [1.0, 0.0]
    assert Trainer(options, torch.device("cpu")).batches.pairs.rows(1000).max() == 23
    more = ("--train", data[0], other, "--weights")
    for weights, status, told in (((1,), 2, "1 weights for 2"), ((0, 0), 3, "all weights are 0"),
                                  ((1, -1), 2, "at least 0")):
        found = run(data, tmp_path / "g.pt", (*more, *weights), monkeypatch, capsys)
        assert found[0] == status and told in found[1] and len(found[1].splitlines()) == 1


def test_people_of_whom_there_is_one_image(data, tmp_path, monkeypatch, capsys):
    """Without true images of the same person the discriminator teaches at every step, or nothing
    can."""
    alone = make_set(tmp_path, "alone", 16, "e", session=[str(i) for i in range(16)])
    more = ("--epochs", 1, "--decay-epochs", 0, "--epoch-images", 16)
    status, said = run((alone, data[1]), tmp_path / "g.pt", more, monkeypatch, capsys,
                       config=[text for text in SMALL if "critic_every" not in text])
    assert status == 0 and checkpoints.load(tmp_path / "g.pt")["config"]["critic_every"] == 1, said
    status, said = run((alone, data[1]), tmp_path / "g.pt", more, monkeypatch, capsys,
                       config=(*SMALL, "shares=pair=1"))
    assert status == 3 and "no two images of one session" in said and len(said.splitlines()) == 1


def test_registration_reaches_the_exported_metadata(data, tmp_path, monkeypatch, capsys):
    more = ("--epochs", 1, "--decay-epochs", 0, "--epoch-images", 8)
    # of some rows nothing is known
    for registered, expected in ((["2d-32"] * 24, "2d-32"), (["2d-32", ""] * 12, None)):
        given = make_set(tmp_path, "registered", 24, "a", registration=registered)
        status, said = run((given, data[1]), tmp_path / "g.pt", more, monkeypatch, capsys)
        assert status == 0
        assert ("is unregistered, the training images are 2d-32" in said) == (expected is not None)
        found = onnx_export.metadata(checkpoints.load_finished(tmp_path / "g.pt"), 32)
        assert found["registration"] == expected
        assert found["kind"] == "editor"
        assert found["versions"]["torch"]


@pytest.mark.parametrize("more, status, told", [
    (("--train", "bare.csv"), 3, "no labels of any AU"),
    (("--validation", "train.csv"), 3, "--allow-shared-subjects"),
    (("--config", "depth=8"), 3, "'depth'"), (("--config", "width"), 2, "NAME=VALUE"),
    (("--config", "width=wide"), 3, "not of type int"), (("--preset", "gigantic"), 3, "gigantic"),
    (("--size", "40"), 3, "a multiple of 16"), (("--aus", "AU99"), 2, "AU99"),
    (("--aus", "AU45"), 3, "AU45"), (("--epochs", "0"), 2, "--epochs"),
    (("--out", "g.onnx"), 2, ".pt"), (("--reader", "nowhere.onnx"), 3, "nowhere.onnx"),
    (("--reader", "other.onnx"), 3, "AU01 AU12"), (("--train", "broken.csv"), 3, "broken.npy"),
    (("--train", "seven.csv"), 3, "'7.3'")
])
def test_what_is_wrong_is_one_line(data, tmp_path, monkeypatch, capsys, more, status, told):
    make_set(tmp_path, "bare", 8, "e", [])
    make_set(tmp_path, "seven", 2, "e", [], AU12=["0", "7.3"])
    make_set(tmp_path, "broken", 8, "e")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    classifier(tmp_path / "other.onnx", ["AU26", "AU27"], 32)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    more = [str(data[0]) if text == "train.csv" else text for text in more]
    found = run(data, tmp_path / "new" / "g.pt", more, monkeypatch, capsys)
    assert found[0] == status and told in found[1] and len(found[1].splitlines()) == 1, found
    assert sorted(tmp_path.iterdir()) == before


def test_last_pt_of_another_run_is_refused(data, tmp_path, monkeypatch, capsys):
    checkpoints.save(tmp_path / "g.last.pt", {"kind": "generator-training", "run": {"seed": 5}})
    status, said = run(data, tmp_path / "g.pt", ("--resume",), monkeypatch, capsys)
    assert status == 3
    assert "another run" in said.splitlines()[-1]
    assert not (tmp_path / "g.pt").exists()


def test_epochs_without_any_error_are_as_good_as_each_other():
    """2 % of the unedited faces' error and less is no error; above that the smaller is better."""
    def score(error):
        return Watch.score(None, {"condition_error": error, "unedited_error": 0.1})

    assert score(0.002) == score(0.0001) == pytest.approx(0.02)
    assert score(0.05) == pytest.approx(0.5)


FINE = {"change": 5.0, "variety": 0.6, "d_target_rise": 0.5, "target_rise": 0.4}


@pytest.mark.parametrize("seen, means, alarm",
                         [({}, {}, None), ({"change": 0.1}, {}, "the output is the input"),
                          ({"variety": 0.1}, {}, "the condition is ignored"),
                          ({"target_rise": 0.02}, {}, "adversarial patterns, not expressions"),
                          ({"target_rise": 0.08, "d_target_rise": 0.07}, {},
                           "edits hardly show what is asked (target read +0.08 of 0.7)"),
                          ({}, {"g_adversarial": 5.0, "d_gap": 7.0}, "the discriminator has won")])
def test_alarms(seen, means, alarm):
    watch = SimpleNamespace(level=0.7, reader=object(), sums=())
    assert Watch.alarms(watch, {**FINE, **seen}, means, epoch=1) == []  # too early to tell
    texts = Watch.alarms(watch, {**FINE, **seen}, means, epoch=5)
    assert len(texts) == (alarm is not None) and all(alarm in text for text in texts)


def test_divergence_is_a_gate(data, tmp_path, monkeypatch, capsys):
    status, said = run(data, tmp_path / "g.pt", ("--epochs", 1, "--epoch-images", 16), monkeypatch,
                       capsys, config=(*SMALL, "w_condition=nan"))
    assert status == 4 and "diverged in epoch 0" in said and not (tmp_path / "g.pt").exists()
    (line,) = history(tmp_path)  # what was found stands there, NaN as null
    (alarm,) = line["alarms"]
    assert alarm.startswith("training diverged in epoch 0: ") and said.rstrip().endswith(alarm)
    assert line["epoch"] == 0 and line["step"] == 2 and line["best_epoch"] == -1
    assert line["condition_error"] is None


def test_an_alarm_may_stop_training(data, tmp_path, monkeypatch, capsys):
    more = ("--epochs", 5, "--decay-epochs", 0, "--epoch-images", 8, "--stop-on-alarm")
    status, said = run(data, tmp_path / "g.pt", more, monkeypatch, capsys,
                       config=(*SMALL, "learning_rate=0"))
    assert status == 4 and "alarm in epoch 2: the output is the input" in said.splitlines()[-1]
    lines = history(tmp_path)
    assert [len(line.get("alarms", [])) for line in lines] == [0, 0, 1]
    assert not (tmp_path / "g.pt").exists()


def test_starts_from_another_training(data, tmp_path, monkeypatch, capsys):
    """With rates of 0 the networks that come out are those that went in; other sizes or labels are
    refused."""
    first, second = tmp_path / "a" / "g.pt", tmp_path / "b" / "g.pt"
    status, said = run(data, first, ("--epochs", 1), monkeypatch, capsys)
    assert status == 0, said
    still = (*SMALL, "learning_rate=0", "d_learning_rate=0")
    status, said = run(data, second, ("--epochs", 1, "--init", first), monkeypatch, capsys,
                       config=still)
    assert status == 0, said
    before, after = (checkpoints.load_finished(path)["nets"] for path in (first, second))
    for name, net in before.items():
        assert all(torch.allclose(value, after[name][key], atol=1e-6) for key, value in net.items())
    for more, config, told in ((("--init", first), (*SMALL, "joined=16"), "of other sizes"),
                               (("--init", first, "--aus", "AU01"), SMALL, "has labels")):
        status, said = run(data, tmp_path / "c" / "g.pt", more, monkeypatch, capsys, config=config)
        assert status == 3 and told in said and len(said.splitlines()) == 1
