"""Objectives of several samples: their values, and what they are equal to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_models import LinearGaussian
from flax import nnx
from importance_models import KEY, X, close, losses_under, model_with, parts
from scipy.special import logsumexp
from scipy.stats import norm

from workshop.generative_models.core.configuration import COMPONENT_CONFIGS
from workshop.generative_models.core.distributions import DiagonalNormal, StandardNormal
from workshop.generative_models.evaluation.bounds import elbo, importance_weighted_bound, weighing
from workshop.generative_models.models.vae import VAE, ConditionalVAE, chunks
from workshop.generative_models.models.vae.components import created
from workshop.generative_models.models.vae.inference import BoundTerms, Inference, LossContext
from workshop.generative_models.models.vae.objectives import (
    CIWAE,
    ELBO,
    IWAE,
    MIWAE,
    PIWAE,
    DReG,
    Objective,
    Renyi,
    StickingTheLanding,
)
from workshop.generative_models.models.vae.posteriors import (
    DiagonalNormalPosterior,
    PointMassPosterior,
)

KINDS = ("iwae", "miwae", "piwae", "ciwae", "dreg", "sticking_the_landing", "renyi")
RNG = np.random.default_rng(0)
K = 6


def test_values_against_numpy():
    mean, log_var = RNG.normal(size=(2, 5, 2)).astype(np.float32)
    z = (mean + np.exp(log_var / 2) * RNG.normal(size=(K, 5, 2))).astype(np.float32)
    # Far apart, as before training: of some examples one weight is all there is in float32.
    log_likelihood = (RNG.normal(size=(K, 5)) * [1, 3, 10, 30, 200] - 90).astype(np.float32)
    objectives = {
        "iwae": IWAE(K),
        "stl": StickingTheLanding(K),
        "dreg": DReG(K),
        "miwae": MIWAE(K, 3),
        "piwae": PIWAE(K, 3),
        "ciwae": CIWAE(K, 0.3),
        "0.5": Renyi(K, 0.5),
        "1": Renyi(K, 1.0),
        "0": Renyi(K, 0.0),
        "2": Renyi(K, 2.0),
        "max": Renyi(K, -1000.0),
        "most": Renyi(K, -1e30),
        "least": Renyi(K, 1e30),
    }

    @jax.jit
    def losses(mean, log_var, z, log_likelihood):
        q = DiagonalNormal(mean, log_var)
        inference = Inference.flat(q, StandardNormal(2), z, q.log_prob(z), weigh=True)
        terms = BoundTerms(z, log_likelihood, inference, {})
        return {n: o(None, terms, LossContext()) for n, o in objectives.items()}

    found = losses(mean, log_var, z, log_likelihood)
    mean, log_var, z, log_likelihood = map(np.float64, (mean, log_var, z, log_likelihood))
    log_q = norm(mean, np.exp(log_var / 2)).logpdf(z).sum(-1)
    log_w = log_likelihood + norm.logpdf(z).sum(-1) - log_q
    bound = logsumexp(log_w, 0) - np.log(K)
    groups = logsumexp(log_w.reshape(3, 2, 5), 1) - np.log(2)  # neighbours make a group
    expected = {
        "iwae": bound,
        "stl": bound,
        "dreg": bound,
        "miwae": groups.mean(0),
        "piwae": bound,
        "ciwae": 0.3 * log_w.mean(0) + 0.7 * bound,
        "0.5": 2 * (logsumexp(log_w / 2, 0) - np.log(K)),
        "1": log_w.mean(0),
        "0": bound,
        "2": np.log(K) - logsumexp(-log_w, 0),
        "max": log_w.max(0) - np.log(K) / 1001,
        "most": log_w.max(0),
        "least": log_w.min(0),
    }
    # Numbers near 100 in float32.
    for name, value in expected.items():
        np.testing.assert_allclose(
            found[name]["total_loss"], -value.mean(), rtol=3e-6, err_msg=name
        )
    np.testing.assert_allclose(found["piwae"]["encoder_loss"], -groups.mean(), rtol=3e-6)
    effective = (np.exp(logsumexp(log_w, 0) * 2 - logsumexp(2 * log_w, 0))).mean()
    for name in found:
        np.testing.assert_allclose(found[name]["effective_samples"], effective, rtol=1e-4)


@pytest.mark.slow
def test_one_sample_is_the_elbo_under_a_prior_without_a_closed_form():
    """Then the ELBO itself is log p(x|z) + log p(z) - log q(z|x): equal for the same key."""
    objectives = {kind: created("objective", of_one_sample(kind)) for kind in KINDS}
    found = losses_under(model_with(ELBO()), {"elbo": ELBO(), **objectives}, X)
    expected, gradient = found.pop("elbo")
    for kind, (losses, of_loss) in found.items():
        for name in ("total_loss", "elbo", "kl_loss", "reconstruction_loss"):
            np.testing.assert_allclose(losses[name], expected[name], rtol=1e-5, err_msg=kind)
        # Without the score, the encoder's gradient has the same expectation only.
        without_score = kind in ("dreg", "sticking_the_landing")
        for name in ("decoder", "prior", "likelihood", "encoder")[: 3 if without_score else 4]:
            close(of_loss[name], gradient[name], kind)
    close(found["dreg"][1]["encoder"], found["sticking_the_landing"][1]["encoder"])


def of_one_sample(kind):
    groups = {"groups": 1} if kind in ("miwae", "piwae") else {}
    return COMPONENT_CONFIGS["objective"][kind](samples=1, **groups)


def test_equal_to_the_bound_of_the_evaluation_for_its_samples():
    model = LinearGaussian().model(0.3, 1.4)
    x = LinearGaussian().data(6)
    expected = importance_weighted_bound(model, x, samples=K, seed=3).mean()
    objectives = [IWAE(K), StickingTheLanding(K), DReG(K), MIWAE(K, 1), PIWAE(K, 2), PIWAE(K, K)]
    objectives += [CIWAE(K, 0.0), Renyi(K, 0.0)]
    model.objective = DReG(K)  # so that z can be weighed
    graphdef, state = nnx.split(model)

    @jax.jit
    def losses(state, x):
        model = nnx.merge(graphdef, state)
        keys = weighing.example_keys(jax.random.key(3), jnp.arange(len(x)))
        features = model.features(x)
        z, log_q = weighing.samples_of(model, features, weighing.sample_keys(keys, jnp.arange(K)))
        inference = model.inferred(model.posterior(features), z, log_q, {})
        found = jnp.stack([model.conditional_log_prob(x, row) for row in inference.z])
        terms = BoundTerms(x, found, inference, {})
        return [o(model, terms, LossContext())["total_loss"] for o in objectives]

    np.testing.assert_allclose(losses(state, x), -expected, rtol=1e-5)


def test_every_bound_is_the_evidence_where_q_is_the_true_posterior():
    exact = LinearGaussian()
    model, x = exact.model(), exact.data(6)
    configs = COMPONENT_CONFIGS["objective"]
    objectives = {kind: created("objective", configs[kind](samples=8)) for kind in KINDS}
    noise = {}
    for kind, (losses, gradient) in losses_under(model, objectives, x).items():
        np.testing.assert_allclose(losses["total_loss"], -exact.evidence(x).mean(), rtol=1e-5)
        np.testing.assert_allclose(losses["effective_samples"], 8, rtol=1e-5)
        of_encoder = jax.tree.leaves(gradient["encoder"])
        noise[kind] = max(float(np.abs(g).max()) for g in of_encoder)
    # The landing: without the score there is no noise at the optimum, but for float32's.
    assert noise["dreg"] < 1e-4 > noise["sticking_the_landing"]
    assert noise["iwae"] > 0.01 < noise["piwae"]


def test_samples_are_decoded_with_the_condition_of_their_example():
    rngs = nnx.Rngs(0)
    model = ConditionalVAE(*parts(rngs), 3, objective=DReG(4), likelihood="bce", rngs=rngs)

    @nnx.jit
    def both(model):
        x, y = jnp.asarray(X), jnp.asarray([0, 1, 2, 0, 1, 2])
        loss = model.loss_fn(batch={"x": x, "y": y}, rng=KEY)["total_loss"]
        inference = model.infer(model.features(x, y=y), {"y": y}, samples=4, rngs=nnx.Rngs(KEY))
        found = jnp.stack([model.conditional_log_prob(x, z, y=y) for z in inference.z])
        return loss, found + inference.log_p - inference.log_q

    loss, log_w = both(model)
    expected = logsumexp(np.float64(log_w), 0) - np.log(4)
    np.testing.assert_allclose(loss, -expected.mean(), rtol=1e-5)


@pytest.mark.slow
def test_weighed_latents_change_no_value(monkeypatch):
    """In the evaluation, and in calls outside of compiled functions, which run in chunks."""
    model = model_with(DReG(4))
    expected = losses_under(model, {"": IWAE(4)}, X)[""][0]["total_loss"]
    monkeypatch.setattr(chunks, "MOST", 4)  # rows
    np.testing.assert_allclose(model.loss_fn(batch=X, rng=KEY)["total_loss"], expected, rtol=1e-5)
    found = elbo(model, X, seed=1)
    model.objective = IWAE(4)
    np.testing.assert_array_equal(found, elbo(model, X, seed=1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_is_what_it_builds(kind):
    options = {"samples": 12}
    options |= {"groups": 4} if kind in ("miwae", "piwae") else {}
    options |= {"beta": 0.2} if kind == "ciwae" else {}
    options |= {"alpha": -3.0} if kind == "renyi" else {}
    config = COMPONENT_CONFIGS["objective"][kind](**options)
    assert set(options) == type(config).model_fields.keys() - {"kind", "name", "description"}
    made, plain = created("objective", config), created("objective", type(config)())
    for name, value in options.items():
        assert getattr(made, name) == value
        assert getattr(type(made)(), name) == getattr(plain, name), "the same default"


class OwnSamples(DiagonalNormalPosterior):
    """One whose density is known of its own samples alone, as that of some flows."""

    has_log_prob = False


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_go_together_is_refused_by_name(kind):
    objective = COMPONENT_CONFIGS["objective"][kind]()
    name = type(created("objective", objective)).__name__
    rngs = nnx.Rngs(0)
    with pytest.raises(ValueError, match=f"posterior PointMassPosterior .* objective {name} "):
        VAE(*parts(rngs), posterior=PointMassPosterior(), objective=objective, rngs=rngs)
    options = {"posterior": OwnSamples(), "objective": objective}
    if kind in ("dreg", "sticking_the_landing"):
        with pytest.raises(ValueError, match=f"posterior OwnSamples .* objective {name} needs"):
            VAE(*parts(rngs), rngs=rngs, **options)
    else:
        VAE(*parts(rngs), rngs=rngs, **options)


def test_bad_arguments_are_refused_by_name():
    configs = COMPONENT_CONFIGS["objective"]
    for kind, made in (("miwae", MIWAE), ("piwae", PIWAE)):
        for build in (configs[kind], made):
            with pytest.raises(
                ValueError, match=r"samples=10 with groups=4: .* multiple of groups"
            ):
                build(samples=10, groups=4)
    for build in (configs["ciwae"], CIWAE):
        with pytest.raises(ValueError, match="beta"):
            build(beta=1.5)
    for build in (configs["renyi"], Renyi):
        with pytest.raises(ValueError, match=r"alpha|finite"):
            build(alpha=-np.inf)
    with pytest.raises(ValueError, match="samples=0: expected a positive integer"):
        IWAE(0)
    z = jnp.zeros((1, 1, 2))
    inference = Inference.flat(StandardNormal(2), StandardNormal(2), z, None, weigh=False)
    with pytest.raises(ValueError, match="set its weighs_latents = True"):
        inference.weighing(z[..., 0])
    terms = BoundTerms(z[0], z[..., 0], inference, {})
    with pytest.raises(ValueError, match="outputs must hold 'z'"):
        IWAE(1)(None, terms, LossContext())
    assert not Objective.weighs_latents
