"""Numerics of distributions on the unit sphere, in float32, from 2 to 512 dimensions.

The sphere is that of R^m, so that m is the number of coordinates of a point; m = `size` here. The
distributions depend on a point z by the cosine w = μ·z alone; the uniform distribution is the unit
of their densities.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_LARGE_ORDER = 12
"""Orders from which on the uniform expansion of Bessel functions is exact to float32."""
_LARGE_ARGUMENT = 8
"""Arguments from which on Stirling's series of log Γ is exact to float32."""
_DEBYE = (
    (1.0,),
    (3 / 24, -5 / 24),
    (81 / 1152, -462 / 1152, 385 / 1152),
    (30375 / 414720, -369603 / 414720, 765765 / 414720, -425425 / 414720),
    (
        4465125 / 39813120,
        -94121676 / 39813120,
        349922430 / 39813120,
        -446185740 / 39813120,
        185910725 / 39813120,
    ),
)
"""Coefficients of u_k(t) / t^k in powers of t²; Abramowitz & Stegun 9.3.9."""
_WIDTHS = 12.0
"""How many widths of the peak the angles on each side of it reach, where less than 1e-7 is left."""
_CELLS = 128
_NEWTON = 8
_TINY = 1e-30

LogDensity = Callable[[jax.Array], jax.Array]


def log_area(size: int) -> float:
    """Return the logarithm of the area of the unit sphere of R^size."""
    return math.log(2) + 0.5 * size * math.log(math.pi) - math.lgamma(0.5 * size)


def log_mean_exp(kappa: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    r"""Return log E exp(κ w) and log E exp(κ (w - 1)) of a uniform direction.

        log E exp(κ w) = log Γ(ν + 1) + ν log(2 / κ) + log I_ν(κ),  ν = size / 2 - 1

    The first keeps its digits where κ is small, the second where it is large. Both are computed at
    an order ν + n of at least 12 by the uniform asymptotic expansion, in which the large terms
    cancel before they are computed, and carried down to ν by the recurrence of Bessel functions.

    Args:
        kappa: κ >= 0.
        size: number of coordinates, at least 2.

    References:
        Abramowitz & Stegun, Handbook of Mathematical Functions, 9.3.7, 9.3.9 and 9.6.26, 1964.
    """
    order = 0.5 * size - 1
    steps = max(0, math.ceil(_LARGE_ORDER - order))
    start = order + steps
    root = jnp.sqrt(start**2 + jnp.square(kappa))
    below = start**2 / (root + kappa) - start  # root - ν - κ
    # The derivative at an order is the ratio of its Bessel function and the next one's.
    common, slope = value_and_slope(lambda kappa: _at_large_order(kappa, start), kappa)
    ratio = kappa / root + slope
    for step in range(steps):
        twice = 2 * (start - step)
        common = common + jnp.log1p(kappa * ratio / twice)
        ratio = kappa / (twice + kappa * ratio)
    return jnp.square(kappa) / (root + start) + common, below + common


def _at_large_order(kappa: jax.Array, order: float) -> jax.Array:
    """Return log E exp(κ w) of a large order ν, without the term √(ν² + κ²) - ν."""
    square = jnp.square(kappa)
    root = jnp.sqrt(order**2 + square)
    main = -order * jnp.log1p(square / (2 * order * (root + order)))
    series, at_zero = _debye(order / root, order), _debye(1.0, order)
    return main - 0.25 * jnp.log1p(jnp.square(kappa / order)) + jnp.log(series / at_zero)


def _debye(t: jax.Array | float, order: float) -> jax.Array | float:
    total: jax.Array | float = 0.0
    for k, coefficients in enumerate(_DEBYE):
        polynomial: jax.Array | float = 0.0
        for coefficient in reversed(coefficients):
            polynomial = polynomial * t * t + coefficient
        total = total + polynomial * (t / order) ** k
    return total


def log_mean_power(kappa: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    r"""Return log E (1 + w)^κ and log E ((1 + w) / 2)^κ of a uniform direction.

        log E ((1 + w) / 2)^κ = log B(β + κ, β) - log B(β, β),  β = (size - 1) / 2

    The arguments are those of `log_mean_exp`. The first keeps its digits where κ is small, the
    second where it is large: log Γ itself would lose them, so Stirling's series is taken of each
    difference, with the large terms cancelled before they are computed.
    """
    beta = 0.5 * (size - 1)
    steps = max(0, math.ceil(_LARGE_ARGUMENT - beta))
    raised = kappa + beta + steps
    change = (raised - 0.5) * jnp.log1p(beta / raised) + beta * jnp.log(raised + beta) - beta
    below = _stirling(raised) - _stirling(raised + beta) - change
    below = below + (math.lgamma(2 * beta) - math.lgamma(beta))
    few, many = beta + steps, 2 * beta + steps
    plain = (few + kappa - 0.5) * jnp.log1p(kappa / few)
    plain = plain - (many + kappa - 0.5) * jnp.log1p(kappa / many)
    plain = plain + kappa * math.log(2 * few / many)
    plain = plain + (_stirling(few + kappa) - _stirling(few))
    plain = plain - (_stirling(many + kappa) - _stirling(many))
    for step in range(steps):
        below = below + jnp.log1p(beta / (kappa + beta + step))
        more = jnp.log1p(kappa / (2 * beta + step)) - jnp.log1p(kappa / (beta + step))
        plain = plain + more
    return plain, below


def _stirling(x: jax.Array | float) -> jax.Array | float:
    """Return what Stirling's formula of log Γ(x) lacks."""
    square = 1 / (x * x)
    return (1 / 12 - square * (1 / 360 - square / 1260)) / x


def value_and_slope(function: Callable[[jax.Array], Any], x: jax.Array) -> tuple[Any, Any]:
    """Return what a function makes of each number, and the derivatives."""
    return jax.jvp(function, (x,), (jnp.ones_like(x),))


def angle_of_mode(gap: jax.Array) -> jax.Array:
    """Return the angle whose cosine is 1 - gap, exact where the gap is small."""
    return 2 * jnp.arctan2(jnp.sqrt(gap), jnp.sqrt(2 - gap))


def angles(
    uniform: jax.Array,
    mode: jax.Array,
    width: jax.Array,
    log_density: LogDensity,
) -> jax.Array:
    """Return angles in [0, π] with a density, by inversion of their distribution function.

    The distribution function is integrated by Simpson's rule over cells around the mode and
    inverted by Newton's method in the cell of each number; its relative error is near 1e-6. There
    is no rejection, so that all samples cost the same, and the derivative with respect to the
    parameters of the density is that of the inverse,

        dθ/dκ = -(∂F(θ; κ)/∂κ) / f(θ; κ).

    Args:
        uniform: numbers in [0, 1), [*shape, *batch].
        mode: the most likely angle, [*batch].
        width: a width of the peak there, [*batch], such as 1 / √(minus the second derivative).
        log_density: function of the difference from the mode, [..., *batch, points], to the
            logarithm of the density, up to a constant of each distribution; differentiable in its
            parameters.

    References:
        Figurnov, Mohamed & Mnih, Implicit Reparameterization Gradients, NeurIPS 2018.
    """
    mode, width = jax.lax.stop_gradient((mode, width))
    low = -jnp.minimum(_WIDTHS * width, mode)
    high = jnp.minimum(_WIDTHS * width, jnp.pi - mode)
    cell = (high - low) / _CELLS
    steps = jnp.arange(2 * _CELLS + 1) / 2
    density = jnp.exp(log_density(low[..., None] + cell[..., None] * steps))
    left, middle, right = density[..., :-1:2], density[..., 1::2], density[..., 2::2]
    masses = (left + 4 * middle + right) / 6
    ends = jnp.cumsum(masses, axis=-1)
    total = ends[..., -1]
    wanted = jax.lax.stop_gradient(uniform * total)
    index = (wanted[..., None] >= jax.lax.stop_gradient(ends[..., :-1])).sum(-1)

    def of_cell(values: jax.Array) -> jax.Array:
        values = values.reshape((1,) * (index.ndim + 1 - values.ndim) + values.shape)
        return jnp.take_along_axis(values, index[..., None], -1)[..., 0]

    start, line, square = of_cell(left), of_cell(middle), of_cell(right)
    before, mass = of_cell(ends - masses), of_cell(masses)
    # The parabola through the three points, start + line t + square t², and its integral.
    line, square = 4 * line - 3 * start - square, 2 * (start - 2 * line + square)

    def integral(t: jax.Array) -> jax.Array:
        return t * (start + t * (line / 2 + t * square / 3))

    t = (wanted - before) / jnp.maximum(mass, _TINY)
    for _ in range(_NEWTON):
        slope = start + t * (line + t * square)
        t = jnp.clip(t - (integral(t) - (wanted - before)) / jnp.maximum(slope, _TINY), 0, 1)
    t = jax.lax.stop_gradient(t)
    offset = low + cell * (index + t)
    exact = jax.lax.stop_gradient(jnp.exp(log_density(offset[..., None])[..., 0]) / (total * cell))
    share = (before + integral(t)) / total
    change = (share - jax.lax.stop_gradient(share)) / jnp.maximum(exact, _TINY)
    return mode + offset - change


def on_sphere(points: jax.Array) -> jax.Array:
    """Return points divided by their lengths, [..., m]; of zeros the first axis."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(points), -1, keepdims=True))
    nowhere = largest < 1e-35
    # Squares of large numbers overflow, and those of small ones vanish.
    factor = jnp.where(largest > 1e15, 1e-25, jnp.where(largest < 1e-15, 1e20, 1.0))
    first = jnp.zeros(points.shape[-1], points.dtype).at[0].set(1)
    scaled = jnp.where(nowhere, first, points * factor)
    return scaled / jnp.linalg.norm(scaled, axis=-1, keepdims=True)


def turned(direction: jax.Array, noise: jax.Array, angle: jax.Array) -> jax.Array:
    """Return points at an angle from a direction μ, on the side where normal noise lies.

        z = μ cos θ + v sin θ,  v the part of the noise orthogonal to μ, of length 1

    As μ changes, z is carried along by the smallest rotation between the directions. To first
    order this keeps v uniform, so that gradients are those of a sample, and it has no singular
    direction, as a Householder reflection has.

    Args:
        direction: μ, [*batch, m], of length 1.
        noise: from N(0, I), [*shape, *batch, m].
        angle: θ, [*shape, *batch].
    """
    fixed = jax.lax.stop_gradient(direction)
    side = noise
    for _ in range(2):  # once more, as rounding leaves a part of the first
        side = on_sphere(side - (side * fixed).sum(-1, keepdims=True) * fixed)
    side = side - (side * direction).sum(-1, keepdims=True) * direction
    return jnp.cos(angle)[..., None] * direction + jnp.sin(angle)[..., None] * side
