"""Pictures of heads: pose, camera, light, background, and the shading of what the rasteriser hit."""
import numpy as np
import torch
import torch.nn.functional as functional

from lib.rendering import skin
from lib.rendering.heads import EYE, MOUTH, TONGUE, Heads
from lib.rendering.raster import Rasteriser
from lib.rendering.signs import Signs
from lib.rendering.units import INDEX, JAW, face_weights

SUPERSAMPLING = 2
BROW, CHIN = (0.030, -0.130, 0.154), (0.0, -0.128, 0.033)  # places of the average face that frame the crop


def draw_scene(rng, wide=False):
    """Light, camera and background of a session; `wide` is the variety of pictures found anywhere."""
    more = 1.4 if wide else 1.0
    turn, lift = np.radians(rng.uniform(-60, 60)), np.radians(rng.uniform(-10, 60))
    key = np.array([np.sin(turn) * np.cos(lift), -np.cos(turn) * np.cos(lift), np.sin(lift)])
    warm = 0.07 * more * rng.standard_normal()
    strength = rng.uniform(.25, .85)
    return dict(key=key, strength=strength, colour=np.array([1 + warm, 1, 1 - warm]),
                sky=(1 - .75 * strength) * rng.uniform(.75, 1.05), bounce=rng.uniform(.25, .7),
                exposure=np.exp(0.13 * more * rng.standard_normal()), contrast=np.exp(0.1 * more * rng.standard_normal()),
                saturation=np.clip(1 + .12 * more * rng.standard_normal(), .5, 1.5),
                gloss=rng.uniform(.05, .2), distance=rng.uniform(.55, 1.4), zoom=rng.uniform(.98, 1.0 + .1 * more),
                noise=rng.uniform(0, .012 * more), blur=rng.uniform(0, .25 * more),
                back=rng.uniform(.05, .95, (4, 4, 3)) * .35 + rng.uniform(.05, .7) * .65,
                shift=0.02 * more * rng.standard_normal(2))


def rotation(yaw, pitch, roll):
    """Rotation matrices [B,3,3] (z up, y into the picture) from angles in degrees [B]."""
    yaw, pitch, roll = (torch.as_tensor(np.radians(a), dtype=torch.float32) for a in (yaw, pitch, roll))
    one, nil = torch.ones_like(yaw), torch.zeros_like(yaw)
    about = lambda *rows: torch.stack([torch.stack(row, -1) for row in rows], -2)
    z = about((yaw.cos(), -yaw.sin(), nil), (yaw.sin(), yaw.cos(), nil), (nil, nil, one))
    x = about((one, nil, nil), (nil, pitch.cos(), -pitch.sin()), (nil, pitch.sin(), pitch.cos()))
    y = about((roll.cos(), nil, roll.sin()), (nil, one, nil), (-roll.sin(), nil, roll.cos()))
    return y @ x @ z


class Studio:
    """Renders frames. size: pixels a side; device: 'cpu' or 'cuda'."""

    def __init__(self, size=64, device="cpu"):
        self.size, self.device = size, device
        self.heads = Heads(device)
        rest = self.heads.rest
        self.raster = Rasteriser(self.heads.faces, self.heads.kind, rest, device)
        nearest = lambda place: int(np.argmin(((rest - np.array(place)) ** 2).sum(1)))
        self.brow, self.chin = nearest(BROW), nearest(CHIN)
        self.x, self.z = skin.places()
        self.lips = self.bake_lips()
        self.signs = Signs(self.lips, device)

    def bake_lips(self):
        """How much of a texel is lip [HEIGHT,WIDTH]: a bow above the lips' line and one below."""
        x, z = self.x.abs(), self.z
        u = (x / 22.5).clamp(max=1)
        line = 70.3 - .6 * u ** 2
        top = line + 8.6 * (1 - u ** 1.6) * (1 - .16 * torch.exp(-(x / 3.2) ** 2))
        bottom = line - 11.2 * (1 - u ** 2.2)
        inside = torch.sigmoid((top - z) / .5) * torch.sigmoid((z - bottom) / .6) * torch.sigmoid((22.3 - x) / .5)
        return inside

    def people(self, geometry, looks):
        """Neutral heads [P,V,3] and textures [P,4,H,W]."""
        textures = torch.stack([skin.paint(look, self.lips, self.x, self.z) for look in looks])
        return self.heads.people(geometry), textures.to(self.device)

    def frames(self, neutral, textures, looks, scenes, frames):
        """uint8 [B,S,S,3]. neutral [B,V,3], textures [B,4,H,W], looks and scenes: lists of B dicts;
        frames: dict of arrays: left, right [B,20], pose [B,3] degrees, shift [B,2] pixels, gaze [B,2] mm,
        grain int [B] (seeds of the sensor's noise)."""
        give = lambda value: torch.as_tensor(np.asarray(value), dtype=torch.float32, device=self.device)
        left, right = give(frames["left"]), give(frames["right"])
        weights = face_weights(frames["left"], frames["right"], self.heads.units)
        points = self.heads.move(neutral, give(weights))
        turn = rotation(*np.asarray(frames["pose"]).T).to(self.device)
        points, screen, view = self.project(neutral, points, turn, scenes, give(frames["shift"]))
        n = self.size * SUPERSAMPLING
        normal, rest, kind = self.raster(points, screen, n)
        wrinkle = give([look["wrinkle"] for look in looks])
        sign = self.signs(left, right, wrinkle)
        surface = torch.cat([textures[:, :3] * sign[:, :3].exp(), textures[:, 3:], sign[:, 3:]], 1)
        surface = functional.grid_sample(surface, skin.texture_grid(rest), align_corners=False, padding_mode="border")
        surface = surface.permute(0, 2, 3, 1)  # [B,n,n,6]
        albedo, gloss = self.organs(surface[..., :3], surface[..., 3], rest, kind, looks, give(frames["gaze"]),
                                    self.mouth(view, turn, weights, n), give)
        slopes = surface[..., 4:] * (kind == 0)[..., None]
        lean = torch.einsum("bij,bhwj->bhwi", turn, torch.stack([-slopes[..., 0], 0 * slopes[..., 0], -slopes[..., 1]], -1))
        normal = functional.normalize(normal + lean, dim=-1)
        picture = self.light(albedo, gloss, normal, kind, scenes, give)
        return self.camera(picture, kind, scenes, frames["grain"], give)

    def project(self, neutral, points, turn, scenes, shift):
        """Points in camera space, their samples [B,V,3], and (centre, scale) of the view in metres."""
        give = lambda name: torch.tensor([float(scene[name]) for scene in scenes], device=self.device)
        n = self.size * SUPERSAMPLING
        brow, chin = neutral[:, self.brow], neutral[:, self.chin]
        middle = torch.stack([0 * brow[:, 0], (brow[:, 1] + chin[:, 1]) / 2, (brow[:, 2] + chin[:, 2]) / 2], -1)
        pivot = middle + torch.tensor([0.0, 0.07, 0.0], device=self.device)
        move = lambda p: torch.einsum("bij,bvj->bvi", turn, p - pivot[:, None])
        points, middle = move(points), move(middle[:, None])
        height = (brow[:, 2] - chin[:, 2]) * 1.22 * give("zoom")  # brows to chin, some forehead above
        middle[..., 2] += (brow[:, 2] - chin[:, 2])[:, None] * 0.055
        distance = give("distance")[:, None]
        near = distance / (distance + points[..., 1] - middle[..., 1])  # perspective about the face's plane
        offset = torch.tensor(np.array([scene["shift"] for scene in scenes]), dtype=torch.float32, device=self.device)
        offset = (offset + shift / self.size)[:, None] * n
        scale = (n / height)[:, None]
        column = (points[..., 0] - middle[..., 0]) * near * scale + n / 2 + offset[..., 0]
        row = (middle[..., 2] - points[..., 2]) * near * scale + n / 2 + offset[..., 1]
        screen = torch.stack([column, row, points[..., 1] + distance], -1)
        return points, screen, (middle[:, 0], scale[:, 0], offset[:, 0], pivot)

    def mouth(self, view, turn, weights, n):
        """Where each sample's ray meets the teeth's plane: x and z in head space relative to the pivot, and the
        jaw's drop in metres."""
        middle, scale, offset, pivot = view
        step = torch.arange(n, device=self.device) + 0.5
        across = (step[None, None] - n / 2 - offset[:, 0, None, None]) / scale[:, None, None] + middle[:, 0, None, None]
        up = middle[:, 2, None, None] - (step[None, :, None] - n / 2 - offset[:, 1, None, None]) / scale[:, None, None]
        back = turn.transpose(1, 2)
        entry = lambda i, j: back[:, i, j, None, None]
        plane = -0.072  # the incisors' plane, 7 cm before the pivot
        depth = (plane - entry(1, 0) * across - entry(1, 2) * up) / entry(1, 1)
        x = entry(0, 0) * across + entry(0, 1) * depth + entry(0, 2) * up
        z = entry(2, 0) * across + entry(2, 1) * depth + entry(2, 2) * up
        drop = torch.tensor(weights[:, self.heads.units.index(JAW)], dtype=torch.float32, device=self.device)
        return x, z, drop * 0.034, pivot

    def organs(self, albedo, gloss, rest, kind, looks, gaze, mouth, give):
        """Albedo [B,n,n,3] and gloss [B,n,n] with eyes, teeth, mouth and tongue put in."""
        colour = lambda name: give([look[name] for look in looks]).reshape(len(looks), 1, 1, -1)
        number = lambda name: give([look[name] for look in looks])[:, None, None]
        x, z = rest[..., 0] * 1000, rest[..., 2] * 1000
        side = torch.where(x > 0, 1.0, -1.0)
        away = ((x - side * 30.1 - gaze[:, 0, None, None]) ** 2 + (z - 136.7 - gaze[:, 1, None, None]) ** 2).sqrt()
        size = number("iris_size")
        iris, pupil = torch.sigmoid((size - away) / .35)[..., None], torch.sigmoid((2.3 - away) / .3)[..., None]
        ring = torch.exp(-(((away - size) / .7) ** 2))[..., None]
        white = number("sclera")[..., None] * torch.tensor([1.0, .97, .95], device=self.device)
        eye = white * (1 - iris) + iris * colour("iris")
        eye = eye * (1 - .35 * ring) * (1 - .95 * pupil)
        albedo = torch.where((kind == EYE)[..., None], eye, albedo)
        mx, mz, drop, pivot = mouth
        mx, mz = mx * 1000, mz * 1000 + self.line_height(pivot)
        upper = torch.sigmoid((mz - 71.2) / .4) * torch.sigmoid((81 - mz) / .6)
        lower = torch.sigmoid((69.0 - drop[:, None, None] * 1000 - mz) / .4) * \
            torch.sigmoid((mz + drop[:, None, None] * 1000 - 60) / .6)
        arch = torch.sigmoid((23 - mx.abs()) / 1.5)
        gaps = 1 - .25 * torch.exp(-((((mx / 7.5) % 1) - .5) * 7.5 / .5) ** 2)
        tooth = (torch.maximum(upper, .8 * lower) * arch * gaps * (1 - .4 * (mx.abs() / 23).clamp(max=1) ** 2))[..., None]
        inside = torch.tensor([.22, .07, .07], device=self.device)
        tongue = torch.tensor([.5, .22, .22], device=self.device) * (0.3 + 20 * drop).clamp(max=1)[:, None, None, None]
        hole = torch.where((kind == TONGUE)[..., None], tongue, inside)
        hole = hole * (1 - tooth) + tooth * number("teeth")[..., None] * torch.tensor([1.0, .97, .9], device=self.device)
        is_hole = (kind == MOUTH) | (kind == TONGUE)
        albedo = torch.where(is_hole[..., None], hole, albedo)
        gloss = torch.where(kind == EYE, 3.0, torch.where(is_hole, 0.6, gloss))
        return albedo, gloss

    def line_height(self, pivot):
        """Average-face height in millimetres of the pivot [B,1,1]: heads differ in where their mouth is."""
        return pivot[:, 2, None, None] * 1000

    def light(self, albedo, gloss, normal, kind, scenes, give):
        """Radiance [B,n,n,3]: sky and bounce, one key light, and its sheen."""
        part = lambda name: give([scene[name] for scene in scenes]).reshape(len(scenes), 1, 1, -1)
        key = part("key")
        facing = (normal * key).sum(-1, keepdim=True)
        diffuse = ((facing + .15) / 1.15).clamp(min=0)
        up = 0.5 + 0.5 * normal[..., 2:]
        frontal = (-normal[..., 1:2]).clamp(min=0)
        ambient = part("sky") * (part("bounce") + (1 - part("bounce")) * up) * (.55 + .45 * frontal)
        half = functional.normalize(key + torch.tensor([0.0, -1.0, 0.0], device=self.device), dim=-1)
        sheen = ((normal * half).sum(-1, keepdim=True).clamp(min=0) ** 24) * part("gloss") * gloss[..., None]
        hole = ((kind == MOUTH) | (kind == TONGUE))[..., None]
        lit = part("colour") * (ambient + 1.15 * part("strength") * diffuse)
        lit = torch.where(hole, .8 * part("colour") * (part("sky") + .5 * part("strength")), lit)
        return part("exposure") * (albedo * lit + sheen * part("strength") * part("colour") * ~hole)

    def camera(self, picture, kind, scenes, grain, give):
        """uint8 [B,S,S,3]: background, blur, contrast, colour and sensor noise."""
        n = picture.shape[1]
        part = lambda name: give([scene[name] for scene in scenes]).reshape(len(scenes), 1, 1, 1)
        back = give([scene["back"] for scene in scenes]).permute(0, 3, 1, 2)
        back = functional.interpolate(back, (n, n), mode="bicubic", align_corners=False)
        picture = torch.where((kind < 0)[:, None], back, picture.permute(0, 3, 1, 2)).clamp(0, 1.3)
        picture = functional.avg_pool2d(picture, SUPERSAMPLING)
        soft = functional.avg_pool2d(functional.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, 1)
        picture = picture + part("blur") * (soft - picture)
        grey = picture.mean(1, keepdim=True)
        picture = grey + part("saturation") * (picture - grey)
        picture = 0.45 + part("contrast") * (picture - 0.45)
        noise = torch.stack([torch.randn(picture.shape[1:], generator=torch.Generator().manual_seed(int(seed)))
                             for seed in grain]).to(picture.device)
        picture = picture + part("noise") * noise
        return (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
