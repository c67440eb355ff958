"""How long a training step takes under each objective, beside the ELBO's step and bare passes.

    python benchmarks/objectives.py [--only iwae,dreg] [--case MLP] [--seconds 1] [--rounds 5]

Every objective of the package, with its defaults, on the same networks, data and optimiser. A step
is that of `Trainer.fit`: gradient, update, a critic's update, statistics. Bare passes are the
encoder forward and back, and the decoder forward and back for as many samples as the objective
has, with fixed latents and fixed gradients of the outputs: no likelihood, sampling or optimiser.
"With likelihood", the decoder's gradient is that of log p(x|z). All loops are compiled before they
are timed, and then take turns for several rounds. What an objective cannot do with these networks
and data is told below the table.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from pydantic import ValidationError

from cases import BATCH, CASES, EXAMPLES, MLP, build, examples
from loops import Loop, steps_in, timed
from workshop.generative_models.core.configuration import COMPONENT_CONFIGS, PointMassConfig
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.training import Trainer
from workshop.generative_models.training.step import Feed, init_state, train_steps

ELBO = "elbo"
OF_ELBO, CRITIC_ON_TWO_HALVES, OF_PASSES = 1.3, 1.6, 1.15
"""What a step may cost at most: of the ELBO's with one sample, of the passes with several."""
ROWS = 512
"""Batches of indices that the loop is given; longer runs begin again."""


def model_under(case: str, kind: str, samples: int | None) -> VAE:
    """Return a case's model with an objective, and with a point mass where it wants no density."""
    network, config = CASES[case]
    of_kind = COMPONENT_CONFIGS["objective"][kind]
    objective = of_kind()
    if samples and getattr(objective, "samples", 1) > 1:
        try:
            objective = of_kind(samples=samples)
        except ValidationError:
            print(f"  {kind} keeps its default: samples={samples} do not fit", file=sys.stderr)
    given = dict(config) | {"objective": objective}
    try:
        return network(type(config)(**given), rngs=nnx.Rngs(0))
    except ValueError:
        point = given | {"posterior": PointMassConfig()}
        return network(type(config)(**point), rngs=nnx.Rngs(0))


def step_loop(model: VAE, x: np.ndarray) -> Loop:
    """Return the trainer's compiled loop of steps."""
    trainer = Trainer(model, optax.adam(1e-3), BATCH, progress=False)
    data = {"x": jnp.asarray(x)}
    rows = np.random.default_rng(0).integers(0, len(x), (ROWS, BATCH)).astype(np.int32)
    first = jnp.zeros((), jnp.int32)
    graphdef, state = init_state(model, trainer.plan, {"x": data["x"][:BATCH]})
    held = [state]
    seed, count = jnp.asarray(0), jnp.asarray(len(x))

    def run(steps: int) -> None:
        for begin in range(0, steps, ROWS):
            feed = Feed(data, jnp.asarray(rows), first)
            many = jnp.asarray(min(ROWS, steps - begin))
            held[0] = train_steps(graphdef, trainer.plan, held[0], feed, many, seed, count)
        jax.block_until_ready(held[0])
        if int(held[0].failed) >= 0:
            raise FloatingPointError(f"a loss was not finite at step {int(held[0].failed)}")

    return run


def bare_loop(model: VAE, x: np.ndarray, samples: int, *, likelihood: bool) -> Loop:
    """Return a loop of bare passes: the encoder's of a batch, the decoder's of `samples` of it."""
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    noise = np.random.default_rng(0)
    batch = jnp.asarray(x[:BATCH])
    z = jnp.asarray(noise.normal(size=(samples * BATCH, model.latent_dim)), jnp.float32)

    def encode(params: nnx.State, x: jax.Array) -> Any:
        return nnx.merge(graphdef, params, rest).encoder(x)

    def decode(params: nnx.State, z: jax.Array, x: jax.Array) -> jax.Array:
        model = nnx.merge(graphdef, params, rest)
        made = model.decoder(z)
        if not likelihood:
            return made
        rows = jnp.broadcast_to(x, (samples, *x.shape)).reshape(-1, *x.shape[1:])
        return model.log_likelihood(rows, {"logits": made, "reconstructed": made})

    def like(made: Any) -> Any:
        return jax.tree.map(lambda a: jnp.asarray(noise.normal(size=a.shape), a.dtype), made)

    of_features = like(jax.eval_shape(encode, params, batch))
    of_output = like(jax.eval_shape(decode, params, z, batch))

    @jax.jit
    def passes(params: nnx.State, x: jax.Array, z: jax.Array, of_features: Any, of_output: Any):
        features, encoder_back = jax.vjp(lambda p: encode(p, x), params)
        output, decoder_back = jax.vjp(lambda p, z: decode(p, z, x), params, z)
        of_decoder, of_z = decoder_back(of_output)
        gradient = jax.tree.map(jnp.add, encoder_back(of_features)[0], of_decoder)
        # Outputs that nothing reads would not be computed: fixed gradients do not need them.
        return gradient, of_z, jax.tree.map(jnp.sum, (features, output))

    def run(steps: int) -> None:
        for _ in range(steps):
            jax.block_until_ready(passes(params, batch, z, of_features, of_output))

    return run


def prepared(
    case: str, kinds: list[str], samples: int | None
) -> tuple[dict[str, Loop], dict[str, int], dict[str, str]]:
    """Return loops that have run by name, the samples of each objective, and what did not run."""
    x = examples(case)
    loops: dict[str, Loop] = {}
    counts: dict[str, int] = {}
    missing: dict[str, str] = {}
    for kind in kinds:
        print(f"  compiling {kind}", file=sys.stderr)
        try:
            model = model_under(case, kind, samples)
            loop = step_loop(model, x)
            loop(2)
        except Exception as error:  # the others are measured all the same
            missing[kind] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        loops[kind], counts[kind] = loop, getattr(model.objective, "samples", 1)
    plain = build(case)
    for count in sorted(set(counts.values())):
        loops[bare(count)] = bare_loop(plain, x, count, likelihood=False)
        loops[with_likelihood(count)] = bare_loop(plain, x, count, likelihood=True)
        for name in (bare(count), with_likelihood(count)):
            loops[name](2)
    return loops, counts, missing


def bare(samples: int) -> str:
    return f"bare passes, {samples} samples"


def with_likelihood(samples: int) -> str:
    return f"{bare(samples)}, with likelihood"


def measure(loops: dict[str, Loop], seconds: float, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of a step of each loop in each round; they take turns."""
    steps = {name: steps_in(loop, seconds) for name, loop in loops.items()}
    times: dict[str, list[float]] = {name: [] for name in loops}
    names = list(loops)
    for turn in range(rounds):
        print(f"  round {turn + 1} of {rounds}", file=sys.stderr)
        first = turn % len(names)  # no loop always follows the same one
        for name in names[first:] + names[:first]:
            times[name].append(timed(loops[name], steps[name]) / steps[name])
    return times


def ratio(these: list[float], those: list[float]) -> float:
    """Return the median over the rounds of a ratio of times."""
    return statistics.median(a / b for a, b in zip(these, those, strict=True))


def limit(kind: str, samples: int) -> str:
    if samples > 1:
        return f"{OF_PASSES} × bare"
    return f"{CRITIC_ON_TWO_HALVES if 'factor' in kind else OF_ELBO} × ELBO"


def table(
    times: dict[str, list[float]], counts: dict[str, int], missing: dict[str, str]
) -> list[str]:
    lines = [
        "| objective | samples | ms a step | × ELBO's step | × bare passes | × with likelihood | "
        "at most |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for kind, samples in counts.items():
        mine = times[kind]
        of_passes = [
            f"{ratio(mine, times[name]):.2f}" for name in (bare(samples), with_likelihood(samples))
        ]
        cells = [
            kind,
            str(samples),
            f"{1e3 * statistics.median(mine):.2f} ({1e3 * min(mine):.2f} to {1e3 * max(mine):.2f})",
            f"{ratio(mine, times[ELBO]):.2f}",
            *of_passes,
            limit(kind, samples),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("\n| passes | ms |\n|---|---:|")
    lines += [
        f"| {name} | {1e3 * statistics.median(values):.2f} |"
        for name, values in times.items()
        if name not in counts
    ]
    return [*lines, "", *(f"{kind} is left out. {why}" for kind, why in missing.items())]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="kinds of objectives, such as iwae,dreg; the ELBO is added")
    parser.add_argument("--case", default=MLP, help="part of the name of the networks")
    parser.add_argument("--samples", type=int, help="of the objectives that have several")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each loop in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    args = parser.parse_args()
    case = next(name for name in CASES if args.case in name)
    kinds = args.only.split(",") if args.only else list(COMPONENT_CONFIGS["objective"])
    loops, counts, missing = prepared(case, list(dict.fromkeys([ELBO, *kinds])), args.samples)
    times = measure(loops, args.seconds, args.rounds)
    print(f"{case}, batches of {BATCH} from {EXAMPLES:,} random examples, Adam.\n")
    print("\n".join(table(times, counts, missing)))
    print(f"\nMedian of {args.rounds} rounds (fastest to slowest); ratios within each round.")
    if args.json:
        args.json.write_text(json.dumps({"seconds": times, "samples": counts, "missing": missing}))


if __name__ == "__main__":
    main()
