"""Train a classifier of action units, and of valence/arousal and expressions where they are labelled.

    train_classifier.py --train labelled.csv --validation validation.csv --out classifier.pt
    train_classifier.py --train labelled.csv synthetic.csv --weights 1 0.5 --validation validation.csv --out c.pt
    train_classifier.py --train labelled.csv --validation v.csv --tasks au va expression --losses va=ccc --out c.pt
    train_classifier.py --init generic.pt --personalise people.csv --validation v.csv --out 'personal/{subject}.pt'
    train_classifier.py --train labelled.csv --validation v.csv --per-au --out 'models/{au}/classifier.pt'
    torchrun --nproc-per-node 4 train_classifier.py …        several GPUs

Defaults are Table 1 of the thesis (batch 100, at most 1,000 epochs, patience 20 on the validation set, MSE,
RAdam, 1e-3). Empty cells are masked; an AU that one manifest lacks is masked for its rows. Rows with
au_kind=occurrence teach presence, never a level. Beside --out stand history.jsonl (one line an epoch) and,
while training goes on, last.pt for --resume: one model a folder.

--tasks: au (intensity by regression), au_level (six ordinal levels), au_present (occurrence), va (valence and
arousal), expression. Several tasks share the network but its last stage (--shared); each loss is divided by that
of the best constant reading, so that none rules the others (--task-weights).
"""
import dataclasses
import math
import time
from pathlib import Path

import torch

from lib import augment, checkpoints, classifiers, device_data, labels
from lib.classifiers import HEADS, mean_teacher, personal, settings, thresholds, torchvision_backbone
from lib.classifiers.objective import Objective
from lib.classifiers.training_data import TrainingData
from lib.cli import BadInput, GateFailed, arg, log, parse, progress, run
from lib.training import Average, Best, History, Processes, learning_rate, set_learning_rate

SAMPLES = 8  # validation images kept in the checkpoint, for the parity gate of export_onnx.py
NOT_OF_THE_RUN = ("out", "resume", "device", "threads", "max_minutes", "train", "validation", "unlabelled")
DEFAULTS = {"au_heads": ["au"], "reference": "none", "separate": False}  # of checkpoints that do not name them
AU = "{au}"  # stands for the AU's name in the --out of --per-au


@dataclasses.dataclass
class Options:
    validation: str = arg(help="manifest that stops training and chooses thresholds", required=True, metavar="FILE.csv")
    out: str = arg(help="where the classifier goes; last.pt and history.jsonl beside it", required=True,
                   metavar="FILE.pt", writes="file")
    train: list[str] = arg([], help="manifests to learn from", nargs="+", metavar="FILE.csv")
    init: str = arg("", help="start from the weights of this classifier", metavar="FILE.pt")
    personalise: str = arg("", help="with --init: go on with each person of this manifest alone; --out has {subject} "
                           "in it, and NAME.onnx stands beside NAME.pt", metavar="FILE.csv")
    personal_rates: list[float] = arg([1e-5, 1e-4, 1e-3], help="learning rates to choose from, on people who are both "
                                      "in --personalise and in --validation", nargs="+", least=0)
    personal_steps: int = arg(50, help="steps of each personal model", least=1)
    only_heads: bool = arg(False, help="with --personalise: train the last layers only")
    per_au: bool = arg(False, help="one model an AU; --out has {au} in its folder")
    unlabelled: list[str] = arg([], help="images that the averaged weights label while training goes on (mean "
                                "teacher); needs --ema", nargs="+", metavar="FILE.csv")
    consistency: float = arg(1.0, help="weight of the labels of --unlabelled images", least=0)
    weights: list[float] = arg([], help="a weight for each --train manifest, times its rows' own", nargs="+", least=0)
    tasks: list[str] = arg(["au"], help="what to learn", nargs="+", choices=list(HEADS))
    losses: list[str] = arg([], help="the loss of a task: " + "; ".join(
        f"{name} {' '.join(head.losses)}" for name, head in HEADS.items()), nargs="+", metavar="TASK=LOSS")
    task_weights: list[str] = arg(["balanced"], help="of several tasks: balanced, learnt, or a number for each",
                                  nargs="+", metavar="balanced|learnt|TASK=X")
    shared: bool = arg(False, help="let several tasks share the last stage, too; else each has its own")
    rare_weight: float = arg(0.0, help="the most that a rare AU or expression may count (0: all count alike)",
                             least=0)
    aus: list[str] = arg([], help="only these AUs, such as AU01 AU12 (default: all that are labelled)", nargs="+")
    upsample: int = arg(0, help="additional draws from the training rows, rare AUs more often", least=0)
    arch: str = arg("compact", help="network", choices=list(classifiers.BACKBONES))
    pretrained: str = arg("none", help="first weights of a torchvision network: imagenet, none, or a file of them",
                          metavar="imagenet|none|FILE")
    size: int = arg(0, help="image side in pixels (0: that of the first training image)", least=0)
    reference: str = arg("none", help="compare with the person's neutral or mean image (column reference, else the "
                         "mean): image subtracts it, features subtracts its features",
                         choices=list(classifiers.REFERENCES))
    augment: str = arg("faces", help="random changes of training images", choices=list(augment.KINDS))
    batch: int = arg(100, help="images a step, over all processes", least=1)
    epochs: int = arg(1000, help="most epochs", least=1)
    patience: int = arg(20, help="stop after this many epochs without a better validation loss", least=1)
    min_epochs: int = arg(0, help="do not stop early before this epoch", least=0)
    max_steps: int = arg(0, help="stop after this many steps (0: no such limit)", least=0)
    max_minutes: float = arg(0.0, help="stop after the epoch in which this time is over (0: no limit; not repeatable)",
                             least=0)
    optimiser: str = arg("radam", help="what changes the weights; sgd has momentum 0.9", choices=list(settings.OPTIMISERS))
    learning_rate: float = arg(1e-3, help="the optimiser's", least=0)
    weight_decay: float = arg(0.0, help="the optimiser's; decoupled for radam and adamw", least=0)
    schedule: str = arg("constant", help="learning rate over all steps", choices=["constant", "cosine"])
    ema: float = arg(0.0, help="average the weights with this decay, such as 0.99, and keep the average (0: do not)")
    dropout: float = arg(0.2, help="share of features left out while training")
    seed: int = arg(0, help="of weights, order and augmentation", least=0)
    device: str = arg("auto", help="where it trains", choices=["auto", "cpu", "cuda"])
    threads: int = arg(0, help="CPU threads (0: torch's choice)", least=0)
    no_compile: bool = arg(False, help="on a GPU, run without torch.compile")
    allow_shared_subjects: bool = arg(False, help="let a subject be in training and validation")
    resume: bool = arg(False, help="go on from last.pt beside --out, if it is there")

    def __post_init__(self):
        if not self.out.endswith(".pt"):
            raise ValueError(f"--out {self.out}: a checkpoint's name ends in .pt")
        if self.weights and len(self.weights) != len(self.train):
            raise ValueError(f"--weights: {len(self.weights)} weights for {len(self.train)} manifests; give one each")
        if not (0 <= self.ema < 1 and 0 <= self.dropout < 1):
            raise ValueError("--ema and --dropout are at least 0 and below 1")
        if bool(self.train) == bool(self.personalise):
            raise ValueError("say one of --train FILE.csv … and --personalise FILE.csv")
        if bool(self.personalise) != (personal.SUBJECT in self.out) or self.personalise and not self.init:
            raise ValueError(f"--personalise, and nothing else, needs --init FILE.pt and an --out with {personal.SUBJECT}")
        if self.per_au != (AU in str(Path(self.out).parent)):
            raise ValueError(f"--out {self.out}: with --per-au, and only then, its folder has {AU} in it, "
                             "such as models/{au}/classifier.pt")
        if len(set(self.tasks) & set(classifiers.AU_HEADS)) < 1 and self.per_au:
            raise ValueError("--per-au needs a task of AUs: au, au_level or au_present")
        if self.unlabelled and not self.ema:
            raise ValueError("--unlabelled needs --ema, such as --ema 0.99: the average is the teacher")
        if {"au", "au_level"} <= set(self.tasks):
            raise ValueError("--tasks au au_level: both read the intensity; choose one")
        if self.pretrained != "none" and self.arch not in torchvision_backbone.NAMES:
            raise ValueError(f"--pretrained {self.pretrained}: is for {', '.join(torchvision_backbone.NAMES)}")
        settings.loss_kinds(self.losses, self.tasks)
        settings.task_weights(self.task_weights, self.tasks)
        self.aus = [labels.parse_au(name) for name in self.aus]


class Training:
    """The network and where its training stands. Every draw of an epoch follows from the seed and the epoch's
    number, so an epoch that was killed is repeated exactly."""

    def __init__(self, options, data, device, processes):
        self.options, self.data, self.device, self.processes = options, data, device, processes
        self.config = {"architecture": options.arch, "size": data.size, "aus": len(data.names["aus"]),
                       "valence_arousal": data.names["valence_arousal"],
                       "expressions": len(data.names["expressions"]), "dropout": options.dropout,
                       "au_heads": [name for name in options.tasks if name in classifiers.AU_HEADS],
                       "reference": options.reference, "separate": len(options.tasks) > 1 and not options.shared}
        checkpoints.seed_all(options.seed)
        self.net = classifiers.build(self.config).to(device, memory_format=torch.channels_last)
        if options.init:
            self.start_from(options.init)
        if options.pretrained != "none":
            self.net.backbone.load_pretrained(options.pretrained)
        if not options.init:
            self.net.start_at(data.true)
        kinds = settings.loss_kinds(options.losses, options.tasks)
        weights = settings.task_weights(options.task_weights, options.tasks)
        self.objective = Objective(self.net.heads, data.true, kinds, weights, options.rare_weight).to(device)
        self.kept = classifiers.build(self.config).to(device, memory_format=torch.channels_last)
        self.on_gpu = device.type == "cuda"
        self.forward = torch.compile(self.net) if self.on_gpu and not options.no_compile else self.net
        self.parameters = [parameter for module in (self.net, self.objective)
                           for parameter in module.parameters() if parameter.requires_grad]
        self.optimiser = settings.optimiser(options, self.parameters)
        self.average = Average(self.net, options.ema) if options.ema else None
        self.batch = max(min(options.batch, len(data.rows)), processes.world)
        self.epoch_steps = math.ceil(len(data.rows) / self.batch)
        self.most_steps = min(options.epochs * self.epoch_steps, options.max_steps or math.inf)
        self.epoch, self.step, self.seconds, self.best, self.best_weights = 0, 0, 0.0, Best(), None
        run_of = dataclasses.asdict(options)
        self.run = {key: value for key, value in run_of.items() if key not in NOT_OF_THE_RUN} | {"data": data.digest}

    def start_from(self, path):
        """Take over the weights of a finished classifier of the same kind."""
        state = checkpoints.load_finished(path)
        differs = [key for key, value in self.config.items()
                   if state["config"].get(key, DEFAULTS.get(key)) != value and key != "dropout"]
        if differs or state["labels"] != self.data.names:
            raise BadInput(f"--init {path}: differs in {', '.join(differs) or 'its labels'}; train with the same "
                           "network and tasks, or without --init")
        self.net.load_state_dict(state["weights"])

    def finished(self):
        """Whether a limit is reached, or patience is over."""
        options = self.options
        return (self.step >= self.most_steps or 0 < options.max_minutes * 60 <= self.seconds
                or self.epoch >= max(self.best.epoch + options.patience, options.min_epochs))

    def train_epoch(self):
        """One pass over the rows; the mean loss as a tensor."""
        options, data, world = self.options, self.data, self.processes
        seed = options.seed * 1_000_003 + self.epoch
        order = torch.randperm(len(data.rows), generator=torch.Generator().manual_seed(seed))
        order = data.rows[order].repeat(2)[:self.epoch_steps * self.batch].to(self.device)  # fills the last batch
        draws = torch.Generator(device=self.device).manual_seed(seed * 64 + world.rank)
        rows_drawn = torch.Generator().manual_seed(seed * 64 + world.rank)
        torch.manual_seed(seed * 64 + world.rank)  # dropout
        self.net.train()
        total, steps = torch.zeros((), device=self.device), min(self.epoch_steps, self.most_steps - self.step)
        for i in progress(range(steps), what=f"epoch {self.epoch}", unit="step"):
            chosen = order[i * self.batch:(i + 1) * self.batch][world.rank::world.world]  # [B]
            pictures = self.pictures(data, chosen, draws)
            rate = learning_rate(options.learning_rate, self.step, self.most_steps, options.schedule)
            set_learning_rate(self.optimiser, rate)
            with torch.autocast("cuda", torch.bfloat16, enabled=self.on_gpu):
                out = self.forward(*pictures)
            true = {key: values[chosen] for key, values in data.true.items()}
            loss, _ = self.objective(out, true, data.weight[chosen])
            if data.unlabelled:
                loss = loss + self.taught(data.unlabelled.draw(len(chosen), rows_drawn), draws)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            world.average([parameter.grad for parameter in self.parameters])
            self.optimiser.step()
            self.step += 1
            if self.average:
                self.average.update(self.step)
            total += loss.detach()
        world.average([buffer for buffer in self.net.buffers() if buffer.is_floating_point()])
        return total / steps

    def pictures(self, images, rows, draws):
        """Augmented pictures [B,3,S,S] of rows of TrainingData or Unlabelled, and their references, if any."""
        reference = images.reference(rows) if images.reference else None
        return augment.both(images.pixels[rows], reference, self.options.augment, draws)

    def taught(self, rows, draws):
        """The loss of unlabelled rows, whose labels are what the averaged weights read."""
        images = self.data.unlabelled
        self.kept.load_state_dict(self.average.weights(self.net))
        true = mean_teacher.soft_truth(self.kept.eval(), self.pictures(images, rows, draws))
        with torch.autocast("cuda", torch.bfloat16, enabled=self.on_gpu):
            out = self.forward(*self.pictures(images, rows, draws))
        loss, _ = self.objective(out, true, torch.ones(len(rows), device=self.device))
        return loss * mean_teacher.weight(self.options.consistency, self.step, self.most_steps)

    def predict(self):
        """What the weights that would be kept say of the validation images."""
        return classifiers.predict(self.kept, self.data.check.pixels, self.data.check_reference)

    def validate(self, loss):
        """Score the weights that would be kept; a line for the history, and whether they are the best so far."""
        data = self.data
        self.kept.load_state_dict(self.average.weights(self.net) if self.average else self.net.state_dict())
        predicted = self.predict()
        score, terms = self.objective(predicted, data.check_true, data.check.weight, fixed=True)
        self.processes.average([loss, score])  # so that all processes decide alike
        row = {"epoch": self.epoch, "step": self.step, "loss": float(loss), "validation_loss": float(score)}
        if not math.isfinite(row["loss"]):
            raise GateFailed(f"training diverged in epoch {self.epoch} (loss {row['loss']}); lower --learning-rate")
        if data.names["aus"]:
            readings = predicted["au"].cpu().numpy()
            row["validation_f1"] = thresholds.choose(readings, data.checked, data.names["aus"])[1]
        if len(terms) > 1:
            row |= {f"validation_{task}": float(value) for task, value in terms.items()}
        if self.best.improves(row["validation_loss"], self.epoch):
            self.best_weights = {key: value.clone() for key, value in self.kept.state_dict().items()}
        return row | {"best_epoch": self.best.epoch}

    def save_last(self, path):
        """Write last.pt, from which `resume` goes on."""
        checkpoints.save(path, {
            "kind": "classifier", "config": self.config, "labels": self.data.names, "run": self.run,
            "weights": self.net.state_dict(), "average": self.average and self.average.weights(self.net),
            "objective": self.objective.state_dict(), "optimiser": self.optimiser.state_dict(), "epoch": self.epoch, "step": self.step, "seconds": self.seconds,
            "best_score": self.best.score, "best_epoch": self.best.epoch, "best_weights": self.best_weights})

    def resume(self, path):
        """Take up training where last.pt was written."""
        state = checkpoints.load(path, "classifier")
        if changed := [key for key in self.run if state.get("run", {}).get(key) != self.run[key]]:
            raise BadInput(f"{path}: is of another run ({', '.join(changed)} differ); remove it, or give another --out")
        self.net.load_state_dict(state["weights"])
        self.objective.load_state_dict(state["objective"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average:
            self.average.restore(state["average"])
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.best, self.best_weights = Best(state["best_score"], state["best_epoch"]), state["best_weights"]
        log(f"{path}: going on after epoch {self.epoch}")

    def product(self):
        """The finished checkpoint: the best epoch's weights, thresholds, and what an export needs."""
        if self.best_weights is None:
            raise GateFailed("no epoch had a finite validation loss; lower --learning-rate")
        data = self.data
        self.kept.load_state_dict(self.best_weights)
        aus, limits = data.names["aus"], {}
        if aus:
            predicted = self.predict()["au"].cpu().numpy()
            limits, _ = thresholds.choose(predicted, data.checked, aus)
        spread = torch.linspace(0, len(data.check) - 1, min(SAMPLES, len(data.check))).long().to(self.device)
        return {"kind": "classifier", "architecture": self.options.arch, "config": self.config, "labels": data.names,
                "au_kind": self.data.au_kind(self.config["au_heads"]),
                "weights": self.best_weights, "thresholds": limits, "samples": data.check.pixels[spread],
                "trained_on": data.trained_on, "registration": data.registration, "run": self.run,
                "best_epoch": self.best.epoch, "best_score": self.best.score, "epoch": self.epoch, "step": self.step,
                "versions": {"torch": str(torch.__version__)}}


def train(options, data, device, processes):
    """Train one model, from its start or from last.pt, and write it."""
    training = Training(options, data, device, processes)
    last = Path(options.out).with_name("last.pt")
    if options.resume and last.exists():
        training.resume(last)
    if processes.first:
        history = History(Path(options.out).with_name("history.jsonl"), keep=training.epoch)
        log(f"{options.arch} {data.size}x{data.size}, {sum(p.numel() for p in training.net.parameters()) / 1e6:.2f} M "
            f"parameters, on {device}: {len(data.rows)} rows an epoch, {len(data.check)} of validation, "
            f"{len(data.names['aus'])} AUs {' '.join(data.names['aus'])}")
    while not training.finished():
        training.epoch, started, before = training.epoch + 1, time.perf_counter(), training.step
        loss = training.train_epoch()
        rate = (training.step - before) * training.batch / (time.perf_counter() - started)
        row = training.validate(loss)
        training.seconds += time.perf_counter() - started
        if processes.first:  # the history first: a line too many is dropped on resuming, one too few would be lost
            history.write(row | {"images_per_second": rate, "seconds": training.seconds})
            training.save_last(last)
            log(f"epoch {row['epoch']}: loss {row['loss']:.5f}, validation {row['validation_loss']:.5f}, "
                f"F1 {row.get('validation_f1', math.nan):.3f}, best epoch {row['best_epoch']}, {rate:.0f} images/s")
    if processes.first:
        checkpoints.save(options.out, training.product())
        last.unlink(missing_ok=True)  # finished: nothing to resume
        log(f"{options.out}: epoch {training.best.epoch} of {training.epoch}, "
            f"validation loss {training.best.score:.5f}")


def main():
    options = parse(Options, __doc__)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # numbers near 0 are slow on CPUs
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    processes, device = Processes(options.device), device_data.device(options.device)
    if options.personalise:
        personal.personalise(options, device)
        return
    data = TrainingData(options, device)
    if options.unlabelled:
        data.teach_also(mean_teacher.Unlabelled(options, data.checked, data.size, device))
    if not options.per_au:
        train(options, data, device, processes)
    for au in data.names["aus"] if options.per_au else ():
        one = dataclasses.replace(options, per_au=False, aus=[au], out=options.out.replace(AU, au))
        if options.resume and Path(one.out).exists():
            log(f"{one.out}: is there already")
            continue
        train(one, data.only(au, one), device, processes)
    processes.close()


if __name__ == "__main__":
    run(main)
