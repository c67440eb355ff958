"""Parts that several panels share."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from nicegui import run, ui

from workshop.cli.explore.pictures import RGB, png, url

T = TypeVar("T")
_PIXELATED = "image-rendering: pixelated"
BUTTON, LINK = "outline dense no-caps padding='2px 10px'", "flat dense no-caps padding='2px 8px'"


class Picture:
    """A replaceable picture with a text alternative; `size` is its longer side in pixels."""

    def __init__(self, name: str, size: int | None = None):
        self.size = size
        self.element = ui.element("img").style(f"{_PIXELATED}; max-width: 100%")
        self.element.props["alt"] = name

    def show(self, picture: RGB) -> None:
        """Show a picture."""
        if self.size is not None:
            high, wide = picture.shape[:2]
            side = "width" if wide >= high else "height"
            self.element.style(f"{side}: {self.size}px")
        self.show_bytes(png(picture), "png")

    def show_bytes(self, content: bytes, kind: str) -> None:
        """Show the bytes of a file."""
        self.element.props["src"] = url(content, kind)


class Clickable:
    """A picture whose points can be clicked: the callback gets them in the picture's pixels."""

    def __init__(self, name: str, on_click: Callable[[float, float], Any]):
        def clicked(event: Any) -> Any:
            return on_click(event.image_x, event.image_y)

        self.element = ui.interactive_image(on_mouse=told(clicked)).style("max-width: 100%")
        self.element.props["aria-label"] = name

    def show(self, picture: RGB) -> None:
        """Show a picture at its own size."""
        self.element.style(f"width: {picture.shape[1]}px; cursor: pointer")
        self.element.set_source(url(png(picture)))


class Latest:
    """Runs what takes a while beside the page, of several at a time only the last one for good."""

    def __init__(self) -> None:
        self._asked = 0

    async def run(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """Return what a function returns; None if it was asked again since, or the server stops."""
        self._asked += 1
        mine = self._asked
        found = await run.io_bound(function, *arguments)
        return found if mine == self._asked else None


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a handler whose ValueErrors are told to the person, and the page lives on."""
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def later(*args: Any) -> Any:
            try:
                return await handler(*args)
            except ValueError as error:
                return complain(str(error))

        return later

    @functools.wraps(handler)
    def now(*args: Any) -> Any:
        try:
            return handler(*args)
        except ValueError as error:
            return complain(str(error))

    return now


def complain(sentence: str) -> None:
    """Show what was wrong."""
    ok = {"label": "OK", "color": "white"}
    ui.notify(sentence, type="negative", multi_line=True, timeout=8000, actions=[ok])


def heading(text: str, note: str = "") -> None:
    """Write what a card holds."""
    with ui.row().classes("items-baseline gap-3"):
        ui.label(text).classes("text-base font-medium")
        if note:
            ui.label(note).classes("text-xs text-gray-500")
