"""Codes from uniform numbers."""

import jax.numpy as jnp
import numpy as np
import pytest

from workshop.generative_models.export.codes import codes_by_usage


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_codes_come_as_often_as_their_shares(temperature):
    """Of N evenly spaced numbers each code gets its share within one of its two ends."""
    usage, n = np.array([[3.0, 0.0, 1.0, 0.0], [0.0, 0.0, 5.0, 5.0]]), 4000
    u = jnp.broadcast_to(((jnp.arange(n) + 0.5) / n)[:, None], (n, 2))
    codes = codes_by_usage(jnp.asarray(usage, jnp.float32), u, jnp.float32(temperature))
    for position, row in enumerate(usage):
        share = row ** (1 / temperature) / (row ** (1 / temperature)).sum()
        counts = np.bincount(np.asarray(codes[:, position]), minlength=4)
        np.testing.assert_allclose(counts / n, share, atol=1.01 / n)
        assert not counts[row == 0].any()


def test_unused_codes_are_drawn_evenly_and_one_row_serves_all_positions():
    u = jnp.array([[0.0, 0.3], [0.6, 0.99]], jnp.float32)
    codes = codes_by_usage(jnp.zeros((1, 4)), u, jnp.float32(1.0))
    assert codes.tolist() == [[0, 1], [2, 3]]


def test_a_number_of_one_is_the_last_code():
    codes = codes_by_usage(jnp.ones((1, 3)), jnp.ones((1, 1)), jnp.float32(1.0))
    assert codes.tolist() == [[2]]
