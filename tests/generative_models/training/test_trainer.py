import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import (
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
)
from workshop.generative_models.data import from_arrays
from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder
from workshop.generative_models.tracking.loggers import read_rows
from workshop.generative_models.training import Trainer
from workshop.generative_models.training import run as run_module


def fit(model, x, **options):
    fit_options = {k: options.pop(k) for k in ("steps", "resume") if k in options}
    settings = {"batch_size": 8, "log_every": 5, "progress": False} | options
    return Trainer(model, **settings).fit(x, x[:20], **fit_options)


def test_the_same_seed_gives_the_same_bits(make_vae, x, weights):
    models = [make_vae() for _ in range(3)]
    histories = [fit(m, x, steps=30, seed=s) for m, s in zip(models, (1, 1, 2), strict=True)]
    assert histories[0] == histories[1] != histories[2]
    for a, b in zip(weights(models[0]), weights(models[1]), strict=True):
        np.testing.assert_array_equal(a, b)


class Killed(BaseException):
    pass


def test_a_run_killed_and_resumed_ends_as_if_never_stopped(
    make_vqvae, x, weights, tmp_path, monkeypatch
):
    """The codebook's usage, optimizer, metrics file and all weights, bit for bit."""
    whole, resumed = make_vqvae(), make_vqvae()
    history = fit(whole, x, steps=40, folder=tmp_path / "whole")
    write = run_module.History.add

    def killed_at_27(self, step, split, metrics):
        if step > 27:
            raise Killed
        write(self, step, split, metrics)

    monkeypatch.setattr(run_module.History, "add", killed_at_27)
    options = {"steps": 40, "folder": tmp_path / "cut", "checkpoint_every": 6}
    with pytest.raises(Killed):
        fit(make_vqvae(), x, **options)
    monkeypatch.undo()
    assert fit(resumed, x, resume=True, **options) == history
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whole.usage[...], resumed.usage[...])
    files = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "cut")]
    assert files[0] == files[1]


def test_history_is_also_on_disk(make_vae, x, tmp_path):
    history = fit(make_vae(), x, steps=12, folder=tmp_path)
    assert read_rows(tmp_path / "metrics.jsonl") == history
    assert [(r["step"], r["split"]) for r in history if r["split"] == "train"] == [
        (5, "train"),
        (10, "train"),
        (12, "train"),
    ]
    assert history[-1]["split"] == "validation"


def test_a_cut_off_row_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1}) + "\n" + '{"step": 2, "lo')
    assert read_rows(path) == [{"step": 1}]


def test_a_linear_model_reaches_the_evidence_of_probabilistic_pca():
    """With linear networks and a learned scale the best ELBO is the likelihood of PPCA.

    Tipping & Bishop 1999: the maximum is at σ² = mean of the discarded eigenvalues, and there
    log p = -n/2 (d log 2π + log|C| + tr(C⁻¹ S)), C = W Wᵀ + σ² I; the posterior is Gaussian with a
    diagonal covariance for the right rotation of W, so the bound is tight (Lucas et al. 2019).
    """
    generator = np.random.default_rng(0)
    mixing = np.linalg.qr(generator.normal(size=(5, 2)))[0] * [3.0, 1.5]
    z, noise = generator.normal(size=(2000, 2)), generator.normal(size=(2000, 5))
    x = (z @ mixing.T + 0.5 * noise).astype(np.float32)
    x -= x.mean(0)
    rngs = nnx.Rngs(0)
    encoder = MLPEncoder([5], 2, "identity", (5,), rngs=rngs)
    # The posterior's variance is the same for all x: a free bias alone.
    encoder.logvar_proj.kernel[...] = jnp.zeros_like(encoder.logvar_proj.kernel[...])
    decoder = MLPDecoder([2], (5,), 2, "identity", output_activation="identity", rngs=rngs)
    model = VAE(encoder, decoder, 2, likelihood="gaussian", scale="learned", rngs=rngs)
    schedule = optax.cosine_decay_schedule(1e-2, 4000)
    Trainer(model, optax.adam(schedule), 500, progress=False).fit(x, steps=4000)
    covariance = np.cov(x.T, bias=True).astype(np.float64)
    values, vectors = np.linalg.eigh(covariance)
    sigma2 = values[:3].mean()
    best = (vectors[:, 3:] * (values[3:] - sigma2)) @ vectors[:, 3:].T + sigma2 * np.eye(5)
    log_det = np.linalg.slogdet(best)[1]
    evidence = -0.5 * (
        5 * np.log(2 * np.pi) + log_det + np.trace(np.linalg.solve(best, covariance))
    )
    elbos = [Trainer(model, batch_size=2000, seed=seed).evaluate(x)["elbo"] for seed in range(20)]
    # One draw of z for each of 2,000 examples, twenty times: the standard error is near 0.007.
    assert evidence - 0.05 < np.mean(elbos) < evidence + 0.02


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_model(make_vae, x, weights):
    model = make_vae()
    before = weights(model)
    with pytest.raises(FloatingPointError, match=r"step 1: .* is not finite"):
        fit(model, x, steps=50, optimizer=optax.sgd(1e30))
    for a, b in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_learned_stays_when_the_user_stops(make_vae, x, weights, monkeypatch):
    model = make_vae()
    before = weights(model)

    def stop(self, step, metrics):
        if step >= 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(run_module.ProgressBar, "update", stop)
    with pytest.raises(KeyboardInterrupt):
        fit(model, x, steps=50)
    assert any((a != b).any() for a, b in zip(before, weights(model), strict=True))


@pytest.mark.slow
def test_bytes_train_as_the_floats_they_stand_for(make_vae, weights):
    images = np.random.default_rng(0).integers(0, 256, (30, 6), np.uint8)
    models = [make_vae(), make_vae()]
    fit(models[0], images, steps=5)
    fit(models[1], images.astype(np.float32) / np.float32(255), steps=5)
    for a, b in zip(weights(models[0]), weights(models[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_networks_without_a_shape_are_built_before_the_loop(x):
    rngs = nnx.Rngs(0)
    model = VAE(MLPEncoder([8], 2, rngs=rngs), MLPDecoder([8], (6,), 2, rngs=rngs), 2, rngs=rngs)
    fit(model, x, steps=3)
    assert model.encoder.input_dim == (6,)


def test_a_data_set_brings_its_own_validation(make_vae, x):
    history = Trainer(make_vae(), batch_size=8, progress=False).fit(from_arrays(x), steps=4)
    assert {row["split"] for row in history} == {"train", "validation"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((10, 5), np.float32), r"x has shape .* expected \(batch, 6\)"),
        (np.full((10, 6), np.nan, np.float32), "NaN"),
        (np.zeros((0, 6), np.float32), "no examples"),
        ({"images": np.zeros((10, 6))}, r"keys .'images'.: expected 'x'"),
    ],
)
def test_data_that_does_not_fit_is_named(make_vae, data, message):
    with pytest.raises(ValueError, match=message):
        Trainer(make_vae(), progress=False).fit(data, steps=1)


@pytest.mark.parametrize("name", ["batch_size", "log_every", "evaluate_every", "checkpoint_every"])
def test_sizes_must_be_positive(make_vae, name):
    with pytest.raises(ValueError, match=name):
        Trainer(make_vae(), **{name: -1})


def test_schedules_see_the_step(x):
    """β warms up inside the compiled loop: the row's mean is the mean of min(β, β t / T)."""
    from workshop.generative_models.core.configuration import BetaVAEConfig
    from workshop.generative_models.models.vae import BetaVAE

    config = BetaVAEConfig(
        encoder=EncoderConfig(hidden_dims=(8,), latent_dim=2, input_shape=(6,)),
        decoder=DecoderConfig(hidden_dims=(8,), latent_dim=2, output_shape=(6,)),
        beta_default=4.0,
        beta_warmup_steps=8,
    )
    history = fit(BetaVAE(config, rngs=nnx.Rngs(0)), x, steps=10)
    trained = [row["beta"] for row in history if row["split"] == "train"]
    expected = np.minimum(4.0, 4.0 * np.arange(10) / 8).reshape(2, 5).mean(1)
    np.testing.assert_allclose(trained, expected, rtol=1e-6)
    assert history[-1]["beta"] == 4.0  # evaluation is after the warm-up


def test_the_example_of_the_readme_builds():
    config = VAEConfig(
        encoder=EncoderConfig(hidden_dims=(8,), latent_dim=2, input_shape=(8, 8, 1)),
        decoder=DecoderConfig(hidden_dims=(8,), latent_dim=2, output_shape=(8, 8, 1)),
        likelihood="bce",
    )
    x = np.random.default_rng(0).random((20, 8, 8, 1), np.float32)
    history = Trainer(VAE(config, rngs=nnx.Rngs(0)), progress=False).fit(x, steps=2)
    assert history[-1]["step"] == 2
