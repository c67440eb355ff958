"""An example beside what the model makes of it, with its ELBO."""

import numpy as np
from nicegui import ui

from workshop.cli.explore.page.widgets import Latest, Picture, heading
from workshop.cli.explore.pictures import paint
from workshop.cli.explore.session import SAMPLES
from workshop.cli.explore.view import View
from workshop.generative_models.visualization.scales import Scale

SIZE = 200


class ReconstructPanel:
    """Three pictures and three figures of the chosen example."""

    def __init__(self, view: View):
        self.view, self.session, self.latest = view, view.session, Latest()
        heading("What the model makes of the chosen example")
        with ui.row().classes("gap-6"):
            self.pictures = [self._picture(name) for name in ("example", "model", "difference")]
        said, open_ = "what the latents say of the example", "what they leave open"
        if self.session.discrete:
            said = "the logarithm of the number of codes, for each place"
        else:
            open_ += f"; over {SAMPLES} samples of z"
        with ui.grid(columns="auto auto 1fr").classes("gap-x-6 gap-y-1 items-baseline"):
            self.figures = [
                self._figure("ELBO", "the lower bound of log p(x); higher is better"),
                self._figure("KL", f"KL(q(z|x) ‖ p(z)): {said}"),
                self._figure("reconstruction loss", f"-E log p(x|z): {open_}"),
            ]

    def _picture(self, name: str) -> Picture:
        with ui.column().classes("items-center gap-1"):
            picture = Picture(name, SIZE)
            ui.label(name).classes("text-xs text-gray-500")
        return picture

    def _figure(self, name: str, note: str) -> ui.label:
        ui.label(name)
        label = ui.label().classes("font-medium tabular-nums text-right")
        label.props["aria-label"] = name
        ui.label(note).classes("text-xs text-gray-500")
        return label

    async def refresh(self) -> None:
        """Measure the chosen example."""
        example, scale = self.view.example, self.session.scale
        made = await self.latest.run(self.session.measure, example)
        if made is None:
            return
        far = np.abs(made.x - example.x)
        for picture, array, own in zip(
            self.pictures,
            (example.x, made.x, far),
            (scale, scale, Scale(0.0, scale.high - scale.low)),
            strict=True,
        ):
            picture.show(paint(array[None], own)[0])
        found = made.elbo, made.kl_loss, made.reconstruction_loss
        for label, value in zip(self.figures, found, strict=True):
            label.set_text("not defined" if value is None else f"{value:.2f} nats")
