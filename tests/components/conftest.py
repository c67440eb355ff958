"""What is registered in a test of components is gone after it."""

import pytest

from workshop.generative_models.core.configuration import COMPONENT_CONFIGS
from workshop.generative_models.models.vae import objectives, posteriors, priors

TABLES = (
    *COMPONENT_CONFIGS.values(),
    priors.PRIORS,
    posteriors.POSTERIORS,
    objectives.OBJECTIVES,
)


@pytest.fixture(autouse=True)
def _unregistered_afterwards():
    before = [dict(table) for table in TABLES]
    yield
    for table, entries in zip(TABLES, before, strict=True):
        table.clear()
        table.update(entries)
