import inspect

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from workshop.generative_models.core.building import (
    accepts_config,
    arguments_of,
    restated,
    undescribed,
)
from workshop.generative_models.core.configuration import (
    Config,
    DecoderConfig,
    EncoderConfig,
    MixtureConfig,
    VAEConfig,
)


class ToyConfig(Config):
    """A toy."""

    size: int
    """A size."""
    factor: float = 2.0
    """A factor."""


class WiderConfig(ToyConfig):
    """A toy of a kind."""


class Toy(nnx.Module):
    """A module with one parameter."""

    config_class = ToyConfig

    @accepts_config
    def __init__(self, size, factor=2.0, *, rngs, shift=0.0):
        self.config = None
        self.size, self.factor, self.shift = size, factor, shift
        self.part = nnx.Linear(size, 2, rngs=rngs)


class Named(Toy):
    """One that says itself what its configuration means."""

    @staticmethod
    def explicit_arguments(config, rngs):
        assert rngs is not None
        return {"size": config.size + 1, "factor": config.factor}


def test_a_config_comes_first_or_by_its_name():
    config = ToyConfig(size=4, factor=3.0)
    for built in (Toy(config, rngs=nnx.Rngs(0)), Toy(config=config, rngs=nnx.Rngs(0))):
        assert (built.size, built.factor, built.config) == (4, 3.0, config)


def test_explicit_arguments_are_positional_or_named_and_leave_no_config():
    for built in (
        Toy(4, 3.0, rngs=nnx.Rngs(0)),
        Toy(size=4, factor=3.0, rngs=nnx.Rngs(0), config=None),
    ):
        assert (built.size, built.factor, built.config) == (4, 3.0, None)


def test_arguments_beside_a_config_win_and_the_kept_config_says_so():
    config = ToyConfig(size=4, factor=3.0)
    built = Toy(config, factor=5.0, rngs=nnx.Rngs(0))
    assert (built.size, built.factor) == (4, 5.0)
    assert built.config == ToyConfig(size=4, factor=5.0)
    assert config.factor == 3.0
    unset = Toy(config, factor=None, rngs=nnx.Rngs(0))  # None is not given
    assert (unset.factor, unset.config) == (3.0, config)


def test_a_config_that_could_not_say_what_was_given_is_not_kept():
    assert Toy(ToyConfig(size=4), shift=1.0, rngs=nnx.Rngs(0)).config is None
    built = Toy(ToyConfig(size=4), factor=jnp.ones(2), rngs=nnx.Rngs(0))
    assert built.config is None


def test_a_config_of_a_kind_is_taken_and_another_refused():
    config = WiderConfig(size=2)
    assert Toy(config, rngs=nnx.Rngs(0)).config is config
    other = DecoderConfig(hidden_dims=(3,), latent_dim=2, output_shape=(4,))
    for arguments in ({"config": other}, {}):
        positional = () if arguments else (other,)
        with pytest.raises(ValueError, match=r"Toy\(config=DecoderConfig\): expected a ToyConfig"):
            Toy(*positional, **arguments, rngs=nnx.Rngs(0))


def test_the_constructor_keeps_its_name_and_signature():
    assert list(inspect.signature(Toy.__init__).parameters) == [
        "self", "size", "factor", "rngs", "shift"
    ]  # fmt: skip


def test_unknown_arguments_are_errors_beside_a_config_too():
    for first in (3, ToyConfig(size=3)):
        with pytest.raises(TypeError, match="colour"):
            Toy(first, colour=1, rngs=nnx.Rngs(0))


def test_a_class_may_say_what_a_configuration_means():
    config = ToyConfig(size=4)
    built = Named(config, rngs=nnx.Rngs(0))
    assert (built.size, built.factor, built.config) == (5, 2.0, config)


# What configurations and arguments say of each other.

ENCODER = EncoderConfig(hidden_dims=(8,), latent_dim=4, input_shape=(6,))
DECODER = DecoderConfig(hidden_dims=(8,), latent_dim=4, output_shape=(6,))
MODEL = VAEConfig(encoder=ENCODER, decoder=DECODER)


def test_fields_become_arguments_by_the_names_of_the_constructor():
    assert arguments_of(ENCODER) == {
        "hidden_dims": (8,), "latent_dim": 4, "activation": "relu", "dtype": "float32",
        "precision": None, "input_dim": (6,), "pooling": "flatten",
    }  # fmt: skip
    assert arguments_of(DECODER)["output_dim"] == (6,)
    assert arguments_of(MixtureConfig(name="a", components=3)) == {"components": 3}
    assert "encoder_type" not in arguments_of(MODEL)
    assert arguments_of(MODEL)["encoder"] is ENCODER


def test_arguments_become_fields_under_their_own_names():
    assert restated(ENCODER, {"input_dim": (7,)}) == ENCODER.model_copy(
        update={"input_shape": (7,)}
    )
    assert restated(ENCODER, {"dtype": jnp.bfloat16}).dtype == "bfloat16"
    assert restated(ENCODER, {"input_dim": (0,)}) is None
    assert restated(ENCODER, {"colour": 1}) is None
    assert restated(ENCODER, {}) is ENCODER


def test_numerics_of_a_model_are_those_of_its_networks():
    given = {"dtype": jnp.float16, "precision": jax.lax.Precision.HIGHEST, "kl_weight": 2.0}
    said = restated(MODEL, given)
    for part in (said.encoder, said.decoder):
        assert (part.dtype, part.precision) == ("float16", "highest")
    assert said.kl_weight == 2.0
    assert restated(ToyConfig(size=3), {"dtype": jnp.float16}) is None


def test_a_part_that_a_configuration_does_not_describe_is_named():
    config = ToyConfig(size=3)
    built = Toy(config, rngs=nnx.Rngs(0))
    built.part.kernel[...] += 1  # values are not compared
    assert undescribed(built, config, ("part",)) is None
    built.part = nnx.Linear(3, 2, use_bias=False, rngs=nnx.Rngs(0))
    assert undescribed(built, config, ("part",)) == "part"
