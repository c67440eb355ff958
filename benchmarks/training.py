"""Training speed, in samples a second: the trainer against loops by hand, in JAX and PyTorch.

    python benchmarks/training.py [--seconds 2.5] [--rounds 3] [--torch PYTHON]

The same model, data and optimiser each time, in several loops: `Trainer.fit` as it is called from
Python; the same writing metrics and checkpoints into a folder, as `workshop train` does; a
`jax.lax.scan` by hand that carries the parameters and does nothing else; a Python loop around a
step under `nnx.jit`; and with `--torch`, the name of a Python that has torch and perhaps pythae,
those of torch_peer.py. Each loop is run once before it is timed, so that compilation is left out,
and then all take turns for several rounds, a large matrix product among them. Tables show the
median of the rounds. What a call of `fit` costs however few its steps is part of its figure, and is
also told apart.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from workshop.generative_models.core.configuration import (
    AutoencoderConfig,
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
    VQVAEConfig,
)
from workshop.generative_models.models.vae import VAE, VQVAE
from workshop.generative_models.training import Trainer

EXAMPLES, BATCH, LATENTS = 5000, 128, 20
CALIBRATION_STEPS = 20
CHECKPOINT_EVERY = 1000  # the default of `workshop train`

FIT, FIT_IN_FOLDER = "`Trainer.fit`", "`Trainer.fit`, metrics and checkpoints written"
BARE = "`lax.scan` by hand"

Loop = Callable[[int], None]
"""Trains for a number of steps, and returns when they are done."""


def _networks(hidden_dims: tuple[int, ...], shape: tuple[int, ...]) -> dict:
    shared = {"latent_dim": LATENTS}
    return {
        "encoder": EncoderConfig(hidden_dims=hidden_dims, input_shape=shape, **shared),
        "decoder": DecoderConfig(hidden_dims=hidden_dims[::-1], output_shape=shape, **shared),
    }


IMAGE = (28, 28, 1)
CASES: dict[str, tuple[type[VAE], AutoencoderConfig]] = {
    "MLP 784-512-256-20": (VAE, VAEConfig(likelihood="bce", **_networks((512, 256), (784,)))),
    "CNN 32-64-128, 28×28": (
        VAE,
        VAEConfig(encoder_type="cnn", likelihood="bce", **_networks((32, 64, 128), IMAGE)),
    ),
    "CNN 32-64-128, 64×64": (
        VAE,
        VAEConfig(encoder_type="cnn", likelihood="bce", **_networks((32, 64, 128), (64, 64, 1))),
    ),
    "VQ-VAE 32-64, 7×7 codes of 512×64, 28×28": (
        VQVAE,
        VQVAEConfig(
            encoder_type="cnn",
            num_embeddings=512,
            embedding_dim=64,
            likelihood="bce",
            **_networks((32, 64), IMAGE),
        ),
    ),
}


PEER_NAMES = dict(zip(CASES, ("mlp", "cnn28", "cnn64", "vq"), strict=True))
PEERS = {
    "eager": "PyTorch by hand",
    "tuned": "PyTorch, fused Adam, channels-last, blocks kept",
    "compile": "PyTorch, the same under `torch.compile`",
    "pythae": "Pythae's trainer",
}


def peer_loops(python: str, case: str) -> dict[str, Loop]:
    """Start the loops of torch_peer.py, each in a process that waits for its turn."""
    loops: dict[str, Loop] = {}
    for name, title in PEERS.items():
        if (PEER_NAMES[case], name) == ("vq", "pythae"):
            continue  # its quantizer is another
        process = subprocess.Popen(
            [python, Path(__file__).with_name("torch_peer.py"), PEER_NAMES[case], name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if not process.stdout.readline().startswith("ready"):
            continue  # such as torch.compile without a compiler, or no pythae

        def run(steps: int, process: subprocess.Popen = process) -> None:
            process.stdin.write(f"{steps}\n")
            process.stdin.flush()
            process.stdout.readline()

        run.close = lambda process=process: (process.stdin.close(), process.wait())
        loops[title] = run
    return loops


def macs(config: AutoencoderConfig) -> tuple[int, int]:
    """Return the multiplications of a forward pass for one example, and of its first layer."""
    hidden, shape = config.encoder.hidden_dims, config.encoder.input_shape
    if config.encoder_type == "dense":
        down = [a * b for a, b in zip((shape[0], *hidden[:-1]), hidden, strict=True)]
        ends = hidden[-1] * LATENTS * 3
        return 2 * sum(down) + ends, down[0]
    sizes = [shape[0] >> i for i in range(len(hidden) + 1)]
    down = [9 * s * s * a * b for s, a, b in zip(sizes[1:], (1, *hidden[:-1]), hidden, strict=True)]
    back = hidden[::-1]
    up = [
        16 * s * s * a * b
        for s, a, b in zip(sizes[:0:-1], (back[0], *back[:-1]), back, strict=True)
    ]
    places = sizes[-1] ** 2
    if isinstance(config, VQVAEConfig):
        code = config.embedding_dim
        ends = places * code * (2 * hidden[-1] + config.num_embeddings / 3)  # no gradient there
    else:
        ends = 3 * places * hidden[-1] * LATENTS
    return int(sum(down) + sum(up) + ends + 9 * shape[0] ** 2 * back[-1]), down[0]


def ceiling() -> Loop:
    """A product of large matrices, as many as steps: what the machine can do."""
    a = jnp.ones((SIDE, SIDE))
    product = jax.jit(lambda a: a @ a)

    def run(steps: int) -> None:
        for _ in range(steps):
            product(a).block_until_ready()

    return run


SIDE, PRODUCTS = 2048, 5


def trainer_loop(model: VAE, x: np.ndarray, *, folder: bool) -> Loop:
    optimizer = optax.adam(1e-3)

    def run(steps: int) -> None:
        if not folder:
            Trainer(model, optimizer, BATCH, progress=False).fit(x, steps=steps)
            return
        with tempfile.TemporaryDirectory() as path:
            trainer = Trainer(
                model,
                optimizer,
                BATCH,
                folder=path,
                checkpoint_every=CHECKPOINT_EVERY,
                progress=False,
            )
            trainer.fit(x, steps=steps)

    return run


def scan_loop(model: VAE, x: np.ndarray) -> Loop:
    """Gradient and Adam, nothing else: no metrics, no statistics of codes."""
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    optimizer = optax.adam(1e-3)
    data = jnp.asarray(x)

    def loss(params: nnx.State, rest: nnx.State, batch: jax.Array, key: jax.Array) -> jax.Array:
        model = nnx.merge(graphdef, params, rest, copy=True)
        return model.loss_fn(batch=batch, rng=key)["total_loss"]

    @jax.jit
    def train(params: nnx.State, rest: nnx.State, data: jax.Array, order: jax.Array) -> nnx.State:
        def step(carry: tuple, inputs: tuple) -> tuple[tuple, None]:
            params, opt_state = carry
            indices, i = inputs
            key = jax.random.fold_in(jax.random.key(0), i)
            gradient = jax.grad(loss)(params, rest, data[indices], key)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), None

        carry = (params, optimizer.init(params))
        return jax.lax.scan(step, carry, (order, jnp.arange(len(order))))[0][0]

    def run(steps: int) -> None:
        jax.block_until_ready(train(params, rest, data, jnp.asarray(_order(steps))))

    return run


def nnx_loop(model: VAE, x: np.ndarray) -> Loop:
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    data = jnp.asarray(x)

    @nnx.jit
    def step(
        model: VAE, optimizer: nnx.Optimizer, data: jax.Array, indices: jax.Array, i: int
    ) -> None:
        key = jax.random.fold_in(jax.random.key(0), i)
        gradient = nnx.grad(lambda m: m.loss_fn(batch=data[indices], rng=key)["total_loss"])(model)
        optimizer.update(model, gradient)

    def run(steps: int) -> None:
        for i, indices in enumerate(_order(steps)):
            step(model, optimizer, data, indices, i)
        jax.block_until_ready(nnx.state(model, nnx.Param))

    return run


def _order(steps: int) -> np.ndarray:
    """Return indices (steps, batch) from shuffled epochs laid end to end."""
    generator = np.random.default_rng(0)
    epochs = -(-steps * BATCH // EXAMPLES)
    stream = np.concatenate([generator.permutation(EXAMPLES) for _ in range(epochs)])
    return stream[: steps * BATCH].astype(np.int32).reshape(steps, BATCH)


def _seconds(loop: Loop, steps: int) -> float:
    started = time.perf_counter()
    loop(steps)
    return time.perf_counter() - started


class Measured(NamedTuple):
    """What one case gave."""

    steps: int
    """Steps of each loop in a round: as many as take the bare scan about the seconds asked for."""
    rates: dict[str, list[float]]
    """Samples a second of each loop in each round."""
    one_step: dict[str, list[float]]
    """Seconds of a call for a single step in each round, of the trainer's loops."""
    flops: list[float]
    """Operations a second of the large matrix product in each round."""


def measure(name: str, *, seconds: float, rounds: int, torch: str | None) -> Measured:
    network, config = CASES[name]
    shape = config.encoder.input_shape or ()
    x = np.random.default_rng(0).random((EXAMPLES, *shape), np.float32)

    def model() -> VAE:
        return network(config, rngs=nnx.Rngs(0))

    loops = {
        FIT: trainer_loop(model(), x, folder=False),
        FIT_IN_FOLDER: trainer_loop(model(), x, folder=True),
        BARE: scan_loop(model(), x),
        "`nnx.jit` step in a Python loop": nnx_loop(model(), x),
    }
    peers = peer_loops(torch, name) if torch else {}
    loops |= peers
    for loop in loops.values():
        loop(CALIBRATION_STEPS)
    rate = CALIBRATION_STEPS / _seconds(loops[BARE], CALIBRATION_STEPS)
    steps = max(round(seconds * rate), CALIBRATION_STEPS)
    loops[BARE](steps)  # a scan of another length is another program
    product = ceiling()
    product(1)
    measured = Measured(steps, {way: [] for way in loops}, {FIT: [], FIT_IN_FOLDER: []}, [])
    ways = list(loops)
    for turn in range(rounds):
        first = turn % len(ways)  # no loop always follows the same one
        for way in ways[first:] + ways[:first]:
            measured.rates[way].append(steps * BATCH / _seconds(loops[way], steps))
        for way, times in measured.one_step.items():
            times.append(_seconds(loops[way], 1))
        measured.flops.append(PRODUCTS * 2 * SIDE**3 / _seconds(product, PRODUCTS))
    for peer in peers.values():
        peer.close()
    return measured


def section(name: str, measured: Measured) -> str:
    """Return a case's heading, table and fixed costs in Markdown."""
    forward, first = macs(CASES[name][1])
    work = 2 * (3 * forward - first)  # the data needs no gradient
    peak = statistics.median(measured.flops)
    rows = []
    for way, values in measured.rates.items():
        ratios = [a / b for a, b in zip(values, measured.rates[BARE], strict=True)]
        rate = statistics.median(values)
        rows.append(
            f"| {way} | {rate:,.0f} ({min(values):,.0f} to {max(values):,.0f}) | "
            f"{statistics.median(ratios):.0%} | {rate * work / peak:.0%} |"
        )
    fixed = {way: statistics.median(times) for way, times in measured.one_step.items()}
    return "\n".join(
        [
            f"### {name}\n",
            "| loop | samples/s | of the bare scan | of the matrix ceiling |\n|---|---:|---:|---:|",
            *rows,
            f"\n{measured.steps:,} steps a round; {work / 1e6:.1f} MFLOP a sample; a product of "
            f"{SIDE} × {SIDE} matrices ran at {peak / 1e9:.0f} GFLOP/s. A call of `fit` for one "
            f"step takes {fixed[FIT]:.2f} s, and {fixed[FIT_IN_FOLDER]:.2f} s with a folder.",
        ]
    )


def report(*, seconds: float, rounds: int, torch: str | None, only: str = "") -> str:
    """Measure every case; return Markdown."""
    head = (
        f"Batches of {BATCH} from {EXAMPLES:,} random examples, Adam, {rounds} rounds; compilation "
        "left out. Median samples a second (slowest to fastest round), and the median over the "
        "rounds of the ratio to the bare scan."
    )
    cases = (
        section(name, measure(name, seconds=seconds, rounds=rounds, torch=torch))
        for name in CASES
        if only in name
    )
    return "\n\n".join([head, *cases])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.5, help="of the bare scan in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", metavar="PYTHON", help="a Python that has torch")
    parser.add_argument("--only", default="", help="part of the names of the cases to run")
    args = parser.parse_args()
    print(report(seconds=args.seconds, rounds=args.rounds, torch=args.torch, only=args.only))


if __name__ == "__main__":
    main()
