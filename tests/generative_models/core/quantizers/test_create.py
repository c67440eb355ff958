"""Every field of a quantizer's configuration is read: changing it changes what is computed."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import (
    QUANTIZER_CONFIGS,
    FSQConfig,
    SimVQConfig,
    VQConfig,
)
from workshop.generative_models.core.quantizers import create_quantizer

NOTES = {"name", "description", "kind"}
PENALISED = {"diversity_cost": 0.1, "entropy_cost": 0.1}
AVERAGED = {"learning": "ema", "kmeans": True}
# What stands beside the field, and its other value.
BITS = {
    "groups": ({}, 2), "scale": ({}, 2.0), "entropy_cost": ({}, 0.3), "diversity": ({}, 2.0),
    "temperature": ({}, 0.5),
}  # fmt: skip
CHANGES = {
    "vq": {
        "learning": ({}, "ema"), "decay": (AVERAGED, 0.5), "epsilon": (AVERAGED, 0.1),
        "kmeans": ({}, True), "kmeans_iterations": (AVERAGED, 3), "revive_below": ({}, 0.1),
        "code_dim": ({}, 3), "heads": ({}, 2), "shared": ({"heads": 2}, False),
        "distance": ({}, "cosine"), "gradient": ({}, "rotation"), "temperature": ({}, 0.5),
        "orthogonal_cost": ({}, 0.1), "diversity_cost": ({}, 0.1), "entropy_cost": ({}, 0.1),
        "diversity_temperature": (PENALISED, 0.5),
    },
    "simvq": {"gradient": ({}, "straight_through")},
    "fsq": {"levels": ({}, (5, 4, 3))},
    "lfq": BITS,
    "bsq": BITS,
    "residual": {
        "stages": ({}, 3), "stage": ({}, SimVQConfig()), "shared": ({}, True),
        "dropout": ({}, True), "ratio": ({}, 2.0), "gradient": ({}, "rotation"),
    },
}  # fmt: skip


def program(config, dim=4, codes=8, cost=0.25):
    """What a training step does with a quantizer, as text."""
    graph, state = nnx.split(
        nnx.eval_shape(lambda: create_quantizer(config, dim, codes, cost, rngs=nnx.Rngs(0)))
    )

    def step(state, z_e):
        def forward(z_e):
            z_q, _, terms = nnx.merge(graph, state).quantize(z_e, key=jax.random.key(0))
            return z_q.sum() + terms["loss"], terms

        gradient, terms = jax.grad(forward, has_aux=True)(z_e)
        quantizer = nnx.merge(graph, state, copy=True)
        quantizer.update(terms["statistics"])
        return gradient, terms, nnx.state(quantizer)

    return str(jax.make_jaxpr(step)(state, jnp.ones((2, 3, dim))))


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind, fields in CHANGES.items() for field in fields]
)
def test_every_field_changes_what_is_computed(kind, field):
    base, value = CHANGES[kind][field]
    before = program(QUANTIZER_CONFIGS[kind](**base))
    assert before != program(QUANTIZER_CONFIGS[kind](**{**base, field: value}))


def test_no_field_is_left_out():
    for kind, config in QUANTIZER_CONFIGS.items():
        assert set(CHANGES[kind]) == set(config.model_fields) - NOTES


@pytest.mark.slow
def test_the_sizes_are_the_models():
    for config in (None, *(kind() for kind in QUANTIZER_CONFIGS.values())):
        before = program(config)
        assert before != program(config, dim=6)
        assert before != program(config, codes=256)
        if not isinstance(config, FSQConfig):  # nothing commits to a code
            assert before != program(config, cost=0.5)


def test_no_configuration_is_the_codebook_that_the_loss_trains():
    assert program(None) == program(VQConfig())
