"""A run in a process of its own, to be killed: trains, and at the end saves all that it learned.

python faults_script.py FOLDER resident|streamed
"""

import sys
import time
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from workshop.generative_models.core.configuration import (
    DecoderConfig,
    EncoderConfig,
    VQConfig,
    VQVAEConfig,
)
from workshop.generative_models.models.vae import VQVAE
from workshop.generative_models.training import Callback, Trainer, create_optimizer

STEPS = 400


class Slow(Callback):
    """Give the test time to strike."""

    def on_row(self, row):
        time.sleep(0.02)


def train(folder: Path, how: str) -> None:
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (300, 6), np.uint8)
    config = VQVAEConfig(
        encoder=EncoderConfig(hidden_dims=(8,), latent_dim=2, input_shape=(6,)),
        decoder=DecoderConfig(hidden_dims=(8,), latent_dim=2, output_shape=(6,)),
        num_embeddings=5,
        embedding_dim=1,
        # What has most to lose: averages, a beginning, and codes that begin anew at random.
        quantizer=VQConfig(learning="ema", decay=0.9, kmeans=True, revive_below=0.5),
    )
    model = VQVAE(config, rngs=nnx.Rngs(0))
    optimizer = create_optimizer(
        "adamw", 1e-2, steps=STEPS, schedule="cosine", warmup_steps=50, accumulate=3, clip_norm=1.0
    )
    trainer = Trainer(
        model,
        optimizer,
        16,
        folder=folder,
        checkpoint_every=45,
        log_every=10,
        evaluate_every=25,
        average=0.99,
        keep_best=True,
        patience=20,
        stream=how == "streamed",
        callbacks=[Slow()],
        progress=False,
    )
    trainer.fit(x, x[:50], steps=STEPS, resume=True)
    state = nnx.state(model, nnx.Not(nnx.RngState))
    arrays = [np.asarray(a) for a in jax.tree.leaves(state)]
    np.savez(folder / "end.npz", *arrays)


if __name__ == "__main__":
    train(Path(sys.argv[1]), sys.argv[2])
