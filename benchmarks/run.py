"""Runs the scripts on speed and writes what they measured to RESULTS.md: `make bench`."""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax

from cases import CASES
from targets import table

HERE = Path(__file__).parent


def processor() -> str:
    """Return the processor's name; the system knows it better than `platform`, where it says."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def instructions() -> str:
    """Return the widest vector instructions of the processor, where the system tells them."""
    cpuinfo = Path("/proc/cpuinfo")
    known = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    names = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "asimd": "NEON"}
    return next((f", {name}" for flag, name in names.items() if flag in known), "")


PEER_VERSIONS = """
import importlib.metadata as m
for name in ("torch", "pythae", "vector-quantize-pytorch", "avitai-artifex"):
    try: print(name, m.version(name))
    except m.PackageNotFoundError: pass
"""


def peer_versions(*pythons: str | None) -> dict[str, str]:
    """Return the versions that the peers' environments have."""
    versions: dict[str, str] = {}
    for python in filter(None, pythons):
        try:
            done = subprocess.run(
                [python, "-c", PEER_VERSIONS], stdout=subprocess.PIPE, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            continue  # its loops are said not to start
        versions |= dict(line.split() for line in done.stdout.splitlines())
    return versions


def environment(args: argparse.Namespace) -> str:
    """Return a Markdown table of what the figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    device = jax.devices()[0]
    # Where an interpreter lies is nobody's business.
    hidden = {args.torch, args.artifex} - {None}
    options = ["PYTHON" if word in hidden else word for word in sys.argv[1:]]
    rows = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "command": f"`python {shlex.join([f'{HERE.name}/run.py', *options])}`",
        "processor": f"{processor()}, {os.cpu_count()} cores{instructions()}",
        "memory": f"{memory:.1f} GiB",
        "load before the start": f"{os.getloadavg()[0]:.1f} (1 minute; 0 is an idle machine)",
        "JAX runs on": f"{device.platform} ({device.device_kind}), {jax.device_count()} device(s)",
        "Python": platform.python_version(),
    }
    rows |= {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax")}
    rows |= peer_versions(args.torch, args.artifex)
    return "\n".join(["| | |\n|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())])


def output(script: str, *options: str) -> str:
    """Return what a script prints: each starts in a process of its own."""
    print(f"{script} ...", file=sys.stderr)
    command = [sys.executable, str(HERE / script), *options]
    wide = os.environ | {"COLUMNS": "120"}  # tables of rich are cut to 80 columns otherwise
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=wide)
    return done.stdout.strip()


def numbers(script: str, *options: str) -> tuple[str, list | dict]:
    """Return what a script prints, and the numbers that it hands over."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "numbers.json"
        printed = output(script, *options, "--json", str(file))
        return printed, json.loads(file.read_text())


TARGETS = "## Targets"


class Results:
    """RESULTS.md, written anew with every section: what is cut short keeps what it has."""

    def __init__(self, file: Path, args: argparse.Namespace):
        self.file = file
        self.started = time.monotonic()
        self.cases: list[dict] = []
        self.using: list[dict] = []
        self.first: dict[str, float] = {}
        self.head = [
            "# Results",
            "Written by run.py; README.md beside this file says what is measured. Without the time "
            "that it took at its end it was cut short.",
            environment(args),
        ]
        self.sections: list[str] = []

    def add(self, *sections: str) -> None:
        self.sections += sections
        targets = [TARGETS, table(self.cases, self.using, self.first)]
        self.file.write_text("\n\n".join([*self.head, *targets, *self.sections]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a round of training")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", metavar="PYTHON", help="a Python that has torch, to compare")
    parser.add_argument("--artifex", metavar="PYTHON", help="one that has avitai-artifex")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    args = parser.parse_args()
    torch = ("--torch", args.torch) if args.torch else ()
    artifex = ("--artifex", args.artifex) if args.artifex else ()
    rounds = ("--rounds", str(args.rounds))
    training = ("--seconds", str(args.seconds), *rounds, *torch, *artifex)

    results = Results(args.out, args)
    results.sections.append("## Training")
    for case in CASES:
        printed, measured = numbers("training.py", *training, "--only", case)
        head, section = printed.split("\n\n", 1)
        results.cases += measured
        results.add(*([] if head in results.sections else [head]), section)
    shorter = ("--seconds", str(args.seconds / 5), *rounds, *torch)
    printed, measured = numbers("throughput.py", *shorter)
    results.using = measured["using"]
    results.add("## Use and growth", printed)
    printed, measured = numbers("costs.py", "--repeats", "3", *torch)
    results.first = measured["first step"]
    results.add("## Costs", printed)
    results.add("## Searching codes", output("quantizers.py", *rounds, *torch))
    # Some of the plain forms take seconds for a step.
    convolutions = output("convolution.py", "--steps", "10", "--repeats", "2")
    minutes = (time.monotonic() - results.started) / 60
    results.add("## Convolutions", f"```\n{convolutions}\n```", f"It took {minutes:.0f} minutes.")
    print(args.out.read_text())


if __name__ == "__main__":
    main()
