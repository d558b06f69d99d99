"""Renders plans in chunks, on all cores or a GPU, so that a killed run goes on where it stopped."""
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed

import numpy as np

from lib.cli import progress
from lib.files import replacing

CHUNK = 96   # frames in a file of work; a chunk's bytes depend on nothing but its plan
BATCH = 32   # frames shaded at once

_studio = None  # one a process: loading the head model takes seconds


def studio(size, device):
    """This process's Studio, made at the first call."""
    global _studio
    if _studio is None or _studio.size != size:
        from lib.rendering.scene import Studio
        _studio = Studio(size, device)
    return _studio


def start(threads):
    """Prepare a worker process: it must not fight the others for cores."""
    import torch
    torch.set_num_threads(threads)


def render(plan, size, device="cpu"):
    """A plan's frames, uint8 [N,size,size,3]."""
    room = studio(size, device)
    out = np.empty((len(plan), size, size, 3), np.uint8)
    people, which = np.unique(plan.person, return_inverse=True)
    drawn = [plan.geometry_and_look(int(person), room.heads.shapes) for person in people]
    looks = [look for _, look in drawn]
    neutral, textures = room.people([geometry for geometry, _ in drawn], looks)
    scenes = {int(session): plan.scene(int(session)) for session in np.unique(plan.session)}
    for first in range(0, len(plan), BATCH):
        part = plan.take(slice(first, first + BATCH))
        own = which[first:first + BATCH]
        frames = {k: getattr(part, k) for k in ("left", "right", "pose", "shift", "gaze", "grain")}
        out[first:first + BATCH] = room.frames(neutral[own], textures[own], [looks[i] for i in own],
                                               [scenes[int(s)] for s in part.session], frames)
    return out


def render_chunk(plan, size, device, path):
    """Render a chunk into its file; the number of frames."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, render(plan, size, device))
    return len(plan)


def render_all(jobs, size, device, workers):
    """Render every (plan, folder) of jobs into folder/00000.npy …, skipping chunks that are there."""
    work = []
    for plan, folder in jobs:
        for number, first in enumerate(range(0, len(plan), CHUNK)):
            path = folder / f"{number:05d}.npy"
            if not path.exists():
                work.append((plan.take(slice(first, first + CHUNK)), path))
    if not work:
        return
    with progress(total=sum(len(plan) for plan, _ in work), what="rendering", unit="image") as bar:
        if device == "cuda" or workers == 1 or len(work) == 1:
            start(os.cpu_count() if len(work) == 1 else 1)
            for plan, path in work:
                bar.update(render_chunk(plan, size, device, path))
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(work)), context, start, (1,)) as pool:
            waiting = [pool.submit(render_chunk, plan, size, device, path) for plan, path in work]
            try:
                for done in as_completed(waiting):
                    bar.update(done.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
