"""Which models read a manifest, and what they read: one model, several with different labels, one
a person.

`--model a.onnx b.onnx` reads each image with both and puts their labels side by side (a model an
AU, or one for AUs and one for valence and arousal). `--model 'personal/{subject}.onnx'` reads the
images of each person with the model of that name. No torch.
"""
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lib import labels, onnx_runtime
from lib.choices import THRESHOLDS
from lib.cli import BadInput
from lib.files import digest
from lib.onnx_runtime import Model

SUBJECT = "{subject}"
# of a Reading: names of columns, readings, thresholds
BY_AU = (("aus", "au", "thresholds"), ("presence_aus", "presence", "presence_thresholds"))


@dataclass
class Reading:
    """What was read of N images; None where no model has such an output."""
    aus: list = field(default_factory=list)          # A names
    au: np.ndarray = None                            # [N,A] in [0, 1]
    # [A], or [N,A] where people have models of their own
    thresholds: np.ndarray = None
    # the same of the output `au_present`, of models that read levels and presence
    presence_aus: list = field(default_factory=list)
    presence: np.ndarray = None
    presence_thresholds: np.ndarray = None
    valence_arousal: np.ndarray = None               # [N,2] in [-1, 1]
    expressions: list = field(default_factory=list)  # E names
    expression: np.ndarray = None                    # [N,E] probabilities
    features: np.ndarray = None                      # [N,F], of the first model that has any
    real: np.ndarray = None                          # [N] in [0, 1], of the first discriminator


class Readers:
    """The models of --model, opened and found to fit together, before anything runs."""

    def __init__(self, paths, device, data, rows=None):
        """rows: which rows of the manifest are read; None is all of them.

        BadInput for a missing model, a label that two models read, or a person without a name."""
        self.path, self.device, self.whole = " ".join(paths), device, data
        self.rows = np.arange(len(data)) if rows is None else np.array(rows)
        self.data = data = data if rows is None else data.take(rows)
        personal = [path for path in paths if SUBJECT in path]
        if personal and len(paths) > 1:
            raise BadInput(
                f"--model {self.path}: one path with {SUBJECT} stands alone; give no other model"
            )
        self.people = self.places(personal[0]) if personal else {}
        first = [next(iter(self.people))] if personal else paths
        self.models = [Model.open(path, device, kind="classifier") for path in first]
        owners = {}
        for model in self.models:
            for name in [*model.aus, *(text for text in ("valence_arousal", "expression")
                                       if text in model.outputs)]:
                if name in owners:
                    raise BadInput(f"{model.path}: reads {name}, as {owners[name]} does; "
                                   "give models of different labels")
                owners[name] = model.path
        self.aus = [name for model in self.models for name in model.aus]
        self.expressions = [name for model in self.models for name in model.expressions]
        self.outputs = {name for model in self.models for name in model.outputs}
        for model in self.models:
            onnx_runtime.check_registration(model, data)

    def places(self, pattern):
        """{model's path: rows of its person}."""
        subjects = self.data.text("subject")
        if "" in subjects:
            row = subjects.index("") + 2
            raise BadInput(f"{self.data.name}: row {row}, column subject is empty; "
                           f"--model {pattern} needs the person of every image")
        people = {}
        for row, subject in enumerate(subjects):
            people.setdefault(pattern.replace(SUBJECT, subject), []).append(row)
        for path in people:
            if not Path(path).is_file():
                raise BadInput(f"{path}: no such model; --model {pattern} needs one for each "
                               f"person of {self.data.name}")
        return people

    def stores(self, output):
        """Whether a model stores thresholds of its own for an AU output, `au` or `au_present`."""
        return any(model.meta.get(THRESHOLDS[output]) for model in self.models)

    def read(self, batch, default):
        """A Reading of the whole manifest. default: the threshold of an AU for which none is
        stored."""
        if not self.people:
            return merged([read_one(model, self.data, batch, default, self.references(model))
                           for model in self.models])
        parts = []
        for path, rows in self.people.items():
            model = Model.open(path, self.device, kind="classifier")
            reads = [(each.aus, each.expressions, each.reads_presence)
                     for each in (model, self.models[0])]
            if reads[0] != reads[1]:
                raise BadInput(f"{path}: reads other labels than {self.models[0].path}; "
                               "export all personal models alike")
            own = self.data.take(rows)
            if model.meta.get("registration") != self.models[0].meta.get("registration"):
                onnx_runtime.check_registration(model, own)
            parts.append((rows, read_one(model, own, batch, default,
                                         self.references(model, rows))))
        return scattered(parts, len(self.data))

    def references(self, model, rows=slice(None)):
        """The reference of each of the rows (lib.references.of_rows), for models that compare with
        one; else None. The mean of a person is of all the images that the manifest has of them,
        read here or not."""
        if "reference" not in model.inputs:
            return None
        chosen = self.rows[rows]
        if len(chosen) == len(self.rows):
            found = onnx_runtime.reference_images(model, self.whole)
            return [found[row] for row in chosen]
        subjects = self.whole.text("subject")
        people = {subjects[row] for row in chosen}
        theirs = [row for row, subject in enumerate(subjects) if subject in people]
        found = dict(zip(theirs, onnx_runtime.reference_images(model, self.whole.take(theirs))))
        return [found[row] for row in chosen]

    def describe(self):
        """What a report says of the models: one as ever; of several, the paths and a digest of
        all."""
        first = self.models[0]
        paths = list(self.people) or [model.path for model in self.models]
        out = {"path": self.path, "kind": first.kind,
               "architecture": first.meta.get("architecture"), "digest": digest(*map(Path, paths)),
               "trained_on": first.meta.get("trained_on")}
        return out | ({"models": len(paths)} if len(paths) > 1 else {})


def read_one(model, data, batch, default, reference):
    """The Reading of one model; BadInput where it reads NaN or infinity."""
    outputs = model.predict(data.images(), batch, "evaluating", reference=reference)
    out = Reading(model.aus, valence_arousal=outputs.get("valence_arousal"),
                  expressions=model.expressions, expression=outputs.get("expression"),
                  features=outputs.get("features"))
    if model.meta.get("real_kind") == "probability":
        out.real = outputs["real"]
    if model.aus:
        out.au = au_scores(model, outputs)
        out.thresholds = onnx_runtime.stored_thresholds(model, "au", default)
    if model.reads_presence:
        out.presence_aus, out.presence = model.aus, outputs["au_present"]
        out.presence_thresholds = onnx_runtime.stored_thresholds(model, "au_present", default)
    for values in (out.presence, out.valence_arousal, out.expression):
        if values is not None:
            check_finite(model, values)
    return out


def au_scores(model, outputs):
    """AU predictions [N,A] in [0, 1] as lib.onnx_runtime reads them; BadInput where one is NaN or
    infinite."""
    scores = onnx_runtime.au_scores(model, outputs)
    check_finite(model, scores)
    return scores


def check_finite(model, values):
    """BadInput where a row of predictions [N,K] has NaN or infinity."""
    bad = int((~np.isfinite(values)).any(1).sum())
    if bad:
        raise BadInput(f"{model.path}: predicts NaN or infinity for {bad} images; train it again")


def merged(readings):
    """One Reading of the same images from several with different labels."""
    out = readings[0]
    for other in readings[1:]:
        for names, *arrays in BY_AU:
            for name in arrays:  # [N,A] and [A]
                parts = [getattr(each, name) for each in (out, other)]
                parts = [values for values in parts if values is not None]
                setattr(out, name, np.concatenate(parts, -1) if parts else None)
            setattr(out, names, getattr(out, names) + getattr(other, names))
        for name in ("valence_arousal", "expression", "features", "real"):
            if getattr(out, name) is None:
                setattr(out, name, getattr(other, name))
        out.expressions = out.expressions or other.expressions
    return out


def scattered(parts, count):
    """One Reading of `count` images from those of different people: [(row numbers, Reading),
    …]."""
    first = parts[0][1]
    out = Reading(first.aus, presence_aus=first.presence_aus, expressions=first.expressions)
    of_aus = [name for _, *arrays in BY_AU for name in arrays]
    for name in (*of_aus, "valence_arousal", "expression", "features", "real"):
        if getattr(first, name) is None:
            continue
        shape = () if name == "real" else getattr(first, name).shape[-1:]
        values = np.full((count, *shape), np.nan)
        for rows, part in parts:
            values[rows] = getattr(part, name)
        setattr(out, name, values)
    for _, _, name in BY_AU:
        limits = getattr(out, name)
        if limits is not None and (limits == limits[0]).all():
            setattr(out, name, limits[0])
    return out


def has_labels(data, outputs):
    """(whether valence and arousal, whether expressions can be compared)."""
    return ("valence_arousal" in outputs and bool(set(labels.VALENCE_AROUSAL) & set(data.columns)),
            "expression" in outputs and "expression" in data.columns)
