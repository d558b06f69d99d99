"""A stage starts quickly: --help of every script comes without torch, and names what there is."""

import ast
import subprocess
import sys

import pytest
from commands import ENVIRONMENT, NO_TORCH, ROOT

from lib import augment, choices, classifiers, cli
from lib.classifiers import settings, torchvision_backbone
from lib.classifiers.heads import HEADS

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_imports_no_torch(script):
    assert len(SCRIPTS) == 6
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, ROOT / script, "--help"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "usage:" in done.stdout and not done.stderr, done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_option_is_defined_twice(script):
    """Python would keep the second one and lose the help of the first."""
    tree = ast.parse((ROOT / script).read_text(encoding="utf-8"))
    options = next(node for node in tree.body if getattr(node, "name", "") == "Options")
    names = [node.target.id for node in options.body if isinstance(node, ast.AnnAssign)]
    assert len(names) > 5 and sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    "default, shown",
    [(0, "x [0]"), (1, "x [1]"), (0.0, "x [0.0]"), (1.0, "x [1.0]"), ("auto", "x [auto]"),
     (["a", "b"], "x [a b]"), (None, "x"), ("", "x"), ([], "x"), (False, "x"), (True, "x")],
)
def test_help_shows_the_default(default, shown):
    """0 and 1 are defaults, though they equal False and True."""
    assert cli.arg(default, help="x").metadata["help"] == shown


def test_choices_are_the_tables_names():
    assert {name: tuple(head.losses) for name, head in HEADS.items()} == choices.HEAD_LOSSES
    assert list(HEADS) == list(choices.HEAD_LOSSES) and set(choices.AU_HEADS) < set(HEADS)
    assert tuple(classifiers.BACKBONES) == choices.BACKBONES
    assert tuple(torchvision_backbone.NAMES) == choices.TORCHVISION
    assert tuple(augment.KINDS) == choices.AUGMENTATIONS


@pytest.mark.parametrize("name", choices.OPTIMISERS)
def test_optimisers_are_there(name):
    import types

    import torch

    options = types.SimpleNamespace(optimiser=name, learning_rate=0.1, weight_decay=0.0)
    weight = torch.nn.Parameter(torch.ones(1))
    optimiser = settings.optimiser(options, [weight])
    weight.sum().backward()
    optimiser.step()
    assert weight.item() < 1
