"""The Expression Manipulator's training cycle at half the paper's resolution and width, of which
ten rounds take two minutes: see tests/bench/training.py."""

from tests.bench import training

HALF = {"size": 64, "width": 32, "d_width": 32, "d_layers": 5}


def rows(folder, rounds):
    """The lines of the table."""
    yield training.compare("at half of the paper's size and width", rounds, **HALF)
