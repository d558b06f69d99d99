"""Rendered people from several sides, framed loosely as a camera would: for the template and the measurement.

The one part of lib.faces that needs torch, through lib.rendering.
"""
import dataclasses

import numpy as np

from lib.rendering import farm, plan
from lib.rendering.scene import rotation

LOOSE = 1.9  # the face fills about half of the picture's height


class LoosePlan(plan.Plan):
    """A plan whose cameras stand further back; every frame is a session of its own."""

    sessions = light_turns = None  # int [N], whose scene a frame has; whether its light turns with the head

    def scene(self, session):
        found = dict(super().scene(int(self.sessions[session])), zoom=LOOSE)
        if self.light_turns:
            found["key"] = rotation(*self.pose[session:session + 1].T)[0].numpy() @ found["key"]
        return found


def portraits(people, poses, size, seed, light_turns=False):
    """Rendered people: uint8 [people, len(poses), size, size, 3].

    poses: (yaw, pitch, roll) in degrees; a person's expression, light and background are the same in all.
    seed: who they are and what they show; light_turns: the light stays on the same side of the face, as
    when the camera walks around it, instead of where it is in the room."""
    base = plan.draw("test_natural", seed, people, people, "wild")
    repeat = np.repeat(np.arange(people), len(poses))
    parts = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    parts = {name: value[repeat] if isinstance(value, np.ndarray) else value for name, value in parts.items()}
    sessions = parts["session"]
    parts["pose"] = np.tile(np.asarray(poses, np.float64), (people, 1))
    parts["grain"] = parts["session"] = np.arange(len(repeat))  # the sensor's noise is new in every picture
    loose = LoosePlan(**parts)
    loose.sessions, loose.light_turns = sessions, light_turns
    return farm.render(loose, size).reshape(people, len(poses), size, size, 3)
