"""The parts of a model's constructor: its options, and the checks that parts fit each other."""

from typing import TypedDict

from flax import nnx

from workshop.generative_models.core.configuration import Scale
from workshop.generative_models.core.likelihood_base import identity
from workshop.generative_models.core.likelihoods import Likelihood, create_likelihood
from workshop.generative_models.core.typing import DTypeLike, Precision
from workshop.generative_models.models.vae.components import AnyPosterior, AnyPrior
from workshop.generative_models.models.vae.objectives import ELBO


class Options(TypedDict, total=False):
    """Keyword arguments that variants pass on to `VAE`."""

    precision: Precision
    scale: Scale
    levels: int
    standardize: bool
    free_bits: float
    kl_schedule: str
    kl_schedule_steps: int
    dtype: DTypeLike | None
    prior: AnyPrior
    posterior: AnyPosterior


def check_latent_dims(encoder: nnx.Module, decoder: nnx.Module, latent_dim: int) -> None:
    """Refuse networks that say they are of another latent size; maps have channels instead."""
    for name, network in (("encoder", encoder), ("decoder", decoder)):
        size = getattr(network, "latent_dim", None) or latent_dim
        if size != latent_dim and not getattr(network, "spatial", False):
            raise ValueError(f"{name}.latent_dim={size} and latent_dim={latent_dim} must agree")


def likelihood_for(
    likelihood: str | Likelihood,
    encoder: nnx.Module,
    decoder: nnx.Module,
    *,
    scale: Scale,
    levels: int,
    standardize: bool,
) -> Likelihood:
    """Return the likelihood by its name, or one of your own, checked against the decoder."""
    if isinstance(likelihood, Likelihood):
        kind = f"a {type(likelihood).__name__} of your own"
        own = (("scale", scale, 1.0), ("levels", levels, 256),
               ("standardize", standardize, False))  # fmt: skip
        for name, given, default in own:
            if given != default:
                raise ValueError(f"{name}={given!r} beside {kind}, which has its own")
        activation = getattr(decoder, "output_activation", None)
        if activation is not None and getattr(likelihood, "link", activation) is not activation:
            raise ValueError(
                f"{kind} has another link than the decoder's output_activation: give it that "
                f"one, or build the decoder with output_activation='identity'"
            )
        return likelihood
    link = getattr(decoder, "output_activation", identity)
    if standardize and link is not identity:
        raise ValueError(
            "standardize=True with an output_activation: standardised data has no bounds, "
            "so build the decoder with output_activation='identity'"
        )
    return create_likelihood(
        likelihood,
        scale=scale,
        link=link,
        levels=levels,
        event_shape=getattr(decoder, "output_shape", getattr(encoder, "input_dim", None)),
        standardize=standardize,
    )


def refuse_elbo_options(given: ELBO) -> None:
    """Raise a ValueError for options of the ELBO beside another objective."""
    for name, argument in (
        ("weight", "kl_weight"),
        ("free_bits", "free_bits"),
        ("schedule", "kl_schedule"),
    ):
        if getattr(given, name) != getattr(ELBO(), name):
            raise ValueError(f"{argument}={getattr(given, name)!r} beside an objective of your own")
