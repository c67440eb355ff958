"""The runs that docs/figures.py draws from: how each is trained, and where it lies."""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from matplotlib.figure import Figure

from workshop.cli import main as command
from workshop.cli.runs import open_run
from workshop.generative_models.data import Dataset
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.tracking.loggers import read_rows
from workshop.generative_models.visualization import report

BETAS = (0.25, 0.5, 1, 2, 4, 8)
FREE_BITS = 0.25
PLANES = (
    *("vae", "ae", "rae-l2", "wae-mmd", "adversarial-ae"),
    *("full-covariance-vae", "vae-lin-nf", "vae-iaf", "hvae"),
    *("mixture-vae", "vamp", "lars-vae", "poincare-vae"),
)
"""Models with two latents."""
BOUNDS = {"vae": [], "stl": [], "renyi-vae": [], "iwae": ["--objective.samples", "10"]}
"""Models of tighter bounds, with their options."""
FACTORS = {
    "vae": [],
    "beta-vae": ["--beta-default", "2"],
    "beta-tc-vae": [],
    "factor-vae": ["--objective.hidden-dims", "200", "200", "200"],
    "dip-vae-i": [],
    "dip-vae-ii": [],
    "info-vae-mmd": [],
}
"""Models that weigh the parts of the KL in different ways, with their options."""
IMAGES = ("vae", "ms-ssim-vae")
"""Models that compare images in different ways."""
COLLAPSES = {
    "vae": ["--model", "vae"],
    "free-bits": ["--free-bits", "0.5"],
    "control-vae": ["--model", "control-vae", "--objective.target", "4"],
    "mu-forcing-vae": ["--model", "mu-forcing-vae", "--objective.margin", "4"],
    "delta-vae": ["--model", "delta-vae", "--posterior.rate", "0.5"],
}
"""Methods against posterior collapse, with the same settings as benchmarks/collapse.py."""
_SMALL = ["--hidden-dims", "128", "128"]
_NOISY = [
    *("--likelihood", "gaussian", "--latent-dim", "8", "--hidden-dims", "64"),
    *("--learning-rate", "2e-3"),
]
RUNS = {
    "digits-vae": [],
    **{f"beta-{b}": ["--model", "beta-vae", "--beta-default", str(b)] for b in BETAS if b != 1},
    "free-bits": ["--model", "beta-vae", "--free-bits", str(FREE_BITS)],
    "warm-up": ["--model", "beta-vae", "--beta-warmup-steps", "1500"],
    "by-class-1500": ["--model", "conditional-vae", "--steps", "1500"],
    "mnist5k-vae": ["--data", "mnist5k"],
    "mnist5k-by-class": [
        *("--model", "conditional-vae", "--data", "mnist5k", "--steps", "1500"),
    ],
    "codes": ["--model", "vq-vae", "--data", "mnist5k"],
    "sprites": [
        *("--model", "beta-vae", "--data", "sprites", "--encoder-type", "dense"),
        *("--latent-dim", "10", "--steps", "4000", "--evaluate-every", "4000"),
    ],
    **{f"plane-{name}": ["--model", name, "--latent-dim", "2", *_SMALL] for name in PLANES},
    "sphere-svae": ["--model", "svae", "--latent-dim", "3", *_SMALL],
    **{f"bound-{name}": ["--model", name, *_SMALL, *more] for name, more in BOUNDS.items()},
    **{f"factors-{name}": ["--model", name, *_SMALL, *more] for name, more in FACTORS.items()},
    **{
        f"images-{name}": [
            *("--model", name, "--data", "mnist5k", "--encoder-type", "dense"),
            *("--steps", "2000"),
        ]
        for name in IMAGES
    },
    **{f"collapse-{name}": [*more, *_NOISY] for name, more in COLLAPSES.items()},
}
"""Options of `workshop train` by the name of a run; the first one is that of `make demo`."""


@dataclass(frozen=True)
class Workplace:
    """Where runs lie, and how they are made."""

    folder: Path
    fast: bool = False

    def run(self, name: str) -> Path:
        """Return a run's folder, trained now unless it is there; of `codes` with its prior."""
        folder = self.folder / name
        if not (folder / "model.safetensors").exists():
            short = ["--steps", "3", "--limit", "150"] if self.fast else []
            begun = (folder / "config.json").exists()
            new = [*RUNS[name], *short, "--out"]
            self.call("train", "--no-progress", *(["--resume"] if begun else new), folder=folder)
        if name == "codes" and not (folder / "prior.safetensors").exists():
            tiny = ["--steps", "2", "--layers", "1", "--width", "16", "--heads", "2"]
            begun = (folder / "prior").exists()
            new = tiny if self.fast else []
            self.call("prior", "--no-progress", *(["--resume"] if begun else new), folder=folder)
        return folder

    def open(self, name: str) -> tuple[VAE, Dataset]:
        """Return a run's model and data."""
        model, data, _ = open_run(self.run(name))
        return model, data

    def drawn(self, name: str, *figures: str) -> Iterator[tuple[str, Figure]]:
        """Yield some of the figures that `workshop train` leaves in a run, drawn anew."""
        model, data, options = open_run(self.run(name))
        rows = read_rows(self.run(name) / "metrics.jsonl")
        left = set(figures)
        drawn = report.run_figures(model, data.test, rows, data.class_names, options["seed"])
        while left:
            stem, figure = next(drawn)
            if stem in left:
                left.remove(stem)
                yield stem, figure

    def named(self, run: Path) -> str:
        """Return what a run is called from beside the folder of runs.

        Pages say it, and a path of this machine shall not stand there.
        """
        return str(run.relative_to(self.folder.parent))

    def call(self, *arguments: str, folder: Path) -> None:
        """Call `workshop` on a run, in this process; say what it is and how long it took."""
        sys.argv = ["workshop", *arguments, self.named(folder)]
        print(f"  {' '.join(sys.argv)}", flush=True)
        start = time.perf_counter()
        with contextlib.chdir(self.folder.parent), contextlib.redirect_stdout(StringIO()):
            command()
        print(f"  {time.perf_counter() - start:.0f} s", flush=True)
