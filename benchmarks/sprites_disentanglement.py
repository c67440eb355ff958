"""Disentanglement of β-VAEs and of growing capacity on sprites, over seeds.

    python benchmarks/sprites_disentanglement.py [--steps 4000] [--seeds 3] [--out FOLDER]

By `workshop train` with fully connected networks and 10 latents it trains β-VAEs with β = 1 and 4
and BetaVAEWithCapacity, and prints what `workshop evaluate` says of each: means over the seeds with
their standard deviation. UDR compares the seeds of one model. Runs that lie in FOLDER already, of a
call that was stopped, are not trained again. The published protocol (Locatello et al. 2019) has
300,000 steps and 10,000 examples and points for the metrics; this one fits into an hour or two of
two cores, so that its scores are low, and only their order says something.
"""

import argparse
import contextlib
import io
import tempfile
from pathlib import Path

import numpy as np

import workshop
from workshop.cli import main as command
from workshop.generative_models.core.metrics import metric_of
from workshop.generative_models.data import load_dataset, sprites
from workshop.generative_models.evaluation import sections
from workshop.generative_models.evaluation.disentanglement import udr
from workshop.generative_models.evaluation.study import Settings, Study

MODELS = {
    "β-VAE, β = 1": ["beta-vae", "--beta-default", "1"],
    "β-VAE, β = 4": ["beta-vae", "--beta-default", "4"],
    "growing capacity": ["beta-vae-capacity"],
}


def train(options: list[str], seed: int, steps: int, folder: Path) -> None:
    """Train a run, unless it is there."""
    if (folder / "model.safetensors").exists():
        return
    with contextlib.redirect_stdout(io.StringIO()):
        command(["train", "--model", *options, "--data", "sprites", "--encoder-type", "dense",
                 "--latent-dim", "10", "--steps", str(steps), "--seed", str(seed),
                 "--evaluate-every", str(steps), "--out", str(folder)])  # fmt: skip


def measure(folder: Path, seed: int) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """Return a run's figures, and the means of its latents and their KL for UDR."""
    data = load_dataset("sprites", seed=seed)
    study = Study(workshop.load(folder), data.train, data.test, Settings(seed=seed), sprites)
    found = {
        **sections.likelihood_section(study, elbo_only=True).figures,
        **sections.latents_section(study).figures,
        **sections.disentanglement_section(study).figures,
    }
    # UDR wants the same examples of all models, whatever data their seeds were split to.
    shared = study.represent(sprites.render_batch(sprites.index_to_factors(EXAMPLES)))
    kl = np.asarray(sections.latents_section(study).series["kl_per_dimension"])
    return {name: figure.value for name, figure in found.items()}, shared, kl


EXAMPLES = np.random.default_rng(0).choice(sprites.NUM_IMAGES, 1000, replace=False)
SHOWN = (
    "elbo", "reconstruction_loss", "kl_loss", "active_units", "total_correlation", "beta_vae_score",
    "factor_vae_score", "mig", "sap", "dci_disentanglement", "dci_completeness",
    "dci_informativeness_test", "modularity", "explicitness", "irs",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a folder for the runs; none keeps none")
    options = parser.parse_args()
    rows: dict[str, list[str]] = {name: [] for name in (*SHOWN, "udr")}
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        for i, (name, way) in enumerate(MODELS.items()):
            found = []
            for seed in range(options.seeds):
                folder = out / f"{i}-{seed}"
                train(way, seed, options.steps, folder)
                found.append(measure(folder, seed))
                print(f"{name}, seed {seed}:", found[-1][0], flush=True)
            for figure in SHOWN:
                values = [figures[figure] for figures, _, _ in found]
                rows[figure].append(_shown(values))
            agreement = udr([codes for _, codes, _ in found], [kl for _, _, kl in found])
            rows["udr"].append(_shown(list(agreement["model_scores"])))
    print(f"\n{options.steps:,} steps, {options.seeds} seeds, mean ± standard deviation:\n")
    print(f"| figure | {' | '.join(MODELS)} |\n|---|{'---:|' * len(MODELS)}")
    for name, cells in rows.items():
        label = "UDR (lasso)" if name == "udr" else metric_of(name).label
        print(f"| {label} | {' | '.join(cells)} |")


def _shown(values: list[float]) -> str:
    digits = 1 if max(map(abs, values)) >= 10 else 3
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


if __name__ == "__main__":
    main()
