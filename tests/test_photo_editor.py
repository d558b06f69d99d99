"""Editing photographs from the command line: what the photo shows is read, copied, and films are
edited."""
import models as tiny
import numpy as np
import pytest
from commands import call
from needs import needs

import synthesize
from lib import images
from lib.cli import BadInput
from lib.faces import align, landmarks, models, paste, photo_editor, reading
from lib.onnx_runtime import Model

pytestmark = needs(models.check)
SIZE = 8


def face_in(photo):
    """The frontal template in the middle of a photo."""
    side = min(photo.shape[:2])
    corner = [photo.shape[1] / 2 - .3 * side, photo.shape[0] / 2 - .3 * side, 0]
    points = align.template() * side * .6 + corner
    return landmarks.Face(points.astype(np.float32), 1.0)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A photo of brightness 51 (so that every AU is read as 0.2), another of 153, a reader and an
    editor of four AUs."""
    images.save(tmp_path / "photo.png", np.full((90, 90, 3), 51, np.uint8))
    images.save(tmp_path / "other.png", np.full((90, 90, 3), 153, np.uint8))
    tiny.classifier(tmp_path / "reader.onnx")
    tiny.generator(tmp_path / "editor.onnx")
    monkeypatch.setattr(landmarks, "faces_in", lambda photo: [face_in(photo)])
    monkeypatch.setattr(photo_editor, "SHIPPED", tmp_path / "reader.onnx")
    return tmp_path


def edit(place, capsys, *more, out="out.png"):
    """The middle of the photo's face after an edit, [R,G,B]."""
    code, said, log = call(synthesize.main, capsys, "--model", place / "editor.onnx",
                           "--image", place / "photo.png", "--out", place / out, *more)
    assert (code, said) == (0, ""), log
    return images.load(str(place / out))[45, 45].tolist()


ALL = [f"{name}=0.4" for name in tiny.AUS]


def test_the_photos_own_aus_are_read_and_only_the_rest_is_added(place, capsys):
    # from 0.2 to 0.4: + 51
    assert edit(place, capsys, "--set", *ALL) == [102, 102, 102]
    # from 0 to 0.4: + 102
    assert edit(place, capsys, "--assume-neutral", "--set", *ALL) == [153, 153, 153]
    assert edit(place, capsys, "--set", *(f"{name}=0.2" for name in tiny.AUS)) == [51, 51, 51]
    assert np.array_equal(images.load(str(place / "out.png")),
                          images.load(str(place / "photo.png")))


def test_a_classifier_that_is_named_reads_in_place_of_the_shipped_one(place, capsys, monkeypatch):
    monkeypatch.setattr(photo_editor, "SHIPPED", place / "absent.onnx")
    made = edit(place, capsys, "--classifier", place / "reader.onnx", "--set", *ALL)
    assert made == [102, 102, 102]
    code, _, said = call(synthesize.main, capsys, "--model", place / "editor.onnx",
                         "--image", place / "photo.png", "--out", place / "out.png", "--set", *ALL)
    assert code == 3 and "--classifier" in said and len(said.splitlines()) == 1


def test_copying_takes_the_aus_of_the_other_photo(place, capsys):
    # from 0.2 to 0.6: + 102
    assert edit(place, capsys, "--copy-from", place / "other.png") == [153, 153, 153]
    assert edit(place, capsys, "--copy-from", place / "other.png", "--set", *ALL) == [102, 102, 102]
    assert edit(place, capsys, "--copy-from", place / "photo.png") == [51, 51, 51]


def test_a_strip_ends_at_what_is_copied(place, capsys):
    edit(place, capsys, "--copy-from", place / "other.png", "--strip", "0:1:1")
    strip = images.load(str(place / "out.png"))
    assert strip.shape == (90, 180, 3)
    assert strip[45, 45].tolist() == [0, 0, 0]
    assert strip[45, 135].tolist() == [153] * 3


def test_films(place, capsys):
    from lib.faces import video

    writer = video.Writer(place / "in.mp4", 25, (90, 90))
    for _ in range(4):
        writer.write(np.full((90, 90, 3), 51, np.uint8))
    writer.close()
    line = ["--model", place / "editor.onnx", "--video", place / "in.mp4",
            "--out", place / "out.mp4"]
    assert call(synthesize.main, capsys, *line, "--set", *ALL)[0] == 0
    made = [frame.image for frame in video.frames(place / "out.mp4")]
    assert len(made) == 4 and all(abs(int(frame[45, 45, 1]) - 102) < 8 for frame in made)
    assert all(abs(int(frame[2, 2, 1]) - 51) < 8 for frame in made)
    assert call(synthesize.main, capsys, *line, "--set", *ALL, "--image", "x.png")[0] == 2
    assert call(synthesize.main, capsys, *line[:-1], place / "out.png", "--set", *ALL)[0] == 2


def test_readings_in_one_picture_and_over_crops_agree_on_an_even_face(place):
    photo = images.load(str(place / "photo.png"))
    editor = photo_editor.PhotoEditor(Model.open(place / "editor.onnx"),
                                      Model.open(place / "reader.onnx"))
    found = paste.Found(face_in(photo), "tight",
                        *align.register(photo, face_in(photo), "tight", SIZE))
    assert editor.shown(photo, found) == pytest.approx(np.full((1, 4), .2), abs=1e-3)
    assert editor.shown_at_once(found.picture) == pytest.approx(np.full((1, 4), .2), abs=1e-3)
    assert not photo_editor.PhotoEditor(editor.model).shown(photo, found).any()


def test_a_reader_of_other_aus_is_refused(place):
    tiny.classifier(place / "few.onnx", aus=["AU01", "AU02"])
    with pytest.raises(BadInput, match="does not read AU12"):
        photo_editor.PhotoEditor(Model.open(place / "editor.onnx"), Model.open(place / "few.onnx"))


def test_a_reader_that_compares_with_a_reference_is_refused(place):
    tiny.classifier(place / "compares.onnx", reference=True)
    reader = Model.open(place / "compares.onnx")
    with pytest.raises(BadInput, match="compares a face with another image"):
        photo_editor.PhotoEditor(Model.open(place / "editor.onnx"), reader)


def test_a_photo_to_copy_from_needs_a_face(place, monkeypatch):
    monkeypatch.setattr(landmarks, "faces_in", lambda photo: [])
    with pytest.raises(BadInput, match="other.png: no face found"):
        photo_editor.levels_of(str(place / "other.png"), Model.open(place / "reader.onnx"))
    assert reading.mode_for(Model.open(place / "reader.onnx")) == "tight"


def test_the_shipped_editor_is_told_more_and_keeps_what_it_is_not_asked_for(place):
    import json

    from lib.faces import ship

    ship.main([str(place / "editor.onnx"), "--strength", "1.5", "--of", "AU12=2",
               "--out", str(place / "shipped.onnx")])
    plain, strong = Model.open(place / "editor.onnx"), Model.open(place / "shipped.onnx")
    picture = np.full((1, SIZE, SIZE, 3), 100, np.uint8)
    asked = lambda model, source, target: model.once(image=picture, source=np.float32([source]),
                                                     target=np.float32([target]))["edited"]
    shown = [.2, .2, .2, .2]
    assert np.array_equal(asked(strong, shown, shown), picture)
    assert np.array_equal(asked(strong, shown, [.3, np.nan, .3, .2]),
                          asked(plain, shown, [.35, np.nan, .4, .2]))
    meta = json.loads((place / "shipped.json").read_text())
    assert meta["registration"] == "tight-8"
    assert meta["strength"] == {"AU01": 1.5, "AU02": 1.5, "AU12": 2, "AU26": 1.5}
    assert "registration expected: tight-8" in (place / "shipped.md").read_text()
    with pytest.raises(BadInput, match="--of AU45: the model does not know it"):
        ship.main([str(place / "editor.onnx"), "--of", "AU45=2", "--out", str(place / "x.onnx")])
    with pytest.raises(BadInput, match="no editor of AUs"):
        ship.main([str(place / "reader.onnx"), "--out", str(place / "x.onnx")])
