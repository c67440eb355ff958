"""What is paid once: the time of imports, the time to the first step, and the peak of memory.

    python benchmarks/costs.py [--repeats 5] [--torch PYTHON]

Every figure is of processes of its own. The time to the first step is that from the start of
`workshop train --steps 1` until its first row of metrics lies on disk, which is a little later
than the step; cold is with an empty cache of compiled programs, warm the second start after it.
The peak of memory is the most that a process ever held, which trained a case for a few steps from
5,000 examples, interpreter and libraries included.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cases import BATCH, CASES, EXAMPLES, PEER_NAMES, build, examples
from memory import peak_bytes
from peers import Peer, Unavailable
from workshop.generative_models.training import Trainer

STEPS = 20
IMPORTS = {
    "`python -c pass`": ("-c", "pass"),
    "`import jax, flax`": ("-c", "import jax, flax"),
    "`import workshop`": ("-c", "import workshop"),
    "`from workshop.generative_models.models.vae import VAE`": (
        "-c",
        "from workshop.generative_models.models.vae import VAE",
    ),
    "`workshop --help`": ("-c", "import workshop.cli; workshop.cli.main(['--help'])"),
}
TRAIN = "import workshop.cli; workshop.cli.main()"


def process_seconds(words: tuple[str, ...]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def imports(repeats: int) -> list[str]:
    """Return a table of whole processes."""
    lines = ["| process | seconds |", "|---|---:|"]
    for words in IMPORTS.values():
        process_seconds(words)  # files come from the disk and are compiled to bytecode
    times = {name: [] for name in IMPORTS}
    for _ in range(repeats):
        for name, words in IMPORTS.items():
            times[name].append(process_seconds(words))
    lines += [f"| {name} | {statistics.median(values):.2f} |" for name, values in times.items()]
    return [*lines, "", f"Wall time of a whole process, median of {repeats}."]


def first_step(cache: Path) -> tuple[float, float]:
    """Return the seconds until the first row of metrics, and until the command ends."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(cache)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = ["train", "--data", "digits", "--steps", "1", "--out", str(run)]
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", TRAIN, *words], stdout=subprocess.DEVNULL, env=environment,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        rows, stepped = run / "metrics.jsonl", None
        while stepped is None and process.poll() is None:
            if rows.exists() and rows.stat().st_size:
                stepped = time.perf_counter() - started
            time.sleep(0.005)
        if process.wait() or stepped is None:
            raise RuntimeError(f"workshop {' '.join(words)} ended with {process.returncode}")
        return stepped, time.perf_counter() - started


def starts(repeats: int) -> tuple[list[str], dict[str, float]]:
    """Return a table of first and second starts, and the median second to the first step."""
    times: dict[str, list[tuple[float, float]]] = {"empty": [], "second start": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            for start in times.values():
                start.append(first_step(Path(cache)))
    lines = ["| cache of compiled programs | first step | whole command |", "|---|---:|---:|"]
    medians = {}
    for start, pairs in times.items():
        step, whole = (statistics.median(values) for values in zip(*pairs, strict=True))
        medians[start] = step
        lines.append(f"| {start} | {step:.1f} s | {whole:.1f} s |")
    return [*lines, "", f"`workshop train --data digits --steps 1`, median of {repeats}."], medians


def memory(torch: str | None) -> list[str]:
    """Return a table of peaks, of `Trainer.fit` and of PyTorch's tuned loop."""
    lines = ["| case | `Trainer.fit` | PyTorch, tuned |", "|---|---:|---:|"]
    notes: list[str] = []
    for case in CASES:
        words = [sys.executable, __file__, "--fit", case]
        ours = int(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
        theirs = "-"
        try:
            if torch:
                peer = Peer(torch, "torch_peer.py", PEER_NAMES[case], "tuned", tuned=True)
                peer(STEPS)
                theirs = _mib(peer("peak"))
                peer.close()
        except Unavailable as error:
            notes.append(f"PyTorch, {case}: {error}.")
        lines.append(f"| {case} | {_mib(ours)} | {theirs} |")
    return [*lines, "", f"Peak of the process, {STEPS} steps from {EXAMPLES:,} examples.", *notes]


def _mib(count: float) -> str:
    return f"{count / 2**20:,.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="of imports; of starts, about half")
    parser.add_argument("--torch", metavar="PYTHON", help="a Python that has torch")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    parser.add_argument("--fit", choices=CASES, help=argparse.SUPPRESS)  # a process of `memory`
    args = parser.parse_args()
    if args.fit:
        Trainer(build(args.fit), batch_size=BATCH, progress=False).fit(
            examples(args.fit), steps=STEPS
        )
        print(peak_bytes())
        return
    print("### Imports\n", *imports(args.repeats), sep="\n", flush=True)
    print("  first step", file=sys.stderr)
    lines, first = starts((args.repeats + 1) // 2)
    print("\n### Time to the first step\n", *lines, sep="\n", flush=True)
    print("  memory", file=sys.stderr)
    print("\n### Memory\n", *memory(args.torch), sep="\n")
    if args.json:
        args.json.write_text(json.dumps({"first step": first}))


if __name__ == "__main__":
    main()
