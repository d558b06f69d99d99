"""Images and labels as tensors: decoded once, cut into batches. On a GPU the images live there; on
a CPU they stay in their files, and a batch is read from the memory map."""
import numpy as np
import torch

from lib import images
from lib.cli import BadInput


def device(name="auto"):
    """'auto' is CUDA when there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise BadInput("--device cuda: no CUDA device is visible here; say --device cpu or auto")
    return torch.device(name)


def sent(values, device):
    """A small tensor of a batch, on its way to a device: the processor need not wait for a GPU."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def to_float(pixels):
    """uint8 [N,H,W,3] -> float32 [N,3,H,W] in [-1, 1], channels-last in memory."""
    return pixels.permute(0, 3, 1, 2).float().mul_(1 / 127.5).sub_(1)


def to_uint8(pictures):
    """float [N,3,H,W] in [-1, 1] -> uint8 [N,H,W,3], rounded to the nearest level."""
    levels = pictures.float().add(1).mul(127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1)


class Pictures:
    """Images for a CPU, lib.images.Rows: used as a tensor uint8 [N,S,S,3] is, of which only the
    rows that are asked for (a slice or int64 [B]) come to memory."""

    device = torch.device("cpu")

    def __init__(self, rows):
        self.rows, self.shape = rows, rows.shape

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        index = index if isinstance(index, slice) else torch.as_tensor(index).numpy()
        return torch.from_numpy(np.array(self.rows[index]))


AT_ONCE = 4096  # images on their way to a GPU


def placed(rows, device):
    """lib.images.Rows as uint8 [N,S,S,3] on a device: Pictures on a CPU, else a tensor there."""
    if torch.device(device).type == "cpu":
        return Pictures(rows)
    out = torch.empty(rows.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(rows), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        out[part] = torch.from_numpy(np.array(rows[part])).to(device)
    return out


def joined(sets):
    """The pixels of several Sets, one after another."""
    if len(sets) == 1:
        return sets[0].pixels
    if isinstance(sets[0].pixels, Pictures):
        return Pictures(images.Rows.join([part.pixels.rows for part in sets]))
    return torch.cat([part.pixels for part in sets])


class Set:
    """A manifest's images and labels on a device.

    pixels: uint8 [N,S,S,3], see `placed`; aus: float32 [N,A] in [0,1], NaN where unlabelled;
    weight: float32 [N]; subject: int64 [N], -1 where unknown.
    """

    def __init__(self, manifest, au_names, size=None, device="cpu", what="decoding"):
        self.manifest = manifest
        self.au_names = list(au_names)
        self.pixels = placed(images.rows_of(manifest.images(), size, what), device)
        self.size = self.pixels.shape[1]
        self.aus = torch.from_numpy(manifest.aus(self.au_names)).to(device)  # [N,A]
        self.weight = torch.from_numpy(manifest.numbers("weight", 1.0)).to(device)  # [N]
        self.subject = torch.from_numpy(codes(manifest.text("subject"))).to(device)  # [N]

    def __len__(self):
        return len(self.pixels)

    def images(self, indices):
        """float32 [B,3,S,S] in [-1, 1]."""
        return to_float(self.pixels[indices])


def codes(texts):
    """int64 [N]: equal texts have equal codes, empty ones -1."""
    known = {text: code for code, text in enumerate(dict.fromkeys(text for text in texts if text))}
    return np.array([known.get(text, -1) for text in texts], np.int64)
