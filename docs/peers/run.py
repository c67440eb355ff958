"""Run the page coming_from.md at full length: other libraries' code beside ours.

    python docs/peers/run.py --torch PYTHON [--artifex PYTHON] [--steps 1500] [--seeds 3]

PYTHON has what benchmarks/peers.txt names, or avitai-artifex, and scikit-learn and safetensors.
What scripts and blocks print as a dict is compared by its keys, in each section of the page: mean
± standard deviation over seeds, and the largest relative difference between two of the same seed.
`--save` keeps the weights that the page's test reads, of seed 0, beside the scripts.
"""

import argparse
import ast
import contextlib
import io
import os
import re
import shutil
import subprocess
import tempfile
import textwrap
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PAGE = HERE.parent / "coming_from.md"
FENCE = re.compile(r"^( *)```python\n(.*?)^\1```", re.M | re.S)
SNIPPET = re.compile(r"--8<--\n(\S+)\n--8<--\n")
SHORT = "STEPS, SEED = 15, 0"

Figures = dict[tuple[str, str], dict[str, list[float]]]


def script(python: str, name: str, steps: int, seed: int) -> str:
    """Return what a script prints. On one thread: its products are too small for several."""
    command = [python, str(HERE.parent / name), str(steps), str(seed)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def block(code: str, namespace: dict) -> str:
    """Return what a block of the page prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(PAGE), "exec"), namespace)
    return printed.getvalue()


def run_page(pythons: dict[str, str | None], steps: int, seed: int, figures: Figures) -> None:
    """Run all blocks in order, in the present folder, and add what they print to the figures."""
    text = PAGE.read_text()
    assert SHORT in text
    namespace: dict = {"__name__": "docs"}
    for section in re.split(
        r"^## ", text.replace(SHORT, f"STEPS, SEED = {steps}, {seed}"), flags=re.M
    ):
        title = section.partition("\n")[0]
        for match in FENCE.finditer(section):
            code = textwrap.dedent(match[2])
            snippet = SNIPPET.fullmatch(code)
            if snippet:
                kind = "artifex" if "artifex" in snippet[1] else "torch"
                if pythons[kind] is None:
                    continue
                output, who = script(pythons[kind], snippet[1], steps, seed), "theirs"
            else:
                output, who = block(code, namespace), "ours"
            for line in output.splitlines():
                if line.startswith("{"):
                    for key, value in ast.literal_eval(line).items():
                        figures.setdefault((title, key), {}).setdefault(who, []).append(value)


def spread(values: np.ndarray) -> str:
    """Return mean ± standard deviation, or nothing of nothing."""
    if not values.size:
        return ""
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{deviation}"


def main() -> None:
    """Run the page for each seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--torch", required=True, help="an interpreter")
    parser.add_argument("--artifex", help="an interpreter")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    figures: Figures = {}
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            pythons = {"torch": options.torch, "artifex": options.artifex}
            run_page(pythons, options.steps, seed, figures)
            if options.save and not seed:
                for file in Path().glob("*.safetensors"):
                    shutil.copyfile(file, HERE / file.name)
        print(f"seed {seed} done", flush=True)
    print("| section | figure | theirs | Workshop | largest relative difference |")
    print("|---|---|---:|---:|---:|")
    for (title, key), by in figures.items():
        theirs, ours = (np.array(by.get(who, [])) for who in ("theirs", "ours"))
        gap = ""
        if theirs.size and ours.size:
            gap = f"{np.max(np.abs(theirs - ours) / np.abs(theirs)):.1e}"
        print(f"| {title} | {key} | {spread(theirs)} | {spread(ours)} | {gap} |")


if __name__ == "__main__":
    main()
