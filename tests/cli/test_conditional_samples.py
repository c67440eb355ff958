import numpy as np
import pytest
from flax import nnx
from sklearn.svm import SVC

from workshop.cli.options import Start, default_config
from workshop.generative_models.data import load_dataset
from workshop.generative_models.models.vae import ConditionalVAE
from workshop.generative_models.training import Trainer


@pytest.mark.slow
def test_samples_of_a_class_are_recognised_as_that_class():
    """A classifier fitted on real digits is the judge; it reads 98% of real test digits right."""
    digits = load_dataset("digits")
    model = ConditionalVAE(default_config(Start(model="conditional-vae")), rngs=nnx.Rngs(0))
    Trainer(model, progress=False).fit(digits, steps=1500)
    labels = np.repeat(np.arange(10), 50)
    samples = model.sample(500, y=labels, rngs=nnx.Rngs(1))
    judge = SVC(gamma=0.1).fit(digits.train.x.reshape(-1, 64), digits.train.y)
    assert judge.score(digits.test.x.reshape(-1, 64), digits.test.y) > 0.95
    assert judge.score(np.asarray(samples).reshape(-1, 64), labels) >= 0.9
