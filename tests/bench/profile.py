"""Where the seconds go: shares of a training step by kind of operation, and of the registration of
a photo by step. One Markdown table on stdout.

    python -m tests.bench.profile                    warp-editor, expression-manipulator, register
    python -m tests.bench.profile warp-editor

One thread, so that an operation's own time is its share. Registration needs the face networks
(`make setup-faces`).
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from lib import images
from lib.cli import arg, log, parse, run
from lib.files import write_text
from tests.bench import gradients, training
from tests.bench.common import ROOT

WHAT = ("warp-editor", "expression-manipulator", "register")
GROUPS = {  # the first whose word is in an operation's name
    "convolution, backward": ("convolution_backward",),
    "convolution, forward": ("convolution", "mkldnn", "conv"),
    "matrix products": ("mm", "addmm", "bmm"),
    "normalisation": ("norm",),
    "resampling": ("grid_sampler", "upsample", "interpolate"),
    "copies and layout": ("copy_", "clone", "contiguous", "cat", "fill_", "zero_", "empty", "to"),
    "optimiser": ("_fused_adam", "_foreach", "addcdiv", "addcmul", "lerp"),
}
PHOTO, SIDE, TIMES = "docs/astronaut.jpg", 350, 10


@dataclass
class Options:
    what: list[str] = arg([], args=["what"], nargs="*", metavar="WHAT", help=f"of {' '.join(WHAT)}")

    def __post_init__(self):
        if wrong := [name for name in self.what if name not in WHAT]:
            raise ValueError(f"{wrong[0]}: not one of {', '.join(WHAT)}")


def group(name):
    """The group of an operation such as aten::convolution_backward."""
    short = name.removeprefix("aten::")
    for title, words in GROUPS.items():
        if any(short.startswith(word) or f"_{word}" in short for word in words):
            return title
    return "element by element, and the rest"


def shares_of_steps(function):
    """(seconds, {group: share of the time of all operations}) of a function that trains."""
    function()
    start = time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        function()
    seconds = time.perf_counter() - start
    spent = {}
    for event in profile.key_averages():
        title = group(event.key)
        spent[title] = spent.get(title, 0) + event.self_cpu_time_total
    whole = sum(spent.values())
    return seconds, {title: value / whole for title, value in spent.items()}


def warp_editor():
    """(what, seconds, shares) of eight steps at quick size."""
    system = gradients.build()
    data = gradients.batch(system.config.size)
    steps = lambda: [system.step(data, step) for step in range(gradients.STEPS)]
    return "warp-editor, quick, 8 steps", *shares_of_steps(steps)


def expression_manipulator():
    """The same of 4 D steps and 1 G step at half of the paper's size and width."""
    system, _ = training.build(size=64, width=32, d_width=32, d_layers=5)
    batch = training.batch_of(4, 64, len(training.AUS))
    steps = lambda: [system.step(batch, step) for step in range(4)]
    return "Expression Manipulator, half size, 4 D + 1 G", *shares_of_steps(steps)


def register():
    """The same of the registration of a photograph of 350 pixels, 2d and 3d, as in
    lib.faces.register."""
    from lib.faces import align, detect, landmarks

    strip = images.load(str(ROOT / PHOTO))  # photographs side by side
    photo = images.resize(strip[:, : len(strip)], SIDE)
    spent = dict.fromkeys(("detection", "mesh", "alignment 2d", "alignment 3d", "PNG"), 0.0)

    def timed(name, function, *values):
        start = time.perf_counter()
        found = function(*values)
        spent[name] += time.perf_counter() - start
        return found

    for number in range(TIMES + 1):
        if number == 1:  # the first round loads networks
            spent = dict.fromkeys(spent, 0.0)
        box = timed("detection", detect.detect, photo)[0]
        face = timed("mesh", landmarks.locate, photo, box)
        picture = timed("alignment 2d", align.register, photo, face, "2d", 128)[0]
        timed("alignment 3d", align.register, photo, face, "3d", 128)
        timed("PNG", encode, picture)
    whole = sum(spent.values())
    shares = {name: value / whole for name, value in spent.items()}
    return f"registration of a {SIDE} px photo, 2d and 3d", whole / TIMES, shares


def encode(picture):
    """The bytes that lib.images.save would write."""
    import io

    Image.fromarray(np.asarray(picture)).save(io.BytesIO(), format="PNG")


def main():
    options = parse(Options, __doc__)
    torch.set_num_threads(1)
    makers = dict(zip(WHAT, (warp_editor, expression_manipulator, register)))
    lines = ["| what | seconds | shares |", "|---|---|---|"]
    for name in options.what or WHAT:
        what, seconds, shares = makers[name]()
        ranked = sorted(shares.items(), key=lambda item: -item[1])
        said = ", ".join(f"{title} {share:.0%}" for title, share in ranked if share >= 0.005)
        lines.append(f"| {what} | {seconds:.2f} | {said} |")
        log(lines[-1])
    write_text("-", "\n".join(lines) + "\n")


if __name__ == "__main__":
    run(main)
