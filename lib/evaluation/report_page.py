"""The pages of `evaluate.py --report DIR`: what a classifier reads well, what it confuses, and
how.

Every part is drawn only where the report has its numbers, so that models of AUs, of valence and
arousal, and of expressions each have their page. index.html says all pictures in words.
"""
import numpy as np

from lib import images, labels
from lib.evaluation import feature_maps, plots
from lib.evaluation.page import Page
from lib.evaluation.sections import value_at

MISTAKES = 12      # images on the sheet of mistakes
POINTS = 500       # images that t-SNE places
LEAST_FRAMES = 10  # of a video whose traces are drawn


def write(folder, out, table, data, reading):
    """index.html and its pictures. out: the report; table: columns of --predictions; data: the
    manifest; reading: what the models gave (lib.evaluation.reading.Reading)."""
    page = Page(folder, "What the classifier reads")
    people = f"{out['subjects']} people" if out["subjects"] else "people without names"
    page.text(f"Model: {out['model']['path']}. Data: {out['data']['path']}, "
              f"{out['n']} images of {people}.")
    page.table(["number", "value", "95 % interval"], headline(out), "Headline numbers")
    drawn = {"subject": "people", "image": "images"}[out["intervals"]["unit"]]
    page.text(f"Intervals come from a bootstrap over {drawn}. Numbers of AUs are means over AUs; "
              "the model's own thresholds decide what counts as present.")
    if "au" in out:
        action_units(page, out)
    if "au_present" in out:
        presence(page, out)
    if "va" in out:
        valence_arousal(page, table, data)
    if "expression" in out:
        expressions(page, out)
    features(page, data, reading)
    mistakes(page, out, table, data, reading)
    page.write()


def headline(out):
    """Rows of the first table: name, value, interval."""
    wanted = {
        "F1 of AUs": ("au", "mean", "f1"), "False discovery rate of AUs": ("au", "mean", "fdr"),
        "ICC(3,1) of AUs": ("au", "mean", "icc"), "Correlation of AUs": ("au", "mean", "pcc"),
        "F1 of AUs, output au_present": ("au_present", "mean", "f1"),
        "False discovery rate of AUs, output au_present": ("au_present", "mean", "fdr"),
        "CCC of valence": ("va", "valence", "ccc"), "CCC of arousal": ("va", "arousal", "ccc"),
        "Equal signs of valence": ("va", "valence", "sign_agreement"),
        "Equal signs of arousal": ("va", "arousal", "sign_agreement"),
        "Accuracy of expressions": ("expression", "accuracy"),
        "Macro F1 of expressions": ("expression", "macro_f1")
    }
    rows = []
    for name, where in wanted.items():
        if where[0] in out:
            bounds = value_at(out["intervals"], where)
            rows.append([name, number(value_at(out, where)),
                         f"{number(bounds[0])} to {number(bounds[1])}" if bounds else "undefined"])
    return rows


def number(value):
    """Three decimals, or 'undefined'."""
    return "undefined" if value is None else f"{value:.3f}"


PRESENCE = {"f1": "F1", "fdr": "false discovery rate"}
OF_PRESENCE = ("F1: higher is better. False discovery rate: lower is better. Black lines are 95 % "
               "intervals over people. A bar without length is 0 or undefined.")


def action_units(page, out):
    """Bars an AU with intervals, co-activation, reliability."""
    names = list(out["au"]["per_au"])
    au_bars(page, out, "au", "au_bars.png", PRESENCE, "Presence of action units", OF_PRESENCE)
    au_bars(page, out, "au", "au_levels.png", {"icc": "ICC(3,1)", "pcc": "correlation"},
            "Intensity of action units",
            "How far readings follow the true levels; 1 is best. An AU whose true levels do not "
            "vary has an ICC of 0 and no correlation.")
    coactivation(page, out["au"]["coactivation"], names)
    calibration = out["au"]["calibration"]
    plots.reliability(page.folder / "au_reliability.png",
                      {"share present": calibration["presence"],
                       "mean level": calibration["level"]},
                      ("reading (0: absent, 1: level 5)", "truth at this reading"))
    page.picture("au_reliability.png", "Reliability of AU readings",
                 "Curves of the true share of presence and of the true mean "
                 "level over the reading. "
                 f"The calibration error of levels is {number(calibration['level']['ece'])}, "
                 f"that of presence {number(calibration['presence']['ece'])}.",
                 "On the dashed line a reading means what it says. A model of levels should "
                 "follow it with the mean level, a model of occurrences with the share present.")


def presence(page, out):
    """The same of the output `au_present`, where a model reads presence beside levels: bars an AU
    with intervals, reliability."""
    au_bars(page, out, "au_present", "au_present_bars.png", PRESENCE,
            "Presence of action units, output au_present",
            "The model reads presence with an output of its own, beside levels. " + OF_PRESENCE)
    calibration = out["au_present"]["calibration"]["presence"]
    plots.reliability(page.folder / "au_present_reliability.png", {"share present": calibration},
                      ("reading of au_present (a probability)", "truth at this reading"))
    page.picture("au_present_reliability.png", "Reliability of the output au_present",
                 "A curve of the true share of presence over the reading. The calibration error is "
                 f"{number(calibration['ece'])}.", "On the dashed line a reading means what it "
                 "says: of the readings of 0.7, say, 70 % are truly present.")


def au_bars(page, out, section, name, metrics, title, caption):
    """Bars of some metrics of a section's AUs with their intervals; nothing where all are
    undefined.

    section: of the report, `au` or `au_present`; metrics: {key: what it is called}."""
    per_au, bounds = out[section]["per_au"], out["intervals"][section]["per_au"]
    names = list(per_au)
    if all(per_au[au].get(metric) is None for au in names for metric in metrics):
        return
    values, whiskers = ({label: [rows[au].get(metric) for au in names]
                         for metric, label in metrics.items()} for rows in (per_au, bounds))
    plots.bars(page.folder / name, names, values, f"{out['n']} images", whiskers)
    page.picture(name, title, f"Bars of {' and '.join(metrics.values())} for each AU. "
                              f"{best_and_worst(per_au, next(iter(metrics)))}", caption)


def best_and_worst(per_au, metric):
    """'The best is AU12 with 0.9, the worst AU14 with 0.2.'"""
    known = {au: row[metric] for au, row in per_au.items() if row.get(metric) is not None}
    if not known:
        return "All are undefined."
    best, worst = max(known, key=known.get), min(known, key=known.get)
    return (f"The highest is {best} with {known[best]:.2f}, the lowest {worst} with "
            f"{known[worst]:.2f}.")


def coactivation(page, found, names):
    """True and predicted co-activation, and their difference."""
    true, said = (np.array(found[name], float) for name in ("true", "predicted"))
    gap = said - true
    plots.matrices(page.folder / "coactivation.png", names,
                   {"truth: P(column | row)": true, "prediction: P(column | row)": said,
                    "prediction - truth": gap}, signed=("prediction - truth",))
    off = np.where(np.eye(len(names), dtype=bool) | np.isnan(gap), 0, np.abs(gap))
    row, column = np.unravel_index(off.argmax(), off.shape)
    largest = (f"It is largest for {names[column]} given {names[row]}: {number(gap[row, column])}."
               if off.any() else "No two AUs differ in it.")
    page.picture(
        "coactivation.png", "Which AUs occur together",
        "Three matrices: how often the AU of a column is present where that of the row is, "
        f"in truth, in the predictions, and the difference. {largest}",
        "Red: the model couples two AUs more than they are coupled in life. Grey: never seen."
    )


def valence_arousal(page, table, data):
    """Scatter, density and agreement on the circumplex, and traces of a video."""
    truth, said = (np.stack([np.array(table[prefix + name], float)
                             for name in labels.VALENCE_AROUSAL], 1) for prefix in ("true_", ""))
    known = ~np.isnan(truth).any(1)
    groups = {"truth": truth[known], "prediction": said[known]}
    if known.any():
        plots.circumplex_points(page.folder / "va_scatter.png", groups)
        plots.circumplex_density(page.folder / "va_density.png", groups)
        spread = {name: points.std(0) for name, points in groups.items()}
        page.picture(
            "va_scatter.png", "Valence and arousal",
            "Points of truth and prediction with valence to the right and arousal upwards. "
            "The standard deviation of predictions is {:.2f} and {:.2f}, "
            "that of the truth {:.2f} and {:.2f}.".format(*spread["prediction"], *spread["truth"]),
            "Predictions that keep closer to the middle than the truth are cautious ones."
        )
        page.picture("va_density.png", "Where images lie on the circumplex",
                     "Two maps of how many images lie where, of truth and of prediction.",
                     "The two maps should look alike.")
    sides = {name: (truth[:, k][~np.isnan(truth[:, k])], said[:, k][~np.isnan(truth[:, k])])
             for k, name in enumerate(labels.VALENCE_AROUSAL)}
    plots.agreement(page.folder / "va_agreement.png", sides)
    page.picture("va_agreement.png", "Prediction over truth",
                 "Two scatter plots, one of valence and one of arousal, with truth to the right "
                 "and prediction upwards.", "A perfect model lies on the dashed line.")
    video_traces(page, truth, said, data)


def video_traces(page, truth, said, data):
    """Valence and arousal of the longest video over its frames; nothing where no video is
    named."""
    column = next((name for name in ("video", "session") if any(data.text(name))), None)
    if column is None:
        return
    # a session may be called 1 for every person: who is in it belongs to its name
    rows = {}
    for row, one in enumerate(zip(data.text("subject"), data.text(column))):
        if one[1] and not np.isnan(truth[row]).all():
            rows.setdefault(one, []).append(row)
    if not rows:
        return
    subject, name = longest = max(rows, key=lambda one: len(rows[one]))
    rows, called = np.array(rows[longest]), f"{column} {name}" + (f" of {subject}" * bool(subject))
    if len(rows) < LEAST_FRAMES:
        return
    frames = data.text("frame")
    numbered = all(frames[i].isdigit() for i in rows)
    time = np.array([int(frames[i]) for i in rows]) if numbered else np.arange(len(rows))
    order = np.argsort(time, kind="stable")
    rows, time = rows[order], time[order]
    plots.traces(page.folder / "va_traces.png", time,
                 {name: (truth[rows, k], said[rows, k])
                  for k, name in enumerate(labels.VALENCE_AROUSAL)}, called)
    page.picture("va_traces.png", "A video over time",
                 f"Lines of true and predicted valence and arousal over the {len(rows)} images of "
                 f"{called}.",
                 f"The {column} with most images. The images stand in the order of "
                 + ("their frame numbers." if numbered else "the manifest."))


def expressions(page, out):
    """Confusion, F1 a class, reliability."""
    found = out["expression"]
    if found["confusion"] is None:
        page.text("No image has an expression that the model knows.")
        return
    names = found["names"]
    plots.confusion(page.folder / "confusion.png", names, found["confusion"])
    counts = np.array(found["confusion"], float)
    np.fill_diagonal(counts, 0)
    row, column = np.unravel_index(counts.argmax(), counts.shape)
    mistake = (f"The most frequent mistake is {names[row]} read as {names[column]}, "
               f"{counts[row, column]:.0f} images." if counts.any() else "There is no mistake.")
    page.picture("confusion.png", "Expressions",
                 "A table of counts, truth from top to bottom and reading from left to right. "
                 f"Accuracy is {number(found['accuracy'])}. {mistake}",
                 "Dark squares off the diagonal are what the model confuses.")
    plots.bars(page.folder / "expression_bars.png", names,
               {"F1": [found["f1"][name] for name in names]},
               f"F1 of each expression, {found['labelled']} images", limits=(0, 1))
    page.picture("expression_bars.png", "F1 of each expression",
                 "Bars of F1: "
                 + ", ".join(f"{name} {number(found['f1'][name])}" for name in names) + ".",
                 "A bar without length is an F1 of 0, or an expression that does not occur.")
    plots.reliability(page.folder / "expression_reliability.png",
                      {"accuracy": found["calibration"]},
                      ("probability of the expression that is read", "share that is right"))
    page.picture("expression_reliability.png", "Reliability of expressions",
                 "A curve of accuracy over confidence. The calibration error is "
                 f"{number(found['calibration']['ece'])}.",
                 "Below the dashed line the model is too sure of itself.")


def features(page, data, reading):
    """t-SNE of the features, coloured by intensity (else valence, else expression) and by
    person."""
    if reading.features is None or len(data) < 10:
        return
    rows = np.random.default_rng(0).permutation(len(data))[:POINTS]
    values = np.asarray(reading.features, np.float64)[rows]
    if np.ptp(values, 0).max() < 1e-9:
        return
    points = feature_maps.tsne(values)
    colourings = {}
    aus = data.aus()[rows]
    if aus.size and not np.isnan(aus).all():
        amount, summed = labels.activity(aus)
        which = "sum of all AUs" if summed else "mean of the labelled AUs"
        colourings[f"intensity: {which}, level / 5"] = amount, which.replace("all ", "")
    elif not np.isnan(data.numbers("valence")[rows]).all():
        colourings["valence"] = data.numbers("valence")[rows], "valence"
    if any(data.text("expression")):
        colourings["expression"] = [data.text("expression")[i] or "unlabelled" for i in rows]
    if any(data.text("subject")):
        colourings["person (seven of them in colour)"] = [data.text("subject")[i] for i in rows]
    if not colourings:
        return
    plots.clouds(page.folder / "features.png", points, colourings)
    grey = [title for title, values in colourings.items()
            if isinstance(values, tuple) and np.isnan(values[0]).any()]
    page.picture(
        "features.png", "What the features tell apart",
        f"t-SNE places {len(rows)} images by the model's features; they are coloured by "
        f"{', then by '.join(title.split(':')[0].split(' (')[0] for title in colourings)}."
        + (f" Images that lack labels of {grey[0].split(':')[0]} are grey." if grey else ""),
        "Good features sort images by what they show. Islands of one colour in the picture of "
        "people mean that the model still sees who it is."
    )


def mistakes(page, out, table, data, reading):
    """A sheet of the images with the worst mistakes, the worst first. AUs, valence and arousal,
    and expressions take turns to fill its places."""
    tiles = [(images.load(data.images()[row]), lines)
             for _, row, lines in worst_of_each(worst(out, table, reading))]
    if not tiles:
        return
    plots.captioned(page.folder / "mistakes.png", tiles)
    page.picture("mistakes.png", "The worst mistakes",
                 f"{len(tiles)} images with the largest mistakes. The first: "
                 f"{', '.join(tiles[0][1])}.",
                 "Look here for wrong labels, hidden faces and cut images. "
                 "Each image stands once. AUs, valence and arousal, and expressions take turns, "
                 "so that one kind does not hide the others.")


def worst_of_each(kinds):
    """At most MISTAKES mistakes, each image once: the lists of `worst` take turns until the places
    are filled or nothing is left; the worst first."""
    queues = [sorted(mistakes, key=lambda one: -one[0]) for mistakes in kinds]
    chosen, used = [], set()
    while any(queues) and len(chosen) < MISTAKES:
        for queue in queues:
            while queue and queue[0][1] in used:
                queue.pop(0)
            if queue and len(chosen) < MISTAKES:
                used.add(queue[0][1])
                chosen.append(queue.pop(0))
    return sorted(chosen, key=lambda one: -one[0])


def worst(out, table, reading):
    """Three lists of (size of the mistake, row, lines of text) of wrong labels: levels of AUs;
    valence and arousal (halved, as they span 2); expressions, by how much likelier than the true
    one the model takes the wrong one for."""
    def of_values(names, span):
        found = []
        for name in names:
            truth, said = (np.array(table[prefix + name], float) for prefix in ("true_", ""))
            size = np.abs(truth - said) / span
            for row in np.argsort(-np.nan_to_num(size), kind="stable")[:MISTAKES]:
                if size[row] > 0.1:
                    found.append((float(size[row]), int(row),
                                  (name, f"true {truth[row]:.2f}", f"read {said[row]:.2f}")))
        return found

    kinds = [of_values(out["au"]["per_au"] if "au" in out else (), 1),
             of_values(labels.VALENCE_AROUSAL if "va" in out else (), 2)]
    classes = []
    if "expression" in out:
        for row, (truth, said) in enumerate(zip(table["true_expression"], table["expression"])):
            if truth in reading.expressions and truth != said:
                likely = dict(zip(reading.expressions, reading.expression[row]))
                classes.append((float(likely[said] - likely[truth]), row,
                                ("expression", f"true {truth}", f"read {said}")))
    return [*kinds, classes]


ONE_OF = {"au": "AU", "expression": "expression", "va": "dimension"}  # kinds of edits


def edits(folder, out, pairs):
    """The page of a generator: bars an AU, and a sheet of source, edited and true images."""
    page = Page(folder, "What the generator edits")
    per_au, called = out["edits"]["per_au"], ONE_OF[out["protocol"]["kind"]]
    page.text(f"Model: {out['model']['path']}. Data: {out['data']['path']}, {out['n']} pairs. "
              f"Judge: {out['judge']['path']}.")
    plots.bars(page.folder / "edit_bars.png", list(per_au),
               {"fulfilment": [row["fulfilment"] for row in per_au.values()],
                "leakage / rise": [row["leakage_ratio"] for row in per_au.values()],
                "L1 / unedited's": [row["l1_ratio"] for row in per_au.values()]},
               f"{out['n']} pairs")
    page.picture("edit_bars.png", f"Edits of each {called}",
                 f"Bars of fulfilment, leakage and distance for each {called}. "
                 f"{best_and_worst(per_au, 'fulfilment')}",
                 "Fulfilment 1 is the true rise in the judge's reading. "
                 "Leakage is what the readings of others are off by. "
                 "L1 is the distance to the true image, "
                 "divided by that of the unedited one.")
    plots.sheet(page.folder / "sheet.png", list(per_au), pairs)
    page.picture("sheet.png", "Edited images",
                 f"Rows of faces, one row for each {called}: source, edited and true image.",
                 "The edited image should look like the true one beside it.")
    page.write()
