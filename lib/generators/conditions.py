"""Labels as condition columns, for every kind of label: AUs, valence and arousal, expressions.

`Labels.encode(manifest)` gives a table [N,C] with NaN where an image is unlabelled. Here the table
is read: as the labels that losses use, as conditions without NaN, and, in an exported editor, as
source and target.
"""
import torch


def as_labels(labels, table):
    """The labels behind a table [N,C]: au [N,A], valence_arousal [N,2] (NaN unlabelled),
    expression int64 [N] (-1), those that `labels` (lib.labels.Labels) has."""
    found = {}
    if labels.aus:
        found["au"] = table[:, labels.columns("au")]
    if labels.valence_arousal:
        found["valence_arousal"] = table[:, labels.columns("va")]
    if labels.expressions:
        classes = table[:, labels.columns("expression")]
        unknown = classes.isnan().any(1)
        found["expression"] = torch.where(unknown, -1, torch.nan_to_num(classes).argmax(1))
    return found


def from_readings(labels, readings):
    """A table [N,C] of what a classifier reads, {au [N,A], valence_arousal [N,2], expression
    [N,E]: probabilities}; NaN in the columns of a kind that it does not read."""
    count = len(next(iter(readings.values())))
    parts = [(len(labels.aus), "au"), (2 * labels.valence_arousal, "valence_arousal"),
             (len(labels.expressions), "expression")]
    blank = next(iter(readings.values())).new_full((count, 1), torch.nan)
    return torch.cat(
        [readings[name].to(blank.dtype) if name in readings else blank.expand(count, width)
         for width, name in parts if width], 1
    )


def without_gaps(labels, table):
    """Conditions [N,C] without NaN: an unknown AU, valence or arousal is 0, an unknown expression
    the uniform vector."""
    blank = table.new_zeros(labels.count)
    if labels.expressions:
        blank[labels.columns("expression")] = 1 / len(labels.expressions)
    return torch.where(table.isnan(), blank, table)


def limits(labels, table):
    """(lowest, highest) value of each condition column, [C] each: [0, 1], or [-1, 1] for valence
    and arousal."""
    low = table.new_zeros(labels.count)
    low[labels.columns("va")] = -1
    return low, torch.ones_like(low)


def source_and_target(labels, source, target):
    """What an editor is fed for a source and a target [N,C] that have NaN. Both come back without.

    AU, valence, arousal: NaN in the target keeps the source's value; NaN in the source is unknown,
    and is taken to be the target's, so that no relative change is asked there; 0 where both are
    NaN. Expressions: where a row names any class, those that it does not name are 0. A target that
    names none keeps the source's; a source that names none is unknown: the uniform vector."""
    parts = []
    width = labels.count - len(labels.expressions)
    if width:
        parts.append(known_values(source[:, :width], target[:, :width]))
    if labels.expressions:
        parts.append(known_classes(source[:, width:], target[:, width:]))
    sources, targets = zip(*parts)
    return torch.cat(sources, 1), torch.cat(targets, 1)


def known_values(source, target):
    """Source and target [N,C] of AUs, valence or arousal without NaN; see `source_and_target`."""
    zero = torch.zeros_like(source)
    either = torch.where(target.isnan(), torch.where(source.isnan(), zero, source), target)
    return torch.where(source.isnan(), either, source), either


def known_classes(source, target):
    """Source and target [N,E] of expressions without NaN; see `source_and_target`."""
    uniform = torch.full_like(source, 1 / source.shape[1])
    unknown = source.isnan().all(1, keepdim=True)  # [N,1]
    kept = target.isnan().all(1, keepdim=True)
    zero = torch.zeros_like(source)
    source = torch.where(unknown, uniform, torch.where(source.isnan(), zero, source))
    return source, torch.where(kept, source, torch.where(target.isnan(), zero, target))
