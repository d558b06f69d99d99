"""Settings of train_classifier.py that are more than one number: losses and weights of tasks,
optimisers."""

import torch

from lib.choices import HEAD_LOSSES

MOMENTUM = 0.9  # of sgd


def pairs(texts, tasks, option):
    """Texts TASK=VALUE as a dict; ValueError for another form or task."""
    found = {}
    for text in texts:
        task, equals, value = text.partition("=")
        if not equals or task not in tasks:
            raise ValueError(
                f"{option} {text}: write TASK=VALUE with a task of --tasks ({' '.join(tasks)})"
            )
        found[task] = value
    return found


def loss_kinds(texts, tasks, before=None):
    """{task: loss} of --losses; ValueError for a loss that a task does not have. before: the
    finished classifier that training starts from, whose losses hold where none is named."""
    kinds = pairs(texts, tasks, "--losses")
    if before:
        # an older checkpoint keeps only what its command line named
        named = before.get("run", {}).get("losses", [])
        earlier = before.get("losses") or pairs(named, tasks, "--losses")
        kinds = earlier | kinds
    for task, kind in kinds.items():
        if kind not in HEAD_LOSSES[task]:
            raise ValueError(f"--losses {task}={kind}: {task} has {', '.join(HEAD_LOSSES[task])}")
    return kinds


def task_weights(texts, tasks):
    """'balanced', 'learnt' or {task: number} of --task-weights; ValueError for anything else."""
    if len(texts) == 1 and texts[0] in ("balanced", "learnt"):
        return texts[0]
    found = {}
    for task, text in pairs(texts, tasks, "--task-weights").items():
        try:
            found[task] = float(text)
        except ValueError:
            raise ValueError(f"--task-weights {task}={text}: give a number") from None
        if not found[task] >= 0:
            raise ValueError(f"--task-weights {task}={text}: must be at least 0")
    if missing := [task for task in tasks if task not in found]:
        raise ValueError(f"--task-weights: no weight of {', '.join(missing)}")
    return found


def optimiser(options, parameters, undecayed=()):
    """The optimiser of --optimiser over the parameters that are trained. undecayed: those that
    --weight-decay is not for."""
    rate, decay = options.learning_rate, options.weight_decay
    if undecayed := list(undecayed):
        parameters = [{"params": list(parameters)}, {"params": undecayed, "weight_decay": 0.0}]
    if options.optimiser == "radam":
        return torch.optim.RAdam(
            parameters, rate, weight_decay=decay, decoupled_weight_decay=True, foreach=True
        )
    if options.optimiser == "sgd":
        return torch.optim.SGD(
            parameters, rate, momentum=MOMENTUM, weight_decay=decay, fused=True
        )
    chosen = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[options.optimiser]
    return chosen(parameters, rate, weight_decay=decay, fused=True)
