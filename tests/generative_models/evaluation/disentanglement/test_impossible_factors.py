"""Errors of the metrics that read codes and factors: what was given, expected, and the way out."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workshop.generative_models.evaluation.disentanglement import (
    dci,
    explicitness,
    irs,
    mig,
    modularity,
    sap,
)

FACTORS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 3)
CODES = FACTORS + 0.5
COUNTED = [mig, modularity, irs]
LEARNT = [sap, dci, explicitness]


def call(score, codes=CODES, factors=FACTORS, test_codes=CODES, test_factors=FACTORS):
    if score in COUNTED:
        return score(codes, factors)
    return score(codes, factors, test_codes, test_factors)


@pytest.mark.parametrize("score", COUNTED + LEARNT)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"codes": CODES[:, 0]}, r"\(codes\): expected shape \(n, latents\).*got \(12,\)"),
        ({"codes": CODES[:0], "factors": FACTORS[:0]}, r"\(codes\): expected at least 1 examples"),
        ({"codes": np.where(CODES > 1, np.nan, 0)}, "expected finite numbers, got 9 rows of 12"),
        ({"codes": CODES * [[1, np.inf]]}, "expected finite numbers, got 12 rows of 12"),
        ({"factors": FACTORS[1:]}, r"\(factors\): expected shape \(12, factors\).*got \(11, 2\)"),
        ({"factors": FACTORS[:, 0]}, r"\(factors\): expected shape \(12, factors\).*got \(12,\)"),
        ({"factors": FACTORS[:, :0]}, r"\(factors\): expected at least \d factors"),
        ({"factors": FACTORS / 2}, r"\(factors\): expected whole numbers, got float64; number"),
        ({"factors": FACTORS > 0}, r"\(factors\): expected whole numbers, got bool"),
    ],
)
def test_arrays_that_do_not_belong_together(score, given, message):
    with (
        pytest.raises(ValueError, match=score.__name__ + message)
        if message[0] == "\\"
        else (pytest.raises(ValueError, match=message))
    ):
        call(score, **given)


@pytest.mark.parametrize("score", LEARNT)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"test_codes": CODES[:, :1]}, r"\(test_codes\): expected 2 columns, as codes has"),
        ({"test_factors": FACTORS[:, :1]}, r"\(test_factors\): expected 2 columns"),
        ({"test_factors": FACTORS[1:]}, r"\(test_factors\): expected shape \(12, factors\)"),
        ({"test_factors": FACTORS / 2}, r"\(test_factors\): expected whole numbers"),
        ({"test_codes": CODES * np.nan}, r"\(test_codes\): expected finite numbers"),
    ],
)
def test_tests_that_do_not_fit(score, given, message):
    with pytest.raises(ValueError, match=score.__name__ + message):
        call(score, **given)


@pytest.mark.parametrize("score", [mig, *LEARNT])
def test_a_factor_of_one_value(score):
    factors = np.stack([FACTORS[:, 0], np.full(12, 4)], axis=1)
    message = r"\(factors\): expected at least two values of each factor, got one of factor 1; draw"
    with pytest.raises(ValueError, match=score.__name__ + message):
        call(score, factors=factors)


def test_a_constant_factor_has_no_share_of_variance():
    with pytest.raises(ValueError, match="at least two values of each factor"):
        sap(CODES, np.ones_like(FACTORS), continuous=True)


@pytest.mark.parametrize("score", [mig, sap, dci])
def test_fewer_than_two_latents(score):
    with pytest.raises(ValueError, match=r"at least 2 latents to compare, got shape \(12, 1\)"):
        call(score, codes=CODES[:, :1], test_codes=CODES[:, :1])


@pytest.mark.parametrize("score", [modularity, dci])
def test_fewer_than_two_factors(score):
    with pytest.raises(ValueError, match=r"at least 2 factors, got shape \(12, 1\)"):
        call(score, factors=FACTORS[:, :1], test_factors=FACTORS[:, :1])


def test_a_test_without_a_curve():
    with pytest.raises(ValueError, match=r"at least two values of factor 0.*got \[7\]; draw more"):
        explicitness(CODES, FACTORS, CODES, np.full_like(FACTORS, 7))


def test_sap_wants_a_test_or_continuous_factors():
    for arguments in ((CODES, FACTORS), (CODES, FACTORS, CODES)):
        with pytest.raises(ValueError, match="expected test_codes and test_factors"):
            sap(*arguments)


def test_settings_out_of_range():
    for score in COUNTED:
        with pytest.raises(ValueError, match="bins=0: expected a positive integer"):
            score(CODES, FACTORS, bins=0)
    for quantile in (0, 1.5, np.nan):
        with pytest.raises(ValueError, match="expected 0 < diff_quantile <= 1"):
            irs(CODES, FACTORS, diff_quantile=quantile)


@given(
    arrays(np.float32, (12, 3), elements=st.floats(-(2.0**60), 2.0**60, width=32)),
    arrays(np.int8, (12, 2), elements=st.integers(-3, 3)),
)
def test_finite_codes_give_finite_scores_in_range(codes, factors):
    # In a group the furthest from its own mean may be up to twice as far as the furthest of all
    # from the mean of all, so that IRS can be below 0.
    assert -1 - 1e-9 <= irs(codes, factors) <= 1
    scores = [modularity(codes, factors)]
    if np.ptp(factors.astype(int), axis=0).all():
        scores += [mig(codes, factors), sap(codes, factors, continuous=True)]
    assert all(0 <= s <= 1 + 1e-9 for s in scores)


def test_arrays_of_jax_and_small_integers_are_read():
    codes, factors = jnp.asarray(CODES, jnp.float32), jnp.asarray(FACTORS, jnp.uint8)
    for score in COUNTED:
        assert score(codes, factors) == pytest.approx(call(score))
    assert sap(codes, factors, codes, factors) == call(sap)
