"""The studio: people, behaviour and sessions go in, photographs come out."""
import numpy as np
import torch
import torch.nn.functional as functional

from lib.rendering import camera, shading, shadows, skin, world
from lib.rendering.heads import Heads
from lib.rendering.raster import Rasteriser
from lib.rendering.scene import View, rotation
from lib.rendering.signs import Signs
from lib.rendering.units import JAW, face_weights

SUPERSAMPLING = 2
# Places of the average face, metres: what frames the crop, and where the lips meet.
BROW, CHIN, LIPS = (0.030, -0.130, 0.154), (0.0, -0.128, 0.033), (0.0, -0.140, 0.0703)
# EYE: the left eye's outer corner
RIGHT_BROW, EYE = (-0.030, -0.130, 0.154), (0.046, -0.105, 0.136)
RIGHT_EYE = (-0.046, -0.105, 0.136)


class Studio:
    """Renders frames of `size` pixels a side; device: 'cpu' or 'cuda'."""

    def __init__(self, size=64, device="cpu"):
        self.size, self.device, self.n = size, device, size * SUPERSAMPLING
        self.heads = Heads(device)
        rest = self.heads.rest
        self.raster = Rasteriser(self.heads.faces, self.heads.kind, rest, device)
        nearest = lambda place: int(np.argmin(((rest - np.array(place)) ** 2).sum(1)))
        self.brow, self.chin, self.lips = nearest(BROW), nearest(CHIN), nearest(LIPS)
        self.marks = [self.brow, nearest(RIGHT_BROW), self.chin, nearest(EYE), nearest(RIGHT_EYE)]
        self.painter = skin.Painter()
        self.signs = Signs(self.painter, device)

    def people(self, geometry, looks):
        """Neutral heads [P,V,3] and textures [P,4,H,W] of lists of P dicts; see heads and skin."""
        textures = [world.paint(self.painter, look, self.painter(look)) if "furrows" in look
                    else self.painter(look) for look in looks]
        return self.heads.people(geometry), torch.stack(textures).to(self.device)

    def tensor(self, values):
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=self.device)

    def samples(self, neutral, scenes, frames):
        """What the camera's samples hit: the View, normals [B,n,n,3], rest positions [B,n,n,3],
        kind [B,n,n], and the face units' weights [B,52]. Arguments as in `frames`."""
        weights = face_weights(frames["left"], frames["right"], self.heads.units)
        if frames.get("resting") is not None:
            weights = world.rested(weights, frames["resting"], self.heads.units)
        points = self.heads.move(neutral, self.tensor(weights))
        turn = rotation(*np.asarray(frames["pose"]).T).to(self.device)
        jitter = frames.get("jitter")
        view = View(points, neutral[:, self.brow], neutral[:, self.chin], turn, scenes,
                    self.tensor(frames["shift"]) / self.size, self.n,
                    *((self.marks, self.tensor(jitter)) if jitter is not None else ()))
        return view, *self.raster(view.points, view.screen, self.n), weights

    def frames(self, neutral, textures, looks, scenes, frames):
        """uint8 [B,S,S,3]. neutral [B,V,3], textures [B,4,H,W], looks and scenes: lists of B
        dicts; frames: dict of arrays: left, right [B,20], pose [B,3] degrees, shift [B,2] pixels,
        gaze [B,2] mm, grain int [B] (seeds of the sensor's noise); of the look `world` also
        resting (B dicts, see world) and, framed by the shown face, jitter [B,4] (see
        scene.View)."""
        of_world = frames.get("resting") is not None
        view, normal, rest, kind, weights = self.samples(neutral, scenes, frames)
        stay = self.tensor([look["furrows"] for look in looks]) if of_world else 0.0
        sign = self.signs(self.tensor(frames["left"]) + stay, self.tensor(frames["right"]) + stay,
                          self.tensor([look["wrinkle"] for look in looks]))
        surface = torch.cat([textures[:, :3] * sign[:, :3].exp(), textures[:, 3:], sign[:, 3:]], 1)
        surface = functional.grid_sample(surface, skin.texture_grid(rest), align_corners=False,
                                         padding_mode="border")
        albedo, gloss = surface[:, :3].permute(0, 2, 3, 1).contiguous(), surface[:, 3]
        shading.eyes(albedo, rest, kind, looks, self.tensor(frames["gaze"]))
        shading.mouths(albedo, kind, looks, view, neutral[:, self.lips, 2],
                       self.tensor(weights[:, self.heads.units.index(JAW)]))
        # furrows tilt the skin's normal, in head space
        slopes = surface[:, 4:] * (kind == 0)[:, None]
        lean = -torch.einsum("bij,bjhw->bhwi", view.turn[:, :, [0, 2]], slopes)
        normal = functional.normalize(normal + lean, dim=-1)
        if of_world:
            return self.world_frames(albedo, gloss, normal, rest, kind, view, neutral, looks,
                                     scenes, frames)
        radiance = shading.light(albedo, gloss, normal, kind, scenes)
        return shading.photograph(radiance, kind, scenes, frames["grain"], SUPERSAMPLING)

    def world_frames(self, albedo, gloss, normal, rest, kind, view, neutral, looks, scenes, frames):
        """The end of `frames` for the look `world`: cast shadows, wet eyes, things and cameras."""
        key = self.tensor([scene["key"] for scene in scenes])
        arrives = shadows.reached(self.raster, view.points, key)
        arrives = self.raster.spread(view.screen, arrives, self.n)
        depth = self.tensor([scene["shadow"] for scene in scenes])[:, None, None]
        world.catchlights(albedo, rest, kind, looks, scenes, self.tensor(frames["gaze"]))
        radiance = shading.light(albedo, gloss, normal, kind, scenes, 1 - depth * (1 - arrives))
        eye = (neutral[:, self.marks[3], 2] - float(self.heads.rest[self.marks[3], 2])) * 1000
        radiance = camera.compose(radiance, kind, view, looks, scenes, eye)
        return camera.photograph(radiance, scenes, frames["grain"], SUPERSAMPLING)
