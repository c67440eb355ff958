"""Sections on the latents: active ones, the parts of the KL, labels read from them."""

from workshop.generative_models.evaluation import outputs, probes
from workshop.generative_models.evaluation.aggregate import aggregate_posterior, far_from_prior
from workshop.generative_models.evaluation.decomposition import kl_decomposition, saturation
from workshop.generative_models.evaluation.latents import (
    active_units,
    collapse,
    kl_per_dimension,
)
from workshop.generative_models.evaluation.sections.section import Section
from workshop.generative_models.evaluation.study import Study


def latents_section(study: Study) -> Section:
    """Return active latents, the parts of the KL, and the aggregate posterior."""
    mean, log_var = study.posteriors["mean"], study.posteriors["log_var"]
    units, by_latent = active_units(mean), kl_per_dimension(mean, log_var)
    parts = kl_decomposition(mean, log_var, seed=study.settings.seed)
    against = aggregate_posterior(mean, log_var)
    names = ("mutual_information", "total_correlation", "dimension_wise_kl")
    figures = {"active_units": units.count} | {name: parts[name] for name in names}
    figures["joint_gaussian_kl"] = against.joint_gaussian_kl
    note = saturation(parts["mutual_information"])
    return Section(
        "Latents",
        figures,
        [v for v in (collapse(units), far_from_prior(against, study.odd_scale)) if v is not None],
        [] if note is None else [note],
        {
            "kl_per_dimension": [kl.value for kl in by_latent],
            "variance_of_means": [v.value for v in units.variance],
        },
    )


def probes_section(study: Study) -> Section:
    """Return how well the labels can be read from what the decoder reads of an example."""
    train, test = study.some_train(study.settings.fitted), study.test
    assert train.y is not None
    assert test.y is not None
    latents, held_out = (outputs.representations(study.model, s) for s in (train, test))
    data = (latents, train.y, held_out, test.y)
    figures = {
        "knn_accuracy": probes.knn_accuracy(*data, k=min(5, len(latents))),
        "linear_accuracy": probes.linear_accuracy(*data),
    }
    note = f"read from the {outputs.representation_of(study.model)}"
    return Section("Labels from latents", figures, notes=[note])
