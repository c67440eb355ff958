"""Errors name the argument, what was given, what was expected, and the way out."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from workshop.generative_models.models.vae import (
    MODELS,
    VAE,
    CNNDecoder,
    CNNEncoder,
    ConditionalEncoder,
    MLPDecoder,
    MLPEncoder,
    create_encoder,
)

every_model = pytest.mark.parametrize("name", list(MODELS))


@every_model
@pytest.mark.parametrize("network", ["dense", "cnn"])
def test_wrong_batch_shape(make_model, name, network):
    model = make_model(name, network)
    message = r"x has shape .*expected \(batch, 9, 6, 2\), or one example \(9, 6, 2\)"
    for shape in ((3, 9, 6), (3, 6, 9, 2), (9, 6), (3, 9, 6, 2, 1), (3, 108), ()):
        x = jnp.zeros(shape)
        for use in (model, model.encode, model.reconstruct, lambda x: model.loss_fn(batch=x)):
            with pytest.raises(ValueError, match=message):
                use(x)


@every_model
def test_outputs_of_another_batch(make_model, name, images):
    model = make_model(name)
    with pytest.raises(ValueError, match=r"outputs have shape \(3, .*x has shape \(2, "):
        model.loss_fn(x=images[:2], outputs=model(images))


@every_model
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
def test_not_finite(make_model, name, images, value):
    model = make_model(name)
    with pytest.raises(ValueError, match="x holds NaN or infinite values: clean or drop"):
        model.loss_fn(batch=images.at[1, 2, 3, 0].set(value))
    with pytest.raises(ValueError, match="x holds NaN or infinite values"):
        model.check_data(images.at[1, 2, 3, 0].set(value))


@pytest.mark.parametrize("likelihood", ["bce", "bernoulli", "continuous_bernoulli"])
def test_outside_the_unit_interval(make_model, images, likelihood):
    model = make_model("vae", likelihood=likelihood)
    for bad in (images + 0.5, images - 1.5):
        with pytest.raises(ValueError, match=r"x lies in \[.*data in \[0, 1\]; scale the data"):
            model.loss_fn(batch=bad)
    assert jnp.isfinite(make_model("vae").loss_fn(batch=images + 0.5)["loss"])


@every_model
def test_no_data(make_model, name):
    model = make_model(name)
    nothing = jnp.zeros((0, 9, 6, 2))
    for use in (model, model.encode, model.check_data, lambda x: model.loss_fn(batch=x)):
        with pytest.raises(ValueError, match="x holds no examples: expected a batch of at least"):
            use(nothing)
    with pytest.raises(ValueError, match="loss_fn needs data: pass batch, or x"):
        model.loss_fn()
    with pytest.raises(ValueError, match=r"batch has the keys \['image'\]: expected 'x'"):
        model.loss_fn(batch={"image": jnp.zeros((3, 9, 6, 2))})


@every_model
def test_arguments_of_use(make_model, name, images):
    model = make_model(name)
    for dim in (4, -1):
        with pytest.raises(ValueError, match=rf"dim={dim}\): expected 0 <= dim < 4 \(latent_dim"):
            model.latent_traversal(images[0], dim)
    for n in (0, -2, True):
        with pytest.raises(ValueError, match=f"n_samples={n}: expected a positive integer"):
            model.sample(n)
        with pytest.raises(ValueError, match=f"steps={n}: expected a positive integer"):
            model.latent_traversal(images[0], 0, steps=n)
        with pytest.raises(ValueError, match=f"steps={n}: expected a positive integer"):
            model.interpolate(images[0], images[1], steps=n)
    with pytest.raises(ValueError, match=r"interpolate\(steps=1\): expected at least 2"):
        model.interpolate(images[0], images[1], steps=1)
    with pytest.raises(ValueError, match=r"x2 has 3 examples: expected one, such as x2\[0\]"):
        model.interpolate(images[0], images)


def test_latent_dims_must_agree():
    rngs = nnx.Rngs(0)
    encoder = MLPEncoder([4], 3, input_dim=6, rngs=rngs)
    decoder = MLPDecoder([4], 6, 2, rngs=rngs)
    with pytest.raises(ValueError, match=r"decoder.latent_dim=2 and latent_dim=3 must agree"):
        VAE(encoder, decoder, 3, rngs=rngs)
    with pytest.raises(ValueError, match=r"encoder.latent_dim=3 and latent_dim=2 must agree"):
        VAE(encoder, decoder, 2, rngs=rngs)


@every_model
def test_latents_of_another_size(make_model, name):
    with pytest.raises(ValueError, match=r"Decoder: z has shape \(3, 5\), expected \(batch, 4\)"):
        make_model(name, "dense").decode(jnp.zeros((3, 5)))


class Encoder(nnx.Module):
    """An encoder of one's own, giving whatever it was told to."""

    def __init__(self, output):
        self.output = output

    def __call__(self, x):
        return self.output(x[:, :3])


class Decoder(nnx.Module):
    def __init__(self, output):
        self.output = output

    def __call__(self, z):
        return self.output(jnp.concatenate([z, z], -1))


def own(encoder_output=lambda h: (h, h), decoder_output=lambda h: h):
    return VAE(Encoder(encoder_output), Decoder(decoder_output), 3, rngs=nnx.Rngs(0))


class TestNetworksOfOnesOwn:
    x = jnp.linspace(0, 1, 12).reshape(2, 6)

    def test_a_tuple_or_a_dict(self):
        mean, log_var = own(lambda h: (h, -h)).encode(self.x)
        assert (mean == self.x[:, :3]).all()
        assert (log_var == -mean).all()
        for key in ("log_var", "logvar"):
            other = own(lambda h, key=key: {"mean": h, key: -h, "skip": h}).encode(self.x)
            assert (other[0] == mean).all()
            assert (other[1] == log_var).all()
        assert own()(self.x)["reconstructed"].shape == (2, 6)

    @pytest.mark.parametrize(
        ("output", "found"),
        [
            (lambda h: h, "ArrayImpl"),
            (lambda h: [h, h], "list"),
            (lambda h: (h, h, h), "tuple"),
            (lambda h: (h,), "tuple"),
            (lambda h: {"mean": h, "scale": h}, r"\['mean', 'scale'\]"),
            (lambda h: {"log_var": h}, r"\['log_var'\]"),
            (lambda h: None, "NoneType"),
        ],
    )
    def test_any_other_encoder_output(self, output, found):
        with pytest.raises(ValueError, match=f"invalid encoder output format: .*got {found}"):
            own(output).encode(self.x)

    def test_mean_and_log_variance_of_two_shapes(self):
        with pytest.raises(ValueError, match=r"mean has shape \(2, 3\) and log_var \(2, 1\)"):
            own(lambda h: (h, h[:, :1])).encode(self.x)

    @pytest.mark.parametrize("output", [lambda h: (h, h), lambda h: {"x": h}, lambda h: [h]])
    def test_any_other_decoder_output(self, output):
        with pytest.raises(ValueError, match="invalid decoder output format: expected an array"):
            own(decoder_output=output).decode(self.x[:, :3])

    def test_single_examples_need_a_known_shape(self):
        with pytest.raises(ValueError, match="give the decoder an attribute output_shape"):
            own().interpolate(self.x[0], self.x[1])


class TestBuiltAtTheFirstCall:
    """Without input_dim, layers are built at the first eager call, not inside a transformation."""

    x = jnp.linspace(0, 1, 12).reshape(2, 6)

    def model(self):
        rngs = nnx.Rngs(0)
        return VAE(MLPEncoder([4], 3, rngs=rngs), MLPDecoder([4], 6, 3, rngs=rngs), 3, rngs=rngs)

    def test_eager(self):
        model = self.model()
        losses = model.loss_fn(batch=self.x)
        assert model.encoder.input_dim == (6,)
        assert "encoder" in nnx.state(model, nnx.Param)
        params = nnx.state(model, nnx.Param)
        loss = jax.jit(lambda p: model.loss_fn(p, self.x, jax.random.key(0))["loss"])
        gradient = jax.grad(loss)(params)
        assert any((g != 0).any() for g in jax.tree.leaves(gradient["encoder"]))
        assert jnp.isfinite(losses["loss"])

    @pytest.mark.parametrize(
        "transform",
        [
            lambda model, x: jax.jit(model.encode)(x),
            lambda model, x: nnx.jit(lambda m: m.encode(x))(model),
            lambda model, x: jax.eval_shape(model.encode, x),
            # Under grad the data may be concrete: layers made there would never be trained.
            lambda model, x: nnx.grad(lambda m: m.loss_fn(batch=x)["loss"])(model),
            lambda model, x: jax.grad(lambda p: model.loss_fn(p, x, jax.random.key(0))["loss"])(
                nnx.state(model, nnx.Param)
            ),
        ],
        ids=["jit", "nnx.jit", "eval_shape", "nnx.grad", "grad"],
    )
    def test_inside_a_transformation(self, transform):
        model = self.model()
        message = r"MLPEncoder\(input_dim=None\) cannot be built inside .*: give it input_dim, or"
        with pytest.raises(ValueError, match=message):
            transform(model, self.x)
        assert model.encoder.input_dim is None

    def test_the_wrapper_too(self):
        wrapper = ConditionalEncoder(MLPEncoder([4], 3, rngs=nnx.Rngs(0)), 2, rngs=nnx.Rngs(0))
        with pytest.raises(ValueError, match="give it input_dim"):
            jax.jit(wrapper)(self.x, jnp.array([0, 1]))
        assert wrapper(self.x, jnp.array([0, 1]))[0].shape == (2, 3)


@pytest.mark.parametrize("size", [(28, 28), (784,), (2, 2, 2, 2)])
def test_images_need_three_axes(size):
    with pytest.raises(ValueError, match=r"input_dim=.* expects \(height, width, channels\)"):
        CNNEncoder([4], 2, input_dim=size, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"output_dim=.* expects \(height, width, channels\)"):
        CNNDecoder([4], size, 2, rngs=nnx.Rngs(0))


def test_names(make_config):
    config = make_config("vae").encoder
    with pytest.raises(ValueError, match=r"encoder_type='cn': .*did you mean 'cnn'"):
        create_encoder(config, "cn", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"activation='rleu': .*did you mean 'relu'"):
        MLPEncoder([4], 2, "rleu", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"num_classes=3, .* without conditional=True"):
        create_encoder(config, "dense", num_classes=3, rngs=nnx.Rngs(0))
