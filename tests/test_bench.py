"""What tests/bench compares does the same work, and its table has one line a comparison."""

import importlib
import sys

import numpy as np
from commands import ROOT

sys.path.insert(0, str(ROOT))
from lib import manifest
from tests.bench import __main__ as main, editors, inference, tables, training
from tests.bench.common import HEADER, Row, interleaved, speedup


def test_the_expression_manipulators_losses_are_the_references():
    system, reference = training.build(
        size=32, width=4, levels=3, d_width=4, d_layers=4, g_every=2
    )
    assert (
        training.largest_difference(
            system, reference, training.batch_of(3, 32, len(training.AUS)), 4
        )
        < 1e-4
    )


def test_sides_take_turns_and_the_first_round_does_not_count():
    calls = []
    seconds = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["b", "a", "a", "b", "b", "a"] and [
        len(values) for values in seconds.values()
    ] == [2, 2]
    assert speedup([4, 6], [2, 2]) == [2, 3]
    line = Row("x", "1 s", "2 s", [2.0, 1.0, 4.0], "1.5").markdown()
    assert line == "| x | 1 s | 2 s | 2.00 (1.00-4.00) | 1.5 |" and line.count(
        "|"
    ) == HEADER.splitlines()[0].count("|")


def test_tables_and_pictures_of_the_bench(tmp_path):
    tables.make(tmp_path / "m.csv", 300)
    data = manifest.read(tmp_path / "m.csv")
    assert len(data) == 300 and len(data.columns) == 26 and 0.1 < np.isnan(data.aus()).mean() < 0.3
    assert inference.pictures().shape == (inference.COUNT, 64, 64, 3)


def test_every_part_of_the_bench_makes_rows():
    for part in main.PARTS:
        assert callable(importlib.import_module(f"tests.bench.{part}").rows)
    assert {"tables", "start", "inference", "training"} <= set(
        main.PARTS
    ) and "cores" in main.machine()


def test_editors_of_the_bench_learn_labels_that_they_know():
    au = ("warp-editor", "expression-manipulator", "ganimation", "stargan")
    assert editors.editors() == {**dict.fromkeys(au, "au"), "fexgan": "expression"}
