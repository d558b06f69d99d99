"""Names of columns: what is misspelt, and what it is meant to be."""

import numpy as np
import pytest

from lib import labels, manifest
from lib.cli import BadInput


@pytest.mark.parametrize(
    "column, meant",
    [
        ("AU1", "AU01"),
        ("au12", "AU12"),
        ("Valence", "valence"),
        ("Session", "session"),
        ("Registration", "registration"),
        ("target_AU1", "target_AU01"),
        ("target_au12", "target_AU12"),
        ("Target_AU12", "target_AU12"),
        ("target_Valence", "target_valence"),
        ("TARGET_expression", "target_expression"),
    ],
)
def test_misspelt_columns_are_refused(column, meant):
    assert labels.misspelt(column) == meant
    with pytest.raises(BadInput, match=f"column '{column}' is unknown; rename it to '{meant}'"):
        manifest.parse(f"path,{column}\na.png,\n", "m.csv", ".")


@pytest.mark.parametrize(
    "column",
    [
        *labels.TEXT_COLUMNS,
        *labels.NUMBER_COLUMNS,
        "AU01",
        "target_AU01",
        "target_valence",
        "target_expression",
        "true_path",
        "true_AU01",
        "present_AU01",
        # others pass through, whatever they are about
        "AU65",
        "target_",
        "target_AU65",
        "target_Confidence",
        "target_frame",
        "Camera",
        "sessions",
    ],
)
def test_other_columns_pass(column):
    assert labels.misspelt(column) is None


def test_activity_does_not_read_empty_cells_as_0():
    """The second row lacks AU02, which others have, so it has no sum; nobody has the third AU."""
    nan = np.nan
    aus = np.array([[.2, .4, nan], [0, nan, nan], [nan] * 3, [1, .2, nan]])
    amount, summed = labels.activity(aus)
    assert summed and amount == pytest.approx([.6, nan, nan, 1.2], nan_ok=True)
    amount, summed = labels.activity(np.array([[.2, nan, .4], [nan, 0, nan], [nan] * 3]))
    assert not summed and amount == pytest.approx([.3, 0, nan], nan_ok=True)
