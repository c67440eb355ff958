"""A weight of the KL that a controller sets."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import Objective, weighted


class ControllerState(nnx.Variable):
    """State of a controller, which is part of checkpoints and of saved models."""


class ControlVAE(Objective):
    r"""L = -E_q(z|x)[log p(x|z)] + β(t) KL(q(z|x) ‖ p(z)), β(t) by a PI controller.

    The controller holds the batch's mean KL at C nats. With the error e(t) = C - KL(t),

        u(t) = K_p / (1 + exp e(t)) - K_i Σ_s≤t e(s) + β_min,
        β(t) = min(max(u(t), β_min), β_max).

    The sum leaves out steps that would lead u further beyond a limit that u(t-1) was beyond
    (anti-windup). The paper leaves out every step there; a single large error, which takes the sum
    beyond a limit by more than K_p, then stops the controller for good. Without a `step`, as at
    evaluation, β is that of the last training step.

    Args:
        target: C, in nats.
        kp: K_p.
        ki: K_i, per training step and nat.
        beta_min: β_min.
        beta_max: β_max.

    Attributes:
        integral: the sum times -K_i.
        output: u of the last training step.

    References:
        Shao et al., ControlVAE: Controllable Variational Autoencoder, ICML 2020, algorithm 1. Code:
        shj1987/ControlVAE-ICML2020 (the default gains are those of its Language_modeling).
    """

    def __init__(
        self,
        target: float = 10.0,
        kp: float = 0.01,
        ki: float = 0.0001,
        beta_min: float = 0.0,
        beta_max: float = 1.0,
    ):
        self.target = checks.at_least("target", target, 0.0)
        self.kp = checks.at_least("kp", kp, 0.0)
        self.ki = checks.at_least("ki", ki, 0.0)
        self.beta_min = checks.at_least("beta_min", beta_min, 0.0)
        self.beta_max = checks.at_least("beta_max", beta_max, beta_min)
        self.integral = ControllerState(jnp.zeros(()))
        self.output = ControllerState(jnp.asarray(beta_min, jnp.float32))

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return the loss, `beta`, and the controller's next state as its statistics."""
        kl = terms.inference.kl().mean(0).sum()
        state = self.after(jax.lax.stop_gradient(kl))
        output = self.output[...] if context.step is None else state["output"]
        beta = jnp.clip(output, self.beta_min, self.beta_max)
        if context.beta is not None:
            beta = jnp.asarray(context.beta, jnp.float32)
        total = terms.reconstruction_loss + weighted(beta, kl)
        return {"total_loss": total, "beta": beta, "statistics": state}

    def after(self, kl: jax.Array) -> dict[str, jax.Array]:
        """Return the state of the controller after a step with this KL."""
        error = self.target - kl
        step, before = -self.ki * error, self.output[...]
        wound_up = jnp.where(step > 0, before > self.beta_max, before < self.beta_min)
        integral = self.integral[...] + jnp.where(wound_up, 0.0, step)
        output = self.kp * jax.nn.sigmoid(-error) + integral + self.beta_min
        return {"integral": integral, "output": output}

    def update_statistics(self, statistics: Any) -> None:
        """Take over the state that a step left."""
        self.integral[...] = statistics["integral"]
        self.output[...] = statistics["output"]
