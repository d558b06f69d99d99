"""DISFA: 27 people watching a film clip, 4,845 frames each at 20 a second, twelve AUs with levels
0 to 5.

    python -m lib.datasets.disfa ROOT --images-root FRAMES --out DIR

    ActionUnit_Labels/SN001/SN001_au1.txt     lines `frame,level`, frames from 1, no header
    Video_LeftCamera/LeftVideoSN001_comp.avi  to be extracted into one folder a video; files may
                                              count from 0 or from 1, padded with zeros or not

AUs 1 2 4 5 6 9 12 15 17 20 25 26. Subjects are `disfa-SN001`, as in DISFA+, which filmed nine of
them again. Mavadati, Mahoor, Bartlett, Trinh, Cohn: DISFA: A Spontaneous Facial Action Intensity
Database (2013).
"""
from dataclasses import dataclass

from lib.cli import arg, progress, run
from lib.datasets import importing, videos
from lib.datasets.layouts import Tree, cell, level, whole
from lib.labels import au_name


@dataclass(kw_only=True)
class Options(videos.VideoOptions):
    labels: str = arg(r"**/{subject:SN\d+}/{subject}_au{au:d}.txt", metavar="TEMPLATE",
                      help="the label files")
    camera: str = arg("left", help="whose frames count where both videos were extracted",
                      choices=["left", "right"])


def read_labels(collection, tree, files, separator=","):
    """{subject: {AU: {frame: cell}}} of files of `frame,level` lines."""
    out = {}
    for path, parts in progress(files, what="labels", unit="file"):
        levels = {}
        for line, text in tree.lines(path):
            frame, _, value = (
                text.replace("\t", separator).replace(" ", separator).partition(separator)
            )
            levels[cell(whole, frame, path, line)] = cell(level, value.strip(separator), path, line)
        if not levels:
            collection.drop(path, "empty label file")
        out.setdefault(parts["subject"].upper(), {})[au_name(parts["au"])] = levels
    return out


def collect(options):
    """The collection of all labelled videos."""
    tree = Tree(options.root)
    collection = importing.Collection(options, "DISFA")
    known = read_labels(collection, tree, tree.need(options.labels, "--labels"))
    images = videos.frames(options, tree, r"**/*{subject:SN\d+}*/**/*{frame:d}.*", ["subject"],
                           collection, prefer=options.camera)
    images = {(key.upper(),): found for (key,), found in images.items()}
    found = [videos.Video(subject, *videos.join(aus), images.get((subject,), {}),
                          {"subject": f"disfa-{subject}"}) for subject, aus in known.items()]
    videos.add_videos(collection, found, 20, images)
    return collection


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
