"""Rendered people from several sides, framed loosely as a camera would: for the template and the measurement.

The one part of lib.faces that needs torch, through lib.rendering.
"""
import dataclasses

import numpy as np

from lib.rendering import farm, plan

LOOSE = 1.9  # the face fills about half of the picture's height


class LoosePlan(plan.Plan):
    """A plan whose cameras stand further back."""

    def scene(self, session):
        return dict(super().scene(session), zoom=LOOSE)


def portraits(people, poses, size, seed, neutral=False):
    """Rendered people: uint8 [people, len(poses), size, size, 3].

    poses: (yaw, pitch, roll) in degrees; a person's expression, light and background are the same in all.
    seed: who they are and what they show; neutral: without expression."""
    base = plan.draw("test_natural", seed, people, people, "wild")
    repeat = np.repeat(np.arange(people), len(poses))
    parts = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    parts = {name: value[repeat] if isinstance(value, np.ndarray) else value for name, value in parts.items()}
    parts["pose"] = np.tile(np.asarray(poses, np.float64), (people, 1))
    parts["grain"] = np.arange(len(repeat))  # the sensor's noise is new in every picture
    if neutral:
        for name in ("levels", "left", "right"):
            parts[name] = np.zeros_like(parts[name])
    return farm.render(LoosePlan(**parts), size).reshape(people, len(poses), size, size, 3)
