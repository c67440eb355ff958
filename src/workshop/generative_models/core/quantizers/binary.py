"""Binary codes without a codebook: the sign of every number."""

from math import sqrt

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.quantizers.base import Assignment, Quantizer
from workshop.generative_models.core.quantizers.search import unit_length

_EXACT_BITS = 12
"""Bits whose joint distribution the entropy of the codebook is computed of, exactly."""


class LFQ(Quantizer):
    r"""Lookup-free quantization: each number's sign, times a scale s.

    The entropy loss wants every choice to be sure and all codes to be used,

        entropy_loss = E[H(p(k|z))] - diversity · H(E[p(k|z)]),
        p(k|z) = softmax_k(2 z·c_k / temperature),   p(bit d is 1 | z) = σ(4 s z_d / temperature),

    in nats for each code. As p is a product over bits, the first term is a sum over bits; the
    second one comes from a matrix product of the two halves of the bits, so that memory for each
    vector grows with the square root of the number of codes. Beyond 12 bits the codebook's entropy
    is the sum over blocks of bits, an upper bound, exact where blocks are independent.

    Args:
        dim: size of the vectors; another one than groups * bits is projected.
        bits: bits of an index: 2^bits codes.
        groups: codes for one vector.
        rngs: for the projections, if there are any.
        scale: s, the size of a code's numbers.
        entropy_cost: weight of the entropy loss.
        diversity: weight of the codebook's entropy in it.
        temperature: of p; the peer's inverse temperature 100 is 0.01.
        commitment_cost: weight of the commitment loss ‖z - sg[z_q]‖².

    References:
        Yu et al., Language Model Beats Diffusion: Tokenizer is Key to Visual Generation, ICLR 2024.

    Examples:
        >>> quantizer = LFQ(3, 3)
        >>> quantizer.quantize(jnp.asarray([[0.3, -2.0, 0.1]]))[1].tolist()
        [5]
    """

    spherical = False

    def __init__(
        self,
        dim: int,
        bits: int,
        *,
        groups: int = 1,
        rngs: nnx.Rngs | None = None,
        scale: float = 1.0,
        entropy_cost: float = 0.1,
        diversity: float = 1.0,
        temperature: float = 0.01,
        commitment_cost: float = 0.25,
    ):
        if not 1 <= checks.positive_int("bits", bits) <= 20:
            raise ValueError(
                f"bits={bits}: expected at most 20 bits an index; for more give groups=2 or more"
            )
        checks.positive_int("groups", groups)
        super().__init__(dim, groups * bits, 2**bits, groups, rngs=rngs)
        self.pooled = groups == 1
        self.bits = bits
        checks.positive("scale", scale)
        checks.positive("temperature", temperature)
        self.size = scale / sqrt(bits) if self.spherical else scale
        self.scale, self.temperature = scale, temperature
        self.diversity = checks.at_least("diversity", diversity, 0.0)
        self.costs = (
            ("entropy_loss", checks.at_least("entropy_cost", entropy_cost, 0.0)),
            ("commitment_loss", checks.at_least("commitment_cost", commitment_cost, 0.0)),
        )

    def assign(self, vectors: jax.Array, weights: jax.Array, key: jax.Array | None) -> Assignment:  # noqa: ARG002
        """Take the signs."""
        parts = vectors.reshape(-1, self.codes, self.bits)
        if self.spherical:
            parts = self.scale * unit_length(parts)
        ones = parts > 0
        chosen = jnp.where(ones, self.size, -self.size)
        place = 2 ** np.arange(self.bits - 1, -1, -1, dtype=np.int32)
        logits = 4 * self.size / self.temperature * parts
        sure = _binary_entropy(logits).sum((1, 2))
        share = weights / jnp.maximum(weights.sum(), 1.0)
        used = codebook_entropy(jax.nn.sigmoid(logits), share)
        return Assignment(
            parts,
            chosen,
            jnp.sum(ones * place, -1, dtype=jnp.int32),
            {
                "commitment_loss": jnp.square(parts - chosen).sum((1, 2)),
                "entropy_loss": sure - self.diversity * used,
            },
            {},
        )

    def codes_of(self, indices: jax.Array) -> jax.Array:
        """Return the codes (n, groups * bits) of indices (n, groups)."""
        shifts = np.arange(self.bits - 1, -1, -1, dtype=np.int32)
        ones = (jnp.maximum(indices, 0)[..., None] >> shifts) & 1
        return jnp.where(ones > 0, self.size, -self.size).reshape(-1, self.inner)


class BSQ(LFQ):
    """Binary spherical quantization: `LFQ` of vectors and codes on the sphere of radius `scale`.

    References:
        Zhao, Xiong & Krähenbühl, Image and Video Tokenization with Binary Spherical Quantization,
        ICLR 2025.

    Examples:
        >>> z_q, indices, _ = BSQ(4, 4).quantize(jnp.asarray([[3.0, -1.0, 0.5, 0.5]]))
        >>> z_q.tolist(), indices.tolist()
        ([[0.5, -0.5, 0.5, 0.5]], [11])
    """

    spherical = True


def codebook_entropy(ones: jax.Array, share: jax.Array) -> jax.Array:
    """Return the entropy (nats) of the mean code of bits that are one with probability `ones`."""
    bits = ones.shape[-1]
    blocks = -(-bits // _EXACT_BITS)
    total = jnp.zeros(())
    for block in np.array_split(np.arange(bits), blocks):
        left, right = np.array_split(block, 2)
        mean = jnp.einsum(
            "ngi,ngj,n->gij", _joint(ones[..., left]), _joint(ones[..., right]), share
        )
        # The floor keeps the gradient finite where a code has no probability left.
        total -= jnp.sum(mean * jnp.log(jnp.maximum(mean, 1e-20)))
    return total


def _joint(ones: jax.Array) -> jax.Array:
    """Return the probabilities (..., 2^bits) of all values of independent bits."""
    joint = jnp.ones((*ones.shape[:-1], 1))
    for bit in range(ones.shape[-1]):
        p = ones[..., bit, None]
        joint = jnp.concatenate([joint * (1 - p), joint * p], -1)
    return joint


def _binary_entropy(logits: jax.Array) -> jax.Array:
    """Return the entropy of a bit in nats, from its logit."""
    magnitude = jnp.abs(logits)
    return jax.nn.softplus(-magnitude) + magnitude * jax.nn.sigmoid(-magnitude)
