"""The table of samplers, for `evaluate.py --compare`: each with what `evaluate.py --samples`
found."""
from lib.evaluation.sections import value_at

NUMBERS = {  # heading: place in a report's section `samples`
    "asked class read": ("condition", "expression", "mean_recall"),
    "of real images": ("condition_of_real", "expression", "mean_recall"),
    "ratio": ("accuracy_ratio",),
    "entropy of classes": ("class_entropy", "samples"),
    "asked AUs, PCC": ("condition", "au", "mean_pcc"),
    "PCC of real images": ("condition_of_real", "au", "mean_pcc"),
    "asked valence, CCC": ("condition", "va", "valence", "ccc"),
    "valence of real images": ("condition_of_real", "va", "valence", "ccc"),
    "asked arousal, CCC": ("condition", "va", "arousal", "ccc"),
    "arousal of real images": ("condition_of_real", "va", "arousal", "ccc"),
    "diversity / real": ("diversity", "ratio"),
    "nearest training image / real": ("nearest_training", "ratio"),
    "Fréchet distance": ("frechet", "samples"),
    "of training images": ("frechet", "training"),
    "FID": ("fid", "samples"),
}


def cell(value):
    """A number for people; – where a sampler has none (one without conditions is not asked for
    any)."""
    return "–" if value is None else f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def row_of(run, headings):
    """A sampler and its seed, its figures, and whether it has collapsed."""
    section = run.report["samples"]
    values = [value_at(section, NUMBERS[name]) for name in headings]
    collapsed = value_at(section, ("collapse", "collapsed"))
    return [run.preset or "–", run.name, *map(cell, values), "yes" if collapsed else "no"]


def table(runs, markdown):
    """Samplers by row. runs: lib.evaluation.comparison.Run, in the order of the rows; markdown:
    (head, rows) -> lines."""
    headings = [name for name, place in NUMBERS.items()
                if any(value_at(run.report["samples"], place) is not None for run in runs)]
    head = ["preset", "sampler", *headings, "collapsed"]
    first = runs[0].report["samples"]
    return "\n".join([
        f"### {runs[0].set or 'reports'}: samples against held-out real images", "",
        *markdown(head, [row_of(run, headings) for run in runs]), "",
        f"{first['n']} samples, {first['n_real']} held-out real images, "
        f"{first['n_training']} training images, {first['size']} pixels. Asked class read: "
        "mean over classes of the share that an independent classifier reads as asked. Diversity, "
        "nearest training image: by an embedding, divided by the same of held-out real images. "
        "Fréchet distance: in the classifier's features, so it is no FID."
    ])
