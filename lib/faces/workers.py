"""Work spread over processes, with results in order and only a few tasks waiting in memory."""
import multiprocessing
import os
import signal
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from lib.cli import BadInput, progress

AHEAD = 4    # tasks waiting for each process
ALONE = 12   # tasks up to which starting processes takes longer than the work


def cores():
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered_map(function, tasks, jobs, what="registering"):
    """Yield (key, function(task)) in order for each (key, task); a task of None gives None at
    once.

    function must be importable. The first ALONE tasks run here, more on `jobs` processes."""
    waiting, here, pool = deque(), 0, None
    try:
        with progress(what=what, unit="image") as bar:
            for key, task in tasks:
                if task is None:
                    waiting.append((key, None))
                elif jobs == 1 or here < ALONE:
                    here += 1
                    waiting.append((key, function(task)))
                else:
                    pool = pool or ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"),
                                                       _start)
                    waiting.append((key, pool.submit(function, task)))
                while waiting and (len(waiting) > AHEAD * jobs
                                   or not hasattr(waiting[0][1], "result")
                                   or waiting[0][1].done()):
                    yield _next(waiting, bar)
            while waiting:
                yield _next(waiting, bar)
    except BrokenProcessPool:
        raise BadInput("a worker process was killed, perhaps for want of memory; "
                       "try fewer --jobs") from None
    finally:
        if pool:
            pool.shutdown(wait=False, cancel_futures=True)


def _start():
    """A worker leaves Ctrl-C to the process that it works for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _next(waiting, bar):
    key, result = waiting.popleft()
    bar.update()
    return key, result.result() if hasattr(result, "result") else result
