"""The Inception network of the Fréchet Inception Distance as a feature function, from a file."""

from os import PathLike

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ...core.checks import positive_int
from ..passes import in_passes
from .features import FeatureFunction

_SIZE = 299
"""Height and width of the images that the network sees."""
_LAST = (1008, 2048)
"""Shape of its last layer, which features don't need but which tells its weights from others."""
_BATCH_NORM_EPSILON = 1e-3
_RECIPE = (
    "make the file of pytorch-fid's pt_inception-2015-12-05-6726825d.pth by "
    "safetensors.torch.save_file(torch.load('pt_inception-2015-12-05-6726825d.pth'), PATH)"
)

Images = Float[Array, "n _ _ _"]
"""Of shape (n, height, width, channels), of any sizes."""
Weights = dict[str, tuple[Float[Array, "out in h w"], Float[Array, " out"]]]
"""Kernel and bias of each convolution, with its batch normalisation."""

_STEM = "Conv2d_1a_3x3/2 Conv2d_2a_3x3/1 Conv2d_2b_3x3 max/2 Conv2d_3b_1x1 Conv2d_4a_3x3/1 max/2"
"""Layers by the names of the weights' file; /2 is a stride of 2, a number means no padding."""
_MIXED_5 = "1x1 | 5x5_1 5x5_2 | 3x3dbl_1 3x3dbl_2 3x3dbl_3 | mean _pool"
_MIXED_6 = "1x1 | 7x7_1 7x7_2 7x7_3 | 7x7dbl_1 7x7dbl_2 7x7dbl_3 7x7dbl_4 7x7dbl_5 | mean _pool"
_MIXED_7 = (
    "1x1 | 3x3_1 3x3_2a | 3x3_1 3x3_2b | "
    "3x3dbl_1 3x3dbl_2 3x3dbl_3a | 3x3dbl_1 3x3dbl_2 3x3dbl_3b | mean _pool"
)
_BLOCKS = {
    **dict.fromkeys(("Mixed_5b", "Mixed_5c", "Mixed_5d"), _MIXED_5),
    "Mixed_6a": "3x3/2 | 3x3dbl_1 3x3dbl_2 3x3dbl_3/2 | max/2",
    **dict.fromkeys(("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"), _MIXED_6),
    "Mixed_7a": "3x3_1 3x3_2/2 | 7x7x3_1 7x7x3_2 7x7x3_3 7x7x3_4/2 | max/2",
    "Mixed_7b": _MIXED_7,
    # The published weights go with a maximum here, where the paper has an average.
    "Mixed_7c": _MIXED_7.replace("mean", "max"),
}
"""Blocks of branches, whose channels end up side by side."""


def inception_features(path: str | PathLike[str], *, batch_size: int = 32) -> FeatureFunction:
    """Return the 2,048 features of the last average pooling, by which FID and KID are published.

    The weights are those of pytorch-fid (a port of `inception-2015-12-05` of TensorFlow) as a local
    safetensors file; nothing is downloaded. Images of any size are brought to 299×299 bilinearly
    without smoothing and a grey channel is repeated, as there. Published figures take 50,000
    samples.

    Args:
        path: of the safetensors file; its parameters are named as in the original.
        batch_size: images at a time.

    Returns:
        A function of images (n, height, width, 1 or 3), bytes or floats in [0, 1], to (n, 2048).

    Raises:
        ValueError: if the file is not a safetensors file or its parameters are not those of this
            network; from the function, if the images are not as above.

    References:
        Szegedy et al., Rethinking the Inception architecture for computer vision, CVPR 2016; Heusel
        et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium,
        NeurIPS 2017.
    """
    size = positive_int("batch_size", batch_size)
    weights = jax.device_put(_load_weights(path))

    def features(x: ArrayLike) -> Float[np.ndarray, "n dim"]:
        images = _as_images(x)

        def one_pass(index: np.ndarray) -> Float[Array, "n dim"]:
            part = images[index].astype(np.float32)
            return _forward(weights, resized(part / 255 if images.dtype == np.uint8 else part))

        return in_passes(one_pass, len(images), size=size)

    return features


def _as_images(x: ArrayLike) -> np.ndarray:
    """Return images as they are, bytes or floats, checked."""
    images = np.asarray(x)
    if images.ndim != 4 or not images.size or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"x has shape {images.shape}: expected (n, height, width, 1 or 3 channels)"
        )
    if images.dtype != np.uint8 and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"x: expected bytes (uint8) or values in [0, 1], got {images.dtype} from "
            f"{images.min()} to {images.max()}"
        )
    return images


def _load_weights(path: str | PathLike[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return kernel and bias of each convolution, with its batch normalisation, from a file."""
    try:
        raw = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error}); {_RECIPE}") from error
    try:
        folded = {name: _folded(raw, name) for name in _convolutions()}
        if raw["fc.weight"].shape != _LAST:
            raise ValueError(f"fc.weight has shape {raw['fc.weight'].shape}, expected {_LAST}")
        jax.eval_shape(_forward, folded, jnp.zeros((1, _SIZE, _SIZE, 3)))
    except (KeyError, TypeError, ValueError) as error:
        wrong = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{path}: {wrong}: these are not the weights of the FID Inception network; {_RECIPE}"
        ) from error
    return folded


def _folded(raw: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    kernel = raw[f"{name}.conv.weight"]
    gamma, beta, mean, var = (
        raw[f"{name}.bn.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(var + _BATCH_NORM_EPSILON)
    kernel = kernel * scale[:, None, None, None]
    return kernel.astype(np.float32), (beta - mean * scale).astype(np.float32)


def _convolutions() -> list[str]:
    parts = {"": _STEM, **{f"{block}.branch": layers for block, layers in _BLOCKS.items()}}
    return [
        prefix + layer.partition("/")[0]
        for prefix, layers in parts.items()
        for layer in layers.replace("|", "").split()
        if not layer.startswith("m")  # max and mean
    ]


@jax.jit
def _forward(weights: Weights, images: Images) -> Float[Array, "n 2048"]:
    """Return the features of images of 299×299 in [0, 1]."""
    x = _sequence(weights, _STEM, "", 2 * images - 1)
    for block, branches in _BLOCKS.items():
        parts = [_sequence(weights, b, f"{block}.branch", x) for b in branches.split("|")]
        x = jnp.concatenate(parts, axis=-1)
    return x.mean(axis=(1, 2))


def _sequence(weights: Weights, layers: str, prefix: str, x: Images) -> Images:
    """Return what layers make of x, one after the other."""
    for layer in layers.split():
        name, _, stride = layer.partition("/")
        strides, padding = (int(stride or 1),) * 2, "VALID" if stride else "SAME"
        if name == "max":
            x = nnx.max_pool(x, (3, 3), strides, padding)
        elif name == "mean":  # over the places of the window that are in the image
            x = nnx.avg_pool(x, (3, 3), strides, padding, count_include_pad=False)
        else:
            kernel, bias = weights[prefix + name]
            x = jax.lax.conv_general_dilated(
                x, kernel, strides, padding, dimension_numbers=("NHWC", "OIHW", "NHWC"),
                precision=jax.lax.Precision.HIGHEST,  # figures are compared across machines
            )  # fmt: skip
            x = jax.nn.relu(x + bias)
    return x


@jax.jit
def resized(images: Images) -> Images:
    """Return images of 299×299×3, bilinearly between the centres of pixels, without smoothing."""
    shape = (len(images), _SIZE, _SIZE, images.shape[-1])
    large = jax.image.resize(images, shape, "bilinear", antialias=False)
    return jnp.broadcast_to(large, (*shape[:-1], 3))
