"""One training of a classifier: its network, optimiser and objective, and where it stands."""

import dataclasses
import math

import torch

from lib import augment, checkpoints, classifiers, compiling
from lib.choices import AU_HEADS, au_outputs
from lib.classifiers import mean_teacher, settings, thresholds
from lib.classifiers.objective import Objective
from lib.cli import BadInput, GateFailed, log, progress
from lib.files import digest
from lib.termination import SEEDS, EpochDraws
from lib.training import Average, Best, learning_rate, restore_optimiser, set_learning_rate

SAMPLES = 8  # validation images kept in the checkpoint, for the parity gate of export_onnx.py
NOT_OF_THE_RUN = (
    "out",
    "resume",
    "device",
    "threads",
    "max_minutes",
    "tensorboard",
    "train",
    "validation",
    "unlabelled",
)
# what torch says of a convolution or a pooling whose input is smaller than its kernel
TOO_SMALL = ("actual input size", "Output size is too small")
DEFAULTS = {
    "au_heads": ["au"],
    "reference": "none",
    "separate": False,
}  # of checkpoints that do not name them


def run_of(options, data):
    """What two calls have to share, {option: value} and the data's hash, to be of one run."""
    chosen = dataclasses.asdict(options)
    return {key: value for key, value in chosen.items() if key not in NOT_OF_THE_RUN} | {
        "data": data.digest
    }


class Training:
    """The network and where its training stands. Every draw of an epoch follows from the seed and
    the epoch's number, so an epoch that was killed is repeated exactly."""

    def __init__(self, options, data, device, processes):
        self.options, self.data, self.device, self.processes = options, data, device, processes
        self.config = {
            "architecture": options.arch,
            "size": data.size,
            "aus": len(data.names["aus"]),
            "valence_arousal": data.names["valence_arousal"],
            "expressions": len(data.names["expressions"]),
            "dropout": options.dropout,
            "au_heads": [name for name in options.tasks if name in AU_HEADS],
            "reference": options.reference,
            "separate": len(options.tasks) > 1 and not options.shared,
        }
        if options.pretrained != "none":
            self.config["frozen"] = True
        checkpoints.seed_all(options.seed)
        self.before = {}  # the finished classifier that this one starts from
        self.net = classifiers.build(self.config).to(device, memory_format=torch.channels_last)
        if options.init:
            self.start_from(options.init)
        else:
            if options.pretrained != "none":
                self.net.backbone.load_pretrained(options.pretrained)
            self.net.start_at(data.true)
        kinds = settings.loss_kinds(options.losses, options.tasks, self.before)
        weights = settings.task_weights(options.task_weights, options.tasks)
        self.objective = Objective(
            self.net.heads, data.true, kinds, weights, options.rare_weight
        ).to(device)
        self.kept = classifiers.build(self.config).to(device, memory_format=torch.channels_last)
        self.on_gpu = device.type == "cuda"
        self.forward = self.net
        if self.on_gpu and not options.no_compile:
            self.forward = self.compiled()
        layers, learnt = (
            [parameter for parameter in module.parameters() if parameter.requires_grad]
            for module in (self.net, self.objective)
        )
        self.parameters = [*layers, *learnt]
        # decay would pull learnt weights of tasks towards 1
        self.optimiser = settings.optimiser(options, layers, learnt)
        self.average = Average(self.net, options.ema) if options.ema else None
        self.batch = max(min(options.batch, len(data.rows)), processes.world)
        self.epoch_steps = math.ceil(len(data.rows) / self.batch)
        self.most_steps = min(options.epochs * self.epoch_steps, options.max_steps or math.inf)
        self.epoch, self.step, self.seconds, self.best, self.best_weights = 0, 0, 0.0, Best(), None
        self.within = None  # of an epoch that SIGTERM cut: its steps, summed loss, random states
        self.run = run_of(options, data)
        if self.before:
            self.run["starts_from"] = checkpoints.digest_of(self.before["weights"])

    def compiled(self):
        """The network by torch.compile; itself, and a line, where nothing can be compiled."""
        if why := compiling.obstacle(self.device):
            log(f"trains without torch.compile: {why}")
            return self.net
        return torch.compile(self.net)

    def start_from(self, path):
        """Take over the weights of a finished classifier of the same kind, and which of its layers
        do not learn."""
        state = checkpoints.load_finished(path)
        differs = [
            key
            for key, value in self.config.items()
            if state["config"].get(key, DEFAULTS.get(key)) != value
            and key not in ("dropout", "frozen")
        ]
        if differs or state["labels"] != self.data.names:
            raise BadInput(
                f"--init {path}: differs in {', '.join(differs) or 'its labels'}; train with the "
                "same network and tasks, or without --init"
            )
        self.net.load_state_dict(state["weights"])
        if state["config"].get("frozen"):
            self.config["frozen"] = True
            self.net.backbone.freeze()
        self.before = state

    def learnt_from(self):
        """The hash and the facts (lib.model_card) of all that taught these weights, of an earlier
        training first."""
        data = self.data
        if not self.before:
            return {"trained_on": data.trained_on, "training_sets": data.training_sets}
        earlier = list(self.before.get("training_sets", []))
        return {
            "trained_on": digest(self.before.get("trained_on", ""), data.trained_on),
            "training_sets": earlier + [part for part in data.training_sets if part not in earlier],
        }

    def finished(self):
        """Whether a limit is reached, or patience is over."""
        options = self.options
        return (
            self.step >= self.most_steps
            or 0 < options.max_minutes * 60 <= self.seconds
            or self.epoch >= max(self.best.epoch + options.patience, options.min_epochs)
        )

    def take_time(self, seconds):
        """Add what was spent, the mean of the processes: they stop at the same epoch by
        --max-minutes, as one that went on would wait for the others for ever."""
        spent = torch.tensor(seconds, dtype=torch.float64, device=self.device)
        self.processes.average([spent])
        self.seconds += float(spent)

    def train_epoch(self, termination):
        """One pass over the rows, or what was left of it; the mean loss as a tensor, None where
        the epoch was cut and `within` remembers it."""
        options, data, world = self.options, self.data, self.processes
        seed = options.seed * 1_000_003 + self.epoch
        shuffling = torch.Generator().manual_seed(seed % SEEDS)
        order = torch.randperm(len(data.rows), generator=shuffling)
        order = (
            data.rows[order].repeat(2)[: self.epoch_steps * self.batch].to(self.device)
        )  # fills the last batch
        done, total, draws = self.take_up(seed * 64 + world.rank)
        steps = min(self.epoch_steps, self.most_steps - self.step + done)
        self.net.train()
        for i in progress(range(done, steps), what=f"epoch {self.epoch}", unit="step"):
            chosen = order[i * self.batch : (i + 1) * self.batch][world.rank :: world.world]  # [B]
            total += self.train_step(chosen, draws)
            if i + 1 < steps and termination.at(self.step):
                self.average_statistics()
                world.average([total])
                self.within = {"steps": i + 1, "total": total,
                               "draws": world.gather(draws.states())}
                return None
        self.average_statistics()
        return total / steps

    def take_up(self, seed):
        """(steps done, their summed loss, EpochDraws) of this epoch: 0 where nothing cut it. With
        another number of processes than before the cut, random numbers begin anew."""
        within, self.within = self.within, None
        if not within:
            return 0, torch.zeros((), device=self.device), EpochDraws(seed, self.device)
        anew = len(within["draws"]) != self.processes.world
        draws = EpochDraws(seed + anew * within["steps"] * 7_919_000_017, self.device)
        if not anew:
            draws.restore(within["draws"][self.processes.rank])
        return within["steps"], within["total"].to(self.device), draws

    def average_statistics(self):
        """BatchNorm's running statistics, and their averages, over the processes."""
        running = [buffer for buffer in self.net.buffers() if buffer.is_floating_point()]
        self.processes.average(running + (self.average.buffers(self.net) if self.average else []))

    def train_step(self, chosen, draws):
        """One step on rows `chosen` [B]; its loss, detached."""
        options, data = self.options, self.data
        pictures = self.pictures(data, chosen, draws.pictures)
        rate = learning_rate(options.learning_rate, self.step, self.most_steps, options.schedule)
        set_learning_rate(self.optimiser, rate)
        out = self.read(pictures)
        true = {key: values[chosen] for key, values in data.true.items()}
        loss, _ = self.objective(out, true, data.weight[chosen])
        if data.unlabelled:
            loss = loss + self.taught(data.unlabelled.draw(len(chosen), draws.rows), draws.pictures)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.average([parameter.grad for parameter in self.parameters])
        self.optimiser.step()
        self.step += 1
        if self.average:
            self.average.update(self.step)
        return loss.detach()

    def read(self, pictures):
        """What the network, which learns, says of a batch. BadInput where it has layers for which
        the images are too small, or too few to be normalised."""
        try:
            with torch.autocast("cuda", torch.bfloat16, enabled=self.on_gpu):
                return self.forward(*pictures)
        except (RuntimeError, ValueError) as error:
            name, size = self.options.arch, self.data.size
            if "Expected more than 1 value per channel" in str(error):  # BatchNorm
                raise BadInput(
                    f"--batch: a step has one image, and at {size} pixels {name} has maps of one "
                    "pixel, which cannot be normalised; give more images a step, or a larger --size"
                ) from None
            if any(part in str(error) for part in TOO_SMALL):
                raise BadInput(
                    f"--size: {size} pixels are too few for {name}; say a larger --size, such as "
                    "32, or --arch compact"
                ) from None
            raise

    def pictures(self, images, rows, draws):
        """Augmented pictures [B,3,S,S] of rows of TrainingData or Unlabelled, and their
        references, if any."""
        reference = images.reference(rows) if images.reference else None
        return augment.both(images.pixels[rows], reference, self.options.augment, draws)

    def taught(self, rows, draws):
        """The loss of unlabelled rows, whose labels are what the averaged weights read."""
        images = self.data.unlabelled
        self.kept.load_state_dict(self.average.weights(self.net))
        true = mean_teacher.soft_truth(self.kept.eval(), self.pictures(images, rows, draws))
        out = self.read(self.pictures(images, rows, draws))
        loss, _ = self.objective(out, true, torch.ones(len(rows), device=self.device))
        return loss * mean_teacher.weight(self.options.consistency, self.step, self.most_steps,
                                          self.epoch_steps)

    def predict(self):
        """What the weights that would be kept say of the validation images."""
        return classifiers.predict(self.kept, self.data.check.pixels, self.data.check_reference)

    def validate(self, loss):
        """Score the weights that would be kept; a line for the history, and whether they are the
        best so far."""
        data = self.data
        self.kept.load_state_dict(
            self.average.weights(self.net) if self.average else self.net.state_dict()
        )
        predicted = self.predict()
        score, terms = self.objective(predicted, data.check_true, data.check.weight, fixed=True)
        self.processes.average([loss, score])  # so that all processes decide alike
        row = {
            "epoch": self.epoch,
            "step": self.step,
            "loss": float(loss),
            "validation_loss": float(score),
        }
        if not math.isfinite(row["loss"]):
            raise GateFailed(
                f"training diverged in epoch {self.epoch} (loss {row['loss']}); "
                "lower --learning-rate"
            )
        if data.names["aus"]:
            readings = predicted["au"].cpu().numpy()
            row["validation_f1"] = thresholds.choose(readings, data.checked, data.names["aus"])[1]
        if len(terms) > 1:
            row |= {f"validation_{task}": float(value) for task, value in terms.items()}
        if self.best.improves(row["validation_loss"], self.epoch):
            self.best_weights = {
                key: value.clone() for key, value in self.kept.state_dict().items()
            }
        return row | {"best_epoch": self.best.epoch}

    def save_last(self, path):
        """Write last.pt, from which `resume` goes on."""
        checkpoints.save(
            path,
            {
                "kind": "classifier",
                "config": self.config,
                "labels": self.data.names,
                "run": self.run,
                "weights": self.net.state_dict(),
                "average": self.average and self.average.weights(self.net),
                "objective": self.objective.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "epoch": self.epoch - bool(self.within),  # epochs that are over
                "within": self.within,
                "step": self.step,
                "seconds": self.seconds,
                "best_score": self.best.score,
                "best_epoch": self.best.epoch,
                "best_weights": self.best_weights,
            },
        )

    def resume(self, path):
        """Take up training where last.pt was written."""
        state = checkpoints.load(path, "classifier")
        if changed := [key for key in self.run if state.get("run", {}).get(key) != self.run[key]]:
            raise BadInput(
                f"{path}: is of another run ({', '.join(changed)} differ); "
                "remove it, or give another --out"
            )
        self.net.load_state_dict(state["weights"])
        self.objective.load_state_dict(state["objective"])
        restore_optimiser(self.optimiser, state["optimiser"])
        if self.average:
            self.average.restore(state["average"])
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.within = state.get("within")
        self.best, self.best_weights = (
            Best(state["best_score"], state["best_epoch"]),
            state["best_weights"],
        )
        steps = f" and {self.within['steps']} steps" if self.within else ""
        log(f"{path}: going on after epoch {self.epoch}{steps}")

    def product(self):
        """The finished checkpoint: the best epoch's weights, thresholds, and what an export
        needs."""
        if self.best_weights is None:
            raise GateFailed("no epoch had a finite validation loss; lower --learning-rate")
        data = self.data
        self.kept.load_state_dict(self.best_weights)
        aus, limits = data.names["aus"], {"thresholds": {}}
        if aus:
            predicted = self.predict()
            read = {name: predicted[name].cpu().numpy()
                    for name in au_outputs(self.config["au_heads"])}
            limits = thresholds.to_store(read, data.checked, aus)
        spread = (
            torch.linspace(0, len(data.check) - 1, min(SAMPLES, len(data.check)))
            .long()
            .to(self.device)
        )
        return {
            "kind": "classifier",
            "architecture": self.options.arch,
            "config": self.config,
            "labels": data.names,
            "au_kind": self.data.au_kind(self.config["au_heads"]),
            "weights": self.best_weights,
            **limits,
            "samples": data.check.pixels[spread],
            **self.learnt_from(),
            "registration": data.registration,
            "run": self.run,
            "losses": self.objective.kinds,
            "best_epoch": self.best.epoch,
            "best_score": self.best.score,
            "epoch": self.epoch,
            "step": self.step,
            "versions": {"torch": str(torch.__version__)},
        }
