"""The parts of an evaluation: each a few figures of one model, and what is wrong with it."""

from dataclasses import dataclass, field
from math import exp, log, prod

import numpy as np

from workshop.generative_models.core.likelihoods import SquaredError
from workshop.generative_models.evaluation import disentanglement, likelihood, outputs, probes
from workshop.generative_models.evaluation.aggregate import aggregate_posterior, far_from_prior
from workshop.generative_models.evaluation.codebooks import entropy
from workshop.generative_models.evaluation.copying import copying, copying_verdict
from workshop.generative_models.evaluation.decomposition import kl_decomposition, saturation
from workshop.generative_models.evaluation.estimates import (
    Estimate,
    jackknife,
    mean_of,
    mean_with_part,
)
from workshop.generative_models.evaluation.features import classifier_features, pca_features
from workshop.generative_models.evaluation.latents import (
    active_units,
    collapse,
    kl_per_dimension,
)
from workshop.generative_models.evaluation.quantized import codebook_healths, collapses
from workshop.generative_models.evaluation.reconstructions import reconstruction_quality
from workshop.generative_models.evaluation.samples import sample_quality
from workshop.generative_models.evaluation.study import Study

FEW = 10
"""Effective samples of 5,000 or so below which an importance-weighted bound hangs on a few."""
OVERFIT = 0.05
"""Share of the distortion that the ELBO may lose from training to other examples, unremarked."""


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


def likelihood_section(study: Study, *, elbo_only: bool = False) -> Section:
    """How likely the model finds examples: bounds from the loosest to the strictest."""
    settings, model, test = study.settings, study.fixed_scale, study.test
    draws = 1 if study.codes_exist else settings.elbo_samples  # codes are chosen without chance
    seed = settings.seed
    terms = {
        name: likelihood.rate_and_distortion(
            model, split, samples=draws, seed=seed, progress=study.progress(f"ELBO of {name}")
        )
        for name, split in (("test", test), ("training", study.some_train(len(test))))
    }
    rate, distortion = terms["test"]["rate"], terms["test"]["distortion"]
    elbo, seen = (-(t["rate"] + t["distortion"]) for t in terms.values())
    text = "mean over examples" if study.codes_exist else f"mean over examples, {draws} z each"
    figures = {
        "elbo": mean_of(elbo, text, "nats"),
        "distortion": mean_of(distortion, f"-E log p(x|z), {text}", "nats"),
        "rate": mean_of(rate, "KL(q(z|x) ‖ p(z)), mean over examples", "nats"),
        "elbo_train": mean_of(seen, text, "nats"),
    }
    section = Section("Likelihood", figures)
    best, how = np.zeros(len(elbo)), "ELBO"
    if not (study.codes_exist or elbo_only):
        best, how = _stricter(study, elbo, section)
    if type(model.likelihood) is SquaredError:
        section.notes.append(
            "mse is a sum of squares, no density: its figures compare only with one another"
        )
    else:
        to_bits = -1 / (prod(test.shape) * log(2))
        bits = mean_with_part(elbo, best, f"at most; by the {how}", "bits", scale=to_bits)
        figures["bits_per_dim"] = bits
    if study.rescaled:
        section.notes.append("the likelihood's scale is the best one for the training examples")
    _compare_with_training(section, elbo, seen, float(distortion.mean()))
    return section


def _stricter(study: Study, elbo: np.ndarray, section: Section) -> tuple[np.ndarray, str]:
    """Add the bounds that cost more; return what the strictest one adds to the ELBO."""
    settings, model, figures = study.settings, study.fixed_scale, section.figures
    part = study.test.take(slice(settings.examples))
    found = likelihood.importance_sampling(
        model, part, samples=settings.samples, seed=settings.seed,
        progress=study.progress("importance-weighted bound"),
    )  # fmt: skip
    extra, how = found["bound"] - elbo[: len(found["bound"])], "importance-weighted bound"
    text = f"{settings.samples:,} z each"
    figures["importance_weighted_bound"] = mean_with_part(elbo, extra, text, "nats")
    effective = mean_of(found["effective_samples"], f"of {settings.samples:,}, mean over examples")
    figures["effective_samples"] = effective
    if np.median(found["effective_samples"]) < FEW <= settings.samples / 100:
        section.verdicts.append(
            f"importance weights hang on few samples (median "
            f"{np.median(found['effective_samples']):.1f} effective of {settings.samples:,}): the "
            "bound is loose: annealed importance sampling (annealed, such as 20) is stricter"
        )
    if settings.annealed:
        part = study.test.take(slice(settings.annealed))
        annealed = likelihood.annealed_importance_sampling(
            model, part, seed=settings.seed, progress=study.progress("annealing")
        )
        extra, how = annealed - elbo[: len(annealed)], "annealed importance sampling"
        text = "16 chains of 1,000 temperatures each, HMC"
        figures["annealed_importance_sampling"] = mean_with_part(elbo, extra, text, "nats")
    return extra, how


def _compare_with_training(
    section: Section, elbo: np.ndarray, seen: np.ndarray, distortion: float
) -> None:
    gap = float(seen.mean() - elbo.mean())
    error = float(np.hypot(seen.std() / len(seen) ** 0.5, elbo.std() / len(elbo) ** 0.5))
    if gap > 3 * error and gap > OVERFIT * abs(distortion):
        section.verdicts.append(
            f"training examples have an ELBO {gap:.1f} nats higher than others (± {error:.1f}), "
            "the model overfits: train for fewer steps, keep the best (keep_best), use a smaller "
            "network or more data"
        )


def latents_section(study: Study) -> Section:
    """What the latents hold, and whether some hold nothing."""
    mean, log_var = study.posteriors["mean"], study.posteriors["log_var"]
    units, by_latent = active_units(mean), kl_per_dimension(mean, log_var)
    parts = kl_decomposition(mean, log_var, seed=study.settings.seed)
    against = aggregate_posterior(mean, log_var, seed=study.settings.seed)
    names = ("mutual_information", "total_correlation", "dimension_wise_kl")
    figures = {"active_units": units.count} | {name: parts[name] for name in names}
    figures["joint_gaussian_kl"] = against.joint_gaussian_kl
    note = saturation(parts["mutual_information"])
    return Section(
        "Latents",
        figures,
        [v for v in (collapse(units), far_from_prior(against)) if v is not None],
        [] if note is None else [note],
        {
            "kl_per_dimension": [kl.value for kl in by_latent],
            "variance_of_means": [v.value for v in units.variance],
        },
    )


def codes_section(study: Study) -> Section:
    """How the codebooks are used."""
    quantizer, codes = study.model.quantizer, study.codes
    healths = codebook_healths(quantizer, codes)
    section = Section("Codes", {})
    for i, (name, health) in enumerate(healths.items()):
        end = f"_{i + 1}" if len(healths) > 1 else ""
        own = codes if not end else codes[..., i]
        size, n = len(health.counts), len(codes)
        text = f"{own.size:,} codes of {n:,} examples, error by the jackknife over examples"

        def perplexity(rows: np.ndarray, size: int = size) -> float:
            return exp(entropy(np.bincount(rows[rows >= 0], minlength=size)))

        error = jackknife(perplexity, own) if n >= 10 else None
        plain = f"count over {own.size:,} codes"
        figures = {
            "used": Estimate(health.used, None, n, plain, f"of {size:,}"),
            "share_used": Estimate(health.share, None, n, plain),
            "perplexity": Estimate(health.perplexity, error, n, text),
            "code_bits": Estimate(
                health.bits, None if error is None else error / health.perplexity / log(2), n,
                text, f"bits of {np.log2(size):.2f}"),
        }  # fmt: skip
        if health.distances is not None:
            apart = float(np.median(health.distances))
            figures["code_distance"] = Estimate(apart, None, size, "median over codes")
        section.figures.update({f"{key}{end}": figure for key, figure in figures.items()})
        section.series[f"{name}_counts"] = health.counts.tolist()
    section.verdicts.extend(
        f"{name.replace('_', ' ')}: {said}" for name, said in collapses(quantizer, healths).items()
    )
    return section


def prior_section(study: Study) -> Section:
    """What a fitted prior over the codes makes of the whole model."""
    prior, labels = study.model.prior, study.labels_of_prior
    nats = study.prior_nats
    given = "" if labels is None else ", given the class"
    each = prod(study.codes.shape[1:])
    distortion = outputs.reconstructions(study.model, study.test)["loss"]
    # p(x) is at least p(x, y), and classes are as likely.
    whole = distortion + nats + (0.0 if labels is None else log(prior.num_classes))
    per_dim = 1 / (prod(study.test.shape) * log(2))
    text = f"mean over examples{given}"
    figures = {
        "prior_rate": mean_of(nats, text, "nats"),
        "prior_bits_per_code": mean_of(nats, text, "bits", scale=1 / (each * log(2))),
        "prior_elbo": mean_of(-whole, "mean over examples, -log p(x, z)", "nats"),
    }
    if type(study.model.likelihood) is not SquaredError:
        figures["bits_per_dim"] = mean_of(whole, "from -log p(x, z)", "bits", scale=per_dim)
    uniform = np.log2(study.model.num_embeddings)
    note = f"a uniform prior would take {uniform:.2f} bits per code"
    return Section("Prior over codes", figures, notes=[note])


def probes_section(study: Study) -> Section:
    """Whether the labels can be read off the means."""
    train, test = study.some_train(study.settings.fitted), study.test
    assert train.y is not None
    assert test.y is not None
    means = outputs.posteriors(study.model, train)["mean"]
    data = (means, train.y, study.posteriors["mean"], test.y)
    figures = {
        "knn_accuracy": probes.knn_accuracy(*data, k=min(5, len(means))),
        "linear_accuracy": probes.linear_accuracy(*data),
    }
    return Section("Labels from latents", figures)


def reconstructions_section(study: Study) -> Section:
    """How near reconstructions of the means come to images in [0, 1]."""
    made = outputs.reconstructions(study.model, study.test)["x"]
    images = study.pixels_of(study.test)
    return Section("Reconstructions", reconstruction_quality(images, np.clip(made, 0, 1)))


def samples_sections(study: Study) -> dict[str, Section]:
    """How near samples come to data that was not trained on, and whether they are copies."""
    train = study.some_train(study.settings.fitted)
    rows, real, fake = study.pixels_of(train), study.pixels_of(study.test), study.samples
    dim = min(64, prod(train.shape), len(rows))
    features = {"samples_pca": (f"{dim} principal components", pca_features(rows, dim))}
    if study.has_classes and train.y is not None:
        classifier = classifier_features(rows, train.y, seed=study.settings.seed)
        features["samples_classifier"] = ("features of a classifier of the labels", classifier)
    found = {
        name: Section(
            f"Samples, in {what}", sample_quality(real, fake, function, seed=study.settings.seed)
        )
        for name, (what, function) in features.items()
    }
    figures = copying(fake, rows, real)
    said = copying_verdict(figures)
    found["copying"] = Section("Copies of training examples", figures, [said] if said else [])
    if study.codes_exist and study.model.prior is None:
        found["samples_pca"].notes.append(
            "no prior is fitted (workshop prior RUN): codes are drawn one by one, by their usage"
        )
    return found


def disentanglement_section(study: Study) -> Section:
    """How latents stand to known factors."""
    settings, train = study.settings, study.some_train(study.settings.factor_examples)
    test = study.test.take(slice(max(settings.factor_examples // 2, 2)))
    assert train.factors is not None
    assert test.factors is not None
    codes, held_out = (outputs.posteriors(study.model, s)["mean"] for s in (train, test))
    data = (codes, train.factors, held_out, test.factors)
    n, seed = len(codes), settings.seed
    smooth = {
        name: Estimate(
            metric(codes, train.factors),
            jackknife(metric, codes, train.factors), n, "20 bins, error by the jackknife",
        )
        for name, metric in (
            ("mig", disentanglement.mig),
            ("modularity", disentanglement.modularity),
        )
    }  # fmt: skip

    def plain(value: float, how: str, count: int = n) -> Estimate:
        return Estimate(value, None, count, how)

    trees = disentanglement.dci(*data, seed=seed)
    told = f"fitted to {n:,} examples, tested on {len(held_out):,}"
    figures = smooth | {
        "sap": plain(disentanglement.sap(*data), f"linear SVMs, {told}"),
        "dci_disentanglement": plain(trees["disentanglement"], f"boosted trees, {told}"),
        "dci_completeness": plain(trees["completeness"], f"boosted trees, {told}"),
        "dci_informativeness_test": plain(trees["informativeness_test"], f"boosted trees, {told}"),
        "explicitness": plain(
            disentanglement.explicitness(*data)["test"], f"logistic regression, {told}"
        ),
        "irs": plain(disentanglement.irs(codes, train.factors), "0.99 quantile"),
    }
    if study.sampler is not None:
        points = {"num_train": settings.points, "num_eval": max(settings.points // 2, 2)}
        told = f"{points['num_train']:,} points of 64, tested on {points['num_eval']:,}"
        for name in ("beta_vae_score", "factor_vae_score"):
            score = getattr(disentanglement, name)(
                study.represent, study.sampler, **points, seed=seed,
                progress=study.progress(name.replace("_", " ")),
            )  # fmt: skip
            figures[name] = plain(score, told, points["num_eval"])
    return Section("Disentanglement", figures)
