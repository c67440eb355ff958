"""The models that training.py and costs.py measure, and how much work each is."""

import jax
import numpy as np
from flax import nnx

from workshop.generative_models.core.configuration import (
    AutoencoderConfig,
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
    VQVAEConfig,
)
from workshop.generative_models.models.vae import VAE, VQVAE

EXAMPLES, BATCH, LATENTS = 5000, 128, 20
IMAGE = (28, 28, 1)


def networks(hidden_dims: tuple[int, ...], shape: tuple[int, ...]) -> dict:
    shared = {"latent_dim": LATENTS}
    return {
        "encoder": EncoderConfig(hidden_dims=hidden_dims, input_shape=shape, **shared),
        "decoder": DecoderConfig(hidden_dims=hidden_dims[::-1], output_shape=shape, **shared),
    }


MLP = "MLP 784-512-256-20"
CNN = "CNN 32-64-128, 28×28"
CNN64 = "CNN 32-64-128, 64×64"
VQ = "VQ-VAE 32-64, 7×7 codes of 512×64, 28×28"

CASES: dict[str, tuple[type[VAE], AutoencoderConfig]] = {
    MLP: (VAE, VAEConfig(likelihood="bce", **networks((512, 256), (784,)))),
    CNN: (VAE, VAEConfig(encoder_type="cnn", likelihood="bce", **networks((32, 64, 128), IMAGE))),
    CNN64: (
        VAE,
        VAEConfig(encoder_type="cnn", likelihood="bce", **networks((32, 64, 128), (64, 64, 1))),
    ),
    VQ: (
        VQVAE,
        VQVAEConfig(
            encoder_type="cnn",
            num_embeddings=512,
            embedding_dim=64,
            likelihood="bce",
            **networks((32, 64), IMAGE),
        ),
    ),
}

PEER_NAMES = {MLP: "mlp", CNN: "cnn28", CNN64: "cnn64", VQ: "vq"}
"""What the scripts of the peers call a case."""


def build(case: str) -> VAE:
    network, config = CASES[case]
    return network(config, rngs=nnx.Rngs(0))


def examples(case: str, count: int = EXAMPLES) -> np.ndarray:
    """Return random examples of a case: what they hold changes no time."""
    shape = CASES[case][1].encoder.input_shape or ()
    return np.random.default_rng(0).random((count, *shape), np.float32)


def parameters(case: str) -> int:
    shapes = nnx.state(nnx.eval_shape(lambda: build(case)), nnx.Param)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def macs(config: AutoencoderConfig) -> tuple[int, int]:
    """Return the multiplications of a forward pass for one example, and of its first layer."""
    hidden, shape = config.encoder.hidden_dims, config.encoder.input_shape
    if config.encoder_type == "dense":
        down = [a * b for a, b in zip((shape[0], *hidden[:-1]), hidden, strict=True)]
        ends = hidden[-1] * LATENTS * 3
        return 2 * sum(down) + ends, down[0]
    sizes = [shape[0] >> i for i in range(len(hidden) + 1)]
    down = [9 * s * s * a * b for s, a, b in zip(sizes[1:], (1, *hidden[:-1]), hidden, strict=True)]
    back = hidden[::-1]
    up = [
        16 * s * s * a * b
        for s, a, b in zip(sizes[:0:-1], (back[0], *back[:-1]), back, strict=True)
    ]
    places = sizes[-1] ** 2
    if isinstance(config, VQVAEConfig):
        code = config.embedding_dim
        ends = places * code * (2 * hidden[-1] + config.num_embeddings / 3)  # no gradient there
    else:
        ends = 3 * places * hidden[-1] * LATENTS
    return int(sum(down) + sum(up) + ends + 9 * shape[0] ** 2 * back[-1]), down[0]


def training_flops(case: str) -> int:
    """Return the operations of a training step for one example."""
    forward, first = macs(CASES[case][1])
    return 2 * (3 * forward - first)  # the data needs no gradient
