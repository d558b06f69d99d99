"""A training step asks nothing of the device, which a GPU would have to finish its work for.

The device `meta` stands for the GPU: its tensors have shapes and no numbers, so that whatever asks
for a number, or for how many entries are set, raises. Copies to it are refused as well, but for
the ones that a batch needs."""

import contextlib
import dataclasses

import pytest
import torch
from test_editors import make_batch as edit_batch
from test_samplers import batch_of as sample_batch
from test_train_classifier import make_set
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import train_classifier
from lib import device_data, generators, manifest
from lib.classifiers import mean_teacher
from lib.classifiers.training import Training
from lib.classifiers.training_data import TrainingData
from lib.generators import contract, editing, sampling
from lib.labels import Labels
from lib.termination import EpochDraws
from lib.training import Processes

META = torch.device("meta")
aten = torch.ops.aten
READING = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten._linalg_check_errors,
           aten.equal, aten._unique2, aten.repeat_interleave}
SMALL = {"width": 8, "d_width": 8, "joined": 8, "blocks": 1, "widest": 16, "latent": 8,
         "classifier": "tiny", "discriminator": "tiny", "d_layers": 2, "n_critic": 1,
         "g_every": 1}
LABELS = {"au": {"aus": ("AU01", "AU12")}, "va": {"valence_arousal": True},
          "expression": {"expressions": ("anger", "joy", "neutral")}}
# one of each architecture, and settings that go other ways through a step
SYSTEMS = [(name, {}) for name in generators.ARCHITECTURES] + [
    ("warp-editor", {"doubles": "1", "register_pairs": "0", "cover": "1", "w_motion": "1"}),
    ("stargan", {"au_loss": "mse", "adversarial": "wgan-gp"}),
    ("ganimation", {"adversarial": "wgan-gp", "augment": "0"}),
    ("conditional-wgan", {"lipschitz": "clip"}),
    ("relativistic-sampler", {"augment": "1", "condition_after": "0"}),
    ("categorical-gan", {"va_loss": "ccc", "augment": "faces"}),
]


class Copies(TorchDispatchMode):
    """Refuses copies from the CPU to the stand-in, as each waits until the GPU has come so far."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        source = args[1] if function._overloadpacket is aten.copy_ else args[0] if args else None
        if (function._overloadpacket in (aten.copy_, aten._to_copy)
                and source.device.type == "cpu" and out.device == META):
            raise AssertionError(f"{function} copies {tuple(source.shape)} to the device")
        return out


class Literals(TorchFunctionMode):
    """Refuses tensors that are written down on the CPU and put on the stand-in."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if function in (torch.tensor, torch.as_tensor) and out.device == META:
            raise AssertionError("a tensor of Python numbers is copied to the device")
        return out


class Readings(TorchDispatchMode):
    """Refuses, on a CPU, what reads numbers from a device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function._overloadpacket in READING:
            raise AssertionError(f"{function} waits for the device")
        if function._overloadpacket in (aten.index, aten.index_put_):
            if any(each is not None and each.dtype == torch.bool for each in args[1]):
                raise AssertionError(f"{function} with a mask waits for the device")
        return function(*args, **(kwargs or {}))


def on_meta(batch):
    """A batch on the stand-in."""
    def moved(value):
        if isinstance(value, dict):
            return {name: moved(each) for name, each in value.items()}
        return value.to(META) if torch.is_tensor(value) else value

    return dataclasses.replace(batch, **{field.name: moved(getattr(batch, field.name))
                                         for field in dataclasses.fields(batch)})


@pytest.fixture
def stand_in(monkeypatch):
    """What the stand-in has not: Adam's fused kernels, and autocast."""
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam",
                        lambda *values, fused, **named: adam(*values, **named))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())


def small(name, settings, device="cpu"):
    """(a small System on a device, a batch for it on the CPU)."""
    source = generators.module(name)
    preset = "quick" if "quick" in source.PRESETS else "paper"
    have = vars(source.Config())
    tiny = {key: value for key, value in SMALL.items() if key in have}
    config = generators.configure(name, preset, {**tiny, "size": 32, **settings})
    tasks = source.TASKS or ("au",)
    labels = Labels(**{key: value for task in tasks for key, value in LABELS[task].items()})
    with torch.device(device):
        system = source.System(labels, config)
    if system.kind == "sampler":
        return system, sample_batch(labels, config.size)
    batch = edit_batch(labels, size=config.size)
    batch.x_double, batch.motion = batch.x_true, batch.x_true[:, :2]
    return system, batch


@pytest.mark.parametrize("name, settings", SYSTEMS)
def test_a_step_reads_nothing_from_the_device(name, settings, stand_in):
    system, batch = small(name, settings, META)
    batch = on_meta(batch)
    for step in range(2):
        with Copies(), Literals():
            terms = system.step(batch, step)
        assert terms and all(value.device == META for value in terms.values())


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return make_set(folder, "train", 24, "a"), make_set(folder, "validation", 12, "b")


@pytest.mark.parametrize("kind, drawing", [
    (editing, contract.EditDrawing({"pair": 2, "single": 1, "change": 1, "permuted": 1},
                                   source_noise=0.1, doubles=True, pair_by="subject", isolate=0.5,
                                   crop=True)),
    (sampling, contract.SampleDrawing(balance=True)),
])
def test_a_batch_is_drawn_without_a_wait(kind, drawing, sets):
    """Rows and conditions come from the CPU; of the pictures nothing is read."""
    train = manifest.read(sets[0])
    labels = Labels(aus=("AU01", "AU02"))
    data = device_data.Set(train, [], 16, META)
    data.weight = torch.ones(len(data))
    system = contract.System(labels, None)
    system.drawing = drawing
    batches = kind.Batches(data, torch.from_numpy(labels.encode(train)), system)
    if kind is sampling:
        batches.table = batches.table.to(META)
    batches.device = META
    with Literals():
        batch = batches.draw(10)
    assert batch.x_real.device == batch.known.device == META
    assert batch.x_real.shape == (10, 3, 16, 16) and batch.known.shape == (10, 2)
    if kind is editing:
        assert batch.x_true.shape == batch.x_double.shape == (4, 3, 16, 16)


@pytest.mark.parametrize("tasks, losses", [(["au"], []), (["au_level", "au_present"], []),
                                           (["au"], ["au=ccc"])])
def test_a_step_of_the_classifier_reads_nothing(tasks, losses, sets, tmp_path):
    """With learnt weights of tasks, soft labels of a mean teacher, and augmentation."""
    options = train_classifier.Options(
        train=[str(sets[0])], validation=str(sets[1]), out=str(tmp_path / "c.pt"), arch="tiny",
        tasks=tasks, losses=losses, task_weights=["learnt"],
        rare_weight=3, optimiser="adamw", ema=0.9, unlabelled=[str(sets[1])], batch=8,
        allow_shared_subjects=True)
    cpu = torch.device("cpu")
    data = TrainingData(options, cpu)
    data.teach_also(mean_teacher.Unlabelled(options, data.checked, data.size, cpu))
    training = Training(options, data, cpu, Processes("cpu"))
    draws = EpochDraws(0, cpu)
    for start in (0, 8):
        with Readings():
            loss = training.train_step(data.rows[start:start + 8], draws)
    assert loss.item() > 0 and training.step == 2


def test_what_waits_is_seen():
    """The guards guard: each thing that would stall a GPU raises."""
    there = torch.ones(3, device=META)
    for wait in (there.sum().item, lambda: bool(there.any()), lambda: there[there > 0],
                 lambda: torch.zeros(3).to(META), lambda: torch.tensor([1.0], device=META),
                 lambda: there.cpu()):
        with pytest.raises((AssertionError, RuntimeError, NotImplementedError)), \
                Copies(), Literals():
            wait()
    here = torch.ones(3, 3)
    for wait in (here.sum().item, lambda: float(here.sum()), lambda: here[here > 0],
                 lambda: torch.linalg.inv(here + torch.eye(3)), here.nonzero):
        with pytest.raises(AssertionError), Readings():
            wait()


