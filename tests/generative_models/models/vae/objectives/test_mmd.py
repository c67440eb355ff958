"""MMD: a double loop, closed forms for Gaussians, and the objectives made of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from handmade import KL, RECONSTRUCTION, Z, losses
from scipy.integrate import quad

from workshop.generative_models.core.configuration.objectives import (
    SCALES,
    InfoVAEConfig,
    WAEMMDConfig,
)
from workshop.generative_models.core.distributions import StandardNormal
from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder
from workshop.generative_models.models.vae.objectives import (
    WAEMMD,
    InfoVAE,
    LossContext,
    squared_mmd,
)
from workshop.generative_models.models.vae.posteriors import PointMassPosterior

KERNELS = {
    "imq": lambda square, width: width / (width + square),
    "rbf": lambda square, width: np.exp(-square / width),
}


def mean_of_kernel(kernel, a, b, *, within, bandwidth, scales):
    """Return the mean of k over pairs, in a double loop."""
    values = []
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            if not (within and i == j):
                widths = [2 * s * a.shape[1] * bandwidth**2 for s in scales]
                values.append(sum(KERNELS[kernel](((x - y) ** 2).sum(), w) for w in widths))
    return np.mean(values)


def mmd(kernel, a, b, **options):
    parts = ((a, a, True), (b, b, True), (a, b, False))
    one, other, between = (
        mean_of_kernel(kernel, x, y, within=within, **options) for x, y, within in parts
    )
    return one + other - 2 * between


@pytest.mark.parametrize("kernel", KERNELS)
def test_it_is_that_of_a_double_loop(kernel):
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(6, 3)), rng.normal(size=(5, 3)) + 1
    options = {"bandwidth": 0.7, "scales": (0.5, 2.0)}
    found = jax.jit(lambda a, b: squared_mmd(a, b, kernel, **options))(
        jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
    )
    assert found == pytest.approx(mmd(kernel, a, b, **options), abs=2e-6)


def between_normals(kernel, shift, variance, width):
    """Return E k(a, b) of a - b ~ N(shift, variance I) in 2 dimensions, in closed form.

    E exp(-t r²/C) is a Gaussian integral, and C / (C + r²) = ∫ exp(-t - t r²/C) dt over t > 0.
    """

    def rbf(t):
        spread = 1 + 2 * t * variance / width
        return np.exp(-t * shift**2 / width / spread) / spread

    return rbf(1.0) if kernel == "rbf" else quad(lambda t: np.exp(-t) * rbf(t), 0, np.inf)[0]


@pytest.mark.sampled
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_it_has_no_bias(kernel, shift):
    def estimate(key):
        a, b = jax.random.normal(key, (2, 5, 2))
        return squared_mmd(0.5 * a + jnp.array([shift, 0.0]), b, kernel, scales=SCALES)

    found = np.asarray(
        jax.jit(lambda key: jax.vmap(estimate)(jax.random.split(key, 20_000)))(jax.random.key(0))
    )
    expected = sum(
        between_normals(kernel, 0, 0.5, 4 * s)
        + between_normals(kernel, 0, 2.0, 4 * s)
        - 2 * between_normals(kernel, shift, 1.25, 4 * s)
        for s in SCALES
    )
    assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(len(found))
    biased = 2 * len(SCALES) / 5  # what pairs of a sample with itself would add, about
    assert found.std() / np.sqrt(len(found)) < biased / 100


def test_equal_distributions_may_give_less_than_nothing_and_one_example_nothing():
    a = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
    assert jax.jit(squared_mmd)(a, a) < 0
    assert squared_mmd(a[:1], a) == 0


KEY = jax.random.key(3)
DRAWS = np.float64(StandardNormal(2).sample(LossContext(key=KEY).key, (6,)))


@pytest.mark.parametrize("point", [True, False])
def test_wae_adds_the_divergence_of_samples_from_samples_of_the_prior(point):
    expected = mmd("imq", Z, DRAWS, bandwidth=1.0, scales=SCALES)
    found = losses(WAEMMD(), point=point, key=KEY)
    assert found["mmd"] == pytest.approx(expected, abs=5e-6)
    assert found["total_loss"] == pytest.approx(RECONSTRUCTION + 10 * expected, abs=1e-4)


def test_info_vae_weighs_kl_and_divergence():
    expected = mmd("rbf", Z, DRAWS, bandwidth=2.0, scales=(1.0,))
    found = losses(InfoVAE(-0.5, 3.0, "rbf", 2.0, (1.0,)), key=KEY)
    total = RECONSTRUCTION + 1.5 * KL.sum(1).mean() + 1.5 * expected
    assert found["total_loss"] == pytest.approx(total, abs=2e-5)
    elbo = losses(InfoVAE(0.0, 1.0), key=KEY)["total_loss"]
    assert elbo == pytest.approx(RECONSTRUCTION + KL.sum(1).mean(), abs=2e-5)
    without_kl = losses(InfoVAE(1.0, 2.0), point=True, key=KEY)
    assert without_kl["total_loss"] == pytest.approx(
        RECONSTRUCTION + 2 * float(without_kl["mmd"]), abs=2e-5
    )


def model(**components):
    rngs = nnx.Rngs(0)
    networks = MLPEncoder([4], 2, "tanh", (4,), rngs=rngs), MLPDecoder([4], (4,), 2, rngs=rngs)
    return VAE(*networks, 2, rngs=rngs, **components)


def test_a_point_mass_goes_with_an_objective_that_reads_no_density():
    for objective in (WAEMMD(), InfoVAE()):
        assert not model(posterior=PointMassPosterior(), objective=objective).has_density
    with pytest.raises(ValueError, match="PointMassPosterior has no density, and objective InfoV"):
        model(posterior=PointMassPosterior(), objective=InfoVAE(0.5))
    with pytest.raises(ValueError, match=r"pass loss_fn\(..., rng=key\)"):
        model(objective=WAEMMD()).loss_fn(batch=jnp.zeros((2, 4)))


def test_what_would_reward_a_divergence_is_refused():
    for make in (InfoVAE, lambda *a: InfoVAEConfig(alpha=a[0], weight=a[1])):
        for alpha, weight in ((1.5, 1.0), (0.0, 0.5)):
            with pytest.raises(ValueError, match="alpha"):
                make(alpha, weight)
    with pytest.raises(ValueError, match="kernel='gauss'"):
        WAEMMD(kernel="gauss")
    with pytest.raises(ValueError, match="at least 1 item"):
        WAEMMDConfig(scales=())
