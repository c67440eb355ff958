"""The options of training: names and defaults are those of the trainer and the optimizer."""

import inspect

import numpy as np
import pytest

from workshop.generative_models.core import optimizers
from workshop.generative_models.core.configuration.training import (
    LoopConfig,
    OptimizerConfig,
    OptimizerName,
    PriorTrainingConfig,
    TrainingConfig,
    checked_options,
)
from workshop.generative_models.training import Trainer, create_optimizer, create_trainer


def defaults(function, *others):
    parameters = inspect.signature(function).parameters
    return {n: p.default for n, p in parameters.items() if n not in others}


def test_names_and_defaults_are_those_of_the_public_functions():
    objects = ("self", "model", "optimizer", "folder", "callbacks", "progress")
    assert defaults(Trainer.__init__, *objects) == dict(LoopConfig())
    names = {"optimizer": "name", "final_rate": "final"}
    expected = {names.get(name, name): value for name, value in OptimizerConfig()}
    assert defaults(create_optimizer, "steps", "betas") == expected
    assert set(OptimizerName.__args__) == set(optimizers._OPTIMIZERS)


def test_every_option_reaches_the_trainer_or_the_optimizer(make_vae):
    loop = LoopConfig(
        batch_size=4, seed=3, checkpoint_every=5, log_every=6, evaluate_every=7, average=0.5,
        nonfinite="skip", monitor="elbo", patience=8, keep_best=True, plateau_patience=9,
        plateau_factor=0.3, devices="data", stream=True,
    )  # fmt: skip
    optimizer = OptimizerConfig(
        optimizer="lamb", learning_rate=0.1, schedule="linear", warmup_steps=2, final_rate=0.5,
        weight_decay=0.4, clip_norm=0.6, accumulate=3,
    )  # fmt: skip
    for part in (loop, optimizer):
        assert all(value != default for (_, value), (_, default) in zip(part, type(part)()))  # noqa: B905
    trainer = create_trainer(
        make_vae(), TrainingConfig(**dict(loop), **dict(optimizer), steps=20), progress=False
    )
    assert trainer.options == loop
    names = {"optimizer": "name", "final_rate": "final"}
    expected = {names.get(name, name): value for name, value in optimizer} | {"steps": 20}
    assert optimizers.optimizer_arguments(trainer.plan.optimizer) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, "batch_size=0: Input should be greater than 0"),
        ({"batch_size": True}, "batch_size=True: expected an integer"),
        ({"seed": 2.0}, "seed=2.0: expected an integer"),
        ({"keep_best": 1}, "keep_best=1: expected True or False"),
        ({"average": "0.9"}, "average='0.9': expected a number"),
        ({"learning_rate": float("inf")}, "learning_rate=inf: Input should be a finite number"),
        ({"nonfinite": "go"}, "nonfinite='go': Input should be 'stop' or 'skip'"),
        ({"colour": 1}, "colour=1: Extra inputs are not permitted"),
    ],
)
def test_what_is_refused_is_named(values, message):
    with pytest.raises(ValueError, match=rf"^{message}$"):
        checked_options(TrainingConfig, values)


def test_scalars_of_numpy_are_numbers():
    found = LoopConfig(batch_size=np.int64(3), average=np.float32(0.5), stream=np.True_)  # type: ignore[arg-type]
    assert (found.batch_size, found.average, found.stream) == (3, 0.5, True)
    assert {type(v) for v in (found.batch_size, found.average, found.stream)} == {int, float, bool}


def test_a_prior_is_trained_with_its_options():
    config = PriorTrainingConfig(steps=50, batch_size=7, learning_rate=0.2).training(3)
    assert (config.steps, config.batch_size, config.learning_rate) == (50, 7, 0.2)
    assert (config.seed, config.warmup_steps, config.keep_best) == (3, 5, True)
