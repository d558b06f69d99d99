"""How good a sampler's images are: do they show what was asked, do they differ, are they new?

All is measured at the samples' size; real images are brought to it first. A *reader* is a
classifier that the sampler's training has not seen; f(x) is an image's place in an identity
embedding (lib.evaluation.identity), and distances there are d = 1 - cos(f, f').

    condition  what the reader reads in the samples against what was asked, beside the same of real
               images. An expression's accuracy is the mean over classes of the share read rightly,
               so that samples and real images may have different shares of classes
    entropy    of the classes that the reader names, in natural logarithms, divided by log E: 1 is
               all alike often
    diversity  mean distance of two samples of one class, divided by that of held-out real images
    nearest    median distance of a sample to the nearest training image, divided by that of
               held-out real images; far below 1, the sampler repeats its training images
    frechet    Fréchet distance of two Gaussians fitted to a classifier's features, |m - m'|² +
               Tr(C + C' - 2 √(CC')), of samples and held-out real images. It depends on the
               classifier, and is FID only with Inception's
    collapse   `spread` and `nearest_other`, see `collapse`
"""
import numpy as np

from lib import images, onnx_runtime
from lib.cli import BadInput, note
from lib.evaluation import bootstrap, classifier_report, metrics
from lib.labels import VALENCE_AROUSAL

# side of the small images in which collapse is looked for: noise is averaged away there
COARSE = 8
# share of real images' `spread` or `nearest_other` from which on samples are not collapsed
COLLAPSED = 0.5
COMPARED = 64       # samples, and real images, that collapse is looked for in
LEAST_OF_CLASS = 2  # images of a class that have a distance among them
LEAST = 3           # images of a set, for a spread and a nearest other


def distances(one, other):
    """1 - cos between rows: float [N,F], [M,F] -> [N,M]."""
    unit = [features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-9)
            for features in (one, other)]
    return 1 - unit[0] @ unit[1].T


def within(features, classes):
    """Mean distance of two images of one class, averaged over classes; NaN where no class has two
    images.

    features: float [N,F]; classes: N texts."""
    classes, means = np.asarray(classes), []
    for name in dict.fromkeys(classes):
        part = features[classes == name]
        if len(part) >= LEAST_OF_CLASS:
            means.append(distances(part, part)[np.triu_indices(len(part), 1)].mean())
    return float(np.mean(means)) if means else float("nan")


def nearest(features, training, batch=1000):
    """Median over rows of the distance to the nearest training row: [N,F], [T,F] -> float."""
    parts = [distances(features[start:start + batch], training).min(1)
             for start in range(0, len(features), batch)]
    return float(np.median(np.concatenate(parts)))


def frechet(one, other):
    """Fréchet distance of the Gaussians fitted to rows: [N,F], [M,F] -> float (0 for equal
    moments)."""
    difference = one.mean(0) - other.mean(0)
    first, second = (np.cov(rows, rowvar=False).astype(np.float64) for rows in (one, other))
    # Tr √(C C') is the sum of the square roots of the eigenvalues of √C C' √C, which is symmetric
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return float(difference @ difference + np.trace(first) + np.trace(second) - 2 * cross)


def entropy(probabilities):
    """Entropy of the classes named most likely in N images, divided by log E: [N,E] -> [0, 1]."""
    counts = np.bincount(probabilities.argmax(1), minlength=probabilities.shape[1])
    if len(counts) < 2:
        return float("nan")  # log 1 is 0
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(probabilities.shape[1]) + 0.0)


def coarse(pictures):
    """uint8 [N,S,S,3] -> float32 [N, COARSE · COARSE · 3], means of blocks (the edge is cut to
    fit)."""
    block = max(1, pictures.shape[1] // COARSE)
    side = block * min(COARSE, pictures.shape[1])
    cut = pictures[:, :side, :side].astype(np.float32)
    count = side // block
    return cut.reshape(len(cut), count, block, count, block, 3).mean((2, 4)).reshape(len(cut), -1)


def spread_and_gap(pictures):
    """(mean distance of two images, median distance of an image to the nearest other), Euclidean,
    of coarse images."""
    rows = coarse(pictures).astype(np.float64)
    squares = (rows**2).sum(1)
    apart = np.sqrt((squares[:, None] + squares[None] - 2 * rows @ rows.T).clip(0))  # [N,N]
    every = apart[np.triu_indices(len(rows), 1)]
    np.fill_diagonal(apart, np.inf)
    return float(every.mean()), float(np.median(apart.min(1)))


def of_different_people(subjects, most):
    """Rows int64 [n], n <= most, evenly from those that begin a new person; without names all are
    different people, and from fewer than three people come all rows.

    subjects: N texts, '' unknown."""
    of_image, count = bootstrap.persons(subjects)
    first = np.unique(of_image, return_index=True)[1]
    if count < 3:  # nothing to measure with
        first = np.arange(len(of_image))
    return first[np.linspace(0, len(first) - 1, min(most, len(first))).astype(int)]


def collapse(sampled, real):
    """{"spread", "nearest_other"}: of samples, divided by those of as many real images; and, as
    `collapsed`, whether one of them is below COLLAPSED.

    A constant image has neither spread nor gap. A few prototypes, noise added or not, have some
    spread but hardly a gap to the nearest other sample. sampled, real: uint8 [N,S,S,3], three
    images or more; real ones of different people, since two frames of one session are nearly one
    image, and with those for a measure noisy prototypes pass."""
    count = min(len(sampled), len(real))
    pick = [np.linspace(0, len(part) - 1, count).astype(int) for part in (sampled, real)]
    ours, theirs = spread_and_gap(sampled[pick[0]]), spread_and_gap(real[pick[1]])
    spread, gap = (mine / max(true, 1e-9) for mine, true in zip(ours, theirs))
    return {"spread": spread, "nearest_other": gap, "collapsed": min(spread, gap) < COLLAPSED}


def load(data, size=None):
    """A manifest's images, uint8 [N,size,size,3]."""
    return np.asarray(images.load_all(data.images(), size))


def condition(reader, data, outputs):
    """What the reader reads in a manifest's images against its columns: a dict of the sections
    that both have."""
    out = {}
    if reader.expressions and any(data.text("expression")):
        section = classifier_report.expression_section(data.text("expression"),
                                                       outputs["expression"], reader.expressions)
        known = [k for k, name in enumerate(data.text("expression")) if name in reader.expressions]
        asked = np.array([reader.expressions.index(data.text("expression")[k]) for k in known])
        right = outputs["expression"][known].argmax(1) == asked
        recalls = {reader.expressions[k]: float(right[asked == k].mean()) for k in np.unique(asked)}
        out["expression"] = {"mean_recall": float(np.mean(list(recalls.values()))),
                             "recall": recalls, **section}
    shared = [name for name in reader.aus if name in data.columns and any(data.columns[name])]
    if shared and {"au", "au_level"} & set(outputs):
        columns = [reader.aus.index(name) for name in shared]
        scores = onnx_runtime.au_scores(reader, outputs)[:, columns]
        values = {name: metrics.pcc(data.numbers(name), scores[:, k])
                  for k, name in enumerate(shared)}
        defined = [value for value in values.values() if value is not None and value == value]
        out["au"] = {"pcc": values, "mean_pcc": float(np.mean(defined)) if defined else None}
    if "valence_arousal" in outputs and all(any(data.text(name)) for name in VALENCE_AROUSAL):
        truth = np.stack([data.numbers(name) for name in VALENCE_AROUSAL], 1)
        out["va"] = classifier_report.va_section(truth, outputs["valence_arousal"])
    return out


def features(model, pictures, batch):
    """float64 [N,F] of a model that gives `features`; BadInput for one that does not."""
    if "features" not in model.outputs:
        raise BadInput(f"{model.path}: gives no `features` (it has {', '.join(model.outputs)}); "
                       "give a classifier exported by export_onnx.py, or an identity embedding "
                       "(python -m lib.evaluation.identity)")
    found = model.predict(pictures, batch, what="features", outputs=["features"])
    return found["features"].astype(np.float64)


def measure(samples, real, training, reader, identity, batch=64, inception=None):
    """The report's section `samples`.

    samples, real, training: manifests (of generated, held-out real and training images); reader,
    identity, inception: lib.onnx_runtime.Model, inception None for no FID."""
    for data in (samples, real, training):
        if len(data) < LEAST:
            raise BadInput(f"{data.name}: has {len(data)} image{'s' * (len(data) > 1)}; how much "
                           f"images differ needs {LEAST} or more")
    pictures = load(samples)
    held_out, learnt = load(real, pictures.shape[1]), load(training, pictures.shape[1])
    read = [reader.predict(part, batch, what="reading") for part in (pictures, held_out)]
    shown = [condition(reader, data, outputs) for data, outputs in zip((samples, real), read)]
    out = {"n": len(samples), "n_real": len(real), "n_training": len(training),
           "size": pictures.shape[1], "condition": shown[0], "condition_of_real": shown[1]}
    if "expression" in shown[0] and "expression" in shown[1]:
        out["accuracy_ratio"] = metrics.ratio(*(part["expression"]["mean_recall"]
                                                for part in shown))
    if reader.expressions:
        out["class_entropy"] = {"samples": entropy(read[0]["expression"]),
                                "real": entropy(read[1]["expression"])}
    place, of_real, of_training = (features(identity, part, batch)
                                   for part in (pictures, held_out, learnt))
    classes = [data.text("expression") for data in (samples, real)]
    if not any(classes[0]):  # unconditional: all are one class
        classes = [[""] * len(names) for names in classes]
    spread = [within(rows, names) for rows, names in zip((place, of_real), classes)]
    gap = [nearest(rows, of_training) for rows in (place, of_real)]
    out["diversity"] = {"samples": spread[0], "real": spread[1], "ratio": metrics.ratio(*spread)}
    out["nearest_training"] = {"samples": gap[0], "real": gap[1], "ratio": metrics.ratio(*gap)}
    name = "fid" if inception else "frechet"
    model = inception or reader
    rows = [features(model, part, batch) for part in (pictures, held_out, learnt)]
    if min(map(len, rows)) < rows[0].shape[1]:
        note(f"{name}: fewer images than features ({rows[0].shape[1]}); it is too high, "
             "compare equal numbers only")
    out[name] = {"features_of": model.path, "samples": frechet(rows[0], rows[1]),
                 "training": frechet(rows[2], rows[1])}
    out["collapse"] = collapse(pictures,
                               held_out[of_different_people(real.text("subject"), COMPARED)])
    return out


def sheet(samples, columns=16):
    """A contact sheet, one row a class (or rows of 16), uint8 [H,W,3]."""
    pictures, names = load(samples), samples.text("expression")
    order = sorted(set(names))
    rows = [[pictures[k] for k, name in enumerate(names) if name == wanted][:columns]
            for wanted in order]
    if len(order) < 2:
        rows = [list(pictures[start:start + columns])
                for start in range(0, min(len(pictures), 128), columns)]
    return images.sheet(rows, scale=2 if pictures.shape[1] < 64 else 1)
