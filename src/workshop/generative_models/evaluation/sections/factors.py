"""The section on disentanglement: latents against known factors."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import disentanglement, outputs
from ..estimates import Estimate, jackknife, jackknife_error, share_of
from ..study import Section, Study

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Codes and factors to fit to, and to test on."""


def disentanglement_section(study: Study) -> Section:
    """Return the metrics of disentanglement; those that intervene, where a sampler is known."""
    settings, train = study.settings, study.some_train(study.settings.factor_examples)
    test = study.test.take(slice(max(settings.factor_examples // 2, 2)))
    assert train.factors is not None
    assert test.factors is not None
    codes, held_out = (outputs.representations(study.model, s) for s in (train, test))
    data = (codes, train.factors, held_out, test.factors)
    figures = {
        name: _counted(metric, codes, train.factors, how)
        for name, metric, how in (
            ("mig", disentanglement.mig, "20 bins"),
            ("modularity", disentanglement.modularity, "20 bins"),
            ("irs", disentanglement.irs, "0.99 quantile"),
        )
    }
    figures |= _learnt(disentanglement.sap, {"sap": None}, data, "linear SVMs", groups=10)
    figures |= _learnt(
        disentanglement.explicitness, {"explicitness": "test"}, data, "logistic regression"
    )
    if study.sampler is not None:
        figures |= _intervened(study)
    names = {f"dci_{k}": k for k in ("disentanglement", "completeness", "informativeness_test")}
    trees = functools.partial(disentanglement.dci, seed=settings.seed)
    figures |= _learnt(trees, names, data, "boosted trees")
    note = f"of the {outputs.representation_of(study.model)}"
    return Section("Disentanglement", figures, notes=[note])


def _counted(
    metric: Callable[..., float], codes: np.ndarray, factors: np.ndarray, how: str
) -> Estimate:
    error = jackknife(metric, codes, factors)
    return Estimate(metric(codes, factors), error, len(codes), f"{how}, error by the jackknife")


def _learnt(
    metric: Callable[..., Any],
    names: Mapping[str, str | None],
    data: Arrays,
    how: str,
    groups: int = 2,
) -> dict[str, Estimate]:
    """Return scores of a metric that fits something, with the jackknife's errors.

    Two groups are two fits to half of the examples: a rough error, for the cost of one fit to all.
    """
    codes, factors, test_codes, test_factors = data
    whole = metric(*data)
    # Examples are in random order.
    group, test_group = np.arange(len(codes)) % groups, np.arange(len(test_codes)) % groups
    left = [
        metric(codes[group != g], factors[group != g],
               test_codes[test_group != g], test_factors[test_group != g])
        for g in range(groups)
    ]  # fmt: skip

    def value(scores: Any, key: str | None) -> float:
        return float(scores if key is None else scores[key])

    told = f"{how}, fitted to {len(codes):,}, tested on {len(test_codes):,}, jackknife of {groups}"
    found = {}
    for name, key in names.items():
        error = jackknife_error([value(scores, key) for scores in left])
        found[name] = Estimate(value(whole, key), error, len(codes), told)
    return found


def _intervened(study: Study) -> dict[str, Estimate]:
    """Return the accuracies of the metrics that hold a factor still."""
    settings = study.settings
    sizes = {"num_train": settings.points, "num_eval": max(settings.points // 2, 2)}
    told = f"{sizes['num_train']:,} points of 64, tested on {sizes['num_eval']:,}, binomial error"
    return {
        name: share_of(
            getattr(disentanglement, name)(
                study.represent, study.sampler, **sizes, seed=settings.seed,
                progress=study.progress(name.replace("_", " ")),
            ),
            sizes["num_eval"], told,
        )
        for name in ("beta_vae_score", "factor_vae_score")
    }  # fmt: skip
