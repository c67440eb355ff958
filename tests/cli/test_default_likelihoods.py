"""What `workshop train` sets for a likelihood that is asked for."""

import numpy as np
import pytest
import tyro

from workshop.cli.options import train_options


def config(*arguments):
    given = list(map(str, arguments))
    return tyro.cli(train_options(given), args=given).config


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ("bce", 1.0, 256)),
        (("--likelihood", "gaussian"), ("gaussian", 1.0, 256)),
        (("--likelihood", "discretized_logistic"), ("discretized_logistic", "learned", 256)),
        (
            ("--likelihood", "discretized_logistic", "--scale", 0.1, "--levels", 17),
            ("discretized_logistic", 0.1, 17),
        ),
        (
            ("--model", "beta-vae", "--reconstruction-loss-type", "categorical", "--levels", 17),
            ("categorical", 1.0, 17),
        ),
        (("--model", "vq-vae", "--likelihood", "categorical"), ("categorical", 1.0, 256)),
    ],
)
def test_of_images(arguments, expected):
    found = config(*arguments)
    assert (found.likelihood_name, found.scale, found.levels) == expected
    assert found.decoder.output_activation == "sigmoid"


@pytest.mark.parametrize(
    ("likelihood", "scale", "activation"),
    [
        ("gaussian", "learned", "identity"),
        ("laplace", "learned", "identity"),
        ("mse", 1.0, "identity"),
        ("categorical", 1.0, "sigmoid"),
        ("bce", 1.0, "sigmoid"),
    ],
)
def test_of_a_table(tmp_path, likelihood, scale, activation):
    np.save(tmp_path / "table.npy", np.zeros((6, 5), np.float32))
    found = config("--data", tmp_path / "table.npy", "--likelihood", likelihood)
    assert (found.likelihood, found.scale) == (likelihood, scale)
    assert found.decoder.output_activation == activation


def test_levels_have_no_meaning_for_others():
    with pytest.raises(ValueError, match="levels=17 has no meaning for the likelihood 'bce'"):
        config("--levels", 17)
