"""A prior of each class, p(z|y)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import read_labels
from workshop.generative_models.core.distributions import DiagonalNormal
from workshop.generative_models.models.vae.conditioning import one_hot
from workshop.generative_models.models.vae.priors.base import Prior


class ConditionalPrior(Prior):
    r"""p(z|y) = N(z; μ_y, diag σ_y²), with the mean and the variance of each class learned.

    μ and log σ² are linear in the one-hot row of the class, which for single classes is the most
    general map, and begin at 0. Rows of several classes add theirs up, and without a class
    p(z) = N(0, I).

    Args:
        latent_dim: size of z.
        num_classes: number of classes.

    References:
        Sohn, Lee & Yan, Learning Structured Output Representation using Deep Conditional Generative
        Models, NeurIPS 2015. Code: pyro-ppl/pyro, examples/cvae/cvae.py.
    """

    factorises: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True

    def __init__(self, latent_dim: int, num_classes: int):
        self.num_classes = checks.positive_int("num_classes", num_classes)
        self.means = nnx.Param(jnp.zeros((num_classes, latent_dim)))
        self.log_vars = nnx.Param(jnp.zeros((num_classes, latent_dim)))

    def __call__(self, model: Any, condition: Mapping[str, Any]) -> DiagonalNormal:  # noqa: ARG002
        """Return p(z|y), with a batch axis if `y` has one; without a label, N(0, I)."""
        y = condition.get("y")
        labels = jnp.zeros(self.num_classes) if y is None else jnp.asarray(read_labels("y", y))
        integer = jnp.issubdtype(labels.dtype, jnp.integer)
        alone = labels.ndim == 0 or (labels.ndim == 1 and not integer)
        code = one_hot(labels, self.num_classes, 1 if alone else labels.shape[0], name="y")
        code = code[0] if alone else code
        return DiagonalNormal(code @ self.means[...], code @ self.log_vars[...])
