"""What evaluation reads of an example: what the decoder reads, not what comes before the codes."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.quantizers import FSQ, Quantizer, VectorQuantizer
from workshop.generative_models.data import Split
from workshop.generative_models.evaluation import outputs
from workshop.generative_models.evaluation.sections import disentanglement_section, probes_section
from workshop.generative_models.evaluation.study import Settings, Study
from workshop.generative_models.models.vae import VAE, VQVAE, MLPDecoder, MLPEncoder

FEATURES = 4
Y = np.arange(60, dtype=np.int32) % 3
# Class c is large in column c: any encoder's output tells the classes.
X = np.eye(FEATURES, dtype=np.float32)[Y] + 0.01 * np.random.default_rng(0).random((60, FEATURES))
SPLIT = Split(X.astype(np.float32), Y, factors=np.stack([Y, Y // 2], 1))


def networks():
    rngs = nnx.Rngs(0)
    encoder = MLPEncoder([8], 4, "relu", (FEATURES,), rngs=rngs)
    return encoder, MLPDecoder([8], (FEATURES,), 4, rngs=rngs), 4


def vq_vae(quantizer: Quantizer):
    size = quantizer.codebook_size
    return VQVAE(*networks(), size, quantizer.dim, quantizer=quantizer, rngs=nnx.Rngs(1))


QUANTIZERS = {
    "one code": lambda: VectorQuantizer(2, 1, rngs=nnx.Rngs(2)),
    "fsq": lambda: FSQ(2, (3, 3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", QUANTIZERS)
def test_of_a_model_with_codes_they_are_the_vectors_of_its_codes(name):
    model = vq_vae(QUANTIZERS[name]())
    found = outputs.representations(model, SPLIT)
    expected = model.quantizer.lookup(model.encode_indices(X)).reshape(60, -1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert outputs.representation_of(model) == "vectors of the codes, z_q"


def test_of_a_gaussian_they_are_its_means():
    model = VAE(*networks(), rngs=nnx.Rngs(0))
    found = outputs.representations(model, SPLIT)
    np.testing.assert_array_equal(found, outputs.posteriors(model, SPLIT)["mean"])
    assert outputs.representation_of(model) == "means of q(z|x)"


def test_one_code_holds_no_label_and_no_factor():
    model = vq_vae(QUANTIZERS["one code"]())
    # The encoding, which the decoder never sees, does hold the labels.
    encoding = np.asarray(model.encode(X)[0]).reshape(60, -1)
    centres = np.stack([encoding[c == Y].mean(0) for c in range(3)])
    nearest = jnp.square(encoding[:, None] - centres).sum(-1).argmin(1)
    assert (np.asarray(nearest) == Y).all()
    study = Study(model, SPLIT, SPLIT, Settings(factor_examples=60))
    section = probes_section(study)
    assert section.figures["linear_accuracy"].value == pytest.approx(1 / 3)
    assert section.figures["knn_accuracy"].value == pytest.approx(1 / 3)
    assert section.notes == ["read from the vectors of the codes, z_q"]
    np.testing.assert_array_equal(np.ptp(study.represent(X), axis=0), 0.0)


def test_the_disentanglement_of_codes_is_that_of_their_vectors(monkeypatch):
    seen = []
    metrics = "workshop.generative_models.evaluation.sections.factors.disentanglement."
    for name in ("mig", "modularity", "irs", "sap"):
        monkeypatch.setattr(metrics + name, lambda codes, *_: seen.append(codes) or 0.0)
    monkeypatch.setattr(
        metrics + "explicitness", lambda codes, *_: seen.append(codes) or {"test": 0.0}
    )
    monkeypatch.setattr(
        metrics + "dci",
        lambda codes, *_, **__: (
            seen.append(codes)
            or dict.fromkeys(("disentanglement", "completeness", "informativeness_test"), 0.0)
        ),
    )
    section = disentanglement_section(Study(vq_vae(QUANTIZERS["one code"]()), SPLIT, SPLIT))
    assert len(seen) > 10
    for codes in seen:
        np.testing.assert_array_equal(np.ptp(codes, axis=0), 0.0)
    assert section.notes == ["of the vectors of the codes, z_q"]
