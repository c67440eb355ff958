"""Objectives with the maximum mean discrepancy of the aggregate posterior from the prior."""

from collections.abc import Sequence
from typing import Any, ClassVar

import jax

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration.objectives import SCALES
from workshop.generative_models.core.metrics import Metric
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import Objective, only_group
from workshop.generative_models.models.vae.objectives.discrepancy import (
    check_kernel,
    squared_mmd,
)


class WAEMMD(Objective):
    r"""L = -E_q(z|x)[log p(x|z)] + λ MMD²(q(z), p(z)).

    Under the likelihood "mse" the first term is the squared error of the paper. MMD² is estimated
    from one z of each example and as many samples of the prior; see `squared_mmd` for the kernels.
    The posterior may be a point mass, as in the paper, or have a density, which is not read.

    Args:
        weight: λ.
        kernel: "imq" (inverse multiquadratic) or "rbf" (Gaussian).
        bandwidth: h of the kernel, in the units of z; 1 is the scale of a standard normal prior.
        scales: s, over which the kernel is summed.

    References:
        Tolstikhin, Bousquet, Gelly & Schölkopf, Wasserstein Auto-Encoders, ICLR 2018. Code:
        tolstikhin/wae, which multiplies the squared error by 0.05, and chooses the width of its
        RBF kernel by the median of the distances.
    """

    needs_density: ClassVar[bool] = False
    metrics: ClassVar = {"mmd": Metric("MMD² of q(z) and p(z)", larger_is_better=False)}

    def __init__(
        self,
        weight: float = 10.0,
        kernel: str = "imq",
        bandwidth: float = 1.0,
        scales: Sequence[float] = SCALES,
    ):
        self.mmd_weight = checks.at_least("weight", weight, 0.0)
        check_kernel(kernel, bandwidth, scales)
        self.kernel, self.bandwidth, self.scales = kernel, bandwidth, tuple(scales)

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return the loss, and `mmd`."""
        mmd = self.mmd(terms, context)
        return {"total_loss": terms.reconstruction_loss + self.mmd_weight * mmd, "mmd": mmd}

    def mmd(self, terms: BoundTerms, context: LossContext) -> jax.Array:
        """Return MMD² of a batch's latents and as many samples of their prior."""
        group = only_group(self, terms)
        (z,), p = group.z, group.p
        draws = p.sample(context.key, () if p.batch_shape else (len(z),))
        return squared_mmd(z, draws, self.kernel, bandwidth=self.bandwidth, scales=self.scales)


class InfoVAE(WAEMMD):
    r"""L = -E_q(z|x)[log p(x|z)] + (1 - α) KL(q(z|x) ‖ p(z)) + (α + λ - 1) MMD²(q(z), p(z)).

    MMD² is estimated as by `WAEMMD`. With α = 1 there is no KL, and the posterior may be a point
    mass.

    Args:
        alpha: α, at most 1; the mutual information of x and z is penalised by 1 - α.
        weight: λ, the weight of the divergence of q(z) from p(z); at least 1 - α. The paper takes
            1000 for binarised MNIST, with a Gaussian kernel.
        kernel: "imq" (inverse multiquadratic) or "rbf" (Gaussian). A Gaussian kernel of one
            bandwidth sees only distances of that size, which grow with the number of latents.
        bandwidth: h of the kernel, in the units of z; 1 is the scale of a standard normal prior.
        scales: s, over which the kernel is summed.

    References:
        Zhao, Song & Ermon, InfoVAE: Balancing Learning and Inference in Variational Autoencoders,
        AAAI 2019. Code: ShengjiaZhao/MMD-Variational-Autoencoder, with the biased estimate and
        k(a, b) = exp(-‖a - b‖² / d²); and clementchadebec/benchmark_VAE, whose weight is of MMD²
        times the size of the batch.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        weight: float = 100.0,
        kernel: str = "imq",
        bandwidth: float = 1.0,
        scales: Sequence[float] = SCALES,
    ):
        if not (alpha <= 1 <= alpha + weight):
            raise ValueError(
                f"alpha={alpha!r} and weight={weight!r}: expected alpha <= 1 and alpha + weight >= "
                "1, so that neither the KL nor the MMD is rewarded"
            )
        super().__init__(weight, kernel, bandwidth, scales)
        self.alpha = alpha
        self.mmd_weight = alpha + weight - 1
        self.needs_density = alpha != 1  # type: ignore[misc]

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:
        """Return the loss, and `mmd`."""
        losses = super().__call__(model, terms, context)
        if self.needs_density:
            kl = terms.inference.kl().mean(0).sum()
            losses["total_loss"] += (1 - self.alpha) * kl
        return losses
