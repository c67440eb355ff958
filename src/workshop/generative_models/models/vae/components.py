"""Components from what a model is given: an object, a configuration, or nothing."""

from typing import Any, TypeVar

from flax import nnx

from workshop.generative_models.core.configuration import Config
from workshop.generative_models.models.vae.objectives import OBJECTIVES, Objective
from workshop.generative_models.models.vae.posteriors import (
    POSTERIORS,
    DiagonalNormalPosterior,
    Posterior,
)
from workshop.generative_models.models.vae.priors import PRIORS, Prior, StandardNormalPrior

AnyPrior = Config | Prior | Any | None
AnyPosterior = Config | Posterior | Any | None
AnyObjective = Config | Objective | Any | None
Component = TypeVar("Component")

OLD_HOOKS = {
    "objective": "an Objective, a class with __call__(self, model, terms, context) that returns "
    '{"total_loss": ...}, and pass it as VAE(..., objective=...)',
    "kl_coefficient": "an Objective, such as a subclass of ELBO that defines coefficient(step), "
    "and pass it as VAE(..., objective=...)",
    "latents": "a Posterior, a class with features(latent_dim) and __call__(features) that returns "
    "a Distribution, and pass it as VAE(..., posterior=...)",
}
"""Methods that models overrode before they were made of components, and what to write instead."""


def refuse_old_hooks(cls: type[Any]) -> None:
    """Raise a TypeError for a class of models that defines a method which nothing calls."""
    for name, instead in OLD_HOOKS.items():
        if callable(vars(cls).get(name)):
            raise TypeError(
                f"{cls.__name__} defines the method {name!r}, which is not called: models are made "
                f"of components. Write {instead}"
            )


def create_prior(given: AnyPrior, latent_dim: int, rngs: nnx.Rngs | None) -> Any:
    """Return the prior that a configuration describes, or one's own; None is N(0, I)."""
    if given is None:
        return StandardNormalPrior(latent_dim)
    return _created("prior", given, PRIORS, latent_dim=latent_dim, rngs=rngs)


def create_posterior(given: AnyPosterior) -> Any:
    """Return the posterior that a configuration describes, or one's own; None is Gaussian."""
    return DiagonalNormalPosterior() if given is None else _created("posterior", given, POSTERIORS)


def create_objective(given: Any) -> Any:
    """Return the objective that a configuration describes, or one's own."""
    return _created("objective", given, OBJECTIVES)


def _created(name: str, given: Any, table: dict[str, type[Any]], **sizes: Any) -> Any:
    if isinstance(given, Config):
        fields = dict(given)
        for beside in ("name", "description"):
            fields.pop(beside, None)
        kind = fields.pop("kind")
        return table[kind](**fields, **sizes)
    if not callable(given) or isinstance(given, type):
        raise TypeError(f"{name}={given!r}: expected a configuration, or an object that is called")
    return given
