"""VQVAE: nearest codes, gradients, losses and maps of codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import PriorConfig
from workshop.generative_models.models.vae import VQVAE, MLPDecoder, MLPEncoder
from workshop.generative_models.models.vae.prior import CodePrior

CODES, SIZE, COST = 5, 2, 0.5  # as in conftest.py


@pytest.fixture
def model(make_model):
    model = make_model("vq-vae")
    # Codes as far apart as the encodings are: the initial ones all lie near 0.
    codes = np.random.default_rng(0).normal(size=(CODES, SIZE))
    model.embeddings.embedding[...] = jnp.asarray(codes, jnp.float32)
    return model


@pytest.fixture
def encoding():
    return jnp.asarray(np.random.default_rng(1).normal(size=(6, 4)), jnp.float32)


def codebook(model):
    return np.asarray(model.embeddings.embedding[...], np.float64)


def nearest(model, encoding):
    """Return the indices and codes nearest to the vectors of an encoding, in float64."""
    vectors = np.asarray(encoding, np.float64).reshape(-1, SIZE)
    distance = ((vectors[:, None] - codebook(model)[None]) ** 2).sum(-1)
    indices = distance.argmin(1)
    return indices, codebook(model)[indices].reshape(encoding.shape)


class TestQuantize:
    def test_nearest_codes(self, model, encoding):
        quantized, aux = model.quantize(encoding)
        indices, codes = nearest(model, encoding)
        np.testing.assert_array_equal(aux["encoding_indices"], indices.reshape(6, 2))
        np.testing.assert_array_equal(quantized, codes.astype(np.float32))
        assert len(set(indices)) > 2

    def test_losses(self, model, encoding):
        _, aux = model.quantize(encoding)
        _, codes = nearest(model, encoding)
        distance = ((np.asarray(encoding, np.float64) - codes) ** 2).sum() / 6
        assert float(aux["commitment_loss"]) == pytest.approx(distance, rel=1e-6)
        assert float(aux["codebook_loss"]) == pytest.approx(distance, rel=1e-6)

    def test_perplexity(self, model, encoding):
        _, aux = model.quantize(encoding)
        p = np.bincount(nearest(model, encoding)[0], minlength=CODES) / 12
        expected = np.exp(-sum(q * np.log(q) for q in p if q))
        assert float(aux["perplexity"]) == pytest.approx(expected, rel=1e-6)
        same = jnp.tile(encoding[:1, :2], (6, 2))
        assert float(model.quantize(same)[1]["perplexity"]) == pytest.approx(1.0)

    def test_shapes(self, model):
        for shape, indices in {
            (6, 4): (6, 2),
            (6, 2): (6, 1),
            (4,): (2,),
            (6, 3, 1, 2): (6, 3, 1),
            (6, 3, 1, 4): (6, 3, 1, 2),
        }.items():
            quantized, aux = jax.eval_shape(
                model.quantize, jax.ShapeDtypeStruct(shape, jnp.float32)
            )
            assert quantized.shape == shape
            assert aux["encoding_indices"].shape == indices
        with pytest.raises(ValueError, match=r"encoding has 3 features: .* multiple of embed"):
            model.quantize(jnp.ones((6, 3)))

    def test_the_gradient_is_exactly_the_identity(self, model, encoding):
        cotangent = jnp.asarray(np.random.default_rng(2).normal(size=(6, 4)), jnp.float32)
        _, pull = jax.vjp(lambda e: model.quantize(e)[0], encoding)
        np.testing.assert_array_equal(pull(cotangent)[0], cotangent)

    def test_a_code_is_its_own_nearest(self, model):
        codes = model.embeddings.embedding[...]
        quantized, aux = model.quantize(codes)
        np.testing.assert_array_equal(quantized, codes)
        np.testing.assert_array_equal(aux["encoding_indices"][:, 0], np.arange(CODES))
        assert float(aux["commitment_loss"]) == 0.0

    def test_initial_codes_lie_within_one_over_their_number(self, make_model):
        codes = codebook(make_model("vq-vae"))
        assert (np.abs(codes) <= 1 / CODES).all()
        assert codes.std() > 0.05  # even on [-1/5, 1/5]: 0.115


class TestLoss:
    """L = ‖x - x̂‖² + ‖sg[z_e] - e‖² + β ‖z_e - sg[e]‖²."""

    def test_formula(self, model, images):
        outputs = model(images)
        losses = model.loss_fn(x=images, outputs=outputs)
        _, codes = nearest(model, outputs["z_e"])
        distance = ((np.asarray(outputs["z_e"], np.float64) - codes) ** 2).sum() / 3
        error = np.asarray(images, np.float64) - np.asarray(outputs["reconstructed"], np.float64)
        reconstruction = (error**2).sum() / 3
        assert float(losses["reconstruction_loss"]) == pytest.approx(reconstruction, rel=1e-6)
        assert float(losses["codebook_loss"]) == pytest.approx(distance, rel=1e-5)
        assert float(losses["commitment_loss"]) == pytest.approx(distance, rel=1e-5)
        total = reconstruction + distance + COST * distance
        assert float(losses["total_loss"]) == pytest.approx(total, rel=1e-6)
        # Two codes of five each, against a uniform prior.
        assert float(losses["kl_loss"]) == pytest.approx(2 * np.log(5), rel=1e-6)

    def test_outputs(self, model, images):
        outputs = model(images)
        np.testing.assert_array_equal(outputs["z"], outputs["quantized"])
        assert outputs["z_e"] is outputs["mean"]
        assert (outputs["log_var"] == 0).all()
        quantized, aux = model.quantize(outputs["z_e"])
        np.testing.assert_array_equal(outputs["quantized"], quantized)
        for key, value in aux.items():
            np.testing.assert_array_equal(outputs[key], value)

    def test_both_orders_of_arguments(self, model, images):
        outputs = model(images)
        expected = model.loss_fn(x=images, outputs=outputs)
        for losses in (
            model.loss_fn(images, outputs),  # the page's loss_fn(x, outputs)
            model.loss_fn(images),
            model.loss_fn(nnx.state(model, nnx.Param), images, jax.random.key(0)),
            model.loss_fn(None, images, None, None, outputs),
        ):
            jax.tree.map(np.testing.assert_array_equal, losses, expected)

    def gradients(self, model, images):
        """Return the gradients of the total at z_e, at the decoder's input, and of both losses."""
        encoding, _ = model.encode(images)

        def at_encoding(encoding):
            found = model.infer({"mean": encoding}, {})
            z = found.z[0]
            outputs = {"reconstructed": model.decode(z), "mean": encoding, "z": z, **found.outputs}
            return model.loss_fn(x=images, outputs=outputs)["total_loss"]

        def at_decoder(z):
            return jnp.square(model.decode(z) - images).sum() / 3

        return encoding, jax.grad(at_encoding)(encoding), jax.grad(at_decoder)

    def test_the_encoder_learns_from_reconstruction_and_commitment(self, model, images):
        encoding, found, at_decoder = self.gradients(model, images)
        _, codes = nearest(model, encoding)
        codes = jnp.asarray(codes, jnp.float32)
        expected = at_decoder(codes) + COST * 2 * (encoding - codes) / 3
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)

    def test_the_codebook_learns_from_its_own_loss_only(self, model, images):
        encoding, _ = model.encode(images)
        gradient = jax.grad(lambda p: model.loss_fn(p, images, jax.random.key(0))["loss"])(
            nnx.state(model, nnx.Param)
        )
        indices, codes = nearest(model, encoding)
        expected = np.zeros((CODES, SIZE))
        pull = 2 * (codes - np.asarray(encoding, np.float64)) / 3
        np.add.at(expected, indices, pull.reshape(-1, SIZE))
        found = gradient["quantizer"]["embeddings"]["embedding"][...]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


class TestMaps:
    @pytest.mark.sampled
    @pytest.mark.parametrize("network", ["cnn", "resnet"])
    @pytest.mark.parametrize("event", [(9, 6, 2), (28, 28, 1), (1, 5, 3)])
    def test_convolutions_keep_a_map(self, make_config, network, event):
        config = make_config("vq-vae", network, event=event, hidden_dims=(4, 8), embedding_dim=3)
        height, width, _ = event
        grid = (max(height // 4, 1), max(width // 4, 1))

        def outputs(x):
            model = VQVAE(config, rngs=nnx.Rngs(0))
            assert model.code_shape == grid
            assert model.usage.shape == (grid[0] * grid[1], CODES)
            return model(x)

        found = jax.eval_shape(outputs, jax.ShapeDtypeStruct((2, *event), jnp.float32))
        for key in ("z_e", "quantized", "z", "mean", "log_var"):
            assert found[key].shape == (2, *grid, 3)
        assert found["encoding_indices"].shape == (2, *grid)
        assert found["reconstructed"].shape == (2, *event)

    def test_dense_latents_are_split(self, make_model, images):
        model = make_model("vq-vae", latent_dim=6, embedding_dim=2)
        outputs = model(images)
        assert outputs["z_e"].shape == (3, 6)
        assert outputs["encoding_indices"].shape == (3, 3)
        assert model.code_shape == (3,)

    def test_the_networks_that_were_given_stay_as_they_are(self, make_model, images):
        vae = make_model("vae", "cnn")
        before = vae.encode(images)
        VQVAE(vae.encoder, vae.decoder, 4, CODES, 3, rngs=nnx.Rngs(0))
        jax.tree.map(np.testing.assert_array_equal, vae.encode(images), before)

    def test_sizes_that_do_not_fit(self, make_config):
        with pytest.raises(ValueError, match="must be a multiple of embedding_dim=3"):
            make_config("vq-vae", latent_dim=4, embedding_dim=3)
        rngs = nnx.Rngs(0)
        networks = MLPEncoder([4], 4, input_dim=6, rngs=rngs), MLPDecoder([4], 6, 4, rngs=rngs)
        with pytest.raises(ValueError, match="latent_dim=4 must be a multiple of embedding_dim=3"):
            VQVAE(*networks, 4, CODES, 3, rngs=rngs)
        with pytest.raises(ValueError, match="free_bits has no meaning for a VQ-VAE"):
            VQVAE(*networks, 4, CODES, 2, rngs=rngs, free_bits=1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_data_without_numbers_has_no_codes(bad):
    """The nearest code of NaN would be any of them, here the last one."""
    rngs = nnx.Rngs(0)
    encoder = MLPEncoder([4], 4, "relu", (3,), rngs=rngs)
    model = VQVAE(encoder, MLPDecoder([4], (3,), 4, rngs=rngs), 4, 8, 2, rngs=rngs)
    with pytest.raises(ValueError, match="x holds NaN or infinite values"):
        model.encode_indices(np.array([[0.5, bad, 0.5]], np.float32))


@pytest.mark.parametrize(("shape", "size", "codes"), [((2,), 4, 1), ((2,), 64, 1), ((3,), 8, 1),
                                                      ((1, 2), 8, 2)])  # fmt: skip
def test_a_prior_over_other_codes_is_refused(shape, size, codes):
    """Four codes would be the first of eight in every sample; under jit 64 would be clipped."""
    rngs = nnx.Rngs(0)
    encoder = MLPEncoder([4], 4, "relu", (3,), rngs=rngs)
    model = VQVAE(encoder, MLPDecoder([4], (3,), 4, rngs=rngs), 4, 8, 2, rngs=rngs)
    small = PriorConfig(layers=1, width=4, heads=1)
    model.prior = CodePrior(small, shape, size, codes=codes, rngs=rngs)
    for sample in (lambda m: m.sample(2), nnx.jit(lambda m: m.sample(2))):
        with pytest.raises(ValueError, match=rf"prior has .*'codebook_size': {size}.*fit one"):
            sample(model)
    with pytest.raises(ValueError, match="prior has"):
        model.complete(np.zeros(shape, int), np.ones(shape, bool))
