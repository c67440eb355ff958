"""The page put together, and its server."""

import contextlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import Response
from nicegui import app, run, ui
from starlette.middleware.trustedhost import TrustedHostMiddleware

from workshop.cli.explore.page.codes import CodePanel
from workshop.cli.explore.page.example import ExamplePanel
from workshop.cli.explore.page.latents import LatentPanel
from workshop.cli.explore.page.map import MapPanel
from workshop.cli.explore.page.reconstruct import ReconstructPanel
from workshop.cli.explore.page.training import SECONDS, TrainingPanel
from workshop.cli.explore.page.walks import InterpolatePanel, TraversePanel
from workshop.cli.explore.pictures import paint, png, sized
from workshop.cli.explore.session import Session
from workshop.cli.explore.view import View

_CARD = "w-full p-4 shadow-none border border-gray-200"
_TOOLTIP_SIZE = 96


class Explorer:
    """The run that is served, with its session once there is a model.

    Args:
        folder: the run folder.
        title: title of the page.
        open_session: opens the run; returns None while it has no model yet.
        binarize: whether the run binarized its data.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        open_session: Callable[[], Session | None],
        *,
        binarize: bool,
    ):
        self.folder, self.title, self.open_session = folder, title, open_session
        self.binarize = binarize
        self.session = open_session()

    def page(self) -> None:
        """Build the page of one visitor."""
        ui.colors(primary="#3f6fa8")
        ui.query("body").classes("bg-gray-50")
        with ui.row().classes("items-baseline gap-3 px-2"):
            ui.label(self.folder.name).classes("text-xl font-medium")
            ui.label(self.title).classes("text-sm text-gray-500")
        if self.session is None:
            self._wait()
        else:
            self._explore(View(self.session))

    def _wait(self) -> None:
        with ui.card().classes(_CARD):
            ui.label("The model is there when training ends; this page then shows it.")
            TrainingPanel(self.folder)
        ui.timer(SECONDS, self._look, immediate=False)

    async def _look(self) -> None:
        if self.session is None:
            self.session = await run.io_bound(self.open_session)
        if self.session is not None:
            ui.navigate.reload()

    def _explore(self, view: View) -> None:
        with ui.row().classes("w-full gap-4 items-start no-wrap max-[1100px]:flex-wrap"):
            with ui.column().classes("gap-4 w-[520px] shrink-0 max-w-full"):
                with ui.card().classes(_CARD):
                    MapPanel(view)
                with ui.card().classes(_CARD):
                    ExamplePanel(view, binarize=self.binarize)
            with ui.card().classes(_CARD + " grow min-w-0"):
                _Tabs(view, self.folder)

    def picture(self, index: int) -> Response:
        """Return an example's picture, for the map."""
        if self.session is None or not 0 <= index < len(self.session.x):
            return Response(status_code=404)
        picture = paint(self.session.x[index][None], self.session.scale)[0]
        headers = {"Cache-Control": "no-cache"}  # another run may be served here next
        return Response(png(sized(picture, _TOOLTIP_SIZE)), media_type="image/png", headers=headers)


class _Tabs:
    """The tabs; of those that take time, the one in sight is kept up to date."""

    def __init__(self, view: View, folder: Path):
        first = ("Codes", CodePanel) if view.session.discrete else ("Latents", LatentPanel)
        panels: dict[str, Callable[[], Any]] = {
            first[0]: lambda: first[1](view),
            "Reconstruct": lambda: ReconstructPanel(view),
            "Interpolate": lambda: InterpolatePanel(view),
            "Traverse": lambda: TraversePanel(view),
            "Training": lambda: TrainingPanel(folder),
        }
        with ui.tabs().props("dense no-caps align=left").classes("w-full") as tabs:
            for name in panels:
                ui.tab(name)
        self.built: dict[str, Any] = {}
        with ui.tab_panels(
            tabs, value=first[0], on_change=self.refresh, animated=False
        ) as self.all:
            for name, build in panels.items():
                with ui.tab_panel(name).classes("px-1"):
                    self.built[name] = build()
        self.all.classes("w-full bg-transparent").props("keep-alive")
        view.on_example.append(self._later)

    def _later(self) -> None:
        """Refresh in a task of its own: whoever chose the example waits for no measurement."""
        with self.all:
            ui.timer(0.0, self.refresh, once=True)

    async def refresh(self) -> None:
        """Bring the tab in sight up to date."""
        found = self.built[str(self.all.value)]
        refresh = getattr(found, "refresh", None)
        if inspect.iscoroutinefunction(refresh):
            await refresh()


def serve(explorer: Explorer, host: str, port: int, *, local: bool, show: bool) -> None:
    """Serve the page until Ctrl-C.

    If `local`, requests to other names than this machine's are refused: a page elsewhere whose name
    resolves to this machine would otherwise be let in.
    """
    if local:
        hosts = ["127.0.0.1", "localhost", "[::1]", "::1"]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    app.get("/examples/{index}.png")(explorer.picture)
    with contextlib.suppress(KeyboardInterrupt):
        ui.run(
            explorer.page,
            host=host,
            port=port,
            title=f"{explorer.folder.name} · workshop",
            favicon="🔭",
            show=show,
            reload=False,
            show_welcome_message=False,
        )
