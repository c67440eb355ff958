"""The entry point: find the command, read its options, run it, and turn errors into sentences."""

import contextlib
import logging
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import tyro
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from workshop.cli.commands import COMMANDS, train
from workshop.cli.parsing import parse, sentences
from workshop.cli.streams import robust_output


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the `workshop` command."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    # Some library sets up the root logger; our own notes go out as plain sentences.
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
    if argv[:1] != ["train"]:
        return parse(COMMANDS, argv, None, _ABOUT)()
    command, config = _train_command(argv[1:])
    return parse(COMMANDS | {"train": command}, argv, config, _ABOUT)()


# Who reads data says so by the name of a function, which nobody typed here.
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


def _train_command(arguments: list[str]) -> tuple[Callable[..., None], Any]:
    """Return `train` with its options, whose defaults depend on some of their values.

    Beside it is the configuration of the model that the options start from.
    """
    from workshop.cli.starting import train_options

    kind: Any = train_options(arguments)

    def command(options: Annotated[kind, tyro.conf.arg(name="")]) -> None:  # type: ignore
        from workshop.cli.train import train as run

        given = {a.split("=")[0].replace("_", "-") for a in arguments if a.startswith("--")}
        if options.resume is None:
            return run(options)
        extra = given - _WITH_RESUME
        if extra:
            raise ValueError(
                f"--resume takes the options that the run was started with: drop {min(extra)}"
            )
        return run(
            options,
            moved_to=options.data if "--data" in given else None,
            steps=options.training.steps if "--steps" in given else None,
        )

    command.__doc__ = train.__doc__
    return command, kind.__dataclass_fields__["config"].default
