"""How fast trained models draw samples and encode, and how training time grows.

    python benchmarks/throughput.py [--seconds 0.5] [--rounds 3] [--torch PYTHON]

Samples are drawn from the prior and decoded to probabilities, and examples are encoded to means
and variances, in batches that are each awaited: by `model.sample` and `model.encode` as they are
called, by the same under `jax.jit`, and with `--torch` by PyTorch without gradients, tuned as in
training.py and under `torch.compile`. The ways take turns for several rounds.

For the growth of training, `Trainer.fit` runs with one thing changed at a time; what its first
step costs is taken off, as a call for a single step has it, and told apart.
"""

import argparse
import itertools
import json
import statistics
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from cases import CNN, EXAMPLES, MLP, PEER_NAMES, build, examples, networks
from loops import Loop, steps_in, timed
from peers import Peer, Unavailable
from workshop.generative_models.core.configuration import VAEConfig
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.training import Trainer

SIZES = (128, 1024)
COMPILED, CALLED = "under `jax.jit`", "as called"
PEERS = {"infer": "PyTorch, tuned", "infer-compile": "PyTorch, `torch.compile`"}
WAYS = (COMPILED, CALLED, *PEERS.values())


def own_loops(case: str, what: str, size: int) -> dict[str, Loop]:
    """Return the ways of this library to run a number of batches."""
    model = build(case)
    graphdef, state = nnx.split(model)
    batch = jnp.asarray(examples(case, size))
    keys = jax.random.split(jax.random.key(0), 64)

    @jax.jit
    def compiled(state: nnx.State, key: jax.Array, batch: jax.Array) -> object:
        merged = nnx.merge(graphdef, state)
        return merged.sample(size, rngs=nnx.Rngs(key)) if what == "sample" else merged.encode(batch)

    def compiled_loop(batches: int) -> None:
        for i in range(batches):
            jax.block_until_ready(compiled(state, keys[i % len(keys)], batch))

    def called_loop(batches: int) -> None:
        for _ in range(batches):
            jax.block_until_ready(model.sample(size) if what == "sample" else model.encode(batch))

    return {COMPILED: compiled_loop, CALLED: called_loop}


def peer_loop(peer: Peer, what: str, size: int) -> Loop:
    return lambda batches: peer(what, size, batches)


def start_peers(case: str, python: str | None, notes: list[str]) -> dict[str, Peer]:
    started = {}
    for loop, title in PEERS.items() if python else ():
        try:
            started[title] = Peer(python, "torch_peer.py", PEER_NAMES[case], loop, tuned=True)
        except Unavailable as error:
            notes.append(f"{title} did not start: {error}.")
    return started


def rates(loops: dict[str, Loop], size: int, seconds: float, rounds: int) -> dict[str, list[float]]:
    """Return examples a second of each way in each round."""
    batches = {way: steps_in(loop, seconds) for way, loop in loops.items()}
    measured: dict[str, list[float]] = {way: [] for way in loops}
    for _ in range(rounds):
        for way, loop in loops.items():
            measured[way].append(batches[way] * size / timed(loop, batches[way]))
    return measured


def row(measured: dict[str, list[float]]) -> tuple[list[str], float | None]:
    """Return the cells of a table's row, and the ratio to the best of PyTorch."""
    medians = {way: statistics.median(values) for way, values in measured.items()}
    cells = [f"{medians[way]:,.0f}" if way in medians else "-" for way in WAYS]
    theirs = [way for way in PEERS.values() if way in medians]
    if not theirs:
        return [*cells, "-"], None
    best = max(theirs, key=medians.__getitem__)
    ratio = statistics.median(
        a / b for a, b in zip(measured[COMPILED], measured[best], strict=True)
    )
    return [*cells, f"{ratio:.2f}"], ratio


def using(seconds: float, rounds: int, torch: str | None) -> tuple[list[str], list[dict]]:
    """Measure samples and codes; return Markdown and numbers."""
    head = ["", "batch", *WAYS, "`jax.jit` to the best of PyTorch"]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    numbers: list[dict] = []
    notes: list[str] = []
    for case in (MLP, CNN):
        peers = start_peers(case, torch, notes)
        for what, size in itertools.product(("sample", "encode"), SIZES):
            print(f"  {what} {case}, {size}", file=sys.stderr)
            loops = own_loops(case, what, size)
            loops |= {title: peer_loop(peer, what, size) for title, peer in peers.items()}
            cells, ratio = row(rates(loops, size, seconds, rounds))
            lines.append(f"| {what}, {case} | {size:,} | {' | '.join(cells)} |")
            numbers.append({"what": what, "case": case, "batch": size, "ratio": ratio})
        for peer in peers.values():
            peer.close()
    return [*lines, "", f"Examples a second, median of {rounds} rounds.", *notes], numbers


def fit_loop(config: VAEConfig, batch: int, count: int) -> Loop:
    model = VAE(config, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).random((count, *config.encoder.input_shape), np.float32)
    optimizer = optax.adam(1e-3)
    return lambda steps: Trainer(model, optimizer, batch, progress=False).fit(x, steps=steps)


def steps_beyond_first(loop: Loop, seconds: float) -> int:
    """Return how many steps take so long beyond what a call for one step costs."""
    one, steps = timed(loop, 1), 16
    while (taken := timed(loop, steps) - one) < seconds / 4:
        steps *= 4
    return max(round(seconds * steps / taken), 2)


def growth(seconds: float, rounds: int) -> list[str]:
    """Measure training with one thing changed at a time; return Markdown."""
    lines = [
        "| hidden sizes | batch | examples | ms a step | samples/s | first step, s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    usual = {"width": 1.0, "batch": 128, "count": EXAMPLES}
    changes = [{"batch": 32}, {}, {"batch": 512}, {"width": 0.5}, {"width": 2.0}]
    changes += [{"count": 20_000}, {"count": 60_000}]
    for settings in (usual | change for change in changes):
        width, batch, count = settings.values()
        hidden = tuple(int(width * size) for size in (512, 256))
        print(f"  fit {hidden}, batch {batch}, {count} examples", file=sys.stderr)
        loop = fit_loop(VAEConfig(likelihood="bce", **networks(hidden, (784,))), batch, count)
        loop(2)
        steps = steps_beyond_first(loop, seconds)
        pairs = [(timed(loop, 1), timed(loop, steps)) for _ in range(rounds)]
        first = statistics.median(one for one, _ in pairs)
        step = statistics.median((all_ - one) / (steps - 1) for one, all_ in pairs)
        lines.append(
            f"| {hidden[0]}, {hidden[1]} | {batch} | {count:,} | {step * 1e3:.2f} | "
            f"{batch / step:,.0f} | {first:.2f} |"
        )
    note = (
        f"`Trainer.fit` on {MLP} and its like, median of {rounds} rounds. The first step is that "
        "of a call whose programs are compiled; it is no part of the other figures."
    )
    return [*lines, "", note]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="of each way in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", metavar="PYTHON", help="a Python that has torch")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    args = parser.parse_args()
    lines, numbers = using(args.seconds, args.rounds, args.torch)
    print("### Samples and codes\n", *lines, sep="\n", flush=True)
    print("\n### How training grows\n", *growth(5 * args.seconds, args.rounds), sep="\n")
    if args.json:
        args.json.write_text(json.dumps({"using": numbers}))


if __name__ == "__main__":
    main()
