"""log p(x) by annealed importance sampling with Hamiltonian Monte Carlo."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from ...core.checks import one_of, positive_int
from ...core.distributions import DiagonalNormal, Distribution, StandardNormal
from ...core.gaussian import clip_log_var
from ..passes import Progress, restored
from . import weighing
from .weighing import Batch

Weigh = Callable[[jax.Array], jax.Array]

_ACCEPTANCE = 0.65
"""The share of accepted proposals that step sizes are tuned to."""
FIRST_STEP = 0.5
"""Step size to begin with, in standard deviations of the initial distribution."""
_GAIN = 0.3
"""How fast the logarithm of a step size follows the acceptance."""


class Chain(NamedTuple):
    """Where the chains are: in units of the initial distribution, u with z = μ + σ ⊙ u."""

    u: Float[Array, "chains batch latents"]
    weight: Float[Array, "chains batch"]
    """log p(x, z) / p_0(z)."""
    slope: Float[Array, "chains batch latents"]
    """Its gradient with respect to u."""


def annealed_importance_sampling(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    chains: int = 16,
    steps: int = 1000,
    leapfrog: int = 10,
    initial: str = "prior",
    seed: int = 0,
    progress: Progress = iter,
) -> Float[np.ndarray, " n"]:
    r"""Return an estimate of log p(x) of each example by annealed importance sampling, in nats.

        log 1/C Σ_c w_c,  log w = Σ_t (β_t - β_{t-1}) log p(x, z_{t-1}) / p_0(z_{t-1}),

    along p_0(z)^{1-β} p(x, z)^β, from p_0 the prior or q(z|x) to the posterior. E[w] = p(x), so
    that the estimate lies below log p(x) on average, and the nearer the more steps and chains there
    are. A transition is one trajectory of Hamiltonian Monte Carlo. Its step size comes from a
    quarter as many chains that are run beside, tuned to accept 65%: tuned on the chains that count
    themselves, the estimate could come out above.

    Args:
        model: a VAE, of which p_0 is a diagonal Gaussian: the chains move in units of it.
        x: (n, *event), or a `Split`.
        y: labels (n,) or one for all, if the model is conditional.
        chains: C, of each example.
        steps: how many times β rises, as a sigmoid from -4 to 4; with 1 this is importance
            sampling with C samples of p_0.
        leapfrog: steps of a trajectory, each a gradient of the decoder.
        initial: p_0, "prior" or "posterior" for q(z|x); the first does not rest on the encoder.
        seed: of the chains; see `importance_weighted_bound`.
        progress: see `evaluation.passes.Progress`; cut short, the examples done are returned.

    Raises:
        ValueError: as `importance_weighted_bound`.

    References:
        Neal, Annealed Importance Sampling, Statistics and Computing 2001; Wu, Burda, Salakhutdinov
        & Grosse, On the Quantitative Analysis of Decoder-Based Generative Models, ICLR 2017.

    Examples:
        >>> from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder
        >>> rngs = nnx.Rngs(0)
        >>> model = VAE(MLPEncoder([8], 2, "relu", (5,), rngs=rngs),
        ...             MLPDecoder([8], (5,), 2, rngs=rngs), 2, likelihood="bce", rngs=rngs)
        >>> annealed_importance_sampling(model, np.ones((3, 5)), chains=4, steps=10).shape
        (3,)
    """
    weights = annealed_log_weights(
        model,
        x,
        y,
        chains=chains,
        steps=steps,
        leapfrog=leapfrog,
        initial=initial,
        seed=seed,
        progress=progress,
    )
    return np.asarray(jax.nn.logsumexp(weights, axis=1) - np.log(chains))


def annealed_log_weights(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    chains: int = 16,
    steps: int = 1000,
    leapfrog: int = 10,
    initial: str = "prior",
    seed: int = 0,
    progress: Progress = iter,
) -> Float[np.ndarray, "n chains"]:
    """Return log w of each chain, in nats: how far they spread tells how good the estimate is.

    The arguments are those of `annealed_importance_sampling`.
    """
    chains, steps = positive_int("chains", chains), positive_int("steps", steps)
    leapfrog = positive_int("leapfrog", leapfrog)
    one_of("initial", initial, ("prior", "posterior"))
    split = weighing.examples_to_bound("annealed_importance_sampling", model, x, y)
    betas = jnp.asarray(temperatures(steps), jnp.float32)
    options: dict[str, Any] = {"betas": betas, "chains": chains, "initial": initial}
    return weighing.run_steps(
        functools.partial(_begun, **options),
        functools.partial(_walked, leapfrog=leapfrog, **options),
        lambda walk: walk.log_w.T,
        model, split, steps - 1,
        size=max(1, weighing.rows_of(model, split) // chains), seed=seed, progress=progress,
    )  # fmt: skip


def temperatures(steps: int) -> Float[np.ndarray, " times"]:
    """Return β_0 = 0, ..., β_T = 1: sigmoids of evenly spaced numbers from -4 to 4, stretched."""
    sigmoid = 1 / (1 + np.exp(-np.linspace(-4, 4, steps + 1)))
    return (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])


class Walk(NamedTuple):
    """What is carried through the transitions of a batch."""

    chain: Chain
    """The chains that count."""
    log_w: Float[Array, "chains batch"]
    pilot: Chain
    """The chains that step sizes are tuned on."""
    log_size: Float[Array, " batch"]
    """Logarithm of the step size that the pilot chains have come to."""


def _weigher(graphdef: nnx.GraphDef, state: Any, batch: Batch, initial: str) -> tuple[Weigh, int]:
    """Return the function from u to log w of a batch, and the number of latents."""
    model = restored(graphdef, state)
    if initial == "prior":
        base = model.p_z(**batch.condition)
    else:
        base = model.posterior(weighing.encoded(model, batch))
    if (space := model.support.name) != "real":
        raise ValueError(
            f"annealed_importance_sampling: its chains move in R^n, and the latents of "
            f"{type(model.posterior).__name__} lie on a {space}: use importance_weighted_bound"
        )
    if not starts_from(base):
        other = "posterior" if initial == "prior" else "prior"
        raise ValueError(
            f"annealed_importance_sampling(initial={initial!r}): chains start from a diagonal "
            f"Gaussian, and this is a {type(base).__name__}: use initial={other!r}, or "
            "importance_weighted_bound"
        )
    mean, unit = base.mean, StandardNormal(base.event_size)
    log_var = clip_log_var(getattr(base, "log_var", jnp.zeros_like(mean)))

    def weigh(u: jax.Array) -> jax.Array:
        # From u itself: (z - μ) / σ would lose its digits where σ is small beside μ.
        log_q = unit.log_prob(u) - 0.5 * log_var.sum(-1)
        return weighing.log_joint(model, batch, mean + jnp.exp(0.5 * log_var) * u) - log_q

    return weigh, base.event_size


def starts_from(base: Distribution) -> bool:
    """Say whether chains can start from a distribution: a Gaussian of independent latents."""
    return type(base) in (DiagonalNormal, StandardNormal)


def _noise(keys: Key[Array, "chains batch"], latents: int) -> Float[Array, "chains batch latents"]:
    return jax.vmap(jax.vmap(StandardNormal(latents).sample))(keys)


def _keys_of(batch: Batch, chains: int) -> tuple[jax.Array, jax.Array]:
    """Return the keys of the chains that count, and of the pilot chains, a quarter as many."""
    keys = weighing.sample_keys(batch.keys, jnp.arange(chains + max(1, chains // 4)))
    return keys[:chains], keys[chains:]


@functools.partial(jax.jit, static_argnames=("graphdef", "chains", "initial"))
def _begun(
    graphdef: nnx.GraphDef,
    state: Any,
    batch: Batch,
    betas: Float[Array, " times"],
    *,
    chains: int,
    initial: str,
) -> Walk:
    """Return the chains of a batch before their first transition."""
    weigh, latents = _weigher(graphdef, state, batch, initial)
    chain, pilot = (_chain_at(weigh, _noise(keys, latents)) for keys in _keys_of(batch, chains))
    return Walk(
        chain=chain,
        log_w=betas[1] * chain.weight,
        pilot=pilot,
        log_size=jnp.full(len(batch.x), jnp.log(FIRST_STEP)),
    )


@functools.partial(jax.jit, static_argnames=("graphdef", "chains", "leapfrog", "initial"))
def _walked(
    graphdef: nnx.GraphDef,
    state: Any,
    batch: Batch,
    walk: Walk,
    first: Int[Array, ""],
    last: Int[Array, ""],
    betas: Float[Array, " times"],
    *,
    chains: int,
    leapfrog: int,
    initial: str,
) -> Walk:
    """Return the chains after the transitions from `first` to before `last`."""
    weigh, _ = _weigher(graphdef, state, batch, initial)
    keys, pilot_keys = _keys_of(batch, chains)

    def anneal(t: jax.Array, walk: Walk) -> Walk:
        beta, size = betas[t + 1], jnp.exp(walk.log_size)
        pilot, accepted = _transition(weigh, pilot_keys, walk.pilot, t + 1, beta, size, leapfrog)
        chain, _ = _transition(weigh, keys, walk.chain, t + 1, beta, size, leapfrog)
        log_w = walk.log_w + (betas[t + 2] - beta) * chain.weight
        return Walk(chain, log_w, pilot, _tuned(walk.log_size, accepted))

    return jax.lax.fori_loop(first, last, anneal, walk)


def _tuned(
    log_size: Float[Array, " batch"], accepted: Float[Array, "pilots batch"]
) -> Float[Array, " batch"]:
    """Return the logarithm of the next step size."""
    return log_size + _GAIN * (accepted.mean(0) - _ACCEPTANCE)


def _transition(
    weigh: Weigh,
    keys: Key[Array, "chains batch"],
    chain: Chain,
    number: Int[Array, ""],
    beta: Float[Array, ""],
    size: Float[Array, " batch"],
    leapfrog: int,
) -> tuple[Chain, Float[Array, "chains batch"]]:
    """Move by a trajectory that leaves N(u; 0, I) w(u)^β invariant; also return its acceptance."""
    keys = jax.vmap(jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, number))))(keys)
    momentum = _noise(keys[..., 0], chain.u.shape[-1])
    log_uniform = -jax.vmap(jax.vmap(jax.random.exponential))(keys[..., 1])
    size = size[:, None]

    def force(chain: Chain) -> jax.Array:
        return beta * chain.slope - chain.u

    def energy(chain: Chain, momentum: jax.Array) -> jax.Array:
        kinetic = 0.5 * jnp.square(momentum).sum(-1)
        return kinetic + 0.5 * jnp.square(chain.u).sum(-1) - beta * chain.weight

    def leap(_: jax.Array, carry: tuple[Chain, jax.Array]) -> tuple[Chain, jax.Array]:
        at, p = carry
        at = _chain_at(weigh, at.u + size * p)
        return at, p + size * force(at)

    half = momentum + 0.5 * size * force(chain)
    end, p = jax.lax.fori_loop(0, leapfrog, leap, (chain, half))
    gain = energy(chain, momentum) - energy(end, p - 0.5 * size * force(end))
    # A trajectory that ran away to where numbers are not finite is refused.
    gain = jnp.where(jnp.isnan(gain), -jnp.inf, gain)
    taken = log_uniform < gain
    moved = [
        jnp.where(taken if old.ndim == 2 else taken[..., None], new, old)
        for new, old in zip(end, chain, strict=True)
    ]
    return Chain(*moved), jnp.exp(jnp.minimum(gain, 0.0))


def _chain_at(weigh: Weigh, u: jax.Array) -> Chain:
    weight, back = jax.vjp(weigh, u)
    return Chain(u, weight, back(jnp.ones_like(weight))[0])
