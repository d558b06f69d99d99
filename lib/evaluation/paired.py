"""Files of `evaluate.py --predictions` side by side: two of the same images, or the folds of one
experiment.

    difference_table([a], [b])  a - b on the images that both have, by a paired bootstrap over
                                people; of several files a side (seeds), their mean
    fold_table([f1, f2, …])     each fold, the mean over folds, and all folds pooled into one test
                                set

A published table of folds has either of the last two; they differ, as F1 and ICC are no means over
images.
"""
import os
from dataclasses import dataclass

import numpy as np

from lib import labels, manifest
from lib.cli import BadInput, note
from lib.evaluation import bootstrap, gains, intervals
from lib.evaluation.comparison import markdown, spread

NOT_IN_PER_CENT = ("ICC", "PCC", "CCC", "MAE")  # beginnings of headings


@dataclass
class Predictions:
    """One file. Arrays are NaN where unlabelled; what a file lacks has no columns."""
    name: str
    images: list             # absolute references, N
    subjects: list           # N names
    aus: list
    truth: np.ndarray        # [N,A] levels, NaN in rows with an occurrence
    scores: np.ndarray       # [N,A]
    on: np.ndarray           # [N,A] in {0, 1, NaN}: truly present
    said: np.ndarray         # [N,A] in {0, 1}: predicted as present
    va: np.ndarray           # [N,2,2]: (truth, prediction) of valence and arousal; [N,0,2] without
    expression: list         # N (truth, prediction); empty without

    @classmethod
    def read(cls, path):
        """BadInput when the file is not one of --predictions."""
        data = manifest.read(path)
        aus = [name for name in data.au_names if f"true_present_{name}" in data.columns]
        dimensions = [name for name in labels.VALENCE_AROUSAL if f"true_{name}" in data.columns]
        expression = list(zip(data.text("true_expression"), data.text("expression")))
        if not (aus or dimensions or any(map(any, expression))):
            raise BadInput(f"{path}: has no column true_present_AUxx, true_valence or "
                           "true_expression; write it with evaluate.py --predictions")
        truth = columns(data, "true_", aus)
        truth[data.occurrence()] = np.nan
        va = np.stack([columns(data, "true_", dimensions), columns(data, "", dimensions)], 2)
        return cls(str(path), list(map(os.path.abspath, data.images())), data.text("subject"), aus,
                   truth, columns(data, "", aus), columns(data, "true_present_", aus),
                   columns(data, "present_", aus), va,
                   expression if any(map(any, expression)) else [])

    def take(self, rows):
        """The same of some rows."""
        return Predictions(self.name, [self.images[i] for i in rows],
                           [self.subjects[i] for i in rows], self.aus, self.truth[rows],
                           self.scores[rows], self.on[rows], self.said[rows], self.va[rows],
                           [self.expression[i] for i in rows] if self.expression else [])


def columns(data, prefix, names):
    """Numeric columns `prefix + name`, float64 [N,K]."""
    values = [data.numbers(prefix + name).astype(np.float64) for name in names]
    return np.stack(values, 1) if values else np.zeros((len(data), 0))


def joined(files):
    """Several files as one, of the AUs that all have; BadInput where an image is in two."""
    aus = [name for name in files[0].aus if all(name in file.aus for file in files)]
    picked = [[file.aus.index(name) for name in aus] for file in files]
    images = [image for file in files for image in file.images]
    if len(set(images)) < len(images):
        raise BadInput(f"{files[0].name} and {files[-1].name}: an image is in two folds; give the "
                       "predictions of separate test sets, or compare two files with --paired")
    stacked = {name: np.concatenate([getattr(file, name)[:, at] for file, at in zip(files, picked)])
               for name in ("truth", "scores", "on", "said")}
    pairs = min(file.va.shape[1] for file in files)
    return Predictions("pooled", images, [name for file in files for name in file.subjects], aus,
                       **stacked, va=np.concatenate([file.va[:, :pairs] for file in files]),
                       expression=[row for file in files for row in file.expression]
                                  if all(file.expression for file in files) else [])


def numbers(file, people):
    """{heading: values [B]} of each resample of the people of a file."""
    out = {}
    if file.aus:
        sums = people.resampled(bootstrap.detection_sums(people, file.on, file.said))
        per_au = bootstrap.detection_numbers(sums)
        level_sums = bootstrap.level_sums(people, file.truth, file.scores)
        levels = bootstrap.level_numbers(people.resampled(level_sums))
        out = {"F1": bootstrap.mean_over(per_au["f1"]),
               "FDR": bootstrap.detection_numbers(sums.sum(1))["fdr"],
               "AU accuracy": bootstrap.mean_over(per_au["accuracy"]),
               "ICC": bootstrap.mean_over(levels["icc"]),
               "PCC": bootstrap.mean_over(levels["pcc"]),
               "MAE": bootstrap.mean_over(levels["mae"])}
    if file.va.shape[1]:
        level_sums = bootstrap.level_sums(people, file.va[..., 0], file.va[..., 1])
        found = bootstrap.level_numbers(people.resampled(level_sums))
        out |= {f"CCC {name}": found["ccc"][:, k] for k, name in enumerate(labels.VALENCE_AROUSAL)}
    if file.expression:
        names = sorted({name for row in file.expression for name in row} - {""})
        truth, said = ([names.index(name) if name else -1 for name in side]
                       for side in zip(*file.expression))
        found = intervals.expression_resampled(truth, said, len(names), people)
        out |= {"expression accuracy": found["accuracy"], "expression macro F1": found["macro_f1"]}
    return {heading: values for heading, values in out.items() if not np.isnan(values).all()}


def scale_of(heading):
    """100 for shares, 1 for correlations and errors."""
    return 1 if heading.startswith(NOT_IN_PER_CENT) else 100


def point(file):
    """{heading: number} of a file as it is."""
    people = intervals.whole(bootstrap.People.of(file.subjects, 1))
    return {heading: float(values[0]) for heading, values in numbers(file, people).items()}


def difference_table(first, second):
    """Markdown: first - second files, with interval and p, on the images that all have.

    first, second: lists of paths, the seeds of two conditions. Each resample of people gives every
    file its numbers; those of a side are averaged, so the interval is that of people, for
    classifiers of these seeds."""
    sides = [[Predictions.read(path) for path in paths] for paths in (first, second)]
    sides = on_shared_images(sides, [*first, *second])
    people = bootstrap.People.of(sides[0][0].subjects)
    resampled = [averaged([numbers(file, people) for file in files]) for files in sides]
    points = [averaged([point(file) for file in files]) for files in sides]
    table = []
    for heading in (heading for heading in points[0] if heading in points[1]):
        scale = scale_of(heading)
        found = bootstrap.difference(resampled[0][heading], resampled[1][heading], people)
        low_high = found["interval"] and " to ".join(spread([bound], scale)
                                                     for bound in found["interval"])
        table.append([heading, *(spread([each[heading]], scale) for each in points),
                      spread([points[0][heading] - points[1][heading]], scale),
                      low_high or "undefined",
                      "undefined" if found["p"] is None else f"{found['p']:.3f}"])
    unit = {"subject": "people", "image": "images, as no subject is named"}[people.unit]
    one = sides[0][0]
    said = [f"{len(one.images)} images, {people.count} {unit}, {len(one.aus)} AUs. "
            "Shares in per cent; ICC, PCC, CCC and MAE as they are. Paired bootstrap over "
            f"{unit.split(',')[0]}, 1,000 resamples; p is two-sided."]
    if max(len(first), len(second)) > 1:
        said.append(f"First: the mean of {len(first)} files, second: of {len(second)}.")
    if one.aus and people.unit == "subject" and people.count > 1:
        said.append(gains.sentence(
            list(dict.fromkeys(one.subjects)),
            *(np.mean([gains.person_icc(people, file.truth, file.scores) for file in files], 0)
              for files in sides)
        ))
    return "\n".join([f"### {' '.join(first)} - {' '.join(second)}", "", *markdown(
        ["metric", "first", "second", "difference", "95 % interval", "p"], table), "", *said])


def averaged(found):
    """The mean of several {heading: values} over what all have."""
    return {heading: np.mean([each[heading] for each in found], 0)
            for heading in found[0] if all(heading in each for each in found)}


def on_shared_images(sides, paths):
    """The files of both sides less images and AUs that one of them lacks, all in the order of the
    first."""
    files = [file for side in sides for file in side]
    places = [{image: row for row, image in enumerate(file.images)} for file in files]
    images = [image for image in files[0].images if all(image in place for place in places)]
    if not images:
        raise BadInput(f"{paths[0]} and {paths[-1]} have no image in common; "
                       "compare predictions on one test set")
    most = max(files, key=lambda file: len(file.images))
    if len(images) < len(most.images):
        note(f"compared on {len(images)} images; {most.name} has {len(most.images)}")
    taken = [file.take([place[image] for image in images]) for file, place in zip(files, places)]
    taken = [only(file, taken) for file in taken]
    return [taken[:len(sides[0])], taken[len(sides[0]):]]


def only(file, files):
    """A file less the AUs that one of the files lacks."""
    aus = [name for name in files[0].aus if all(name in other.aus for other in files)]
    at = [file.aus.index(name) for name in aus]
    return Predictions(file.name, file.images, file.subjects, aus, file.truth[:, at],
                       file.scores[:, at], file.on[:, at], file.said[:, at], file.va,
                       file.expression)


def fold_table(paths):
    """Markdown: a row a fold, their mean ± standard deviation, and the folds pooled, with
    intervals."""
    files = [Predictions.read(path) for path in paths]
    whole = joined(files)
    people = bootstrap.People.of(whole.subjects)
    resampled, pooled = numbers(whole, people), point(whole)
    points = [point(file) for file in files]
    table = [[file.name, str(len(file.images)),
              *(spread([each.get(heading)], scale_of(heading)) for heading in pooled)]
             for file, each in zip(files, points)]
    table.append(["mean of folds", str(len(whole.images)), *(
        spread([each.get(heading) for each in points], scale_of(heading)) for heading in pooled)])
    table.append(["pooled", str(len(whole.images)), *(
        spread([value], scale_of(heading)) for heading, value in pooled.items())])
    bounds = bootstrap.intervals(resampled, people)
    table.append(["pooled, 95 % interval", "",
                  *(" to ".join(spread([bound], scale_of(heading)) for bound in bounds[heading])
                    if bounds.get(heading) else "undefined" for heading in pooled)])
    return "\n".join([
        f"### {len(files)} folds", "", *markdown(["fold", "images", *pooled], table), "",
        f"{people.count} {people.unit}s, {len(whole.aus)} AUs. Shares in per cent, mean ± sd over "
        f"folds. Pooled: all folds as one test set; intervals are bootstrapped over its "
        f"{people.unit}s."
    ])
