"""Train a generator that edits faces by action unit.

    python train_generator.py --train labelled.csv pseudo.csv --validation validation.csv --out generator.pt

Beside --out: history.jsonl (one line an epoch), epochs/NNNN.png (the same validation faces each time, one
column an AU) and, while training goes on, NAME.last.pt, from which the same command with --resume goes on exactly.
"""
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

import torch

from lib import device_data, checkpoints, generators, images, labels, manifest
from lib.cli import BadInput, GateFailed, arg, log, parse, progress, run
from lib.files import digest
from lib.generators import watch
from lib.generators.pairs import Pairs
from lib.classifiers.label_tensors import label_names
from lib.training import History

NOT_OF_THE_RUN = ("out", "resume", "device", "threads", "train", "validation", "reader")


@dataclass
class Options:
    train: list[str] = arg(nargs="+", required=True, metavar="FILE.csv", help="manifests with AU labels, real and pseudo")
    validation: str = arg(help="manifest of other people; their edits choose the epoch", required=True, metavar="FILE.csv")
    out: str = arg(help="where the checkpoint goes", required=True, metavar="FILE.pt", writes="file")
    arch: str = arg("expression-manipulator", choices=list(generators.ARCHITECTURES), help="published system")
    preset: str = arg("quick", help="the architecture's settings: paper, quick, or grid for MNIST")
    config: list[str] = arg([], nargs="+", metavar="NAME=VALUE", help="replace settings of the preset, e.g. width=32 w_pair=0")
    weights: list[float] = arg([], nargs="+", metavar="W", least=0, help="a weight for each --train manifest, times its "
                               "rows' own: how often its images are drawn")
    aus: list[str] = arg([], nargs="+", metavar="AUxx", help="only these AUs (default: all that are labelled)")
    size: Optional[int] = arg(None, help="image side in pixels (default: the first image's)", least=1)
    epochs: int = arg(50, help="how many epochs", least=1)
    decay_epochs: int = arg(20, help="over how many last epochs the learning rate falls to 0", least=0)
    epoch_images: Optional[int] = arg(None, help="generator images an epoch (default: the training set's size)",
                                       least=1)
    batch: int = arg(16, help="images a step", least=1)
    ema: float = arg(0.998, help="averaging of the generator's weights")
    level: float = arg(0.7, help="AU level of the validation edits (1 for MNIST)")
    reader: str = arg("", metavar="FILE.onnx", help="supervised classifier that reads the validation edits (without it the discriminator does)")
    flip: bool = arg(True, help="do not mirror images (needed where left and right differ, as with digits)")
    seed: int = arg(0, help="seed of everything random", least=0)
    device: str = arg("auto", help="where it trains", choices=["auto", "cpu", "cuda"])
    threads: int = arg(0, help="CPU threads, 0 for all", least=0)
    resume: bool = arg(False, help="go on from NAME.last.pt beside --out")
    allow_shared_subjects: bool = arg(False, help="train and validation may share people")

    def __post_init__(self):
        if not self.out.endswith(".pt"):
            raise ValueError(f"--out {self.out}: a checkpoint's name ends in .pt")
        if not (0 <= self.ema < 1 and 0 < self.level <= 1):
            raise ValueError("--ema is at least 0 and below 1, --level above 0 and at most 1")
        if self.weights and len(self.weights) != len(self.train):
            raise ValueError(f"--weights: {len(self.weights)} weights for {len(self.train)} manifests; give one each")
        self.aus = [labels.parse_au(name) for name in self.aus]
        if wrong := [text for text in self.config if "=" not in text]:
            raise ValueError(f"--config {wrong[0]}: write NAME=VALUE")

    @property
    def overrides(self):
        """--config as {name: text}."""
        return dict(text.split("=", 1) for text in self.config)


def main():
    options = parse(Options, __doc__)
    if options.threads:
        torch.set_num_threads(options.threads)
    checkpoints.seed_all(options.seed)
    device = device_data.device(options.device)
    trainer = Trainer(options, device)
    if options.resume and trainer.last.exists():
        trainer.resume()
    log(trainer.summary())
    history = History(trainer.folder / "history.jsonl", keep=trainer.epoch)
    if not trainer.epoch:
        trainer.warm_up()
    for epoch in range(trainer.epoch, options.epochs):
        losses, speed = trainer.train_epoch(epoch)
        trainer.finish_epoch(epoch, losses, speed, history)
    trainer.write_result()


class Trainer:
    """Everything that lasts longer than an epoch."""

    def __init__(self, options, device):
        self.options, self.device = options, device
        self.out = Path(options.out)
        self.folder = self.out.parent
        self.last = self.folder / f"{self.out.stem}.last.pt"
        generators.configure(options.arch, options.preset, options.overrides)  # refuses before images are decoded
        train, factors, validation = self.read()
        self.data = device_data.Set(train, self.aus, options.size, device)
        self.data.weight *= factors.to(device)
        if not self.data.weight.any():
            raise BadInput(f"{train.name}: all weights are 0; nothing is left to learn from")
        self.pairs = Pairs(train, self.data.aus, weight=self.data.weight)
        self.config = generators.configure(options.arch, options.preset, {**options.overrides, "size": self.data.size})
        if not self.pairs.count and "critic_every" not in options.overrides:
            self.config.critic_every = 1  # without true images of the same person the discriminator teaches alone
        self.source = generators.module(options.arch)
        self.system = self.source.System(len(self.aus), self.config)
        if not self.pairs.count and not (self.system.asked(0) and set(self.system.shares) - {"pair"}):
            raise BadInput(f"{train.name}: no two images of one session or subject, of which these settings learn alone; "
                           "add a column session, or change --config")
        self.generator = self.system.generator.to(device, memory_format=torch.channels_last)
        self.discriminator = self.system.discriminator.to(device, memory_format=torch.channels_last)
        self.average = {name: value.detach().clone() for name, value in self.generator.state_dict().items()}
        self.optimisers = self.system.optimisers(fused=True)
        self.rates = [group["lr"] for optimiser in self.optimisers for group in optimiser.param_groups]
        self.watch = watch.Watch(device_data.Set(validation, self.aus, self.data.size, device),
                                 options.level, options.reader)
        self.steps = max(1, (options.epoch_images or len(self.data)) // options.batch)
        self.epoch = self.step = 0
        self.best = {"error": float("inf"), "epoch": -1, "weights": None}
        self.trained_on, self.registration = train.digest(), manifest.registration([train], validation)
        reader = [Path(options.reader)] if options.reader else []
        self.run = {name: value for name, value in asdict(options).items() if name not in NOT_OF_THE_RUN} | {
            "config": self.system.config_dict(), "data": digest(self.trained_on, validation.digest(), *reader)}

    def read(self):
        """(training manifest, float32 [N] its sources' weights, validation manifest); sets the AUs to learn."""
        options = self.options
        parts = [manifest.read(path) for path in options.train]
        self.aus = label_names(parts, ["au"], options.aus)["aus"]
        for part in parts:
            if not set(self.aus) & set(part.au_names):
                raise BadInput(f"{part.name}: has none of the AUs {' '.join(self.aus)}; label it first (pseudo_label.py)")
        validation = manifest.read(options.validation)
        for part in parts:
            manifest.check_disjoint(part, validation, options.allow_shared_subjects)
        factors = [torch.full((len(part),), factor) for part, factor in zip(parts, options.weights or [1.0] * len(parts))]
        return manifest.merge(parts, self.folder), torch.cat(factors), validation

    def summary(self):
        """What is trained on, for people."""
        return (f"{len(self.data)} images, {len(self.aus)} AUs, {self.pairs.count} images have others of the same "
                f"session; {self.steps} steps an epoch on {self.device}")

    def warm_up(self):
        """Teach the discriminator's label head on real images, where the settings ask for it."""
        steps = self.config.d_warmup if self.system.asked(0) else 0
        for step in progress(range(steps), what="warm-up", unit="step"):
            batch = self.source.make_batch(self.data, self.pairs, self.system, 4 * self.options.batch, self.options.flip)
            loss = self.system.warmup_loss(batch)
            self.optimisers[1].zero_grad(set_to_none=True)
            loss.backward()
            self.optimisers[1].step()
        if steps:
            log(f"warm-up: the discriminator reads AUs with a squared error of {loss.item():.4f} "
                f"(variance {spread(self.data.aus):.4f})")

    def train_epoch(self, epoch):
        """One epoch; returns mean losses and generator images a second."""
        options, config = self.options, self.config
        remaining = min(1.0, (options.epochs - epoch) / (options.decay_epochs + 1)) if options.decay_epochs else 1.0
        for optimiser, rate in zip(self.optimisers, self.rates):
            for group in optimiser.param_groups:
                group["lr"] = rate * remaining
        sums, counts, start = {}, {}, time.perf_counter()
        for _ in progress(range(self.steps), what=f"epoch {epoch}", unit="step"):
            batch = self.update(self.system.generator_loss, self.optimisers[0], sums, counts)
            if self.system.asked(self.step):
                for _ in range(config.n_critic):  # the first time on what the generator has just made
                    self.update(self.system.discriminator_loss, self.optimisers[1], sums, counts, batch)
                    batch = None
            self.step += 1
            decay = min(options.ema, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_([value for value in self.average.values()],
                                 [value.detach() for value in self.generator.state_dict().values()], 1 - decay)
        means = {name: (total / counts[name]).item() for name, total in sums.items()}
        return means, self.steps * options.batch / (time.perf_counter() - start)

    def update(self, loss, optimiser, sums, counts, batch=None):
        """One step of one network, on a new batch unless one is given; returns the batch."""
        batch = batch or self.source.make_batch(self.data, self.pairs, self.system, self.options.batch, self.options.flip)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            total, terms = loss(batch, self.step)
        optimiser.zero_grad(set_to_none=True)
        if torch.is_tensor(total):  # no loss is due in this step where pairs are few and the discriminator not asked
            total.backward()
            optimiser.step()
        for name, value in terms.items():  # sums stay on the device: reading them each step would stall it
            sums[name] = sums.get(name, 0) + value.detach().float()
            counts[name] = counts.get(name, 0) + 1
        return batch

    def finish_epoch(self, epoch, means, speed, history):
        """Look at the validation faces, write history, sheet and last.pt, remember the best epoch."""
        current = {name: value.clone() for name, value in self.generator.state_dict().items()}
        self.generator.load_state_dict(self.average)
        self.generator.eval()
        seen, sheet = self.watch.look(self.generator, self.discriminator)
        if not all(map(math.isfinite, [*means.values(), seen["condition_error"]])):
            raise GateFailed(f"training diverged in epoch {epoch}: losses or edits are not finite; lower learning_rate "
                             "and d_learning_rate by --config")
        better = seen["condition_error"] < self.best["error"]
        if better:
            self.best = {"error": seen["condition_error"], "epoch": epoch,
                         "weights": {name: value.clone() for name, value in self.average.items()}}
        self.generator.load_state_dict(current)
        self.generator.train()
        line = {"epoch": epoch, "step": self.step, **{name: round(value, 5) for name, value in means.items()},
                **seen, "images_per_second": round(speed, 1), "best_epoch": self.best["epoch"]}
        history.write(line)
        images.save(self.folder / "epochs" / f"{epoch:04d}.png", sheet)
        log(f"epoch {epoch}: condition error {seen['condition_error']:.4f} (unedited {seen['unedited_error']:.4f}), "
            f"target read {seen['target_rise']:+.3f} of {self.options.level:g}, {speed:.0f} images/s"
            + (" *" if better else ""))
        for text in self.watch.alarms(seen, means, epoch):
            log(f"  alarm: {text}")
        self.epoch = epoch + 1
        checkpoints.save(self.last, {
            "kind": "generator-training", "weights": self.generator.state_dict(), "average": self.average,
            "discriminator": self.discriminator.state_dict(), "epoch": self.epoch, "step": self.step,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "best": self.best, "random": checkpoints.random_states(), "run": self.run})

    def resume(self):
        """Take up training where last.pt was written."""
        state = checkpoints.load(self.last, "generator-training")
        if changed := [key for key in self.run if state.get("run", {}).get(key) != self.run[key]]:
            raise BadInput(f"{self.last}: is of another run ({', '.join(changed)} differ); remove it, or give another "
                           "--out")
        self.generator.load_state_dict(state["weights"])
        self.discriminator.load_state_dict(state["discriminator"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"]):
            optimiser.load_state_dict(saved)
        self.average = {name: value.to(self.device) for name, value in state["average"].items()}
        self.best, self.epoch, self.step = state["best"], state["epoch"], state["step"]
        checkpoints.restore_random_states(state["random"])
        log(f"resumed after epoch {self.epoch - 1}")

    def write_result(self):
        """The finished checkpoint: the best epoch's averaged weights."""
        log(f"kept epoch {self.best['epoch']}: condition error {self.best['error']:.4f}")
        checkpoints.save(self.out, {
            "kind": "generator", "architecture": self.options.arch, "config": self.system.config_dict(),
            "labels": {"aus": self.aus}, "weights": self.best["weights"], "epoch": self.best["epoch"],
            "condition_error": self.best["error"], "trained_on": self.trained_on, "registration": self.registration,
            "samples": self.watch.samples(), "versions": {"torch": str(torch.__version__)}})
        self.last.unlink(missing_ok=True)  # finished: nothing to resume


def spread(aus):
    """Mean over AUs of the variance of their labels [N,C], NaN left out."""
    return (aus - aus.nanmean(0)).square().nanmean(0).nanmean().item()


if __name__ == "__main__":
    run(main)
