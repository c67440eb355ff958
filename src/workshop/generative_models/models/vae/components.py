"""The parts of a model's constructor: its options, its components, and whether they fit."""

import inspect
from typing import Any, TypedDict

from flax import nnx

from workshop.generative_models.core.building import arguments_of
from workshop.generative_models.core.configuration import Config, Scale
from workshop.generative_models.core.configuration.objectives import (
    OBJECTIVE_CONFIGS,
    ObjectiveConfig,
)
from workshop.generative_models.core.configuration.posteriors import (
    POSTERIOR_CONFIGS,
    PosteriorConfig,
)
from workshop.generative_models.core.configuration.priors import PRIOR_CONFIGS, LatentPriorConfig
from workshop.generative_models.core.likelihood_base import identity
from workshop.generative_models.core.likelihoods import Likelihood, create_likelihood
from workshop.generative_models.core.typing import DTypeLike, Precision
from workshop.generative_models.models.vae.objectives import ELBO, OBJECTIVES, Objective
from workshop.generative_models.models.vae.posteriors import POSTERIORS, Posterior
from workshop.generative_models.models.vae.priors import PRIORS, Prior

AnyPrior = Config | Prior | Any | None
AnyPosterior = Config | Posterior | Any | None
AnyObjective = Config | Objective | Any | None

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


class Options(TypedDict, total=False):
    """Keyword arguments that variants pass on to `VAE`."""

    kl_weight: float
    likelihood: str | Likelihood
    objective: AnyObjective
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


def created(name: str, given: Any, **sizes: Any) -> Any:
    """Return the prior, posterior or objective that a configuration describes, or one's own.

    Of the model's `sizes` (and `rngs`) a component gets those that its constructor names.
    """
    if isinstance(given, Config):
        _, configs, components = _TABLES[name]
        kind = str(getattr(given, "kind", None))
        if type(given) is not configs.get(kind):
            raise TypeError(
                f"{name}={type(given).__name__}: expected one of "
                f"{', '.join(config.__name__ for config in configs.values())}; register your own"
            )
        named = inspect.signature(components[kind].__init__).parameters
        taken = {name: size for name, size in sizes.items() if name in named}
        return components[kind](**arguments_of(given), **taken)
    if not callable(given) or isinstance(given, type):
        raise TypeError(f"{name}={given!r}: expected a configuration, or an object that is called")
    return given


def kind_of(name: str, component: Any) -> str:
    """Return the `kind` of a prior, posterior or objective, or the class of one without."""
    _, _, components = _TABLES[name]
    kinds = {cls: kind for kind, cls in components.items()}
    return kinds.get(type(component), type(component).__name__)


def check_components(posterior: Any, prior: Any, objective: Any) -> None:
    """Raise a ValueError that names two components that do not fit each other."""
    q, p, loss = (type(each).__name__ for each in (posterior, prior, objective))
    if getattr(objective, "needs_density", True) and not getattr(posterior, "has_density", True):
        raise ValueError(
            f"posterior {q} has no density, and objective {loss} needs one: choose an objective of "
            "kind 'reconstruction' (--objective.kind reconstruction)"
        )
    if getattr(objective, "needs_log_prob", False) and not getattr(posterior, "has_log_prob", True):
        raise ValueError(
            f"posterior {q} has the density of its own samples alone, and objective {loss} needs "
            "that of any z: choose an objective of kind 'iwae' (--objective.kind iwae)"
        )
    mixes = getattr(posterior, "has_density", True) and getattr(posterior, "has_log_prob", True)
    mixes = mixes and not getattr(posterior, "has_weights", False)
    if getattr(prior, "needs_log_prob", False) and not mixes:
        raise ValueError(
            f"prior {p} is a mixture of q(z|u), and posterior {q} cannot be mixed: it has no "
            "density at any z, or weights of its own; choose a posterior of kind 'diagonal_normal'"
        )
    if getattr(objective, "weighs_latents", False) and getattr(posterior, "reads_joint", False):
        raise ValueError(
            f"posterior {q} moves latents by the gradient of the decoder, and objective {loss} "
            "tells the gradients of encoder and decoder apart: choose an objective of kind 'iwae' "
            "(--objective.kind iwae)"
        )
    spaces = [getattr(each, "support", "real") for each in (posterior, prior)]
    if spaces[0] != spaces[1]:
        raise ValueError(
            f"posterior {q} has latents of support {spaces[0]!r}, and prior {p} of support "
            f"{spaces[1]!r}: choose two of the same"
        )
    supports = getattr(objective, "supports", spaces)
    if spaces[0] not in supports:
        raise ValueError(
            f"posterior {q} has latents of support {spaces[0]!r}, and objective {loss} is defined "
            f"for {' and '.join(map(repr, supports))} only"
        )
    if getattr(objective, "needs_factors", False) and not getattr(posterior, "factorises", False):
        raise ValueError(
            f"posterior {q} does not factorise over latents, and objective {loss} reads each of "
            "them on its own: choose a posterior of kind 'diagonal_normal'"
        )
    free_bits = getattr(objective, "free_bits", 0.0)
    if free_bits and not all(getattr(each, "factorises", False) for each in (posterior, prior)):
        raise ValueError(
            f"free_bits={free_bits} are nats of each latent, and the KL of posterior {q} and prior "
            f"{p} is not a sum over latents: leave free_bits out, or choose a posterior of kind "
            "'diagonal_normal' and a prior of kind 'standard_normal'"
        )
    wanted = getattr(posterior, "needs_prior", None)
    if wanted is not None and not isinstance(prior, wanted):
        raise ValueError(
            f"posterior {q} is made for a {wanted.__name__}, and the prior is a {p}: leave out one "
            "of the two"
        )


def check_classes(model: Any, prior: Any) -> None:
    """Raise a ValueError for a prior, or its configuration, of other classes than the model's."""
    described = isinstance(prior, Config)
    kind = PRIORS.get(str(getattr(prior, "kind", None))) if described else type(prior)
    if not getattr(kind, "needs_classes", False):
        return
    name, prior_name = type(model).__name__, getattr(kind, "__name__", "")
    if model.num_classes is None:
        raise ValueError(
            f"prior {prior_name} reads a class, and the model, a {name}, reads none: use a "
            "ConditionalVAE whose networks read classes, or another prior"
        )
    own = getattr(prior, "num_classes", model.num_classes)
    if own != model.num_classes:
        raise ValueError(
            f"prior {prior_name} has num_classes={own}, and the model, a {name}, has "
            f"{model.num_classes}: they must agree"
        )


def check_latent_dims(encoder: nnx.Module, decoder: nnx.Module, latent_dim: int) -> None:
    """Raise a ValueError for networks of another latent size; maps have channels instead."""
    for name, network in (("encoder", encoder), ("decoder", decoder)):
        size = getattr(network, "latent_dim", None) or latent_dim
        if size != latent_dim and not getattr(network, "spatial", False):
            raise ValueError(f"{name}.latent_dim={size} and latent_dim={latent_dim} must agree")


def likelihood_for(
    likelihood: str | Likelihood, encoder: nnx.Module, decoder: nnx.Module, **options: Any
) -> Likelihood:
    """Return the likelihood by its name, or one of your own, checked against the decoder."""
    if isinstance(likelihood, Likelihood):
        kind = f"a {type(likelihood).__name__} of your own"
        for name, default in {"scale": 1.0, "levels": 256, "standardize": False}.items():
            if options[name] != default:
                raise ValueError(f"{name}={options[name]!r} beside {kind}, which has its own")
        activation = getattr(decoder, "output_activation", None)
        if activation is not None and getattr(likelihood, "link", activation) is not activation:
            raise ValueError(
                f"{kind} has another link than the decoder's output_activation: give it that "
                f"one, or build the decoder with output_activation='identity'"
            )
        return likelihood
    link = getattr(decoder, "output_activation", identity)
    if options["standardize"] and link is not identity:
        raise ValueError(
            "standardize=True with an output_activation: standardised data has no bounds, "
            "so build the decoder with output_activation='identity'"
        )
    event = getattr(decoder, "output_shape", getattr(encoder, "input_dim", None))
    return create_likelihood(likelihood, link=link, event_shape=event, **options)


def refuse_elbo_options(given: ELBO) -> None:
    """Raise a ValueError for options of the ELBO beside another objective."""
    arguments = {"weight": "kl_weight", "free_bits": "free_bits", "schedule": "kl_schedule"}
    for name, argument in arguments.items():
        if getattr(given, name) != getattr(ELBO(), name):
            raise ValueError(f"{argument}={getattr(given, name)!r} beside an objective of your own")
