"""How near an edited image is to the true one, inside and outside the region that truly changes.

    PSNR   10 log10(255² / mean squared error) in decibels, over all three channels
    SSIM   structural similarity (Wang et al. 2004), mean over channels: 1 is equal

Beside each figure stands the unedited image's own distance to the true image: an editor that does
nothing has that one.
"""
import numpy as np

WINDOW = 7             # pixels a side of the square in which SSIM compares
MOST_DECIBELS = 60.0   # PSNR of equal images, which have none
K1, K2 = 0.01, 0.03    # SSIM's constants, shares of 255


def box_mean(pictures):
    """Mean over WINDOW x WINDOW pixels around each, the border mirrored; [N,H,W,3] -> the same
    shape."""
    half = WINDOW // 2
    sums = np.pad(pictures, ((0, 0), (half, half), (half, half), (0, 0)), mode="symmetric")
    for axis in (1, 2):
        sums = np.cumsum(sums, axis)
        blank = np.zeros_like(np.take(sums, [0], axis))
        sums = np.concatenate([blank, sums], axis)
        length = sums.shape[axis]
        sums = (np.take(sums, np.arange(WINDOW, length), axis)
                - np.take(sums, np.arange(length - WINDOW), axis))
    return sums / WINDOW ** 2


def ssim_map(one, other):
    """SSIM around each pixel, float64 [N,H,W]; uint8 [N,H,W,3] each, WINDOW pixels a side at
    least.

    ((2 μx μy + c1)(2 σxy + c2)) / ((μx² + μy² + c1)(σx² + σy² + c2)), sample (co)variances."""
    x, y = one.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = box_mean(x), box_mean(y)
    sample = WINDOW ** 2 / (WINDOW ** 2 - 1)
    variance_x = sample * (box_mean(x * x) - mean_x ** 2)
    variance_y = sample * (box_mean(y * y) - mean_y ** 2)
    covariance = sample * (box_mean(x * y) - mean_x * mean_y)
    c1, c2 = (K1 * 255) ** 2, (K2 * 255) ** 2
    found = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)
             / ((mean_x ** 2 + mean_y ** 2 + c1) * (variance_x + variance_y + c2)))
    return found.mean(3)


def within(values, region):
    """Mean of values [N,H,W] where region (bool [N,H,W]) holds, float [N]; NaN where it is
    empty."""
    pixels = region.sum((1, 2))
    total = (values * region).sum((1, 2))
    return np.divide(total, pixels, out=np.full(len(region), np.nan), where=pixels > 0)


def compare(picture, true, regions):
    """{place: {psnr, ssim: float [N]}} of uint8 images [N,H,W,3] against true ones, where each of
    the regions {place: bool [N,H,W]} holds."""
    squared = ((picture.astype(np.float64) - true) ** 2).mean(3)
    similar = ssim_map(picture, true)  # what takes long: once for all regions
    floor = 255 ** 2 / 10 ** (MOST_DECIBELS / 10)
    return {place: {"psnr": 10 * np.log10(255 ** 2 / np.maximum(within(squared, region), floor)),
                    "ssim": within(similar, region)} for place, region in regions.items()}


def quality(source, edited, true, region):
    """{psnr_inside, psnr_outside, ssim_…: {edited, unedited: float [N]}} against the true images.

    region: bool [N,H,W], where source and true image differ."""
    regions = {"inside": region, "outside": ~region}
    edits, unedited = (compare(picture, true, regions) for picture in (edited, source))
    return {f"{name}_{place}": {"edited": edits[place][name], "unedited": unedited[place][name]}
            for place in regions for name in ("psnr", "ssim")}


def likeness(features, other):
    """Cosine of the angle between two images' features, float [N]; [N,F] each."""
    lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(other, axis=1)
    return (features * other).sum(1) / np.maximum(lengths, 1e-12)
