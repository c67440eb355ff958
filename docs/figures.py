"""Draws every figure of the documentation, from nothing: `make figures`.

    .venv/bin/python docs/figures.py [--only NAME ...] [--runs FOLDER] [--out FOLDER] [--fast]

Models are trained by `workshop train` with the options in figures_runs.py; what pages quote of it
is printed. Runs that lie in the folder --runs are used as they are, those that were stopped go on,
and new ones are kept there. --fast takes a few steps only, to see that all parts work: its figures
are not for the documentation, so it wants an --out.

Screenshots need the extras `browser` and `explore`, and Chromium; they are left alone without.
"""

import argparse
import contextlib
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import figures_drawn
import figures_explorer
import figures_families
import figures_layers
import numpy as np
from figures_runs import BETAS, FREE_BITS, Workplace
from matplotlib.figure import Figure
from PIL import Image

from workshop.generative_models.data import Dataset
from workshop.generative_models.evaluation import latents, outputs
from workshop.generative_models.evaluation.bounds import elbo_terms
from workshop.generative_models.evaluation.estimates import Estimate, mean_of
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.tracking.loggers import read_rows
from workshop.generative_models.visualization import report, training_curves
from workshop.generative_models.visualization.files import png

DOCS = Path(__file__).parent
MOST_BYTES = 60_000
"""Every picture is smaller."""

Drawn = Iterator[tuple[str, Figure | Image.Image]]


def demo(at: Workplace) -> Drawn:
    """What `make demo` leaves, and the terms of its ELBO."""
    yield from at.drawn("digits-vae", "reconstructions", "samples", "traversals")
    rows = read_rows(at.run("digits-vae") / "metrics.jsonl")
    terms = ["elbo", "reconstruction_loss", "kl_loss"]
    yield "elbo", training_curves(rows, metrics=terms, title="The ELBO and its two terms")
    _say("digits-vae", *at.open("digits-vae"))


def diagram(at: Workplace) -> Drawn:
    """What a VAE is, on a digit of the demo."""
    model, data = at.open("digits-vae")
    x = data.test.x[:1]
    made = np.asarray(model.reconstruct(x, deterministic=True))
    yield "vae", figures_drawn.vae(np.asarray(x)[0, ..., 0], made[0, ..., 0])


def collapse(at: Workplace) -> Drawn:
    """The KL of each latent: of the demo, of a β that lets all idle, of that β with free bits."""
    panels = {}
    for name, title in (
        ("digits-vae", "β = 1"),
        ("beta-4", "β = 4"),
        ("free-bits", f"β = 4, free bits of {FREE_BITS}"),
    ):
        model, data = at.open(name)
        _say(name, model, data)
        posterior = outputs.posteriors(model, data.test)
        kl = sorted(latent.value for latent in latents.kl_per_dimension(**posterior))[::-1]
        print("  KL of the latents:", *(f"{value:.4f}" for value in kl))
        panels[title] = kl
    _say("warm-up", *at.open("warm-up"))
    model, data = at.open("beta-4")
    made = outputs.reconstructions(model, data.test)["x"]
    print(f"  β = 4: reconstructions differ by {np.ptp(made, axis=0).max():.4f} at most")
    yield "collapse", figures_drawn.kl_panels(panels)


def beta(at: Workplace) -> Drawn:
    """Rate and distortion against β."""
    measured = []
    for value in BETAS:
        name = "digits-vae" if value == 1 else f"beta-{value}"
        measured.append((value, _say(name, *at.open(name))))
    yield "beta", figures_drawn.rate_distortion(measured)


def sprites(at: Workplace) -> Drawn:
    """What latents of a β-VAE change on sprites."""
    model, data = at.open("sprites")
    yield "sprites_traversals", report.draw_traversals(model, data.test)


def codes(at: Workplace) -> Drawn:
    """Codes of a VQ-VAE: their use, maps of them, samples of a prior."""
    for _, figure in at.drawn("codes", "codebook_usage"):
        yield "codebook", figure
    model, data = at.open("codes")
    some = data.test.take(slice(2))
    indices = outputs.code_indices(model, some)
    made = outputs.reconstructions(model, some)["x"]
    yield "code_map", figures_drawn.code_map(outputs.scaled(some.x), indices, made)
    yield "prior_samples", report.draw_samples(model, 100, class_names=data.class_names)[0]


def swapped(at: Workplace) -> Drawn:
    """Test digits as each class, by a model of classes."""
    model, data = at.open("by-class-1500")
    some = data.test.take(np.array([np.flatnonzero(data.test.y == c)[0] for c in (0, 3, 4, 6, 7)]))
    z = outputs.posteriors(model, some)["mean"]
    made = [np.asarray(model.decode(z, label)) for label in range(10)]
    yield "swapped_classes", figures_drawn.swapped(np.stack([np.asarray(some.x), *made], 1))


def layers(at: Workplace) -> Drawn:  # noqa: ARG001
    """The layers of the package."""
    yield "layers", figures_layers.draw()


QUICK = ["--samples", "2", "--examples", "2", "--generated", "50"]


def page(at: Workplace) -> Drawn:
    """The top of the demo's report."""
    run = at.run("digits-vae")
    at.call("evaluate", *(QUICK if at.fast else []), folder=run)
    with open_page(run / "report.html") as tab:
        table = tab.locator("table").first.bounding_box()
        yield "report", screenshot(tab, 20, table["y"] + table["height"])


def copies(at: Workplace) -> Drawn:
    """The part about copies of the report of a `vae` of `mnist5k`."""
    run = at.run("mnist5k-vae")
    # The part has nothing of the bound, which takes minutes.
    at.call("evaluate", *(QUICK if at.fast else QUICK[:4]), folder=run)
    with open_page(run / "report.html") as tab:
        heading = tab.get_by_role("heading", name="Copies of training examples").bounding_box()
        figure = tab.get_by_alt_text("Samples above their nearest").bounding_box()
        yield "report_copies", screenshot(tab, heading["y"] - 8, figure["y"] + figure["height"])


@contextlib.contextmanager
def open_page(path: Path) -> Iterator[Any]:
    """Open a page in Chromium, which closes at the end."""
    with figures_explorer.browse() as browser:
        tab = browser.new_page(viewport={"width": 850, "height": 900})
        tab.goto(path.resolve().as_uri())
        yield tab


def screenshot(tab: Any, top: float, bottom: float) -> Image.Image:
    """Return what a page shows from one height to another."""
    clip = {"x": 10, "y": top, "width": 830, "height": bottom - top}
    return Image.open(BytesIO(tab.screenshot(full_page=True, clip=clip)))


def explorer(at: Workplace) -> Drawn:
    """The explorer, of three kinds of models."""
    runs = [at.run(name) for name in ("digits-vae", "mnist5k-by-class", "codes")]
    yield from figures_explorer.pictures(runs)


FIGURES: dict[Callable[[Workplace], Drawn], tuple[str, ...]] = {
    diagram: ("vae",),
    demo: ("reconstructions", "samples", "traversals", "elbo"),
    collapse: ("collapse",),
    beta: ("beta",),
    swapped: ("swapped_classes",),
    layers: ("layers",),
    sprites: ("sprites_traversals",),
    codes: ("codebook", "code_map", "prior_samples"),
    **figures_families.FAMILIES,
    page: ("report",),
    copies: ("report_copies",),
    explorer: ("explorer", "explorer_walk", "explorer_codes"),
}
"""What draws which figures."""


def main() -> None:
    """Draw."""
    names = [name for group in FIGURES.values() for name in group]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME",
                        help="some of " + ", ".join(names))  # fmt: skip
    parser.add_argument("--runs", type=Path, help="a folder of runs to use and to keep")
    parser.add_argument("--out", type=Path, help="default: docs/figures")
    parser.add_argument("--fast", action="store_true", help="a few steps each, to try it out")
    options = parser.parse_args()
    if options.fast and options.out is None:
        parser.error("--fast wants --out: its figures are not for the documentation")
    out = options.out or DOCS / "figures"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        at = Workplace((options.runs or Path(temporary) / "runs").resolve(), options.fast)
        at.folder.mkdir(parents=True, exist_ok=True)
        for i, (draw, made) in enumerate(FIGURES.items(), 1):
            wanted = set(made) & set(options.only)
            if not wanted:
                continue
            print(f"[{i}/{len(FIGURES)}] {', '.join(made)}", flush=True)
            if missing := _missing(draw):
                print(f"  left as they are: {missing}")
                continue
            for name, picture in draw(at):
                if name in wanted:
                    content = shrink(picture, MOST_BYTES * (10 if options.fast else 1))
                    (out / f"{name}.png").write_bytes(content)
                    print(f"  {name}.png: {len(content):,} bytes", flush=True)


def shrink(picture: Figure | Image.Image, most: int = MOST_BYTES) -> bytes:
    """Return a PNG of fewer than `most` bytes, with as many colours as go into them.

    Raises:
        ValueError: if eight colours are still too many.
    """
    if isinstance(picture, Figure):
        picture = Image.open(BytesIO(png(picture)))
    image = picture if picture.mode == "P" else picture.convert("RGB")
    for colours in (None, 256, 128, 64, 32, 16, 8):
        fewer = image
        if colours is not None:
            fewer = image.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
        content = BytesIO()
        fewer.save(content, format="png", optimize=True)
        if content.tell() < most:
            return content.getvalue()
    raise ValueError(f"a picture of {image.width} × {image.height} has more than {most:,} bytes")


def _missing(draw: Callable[[Workplace], Drawn]) -> str | None:
    """Say what screenshots lack here."""
    browser = {"playwright": "browser"}
    needs = {page: browser, copies: browser, explorer: browser | {"nicegui": "explore"}}
    for package, extra in needs.get(draw, {}).items():
        if importlib.util.find_spec(package) is None:
            return f"no {package}: pip install -e '.[{extra}]'"
    return (
        "no Chromium on the path" if draw in needs and figures_explorer.chromium() is None else None
    )


def _say(name: str, model: VAE, data: Dataset) -> dict[str, Estimate]:
    """Print and return what the pages quote of a run on test examples."""
    terms = elbo_terms(model, data.test, samples=10)
    units = latents.active_units(outputs.posteriors(model, data.test)["mean"])
    found = {
        "elbo": mean_of(-terms["kl_loss"] - terms["reconstruction_loss"], "test", "nats"),
        "reconstruction_loss": mean_of(terms["reconstruction_loss"], "test", "nats"),
        "kl_loss": mean_of(terms["kl_loss"], "test", "nats"),
    }
    print(f"  {name}:", *(f"{key} {figure}," for key, figure in found.items()),
          f"{int(units.active.sum())} of {len(units.active)} latents active")  # fmt: skip
    return found


if __name__ == "__main__":
    main()
