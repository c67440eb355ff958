"""What may listen to a run."""

from typing import Any

Row = dict[str, Any]
"""One line of metrics: step, split ("train" or "validation"), and the metrics by name."""


class Callback:
    """Override what you need; the trainer calls it between two calls of the compiled loop.

    Nothing here can change what is trained, so that runs with and without callbacks are equal to
    the bit.

    Examples:
        >>> class Printer(Callback):
        ...     def on_row(self, row):
        ...         print(row["step"], row["split"], round(row["elbo"], 2))
    """

    def on_start(self, step: int) -> None:
        """Take note that a run begins, or goes on, after `step` steps."""

    def on_row(self, row: Row) -> None:
        """Take a row of metrics: means since the last row, or over the validation data."""

    def on_evaluation(self, step: int, model: Any) -> None:
        """Take a copy of the model, with the weights that were just evaluated."""

    def on_end(self) -> None:
        """Take note that the run ends, for whatever reason."""
