"""Splits: nobody on two sides, sizes, seeds, folds, and the best of many being better than the
average."""
import contextlib
import io
import signal
import sys

import numpy as np
import pytest

from lib import cli, manifest
from lib.cli import BadInput
from lib.datasets import split


def people(tmp_path, subjects=30, seed=0, name="s"):
    """A manifest of uneven people: each has its own number of images, favourite AUs and place in
    VA."""
    random = np.random.default_rng(seed)
    columns = {key: [] for key in ("path", "subject", "AU01", "AU12", "au_kind", "valence",
                                   "arousal", "expression")}
    for person in range(subjects):
        often, mood = random.random(2), random.uniform(-0.9, 0.9, 2)
        for i in range(random.integers(5, 60)):
            columns["path"].append(f"{person}/{i}.png")
            columns["subject"].append(f"{name}{person}")
            columns["AU01"].append("" if i % 7 == 0 else f"{random.random() * often[0]:.2f}")
            columns["AU12"].append(f"{random.random() * often[1]:.2f}")
            columns["au_kind"].append("intensity")
            columns["valence"].append(f"{np.clip(mood[0] + random.normal() / 9, -1, 1):.2f}")
            columns["arousal"].append(f"{np.clip(mood[1] + random.normal() / 9, -1, 1):.2f}")
            columns["expression"].append(("happiness", "sadness")[int(often[0] * 2)])
    manifest.write(tmp_path / "all.csv", columns)
    return tmp_path / "all.csv"


def command(*words):
    """Run the command in this process: (exit status, what was said)."""
    argv, handler, said = sys.argv, signal.getsignal(signal.SIGTERM), io.StringIO()
    sys.argv = ["split.py", *map(str, words)]
    try:
        with contextlib.redirect_stderr(said):
            cli.run(split.main)
    except SystemExit as end:
        return end.code, said.getvalue()
    finally:
        sys.argv = argv
        signal.signal(signal.SIGTERM, handler)


def split_up(path, out, *options):
    """(exit status, what was said, {part: Manifest} of what was written)."""
    status, said = command(path, "--out", out, *options)
    parts = {file.stem: manifest.read(file)
             for file in out.rglob("*.csv") if file.stem != "subjects"}
    return status, said, parts


def who(part):
    return set(part.text("subject"))


def test_fractions_are_disjoint_and_near(tmp_path):
    path = people(tmp_path)
    status, said, parts = split_up(path, tmp_path / "out", "--tries", 200)
    assert status == 0, said
    total = manifest.read(path)
    assert set(parts) == {"labelled", "validation", "test"}
    assert sum(map(len, parts.values())) == len(total)
    for name, share in zip(("labelled", "validation", "test"), (0.7, 0.15, 0.15)):
        assert abs(len(parts[name]) / len(total) - share) < 0.05
    assert not who(parts["labelled"]) & who(parts["test"])
    assert not who(parts["labelled"]) & who(parts["validation"])
    assert not who(parts["validation"]) & who(parts["test"])
    assert parts["test"].images()[0].startswith(str(tmp_path)) and "largest gap" in said
    order = total.images()
    places = [order.index(image) for image in parts["labelled"].images()]
    assert places == sorted(places)  # rows keep their order, which temporal methods need


def test_best_of_many_is_better_than_the_average(tmp_path):
    data = manifest.read(people(tmp_path))
    group, _ = split.groups_of(data)
    _, counts, blocks = split.statistics(data)
    part, score, mean = split.best_split(group, counts, blocks, (0.7, 0.15, 0.15), 300, 0)
    ones = [split.best_split(group, counts, blocks, (0.7, 0.15, 0.15), 1, seed)[1]
            for seed in range(20)]
    assert score < 0.75 * mean and score < min(ones) and abs(np.mean(ones) - mean) < 0.05
    again, _, _ = split.best_split(group, counts, blocks, (0.7, 0.15, 0.15), 300, 0)
    other, _, _ = split.best_split(group, counts, blocks, (0.7, 0.15, 0.15), 300, 1)
    assert (part == again).all() and (part != other).any()


def test_gaps_by_hand():
    blocks = [("au", "AU01", slice(0, 2)), ("histogram", "valence", slice(2, 4))]
    whole = np.array([100.0, 20, 50, 50])
    assert split.gaps(np.array([50.0, 10, 25, 25]), whole, blocks).tolist() == [0, 0]
    assert np.allclose(split.gaps(np.array([50.0, 20, 40, 10]), whole, blocks), [0.2, 0.3])
    # lacks it altogether
    assert split.gaps(np.array([50.0, 0, 0, 0]), whole, blocks).tolist() == [1, 1]


def test_folds(tmp_path):
    path = people(tmp_path)
    status, said, _ = split_up(path, tmp_path / "out", "--folds", 3, "--tries", 50)
    assert status == 0, said
    tests = []
    for k in (1, 2, 3):
        parts = {name: manifest.read(tmp_path / f"out/fold{k}/{name}.csv") for name in split.PARTS}
        sides = [who(part) for part in parts.values()]
        assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
        assert len(set.union(*sides)) == 30
        tests.append(sides[2])
    assert len(set.union(*tests)) == 30 and sum(map(len, tests)) == 30


def test_disfa_folds(tmp_path):
    subjects = [f"disfa-{subject}" for fold in split.DISFA for subject in fold]
    assert len(set(subjects)) == 27
    manifest.write(tmp_path / "all.csv", {"path": [f"{s}.png" for s in subjects],
                                          "subject": subjects, "AU01": [i % 2 for i in range(27)]})
    status, said, _ = split_up(tmp_path / "all.csv", tmp_path / "out", "--protocol", "disfa",
                               "--tries", 5)
    assert status == 0, said
    second = manifest.read(tmp_path / "out/fold2/test.csv")
    assert who(second) == {"disfa-SN" + n for n in "013 018 011 028 012 006 031 021 024".split()}
    assert len(manifest.read(tmp_path / "out/fold2/validation.csv")) in (2, 3)
    manifest.write(tmp_path / "all.csv", {"path": ["a.png"], "subject": ["bp4d-F001"]})
    status, said, _ = split_up(tmp_path / "all.csv", tmp_path / "out2", "--protocol", "disfa")
    assert status == 3 and "none of DISFA's 27" in said and len(said.splitlines()) == 1


def test_leave_one_subject_out(tmp_path):
    path = people(tmp_path, 4)
    status, said, _ = split_up(path, tmp_path / "out", "--protocol", "leave-one-out", "--tries", 5)
    assert status == 0, said
    assert [who(manifest.read(tmp_path / f"out/fold{k}/test.csv")) for k in (1, 2, 3, 4)] == [
        {"s0"}, {"s1"}, {"s2"}, {"s3"}]
    third = [who(manifest.read(tmp_path / f"out/fold3/{name}.csv"))
             for name in ("labelled", "validation")]
    assert len(third[0]) == 2 and len(third[1]) == 1 and not third[0] & third[1]
    manifest.write(tmp_path / "bare.csv", {"path": ["a.png", "b.png"], "subject": ["ann", ""]})
    status, said = command(tmp_path / "bare.csv", "--out", tmp_path / "out2",
                           "--protocol", "leave-one-out")
    assert status == 3 and "without a subject" in said


def test_one_subject_cannot_be_left_out(tmp_path):
    path = people(tmp_path, 1)
    status, said, parts = split_up(path, tmp_path / "out", "--protocol", "leave-one-out")
    assert status == 3 and not parts and len(said.splitlines()) == 1
    assert "has 1 subject(s)" in said and "two are needed" in said


def test_sizes_of_parts_by_hand():
    assert split.groups_a_part(10, [0.7, 0.15, 0.15]).tolist() == [7, 2, 1]  # 7, 1.5, 1.5
    assert split.groups_a_part(3, [0.98, 0.01, 0.01]).tolist() == [1, 1, 1]
    assert split.groups_a_part(7, [0.5, 0, 0.5]).tolist() == [4, 0, 3]


def test_unlabelled_people_lose_their_labels(tmp_path):
    path = people(tmp_path)
    _, _, parts = split_up(path, tmp_path / "out", "--unlabelled", 0.5, "--tries", 50)
    hidden = parts["unlabelled"]
    assert hidden.au_names == [] and not {"valence", "expression", "au_kind"} & set(hidden.columns)
    assert 0.35 < len(hidden) / (len(hidden) + len(parts["labelled"])) < 0.65
    others = who(parts["labelled"]) | who(parts["test"]) | who(parts["validation"])
    assert not who(hidden) & others
    # an earlier split's files must not stay behind
    _, _, parts = split_up(path, tmp_path / "out", "--tries", 5)
    assert "unlabelled" not in parts


def test_only_an_earlier_splits_files_are_replaced(tmp_path):
    path = people(tmp_path)
    out = tmp_path / "out"
    assert command(path, "--out", out, "--tries", 5)[0] == 0
    before = {file: file.read_bytes() for file in out.iterdir()}
    (tmp_path / "link").symlink_to(out)
    for folder in (out, tmp_path / "link"):
        status, said = command(out / "labelled.csv", "--out", folder, "--tries", 5)
        assert status == 3
        assert said == (f"split.py: {out}/labelled.csv: would be overwritten by its own parts; "
                        "choose another --out\n")
    assert {file: file.read_bytes() for file in out.iterdir()} == before
    for kind in ((), ("--folds", 2)):
        place = tmp_path / f"foreign{len(kind)}" / ("fold2" if kind else "")
        place.mkdir(parents=True)
        (place / "unlabelled.csv").write_text("mine")
        status, said = command(path, "--out", tmp_path / f"foreign{len(kind)}", "--tries", 5, *kind)
        assert status == 3
        assert f"{place}/unlabelled.csv: is there and not of an earlier split" in said
        assert [file.name for file in place.iterdir()] == ["unlabelled.csv"]
    # who is in which video: no split's either
    (place / "subjects.csv").write_text("video,subject\n")
    assert command(path, "--out", tmp_path / "foreign2", "--tries", 5, "--folds", 2)[0] == 3


def test_own_partition(tmp_path):
    columns = {"path": list("abcdef"), "subject": ["1", "1", "2", "3", "4", "5"],
               "AU01": ["1", "", "0", "1", "0", "1"],
               "partition": ["train", "train", "validation", "test", "mixed", ""]}
    manifest.write(tmp_path / "all.csv", columns)
    status, said, parts = split_up(tmp_path / "all.csv", tmp_path / "out", "--protocol", "column")
    assert status == 0 and "1 rows of mixed partition" in said
    assert {name: part.text("path")[0][-1] for name, part in parts.items()} == {
        "labelled": "a", "unlabelled": "b", "validation": "c", "test": "d"}
    columns["subject"][3] = "1"
    manifest.write(tmp_path / "all.csv", columns)
    status, said, _ = split_up(tmp_path / "all.csv", tmp_path / "out3", "--protocol", "column")
    assert status == 3 and "share 1 subject" in said


def test_people_of_two_sets_stay_together(tmp_path):
    """DISFA and DISFA+ share subject keys: split as one, nobody lands on two sides."""
    first, second = people(tmp_path / "a", 6), people(tmp_path / "b", 6, seed=1)
    status, said = command(first, second, "--out", tmp_path / "out", "--tries", 20)
    assert status == 0, said
    sides = [who(manifest.read(tmp_path / f"out/{name}.csv"))
             for name in ("labelled", "validation", "test")]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 6


def test_too_few_people_and_wrong_fractions(tmp_path):
    path = people(tmp_path, 2)
    status, said, _ = split_up(path, tmp_path / "out")
    assert status == 3 and "2 subject(s) cannot be split into 3 parts" in said
    status, said, _ = split_up(path, tmp_path / "out", "--fractions", 0.5, 0.5, 0.5)
    assert status == 2
    status, said, parts = split_up(path, tmp_path / "out", "--fractions", 0.5, 0, 0.5)
    assert status == 0 and set(parts) == {"labelled", "test"}


def test_sizes_hold_with_many_parts():
    """However uneven people are, no part stays empty."""
    group = np.repeat(np.arange(5), [1000, 1, 1, 1, 1])
    for seed in range(20):
        part, _, _ = split.best_split(group, np.zeros((len(group), 0)), [], [0.25] * 4, 1, seed)
        assert set(part) == {0, 1, 2, 3}
    with pytest.raises(BadInput):
        split.best_split(group, np.zeros((len(group), 0)), [], [1 / 6] * 6, 1, 0)
