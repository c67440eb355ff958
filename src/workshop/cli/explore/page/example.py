"""The chosen example: from a gallery, by its number, at random, or from a file."""

import random
from typing import Any

import numpy as np
from nicegui import ui

from workshop.cli.explore.examples import Example
from workshop.cli.explore.page.widgets import LINK, Clickable, Picture, complain, heading, told
from workshop.cli.explore.pictures import paint, sheet_of
from workshop.cli.explore.uploads import MOST_BYTES, read_upload
from workshop.cli.explore.view import View

_GALLERY = 24
"""Examples in the gallery at a time."""


class ExamplePanel:
    """Chooses the example that all tabs speak of."""

    def __init__(self, view: View, *, binarize: bool):
        self.view, self.session, self.binarize = view, view.session, binarize
        self.images = self.session.x.ndim == 4
        self.shown = np.arange(min(_GALLERY, len(self.session.x)))
        heading("Chosen example", "all tabs speak of it")
        with ui.row().classes("items-start gap-4 no-wrap w-full"):
            with ui.column().classes("gap-1 items-start"):
                self.picture = Picture("the chosen example", 112)
                self.title = ui.label().classes("text-xs text-gray-500 w-28 break-words")
            with ui.column().classes("gap-2 grow min-w-0"):
                self._controls()
                self.sheet, self.gallery = None, Clickable("gallery", self._clicked)
        view.on_example.append(self.refresh)
        self.refresh()
        self._fill_gallery()

    def _controls(self) -> None:
        with ui.row().classes("items-center gap-2"):
            self.number = ui.number("number", value=0, min=0, max=len(self.session.x) - 1)
            self.number.classes("w-20").on("keydown.enter", told(self._numbered))
            ui.button("Show", on_click=told(self._numbered)).props(LINK)
            ui.button("Random", on_click=self._random).props(LINK)
            self.upload = ui.upload(
                on_upload=told(self._uploaded),
                on_rejected=lambda: complain(f"that file has over {MOST_BYTES // 2**20} MiB"),
                max_file_size=MOST_BYTES,
                auto_upload=True,
            ).classes("hidden")
            pick = ui.button("Upload", icon="upload").props(LINK)
            pick.on_click(lambda: self.upload.run_method("pickFiles"))
            self.fit = ui.switch("make it fit").props("dense")
            self.fit.tooltip("resize an uploaded image, and drop or add colour")
            self.fit.set_visibility(self.images)

    def refresh(self) -> None:
        """Show the chosen example."""
        self.picture.show(self.view.example_picture())
        self.title.set_text(self.view.example.title)
        if self.view.example.index is not None:
            self.number.set_value(self.view.example.index)

    def _fill_gallery(self) -> None:
        pictures = paint(self.session.x[self.shown], self.session.scale)
        columns, size = (8, 38) if self.images else (4, 78)
        self.sheet, tiles = sheet_of(pictures, columns, size, gap=2)
        self.gallery.show(self.sheet.draw(tiles))

    def _clicked(self, x: float, y: float) -> None:
        tile = None if self.sheet is None else self.sheet.at(x, y, len(self.shown))
        if tile is not None:
            self._choose(int(self.shown[tile]))

    def _choose(self, index: int) -> None:
        self.view.choose(self.session.example(index))

    def _numbered(self) -> None:
        if self.number.value is None:
            raise ValueError("example: expected a number")
        self._choose(int(self.number.value))

    def _random(self) -> None:
        every = range(len(self.session.x))
        self.shown = np.array(random.sample(every, len(self.shown)))
        self._fill_gallery()
        self._choose(int(self.shown[0]))

    async def _uploaded(self, event: Any) -> None:
        file = event.file
        self.upload.reset()
        if file.size() > MOST_BYTES:  # a browser refuses it before, but not every client does
            raise ValueError(f"{file.name} has over {MOST_BYTES // 2**20} MiB")
        shape, content = self.session.x.shape[1:], await file.read()
        x = read_upload(file.name, content, shape, fit=bool(self.fit.value), binarize=self.binarize)
        # A conditional model reads it under the class that is chosen.
        label = self.view.y if self.session.conditional else None
        self.view.choose(Example(self.session.accept(file.name, x), label, file.name))
