"""An objective of one's own, with a metric and a configuration, in everything that a model does."""

from typing import ClassVar, Literal

import jax.numpy as jnp
from shared import live_through

from workshop.generative_models.core.configuration import ObjectiveConfig
from workshop.generative_models.core.metrics import Metric
from workshop.generative_models.models.vae.components import register
from workshop.generative_models.models.vae.objectives import Objective


class HingeConfig(ObjectiveConfig):
    kind: Literal["hinge"] = "hinge"
    limit: float = 2.0


class Hinge(Objective):
    """The KL costs nothing up to a limit, over all latents together."""

    metrics: ClassVar = {"above": Metric("KL above the limit", "nats", larger_is_better=False)}

    def __init__(self, limit):
        self.limit = limit

    def __call__(self, model, terms, context):
        kl = terms.inference.kl().sum(-1).mean()
        total = terms.reconstruction_loss + jnp.maximum(kl, self.limit)
        return {"total_loss": total, "above": kl - self.limit}


def test_an_objective_of_ones_own(tmp_path):
    register(HingeConfig, Hinge)
    model = live_through(tmp_path, objective=HingeConfig(limit=3.0))
    losses = model.loss_fn(batch=jnp.zeros((2, 6)))
    assert losses["above"] == losses["kl_loss"] - 3
