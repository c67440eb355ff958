"""VQVAE with every quantizer: the loss, codes to integers and back, training, files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import (
    BSQConfig,
    FSQConfig,
    LFQConfig,
    ResidualConfig,
    SimVQConfig,
    VQConfig,
)
from workshop.generative_models.core.quantizers import FSQ, VectorQuantizer
from workshop.generative_models.models.saving import load_model, save_config, save_weights
from workshop.generative_models.models.vae import VQVAE
from workshop.generative_models.training import Trainer

AVERAGED, LEVELS = VQConfig(learning="ema"), FSQConfig(levels=(3, 3))
# The quantizer, the number of codes asked for, the number that it has, and codes for one vector.
KINDS = {
    "vq": (VQConfig(), 5, 5, 1),
    "averaged": (VQConfig(learning="ema", kmeans=True, revive_below=0.1), 5, 5, 1),
    "frozen": (VQConfig(learning="frozen"), 5, 5, 1),
    "heads": (VQConfig(heads=2, shared=False), 5, 5, 2),
    "cosine": (VQConfig(distance="cosine", code_dim=3, learning="ema"), 5, 5, 1),
    "penalties": (VQConfig(orthogonal_cost=0.1, diversity_cost=0.1, entropy_cost=0.1), 5, 5, 1),
    "drawn": (VQConfig(temperature=0.5), 5, 5, 1),
    "simvq": (SimVQConfig(), 5, 5, 1),
    "fsq": (FSQConfig(), 60, 64, 1),
    "fsq, levels": (FSQConfig(levels=(3, 4)), 512, 12, 1),
    "lfq": (LFQConfig(), 8, 8, 1),
    "bsq": (BSQConfig(groups=2), 8, 8, 2),
    "residual": (ResidualConfig(stages=3, dropout=True), 5, 5, 3),
    "residual, shared": (ResidualConfig(stages=2, shared=True, stage=AVERAGED), 5, 5, 2),
    "residual, fsq": (ResidualConfig(stages=2, stage=LEVELS, ratio=3.0), 512, 9, 2),
}  # fmt: skip


# Each on one kind of network, and on both what has several codes for a vector.
CASES = [(kind, ("cnn", "dense")[i % 2]) for i, kind in enumerate(KINDS)]
CASES += [("heads", "cnn"), ("residual", "dense")]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]} {case[1]}")
def case(request, make_config):
    kind, network = request.param
    quantizer, asked, has, codes = KINDS[kind]
    fields = {"commitment_cost": 0.25, "num_embeddings": asked, "embedding_dim": 4}
    options = {"latent_dim": 8} if network == "dense" else {}
    config = make_config("vq-vae", network, quantizer=quantizer, **fields, **options)
    return VQVAE(config, rngs=nnx.Rngs(0)), has, codes, network


@pytest.mark.sampled
def test_codes_of_images_and_back(case, images):
    model, has, codes, network = case
    indices = model.encode_indices(images)
    in_map = (2, 1) if codes == 1 else (2, 1, codes)
    dense = (2,) if codes == 1 else (2, codes)
    shape = in_map if network == "cnn" else dense
    assert model.code_shape == shape
    assert indices.shape == (3, *shape)
    assert indices.dtype == jnp.int32
    assert 0 <= int(indices.min()) <= int(indices.max()) < has == model.num_embeddings
    model.eval()
    # The same numbers in another order of sums, where codes pass a projection.
    np.testing.assert_allclose(
        model.decode_indices(indices), model.reconstruct(images), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(model.encode_indices(images[0]), indices[0])
    np.testing.assert_allclose(
        model.decode_indices(indices[0]), model.decode_indices(indices)[0], rtol=1e-5, atol=1e-6
    )


@pytest.mark.sampled
def test_the_loss_adds_what_the_quantizer_asks_for(case, images):
    model, has, _, _ = case
    model.eval()
    outputs = model(images)
    losses = model.loss_fn(x=images, outputs=outputs)
    _, _, terms = model.quantizer.quantize(
        outputs["z_e"].reshape(*outputs["z_e"].shape[:-1], -1, model.embedding_dim)
    )
    extra = sum(cost * float(terms[name]) for name, cost in model.quantizer.costs)
    total = float(losses["reconstruction_loss"]) + extra
    assert float(losses["total_loss"]) == pytest.approx(total, rel=1e-5)
    uniform = np.prod(model.code_shape) * np.log(has)
    assert float(losses["kl_loss"]) == pytest.approx(uniform, rel=1e-6)
    counts = np.asarray(losses["statistics"]["usage"]).sum(1)
    np.testing.assert_array_equal(counts, np.full(np.prod(model.code_shape), 3))


@pytest.mark.sampled
def test_it_trains_and_is_the_same_from_disk(case, images, tmp_path):
    model, _, _, _ = case
    x = np.tile(np.asarray(images), (8, 1, 1, 1))
    rows = Trainer(model, batch_size=8, log_every=2, progress=False).fit(x, steps=4)
    assert all(np.isfinite(value) for value in rows[-1].values() if not isinstance(value, str))
    assert float(model.usage[...].sum()) > 0
    save_config(model, tmp_path)
    save_weights(model, tmp_path)
    again = load_model(tmp_path)
    np.testing.assert_array_equal(again.encode_indices(images), model.encode_indices(images))
    assert type(again.quantizer) is type(model.quantizer)


@pytest.mark.sampled
@pytest.mark.parametrize("network", ["cnn", "dense"])
def test_first_stages_decode(make_config, images, network):
    config = make_config(
        "vq-vae", network, quantizer=ResidualConfig(stages=3), num_embeddings=5, embedding_dim=4
    )
    model = VQVAE(config, rngs=nnx.Rngs(0))
    for stage in model.quantizer.stages:
        codes = jax.random.normal(jax.random.key(0), stage.embeddings.embedding.shape)
        stage.embeddings.embedding[...] = codes
    indices = model.encode_indices(images)
    codes = model.quantizer.stages[0].lookup(indices[..., 0])
    first = model.decode(codes.reshape(3, *model.latent_shape))
    np.testing.assert_allclose(model.decode_indices(indices[..., :1]), first, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_training_moves_the_averages_that_the_trainer_keeps(make_config, images):
    """A step of the trainer is an update of the quantizer with that batch's statistics."""
    quantizer = VQConfig(learning="ema", decay=0.5)
    config = make_config("vq-vae", "cnn", quantizer=quantizer, num_embeddings=5, embedding_dim=4)
    model, alone = VQVAE(config, rngs=nnx.Rngs(0)), VQVAE(config, rngs=nnx.Rngs(0))
    x = np.asarray(images)
    Trainer(model, batch_size=3, progress=False).fit(x, steps=1)
    alone.update_statistics(alone.loss_fn(x=images)["statistics"])
    for name in ("cluster_size", "average"):
        found, expected = (getattr(m.quantizer, name)[...] for m in (model, alone))
        # The order of the batch's examples is the trainer's.
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        model.embeddings.embedding[...], alone.embeddings.embedding[...], rtol=1e-5, atol=1e-6
    )
    assert float(jnp.abs(model.quantizer.cluster_size[...] - 1).max()) > 0.1


def test_eval_mode_draws_nothing(make_config, images):
    config = make_config(
        "vq-vae", "cnn", quantizer=VQConfig(temperature=100.0), num_embeddings=5, embedding_dim=4
    )
    model = VQVAE(config, rngs=nnx.Rngs(0))
    drawn = [np.asarray(model(images, rngs=nnx.Rngs(i))["encoding_indices"]) for i in range(5)]
    assert len(np.unique(np.stack(drawn), axis=0)) > 1
    model.eval()
    for i in range(2):
        indices = model(images, rngs=nnx.Rngs(i))["encoding_indices"]
        np.testing.assert_array_equal(indices, model.encode_indices(images))


def test_a_quantizer_of_ones_own_brings_its_sizes(make_model):
    vae = make_model("vae", "cnn")
    own = VectorQuantizer(3, 9, rngs=nnx.Rngs(0), commitment_cost=0.7)
    model = VQVAE(vae.encoder, vae.decoder, 4, quantizer=own, rngs=nnx.Rngs(0))
    assert (model.num_embeddings, model.embedding_dim) == (9, 3)
    assert model.embeddings is own.embeddings
    with pytest.raises(ValueError, match="num_embeddings=8, but the quantizer has 9"):
        VQVAE(vae.encoder, vae.decoder, 4, 8, quantizer=own, rngs=nnx.Rngs(0))
    fsq = VQVAE(vae.encoder, vae.decoder, 4, quantizer=FSQ(3, (4, 3, 5)), rngs=nnx.Rngs(0))
    assert fsq.num_embeddings == 60
    assert not hasattr(fsq, "embeddings")


def test_a_large_codebook_keeps_one_row_of_usage(make_config):
    config = make_config(
        "vq-vae", "cnn", event=(64, 64, 1), quantizer=LFQConfig(), num_embeddings=2**16,
        embedding_dim=16,
    )  # fmt: skip
    model = nnx.eval_shape(lambda: VQVAE(config, rngs=nnx.Rngs(0)))
    assert model.usage.shape == (1, 2**16)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"quantizer": VQConfig(heads=3)}, "quantizer.heads=3 must divide embedding_dim=4"),
        ({"quantizer": LFQConfig(), "num_embeddings": 9}, "num_embeddings=9: .* power of two"),
        (
            {"quantizer": FSQConfig(levels=(3, 3)), "num_embeddings": 8},
            "num_embeddings=8, but quantizer.levels make 9 codes",
        ),
        ({"quantizer": FSQConfig(), "commitment_cost": 1.0}, "commitment_cost has no meaning"),
        ({"quantizer": ResidualConfig(stage=VQConfig(heads=2))}, "stages have no heads"),
        (
            {"quantizer": ResidualConfig(stage=VQConfig(gradient="rotation"))},
            "set quantizer.gradient",
        ),
    ],
)
def test_configurations_that_cannot_be(make_config, fields, message):
    given = {"num_embeddings": 512, "embedding_dim": 4, "commitment_cost": 0.25} | fields
    with pytest.raises(ValueError, match=message):
        make_config("vq-vae", "cnn", **given)


class TestDecodeIndices:
    def test_errors(self, make_config):
        config = make_config("vq-vae", "cnn", num_embeddings=5, embedding_dim=4)
        model = VQVAE(config, rngs=nnx.Rngs(0))
        with pytest.raises(ValueError, match=r"indices have shape \(1, 3, 2\): expected"):
            model.decode_indices(jnp.zeros((1, 3, 2), jnp.int32))
        with pytest.raises(ValueError, match=r"indices lie in \[0, 5\]: expected 0 <= index < 5"):
            model.decode_indices(jnp.asarray([[[0], [5]]]))
        with pytest.raises(ValueError, match=r"indices lie in \[-2, 0\]"):
            model.decode_indices([[[0], [-2]]])
        with pytest.raises(ValueError, match=r"indices holds integers .* int32 cannot hold"):
            model.decode_indices(np.array([[[0], [2**32 + 1]]]))
        with pytest.raises(ValueError, match="indices are float32: expected integers"):
            model.decode_indices(jnp.zeros((1, 2, 1)))
