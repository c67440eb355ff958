"""Points of metrics that intervene: examples drawn so that one factor of each point is held."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from ...core.checks import positive_int
from ..arrays import finite_rows
from ..passes import Progress, in_passes
from .inputs import Factors

EXAMPLES = 1024
"""Examples that are shown and represented at once: one shape, so that programs compile once."""

PointFactors = Int[np.ndarray, "points batch factors"]


@runtime_checkable
class Sampler(Protocol):
    """What draws factors and shows them, such as the module `data.sprites`."""

    def sample_factors(self, key: Any, n: int, /) -> Any:
        """Return whole numbers (n, factors), each drawn independently, from a key of jax."""
        ...

    def render_batch(self, factors: Any, /) -> Any:
        """Return the observations (n, ...) of factors (n, factors)."""
        ...


class Points:
    """Points of a metric, a part to fit it on and a part to score it on, each holding one factor.

    Factors are drawn before any example is shown: how many are shown at a time changes nothing.
    """

    def __init__(
        self,
        where: str,
        represent: Callable[[Any], ArrayLike],
        sampler: Sampler,
        sizes: dict[str, int],
        seed: int,
    ) -> None:
        for name, value in sizes.items():
            positive_int(f"{where}: {name}", value)
        self.where, self.represent, self.sampler = where, represent, sampler
        self.train, self.batch = sizes["num_train"], sizes["batch_size"]
        self.count = self.train + sizes["num_eval"]
        self.key = jax.random.key(seed)
        num_factors = self.draw(1, 1).shape[1]
        if num_factors < 2:
            raise ValueError(
                f"{where}(sampler): expected at least 2 factors to tell apart, got {num_factors}"
            )
        self.fixed = np.asarray(
            jax.random.randint(jax.random.fold_in(self.key, 0), (self.count,), 0, num_factors)
        )

    def draw(self, purpose: int, n: int) -> Factors:
        """Return the factors of n examples, others for each purpose from 1."""
        factors = np.asarray(self.sampler.sample_factors(jax.random.fold_in(self.key, purpose), n))
        if factors.ndim != 2 or len(factors) != n or factors.dtype.kind not in "iu":
            raise ValueError(
                f"{self.where}(sampler): expected whole numbers of shape ({n}, factors) from "
                f"sample_factors(key, {n}), got {factors.dtype} of shape {factors.shape}"
            )
        return factors

    def draw_points(self, purpose: int) -> PointFactors:
        """Return the factors of all points' examples."""
        return self.draw(purpose, self.count * self.batch).reshape(self.count, self.batch, -1)

    def held(self, num_factors: int) -> Bool[np.ndarray, "points 1 factors"]:
        """Say which factor each point holds."""
        return np.arange(num_factors) == self.fixed[:, None, None]

    def codes(self, factors: Factors) -> Float[np.ndarray, "examples latents"]:
        """Return the codes of examples with these factors."""
        shown = self.sampler.render_batch(factors)
        codes = finite_rows(f"{self.where}(represent)", self.represent(shown))
        if len(codes) != len(factors):
            raise ValueError(
                f"{self.where}(represent): expected codes of {len(factors)} examples, "
                f"got shape {codes.shape}"
            )
        return codes

    def codes_of_points(self, factors: PointFactors) -> Float[np.ndarray, "points batch latents"]:
        """Return the codes of the examples of some points."""
        codes = self.codes(factors.reshape(-1, factors.shape[-1]))
        return codes.reshape(*factors.shape[:2], -1)

    def measure(
        self, statistic: Callable[[np.ndarray], np.ndarray], progress: Progress
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Return statistic and held factor of the points to fit on, and of those to score on.

        Cut short, the points made until then are shared out in the proportion asked for.
        """
        size = max(1, EXAMPLES // self.batch)
        rows = in_passes(statistic, self.count, size=size, progress=progress)
        done = len(rows)
        train = done * self.train // self.count
        if not 0 < train < done:
            raise ValueError(
                f"{self.where}: expected points to fit on and to score on, got {done} of "
                f"{self.count} before it was cut short"
            )
        fixed = self.fixed[:done]
        return (rows[:train], fixed[:train]), (rows[train:], fixed[train:])
