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
from dataclasses import dataclass, replace

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
    # [N,2,2]: (truth, prediction) of valence and arousal, NaN where one is lacking; [N,0,2] without
    va: np.ndarray
    expression: list         # N (truth, prediction); empty without

    @classmethod
    def read(cls, path):
        """BadInput when the file is not one of --predictions."""
        data = manifest.read(path)
        aus = [name for name in data.au_names if f"true_present_{name}" in data.columns]
        has_va = any(f"true_{name}" in data.columns for name in labels.VALENCE_AROUSAL)
        # always both, so that valence stands first in every file
        dimensions = labels.VALENCE_AROUSAL if has_va else ()
        # as the report does, leave out expressions that the model does not know
        truths = ["" if known == "0" else truth for truth, known
                  in zip(data.text("true_expression"), data.text("expression_known"))]
        expression = list(zip(truths, data.text("expression")))
        if not (aus or has_va or any(map(any, expression))):
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
    """Several files of the same AUs as one; BadInput where an image is in two."""
    owner = {}
    for file in files:
        for image in set(file.images):
            if image in owner:
                raise BadInput(f"{owner[image]} and {file.name}: {image} is in two folds; give the "
                               "predictions of separate test sets, or compare two files with "
                               "--paired")
            owner[image] = file.name
    stacked = {name: np.concatenate([getattr(file, name) for file in files])
               for name in ("truth", "scores", "on", "said")}
    pairs = min(file.va.shape[1] for file in files)
    return Predictions("pooled", [image for file in files for image in file.images],
                       [name for file in files for name in file.subjects], files[0].aus,
                       **stacked, va=np.concatenate([file.va[:, :pairs] for file in files]),
                       expression=[row for file in files for row in file.expression]
                                  if all(file.expression for file in files) else [])


def numbers(file, people):
    """{heading: values [B]} of each resample of the people of a file."""
    return numbers_of_all([file], people)[0]


def numbers_of_all(files, people):
    """The same of several files on the same images and AUs, {heading: values [B]} each.

    A mean over AUs is over those that have the number in all of the files: an AU that nobody shows
    has no F1 where a file never names it, and an F1 of 0 where another file names it once."""
    found = [values_of(file, people) for file in files]
    per_au = [heading for heading, values in found[0].items() if values.ndim == 2]
    for heading in per_au:
        known = ~np.isnan([each[heading] for each in found]).any(0)  # [B,A]
        for each in found:
            each[heading] = bootstrap.mean_over(np.where(known, each[heading], np.nan))
    return [{heading: values for heading, values in each.items() if not np.isnan(values).all()}
            for each in found]


def values_of(file, people):
    """{heading: values} of each resample: [B,A] where they are to be averaged over AUs, else
    [B]."""
    out = {}
    if file.aus:
        sums = people.resampled(bootstrap.detection_sums(people, file.on, file.said))
        per_au = bootstrap.detection_numbers(sums)
        level_sums = bootstrap.level_sums(people, file.truth, file.scores)
        levels = bootstrap.level_numbers(people.resampled(level_sums))
        out = {"F1": per_au["f1"], "FDR": bootstrap.detection_numbers(sums.sum(1))["fdr"],
               "AU accuracy": per_au["accuracy"], "ICC": levels["icc"], "PCC": levels["pcc"],
               "MAE": levels["mae"]}
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
    return out


def scale_of(heading):
    """100 for shares, 1 for correlations and errors."""
    return 1 if heading.startswith(NOT_IN_PER_CENT) else 100


def point(file):
    """{heading: number} of a file as it is."""
    return points([file])[0]


def points(files):
    """{heading: number} of each of several files on the same images and AUs (numbers_of_all)."""
    people = intervals.whole(bootstrap.People.of(files[0].subjects, 1))
    return [{heading: float(values[0]) for heading, values in each.items()}
            for each in numbers_of_all(files, people)]


def undefined(files):
    """{heading: AUs that its mean leaves out, as a file has no such number of them}."""
    people = intervals.whole(bootstrap.People.of(files[0].subjects, 1))
    found = [values_of(file, people) for file in files]
    lacking = {heading: np.isnan([each[heading][0] for each in found]).any(0)
               for heading, values in found[0].items() if values.ndim == 2}
    # a heading that has no AU at all does not stand in the table
    return {heading: [name for name, out in zip(files[0].aus, lost) if out]
            for heading, lost in lacking.items() if lost.any() and not lost.all()}


def difference_table(first, second):
    """Markdown: first - second files, with interval and p, on the images that all have.

    first, second: lists of paths, the seeds of two conditions. Each resample of people gives every
    file its numbers; those of a side are averaged, so the interval is that of people, for
    classifiers of these seeds."""
    sides = [[Predictions.read(path) for path in paths] for paths in (first, second)]
    sides = on_shared_images(sides, [*first, *second])
    files, one = [*sides[0], *sides[1]], sides[0][0]
    people = bootstrap.People.of(one.subjects)
    resampled, whole = ([averaged(found[:len(first)]), averaged(found[len(first):])]
                        for found in (numbers_of_all(files, people), points(files)))
    table = []
    for heading in (heading for heading in whole[0] if heading in whole[1]):
        scale = scale_of(heading)
        found = bootstrap.difference(resampled[0][heading], resampled[1][heading], people)
        low_high = found["interval"] and " to ".join(spread([bound], scale)
                                                     for bound in found["interval"])
        table.append([heading, *(spread([each[heading]], scale) for each in whole),
                      spread([whole[0][heading] - whole[1][heading]], scale),
                      low_high or "undefined",
                      "undefined" if found["p"] is None else f"{found['p']:.3f}"])
    if not table:
        raise BadInput(f"{first[0]} and {second[0]} have no labels in common that are known; "
                       "compare predictions of the same labels")
    return "\n".join([f"### {' '.join(first)} - {' '.join(second)}", "", *markdown(
        ["metric", "first", "second", "difference", "95 % interval", "p"], table), "",
        *below(sides, people)])


def below(sides, people):
    """The sentences below a table of differences."""
    files, one = [*sides[0], *sides[1]], sides[0][0]
    drawn = {"subject": "people", "image": "images"}[people.unit]
    said = [f"{len(one.images)} images, {gains.counted(people, one.subjects)}, {len(one.aus)} AUs. "
            "Shares in per cent; ICC, PCC, CCC and MAE as they are. Paired bootstrap over "
            f"{drawn}, 1,000 resamples; p is two-sided."]
    if len(files) > 2:
        said.append(f"First: the mean of {len(sides[0])} files, second: of {len(sides[1])}.")
    if lacking := undefined(files):
        said.append("Means leave out AUs that a file does not define: " + "; ".join(
            f"{heading} of {', '.join(names)}" for heading, names in lacking.items()) + ".")
    if one.aus and people.unit == "subject" and people.count > 1:
        said += gains.sentence(
            gains.names(people, one.subjects),
            *(np.mean([gains.person_icc(people, file.truth, file.scores) for file in files], 0)
              for files in sides)
        )
    return said


def averaged(found):
    """The mean of several {heading: values} over what all have."""
    return {heading: np.mean([each[heading] for each in found], 0)
            for heading in found[0] if all(heading in each for each in found)}


def on_shared_images(sides, paths):
    """The files of both sides less images and AUs that one of them lacks, all in the order of the
    first; BadInput where they differ in the truth."""
    files = [file for side in sides for file in side]
    places = [{image: row for row, image in enumerate(numbered(file.images))} for file in files]
    images = [image for image in places[0] if all(image in place for place in places)]
    if not images:
        raise BadInput(f"{paths[0]} and {paths[-1]} have no image in common; "
                       "compare predictions on one test set")
    most = max(files, key=lambda file: len(file.images))
    if len(images) < len(most.images):
        note(f"compared on {len(images)} images; {most.name} has {len(most.images)}")
    taken = [file.take([place[image] for image in images]) for file, place in zip(files, places)]
    taken = alike(taken)
    return [taken[:len(sides[0])], taken[len(sides[0]):]]


def numbered(images):
    """(image, how often it stood there before) of each row: a set may have an image twice."""
    times, out = {}, []
    for image in images:
        times[image] = times.get(image, -1) + 1
        out.append((image, times[image]))
    return out


def alike(files):
    """Files on the same images less AUs that one of them lacks; BadInput where they were not
    compared with the same truth: then a difference would be that of the truths."""
    files = with_shared_expressions([only(file, files) for file in files])
    first = files[0]
    for file in files[1:]:
        pairs = [(first.truth, file.truth), (first.on, file.on)]
        if first.va.shape[1] and file.va.shape[1]:
            pairs.append((first.va[..., 0], file.va[..., 0]))
        if first.expression and file.expression:
            pairs.append([np.array([truth for truth, _ in each.expression])[:, None]
                          for each in (first, file)])
        for one, other in pairs:
            # one that is NaN, unlabelled, in both is the same
            unlike = ((one != other) & ((one == one) | (other == other))).any(1)
            if unlike.any():
                row = int(unlike.argmax())
                raise BadInput(
                    f"{file.name}: has another truth than {first.name} for {first.images[row]} "
                    f"({int(unlike.sum())} such images); evaluate both with the same --test "
                    "and --present"
                )
    return files


def with_shared_expressions(files):
    """The files, where all have expressions, without those of images that one of them lacks: a
    model may not know all."""
    if not all(file.expression for file in files):
        return files
    known = [all(truth for truth, _ in rows) for rows in zip(*(file.expression for file in files))]
    return [replace(file, expression=[(truth if there else "", said) for there, (truth, said)
                                      in zip(known, file.expression)]) for file in files]


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
    read = [Predictions.read(path) for path in paths]
    files = [only(file, read) for file in read]
    whole = joined(files)
    people = bootstrap.People.of(whole.subjects)
    resampled, pooled = numbers(whole, people), point(whole)
    if not pooled:
        raise BadInput(f"{paths[0]} and {paths[-1]} have no labels in common that are known; "
                       "give folds of one experiment")
    if lost := [name for name in dict.fromkeys(name for file in read for name in file.aus)
                if name not in whole.aus]:
        note(f"{' '.join(lost)}: not in all folds; left out of all")
    each_fold = [point(file) for file in files]
    table = [[file.name, str(len(file.images)),
              *(spread([each.get(heading)], scale_of(heading)) for heading in pooled)]
             for file, each in zip(files, each_fold)]
    table.append(["mean of folds", str(len(whole.images)), *(
        spread([each.get(heading) for each in each_fold], scale_of(heading))
        for heading in pooled)])
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
