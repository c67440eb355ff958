"""A model beside the data that it is evaluated on, and what several figures need of both."""

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import jax
import numpy as np
from flax import nnx

from ..core.distributions import Distribution
from ..core.modules import in_evaluation_mode
from ..core.moments import moments_of
from ..data import Split
from ..models.vae.examples import far_from_unit
from . import bounds, outputs
from .disentanglement import Sampler
from .estimates import Estimate
from .passes import PASS, Progress, condition_of, in_passes
from .samples.features import FeatureFunction

SEARCHED = 2**27
"""Values of examples that nearest neighbours are looked for among: 1 GiB of float64."""


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


@dataclass(frozen=True)
class Section:
    """Figures under one heading."""

    title: str
    figures: dict[str, Estimate]
    verdicts: list[str] = field(default_factory=list)
    """What is wrong, with what helps."""
    notes: list[str] = field(default_factory=list)
    """How to read the figures."""
    series: dict[str, list[float]] = field(default_factory=dict)
    """Figures that come one a latent or one a code."""


class Study:
    """One model, its data, and what is computed once for all figures.

    Args:
        model: a VAE of any kind, evaluated as a copy in evaluation mode.
        train: examples that it was trained on, in random order.
        test: examples that it was not trained on; taken in random order.
        settings: how much to do; `Settings()` if None.
        sampler: draws factors and shows them, for metrics that intervene; not for a conditional
            model, which would need labels for them.
        held_out: whether the test examples were kept from training.
        progress: from what is done to what shows its progress.
        cuttable: the same for estimates of which a part is worth keeping; None is `progress`.
        features: further feature functions to compare samples in, by name.
        run: the run folder, as suggested commands name it.
        more: the total number of steps that they suggest.
    """

    def __init__(
        self,
        model: Any,
        train: Split,
        test: Split,
        settings: Settings | None = None,
        sampler: Sampler | None = None,
        progress: Callable[[str], Progress] = lambda _: iter,
        cuttable: Callable[[str], Progress] | None = None,
        *,
        held_out: bool = True,
        features: Mapping[str, FeatureFunction] | None = None,
        run: str = "RUN",
        more: str = "STEPS",
    ):
        settings = Settings() if settings is None else settings
        model.check_data(test.x[:1], None if test.y is None else test.y[:1])
        self.model = in_evaluation_mode(model)
        order = np.random.default_rng(settings.seed).permutation(len(test))
        self.train, self.test, self.settings = train, test.take(order[: settings.tested]), settings
        self.progress, self.held_out = progress, held_out
        self.cuttable = progress if cuttable is None else cuttable
        self.run, self.more = run, more
        self.features = {} if features is None else features
        self.sampler = None if model.conditional else sampler
        self.rescaled = bounds.has_moving_scale(model)

    @property
    def longer(self) -> str:
        """The command that trains the model for longer."""
        return f"workshop train --resume {self.run} --steps {self.more}"

    @property
    def draws(self) -> int:
        """How many z the ELBO takes of each example; codes are chosen without chance."""
        return 1 if self.model.has_codes else self.settings.elbo_samples

    @functools.cached_property
    def terms(self) -> dict[str, np.ndarray]:
        """The terms of the ELBO of each test example; fewer if it was cut short."""
        return self.terms_of(self.test, "ELBO of test")

    def terms_of(self, split: Split, what: str) -> dict[str, np.ndarray]:
        """Return the terms of the ELBO of examples, their progress shown under a name."""
        return bounds.elbo_terms(
            self.fixed_scale, split, samples=self.draws, seed=self.settings.seed,
            progress=self.cuttable(what),
        )  # fmt: skip

    @functools.cached_property
    def fixed_scale(self) -> Any:
        """The model with a density of single examples; see `bounds.fix_scale`."""
        if not self.rescaled:
            return self.model
        return bounds.fix_scale(self.model, self.some_train(self.settings.fitted))

    @functools.cached_property
    def odd_scale(self) -> str | None:
        """What features the model should have been given in other units, or None."""
        if self.model.likelihood.support != "real" or self.model.standardize:
            return None
        return far_from_unit(moments_of([np.asarray(self.some_train(self.settings.fitted).x)]))

    @functools.cached_property
    def shows_images(self) -> bool:
        """Whether examples are images in [0, 1]."""
        x = self.pixels_of(self.test)
        return x.ndim == 4 and bool(x.min() >= 0 and x.max() <= 1)

    @functools.cached_property
    def is_binary(self) -> bool:
        """Whether all values are 0 or 1."""
        x = self.pixels_of(self.test)
        return bool(((x == 0) | (x == 1)).all())

    @functools.cached_property
    def basis(self) -> dict[str, str]:
        """What evaluations must share for their figures to be compared, `data` and `likelihood`."""
        family, reads = self.model.likelihood, " given the class" if self.model.conditional else ""
        levels = "" if family.levels is None else f" of {family.levels} levels"
        return {
            "data": f"{_digest(self.train)} {_digest(self.test)}",
            "likelihood": f"{type(family).__name__}{levels}{reads}",
        }

    @property
    def has_classes(self) -> bool:
        """Whether there are labels of at least two kinds among those that are fitted to."""
        labels = self.some_train(self.settings.fitted).labels
        return labels is not None and len(np.unique(labels)) > 1

    @functools.cached_property
    def distributions(self) -> tuple[Distribution, Distribution]:
        """q(z|x) and p(z) of a test example, for what depends on their families."""
        one = self.test.take([0])
        condition = condition_of(self.model, one)
        return self.model.q_z(one.x, **condition), self.model.p_z(**condition)

    @functools.cached_property
    def codes(self) -> np.ndarray:
        """The codes of test examples."""
        return outputs.code_indices(self.model, self.test)

    @functools.cached_property
    def samples(self) -> np.ndarray:
        """Samples of the model; classes are drawn evenly, other conditions from those of train."""
        key = jax.random.key(self.settings.seed)
        conditions = outputs.own_conditions(self.model, self.train)

        def one_pass(index: np.ndarray) -> jax.Array:
            of = {} if conditions is None else {"y": conditions[index % len(conditions)]}
            return _sample(self.model, jax.random.fold_in(key, index[0]), PASS, of)

        count = -(-self.settings.generated // PASS) * PASS
        made = in_passes(one_pass, count, progress=self.progress("samples"))
        return made[: self.settings.generated]

    @staticmethod
    def searched(split: Split) -> Split:
        """Return the first examples, as many as nearest neighbours are looked for among."""
        return split.take(slice(max(SEARCHED // prod(split.shape), 1)))

    def some_train(self, count: int) -> Split:
        """Return the first training examples, which are in random order."""
        return self.train.take(slice(count))

    def represent(self, x: Any) -> np.ndarray:
        """Return `outputs.representations` (n, latents) of observations."""
        return outputs.representations(self.model, Split(np.asarray(x, np.float32)))

    @staticmethod
    def pixels_of(split: Split) -> np.ndarray:
        """Return examples as the model reads them."""
        return outputs.scaled(np.asarray(split.x))


def _digest(split: Split) -> str:
    """Return what tells examples from others: a hash of their number and of a hundred of them."""
    rows = np.linspace(0, len(split) - 1, min(len(split), 100)).astype(int)
    some = split.take(rows)
    x = np.ascontiguousarray(some.x)
    found = hashlib.sha256(f"{split.x.shape} {x.dtype}".encode())
    found.update(x.tobytes())
    if some.y is not None:
        found.update(some.y.tobytes())
    return found.hexdigest()[:12]


@functools.partial(nnx.jit, static_argnames="count")
def _sample(model: Any, key: jax.Array, count: int, condition: dict[str, Any]) -> jax.Array:
    return model.sample(count, rngs=nnx.Rngs(key), **condition)
