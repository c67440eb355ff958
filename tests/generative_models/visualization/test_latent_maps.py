"""Maps of the latent means: the right dimensions, the right colours."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgba

from workshop.generative_models.visualization import latent_map
from workshop.generative_models.visualization.style import PALETTE

RNG = np.random.default_rng(0)
MEANS = RNG.normal(size=(200, 6)) * [0.1, 2, 0.5, 3, 1, 0]


def points(axes):
    """Coordinates, colours and marker of every scatter, one row a point."""
    found = []
    for shape, dots in enumerate(axes.collections):
        colours = np.broadcast_to(dots.get_facecolors(), (len(dots.get_offsets()), 4))
        found += [
            (x, y, *c[:3], shape) for (x, y), c in zip(dots.get_offsets(), colours, strict=True)
        ]
    return np.array(sorted(found))


@pytest.mark.slow
@settings(max_examples=10)  # each draws a figure
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(2, 8))
def test_the_two_dimensions_are_those_of_largest_variance(seed, n, latent_dim):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(n, latent_dim)) * rng.uniform(size=latent_dim)
    (axes,) = latent_map(means).axes
    first, second = sorted(range(latent_dim), key=lambda d: -np.var(means[:, d]))[:2]
    assert axes.get_xlabel().split()[0] == f"z{first}"
    assert axes.get_ylabel().split()[0] == f"z{second}"
    expected = sorted(map(tuple, means[:, [first, second]]))
    np.testing.assert_array_equal(points(axes)[:, :2], expected)


def test_axes_say_the_variance_and_share_their_scale():
    figure = latent_map(jnp.asarray(MEANS))
    (axes,) = figure.axes
    assert axes.get_xlabel() == f"z3  (variance of the means {MEANS[:, 3].var():.3g})"
    assert axes.get_aspect() == 1
    assert "200 examples. Axes: of 6 latents" in figure.texts[1].get_text()


@pytest.mark.parametrize("count", [1, 10, 20])
def test_each_class_has_its_colour_and_shape(count):
    labels = np.arange(200) % count * 3  # labels need not be 0, 1, 2, ...
    (axes,) = latent_map(MEANS, labels).axes
    colours = np.array([to_rgba(PALETTE[label // 3 % 10])[:3] for label in labels])
    expected = np.column_stack([MEANS[:, [3, 1]], colours, labels // 3 >= 10])
    np.testing.assert_array_equal(points(axes), sorted(map(tuple, expected)))
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [str(3 * i) for i in range(count)]
    keys = [(h.get_color(), h.get_marker()) for h in legend.legend_handles]
    assert len(set(keys)) == count
    assert keys[-1][1] == ("^" if count > 10 else "o")


def test_more_classes_than_colours_get_a_bar():
    figure = latent_map(MEANS, np.arange(200) % 40)
    axes, bar = figure.axes
    assert axes.get_legend() is None
    assert len(np.unique(points(axes)[:, 2:5], axis=0)) == 40
    assert [t.get_text() for t in bar.get_yticklabels()] == ["0", "7", "15", "23", "31", "39"]


def test_class_names():
    names = ["_a", "b", "$5", "x" * 80]
    (axes,) = latent_map(MEANS, np.arange(200) % 4, names).axes
    shown = [text.get_text().lstrip("\u200b") for text in axes.get_legend().get_texts()]
    assert shown[:3] == names[:3]
    assert shown[3].startswith("xxxx")
    assert shown[3].endswith("…")


@pytest.mark.parametrize("labels", [None, np.arange(200) % 12, np.arange(200) % 30])
def test_one_latent_is_a_histogram(labels):
    axes = latent_map(MEANS[:, 1:2], labels).axes[0]
    assert axes.get_xlabel().startswith("z0")
    assert axes.get_ylabel() == "examples"
    layers = [patch.get_data() for patch in axes.patches]
    edges = layers[0].edges
    groups = [MEANS[:, 1]] if labels is None else [MEANS[labels == c, 1] for c in np.unique(labels)]
    for layer, group in zip(layers, groups, strict=True):
        counts = np.histogram(group, edges)[0]
        np.testing.assert_array_equal(layer.values - layer.baseline, counts)
    np.testing.assert_array_equal(layers[-1].values.sum(), 200)
    if (legend := axes.get_legend()) is not None:
        for patch, key in zip(axes.patches, legend.legend_handles, strict=True):
            assert patch.get_facecolor() == key.get_facecolor()
            assert patch.get_hatch() == key.get_hatch()
    np.testing.assert_array_equal(edges[[0, -1]], [MEANS[:, 1].min(), MEANS[:, 1].max()])


def test_pca_has_the_coordinates_of_the_singular_vectors():
    figure = latent_map(MEANS + 5, method="pca")
    (axes,) = figure.axes
    centred = MEANS - MEANS.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    expected = np.abs(u[:, :2] * s[:2])
    # Signs of singular vectors are free; the fixed shuffle is undone by sorting.
    got = np.abs(points(axes)[:, :2])
    np.testing.assert_allclose(sorted(map(tuple, got)), sorted(map(tuple, expected)), atol=1e-12)
    shares = s**2 / (s**2).sum()
    assert axes.get_xlabel() == f"principal component 1  ({shares[0]:.0%} of the variance)"
    assert axes.get_ylabel() == f"principal component 2  ({shares[1]:.0%} of the variance)"


@pytest.mark.parametrize("means", [[[1.0]], [[1.0, 2.0]], np.zeros((5, 3)), np.full((4, 1), 1e9)])
def test_degenerate_means_are_drawn(means):
    latent_map(means).canvas.draw()


WRONG = [
    (lambda: latent_map(MEANS[0]), r"latent_map\(means\).*\(n, latent_dim\), got \(6,\)"),
    (lambda: latent_map(MEANS[:0]), r"latent_map\(means\).*at least one value"),
    (lambda: latent_map([[1.0, np.nan]]), r"latent_map\(means\).*finite.*nan at \[0, 1\]"),
    (lambda: latent_map(MEANS, [1, 2]), r"latent_map\(labels\).*200 examples"),
    (lambda: latent_map(MEANS, np.arange(200) / 7), r"latent_map\(labels\).*whole"),
    (lambda: latent_map(MEANS, np.arange(200) % 3, ["a"]), r"latent_map\(class_names\).*label 1"),
    (lambda: latent_map(MEANS, method="tsne"), "latent_map: method='tsne'.*pca, variance"),
    (lambda: latent_map(MEANS[:, :1], method="pca"), r"method='pca'\).*\(200, 1\)"),
    (lambda: latent_map(MEANS[:1], method="pca"), r"method='pca'\).*\(1, 6\)"),
    (lambda: latent_map(np.ones((5, 3)), method="pca"), r"method='pca'\).*different"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
