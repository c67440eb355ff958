"""What the latents hold: active ones, the parts of the KL, labels read from them, use of codes."""

from math import exp, log, prod

import jax
import numpy as np

from ...core.distributions import DiagonalNormal, StandardNormal
from .. import latents, outputs
from ..estimates import Estimate, jackknife, mean_of
from ..latents.codebooks import entropy
from ..passes import in_passes
from ..study import Section, Study
from .likelihood import add_bits


def latents_section(study: Study) -> Section:
    """Return which latents are active, and what the KL of diagonal Gaussian ones is made of."""
    model, found = study.model, outputs.posteriors(study.model, study.test)
    mean, log_var = found["mean"], found["log_var"]
    units = latents.active_units(outputs.coordinates(model, mean))
    section = Section("Latents", {"active_units": units.count})
    section.series["variance_of_means"] = [v.value for v in units.variance]
    section.verdicts.extend(filter(None, [latents.collapse(units)]))
    q, p = study.distributions
    if not isinstance(q, DiagonalNormal):
        section.notes.append(
            f"q(z|x) is a {type(q).__name__}: the KL is decomposed for diagonal Gaussians only"
        )
        return section
    parts = latents.kl_decomposition(mean, log_var, seed=study.settings.seed)
    section.figures["mutual_information"] = parts["mutual_information"]
    section.figures["total_correlation"] = parts["total_correlation"]
    section.notes.extend(filter(None, [latents.saturation(parts["mutual_information"])]))
    kl, in_nats = outputs.activity(model, study.test)
    if in_nats:
        section.series["kl_per_dimension"] = kl.tolist()
    against = latents.aggregate_posterior(mean, log_var)
    section.figures["joint_gaussian_kl"] = against.joint_gaussian_kl
    if not isinstance(p, StandardNormal):
        section.notes.append(
            f"the prior is a {type(p).__name__}: joint_gaussian_kl is measured against N(0, I)"
        )
        return section
    section.figures["dimension_wise_kl"] = parts["dimension_wise_kl"]
    section.verdicts.extend(filter(None, [latents.far_from_prior(against, study.odd_scale)]))
    return section


def probes_section(study: Study) -> Section:
    """Return how well the labels can be read from what the decoder reads of an example."""
    train, test = study.some_train(study.settings.fitted), study.test
    assert train.y is not None
    assert test.y is not None
    fitted, held_out = (outputs.representations(study.model, s) for s in (train, test))
    data = (fitted, train.y, held_out, test.y)
    figures = {
        "knn_accuracy": latents.knn_accuracy(*data, k=min(5, len(fitted))),
        "linear_accuracy": latents.linear_accuracy(*data),
    }
    note = f"read from the {outputs.representation_of(study.model)}"
    return Section("Labels from latents", figures, notes=[note])


def codes_section(study: Study) -> Section:
    """Return how the codebooks are used."""
    quantizer, codes = study.model.quantizer, study.codes
    healths = latents.codebook_healths(quantizer, codes)
    section = Section("Codes", {})
    for i, (name, health) in enumerate(healths.items()):
        end = f"_{i + 1}" if len(healths) > 1 else ""
        own = codes if not end else codes[..., i]
        size, n = len(health.counts), len(codes)
        text = f"{own.size:,} codes of {n:,} examples, error by the jackknife over examples"

        def perplexity(rows: np.ndarray, size: int = size) -> float:
            return exp(entropy(np.bincount(rows[rows >= 0], minlength=size)))

        error = jackknife(perplexity, own) if n >= 10 else None
        plain = f"count over {own.size:,} codes"
        figures = {
            "used": Estimate(health.used, None, n, plain, f"of {size:,}"),
            "share_used": Estimate(health.share, None, n, plain),
            "perplexity": Estimate(health.perplexity, error, n, text),
            "code_bits": Estimate(
                health.bits, None if error is None else error / health.perplexity / log(2), n,
                text, f"bits of {np.log2(size):.2f}"),
        }  # fmt: skip
        if health.distances is not None:
            apart = float(np.median(health.distances))
            figures["code_distance"] = Estimate(apart, None, size, "median over codes")
        section.figures.update({f"{key}{end}": figure for key, figure in figures.items()})
        section.series[f"{name}_counts"] = health.counts.tolist()
    collapsed = latents.collapses(quantizer, healths)
    section.verdicts.extend(f"{name.replace('_', ' ')}: {why}" for name, why in collapsed.items())
    return section


def prior_section(study: Study) -> Section:
    """Return what a fitted prior over the codes makes of the whole model."""
    prior, labels, codes = study.model.prior, study.test.labels, study.codes
    classes = prior.num_classes or 0
    if labels is not None and labels.max() >= classes:
        labels = None  # the prior reads none, or others

    def one_pass(index: np.ndarray) -> jax.Array:
        return -prior.log_prob(codes[index], None if labels is None else labels[index])

    reconstruction_loss = study.terms["reconstruction_loss"]
    # The ELBO may have been cut short.
    nats = in_passes(one_pass, len(codes))[: len(reconstruction_loss)]
    given = "" if labels is None else ", given the class"
    each = prod(codes.shape[1:])
    # p(x) is at least p(x, y), and classes are as likely.
    whole = -(reconstruction_loss + nats + (0.0 if labels is None else log(classes)))
    text = f"mean over examples{given}"
    figures = {
        "prior_kl_loss": mean_of(nats, f"-log p(z), {text}", "nats"),
        "prior_bits_per_code": mean_of(nats, text, "bits", scale=1 / (each * log(2))),
        "prior_elbo": mean_of(whole, "log p(x, z), mean over examples", "nats"),
    }
    uniform = np.log2(study.model.num_embeddings)
    section = Section("Prior over codes", figures)
    section.notes.append(f"a uniform prior would take {uniform:.2f} bits per code")
    add_bits(study, section, whole, np.zeros(len(whole)), "at most; by log p(x, z)")
    return section
