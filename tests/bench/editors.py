"""What an image costs each editor in training, against the warp editor: a short training of each
by train_generator.py, preset `quick`, one thread, on the same rendered faces, in turn."""

import json

import numpy as np

from lib import generators
from tests.bench.common import Row, in_turn, process, speedup

ROUNDS = 3
FIRST = "warp-editor"


def editors():
    """{name: labels that it learns here} of every editor that has the preset."""
    modules = {name: generators.module(name) for name in generators.ARCHITECTURES}
    return {
        name: "expression" if name == "fexgan" else "au"
        for name, module in modules.items()
        if module.System.kind == "editor" and "quick" in module.PRESETS
    }


def train(name, tasks, data, out, images):
    """Images per second of one epoch."""
    process(
        *("train_generator.py", "--arch", name, "--tasks", tasks, "--threads", 1),
        *("--train", data / "labelled.csv", "--validation", data / "validation.csv"),
        *("--epochs", 1, "--decay-epochs", 0, "--epoch-images", images),
        *("--out", out / "generator.pt"),
    )
    return json.loads((out / "history.jsonl").read_text().splitlines()[0])["images_per_second"]


def rows(folder, rounds, size=64, images=640):
    """The lines of the table."""
    data = folder / "faces"
    sets = {"labelled": 300, "validation": 60}
    others = "unlabelled test test-natural pairs pairs-validation judge judge-validation".split()
    process(
        *("-m", "lib.datasets.rendered_faces", "--out", data, "--size", size),
        *(text for name in others for text in (f"--{name}", 0)),
        *(text for name, count in sets.items() for text in (f"--{name}", count)),
    )
    rates = {name: [] for name in editors()}
    for number, name in in_turn(rates, range(rounds)):
        out = folder / f"{name}-{number}"
        rates[name].append(train(name, editors()[name], data, out, images))
    seconds = {name: [1 / rate for rate in values] for name, values in rates.items()}
    for name, values in rates.items():
        if name != FIRST:
            yield Row(
                f"training of {name}, quick ({rounds} rounds)",
                f"{np.median(values):.0f} images/s",
                f"{FIRST}: {np.median(rates[FIRST]):.0f} images/s",
                speedup(seconds[FIRST], seconds[name]),
            )
