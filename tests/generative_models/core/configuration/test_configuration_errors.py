from math import prod

import pytest
from pydantic import ValidationError

from workshop.generative_models.core.configuration import (
    BetaVAEConfig,
    BetaVAEWithCapacityConfig,
    ConditionalVAEConfig,
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
    VQVAEConfig,
)

ENCODER = EncoderConfig(hidden_dims=(8,), latent_dim=4, input_shape=(4, 6, 1))
DECODER = DecoderConfig(hidden_dims=(8,), latent_dim=4, output_shape=(4, 6, 1))
PARTS = {"encoder": ENCODER, "decoder": DECODER}


def replaced(config, **fields):
    return type(config)(**(dict(config) | fields))


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
    (VAEConfig, "levels", [1, 0, -4, 65537, 2.5, True, None, "many"]),
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
    example = {EncoderConfig: dict(ENCODER), DecoderConfig: dict(DECODER)}.get(kind, PARTS)
    codes = {"embedding_dim": 2} if kind is VQVAEConfig else {}
    for value in values:
        with pytest.raises(ValidationError, match=rf"{kind.__name__}\n{field}"):
            kind(**(example | codes | {field: value}))


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
    (VAEConfig, {"likelihood": "categorical", "scale": "learned"},
     "scale='learned' has no meaning for the likelihood 'categorical'"),
    (VAEConfig, {"likelihood": "discretized_logistic", "scale": "optimal"},
     "scale='optimal' has no closed form for the likelihood 'discretized_logistic': use 'learned'"),
    (VAEConfig, {"levels": 16}, "levels=16 has no meaning for the likelihood 'mse'"),
    (BetaVAEConfig, {"reconstruction_loss_type": "bce", "levels": 2},
     "levels=2 has no meaning for the likelihood 'bce'"),
    (VAEConfig, {"likelihood": "categorical",
                 "decoder": replaced(DECODER, output_activation="identity")},
     "'identity': the likelihood 'categorical' reads logits, so it must stay 'sigmoid'"),
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
