"""The MNIST grid: its statistics against the formulas, its bytes against killed runs."""
import filecmp
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from lib import images, manifest
from lib.cli import BadInput
from lib.datasets import mnist_grid

ROOT = Path(__file__).parents[1]
SMALL = ["--labelled", "40", "--unlabelled", "600", "--validation", "20", "--test-per-au", "10",
         "--test-natural", "30", "--size", "48"]


def make(folder, *more):
    mnist_grid.main(["--out", str(folder), *SMALL, *more])
    return folder


def same_bytes(first, second):
    names = sorted(str(path.relative_to(first)) for path in first.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(second))
                           for path in second.rglob("*") if path.is_file())
    return not [name for name in names
                if not filecmp.cmp(first / name, second / name, shallow=False)]


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    return make(tmp_path_factory.mktemp("grid"))


def test_labels_have_the_correlation_of_algorithm_1():
    on = mnist_grid.draw_aus(np.random.default_rng(0), 100_000)
    share = on.mean(0)  # standard error at most 0.0015
    assert share[[1, 2]] == pytest.approx([0.312, 0.312], abs=0.006)
    assert share[[0, 3, 4, 5, 6, 7, 8]] == pytest.approx([0.2] * 7, abs=0.006)
    assert (on[:, 1] & on[:, 2]).mean() == pytest.approx(0.264, abs=0.006)
    assert (on[:, 0] & on[:, 3]).mean() == pytest.approx(0.04, abs=0.003)


@pytest.mark.parametrize("level", ["medium", "hard"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_noise_is_a_clipped_normal(level, value):
    mean, deviation = mnist_grid.NOISE[level]
    m, low, high = mean + value, (0 - mean - value) / deviation, (1 - mean - value) / deviation
    inside = norm.cdf(high) - norm.cdf(low)
    # E[clip(X, 0, 1)]
    first = m * inside + deviation * (norm.pdf(low) - norm.pdf(high)) + norm.sf(high)
    # E[clip(X, 0, 1)²]
    second = ((m ** 2 + deviation ** 2) * inside + norm.sf(high)
              + deviation * (m * norm.pdf(low) - (m + 1) * norm.pdf(high)))
    grids = np.full((200, 48, 48), value, np.float32)
    noise = mnist_grid.NOISE[level]
    pixels = mnist_grid.to_rgb(mnist_grid.add_noise(np.random.default_rng(1), grids, noise)) / 255
    assert pixels.mean() == pytest.approx(first, abs=0.004)  # standard error 0.0007
    assert pixels.std() == pytest.approx(np.sqrt(second - first ** 2), abs=0.004)
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_the_dial_goes_from_medium_to_hard(grid, tmp_path):
    assert [mnist_grid.dial(t) for t in (0, 0.25, 1)] == [(0.5, 1.0), (0.625, 2.0), (1.0, 5.0)]
    medium, between = make(tmp_path / "0", "--noise", "0"), make(tmp_path / "t", "--noise", "0.25")
    assert filecmp.cmp(medium / "labelled.npy", grid / "labelled.npy", shallow=False)
    assert filecmp.cmp(between / "labelled.csv", grid / "labelled.csv", shallow=False)
    # an empty pixel is bright where N(0.625, 2) is above 1: 42.6 %, N(0.5, 1): 30.9 %
    for folder, share in ((medium, 0.3085), (between, 0.4256)):
        empty = np.load(folder / "test.npy")[:10, 32:, 32:, 0]  # AU01 stands in the first cell only
        assert (empty == 255).mean() == pytest.approx(share, abs=0.03)


def drawings(name, **settings):
    """The drawings that a set of these settings is made of, as bytes."""
    pools = mnist_grid.digit_pools(mnist_grid.Options(out="x", **settings))
    return {image.tobytes() for digit in pools[name] for image in digit}


def test_another_seed_may_draw_from_the_same_pools(tmp_path):
    first = make(tmp_path / "7", "--level", "easy", "--seed", "7", "--pool-seed", "0")
    assert not filecmp.cmp(first / "labelled.csv", make(tmp_path / "0") / "labelled.csv", False)
    own = make(tmp_path / "own", "--seed", "7")
    assert same_bytes(own, make(tmp_path / "same", "--seed", "7", "--pool-seed", "7"))
    with pytest.raises(BadInput, match="--pool-seed 0, not None"):
        make(first, "--level", "easy", "--seed", "7")


def test_noise_is_chosen_on_digits_that_are_not_in_the_test(grid, tmp_path):
    folder = make(tmp_path, "--level", "easy", "--tuning-per-au", "6")
    tuning = manifest.read(folder / "tuning.csv")
    assert (tuning.aus() == np.eye(9).repeat(6, 0)).all()
    assert np.load(folder / "tuning.npy").shape == (54, 48, 48, 3)
    # the noise is chosen on grids of seed 7, and the test is of seed 0: 450 drawings a pool of
    # validation, 25 % of all drawings are in the test
    test = drawings("test")
    assert len(drawings("tuning", seed=7, pool_seed=0)) == 450
    assert not drawings("tuning", seed=7, pool_seed=0) & test
    assert len(drawings("tuning", seed=7) & test) > 450 / 8  # and so it is without the option
    # nothing else changes
    assert filecmp.cmp(folder / "labelled.csv", grid / "labelled.csv", shallow=False)


def test_digits_stand_in_their_cells(tmp_path):
    folder = make(tmp_path, "--level", "easy", "--size", "50")  # 50 does not divide by 3
    data = manifest.read(folder / "labelled.csv")
    pixels = images.load_all(data.images())
    cells = [50 * k // 3 for k in range(4)]
    bright = np.stack([pixels[:, cells[r]:cells[r + 1], cells[c]:cells[c + 1], 0].max((1, 2)) > 0
                       for r in range(3) for c in range(3)], 1)
    assert (bright == (data.aus() == 1)).all()


def test_manifests(grid):
    labelled, test = manifest.read(grid / "labelled.csv"), manifest.read(grid / "test.csv")
    hidden = manifest.read(grid / "unlabelled.csv")
    truth = manifest.read(grid / "unlabelled_truth.csv")
    assert labelled.au_names == mnist_grid.AUS and set(labelled.aus().ravel()) == {0, 1}
    assert (len(labelled), len(hidden), len(test)) == (40, 600, 90)
    assert np.isnan(hidden.aus()).all() and hidden.columns["path"] == truth.columns["path"]
    assert not np.isnan(truth.aus()).any()
    assert (test.aus() == np.eye(9).repeat(10, 0)).all()
    # a grid is nobody's
    assert not any("session" in part.columns for part in (labelled, hidden, test))
    assert len(manifest.read(grid / "validation.csv")) == 20
    assert len(manifest.read(grid / "test_natural.csv")) == 30
    assert images.load_all(labelled.images()).shape == (40, 48, 48, 3)


def test_pools_of_digits_are_disjoint():
    digits = np.arange(5000) % 10
    # a drawing's number is its brightness
    pixels = np.broadcast_to(np.arange(5000)[:, None, None], (5000, 28, 28))
    pools = mnist_grid.split_pools(pixels, digits, mnist_grid.POOL, seed=0)
    numbers = [int(image[0, 0])
               for pool in pools.values() for images_of in pool for image in images_of]
    assert len(numbers) == len(set(numbers)) == 4500
    assert all((pool[k][:, 0, 0] % 10 == k + 1).all() for pool in pools.values() for k in range(9))


def test_png_holds_the_same_images(grid, tmp_path):
    folder = make(tmp_path, "--format", "png")
    first, second = (manifest.read(path / "unlabelled.csv").images() for path in (grid, folder))
    assert all((images.load(a) == images.load(b)).all() for a, b in zip(first[::37], second[::37]))
    assert max(sum(1 for file in path.glob("*.png"))
               for path in folder.rglob("*") if path.is_dir()) <= 1000


def test_a_small_set_begins_a_large_one(grid, tmp_path):
    folder = make(tmp_path, "--labelled", "700")
    small, large = (np.load(path / "labelled.npy") for path in (grid, folder))
    assert (small == large[:40]).all() and not (large[:200] == large[500:]).all()


def test_seeds_differ_and_other_settings_are_refused(grid, tmp_path):
    folder = make(tmp_path / "seed1", "--seed", "1")
    assert not same_bytes(grid, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    with pytest.raises(BadInput, match="--seed 1, not 2"):
        make(folder, "--seed", "2")
    make(folder, "--seed", "1")  # finished: nothing is done
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


KILLED = """
import os, signal, sys
from lib.datasets import mnist_grid
draw = mnist_grid.draw_chunk
def draw_or_die(options, name, start, pools):
    if (name, start) == ("unlabelled", 1000):
        os.kill(os.getpid(), signal.SIGTERM if "torch" in sys.modules else signal.SIGKILL)
    return draw(options, name, start, pools)
mnist_grid.draw_chunk = draw_or_die
mnist_grid.main(sys.argv[1:])
"""


def test_killed_run_ends_with_the_same_bytes_and_without_torch(tmp_path):
    sets = ["--unlabelled", "2100"]
    done = subprocess.run([sys.executable, "-c", KILLED, "--out", str(tmp_path / "killed"), *SMALL,
                           *sets], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    partial = tmp_path / "killed/.unlabelled.npy.partial"
    assert partial.stat().st_size == 128 + 1000 * 48 * 48 * 3
    assert not (tmp_path / "killed/labelled.csv").exists()
    with open(partial, "ab") as file:
        file.write(b"half a chunk")  # what a kill in the middle of a write leaves
    same = [make(tmp_path / name, *sets) for name in ("killed", "whole")]
    assert same_bytes(*same)


def test_whole_mnist(tmp_path):
    raw = tmp_path / "digits/MNIST/raw"
    raw.mkdir(parents=True)
    # the format of yann.lecun.com: magic number, sizes
    for name, brightness in (("train", 100), ("t10k", 200)):
        digits = np.arange(400) % 10
        header = np.array([2051, 400, 28, 28], ">i4").tobytes()
        (raw / f"{name}-images-idx3-ubyte").write_bytes(header + bytes([brightness]) * (400 * 784))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(np.array([2049, 400], ">i4").tobytes()
                                                        + digits.astype(np.uint8).tobytes())
    folder = make(tmp_path / "out", "--level", "easy", "--digits", str(tmp_path / "digits"))
    assert np.load(folder / "labelled.npy").max() == 100
    assert np.load(folder / "test.npy").max() == 200
    with pytest.raises(BadInput, match="no MNIST there"):
        make(tmp_path / "other", "--digits", str(tmp_path))
