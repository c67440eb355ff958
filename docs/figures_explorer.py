"""Screenshots of the explorer, in headless Chromium by Playwright.

Each run makes one picture: a `conditional-vae` the walk between two examples, `explorer_walk`; a
`vq-vae` its codes, `explorer_codes`; any other model the whole page, `explorer`.
"""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZE = {"width": 1240, "height": 1000}
"""Of the window, in pixels."""
EXAMPLE = 7
"""The chosen example, of whatever data."""


def chromium() -> str | None:
    """Return the path of Chromium; None if there is none."""
    return shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def browse() -> "Iterator[Browser]":
    """Open Chromium, which closes at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


def pictures(runs: Iterable[Path]) -> Iterator[tuple[str, Image.Image]]:
    """Yield the name and the picture of each run."""
    with browse() as browser:
        for run in runs:
            with serve(run) as address:
                name, picture = take(browser, address)
            yield name, Image.open(BytesIO(picture))


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


def take(browser: "Browser", address: str) -> tuple[str, bytes]:
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


def rest(page: "Page") -> None:
    """Wait until the map has drawn itself, the mouse out of the way."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)


def shot(page: "Page", part: str) -> bytes:
    """Return a screenshot of the card that holds a part."""
    rest(page)
    named = f"[aria-label='{part}'], [alt='{part}']"
    return page.locator(".q-card", has=page.locator(named)).screenshot()
