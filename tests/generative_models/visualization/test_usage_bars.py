"""KL per latent, codebook usage, maps of codes: bars and numbers against numpy."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.patches import StepPatch

from workshop.generative_models.visualization import code_maps, codebook_usage, kl_bars

RNG = np.random.default_rng(0)


def said(figure):
    return " ".join(text.get_text() for text in figure.texts)


@pytest.mark.parametrize("n", [1, 8, 36, 37, 200])
def test_bars_are_the_sorted_kl_and_name_their_latents(n):
    nats = RNG.exponential(size=n) + 0.02
    (axes,) = kl_bars(jnp.asarray(nats)).axes
    shown = np.array([bar.get_height() for bar in axes.containers[0]])
    # JAX arrays are float32 here: half a unit in the last place of 24 bits.
    np.testing.assert_allclose(shown, sorted(nats, reverse=True), rtol=6e-8)
    names = [label.get_text() for label in axes.get_xticklabels()]
    if n <= 36:
        assert names == [f"z{d}" for d in sorted(range(n), key=lambda d: -nats[d])]
    assert "nats" in axes.get_ylabel()


def test_inactive_latents_stand_on_a_hatched_ground():
    figure = kl_bars([0.004, 3.0, 0.0, 0.01, -1e-6])
    (axes,) = figure.axes
    (ground,) = [patch for patch in axes.patches if patch.get_hatch()]
    assert (ground.get_x(), ground.get_x() + ground.get_width()) == (1.5, 4.5)
    assert said(figure).endswith(
        "2 of 5 latents active; together 3.014 nats per example. "
        "Hatched: inactive, under 0.01 nats."
    )
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["z1", "z3", "z0", "z2", "z4"]


def test_all_active_has_no_hatching_and_the_threshold_is_used():
    assert not any(p.get_hatch() for p in kl_bars([1.0, 2.0]).axes[0].patches)
    assert "1 of 2 latents active" in said(kl_bars([1.0, 2.0], inactive_below=1.5))
    assert "0 of 3 latents active" in said(kl_bars(np.zeros(3)))


@pytest.mark.slow
@settings(max_examples=10)  # each draws a figure
@given(arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 1000)).filter(np.any))
def test_perplexity_is_exp_of_the_entropy(counts):
    figure = codebook_usage(counts)
    # The oracle sums over counts, not shares: H = log N - Σ c log c / N.
    total = counts.sum()
    c = counts[counts > 0].astype(np.float64)
    entropy = np.log(total) - (c * np.log(c)).sum() / total
    shown = float(said(figure).split("perplexity ")[1].rstrip("."))
    # It is printed with one decimal.
    assert shown == pytest.approx(np.exp(entropy), abs=0.05 + 1e-9)
    used = np.count_nonzero(counts)
    assert f"{used} of {len(counts)} codes used ({used / len(counts):.0%})" in said(figure)
    (steps,) = [p for p in figure.axes[0].patches if isinstance(p, StepPatch)]
    np.testing.assert_allclose(steps.get_data().values, 100 * np.sort(counts)[::-1] / total)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([7], "1.0"), ([5, 5, 5, 5], "4.0"), ([1, 0, 0], "1.0"), ([0.5, 0.25, 0.25], "2.8")],
)
def test_perplexities_known_by_hand(counts, expected):
    # exp(H): one code 1, four alike 4; of (1/2, 1/4, 1/4) 2^1.5 = 2.83.
    assert said(codebook_usage(counts)).endswith(f"perplexity {expected}.")


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 1, 1), (6, 7)])
def test_code_maps_show_the_indices(shape):
    codes = RNG.integers(0, 16, shape)
    figure = code_maps(codes, num_codes=16)
    shown = [image.get_array() for image in figure.axes[0].images]
    np.testing.assert_array_equal(np.reshape(shown, shape), codes)
    assert {image.get_clim() for image in figure.axes[0].images} == {(-0.5, 15.5)}
    assert f"{len(np.unique(codes))} of 16 codes occur" in said(figure)
    assert len(code_maps(codes, columns=1).axes[0].images) == shape[0]


def test_small_integers_are_counts_not_pixels():
    figure = code_maps(np.full((1, 2, 2), 255, np.uint8))
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), 255)
    assert said(codebook_usage(np.array([3, 1], np.uint8))).endswith("perplexity 1.8.")


WRONG = [
    (lambda: kl_bars(np.zeros((2, 2))), r"kl_bars\(kl_per_dimension\).*got \(2, 2\)"),
    (lambda: kl_bars([]), r"kl_bars\(kl_per_dimension\).*at least one"),
    (lambda: kl_bars([1, np.nan]), r"kl_bars\(kl_per_dimension\).*finite.*\[1\]"),
    (lambda: codebook_usage([0, 0]), r"codebook_usage\(counts\).*> 0"),
    (lambda: codebook_usage([1, -1]), r"codebook_usage\(counts\).*>= 0"),
    (lambda: codebook_usage([1, np.inf]), r"codebook_usage\(counts\).*finite"),
    (lambda: codebook_usage(np.ones((2, 2))), r"codebook_usage\(counts\)"),
    (lambda: code_maps([1, 2]), r"code_maps\(indices\).*got \(2,\)"),
    (lambda: code_maps([[1, 9]], num_codes=9), r"code_maps\(indices\).*< 9 .*1 to 9"),
    (lambda: code_maps([[-1, 0]]), r"code_maps\(indices\).*-1 to 0"),
    (lambda: code_maps([[0.5]]), r"code_maps\(indices\).*whole"),
    (lambda: code_maps([[1]], columns=0), "code_maps: columns=0"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
