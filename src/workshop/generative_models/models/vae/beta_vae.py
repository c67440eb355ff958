"""β-VAE: a weight on the KL that may warm up, and a capacity that may grow."""

from typing import Any, Unpack

import jax
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.building import accepts_config
from workshop.generative_models.core.configuration import BetaVAEConfig, BetaVAEWithCapacityConfig
from workshop.generative_models.core.likelihoods import Likelihood
from workshop.generative_models.models.vae.base import VAE
from workshop.generative_models.models.vae.components import Options
from workshop.generative_models.models.vae.objectives import Capacity


class BetaVAE(VAE):
    """A VAE whose KL weighs β(t) = min(β, β · t / T) at training step t.

    Args:
        encoder: module x -> (mean, log_var), or a `BetaVAEConfig`.
        decoder: module z -> unsquashed output.
        latent_dim: size of z.
        beta_default: β.
        beta_warmup_steps: T; 0 is no warm-up. Without a step the loss is the one after it.
        reconstruction_loss_type: "mse" or "bce", or another likelihood by name, or one of your own.
        rngs: for sampling, when a method is given none.
        options: see `VAE`.

    Attributes:
        beta_default, beta_warmup_steps: as given.
        reconstruction_loss_type: the likelihood by name; of one of your own that of its class.

    References:
        Higgins et al., β-VAE: Learning Basic Visual Concepts with a Constrained Variational
        Framework, ICLR 2017.
    """

    config_class = BetaVAEConfig
    weight_argument = "beta_default"

    @accepts_config
    def __init__(
        self,
        encoder: nnx.Module,
        decoder: nnx.Module,
        latent_dim: int,
        beta_default: float = 1.0,
        beta_warmup_steps: int = 0,
        reconstruction_loss_type: str | Likelihood = "mse",
        *,
        rngs: nnx.Rngs,
        **options: Unpack[Options],
    ):
        steps = int(checks.at_least("beta_warmup_steps", beta_warmup_steps, 0))
        if steps:
            if options.get("kl_schedule_steps"):
                raise ValueError("beta_warmup_steps is a linear kl_schedule: set one of the two")
            options |= {"kl_schedule": "linear", "kl_schedule_steps": steps}
        given: dict[str, Any] = {
            "kl_weight": checks.at_least("beta_default", beta_default, 0.0),
            "likelihood": reconstruction_loss_type,
        }
        super().__init__(encoder, decoder, latent_dim, rngs=rngs, **given, **options)
        self.beta_default = beta_default
        self.beta_warmup_steps = steps
        own = isinstance(reconstruction_loss_type, Likelihood)  # it is `self.likelihood` already
        self.reconstruction_loss_type = (
            type(reconstruction_loss_type).__name__ if own else reconstruction_loss_type
        )


class _LeftOut(int):
    """A zero that can be told from one that somebody gave."""


FIRST_STEP = _LeftOut(0)


class BetaVAEWithCapacity(BetaVAE):
    """A β-VAE whose KL is drawn to a capacity C(t) = min(C_max, C_max · t / T) that grows.

        L = -E_q(z|x)[log p(x|z)] + γ |KL(q(z|x) ‖ p(z)) - C(t)|

    Args:
        encoder: see `BetaVAE`, or a `BetaVAEWithCapacityConfig`.
        decoder: see `BetaVAE`; so latent_dim, reconstruction_loss_type, rngs and options.
        latent_dim: size of z.
        beta_default: β, used while capacity control is off.
        beta_warmup_steps: steps of β's warm-up.
        reconstruction_loss_type: the likelihood.
        use_capacity_control: False is exactly `BetaVAE`.
        capacity_max: C_max, in nats.
        capacity_num_iter: T.
        gamma: γ.
        rngs: for sampling.
        options: see `VAE`.

    Attributes:
        use_capacity_control, capacity_max, capacity_num_iter, gamma: as given.

    References:
        Burgess et al., Understanding disentangling in β-VAE, 2018.
    """

    config_class = BetaVAEWithCapacityConfig

    @accepts_config
    def __init__(
        self,
        encoder: nnx.Module,
        decoder: nnx.Module,
        latent_dim: int,
        beta_default: float = 1.0,
        beta_warmup_steps: int = 0,
        reconstruction_loss_type: str | Likelihood = "mse",
        use_capacity_control: bool = False,
        capacity_max: float = 25.0,
        capacity_num_iter: int = 25000,
        gamma: float = 1000.0,
        *,
        rngs: nnx.Rngs,
        **options: Unpack[Options],
    ):
        of_beta = (beta_default, beta_warmup_steps, reconstruction_loss_type)
        super().__init__(encoder, decoder, latent_dim, *of_beta, rngs=rngs, **options)
        elbo, sizes = self.objective, (capacity_max, capacity_num_iter, gamma)
        control = Capacity(*sizes)
        self.use_capacity_control, self.gamma = use_capacity_control, control.gamma
        self.capacity_max, self.capacity_num_iter = control.capacity_max, control.capacity_num_iter
        if not use_capacity_control:
            return
        for name in ("free_bits", "kl_schedule_steps"):
            if options.get(name):
                raise ValueError(f"{name} has no meaning under use_capacity_control")
        self.objective = Capacity(*sizes, elbo.weight, elbo.schedule, elbo.schedule_steps)

    def loss_fn(  # type: ignore[override]
        self,
        params: Any = None,
        batch: Any = None,
        rng: jax.Array | None = None,
        x: ArrayLike | None = None,
        outputs: dict[str, Any] | None = None,
        beta: ArrayLike | None = None,
        step: ArrayLike | None = FIRST_STEP,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the losses of a batch; the arguments are those of `VAE.loss_fn`.

        Under capacity control a `step` that is left out is the first one, as the reference has it,
        beta is not read, and there are also current_capacity, capacity_loss (γ |KL - C|) and
        kl_capacity_diff (KL - C).
        """
        if step is FIRST_STEP and not self.use_capacity_control:
            step = None
        return super().loss_fn(params, batch, rng, x, outputs, beta, step=step, **kwargs)
