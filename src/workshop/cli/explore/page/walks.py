"""Walks through the latent space: between two examples, and along each latent alone."""

from functools import partial
from typing import Any

import numpy as np
from nicegui import ui

from workshop.cli.explore.geometry import PATHS
from workshop.cli.explore.page.widgets import BUTTON, LINK, Latest, Picture, heading, told
from workshop.cli.explore.pictures import gif, paint, png, sheet_of
from workshop.cli.explore.session import Session
from workshop.cli.explore.view import View

_FRAMES = 24
"""Pictures of the moving one, whatever the strip has."""
ROWS = 10
"""Latents that a traversal shows."""
_WIDE = 704
"""Pixels of one of its rows, about."""


class InterpolatePanel:
    """From one example to another, as a strip and as a moving picture."""

    def __init__(self, view: View):
        self.view, self.session, self.latest = view, view.session, Latest()
        self.ends = [self.session.example(index) for index in (0, _other(self.session))]
        note = "the class of the first one all the way" if self.session.conditional else ""
        heading("From one example to another", note)
        with ui.row().classes("gap-6 items-end"):
            self.sides = [self._side(number) for number in range(2)]
            with ui.column().classes("gap-1"):
                self.kind = ui.toggle(list(PATHS), value="linear", on_change=self.refresh)
                self.kind.props("no-caps padding='4px 12px'")
                self.steps = ui.number("pictures", value=11, min=2, max=40, precision=0)
                self.steps.classes("w-24").on_value_change(self.refresh)
        self.strip = Picture("interpolation")
        with ui.row().classes("gap-6 items-end"):
            self.moving = Picture("moving interpolation")
            with ui.column().classes("gap-1"):
                self.files: dict[str, bytes] = {}
                for kind in ("gif", "png"):
                    name = f"interpolation.{kind}"
                    button = ui.button(f"Save {name}", icon="download")
                    button.props(LINK)
                    button.on_click(partial(self._save, name))

    def _save(self, name: str) -> None:
        ui.download(self.files[name], name)

    def _side(self, number: int) -> tuple[Picture, Any]:
        with ui.column().classes("items-center gap-1"):
            picture = Picture(f"end {number + 1}", 96)
            title = ui.label().classes("text-xs text-gray-500")
            button = ui.button("Take the chosen one", on_click=told(lambda: self._take(number)))
            button.props(BUTTON)
        return picture, title

    async def _take(self, number: int) -> None:
        self.ends[number] = self.view.example
        await self.refresh()

    async def refresh(self) -> None:
        """Walk from one end to the other."""
        if not self.steps.value or not 2 <= self.steps.value <= 40:
            return  # half typed
        for end, (picture, title) in zip(self.ends, self.sides, strict=True):
            picture.show(paint(end.x[None], self.session.scale)[0])
            title.set_text(end.title)
        made = await self.latest.run(self._walk, int(self.steps.value), self.kind.value)
        if made is not None:
            strip, moving = made
            self.files = {"interpolation.png": strip, "interpolation.gif": moving}
            self.strip.show_bytes(strip, "png")
            self.moving.show_bytes(moving, "gif")

    def _walk(self, steps: int, kind: str) -> tuple[bytes, bytes]:
        first, last = (self.session.encode(end) for end in self.ends)
        pictures = [
            paint(
                self.session.interpolate(first, last, count, kind, self.ends[0].label),
                self.session.scale,
            )
            for count in (steps, _FRAMES)
        ]
        sheet, tiles = sheet_of(pictures[0], min(steps, 14), 64)
        return png(sheet.draw(tiles)), gif(pictures[1], 200)


class TraversePanel:
    """A row a latent, the most active first: what it changes while it alone moves."""

    def __init__(self, view: View):
        self.view, self.session, self.latest = view, view.session, Latest()
        most = f"a row each, those of most {self.session.activity_name} first"
        heading("What each latent changes", most)
        with ui.row().classes("items-center gap-6"):
            self.rows = self._number("latents", min(ROWS, len(self.session.order)), 1, 40)
            self.reach = self._number("reach", 3, 0.5, 10, precision=1)
            self.steps = self._number("pictures", 11, 2, 21)
            note = "From the chosen example's point; each latent goes from -reach to reach."
            if self.session.discrete:
                note = "From the chosen example's point; each channel goes around its mean, in "
                note += "standard deviations."
            ui.label(note).classes("text-xs text-gray-500")
        self.grid = ui.grid(columns="auto 1fr").classes("gap-x-4 gap-y-0 items-center")

    def _number(self, name: str, value: float, low: float, high: float, precision: int = 0) -> Any:
        number = ui.number(name, value=value, min=low, max=high, precision=precision)
        return number.classes("w-20").on_value_change(self.refresh)

    async def refresh(self) -> None:
        """Walk along the latents."""
        numbers = (self.rows, self.reach, self.steps)
        if any(n.value is None or not n.min <= n.value <= n.max for n in numbers):
            return  # half typed
        dims = self.session.order[: int(self.rows.value)]
        reach, steps = float(self.reach.value), int(self.steps.value)
        made = await self.latest.run(self._walk, dims, reach, steps)
        if made is None:
            return
        self.grid.clear()
        with self.grid:
            ui.label()
            ends = f"−{reach:g}", f"{reach:g}"
            with ui.row().classes("justify-between w-full text-xs text-gray-500"):
                for end in ends:
                    ui.label(end)
            for dim, row in zip(dims, made, strict=True):
                active = f"{self.session.activity_name} {self.session.activity[dim]:.2f}"
                ui.label(f"z{dim}  {active}").classes("text-xs")
                size = min(60, _WIDE // steps - 4)
                sheet, tiles = sheet_of(paint(row, self.session.scale), steps, size, gap=2)
                Picture(f"traversal of z{dim}").show(sheet.draw(tiles))

    def _walk(self, dims: list[int], reach: float, steps: int) -> np.ndarray:
        example = self.view.example
        z = self.session.encode(example)
        return self.session.traverse(z, dims, reach, steps, example.label)


def _other(session: Session) -> int:
    """Return an example to go to: of another class than the first; of its own if it is told."""
    if session.y is None:
        return min(1, len(session.x) - 1)
    same = session.y == session.y[0]
    found = np.flatnonzero(same if session.conditional else ~same)
    return int(found[-1]) if len(found) else len(session.x) - 1
