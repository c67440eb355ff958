"""VQ-VAE: latents that are codes from a codebook."""

import logging
from math import log, prod
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import check_finite, read_codes
from workshop.generative_models.core.building import accepts_config
from workshop.generative_models.core.configuration import PriorConfig, QuantizerConfig, VQVAEConfig
from workshop.generative_models.core.modules import sample_key
from workshop.generative_models.core.quantizers import (
    Quantizer,
    VectorQuantizer,
    create_quantizer,
)
from workshop.generative_models.models.vae.base import VAE
from workshop.generative_models.models.vae.chunks import in_chunks
from workshop.generative_models.models.vae.components import Options, check_latent_dims
from workshop.generative_models.models.vae.decoders import CNNDecoder
from workshop.generative_models.models.vae.encoders import CNNEncoder
from workshop.generative_models.models.vae.inference import Inference, read
from workshop.generative_models.models.vae.latent_space import check_temperature
from workshop.generative_models.models.vae.objectives import CodeObjective
from workshop.generative_models.models.vae.prior import CodePrior
from workshop.generative_models.models.vae.vq_sampling import check_prior, drawn_codes

_USAGE_DECAY = 0.99
"""How much of the usage of codes stays at each training step."""
_MOST_USAGE = 1 << 20
"""Numbers in the usage of codes by position; for more, positions share one row."""


class _CodeUsage(nnx.Variable):
    """How often each code stood at each position lately: (positions or 1, num_embeddings)."""


class VQVAE(VAE):
    """A VAE with discrete latents.

        L = -log p(x|z_q) + ‖sg[z_e] - e‖² + commitment_cost ‖z_e - sg[e]‖²

    with squares summed over an example's codes; another quantizer has other terms in place of the
    last two. Convolutional encoders and decoders are copied into ones that give and read a map of
    vectors (H', W', embedding_dim); dense ones split their latents into latent_dim / embedding_dim
    vectors.

    `kl_loss` is the KL to a uniform prior, log(num_embeddings) for each code: a constant, which is
    in `elbo` but not in `total_loss`. A forward pass also gives `z_e`, the encoding, `quantized`,
    the vectors of its codes, and what `quantize` tells of them.

    Args:
        encoder: module x -> (mean, log_var), or a `VQVAEConfig`.
        decoder: module z -> unsquashed output.
        latent_dim: size of a dense encoder's z; a map has embedding_dim channels instead.
        num_embeddings: number of codes.
        embedding_dim: size of a code; with a quantizer, of the vectors that it reads.
        commitment_cost: weight of the commitment loss.
        rngs: for the codebook, and for sampling when a method is given none.
        quantizer: how vectors become codes, a configuration or a `core.quantizers.Quantizer`, which
            brings its own sizes; None is a codebook that the loss trains.
        options: see `VAE`; those of the posterior, prior, objective and KL have no meaning here.

    Attributes:
        quantizer: what makes the codes.
        num_embeddings, embedding_dim, commitment_cost: as given, or as the quantizer has them.
        embeddings: the codes of a quantizer that keeps any, one codebook after another (of SimVQ
            the frozen ones, before its map).
        usage: how often each code stood at each position lately, kept by the trainer.
        prior: what samples codes, a `CodePrior`, once one is fitted; None draws them by usage.

    References:
        van den Oord, Vinyals & Kavukcuoglu, Neural Discrete Representation Learning, NeurIPS 2017.
    """

    config_class = VQVAEConfig
    components = ("likelihood", "objective")
    kept_apart = ("prior",)
    flat, has_codes = False, True

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
        quantizer: QuantizerConfig | Quantizer | None = None,
        **options: Unpack[Options],
    ):
        for name in ("prior", "posterior", "objective"):
            if options.get(name) is not None:
                raise ValueError(f"{name} has no meaning for a VQ-VAE: its latents are codes")
        for name in ("free_bits", "kl_weight", "kl_schedule_steps"):
            if options.get(name):
                raise ValueError(f"{name} has no meaning for a VQ-VAE: its KL is constant")
        checks.positive_int("num_embeddings", num_embeddings)
        if isinstance(quantizer, Quantizer):
            given = (num_embeddings, embedding_dim, commitment_cost)
            _check_unsaid(given, quantizer)
            embedding_dim = quantizer.dim
        self.embedding_dim = checks.positive_int("embedding_dim", embedding_dim)
        check_latent_dims(encoder, decoder, latent_dim)
        if isinstance(encoder, CNNEncoder) and isinstance(decoder, CNNDecoder):
            if encoder.pooling != "flatten":
                raise ValueError("pooling='mean' has no meaning for a VQ-VAE: it keeps its map")
            encoder = encoder.as_map(embedding_dim, rngs)
            decoder = decoder.as_map(embedding_dim, rngs)
        self.spatial = getattr(encoder, "spatial", False)
        options["objective"] = CodeObjective()
        super().__init__(encoder, decoder, latent_dim, rngs=rngs, **options)
        feature_shape = getattr(encoder, "feature_shape", None) if self.spatial else None
        if feature_shape and feature_shape[:2] != self.latent_shape[:2]:
            raise ValueError(
                f"encoder gives a map {feature_shape[:2]} and decoder reads one "
                f"{self.latent_shape[:2]}: give both the same image shape and number of hidden_dims"
            )
        self._vectors()  # before weights are made: do the latents split into vectors?
        if not isinstance(quantizer, Quantizer):
            sizes = (embedding_dim, num_embeddings, commitment_cost)
            quantizer = create_quantizer(quantizer, *sizes, rngs=rngs)
        self.quantizer = quantizer
        self.num_embeddings = self.quantizer.codebook_size
        self.commitment_cost = self.quantizer.commitment_cost
        self.deterministic = False  # what train() and eval() set
        positions = prod(self.code_shape)
        positions = positions if positions * self.num_embeddings <= _MOST_USAGE else 1
        self.usage = _CodeUsage(jnp.zeros((positions, self.num_embeddings), jnp.float32))

    def _make_latents(self, prior: Any, posterior: Any, rngs: nnx.Rngs | None) -> None:  # noqa: ARG002
        """Set that q(z|x) has no density, and that there is no prior over the codes yet."""
        self.posterior = None
        self.prior: CodePrior | None = nnx.data(None)

    @property
    def code_prior(self) -> CodePrior | None:
        """`prior`."""
        return self.prior

    @property
    def num_classes(self) -> int | None:
        """Number of classes of the prior; None if there is no prior, or it has none."""
        return None if self.prior is None else self.prior.num_classes

    @property
    def _feature_names(self) -> tuple[str, ...]:
        return ("mean",)

    @property
    def embeddings(self) -> nnx.Embed:
        """The quantizer's codes."""
        if not isinstance(self.quantizer, VectorQuantizer):
            raise AttributeError(f"{type(self.quantizer).__name__} keeps no single codebook")
        return self.quantizer.embeddings

    def _vectors(self) -> int:
        """Return how many vectors there are at a place: one in a map."""
        size = self.latent_shape[-1]
        if size % self.embedding_dim:
            raise ValueError(
                f"latent_dim={size} must be a multiple of embedding_dim={self.embedding_dim}"
            )
        return size // self.embedding_dim

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Shape of one example's indices: (H', W') of a map, (vectors,) of dense latents.

        A quantizer with several codes for a vector, such as residual stages, has them last.
        """
        return self._shape_of(self.latent_shape[:-1], self._vectors(), in_map=self.latent_shape[1:])

    def _shape_of(self, places: Any, each: int, *, in_map: Any) -> tuple[int, ...]:
        """Return places, vectors at a place (none but one in a map), and codes if several."""
        vectors = () if in_map and each == 1 else (each,)
        codes = self.quantizer.codes
        return (*places, *vectors, *(() if codes == 1 else (codes,)))

    def quantize(
        self, encoding: ArrayLike, *, rngs: nnx.Rngs | None = None, deterministic: bool = False
    ) -> tuple[jax.Array, dict[str, Any]]:
        """Replace each vector of an encoding by its code; the gradient passes straight through.

        Args:
            encoding: (batch, ..., features) with features a multiple of embedding_dim, or one
                example's (features,).
            rngs: what a quantizer that draws in training draws from; the model's own if None.
            deterministic: draw nothing, as in eval mode.

        Returns:
            The codes in the shape of the encoding, and a dict of commitment_loss and codebook_loss
            (squared distance summed over an example's codes, mean over the batch), quantizer_loss
            (what the quantizer adds to the loss), encoding_indices (batch, ..., codes; a single
            code a place has no axis in a map), perplexity, codes_used (the share of the codes that
            the batch uses), and statistics for the train step.
        """
        encoding = jnp.asarray(encoding)
        *places, features = encoding.shape
        if features % self.embedding_dim:
            raise ValueError(
                f"encoding has {features} features: expected a multiple of "
                f"embedding_dim={self.embedding_dim}"
            )
        each = features // self.embedding_dim
        training = not (checks.flag("deterministic", deterministic) or self.deterministic)
        key = sample_key(rngs, self.rngs) if training and self.quantizer.random else None
        # One example has a batch axis of its own here: its places are no batch.
        vectors = encoding.reshape(*(places or [1]), each, self.embedding_dim)
        codes, indices, terms = self.quantizer.quantize(vectors, key=key)
        shape = self._shape_of(places, each, in_map=len(places) > 1)
        return codes.reshape(encoding.shape), {
            "encoding_indices": indices.reshape(shape),
            "quantizer_loss": terms.pop("loss"),
            **terms,
        }

    def encode_indices(self, x: ArrayLike) -> jax.Array:
        """Return the codes of examples (batch, *event), or of one: int32 (batch, *code_shape)."""

        def rows(x: jax.Array) -> jax.Array:
            encoding = self.features(x)["mean"]
            return self.quantize(encoding, deterministic=True)[1]["encoding_indices"]

        def indices(x: jax.Array) -> jax.Array:
            check_finite("x", x)
            return in_chunks(rows, x, size=self._chunk_size(), networks=(self.encoder,))

        return self._on_batch(x, indices)

    def decode_indices(self, indices: Any) -> jax.Array:
        """Return what codes stand for: (batch, *event), or one example's.

        Args:
            indices: integers (batch, *code_shape), or one example's; of a residual quantizer also
                of its first stages only, the last axis shorter. -1 is no code, a vector of zeros.
        """
        indices = read_codes("indices", indices)
        shape = self.code_shape
        single = indices.ndim == len(shape)
        indices = indices[None] if single else indices
        several = self.quantizer.codes > 1
        if indices.shape[1:] != shape and not (several and indices.shape[1:-1] == shape[:-1]):
            raise ValueError(
                f"indices have shape {indices.shape}: expected (batch, "
                f"{', '.join(map(str, shape))}), or one example's {shape}"
            )
        images = self._from_indices(indices)
        return images[0] if single else images

    def _from_indices(self, indices: Any, keys: jax.Array | None = None) -> jax.Array:
        """Return the means of x given checked codes, or draws with the key of each row."""

        def rows(indices: Any, keys: jax.Array | None) -> jax.Array:
            codes = self.quantizer.lookup(indices)
            z = codes.reshape(len(indices), *self.latent_shape)
            return self.decode(z) if keys is None else self._observed(z, None, {}, keys)

        return in_chunks(rows, indices, keys, size=self._chunk_size(), networks=(self.decoder,))

    def infer(
        self,
        features: dict[str, jax.Array],
        condition: dict[str, Any],  # noqa: ARG002 - codes have none
        *,
        x: jax.Array | None = None,  # noqa: ARG002 - and are chosen by the encoding alone
        samples: int = 1,
        deterministic: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Inference:
        """Return the codes of encodings, of which there is one sample; see `VAE.infer`."""
        if samples != 1:
            raise ValueError(f"samples={samples}: codes are chosen without chance, so pass 1")
        mean = features["mean"]
        if mean.shape[1:] != self.latent_shape:
            raise ValueError(
                f"the encoding has shape {mean.shape}, expected (batch, "
                f"{', '.join(map(str, self.latent_shape))}): for networks of your own give the "
                "decoder an attribute latent_shape, the shape of one example's encoding"
            )
        quantized, terms = self.quantize(mean, rngs=rngs, deterministic=deterministic)
        return self._coded(quantized, {"z_e": mean, "quantized": quantized, **terms})

    def _coded(self, z: jax.Array, outputs: dict[str, Any]) -> Inference:
        """Return codes with the KL to a uniform prior, log(num_embeddings) nats each."""
        indices = read(outputs, "encoding_indices")
        shape = (len(indices), prod(indices.shape[1:]))
        kl = jnp.full(shape, log(self.num_embeddings), jnp.float32)
        log_q = jnp.zeros((1, len(z)))
        return Inference(z[None], log_q, -kl.sum(-1)[None], code_kl=kl, outputs=outputs)

    def _inference_of(self, outputs: dict[str, Any], condition: dict[str, Any]) -> Inference:  # noqa: ARG002
        return self._coded(read(outputs, "z", "quantized"), outputs)

    def _encoded(
        self, x: jax.Array, rngs: nnx.Rngs | None, condition: dict[str, Any], deterministic: bool
    ) -> jax.Array:
        mean = self.features(x, rngs=rngs, **condition)["mean"]
        return self._quantized(mean, deterministic=deterministic, rngs=rngs)

    def mean_and_log_var(self, features: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Return the encoding before quantization, and zeros in place of a log-variance."""
        return features["mean"], jnp.zeros_like(features["mean"])

    def decoder_input(self, means: jax.Array) -> jax.Array:
        """Return the vectors of the codes of encodings."""
        return self._quantized(means, deterministic=True, rngs=None)

    def _quantized(
        self, encoding: jax.Array, *, deterministic: bool, rngs: nnx.Rngs | None
    ) -> jax.Array:
        """Return the vectors of codes, in chunks of rows unless codes are drawn."""

        def rows(mean: jax.Array) -> jax.Array:
            return self.infer({"mean": mean}, {}, deterministic=deterministic, rngs=rngs).z[0]

        networks = () if deterministic else (self,)
        return in_chunks(rows, encoding, size=self._chunk_size(), networks=networks)

    def build(self, batch: Any) -> None:
        """Make the layers that waited for data; a prior of codes that now change is dropped."""
        super().build(batch)
        if self.prior is not None:
            logging.getLogger("workshop").warning(
                "the prior over this model's codes is dropped: training changes what codes mean"
            )
            self.prior = None

    @property
    def kinds(self) -> dict[str, str]:
        """The class of the quantizer."""
        return {"quantizer": type(self.quantizer).__name__}

    def update_statistics(self, statistics: dict[str, Any]) -> None:
        """Fold a batch's counts of codes into `usage`, and the rest into the quantizer."""
        counts = statistics["usage"]
        self.usage[...] = _USAGE_DECAY * self.usage[...] + (1 - _USAGE_DECAY) * counts
        self.quantizer.update(statistics["quantizer"])

    def sample(
        self,
        n_samples: int = 1,
        temperature: float = 1.0,
        *,
        rngs: nnx.Rngs | None = None,
        y: ArrayLike | None = None,
        guidance: ArrayLike = 1.0,
        top_k: int | None = None,
        top_p: ArrayLike | None = None,
        observation_noise: bool = False,
        **kwargs: Any,
    ) -> jax.Array:
        """Draw codes from the prior and decode them: (n_samples, *event).

        Without a fitted prior each position's code is drawn by its usage in training, evenly before
        it, so samples lack what binds positions together; the first such call says so in the log.

        Args:
            n_samples: a Python int; static under jit.
            temperature: above 1 evens the choices out, below 1 sharpens them.
            rngs: source of the samples; the model's own if None.
            y: classes, of a prior that was fitted to labels: one for all, or (n_samples,); drawn
                evenly if None.
            guidance: towards the class, of a fitted prior; see `CodePrior.sample`.
            top_k: draw among the k most probable codes, of a fitted prior.
            top_p: draw among the most probable codes of this probability together, likewise.
            observation_noise: draw x ~ p(x|z) instead of returning its mean.
            kwargs: others are accepted for compatibility, and warned of.

        Raises:
            ValueError: for what only a fitted prior reads, without one.
        """
        checks.warn_keywords(self.sample, kwargs)
        check_temperature(temperature)
        n_samples = checks.positive_int("n_samples", n_samples)
        options = {"guidance": guidance, "top_k": top_k, "top_p": top_p}
        indices = drawn_codes(self, n_samples, temperature, y, rngs, **options)
        return self._from_indices(indices, self._noise_keys(observation_noise, rngs, n_samples))

    def complete(
        self,
        codes: ArrayLike,
        known: ArrayLike,
        *,
        rngs: nnx.Rngs | None = None,
        observation_noise: bool = False,
        **options: Any,
    ) -> jax.Array:
        """Fill in the unknown codes of examples with the prior, and decode: (batch, *event).

        A code also sees the pixels around its own place, so those of an image's kept part, taken
        with `encode_indices`, carry some of what is beyond it.

        Args:
            codes: integers (batch, *code_shape), or one example's.
            known: booleans of shape code_shape or of `codes`: which codes are kept.
            rngs: source of the draws; the model's own if None.
            observation_noise: draw x ~ p(x|z) instead of returning its mean.
            options: temperature, y, guidance, top_k and top_p of `CodePrior.complete`.

        Raises:
            ValueError: without a fitted prior, or for codes and masks that do not fit.
        """
        if self.prior is None:
            raise ValueError(
                "complete draws codes from a prior, and this model has none: fit one "
                "(workshop prior RUN)"
            )
        check_prior(self)
        rngs = self.rngs if rngs is None else rngs
        found = self.prior.complete(codes, known, rngs=rngs, **options)
        single = found.ndim == len(self.code_shape)
        found = found[None] if single else found
        keys = self._noise_keys(observation_noise, rngs, len(found))
        images = self._from_indices(found, keys)
        return images[0] if single else images

    def new_prior(
        self, config: PriorConfig, *, num_classes: int | None = None, rngs: nnx.Rngs
    ) -> CodePrior:
        """Return an unfitted prior over this model's codes, given so many classes."""
        sizes = (self.code_shape, self.num_embeddings, num_classes, self.quantizer.codes)
        return CodePrior(config, *sizes, rngs=rngs)

    def generate(self, n_samples: int = 1, *, temperature: float = 1.0, **kwargs: Any) -> jax.Array:
        """Call `sample` with its arguments; others are a TypeError."""
        checks.refuse_keywords(self.sample, kwargs)
        return self.sample(n_samples, temperature, **kwargs)


def _check_unsaid(given: tuple[int, int, float], quantizer: Quantizer) -> None:
    """Refuse sizes beside a quantizer that has its own, unless they agree or are the defaults."""
    names = ("num_embeddings", "embedding_dim", "commitment_cost")
    own = (quantizer.codebook_size, quantizer.dim, quantizer.commitment_cost)
    for name, value, has, default in zip(names, given, own, (512, 64, 0.25), strict=True):
        if value not in (has, default):
            raise ValueError(f"{name}={value}, but the quantizer has {has}: leave {name} out")
