"""A model beside the data that it is evaluated on, and what several figures need of both."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import nnx

from workshop.generative_models.core.likelihoods import LocationScale
from workshop.generative_models.data import Split
from workshop.generative_models.evaluation import likelihood, outputs
from workshop.generative_models.evaluation.disentanglement import Sampler
from workshop.generative_models.evaluation.passes import PASS, Progress, in_passes
from workshop.generative_models.evaluation.weighing import has_codes


@dataclass(frozen=True)
class Settings:
    """How much an evaluation takes; each figure states what it rests on."""

    samples: int = 5000
    """Samples of z of the importance-weighted bound."""
    examples: int = 100
    """Test examples that get it; the others add their ELBO, see `estimates.mean_with_part`."""
    elbo_samples: int = 10
    """Samples of z of the ELBO."""
    annealed: int = 0
    """Test examples that annealed importance sampling is run for."""
    tested: int = 10_000
    """Test examples, at most."""
    generated: int = 1000
    """Samples to compare with data."""
    fitted: int = 5000
    """Training examples that features and probes are fitted to, at most."""
    factor_examples: int = 2000
    """Training examples for metrics of disentanglement; published tables have 10,000."""
    points: int = 500
    """Points of metrics that intervene; published tables have 10,000."""
    seed: int = 0
    """Of all draws."""


class Study:
    """One model, its data, and what is computed once for all figures.

    Args:
        model: a VAE of any kind, evaluated as a copy in evaluation mode.
        train: examples that it was trained on, in random order.
        test: examples that it was not trained on, in random order.
        settings: how much to do; `Settings()` if None.
        sampler: draws factors and shows them, for metrics that intervene; None leaves them out.
        progress: from what is done to what shows its progress.
    """

    def __init__(
        self,
        model: Any,
        train: Split,
        test: Split,
        settings: Settings | None = None,
        sampler: Sampler | None = None,
        progress: Callable[[str], Progress] = lambda _: iter,
    ):
        settings = Settings() if settings is None else settings
        model.check_data(test.x[:1], None if test.y is None else test.y[:1])
        self.model = nnx.clone(model)
        self.model.eval()
        self.train, self.test, self.settings = train, test.take(slice(settings.tested)), settings
        self.sampler, self.progress = sampler, progress
        self.codes_exist = has_codes(model)
        family = model.likelihood
        self.rescaled = isinstance(family, LocationScale) and family.scale == "optimal"

    @functools.cached_property
    def fixed_scale(self) -> Any:
        """The model with a density of single examples; see `likelihood.fix_scale`."""
        if not self.rescaled:
            return self.model
        return likelihood.fix_scale(self.model, self.some_train(self.settings.fitted))

    @functools.cached_property
    def shows_images(self) -> bool:
        """Whether examples are images in [0, 1]."""
        x = self.pixels_of(self.test)
        return x.ndim == 4 and bool(x.min() >= 0 and x.max() <= 1)

    @property
    def has_classes(self) -> bool:
        """Whether there are labels of at least two kinds among those that are fitted to."""
        labels = self.some_train(self.settings.fitted).y
        return labels is not None and len(np.unique(labels)) > 1

    @functools.cached_property
    def posteriors(self) -> dict[str, np.ndarray]:
        """Mean and log-variance of each test example."""
        return outputs.posteriors(self.model, self.test)

    @functools.cached_property
    def codes(self) -> np.ndarray:
        """The codes of test examples."""
        return outputs.code_indices(self.model, self.test)

    @functools.cached_property
    def samples(self) -> np.ndarray:
        """Samples of the model."""
        key = jax.random.key(self.settings.seed)

        def one_pass(index: np.ndarray) -> jax.Array:
            return _sample(self.model, jax.random.fold_in(key, index[0]), PASS)

        count = -(-self.settings.generated // PASS) * PASS
        made = in_passes(one_pass, count, progress=self.progress("samples"))
        return made[: self.settings.generated]

    @property
    def labels_of_prior(self) -> np.ndarray | None:
        """Labels that the prior over codes reads, if it reads any and they are there."""
        classes, labels = self.model.prior.num_classes, self.test.y
        if classes is None or labels is None or labels.max() >= classes:
            return None
        return labels

    @functools.cached_property
    def prior_nats(self) -> np.ndarray:
        """-log p(z) of the codes of each test example under the prior, in nats."""
        codes, labels = self.codes, self.labels_of_prior

        def one_pass(index: np.ndarray) -> jax.Array:
            y = None if labels is None else labels[index]
            return -self.model.prior.log_prob(codes[index], y)

        return in_passes(one_pass, len(codes))

    def some_train(self, count: int) -> Split:
        """Return the first training examples, which are in random order."""
        return self.train.take(slice(count))

    def represent(self, x: Any) -> np.ndarray:
        """Return the means (n, latents) of observations."""
        return outputs.posteriors(self.model, Split(np.asarray(x, np.float32)))["mean"]

    @staticmethod
    def pixels_of(split: Split) -> np.ndarray:
        """Return examples as the model reads them."""
        return outputs.pixels(np.asarray(split.x))


@functools.partial(nnx.jit, static_argnames="count")
def _sample(model: Any, key: jax.Array, count: int) -> jax.Array:
    return model.sample(count, rngs=nnx.Rngs(key))
