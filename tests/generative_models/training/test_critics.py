"""A critic in the model: disjoint gradients, an optimizer of its own, and the trainer's guards."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.core.critics import CriticParam, as_critic, frozen
from workshop.generative_models.training import Trainer, create_optimizer
from workshop.generative_models.training.step import TRAIN, Plan, purpose_key

X = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
SGD = optax.sgd(0.1)
OF_CRITIC = create_optimizer("adam", 0.01, clip_norm=0.5)


class Adversarial(GenerativeModel):
    """A linear autoencoder whose latents a logistic critic tells from N(0, I)."""

    spoiled = False

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.encoder, self.decoder = (nnx.Linear(*size, rngs=rngs) for size in ((3, 2), (2, 3)))
        self.critic = as_critic(nnx.Linear(2, 1, rngs=rngs))

    def critic_optimizer(self):
        return OF_CRITIC

    def loss_fn(self, params=None, batch=None, rng=None, *, step=None):
        if params is not None:
            return self.with_params(params).loss_fn(None, batch, rng, step=step)
        z = self.encoder(batch["x"])
        error = jnp.square(self.decoder(z) - batch["x"]).sum(-1).mean()
        real = self.critic(jax.random.normal(rng, z.shape))
        fake = self.critic(jax.lax.stop_gradient(z))
        critic_loss = (nnx.softplus(-real) + nnx.softplus(fake)).mean()
        if self.spoiled and step is not None:
            critic_loss = jnp.where(step == 3, jnp.nan, critic_loss)
        fooled = nnx.softplus(-frozen(self.critic)(z)).mean()
        return {"total_loss": error + fooled, "critic_loss": critic_loss}


def trainer(model, **options):
    return Trainer(model, SGD, **{"batch_size": 16, "progress": False, **options})


def numbers(state):
    return [np.asarray(a) for a in jax.tree.leaves(state)]


def parts(params):
    """Return the leaves of the model without its critic, and those of the critic."""
    critic, model = nnx.split_state(params, CriticParam, ...)
    assert [len(numbers(critic)), len(numbers(model))] == [2, 4]
    return numbers(model), numbers(critic)


def gradient(params, name, key):
    model = Adversarial()
    return jax.grad(lambda p: model.loss_fn(p, {"x": X}, key)[name])(params)


def test_each_loss_has_no_gradient_in_the_parameters_of_the_other():
    params, key = nnx.state(Adversarial(), nnx.Param), jax.random.key(1)
    of_model, of_critic = parts(gradient(params, "total_loss", key))
    assert all((g == 0).all() for g in of_critic)
    assert all((g != 0).any() for g in of_model)
    of_model, of_critic = parts(gradient(params, "critic_loss", key))
    assert all((g == 0).all() for g in of_model)
    assert all((g != 0).any() for g in of_critic)


def test_a_step_is_one_of_each_optimizer_on_its_own_parameters():
    model = Adversarial()
    params, key = nnx.state(model, nnx.Param), purpose_key(jnp.asarray(0), TRAIN, jnp.asarray(0))
    expected = []
    for optimizer, name, which in ((SGD, "total_loss", 0), (OF_CRITIC, "critic_loss", 1)):
        own = parts(params)[which]
        step = parts(gradient(params, name, key))[which]
        updates, _ = optimizer.update(step, optimizer.init(own), own)
        expected += optax.apply_updates(own, updates)
    trainer(model).fit(X, steps=1)
    found = [a for part in parts(nnx.state(model, nnx.Param)) for a in part]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_run_with_a_critic_resumes_to_the_same_bits(tmp_path):
    whole, cut = Adversarial(), Adversarial()
    options = {"average": 0.9, "keep_best": True, "monitor": "critic_loss", "evaluate_every": 2}
    trainer(whole, **options).fit(X, X[:5], steps=8)
    trainer(cut, folder=tmp_path, **options).fit(X, X[:5], steps=4)
    cut = Adversarial()
    trainer(cut, folder=tmp_path, **options).fit(X, X[:5], steps=8, resume=True)
    for a, b in zip(*(numbers(nnx.state(m)) for m in (whole, cut)), strict=True):
        np.testing.assert_array_equal(a, b)

    class Other(Adversarial):
        def critic_optimizer(self):
            return create_optimizer("adam", 0.02, clip_norm=0.5)

    Other.__name__ = "Adversarial"
    with pytest.raises(ValueError, match=r"critic_optimizer.learning_rate=0.01, not 0.02"):
        trainer(Other(), folder=tmp_path, **options).fit(X, X[:5], steps=9, resume=True)


def test_a_critic_loss_that_is_not_finite_triggers_the_guard():
    class Spoiled(Adversarial):
        spoiled = True

    model = Spoiled()
    before = numbers(nnx.state(model))
    with pytest.raises(FloatingPointError, match=r"step 3: the loss 'critic_loss' is not finite"):
        trainer(model).fit(X, steps=5)
    for a, b in zip(before, numbers(nnx.state(model)), strict=True):
        np.testing.assert_array_equal(a, b)
    rows = trainer(model, nonfinite="skip").fit(X, steps=5)
    assert (rows[-1]["skipped"], np.isfinite(rows[-1]["critic_loss"])) == (1, True)


def test_a_critic_without_a_loss_is_refused():
    class Idle(Adversarial):
        def loss_fn(self, *args, **kwargs):
            return {"total_loss": super().loss_fn(*args, **kwargs)["total_loss"]}

    with pytest.raises(ValueError, match="returns no 'critic_loss'"):
        trainer(Idle()).fit(X, steps=1)


def test_without_a_critic_the_optimizer_is_the_one_given():
    assert Plan(SGD).transformation is SGD
    assert trainer(Adversarial()).plan.critic_optimizer is OF_CRITIC


def test_parameters_become_those_of_a_critic_wherever_they_are():
    class Holder(nnx.Module):
        def __init__(self):
            self.shared = nnx.Param(jnp.ones(2))
            self.again = self.shared
            self.listed = nnx.List([nnx.Param(jnp.zeros(1)), nnx.Linear(1, 1, rngs=nnx.Rngs(0))])
            self.mean = nnx.BatchStat(jnp.zeros(1))

    holder = as_critic(Holder())
    assert holder.shared is holder.again
    types = {type(v) for _, v in nnx.iter_graph(holder) if isinstance(v, nnx.Variable)}
    assert types == {CriticParam, nnx.BatchStat}
    assert len(jax.tree.leaves(nnx.state(holder, CriticParam))) == 4
    assert len(jax.tree.leaves(nnx.state(nnx.clone(holder), CriticParam))) == 4
