"""VQVAE: the usage of codes that training keeps, and the samples drawn by it."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.modules import in_evaluation_mode
from workshop.generative_models.models.vae import VQVAE, MLPEncoder

# Five standard deviations of a frequency in 4,000 draws: at most 5 · sqrt(1/4 / 4000) = 0.04.
CLOSE = {"rtol": 0, "atol": 0.04}


class Codes(nnx.Module):
    """A decoder that returns the codes that it reads."""

    output_shape = (4,)

    def __call__(self, z):
        return z


class TestUsage:
    draws = 4000

    @pytest.fixture
    def model(self):
        encoder = MLPEncoder([4], 4, input_dim=(4,), rngs=nnx.Rngs(0))
        model = VQVAE(encoder, Codes(), 4, 3, 2, rngs=nnx.Rngs(0))
        model.embeddings.embedding[...] = jnp.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
        return model

    def frequencies(self, model, temperature=1.0):
        """Return how often each code was drawn at each position: (positions, codes)."""
        drawn = np.asarray(model.sample(self.draws, temperature, rngs=nnx.Rngs(1)))[:, ::2]
        return np.stack([(drawn == code).mean(0) for code in range(3)], axis=1)

    def test_before_training_codes_are_drawn_evenly(self, model):
        np.testing.assert_allclose(self.frequencies(model), 1 / 3, **CLOSE)

    def test_each_position_is_drawn_by_its_own_usage(self, model):
        model.usage[...] = jnp.array([[6.0, 3.0, 1.0], [0.0, 0.2, 0.8]])
        expected = [[0.6, 0.3, 0.1], [0.0, 0.2, 0.8]]
        found = self.frequencies(model)
        np.testing.assert_allclose(found, expected, **CLOSE)
        assert found[1, 0] == 0

    def test_temperature(self, model):
        model.usage[...] = jnp.array([[6.0, 3.0, 1.0], [0.0, 0.2, 0.8]])
        for temperature in (0.5, 2.0):
            p = np.array([[0.6, 0.3, 0.1], [0.0, 0.2, 0.8]]) ** (1 / temperature)
            expected = p / p.sum(1, keepdims=True)
            np.testing.assert_allclose(self.frequencies(model, temperature), expected, **CLOSE)

    def test_usage_is_an_average_of_the_batches_counts(self, model):
        x = jnp.array([[0.0, 0.0, 2.0, 2.0]] * 3)
        expected = np.zeros((2, 3))
        for _ in range(3):
            outputs = model(x)
            counts = np.zeros((2, 3))
            for row in np.asarray(outputs["encoding_indices"]):
                for position, code in enumerate(row):
                    counts[position, code] += 1
            statistics = model.loss_fn(x=x, outputs=outputs)["statistics"]
            np.testing.assert_array_equal(statistics["usage"], counts)
            before = np.asarray(model.usage[...])
            model.update_statistics(statistics)
            expected = 0.99 * expected + 0.01 * counts
            assert (np.asarray(model.usage[...]) != before).any()
        np.testing.assert_allclose(model.usage[...], expected, rtol=1e-6)

    def test_usage_is_no_parameter(self, model):
        assert "usage" not in nnx.state(model, nnx.Param)
        before = np.asarray(model.usage[...])
        model.loss_fn(nnx.state(model, nnx.Param), jnp.ones((3, 4)), jax.random.key(0))
        np.testing.assert_array_equal(model.usage[...], before)

    def test_sampling_says_once_for_each_model_that_no_prior_is_fitted(self, model, caplog):
        with caplog.at_level(logging.WARNING, logger="workshop"):
            for each in (model, nnx.clone(model)):
                each.sample(2)
                in_evaluation_mode(each).generate(2)
        assert len(caplog.records) == 2
        for record in caplog.records:
            assert "no prior over the codes is fitted" in record.getMessage()
