"""Importers of video data sets on small trees in their layouts, byte for byte against manifests
written by hand."""
import time

import pytest
from trees import BOM, plant, run

from lib.cli import BadInput
from lib.datasets import disfa, videos


def test_disfa(tmp_path, capsys):
    made, dropped = run("disfa", tmp_path, {
        "ActionUnit_Labels/SN002/SN002_au1.txt": "1,0\r\n2,3\r\n3,9\r\n4,5\r\n",
        "ActionUnit_Labels/SN002/SN002_au12.txt": BOM + b"1,1\n2,-1\n\n3,2\n4,4\n",
        "ActionUnit_Labels/SN002/SN002_au2.txt": "",  # empty label file
        "ActionUnit_Labels/SN002/SN002_au2.txt.bak": "rubbish",
        "ActionUnit_Labels/SN010/SN010_au1.txt": "1,2\n2,2\n",
        "ActionUnit_Labels/SN010/SN010_au12.txt": "1,0\n2,0\n",
        # 2.png is missing
        "Frames/LeftVideoSN002_comp/0.png|1.png|3.png|.DS_Store|Thumbs.db": None,
        "Frames/RightVideoSN002_comp/0.png|1.png|2.png|3.png": None,
        "Frames/LeftVideoSN010_comp/0.png|1.png|2.png": None,  # one more than labels
        "Frames/LeftVideoSN011_comp/0.png": None})
    assert made == """\
path,subject,AU01,AU12,au_kind,source,video,frame,time
../root/Frames/LeftVideoSN002_comp/0.png,disfa-SN002,0,0.2,intensity,real,SN002,1,0
../root/Frames/LeftVideoSN002_comp/1.png,disfa-SN002,0.6,,intensity,real,SN002,2,0.05
../root/Frames/LeftVideoSN002_comp/3.png,disfa-SN002,1,0.8,intensity,real,SN002,4,0.15
../root/Frames/LeftVideoSN010_comp/0.png,disfa-SN010,0.4,0,intensity,real,SN010,1,0
../root/Frames/LeftVideoSN010_comp/1.png,disfa-SN010,0.4,0,intensity,real,SN010,2,0.05
../root/Frames/LeftVideoSN010_comp/2.png,disfa-SN010,,,intensity,real,SN010,3,0.1
"""
    assert dropped == """\
path,reason
ActionUnit_Labels/SN002/SN002_au2.txt,empty label file
SN011,no labels of this video
SN002/3,no image for this label
"""
    said = capsys.readouterr().err
    assert "label N is image N-1" in said
    assert "unlabelled rows: 1" in said
    assert "1 no image for this label" in said


@pytest.mark.parametrize("names", ["00001.png|00002.png|00003.png", "1.jpg|2.jpg|3.jpg",
                                   "f_000001.bmp|f_000002.bmp|f_000003.bmp"])
def test_disfa_frames_from_one(tmp_path, names):
    made, dropped = run("disfa", tmp_path, {
        "ActionUnit_Labels/SN001/SN001_au4.txt": "1,0\n2,1\n3,2\n", f"images/SN001/{names}": None
    }, stride=2)
    first, last = names.split("|")[0], names.split("|")[2]
    assert made == f"""\
path,subject,AU04,au_kind,source,video,frame,time
../root/images/SN001/{first},disfa-SN001,0,intensity,real,SN001,1,0
../root/images/SN001/{last},disfa-SN001,0.4,intensity,real,SN001,3,0.1
"""
    assert dropped == "path,reason\n"


def test_a_video_extracted_otherwise_is_named(tmp_path, capsys):
    files = {f"L/SN00{i}/SN00{i}_au4.txt": "1,0\n2,1\n3,2\n" for i in (1, 2, 3)}
    run("disfa", tmp_path,
        files | {"a/SN001/1.png|2.png|3.png": None, "a/SN002/1.png|2.png|3.png": None,
                 "a/SN003/0.png|1.png|2.png": None})
    said = capsys.readouterr().err
    assert "SN003 alone would fit better as N-1" in said and "SN002 alone" not in said
    run("disfa", tmp_path, {}, frame_offset="-1")
    made = (tmp_path / "out/manifest.csv").read_text().splitlines()
    assert made[1].startswith("../root/a/SN001/1.png,disfa-SN001,0.2,")


def test_disfa_wants_frames_and_good_lines(tmp_path):
    labels = {"ActionUnit_Labels/SN001/SN001_au4.txt": "1,0\n2,7\n"}
    with pytest.raises(BadInput, match=r"SN001_au4.txt: line 2: '7' is no FACS level"):
        run("disfa", tmp_path, labels | {"x/SN001/1.png": None})
    with pytest.raises(
        BadInput,
        match=r"1 videos, but no frames .* python -m lib.faces.register .*Video_LeftCamera"
    ):
        run("disfa", tmp_path / "b", {"ActionUnit_Labels/SN001/SN001_au4.txt": "1,0\n",
                                      "Video_LeftCamera/LeftVideoSN001_comp.avi": "x"})
    with pytest.raises(BadInput, match="--aus AU09: DISFA as it lies here has no such label"):
        run("disfa", tmp_path / "c", {"a/SN001_au4.txt": "", "a/SN001/SN001_au4.txt": "1,0\n",
                                      "x/SN001/1.png": None}, aus=["9"])
    with pytest.raises(BadInput, match="lies inside"):
        run("disfa", tmp_path / "d", {"a/SN001/SN001_au4.txt": "1,0\n"},
            out=str(tmp_path / "d/root/out"))


def test_disfa_from_registered_frames(tmp_path):
    faces = plant(tmp_path / "faces", {
        "manifest.csv": "path,video,frame,confidence,registration\n"
                        "000/a.png,LeftVideoSN001_comp.avi,0,0.9,crop\n"
                        "000/b.png,LeftVideoSN001_comp,1,0.8,crop\n", "000/a.png|b.png": None
    })
    made, _ = run("disfa", tmp_path, {"L/SN001/SN001_au4.txt": "1,0\n2,5\n"},
                  images_root=str(faces))
    assert made == """\
path,subject,AU04,au_kind,source,confidence,video,frame,time,registration
../faces/000/a.png,disfa-SN001,0,intensity,real,0.9,SN001,1,0,crop
../faces/000/b.png,disfa-SN001,1,intensity,real,0.8,SN001,2,0.05,crop
"""


@pytest.mark.parametrize("times", [True, False])
def test_registered_frames_count_from_0_whatever_faces_are_missing(tmp_path, times):
    """Frames 1 to 5 of 0 to 6 have a face. Label 1 is frame 0: image 1 shows label 2, though 1 to
    5 fit as well."""
    cells = [f"{i}.png,SN001.avi,{i}" + (f",{i / 20:.4f}" if times else "") for i in range(1, 6)]
    faces = plant(tmp_path / "faces", {
        "manifest.csv": "path,video,frame" + ",time" * times + "\n" + "\n".join(cells) + "\n",
        "|".join(f"{i}.png" for i in range(1, 6)): None})
    # with 5 labels image 5 has none: as equals, all five would fit
    for labels in (7, 5) if times else (7,):
        made, _ = run(
            "disfa", tmp_path / str(labels),
            {"L/SN001/SN001_au4.txt": "".join(f"{i},{i % 6}\n" for i in range(1, labels + 1))},
            images_root=str(faces)
        )
        levels = [line.split(",")[2] for line in made.splitlines()[1:]]
        assert levels == ["0.4", "0.6", "0.8", "1", "0" if labels == 7 else ""]


def test_what_registered_frames_count_from():
    """By times: at 25 frames a second frame 50 is at 2 s when the first is 0, and frame 51 is when
    it is 1."""
    at = lambda **cells: {int(number[1:]): ("", {"time": time}) for number, time in cells.items()}
    assert videos.first_number(at(f5="0.2", f50="2")) == 0
    assert videos.first_number(at(f6="0.2", f51="2")) == 1
    assert videos.first_number(at(f5="0.2")) is None
    assert videos.first_number({5: ("", {}), 6: ("", {})}) is None
    # reckoned back from too short a piece
    assert videos.first_number(at(f50="2", f55="2.2")) is None


def test_disfa_plus(tmp_path):
    files = {"Labels/SN001/A1_AU1_TrailNo_1/AU1.txt": "# a comment\n000.jpg     0\r\n\r\n"
                                                      "001.jpg\t4\r\n002.jpg 9\n",
             "Labels/SN001/A1_AU1_TrailNo_1/AU25.txt": "000.jpg 1\n001.jpg 2\n",
             "Labels/SN001/A1_AU1_TrailNo_1/AU2.txt": "",
             "Labels/SN001/Y_planB/AU1.txt": "010.jpg 5\n",
             "Images/SN001/A1_AU1_TrailNo_1/000.jpg|001.jpg|003.jpg|.DS_Store": None,
             "Images/SN001/Y_planB/010.jpg": None}
    made, dropped = run("disfa_plus", tmp_path, files)
    assert made == """\
path,subject,AU01,AU25,au_kind,source,video,frame
../root/Images/SN001/A1_AU1_TrailNo_1/000.jpg,disfa-SN001,0,0.2,intensity,\
real,SN001/A1_AU1_TrailNo_1,0
../root/Images/SN001/A1_AU1_TrailNo_1/001.jpg,disfa-SN001,0.8,0.4,intensity,\
real,SN001/A1_AU1_TrailNo_1,1
../root/Images/SN001/A1_AU1_TrailNo_1/003.jpg,disfa-SN001,,,intensity,real,SN001/A1_AU1_TrailNo_1,3
../root/Images/SN001/Y_planB/010.jpg,disfa-SN001,1,,intensity,real,SN001/Y_planB,10
"""
    assert dropped == """\
path,reason
Labels/SN001/A1_AU1_TrailNo_1/AU2.txt,empty label file
SN001/A1_AU1_TrailNo_1/002,no image for this label
"""
    made, dropped = run("disfa_plus", tmp_path, {}, aus=["25"], drop_unlabelled=True)
    assert [line.split(",")[:3] for line in made.splitlines()] == [
        ["path", "subject", "AU25"],
        ["../root/Images/SN001/A1_AU1_TrailNo_1/000.jpg", "disfa-SN001", "0.2"],
        ["../root/Images/SN001/A1_AU1_TrailNo_1/001.jpg", "disfa-SN001", "0.4"]
    ]
    assert "Images/SN001/Y_planB/010.jpg,unlabelled" in dropped


BP4D = {"AUCoding/AU_OCC/F001_T1.csv": BOM + b"0,1,2,12,99\r\n2440,1,0,9,0\r\n"
                                             b"2441,0,9,1,0\r\n2442,0,0,0,0\r\n",
        "AUCoding/AU_OCC/F001_T2.csv": "",
        "AUCoding/AU_OCC/M002_T1.csv": "0,1,2,12,99\n7,1,1,1,0\n",
        "AU Intensity Codes3.0/AU06/F001_T1_AU06.csv": "2440,5\r\n2441,9\r\n2442,1\r\n",
        "AU Intensity Codes3.0/AU12/F001_T1_AU12.csv": "2440,0\n2441,3\n",
        "F001/T1/02440.jpg|02441.jpg|notes.txt": None, "M002/T1/7.jpg|8.jpg": None,
        "F001/T3/1.jpg": None}


def test_bp4d_occurrence(tmp_path):
    made, dropped = run("bp4d", tmp_path, BP4D)
    assert made == """\
path,subject,AU01,AU02,AU12,au_kind,source,video,frame,time
../root/F001/T1/02440.jpg,bp4d-F001,1,0,,occurrence,real,F001_T1,2440,97.56
../root/F001/T1/02441.jpg,bp4d-F001,0,,1,occurrence,real,F001_T1,2441,97.6
../root/M002/T1/7.jpg,bp4d-M002,1,1,1,occurrence,real,M002_T1,7,0.24
../root/M002/T1/8.jpg,bp4d-M002,,,,occurrence,real,M002_T1,8,0.28
"""
    assert dropped == """\
path,reason
AUCoding/AU_OCC/F001_T2.csv,empty label file
F001/T3,no labels of this video
F001_T1/2442,no image for this label
F001_T2,no frames of this video
"""


def test_bp4d_from_registered_videos_in_folders(tmp_path):
    """F001/T1.avi and M002/T1.avi share a name: the manifest holds their paths, and the folder is
    the subject."""
    faces = plant(tmp_path / "faces",
                  {"manifest.csv": "path,video,frame\n0.png,/videos/F001/T1.avi,7\n"
                                   "1.png,/videos/M002/T1.avi,7\n", "0.png|1.png": None})
    made, _ = run("bp4d", tmp_path,
                  {"AU_OCC/F001_T1.csv": "0,1\n7,1\n", "AU_OCC/M002_T1.csv": "0,1\n7,0\n"},
                  images_root=str(faces), frame_offset="0")
    assert made == """\
path,subject,AU01,au_kind,source,video,frame,time
../faces/0.png,bp4d-F001,1,occurrence,real,F001_T1,7,0.24
../faces/1.png,bp4d-M002,0,occurrence,real,M002_T1,7,0.24
"""


def test_registered_videos_of_one_name_are_not_mixed(tmp_path):
    """a/clip.avi and b/clip.avi: which of them the labels mean is for the user to say."""
    faces = plant(tmp_path / "faces",
                  {"manifest.csv": "path,video,frame\n0.png,a/clip.avi,0\n1.png,b/clip.avi,0\n",
                   "0.png|1.png": None})
    files = {"valence/clip.txt": "0.5\n", "arousal/clip.txt": "0\n"}
    with pytest.raises(BadInput,
                       match=r"clip has frames in several folders \(a/clip, b/clip\); say which"):
        run("aff_wild", tmp_path, files, images_root=str(faces))
    made, _ = run("aff_wild", tmp_path, files, images_root=str(faces),
                  images="b/{video}/{frame:d}.*")
    assert made.splitlines()[1].startswith("../faces/1.png,affwild-clip,0.5,0,")


def test_bp4d_intensity(tmp_path):
    made, dropped = run("bp4d", tmp_path, BP4D, labels="intensity", drop_inactive=True)
    assert made == """\
path,subject,AU06,AU12,au_kind,source,video,frame,time
../root/F001/T1/02440.jpg,bp4d-F001,1,0,intensity,real,F001_T1,2440,97.56
../root/F001/T1/02441.jpg,bp4d-F001,,0.6,intensity,real,F001_T1,2441,97.6
"""
    assert dropped == """\
path,reason
F001/T3,no labels of this video
M002/T1,no labels of this video
F001_T1/2442,no image for this label
"""


def test_fera17(tmp_path):
    files = {"train/occ/FERA17_TR_F007_T1.csv": "0,1,4\r\n1,0,1\r\n2,9,0\r\n",
             "train/int/FERA17_TR_F007_T1_AU04_Int.csv": "1,3\n2,0\n",
             "valid/occ/FERA17_VA_F007_T1.csv": BOM + b"0,1,4\n1,1,1\n",
             "valid/occ/FERA17_VA_F008_T1.csv": "0,1,4\n1,1,1\n",
             "train/ims/FERA17_TR_F007_T1_6/1.png|2.png": None,
             "train/ims/FERA17_TR_F007_T1_9/1.png|2.png": None,
             "train/ims/FERA17_TR_F007_T1_6.mp4": "x",
             "valid/ims/FERA17_VA_F007_T1_6/000001.png": None,
             "test/ims/FERA17_TE_F009_T1_6/1.png": None}
    made, dropped = run("fera17", tmp_path, files)
    assert made == """\
path,subject,AU01,AU04,au_kind,source,partition,video,frame,time,view
../root/train/ims/FERA17_TR_F007_T1_6/1.png,bp4d-F007,0,1,occurrence,real,train,TR_F007_T1_6,1,0,6
../root/train/ims/FERA17_TR_F007_T1_6/2.png,bp4d-F007,,0,occurrence,real,train,TR_F007_T1_6,2,0.04,6
../root/train/ims/FERA17_TR_F007_T1_9/1.png,bp4d-F007,0,1,occurrence,real,train,TR_F007_T1_9,1,0,9
../root/train/ims/FERA17_TR_F007_T1_9/2.png,bp4d-F007,,0,occurrence,real,train,TR_F007_T1_9,2,0.04,9
../root/valid/ims/FERA17_VA_F007_T1_6/000001.png,bp4dplus-F007,1,1,occurrence,\
real,validation,VA_F007_T1_6,1,0,6
"""
    assert dropped == ("path,reason\nVA_F008_T1,no frames of this video\n"
                       "TE/F009/T1/6,no labels of this video\n")
    made, dropped = run("fera17", tmp_path, {}, labels="intensity", views=[9])
    assert made == """\
path,subject,AU04,au_kind,source,partition,video,frame,time,view
../root/train/ims/FERA17_TR_F007_T1_9/1.png,bp4d-F007,0.6,intensity,real,train,TR_F007_T1_9,1,0,9
../root/train/ims/FERA17_TR_F007_T1_9/2.png,bp4d-F007,0,intensity,real,train,TR_F007_T1_9,2,0.04,9
"""


def test_unbc_pain(tmp_path, capsys):
    at, facs, pspi = (f"{folder}/042-ll042/ll042t1aaaff"
                      for folder in ("Images", "Frame_Labels/FACS", "Frame_Labels/PSPI"))
    made, dropped = run("unbc_pain", tmp_path, {
        f"{at}/ll042t1aaaff001.png|ll042t1aaaff002.png|ll042t1aaaff003.png": None,
        f"{at}/ll042t1aaaff010.png|.DS_Store": None,
        f"{facs}/ll042t1aaaff001_facs.txt": "",  # no AU
        f"{facs}/ll042t1aaaff002_facs.txt": "   4.0000000e+00   3.0000000e+00   0   0\r\n"
                                            "  43.0 1.0 0 0\r\n"
                                            "  15 2 0 0\r\n",
        f"{facs}/ll042t1aaaff003_facs.txt": BOM + b"6 2\n7 5\n10 9\n",
        f"{facs}/ll042t1aaaff011_facs.txt": "4 1\n",  # its image is missing
        f"{pspi}/ll042t1aaaff001_facs.txt": "   0.0000000e+00\n",
        f"{pspi}/ll042t1aaaff002_facs.txt": "",
    }, coded=["4", "6", "7", "10", "43"])
    assert made == f"""\
path,subject,AU04,AU06,AU07,AU10,AU43,au_kind,source,video,frame,pspi
../root/{at}/ll042t1aaaff001.png,unbc-042,0,0,0,0,0,intensity,real,ll042t1aaaff,1,0
../root/{at}/ll042t1aaaff002.png,unbc-042,0.6,0,0,0,1,intensity,real,ll042t1aaaff,2,4
../root/{at}/ll042t1aaaff003.png,unbc-042,0,0.4,1,,0,intensity,real,ll042t1aaaff,3,
../root/{at}/ll042t1aaaff010.png,unbc-042,,,,,,intensity,real,ll042t1aaaff,10,
"""
    assert dropped == f"path,reason\n{facs}/ll042t1aaaff011_facs.txt,no image for this label\n"
    assert "AUs 15 are in some files" in capsys.readouterr().err


def test_aff_wild(tmp_path, capsys):
    made, dropped = run("aff_wild", tmp_path, {
        "annotations/train/valence/105.txt": "0\r\n0.2\r\n0.4\r\n",
        "annotations/train/arousal/105.txt": BOM + b"-1\n-0.5\n0\n",
        "annotations/train/valence/9.txt": "0.1\n", "annotations/train/arousal/9.txt": "",
        "annotations/train/valence/7.txt": "0.1\n", "annotations/train/arousal/7.txt": "0\n",
        "aus/105.csv": "frame,AU1,AU12\n1,1,0\n2,0,9\n6,1,1\n",
        # 4 is missing
        "frames/105/00001.jpg|00002.jpg|00003.jpg|00005.jpg|00006.jpg|00007.jpg": None,
        "frames/9/00001.jpg|00002.jpg|00003.jpg|00004.jpg|00005.jpg": None},
        fps=30, trace_fps=15, au_labels="**/aus/{video}.csv",
        subjects=str(plant(tmp_path / "who", {"who.csv": "video,subject\n105,anna\n"}) / "who.csv"))
    assert made == """\
path,subject,AU01,AU12,au_kind,valence,arousal,source,video,frame,time
../root/frames/105/00001.jpg,affwild-anna,1,0,occurrence,0,-1,real,105,1,0
../root/frames/105/00002.jpg,affwild-anna,0,,occurrence,0.1,-0.75,real,105,2,0.0333
../root/frames/105/00003.jpg,affwild-anna,,,occurrence,0.2,-0.5,real,105,3,0.0667
../root/frames/105/00005.jpg,affwild-anna,,,occurrence,0.4,0,real,105,5,0.1333
../root/frames/105/00006.jpg,affwild-anna,1,1,occurrence,0.4,0,real,105,6,0.1667
../root/frames/105/00007.jpg,affwild-anna,,,occurrence,0.4,0,real,105,7,0.2
"""
    assert dropped == """\
path,reason
annotations/train/valence/9.txt,trace longer or shorter than its video
annotations/train/arousal/9.txt,empty label file
7,no frames of this video
9,no labels of this video
105/4,no image for this label
"""


def test_aff_wild_reads_traces_at_the_times_of_registered_frames(tmp_path, capsys):
    """Videos of 60 and 25 frames a second, of the first every other frame registered; the second's
    last faces are missing, so that its trace goes on. Traces have 30 values a second, the third
    one too few."""
    half = [("a.mp4", 2 * i, i / 30) for i in range(4)]  # as register --fps 30 takes them
    slow = [("b.mp4", i, i / 25) for i in range(6)]
    short = [("c.mp4", i, i / 30) for i in range(9)]
    rows = "".join(f"{video}{frame}.png,{video},{frame},{time:.4f}\n"
                   for video, frame, time in half + slow + short)
    faces = plant(tmp_path / "faces", {
        "manifest.csv": "path,video,frame,time\n" + rows,
        "|".join(f"{video}{frame}.png" for video, frame, _ in half + slow + short): None
    })
    ramp = "".join(f"{i / 100}\n" for i in range(40))
    made, dropped = run("aff_wild", tmp_path, {
        # one missing; one too short by one
        "valence/a.txt": "0\n0.1\n-5\n0.3\n", "arousal/a.txt": "0\n0.1\n0.2\n",
        "valence/b.txt": ramp, "arousal/b.txt": ramp,
        "valence/c.txt": "0\n" * 6, "arousal/c.txt": "0\n" * 6,
    }, images_root=str(faces), fps=30, trace_fps=30)
    assert made == """\
path,subject,valence,arousal,source,video,frame,time
../faces/a.mp40.png,affwild-a,0,0,real,a,1,0.0000
../faces/a.mp42.png,affwild-a,0.1,0.1,real,a,3,0.0333
../faces/a.mp44.png,affwild-a,,0.2,real,a,5,0.0667
../faces/a.mp46.png,affwild-a,0.3,0.2,real,a,7,0.1000
../faces/b.mp40.png,affwild-b,0,0,real,b,1,0.0000
../faces/b.mp41.png,affwild-b,0.012,0.012,real,b,2,0.0400
../faces/b.mp42.png,affwild-b,0.024,0.024,real,b,3,0.0800
../faces/b.mp43.png,affwild-b,0.036,0.036,real,b,4,0.1200
../faces/b.mp44.png,affwild-b,0.048,0.048,real,b,5,0.1600
../faces/b.mp45.png,affwild-b,0.06,0.06,real,b,6,0.2000
"""
    assert dropped == (
        "path,reason\nvalence/c.txt,trace longer or shorter than its video\n"
        "arousal/c.txt,trace longer or shorter than its video\nc,no labels of this video\n"
    )
    assert ("go on after their video's last face, cut (if by much: see --trace-fps): 2"
            in capsys.readouterr().err)
    made, _ = run("aff_wild", tmp_path, {"valence/c.txt": ramp, "arousal/c.txt": ramp},
                  images_root=str(faces))
    values = [row.split(",")[2] for row in made.splitlines()[1:] if ",c," in row]
    # one value a frame
    assert values == ["0", "0.01", "0.02", "0.03", "0.04", "0.05", "0.06", "0.07", "0.08"]


def test_aff_wild2(tmp_path):
    au = "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26\r\n"
    made, dropped = run("aff_wild2", tmp_path, {
        "annotations/AU_Detection_Challenge/Train_Set/video59_left.txt":
            au + "1,0,0,0,0,0,1,0,0,0,0,0\r\n" + ",".join(["-1"] * 12) + "\r\n"
            "0,1,0,0,0,0,0,0,0,0,1,-1\r\n",
        "annotations/VA_Estimation_Challenge/Validation_Set/video59_left.txt":
            "valence,arousal\n0.1,-0.2\n-5,-5\n-1,1\n",
        "annotations/VA_Estimation_Challenge/Train_Set/video59.txt":
            BOM + b"valence,arousal\n0.5,-5\n",
        "annotations/VA_Estimation_Challenge/Train_Set/video59_right.txt": "",
        "annotations/EXPR_Classification_Challenge/Train_Set/video59_left.txt":
            "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n4\n-1\n7\n",
        "cropped_aligned/video59_left/00001.jpg|00003.jpg|.DS_Store": None,
        "cropped_aligned/video59/00001.jpg|00002.jpg": None,
        "cropped/video59_left/00001.jpg": None, "cropped_aligned/video60/00001.jpg": None
    })
    assert made == """\
path,subject,AU01,AU02,AU04,AU06,AU07,AU10,AU12,AU15,AU23,AU24,AU25,AU26,\
au_kind,valence,arousal,expression,source,partition,video,frame,\
va_partition,expression_partition,au_partition
../root/cropped_aligned/video59/00001.jpg,affwild2-video59,,,,,,,,,,,,,occurrence,\
0.5,,,real,train,video59,1,train,,
../root/cropped_aligned/video59/00002.jpg,affwild2-video59,,,,,,,,,,,,,occurrence,\
,,,real,train,video59,2,train,,
../root/cropped_aligned/video59_left/00001.jpg,affwild2-video59_left,1,0,0,0,0,0,1,0,0,0,0,0,\
occurrence,0.1,-0.2,happiness,real,mixed,video59_left,1,validation,train,train
../root/cropped_aligned/video59_left/00003.jpg,affwild2-video59_left,0,1,0,0,0,0,0,0,0,0,1,,\
occurrence,-1,1,other,real,mixed,video59_left,3,validation,train,train
"""
    assert dropped == """\
path,reason
annotations/VA_Estimation_Challenge/Train_Set/video59_right.txt,empty label file
video60,no labels of this video
video59_left/2,no image for this label
"""


def test_aff_wild2_older_names(tmp_path):
    made, _ = run("aff_wild2", tmp_path, {
        "AU_Set/Training_Set/v.txt": "AU1,AU2,AU4,AU6,AU12,AU15,AU20,AU25\n0,0,0,0,0,0,1,0\n",
        "EXPR_Set/Train_Set/v.txt": "Neutral,Anger\n1\n",
        "cropped_aligned/v/00001.jpg": None,
    }, aus=["20"], fps=30)
    assert made == (
        "path,subject,AU20,au_kind,expression,source,partition,video,frame,time,"
        "expression_partition,au_partition\n"
        "../root/cropped_aligned/v/00001.jpg,affwild2-v,1,occurrence,anger,real,train,v,1,0,"
        "train,train\n"
    )


def test_speed_100k_rows(tmp_path):
    """100,000 rows of 12 AUs (1.2 million labels) import well within the minute that is promised.
    Frames come from a manifest, for making 100,000 files would take longer than importing them."""
    aus, files = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26), {}
    text = "".join(f"{frame},{frame % 6}\r\n" for frame in range(1, 5001))
    for person in range(1, 21):
        for au in aus:
            files[f"ActionUnit_Labels/SN{person:03d}/SN{person:03d}_au{au}.txt"] = text
    root = plant(tmp_path / "root", files)
    frames = "".join(f"images.npy#{person * 5000 + frame},SN{person + 1:03d},{frame}\n"
                     for person in range(20) for frame in range(5000))
    plant(tmp_path / "frames", {"manifest.csv": "path,video,frame\n" + frames})
    start = time.process_time()  # of the processor: the machine may be busy otherwise
    options = disfa.Options(root=str(root), out=str(tmp_path / "out"),
                            images_root=str(tmp_path / "frames"))
    disfa.collect(options).write()
    took = time.process_time() - start
    lines = (tmp_path / "out/manifest.csv").read_text().splitlines()
    print(f"{(len(lines) - 1) / took:.0f} rows/s")
    assert len(lines) == 100_001 and lines[1].startswith("../frames/images.npy#0,disfa-SN001,0.2,")
    assert took < 20
