"""Bounds on log p(x) against models whose log p(x) is known."""

from contextlib import suppress
from itertools import pairwise, takewhile
from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_models import LinearGaussian, curve_data, curve_evidence, curve_model
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from workshop.generative_models.core import pace
from workshop.generative_models.core.configuration import (
    ConditionalVAEConfig,
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
    VQVAEConfig,
)
from workshop.generative_models.data import Split
from workshop.generative_models.evaluation import bounds
from workshop.generative_models.evaluation.bounds import (
    elbo,
    elbo_terms,
    fix_scale,
    importance,
    importance_sampling,
    importance_weighted_bound,
    weighing,
)
from workshop.generative_models.evaluation.bounds.importance import Sums, add_samples, layout
from workshop.generative_models.evaluation.passes import CutShort
from workshop.generative_models.models.vae import VAE, VQVAE, ConditionalVAE
from workshop.generative_models.training import Trainer

LINEAR = LinearGaussian()
WRONG = {"shift": 0.2, "factor": 1.7}


class TestElbo:
    def test_its_terms_are_the_closed_form_ones_of_a_linear_model(self):
        x = LINEAR.data(6)
        samples = 4000
        terms = elbo_terms(LINEAR.model(**WRONG), x, samples=samples)
        mean, variance = LINEAR.q(x, **WRONG)
        rate = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(-1)
        np.testing.assert_allclose(terms["kl_loss"], rate, rtol=2e-5)
        # E log p(x|z) = log p(x|E z) - tr(Wᵀ W S) / 2σ².
        spread = (np.square(LINEAR.weight).sum(0) * variance).sum() / (2 * LINEAR.sigma**2)
        distortion = spread - LINEAR.log_p_given(x, mean)
        z = mean + np.sqrt(variance) * np.random.default_rng(0).normal(size=(20_000, 6, 2))
        error = LINEAR.log_p_given(x, z).std(0) / np.sqrt(samples)
        assert (abs(terms["reconstruction_loss"] - distortion) < 5 * error).all()
        assert error.max() < 0.04

    def test_it_is_minus_rate_minus_distortion(self):
        x, model = LINEAR.data(6), LINEAR.model()
        terms = elbo_terms(model, x, samples=3, seed=4)
        bound = elbo(model, x, samples=3, seed=4)
        np.testing.assert_array_equal(bound, -(terms["kl_loss"] + terms["reconstruction_loss"]))

    def test_more_samples_are_the_mean_of_single_ones(self):
        x, model = LINEAR.data(500), LINEAR.model(**WRONG)
        many, one = (elbo_terms(model, x, samples=k)["reconstruction_loss"] for k in (16, 1))
        # The variance over examples of the difference is 17/16 σ²; σ is 1.5 nats or more here.
        spread = (many - one).std()
        assert abs((many - one).mean()) < 5 * spread / np.sqrt(500)
        assert spread > 0.5

    def test_it_is_the_trainers_elbo_within_what_sampling_makes(self):
        x, model = LINEAR.data(400), LINEAR.model(**WRONG)
        trained = [Trainer(model, batch_size=100, seed=s).evaluate(x)["elbo"] for s in range(10)]
        ours = [elbo(model, x, seed=s).mean() for s in range(10)]
        error = np.hypot(np.std(trained, ddof=1), np.std(ours, ddof=1)) / np.sqrt(10)
        assert np.mean(ours) == pytest.approx(np.mean(trained), abs=4 * error)

    def test_it_is_the_trainers_elbo_where_nothing_is_sampled(self):
        # σ = e⁻¹⁰ of q, the least there is: noise moves log p by 1e-4 of its 10 to 1,000 nats.
        x, model = LINEAR.data(50), LINEAR.model(factor=1e-12)
        expected = Trainer(model, batch_size=20).evaluate(x)["elbo"]
        assert elbo(model, x).mean() == pytest.approx(expected, rel=1e-4)

    def test_a_vq_vae_has_it_exactly(self, make_vqvae, x):
        model = make_vqvae()
        expected = Trainer(model, batch_size=20).evaluate(x)
        terms = elbo_terms(model, x)
        np.testing.assert_allclose(terms["kl_loss"], 2 * log(5), rtol=1e-6)  # two codes out of five
        assert elbo(model, x).mean() == pytest.approx(expected["elbo"], rel=1e-5)

    def test_examples_do_not_see_each_other(self):
        x, model = LINEAR.data(230), LINEAR.model(**WRONG)
        # In passes of 100 that are full, and in one of 30.
        np.testing.assert_allclose(elbo(model, x)[:30], elbo(model, x[:30]), rtol=1e-5)


class TestImportanceWeightedBound:
    @pytest.mark.parametrize("samples", [1, 7])
    def test_the_exact_posterior_makes_it_the_evidence(self, samples):
        """Every weight is p(x) then: nothing is left to chance but rounding."""
        x = LINEAR.data(9)
        found = importance_sampling(LINEAR.model(), x, samples=samples)
        np.testing.assert_allclose(found["bound"], LINEAR.evidence(x), atol=2e-5)
        np.testing.assert_allclose(found["effective_samples"], samples, rtol=1e-4)

    def test_it_rises_with_samples_to_the_evidence(self):
        x, model = LINEAR.data(400), LINEAR.model(shift=0.35, factor=2.5)
        evidence = LINEAR.evidence(x)
        counts = (1, 8, 64, 1000)
        found = {k: importance_sampling(model, x, samples=k, seed=k) for k in counts}
        gaps = [evidence - found[k]["bound"] for k in counts]
        for wider, nearer in pairwise(gaps[:3]):  # beyond 64 the steps drown in chance
            step = wider - nearer
            assert step.mean() > 2 * step.std() / np.sqrt(len(x))
        # The bias of the logarithm of a mean is half its relative variance, 1/2 (1/ESS - 1/K).
        bias = 0.5 * (1 / found[1000]["effective_samples"] - 1 / 1000)
        error = gaps[-1].std() / np.sqrt(len(x))
        assert abs(gaps[-1].mean() - bias.mean()) < 5 * error
        assert error < 0.01

    def test_its_mean_is_that_of_float64_numpy(self):
        x = LINEAR.data(400)
        ours = importance_weighted_bound(LINEAR.model(**WRONG), x, samples=10)
        mean, variance = LINEAR.q(x, **WRONG)
        noise = np.random.default_rng(3).normal(size=(10, 400, 2))
        z = mean + np.sqrt(variance) * noise
        log_q = -0.5 * (np.log(2 * np.pi * variance) + noise**2).sum(-1)
        log_prior = -0.5 * (np.log(2 * np.pi) + z**2).sum(-1)
        theirs = logsumexp(LINEAR.log_p_given(x, z) + log_prior - log_q, axis=0) - np.log(10)
        difference = ours - theirs
        assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(400)

    def test_a_curved_decoder_of_bits_agrees_with_quadrature(self):
        x = curve_data()
        found = importance_sampling(curve_model(), x, samples=20_000)
        error = np.sqrt(1 / found["effective_samples"] - 1 / 20_000)  # of log of a mean of weights
        assert (abs(found["bound"] - curve_evidence(x)) < 5 * error).all()
        assert error.max() < 0.02

    @pytest.mark.slow
    @pytest.mark.parametrize("budget", [2**14, 2**18])
    def test_how_many_fit_in_a_step_changes_only_rounding(self, budget, monkeypatch):
        x, model = LINEAR.data(23), LINEAR.model(**WRONG)
        expected = importance_weighted_bound(model, x, samples=150, seed=5)
        monkeypatch.setattr(weighing, "BUDGETS", {})
        monkeypatch.setattr(weighing, "BUDGET", budget)
        again = importance_weighted_bound(model, x, samples=150, seed=5)
        np.testing.assert_allclose(again, expected, atol=3e-5)

    def test_memory_and_program_are_the_same_for_any_number_of_samples(self, monkeypatch, programs):
        calls = []

        def kept(*args, **kwargs):
            calls.append((args, kwargs))
            return add_samples(*args, **kwargs)

        monkeypatch.setattr(importance, "add_samples", kept)
        monkeypatch.setattr(weighing, "BUDGETS", {"cpu": 2**16})
        x, model = LINEAR.data(400), LINEAR.model(**WRONG)
        add_samples.clear_cache()  # other tests may have compiled the same programs
        compiled = []
        for samples in (100, 10_000):
            calls.clear()

            def two_calls(steps):
                return takewhile(lambda _: len(calls) < 2, steps)

            with suppress(CutShort):
                importance_weighted_bound(model, x, samples=samples, progress=two_calls)
            args, kwargs = calls[-1]
            if not compiled:
                assert programs.count("jit(add_samples)") == 1
            compiled.append(add_samples.lower(*args, **kwargs).compile())
        assert programs.count("jit(add_samples)") == 1
        few, many = (c.memory_analysis().temp_size_in_bytes for c in compiled)
        assert few == many < 30 * 2**16  # nothing is fused in these tests

    @pytest.mark.slow
    def test_how_steps_are_split_over_calls_changes_no_bit(self, monkeypatch):
        x, model = LINEAR.data(23), LINEAR.model(**WRONG)
        monkeypatch.setattr(weighing, "BUDGETS", {"cpu": 2**12})
        found = []
        for most in (1, 7, 1000):
            monkeypatch.setattr(pace, "next_count", lambda *_, most=most, **__: most)
            found.append(
                (
                    importance_weighted_bound(model, x, samples=150, seed=5),
                    bounds.elbo(model, x, samples=20),
                    bounds.annealed_importance_sampling(model, x, chains=4, steps=6),
                )
            )
        for other in found[1:]:
            for a, b in zip(found[0], other, strict=True):
                np.testing.assert_array_equal(a, b)

    @given(st.integers(1, 10**6), st.integers(1, 10**5), st.integers(1, 10**5))
    def test_a_step_has_as_many_rows_as_there_may_be(self, rows, examples, samples):
        size, step = layout(rows, examples, samples)
        assert 1 <= size <= examples
        assert 1 <= step <= samples
        assert size * step <= rows
        # And it is half full at least, unless there is no more to do.
        assert 2 * size * step > rows or (size, step) == (examples, samples) or step == samples

    def test_the_widest_array_is_found_in_inner_functions(self):
        inner = jax.jit(lambda z: jnp.tanh(jnp.tile(z, 7)))
        traced = jax.make_jaxpr(lambda z: jax.vmap(lambda row: inner(row).sum())(z))
        assert weighing.widest(traced(jnp.zeros((3, 5))).jaxpr) == 4 * 3 * 5 * 7


class TestSums:
    def test_they_are_those_of_all_weights_in_any_blocks(self):
        log_w = np.random.default_rng(0).normal(size=(60, 4)) * [1, 30, 300, 0.1] - 1e4
        sums = Sums(*(jnp.zeros(4) + v for v in (-jnp.inf, 0, 0)))
        for block in np.split(log_w.astype(np.float32), [1, 10, 45]):
            sums = sums.add(jnp.asarray(block))
        expected = logsumexp(log_w, axis=0)
        # float32 holds 1e4 to 1e-3.
        np.testing.assert_allclose(sums.largest + np.log(sums.total), expected, atol=2e-3)
        ess = np.exp(2 * expected - logsumexp(2 * log_w, axis=0))
        np.testing.assert_allclose(sums.total**2 / sums.squares, ess, rtol=5e-3)

    def test_weights_of_zero_count_nothing(self):
        start = Sums(jnp.full(1, -jnp.inf), jnp.zeros(1), jnp.zeros(1))
        zero = start.add(jnp.full((3, 1), -jnp.inf))
        assert [float(a[0]) for a in zero] == [-np.inf, 0, 0]
        assert float(zero.add(jnp.zeros((1, 1))).total[0]) == 1


class TestConditional:
    @pytest.mark.slow
    @pytest.mark.parametrize("estimate", [elbo, importance_weighted_bound])
    def test_labels_are_read(self, estimate):
        model, y = LINEAR.model(conditional=True), np.arange(40) % 3
        x = LINEAR.data(40)
        shifted = (x + LINEAR.offsets[y]).astype(np.float32)
        plain = estimate(LINEAR.model(), x, samples=5)
        found = estimate(model, shifted, y, samples=5)
        np.testing.assert_allclose(found, plain, atol=1e-3)
        split = Split(shifted, y.astype(np.int32))
        np.testing.assert_array_equal(estimate(model, split, samples=5), found)
        # Without a class these networks add no offset.
        np.testing.assert_allclose(estimate(model, x, samples=5), plain, atol=1e-3)

    def test_one_label_stands_for_all(self):
        model, x = LINEAR.model(conditional=True), LINEAR.data(4)
        np.testing.assert_array_equal(elbo(model, x, 2), elbo(model, x, np.full(4, 2)))


class TestFixScale:
    @pytest.mark.sampled
    @pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
    def test_it_is_the_best_over_all_the_data(self, likelihood):
        # q is a point here, so that the reconstructions are known; 150 examples are two passes.
        x = LINEAR.data(150)
        model = LINEAR.model(0.3, 1e-12, likelihood=likelihood, scale="optimal")
        fixed = fix_scale(model, x)
        error = x - (LINEAR.q(x, 0.3)[0] @ LINEAR.weight.T + LINEAR.centre)
        best = np.sqrt(np.mean(error**2)) if likelihood == "gaussian" else np.mean(abs(error))
        assert fixed.likelihood.scale == pytest.approx(best, rel=1e-4)
        assert model.likelihood.scale == "optimal"
        assert np.isfinite(importance_weighted_bound(fixed, x[:3], samples=10)).all()

    def test_the_elbo_there_is_best(self):
        x, model = LINEAR.data(400), LINEAR.model(**WRONG, scale="optimal")
        best = fix_scale(model, x).likelihood.scale
        learned, means = LINEAR.model(**WRONG, scale="learned"), []
        for factor in (0.95, 1, 1.05):
            learned.likelihood.log_scale[...] = jnp.log(
                factor * best - learned.likelihood.min_scale
            )
            means.append(elbo(learned, x).mean())
        assert means[1] > max(means[0], means[2])

    def test_the_copys_configuration_says_so(self):
        sizes = {"hidden_dims": (4,), "latent_dim": 2}
        config = VAEConfig(
            encoder=EncoderConfig(**sizes, input_shape=(5,)),
            decoder=DecoderConfig(**sizes, output_shape=(5,)),
            likelihood="gaussian",
            scale="optimal",
        )
        fixed = fix_scale(VAE(config, rngs=nnx.Rngs(0)), LINEAR.data(9))
        assert fixed.config.scale == fixed.likelihood.scale

    def test_a_likelihood_without_a_scale_is_refused(self):
        with pytest.raises(ValueError, match="Bernoulli has no scale"):
            fix_scale(curve_model(), curve_data())

    @pytest.mark.parametrize("estimate", [elbo, importance_weighted_bound])
    def test_a_scale_of_the_batch_is_refused_with_the_way_out(self, estimate):
        with pytest.raises(ValueError, match=r"fix_scale\(model, training_data\)"):
            estimate(LINEAR.model(scale="optimal"), LINEAR.data(3))


class TestInput:
    def test_bytes_are_hundredths_of_255(self, make_vae):
        x = np.random.default_rng(0).integers(0, 256, (9, 6), np.uint8)
        scaled = (x / 255).astype(np.float32)
        np.testing.assert_allclose(elbo(make_vae(), x), elbo(make_vae(), scaled), rtol=1e-5)

    def test_a_model_in_training_mode_is_evaluated_all_the_same_and_left_so(self, make_vae, x):
        model = make_vae()
        model.encoder.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
        model.train()
        counts = [np.array(v) for v in jax.tree.leaves(nnx.state(model, nnx.RngCount))]
        elbo(model, x)
        assert model.encoder.dropout.deterministic is False
        after = jax.tree.leaves(nnx.state(model, nnx.RngCount))
        np.testing.assert_array_equal(counts, after)

    @pytest.mark.parametrize("estimate", [elbo, importance_weighted_bound])
    def test_what_was_done_before_a_cut_is_kept(self, estimate, monkeypatch):
        monkeypatch.setattr(weighing, "BUDGETS", {})
        monkeypatch.setattr(weighing, "BUDGET", 2**14)
        x, model = LINEAR.data(250), LINEAR.model(**WRONG)
        cut = estimate(
            model, x, samples=20, progress=lambda steps: list(steps)[: len(steps) * 2 // 3]
        )
        assert 2 <= len(cut) < 250
        np.testing.assert_array_equal(cut, estimate(model, x, samples=20)[: len(cut)])

    @pytest.mark.parametrize("estimate", [elbo, importance_weighted_bound])
    def test_impossible_input_is_named(self, estimate):
        model, x = LINEAR.model(), LINEAR.data(4)
        for bad, y, samples, words in (
            (np.where(np.eye(4, 5) > 0, np.nan, x), None, 1, "NaN or infinite"),
            (x[:, :3], None, 1, r"shape \([14], 3\): expected \(batch, 5\)"),
            (x[0], None, 1, r"shape \(5,\): expected \(n, \*event\)"),
            (x[:0], None, 1, "n at least 1"),
            (x, np.zeros(4, int), 1, "VAE reads no labels"),
            (Split(x), np.zeros(4, int), 1, "given twice"),
            (x, None, 0, "samples=0: expected a positive integer"),
        ):
            with pytest.raises(ValueError, match=words):
                estimate(model, bad, y, samples=samples)
        own = LINEAR.model(conditional=True)
        with pytest.raises(ValueError, match=r"y has shape \(3,\): expected a row for each of 4"):
            estimate(own, x, [0, 1, 2])
        sizes = {"hidden_dims": (4,), "latent_dim": 2}
        config = ConditionalVAEConfig(
            encoder=EncoderConfig(**sizes, input_shape=(5,)),
            decoder=DecoderConfig(**sizes, output_shape=(5,)),
            condition_dim=3,
        )
        classes = ConditionalVAE(config, rngs=nnx.Rngs(0))
        with pytest.raises(ValueError, match=r"y has shape \(3,\).*expected integer labels \(4,\)"):
            estimate(classes, x, [0, 1, 2])
        with pytest.raises(ValueError, match="expected 0 <= label < 3"):
            estimate(classes, x, [0, 1, 2, 3])

    def test_codes_have_no_density(self):
        sizes = {"hidden_dims": (4,), "latent_dim": 2}
        encoder = EncoderConfig(**sizes, input_shape=(5,))
        decoder = DecoderConfig(**sizes, output_shape=(5,))
        config = VQVAEConfig(encoder=encoder, decoder=decoder, num_embeddings=5, embedding_dim=1)
        with pytest.raises(ValueError, match=r"VQVAE are codes.*its ELBO.*use elbo\(model, x\)"):
            importance_weighted_bound(VQVAE(config, rngs=nnx.Rngs(0)), LINEAR.data(3))
