"""Hamiltonian posteriors in a model: losses, bounds, the metric's state, and refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import special, stats

from workshop.generative_models.core.configuration import (
    BetaTCConfig,
    ConditionalVAEConfig,
    DecoderConfig,
    DReGConfig,
    EncoderConfig,
    HamiltonianConfig,
    IWAEConfig,
    PIWAEConfig,
    RiemannianHamiltonianConfig,
    StickingTheLandingConfig,
    VAEConfig,
)
from workshop.generative_models.evaluation.bounds import (
    annealed_importance_sampling,
    elbo,
    importance_weighted_bound,
)
from workshop.generative_models.models.vae import VAE, ConditionalVAE, MLPEncoder
from workshop.generative_models.models.vae.posteriors import (
    HamiltonianPosterior,
    RiemannianHamiltonianPosterior,
)
from workshop.generative_models.models.vae.posteriors.riemannian_hamiltonian import (
    lower_triangular,
)

X = np.random.default_rng(0).random((6, 4), np.float32)
KEY = jax.random.key(0)
CONFIGS = {
    "hamiltonian": HamiltonianConfig(steps=2),
    "riemannian_hamiltonian": RiemannianHamiltonianConfig(
        steps=2, step_size=0.1, centroids=8, regularization=0.5
    ),
}
each = pytest.mark.parametrize("name", CONFIGS)


def build(posterior, config_class=VAEConfig, **fields):
    sizes = {"hidden_dims": [4], "latent_dim": 2}
    return config_class(
        encoder=EncoderConfig(input_shape=[4], **sizes),
        decoder=DecoderConfig(output_shape=[4], **sizes),
        likelihood="bce",
        posterior=posterior,
        **fields,
    )


@functools.cache
def model_of(name):
    model = VAE(build(CONFIGS[name]), rngs=nnx.Rngs(0))
    rng = np.random.default_rng(1)
    for array in jax.tree.leaves(nnx.state(model, nnx.Param), is_leaf=is_variable):
        array[...] += jnp.asarray(0.5 * rng.normal(size=array.shape), jnp.float32)
    if name == "riemannian_hamiltonian":
        model.posterior.centroids[...] = jnp.asarray(rng.normal(size=(8, 2)), jnp.float32)
        roots = 0.3 * np.tril(rng.normal(size=(8, 2, 2)))
        model.posterior.factors[...] = jnp.asarray(roots, jnp.float32)
    return model


def is_variable(node):
    return isinstance(node, nnx.Variable)


@functools.cache
def passed(name):
    """Losses in every way to compute them, in one program; the gradient in training mode."""
    graphdef, params, rest = nnx.split(model_of(name), nnx.Param, ...)

    @jax.jit
    def compute(params):
        def loss(params):
            model = nnx.merge(graphdef, params, rest, copy=True)
            model.train()
            total = model.loss_fn(batch=X, rng=KEY)["total_loss"]
            return total, nnx.state(model, nnx.BatchStat)

        gradient, left = jax.grad(loss, has_aux=True)(params)
        model = nnx.merge(graphdef, params, rest)
        outputs = model(X, rngs=nnx.Rngs(KEY))
        return {
            "gradient": gradient,
            "left": nnx.to_pure_dict(left),
            "losses": model.loss_fn(batch=X, rng=KEY),
            "by_outputs": model.loss_fn(x=X, outputs=outputs),
            "features": model.features(jnp.asarray(X)),
            "mean": model(X, deterministic=True)["z"],
            "drawn": model.q_z(X).sample(KEY, (3,)),
            "z": outputs["z"],
            "log_q": outputs["log_q"],
        }

    return jax.tree.map(np.asarray, compute(params))


@pytest.mark.slow
@each
def test_losses_from_outputs_are_those_of_the_pass_that_made_them(name):
    found = passed(name)
    for key in ("total_loss", "reconstruction_loss", "kl_loss", "elbo"):
        np.testing.assert_allclose(found["by_outputs"][key], found["losses"][key], rtol=1e-5)
    log_p = stats.norm.logpdf(np.float64(found["z"])).sum(-1)
    expected = (found["log_q"] - log_p).mean()
    np.testing.assert_allclose(found["losses"]["kl_loss"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found["mean"], found["features"]["mean"])
    assert found["drawn"].shape == (3, 6, 2)


@each
def test_every_parameter_has_a_gradient(name):
    for path, leaf in jax.tree.leaves_with_path(passed(name)["gradient"]):
        assert np.isfinite(leaf).all()
        assert (leaf != 0).any(), jax.tree_util.keystr(path)


@pytest.mark.slow
def test_bounds_are_those_of_the_joint_density():
    """The importance-weighted bound against quadrature of p(x), which it nears from below."""
    model = nnx.clone(model_of("hamiltonian"))
    # Wider than the posterior, so that the bound is near the evidence with few samples.
    model.encoder.logvar_proj.bias[...] += 1.5
    axis = np.linspace(-7, 7, 141)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
    p = np.float64(nnx.jit(lambda model, z: model.decode(z))(model, grid))
    log_p = X[:, None] * np.log(p) + (1 - X[:, None]) * np.log1p(-p)
    joint = log_p.sum(-1) + stats.norm.logpdf(np.float64(grid)).sum(-1)
    evidence = special.logsumexp(joint, axis=1) + 2 * np.log(axis[1] - axis[0])
    bound = importance_weighted_bound(model, X, samples=4000)
    lower = elbo(model, X, samples=200)
    # Weights have a standard deviation of about twice their mean: 2 / √4000 is 0.03.
    np.testing.assert_allclose(bound, evidence, atol=0.15)
    assert (lower < evidence).all()
    assert (lower < bound).all()


def test_in_training_the_metric_keeps_the_batch_and_those_before_it():
    found, model = passed("riemannian_hamiltonian"), model_of("riemannian_hamiltonian")
    left, features = found["left"]["posterior"], found["features"]
    before = np.asarray(model.posterior.centroids[...])
    expected = np.concatenate([features["mean"], before])[:8]
    np.testing.assert_allclose(left["centroids"], expected, rtol=1e-5)
    log_diagonal, below = features["metric"][:, :2], features["metric"][:, 2]
    factors = np.zeros((6, 2, 2))
    factors[:, [0, 1], [0, 1]], factors[:, 1, 0] = np.exp(log_diagonal), below
    np.testing.assert_allclose(left["factors"][:6], factors, rtol=1e-5)


def test_the_metric_is_that_of_the_paper():
    posterior = model_of("riemannian_hamiltonian").posterior
    z = np.array([0.3, -0.2], np.float32)
    found = jax.jit(posterior.inverse_metric)(z, posterior.centroids[...], posterior.factors[...])
    expected = 0.5 * np.eye(2)
    for c, root in zip(*map(np.float64, (posterior.centroids, posterior.factors)), strict=True):
        expected += root @ root.T * np.exp(-np.square(c - z).sum() / 1.5**2)
    # But for the share of 1e-6 of its trace.
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    last = lower_triangular(jnp.arange(6.0), 3)[2]
    np.testing.assert_allclose(last, [4, 5, np.exp(2)], rtol=1e-6)


def test_the_joint_density_is_that_of_each_sample_and_condition():
    config = build(CONFIGS["hamiltonian"], ConditionalVAEConfig, condition_dim=3)
    model = ConditionalVAE(config, rngs=nnx.Rngs(0))
    y, z = jnp.arange(6) % 3, jax.random.normal(KEY, (2, 6, 2))

    @nnx.jit
    def compute(model, z):
        each = [model.conditional_log_prob(X, one, y=y) + model.log_prior(one, y=y) for one in z]
        losses = model.loss_fn(batch={"x": X, "y": y}, rng=KEY)
        return model.log_joint(jnp.asarray(X), z, y=y), jnp.stack(each), losses["total_loss"]

    found, expected, loss = compute(model, z)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.ptp(np.asarray(found)) > 0.1
    assert np.isfinite(loss)
    assert np.isfinite(importance_weighted_bound(model, X, np.asarray(y), samples=5)).all()


@pytest.mark.slow
def test_several_samples_train_with_dropout_and_batch_norm():
    class Noisy(nnx.Module):
        def __init__(self, rngs):
            self.layer = nnx.Linear(2, 4, rngs=rngs)
            self.norm = nnx.BatchNorm(4, rngs=rngs)
            self.dropout = nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, z):
            return self.dropout(self.norm(self.layer(z)))

    rngs = nnx.Rngs(0)
    options = {"likelihood": "bce", "posterior": CONFIGS["hamiltonian"], "rngs": rngs}
    model = VAE(
        MLPEncoder([4], 2, "relu", (4,), rngs=rngs), Noisy(rngs), 2,
        objective=IWAEConfig(samples=3), **options,
    )  # fmt: skip
    model.train()

    @nnx.jit
    def gradient(model):
        return nnx.grad(lambda model: model.loss_fn(batch=X, rng=KEY)["total_loss"])(model)

    before = np.asarray(model.decoder.norm.mean[...])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(model)))
    assert (model.decoder.norm.mean[...] != before).any()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (BetaTCConfig(), "HamiltonianPosterior does not factorise.*objective BetaTC"),
        (StickingTheLandingConfig(), "HamiltonianPosterior has the density.*StickingTheLanding"),
        (DReGConfig(), "HamiltonianPosterior has the density of its own.*DReG"),
        (PIWAEConfig(), "HamiltonianPosterior moves latents by the gradient.*objective PIWAE"),
    ],
)
@each
def test_objectives_that_do_not_fit_are_refused(name, objective, message):
    with pytest.raises(ValueError, match=message):
        VAE(build(CONFIGS[name], objective=objective), rngs=nnx.Rngs(0))


def test_what_cannot_be_computed_is_an_error():
    model = model_of("hamiltonian")
    q = model.q_z(X)
    with pytest.raises(ValueError, match="of its own samples alone: use sample_and_log_prob"):
        q.log_prob(np.zeros((6, 2)))
    with pytest.raises(ValueError, match="x is not given"):
        model.posterior({"mean": jnp.zeros((6, 2)), "log_var": jnp.zeros((6, 2))}).sample(KEY)
    with pytest.raises(ValueError, match="this is a Evolved: use initial='prior'"):
        annealed_importance_sampling(model, X, chains=1, steps=2, initial="posterior")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HamiltonianPosterior(beta_zero=1.5, latent_dim=2), r"beta_zero=1\.5: expected 0"),
        (lambda: HamiltonianPosterior(step_size=0.7, latent_dim=2), r"step_size=0\.7: expected 0"),
        (lambda: HamiltonianConfig(step_size=0.7), r"step_size=0\.7 must be below max_step"),
        (lambda: RiemannianHamiltonianPosterior(beta_zero=0, latent_dim=2), "beta_zero=0"),
        (lambda: RiemannianHamiltonianPosterior(centroids=0, latent_dim=2), "centroids=0"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
