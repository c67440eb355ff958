"""How near reconstructions and samples come to data, and whether samples are copies."""

from collections.abc import Callable
from math import prod

import numpy as np

from .. import outputs
from ..passes import in_passes
from ..samples.copies import copying, copying_verdict
from ..samples.dependence import dependence_of, dependence_verdict
from ..samples.distances import sample_quality
from ..samples.features import classifier_features, pca_features
from ..samples.reconstructions import means_of, quality_of_each
from ..study import SEARCHED, Section, Study

LEAST, MOST = 8, 64
"""Features: a tenth of the test examples, but so many at least and at most. The Fréchet distance's
bias grows with features over examples."""
BARELY = 0.1
"""Share of the data that samples cover, below which they are called far from it."""


def reconstructions_section(study: Study, *, quick: bool = False) -> Section:
    """Return whether reconstructions depend on the input, and unless `quick` how near they come."""
    progress = study.progress("reconstructions")
    figures = dependence_of(study.model, study.test, progress=progress)
    said = dependence_verdict(figures, study.model, study.longer)
    section = Section("Reconstructions", figures, [said] if said else [])
    if quick or not study.shows_images:
        return section

    def one_pass(index: np.ndarray) -> dict[str, np.ndarray]:  # no reconstructions are kept
        part = study.test.take(index)
        made = outputs.reconstructions(study.model, part)["x"]
        return quality_of_each(study.pixels_of(part), np.clip(made, 0, 1))

    section.figures.update(means_of(in_passes(one_pass, len(study.test), progress=progress)))
    return section


def samples_sections(study: Study) -> dict[str, Section]:
    """Return how near samples come to examples that were not trained on, by features."""
    shape, settings = study.test.shape, study.settings
    most = SEARCHED // 2 // prod(shape)
    train = study.some_train(min(settings.fitted, most))
    real = study.pixels_of(study.test.take(slice(most)))
    rows, fake = study.pixels_of(train), study.samples
    dim = int(np.clip(len(real) // 10, LEAST, MOST))
    few = min(dim, prod(shape), len(rows))
    features: dict[str, tuple[str, Callable]] = {
        "samples_pca": (f"{few} principal components", pca_features(rows, few))
    }
    if study.has_classes and train.y is not None:
        features["samples_classifier"] = (
            f"{dim} features of a classifier of the labels",
            classifier_features(rows, train.y, hidden=(256, dim), seed=settings.seed),
        )
    for name, function in study.features.items():
        features[f"samples_{name}"] = f"{name} features", function
    found = {}
    for name, (what, function) in features.items():
        figures = sample_quality(real, fake, function, seed=settings.seed)
        found[name] = Section(f"Samples, in {what}", figures)
    coverage = found["samples_pca"].figures["coverage"]
    if study.model.has_codes and study.model.prior is None:
        found["samples_pca"].notes.append(
            f"no prior is fitted (workshop prior {study.run}): codes are drawn one by one, by "
            "their usage"
        )
    elif coverage.value + 2 * (coverage.standard_error or 0.0) < BARELY:
        by = "a higher beta" if study.model.has_density else "a posterior with a density"
        nearer = f", or bring the latents nearer to the prior by {by}"
        found["samples_pca"].verdicts.append(
            f"samples come near {coverage.value:.0%} of the test examples only (coverage): train "
            f"for longer ({study.longer}){'' if study.model.has_codes else nearer}"
        )
    return found


def copying_section(study: Study) -> Section:
    """Return whether samples are copies of training examples."""
    train, held_out = study.searched(study.train), study.searched(study.test)
    figures = copying(study.samples, study.pixels_of(train), study.pixels_of(held_out))
    said = copying_verdict(figures)
    section = Section("Copies of training examples", figures, [said] if said else [])
    if len(train) < len(study.train):
        section.notes.append(
            f"copies were looked for among {len(train):,} of {len(study.train):,} training "
            "examples: those of others are not seen"
        )
    return section
