"""Features of images by a VGG network, from a local file of its weights."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from os import PathLike, fspath, stat

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError
from safetensors.numpy import load_file

_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_SPREAD = np.array((0.229, 0.224, 0.225), np.float32)
"""Mean and standard deviation of ImageNet, by which torchvision's networks were trained."""
_RECIPE = (
    "make the file of a network of torchvision by "
    "safetensors.torch.save_file(torchvision.models.vgg19(weights='DEFAULT').state_dict(), PATH)"
)

Layer = tuple[str, bool, np.ndarray, np.ndarray]
"""Name, whether a maximum over 2×2 pixels comes before, kernel (out, in, 3, 3) and bias."""


def read_vgg(path: str | PathLike[str], last: Sequence[str]) -> tuple[Layer, ...]:
    """Return the layers of a VGG network up to the last one of those named.

    Any of torchvision's VGG networks without batch normalisation will do: their files tell the
    architecture. Layers are named as in Simonyan & Zisserman: relu3_1 is the first one after the
    second halving. A file is read once.

    Args:
        path: of a safetensors file with the names `features.0.weight`, ... of torchvision.
        last: names of layers.

    Raises:
        ValueError: if it is no such file, or has not these layers.

    References:
        Simonyan & Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
        ICLR 2015; torchvision (`models/vgg.py`).
    """
    if not fspath(path):
        raise ValueError(
            f"path='': pass the path of a safetensors file of a VGG network's weights; {_RECIPE}"
        )
    found = stat(path)
    layers = _read(fspath(path), found.st_mtime_ns, found.st_size)
    names = [name for name, *_ in layers]
    if unknown := [name for name in last if name not in names]:
        raise ValueError(
            f"layers={tuple(last)}: {path} has no layer {unknown[0]!r}, only {', '.join(names)}"
        )
    return layers[: 1 + max(names.index(name) for name in last)]


@lru_cache(maxsize=4)
def _read(path: str, modified: int, size: int) -> tuple[Layer, ...]:  # noqa: ARG001
    try:
        raw = load_file(path)
        return _layers(raw)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path} holds no VGG network ({error}); {_RECIPE}") from error


def _layers(raw: Mapping[str, np.ndarray]) -> tuple[Layer, ...]:
    if any(name.endswith("running_mean") for name in raw):
        raise ValueError("networks with batch normalisation are not read")
    places = sorted(
        int(name.split(".")[1])
        for name in raw
        if name.startswith("features.") and name.endswith(".weight")
    )
    if not places or places[0] != 0:
        raise ValueError("it has no features.0.weight")
    layers, block, channels = [], [1, 0], 3
    for before, place in zip([-2, *places], places, strict=False):
        if place - before not in (2, 3):  # a convolution and its ReLU, and perhaps a maximum
            raise ValueError(f"features.{place} follows features.{before}")
        halved = place - before == 3
        block = [block[0] + 1, 1] if halved else [block[0], block[1] + 1]
        kernel, bias = (
            np.asarray(raw[f"features.{place}.{part}"], np.float32) for part in ("weight", "bias")
        )
        if kernel.shape != (len(bias), channels, 3, 3):
            raise ValueError(f"features.{place}.weight has shape {kernel.shape}")
        channels = len(bias)
        layers.append((f"relu{block[0]}_{block[1]}", halved, kernel, bias))
    return tuple(layers)


def vgg_features(
    layers: Sequence[Layer], images: jax.Array, names: Sequence[str]
) -> list[jax.Array]:
    """Return the maps (n, height', width', channels) of the layers named, after their ReLU.

    Args:
        layers: as `read_vgg` returns them.
        images: (n, height, width, 1 or 3) in [0, 1]; a grey channel is repeated.
        names: of layers.
    """
    x = jnp.broadcast_to(images, (*images.shape[:-1], 3))
    x = (x.astype(jnp.float32) - _MEAN) / _SPREAD
    found = {}
    for name, halved, kernel, bias in layers:
        x = nnx.max_pool(x, (2, 2), (2, 2)) if halved else x
        x = jax.lax.conv_general_dilated(
            x, jnp.asarray(kernel), (1, 1), "SAME", dimension_numbers=("NHWC", "OIHW", "NHWC")
        )
        x = found[name] = jax.nn.relu(x + bias)
    return [found[name] for name in names]
