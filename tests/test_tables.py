"""Tables in Arrow: the same cells as Python's csv module reads and writes, Parquet, present AUs,
speed of start."""

import csv
import io
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from commands import ENVIRONMENT, ROOT, fail, succeed
from pyarrow import parquet

from lib import manifest, table
from lib.cli import BadInput

AWKWARD = [
    "plain",
    "a, b",
    'say "yes"',
    "two\nlines",
    "",
    "ä é 中",
    "'",
    "0.50",
    "#",
    "tab\tin",
    "\\",
]


def csv_text(rows):
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def test_cells_are_those_of_the_csv_module(tmp_path):
    rows = [["path", "remark", "AU01"]] + [
        [f"{i}.png", cell, "0.50"] for i, cell in enumerate(AWKWARD)
    ]
    text = csv_text(rows)
    data = manifest.parse(text, "a.csv", tmp_path)
    assert data.columns["remark"] == AWKWARD and data.columns["AU01"] == ["0.50"] * len(AWKWARD)
    data.write(tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text() == text
    for other in (
        text.replace("\n0", "\r\n0"),
        "\ufeff" + text,
        text.rstrip("\n"),
        text.replace("0.50", "  0.50 "),
    ):
        assert manifest.parse(other, "a.csv", tmp_path).columns == data.columns


def test_blocks_and_writes_join_without_a_seam(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "BLOCK_BYTES", 64)
    monkeypatch.setattr(table, "ROWS_A_WRITE", 7)
    text = csv_text(
        [["path", "remark"]] + [[f"{i}.png", AWKWARD[i % len(AWKWARD)]] for i in range(200)]
    )
    data = manifest.parse(text, "a.csv", tmp_path)
    data.write(tmp_path / "b.csv")
    assert len(data) == 200 and (tmp_path / "b.csv").read_text() == text


def test_a_list_that_was_asked_for_may_be_changed(tmp_path):
    data = manifest.parse("path,AU01\nx.png,0\ny.png,1\n", "a.csv", tmp_path)
    before = data.columns.copy()
    data.columns["AU01"][0] = "0.5"
    data.columns |= {"weight": ["2", ""]}
    del data.columns["path"]
    assert data.columns == {"AU01": ["0.5", "1"], "weight": ["2", ""]} and before["AU01"] == [
        "0",
        "1",
    ]
    assert data.numbers("AU01").tolist() == [0.5, 1] and data.numbers("weight", 1).tolist() == [
        2,
        1,
    ]


def test_numbers_in_every_form_that_python_reads():
    text = "path,AU01,weight\na,+1,inf\nb,1e-1,1_0\nc,.5,\nd,,00.25\n"
    data = manifest.parse(text, "a.csv", "folder")
    assert np.array_equal(
        data.numbers("AU01"), np.array([1, 0.1, 0.5, np.nan], np.float32), equal_nan=True
    )
    assert data.numbers("weight", 3).tolist() == [np.inf, 10, 3, 0.25]
    with pytest.raises(BadInput, match="row 4, column AU01: '1.0000000001' is not in"):
        manifest.parse("path,AU01\na,+1\nb,1\nc,1.0000000001\n", "a.csv", "folder")


def test_present_follows_the_kind_of_label_and_keeps_unlabelled():
    data = manifest.parse(
        "path,au_kind,AU01,AU02\na,,0.4,0.39\nb,occurrence,0.4,0.5\nc,intensity,,1\n", "a", "."
    )
    assert np.array_equal(data.present(), [[1, 0], [0, 1], [np.nan, 1]], equal_nan=True)
    assert np.array_equal(data.present(["AU02", "AU45"])[:, 1], [np.nan] * 3, equal_nan=True)


def test_paths_move_as_those_of_the_standard_library(tmp_path):
    import os

    cells = [
        "x.png",
        "./y.png",
        "a/../b/z.png",
        "../up.png",
        "/abs/q.png",
        "a//c.png",
        "pack.npy#3",
        "/r.png",
        "b/..",
    ]
    data = manifest.Manifest("m", tmp_path / "one", {"path": cells, "reference": ["", *cells[1:]]})
    wanted = [
        os.path.relpath(os.path.join(tmp_path / "one", cell), tmp_path / "two/three")
        for cell in cells
    ]
    moved = data.relocated(tmp_path / "two/three")
    assert moved["path"] == wanted and moved["reference"] == ["", *wanted[1:]]
    assert data.images() == [
        os.path.normpath(os.path.join(tmp_path / "one", cell)) for cell in cells
    ]


def test_parquet_goes_where_csv_goes(tmp_path):
    text = "path,subject,AU01,remark\nx.png,007,0.25,hi\ny.png,008,,\n"
    (tmp_path / "a.csv").write_text(text)
    succeed("-m lib.manifest", "merge", "a.csv", "--out", "a.parquet", cwd=tmp_path)
    made = parquet.read_table(tmp_path / "a.parquet")
    assert made.column("AU01").to_pylist() == [0.25, None] and made.column(
        "subject"
    ).to_pylist() == ["007", "008"]
    assert succeed("-m lib.manifest", "merge", "a.parquet", cwd=tmp_path)[0] == text
    assert "AU01: 1 labelled" in succeed("-m lib.manifest", "check", "a.parquet", cwd=tmp_path)[1]


def test_parquet_of_other_makers(tmp_path):
    columns = {
        "path": pa.array(["x.png", "y.png"]).dictionary_encode(),
        "AU01": pa.array([True, None]),
        "AU02": pa.array([float("nan"), 0.7], pa.float32()),
        "frame": pa.array([3, 4]),
        "subject": pa.array(["ann", None], pa.large_string()),
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    data = manifest.read(tmp_path / "a.parquet")
    assert np.array_equal(
        data.aus(), np.array([[1, np.nan], [np.nan, 0.7]], np.float32), equal_nan=True
    )
    assert data.columns == {
        "path": ["x.png", "y.png"],
        "AU01": ["1", ""],
        "AU02": ["", "0.7"],
        "frame": ["3", "4"],
        "subject": ["ann", ""],
    }
    for name, change, mentions in (
        ("b", {"AU02": pa.array([0.5, 7])}, ["b.parquet: row 2, column AU02: '7'"]),
        ("c", {"au03": pa.array([1, 1])}, ["'au03' is unknown", "'AU03'"]),
        ("d", {"path": pa.array([[1], [2]])}, ["d.parquet: not a Parquet table"]),
    ):
        parquet.write_table(pa.table(columns | change), tmp_path / f"{name}.parquet")
        fail(3, mentions, "-m lib.manifest", "check", f"{name}.parquet", cwd=tmp_path)
    (tmp_path / "e.parquet").write_text("path\nx.png\n")
    fail(
        3, "e.parquet: not a Parquet table", "-m lib.manifest", "check", "e.parquet", cwd=tmp_path
    )
    fail(
        3,
        "none.parquet: no such manifest",
        "-m lib.manifest",
        "check",
        "none.parquet",
        cwd=tmp_path,
    )


@pytest.mark.parametrize(
    "start",
    [
        "-m lib.manifest",
        "-m lib.datasets.split",
        "pseudo_label.py",
        "synthesize.py",
        "evaluate.py",
        "train_classifier.py",
        "train_generator.py",
    ],
)
def test_help_does_not_wait_for_tables(start):
    module, script = start.removeprefix("-m "), str(ROOT / start)
    run = f"run_module({module!r}" if start.startswith("-m ") else f"run_path({script!r}"
    code = f"""import atexit, runpy, sys
sys.argv = ["x", "--help"]
atexit.register(lambda: print("pyarrow" in sys.modules, file=sys.stderr))
runpy.{run}, run_name="__main__")"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.returncode == 0 and done.stderr.splitlines()[-1] == "False", done.stderr


def test_merging_shards_refuses_an_incomplete_set(tmp_path):
    for part in (1, 2, 4):
        (tmp_path / f"p-{part}of4.csv").write_text(f"path\n{part}.png\n")
    line = ["-m lib.manifest", "merge", "p-1of4.csv", "p-2of4.csv", "p-4of4.csv"]
    fail(
        3,
        ["p: shard 3 of 4 is not among the files (1 of 4 are lacking)", "--shard 3/4"],
        *line,
        cwd=tmp_path,
    )
    (tmp_path / "p-3of4.csv").write_text("path\n3.png\n")
    fail(3, "shard 1 of 4 is named twice", *line, "p-3of4.csv", "p-1of4.csv", cwd=tmp_path)
    (tmp_path / "other-12.csv").write_text("path\nx.png\n")
    out, _ = succeed(*line, "p-3of4.csv", "other-12.csv", cwd=tmp_path)
    assert out.split() == ["path", "1.png", "2.png", "4.png", "3.png", "x.png"]


def test_many_numbers_are_written_like_one():
    values = np.concatenate(
        [np.random.default_rng(0).random(5000), np.arange(0, 1, 1 / 64), [0, 1, -0.00001, 12.5]]
    )
    for kind in (np.float32, np.float64):
        cells = values.astype(kind)
        assert table.as_text(cells).to_pylist() == [manifest.number(value) for value in cells]
    assert (
        table.as_text(np.array([np.nan, 0.5])).to_pylist() == ["", "0.5"]
        and manifest.number(-0.00001) == "0"
    )


def test_put_sets_some_cells_and_keeps_the_text_of_the_others(tmp_path):
    data = manifest.parse("path,AU01\nx,0.50\ny,\nz,0.1\n", "a.csv", tmp_path)
    data.columns.put(
        "AU01", np.array([False, True, True]), np.array([0.9, 0.9, np.nan], np.float32)
    )
    data.columns.put("source", np.array([False, True, False]), "pseudo")
    assert data.columns == {
        "path": ["x", "y", "z"],
        "AU01": ["0.50", "0.9", ""],
        "source": ["", "pseudo", ""],
    }


def test_a_full_disk_is_named_by_the_pack_writer():
    from lib import images

    with pytest.raises(OSError) as error:
        images.write_pack("/dev/full", np.zeros((40, 64, 64, 3), np.uint8))
    assert error.value.errno == 28  # ENOSPC; NumPy's own short write has none


def test_a_batch_of_a_pack_is_its_memory(tmp_path):
    from lib import images

    pack = np.random.default_rng(0).integers(0, 255, (6, 4, 4, 3), np.uint8)
    images.save_pack(tmp_path / "a.npy", pack)
    name = [f"{tmp_path}/a.npy#{i}" for i in range(7)]
    assert np.shares_memory(images.batch(name[2:5], 4), images.pack(f"{tmp_path}/a.npy"))
    for rows in ([2, 3, 4], [4, 2], [0], [1, 1]):
        assert np.array_equal(images.batch([name[i] for i in rows], 4), pack[rows])
    assert images.batch(name[:2], 8).shape == (2, 8, 8, 3)
    with pytest.raises(BadInput, match="images 0 to 5"):
        images.batch(name[4:], 4)


def test_quotation_marks_only_where_they_belong(tmp_path):
    """Slices of a longer column: a comma in another slice quotes nothing here."""
    cells = ["a,b", "c", 'say "d"', "", "e\nf", "g"]
    whole = table.as_text(cells).combine_chunks()
    assert table.quoted(whole).to_pylist() == ['"a,b"', "c", '"say ""d"""', "", '"e\nf"', "g"]
    assert table.quoted(whole.slice(1, 1)).to_pylist() == ["c"]
    assert table.bytes_of(whole.slice(1, 3)) == b'csay "d"'
    assert table.bytes_of(whole.slice(2, 0)) == table.bytes_of(whole.slice(3, 1)) == b""


@pytest.mark.parametrize("cell, unquoted, spaceless", [
    ("b~!", True, True), ("ä", True, False), ("a b", True, False), (" ", True, False),
    ("\x1f", True, False), ('"c\nd"', False, False),
])
def test_simple_files_are_read_as_all_others(tmp_path, monkeypatch, cell, unquoted, spaceless):
    """What is skipped for plain bytes is not needed there, in whichever block the others stand."""
    monkeypatch.setattr(table, "BLOCK_BYTES", 64)
    for row in (0, 9):
        rows = [f"{i}.png,{cell if i == row else 'x'},0.5" for i in range(10)]
        text = "path,remark,AU01\r\n" + "\r\n".join(rows) + "\r\n"
        found = table.simple(pa.py_buffer(text.encode()))
        assert found[0] == unquoted and (found[1] and unquoted) == spaceless
        data = manifest.parse(text, "a.csv", tmp_path)
        expected = "c\nd" if '"' in cell else cell.strip()
        assert data.columns["remark"] == ["x"] * row + [expected] + ["x"] * (9 - row)
        assert data.columns["AU01"] == ["0.5"] * 10


def test_an_au_kind_counts_only_where_it_says_occurrence(tmp_path):
    rows = ["a.png,0.45,occurrence", "b.png,0.45,", "c.png,,occurrence", "d.png,0.5,occurrence"]
    text = "\n".join(["path,AU01,au_kind", *rows])
    data = manifest.parse(text, "a.csv", tmp_path)
    assert data.occurrence().tolist() == [True, False, True, True]
    assert data.limits().tolist() == [0.5, np.float32(0.4), 0.5, 0.5]
    assert "AU01: 3 labelled, 2 present" in manifest.describe(data)
