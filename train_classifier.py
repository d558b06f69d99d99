"""Train a classifier of action units, and of valence/arousal and expressions where they are labelled.

    train_classifier.py --train labelled.csv --validation validation.csv --out classifier.pt
    train_classifier.py --train labelled.csv synthetic.csv --weights 1 0.5 --validation validation.csv --out c.pt

Defaults are Table 1 of the thesis (batch 100, at most 1,000 epochs, patience 20 on the validation set, MSE,
RAdam, 1e-3). Empty cells are masked; an AU that one manifest lacks is masked for its rows. Beside --out stand
history.jsonl (one line an epoch) and, while training goes on, last.pt for --resume: one model a folder.
"""
import dataclasses
import math
import time
from pathlib import Path

import numpy as np
import torch

from lib import augment, batches, checkpoints, classifiers, labels, manifest
from lib.cli import BadInput, GateFailed, arg, log, parse, progress, run
from lib.files import digest
from lib.training import Average, Best, History, Processes, learning_rate, set_learning_rate

SAMPLES = 8  # validation images kept in the checkpoint, for the parity gate of export_onnx.py
NOT_OF_THE_RUN = ("out", "resume", "device", "threads", "max_minutes", "train", "validation")


@dataclasses.dataclass
class Options:
    train: list[str] = arg(help="manifests to learn from", nargs="+", required=True, metavar="FILE.csv")
    validation: str = arg(help="manifest that stops training and chooses thresholds", required=True, metavar="FILE.csv")
    out: str = arg(help="where the classifier goes; last.pt and history.jsonl beside it", required=True, metavar="FILE.pt")
    weights: list[float] = arg([], help="a weight for each --train manifest, times its rows' own", nargs="+")
    tasks: list[str] = arg(["au"], help="what to learn", nargs="+", choices=["au", "va", "expression"])
    aus: list[str] = arg([], help="only these AUs, such as AU01 AU12 (default: all that are labelled)", nargs="+")
    upsample: int = arg(0, help="additional draws from the training rows, rare AUs more often")
    arch: str = arg("compact", help="network", choices=list(classifiers.ARCHITECTURES))
    size: int = arg(0, help="image side in pixels (0: that of the first training image)")
    augment: str = arg("faces", help="random changes of training images", choices=list(augment.KINDS))
    batch: int = arg(100, help="images a step, over all processes")
    epochs: int = arg(1000, help="most epochs")
    patience: int = arg(20, help="stop after this many epochs without a better validation loss")
    min_epochs: int = arg(0, help="do not stop early before this epoch")
    max_steps: int = arg(0, help="stop after this many steps (0: no such limit)")
    max_minutes: float = arg(0.0, help="stop after the epoch in which this time is over (0: no limit; not repeatable)")
    learning_rate: float = arg(1e-3, help="RAdam's")
    weight_decay: float = arg(0.0, help="RAdam's, decoupled")
    schedule: str = arg("constant", help="learning rate over --max-steps or --epochs", choices=["constant", "cosine"])
    ema: float = arg(0.0, help="average the weights with this decay, such as 0.998, and keep the average (0: do not)")
    dropout: float = arg(0.2, help="share of features left out while training")
    seed: int = arg(0, help="of weights, order and augmentation")
    device: str = arg("auto", help="auto, cpu or cuda")
    threads: int = arg(0, help="CPU threads (0: torch's choice)")
    no_compile: bool = arg(False, help="on a GPU, run without torch.compile")
    allow_shared_subjects: bool = arg(False, help="let a subject be in training and validation")
    resume: bool = arg(False, help="go on from last.pt beside --out, if it is there")

    def __post_init__(self):
        if not self.out.endswith(".pt"):
            raise ValueError(f"--out {self.out}: a checkpoint's name ends in .pt")
        if self.weights and len(self.weights) != len(self.train):
            raise ValueError(f"--weights: {len(self.weights)} weights for {len(self.train)} manifests; give one each")
        if min(self.batch, self.epochs) < 1 or min(self.upsample, self.max_steps, self.patience, self.size) < 0:
            raise ValueError("--batch and --epochs must be at least 1; --upsample, --patience and limits at least 0")
        self.aus = [labels.parse_au(name) for name in self.aus]


def label_names(options, sets):
    """What there is to learn: {'aus': ['AU01', …], 'valence_arousal': bool, 'expressions': ['anger', …]}."""
    names = {"aus": [], "valence_arousal": False, "expressions": []}
    found = sorted({name for part in sets for name in part.au_names if not np.isnan(part.numbers(name)).all()})
    if "au" in options.tasks:
        names["aus"] = options.aus or found
        missing = [name for name in names["aus"] if name not in found]
        if missing or not found:
            raise BadInput(f"{', '.join(options.train)}: no labels of {', '.join(missing) or 'any AU'}; "
                           f"labelled are {', '.join(found) or 'none'}")
    if "va" in options.tasks:
        names["valence_arousal"] = True
        if all(np.isnan(part.numbers("valence")).all() for part in sets):
            raise BadInput(f"{', '.join(options.train)}: no valence labels; leave va out of --tasks")
    if "expression" in options.tasks:
        names["expressions"] = sorted({text for part in sets for text in part.text("expression")} - {""})
        if len(names["expressions"]) < 2:
            raise BadInput(f"{', '.join(options.train)}: fewer than two expressions; leave expression out of --tasks")
    return names


def truth(part, names, device):
    """A manifest's labels as a dict of tensors: au [N,A], valence_arousal [N,2], expression int64 [N]."""
    true = {}
    if names["aus"]:
        true["au"] = torch.from_numpy(part.aus(names["aus"])).to(device)
    if names["valence_arousal"]:
        values = [part.numbers(name) for name in labels.VALENCE_AROUSAL]
        true["valence_arousal"] = torch.from_numpy(np.stack(values, 1)).to(device)
    if names["expressions"]:
        codes = {text: code for code, text in enumerate(names["expressions"])}
        true["expression"] = torch.tensor([codes.get(text, -1) for text in part.text("expression")], device=device)
    return true


def present(part, names):
    """bool [N,A]: AUs at level 2 of 5 or above; for occurrences, those at 0.5 or above."""
    limit = np.where(part.occurrence(), labels.PRESENT_OCCURRENCE, labels.PRESENT_INTENSITY)  # [N]
    return part.aus(names) >= limit[:, None]


def extra_rows(present, count, seed):
    """Indices [count] of additional rows: an AU is drawn in proportion to what it lacks to the most frequent
    one, then a row that has it. present: bool [N,A]."""
    generator = np.random.default_rng([seed, 1])
    counts = present.sum(0)  # [A]
    lacking = np.where(counts > 0, counts.max(initial=0) - counts, 0).astype(float)
    if not lacking.sum():  # all are equally frequent (or none is there)
        lacking = (counts > 0).astype(float)
    if not lacking.sum():
        return generator.integers(len(present), size=count)
    rows = (present / np.maximum(counts, 1) * lacking).sum(1)  # [N]
    return generator.choice(len(present), size=count, p=rows / rows.sum())


def training_data(options, sets, names, size, device):
    """Pixels uint8 [N,S,S,3], labels, row weights [N], and the rows of an epoch, int64 [M] (M - N are extra)."""
    weights = options.weights or [1.0] * len(sets)
    parts = [batches.Set(part, names["aus"], size, device) for part in sets]
    pixels = parts[0].pixels if len(parts) == 1 else torch.cat([part.pixels for part in parts])
    weight = torch.cat([part.weight * factor for part, factor in zip(parts, weights)])
    trues = [truth(part, names, device) for part in sets]
    true = {key: torch.cat([part[key] for part in trues]) for key in trues[0]}
    rows = np.arange(len(pixels))
    if options.upsample:
        have = np.concatenate([present(part, names["aus"]) for part in sets])
        rows = np.concatenate([rows, extra_rows(have, options.upsample, options.seed)])
    return pixels, true, weight, torch.from_numpy(rows)


def thresholds(predicted, part, names):
    """Per AU the threshold with the best F1 on validation data, and that F1 (NaN where undefined)."""
    known = ~np.isnan(part.aus(names))
    have = present(part, names)
    pairs = [classifiers.best_threshold(predicted[known[:, a], a], have[known[:, a], a]) for a in range(len(names))]
    return {name: limit for name, (limit, _) in zip(names, pairs)}, np.array([f1 for _, f1 in pairs])


def main():
    options = parse(Options, __doc__)
    processes = Processes(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # slow numbers near 0 on CPUs
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    device = batches.device(options.device)
    say = log if processes.first else lambda *parts: None

    # Data: every image is decoded once and stays on the device.
    sets = [manifest.read(path) for path in options.train]
    check_set = manifest.read(options.validation)
    for part in sets:
        manifest.check_disjoint(part, check_set, options.allow_shared_subjects)
    names = label_names(options, sets)
    from lib import images
    size = options.size or len(images.load(sets[0].images()[0]))
    pixels, true, weight, rows = training_data(options, sets, names, size, device)
    check = batches.Set(check_set, names["aus"], size, device)
    check_true = truth(check_set, names, device)
    if not any((~values.isnan()).any() if values.is_floating_point() else (values >= 0).any()
               for values in check_true.values()):
        raise BadInput(f"{options.validation}: none of the labels to learn ({', '.join(names['aus'][:5])} …); "
                       "label the validation set")

    # Network, optimiser, schedule.
    config = {"architecture": options.arch, "size": size, "aus": len(names["aus"]),
              "valence_arousal": names["valence_arousal"], "expressions": len(names["expressions"]),
              "dropout": options.dropout}
    checkpoints.seed_all(options.seed)
    net = classifiers.build(config).to(device, memory_format=torch.channels_last)
    on_gpu = device.type == "cuda"
    fused = {"foreach": True} if on_gpu else {}
    optimiser = torch.optim.RAdam(net.parameters(), options.learning_rate, weight_decay=options.weight_decay,
                                  decoupled_weight_decay=True, **fused)
    average = Average(net, options.ema) if options.ema else None
    forward = torch.compile(net) if on_gpu and not options.no_compile else net
    batch = min(options.batch, len(rows))
    steps_an_epoch = math.ceil(len(rows) / batch)
    most_steps = min(options.epochs * steps_an_epoch, options.max_steps or math.inf)

    # Where it stands: afresh, or from last.pt.
    last = Path(options.out).parent / "last.pt"
    run_of = {key: value for key, value in dataclasses.asdict(options).items() if key not in NOT_OF_THE_RUN}
    run_of["data"] = digest(*(part.digest() for part in [*sets, check_set]))
    epoch, step, seconds, best, best_weights = 0, 0, 0.0, Best(), None
    if options.resume and last.exists():
        state = checkpoints.load(last, "classifier")
        if changed := [key for key in run_of if state["run"].get(key) != run_of[key]]:
            raise BadInput(f"{last}: is of another run ({', '.join(changed)} differ); remove it, or give another --out")
        net.load_state_dict(state["weights"])
        optimiser.load_state_dict(state["optimiser"])
        if average:
            average.restore(state["average"])
        checkpoints.restore_random_states(state["random"])
        epoch, step, seconds, best_weights = state["epoch"], state["step"], state["seconds"], state["best_weights"]
        best = Best(state["best_score"], state["best_epoch"])
        say(f"{last}: going on after epoch {epoch}")
    history = History(Path(options.out).with_name("history.jsonl"), after=epoch) if processes.first else None
    say(f"{options.arch} {size}x{size}, {sum(p.numel() for p in net.parameters()) / 1e6:.2f} M parameters on {device}; "
        f"{len(rows)} rows an epoch, {len(check)} validation rows, AUs: {' '.join(names['aus']) or 'none'}")

    def finished():
        return (step >= most_steps or 0 < options.max_minutes * 60 <= seconds
                or epoch >= max(best.epoch + options.patience, options.min_epochs, 1))

    while not finished():
        epoch, started = epoch + 1, time.perf_counter()
        # All draws of an epoch follow from the seed and its number: a killed epoch is repeated exactly.
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(options.seed * 1_000_003 + epoch))
        order = rows[order].repeat(2)[:steps_an_epoch * batch].to(device)  # the last batch is filled up
        draws = torch.Generator(device=device).manual_seed((options.seed * 1_000_003 + epoch) * 64 + processes.rank)
        torch.manual_seed((options.seed * 1_000_003 + epoch) * 64 + processes.rank)  # dropout
        net.train()
        total, steps = torch.zeros((), device=device), min(steps_an_epoch, most_steps - step)
        for i in progress(range(steps), what=f"epoch {epoch}", unit="step"):
            chosen = order[i * batch:(i + 1) * batch][processes.rank::processes.world]  # [B]
            pictures = augment.augment(batches.to_float(pixels[chosen]), options.augment, draws)  # [B,3,S,S]
            set_learning_rate(optimiser, learning_rate(options.learning_rate, step, most_steps, options.schedule))
            with torch.autocast("cuda", torch.bfloat16, enabled=on_gpu):
                out = forward(pictures)
            loss, _ = classifiers.loss(out, {key: values[chosen] for key, values in true.items()}, weight[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            processes.average([parameter.grad for parameter in net.parameters()])
            optimiser.step()
            step += 1
            if average:
                average.update(step)
            total += loss.detach()
        processes.average([buffer for buffer in net.buffers() if buffer.is_floating_point()])

        # Validation, with the weights that would be kept.
        kept = {key: value.clone() for key, value in (average.weights(net) if average else net.state_dict()).items()}
        with_weights = classifiers.build(config).to(device, memory_format=torch.channels_last)
        with_weights.load_state_dict(kept)
        predicted = classifiers.predict(with_weights, check.pixels)
        check_loss, terms = classifiers.loss(predicted, check_true, check.weight)
        processes.average([total, check_loss])  # so that all processes decide alike
        elapsed = time.perf_counter() - started
        seconds += elapsed
        row = {"epoch": epoch, "step": step, "loss": float(total) / steps, "validation_loss": float(check_loss)}
        if not math.isfinite(row["loss"]):
            raise GateFailed(f"training diverged in epoch {epoch} (loss {row['loss']}); lower --learning-rate")
        if names["aus"]:
            limits, f1 = thresholds(predicted["au"].cpu().numpy(), check_set, names["aus"])
            row["validation_f1"] = float(np.nanmean(f1)) if not np.isnan(f1).all() else math.nan
        row |= {f"validation_{task}": float(value) for task, value in terms.items() if len(terms) > 1}
        if best.improves(row["validation_loss"], epoch):
            best_weights = kept
        row |= {"best_epoch": best.epoch, "images_per_second": steps * batch / elapsed, "seconds": seconds}
        if processes.first:
            checkpoints.save(last, {
                "kind": "classifier", "config": config, "run": run_of, "weights": net.state_dict(),
                "average": average.weights(net) if average else None, "optimiser": optimiser.state_dict(),
                "random": checkpoints.random_states(), "epoch": epoch, "step": step, "seconds": seconds,
                "best_score": best.score, "best_epoch": best.epoch, "best_weights": best_weights})
            history.write(row)
            say(f"epoch {epoch}: loss {row['loss']:.5f}, validation {row['validation_loss']:.5f}, "
                f"F1 {row.get('validation_f1', math.nan):.3f}, best epoch {best.epoch}, "
                f"{row['images_per_second']:.0f} images/s")

    # The product: the best epoch's weights, its thresholds, and what an export needs.
    if best_weights is None:
        raise GateFailed("no epoch had a finite validation loss; lower --learning-rate")
    net.load_state_dict(best_weights)
    predicted = classifiers.predict(net, check.pixels)
    limits, f1 = thresholds(predicted["au"].cpu().numpy(), check_set, names["aus"]) if names["aus"] else ({}, [])
    if processes.first:
        spread = np.linspace(0, len(check) - 1, min(SAMPLES, len(check))).astype(int)
        checkpoints.save(options.out, {
            "kind": "classifier", "architecture": options.arch, "config": config, "labels": names,
            "weights": best_weights, "thresholds": limits, "samples": check.pixels[torch.from_numpy(spread).to(device)],
            "trained_on": digest(*(part.digest() for part in sets)), "run": run_of,
            "best_epoch": best.epoch, "best_score": best.score, "epoch": epoch, "step": step,
            "versions": {"torch": str(torch.__version__)}})
        last.unlink(missing_ok=True)  # finished: nothing to resume
        say(f"{options.out}: epoch {best.epoch} of {epoch}, validation loss {best.score:.5f}, "
            f"mean F1 {np.nanmean(f1) if len(f1) and not np.isnan(f1).all() else math.nan:.3f}")
    processes.close()


if __name__ == "__main__":
    run(main)
