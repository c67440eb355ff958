"""A posterior and a prior of flows in everything that a model does."""

import pytest
from shared import X, live_through

from workshop.generative_models.core.configuration import IAFConfig, MAFConfig


@pytest.mark.slow
def test_flows_of_both_kinds(tmp_path):
    posterior = IAFConfig(flows=2, hidden_dims=[4])
    model = live_through(tmp_path, posterior=posterior, prior=MAFConfig(flows=2, hidden_dims=[4]))
    outputs = model(X[:1])
    assert outputs["log_q"].shape == (1,)
    assert "log_q" not in model(X[:1], deterministic=True)
