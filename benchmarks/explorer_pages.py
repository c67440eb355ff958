"""How quickly a slider moves a picture on a page made with NiceGUI, Gradio and Panel.

    python benchmarks/explorer_pages.py --library nicegui=PYTHON --library gradio=PYTHON ...

Each PYTHON is an interpreter of an environment with that library, NumPy and Pillow; this one needs
the extra `browser` and Chromium. Every page has one slider and one picture of 256 x 256 that NumPy
draws. The libraries take turns; a move is a key on the slider, and it ends when the browser shows
another picture. Also: seconds until the page answers, and the size of the environment.
"""

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PICTURE = """
import io, sys
import numpy as np
from PIL import Image
port = int(sys.argv[1])
def picture(value):
    y, x = np.mgrid[:256, :256] / 256
    return Image.fromarray(np.uint8(127 + 127 * np.sin(20 * x * y + value / 10)))
"""
PAGES = {
    "nicegui": """
from nicegui import ui
def index():
    image = ui.image(picture(0)).style('width: 256px')
    ui.slider(min=0, max=1000, value=0, on_change=lambda e: image.set_source(picture(e.value)))
ui.run(index, port=port, show=False, reload=False)
""",
    "gradio": """
import gradio as gr
with gr.Blocks() as demo:
    image = gr.Image(picture(0), format='png')
    slider = gr.Slider(0, 1000, 0, step=1)
    slider.input(picture, slider, image, show_progress='hidden')
demo.launch(server_port=port, quiet=True)
""",
    "panel": """
import panel as pn
slider = pn.widgets.IntSlider(start=0, end=1000, value=0)
pn.serve(lambda: pn.Column(pn.pane.PNG(pn.bind(picture, slider), width=256), slider),
         port=port, show=False)
""",
}
HANDLES = {
    "nicegui": ".q-slider__track-container",
    "gradio": "input[type=range]",
    "panel": ".noUi-handle",
}
# The first large picture, in shadow roots too.
SHOWN = """
window.shown = () => {
  const look = root => {
    for (const node of root.querySelectorAll('*')) {
      if (node.tagName === 'IMG' && node.clientWidth > 100 && node.complete) return node.src
      const inside = node.shadowRoot && look(node.shadowRoot)
      if (inside) return inside
    }
  }
  return look(document)
}
window.moved = before => new Promise((done, fail) => {
  const started = performance.now()
  const tick = () => {
    const now = window.shown()
    if (now && now !== before) done(performance.now() - started)
    else if (performance.now() - started > 5000) fail('no other picture after 5 s')
    else requestAnimationFrame(tick)
  }
  tick()
})
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serve(name: str, python: str, folder: Path) -> tuple[subprocess.Popen, str, float]:
    """Start a page; return its process, its address, and the seconds until it answered."""
    script, port = folder / f"{name}_page.py", free_port()
    script.write_text(PICTURE + PAGES[name])
    quiet = {"GRADIO_ANALYTICS_ENABLED": "False"}
    started, address = time.perf_counter(), f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [python, script, str(port)], env=os.environ | quiet, cwd=folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while time.perf_counter() - started < 120:
        try:
            urllib.request.urlopen(address, timeout=10).read()
        except OSError:
            time.sleep(0.05)
        else:
            return process, address, time.perf_counter() - started
    process.kill()
    raise SystemExit(f"{name} does not answer")


def move(page: Page) -> float:
    """Return the milliseconds from a key on the slider to another picture."""
    before = page.evaluate("window.shown()")
    page.evaluate("before => { window.waiting = window.moved(before) }", before)
    page.keyboard.press("ArrowRight")
    return page.evaluate("window.waiting")


def size_of(python: str) -> float:
    """Return the size of an environment's packages, in MB."""
    folder = Path(python).absolute().parents[1] / "lib"
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", action="append", required=True, metavar="NAME=PYTHON")
    parser.add_argument("--moves", type=int, default=60)
    options = parser.parse_args()
    pythons = dict(item.split("=", 1) for item in options.library)
    times: dict[str, list[float]] = {name: [] for name in pythons}
    pages, started = {}, {}
    with contextlib.ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        playwright = ends.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        ends.callback(browser.close)
        for name, python in pythons.items():
            process, address, started[name] = serve(name, python, folder)
            ends.callback(process.kill)
            page = pages[name] = browser.new_page()
            page.goto(address)
            page.evaluate(SHOWN)
            page.wait_for_function("window.shown()")
            page.locator(HANDLES[name]).first.focus()
        for turn in range(options.moves + 5):
            for name, page in pages.items():
                page.bring_to_front()
                taken = move(page)
                if turn >= 5:
                    times[name].append(taken)
    print("| library | a move, ms (median) | slowest of 20 | answers after, s | packages, MB |")
    print("|---|---:|---:|---:|---:|")
    for name, taken in times.items():
        slow = statistics.quantiles(taken, n=20)[-1]
        print(
            f"| {name} | {statistics.median(taken):.0f} | {slow:.0f} | {started[name]:.1f} "
            f"| {size_of(pythons[name]):.0f} |"
        )


if __name__ == "__main__":
    main()
