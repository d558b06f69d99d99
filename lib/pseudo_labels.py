"""What a classifier reads in images, as the label columns of a manifest: for pseudo_label.py, and
for synthesize.py --relabel.
"""

import numpy as np

from lib.cli import BadInput, note
from lib.labels import VALENCE_AROUSAL, presences
from lib.onnx_runtime import au_scores
from lib.selection import cell_confidence

READ = ("au", "au_level", "valence_arousal", "expression")  # outputs that become labels


def columns_of(model):
    """The columns that a classifier (lib.onnx_runtime.Model) fills in: AUs, valence and arousal,
    expression. BadInput where there are none."""
    dimensions = VALENCE_AROUSAL if "valence_arousal" in model.outputs else ()
    expression = ["expression"] if "expression" in model.outputs and model.expressions else []
    names = [*model.aus, *dimensions, *expression]
    if not names:
        raise BadInput(
            f"{model.path}: labels nothing that a manifest holds ({', '.join(model.outputs)}); "
            "give a classifier of AUs, valence and arousal, or expressions"
        )
    return names


def predictions(model, outputs):
    """What the model says, {column: N numbers or texts}: AUs in [0, 1], valence and arousal in
    [-1, 1], expression. outputs: {name: array [N,...]} of the model."""
    columns = {}
    if model.aus:
        columns.update(zip(model.aus, au_scores(model, outputs).T.clip(0, 1)))
    if "valence_arousal" in outputs:
        columns.update(zip(VALENCE_AROUSAL, outputs["valence_arousal"].T.clip(-1, 1)))
    if "expression" in outputs and model.expressions:
        columns["expression"] = [model.expressions[k] for k in outputs["expression"].argmax(1)]
    return columns


def confidences(model, outputs, at=None):
    """How sure the model is, float [N] in [0, 1], as pseudo_label.py's first lines define it; None
    when unknown. at: thresholds [A], without them the model's own."""
    if model.aus:
        at = model.thresholds() if at is None else at
        return cell_confidence(au_scores(model, outputs), at).mean(1)
    if "expression" in outputs:
        return outputs["expression"].max(1)
    return None


def fill(data, found, relabel=False):
    """Put the found labels into empty cells (to relabel, into all: a label stays only where
    nothing was found); bool [N]: rows of which a cell was filled."""
    filled = np.zeros(len(data), bool)
    for column, values in found.items():
        take = is_there(values) if relabel else data.empty(column)
        data.columns.put(column, take, values)
        filled |= take & ~data.empty(column)
    return filled


def is_there(values):
    """bool [N]: which of N found labels, numbers or texts, were not left out."""
    values = np.asarray(values)
    return ~np.isnan(values) if values.dtype.kind == "f" else values != ""


def of_the_rows_kind(data, found, own, occurs):
    """The found AUs {AU: float [N]}, such that each row is of one kind. occurs: they are
    occurrences; own: bool [N], rows that keep AU labels of their own, and so their au_kind.

    Among occurrences a found level is 1 from level 2 of 5 on, else 0. Among levels a found
    occurrence is left out: it has no level, and a 1 would be read as level 5."""
    among = own & (data.occurrence() != occurs)
    if occurs and among.any():
        note(f"{data.name}: {among.sum()} rows keep levels of AUs; no occurrence of an AU is put "
             "beside them")
    out = {}
    for name, values in found.items():
        written = np.round(values, 4)  # 0.4 as a manifest holds it
        out[name] = np.where(among, np.nan if occurs else presences(written), values)
    return out


def write_labels(data, model, found, outputs, *, relabel=False, occurs=False, source="", at=None):
    """Fill in labels, confidence and au_kind of a manifest in place; bool [N]: rows that were
    filled.

    found: as `predictions` gives it, some emptied or made 0/1 (occurs) since; relabel: also
    overwrite labels that are there; source: what filled rows get in that column, '' leaves it; at:
    thresholds [A] that confidences are told by, without them the model's own."""
    own = np.zeros(len(data), bool)  # rows that keep AU labels of their own
    for name in data.au_names:
        mine = ~data.empty(name)
        own |= mine & ~is_there(found[name]) if relabel and name in found else mine
    occurs = occurs or model.meta.get("au_kind") == "occurrence"
    aus = {name: found[name] for name in model.aus}
    filled = fill(data, found | of_the_rows_kind(data, aus, own, occurs), relabel)
    if source:
        data.columns.put("source", filled, source)
    sure = confidences(model, outputs, at)
    if sure is not None:
        data.columns.put("confidence", filled, [f"{value:.4f}" for value in sure])
    if model.aus and (occurs or "au_kind" in data.columns):
        kind = "occurrence" if occurs else "intensity"
        data.columns.put("au_kind", ~own, kind)
    return filled
