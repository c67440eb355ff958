"""A variational autoencoder in scikit-learn's manner, for tables: pipelines, grid searches."""

import zlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Int
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration import (
    LOGITS,
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
)
from workshop.generative_models.core.configuration.likelihoods import in_any_units
from workshop.generative_models.core.containers import to_array
from workshop.generative_models.core.numbers import as_float32, kind_of, not_numbers, refuse_inexact
from workshop.generative_models.core.optimizers import create_optimizer
from workshop.generative_models.core.parameters import refuse_not_finite
from workshop.generative_models.data import Split
from workshop.generative_models.evaluation.bounds.importance import bound_of, layout
from workshop.generative_models.evaluation.bounds.terms import terms_of
from workshop.generative_models.evaluation.bounds.weighing import batch_of, example_keys, rows_of
from workshop.generative_models.evaluation.outputs import posteriors
from workshop.generative_models.evaluation.passes import PASS, in_passes, run_over
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.models.weights import variables
from workshop.generative_models.training import Trainer

_FLOATS: Any = [np.float64, np.float32]
"""What tables are read as; what comes back is of the same type. The model computes in float32."""


class VAEEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A variational autoencoder of rows of numbers.

    Columns may have any units: under "gaussian" and "laplace" the model works in standard
    deviations of each, learns a scale of the noise for each, and gives densities in the units of
    the data. Adam's learning rate falls to 0 along a cosine, which linear-Gaussian data needs to
    come within a hundredth of a nat of the best density.

    Args:
        latent_dim: size of z.
        hidden_dims: widths of the encoder's layers; the decoder has them in reverse.
        activation: between layers; "identity" makes the model linear, as PCA is.
        likelihood: log p(x|z): "gaussian" or "laplace", whose scale is learned for each column;
            "mse"; for columns in [0, 1] "bce" or "continuous_bernoulli".
        standardize: work in standard deviations of each column, from its mean; None does so under
            "gaussian" and "laplace", and True is an error under any other.
        beta: weight of the KL.
        max_iter: training steps.
        batch_size: rows in a step.
        learning_rate: the first one of Adam.
        bound: what `score_samples` gives: "elbo", or "importance", the importance-weighted bound.
        draws: samples of z of each row for it.
        random_state: of the initial weights, the order of rows and all samples.
        verbose: show a bar.

    Attributes:
        model_: the `VAE`; to keep it on disk use `model_.save_pretrained`, and not pickle, which
            runs code.
        history_: the rows of `Trainer.fit`.
        n_iter_: training steps taken.
        n_features_in_: columns.
        seed_: what `random_state` came to.

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014; Buitinck et al., API design
        for machine learning software: experiences from the scikit-learn project, 2013.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> vae = VAEEstimator(max_iter=50, random_state=0)
        >>> Z = vae.fit_transform(X)
        >>> Z.shape, vae.inverse_transform(Z).shape, vae.score_samples(X).shape
        ((150, 2), (150, 4), (150,))
    """

    def __init__(
        self,
        latent_dim: int = 2,
        hidden_dims: Sequence[int] = (64, 32),
        *,
        activation: str = "relu",
        likelihood: str = "gaussian",
        standardize: bool | None = None,
        beta: float = 1.0,
        max_iter: int = 2000,
        batch_size: int = 128,
        learning_rate: float = 3e-3,
        bound: str = "elbo",
        draws: int = 16,
        random_state: Any = None,
        verbose: bool = False,
    ):
        self.latent_dim = latent_dim
        self.hidden_dims = hidden_dims
        self.activation = activation
        self.likelihood = likelihood
        self.standardize = standardize
        self.beta = beta
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.bound = bound
        self.draws = draws
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> "VAEEstimator":  # noqa: ARG002
        """Train on rows.

        Args:
            X: (n, d), finite: an array, a data frame or lists.
            y: not read; scikit-learn's convention.

        Raises:
            ValueError: for data or settings that make no sense.
        """
        self._check_scoring()
        steps = checks.positive_int("max_iter", self.max_iter)
        rows = self._read(X, reset=True)
        config = self._config(rows.shape[1])
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.model_ = VAE(config, rngs=nnx.Rngs(self.seed_))
        trainer = Trainer(
            self.model_,
            create_optimizer("adam", float(self.learning_rate), steps=steps, schedule="cosine"),
            self.batch_size,
            self.seed_,
            progress=bool(self.verbose),
        )
        self.history_ = trainer.fit(as_float32("X", rows), steps=steps)
        self.n_iter_ = steps
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the mean of q(z|x) of each row, (n, latent_dim)."""
        rows = self._read(X)
        found = posteriors(self.model_, Split(_filled_up(as_float32("X", rows))))
        return found["mean"][: len(rows)].astype(rows.dtype)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return E[x|z] of each row of latents, (n, d).

        Args:
            X: latents (n, latent_dim).
        """
        check_is_fitted(self)
        Z: Any = check_array(X, dtype=_FLOATS)
        if Z.shape[1] != self.model_.latent_dim:
            raise ValueError(
                f"inverse_transform: X has shape {Z.shape}: expected (n, "
                f"{self.model_.latent_dim}), latents as transform gives them"
            )
        found = run_over(self.model_, _decode, Split(_filled_up(as_float32("X", Z))))
        return found[: len(Z)].astype(Z.dtype)

    def score_samples(self, X: Any) -> np.ndarray:
        """Return a lower bound on log p(x) of each row, in nats, (n,).

        The samples of z depend on the row's numbers and `seed_` alone: a row has the same score
        wherever it stands.
        """
        self._check_scoring()
        rows = self._read(X)
        x = _filled_up(as_float32("X", rows))
        self.model_.check_data(x)
        refuse_not_finite(self.model_)
        split = Split(x)
        graphdef, state = nnx.split(self.model_)
        keys = example_keys(jax.random.key(self.seed_), jnp.asarray(numbers_of(x)))
        if self.bound == "elbo":
            size, weigh = PASS, terms_of
        else:
            size, step = layout(rows_of(self.model_, split), PASS, self.draws)
            weigh = partial(bound_of, step=step)

        def one_pass(index: np.ndarray) -> dict[str, jax.Array]:
            batch = batch_of(self.model_, split.take(index), keys[jnp.asarray(index)])
            return weigh(graphdef, state, batch, jnp.asarray(self.draws))

        found = in_passes(one_pass, len(split), size=size)
        bound = found["bound"] if "bound" in found else -np.add(*found.values())
        return bound[: len(rows)]

    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002
        """Return the mean of `score_samples`: what a grid search makes as large as it can."""
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    def sample(self, n_samples: int = 1, *, observation_noise: bool = False) -> np.ndarray:
        """Return E[x|z] of z ~ N(0, I), (n_samples, d), or draws from p(x|z).

        As in scikit-learn's mixtures, an integer `random_state` makes every call the same.

        Args:
            n_samples: number of rows.
            observation_noise: draw x ~ p(x|z), with the likelihood's own noise, as rows of the
                training data have it, instead of its mean.
        """
        check_is_fitted(self)
        shape = checks.positive_int("n_samples", n_samples), self.model_.latent_dim
        random = check_random_state(self.random_state)
        if not observation_noise:
            return self.inverse_transform(random.standard_normal(shape))
        rngs = nnx.Rngs(int(random.randint(2**31 - 1)))
        made = self.model_.sample(n_samples, rngs=rngs, observation_noise=True)
        return np.asarray(made, np.float64)

    @property
    def _n_features_out(self) -> int:
        """How many names `get_feature_names_out` has to make."""
        return self.model_.latent_dim

    def _config(self, columns: int) -> VAEConfig:
        sizes: dict[str, Any] = {
            "latent_dim": checks.positive_int("latent_dim", self.latent_dim),
            "activation": self.activation,
        }
        widths = checks.shape("hidden_dims", self.hidden_dims)
        scaling = in_any_units(self.likelihood)
        if self.standardize is not None:
            scaling["standardize"] = bool(self.standardize)
        return VAEConfig(
            encoder=EncoderConfig(hidden_dims=widths, input_shape=(columns,), **sizes),
            decoder=DecoderConfig(
                hidden_dims=widths[::-1],
                output_shape=(columns,),
                output_activation="sigmoid" if self.likelihood in LOGITS else "identity",
                **sizes,
            ),
            kl_weight=float(self.beta),
            likelihood=self.likelihood,  # type: ignore[arg-type]
            **scaling,
        )

    def _check_scoring(self) -> None:
        checks.one_of("bound", self.bound, ("elbo", "importance"))
        checks.positive_int("draws", self.draws)

    def _read(self, X: Any, *, reset: bool = False) -> np.ndarray:
        """Return a table as scikit-learn checks it; `reset` makes its columns those to expect."""
        if not reset:
            check_is_fitted(self)
        X = to_array("X", X) if hasattr(X, "detach") else X  # a tensor
        try:
            checked: Any = validate_data(self, X, dtype=_FLOATS, reset=reset)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"X: {error}") from error
        given = to_array("X", X)
        given = np.asarray(given.tolist()) if given.dtype.kind == "O" else given
        if kind_of(given.dtype) not in "bifO":  # scikit-learn makes numbers of text and durations
            raise ValueError(not_numbers("X", given.dtype))
        if given.dtype == np.uint8:
            raise ValueError(
                "X is of type uint8, which stands for bytes, k / 255, in this library: give "
                "X / 255, or X.astype('float32') for the numbers as they are"
            )
        if given.dtype.kind in "iu":  # which became float64, where float32 would round them
            refuse_inexact("X", given)
        return checked

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # Workers and copies get the model as its configuration and weights.

    def __getstate__(self) -> dict[str, Any]:
        own: Any = super().__getstate__()  # perhaps the attributes themselves
        state = dict(own)
        model = state.pop("model_", None)
        if model is not None:
            weights = {name: np.asarray(v[...]) for name, v in variables(model).items()}
            state["_saved"] = (model.config.model_dump(mode="json"), weights)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        rest = dict(state)
        config, weights = rest.pop("_saved", (None, {}))
        super().__setstate__(rest)
        if config is not None:
            self.model_ = VAE(VAEConfig.model_validate(config), rngs=nnx.Rngs(self.seed_))
            for name, variable in variables(self.model_).items():
                variable[...] = jnp.asarray(weights[name])


def numbers_of(x: np.ndarray) -> Int[np.ndarray, " n"]:
    """Return a number of 31 bits for each row, from what the row holds."""
    sums = [zlib.crc32(row.tobytes()) & 0x7FFFFFFF for row in np.ascontiguousarray(x)]
    return np.array(sums, np.int32)


def _filled_up(x: np.ndarray) -> np.ndarray:
    """Return at least the rows of one pass: of few, whose number varies, one program is enough."""
    return np.concatenate([x, np.repeat(x[-1:], max(PASS - len(x), 0), axis=0)])


def _decode(model: VAE, x: jax.Array) -> jax.Array:
    return model.decode(x)
