"""Checkpoints: plain dicts of numbers, texts and tensors that load with weights_only=True.

Every checkpoint has kind ('classifier' or 'generator'), config, labels and weights; `last.pt` also
has the optimisers, schedule, step and random states, so that interrupted and resumed equals
uninterrupted.
"""
import random
from pathlib import Path

import numpy as np
import torch

from lib.cli import BadInput
from lib.files import digest, replacing


def save(path, state):
    """Write a checkpoint, replacing the file at once. Tensors go to the CPU first."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        try:
            torch.save(to_cpu(state), file)
        except RuntimeError as error:  # in which torch hides what the disk said
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


def load(path, kind=None):
    """Read a checkpoint, on the CPU; BadInput when it is missing, damaged or of another kind."""
    if not Path(path).exists():
        raise BadInput(f"{path}: no such checkpoint; train it first, or correct the path")
    if Path(path).is_dir():
        raise BadInput(f"{path}: is a folder; give the checkpoint in it")
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); "
                       "give a checkpoint that can be") from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds, with long texts, for files that are no checkpoint
        state = None
    if not isinstance(state, dict) or "kind" not in state:
        raise BadInput(f"{path}: not a checkpoint of this project, or damaged; "
                       "give another, or train it again")
    if kind and state["kind"] != kind:
        raise BadInput(f"{path}: is a {state['kind']}, not a {kind}; give the other model")
    return state


def load_finished(path):
    """Read the checkpoint of a finished training; BadInput for last.pt, too, and for one that
    lacks a part."""
    state = load(path)
    unfinished = "optimiser" in state or "optimisers" in state
    if unfinished or state["kind"] not in ("classifier", "generator"):
        raise BadInput(f"{path}: is of a training that has not finished; go on with --resume, "
                       "then export its --out")
    weights = "weights" if "weights" in state or state["kind"] == "classifier" else "nets"
    if missing := [key for key in ("config", "labels", weights) if key not in state]:
        raise BadInput(f"{path}: lacks {', '.join(missing)}; train it again")
    return state


def digest_of(weights):
    """A short hash of a state_dict: the names and values of its tensors."""
    parts = ((name, value.cpu().contiguous().numpy().tobytes()) for name, value in weights.items())
    return digest(*(part for both in parts for part in both))


def to_cpu(value):
    """The same structure with every tensor on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: to_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to_cpu(item) for item in value)
    return value


def random_states():
    """The state of Python's, NumPy's global and torch's random generators, as tensors and
    numbers."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    states = {"python": [version, list(words), gauss], "torch": torch.get_rng_state(),
              "numpy": [name, torch.from_numpy(keys.astype(np.int64)), int(position),
                        int(has_gauss), float(cached)]}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_random_states(states):
    """Undo what has been drawn since `random_states`."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])


def seed_all(seed):
    """Seed Python's, NumPy's and torch's generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
