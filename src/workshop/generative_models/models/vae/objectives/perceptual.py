"""The distance of a trained network's features as the reconstruction loss."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from workshop.generative_models.core.vgg import read_vgg, vgg_features
from workshop.generative_models.models.vae.objectives.image_distance import ImageDistance


class Perceptual(ImageDistance):
    r"""L = c E_q(z|x)[Δ(x, E[x|z])] - α E_q(z|x)[log p(x|z)] + KL(q(z|x) ‖ p(z)).

    Δ(x, y) = Σ_l mean (φ_l(x) - φ_l(y))², the mean over places and channels of the feature maps φ_l
    of a VGG network. Its weights are those of a local file, which only the loss reads: a trained
    model can be loaded and used without it, and its own file does not hold them. Images have one or
    three channels and values in [0, 1].

    Args:
        path: of a safetensors file with the weights of a VGG network, under torchvision's names;
            see `core.vgg.read_vgg`.
        event_shape: shape of one image.
        layers: names of the layers l.
        distance_weight: c.
        likelihood_weight: α, for a likelihood beside the distance.

    Raises:
        ValueError: from the loss, if the file is missing or holds no such layers.

    References:
        Johnson, Alahi & Fei-Fei, Perceptual Losses for Real-Time Style Transfer and
        Super-Resolution, ECCV 2016 (github.com/jcjohnson/fast-neural-style, `ContentLoss.lua`).
        Hou et al., Deep Feature Consistent Variational Autoencoder, WACV 2017, has these layers, of
        VGG-19 (github.com/houxianxu/DFC-VAE, `main_cvae_content.lua`), with weight ½.
    """

    def __init__(
        self,
        path: str = "",
        event_shape: Sequence[int] | None = None,
        layers: Sequence[str] = ("relu1_1", "relu2_1", "relu3_1"),
        distance_weight: float = 100.0,
        likelihood_weight: float = 0.0,
    ):
        super().__init__(event_shape, distance_weight, likelihood_weight)
        self.path, self.layers = str(path), tuple(layers)
        if not self.path:
            read_vgg(self.path, self.layers)
        if not self.layers:
            raise ValueError("layers=(): expected names of layers, such as ('relu2_1',)")
        if event_shape is not None and event_shape[-1] not in (1, 3):
            raise ValueError(
                f"objective Perceptual reads images with 1 or 3 channels, not {event_shape[-1]}"
            )

    def distance(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Return the sum over layers of the mean squared difference of features."""
        network = read_vgg(self.path, self.layers)
        pairs = zip(*(vgg_features(network, images, self.layers) for images in (x, y)), strict=True)
        return sum((jnp.square(a - b).mean((1, 2, 3)) for a, b in pairs), jnp.zeros(()))
