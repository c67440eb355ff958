"""Gradients of the objectives of several samples: their expectation, variance and equals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from importance_models import KEY, X, close, losses_under, model_with

from workshop.generative_models.core.distributions import DiagonalNormal, StandardNormal
from workshop.generative_models.models.vae.inference import BoundTerms, Inference, LossContext
from workshop.generative_models.models.vae.objectives import (
    IWAE,
    MIWAE,
    PIWAE,
    DReG,
    StickingTheLanding,
)

# A linear-Gaussian model of one number: z ~ N(0, 1), x|z ~ N(a z, S²), and q(z|x) = N(m, eᵛ),
# which is not the true posterior.
XS, S = np.array([0.7, -1.1]), 0.6
AT = np.array([0.9, 0.4, -0.5])
"""a, m and v; m is multiplied by x, so that examples differ."""


def expected_bound(parameters, x):
    """Return E[log ½ (w_1 + w_2)] in float64, by Gauss-Hermite quadrature of 80 × 80 points."""
    a, m, v = parameters
    noise, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    z = m * x + np.exp(v / 2) * noise
    log_w = -0.5 * ((x - a * z) / S) ** 2 - np.log(S) - 0.5 * np.log(2 * np.pi)
    log_w += -0.5 * z**2 + 0.5 * noise**2 + 0.5 * v
    pairs = np.logaddexp(log_w[:, None], log_w) - np.log(2)
    return weights @ pairs @ weights


def expected_gradient():
    """Return the gradient of minus the mean bound of both examples, by central differences."""
    steps = 1e-5 * np.eye(3)

    def at(parameters):
        return -np.mean([expected_bound(parameters, x) for x in XS])

    return np.array([(at(AT + step) - at(AT - step)) / 2e-5 for step in steps])


def gradients_of(objectives, count):
    """Return the gradient for each of `count` draws, in float64: name -> (count, 3)."""

    def loss(objective, parameters, noise):
        a, m, v = parameters
        x = jnp.asarray(XS)[:, None]
        q = DiagonalNormal(m * x, jnp.broadcast_to(v, x.shape))
        z = q.mean + q.scale * noise[: objective.samples]
        weigh = objective.weighs_latents
        inference = Inference.flat(q, StandardNormal(1), z, q.log_prob(z), weigh=weigh)
        given = DiagonalNormal(a * inference.z, jnp.full_like(z, 2 * np.log(S)))
        terms = BoundTerms(x, given.log_prob(jnp.broadcast_to(x, z.shape)), inference, {})
        return objective(None, terms, LossContext())["total_loss"]

    @jax.jit
    def of_all(parameters, noise):
        return {
            name: jax.vmap(jax.grad(partial(loss, objective)), (None, 0))(parameters, noise)
            for name, objective in objectives.items()
        }

    most = max(objective.samples for objective in objectives.values())
    noise = np.random.default_rng(1).normal(size=(count, most, len(XS), 1))
    with jax.enable_x64(True):
        found = of_all(jnp.asarray(AT), jnp.asarray(noise))
        found = {name: np.asarray(gradient) for name, gradient in found.items()}
    assert all(g.dtype == np.float64 and g.shape == (count, 3) for g in found.values())
    return found


@pytest.fixture(scope="module")
def gradients():
    makes = {"iwae": IWAE, "dreg": DReG}
    objectives = {f"{n} {k}": make(k) for n, make in makes.items() for k in (2, 8, 32)}
    objectives |= {"iwae 1": IWAE(1), "piwae": PIWAE(2, 2), "miwae": MIWAE(4, 2)}
    objectives |= {f"stl {k}": StickingTheLanding(k) for k in (1, 2)}
    return gradients_of(objectives, 20_000)


def errors(gradients, name, expected):
    """Return how many standard errors the mean gradient is from the expected one."""
    found = gradients[name]
    return (found.mean(0) - expected) / (found.std(0) / np.sqrt(len(found)))


def test_dreg_has_the_expectation_of_iwae_and_less_variance(gradients):
    expected = expected_gradient()
    # 4 standard errors: once in 16,000 for each of the numbers, at a fixed seed.
    for name in ("iwae 2", "dreg 2", "miwae"):
        assert np.abs(errors(gradients, name, expected)).max() < 4, name
    assert np.abs(errors(gradients, "stl 2", expected)).max() > 10, "biased, as documented"
    for k in (2, 8, 32):
        iwae, dreg = gradients[f"iwae {k}"], gradients[f"dreg {k}"]
        np.testing.assert_allclose(iwae[:, 0], dreg[:, 0], atol=1e-12)  # that of p(x, z)
        difference = (iwae - dreg)[:, 1:]  # of the same noise
        assert np.abs(errors({"": difference}, "", 0.0)).max() < 4
        assert (dreg.var(0) < 0.5 * iwae.var(0))[1:].all(), k


def test_the_signal_to_noise_ratio_of_dreg_rises_with_samples_and_that_of_iwae_falls(gradients):
    def ratio(name):
        return np.abs(gradients[name].mean(0) / gradients[name].std(0))[1:]

    assert (ratio("iwae 32") < ratio("iwae 2")).all()
    assert (ratio("dreg 32") > ratio("dreg 2")).all()


def test_one_sample_has_the_gradient_of_the_elbo_in_closed_form(gradients):
    """ELBO = -½ ((x - a m x)² + a² s²) / S² - ½ (m² x² + s² - 1 - v) + constants, s² = eᵛ."""
    (a, m, v), squares = AT, np.mean(XS**2)
    variance = np.exp(v)
    of_a = (-m * (1 - a * m) * squares + a * variance) / S**2
    of_m = -a * (1 - a * m) * squares / S**2 + m * squares
    of_v = 0.5 * (a**2 * variance / S**2 + variance - 1)
    expected = np.array([of_a, of_m, of_v])
    for name in ("iwae 1", "stl 1"):
        assert np.abs(errors(gradients, name, expected)).max() < 4, name
    # With groups of one sample the encoder has it too, from twice the samples.
    assert np.abs(errors(gradients, "piwae", expected)[1:]).max() < 4
    assert np.abs(errors(gradients, "piwae", expected_gradient())[0]) < 4


@pytest.mark.sampled
@pytest.mark.parametrize("size", [1.0, 1000.0])
def test_piwae_trains_the_encoder_as_miwae_and_the_rest_as_iwae(size):
    """In one pass, also where the groups' weights differ by more than float32 can hold."""
    objectives = {"iwae": IWAE(6), "miwae": MIWAE(6, 3), "piwae": PIWAE(6, 3)}
    found = losses_under(model_with(IWAE(6)), objectives, X * size)
    losses, gradient = found["piwae"]
    loss, for_encoder = losses["total_loss"], losses["encoder_loss"]
    np.testing.assert_allclose(loss, found["iwae"][0]["total_loss"], rtol=1e-6)
    np.testing.assert_allclose(for_encoder, found["miwae"][0]["total_loss"], rtol=1e-6)
    assert size == 1 or for_encoder - loss > 110, "nats: exp(-110) is 0 in float32"
    close(gradient["encoder"], found["miwae"][1]["encoder"])
    for name in ("decoder", "prior", "likelihood"):
        close(gradient[name], found["iwae"][1][name])


@pytest.mark.slow
def test_dreg_is_two_passes_in_one():
    """The oracle is that of google-research: a loss of its own for the encoder."""
    found = losses_under(model_with(IWAE(6)), {"iwae": IWAE(6), "dreg": DReG(6)}, X)
    (losses, gradient), model = found["dreg"], model_with(IWAE(6))
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)

    @jax.jit
    def encoder_gradient(params, rest):
        def loss(params):
            model = nnx.merge(graphdef, params, rest)
            inference = model.infer(
                model.features(jnp.asarray(X)), {}, samples=6, rngs=nnx.Rngs(KEY)
            )
            group = inference.groups[0]
            log_q = jax.lax.stop_gradient(group.q).log_prob(group.z)
            found = jnp.stack([model.conditional_log_prob(X, z) for z in inference.z])
            log_w = found + inference.log_p - log_q
            squares = jnp.square(jax.lax.stop_gradient(jax.nn.softmax(log_w, 0)))
            return -(squares * log_w).sum(0).mean()

        return jax.grad(loss)(params)["encoder"]

    expected = found["iwae"][0]["total_loss"]
    np.testing.assert_allclose(losses["total_loss"], expected, rtol=1e-5)
    close(gradient["encoder"], encoder_gradient(params, rest))
    for name in ("decoder", "prior", "likelihood"):
        close(gradient[name], found["iwae"][1][name])


@pytest.mark.slow
def test_gradients_scale_add_up_and_vectorize():
    graphdef, params, rest = nnx.split(model_with(DReG(6)), nnx.Param, ...)
    batches, keys = jnp.stack([X, X[::-1] ** 2]), jax.random.split(jax.random.key(0))

    @jax.jit
    def of_all(params, rest):
        def loss(params, x, key):
            model = nnx.merge(graphdef, params, rest)
            return model.loss_fn(batch=x, rng=key)["total_loss"]

        one, two = (jax.grad(loss)(params, batches[i], keys[i]) for i in (0, 1))
        mean = jax.tree.map(lambda a, b: 1.5 * (a + b), one, two)

        def many(params):
            return 3 * jax.vmap(loss, (None, 0, 0))(params, batches, keys).mean()

        return mean, jax.grad(jax.checkpoint(many))(params)

    mean, vectorized = of_all(params, rest)
    close(vectorized, mean)


@pytest.mark.slow
def test_gradients_that_no_objective_takes_are_those_of_other_models():
    """Losses of one's own on what the model returns, and losses of its outputs."""
    objectives = {"dreg": DReG(1), "piwae": PIWAE(1, 1)}

    def of(objective):
        graphdef, params, rest = nnx.split(model_with(objective), nnx.Param, ...)

        def own(params):
            outputs = nnx.merge(graphdef, params, rest)(X, rngs=nnx.Rngs(KEY))
            return jnp.square(outputs["reconstructed"] - X).sum() + jnp.sin(outputs["z"]).sum()

        def of_outputs(params):
            model = nnx.merge(graphdef, params, rest)
            return model.loss_fn(x=X, outputs=model(X, rngs=nnx.Rngs(KEY)))["total_loss"]

        def whole(params):
            return nnx.merge(graphdef, params, rest).loss_fn(batch=X, rng=KEY)["total_loss"]

        return [jax.grad(f)(params)["encoder"] for f in (own, of_outputs, whole)]

    found = jax.jit(lambda: {n: of(o) for n, o in {"iwae": IWAE(1), **objectives}.items()})()
    for name in objectives:
        close(found[name][0], found["iwae"][0])
        close(found[name][1], found[name][2])
