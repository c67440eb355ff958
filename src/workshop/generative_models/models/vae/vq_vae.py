"""VQ-VAE: latents that are codes from a codebook."""

import functools
import logging
from math import log, prod
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.base import accepts_config, sample_key
from workshop.generative_models.core.configuration import VQVAEConfig
from workshop.generative_models.core.quantizers import (
    code_counts,
    nearest_code,
    perplexity,
    straight_through,
)
from workshop.generative_models.core.typing import Losses
from workshop.generative_models.models.vae.base import VAE, Options, check_latent_dims, read
from workshop.generative_models.models.vae.decoders import CNNDecoder
from workshop.generative_models.models.vae.encoders import CNNEncoder
from workshop.generative_models.models.vae.latent_space import check_temperature

USAGE_DECAY = 0.99
"""How much of the usage of codes stays at each training step."""


class CodeUsage(nnx.Variable):
    """How often each code stood at each position lately: (positions, num_embeddings)."""


class VQVAE(VAE):
    """A VAE with discrete latents.

        L = -log p(x|z_q) + ‖sg[z_e] - e‖² + commitment_cost ‖z_e - sg[e]‖²

    with squares summed over an example's codes. Convolutional encoders and decoders are copied
    into ones that give and read a map of codes (H', W', embedding_dim); dense ones split their
    latents into latent_dim / embedding_dim codes.

    `kl_loss` is the KL to a uniform prior, log(num_embeddings) for each code: a constant, which is
    in `elbo` but not in `total_loss`.

    Args:
        encoder: module x -> (mean, log_var), or a `VQVAEConfig`.
        decoder: module z -> unsquashed output.
        latent_dim: size of a dense encoder's z; a map has embedding_dim channels instead.
        num_embeddings: number of codes.
        embedding_dim: size of a code.
        commitment_cost: weight of the commitment loss.
        rngs: for the codebook, and for sampling when a method is given none.
        likelihood: log p(x|z) by name; see `VAE`.
        options: see `VAE`; free_bits has no meaning here.

    Attributes:
        embeddings: the codebook.
        usage: how often each code stood at each position lately, kept by the trainer.

    References:
        van den Oord, Vinyals & Kavukcuoglu, Neural Discrete Representation Learning, NeurIPS 2017.
    """

    config_class = VQVAEConfig

    @accepts_config
    def __init__(
        self,
        encoder: nnx.Module,
        decoder: nnx.Module,
        latent_dim: int,
        num_embeddings: int = 512,
        embedding_dim: int = 64,
        commitment_cost: float = 0.25,
        *,
        rngs: nnx.Rngs,
        likelihood: str = "mse",
        **options: Unpack[Options],
    ):
        for name in ("free_bits", "kl_weight", "kl_schedule_steps"):
            if options.get(name):
                raise ValueError(f"{name} has no meaning for a VQ-VAE: its KL is constant")
        self.num_embeddings = checks.positive_int("num_embeddings", num_embeddings)
        self.embedding_dim = checks.positive_int("embedding_dim", embedding_dim)
        self.commitment_cost = checks.at_least("commitment_cost", commitment_cost, 0.0)
        check_latent_dims(encoder, decoder, latent_dim)
        if isinstance(encoder, CNNEncoder) and isinstance(decoder, CNNDecoder):
            if encoder.pooling != "flatten":
                raise ValueError("pooling='mean' has no meaning for a VQ-VAE: it keeps its map")
            encoder = encoder.as_map(embedding_dim, rngs)
            decoder = decoder.as_map(embedding_dim, rngs)
        self.spatial = getattr(encoder, "spatial", False)
        super().__init__(encoder, decoder, latent_dim, rngs=rngs, likelihood=likelihood, **options)
        feature_shape = getattr(encoder, "feature_shape", None) if self.spatial else None
        if feature_shape and feature_shape[:2] != self.latent_shape[:2]:
            raise ValueError(
                f"encoder gives a map {feature_shape[:2]} and decoder reads one "
                f"{self.latent_shape[:2]}: give both the same image shape and number of hidden_dims"
            )
        self.embeddings = nnx.Embed(
            num_embeddings, embedding_dim, rngs=rngs, embedding_init=_uniform_codes
        )
        codes = jnp.zeros((prod(self.code_shape), num_embeddings), jnp.float32)
        self.usage = CodeUsage(codes)

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Shape of one example's indices: (H', W') of a map, or (latent_dim / embedding_dim,)."""
        *positions, size = self.latent_shape
        if size % self.embedding_dim:
            raise ValueError(
                f"latent_dim={size} must be a multiple of embedding_dim={self.embedding_dim}"
            )
        codes = size // self.embedding_dim
        return tuple(positions) if positions and codes == 1 else (*positions, codes)

    def quantize(
        self,
        encoding: ArrayLike,
        *,
        rngs: nnx.Rngs | None = None,  # noqa: ARG002 - the reference's signature; nothing is random
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Replace each vector of an encoding by its nearest code.

        The gradient passes straight through: it is exactly the identity.

        Args:
            encoding: (batch, ..., features) with features a multiple of embedding_dim, or one
                example's (features,).
            rngs: unused.

        Returns:
            The codes in the shape of the encoding, and a dict of commitment_loss and codebook_loss
            (squared distance summed over an example's codes, mean over the batch),
            encoding_indices (batch, ..., codes; a single code a place has no axis in a map), and
            perplexity.
        """
        encoding = jnp.asarray(encoding)
        features = encoding.shape[-1]
        if features % self.embedding_dim:
            raise ValueError(
                f"encoding has {features} features: expected a multiple of "
                f"embedding_dim={self.embedding_dim}"
            )
        codebook = self.embeddings.embedding[...]
        vectors = jax.lax.stop_gradient(encoding).reshape(-1, self.embedding_dim)
        indices = nearest_code(vectors.astype(jnp.float32), codebook)
        codes = codebook[indices].reshape(encoding.shape)
        batch = encoding.shape[0] if encoding.ndim > 1 else 1

        def distance(a: jax.Array, b: jax.Array) -> jax.Array:
            return jnp.sum(jnp.square(a - b)) / batch

        each = features // self.embedding_dim
        places = encoding.shape[:-1]
        usage = code_counts(indices[:, None], self.num_embeddings)[0]
        return straight_through(encoding, codes), {
            "commitment_loss": distance(encoding, jax.lax.stop_gradient(codes)),
            "codebook_loss": distance(jax.lax.stop_gradient(encoding), codes),
            "encoding_indices": indices.reshape(
                places if len(places) > 1 and each == 1 else (*places, each)
            ),
            "perplexity": perplexity(usage),
        }

    def latents(
        self,
        mean: jax.Array,
        log_var: jax.Array,  # noqa: ARG002 - an encoding has no variance
        *,
        deterministic: bool = False,  # noqa: ARG002 - quantizing always is
        rngs: nnx.Rngs | None = None,
    ) -> dict[str, jax.Array]:
        """Quantize the encoding."""
        if mean.shape[1:] != self.latent_shape:
            raise ValueError(
                f"the encoding has shape {mean.shape}, expected (batch, "
                f"{', '.join(map(str, self.latent_shape))}): for networks of your own give the "
                "decoder an attribute latent_shape, the shape of one example's encoding"
            )
        quantized, terms = self.quantize(mean, rngs=rngs)
        return {"z": quantized, "z_e": mean, "quantized": quantized, **terms}

    def encode(self, x: ArrayLike, *, rngs: nnx.Rngs | None = None) -> tuple[jax.Array, jax.Array]:
        """Return the encoding before quantization, and zeros for its log-variance.

        Args:
            x: (batch, *event), or one example.
            rngs: passed to an encoder that is random.

        Returns:
            (batch, latent_dim), or a map (batch, H', W', embedding_dim), twice.
        """
        encoding, _ = super().encode(x, rngs=rngs)
        return encoding, jnp.zeros_like(encoding)

    def loss_fn(
        self, params: Any = None, batch: Any = None, *args: Any, **kwargs: Any
    ) -> dict[str, jax.Array]:
        """Return the losses of a batch; see `VAE.loss_fn`. `beta` is not read: the KL is constant.

        The reference's `loss_fn(x, outputs)` and `loss_fn(params, batch, rng)` both work: an array
        in the first place is x.

        Returns:
            The keys of `Losses`, codebook_loss, commitment_loss (before its weight) and perplexity.
        """
        if isinstance(params, jax.Array | np.ndarray):
            kwargs |= {"x": params, "outputs": batch} if batch is not None else {"x": params}
            params = batch = None
        return super().loss_fn(params, batch, *args, **kwargs)

    def objective(
        self,
        reconstruction_loss: jax.Array,
        outputs: dict[str, jax.Array],
        beta: ArrayLike | None,  # noqa: ARG002 - the KL is constant
        step: ArrayLike | None,  # noqa: ARG002 - nothing is scheduled
    ) -> Losses:
        """Add codebook and commitment losses to the reconstruction."""
        commitment, codebook = read(outputs, "commitment_loss"), read(outputs, "codebook_loss")
        indices = read(outputs, "encoding_indices")
        return self.losses(
            reconstruction_loss,
            self.kl_per_dimension(outputs).sum(),
            reconstruction_loss + codebook + self.commitment_cost * commitment,
            commitment_loss=commitment,
            codebook_loss=codebook,
            perplexity=read(outputs, "perplexity"),
            statistics=code_counts(indices.reshape(indices.shape[0], -1), self.num_embeddings),
        )

    def kl_per_dimension(self, outputs: dict[str, jax.Array]) -> jax.Array:
        """Return the KL to a uniform prior of each code, log(num_embeddings) nats."""
        codes = prod(read(outputs, "encoding_indices").shape[1:])
        return jnp.full((codes,), log(self.num_embeddings), jnp.float32)

    def update_statistics(self, statistics: jax.Array) -> None:
        """Fold a batch's counts of codes, (positions, num_embeddings), into `usage`."""
        self.usage[...] = USAGE_DECAY * self.usage[...] + (1 - USAGE_DECAY) * statistics

    def sample(
        self,
        n_samples: int = 1,
        temperature: float = 1.0,
        *,
        rngs: nnx.Rngs | None = None,
        **kwargs: Any,  # noqa: ARG002 - the reference's signature: for compatibility
    ) -> jax.Array:
        """Draw each position's code by its usage in training and decode: (n_samples, *event).

        No prior over codes is fitted yet: positions are independent, so samples lack what binds
        them together. The first call says so in the log. Before training, codes are drawn evenly.

        Args:
            n_samples: a Python int; static under jit.
            temperature: above 1 evens the usage out, below 1 sharpens it.
            rngs: source of the samples; the model's own if None.
            kwargs: not read.
        """
        check_temperature(temperature)
        _say_no_prior()
        n_samples = checks.positive_int("n_samples", n_samples)
        usage = self.usage[...]
        usage = jnp.where(usage.sum(-1, keepdims=True) > 0, usage, 1.0)
        logits = jnp.log(usage) / jnp.maximum(temperature, 1e-6)
        shape = (n_samples, usage.shape[0])
        indices = jax.random.categorical(sample_key(rngs, self.rngs), logits, shape=shape)
        codes = self.embeddings.embedding[...][indices]
        return self.decode(codes.reshape(n_samples, *self.latent_shape), rngs=rngs)

    def generate(
        self,
        n_samples: int = 1,
        *,
        temperature: float = 1.0,
        rngs: nnx.Rngs | None = None,
        **kwargs: Any,  # noqa: ARG002 - the reference's signature: additional arguments
    ) -> jax.Array:
        """Do what `sample` does, under the name of the GenerativeModel interface."""
        return self.sample(n_samples, temperature, rngs=rngs)


def _uniform_codes(key: jax.Array, shape: tuple[int, ...], dtype: Any, *_: Any) -> jax.Array:
    """Draw a codebook evenly from [-1/K, 1/K], K codes, as van den Oord et al. do."""
    return jax.random.uniform(key, shape, dtype, -1.0 / shape[0], 1.0 / shape[0])


@functools.cache
def _say_no_prior() -> None:
    logging.getLogger("workshop").warning(
        "VQVAE.sample draws each position's code on its own, by its usage in training: no prior "
        "over the codes is fitted"
    )
