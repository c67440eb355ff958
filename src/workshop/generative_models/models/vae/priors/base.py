"""The base class of all priors."""

from collections.abc import Mapping
from typing import Any, ClassVar

from flax import nnx

from workshop.generative_models.core.distributions import (
    Distribution,
)
from workshop.generative_models.core.pickling import Picklable


class Prior(Picklable, nnx.Module):
    """p(z) of one family; its parameters are trained, averaged and saved with the model's.

    Attributes:
        support: the space of z: "real", "sphere" or "ball"; the posterior must have the same.
    """

    support: ClassVar[str] = "real"

    def __call__(self, model: Any, condition: Mapping[str, Any]) -> Distribution:
        """Return p(z), or p(z|y) with a row for each example.

        Args:
            model: the model that this is the prior of, for priors that use its encoder.
            condition: what a conditional model reads besides the data, {"y": ...}; else empty.
        """
        raise NotImplementedError
