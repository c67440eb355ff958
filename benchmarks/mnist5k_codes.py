"""Discrete latents on 5,000 MNIST digits: codebooks with and without care, FSQ, and a prior.

    python benchmarks/mnist5k_codes.py [--steps 3000] [--prior-steps 3000] [--out FOLDER]

Needs the extra `mnist5k`. By `workshop train --model vq-vae --data mnist5k`, with its defaults and
otherwise, it trains spatial VQ-VAEs of 7 x 7 codes of 512, and prints what they reach on the 1,000
test examples. For the first one `workshop prior` fits a prior. Its samples are judged by a
classifier (scikit-learn's support vectors, on pixels) that is trained on the real training digits.
"""

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from flax import nnx
from sklearn.svm import SVC

import workshop
from workshop.cli import main as command
from workshop.generative_models.data import load_dataset
from workshop.generative_models.evaluation.outputs import code_indices
from workshop.generative_models.evaluation.quantized import codebook_healths
from workshop.generative_models.training import Trainer

WAYS = {
    "averages, k-means, revival (the defaults)": [],
    "averages alone": ["--quantizer.no-kmeans", "--quantizer.revive-below", "0"],
    "by the loss alone": ["--quantizer.learning", "loss", "--quantizer.no-kmeans",
                          "--quantizer.revive-below", "0"],
    "FSQ, levels 8 × 8 × 8": ["--quantizer.kind", "fsq"],
}  # fmt: skip
SURE = 0.8


def run(*arguments: str) -> None:
    """Run a command of workshop's without its tables."""
    with contextlib.redirect_stdout(io.StringIO()):
        command(list(arguments))


def seconds_a_step(folders: list[Path], steps: int = 60, rounds: int = 3) -> list[float]:
    """Return the time of a training step of each run, which take turns."""
    data = load_dataset("mnist5k").train
    trainers = [Trainer(workshop.load(folder), progress=False) for folder in folders]
    times: list[list[float]] = [[] for _ in trainers]
    for turn in range(rounds + 1):
        for trainer, measured in zip(trainers, times, strict=True):
            started = time.perf_counter()
            trainer.fit(data, steps=steps)
            if turn:  # the first one compiles
                measured.append((time.perf_counter() - started) / steps)
    return [statistics.median(measured) for measured in times]


def codes(steps: int, out: Path) -> list[str]:
    """Train every way; return a Markdown table."""
    test = load_dataset("mnist5k").test
    rows, folders = [], [out / str(i) for i in range(len(WAYS))]
    for folder, (name, options) in zip(folders, WAYS.items(), strict=True):
        run("train", "--model", "vq-vae", "--data", "mnist5k", "--steps", str(steps),
            "--out", str(folder), *options)  # fmt: skip
        model = workshop.load(folder)
        health = codebook_healths(model.quantizer, code_indices(model, test))["codebook"]
        loss = Trainer(model).evaluate(test)["reconstruction_loss"]
        used = f"{health.used} of {len(health.counts)} ({health.share:.0%})"
        rows.append(
            f"| {name} | {used} | {health.perplexity:.0f} | {health.bits:.2f} | {loss:.2f} |"
        )
        print(rows[-1], flush=True)
    head = ["quantizer", "codes used", "perplexity", "bits per code", "-log p(x\\|z), nats"]
    lines = [f"| {' | '.join([*head, 'ms a step'])} |", "|---|" + "---:|" * len(head)]
    taken = seconds_a_step(folders)
    return lines + [f"{row} {1000 * t:.0f} |" for row, t in zip(rows, taken, strict=True)]


def prior(steps: int, folder: Path) -> list[str]:
    """Fit a prior to the first run; return what a classifier says of its samples."""
    run("prior", str(folder), "--steps", str(steps))
    data = load_dataset("mnist5k")

    def flat(x: object) -> np.ndarray:
        return np.asarray(x, np.float32).reshape(len(x), -1)

    judge = SVC(C=5, gamma=0.02, probability=True, random_state=0)
    judge.fit(flat(data.train.x) / 255, data.train.y)
    accuracy = judge.score(flat(data.test.x) / 255, data.test.y)
    model = workshop.load(folder)
    free = judge.predict_proba(flat(model.sample(1000, rngs=nnx.Rngs(0)))).max(1)
    asked = np.arange(1000) % 10
    made = judge.predict_proba(flat(model.sample(1000, y=asked, rngs=nnx.Rngs(1))))
    metrics = [json.loads(line) for line in (folder / "prior" / "metrics.jsonl").open()]
    best = min((r for r in metrics if r["split"] == "validation"), key=lambda r: r["loss"])
    real = judge.predict_proba(flat(data.test.x) / 255).max(1)
    return [
        f"- The classifier is right for {accuracy:.1%} of the real test digits, and over "
        f"{SURE:.0%} sure of {(real > SURE).mean():.1%} of them.",
        f"- The prior's best validation: {best['bits_per_code']:.3f} bits per code.",
        f"- Of 1,000 samples without a class it is over {SURE:.0%} sure of "
        f"{(free > SURE).mean():.1%}.",
        f"- Of 1,000 samples with a class {(made.argmax(1) == asked).mean():.1%} are classified as "
        f"asked, {(made.max(1) > SURE).mean():.1%} with over {SURE:.0%}.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--prior-steps", type=int, default=3000)
    parser.add_argument("--out", type=Path, help="a new folder for the runs; none keeps none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        table = codes(options.steps, out)
        said = prior(options.prior_steps, out / "0")
    print("\n".join(["", f"{options.steps:,} steps, prior {options.prior_steps:,}:", "", *table]))
    print("\n".join(["", *said]))


if __name__ == "__main__":
    main()
