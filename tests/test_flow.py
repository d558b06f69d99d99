"""Edits at the photo's own resolution, against answers worked out by hand."""
import time

import numpy as np
import pytest
from needs import needs

from lib.cli import BadInput
from lib.faces import align, flow, landmarks, models, paste

pytestmark = needs(models.opencv)
SIZE = 32


def face_in(photo, mode="tight"):
    """The frontal template, half as wide as the photo and in its middle, as a face that was
    found."""
    side = min(photo.shape[:2])
    corner = [photo.shape[1] / 2 - .3 * side, photo.shape[0] / 2 - .3 * side, 0]
    points = align.template() * side * .6 + corner
    face = landmarks.Face(points.astype(np.float32), 1.0)
    return paste.Found(face, mode, *align.register(photo, face, mode, SIZE))


def textured(height, width, colours=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, colours), dtype=np.uint8).repeat(3 // colours, -1)


def nothing():
    """flow, paint and cover of an edit that changes nothing."""
    return np.zeros((SIZE, SIZE, 2)), np.full((SIZE, SIZE, 3), 77.0), np.zeros((SIZE, SIZE, 1))


@pytest.mark.parametrize("mode", align.MODES)
def test_no_change_gives_the_photo_back(mode):
    photo = textured(150, 170)
    found = face_in(photo, mode)
    assert flow.apply(photo, found, *nothing()).tobytes() == photo.tobytes()


@pytest.mark.parametrize("mode", align.MODES)
def test_pixels_move_by_the_flow_and_keep_their_detail(mode):
    photo = textured(320, 320)
    found = face_in(photo, mode)
    field, paint, cover = nothing()
    moved = flow.displacement(found, np.full((SIZE, SIZE, 2), 1.0))[16, 16, 0]
    scale = found.size / (moved * found.size)
    field[...] = [4 * scale, -2 * scale]  # 4 pixels of the photo to the right, 2 up, are read
    out = flow.apply(photo, found, field, paint, cover)
    # near the nose: in the middle of the mask
    y, x = np.round(found.face.points[4, 1::-1]).astype(int)
    square = np.s_[y - 3:y + 4, x - 3:x + 4]
    expected = photo[y - 5:y + 2, x + 1:x + 8]
    assert np.abs(out[square].astype(int) - expected).mean() < (2 if mode != "3d" else 40)
    assert photo[square].tobytes() != out[square].tobytes()


def test_outside_the_face_nothing_changes():
    photo = textured(200, 240)
    found = face_in(photo)
    field, paint, cover = nothing()
    out = flow.apply(photo, found, field + 3.0, paint, cover + 1)
    y, x = np.nonzero((out != photo).any(-1))
    low, high = found.face.points[:, :2].min(0), found.face.points[:, :2].max(0)
    assert len(y) > 500
    assert low[0] - 1 <= x.min() and x.max() <= high[0] + 1
    assert low[1] - 1 <= y.min() and y.max() <= high[1] + 1


def test_paint_shows_where_cover_says():
    photo = np.full((200, 200, 3), 120, np.uint8)
    found = face_in(photo)
    field, paint, cover = nothing()
    cover[14:18, 14:18] = 1
    paint[:] = 30
    out = flow.apply(photo, found, field, paint, cover)
    changed = (out != photo).any(-1)
    # full cover shows the paint, half cover the mean of both
    assert out.min() in range(30, 40)
    assert 0.001 < changed.mean() < 0.05   # 4 x 4 of 32 x 32, enlarged
    assert (np.ptp(out, axis=-1) == 0).all()


def test_a_grey_photo_stays_grey():
    photo = textured(180, 180, colours=1)
    found = face_in(photo)
    rng = np.random.default_rng(1)
    out = flow.apply(photo, found, rng.normal(0, 1, (SIZE, SIZE, 2)),
                     rng.uniform(0, 255, (SIZE, SIZE, 3)), rng.uniform(0, 1, (SIZE, SIZE, 1)))
    assert (out != photo).any() and np.ptp(out.astype(int), axis=-1).max() <= 2


def test_paint_takes_the_hue_around_it():
    skin = np.full((SIZE, SIZE, 3), [200, 140, 110], np.uint8)
    # a bluish blot
    dark = flow.toned(np.full((SIZE, SIZE, 3), [20.0, 20, 90], np.float32), skin)[16, 16]
    assert dark[0] > dark[1] > dark[2]
    assert dark @ flow.LUMA == pytest.approx([20, 20, 90] @ flow.LUMA, abs=.5)
    teeth = flow.toned(np.full((SIZE, SIZE, 3), 250.0, np.float32), skin)[16, 16]
    assert np.ptp(teeth / teeth.mean()) < .5 * np.ptp(dark / dark.mean())


def test_a_fold_is_smoothed_away():
    field = np.zeros((SIZE, SIZE, 2), np.float32)
    field[:16, :, 1], field[16:, :, 1] = 3, -3   # rows 13 to 18 would be read twice
    down = np.gradient(flow.unfolded(field)[..., 1], axis=0)
    assert (1 + down).min() > 0 > (1 + np.gradient(field[..., 1], axis=0)).min()
    still = np.zeros((SIZE, SIZE, 2), np.float32)
    assert flow.unfolded(still) is still


def test_a_large_portrait_takes_under_two_seconds():
    photo = textured(2000, 1600)
    found = face_in(photo)
    rng = np.random.default_rng(2)
    edit = (rng.normal(0, 1, (SIZE, SIZE, 2)), rng.uniform(0, 255, (SIZE, SIZE, 3)),
            rng.uniform(0, 1, (SIZE, SIZE, 1)))
    flow.apply(photo, found, *edit)
    before = time.process_time()
    flow.apply(photo, found, *edit)
    assert time.process_time() - before < 2


@pytest.fixture(scope="module")
def frames():
    """A film of the astronaut, who keeps still before a noisy sensor."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    try:
        models.check()
    except BadInput as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(0)
    photo = data.astronaut()[:320, 60:380]
    return [(photo + rng.normal(0, 4, photo.shape)).clip(0, 255).astype(np.uint8) for _ in range(6)]


def edit(picture):
    """An editor that trembles by a tenth of its movement, as networks do on noise."""
    noise = np.random.default_rng(int(picture.sum())).normal(0, .15)
    field, paint, cover = nothing()
    field[10:22, 8:24] = [0, 1.5 + noise]
    return field, paint, cover


def test_an_edited_film_flickers_no_more_than_it_did(frames):
    from lib.faces import clip

    made = list(clip.edited(frames, "tight", SIZE, edit, flow.apply))
    assert all(changed for _, changed in made)
    after = np.stack([picture for picture, _ in made]).astype(float)
    before = np.stack(frames).astype(float)
    moved = np.abs(after - before).mean((0, 3)) > 2
    assert moved.sum() > 500
    flicker = lambda film: np.abs(np.diff(film, axis=0)).mean((0, 3))[moved].mean()
    assert flicker(after) < 1.25 * flicker(before)
    alone = [flow.apply(f, _found(f), *edit(_found(f).picture)) for f in frames]  # frame by frame
    assert flicker(after) < flicker(np.stack(alone).astype(float))


def test_a_film_is_written_and_frames_without_a_face_stay(frames, tmp_path, capsys):
    from lib.faces import clip, video

    empty = np.full_like(frames[0], 128)
    writer = video.Writer(tmp_path / "in.mp4", 25, frames[0].shape[:2])
    for picture in [*frames[:3], empty]:
        writer.write(picture)
    writer.close()
    assert video.rate(tmp_path / "in.mp4") == 25
    done = clip.edit_clip(tmp_path / "in.mp4", tmp_path / "out.mp4", "tight", SIZE, edit,
                          flow.apply)
    assert done == (4, 1) and "1 of 4 frames" in capsys.readouterr().err
    made = [frame.image for frame in video.frames(tmp_path / "out.mp4")]
    # the codec changes colours a little
    assert len(made) == 4 and np.abs(made[3].astype(int) - 128).mean() < 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def _found(photo):
    return paste.find(photo, "tight", SIZE)


def test_read_faces_are_averaged_over_crops_and_mirrors():
    from lib.faces import reading

    photo = textured(200, 200)
    cut = reading.crops(photo, face_in(photo).face, "tight", SIZE)
    assert cut.shape == (2 * len(reading.CROPS), SIZE, SIZE, 3)
    assert np.array_equal(cut[0], face_in(photo).picture)
    assert np.array_equal(cut[7], cut[0][:, ::-1])
    assert all((cut[i] != cut[0]).any() for i in range(1, 7))

    class Reader:
        meta, path, image_size, aus = {"registration": "tight-32"}, "r.onnx", SIZE, ["AU12"]
        outputs = ["au"]

        def once(self, image):
            return {"au": np.linspace(0, 1, len(image))[:, None]}

    assert reading.read_face(Reader(), photo, face_in(photo).face) == {"AU12": .5}


def test_photos_without_a_face_are_named(tmp_path):
    from lib import images
    from lib.faces import reading

    try:
        models.check()
    except BadInput as error:
        pytest.skip(str(error))
    images.save(tmp_path / "grey.png", np.full((80, 80, 3), 128, np.uint8))
    pictures, confidence, reasons = reading.registered(
        [str(tmp_path / "grey.png"), str(tmp_path / "no.png")], "tight", SIZE
    )
    assert not pictures.any() and not confidence.any()
    assert "no face found" in reasons[0] and "no.png" in reasons[1]


def test_synthesize_moves_the_photos_pixels_where_the_editor_says_how():
    from lib.faces import photo_editor

    photo = textured(200, 200)
    found = face_in(photo)
    field, paint, cover = nothing()
    outputs = {"edited": np.zeros((SIZE, SIZE, 3), np.uint8), "flow": field + 1.0, "paint": paint,
               "cover": cover}
    out = photo_editor.edit_one(photo, found, lambda picture: outputs, SIZE)
    assert np.array_equal(out, flow.apply(photo, found, outputs["flow"], paint, cover))
    outputs["flow"] = field
    edited = photo_editor.edit_one(photo, found, lambda picture: outputs, SIZE)
    assert edited.tobytes() == photo.tobytes()
    alone = {"edited": found.picture}  # an editor without these outputs is pasted as before
    assert np.array_equal(photo_editor.edit_one(photo, found, lambda picture: alone, SIZE), photo)


def test_the_second_face_is_named_by_its_number(monkeypatch):
    photo = textured(200, 200)
    face = face_in(photo).face
    monkeypatch.setattr(models, "check", lambda: None)
    monkeypatch.setattr(landmarks, "faces_in",
                        lambda image: [face, landmarks.Face(face.points / 2, .9)])
    assert paste.find(photo, "tight", SIZE, number=2).face.confidence == pytest.approx(.9)
    with pytest.raises(BadInput, match="no face 3; 2 found"):
        paste.face_for(photo, SIZE, None, "", "the photo", 3)
