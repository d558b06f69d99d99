"""A z-buffer rasteriser for batches of small-triangle meshes, as NVIDIA Warp kernels (CPU or
CUDA).

Head meshes have 9,000 triangles of a few samples each, so one thread a triangle that writes
`depth << 32 | triangle` with an atomic minimum beats rays through a bounding-volume tree by far.
Results do not depend on the order of threads: the minimum is exact, and normals are gathered.
"""
import os
import time
from pathlib import Path

import numpy as np
import torch
import warp as wp

from lib.cli import log


def start_warp():
    """Initialise Warp without a word: stdout belongs to the product, and that there is no GPU is
    no news. Warp's library says that to the file descriptor, past Python and past its own
    settings."""
    wp.config.quiet, wp.config.log_level = True, 40  # errors only
    told = os.dup(2)
    try:
        if not torch.cuda.is_available():
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 2)
        wp.init()
    finally:
        os.dup2(told, 2)
        os.close(told)


start_warp()

FAR = (1 << 62)
KERNELS = {"cpu": ["*.o"], "cuda": ["*.ptx", "*.cubin"]}  # compiled, in Warp's cache
BEGUN = 300  # seconds in which nothing is said again while the cache is still empty


@wp.kernel
def _vertex_normals(points: wp.array2d(dtype=wp.vec3), faces: wp.array2d(dtype=wp.int32),
                    start: wp.array(dtype=wp.int32), around: wp.array(dtype=wp.int32),
                    normals: wp.array2d(dtype=wp.vec3)):
    b, v = wp.tid()
    total = wp.vec3(0.0, 0.0, 0.0)
    for i in range(start[v], start[v + 1]):
        f = around[i]
        p = points[b, faces[f, 0]]
        total += wp.cross(points[b, faces[f, 1]] - p, points[b, faces[f, 2]] - p)
    normals[b, v] = wp.normalize(total)


@wp.kernel
def _fill(screen: wp.array2d(dtype=wp.vec3), faces: wp.array2d(dtype=wp.int32), n: wp.int32,
          buffer: wp.array2d(dtype=wp.int64)):
    b, f = wp.tid()
    p = screen[b, faces[f, 0]]
    q = screen[b, faces[f, 1]]
    r = screen[b, faces[f, 2]]
    area = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
    if area >= 0.0:
        return  # turned away (the screen's y points down, so the sign is mirrored) or without area
    x0 = wp.max(int(wp.ceil(wp.min(p[0], wp.min(q[0], r[0])) - 0.5)), 0)
    x1 = wp.min(int(wp.floor(wp.max(p[0], wp.max(q[0], r[0])) - 0.5)), n - 1)
    y0 = wp.max(int(wp.ceil(wp.min(p[1], wp.min(q[1], r[1])) - 0.5)), 0)
    y1 = wp.min(int(wp.floor(wp.max(p[1], wp.max(q[1], r[1])) - 0.5)), n - 1)
    for y in range(y0, y1 + 1):
        for x in range(x0, x1 + 1):
            cx = float(x) + 0.5
            cy = float(y) + 0.5
            u = ((r[0] - q[0]) * (cy - q[1]) - (r[1] - q[1]) * (cx - q[0])) / area
            v = ((p[0] - r[0]) * (cy - r[1]) - (p[1] - r[1]) * (cx - r[0])) / area
            w = 1.0 - u - v
            if u >= 0.0 and v >= 0.0 and w >= 0.0:
                depth = u * p[2] + v * q[2] + w * r[2]  # metres from the camera
                key = wp.int64(depth * 1.0e7) * wp.int64(65536) + wp.int64(f)
                wp.atomic_min(buffer, b, y * n + x, key)


@wp.kernel
def _resolve(screen: wp.array2d(dtype=wp.vec3), faces: wp.array2d(dtype=wp.int32),
             kind: wp.array(dtype=wp.int32), rest: wp.array(dtype=wp.vec3), n: wp.int32,
             normals: wp.array2d(dtype=wp.vec3), buffer: wp.array2d(dtype=wp.int64),
             out_normal: wp.array2d(dtype=wp.vec3), out_rest: wp.array2d(dtype=wp.vec3),
             out_kind: wp.array2d(dtype=wp.int32)):
    b, i = wp.tid()
    key = buffer[b, i]
    if key == wp.int64(FAR):
        out_kind[b, i] = -1
        return
    f = int(key % wp.int64(65536))
    a0 = faces[f, 0]
    a1 = faces[f, 1]
    a2 = faces[f, 2]
    p = screen[b, a0]
    q = screen[b, a1]
    r = screen[b, a2]
    area = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
    cx = float(i % n) + 0.5
    cy = float(i / n) + 0.5
    u = ((r[0] - q[0]) * (cy - q[1]) - (r[1] - q[1]) * (cx - q[0])) / area
    v = ((p[0] - r[0]) * (cy - r[1]) - (p[1] - r[1]) * (cx - r[0])) / area
    w = 1.0 - u - v
    out_normal[b, i] = wp.normalize(normals[b, a0] * u + normals[b, a1] * v + normals[b, a2] * w)
    out_rest[b, i] = rest[a0] * u + rest[a1] * v + rest[a2] * w
    out_kind[b, i] = kind[f]


@wp.kernel
def _spread(screen: wp.array2d(dtype=wp.vec3), faces: wp.array2d(dtype=wp.int32), n: wp.int32,
            values: wp.array2d(dtype=wp.float32), buffer: wp.array2d(dtype=wp.int64),
            out: wp.array2d(dtype=wp.float32)):
    b, i = wp.tid()
    key = buffer[b, i]
    if key == wp.int64(FAR):
        return
    f = int(key % wp.int64(65536))
    p = screen[b, faces[f, 0]]
    q = screen[b, faces[f, 1]]
    r = screen[b, faces[f, 2]]
    area = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
    cx = float(i % n) + 0.5
    cy = float(i / n) + 0.5
    u = ((r[0] - q[0]) * (cy - q[1]) - (r[1] - q[1]) * (cx - q[0])) / area
    v = ((p[0] - r[0]) * (cy - r[1]) - (p[1] - r[1]) * (cx - r[0])) / area
    out[b, i] = (values[b, faces[f, 0]] * u + values[b, faces[f, 1]] * v
                 + values[b, faces[f, 2]] * (1.0 - u - v))


def begins_to_compile(folder, device):
    """Whether Warp's cache `folder` has nothing for these kernels on 'cpu' or 'cuda', and no other
    process began to compile them in the last minutes: a render's processes all start at once."""
    name = _fill.module.get_module_identifier(1 if device == "cpu" else None)  # threads a block
    if any(file for kind in KERNELS[device] for file in Path(folder, name).glob(kind)):
        return False
    begun = Path(folder, f".{name}.{device}.begun")
    try:
        if time.time() - begun.stat().st_mtime < BEGUN:
            return False
        begun.touch()
    except FileNotFoundError:
        try:
            begun.touch(exist_ok=False)
        except FileExistsError:
            return False
    return True


class Rasteriser:
    """Rasterises batches of one topology.

    faces: int [F,3]; kind: int [F], handed through to samples; rest: float [V,3], a position a
    vertex that is interpolated to samples (what the skin is painted by); device: 'cpu' or 'cuda'.
    """

    def __init__(self, faces, kind, rest, device):
        self.device = device
        if begins_to_compile(wp.config.kernel_cache_dir, device):
            log("compiling the renderer, once on this machine: up to a minute")
        faces = np.asarray(faces, np.int32)
        order = np.argsort(faces.reshape(-1), kind="stable")
        start = np.searchsorted(faces.reshape(-1)[order], np.arange(len(rest) + 1))
        give = lambda array, dtype: wp.array(array, dtype=dtype, device=device)
        self.faces = give(faces, wp.int32)
        self.start, self.around = give(start.astype(np.int32), wp.int32), give(
            (order // 3).astype(np.int32), wp.int32
        )
        self.kind = give(np.asarray(kind, np.int32), wp.int32)
        self.rest = give(np.asarray(rest, np.float32), wp.vec3)

    def __call__(self, points, screen, n):
        """points: float [B,V,3], camera space, metres; screen: float [B,V,3], sample column, row
        and depth in metres; n: samples a side.

        Returns normals [B,n,n,3] (camera space), rest positions [B,n,n,3], kind int [B,n,n] (-1:
        nothing).
        """
        count, size = points.shape[0], n * n
        new = lambda dtype: torch.zeros((count, size, *dtype[1:]), dtype=dtype[0],
                                        device=points.device)
        normal, rest, kind = new((torch.float32, 3)), new((torch.float32, 3)), new((torch.int32,))
        buffer = torch.full((count, size), FAR, dtype=torch.int64, device=points.device)
        vec = lambda tensor: wp.from_torch(tensor.contiguous(), dtype=wp.vec3)
        flat = lambda tensor: wp.from_torch(tensor)
        normals = torch.empty_like(points)
        p, s, v, z = vec(points), vec(screen), vec(normals), flat(buffer)
        # after torch's work, not beside it
        stream = wp.stream_from_torch() if points.is_cuda else None
        start = lambda kernel, dim, inputs: wp.launch(kernel, dim=dim, inputs=inputs,
                                                      device=self.device, stream=stream)
        start(_vertex_normals, points.shape[:2], [p, self.faces, self.start, self.around, v])
        start(_fill, (count, self.faces.shape[0]), [s, self.faces, n, z])
        start(_resolve, (count, size),
              [s, self.faces, self.kind, self.rest, n, v, z, vec(normal), vec(rest), flat(kind)])
        grid = (count, n, n)
        return normal.view(*grid, 3), rest.view(*grid, 3), kind.view(grid)

    def depth(self, screen, n):
        """How near the surface is to a camera or lamp: float [B,n,n], metres, infinite where
        nothing is.

        screen: float [B,V,3], sample column, row and depth in metres, at least 0."""
        buffer = self._fill(screen, n)
        depth = (buffer // 65536).float() / 1.0e7
        return torch.where(buffer == FAR, torch.inf, depth).view(len(screen), n, n)

    def spread(self, screen, values, n):
        """A number a vertex [B,V] interpolated to the samples that a camera sees, float
        [B,n,n]."""
        buffer = self._fill(screen, n)
        out = torch.zeros(buffer.shape, dtype=torch.float32, device=screen.device)
        inputs = [wp.from_torch(screen.contiguous(), dtype=wp.vec3), self.faces, n,
                  wp.from_torch(values.contiguous()), wp.from_torch(buffer), wp.from_torch(out)]
        wp.launch(_spread, dim=buffer.shape, inputs=inputs, device=self.device,
                  stream=self._stream(screen))
        return out.view(len(screen), n, n)

    def _stream(self, tensor):
        return wp.stream_from_torch() if tensor.is_cuda else None

    def _fill(self, screen, n):
        """The z-buffer int64 [B,n*n] of screen positions [B,V,3]."""
        buffer = torch.full((len(screen), n * n), FAR, dtype=torch.int64, device=screen.device)
        wp.launch(_fill, dim=(len(screen), self.faces.shape[0]), device=self.device,
                  stream=self._stream(screen),
                  inputs=[wp.from_torch(screen.contiguous(), dtype=wp.vec3), self.faces, n,
                          wp.from_torch(buffer)])
        return buffer
