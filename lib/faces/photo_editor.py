"""Edits of the faces in photographs and films: what a face shows is read, then changed.

editor = PhotoEditor(Model.open("editor.onnx"), Model.open("reader.onnx"))
shown = editor.shown(photo, found)                        # conditions [1,C]
photo = editor.edited(photo, found, shown, target)
"""

from pathlib import Path

import numpy as np

from lib.cli import BadInput
from lib.faces import flow, landmarks, paste, reading
from lib.images import resize

# reads photographs where no classifier is named
SHIPPED = Path(__file__).parents[2] / "runs/models/reader.onnx"
MOVED = ("flow", "paint", "cover")  # outputs of an editor that says how it moves pixels


def edit_one(photo, found, edit, size):
    """A photo, uint8 [H,W,3], after edit(uint8 [size,size,3]) -> an editor's outputs by name, of
    its face.

    found: the face (paste.Found), which goes back into the photo, at the photo's own resolution
    where the editor says how it moves pixels; None: the photo is one, and the result has the
    model's size."""
    if not found:
        return edit(resize(photo, size))["edited"]
    return apply(photo, found, *parts(edit(found.picture)))


def parts(outputs):
    """What of an editor's outputs changes the photo: flow, paint and cover where it has them, else
    its picture."""
    return [outputs[name] for name in (MOVED if {*MOVED} <= outputs.keys() else ("edited",))]


def apply(photo, found, *changes):
    """The photo with the changes that `parts` gives: uint8 [H,W,3]."""
    if len(changes) == len(MOVED):
        return flow.apply(photo, found, *changes)
    return paste.paste(photo, found, np.clip(np.round(changes[0]), 0, 255).astype(np.uint8))


def reads_photos(reader, model):
    """Whether a reader (onnx_runtime.Model or None) reads every condition of an editor."""
    return bool(reader) and {*model.labels.conditions} <= {*reader.aus}


class PhotoEditor:
    """An editor of AUs for faces that were found in photos. model, reader: lib.onnx_runtime.Model;
    without a reader faces are taken for neutral."""

    def __init__(self, model, reader=None):
        if reader and not reads_photos(reader, model):
            lacks = sorted({*model.labels.conditions} - {*reader.aus})
            raise BadInput(f"{reader.path}: does not read {lacks[0]}, which {model.path} edits; "
                           "give a classifier of the same AUs, or say --assume-neutral")
        if reader and "reference" in reader.inputs:
            raise BadInput(f"{reader.path}: compares a face with another image of the person, "
                           "and a photo has none; give a classifier without references")
        self.model, self.reader = model, reader

    def row(self, levels):
        """{AU: level} as conditions float32 [1,C]."""
        return np.array([[levels[name] for name in self.model.labels.conditions]], np.float32)

    def shown(self, photo, found):
        """What a photo's face shows, conditions float32 [1,C]."""
        if not self.reader:
            return np.zeros((1, self.model.labels.count), np.float32)
        return self.row(reading.read_face(self.reader, photo, found.face))

    def shown_at_once(self, picture):
        """What a registered face shows, conditions [1,C], read in one picture as films need it:
        uint8 [S,S,3]."""
        if not self.reader:
            return np.zeros((1, self.model.labels.count), np.float32)
        from lib.onnx_runtime import au_scores

        outputs = self.reader.once(image=resize(picture, self.reader.image_size)[None])
        return self.row(dict(zip(self.reader.aus, au_scores(self.reader, outputs).clip(0, 1)[0])))

    def answers(self, picture, shown, target):
        """The editor's outputs by name for a registered face. shown, target: float32 [1,C]; NaN
        keeps what is shown."""
        made = self.model.once(image=picture[None], source=shown, target=target)
        return {name: values[0] for name, values in made.items()}

    def edited(self, photo, found, shown, target):
        """The photo, uint8 [H,W,3], with its face changed from `shown` to `target`, conditions
        [1,C]."""
        return apply(photo, found, *parts(self.answers(found.picture, shown, target)))

    def edit_clip(self, path, out, mode, target):
        """A film's largest face changed to `target` (NaN keeps what each frame shows). (frames,
        those without a face)"""
        from lib.faces import clip

        edit = lambda picture: parts(self.answers(picture, self.shown_at_once(picture), target))
        return clip.edit_clip(path, out, mode, self.model.image_size, edit, apply)


def levels_of(path, reader):
    """{AU: level} that a reader reads in the largest face of a photo file."""
    from lib import images

    photo = images.load(path)
    faces = landmarks.faces_in(photo)
    if not faces:
        raise BadInput(
            f"{path}: no face found; give a photo where it is larger, or more from the front"
        )
    return reading.read_face(reader, photo, faces[0])
