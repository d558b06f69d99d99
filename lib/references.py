"""Reference images: a person's neutral or mean image, which a classifier compares a face with.

    python -m lib.references test.csv --by mean --out test_mean.csv
    python -m lib.references test.csv --by least --model generic.onnx --out test_least.csv
    python -m lib.references test.csv --by labels --out test_oracle.csv

The column `reference` of the result names each row's reference image. `mean` writes the mean image
of each person beside --out. `least` takes the person's frame of which a model reads the least AU
activity. `labels` takes the frame whose own labels are least, among a person's frames with a label
of every AU that the person has labels of; where no frame has all, by the mean of what is labelled.
With the labels of test people that is an oracle, not a method.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import images, labels, manifest
from lib.cli import BadInput, arg, note, parse, run

COLUMN = "reference"
IDENTITY = ("path", "subject", "session", "registration")


@dataclass
class Options:
    manifest: str = arg(args=["manifest"], metavar="FILE.csv", help="the images")
    by: str = arg(
        help="how each person's reference is chosen",
        required=True,
        choices=["mean", "least", "labels"],
    )
    out: str = arg(
        help="where the manifest with the column reference goes",
        required=True,
        metavar="FILE.csv",
        writes="file",
    )
    model: str = arg("", help="AU classifier, for --by least", metavar="FILE.onnx")
    size: int = arg(0, help="side of mean images in pixels (0: that of the first image)", least=0)
    drop: bool = arg(False, help="leave the chosen frames out of the result")
    frames: str = arg(
        "",
        help="also write the chosen frames, one a person, without labels",
        metavar="FILE.csv",
        writes="file",
    )

    def __post_init__(self):
        if (self.by == "least") != bool(self.model):
            raise ValueError("--by least, and nothing else, needs --model FILE.onnx")
        if (self.drop or self.frames) and self.by == "mean":
            raise ValueError("--drop and --frames: a mean image is no row of the manifest")


def of_rows(data, size, wanted_by="the model"):
    """The reference of each row of a manifest: N paths or images uint8 [S,S,3].

    The column `reference`; where its cell is empty or the column absent, the mean of the images
    that the manifest has of the row's subject. BadInput where a row has neither reference nor
    subject."""
    cells, subjects = data.text(COLUMN), data.text("subject")
    for row, (cell, subject) in enumerate(zip(cells, subjects), 2):
        if not cell and not subject:
            raise BadInput(
                f"{data.name}: row {row}: {wanted_by} needs a person's reference image; fill in "
                "the "
                "column reference, or subject for the mean of each person's images"
            )
    means = mean_images(data, {subject for cell, subject in zip(cells, subjects) if not cell}, size)
    return [
        manifest.reference(data.folder, cell) if cell else means[subject]
        for cell, subject in zip(cells, subjects)
    ]


def mean_images(data, wanted, size):
    """{subject: mean image uint8 [S,S,3]} for the wanted subjects."""
    sums = {}
    for subject, image in zip(data.text("subject"), data.images()):
        if subject in wanted:
            total, count = sums.get(subject, (0, 0))
            sums[subject] = (
                total + images.resize(images.load(image), size).astype(np.uint32),
                count + 1,
            )
    return {
        subject: (total / count).round().astype(np.uint8)
        for subject, (total, count) in sums.items()
    }


def activity(data, options):
    """How much the AUs of each row show, float [N]: as a model reads them, or as the labels say
    (NaN unknown, or not to be compared with the person's others)."""
    if options.by == "labels":
        if not data.au_names:
            raise BadInput(
                f"{data.name}: has no AU columns for --by labels; say --by mean or least"
            )
        return labelled_activity(data)
    from lib.onnx_runtime import Model, au_scores, reference_images

    model = Model.open(options.model, kind="classifier")
    outputs = model.predict(data.images(), what="reading", reference=reference_images(model, data))
    return au_scores(model, outputs).sum(1)


def labelled_activity(data):
    """How much the labels of each row say, float [N], for comparisons of one person's rows
    (lib.labels.activity)."""
    aus, subjects = data.aus(), np.array(data.text("subject"))
    amount, partial = np.full(len(data), np.nan), 0
    order = np.argsort(subjects, kind="stable")
    _, starts = np.unique(subjects[order], return_index=True)
    for rows in np.split(order, starts[1:]):
        if subjects[rows[0]]:
            amount[rows], summed = labels.activity(aus[rows])
            partial += not summed and not np.isnan(amount[rows]).all()
    if partial:
        note(f"{data.name}: {partial} people have no frame with labels of all their AUs; theirs is "
             "chosen by the mean of the AUs that are labelled")
    return amount


def least_active(subjects, amount):
    """{subject: row of the least activity}, the first of equals; a subject whose rows are all NaN
    is left out."""
    chosen = {}
    for row, (subject, value) in enumerate(zip(subjects, amount)):
        if (
            subject
            and value == value
            and (subject not in chosen or value < amount[chosen[subject]])
        ):
            chosen[subject] = row
    return chosen


def write_means(data, options):
    """Write each person's mean image into a pack beside --out; {subject: cell of `reference`}."""
    size = options.size or len(images.load(data.images()[0]))
    means = mean_images(data, set(data.text("subject")) - {""}, size)
    pack = Path(options.out).with_name(f"{Path(options.out).stem}_mean.npy")
    images.save_pack(pack, np.stack(list(means.values())))
    return {subject: f"{pack}#{i}" for i, subject in enumerate(means)}


def write_frames(chosen, path):
    """Write the chosen frames: what identifies them, and no label, which a test person does not
    give."""
    kept = {name: chosen.columns[name] for name in IDENTITY if name in chosen.columns}
    folder = Path(path).absolute().parent
    kept["path"] = [relative(image, folder) for image in chosen.images()]
    manifest.write(path, kept)


def main():
    options = parse(Options, __doc__)
    data = manifest.read(options.manifest)
    manifest.refuse_overwriting([options.manifest], options.out)
    subjects = data.text("subject")
    if not any(subjects):
        raise BadInput(
            f"{data.name}: names no subjects; a reference is one person's, "
            "so fill in the column subject"
        )
    keep = np.ones(len(data), bool)
    if options.by == "mean":
        cells = {
            subject: str(Path(place).absolute())
            for subject, place in write_means(data, options).items()
        }
    else:
        chosen, references = least_active(subjects, activity(data, options)), data.images()
        if not chosen:
            raise BadInput(f"{data.name}: no row has a subject and a label of an AU, so nobody's "
                           "frame can be chosen; label it, or say --by mean")
        if options.by == "labels":
            note(f"{options.out}: chosen by labels; for people of a test set that is an oracle")
        cells = {subject: references[row] for subject, row in chosen.items()}
        if options.drop:
            keep[list(chosen.values())] = False
        if options.frames:
            write_frames(data.take(list(chosen.values())), options.frames)
    data.columns[COLUMN] = [relative(cells.get(subject, ""), data.folder) for subject in subjects]
    if lacking := sum(not cell for cell in data.columns[COLUMN]):
        note(
            f"{data.name}: {lacking} of {len(data)} rows have no reference: "
            "no subject, or no labels"
        )
    data.take(keep).write(options.out)


def relative(path, folder):
    """A path as a cell of a manifest in `folder`; '' stays empty."""
    import os

    return path and os.path.relpath(path, folder)


if __name__ == "__main__":
    run(main)
