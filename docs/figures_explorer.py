"""Screenshots of the explorer for docs/explorer.md, in headless Chromium by Playwright.

    .venv/bin/python docs/figures_explorer.py RUN [RUN ...]

Each run makes one picture in docs/figures: a `conditional-vae` the walk between two examples,
`explorer_walk.png`; a `vq-vae` its codes, `explorer_codes.png`; any other model the whole page,
`explorer.png`. Those of the page are of the run of `make demo`, and on `mnist5k` of a
`conditional-vae` after 1,500 steps and of a `vq-vae` with a prior.
"""

import argparse
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

FIGURES = Path(__file__).parent / "figures"
SIZE = {"width": 1240, "height": 1000}
"""Of the window, in pixels."""
COLOURS = 128
EXAMPLE = 7
"""The chosen example, of whatever data."""


def main() -> None:
    """Make the picture of each run."""
    parser = argparse.ArgumentParser(description="Screenshots of the explorer for the docs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder")
    runs = parser.parse_args().runs
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium: apt install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for run in runs:
            with serve(run) as address:
                name, picture = take(browser, address)
            save(name, picture)
        browser.close()


@contextmanager
def serve(run: Path) -> Iterator[str]:
    """Yield the address of a run's explorer, which ends with the block."""
    program = "import sys; from workshop.cli import main; main(sys.argv[1:])"
    server = subprocess.Popen(
        [sys.executable, "-uc", program, "explore", str(run), "--port", "0", "--no-open"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        found = (re.search(r"http://(127\.0\.0\.1):(\d+)", line) for line in server.stdout or ())
        match = next(filter(None, found), None)
        if match is None:
            sys.exit(f"workshop explore {run} ended before it served a page")
        while server.poll() is None:  # it says where just before it listens
            try:
                socket.create_connection((match[1], int(match[2]))).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        yield match[0]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def take(browser: Browser, address: str) -> tuple[str, bytes]:
    """Return the name of a run's picture, and the screenshot."""
    page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
    page.goto(address)
    page.wait_for_selector("img[alt=decoded][src]")
    page.get_by_label("number").fill(str(EXAMPLE))
    page.get_by_role("button", name="Show").click()
    page.get_by_text(re.compile(rf"^example {EXAMPLE}\b")).first.wait_for()
    page.evaluate("document.activeElement.blur()")
    if page.get_by_role("tab", name="Codes").count():
        return "explorer_codes", shot(page, "code map")
    if page.get_by_label("class").count():
        page.get_by_role("tab", name="Interpolate").click()
        page.wait_for_selector("img[alt='moving interpolation'][src^='data:image/gif']")
        return "explorer_walk", shot(page, "interpolation")
    rest(page)
    return "explorer", page.screenshot()


def rest(page: Page) -> None:
    """Wait until the map has drawn itself, the mouse out of the way."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)


def shot(page: Page, part: str) -> bytes:
    """Return a screenshot of the card that holds a part."""
    rest(page)
    named = f"[aria-label='{part}'], [alt='{part}']"
    return page.locator(".q-card", has=page.locator(named)).screenshot()


def save(name: str, picture: bytes) -> None:
    """Write a screenshot with few colours."""
    path = FIGURES / f"{name}.png"
    image = Image.open(BytesIO(picture)).convert("RGB")
    image.quantize(COLOURS, kmeans=8, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path, f"{path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
