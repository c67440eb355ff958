"""What a session speaks of: an example, and what its model makes of one."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Example:
    """One example, of the data or a person's own."""

    x: Float[np.ndarray, "..."]
    """It, pixels on the scale from 0 to 1."""
    label: int | None
    """Its class, if it has one."""
    title: str
    """What it is called."""
    index: int | None = None
    """Its number among the session's; None for a person's own."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What a model makes of one example."""

    x: Float[np.ndarray, "..."]
    """What it makes of the mean of q(z|x)."""
    reconstruction_loss: float
    """-E_q(z|x)[log p(x|z)], in nats."""
    kl_loss: float | None = None
    """KL(q(z|x) ‖ p(z)), in nats; None if q has no density."""

    @property
    def elbo(self) -> float | None:
        """-(kl_loss + reconstruction_loss), in nats; None if q has no density."""
        return None if self.kl_loss is None else -(self.kl_loss + self.reconstruction_loss)
