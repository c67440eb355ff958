"""The maximum mean discrepancy of two sets of samples."""

from collections.abc import Sequence
from typing import get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration.objectives import SCALES, KernelName


def check_kernel(kernel: str, bandwidth: float, scales: Sequence[float]) -> None:
    """Raise a ValueError for a kernel that there is not."""
    checks.one_of("kernel", kernel, get_args(KernelName))
    checks.positive("bandwidth", bandwidth)
    for scale in scales:
        checks.positive("scales", scale)
    if not len(scales):
        raise ValueError("scales=(): expected at least one scale, such as (1.0,)")


def squared_mmd(
    a: Float[Array, "n d"],
    b: Float[Array, "m d"],
    kernel: str = "imq",
    *,
    bandwidth: float = 1.0,
    scales: Sequence[float] = SCALES,
) -> Float[Array, ""]:
    r"""Return the unbiased estimate of MMD² = E k(a, a') + E k(b, b') - 2 E k(a, b).

        "imq"  k(x, y) = Σ_s C_s / (C_s + ‖x - y‖²)
        "rbf"  k(x, y) = Σ_s exp(-‖x - y‖² / C_s),  C_s = 2 s d h²

    Pairs of a sample with itself are left out, so that the estimate may be negative. It is 0 where
    one of the sets is a single sample and has no pairs.

    Args:
        a: samples of one distribution.
        b: samples of the other.
        kernel: "imq" or "rbf".
        bandwidth: h, in the units of the samples.
        scales: s.

    References:
        Gretton et al., A Kernel Two-Sample Test, JMLR 2012, lemma 6; Tolstikhin et al.,
        Wasserstein Auto-Encoders, ICLR 2018 (the sum over scales).

    Examples:
        >>> a = jnp.array([[0.0], [0.0]])
        >>> round(float(squared_mmd(a, a + 2, scales=(1.0,))), 3)  # 1 + 1 - 2 · 2 / (2 + 4)
        1.333
    """
    if min(len(a), len(b)) < 2:
        return jnp.zeros(())

    def matrix(x: jax.Array, y: jax.Array) -> jax.Array:
        # By a matrix product: differences would be n × m × d numbers.
        products = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
        squares = jnp.square(x).sum(axis=1)[:, None] + jnp.square(y).sum(axis=1)
        distances = jnp.maximum(squares - 2 * products, 0.0)
        total = jnp.zeros_like(distances)
        for scale in scales:
            width = 2 * scale * x.shape[1] * bandwidth**2
            imq = width / (width + distances)
            total += imq if kernel == "imq" else jnp.exp(-distances / width)
        return total

    def within(x: jax.Array) -> jax.Array:
        pairs = matrix(x, x)
        return (pairs.sum() - jnp.trace(pairs)) / (len(x) * (len(x) - 1))

    return within(a) + within(b) - 2 * matrix(a, b).mean()
