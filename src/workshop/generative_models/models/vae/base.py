"""The variational autoencoder: encoder, posterior, prior, decoder, likelihood and objective."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import check_finite, read_latents
from workshop.generative_models.core.building import accepts_config, arguments_of, restated
from workshop.generative_models.core.configuration import AutoencoderConfig, Scale, VAEConfig
from workshop.generative_models.core.distributions import Distribution
from workshop.generative_models.core.gaussian import reparameterize
from workshop.generative_models.core.likelihood_base import check_draws
from workshop.generative_models.core.likelihoods import Likelihood
from workshop.generative_models.core.metrics import NONE, Metric
from workshop.generative_models.core.modules import (
    call,
    in_evaluation_mode,
    sample_key,
    set_numerics,
)
from workshop.generative_models.core.moments import Moments
from workshop.generative_models.core.typing import DTypeLike, Outputs, Precision
from workshop.generative_models.models.hub import Pretrained
from workshop.generative_models.models.vae.chunks import chunk_size, in_chunks, in_training
from workshop.generative_models.models.vae.components import (
    AnyObjective,
    AnyPosterior,
    AnyPrior,
    check_classes,
    check_components,
    check_latent_dims,
    created,
    kind_of,
    likelihood_for,
    refuse_elbo_options,
    refuse_old_hooks,
)
from workshop.generative_models.models.vae.decoders import (
    ConditionalDecoder,
    Decoder,
    create_decoder,
)
from workshop.generative_models.models.vae.decoders.base import fit_parameters
from workshop.generative_models.models.vae.encoders import create_encoder
from workshop.generative_models.models.vae.encoders.base import fit_features
from workshop.generative_models.models.vae.examples import warn_of_scale
from workshop.generative_models.models.vae.inference import (
    BoundTerms,
    Inference,
    LossContext,
    read,
)
from workshop.generative_models.models.vae.latent_space import LatentVariableModel
from workshop.generative_models.models.vae.objectives import ELBO
from workshop.generative_models.models.vae.outputs import (
    ALIASES,
    LOSS_OPTIONS,
    check_decoder_output,
    log_likelihoods,
    named_losses,
    read_features,
    repeated,
    x_and_outputs,
)
from workshop.generative_models.models.vae.posteriors import DiagonalNormalPosterior
from workshop.generative_models.models.vae.priors import USUAL_PRIORS, StandardNormalPrior

_UNKNOWN_EVENT = (1024,)
"""Assumed shape of an example if networks of one's own do not tell it."""


class VAE(LatentVariableModel, Pretrained):
    """A variational autoencoder.

    The loss is minus the evidence lower bound, in nats per example,

        L = -E_q(z|x)[log p(x|z)] + β KL(q(z|x) ‖ p(z)),

    log p(x|z) summed over features, the KL over latents, and both averaged over the batch. Large
    batches are encoded and decoded in chunks; see `models.vae.chunks`.

    Args:
        encoder: module x -> (mean, log_var), or a dict of the features that the posterior reads,
            such as "mean" and "log_var"; or a `VAEConfig` in place of encoder, decoder and
            latent_dim.
        decoder: module z -> the unsquashed parameters of p(x|z), in the shape of x; under
            "categorical" with one more axis of `levels` logits, for which a decoder of this package
            is copied with a new last layer.
        latent_dim: size of z.
        rngs: for sampling, when a method is given none.
        kl_weight: β.
        precision: precision of the matrix products of every layer.
        likelihood: log p(x|z) by name: "mse" (sum of squares), "bce" (from logits), "gaussian",
            "laplace", "continuous_bernoulli", and, for data of a few values such as bytes,
            "discretized_logistic", "categorical"; or a `Likelihood` of your own, which has its own
            scale and levels, and the decoder's output activation as its link.
        scale: of a gaussian, laplace or discretized_logistic likelihood: a number, "learned", or,
            but for the last, "per_feature" or "optimal".
        levels: how many values k / (levels - 1) the data can have, under discretized_logistic and
            categorical.
        free_bits: nats that each latent may use before its KL is penalised.
        kl_schedule: how the weight of the KL rises from 0: "constant" (it does not), "linear",
            "sigmoid" or "cyclical"; see `core.schedules.annealed`.
        kl_schedule_steps: training steps in which it rises.
        dtype: type that every layer computes in; parameters and losses stay float32.
        standardize: under gaussian or laplace, let the networks work in standard deviations of each
            feature of the training data, which `Trainer.fit` fills in (`initialize`, in a loop of
            your own). All inputs and outputs, and the density, stay in the data's own units. The
            decoder's output activation must be the identity.
        prior: p(z): a configuration, or a `Prior`; None is N(0, I), or the usual prior of the
            posterior's space: uniform on the sphere, a wrapped normal on the ball.
        posterior: q(z|x): a configuration, or a `Posterior`; None is a diagonal Gaussian.
        objective: the loss: a configuration, or an `Objective`; None is the ELBO, with kl_weight,
            free_bits and the KL's schedule.

    Attributes:
        encoder, decoder, latent_dim, kl_weight: as given, or as the configuration says.
        posterior: q(z|x), from the encoder's features.
        prior: p(z).
        likelihood: p(x|z), from the decoder's output.
        objective: the loss, from the terms of the bound.
        config: what it was built from; None if it was from modules, or has a component that no
            configuration describes.

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014; Rezende, Mohamed & Wierstra,
        Stochastic Backpropagation, ICML 2014.

    Examples:
        >>> from workshop.generative_models.models.vae.encoders import MLPEncoder
        >>> from workshop.generative_models.models.vae.decoders import MLPDecoder
        >>> rngs = nnx.Rngs(0)
        >>> vae = VAE(MLPEncoder([32], 4, "relu", (16,), rngs=rngs),
        ...           MLPDecoder([32], (16,), 4, rngs=rngs), 4, rngs=rngs)
        >>> x = jnp.ones((8, 16))
        >>> losses = vae.loss_fn(x=x, outputs=vae(x))
        >>> bool(losses["total_loss"] == losses["reconstruction_loss"] + losses["kl_loss"])
        True
    """

    config_class: type[AutoencoderConfig] = VAEConfig
    components: tuple[str, ...] = ("likelihood", "posterior", "prior", "objective")
    """Attributes that a saved configuration must describe for the model to be rebuilt from it."""
    weight_argument: str = "kl_weight"
    """The constructor's argument that `kl_weight` is."""
    kept_apart: tuple[str, ...] = ()
    """Attributes that are saved in a file of their own, not with the model's weights."""
    flat: bool = True
    """Whether latents are one vector with one q(z|x) and one p(z)."""
    has_codes: bool = False
    """Whether latents are codes of a codebook."""
    conditional: bool = False
    """Whether the networks read a class or another condition besides the data."""
    reads_classes: bool = False
    """Whether the condition is a class."""
    num_classes: int | None = None
    """Number of classes that samples can be asked for; None if there are none."""
    code_prior: Any = None
    """The prior over codes, a `CodePrior`; None if there is none."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_old_hooks(cls)

    @classmethod
    def explicit_arguments(cls, config: AutoencoderConfig, rngs: nnx.Rngs | None) -> dict[str, Any]:
        """Return the constructor's arguments that a configuration stands for."""
        if rngs is None:
            raise ValueError(
                f"{cls.__name__}(config, rngs=None): pass rngs for the initial weights"
            )
        return arguments_of(config) | {
            "latent_dim": config.encoder.latent_dim,
            "encoder": create_encoder(config.encoder, config.encoder_type, rngs=rngs),
            "decoder": create_decoder(config.decoder, config.encoder_type, rngs=rngs),
        }

    @accepts_config
    def __init__(
        self,
        encoder: nnx.Module,
        decoder: nnx.Module,
        latent_dim: int,
        *,
        rngs: nnx.Rngs | None,
        kl_weight: float = 1.0,
        precision: Precision = None,
        likelihood: str | Likelihood = "mse",
        scale: Scale = 1.0,
        levels: int = 256,
        free_bits: float = 0.0,
        kl_schedule: str = "constant",
        kl_schedule_steps: int = 0,
        dtype: DTypeLike | None = None,
        standardize: bool = False,
        prior: AnyPrior = None,
        posterior: AnyPosterior = None,
        objective: AnyObjective = None,
    ):
        self.config: AutoencoderConfig | None = None
        self.latent_dim = checks.positive_int("latent_dim", latent_dim)
        check_latent_dims(encoder, decoder, latent_dim)
        self.precision, self.dtype = precision, dtype
        self.encoder = encoder
        self.likelihood = likelihood_for(
            likelihood, encoder, decoder, scale=scale, levels=levels, standardize=standardize
        )
        self.decoder = fit_parameters(decoder, self.likelihood.parameters_per_value, rngs)
        own = ELBO(kl_weight, kl_schedule, kl_schedule_steps, free_bits)
        if objective is not None:
            refuse_elbo_options(own)
        self.objective: Any = own
        if objective is not None:
            sizes = {"latent_dim": latent_dim, "event_shape": self.event_shape, "rngs": rngs}
            self.objective = created("objective", objective, **sizes)
            constrain = getattr(self.objective, "constrained", None)
            self.decoder = self.decoder if constrain is None else constrain(self.decoder)
        self._make_latents(prior, posterior, rngs)
        self.rngs = nnx.data(rngs)
        set_numerics(self, dtype=self.dtype, precision=self.precision)

    def _make_latents(
        self, prior: AnyPrior, posterior: AnyPosterior, rngs: nnx.Rngs | None
    ) -> None:
        """Set the posterior and the prior, and give the encoder the outputs that it needs."""
        self.posterior: Any = DiagonalNormalPosterior()
        if posterior is not None:
            self.posterior = created("posterior", posterior, latent_dim=self.latent_dim, rngs=rngs)
        usual: Any = USUAL_PRIORS.get(
            getattr(self.posterior, "support", "real"), StandardNormalPrior
        )
        self.prior: Any = usual(self.latent_dim)
        if prior is not None:
            check_classes(self, prior)
            sizes = {"event_shape": self.event_shape, "num_classes": self.num_classes}
            self.prior = created("prior", prior, latent_dim=self.latent_dim, rngs=rngs, **sizes)
        check_components(self.posterior, self.prior, self.objective)
        self.encoder = fit_features(self.encoder, self.posterior.features(self.latent_dim), rngs)

    # What the model can do.

    @property
    def has_density(self) -> bool:
        """Whether q(z|x) has a density, so that there is a bound on log p(x)."""
        return getattr(self.posterior, "has_density", True)

    @property
    def kl_weight(self) -> float:
        """β, the weight of the KL in the objective; an error if the objective has none."""
        return self._with_weight("kl_weight").weight

    @kl_weight.setter
    def kl_weight(self, weight: float) -> None:
        changed = self._with_weight(f"kl_weight={weight!r}")
        changed.weight = checks.at_least("kl_weight", weight, 0.0)
        if self.config is None:
            return
        given = getattr(self.config, "objective", None)
        changes = {self.weight_argument: weight}
        if given is not None:
            changes = {"objective": dict(given) | {"weight": weight}}
        self.config = restated(self.config, changes)

    def _with_weight(self, asked: str) -> ELBO:
        if isinstance(self.objective, ELBO):
            return self.objective
        raise AttributeError(
            f"{asked}: the objective {type(self.objective).__name__} has no weight of the KL; its "
            "own options are attributes of model.objective"
        )

    @property
    def kinds(self) -> dict[str, str]:
        """The kinds of the posterior, the prior and the objective; of one's own, the class."""
        names = [name for name in self.components if name in ("posterior", "prior", "objective")]
        return {name: kind_of(name, getattr(self, name)) for name in names}

    @property
    def metrics(self) -> Mapping[str, Metric]:  # type: ignore[override]
        """Descriptions of the objective's own metrics."""
        return getattr(self.objective, "metrics", NONE)

    def critic_optimizer(self) -> optax.GradientTransformation | None:
        """Return the objective's optimizer of its critic; None: that of the trainer."""
        make = getattr(self.objective, "critic_optimizer", None)
        return None if make is None else make()

    def update_statistics(self, statistics: Any) -> None:
        """Fold a batch's `losses["statistics"]` into the state of the objective."""
        self.objective.update_statistics(statistics)

    @property
    def standardize(self) -> bool:
        """Whether the networks work in standard deviations of the training data."""
        return getattr(self.likelihood, "units", None) is not None

    def initialize(self, moments: Moments) -> None:
        """Start the decoder at the data's mean, and learned scales at its spread.

        With `standardize` both are its units. The log names features far from unit scale. A prior
        that depends on the training data is set as well.
        """
        if self.likelihood.support == "real" and not self.standardize:
            warn_of_scale(moments)
        self.likelihood.initialize(moments)
        start_prior = getattr(self.prior, "initialize", None)
        if start_prior is not None:
            start_prior(moments)
        if isinstance(self.decoder, Decoder | ConditionalDecoder):
            self.decoder.start_at(moments.mean, self.likelihood.initial_output)

    # From data to latents and back.

    def encode(
        self, x: ArrayLike, *, rngs: nnx.Rngs | None = None, **condition: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Return mean and log-variance of q(z|x), each (batch, latent_dim).

        A posterior without a log-variance has zeros in its place.

        Args:
            x: (batch, *event), or one example; bytes (uint8) are scaled by 1/255.
            rngs: passed to an encoder that is random.
            condition: of a conditional model, the labels `y`.

        Raises:
            ValueError: if x does not fit the model, or the encoder's output has another format.
        """

        def mean_and_log_var(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            return self.mean_and_log_var(self.features(x, rngs=rngs, **condition))

        return self._on_batch(x, mean_and_log_var)

    def features(
        self, x: jax.Array, *, rngs: nnx.Rngs | None = None, **condition: Any
    ) -> dict[str, jax.Array]:
        """Return the features that `posterior` makes q(z|x) of, in float32.

        They are those of a batch (batch, *event), as `as_batch` returns it.
        """

        def rows(x: jax.Array, condition: dict[str, Any]) -> dict[str, jax.Array]:
            output = call(self.encoder, self.likelihood.standardized(x), rngs=rngs, **condition)
            return read_features(output, self._feature_names)

        size = self._chunk_size(x.shape[1:])
        condition = self._network_condition(condition)
        return in_chunks(rows, x, condition, size=size, networks=(self.encoder,))

    @property
    def _feature_names(self) -> tuple[str, ...]:
        return tuple(self.posterior.features(self.latent_dim))

    def _network_condition(self, condition: dict[str, Any]) -> dict[str, Any]:
        """Return a condition as the networks' keyword arguments."""
        return condition

    def _chunk_size(self, event: tuple[int, ...] | None = None) -> int:
        """Return how many rows a call handles at once, given the shape of an example if known."""
        event = event or self.event_shape or _UNKNOWN_EVENT
        return chunk_size(self.latent_shape, (*event, self.likelihood.parameters_per_value))

    def q_z(self, x: ArrayLike, *, rngs: nnx.Rngs | None = None, **condition: Any) -> Distribution:
        """Return q(z|x) of a batch (batch, *event)."""
        x, _ = self.as_batch(x)
        return self.q_of(self.features(x, rngs=rngs, **condition), condition, x)

    def q_of(
        self, features: dict[str, jax.Array], condition: dict[str, Any], x: ArrayLike | None = None
    ) -> Distribution:
        """Return q(z|x) of a batch, given its features.

        A posterior that moves samples by the gradient of log p(x, z) needs x; without, it has no
        samples. The networks are then in evaluation mode in that gradient.
        """
        if x is None or not getattr(self.posterior, "reads_joint", False):
            return self.posterior(features)
        batch, _ = self.as_batch(x)
        model = in_evaluation_mode(self) if in_training(self) else self
        return self.posterior(features, lambda z: model.log_joint(batch, z, **condition))

    def log_joint(self, x: jax.Array, z: jax.Array, **condition: Any) -> jax.Array:
        """Return log p(x, z) of examples (batch, *event) and latents (..., batch, latent_dim)."""
        rows = z.reshape(-1, z.shape[-1])
        times = len(rows) // len(x)
        given = repeated(self._network_condition(condition), len(x), times)
        found = self._log_given(repeated(x, len(x), times), rows, None, given)
        return found.reshape(z.shape[:-1]) + self.log_prior(z, **condition)

    def mean_and_log_var(self, features: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Return the mean of q(z|x) given its features, and its log-variance, or zeros."""
        q = self.posterior(features)
        return q.mean, getattr(q, "log_var", jnp.zeros_like(q.mean))

    def p_z(self, **condition: Any) -> Distribution:
        """Return p(z), or p(z|y) of a prior that reads the labels `y`."""
        return self.prior(self, condition)

    def reparameterize(
        self, mean: jax.Array, log_var: jax.Array, *, rngs: nnx.Rngs | None = None
    ) -> jax.Array:
        """Sample z = μ + σ ⊙ ε, ε ~ N(0, I); log-variance is clipped to [-20, 20].

        Args:
            mean: (batch, latent_dim).
            log_var: likewise.
            rngs: source of ε; the model's own if None.
        """
        return reparameterize(mean, log_var, sample_key(rngs, self.rngs))

    def infer(
        self,
        features: dict[str, jax.Array],
        condition: dict[str, Any],
        *,
        x: jax.Array | None = None,
        samples: int = 1,
        deterministic: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Inference:
        """Return K samples of latents, with q and p; other latent structures override this.

        Args:
            features: as `features` returns them.
            condition: of a conditional model, {"y": labels}; else empty.
            x: the examples, which some posteriors need for a sample; see `q_of`.
            samples: K.
            deterministic: take the mean of q(z|x) instead of a sample, without its density.
            rngs: source of the samples; the model's own if None.
        """
        q = self.q_of(features, condition, None if deterministic else x)
        log_q = None
        if deterministic or not q.has_density:
            z = jnp.broadcast_to(q.mean, (samples, *q.mean.shape))
        else:
            z, log_q = q.sample_and_log_prob(sample_key(rngs, self.rngs), (samples,))
        return self.inferred(q, z, log_q, condition)

    def inferred(
        self, q: Distribution, z: jax.Array, log_q: jax.Array | None, condition: dict[str, Any]
    ) -> Inference:
        """Return samples z (K, batch, latent_dim) of q(z|x), and log q of them, with the prior."""
        weigh = getattr(self.objective, "weighs_latents", False)
        return Inference.flat(q, self.p_z(**condition), z, log_q, weigh=weigh)

    def _inference_of(self, outputs: dict[str, Any], condition: dict[str, Any]) -> Inference:
        """Return the latents of a batch from what `model(x)` returned."""
        features = {n: read(outputs, n, ALIASES.get(n, n)) for n in self._feature_names}
        q = self.posterior(features)
        if "z" not in outputs:  # enough for a KL in closed form
            return self.inferred(q, q.mean[None], None, condition)
        z = outputs["z"][None]
        if "log_q" in outputs:
            log_q = jnp.reshape(outputs["log_q"], z.shape[:2])
            return self.inferred(q, z, log_q, condition)
        return self.inferred(q, z, q.log_prob(z) if q.has_density else None, condition)

    def _encoded(
        self, x: jax.Array, rngs: nnx.Rngs | None, condition: dict[str, Any], deterministic: bool
    ) -> jax.Array:
        features = self.features(x, rngs=rngs, **condition)
        options = {"deterministic": deterministic, "rngs": rngs}
        return self.infer(features, condition, x=x, **options).z[0]

    def _drawn_latents(
        self, n: int, temperature: ArrayLike, rngs: nnx.Rngs | None, condition: dict[str, Any]
    ) -> jax.Array:
        p = self.p_z(**condition)
        shape = () if p.batch_shape else (n,)
        return p.sample(sample_key(rngs, self.rngs), shape, temperature=temperature)

    def _decoder_output(
        self, z: jax.Array, rngs: nnx.Rngs | None, condition: dict[str, Any]
    ) -> jax.Array:
        """Return the decoder's output before its activation, given the networks' condition."""
        output = call(self.decoder, z, rngs=rngs, **condition)
        check_decoder_output(output, self.event_shape, self.likelihood.parameters_per_value)
        return output.astype(jnp.float32)

    def decode(self, z: ArrayLike, *, rngs: nnx.Rngs | None = None, **condition: Any) -> jax.Array:
        """Return reconstructions E[x|z], (batch, *event).

        Args:
            z: (batch, latent_dim), or (latent_dim,) of one example.
            rngs: passed to a decoder that is random.
            condition: of a conditional model, the labels `y`.
        """
        z = jnp.asarray(read_latents("z", z))
        single = z.shape == self.latent_shape
        reconstructed = self._observed(z[None] if single else z, rngs, condition)
        return reconstructed[0] if single else reconstructed

    def _observed(
        self,
        z: jax.Array,
        rngs: nnx.Rngs | None,
        condition: dict[str, Any],
        keys: jax.Array | None = None,
    ) -> jax.Array:
        """Return E[x|z], or a draw from p(x|z) with the key of each row: (batch, *event)."""
        likelihood = self.likelihood

        def one(parameter: jax.Array, key: jax.Array) -> jax.Array:
            return likelihood.sample(parameter[None], key)[0]

        def rows(z: jax.Array, keys: jax.Array | None, condition: dict[str, Any]) -> jax.Array:
            output = self._decoder_output(z, rngs, condition)
            if keys is None:
                return likelihood.mean(output)
            check_draws(likelihood)
            parameter = output if likelihood.parameter == "logits" else likelihood.mean(output)
            return jax.vmap(one)(parameter, keys)

        condition = self._network_condition(condition)
        return in_chunks(
            rows, z, keys, condition, size=self._chunk_size(), networks=(self.decoder,)
        )

    def __call__(
        self,
        x: ArrayLike,
        *,
        deterministic: bool = False,
        rngs: nnx.Rngs | None = None,
        **condition: Any,
    ) -> dict[str, Any]:
        """Encode, sample, decode; the arguments are those of `reconstruct`.

        Returns:
            The keys of `Outputs`, and further features of the posterior; "log_q", log q(z|x) of
            each row, if a posterior's density is known of its own samples and costly elsewhere.
        """
        deterministic = checks.flag("deterministic", deterministic)

        def outputs(x: jax.Array) -> dict[str, Any]:
            return self._forward(x, condition, deterministic=deterministic, rngs=rngs)[1]

        return self._on_batch(x, outputs)

    def _forward(
        self,
        x: jax.Array,
        condition: dict[str, Any],
        *,
        samples: int = 1,
        deterministic: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> tuple[Inference, dict[str, Any]]:
        """Return the latents of a batch, and the outputs, of which the decoder's have K·B rows."""
        features = self.features(x, rngs=rngs, **condition)
        inference = self.infer(
            features, condition, x=x, samples=samples, deterministic=deterministic, rngs=rngs
        )
        z = inference.z.reshape(-1, *inference.z.shape[2:])
        condition = repeated(self._network_condition(condition), len(x), samples)
        logits = self._decoder_output(z, rngs, condition)
        reconstructed = self.likelihood.mean(logits)
        log_var = features.get("log_var", jnp.zeros_like(features["mean"]))
        outputs: Outputs = {
            "reconstructed": reconstructed,
            "reconstruction": reconstructed,
            "mean": features["mean"],
            "log_var": log_var,
            "logvar": log_var,
            "z": z,
            "logits": logits,
        }
        further = {n: f for n, f in features.items() if n not in outputs}
        return inference, {**outputs, **further, **inference.outputs}

    # The loss.

    def loss_fn(
        self,
        params: Any = None,
        batch: Any = None,
        rng: jax.Array | None = None,
        x: ArrayLike | None = None,
        outputs: dict[str, Any] | None = None,
        beta: ArrayLike | None = None,
        reconstruction_loss_fn: Callable[[jax.Array, jax.Array], jax.Array] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the losses of a batch, in nats per example.

        `loss_fn(params, batch, rng)` is a pure function of its arguments. `loss_fn(x, outputs)`
        also works: an array in the first place is x.

        Args:
            params: parameters to use in place of the model's own: `nnx.state(model, nnx.Param)`, or
                its pure dict.
            batch: an array x, or a dict with the key "x" (and "y" for a conditional model).
            rng: random key of the forward pass; the model's own streams if None.
            x: data, if not in batch.
            outputs: what `model(x)` returned; run here if None.
            beta: weight of the KL in place of the model's own.
            reconstruction_loss_fn: `f(predictions, targets)` in place of the likelihood, giving a
                scalar, a value per example, or an array that is summed over features.
            kwargs: `step`, the training step (None is after every warm-up); `num_examples`, the
                size of the training set, for objectives that need it; `kl_per_dimension=True` for
                the KL of each latent; `y`, the labels of a conditional model; `rngs`, streams in
                place of a key.

        Returns:
            The keys of `Losses`, and what else the objective returns. Without a density of q(z|x)
            there is no kl_loss and no elbo.

        Raises:
            ValueError: for data that does not fit the model, outputs of another kind of model, or
                what the objective needs and was not given.
        """
        if isinstance(params, jax.Array | np.ndarray):
            params, batch, x, outputs = x_and_outputs(params, batch, x, outputs)
        if params is not None:
            kwargs |= {"batch": batch, "rng": rng, "x": x, "outputs": outputs, "beta": beta}
            model = self.with_params(params)
            return model.loss_fn(reconstruction_loss_fn=reconstruction_loss_fn, **kwargs)
        checks.refuse_keywords(self.loss_fn, kwargs, LOSS_OPTIONS)
        x, condition = self.read_batch(batch, x, kwargs)
        x, single = self.as_batch(x)
        check_finite("x", x)  # before anything that is computed from it is
        samples = getattr(self.objective, "samples", 1)
        if outputs is None:
            rngs = kwargs.get("rngs") if rng is None else nnx.Rngs(rng)
            inference, outputs = self._forward(x, condition, samples=samples, rngs=rngs)
        elif samples > 1:
            raise ValueError(
                f"outputs hold one sample of z, and {type(self.objective).__name__} needs "
                f"{samples}: leave outputs out"
            )
        else:
            if single:
                outputs = {k: a[None] if getattr(a, "ndim", 0) else a for k, a in outputs.items()}
            inference = self._inference_of(outputs, condition)
        found = log_likelihoods(self, x, outputs, samples, reconstruction_loss_fn)
        terms = BoundTerms(x, found, inference, outputs, condition)
        context = LossContext(kwargs.get("step"), rng, kwargs.get("num_examples"), beta)
        made = self.objective(self, terms, context)
        if beta is not None and not (context.beta_was_read or self.has_codes):
            raise ValueError(
                f"beta={beta!r}: the objective {type(self.objective).__name__} reads no weight of "
                "the KL: leave beta out"
            )
        losses = named_losses(terms, made, has_density=self.has_density)
        if kwargs.get("kl_per_dimension"):
            losses["kl_per_dimension"] = inference.kl().mean(0)
        return losses

    def kl_per_dimension(self, outputs: dict[str, Any], **condition: Any) -> jax.Array:
        """Return the batch's mean KL of each latent, (latent_dim,), in nats, from `model(x)`."""
        return self.kl_per_example(outputs, **condition).mean(0)

    def kl_per_example(self, outputs: dict[str, Any], **condition: Any) -> jax.Array:
        """Return the KL of each latent of each example, (batch, latent_dim), from `model(x)`.

        Where the KL is not a sum over latents it is (batch,).
        """
        return self._inference_of(outputs, condition).kl()

    def log_prior(self, z: ArrayLike, **condition: Any) -> jax.Array:
        """Return log p(z) of latents (batch, latent_dim), (batch,), in nats."""
        return self.p_z(**condition).log_prob(z)

    def conditional_log_prob(
        self, x: ArrayLike, z: jax.Array, *, rngs: nnx.Rngs | None = None, **condition: Any
    ) -> jax.Array:
        """Return log p(x|z) of examples (batch, *event) given latents (batch, latent_dim)."""
        x, _ = self.as_batch(x)
        return self._log_given(x, z, rngs, self._network_condition(condition))

    def _log_given(
        self, x: jax.Array, z: jax.Array, rngs: nnx.Rngs | None, condition: dict[str, Any]
    ) -> jax.Array:
        """Return log p(x|z), (batch,), given the networks' condition."""
        logits = self._decoder_output(z, rngs, condition)
        outputs = {"logits": logits, "reconstructed": self.likelihood.mean(logits)}
        return self.log_likelihood(x, outputs)

    def log_likelihood(self, x: jax.Array, outputs: dict[str, Any]) -> jax.Array:
        """Return log p(x|z) of each example, (batch,), in nats, from the outputs of `model(x)`."""
        parameter = outputs.get(self.likelihood.parameter)
        if parameter is None:
            parameter = read(outputs, "reconstructed", "reconstruction")
            if self.likelihood.parameter == "logits":
                parameter = self.likelihood.logits(parameter)
        several = self.likelihood.parameters_per_value
        if parameter.shape != (x.shape if several == 1 else (*x.shape, several)):
            raise ValueError(
                f"outputs have shape {parameter.shape} and x has shape {x.shape}: they must agree"
            )
        self.check_data(x)
        return self.likelihood.log_prob(parameter, x)
