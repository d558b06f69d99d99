"""Sessions in which only the expression changes, where their skin goes, and an editor that learns
from it."""
import numpy as np
import pytest
import torch

from lib import manifest
from lib.cli import BadInput
from lib.generators import motion
from lib.rendering import behaviour, farm, motion as rendered, plan
from lib.rendering.units import AUS, INDEX, NAMES


def still(count=30):
    return plan.draw("labelled", 3, count, 2, "still", 20.0, "world")


def test_only_the_expression_changes_in_a_still_session():
    drawn = still(600)
    for name in ("pose", "shift", "gaze", "grain"):
        values = getattr(drawn, name).reshape(40, 15, -1)
        assert (values == values[:, :1]).all()
    assert drawn.motion
    assert not drawn.levels[::15].any()
    assert (drawn.expression[::15] == "neutral").all()
    alone = drawn.levels.reshape(40, 15, -1)[:, 1:1 + plan.STILL_ALONE].reshape(-1, len(AUS))
    times = (alone >= .4).sum(0)
    assert times.min() >= 12  # 240 of 20 AUs; an open jaw parts the lips, too
    start = 1 + plan.STILL_ALONE
    emotions = drawn.levels.reshape(40, 15, -1)[:, start:start + plan.STILL_EMOTIONS]
    smiles = (emotions[..., INDEX[12]] > 0) & (emotions[..., INDEX[6]] > 0)
    assert .1 < smiles.mean() < .4  # 2 of 8 kinds
    assert {au for _, aus in behaviour.USUAL for au in aus} <= set(AUS)


def test_motion_is_where_the_skin_goes():
    """Moved by the field, the frame at rest comes near the frame that acts, skin for skin; at rest
    nothing moves."""
    drawn = still(15)
    fields = farm.motions(drawn, 32)
    assert fields.shape == (15, 16, 16, 4) and fields.dtype == np.float16
    assert not np.nan_to_num(fields[0]).any()
    jaw = plan.draw("labelled", 3, 15, 1, "still", 0.0, "world")
    jaw.levels[:], jaw.left[:], jaw.right[:] = 0, 0, 0
    jaw.left[1, INDEX[27]] = jaw.right[1, INDEX[27]] = 1.0
    down = farm.motions(jaw, 32)[1].astype(float)
    middle = down[:, 8]
    # the open chin was higher; the shut one falls
    assert np.nanmin(middle[:, 1]) < -.1 and np.nanmax(middle[:, 3]) > .1
    assert np.abs(down[3, 8]).max() < .02  # the forehead stays
    # the frame at rest does not show the inside of the mouth
    assert np.isnan(down[..., :2]).any()


def test_cells_know_what_most_of_their_samples_know():
    away = torch.full((1, 2, 8, 8), 2.0)
    away[0, :, :4, :3] = torch.nan
    away[0, :, 4:, 5] = torch.nan
    cells = rendered.cells(away)
    assert cells.shape == (1, 2, 2, 2)
    # 2 of 8 samples, in halves of the width
    assert cells[0, 0, 0, 0].isnan() and cells[0, 0, 1, 1] == .5
    assert cells[0, 1, 0, 1] == .5


def field_set(tmp_path, fields):
    np.save(tmp_path / "motion.npy", fields)
    manifest.write(tmp_path / "set.csv", {
        "path": [f"a.npy#{i}" for i in range(len(fields))], "AU01": ["0"] * len(fields),
        "motion_path": [f"motion.npy#{i}" for i in range(len(fields))]
    })
    return motion.Motion(manifest.read(str(tmp_path / "set.csv")))


def test_flow_between_two_frames_goes_by_way_of_rest(tmp_path):
    """Frame 0 is at rest; frame 1 is shifted by 2 cells of 8, frame 2 by 1: 1 made from 2 reads
    one cell to the left."""
    fields = np.zeros((3, 8, 8, 4), np.float16)
    fields[1, ..., 0], fields[1, ..., 2] = -.5, .5
    fields[2, ..., 0], fields[2, ..., 2] = -.25, .25
    fields[2, 0, 7, 2:] = np.nan
    moves = field_set(tmp_path, fields)
    straight, mirrored = torch.tensor([False]), torch.tensor([True])
    between = lambda source, true, flip: moves.between(torch.tensor([source]),
                                                       torch.tensor([true]), flip)
    assert (between(0, 1, straight)[0, 0] == -.5).all() and not between(0, 1, straight)[0, 1].any()
    assert between(2, 1, straight)[0, 0, 4, 4] == -.25
    assert between(2, 1, mirrored)[0, 0, 4, 4] == .25
    flow = between(2, 0, straight)
    assert flow[0, :, 0, 7].isnan().all() and flow[0, 0, 0, 5] == .25
    assert between(2, 0, mirrored)[0, :, 0, 0].isnan().all()


def test_the_loss_is_the_distance_where_it_is_known():
    true = torch.zeros(1, 2, 4, 4)
    true[0, 0, 0, 0] = 1 / 32      # one 64th of the width
    true[0, :, 3] = torch.nan
    flow = torch.zeros(1, 2, 8, 8)
    # one cell of twelve is 1 away in x and weighs 2: 2 / (2 * (11 + 2))
    assert motion.motion_loss(flow, true) == pytest.approx(1 / 13)
    flow[0, :, 6:] = 5
    # where nothing is known nothing is wrong
    assert motion.motion_loss(flow, true) == pytest.approx(1 / 13)


def test_a_set_without_motion_is_named(tmp_path):
    manifest.write(tmp_path / "set.csv", {"path": ["a.npy#0"], "AU01": ["0"]})
    with pytest.raises(BadInput, match="no column motion_path.*--behaviour still"):
        motion.Motion(manifest.read(str(tmp_path / "set.csv")))


def test_an_editor_learns_from_motion(tmp_path):
    import json

    import train_generator
    from lib.cli import parse
    from lib.datasets import rendered_faces
    from lib.generators.trainer import Trainer

    none = [word for name in ("unlabelled", "test", "test-natural", "pairs", "pairs-validation",
                              "judge", "judge-validation") for word in (f"--{name}", "0")]
    rendered_faces.main([
        "--out", str(tmp_path), "--size", "16", "--look", "world", "--behaviour", "still",
        "--labelled", "30", "--people", "2", "--validation", "15", "--workers", "1", *none
    ])
    rows = manifest.read(str(tmp_path / "labelled.csv"))
    assert rows.columns["motion_path"][17] == "labelled_motion.npy#17"
    assert {*NAMES} <= {*rows.columns}
    options = parse(train_generator.Options, "",
                    ["--arch", "warp-editor", "--preset", "photographs", "--config", "width=8",
                     "joined=16", "fine=4", "d_width=8", "--train", str(tmp_path / "labelled.csv"),
                     "--validation", str(tmp_path / "validation.csv"), "--epochs", "2",
                     "--batch", "6", "--out", str(tmp_path / "new" / "e.pt"), "--device", "cpu"])
    Trainer(options, torch.device("cpu")).train()  # into a folder that is not there yet
    first, last = map(json.loads, (tmp_path / "new/history.jsonl").read_text().splitlines())
    assert 0 < last["g_motion"] < 5
    assert {"g_pair", "g_motion"} <= first.keys()
    assert "g_cycle" not in first


def test_an_editor_with_cover_begins_as_one_without():
    from lib.generators.warp_editor import Config, Generator

    sizes = dict(size=16, width=8, levels=1, joined=8, fine=4)
    plain, covering = Generator(2, Config(**sizes)), Generator(2, Config(**sizes, cover=True))
    torch.nn.init.normal_(plain.head.weight)
    covering.load_state_dict(plain.state_dict())
    picture, relative = torch.rand(2, 3, 16, 16) * 2 - 1, torch.rand(2, 2)
    assert torch.equal(plain.eval()(picture, relative), covering.eval()(picture, relative))
    assert len(plain.state_dict()["head.weight"]) == 5
