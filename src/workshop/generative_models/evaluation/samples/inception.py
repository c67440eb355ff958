"""The Inception network of the Fréchet Inception Distance as a feature function, from a file."""

import functools
from collections.abc import Callable
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from safetensors.numpy import load_file

from workshop.generative_models.core.checks import positive_int
from workshop.generative_models.evaluation.passes import in_passes
from workshop.generative_models.evaluation.samples.features import FeatureFunction

SIZE = 299
"""Height and width of the images that the network sees."""
CLASSES = 1008
"""Of its last layer, which features don't need but which tells its weights from others."""
BATCH_NORM_EPSILON = 1e-3
RECIPE = (
    "make the file of pytorch-fid's pt_inception-2015-12-05-6726825d.pth by "
    "safetensors.torch.save_file(torch.load('pt_inception-2015-12-05-6726825d.pth'), PATH)"
)

Images = Float[Array, "n _ _ _"]
"""Of shape (n, height, width, channels), of any sizes."""
Conv = Callable[..., Any]
"""(name, x, features, kernel=1, stride=1, padding="SAME") -> convolution, batch norm and ReLU."""


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
    weights = jax.device_put(load_weights(path))

    def features(x: ArrayLike) -> Float[np.ndarray, "n dim"]:
        images = as_images(x)

        def one_pass(index: np.ndarray) -> Float[Array, "n dim"]:
            return forward(weights, resized(to_unit(images[index])))

        return in_passes(one_pass, len(images), size=size)

    return features


def as_images(x: ArrayLike) -> np.ndarray:
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


def to_unit(images: np.ndarray) -> np.ndarray:
    """Return images as float32 in [0, 1]."""
    return images.astype(np.float32) / (255 if images.dtype == np.uint8 else 1)


def load_weights(path: str | PathLike[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return kernel and bias of each convolution, with its batch normalisation, from a file."""
    try:
        raw = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error}); {RECIPE}") from error
    for name, shape in parameter_shapes().items():
        if name not in raw or raw[name].shape != shape:
            found = f"has shape {raw[name].shape}" if name in raw else "is missing"
            raise ValueError(
                f"{path}: {name} {found}, expected shape {shape}: these are not the weights of the "
                f"FID Inception network; {RECIPE}"
            )
    folded = {}
    for name in convolutions():
        gamma, beta, mean, var = (
            raw[f"{name}.bn.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(var + BATCH_NORM_EPSILON)
        kernel = raw[f"{name}.conv.weight"] * scale[:, None, None, None]
        folded[name] = (kernel.astype(np.float32), (beta - mean * scale).astype(np.float32))
    return folded


@functools.cache
def convolutions() -> dict[str, tuple[int, ...]]:
    """Return the kernel's shape (out, in, height, width) of each convolution, by a dry run."""
    shapes = {}

    def conv(name, x, features, kernel=1, stride=1, padding="SAME"):
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        shapes[name] = (features, x.shape[-1], height, width)
        return convolve(x, jnp.zeros(shapes[name]), jnp.zeros(features), stride, padding)

    jax.eval_shape(lambda x: network(x, conv), jnp.zeros((1, SIZE, SIZE, 3)))
    return shapes


def parameter_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter that the file must have."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, kernel in convolutions().items():
        shapes[f"{name}.conv.weight"] = kernel
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = kernel[:1]
    return shapes | {"fc.weight": (CLASSES, 2048), "fc.bias": (CLASSES,)}


@jax.jit
def forward(weights: dict[str, Any], images: Images) -> Float[Array, "n 2048"]:
    """Return the features of images of 299×299 in [0, 1]."""

    def conv(name, x, _features, _kernel=1, stride=1, padding="SAME"):  # the weights have the sizes
        kernel, bias = weights[name]
        return convolve(x, kernel, bias, stride, padding)

    return network(2 * images - 1, conv)


@jax.jit
def resized(images: Images) -> Images:
    """Return images of 299×299×3, bilinearly between the centres of pixels, without smoothing."""
    shape = (len(images), SIZE, SIZE, images.shape[-1])
    large = jax.image.resize(images, shape, "bilinear", antialias=False)
    return jnp.broadcast_to(large, (*shape[:-1], 3))


def convolve(
    x: Images, kernel: Float[Array, "out in h w"], bias: Float[Array, " out"], stride: int, padding
) -> Images:
    """Return max(0, kernel * x + bias)."""
    y = jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,  # figures are compared across machines
    )
    return jax.nn.relu(y + bias)


def network(x: Images, conv: Conv) -> Float[Array, "n 2048"]:
    """Return the features of images of 299×299×3 in [-1, 1], by the names of the weights' file."""
    x = conv("Conv2d_1a_3x3", x, 32, 3, 2, "VALID")
    x = conv("Conv2d_2a_3x3", x, 32, 3, 1, "VALID")
    x = max_pool(conv("Conv2d_2b_3x3", x, 64, 3), 2, "VALID")
    x = conv("Conv2d_3b_1x1", x, 80)
    x = max_pool(conv("Conv2d_4a_3x3", x, 192, 3, 1, "VALID"), 2, "VALID")
    x = mixed_5(x, branches(conv, "Mixed_5b"), 32)
    x = mixed_5(x, branches(conv, "Mixed_5c"), 64)
    x = mixed_5(x, branches(conv, "Mixed_5d"), 64)
    x = mixed_6a(x, branches(conv, "Mixed_6a"))
    x = mixed_6(x, branches(conv, "Mixed_6b"), 128)
    x = mixed_6(x, branches(conv, "Mixed_6c"), 160)
    x = mixed_6(x, branches(conv, "Mixed_6d"), 160)
    x = mixed_6(x, branches(conv, "Mixed_6e"), 192)
    x = mixed_7a(x, branches(conv, "Mixed_7a"))
    x = mixed_7(x, branches(conv, "Mixed_7b"), average_pool(x))
    # The published weights go with a maximum here, where the paper has an average.
    x = mixed_7(x, branches(conv, "Mixed_7c"), max_pool(x, 1, "SAME"))
    return x.mean(axis=(1, 2))


def mixed_5(x: Images, conv: Conv, pooled: int) -> Images:
    """Return the block of 35×35 places."""
    five = conv("5x5_2", conv("5x5_1", x, 48), 64, 5)
    three = conv("3x3dbl_3", conv("3x3dbl_2", conv("3x3dbl_1", x, 64), 96, 3), 96, 3)
    return joined(conv("1x1", x, 64), five, three, conv("_pool", average_pool(x), pooled))


def mixed_6a(x: Images, conv: Conv) -> Images:
    """Return the block from 35×35 to 17×17 places."""
    three = conv("3x3dbl_2", conv("3x3dbl_1", x, 64), 96, 3)
    return joined(
        conv("3x3", x, 384, 3, 2, "VALID"),
        conv("3x3dbl_3", three, 96, 3, 2, "VALID"),
        max_pool(x, 2, "VALID"),
    )


def mixed_6(x: Images, conv: Conv, width: int) -> Images:
    """Return the block of 17×17 places, of kernels along one axis each."""
    seven = conv("7x7_2", conv("7x7_1", x, width), width, (1, 7))
    double = conv("7x7dbl_2", conv("7x7dbl_1", x, width), width, (7, 1))
    double = conv("7x7dbl_4", conv("7x7dbl_3", double, width, (1, 7)), width, (7, 1))
    return joined(
        conv("1x1", x, 192),
        conv("7x7_3", seven, 192, (7, 1)),
        conv("7x7dbl_5", double, 192, (1, 7)),
        conv("_pool", average_pool(x), 192),
    )


def mixed_7a(x: Images, conv: Conv) -> Images:
    """Return the block from 17×17 to 8×8 places."""
    seven = conv("7x7x3_2", conv("7x7x3_1", x, 192), 192, (1, 7))
    seven = conv("7x7x3_3", seven, 192, (7, 1))
    return joined(
        conv("3x3_2", conv("3x3_1", x, 192), 320, 3, 2, "VALID"),
        conv("7x7x3_4", seven, 192, 3, 2, "VALID"),
        max_pool(x, 2, "VALID"),
    )


def mixed_7(x: Images, conv: Conv, pooled: Images) -> Images:
    """Return the block of 8×8 places, whose branches end in two kernels side by side."""
    three = conv("3x3_1", x, 384)
    double = conv("3x3dbl_2", conv("3x3dbl_1", x, 448), 384, 3)
    return joined(
        conv("1x1", x, 320),
        conv("3x3_2a", three, 384, (1, 3)),
        conv("3x3_2b", three, 384, (3, 1)),
        conv("3x3dbl_3a", double, 384, (1, 3)),
        conv("3x3dbl_3b", double, 384, (3, 1)),
        conv("_pool", pooled, 192),
    )


def branches(conv: Conv, block: str) -> Conv:
    """Return the convolutions of one block."""
    return lambda name, *rest: conv(f"{block}.branch{name}", *rest)


def joined(*parts: Images) -> Images:
    """Return the branches' channels side by side."""
    return jnp.concatenate(parts, axis=-1)


def max_pool(x: Images, stride: int, padding: str) -> Images:
    """Return the maximum of each 3×3 window."""
    return nnx.max_pool(x, (3, 3), (stride, stride), padding)


def average_pool(x: Images) -> Images:
    """Return the average around each place, over those of the window that are in the image."""
    return nnx.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)
