"""`workshop export`: a run as programs that run without it."""

import workshop
from workshop.cli.commands import Export
from workshop.cli.runs import compile_once
from workshop.cli.tables import say
from workshop.generative_models.export import export_model


def export(options: Export) -> None:
    """Write the functions of a run, and print what was written."""
    compile_once()
    folder = options.out or options.run / "export" / options.to
    manifest = export_model(workshop.load(options.run), folder, options.to)
    for name, function in manifest.functions.items():
        given, found = (
            ", ".join(tensor.name for tensor in tensors)
            for tensors in (function.inputs, function.outputs)
        )
        apart = manifest.differences[name]
        say(f"{name}({given}) -> {found}: largest difference from the model {apart:.1g}")
    for name, why in manifest.left_out.items():
        say(f"{name} is left out: {why}")
    say(f"{manifest.model} as {options.to}, and how to run it in README.md: {folder}")
