"""ConditionalVAE: what labels mean, where they enter, and that samples are of their class."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.models.vae import (
    CNNEncoder,
    ConditionalDecoder,
    ConditionalEncoder,
    ConditionalVAE,
    MLPDecoder,
    MLPEncoder,
)

CLASSES = 3
LABELS = jnp.array([2, 0, 1])
NETWORKS = pytest.mark.parametrize("network", ["dense", "cnn", "resnet"])


@pytest.fixture
def model(make_model):
    return make_model("conditional-vae")


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


class TestLabels:
    def test_integers_and_one_hot_rows_are_the_same(self, model, images):
        rows = jax.nn.one_hot(LABELS, CLASSES)
        first = model(images, y=LABELS, rngs=nnx.Rngs(0))
        for y in (np.asarray(LABELS), rows, rows.astype(jnp.int32), LABELS.astype(jnp.uint8)):
            equal(model(images, y=y, rngs=nnx.Rngs(0)), first)
        equal(model.encode(images, LABELS), (first["mean"], first["log_var"]))
        equal(model.decode(first["z"], LABELS), first["reconstructed"])

    def test_one_label_stands_for_all(self, model, images):
        all_of_it = model(images, y=jnp.array([1, 1, 1]), rngs=nnx.Rngs(0))
        equal(model(images, y=1, rngs=nnx.Rngs(0)), all_of_it)
        equal(
            model(images, y=jnp.array([0.0, 1.0, 0.0])[None, :].repeat(3, 0), rngs=nnx.Rngs(0)),
            all_of_it,
        )

    def test_no_label_is_zeros(self, model, images):
        none = model(images, rngs=nnx.Rngs(0))
        equal(model(images, y=jnp.zeros((3, CLASSES)), rngs=nnx.Rngs(0)), none)
        equal(model(images, None, rngs=nnx.Rngs(0)), none)

    def test_every_label_counts(self, model, images):
        means = [model.encode(images, label)[0] for label in (0, 1, 2, None)]
        decoded = [model.decode(means[0], label) for label in (0, 1, 2, None)]
        for found in (means, decoded):
            for i in range(4):
                for j in range(i):
                    assert (found[i] != found[j]).any()

    def test_in_the_loss(self, model, images):
        outputs = model(images, y=LABELS, rngs=nnx.Rngs(jax.random.key(0)))
        expected = model.loss_fn(x=images, outputs=outputs)
        params, key = nnx.state(model, nnx.Param), jax.random.key(0)
        equal(model.loss_fn(params, {"x": images, "y": LABELS}, key), expected)
        equal(model.loss_fn(batch=images, rng=key, y=LABELS), expected)
        assert model.loss_fn(params, images, key)["loss"] != expected["loss"]

    def test_a_single_example(self, model, images):
        expected = model.encode(images[:1], jnp.array([2]))[0][0]
        for y in (2, jnp.array(2), jnp.array([2]), jax.nn.one_hot(2, CLASSES)):
            equal(model.encode(images[0], y)[0], expected)

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (jnp.array([0, 3, 1]), "labels from 0 to 3: expected 0 <= label < 3"),
            (jnp.array([0, -1, 1]), "labels from -1 to 1: expected 0 <= label < 3"),
            (3, "labels from 3 to 3"),
            (
                jnp.array([0, 1]),
                r"shape \(2,\) .* expected integer labels \(3,\) or one for all, or one-hot",
            ),
            (jnp.array([0.0, 1.0, 2.0, 1.0]), r"shape \(4,\) and type float32"),
            (jnp.zeros((3, 4)), r"shape \(3, 4\)"),
        ],
    )
    def test_wrong_labels(self, model, images, y, message):
        for use in (
            lambda: model(images, y=y),
            lambda: model.encode(images, y),
            lambda: model.decode(jnp.zeros((3, 4)), y),
            lambda: model.sample(3, y=y),
            lambda: model.loss_fn(batch={"x": images, "y": y}),
            lambda: model.check_data(images, y),
        ):
            with pytest.raises(ValueError, match=message):
                use()


class TestConcat:
    """One-hot concatenation, compared with joining by hand before the inner network."""

    rows = jax.nn.one_hot(LABELS, CLASSES)

    def test_flat(self, model, images):
        joined = jnp.concatenate([images.reshape(3, -1), self.rows], axis=1)
        equal(model.encode(images, LABELS), model.encoder.encoder(joined))

    @pytest.mark.sampled
    @pytest.mark.parametrize("network", ["cnn", "resnet"])
    def test_labels_become_channels(self, make_model, images, network):
        model = make_model("conditional-vae", network)
        channels = jnp.broadcast_to(self.rows[:, None, None, :], (3, 9, 6, CLASSES))
        joined = jnp.concatenate([images, channels], axis=-1)
        assert isinstance(model.encoder.encoder, CNNEncoder)
        assert model.encoder.encoder.input_dim == (9, 6, 2 + CLASSES)
        equal(model.encode(images, LABELS), model.encoder.encoder(joined))

    @pytest.mark.sampled
    @NETWORKS
    def test_latents(self, make_model, network):
        model = make_model("conditional-vae", network)
        z = jnp.linspace(-1, 1, 12).reshape(3, 4)
        joined = jnp.concatenate([z, self.rows], axis=1)
        assert model.decoder.decoder.latent_dim == 4 + CLASSES
        expected = jax.nn.sigmoid(model.decoder.decoder(joined))
        equal(model.decode(z, LABELS), expected)

    @pytest.mark.sampled
    @NETWORKS
    def test_embedded(self, make_model, images, network):
        model = make_model("conditional-vae", network, embed_dim=5)
        codes = model.encoder.condition.embedding.kernel[...][LABELS]
        assert codes.shape == (3, 5)
        if network == "dense":
            joined = jnp.concatenate([images.reshape(3, -1), codes], axis=1)
        else:
            channels = jnp.broadcast_to(codes[:, None, None, :], (3, 9, 6, 5))
            joined = jnp.concatenate([images, channels], axis=-1)
        mean, _ = model.encoder.encoder(joined)
        # A product with a one-hot row, or that row itself.
        np.testing.assert_allclose(model.encode(images, LABELS)[0], mean, atol=1e-6)
        assert model.decoder.decoder.latent_dim == 4 + 5

    def test_an_embedding_is_learned(self, make_model, images):
        model = make_model("conditional-vae", embed_dim=5)
        loss = jax.jit(lambda p: model.loss_fn(p, {"x": images, "y": 1}, jax.random.key(0))["loss"])
        gradient = jax.grad(loss)(nnx.state(model, nnx.Param))
        for network in ("encoder", "decoder"):
            slope = np.asarray(gradient[network]["condition"]["embedding"]["kernel"][...])
            assert (slope[1] != 0).all()  # the class that was there, and no other
            assert (slope[[0, 2]] == 0).all()


@pytest.mark.sampled
@NETWORKS
def test_add(make_model, images, network):
    model = make_model("conditional-vae", network, condition_type="add")
    assert model.condition_type == model.encoder.condition_type == "add"
    kernel = model.encoder.condition.projection.kernel[...]
    shifted = images + kernel[LABELS].reshape(images.shape)
    assert model.encoder.encoder.input_dim == images.shape[1:]
    mean, _ = model.encoder.encoder(shifted)
    np.testing.assert_allclose(model.encode(images, LABELS)[0], mean, atol=1e-6)
    equal(model.encode(images), model.encoder.encoder(images))  # no class, no shift
    z = jnp.linspace(-1, 1, 12).reshape(3, 4)
    moved = z + model.decoder.condition.projection.kernel[...][LABELS]
    decoded = jax.nn.sigmoid(model.decoder.decoder(moved))
    np.testing.assert_allclose(model.decode(z, LABELS), decoded, atol=1e-6)


class Reader(nnx.Module):
    """An encoder of one's own that keeps what it was given."""

    def __call__(self, x):
        self.seen = nnx.data(x)
        return x[..., :4].reshape(x.shape[0], -1)[:, :4], jnp.zeros((x.shape[0], 4))


class Teller(nnx.Module):
    """A decoder of one's own that says its condition."""

    output_shape = (CLASSES,)

    def __call__(self, z, condition):
        return jnp.broadcast_to(condition, (z.shape[0], CLASSES))


class TestWrapping:
    def test_bare_networks_are_copied_into_wrappers(self):
        rngs = nnx.Rngs(0)
        encoder = MLPEncoder([8], 4, input_dim=6, rngs=rngs)
        decoder = MLPDecoder([8], 6, 4, rngs=rngs)
        model = ConditionalVAE(encoder, decoder, 4, CLASSES, rngs=rngs)
        assert isinstance(model.encoder, ConditionalEncoder)
        assert isinstance(model.decoder, ConditionalDecoder)
        assert encoder.input_dim == (6,)  # the one that was given is as it was
        assert decoder.latent_dim == 4
        assert encoder(jnp.ones((2, 6)))[0].shape == (2, 4)
        with pytest.raises(ValueError, match="encoder is not conditional and rngs=None"):
            ConditionalVAE(encoder, decoder, 4, CLASSES)

    def test_an_encoder_of_ones_own_reads_the_joined_array(self, images):
        for x in (images, images.reshape(3, -1)):
            encoder = ConditionalEncoder(Reader(), CLASSES, rngs=nnx.Rngs(0))
            encoder(x, LABELS)
            assert encoder.encoder.seen.shape == (*x.shape[:-1], x.shape[-1] + CLASSES)

    def test_networks_that_read_a_condition_stay_as_they_are(self):
        encoder = ConditionalEncoder(Reader(), CLASSES, rngs=nnx.Rngs(0))
        model = ConditionalVAE(encoder, Teller(), 4, CLASSES, rngs=nnx.Rngs(0), likelihood="mse")
        assert model.encoder is encoder
        assert isinstance(model.decoder, Teller)
        rows = jax.nn.one_hot(LABELS, CLASSES)
        equal(model.sample(3, y=LABELS), rows)
        equal(model.generate(3, y=LABELS), rows)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"condition_dim": 4}, "encoder.num_classes=3 and the model's 4 must agree"),
            ({"condition_type": "add"}, "encoder.condition_type='concat' and the model's 'add'"),
            ({"embed_dim": 2}, "encoder.embed_dim=None and the model's 2 must agree"),
        ],
    )
    def test_wrappers_that_do_not_fit_the_model(self, model, fields, message):
        arguments = {"condition_dim": CLASSES, "rngs": nnx.Rngs(0), **fields}
        with pytest.raises(ValueError, match=message):
            ConditionalVAE(model.encoder, model.decoder, 4, **arguments)

    def test_convolutions_built_at_the_first_call(self, images):
        encoder = ConditionalEncoder(CNNEncoder([4], 4, rngs=nnx.Rngs(0)), 3, 2, rngs=nnx.Rngs(0))
        assert encoder(images, condition=LABELS)[0].shape == (3, 4)
        assert encoder.encoder.input_dim == (9, 6, 2 + 2)

    def test_add_needs_a_shape(self):
        with pytest.raises(ValueError, match=r"condition_type='add' needs .* input_dim"):
            ConditionalEncoder(
                MLPEncoder([4], 4, rngs=nnx.Rngs(0)), 3, condition_type="add", rngs=nnx.Rngs(0)
            )


class TestUse:
    @NETWORKS
    def test_sample_decodes_the_prior_with_the_class(self, make_model, network):
        model = make_model("conditional-vae", network)
        z = jax.random.normal(nnx.Rngs(3)["default"](), (3, 4))
        for y in (LABELS, jax.nn.one_hot(LABELS, CLASSES), 1):
            drawn = model.sample(3, temperature=0.5, y=y, rngs=nnx.Rngs(3))
            equal(drawn, model.decode(0.5 * z, y))
            equal(model.generate(3, temperature=0.5, y=y, rngs=nnx.Rngs(3)), drawn)

    def test_without_a_class_it_is_drawn_evenly(self):
        encoder = ConditionalEncoder(Reader(), CLASSES, rngs=nnx.Rngs(0))
        model = ConditionalVAE(encoder, Teller(), 4, CLASSES, rngs=nnx.Rngs(0))
        drawn = np.asarray(model.sample(3000))
        assert ((drawn == 0) | (drawn == 1)).all()
        assert (drawn.sum(1) == 1).all()
        # Five standard deviations of a binomial count, sqrt(3000 · 1/3 · 2/3) = 26.
        np.testing.assert_allclose(drawn.sum(0), 1000, atol=130)

    def test_reconstruct_interpolate_and_traverse(self, model, images):
        mean, _ = model.encode(images, LABELS)
        decoded = model.decode(mean, LABELS)
        equal(model.reconstruct(images, y=LABELS, deterministic=True), decoded)
        line = model.interpolate(images[0], images[1], 3, y=2)
        ends = [model.decode(model.encode(images[i : i + 1], 2)[0], 2)[0] for i in (0, 1)]
        np.testing.assert_allclose(line[np.array([0, -1])], jnp.stack(ends), atol=1e-6)
        walk = model.latent_traversal(images[0], 1, steps=3, y=2)
        moved = model.encode(images[:1], 2)[0].at[:, 1].set(-3.0)
        np.testing.assert_allclose(walk[0], model.decode(moved, 2)[0], atol=1e-6)

    def test_wrong_arguments(self, make_config):
        for field, value in {"condition_dim": 0, "condition_type": "gate", "embed_dim": 0}.items():
            with pytest.raises(ValueError, match=field):
                make_config("conditional-vae", **{field: value})
