"""How fast the importance-weighted bound is, beside the matrix products that it cannot do without.

    python benchmarks/likelihood.py [--samples 5000] [--examples 1000] [--rounds 3]

A VAE of 784 binary pixels under an MLP 784-512-256-20-256-512-784, whose numbers need not be
trained for this. The bare products are the decoder's three, jitted, of as many rows as a step of
the bound has and as often; the two take turns. With fewer samples or examples the run is shorter.
"""

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.data import Split
from workshop.generative_models.evaluation.bounds import importance_weighted_bound
from workshop.generative_models.evaluation.bounds.importance import layout
from workshop.generative_models.evaluation.bounds.weighing import rows_of
from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder

SIZES = (20, 256, 512, 784)
"""Of the decoder's layers."""
FLOPS = 2 * sum(a * b for a, b in itertools.pairwise(SIZES))
"""Of its products, for one sample."""


def make_model() -> VAE:
    rngs = nnx.Rngs(0)
    latents, *hidden, pixels = SIZES
    encoder = MLPEncoder(hidden[::-1], latents, "relu", (pixels,), rngs=rngs)
    decoder = MLPDecoder(hidden, (pixels,), latents, rngs=rngs)
    return VAE(encoder, decoder, latents, likelihood="bce", rngs=rngs)


def bare_products(rows: int, count: int) -> Callable[[], object]:
    """Return a function that takes `rows` latents through the products, `count` times over."""
    rng = np.random.default_rng(0)
    weights = [
        jnp.asarray(rng.normal(size=shape) * shape[0] ** -0.5, jnp.float32)
        for shape in itertools.pairwise(SIZES)
    ]
    z = jnp.asarray(rng.normal(size=(rows, SIZES[0])), jnp.float32)

    @jax.jit
    def products(z: jax.Array, weights: list[jax.Array]) -> jax.Array:
        def once(_: jax.Array, z: jax.Array) -> jax.Array:
            h = z
            for weight in weights:
                h = h @ weight
            # Each product waits for the last, so that none is left out or moved out of the loop.
            return z + 1e-6 * h[:, : SIZES[0]]

        return jax.lax.fori_loop(0, count, once, z)

    return lambda: products(z, weights).block_until_ready()


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure(examples: int, samples: int, rounds: int) -> dict:
    """Return the medians, in seconds, and the share of the products' speed."""
    model = make_model()
    x = (np.random.default_rng(0).random((examples, SIZES[-1])) < 0.2).astype(np.float32)
    size, step = layout(rows_of(model, Split(x)), examples, samples)
    count = -(-examples * samples // (size * step))
    ways = {
        "bound": lambda: importance_weighted_bound(model, x, samples=samples),
        "products": bare_products(size * step, count),
    }
    # Once before, to compile: the number of samples is no part of the program.
    importance_weighted_bound(model, x, samples=step * 2, progress=lambda starts: starts[:1])
    ways["products"]()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(rounds):
        print(f"  round {i + 1} of {rounds}", file=sys.stderr)
        for name, run in ways.items():
            times[name].append(seconds(run))
    pairs = zip(times["products"], times["bound"], strict=True)
    return {
        "examples": examples,
        "samples": samples,
        "step": (size, step),
        "seconds": {name: statistics.median(t) for name, t in times.items()},
        "of the products": statistics.median(p / b for p, b in pairs),
    }


def table(found: dict, rounds: int) -> list[str]:
    total = found["examples"] * found["samples"]
    bound, products = found["seconds"]["bound"], found["seconds"]["products"]
    head = ["examples × samples", "a step", "bound, s", "samples/s", "bare products, s"]
    head += ["GFLOP/s", "of the products' speed"]
    cells = [f"{found['examples']:,} × {found['samples']:,}", "{} × {}".format(*found["step"])]
    cells += [f"{bound:.1f}", f"{total / bound:,.0f}", f"{products:.1f}"]
    cells += [f"{total * FLOPS / products / 1e9:.0f}", f"{found['of the products']:.2f}"]
    return [
        f"| {' | '.join(head)} |",
        "|---|---|" + "---:|" * (len(head) - 2),
        f"| {' | '.join(cells)} |",
        "",
        f"Medians of {rounds} rounds; the two take turns.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="also write the numbers there")
    options = parser.parse_args()
    found = measure(options.examples, options.samples, options.rounds)
    print("\n".join(table(found, options.rounds)))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(found, file)


if __name__ == "__main__":
    main()
