"""The entry point: read the options of a command, run it, and print errors as sentences."""

import contextlib
import importlib
import logging
import re
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from workshop.cli.commands import COMMANDS
from workshop.cli.parsing import parse, sentences
from workshop.cli.streams import robust_output


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the `workshop` command."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    # A library may set up the root logger; log records of this package are printed as sentences.
    logger = logging.getLogger("workshop")
    logger.propagate = False
    logger.handlers = [logging.StreamHandler()]
    with robust_output(), _plain_warnings():
        try:
            _run(argv)
        except ValidationError as error:
            _fail(sentences(error))
        except (ValueError, FloatingPointError, ImportError, OSError) as error:
            # Our notes are sentences, such as at which step a run ended; Grain's are paragraphs.
            notes = [note for note in getattr(error, "__notes__", []) if "\n" not in note]
            _fail("\n".join([_as_typed(str(error)), *notes]))
        except KeyboardInterrupt:
            _fail("stopped", code=128 + signal.SIGINT)


def _run(argv: list[str]) -> None:
    kinds = {name: kind for name, (kind, _) in COMMANDS.items()}
    config = None
    if argv[:1] == ["train"]:
        from workshop.cli.starting import train_options

        kinds["train"] = train_options(argv[1:])
        config = kinds["train"].__dataclass_fields__["config"].default
    options: Any = parse(kinds, argv, config, _ABOUT)
    continued = {} if argv[0] != "train" or options.resume is None else _continued(argv, options)
    module, _, function = COMMANDS[argv[0]][1].rpartition(".")
    getattr(importlib.import_module(f"workshop.cli.{module}"), function)(options, **continued)


def _continued(argv: list[str], options: Any) -> dict[str, Any]:
    """Return what `train --resume` changes in the run that it continues."""
    given = {word.split("=")[0].replace("_", "-") for word in argv if word.startswith("--")}
    extra = given - _WITH_RESUME
    if extra:
        raise ValueError(
            f"--resume takes the options that the run was started with: drop {min(extra)}"
        )
    return {
        "moved_to": options.data if "--data" in given else None,
        "steps": options.training.steps if "--steps" in given else None,
    }


# The functions that read data start their messages with their own name, which nobody typed here.
_CALL = re.compile(r"^(?:data_shape|load_dataset|load_in_order)\((['\"].*?['\"])\): ")


def _as_typed(message: str) -> str:
    return _CALL.sub(r"data \1: ", message)


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print warnings for users as sentences, without the line of code that they come from."""
    usual: Any = warnings.formatwarning

    def plain(message: Any, category: type[Warning], *where: Any, **options: Any) -> str:
        if category is not UserWarning:
            return usual(message, category, *where, **options)
        return f"warning: {_as_typed(str(message))}\n"

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = usual


_WITH_RESUME = frozenset(
    ("--resume", "--steps", "--data", "--progress", "--no-progress", "--join", "--coordinator",
     "--processes", "--process")
)  # fmt: skip
"""Options that may be given together with --resume."""
_ABOUT = "Train variational autoencoders, look at them, measure them."


def _fail(message: str, code: int = 2) -> None:
    console = Console(stderr=True, soft_wrap=True)  # a path is never broken
    console.print("[bold red]error:[/]", escape(message), highlight=False)
    raise SystemExit(code)
