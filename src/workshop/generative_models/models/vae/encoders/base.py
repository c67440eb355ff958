"""The base class of encoders, and what fits one to a posterior."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import inside_transformation, is_concrete
from workshop.generative_models.core.building import accepts_config
from workshop.generative_models.core.configuration import EncoderConfig
from workshop.generative_models.core.layers import activation_by_name
from workshop.generative_models.core.pickling import Picklable
from workshop.generative_models.core.typing import ArrayLike, DTypeLike, Precision

_SMALL = nnx.initializers.variance_scaling(0.1**2, "fan_in", "truncated_normal")
"""A tenth of the usual initial weights."""


class Encoder(Picklable, nnx.Module):
    """What every encoder shares: shapes, projections, and building at the first call.

    Args:
        hidden_dims: widths or channels of the layers, in the order in which data flows.
        latent_dim: size of z.
        activation: activation between layers, by name.
        input_dim: shape of one example. Without it the layers are built at the first eager call.
        rngs: for the initial weights.
        pooling: "flatten" keeps every pixel of the last map for the projections, "mean" their mean.
        dtype: type to compute in; parameters stay float32.
        precision: precision of matrix products.

    Attributes:
        latent_dim: size of z.
        mean_proj: the projection to μ.
        logvar_proj: the projection to log σ², or None for an encoder of maps, or of a posterior
            that has none.
        heads: projections to the other features of the posterior, by name. Their weights start
            small, so that q(z|x) starts near the Gaussian of μ and σ²; a full covariance or a flow
            that starts elsewhere trains more slowly.
    """

    config_class = EncoderConfig
    takes_images = False
    spatial = False
    gives_log_var = True
    further: tuple[tuple[str, int], ...] = ()
    """Names and sizes of features besides mean and log-variance; see `with_features`."""

    @accepts_config
    def __init__(
        self,
        hidden_dims: Sequence[int],
        latent_dim: int,
        activation: str = "relu",
        input_dim: Sequence[int] | int | None = None,
        *,
        rngs: nnx.Rngs,
        pooling: str = "flatten",
        dtype: DTypeLike | None = None,
        precision: Precision = None,
    ):
        self.config: EncoderConfig | None = None
        self.hidden_dims = checks.shape("hidden_dims", hidden_dims)
        self.latent_dim = checks.positive_int("latent_dim", latent_dim)
        activation_by_name(activation)
        self.activation = activation
        self.pooling = checks.one_of("pooling", pooling, ("flatten", "mean"))
        if pooling == "mean" and not self.takes_images:
            raise ValueError("pooling='mean' needs a convolutional encoder")
        self.dtype, self.precision = dtype, precision
        self.input_dim: tuple[int, ...] | None = None
        self.pending_rngs: nnx.Rngs | None = nnx.data(rngs)
        if input_dim is not None:
            self.build(input_dim, rngs)

    def build(self, input_dim: Sequence[int] | int, rngs: nnx.Rngs) -> None:
        """Make the layers, anew if there were any, for examples of shape `input_dim`."""
        make_shape = checks.image_shape if self.takes_images else checks.shape
        self.input_dim = make_shape("input_dim", input_dim)
        self.pending_rngs = None
        self.backbone, features = self._build_backbone(rngs)
        self._build_projections(features, rngs)

    @property
    def _numerics(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "precision": self.precision}

    def _build_backbone(self, rngs: nnx.Rngs) -> tuple[nnx.Module, tuple[int, ...]]:
        """Return the layers up to the projections, and the shape of what they give."""
        raise NotImplementedError

    def _build_projections(self, features: tuple[int, ...], rngs: nnx.Rngs) -> None:
        self.feature_shape = features
        self.mean_proj = self._projection(self.latent_dim, rngs)
        self.logvar_proj = nnx.data(
            None if self.spatial else self._projection(self.latent_dim, rngs)
        )
        self._build_heads(rngs)

    def _projection(self, width: int, rngs: nnx.Rngs, **options: Any) -> nnx.Linear:
        features = self.feature_shape
        size = features[-1] if self.spatial or self.pooling == "mean" else prod(features)
        return nnx.Linear(size, width, rngs=rngs, **options, **self._numerics)

    def _build_heads(self, rngs: nnx.Rngs) -> None:
        """Make the projections to further features, and leave out that to log σ² if unused."""
        if not self.gives_log_var:
            self.logvar_proj = None
        self.heads = nnx.Dict(
            {name: self._projection(n, rngs, kernel_init=_SMALL) for name, n in self.further}
        )

    def with_features(self, sizes: Mapping[str, int], rngs: nnx.Rngs) -> "Encoder":
        """Return a copy with a new layer for each feature besides "mean" and "log_var"."""
        encoder = nnx.clone(self)
        encoder.gives_log_var = "log_var" in sizes
        encoder.further = tuple((n, k) for n, k in sizes.items() if n not in ("mean", "log_var"))
        if self.input_dim is not None:
            encoder._build_heads(rngs)
        return encoder

    def as_map(self, channels: int, rngs: nnx.Rngs) -> "Encoder":
        """Return a copy that gives a map (batch, H', W', channels) instead of a vector."""
        encoder = nnx.clone(self)
        encoder.spatial, encoder.latent_dim = True, channels
        if self.input_dim is not None:
            encoder._build_projections(self.feature_shape, rngs)
        return encoder

    def __call__(
        self,
        x: ArrayLike,
        *,
        rngs: nnx.Rngs | None = None,  # noqa: ARG002 - the reference's signature; nothing is random
    ) -> Any:
        """Return mean and log-variance, each (batch, latent_dim), or (latent_dim,) of one example.

        With further features this is a dict of all features by name; see `with_features`.

        Args:
            x: (batch, *input_dim), or one example.
            rngs: unused, for encoders that are random.
        """
        x = jnp.asarray(x)
        self._build_for(x)
        single = x.shape == self.input_dim
        h = self.backbone(self._as_input(x[None] if single else x))
        if not self.spatial:
            h = h.mean((1, 2)) if self.pooling == "mean" else self.flatten(h)
        mean = self.mean_proj(h)
        log_var = jnp.zeros_like(mean) if self.logvar_proj is None else self.logvar_proj(h)
        output: Any = (mean, log_var)
        if self.further:
            heads = {name: self.heads[name](h) for name, _ in self.further}
            output = {"mean": mean, "log_var": log_var, **heads}
        return jax.tree.map(lambda a: a[0], output) if single else output

    def _build_for(self, x: jax.Array) -> None:
        if self.input_dim is not None:
            return
        # Under grad x may be concrete; layers made there would get no gradient.
        if inside_transformation() or not is_concrete(x):
            raise ValueError(
                f"{type(self).__name__}(input_dim=None) cannot be built inside a transformation "
                "such as jit or grad: give it input_dim, or call it once outside"
            )
        if x.ndim < 2:
            raise ValueError(
                f"{type(self).__name__}(input_dim=None) got x of shape {x.shape}: its first call "
                "needs a batch (batch, ...), or give it input_dim"
            )
        assert self.pending_rngs is not None
        self.build(x.shape[1:], self.pending_rngs)

    def _as_input(self, x: jax.Array) -> jax.Array:
        if x.shape[1:] != self.input_dim:
            raise ValueError(
                f"{type(self).__name__}: x has shape {x.shape}, expected (batch, "
                f"{', '.join(map(str, self.input_dim or ()))}) (input_dim)"
            )
        return x

    @staticmethod
    def flatten(x: jax.Array) -> jax.Array:
        """Return (batch, features)."""
        return x.reshape(x.shape[0], -1)


def fit_features(encoder: Any, sizes: Mapping[str, int], rngs: nnx.Rngs | None) -> nnx.Module:
    """Return an encoder that gives a posterior's features; one of your own stays as it is."""
    if not hasattr(encoder, "with_features") or {*sizes} == {"mean", "log_var"}:
        return encoder
    if rngs is None and {*sizes} - {"mean", "log_var"}:
        raise ValueError(
            f"the posterior reads {sorted(sizes)} and rngs=None: pass rngs for new layers of the "
            "encoder"
        )
    return encoder.with_features(sizes, rngs)
