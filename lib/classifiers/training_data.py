"""Training and validation sets of a classifier on the device: images, labels and weights."""

import copy

import numpy as np
import torch

from lib import device_data, images, manifest, model_card, references
from lib.classifiers import label_tensors
from lib.cli import BadInput, note
from lib.files import digest


class TrainingData:
    """Images and labels of all sets; every image is decoded once.

    pixels: uint8 [N,S,S,3], as lib.device_data.placed gives them; true: labels as
    lib.classifiers.label_tensors.truth does; weight: float32 [N]; rows: int64 [M], the rows of an
    epoch (a row may stand several times when up-sampled). check: the validation
    lib.device_data.Set; check_true: its labels; checked: its manifest."""

    def __init__(self, options, device):
        self.sets = [manifest.read(path) for path in options.train]
        self.checked = manifest.read(options.validation)
        for part in self.sets:
            manifest.check_disjoint(part, self.checked, options.allow_shared_subjects)
        self.names = label_tensors.label_names(self.sets, options.tasks, options.aus)
        self.check_true = label_tensors.truth(self.checked, self.names, device)
        if not label_tensors.any_label(self.check_true):
            raise BadInput(
                f"{self.checked.name}: has none of the labels to learn "
                f"({', '.join(self.names['aus']) or ', '.join(options.tasks)}); give a labelled set"
            )
        self.size = options.size or len(images.load(self.sets[0].images()[0]))
        self.check = device_data.Set(self.checked, self.names["aus"], self.size, device)
        parts = [device_data.Set(part, self.names["aus"], self.size, device) for part in self.sets]
        self.pixels = device_data.joined(parts)
        factors = options.weights or [1.0] * len(parts)
        self.weight = torch.cat([part.weight * factor for part, factor in zip(parts, factors)])
        trues = [label_tensors.truth(part, self.names, device) for part in self.sets]
        self.true = {key: torch.cat([true[key] for true in trues]) for key in trues[0]}
        self.presence_as_level()
        self.check_labels()
        self.reference = self.check_reference = self.unlabelled = None
        if options.reference != "none":
            self.reference = References(self.sets, self.size, device)
            self.check_reference = References([self.checked], self.size, device)
        self.draw_rows(options)
        self.trained_on = digest(*(part.digest() for part in self.sets))
        self.training_sets = [model_card.facts(part) for part in self.sets]
        self.digest = digest(self.trained_on, self.checked.digest())
        self.registration = manifest.registration(self.sets, self.checked)

    def teach_also(self, unlabelled):
        """Add images without labels (lib.classifiers.mean_teacher)."""
        self.unlabelled = unlabelled
        self.trained_on = digest(self.trained_on, unlabelled.digest)
        self.training_sets += unlabelled.training_sets
        self.digest = digest(self.digest, unlabelled.digest)

    def presence_as_level(self):
        """Where no AU of any training row has a level, `au` learns presence, 0 or 1. (Beside
        levels an occurrence teaches no level: lib.classifiers.losses.masked_presence.)"""
        self.has_levels = bool(self.names["aus"]) and not bool(self.true["au"].isnan().all())
        if self.names["aus"] and not self.has_levels:
            for true in (self.true, self.check_true):
                true["au"] = true["au_present"]

    def au_kind(self, au_heads):
        """What the reading `au` is: 'intensity', or 'occurrence' where nothing teaches a level."""
        levels = set(au_heads) - {"au_present"}
        return "intensity" if levels and self.has_levels or not self.names["aus"] else "occurrence"

    def check_labels(self):
        """Say which labels the validation set lacks: they do not help to choose the best epoch."""
        for name, true in self.check_true.items():
            if not label_tensors.any_label({name: true}):
                note(
                    f"warning: {self.checked.name}: has no label of {name}, "
                    "so the best epoch is chosen without it"
                )

    def draw_rows(self, options):
        """Fill in `rows`: all, and those that --upsample repeats."""
        rows = np.arange(len(self.pixels))
        if options.upsample:
            have = np.concatenate([self.minorities(part) for part in self.sets])
            rows = np.concatenate(
                [rows, label_tensors.extra_rows(have, options.upsample, options.seed)]
            )
        self.rows = torch.from_numpy(rows)

    def minorities(self, part):
        """bool [N,A] of a manifest's rows: what --upsample balances: AUs, else expressions."""
        if self.names["aus"]:
            return label_tensors.present(part, self.names["aus"])
        if not self.names["expressions"]:
            raise BadInput("--upsample balances AUs or expressions; this classifier learns neither")
        return np.array(part.text("expression"))[:, None] == np.array(self.names["expressions"])

    def only(self, au, options):
        """The same images with the labels of one AU, for --per-au. BadInput where a set has none
        of it."""
        one = copy.copy(self)
        column = self.names["aus"].index(au)
        one.names = {**self.names, "aus": [au]}
        for name in ("true", "check_true"):
            whole = getattr(self, name)
            setattr(
                one,
                name,
                {
                    key: value[:, [column]] if key in ("au", "au_present") else value
                    for key, value in whole.items()
                },
            )
        if self.has_levels:  # of other AUs, perhaps
            one.presence_as_level()
        if "au_level" in options.tasks and not one.has_levels:
            raise BadInput(f"--train: {au} has no level, only occurrences; say --tasks au_present, "
                           "or name the others by --aus")
        for true, name in ((one.check_true, self.checked.name), (one.true, "--train")):
            if not label_tensors.any_label(true):
                raise BadInput(f"{name}: has no label of {au}, so it cannot have a model of its "
                               "own; label it, or name the others by --aus")
        one.draw_rows(options)
        return one


class References:
    """Each row's reference image, kept once a person or path. Call with rows for uint8
    [B,S,S,3]."""

    def __init__(self, sets, size, device):
        known, places, pictures = {}, [], []
        for part in sets:
            for found in references.of_rows(part, size, "--reference"):
                key = found if isinstance(found, str) else id(found)
                if key not in known:
                    known[key] = len(pictures)
                    pictures.append(
                        images.resize(images.load(found), size) if isinstance(found, str) else found
                    )
                places.append(known[key])
        self.pixels = torch.from_numpy(np.stack(pictures)).to(device)  # [U,S,S,3]
        self.place = torch.tensor(places, device=device)  # [N]

    def __call__(self, rows):
        return self.pixels[self.place[rows]]
