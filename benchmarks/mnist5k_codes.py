"""Discrete latents on 5,000 MNIST digits: codebooks with and without care, FSQ, and a prior.

    python benchmarks/mnist5k_codes.py [--steps 3000] [--prior-steps 3000] [--out FOLDER]
    python benchmarks/mnist5k_codes.py --judge RUN

Needs the extra `mnist5k`. By `workshop train --model vq-vae --data mnist5k`, with its defaults and
otherwise, it trains spatial VQ-VAEs of 7 x 7 codes of 512, and prints what they reach on the 1,000
test examples. For the first one `workshop prior` fits a prior. Its samples are judged by a
classifier (scikit-learn's support vectors, on pixels) that is trained on the real training digits,
and by their precision and recall on the test digits, over the principal components of the training
digits. `--judge` does only this, to a run that has a prior.
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
from workshop.generative_models.evaluation.latents import codebook_healths
from workshop.generative_models.evaluation.outputs import code_indices
from workshop.generative_models.evaluation.samples import pca_features, sample_quality
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


def judged(folder: Path) -> list[str]:
    """Return what a classifier, and precision and recall, say of the samples of a run's prior."""
    data = load_dataset("mnist5k")

    def flat(x: object) -> np.ndarray:
        return np.asarray(x, np.float32).reshape(len(x), -1)

    judge = SVC(C=5, gamma=0.02, probability=True, random_state=0)
    judge.fit(flat(data.train.x) / 255, data.train.y)
    features = pca_features(flat(data.train.x) / 255)
    test = flat(data.test.x) / 255
    model, asked = workshop.load(folder), np.arange(1000) % 10
    metrics = [json.loads(line) for line in (folder / "prior" / "metrics.jsonl").open()]
    best = min((r for r in metrics if r["split"] == "validation"), key=lambda r: r["loss"])
    made = {"real test digits": (test, data.test.y)}
    rebuilt = model.reconstruct(data.test.x, deterministic=True)
    made["their reconstructions"] = (flat(rebuilt), data.test.y)
    made["samples without a class"] = (flat(model.sample(1000, rngs=nnx.Rngs(0))), None)
    for guidance in (1.0, 1.5, 2.0, 3.0):
        samples = model.sample(1000, y=asked, guidance=guidance, rngs=nnx.Rngs(1))
        made[f"samples of a class, guidance {guidance:g}"] = (flat(samples), asked)
    lines = [
        f"The prior's best validation: {best['bits_per_code']:.3f} bits per code.",
        "",
        f"| 1,000 | classified as asked | over {SURE:.0%} sure | precision | recall |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, (images, labels) in made.items():
        sure = judge.predict_proba(images)
        right = "-" if labels is None else f"{(sure.argmax(1) == labels).mean():.1%}"
        near = sample_quality(test, images, features)
        quality = (
            "- | -"
            if images is test
            else " | ".join(f"{near[key].value:.3f}" for key in ("precision", "recall"))
        )
        lines.append(f"| {name} | {right} | {(sure.max(1) > SURE).mean():.1%} | {quality} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--prior-steps", type=int, default=3000)
    parser.add_argument("--out", type=Path, help="a new folder for the runs; none keeps none")
    parser.add_argument("--judge", type=Path, help="only judge the prior of this run")
    options = parser.parse_args()
    if options.judge:
        print("\n".join(judged(options.judge)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        table = codes(options.steps, out)
        run("prior", str(out / "0"), "--steps", str(options.prior_steps))
        said = judged(out / "0")
    print("\n".join(["", f"{options.steps:,} steps, prior {options.prior_steps:,}:", "", *table]))
    print("\n".join(["", *said]))


if __name__ == "__main__":
    main()
