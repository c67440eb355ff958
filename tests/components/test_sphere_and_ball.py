"""Models with latents on the sphere or the Poincaré ball: losses, paths, evaluation, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.cli.explore.session import Session
from workshop.generative_models.core.configuration import (
    DecoderConfig,
    EncoderConfig,
    PowerSphericalConfig,
    StandardNormalConfig,
    UniformSphereConfig,
    VAEConfig,
    VonMisesFisherConfig,
    WrappedNormalConfig,
    WrappedNormalPriorConfig,
)
from workshop.generative_models.core.distributions import kl
from workshop.generative_models.data import Dataset, Split
from workshop.generative_models.evaluation import outputs
from workshop.generative_models.evaluation.bounds import (
    annealed_importance_sampling,
    importance_weighted_bound,
)
from workshop.generative_models.models.vae import VAE, MLPEncoder
from workshop.generative_models.training import Trainer

X = np.random.default_rng(0).random((6, 4), np.float32)
COMPONENTS = {
    "vmf": (VonMisesFisherConfig(), UniformSphereConfig()),
    "power": (PowerSphericalConfig(), UniformSphereConfig()),
    "ball": (WrappedNormalConfig(), WrappedNormalPriorConfig(scale=0.7)),
}
each = pytest.mark.parametrize("name", list(COMPONENTS))


def model_of(name, latent_dim=3, **options):
    posterior, prior = COMPONENTS[name]
    config = VAEConfig(
        encoder=EncoderConfig(hidden_dims=[4], latent_dim=latent_dim, input_shape=[4]),
        decoder=DecoderConfig(hidden_dims=[4], latent_dim=latent_dim, output_shape=[4]),
        likelihood="bce",
        posterior=posterior,
        prior=prior,
        **options,
    )
    assert VAEConfig.model_validate_json(config.model_dump_json()) == config
    return VAE(config, rngs=nnx.Rngs(0))


class Same(nnx.Module):
    """z -> z, to see what the decoder reads."""

    output_shape = (4,)

    def __call__(self, z):
        return z


def in_space(name, z):
    length = np.linalg.norm(z, axis=-1)
    return (length < 1).all() if name == "ball" else np.allclose(length, 1, atol=1e-5)


@pytest.mark.sampled
@each
def test_losses_are_those_of_the_distributions(name):
    model = model_of(name)

    @nnx.jit
    def run(model, x):
        value = model.loss_fn(batch=x, rng=jax.random.key(0))
        found = model(x, rngs=nnx.Rngs(jax.random.key(0)))
        q, p = model.q_z(x), model.p_z()
        sampled = (q.log_prob(found["z"]) - p.log_prob(found["z"])).mean()
        divergence = kl(q, p)
        gradient = nnx.grad(lambda m: m.loss_fn(batch=x, rng=jax.random.key(0))["total_loss"])
        exact = sampled if divergence is None else divergence.mean()
        return value["kl_loss"], exact, found["z"], gradient(model), model.sample(5)

    reported, exact, z, gradient, drawn = run(model, jnp.asarray(X))
    np.testing.assert_allclose(reported, exact, rtol=1e-4, atol=1e-5)
    assert in_space(name, z)
    # Every parameter of the encoder has a gradient, the concentration's too.
    leaves = jax.tree.leaves(nnx.state(gradient.encoder, nnx.Param))
    assert all(np.isfinite(leaf).all() and np.any(leaf) for leaf in leaves)
    assert np.isfinite(drawn).all()


@each
def test_paths_stay_in_the_space_that_the_posterior_declares(name):
    rngs, (posterior, prior) = nnx.Rngs(0), COMPONENTS[name]
    encoder = MLPEncoder([4], 4, "relu", (4,), rngs=rngs)
    model = VAE(encoder, Same(), 4, rngs=rngs, posterior=posterior, prior=prior)

    @nnx.jit
    def run(model, x):
        line = model.interpolate(x[0], x[1], 5)
        return line, model.latent_traversal(x[0], 1, (-2.0, 2.0), 5), model.encode(x)[0]

    line, row, means = (np.asarray(a) for a in run(model, jnp.asarray(X)))
    assert in_space(name, line)
    assert in_space(name, row)
    np.testing.assert_allclose(line[[0, -1]], means[:2], atol=1e-5)
    assert (np.diff(row[:, 1]) > 0).all()  # the latent rises
    if name == "ball":  # along it the other coordinates of the tangent vector stay
        tangent = 2 * np.arctanh(np.linalg.norm(row, axis=-1, keepdims=True)) * row
        tangent = tangent / np.linalg.norm(row, axis=-1, keepdims=True)
        np.testing.assert_allclose(tangent[:, 1], np.linspace(-2, 2, 5), atol=1e-4)
        rest = np.delete(tangent, 1, axis=1)
        np.testing.assert_allclose(rest, rest[:1].repeat(5, 0), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vmf", "ball"])
def test_models_train_save_and_are_evaluated(name, tmp_path):
    model = model_of(name)
    Trainer(model, batch_size=6, folder=tmp_path / "run", progress=False).fit(X, steps=2)
    model.save_pretrained(tmp_path / "saved")
    model = VAE.from_pretrained(tmp_path / "saved")
    bounds = [importance_weighted_bound(model, X, samples=k).mean() for k in (1, 200)]
    assert bounds[1] > bounds[0]
    with pytest.raises(ValueError, match=r"annealed_importance_sampling: its chains move in R\^n"):
        annealed_importance_sampling(model, X, chains=2, steps=2)
    split = Split(X)
    session = Session(model, Dataset("x", split, split, split))
    assert session.reach == 1
    made = session.traverse(session.means[0], [0, 1], 3.0, 4)
    assert made.shape == (2, 4, 4)
    assert in_space(name, session.random(0))
    assert in_space(name, outputs.representations(model, split))


def test_other_spaces_are_refused_at_construction():
    posterior, prior = COMPONENTS["vmf"]
    sizes = {"hidden_dims": [4], "latent_dim": 3}
    config = {
        "encoder": EncoderConfig(input_shape=[4], **sizes),
        "decoder": DecoderConfig(output_shape=[4], **sizes),
    }
    for components, names in [
        (
            {"posterior": posterior, "prior": StandardNormalConfig()},
            "VonMisesFisherPosterior .*'sphere'.* StandardNormalPrior",
        ),
        ({"prior": prior}, "DiagonalNormalPosterior .*'real'.* UniformSpherePrior"),
        (
            {"posterior": posterior, "prior": COMPONENTS["ball"][1]},
            "VonMisesFisherPosterior .*'sphere'.* WrappedNormalPrior .*'ball'",
        ),
    ]:
        with pytest.raises(ValueError, match=names):
            VAE(VAEConfig(**config, **components), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="latent_dim of 2 or more"):
        model_of("vmf", latent_dim=1)


@each
def test_without_a_prior_it_is_the_usual_one_of_the_space(name):
    posterior, prior = COMPONENTS[name]
    sizes = {"hidden_dims": [4], "latent_dim": 3}
    config = VAEConfig(
        encoder=EncoderConfig(input_shape=[4], **sizes),
        decoder=DecoderConfig(output_shape=[4], **sizes),
        posterior=posterior,
    )
    model = nnx.eval_shape(lambda: VAE(config, rngs=nnx.Rngs(0)))
    assert model.kinds["prior"] == prior.kind
