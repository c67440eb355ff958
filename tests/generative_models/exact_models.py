"""Models whose log p(x) is known: linear-Gaussian in closed form, one latent by quadrature."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.special import logsumexp

from workshop.generative_models.models.vae import VAE, ConditionalVAE

RNG = np.random.default_rng(0)


def identity(x):
    """Be the activation of all decoders here: equal models then share their programs."""
    return x


class Posterior(nnx.Module):
    """x -> A (x - b - offset of the class), with log-variances that do not depend on x."""

    def __init__(self, gain, shift, log_var, centre, offsets):
        arrays = (gain, shift, log_var, centre, offsets)
        arrays = (jnp.asarray(a, jnp.float32) for a in arrays)
        self.gain, self.shift, self.log_var, self.centre, self.offsets = map(nnx.Param, arrays)

    def __call__(self, x, condition=None):
        centred = x - self.centre[...]
        if condition is not None:
            centred = centred - self.offsets[...][condition]
        mean = centred @ self.gain[...].T + self.shift[...]
        return mean, jnp.broadcast_to(self.log_var[...], mean.shape)


class Linear(nnx.Module):
    """z -> W z + b + offset of the class."""

    def __init__(self, weight, centre, offsets):
        arrays = (jnp.asarray(a, jnp.float32) for a in (weight, centre, offsets))
        self.weight, self.centre, self.offsets = map(nnx.Param, arrays)
        self.output_shape, self.output_activation = (len(weight),), identity

    def __call__(self, z, condition=None):
        mean = z @ self.weight[...].T + self.centre[...]
        return mean if condition is None else mean + self.offsets[...][condition]


class LinearGaussian:
    """x = W z + b + σ ε, z ~ N(0, I): p(x) = N(x; b, W Wᵀ + σ² I), Tipping & Bishop 1999.

    The columns of W are orthogonal, so the posterior is diagonal:
    q(z|x) = N(S Wᵀ (x - b) / σ², S) with S = (I + Wᵀ W / σ²)⁻¹. `shift` and `factor` make it wrong.
    """

    sigma = 0.4
    weight = np.linalg.qr(RNG.normal(size=(5, 2)))[0] * [1.3, 0.7]
    centre = RNG.normal(size=5)
    offsets = RNG.normal(size=(3, 5))
    variance = 1 / (1 + np.array([1.3, 0.7]) ** 2 / sigma**2)
    gain = variance[:, None] * weight.T / sigma**2

    def data(self, n, seed=0):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 2)) @ self.weight.T + self.centre
        return (x + self.sigma * rng.normal(size=(n, 5))).astype(np.float32)

    def model(self, shift=0.0, factor=1.0, *, conditional=False, **options):
        log_var = np.log(factor * self.variance)
        encoder = Posterior(self.gain, np.full(2, shift), log_var, self.centre, self.offsets)
        decoder = Linear(self.weight, self.centre, self.offsets)
        options = {"likelihood": "gaussian", "scale": self.sigma, "rngs": nnx.Rngs(0)} | options
        if conditional:
            return ConditionalVAE(encoder, decoder, 2, 3, **options)
        return VAE(encoder, decoder, 2, **options)

    def log_p_given(self, x, z):
        """Return log p(x|z) in float64 for x (n, 5) and z (..., n, 2)."""
        error = np.asarray(x, np.float64) - (z @ self.weight.T + self.centre)
        constant = 0.5 * 5 * np.log(2 * np.pi * self.sigma**2)
        return -0.5 * np.square(error / self.sigma).sum(-1) - constant

    def q(self, x, shift=0.0, factor=1.0):
        mean = (np.asarray(x, np.float64) - self.centre) @ self.gain.T + shift
        return mean, factor * self.variance

    def evidence(self, x):
        """Return log p(x) of each example in float64."""
        centred = np.asarray(x, np.float64) - self.centre
        covariance = self.weight @ self.weight.T + self.sigma**2 * np.eye(5)
        _, log_det = np.linalg.slogdet(covariance)
        squares = (centred * np.linalg.solve(covariance, centred.T).T).sum(-1)
        return -0.5 * (squares + log_det + 5 * np.log(2 * np.pi))


class Curve(nnx.Module):
    """z in one dimension -> logits 3 tanh(a z) + b of six binary features."""

    slopes = np.array([1.0, -2.0, 0.5, 3.0, -0.3, 1.5])
    biases = np.array([0.2, -0.4, 1.0, 0.0, -1.0, 0.5])

    def __init__(self):
        self.output_shape = (6,)

    def __call__(self, z):
        slopes, biases = jnp.asarray(self.slopes, z.dtype), jnp.asarray(self.biases, z.dtype)
        return 3 * jnp.tanh(slopes * z) + biases


class Guess(nnx.Module):
    """x -> N(0, 1.2), whatever x is."""

    def __call__(self, x):
        return jnp.zeros((len(x), 1)), jnp.full((len(x), 1), np.log(1.2))


def curve_model():
    return VAE(Guess(), Curve(), 1, likelihood="bce", rngs=nnx.Rngs(0))


def curve_evidence(x):
    """Return log ∫ N(z; 0, 1) p(x|z) dz by Gauss-Hermite quadrature of 200 points, in float64."""
    points, weights = np.polynomial.hermite_e.hermegauss(200)
    logits = 3 * np.tanh(Curve.slopes * points[:, None]) + Curve.biases
    log_p = (x[:, None] * logits - np.logaddexp(0, logits)).sum(-1)
    return logsumexp(log_p, axis=1, b=weights / np.sqrt(2 * np.pi))


def curve_data(n=12):
    return (np.random.default_rng(1).random((n, 6)) < 0.5).astype(np.float32)
