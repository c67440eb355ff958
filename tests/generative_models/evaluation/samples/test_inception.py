"""The Inception network against pytorch-fid's, with random weights in the format of its file."""

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from workshop.generative_models.evaluation.samples.inception import inception_features, resized

# The kernels of pytorch-fid's file, (out, in, height, width) of each.
SHAPES = """
Conv2d_1a_3x3: 32x3x3x3
Conv2d_2a_3x3: 32x32x3x3
Conv2d_2b_3x3: 64x32x3x3
Conv2d_3b_1x1: 80x64x1x1
Conv2d_4a_3x3: 192x80x3x3
Mixed_5b: 5x5_1 48x192x1x1, 5x5_2 64x48x5x5, 3x3dbl_1 64x192x1x1, 3x3dbl_2 96x64x3x3, 3x3dbl_3
    96x96x3x3, 1x1 64x192x1x1, _pool 32x192x1x1
Mixed_5c: 5x5_1 48x256x1x1, 5x5_2 64x48x5x5, 3x3dbl_1 64x256x1x1, 3x3dbl_2 96x64x3x3, 3x3dbl_3
    96x96x3x3, 1x1 64x256x1x1, _pool 64x256x1x1
Mixed_5d: 5x5_1 48x288x1x1, 5x5_2 64x48x5x5, 3x3dbl_1 64x288x1x1, 3x3dbl_2 96x64x3x3, 3x3dbl_3
    96x96x3x3, 1x1 64x288x1x1, _pool 64x288x1x1
Mixed_6a: 3x3dbl_1 64x288x1x1, 3x3dbl_2 96x64x3x3, 3x3 384x288x3x3, 3x3dbl_3 96x96x3x3
Mixed_6b: 7x7_1 128x768x1x1, 7x7_2 128x128x1x7, 7x7dbl_1 128x768x1x1, 7x7dbl_2 128x128x7x1,
    7x7dbl_3 128x128x1x7, 7x7dbl_4 128x128x7x1, 1x1 192x768x1x1, 7x7_3 192x128x7x1, 7x7dbl_5
    192x128x1x7, _pool 192x768x1x1
Mixed_6c: 7x7_1 160x768x1x1, 7x7_2 160x160x1x7, 7x7dbl_1 160x768x1x1, 7x7dbl_2 160x160x7x1,
    7x7dbl_3 160x160x1x7, 7x7dbl_4 160x160x7x1, 1x1 192x768x1x1, 7x7_3 192x160x7x1, 7x7dbl_5
    192x160x1x7, _pool 192x768x1x1
Mixed_6d: 7x7_1 160x768x1x1, 7x7_2 160x160x1x7, 7x7dbl_1 160x768x1x1, 7x7dbl_2 160x160x7x1,
    7x7dbl_3 160x160x1x7, 7x7dbl_4 160x160x7x1, 1x1 192x768x1x1, 7x7_3 192x160x7x1, 7x7dbl_5
    192x160x1x7, _pool 192x768x1x1
Mixed_6e: 7x7_1 192x768x1x1, 7x7_2 192x192x1x7, 7x7dbl_1 192x768x1x1, 7x7dbl_2 192x192x7x1,
    7x7dbl_3 192x192x1x7, 7x7dbl_4 192x192x7x1, 1x1 192x768x1x1, 7x7_3 192x192x7x1, 7x7dbl_5
    192x192x1x7, _pool 192x768x1x1
Mixed_7a: 7x7x3_1 192x768x1x1, 7x7x3_2 192x192x1x7, 7x7x3_3 192x192x7x1, 3x3_1 192x768x1x1, 3x3_2
    320x192x3x3, 7x7x3_4 192x192x3x3
Mixed_7b: 3x3_1 384x1280x1x1, 3x3dbl_1 448x1280x1x1, 3x3dbl_2 384x448x3x3, 1x1 320x1280x1x1,
    3x3_2a 384x384x1x3, 3x3_2b 384x384x3x1, 3x3dbl_3a 384x384x1x3, 3x3dbl_3b 384x384x3x1, _pool
    192x1280x1x1
Mixed_7c: 3x3_1 384x2048x1x1, 3x3dbl_1 448x2048x1x1, 3x3dbl_2 384x448x3x3, 1x1 320x2048x1x1,
    3x3_2a 384x384x1x3, 3x3_2b 384x384x3x1, 3x3dbl_3a 384x384x1x3, 3x3dbl_3b 384x384x3x1, _pool
    192x2048x1x1
"""


def parameter_shapes():
    shapes = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    for line in SHAPES.replace("\n    ", " ").strip().splitlines():
        block, _, kernels = line.partition(": ")
        for kernel in kernels.split(", "):
            *branch, sizes = kernel.split(" ")
            name = f"{block}.branch{branch[0]}" if branch else block
            shapes[f"{name}.conv.weight"] = tuple(int(size) for size in sizes.split("x"))
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{name}.bn.{part}"] = shapes[f"{name}.conv.weight"][:1]
    return shapes


def random_weights():
    """Return weights that keep the activations of all layers at about the same size."""
    rng, weights = np.random.default_rng(0), {}
    for name, shape in sorted(parameter_shapes().items()):
        if name.endswith("conv.weight"):
            drawn = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif name.endswith(("running_var", "bn.weight")):
            drawn = rng.uniform(0.5, 1.5, shape)
        else:
            drawn = rng.normal(0, 0.1, shape)
        weights[name] = drawn.astype(np.float32)
    return weights


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("inception") / "weights.safetensors"
    save_file(random_weights(), file)
    return file


@pytest.fixture(scope="module")
def features(path):
    return inception_features(path, batch_size=2)


@pytest.mark.slow
def test_features_are_those_of_pytorch_fid(features):
    # pytorch_fid.inception.InceptionV3 of pytorch-fid 0.3.0 (PyTorch 2.13, torchvision 0.28) with
    # these very weights, all of whose names and shapes it took, on these images / 255; every 200th
    # feature of each.
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 28, 3), dtype=np.uint8)
    expected = [
        [1.0828, 2.3474, 0.0239, 1.3533, 0.0362, 9.849, 0.5548, 0.2493, 5.3257, 0.5346, 6.2063],
        [1.2718, 2.5084, 0.0008, 1.2372, 0.0705, 10.0378, 0.6315, 0.2533, 5.7469, 0.6262, 6.2705],
        [1.2962, 2.4533, 0.0186, 1.3183, 0.0335, 9.9905, 0.5864, 0.2426, 5.6638, 0.5399, 6.6988],
    ]
    found = features(images)
    assert found.shape == (3, 2048)
    # Float32 through 94 layers, whose features have a spread of 5.
    np.testing.assert_allclose(found[:, ::200], expected, rtol=0, atol=2e-4)
    assert found.mean() == pytest.approx(3.734299, abs=1e-4)
    assert found.std() == pytest.approx(5.162571, abs=1e-4)
    # The batch, filled up at the end, leaves no trace; floats in [0, 1] are as good as bytes.
    np.testing.assert_allclose(features(images[1:] / 255.0), found[1:], rtol=0, atol=2e-4)


@pytest.mark.parametrize("size", [(7, 28), (299, 299), (310, 700)])
def test_images_are_resized_as_torch_does(size):
    # torch.nn.functional.interpolate(mode="bilinear", align_corners=False), by its documentation:
    # output i lies at (i + ½) size / 299 - ½ of the input, kept inside, between two neighbours.
    image = np.random.default_rng(0).uniform(size=size)
    for axis, length in enumerate(size):
        place = np.clip((np.arange(299) + 0.5) * length / 299 - 0.5, 0, length - 1)
        low = np.floor(place).astype(int)
        high, share = np.minimum(low + 1, length - 1), place - low
        share = share[:, None] if axis == 0 else share
        image = image.take(low, axis) * (1 - share) + image.take(high, axis) * share
    given = np.random.default_rng(0).uniform(size=size)[None, ..., None].astype(np.float32)
    # Places in float32 have errors of 700 · 6e-8.
    np.testing.assert_allclose(resized(jnp.asarray(given))[0, ..., 0], image, rtol=0, atol=2e-4)


def test_grey_images_are_repeated(features):
    grey = np.random.default_rng(2).integers(0, 256, (2, 32, 28, 1), dtype=np.uint8)
    colour = np.repeat(grey, 3, axis=-1)
    np.testing.assert_allclose(features(grey), features(colour), rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 8, 8)), r"x has shape \(2, 8, 8\): expected \(n, height, width, 1 or 3"),
        (np.zeros((2, 8, 8, 2)), "1 or 3 channels"),
        (np.zeros((0, 8, 8, 3)), "x has shape"),
        (np.full((1, 8, 8, 3), 255.0), r"bytes \(uint8\) or values in \[0, 1\], got float64"),
        (np.full((1, 8, 8, 3), 255), "got int64 from 255 to 255"),
        (np.full((1, 8, 8, 3), np.nan), "got float64 from nan"),
    ],
)
def test_impossible_images_are_named(features, x, message):
    with pytest.raises(ValueError, match=message):
        features(x)


def test_other_files_are_refused(tmp_path):
    junk = tmp_path / "weights.pth"
    junk.write_bytes(b"PK\x03\x04 a pickle in a zip file")
    with pytest.raises(ValueError, match=r"is not a safetensors file .*save_file"):
        inception_features(junk)
    # torchvision's own Inception has the same names and other weights, for 1,000 classes.
    small = {name: np.zeros(shape, np.float32) for name, shape in parameter_shapes().items()}
    small["fc.weight"] = np.zeros((1000, 2048), np.float32)
    save_file(small, tmp_path / "torchvision.safetensors")
    with pytest.raises(ValueError, match=r"fc.weight has shape \(1000, 2048\), expected .*1008"):
        inception_features(tmp_path / "torchvision.safetensors")
    save_file({"x": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"Conv2d_1a_3x3.conv.weight is missing.*FID"):
        inception_features(tmp_path / "other.safetensors")
