"""t-SNE of the features of one person's images, by the generic model and by the person's own
(Niinuma et al. 2022, figure 8 B).

    python -m lib.evaluation.feature_maps generic.onnx 'personal/{subject}.onnx' --test test.csv
           --out DIR

DIR/index.html has one picture: a row an AU, coloured by its true level, the generic model at the
left and the personal one at the right. t-SNE keeps who is near whom and nothing else, so above each
map stands a number of the features themselves: the correlation of an image's level with the mean
level of its five nearest images.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import manifest
from lib.cli import BadInput, arg, log, parse, run
from lib.evaluation import metrics

NEAREST = 5  # images whose levels are compared with an image's own
AUS = 4  # AUs shown where none is named
LEAST = 8  # images of a person


@dataclass
class Options:
    generic: str = arg(args=["generic"], metavar="GENERIC.onnx", help="the generic classifier")
    personal: str = arg(
        args=["personal"],
        metavar="'DIR/{subject}.onnx'",
        help="the personal classifiers, a file a person",
    )
    test: str = arg(
        required=True, metavar="FILE.csv", help="images with subject and true AU levels"
    )
    out: str = arg(required=True, metavar="DIR", help="folder of the page", writes="folder")
    subject: str = arg(
        "", help="whose images are shown [the person with most active AUs]", metavar="NAME"
    )
    aus: list[str] = arg(
        [], nargs="+", metavar="AU", help="which AUs [the four that vary most in these images]"
    )

    def __post_init__(self):
        from lib.labels import parse_au

        self.aus = [parse_au(name) for name in self.aus]


def tsne(features):
    """Places [N,2] of features [N,F] in which near rows stay near."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # scikit-learn's own

    values = np.asarray(features, np.float64)
    # its threads wait for each other at every step, long on a busy machine
    with threadpool_limits(1):
        return TSNE(
            random_state=0,
            perplexity=min(30, (len(values) - 1) / 3),
            init="random",
            max_iter=600,
        ).fit_transform(values)


def nearest_agree(features, levels, nearest=NEAREST):
    """How well features [N,F] sort images by level [N]: the correlation of a level with the mean
    level of the `nearest` other images; None where undefined. Images without a level are left
    out."""
    known = ~np.isnan(levels)
    features, levels = np.asarray(features, np.float64)[known], levels[known]
    if len(levels) <= nearest:
        return None
    distance = ((features[:, None] - features[None]) ** 2).sum(2)
    np.fill_diagonal(distance, np.inf)
    near = np.argsort(distance, 1, kind="stable")[:, :nearest]
    return metrics.pcc(levels, levels[near].mean(1))


def choose_subject(data, wanted):
    """The rows of the person shown, and the name; BadInput where there are too few."""
    subjects = np.array(data.text("subject"))
    if wanted:
        rows = np.flatnonzero(subjects == wanted)
        if len(rows) < LEAST:
            raise BadInput(
                f"{data.name}: has {len(rows)} images of subject {wanted!r}; "
                f"name a person with at least {LEAST}"
            )
        return rows, wanted
    names, codes, counts = np.unique(subjects, return_inverse=True, return_counts=True)
    active, labelled = activity(data.aus(), codes, counts)
    active[(labelled < LEAST) | (names == "")] = -1
    if active.max() < 0:
        raise BadInput(f"{data.name}: nobody has {LEAST} images with a label of an AU; "
                       "give more images a person")
    best = int(active.argmax())
    return np.flatnonzero(codes == best), str(names[best])


def activity(aus, codes, counts):
    """How much the AUs of each person show, float [P], and of how many images an AU is labelled,
    [P]. aus [N,A]: levels, NaN unlabelled; codes [N]: whose image it is; counts [P]: images.

    An AU counts with its mean level over the images that have its label, times all images of the
    person, so that an empty cell does not count as level 0."""
    known = ~np.isnan(aus)
    total = np.zeros(len(counts))
    for au, there in zip(aus.T, known.T):
        number = np.bincount(codes[there], minlength=len(counts))
        total += np.bincount(codes[there], au[there], len(counts)) / np.maximum(number, 1)
    return total * counts, np.bincount(codes, known.any(1), len(counts))


def choose_aus(data, wanted):
    """The AUs shown: those asked for, else those of most varied level among these images."""
    if missing := [name for name in wanted if name not in data.columns]:
        raise BadInput(f"{data.name}: has no column {missing[0]}; it has "
                       f"{', '.join(data.au_names) or 'no AU'}")
    if wanted:
        return wanted
    labelled = [name for name in data.au_names if not np.isnan(data.numbers(name)).all()]
    if not labelled:
        raise BadInput(f"{data.name}: has no AU level; give the test with its labels")
    spread = np.nanstd(data.aus(labelled), 0)
    return sorted(labelled[k] for k in np.argsort(-spread, kind="stable")[:AUS])


def features_of(path, data):
    """Features [N,F] that a model gives images; BadInput where it has none, or one for all."""
    from lib.evaluation import reading

    found = reading.Readers([path], "cpu", data).read(64, 0.5).features
    if found is None:
        raise BadInput(f"{path}: has no output `features`; export it again")
    if np.ptp(found, 0).max() < 1e-9:
        raise BadInput(f"{path}: gives all images the same features; train it longer")
    return found


def draw(path, maps, levels):
    """maps: title -> (places [N,2], features [N,F]); levels: AU -> [N], NaN (drawn grey) where
    unlabelled. Returns {(AU, title): how well the features sort}."""
    from lib.evaluation import plots

    figure, axes = plots.pyplot.subplots(
        len(levels), len(maps), figsize=(plots.WIDTH, 2.3 * len(levels) + 0.4),
        layout="constrained", squeeze=False,
    )
    agree = {}
    for row, (au, level) in zip(axes, levels.items()):
        for axis, (title, (places, features)) in zip(row, maps.items()):
            agree[au, title] = nearest_agree(features, level)
            shown = plots.scatter(axis, places, level, s=14, vmin=0, vmax=1)
            axis.set_title(f"{au}, {title}: {number(agree[au, title])}", fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
    bar = figure.colorbar(shown, ax=axes, shrink=0.6, label="true level / 5",
                          location="bottom", aspect=40)
    bar.ax.tick_params(labelsize=7)
    plots.save(figure, path)
    return agree


def number(value):
    """A correlation for people."""
    return "undefined" if value is None else f"{value:.2f}"


def write(options):
    """The page; returns {(AU, model): how well its features sort images}."""
    from lib.evaluation.page import Page

    data = manifest.read(options.test)
    rows, subject = choose_subject(data, options.subject)
    data = data.take(rows)
    aus = choose_aus(data, options.aus)
    maps = {}
    for title, path in (("generic", options.generic), ("personal", options.personal)):
        features = features_of(path, data)
        maps[title] = tsne(features), features
    levels = dict(zip(aus, data.aus(aus).T))
    page = Page(options.out, "One person, read by the generic and by the personal model")
    page.text(f"Person: {subject}, {len(data)} images of {options.test}. "
              f"Models: {options.generic} and {options.personal}.")
    agree = draw(page.folder / "features.png", maps, levels)
    page.picture(
        "features.png", "What the features tell apart",
        f"t-SNE of {len(data)} images by features, coloured by the true level of {', '.join(aus)}; "
        "the generic model at the left, the personal one at the right."
        + (" Images without a label are grey." if np.isnan(data.aus(aus)).any() else ""),
        "Images of one colour together: the features sort by that AU. The number above a map is "
        f"the correlation of an image's level with the mean level of its {NEAREST} nearest images, "
        "by the features and not by the map.",
    )
    page.table(["AU", *maps], [[au, *(number(agree[au, title]) for title in maps)] for au in aus],
               "How well features sort images")
    page.write()
    return agree


def main(argv=None):
    options = parse(Options, __doc__, argv)
    write(options)
    log(f"{Path(options.out, 'index.html')}: open it in a browser")


if __name__ == "__main__":
    run(main)
