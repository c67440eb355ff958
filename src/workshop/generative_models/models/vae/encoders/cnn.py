"""Convolutional encoders."""

from typing import Any

from flax import nnx

from workshop.generative_models.core.layers import CNN, ResNet, halvings
from workshop.generative_models.models.vae.encoders.base import Encoder


class CNNEncoder(Encoder):
    """Convolutions with stride 2, each halving the image: 28 to 14, 7, 3, 1.

    Attributes:
        latent_dim: size of z.
        flatten: what makes a vector of the last map; unused with pooling "mean".
        mean_proj: the projection to μ.
        logvar_proj: the projection to log σ², or None for an encoder of maps.

    Examples:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from workshop.generative_models.models.vae.encoders import CNNEncoder
        >>> encoder = CNNEncoder([32, 64], 16, "relu", (28, 28, 1), rngs=nnx.Rngs(0))
        >>> mean, log_var = encoder(jnp.ones((8, 28, 28, 1)))
        >>> mean.shape, encoder.sizes
        ((8, 16), ((28, 28), (14, 14), (7, 7)))
    """

    takes_images = True
    network: type[CNN] = CNN
    backbone: CNN

    def _build_backbone(
        self, rngs: nnx.Rngs, numerics: dict[str, Any]
    ) -> tuple[nnx.Module, tuple[int, ...]]:
        assert self.input_dim is not None
        height, width, channels = self.input_dim
        stages = len(self.hidden_dims)
        self.sizes = tuple(zip(halvings(height, stages), halvings(width, stages), strict=True))
        cnn = self.network(self.hidden_dims, self.activation, channels, rngs=rngs, **numerics)
        return cnn, (*self.sizes[-1], self.hidden_dims[-1])

    @property
    def cnn(self) -> CNN:
        """The convolutions."""
        return self.backbone


class ResNetEncoder(CNNEncoder):
    """Residual blocks with group normalisation, each halving the image."""

    network = ResNet
