"""SIGTERM in the middle of an epoch, and what an epoch that is not over has to remember."""

import signal
from dataclasses import dataclass, field

import torch

from lib.cli import TERMINATED


@dataclass
class EpochSums:
    """An epoch that is not over: how many steps it had, and the sum and number of each term.

    Sums stay on the device, as reading them each step would stall it."""

    steps: int = 0
    sums: dict = field(default_factory=dict)
    counts: dict = field(default_factory=dict)

    def add(self, terms):
        """Count a step's terms, {name: scalar tensor}."""
        self.steps += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.float()
            self.counts[name] = self.counts.get(name, 0) + 1

    def share(self, processes):
        """Replace the sums by their means over the processes."""
        processes.average([self.sums[name] for name in sorted(self.sums)])

    def means(self, processes):
        """{name: mean over the steps that had the term, and over the processes}."""
        self.share(processes)
        return {name: (self.sums[name] / self.counts[name]).item() for name in self.sums}

    def on(self, device):
        """The same, its sums on a device."""
        self.sums = {name: value.to(device) for name, value in self.sums.items()}
        return self


SEEDS = 2**64  # torch takes no larger seed

TOGETHER = 16  # steps between two times that several processes ask each other whether to end


class Termination:
    """SIGTERM while training, as a queue sends it to a job that has to make room: the step ends,
    the trainer saves and leaves with status 143.

    >>> with Termination(processes) as termination:
    ...     for step in range(steps):
    ...         train(step)
    ...         if termination.at(step + 1):
    ...             save()
    ...             termination.leave()

    A second SIGTERM leaves at once, without saving."""

    def __init__(self, processes):
        self.processes, self.asked, self.before = processes, False, None

    def __enter__(self):
        self.before = signal.signal(signal.SIGTERM, self.ask)
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGTERM, self.before)

    def ask(self, signum, frame):
        """Called by the signal."""
        if self.asked:
            raise SystemExit(TERMINATED)
        self.asked = True

    def at(self, step):
        """Whether to save and leave, with `step` steps done. All processes say the same: they ask
        each other at every TOGETHER-th step."""
        if self.processes.world == 1:
            return self.asked
        return step % TOGETHER == 0 and self.anywhere()

    def anywhere(self):
        """Whether any process was asked to leave; all of them have to ask. Epochs may end before
        the first of the steps of `at`, so this stands at each epoch's end."""
        return self.processes.any(self.asked)

    def leave(self):
        """Leave with status 143."""
        self.processes.close()
        raise SystemExit(TERMINATED)


class EpochDraws:
    """The random generators of one epoch in one process: `pictures` on the device (augmentation),
    `rows` on the CPU, and torch's own, which dropout draws from."""

    def __init__(self, seed, device):
        seed %= SEEDS
        self.pictures = torch.Generator(device=device).manual_seed(seed)
        self.rows = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)

    def states(self):
        """Where they stand, as tensors."""
        own = {"pictures": self.pictures.get_state(), "rows": self.rows.get_state()}
        own["torch"] = torch.get_rng_state()
        if self.pictures.device.type == "cuda":
            own["cuda"] = torch.cuda.get_rng_state()
        return own

    def restore(self, states):
        """Go on from `states`."""
        self.pictures.set_state(states["pictures"])
        self.rows.set_state(states["rows"])
        torch.set_rng_state(states["torch"])
        if "cuda" in states and self.pictures.device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"])
