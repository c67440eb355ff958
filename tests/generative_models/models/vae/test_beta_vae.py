"""The schedules of BetaVAE and of BetaVAEWithCapacity, at every step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.models.vae import BetaVAE, BetaVAEWithCapacity

EVENT, WARMUP, BETA = (12,), 7, 4.0
STEPS = np.arange(2 * WARMUP)
CLOSE = {"rtol": 3e-7}  # three roundings of float32


@pytest.fixture(scope="module")
def x():
    return jnp.asarray(np.random.default_rng(0).random((3, *EVENT), np.float32))


@pytest.fixture
def model(make_model):
    return make_model("beta-vae", event=EVENT, beta_default=BETA, beta_warmup_steps=WARMUP)


def capacity_model(make_model, **fields):
    shared = {"beta_default": BETA, "beta_warmup_steps": WARMUP, "capacity_num_iter": 5}
    return make_model("beta-vae-capacity", event=EVENT, **{**shared, "gamma": 3.0, **fields})


class TestBetaVAE:
    """β(t) = min(β_default, β_default · t / T_warmup)."""

    formula = np.minimum(BETA, BETA * STEPS / WARMUP)

    def test_every_step(self, model, x):
        outputs = model(x)
        kl = float(model.loss_fn(x=x, outputs=outputs)["kl_loss"])
        for step, beta in zip(STEPS, self.formula, strict=True):
            losses = model.loss_fn(x=x, outputs=outputs, step=int(step))
            np.testing.assert_allclose(losses["beta"], beta, **CLOSE)
            total = float(losses["reconstruction_loss"]) + beta * kl
            assert float(losses["total_loss"]) == pytest.approx(total, rel=1e-6)
            assert float(losses["kl_loss"]) == kl

    def test_traced_steps(self, model, x):
        outputs = model(x)

        def beta(step):
            return model.loss_fn(x=x, outputs=outputs, step=step)["beta"]

        np.testing.assert_allclose(jax.jit(jax.vmap(beta))(jnp.arange(14)), self.formula, **CLOSE)

    def test_without_a_step_it_is_warmed_up(self, model, x):
        assert float(model.loss_fn(batch=x)["beta"]) == BETA
        assert float(model.loss_fn(batch=x, step=0)["beta"]) == 0.0
        assert float(model.loss_fn(batch=x, step=10**9)["beta"]) == BETA

    def test_without_a_warmup_it_is_constant(self, make_model, x):
        model = make_model("beta-vae", event=EVENT, beta_default=BETA, beta_warmup_steps=0)
        for step in (None, 0, 5):
            assert float(model.loss_fn(batch=x, step=step)["beta"]) == BETA

    def test_a_given_beta_wins(self, model, x):
        assert float(model.loss_fn(batch=x, beta=0.25, step=1)["beta"]) == 0.25

    @pytest.mark.parametrize("kind", ["mse", "bce"])
    def test_reconstruction_loss_types(self, make_model, x, kind):
        model = make_model("beta-vae", event=EVENT, reconstruction_loss_type=kind)
        outputs = model(x)
        p = np.asarray(outputs["reconstructed"], np.float64)
        data = np.asarray(x, np.float64)
        each = {
            "mse": (data - p) ** 2,
            "bce": -(data * np.log(p) + (1 - data) * np.log(1 - p)),
        }[kind]
        found = float(model.loss_fn(x=x, outputs=outputs)["reconstruction_loss"])
        assert found == pytest.approx(each.sum(1).mean(), rel=1e-5)

    @pytest.mark.parametrize(
        ("field", "value"), [("beta_default", -1.0), ("beta_warmup_steps", -1)]
    )
    def test_wrong_arguments(self, make_config, model, field, value):
        with pytest.raises(ValueError, match=field):
            make_config("beta-vae", **{field: value})
        with pytest.raises(ValueError, match=rf"{field}={value}: expected a finite number >= 0"):
            BetaVAE(model.encoder, model.decoder, 4, rngs=nnx.Rngs(0), **{field: value})

    def test_wrong_reconstruction_loss_type(self, make_config, model):
        with pytest.raises(ValueError, match="reconstruction_loss_type"):
            make_config("beta-vae", reconstruction_loss_type="mae")
        with pytest.raises(ValueError, match=r"'mae': expected one of .*did you mean 'mse'"):
            BetaVAE(model.encoder, model.decoder, 4, 1.0, 0, "mae", rngs=nnx.Rngs(0))


class TestCapacity:
    """L = reconstruction + γ |KL - C(t)|, C(t) = min(C_max, C_max · t / T_capacity)."""

    @pytest.mark.parametrize("capacity_max", [1e-3, 25.0])  # the KL above, and below
    def test_every_step(self, make_model, x, capacity_max):
        model = capacity_model(make_model, use_capacity_control=True, capacity_max=capacity_max)
        outputs = model(x)
        formula = np.minimum(capacity_max, capacity_max * STEPS / 5)
        for step, capacity in zip(STEPS, formula, strict=True):
            losses = model.loss_fn(x=x, outputs=outputs, step=int(step))
            kl, reconstruction = float(losses["kl_loss"]), float(losses["reconstruction_loss"])
            difference = kl - capacity
            assert float(losses["current_capacity"]) == pytest.approx(capacity, abs=1e-5)
            assert float(losses["kl_capacity_diff"]) == pytest.approx(difference, abs=1e-5)
            loss = 3.0 * abs(difference)
            assert float(losses["capacity_loss"]) == pytest.approx(loss, abs=5e-5)
            assert float(losses["total_loss"]) == pytest.approx(reconstruction + loss, abs=5e-5)
        traced = jax.jit(
            jax.vmap(lambda s: model.loss_fn(x=x, outputs=outputs, step=s)["current_capacity"])
        )(jnp.asarray(STEPS))
        np.testing.assert_allclose(traced, formula, atol=1e-5)

    def test_the_gradient_draws_the_kl_to_the_capacity(self, make_model, x):
        for capacity_max, sign in ((1e-3, 1.0), (25.0, -1.0)):
            model = capacity_model(make_model, use_capacity_control=True, capacity_max=capacity_max)
            outputs = model(x)

            def losses(mean, model=model, outputs=outputs):
                return model.loss_fn(x=x, outputs=outputs | {"mean": mean}, step=5)

            pull = jax.grad(lambda mean: losses(mean)["total_loss"])(outputs["mean"])
            # d KL / d mean = mean / batch, and γ = 3.
            np.testing.assert_allclose(pull, sign * 3.0 * outputs["mean"] / 3, rtol=1e-5, atol=1e-7)

    @pytest.mark.sampled
    @pytest.mark.parametrize("step", [0, 3, 100])
    def test_off_is_exactly_beta_vae(self, make_model, x, step):
        model = capacity_model(make_model, use_capacity_control=False)
        plain = make_model("beta-vae", event=EVENT, beta_default=BETA, beta_warmup_steps=WARMUP)
        params = nnx.state(plain, nnx.Param)
        one, other = (
            jax.value_and_grad(
                lambda p, m=m: m.loss_fn(p, x, jax.random.key(0), step=step)["loss"]
            )(params)
            for m in (model, plain)
        )
        jax.tree.map(np.testing.assert_array_equal, one, other)
        first, second = (m.loss_fn(params, x, jax.random.key(0), step=step) for m in (model, plain))
        assert first.keys() == second.keys()
        jax.tree.map(np.testing.assert_array_equal, first, second)

    def test_the_step_of_the_page_is_zero_and_none_is_the_last(self, make_model, x):
        model = capacity_model(make_model, use_capacity_control=True, capacity_max=25.0)
        outputs = model(x)
        assert float(model.loss_fn(x=x, outputs=outputs)["current_capacity"]) == 0.0
        assert float(model.loss_fn(x=x, outputs=outputs, step=None)["current_capacity"]) == 25.0
        # By position, the page has step behind beta.
        losses = model.loss_fn(None, None, None, x, outputs, None, 1)
        assert float(losses["current_capacity"]) == pytest.approx(5.0)

    def test_free_bits_have_no_place_beside_a_capacity(self, make_config, make_model):
        with pytest.raises(ValueError, match="free_bits has no meaning under use_capacity_control"):
            make_config("beta-vae-capacity", free_bits=0.5)
        model = capacity_model(make_model)
        arguments = {"use_capacity_control": True, "free_bits": 0.5, "rngs": nnx.Rngs(0)}
        with pytest.raises(ValueError, match="free_bits has no meaning under use_capacity_control"):
            BetaVAEWithCapacity(model.encoder, model.decoder, 4, **arguments)

    def test_with_a_reconstruction_loss_of_ones_own(self, make_model, x):
        model = capacity_model(make_model, use_capacity_control=True)
        losses = model.loss_fn(
            nnx.state(model, nnx.Param),
            x,
            jax.random.key(0),
            step=5,
            reconstruction_loss_fn=lambda p, t: jnp.ones(len(t)) + 0 * p[:, 0],
        )
        assert float(losses["reconstruction_loss"]) == 1.0
        total = 1.0 + float(losses["capacity_loss"])
        assert float(losses["total_loss"]) == pytest.approx(total, rel=1e-6)

    @pytest.mark.parametrize(
        ("field", "value"), [("capacity_max", -1.0), ("capacity_num_iter", 0), ("gamma", -1.0)]
    )
    def test_wrong_arguments(self, make_config, make_model, field, value):
        with pytest.raises(ValueError, match=field):
            make_config("beta-vae-capacity", **{field: value})
        model = capacity_model(make_model)
        with pytest.raises(ValueError, match=f"{field}={value}: expected a"):
            BetaVAEWithCapacity(model.encoder, model.decoder, 4, rngs=nnx.Rngs(0), **{field: value})
