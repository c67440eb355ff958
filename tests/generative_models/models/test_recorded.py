"""Numbers that a change of the architecture must not change, recorded before it.

`python tests/generative_models/models/test_recorded.py` writes them anew: only for a change that is
meant to change numbers, and that says so.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import nnx

from workshop.cli.starting import train_options
from workshop.generative_models.core.configuration import ResidualConfig, VQConfig
from workshop.generative_models.data import load_dataset
from workshop.generative_models.evaluation.bounds import elbo, importance_weighted_bound
from workshop.generative_models.models.saving import build_model
from workshop.generative_models.models.vae import (
    VAE,
    VQVAE,
    BetaVAE,
    BetaVAEWithCapacity,
    ConditionalVAE,
    MLPDecoder,
    MLPEncoder,
)
from workshop.generative_models.training import Trainer

FILE = Path(__file__).with_name("recorded.npz")


def _by_command(name: str) -> Callable[[], Any]:
    """Return what builds a model as `workshop train --model NAME` does, with smaller layers."""

    def build() -> Any:
        options: Any = train_options(["--model", name, "--hidden-dims", "16", "8"])
        config = options.__dataclass_fields__["config"].default
        return build_model(name, config, rngs=nnx.Rngs(0))

    return build


def _by_hand(
    kind: type[Any], latent_dim: int = 4, *, output_activation: str = "sigmoid", **options: Any
) -> Callable[[], Any]:
    def build() -> Any:
        rngs = nnx.Rngs(params=1, sample=2)
        encoder = MLPEncoder([24, 16], latent_dim, "tanh", (8, 8, 1), rngs=rngs)
        decoder = MLPDecoder(
            [16, 24], (8, 8, 1), latent_dim, "tanh", rngs=rngs, output_activation=output_activation
        )
        return kind(encoder, decoder, latent_dim, rngs=rngs, **options)

    return build


CASES: dict[str, Callable[[], Any]] = {
    **{
        f"{name} by command": _by_command(name)
        for name in ("vae", "beta-vae", "beta-vae-capacity", "conditional-vae", "vq-vae")
    },
    "VAE by hand": _by_hand(
        VAE,
        kl_weight=0.7,
        likelihood="gaussian",
        scale="per_feature",
        standardize=True,
        free_bits=0.2,
        kl_schedule="sigmoid",
        kl_schedule_steps=8,
        output_activation="identity",
    ),
    "BetaVAE by hand": _by_hand(
        BetaVAE, beta_default=3.0, beta_warmup_steps=6, reconstruction_loss_type="bce"
    ),
    "BetaVAEWithCapacity by hand": _by_hand(
        BetaVAEWithCapacity, use_capacity_control=True, capacity_num_iter=20, gamma=10.0
    ),
    "ConditionalVAE by hand": _by_hand(
        ConditionalVAE, condition_dim=10, condition_type="add", embed_dim=3, likelihood="laplace"
    ),
    "VQVAE by hand": _by_hand(VQVAE, latent_dim=8, num_embeddings=16, embedding_dim=2),
    "VQVAE by hand, residual": _by_hand(
        VQVAE,
        latent_dim=8,
        num_embeddings=16,
        embedding_dim=4,
        likelihood="bce",
        quantizer=ResidualConfig(stages=2, stage=VQConfig(learning="ema")),
    ),
}
QUICK = ("vae by command", "VQVAE by hand")
"""Cases that `make test` runs; `make test-all` runs all."""


def found(case: str) -> dict[str, np.ndarray]:
    """Return what the case's model gives: losses of ten steps, and then samples and bounds."""
    model, digits = CASES[case](), load_dataset("digits")
    labels = isinstance(model, ConditionalVAE)
    train = digits.train.take(np.arange(200))
    data = {"x": train.x, "y": train.y} if labels else train.x
    trainer = Trainer(model, batch_size=32, seed=3, log_every=1, progress=False)
    rows = trainer.fit(data, steps=10)
    x = np.asarray(digits.test.x[:4])
    y = np.asarray(digits.test.y[:4]) if labels else None
    condition = {"y": y} if labels else {}
    one = {"y": int(y[0])} if labels else {}
    made = {
        "losses": np.array([row["loss"] for row in rows]),
        "reconstruction_losses": np.array([row["reconstruction_loss"] for row in rows]),
        "kl_losses": np.array([row["kl_loss"] for row in rows]),
        "sample": model.sample(3, rngs=nnx.Rngs(5), **({"y": 1} if labels else {})),
        "reconstruction": model.reconstruct(x, rngs=nnx.Rngs(6), **condition),
        "interpolation": model.interpolate(x[0], x[1], steps=3, **one),
        "elbo": elbo(model, x, y, samples=3),
    }
    if not isinstance(model, VQVAE):
        made["importance_weighted_bound"] = importance_weighted_bound(model, x, y, samples=20)
    return {name: np.asarray(array) for name, array in made.items()}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES],
)
def test_values_are_those_recorded(case: str):
    recorded = np.load(FILE, allow_pickle=False)
    made = found(case)
    names = [name for name in recorded.files if name.startswith(f"{case}: ")]
    assert {f"{case}: {name}" for name in made} == set(names)
    for name in names:
        # Relative to the largest number of an array: rounding there reaches them all.
        size = max(1.0, float(np.abs(recorded[name]).max()))
        np.testing.assert_allclose(
            made[name.removeprefix(f"{case}: ")] / size,
            recorded[name] / size,
            atol=1e-5,
            rtol=0,
            err_msg=name,
        )


if __name__ == "__main__":
    every = {f"{c}: {n}": array for c in CASES for n, array in found(c).items()}
    np.savez_compressed(FILE, allow_pickle=False, **every)
