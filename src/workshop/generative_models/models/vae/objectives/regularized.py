"""Regularised autoencoders: deterministic, with penalties on the latents and the decoder."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, get_args

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration.objectives import (
    DecoderRegularizer,
    check_regularizer_weight,
)
from workshop.generative_models.core.metrics import Metric
from workshop.generative_models.core.spectral import spectrally_normalised
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import Objective, weighted

_WEIGHTS = MappingProxyType({"l2": 1e-4, "gradient_penalty": 1e-4, "spectral": 0.0})


class Regularized(Objective):
    r"""L = -log p(x|z) + β ½‖z‖² + λ R, for z = μ(x) of a point mass.

    R is, of the decoder,

        l2                  ‖θ‖², all its parameters
        gradient_penalty    E‖∂E[x|z] / ∂z‖², the Frobenius norm of its Jacobian
        spectral            none: every layer's kernel has the largest singular value 1

    The Jacobian's norm is estimated without bias by one vector-Jacobian product for each example:
    E_v‖vᵀJ‖² = ‖J‖² if the entries of v are ±1 with equal probability.

    Use it with the posterior `PointMassPosterior`, as the paper does: there is no density of z, and
    none is claimed. Samples need a density that is fitted to the latents afterwards.

    Args:
        latent_weight: β.
        regularizer: "l2", "gradient_penalty" or "spectral".
        regularizer_weight: λ; None is 10⁻⁴. Leave it out with "spectral".

    References:
        Ghosh et al., From Variational to Deterministic Autoencoders, ICLR 2020; the authors'
        program is github.com/ParthaEth/Regularized_autoencoders-RAE-. Its weights for MNIST,
        β = 10⁻⁴ and λ = 10⁻⁷ of l2, are of losses that are means over 1,024 pixels and 16 latents:
        here, with sums, about β = 10⁻² and λ = 10⁻⁴. Its l2 is that of the kernels of transposed
        convolutions alone, and its gradient penalty that of ‖x̃‖² instead of the Jacobian's;
        Pythae's (`models/rae_gp`) is that of the sum of x̃, with respect to x.
    """

    needs_density: ClassVar[bool] = False
    metrics: ClassVar[Mapping[str, Metric]] = {
        "latent_loss": Metric("half squared norm of the latents", larger_is_better=False),
        "regularization_loss": Metric("regularisation of the decoder", larger_is_better=False),
    }

    def __init__(
        self,
        latent_weight: float = 1e-2,
        regularizer: str = "l2",
        regularizer_weight: float | None = None,
    ):
        self.latent_weight = checks.at_least("latent_weight", latent_weight, 0.0)
        self.regularizer = checks.one_of("regularizer", regularizer, get_args(DecoderRegularizer))
        check_regularizer_weight(regularizer, regularizer_weight)
        weight = _WEIGHTS[regularizer] if regularizer_weight is None else regularizer_weight
        self.regularizer_weight = checks.at_least("regularizer_weight", weight, 0.0)

    def constrained(self, decoder: nnx.Module) -> nnx.Module:
        """Return the decoder, with normalised layers if the regularizer is "spectral"."""
        return spectrally_normalised(decoder) if self.regularizer == "spectral" else decoder

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:
        """Return the loss and both of its penalties, not weighted."""
        latents = 0.5 * jnp.square(terms.inference.z).sum(-1).mean()
        total = terms.reconstruction_loss + weighted(self.latent_weight, latents)
        losses = {"total_loss": total, "latent_loss": latents}
        if self.regularizer == "spectral":
            return losses
        if self.regularizer == "l2":
            leaves = jax.tree.leaves(nnx.state(model.decoder, nnx.Param))
            penalty = sum((jnp.vdot(leaf, leaf) for leaf in leaves), jnp.zeros(()))
        else:
            penalty = _squared_jacobian(model, terms, context.key)
        return losses | {
            "total_loss": total + weighted(self.regularizer_weight, penalty),
            "regularization_loss": penalty,
        }


def _squared_jacobian(model: Any, terms: BoundTerms, key: jax.Array) -> jax.Array:
    """Return an estimate of ‖∂E[x|z] / ∂z‖², the mean over the batch."""
    graphdef, state = nnx.split(model)

    def decoded(z: jax.Array) -> jax.Array:
        # A copy, so that batch statistics change inside of the transformation only.
        return nnx.merge(graphdef, state, copy=True).decode(z, **terms.condition)

    made, pullback = jax.vjp(decoded, terms.inference.z[0])
    signs = jax.random.rademacher(key, made.shape, made.dtype)
    return jnp.square(pullback(signs)[0]).sum(-1).mean()
