"""Pickles and deep copies of models: the same outputs, and the same compiled programs."""

import copy
import pickle
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import joblib
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import PriorConfig
from workshop.generative_models.core.layers import ACTIVATIONS
from workshop.generative_models.core.likelihood_base import LocationScale
from workshop.generative_models.core.likelihoods import Bernoulli, Gaussian
from workshop.generative_models.data import from_arrays
from workshop.generative_models.models.vae import MODELS, VAE, MLPDecoder, MLPEncoder
from workshop.generative_models.models.vae.prior import CodePrior
from workshop.generative_models.training import Trainer

EVENT = (6,)
X = np.random.default_rng(0).random((3, *EVENT), np.float32)


class Own(LocationScale):
    """A likelihood of one's own, with a parameter and a compiled function."""

    def __init__(self):
        super().__init__("learned", jax.nn.softplus)

    def _best_scale(self, error):
        return error.mean()

    def log_prob(self, parameter, x):
        return -jnp.abs(x - parameter).sum(-1) / self.log_scale[...]


@jax.jit
def squashed(x):
    return x / (1 + jnp.abs(x))


class Network(nnx.Module):
    """A network of one's own, with several kinds of functions."""

    def __init__(self, sizes, rngs, **about):
        self.layer = nnx.Linear(*sizes, rngs=rngs)
        self.functions = (squashed, jax.nn.relu, jnp.tanh)
        for name, value in about.items():
            setattr(self, name, value)

    def __call__(self, x):
        for function in self.functions:
            x = function(x)
        return self.layer(x)


class Encoder(Network):
    def __call__(self, x):
        mean, log_var = jnp.split(super().__call__(x), 2, -1)
        return mean, log_var


def of_own_networks():
    rngs = nnx.Rngs(0)
    encoder, decoder = Encoder((6, 4), rngs, input_dim=(6,)), Network((2, 6), rngs, latent_dim=2)
    return VAE(encoder, decoder, 2, likelihood=Own(), rngs=rngs)


def with_a_prior(make_model):
    model = make_model("vq-vae", event=EVENT, hidden_dims=(3,))
    config = PriorConfig(layers=1, width=4, heads=1)
    model.prior = CodePrior(config, model.code_shape, model.num_embeddings, rngs=nnx.Rngs(3))
    return model


CASES = {
    **{name: partial(lambda name, make: make(name, event=EVENT, hidden_dims=(3,)), name)
       for name in MODELS},
    "vq-vae with a prior": with_a_prior,
    "own networks and likelihood": lambda _: of_own_networks(),
}  # fmt: skip
WAYS = {
    "deepcopy": copy.deepcopy,
    **{f"pickle {i}": partial(lambda i, m: pickle.loads(pickle.dumps(m, i)), i) for i in (2, 5)},
}


def outputs(model):
    shape = model.event_shape
    x = np.linspace(0, 1, 3 * np.prod(shape), dtype=np.float32).reshape(3, *shape)
    return model.reconstruct(x, deterministic=True), model.sample(2)


@pytest.mark.sampled
@pytest.mark.parametrize("name", CASES)
def test_a_copy_is_the_same_model_with_variables_of_its_own(make_model, name):
    model = CASES[name](make_model)
    model.eval()
    copies = [way(model) for way in WAYS.values()]
    expected = outputs(model)
    for found in copies:
        assert type(found) is type(model)
        assert found.config == model.config
        assert nnx.graphdef(found) == nnx.graphdef(model)  # one compiled program for both
        assert hash(nnx.graphdef(found)) == hash(nnx.graphdef(model))
        if name in ("vae", "vq-vae with a prior", "own networks and likelihood"):
            for a, b in zip(expected, outputs(found), strict=True):
                np.testing.assert_array_equal(a, b)  # samples continue the stream
        for variable in jax.tree.leaves(nnx.state(found, nnx.Param)):
            assert np.isfinite(variable).all()
        nnx.update(found, jax.tree.map(jnp.zeros_like, nnx.state(found, nnx.Param)))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def test_variables_that_are_shared_stay_shared():
    model = of_own_networks()
    assert copy.copy(model).encoder is model.encoder
    model.decoder.tied = model.encoder.layer.bias
    for way in WAYS.values():
        found = way(model)
        assert found.decoder.tied is found.encoder.layer.bias
        assert found.decoder.tied is not model.decoder.tied


@pytest.mark.parametrize(
    "make",
    [
        lambda: MLPEncoder([3], 2, "gelu", EVENT, rngs=nnx.Rngs(0)),
        lambda: MLPDecoder([3], EVENT, 2, output_activation="tanh", rngs=nnx.Rngs(0)),
        lambda: CodePrior(PriorConfig(layers=1, width=4, heads=1), (2,), 3, rngs=nnx.Rngs(0)),
        lambda: Gaussian("learned", jax.nn.sigmoid),
        Bernoulli,
        Own,
    ],
)
def test_parts_of_a_model_alone(make):
    part = make()
    for way in WAYS.values():
        found = way(part)
        assert nnx.graphdef(found) == nnx.graphdef(part)
        for a, b in zip(*(jax.tree.leaves(nnx.state(p)) for p in (part, found)), strict=True):
            np.testing.assert_array_equal(*(jax.device_get(jnp.asarray(v)) if not
                jax.dtypes.issubdtype(v.dtype, jax.dtypes.prng_key) else
                jax.random.key_data(v) for v in (a, b)))  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation(name):
    encoder = MLPEncoder([3], 2, name, EVENT, rngs=nnx.Rngs(0))
    found = pickle.loads(pickle.dumps(encoder))
    assert found.backbone.activation is encoder.backbone.activation


@pytest.mark.slow
def test_another_process_reads_it(make_model, tmp_path):
    model = make_model("vae", event=EVENT, hidden_dims=(3,))
    path = tmp_path / "model.joblib"
    joblib.dump(model, path)
    expected = model.reconstruct(X, deterministic=True)
    code = (
        "import sys, joblib, numpy as np\n"
        "model = joblib.load(sys.argv[1])\n"
        "x = np.load(sys.argv[2])\n"
        "np.save(sys.argv[2], model.reconstruct(x, deterministic=True))\n"
        "model.sample(1)\n"
    )
    np.save(tmp_path / "x.npy", X)
    subprocess.run([sys.executable, "-c", code, path, tmp_path / "x.npy"], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_pickled_says_so():
    likelihood = Gaussian(1.0, lambda x: x)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(likelihood)
    assert nnx.graphdef(copy.deepcopy(likelihood)) == nnx.graphdef(likelihood)
    trainer = Trainer(of_own_networks(), progress=False)
    for way in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"a Trainer cannot be pickled .* trainer.model"):
            way(trainer)


def test_a_dataset():
    dataset = from_arrays(np.repeat(X, 10, 0), np.arange(30) % 2)
    found = pickle.loads(pickle.dumps(dataset))
    for split in ("train", "validation", "test"):
        a, b = getattr(dataset, split), getattr(found, split)
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)
