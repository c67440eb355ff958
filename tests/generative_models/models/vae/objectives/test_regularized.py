"""Regularised autoencoders: their penalties in NumPy, and that no density is claimed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critic_models import X, losses_of, model_with, squared_error, weights
from flax import nnx

from workshop.generative_models.core.configuration import (
    PointMassConfig,
    ReconstructionConfig,
    RegularizedConfig,
)
from workshop.generative_models.core.spectral import SpectralNorm
from workshop.generative_models.evaluation.bounds import elbo, importance_weighted_bound
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.models.vae.objectives import Regularized
from workshop.generative_models.training import Trainer

POINT = PointMassConfig()


def model_of(regularizer, weight=None, **fields):
    config = RegularizedConfig(
        latent_weight=0.3, regularizer=regularizer, regularizer_weight=weight
    )
    return model_with(config, posterior=POINT, **fields)


def decoded(decoder, z, gains=(1.0, 1.0)):
    """Return the mean of p(x|z), with the kernels divided by numbers, in NumPy."""
    first, last = decoder.backbone.layers[0], decoder.output_layer
    for layer, gain, nonlinear in zip((first, last), gains, (np.tanh, None), strict=True):
        kernel, bias = weights(getattr(layer, "layer", layer))
        z = z @ (kernel / gain) + bias
        z = z if nonlinear is None else nonlinear(z)
    return 1 / (1 + np.exp(-z))


def test_the_l2_penalty_is_that_of_all_parameters_of_the_decoder():
    model = model_of("l2", 0.2)
    losses, outputs = losses_of(model)
    latents = 0.5 * np.square(outputs["z"]).sum(-1).mean()
    layers = (model.decoder.backbone.layers[0], model.decoder.output_layer)
    penalty = sum(np.square(a).sum() for layer in layers for a in weights(layer))
    np.testing.assert_allclose(losses["latent_loss"], latents, rtol=1e-5)
    np.testing.assert_allclose(losses["regularization_loss"], penalty, rtol=1e-5)
    expected = squared_error(outputs) + 0.3 * latents + 0.2 * penalty
    np.testing.assert_allclose(losses["total_loss"], expected, rtol=1e-5)


def test_the_gradient_penalty_is_the_norm_of_the_jacobian():
    model = model_of("gradient_penalty", 0.2)
    losses, outputs = losses_of(model)
    z, step = outputs["z"], 1e-5
    columns = [
        (decoded(model.decoder, z + step * e) - decoded(model.decoder, z - step * e)) / (2 * step)
        for e in np.eye(2)
    ]
    exact = sum(np.square(column).sum(-1).mean() for column in columns)
    given = {n: jnp.asarray(a, jnp.float32) for n, a in outputs.items()}
    estimate = jax.jit(jax.vmap(
        lambda key: model.loss_fn(x=X, outputs=given, rng=key)["regularization_loss"]
    ))  # fmt: skip
    found = np.asarray(estimate(jax.random.split(jax.random.key(1), 4000)), np.float64)
    assert found.std() > 0
    # Four standard errors of the estimate's mean, which is unbiased.
    assert abs(found.mean() - exact) < 4 * found.std() / np.sqrt(len(found))
    latents = 0.5 * np.square(z).sum(-1).mean()
    expected = squared_error(outputs) + 0.3 * latents + 0.2 * losses["regularization_loss"]
    np.testing.assert_allclose(losses["total_loss"], expected, rtol=1e-5)


def test_the_gradient_of_the_gradient_penalty_is_that_of_finite_differences():
    model = model_of("gradient_penalty", 1.0)
    kernel = model.decoder.output_layer.kernel

    @jax.jit
    def penalty(value):
        params = nnx.state(model, nnx.Param)
        params["decoder"]["output_layer"]["kernel"] = nnx.Param(value)
        return model.loss_fn(params, {"x": X}, jax.random.key(0))["regularization_loss"]

    value, direction = kernel[...], np.zeros((4, 4), np.float32)
    direction[1, 2] = 1.0
    slope = jax.grad(penalty)(value)[1, 2]
    finite = (penalty(value + 1e-2 * direction) - penalty(value - 1e-2 * direction)) / 2e-2
    # Central differences err by the square of their step, and by float32's rounding.
    np.testing.assert_allclose(slope, finite, rtol=2e-2, atol=1e-4)


def test_spectral_normalisation_divides_every_kernel_by_its_largest_singular_value(tmp_path):
    model = model_of("spectral")
    layers = (model.decoder.backbone.layers[0], model.decoder.output_layer)
    assert all(isinstance(layer, SpectralNorm) for layer in layers)
    losses, outputs = losses_of(model)
    norms = [np.linalg.norm(weights(layer.layer)[0], 2) for layer in layers]
    expected = decoded(model.decoder, outputs["z"], norms)
    # 50 steps of the power iteration on matrices of at most four columns.
    np.testing.assert_allclose(outputs["reconstructed"], expected, rtol=1e-3)
    latents = 0.5 * np.square(outputs["z"]).sum(-1).mean()
    np.testing.assert_allclose(losses["total_loss"], squared_error(outputs) + 0.3 * latents,
                               rtol=1e-5)  # fmt: skip
    assert "regularization_loss" not in losses

    start = np.asarray(layers[0].u[...])
    Trainer(model, batch_size=6, folder=tmp_path / "run", progress=False).fit(X, steps=4)
    assert (np.asarray(layers[0].u[...]) != start).any(), "training takes steps of the iteration"
    norms = [np.linalg.norm(weights(layer.layer)[0], 2) for layer in layers]
    z = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    made = np.asarray(jax.jit(model.decode)(z))
    np.testing.assert_allclose(made, decoded(model.decoder, z, norms), rtol=1e-2)
    model.save_pretrained(tmp_path / "saved")
    loaded = VAE.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(jax.jit(loaded.decode)(z), made)
    again = model_of("spectral")
    options = {"batch_size": 6, "folder": tmp_path / "run", "progress": False}
    Trainer(again, **options).fit(X, steps=4, resume=True)
    np.testing.assert_array_equal(jax.jit(again.decode)(z), made)


def test_convolutions_are_normalised_too():
    model = model_of("spectral", event=(6, 5, 1), encoder_type="cnn")
    wrapped = [m for _, m in nnx.iter_modules(model.decoder) if isinstance(m, SpectralNorm)]
    assert len(wrapped) == 3  # the projection, a transposed convolution and the last one
    x = np.random.default_rng(1).random((2, 6, 5, 1)).astype(np.float32)
    losses, outputs = losses_of(model, x=x)
    assert outputs["reconstructed"].shape == x.shape
    assert np.isfinite(losses["total_loss"])


@pytest.mark.parametrize("objective", [RegularizedConfig(), ReconstructionConfig()])
def test_a_deterministic_autoencoder_claims_no_density(objective):
    model = model_with(objective, posterior=POINT)
    losses, outputs = losses_of(model)
    assert not model.has_density
    assert not {"kl_loss", "elbo"} & losses.keys()
    np.testing.assert_array_equal(outputs["z"], outputs["mean"])
    np.testing.assert_allclose(losses["reconstruction_loss"], squared_error(outputs), rtol=1e-5)
    for bound in (elbo, importance_weighted_bound):
        with pytest.raises(ValueError, match="no density"):
            bound(model, X)
    if isinstance(objective, ReconstructionConfig):
        assert losses["total_loss"] == losses["reconstruction_loss"]


def test_a_weight_of_spectral_normalisation_is_refused():
    for make in (RegularizedConfig, Regularized):
        with pytest.raises(ValueError, match=r"regularizer_weight=0\.1 with regularizer='spec"):
            make(regularizer="spectral", regularizer_weight=0.1)
    with pytest.raises(ValueError, match="no layer with a kernel"):
        Regularized(regularizer="spectral").constrained(nnx.Dropout(0.1))
