"""How long a training step of each preset takes, beside that of the VAE and of Pythae's model.

    python benchmarks/preset_steps.py [--torch PYTHON] [--only iwae vamp] [--seconds 1] [--rounds 5]

Every preset is the components of `workshop models NAME` on one MLP, with random examples; a step is
that of `Trainer.fit`. With `--torch`, an environment that has torch and pythae, Pythae's model of
that kind has the same networks and, where the two have different defaults, the sizes of ours:
samples, leapfrog steps, components. Its step is that of its own trainer, whose epochs also copy the
model. All loops take turns for several rounds, and ratios are taken within each round.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from flax import nnx

from cases import BATCH, CASES, EXAMPLES, MLP, examples
from loops import Loop
from objectives import measure, ratio, step_loop
from peers import Peer, Unavailable
from workshop.generative_models.core.configuration.presets import PRESETS
from workshop.generative_models.models.vae import VAE

PYTHAE: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("VAE", {}),
    "ae": ("AE", {}),
    "rae-l2": ("RAE_L2", {}),
    "rae-gp": ("RAE_GP", {}),
    "wae-mmd": ("WAE_MMD", {}),
    "adversarial-ae": ("Adversarial_AE", {}),
    "beta-tc-vae": ("BetaTCVAE", {}),
    "factor-vae": ("FactorVAE", {}),
    "info-vae-mmd": ("INFOVAE_MMD", {}),
    "iwae": ("IWAE", {"number_samples": "samples"}),
    "miwae": ("MIWAE", {"number_gradient_estimates": "groups", "number_samples": "each"}),
    "piwae": ("PIWAE", {"number_gradient_estimates": "groups", "number_samples": "each"}),
    "ciwae": ("CIWAE", {"number_samples": "samples"}),
    "ms-ssim-vae": ("MSSSIM_VAE", {}),
    "vae-gan": ("VAEGAN", {}),
    "vae-lin-nf": ("VAE_LinNF", {"flows": "planar"}),
    "vae-iaf": ("VAE_IAF", {"n_made_blocks": "flows"}),
    "hvae": ("HVAE", {"n_lf": "steps"}),
    "rhvae": ("RHVAE", {"n_lf": "steps"}),
    "svae": ("SVAE", {}),
    "poincare-vae": ("PoincareVAE", {}),
    "vamp": ("VAMP", {"number_components": "components"}),
}
"""Pythae's models by preset, and which fields of ours set which of theirs."""
THEIRS = "Pythae's {}"


def model_of(name: str) -> VAE:
    network, config = CASES[MLP]
    return network(type(config)(**dict(config) | PRESETS[name].components), rngs=nnx.Rngs(0))


def peer_options(name: str) -> dict[str, Any]:
    """Return the options of Pythae's model that make it as large as ours."""
    ours: dict[str, Any] = {}
    for component in PRESETS[name].components.values():
        ours |= dict(component)
    if "groups" in ours:
        ours["each"] = ours["samples"] // ours["groups"]
    ours["planar"] = ["Planar"] * ours.get("flows", 0)
    return {theirs: ours[field] for theirs, field in PYTHAE[name][1].items()}


def prepared(
    names: list[str], torch: str | None, stack: contextlib.ExitStack
) -> tuple[dict[str, Loop], dict[str, str]]:
    """Return loops that have run, by preset, and what did not run."""
    x, loops, missing = examples(MLP), {}, {}
    for name in names:
        print(f"  preparing {name}", file=sys.stderr)
        try:
            loops[name] = step_loop(model_of(name), x)
            loops[name](2)
        except Exception as error:  # the others are measured all the same
            loops.pop(name, None)
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        if torch is not None and name in PYTHAE:
            words = ("mlp", "pythae", PYTHAE[name][0], json.dumps(peer_options(name)))
            try:
                peer = Peer(torch, "torch_peer.py", *words, tuned=True)
                stack.callback(peer.close)
                peer(2)
                loops[THEIRS.format(name)] = peer
            except Unavailable as error:
                missing[THEIRS.format(name)] = str(error)
    return loops, missing


def table(times: dict[str, list[float]], missing: dict[str, str]) -> list[str]:
    lines = [
        "| preset | ms a step | × the step of `vae` | Pythae: ms a step | Pythae / ours |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in PRESETS:
        if name not in times:
            continue
        mine, theirs = times[name], times.get(THEIRS.format(name))
        of_peer = ["–", "–"] if theirs is None else [ms(theirs), f"{ratio(theirs, mine):.1f}"]
        lines.append(
            f"| `{name}` | {ms(mine)} | {ratio(mine, times['vae']):.2f} | {' | '.join(of_peer)} |"
        )
    return [*lines, "", *(f"{name} is left out: {why}\n" for name, why in missing.items())]


def ms(seconds: list[float]) -> str:
    return f"{1e3 * statistics.median(seconds):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [name for name, preset in PRESETS.items() if preset.model == "vae"]
    names.remove("perceptual-vae")  # it reads the file of a network
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--torch", help="an interpreter that has torch and pythae")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each loop in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("PRESET_STEPS.md"))
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        chosen = list(dict.fromkeys(["vae", *options.only]))
        loops, missing = prepared(chosen, options.torch, stack)
        times = measure(loops, options.seconds, options.rounds)
    text = [
        "# Training steps of the presets\n",
        f"A run of `python benchmarks/preset_steps.py`: {MLP}, batches of {BATCH} from "
        f"{EXAMPLES:,} random examples, {len(os.sched_getaffinity(0))} cores, medians of "
        f"{options.rounds} rounds in which all loops take turns.\n",
        *table(times, missing),
    ]
    options.out.write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
