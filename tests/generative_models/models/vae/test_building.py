"""The two ways to build every model and network of the reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import DecoderConfig, EncoderConfig, VAEConfig
from workshop.generative_models.models import vae as package
from workshop.generative_models.models.vae import decoders, encoders


class TestBothForms:
    """A config first, `config=`, explicit arguments by position, and by keyword: one model."""

    encoder = EncoderConfig(hidden_dims=(8,), latent_dim=2, activation="tanh", input_shape=(6,))
    decoder = DecoderConfig(hidden_dims=(8,), latent_dim=2, activation="tanh", output_shape=(6,))
    x = jnp.linspace(0, 1, 12).reshape(2, 6)

    def same(self, *built):
        first, *others = (m(self.x) for m in built)
        for other in others:
            jax.tree.map(np.testing.assert_array_equal, other, first)

    @pytest.mark.parametrize("name", ["MLPEncoder"])
    def test_encoder(self, name):
        cls = getattr(encoders, name)
        self.same(
            cls(self.encoder, rngs=nnx.Rngs(0)),
            cls(config=self.encoder, rngs=nnx.Rngs(0)),
            cls([8], 2, "tanh", (6,), rngs=nnx.Rngs(0)),
            cls(hidden_dims=[8], latent_dim=2, activation="tanh", input_dim=(6,), rngs=nnx.Rngs(0)),
        )

    def test_decoder(self):
        cls = decoders.MLPDecoder
        z = self.x[:, :2]
        for other in (
            cls(config=self.decoder, rngs=nnx.Rngs(0)),
            cls([8], (6,), 2, "tanh", rngs=nnx.Rngs(0)),
            cls(
                hidden_dims=[8], output_dim=(6,), latent_dim=2, activation="tanh", rngs=nnx.Rngs(0)
            ),
        ):
            np.testing.assert_array_equal(other(z), cls(self.decoder, rngs=nnx.Rngs(0))(z))

    def explicit(self):
        rngs = nnx.Rngs(0)
        return (
            encoders.create_encoder(self.encoder, "dense", rngs=rngs),
            decoders.create_decoder(self.decoder, "dense", rngs=rngs),
            rngs,
        )

    @pytest.mark.sampled
    @pytest.mark.parametrize(
        ("name", "fields"),
        [
            ("VAE", {"kl_weight": 0.5}),
            ("BetaVAE", {"beta_default": 3.0, "beta_warmup_steps": 5}),
            ("BetaVAEWithCapacity", {"beta_default": 3.0, "use_capacity_control": True}),
            ("ConditionalVAE", {"condition_dim": 4, "condition_type": "add"}),
            ("VQVAE", {"num_embeddings": 3, "embedding_dim": 1}),
        ],
    )
    def test_models(self, name, fields):
        cls = getattr(package, name)
        config = cls.config_class(encoder=self.encoder, decoder=self.decoder, **fields)
        encoder, decoder, rngs = self.explicit()
        positional = cls(encoder, decoder, 2, **fields, rngs=rngs)
        encoder, decoder, rngs = self.explicit()
        keyword = cls(encoder=encoder, decoder=decoder, latent_dim=2, rngs=rngs, **fields)
        from_config = cls(config, rngs=nnx.Rngs(0))
        self.same(from_config, cls(config=config, rngs=nnx.Rngs(0)), positional, keyword)
        assert from_config.config == config
        assert positional.config is None
        for field, value in fields.items():
            assert getattr(from_config, field) == getattr(positional, field) == value

    def test_explicit_arguments_beside_a_config_win(self):
        config = VAEConfig(encoder=self.encoder, decoder=self.decoder)
        model = package.VAE(config, rngs=nnx.Rngs(0), precision=jax.lax.Precision.HIGHEST)
        assert model.precision == jax.lax.Precision.HIGHEST

    def test_a_config_of_another_class_is_refused(self):
        config = VAEConfig(encoder=self.encoder, decoder=self.decoder)
        with pytest.raises(ValueError, match=r"VQVAE\(config=VAEConfig\): expected a VQVAEConfig"):
            package.VQVAE(config, rngs=nnx.Rngs(0))

    def test_a_config_needs_rngs(self):
        config = VAEConfig(encoder=self.encoder, decoder=self.decoder)
        with pytest.raises(ValueError, match="pass rngs for the initial weights"):
            package.VAE(config)
        with pytest.raises(ValueError, match=r"MLPDecoder\(rngs=None\)"):
            decoders.MLPDecoder([8], (6,), 2)

    @pytest.mark.parametrize("name", ["VAE", "BetaVAE", "ConditionalVAE", "VQVAE"])
    def test_unknown_arguments_are_refused(self, name):
        encoder, decoder, rngs = self.explicit()
        with pytest.raises(TypeError, match="kl_wieght"):
            getattr(package, name)(encoder, decoder, 2, rngs=rngs, kl_wieght=2.0)
        vae = package.VAE(encoder, decoder, 2, rngs=rngs)
        with pytest.raises(TypeError, match="temprature"):
            vae.sample(2, temprature=0.5)
        with pytest.raises(TypeError, match="'y'"):
            vae.encode(self.x, y=1)
