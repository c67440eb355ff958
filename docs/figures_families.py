"""Figures of docs/choosing.md: one for each family of models, with what the page quotes of it."""

from collections.abc import Iterator
from typing import Any

import figures_planes
import jax
import jax.numpy as jnp
import numpy as np
from figures_drawn import kl_panels
from figures_planes import Panel
from figures_runs import BOUNDS, COLLAPSES, FACTORS, IMAGES, Workplace
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.special import logsumexp

from workshop.generative_models.data import Dataset
from workshop.generative_models.evaluation import latents, outputs
from workshop.generative_models.evaluation.bounds import elbo, elbo_terms, importance_weighted_bound
from workshop.generative_models.evaluation.estimates import Estimate, mean_of
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.models.vae.objectives.ms_ssim import ms_ssim

Drawn = Iterator[tuple[str, Figure]]
WAYS = ("vae", "ae", "rae-l2", "wae-mmd", "adversarial-ae")
"""Autoencoders beside the VAE."""
POSTERIORS = ("vae", "full-covariance-vae", "vae-lin-nf", "vae-iaf", "hvae")
PRIORS = ("vae", "mixture-vae", "vamp", "lars-vae")
EDGE = np.linspace(-5.0, 5.0, 251)
"""Grid along each axis for numerical integration over two latents."""


def autoencoders(at: Workplace) -> Drawn:
    """Draw the latents of autoencoders without a density, compared with N(0, I)."""
    panels = []
    for name in WAYS:
        model, data = at.open(f"plane-{name}")
        panel = _means_panel(name, model, data)
        panels.append(panel._replace(outlines=[radius * _circle() for radius in (1.0, 2.0)]))
        found = outputs.reconstructions(model, data.test)
        spread = ", ".join(f"{value:.2f}" for value in panel.points.std(0))
        loss = mean_of(found["loss"], "test", "nats")
        print(f"  {name}: deviations of the means {spread}, reconstruction of the means {loss}")
    yield "autoencoders", figures_planes.planes(
        panels, "Latents of autoencoders beside the prior N(0, I)",
        ["Means of q(z|x) of test digits. Circles: one and two standard deviations of the prior."],
    )  # fmt: skip


def factors(at: Workplace) -> Drawn:
    """Draw the decomposed KL of models trained with disentanglement objectives."""
    rows = {}
    for name in FACTORS:
        model, data = at.open(f"factors-{name}")
        parts = latents.kl_decomposition(**outputs.posteriors(model, data.train), seed=0)
        loss = mean_of(outputs.reconstructions(model, data.train)["loss"], "training", "nats")
        title = "beta-vae, β = 2" if name == "beta-vae" else name
        rows[title] = {key: parts[key].value for key in figures_planes.PARTS}
        print(f"  {title}:", *(f"{key} {figure}," for key, figure in parts.items()),
              f"reconstruction of the means {loss}, ELBO {_elbo(model, data)}")  # fmt: skip
    model, data = at.open("factors-info-vae-mmd")
    terms = elbo_terms(model, data.test, samples=20)
    found = {key: mean_of(value, "test", "nats") for key, value in terms.items()}
    print("  info-vae-mmd:", *(f"{key} {figure}," for key, figure in found.items()))
    yield "disentanglement", figures_planes.kl_parts(rows)


def bounds(at: Workplace) -> Drawn:
    """Draw the ELBO and the importance-weighted bound of models trained on tighter bounds."""
    rows: dict[str, tuple[Estimate, Estimate]] = {}
    first: dict[str, Any] = {}
    for name in BOUNDS:
        model, data = at.open(f"bound-{name}")
        lower = elbo(model, data.test, samples=100)
        upper = importance_weighted_bound(model, data.test, samples=500 if at.fast else 5000)
        first = first or {"ELBO": lower, "bound": upper}
        rows[name] = mean_of(lower, "test", "nats"), mean_of(upper, "test", "nats")
        print(f"  {name}: ELBO {rows[name][0]}, bound of 5,000 samples {rows[name][1]};",
              f"beside vae {mean_of(lower - first['ELBO'], 'test', 'nats')},",
              f"{mean_of(upper - first['bound'], 'test', 'nats')}")  # fmt: skip
    yield "bounds", figures_planes.bounds(rows)


def posteriors(at: Workplace) -> Drawn:
    """Draw samples of q(z|x) over the true posterior, computed on a grid of two latents."""
    panels = []
    for name in POSTERIORS:
        model, data = at.open(f"plane-{name}")
        x = outputs.scaled(data.test.x)
        evidence = _evidence(model, x)
        gaps = evidence - elbo(model, data.test, samples=100)
        chosen = int(np.argsort(gaps)[int(0.9 * len(gaps))])
        q = model.q_z(x[chosen : chosen + 1])
        samples = np.asarray(q.sample(jax.random.key(0), (300,)))[:, 0]
        panels.append(_posterior_panel(name, model, x[chosen], samples))
        print(f"  {name}: log p(x) {mean_of(evidence, 'test', 'nats')},",
              f"gap of the ELBO {mean_of(gaps, 'test', 'nats')};",
              f"the digit shown: a {data.test.y[chosen]}, gap {gaps[chosen]:.2f}")  # fmt: skip
    yield "posteriors", figures_planes.planes(
        panels, "Samples of q(z|x), orange, on the true posterior p(z|x), blue",
        ["Two latents; of each model the test digit whose gap between log p(x) and the ELBO is at "
         "the 90th percentile."],
    )  # fmt: skip


def spaces(at: Workplace) -> Drawn:
    """Draw latents in the plane, on the sphere and in the Poincaré disk."""
    panels = []
    for name, title in (
        ("plane-vae", "vae: the plane"),
        ("sphere-svae", "svae: the sphere"),
        ("plane-poincare-vae", "poincare-vae: the Poincaré disk"),
    ):
        model, data = at.open(name)
        panel = _means_panel(title, model, data)
        codes, test = (outputs.representations(model, part) for part in (data.train, data.test))
        if name == "sphere-svae":
            panel = panel._replace(points=_hammer(test), outlines=[_hammer(_edge_of_map())])
        elif name == "plane-poincare-vae":
            panel = panel._replace(points=test, outlines=[_circle()])
        panels.append(panel)
        accuracy = latents.knn_accuracy(codes, data.train.y, test, data.test.y)
        print(f"  {name}: ELBO {_elbo(model, data)}, class by 5 neighbours {accuracy}")
    yield "spaces", figures_planes.planes(
        panels, "Latents in three spaces with two degrees of freedom",
        ["Means of q(z|x) of test digits. The sphere is drawn as a map of equal areas; the edge of "
         "the Poincaré disk is at infinite distance."],
    )  # fmt: skip


def priors(at: Workplace) -> Drawn:
    """Draw the densities of priors over two latents, with the means of q(z|x)."""
    panels = []
    for name in PRIORS:
        model, data = at.open(f"plane-{name}")
        panel = _means_panel(name, model, data)
        low, high = figures_planes.square(panel.points)
        density = np.exp(_on_grid(low, high, 160, model.p_z().log_prob))
        extent = (low[0], high[0], low[1], high[1])
        panels.append(panel._replace(density=np.sqrt(density), extent=extent))
        tight = importance_weighted_bound(model, data.test, samples=500)
        print(f"  {name}: ELBO {_elbo(model, data)},",
              f"bound of 500 samples {mean_of(tight, 'test', 'nats')}")  # fmt: skip
    yield "priors", figures_planes.planes(
        panels, "Means of q(z|x) on the density of the prior, blue",
        ["Test digits, two latents. Darker is denser; the shade is the square root of the density "
         "within its panel."],
    )  # fmt: skip


def distances(at: Workplace) -> Drawn:
    """Draw reconstructions of models trained with a likelihood and with MS-SSIM."""
    rows = {}
    for name in IMAGES:
        model, data = at.open(f"images-{name}")
        x = outputs.scaled(np.asarray(data.test.x))
        made = outputs.reconstructions(model, data.test)["x"]
        some = [int(np.flatnonzero(data.test.y == c)[0]) for c in range(10)]
        rows = rows or {"test digits": x[some]}
        rows[name] = made[some]
        error = mean_of(np.square(made - x).mean((1, 2, 3)), "test")
        likeness = mean_of(np.asarray(ms_ssim(jnp.asarray(x), jnp.asarray(made))), "test")
        print(f"  {name}: squared error a pixel {error}, MS-SSIM {likeness},",
              f"ELBO {_elbo(model, data)}")  # fmt: skip
    yield "distances", figures_planes.rows_of_images(rows, "Reconstructions of test digits")


def collapses(at: Workplace) -> Drawn:
    """Draw the KL of each latent for methods against posterior collapse."""
    panels = {}
    for name in COLLAPSES:
        model, data = at.open(f"collapse-{name}")
        kl, _ = outputs.activity(model, data.test)
        panels[name] = sorted(map(float, kl), reverse=True)
        parts = latents.kl_decomposition(**_parameters(model, data), seed=0)
        print(f"  {name}: KL {sum(panels[name]):.2f},",
              f"information {parts['mutual_information']}, ELBO {_elbo(model, data)}")  # fmt: skip
    yield "against_collapse", kl_panels(panels)


def _parameters(model: VAE, data: Dataset) -> dict[str, np.ndarray]:
    """Return the means and log-variances of q(z|x) of test examples."""
    q = model.q_z(data.test.x)
    return {"mean": np.asarray(q.mean), "log_var": np.asarray(q.log_var)}


def _elbo(model: VAE, data: Dataset) -> Estimate:
    return mean_of(elbo(model, data.test, samples=20), "test", "nats")


def _means_panel(title: str, model: VAE, data: Dataset) -> Panel:
    """Return a panel with the means of q(z|x) of test examples, coloured by class."""
    means = outputs.posteriors(model, data.test)["mean"]
    return Panel(title, means, np.asarray(data.test.y))


def _log_likelihood(model: VAE, x: np.ndarray, z: Any) -> Float[np.ndarray, "points n"]:
    """Return the Bernoulli log p(x|z) of each example at each z, decoding each z once."""
    made = np.clip(np.asarray(model.decode(z), np.float64), 1e-7, 1 - 1e-7)
    made, flat = made.reshape(len(made), -1), np.asarray(x, np.float64).reshape(len(x), -1)
    return np.log(made) @ flat.T + np.log1p(-made) @ (1 - flat).T


def _grid(low: np.ndarray, high: np.ndarray, size: int) -> Float[np.ndarray, "points 2"]:
    first, second = (np.linspace(a, b, size) for a, b in zip(low, high, strict=True))
    return np.stack(np.meshgrid(first, second), -1).reshape(-1, 2).astype(np.float32)


def _on_grid(low: np.ndarray, high: np.ndarray, size: int, function: Any) -> np.ndarray:
    """Evaluate a function of z on a square grid, (size, size); rows follow the second latent."""
    return np.asarray(function(_grid(low, high, size))).reshape(size, size)


def _evidence(model: VAE, x: np.ndarray) -> Float[np.ndarray, " n"]:
    """Return log p(x) of each example, by numerical integration over both latents."""
    grid = _grid(EDGE[[0, 0]], EDGE[[-1, -1]], len(EDGE))
    log_prior = np.asarray(model.p_z().log_prob(grid), np.float64)[:, None]
    area = 2 * np.log(EDGE[1] - EDGE[0])
    parts = np.array_split(x, max(1, len(x) // 40))
    return np.concatenate(
        [logsumexp(log_prior + _log_likelihood(model, part, grid), axis=0) + area for part in parts]
    )


def _posterior_panel(name: str, model: VAE, x: np.ndarray, samples: np.ndarray) -> Panel:
    """Return a panel with samples of q(z|x) over p(z|x), up to a constant, on a grid."""

    def log_joint(z: np.ndarray) -> np.ndarray:
        log_prior = np.asarray(model.p_z().log_prob(z), np.float64)
        return log_prior + _log_likelihood(model, x[None], z)[:, 0]

    grid = _grid(EDGE[[0, 0]], EDGE[[-1, -1]], len(EDGE))
    coarse = log_joint(grid)
    low, high = figures_planes.square(np.concatenate([grid[coarse > coarse.max() - 5], samples]))
    fine = _on_grid(low, high, 160, log_joint)
    extent = (low[0], high[0], low[1], high[1])
    return Panel(name, samples, None, density=np.exp(fine - fine.max()), extent=extent)


def _circle(turns: int = 181) -> Float[np.ndarray, "points 2"]:
    angle = np.linspace(0, 2 * np.pi, turns)
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def _hammer(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """Return the Hammer projection of points on the sphere, which preserves areas."""
    x, y, z = points.T
    longitude, latitude = np.arctan2(y, x), np.arcsin(np.clip(z, -1, 1))
    root = np.sqrt(1 + np.cos(latitude) * np.cos(longitude / 2))
    east = 2 * np.sqrt(2) * np.cos(latitude) * np.sin(longitude / 2) / root
    return np.stack([east, np.sqrt(2) * np.sin(latitude) / root], -1)


def _edge_of_map() -> Float[np.ndarray, "n 3"]:
    """Return the outline of the map: the 180° meridian, from the east and from the west."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 91)
    sides = [(latitude, np.pi - 1e-6), (latitude[::-1], 1e-6 - np.pi)]
    around = [
        np.stack([np.cos(t) * np.cos(a), np.cos(t) * np.sin(a), np.sin(t)], -1) for t, a in sides
    ]
    return np.concatenate([*around, around[0][:1]])


FAMILIES = {
    autoencoders: ("autoencoders",),
    factors: ("disentanglement",),
    bounds: ("bounds",),
    distances: ("distances",),
    collapses: ("against_collapse",),
    posteriors: ("posteriors",),
    spaces: ("spaces",),
    priors: ("priors",),
}
"""Names of the figures that each function draws."""
