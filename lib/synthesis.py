"""Steps of making images with a generator: what sources show, what the model is fed, whether edits
are right."""
from pathlib import Path

import numpy as np

from lib import images, pseudo_labels, recipes
from lib.cli import BadInput, note
from lib.labels import PRESENT_OCCURRENCE, VALENCE_AROUSAL, presences
from lib.manifest import Manifest, number
from lib.onnx_runtime import (
    Model,
    au_scores,
    brief,
    check_registration,
    reference_images,
    shared_aus,
)


def known_conditions(data, model, options):
    """The model's conditions of the sources [K,C], float32: gaps are read by --classifier, or
    neutral with --assume-neutral, else NaN; and which of their AUs are occurrences, bool [K,A]."""
    known = model.labels.encode(data)
    gaps = np.isnan(known[:, model.labels.columns("au")])
    occurs = np.broadcast_to(data.occurrence()[:, None], gaps.shape)
    if options.assume_neutral:
        return np.where(np.isnan(known), neutral_row(model.labels), known), occurs
    if options.classifier:
        known, read_occurs = read_gaps(known, data, model, options)
        return known, np.where(gaps, read_occurs, occurs)
    has_labels = data.au_names or {*VALENCE_AROUSAL, "expression"} & set(data.columns)
    if model.aus and data.au_names:
        shared_aus(model, data)  # refuses a manifest of quite other AUs
    elif has_labels and np.isnan(known).all():
        raise BadInput(f"{data.name}: has none of the labels of {model.path} "
                       f"({brief(model.labels.conditions)}); give a manifest of the same labels, "
                       "--classifier FILE.onnx, or --assume-neutral")
    return known, occurs


def neutral_row(labels):
    """Conditions [C] of a neutral face: 0, and the class neutral; NaN for classes where that is
    not among them."""
    row = np.zeros(labels.count, np.float32)
    classes = labels.columns("expression")
    row[classes] = [float(name == "neutral") for name in labels.expressions]
    if labels.expressions and "neutral" not in labels.expressions:
        row[classes] = np.nan
    return row


def read_gaps(known, data, model, options):
    """Conditions [K,C] whose gaps --classifier has read; whether it reads occurrences of AUs."""
    reader = Model.open(options.classifier, options.device, options.threads, kind="classifier")
    check_registration(reader, data)
    outputs = reader.predict(data.images(), options.batch, "reading sources",
                             reference=reference_images(reader, data))
    scores = readings(reader, outputs, model.labels)
    unread = [name for k, name in enumerate(model.labels.conditions)
              if np.isnan(scores[:, k]).all()
                 and np.isnan(known[:, k]).all() and name not in data.columns]
    if unread:
        raise BadInput(f"{options.classifier}: does not read {brief(unread)}, "
                       f"which {options.model} needs; give a classifier of the same labels")
    classes = model.labels.columns("expression")
    if model.labels.expressions and not np.isnan(scores[:, classes]).any():
        scores[:, classes] = np.eye(len(model.labels.expressions))[scores[:, classes].argmax(1)]
    return (np.where(np.isnan(known), scores.round(4), known),
            reader.meta.get("au_kind") == "occurrence")


def readings(reader, outputs, labels):
    """What a classifier reads, as conditions float32 [N,C]; NaN where it lacks one."""
    count = len(next(iter(outputs.values())))
    found = np.full((count, labels.count), np.nan, np.float32)
    parts = [("au", reader.aus, au_scores(reader, outputs).clip(0, 1) if reader.aus else None),
             ("va", VALENCE_AROUSAL, outputs.get("valence_arousal")),
             ("expression", reader.expressions, outputs.get("expression"))]
    for kind, names, values in parts:
        columns = labels.columns(kind)
        for k in range(columns.start, columns.stop):
            if values is not None and labels.conditions[k] in names:
                found[:, k] = values[:, list(names).index(labels.conditions[k])]
    return found


def draw_noise(model, rows, seed):
    """Noise float32 [n,Z] as the sampler wants it; each row's own, whatever the count."""
    width = model.inputs["noise"].shape[1]
    draws = [np.random.default_rng([seed, i]) for i in rows]
    if model.meta.get("noise") == "uniform":
        return np.stack([draw.uniform(-1, 1, width) for draw in draws]).astype(np.float32)
    return np.stack([draw.standard_normal(width, np.float32) for draw in draws])


def inputs(data, known, plan, model, options):
    """What the generator is fed for a plan, by input name."""
    if model.edits:
        references = data.images()
        return {"data": [references[i] for i in plan.source], "source": known[plan.source],
                "target": plan.target}
    blank = np.zeros(model.labels.count, np.float32)
    if model.labels.expressions:
        blank[model.labels.columns("expression")] = 1 / len(model.labels.expressions)
    return {"noise": draw_noise(model, plan.source, options.seed),
            "target": np.where(np.isnan(plan.target), blank, plan.target)}


def part_of_the_way(labels, known, target, factor):
    """The target [1,C] of an edit that goes by a factor in [0, 1]: AUs, valence and arousal are
    times it, expressions lie between the source's (unknown: all classes alike) and those asked for.

    An expression is one of several classes: times 0 it would be none of them."""
    part = target * np.float32(factor)
    classes = labels.columns("expression")
    asked = target[:, classes]
    if np.isnan(asked).all():  # the source's own are kept
        return part
    own = np.where(np.isnan(known[:, classes]), 1 / len(labels.expressions), known[:, classes])
    part[:, classes] = (1 - factor) * own + factor * np.nan_to_num(asked)
    return part


def label_columns(labels, values, expressions):
    """Manifest columns of conditions [N,C]: AUs, valence and arousal, and the expression where one
    class is 1 and the others 0 (a mixture is none). expressions: names that recipes gave, '' where
    they gave none."""
    columns = {name: [number(value) for value in values[:, k]]
               for k, (name, kind) in enumerate(zip(labels.conditions, labels.kinds))
               if kind != "expression"}
    classes = values[:, labels.columns("expression")]
    one = (classes == 1).sum(1) == 1
    one &= (classes == 0).sum(1) == classes.shape[1] - 1
    named = [given or (labels.expressions[int(row.argmax())] if clear else "")
             for given, row, clear in zip(expressions, classes, one)]
    return columns | ({"expression": named} if any(named) else {})


def check_reads(check, model):
    """BadInput when a classifier reads none of what a generator makes; AUs that only one knows are
    said."""
    if model.aus and check.aus:
        shared_aus(check, Manifest(model.path, Path.cwd(), dict.fromkeys(model.aus, [])))
    elif not ("valence_arousal" in check.outputs and model.labels.valence_arousal
              or {*check.expressions} & {*model.expressions}):
        raise BadInput(f"{check.path}: reads none of the labels of {model.path} "
                       f"({brief(model.labels.conditions)}); give a classifier of the same labels")


def check_relabels(check, model):
    """BadInput when a classifier that is to label images reads nothing; labels that were asked for
    and that it does not read are said."""
    columns = pseudo_labels.columns_of(check)
    kept = [name for name, kind in zip(model.labels.conditions, model.labels.kinds)
            if (kind if kind == "expression" else name) not in columns]
    if kept:
        note(f"{check.path} does not read {brief(kept)}; these labels stay what was asked for")


def relabelled(columns, check, outputs):
    """The columns of N images {name: N cells} with the labels that a classifier reads in them
    (outputs {name: array [N,...]}), its confidence and au_kind; other labels stay."""
    count = len(next(iter(outputs.values())))
    data = Manifest("images", Path.cwd(), {"path": [""] * count, **columns})
    kept = [name for name in data.au_names if name not in check.aus]
    if kept and check.meta.get("au_kind") == "occurrence":  # a row is of one kind
        rows = np.full(count, True)
        for name, present in zip(kept, data.present(kept).T):
            data.columns.put(name, rows, present)
        data.columns.put("au_kind", rows, "occurrence")
    found = pseudo_labels.predictions(check, outputs)
    pseudo_labels.write_labels(data, check, found, outputs, relabel=True)
    del data.columns["path"]
    return data.columns


def check_references(check, data, model):
    """The reference image of each source, for a classifier that compares faces with one; else
    None. BadInput where a source has none, and for faces from noise, which are nobody's."""
    if "reference" in check.inputs and not model.edits:
        raise BadInput(f"{check.path}: compares with a person's reference image, but "
                       f"{model.path} makes faces of nobody; give a classifier without references")
    return reference_images(check, data)


def is_changed(labels, source):
    """bool [N,C]: the conditions that edits change, of labels [N,C] of the edits and of their
    sources. A label that the source lacks (NaN) is changed where the edit has one."""
    return ~np.isnan(labels) & ~(np.abs(labels - source) <= 1e-3)


def occurring(aus, changed, target_occurs, source_occurs):
    """bool [N,A]: which AU labels [N,A] of edits are occurrences.

    An AU that an edit changes (bool [N,A]) is a level, or an occurrence where its target row is one
    (target_occurs, bool [N]); an AU that it keeps is what it is in the source (source_occurs, bool
    [N,A])."""
    return np.where(changed, target_occurs[:, None], source_occurs) & ~np.isnan(aus)


def of_one_kind(aus, occurs):
    """AU labels [N,A] of edits such that each row is of one kind, and which rows are occurrences,
    bool [N].

    A row has one au_kind: where one of its AUs is an occurrence (bool [N,A]), its levels become 1
    from level 2 of 5 on, and else 0. An occurrence does not tell a level, but a level tells an
    occurrence."""
    rows = occurs.any(1)
    return np.where(rows[:, None] & ~occurs, presences(aus), aus), rows


def au_kinds(data, plan, rows):
    """The column au_kind of the edits of a plan, of which `rows` (bool [N]) are occurrences; None
    where the sources have none and no edit needs one."""
    if "au_kind" not in data.columns and not rows.any():
        return None
    kinds = data.text("au_kind")
    kinds = ["intensity" if kinds[i] == "occurrence" else kinds[i] for i in plan.source]
    return ["occurrence" if occurs else kind for kind, occurs in zip(kinds, rows)]


def errors(scores, labels, occurs, check, names):
    """How far readings [n,C] are from the labels that are wanted [n,C]; NaN where either lacks one.

    A level and an occurrence cannot be subtracted: where an AU's label is of one kind (occurs, bool
    [n,A], of the first A conditions, `names`) and the classifier `check` reads the other, the error
    is 0 where both say that it is present, or both that it is not, and else 1. The classifier says
    so at its own threshold; a label from level 2 of 5 on."""
    out, aus = np.abs(scores - labels), slice(len(names))
    reads_occurrences = check.meta.get("au_kind") == "occurrence"
    at = dict(zip(check.aus, check.thresholds())) if check.aus else {}
    read = scores[:, aus] >= np.array([at.get(name, np.nan) for name in names], np.float32)
    there = np.where(occurs, labels[:, aus] >= PRESENT_OCCURRENCE, presences(labels[:, aus]) > 0)
    other = (occurs != reads_occurrences) & ~np.isnan(out[:, aus])
    out[:, aus] = np.where(other, read != there, out[:, aus])
    return out


def rejected(outputs, check, model, labels, changed, occurs, limit):
    """Why each edit is dropped, '' for those to keep: outputs are what `check` says of n edits,
    labels [n,C] are wanted, changed bool [n,C] marks the edited conditions; occurs: bool [n,A],
    which AUs of the labels are occurrences."""
    scores = readings(check, outputs, model.labels)
    mine = ~np.isnan(scores).all(0)
    error, reasons = errors(scores, labels, occurs, check, model.aus)[:, mine], []
    for row, is_edited in zip(error, changed[:, mine]):
        missed = np.nanmean(row[is_edited]) if is_edited.any() else 0
        moved = row[~is_edited & ~np.isnan(row)]
        reasons.append("target not reached" if missed > limit else
                       "other AUs moved" if len(moved) and moved.mean() > limit else "")
    return reasons


def sheet_edits(model, options):
    """The columns of the sheet, [(name, target [C])]: of the recipe where it is made of such, else
    of all labels."""
    labels = model.labels
    recipe = (options.recipe if options.recipe in ("emotions", "mix")
              else "single-au" if model.aus else "expressions")
    found = []
    if model.aus or labels.expressions:
        for name, _, row in recipes.variants(recipe, labels.conditions, labels.kinds, options.mix,
                                             not model.edits, options.aus):
            aus = np.array(labels.kinds) == "au"
            found.append((name, np.where(aus, row * options.levels[1], row)))
    else:
        for k, name in enumerate(labels.conditions):
            for value in (options.levels[1], -options.levels[1]):
                found.append((f"{name}={value:g}",
                              np.where(np.arange(labels.count) == k, value, np.nan)))
    return found or [("sample", np.zeros(0))]


def write_sheet(data, known, plan, model, options):
    """A row a source: the source, then one edit a column."""
    edits = sheet_edits(model, options)
    rows = np.unique(plan.source)
    rows = rows[np.linspace(0, len(rows) - 1, min(options.sheet_rows, len(rows))).astype(int)]
    targets = np.stack([row for _, row in edits])
    # a sampler has no source: its first column shows no AU
    first = np.zeros((1, model.labels.count), np.float32)
    targets = targets if model.edits or not model.aus else np.concatenate([first, targets])
    shown = recipes.Plan(np.repeat(rows, len(targets)),
                         np.tile(targets, (len(rows), 1)).astype(np.float32), [], [])
    fed = inputs(data, known, shown, model, options)
    output = "edited" if model.edits else "sampled"
    made = model.predict(batch=options.batch, what="sheet", outputs=[output], **fed)[output]
    made = made.reshape(len(rows), len(targets), *made.shape[1:])
    table = []
    for i, row in enumerate(rows):
        source = ([images.resize(images.load(data.images()[row]), model.image_size)] if model.edits
                  else [])
        table.append(source + list(made[i]))
    images.save(options.sheet, images.sheet(table, scale=max(1, 64 // model.image_size)))
    before = ["source"] if model.edits else ["AU-less sample"] if model.aus else []
    note(f"{options.sheet}: columns are the {', '.join([*before, *(name for name, _ in edits)])}")
