"""Train a generator: an editor of faces by action unit, expression or valence/arousal, or a
sampler of faces.

    train_generator.py --train labelled.csv pseudo.csv --validation v.csv --out generator.pt
    torchrun --nproc-per-node 2 train_generator.py …  several GPUs, or several processes on a CPU

Beside --out: history.jsonl (one line an epoch), epochs/NNNN.png (the same validation faces, or the
same noise, each time) and, while training goes on, NAME.last.pt, from which the same command with
--resume goes on exactly.
"""
from dataclasses import dataclass
from typing import Optional

from lib import choices, generators, labels
from lib.cli import arg, parse, run

TASKS = ("au", "va", "expression")
SCHEDULE = {"epochs": 50, "decay_epochs": 20, "batch": 16}


@dataclass
class Options:
    train: list[str] = arg(nargs="+", required=True, metavar="FILE.csv",
                           help="manifests with labels, real and pseudo")
    validation: str = arg(help="manifest of other people; an editor is watched on them, "
                               "which chooses the epoch", required=True, metavar="FILE.csv")
    out: str = arg(help="where the checkpoint goes", required=True, metavar="FILE.pt",
                   writes="file")
    arch: str = arg("", choices=list(generators.ARCHITECTURES),
                    help="generator [the first of these that has the preset]")
    preset: str = arg("quick", help="the architecture's settings: paper, quick, …")
    config: list[str] = arg([], nargs="+", action="extend", metavar="NAME=VALUE",
                            help="replace settings of the preset, e.g. width=32")
    init: str = arg("", metavar="FILE.pt",
                    help="start from the networks of this checkpoint: the same architecture, "
                         "labels and sizes; other losses, data and rates if you like")
    weights: list[float] = arg([], nargs="+", metavar="W", least=0,
                               help="a weight for each --train manifest, times its rows' own: "
                                    "how often its images are drawn")
    tasks: list[str] = arg([], nargs="+", choices=TASKS,
                           help="labels to learn [the architecture's]")
    aus: list[str] = arg([], nargs="+", metavar="AUxx",
                         help="only these AUs (default: all that are labelled)")
    size: Optional[int] = arg(None, help="image side in pixels (default: the first image's)",
                              least=1)
    epochs: Optional[int] = arg(None, help="how many epochs [the preset's, else 50]", least=1)
    decay_epochs: Optional[int] = arg(None, help="over how many last epochs the learning rate "
                                                 "falls to 0 [the preset's, else 20]", least=0)
    epoch_images: Optional[int] = arg(
        None, help="images an epoch (default: the training set's size)", least=1
    )
    batch: Optional[int] = arg(
        None, help="images a step, over all processes [the preset's, else 16]", least=1
    )
    ema: float = arg(0.998, help="averaging of weights")
    level: float = arg(
        0.7, help="level of AUs, valence and arousal in the validation edits (1 for MNIST)"
    )
    reader: str = arg("", metavar="FILE.onnx",
                      help="supervised classifier that reads what the generator makes (an editor "
                           "without it is read by its discriminator)")
    flip: bool = arg(
        True, help="do not mirror images (needed where left and right differ, as with digits)"
    )
    seed: int = arg(0, help="seed of everything random", least=0)
    device: str = arg("auto", help="where it trains", choices=["auto", "cpu", "cuda"])
    threads: int = arg(0, help="CPU threads, 0 for all", least=0)
    compile: str = arg("off", help="torch.compile the networks, but for those whose gradient "
                                   "is a loss; reduce-overhead also records CUDA graphs",
                       choices=list(choices.COMPILE))
    stop_on_alarm: bool = arg(False, help="leave with status 4 at the first alarm")
    resume: bool = arg(False, help="go on from NAME.last.pt beside --out")
    tensorboard: str = arg("", metavar="DIR", writes="folder",
                           help="also write curves for TensorBoard (needs the package tensorboard)")
    allow_shared_subjects: bool = arg(False, help="train and validation may share people")

    def __post_init__(self):
        if not self.out.endswith(".pt"):
            raise ValueError(f"--out {self.out}: a checkpoint's name ends in .pt")
        if not (0 <= self.ema < 1 and 0 < self.level <= 1):
            raise ValueError("--ema is at least 0 and below 1, --level above 0 and at most 1")
        if self.weights and len(self.weights) != len(self.train):
            raise ValueError(f"--weights: {len(self.weights)} weights for {len(self.train)} "
                             "manifests; give one each")
        self.arch = self.arch or generators.default_for(self.preset)
        self.aus = [labels.parse_au(name) for name in self.aus]
        if wrong := [text for text in self.config if "=" not in text]:
            raise ValueError(f"--config {wrong[0]}: write NAME=VALUE")

    @property
    def overrides(self):
        """--config as {name: text}."""
        return dict(text.split("=", 1) for text in self.config)

    def fill_schedule(self, schedule):
        """Epochs, decay and batch that the command line does not say: the preset's, else
        SCHEDULE."""
        for name, value in {**SCHEDULE, **schedule}.items():
            if getattr(self, name) is None:
                setattr(self, name, value)


def main():
    options = parse(Options, __doc__)
    import torch  # takes seconds to import: --help need not wait

    from lib import checkpoints, device_data
    from lib.generators.trainer import Trainer
    from lib.training import Processes

    if options.threads:
        torch.set_num_threads(options.threads)
    processes = Processes(options.device)
    checkpoints.seed_all(options.seed)
    trainer = Trainer(options, device_data.device(options.device), processes)
    if options.resume and trainer.last.exists():
        trainer.resume()
    trainer.train()
    processes.close()


if __name__ == "__main__":
    run(main)
