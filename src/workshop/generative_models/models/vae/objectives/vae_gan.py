"""VAE-GAN: a critic on data, whose features also measure the reconstruction."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.critics import frozen
from workshop.generative_models.core.metrics import Metric
from workshop.generative_models.core.optimizers import create_optimizer
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import weighted
from workshop.generative_models.models.vae.objectives.critic import Critic, cross_entropy
from workshop.generative_models.models.vae.objectives.elbo import ELBO
from workshop.generative_models.models.vae.outputs import repeated


class VAEGAN(ELBO):
    r"""Each network has a loss of its own, all with the gradients of one step.

        encoder    KL(q(z|x) ‖ p(z)) + F,   F = ½ E‖f(x) - f(x̃)‖²,  x̃ = E[x|z],  z ~ q(z|x)
        decoder    γ F - E[log σ(D(x̃))] - E[log σ(D(x̂))],  x̂ = E[x|z],  z ~ p(z)
        critic     -½ E[log σ(D(x))] - ½ E[log(1 - σ(D(x̃ or x̂)))]

    f(x) is the critic's last hidden layer, so that F is minus the log-likelihood under
    N(f(x); f(x̃), I), up to a constant. The encoder gets no gradient of the adversarial terms. The
    decoder maximises log σ(D) instead of minimising log(1 - σ(D)): the fixed point is the same, and
    the gradient does not vanish where the critic is sure, which the authors' program avoids by
    leaving out updates. log p(x|z) is reported and not minimised.

    Args:
        event_shape: shape of one example.
        feature_weight: γ. The paper takes 10⁻² for images of 64 × 64; with the fewer features of
            MNIST digits all samples are then one image.
        hidden_dims: channels of the critic's convolutions for images, in the paper
            (32, 128, 256, 256); widths for other data.
        critic_learning_rate: of the critic's RMSProp.
        rngs: for the initial weights of the critic.

    References:
        Larsen et al., Autoencoding beyond pixels using a learned similarity metric, ICML 2016,
        algorithm 1; the authors' program is github.com/andersbll/autoencoding_beyond_pixels
        (`model/aegan.py`). Pythae's (`models/vae_gan`) shows its critic no reconstructions.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "feature_loss": Metric("distance of features", "nats", larger_is_better=False),
        "adversarial_loss": Metric("adversarial loss", "nats", larger_is_better=False),
    }

    def __init__(
        self,
        event_shape: Sequence[int] | None,
        feature_weight: float = 10.0,
        hidden_dims: Sequence[int] = (16, 32, 64),
        critic_learning_rate: float = 3e-4,
        *,
        rngs: nnx.Rngs | None = None,
    ):
        super().__init__()
        self.feature_weight = checks.at_least("feature_weight", feature_weight, 0.0)
        self.critic_learning_rate = checks.positive("critic_learning_rate", critic_learning_rate)
        if event_shape is None:
            raise ValueError(
                "VAEGAN(event_shape=None): its critic reads examples: give the decoder an "
                "attribute output_shape, the shape of one example"
            )
        self.critic = Critic(event_shape, hidden_dims, rngs=rngs)

    def critic_optimizer(self) -> optax.GradientTransformation:
        """Return the paper's RMSProp."""
        return create_optimizer("rmsprop", self.critic_learning_rate)

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:
        """Return the loss, the critic's, and the terms of both."""
        x = model.likelihood.standardized(terms.x)
        of_model = frozen(self.critic)
        target = of_model.features(x)

        # The encoder's part: the decoder is frozen. The decoder's: the latents are stopped.
        z = terms.inference.z[0]
        decoded = self._decoded(frozen(model), z, terms.condition)
        of_encoder = _distance(of_model.features(decoded), target)
        made = self._made(model, z, terms, context)
        features = of_model.features(made)
        of_decoder = _distance(features[: len(z)], target)
        # A mean over both kinds of images, of which the paper has the sum.
        adversarial = 2 * jax.nn.softplus(-of_model.classified(features)).mean()

        penalty, beta = self.penalty(terms, context)
        total = penalty + of_encoder + weighted(self.feature_weight, of_decoder) + adversarial
        return {
            "total_loss": total,
            "critic_loss": cross_entropy(self.critic(x), self.critic(jax.lax.stop_gradient(made))),
            "beta": beta,
            "feature_loss": of_encoder,
            "adversarial_loss": adversarial,
        }

    def _made(self, model: Any, z: jax.Array, terms: BoundTerms, context: LossContext) -> jax.Array:
        """Return reconstructions, and as many samples, without a gradient in z."""
        p = terms.inference.groups[0].p
        drawn = p.sample(context.key, () if p.batch_shape else (len(z),))
        latents = jax.lax.stop_gradient(jnp.concatenate([z, drawn.astype(z.dtype)]))
        condition = repeated(dict(terms.condition), len(z), 2)
        return self._decoded(model, latents, condition)

    def _decoded(self, model: Any, z: jax.Array, condition: Mapping[str, Any]) -> jax.Array:
        return model.likelihood.standardized(model.decode(z, **condition))


def _distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return half the squared distance of features, the mean over examples."""
    return 0.5 * jnp.square(a - b).astype(jnp.float32).sum(-1).mean()
