"""What keeps latents in use where the best ELBO is that of a model that ignores them.

    python benchmarks/collapse.py [--seeds 3] [--steps 3000]

The bundled digits in [0, 1] under a Gaussian likelihood of scale 1: along no direction does the
data vary as much as the likelihood's noise, so that a VAE with a linear decoder has its best ELBO
with q(z|x) = p(z) (Lucas et al., Don't Blame the ELBO, NeurIPS 2019). A scale that is learned is
the better way out of this case; it stands here for any in which the KL costs more than
reconstructions gain. The table is printed row by row and written to COLLAPSE.md.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import optax
from flax import nnx
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from workshop.generative_models.core.configuration import (
    ControlVAEConfig,
    DecoderConfig,
    DeltaConfig,
    ELBOConfig,
    EncoderConfig,
    MuForcingConfig,
    VAEConfig,
)
from workshop.generative_models.data import Dataset, load_dataset
from workshop.generative_models.evaluation.latents.decomposition import mutual_information
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.training import Trainer

LATENTS = 8
METHODS: dict[str, dict[str, Any]] = {
    "ELBO": {},
    "cyclical schedule over two thirds of the steps": {"objective": "cyclical"},
    "free bits, 0.5 nats a latent": {"objective": ELBOConfig(free_bits=0.5)},
    "ControlVAE, target 4 nats": {"objective": ControlVAEConfig(target=4.0)},
    "μ-forcing, margin 4 nats": {"objective": MuForcingConfig(margin=4.0)},
    "δ-VAE, 0.5 nats a latent": {"posterior": DeltaConfig(rate=0.5)},
}


def flat(images: Any) -> np.ndarray:
    x = np.asarray(images)
    scale = 255.0 if x.dtype == np.uint8 else 1.0
    return x.reshape(len(x), -1).astype(np.float32) / scale


def measured(dataset: Dataset, seed: int, steps: int, **components: Any) -> list[float]:
    """Return KL, information, explained variance and accuracy of a trained model."""
    if components.get("objective") == "cyclical":
        rising = {"schedule": "cyclical", "schedule_steps": 2 * steps // 3}
        components = {"objective": ELBOConfig(**rising)}
    x, test = flat(dataset.train.x), flat(dataset.test.x)
    sizes = {"hidden_dims": [64], "latent_dim": LATENTS}
    config = VAEConfig(
        encoder=EncoderConfig(input_shape=[x.shape[1]], **sizes),
        decoder=DecoderConfig(output_shape=[x.shape[1]], **sizes),
        likelihood="gaussian",
        **components,
    )
    model = VAE(config, rngs=nnx.Rngs(seed))
    Trainer(model, optax.adam(2e-3), batch_size=128, seed=seed, progress=False).fit(x, steps=steps)
    model.eval()
    found = model.loss_fn(batch=test, rng=nnx.Rngs(seed)(), num_examples=len(x))
    mean, log_var = (np.asarray(a) for a in model.encode(test))
    errors = np.square(test - np.asarray(model.reconstruct(test)))
    # Of samples: the means of a posterior that is all noise may still differ by a hair.
    codes, other = (np.asarray(model.q_z(part).sample(nnx.Rngs(seed)())) for part in (x, test))
    scaler = StandardScaler().fit(codes)
    probe = LogisticRegression(max_iter=1000).fit(scaler.transform(codes), dataset.train.y)
    return [
        float(found["kl_loss"]),
        mutual_information(mean, log_var).value,
        float(1 - errors.mean() / test.var(0).mean()),
        float(probe.score(scaler.transform(other), dataset.test.y)),
    ]


HEAD = """# Posterior collapse

A run of `python benchmarks/collapse.py`: the bundled digits in [0, 1], a Gaussian likelihood of
scale 1, whose noise is larger than any principal component of the data, {latents} latents, one
hidden layer of 64, Adam with learning rate 2e-3, {steps:,} steps of 128 examples. Medians of
{seeds} seeds, on test data: the KL, the mutual information of x and z (nats, at most log 360 =
5.9), the share of the variance that reconstructions explain, and the accuracy of a linear
classifier of the digit from one sample of z (chance is 0.10).

A schedule ends at the ELBO, whose optimum this is: it does not help here. All others hold the KL
near what they were asked for, and codes carry information.

| method | KL | I(x; z) | explained | accuracy |
|---|---:|---:|---:|---:|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("COLLAPSE.md"))
    options = parser.parse_args()
    dataset = load_dataset("digits")
    text = HEAD.format(latents=LATENTS, steps=options.steps, seeds=options.seeds)
    print(text, end="")
    for name, components in METHODS.items():
        runs = [
            measured(dataset, seed, options.steps, **components) for seed in range(options.seeds)
        ]
        cells = " | ".join(f"{statistics.median(each):.2f}" for each in zip(*runs, strict=True))
        line = f"| {name} | {cells} |"
        text += line + "\n"
        print(line, flush=True)
        options.out.write_text(text)


if __name__ == "__main__":
    main()
