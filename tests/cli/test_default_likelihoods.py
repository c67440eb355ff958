"""What `workshop train` sets for a likelihood that is asked for."""

import numpy as np
import pytest
import tyro

from workshop.cli import main
from workshop.cli.parsing import reading
from workshop.cli.starting import train_options


def options(*arguments):
    given = list(map(str, arguments))
    with reading():
        return tyro.cli(train_options(given), args=given)


def config(*arguments):
    return options(*arguments).config


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
        ("gaussian", "per_feature", "identity"),
        ("laplace", "per_feature", "identity"),
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
    assert found.standardize == (scale == "per_feature")


def test_training_of_a_table(tmp_path):
    np.save(tmp_path / "table.npy", np.zeros((6, 5), np.float32))
    given = ["--data", tmp_path / "table.npy"]
    for more, expected in (
        ([], (3e-3, "cosine")),
        (["--learning-rate", "0.1", "--schedule", "linear"], (0.1, "linear")),
    ):
        training = options(*given, *more).training
        assert (training.learning_rate, training.schedule) == expected
    training = options().training  # images
    assert (training.learning_rate, training.schedule) == (1e-3, "constant")


def test_levels_have_no_meaning_for_others(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--levels", "17"])
    said = capsys.readouterr().err
    assert "--levels=17 has no meaning for the likelihood 'bce'" in " ".join(said.split())
