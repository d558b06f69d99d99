"""Latency and throughput of exported models: median and 99th percentile of one image, images a
second against the batch.

    python -m tests.bench.latency classifier.onnx int8.onnx --rounds 10     of models at hand

As a part of `python -m tests.bench`, of a fresh classifier. Models take turns, round by round.
Throughput is by seconds of the processor, all threads together, so that other work on the machine
hardly counts; latency is by the wall.
"""

import time
from dataclasses import dataclass

import numpy as np

from lib.cli import arg, parse, run
from lib.files import write_text
from lib.onnx_precision import conditions
from lib.onnx_runtime import Model
from tests.bench.common import Row, interleaved, speedup

BATCHES = (1, 8, 64)
IMAGES = 64  # in a round, whatever the batch


@dataclass
class Options:
    models: list[str] = arg(
        [], args=["models"], nargs="+", metavar="MODEL.onnx",
        help="the first one is compared with"
    )
    rounds: int = arg(10, help="how often each is run", least=1)


def feed(model, count):
    """Inputs of a model for `count` random images."""
    pixels = np.random.default_rng(0).integers(
        0, 256, (count, model.image_size, model.image_size, 3), np.uint8
    )
    return {"image": pixels, **conditions(model, count)}


def measure(models, rounds):
    """{batch: {name: seconds of each call}} of {name: Model}; a round runs IMAGES images."""
    found = {}
    for batch in BATCHES:
        feeds = {name: feed(model, batch) for name, model in models.items()}
        calls = {
            name: (lambda name=name: [
                models[name].session.run(None, pick(models[name], feeds[name]))
                for _ in range(IMAGES // batch)
            ])
            for name in models
        }
        found[batch] = interleaved(calls, rounds, clock=time.process_time)
    return found


def pick(model, inputs):
    """Those inputs that the model has."""
    return {name: values for name, values in inputs.items() if name in model.inputs}


def single(model, count=200):
    """(median, 99th percentile) of the milliseconds of one image."""
    inputs = pick(model, feed(model, 1))
    calls = interleaved({"one": lambda: model.session.run(None, inputs)}, count)["one"]
    return tuple(np.percentile(calls, (50, 99)) * 1e3)


def lines(models, rounds):
    """(name, p50 ms, p99 ms, {batch: images/s}, ratio of throughput at 64 to the first) a
    model."""
    seconds, first = measure(models, rounds), next(iter(models))
    for name, model in models.items():
        rates = {batch: IMAGES / np.median(found[name]) for batch, found in seconds.items()}
        most = seconds[BATCHES[-1]]
        yield name, *single(model), rates, speedup(most[first], most[name])


def rows(folder, rounds):
    """The lines of the table."""
    from tests.bench import inference

    inference.make_model(folder / "latency.onnx", inference.pictures()[:8])
    model = Model.open(folder / "latency.onnx", "cpu")
    name, median, late, rates, _ = next(lines({"compact": model}, rounds))
    yield Row(
        f"classifier `{name}` at {model.image_size} px, one image",
        f"{median:.1f} ms, 99th percentile {late:.1f} ms",
        "batch " + ", ".join(f"{batch}: {rate:.0f} images/s" for batch, rate in rates.items()),
        [rates[BATCHES[-1]] / rates[1]],
    )


def main():
    options = parse(Options, __doc__)
    models = {path: Model.open(path, "cpu") for path in options.models}
    text = ["| model | MB | drop on test | one image: median, 99th percentile | "
            + " | ".join(f"batch {batch}" for batch in BATCHES) + " | ratio at 64 |",
            "|---" * (5 + len(BATCHES)) + "|"]
    for name, median, late, rates, ratio in lines(models, options.rounds):
        drop = models[name].meta.get("drop", {})
        said = ", ".join(f"{key} {value:+.4f}" for key, value in drop.items()) or "–"
        size = len(open(name, "rb").read()) / 1e6
        speeds = " | ".join(f"{rate:.0f} images/s" for rate in rates.values())
        ratios = f"{np.median(ratio):.2f} ({min(ratio):.2f}-{max(ratio):.2f})"
        text.append(f"| {name} | {size:.2f} | {said} | {median:.1f} ms, {late:.1f} ms | "
                    f"{speeds} | {ratios} |")
    write_text("-", "\n".join(text) + "\n")


if __name__ == "__main__":
    run(main)
