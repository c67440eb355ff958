"""Every field of every configuration is read: changing it changes what a model computes."""

import inspect
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import (
    MODEL_CONFIGS,
    DecoderConfig,
    EncoderConfig,
    MixtureConfig,
    ModelConfiguration,
    PointMassConfig,
    ReconstructionConfig,
    VQConfig,
)
from workshop.generative_models.models.vae import (
    MODELS,
    VAE,
    create_decoder,
    create_decoder_unified,
    create_encoder,
    create_encoder_unified,
)
from workshop.generative_models.models.vae.components import Options

NOTES = {"name", "description"}  # for people; no model reads them
ENCODER = {"hidden_dims": (4, 6), "latent_dim": 4, "input_shape": (4, 6, 1)}
DECODER = {"hidden_dims": (6, 4), "latent_dim": 4, "output_shape": (4, 6, 1)}
ENCODER_CHANGES = {
    "hidden_dims": (6, 4),
    "latent_dim": 2,
    "activation": "tanh",
    "dtype": "bfloat16",
    "precision": "highest",
    "input_shape": (6, 4, 1),
    "pooling": "mean",
}
DECODER_CHANGES = {
    "hidden_dims": (4, 6),
    "latent_dim": 2,
    "activation": "tanh",
    "dtype": "bfloat16",
    "precision": "highest",
    "output_shape": (6, 4, 1),
    "output_activation": "identity",
}


def abstract(make):
    """A module without its numbers: nothing is compiled, it can be traced."""
    return nnx.eval_shape(lambda: make(nnx.Rngs(0)))


def program(make, *arguments):
    """What a module computes, as text: every operation, its types, its constants."""
    graph, state = nnx.split(abstract(make))
    return str(jax.make_jaxpr(lambda s, *a: nnx.merge(graph, s)(*a))(state, *arguments))


def encoder_program(make, fields):
    return program(make, jnp.ones((2, *(fields["input_shape"] or (4, 6, 1)))))


def decoder_program(make, fields):
    class Mean(nnx.Module):  # what turns the output into a mean is the decoder's to say
        def __init__(self, decoder):
            self.decoder = decoder

        def __call__(self, z):
            return self.decoder.output_activation(self.decoder(z))

    return program(lambda rngs: Mean(make(rngs)), jnp.ones((2, fields["latent_dim"])))


@cache
def program_of(kind, items):
    """What the networks of a configuration compute."""
    fields = dict(items)
    config = kind(**fields)
    if kind is ModelConfiguration:
        encoder = partial(create_encoder_unified, encoder_type="cnn", config=config)
        decoder = partial(create_decoder_unified, decoder_type="cnn", config=config)
    else:
        encoder = partial(create_encoder, config, "cnn")
        decoder = partial(create_decoder, config, "cnn")
    text = ""
    if kind is not DecoderConfig:
        text += encoder_program(lambda rngs: encoder(rngs=rngs), fields)
    if kind is not EncoderConfig:
        text += decoder_program(lambda rngs: decoder(rngs=rngs), fields)
    return text


NETWORKS = {
    EncoderConfig: (ENCODER, ENCODER_CHANGES),
    DecoderConfig: (DECODER, DECODER_CHANGES),
    ModelConfiguration: (
        ENCODER,
        ENCODER_CHANGES | DECODER_CHANGES | {"hidden_dims": (4, 3), "decoder_hidden_dims": (4, 4)},
    ),
}


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, field) for kind, (_, changes) in NETWORKS.items() for field in changes],
)
def test_every_field_of_a_network_changes_what_it_computes(kind, field):
    base, changes = NETWORKS[kind]
    before = program_of(kind, tuple(base.items()))
    assert before != program_of(kind, tuple((base | {field: changes[field]}).items()))


def test_equal_configurations_compute_the_same():
    for kind, (base, _) in NETWORKS.items():
        again = program_of.__wrapped__(kind, tuple(base.items()))
        assert again == program_of(kind, tuple(base.items()))


def test_no_field_of_the_networks_is_left_out():
    for config, (_, changes) in NETWORKS.items():
        assert set(changes) == set(config.model_fields) - NOTES


# Models: the losses of fixed data, weights and noise, half way through every schedule.

BASE = {
    "encoder": EncoderConfig(hidden_dims=(4,), latent_dim=4, input_shape=(4, 4, 1)),
    "decoder": DecoderConfig(hidden_dims=(4,), latent_dim=4, output_shape=(4, 4, 1)),
}
UNBOUNDED = BASE["decoder"].model_copy(update={"output_activation": "identity"})
RISING = {"kl_schedule": "linear", "kl_schedule_steps": 10}
CONSTANT_KL = {"free_bits", "kl_weight", "kl_schedule", "kl_schedule_steps"}
SHARED = {
    "encoder": ({}, BASE["encoder"].model_copy(update={"activation": "tanh"})),
    "decoder": ({}, BASE["decoder"].model_copy(update={"activation": "tanh"})),
    "encoder_type": ({}, "cnn"),
    "scale": ({"likelihood": "gaussian"}, 0.5),
    "levels": ({"likelihood": "discretized_logistic"}, 18),
    "standardize": ({"likelihood": "gaussian", "decoder": UNBOUNDED}, True),
    "free_bits": ({}, 50.0),
    "kl_schedule": (RISING, "cyclical"),
    "kl_schedule_steps": (RISING, 20),
    "likelihood": ({}, "bce"),
    "kl_weight": ({}, 3.0),
    "prior": ({}, MixtureConfig(components=3)),
    "posterior": ({"objective": ReconstructionConfig()}, PointMassConfig()),
    "objective": ({}, ReconstructionConfig()),
}
COMPONENTS = {"prior", "posterior", "objective"}
NOT_OF_BETA = {"likelihood", "kl_weight", "posterior", "objective"}
BETA = {field: change for field, change in SHARED.items() if field not in NOT_OF_BETA} | {
    "scale": ({"reconstruction_loss_type": "laplace"}, "optimal"),
    "levels": ({"reconstruction_loss_type": "categorical"}, 18),
    "standardize": ({"reconstruction_loss_type": "laplace", "decoder": UNBOUNDED}, True),
    "beta_default": ({}, 3.0),
    "beta_warmup_steps": ({}, 10),
    "reconstruction_loss_type": ({}, "bce"),
}
CONTROLLED = {"use_capacity_control": True}
CODES = {"num_embeddings": 5, "embedding_dim": 2}
CHANGES = {
    "vae": SHARED,
    "beta-vae": BETA,
    "beta-vae-capacity": BETA
    | {
        "use_capacity_control": ({}, True),
        "capacity_max": (CONTROLLED, 300.0),
        "capacity_num_iter": (CONTROLLED, 10),
        "gamma": (CONTROLLED, 3.0),
    },
    "conditional-vae": SHARED
    | {"condition_dim": ({}, 4), "condition_type": ({}, "add"), "embed_dim": ({}, 3)},
    "vq-vae": {
        field: (CODES | base, value)
        for field, (base, value) in SHARED.items()
        if field not in CONSTANT_KL | COMPONENTS
    }
    | {
        "scale": (CODES | {"likelihood": "gaussian"}, 0.5),
        "levels": (CODES | {"likelihood": "categorical"}, 18),
        "num_embeddings": (CODES, 9),
        "embedding_dim": (CODES, 4),
        "commitment_cost": (CODES, 2.0),
        "quantizer": (CODES, VQConfig(distance="cosine")),
    },
}  # fmt: skip


def filled(leaf):
    """Numbers for an abstract array: keys and counters at their start, weights by NumPy."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key(0)
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return jnp.zeros(leaf.shape, leaf.dtype)
    rng = np.random.default_rng(leaf.shape)
    return jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype)


@cache
def losses(name, items):
    config = MODEL_CONFIGS[name](**(BASE | dict(items)))
    graph, state = nnx.split(abstract(lambda rngs: MODELS[name](config, rngs=rngs)))
    # On the levels of both 18 and 256 of them: 255 = 15 * 17.
    x = np.random.default_rng(0).integers(0, 18, (2, 4, 4, 1)).astype(np.float32) / 17
    batch = {"x": x, "y": np.array([0, 1])} if name == "conditional-vae" else {"x": x}

    # Weights by NumPy, and no jit around it all, to spend no time on compiling.
    model = nnx.merge(graph, jax.tree.map(filled, state))
    if model.standardize:
        units = model.likelihood.units
        units.spread[...] = jnp.abs(units.spread[...])
    result = model.loss_fn(None, batch, jax.random.key(0), step=5)
    return [float(result.get(key, 0.0)) for key in ("total_loss", "kl_loss")]


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, fields in CHANGES.items() for field in fields]
)
def test_every_field_of_a_model_changes_its_losses(name, field):
    base, value = CHANGES[name][field]
    before = losses(name, tuple(base.items()))
    after = losses(name, tuple((base | {field: value}).items()))
    assert np.isfinite(before + after).all()
    assert before != pytest.approx(after, rel=1e-5)


@pytest.mark.parametrize("name", MODEL_CONFIGS)
def test_no_field_of_a_model_is_left_out_or_without_its_argument(name):
    kind = MODEL_CONFIGS[name]
    # A VQ-VAE's KL is constant: its config refuses what would change its weight. A β-VAE has no
    # objective that could do without the density which the other posterior lacks.
    refused = {"posterior"} if name.startswith("beta") else set()
    refused = CONSTANT_KL - {"kl_weight"} if name == "vq-vae" else refused
    assert set(CHANGES[name]) == set(kind.model_fields) - NOTES - refused
    assert MODELS[name].config_class is kind
    taken = set(inspect.signature(MODELS[name].__init__).parameters) | set(Options.__annotations__)
    assert set(kind.model_fields) - NOTES - {"encoder_type"} <= taken | CONSTANT_KL | COMPONENTS
    assert set(Options.__annotations__) <= set(inspect.signature(VAE.__init__).parameters)
