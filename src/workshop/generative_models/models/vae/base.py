"""The variational autoencoder: its independent pieces, put together once."""

from collections.abc import Callable
from typing import Any, TypedDict, cast, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import check_finite, read_latents
from workshop.generative_models.core.building import accepts_config, arguments_of
from workshop.generative_models.core.configuration import AutoencoderConfig, Scale, VAEConfig
from workshop.generative_models.core.gaussian import (
    kl_to_standard_normal,
    log_density,
    reparameterize,
)
from workshop.generative_models.core.keys import sample_key
from workshop.generative_models.core.likelihood_base import check_draws, identity
from workshop.generative_models.core.likelihoods import Likelihood, create_likelihood
from workshop.generative_models.core.modules import call, set_numerics
from workshop.generative_models.core.moments import Moments
from workshop.generative_models.core.schedules import ScheduleName, annealed
from workshop.generative_models.core.typing import DTypeLike, Losses, Outputs, Precision
from workshop.generative_models.models.pretrained import Pretrained
from workshop.generative_models.models.vae.chunks import chunk_size, in_chunks
from workshop.generative_models.models.vae.decoders import (
    ConditionalDecoder,
    Decoder,
    create_decoder,
    fit_parameters,
)
from workshop.generative_models.models.vae.encoders import create_encoder
from workshop.generative_models.models.vae.latent_space import LatentSpaceModel
from workshop.generative_models.models.vae.scaling import warn_of_scale

UNKNOWN_EVENT = (1024,)
"""Assumed shape of an example where networks of one's own do not tell it."""
LOSS_OPTIONS = ("step", "num_examples", "kl_per_dimension", "y", "rngs")
"""What `loss_fn` reads of its further arguments."""


class Options(TypedDict, total=False):
    """Keyword arguments that variants pass on to `VAE`."""

    precision: Precision
    scale: Scale
    levels: int
    standardize: bool
    free_bits: float
    kl_schedule: str
    kl_schedule_steps: int
    dtype: DTypeLike | None


class VAE(LatentSpaceModel, Pretrained):
    r"""A variational autoencoder.

    The loss is minus the evidence lower bound, in nats per example,

        L = -E_q(z|x)[log p(x|z)] + β KL(q(z|x) ‖ p(z)),

    log p(x|z) summed over features, the KL over latents, and both averaged over the batch.

    Variants change one piece: how latents come about (`latents`), the KL's weight
    (`kl_coefficient`), or what the terms add up to (`objective`).

    Args:
        encoder: module x -> (mean, log_var), or a dict with the keys "mean" and "log_var"; or a
            `VAEConfig` in place of encoder, decoder and latent_dim.
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
            scale and levels, the decoder's output activation as its link, and which no
            configuration can say.
        scale: of a gaussian, laplace or discretized_logistic likelihood: a number, "learned", or,
            but for the last, "per_feature" or "optimal".
        levels: how many values k / (levels - 1) the data can have, under discretized_logistic and
            categorical.
        free_bits: nats that each latent may use before its KL is penalised.
        kl_schedule: how the KL's weight rises from 0: "constant" (it doesn't), "linear", "sigmoid"
            or "cyclical"; see `core.schedules.annealed`.
        kl_schedule_steps: training steps that it rises in.
        dtype: type that every layer computes in; parameters and losses stay float32.
        standardize: under gaussian or laplace, let the networks work in standard deviations of each
            feature of the training data, which `Trainer.fit` fills in (`initialize`, in a loop of
            your own). All inputs and outputs, and the density, stay in the data's own units. The
            decoder's output activation must be the identity.

    Attributes:
        encoder: as given, or built from the configuration.
        decoder: likewise.
        latent_dim: size of z.
        kl_weight: β.
        config: what it was built from; None if it was from modules.

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
    ):
        self.config: AutoencoderConfig | None = None
        self.latent_dim = checks.positive_int("latent_dim", latent_dim)
        check_latent_dims(encoder, decoder, latent_dim)
        self.kl_weight = checks.at_least("kl_weight", kl_weight, 0.0)
        self.free_bits = checks.at_least("free_bits", free_bits, 0.0)
        self.kl_schedule = checks.one_of("kl_schedule", kl_schedule, get_args(ScheduleName))
        if (kl_schedule != "constant") != (kl_schedule_steps > 0):
            raise ValueError(
                f"kl_schedule={kl_schedule!r} with kl_schedule_steps={kl_schedule_steps}: "
                "set both, or neither"
            )
        self.kl_schedule_steps = int(checks.at_least("kl_schedule_steps", kl_schedule_steps, 0))
        self.precision, self.dtype = precision, dtype
        self.encoder = encoder
        if isinstance(likelihood, Likelihood):
            kind = f"a {type(likelihood).__name__} of your own"
            own = (("scale", scale, 1.0), ("levels", levels, 256),
                   ("standardize", standardize, False))  # fmt: skip
            for name, given, default in own:
                if given != default:
                    raise ValueError(f"{name}={given!r} beside {kind}, which has its own")
            activation = getattr(decoder, "output_activation", None)
            if activation is not None and getattr(likelihood, "link", activation) is not activation:
                raise ValueError(
                    f"{kind} has another link than the decoder's output_activation: give it that "
                    f"one, or build the decoder with output_activation='identity'"
                )
            self.likelihood = likelihood
        else:
            link = getattr(decoder, "output_activation", identity)
            if standardize and link is not identity:
                raise ValueError(
                    "standardize=True with an output_activation: standardised data has no bounds, "
                    "so build the decoder with output_activation='identity'"
                )
            self.likelihood = create_likelihood(
                likelihood,
                scale=scale,
                link=link,
                levels=levels,
                event_shape=getattr(decoder, "output_shape", getattr(encoder, "input_dim", None)),
                standardize=standardize,
            )
        self.decoder = fit_parameters(decoder, self.likelihood.parameters_per_value, rngs)
        self.rngs = nnx.data(rngs)
        set_numerics(self, dtype=self.dtype, precision=self.precision)

    @property
    def standardize(self) -> bool:
        """Whether the networks work in standard deviations of the training data."""
        return getattr(self.likelihood, "units", None) is not None

    def initialize(self, moments: Moments) -> None:
        """Start the decoder at the data's mean, and learned scales at its spread.

        With `standardize` the mean and spread that it counts in are filled in. The log says which
        features are too far from unit scale to be trained on as they are.
        """
        if self.likelihood.support == "real" and not self.standardize:
            warn_of_scale(moments)
        self.likelihood.initialize(moments)
        if isinstance(self.decoder, Decoder | ConditionalDecoder):
            self.decoder.start_at(moments.mean, self.likelihood.initial_output)

    # From data to latents and back.

    def encode(
        self, x: ArrayLike, *, rngs: nnx.Rngs | None = None, **condition: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Return mean and log-variance of q(z|x), each (batch, latent_dim).

        Large batches are computed in chunks; see `models.vae.chunks`.

        Args:
            x: (batch, *event), or one example of shape event; bytes (uint8) are scaled by 1/255.
            rngs: passed to an encoder that is random.
            condition: of a conditional model, the labels `y`.

        Raises:
            ValueError: if x does not fit the model, or the encoder's output has another format.
        """
        x, single = self.as_batch(x)
        mean, log_var = in_chunks(
            lambda x, condition: self._encoder_output(x, rngs, condition),
            x,
            size=self._chunk_size(x.shape[1:]),
            shared=condition,
            networks=(self.encoder,),
        )
        return (mean[0], log_var[0]) if single else (mean, log_var)

    def _encoder_output(
        self, x: jax.Array, rngs: nnx.Rngs | None, condition: dict[str, Any]
    ) -> tuple[jax.Array, jax.Array]:
        """Return mean and log-variance of q(z|x) of a batch, in float32."""
        output = call(self.encoder, self.likelihood.standardized(x), rngs=rngs, **condition)
        if isinstance(output, dict):
            # The one place where two spellings are read: they are the aliases of the outputs.
            log_var = output.get("log_var", output.get("logvar"))
            if "mean" in output and log_var is not None:
                output = (output["mean"], log_var)
        if not (isinstance(output, tuple) and len(output) == 2):
            found = sorted(output) if isinstance(output, dict) else type(output).__name__
            raise ValueError(
                "invalid encoder output format: expected a tuple (mean, log_var) or a dict with "
                f"the keys 'mean' and 'log_var', got {found}"
            )
        mean, log_var = (jnp.asarray(a, jnp.float32) for a in output)
        if mean.shape != log_var.shape:
            raise ValueError(
                f"invalid encoder output format: mean has shape {mean.shape} and log_var "
                f"{log_var.shape}; they must agree"
            )
        return mean, log_var

    def _chunk_size(self, event: tuple[int, ...] | None = None) -> int:
        """Return how many rows a call handles at once, given the shape of an example if known."""
        event = event or self.event_shape or UNKNOWN_EVENT
        return chunk_size(self.latent_shape, (*event, self.likelihood.parameters_per_value))

    def reparameterize(
        self, mean: jax.Array, log_var: jax.Array, *, rngs: nnx.Rngs | None = None
    ) -> jax.Array:
        """Sample z = μ + σ ⊙ ε, ε ~ N(0, I); log-variance is clipped to [-20, 20].

        Args:
            mean: (batch, latent_dim).
            log_var: (batch, latent_dim).
            rngs: source of ε; the model's own if None.
        """
        return reparameterize(mean, log_var, sample_key(rngs, self.rngs))

    def latents(
        self,
        mean: jax.Array,
        log_var: jax.Array,
        *,
        deterministic: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> dict[str, Any]:
        """Return {"z": what the decoder reads} and whatever else the forward pass shall report.

        The latent rule, an override point: here a Gaussian sample, or its mean when deterministic.
        """
        z = (
            mean
            if checks.flag("deterministic", deterministic)
            else self.reparameterize(mean, log_var, rngs=rngs)
        )
        return {"z": z}

    def _decoder_output(
        self, z: jax.Array, rngs: nnx.Rngs | None, condition: dict[str, Any]
    ) -> jax.Array:
        """Return the decoder's output (batch, *event), before its activation, in float32.

        With several parameters a value, it has one more axis of them.
        """
        output = call(self.decoder, z, rngs=rngs, **condition)
        if not isinstance(output, jax.Array):
            raise ValueError(
                "invalid decoder output format: expected an array (batch, *event), got "
                f"{type(output).__name__}"
            )
        several = self.likelihood.parameters_per_value
        if several > 1:
            event = output.shape[1:-1] if self.event_shape is None else self.event_shape
            if output.shape[1:] != (*event, several):
                raise ValueError(
                    f"invalid decoder output format: it has shape {output.shape}, expected (batch, "
                    f"{', '.join(map(str, (*event, several)))}), {several} logits for each value "
                    "(levels)"
                )
        return output.astype(jnp.float32)

    def decode(self, z: ArrayLike, *, rngs: nnx.Rngs | None = None, **condition: Any) -> jax.Array:
        """Return reconstructions E[x|z], (batch, *event).

        Large batches are computed in chunks; see `models.vae.chunks`.

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

        def rows(z: jax.Array, keys: jax.Array | None, condition: dict[str, Any]) -> jax.Array:
            output = self._decoder_output(z, rngs, condition)
            return self.likelihood.mean(output) if keys is None else self._drawn(output, keys)

        return in_chunks(
            rows,
            z,
            keys,
            size=self._chunk_size(),
            shared=condition,
            networks=(self.decoder,),
        )

    def _drawn(self, output: jax.Array, keys: jax.Array) -> jax.Array:
        """Draw x ~ p(x|z) of each row of the decoder's output, with a key of its own."""
        likelihood = self.likelihood
        check_draws(likelihood)
        parameter = output if likelihood.parameter == "logits" else likelihood.mean(output)

        def one(parameter: jax.Array, key: jax.Array) -> jax.Array:
            return likelihood.sample(parameter[None], key)[0]

        return jax.vmap(one)(parameter, keys)

    def __call__(
        self,
        x: ArrayLike,
        *,
        deterministic: bool = False,
        rngs: nnx.Rngs | None = None,
        **condition: Any,
    ) -> dict[str, Any]:
        """Encode, sample, decode.

        Args:
            x: (batch, *event), or one example.
            deterministic: decode the mean of q(z|x) instead of a sample.
            rngs: source of the sample's noise; the model's own if None.
            condition: of a conditional model, the labels `y`.

        Returns:
            The keys of `Outputs`: reconstructed (reconstruction), logits, mean, log_var (logvar),
            z.
        """
        x, single = self.as_batch(x)
        mean, log_var = self.encode(x, rngs=rngs, **condition)
        latents = self.latents(mean, log_var, deterministic=deterministic, rngs=rngs)
        logits = self._decoder_output(latents["z"], rngs, condition)
        reconstructed = self.likelihood.mean(logits)
        outputs: Outputs = {
            "reconstructed": reconstructed,
            "reconstruction": reconstructed,
            "mean": mean,
            "log_var": log_var,
            "logvar": log_var,
            "z": latents.pop("z"),
            "logits": logits,
        }
        every = {**outputs, **latents}
        if single:
            return {k: a[0] if getattr(a, "ndim", 0) else a for k, a in every.items()}
        return every

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
                its pure dict; or an array x.
            batch: an array x, or a dict with the key "x" (and "y" for a conditional model); after
                an array x, what `model(x)` returned.
            rng: random key of the forward pass; the model's own streams if None.
            x: data, if not in batch.
            outputs: what `model(x)` returned; run here if None.
            beta: weight of the KL in place of the model's own.
            reconstruction_loss_fn: `f(predictions, targets)` in place of the likelihood, giving a
                scalar, a value per example, or an array that is summed over features.
            kwargs: `step`, the training step, for what changes with it (None is after every
                warm-up);
                `kl_per_dimension=True` for the KL of each latent; `y`, the labels of a conditional
                model; `rngs`, streams in place of a key.

        Returns:
            The keys of `Losses`: reconstruction_loss (recon_loss), kl_loss, total_loss (loss),
            elbo, beta.
        """
        if isinstance(params, jax.Array | np.ndarray):
            params, batch, x, outputs = _x_and_outputs(params, batch, x, outputs)
        if params is not None:
            return self.with_params(params).loss_fn(
                batch=batch,
                rng=rng,
                x=x,
                outputs=outputs,
                beta=beta,
                reconstruction_loss_fn=reconstruction_loss_fn,
                **kwargs,
            )
        checks.refuse_keywords(self.loss_fn, kwargs, LOSS_OPTIONS)
        x, condition = self.read_batch(batch, x, kwargs)
        x, single = self.as_batch(x)
        check_finite("x", x)  # before anything that is computed from it is
        if outputs is None:
            rngs = kwargs.get("rngs") if rng is None else nnx.Rngs(rng)
            outputs = self(x, rngs=rngs, **condition)
        elif single:
            outputs = {k: a[None] if getattr(a, "ndim", 0) else a for k, a in outputs.items()}
        if reconstruction_loss_fn is None:
            reconstruction = -self.log_likelihood(x, outputs)
        else:
            predictions = read(outputs, "reconstructed", "reconstruction")
            reconstruction = jnp.asarray(reconstruction_loss_fn(predictions, x))
            reconstruction = reconstruction.reshape(*reconstruction.shape[:1], -1).sum(-1)
        losses = self.objective(jnp.mean(reconstruction), outputs, beta, kwargs.get("step"))
        if kwargs.get("kl_per_dimension"):
            losses["kl_per_dimension"] = self.kl_per_dimension(outputs)
        return cast(dict[str, Any], losses)

    def objective(
        self,
        reconstruction_loss: jax.Array,
        outputs: dict[str, Any],
        beta: ArrayLike | None,
        step: ArrayLike | None,
    ) -> Losses:
        """Add the terms up to the losses; the override point of other objectives.

        Free bits replace each latent's KL by max(KL, λ) in the total (Kingma et al. 2016).
        """
        kl_dims = self.kl_per_dimension(outputs)
        kl = kl_dims.sum()
        penalised = jnp.maximum(kl_dims, self.free_bits).sum() if self.free_bits else kl
        weight = jnp.asarray(self.kl_coefficient(step) if beta is None else beta, jnp.float32)
        return self.losses(
            reconstruction_loss, kl, reconstruction_loss + weighted(weight, penalised), beta=weight
        )

    @staticmethod
    def losses(reconstruction: jax.Array, kl: jax.Array, total: jax.Array, **more: Any) -> Losses:
        """Return the losses under all the reference's keys."""
        named = {
            "reconstruction_loss": reconstruction,
            "recon_loss": reconstruction,
            "kl_loss": kl,
            "total_loss": total,
            "loss": total,
            "elbo": -(reconstruction + kl),
        }
        return cast(Losses, {**named, **more})

    def kl_coefficient(self, step: ArrayLike | None) -> ArrayLike:
        """Return the weight of the KL at a training step; None is after any warm-up."""
        return annealed(self.kl_schedule, self.kl_weight, self.kl_schedule_steps, step)

    def kl_per_dimension(self, outputs: dict[str, Any]) -> jax.Array:
        """Return the batch's mean KL of each latent, (latent_dim,), in nats."""
        return self.kl_per_example(outputs).mean(0)

    def kl_per_example(self, outputs: dict[str, Any]) -> jax.Array:
        """Return the KL of each latent of each example, (batch, latent_dim), in nats."""
        kl = kl_to_standard_normal(read(outputs, "mean"), read(outputs, "log_var", "logvar"))
        return kl.astype(jnp.float32)

    def log_prior(self, z: jax.Array) -> jax.Array:
        """Return log p(z) = log N(z; 0, I), (batch,), in nats.

        Args:
            z: (batch, latent_dim).
        """
        return log_density(z, jnp.zeros_like(z), jnp.zeros_like(z)).sum(-1)

    def conditional_log_prob(
        self, x: ArrayLike, z: jax.Array, *, rngs: nnx.Rngs | None = None, **condition: Any
    ) -> jax.Array:
        """Return log p(x|z) of each example, (batch,), in nats.

        Args:
            x: (batch, *event).
            z: (batch, latent_dim).
            rngs: passed to a decoder that is random.
            condition: of a conditional model, the labels `y`.
        """
        x, _ = self.as_batch(x)
        logits = self._decoder_output(z, rngs, condition)
        outputs = {"logits": logits, "reconstructed": self.likelihood.mean(logits)}
        return self.log_likelihood(x, outputs)

    def log_likelihood(self, x: jax.Array, outputs: dict[str, Any]) -> jax.Array:
        """Return log p(x|z) of each example, (batch,), in nats."""
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


def weighted(weight: ArrayLike, term: jax.Array) -> jax.Array:
    """Return a term of the loss times its weight; 0 at a weight of 0, even if it is infinite."""
    return jnp.where(jnp.equal(weight, 0), 0.0, weight * term)


def _x_and_outputs(first: Any, second: Any, x: Any, outputs: Any) -> tuple[None, None, Any, Any]:
    """Return the arguments of `loss_fn(x, outputs)` under their own names."""
    if x is not None or (second is not None and outputs is not None):
        raise ValueError(
            "loss_fn: x is given twice: pass loss_fn(x, outputs), loss_fn(params, batch, rng), or "
            "names such as loss_fn(x=x, outputs=outputs)"
        )
    outputs = second if outputs is None else outputs
    if outputs is not None and not isinstance(outputs, dict):
        raise ValueError(
            f"loss_fn(x, outputs): outputs is of type {type(outputs).__name__}, expected the dict "
            "that model(x) returns; with parameters of your own pass nnx.state(model, nnx.Param) "
            "first"
        )
    return None, None, first, outputs


def check_latent_dims(encoder: nnx.Module, decoder: nnx.Module, latent_dim: int) -> None:
    """Refuse networks that say they are of another latent size; maps have channels instead."""
    for name, network in (("encoder", encoder), ("decoder", decoder)):
        size = getattr(network, "latent_dim", None) or latent_dim
        if size != latent_dim and not getattr(network, "spatial", False):
            raise ValueError(f"{name}.latent_dim={size} and latent_dim={latent_dim} must agree")


def read(outputs: dict[str, Any], *names: str) -> jax.Array:
    """Return an output of a forward pass under the first of its names that is there."""
    for name in names:
        if name in outputs:
            return outputs[name]
    raise ValueError(f"outputs have the keys {sorted(outputs)}: expected {' or '.join(names)}")
