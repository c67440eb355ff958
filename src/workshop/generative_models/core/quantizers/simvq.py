"""SimVQ: a codebook that cannot leave a code behind."""

import jax
from flax import nnx

from workshop.generative_models.core.quantizers.codebook import VectorQuantizer


class SimVQ(VectorQuantizer):
    """A frozen codebook C seen through a learned linear map: e_k = C_k W.

    All codes move when one is trained, so that none can be left behind.

    Args:
        dim: size of the vectors.
        codebook_size: number of codes K.
        rngs: for the frozen codes and the map.
        commitment_cost: weight of the commitment loss.
        gradient: "rotation" or "straight_through".

    Attributes:
        embeddings: the frozen codes, (K, dim), from N(0, I / dim).
        map: the linear map W.

    References:
        Zhu et al., Addressing Representation Collapse in Vector Quantized Models with One Linear
        Layer, ICCV 2025.
    """

    def __init__(
        self,
        dim: int,
        codebook_size: int = 512,
        *,
        rngs: nnx.Rngs,
        commitment_cost: float = 0.25,
        gradient: str = "rotation",
    ):
        super().__init__(
            dim,
            codebook_size,
            rngs=rngs,
            learning="frozen",
            commitment_cost=commitment_cost,
            gradient=gradient,
        )
        self.costs = (*self.costs, ("codebook_loss", 1.0))
        frozen = jax.random.normal(rngs.params(), (codebook_size, dim)) * dim**-0.5
        self.embeddings.embedding[...] = frozen
        self.map = nnx.Linear(dim, dim, use_bias=False, rngs=rngs)

    def codebook(self) -> jax.Array:
        """Return the codes that the map makes, (1, K, dim)."""
        return self._books(self.map(self.embeddings.embedding[...]))
