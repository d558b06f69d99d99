"""The registration experiment: its pictures, its report by pose, its tables."""
import json

import numpy as np
import pytest
from commands import call

import evaluate as script
from lib import manifest
from lib.datasets import rendered_poses
from lib.evaluation import classifier_report, comparison


def test_frames_are_chosen_so_that_no_au_is_rare():
    have = np.zeros((100, 2), bool)
    # AU 0 in four frames, AU 1 in 37, both in frame 3; none in 60
    have[:4, 0], have[3:40, 1] = True, True
    rows = rendered_poses.evenly(have, 12, np.random.default_rng(0))
    assert len(set(rows)) == 12 and list(rows) == sorted(rows)
    assert have[rows, 0].sum() == 4
    assert have[rows, 1].sum() in (4, 5)
    assert (~have[rows].any(1)).sum() == 4
    more = rendered_poses.evenly(have, 30, np.random.default_rng(0))  # AU 0 has no more
    assert len(set(more)) == 30 and have[more, 0].sum() == 4
    assert list(rendered_poses.evenly(have[:3], 9, np.random.default_rng(0))) == [0, 1, 2]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    pytest.importorskip("anny", reason="anny is not installed, which renders faces")
    out = tmp_path_factory.mktemp("poses")
    arguments = ["--out", str(out), "--training", "15", "--validation", "2", "--test", "1",
                 "--people", "2", "--size", "96", "--workers", "1"]
    rendered_poses.main(arguments)
    def times():
        return {path.name: path.stat().st_mtime_ns
                for path in out.iterdir() if path.name != "sheet.png"}

    before = times()
    rendered_poses.main(arguments)  # nothing to do
    assert before == times()
    return {name: manifest.read(out / f"{name}.csv") for name in rendered_poses.KINDS}


def test_pictures_show_other_people_and_a_test_frame_in_nine_poses(pictures):
    assert [len(data) for data in pictures.values()] == [15, 2, 9]
    names = [set(data.text("subject")) for data in pictures.values()]
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
    test = pictures["test"]
    assert test.au_names == ["AU01", "AU04", "AU06", "AU10", "AU12", "AU14", "AU17"]
    with_frowns = sorted([*test.au_names, "AU15"])
    assert pictures["training"].au_names == pictures["validation"].au_names == with_frowns
    assert np.ptp(test.aus(), axis=0).max() == 0 and len(set(test.text("session"))) == 1
    turns = list(zip(test.numbers("yaw"), test.numbers("pitch")))
    assert len(set(turns)) == 9
    assert set(turns) == {(y, p) for y in (-40, -20, 0) for p in (-40, -20, 0)}
    assert not pictures["training"].numbers("yaw").any()


def test_turns_have_the_signs_of_pose(pictures):
    from lib import images
    from lib.cli import BadInput
    from lib.faces import align, landmarks, models
    from lib.faces.geometry import angles, similarity

    try:
        models.check()
    except BadInput as error:
        pytest.skip(str(error))
    seen = {}
    places = zip(*(pictures["test"].numbers(name) for name in ("yaw", "pitch")))
    for place, picture in zip(places, pictures["test"].images()):
        for face in landmarks.faces_in(images.load(picture))[:1]:
            seen[place] = angles(similarity(align.template()[align.STABLE],
                                            face.points[align.STABLE])[1])
    turn = np.subtract(seen[-20, -20], seen[0, 0])[:2]  # yaw and pitch
    assert turn[0] == pytest.approx(-20, abs=8) and turn[1] == pytest.approx(-20, abs=12)


def by_hand():
    """Two poses: in one, predictions are all 0.1 too high; in the other one image of three is
    found, then two."""
    truth = np.array([[0], [.2], [.4], [0], [.4]])
    scores = np.array([[.1], [.3], [.5], [.4], [0]])
    where = [("0", "0")] * 3 + [("-40", "0")] * 2
    return classifier_report.by_section(truth, scores, ["AU12"], ["yaw", "pitch"], where,
                                        where + [("-40", "0")])


def test_by_section_by_hand():
    frontal, turned = by_hand()["cells"]
    assert frontal["at"] == {"yaw": "0", "pitch": "0"} and (frontal["n"], frontal["of"]) == (3, 3)
    # consistency forgives the offset
    assert frontal["per_au"]["AU12"] == pytest.approx({"icc": 1, "mae": .1})
    assert (turned["n"], turned["of"]) == (2, 3)
    # the order turned round
    assert turned["per_au"]["AU12"] == pytest.approx({"icc": -1, "mae": .4})
    nothing = np.zeros((0, 1))
    section = classifier_report.by_section(nothing, nothing, ["AU12"], ["yaw"], [], [("0",)])
    empty = section["cells"][0]
    assert (empty["n"], empty["of"], empty["mean"]["icc"]) == (0, 1, None)


def test_tables_by_pose(tmp_path):
    paths = []
    for condition, seed, data in (("real-2d", 1, "x"), ("real-2d", 2, "x"),
                                  ("synthetic-3d", 1, "y")):
        path = tmp_path / f"quick/registration/{condition}/seed{seed}/report.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"n": 5, "subjects": 1, "au": {}, "data": {"digest": data},
                                    "by": {**by_hand(), "of": {"digest": "whole"}}}))
        paths.append(path)
    text = comparison.tables(paths)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]]
             for line in text.splitlines() if line.startswith("|")]
    assert text.count("###") == 2
    assert "ICC 0.489 (real-3d, table 5), 0.525 (synthetic-3d, table 2)." in text
    assert ["real-2d", "2", "1.000 ± 0.000", "1.000 ± 0.000", "0.100 ± 0.000", "3 of 3"] in lines
    assert ["synthetic-3d", "1", "1.000", "1.000", "0.100", "3 of 3"] in lines
    assert ["synthetic-3d", "0", "-1.000 (2 of 3)", "1.000 (3 of 3)", "0.000"] in lines


def test_by_refuses_what_it_cannot_do(tmp_path, capsys):
    import models

    models.classifier(tmp_path / "c.onnx")
    models.dataset(tmp_path, [[0, 0, 0, 0], [1, 1, 1, 1]])
    line = ["--model", tmp_path / "c.onnx", "--test", tmp_path / "set.csv"]
    status, _, said = call(script.main, capsys, *line, "--by", "yaw")
    assert status == 3 and "has no column 'yaw' for --by" in said
    assert call(script.main, capsys, *line, "--of", tmp_path / "set.csv")[0] == 2
    # images that a stride leaves out would count as missing
    status, _, said = call(script.main, capsys, *line, "--by", "subject", "--of",
                           tmp_path / "set.csv", "--stride", "2")
    assert status == 2 and "--stride leaves images out" in said
    # of s0 and s1 the whole has s0 alone: the image of s1 would be in no cell
    whole = models.dataset(tmp_path, [[0, 0, 0, 0]], "whole.csv")
    status, out, said = call(script.main, capsys, *line, "--by", "subject", "--of", whole)
    assert status == 3 and not out and said.count("\n") == 1
    assert "set.csv: row 3 is at subject 's1', and" in said
    # --by is of AUs, and a set of expressions has none
    data = manifest.read(tmp_path / "set.csv")
    manifest.write(tmp_path / "named.csv", {
        "path": data.columns["path"], "subject": data.columns["subject"],
        "expression": ["neutral", "happiness"]})
    status, out, said = call(script.main, capsys, "--model", tmp_path / "c.onnx", "--test",
                             tmp_path / "named.csv", "--by", "subject")
    assert status == 3 and "gives ICC and MAE of AUs" in said and said.count("\n") == 1
    status, text, _ = call(script.main, capsys, *line, "--by", "subject",
                           "--of", tmp_path / "set.csv")
    assert status == 0 and sum(cell["n"] for cell in json.loads(text)["by"]["cells"]) == 2
