"""The look `world`: labels and geometry as in the plain look, which stays what it was; frames as
registration cuts them out."""
from dataclasses import replace

import numpy as np
import pytest

from lib.cli import BadInput
from lib.faces import align, models
from lib.rendering import behaviour, farm, plan
from lib.rendering.units import IMPOSSIBLE, INDEX


def world(count=24, framing="tight", name="unlabelled", kind="wild", seed=3):
    return plan.draw(name, seed, count, count, kind, 20.0, "world", framing)


def test_the_plain_look_is_what_it_was():
    """The hash names the plan, and the means the pictures, of the code before the look `world`."""
    plain = plan.draw("labelled", 0, 30, 4, "natural")
    assert plain.digest() == "0cfe29bfb0cb3d37"
    pictures = farm.render(plain.take(slice(0, 30, 5)), 32).astype(float)
    means = [100.4, 102.46, 101.63, 111.79, 108.92, 112.02]
    assert pictures.mean((1, 2, 3)) == pytest.approx(means, abs=.05)
    deviations = [39.94, 40.71, 40.82, 50.15, 49.46, 49.07]
    assert pictures.std((1, 2, 3)) == pytest.approx(deviations, abs=.05)


def test_a_plan_keeps_its_hash_on_another_cpu_and_loses_it_when_something_changes():
    plain = plan.draw("labelled", 0, 30, 4, "natural")
    # the last bits of a number, as another library of mathematics has them
    other = replace(plain, pose=plain.pose * (1 + 1e-15), levels=plain.levels * (1 - 1e-15))
    assert not np.array_equal(other.pose, plain.pose) and other.digest() == plain.digest()
    assert replace(plain, pose=plain.pose + 1e-4).digest() != plain.digest()
    assert replace(plain, person=plain.person + 1).digest() != plain.digest()


def test_pictures_follow_from_the_plan():
    drawn = world()
    assert drawn.digest() != plan.draw("unlabelled", 3, 24, 24, "wild", 20.0).digest()
    assert drawn.digest() != world(framing="neutral").digest()
    pictures = farm.render(drawn, 32)
    assert pictures.shape == (24, 32, 32, 3) and pictures.dtype == np.uint8
    assert np.array_equal(pictures, farm.render(drawn, 32))
    grey = (np.ptp(pictures.astype(int), axis=-1) == 0).all((1, 2))
    assert 3 <= grey.sum() <= 18       # 40 % of the cameras
    assert 40 < pictures.mean() < 170  # cameras meter the face


def test_photographed_behaviour_opens_the_mouth_in_every_emotion():
    levels, names = behaviour.photographed(np.random.default_rng(0), 6000)
    on = levels > 0
    for one, other in IMPOSSIBLE:
        assert not (on[:, INDEX[one]] & on[:, INDEX[other]]).any(), (one, other)
    for name in ("anger", "sadness", "happiness", "neutral", "surprise"):
        share = on[names == name, INDEX[25]].mean()
        assert 0.15 < share < 0.98, name
    assert np.corrcoef(levels[:, INDEX[6]], levels[:, INDEX[12]])[0, 1] > .3
    assert (levels >= 0.4).mean(0).min() > 0.01


def test_a_pair_differs_only_by_its_target():
    drawn = plan.draw("pairs", 5, 10, 0, "pairs", 15.0, "world")
    pictures = farm.render(drawn, 32).astype(int)
    for row in np.flatnonzero(drawn.neutral >= 0):
        change = np.abs(pictures[row] - pictures[drawn.neutral[row]]).max(-1)
        if drawn.levels[row, [INDEX[a] for a in (15, 18, 20, 23, 24)]].any():
            # the brows do not move with the mouth; JPEG moves a little
            assert (change[:6] <= 12).all()
        assert change.max() > 8


def test_shown_faces_are_framed_as_registration_does():
    """The marks' brows and chin lie where align.tight puts them, whatever the face does."""
    drawn = world(16, kind="natural", name="labelled")
    room = farm.studio(32, "cpu")
    found = []
    for _, (neutral, _, _, scenes, frames) in farm.batches(drawn, room):
        frames["jitter"] = 0 * frames["jitter"]
        view = room.samples(neutral, scenes, frames)[0]
        found.append(view.screen[:, room.marks, :2].numpy() / view.n)
    marks = np.concatenate(found)
    brow, chin = marks[:, :2].mean(1), marks[:, 2]
    assert chin[:, 1] - brow[:, 1] == pytest.approx(1 / 1.2, abs=1e-3)
    assert marks[:, 3, 1] == pytest.approx(marks[:, 4, 1], abs=1e-3)            # level eyes
    assert (marks[:, 3, 0] + marks[:, 4, 0]) / 2 == pytest.approx(.5, abs=1e-3)  # in the middle


def test_face_networks_find_them_framed_so():
    try:
        models.check()
    except BadInput as error:
        pytest.skip(str(error))
    from lib.faces import landmarks

    cv2 = models.opencv()
    pictures = farm.render(world(40), 64)
    scales = []
    for picture in pictures:
        large = cv2.resize(picture, (192, 192), interpolation=cv2.INTER_CUBIC)
        faces = landmarks.faces_in(cv2.copyMakeBorder(large, 60, 60, 60, 60, cv2.BORDER_REPLICATE))
        if faces:
            matrix = align.tight((faces[0].points - [60, 60, 0]) / 3, 64)
            scales.append(np.sqrt(np.linalg.det(matrix[:, :2])))
    assert len(scales) >= 32
    assert np.median(scales) == pytest.approx(1, abs=.06)
