"""The parts of a report's page: what they draw and say of odd names and of too little, without
models."""
import numpy as np
import pytest

from lib import manifest
from lib.cli import BadInput
from lib.datasets import describe_page
from lib.evaluation import page, plots, pose_tables, report_page
from lib.evaluation.comparison import markdown

ODD = ["a$b_$c", "<b>&\"#?'", "_hidden", "x y"]


@pytest.fixture
def legends(monkeypatch):
    """{picture's name: what its legends say}, filled as pictures are saved."""
    found = {}
    whole = plots.save

    def save(figure, path):
        legend = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
        found[path.name] = [text.get_text().strip() for one in legend for text in one.get_texts()]
        whole(figure, path)

    monkeypatch.setattr(plots, "save", save)
    return found


def test_odd_names_are_drawn_as_they_are(tmp_path, legends):
    """A $ begins no formula, and matplotlib's legends leave out what begins with _."""
    plots.bars(tmp_path / "bars.png", ODD, {name: [1, 0.5, 0, None] for name in ODD}, "$x^$")
    plots.traces(tmp_path / "traces.png", np.arange(3), {"valence": (np.zeros(3), np.ones(3))},
                 "video $a^$")
    plots.clouds(tmp_path / "clouds.png", np.random.default_rng(0).random((4, 2)), {"person": ODD})
    plots.histograms(tmp_path / "people.png", {"n": {name: [0.5] for name in ODD}}, "people")
    assert legends["bars.png"] == legends["people.png"] == ODD
    assert sorted(legends["clouds.png"]) == sorted(ODD)
    # the axis of counts is no formula, either
    rows = [{"from": 0, "to": 1, "n": 1000, "score": 0.5, "truth": 0.4}]
    plots.reliability(tmp_path / "r.png", {"a": {"bins": rows, "ece": 0.1}}, ("x", "y"))
    assert all((tmp_path / f"{name}.png").stat().st_size > 1000
               for name in ("bars", "traces", "clouds", "people", "r"))


@pytest.mark.filterwarnings("ignore:constrained_layout")  # a small picture for ten names
def test_more_sets_than_colours(tmp_path, legends):
    names = [f"set{k}" for k in range(10)]
    plots.bars(tmp_path / "bars.png", ["AU01"], {name: [0.5] for name in names}, "title")
    plots.histograms(tmp_path / "h.png", {"n": {name: [0.5] for name in names}}, "images")
    assert legends["bars.png"] == legends["h.png"] == names


def traced(folder, **columns):
    """(the page's parts, Page) of traces of 24 images."""
    data = manifest.Manifest("m.csv", folder, {"path": ["x"] * 24, **columns})
    shown = page.Page(folder, "title")
    values = np.linspace(-1, 1, 24)
    report_page.video_traces(shown, np.stack([values, values], 1), np.zeros((24, 2)), data)
    return "".join(shown.parts)


def test_a_trace_is_of_one_person(tmp_path):
    """Two people have a session 1 each: of 14 images and of 10."""
    subjects = ["p0"] * 14 + ["p1"] * 10
    text = traced(tmp_path, subject=subjects, session=["1"] * 24)
    assert "over the 14 images of session 1 of p0." in text
    assert "over the 24 images of video v." in traced(tmp_path, video=["v"] * 24)
    assert traced(tmp_path, subject=[f"p{k // 5}" for k in range(24)], session=["1"] * 24) == ""


def test_no_mistake_is_called_the_most_frequent(tmp_path):
    shown = page.Page(tmp_path, "title")
    found = {"names": ["joy", "fear"], "confusion": [[2, 0], [0, 1]], "accuracy": 1.0,
             "f1": {"joy": 1.0, "fear": 1.0}, "labelled": 3,
             "calibration": {"bins": [{"from": 0, "to": 1, "n": 3, "score": 0.9, "truth": 1}],
                             "ece": 0.1}}
    report_page.expressions(shown, {"expression": found})
    report_page.expressions(shown, {"expression": found | {"confusion": [[1, 1], [0, 1]]}})
    text = "".join(shown.parts)
    assert text.count("most frequent mistake") == 1 and "There is no mistake." in text
    assert "joy read as fear, 1 images" in text
    same = {"true": [[1, 0.5], [0.5, 1]], "predicted": [[1, 0.5], [0.5, 1]]}
    other = same | {"predicted": [[1, 0.5], [0.9, 1]]}
    for part in (same, other):
        report_page.coactivation(shown, part, ["AU01", "AU02"])
    assert "No two AUs differ in it." in shown.parts[-3]
    assert "It is largest for AU01 given AU02: 0.400." in shown.parts[-1]


def test_an_unlabelled_pose_is_named():
    cells = [{"at": {"yaw": "", "pitch": "0"}}]
    with pytest.raises(BadInput, match="t.csv: a yaw or pitch of --by is no number"):
        pose_tables.by_pose({"by": {"cells": cells}, "data": {"path": "t.csv"}})


@pytest.mark.parametrize("most, bins, end", [(1, 2, 2), (19, 20, 20), (20, 11, 22), (59, 20, 60)])
def test_bars_of_people_span_equally_many_numbers(most, bins, end, tmp_path, monkeypatch):
    """Of 30 images a person, 20 bars would span one number or two by turns."""
    drawn = []
    monkeypatch.setattr(plots, "histograms", lambda *arguments: drawn.append(arguments[-2:]))
    monkeypatch.setattr(describe_page.describe, "per_person", lambda each: [1, most])

    class Set:
        name = "set"

    describe_page.people(page.Page(tmp_path, "title"), [Set])
    assert drawn == [(bins, (0, end))] and end % bins == 0


def test_tables_come_back_from_markdown():
    head, rows = describe_page.from_markdown(markdown(["set", "images"], [["a|b", "3"]]))
    assert (head, rows) == (["set", "images"], [["a|b", "3"]])
