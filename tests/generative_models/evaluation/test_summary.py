"""A whole evaluation, on a model whose figures are known."""

from dataclasses import replace
from math import log

import jax.numpy as jnp
import numpy as np
import pytest
from exact_models import LinearGaussian
from flax import nnx

from workshop.generative_models.core.configuration import (
    DecoderConfig,
    EncoderConfig,
    PriorConfig,
    VQVAEConfig,
)
from workshop.generative_models.core.files import write_json
from workshop.generative_models.data import Split
from workshop.generative_models.evaluation import summary
from workshop.generative_models.evaluation.estimates import Estimate
from workshop.generative_models.evaluation.study import Settings, Study
from workshop.generative_models.models.vae import VQVAE

LITTLE = Settings(samples=64, examples=60, generated=40, elbo_samples=2, factor_examples=100)


TRUTH = LinearGaussian()
"""A linear Gaussian model with its exact posterior."""


@pytest.fixture(scope="module")
def found():
    y = np.arange(60, dtype=np.int32) % 2
    train, test = (Split(TRUTH.data(60, seed), y) for seed in (0, 1))
    study = Study(TRUTH.model(), train, test, LITTLE)
    return study, dict(summary.evaluate(study))


def test_the_bound_of_an_exact_posterior_is_the_evidence(found):
    study, sections = found
    evidence = TRUTH.evidence(np.asarray(study.test.x))
    figures = sections["likelihood"].figures
    bound = figures["importance_weighted_bound"]
    # Every sample of an exact posterior has the weight p(x).
    np.testing.assert_allclose(bound.value, evidence.mean(), rtol=1e-4)
    np.testing.assert_allclose(figures["effective_samples"].value, LITTLE.samples, rtol=1e-3)
    bits = -evidence.mean() / (study.test.shape[0] * log(2))
    np.testing.assert_allclose(figures["bits_per_dim"].value, bits, rtol=1e-4)
    total = figures["kl_loss"].value + figures["reconstruction_loss"].value
    np.testing.assert_allclose(figures["elbo"].value, -total, rtol=1e-6)
    assert figures["elbo"].n == len(study.test)


def test_sections_are_those_of_the_model_and_its_data(found):
    _, sections = found
    assert set(sections) == {
        "likelihood", "latents", "reconstructions", "samples_pca", "samples_classifier", "copying",
        "probes",
    }  # fmt: skip
    series = sections["latents"].series["kl_per_dimension"]
    rate = sections["likelihood"].figures["kl_loss"].value
    np.testing.assert_allclose(sum(series), rate, rtol=1e-5)


def test_it_is_the_same_from_disk(found, tmp_path):
    study, sections = found
    content = summary.as_json(sections, study, run="here")
    write_json(content, tmp_path / "a" / "evaluation.json", allow_nan=False)
    back = summary.read(tmp_path / "a" / "evaluation.json")
    assert back["sections"] == {name: s.figures for name, s in sections.items()}
    assert back["titles"]["likelihood"] == "Likelihood"
    assert back["settings"]["samples"] == LITTLE.samples
    assert back["run"] == "here"


def test_infinite_figures_and_series_are_written_too(found, tmp_path):
    study, sections = found
    odd = replace(
        sections["latents"],
        figures={"kl_loss": Estimate(np.inf, None, 3, "mean")},
        series={"kl_per_dimension": [np.inf, np.nan, 1.0]},
    )
    write_json(summary.as_json({"latents": odd}, study), tmp_path / "e.json", allow_nan=False)
    back = summary.read(tmp_path / "e.json")
    assert back["sections"]["latents"] == odd.figures


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "is missing: run workshop evaluate"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"format": 99, "sections": {}}', "is newer than 1"),
        ('{"format": 1, "sections": {"a": {"title": "A", "figures": {"b": {}}}}}', "cannot be"),
    ],
)
def test_a_damaged_file_is_a_sentence(tmp_path, text, said):
    path = tmp_path / "evaluation.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=said):
        summary.read(path)


def test_a_model_that_was_overfitted_is_told():
    """The examples that it was not trained on lie elsewhere."""
    train, test = TRUTH.data(60), TRUTH.data(60, seed=1) + np.float32(3.0)
    study = Study(TRUTH.model(), Split(train), Split(test), LITTLE)
    (name, section), *_ = summary.evaluate(study, quick=True)
    assert name == "likelihood"
    assert "overfits" in section.verdicts[0]
    gap = float(section.verdicts[0].split(" nats")[0].split()[-1])
    evidence = [TRUTH.evidence(x).mean() for x in (train, test)]
    # The quick way has the ELBO alone, which here is the evidence up to the noise of two z.
    assert gap == pytest.approx(evidence[0] - evidence[1], rel=0.05)


@pytest.fixture(scope="module")
def discrete():
    """A VQ-VAE of four codes, of which one is used, with an unfitted prior."""
    shared = {"latent_dim": 2}
    config = VQVAEConfig(
        encoder=EncoderConfig(hidden_dims=(4,), input_shape=(4, 4, 1), **shared),
        decoder=DecoderConfig(hidden_dims=(4,), output_shape=(4, 4, 1), **shared),
        num_embeddings=64, embedding_dim=2, likelihood="bce",
    )  # fmt: skip
    model = VQVAE(config, rngs=nnx.Rngs(0))
    far = jnp.full((64, 2), 100.0).at[0].set(0.0)
    model.embeddings.embedding[...] = far
    model.prior = model.new_prior(
        PriorConfig(layers=1, width=8, heads=2), num_classes=2, rngs=nnx.Rngs(0)
    )
    x = np.random.default_rng(0).random((120, 4, 4, 1), np.float32)
    y = np.arange(120, dtype=np.int32) % 2
    return model, Split(x[:60], y[:60]), Split(x[60:], y[60:])


@pytest.mark.slow
def test_of_a_discrete_model_codes_and_prior_are_told(discrete):
    model, train, test = discrete
    sections = dict(summary.evaluate(Study(model, train, test, LITTLE), quick=True))
    assert set(sections) == {"likelihood", "codes", "prior", "reconstructions"}
    codes = sections["codes"].figures
    assert (codes["used"].value, codes["perplexity"].value, codes["code_bits"].value) == (1, 1, 0)
    assert codes["perplexity"].standard_error == 0
    assert sections["codes"].series["codebook_counts"][0] == 60
    assert "1 of 64 codes used" in sections["codes"].verdicts[0]
    likelihood = sections["likelihood"].figures
    np.testing.assert_allclose(likelihood["kl_loss"].value, log(64), rtol=1e-6)
    assert likelihood["kl_loss"].standard_error == 0
    prior = sections["prior"].figures
    nats = -np.asarray(model.prior.log_prob(model.encode_indices(test.x), test.y))
    np.testing.assert_allclose(prior["prior_kl_loss"].value, nats.mean(), rtol=1e-5)
    np.testing.assert_allclose(prior["prior_bits_per_code"].value, nats.mean() / log(2), rtol=1e-5)
    whole = likelihood["reconstruction_loss"].value + nats.mean() + log(2)  # two classes, alike
    np.testing.assert_allclose(prior["prior_elbo"].value, -whole, rtol=1e-5)


def test_data_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="expected"):
        Study(TRUTH.model(), Split(TRUTH.data(3)), Split(np.zeros((3, 99), np.float32)))


@pytest.mark.slow
def test_a_section_that_cannot_be_measured_costs_no_other():
    y = np.arange(60, dtype=np.int32) % 2
    three = Split(TRUTH.data(3, seed=1), y[:3])
    sections = dict(summary.evaluate(Study(TRUTH.model(), Split(TRUTH.data(60), y), three, LITTLE)))
    assert "not measured: real: expected at least 6" in sections["samples"].notes[0]
    assert sections["probes"].figures["knn_accuracy"].n == 3
    assert sections["likelihood"].figures["elbo"].n == 3


def test_examples_are_taken_in_random_order_and_what_they_are_is_told():
    """Test data that lies there class by class, which the first of them would not stand for."""
    y = np.repeat(np.arange(4, dtype=np.int32), 25)
    train, test = Split(TRUTH.data(50)), Split(TRUTH.data(100, seed=1), y)
    some = Settings(tested=40)
    study = Study(TRUTH.model(), train, test, some)
    assert len(study.test) == 40
    assert set(study.test.y.tolist()) == {0, 1, 2, 3}
    assert Study(TRUTH.model(), train, test, some).basis == study.basis
    others = [
        Study(TRUTH.model(), train, Split(test.x, y[::-1].copy()), some),
        Study(TRUTH.model(), Split(TRUTH.data(50, seed=2)), test, some),
    ]
    assert len({study.basis["data"], *(other.basis["data"] for other in others)}) == 3
    assert study.basis["likelihood"] == "Gaussian"
    of_classes = Study(TRUTH.model(conditional=True), train, Split(test.x, y % 3), some)
    assert of_classes.basis["likelihood"] == "Gaussian given the class"


def test_cut_short_in_the_elbo_the_bound_takes_those_that_are_left():
    test = Split(TRUTH.data(250, seed=1))
    settings = Settings(samples=8, examples=200, elbo_samples=1)
    short = {"ELBO of test": lambda s: list(s)[:1]}
    study = Study(TRUTH.model(), Split(TRUTH.data(60)), test, settings,
                  progress=lambda what: short.get(what, iter))  # fmt: skip
    name, section = next(summary.evaluate(study))
    assert name == "likelihood"
    figures = section.figures
    assert (figures["elbo"].n, figures["importance_weighted_bound"].n) == (100, 100)
