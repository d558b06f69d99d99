"""FERA 2017: BP4D rendered from nine views, with AU occurrence and levels.

    python -m lib.datasets.fera17 ROOT --images-root FRAMES --out DIR
    python -m lib.datasets.fera17 ROOT --images-root FRAMES --labels intensity --views 6 --out DIR

    occ/FERA17_TR_F001_T1.csv           header of AU numbers (first column: frame); AUs 1 4 6 7 10
                                        12 14 15 17 23
    int/FERA17_TR_F001_T1_AU06_Int.csv  `frame,level` without a header; AUs 1 4 6 10 12 14 17
    ims/FERA17_TR_F001_T1_6.mp4         view 1 to 9, to be extracted into one folder a video

TR are BP4D's 41 people (`bp4d-F001`, as in BP4D); VA (20) and TE (30) come from BP4D+, where F001
is somebody else (`bp4dplus-F001`). File names as public readers have them; other names are said
with the templates. Valstar, Sanchez-Lozano, Cohn, Jeni, Girard, Zhang, Yin, Pantic: FERA 2017 -
Addressing Head Pose (2017).
"""
from dataclasses import dataclass

from lib.cli import BadInput, arg, run
from lib.datasets import importing, videos
from lib.datasets.bp4d import read_all
from lib.datasets.layouts import Tree

PARTITIONS = {"TR": "train", "VA": "validation", "TE": "test"}
NAME = r"**/FERA17_{partition:TR|VA|TE}_{subject:[a-z]+\d+}_{task:T\d+}"


@dataclass(kw_only=True)
class Options(videos.VideoOptions):
    labels: str = arg("occurrence", help="which labels", choices=["occurrence", "intensity"])
    occurrence: str = arg(NAME + ".csv", metavar="TEMPLATE", help="the occurrence files")
    intensity: str = arg(NAME + "_AU{au:d}*.csv", metavar="TEMPLATE", help="the intensity files")
    views: list[int] = arg([], nargs="+", help="import these views only, of 1 to 9")


def collect(options):
    """The collection of all coded tasks in all views; each view is a video."""
    tree = Tree(options.root)
    collection = importing.Collection(options, "FERA17", au_kind=options.labels)
    keys = ["partition", "subject", "task"]
    known = {key: videos.join(aus)
             for key, aus in read_all(options, tree, collection, keys).items()}
    images = videos.frames(options, tree, NAME + r"_{view:\d}/**/*{frame:d}.*", keys + ["view"],
                           collection)
    if options.views:
        images = {key: frames for key, frames in images.items() if int(key[-1]) in options.views}
    found, lacking = [], set(known)
    for (*parts, view), frames in images.items():
        key = tuple(part.upper() for part in parts)
        lacking.discard(key)
        if key not in known:
            continue
        partition, subject, task = key
        person = f"{'bp4d' if partition == 'TR' else 'bp4dplus'}-{subject}"
        cells = {"subject": person, "partition": PARTITIONS[partition], "view": view}
        found.append(videos.Video(f"{partition}_{subject}_{task}_{view}", *known[key], frames,
                                  cells))
    for key in sorted(lacking):
        collection.drop("_".join(key), "no frames of this video")
    if not found:
        raise BadInput(f"{options.root}: no video has both labels and frames; see --occurrence, "
                       "--images and --views")
    videos.add_videos(collection, found, 25, images)
    return collection


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
