"""How likely the model finds examples: bounds from the loosest to the strictest."""

from math import log, prod

import numpy as np

from ...core.distributions import kl
from ...core.likelihoods import Bernoulli, SquaredError
from .. import bounds, outputs
from ..bounds.annealing import starts_from
from ..estimates import mean_of, mean_with_part
from ..passes import CutShort
from ..study import Section, Study

FEW = 10
"""Effective samples below which an importance-weighted bound hangs on a few."""
OVERFIT = 0.05
"""Share of the reconstruction loss that the ELBO may lose beyond training data, unremarked."""
CHAINS, TEMPERATURES = 16, 1000


def likelihood_section(study: Study, *, elbo_only: bool = False) -> Section:
    """Return bounds on log p(x), or the ELBO only, its parts, and bits per dimension."""
    if not study.model.has_density:
        return _without_density(study)
    kl_loss, reconstruction_loss = study.terms["kl_loss"], study.terms["reconstruction_loss"]
    elbo = -(kl_loss + reconstruction_loss)
    draws = study.draws
    text = "mean over examples" if study.model.has_codes else f"mean over examples, {draws} z each"
    exact = study.model.has_codes or kl(*study.distributions) is not None
    how_kl = "mean over examples" if exact else text
    figures = {
        "elbo": mean_of(elbo, text, "nats"),
        "reconstruction_loss": mean_of(reconstruction_loss, f"-E log p(x|z), {text}", "nats"),
        "kl_loss": mean_of(kl_loss, f"KL(q(z|x) ‖ p(z)), {how_kl}", "nats"),
    }
    section = Section("Likelihood", figures)
    _compare_with_training(study, section, text)
    every, best, how = elbo, np.zeros(len(elbo)), "ELBO"
    if not (study.model.has_codes or elbo_only):
        every, best, how = _stricter(study, elbo, section)
    add_bits(study, section, every, best, f"at most; by the {how}")
    if study.rescaled:
        section.notes.append("the likelihood's scale is the best one for the training examples")
    return section


def _without_density(study: Study) -> Section:
    """Return the reconstruction loss of a model of which there is no bound on log p(x)."""
    loss = outputs.reconstructions(study.fixed_scale, study.test)["loss"]
    figures = {"reconstruction_loss": mean_of(loss, "-log p(x|z), mean over examples", "nats")}
    q = type(study.distributions[0]).__name__
    note = f"q(z|x) is a {q}, which has no density: there is no bound on log p(x)"
    return Section("Likelihood", figures, notes=[note])


def add_bits(
    study: Study, section: Section, bound: np.ndarray, extra: np.ndarray, how: str
) -> None:
    """Add bits per dimension, -log p(x) / (D log 2), and say of what they are."""
    family = study.model.likelihood
    if type(family) is SquaredError:
        section.notes.append(
            "mse is a sum of squares, no density: its figures compare only with one another"
        )
        return
    kind = ""
    if type(family) is not Bernoulli and family.levels is None:
        kind = ", of a density: may be negative"
    elif type(family) is Bernoulli and not study.is_binary:
        kind = ", of grey data: a score"
        section.notes.append(
            "bce is a probability of black and white data, and this is grey: its figures compare "
            "only with one another (binarize, or another likelihood)"
        )
    scale = -1 / (prod(study.test.shape) * log(2))
    section.figures["bits_per_dim"] = mean_with_part(bound, extra, how + kind, "bits", scale=scale)


Bound = tuple[np.ndarray, np.ndarray, str]
"""What `beyond` gives for a bound, and its name."""


def _stricter(study: Study, elbo: np.ndarray, section: Section) -> Bound:
    """Add the bounds that cost more; return the strictest."""
    best: Bound = elbo, np.zeros(len(elbo)), "ELBO"
    for name, add in (("importance-weighted bound", _weighted), ("annealing", _annealed)):
        try:
            best = add(study, elbo, section) or best
        except ValueError as error:  # it was cut short, or is not to be had of this model
            section.notes.append(f"{name}: {error}")
    return best


def _weighted(study: Study, elbo: np.ndarray, section: Section) -> Bound:
    settings = study.settings
    first = study.test.take(slice(min(settings.examples, len(elbo))))
    found = bounds.importance_sampling(
        study.fixed_scale, first, samples=settings.samples, seed=settings.seed,
        progress=study.cuttable("importance-weighted bound"),
    )  # fmt: skip
    every, extra = beyond(elbo, found["bound"])
    text, effective = f"{settings.samples:,} z each", found["effective_samples"]
    section.figures["importance_weighted_bound"] = mean_with_part(every, extra, text, "nats")
    section.figures["effective_samples"] = mean_of(
        effective, f"of {settings.samples:,}, mean over examples"
    )
    if np.median(effective) < FEW <= settings.samples / 100:
        section.verdicts.append(
            f"importance weights hang on few samples (median {np.median(effective):.1f} effective "
            f"of {settings.samples:,}): the bound is loose: annealed importance sampling "
            "(annealed, such as 20) is stricter"
        )
    return every, extra, "importance-weighted bound"


def _annealed(study: Study, elbo: np.ndarray, section: Section) -> Bound | None:
    settings = study.settings
    if not settings.annealed:
        return None
    first = study.test.take(slice(min(settings.annealed, len(elbo))))
    initial = "prior" if starts_from(study.distributions[1]) else "posterior"
    annealed = bounds.annealed_importance_sampling(
        study.fixed_scale, first, chains=CHAINS, steps=TEMPERATURES, initial=initial,
        seed=settings.seed, progress=study.cuttable("annealing"),
    )  # fmt: skip
    every, extra = beyond(elbo, annealed)
    text = f"{CHAINS} chains of {TEMPERATURES:,} temperatures each from the {initial}, HMC"
    section.figures["annealed_importance_sampling"] = mean_with_part(every, extra, text, "nats")
    return every, extra, "annealed importance sampling"


def beyond(elbo: np.ndarray, bound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ELBO of each example, and what a stricter bound of the first ones adds to it.

    Where the ELBO is -inf the bound stands in its place, and adds nothing.
    """
    first = elbo[: len(bound)]
    every = np.concatenate([np.where(np.isneginf(first), bound, first), elbo[len(bound) :]])
    with np.errstate(invalid="ignore"):
        return every, np.where(np.isneginf(first), 0.0, bound - first)


def _compare_with_training(study: Study, section: Section, text: str) -> None:
    """Add the ELBO of training examples, and say whether that of others is much lower."""
    elbo = -(study.terms["kl_loss"] + study.terms["reconstruction_loss"])
    lost = np.flatnonzero(np.isneginf(elbo))
    if len(lost):
        section.verdicts.append(
            f"the density of {len(lost):,} of {len(elbo):,} test examples is too small for float32 "
            "(ELBO -inf), and so is every mean over them: look for errors in these examples "
            "(workshop score lists them), or leave them out"
        )
    try:
        terms = study.terms_of(study.some_train(len(study.test)), "ELBO of training")
    except CutShort:
        section.notes.append("the ELBO of training examples was cut short")
        return
    seen = -(terms["kl_loss"] + terms["reconstruction_loss"])
    section.figures["elbo_train"] = mean_of(seen, text, "nats")
    if len(lost) or not np.isfinite(seen).all():
        return
    loss = float(study.terms["reconstruction_loss"].mean())
    gap = float(seen.mean() - elbo.mean())
    error = float(np.hypot(seen.std() / len(seen) ** 0.5, elbo.std() / len(elbo) ** 0.5))
    # Half a nat, because the reconstruction loss of a density may be near 0.
    if gap > 3 * error and gap > max(OVERFIT * abs(loss), 0.5):
        section.verdicts.append(
            f"training examples have an ELBO {gap:.1f} nats higher than others (± {error:.1f}), "
            "the model overfits: train for fewer steps, keep the best (keep_best), use a smaller "
            "network or more data"
        )
