"""The metric of the Riemannian posterior, which training leaves behind, is saved and evaluated."""

import numpy as np
import pytest
from flax import nnx
from shared import X, train

from workshop.generative_models.core.configuration import (
    DecoderConfig,
    EncoderConfig,
    RiemannianHamiltonianConfig,
    VAEConfig,
)
from workshop.generative_models.evaluation.bounds import elbo
from workshop.generative_models.models.vae import VAE


@pytest.mark.slow
def test_the_metric_of_a_trained_model_is_saved(tmp_path):
    sizes = {"hidden_dims": [4], "latent_dim": 2}
    config = VAEConfig(
        encoder=EncoderConfig(input_shape=[6], **sizes),
        decoder=DecoderConfig(output_shape=[6], **sizes),
        likelihood="bce",
        posterior=RiemannianHamiltonianConfig(steps=2),
    )
    assert VAEConfig.model_validate_json(config.model_dump_json()) == config
    model = VAE(config, rngs=nnx.Rngs(0))
    train(model, tmp_path / "run", 3)
    rows = np.asarray(model.posterior.centroids[...])
    # Three batches of 20 of 60 examples, each once, in a metric of 100.
    assert ((rows != 0).any(1) == (np.arange(100) < 60)).all()
    assert len(np.unique(rows[:60], axis=0)) == 60
    model.save_pretrained(tmp_path / "saved")
    loaded = VAE.from_pretrained(tmp_path / "saved")
    for name in ("centroids", "factors"):
        kept, again = (np.asarray(getattr(each.posterior, name)[...]) for each in (model, loaded))
        np.testing.assert_array_equal(kept, again)
    bounds = [elbo(each, X[:5], samples=10) for each in (model, loaded)]
    np.testing.assert_array_equal(*bounds)
    # Six features between 0 and 1 cost about 0.7 nats each, with steps of 0.001 not much more.
    assert (bounds[0] > -8).all()
    assert (bounds[0] < -1).all()
