"""Measure exported models: classifiers on a labelled manifest, a generator on pairs; or compare.

    evaluate.py --model classifier.onnx --test test.csv > report.json
    evaluate.py --model au01.onnx va.onnx --test test.csv          models of several labels, as one
    evaluate.py --model 'personal/{subject}.onnx' --test test.csv  a model for each person
    evaluate.py --model generator.onnx --pairs pairs.csv --judge judge.onnx > report.json
    evaluate.py --model reader.onnx --samples samples.csv --real test.csv --learnt labelled.csv
                --identity id.onnx > report.json
    evaluate.py --compare runs/faces/*/seed*/report.json           tables of conditions
    evaluate.py --compare fold*/predictions.csv                    folds: each, their mean, pooled
    evaluate.py --compare a.csv b.csv --paired                     a - b on the same images, with p
    evaluate.py --compare a/seed*/p.csv --against b/seed*/p.csv    the same of the means over seeds

Stdout is the report (JSON), or the tables of --compare (Markdown). Runs on ONNX Runtime, without
torch. Intervals in a report are 95 % bootstrap intervals over people.
"""
from dataclasses import dataclass
from typing import Literal, Optional

from lib.cli import BadInput, GateFailed, arg, log, parse, run
from lib.files import to_json, write_text


@dataclass
class Options:
    model: list[str] = arg(
        [], nargs="+", metavar="FILE.onnx",
        help="exported classifier or generator; several classifiers of different labels; "
             "or 'DIR/{subject}.onnx', a classifier for each person"
    )
    test: Optional[str] = arg(None, help="manifest with the truth, for a classifier; - is stdin",
                              metavar="FILE.csv")
    pairs: Optional[str] = arg(None, help="source images, targets and true images, for a generator",
                               metavar="FILE.csv")
    judge: Optional[str] = arg(None, help="classifier that reads the edited images of --pairs",
                               metavar="FILE.onnx")
    identity: Optional[str] = arg(
        None, help="an embedding of people (lib.evaluation.identity). With --pairs, if given, it "
                   "says whether edits keep the person; --samples needs it, and says by it how "
                   "different the samples are, and how near to images learnt from",
        metavar="FILE.onnx"
    )
    judge_report: Optional[str] = arg(None, help="the judge's own report: AUs that it reads badly "
                                                 "stay out of the summary", metavar="FILE.json")
    min_correlation: float = arg(
        0.6, help="with --judge-report: the least correlation (pcc) of an AU in the summary"
    )
    samples: Optional[str] = arg(
        None, help="generated images, with the conditions asked for, which --model reads; "
                   "needs --real, --learnt and --identity", metavar="FILE.csv"
    )
    real: Optional[str] = arg(None, help="with --samples: held-out real images", metavar="FILE.csv")
    learnt: list[str] = arg([], help="with --samples: the images that the sampler learnt from",
                            nargs="+", metavar="FILE.csv")
    inception: Optional[str] = arg(
        None, help="with --samples: Inception with the output `features`, for FID",
        metavar="FILE.onnx"
    )
    compare: list[str] = arg(
        [], help="reports to put in tables, found as …/<preset>/<set>/<condition>/seed<k>/NAME; "
                 "or files of --predictions: the folds of one experiment", nargs="+",
        metavar="REPORT.json"
    )
    paired: bool = arg(False, help="with --compare A.csv B.csv, files of --predictions: "
                                   "A - B on the images of both")
    against: list[str] = arg(
        [], help="with --compare: files of --predictions that those of --compare are compared "
                 "with, mean with mean, on the images of all", nargs="+", metavar="B.csv"
    )
    predictions: Optional[str] = arg(
        None, help="also write one row an image, truth beside prediction",
        metavar="FILE.csv", writes="file"
    )
    report: Optional[str] = arg(None, help="also write a page of pictures, DIR/index.html",
                                metavar="DIR", writes="folder")
    min_f1: Optional[float] = arg(
        None, help="exit 4 when the mean F1 over AUs is below this: that of the output au, or of "
                   "au_present where au has no F1", metavar="X"
    )
    present: Optional[float] = arg(None, help="a truth counts as present from this value on "
                                              "[0.4, occurrences 0.5]", metavar="X")
    pair: list[str] = arg(
        [], help="the correlated pair to report on [what set.json beside --test says (MNIST grid: "
                 "AU02 AU03), else AU01 AU02]", nargs=2, metavar=("AU", "AU")
    )
    by: list[str] = arg(
        [], nargs="+", metavar="COLUMN",
        help="also ICC and MAE for each value of these columns of --test, such as yaw pitch"
    )
    of: Optional[str] = arg(None, help="with --by: all the images, of which --test has those with "
                                       "a face; how many are missing is said", metavar="FILE.csv")
    stride: int = arg(1, help="measure every n-th image of each person's (or video's) images only",
                      least=1)
    batch: int = arg(64, help="images a batch", least=1)
    device: Literal["auto", "cpu", "cuda"] = arg("auto", help="where the models run")

    def __post_init__(self):
        from lib.labels import parse_au

        self.pair = [parse_au(name) for name in self.pair]
        jobs = [name for name in ("test", "pairs", "samples", "compare") if getattr(self, name)]
        if len(jobs) != 1:
            raise ValueError("say one of --test FILE.csv, --pairs FILE.csv, --samples FILE.csv and "
                             "--compare REPORT.json …")
        if jobs != ["compare"] and not self.model:
            raise ValueError(f"--{jobs[0]} needs --model FILE.onnx")
        if self.pairs and not self.judge:
            raise ValueError("--pairs needs --judge FILE.onnx, which reads the edited images")
        if self.pairs and len(self.model) > 1:
            raise ValueError("--pairs measures one generator: give one --model")
        one_model = len(self.model) == 1
        if self.samples and not (self.real and self.learnt and self.identity and one_model):
            raise ValueError("--samples needs --real, --learnt, --identity and one --model, "
                             "which reads the samples")
        if self.min_f1 is not None and not self.test:
            raise ValueError("--min-f1 is a gate for --test")
        if self.by and not self.test or self.of and not self.by:
            raise ValueError("--by needs --test, and --of needs --by")
        if self.stride > 1 and not self.test:
            raise ValueError("--stride needs --test")
        if self.stride > 1 and self.of:
            raise ValueError("--stride leaves images out, which --of would count as missing: give "
                             "one of them")
        if self.paired and (len(self.compare) != 2 or not all(map(is_predictions, self.compare))):
            raise ValueError(
                "--paired compares two files of --predictions: --compare A.csv B.csv --paired"
            )
        if self.against and (not self.compare or self.paired
                             or not all(map(is_predictions, [*self.compare, *self.against]))):
            raise ValueError(
                "--against compares files of --predictions: --compare A.csv … --against B.csv …"
            )
        if (self.report or self.predictions) and self.compare:
            raise ValueError("--report and --predictions are of one test: leave them out beside "
                             "--compare")
        if self.predictions and self.samples:
            raise ValueError("--predictions needs --test or --pairs")
        if self.predictions == "-":
            raise ValueError("--predictions needs a file: stdout is the report's")
        if len(set(self.pair)) == 1:
            raise ValueError("--pair needs two different AUs")


def is_predictions(path):
    """Whether a file of --compare has predictions, not a report."""
    return str(path).endswith(".csv")


def evaluate_classifier(options):
    """(report, table of --predictions, manifest, Reading)."""
    from lib import manifest
    from lib.evaluation import bootstrap, classifier_report, reading
    from lib.onnx_runtime import shared_aus

    data = manifest.read(options.test)
    rows = classifier_report.every(data, options.stride) if options.stride > 1 else None
    readers = reading.Readers(options.model, options.device, data, rows)
    data = readers.data
    has_va, has_expression = reading.has_labels(data, readers.outputs)
    comparable = set(readers.aus) & set(data.columns) or not (has_va or has_expression)
    # raises when nothing at all can be compared
    names = shared_aus(readers, data) if comparable else []
    if (has_va or has_expression) and not labelled(data, names):
        names = []  # their columns are there, and empty
    check_aus(options, readers, data, names)
    whole = check_by(options, readers, data, names) if options.by else None
    found = readers.read(options.batch, classifier_report.FIXED)
    out = {"model": readers.describe(), "data": describe_data(data), "n": len(data),
           "subjects": classifier_report.subjects(data),
           "protocol": {"task": "classifier", "missing_labels": "masked", "stride": options.stride}}
    table = {"path": data.columns["path"], "subject": data.text("subject")}
    resample = {}
    if names:
        resample["au"] = au_report(options, readers, data, names, found, out, table, whole)
        resample["presence"] = presence_report(readers, resample["au"], found, out, table)
    if has_va:
        resample["va"] = va_report(data, found.valence_arousal, out, table)
    if has_expression:
        resample["expression"] = expression_report(data, found, out, table)
    if found.real is not None:  # a discriminator
        out["real_as_real"] = float((found.real >= classifier_report.FIXED).mean())
    people = bootstrap.People.of(data.text("subject"))
    out["intervals"] = classifier_report.interval_sections(people, **resample)
    return out, table, data, found


def labelled(data, names):
    """Whether a manifest has a label in any of these columns."""
    return not all(data.empty(name).all() for name in names)


def check_aus(options, readers, data, names):
    """BadInput, before anything runs, when no AU is labelled or --pair names one that is not
    there."""
    if names and not labelled(data, names):
        raise BadInput(f"{data.name}: no AU cell is labelled, so there is nothing to compare "
                       "with; give the set that has the truth")
    if options.pair and not set(options.pair) <= set(names):
        raise BadInput(f"--pair {' '.join(options.pair)}: {data.name} and {readers.path} share "
                       f"{', '.join(names) or 'no AU'}; name two of these")


def check_by(options, readers, data, names):
    """The manifest whose images --by counts: --of, else --test. BadInput, before anything runs,
    when there is no AU to measure, or --of lacks a place where --test has images."""
    from lib import manifest

    if not names:
        raise BadInput(f"--by {' '.join(options.by)}: gives ICC and MAE of AUs, and {readers.path} "
                       f"and {data.name} share none; leave --by out")
    whole = manifest.read(options.of) if options.of else data
    cells, every = cells_of(data, options.by), set(cells_of(whole, options.by))
    row = next((row for row, cell in enumerate(cells) if cell not in every), None)
    if row is not None:
        at = ", ".join(f"{name} {text!r}" for name, text in zip(options.by, cells[row]))
        raise BadInput(f"{data.name}: row {row + 2} is at {at}, and {whole.name} has no image "
                       "there; give --of the set that --test is a part of, written alike")
    return whole


def au_report(options, readers, data, names, found, out, table, whole):
    """Add the AU sections and their protocol to the report, and AU columns to the table of
    predictions.

    whole: the manifest whose images --by counts, or None. Returns what intervals are made of."""
    from lib.evaluation import classifier_report

    columns = [found.aus.index(name) for name in names]
    truth, scores = data.aus(names), found.au[:, columns]
    thresholds = found.thresholds[..., columns]
    pair_of_set = classifier_report.pair_of_set(data)
    pair, pair_from = classifier_report.choose_pair(names, options.pair, pair_of_set)
    given = {"truth": truth, "scores": scores, "names": names, "thresholds": thresholds,
             "pair": pair, "truth_at": classifier_report.truth_thresholds(data, options.present),
             "intensities": ~data.occurrence()}
    out["protocol"] |= au_protocol(options, readers, data, given, pair_from)
    out |= classifier_report.au_section(**given)
    if options.by:
        out["by"] = {"of": describe_data(whole), **classifier_report.by_section(
            classifier_report.levels(given), scores, names, options.by, cells_of(data, options.by),
            cells_of(whole, options.by))}
    table |= classifier_report.au_columns(data, given)
    return given


def presence_report(readers, of_au, found, out, table):
    """Add the sections of the output `au_present`, where a model reads presence beside levels, to
    the report, its protocol and the table of predictions.

    of_au: what au_report returned. Returns what intervals are made of; None where no model does."""
    from lib.evaluation import classifier_report

    names = [name for name in of_au["names"] if name in found.presence_aus]
    if not names:
        return None
    of_truth = [of_au["names"].index(name) for name in names]
    columns = [found.presence_aus.index(name) for name in names]
    thresholds = found.presence_thresholds[..., columns]
    has_pair = set(of_au["pair"] or []) <= set(names)
    given = of_au | {"names": names, "truth": of_au["truth"][:, of_truth],
                     "scores": found.presence[:, columns], "thresholds": thresholds,
                     "pair": of_au["pair"] if has_pair else None}
    out["protocol"]["au_present"] = {
        "aus": names, "thresholds": said_thresholds(names, thresholds),
        "thresholds_from": "model" if readers.stores("au_present") else "fixed"}
    out |= classifier_report.presence_section(**given)
    table |= classifier_report.presence_columns(given)
    return given


def said_thresholds(names, thresholds):
    """What the protocol says of thresholds [A], or [N,A] where people have models of their own."""
    if thresholds.ndim > 1:
        return "of each person's model"
    return dict(zip(names, thresholds.tolist()))


def au_protocol(options, readers, data, given, pair_from):
    """How AUs were compared, for the report."""
    import numpy as np

    from lib.evaluation import classifier_report

    names = given["names"]
    return {
        "aus": names,
        "aus_left_out": {"not_in_data": [name for name in readers.aus if name not in names],
                         "not_in_model": [name for name in data.au_names if name not in names]},
        "truth_present_from": options.present if options.present is not None
                              else {"intensity": 0.4, "occurrence": 0.5},
        "thresholds": said_thresholds(names, given["thresholds"]),
        "thresholds_from": "model" if readers.stores("au") else "fixed",
        "threshold_fixed": classifier_report.FIXED, "pair": given["pair"], "pair_from": pair_from,
        "occurrence_rows": int(data.occurrence().sum()),
        "unlabelled_au_cells": int(np.isnan(given["truth"]).sum()),
        "mean_over": "AUs with a defined value; left_out counts the others"
    }


def expression_report(data, found, out, table):
    """Add expressions to the report and to the table of predictions; returns what intervals are
    made of."""
    from lib.evaluation import classifier_report

    truth, names = data.text("expression"), found.expressions
    out["expression"] = classifier_report.expression_section(truth, found.expression, names)
    predicted = found.expression.argmax(1)
    table["expression"], table["true_expression"] = [names[k] for k in predicted], truth
    known = classifier_report.class_numbers(truth, names) >= 0
    if any(name and not there for name, there in zip(truth, known)):
        # which of the named expressions the model has: the report leaves out the others
        table["expression_known"] = ["" if not name else int(there)
                                     for name, there in zip(truth, known)]
    return classifier_report.class_numbers(truth, names), predicted, names


def cells_of(data, columns):
    """A tuple of cells a row; BadInput for a column that the manifest lacks."""
    for name in columns:
        if name not in data.columns:
            raise BadInput(
                f"{data.name}: has no column {name!r} for --by; it has {', '.join(data.columns)}"
            )
    return list(zip(*(data.columns[name] for name in columns)))


def va_report(data, predicted, out, table):
    """Add valence and arousal to the report and to the table of predictions; returns truth and
    predictions."""
    import numpy as np

    from lib import labels
    from lib.evaluation import classifier_report

    truth = np.stack([data.numbers(name) for name in labels.VALENCE_AROUSAL], 1)
    out["va"] = classifier_report.va_section(truth, predicted)
    for k, name in enumerate(labels.VALENCE_AROUSAL):
        table[name], table[f"true_{name}"] = predicted[:, k].tolist(), truth[:, k].tolist()
    return truth, predicted


def describe_model(model):
    """What a report says of a model."""
    from pathlib import Path

    from lib.files import digest

    return {"path": model.path, "kind": model.kind, "architecture": model.meta.get("architecture"),
            "digest": digest(Path(model.path)), "trained_on": model.meta.get("trained_on")}


def describe_data(data):
    """What a report says of a manifest."""
    return {"path": data.name, "digest": data.digest()}


def write_table(options, table, data):
    """--predictions: the table as CSV, with image paths relative to it."""
    import os
    from pathlib import Path

    from lib import manifest

    folder = Path(options.predictions).parent
    table["path"] = [os.path.relpath(image, folder) for image in data.images()]
    manifest.write(options.predictions, table)


def classifier(options):
    """--test"""
    out, table, data, found = evaluate_classifier(options)
    if options.predictions:
        write_table(options, table, data)
    if options.report:
        from lib.evaluation import report_page

        report_page.write(options.report, out, table, data, found)
    write_text("-", to_json(out) + "\n")
    if "au" in out:
        mean = out["au"]["mean"]
        log(f"{' '.join(options.model)}: mean F1 {show(mean['f1'])} at stored thresholds, "
            f"{show(out['au_fixed']['mean']['f1'])} at 0.5; labels left out: "
            f"{mean['left_out'] or 'none'}")
    if "au_present" in out:
        log(f"au_present: mean F1 {show(out['au_present']['mean']['f1'])}, at 0.5 "
            f"{show(out['au_present_fixed']['mean']['f1'])}")
    if options.min_f1 is not None:
        check_f1(out, options)


def check_f1(out, options):
    """GateFailed where the mean F1 over AUs is below --min-f1, or undefined: that of `au`; of
    `au_present` where `au` has none."""
    from lib.evaluation.sections import value_at

    found = {name: value_at(out, (name, "mean", "f1")) for name in ("au", "au_present")}
    name = "au" if found["au"] is not None or found["au_present"] is None else "au_present"
    f1, of = found[name], " of au_present" if name == "au_present" else ""
    if f1 is None or f1 < options.min_f1:
        raise GateFailed(f"{' '.join(options.model)}: mean F1{of} {show(f1)} is below "
                         f"--min-f1 {options.min_f1:g}")


def generator(options):
    """--pairs"""
    from lib import manifest
    from lib.evaluation import classifier_report, edit_report
    from lib.onnx_runtime import Model, check_registration

    data = manifest.read(options.pairs)
    model = Model.open(options.model[0], options.device, kind="generator")
    judge = Model.open(options.judge, options.device, kind="classifier")
    identity = (Model.open(options.identity, options.device, kind="classifier")
                if options.identity else None)
    for each in (model, judge, *([identity] if identity else [])):
        check_registration(each, data)
    correlation = (
        edit_report.judge_correlations(options.judge_report) if options.judge_report else None
    )
    pairs = edit_report.run(model, judge, data, options.batch, identity)
    out = {"model": describe_model(model), "data": describe_data(data), "n": len(pairs.target_au),
           "subjects": classifier_report.subjects(pairs.data), "judge": describe_model(judge),
           **edit_report.measure(pairs, correlation, options.min_correlation)}
    out["protocol"]["judge_report"] = options.judge_report
    out["protocol"]["identity"] = describe_model(identity) if identity else None
    if options.predictions:
        write_table(options, edit_report.table(pairs), pairs.data)
    if options.report:
        from lib.evaluation import report_page

        report_page.edits(options.report, out, pairs)
    write_text("-", to_json(out) + "\n")


def samples(options):
    """--samples"""
    from pathlib import Path

    from lib import images, manifest
    from lib.evaluation import sample_report
    from lib.onnx_runtime import Model

    data, real = manifest.read(options.samples), manifest.read(options.real)
    learnt = manifest.merge([manifest.read(path) for path in options.learnt], Path.cwd())
    manifest.check_disjoint(learnt, real)
    reader, identity = (Model.open(path, options.device, kind="classifier")
                        for path in (options.model[0], options.identity))
    inception = Model.open(options.inception, options.device) if options.inception else None
    out = {"reader": describe_model(reader), "identity": describe_model(identity),
           "data": describe_data(data), "real": describe_data(real),
           "learnt": describe_data(learnt),
           "samples": sample_report.measure(data, real, learnt, reader, identity,
                                            options.batch, inception)}
    if options.report:
        images.save(Path(options.report) / "samples.png", sample_report.sheet(data))
    write_text("-", to_json(out) + "\n")
    found = out["samples"]
    log(f"{options.samples}: asked expression read {show(found.get('accuracy_ratio'))} as well as "
        f"in real images; diversity {show(found['diversity']['ratio'])}, nearest training image "
        f"{show(found['nearest_training']['ratio'])} of real images'"
        + ("; the samples have collapsed" if found["collapse"]["collapsed"] else ""))


def show(value):
    """A number for people, or 'undefined'."""
    return "undefined" if value is None else f"{value:.3f}"


def main(argv=None):
    options = parse(Options, __doc__, argv)
    if options.predictions:
        from lib import manifest

        manifest.refuse_overwriting(filter(None, (options.test, options.pairs)),
                                    options.predictions)
    if options.compare and all(map(is_predictions, options.compare)):
        from lib.evaluation import paired

        if options.paired or options.against:
            first = options.compare[:1] if options.paired else options.compare
            text = paired.difference_table(first, options.against or options.compare[1:])
        else:
            text = paired.fold_table(options.compare)
        write_text("-", text + "\n")
    elif options.compare:
        from lib.evaluation import comparison

        write_text("-", comparison.tables(options.compare) + "\n")
    elif options.pairs:
        generator(options)
    elif options.samples:
        samples(options)
    else:
        classifier(options)


if __name__ == "__main__":
    run(main)
