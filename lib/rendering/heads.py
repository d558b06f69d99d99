"""Head meshes: the parametric model `anny` (MakeHuman geometry and face units, CC0) as few arrays.

Coordinates are metres; +x is the person's left, +z is up, the face looks towards -y. The 52 face
units add fixed offsets to the vertices, whoever the person is, so an expression is one matrix
product.
"""
import contextlib
import io

import numpy as np
import torch

SKIN, EYE, MOUTH, TONGUE = range(4)  # kinds of triangle
_SHAPE = ("nose", "mouth", "eye", "chin", "cheek", "head", "forehead", "ear")
# body, or grotesque
_LEFT_OUT = ("arm", "neck", "bag", "head-age", "ear-wing", "ear-flap", "chin-jaw-drop", "nubian")

# How high on the average face (millimetres) a unit of the mouth or the cheek may reach, and how
# low: the model's units creep to nose and jaw, so that a lip's movement would also be seen there.
LIMITS = {"cheekSquint": (92, 150), "eyeSquint": (114, 152), "mouthSmile": (36, 124),
          "mouthUpperUp": (50, 114), "noseSneer": (66, 175), "mouth": (28, 91)}
SOFT = 12.0  # millimetres over which a unit fades beyond its limits


def reach(unit, height):
    """Share [V] of a unit's offset that vertices at a height [V] in millimetres keep."""
    limits = next((value for name, value in LIMITS.items() if unit.startswith(name)), None)
    if limits is None:
        return np.ones_like(height)
    beyond = np.clip(np.maximum(limits[0] - height, height - limits[1]) / SOFT, 0, 1)
    return 1 - beyond * beyond * (3 - 2 * beyond)


def load_anny():
    """The anny model of a head, and nothing on stdout."""
    with contextlib.redirect_stdout(io.StringIO()):
        import lib.rendering.raster  # noqa: F401, I001 starts Warp, which anny uses, quietly
        import anny
        return anny.Anny(rig="makehuman-head", topology="head", phenotypes="all",
                         local_changes="all", facial_actions="all").float()


class Heads:
    """Geometry of people and their expressions.

    faces: int [F,3]; kind: int [F]; rest: float [V,3], the average face; units: names of the 52
    face units; offsets: float [52,V,3], metres at full contraction.
    """

    def __init__(self, device="cpu"):
        from anny.face_segmentation import get_face_segmentation_mask as segment

        self.device = device
        self.model = load_anny()
        model = self.model
        self.faces = model.faces.long().cpu().numpy()
        self.kind = np.zeros(len(self.faces), np.int32)
        for kind, names in ((EYE, ("eye_front.L", "eye_front.R", "eye_back.L")),
                            (MOUTH, ("mouth_cavity",)), (TONGUE, ("tongue",))):
            self.kind[segment(model, list(names)).cpu().numpy()] = kind
        self.shapes = [
            name for name in model.local_change_labels
            if any(part in name for part in _SHAPE) and not any(part in name for part in _LEFT_OUT)
        ]
        self.units = list(model.facial_action_labels)
        count = len(self.units)
        acts = {name: torch.eye(count + 1)[i + 1] for i, name in enumerate(self.units)}
        average = {k: torch.full((count + 1,), 0.5) for k in model.phenotype_labels}
        both = self._forward(count + 1, average, {}, acts)
        self.rest = both[0].numpy()
        share = [reach(unit, self.rest[:, 2] * 1000) for unit in self.units]
        share = np.stack(share).astype(np.float32)
        self.offsets = ((both[1:] - both[:1]) * torch.from_numpy(share)[..., None]).to(device)

    def _forward(self, count, phenotypes, changes, acts):
        still = torch.eye(4)[None, None].repeat(count, self.model.bone_count, 1, 1)
        with torch.no_grad():
            return self.model(pose_parameters=still, phenotype_kwargs=phenotypes,
                              local_changes_kwargs=changes, facial_actions=acts)["vertices"]

    def people(self, geometry):
        """Neutral heads [P,V,3]; geometry: list of dicts from `draw_geometry`."""
        gather = lambda key, name: torch.tensor([one[key][name] for one in geometry],
                                                dtype=torch.float32)
        phenotypes = {k: gather("phenotypes", k) for k in self.model.phenotype_labels}
        changes = {k: gather("shapes", k) for k in self.shapes}
        return self._forward(len(geometry), phenotypes, changes, {}).to(self.device)

    def move(self, neutral, weights):
        """Heads [B,V,3] from neutral ones [B,V,3] and face unit weights [B,52]."""
        return neutral + (weights @ self.offsets.flatten(1)).view_as(neutral)


def draw_geometry(rng, shapes, spread=0.2):
    """A person's geometry: phenotypes in [0, 1] (age from 0.45: no children) and local changes."""
    mix = np.exp(1.6 * rng.standard_normal(3))
    mix /= mix.sum()
    phenotypes = dict(gender=rng.beta(0.7, 0.7), age=rng.uniform(0.45, 0.9),
                      muscle=rng.uniform(0.3, 0.7), weight=rng.uniform(0.25, 0.75), height=0.5,
                      proportions=0.5, cupsize=0.5, firmness=0.5, african=mix[0], asian=mix[1],
                      caucasian=mix[2])
    changes, drawn = {}, {}
    for name in shapes:  # left and right share most of a change: faces are nearly symmetric
        stem = name[2:] if name[:2] in ("l-", "r-") else name
        if stem not in drawn:
            drawn[stem] = rng.standard_normal() * spread
        own = drawn[stem] + (rng.standard_normal() * spread * 0.25 if stem != name else 0.0)
        share = 0.3 if "trans-out" in name and stem == name else 1.0
        changes[name] = float(np.clip(own, -1, 1)) * share
    return {"phenotypes": {k: float(v) for k, v in phenotypes.items()}, "shapes": changes}
