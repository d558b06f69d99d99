"""The training of a generator of any architecture: time, averaged weights, checkpoints, history,
the choice of the epoch, alarms and processes. Options are those of train_generator.py."""

import math
import time
from dataclasses import asdict
from pathlib import Path

import torch

from lib import (
    checkpoints,
    compiling,
    device_data,
    generators,
    images,
    labels,
    manifest,
    model_card,
)
from lib.classifiers.label_tensors import label_names
from lib.cli import BadInput, GateFailed, log, progress
from lib.files import digest
from lib.generators import editing, sampling
from lib.termination import EpochSums, Termination
from lib.training import Average, Draws, History, Processes, restore_optimiser

KINDS = {"editor": editing, "sampler": sampling}
# an epoch within 2 % of the best score is kept: the later of two that are as good has learnt
# longer
CLOSE = 0.02
NOT_OF_THE_RUN = (
    "out",
    "resume",
    "device",
    "threads",
    "train",
    "validation",
    "reader",
    "tensorboard",
    "compile",
)


class Trainer:
    """Everything that lasts longer than an epoch."""

    def __init__(self, options, device, processes=None):
        self.options, self.device, self.processes = options, device, processes or Processes("cpu")
        self.out = Path(options.out)
        self.folder = self.out.parent
        self.last = self.folder / f"{self.out.stem}.last.pt"
        if options.compile != compiling.OFF and (why := compiling.obstacle(device)):
            raise BadInput(f"--compile {options.compile}: {why}; leave --compile out")
        source = generators.module(options.arch)
        # refuses before images are decoded
        generators.configure(options.arch, options.preset, options.overrides)
        options.fill_schedule(getattr(source, "SCHEDULES", {}).get(options.preset, {}))
        train, factors, validation = self.read(options.tasks or source.TASKS)
        self.data, table = self.decode(train, options.size)
        self.data.weight *= factors.to(device)
        if not self.data.weight.any():
            raise BadInput(f"{train.name}: all weights are 0; nothing is left to learn from")
        self.system = self.build(source)
        if options.init:
            self.take_up(options.init)
        self.compiled = self.compile()
        kind = KINDS[self.system.kind]
        self.batches = kind.Batches(self.data, table, self.system, options.flip)
        self.averages = {
            name: Average(self.system.nets[name], options.ema)
            for name in self.system.averaged or self.system.nets
        }
        self.rates = {
            name: [group["lr"] for group in optimiser.param_groups]
            for name, optimiser in self.system.optimisers.items()
        }
        self.watch = kind.Watch(
            *self.decode(validation, self.data.size), self.system, options.level, options.reader
        )
        self.local_batch = max(1, options.batch // self.processes.world)
        self.steps = max(1, (options.epoch_images or len(self.data)) // options.batch)
        self.epoch = self.step = 0
        self.within, self.termination = EpochSums(), Termination(self.processes)
        self.best = {"error": math.inf, "score": math.inf, "epoch": -1, "nets": None}
        self.trained_on, self.registration = (
            train.digest(),
            manifest.registration([train], validation),
        )
        reader = [Path(options.reader)] if options.reader else []
        self.run = {
            name: value for name, value in asdict(options).items() if name not in NOT_OF_THE_RUN
        } | {
            "config": self.system.config_dict(),
            "data": digest(self.trained_on, validation.digest(), *reader),
        }

    def read(self, tasks):
        """(training manifest, float32 [N] its sources' weights, validation manifest); sets the
        labels to learn."""
        options = self.options
        parts = [manifest.read(path) for path in options.train]
        self.labels = (
            labels.Labels(**label_names(parts, tasks, options.aus)) if tasks else labels.Labels()
        )
        for part in parts:
            if self.labels.count and not has_labels(self.labels, part):
                raise BadInput(
                    f"{part.name}: has none of the labels {' '.join(self.labels.conditions)}; "
                    "label it first (pseudo_label.py)"
                )
        validation = manifest.read(options.validation)
        for part in parts:
            manifest.check_disjoint(part, validation, options.allow_shared_subjects)
        self.training_sets = [model_card.facts(part) for part in parts]
        factors = [
            torch.full((len(part),), factor)
            for part, factor in zip(parts, options.weights or [1.0] * len(parts))
        ]
        return manifest.merge(parts, self.folder), torch.cat(factors), validation

    def decode(self, part, size):
        """(lib.device_data.Set, its conditions [N,C] with NaN where unlabelled), on the device."""
        data = device_data.Set(part, [], size, self.device)
        return data, torch.from_numpy(self.labels.encode(part)).to(self.device)

    def build(self, source):
        """The system, on the device; its optimisers average gradients over the processes."""
        options, world = self.options, self.processes
        config = generators.configure(
            options.arch, options.preset, {**options.overrides, "size": self.data.size}
        )
        system = source.System(self.labels, config)
        for net in system.nets.values():
            net.to(self.device, memory_format=system.layout(self.device))
        system.draw = Draws(world.rank, world.world)
        for optimiser in system.optimisers.values() if world.world > 1 else ():
            optimiser.register_step_pre_hook(
                lambda each, *_: world.average(
                    [
                        value.grad
                        for group in each.param_groups
                        for value in group["params"]
                        if value.grad is not None
                    ]
                )
            )
        return system

    def compile(self):
        """The networks' compiled methods (lib.compiling), and a line on what is left out."""
        mode, twice = self.options.compile, self.system.differentiated_twice
        if mode == compiling.OFF:
            return compiling.Eager()
        chosen = {name: net for name, net in self.system.nets.items() if name not in twice}
        if self.processes.first:
            log(f"compiled when first used: {', '.join(chosen)}"
                + (f"; not {', '.join(twice)}, whose gradient is a loss" if twice else ""))
        return compiling.Compiled(chosen, mode, self.device)

    def take_up(self, path):
        """Begin with the networks of a finished checkpoint."""
        state = checkpoints.load_finished(path)
        mine = {"architecture": self.options.arch, "labels": self.labels.as_dict()}
        for what, value in mine.items():
            if state.get(what) != value:
                raise BadInput(
                    f"{path}: has {what} {state.get(what)}, this training {value}; "
                    "give a checkpoint of the same, or leave --init out"
                )
        for name, net in self.system.nets.items():
            try:
                net.load_state_dict(state["nets"][name])
            except (KeyError, RuntimeError):
                raise BadInput(
                    f"{path}: its {name} is of other sizes; give the --preset, --config and --size "
                    "that it was trained with, or leave --init out"
                ) from None

    def summary(self):
        """What is trained on, for people."""
        return (
            f"{self.options.arch}: {len(self.data)} images, {self.labels.count} conditions, "
            f"{self.batches.summary()}; {self.steps} steps an epoch on {self.device}"
        )

    def train(self):
        """All epochs, then the finished checkpoint."""
        first = self.processes.first
        if first:
            log(self.summary())
        history = (
            History(self.folder / "history.jsonl", self.epoch, self.options.tensorboard)
            if first
            else None
        )
        if not self.step:
            with self.compiled.paused():
                said = self.system.warm_up(
                    lambda times: self.batches.draw(times * self.local_batch)
                )
            if said and first:
                log(f"warm-up: {said}")
        with self.termination:
            for epoch in range(self.epoch, self.options.epochs):
                means, speed = self.train_epoch(epoch)
                self.finish_epoch(epoch, means, speed, history)
                if self.epoch < self.options.epochs and self.termination.anywhere():
                    if first:
                        log(f"terminated: saved after epoch {epoch}; --resume goes on from there")
                    self.termination.leave()
        if first:
            self.write_result()

    def train_epoch(self, epoch):
        """One epoch, or what was left of it; returns mean losses and images a second."""
        options, system = self.options, self.system
        remaining = (
            min(1.0, (options.epochs - epoch) / (options.decay_epochs + 1))
            if options.decay_epochs
            else 1.0
        )
        for name, optimiser in system.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self.rates[name]):
                group["lr"] = rate * remaining
        within, start, done = self.within, time.perf_counter(), self.within.steps
        for i in progress(range(done, self.steps), what=f"epoch {epoch}", unit="step"):
            batch = self.batches.draw(self.local_batch, epoch)
            self.compiled.begin_step()
            with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
                terms = system.step(batch, self.step)
            within.add(terms)
            self.step += 1
            for average in self.averages.values():
                average.update(self.step)
            if i + 1 < self.steps and self.termination.at(self.step):
                self.save_within()
        self.average_statistics()
        means, self.within = within.means(self.processes), EpochSums()
        return means, (self.steps - done) * options.batch / (time.perf_counter() - start)

    def average_statistics(self):
        """The networks' float buffers (what BatchNorm normalises by), and their averages, over the
        processes."""
        running = [
            buffer
            for net in self.system.nets.values()
            for buffer in net.buffers()
            if buffer.is_floating_point()
        ]
        averaged = [
            value
            for name, average in self.averages.items()
            for value in average.buffers(self.system.nets[name])
        ]
        self.processes.average(running + averaged)

    def save_within(self):
        """Save in the middle of an epoch and leave."""
        self.average_statistics()
        self.within.share(self.processes)
        if self.processes.first:
            nets = self.system.nets
            self.save_last(
                {name: net.state_dict() for name, net in nets.items()},
                {name: average.weights(nets[name]) for name, average in self.averages.items()},
            )
            log(
                f"terminated: saved after step {self.within.steps} of {self.steps} of epoch "
                f"{self.epoch}; --resume goes on from there"
            )
        self.termination.leave()

    def finish_epoch(self, epoch, means, speed, history):
        """Look at what is made with averaged weights, write history, sheet and last.pt, remember
        the best epoch."""
        self.epoch = epoch + 1
        if not self.processes.first:
            return
        system, nets = self.system, self.system.nets
        current = {
            name: {key: value.clone() for key, value in net.state_dict().items()}
            for name, net in nets.items()
        }
        averaged = {name: average.weights(nets[name]) for name, average in self.averages.items()}
        for name, weights in averaged.items():
            nets[name].load_state_dict(weights)
        for net in nets.values():
            net.eval()
        with self.compiled.paused():
            figures, sheet = self.watch.look(system.exports)
        score = self.watch.score(figures)
        if not all(map(math.isfinite, [*means.values(), score or 0])):
            diverged = (f"training diverged in epoch {epoch}: losses or results are not finite; "
                        "lower the learning rates by --config")
            history.write(self.line(epoch, means, figures, speed, [diverged]))
            raise GateFailed(diverged)
        least = min(self.best["score"], math.inf if score is None else score)
        self.best["score"] = least
        better = score is None or score <= least * (1 + CLOSE)
        if better:
            self.best |= {
                "error": figures.get("condition_error"),
                "epoch": epoch,
                "nets": {
                    name: {key: value.clone() for key, value in net.state_dict().items()}
                    for name, net in nets.items()
                },
            }
        for name, net in nets.items():
            net.load_state_dict(current[name])
            net.train()
        alarms = self.watch.alarms(figures, means, epoch)
        history.write(self.line(epoch, means, figures, speed, alarms))
        images.save(self.folder / "epochs" / f"{epoch:04d}.png", sheet)
        log(
            f"epoch {epoch}: {self.watch.said(figures)}, {speed:.0f} images/s"
            + (" *" if better else "")
        )
        for text in alarms:
            log(f"  alarm: {text}")
        self.save_last(current, averaged)
        if alarms and self.options.stop_on_alarm:
            raise GateFailed(f"alarm in epoch {epoch}: {alarms[0]}")

    def line(self, epoch, means, figures, speed, alarms):
        """An epoch's line of history.jsonl."""
        return {
            "epoch": epoch,
            "step": self.step,
            **{name: round(value, 5) for name, value in means.items()},
            **figures,
            "images_per_second": round(speed, 1),
            "best_epoch": self.best["epoch"],
            **({"alarms": alarms} if alarms else {}),
        }

    def save_last(self, current, averaged):
        """Write last.pt, from which `resume` goes on."""
        checkpoints.save(
            self.last,
            {
                "kind": "generator-training",
                "nets": current,
                "averages": averaged,
                "epoch": self.epoch,
                "step": self.step,
                "optimisers": {
                    name: optimiser.state_dict()
                    for name, optimiser in self.system.optimisers.items()
                },
                "within": asdict(self.within),
                "best": self.best,
                "random": checkpoints.random_states(),
                "run": self.run,
            },
        )

    def resume(self):
        """Take up training where last.pt was written."""
        state = checkpoints.load(self.last, "generator-training")
        if changed := [key for key in self.run if state.get("run", {}).get(key) != self.run[key]]:
            raise BadInput(
                f"{self.last}: belongs to another run ({', '.join(changed)} differ); "
                "remove it, or give another --out"
            )
        for name, net in self.system.nets.items():
            net.load_state_dict(state["nets"][name])
        for name, average in self.averages.items():
            average.restore(state["averages"][name])
        for name, optimiser in self.system.optimisers.items():
            restore_optimiser(optimiser, state["optimisers"][name])
        self.epoch, self.step = state["epoch"], state["step"]
        self.best = {"score": math.inf, **state["best"]}  # older runs have no score
        self.within = EpochSums(**state.get("within", {})).on(self.device)
        checkpoints.restore_random_states(state["random"])
        if self.processes.first:
            log(
                f"resumed after epoch {self.epoch - 1}"
                + (f" and {self.within.steps} steps" if self.within.steps else "")
            )

    def write_result(self):
        """The finished checkpoint: the best epoch's averaged weights."""
        error = self.best["error"]
        log(
            f"kept epoch {self.best['epoch']}"
            + ("" if error is None else f": condition error {error:.4f}")
        )
        checkpoints.save(
            self.out,
            {
                "kind": "generator",
                "architecture": self.options.arch,
                "config": self.system.config_dict(),
                "labels": self.labels.as_dict(),
                "nets": self.best["nets"],
                "epoch": self.best["epoch"],
                "condition_error": error,
                "trained_on": self.trained_on,
                "training_sets": self.training_sets,
                "registration": self.registration,
                "samples": self.watch.samples(),
                "versions": {"torch": str(torch.__version__)},
            },
        )
        self.last.unlink(missing_ok=True)  # finished: nothing to resume


def has_labels(wanted, part):
    """Whether a manifest labels a single cell of the labels that are to be learnt."""
    table = wanted.encode(part)
    return bool((table == table).any())
