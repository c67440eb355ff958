"""How fast the nearest codes are found, and in how much memory.

    python benchmarks/quantizers.py [--rounds 3] [--torch PYTHON]

For each size the search, the bare matrix product that it contains (in blocks of rows, as nothing
could hold all of it), and with `--torch` vector-quantize-pytorch on the same work take turns. The
memory is what the compiled program needs beside its arguments and results; of the peer, whose
program is not known beforehand, the most that its process held.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import jax

from peers import Peer, Unavailable
from workshop.generative_models.core.quantizers import nearest_code

SIZES = ((6_272, 512, 64), (32_768, 8_192, 64), (4_096, 65_536, 64), (32_768, 65_536, 64))
"""Vectors, codes, size of a code; the first is a batch of 128 maps of 7 x 7."""
MOST_FOR_PEER = 1 << 29
"""Distances that the peer, which holds all of them several times, is asked for."""


def product_of(vectors: jax.Array, codebook: jax.Array) -> Callable[[], object]:
    """Return a function that makes all inner products, a block of vectors at a time."""
    rows = max((1 << 26) // len(codebook), 1)
    product = jax.jit(lambda v, c: v @ c.T)
    blocks = [vectors[i : i + rows] for i in range(0, len(vectors), rows)]

    def run() -> None:
        for block in blocks:
            product(block, codebook).block_until_ready()

    return run


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure(size: tuple[int, int, int], rounds: int, torch: str | None) -> dict:
    """Return the medians of one size, in seconds and bytes."""
    n, codes, dim = size
    keys = jax.random.split(jax.random.key(0))
    vectors, codebook = (
        jax.random.normal(keys[0], (n, dim)),
        jax.random.normal(keys[1], (codes, dim)),
    )
    search = jax.jit(nearest_code).lower(vectors, codebook).compile()
    product = product_of(vectors, codebook)
    ways = {"search": lambda: search(vectors, codebook).block_until_ready(), "product": product}
    peer, note = None, ""
    if torch and n * codes <= MOST_FOR_PEER:
        try:
            peer = Peer(torch, "quantizer_peer.py", *map(str, size), tuned=True)
        except Unavailable as error:
            note = str(error)
    for run in ways.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in (*ways, "peer")}
    for _ in range(rounds):
        for name, run in ways.items():
            times[name].append(seconds(run))
        if peer is not None:
            times["peer"].append(peer("times", 1))
    memory = search.memory_analysis().temp_size_in_bytes
    found = {
        "size": size,
        "seconds": {name: statistics.median(t) for name, t in times.items() if t},
        "of the product": statistics.median(
            p / s for p, s in zip(times["product"], times["search"], strict=True)
        ),
        "memory": memory,
        "note": note,
    }
    if peer is not None:
        found["peer memory"] = peer("peak")
        found["against peer"] = statistics.median(
            p / s for p, s in zip(times["peer"], times["search"], strict=True)
        )
        peer.close()
    return found


def table(measured: list[dict], rounds: int) -> list[str]:
    head = ["vectors", "codes × size", "search, s", "bare product, s", "of the product's speed"]
    head += ["extra memory, MiB", "vector-quantize-pytorch, s", "times as fast", "process, MiB"]
    lines = [f"| {' | '.join(head)} |", "|" + "---:|" * len(head)]
    for found in measured:
        n, codes, dim = found["size"]
        s = found["seconds"]
        cells = [f"{n:,}", f"{codes:,} × {dim}", f"{s['search']:.3f}", f"{s['product']:.3f}",
                 f"{found['of the product']:.2f}", f"{found['memory'] / 2**20:.0f}"]  # fmt: skip
        if "peer" in s:
            cells += [f"{s['peer']:.3f}", f"{found['against peer']:.1f}",
                      f"{found['peer memory'] / 2**20:.0f}"]  # fmt: skip
        else:
            cells += ["-"] * 3
        lines.append(f"| {' | '.join(cells)} |")
    notes = sorted({found["note"] for found in measured if found["note"]})
    return [*lines, "", f"Medians of {rounds} rounds; the ways take turns.", *notes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch", metavar="PYTHON", help="with vector-quantize-pytorch")
    parser.add_argument("--json", help="also write the numbers there")
    options = parser.parse_args()
    measured = []
    for size in SIZES:
        print("  nearest of", *size, file=sys.stderr)
        measured.append(measure(size, options.rounds, options.torch))
    print("\n".join(table(measured, options.rounds)))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(measured, file)


if __name__ == "__main__":
    main()
