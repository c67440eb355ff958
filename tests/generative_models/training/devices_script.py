"""Trains on several devices, in a process of its own, and prints the losses as JSON.

    python devices_script.py DEVICES JOBS [COORDINATOR PROCESSES PROCESS]

JOBS is a list of {"model", "layout", "steps", "folder", "stream"}.
"""

import json
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core.configuration import (
    MODEL_CONFIGS,
    DecoderConfig,
    EncoderConfig,
    VQConfig,
)
from workshop.generative_models.models.vae import MODELS, VAE, MLPDecoder
from workshop.generative_models.training import Callback, Trainer, create_optimizer, distributed

FIELDS: dict[str, dict[str, Any]] = {
    "beta-vae-capacity": {"use_capacity_control": True, "capacity_num_iter": 10, "gamma": 1.0},
    "conditional-vae": {"condition_dim": 3},
    "vq-vae": {"num_embeddings": 5, "embedding_dim": 2, "encoder_type": "cnn"},
}
FIELDS["vq-vae, averaged"] = FIELDS["vq-vae"] | {
    "quantizer": VQConfig(learning="ema", decay=0.9, kmeans=True, revive_below=0.2)
}


class Beat(Callback):
    """Say that a checkpoint is due to be there."""

    def on_row(self, row):
        print("row", row["step"], file=sys.stderr, flush=True)


class Normalising(nnx.Module):
    """An encoder of one's own with batch statistics."""

    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(16, momentum=0.9, rngs=rngs)
        self.linear = nnx.Linear(16, 4, rngs=rngs)

    def __call__(self, x):
        return tuple(jnp.split(self.linear(self.norm(x.reshape(len(x), -1))), 2, axis=-1))


def model_of(name: str):
    if name == "batch statistics":
        rngs = nnx.Rngs(0)
        return VAE(Normalising(rngs), MLPDecoder([16], (4, 4, 1), 2, rngs=rngs), 2, rngs=rngs)
    kind = name.split(",")[0]
    config = MODEL_CONFIGS[kind](
        encoder=EncoderConfig(hidden_dims=(16,), latent_dim=2, input_shape=(4, 4, 1)),
        decoder=DecoderConfig(hidden_dims=(16,), latent_dim=2, output_shape=(4, 4, 1)),
        **FIELDS.get(name, {}),
    )
    return MODELS[kind](config, rngs=nnx.Rngs(0))


def train(job: dict[str, Any]) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    x = generator.random((70, 4, 4, 1), np.float32)
    data = {"x": x, "y": (np.arange(70) % 3).astype(np.int32)}
    model = model_of(job["model"])
    trainer = Trainer(
        model,
        create_optimizer("adam", 1e-3, clip_norm=1.0),
        16,
        folder=job.get("folder"),
        checkpoint_every=4,
        log_every=4,
        average=0.9,
        devices=job["layout"],
        stream=job.get("stream"),
        callbacks=[Beat()],
        progress=False,
    )
    held_out = {name: a[:21] for name, a in data.items()}  # 21 = 16 + 5: not even
    rows = trainer.fit(data, held_out, steps=job["steps"], resume=bool(job.get("resume")))
    evaluated = trainer.evaluate(held_out)["loss"]
    assert abs(evaluated - rows[-1]["loss"]) <= 1e-5 * abs(evaluated), (evaluated, rows[-1])
    usage = getattr(model, "usage", None)
    return {
        "losses": [row["loss"] for row in rows],
        "first": rows[0]["step"],
        "usage": None if usage is None else np.asarray(usage[...]).sum(0).tolist(),
        "codes": None
        if usage is None
        else np.asarray(model.embeddings.embedding[...]).ravel().tolist(),
        "weights": float(
            sum(np.abs(a).sum() for a in jax.tree.leaves(nnx.state(model, nnx.Param)))
        ),
    }


def main() -> None:
    jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
    if len(sys.argv) > 3:
        distributed.join(sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    print(json.dumps([train(job) for job in json.loads(sys.argv[2])]))


if __name__ == "__main__":
    main()
