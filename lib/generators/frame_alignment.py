"""Where the head went between two frames of a session: affine registration by robust least
squares.

Two frames of one person differ by the expression, which a generator is to make, and by a little
head movement, which it cannot know. Left in the idiosyncratic loss, half a pixel of movement
weighs more than a closed eye. Niinuma et al. (2022) train on registered faces; here frames are
registered to each other.
"""
import torch
from torch.nn import functional as F


def matrices(movement):
    """The affine matrices [N,2,3] of differences from the identity [N,6]."""
    return movement.view(-1, 2, 3) + torch.eye(2, 3, device=movement.device)


def move(pictures, movement):
    """Pictures [N,C,S,S] moved by affine differences from the identity [N,6] (rows of a 2x3
    matrix, in coordinates from -1 to 1); the border is repeated."""
    grid = F.affine_grid(matrices(movement), pictures.shape, align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def back(movement):
    """The movement [N,6] that undoes one."""
    matrix = matrices(movement)
    # _ex: without a check that would wait for a GPU
    turn = torch.linalg.inv_ex(matrix[:, :, :2]).inverse
    back = torch.cat([turn, -turn @ matrix[:, :, 2:]], 2)
    return (back - torch.eye(2, 3, device=movement.device)).flatten(1)


@torch.no_grad()
def movement(source, answer, steps=5, tolerance=3.0):
    """The affine movement [N,6] that brings `source` [N,3,S,S] onto `answer`, by Gauss-Newton at
    half resolution.

    Each pixel counts 1 / (1 + (r / s)²), r its difference and s `tolerance` times the median
    difference: what an expression changes is an outlier, and is left for the generator."""
    with torch.autocast(source.device.type, enabled=False):
        source, answer = (F.avg_pool2d(picture.float().mean(1, keepdim=True), 2)
                          for picture in (source, answer))
        size = source.shape[-1]
        line = torch.linspace(-1 + 1 / size, 1 - 1 / size, size, device=source.device)
        y, x = torch.meshgrid(line, line, indexing="ij")
        found = torch.zeros(len(source), 6, device=source.device)
        for _ in range(steps):
            moved = move(source, found)
            down, right = (slope * size / 2 for slope in torch.gradient(moved, dim=(2, 3)))
            slopes = torch.stack([right * x, right * y, right, down * x, down * y, down],
                                 -1).flatten(1, 3)
            error = (answer - moved).flatten(1)
            usual = error.abs().median(1, keepdim=True).values.clamp(min=0.01) * tolerance
            weighted = (slopes / (1 + (error / usual).square())[..., None]).mT
            normal = weighted @ slopes
            # a blank picture stays
            normal = normal + torch.diag_embed(1e-3 * normal.diagonal(dim1=1, dim2=2) + 1e-3)
            step = torch.linalg.solve_ex(normal, weighted @ error[..., None]).result
            found = found + step[..., 0]
        return found


def both_ways(distance, edited, true, source):
    """distance(edited, true, source), pictures [P,3,S,S] each, with the head's movement from
    `source` to `true` taken out: the mean of two, in which the edit or the true image is moved.

    Moving blurs. Were only edits moved, a chequered edit would pass; were only true images, a
    blurred one."""
    there = movement(source, true)
    returned = move(true, back(there))
    return (distance(move(edited, there), true, move(source, there))
            + distance(edited, returned, source)) / 2
