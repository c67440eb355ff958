"""VAE's numbers: the loss against float64 NumPy, the ELBO against an exact evidence, paths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.models.vae import VAE

RNG = np.random.default_rng(0)
BATCH, LATENTS, FEATURES = 5, 4, 12
X = RNG.random((BATCH, FEATURES), np.float32)
MEAN = RNG.normal(0, 2, (BATCH, LATENTS)).astype(np.float32)
LOG_VAR = RNG.normal(0, 3, (BATCH, LATENTS)).astype(np.float32)
LOG_VAR[0, :2] = -90.0, 90.0  # clipped to [-20, 20]
LOGITS = RNG.normal(0, 4, (BATCH, FEATURES)).astype(np.float32)

SCALES = {"gaussian": 0.5, "laplace": 0.25}
FLOOR = np.exp(-6.0)  # of a learned scale, Rybkin et al. 2021


def sigmoid(a):
    return 1 / (1 + np.exp(-np.asarray(a, np.float64)))


def kl64():
    log_var = np.clip(LOG_VAR.astype(np.float64), -20, 20)
    return 0.5 * (np.exp(log_var) + MEAN.astype(np.float64) ** 2 - 1 - log_var)


def reconstruction64(likelihood, scale):
    """Return -log p(x|z) of each example from the formulas of the families, in float64."""
    logits = LOGITS.astype(np.float64)
    error = X.astype(np.float64) - sigmoid(logits)
    cross_entropy = np.log1p(np.exp(logits)) - X * logits
    if likelihood == "mse":
        return (error**2).sum(1)
    if likelihood == "bce":
        return cross_entropy.sum(1)
    if likelihood == "continuous_bernoulli":
        return (cross_entropy - np.log(logits / np.tanh(logits / 2))).sum(1)
    if likelihood == "gaussian":
        sigma = {"optimal": np.sqrt((error**2).mean()), "learned": 1 + FLOOR}.get(scale, scale)
        return (0.5 * (error / sigma) ** 2 + np.log(sigma * np.sqrt(2 * np.pi))).sum(1)
    b = {"optimal": np.abs(error).mean(), "learned": 1 + FLOOR}.get(scale, scale)
    return (np.abs(error) / b + np.log(2 * b)).sum(1)


def outputs_of(model):
    logits = jnp.asarray(LOGITS)
    return {
        "reconstructed": model.likelihood.mean(logits),
        "logits": logits,
        "mean": jnp.asarray(MEAN),
        "log_var": jnp.asarray(LOG_VAR),
    }


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("likelihood", "scale"),
    [
        ("mse", 1.0),
        ("bce", 1.0),
        ("continuous_bernoulli", 1.0),
        ("gaussian", 0.5),
        ("gaussian", "learned"),
        ("gaussian", "optimal"),
        ("laplace", 0.25),
        ("laplace", "learned"),
        ("laplace", "optimal"),
    ],
)
def test_loss_is_the_formula(make_model, likelihood, scale):
    model = make_model("vae", event=(FEATURES,), likelihood=likelihood, scale=scale)
    losses = model.loss_fn(x=jnp.asarray(X), outputs=outputs_of(model), kl_per_dimension=True)
    reconstruction, kl = reconstruction64(likelihood, scale).mean(), kl64().sum(1).mean()
    # Sums of some dozens of terms, each good to float32's 1e-7.
    assert float(losses["reconstruction_loss"]) == pytest.approx(reconstruction, rel=1e-5)
    assert float(losses["kl_loss"]) == pytest.approx(kl, rel=1e-6)
    assert float(losses["total_loss"]) == pytest.approx(reconstruction + 0.5 * kl, rel=1e-6)
    assert float(losses["elbo"]) == pytest.approx(-(reconstruction + kl), rel=1e-6)
    np.testing.assert_allclose(losses["kl_per_dimension"], kl64().mean(0), rtol=1e-6)


def test_beta_replaces_the_weight_of_the_kl(make_model):
    model = make_model("vae", event=(FEATURES,))
    for beta in (0.0, 2.5, jnp.float32(2.5)):
        losses = model.loss_fn(x=jnp.asarray(X), outputs=outputs_of(model), beta=beta)
        expected = reconstruction64("mse", 1.0).mean() + float(beta) * kl64().sum(1).mean()
        assert float(losses["total_loss"]) == pytest.approx(expected, rel=1e-6)
        assert float(losses["beta"]) == float(beta)


def test_free_bits_hold_each_latent_up(make_model):
    """Σ_j max(mean KL_j, λ): Kingma et al., Improved Variational Inference with IAF, 2016."""
    kl = kl64().mean(0)
    free = float(np.sort(kl)[1:3].mean())  # two latents below, two above
    model = make_model("vae", event=(FEATURES,), free_bits=free)
    losses = model.loss_fn(x=jnp.asarray(X), outputs=outputs_of(model))
    expected = reconstruction64("mse", 1.0).mean() + 0.5 * np.maximum(kl, free).sum()
    assert float(losses["total_loss"]) == pytest.approx(expected, rel=1e-6)
    assert float(losses["kl_loss"]) == pytest.approx(kl.sum(), rel=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        lambda predictions, targets: jnp.abs(predictions - targets).sum(1).mean(),
        lambda predictions, targets: float(jnp.abs(predictions - targets).sum(1).mean()),
        lambda predictions, targets: jnp.abs(predictions - targets).sum(1),
        lambda predictions, targets: jnp.abs(predictions - targets),
    ],
    ids=["scalar", "float", "per example", "per value"],
)
def test_a_reconstruction_loss_of_ones_own(make_model, loss):
    model = make_model("vae", event=(FEATURES,))

    def asymmetric(predictions, targets):
        np.testing.assert_array_equal(targets, X)
        return loss(predictions, targets)

    given = outputs_of(model)
    losses = model.loss_fn(x=jnp.asarray(X), outputs=given, reconstruction_loss_fn=asymmetric)
    expected = np.abs(X - sigmoid(LOGITS)).sum(1).mean()
    assert float(losses["reconstruction_loss"]) == pytest.approx(expected, rel=1e-6)
    assert losses["recon_loss"] is losses["reconstruction_loss"]


def test_bce_without_logits_reads_the_probabilities(make_model):
    model = make_model("vae", event=(FEATURES,), likelihood="bce")
    given = outputs_of(model)
    del given["logits"]
    losses = model.loss_fn(x=jnp.asarray(X), outputs=given)
    # A probability near 1 keeps 1e-7: its logit, here up to 10, keeps some 1e-3.
    expected = reconstruction64("bce", 1.0).mean()
    assert float(losses["reconstruction_loss"]) == pytest.approx(expected, rel=1e-3)


def test_bce_of_a_saturated_decoder_is_exact(make_model):
    model = make_model("vae", event=(FEATURES,), likelihood="bce")
    given = outputs_of(model) | {"logits": jnp.full((BATCH, FEATURES), 1e4)}

    def loss(logits):
        outputs = given | {"logits": logits}
        return model.loss_fn(x=jnp.zeros((BATCH, FEATURES)), outputs=outputs)["recon_loss"]

    assert float(loss(given["logits"])) == FEATURES * 1e4
    np.testing.assert_array_equal(jax.grad(loss)(given["logits"]), np.float32(1 / BATCH))


class Linear(nnx.Module):
    """z -> W z, a decoder without an output activation."""

    def __init__(self, weight):
        self.weight = nnx.Param(weight)

    def __call__(self, z):
        return z @ self.weight[...].T


class Posterior(nnx.Module):
    """x -> A x + b, with log-variances that do not depend on x."""

    def __init__(self, weight, bias, log_var):
        self.weight, self.bias, self.log_var = map(nnx.Param, (weight, bias, log_var))

    def __call__(self, x):
        mean = x @ self.weight[...].T + self.bias[...]
        return mean, jnp.broadcast_to(self.log_var[...], mean.shape)


class TestLinearGaussian:
    """x = W z + σ ε, z ~ N(0, I): the evidence is N(x; 0, W Wᵀ + σ² I), Tipping & Bishop 1999.

    The columns of W are orthogonal, so the posterior is diagonal:
    q(z|x) = N(S Wᵀ x / σ², S) with S = (I + Wᵀ W / σ²)⁻¹.
    """

    sigma = 0.4
    weight = np.linalg.qr(RNG.normal(size=(5, 2)))[0] * [1.3, 0.7]
    variance = 1 / (1 + np.array([1.3, 0.7]) ** 2 / sigma**2)
    samples = 100_000

    def evidence(self, x):
        covariance = self.weight @ self.weight.T + self.sigma**2 * np.eye(5)
        _, log_det = np.linalg.slogdet(covariance)
        return -0.5 * (x @ np.linalg.solve(covariance, x) + log_det + 5 * np.log(2 * np.pi))

    def bound(self, x, shift=0.0, factor=1.0):
        """Return E[ELBO] and its standard error, for q the posterior moved and widened."""
        gain = self.variance[:, None] * self.weight.T / self.sigma**2
        arrays = (gain, np.full(2, shift), np.log(factor * self.variance))
        encoder = Posterior(*(jnp.asarray(a, jnp.float32) for a in arrays))
        decoder = Linear(jnp.asarray(self.weight, jnp.float32))
        vae = VAE(encoder, decoder, 2, rngs=nnx.Rngs(0), likelihood="gaussian", scale=self.sigma)
        batch = jnp.tile(jnp.asarray(x, jnp.float32), (self.samples, 1))
        outputs = vae(batch, rngs=nnx.Rngs(1))
        spread = vae.log_likelihood(batch, outputs).std() / np.sqrt(self.samples)
        return float(vae.loss_fn(x=batch, outputs=outputs)["elbo"]), float(spread)

    @pytest.mark.sampled
    @pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
    def test_bound_is_the_evidence_at_the_exact_posterior(self, scale):
        x = scale * np.array([0.7, -1.1, 0.4, 0.9, -0.2])
        elbo, error = self.bound(x)
        # Five standard errors of the mean of 100,000 samples: some 0.01 nats.
        assert elbo == pytest.approx(self.evidence(x), abs=5 * error)
        assert 5 * error < 0.02

    @pytest.mark.parametrize(("shift", "factor"), [(0.1, 1.0), (-0.3, 1.0), (0.0, 2.0), (0.2, 0.5)])
    def test_any_other_posterior_gives_less_by_its_divergence(self, shift, factor):
        x = np.array([0.7, -1.1, 0.4, 0.9, -0.2])
        divergence = 0.5 * (factor + shift**2 / self.variance - 1 - np.log(factor)).sum()
        elbo, error = self.bound(x, shift, factor)
        assert elbo == pytest.approx(self.evidence(x) - divergence, abs=5 * error)
        assert divergence > 10 * error


class TestLatentPaths:
    def test_interpolation_is_the_line_between_the_means(self, make_model, images):
        model = make_model("vae")
        mean, _ = model.encode(images[:2])
        start, end = np.asarray(mean, np.float64)
        line = model.interpolate(images[0], images[1], steps=5)
        points = np.stack([start + w * (end - start) for w in (0, 0.25, 0.5, 0.75, 1)])
        decoded = model.decode(jnp.asarray(points, jnp.float32))
        np.testing.assert_allclose(line, decoded, atol=1e-6)

    def test_a_traversal_is_evenly_spaced_from_end_to_end(self, make_model, images):
        model = make_model("vae")
        mean = np.asarray(model.encode(images[:1])[0])
        for dim in range(4):
            points = np.repeat(mean, 10, axis=0)
            points[:, dim] = np.linspace(-3, 3, 10)
            walk = model.latent_traversal(images[0], dim)
            np.testing.assert_allclose(walk, model.decode(jnp.asarray(points)), atol=1e-6)
