"""The interface of priors."""

from collections.abc import Mapping
from typing import Any

from flax import nnx

from workshop.generative_models.core.distributions import Distribution
from workshop.generative_models.core.pickling import Picklable


class Prior(Picklable, nnx.Module):
    """p(z) of one family.

    Its parameters are trained, averaged, saved and exported with those of the model.
    """

    def __call__(self, model: Any, condition: Mapping[str, Any]) -> Distribution:
        """Return p(z), or p(z|y) with a row for each example.

        Args:
            model: the model that this is the prior of, for priors that use its encoder.
            condition: what a conditional model reads besides the data, {"y": ...}; else empty.
        """
        raise NotImplementedError
