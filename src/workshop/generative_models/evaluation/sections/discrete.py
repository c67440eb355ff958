"""The codes of discrete latents: their use, and what a prior makes of them."""

from math import exp, log, prod

import numpy as np

from workshop.generative_models.evaluation.estimates import Estimate, jackknife, mean_of
from workshop.generative_models.evaluation.latents.codebooks import (
    codebook_healths,
    collapses,
    entropy,
)
from workshop.generative_models.evaluation.sections.likelihood import add_bits
from workshop.generative_models.evaluation.sections.section import Section
from workshop.generative_models.evaluation.study import Study


def codes_section(study: Study) -> Section:
    """Return how the codebooks are used."""
    quantizer, codes = study.model.quantizer, study.codes
    healths = codebook_healths(quantizer, codes)
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
    section.verdicts.extend(
        f"{name.replace('_', ' ')}: {said}" for name, said in collapses(quantizer, healths).items()
    )
    return section


def prior_section(study: Study) -> Section:
    """Return what a fitted prior over the codes makes of the whole model."""
    prior, labels = study.model.prior, study.labels_of_prior
    reconstruction_loss = study.terms["reconstruction_loss"]
    nats = study.prior_nats[: len(reconstruction_loss)]  # the ELBO may have been cut short
    given = "" if labels is None else ", given the class"
    each = prod(study.codes.shape[1:])
    # p(x) is at least p(x, y), and classes are as likely.
    whole = -(reconstruction_loss + nats + (0.0 if labels is None else log(prior.num_classes)))
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
