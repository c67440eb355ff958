"""The reconstruction loss alone."""

from typing import Any, ClassVar

from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import Objective


class Reconstruction(Objective):
    """L = -E_q(z|x)[log p(x|z)], without any penalty on the latents."""

    needs_density: ClassVar[bool] = False

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return the reconstruction loss."""
        return {"total_loss": terms.reconstruction_loss}
