"""Distributions of the ends of trajectories."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import jax
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import Distribution
from workshop.generative_models.core.distributions.diagonal_normal import DiagonalNormal
from workshop.generative_models.core.gaussian import PRNGKey

Move = Callable[[PRNGKey, jax.Array], tuple[jax.Array, jax.Array]]
"""(key, z_0) -> z_K and what is to be added to log q(z_0)."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Evolved(Distribution):
    r"""z_K, where a random trajectory ends that starts at z_0 ~ q_0.

    Only the density of the whole trajectory is known, and of its own samples alone: with momenta ρ,

        sample_and_log_prob  gives  z_K,  log q(z_K, ρ_K) - log N(ρ_K),

    so that the mean of log p(x, z_K) less this number is a lower bound on log p(x), and the mean of
    the exponential of the difference is p(x).

    Args:
        start: q_0.
        move: draws a momentum and moves z_0; None if the trajectory is not known, and there are no
            samples. It may read the arrays of a model: use the distribution inside the
            transformation, such as `jax.jit`, that it was made in.

    References:
        Caterini, Doucet & Sejdinovic, Hamiltonian Variational Auto-Encoder, NeurIPS 2018.
    """

    explicit_density: ClassVar[bool] = False

    start: DiagonalNormal | Any
    move: Move | Any = dataclasses.field(default=None, metadata={"static": True})

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes."""
        return self.start.batch_shape

    @property
    def event_size(self) -> int:
        """Size of the event axis."""
        return self.start.event_size

    @property
    def mean(self) -> jax.Array:  # type: ignore[override]
        """The mean of q_0, where trajectories start; that of their ends is not known."""
        return self.start.mean

    @property
    def log_var(self) -> jax.Array:
        """The log-variance of q_0."""
        return self.start.log_var

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        first, second = jax.random.split(key)
        return self._moved(second, self.start._sample(first, shape, temperature))[0]

    def _log_prob(self, z: jax.Array) -> NoReturn:  # noqa: ARG002
        raise ValueError(
            "Evolved.log_prob: the density of the end of a trajectory is known of its own samples "
            "alone: use sample_and_log_prob, or outputs that hold 'log_q' as model(x) returns them"
        )

    def _sample_and_log_prob(
        self, key: PRNGKey, shape: tuple[int, ...]
    ) -> tuple[jax.Array, jax.Array]:
        first, second = jax.random.split(key)
        z, log_q = self.start._sample_and_log_prob(first, shape)
        z, change = self._moved(second, z)
        return z, log_q + change

    def _moved(self, key: PRNGKey, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        if self.move is None:
            raise ValueError(
                "Evolved: samples follow the gradient of log p(x, z), and x is not given: use "
                "model.q_z(x), or pass x to model.infer"
            )
        return self.move(key, z)
