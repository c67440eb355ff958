"""Codes and factors that the metrics are compared on, from disentangled to noise."""

import numpy as np
import pytest

SIZES = (3, 24, 7)  # 24 values are more than 20 bins


def draw(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, SIZES, (n, len(SIZES)))


def encode(kind: str, factors: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(len(factors), 4))
    if kind == "noise":
        return noise
    if kind == "disentangled":
        return np.concatenate([factors, noise[:, :1]], axis=1)
    if kind == "integers":  # every value lies on an edge of a bin or near it
        return np.concatenate([factors, factors[:, 1:2] + factors[:, 2:]], axis=1).astype(float)
    mixture = np.random.default_rng(7).normal(size=(3, 4))
    codes = np.tanh(factors / SIZES) @ mixture + 0.1 * noise
    if kind == "constant latent":
        codes[:, 2] = 0.1  # whose mean and variance are rounded
    return codes


@pytest.fixture(params=["noise", "disentangled", "integers", "mixed", "constant latent"])
def examples(request) -> tuple[np.ndarray, ...]:
    """Codes and factors to train on, and to test on."""
    train, test = draw(0, 400), draw(1, 200)
    return encode(request.param, train, 2), train, encode(request.param, test, 3), test


@pytest.fixture
def grid() -> np.ndarray:
    """Each pair of 8 by 8 values once: two factors that are exactly independent."""
    return np.stack(np.meshgrid(np.arange(8), np.arange(8), indexing="ij"), axis=-1).reshape(-1, 2)


@pytest.fixture
def turned(grid) -> np.ndarray:
    """The grid turned by 45 degrees: each latent holds both factors alike."""
    return (grid @ np.array([[1, 1], [1, -1]])).astype(float)
