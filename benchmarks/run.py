"""Runs training.py and convolution.py and writes what they measured to RESULTS.md: `make bench`."""

import argparse
import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import jax

HERE = Path(__file__).parent


def processor() -> str:
    """Return the processor's name; the system knows it better than `platform`, where it says."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def environment(options: list[str]) -> str:
    """Return a Markdown table of what the figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    device = jax.devices()[0]
    rows = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "command": f"`python {shlex.join([f'{HERE.name}/run.py', *options])}`",
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "memory": f"{memory:.1f} GiB",
        "load before the start": f"{os.getloadavg()[0]:.1f} (1 minute; 0 is an idle machine)",
        "JAX runs on": f"{device.platform} ({device.device_kind}), {jax.device_count()} device(s)",
        "Python": platform.python_version(),
    }
    rows |= {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax")}
    return "\n".join(["| | |\n|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())])


def output(script: str, *options: str) -> str:
    """Return what a script prints: each starts in a process of its own."""
    print(f"{script} ...", file=sys.stderr)
    command = [sys.executable, str(HERE / script), *options]
    wide = os.environ | {"COLUMNS": "120"}  # tables of rich are cut to 80 columns otherwise
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=wide)
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.5, help="of a round of training")
    parser.add_argument("--rounds", type=int, default=3, help="of training")
    parser.add_argument("--torch", metavar="PYTHON", help="a Python that has torch, to compare")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    args = parser.parse_args()
    training = ("--seconds", str(args.seconds), "--rounds", str(args.rounds))
    training += ("--torch", args.torch) if args.torch else ()
    sections = [
        "# Results",
        "Written by run.py; README.md beside this file says what is measured. Without a section "
        "on convolutions at its end it was cut short.",
        # Where an interpreter lies is nobody's business.
        environment(["PYTHON" if a == args.torch else a for a in sys.argv[1:]]),
        "## Training",
    ]
    for case in ("MLP", "CNN 32-64-128, 28×28", "64×64", "VQ-VAE"):
        head, table = output("training.py", *training, "--only", case).split("\n\n", 1)
        sections += [table] if head in sections else [head, table]
        args.out.write_text("\n\n".join(sections) + "\n")  # what is cut short keeps what it has
    sections += ["## Convolutions", f"```\n{output('convolution.py', '--steps', '10')}\n```"]
    args.out.write_text("\n\n".join(sections) + "\n")
    print(args.out.read_text())


if __name__ == "__main__":
    main()
