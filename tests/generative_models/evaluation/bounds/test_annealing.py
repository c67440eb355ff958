"""Annealed importance sampling against models whose log p(x) is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_models import LinearGaussian, curve_data, curve_evidence, curve_model
from scipy.special import expit, logsumexp

from workshop.generative_models.evaluation.bounds import importance_weighted_bound, weighing
from workshop.generative_models.evaluation.bounds.annealing import (
    FIRST_STEP,
    Chain,
    _transition,
    _tuned,
    annealed_importance_sampling,
    annealed_log_weights,
    temperatures,
)

LINEAR = LinearGaussian()
WRONG = {"shift": 0.3, "factor": 2.0}


def spread_of(log_w):
    """Return the standard error of log of a mean of weights, by the delta method."""
    w = np.exp(log_w - log_w.max(1, keepdims=True))
    return w.std(1, ddof=1) / w.mean(1) / np.sqrt(w.shape[1])


class TestEstimate:
    @pytest.mark.slow
    @pytest.mark.parametrize("initial", ["prior", "posterior"])
    def test_it_is_the_evidence_of_a_linear_model_within_its_error(self, initial):
        x = LINEAR.data(20)
        log_w = annealed_log_weights(
            LINEAR.model(**WRONG), x, chains=32, steps=100, leapfrog=5, initial=initial
        )
        estimate = logsumexp(log_w, axis=1) - np.log(32)
        error = spread_of(log_w)
        assert (abs(estimate - LINEAR.evidence(x)) < 5 * error).all()
        assert error.max() < 0.3

    def test_weights_are_unbiased_however_few_the_steps(self):
        """E[w] = p(x) exactly: a transition that left its distribution would show here."""
        x = LINEAR.data(4)
        log_w = annealed_log_weights(
            LINEAR.model(**WRONG), x, chains=20_000, steps=6, leapfrog=3, initial="posterior"
        )
        w = np.exp(log_w - LINEAR.evidence(x)[:, None])
        error = w.std(1) / np.sqrt(20_000)
        assert (abs(w.mean(1) - 1) < 5 * error).all()
        assert error.max() < 0.02

    @pytest.mark.slow
    def test_it_rises_with_steps(self):
        # Far out, where samples of the prior seldom come.
        x, model = 3 * LINEAR.data(20), LINEAR.model(**WRONG)
        means = [
            annealed_importance_sampling(model, x, steps=t, leapfrog=5).mean() for t in (1, 3, 100)
        ]
        assert means == sorted(means)
        # Six seeds: 0.09 below on average, as a bound is, with a deviation of 0.06. Rounding moves
        # a chain as another seed does, and it differs between machines: five deviations.
        assert means[2] == pytest.approx(LINEAR.evidence(x).mean(), abs=0.4)
        assert means[0] < means[2] - 1

    @pytest.mark.slow
    def test_a_curved_decoder_of_bits_agrees_with_quadrature(self):
        x = curve_data()
        log_w = annealed_log_weights(curve_model(), x, chains=200, steps=20, leapfrog=5)
        estimate, error = logsumexp(log_w, axis=1) - np.log(200), spread_of(log_w)
        assert (abs(estimate - curve_evidence(x)) < 5 * error).all()
        assert error.max() < 0.1

    @pytest.mark.slow
    def test_one_step_is_importance_sampling(self):
        x, model = LINEAR.data(6), LINEAR.model(**WRONG)
        ours = annealed_importance_sampling(
            model, x, chains=7, steps=1, initial="posterior", seed=3
        )
        expected = importance_weighted_bound(model, x, samples=7, seed=3)
        np.testing.assert_allclose(ours, expected, rtol=1e-5)

    @pytest.mark.slow
    def test_labels_are_read(self):
        y = np.arange(20) % 3
        shifted = (LINEAR.data(20) + LINEAR.offsets[y]).astype(np.float32)
        # From the exact posterior all weights are the evidence.
        found = annealed_importance_sampling(
            LINEAR.model(conditional=True),
            shifted,
            y,
            chains=2,
            steps=5,
            leapfrog=2,
            initial="posterior",
        )
        np.testing.assert_allclose(found, LINEAR.evidence(LINEAR.data(20)), atol=1e-4)

    @pytest.mark.slow
    def test_passes_change_only_rounding_and_a_cut_keeps_what_is_done(self, monkeypatch):
        x, model = LINEAR.data(20), LINEAR.model(**WRONG)
        options = {"chains": 16, "steps": 100, "leapfrog": 5}
        expected = annealed_log_weights(model, x, **options)
        monkeypatch.setattr(weighing, "BUDGETS", {"cpu": 20 * 16 * 8})  # eight examples a pass
        cut = annealed_log_weights(  # two of three passes, of equally many steps
            model, x, **options, progress=lambda steps: list(steps)[: len(steps) * 2 // 3]
        )
        assert cut.shape == (16, 16)
        # Where rounding turns an acceptance, a chain goes another way: few do.
        near = np.isclose(cut, expected[:16], atol=1e-3)
        assert near.mean() > 0.9

    def test_impossible_input_is_named(self, make_vqvae):
        x, model = LINEAR.data(3), LINEAR.model()
        for name, value, words in (
            ("initial", "postrior", "did you mean 'posterior'"),
            ("steps", 0, "steps=0: expected a positive integer"),
            ("chains", 0, "chains=0: expected a positive integer"),
            ("leapfrog", -1, "leapfrog=-1: expected a positive integer"),
            ("y", np.zeros(3, int), "VAE reads no labels"),
        ):
            with pytest.raises(ValueError, match=words):
                annealed_importance_sampling(model, x, **{name: value})
        with pytest.raises(ValueError, match=r"fix_scale\(model, training_data\)"):
            annealed_importance_sampling(LINEAR.model(scale="optimal"), x)
        with pytest.raises(ValueError, match=r"VQVAE are codes.*use elbo\(model, x\)"):
            annealed_importance_sampling(make_vqvae(), np.zeros((3, 6)))
        with pytest.raises(ValueError, match="NaN or infinite"):
            annealed_importance_sampling(model, np.full((3, 5), np.nan))


class TestParts:
    @pytest.mark.parametrize("steps", [1, 2, 1000])
    def test_temperatures_are_stretched_sigmoids(self, steps):
        betas = temperatures(steps)
        assert len(betas) == steps + 1
        assert (betas[0], betas[-1]) == (0, 1)
        assert (np.diff(betas) > 0).all()
        np.testing.assert_allclose(betas + betas[::-1], 1)  # symmetric
        if steps == 1000:
            expected = (expit(-2) - expit(-4)) / (expit(4) - expit(-4))
            assert betas[250] == pytest.approx(expected)

    @pytest.mark.slow
    def test_a_transition_leaves_its_distribution_as_it_is_and_steps_are_tuned(self):
        """N(u; 0, I) w(u)^β with w = N(u; m, s²) is the Gaussian of the summed precisions."""
        m, s, beta = np.array([1.0, -2.0]), np.array([0.3, 2.0]), 0.7
        precision = 1 + beta / s**2
        mean, deviation = beta * m / s**2 / precision, precision**-0.5
        rng = np.random.default_rng(0)
        n = 20_000
        u = jnp.asarray(mean + deviation * rng.normal(size=(n, 1, 2)), jnp.float32)

        def weigh(u):
            return -0.5 * jnp.square((u - m.astype(np.float32)) / s.astype(np.float32)).sum(-1)

        def start(u):
            weight, back = jax.vjp(weigh, u)
            keys = jax.random.split(jax.random.key(0), u.shape[:2])
            return keys, Chain(u, weight, back(jnp.ones_like(weight))[0])

        keys, pilot = start(u[:4])

        def tune(carry, t):
            pilot, log_size = carry
            size = jnp.exp(log_size)
            pilot, accepted = _transition(weigh, keys, pilot, t + 1, jnp.float32(beta), size, 5)
            return (pilot, _tuned(log_size, accepted)), size

        first = pilot, jnp.full(u.shape[1], jnp.log(FIRST_STEP))
        _, sizes = jax.jit(lambda: jax.lax.scan(tune, first, jnp.arange(300)))()
        step = jax.jit(lambda i, size: _transition(weigh, *start(u), i, jnp.float32(beta), size, 5))
        accepted = [step(jnp.asarray(t), sizes[t])[1].mean() for t in range(250, 300)]
        # Fifty temperatures of a walk that forgets itself in some ten: within a tenth.
        assert np.mean(accepted) == pytest.approx(0.65, abs=0.1)
        moved, accepted = step(jnp.asarray(1000), sizes[-1])
        assert float(jnp.mean(jnp.any(moved.u != u, -1))) == pytest.approx(
            float(accepted.mean()), abs=5 * 0.5 / n**0.5
        )
        z = (np.asarray(moved.u[:, 0], np.float64) - mean) / deviation
        # Five standard errors of a mean, and of a variance, of n independent numbers.
        assert (abs(z.mean(0)) < 5 / n**0.5).all()
        assert (abs(z.var(0) - 1) < 5 * (2 / n) ** 0.5).all()
        # What is carried along belongs to where the chains are.
        np.testing.assert_allclose(moved.weight, weigh(moved.u), rtol=1e-5)

    def test_a_step_far_too_long_moves_nothing_and_breaks_nothing(self):
        def weigh(u):
            return -jnp.exp(u).sum(-1)

        u = jnp.zeros((3, 1, 2))
        weight, back = jax.vjp(weigh, u)
        chain = Chain(u, weight, back(jnp.ones_like(weight))[0])
        keys = jax.random.split(jax.random.key(0), (3, 1))
        moved, accepted = _transition(
            weigh, keys, chain, jnp.asarray(1), jnp.float32(1), jnp.full(1, 1e4), 10
        )
        np.testing.assert_array_equal(accepted, 0)
        for new, old in zip(moved, chain, strict=True):
            np.testing.assert_array_equal(new, old)
