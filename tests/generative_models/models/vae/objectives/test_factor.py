"""FactorVAE against NumPy, all permutations, and a total correlation in closed form."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from critic_models import X, kl_of, logits, losses_of, model_with, softplus, squared_error
from flax import nnx

from workshop.generative_models.core.configuration import FactorConfig
from workshop.generative_models.core.critics import CriticParam
from workshop.generative_models.core.distributions import DiagonalNormal, StandardNormal
from workshop.generative_models.models.vae.components import check_components
from workshop.generative_models.models.vae.inference import (
    BoundTerms,
    Group,
    Inference,
    LossContext,
)
from workshop.generative_models.models.vae.objectives import Factor
from workshop.generative_models.models.vae.posteriors import Posterior
from workshop.generative_models.models.vae.priors import StandardNormalPrior


def test_the_losses_are_those_of_the_definition():
    model = model_with(FactorConfig(gamma=3.0, hidden_dims=(5, 3)))
    critic = model.objective.critic
    losses, outputs = losses_of(model)
    z = outputs["z"]
    # float32 against float64.
    correlation = logits(critic, z[:3]).mean()
    np.testing.assert_allclose(losses["total_correlation"], correlation, rtol=1e-4, atol=1e-6)
    expected = squared_error(outputs) + kl_of(outputs) + 3.0 * correlation
    np.testing.assert_allclose(losses["total_loss"], expected, rtol=1e-5)

    # The critic sees the first half as it is, and the second with each latent permuted: up to the
    # order of rows, which its loss does not depend on, one of 3! arrangements, each equally often.
    joint = softplus(-logits(critic, z[:3])).mean()
    orders = [list(order) for order in itertools.permutations(range(3))]
    permuted = [np.stack([z[3:, 0], z[3:, 1][order]], axis=1) for order in orders]
    possible = [0.5 * (joint + softplus(logits(critic, each)).mean()) for each in permuted]
    loss = jax.jit(
        jax.vmap(lambda key: model.loss_fn(
            x=X, outputs={n: jnp.asarray(a, jnp.float32) for n, a in outputs.items()}, rng=key
        )["critic_loss"])
    )  # fmt: skip
    found = np.asarray(loss(jax.random.split(jax.random.key(0), 600)))
    nearest = np.abs(found[:, None] - np.array(possible)).argmin(1)
    np.testing.assert_allclose(found, np.array(possible)[nearest], rtol=1e-5)
    # 100 expected of each; 45 is five standard deviations of a binomial count.
    assert (np.abs(np.bincount(nearest, minlength=6) - 100) < 45).all()


def test_the_critics_logit_becomes_the_total_correlation():
    # Of a Gaussian with correlation ρ it is -½ log(1 - ρ²).
    objective = Factor(2, hidden_dims=(32,), rngs=nnx.Rngs(0))
    graphdef, params, rest = nnx.split(objective, CriticParam, ...)
    optimizer = optax.adam(1e-2)
    factor = np.linalg.cholesky([[1.0, 0.8], [0.8, 1.0]]).astype(np.float32)
    q, p = DiagonalNormal(jnp.zeros((1, 2)), jnp.zeros((1, 2))), StandardNormal(2)

    def losses(params, key, rows):
        z = (jax.random.normal(key, (rows, 2)) @ factor.T)[None]
        zeros = jnp.zeros((1, rows))
        inference = Inference(z, zeros, zeros, (Group(q, p, z, zeros, zeros),))
        terms = BoundTerms(z[0], zeros, inference, {})
        return nnx.merge(graphdef, params, rest)(None, terms, LossContext(key=key))

    def step(carry, key):
        params, state = carry
        gradient = jax.grad(lambda p: losses(p, key, 512)["critic_loss"])(params)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def estimate(params):
        keys = jax.random.split(jax.random.key(1), 500)
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), keys)
        return losses(params, jax.random.key(2), 40_000)

    found = estimate(params)
    # 32 units fit the log-ratio, a quadratic form, to about a tenth; guessing would give 0.
    np.testing.assert_allclose(found["total_correlation"], -0.5 * np.log(1 - 0.64), rtol=0.15)
    assert found["critic_loss"] < np.log(2) - 0.05


@pytest.mark.parametrize("rows", [1, 5])
def test_a_batch_of_any_size_has_finite_losses(rows):
    model = model_with(FactorConfig(hidden_dims=(3,)))
    losses, outputs = losses_of(model, x=X[:rows])
    half = (rows + 1) // 2
    found = losses["total_correlation"]
    np.testing.assert_allclose(
        found, logits(model.objective.critic, outputs["z"][:half]).mean(), rtol=1e-4, atol=1e-6
    )
    assert np.isfinite(losses["critic_loss"])


def test_latents_on_a_sphere_are_refused():
    class Spherical(Posterior):
        support = "sphere"

    class OnSphere(StandardNormalPrior):
        support = "sphere"

    with pytest.raises(ValueError, match=r"posterior Spherical .*'sphere', and objective Factor"):
        check_components(Spherical(), OnSphere(2), Factor(2, hidden_dims=(3,), rngs=nnx.Rngs(0)))
