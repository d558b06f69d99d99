"""A film of one face, edited frame by frame, without more flicker than it had.

What trembles from frame to frame is where the face is found and what the editor answers. Both
follow quick movements at once and slow ones smoothly; the film's own pixels are moved, so its
grain stays its own.
"""
import numpy as np

from lib.cli import BadInput, log
from lib.faces import align, landmarks, models, paste, video
from lib.faces.detect import choose
from lib.files import replacing

# share of a new frame's points that counts when the face rests, and when it moves
SLOW, FAST = 0.15, 1.0
MOVING = 0.03           # of the face's size: so far from the last frame is a movement
ANSWER = 0.3            # share of a new frame's edit that counts


class Steady:
    """Points of a face, frame by frame, without their tremble (as the 1 euro filter: G. Casiez et
    al., 2012)."""

    def __init__(self):
        self.points = None

    def __call__(self, face):
        """The face with steadied points; a face elsewhere begins anew."""
        points, size = face.points.astype(np.float64), max(face.size, 1.0)
        if self.points is None or np.abs(points - self.points)[:, :2].mean() > size / 2:
            self.points = points
        moved = np.linalg.norm((points - self.points)[:, :2].mean(0)) / size
        share = SLOW + (FAST - SLOW) * min(moved / MOVING, 1.0)
        self.points = self.points + share * (points - self.points)
        return landmarks.Face(self.points.astype(np.float32), face.confidence)


class Smooth:
    """Arrays, frame by frame: each is a mean of the present and the past, the past fading."""

    def __init__(self, share=ANSWER):
        self.share, self.last = share, None

    def __call__(self, values):
        values = [np.asarray(value, np.float32) for value in values]
        if self.last is None:
            self.last = values
        self.last = [last + self.share * (value - last) for last, value in zip(self.last, values)]
        return self.last


def edited(frames, mode, size, edit, apply):
    """Yield (picture uint8 [H,W,3], whether it was edited) for pictures of a film, in order.

    mode, size: how the editor's images are registered; edit(picture uint8 [S,S,3]) -> arrays of
    one shape each, such as flow, paint and cover; apply(photo, found, *arrays) -> photo. A frame
    without a face stays as it is."""
    steady, smooth, centre = Steady(), Smooth(), None
    for photo in frames:
        faces = landmarks.faces_in(photo)
        if not faces:
            yield photo, False
            continue
        face = faces[choose(faces, centre)]
        centre = face.centre
        face = steady(face)
        found = paste.Found(face, mode, *align.register(photo, face, mode, size))
        yield apply(photo, found, *smooth(edit(found.picture))), True


def edit_clip(path, out, mode, size, edit, apply):
    """Edit a film's largest face, then the nearest from frame to frame; write it to `out` (.mp4),
    without sound.

    Arguments as for `edited`. Returns (frames, frames in which no face was found)."""
    models.check()
    rate, writer, count, lost = video.rate(path), None, 0, 0
    with replacing(out) as temporary:
        pictures = (frame.image for frame in video.frames(path))
        for picture, changed in edited(pictures, mode, size, edit, apply):
            writer = writer or video.Writer(temporary, rate, picture.shape[:2])
            writer.write(picture)
            count, lost = count + 1, lost + (not changed)
        if writer:
            writer.close()
        if lost == count:
            raise BadInput(
                f"{path}: no face found in any of {count} frames; give a film where it is larger"
            )
    if lost:
        log(f"{path}: no face found in {lost} of {count} frames; they are as they were")
    return count, lost
