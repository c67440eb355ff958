"""Codes of many examples, (n, *code_shape): what a place could hold instead."""

import numpy as np
from jaxtyping import Int


def mixed(codes: Int[np.ndarray, "n ..."], seed: int) -> Int[np.ndarray, "..."]:
    """Return codes of one example, each place drawn from those that the examples have there.

    Examples:
        >>> mixed(np.array([[1, 5], [2, 5], [3, 5]]), seed=0).tolist()[1]
        5
    """
    places = codes.reshape(len(codes), -1)
    chosen = np.random.default_rng(seed).integers(len(places), size=places.shape[1])
    return places[chosen, np.arange(places.shape[1])].reshape(codes.shape[1:])


def alternatives(
    codes: Int[np.ndarray, "n ..."], own: int, place: int, most: int
) -> Int[np.ndarray, " found"]:
    """Return at most `most` codes other than `own` that examples have at a place, by frequency.

    Examples:
        >>> alternatives(np.array([[4], [7], [7], [2]]), own=2, place=0, most=9).tolist()
        [7, 4]
    """
    found, counts = np.unique(codes.reshape(len(codes), -1)[:, place], return_counts=True)
    ranked = found[np.argsort(-counts, kind="stable")]
    return ranked[ranked != own][:most]
