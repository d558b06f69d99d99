"""Sessions: light, camera and background; and how heads are posed and projected."""
import numpy as np
import torch

CROP = 1.2        # height of the picture over the distance from brows to chin
ABOVE = 0.085     # how far the crop's middle lies above the middle of brows and chin


def draw_scene(rng, wide=False):
    """Light, camera and background of a session; `wide` is the variety of pictures found
    anywhere."""
    more = 1.4 if wide else 1.0
    turn, lift = np.radians(rng.uniform(-60, 60)), np.radians(rng.uniform(-5, 60))
    warm = 0.06 * more * rng.standard_normal()
    strength = rng.uniform(.25, .85)
    wall = rng.uniform(.08, .85) * (1 + .1 * more * rng.standard_normal(3))
    return dict(
        key=np.array([np.sin(turn) * np.cos(lift), -np.cos(turn) * np.cos(lift), np.sin(lift)]),
        strength=strength, colour=np.array([1 + warm, 1, 1 - warm]),
        sky=(1.05 - .75 * strength) * rng.uniform(.75, 1.05), bounce=rng.uniform(.25, .7),
        exposure=np.exp(0.13 * more * rng.standard_normal()),
        contrast=np.exp(0.1 * more * rng.standard_normal()),
        saturation=np.clip(1 + .12 * more * rng.standard_normal(), .5, 1.5),
        gloss=rng.uniform(.05, .2), distance=rng.uniform(.55, 1.4),
        zoom=rng.uniform(.98, 1.0 + .07 * more), noise=rng.uniform(0, .012 * more),
        blur=rng.uniform(0, .25 * more),
        back=wall * (1 + rng.uniform(-.45, .45) * more * rng.standard_normal((4, 4, 1)) * .6)
             + .05 * more * rng.standard_normal((4, 4, 3)),
        shift=0.015 * more * rng.standard_normal(2)
    )


def rotation(yaw, pitch, roll):
    """Rotation matrices [B,3,3] (z up, y into the picture) from angles in degrees [B]."""
    yaw, pitch, roll = (torch.as_tensor(np.radians(a), dtype=torch.float32)
                        for a in (yaw, pitch, roll))
    one, nil = torch.ones_like(yaw), torch.zeros_like(yaw)
    about = lambda *rows: torch.stack([torch.stack(row, -1) for row in rows], -2)
    z = about((yaw.cos(), -yaw.sin(), nil), (yaw.sin(), yaw.cos(), nil), (nil, nil, one))
    x = about((one, nil, nil), (nil, pitch.cos(), -pitch.sin()), (nil, pitch.sin(), pitch.cos()))
    y = about((roll.cos(), nil, roll.sin()), (nil, one, nil), (-roll.sin(), nil, roll.cos()))
    return y @ x @ z


class View:
    """A batch of posed heads in front of cameras that frame the neutral face, brows to chin.

    points, brow, chin: [B,V,3], [B,3], [B,3] metres; turn [B,3,3]; scenes: list of B; shift [B,2]
    as a share of the picture; n: samples a side; marks: vertices of both brows, the chin and both
    eyes' outer corners, by which the shown face is framed as registration frames a photo
    (lib.faces.align.tight); None: framed by the neutral face. Has points (camera space) and screen
    (column, row, depth).
    """

    def __init__(self, points, brow, chin, turn, scenes, shift, n, marks=None, jitter=None):
        device = points.device
        of = lambda name: torch.tensor(np.array([scene[name] for scene in scenes]),
                                       dtype=torch.float32, device=device)
        middle = torch.stack([0 * brow[:, 0], (brow[:, 1] + chin[:, 1]) / 2,
                              (brow[:, 2] + chin[:, 2]) / 2], -1)
        self.turn, self.n = turn, n
        self.pivot = middle + torch.tensor([0.0, 0.07, 0.0], device=device)
        move = lambda p: torch.einsum("bij,bvj->bvi", turn, p - self.pivot[:, None])
        self.points, middle = move(points), move(middle[:, None])
        span = brow[:, 2] - chin[:, 2]
        middle[..., 2] += ABOVE * span[:, None]
        self.scale = n / (CROP * span * of("zoom"))
        self.offset = (of("shift") + shift) * n + n / 2
        self.middle = middle[:, 0]
        distance = of("distance")[:, None]
        # perspective about the face's plane
        near = distance / (distance + self.points[..., 1] - middle[..., 1])
        column = ((self.points[..., 0] - middle[..., 0]) * near * self.scale[:, None]
                  + self.offset[:, :1])
        row = ((middle[..., 2] - self.points[..., 2]) * near * self.scale[:, None]
               + self.offset[:, 1:])
        self.screen = torch.stack([column, row, self.points[..., 1] + distance], -1)
        self.back = None  # from samples of the framed picture to those before, [B,2,3]
        if marks is not None:
            self.frame_tightly(marks, jitter)

    def frame_tightly(self, marks, jitter):
        """Move the picture so that the shown face's eyes are level and its brows and chin where
        those of neutral faces are. jitter [B,4]: errors of what finds the face: x, y (of its
        height), log size, degrees."""
        left_brow, right_brow, chin, left_eye, right_eye = self.screen[:, list(marks), :2].unbind(1)
        across = left_eye - right_eye
        angle = torch.atan2(across[:, 1], across[:, 0]) + jitter[:, 3] * (np.pi / 180)
        level = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()], -1)
        level = level.view(-1, 2, 2)
        turned = lambda point: torch.einsum("bij,bj->bi", level, point)
        brow, chin = turned((left_brow + right_brow) / 2), turned(chin)
        eyes = turned((left_eye + right_eye) / 2)
        height = (chin - brow)[:, 1].clamp(min=self.n / 8)
        scale = self.n / (CROP * height) * jitter[:, 2].exp()
        middle = torch.stack([eyes[:, 0], (brow + chin)[:, 1] / 2 - ABOVE * height], -1)
        shift = self.n / 2 - scale[:, None] * (middle + jitter[:, :2] * height[:, None])
        matrix = scale[:, None, None] * level
        moved = torch.einsum("bij,bvj->bvi", matrix, self.screen[..., :2])
        self.screen[..., :2] = moved + shift[:, None]
        inverse = torch.linalg.inv(matrix)
        self.back = torch.cat([inverse, -inverse @ shift[..., None]], -1)

    def meet(self, image, row, column, depth):
        """Where the rays of samples (index tensors [K]) meet the vertical plane `depth` metres
        behind the pivot, head space: x relative to the middle and z, metres, each [K]."""
        column, row = column + 0.5, row + 0.5
        if self.back is not None:
            place = torch.stack([column, row, torch.ones_like(column)], -1)
            column, row = torch.einsum("kij,kj->ki", self.back[image], place).unbind(-1)
        across = (column - self.offset[image, 0]) / self.scale[image] + self.middle[image, 0]
        up = self.middle[image, 2] - (row - self.offset[image, 1]) / self.scale[image]
        back = self.turn.transpose(1, 2)[image]
        away = (depth - back[:, 1, 0] * across - back[:, 1, 2] * up) / back[:, 1, 1]
        place = back @ torch.stack([across, away, up], -1)[..., None]
        return place[:, 0, 0], place[:, 2, 0] + self.pivot[image, 2]
