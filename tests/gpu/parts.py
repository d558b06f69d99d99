"""The parts of `make gpu-check`: each gives a dict of figures, or raises.

Training and export go through the project's own command lines. On a CPU networks and sets are
tiny, and a "peak" is that of float32.
"""

import contextlib
import copy
import json
import os
import platform
import subprocess
import sys
import time

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import export_onnx
import train_classifier
import train_generator
from lib import device_data, generators, images, manifest
from lib.choices import COMPILE, TORCHVISION
from lib.onnx_runtime import Model, has_gpu
from tests.bench import training as em
from tests.bench.common import ROOT

AUS = ("AU01", "AU04", "AU12", "AU25")
EXPRESSIONS = ("anger", "happiness", "neutral", "sadness")
# of any architecture that has the setting: a network that a CPU trains in a second
TINY = {"width": 8, "d_width": 8, "joined": 8, "blocks": 1, "widest": 16, "latent": 8,
        "classifier": "tiny", "discriminator": "tiny", "warmup": 0, "d_warmup": 1, "d_layers": 3}
CLOSE = 0.05  # losses of bfloat16 are within this share of those of float32, at the start
ALIKE = 2e-2  # float outputs of ONNX Runtime on CUDA (TF32) against its CPU


def machine(device):
    """What it runs on."""
    found = {"python": platform.python_version(), "torch": torch.__version__,
             "cores": os.cpu_count(), "device": str(device)}
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found |= {"card": about.name, "cards": torch.cuda.device_count(),
                  "memory_gb": round(about.total_memory / 1e9, 1), "cuda": torch.version.cuda}
    return found


class Check:
    """A folder with random sets, and the parts that use them."""

    def __init__(self, folder, device):
        self.folder, self.device, self.large = folder, device, device.type == "cuda"
        self.size, count = (64, 4000) if self.large else (32, 48)
        self.sets = [make_set(folder, name, rows, self.size)
                     for name, rows in (("train", count), ("validation", 24))]
        self.peak = None

    def parts(self, architectures):
        """{name: function}, the most telling first."""
        return {
            "peak": self.measure_peak, "resident data": self.resident,
            "classifier": self.classifier, "compile": self.compiled,
            "bf16 against float32": self.half_precision, "EM cycle": self.cycle,
            **{f"generator {name}": lambda name=name: self.generator(name)
               for name in architectures},
            **{f"backbone {name}": lambda name=name: self.backbone(name)
               for name in (TORCHVISION if self.large else ["resnet18"])},
            "ONNX in fp16": self.small_numbers, "two processes": self.processes,
            **{f"--compile {name}": lambda name=name: self.compiled_training(name)
               for name in ("warp-editor", "relativistic-sampler") if name in architectures}
        }

    def measure_peak(self):
        """The most that a matrix product reaches here, TFLOP/s: what shares are taken of."""
        size = 8192 if self.large else 256
        kind = torch.bfloat16 if self.large else torch.float32
        a, b = (torch.randn(size, size, device=self.device, dtype=kind) for _ in range(2))
        seconds = timed(lambda: a @ b, self.device, 20)
        self.peak = 2 * size**3 / seconds
        return {"tflops": self.peak / 1e12, "numbers": str(kind).removeprefix("torch.")}

    def resident(self):
        """The set lies on the device; batches are cut there."""
        data = device_data.Set(manifest.read(self.sets[0]), list(AUS), self.size, self.device)
        if data.pixels.device.type != self.device.type:
            raise AssertionError(f"pixels are on {data.pixels.device}")
        rows = torch.randint(len(data), (100,), device=self.device)
        seconds = timed(lambda: data.images(rows), self.device, 50)
        size = int(np.prod(data.pixels.shape)) / 1e6
        return {"images_per_second": 100 / seconds, "megabytes": size}

    def classifier(self):
        """train_classifier.py, and its export on ONNX Runtime."""
        out, arch = self.folder / "classifier" / "c.pt", "compact" if self.large else "tiny"
        with self.memory() as memory:
            command(train_classifier.main, "--train", self.sets[0], "--validation", self.sets[1],
                    "--out", out, "--arch", arch, "--tasks", "au", "va", "expression",
                    "--epochs", 3, "--device", self.device.type)
        rate = history(out)[-1]["images_per_second"]
        return {"images_per_second": rate, **memory, **self.exported(out, "classifier")}

    def backbone(self, name):
        """train_classifier.py on one of torchvision's backbones, untrained, and its export."""
        out = self.folder / name / "c.pt"
        with self.memory() as memory:
            command(train_classifier.main, "--train", self.sets[0], "--validation", self.sets[1],
                    "--out", out, "--arch", name, "--pretrained", "none", "--epochs", 1,
                    "--max-steps", 100 if self.large else 1, "--size", 96 if self.large else 32,
                    "--batch", 64 if self.large else 8, "--device", self.device.type)
        rate = history(out)[-1]["images_per_second"]
        return {"images_per_second": rate, **memory, **self.exported(out, "classifier")}

    def small_numbers(self):
        """The classifier in fp16 against float32 in ONNX Runtime on this device: what both read of
        the same images, and speed."""
        checkpoint = self.folder / "classifier" / "c.pt"
        if not checkpoint.exists():
            return {"left out": "needs the part classifier"}
        whole, half = checkpoint.with_suffix(".onnx"), checkpoint.with_name("fp16.onnx")
        command(export_onnx.main, checkpoint, "--out", half, "--precision", "fp16",
                "--test", self.sets[1], "--max-drop", 0.05)
        on = "cuda" if self.large else "cpu"
        models = [Model.open(path, on) for path in (whole, half)]
        feed = self.feed(models[0])
        float32, float16 = (model.once(**feed)["au"] for model in models)
        seconds = [timed(lambda each=each: each.once(**feed), self.device, 20) for each in models]
        return {"largest_difference": float(np.abs(float32 - float16).max()),
                "speedup": seconds[0] / seconds[1], "onnx_images_per_second": 64 / seconds[1]}

    def compiled(self):
        """torch.compile against eager, on the classifier: outputs and speed."""
        from lib import classifiers

        torch.manual_seed(0)
        config = {"architecture": "compact" if self.large else "tiny", "size": self.size, "aus": 4}
        net = classifiers.build(config).to(self.device, memory_format=torch.channels_last).eval()
        batch = torch.rand(256 if self.large else 4, 3, self.size, self.size, device=self.device)
        fast = torch.compile(net) if self.large else net
        with torch.inference_mode():
            apart = (net(batch)["au"] - fast(batch)["au"]).abs().max().item()
            eager, quick = (timed(lambda each=each: each(batch), self.device, 30)
                            for each in (net, fast))
        if apart > 1e-2:
            raise AssertionError(f"outputs differ by {apart:.3g}")
        return {"largest_difference": apart, "speedup": eager / quick}

    def half_precision(self):
        """The Expression Manipulator's losses under bfloat16 against float32, on one batch."""
        worst = 0.0
        system, _ = self.system()
        twin = copy.deepcopy(system.nets)
        batch, terms = self.batch(), []
        for half in (False, True):
            for name, net in system.nets.items():
                net.load_state_dict(twin[name].state_dict())
            torch.manual_seed(0)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                found = system.step(batch, 0)
                terms.append({name: value.float().item() for name, value in found.items()})
        whole, half = terms
        for name, value in whole.items():
            if name.startswith("d_condition"):
                worst = max(worst, abs(half[name] - value) / max(abs(value), 1e-3))
        if worst > CLOSE:
            raise AssertionError(f"d_condition differs by {worst:.1%}: {whole} {half}")
        return {"largest_share": worst}

    def cycle(self):
        """Four D steps and a G step at paper size: images a second, the share of the peak, and the
        ratio to the eager float32 step in the public code's order."""
        system, reference = self.system()
        batch = self.batch()
        count = len(batch.x_real)

        def ours():
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.large):
                for step in range(4):
                    system.step(batch, step)

        with Operations() as counted:
            ours()
        with self.memory() as memory:
            seconds = timed(ours, self.device, 5 if self.large else 1)
        theirs = timed(lambda: [reference.step(batch, step) for step in range(4)], self.device,
                       5 if self.large else 1)
        rate = counted.total / seconds
        return {"images_per_second": 4 * count / seconds,
                "ratio_to_eager_float32": theirs / seconds,
                "share_of_peak": rate / self.peak if self.peak else None, **memory}

    def system(self):
        """(System, Reference) of the Expression Manipulator on the device."""
        small = {} if self.large else dict(size=32, width=4, levels=3, d_width=4, d_layers=4)
        system, reference = em.build(**small)
        for net in (*system.nets.values(), reference.g, reference.d):
            net.to(self.device)
        return system, reference

    def batch(self):
        """A batch for it on the device."""
        size = 128 if self.large else 32
        batch = em.batch_of(16 if self.large else 2, size, len(em.AUS))
        for name in ("x_real", "y_org", "y_trg", "known"):
            setattr(batch, name, getattr(batch, name).to(self.device))
        batch.x_real = batch.x_real.contiguous(memory_format=torch.channels_last)
        batch.labels = {name: value.to(self.device) for name, value in batch.labels.items()}
        return batch

    def generator(self, name):
        """train_generator.py on one architecture, its export, and ONNX Runtime on this device."""
        out = self.folder / name / "g.pt"
        with self.memory() as memory:
            command(train_generator.main, *self.generator_options(name, out))
        rate = history(out)[-1]["images_per_second"]
        return {"images_per_second": rate, **memory, **self.exported(out, None)}

    def compiled_training(self, name):
        """train_generator.py uncompiled, compiled, and with CUDA graphs: images a second of an
        epoch in which nothing is compiled any more. On a CPU uncompiled alone, as it takes
        minutes."""
        rates = {}
        for mode in COMPILE if self.large else COMPILE[:1]:
            out = self.folder / f"{name} {mode}" / "g.pt"
            command(train_generator.main, *self.generator_options(name, out), "--compile", mode)
            rates[f"{mode}_images_per_second"] = history(out)[-1]["images_per_second"]
        return rates

    def generator_options(self, name, out, epochs=2):
        """Options of a short training of an architecture."""
        source = generators.module(name)
        preset = "quick" if "quick" in source.PRESETS else next(iter(source.PRESETS))
        have = vars(source.Config())
        tiny = [f"{key}={value}" for key, value in TINY.items() if key in have and not self.large]
        tasks = list(source.TASKS) or ["au"]
        return ["--arch", name, "--preset", preset, "--train", self.sets[0],
                "--validation", self.sets[1], "--out", out, "--epochs", epochs,
                "--decay-epochs", 0, "--epoch-images", 1600 if self.large else 16,
                "--batch", 32 if self.large else 8, "--tasks", *tasks,
                "--device", self.device.type, "--size", self.side(source, preset),
                *(["--config", *tiny] if tiny else [])]

    def side(self, source, preset):
        """The image side that an architecture's preset wants."""
        wanted = source.PRESETS[preset].get("size", source.Config().size)
        return wanted if self.large else min(wanted, self.size)

    def exported(self, checkpoint, as_):
        """Export (which checks ONNX Runtime on the CPU against PyTorch), then CUDA against CPU."""
        out = checkpoint.with_suffix(".onnx")
        command(export_onnx.main, checkpoint, "--out", out)
        if not (self.large and has_gpu()):
            return {"export": "agrees with PyTorch"}
        feed = self.feed(Model.open(out, "cpu"))
        models = {name: Model.open(out, name) for name in ("cpu", "cuda")}
        if "CUDAExecutionProvider" not in models["cuda"].session.get_providers():
            raise AssertionError("ONNX Runtime did not take the GPU")
        made = {name: model.once(**feed) for name, model in models.items()}
        apart = {}
        for name, value in made["cpu"].items():
            scale = 255 if value.dtype == np.uint8 else max(1.0, float(np.abs(value).max()))
            apart[name] = float(np.abs(value.astype(float) - made["cuda"][name]).max() / scale)
        if max(apart.values()) > ALIKE:
            raise AssertionError(f"ONNX Runtime on CUDA differs from CPU: {apart}")
        seconds = timed(lambda: models["cuda"].once(**feed), self.device, 10)
        return {"onnx_cuda_difference": max(apart.values()), "onnx_images_per_second": 64 / seconds}

    def feed(self, model, count=64):
        """Inputs for a model."""
        from lib.onnx_precision import conditions

        pixels = images.load_all(manifest.read(self.sets[0]).images()[:count], model.image_size)
        return {"image": pixels, **conditions(model, count)}

    def processes(self):
        """Two processes (one card each) against one: the same losses."""
        if torch.cuda.device_count() < 2:
            return {"left out": "needs two cards; tests/test_processes.py compares two on a CPU"}
        lines = {}
        for count in (1, 2):
            out = self.folder / f"{count}" / "g.pt"
            script = [str(ROOT / "train_generator.py"),
                      *map(str, self.generator_options("ganimation", out, 1))]
            start = [sys.executable, "-m", "torch.distributed.run", "--standalone",
                     "--nproc-per-node"]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run([*start, str(count), *script], capture_output=True, text=True,
                                  env=environment)
            if done.returncode:
                raise AssertionError(done.stderr[-300:])
            lines[count] = history(out)[0]
        apart = abs(lines[1]["d_condition"] - lines[2]["d_condition"]) / lines[1]["d_condition"]
        if apart > CLOSE:
            raise AssertionError(f"d_condition differs by {apart:.1%}")
        return {"share_of_difference": apart,
                "speedup": lines[2]["images_per_second"] / lines[1]["images_per_second"]}

    @contextlib.contextmanager
    def memory(self):
        """A dict that holds the most memory of the card, in GB, at the end."""
        found = {}
        if self.large:
            torch.cuda.reset_peak_memory_stats()
        yield found
        if self.large:
            found["memory_gb"] = torch.cuda.max_memory_allocated() / 1e9


class Operations(TorchDispatchMode):
    """Counts the floating-point operations of convolutions and products, forward and backward.
    (torch's own FlopCounterMode follows modules, too, and cannot see a gradient penalty.)"""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        counter = flop_registry.get(function._overloadpacket)
        if counter:
            self.total += counter(*args, **(kwargs or {}), out_val=out)
        return out


def make_set(folder, name, count, size):
    """A manifest of random pictures with labels of every kind, four a session."""
    draw = np.random.default_rng(len(name))
    images.save_pack(folder / f"{name}.npy",
                     draw.integers(0, 256, (count, size, size, 3), np.uint8))
    manifest.write(folder / f"{name}.csv", {
        "path": [f"{name}.npy#{i}" for i in range(count)],
        "subject": [f"{name}{i // 8}" for i in range(count)],
        "session": [f"{name}{i // 4}" for i in range(count)],
        **{au: list(draw.random(count)) for au in AUS},
        "valence": list(draw.uniform(-1, 1, count)), "arousal": list(draw.uniform(-1, 1, count)),
        "expression": [EXPRESSIONS[i % len(EXPRESSIONS)] for i in range(count)]})
    return folder / f"{name}.csv"


def command(main, *arguments):
    """Run a script's main() in this process."""
    before, sys.argv = sys.argv, [main.__module__ + ".py", *map(str, arguments)]
    try:
        main()
    finally:
        sys.argv = before


def history(checkpoint):
    """The lines of history.jsonl beside a checkpoint."""
    text = (checkpoint.parent / "history.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def timed(function, device, times):
    """Seconds of one call, after two that do not count."""
    for _ in range(2):
        function()
    wait(device)
    start = time.perf_counter()
    for _ in range(times):
        function()
    wait(device)
    return (time.perf_counter() - start) / times


def wait(device):
    """Until the card has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
