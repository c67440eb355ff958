"""MS-SSIM, the structural similarity at several scales, as the reconstruction loss."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from workshop.generative_models.core import checks
from workshop.generative_models.core.layers import mean_of_pixels
from workshop.generative_models.models.vae.objectives.image_distance import ImageDistance

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, the finest first (Wang et al. 2003)."""
_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03
_LEAST = 1e-4
"""Least value of a similarity, which can be negative; the gradient of its power is finite."""


class MSSSIM(ImageDistance):
    r"""L = c E_q(z|x)[1 - MS-SSIM(x, E[x|z])] - α E_q(z|x)[log p(x|z)] + KL(q(z|x) ‖ p(z)).

    See `ms_ssim`.

    Args:
        event_shape: shape of one image.
        distance_weight: c; the KL of weight 10⁻² beside a distance of weight 1, as in Pythae, is
            c = 100.
        likelihood_weight: α, for a likelihood beside the distance.
        window: side of the Gaussian window, in pixels, an odd number.
        data_range: largest minus smallest value that a pixel can have.

    References:
        Snell et al., Learning to Generate Images with Perceptual Similarity Metrics, ICIP 2017;
        Wang, Simoncelli & Bovik, Multi-scale structural similarity for image quality assessment,
        2003. Pythae (`models/msssim_vae`) takes other exponents for small images and maps every
        similarity from [-1, 1] to [0, 1].
    """

    def __init__(
        self,
        event_shape: Sequence[int] | None = None,
        distance_weight: float = 100.0,
        likelihood_weight: float = 0.0,
        window: int = 11,
        data_range: float = 1.0,
    ):
        super().__init__(event_shape, distance_weight, likelihood_weight)
        self.window = check_window(window)
        self.data_range = checks.positive("data_range", data_range)

    def distance(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Return 1 - MS-SSIM."""
        return 1.0 - ms_ssim(x, y, window=self.window, data_range=self.data_range)


def check_window(window: int) -> int:
    """Return the side of a window, or raise a ValueError unless it is odd."""
    if checks.positive_int("window", window) % 2 == 0:
        raise ValueError(f"window={window}: expected an odd number of pixels")
    return window


def ms_ssim(x: jax.Array, y: jax.Array, *, window: int = 11, data_range: float = 1.0) -> jax.Array:
    r"""Return the multi-scale structural similarity of images, (n,), from 0 to 1.

    MS-SSIM = l_M^(w_M) Π_j cs_j^(w_j), with the means over an image of

        cs = (2 σ_xy + C₂) / (σ_x² + σ_y² + C₂),    l = cs (2 μ_x μ_y + C₁) / (μ_x² + μ_y² + C₁)

    in Gaussian windows with σ = 1.5 that lie inside the image, at scale j of the image averaged
    over squares of 2^(j-1) pixels. (In the product, l of the last scale M replaces its cs.) Scales
    on which the window does not fit are left out, and the exponents of the others, which sum to 1,
    are scaled up; a window larger than the image shrinks to the largest odd one that fits. The mean
    over channels is taken last.

    Args:
        x: (n, height, width, channels).
        y: likewise.
        window: side of the window.
        data_range: largest minus smallest value that a pixel can have.

    References:
        Wang, Simoncelli & Bovik, Multi-scale structural similarity for image quality assessment,
        2003; pytorch-msssim (`pytorch_msssim/ssim.py`), which gives the same values for sides that
        halve evenly, and refuses images below 161 pixels; it pads other sides with zeros.
    """
    x, y = x.astype(jnp.float32), y.astype(jnp.float32)
    least = min(x.shape[1:3])
    window = min(window, least - (least + 1) % 2)
    scales = sum(least >> scale >= window for scale in range(len(_WEIGHTS)))
    exponents = np.array(_WEIGHTS[:scales], np.float32) / sum(_WEIGHTS[:scales])
    product = jnp.ones(())
    for scale, exponent in enumerate(exponents):
        structure, whole = _similarities(x, y, window, data_range)
        similarity = whole if scale == scales - 1 else structure
        product *= jnp.maximum(similarity, _LEAST) ** exponent
        x, y = mean_of_pixels(x), mean_of_pixels(y)
    return jnp.broadcast_to(product, (len(x), x.shape[-1])).mean(-1)


def _similarities(
    x: jax.Array, y: jax.Array, window: int, data_range: float
) -> tuple[jax.Array, jax.Array]:
    """Return the means of cs and l over an image, each (n, channels)."""
    rows, columns = (_blur(side, window) for side in x.shape[1:3])

    def blurred(image: jax.Array) -> jax.Array:
        return jnp.einsum("ih,jw,nhwc->nijc", rows, columns, image)

    c1, c2 = ((k * data_range) ** 2 for k in (_K1, _K2))
    mean_x, mean_y = blurred(x), blurred(y)
    var_x, var_y = blurred(x * x) - mean_x**2, blurred(y * y) - mean_y**2
    covariance = blurred(x * y) - mean_x * mean_y
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return structure.mean((1, 2)), (luminance * structure).mean((1, 2))


def _blur(side: int, window: int) -> np.ndarray:
    """Return the matrix (side - window + 1, side) that averages with a Gaussian window."""
    weights = np.exp(-0.5 * ((np.arange(window) - window // 2) / _SIGMA) ** 2)
    shifted = [np.pad(weights, (i, side - window - i)) for i in range(side - window + 1)]
    return (np.stack(shifted) / weights.sum()).astype(np.float32)
