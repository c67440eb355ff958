"""`workshop export`: a run as programs that run without it."""

from pathlib import Path

import workshop
from workshop.cli.runs import compile_once
from workshop.cli.tables import say
from workshop.generative_models.export import export_model


def export(run: Path, to: str, out: Path | None) -> None:
    """Write the functions of a run, and say what was written."""
    compile_once()
    folder = run / "export" / to if out is None else out
    manifest = export_model(workshop.load(run), folder, to)
    for name, function in manifest.functions.items():
        given, found = (
            ", ".join(tensor.name for tensor in tensors)
            for tensors in (function.inputs, function.outputs)
        )
        apart = manifest.differences[name]
        say(f"{name}({given}) -> {found}: largest difference from the model {apart:.1g}")
    for name, why in manifest.left_out.items():
        say(f"{name} is left out: {why}")
    say(f"{manifest.model} as {to}, and how to run it in README.md: {folder}")
