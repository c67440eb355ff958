"""log p(x) by annealed importance sampling with Hamiltonian Monte Carlo."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from workshop.generative_models.core.checks import one_of, positive_int
from workshop.generative_models.core.distributions import (
    DiagonalNormal,
    Distribution,
    StandardNormal,
)
from workshop.generative_models.core.gaussian import clip_log_var
from workshop.generative_models.evaluation.bounds.scale import refuse_moving_scale
from workshop.generative_models.evaluation.bounds.weighing import (
    Batch,
    encoded,
    examples_of,
    log_joint,
    refuse_no_density,
    rows_of,
    run_steps,
    sample_keys,
)
from workshop.generative_models.evaluation.passes import Progress, restored

Weigh = Callable[[jax.Array], jax.Array]

ACCEPTANCE = 0.65
"""The share of accepted proposals that step sizes are tuned to."""
FIRST_STEP = 0.5
"""Step size to begin with, in standard deviations of the initial distribution."""
GAIN = 0.3
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
    are. A transition is one trajectory of Hamiltonian Monte Carlo. Its step size, for each example
    and temperature, comes from a quarter as many chains that are run before, tuned to accept 65%,
    and is fixed for the chains that count: tuned on themselves, they would no longer leave the
    distributions between invariant, and the estimate could come out above.

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
        ValueError: for data that does not fit the model, a model whose latents are codes, or a
            scale that is chosen by each batch (see `fix_scale`).

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
    where = "annealed_importance_sampling"
    chains, steps = positive_int("chains", chains), positive_int("steps", steps)
    static = {
        "chains": chains,
        "leapfrog": positive_int("leapfrog", leapfrog),
        "initial": one_of("initial", initial, ("prior", "posterior")),
    }
    refuse_no_density(where, model, codes=False)
    refuse_moving_scale(where, model)
    split = examples_of(where, model, x, y)
    betas = jnp.asarray(temperatures(steps), jnp.float32)

    def begin(graphdef: nnx.GraphDef, state: Any, batch: Batch) -> Walk:
        return begun(graphdef, state, batch, betas, **static)

    def advance(
        graphdef: nnx.GraphDef, state: Any, batch: Batch, walk: Walk, first: Any, last: Any
    ) -> Walk:
        return walked(graphdef, state, batch, walk, first, last, betas, **static)

    size = max(1, rows_of(model, split) // chains)
    return run_steps(
        begin, advance, lambda walk: (walk.before + walk.added).T,
        model, split, max(1, 2 * (steps - 1)), size=size, seed=seed, progress=progress,
    )  # fmt: skip


def temperatures(steps: int) -> Float[np.ndarray, " times"]:
    """Return β_0 = 0, ..., β_T = 1: sigmoids of evenly spaced numbers from -4 to 4, stretched."""
    sigmoid = 1 / (1 + np.exp(-np.linspace(-4, 4, steps + 1)))
    return (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])


class Walk(NamedTuple):
    """What is carried through the transitions of a batch: first those of the pilot chains."""

    chain: Chain
    """The chains that count."""
    before: Float[Array, "chains batch"]
    """log w at the first temperature."""
    added: Float[Array, "chains batch"]
    """What the transitions added to it."""
    pilot: Chain
    """The chains that step sizes are tuned on."""
    log_size: Float[Array, " batch"]
    """Logarithm of the step size that the pilot chains have come to."""
    sizes: Float[Array, "times batch"]
    """The step size of each temperature."""


def _weigher(graphdef: nnx.GraphDef, state: Any, batch: Batch, initial: str) -> tuple[Weigh, int]:
    """Return the function from u to log w of a batch, and the number of latents."""
    model = restored(graphdef, state)
    if initial == "prior":
        base = model.p_z(**batch.condition)
    else:
        base = model.posterior(encoded(model, batch))
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
        return log_joint(model, batch, mean + jnp.exp(0.5 * log_var) * u) - log_q

    return weigh, base.event_size


def starts_from(base: Distribution) -> bool:
    """Say whether chains can start from a distribution: a Gaussian of independent latents."""
    return type(base) in (DiagonalNormal, StandardNormal)


def _noise(keys: Key[Array, "chains batch"], latents: int) -> Float[Array, "chains batch latents"]:
    """Return ε ~ N(0, I) of each chain: the same however they are gathered in steps."""
    return jax.vmap(jax.vmap(StandardNormal(latents).sample))(keys)


def _keys_of(batch: Batch, chains: int) -> tuple[jax.Array, jax.Array]:
    """Return the keys of the chains that count, and of the pilot chains, a quarter as many."""
    pilot = chains + jnp.arange(max(1, chains // 4))
    return sample_keys(batch.keys, jnp.arange(chains)), sample_keys(batch.keys, pilot)


_STATIC = ("graphdef", "chains", "leapfrog", "initial")


@functools.partial(jax.jit, static_argnames=_STATIC)
def begun(
    graphdef: nnx.GraphDef,
    state: Any,
    batch: Batch,
    betas: Float[Array, " times"],
    *,
    chains: int,
    leapfrog: int,  # noqa: ARG001
    initial: str,
) -> Walk:
    """Return the chains of a batch before their first transition."""
    weigh, latents = _weigher(graphdef, state, batch, initial)
    chain, pilot = (
        Chain(*_weighed(weigh, _noise(keys, latents))) for keys in _keys_of(batch, chains)
    )
    return Walk(
        chain=chain,
        before=betas[1] * chain.weight,
        added=jnp.zeros_like(chain.weight),
        pilot=pilot,
        log_size=jnp.full(len(batch.x), jnp.log(FIRST_STEP)),
        sizes=jnp.zeros((len(betas) - 2, len(batch.x))),
    )


@functools.partial(jax.jit, static_argnames=_STATIC)
def walked(
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
    """Return the chains after the steps from `first` to before `last`.

    A step is a transition at one temperature: first of the pilot chains at all of them, and then of
    the chains that count.
    """
    times = len(betas) - 2
    if times == 0:
        return walk
    weigh, _ = _weigher(graphdef, state, batch, initial)
    keys, pilot_keys = _keys_of(batch, chains)

    def tune(t: jax.Array, walk: Walk) -> Walk:
        return _tune(weigh, pilot_keys, walk, t, betas[t + 1], leapfrog)

    def anneal(t: jax.Array, walk: Walk) -> Walk:
        chain, _ = _transition(
            weigh, keys, walk.chain, t + 1, betas[t + 1], walk.sizes[t], leapfrog
        )
        rise = betas[t + 2] - betas[t + 1]
        return walk._replace(chain=chain, added=walk.added + rise * chain.weight)

    def clipped(step: jax.Array) -> jax.Array:
        return jnp.clip(step, 0, times)

    walk = jax.lax.fori_loop(clipped(first), clipped(last), tune, walk)
    return jax.lax.fori_loop(clipped(first - times), clipped(last - times), anneal, walk)


def _tune(
    weigh: Weigh,
    keys: jax.Array,
    walk: Walk,
    t: Int[Array, ""],
    beta: Float[Array, ""],
    leapfrog: int,
) -> Walk:
    """Move the pilot chains at the temperature of number `t`, and tune the step size by them."""
    size = jnp.exp(walk.log_size)
    pilot, accepted = _transition(weigh, keys, walk.pilot, t + 1, beta, size, leapfrog)
    log_size = walk.log_size + GAIN * (accepted.mean(0) - ACCEPTANCE)
    return walk._replace(pilot=pilot, log_size=log_size, sizes=walk.sizes.at[t].set(size))


def _transition(
    weigh: Weigh,
    keys: Key[Array, "chains batch"],
    chain: Chain,
    number: Int[Array, ""],
    beta: Float[Array, ""],
    size: Float[Array, " batch"],
    leapfrog: int,
) -> tuple[Chain, Float[Array, "chains batch"]]:
    """Move by one trajectory of HMC that leaves N(u; 0, I) w(u)^β invariant.

    Returns the chain and the probability with which each proposal was accepted.
    """
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
        at = Chain(*_weighed(weigh, at.u + size * p))
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


def _weighed(weigh: Weigh, u: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return u, its log-weight and the gradient of that."""
    weight, back = jax.vjp(weigh, u)
    return u, weight, back(jnp.ones_like(weight))[0]
