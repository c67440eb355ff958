"""Everything to say of one model: its figures, what they rest on, and what is wrong."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from ..core.estimates import FORMAT, in_json, read
from . import sections
from .sections import Section
from .study import Study

__all__ = ["as_json", "evaluate", "read"]


def evaluate(study: Study, *, quick: bool = False) -> Iterator[tuple[str, Section]]:
    """Yield the sections of an evaluation by name, each as soon as it is done.

    Which there are depends on the model and the data: `codes` and `prior` for discrete latents,
    else `latents`; `probes` with labels; `disentanglement` with factors.

    Args:
        study: the model and its data.
        quick: only likelihood, by the ELBO, what the latents or codes hold, and whether
            reconstructions depend on the input.

    Raises:
        ValueError: if not even the ELBO can be measured. What else cannot, with too few examples,
            is said in the notes of an empty section.

    Examples:
        >>> from flax import nnx
        >>> from workshop.generative_models.data import load_dataset
        >>> from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder
        >>> digits, rngs = load_dataset("digits"), nnx.Rngs(0)
        >>> model = VAE(MLPEncoder([8], 2, "relu", (8, 8, 1), rngs=rngs),
        ...             MLPDecoder([8], (8, 8, 1), 2, rngs=rngs), 2, likelihood="bce", rngs=rngs)
        >>> found = dict(evaluate(Study(model, digits.train, digits.test), quick=True))
        >>> sorted(found), found["likelihood"].figures["elbo"].unit
        (['latents', 'likelihood', 'reconstructions'], 'nats')
    """
    yield "likelihood", sections.likelihood_section(study, elbo_only=quick)
    for name, make in _further(study, quick=quick):
        try:
            found = make(study)
        except ValueError as error:  # too few examples, or one class: the others are worth having
            found = Section(name.capitalize(), {}, notes=[f"not measured: {error}"])
        yield from found.items() if isinstance(found, dict) else [(name, found)]


def _further(
    study: Study, *, quick: bool
) -> Iterator[tuple[str, Callable[[Study], Section | dict[str, Section]]]]:
    """Yield the sections after the first, which differ by model and data."""
    if study.model.has_codes:
        yield "codes", sections.codes_section
        if study.model.prior is not None:
            yield "prior", sections.prior_section
    else:
        yield "latents", sections.latents_section
    yield "reconstructions", partial(sections.reconstructions_section, quick=quick)
    if quick:
        return
    yield "samples", sections.samples_sections
    if study.held_out:
        yield "copying", sections.copying_section
    if study.has_classes:
        yield "probes", sections.probes_section
    if study.test.factors is not None:
        yield "disentanglement", sections.disentanglement_section


def as_json(found: Mapping[str, Section], study: Study, **about: Any) -> dict[str, Any]:
    """Return an evaluation as `evaluation.json` holds it.

    Args:
        found: sections by name, as `evaluate` yields them.
        study: what they were made of.
        about: the model, the data and the command, or whatever else JSON can hold.
    """
    return {
        "format": FORMAT,
        **about,
        "settings": asdict(study.settings),
        "basis": study.basis,
        "verdicts": [verdict for section in found.values() for verdict in section.verdicts],
        "sections": {
            name: {
                "title": section.title,
                "figures": {key: figure.as_json() for key, figure in section.figures.items()},
                "verdicts": section.verdicts,
                "notes": section.notes,
                "series": in_json(section.series),
            }
            for name, section in found.items()
        },
    }
