"""What both trainers share: history, early stopping, averaged weights, learning-rate schedule,
processes.

Everything here is plain state that a checkpoint holds, so that interrupted and resumed equals
uninterrupted.
"""
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from lib.cli import BadInput, naming
from lib.files import to_json, write_text


class History:
    """`history.jsonl`: one JSON line an epoch (or tick), readable while training goes on.

    >>> history = History("runs/history.jsonl", keep=12)   # resumed after 12: later lines go
    >>> history.write({"epoch": 13, "loss": 0.02})
    """

    def __init__(self, path, keep=0, tensorboard=None):
        self.path = Path(path)
        before = (self.path.read_text(encoding="utf-8").splitlines(keepends=True)
                  if self.path.exists() else [])
        write_text(self.path, "".join(before[:keep]))
        self.board = Board(tensorboard, keep) if tensorboard else None

    def write(self, row):
        """Append a row; numbers are shortened to 6 digits, NaN becomes null."""
        with naming(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(json.loads(to_json(row))) + "\n")
        if self.board:
            self.board.write(row)


class Board:
    """The same rows as curves for TensorBoard (`tensorboard --logdir DIR`), one curve a number.

    keep: as History's; a resumed run's curves go on from there. BadInput without the package
    tensorboard."""

    def __init__(self, folder, keep=0):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise BadInput("--tensorboard needs the package tensorboard: "
                           ".venv/bin/pip install tensorboard") from None
        self.writer = SummaryWriter(str(folder), purge_step=keep + 1 if keep else None)
        self.count = keep

    def write(self, row):
        """Add the numbers of a row, those of dicts in it as 'outer/inner'."""
        self.count += 1
        for name, value in flat(row):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if number and math.isfinite(value):
                self.writer.add_scalar(name, value, self.count)
        self.writer.flush()


def flat(row, above=""):
    """(name, value) of a dict of values and dicts; names are joined by '/'."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}/")
        else:
            yield above + str(name), value


@dataclass
class Best:
    """The best epoch so far by a score that is better when lower."""

    score: float = math.inf
    epoch: int = 0

    def improves(self, score, epoch):
        """Whether this epoch is the best so far; remembers it then."""
        if score < self.score:
            self.score, self.epoch = score, epoch
            return True
        return False


class Average:
    """An exponential moving average (EMA) of a network's parameters and float buffers.

    The decay ramps up as (1 + step) / (10 + step), so that the first steps are forgotten soon.
    """

    def __init__(self, net, decay):
        self.decay, self.source = decay, floats(net)
        self.names = [name for name, value in net.state_dict().items() if value.is_floating_point()]
        self.values = [value.detach().clone() for value in self.source]

    @torch.no_grad()
    def update(self, step):
        """Move towards the network as it is after `step` steps."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, self.source, share)

    def weights(self, net):
        """The averaged state_dict (integer entries as they are in net)."""
        return {**net.state_dict(), **dict(zip(self.names, self.values))}

    def buffers(self, net):
        """The averages of the network's float buffers, such as BatchNorm's statistics."""
        names = {name for name, _ in net.named_buffers()}
        return [value for name, value in zip(self.names, self.values) if name in names]

    @torch.no_grad()
    def restore(self, weights):
        """Take over averaged weights from a checkpoint."""
        for name, value in zip(self.names, self.values):
            value.copy_(weights[name])


def floats(net):
    """The tensors of state_dict() that hold numbers to be averaged, sharing the network's
    memory."""
    return [value for value in net.state_dict().values() if value.is_floating_point()]


def learning_rate(base, step, total, schedule="constant", warmup=0):
    """The rate at `step` of `total`: linear warm-up, then constant or a half cosine down to 1 % of
    base."""
    if step < warmup:
        return base * (step + 1) / warmup
    if schedule == "constant":
        return base
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return base * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def set_learning_rate(optimiser, rate):
    """Set the rate of every parameter group."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def restore_optimiser(optimiser, state):
    """Take over an optimiser's state from a checkpoint.

    How it computes (fused or not) is what it was built with, not what an earlier version saved.
    The averages of gradients are laid in memory as the parameters are: fused kernels pair numbers
    by their place, and a GPU, or an earlier version, may have laid them otherwise."""
    kept = [{name: group[name] for name in ("fused", "foreach") if name in group}
            for group in optimiser.param_groups]
    groups = [{**saved, **own} for saved, own in zip(state["param_groups"], kept)]
    optimiser.load_state_dict({**state, "param_groups": groups})
    for parameter, values in optimiser.state.items():
        for name, value in values.items():
            if torch.is_tensor(value) and value.dim():
                values[name] = torch.empty_like(parameter).copy_(value)


class Processes:
    """One process, or several that `torchrun --nproc-per-node K train_….py …` started (data
    parallel)."""

    def __init__(self, device="auto"):
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if self.world > 1:
            on_gpu = torch.cuda.is_available() and device != "cpu"
            torch.distributed.init_process_group("nccl" if on_gpu else "gloo")
            if on_gpu:
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))

    @property
    def first(self):
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def average(self, tensors):
        """Replace each tensor by its mean over the processes, with one exchange."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        flat /= self.world
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(mean.view_as(tensor))

    def any(self, flag):
        """Whether the flag is set in any process; all of them have to ask."""
        if self.world == 1:
            return flag
        on_gpu = torch.distributed.get_backend() == "nccl"
        votes = torch.tensor(float(flag), device="cuda" if on_gpu else "cpu")
        torch.distributed.all_reduce(votes)
        return votes.item() > 0

    def gather(self, value):
        """[value of each process], in every process."""
        if self.world == 1:
            return [value]
        values = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values

    def close(self):
        """Leave the group."""
        if self.world > 1:
            torch.distributed.destroy_process_group()


class Draws:
    """Random numbers for this process's rows of a batch: drawn for the whole batch, then cut.

    Every process draws the same numbers from the same seed and takes rows rank, rank + world, …,
    as it does of the batch itself. So two processes see together what one sees of the same global
    batch."""

    def __init__(self, rank=0, world=1):
        self.rank, self.world = rank, world

    def mine(self, whole):
        """This process's rows of a tensor or list of the whole batch."""
        return whole[self.rank::self.world]

    def rand(self, count, *shape, device="cpu"):
        """float32 [count, *shape], even in [0, 1); count: rows of this process."""
        return self.mine(torch.rand(count * self.world, *shape, device=device))

    def randn(self, count, *shape, device="cpu"):
        """float32 [count, *shape], standard normal."""
        return self.mine(torch.randn(count * self.world, *shape, device=device))

    def randn_like(self, tensor):
        """Standard normal numbers in the shape and memory layout of `tensor` [count, …]."""
        shape = (len(tensor) * self.world, *tensor.shape[1:])
        flat = tensor.dim() == 4 and not tensor.is_contiguous() \
            and tensor.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if flat else torch.contiguous_format
        return self.mine(torch.empty(shape, device=tensor.device, dtype=tensor.dtype,
                                     memory_format=layout).normal_())

    def randint(self, high, count, *shape, device="cpu"):
        """int64 [count, *shape], even in [0, high)."""
        return self.mine(torch.randint(high, (count * self.world, *shape), device=device))


def over_processes(count):
    """A number (tensor) of this process's rows -> its mean over all processes.

    A masked mean divides by it: the processes' gradients, averaged, are then those of one process
    that has all rows, however unevenly labels are spread over them. With one process it is the
    number itself."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return count
    total = count.detach().clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


def row_mean(values):
    """Mean of rows [N,…] over the rows of all processes, whose numbers of rows may differ."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return values.mean()
    count = torch.full((), float(len(values)), device=values.device)
    return values.flatten(1).mean(1).sum() / over_processes(count)
