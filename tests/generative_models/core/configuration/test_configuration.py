import inspect
import json
import subprocess
import sys
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from workshop.generative_models.core import configuration
from workshop.generative_models.core.configuration import (
    MODEL_CONFIGS,
    Config,
    DecoderConfig,
    EncoderConfig,
    ModelConfiguration,
    ResidualConfig,
    SimVQConfig,
    VAEConfig,
    VQConfig,
    VQVAEConfig,
)

CONFIGS = [
    kind
    for _, kind in inspect.getmembers(configuration, inspect.isclass)
    if issubclass(kind, Config)
]

ENCODER = EncoderConfig(hidden_dims=(8,), latent_dim=4, input_shape=(4, 6, 1))
DECODER = DecoderConfig(hidden_dims=(8,), latent_dim=4, output_shape=(4, 6, 1))
PARTS = {"encoder": ENCODER, "decoder": DECODER}
EXAMPLES = [
    ENCODER,
    DECODER,
    ModelConfiguration(hidden_dims=(8,), latent_dim=4, input_shape=(24,)),
    *(kind(**PARTS, **({"embedding_dim": 2} if kind is VQVAEConfig else {}))
      for kind in MODEL_CONFIGS.values()),
]  # fmt: skip

# Valid configurations of every kind.

sizes = st.integers(1, 10**6)
positive = st.floats(0, 1e300, exclude_min=True)
weights = st.floats(0, 1e300)
notes = st.none() | st.text(max_size=5)
scales = positive | st.sampled_from(["learned", "optimal"])


def names(annotation):
    return st.sampled_from(get_args(annotation))


def networks(**fixed):
    return {
        "name": notes,
        "description": notes,
        "hidden_dims": st.lists(sizes, min_size=1, max_size=3),
        "latent_dim": sizes,
        "activation": names(configuration.networks.Activation),
        "dtype": names(configuration.networks.DType),
        "precision": st.none() | names(configuration.networks.PrecisionName),
        **{field: st.just(value) for field, value in fixed.items()},
    }


@st.composite
def models(draw, name):
    kind, network = MODEL_CONFIGS[name], draw(names(configuration.networks.NetworkType))
    images = network != "dense" or draw(st.booleans())
    count = 3 if images else 1
    event = tuple(draw(st.lists(sizes, min_size=count, max_size=count)))
    likelihood = draw(names(configuration.LikelihoodName))
    latent = draw(sizes) * (code := draw(st.integers(1, 50)))
    mean = network != "dense" and kind is not VQVAEConfig
    pooling = draw(st.sampled_from(["flatten", "mean"] if mean else ["flatten"]))
    squashed = likelihood in ("bce", "bernoulli", "continuous_bernoulli", "categorical")
    discrete = likelihood in ("discretized_logistic", "categorical")
    logistic = likelihood == "discretized_logistic"
    standardize = likelihood in configuration.likelihoods.STANDARDIZED and draw(st.booleans())
    ends = ("sigmoid",) if squashed else get_args(configuration.networks.OutputActivation)
    ends = ("identity",) if standardize else ends
    shape = draw(st.sampled_from([None, event]))
    constant_kl = name in ("vq-vae", "beta-vae-capacity")
    schedule = draw(
        st.just("constant") if constant_kl else names(configuration.objectives.KLScheduleName)
    )
    fields = {
        "name": notes,
        "description": notes,
        "encoder": st.builds(
            EncoderConfig, **networks(latent_dim=latent, input_shape=shape, pooling=pooling)
        ),
        "decoder": st.builds(
            DecoderConfig,
            output_activation=st.sampled_from(ends),
            **networks(latent_dim=latent, output_shape=event),
        ),
        "encoder_type": st.just(network),
        "scale": (
            scales
            if likelihood in ("gaussian", "laplace")
            else positive | st.just("learned")
            if logistic
            else st.just(1.0)
        ),
        "standardize": st.just(standardize),
        "levels": st.integers(2, 65536) if discrete else st.just(256),
        "free_bits": st.just(0.0) if constant_kl else weights,
        "kl_schedule": st.just(schedule),
        "kl_schedule_steps": st.just(0) if schedule == "constant" else sizes,
    }
    own = {
        "kl_weight": weights,
        "likelihood": st.just(likelihood),
        "reconstruction_loss_type": st.just(likelihood),
        "beta_default": weights,
        "beta_warmup_steps": st.integers(0, 10**9) if schedule == "constant" else st.just(0),
        "use_capacity_control": st.booleans(),
        "capacity_max": weights,
        "capacity_num_iter": sizes,
        "gamma": weights,
        "condition_dim": sizes,
        "condition_type": names(configuration.models.ConditionType),
        "embed_dim": st.none() | sizes,
        "num_embeddings": sizes,
        "embedding_dim": st.just(code),
        "commitment_cost": weights,
        "prior": components(configuration.priors.PRIOR_CONFIGS),
        "posterior": components(configuration.posteriors.POSTERIOR_CONFIGS),
        "objective": components(configuration.objectives.OBJECTIVE_CONFIGS),
        "quantizer": st.sampled_from([None, VQConfig(kmeans=True), SimVQConfig(), STACK]),
    }
    fields |= {field: own[field] for field in kind.model_fields if field not in fields}
    return draw(st.builds(kind, **fields))


def components(table):
    """Nothing, or a component of any kind."""
    return st.none() | st.sampled_from(list(table.values())).map(lambda kind: kind())


STACK = ResidualConfig(stage=VQConfig(learning="ema"), dropout=True)
flat = st.builds(
    ModelConfiguration,
    **networks(),
    input_shape=st.lists(sizes, min_size=1, max_size=3),
    output_shape=st.none() | st.lists(sizes, min_size=1, max_size=3),
    decoder_hidden_dims=st.none() | st.lists(sizes, min_size=1, max_size=3),
    pooling=st.sampled_from(["flatten", "mean"]),
    output_activation=names(configuration.networks.OutputActivation),
)


@given(st.one_of(flat, *map(models, MODEL_CONFIGS)))
def test_json_gives_every_configuration_back(config):
    kind = type(config)
    again = kind.model_validate_json(config.model_dump_json())
    assert again == config
    assert hash(again) == hash(config)
    # So does JSON that some other program wrote from plain values.
    assert kind.model_validate(json.loads(json.dumps(config.model_dump(mode="json")))) == config
    assert kind(**dict(config)) == config


@given(flat)
def test_one_flat_description_makes_both_networks(config):
    encoder, decoder = config.encoder(), config.decoder()
    for field in ("latent_dim", "activation", "dtype", "precision", "name", "description"):
        assert getattr(encoder, field) == getattr(decoder, field) == getattr(config, field)
    assert encoder.hidden_dims == config.hidden_dims
    assert decoder.hidden_dims == (config.decoder_hidden_dims or config.hidden_dims[::-1])
    assert encoder.input_shape == config.input_shape
    assert decoder.output_shape == (config.output_shape or config.input_shape)
    assert encoder.pooling == config.pooling
    assert decoder.output_activation == config.output_activation


# What every configuration refuses.


@pytest.mark.parametrize("config", EXAMPLES, ids=lambda c: type(c).__name__)
def test_configurations_are_frozen_hashable_keyword_only_and_know_their_fields(config):
    kind = type(config)
    for field in kind.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(config, field, getattr(config, field))
    assert {config: 1}[kind(**dict(config))] == 1
    with pytest.raises(TypeError, match="positional"):
        kind(*dict(config).values())
    for unknown in ("hiden_dims", "colour", "model_config"):
        with pytest.raises(ValidationError, match=f"{unknown}\n  Extra inputs are not permitted"):
            kind(**dict(config), **{unknown: 3})
    required = [name for name, field in kind.model_fields.items() if field.is_required()]
    for field in required:
        with pytest.raises(ValidationError, match=f"{field}\n  Field required"):
            kind(**{k: v for k, v in config if k != field})


@pytest.mark.parametrize("kind", CONFIGS, ids=lambda c: c.__name__)
def test_every_field_is_described(kind):
    assert kind.__doc__
    for name, field in kind.model_fields.items():
        assert field.description, name
        assert field.description.endswith(".")


def test_names_and_notes_are_optional_and_kept():
    assert VAEConfig(**PARTS).name is None
    named = VAEConfig(**PARTS, name="a", description="b")
    assert (named.name, named.description) == ("a", "b")
    assert named != VAEConfig(**PARTS)


def test_the_configurations_need_no_jax():
    code = (
        "import sys, workshop.generative_models.core.configuration\n"
        "print([m for m in ('jax', 'flax', 'optax', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
