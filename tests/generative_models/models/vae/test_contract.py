"""What every model promises, on every kind of network: outputs, streams, saving, use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import MODEL_CONFIGS
from workshop.generative_models.models.vae import MODELS

CASES = [(name, network) for name in MODELS for network in ("dense", "cnn", "resnet")]
pytestmark = pytest.mark.parametrize(("name", "network"), CASES, ids=map("-".join, CASES))

KEYS = ["reconstructed", "reconstruction", "mean", "log_var", "logvar", "z"]
VQ_KEYS = ["z_e", "quantized", "commitment_loss", "codebook_loss", "encoding_indices", "perplexity"]


@pytest.fixture
def model(make_model, name, network):
    return make_model(name, network)


def latent_shape(name, network):
    """Return the shape of z: the map that two halvings of 9 x 6 leave, or one in the ResNet."""
    maps = {"cnn": (2, 1, 2), "resnet": (4, 3, 2)}
    return maps.get(network, (4,)) if name == "vq-vae" else (4,)


@pytest.mark.sampled
def test_outputs(model, name, network, images):
    outputs = model(images, rngs=nnx.Rngs(0))
    assert list(outputs)[: len(KEYS)] == KEYS
    assert set(outputs) >= set(KEYS) | (set(VQ_KEYS) if name == "vq-vae" else set())
    assert outputs["reconstruction"] is outputs["reconstructed"]
    assert outputs["logvar"] is outputs["log_var"]
    latents = (3, *latent_shape(name, network))
    for key in ("mean", "log_var", "z"):
        assert outputs[key].shape == latents
    assert outputs["reconstructed"].shape == outputs["logits"].shape == images.shape
    for value in jax.tree.leaves(outputs):
        assert value.dtype in (jnp.float32, jnp.int32)
        assert jnp.isfinite(value).all()
    # The page's pieces, called one by one, give the same.
    mean, log_var = model.encode(images)
    np.testing.assert_array_equal(mean, outputs["mean"])
    np.testing.assert_array_equal(log_var, outputs["log_var"])
    np.testing.assert_array_equal(model.decode(outputs["z"]), outputs["reconstructed"])


@pytest.mark.sampled
def test_a_single_example_is_a_batch_of_one_without_its_axis(model, images):
    one = model(images[:1], rngs=nnx.Rngs(0))
    single = model(images[0], rngs=nnx.Rngs(0))
    assert single.keys() == one.keys()
    for key, value in one.items():
        if key == "statistics":  # of all codes, whatever the batch
            jax.tree.map(np.testing.assert_array_equal, single[key], value)
            continue
        expected = value[0] if value.ndim else value
        np.testing.assert_array_equal(single[key], expected, err_msg=key)
    losses = model.loss_fn(x=images[:1], outputs=one, step=3)
    same = model.loss_fn(x=images[0], outputs=single, step=3)
    for key in set(losses) - {"statistics"}:
        np.testing.assert_array_equal(same[key], losses[key], err_msg=key)
    z = one["z"]
    np.testing.assert_array_equal(model.decode(z[0]), model.decode(z)[0])
    reconstructed = model.reconstruct(images[0], deterministic=True)
    np.testing.assert_array_equal(
        reconstructed, model.reconstruct(images[:1], deterministic=True)[0]
    )


@pytest.mark.sampled
def test_streams(model, name, images):
    one, same = (model(images, rngs=nnx.Rngs(5)) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    reconstructed = model.reconstruct(images, rngs=nnx.Rngs(5))
    np.testing.assert_array_equal(reconstructed, one["reconstructed"])
    drawn = model.sample(3, rngs=nnx.Rngs(5))
    np.testing.assert_array_equal(model.generate(3, rngs=nnx.Rngs(5)), drawn)
    # The model's own stream moves on, and so does one that is given.
    assert (model.sample(3) != model.sample(3)).any()
    rngs = nnx.Rngs(5)
    assert (model.sample(3, rngs=rngs) != model.sample(3, rngs=rngs)).any()
    if name != "vq-vae":  # quantizing draws nothing
        assert (model(images)["z"] != model(images)["z"]).any()


def test_a_model_without_streams_asks_for_rngs(model, images):
    model.rngs = None
    assert model.sample(3, rngs=nnx.Rngs(0)).shape == (3, *images.shape[1:])
    with pytest.raises(ValueError, match="pass rngs"):
        model.sample(2)


@pytest.mark.sampled
def test_use(model, images):
    event = images.shape[1:]
    assert model.sample().shape == model.generate().shape == (1, *event)
    assert model.sample(3, temperature=0.5).shape == (3, *event)
    assert model.reconstruct(images).shape == images.shape
    line = model.interpolate(images[0], images[1], steps=3)
    walk = model.latent_traversal(images[0], dim=1, steps=3)
    assert line.shape == walk.shape == (3, *event)
    np.testing.assert_array_equal(line, model.interpolate(images[:1], images[1:2], steps=3))
    np.testing.assert_array_equal(walk, model.latent_traversal(images[:1], 1, (-3.0, 3.0), 3))


@pytest.mark.sampled
def test_interpolation_ends_at_what_decoding_the_means_gives(model, images):
    line = model.interpolate(images[0], images[1], steps=3)
    decoded = model.reconstruct(images, deterministic=True)
    # Encoded one by one and as a batch, whose float32 products may round differently.
    np.testing.assert_allclose(line[0], decoded[0], atol=1e-6)
    np.testing.assert_allclose(line[-1], decoded[1], atol=1e-6)


@pytest.mark.sampled
def test_a_traversal_sets_exactly_one_latent(model, images):
    mean, log_var = model.encode(images[:1])
    walk = model.latent_traversal(images[0], dim=1, range_vals=(-2.0, 4.0), steps=3)
    for image, value in zip(walk, (-2.0, 1.0, 4.0), strict=True):
        features = {"mean": mean.at[..., 1].set(value), "log_var": log_var}
        moved = model.infer(features, {}, deterministic=True).z[0]
        np.testing.assert_allclose(image, model.decode(moved)[0], atol=1e-6)


def test_deterministic_reconstruction_decodes_the_mean(model, images):
    mean, log_var = model.encode(images)
    z = model.infer({"mean": mean, "log_var": log_var}, {}, deterministic=True).z[0]
    np.testing.assert_array_equal(model.reconstruct(images, deterministic=True), model.decode(z))


@pytest.mark.sampled
def test_bytes_are_scaled_to_the_unit_interval(model, images):
    rng = np.random.default_rng(1)
    pixels = jnp.asarray(rng.integers(0, 256, images.shape, np.uint8))
    scaled = pixels.astype(jnp.float32) / 255
    one, other = (model.loss_fn(batch=x, rng=jax.random.key(0)) for x in (pixels, scaled))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    np.testing.assert_array_equal(model.encode(pixels)[0], model.encode(scaled)[0])


@pytest.mark.sampled
def test_a_config_from_json_rebuilds_the_model(make_config, make_model, name, network, images):
    config = make_config(name, network)
    again = MODEL_CONFIGS[name].model_validate_json(config.model_dump_json())
    assert again == config
    first = make_model(name, network)
    rebuilt = jax.eval_shape(lambda: MODELS[name](again, rngs=nnx.Rngs(params=1, sample=2)))
    shapes = jax.tree.map(lambda a: (a.shape, a.dtype), nnx.state(first))
    assert shapes == jax.tree.map(lambda a: (a.shape, a.dtype), nnx.state(rebuilt))
    assert first.config == rebuilt.config == config
    assert nnx.graphdef(first) == nnx.graphdef(rebuilt)
    weights = nnx.state(first, nnx.Not(nnx.RngState))
    other = MODELS[name](again, rngs=nnx.Rngs(9)) if network == "dense" else first
    nnx.update(other, weights)
    outputs = (m(images, rngs=nnx.Rngs(0))["reconstructed"] for m in (first, other))
    np.testing.assert_array_equal(*outputs)
