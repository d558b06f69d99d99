"""Finding, registering, turning and pasting faces. The geometry is tested against known answers;
the networks on the photo of an astronaut that scikit-image carries."""
import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import files
from needs import needs
from PIL import Image

from lib import images
from lib.cli import BadInput
from lib.faces import (
    align,
    detect,
    geometry,
    landmarks,
    models,
    paste,
    pose,
    raster,
    register,
    sources,
    template,
    video,
)

needs_networks = needs(models.check)
needs_opencv = needs(models.opencv)


@pytest.fixture(scope="module")
def photo():
    data = pytest.importorskip("skimage.data",
                               reason="scikit-image is not installed (pip install scikit-image)")
    return data.astronaut()


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_procrustes_recovers_a_known_similarity(dimensions):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, dimensions))
    rotation = geometry.turn(20, -10, 35)
    rotation = rotation if dimensions == 3 else geometry.turn(0, 0, 35)[:2, :2]
    moved = 2.5 * points @ rotation.T + np.arange(dimensions)
    scale, found, shift = geometry.similarity(points, moved)
    assert scale == pytest.approx(2.5)
    assert found == pytest.approx(rotation)
    assert shift == pytest.approx(np.arange(dimensions))
    mirrored = geometry.similarity(points, points * ([-1] + [1] * (dimensions - 1)))[1]
    assert np.linalg.det(mirrored) == pytest.approx(1)  # never a mirror image


def test_similarity_weighs():
    points, target = np.eye(3)[:, :2], np.eye(3)[:, :2] + [1, 2]
    target[2] += 50  # without weight, without effect
    scale, rotation, shift = geometry.similarity(points, target, [1, 1, 0])
    assert scale == pytest.approx(1) and shift == pytest.approx([1, 2])


def test_turns():
    nose = np.array([0, 0, -1.0])  # towards the camera
    assert (geometry.turn(90, 0) @ nose) == pytest.approx([1, 0, 0])  # to the picture's right
    assert (geometry.turn(0, 90) @ nose) == pytest.approx([0, -1, 0])  # up
    assert geometry.angles(geometry.turn(30, 0, 12)) == pytest.approx((30, 0, 12))
    assert geometry.angles(geometry.turn(-20, 15)) == pytest.approx((-20, 15, 0))


def test_rasteriser_on_a_triangle_by_hand():
    points = np.array([[0, 0, 1.0], [4, 0, 1], [0, 4, 5], [0, 0, 0.5], [2, 0, 0.5], [0, 2, 0.5]])
    far = raster.rasterise(points, np.array([[0, 1, 2]]), 4, 5)
    assert far.hit.astype(int).tolist() == [
        [1, 1, 1, 1, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]
    assert far.weights[0, 0] == pytest.approx([0.75, 0.125, 0.125])
    assert far.depth[0, 0] == pytest.approx(1.5)
    assert far.interpolate(points[:, :2], np.array([[0, 1, 2]]))[1, 2] == pytest.approx([2.5, 1.5])
    # nearer wins, whatever the order or winding
    for order in ([[0, 1, 2], [3, 4, 5]], [[3, 5, 4], [0, 2, 1]]):
        both = raster.rasterise(points, np.array(order), 4, 5)
        near = order.index([3, 4, 5]) if [3, 4, 5] in order else 0
        assert both.triangle[0, 0] == both.triangle[0, 1] == both.triangle[1, 0] == near
        assert both.triangle[0, 2] == 1 - near and both.triangle[3, 4] == -1
    assert not raster.rasterise(points + [100, 0, 0], np.array([[0, 1, 2]]), 4, 5).hit.any()


def test_nearest_face_is_kept():
    faces = [detect.Box(0, 0, 10, 10, None, .9), detect.Box(50, 0, 90, 40, None, .8),
             detect.Box(100, 0, 110, 10, None, 1)]
    assert detect.choose(faces) == 1  # the largest, at first
    assert detect.choose(faces, (8, 4)) == 0 and detect.choose(faces, (99, 9)) == 2
    assert detect.choose([]) is None


def test_template_is_frontal_and_symmetric():
    shape = align.template()
    assert shape.shape == (468, 3) and shape[:, :2].min() > 0 and shape[:, :2].max() < 1
    pairs = template.mirror_pairs(shape - [0.5, 0, 0])
    assert (pairs[pairs] == np.arange(468)).all()
    assert shape[pairs] * [-1, 1, 1] + [1, 0, 0] == pytest.approx(shape, abs=2e-3)
    mesh = align.triangles()
    assert (raster.normals(shape, mesh)[align.STABLE, 2] < 0).mean() > 0.9  # towards the camera


def paint(places):
    """A smooth pattern over the frontal face: uint8 [...,3] at template positions [...,2]."""
    x, y = places[..., 0], places[..., 1]
    waves = np.stack([np.sin(9 * x + 4 * y), np.cos(11 * y), np.sin(8 * x - 6 * y)], -1)
    return np.where((places[..., :1] > 0), 128 + 100 * waves, 30).round().astype(np.uint8)


def seen_from(yaw, pitch, size):
    """A photo of the template's face with that pattern, and its mesh there."""
    turned = (align.template() - [.5, .5, 0]) @ geometry.turn(yaw, pitch).T
    points = turned * size * .8 + [size * .5, size * .5, 0]
    samples = raster.rasterise(points, align.triangles(), size, size)
    return paint(samples.interpolate(align.template()[:, :2], align.triangles())), points


@needs_opencv
@pytest.mark.parametrize("yaw, pitch", [(0, 0), (30, 0), (-25, 15)])
def test_frontalising_a_turned_face_recovers_the_frontal_one(yaw, pitch):
    turned, points = seen_from(yaw, pitch, 300)
    picture, mask = align.register(turned, landmarks.Face(points, 1.0), "3d", 96)
    at = (np.stack(np.meshgrid(np.arange(96), np.arange(96)), -1) + 0.5) / 96
    hit = raster.rasterise(align.template() * 96, align.triangles(), 96, 96).hit
    assert not (mask & ~hit)[1:-1, 1:-1].mean() > 0.01
    assert (mask & hit).sum() > (0.95 if yaw == 0 else 0.7) * hit.sum()
    assert not picture[~mask].any()  # black where the photo shows nothing
    error = np.abs(picture.astype(float) - paint(at)).mean(-1)[mask & hit]
    assert np.median(error) < 2 and error.mean() < 4
    flat, _ = align.register(turned, landmarks.Face(points, 1.0), "2d", 96)
    if yaw:
        error_2d = np.abs(flat.astype(float) - paint(at)).mean(-1)[mask & hit]
        assert error.mean() < 0.25 * error_2d.mean()


@needs_opencv
def test_turning_there_and_back():
    frontal, points = seen_from(0, 0, 128)
    target = pose.turned(points, 30, 0, 128)
    turned = pose.pose(frontal, points, 30, 0)
    back, mask = align.register(turned, landmarks.Face(target, 1.0), "3d", 128)
    straight, _ = align.register(frontal, landmarks.Face(points, 1.0), "3d", 128)
    assert mask.mean() > 0.3
    assert np.median(np.abs(back.astype(float) - straight)[mask]) < 6
    nose = lambda mesh: mesh[1, 0] - (mesh[33, 0] + mesh[263, 0]) / 2
    assert nose(target) > nose(points) + 5  # yaw > 0: to the picture's right
    ahead = pose.turned(points, 0, 0, 128)[align.STABLE, :2]
    assert np.abs(ahead - align.template()[align.STABLE, :2] * 128).max() < .5


@needs_opencv
@pytest.mark.parametrize("mode", align.MODES)
def test_pasting(mode):
    photo, points = seen_from(15, 0, 260)
    photo = np.pad(photo, ((20, 60), (40, 10), (0, 0)), constant_values=200)
    face = landmarks.Face(points + [40, 20, 0], 1.0)
    found = paste.Found(face, mode, *align.register(photo, face, mode, 96))
    assert np.array_equal(paste.paste(photo, found, found.picture), photo)  # no edit, no change
    edited = found.picture.copy()
    edited[40:56, 40:56] = 255
    out = paste.paste(photo, found, edited)
    changed = (out != photo).any(-1)
    low, high = face.points[:, :2].min(0), face.points[:, :2].max(0)
    y, x = np.nonzero(changed)
    assert changed.any()
    assert x.min() >= low[0] and x.max() <= high[0]
    assert y.min() >= low[1] and y.max() <= high[1]
    assert (out[changed].mean() > photo[changed].mean() + 30) and changed.mean() < 0.1
    again = align.register(out, face, mode, 96)[0]
    # the edit is where it was made
    assert np.abs(again[44:52, 44:52].astype(int) - 255).mean() < 12
    with pytest.raises(ValueError):
        paste.paste(photo, found, edited[:50])


@needs_opencv
def test_warps_do_not_alias():
    stripes = np.tile(np.array([0, 255], np.uint8), (400, 200))
    small = geometry.warp(stripes, geometry.affine(0.1, np.eye(2), [0, 0]), 40)
    assert abs(small[2:-2, 2:-2].astype(int) - 127).max() < 3
    matrix = geometry.affine(0.5, geometry.turn(0, 0, 20)[:2, :2], [3, 4])
    there = geometry.move(matrix, np.ones((1, 2)))
    assert geometry.move(geometry.invert(matrix), there) == pytest.approx(np.ones((1, 2)))


def test_absent_networks_are_one_line(monkeypatch):
    monkeypatch.setattr(models, "PACKAGE", "no_such_package")
    with pytest.raises(BadInput, match="make setup-faces") as found:
        models.weights("mesh")
    assert "\n" not in str(found.value)


@needs_networks
def test_finds_the_astronaut(photo):
    face, = landmarks.faces_in(photo)
    assert face.confidence > 0.9
    assert face.centre == pytest.approx((226, 121), abs=6)
    assert 90 < face.size < 125
    # the person's right eye
    assert face.points[landmarks.RIGHT_EYE, :2] == pytest.approx((195, 101), abs=5)
    again, = landmarks.faces_in(photo)
    assert np.array_equal(face.points, again.points)
    small, = landmarks.faces_in(images.resize(photo, 160))
    assert small.centre * 3.2 == pytest.approx(face.centre, abs=5)
    tilted, = landmarks.faces_in(np.ascontiguousarray(np.rot90(photo)))
    assert tilted.confidence > 0.9
    filling, = landmarks.faces_in(photo[68:172, 172:280])
    assert filling.centre + [172, 68] == pytest.approx(face.centre, abs=5)
    far, = landmarks.faces_in(np.pad(photo, ((900, 900), (900, 900), (0, 0))))
    assert far.centre - 900 == pytest.approx(face.centre, abs=5)
    for mode in align.MODES:
        picture, mask = align.register(photo, face, mode, 128)
        assert picture.shape == (128, 128, 3) and mask.mean() > 0.4
        if mode != "crop":
            inside, = landmarks.faces_in(picture)
            eyes = inside.points[[landmarks.RIGHT_EYE, landmarks.LEFT_EYE]]
            assert abs(eyes[0, 1] - eyes[1, 1]) < 4  # level


@needs_networks
def test_no_face_no_result():
    noise = np.random.default_rng(0).integers(0, 255, (120, 90, 3), np.uint8)
    assert landmarks.faces_in(noise) == []
    assert landmarks.faces_in(np.zeros((5, 300, 3), np.uint8)) == []
    with pytest.raises(BadInput, match="no face found"):
        paste.find(noise, "crop", 64)
    assert paste.face_for(noise, 64, None) is None
    assert paste.face_for(noise[:64, :64], 64, "3d-64") is None
    with pytest.raises(BadInput, match="--registration"):
        paste.face_for(noise, 64, "openface-64")


def test_what_a_picked_face_is_registered_as():
    face = paste.Found(None, "tight", np.zeros((64, 64, 3), np.uint8), None)
    assert paste.registration_of(face, "2d-64", "tight") == "tight-64"
    assert paste.registration_of(None, "2d-64") == "2d-64"
    # as rendered faces
    assert paste.registration_of(face, None) == paste.registration_of(None, None) == ""


def plant_photos(folder, photo):
    """The same photo in all sorts of files, good and bad."""
    folder.mkdir()
    face = Image.fromarray(photo)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    face.rotate(90, expand=True).save(folder / "exif.jpg", exif=exif, quality=95)
    face.convert("L").save(folder / "grey.png")
    Image.fromarray(photo.mean(-1).astype(np.uint16) * 257).save(folder / "grey16.png")
    face.convert("RGBA").save(folder / "rgba.png")
    face.save(folder / "rgb.png")
    (folder / "cut.png").write_bytes((folder / "rgb.png").read_bytes()[:20000])
    (folder / "text.jpg").write_text("not an image")
    Image.new("1", (9000, 8000)).save(folder / "huge.png")
    face.resize((3000, 3000)).save(folder / "large.jpg")
    images.save(folder / "nobody.png", np.full((90, 80, 3), 90, np.uint8))


@needs_networks
def test_register_all_sorts_of_photos(photo, tmp_path, capsys):
    plant_photos(tmp_path / "photos", photo)
    out = tmp_path / "out"
    line = [str(tmp_path / "photos"), "--mode", "2d", "--size", "64", "--out", str(out),
            "--jobs", "1"]
    register.main(line)
    made = rows(out / "manifest.csv")
    assert [row["original_path"].split("/")[-1] for row in made] == [
        "exif.jpg", "grey.png", "grey16.png", "large.jpg", "rgb.png", "rgba.png"
    ]
    assert {row["registration"] for row in made} == {"2d-64"}
    assert min(float(r["face_confidence"]) for r in made) > .9
    pictures = [images.load(str(out / row["path"])).astype(int) for row in made]
    for picture in pictures:  # the same face in the same place, whatever the file
        assert np.abs(picture.mean(-1) - pictures[4].mean(-1)).mean() < 8
    reasons = {row["path"].split("/")[-1]: row["reason"] for row in rows(out / "failed.csv")}
    assert list(reasons) == ["cut.png", "huge.png", "nobody.png", "text.jpg"]
    assert "no face found" in reasons["nobody.png"] and "64 megapixels" in reasons["huge.png"]
    assert "cannot be decoded" in reasons["cut.png"]
    assert "4 without a face" in capsys.readouterr().err
    # a second run does what is missing, and nothing else
    before = {row["path"]: (out / row["path"]).stat().st_mtime_ns for row in made}
    (out / made[1]["path"]).unlink()
    manifests = (out / "manifest.csv").read_bytes()
    register.main(line)
    assert "(1 images now" in capsys.readouterr().err
    assert (out / "manifest.csv").read_bytes() == manifests
    again = {path for path in before if (out / path).stat().st_mtime_ns != before[path]}
    assert again == {made[1]["path"]}
    with open(out / "registered.jsonl", "a") as file:
        file.write('{"reference": "cut sho')  # killed while writing
    register.main(line)
    assert "all were there" in capsys.readouterr().err
    with pytest.raises(BadInput, match="was registered with registration 2d-64, now 3d-64"):
        register.main([word.replace("2d", "3d") if word == "2d" else word for word in line])


@needs_networks
def test_register_manifest_keeps_labels_and_pairs(photo, tmp_path):
    images.save(tmp_path / "in/a.png", photo)
    images.save_pack(tmp_path / "in/pack.npy",
                     np.stack([photo[:400, :400], photo[40:440, :400] * 0]))
    (tmp_path / "in/list.csv").write_text(
        "path,AU12,true_path,odd,source_path\na.png,0.6,pack.npy#0,\"x,y\",a.png\n"
        "a.png,,pack.npy#1,z,\nmissing.png,1,a.png,z,\n"
    )
    register.main([str(tmp_path / "in/list.csv"), "--mode", "crop", "--out", str(tmp_path / "out"),
                   "--jobs", "1"])
    made, = rows(tmp_path / "out/manifest.csv")
    assert made["AU12"] == "0.6" and made["odd"] == "x,y" and made["source_path"] == "../in/a.png"
    assert images.load(str(tmp_path / "out" / made["true_path"])).shape == (128, 128, 3)
    assert made["path"] != made["true_path"]
    reasons = [row["reason"] for row in rows(tmp_path / "out/failed.csv")]
    assert len(reasons) == 2 and reasons[0].startswith("no face") and "no such image" in reasons[1]


def two_faces(photo, left, right, shift):
    """A frame with the astronaut twice, `left` and `right` pixels large."""
    frame = np.full((260, 520, 3), 120, np.uint8)
    face = photo[0:240, 100:340]
    for size, x in ((left, 20 + shift), (right, 280 + shift)):
        frame[10:10 + size, x:x + size] = images.resize(face, size)
    return frame


@needs_networks
def test_video_keeps_to_one_face(photo, tmp_path, capsys):
    cv2 = models.opencv()
    writer = cv2.VideoWriter(str(tmp_path / "two.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10,
                             (520, 260))
    for number in range(8):  # the left face is larger at first, then the right one
        frame = two_faces(photo, 230 - 14 * number, 150 + 10 * number, number)
        writer.write(frame[..., ::-1].copy())
    writer.release()
    out = tmp_path / "out"
    register.main([str(tmp_path / "two.avi"), "--fps", "5", "--mode", "crop", "--out", str(out),
                   "--jobs", "1"])
    made = rows(out / "manifest.csv")
    assert [(row["video"], row["frame"], row["time"]) for row in made] == [
        ("two.avi", str(n), f"{n / 10:.4f}") for n in (0, 2, 4, 6)]
    journal = (out / "registered.jsonl").read_text().splitlines()
    centres = [json.loads(line)["centre"][0] for line in journal[1:]]
    assert max(centres) < 200  # always the left one
    video.main([str(tmp_path / "two.avi"), "--out", str(tmp_path / "frames")])
    made = rows(tmp_path / "frames/manifest.csv")
    assert len(made) == 8 and list(made[0]) == ["path", "video", "frame", "time"]
    register.main([str(tmp_path / "frames/manifest.csv"), "--mode", "crop",
                   "--out", str(tmp_path / "more"), "--jobs", "1"])
    frames = [row["frame"] for row in rows(tmp_path / "more/manifest.csv")]
    assert frames == [str(n) for n in range(8)]
    whole = (tmp_path / "two.avi").read_bytes()
    (tmp_path / "bad.mp4").write_bytes(whole[:300])
    with pytest.raises(BadInput, match="no frame can be decoded"):
        list(video.frames(tmp_path / "bad.mp4"))
    with pytest.raises(BadInput, match="no such video"):
        list(video.frames(tmp_path / "none.mp4"))


def plant_registered(folder):
    """What an earlier run of register or pose left: one face and the manifest of it; the
    manifest's path."""
    images.save(folder / "faces/000/000000.png", np.zeros((8, 8, 3), np.uint8))
    (folder / "manifest.csv").write_text("path\nfaces/000/000000.png\n")
    return folder / "manifest.csv"


@pytest.mark.parametrize("main", [pytest.param(register.main, marks=needs_networks), pose.main])
def test_inputs_are_not_overwritten(tmp_path, main):
    given = plant_registered(tmp_path / "D")
    (tmp_path / "other.csv").write_text("path\nD/faces/000/000000.png\n")
    (tmp_path / "link").symlink_to("D")
    before = files(tmp_path / "D")
    for source, out in ((given, "D"), (given, "link"), (tmp_path / "link/manifest.csv", "D"),
                        (tmp_path / "other.csv", "D")):
        with pytest.raises(BadInput, match="would be overwritten by what is made of it; "
                                           "choose another --out"):
            main([str(source), "--out", str(tmp_path / out)])
        left = {name: content for name, content in files(tmp_path / "D").items()
                if not name.endswith(".jsonl")}
        assert left == before


def test_what_was_made_of_a_folder_is_not_its_input(tmp_path):
    plant_registered(tmp_path / "photos/out")
    images.save(tmp_path / "photos/faces/000/a.png", np.zeros((8, 8, 3), np.uint8))
    images.save(tmp_path / "photos/b.png", np.zeros((8, 8, 3), np.uint8))
    for out in ("photos/out", "photos"):
        found = sources.items([str(tmp_path / "photos")], tmp_path / out, None, ("path",), [],
                              lambda item: False)
        names = [Path(item.reference).name for item in found]
        # of another run there
        assert names == ["b.png", "a.png"] + ["000000.png"] * (out == "photos")


def test_inputs(tmp_path):
    with pytest.raises(BadInput, match="no photo in this folder"):
        list(sources.items([str(tmp_path)], tmp_path, None, ("path",), [], lambda item: False))
    assert video.names(["a/x.mp4", "b/x.mp4", "y.avi"]) == ["a/x.mp4", "b/x.mp4", "y.avi"]
    assert video.names(["a/x.mp4", "b/z.mp4"]) == ["x.mp4", "z.mp4"]


@needs_networks
def test_pose_command(photo, tmp_path, capsys):
    face, = landmarks.faces_in(photo)
    images.save(tmp_path / "in/a.png", align.register(photo, face, "3d", 96)[0])
    (tmp_path / "in/m.csv").write_text("path,AU12,registration\na.png,0.6,3d-96\n")
    pose.main([str(tmp_path / "in/m.csv"), "--out", str(tmp_path / "out"), "--jobs", "1"])
    made = rows(tmp_path / "out/manifest.csv")
    assert [(float(r["yaw"]), float(r["pitch"])) for r in made] == [
        (y, p) for p in (-40, -20, 0) for y in (-40, -20, 0)
    ]
    assert {(row["AU12"], row["registration"]) for row in made} == {("0.6", "2d-96")}
    assert "average face's mesh" not in capsys.readouterr().err
    shapes = [images.load(str(tmp_path / "out" / row["path"])) for row in made]
    assert all(shape.shape == (96, 96, 3) and shape.any(-1).mean() > 0.15 for shape in shapes)


@needs_networks
def test_pose_does_what_is_missing(tmp_path, capsys):
    draw, out = np.random.default_rng(0), tmp_path / "out"
    for name in "ab":
        images.save(tmp_path / f"{name}.png", draw.integers(0, 256, (16, 16, 3), np.uint8))
    (tmp_path / "m.csv").write_text("path,AU12\na.png,0\nb.png,1\na.png,1\n")
    line = [str(tmp_path / "m.csv"), "--mesh", "template", "--yaw", "-20", "0", "--pitch", "0",
            "--out", str(out), "--jobs", "1"]
    pose.main(line)
    # a.png, which is named twice, is turned once
    assert "3 faces in 2 poses (4 images now, " in capsys.readouterr().err
    made = rows(out / "manifest.csv")
    assert [(row["path"][-5:], row["AU12"], row["yaw"]) for row in made] == [
        ("0.png", "0", "-20"), ("1.png", "0", "0"), ("2.png", "1", "-20"), ("3.png", "1", "0"),
        ("0.png", "1", "-20"), ("1.png", "1", "0")
    ]
    before = files(out)
    dates = {path: path.stat().st_mtime_ns for path in (out / "faces").rglob("*.png")}
    (out / made[2]["path"]).unlink()
    pose.main(line)
    assert "(2 images now" in capsys.readouterr().err
    assert {name: text for name, text in files(out).items() if not name.endswith(".jsonl")} == {
        name: text for name, text in before.items() if not name.endswith(".jsonl")}
    new = [path for path, date in dates.items() if path.stat().st_mtime_ns != date]
    assert sorted(path.name for path in new) == ["000002.png", "000003.png"]
    pose.main(line)
    assert "(all were there)" in capsys.readouterr().err
    images.save(tmp_path / "a.png", draw.integers(0, 256, (18, 18, 3), np.uint8))
    pose.main(line)
    assert "(2 images now" in capsys.readouterr().err
    registrations = [row["registration"] for row in rows(out / "manifest.csv")]
    assert registrations == ["2d-18"] * 2 + ["2d-16"] * 2 + ["2d-18"] * 2
    with pytest.raises(BadInput,
                       match="was turned with mesh template, now found; give another --out"):
        pose.main([word.replace("template", "found") for word in line])


@needs_networks
def test_pose_before_a_picture(tmp_path, capsys):
    """--behind: what the turned mesh does not cover is the drawn picture's, of the same subject
    where there is one."""
    grey = {"a": 50, "b": 60, "other": 200}
    for name, level in grey.items():
        images.save(tmp_path / f"2d/{name}.png", np.full((40, 40, 3), level, np.uint8))
    half = np.full((32, 32, 3), 120, np.uint8)
    half[:, :11] = 0  # what a 3D registration did not show
    images.save(tmp_path / "face.png", half)
    images.save(tmp_path / "stranger.png", np.full((32, 32, 3), 120, np.uint8))
    (tmp_path / "m.csv").write_text("path,subject\nface.png,anna\nstranger.png,zoe\n")
    behind = tmp_path / "2d/m.csv"
    behind.write_text(
        "path,subject,registration\na.png,anna,2d-40\nb.png,anna,2d-40\nother.png,eve,2d-40\n"
    )
    line = [str(tmp_path / "m.csv"), "--mesh", "template", "--behind", str(behind),
            "--out", str(tmp_path / "out")]
    pose.main([*line, "--jobs", "1"])
    made = [images.load(str(tmp_path / "out" / row["path"]))
            for row in rows(tmp_path / "out/manifest.csv")]
    assert all({*np.unique(face)} <= {50, 60, 200, *range(115, 121)} and face[16, 16, 0] > 114
               for face in made)
    corners = [int(face[0, 0, 0]) for face in made]
    assert {*corners[:9]} == {50, 60} and 200 in corners[9:] and len({*corners[9:]}) > 1
    before = files(tmp_path / "out")
    pose.main(line)
    assert "(all were there)" in capsys.readouterr().err and files(tmp_path / "out") == before
    behind.write_text("path,registration\na.png,3d-40\n")
    with pytest.raises(BadInput, match="--behind takes 2D registered faces"):
        pose.main(line)
    behind.write_text("path,registration\na.png,2d-40\n")
    with pytest.raises(BadInput, match="was turned with behind .*; give another --out"):
        pose.main(line)
    with pytest.raises(BadInput,
                       match="was turned with behind [0-9a-f]{16}, now None; give another --out"):
        pose.main([word for word in line if word not in ("--behind", str(behind))])


@needs_networks
@pytest.mark.parametrize("registration", ["", "3d"])
def test_one_photo_the_whole_way(photo, tmp_path, registration):
    import models as tiny
    from commands import ENVIRONMENT, NO_TORCH

    trained_on = {"registration": "2d-64"} if registration else {}
    tiny.generator(tmp_path / "g.onnx", size=64, **trained_on)
    images.save(tmp_path / "photo.png", photo)
    line = ["synthesize.py", "--model", tmp_path / "g.onnx", "--image", tmp_path / "photo.png",
            "--out", tmp_path / "edited.png", "--assume-neutral", "--set", "AU26=0.6"]
    line += ["--registration", registration] if registration else []
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", NO_TORCH, *map(str, line)], cwd=root,
                          env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    said = ("warning: the model expects registration '2d-64', but --registration 3d is asked for"
            if registration else "")
    assert done.stderr.startswith(said) and done.stderr.count("\n") == bool(said)
    edited = images.load(str(tmp_path / "edited.png"))
    changed = (edited != photo).any(-1)
    y, x = np.nonzero(changed)
    assert edited.shape == photo.shape and 0.003 < changed.mean() < 0.1
    assert 150 < x.min() and x.max() < 300 and 50 < y.min() and y.max() < 200


@needs_networks
def test_measurement_on_two_people(tmp_path):
    pytest.importorskip("anny", reason="anny is not installed, which renders faces")
    from lib.faces import measure

    measure.main(["--people", "2", "--render", "192", "--out", str(tmp_path / "m.json")])
    report = json.loads((tmp_path / "m.json").read_text())
    assert report["light_on_face"]["pairs"] == 4
    assert report["light_on_face"]["visible_face"]["ratio_3d_to_2d"] < 0.9
    assert abs(report["light_on_face"]["yaw_read"]["30"]["mean"] - 30) < 8
