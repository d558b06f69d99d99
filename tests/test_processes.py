"""Two processes are one with the same batch: losses of unevenly labelled rows, BatchNorm,
resume."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from commands import ENVIRONMENT, ROOT
from test_termination import CUT, cut_short, history, sets, to_the_end  # noqa: F401 (a fixture)
from torch.nn import functional as F

from lib import checkpoints

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this torch has no torch.distributed"
)
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def together(*arguments):
    """Run a script in two processes; stdout."""
    line = [*TORCHRUN, *map(str, arguments)]
    done = subprocess.run(line, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


GRADIENTS = """
import json, os, sys
import torch
from lib.classifiers import losses
from lib.generators.sampler_blocks import condition_loss
from lib.labels import Labels
from lib.training import Processes

processes = Processes("cpu")
draw = torch.Generator().manual_seed(0)
rows = lambda *shape: torch.rand(6, *shape, generator=draw)
reading, true, weight = rows(5), rows(5), rows()
true[:4] = torch.where(rows(5)[:4] < 0.8, torch.nan, true[:4])  # uneven: the last rows know all
classes = torch.tensor([-1, 0, -1, -1, 2, 1])
one_hot, known = torch.eye(3)[classes.clamp(min=0)], (classes >= 0)[:, None].expand(-1, 3)
labels = Labels(("AU01", "AU02"), False, ("a", "b", "c"))
both, sure = torch.cat([rows(2), one_hot], 1), torch.cat([rows(2) < 0.5, known], 1)
kinds = {
    "mse": lambda r, i: losses.masked_mse(r, true[i], weight[i]),
    "bce": lambda r, i: losses.masked_bce(r, true[i], weight[i]),
    "ce": lambda r, i: losses.masked_cross_entropy(r[:, :3], classes[i], weight[i]),
    "condition": lambda r, i: condition_loss(r, both[i], sure[i], labels),
}
found = {}
for name, loss in kinds.items():
    leaf = reading.clone().requires_grad_(True)
    mine = slice(processes.rank, None, processes.world)
    loss(leaf[mine], mine).backward()
    processes.average([leaf.grad])
    found[name] = leaf.grad.tolist()
if processes.first:
    print(json.dumps(found), flush=True)
processes.close()
os._exit(0)  # as lib.cli.run does
"""


def test_masked_losses_are_those_of_all_rows(tmp_path):
    (tmp_path / "gradients.py").write_text(GRADIENTS)
    two = json.loads(together(tmp_path / "gradients.py"))
    line = [sys.executable, tmp_path / "gradients.py"]
    one = json.loads(subprocess.check_output(line, env=ENVIRONMENT, text=True))
    for name, gradient in one.items():
        assert np.abs(gradient).max() > 0.01
        np.testing.assert_allclose(two[name], gradient, rtol=1e-5, atol=1e-7, err_msg=name)


def half_by_half(self, x):
    """BatchNorm2d of two processes in one: rows 0, 2, … and 1, 3, … are normalised apart; the
    running statistics are the mean of the two."""
    if not self.training:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)
    self.num_batches_tracked += 1
    out, statistics = torch.empty_like(x), []
    for rank in range(2):
        mean, variance = self.running_mean.clone(), self.running_var.clone()
        part = x[rank::2]
        out[rank::2] = F.batch_norm(part, mean, variance, self.weight, self.bias, True,
                                    self.momentum)
        statistics.append((mean, variance))
    self.running_mean.copy_((statistics[0][0] + statistics[1][0]) / 2)
    self.running_var.copy_((statistics[0][1] + statistics[1][1]) / 2)
    return out


def test_batch_norm_is_that_of_one_process_half_by_half(sets, tmp_path, monkeypatch):  # noqa: F811
    import train_classifier

    line = [*sets, "--batch", 8, "--epochs", 2, "--dropout", 0, "--augment", "none",
            "--device", "cpu"]
    line += ["--threads", 1, "--ema", 0.5, "--arch", "compact", "--out"]
    together(ROOT / "train_classifier.py", *line, tmp_path / "two" / "c.pt")
    monkeypatch.setattr(torch.nn.BatchNorm2d, "forward", half_by_half)
    arguments = ["train_classifier.py", *map(str, [*line, tmp_path / "one" / "c.pt"])]
    monkeypatch.setattr(sys, "argv", arguments)
    train_classifier.main()
    lines = [history(tmp_path / name) for name in ("one", "two")]
    assert len(lines[0]) == 2
    for first, second in zip(*lines, strict=True):
        for name in ("loss", "validation_loss"):
            assert second[name] == pytest.approx(first[name], rel=1e-4), name
    one, two = (checkpoints.load(tmp_path / name / "c.pt", "classifier") for name in ("one", "two"))
    assert any("running_mean" in name for name in one["weights"])
    for name, value in one["weights"].items():
        assert torch.allclose(value, two["weights"][name], atol=1e-4), name


def editor_of(sets, images):  # noqa: F811
    """Arguments that train a small editor for two epochs of so many images, up to --out's path."""
    line = [*sets, "--arch", "ganimation", "--batch", 8, "--epochs", 2, "--epoch-images", images]
    line += ["--device", "cpu", "--threads", 1, "--resume", "--config", "width=4", "d_width=4"]
    return [*line, "blocks=1", "--out"]


def test_cut_in_one_process_and_resumed_in_two(sets, tmp_path):  # noqa: F811
    line = editor_of(sets, 48)
    to_the_end("train_generator.py", *line, tmp_path / "whole" / "g.pt")
    status, said = cut_short("train_generator.py", *line, tmp_path / "cut" / "g.pt", stop=4)
    assert status == 143 and "terminated" in said
    together(ROOT / "train_generator.py", *line, tmp_path / "cut" / "g.pt")
    same_histories(tmp_path / "whole", tmp_path / "cut")


def test_a_signal_to_one_of_two_processes_and_resumed_in_one(sets, tmp_path):  # noqa: F811
    """SIGTERM to one: both save after the 16th of 20 steps, when they ask each other."""
    line = editor_of(sets, 160)
    (tmp_path / "cut.py").write_text(CUT.replace("if count == stop", ONE_OF_TWO))
    cut = [*TORCHRUN, tmp_path / "cut.py", ROOT / "train_generator.py", 4, *line,
           tmp_path / "cut" / "g.pt"]
    done = subprocess.run(list(map(str, cut)), env=ENVIRONMENT, cwd=ROOT, capture_output=True,
                          text=True)
    assert done.returncode and "terminated: saved after step 16" in done.stderr, done.stderr
    assert "exitcode  : 143" in done.stderr and "SIGABRT" not in done.stderr, done.stderr
    for name in ("cut", "whole"):
        to_the_end("train_generator.py", *line, tmp_path / name / "g.pt")
    same_histories(tmp_path / "whole", tmp_path / "cut")


ONE_OF_TWO = 'if count == stop and os.environ.get("RANK") == "1"'


def same_histories(whole, cut):
    """Two trainings of two epochs were the same, as far as floats can say."""
    whole, cut = history(whole), history(cut)
    assert len(whole) == len(cut) == 2
    for first, second in zip(whole, cut):
        for name in first.keys() - {"best_epoch", "alarms"}:
            assert second[name] == pytest.approx(first[name], rel=1e-3, abs=2e-5), name
