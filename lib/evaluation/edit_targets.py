"""What pairs ask of an editor, for each kind of label: the columns of a pairs manifest, and the
judge's readings.

    AUs            AUxx            target_AUxx                      the judge's output au
    expressions    expression      target_expression                expression (probabilities)
    feelings       valence, …      target_valence, target_arousal   valence_arousal
"""
from dataclasses import dataclass

import numpy as np

from lib.cli import BadInput
from lib.labels import VALENCE_AROUSAL
from lib.onnx_runtime import brief

# change of an AU (FACS level / 5), valence or arousal from which on it can be a pair's target
CHANGED = 0.05
OUTPUTS = {"au": "au", "expression": "expression", "va": "valence_arousal"}
CALLED = {"au": "AU", "expression": "expression", "va": "valence or arousal"}


@dataclass
class Asked:
    """What N pairs ask for."""
    kind: str               # au | expression | va
    names: list             # the generator's labels of that kind, K names
    judged: list            # the judge's, A names in the order of its output
    index: np.ndarray       # [N] which of `names` each pair is about, -1 where that is not clear
    direction: np.ndarray   # [N,K] by how much each label is to change
    source: np.ndarray      # [N,C] the generator's conditions of the source images
    target: np.ndarray      # [N,C] and those that it is asked for; NaN keeps the source's

    @property
    def output(self):
        """The judge's output that reads these labels."""
        return OUTPUTS[self.kind]

    def usable(self):
        """bool [N]: pairs about a label that the judge reads."""
        return np.array([i >= 0 and self.names[i] in self.judged for i in self.index], bool)


def asked_of(model, judge, data):
    """The Asked of a pairs manifest; BadInput where it, the generator and the judge share no kind
    of label."""
    if "true_path" not in data.columns:
        raise BadInput(
            f"{data.name}: no column 'true_path'; pairs name the true image of each edit there"
        )
    labels = model.labels
    there = {
        "au": set(data.columns) & {f"target_{name}" for name in labels.aus},
        "expression": set(data.columns) & {"target_expression"} if labels.expressions else set(),
        "va": set(data.columns) & {f"target_{name}" for name in VALENCE_AROUSAL}
              if labels.valence_arousal else set()
    }
    kind = next((kind for kind, columns in there.items() if columns), None)
    if not kind:
        raise BadInput(f"{data.name}: no column target_AUxx, target_expression or target_valence "
                       f"of the generator's labels ({brief(labels.conditions)})")
    if OUTPUTS[kind] not in judge.outputs:
        raise BadInput(f"{judge.path}: has no output {OUTPUTS[kind]!r}, so it cannot judge; "
                       f"give a classifier that reads {CALLED[kind]}")
    source = labels.encode(data)
    columns = labels.columns(kind)
    names = labels.conditions[columns]
    target = np.full_like(source, np.nan)
    if kind == "expression":
        target[:, columns] = one_hot(data.text("target_expression"), names)
        index, change = asked_class(source[:, columns], target[:, columns])
    else:
        target[:, columns] = np.stack([data.numbers(f"target_{name}") for name in names], 1)
        index, change = main_target(source[:, columns], target[:, columns], names)
    judged = {"au": judge.aus, "expression": judge.expressions, "va": list(VALENCE_AROUSAL)}[kind]
    return Asked(kind, names, judged, index, change, source, target)


def one_hot(texts, names):
    """float32 [N,K] of expression names; NaN where a text is none of them."""
    known = {name: row for name, row in zip(names, np.eye(len(names), dtype=np.float32))}
    return np.stack([known.get(text, np.full(len(names), np.nan, np.float32)) for text in texts])


def asked_class(source, target):
    """(index [N], change [N,K]) of the class that each pair asks for: -1 where it is unknown or
    the source's own."""
    change = np.nan_to_num(target) - np.nan_to_num(source)
    clear = ~np.isnan(target).any(1) & (change > 0).any(1)
    return np.where(clear, np.nan_to_num(target).argmax(1), -1), np.abs(change)


def main_target(source, target, names):
    """The AU (or feeling) that each pair changes most: index [N], or -1 where none changes by more
    than CHANGED or two alike; and the changes [N,K].

    Others may change with it (AU25 opens with the jaw of AU26): they are not counted as
    targets."""
    # an unknown source counts as 0, an empty target as kept
    change = np.nan_to_num(target - np.nan_to_num(source))
    size = np.sort(np.abs(change), 1)
    clear = (size[:, -1] > CHANGED) & (
        (size[:, -1] - size[:, -2] > 1e-4) if len(names) > 1 else True
    )
    return np.where(clear, np.abs(change).argmax(1), -1), change
