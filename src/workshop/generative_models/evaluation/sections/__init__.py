"""The parts of an evaluation: each a few figures of one model, and what is wrong with it."""

from ..study import Section
from .factors import disentanglement_section
from .latents import codes_section, latents_section, prior_section, probes_section
from .likelihood import likelihood_section
from .samples import copying_section, reconstructions_section, samples_sections

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
