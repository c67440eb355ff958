"""A slider for each latent, and the picture of the point that they are set to."""

import random
from typing import Any

import numpy as np
from nicegui import ui

from workshop.cli.explore.page.widgets import BUTTON, Picture, heading
from workshop.cli.explore.view import View

SHOWN = 24
"""Latents with a slider in sight; those with less KL are folded away."""


class PointPanel:
    """The picture of the point, and the buttons that move it; both kinds of latents have it."""

    def __init__(self, view: View):
        self.view = view
        self.picture = Picture("decoded", 288)
        with ui.row().classes("gap-2"):
            if not view.session.discrete:
                ui.button("Reset", on_click=self._reset).props(BUTTON)
            ui.button("Random", on_click=self._random).props(BUTTON)
            ui.button("From the example", on_click=view.to_example).props(BUTTON)
        if view.session.classes:
            choices: dict[Any, str] = {None: "none said"}
            choices |= {i: view.session.name(i) for i in range(view.session.classes)}
            what = "class" if view.session.conditional else "class, for Random"
            self.choice = ui.select(choices, value=view.y, label=what, on_change=self._class)
            self.choice.classes("w-44")
        else:
            self.choice = None
        view.on_point.append(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Decode the point."""
        self.picture.show(self.view.picture())
        if self.choice is not None and self.choice.value != self.view.y:
            self.choice.set_value(self.view.y)

    def _reset(self) -> None:
        self.view.move(np.zeros_like(self.view.z))

    def _random(self) -> None:
        self.view.to_random(random.randrange(2**31))

    def _class(self, event: Any) -> None:
        if event.value != self.view.y:
            self.view.set_class(event.value)


class LatentPanel:
    """Sliders, the latent of most KL first."""

    def __init__(self, view: View):
        self.view, self.session = view, view.session
        self.sliders: dict[int, Any] = {}
        self.values: dict[int, Any] = {}
        self._placing = False
        order = self.session.order
        with ui.row().classes("gap-8 no-wrap items-start w-full"):
            with ui.column().classes("items-center"):
                PointPanel(view)
            with ui.column().classes("gap-0 grow min-w-0"):
                heading("Latents", "the most active first; KL in nats, over the data")
                for dim in order[:SHOWN]:
                    self._slider(dim)
                if len(order) > SHOWN:
                    rest = ui.expansion(f"{len(order) - SHOWN} more, of less KL")
                    with rest.classes("w-full"):
                        for dim in order[SHOWN:]:
                            self._slider(dim)
        view.on_point.append(self.refresh)
        self.refresh()

    def _slider(self, dim: int) -> None:
        reach = self.session.reach
        with ui.row().classes("items-center gap-3 no-wrap w-full h-7"):
            ui.label(f"z{dim}").classes("w-10 shrink-0 text-right")
            ui.label(f"KL {self.session.activity[dim]:.2f}").classes(
                "w-12 shrink-0 whitespace-nowrap text-xs text-gray-500"
            )
            slider = ui.slider(
                min=-reach, max=reach, step=0.01, value=0, on_change=lambda e: self._set(dim, e)
            )
            slider.classes("grow").props("dense").props["aria-label"] = f"z{dim}"
            self.sliders[dim] = slider
            self.values[dim] = ui.label().classes("w-12 shrink-0 text-right text-xs tabular-nums")

    def _set(self, dim: int, event: Any) -> None:
        if not self._placing and event.value is not None:
            self.view.set_latent(dim, float(event.value))

    def refresh(self) -> None:
        """Put the sliders where the point is."""
        self._placing = True  # what we set is no wish of the person's
        for dim, slider in self.sliders.items():
            value = round(float(self.view.z[dim]), 2) + 0.0  # no -0.00
            if slider.value != value:
                slider.set_value(value)
            self.values[dim].set_text(f"{value:+.2f}")
        self._placing = False
