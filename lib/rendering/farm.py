"""Renders plans in chunks, on all cores or a GPU, so that a killed run goes on where it
stopped."""
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import wait

import numpy as np

from lib import images
from lib.cli import progress
from lib.files import replacing

CHUNK = 96   # frames in a file of work; a chunk's bytes depend on nothing but its plan
BATCH = 32   # frames shaded at once

_studio = None  # one a process: loading the head model takes seconds


def cores():
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def studio(size, device):
    """This process's Studio, made at the first call."""
    global _studio
    if _studio is None or _studio.size != size:
        import torch

        from lib.rendering.studio import Studio
        # the processes share the cores, and bytes must not hang on their number
        torch.set_num_threads(1)
        _studio = Studio(size, device)
    return _studio


def batches(plan, room):
    """Yield (slice, arguments of Studio.frames) for a plan's frames, BATCH at a time."""
    people, which = np.unique(plan.person, return_inverse=True)
    drawn = [plan.geometry_and_look(int(person), room.heads.shapes) for person in people]
    looks = [look for _, look in drawn]
    neutral, textures = room.people([geometry for geometry, _ in drawn], looks)
    scenes = {int(session): plan.scene(int(session)) for session in np.unique(plan.session)}
    for first in range(0, len(plan), BATCH):
        place = slice(first, min(first + BATCH, len(plan)))
        part, own = plan.take(place), which[place]
        frames = {name: getattr(part, name)
                  for name in ("left", "right", "pose", "shift", "gaze", "grain")}
        shown = [scenes[int(session)] for session in part.session]
        if plan.look == "world":
            frames["resting"] = [looks[i]["resting"] for i in own]
            if plan.framing == "tight":
                frames["jitter"] = part.jitter(shown)
        yield place, (neutral[own], textures[own], [looks[i] for i in own], shown, frames)


def render(plan, size, device="cpu"):
    """A plan's frames, uint8 [N,size,size,3]."""
    room = studio(size, device)
    out = np.empty((len(plan), size, size, 3), np.uint8)
    for place, arguments in batches(plan, room):
        out[place] = room.frames(*arguments)
    return out


def samples(plan, size, device="cpu"):
    """What each frame's samples show: N times (rest positions [n,n,3] metres, kind [n,n])."""
    room = studio(size, device)
    found = []
    for _, (neutral, _, _, scenes, frames) in batches(plan, room):
        _, _, rest, kind, _ = room.samples(neutral, scenes, frames)
        found += list(zip(rest, kind))
    return found


def motions(plan, size, device="cpu"):
    """How a plan's frames moved from rest, float16 [N,size/2,size/2,4] (see
    lib.rendering.motion)."""
    from lib.rendering import motion

    room = studio(size, device)
    return np.concatenate([motion.motion(room, neutral, scenes, frames)
                           for _, (neutral, _, _, scenes, frames) in batches(plan, room)])


def follow_parent():
    """In a worker: leave when the main process has gone, however it went; a killed run leaves no
    orphans."""
    def watch():
        wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def render_chunk(plan, size, device, path):
    """Render a chunk into its file, and its motion into another beside it; the number of
    frames."""
    if plan.motion:
        with replacing(path.with_name(f"motion-{path.name}")) as temporary:
            images.write_pack(temporary, motions(plan, size, device))
    with replacing(path) as temporary:
        images.write_pack(temporary, render(plan, size, device))
    return len(plan)


def render_all(jobs, size, device, workers):
    """Render every (plan, folder) of jobs into folder/00000.npy …, skipping chunks that are
    there."""
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
            for plan, path in work:
                bar.update(render_chunk(plan, size, device, path))
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(work)), context, follow_parent) as pool:
            waiting = [pool.submit(render_chunk, plan, size, device, path) for plan, path in work]
            try:
                for done in as_completed(waiting):
                    bar.update(done.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
