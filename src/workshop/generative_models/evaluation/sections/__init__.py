"""The parts of an evaluation: each a few figures of one model, and what is wrong with it."""

from workshop.generative_models.evaluation.sections.discrete import codes_section, prior_section
from workshop.generative_models.evaluation.sections.factors import disentanglement_section
from workshop.generative_models.evaluation.sections.latents import latents_section, probes_section
from workshop.generative_models.evaluation.sections.likelihood import likelihood_section
from workshop.generative_models.evaluation.sections.samples import (
    copying_section,
    reconstructions_section,
    samples_sections,
)
from workshop.generative_models.evaluation.sections.section import Section

__all__ = [
    "Section",
    "codes_section",
    "copying_section",
    "disentanglement_section",
    "latents_section",
    "likelihood_section",
    "prior_section",
    "probes_section",
    "reconstructions_section",
    "samples_sections",
]
