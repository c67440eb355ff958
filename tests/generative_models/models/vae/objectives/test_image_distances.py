"""MS-SSIM against scikit-image and NumPy, and perceptual distances against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critic_models import kl_of, losses_of, model_with
from safetensors.numpy import save_file
from scipy.signal import correlate2d

from workshop.generative_models.core.configuration import (
    MSSSIMConfig,
    PerceptualConfig,
    PointMassConfig,
)
from workshop.generative_models.core.vgg import read_vgg, vgg_features
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.models.vae.objectives.ms_ssim import ms_ssim

RNG = np.random.default_rng(0)
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def images(side, n=2, channels=2):
    """Return smooth images in [0, 1] and noisy copies."""
    grid = np.linspace(0, 3, side)
    waves = RNG.uniform(0.5, 3, size=(n, 2, channels))
    x = 0.5 + 0.5 * np.sin(
        grid[None, :, None, None] * waves[:, 0, None, None]
        + grid[:, None] * waves[:, 1, None, None]
    )
    y = np.clip(x + 0.1 * RNG.normal(size=x.shape), 0, 1)
    return x.astype(np.float32), y.astype(np.float32)


def filtered(image, window):
    """Return the local means of one channel, by a convolution in two dimensions."""
    near = np.exp(-0.5 * ((np.arange(window) - window // 2) / 1.5) ** 2)
    return correlate2d(image, np.outer(near, near) / near.sum() ** 2, mode="valid")


def oracle(x, y, window, scales, data_range=1.0):
    """Return MS-SSIM of two single-channel images, in float64, as Wang et al. (2003) define it."""
    x, y = np.float64(x), np.float64(y)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    exponents = np.array(EXPONENTS[:scales]) / sum(EXPONENTS[:scales])
    value = 1.0
    for scale in range(scales):
        mx, my = filtered(x, window), filtered(y, window)
        vx, vy = filtered((x * x), window) - mx**2, filtered(y * y, window) - my**2
        cs = (2 * (filtered(x * y, window) - mx * my) + c2) / (vx + vy + c2)
        luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        last = scale == scales - 1
        value *= np.mean(cs * luminance if last else cs) ** exponents[scale]
        even = [side - side % 2 for side in x.shape]
        x, y = (
            a[: even[0], : even[1]].reshape(even[0] // 2, 2, even[1] // 2, 2).mean((1, 3))
            for a in (x, y)
        )
    return value


@pytest.mark.parametrize(
    ("side", "window", "scales"),
    [(48, 3, 5), (44, 11, 3), (28, 11, 2), (13, 5, 2), (8, 7, 1)],
)
def test_ms_ssim_is_that_of_the_definition(side, window, scales):
    x, y = images(side)
    asked = 11 if side == 8 else window  # which does not fit an image of 8 pixels
    found = jax.jit(lambda x, y: ms_ssim(x, y, window=asked))(x, y)
    expected = [
        np.mean([oracle(x[i, ..., c], y[i, ..., c], window, scales) for c in range(2)])
        for i in range(2)
    ]
    # Variances are differences of squares in float32.
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_single_scale_is_scikit_images_structural_similarity():
    metrics = pytest.importorskip("skimage.metrics")
    x, y = images(16)
    found = jax.jit(lambda x, y: ms_ssim(200 * x, 200 * y, data_range=200.0))(x, y)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [
        metrics.structural_similarity(a, b, data_range=1.0, channel_axis=-1, **options)
        for a, b in zip(np.float64(x), np.float64(y), strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_ms_ssim_of_equal_and_of_opposite_images_has_finite_gradients():
    x, _ = images(24)
    centred = x - x.mean((1, 2), keepdims=True)
    flat = np.full_like(x, 0.5)

    @jax.jit
    def values(x, y):
        return jax.value_and_grad(lambda y: ms_ssim(x, y, window=5).sum())(y)

    for other, expected in (
        (x, 2.0),
        (x.mean((1, 2), keepdims=True) - centred, None),
        (flat, None),
    ):
        value, gradient = values(x, other)
        assert np.isfinite(gradient).all()
        assert -1e-5 <= value <= 2 + 1e-5
        if expected is not None:
            np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Return the file of a VGG network with two blocks, and its arrays in float64."""
    shapes = {0: (2, 3), 2: (3, 2), 5: (2, 3)}  # a maximum lies between 2 and 5
    raw = {}
    for place, shape in shapes.items():
        raw[f"features.{place}.weight"] = RNG.normal(size=(*shape, 3, 3)).astype(np.float32)
        raw[f"features.{place}.bias"] = RNG.normal(size=shape[0]).astype(np.float32)
    raw["classifier.0.weight"] = np.zeros((1, 2), np.float32)
    path = tmp_path_factory.mktemp("vgg") / "network.safetensors"
    save_file(raw, path)
    return path, {name: np.float64(array) for name, array in raw.items()}


def vgg_oracle(raw, image):
    """Return the maps of all layers of one image (height, width, 3), channels first."""
    x = (np.float64(image) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x, found = x.transpose(2, 0, 1), []
    for place in (0, 2, 5):
        if place == 5:
            height, width = (side // 2 * 2 for side in x.shape[1:])
            x = x[:, :height, :width].reshape(len(x), height // 2, 2, width // 2, 2).max((2, 4))
        kernels, bias = raw[f"features.{place}.weight"], raw[f"features.{place}.bias"]
        x = np.stack([
            sum(correlate2d(channel, k, mode="same") for channel, k in zip(x, kernel, strict=True))
            for kernel in kernels
        ])  # fmt: skip
        x = np.maximum(x + bias[:, None, None], 0)
        found.append(x)
    return found


def test_features_are_those_of_the_network(network):
    path, raw = network
    x, _ = images(7, n=1, channels=3)
    names = ("relu1_1", "relu1_2", "relu2_1")
    found = jax.jit(lambda x: vgg_features(read_vgg(path, names), x, names))(x)
    for a, b in zip(found, vgg_oracle(raw, x[0]), strict=True):
        np.testing.assert_allclose(np.moveaxis(a[0], -1, 0), b, rtol=1e-4, atol=1e-4)
    assert [name for name, *_ in read_vgg(path, ("relu1_2",))] == ["relu1_1", "relu1_2"]


def test_the_losses_of_images_are_those_of_the_definition(network):
    path, raw = network
    x = images(6, channels=1)[0]
    names = ("relu1_2", "relu2_1")
    perceptual = PerceptualConfig(
        path=str(path), layers=names, distance_weight=3.0, likelihood_weight=0.5
    )
    structural = MSSSIMConfig(distance_weight=3.0, likelihood_weight=0.5, window=5)
    for config in (perceptual, structural):
        losses, outputs = losses_of(model_with(config, event=(6, 6, 1)), x=x)
        made = outputs["reconstructed"]
        if config is structural:
            pairs = zip(x, made, strict=True)
            distance = np.mean([1 - oracle(a[..., 0], b[..., 0], 5, 1) for a, b in pairs])
        else:
            maps = [
                [vgg_oracle(raw, np.repeat(image, 3, -1))[1:] for image in batch]
                for batch in (x, made)
            ]
            distance = np.mean([
                sum(np.square(a - b).mean() for a, b in zip(*pair, strict=True))
                for pair in zip(*maps, strict=True)
            ])  # fmt: skip
        np.testing.assert_allclose(losses["distance"], distance, rtol=1e-3)
        error = np.square(made - x).sum((1, 2, 3)).mean()
        expected = 3.0 * losses["distance"] + 0.5 * error + kl_of(outputs)
        np.testing.assert_allclose(losses["total_loss"], expected, rtol=1e-5)


def test_a_model_is_loaded_without_the_network_that_only_its_loss_reads(network, tmp_path):
    path, _ = network
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(path.read_bytes())
    model = model_with(PerceptualConfig(path=str(copy), layers=("relu1_1",)), event=(6, 6, 1))
    copy.unlink()
    model.save_pretrained(tmp_path / "saved")
    loaded = VAE.from_pretrained(tmp_path / "saved")
    assert jax.jit(loaded.decode)(jnp.zeros((1, 2))).shape == (1, 6, 6, 1)
    with pytest.raises(FileNotFoundError, match=r"copy.safetensors"):
        loaded.loss_fn(batch=np.zeros((1, 6, 6, 1), np.float32), rng=jax.random.key(0))


def test_files_and_shapes_that_do_not_fit_are_refused(network, tmp_path):
    path, raw = network

    def saved(changes):
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.safetensors"
        arrays = {n: np.float32(a) for n, a in {**raw, **changes}.items() if a is not None}
        save_file(arrays, file)
        return file

    wrong = {
        "batch normalisation": saved({"features.1.running_mean": np.zeros(2)}),
        "features.9 follows features.5": saved({"features.9.weight": np.zeros((2, 2, 3, 3))}),
        "features.2.weight has shape": saved({"features.2.weight": np.zeros((3, 4, 3, 3))}),
        "no features.0.weight": saved({"features.0.weight": None}),
        "features.5.bias": saved({"features.5.bias": None}),
    }
    for message, file in wrong.items():
        with pytest.raises(ValueError, match=message):
            read_vgg(file, ("relu1_1",))
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(ValueError, match="holds no VGG network"):
        read_vgg(tmp_path / "text", ("relu1_1",))
    with pytest.raises(ValueError, match="has no layer 'relu7_1', only relu1_1, relu1_2, relu2_1"):
        read_vgg(path, ("relu7_1",))
    with pytest.raises(ValueError, match="path='': pass the path"):
        model_with(PerceptualConfig(), event=(6, 6, 1))
    for config in (MSSSIMConfig(), PerceptualConfig(path=str(path))):
        with pytest.raises(ValueError, match=r"compares images: examples of shape \(4,\)"):
            model_with(config)
        with pytest.raises(ValueError, match=r"PointMassPosterior .* objective (MSSSIM|Percept)"):
            model_with(config, event=(6, 6, 1), posterior=PointMassConfig())
    with pytest.raises(ValueError, match="1 or 3 channels, not 2"):
        model_with(PerceptualConfig(path=str(path)), event=(6, 6, 2))
    with pytest.raises(ValueError, match="window=4: expected an odd number"):
        MSSSIMConfig(window=4)
