"""Mean teacher: images without labels are taught by the average of the network's own weights.

Tarvainen and Valpola 2017, "Mean teachers are better role models". The teacher reads each image
under other random changes than the network; its readings are soft labels of the network's own
losses (with squared errors that is the paper's consistency cost). An expression is taught only
where the teacher is sure of it. The weight of this loss rises over the first T steps, while the
teacher knows little: w(t) = w exp(-5 (1 - t/T)²).
"""

import math

import torch

from lib import device_data, manifest, model_card
from lib.classifiers.training_data import References
from lib.files import digest

SURE = 0.8  # least probability of an expression that is taught
RISE = 0.3  # share of all steps over which the weight rises, but
RISE_EPOCHS = 10  # no more epochs: most trainings end by patience, long before their last step
PRESENT = 0.4  # an AU reading that counts as present, for --rare-weight


class Unlabelled:
    """The images of --unlabelled manifests. pixels: uint8 [N,S,S,3]; reference: as in
    TrainingData."""

    def __init__(self, options, checked, size, device):
        sets = [manifest.read(path) for path in options.unlabelled]
        for part in sets:
            manifest.check_disjoint(part, checked, options.allow_shared_subjects)
        parts = [device_data.Set(part, [], size, device) for part in sets]
        self.pixels = device_data.joined(parts)
        self.reference = References(sets, size, device) if options.reference != "none" else None
        self.digest = digest(*(part.digest() for part in sets))
        self.training_sets = [model_card.facts(part) for part in sets]

    def draw(self, count, generator):
        """Rows [count], drawn with replacement."""
        rows = torch.randint(len(self.pixels), (count,), generator=generator)
        return device_data.sent(rows, self.pixels.device)


def weight(most, step, steps, epoch_steps):
    """The weight of the teacher's labels at a step of `steps`, of which an epoch has
    `epoch_steps`."""
    done = min(1.0, step / max(1.0, min(RISE * steps, RISE_EPOCHS * epoch_steps)))
    return most * math.exp(-5 * (1 - done) ** 2)


@torch.no_grad()
def soft_truth(teacher, pictures):
    """The teacher's readings of pictures as a truth, like lib.classifiers.label_tensors.truth
    gives."""
    out = teacher(*pictures)
    true = {}
    if "au" in out:
        true["au"] = out["au"].float()
        true["au_present"] = out.get("au_present", (out["au"] >= PRESENT)).float()
    if "au_level" in out:
        true["au_level"] = out["au_level"].float()
    if "valence_arousal" in out:
        true["valence_arousal"] = out["valence_arousal"].float()
    if "expression" in out:
        chance, best = out["expression"].max(1)
        true["expression"] = torch.where(chance >= SURE, best, -1)
    return true
