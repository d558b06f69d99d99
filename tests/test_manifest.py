"""Manifests, images and command lines: what is read, what is refused in one line, what is written
at once."""
import io
import subprocess
import sys

import models
import numpy as np
import pytest
from commands import ENVIRONMENT, execute, fail, files, succeed
from PIL import Image

from lib import cli, files as writing, images, labels, manifest
from lib.cli import BadInput


def parse(text, **keywords):
    return manifest.parse(text, "a.csv", "folder", **keywords)


def test_labels_are_numbers_and_empty_cells_are_unlabelled():
    data = parse("path,AU12,AU01,valence,remark\nx.png,0.4,,-1,hi\ny.png,,1,,\n")
    assert data.au_names == ["AU01", "AU12"] and len(data) == 2
    assert np.array_equal(data.aus(), np.array([[np.nan, .4], [1, np.nan]], np.float32),
                          equal_nan=True)
    assert np.isnan(data.aus(["AU45"])).all() and np.isnan(data.numbers("valence")[1])
    assert data.images() == ["folder/x.png", "folder/y.png"] and data.text("subject") == ["", ""]
    assert len(data.take([False, True])) == 1 and not data.occurrence().any()


@pytest.mark.parametrize("text, mentions", [
    ("", ["a.csv: empty file", "path,AU01"]),
    ("path\n", ["no rows"]),
    ("AU01\n1\n", ["no column 'path'", "AU01"]),
    ("path,AU1\nx,1\n", ["'AU1' is unknown", "'AU01'"]),
    ("path,au01\nx,1\n", ["'AU01'"]),
    ("path,Valence\nx,1\n", ["'Valence' is unknown", "'valence'"]),
    ("path,AU01,AU01\nx,1,1\n", ["'AU01' stands 2 times"]),
    ("path,AU01\nx,1\ny,7.3\n", ["row 3, column AU01: '7.3'", "[0, 1]", "FACS level / 5"]),
    ("path,target_AU01\nx,7.3\n", ["column target_AU01: '7.3'"]),
    ("path,AU01\nx,nan\n", ["'nan' is not in [0, 1]"]),
    ("path,arousal\nx,-1.5\n", ["row 2, column arousal: '-1.5'", "[-1, 1]"]),
    ("path,au_kind\nx,binary\n", ["'binary' is none of intensity, occurrence"]),
    ("path,source\nx,fake\n", ["none of real, pseudo, synthetic"]),
    ("path,AU01\nx,1,2\n", ["row 2 has 3 cells, the header 2"]),
    ("path,AU01\n,1\n", ["row 2, column path is empty"])])
def test_bad_manifests_are_refused_with_row_column_value_and_remedy(text, mentions):
    with pytest.raises(BadInput) as error:
        parse(text)
    message = str(error.value)
    assert "\n" not in message and all(part in message for part in mentions), message


def test_byte_order_mark_crlf_and_blank_lines_are_read(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeffpath,AU01\r\nx.png,0.5\r\n\r\n".encode())
    data = manifest.read(tmp_path / "a.csv")
    assert data.columns == {"path": ["x.png"], "AU01": ["0.5"]}


def test_written_paths_stay_right_and_untouched_cells_stay_the_same(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/in.csv").write_text(
        'path,AU01,true_path,remark\nx.png,0.50,y.png,"a, b"\npack.npy#3,,,\n'
    )
    data = manifest.read(tmp_path / "a/in.csv")
    data.write(tmp_path / "b/c/out.csv")
    assert (tmp_path / "b/c/out.csv").read_text() == (
        'path,AU01,true_path,remark\n../../a/x.png,0.50,../../a/y.png,"a, b"\n'
        '../../a/pack.npy#3,,,\n'
    )
    data.write(tmp_path / "a/same.csv")
    assert (tmp_path / "a/same.csv").read_bytes() == (tmp_path / "a/in.csv").read_bytes()
    assert [manifest.number(value) for value in (0, 1, 0.25, 1 / 3, np.float32("nan"), None)] == \
        ["0", "1", "0.25", "0.3333", "", ""]


def test_merge_takes_all_rows_and_columns_and_check_describes(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "a.csv").write_text("path,AU01\nx.png,1\n")
    (tmp_path / "d/b.csv").write_text("path,AU02,subject\ny.png,0,ann\n")
    out, _ = succeed("-m lib.manifest", "merge", "a.csv", "d/b.csv", cwd=tmp_path)
    assert out == "path,AU01,AU02,subject\nx.png,1,,\nd/y.png,,0,ann\n"
    _, said = succeed("-m lib.manifest", "check", "a.csv", cwd=tmp_path)
    assert "AU01: 1 labelled, 1 present" in said
    fail(3, "none.csv: no such manifest", "-m lib.manifest", "merge", "a.csv", "none.csv",
         cwd=tmp_path)
    with open("/dev/full", "w") as full:
        done = execute("-m lib.manifest", "merge", "a.csv", cwd=tmp_path, stdout=full)
    assert done.returncode == 3
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_people_on_both_sides_of_a_split():
    first, second = parse("path,subject\nx,ann\nz,\n"), parse("path,subject\ny,ann\nz,\n")
    with pytest.raises(BadInput, match="share 1 subject.*'ann'.*--allow-shared-subjects"):
        manifest.check_disjoint(first, second)
    manifest.check_disjoint(first, second, allow=True)
    manifest.check_disjoint(first, parse("path,subject\ny,\n"))


def test_check_of_people_that_must_be_apart(tmp_path):
    sets = {"a": ["ann", "bob"], "b": ["bob", "cyn"], "v": ["dan", ""], "t": ["eve", "cyn"]}
    for name, people in sets.items():
        rows = "".join(f"x.png,{one}\n" for one in people)
        (tmp_path / f"{name}.csv").write_text("path,subject\n" + rows)
    (tmp_path / "bare.csv").write_text("path\nx.png\n")
    line = ["-m lib.manifest", "check", "a.csv", "b.csv", "--apart", "v.csv"]
    # a and b may share bob: both are learnt from
    out, said = succeed(*line, "bare.csv", cwd=tmp_path)
    assert not out
    assert said.splitlines()[-1] == (
        "bare.csv: names no subjects; whether its people are elsewhere cannot be told"
    )
    fail(3, ["b.csv and t.csv share 1 subject", "'cyn'"], *line, "t.csv", cwd=tmp_path)
    fail(3, "v.csv and v.csv share", *line, "v.csv", cwd=tmp_path)
    succeed(*line, "t.csv", "--allow-shared-subjects", cwd=tmp_path)
    assert succeed("-m lib.manifest", "count", "a.csv", "b.csv", cwd=tmp_path)[0] == "4\n"


@pytest.mark.parametrize("parts, name, said", [
    ([["crop-128", "crop-128"]], "crop-128", ""), ([["crop-128"], ["crop-64"]], "crop-128", ""),
    ([["", ""]], "", ""), ([["3d-64"], ["2d-64"]], "", "(3d-64, 2d-64)"),
    ([["3d-64", ""]], "", "(3d-64, unregistered)")
])
def test_registration_of_training_sets(parts, name, said, capsys):
    sets = [manifest.Manifest("abc"[k], None, {"path": cells, "registration": cells})
            for k, cells in enumerate(parts)]
    assert manifest.registration(sets) == name
    cli.say_notes()
    noted = capsys.readouterr().err
    assert (said in noted and "+".join("abc"[:len(parts)]) in noted) if said else not noted


@pytest.mark.parametrize("trained, checked, said",
                         [("3d-64", "3d-128", ""), ("", "", ""),
                          ("3d-64", "2d-64", "b.csv is 2d-64, the training images are 3d-64"),
                          ("3d-64", "", "b.csv is unregistered, the"),
                          ("", "crop-8", "b.csv is crop-8, the training images are unregistered")])
def test_registration_of_validation_sets(trained, checked, said, capsys):
    training, validation = (manifest.Manifest(name, None, {"path": ["x"], "registration": [text]})
                            for name, text in (("a.csv", trained), ("b.csv", checked)))
    assert manifest.registration([training], validation) == trained
    cli.say_notes()
    noted = capsys.readouterr().err
    assert (said in noted) if said else not noted


def test_names_of_aus():
    names = [labels.parse_au(text) for text in ("AU12", "au1", "06", 4)]
    assert names == ["AU12", "AU01", "AU06", "AU04"]
    for text in ("AU65", "smile", "0", "1.5"):
        with pytest.raises(ValueError):
            labels.parse_au(text)


def picture(mode, value, **save):
    """A 4 x 2 picture as file bytes and what it must be read as."""
    file = io.BytesIO()
    Image.new(mode, (4, 2), value).save(file, **{"format": "PNG", **save})
    return file.getvalue()


@pytest.mark.parametrize("name, content, colour", [
    ("grey", picture("L", 100), [100, 100, 100]),
    ("16 bit", picture("I;16", 257 * 100), [100, 100, 100]),
    ("floats to 1", picture("F", 0.4, format="TIFF"), [102] * 3),
    ("floats", picture("F", 99.6, format="TIFF"), [100] * 3),
    ("floats, 16 bit", picture("F", 257 * 7.0, format="TIFF"), [7] * 3),
    ("16 bit, dark", picture("I;16", 1), [1] * 3),
    ("transparent", picture("RGBA", (10, 20, 30, 0)), [255, 255, 255]),
    ("palette", picture("P", 0), [0, 0, 0]), ("colour", picture("RGB", (1, 2, 3)), [1, 2, 3])
])
def test_every_kind_of_picture_is_read_as_rgb(tmp_path, name, content, colour):
    (tmp_path / "x.png").write_bytes(content)
    image = images.load(str(tmp_path / "x.png"))
    assert image.shape == (2, 4, 3) and image.dtype == np.uint8 and (image == colour).all()


def test_rotated_photos_stand_upright(tmp_path):
    rotated = Image.Exif()
    rotated[274] = 6
    Image.new("RGB", (4, 2)).save(tmp_path / "x.jpg", exif=rotated)
    assert images.load(str(tmp_path / "x.jpg")).shape == (4, 2, 3)


def test_unreadable_pictures_are_refused(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:1500])
    (tmp_path / "text.png").write_text("text")
    np.save(tmp_path / "floats.npy", np.zeros((2, 4, 4, 3)))
    np.save(tmp_path / "good.npy", noise[None])
    monkeypatch.setattr(images, "MOST_PIXELS", 64 * 64 - 1)
    refused = {"none.png": "no such image", "cut.jpg": "64x64 pixels",
               "text.png": "cannot be decoded", "floats.npy#0": "not uint8",
               "good.npy#1": "images 0 to 0", "none.npy#0": "no such image pack",
               "": "cannot be decoded"}
    for name, mentions in refused.items():
        with pytest.raises(BadInput, match=mentions):
            images.load(str(tmp_path / name))
    monkeypatch.undo()
    with pytest.raises(BadInput, match="cut.jpg: cannot be decoded .*drop its row"):
        images.load(str(tmp_path / "cut.jpg"))


def test_large_pictures_are_one_line(tmp_path):
    """Pillow warns of 89 megapixels and refuses 179: neither says more than our line."""
    for width in (11000, 25000):
        Image.new("1", (width, 9000)).save(tmp_path / "large.png")
        code = ("from lib import cli, images; cli.run(lambda: "
                f"images.load({str(tmp_path / 'large.png')!r}))")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              env=ENVIRONMENT)
        assert done.returncode == 3 and len(done.stderr.splitlines()) == 1, done.stderr
        assert "large.png" in done.stderr


def test_sets_are_decoded_once_and_anew_when_a_file_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("FACES_EM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(images, "CACHED_FROM", 2)
    for i in range(3):
        images.save(tmp_path / f"{i}.png", np.full((8, 8, 3), i, np.uint8))
    references = [str(tmp_path / f"{i}.png") for i in range(3)]
    assert list(images.load_all(references, 4)[:, 0, 0, 0]) == [0, 1, 2]
    assert len(files(tmp_path / "cache")) == 1 and len(images.load_all(references, 4)) == 3
    assert len(files(tmp_path / "cache")) == 1
    images.save(tmp_path / "0.png", np.full((9, 9, 3), 9, np.uint8))
    assert images.load_all(references, 4)[0, 0, 0, 0] == 9


def test_a_folder_with_a_hash_in_its_name_is_no_pack(tmp_path, monkeypatch):
    monkeypatch.setenv("FACES_EM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(images, "CACHED_FROM", 2)
    assert images.pack_of("a#1/b.png") == ("", "")
    assert images.pack_of("a#1/b.npy#7") == ("a#1/b.npy", "7")
    (tmp_path / "set").mkdir()  # its date must not stand for that of the images
    for value in (7, 9):
        for i in range(2):
            images.save(tmp_path / f"set#1/{i}.png", np.full((8 + value, 8, 3), value, np.uint8))
        references = [str(tmp_path / f"set#1/{i}.png") for i in range(2)]
        assert list(images.load_all(references, 4)[:, 0, 0, 0]) == [value] * 2


def test_no_rows_are_an_empty_manifest(tmp_path):
    models.dataset(tmp_path, [[0] * 4] * 2)
    whole = manifest.read(tmp_path / "set.csv")
    assert len(whole.take([])) == 0 and len(whole.take(np.zeros(2, bool))) == 0
    assert whole.take([1]).text("path") == ["set.npy#1"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), writing.replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert files(tmp_path) == {"a.txt": b"old"}
    writing.write_text(tmp_path / "a.txt", "new")
    assert files(tmp_path) == {"a.txt": b"new"}


def test_json_has_no_nan():
    assert writing.to_json({"a": float("nan"), "b": [np.float32(0.1), np.int64(3)]}) == \
        '{\n "a": null,\n "b": [\n  0.1,\n  3\n ]\n}'


def test_command_lines_refuse_unknown_and_shortened_options():
    fail(2, "--imagez", "pseudo_label.py", "--model", "m", "--images", "i", "--imagez", "x")
    fail(2, "--rec", "synthesize.py", "--model", "m", "--out", "o", "--rec", "random")
    fail(2, "required", "pseudo_label.py")


def test_damaged_files_are_one_line(tmp_path):
    """Control characters of a header would break the line; NumPy's reader of a pack raises nearly
    anything."""
    (tmp_path / "a.csv").write_bytes(b"p\x1dath,AU01\nx.png,1\n")
    fail(3, "p\\x1dath", "-m lib.manifest", "check", "a.csv", cwd=tmp_path)
    np.save(tmp_path / "p.npy", np.zeros((2, 4, 4, 3), np.uint8))
    pack = (tmp_path / "p.npy").read_bytes()
    (tmp_path / "p.npy").write_bytes(pack.replace(b"4, 4, 3)", b"4, ((\n(  "))
    with pytest.raises(BadInput, match="not a readable .npy pack") as error:
        images.load(f"{tmp_path}/p.npy#0")
    assert "\n" not in str(error.value)


def test_libtiff_says_nothing(tmp_path, capfd):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(
        file, "TIFF", compression="tiff_lzw")
    content = bytearray(file.getvalue())
    content[200:2000] = bytes(1800)
    (tmp_path / "x.tiff").write_bytes(content)
    with pytest.raises(BadInput, match="cannot be decoded"):
        images.load(str(tmp_path / "x.tiff"))
    assert capfd.readouterr().err == ""
