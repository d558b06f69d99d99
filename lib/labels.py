"""Names and ranges of labels: FACS action units, valence and arousal, expressions.

AUs are columns AU01 … AU64 with FACS level / 5 in [0, 1]; a leading zero is part of the name.
"""
import re
from dataclasses import dataclass

import numpy as np

VALENCE_AROUSAL = ("valence", "arousal")
TEXT_COLUMNS = ("path", "subject", "session", "registration", "reference", "au_kind", "expression",
                "source")
NUMBER_COLUMNS = ("valence", "arousal", "confidence", "weight")
TARGET = "target_"  # before the name of a label in pairs.csv: the value asked for
AU_KINDS = ("intensity", "occurrence")
SOURCES = ("real", "pseudo", "synthetic")
PRESENT_INTENSITY = 0.4  # level 2 of 5 counts as present (DISFA's convention)
PRESENT_OCCURRENCE = 0.5

_AU = re.compile(r"AU(0[1-9]|[1-5][0-9]|6[0-4])")
_ANY_AU = re.compile(r"(?i)au[ _-]?0*(\d{1,2})")


def is_au(column):
    """Whether a column is an AU's, spelt as it must be (`AU01` … `AU64`)."""
    return _AU.fullmatch(column) is not None


def au_name(number):
    """1 -> 'AU01'."""
    return f"AU{int(number):02d}"


def parse_au(text):
    """'AU12', 'au12', '12' or 12 -> 'AU12'; ValueError for anything else."""
    match = _ANY_AU.fullmatch(str(text)) or re.fullmatch(r"0*(\d{1,2})", str(text))
    if not match or not 1 <= int(match.group(1)) <= 64:
        raise ValueError(f"{text!r} is not an action unit (AU01 … AU64)")
    return au_name(match.group(1))


def value_range(column):
    """(lowest, highest) value that a numeric column may hold, or None for columns without a
    range."""
    if is_au(column) or column == "confidence":
        return 0.0, 1.0
    if column in VALENCE_AROUSAL:
        return -1.0, 1.0
    if column == "weight":
        return 0.0, float("inf")
    return None


def activity(aus):
    """How much the AUs of each row show, float [N] of aus [N,A], NaN unlabelled; and whether it is
    a sum over AUs, else a mean.

    The sum over AUs, NaN for a row that lacks a label of an AU which another row has. Where no row
    has all of them, the mean of the AUs that a row has, NaN for one without any."""
    known = ~np.isnan(aus)
    known_somewhere = known.any(0)
    sums, counts = np.nansum(aus, 1), known.sum(1)
    complete = known[:, known_somewhere].all(1) & (counts > 0)
    if complete.any():
        return np.where(complete, sums, np.nan), True
    return np.divide(sums, counts, out=np.full(len(aus), np.nan), where=counts > 0), False


def presences(levels):
    """1 from level 2 of 5 on, else 0; NaN stays. float32, of levels in [0, 1] of any shape."""
    found = (np.asarray(levels) >= np.float32(PRESENT_INTENSITY)).astype(np.float32)
    return np.where(np.isnan(levels), np.float32(np.nan), found)


def misspelt(column):
    """What a column is probably meant to be called, or None: 'AU1' -> 'AU01', 'Valence' ->
    'valence', 'target_AU1' -> 'target_AU01'."""
    if column.lower().startswith(TARGET):
        label = column[len(TARGET):]
        label = misspelt(label) or label
        known = is_au(label) or label in (*VALENCE_AROUSAL, "expression")
        return TARGET + label if known and TARGET + label != column else None
    match = _ANY_AU.fullmatch(column)
    if match and 1 <= int(match.group(1)) <= 64 and not is_au(column):
        return au_name(match.group(1))
    plain = column.strip().lower()
    if plain != column and plain in TEXT_COLUMNS + NUMBER_COLUMNS:
        return plain
    return None


@dataclass(frozen=True)
class Labels:
    """Which labels a generator is conditioned on, and the order of its condition columns: AUs,
    valence and arousal, expressions. Checkpoints and `lib.classifiers.label_tensors` hold the same
    as a dict: `Labels(**names)`.

    >>> Labels(aus=("AU06", "AU12"), expressions=("anger", "joy")).conditions
    ['AU06', 'AU12', 'anger', 'joy']
    """

    aus: tuple = ()
    valence_arousal: bool = False
    expressions: tuple = ()

    @property
    def conditions(self):
        """Names of the C condition columns."""
        return [*self.aus, *(VALENCE_AROUSAL if self.valence_arousal else ()), *self.expressions]

    @property
    def kinds(self):
        """The kind of each condition column: 'au', 'va' or 'expression'."""
        return (["au"] * len(self.aus) + ["va"] * 2 * self.valence_arousal
                + ["expression"] * len(self.expressions))

    @property
    def count(self):
        """C, the number of condition columns."""
        return len(self.kinds)

    def columns(self, kind):
        """The slice of condition columns of a kind; an empty slice where there are none."""
        kinds = self.kinds
        start = kinds.index(kind) if kind in kinds else 0
        return slice(start, start + kinds.count(kind))

    def encode(self, manifest):
        """A manifest's labels as condition columns, float32 [N,C]: NaN where unlabelled;
        expressions are one-hot, NaN in all their columns where the name is missing or none of
        these. AUs are as they are written, whatever au_kind says: an occurrence is 1 or 0, and the
        caller knows that this is no level."""
        parts = [manifest.aus(list(self.aus))]
        if self.valence_arousal:
            parts.append(np.stack([manifest.numbers(name) for name in VALENCE_AROUSAL], 1))
        if self.expressions:
            names = np.array(manifest.text("expression"), object)[:, None]  # [N,1]
            classes = (names == np.array(self.expressions, object)).astype(np.float32)  # [N,E]
            classes[~classes.any(1)] = np.nan
            parts.append(classes)
        return np.concatenate(parts, 1).astype(np.float32)

    def as_dict(self):
        """The form that checkpoints hold."""
        return {"aus": list(self.aus), "valence_arousal": self.valence_arousal,
                "expressions": list(self.expressions)}
