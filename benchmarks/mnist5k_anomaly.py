"""Odd digits on 5,000 MNIST digits: one class is left out of training and looked for in the test.

    python benchmarks/mnist5k_anomaly.py [--steps 1500] [--seed 0]

Needs the extra `mnist5k`. For each digit a VAE (784-512-256-16 and back, Bernoulli) is trained on
the other nine, and the 1,000 test examples are scored as `workshop score` does. Prints the area
under the ROC curve with DeLong's standard error, for three scores: the negative ELBO, the
reconstruction loss, and the negative importance-weighted bound.
"""

import argparse

import numpy as np
from flax import nnx

from workshop.generative_models.core.configuration import DecoderConfig, EncoderConfig, VAEConfig
from workshop.generative_models.data import load_dataset
from workshop.generative_models.evaluation import bounds
from workshop.generative_models.evaluation.detection import detection
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.training import Trainer

LATENTS, SAMPLES, BOUND = 16, 16, 256


def scores_without(digit: int, steps: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Train without a digit; return the scores of the test examples, and which are odd."""
    data = load_dataset("mnist5k", seed=seed)
    shape, shared = data.shape, {"latent_dim": LATENTS}
    config = VAEConfig(
        encoder=EncoderConfig(hidden_dims=(512, 256), input_shape=shape, **shared),
        decoder=DecoderConfig(hidden_dims=(256, 512), output_shape=shape, **shared),
        likelihood="bce",
    )
    model = VAE(config, rngs=nnx.Rngs(seed))
    normal = data.train.take(data.train.y != digit)
    Trainer(model, seed=seed, progress=False).fit(normal, steps=steps)
    terms = bounds.elbo_terms(model, data.test, samples=SAMPLES, seed=seed)
    bound = bounds.importance_weighted_bound(model, data.test, samples=BOUND, seed=seed)
    found = {
        "-ELBO": terms["kl_loss"] + terms["reconstruction_loss"],
        "reconstruction loss": terms["reconstruction_loss"],
        f"-bound of {BOUND} z": -bound,
    }
    return found, data.test.y == digit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    every: list[list[float]] = []
    for digit in range(10):
        found, odd = scores_without(digit, options.steps, options.seed)
        if not every:
            print(f"{options.steps:,} steps, seed {options.seed}, 1,000 test examples:\n")
            print(f"| odd digit | {' | '.join(found)} | average precision of the first |")
            print(f"|---|{'---:|' * (len(found) + 1)}")
        figures = [detection(score[~odd], score[odd]) for score in found.values()]
        cells = [str(f["auroc"]) for f in figures] + [str(figures[0]["average_precision"])]
        print(f"| {digit} | {' | '.join(cells)} |", flush=True)
        every.append([f["auroc"].value for f in figures] + [figures[0]["average_precision"].value])
    means = np.mean(every, axis=0)
    print(f"| mean | {' | '.join(f'{m:.3f}' for m in means)} |")


if __name__ == "__main__":
    main()
