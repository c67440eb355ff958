"""What used to be taken without a word: each is now an error, or does what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.models.saving import load_model, save_config, save_weights
from workshop.generative_models.models.vae import (
    MODELS,
    VAE,
    VQVAE,
    CNNDecoder,
    CNNEncoder,
    MLPEncoder,
)


def rngs():
    return nnx.Rngs(params=0, sample=1)


@pytest.mark.parametrize(
    "beside", [{"dtype": "bfloat16"}, {"dtype": jnp.bfloat16}, {"precision": "highest"},
               {"precision": jax.lax.Precision.HIGHEST}]
)  # fmt: skip
def test_numerics_beside_a_config_are_saved(make_config, images, tmp_path, beside):
    model = VAE(make_config("vae"), rngs=rngs(), **beside)
    for network in (model.config.encoder, model.config.decoder):
        assert (network.dtype == "bfloat16") == ("dtype" in beside)
        assert (network.precision == "highest") == ("precision" in beside)
    save_config(model, tmp_path)
    save_weights(model, tmp_path)
    outputs = [m.reconstruct(images, deterministic=True) for m in (model, load_model(tmp_path))]
    np.testing.assert_array_equal(*outputs)


def test_an_input_shape_beside_a_config_is_kept(make_config):
    encoder = MLPEncoder(make_config("vae").encoder, input_dim=(7,), rngs=rngs())
    assert encoder.config.input_shape == (7,)


def test_the_batch_comes_before_x(make_model, images):
    """The reference: x is the data "if not provided in batch"."""
    model = make_model("vae")
    outputs = model(images)
    found = model.loss_fn(batch=images, x=jnp.zeros_like(images), outputs=outputs)
    assert found["loss"] == model.loss_fn(batch=images, outputs=outputs)["loss"]
    assert found["loss"] != model.loss_fn(x=jnp.zeros_like(images), outputs=outputs)["loss"]
    assert model.loss_fn(batch={}, x=images, outputs=outputs)["loss"] == found["loss"]


def test_capacity_control_off_is_the_beta_vae_to_the_bit(make_model, images):
    changes = {"beta_warmup_steps": 100}
    plain = make_model("beta-vae", **changes)
    off = make_model("beta-vae-capacity", use_capacity_control=False, **changes)
    nnx.update(off, nnx.state(plain, nnx.Param))
    outputs = plain(images, rngs=nnx.Rngs(3))
    for arguments in ({}, {"step": None}, {"step": 0}, {"step": 30}, {"beta": 2.0}):
        ours, theirs = (m.loss_fn(x=images, outputs=outputs, **arguments) for m in (off, plain))
        assert ours.keys() == theirs.keys()
        assert all((ours[key] == theirs[key]).all() for key in ours), arguments


class TestOutputs:
    def test_aliases_are_read(self, make_model, images):
        model = make_model("vae")
        outputs = model(images)
        few = {name: outputs[name] for name in ("reconstruction", "mean", "logvar")}
        full = model.loss_fn(x=images, outputs=outputs)
        assert model.loss_fn(x=images, outputs=few)["loss"] == full["loss"]
        given = model.loss_fn(
            x=images, outputs=few, reconstruction_loss_fn=lambda p, t: jnp.square(p - t)
        )
        # The same squares, summed in another order.
        np.testing.assert_allclose(given["loss"], full["loss"], rtol=1e-6)

    @pytest.mark.parametrize("name", list(MODELS))
    def test_a_missing_one_is_named(self, make_model, images, name):
        model = make_model(name)
        outputs = model(images)
        gone = ("encoding_indices",) if name == "vq-vae" else ("log_var", "logvar")
        few = {key: value for key, value in outputs.items() if key not in gone}
        with pytest.raises(ValueError, match=r"outputs have the keys .*expected"):
            model.loss_fn(x=images, outputs=few)


def test_unknown_arguments_of_the_loss_are_named(make_model, images):
    with pytest.raises(TypeError, match="did you mean 'kl_per_dimension'"):
        make_model("vae").loss_fn(batch=images, kl_per_dimensions=True)


def test_the_loss_takes_streams_as_every_method_does(make_model, images):
    model = make_model("vae")
    one, other = (model.loss_fn(batch=images, rngs=nnx.Rngs(5))["loss"] for _ in range(2))
    assert one == other


class TestLabels:
    def test_rows_need_two_axes_where_there_are_several_examples(self, make_model):
        """With as many examples as classes a row could be taken for labels."""
        model = make_model("conditional-vae")  # 3 classes
        with pytest.raises(ValueError, match=r"shape \(3,\) and type float32"):
            model.decode(jnp.ones((3, 4)), jnp.arange(3.0))
        z, row = jnp.ones((3, 4)), jnp.eye(3)[1]
        np.testing.assert_array_equal(model.decode(z, row[None]), model.decode(z, 1))
        np.testing.assert_array_equal(model.decode(z[:1], row), model.decode(z[:1], 1))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
    def test_rows_are_finite_and_not_negative(self, make_model, value):
        rows = jnp.eye(3).at[0, 0].set(value)
        with pytest.raises(ValueError, match="negative or non-finite"):
            make_model("conditional-vae").decode(jnp.ones((3, 4)), rows)


class TestVQ:
    def networks(self, **changes):
        options = {"encoder": {}, "decoder": {}} | changes
        encoder = {"hidden_dims": [4, 4], "latent_dim": 6, "input_dim": (8, 8, 1)}
        decoder = {"hidden_dims": [4, 4], "latent_dim": 6, "output_dim": (8, 8, 1)}
        return (
            CNNEncoder(**(encoder | options["encoder"]), rngs=rngs()),
            CNNDecoder(**(decoder | options["decoder"]), rngs=rngs()),
        )

    @pytest.mark.parametrize(
        ("changes", "options", "message"),
        [
            ({"encoder": {"pooling": "mean"}}, {}, "pooling='mean' has no meaning"),
            ({}, {"kl_weight": 3.0}, "kl_weight has no meaning"),
            ({}, {"kl_schedule": "linear", "kl_schedule_steps": 9}, "kl_schedule_steps has no"),
            ({"encoder": {"latent_dim": 5}}, {}, "encoder.latent_dim=5 and latent_dim=6"),
            ({"decoder": {"latent_dim": 5}}, {}, "decoder.latent_dim=5 and latent_dim=6"),
            ({"decoder": {"hidden_dims": [4]}}, {}, r"a map \(2, 2\) and decoder reads one \(4, 4"),
        ],
    )
    def test_what_has_no_meaning_is_refused(self, changes, options, message):
        with pytest.raises(ValueError, match=message):
            VQVAE(*self.networks(**changes), 6, 5, 3, rngs=rngs(), **options)

    def test_maps_of_ones_own_need_a_shape(self):
        class Reader(nnx.Module):
            def __call__(self, x):
                code = jnp.repeat(x[:, ::2, ::2], 2, axis=-1)
                return code, jnp.zeros_like(code)

        class Writer(nnx.Module):
            def __call__(self, z):
                return jnp.repeat(jnp.repeat(z[..., :1], 2, axis=1), 2, axis=2)

        x, writer = jnp.ones((2, 4, 4, 1)), Writer()
        with pytest.raises(ValueError, match=r"shape \(2, 2, 2, 2\).*attribute latent_shape"):
            VQVAE(Reader(), writer, 2, 5, 2, rngs=rngs())(x)
        writer.latent_shape = (2, 2, 2)
        model = VQVAE(Reader(), writer, 2, 5, 2, rngs=rngs())
        assert model.sample(3).shape == (3, 4, 4, 1)
        assert model.loss_fn(batch=x)["statistics"]["usage"].shape == (4, 5)


class TestSmaller:
    def test_params_of_another_model(self, make_model, images):
        other = nnx.state(make_model("vae", hidden_dims=(5,)), nnx.Param)
        with pytest.raises(ValueError, match="params do not fit this model"):
            make_model("vae").loss_fn(other, images)

    def test_a_first_call_without_a_batch(self):
        with pytest.raises(ValueError, match="its first call needs a batch"):
            MLPEncoder([4], 2, rngs=rngs())(jnp.ones(5))

    @pytest.mark.parametrize("name", list(MODELS))
    @pytest.mark.parametrize("temperature", [np.nan, -1.0])
    def test_temperatures(self, make_model, name, temperature):
        with pytest.raises(ValueError, match="temperature"):
            make_model(name).sample(1, temperature=temperature)

    def test_a_class_of_ones_own_cannot_be_saved(self, make_config, tmp_path):
        class Own(VAE):
            pass

        with pytest.raises(ValueError, match="Own is a class of your own"):
            save_config(Own(make_config("vae"), rngs=rngs()), tmp_path)
