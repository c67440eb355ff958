import inspect
import json
import subprocess
import sys
from math import prod
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from workshop.generative_models.core import configuration
from workshop.generative_models.core.configuration import (
    MODEL_CONFIGS,
    BetaVAEConfig,
    BetaVAEWithCapacityConfig,
    ConditionalVAEConfig,
    Config,
    DecoderConfig,
    EncoderConfig,
    ModelConfiguration,
    VAEConfig,
    VQVAEConfig,
)

CONFIGS = [
    kind
    for _, kind in inspect.getmembers(configuration, inspect.isclass)
    if issubclass(kind, Config) and kind.__module__ == configuration.__name__
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
        "activation": names(configuration.Activation),
        "dtype": names(configuration.DType),
        "precision": st.none() | names(configuration.PrecisionName),
        **{field: st.just(value) for field, value in fixed.items()},
    }


@st.composite
def models(draw, name):
    kind, network = MODEL_CONFIGS[name], draw(names(configuration.NetworkType))
    images = network != "dense" or draw(st.booleans())
    count = 3 if images else 1
    event = tuple(draw(st.lists(sizes, min_size=count, max_size=count)))
    likelihood = draw(names(configuration.LikelihoodName))
    latent = draw(sizes) * (code := draw(st.integers(1, 50)))
    mean = network != "dense" and kind is not VQVAEConfig
    pooling = draw(st.sampled_from(["flatten", "mean"] if mean else ["flatten"]))
    squashed = likelihood in ("bce", "bernoulli", "continuous_bernoulli")
    ends = ("sigmoid",) if squashed else get_args(configuration.OutputActivation)
    shape = draw(st.sampled_from([None, event]))
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
        "scale": scales if likelihood in ("gaussian", "laplace") else st.just(1.0),
        "free_bits": st.just(0.0) if kind is VQVAEConfig else weights,
    }
    own = {
        "kl_weight": weights,
        "likelihood": st.just(likelihood),
        "reconstruction_loss_type": st.just(likelihood),
        "beta_default": weights,
        "beta_warmup_steps": st.integers(0, 10**9),
        "use_capacity_control": st.booleans(),
        "capacity_max": weights,
        "capacity_num_iter": sizes,
        "gamma": weights,
        "condition_dim": sizes,
        "condition_type": names(configuration.ConditionType),
        "embed_dim": st.none() | sizes,
        "num_embeddings": sizes,
        "embedding_dim": st.just(code),
        "commitment_cost": weights,
    }
    fields |= {field: own[field] for field in kind.model_fields if field not in fields}
    return draw(st.builds(kind, **fields))


flat = st.builds(
    ModelConfiguration,
    **networks(),
    input_shape=st.lists(sizes, min_size=1, max_size=3),
    output_shape=st.none() | st.lists(sizes, min_size=1, max_size=3),
    decoder_hidden_dims=st.none() | st.lists(sizes, min_size=1, max_size=3),
    pooling=st.sampled_from(["flatten", "mean"]),
    output_activation=names(configuration.OutputActivation),
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


BAD_VALUES = [
    (EncoderConfig, "hidden_dims", [(), (0,), (8, -1), (2.5,), 8, None]),
    (EncoderConfig, "latent_dim", [0, -3, 2.5, None, "many"]),
    (EncoderConfig, "activation", ["rellu", None, 3]),
    (EncoderConfig, "input_shape", [(), (0,), 28]),
    (EncoderConfig, "pooling", ["max"]),
    (EncoderConfig, "dtype", ["float8", None]),
    (EncoderConfig, "precision", ["low"]),
    (DecoderConfig, "output_shape", [(), (0, 3), None]),
    (DecoderConfig, "output_activation", ["relu"]),
    (VAEConfig, "encoder_type", ["mlp"]),
    (VAEConfig, "scale", [0.0, -1.0, float("nan"), float("inf"), "best"]),
    (VAEConfig, "free_bits", [-0.1, float("nan"), float("inf")]),
    (VAEConfig, "kl_weight", [-1.0, float("nan"), float("inf")]),
    (VAEConfig, "likelihood", ["l2", None]),
    (BetaVAEConfig, "beta_default", [-1.0]),
    (BetaVAEConfig, "beta_warmup_steps", [-1, 0.5]),
    (BetaVAEConfig, "reconstruction_loss_type", ["l1"]),
    (BetaVAEWithCapacityConfig, "capacity_max", [-1.0]),
    (BetaVAEWithCapacityConfig, "capacity_num_iter", [0]),
    (BetaVAEWithCapacityConfig, "gamma", [-1.0]),
    (ConditionalVAEConfig, "condition_dim", [0]),
    (ConditionalVAEConfig, "condition_type", ["multiply"]),
    (ConditionalVAEConfig, "embed_dim", [0]),
    (VQVAEConfig, "num_embeddings", [0]),
    (VQVAEConfig, "embedding_dim", [0]),
    (VQVAEConfig, "commitment_cost", [-0.1]),
]


@pytest.mark.parametrize(("kind", "field", "values"), BAD_VALUES)
def test_bad_values_are_refused_by_name(kind, field, values):
    example = next(config for config in EXAMPLES if type(config) is kind)
    for value in values:
        with pytest.raises(ValidationError, match=rf"{kind.__name__}\n{field}"):
            kind(**(dict(example) | {field: value}))


def replaced(config, **fields):
    return type(config)(**(dict(config) | fields))


FLAT = {"encoder": replaced(ENCODER, input_shape=(24,)),
        "decoder": replaced(DECODER, output_shape=(24,))}  # fmt: skip
CROSS_CHECKS = [
    (VAEConfig, {"decoder": replaced(DECODER, latent_dim=5)},
     "encoder.latent_dim=4 and decoder.latent_dim=5 must agree"),
    (VAEConfig, {"decoder": replaced(DECODER, output_shape=(25,))},
     r"encoder.input_shape=\(4, 6, 1\) and decoder.output_shape=\(25,\) must hold the same number"),
    (VAEConfig, {**FLAT, "encoder_type": "cnn"},
     r"encoder.input_shape=\(24,\): encoder_type='cnn' expects \(height, width, channels\)"),
    (VAEConfig, {"decoder": FLAT["decoder"], "encoder_type": "resnet"},
     r"decoder.output_shape=\(24,\): encoder_type='resnet' expects \(height, width, channels\)"),
    (VAEConfig, {"decoder": replaced(DECODER, output_shape=(6, 4, 1)), "encoder_type": "cnn"},
     r"=\(4, 6, 1\) and .*=\(6, 4, 1\) must be equal for encoder_type='cnn'"),
    (VAEConfig, {"encoder": replaced(ENCODER, pooling="mean")},
     "encoder.pooling='mean' needs encoder_type 'cnn' or 'resnet'"),
    (VAEConfig, {"scale": 2.0}, "scale=2.0 has no meaning for the likelihood 'mse'"),
    (VAEConfig, {"likelihood": "bce", "scale": "learned"},
     "scale='learned' has no meaning for the likelihood 'bce'"),
    (BetaVAEConfig, {"reconstruction_loss_type": "continuous_bernoulli", "scale": "optimal"},
     "scale='optimal' has no meaning for the likelihood 'continuous_bernoulli'"),
    (VAEConfig, {"likelihood": "bce", "decoder": replaced(DECODER, output_activation="tanh")},
     "decoder.output_activation='tanh': the likelihood 'bce' reads logits, so it must stay"),
    (VQVAEConfig, {"free_bits": 1.0, "embedding_dim": 2}, "free_bits has no meaning for a VQ-VAE"),
    (VQVAEConfig, {"embedding_dim": 3},
     "encoder.latent_dim=4 must be a multiple of embedding_dim=3: dense latents are split"),
    (VQVAEConfig, {"encoder": replaced(ENCODER, pooling="mean"), "encoder_type": "cnn"},
     "encoder.pooling='mean' has no meaning for a VQ-VAE"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "message"), CROSS_CHECKS)
def test_parts_that_do_not_fit_are_refused_with_their_reason(kind, fields, message):
    with pytest.raises(ValidationError, match=message):
        kind(**(PARTS | fields))


def test_parts_that_do_fit_are_not_refused():
    dense = VAEConfig(encoder=ENCODER, decoder=FLAT["decoder"])  # flat and image of the same values
    assert prod(dense.encoder.input_shape) == prod(dense.decoder.output_shape)
    unknown = replaced(ENCODER, input_shape=None)
    assert VAEConfig(encoder=unknown, decoder=DECODER, encoder_type="cnn").encoder is unknown
    assert VQVAEConfig(**PARTS, encoder_type="cnn", embedding_dim=3).embedding_dim == 3  # a map


def test_the_configurations_need_no_jax():
    code = (
        "import sys, workshop.generative_models.core.configuration\n"
        "print([m for m in ('jax', 'flax', 'optax', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
