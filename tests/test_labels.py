"""Names of columns: what is misspelt, and what it is meant to be."""

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
