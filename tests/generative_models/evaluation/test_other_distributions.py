"""Models with other posteriors and priors than Gaussian ones: right numbers, or a clear error."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import logsumexp
from scipy.stats import norm

from workshop.generative_models.core.distributions import DiagonalNormal, Distribution
from workshop.generative_models.data import Split
from workshop.generative_models.evaluation.bounds import (
    annealed_importance_sampling,
    elbo,
    elbo_terms,
    fix_scale,
    importance_weighted_bound,
)
from workshop.generative_models.evaluation.bounds.weighing import (
    example_keys,
    sample_keys,
    samples_of,
)
from workshop.generative_models.evaluation.sections import likelihood as section
from workshop.generative_models.evaluation.study import Settings, Study
from workshop.generative_models.evaluation.summary import evaluate
from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder
from workshop.generative_models.models.vae.objectives import Reconstruction
from workshop.generative_models.models.vae.posteriors import PointMassPosterior, Posterior
from workshop.generative_models.models.vae.priors import MixturePrior

X = np.random.default_rng(0).random((40, 6), np.float32)
LITTLE = Settings(samples=20, examples=4, elbo_samples=2, annealed=2, generated=20)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class OneScale(Distribution):
    """N(μ, diag σ²) of a batch of means and one σ: a field without batch axes."""

    mean: jax.Array
    log_var: jax.Array

    @property
    def batch_shape(self):
        return self.mean.shape[:-1]

    @property
    def event_size(self):
        return self.mean.shape[-1]

    @property
    def mode(self):
        return self.mean

    @property
    def _diagonal(self):
        return DiagonalNormal(self.mean, jnp.broadcast_to(self.log_var, self.mean.shape))

    def _sample(self, key, shape, temperature):
        return self._diagonal._sample(key, shape, temperature)

    def _log_prob(self, z):
        return self._diagonal.log_prob(z)


class OneScalePosterior(Posterior):
    """N(μ(x), diag σ²) with a learned σ, as a distribution of one's own or as a diagonal normal."""

    def __init__(self, family):
        self.family = family
        self.log_var = nnx.Param(jnp.array([-0.5, -1.0]))

    def features(self, latent_dim):
        return {"mean": latent_dim}

    def __call__(self, features):
        log_var, mean = self.log_var[...], features["mean"]
        if self.family is DiagonalNormal:
            log_var = jnp.broadcast_to(log_var, mean.shape)
        return self.family(mean, log_var)


def mixture(components):
    """Return a mixture prior; with one component it is N(0, I)."""
    prior = MixturePrior(2, components, rngs=nnx.Rngs(5))
    if components == 1:
        prior.means[...] = jnp.zeros((1, 2))
    else:
        prior.logits[...] = jnp.arange(components) / 2
        prior.log_vars[...] = prior.means[...] / 2
    return prior


def build(**components):
    rngs = nnx.Rngs(0)
    components = {"likelihood": "bce"} | components
    encoder = MLPEncoder([8], 2, "relu", (6,), rngs=rngs)
    return VAE(encoder, MLPDecoder([8], (6,), 2, rngs=rngs), 2, rngs=rngs, **components)


MODELS = {
    "mixture": lambda **more: build(prior=mixture(3), **more),
    "own posterior": lambda **more: build(posterior=OneScalePosterior(OneScale), **more),
    "point mass": lambda **more: build(
        posterior=PointMassPosterior(), objective=Reconstruction(), **more
    ),
}


@pytest.fixture(autouse=True, scope="module")
def _compile_quickly():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.sampled
@pytest.mark.parametrize("name", MODELS)
def test_every_measure_gives_numbers_or_says_what_it_cannot(name, monkeypatch):
    monkeypatch.setattr(section, "CHAINS", 2)
    monkeypatch.setattr(section, "TEMPERATURES", 4)
    model = MODELS[name]()
    has_density = name != "point mass"
    assert model.has_density == has_density
    for measure in (elbo, elbo_terms, importance_weighted_bound, annealed_importance_sampling):
        if not has_density:
            with pytest.raises(ValueError, match="PointMassPosterior, which has no density"):
                measure(model, X[:3])
    quick = name == "own posterior"
    found = dict(evaluate(Study(model, Split(X), Split(X[:20]), LITTLE), quick=quick))
    names = {"likelihood", "latents", "reconstructions"}
    assert found.keys() == (names if quick else names | {"samples_pca", "copying"})
    figures = found["likelihood"].figures
    assert all(np.isfinite(figure.value) for figure in figures.values())
    if not has_density:
        assert figures.keys() == {"reconstruction_loss"}
        assert found["likelihood"].notes == [
            "q(z|x) is a PointMass, which has no density: there is no bound on log p(x)"
        ]
        return
    assert "2 z each" in figures["kl_loss"].estimator  # no closed form
    if not quick:
        assert "from the posterior" in figures["annealed_importance_sampling"].estimator
    refused = "posterior" if name == "own posterior" else "prior"
    with pytest.raises(ValueError, match="chains start from a diagonal Gaussian"):
        annealed_importance_sampling(model, X[:3], initial=refused)


def test_the_scale_of_an_autoencoder_is_the_error_of_its_reconstructions():
    model = MODELS["point mass"](likelihood="gaussian", scale="optimal")
    made = np.asarray(model.decode(model.encode(X)[0]), np.float64)
    expected = np.sqrt(np.mean(np.square(X - made)))
    assert fix_scale(model, X).likelihood.scale == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "usual"),
    [
        ({"prior": mixture(1)}, {}),
        (
            {"posterior": OneScalePosterior(OneScale)},
            {"posterior": OneScalePosterior(DiagonalNormal)},
        ),
    ],
    ids=["mixture of one", "own posterior"],
)
def test_a_component_that_is_gaussian_after_all_gives_the_gaussian_numbers(own, usual):
    own, usual = build(**own), build(**usual)
    x = X[:5]
    bounds = [importance_weighted_bound(model, x, samples=50) for model in (own, usual)]
    np.testing.assert_allclose(*bounds, rtol=1e-5)
    terms, exact = (elbo_terms(model, x, samples=2000) for model in (own, usual))
    np.testing.assert_allclose(
        terms["reconstruction_loss"], exact["reconstruction_loss"], rtol=1e-5
    )
    # log q - log p has a standard deviation of about 1; 5 errors of the mean of 2,000 samples.
    np.testing.assert_allclose(terms["kl_loss"], exact["kl_loss"], atol=5 / 2000**0.5)
    assert (terms["kl_loss"] != exact["kl_loss"]).all()


def test_importance_weighted_bound_under_a_mixture_is_that_of_float64():
    model, count = MODELS["mixture"](), 30
    x = X[:4]
    keys = sample_keys(example_keys(jax.random.key(0), jnp.arange(len(x))), jnp.arange(count))
    features = model.features(jnp.asarray(x))
    z = np.asarray(samples_of(model, features, keys)[0], np.float64)
    mean, log_var = (np.asarray(features[name], np.float64) for name in ("mean", "log_var"))
    log_q = norm.logpdf(z, mean, np.exp(log_var / 2)).sum(-1)
    prior = model.prior
    logits, means, log_vars = (
        np.asarray(value[...], np.float64) for value in (prior.logits, prior.means, prior.log_vars)
    )
    each = norm.logpdf(z[..., None, :], means, np.exp(log_vars / 2)).sum(-1)
    log_p = logsumexp(each + logits - logsumexp(logits), axis=-1)
    chance = np.asarray(model.decode(z.reshape(-1, 2)), np.float64).reshape(*z.shape[:2], -1)
    log_x = (x * np.log(chance) + (1 - x) * np.log1p(-chance)).sum(-1)
    expected = logsumexp(log_x + log_p - log_q, axis=0) - np.log(count)
    np.testing.assert_allclose(
        importance_weighted_bound(model, x, samples=count), expected, rtol=1e-4
    )
