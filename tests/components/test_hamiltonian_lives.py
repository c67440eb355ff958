"""Hamiltonian posteriors in everything that a model does."""

import numpy as np
import pytest
from shared import live_through

from workshop.generative_models.core.configuration import (
    HamiltonianConfig,
    RiemannianHamiltonianConfig,
)


@pytest.mark.parametrize("config", [HamiltonianConfig(steps=2), RiemannianHamiltonianConfig()])
def test_a_hamiltonian_posterior(tmp_path, config):
    model = live_through(tmp_path, posterior=config)
    if config.kind == "riemannian_hamiltonian":
        # Kept with the weights: five batches of twenty.
        assert (np.asarray(model.posterior.centroids[...]) != 0).any(1).all()
