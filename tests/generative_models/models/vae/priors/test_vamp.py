"""The VampPrior: a mixture of q(z|u) of pseudo-inputs u."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from prior_models import X, Y, check_resumes_and_saves, model_with
from scipy.special import logsumexp
from scipy.stats import norm

from workshop.generative_models.core.configuration import (
    IWAEConfig,
    PointMassConfig,
    VampConfig,
    WAEMMDConfig,
)
from workshop.generative_models.core.distributions import DiagonalNormal, EqualMixture
from workshop.generative_models.core.moments import moments_of
from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder
from workshop.generative_models.models.vae.priors import VampPrior

Z = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)


def mixture_log_prob(mean, log_var, z):
    """Return log 1/K Σ_k N(z; μ_k, σ_k²) in float64."""
    mean, log_var = np.float64(mean), np.float64(log_var)
    each = norm(mean, np.exp(log_var / 2)).logpdf(z[..., None, :]).sum(-1)
    return logsumexp(each, axis=-1) - np.log(len(mean))


def test_the_density_is_the_mean_of_the_posteriors_of_pseudo_inputs():
    model = model_with(prior=VampConfig(components=3))

    @nnx.jit
    def found(model, z):
        return model.log_prior(z), model.encode(model.prior.pseudo_inputs)

    log_p, (mean, log_var) = found(model, Z)
    np.testing.assert_allclose(log_p, mixture_log_prob(mean, log_var, Z), rtol=1e-5)


def test_samples_are_those_of_the_mixture():
    p = EqualMixture(DiagonalNormal(jnp.array([[-3.0], [0.0], [3.0]]), jnp.full((3, 1), -2.0)))
    z = np.asarray(jax.jit(lambda p: p.sample(jax.random.key(0), (30_000,)))(p))[:, 0]
    # Four standard errors of a share of 1/3, and of the deviation exp(-1).
    shares = [np.mean(np.abs(z - m) < 1.5) for m in (-3, 0, 3)]
    np.testing.assert_allclose(shares, 1 / 3, atol=4 * np.sqrt(2 / 9 / 30_000))
    inner = z[np.abs(z) < 1.5]
    np.testing.assert_allclose(inner.std(), np.exp(-1), rtol=4 / np.sqrt(2 * len(inner)))


@pytest.mark.parametrize("objective", [None, IWAEConfig(samples=5)])
def test_a_loss_encodes_the_batch_and_the_pseudo_inputs_once_each(objective, monkeypatch):
    model = model_with(prior=VampConfig(components=3), objective=objective)
    rows = []
    encode = MLPEncoder.__call__
    monkeypatch.setattr(
        MLPEncoder, "__call__", lambda self, x: rows.append(len(x)) or encode(self, x)
    )
    jax.eval_shape(lambda x: model.loss_fn(batch=x, rng=jax.random.key(0))["kl_loss"], X)
    assert rows == [6, 3]


def test_the_gradient_of_a_pseudo_input_is_that_of_finite_differences():
    model = model_with(prior=VampConfig(components=3))
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))

    @jax.jit
    def loss(shift):
        moved = {**params, "prior": {"shift": shift}}
        return model.loss_fn(moved, X, jax.random.key(0))["total_loss"]

    shift = jnp.zeros((3, 4))
    gradient = jax.jit(jax.grad(loss))(shift)
    direction = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    # A loss of 5 is good to 5e-7 in float32; over a step of 0.02, to 2.5e-5 of the slope.
    slope = (loss(shift + 0.01 * direction) - loss(shift - 0.01 * direction)) / 0.02
    np.testing.assert_allclose(np.vdot(gradient, direction), slope, atol=2e-4)
    assert abs(slope) > 1e-2


def first_values(model):
    return np.asarray(model.prior.first[...])


def moments(x):
    return moments_of([x])._replace(examples=lambda n: x[:n])


def test_pseudo_inputs_begin_as_training_examples_and_only_once():
    model = model_with(prior=VampConfig(components=4, start="data"))
    model.initialize(moments(X))
    np.testing.assert_array_equal(first_values(model), X[:4])
    model.initialize(moments(X + 1))
    np.testing.assert_array_equal(first_values(model), X[:4])


def test_pseudo_inputs_that_were_trained_stay():
    model = model_with(prior=VampConfig(components=4, start="data"))
    before = first_values(model)
    model.prior.shift[...] = jnp.full((4, 4), 0.5)
    model.initialize(moments(X))
    np.testing.assert_array_equal(model.prior.pseudo_inputs, before + 0.5)


def test_pseudo_inputs_beyond_the_examples_are_random_and_differ():
    model = model_with(prior=VampConfig(components=9, start="data"))
    model.initialize(moments(X))
    np.testing.assert_array_equal(first_values(model)[:6], X)
    assert len(np.unique(first_values(model).round(6), axis=0)) == 9


def test_random_pseudo_inputs_have_the_moments_of_the_data():
    model = model_with(prior=VampConfig(components=4000))
    x = np.random.default_rng(2).normal([50, -3, 0, 1], [9, 0.1, 1, 0], (500, 4))
    model.prior.initialize(moments_of([x]))
    first = first_values(model).astype(np.float64)
    # Four standard errors.
    spread = x.std(0)
    np.testing.assert_allclose(first.mean(0) - x.mean(0), 0, atol=4 * spread.max() / 4000**0.5)
    np.testing.assert_allclose(first.std(0)[:3] / spread[:3], 1, atol=4 / 8000**0.5)
    assert first.std(0)[3] == 0


@pytest.mark.slow
def test_a_run_gets_examples_as_the_model_reads_them_and_resumes_and_is_saved(tmp_path):
    config = VampConfig(components=3, start="data")
    data = np.arange(24, dtype=np.uint8).reshape(6, 4)
    loaded = check_resumes_and_saves(lambda: model_with(prior=config), tmp_path, data)
    # Evenly from all over the data.
    np.testing.assert_allclose(first_values(loaded) * 255, data[[0, 2, 5]], rtol=1e-5)
    assert np.any(loaded.prior.shift[...]), "they are trained"


def test_examples_that_no_one_passes_are_an_error():
    model = model_with(prior=VampConfig(components=3, start="data"))
    with pytest.raises(ValueError, match=r"VampPrior\(start='data'\): the moments hold no"):
        model.initialize(moments_of([X]))


def test_in_a_conditional_model_pseudo_inputs_have_no_class():
    model = model_with(prior=VampConfig(components=3), classes=3)

    @nnx.jit
    def found(model):
        return (
            model.p_z(y=Y).log_prob(Z),
            model.encode(model.prior.pseudo_inputs),
            model.loss_fn(batch={"x": X, "y": Y}, rng=jax.random.key(0))["kl_loss"],
        )

    log_p, (mean, log_var), kl = found(model)
    np.testing.assert_allclose(log_p, mixture_log_prob(mean, log_var, Z), rtol=1e-5)
    assert np.isfinite(kl)


def test_what_cannot_be_combined_is_refused_by_name():
    with pytest.raises(ValueError, match=r"prior VampPrior .* and posterior PointMassPosterior"):
        model_with(prior=VampConfig(), posterior=PointMassConfig(), objective=WAEMMDConfig())
    rngs = nnx.Rngs(0)
    decoder = MLPDecoder([4], (4,), 2, rngs=rngs)
    unknown = MLPEncoder([4], 2, rngs=rngs)
    assert VAE(unknown, decoder, 2, prior=VampConfig(components=2), rngs=rngs).prior.first.ndim == 2
    with pytest.raises(ValueError, match="VampPrior needs event_shape"):
        VampPrior(None, rngs=rngs)
