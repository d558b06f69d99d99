"""Train a classifier of action units, and of valence/arousal and expressions where they are
labelled.

    train_classifier.py --train labelled.csv --validation validation.csv --out c/classifier.pt
    train_classifier.py --train labelled.csv synthetic.csv --weights 1 0.5 --validation v.csv …
    train_classifier.py --train labelled.csv --tasks au va expression --losses va=ccc …
    train_classifier.py --train labelled.csv --per-au --out 'models/{au}/classifier.pt' …
    train_classifier.py --init generic.pt --personalise people.csv --out 'own/{subject}.pt' …
    torchrun --nproc-per-node 4 train_classifier.py …        several GPUs

Defaults are Table 1 of the thesis (batch 100, at most 1,000 epochs, patience 20 on the validation
set, MSE, RAdam, 1e-3). Empty cells are masked; an AU that one manifest lacks is masked for its
rows. Rows with au_kind=occurrence teach presence, never a level. Beside --out stand history.jsonl
(one line an epoch) and, while training goes on, last.pt for --resume: one model a folder.

--tasks: au (intensity by regression), au_level (six ordinal levels), au_present (occurrence), va
(valence and arousal), expression. Several tasks share the network but its last stage (--shared);
each loss is divided by that of the best constant reading, so that none rules the others
(--task-weights).
"""

import dataclasses
import math
import time
from pathlib import Path

from lib import choices, labels
from lib.choices import AU, SUBJECT
from lib.cli import arg, log, parse, run


@dataclasses.dataclass
class Options:
    validation: str = arg(
        help="manifest that stops training and chooses thresholds",
        required=True,
        metavar="FILE.csv",
    )
    out: str = arg(
        help="where the classifier goes; last.pt and history.jsonl beside it",
        required=True,
        metavar="FILE.pt",
        writes="file",
    )
    train: list[str] = arg([], help="manifests to learn from", nargs="+", metavar="FILE.csv")
    init: str = arg("", help="start from the weights of this classifier", metavar="FILE.pt")
    personalise: str = arg(
        "",
        help="with --init: go on with each person of this manifest alone; --out has {subject} "
        "in it, and NAME.onnx stands beside NAME.pt",
        metavar="FILE.csv",
    )
    personal_rates: list[float] = arg(
        [1e-5, 1e-4, 1e-3],
        help="with --personalise: learning rates to choose from, on people who are both in it "
        "and in --validation",
        nargs="+",
        least=0,
    )
    personal_steps: int = arg(50, help="with --personalise: steps of each personal model", least=1)
    only_heads: bool = arg(False, help="with --personalise: train the last layers only")
    per_au: bool = arg(False, help="one model an AU; --out has {au} in its folder")
    unlabelled: list[str] = arg(
        [],
        help="images that the averaged weights label while training goes on (mean "
        "teacher); needs --ema",
        nargs="+",
        metavar="FILE.csv",
    )
    consistency: float = arg(1.0, help="weight of the labels of --unlabelled images", least=0)
    weights: list[float] = arg(
        [], help="a weight for each --train manifest, times its rows' own", nargs="+", least=0
    )
    tasks: list[str] = arg(["au"], help="what to learn", nargs="+",
                           choices=list(choices.HEAD_LOSSES))
    losses: list[str] = arg(
        [],
        help="the loss of a task, with --init that of the first training where none is named; else "
        "the first of: "
        + "; ".join(f"{name} {' '.join(losses)}" for name, losses in choices.HEAD_LOSSES.items()),
        nargs="+",
        metavar="TASK=LOSS",
    )
    task_weights: list[str] = arg(
        ["balanced"],
        help="of several tasks: balanced, learnt, or a number for each",
        nargs="+",
        metavar="balanced|learnt|TASK=X",
    )
    shared: bool = arg(
        False, help="let several tasks share the last stage, too; else each has its own"
    )
    rare_weight: float = arg(
        0.0, help="the most that a rare AU or expression may count (0: all count alike)", least=0
    )
    aus: list[str] = arg(
        [], help="only these AUs, such as AU01 AU12 (default: all that are labelled)", nargs="+"
    )
    upsample: int = arg(
        0,
        help="additional draws from the training rows, rare AUs (else expressions) more often",
        least=0,
    )
    arch: str = arg("compact", help="network", choices=list(choices.BACKBONES))
    pretrained: str = arg(
        "none",
        help="first weights of a torchvision network: imagenet, none, or a file of them",
        metavar="imagenet|none|FILE",
    )
    size: int = arg(0, help="image side in pixels (0: that of the first training image)", least=0)
    reference: str = arg(
        "none",
        help="compare with the person's neutral or mean image (column reference, else the "
        "mean): image subtracts it, features subtracts its features",
        choices=list(choices.REFERENCES),
    )
    augment: str = arg(
        "faces", help="random changes of training images", choices=list(choices.AUGMENTATIONS)
    )
    batch: int = arg(100, help="images a step, over all processes", least=1)
    epochs: int = arg(1000, help="most epochs", least=1)
    patience: int = arg(
        20, help="stop after this many epochs without a better validation loss", least=1
    )
    min_epochs: int = arg(0, help="do not stop early before this epoch", least=0)
    max_steps: int = arg(0, help="stop after this many steps (0: no such limit)", least=0)
    max_minutes: float = arg(
        0.0,
        help="stop after the epoch in which this time is over (0: no limit; not repeatable)",
        least=0,
    )
    optimiser: str = arg(
        "radam",
        help="what changes the weights; sgd has momentum 0.9",
        choices=list(choices.OPTIMISERS),
    )
    learning_rate: float = arg(1e-3, help="the optimiser's", least=0)
    weight_decay: float = arg(0.0, help="the optimiser's; decoupled for radam and adamw", least=0)
    schedule: str = arg(
        "constant", help="learning rate over all steps", choices=["constant", "cosine"]
    )
    ema: float = arg(
        0.0,
        help="average the weights with this decay, such as 0.99, and keep the average (0: do not)",
    )
    dropout: float = arg(0.2, help="share of features left out while training")
    seed: int = arg(0, help="of weights, order and augmentation", least=0)
    device: str = arg("auto", help="where it trains", choices=["auto", "cpu", "cuda"])
    threads: int = arg(0, help="CPU threads (0: torch's choice)", least=0)
    no_compile: bool = arg(False, help="on a GPU, run without torch.compile")
    allow_shared_subjects: bool = arg(False, help="let a subject be in training and validation")
    resume: bool = arg(False, help="go on from last.pt beside --out, if it is there")
    tensorboard: str = arg("", metavar="DIR", writes="folder",
                           help="also write curves for TensorBoard (needs the package "
                           "tensorboard); with --per-au in a folder an AU, such as DIR/AU12")

    def __post_init__(self):
        if not self.out.endswith(".pt"):
            raise ValueError(f"--out {self.out}: a checkpoint's name ends in .pt")
        if Path(self.out).name == "last.pt":
            raise ValueError(f"--out {self.out}: last.pt is what --resume goes on from; choose "
                             "another name")
        if self.weights and len(self.weights) != len(self.train):
            raise ValueError(
                f"--weights: {len(self.weights)} weights for {len(self.train)} manifests; "
                "give one each"
            )
        if not (0 <= self.ema < 1 and 0 <= self.dropout < 1):
            raise ValueError("--ema and --dropout are at least 0 and below 1")
        if self.init and self.pretrained != "none":
            raise ValueError("--init and --pretrained both say where training starts; leave one "
                             "out")
        if bool(self.train) == bool(self.personalise):
            raise ValueError("say one of --train FILE.csv … and --personalise FILE.csv")
        by_person = SUBJECT in self.out
        if bool(self.personalise) != by_person or (self.personalise and not self.init):
            raise ValueError(
                "--personalise, and nothing else, needs --init FILE.pt and an --out with {subject}"
            )
        if self.personalise and (ignored := self.given(OF_A_TRAINING)):
            raise ValueError(f"--personalise: {' '.join(ignored)} would change nothing; leave it "
                             "out (--personal-steps and --personal-rates say how it learns)")
        if not self.personalise and (ignored := self.given(OF_PERSONAL_MODELS)):
            raise ValueError(f"{' '.join(ignored)} would change nothing without --personalise; "
                             "leave it out")
        if self.per_au != (AU in str(Path(self.out).parent)):
            raise ValueError(
                f"--out {self.out}: with --per-au, and only then, its folder has {AU} in it, "
                "such as models/{au}/classifier.pt"
            )
        if len(set(self.tasks) & set(choices.AU_HEADS)) < 1 and self.per_au:
            raise ValueError("--per-au needs a task of AUs: au, au_level or au_present")
        if self.per_au and not {*self.tasks} <= {*choices.AU_HEADS}:
            raise ValueError("--per-au is for tasks of AUs alone: valence, arousal and expressions "
                             "are of no AU; train them apart")
        if self.unlabelled and not self.ema:
            raise ValueError(
                "--unlabelled needs --ema, such as --ema 0.99: the average is the teacher"
            )
        if self.given(["consistency"]) and not self.unlabelled:
            raise ValueError("--consistency needs --unlabelled, whose labels it weighs")
        if {"au", "au_level"} <= set(self.tasks):
            raise ValueError("--tasks au au_level: both read the intensity; choose one")
        if self.pretrained != "none" and self.arch not in choices.TORCHVISION:
            raise ValueError(
                f"--pretrained {self.pretrained}: is for {', '.join(choices.TORCHVISION)}"
            )
        from lib.classifiers import settings  # imports torch, for which --help need not wait

        self.tasks = list(dict.fromkeys(self.tasks))
        self.aus = list(dict.fromkeys(map(labels.parse_au, self.aus)))
        # a personal model has the tasks of the generic one, which lib.classifiers.personal reads
        if not self.personalise:
            settings.loss_kinds(self.losses, self.tasks)
            settings.task_weights(self.task_weights, self.tasks)

    def given(self, names):
        """Those of some options that differ from their defaults, as they are typed."""
        defaults = {each.name: each for each in dataclasses.fields(self)}
        found = []
        for name in names:
            each = defaults[name]
            usual = each.default_factory() if each.default is dataclasses.MISSING else each.default
            if getattr(self, name) != usual:
                found.append(f"--{name.replace('_', '-')}")
        return found


# what a personal model takes over from the generic one, or does not do
OF_A_TRAINING = (
    "weights", "tasks", "aus", "upsample", "unlabelled", "arch", "pretrained", "size", "reference",
    "epochs", "patience", "min_epochs", "max_steps", "max_minutes", "learning_rate", "schedule",
    "ema", "resume", "tensorboard", "shared", "per_au", "dropout", "consistency",
)
# what only personal models read
OF_PERSONAL_MODELS = ("only_heads", "personal_steps", "personal_rates")


def say_start(training, device):
    """Say which network learns what from how much."""
    data, aus = training.data, training.data.names["aus"]
    millions = sum(parameter.numel() for parameter in training.net.parameters()) / 1e6
    log(
        f"{training.options.arch} {data.size}x{data.size}, {millions:.2f} M parameters, "
        f"on {device}: {len(data.rows)} rows an epoch, {len(data.check)} of validation, "
        f"{len(aus)} AUs {' '.join(aus)}"
    )


def train(options, data, device, processes):
    """Train one model, from its start or from last.pt, and write it."""
    from lib import checkpoints
    from lib.classifiers.training import Training
    from lib.termination import Termination
    from lib.training import History

    training = Training(options, data, device, processes)
    last = Path(options.out).with_name("last.pt")
    if options.resume and last.exists():
        training.resume(last)
    if processes.first:
        history = History(Path(options.out).with_name("history.jsonl"), training.epoch,
                          options.tensorboard)
        say_start(training, device)
    with Termination(processes) as termination:
        while not training.finished():
            train_epoch(training, history if processes.first else None, last, termination)
            if not training.finished() and termination.anywhere():
                if processes.first:
                    log(f"terminated: saved after epoch {training.epoch}; --resume goes on from "
                        "there")
                termination.leave()
    if processes.first:
        checkpoints.save(options.out, training.product())
        last.unlink(missing_ok=True)  # finished: nothing to resume
        log(
            f"{options.out}: epoch {training.best.epoch} of {training.epoch}, "
            f"validation loss {training.best.score:.5f}"
        )


def train_epoch(training, history, last, termination):
    """One epoch and what is kept of it. history: of the first process."""
    training.epoch, started, before = training.epoch + 1, time.perf_counter(), training.step
    loss = training.train_epoch(termination)
    taken = time.perf_counter() - started
    if loss is None:
        training.take_time(taken)
        if history:
            training.save_last(last)
            log(f"terminated: saved after step {training.within['steps']} of "
                f"{training.epoch_steps} of epoch {training.epoch}; --resume goes on from there")
        termination.leave()
    rate = (training.step - before) * training.batch / taken
    row = training.validate(loss)
    training.take_time(time.perf_counter() - started)
    if history:
        # the history first: a line too many is dropped on resuming, one too few would be lost
        history.write(row | {"images_per_second": rate, "seconds": training.seconds})
        training.save_last(last)
        log(
            f"epoch {row['epoch']}: loss {row['loss']:.5f}, "
            f"validation {row['validation_loss']:.5f}, "
            f"F1 {row.get('validation_f1', math.nan):.3f}, "
            f"best epoch {row['best_epoch']}, {rate:.0f} images/s"
        )


def is_finished(options, data):
    """Whether --out is there, and of this very training: not of other data or settings."""
    from lib import checkpoints
    from lib.classifiers.training import run_of

    if not Path(options.out).exists():
        return False
    run = checkpoints.load_finished(options.out).get("run", {})
    return all(run.get(key) == value for key, value in run_of(options, data).items())


def main():
    options = parse(Options, __doc__)
    import torch

    from lib import device_data
    from lib.classifiers import mean_teacher, personal
    from lib.classifiers.training_data import TrainingData
    from lib.training import Processes

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
    models = []
    for au in data.names["aus"] if options.per_au else ():
        one = dataclasses.replace(
            options, per_au=False, aus=[au], out=options.out.replace(AU, au),
            tensorboard=options.tensorboard and str(Path(options.tensorboard, au)),
        )
        models.append((one, data.only(au, one)))
    for one, part in models:
        if options.resume and is_finished(one, part):
            log(f"{one.out}: is there already")
        else:
            train(one, part, device, processes)
    processes.close()


if __name__ == "__main__":
    run(main)
