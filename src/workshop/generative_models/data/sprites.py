"""Sprites: images drawn from five known factors, on the grid of dSprites.

Each of the 3 × 6 × 40 × 32 × 32 = 737,280 settings of the factors is one 64×64 image, drawn by a
pure function, so that nothing is stored and every image can be had from its factors or its index.

Where this differs from the dSprites file, and why:

- Edges are antialiased, not binary: a pixel holds the share of it that the shape covers. Then the
  smallest change of a factor shows, and area and centroid are true to a fraction of a pixel.
  `load_dataset("sprites", binarize=True)` gives black and white.
- Orientation k is 2πk/40. dSprites has both ends of linspace(0, 2π, 40), so that its first and
  last are the same image; here the 40 angles differ and a quarter turn is 10 steps exactly.
- The shapes of one scale have the same area: brightness tells the scale, not the shape.
- A step in position is one pixel, and nothing is ever cut by the frame.

A square looks the same after 10 steps of orientation and an ellipse after 20, so that the 737,280
settings are 430,080 different images; `canonical` tells which are the same.

References:
    Matthey, Higgins, Hassabis, Lerchner. dSprites: Disentanglement testing Sprites dataset. 2017.
"""

import itertools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from workshop.generative_models.data.dataset import Split

IMAGE_SHAPE = (64, 64, 1)
SHAPE_NAMES = ("square", "ellipse", "heart")
FACTOR_NAMES = ("shape", "scale", "orientation", "pos_x", "pos_y")
FACTOR_SIZES = (3, 6, 40, 32, 32)
NUM_IMAGES = math.prod(FACTOR_SIZES)
_SYMMETRY = (10, 20, 40)  # steps of orientation after which each shape looks the same

_SQUARE_SIDE = 18.0  # pixels at scale 1; the other two shapes have the same area, 324 px²
_ELLIPSE_AXES = (_SQUARE_SIDE * math.sqrt(2 / math.pi), _SQUARE_SIDE / math.sqrt(2 * math.pi))
# The heart is a square standing on its corner with a half disc on each of its two upper sides.
_HEART_SIDE = _SQUARE_SIDE / math.sqrt(1 + math.pi / 4)
# Height of its centroid above the lower corner, in diagonals of the square: the square's is at 1/2
# and the half discs' at 3/4 + 1/(3π), weighted by their areas, 1 to π/4.
_HEART_CENTROID = (1 / 2 + (math.pi / 4) * (3 / 4 + 1 / (3 * math.pi))) / (1 + math.pi / 4)
_FIRST_CENTRE = 16.5  # pixels from the left (top) edge: the middle of a pixel

_ANGLES = 2 * np.pi * np.arange(FACTOR_SIZES[2]) / FACTOR_SIZES[2]


def render(factors: Int[Array | np.ndarray, "5"]) -> Float[Array, "64 64 1"]:
    """Draws one sprite, white (1) on black (0).

    Args:
        factors: In the order of `FACTOR_NAMES`, each from 0 below its `FACTOR_SIZES`:
            shape (square, ellipse, heart); scale, size 0.5 + scale / 10; orientation, turned
            2π orientation / 40 counterclockwise; pos_x and pos_y, the centroid is 16.5 + pos_x
            pixels from the left edge and 16.5 + pos_y from the top.

    Raises:
        ValueError: If a factor is off the grid (not under a transformation, where it cannot be
            known: there the image means nothing).

    Examples:
        >>> image = render(np.array([2, 5, 0, 16, 16]))
        >>> image.shape, round(float(image.sum()))
        ((64, 64, 1), 324)
    """
    return _render(jnp.asarray(_checked(factors)))


def render_batch(factors: Int[Array | np.ndarray, "n 5"]) -> Float[Array, "n 64 64 1"]:
    """Draws n sprites; see `render`."""
    return _render_batch(jnp.asarray(_checked(factors)))


def render_uint8(factors: Int[Array | np.ndarray, "n 5"]) -> UInt8[Array, "n 64 64 1"]:
    """Draws n sprites as round(255 · image), a quarter of the memory; see `render`."""
    return _render_uint8(jnp.asarray(_checked(factors)))


@jax.jit
def _render(factors: Int[Array, "5"]) -> Float[Array, "64 64 1"]:
    shape, size, orientation, pos_x, pos_y = factors
    scale = 0.5 + 0.1 * size.astype(jnp.float32)
    # Settings that look the same are drawn from the same numbers, so that they are the same bits.
    angle = orientation % jnp.asarray(_SYMMETRY)[shape]
    cos = jnp.asarray(np.cos(_ANGLES), jnp.float32)[angle]
    sin = jnp.asarray(np.sin(_ANGLES), jnp.float32)[angle]
    steps = jnp.arange(IMAGE_SHAPE[0]) + 0.5 - _FIRST_CENTRE  # middles of pixels, from centre 0
    right, up = (steps - pos_x)[None, :], (pos_y - steps)[:, None]
    u, v = cos * right + sin * up, cos * up - sin * right  # the pixel, seen by the upright shape
    drawn = [
        _square(u, v, scale * _SQUARE_SIDE, cos, sin),
        _ellipse(u, v, scale),
        _heart(u, v, scale * _HEART_SIDE, cos, sin),
    ]
    return jnp.select([shape == 0, shape == 1], drawn[:2], drawn[2])[..., None]


_render_batch = jax.jit(jax.vmap(_render))
_render_uint8 = jax.jit(lambda factors: jnp.round(255 * _render_batch(factors)).astype(jnp.uint8))


def _covered(depth: Array, a: Array | float = 1.0, b: Array | float = 0.0) -> Array:
    """The share of a pixel that is inside an edge `depth` pixels outward from its middle.

    Across the edge a pixel is a box of width a blurred by one of width b, the larger and the
    smaller of |cos| and |sin| of the edge's angle. The blur is taken at two points.
    """
    near, far = (jnp.clip(0.5 + (depth + shift) / a, 0, 1) for shift in (-b / 4, b / 4))
    return (near + far) / 2


def _square(u: Array, v: Array, side: Array, cos: Array, sin: Array) -> Array:
    a, b = jnp.maximum(jnp.abs(cos), jnp.abs(sin)), jnp.minimum(jnp.abs(cos), jnp.abs(sin))
    return _covered(side / 2 - jnp.abs(u), a, b) * _covered(side / 2 - jnp.abs(v), a, b)


def _ellipse(u: Array, v: Array, scale: Array) -> Array:
    """Depth to first order, (1 - ρ) / |∇ρ| with ρ² = (u/a)² + (v/b)²."""
    a, b = (scale * axis for axis in _ELLIPSE_AXES)
    tiny = 1e-12  # at the centre ρ and its gradient are 0 / 0
    rho = jnp.sqrt((u / a) ** 2 + (v / b) ** 2 + tiny)
    gradient = jnp.sqrt((u / a**2) ** 2 + (v / b**2) ** 2 + tiny / b**2) / rho
    return _covered((1 - rho) / gradient)


def _heart(u: Array, v: Array, side: Array, cos: Array, sin: Array) -> Array:
    """A square turned by 45° and a disc about the middle of each of its upper sides.

    Only the right half is drawn, mirrored: there the square and its disc meet smoothly, so that
    the larger share counts, and the other disc adds what it covers of the rest at the notch.
    """
    root = math.sqrt(2)
    u, v = jnp.abs(u), v + side * root * (_HEART_CENTROID - 1 / 2)  # from the square's centre
    p, q = (v + u) / root, (v - u) / root
    square = _square(p, q, side, (cos - sin) / root, (cos + sin) / root)
    disc = _covered(side / 2 - jnp.sqrt((p - side / 2) ** 2 + q**2))
    other = _covered(side / 2 - jnp.sqrt(p**2 + (q - side / 2) ** 2))
    return 1 - (1 - jnp.maximum(square, disc)) * (1 - other)


def _checked(factors: Array | np.ndarray) -> Array | np.ndarray:
    if isinstance(factors, Tracer):
        return factors
    given = np.asarray(factors)
    wrong = (given < 0) | (given >= np.asarray(FACTOR_SIZES))
    if wrong.any():
        column = int(np.argwhere(wrong)[0, -1])
        name, size = FACTOR_NAMES[column], FACTOR_SIZES[column]
        value = given[..., column][wrong[..., column]].flat[0]
        raise ValueError(f"factors: {name} = {value}; expected 0 <= {name} < {size} (FACTOR_SIZES)")
    return factors


def index_to_factors(index: int | Int[np.ndarray, "*n"]) -> Int[np.ndarray, "*n 5"]:
    """The factors of the image with this number, 0 <= index < 737,280; the last varies fastest.

    Examples:
        >>> index_to_factors(737_279).tolist()
        [2, 5, 39, 31, 31]
    """
    return np.stack(np.unravel_index(index, FACTOR_SIZES), axis=-1).astype(np.int32)


def factors_to_index(factors: Int[Array | np.ndarray, "*n 5"]) -> Int[np.ndarray, "*n"]:
    """The number of the image with these factors, the inverse of `index_to_factors`."""
    digits = np.moveaxis(np.asarray(_checked(factors)), -1, 0)
    return np.asarray(np.ravel_multi_index(tuple(digits), FACTOR_SIZES), np.int32)


def canonical(factors: Int[Array | np.ndarray, "*n 5"]) -> Int[np.ndarray, "*n 5"]:
    """The first setting that draws the same image: orientation modulo the shape's symmetry."""
    result = np.array(_checked(factors), np.int32)
    result[..., 2] %= np.asarray(_SYMMETRY, np.int32)[result[..., 0]]
    return result


def sample_factors(key: PRNGKeyArray, n: int) -> Int[Array, "n 5"]:
    """Draws n settings, each factor uniform and independent."""
    return jax.random.randint(key, (n, len(FACTOR_SIZES)), 0, jnp.asarray(FACTOR_SIZES))


def stream(batch_size: int, *, seed: int = 0, start: int = 0) -> Iterator[Split]:
    """All 737,280 settings once, in a random order, drawn as they are asked for.

    Args:
        batch_size: Images in a batch; the last batch has what is left.
        seed: Decides the order.
        start: How many images to skip: where an earlier stream of this seed stopped.

    Yields:
        A `Split` with uint8 images, the factors and the shape as label.

    Raises:
        ValueError: At the call, if `batch_size` < 1 or `start` is not in 0..737,280.

    Examples:
        >>> next(stream(128, seed=0))
        Split(128 × (64, 64, 1) uint8, y, factors)
    """
    if batch_size < 1:
        raise ValueError(f"stream(batch_size={batch_size}): expected at least 1")
    if not 0 <= start <= NUM_IMAGES:
        raise ValueError(f"stream(start={start}): expected 0 <= start <= {NUM_IMAGES}")
    order = np.random.default_rng(seed).permutation(NUM_IMAGES)
    stops = range(start, NUM_IMAGES, batch_size)
    return (_drawn(order[i : i + batch_size]) for i in stops)


def subset(sizes: tuple[int, ...], seed: int) -> list[Split]:
    """Disjoint random splits of these sizes, no image in them twice (see `canonical`)."""
    order = np.random.default_rng(seed).permutation(NUM_IMAGES)
    images = factors_to_index(canonical(index_to_factors(order)))
    distinct = order[np.sort(np.unique(images, return_index=True)[1])]
    bounds = np.cumsum((0, *sizes))
    drawn = _drawn(distinct[: bounds[-1]])
    return [drawn.take(slice(a, b)) for a, b in itertools.pairwise(bounds)]


def _drawn(indices: Int[np.ndarray, " n"]) -> Split:
    factors = index_to_factors(indices)
    return Split(np.asarray(render_uint8(factors)), y=factors[:, 0].copy(), factors=factors)
