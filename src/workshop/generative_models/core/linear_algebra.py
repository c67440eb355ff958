"""Factors, systems and inverses of many small matrices.

XLA calls LAPACK for these on CPUs. A training step with many such calls, as that of a Riemannian
Hamiltonian posterior, could wait forever for XLA's thread pool on two cores. Here all matrices of a
batch advance together, one column at a time.
"""

import functools

import jax
import jax.numpy as jnp

_product = functools.partial(jnp.matmul, precision="highest")


@jax.custom_jvp
def cholesky(matrix: jax.Array) -> jax.Array:
    r"""Return the lower triangular L with L Lᵀ = A and a positive diagonal.

    The derivative is dL = L Φ(L⁻¹ dA L⁻ᵀ); Φ keeps the lower triangle and halves the diagonal.

    Args:
        matrix: A, [..., n, n], symmetric and positive definite. The rows of L from the first
            leading minor that is not positive are NaN.

    References:
        Murray, Differentiation of the Cholesky Decomposition, 2016, equation 8 (arXiv 1602.07527).

    Example:
        >>> cholesky(jnp.array([[4.0, 2.0], [2.0, 2.0]])).tolist()
        [[2.0, 0.0], [1.0, 1.0]]
    """
    rows = jnp.arange(matrix.shape[-1])

    def column(j: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        rest, factor = carry
        new = rest[..., j] / jnp.sqrt(rest[..., j, j])[..., None]
        new = jnp.where(rows < j, 0, new)
        return rest - new[..., :, None] * new[..., None, :], factor.at[..., j].set(new)

    return jax.lax.fori_loop(0, len(rows), column, (matrix, jnp.zeros_like(matrix)))[1]


@cholesky.defjvp
def _(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    factor, change = cholesky(*primals), tangents[0]
    change = 0.5 * (change + change.mT)
    inner = jnp.tril(solve_triangular(factor, solve_triangular(factor, change).mT))
    return factor, _product(factor, inner - 0.5 * inner * jnp.eye(inner.shape[-1]))


@jax.custom_jvp
def inverse_and_log_det(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return A⁻¹ and log |A| by Gauss-Jordan elimination.

    Derivatives are products of matrices: d(A⁻¹) = -A⁻¹ dA A⁻¹ and d log |A| = tr(A⁻¹ dA).

    Args:
        matrix: A, [..., n, n], symmetric and positive definite, so that no pivot has to be chosen.

    Example:
        >>> inverse, log_det = inverse_and_log_det(jnp.diag(jnp.array([1.0, 4.0])))
        >>> inverse.tolist(), round(float(log_det), 4)
        ([[1.0, 0.0], [0.0, 0.25]], 1.3863)
    """
    rows = jnp.arange(matrix.shape[-1])

    def eliminate(j: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        rest, log_det = carry
        here, pivot = rows == j, rest[..., j, j, None]
        row = jnp.where(here, 1, rest[..., j, :]) / pivot
        column = jnp.where(here, 0, rest[..., j])
        others = jnp.where(here, 0, rest) - column[..., :, None] * row[..., None, :]
        rest = jnp.where(here[:, None], row[..., None, :], others)
        return rest, log_det + jnp.log(pivot[..., 0])

    start = matrix, jnp.zeros_like(matrix[..., 0, 0])
    return jax.lax.fori_loop(0, len(rows), eliminate, start)


@inverse_and_log_det.defjvp
def _(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[tuple, tuple]:
    inverse, log_det = inverse_and_log_det(*primals)
    turned = _product(inverse, tangents[0])
    trace = jnp.trace(turned, axis1=-2, axis2=-1)
    return (inverse, log_det), (-_product(turned, inverse), trace)


def solve_triangular(lower: jax.Array, values: jax.Array, transposed: bool = False) -> jax.Array:
    """Return X with L X = B, or Lᵀ X = B, by substitution.

    Args:
        lower: L, [..., n, n]; what is above the diagonal must be 0.
        values: B, [..., n, k].
        transposed: whether to solve with Lᵀ.

    Example:
        >>> lower = jnp.array([[2.0, 0.0], [1.0, 1.0]])
        >>> solve_triangular(lower, jnp.array([[2.0], [3.0]])).tolist()
        [[1.0], [2.0]]
    """
    batch = jnp.broadcast_shapes(lower.shape[:-2], values.shape[:-2])
    lower = jnp.broadcast_to(lower, (*batch, *lower.shape[-2:]))
    values = jnp.broadcast_to(values, (*batch, *values.shape[-2:]))
    ways = _forward, _backward
    operator = lower.mT if transposed else lower
    solve, transposed_solve = reversed(ways) if transposed else ways
    return jax.lax.custom_linear_solve(
        functools.partial(_product, operator),
        values,
        lambda _, values: solve(lower, values),
        lambda _, values: transposed_solve(lower, values),
    )


def _forward(lower: jax.Array, values: jax.Array) -> jax.Array:
    def row(j: jax.Array, values: jax.Array) -> jax.Array:
        solved = values[..., j, :] / lower[..., j, j, None]
        below = jnp.where(rows > j, lower[..., j], 0)
        values = values.at[..., j, :].set(solved)
        return values - below[..., :, None] * solved[..., None, :]

    rows = jnp.arange(lower.shape[-1])
    return jax.lax.fori_loop(0, len(rows), row, values)


def _backward(lower: jax.Array, values: jax.Array) -> jax.Array:
    flipped = jnp.flip(lower.mT, (-2, -1))
    return jnp.flip(_forward(flipped, jnp.flip(values, -2)), -2)
