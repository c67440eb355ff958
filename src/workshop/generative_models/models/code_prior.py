"""The prior over a model's codes as a file: `prior.safetensors`, with its configuration."""

import json
import logging
from pathlib import Path
from typing import Any

from flax import nnx
from safetensors import SafetensorError, safe_open

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration import PriorConfig
from workshop.generative_models.models.weights import (
    WEIGHTS_FILE,
    digest,
    filled,
    variables,
    write,
)

PRIOR_FILE = "prior.safetensors"
PRIOR_FORMAT = 3
"""What a prior's weights mean: since 2 its class stands at every place. Another is not read."""


def save_prior(model: Any, folder: str | Path) -> None:
    """Write the model's prior over codes, `prior.safetensors`: its weights, and what rebuilds it.

    Raises:
        ValueError: if it has none.
    """
    prior = model.code_prior
    if prior is None:
        raise ValueError("this model has no prior: fit one and set model.prior")
    config = PriorConfig.model_validate(prior.config)
    about = {"config": config.model_dump(mode="json"), "num_classes": prior.num_classes}
    about |= {"fitted_to": digest(Path(folder) / WEIGHTS_FILE), "format": PRIOR_FORMAT}
    metadata = {"prior": json.dumps(about)}
    write(variables(prior), Path(folder) / PRIOR_FILE, metadata)


def load_prior(model: Any, folder: Path, weights: Path) -> Any:
    """Return the prior in a folder, if there is one that was fitted to these weights."""
    path = folder / PRIOR_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})["prior"])
        config = PriorConfig.model_validate(about["config"])
        classes, fitted_to = about["num_classes"], about["fitted_to"]
        form = about.get("format", 1)
        if classes is not None:
            checks.positive_int("num_classes", classes)
    except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    for wrong, why in (
        (form != PRIOR_FORMAT, "is of another version of this library"),
        (fitted_to != digest(weights), "was fitted to other weights of this model"),
    ):
        if wrong:
            logging.getLogger("workshop").warning("%s %s, and is left out: fit it again", path, why)
            return None
    return filled(
        lambda: model.new_prior(config, num_classes=classes, rngs=nnx.Rngs(0)),
        variables, path, "header",
    )  # fmt: skip
