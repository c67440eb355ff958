"""Sections on the latents: active ones, the parts of the KL, labels read from them."""

from workshop.generative_models.core.distributions import DiagonalNormal, StandardNormal
from workshop.generative_models.evaluation import outputs
from workshop.generative_models.evaluation.latents import (
    active_units,
    aggregate_posterior,
    collapse,
    far_from_prior,
    kl_decomposition,
    knn_accuracy,
    linear_accuracy,
    saturation,
)
from workshop.generative_models.evaluation.sections.section import Section
from workshop.generative_models.evaluation.study import Study


def latents_section(study: Study) -> Section:
    """Return which latents are active, and what their KL is made of.

    The KL is decomposed for diagonal Gaussian q(z|x), against N(0, I).
    """
    model, found = study.model, study.posteriors
    mean, log_var = found["mean"], found["log_var"]
    units = active_units(mean)
    section = Section("Latents", {"active_units": units.count})
    section.series["variance_of_means"] = [v.value for v in units.variance]
    section.verdicts.extend(v for v in (collapse(units),) if v is not None)
    q, p = study.distributions
    if not isinstance(q, DiagonalNormal):
        section.notes.append(
            f"q(z|x) is a {type(q).__name__}: the KL is decomposed for diagonal Gaussians only"
        )
        return section
    parts = kl_decomposition(mean, log_var, seed=study.settings.seed)
    section.figures["mutual_information"] = parts["mutual_information"]
    section.figures["total_correlation"] = parts["total_correlation"]
    note = saturation(parts["mutual_information"])
    section.notes.extend([] if note is None else [note])
    kl, in_nats = outputs.activity(model, study.test)
    if in_nats:
        section.series["kl_per_dimension"] = kl.tolist()
    against = aggregate_posterior(mean, log_var)
    section.figures["joint_gaussian_kl"] = against.joint_gaussian_kl
    if not isinstance(p, StandardNormal):
        section.notes.append(
            f"the prior is a {type(p).__name__}: joint_gaussian_kl is measured against N(0, I)"
        )
        return section
    section.figures["dimension_wise_kl"] = parts["dimension_wise_kl"]
    far = far_from_prior(against, study.odd_scale)
    section.verdicts.extend([] if far is None else [far])
    return section


def probes_section(study: Study) -> Section:
    """Return how well the labels can be read from what the decoder reads of an example."""
    train, test = study.some_train(study.settings.fitted), study.test
    assert train.y is not None
    assert test.y is not None
    latents, held_out = (outputs.representations(study.model, s) for s in (train, test))
    data = (latents, train.y, held_out, test.y)
    figures = {
        "knn_accuracy": knn_accuracy(*data, k=min(5, len(latents))),
        "linear_accuracy": linear_accuracy(*data),
    }
    note = f"read from the {outputs.representation_of(study.model)}"
    return Section("Labels from latents", figures, notes=[note])
