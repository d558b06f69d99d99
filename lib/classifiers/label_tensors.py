"""What a classifier learns from manifests: which labels there are, as tensors, and which rows to
repeat."""

import numpy as np
import torch

from lib import labels
from lib.choices import AU_HEADS
from lib.cli import BadInput


def label_names(sets, tasks, aus=()):
    """What there is to learn: {'aus': ['AU01', …], 'valence_arousal': bool, 'expressions':
    ['anger', …]}.

    sets: manifests; tasks: names of heads (lib.classifiers.heads); aus: only these. BadInput when
    a label is nowhere given."""
    where = ", ".join(part.name for part in sets)
    names = {"aus": [], "valence_arousal": "va" in tasks, "expressions": []}
    if set(tasks) & set(AU_HEADS):
        names["aus"] = au_names(sets, aus, where)
        levels = any((~np.isnan(part.aus(names["aus"])[~part.occurrence()])).any() for part in sets)
        if "au_level" in tasks and not levels:
            raise BadInput(f"{where}: no AU has a level, only occurrences; say --tasks au_present")
    for name in labels.VALENCE_AROUSAL if "va" in tasks else ():
        if all(np.isnan(part.numbers(name)).all() for part in sets):
            raise BadInput(f"{where}: no {name} labels; leave va out of --tasks")
    if "expression" in tasks:
        names["expressions"] = sorted(
            {text for part in sets for text in part.text("expression")} - {""}
        )
        if len(names["expressions"]) < 2:
            raise BadInput(f"{where}: fewer than two expressions; leave expression out of --tasks")
    return names


def au_names(sets, aus, where):
    """The AUs that are labelled in some set, or those of `aus`; BadInput where one has no
    label."""
    found = sorted(
        {name for part in sets for name in part.au_names if not np.isnan(part.numbers(name)).all()}
    )
    missing = [name for name in aus if name not in found]
    if missing or not found:
        raise BadInput(
            f"{where}: no labels of {', '.join(missing) or 'any AU'}; "
            f"labelled are {', '.join(found) or 'none'}"
        )
    return list(aus) or found


def truth(part, names, device="cpu"):
    """A manifest's labels as tensors, those that `names` asks for.

    au [N,A]: levels / 5, NaN where unlabelled and in rows of au_kind=occurrence, which have no
    level; au_present [N,A]: 1, 0 or NaN; an occurrence between 0 and 1 is kept as a soft label;
    valence_arousal [N,2], NaN where unlabelled; expression int64 [N], -1 where unlabelled or not
    among the names."""
    true = {}
    if names["aus"]:
        values, occurs = part.aus(names["aus"]), part.occurrence()[:, None]
        levels = np.where(occurs, np.float32(np.nan), values)
        true["au"] = torch.from_numpy(levels).to(device)
        true["au_present"] = torch.from_numpy(
            np.where(occurs, values, part.present(names["aus"]))
        ).to(device)
    if names["valence_arousal"]:
        values = [part.numbers(name) for name in labels.VALENCE_AROUSAL]
        true["valence_arousal"] = torch.from_numpy(np.stack(values, 1)).to(device)
    if names["expressions"]:
        codes = {text: code for code, text in enumerate(names["expressions"])}
        true["expression"] = torch.tensor(
            [codes.get(text, -1) for text in part.text("expression")], device=device
        )
    return true


def any_label(true):
    """Whether there is a single label in what `truth` gave."""
    return any(
        bool((~values.isnan()).any() if values.is_floating_point() else (values >= 0).any())
        for values in true.values()
    )


def present(part, names):
    """bool [N,A]: AUs that are there; False where unlabelled."""
    return part.present(names) == 1


def extra_rows(have, count, seed):
    """Indices [count] of rows to repeat, for random up-sampling of minority AUs: an AU is drawn in
    proportion to what it lacks to the most frequent one, then a row that has it. have: bool
    [N,A]."""
    generator = np.random.default_rng([seed, 1])
    counts = have.sum(0)  # [A]
    lacking = np.where(counts > 0, counts.max(initial=0) - counts, 0).astype(float)
    if not lacking.any():  # all are equally frequent
        lacking = (counts > 0).astype(float)
    if not lacking.any():  # no AU is there at all
        return generator.integers(len(have), size=count)
    chance = (have / np.maximum(counts, 1) * lacking).sum(1)  # [N]
    return generator.choice(len(have), size=count, p=chance / chance.sum())
