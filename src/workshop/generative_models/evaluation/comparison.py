"""Evaluations of several runs side by side, the best of each figure marked."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.metrics import Metric, metric_of
from .estimates import Estimate

_LIKELIHOOD = ("likelihood", "prior")
"""Sections whose figures are of one family of likelihoods."""
_TERMS = ("reconstruction_loss", "kl_loss")
"""Terms of the ELBO: models of one ELBO may split it in all ways, so that none is the best."""
_ERRORS = 2.0
"""Standard errors of a difference within which two figures count as equal."""


class Compared(NamedTuple):
    """One figure of several runs."""

    section: str
    name: str
    figures: tuple[Estimate | None, ...]
    """In the order of the runs; None where a run has none."""
    best: tuple[int, ...]
    """Which runs are the best, with those that the errors do not tell from it."""
    alike: bool
    """Whether it was estimated in the same way for all."""


def compare(evaluations: Sequence[Mapping[str, Any]]) -> list[Compared]:
    """Return every figure of the evaluations, in the order in which they come.

    Figures have no best one if they were estimated in different ways, with other numbers of samples
    or examples, of other data, or, those of likelihood, under other families; or if they have no
    error.

    Args:
        evaluations: as `summary.read` returns them, with their "basis".

    Raises:
        ValueError: if there are fewer than two.

    Examples:
        >>> runs = [{"sections": {"likelihood": {"elbo": Estimate(v, 0.1, 9, "mean")}},
        ...          "basis": {"data": "digits", "likelihood": "Bernoulli"}}
        ...         for v in (-3.0, -1.0, -1.1)]
        >>> compare(runs)[0].best
        (1, 2)
    """
    if len(evaluations) < 2:
        raise ValueError(f"compare: expected at least two runs, got {len(evaluations)}")
    same = {key: len({e["basis"][key] for e in evaluations}) == 1 for key in ("data", "likelihood")}
    rows = []
    for section, name in _names(evaluations):
        found = tuple(e["sections"].get(section, {}).get(name) for e in evaluations)
        known = [f for f in found if f is not None]
        alike = len({(f.estimator, f.n) for f in known}) == 1 and same["data"]
        alike = alike and (same["likelihood"] or section not in _LIKELIHOOD)
        compared = alike and len(known) > 1 and name not in _TERMS
        best = _best_of(found, metric_of(name)) if compared else ()
        rows.append(Compared(section, name, found, best, alike))
    return rows


def _best_of(figures: Sequence[Estimate | None], metric: Metric) -> tuple[int, ...]:
    """Return the places of the best figure and of those within two standard errors of it.

    None if which way is better is not known, a figure has no error, or all are as good.
    """
    known = {i: f for i, f in enumerate(figures) if f is not None and np.isfinite(f.value)}
    larger = metric.larger_is_better
    if larger is None or not known or any(f.standard_error is None for f in known.values()):
        return ()
    sign = 1 if larger else -1
    first = max(known.values(), key=lambda f: sign * f.value)

    def near(figure: Estimate) -> bool:
        error = np.hypot(first.standard_error or 0.0, figure.standard_error or 0.0)
        return abs(first.value - figure.value) <= _ERRORS * float(error)

    places = tuple(i for i, f in known.items() if near(f))
    return () if len(places) == len(figures) else places


def _names(evaluations: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return (section, figure) of all, each once, in the order of first appearance."""
    names: dict[str, dict[str, None]] = {}
    for evaluation in evaluations:
        for section, figures in evaluation["sections"].items():
            names.setdefault(section, {}).update(dict.fromkeys(figures))
    return [(section, name) for section, figures in names.items() for name in figures]
