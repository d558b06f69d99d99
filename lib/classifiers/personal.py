"""Personal models: a trained classifier goes on learning from images of one person (Niinuma et al.
2022, 4.2.3).

All people of a manifest in one process. The learning rate is the one at which the personal models
of the validation people err least on those people's own validation images; it is chosen once, for
all.
"""

import copy
from pathlib import Path

import numpy as np
import torch

from lib import augment, checkpoints, classifiers, device_data, manifest, model_card, onnx_export
from lib.choices import SUBJECT
from lib.classifiers import label_tensors, settings
from lib.classifiers.objective import Objective
from lib.classifiers.training_data import References
from lib.cli import BadInput, GateFailed, log
from lib.files import digest
from lib.training import set_learning_rate


class People:
    """Images and labels of a manifest on the device, and which rows are whose.

    pixels: uint8 [N,S,S,3]; true: as label_tensors.truth gives it; weight: [N]; rows: {subject:
    int64 [n]}."""

    def __init__(self, path, generic, device):
        self.data = manifest.read(path)
        subjects = self.data.text("subject")
        if "" in subjects:
            raise BadInput(
                f"{self.data.name}: row {subjects.index('') + 2}, column subject is empty; "
                "personal models need the person of every image"
            )
        size, names = generic["config"]["size"], generic["labels"]
        found = device_data.Set(self.data, [], size, device)
        self.pixels, self.weight = found.pixels, found.weight
        self.true = label_tensors.truth(self.data, names, device)
        if generic.get("au_kind") == "occurrence" and "au" in self.true:
            self.true["au"] = self.true["au_present"]  # as the generic model learnt
        if not label_tensors.any_label(self.true):
            raise BadInput(
                f"{self.data.name}: has none of the classifier's labels; give labelled rows"
            )
        compares = generic["config"].get("reference", "none") != "none"
        self.reference = References([self.data], size, device) if compares else None
        self.rows = {
            subject: torch.tensor(
                [i for i, other in enumerate(subjects) if other == subject], device=device
            )
            for subject in dict.fromkeys(subjects)
        }

    def labels(self, rows):
        """The truth of some rows."""
        return {key: values[rows] for key, values in self.true.items()}


class Personal:
    """The generic network, and how it learns one person."""

    def __init__(self, options, generic, people, device):
        self.options, self.generic, self.device = options, generic, device
        self.net = classifiers.build(generic["config"]).to(
            device, memory_format=torch.channels_last
        )
        self.start = generic["weights"]
        kinds, weights = of_tasks(options, list(self.net.heads), generic)
        self.objective = Objective(
            self.net.heads, people.true, kinds, weights, options.rare_weight
        ).to(device)
        module = self.net.heads if options.only_heads else self.net
        self.parameters = [value for value in module.parameters() if value.requires_grad]

    def fit(self, people, rows, rate):
        """The weights after --personal-steps on a person's rows, from the generic ones; a
        state_dict.

        Normalisation keeps the generic statistics, as a few images of one person have none of
        their own."""
        options = self.options
        self.net.load_state_dict(self.start)
        self.net.eval()
        optimiser = settings.optimiser(options, self.parameters)
        set_learning_rate(optimiser, rate)
        draws = torch.Generator(device=self.device).manual_seed(options.seed)
        order = torch.Generator().manual_seed(options.seed)
        for _ in range(options.personal_steps):
            chosen = rows[
                torch.randint(len(rows), (min(options.batch, len(rows)),), generator=order).to(
                    self.device
                )
            ]
            out = self.net(*augmented(people, chosen, options.augment, draws))
            loss, _ = self.objective(out, people.labels(chosen), people.weight[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        return copy.deepcopy(self.net.state_dict())

    @torch.no_grad()
    def error(self, weights, people, rows):
        """The loss of weights on a person's rows, a number."""
        self.net.load_state_dict(weights)
        compared = (lambda part: people.reference(rows[part])) if people.reference else None
        out = classifiers.predict(self.net, people.pixels[rows], compared)
        return float(self.objective(out, people.labels(rows), people.weight[rows], fixed=True)[0])

    def choose_rate(self, people, checked):
        """The rate of --personal-rates with the least mean error over the validation people."""
        both = [subject for subject in checked.rows if subject in people.rows]
        rates = self.options.personal_rates
        if not both:
            if len(rates) > 1:
                raise BadInput(
                    f"{checked.data.name}: none of its people is in {people.data.name}, so the "
                    "learning rate cannot be chosen; give images of validation people, or one "
                    "--personal-rates"
                )
            return rates[0]
        before = np.mean(
            [self.error(self.start, checked, checked.rows[subject]) for subject in both]
        )
        log(f"validation, {len(both)} people: generic model {before:.5f}")
        errors = []
        for rate in rates:
            found = [
                self.error(
                    self.fit(people, people.rows[subject], rate), checked, checked.rows[subject]
                )
                for subject in both
            ]
            # a rate at which a model diverges is none to choose
            errors.append(np.inf if np.isnan(found).any() else np.mean(found))
            log(
                f"validation: learning rate {rate:g}: {errors[-1]:.5f}, "
                f"{sum(np.array(found) < before)} of {len(both)} people below the generic mean"
            )
        if np.isinf(min(errors)):
            raise GateFailed("personal models diverged at every learning rate; lower "
                             "--personal-rates")
        if min(errors) >= before:
            log("warning: no learning rate beats the generic model on the validation people")
        return rates[int(np.argmin(errors))]


def of_tasks(options, tasks, generic):
    """(losses, weights) of --losses and --task-weights for the tasks of the generic classifier,
    whose own losses hold where none is named; BadInput where they name other tasks."""
    try:
        return (settings.loss_kinds(options.losses, tasks, generic),
                settings.task_weights(options.task_weights, tasks))
    except ValueError as error:
        raise BadInput(f"{options.init}: learns {' '.join(tasks)}; "
                       + str(error).replace("of --tasks", "of this classifier")) from None


def augmented(people, rows, kind, draws):
    """Augmented pictures of rows, and their references, changed alike, where there are any."""
    return augment.both(
        people.pixels[rows], people.reference and people.reference(rows), kind, draws
    )


def personalise(options, device):
    """Write a checkpoint and an ONNX model for each person of --personalise who is not a
    validation person."""
    generic = checkpoints.load_finished(options.init)
    if generic["kind"] != "classifier":
        raise BadInput(
            f"{options.init}: is a {generic['kind']}, not a classifier; give the generic classifier"
        )
    people = People(options.personalise, generic, device)
    checked = People(options.validation, generic, device)
    personal = Personal(options, generic, people, device)
    rate = personal.choose_rate(people, checked)
    subjects = [subject for subject in people.rows if subject not in checked.rows]
    if not subjects:
        raise BadInput(
            f"{people.data.name}: all its people are of validation; add those who get a model"
        )
    log(f"learning rate {rate:g}: {len(subjects)} personal models")
    for subject in subjects:
        rows = people.rows[subject]
        own = people.data.take(rows.cpu().numpy())
        state = {
            **generic,
            "weights": personal.fit(people, rows, rate),
            "personal": subject,
            "losses": personal.objective.kinds,
            "trained_on": digest(generic.get("trained_on", ""), own.digest()),
            "training_sets": [*generic.get("training_sets", []), model_card.facts(own)],
        }
        out = Path(options.out.replace(SUBJECT, subject))
        checkpoints.save(out, state)
        onnx_export.export(
            checkpoints.load_finished(out),
            out.with_suffix(".onnx"),
            state["samples"].cpu().numpy(),
            name=str(out),
        )
    log(f"{options.out}: {len(subjects)} people, each also as .onnx")
