"""What components receive and may return, and which of them do not go together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import logsumexp
from scipy.stats import norm

from workshop.generative_models.core.configuration import (
    DiagonalNormalConfig,
    EncoderConfig,
    FullNormalConfig,
    LatentPriorConfig,
    MixtureConfig,
    PointMassConfig,
    ReconstructionConfig,
)
from workshop.generative_models.core.distributions import DiagonalNormal
from workshop.generative_models.data import Split
from workshop.generative_models.evaluation.outputs import posteriors
from workshop.generative_models.models.vae import (
    VAE,
    VQVAE,
    BetaVAE,
    ConditionalVAE,
    MLPDecoder,
    MLPEncoder,
)
from workshop.generative_models.models.vae.components import register
from workshop.generative_models.models.vae.objectives import ELBO, Objective, Reconstruction
from workshop.generative_models.models.vae.posteriors import PointMassPosterior, Posterior

X = np.random.default_rng(0).random((5, 6), np.float32)
Y = np.array([0, 1, 2, 1, 0])


def parts(latent_dim: int = 2, rngs: nnx.Rngs | None = None) -> tuple[MLPEncoder, MLPDecoder, int]:
    rngs = nnx.Rngs(0) if rngs is None else rngs
    encoder = MLPEncoder([8], latent_dim, "tanh", (6,), rngs=rngs)
    return encoder, MLPDecoder([8], (6,), latent_dim, "tanh", rngs=rngs), latent_dim


class Weights(Objective):
    """The importance-weighted bound of three samples (Burda et al. 2016), and its terms."""

    samples = 3

    def __call__(self, model, terms, context):
        log_w = terms.log_likelihood + terms.inference.log_p - terms.inference.log_q
        bound = jax.nn.logsumexp(log_w, axis=0) - jnp.log(self.samples)
        return {"total_loss": -bound.mean(), "log_w": log_w, "z": terms.inference.z}


def test_an_objective_receives_log_weights_of_its_samples():
    model = VAE(*parts(), objective=Weights(), likelihood="bce", rngs=nnx.Rngs(1))
    losses = model.loss_fn(batch=X, rng=jax.random.key(0))
    z, log_w = np.float64(losses["z"]), losses["log_w"]
    assert z.shape == (3, 5, 2)
    assert len(np.unique(z.round(6))) == 30, "every sample has its own noise"
    mean, log_var = (np.float64(a) for a in model.encode(X))
    log_q = norm(mean, np.exp(log_var / 2)).logpdf(z).sum(-1)
    p = np.float64(jnp.stack([model.decode(row) for row in losses["z"]]))
    log_likelihood = (X * np.log(p) + (1 - X) * np.log1p(-p)).sum(-1)
    expected = log_likelihood + norm.logpdf(z).sum(-1) - log_q
    # log q is computed from the noise, the oracle from z: float32 keeps four digits of it.
    np.testing.assert_allclose(log_w, expected, rtol=1e-4)
    bound = -(logsumexp(expected, axis=0) - np.log(3)).mean()
    np.testing.assert_allclose(losses["total_loss"], bound, rtol=1e-5)
    np.testing.assert_allclose(losses["reconstruction_loss"], -log_likelihood.mean(), rtol=1e-5)
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).sum(1).mean()
    np.testing.assert_allclose(losses["kl_loss"], kl, rtol=1e-5)


def test_outputs_of_one_sample_are_refused_by_an_objective_of_several():
    model = VAE(*parts(), objective=Weights(), rngs=nnx.Rngs(1))
    with pytest.raises(ValueError, match="outputs hold one sample of z, and Weights needs 3"):
        model.loss_fn(x=X, outputs=model(X))


def test_several_samples_are_decoded_with_the_label_of_their_example():
    model = ConditionalVAE(*parts(), 3, objective=Weights(), likelihood="bce", rngs=nnx.Rngs(1))
    losses = model.loss_fn(batch={"x": X, "y": Y}, rng=jax.random.key(0))
    p = jnp.stack([model.decode(z, Y) for z in losses["z"]])
    log_likelihood = bernoulli_log_prob(p)
    np.testing.assert_allclose(losses["reconstruction_loss"], -log_likelihood.mean(), rtol=1e-5)


def bernoulli_log_prob(p: jax.Array) -> np.ndarray:
    return (X * np.log(p) + (1 - X) * np.log1p(-p)).sum(-1)


class NeedsSize(Objective):
    def __call__(self, model, terms, context):
        noise = jax.random.normal(context.key)
        return {"total_loss": terms.reconstruction_loss / context.num_examples + 0 * noise}


def test_an_objective_asks_for_the_size_of_the_training_set_and_for_a_key():
    model = VAE(*parts(), objective=NeedsSize(), rngs=nnx.Rngs(1))
    key = jax.random.key(0)
    losses = model.loss_fn(batch=X, rng=key, num_examples=10)
    np.testing.assert_allclose(losses["total_loss"], losses["reconstruction_loss"] / 10)
    with pytest.raises(ValueError, match=r"pass loss_fn\(..., num_examples=N\)"):
        model.loss_fn(batch=X, rng=key)
    with pytest.raises(ValueError, match=r"pass loss_fn\(..., rng=key\)"):
        model.loss_fn(batch=X, num_examples=10)


class Skewed(Posterior):
    """N(μ + δ, σ²), with δ a feature of its own."""

    def features(self, latent_dim):
        return {"mean": latent_dim, "log_var": latent_dim, "delta": 1}

    def __call__(self, features):
        return DiagonalNormal(features["mean"] + features["delta"], features["log_var"])


def test_encoders_of_the_package_grow_an_output_for_each_feature():
    encoder, decoder, _ = parts()
    before = nnx.to_pure_dict(nnx.state(encoder))
    model = VAE(encoder, decoder, 2, posterior=Skewed(), rngs=nnx.Rngs(1))
    features = model.features(jnp.asarray(X))
    assert {name: a.shape for name, a in features.items()} == {
        "mean": (5, 2), "log_var": (5, 2), "delta": (5, 1),
    }  # fmt: skip
    h = np.tanh(X @ encoder.backbone.layers[0].kernel[...] + encoder.backbone.layers[0].bias[...])
    head = model.encoder.heads["delta"]
    np.testing.assert_allclose(
        features["delta"], h @ head.kernel[...] + head.bias[...], rtol=1e-5, atol=1e-6
    )
    mine = {k: v for k, v in nnx.to_pure_dict(nnx.state(model.encoder)).items() if k != "heads"}
    jax.tree.map(np.testing.assert_array_equal, mine, before)
    assert not nnx.state(encoder.heads), "the encoder that was given stays as it is"
    outputs = model(X)
    assert outputs["delta"].shape == (5, 1)
    losses = [model.loss_fn(x=X, outputs=outputs), model.loss_fn(x=X, outputs=model(X))]
    np.testing.assert_allclose(losses[0]["kl_loss"], losses[1]["kl_loss"], rtol=1e-6)


def test_further_features_start_near_zero():
    encoder = MLPEncoder([64], 32, input_dim=4, rngs=nnx.Rngs(0))
    kernel = encoder.with_features({"mean": 32, "more": 96}, nnx.Rngs(0)).heads["more"].kernel
    # A tenth of the usual deviation; that of 6,144 draws is within 1 / √(2 · 6,144), here four.
    assert float(kernel[...].std()) == pytest.approx(0.1 / 64**0.5, rel=4 / (2 * 6144) ** 0.5)


@pytest.mark.parametrize("conditional", [False, True])
def test_an_encoder_that_waits_for_its_input_grows_them_at_its_first_call(conditional):
    rngs = nnx.Rngs(0)
    encoder = MLPEncoder([8], 2, rngs=rngs)
    decoder = MLPDecoder([8], (6,), 2, rngs=rngs)
    kind = ConditionalVAE if conditional else VAE
    model = kind(encoder, decoder, 2, posterior=Skewed(), rngs=rngs)
    model(X)
    assert model.features(jnp.asarray(X))["delta"].shape == (5, 1)


def test_an_own_encoder_returns_a_dict_of_features():
    class Own(nnx.Module):
        def __call__(self, x):
            return {"mean": x[:, :2], "logvar": x[:, 2:4], "delta": x[:, 4:5]}

    model = VAE(Own(), parts()[1], 2, posterior=Skewed(), rngs=nnx.Rngs(1))
    np.testing.assert_allclose(model.q_z(X).mean, X[:, :2] + X[:, 4:5])
    Own.__call__ = lambda self, x: (x[:, :2], x[:, 2:4])  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="keys 'mean' and 'log_var' and 'delta', got tuple"):
        model(X)


def test_a_point_mass_has_a_reconstruction_loss_alone():
    model = VAE(
        *parts(), posterior=PointMassPosterior(), objective=Reconstruction(), rngs=nnx.Rngs(1)
    )
    assert not model.has_density
    assert model.encoder.logvar_proj is None, "nothing reads it"
    losses = model.loss_fn(batch=X)
    assert set(losses) == {"reconstruction_loss", "recon_loss", "total_loss", "loss"}
    np.testing.assert_allclose(losses["loss"], np.square(X - model.reconstruct(X)).sum(1).mean(),
                               rtol=1e-5)  # fmt: skip
    mean, log_var = model.encode(X)
    np.testing.assert_array_equal(log_var, jnp.zeros_like(mean))
    with pytest.raises(ValueError, match="PointMassPosterior has no density, and objective ELBO"):
        VAE(*parts(), posterior=PointMassPosterior(), rngs=nnx.Rngs(1))


class Narrow(Posterior):
    """N(μ, σ²/e): its log-variance is not the feature of that name."""

    def features(self, latent_dim):
        return {"mean": latent_dim, "log_var": latent_dim}

    def __call__(self, features):
        return DiagonalNormal(features["mean"], features["log_var"] - 1)


def test_mean_and_log_variance_are_those_of_q_and_not_features_of_these_names():
    model = VAE(*parts(), posterior=Narrow(), rngs=nnx.Rngs(1))
    features = model.features(jnp.asarray(X))
    np.testing.assert_allclose(model.encode(X)[1], features["log_var"] - 1)
    found = posteriors(model, Split(X))
    np.testing.assert_allclose(found["log_var"], features["log_var"] - 1, rtol=1e-5)


def test_a_weight_that_the_objective_does_not_read_is_an_error():
    model = VAE(*parts(), objective=Reconstruction(), rngs=nnx.Rngs(1))
    with pytest.raises(ValueError, match=r"beta=2\.0: the objective Reconstruction reads no"):
        model.loss_fn(batch=X, beta=2.0)
    assert VAE(*parts(), rngs=nnx.Rngs(1)).loss_fn(batch=X, beta=2.0)["beta"] == 2


def test_data_beyond_the_likelihood_trains_with_a_loss_of_ones_own_only():
    model = VAE(*parts(), likelihood="bce", rngs=nnx.Rngs(1))
    outputs = model(X)
    losses = model.loss_fn(
        x=2 * X, outputs=outputs, reconstruction_loss_fn=lambda p, x: jnp.abs(p - x)
    )
    expected = np.abs(outputs["reconstructed"] - 2 * X).sum(1).mean()
    np.testing.assert_allclose(losses["reconstruction_loss"], expected, rtol=1e-5)
    for call in (
        lambda: model.loss_fn(x=2 * X, outputs=outputs),
        lambda: model.log_likelihood(jnp.asarray(2 * X), outputs),
        lambda: model.conditional_log_prob(2 * X, outputs["z"]),
    ):
        with pytest.raises(ValueError, match="describes data in"):
            call()


class TestPriorOfMixtures:
    def model(self) -> VAE:
        return VAE(*parts(), prior=MixtureConfig(components=4), likelihood="bce", rngs=nnx.Rngs(1))

    def log_prior(self, prior: nnx.Module, z: np.ndarray) -> np.ndarray:
        log_pi = np.float64(jax.nn.log_softmax(prior.logits[...]))
        means, scales = np.float64(prior.means[...]), np.exp(np.float64(prior.log_vars[...]) / 2)
        each = norm(means, scales).logpdf(z[..., None, :]).sum(-1)
        return logsumexp(log_pi + each, axis=-1)

    def test_the_kl_is_that_of_the_samples(self):
        model = self.model()
        outputs = model(X)
        losses = model.loss_fn(x=X, outputs=outputs)
        z, mean, log_var = (np.float64(outputs[n]) for n in ("z", "mean", "log_var"))
        log_q = norm(mean, np.exp(log_var / 2)).logpdf(z).sum(-1)
        expected = (log_q - self.log_prior(model.prior, z)).mean()
        np.testing.assert_allclose(losses["kl_loss"], expected, rtol=1e-4)
        np.testing.assert_allclose(
            model.log_prior(z.astype(np.float32)), self.log_prior(model.prior, z), rtol=1e-5
        )

    @pytest.mark.slow
    def test_its_parameters_have_gradients_and_samples_come_from_it(self):
        model = self.model()
        model.prior.means[...] = model.prior.means[...] + 50
        gradient = jax.grad(lambda p: model.loss_fn(p, X, jax.random.key(0))["total_loss"])(
            nnx.state(model, nnx.Param)
        )
        assert all(bool((jnp.abs(g) > 0).any()) for g in jax.tree.leaves(gradient["prior"]))
        z = model.p_z().sample(jax.random.key(0), (100,))
        assert (z > 40).all()
        np.testing.assert_allclose(
            model.sample(2, rngs=nnx.Rngs(sample=3)),
            model.decode(model.p_z().sample(nnx.Rngs(sample=3).sample(), (2,))),
            rtol=1e-6,
        )

    def test_free_bits_need_a_kl_of_each_latent(self):
        for wrong in ({"prior": MixtureConfig()}, {"posterior": FullNormalConfig()}):
            kind = "MixturePrior" if "prior" in wrong else "FullNormalPosterior"
            with pytest.raises(ValueError, match=rf"free_bits=0.5 .*{kind}.* not a sum over"):
                VAE(*parts(), **wrong, free_bits=0.5, rngs=nnx.Rngs(1))


class TestWrongComponents:
    def test_a_class_with_a_method_of_before_is_refused_with_what_to_write(self):
        for name in ("objective", "kl_coefficient", "latents"):
            with pytest.raises(TypeError, match=f"defines the method '{name}'.* Write a"):
                type("Mine", (VAE,), {name: lambda self: None})

    @pytest.mark.parametrize(
        ("kind", "given", "error"),
        [
            (VAE, {"objective": ELBO}, "objective=.*expected a configuration, or an object"),
            (VAE, {"prior": "vamp"}, "prior='vamp'"),
            (VAE, {"posterior": 3}, "posterior=3"),
            (
                VAE,
                {"objective": MixtureConfig()},
                "objective=MixtureConfig: expected one of ELBO",
            ),
            (VAE, {"objective": ELBO(), "kl_weight": 2.0}, "kl_weight=2.0 beside an objective"),
            (VAE, {"objective": ELBO(), "free_bits": 0.1}, "free_bits=0.1 beside an objective"),
            (VQVAE, {"prior": MixtureConfig()}, "prior has no meaning for a VQ-VAE"),
            (VQVAE, {"posterior": DiagonalNormalConfig()}, "posterior has no meaning"),
            (BetaVAE, {"posterior": PointMassConfig()}, "PointMassPosterior has no density"),
        ],
    )
    def test_what_is_no_component_or_does_not_go_together(self, kind, given, error):
        with pytest.raises((TypeError, ValueError), match=error):
            kind(*parts(4), rngs=nnx.Rngs(1), **given)

    def test_configurations_are_registered_with_a_kind_of_their_own(self):
        class Nameless(LatentPriorConfig):
            pass

        class Taken(LatentPriorConfig):
            kind: str = "mixture"

        with pytest.raises(TypeError, match="Nameless lacks a kind: add kind"):
            register(Nameless, ELBO)
        with pytest.raises(ValueError, match="kind='mixture' is that of MixtureConfig"):
            register(Taken, ELBO)
        with pytest.raises(TypeError, match="expected a subclass of one of LatentPriorConfig"):
            register(EncoderConfig, ELBO)


def test_components_by_configuration_are_those_by_hand():
    given = {"posterior": PointMassConfig(), "objective": ReconstructionConfig()}
    model = VAE(*parts(), rngs=nnx.Rngs(1), **given)
    by_hand = VAE(
        *parts(), posterior=PointMassPosterior(), objective=Reconstruction(), rngs=nnx.Rngs(1)
    )
    assert nnx.graphdef(model) == nnx.graphdef(by_hand)
