"""Which examples the figures of a run show."""

import logging

import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import DecoderConfig, EncoderConfig, VAEConfig
from workshop.generative_models.data import Split
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.visualization.report import _drawable, _pairs


@pytest.mark.parametrize("classes", [1, 2, 3, 5, 10, 12, 40])
def test_interpolations_go_between_classes_and_none_comes_twice(classes):
    y = np.repeat(np.arange(classes, dtype=np.int32), 13)
    pairs = _pairs(Split(np.zeros((len(y), 2), np.float32), y), of_one_class=False)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == 6
    assert all(y[a] != y[b] for a, b in pairs) or classes == 1


def test_a_class_of_one_example_and_data_without_labels_have_pairs():
    y = np.array([0, 0, 1], np.int32)
    pairs = _pairs(Split(np.zeros((3, 2), np.float32), y), of_one_class=False)
    assert all(0 <= a < 3 and 0 <= b < 3 and y[a] != y[b] for a, b in pairs)
    unlabelled = Split(np.zeros((12, 2), np.float32))
    assert _pairs(unlabelled, of_one_class=True)[-1] == (10, 11)
    labelled = Split(np.zeros((3, 2), np.float32), y)
    assert _pairs(labelled, of_one_class=True) == [(0, 1), (2, 2)]


@pytest.fixture(scope="module")
def model():
    sizes = {"hidden_dims": (4,), "latent_dim": 2}
    return VAE(
        VAEConfig(
            encoder=EncoderConfig(**sizes, input_shape=(3,)),
            decoder=DecoderConfig(**sizes, output_shape=(3,), output_activation="identity"),
            likelihood="gaussian",
        ),
        rngs=nnx.Rngs(0),
    )


def test_examples_whose_loss_is_infinite_are_left_out_of_figures(model, caplog):
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    x[1], x[4, 2] = 1e20, -1e30  # their squares are beyond float32
    y = np.arange(6, dtype=np.int32)
    with caplog.at_level(logging.WARNING, "workshop"):
        shown = _drawable(model, Split(x, y))
    assert shown.y.tolist() == [0, 2, 3, 5]
    assert "leave out 2 of 6 examples" in caplog.text


def test_large_values_whose_loss_is_finite_are_shown(model):
    split = Split(np.full((3, 3), 2e9, np.float32))
    assert len(_drawable(model, split)) == 3
