"""Importers of photos and of detectors' CSVs on small trees in their layouts, byte for byte; what
all share."""
import io
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from trees import BOM, npy, plant, png, run

from lib import images, manifest
from lib.cli import BadInput
from lib.datasets import layouts, tool_csv, videos


def test_affectnet_old(tmp_path):
    head = ("subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,"
            "expression,valence,arousal\r\n")
    made, dropped = run("affectnet", tmp_path, {
        "training.csv": BOM + (head + "689/a.jpg,10,20,130,131,1;2;3;4,1,0.785714,-0.055556\r\n"
                               "689/gone.jpg,10,20,130,131,1;2,0,0,0\r\n"
                               "689/b.jpg,1,2,3,4,1;2,9,-2,-2\r\n"
                               "7/c.jpg,NULL,NULL,-1,-1,1;2,3,0.1,0.1\r\n"
                               "7/g.jpg,NULL,NULL,NULL,NULL,NULL,3,0.1,0.1\r\n"
                               "7/d.jpg,1,2,3,4,,10,-2,-2\r\n").encode(),
        "validation.csv": "7/e.jpg,5,6,7,8,1;2,7,-1,1\n",  # without a header
        "automatically_annotated.csv": head + "7/f.jpg,5,6,7,8,1;2,2,-0.5,0.25\n",
        "Manually_Annotated_Images/689/a.jpg|b.jpg|stray.jpg": None,
        "Manually_Annotated_Images/7/c.jpg|d.jpg|e.jpg": None,
        "Automatically_Annotated_Images/7/f.jpg": None})
    assert made == """\
path,valence,arousal,expression,source,partition,face_x,face_y,face_width,face_height
../root/Automatically_Annotated_Images/7/f.jpg,-0.5,0.25,sadness,pseudo,,5,6,7,8
../root/Manually_Annotated_Images/689/a.jpg,0.7857,-0.0556,happiness,real,train,10,20,130,131
../root/Manually_Annotated_Images/689/b.jpg,,,,real,train,1,2,3,4
../root/Manually_Annotated_Images/7/e.jpg,-1,1,contempt,real,validation,5,6,7,8
"""
    assert dropped == (
        "path,reason\n7/c.jpg,no face box\n7/g.jpg,no face box\n7/d.jpg,no face in it\n"
        "Manually_Annotated_Images/689/stray.jpg,no label of this image\n"
        "689/gone.jpg,no image for this label\n"
    )


def test_affectnet_new(tmp_path):
    notes = "train_set/annotations/"
    made, dropped = run("affectnet", tmp_path, {
        "train_set/images/0.jpg|2.jpg|10.jpg|11.jpg": None, "val_set/images/0.jpg": None,
        notes + "0_exp.npy": npy("1"), notes + "0_val.npy": npy("0.5"),
        notes + "0_aro.npy": npy("-2.000"), notes + "0_lnd.npy": npy([1.0, 2.0]),
        notes + "2_exp.npy": npy(8), notes + "10_exp.npy": npy(10), notes + "3_exp.npy": npy("0"),
        "val_set/annotations/0_exp.npy": npy(6), "val_set/annotations/0_val.npy": npy(-0.25)
    })
    assert made == """\
path,valence,expression,source,partition
../root/train_set/images/0.jpg,0.5,happiness,real,train
../root/train_set/images/2.jpg,,,real,train
../root/train_set/images/11.jpg,,,real,train
../root/val_set/images/0.jpg,-0.25,anger,real,validation
"""
    assert dropped == (
        "path,reason\ntrain_set/10,no face in it\ntrain_set/3,no image for this label\n"
    )


def test_affectnet_new_a_folder_too_high(tmp_path):
    made, _ = run("affectnet", tmp_path, {"AffectNet/val_set/images/0.jpg": None,
                                          "AffectNet/val_set/annotations/0_exp.npy": npy(6)})
    assert made == ("path,expression,source,partition\n"
                    "../root/AffectNet/val_set/images/0.jpg,anger,real,validation\n")


def test_raf_au(tmp_path):
    files = {"RAFAU_label.txt": BOM + b"0007.jpg 1+L2+25 \r\n0008.jpg null\r\n"
                                      b"0009.jpg R12+12+99\n0010.jpg 4\n",
             "aligned/0007_aligned.jpg|0008_aligned.jpg|0009_aligned.jpg|0011_aligned.jpg": None,
             "original/0007.jpg|0010.jpg": None}
    made, dropped = run("raf_au", tmp_path, files)
    assert made == """\
path,AU01,AU02,AU04,AU12,AU25,au_kind,source
../root/aligned/0007_aligned.jpg,1,1,0,0,1,occurrence,real
../root/aligned/0008_aligned.jpg,0,0,0,0,0,occurrence,real
../root/aligned/0009_aligned.jpg,0,0,0,1,0,occurrence,real
"""
    assert dropped == ("path,reason\n0010.jpg,no image for this label\n"
                       "aligned/0011_aligned.jpg,no label of this image\n")
    made, _ = run("raf_au", tmp_path, {}, images="original/{name}.*", one_sided="unlabelled",
                  aus=["2", "4"])
    assert made == """\
path,AU02,AU04,au_kind,source
../root/original/0007.jpg,,0,occurrence,real
../root/original/0010.jpg,0,1,occurrence,real
"""


def test_raf_au_codes_after_a_tab_and_none_at_all(tmp_path):
    made, dropped = run("raf_au", tmp_path, {
        "RAFAU_label.txt": "1.jpg\t1+2\n2.jpg \t 4 + 25\n3.jpg\n4.jpg\tNULL\n",
        "aligned/1_aligned.jpg|2_aligned.jpg|3_aligned.jpg|4_aligned.jpg": None})
    assert made == """\
path,AU01,AU02,AU04,AU25,au_kind,source
../root/aligned/1_aligned.jpg,1,1,0,0,occurrence,real
../root/aligned/2_aligned.jpg,0,0,1,1,occurrence,real
../root/aligned/4_aligned.jpg,0,0,0,0,occurrence,real
"""
    assert dropped == "path,reason\n3.jpg,no AU codes in its line\n"


CK = {"cohn-kanade-images/S005/001/S005_001_00000001.png|S005_001_00000002.png": None,
      "cohn-kanade-images/S005/001/S005_001_00000003.png|.DS_Store": None,
      "cohn-kanade-images/S010/002/S010_002_00000001.png|S010_002_00000014.png": None,
      "FACS/S005/001/S005_001_00000003_facs.txt": "   9.0000000e+00   5.0000000e+00\r\n"
                                                  "   1.7e+01   0.0000000e+00\r\n",
      "FACS/S010/002/S010_002_00000014_facs.txt": "",
      "FACS/S011/001/S011_001_00000009_facs.txt": "4 2\n",  # without images
      "FACS/.DS_Store": "x",
      "Emotion/S005/001/S005_001_00000003_emotion.txt": "   3.0000000e+00\n"}


def test_ck_plus(tmp_path):
    made, dropped = run("ck_plus", tmp_path, CK)
    assert made == """\
path,subject,AU04,AU09,AU17,au_kind,expression,source,video,frame
../root/cohn-kanade-images/S005/001/S005_001_00000003.png,ck-S005,0,1,1,occurrence,\
disgust,real,S005/001,3
../root/cohn-kanade-images/S010/002/S010_002_00000014.png,ck-S010,0,0,0,occurrence,,real,S010/002,14
"""
    assert dropped == (
        "path,reason\nFACS/S011/001/S011_001_00000009_facs.txt,no image for this label\n"
    )


def test_ck_plus_intensity_leaves_unspecified_empty(tmp_path):
    made, _ = run("ck_plus", tmp_path, CK, labels="intensity", frames="all")
    assert made == """\
path,subject,AU04,AU09,AU17,au_kind,expression,source,video,frame
../root/cohn-kanade-images/S005/001/S005_001_00000001.png,ck-S005,0,0,0,intensity,\
neutral,real,S005/001,1
../root/cohn-kanade-images/S005/001/S005_001_00000002.png,ck-S005,,,,intensity,,real,S005/001,2
../root/cohn-kanade-images/S005/001/S005_001_00000003.png,ck-S005,0,1,,intensity,\
disgust,real,S005/001,3
../root/cohn-kanade-images/S010/002/S010_002_00000001.png,ck-S010,0,0,0,intensity,\
neutral,real,S010/002,1
../root/cohn-kanade-images/S010/002/S010_002_00000014.png,ck-S010,0,0,0,intensity,,real,S010/002,14
"""


def test_ck_plus_strides_each_sequence(tmp_path):
    made, dropped = run("ck_plus", tmp_path, CK, frames="all", stride=2)
    assert [line.split(",")[0][-12:] for line in made.splitlines()[1:]] == [
        "00000001.png", "00000003.png", "00000001.png"
    ]
    assert dropped == (
        "path,reason\nFACS/S011/001/S011_001_00000009_facs.txt,no image for this label\n"
    )


@pytest.mark.parametrize(
    "header", ["URL,URL orig,'AU 1', 'AU 2',\"'AU 60'\"\r\n", "path,orig,AU1,AU2,AU60\n"]
)
def test_emotionet(tmp_path, header):
    made, dropped = run("emotionet", tmp_path, {
        "labels.csv": BOM + header.encode() + b"'http://x.org/a/N_1.jpg','http://y',1,0,999\r\n"
                      b"imgs/n_2.JPG,y,0,999,1\nimgs/n_3.jpg,y,0,0,0\n",
        "readme.txt": "hello\n", "imgs/N_1.jpg|N_2.jpg|stray.jpg": None})
    assert made == """\
path,AU01,AU02,AU60,au_kind,source
../root/imgs/N_1.jpg,1,0,,occurrence,real
../root/imgs/N_2.jpg,0,,1,occurrence,real
"""
    assert dropped == (
        "path,reason\nreadme.txt,neither a header with AU columns nor 60 of them\n"
        "imgs/n_3.jpg,no image for this label\nimgs/stray.jpg,no label of this image\n"
    )


def test_emotionet_tells_namesakes_apart(tmp_path):
    """Folders decide between files of one name; a label whose image is missing does not take
    another's."""
    head = "path,orig,AU1,AU2\n"
    made, dropped = run("emotionet", tmp_path, {
        "labels.csv": head + "a/1.jpg,y,1,0\nb/1.jpg,y,0,1\na/2.jpg,y,1,1\nc/2.jpg,y,0,0\n",
        "img/a/1.jpg": None, "img/b/1.jpg": None, "img/c/2.jpg": None})
    assert made == """\
path,AU01,AU02,au_kind,source
../root/img/a/1.jpg,1,0,occurrence,real
../root/img/b/1.jpg,0,1,occurrence,real
../root/img/c/2.jpg,0,0,occurrence,real
"""
    assert dropped == "path,reason\na/2.jpg,no image for this label\n"
    with pytest.raises(BadInput, match="http://x.org/1.jpg: img/a/1.jpg and img/b/1.jpg both fit"):
        run("emotionet", tmp_path, {"labels.csv": head + "http://x.org/1.jpg,y,1,0\n"})


def test_emotionet_without_header(tmp_path):
    codes = "\t".join(["1"] + ["999"] * 58 + ["0"])
    made, _ = run("emotionet", tmp_path, {"l/list.txt": f"http://x/a.jpg\thttp://y\t{codes}\n",
                                          "i/a.jpg": None}, source="pseudo")
    assert made == "path,AU01,AU60,au_kind,source\n../root/i/a.jpg,1,0,occurrence,pseudo\n"


def test_ferg_db(tmp_path):
    made, dropped = run("ferg_db", tmp_path,
                        {"aia/aia_joy/aia_joy_1.png|aia_joy_10.png|aia_joy_2.png": None,
                         "mery/mery_anger/mery_anger_1.png|Thumbs.db": None, "logo.png": None})
    assert made == """\
path,subject,expression,source
../root/aia/aia_joy/aia_joy_1.png,ferg-aia,happiness,real
../root/aia/aia_joy/aia_joy_2.png,ferg-aia,happiness,real
../root/aia/aia_joy/aia_joy_10.png,ferg-aia,happiness,real
../root/mery/mery_anger/mery_anger_1.png,ferg-mery,anger,real
"""
    assert dropped == "path,reason\nlogo.png,does not match --images\n"


def test_folder(tmp_path):
    files = {"Happy/a.png|b.txt": None, "angry/deep/c.jpg": None, "top.png": None}
    made, dropped = run("folder", tmp_path, files)
    assert made == """\
path,expression,source
../root/Happy/a.png,happiness,real
../root/angry/deep/c.jpg,anger,real
"""
    assert dropped == "path,reason\ntop.png,does not match --images\n"
    made, _ = run("folder", tmp_path / "b", {"train/0/p1-x.png": None, "train/1/p2-x.png": None},
                  images="{partition}/{expression}/{subject}-*", classes=["0=neutral", "1=joy"],
                  prefix="s-")
    assert made == ("path,subject,expression,source,partition\n"
                    "../root/train/0/p1-x.png,s-p1,neutral,real,train\n"
                    "../root/train/1/p2-x.png,s-p2,happiness,real,train\n")


def test_openface_csv(tmp_path):
    head = "frame, face_id, timestamp, confidence, success, AU01_r, AU45_r, AU01_c, AU28_c\r\n"
    rows = ("1, 0, 0.0, 0.98, 1, 2.5, 0.0, 1.0, 0.0\r\n2, 0, 0.04, 0.0, 0, 0, 0, 0, 0\r\n"
            "3, 0, 0.08, 0.5, 1, 5.2, 1.0, 0, 1\r\n3, 1, 0.08, 0.9, 1, 1.0, 0, 0, 0\r\n")
    files = {
        "clip.csv": BOM + (head + rows).encode(),
        "empty.csv": head,
        "clip_aligned/frame_det_00_000001.bmp|frame_det_00_000002.bmp": None,
        "clip_aligned/frame_det_00_000003.bmp": None,
    }
    made, dropped = run("openface_csv", tmp_path, files)
    assert made == """\
path,subject,AU01,AU45,au_kind,source,confidence,video,frame,time
../root/clip_aligned/frame_det_00_000001.bmp,clip,0.5,0,intensity,pseudo,0.98,clip,1,0
../root/clip_aligned/frame_det_00_000003.bmp,clip,0.2,0,intensity,pseudo,0.9,clip,3,0.08
"""
    assert dropped == """\
path,reason
clip/2,no face found
clip/3,another face in the same image
empty.csv,empty label file
"""
    made, _ = run("openface_csv", tmp_path, {}, labels="occurrence", min_confidence=0.95)
    assert made.splitlines()[1] == (
        "../root/clip_aligned/frame_det_00_000001.bmp,clip,1,0,occurrence,pseudo,0.98,clip,1,0"
    )


def test_openface_csv_of_a_photo_with_two_faces(tmp_path):
    head = "face, confidence, AU01_r, AU45_r\n"
    made, dropped = run("openface_csv", tmp_path, {
        "two.csv": head + "0, 0.5, 1, 0\n1, 0.95, 2.5, 5\n", "one.csv": head + "0, 0.7, 5, 0\n",
        "two.jpg|one.jpg": None})
    assert made == """\
path,AU01,AU45,au_kind,source,confidence
../root/one.jpg,1,0,intensity,pseudo,0.7
../root/two.jpg,0.5,1,intensity,pseudo,0.95
"""
    assert dropped == "path,reason\ntwo,another face in the same image\n"
    with pytest.raises(BadInput, match="film.csv: has neither a column frame"):
        run("openface_csv", tmp_path, {"film.csv": "confidence, AU01_r\n0.9, 1\n0.9, 1\n"})


def test_of_wide_csvs_only_what_is_needed_is_kept(tmp_path, monkeypatch):
    """OpenFace writes 714 columns a frame: landmarks, of which none is read."""
    rows = []
    monkeypatch.setattr(tool_csv, "best_faces",
                        lambda collection, found, *more: rows.extend(found) or [])
    head = "frame, face_id, timestamp, confidence, success, x_0, X_1, AU01_r, AU01_c\n"
    with pytest.raises(BadInput):
        run("openface_csv", tmp_path, {"film.csv": head + "7, 0, 0.2, 0.9, 1, 11, 12, 2.5, 1\n"})
    cells = {"frame": "7", "timestamp": "0.2", "confidence": "0.9", "success": "1", "au01_r": "2.5"}
    assert rows == [(2, cells)]


def test_a_csv_a_photo_is_found_at_once(tmp_path):
    """Each CSV is called like its photo: 3,000 of them must not each be compared with all
    photos."""
    # the last one's name has a dot of its own
    names = [f"p{i}" for i in range(3000)] + ["scan.01"]
    files = {"b/" + "|".join(f"{name}.jpg" for name in names): "", "c/p7.png": ""}
    photos = layouts.Photos(layouts.Tree(plant(tmp_path / "root", files)))
    start = time.process_time()
    found = [photos.ask(name) for name in names if name != "p7"]
    assert time.process_time() - start < 5
    assert found[0] == "b/p0.jpg" and found[-1] == "b/scan.01.jpg" and "" not in found
    assert photos.ask("c/p7") == "c/p7.png" and photos.unasked() == ["b/p7.jpg"]


def test_py_feat_csv(tmp_path):
    head = (",frame,FaceScore,AU01,AU43,anger,disgust,fear,happiness,sadness,surprise,neutral,"
            "input,valence,arousal\n")
    made, dropped = run("py_feat_csv", tmp_path, {
        "fex.csv": head + "0,0,0.99,0.25,1.0,0,0,0,0.9,0,0,0.1,/elsewhere/photos/a.jpg,0.5,-1.2\n"
                          "1,0,,,,,,,,,,,/elsewhere/photos/b.jpg,,\n"
                          "2,0,0.9,0.1,0.2,1,0,0,0,0,0,0,/elsewhere/photos/gone.jpg,0,0\n",
        "photos/a.jpg|b.jpg": None, "other/a.jpg": None
    })
    assert made == """\
path,AU01,AU43,au_kind,valence,arousal,expression,source,confidence
../root/photos/a.jpg,0.25,1,occurrence,0.5,-1,happiness,pseudo,0.99
"""
    assert dropped == (
        "path,reason\n/elsewhere/photos/b.jpg,no face found\n"
        "/elsewhere/photos/gone.jpg,no image for this label\nother/a.jpg,no label of this image\n"
    )


def test_libreface_csv(tmp_path):
    made, dropped = run("libreface_csv", tmp_path, {
        "photo.csv": "au_1,au_2,au_1_intensity,au_26_intensity,facial_expression\r\n"
                     "1,0,2.5,5.5,Happiness\r\n",
        "film.csv": "frame_idx,frame_time_in_ms,au_1_intensity,au_26_intensity,facial_expression\n"
                    "0,0,1,0,Neutral\n1,40,,,\n", "photo.jpg|no_csv.jpg": None,
        "film/0000.png|0001.png": None, "film2/0000.png": None
    })
    assert made == """\
path,subject,AU01,AU26,au_kind,expression,source,video,frame,time
../root/photo.jpg,,0.5,1,intensity,happiness,pseudo,,,
../root/film/0000.png,film,0.2,0,intensity,neutral,pseudo,film,0,0
"""
    assert dropped == ("path,reason\nfilm/1,no face found\nno_csv.jpg,no label of this image\n"
                       "film2/0000.png,no label of this image\n")


def test_pack(tmp_path):
    made, dropped = run("folder", tmp_path, {"happy/a.png": png(50, 8), "happy/b.png": "broken",
                                             "sad/c.png": png(200, 2)}, pack=True, size=6)
    assert made == """\
path,expression,source,original_path
images.npy#0,happiness,real,../root/happy/a.png
images.npy#2,sadness,real,../root/sad/c.png
"""
    assert "../root/happy/b.png,cannot be decoded" in dropped
    read = manifest.read(tmp_path / "out/manifest.csv")
    first, second = (images.load(reference) for reference in read.images())
    assert first.shape == (6, 6, 3) and (first == 50).all() and (second == 200).all()


def test_pack_says_what_it_squeezes(tmp_path, capsys):
    """A photo of 4 x 8 becomes a square as it is; a registered picture need not be square."""
    wide = io.BytesIO()
    Image.new("RGB", (8, 4)).save(wide, format="PNG")
    files = {"L/SN001/SN001_au4.txt": "1,0\n2,1\n3,2\n", "L/SN001/1.png|2.png": wide.getvalue(),
             "L/SN001/3.png": None}
    run("disfa", tmp_path, files, pack=True, size=6)
    said = capsys.readouterr().err
    assert said.count("2 of 3 images are not square and were squeezed into squares") == 1
    assert "python -m lib.faces.register" in said
    faces = plant(tmp_path / "faces",
                  {"manifest.csv": "path,video,frame,registration\n0.png,SN001.avi,0,3d\n",
                   "0.png": wide.getvalue()})
    run("disfa", tmp_path, {}, pack=True, size=6, images_root=str(faces))
    assert "not square" not in capsys.readouterr().err


def test_out_behind_a_link(tmp_path):
    """`..` behind a link leads to the target's parent: paths must hold there too."""
    (tmp_path / "far/away").mkdir(parents=True)
    os.symlink(tmp_path / "far/away", tmp_path / "near")
    root = plant(tmp_path / "root", {"happy/a.png": None})
    from lib.datasets import folder
    folder.collect(folder.Options(root=str(root), out=str(tmp_path / "near/out"))).write()
    assert (images.load(manifest.read(tmp_path / "near/out/manifest.csv").images()[0]).shape
            == (4, 4, 3))


def test_nothing_left_is_said(tmp_path):
    with pytest.raises(BadInput, match="not one image reaches the manifest .dropped: 1 no image"):
        run("raf_au", tmp_path, {"RAFAU_label.txt": "1.jpg 4\n"})
    with pytest.raises(
        BadInput,
        match=r"no file matches --labels '\*\*/RAFAU_label.txt' .found at the top: readme.pdf"
    ):
        run("raf_au", tmp_path / "b", {})


def test_command_line(tmp_path):
    root = plant(tmp_path / "root", {"happy/a.png": None})
    command = [sys.executable, "-m", "lib.datasets.folder", str(root)]
    done = subprocess.run(command + ["--out", str(tmp_path / "out")], capture_output=True,
                          text=True)
    assert (done.returncode, done.stdout) == (0, "") and "1 images" in done.stderr
    bad = subprocess.run(command + ["--out", str(root / "x")], capture_output=True, text=True)
    assert bad.returncode == 3 and len(bad.stderr.splitlines()) == 1 and not (root / "x").exists()
    usage = subprocess.run(command + ["--out", str(tmp_path / "o"), "--aus", "99"],
                           capture_output=True, text=True)
    assert usage.returncode == 2


def test_traces():
    ramp = np.linspace(0, 1, 25)
    out = videos.resample(ramp, 24, 30)
    assert len(out) == 31 and np.allclose(out[:31], np.minimum(np.arange(31) * 0.8 / 24, 1))
    assert (np.isnan(videos.resample([0, np.nan, 1, 1], 1, 2)).tolist()
            == [False] + [True] * 3 + [False] * 4)
    assert videos.fit(np.arange(5.0), 3).tolist() == [0, 1, 2]
    assert videos.fit(np.arange(3.0), 5).tolist() == [0, 1, 2, 2, 2]
    assert videos.fit(np.arange(3.0), 6) is None and videos.fit(np.zeros(0), 1) is None


def test_templates():
    match = layouts.template(r"**/{subject:SN\d+}/{subject}_au{au:d}.txt").fullmatch
    assert match("a/b/SN001/sn001_AU12.txt")["au"] == "12" and match("SN001/SN001_au1.txt")
    assert not match("SN001/SN002_au1.txt")
    assert layouts.template("*{frame:d}.*").fullmatch("frame_det_00_000123.bmp")["frame"] == (
        "000123"
    )
    assert sorted(["T10", "T2", "T1"], key=layouts.natural) == ["T1", "T2", "T10"]
    with pytest.raises(BadInput, match="template"):
        layouts.template("{a:(}")
