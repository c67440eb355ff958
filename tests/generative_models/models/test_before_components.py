"""Models that were saved before models were made of components load with the same outputs."""

from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.models.saving import load_model

FOLDER = Path(__file__).parent / "before_components"
X = np.random.default_rng(0).random((3, 4, 4, 1), np.float32)
MODELS = ("vae", "beta-vae", "beta-vae-capacity", "conditional-vae", "vq-vae")


@pytest.mark.sampled
@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_before_has_the_outputs_of_before(name):
    model = load_model(FOLDER / name)
    condition = {"y": np.array([0, 2, 1])} if model.conditional else {}
    made = {
        "mean": model.encode(X, **condition)[0],
        "reconstruction": model.reconstruct(X, deterministic=True, **condition),
        "sample": model.sample(2, rngs=nnx.Rngs(1), **({"y": 1} if condition else {})),
        "total_loss": model.loss_fn(batch={"x": X, **condition}, rng=jax.random.key(0))[
            "total_loss"
        ],
    }
    expected = np.load(FOLDER / "outputs.npz", allow_pickle=False)
    for key, value in made.items():
        np.testing.assert_allclose(value, expected[f"{name}: {key}"], rtol=1e-5, atol=1e-6)
