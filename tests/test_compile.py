"""train_generator.py --compile: what is compiled, the same training, and one line where it cannot
be."""

import json
import shutil

import pytest
import torch
from commands import call
from test_no_waits import small
from test_termination import equal, sets  # noqa: F401 (a fixture)

import train_generator
from lib import checkpoints, compiling, generators, onnx_export
from lib.generators.trainer import Trainer
from lib.training import History

CPU = torch.device("cpu")


class Once(torch.autograd.Function):
    """The identity, which cannot be differentiated twice: as a compiled network."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, slope):
        if torch.is_grad_enabled():  # as with create_graph
            raise RuntimeError("is to be differentiated twice")
        return slope


def once(values):
    """Inputs or outputs of a network through `Once`."""
    if isinstance(values, (list, tuple)):
        return type(values)(once(value) for value in values)
    return Once.apply(values) if values.requires_grad else values


@pytest.fixture
def calls(monkeypatch):
    """In place of torch.compile: the methods that were compiled and then called, by name."""
    called = set()

    def compiled(method, **_):
        def run(*values):
            called.add((type(method.__self__).__name__, method.__name__))
            return once(method(*once(values)))
        return run

    monkeypatch.setattr(torch, "compile", compiled)
    return called


@pytest.mark.parametrize("name", generators.ARCHITECTURES)
def test_a_step_calls_what_is_compiled_and_differentiates_it_once(name, calls):
    system, batch = small(name, {})
    chosen = {key: net for key, net in system.nets.items()
              if key not in system.differentiated_twice}
    names = {key: set(net.state_dict()) for key, net in system.nets.items()}
    compiling.Compiled(chosen, "default", CPU)
    for step in range(2):
        system.step(batch, step)
    assert calls == {(type(net).__name__, method) for net in chosen.values()
                     for method in getattr(net, "step_calls", ("forward",))}
    assert names == {key: set(net.state_dict()) for key, net in system.nets.items()}


@pytest.mark.parametrize("name", ["warp-editor", "expression-manipulator", "ganimation", "stargan",
                                  "conditional-wgan", "relativistic-sampler"])
def test_what_is_left_out_is_differentiated_twice(name, calls):
    system, batch = small(name, {})
    compiling.Compiled({key: system.nets[key] for key in system.differentiated_twice}, "default",
                       CPU)
    with pytest.raises(RuntimeError, match="differentiated twice"):
        for step in range(2):
            system.step(batch, step)


def trainer(sets, folder, compile):  # noqa: F811
    """A seeded Trainer of two epochs of two steps of the smallest GAN."""
    options = train_generator.Options(
        train=[str(sets[1])], validation=str(sets[3]), out=str(folder / "g.pt"), arch="gan",
        preset="paper", config=["width=8"], epochs=2, decay_epochs=0, epoch_images=16, batch=8,
        device="cpu", compile=compile,
    )
    checkpoints.seed_all(options.seed)
    return Trainer(options, CPU)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_is_the_same_training_and_resumes_exactly(sets, tmp_path, capsys):  # noqa: F811
    trainer(sets, tmp_path / "eager", "off").train()
    whole = trainer(sets, tmp_path / "whole", "default")
    assert "compiled when first used: generator, discriminator\n" in capsys.readouterr().err
    whole.finish_epoch(0, *whole.train_epoch(0), History(tmp_path / "whole" / "history.jsonl"))
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    whole.train()
    again = trainer(sets, tmp_path / "cut", "default")
    again.resume()
    again.train()
    eager, whole, resumed = (checkpoints.load_finished(tmp_path / name / "g.pt")
                             for name in ("eager", "whole", "cut"))
    assert equal(whole["nets"], resumed["nets"])
    assert {key: set(weights) for key, weights in whole["nets"].items()} == {
        key: set(weights) for key, weights in eager["nets"].items()}
    first, second = ([json.loads(line) for line in
                      (tmp_path / name / "history.jsonl").read_text().splitlines()]
                     for name in ("eager", "whole"))
    for one, other in zip(first, second):
        assert one["d_loss"] == pytest.approx(other["d_loss"], rel=1e-4)
        assert one["g_loss"] == pytest.approx(other["g_loss"], rel=1e-4)
    assert onnx_export.export(whole, tmp_path / "g.onnx", None)["sampled"] <= 1


def test_without_a_compiler_it_is_one_line(sets, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setenv("CXX", "no-such-compiler")
    status, _, said = call(train_generator.main, capsys, *sets, "--out", tmp_path / "g.pt",
                           "--arch", "gan", "--preset", "paper", "--compile", "default")
    assert status == 3 and len(said.splitlines()) == 1 and "no-such-compiler" in said, said


def test_a_compiler_that_fails_is_one_line(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("Python.h: no such file\nand much more")

    monkeypatch.setenv("CXX", "true")
    monkeypatch.setattr(torch, "compile", broken)
    assert compiling.obstacle(CPU) == "a trial failed (Python.h: no such file)"


def test_cuda_graphs_without_a_gpu_are_left_out_with_a_line(capsys):
    compiled = compiling.Compiled({}, "reduce-overhead", CPU)
    compiled.begin_step()
    assert "CUDA graphs need a GPU" in capsys.readouterr().err
