"""Test ELBO of a plain VAE on 5,000 MNIST digits, here and in PyTorch written by hand.

The recipe: mnist5k made black and white (x > 0.5), split 4,000 / 1,000; a VAE of fully connected
layers, 784-500-20 and back, ReLU, Bernoulli likelihood; Adam with learning rate 1e-3, batches of
128. PyTorch runs twice: from initial weights drawn as Flax draws them, which is the same recipe,
and from its own, whose variance is a third of that. Both frameworks are given the same split, and
are measured on the same test examples with many samples of z for each.

    python benchmarks/mnist5k_elbo.py                        this package alone
    python benchmarks/mnist5k_elbo.py --torch PYTHON         and PyTorch, which PYTHON must have
    python benchmarks/mnist5k_elbo.py --curve --steps 4000   validation ELBO by step, 3,500 / 500

`--curve` is how the default number of steps was chosen, without a look at the test examples: it is
best at 1,500 steps of 3,500 examples, which is as many epochs as 1,700 steps of 4,000.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import optax
from flax import nnx

from workshop.generative_models.core.configuration import DecoderConfig, EncoderConfig, VAEConfig
from workshop.generative_models.data import load_dataset
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.training import Trainer

LATENTS, HIDDEN, BATCH, LEARNING_RATE = 20, 500, 128, 1e-3
TORCH_SCRIPT = Path(__file__).with_name("mnist5k_elbo_torch.py")


def build_trainer(seed: int, shape: tuple[int, ...], **options) -> Trainer:
    config = VAEConfig(
        encoder=EncoderConfig(hidden_dims=(HIDDEN,), latent_dim=LATENTS, input_shape=shape),
        decoder=DecoderConfig(hidden_dims=(HIDDEN,), latent_dim=LATENTS, output_shape=shape),
        likelihood="bce",
    )
    model = VAE(config, rngs=nnx.Rngs(seed))
    return Trainer(model, optax.adam(LEARNING_RATE), BATCH, seed=seed, progress=False, **options)


def measure(x_train: np.ndarray, x_test: np.ndarray, seed: int, args) -> dict[str, float]:
    """Train once and return the test ELBO and its parts, in nats per example."""
    trainer = build_trainer(seed, x_train.shape[1:])
    trainer.fit(x_train, steps=args.steps)
    metrics = trainer.evaluate(np.tile(x_test, (args.samples, 1, 1, 1)))
    return {key: metrics[key] for key in ("elbo", "reconstruction_loss", "kl_loss")}


def measure_torch(
    x_train: np.ndarray, x_test: np.ndarray, seeds: range, init: str, args
) -> list[dict[str, float]]:
    """Do the same in another interpreter, one that has PyTorch: it reads the split from a file."""
    with tempfile.TemporaryDirectory() as folder:
        split = Path(folder) / "split.npz"
        flat = {"train": x_train, "test": x_test}
        np.savez(split, **{key: (x > 127).reshape(len(x), -1) for key, x in flat.items()})
        command = [args.torch, TORCH_SCRIPT, split, "--steps", args.steps]
        command += ["--samples", args.samples, "--init", init, "--seeds", *seeds]
        done = subprocess.run(
            [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True
        )
    return json.loads(done.stdout)


def report(name: str, runs: list[dict[str, float]]) -> float:
    elbos = [run["elbo"] for run in runs]
    mean = statistics.mean(elbos)
    spread = f" ± {statistics.stdev(elbos):.2f}" if len(elbos) > 1 else ""
    parts = {key: statistics.mean(run[key] for run in runs) for key in runs[0]}
    print(
        f"{name}: test ELBO {mean:.2f}{spread} nats"
        f" (reconstruction {parts['reconstruction_loss']:.2f}, KL {parts['kl_loss']:.2f};"
        f" seeds: {', '.join(f'{elbo:.2f}' for elbo in elbos)})"
    )
    return mean


def show_curve(dataset, seeds: range, args) -> None:
    curves = []
    for seed in seeds:
        trainer = build_trainer(seed, dataset.shape, evaluate_every=args.steps // 16 or 1)
        rows = trainer.fit(dataset, steps=args.steps)
        curves.append({r["step"]: r["elbo"] for r in rows if r["split"] == "validation"})
    print(f"validation ELBO in nats, mean of {len(curves)} seeds")
    for step in curves[0]:
        print(f"{step:6,} {statistics.mean(curve[step] for curve in curves):9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1700)
    parser.add_argument("--seeds", type=int, default=3, help="how many runs")
    parser.add_argument("--samples", type=int, default=32, help="of z for each test example")
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has PyTorch")
    parser.add_argument("--curve", action="store_true", help="validation ELBO by step, no test")
    args = parser.parse_args()
    dataset, seeds = load_dataset("mnist5k", binarize=True), range(args.seeds)
    if args.curve:
        show_curve(dataset, seeds, args)
        return
    x_train = np.concatenate([dataset.train.x, dataset.validation.x])
    x_test = dataset.test.x
    print(
        f"{len(x_train):,} train, {len(x_test):,} test, {args.steps:,} steps, "
        f"{args.samples} samples of z an example"
    )
    ours = report("Workshop", [measure(x_train, x_test, seed, args) for seed in seeds])
    for init in ("flax", "torch") if args.torch else ():
        name = f"PyTorch, initial weights as {init} draws them"
        theirs = report(name, measure_torch(x_train, x_test, seeds, init, args))
        print(f"Workshop - PyTorch: {ours - theirs:+.2f} nats")


if __name__ == "__main__":
    main()
