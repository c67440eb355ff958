"""The VampPrior: a mixture of variational posteriors of learned pseudo-inputs."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.distributions import EqualMixture
from workshop.generative_models.core.moments import DataStatistic, Moments
from workshop.generative_models.models.vae.priors.base import Prior


class VampPrior(Prior):
    r"""p(z) = 1/K Σ_k q(z|u_k), with the pseudo-inputs u_k learned.

    Pseudo-inputs are examples that no data holds, in the data's units. Their first values are drawn
    evenly from [0, 1), and by `Trainer.fit` from normal distributions with the mean and the spread
    of each feature, or with `start="data"` they are training examples. They are not held inside the
    range of the data. In a conditional model they are encoded without a class, and p(z|y) = p(z).

    Args:
        event_shape: shape of one example.
        components: K.
        start: what pseudo-inputs begin as: "random" values, or "data", training examples.
        rngs: for the first values.

    Attributes:
        first: the first values.
        shift: what training adds to them.

    References:
        Tomczak & Welling, VAE with a VampPrior, AISTATS 2018. Code: jmtomczak/vae_vampprior,
        models/VAE.py.
    """

    needs_log_prob: ClassVar[bool] = True

    def __init__(
        self,
        event_shape: tuple[int, ...] | None,
        components: int = 500,
        start: str = "random",
        *,
        rngs: nnx.Rngs | None = None,
    ):
        if rngs is None:
            raise ValueError("VampPrior(rngs=None): pass rngs for the first pseudo-inputs")
        if event_shape is None:
            raise ValueError(
                "VampPrior needs event_shape, the shape of one example: give the decoder an "
                "attribute output_shape"
            )
        self.components = checks.positive_int("components", components)
        self.start = checks.one_of("start", start, ("random", "data"))
        shape = (components, *event_shape)
        self.first = DataStatistic(jax.random.uniform(rngs.params(), shape))
        self.shift = nnx.Param(jnp.zeros(shape))
        self.filled = DataStatistic(jnp.zeros((), bool))

    @property
    def pseudo_inputs(self) -> jax.Array:
        """u, (components, *event_shape)."""
        return self.first[...] + self.shift[...]

    def initialize(self, moments: Moments) -> None:
        """Take the first values from the training data, unless they have been set or trained."""
        if self.filled[...] or np.any(self.shift[...]):
            return
        noise = np.random.default_rng(self.components).standard_normal(self.first.shape)
        first = moments.mean + moments.spread * noise
        if self.start == "data":
            if moments.examples is None:
                raise ValueError(
                    "VampPrior(start='data'): the moments hold no examples: pass "
                    "moments._replace(examples=function of n), as Trainer.fit does"
                )
            # Components beyond the number of examples stay random: equal ones would never part.
            chosen = moments.examples(self.components)
            first[: len(chosen)] = chosen
        self.first[...] = jnp.asarray(first, jnp.float32)
        self.filled[...] = jnp.ones((), bool)

    def __call__(self, model: Any, condition: Mapping[str, Any]) -> EqualMixture:  # noqa: ARG002
        """Return the mixture, by one call of the model's encoder."""
        return EqualMixture(model.posterior(model.features(self.pseudo_inputs)))
