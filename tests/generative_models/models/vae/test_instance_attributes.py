"""Every instance attribute that the VAE API reference documents, with the value it states."""

from math import prod

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.models.vae import (
    CNNDecoder,
    CNNEncoder,
    ConditionalDecoder,
    ConditionalEncoder,
    MLPDecoder,
    MLPEncoder,
    ResNetDecoder,
    ResNetEncoder,
)


def is_linear(layer, in_features, out_features):
    assert isinstance(layer, nnx.Linear)
    assert (layer.in_features, layer.out_features) == (in_features, out_features)
    return True


def test_vae(make_model):
    vae = make_model("vae", kl_weight=0.25)
    assert (vae.latent_dim, vae.kl_weight) == (4, 0.25)
    assert isinstance(vae.encoder, MLPEncoder)
    assert isinstance(vae.decoder, MLPDecoder)
    assert type(make_model("vae", "cnn").encoder) is CNNEncoder
    assert type(make_model("vae", "resnet").decoder) is ResNetDecoder


def test_beta_vae(make_model):
    model = make_model(
        "beta-vae", beta_default=3.0, beta_warmup_steps=7, reconstruction_loss_type="bce"
    )
    assert model.beta_default == model.kl_weight == 3.0
    assert model.beta_warmup_steps == 7
    assert model.reconstruction_loss_type == "bce"


def test_beta_vae_with_capacity(make_model):
    model = make_model(
        "beta-vae-capacity",
        use_capacity_control=False,
        capacity_max=3.0,
        capacity_num_iter=9,
        gamma=2.0,
    )
    assert model.use_capacity_control is False
    assert (model.capacity_max, model.capacity_num_iter, model.gamma) == (3.0, 9, 2.0)


def test_conditional_vae(make_model, make_config):
    model = make_model("conditional-vae", condition_dim=5, condition_type="add", kl_weight=2.0)
    assert (model.latent_dim, model.kl_weight) == (4, 2.0)
    assert (model.condition_dim, model.condition_type) == (5, "add")
    assert isinstance(model.encoder, ConditionalEncoder)
    assert isinstance(model.decoder, ConditionalDecoder)
    assert model.encoder.num_classes == model.decoder.num_classes == 5
    rngs = nnx.Rngs(0)
    high = jax.lax.Precision.HIGH
    model = type(model)(make_config("conditional-vae"), rngs=rngs, precision=high)
    assert model.rngs is rngs
    assert model.precision is high


def test_vq_vae(make_model):
    model = make_model("vq-vae", num_embeddings=6, embedding_dim=2, commitment_cost=0.5)
    assert (model.num_embeddings, model.embedding_dim, model.commitment_cost) == (6, 2, 0.5)
    assert isinstance(model.embeddings, nnx.Embed)
    assert (model.embeddings.num_embeddings, model.embeddings.features) == (6, 2)
    assert model.embeddings.embedding.shape == (6, 2)


def test_mlp_encoder():
    encoder = MLPEncoder([7, 5], 3, input_dim=(4, 2), rngs=nnx.Rngs(0))
    assert encoder.latent_dim == 3
    first, second = encoder.backbone.layers
    assert is_linear(first, 8, 7)  # in_features = input_features
    assert is_linear(second, 7, 5)
    assert is_linear(encoder.mean_proj, 5, 3)  # in_features = hidden_dims[-1]
    assert is_linear(encoder.logvar_proj, 5, 3)


@pytest.mark.parametrize("cls", [CNNEncoder, ResNetEncoder])
def test_cnn_encoder(cls):
    encoder = cls([4, 6], 3, input_dim=(9, 6, 2), rngs=nnx.Rngs(0))
    assert encoder.latent_dim == 3
    assert len(encoder.cnn.layers) == 2
    flattened_size = 2 * 1 * 6  # 9 // 2 // 2, 6 // 2 // 2, hidden_dims[-1]
    assert encoder.flatten(jnp.zeros((5, 2, 1, 6))).shape == (5, flattened_size)
    assert is_linear(encoder.mean_proj, flattened_size, 3)
    assert is_linear(encoder.logvar_proj, flattened_size, 3)


def test_mlp_decoder():
    decoder = MLPDecoder([5, 7], (4, 2), 3, rngs=nnx.Rngs(0))
    assert decoder.output_shape == (4, 2)
    assert decoder.latent_dim == 3
    assert decoder.output_size == 8  # 1, times every size of output_shape
    first, second = decoder.backbone.layers
    assert is_linear(first, 3, 5)  # in_features = latent_dim
    assert is_linear(second, 5, 7)
    assert is_linear(decoder.output_layer, 7, 8)  # decoder_dims[-1] -> output_size


@pytest.mark.parametrize("cls", [CNNDecoder, ResNetDecoder])
@pytest.mark.parametrize("size", [(28, 28, 1), (9, 6, 2), (3, 17, 4), (1, 1, 1)])
def test_cnn_decoder(cls, size):
    hidden_dims = [6, 4, 5]
    decoder = jax.eval_shape(lambda: cls(hidden_dims, size, 3, rngs=nnx.Rngs(0)))
    h, w, channels = size
    assert decoder.output_shape == size
    assert decoder.latent_dim == 3
    assert decoder.initial_h == max(h // 2 ** len(hidden_dims), 1)
    assert decoder.initial_w == max(w // 2 ** len(hidden_dims), 1)
    assert decoder.initial_features == hidden_dims[0]
    initial_size = prod((decoder.initial_h, decoder.initial_w, decoder.initial_features))
    assert is_linear(decoder.project, 3, initial_size)
    assert len(decoder.cnn.layers) == 3
    assert isinstance(decoder.output_conv, nnx.Conv)
    conv = decoder.output_conv
    assert (conv.in_features, conv.out_features) == (hidden_dims[-1], channels)
    assert (conv.kernel_size, conv.padding) == ((3, 3), "SAME")


@pytest.mark.parametrize("network", ["dense", "cnn"])
def test_the_activation_of_a_decoder_is_the_sigmoid(make_model, network):
    decoder = make_model("vae", network).decoder
    logits = jnp.array([-3.0, 0.0, 2.0])
    expected = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    np.testing.assert_allclose(decoder.activation(logits), expected, rtol=1e-6)


def test_conditional_wrappers():
    rngs = nnx.Rngs(0)
    inner = MLPEncoder([4], 3, input_dim=(6,), rngs=rngs)
    encoder = ConditionalEncoder(inner, 5, rngs=rngs)
    assert isinstance(encoder.encoder, MLPEncoder)
    assert encoder.encoder.input_dim == (6 + 5,)  # room for the class
    assert encoder.num_classes == 5
    decoder = ConditionalDecoder(MLPDecoder([4], (6,), 3, rngs=rngs), 5, rngs=rngs)
    assert isinstance(decoder.decoder, MLPDecoder)
    assert decoder.decoder.latent_dim == 3 + 5
    assert decoder.num_classes == 5
