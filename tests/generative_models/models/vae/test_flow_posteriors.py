"""Posteriors of flows and of Gaussians with covariances, in a model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import special, stats

from workshop.generative_models.core.configuration import (
    DecoderConfig,
    EncoderConfig,
    FullNormalConfig,
    HouseholderConfig,
    IAFConfig,
    LowRankNormalConfig,
    PlanarConfig,
    RadialConfig,
    SylvesterConfig,
    VAEConfig,
)
from workshop.generative_models.evaluation.bounds import elbo, importance_weighted_bound
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.models.vae.posteriors import HouseholderPosterior, IAFPosterior

X = np.random.default_rng(0).random((6, 4), np.float32)
LATENTS, KEY = 2, jax.random.key(0)
CONFIGS = {
    "full_normal": FullNormalConfig(),
    "low_rank_normal": LowRankNormalConfig(),
    "planar": PlanarConfig(flows=2),
    "radial": RadialConfig(flows=2),
    "sylvester": SylvesterConfig(flows=2, reflections=2),
    "triangular": SylvesterConfig(flows=2, reflections=0),
    "householder": HouseholderConfig(flows=3),
    "iaf": IAFConfig(flows=2, hidden_dims=[4]),
}
each = pytest.mark.parametrize("name", CONFIGS)


@functools.cache
def model_of(name, latent_dim=LATENTS):
    sizes = {"hidden_dims": [4], "latent_dim": latent_dim}
    config = VAEConfig(
        encoder=EncoderConfig(input_shape=[4], **sizes),
        decoder=DecoderConfig(output_shape=[4], **sizes),
        likelihood="bce",
        posterior=CONFIGS[name],
    )
    model = VAE(config, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(1)
    # Flows begin near the identity; and features of a few tenths are not told from it.
    for array in jax.tree.leaves(nnx.state(model, nnx.Param), is_leaf=is_variable):
        array[...] += jnp.asarray(0.5 * rng.normal(size=array.shape), jnp.float32)
    return model


def is_variable(node):
    return isinstance(node, nnx.Variable)


@functools.cache
def passed(name):
    """Losses in every way to compute them, in one program."""
    model = model_of(name)
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)

    @jax.jit
    def compute(params):
        model = nnx.merge(graphdef, params, rest)

        def loss(params):
            losses = model.loss_fn(params, X, KEY)
            return losses["total_loss"], losses

        gradient, losses = jax.grad(loss, has_aux=True)(params)
        outputs = model(X, rngs=nnx.Rngs(KEY))
        others = {k: v for k, v in outputs.items() if k != "log_q"}
        return {
            "gradient": gradient,
            "losses": losses,
            "outputs": outputs,
            "by_outputs": model.loss_fn(x=X, outputs=outputs),
            "by_inverse": model.loss_fn(x=X, outputs=others),
            "log_q": model.q_z(X).log_prob(outputs["z"]),
            "encoded": model.encode(X),
        }

    return jax.tree.map(np.asarray, compute(params))


@pytest.mark.slow
@each
def test_losses_from_outputs_are_those_of_the_pass_that_made_them(name):
    found = passed(name)
    for other in ("by_outputs", "by_inverse"):
        for key in ("total_loss", "reconstruction_loss", "kl_loss", "elbo"):
            # The inverse is a root to float32, and the map is steep by a factor of 10 somewhere.
            np.testing.assert_allclose(
                found[other][key], found["losses"][key], rtol=1e-4, atol=1e-4, err_msg=other
            )
    # Returned where the inverse is a loop.
    assert ("log_q" in found["outputs"]) == (name in ("planar", "sylvester", "triangular", "iaf"))
    if "log_q" in found["outputs"]:
        np.testing.assert_allclose(found["outputs"]["log_q"], found["log_q"], rtol=1e-3, atol=1e-3)
    kl = found["log_q"] - stats.norm.logpdf(np.float64(found["outputs"]["z"])).sum(-1)
    if name not in ("full_normal", "low_rank_normal", "householder"):  # in closed form
        np.testing.assert_allclose(found["losses"]["kl_loss"], kl.mean(), rtol=1e-4, atol=1e-4)


@pytest.mark.sampled
@each
def test_every_parameter_has_a_gradient(name):
    for path, leaf in jax.tree.leaves_with_path(passed(name)["gradient"]):
        assert np.isfinite(leaf).all()
        assert (leaf != 0).any(), jax.tree_util.keystr(path)


def test_the_density_of_a_flow_integrates_to_one():
    """By the inverse, on a grid of which the cells are a hundredth of the width of q."""
    axis = np.linspace(-12, 12, 601)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
    models = [model_of(name) for name in ("radial", "iaf")]

    def log_q(model, x):
        return model.q_z(x).log_prob(grid[:, None])

    for model in models:
        mass = np.exp(np.float64(nnx.jit(log_q)(model, X[:1]))).sum() * (axis[1] - axis[0]) ** 2
        assert mass == pytest.approx(1, abs=2e-3)


def test_the_kl_of_a_householder_flow_is_that_of_its_gaussian():
    model = model_of("householder")

    def values(model):
        features = model.features(jnp.asarray(X))
        z, log_q = model.posterior(features).sample_and_log_prob(KEY, (20_000,))
        inference = model.infer(features, {}, rngs=nnx.Rngs(KEY))
        return features, z, log_q - model.log_prior(z), inference.kl(), model.encode(X)[0]

    features, z, ratio, kl, mean = nnx.jit(values)(model)
    mu, log_var = np.float64(features["mean"]), np.float64(features["log_var"])
    expected = 0.5 * (np.exp(log_var) + mu**2 - 1 - log_var).sum(-1)
    np.testing.assert_allclose(kl, expected, rtol=1e-5)
    ratio = np.float64(ratio)
    assert (np.abs(ratio.mean(0) - expected) < 5 * ratio.std(0) / len(ratio) ** 0.5).all()
    z = np.float64(z)
    assert (np.abs(z.mean(0) - mean) < 5 * z.std(0) / len(z) ** 0.5).all()


@pytest.mark.slow
def test_bounds_of_a_flow_are_those_of_its_joint_density():
    """The importance-weighted bound against quadrature of p(x), which it nears from below."""
    model = nnx.clone(model_of("iaf"))
    # Wider than the posterior, so that the bound is near the evidence with few samples.
    model.encoder.logvar_proj.bias[...] += 3
    axis = np.linspace(-7, 7, 141)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
    p = np.float64(nnx.jit(lambda model, z: model.decode(z))(model, grid))
    log_p = X[:, None] * np.log(p) + (1 - X[:, None]) * np.log1p(-p)
    joint = log_p.sum(-1) + stats.norm.logpdf(np.float64(grid)).sum(-1)
    evidence = special.logsumexp(joint, axis=1) + 2 * np.log(axis[1] - axis[0])
    bound = importance_weighted_bound(model, X, samples=8000)
    lower = elbo(model, X, samples=50)
    np.testing.assert_allclose(bound, evidence, atol=0.15)
    assert (lower < evidence + 0.1).all()
    assert (lower < bound).mean() > 0.8


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["full_normal", "planar", "iaf"])
def test_one_latent_will_do(name):
    model = model_of(name, latent_dim=1)
    assert np.isfinite(nnx.jit(lambda model: model.loss_fn(batch=X, rng=KEY)["total_loss"])(model))


def test_posteriors_with_weights_need_rngs():
    for kind in (IAFPosterior, HouseholderPosterior):
        with pytest.raises(ValueError, match=rf"{kind.__name__}\(rngs=None\): pass rngs"):
            kind(2)
