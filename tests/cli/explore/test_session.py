"""What pages show is what the model's own methods and the library's measures give."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from flax import nnx

from workshop.cli.explore.session import BLOCK, SAMPLES, Session
from workshop.cli.explore.view import View
from workshop.generative_models.core.configuration import (
    DecoderConfig,
    EncoderConfig,
    ResidualConfig,
    VAEConfig,
    VQVAEConfig,
)
from workshop.generative_models.data import Dataset, Split
from workshop.generative_models.evaluation import bounds
from workshop.generative_models.models.vae import VAE, VQVAE, MLPDecoder, MLPEncoder
from workshop.generative_models.models.vae.objectives import Reconstruction
from workshop.generative_models.models.vae.posteriors import PointMassPosterior

KINDS = ("vae", "conditional-vae", "vq-vae")


def condition(session, y):
    return {"y": y} if session.conditional else {}


@pytest.mark.sampled
@pytest.mark.parametrize("kind", KINDS)
def test_decoding_is_the_models(sessions, kind):
    """Blocks and padding change nothing but the last bits of a matrix product."""
    session, count = sessions[kind], BLOCK + 1
    z = np.random.default_rng(0).normal(size=(count, session.means.shape[1])).astype(np.float32)
    maps = z.reshape(count, *session.latent_shape)
    if session.discrete:
        expected = session.model.decode_indices(
            session.model.quantize(maps, deterministic=True)[1]["encoding_indices"]
        )
    else:
        expected = session.model.decode(maps, **condition(session, 3))
    for some in (slice(1), slice(3), slice(None)):
        np.testing.assert_allclose(session.decode(z[some], 3), expected[some], atol=1e-6)


@pytest.mark.sampled
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labelled", [True, False])
def test_encoding_and_the_elbo_are_the_librarys(sessions, kind, labelled):
    session = sessions[kind]
    example = session.example(5)
    example = example if labelled else replace(example, label=None)
    known = condition(session, example.label)
    mean, _ = session.model.encode(example.x[None], **known)
    np.testing.assert_allclose(session.encode(example), np.ravel(mean), atol=1e-5)
    y = None if not known else known["y"]
    bound = bounds.elbo(session.model, example.x[None], y, samples=SAMPLES)[0]
    made = session.measure(example)
    np.testing.assert_allclose(made.elbo, bound, rtol=1e-6)
    again = session.model.reconstruct(example.x[None], deterministic=True, **known)[0]
    np.testing.assert_allclose(made.x, again, atol=1e-5)


def test_a_class_changes_the_picture_and_none_is_zeros(sessions):
    session = sessions["conditional-vae"]
    z = session.means[:1]
    made = [session.decode(z, y) for y in (None, 0, 9)]
    for one, two in zip(made, made[1:] + made[:1], strict=True):
        assert np.abs(one - two).max() > 1e-3
    np.testing.assert_allclose(made[0], session.model.decode(z), atol=1e-6)


def test_latents_are_in_the_order_of_their_kl(sessions):
    """½ (σ² + μ² - 1 - log σ²), averaged over the examples, in float64."""
    session = sessions["vae"]
    mean, log_var = (np.asarray(a, np.float64) for a in session.model.encode(session.x))
    kl = (0.5 * (np.exp(log_var) + mean**2 - 1 - log_var)).mean(0)
    np.testing.assert_allclose(session.activity, kl, rtol=1e-4)
    assert session.order == np.argsort(-kl).tolist()
    assert session.plane("active").names == tuple(f"z{dim}" for dim in session.order[:2])


@pytest.mark.parametrize("kind", ["linear", "spherical"])
def test_interpolations_are_the_models_between_the_ends(sessions, kind):
    session = sessions["vae"]
    first, last = session.example(0), session.example(1)
    made = session.interpolate(session.encode(first), session.encode(last), 5, kind)
    expected = np.asarray(session.model.interpolate(first.x, last.x, 5))
    np.testing.assert_allclose(made[[0, -1]], expected[[0, -1]], atol=1e-5)
    if kind == "linear":
        np.testing.assert_allclose(made, expected, atol=1e-5)


def test_traversals_are_the_models(sessions):
    session = sessions["vae"]
    example = session.example(2)
    made = session.traverse(session.encode(example), [3, 0], 2.5, 4)
    for row, dim in zip(made, (3, 0), strict=True):
        expected = session.model.latent_traversal(example.x, dim, (-2.5, 2.5), 4)
        np.testing.assert_allclose(row, expected, atol=1e-5)


@pytest.mark.slow
def test_traversals_of_codes_go_around_the_channels_mean(sessions):
    session = sessions["vq-vae"]
    example = session.example(2)
    channel = session.means.reshape(-1, session.latent_shape[-1])[:, 1]
    ends = channel.mean() - 2 * channel.std(), channel.mean() + 2 * channel.std()
    made = session.traverse(session.encode(example), [1], 2.0, 3)[0]
    expected = session.model.latent_traversal(example.x, 1, tuple(map(float, ends)), 3)
    # A vector halfway between two codes may go to either: compare all but a few.
    assert np.mean(np.abs(made - expected) < 1e-4) > 0.9


@pytest.mark.slow
def test_codes_there_and_back(sessions):
    session = sessions["vq-vae"]
    np.testing.assert_array_equal(session.codes, session.model.encode_indices(session.x))
    for own in session.codes[:5]:
        z = session.encoding_of(own)
        np.testing.assert_array_equal(session.codes_of(z), own)
        np.testing.assert_allclose(
            session.decode_codes(own[None]), session.decode(z[None]), atol=1e-6
        )


def test_random_codes_without_a_prior_are_those_of_examples(sessions):
    session = sessions["vq-vae"]
    assert session.model.prior is None
    drawn = np.stack([session.random_codes(seed) for seed in range(20)])
    for place in np.ndindex(*session.code_shape):
        assert set(drawn[:, *place]) <= set(session.codes[:, *place])
    assert len({codes.tobytes() for codes in drawn}) > 10


def test_random_latents_are_a_standard_normal(sessions):
    session = sessions["vae"]
    drawn = np.concatenate([session.random(seed) for seed in range(500)])
    assert abs(drawn.mean()) < 4 / np.sqrt(len(drawn))
    assert abs(drawn.std() - 1) < 4 / np.sqrt(2 * len(drawn))


def test_the_view_goes_where_it_is_told(sessions):
    view, heard = View(sessions["conditional-vae"]), []
    view.on_point.append(lambda: heard.append("point"))
    view.on_example.append(lambda: heard.append("example"))
    session, example = view.session, view.session.example(7)
    view.choose(example)
    assert heard == ["point", "example"]
    assert view.y == example.label
    np.testing.assert_array_equal(view.z, session.encode(example))
    view.set_latent(2, 1.5)
    assert view.z[2] == np.float32(1.5)
    view.set_class(None)
    assert (view.y, heard) == (None, ["point", "example", "point", "point"])
    view.to_example()
    assert view.y == example.label
    assert view.z[2] != np.float32(1.5)


def test_a_code_is_changed_and_the_others_stay(sessions):
    view = View(sessions["vq-vae"])
    before = view.codes.copy()
    other = int(view.session.alternatives(before, 1, 1)[0])
    view.set_codes(view.with_code(1, other))
    changed = view.codes.reshape(-1) != before.reshape(-1)
    assert changed.tolist() == [place == 1 for place in range(before.size)]
    assert view.codes.reshape(-1)[1] == other
    with pytest.raises(ValueError, match=r"code 512: expected 0 <= code < 512"):
        view.with_code(0, 512)


def test_an_example_that_is_not_there(sessions):
    with pytest.raises(ValueError, match="example 100: expected 0 <= number < 100"):
        sessions["vae"].example(100)


# Other shapes than those of the digits.


def dataset(shape, y=None):
    x = np.random.default_rng(0).normal(size=(30, *shape)).astype(np.float32)
    split = Split(x, y)
    return Dataset("numbers", split, split, split)


def parts(features, latents):
    return {
        "encoder": EncoderConfig(hidden_dims=(8,), latent_dim=latents, input_shape=(features,)),
        "decoder": DecoderConfig(hidden_dims=(8,), latent_dim=latents, output_shape=(features,)),
    }


@pytest.mark.slow
def test_a_table_and_one_latent():
    model = VAE(VAEConfig(**parts(5, 1), likelihood="gaussian", scale="optimal"), rngs=nnx.Rngs(0))
    session = Session(model, dataset((5,)))
    session.warm_up()
    assert session.plane("active").names == ("z0",)
    assert np.isfinite(session.measure(session.example(0)).elbo)
    assert View(session).picture().shape[-1] == 3


@pytest.mark.slow
def test_residual_codes_have_layers():
    config = VQVAEConfig(**parts(6, 4), num_embeddings=7, embedding_dim=2,
                         quantizer=ResidualConfig(stages=3))  # fmt: skip
    session = Session(VQVAE(config, rngs=nnx.Rngs(0)), dataset((6,)))
    assert session.code_shape == (2, 3)
    view = View(session)
    own = view.codes.copy()
    view.set_codes(view.with_code(4, (int(own.reshape(-1)[4]) + 1) % 7))
    assert (view.codes != own).sum() == 1
    np.testing.assert_allclose(
        session.decode_codes(view.codes[None]), session.model.decode_indices(view.codes[None]),
        atol=1e-6,
    )  # fmt: skip


def test_uploads_take_the_levels_of_the_likelihood(sessions):
    session = sessions["vae"]
    x = np.full((8, 8, 1), 0.3333, np.float32)
    assert session.accept("a.png", x) is x
    few = Session.__new__(Session)
    few.model = SimpleNamespace(
        likelihood=SimpleNamespace(levels=5), check_data=session.model.check_data
    )
    np.testing.assert_array_equal(few.accept("a.png", x), np.full((8, 8, 1), 0.25))
    with pytest.raises(ValueError, match=r"^a\.png: "):
        session.accept("a.png", np.full((8, 8, 1), np.nan, np.float32))


def test_an_autoencoder_is_measured_by_its_reconstruction_loss_alone():
    rngs = nnx.Rngs(0)
    model = VAE(
        MLPEncoder([4], 2, input_dim=(6,), rngs=rngs),
        MLPDecoder([4], (6,), 2, rngs=rngs),
        2,
        posterior=PointMassPosterior(),
        objective=Reconstruction(),
        rngs=rngs,
    )
    split = Split(np.random.default_rng(0).random((3, 6), np.float32))
    session = Session(model, Dataset("blobs", split, split, split))
    made = session.measure(session.example(1))
    assert made.kl_loss is None
    assert made.elbo is None
    expected = np.square(split.x[1] - model.reconstruct(split.x[1:2])[0]).sum()
    np.testing.assert_allclose(made.reconstruction_loss, expected, rtol=1e-5)
