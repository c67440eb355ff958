"""A model card: what a model is, how to load it, and how good it was found to be."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import jinja2

from workshop.generative_models.core.metrics import metric_of
from workshop.generative_models.models.registry import name_of
from workshop.generative_models.models.weights import variables


def model_card(model: Any, name: str, evaluation: Mapping[str, Any] | None = None) -> str:
    """Return a model card in Markdown, with the header that the Hugging Face Hub reads.

    Args:
        model: one of `MODELS`, built from a configuration.
        name: what `from_pretrained` finds it by.
        evaluation: what `core.estimates.read` gives.

    Examples:
        >>> from flax import nnx
        >>> from workshop.generative_models.core.configuration import (
        ...     DecoderConfig, EncoderConfig, VAEConfig)
        >>> from workshop.generative_models.models.vae import VAE
        >>> config = VAEConfig(
        ...     encoder=EncoderConfig(hidden_dims=[8], latent_dim=2, input_shape=[4]),
        ...     decoder=DecoderConfig(hidden_dims=[8], latent_dim=2, output_shape=[4]))
        >>> "# me/blobs" in model_card(VAE(config, rngs=nnx.Rngs(0)), "me/blobs").splitlines()
        True
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("workshop.generative_models.models"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # it is no HTML, so nothing is escaped but what would end a cell
    environment.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    return environment.get_template("card.md.jinja").render(
        name=name,
        kind=type(model).__name__,
        tag=name_of(model),
        facts=_facts(model),
        evaluation=evaluation,
        data=None if evaluation is None else _data(evaluation.get("data")),
        metric_of=metric_of,
    )


def _facts(model: Any) -> dict[str, str]:
    """Return what a reader asks of a model first."""
    config = model.config
    widths = ", ".join(map(str, config.encoder.hidden_dims))
    count = sum(prod(v[...].shape) for v in variables(model).values())
    codes = model.has_codes
    return {
        "one example": " × ".join(map(str, config.decoder.output_shape)),
        "latents": f"{model.num_embeddings:,} codes" if codes else f"{model.latent_dim} numbers",
        "likelihood": config.likelihood_name,
        **model.kinds,
        "networks": f"{config.encoder_type}, {widths}",
        "numbers in its files": f"{count:,}",
    }


def _data(data: Any) -> str | None:
    """Return what data a model was measured on: of a path, only the last part is for others."""
    if not isinstance(data, dict) or not {"name", "split", "examples"} <= data.keys():
        return None
    name = str(data["name"])
    name = name if name.startswith("hf:") else Path(name).name
    return f"{data['examples']:,} {data['split']} examples of {name}"
