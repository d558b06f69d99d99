"""train_classifier.py as a user runs it (tiny, in seconds), and its losses, thresholds and draws
by hand."""
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
from commands import succeed_here

import train_classifier
from lib import augment, checkpoints, classifiers, images, manifest
from lib.classifiers import compact, label_tensors, losses, thresholds
from lib.classifiers.training_data import TrainingData
from lib.cli import BadInput
from lib.training import Average, History, learning_rate

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def make_set(folder, name, count, subject, seed=0, **columns):
    """A set of noisy stripes: the brightness of stripe k is AU k. 16 x 16 pixels in a pack."""
    draw = np.random.default_rng(seed)
    aus = (draw.random((count, 3)) < (0.6, 0.3, 0.1)) * draw.uniform(0.4, 1, (count, 3))
    pixels = aus.repeat(6, 1)[:, None, :16, None] * 200 + draw.normal(20, 8, (count, 16, 16, 3))
    images.save_pack(folder / f"{name}.npy", pixels.clip(0, 255))
    table = {"path": [f"{name}.npy#{i}" for i in range(count)],
             "subject": [f"{subject}{i % 5}" for i in range(count)],
             **{au: list(aus[:, k]) for k, au in enumerate(("AU01", "AU02", "AU12"))}, **columns}
    manifest.write(folder / f"{name}.csv", table)
    return folder / f"{name}.csv"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return make_set(folder, "train", 200, "a"), make_set(folder, "validation", 60, "b", seed=1)


def command(data, out, *more):
    return [sys.executable, str(ROOT / "train_classifier.py"), "--train", str(data[0]),
            "--validation", str(data[1]), "--out", str(out), "--arch", "tiny", "--device", "cpu",
            "--threads", "1", "--batch", "20", *map(str, more)]


def train(data, out, *more):
    """Train in this process, which saves seconds; what was said."""
    shown, said = succeed_here(train_classifier.main, *command(data, out, *more)[2:])
    assert shown == ""
    return said


def test_learns_and_writes_a_whole_checkpoint(data, tmp_path):
    train(data, tmp_path / "c.pt", "--epochs", 25, "--augment", "grid", "--learning-rate", 0.004)
    state = checkpoints.load(tmp_path / "c.pt", "classifier")
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1]["validation_loss"] < 0.4 * rows[0]["validation_loss"]
    assert max(row["validation_f1"] for row in rows) > 0.9
    assert state["labels"]["aus"] == ["AU01", "AU02", "AU12"]
    assert set(state["thresholds"]) == {"AU01", "AU02", "AU12"}
    assert state["samples"].shape == (8, 16, 16, 3) and state["samples"].dtype == torch.uint8
    assert state["best_epoch"] == min(rows, key=lambda row: row["validation_loss"])["epoch"]
    classifiers.build(state["config"]).load_state_dict(state["weights"])
    assert not (tmp_path / "last.pt").exists()  # finished: nothing to resume


def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(data, tmp_path):
    more = ("--epochs", 7, "--ema", 0.9, "--upsample", 50, "--schedule", "cosine", "--resume")
    train(data, tmp_path / "whole" / "c.pt", *more)
    process = subprocess.Popen(command(data, tmp_path / "cut" / "c.pt", *more), env=ENVIRONMENT,
                               cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.time() + 300
    history = tmp_path / "cut" / "history.jsonl"
    while (not (history.exists() and len(history.read_text().splitlines()) >= 2)
           and time.time() < deadline):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "it finished before the kill; make the run longer"
    assert not (tmp_path / "cut" / "c.pt").exists()  # the named output appears only when finished
    assert "going on after epoch" in train(data, tmp_path / "cut" / "c.pt", *more)
    whole, cut = (checkpoints.load(tmp_path / name / "c.pt") for name in ("whole", "cut"))
    assert whole["thresholds"] == cut["thresholds"] and whole["best_epoch"] == cut["best_epoch"]
    for name, value in whole["weights"].items():
        assert torch.equal(value, cut["weights"][name]), name
    lines = [[json.loads(line)["loss"]
              for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
             for name in ("whole", "cut")]
    assert lines[0] == lines[1] and len(lines[0]) == 7


def test_several_manifests_tasks_and_weights(data, tmp_path):
    """A second set lacks AU12 and has valence: the union is learnt, what is missing is masked."""
    draw = np.random.default_rng(3)
    other = make_set(tmp_path, "other", 40, "c", seed=2, AU12=[""] * 40,
                     valence=list(draw.uniform(-1, 1, 40)), arousal=list(draw.uniform(-1, 1, 40)),
                     expression=["joy", "fear"] * 20)
    both = make_set(tmp_path, "both", 20, "d", seed=4, valence=[0.5] * 20, arousal=[0.0] * 20,
                    expression=["joy"] * 20, registration=["2d-16"] * 20)
    said = train((data[0], both), tmp_path / "c.pt", "--train", data[0], other, "--weights", 1,
                 0.5, "--epochs", 1, "--tasks", "au", "va", "expression")
    assert "both.csv is 2d-16, the training images are unregistered" in said
    state = checkpoints.load(tmp_path / "c.pt")
    assert state["labels"] == {"aus": ["AU01", "AU02", "AU12"], "valence_arousal": True,
                               "expressions": ["fear", "joy"]}


def test_bad_input_is_one_line_and_leaves_nothing(data, tmp_path):
    done = subprocess.run(command(data, tmp_path / "c.pt", "--aus", "AU04"), capture_output=True,
                          text=True, env=ENVIRONMENT, cwd=ROOT)
    assert done.returncode == 3 and done.stdout == "", done.stderr
    assert "AU04" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("more, error, told", [
    (("--weights", "1", "2"), SystemExit, "--weights"), (("--tasks", "va"), BadInput, "valence"),
    (("--validation", "nowhere.csv"), BadInput, "nowhere.csv"),
    (("--out", "m/last.pt"), SystemExit, "choose another name"),
    (("--ema", "1"), SystemExit, "--ema"),
    (("--init", "c.pt", "--pretrained", "imagenet"), SystemExit, "--init and --pretrained"),
])
def test_what_is_wrong_is_said(data, tmp_path, monkeypatch, capsys, more, error, told):
    said = refusal(data, tmp_path / "c.pt", more, error, monkeypatch)
    assert told in said + capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_task_or_an_au_named_twice_is_learnt_once(data, tmp_path):
    train(data, tmp_path / "c.pt", "--max-steps", 2, "--tasks", "au_present", "au_present",
          "--aus", "AU12", "12", "AU01")
    state = checkpoints.load_finished(tmp_path / "c.pt")
    assert state["labels"]["aus"] == ["AU12", "AU01"]
    assert state["config"]["au_heads"] == ["au_present"] and state["config"]["aus"] == 2
    assert "thresholds_au_present" not in state  # there is one reading, and it is called au


def test_a_seed_may_be_a_time_in_milliseconds(data, tmp_path):
    seeds = 1_700_000_000_000, 1_700_000_000_001
    for seed in seeds:
        train(data, tmp_path / f"{seed}/c.pt", "--max-steps", 2, "--seed", seed)
    first, second = (checkpoints.load_finished(tmp_path / f"{seed}/c.pt") for seed in seeds)
    assert checkpoints.digest_of(first["weights"]) != checkpoints.digest_of(second["weights"])


def test_subjects_on_both_sides_are_refused(data, tmp_path, monkeypatch):
    twice = (data[0], data[0])
    assert "--allow-shared-subjects" in refusal(twice, tmp_path / "c.pt", (), BadInput, monkeypatch)


def test_last_pt_of_another_run_is_refused(data, tmp_path, monkeypatch):
    checkpoints.save(tmp_path / "last.pt", {"kind": "classifier", "run": {"seed": 5}})
    assert "another run" in refusal(data, tmp_path / "c.pt", ("--resume",), BadInput, monkeypatch)


def refusal(data, out, more, error, monkeypatch):
    """What main() raises for these arguments, in this process (starting one costs seconds)."""
    monkeypatch.setattr(sys, "argv", command(data, out, *more)[1:])
    with pytest.raises(error) as raised:
        train_classifier.main()
    return str(raised.value)


@pytest.mark.skipif(not torch.distributed.is_available(),
                    reason="this torch has no torch.distributed")
def test_two_processes_train_one_model(data, tmp_path):
    arguments = command(data, tmp_path / "c.pt", "--epochs", 2)[1:]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([sys.executable, *torchrun, *arguments], check=True, env=ENVIRONMENT, cwd=ROOT,
                   capture_output=True, timeout=120)
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 2
    checkpoints.load(tmp_path / "c.pt", "classifier")


def test_masked_labels_do_not_act():
    nan = float("nan")
    predicted = torch.tensor([[0.5, 0.9], [0.2, 0.1]], requires_grad=True)
    true = torch.tensor([[1.0, nan], [nan, 0.4]])
    loss = losses.masked_mse(predicted, true, torch.tensor([1.0, 0.5]))
    assert loss.item() == pytest.approx((1 * 0.5**2 + 0.5 * 0.3**2) / 2)
    loss.backward()
    assert torch.allclose(predicted.grad, torch.tensor([[-0.5, 0.0], [0.0, -0.15]]))
    assert losses.masked_mse(predicted, torch.full((2, 2), nan), torch.ones(2)).item() == 0


def test_masked_cross_entropy():
    probabilities = torch.tensor([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]])
    loss = losses.masked_cross_entropy(probabilities, torch.tensor([1, -1, 0]),
                                       torch.tensor([1.0, 1.0, 2.0]))
    assert loss.item() == pytest.approx(-(np.log(0.75) + 2 * np.log(0.9)) / 2)


def test_upsampling_raises_the_minority():
    have = np.random.default_rng(0).random((2000, 3)) < (0.5, 0.2, 0.02)
    extra = have[label_tensors.extra_rows(have, 2000, seed=1)]
    before, after = have.mean(0), np.concatenate([have, extra]).mean(0)
    assert after[2] > 5 * before[2] and after[1] > before[1]
    assert after[2] / after[0] > 5 * before[2] / before[0]
    drawn = [label_tensors.extra_rows(have, 50, 1) for _ in range(2)]
    assert np.array_equal(*drawn)
    assert len(label_tensors.extra_rows(np.zeros((10, 3), bool), 5, 1)) == 5


def test_best_threshold_is_the_best_of_all():
    draw = np.random.default_rng(0)
    present = draw.random(300) < 0.3
    predicted = (present * 0.3 + draw.random(300) * 0.6).round(2).astype(np.float32)
    threshold, f1 = thresholds.best_threshold(predicted, present)

    def score(limit):
        said = predicted >= limit
        return 2 * (said & present).sum() / (said.sum() + present.sum())
    best = max(map(score, np.linspace(0, 1, 2001)))
    assert score(threshold) == pytest.approx(f1) == pytest.approx(best)
    assert thresholds.best_threshold(predicted, np.zeros(300, bool))[0] == 0.5


def test_mean_f1_of_resamples_by_brute_force():
    draw = np.random.default_rng(3)
    predicted, present = draw.random(40).round(1), draw.random(40) < 0.3  # with equal readings
    weights = draw.integers(0, 3, (5, 40))
    weights[0, present] = 0  # a resample without a presence is left out
    cuts, found = thresholds.mean_f1(predicted, present, weights)
    assert len(cuts) == len(np.unique(predicted))
    for cut, value in zip(cuts, found, strict=True):
        said, scores = predicted >= cut, []
        for drawn in weights[1:]:
            tp, fp, fn = ((drawn * (said & present)).sum(), (drawn * (said & ~present)).sum(),
                          (drawn * (~said & present)).sum())
            scores.append(2 * tp / (2 * tp + fp + fn))
        assert value == pytest.approx(np.mean(scores))


def test_stored_thresholds_are_those_of_resampled_people(tmp_path):
    """Ten people with two images each: AU01 is read as 0.7 (of one person 0.2) where it is there,
    as 0.1 where not, so the cut between 0.1 and 0.2 is right in every resample. AU02 is never
    there. A single person is resampled alike."""
    readings = np.array([[0.7, 0.1]] * 9 + [[0.2, 0.1]])
    subjects = [f"p{k}" for k in range(10) for _ in range(2)]
    manifest.write(tmp_path / "v.csv",
                   {"path": [f"v.npy#{k}" for k in range(20)], "subject": subjects,
                    "AU01": [1, 0] * 10, "AU02": [0] * 20})
    part = manifest.read(tmp_path / "v.csv")
    predicted = np.stack([readings.ravel(), readings.ravel()], 1)
    limits = thresholds.choose_steadily(predicted, part, ["AU01", "AU02"])
    assert 0.1 < limits["AU01"] <= 0.2 and limits["AU02"] == 0.5
    assert limits == thresholds.choose_steadily(predicted, part, ["AU01", "AU02"])
    alone = thresholds.choose_steadily(predicted[:2], part.take([0, 1]), ["AU01", "AU02"])
    best, _ = thresholds.best_threshold(predicted[:2, 0], np.array([True, False]))
    assert alone["AU01"] == pytest.approx(best)
    drawn = thresholds.resampled_people(subjects)
    assert drawn.shape == (200, 20)
    assert (drawn.sum(1) == 20).all()
    assert (drawn[:, ::2] == drawn[:, 1::2]).all()


@pytest.mark.parametrize("architecture", [*compact.DESIGNS, "judge"])
@pytest.mark.parametrize("size", [30, 64, 112])
def test_networks_take_any_size(architecture, size):
    net = classifiers.build({"architecture": architecture, "size": size, "aus": 4,
                             "expressions": 3}).eval()
    out = net(torch.rand(2, 3, size, size) * 2 - 1)
    assert out["au"].shape == (2, 4) and out["expression"].sum(1).allclose(torch.ones(2))
    assert "valence_arousal" not in out and out["features"].shape[0] == 2


def test_augmentation_repeats_and_grid_does_not_flip():
    picture = torch.linspace(-1, 1, 32).expand(4, 3, 32, 32).contiguous()  # darker on the left
    for kind in augment.KINDS:
        once, again = (augment.augment(picture, kind, torch.Generator().manual_seed(5))
                       for _ in range(2))
        assert torch.equal(once, again) and once.shape == picture.shape
    many = picture.repeat(20, 1, 1, 1)
    flipped = {}
    for kind in ("grid", "faces"):
        out = augment.augment(many, kind, torch.Generator().manual_seed(5))
        flipped[kind] = (out[..., 0] > out[..., -1]).all((1, 2)).float().mean()
    assert flipped["grid"] == 0 and 0.3 < flipped["faces"] < 0.7


def test_average_and_schedule_and_history(tmp_path):
    net = torch.nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(0.0)
    average = Average(net, decay=0.5)
    net.weight.data.fill_(1.0)
    average.update(step=100)
    assert average.weights(net)["weight"].item() == pytest.approx(0.5) and net.weight.item() == 1
    rates = [learning_rate(1.0, step, 100, "cosine") for step in (0, 50, 100)]
    assert rates == pytest.approx([1, 0.505, 0.01])
    (tmp_path / "history.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    History(tmp_path / "history.jsonl", keep=1).write({"epoch": 2, "loss": float("nan")})
    assert (tmp_path / "history.jsonl").read_text() == '{"epoch": 1}\n{"epoch": 2, "loss": null}\n'


def test_upsampling_balances_expressions_where_no_au_is_learnt(tmp_path):
    """Nine happy faces and one sad one: happiness lacks nothing, so that every further draw is the
    sad one."""
    options = SimpleNamespace(
        train=[make_set(tmp_path, "a", 10, "a", expression=["happiness"] * 9 + ["sadness"],
                        valence=[0.5] * 10, arousal=[0.1] * 10)],
        validation=make_set(tmp_path, "b", 4, "b", expression=["sadness"] * 4, valence=[0] * 4,
                            arousal=[0] * 4), tasks=["expression"], aus=[], size=0,
        allow_shared_subjects=False, weights=[], upsample=5, reference="none", seed=0
    )
    rows = TrainingData(options, torch.device("cpu")).rows.tolist()
    assert rows == [*range(10), 9, 9, 9, 9, 9]
    options.tasks = ["va"]
    with pytest.raises(BadInput, match="balances AUs or expressions"):
        TrainingData(options, torch.device("cpu"))
