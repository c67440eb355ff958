"""The curves of the run, which go on while it trains."""

from pathlib import Path

from nicegui import ui

from workshop.cli.explore.curves import Curves
from workshop.cli.explore.page.widgets import heading

SECONDS = 2.0
"""Between looks at the metrics file."""


class TrainingPanel:
    """A chart for each metric."""

    def __init__(self, run: Path):
        self.curves = Curves(run / "metrics.jsonl")
        self.charts: dict[str, ui.echart] = {}
        heading("Training", "the curves go on while the run does")
        self.state = ui.label("no metrics yet").classes("text-xs text-gray-500")
        self.state.props["aria-label"] = "state of training"
        self.grid = ui.grid().classes("w-full gap-4")
        self.grid.style("grid-template-columns: repeat(auto-fill, minmax(320px, 1fr))")
        self.look()
        ui.timer(SECONDS, self.look, immediate=False)

    def look(self) -> None:
        """Draw what is new."""
        try:
            if not self.curves.changed():
                return
        except ValueError as error:
            self.state.set_text(str(error))
            return
        self.state.set_text(f"step {self.curves.step:,}")
        if list(self.charts) != list(self.curves.charts):
            self.grid.clear()
            with self.grid:
                self.charts = {
                    key: ui.echart(options).style("height: 220px")
                    for key, options in self.curves.charts.items()
                }
            return
        for key, options in self.curves.charts.items():
            self.charts[key].options.clear()
            self.charts[key].options.update(options)
