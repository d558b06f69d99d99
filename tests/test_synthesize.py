"""synthesize.py on a generator that adds brightness to stripes: pictures, labels, shards, gates,
failures."""
import csv
import os
import signal
import subprocess
import time
from pathlib import Path

import models
import numpy as np
import pytest
from commands import ENVIRONMENT, NO_TORCH, call, command, fail, files, interruptible, succeed

import pseudo_label
import synthesize
from lib import images, manifest
from lib.synthesis import is_changed, occurring, of_one_kind

LEVELS = [[0, 0, 0, 0], [0, .2, 0, 0], [.6, .2, 0, 1], [0, 0, 0, 0]]  # exact in 8 bits
SUBJECTS = ["ann", "bob", "cyn", "dan"]


@pytest.fixture
def place(tmp_path):
    models.generator(tmp_path / "generator.onnx")
    models.classifier(tmp_path / "classifier.onnx")
    models.dataset(tmp_path, LEVELS, "source.csv", subjects=SUBJECTS)
    return tmp_path


def make(place, capsys, *arguments, source="source.csv", out="out", status=0):
    """Run in this process; (rows of the manifest, images uint8 [N,H,W,3]), or what was said when
    it fails."""
    code, text, err = call(synthesize.main, capsys, "--model", place / "generator.onnx",
                           "--out", place / out, *(["--source", place / source] if source else []),
                           *arguments)
    assert code == status, err
    assert not text
    return err if status else read(place / out / "manifest.csv")


def read(path):
    """Rows and images of a manifest."""
    images.pack.cache_clear()  # runs in one process replace packs
    data = manifest.read(path)
    return list(csv.DictReader(path.open())), np.stack([images.load(one) for one in data.images()])


def painted(rows):
    """The pictures that the labels describe."""
    return np.stack([models.paint([float(row[au]) for au in models.AUS]) for row in rows])


@pytest.mark.parametrize("form", ["npy", "png"])
def test_single_au_of_neutral_sources(place, capsys, form):
    rows, made = make(place, capsys, "--level", "0.6", "--format", form)
    # bob has AU02 at 0.2
    assert len(rows) == 8 and {row["subject"] for row in rows} == {"ann", "dan"}
    assert np.array_equal(made, painted(rows))  # edits of black images show their labels
    assert {row["source"] for row in rows} == {"synthetic"}
    assert sorted((row["subject"], row["edit"]) for row in rows) == \
        sorted((name, f"{au}=0.6") for name in ("ann", "dan") for au in models.AUS)
    sources = manifest.read(place / "source.csv")
    for row in rows:
        at = SUBJECTS.index(row["subject"])
        edited = place / "out" / row["source_path"]
        assert edited.resolve() == Path(sources.images()[at]).resolve()
    assert rows[0]["path"] == ("images.npy#0" if form == "npy" else "images/000/000000.png")


def test_all_sources_lose_their_other_aus_as_on_mnist(place, capsys):
    rows, made = make(place, capsys, "--sources", "all", "--level", "1", "--count", "6")
    assert len(rows) == 6 and np.array_equal(made, painted(rows))
    assert all(sorted(row[au] for au in models.AUS) == ["0", "0", "0", "1"] for row in rows)


def test_explicit_edits_keep_the_rest(place, capsys):
    rows, made = make(place, capsys, "--set", "AU12=0.8", "au1=0.4")
    assert [[float(row[au]) for au in models.AUS] for row in rows] == \
        [[.4, 0, .8, 0], [.4, .2, .8, 0], [.4, .2, .8, 1], [.4, 0, .8, 0]]
    assert np.array_equal(made, painted(rows))


def test_deactivate_random_and_emotions(place, capsys):
    rows, made = make(place, capsys, "--recipe", "deactivate")
    assert [row["edit"] for row in rows] == ["AU01=0", "AU26=0"]
    assert np.array_equal(made, painted(rows))
    rows, made = make(place, capsys, "--recipe", "random", "--targets", place / "source.csv",
                      "--count", "4")
    assert sorted(float(row["AU26"]) for row in rows) == [0, 0, 0, 1]
    assert np.array_equal(made, painted(rows))
    rows, _ = make(place, capsys, "--recipe", "emotions", "--level", "1")
    assert [row["expression"] for row in rows] == ["surprise"] * 2


def test_edits_of_some_aus_only(place, capsys):
    """Two neutral faces, two AUs: four edits, and two columns on the sheet beside the source. Of
    the four source rows AU26 is on in one, AU01 in one, AU02 and AU12 in none."""
    rows, made = make(place, capsys, "--aus", "au26", "AU02", "--level", "0.6",
                      "--sheet", place / "sheet.png")
    assert sorted((row["subject"], row["edit"]) for row in rows) == \
        [(name, f"{au}=0.6") for name in ("ann", "dan") for au in ("AU02", "AU26")]
    assert np.array_equal(made, painted(rows))
    assert {row["AU01"] for row in rows} == {"0"}
    assert images.load(str(place / "sheet.png")).shape[1] == (3 * 8 + 2 * 2) * 8
    code, _, said = call(synthesize.main, capsys, "--model", place / "generator.onnx", "--source",
                         place / "source.csv", "--out", place / "out", "--aus", "rarest:2",
                         "--level", "0.6")
    assert code == 0 and "rarest:2: AU02 (in 0 of 4 rows), AU12 (in 0 of 4 rows)" in said
    rows, _ = read(place / "out/manifest.csv")
    assert sorted(row["edit"] for row in rows) == ["AU02=0.6"] * 2 + ["AU12=0.6"] * 2
    rows, made = make(place, capsys, "--recipe", "balanced", "--aus", "AU26", "--count", "6")
    assert sorted(row["edit"] for row in rows) == ["AU26=0"] * 3 + ["AU26=1"] * 3
    assert np.array_equal(made, painted(rows))


@pytest.mark.parametrize("arguments, status, told", [
    (("--aus", "AU45"), 3, "--aus AU45: the model does not know it; its AUs are AU01, AU02"),
    (("--aus", "smile"), 2, "'smile' is not an action unit"),
    (("--aus", "rarest"), 2, "say AU names, or rarest:K alone"),
    (("--aus", "rarest:0"), 2, "say AU names, or rarest:K alone"),
    (("--aus", "rarest:1", "AU01"), 2, "say AU names, or rarest:K alone"),
    (("--aus", "rarest:5"), 3, "rarest:5: the sources have labels of 4 of the AUs"),
    (("--aus", "AU01", "--set", "AU01=1"), 2, "leave it out with --set"),
    (("--aus", "AU01", "--recipe", "emotions"), 3, "--recipe emotions does not edit one AU"),
    (("--aus", "AU01", "--recipe", "random"), 3, "--recipe random does not edit one AU"),
    (("--aus", "AU01", "--recipe", "mix"), 3, "--recipe mix does not edit one AU"),
])
def test_aus_that_cannot_be_chosen_are_one_line(place, capsys, arguments, status, told):
    said = make(place, capsys, *arguments, status=status)
    assert told in said and len(said.splitlines()) == 1, said


def test_a_sampler_makes_some_aus_only(place, capsys):
    models.sampler(place / "generator.onnx")
    rows, _ = make(place, capsys, "--count", "4", "--aus", "AU02", "AU12", source=None)
    assert sorted(row["edit"] for row in rows) == ["AU02=0.7"] * 2 + ["AU12=0.7"] * 2
    said = make(place, capsys, "--count", "4", "--aus", "rarest:1", source=None, status=3)
    assert "there are no rows to count; name the AUs" in said


def test_same_seed_same_bytes_and_shards_make_the_whole(place, capsys):
    arguments = ["--sources", "all", "--count", "11", "--level-range", "0.3", "1", "--seed", "5"]
    whole = make(place, capsys, *arguments)
    make(place, capsys, *arguments, out="again")
    assert files(place / "out") == files(place / "again")
    for i in (1, 2, 3):
        call(synthesize.main, capsys, "--model", place / "generator.onnx",
             "--source", place / "source.csv", "--out", place / "parts", "--shard", f"{i}/3",
             *arguments)
    assert sorted(path.name for path in (place / "parts").iterdir()) == sorted(
        f"{name}-{i}of3.{end}"
        for i in (1, 2, 3) for name, end in (("images", "npy"), ("manifest", "csv"))
    )
    succeed("-m lib.manifest", "merge", *sorted((place / "parts").glob("*.csv")),
            "--out", place / "parts/manifest.csv")
    rows, made = read(place / "parts/manifest.csv")
    assert np.array_equal(made, whole[1])
    drop = lambda row: {name: cell for name, cell in row.items() if name != "path"}
    assert [drop(row) for row in rows] == [drop(row) for row in whole[0]]


def test_registration_mismatch_is_said(place, capsys):
    models.generator(place / "generator.onnx", registration="3d-8")
    data = manifest.read(place / "source.csv")
    line = ["--model", place / "generator.onnx", "--out", place / "out",
            "--source", place / "registered.csv"]
    for registered, said in (
        ("2d-8", "expects registration '3d-8', "),
        ("", "registered.csv has unregistered images"),
        ("3d-8", ""),
        ("3d-128", ""),  # another size is no mismatch
    ):
        data.columns["registration"] = [registered] * len(data)
        data.write(place / "registered.csv")
        code, _, err = call(synthesize.main, capsys, *line)
        assert code == 0 and err.count("warning") == bool(said) and said in err
    assert set(manifest.read(place / "out/manifest.csv").text("registration")) == {"3d-128"}
    models.classifier(place / "classifier.onnx", registration="2d-8")
    said = call(synthesize.main, capsys, *line, "--check", place / "classifier.onnx",
                "--max-error", "1")[2]
    assert said.count("warning") == 1 and "classifier.onnx expects registration '2d-8'" in said
    models.generator(place / "generator.onnx")
    said = call(synthesize.main, capsys, *line)[2]
    assert said.count("warning") == 1
    assert "generator.onnx names no registration" in said
    assert "has 3d-128" in said
    data.columns.pop("registration")
    data.write(place / "registered.csv")
    assert "warning" not in call(synthesize.main, capsys, *line)[2]


def test_the_pack_that_is_edited_is_not_overwritten(place, capsys):
    (place / "images.npy").write_bytes((place / "source.npy").read_bytes())
    rows = (place / "source.csv").read_text()
    (place / "more.csv").write_text(rows.replace("source.npy", "images.npy"))
    before = files(place)
    said = make(place, capsys, source="more.csv", out=".", status=3)
    assert "images.npy: would be overwritten by what is made of it" in said
    assert files(place) == before


def test_the_folder_that_is_edited_is_not_overwritten(place, capsys):
    make(place, capsys, "--format", "png", out="first")
    before = files(place)
    for source in ("first/manifest.csv", "all.csv"):
        if source == "all.csv":  # only its images lie there
            manifest.read(place / "first/manifest.csv").write(place / "all.csv")
            before = files(place)
        said = make(place, capsys, "--format", "png", "--sources", "all", source=source,
                    out="first", status=3)
        assert "would be overwritten by what is made of it" in said
        assert files(place) == before


def test_what_is_asked_of_an_unknown_source_is_a_change():
    nan = np.nan
    labels = np.array([[0.5, 1, 0, nan], [0.5, 0, 1, nan]])
    source = np.array([[0.5, nan, nan, nan], [0, 0, 1, nan]])
    assert is_changed(labels, source).tolist() == [[False, True, True, False],
                                                   [True, False, False, False]]


def test_a_row_of_labels_is_of_one_kind():
    """AUs of five edits. An AU that changed is the target's, one that is kept the source's; a level
    beside an occurrence is 1 from level 2 (0.4) on."""
    nan = np.nan
    aus = np.array([[.4, 0, 1], [.2, 1, nan], [.4, .2, .6], [1, .2, .4], [.6, nan, nan]],
                   np.float32)
    changed = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 1], [1, 0, 0], [1, 0, 0]], bool)
    target_occurs = np.array([0, 0, 0, 1, 0], bool)
    source_occurs = np.array([1, 1, 1, 0, 1], bool)[:, None].repeat(3, 1)
    found, occurs = of_one_kind(aus, occurring(aus, changed, target_occurs, source_occurs))
    assert occurs.tolist() == [True, True, False, True, False]
    expected = [[1, 0, 1], [0, 1, nan], [.4, .2, .6], [1, 0, 1], [.6, nan, nan]]
    assert np.array_equal(found, np.array(expected, np.float32), equal_nan=True)


def test_edits_of_occurrences_keep_the_meaning_of_their_labels(place, capsys):
    """Ann, bob and dan have occurrences, cyn levels. A target of level 2 is present in each."""
    occurs = ["occurrence", "occurrence", "", "occurrence"]
    models.dataset(place, [[0, 0, 0, 0], [0, 1, 0, 0], [.6, .2, 0, 1], [0] * 4], "kinds.csv",
                   subjects=SUBJECTS)
    data = manifest.read(place / "kinds.csv")
    data.columns["au_kind"] = occurs
    data.write(place / "kinds.csv")
    rows, _ = make(place, capsys, "--set", "AU12=0.4", "AU26=0.2", source="kinds.csv")
    assert [row["au_kind"] for row in rows] == occurs
    assert [[float(row[au]) for au in models.AUS] for row in rows] == \
        [[0, 0, 1, 0], [0, 1, 1, 0], [.6, .2, .4, .2], [0, 0, 1, 0]]
    made = manifest.read(place / "out/manifest.csv")
    assert made.present(["AU12", "AU26"]).tolist() == [[1, 0]] * 4
    # all AUs set to levels: nothing of the source's occurrences is left
    rows, _ = make(place, capsys, "--set", "AU01=0.4", "AU02=0.2", "AU12=0.6", "AU26=0.8",
                   source="kinds.csv")
    assert [row["au_kind"] for row in rows] == ["intensity", "intensity", "", "intensity"]
    assert {(row["AU01"], row["AU02"]) for row in rows} == {("0.4", "0.2")}


def test_labels_that_are_read_keep_their_meaning(place, capsys):
    """In each image .6, .2, 0, 1 can be read. Of ann nothing is known, of bob an occurrence, of cyn
    a level: beside occurrences a level is 1 from 0.4 on."""
    (place / "gaps.csv").write_text("path,subject,AU02,au_kind\nsource.npy#2,ann,,\n"
                                    "source.npy#2,bob,1,occurrence\nsource.npy#2,cyn,0.2,\n")
    line = ["--set", "AU12=0.4", "--classifier", place / "classifier.onnx"]
    rows, _ = make(place, capsys, *line, source="gaps.csv")
    assert [[row[au] for au in models.AUS] for row in rows] == \
        [["0.6", "0.2", "0.4", "1"], ["1", "1", "1", "1"], ["0.6", "0.2", "0.4", "1"]]
    assert [row["au_kind"] for row in rows] == ["", "occurrence", ""]
    models.classifier(place / "classifier.onnx", au_kind="occurrence")
    rows, _ = make(place, capsys, *line, source="gaps.csv")
    assert [[row[au] for au in models.AUS] for row in rows] == \
        [["0.6", "0.2", "1", "1"], ["0.6", "1", "1", "1"], ["0.6", "0", "1", "1"]]
    assert {row["au_kind"] for row in rows} == {"occurrence"}
    # readings that are occurrences are no levels to balance
    (place / "unread.csv").write_text("path\nsource.npy#2\nsource.npy#0\n")
    said = make(place, capsys, "--recipe", "balanced", "--sources", "all", "--classifier",
                place / "classifier.onnx", source="unread.csv", status=3)
    assert "are occurrences (au_kind=occurrence)" in said and len(said.splitlines()) == 1


def test_an_edit_keeps_the_reference_of_its_person(place, capsys):
    (place / "named.csv").write_text("path,subject,reference,AU01,AU02,AU12,AU26\n"
                                     "source.npy#0,ann,source.npy#3,0,0,0,0\n"
                                     "source.npy#3,dan,,0,0,0,0\n")
    rows, _ = make(place, capsys, "--set", "AU12=0.4", source="named.csv")
    assert [row["reference"] for row in rows] == ["../source.npy#3", ""]


def test_occurrences_as_targets(place, capsys):
    """They are no levels for `balanced`; the edits of `random` are occurrences, as they are."""
    (place / "occurs.csv").write_text("path,AU01,AU02,AU12,AU26,au_kind\n"
                                      "source.npy#0,1,0,1,0,occurrence\n")
    targets = ["--sources", "all", "--targets", place / "occurs.csv"]
    said = make(place, capsys, "--recipe", "balanced", *targets, status=3)
    assert "are occurrences (au_kind=occurrence)" in said and len(said.splitlines()) == 1
    rows, _ = make(place, capsys, "--recipe", "random", *targets)
    assert [row["au_kind"] for row in rows] == ["occurrence"] * 4
    assert {tuple(row[au] for au in models.AUS) for row in rows} == {("1", "0", "1", "0")}
    models.sampler(place / "generator.onnx")
    rows, _ = make(place, capsys, "--count", "2", "--recipe", "random", "--targets",
                   place / "occurs.csv", source=None)
    assert [row["au_kind"] for row in rows] == ["occurrence"] * 2
    rows, _ = make(place, capsys, "--count", "4", source=None)
    assert "au_kind" not in rows[0]


def test_several_sources_are_edited_together(place, capsys):
    """Each adds its rows; AUs that one lacks are unlabelled there, so that its rows are not
    neutral."""
    models.dataset(place / "other", [[0, 0, 0, 0], [0, .4, 0, 0]], "more.csv",
                   subjects=["eve", "fay"])
    models.dataset(place / "third", [[0, 0, 0, 0]], "bare.csv", subjects=["gil"])
    bare = manifest.read(place / "third/bare.csv")
    bare.columns.pop("AU26")
    bare.write(place / "third/bare.csv")
    line = ["--model", place / "generator.onnx", "--out", place / "out",
            "--source", place / "source.csv", place / "other/more.csv", place / "third/bare.csv"]
    code, _, said = call(synthesize.main, capsys, *line, "--level", "0.6")
    rows, made = read(place / "out/manifest.csv")
    assert code == 0 and "12 images from 3 sources" in said and np.array_equal(made, painted(rows))
    assert {row["subject"] for row in rows} == {"ann", "dan", "eve"}
    there = {(place / "out" / row["source_path"]).resolve()
             for row in rows if row["subject"] == "eve"}
    assert [path.relative_to(place.resolve()) for path in there] == [Path("other/more.npy#0")]
    code, _, said = call(synthesize.main, capsys, "--model", place / "generator.onnx",
                         "--out", place / "other", "--source", place / "source.csv",
                         place / "out/manifest.csv", place / "other/manifest.csv")
    assert code == 3 and "other/manifest.csv: no such manifest" in said


def test_sources_without_labels_need_a_reader_or_an_assumption(place, capsys):
    (place / "bare.csv").write_text("path\nsource.npy#0\nsource.npy#2\n")
    said = make(place, capsys, "--sources", "all", source="bare.csv", status=3)
    assert "--classifier FILE.onnx" in said
    assert "--assume-neutral" in said
    assert len(said.splitlines()) == 1
    assert "--classifier" in make(place, capsys, source="bare.csv", status=3)
    assert "label of AU12" in make(place, capsys, "--set", "AU12=1", source="bare.csv", status=3)
    rows, made = make(place, capsys, "--sources", "all", "--classifier", place / "classifier.onnx",
                      source="bare.csv")
    assert len(rows) == 8 and np.array_equal(made, painted(rows))
    rows, made = make(place, capsys, "--classifier", place / "classifier.onnx", source="bare.csv")
    assert len(rows) == 4  # only the first is read as neutral
    rows, made = make(place, capsys, "--assume-neutral", source="bare.csv")
    assert len(rows) == 8 and not np.array_equal(made, painted(rows))  # the second was not neutral


def test_the_check_drops_edits_that_miss_their_target(place, capsys):
    (place / "wrong.csv").write_text(
        "path,AU01,AU02,AU12,AU26\nsource.npy#0,0,0,0,0\nsource.npy#2,0,0,0,0\n"
    )
    code, _, said = call(synthesize.main, capsys, "--model", place / "generator.onnx",
                         "--source", place / "wrong.csv", "--out", place / "out", "--level", "1",
                         "--check", place / "classifier.onnx", "--max-error", "0.3")
    rows, _ = read(place / "out/manifest.csv")
    # of the second source (really 0.6 0.2 0 1) AU26=1 and AU01=1 leave errors of (0.6 + 0.2) / 3
    # and (0.2 + 1) / 3
    assert code == 0 and [row["edit"] for row in rows[4:]] == ["AU26=1"]
    assert "5 images from 2 sources; dropped 3: other AUs moved" in said
    assert len(np.load(place / "out/images.npy")) == 5
    (place / "wrong.csv").write_text("path,AU01,AU02,AU12,AU26\nsource.npy#2,0,0,0,0\n")
    said = make(place, capsys, "--set", "AU02=0", "--check", place / "classifier.onnx",
                "--max-error", "0", source="wrong.csv", out="none", status=3)
    assert "no edit is within" in said and not (place / "none").exists()


@pytest.mark.parametrize("labels, kind, reader, at, status", [
    # the face shows 0.6, 0.2, 0, 1: present, absent, absent, present at thresholds of 0.4
    ("1,0,0,1", "occurrence", "intensity", 0.4, 0),
    ("1,0,0,1", "occurrence", "intensity", 0.7, 3),   # AU01 is read as absent: an error of 1/3
    ("1,0,0,1", "occurrence", "occurrence", 0.4, 3),  # (0.4 + 0.2 + 0) / 3 of the same kind
    ("0.4,0.2,0,1", "intensity", "occurrence", 0.4, 0),  # 0.4 is present, and 0.6 is
    ("0.2,0.2,0,1", "intensity", "occurrence", 0.4, 3),  # 0.2 is not
    ("0.4,0.2,0,1", "intensity", "intensity", 0.4, 3),  # 0.2 / 3 of levels
])
def test_the_check_does_not_subtract_levels_and_occurrences(place, capsys, labels, kind, reader, at,
                                                            status):
    models.classifier(place / "classifier.onnx", au_kind=reader,
                      thresholds=dict.fromkeys(models.AUS, at))
    (place / "face.csv").write_text(f"path,AU01,AU02,AU12,AU26,au_kind\nsource.npy#2,{labels},"
                                    f"{kind}\n")
    said = make(place, capsys, "--set", "AU12=1", "--check", place / "classifier.onnx",
                "--max-error", "0.05", source="face.csv", status=status)
    if status:
        assert "no edit is within" in said and "other AUs moved" in said


def test_relabelled_edits_have_the_labels_that_the_check_reads(place, capsys):
    """The second source really shows 0.6, 0.2, 0, 1, so that AU02 + 0.6 makes 0.6, 0.8, 0, 1: with
    thresholds of 0.4 confidence is (1/3 + 2/3 + 1 + 1) / 4. Of the first, (1 + 1/3 + 1 + 1) / 4."""
    (place / "wrong.csv").write_text(
        "path,subject,AU01,AU02,AU12,AU26\nsource.npy#0,ann,0,0,0,0\nsource.npy#2,bob,0,0,0,0\n"
    )
    line = ["--set", "AU02=0.6"]
    check = ["--check", place / "classifier.onnx", "--relabel", "--batch", "1", "--max-error", "0"]
    rows, made = make(place, capsys, *line, *check, source="wrong.csv")
    assert [[float(row[au]) for au in models.AUS] for row in rows] == [[0, .6, 0, 0],
                                                                        [.6, .8, 0, 1]]
    assert np.array_equal(made, painted(rows))
    assert [(row["valence"], row["arousal"]) for row in rows] == [("-1", "1"), ("0.2", "-0.2")]
    assert [row["expression"] for row in rows] == ["neutral", "happiness"]
    assert [row["confidence"] for row in rows] == ["0.8333", "0.7500"]
    assert {(row["edit"], row["source"]) for row in rows} == {("AU02=0.6", "synthetic")}
    # pseudo_label.py says the same of the same edits, but for where they come from
    make(place, capsys, *line, source="wrong.csv", out="plain")
    code, _, said = call(pseudo_label.main, capsys, "--model", place / "classifier.onnx",
                         "--images", place / "plain/manifest.csv", "--relabel",
                         "--out", place / "plain/p.csv")
    assert code == 0, said
    assert [{**row, "source": "synthetic"} for row in read(place / "plain/p.csv")[0]] == rows


def test_labels_that_the_check_does_not_read_stay(place, capsys):
    """A reader of two halves of a picture: 0.6, 0.8, 0, 1 is AU01 at 0.7 and AU02 at 0.5."""
    models.classifier(place / "classifier.onnx", aus=models.AUS[:2], only=["au", "features"])
    (place / "wrong.csv").write_text("path,AU01,AU02,AU12,AU26,au_kind\n"
                                     "source.npy#2,0,0,0,0,occurrence\n")
    code, _, said = call(synthesize.main, capsys, "--model", place / "generator.onnx", "--source",
                         place / "wrong.csv", "--out", place / "out", "--set", "AU02=0.6",
                         "--check", place / "classifier.onnx", "--relabel")
    assert code == 0 and "does not read AU12, AU26; these labels stay what was asked for" in said
    assert f"1 images from 1 sources, labelled by {place / 'classifier.onnx'}" in said
    row, = read(place / "out/manifest.csv")[0]
    # as the AUs that stay are: both readings are above level 2
    assert [row[au] for au in models.AUS] == ["1", "1", "0", "0"]
    assert row["au_kind"] == "occurrence"
    assert "expression" not in row


def test_levels_that_a_reader_of_occurrences_leaves_become_occurrences(place, capsys):
    """The image of 0.6, 0.8, 0, 1 is read as AU01 at 0.7 and AU02 at 0.5. AU12 and AU26 were asked
    for at 0.4 and 0.2: present, and not."""
    models.classifier(place / "classifier.onnx", aus=models.AUS[:2], only=["au", "features"],
                      au_kind="occurrence")
    (place / "plain.csv").write_text("path,AU01,AU02,AU12,AU26\nsource.npy#2,0,0,0.4,0.2\n")
    rows, _ = make(place, capsys, "--set", "AU02=0.6", "--check", place / "classifier.onnx",
                   "--relabel", source="plain.csv")
    assert [[row[au] for au in models.AUS] for row in rows] == [["0.7", "0.5", "1", "0"]]
    assert rows[0]["au_kind"] == "occurrence"


def test_samples_are_relabelled(place, capsys):
    models.sampler(place / "generator.onnx")
    rows, made = make(place, capsys, "--count", "4", "--check", place / "classifier.onnx",
                      "--relabel", source=None)
    shown = made[:, 0, ::2, 0] / 255
    found = [[float(row[au]) for au in models.AUS] for row in rows]
    assert np.array(found) == pytest.approx(shown, abs=1e-4)


@pytest.mark.parametrize("arguments, status, told", [
    (("--relabel",), 2, "--relabel needs --check FILE.onnx"),
    (("--relabel", "--check", "nothing.onnx"), 3, "nothing.onnx: labels nothing that a manifest"),
])
def test_what_cannot_be_relabelled_is_one_line(place, capsys, monkeypatch, arguments, status, told):
    monkeypatch.chdir(place)
    floats, levels = models.TensorProto.FLOAT, models.TensorProto.UINT8
    models.save(place / "nothing.onnx", [("Cast", ["image"], ["features"], {"to": floats})], {},
                {"image": (levels, ["N", 8, 8, 3])}, {"features": (floats, ["N", 8, 8, 3])},
                {"kind": "classifier", "image_size": 8})
    said = make(place, capsys, *arguments, status=status)
    assert told in said and len(said.splitlines()) == 1, said
    assert not (place / "out").exists()


def test_a_check_compares_with_the_reference_of_each_source(place, capsys):
    """The check reads what a face shows more than its reference. Ann's reference is the mean of
    her images, AU01 at 0 and 0.4; eve's are named."""
    models.classifier(place / "classifier.onnx", reference=True)
    models.dataset(place, [[0, 0, 0, 0], [.4, 0, 0, 0], [.2, 0, 0, 0], [.2, 0, 0, 0]], "faces.csv",
                   subjects=["ann", "ann", "eve", "eve"])
    data = manifest.read(place / "faces.csv")
    data.columns["reference"] = ["", "", "faces.npy#3", "faces.npy#0"]
    data.columns["AU01"] = ["0"] * 4
    data.write(place / "faces.csv")
    rows, _ = make(place, capsys, "--set", "AU12=0.8", "--check", place / "classifier.onnx",
                   "--max-error", "0.06", source="faces.csv")
    # of AU12 nothing is missed; AU01 is read as -0.2 (which is 0), 0.2, 0 and 0.2, and a third of
    # that is more than 0.06
    assert [row["source_path"][-1] for row in rows] == ["0", "2"]
    data.columns["subject"] = [""] * 4
    data.write(place / "faces.csv")
    said = make(place, capsys, "--check", place / "classifier.onnx", source="faces.csv", out="none",
                status=3)
    assert "faces.csv: row 2: " in said and "needs a person's reference image" in said
    assert len(said.splitlines()) == 1 and not (place / "none").exists()
    models.sampler(place / "generator.onnx")
    said = make(place, capsys, "--check", place / "classifier.onnx", "--count", "2", source=None,
                out="none", status=3)
    assert "makes faces of nobody; give a classifier without references" in said
    assert len(said.splitlines()) == 1


def test_sampling_generators_need_no_source(place, capsys):
    models.sampler(place / "generator.onnx")
    rows, made = make(place, capsys, "--count", "8", "--level", "0.6",
                      "--sheet", place / "sheet.png", "--seed", "3", source=None)
    assert len(rows) == 8 and "source_path" not in rows[0]
    for i, (row, image) in enumerate(zip(rows, made)):
        # an image's own, whatever the count
        noise = np.random.default_rng([3, i]).standard_normal(3, np.float32)[0]
        wanted = [float(row[au]) * 255 + noise for au in models.AUS]
        assert image[0, ::2, 0] == pytest.approx(np.clip(np.round(wanted), 0, 255))
    assert "how many with --count" in make(place, capsys, source=None, status=3)


def test_sheet_has_a_row_a_source_and_a_column_an_au(place, capsys):
    code, _, said = call(synthesize.main, capsys, "--model", place / "generator.onnx",
                         "--source", place / "source.csv", "--out", place / "out", "--level", "1",
                         "--sheet", place / "sheets/one.png")
    assert code == 0 and "source, AU01, AU02, AU12, AU26" in said
    # drawn at eight times the size
    sheet = images.load(str(place / "sheets/one.png"))[::8, ::8, 0]
    assert sheet.shape == (2 * 8 + 2, 5 * 8 + 4 * 2)
    assert not sheet[:8, :8].any()  # the neutral source
    for column in range(4):
        assert np.array_equal(sheet[:8, 10 * (column + 1):][:, :8],
                              models.paint(np.eye(4)[column])[..., 0])


def test_one_photo(place, capsys):
    images.save(place / "photo.png", models.paint([0, .2, 0, 0]).repeat(4, 0).repeat(4, 1))
    line = ["--model", place / "generator.onnx", "--image", place / "photo.png",
            "--out", place / "edited.png", "--registration", "none"]
    edit = ["--assume-neutral", "--set", "AU26=0.6"]
    assert call(synthesize.main, capsys, *line, *edit) == (0, "", "")
    edited = images.load(str(place / "edited.png"))
    assert edited.shape == (8, 8, 3)
    assert edited[4, [0, 3, 5, 7], 0] == pytest.approx([0, 51, 0, 153], abs=6)
    code, _, said = call(synthesize.main, capsys, *line, "--set", "AU26=0.6")
    assert code == 3 and "--assume-neutral" in said
    # of the model's size: a face already, which is said
    images.save(place / "photo.png", models.paint([0, .2, 0, 0]))
    code, _, said = call(synthesize.main, capsys, *line[:-2], *edit)
    assert code == 0 and len(said.splitlines()) == 1
    assert "photo.png: is 8x8" in said
    assert "taken for a registered face" in said
    assert "--registration tight" in said
    assert call(synthesize.main, capsys, *line)[0] == 2


@pytest.mark.parametrize("case, status, mentions", [
    ("recipe", 2, "invalid choice: 'smile'"), ("set", 2, "--set AU12=2"),
    ("range", 2, "LOW first"), ("nothing to edit", 3, "--source FILE.csv or --image"),
    ("other labels", 3, "has none of the AUs"), ("missing", 3, "no such image"),
    ("truncated", 3, "cannot be decoded"), ("AU 7.3", 3, "'7.3' is not in [0, 1]"),
    ("AU1", 3, "rename it to 'AU01'"), ("empty", 3, "no rows"), ("unknown AU", 3, "--set AU45"),
    ("classifier", 3, "is a classifier, not a generator"),
    ("itself", 3, "overwritten by what is made of it")
])
def test_bad_input_is_one_line_and_leaves_the_old_set(place, capsys, case, status, mentions):
    make(place, capsys)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    images.save(place / "whole.png", noise)
    (place / "cut.jpg").write_bytes((place / "whole.png").read_bytes()[:500])
    labels, zeros = ",".join(models.AUS), ",0,0,0,0"
    (place / "in.csv").write_text({
        "missing": f"path,{labels}\nsource.npy#0{zeros}\nnone.png{zeros}\n",
        "truncated": f"path,{labels}\nsource.npy#0{zeros}\ncut.jpg{zeros}\n",
        "AU 7.3": "path,AU12\nsource.npy#0,7.3\n",
        "AU1": "path,AU1\nsource.npy#0,0\n",
        "empty": f"path,{labels}\n",
        "other labels": "path,AU09\nsource.npy#0,0\n",
    }.get(case, f"path,{labels}\nsource.npy#0{zeros}\n"))
    more = {
        "recipe": ["--recipe", "smile"],
        "set": ["--set", "AU12=2"],
        "range": ["--level-range", "0.8", "0.2"],
        "unknown AU": ["--set", "AU45=1"],
    }.get(case, [])
    source = [] if case == "nothing to edit" else ["--source", place / "in.csv"]
    if case == "itself":
        source = ["--source", place / "out/manifest.csv", "--sources", "all"]
    before = files(place)
    model = place / ("classifier.onnx" if case == "classifier" else "generator.onnx")
    for form in ("npy", "png"):
        code, out, err = call(synthesize.main, capsys, "--model", model, *source,
                              "--out", place / "out", "--format", form, *more)
        assert code == status and mentions in err and len(err.splitlines()) == 1 and not out, err
        assert files(place) == before


def test_the_sheet_is_there_before_the_manifest(place, capsys, monkeypatch):
    """A kill between the two would leave a set that looks complete to make, and no sheet."""
    from lib import image_sets

    def killed(self, columns):
        raise KeyboardInterrupt
    monkeypatch.setattr(image_sets.ImageSet, "finish", killed)
    code, _, _ = call(synthesize.main, capsys, "--model", place / "generator.onnx",
                      "--source", place / "source.csv", "--out", place / "out",
                      "--sheet", place / "sheet.png")
    assert code == 130 and (place / "sheet.png").exists() and not (place / "out").exists()


def test_a_killed_run_leaves_no_manifest_and_a_rerun_ends_in_the_same_bytes(place):
    line = ["--model", "generator.onnx", "--source", "source.csv", "--sources", "all",
            "--count", "2100", "--level-range", "0.1", "1", "--format", "png", "--out"]
    running = subprocess.Popen(command("synthesize.py", *line, "killed"), cwd=place,
                               env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while (not list((place / "killed").glob(".images.tmp/000/*.png"))
           and time.monotonic() < deadline):
        time.sleep(0.01)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert (place / "killed/.images.tmp").is_dir() and not (place / "killed/manifest.csv").exists()
    for out in ("killed", "whole"):
        succeed("synthesize.py", *line, out, cwd=place)
    found = files(place / "whole")
    assert len(found) == 2101 and "images/002/002099.png" in found  # 1,000 a folder
    assert files(place / "killed") == found


def test_files_that_are_not_ours_are_not_replaced(place, capsys):
    (place / "out/images").mkdir(parents=True)
    (place / "out/images/holiday.png").write_text("mine")
    assert "not of a synthetic set" in make(place, capsys, "--format", "png", status=3)
    assert files(place / "out") == {"images/holiday.png": b"mine"}


@pytest.mark.parametrize("sent, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopping_cleans_up(place, sent, status):
    line = command("synthesize.py", "--model", "generator.onnx", "--source", "source.csv",
                   "--sources", "all", "--count", "60000", "--format", "png", "--out", "stopped")
    running = subprocess.Popen(line, cwd=place, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
                               preexec_fn=interruptible)
    deadline = time.monotonic() + 30
    while (not list((place / "stopped").glob(".images.tmp/000/*.png"))
           and time.monotonic() < deadline):
        time.sleep(0.01)
    running.send_signal(sent)
    _, said = running.communicate(timeout=20)
    assert running.returncode == status and "Traceback" not in said, said
    assert not (place / "stopped").exists()


def test_torch_is_never_imported_and_help_is_quick(place):
    start = sum(os.times()[2:4])
    succeed("synthesize.py", "--help")
    assert sum(os.times()[2:4]) - start < 0.7  # processor seconds of the process that ran it
    python, *line = command("synthesize.py", "--model", "generator.onnx", "--source", "source.csv",
                            "--out", "out", "--classifier", "classifier.onnx",
                            "--check", "classifier.onnx", "--sheet", "sheet.png")
    done = subprocess.run([python, "-c", NO_TORCH, *line], cwd=place, env=ENVIRONMENT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unwritable_place_is_said_in_one_line(place):
    fail(3, "classifier.onnx/x", "synthesize.py", "--model", "generator.onnx",
         "--source", "source.csv", "--out", "classifier.onnx/x", cwd=place)
