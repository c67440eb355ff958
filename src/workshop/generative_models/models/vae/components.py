"""Components from what a model is given: an object, a configuration, or nothing."""

from typing import Any, TypeVar

from flax import nnx

from workshop.generative_models.core.building import arguments_of
from workshop.generative_models.core.configuration import Config
from workshop.generative_models.core.configuration.components import (
    OBJECTIVE_CONFIGS,
    POSTERIOR_CONFIGS,
    PRIOR_CONFIGS,
    LatentPriorConfig,
    ObjectiveConfig,
    PosteriorConfig,
)
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

_OLD_HOOKS = {
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
    for name, instead in _OLD_HOOKS.items():
        if callable(vars(cls).get(name)):
            raise TypeError(
                f"{cls.__name__} defines the method {name!r}, which is not called: models are made "
                f"of components. Write {instead}"
            )


_TABLES: dict[str, tuple[type[Config], dict[str, Any], dict[str, Any]]] = {
    "prior": (LatentPriorConfig, PRIOR_CONFIGS, PRIORS),
    "posterior": (PosteriorConfig, POSTERIOR_CONFIGS, POSTERIORS),
    "objective": (ObjectiveConfig, OBJECTIVE_CONFIGS, OBJECTIVES),
}


def register(config: type[Config], component: type[Any]) -> None:
    """Let a configuration of your own describe a component of your own.

    `VAEConfig` then takes the configuration, and models built from it can be saved and rebuilt by
    programs that call `register` too. The fields of the configuration are the arguments of the
    component.

    Args:
        config: a subclass of `LatentPriorConfig`, `PosteriorConfig` or `ObjectiveConfig`, whose
            field `kind` is a `Literal` of one name with that default.
        component: the class of the component.

    Raises:
        TypeError: for a class of another kind.
        ValueError: for a kind that another configuration has.
    """
    for base, configs, components in _TABLES.values():
        if not issubclass(config, base):
            continue
        field = config.model_fields.get("kind")
        if field is None or not isinstance(field.default, str):
            raise TypeError(
                f"{config.__name__} lacks a kind: add kind: Literal['mine'] = 'mine', with a name"
            )
        if configs.get(field.default, config) is not config:
            raise ValueError(f"kind={field.default!r} is that of {configs[field.default].__name__}")
        configs[field.default], components[field.default] = config, component
        return
    names = ", ".join(base.__name__ for base, _, _ in _TABLES.values())
    raise TypeError(f"config={config!r}: expected a subclass of one of {names}")


def create_prior(given: AnyPrior, latent_dim: int, rngs: nnx.Rngs | None) -> Any:
    """Return the prior that a configuration describes, or one's own; None is N(0, I)."""
    if given is None:
        return StandardNormalPrior(latent_dim)
    return _created("prior", given, latent_dim=latent_dim, rngs=rngs)


def create_posterior(given: AnyPosterior) -> Any:
    """Return the posterior that a configuration describes, or one's own; None is Gaussian."""
    return DiagonalNormalPosterior() if given is None else _created("posterior", given)


def create_objective(given: Any) -> Any:
    """Return the objective that a configuration describes, or one's own."""
    return _created("objective", given)


def _created(name: str, given: Any, **sizes: Any) -> Any:
    if isinstance(given, Config):
        _, configs, components = _TABLES[name]
        kind = str(getattr(given, "kind", None))
        if type(given) is not configs.get(kind):
            raise TypeError(
                f"{name}={type(given).__name__}: expected one of "
                f"{', '.join(config.__name__ for config in configs.values())}; register your own"
            )
        return components[kind](**arguments_of(given), **sizes)
    if not callable(given) or isinstance(given, type):
        raise TypeError(f"{name}={given!r}: expected a configuration, or an object that is called")
    return given
