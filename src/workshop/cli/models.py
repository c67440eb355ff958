"""The `models` command."""

import json

from workshop.cli.commands import Models
from workshop.cli.options import Start, default_config
from workshop.cli.tables import console, folding_table, say
from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration.presets import PRESETS, Preset


def models(options: Models) -> None:
    """Print the models, or the configuration of one."""
    if options.name is not None:
        name = checks.one_of("NAME", options.name, tuple(PRESETS))
        config = default_config(Start(model=name)).model_dump(mode="json", exclude_none=True)
        say(json.dumps({"model": PRESETS[name].model, "config": config}, indent=2))
        return
    table = folding_table("name", "what it is", "components", "paper")
    table.columns[0].no_wrap = True
    for name, preset in PRESETS.items():
        table.add_row(name, preset.summary, _components(preset), _citation(preset.paper))
    console.print(table)
    say(
        "workshop train --model NAME trains one; workshop models NAME prints its configuration, "
        "which train --config reads from a file"
    )


def _components(preset: Preset) -> str:
    kinds = {name: part.model_dump()["kind"] for name, part in preset.components.items()}
    return ", ".join(f"{name} {kind}" for name, kind in kinds.items())


def _citation(paper: str) -> str:
    """Return authors and year."""
    authors, _, rest = paper.partition(", ")
    return f"{authors} {rest.rpartition(', ')[2]}"
