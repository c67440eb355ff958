"""How often a model sticks at one image for all inputs, with and without an initial bias.

    python benchmarks/vq_initialisation.py [--seeds 20] [--zero-seeds 10] [--steps 200]

Needs the extra `mnist5k`. Squared error with a sigmoid output, on 5,000 MNIST digits of 14 × 14
pixels (means of 2 × 2) by convolutions of 16 and 32 channels, two codebooks also on 28 × 28 by 32
and 64 channels, batches of 32. Models are trained from biases of zero, and as the trainer begins by
default, with the bias of the decoder's last layer at the data's mean (`VAE.initialize`). A run
counts as stuck if the variance of its reconstructions of test digits is below 1% of that of the
digits themselves, the criterion of `workshop evaluate`. The table is printed row by row and written
to VQ_INITIALISATION.md.
"""

import argparse
import contextlib
import statistics
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from flax import nnx

from workshop.generative_models.core.configuration import (
    QUANTIZER_CONFIGS,
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
    VQVAEConfig,
)
from workshop.generative_models.data import Split, load_dataset
from workshop.generative_models.evaluation.samples.dependence import NEGLIGIBLE, dependence_of
from workshop.generative_models.models.vae import VAE, VQVAE
from workshop.generative_models.training import Trainer

KINDS: dict[str, dict[str, Any]] = {
    "codebook by gradient": {"kind": "vq"},
    "codebook by gradient, rotation trick": {"kind": "vq", "gradient": "rotation"},
    "averaged codebook": {"kind": "vq", "learning": "ema"},
    "averaged codebook, rotation trick": {
        "kind": "vq", "learning": "ema", "gradient": "rotation"},
    "averaged codebook, k-means, revival": {
        "kind": "vq", "learning": "ema", "kmeans": True, "revive_below": 0.1},
    "residual, 2 stages": {"kind": "residual", "stages": 2},
    "FSQ": {"kind": "fsq"},
    "LFQ": {"kind": "lfq"},
    "BSQ": {"kind": "bsq"},
    "SimVQ, rotation trick": {"kind": "simvq"},
    "SimVQ": {"kind": "simvq", "gradient": "straight_through"},
    "codebook by gradient, dense networks": {"kind": "vq", "encoder_type": "dense"},
    "no codes: a VAE": {"kind": None},
}  # fmt: skip
AT_FULL_SIZE = ("codebook by gradient", "averaged codebook")
FULL = ", 28 × 28"
CODES, DIM = 64, 16


def model_of(
    shape: tuple[int, ...], layers: tuple[int, ...], seed: int, *, kind: str | None,
    encoder_type: str = "cnn", likelihood: str = "mse", **quantizer: Any,
) -> VAE:  # fmt: skip
    """Return a new model of a kind."""
    shared: dict[str, Any] = {
        "encoder_type": encoder_type,
        "encoder": EncoderConfig(hidden_dims=layers, latent_dim=DIM, input_shape=shape),
        "decoder": DecoderConfig(hidden_dims=layers[::-1], latent_dim=DIM, output_shape=shape),
        "likelihood": likelihood,
    }
    if kind is None:
        return VAE(VAEConfig(**shared), rngs=nnx.Rngs(seed))
    codes = {"num_embeddings": CODES, "embedding_dim": DIM}
    config = VQVAEConfig(quantizer=QUANTIZER_CONFIGS[kind](**quantizer), **codes, **shared)
    return VQVAE(config, rngs=nnx.Rngs(seed))


def images(split: Split, *, full: bool) -> Split:
    """Return digits in [0, 1], of half the height and width unless `full`."""
    x = np.asarray(split.x, np.float32) / 255
    return Split(x if full else x.reshape(-1, 14, 2, 14, 2, 1).mean((2, 4)))


def train(model: VAE, data: Split, test: Split, steps: int, seed: int) -> tuple[bool, float]:
    """Train, and return whether the model stuck, and its squared error per pixel."""
    Trainer(model, batch_size=32, seed=seed, progress=False).fit(data, steps=steps)
    model.eval()
    found = dependence_of(model, test)
    error = 1 - found["explained_variance"].value
    return found["reconstruction_variance"].value < NEGLIGIBLE, error * float(test.x.var(0).mean())


def row(name: str, zero_seeds: int, seeds: int, steps: int) -> str:
    """Return a row of the table."""
    full, what = name.endswith(FULL), KINDS[name.removesuffix(FULL)]
    dataset = load_dataset("mnist5k")
    data, test = (images(part, full=full) for part in (dataset.train, dataset.test))
    layers = (32, 64) if full else (16, 32)
    layers = (256, 128) if what.get("encoder_type") == "dense" else layers
    cells = []
    # Patched in the class, so that one program serves both.
    plain = mock.patch.object(VAE, "initialize", return_value=None)
    for count, start in ((zero_seeds, plain), (seeds, contextlib.nullcontext())):
        with start:
            runs = [
                train(model_of(test.shape, layers, seed, **what), data, test, steps, seed)
                for seed in range(count)
            ]
        stuck, errors = zip(*runs, strict=True)
        cells.append(f"{sum(stuck)} of {len(stuck)} | {statistics.median(errors):.4f}")
    return f"| {name} | {' | '.join(cells)} |"


HEAD = """# Models that stick at one image

A run of `python benchmarks/vq_initialisation.py`: squared error with a sigmoid output on `mnist5k`,
digits of 14 × 14 pixels where nothing else is said, {codes} codes of {dim} numbers, Adam with
learning rate 1e-3, batches of 32. How many runs are stuck after {steps} steps, and the median
squared error per pixel of test digits, of which the mean of the digits has {mean:.4f} (14 × 14).

Left: the biases of the decoder's last layer begin at zero. Right: at the logit of the mean of the
training data, as `Trainer.fit` begins by default.

| model | stuck, from zero | MSE | stuck, from the mean | MSE |
|---|---:|---:|---:|---:|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="of runs from the data's mean")
    parser.add_argument("--zero-seeds", type=int, default=10, help="of runs from biases of zero")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).with_name("VQ_INITIALISATION.md")
    )
    options = parser.parse_args()
    test = images(load_dataset("mnist5k").test, full=False)
    text = HEAD.format(steps=options.steps, codes=CODES, dim=DIM, mean=test.x.var(0).mean())
    print(text, end="")
    for name in [*KINDS, *(name + FULL for name in AT_FULL_SIZE)]:
        if options.only in name:
            text += (line := row(name, options.zero_seeds, options.seeds, options.steps)) + "\n"
            print(line, flush=True)
            options.out.write_text(text)


if __name__ == "__main__":
    main()
