"""MSE, PSNR and SSIM against scikit-image and loops in float64."""

import numpy as np
import pytest
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from workshop.generative_models.evaluation.samples import (
    mse,
    psnr,
    reconstruction_quality,
    reconstructions,
    ssim,
)


def images(shape, seed=0):
    """Smooth images and noisy versions of them."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=shape).cumsum(axis=1).cumsum(axis=2)
    a = 1 / (1 + np.exp(-steps / 5))
    return a, np.clip(a + rng.normal(0, 0.1, shape), 0, 1)


@pytest.mark.parametrize("shape", [(3, 28, 28, 1), (2, 31, 12, 3), (2, 11, 11, 2)])
def test_figures_are_those_of_scikit_image(shape):
    a, b = images(shape)
    each = list(zip(a, b, strict=True))
    # The settings of Wang et al. 2004, as scikit-image's documentation gives them.
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [
        structural_similarity(x, y, data_range=1, channel_axis=-1, **settings) for x, y in each
    ]
    # Float64 on both sides; scikit-image filters by another sum.
    np.testing.assert_allclose(ssim(a, b), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(mse(a, b), [mean_squared_error(x, y) for x, y in each], rtol=1e-12)
    expected = [peak_signal_noise_ratio(x, y, data_range=1) for x, y in each]
    np.testing.assert_allclose(psnr(a, b), expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (1, 5, 20, 2), (1, 2, 3, 1), (1, 1, 1, 1)])
def test_small_images_have_the_longest_odd_window_that_fits(shape):
    a, b = images(shape)
    for i in range(shape[0]):
        assert ssim(a, b)[i] == pytest.approx(ssim_in_loops(a[i], b[i]), abs=1e-12)


def ssim_in_loops(a, b):
    height, width, channels = a.shape
    sides = [max(s for s in (1, 3, 5, 7, 9, 11) if s <= size) for size in (height, width)]
    u, v = (np.exp(-((np.arange(s) - (s - 1) / 2) ** 2) / (2 * 1.5**2)) for s in sides)
    weights = np.outer(u, v) / np.outer(u, v).sum()
    values = []
    for i in range(height - sides[0] + 1):
        for j in range(width - sides[1] + 1):
            for c in range(channels):
                x, y = (z[i : i + sides[0], j : j + sides[1], c] for z in (a, b))
                mx, my = np.sum(weights * x), np.sum(weights * y)
                vx, vy = np.sum(weights * (x - mx) ** 2), np.sum(weights * (y - my) ** 2)
                cov = np.sum(weights * (x - mx) * (y - my))
                top = (2 * mx * my + 1e-4) * (2 * cov + 9e-4)
                values.append(top / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    return np.mean(values)


def test_the_block_does_not_change_a_figure(monkeypatch):
    a, b = images((7, 16, 16, 1))
    whole = ssim(a, b)
    monkeypatch.setattr(reconstructions, "BLOCK", 3 * 256)
    # A product of other shapes may add in another order.
    np.testing.assert_allclose(ssim(a, b), whole, rtol=0, atol=1e-13)


def test_equal_and_constant_images():
    a, _ = images((2, 16, 16, 1))
    assert mse(a, a).tolist() == [0, 0]
    assert psnr(a, a).tolist() == [100, 100]
    np.testing.assert_allclose(ssim(a, a), 1, atol=1e-12)
    # Without variance the second factor is 1 and SSIM is (2 a b + C₁)/(a² + b² + C₁).
    grey, white = np.full((1, 16, 16, 1), 0.5), np.ones((1, 16, 16, 1))
    assert ssim(grey, white)[0] == pytest.approx((1 + 1e-4) / (1.25 + 1e-4), abs=1e-12)


def test_means_carry_their_errors():
    a, b = images((9, 12, 12, 1))
    figures = reconstruction_quality(a, b)
    for name, function in (("mse", mse), ("psnr", psnr), ("ssim", ssim)):
        values = function(a, b)
        assert figures[name].value == pytest.approx(values.mean(), rel=1e-12)
        assert figures[name].standard_error == pytest.approx(values.std(ddof=1) / 3, rel=1e-12)
        assert figures[name].n == 9
    assert figures["psnr"].unit == "dB"


@pytest.mark.parametrize("figure", [mse, psnr, ssim])
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((2, 4, 4)), np.zeros((2, 4, 4)), r"images has shape \(2, 4, 4\).*add an axis"),
        (np.zeros((0, 4, 4, 1)), np.zeros((0, 4, 4, 1)), "none of them 0"),
        (np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 5, 1)), "reconstructions has shape"),
        (
            np.full((1, 4, 4, 1), 255),
            np.zeros((1, 4, 4, 1)),
            r"images: expected values in \[0, 1\]",
        ),
        (np.zeros((1, 4, 4, 1)), np.full((1, 4, 4, 1), -0.1), "reconstructions: .*clip"),
        (np.full((1, 4, 4, 1), np.nan), np.zeros((1, 4, 4, 1)), "got nan to nan"),
    ],
)
def test_impossible_images_are_named(figure, a, b, message):
    with pytest.raises(ValueError, match=message):
        figure(a, b)
