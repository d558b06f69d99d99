"""What the importers of detectors' CSVs share: which image a row speaks of, one face a frame,
confidence.

Their output serves as pseudo-labels: source=pseudo.
"""
import os
import re
from dataclasses import dataclass

from lib.cli import BadInput, arg, progress
from lib.datasets import importing, videos
from lib.datasets.layouts import IMAGES, Photos, Tree, cell, named_rows, stem, whole

NAMES = ("input", "image", "path", "file", "filename", "file_name", "image_path", "input_path",
         "img", "name")
PLACES = frozenset(NAMES + ("frame", "frame_idx", "frame_number", "face"))


@dataclass(kw_only=True)
class Options(videos.VideoOptions):
    root: str = arg(args=["root"], metavar="ROOT",
                    help="a CSV, or the folder with the CSVs (and images)")
    csv: str = arg("**/{video}.csv", metavar="TEMPLATE", help="the CSVs in ROOT")
    min_confidence: float = arg(0.0, help="drop faces of which the tool was less sure")
    prefix: str = arg("", help="before each subject; the subject is the CSV's or video's name")


def collect(options, data_set, kind, read, wanted):
    """The collection of all rows. read(row, where) -> {column: cell}, or the reason why there is
    no face in it; row: {column in lower case: text} of the columns that match `wanted` (of
    OpenFace's 714 few are needed) or say which image it is; where: (file, line)."""
    single = os.path.isfile(options.root)
    tree = Tree(os.path.dirname(os.path.abspath(options.root)) if single else options.root)
    collection = importing.Collection(options, data_set, au_kind=kind, source="pseudo")
    found = tree.need(options.csv, "--csv")
    if single:
        found = [(path, parts) for path, parts in found if path == os.path.basename(options.root)]
    source = Tree(options.images_root) if options.images_root else tree
    photos, labelled, films = Photos(source), [], {}
    for path, parts in progress(found, what="labels", unit="file"):
        rows = named_rows(tree.text(path), lambda name: name in PLACES or wanted.fullmatch(name))
        if not rows:
            collection.drop(path, "empty label file")
        for place, cells in best_faces(collection, rows, path, read, options.min_confidence):
            if isinstance(place, tuple):  # (video, frame)
                films.setdefault(place[0] or parts["video"], {})[place[1]] = cells
            elif cells is None:
                photos.mention(place or parts["video"])
            # an image's name, or the CSV is called like its only image
            elif place or of_one_photo(rows):
                name = place or parts["video"]
                labelled.append((name, photos.ask(name), cells))
            else:
                raise BadInput(f"{path}: has neither a column frame nor one with the image (such "
                               "as 'input'); add one")
    importing.add_photos(collection, photos.settle(labelled))
    shown = add_films(collection, options, tree, films) if films else set()
    if options.images_root or not single:  # around a single CSV may lie anything
        said = {name for name, _ in collection.dropped}
        importing.drop_unnamed(collection, [path for path in photos.unasked()
                                            if path not in said and source.path(path) not in shown])
    return collection


def of_one_photo(rows):
    """Whether rows that name neither image nor frame are the faces of one photo: a single one, or
    counted in the column `face` as OpenFace does (a video whose CSV lost its frames has no such
    column)."""
    faces = [row.get("face", "") for _, row in rows]
    return len(rows) == 1 or all(faces) and len(set(faces)) == len(faces)


def place_of(row, where):
    """Which image a row speaks of: a name, (video or '', frame), or '' when it does not say."""
    name = next((row[column] for column in NAMES if row.get(column)), "").replace("\\", "/")
    if os.path.splitext(name)[1].lower() in IMAGES:
        return name
    frame = row.get("frame") or row.get("frame_idx") or row.get("frame_number")
    return (stem(name), cell(whole, frame, *where)) if frame else name


def best_faces(collection, rows, path, read, least):
    """[(place, cells)]: of the faces in one image the surest; the others, and those without a
    face, are dropped (an image without one has None for cells, so that it does not count as
    unlabelled)."""
    best, faceless = {}, {}
    for line, row in rows:
        where = (path, line)
        place, cells = place_of(row, where), read(row, where)
        shown = (f"{place[0] or stem(path)}/{place[1]}" if isinstance(place, tuple)
                 else place or stem(path))
        if isinstance(cells, str):
            collection.drop(shown, cells)
            faceless[place] = None
            continue
        sure = float(cells.get("confidence") or 1)
        if sure < least:
            collection.drop(shown, "confidence below --min-confidence")
            faceless[place] = None
        elif place not in best:
            best[place] = (sure, cells)
        else:
            collection.drop(shown, "another face in the same image")
            if sure > best[place][0]:
                best[place] = (sure, cells)
    return [(place, cells) for place, (_, cells) in best.items()] + [
        (place, None) for place in faceless if place not in best]


def add_films(collection, options, tree, films):
    """Add the rows that name a frame of a video; the absolute paths of all these videos'
    images."""
    columns = sorted({name for rows in films.values() for cells in rows.values()
                      for name in cells or ()})
    images = {}
    names = "|".join(map(re.escape, films))
    pattern = "**/{video:%s}{tail:(?:_aligned|_frames)?}/**/*{frame:d}.*" % names
    for (video,), found in videos.frames(options, tree, pattern, ["video"], collection).items():
        images[video.lower(),] = found
    found = [videos.Video(video, tuple(columns),
                          {frame: cells and tuple(cells.get(name, "") for name in columns)
                           for frame, cells in rows.items()},
                          images.get((video.lower(),), {}), {"subject": options.prefix + video})
             for video, rows in films.items()]
    videos.add_videos(collection, found, images=images)
    return {path for frames in images.values() for path, _ in frames.values()}
