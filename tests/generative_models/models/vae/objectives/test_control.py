"""The controller of the KL's weight: its rule, its limits, and its state in checkpoints."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from handmade import KL, RECONSTRUCTION, losses

from workshop.generative_models.core.configuration import DecoderConfig, EncoderConfig, VAEConfig
from workshop.generative_models.core.configuration.objectives import ControlVAEConfig
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.models.vae.objectives import ControlVAE
from workshop.generative_models.training import Trainer


def by_the_paper(kls, target, kp, ki, low, high):
    """Return β after each KL, by algorithm 1 of Shao et al. 2020."""
    betas, integral, before = [], 0.0, low
    for kl in kls:
        error = target - kl
        if low <= before <= high:
            integral -= ki * error
        before = kp / (1 + math.exp(error)) + integral + low
        betas.append(min(max(before, low), high))
    return betas


def run(controller, kls):
    """Return β after each KL, by a compiled loop."""
    limits = controller.beta_min, controller.beta_max
    graphdef, start = nnx.split(controller)

    def step(state, kl):
        objective = nnx.merge(graphdef, state, copy=True)
        objective.update_statistics(objective.after(kl))
        return nnx.state(objective), jnp.clip(objective.output[...], *limits)

    scan = jax.jit(lambda state, kls: jax.lax.scan(step, state, kls)[1])
    return np.asarray(scan(start, jnp.asarray(kls, jnp.float32)))


def test_the_weight_is_that_of_the_paper():
    kls = 5 + 3 * np.sin(np.arange(60) / 5) + np.arange(60) / 10
    options = (7.0, 0.02, 0.003, 0.1, 0.3)
    expected = by_the_paper(kls, *options)
    assert min(expected) == 0.1
    np.testing.assert_allclose(run(ControlVAE(*options), kls), expected, atol=1e-6)


def test_a_large_error_does_not_stop_the_controller():
    kls = [500.0] * 40 + [1.0] * 400
    options = (10.0, 0.01, 0.001, 0.0, 1.0)
    found = run(ControlVAE(*options), kls)
    assert found[39] == 1
    assert found[-1] < 0.1, "it comes back when the KL is below the target"
    assert by_the_paper(kls, *options)[-1] == 1, "which the rule of the paper does not"


def test_it_holds_the_kl_at_the_target():
    """A plant whose KL falls with β, to which it moves by a tenth in each step."""
    controller = ControlVAE(5.0, 0.01, 0.001)
    graphdef, start = nnx.split(controller)

    def step(carry, _):
        state, kl = carry
        objective = nnx.merge(graphdef, state, copy=True)
        objective.update_statistics(objective.after(kl))
        beta = jnp.clip(objective.output[...], 0.0, 1.0)
        kl = kl + 0.1 * (20 * jnp.exp(-3 * beta) - kl)
        return (nnx.state(objective), kl), (kl, beta)

    scan = jax.jit(lambda state: jax.lax.scan(step, (state, jnp.zeros(())), length=3000)[1])
    kl, beta = scan(start)
    np.testing.assert_allclose(kl[-100:], 5, rtol=1e-3)
    # The equilibrium, 20 exp(-3β) = 5.
    np.testing.assert_allclose(beta[-100:], math.log(4) / 3, rtol=1e-3)


def test_the_loss_weighs_the_kl_and_the_weight_has_no_gradient():
    kl = KL.sum(1).mean()
    objective = ControlVAE(2.0, 0.5, 0.25)
    beta = by_the_paper([kl], 2.0, 0.5, 0.25, 0.0, 1.0)[0]
    found = losses(objective, step=0)
    assert found["beta"] == pytest.approx(beta, rel=1e-5)
    assert found["total_loss"] == pytest.approx(RECONSTRUCTION + beta * kl, rel=1e-5)
    assert losses(objective)["beta"] == 0, "without a step it is that of the last one"
    objective.update_statistics(found["statistics"])
    assert losses(objective)["beta"] == pytest.approx(beta, rel=1e-5)
    assert losses(objective, step=0, beta=3.0)["beta"] == 3

    def total(shift, step):
        mean = jnp.zeros((6, 2)) + shift
        return losses(ControlVAE(2.0, 0.5, 0.25, 0.1), mean, 0 * mean, mean, jit=False, step=step)

    found, gradient = jax.jit(
        lambda s: (total(s, 0)["beta"], jax.grad(lambda s: total(s, 0)["total_loss"])(s))
    )(jnp.ones(()))
    # The KL is ½ · 2 s², its slope 2 s.
    np.testing.assert_allclose(gradient, 2 * found, rtol=1e-5)


CONFIG = VAEConfig(
    encoder=EncoderConfig(hidden_dims=[4], latent_dim=2, input_shape=[4]),
    decoder=DecoderConfig(hidden_dims=[4], latent_dim=2, output_shape=[4]),
    objective=ControlVAEConfig(target=0.5, ki=0.01),
)
X = np.random.default_rng(0).random((12, 4), np.float32)


def numbers(model):
    return [np.asarray(a) for a in jax.tree.leaves(nnx.state(model, nnx.Not(nnx.RngState)))]


@pytest.mark.slow
def test_its_state_is_saved_and_resumed_to_the_same_bits(tmp_path):
    def fitted(folder, steps, **options):
        model = VAE(CONFIG, rngs=nnx.Rngs(0))
        trainer = Trainer(model, batch_size=4, folder=tmp_path / folder, progress=False)
        trainer.fit(X, steps=steps, **options)
        return model

    whole = fitted("whole", 6)
    fitted("parts", 3)
    parts = fitted("parts", 6, resume=True)
    whole.save_pretrained(tmp_path / "saved")
    saved = VAE.from_pretrained(tmp_path / "saved")
    assert whole.objective.integral[...] != 0
    for other in (parts, saved):
        for a, b in zip(numbers(whole), numbers(other), strict=True):
            np.testing.assert_array_equal(a, b)
    beta = saved.loss_fn(batch=X)["beta"]
    np.testing.assert_array_equal(beta, jnp.clip(whole.objective.output[...], 0, 1))


def test_limits_out_of_order_are_refused():
    for make in (ControlVAE, ControlVAEConfig):
        with pytest.raises(ValueError, match="beta_max"):
            make(beta_min=0.5, beta_max=0.1)
