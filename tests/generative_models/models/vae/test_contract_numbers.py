"""Shapes, precision, types and extremes, of every model on every kind of network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workshop.generative_models.models.vae import MODELS, ConditionalVAE

NETWORKS = ("dense", "cnn", "resnet")
CASES = [(name, network) for name in MODELS for network in NETWORKS]
every_model = pytest.mark.parametrize(("name", "network"), CASES, ids=map("-".join, CASES))
CODES = 5  # of the VQ-VAE in conftest.py; no layer has this size
LEARNED_CONDITION = {"embed_dim": 2, "condition_type": "add"}


def extras(name):
    return LEARNED_CONDITION if name == "conditional-vae" else {}


@pytest.mark.sampled
@pytest.mark.parametrize("network", NETWORKS)
@given(
    name=st.sampled_from(list(MODELS)),
    height=st.integers(1, 33),
    width=st.integers(1, 33),
    channels=st.integers(1, 5),
    stages=st.integers(1, 4),
)
@example(name="vae", height=1, width=1, channels=1, stages=3)
@example(name="vq-vae", height=28, width=17, channels=3, stages=2)
@settings(max_examples=4)
def test_output_shape_is_input_shape(make_config, network, name, height, width, channels, stages):
    event = (height, width, channels)
    config = make_config(name, network, event=event, hidden_dims=(4,) * stages)

    def outputs(x):
        model = MODELS[name](config, rngs=nnx.Rngs(0))
        return model(x, rngs=nnx.Rngs(1)), model.sample(3, rngs=nnx.Rngs(1))

    found, drawn = jax.eval_shape(outputs, jax.ShapeDtypeStruct((2, *event), jnp.float32))
    assert found["reconstructed"].shape == (2, *event)
    assert drawn.shape == (3, *event)
    assert found["z"].shape[0] == 2


def products(jaxpr):
    """Yield the matrix products and convolutions of a program, those of its parts included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield equation
        inner = jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns"))
        for part in inner:
            if hasattr(part, "eqns"):
                yield from products(part)


def layer_products(build, images):
    """Return the products of a model that reconstructs, but its distances to codes."""

    def reconstruct(x):
        model = build()
        labels = {"y": jnp.array([0, 1, 2])} if isinstance(model, ConditionalVAE) else {}
        return model.reconstruct(x, deterministic=True, **labels)

    found = list(products(jax.make_jaxpr(reconstruct)(images).jaxpr))
    kept = [p for p in found if p.outvars[0].aval.shape[-1] != CODES]
    assert len(kept) >= 4  # a layer and a projection at least in each network
    return kept


@pytest.mark.sampled
@every_model
def test_precision_reaches_every_product(make_config, name, network, images):
    highest = (jax.lax.Precision.HIGHEST,) * 2
    config = make_config(name, network, both={"precision": "highest"}, **extras(name))
    by_config = layer_products(lambda: MODELS[name](config, rngs=nnx.Rngs(0)), images)
    assert {product.params["precision"] for product in by_config} == {highest}
    plain = make_config(name, network, **extras(name))
    by_argument = layer_products(
        lambda: MODELS[name](plain, rngs=nnx.Rngs(0), precision=jax.lax.Precision.HIGHEST), images
    )
    assert {product.params["precision"] for product in by_argument} == {highest}


@pytest.mark.sampled
@every_model
def test_dtype_reaches_every_product(make_config, name, network, images):
    config = make_config(name, network, both={"dtype": "bfloat16"}, **extras(name))
    by_config = layer_products(lambda: MODELS[name](config, rngs=nnx.Rngs(0)), images)
    plain = make_config(name, network, **extras(name))
    by_argument = layer_products(
        lambda: MODELS[name](plain, rngs=nnx.Rngs(0), dtype=jnp.bfloat16), images
    )
    for product in by_config + by_argument:
        assert {v.aval.dtype for v in product.invars} == {jnp.dtype(jnp.bfloat16)}, product


BFLOAT16 = [(name, "dense") for name in MODELS] + [("vae", "cnn"), ("vae", "resnet")]


@pytest.mark.sampled
@pytest.mark.parametrize(("name", "network"), BFLOAT16, ids=map("-".join, BFLOAT16))
def test_bfloat16_computes_and_float32_keeps(make_model, name, network, images):
    model = make_model(name, network, both={"dtype": "bfloat16"}, **extras(name))
    params = nnx.state(model, nnx.Param)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
    losses = model.loss_fn(params, images, jax.random.key(0))
    full = make_model(name, network, **extras(name)).loss_fn(params, images, jax.random.key(0))
    for key, value in losses.items():
        assert {leaf.dtype for leaf in jax.tree.leaves(value)} == {jnp.dtype(jnp.float32)}
        if key not in ("perplexity", "codes_used", "statistics"):  # a code may change
            # 8 bits of mantissa, some layers deep.
            np.testing.assert_allclose(value, full[key], rtol=5e-2, err_msg=key)


def finite(tree):
    return all(bool(jnp.isfinite(a).all()) for a in jax.tree.leaves(tree))


@pytest.mark.sampled
@pytest.mark.parametrize(
    "field",
    [
        {"likelihood": "mse"},
        {"likelihood": "bce"},
        {"likelihood": "gaussian", "scale": "learned"},
        {"likelihood": "gaussian", "scale": "optimal"},
        {"likelihood": "laplace", "scale": "optimal"},
        {"likelihood": "continuous_bernoulli"},
        {"likelihood": "discretized_logistic", "scale": "learned"},
        {"likelihood": "categorical"},
    ],
    ids=lambda field: "-".join(field.values()),
)
def test_no_nan_at_the_extremes(make_model, images, field):
    """Saturated decoders, log-variances that no float can exponentiate, data of ones and zeros."""
    model = make_model("vae", **field)
    data = jnp.round(images)

    @jax.jit
    def everything(params):
        def loss(params):
            losses = model.loss_fn(params, data, jax.random.key(0))
            return losses["loss"], losses

        model_there = model.with_params(params)
        return jax.grad(loss, has_aux=True)(params), model_there(data), model_there.sample(3)

    for log_var in (-1e30, 1e30):
        for logit in (-1e4, 0.0, 1e4):
            model.encoder.logvar_proj.bias[...] = jnp.full(4, log_var)
            model.encoder.mean_proj.bias[...] = jnp.full(4, 1e3)
            bias = model.decoder.output_layer.bias
            # Every other one with its sign changed: logits of one value lie far apart too.
            bias[...] = jnp.full_like(bias[...], logit).at[::2].multiply(-1)
            assert finite(everything(nnx.state(model, nnx.Param)))


@pytest.mark.sampled
@pytest.mark.parametrize("name", list(MODELS))
def test_no_nan_in_any_model(make_model, name, images):
    model = make_model(name)
    encoder = getattr(model.encoder, "encoder", model.encoder)
    encoder.logvar_proj.bias[...] = jnp.full(4, 1e30)
    encoder.mean_proj.bias[...] = jnp.full(4, -1e6)

    def loss(params):
        losses = model.loss_fn(params, images, jax.random.key(0), step=0)
        return losses["loss"], losses

    assert finite(jax.jit(jax.grad(loss, has_aux=True))(nnx.state(model, nnx.Param)))
