import numpy as np
import pytest

from workshop.generative_models.core.moments import moments_of

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("cuts", [[], [1], [3, 4, 17]])
@pytest.mark.parametrize(("offset", "scale"), [(0, 1), (1e3, 2), (-5e4, 1e3), (1e25, 1e25)])
def test_moments_are_numpys_however_the_data_is_cut(cuts, offset, scale):
    x = (offset + scale * RNG.normal(size=(40, 3, 2))).astype(np.float32)
    found = moments_of(np.split(x, cuts))
    # float64 sums of 40 numbers.
    np.testing.assert_allclose(found.mean, x.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.spread, x.std(0, dtype=np.float64), rtol=1e-12)


def test_data_counts_as_the_model_reads_it():
    pixels = RNG.integers(0, 256, (9, 4)).astype(np.uint8)
    found = moments_of([pixels])
    np.testing.assert_allclose(found.mean, pixels.mean(0) / 255, rtol=1e-6)
    np.testing.assert_allclose(found.spread, pixels.std(0) / 255, rtol=1e-6)
    assert moments_of([pixels > 127]).mean.max() <= 1


@pytest.mark.parametrize("value", [0.0, 0.1, -1e9, 3e38])
def test_a_constant_feature_has_no_spread_whatever_float32_makes_of_it(value):
    # The second column varies, but by less than float32 resolves at 1e9.
    x = np.stack([np.full(50, value), 1e9 + RNG.normal(size=50)], 1)
    found = moments_of([x[:20], x[20:]])
    np.testing.assert_array_equal(found.spread, [0, 0])
