"""How near reconstructions are to their images: MSE, PSNR and SSIM of each example."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.linalg import convolution_matrix
from scipy.signal.windows import gaussian

from ..estimates import Estimate, mean_of

_WINDOW, _SIGMA = 11, 1.5
"""Side and standard deviation of SSIM's window, in pixels."""
_C1, _C2 = 0.01**2, 0.03**2
"""(K₁ L)² and (K₂ L)² for images in [0, 1], where L = 1."""
_LOWEST_MSE = 1e-10
"""Where PSNR stops rising, at 100 dB."""
BLOCK = 2**21
"""Pixels of the images that SSIM takes at a time: 16 MiB of float64 for each of its maps."""


def reconstruction_quality(images: ArrayLike, reconstructions: ArrayLike) -> dict[str, Estimate]:
    """Return the means over examples of `mse`, `psnr` (in dB) and `ssim`.

    The arguments and errors are those of `mse`.

    Examples:
        >>> white = np.ones((3, 16, 16, 1))
        >>> {k: round(v.value, 6) for k, v in reconstruction_quality(white, 0.9 * white).items()}
        {'mse': 0.01, 'psnr': 20.0, 'ssim': 0.994475}
    """
    return means_of(quality_of_each(images, reconstructions))


def quality_of_each(
    images: ArrayLike, reconstructions: ArrayLike
) -> dict[str, Float[np.ndarray, " n"]]:
    """Return `mse`, `psnr` and `ssim` of each example."""
    return {f.__name__: f(images, reconstructions) for f in (mse, psnr, ssim)}


def means_of(each: dict[str, Float[np.ndarray, " n"]]) -> dict[str, Estimate]:
    """Return the means of what `quality_of_each` returned."""
    return {
        "mse": mean_of(each["mse"], "mean over examples"),
        "psnr": mean_of(each["psnr"], "mean over examples", "dB"),
        "ssim": mean_of(each["ssim"], f"mean over examples, {_WINDOW}×{_WINDOW} Gaussian window"),
    }


def mse(images: ArrayLike, reconstructions: ArrayLike) -> Float[np.ndarray, " n"]:
    """Return the squared error of each example, averaged over its pixels and channels.

    The `mse` of a likelihood is the sum over pixels; this is the figure that goes with PSNR.

    Args:
        images: (n, height, width, channels) in [0, 1].
        reconstructions: of the same shape, in [0, 1].

    Raises:
        ValueError: if the shapes differ or are not those of images, or a value is not in [0, 1].

    Examples:
        >>> mse(np.zeros((1, 2, 2, 1)), np.full((1, 2, 2, 1), 0.5)).tolist()
        [0.25]
    """
    a, b = _pair(images, reconstructions)
    return np.mean(np.square(a - b), axis=(1, 2, 3))


def psnr(images: ArrayLike, reconstructions: ArrayLike) -> Float[np.ndarray, " n"]:
    """Return -10 log₁₀ MSE of each example in dB: the peak signal-to-noise ratio, the peak being 1.

    It is at most 100 dB, where the MSE is 1e-10, so that equal images have a figure too and a mean
    over examples stays finite. The arguments and errors are those of `mse`.

    Examples:
        >>> psnr(np.zeros((1, 2, 2, 1)), np.full((1, 2, 2, 1), 0.1)).round(6).tolist()
        [20.0]
    """
    return -10 * np.log10(np.maximum(mse(images, reconstructions), _LOWEST_MSE))


def ssim(images: ArrayLike, reconstructions: ArrayLike) -> Float[np.ndarray, " n"]:
    """Return the structural similarity of each example, from -1 to 1 (equal).

        SSIM = (2 μ_a μ_b + C₁)(2 σ_ab + C₂) / ((μ_a² + μ_b² + C₁)(σ_a² + σ_b² + C₂))

    at every place where a window fits into the image, averaged over places and channels. Means,
    variances and the covariance are weighted by a Gaussian window of 11×11 pixels with standard
    deviation 1.5. A side shorter than 11 has the longest odd window that fits; such figures compare
    among images of that size only. The arguments and errors are those of `mse`.

    References:
        Wang, Bovik, Sheikh & Simoncelli, Image quality assessment: from error visibility to
        structural similarity, IEEE Transactions on Image Processing 2004.

    Examples:
        >>> ssim(np.zeros((1, 16, 16, 1)), np.zeros((1, 16, 16, 1))).tolist()
        [1.0]
    """
    a, b = _pair(images, reconstructions)
    step = max(1, BLOCK // a[0].size)
    parts = [_similarity(a[i : i + step], b[i : i + step]) for i in range(0, len(a), step)]
    return np.concatenate(parts)


def _similarity(
    a: Float[np.ndarray, "n height width channels"], b: Float[np.ndarray, "n height width channels"]
) -> Float[np.ndarray, " n"]:
    rows, columns = _windows(a.shape[1]), _windows(a.shape[2])

    def windowed(x: np.ndarray) -> np.ndarray:
        # Channels first, so that both axes of a window are matrix products.
        return rows @ np.moveaxis(x, -1, 1) @ columns.T

    mean_a, mean_b = windowed(a), windowed(b)
    variances = windowed(a * a) + windowed(b * b) - mean_a**2 - mean_b**2
    covariance = windowed(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * covariance + _C2) / (variances + _C2)
    return np.mean(luminance * structure, axis=(1, 2, 3))


def _windows(size: int) -> Float[np.ndarray, "places size"]:
    """Return the matrix that takes one axis to its weighted means, a row for each place."""
    side = min(_WINDOW, size - 1 + size % 2)
    weights = gaussian(side, _SIGMA)
    return convolution_matrix(weights / weights.sum(), size, mode="valid")


def _pair(images: ArrayLike, reconstructions: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(images, np.float64), np.asarray(reconstructions, np.float64)
    if a.ndim != 4 or not a.size:
        raise ValueError(
            f"images has shape {a.shape}: expected (n, height, width, channels), none of them 0; "
            "add an axis of one channel to grey images"
        )
    if a.shape != b.shape:
        raise ValueError(f"reconstructions has shape {b.shape}: expected that of images, {a.shape}")
    for name, array in (("images", a), ("reconstructions", b)):
        if not (array.min() >= 0 and array.max() <= 1):  # NaN fails this too
            raise ValueError(
                f"{name}: expected values in [0, 1], got {array.min():g} to {array.max():g}; "
                "divide bytes by 255, clip what an unbounded decoder gives"
            )
    return a, b
