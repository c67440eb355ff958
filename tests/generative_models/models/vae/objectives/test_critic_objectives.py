"""What all objectives with a critic share: disjoint gradients, resumed runs, their optimizers."""

import jax
import numpy as np
import optax
import pytest
from critic_models import X, model_with, parts
from flax import nnx

from workshop.generative_models.core.configuration import (
    AdversarialConfig,
    FactorConfig,
    PointMassConfig,
    VAEGANConfig,
)
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.models.vae.inference import LossContext
from workshop.generative_models.models.vae.objectives import VAEGAN, Factor
from workshop.generative_models.training import Trainer, create_optimizer

CONFIGS = [FactorConfig, AdversarialConfig, VAEGANConfig]


def model_of(kind):
    return model_with(kind(hidden_dims=(5, 3)))


@pytest.mark.sampled
@pytest.mark.parametrize("kind", CONFIGS)
def test_each_loss_has_no_gradient_in_the_parameters_of_the_other(kind):
    model = model_of(kind)
    names = ("total_loss", "critic_loss")

    @jax.jit
    def gradients(params, key):
        def loss(params, name):
            return model.loss_fn(params, {"x": X}, key)[name]

        return [jax.grad(loss)(params, name) for name in names]

    of_total, of_critic = gradients(nnx.state(model, nnx.Param), jax.random.key(1))
    theirs, critics = parts(of_total)
    assert all((g == 0).all() for g in critics)
    assert any((g != 0).any() for g in theirs)
    theirs, critics = parts(of_critic)
    assert all((g == 0).all() for g in theirs)
    # But for the last bias of a critic that is shown as much of both classes.
    assert sum((g != 0).any() for g in critics) >= len(critics) - 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FactorConfig, VAEGANConfig])  # critics of latents, and of data
def test_a_run_resumes_to_the_same_bits_and_its_model_loads(kind, tmp_path):
    whole, cut, again = (model_of(kind) for _ in range(3))
    options = {"batch_size": 6, "progress": False}
    Trainer(whole, **options).fit(X, steps=4)
    Trainer(cut, folder=tmp_path, **options).fit(X, steps=2)
    Trainer(again, folder=tmp_path, **options).fit(X, steps=4, resume=True)
    again.save_pretrained(tmp_path / "saved")
    loaded = VAE.from_pretrained(tmp_path / "saved")
    first = [np.asarray(a) for a in jax.tree.leaves(nnx.state(whole, nnx.Param))]
    for other in (again, loaded):
        found = jax.tree.leaves(nnx.state(other, nnx.Param))
        for a, b in zip(first, found, strict=True):
            np.testing.assert_array_equal(a, np.asarray(b))
    before = parts(nnx.state(cut, nnx.Param))[1]
    assert any((a != b).any() for a, b in zip(before, parts(nnx.state(whole, nnx.Param))[1],
                                              strict=True)), "the critic is trained"  # fmt: skip


def test_the_critics_optimizers_are_those_of_the_papers():
    gradients = [np.array([0.3, -2.0]), np.array([1.0, 0.1])]
    expected = {
        FactorConfig: optax.adam(1e-4, b1=0.5, b2=0.9),
        AdversarialConfig: optax.adam(5e-4, b1=0.5, b2=0.999),
        VAEGANConfig: optax.rmsprop(3e-4),
    }
    for kind, other in expected.items():
        model = model_of(kind)
        own = model.critic_optimizer()
        assert Trainer(model, progress=False).plan.critic_optimizer is own
        assert model_of(kind).critic_optimizer() is own, "equal models share compiled programs"
        states = [optimizer.init(gradients[0]) for optimizer in (own, other)]
        for gradient in gradients:
            a, states[0] = own.update(gradient, states[0])
            b, states[1] = other.update(gradient, states[1])
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_the_betas_of_adam_are_used():
    # The second update of Adam, by its definition (Kingma & Ba 2015).
    first, second, b1, b2 = 1.0, 3.0, 0.5, 0.9
    optimizer = create_optimizer("adam", 0.1, betas=(b1, b2))
    state = optimizer.init(np.zeros(1))
    _, state = optimizer.update(np.array([first]), state)
    found, _ = optimizer.update(np.array([second]), state)
    mean = (b1 * (1 - b1) * first + (1 - b1) * second) / (1 - b1**2)
    square = (b2 * (1 - b2) * first**2 + (1 - b2) * second**2) / (1 - b2**2)
    np.testing.assert_allclose(found, [-0.1 * mean / np.sqrt(square)], rtol=1e-5)
    for name, betas in (("sgd", (0.5, 0.9)), ("adam", (0.5, 1.0))):
        with pytest.raises(ValueError, match=r"betas=\(0.5, .*\) with optimizer="):
            create_optimizer(name, 0.1, betas=betas)


def test_an_objective_draws_other_numbers_than_the_forward_pass():
    def numbers(keys):
        return {tuple(jax.random.key_data(key).tolist()) for key in keys}

    key = jax.random.key(3)
    own, streams = LossContext(key=key).key, nnx.Rngs(key)
    drawn = numbers([own, *jax.random.split(own, 4)])
    passed = [key, *(streams.sample() for _ in range(4)), *jax.random.split(key, 4)]
    assert not drawn & numbers(passed)


def test_what_does_not_combine_is_refused():
    with pytest.raises(
        ValueError, match=r"PointMassPosterior has no density, and objective Factor"
    ):
        model_with(FactorConfig(hidden_dims=(3,)), posterior=PointMassConfig())
    with pytest.raises(
        ValueError, match=r"PointMassPosterior has no density, and objective VAEGAN"
    ):
        model_with(VAEGANConfig(hidden_dims=(3,)), posterior=PointMassConfig())
    with pytest.raises(ValueError, match="pass rngs for the initial weights of the critic"):
        Factor(2)
    with pytest.raises(ValueError, match=r"VAEGAN\(event_shape=None\)"):
        VAEGAN(None, rngs=nnx.Rngs(0))
    for kind in CONFIGS:
        with pytest.raises(ValueError, match="critic_learning_rate"):
            kind(critic_learning_rate=0.0)
