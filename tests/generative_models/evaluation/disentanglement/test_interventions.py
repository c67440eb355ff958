"""BetaVAE and FactorVAE scores against loops over the same draws, and known answers.

The loops follow the formulas of google-research/disentanglement_lib, evaluation/metrics:
beta_vae.py and factor_vae.py.
"""

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from workshop.generative_models.data import sprites
from workshop.generative_models.evaluation.disentanglement import (
    Sampler,
    beta_vae_score,
    factor_vae_score,
    sampling,
)

SMALL = {"num_train": 150, "num_eval": 100, "batch_size": 20}


class Grid:
    """Factors of these sizes, which are what is observed too; keeps what it has shown."""

    def __init__(self, *sizes):
        self.sizes, self.shown = np.array(sizes), []

    def sample_factors(self, key, n):
        return jax.random.randint(key, (n, len(self.sizes)), 0, self.sizes)

    def render_batch(self, factors):
        self.shown.append(np.array(factors))
        return factors


def mixed(x):
    mixture = np.random.default_rng(3).normal(size=(3, 5))
    mixture[:, 4] *= 1e-3  # below the threshold of 0.05
    return np.tanh(x / 4) @ mixture


def batches_of(shown, count):
    return np.concatenate(shown)[: count * 20].reshape(count, 20, 3)


@pytest.mark.slow
def test_beta_vae_score_is_that_of_a_loop(monkeypatch):
    monkeypatch.setattr(sampling, "EXAMPLES", 20)  # one point at a time, in the order of loops
    grid = Grid(4, 9, 30)
    score = beta_vae_score(mixed, grid, **SMALL)
    first, second = (batches_of(grid.shown[start::2], 250) for start in (0, 1))
    points, labels = [], []
    for a, b in zip(first, second, strict=True):
        (held,) = np.flatnonzero((a == b).all(axis=0))  # 4^-20 to see another by chance
        labels.append(held)
        points.append(np.mean([np.abs(mixed(p) - mixed(q)) for p, q in zip(a, b, strict=True)], 0))
    model = LogisticRegression().fit(points[:150], labels[:150])
    assert score == pytest.approx(model.score(points[150:], labels[150:]), abs=1e-12)
    assert 0.5 < score < 1  # neither is certain, so that the comparison says something


def test_factor_vae_score_is_that_of_a_loop(monkeypatch):
    monkeypatch.setattr(sampling, "EXAMPLES", 20)
    grid = Grid(4, 9, 30)
    score = factor_vae_score(mixed, grid, num_variance_estimate=1000, **SMALL)
    shown = np.concatenate(grid.shown)
    points, free = shown[-250 * 20 :].reshape(250, 20, 3), shown[: -250 * 20][:1000]
    variance = np.var(mixed(free), axis=0, ddof=1)
    active = np.sqrt(variance) >= 0.05
    assert active.tolist() == [True] * 4 + [False]
    votes = np.zeros((2, 3, 4), int)
    for i, point in enumerate(points):
        (held,) = np.flatnonzero(np.ptp(point, axis=0) == 0)
        local = np.var(mixed(point), axis=0, ddof=1)
        votes[int(i >= 150), held, np.argmin(local[active] / variance[active])] += 1
    best = np.argmax(votes[0], axis=0)
    assert score == pytest.approx(votes[1][best, np.arange(4)].sum() / 100, abs=1e-12)
    assert 0.4 < score < 1


@pytest.mark.parametrize("score", [beta_vae_score, factor_vae_score])
def test_how_many_are_shown_at_a_time_changes_nothing(score, monkeypatch):
    expected = score(mixed, Grid(4, 9, 30), **SMALL)
    monkeypatch.setattr(sampling, "EXAMPLES", 70)
    assert score(mixed, Grid(4, 9, 30), **SMALL) == expected
    assert score(mixed, Grid(4, 9, 30), seed=1, **SMALL) != expected


@pytest.mark.parametrize("score", [beta_vae_score, factor_vae_score])
def test_one_latent_a_factor(score):
    grid = Grid(5, 5, 5)
    assert isinstance(grid, Sampler)
    assert score(lambda x: -2.0 * np.asarray(x)[:, [2, 0, 1]], grid, **SMALL) == 1


@pytest.mark.parametrize("score", [beta_vae_score, factor_vae_score])
def test_all_factors_in_all_latents(score):
    # |Δ(x + y)| and |Δ(x - y)| have one law whichever is held: a coin. Of 2000 tosses the share
    # has a standard deviation of 0.011.
    sizes = {"num_train": 500, "num_eval": 2000, "batch_size": 8}
    turned = np.array([[1, 1], [1, -1]])
    assert score(lambda x: x @ turned, Grid(9, 9), **sizes) == pytest.approx(0.5, abs=0.05)


def test_constant_codes():
    def constant(x):
        return np.full((len(x), 2), 0.1)

    # Chance among three factors, with the deviation of 2000 draws, 0.011.
    sizes = {"num_train": 500, "num_eval": 2000, "batch_size": 4}
    assert beta_vae_score(constant, Grid(5, 5, 5), **sizes) == pytest.approx(1 / 3, abs=0.05)
    assert factor_vae_score(constant, Grid(5, 5, 5), **sizes) == 0
    # A threshold of 0 gives constant latents no vote either.
    assert factor_vae_score(constant, Grid(5, 5, 5), prune_threshold=0, **sizes) == 0


def test_one_latent():
    # FactorVAE: its one latent stands for one factor, which a half of the points hold.
    sizes = {"num_train": 500, "num_eval": 2000, "batch_size": 8}
    score = factor_vae_score(lambda x: x[:, :1], Grid(5, 5), **sizes)
    assert score == pytest.approx(0.5, abs=0.05)
    # BetaVAE: the latent stands still or it does not, which takes some pairs to be seen.
    sizes["batch_size"] = 64
    assert beta_vae_score(lambda x: x[:, :1], Grid(5, 5), **sizes) == 1


def test_constant_factor():
    # Where it is held no latent stands still, which a linear classifier can tell too; by votes
    # alone it is lost, with the third of the points that hold it (0.011 is a deviation).
    sizes = {"num_train": 500, "num_eval": 2000, "batch_size": 32}
    grid = Grid(5, 5, 1)
    assert beta_vae_score(lambda x: x[:, :2], grid, **sizes) > 0.99
    assert factor_vae_score(lambda x: x[:, :2], grid, **sizes) == pytest.approx(2 / 3, abs=0.05)


@pytest.mark.slow
def test_sprites_are_a_sampler():
    # Centroids are the factors pos_x and pos_y, brightness is scale, and no latent is for the
    # others: three votes of five at most, and what a guess adds.
    def moments(x):
        x = np.asarray(x)[..., 0]
        total, steps = x.sum(axis=(1, 2)), np.arange(64)
        across, down = (x.sum(axis=axis) @ steps / total for axis in (1, 2))
        return np.stack([across, down, np.sqrt(total)], axis=1)

    assert isinstance(sprites, Sampler)
    sizes = {"num_train": 100, "num_eval": 50, "batch_size": 8, "num_variance_estimate": 500}
    score = factor_vae_score(moments, sprites, **sizes)
    assert 0.4 < score < 0.8  # 0.6, ± 0.07 for 50 points


def test_cut_short_the_points_are_shared_out():
    seen = []

    def half(starts):
        seen.append(len(starts))
        return starts[: len(starts) // 2]

    assert beta_vae_score(lambda x: x, Grid(5, 5, 5), progress=half, **SMALL) == 1
    assert factor_vae_score(lambda x: x, Grid(5, 5, 5), progress=half, **SMALL) == 1
    assert seen == [5, 5]  # 250 points of 20, up to 51 at a time
    with pytest.raises(ValueError, match="cut short"):
        beta_vae_score(lambda x: x, Grid(5, 5, 5), progress=lambda starts: starts[:0], **SMALL)


@pytest.mark.parametrize("score", [beta_vae_score, factor_vae_score])
@pytest.mark.parametrize(
    ("represent", "sampler", "sizes", "message"),
    [
        (lambda x: x, Grid(5), {}, "at least 2 factors to tell apart, got 1"),
        (lambda x: x, Grid(5, 5), {"num_train": 0}, "num_train=0: expected a positive integer"),
        (lambda x: x, Grid(5, 5), {"num_eval": -1}, "num_eval=-1"),
        (lambda x: x[:, 0], Grid(5, 5), {}, r"represent\): expected shape \(n, latents\)"),
        (lambda x: x[:3], Grid(5, 5), {}, r"represent\): expected codes of \d+ examples"),
        (lambda x: x / np.zeros(2), Grid(5, 5), {}, "finite numbers, got"),
    ],
)
@pytest.mark.filterwarnings("ignore:(invalid|divide by zero)")
def test_impossible_input(score, represent, sampler, sizes, message):
    with pytest.raises(ValueError, match=message):
        score(represent, sampler, **(SMALL | sizes))


def test_points_that_cannot_be_scored():
    grid = Grid(5, 5)
    with pytest.raises(ValueError, match="raise num_train"):
        beta_vae_score(lambda x: x, grid, num_train=1, num_eval=5)
    with pytest.raises(ValueError, match="batch_size=1: expected a finite number >= 2"):
        factor_vae_score(lambda x: x, grid, batch_size=1)
    with pytest.raises(ValueError, match="num_variance_estimate=1"):
        factor_vae_score(lambda x: x, grid, num_variance_estimate=1)
    with pytest.raises(ValueError, match="prune_threshold=-1"):
        factor_vae_score(lambda x: x, grid, prune_threshold=-1)

    class Floats(Grid):
        def sample_factors(self, key, n):
            return jax.random.normal(key, (n, 2))

    with pytest.raises(ValueError, match=r"sampler\): expected whole numbers"):
        beta_vae_score(lambda x: x, Floats(5, 5))
