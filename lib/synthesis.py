"""Steps of making images with a generator: what sources show, what the model is fed, whether edits are right."""
import numpy as np

from lib import images, recipes
from lib.cli import BadInput, note
from lib.onnx_runtime import Model, au_scores, brief, check_registration, reference_images, shared_aus


def known_aus(data, model, options):
    """AU values of the sources [K,C], float32; gaps are read by --classifier or 0 with --assume-neutral, else NaN."""
    known = data.aus(model.aus)
    if options.assume_neutral:
        return np.nan_to_num(known, nan=0.0)
    if options.classifier:
        reader = Model.open(options.classifier, options.device, options.threads, kind="classifier")
        check_registration(reader, data)
        lacking = [au for au in model.aus if au not in reader.aus and au not in data.columns]
        if lacking:
            raise BadInput(f"{options.classifier}: does not read {brief(lacking)}, which {options.model} needs; "
                           "give a classifier of the same AUs")
        outputs = reader.predict(data.images(), options.batch, "reading sources",
                                 reference=reference_images(reader, data))
        scores = au_scores(reader, outputs).clip(0, 1).round(4)
        for k, au in enumerate(model.aus):
            if au in reader.aus:
                known[:, k] = np.where(np.isnan(known[:, k]), scores[:, reader.aus.index(au)], known[:, k])
    elif data.au_names:
        shared_aus(model, data)  # refuses a manifest of quite other AUs
    return known


def inputs(data, known, plan, model, options):
    """What the generator is fed for a plan, by input name."""
    if model.edits:
        references = data.images()
        return {"data": [references[i] for i in plan.source], "source": known[plan.source], "target": plan.target}
    width = model.inputs["noise"].shape[1]
    noise = [np.random.default_rng([options.seed, i]).standard_normal(width, np.float32) for i in plan.source]
    return {"noise": np.stack(noise), "target": np.nan_to_num(plan.target)}


def rejected(check, model, edited, labels, changed, limit):
    """Why each edit is dropped, '' for those to keep: `check` reads edited [n,H,W,3], labels [n,C] are wanted,
    changed bool [n,C] marks the edited AUs."""
    both = [au for au in model.aus if au in check.aus]
    mine = [model.aus.index(au) for au in both]
    scores = au_scores(check, check.once(image=edited))[:, [check.aus.index(au) for au in both]]
    error, reasons = np.abs(scores - labels[:, mine]), []
    for row, is_edited in zip(error, changed[:, mine]):
        missed, moved = np.nanmean(row[is_edited]) if is_edited.any() else 0, row[~is_edited & ~np.isnan(row)]
        reasons.append("target not reached" if missed > limit else
                       "other AUs moved" if len(moved) and moved.mean() > limit else "")
    return reasons


def write_sheet(data, known, plan, model, options):
    """A row a source: the source, then one edit a column."""
    edits = recipes.variants("emotions" if options.recipe == "emotions" else "single-au", model.aus)
    rows = np.unique(plan.source)
    rows = rows[np.linspace(0, len(rows) - 1, min(options.sheet_rows, len(rows))).astype(int)]
    targets = np.stack([row * options.levels[1] for _, _, row in edits])
    first = np.zeros((1, len(model.aus)), np.float32)  # a sampler has no source: its first column shows no AU
    targets = targets if model.edits else np.concatenate([first, targets])
    shown = recipes.Plan(np.repeat(rows, len(targets)), np.tile(targets, (len(rows), 1)).astype(np.float32), [], [])
    fed = inputs(data, known, shown, model, options)
    made = model.predict(batch=options.batch, what="sheet", **fed)["edited" if model.edits else "sampled"]
    made = made.reshape(len(rows), len(targets), *made.shape[1:])
    table = []
    for i, row in enumerate(rows):
        source = [images.resize(images.load(data.images()[row]), model.image_size)] if model.edits else []
        table.append(source + list(made[i]))
    images.save(options.sheet, images.sheet(table, scale=max(1, 64 // model.image_size)))
    note(f"{options.sheet}: columns are the {'source' if model.edits else 'AU-less sample'}, "
         f"{', '.join(name for name, _, _ in edits)}")
