"""lib.datasets.describe: what a small set holds, counted by hand."""
import re

import models
import numpy as np
from commands import call, fail

from lib import manifest
from lib.datasets import describe


def write(folder, name="set.csv"):
    """Five images of two people and one unnamed; AU02 has a gap, one row is an occurrence."""
    models.dataset(folder, np.zeros((5, 4)), name)
    data = manifest.read(folder / name)
    data.columns |= {"subject": ["a", "a", "a", "b", ""], "au_kind": ["", "", "", "occurrence", ""],
                     "AU01": ["0.4", "0.2", "1", "1", "0"], "AU02": ["0.6", "0", "", "1", "0"],
                     "AU12": [""] * 5, "AU26": ["0"] * 5, "valence": ["1", "-1", "0.5", "", "0"],
                     "arousal": ["0"] * 4 + [""], "expression": ["joy", "", "joy", "fear", ""]}
    data.write(folder / name)
    return folder / name


def rows_below(text, heading):
    """{first cell: {column: cell}} of the table below a heading."""
    lines = text.split(f"## {heading}")[1].split("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]]
             for line in lines if line.startswith("|")]
    return {row[0]: dict(zip(cells[0], row)) for row in cells[2:]}


def test_counts_by_hand(tmp_path, capsys):
    status, text, _ = call(describe.main, capsys, write(tmp_path))
    assert status == 0
    first = rows_below(text, "Action units")["AU01"]
    assert first == {"AU": "AU01", "labelled": "5", "missing": "0.0 %", "present": "3",
                     "share": "60.0 %", "0": "1", "A": "1", "B": "1", "C": "0", "D": "0", "E": "1",
                     "people": "2", "mean level / 5": "0.400"}  # an occurrence has no level
    second = rows_below(text, "Action units")["AU02"]
    assert (second["labelled"], second["missing"], second["present"]) == ("4", "20.0 %", "2")
    empty = rows_below(text, "Action units")["AU12"]
    assert (empty["labelled"], empty["share"], empty["mean level / 5"]) == ("0", "–", "–")
    # both are labelled in four images, present in two
    pair = rows_below(text, "AUs together")["AU01 AU02"]
    assert (pair["images"], pair["share"], pair["times chance"], pair["correlation"]) == (
        "2", "50.0 %", "2.0", "1.00"
    )
    whole = rows_below(text, "Images and people")["set"]
    assert (whole["images"], whole["people"], whole["with valence and arousal"]) == (
        "5", "2", "100.0 %"
    )
    assert whole["images a person (least, median, most)"] == "1, 2, 3"
    assert rows_below(text, "Expressions")["joy"]["set"] == "2 (66.7 %)"  # of the labelled
    # of 1 and 0.5
    assert rows_below(text, "AUs in the valence")["AU01"]["valence, present"] == "0.75"


def test_two_sets_stand_side_by_side(tmp_path, capsys):
    one = write(tmp_path / "one", "labelled.csv")
    two = write(tmp_path / "two", "labelled.csv")
    data = manifest.read(two)
    data.columns["AU01"] = ["0"] * 5
    data.write(two)
    text = call(describe.main, capsys, one, two)[1]
    assert rows_below(text, "How the sets differ")["AU01"] == {
        "present": "AU01", "one/labelled": "60.0 %", "two/labelled": "0.0 %", "gap, points": "60.0"
    }


def test_page_says_every_picture_in_words(tmp_path, capsys):
    status, _, _ = call(describe.main, capsys, write(tmp_path), "--report", tmp_path / "page")
    text = (tmp_path / "page/index.html").read_text()
    pictures = {path.name for path in (tmp_path / "page").glob("*.png")}
    assert status == 0
    assert {"au_levels.png", "au_together.png", "va_histograms.png", "va_of_aus.png", "people.png",
            "labelled.png", "examples.png", "expressions.png"} <= pictures
    assert set(re.findall(r'src="([^"]+)"', text)) == pictures
    assert len(re.findall(r'alt="[^"]{40,}"', text)) == len(pictures)


def test_sets_without_labels_or_people(tmp_path, capsys):
    models.dataset(tmp_path, np.zeros((3, 4)))
    (tmp_path / "bare.csv").write_text("path\nset.npy#0\nset.npy#1\n")
    status, text, _ = call(describe.main, capsys, tmp_path / "bare.csv",
                           "--report", tmp_path / "page")
    whole = rows_below(text, "Images and people")["bare"]
    assert status == 0 and (whole["people"], whole["without any label"]) == ("not named", "100.0 %")
    fail(3, "no such manifest", "-m lib.datasets.describe", tmp_path / "none.csv")
