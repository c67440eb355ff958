"""The prior of each class, p(z|y)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from prior_models import X, Y, check_resumes_and_saves, model_with
from scipy.stats import norm

from workshop.generative_models.core.configuration import ConditionalConfig
from workshop.generative_models.evaluation.bounds import importance_weighted_bound
from workshop.generative_models.models.vae import ConditionalVAE, MLPDecoder, MLPEncoder
from workshop.generative_models.models.vae.priors import ConditionalPrior

RNG = np.random.default_rng(0)
MEANS, LOG_VARS = (RNG.normal(size=(3, 2)).astype(np.float32) for _ in range(2))


def model():
    made = model_with(prior=ConditionalConfig(), classes=3)
    made.prior.means[...], made.prior.log_vars[...] = jnp.asarray(MEANS), jnp.asarray(LOG_VARS)
    return made


def test_the_kl_is_that_to_the_normal_distribution_of_the_class():
    @nnx.jit
    def found(model):
        losses = model.loss_fn(batch={"x": X, "y": Y}, rng=jax.random.key(0))
        return losses["kl_loss"], model.encode(X, Y)

    kl, (mean, log_var) = found(model())
    mean, log_var, m, v = np.float64(mean), np.float64(log_var), MEANS[Y], LOG_VARS[Y]
    each = 0.5 * (v - log_var + (np.exp(log_var) + (mean - m) ** 2) / np.exp(v) - 1)
    np.testing.assert_allclose(kl, each.sum(1).mean(), rtol=1e-5)


def test_densities_follow_every_form_of_a_class():
    z = RNG.normal(size=(6, 2)).astype(np.float32)
    mixed = np.float32([[0.5, 0.5, 0]] * 6)
    forms = {"labels": Y, "one": 2, "rows": np.eye(3, dtype=np.float32)[Y], "mixed": mixed,
             "row": mixed[0], "none": None}  # fmt: skip
    found = nnx.jit(lambda model: {n: model.p_z(y=y).log_prob(z) for n, y in forms.items()})(
        model()
    )
    codes = {"labels": np.eye(3)[Y], "one": np.eye(3)[[2]], "rows": np.eye(3)[Y],
             "mixed": mixed, "row": mixed, "none": np.zeros((1, 3))}  # fmt: skip
    for name, code in codes.items():
        expected = norm(code @ MEANS, np.exp(code @ LOG_VARS / 2)).logpdf(z).sum(-1)
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, err_msg=name)


def test_samples_are_of_the_class_that_is_asked_for(monkeypatch):
    made = model_with(prior=ConditionalConfig(), classes=3)
    made.prior.means[...] = jnp.array([[30.0, 0], [-30, 0], [0, 30]])
    # Eight deviations apart: the class of every z is plain.
    seen = []
    decode = ConditionalVAE._decoder_output

    def spied(self, z, *arguments):
        seen.append(z)
        return decode(self, z, *arguments)

    monkeypatch.setattr(ConditionalVAE, "_decoder_output", spied)
    made.sample(6, y=Y, rngs=nnx.Rngs(0))
    z = np.asarray(seen[0])
    np.testing.assert_array_equal(
        np.square(z[:, None] - np.asarray(made.prior.means[...])).sum(-1).argmin(1), Y
    )


@pytest.mark.slow
def test_a_run_resumes_and_the_model_is_saved_and_evaluated(tmp_path):
    def make():
        return model_with(prior=ConditionalConfig(), classes=3)

    loaded = check_resumes_and_saves(make, tmp_path, {"x": X, "y": Y})
    assert np.any(loaded.prior.means[...]), "it is trained"
    losses = nnx.jit(lambda m: m.loss_fn(batch={"x": X, "y": Y}, rng=jax.random.key(0)))(loaded)
    # More samples raise the bound, but for the spread of the ELBO of one sample.
    assert importance_weighted_bound(loaded, X, Y, samples=100).mean() > losses["elbo"] - 0.1


def test_a_model_that_reads_no_class_is_refused_by_name():
    with pytest.raises(ValueError, match=r"prior ConditionalPrior reads a class, .* a VAE, reads"):
        model_with(prior=ConditionalConfig())
    with pytest.raises(ValueError, match=r"prior ConditionalPrior reads a class, .* a VAE, reads"):
        model_with(prior=None, classes=None).__class__(
            MLPEncoder([4], 2, "tanh", (4,), rngs=nnx.Rngs(0)),
            MLPDecoder([4], (4,), 2, rngs=nnx.Rngs(0)), 2,
            prior=ConditionalPrior(2, 3), rngs=nnx.Rngs(0),
        )  # fmt: skip
    with pytest.raises(ValueError, match="ConditionalPrior has num_classes=4, and the model"):
        ConditionalVAE(
            MLPEncoder([4], 2, "tanh", (4,), rngs=nnx.Rngs(0)),
            MLPDecoder([4], (4,), 2, rngs=nnx.Rngs(0)), 2, 3,
            prior=ConditionalPrior(2, 4), rngs=nnx.Rngs(0),
        )  # fmt: skip
