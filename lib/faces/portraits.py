"""Rendered people framed loosely, as a camera would, in any pose: for the template, the
measurement and the registration experiment.

The one part of lib.faces that needs torch, through lib.rendering.
"""
import dataclasses

import numpy as np

from lib.rendering import farm, plan
from lib.rendering.scene import rotation

LOOSE = 1.9  # the face fills about half of the picture's height


@dataclasses.dataclass
class LoosePlan(plan.Plan):
    """A plan whose cameras stand further back, and whose frames may share a scene in different
    poses.

    scenes: int [N], whose session's scene a frame has (`session` numbers the frames); light_turns:
    whether the light stays on the same side of the face, as when the camera walks around it,
    instead of where it is in the room; zoom: how much more than the tight frame is seen."""

    scenes: np.ndarray
    light_turns: bool = False
    zoom: float = LOOSE

    def scene(self, session):
        frame, = np.flatnonzero(self.session == session)
        found = dict(super().scene(int(self.scenes[frame])), zoom=self.zoom)
        if self.light_turns:
            found["key"] = rotation(*self.pose[frame:frame + 1].T)[0].numpy() @ found["key"]
        return found


def loosely(base, rows, poses, light_turns=False, zoom=LOOSE):
    """The LoosePlan of a plan's frames `rows` (int [M], which may repeat) in poses float [M,3],
    degrees."""
    parts = {field.name: getattr(base.take(rows), field.name) for field in dataclasses.fields(base)}
    frames = np.arange(len(rows))  # the sensor's noise is new in every picture
    parts |= {"pose": np.asarray(poses, np.float64), "scenes": parts["session"], "session": frames,
              "grain": frames}
    return LoosePlan(**parts, light_turns=light_turns, zoom=zoom)


def portraits(people, poses, size, seed, light_turns=False):
    """Rendered people: uint8 [people, len(poses), size, size, 3].

    poses: (yaw, pitch, roll) in degrees; a person's expression, light and background are the same
    in all. seed: who they are and what they show; light_turns: as in LoosePlan."""
    base = plan.draw("test_natural", seed, people, people, "wild")
    loose = loosely(base, np.repeat(np.arange(people), len(poses)), np.tile(poses, (people, 1)),
                    light_turns)
    return farm.render(loose, size).reshape(people, len(poses), size, size, 3)
