"""Training speed, in samples a second: the trainer against loops by hand, in JAX and PyTorch.

    python benchmarks/training.py [--seconds 5] [--rounds 3] [--torch PYTHON] [--artifex PYTHON]

The same model, data and optimiser each time, in several loops: `Trainer.fit` as it is called from
Python; the same as `workshop train` calls it, with a progress bar and with metrics and checkpoints
written into a folder; a `jax.lax.scan` by hand that carries the parameters and does nothing else;
a Python loop around a step under `nnx.jit`; with `--torch`, a Python that has torch and perhaps
pythae, those of torch_peer.py; and with `--artifex` that of artifex_peer.py. Each loop is run
before it is timed, so that compilation is left out, and then all take turns for several rounds, a
large matrix product among them. Tables show the median of the rounds. What a call of `fit` costs
however few its steps is part of its figure, and is also told apart.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from cases import BATCH, CASES, CNN, EXAMPLES, MLP, PEER_NAMES, build, examples, training_flops
from loops import (
    PRODUCTS,
    SIDE,
    Loop,
    ceiling,
    nnx_loop,
    scan_loop,
    steps_in,
    timed,
    trainer_loop,
)
from peers import Peer, Unavailable

FIT, FIT_IN_FOLDER = "`Trainer.fit`", "`Trainer.fit`, with progress, metrics and checkpoints"
BARE, NNX_LOOP = "`lax.scan` by hand", "`nnx.jit` step in a Python loop"
PYTHAE, ARTIFEX = "Pythae's trainer", "artifex's loop"
PEERS = {
    "eager": "PyTorch by hand",
    "tuned": "PyTorch, fused Adam, channels-last, blocks kept, MKL's best code",
    "compile": "PyTorch, the same under `torch.compile`",
    "pythae": PYTHAE,
}
TUNED = ("tuned", "compile")
LEAST_STEPS = 8
SAME_STEPS, LONGER = (FIT, FIT_IN_FOLDER, BARE, PYTHAE), 4
"""Loops whose calls cost something however few the steps, and the scan that they are held to: they
run so many times as long as the others, still far less than one trains."""


@dataclass
class Measured:
    """What one case gave."""

    case: str
    flops_per_sample: int
    steps: dict[str, int] = field(default_factory=dict)
    """Steps of each loop in a round."""
    rates: dict[str, list[float]] = field(default_factory=dict)
    """Samples a second of each loop in each round."""
    one_step: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of a call for a single step in each round, of the trainer's loops."""
    flops: list[float] = field(default_factory=list)
    """Operations a second of the large matrix product in each round."""
    notes: list[str] = field(default_factory=list)
    """What the peers said of themselves, and which did not start."""

    def steady(self, way: str) -> list[float]:
        """Return the rates without what a call costs for its first step."""
        steps = self.steps[way]
        calls = zip(self.rates[way], self.one_step[way], strict=True)
        return [(steps - 1) * BATCH / (steps * BATCH / rate - one) for rate, one in calls]


def ratio(these: list[float], those: list[float]) -> float:
    """Return the median over the rounds of a ratio of rates."""
    return statistics.median(a / b for a, b in zip(these, those, strict=True))


def peer_loops(
    case: str, torch: str | None, artifex: str | None
) -> tuple[dict[str, Peer], list[str]]:
    """Start the loops of the peers, each in a process that waits for its turn."""
    wanted = {title: (torch, "torch_peer.py", loop) for loop, title in PEERS.items() if torch}
    if artifex and case in (MLP, CNN):
        wanted[ARTIFEX] = (artifex, "artifex_peer.py", "")
    loops: dict[str, Peer] = {}
    notes: list[str] = []
    for title, (python, script, loop) in wanted.items():
        words = (script, PEER_NAMES[case], loop) if loop else (script, PEER_NAMES[case])
        try:
            loops[title] = Peer(python, *words, tuned=loop in TUNED)
        except Unavailable as error:
            notes.append(f"{title} did not start: {error}.")
    if ARTIFEX in loops:
        about = loops[ARTIFEX].about
        notes.append(
            f"artifex {about['artifex']}: {about['loop']}, {about['parameters']:,} parameters."
        )
    chosen = {
        name: loops[PEERS[name]].about["mkl"] for name in ("eager", "tuned") if PEERS[name] in loops
    }
    if len(chosen) == 2:
        notes.append(
            f"MKL chose code for “{chosen['eager']}”, and where it was told that the processor is "
            f"Intel's for “{chosen['tuned']}”."
            if chosen["eager"] != chosen["tuned"]
            else f"MKL chose code for “{chosen['eager']}”, tuned or not."
        )
    return loops, notes


def measure(
    case: str, *, seconds: float, rounds: int, torch: str | None, artifex: str | None
) -> Measured:
    x = examples(case)
    loops: dict[str, Loop] = {
        FIT: trainer_loop(build(case), x, folder=False),
        FIT_IN_FOLDER: trainer_loop(build(case), x, folder=True),
        BARE: scan_loop(build(case), x),
        NNX_LOOP: nnx_loop(build(case), x),
    }
    peers, notes = peer_loops(case, torch, artifex)
    loops |= peers
    most = max(steps_in(loops[BARE], LONGER * seconds), LEAST_STEPS)
    measured = Measured(case, training_flops(case), notes=notes)
    ways = list(loops)

    def attempt(way: str, run: Callable[[Loop], object]) -> None:
        """Run a way's loop; a peer that ends leaves the table, and is said to."""
        try:
            run(loops[way])
        except Unavailable as error:
            measured.notes.append(f"{way} is left out, it {error}.")
            measured.rates.pop(way, None)
            ways.remove(way)

    def prepare(way: str, loop: Loop) -> None:
        measured.steps[way] = most if way in SAME_STEPS else steps_in(loop, seconds, most)
        measured.rates[way] = []
        loop(measured.steps[way] if way not in peers or way == ARTIFEX else 2)

    def take_turn(way: str, loop: Loop) -> None:
        steps = measured.steps[way]
        measured.rates[way].append(steps * BATCH / timed(loop, steps))

    for way in loops:
        attempt(way, partial(prepare, way))
    measured.one_step = {FIT: [], FIT_IN_FOLDER: []}
    for way in measured.one_step:
        loops[way](1)
    product = ceiling()
    product(1)
    for turn in range(rounds):
        first = turn % len(ways)  # no loop always follows the same one
        for way in ways[first:] + ways[:first]:
            attempt(way, partial(take_turn, way))
        for way, times in measured.one_step.items():
            times.append(timed(loops[way], 1))
        measured.flops.append(PRODUCTS * 2 * SIDE**3 / timed(product, PRODUCTS))
    for peer in peers.values():
        peer.close()
    return measured


def section(measured: Measured) -> str:
    """Return a case's heading, table and fixed costs in Markdown."""
    rates, work = measured.rates, measured.flops_per_sample
    peak = statistics.median(measured.flops)
    rows = []
    for way, values in rates.items():
        rate = statistics.median(values)
        rows.append(
            f"| {way} | {rate:,.0f} ({min(values):,.0f} to {max(values):,.0f}) | "
            f"{ratio(values, rates[BARE]):.0%} | {rate * work / peak:.0%} |"
        )
    fixed = [
        f"{way} takes {statistics.median(times):.2f} s for one step, and does "
        f"{statistics.median(measured.steady(way)):,.0f} samples/s after it"
        for way, times in measured.one_step.items()
    ]
    steps = measured.steps
    lines = [
        f"### {measured.case}\n",
        "| loop | samples/s | of the bare scan | of the matrix ceiling |\n|---|---:|---:|---:|",
        *rows,
        f"\n{steps[BARE]:,} steps a round, of slower loops fewer (at least {min(steps.values())}). "
        f"{work / 1e6:.1f} MFLOP a sample; a product of {SIDE} × {SIDE} matrices ran at "
        f"{peak / 1e9:.0f} GFLOP/s. A call of {'; of '.join(fixed)}.",
        *measured.notes,
    ]
    return "\n".join(lines)


HEAD = (
    f"Batches of {BATCH} from {EXAMPLES:,} random examples, Adam; compilation left out. Median of "
    "the rounds in samples a second (slowest to fastest round), and the median over the rounds of "
    "the ratio to the bare scan."
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of most loops in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", metavar="PYTHON", help="a Python that has torch")
    parser.add_argument("--artifex", metavar="PYTHON", help="a Python that has avitai-artifex")
    parser.add_argument("--only", default="", help="part of the names of the cases to run")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    args = parser.parse_args()
    # The progress bar is drawn as for a terminal, though nobody looks.
    os.environ |= {"FORCE_COLOR": "1", "TERM": "xterm"}
    options = {"seconds": args.seconds, "rounds": args.rounds}
    print(HEAD)
    results = []
    for case in (name for name in CASES if args.only in name):
        print(f"  {case}", file=sys.stderr)
        measured = measure(case, **options, torch=args.torch, artifex=args.artifex)
        print(f"\n{section(measured)}", flush=True)
        results.append(asdict(measured))
    if args.json:
        args.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
