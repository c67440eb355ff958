"""What every model's loss promises, on every kind of network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.models.vae import MODELS

CASES = [(name, network) for name in MODELS for network in ("dense", "cnn", "resnet")]
# Convolutional networks take long to compile: these stand for the others.
COMPILED = [(name, "dense") for name in MODELS]
COMPILED += [("vae", "cnn"), ("vq-vae", "cnn"), ("vae", "resnet")]
every_model = pytest.mark.parametrize(("name", "network"), CASES, ids=map("-".join, CASES))
compiled = pytest.mark.parametrize(("name", "network"), COMPILED, ids=map("-".join, COMPILED))
STEP = 3


@pytest.fixture
def model(make_model, name, network):
    return make_model(name, network)


def total_of(name, losses):
    """Return the total that the page's formula and the fields in conftest.py make of the parts."""
    reconstruction, kl = float(losses["reconstruction_loss"]), float(losses["kl_loss"])
    if name == "vae":
        return reconstruction + 0.5 * kl
    if name == "beta-vae":
        return reconstruction + 4.0 * STEP / 10 * kl
    if name == "beta-vae-capacity":
        return reconstruction + 10.0 * abs(kl - 5.0 * STEP / 10)
    if name == "conditional-vae":
        return reconstruction + kl
    return reconstruction + float(losses["codebook_loss"]) + 0.5 * float(losses["commitment_loss"])


@every_model
def test_losses(model, name, images):
    losses = model.loss_fn(x=images, outputs=model(images), step=STEP)
    page = {"reconstruction_loss", "recon_loss", "kl_loss", "total_loss", "loss"}
    assert set(losses) >= page | {"elbo"}
    assert losses["recon_loss"] is losses["reconstruction_loss"]
    assert losses["loss"] is losses["total_loss"]
    for key, value in losses.items():
        if key != "statistics":
            assert value.dtype == jnp.float32
            assert value.shape == ()
    # One or two roundings of float32 apart.
    assert float(losses["total_loss"]) == pytest.approx(total_of(name, losses), rel=1e-6)
    elbo = -(float(losses["reconstruction_loss"]) + float(losses["kl_loss"]))
    assert float(losses["elbo"]) == pytest.approx(elbo, rel=1e-6)
    assert losses["kl_loss"] > 0


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("network", ["dense"])
def test_data_and_outputs_may_come_first(model, images):
    """As VQVAE has it in the reference: the same bits as by name, NumPy or JAX, one or many."""
    outputs = model(images, rngs=nnx.Rngs(0))
    expected = model.loss_fn(x=images, outputs=outputs, step=STEP)
    for losses in (
        model.loss_fn(images, outputs, step=STEP),
        model.loss_fn(np.asarray(images), outputs, step=STEP),
        model.loss_fn(images, outputs=outputs, step=STEP),
    ):
        jax.tree.map(np.testing.assert_array_equal, losses, expected)
    ran = model.loss_fn(images, rng=jax.random.key(0), step=STEP)
    again = model.loss_fn(batch=images, rng=jax.random.key(0), step=STEP)
    jax.tree.map(np.testing.assert_array_equal, ran, again)
    with pytest.raises(ValueError, match=r"loss_fn\(x, outputs\): outputs is of type"):
        model.loss_fn(images, images)
    with pytest.raises(ValueError, match="x is given twice"):
        model.loss_fn(images, outputs, x=images)
    with pytest.raises(ValueError, match="x is given twice"):
        model.loss_fn(images, outputs, outputs=outputs)


@every_model
def test_kl_per_dimension_on_request(model, images):
    outputs = model(images)
    losses = model.loss_fn(x=images, outputs=outputs, kl_per_dimension=True)
    assert "kl_per_dimension" not in model.loss_fn(x=images, outputs=outputs)
    total = float(losses["kl_per_dimension"].sum())
    assert total == pytest.approx(float(losses["kl_loss"]), rel=1e-6)


@pytest.mark.sampled
@every_model
def test_trainer_form_is_pure(model, images, state_of):
    params, key = nnx.state(model, nnx.Param), jax.random.key(0)
    before = state_of(model)

    def losses(params, batch):
        return model.loss_fn(params, batch, key)

    first = losses(params, images)
    # A dict as batch, and a pure dict as parameters, give the same bits.
    for again in (
        losses(params, images),
        losses(params, {"x": images}),
        losses(nnx.to_pure_dict(params), images),
    ):
        jax.tree.map(np.testing.assert_array_equal, again, first)
    # Nothing moved: not even the counts of the random streams, whatever is not given.
    model.loss_fn(params, images)
    for one, other in zip(before, state_of(model), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.sampled
@every_model
def test_trainer_form_uses_its_parameters(model, images):
    scaled = jax.tree.map(lambda a: 1.5 * a, nnx.state(model, nnx.Param))
    given = model.loss_fn(scaled, images, jax.random.key(0))
    own = model.loss_fn(batch=images, rng=jax.random.key(0))
    assert given["loss"] != own["loss"]
    nnx.update(model, scaled)
    updated = model.loss_fn(batch=images, rng=jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, given, updated)


@every_model
def test_random_keys_of_both_styles(model, images):
    params = nnx.state(model, nnx.Param)
    new = model.loss_fn(params, images, jax.random.key(3))
    old = model.loss_fn(params, images, jax.random.PRNGKey(3))
    jax.tree.map(np.testing.assert_array_equal, new, old)


@pytest.mark.sampled
@compiled
def test_compiled_gradient_equals_finite_differences(model, name, images):
    """Central differences with step 1e-2 at the largest slope of some parameters.

    The networks are smooth (tanh). The truncation is h² f'''/6 and the rounding of a loss near 30
    in float32 gives 3e-6 / 2h = 2e-4: both are far below 2% of the slopes that are picked.
    """
    params, key = nnx.state(model, nnx.Param), jax.random.key(0)
    batch = {"x": images, "y": jnp.array([0, 2, 1])}

    def loss(params, batch, key, step):
        losses = model.loss_fn(params, batch, key, step=step)
        return losses["loss"], losses

    gradient_of = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, traced), gradient = gradient_of(params, batch, key, STEP)
    eager = model.loss_fn(params, batch, key, step=STEP)
    assert traced.keys() == eager.keys()
    for part, value in eager.items():
        for a, b in zip(*map(jax.tree.leaves, (traced[part], value)), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, err_msg=part)

    leaves = dict(nnx.to_flat_state(params))
    slopes = {path: np.asarray(g[...]) for path, g in nnx.to_flat_state(gradient)}
    # The straight-through gradient is none of the loss's before the codes.
    paths = [path for path in leaves if name != "vq-vae" or path[0] == "decoder"]
    for path in paths[:: len(paths) // 3]:
        where = np.unravel_index(np.abs(slopes[path]).argmax(), slopes[path].shape)
        ends = []
        for h in (1e-2, -1e-2):
            moved = leaves[path].replace(leaves[path][...].at[where].add(h))
            flat = [(p, moved if p == path else leaf) for p, leaf in leaves.items()]
            ends.append(float(loss(nnx.from_flat_state(flat), batch, key, STEP)[0]))
        slope = (ends[0] - ends[1]) / 2e-2
        assert slope == pytest.approx(float(slopes[path][where]), rel=2e-2, abs=2e-3), path


@every_model
def test_steps_are_ints_or_arrays(model, images):
    outputs = model(images)
    plain = model.loss_fn(x=images, outputs=outputs, step=STEP)
    array = model.loss_fn(x=images, outputs=outputs, step=jnp.asarray(STEP))
    jax.tree.map(np.testing.assert_array_equal, plain, array)
