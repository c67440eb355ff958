"""The page in a real browser: Chromium, driven by Playwright, where both are there."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from io import BytesIO

import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytest.importorskip("nicegui", reason="the page needs the extra explore")
playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install it")
if CHROMIUM is None:
    pytest.skip("no Chromium: apt install chromium", allow_module_level=True)

SERVER = """
import sys
from ipaddress import ip_address

def outside(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        host = arguments[1][0] if event == "socket.connect" else arguments[0]
        if event == "socket.connect" and not isinstance(arguments[1], tuple):
            return  # a socket of this machine's own
        if host not in (None, "localhost") and not ip_address(host).is_loopback:
            print("OUTSIDE", event, host, file=sys.stderr, flush=True)

sys.addaudithook(outside)
from workshop.cli import main
main(sys.argv[1:])
"""
"""The command, which tells of every address outside of this machine that it turns to."""


class Server:
    """A run's page in a process of its own."""

    def __init__(self, run):
        self.run = run
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", SERVER, "explore", str(run), "--port", "0", "--no-open"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # NiceGUI would take it for a test of its own kind.
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
        )
        self.said = ""

    def wait(self):
        """Wait until somebody listens, and return this."""
        for line in self.process.stdout:  # ends with the process
            self.said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                self.address = found[0]
                break
        else:
            raise AssertionError(self.stop())
        host, port = self.address.removeprefix("http://").split(":")
        while self.process.poll() is None:
            try:
                socket.create_connection((host, int(port))).close()
                return self
            except ConnectionRefusedError:
                time.sleep(0.1)
        raise AssertionError(self.stop())

    def stop(self):
        self.process.send_signal(signal.SIGINT)  # as Ctrl-C does
        _, errors = self.process.communicate(timeout=30)
        return errors


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def servers(runs):
    """Pages of a conditional model and of one with codes, started together."""
    started = {name: Server(runs / name) for name in ("conditional-vae", "vq-vae")}
    yield {name: server.wait() for name, server in started.items()}
    for server in started.values():
        errors = server.stop()
        assert "OUTSIDE" not in errors
        assert "Traceback" not in errors, errors


@pytest.fixture
def open_page(browser, servers):
    """Return a function that opens the page of a model; nothing it loads comes from elsewhere."""
    opened, asked, wrong = [], [], []

    def open_one(address, ready="img[alt=decoded][src]"):
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        opened.append(page)
        page.on("request", lambda request: asked.append((address, request.url)))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.wait_for_selector(ready)
        return page

    yield lambda name: open_one(servers[name].address)
    for page in opened:
        page.close()
    assert not [url for address, url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not wrong


def source(page, name):
    return page.locator(f"img[alt='{name}']").get_attribute("src")


def wait_for_another(page, name, before):
    """Wait until the picture is another one, and return it."""
    page.wait_for_function(
        "([name, before]) => document.querySelector(`img[alt='${name}']`).src !== before",
        arg=[name, before],
    )
    return source(page, name)


def chosen(page, number):
    playwright.expect(page.get_by_text(re.compile(rf"^example {number}\b")).first).to_be_visible()


def test_sliders_buttons_and_classes_decode(open_page):
    page = open_page("conditional-vae")
    first = source(page, "decoded")
    slider = page.locator("[aria-label=z0]")
    box = slider.bounding_box()
    slider.click(position={"x": box["width"] - 2, "y": box["height"] / 2})
    moved = wait_for_another(page, "decoded", first)
    playwright.expect(page.get_by_text(re.compile(r"^\+(4\.00|3\.9\d)$"))).to_be_visible()
    page.get_by_role("button", name="From the example").click()
    assert wait_for_another(page, "decoded", moved) == first
    page.get_by_role("button", name="Reset").click()
    zero = wait_for_another(page, "decoded", first)
    playwright.expect(page.get_by_text("+0.00")).to_have_count(4)
    page.get_by_label("class").click()
    page.get_by_role("option", name="none said").click()
    unsaid = wait_for_another(page, "decoded", zero)
    page.get_by_role("button", name="Random").last.click()
    wait_for_another(page, "decoded", unsaid)


def pixel_of_point(page, series, point):
    """Return where a point of the map is on the page."""
    chart = page.locator("[aria-label=map]")
    box = chart.bounding_box()
    x, y = page.evaluate(
        """([series, point]) => {
          const id = document.querySelector('[aria-label=map]').id.slice(1);
          const chart = getElement(Number(id)).chart, options = chart.getOption();
          const data = options.series[series].data[point];
          return chart.convertToPixel('grid', [data[0], data[1]]);
        }""",
        [series, point],
    )
    return box["x"] + x, box["y"] + y


def test_the_map_shows_chooses_and_decodes(open_page):
    page = open_page("conditional-vae")
    page.wait_for_timeout(500)  # the chart draws itself
    before = source(page, "decoded")
    # The last one drawn lies on top, where a click cannot hit another.
    x, y = pixel_of_point(page, 9, 0)
    page.mouse.move(x, y)
    hover = page.locator("img[src^='/examples/']")
    hover.wait_for()
    number = re.search(r"/examples/(\d+)\.png", hover.get_attribute("src"))[1]
    assert page.request.get(f"{page.url}examples/{number}.png").status == 200
    page.mouse.click(x, y)
    chosen(page, number)
    at_point = wait_for_another(page, "decoded", before)
    box = page.locator("[aria-label=map]").bounding_box()
    page.mouse.click(box["x"] + 56, box["y"] + 50)  # a corner, which the axes leave free
    wait_for_another(page, "decoded", at_point)
    page.get_by_label("axes").click()
    page.get_by_role("option", name="principal components").click()
    page.wait_for_function(
        """() => {
          const id = document.querySelector('[aria-label=map]').id.slice(1);
          return getElement(Number(id)).chart.getOption().xAxis[0].name.startsWith('component 1');
        }"""
    )


def in_sight(page):
    """Return the ends of the map's axes."""
    return page.evaluate(
        """() => {
          const id = document.querySelector('[aria-label=map]').id.slice(1);
          const model = getElement(Number(id)).chart.getModel();
          const axis = (name) => model.getComponent(name).axis.scale.getExtent();
          return [...axis('xAxis'), ...axis('yAxis')];
        }"""
    )


def test_the_map_zooms_and_moves(open_page):
    page = open_page("conditional-vae")
    page.wait_for_timeout(500)  # the chart draws itself
    before, whole = source(page, "decoded"), in_sight(page)
    box = page.locator("[aria-label=map]").bounding_box()
    x, y = box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"]
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    page.wait_for_timeout(300)
    near = in_sight(page)
    for low in (0, 2):
        assert whole[low] < near[low] < near[low + 1] < whole[low + 1]
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=5)
    page.mouse.up()
    page.wait_for_timeout(300)
    moved = in_sight(page)
    assert moved[0] < near[0]
    assert moved[1] - moved[0] == pytest.approx(near[1] - near[0])
    assert source(page, "decoded") == before  # the end of a drag is no click
    # The place that a click decodes is the one under it, zoomed or not.
    page.mouse.click(box["x"] + 56, box["y"] + 50)
    wait_for_another(page, "decoded", before)
    assert in_sight(page) == moved  # the mark leaves the view as it is
    page.get_by_role("button", name="Whole map").click()
    page.wait_for_timeout(300)
    assert in_sight(page) == whole


def image_file(name, image, **options):
    content = BytesIO()
    image.save(content, format="PNG", **options)
    return {"name": name, "mimeType": "image/png", "buffer": content.getvalue()}


def test_uploads_and_wrong_ones(open_page):
    page = open_page("conditional-vae")
    upload = page.locator("input[type=file]")

    def refused(file, sentence):
        upload.set_input_files(file)
        note = page.get_by_text(sentence)
        note.wait_for()
        page.get_by_role("button", name="OK").first.click()
        note.wait_for(state="detached")

    text = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"just some text"}
    refused(text, "a.txt is no image that can be read")
    refused(image_file("huge.png", Image.new("L", (10_000, 5_000))), "at most 16 million")
    refused(image_file("wide.png", Image.new("L", (16, 8), 99)), "wide.png is 8×16×1, but")
    clear = Image.new("RGBA", (8, 8), (9, 9, 9, 9))
    refused(image_file("clear.png", clear), "clear.png: is transparent in places")
    page.get_by_text("make it fit").click()
    before = source(page, "the chosen example")
    upload.set_input_files(image_file("wide.png", Image.new("L", (16, 8), 99)))
    grey = wait_for_another(page, "the chosen example", before)
    page.get_by_text("wide.png", exact=True).wait_for()
    page.get_by_role("tab", name="Reconstruct").click()
    playwright.expect(page.get_by_label("ELBO")).to_have_text(re.compile(r"^-?\d+\.\d\d nats$"))
    assert source(page, "example") == grey


def test_walks_and_curves(open_page):
    page = open_page("conditional-vae")
    page.get_by_role("tab", name="Interpolate").click()
    page.wait_for_selector("img[alt='moving interpolation'][src^='data:image/gif']")
    strip = source(page, "interpolation")
    page.get_by_role("button", name="spherical").click()
    strip = wait_for_another(page, "interpolation", strip)
    page.get_by_label("number").fill("5")
    page.get_by_role("button", name="Show").click()
    chosen(page, 5)
    page.get_by_role("button", name="Take the chosen one").last.click()
    wait_for_another(page, "interpolation", strip)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save interpolation.gif").click()
    with Image.open(download.value.path()) as image:
        assert image.n_frames > 10
    page.get_by_role("tab", name="Traverse").click()
    playwright.expect(page.locator("img[alt^='traversal of z']")).to_have_count(4)
    page.get_by_role("tab", name="Training").click()
    page.get_by_text("step 2", exact=True).wait_for()


def test_codes_are_changed_by_clicks(open_page):
    page = open_page("vq-vae")
    before = source(page, "decoded")
    places = page.locator("[aria-label='code map']")
    number = page.get_by_label("code", exact=True)
    numbers = places.locator("text").all_text_contents()
    places.click(position={"x": 250, "y": 30})  # the last place of the first row
    columns = round(len(numbers) ** 0.5)
    playwright.expect(number).to_have_value(numbers[columns - 1])
    page.locator("[aria-label=alternatives]").click(position={"x": 30, "y": 30})
    changed = wait_for_another(page, "decoded", before)
    now = places.locator("text").all_text_contents()
    assert [i for i in range(len(now)) if now[i] != numbers[i]] == [columns - 1]
    number.fill(numbers[columns - 1])
    page.get_by_role("button", name="Set").click()
    assert wait_for_another(page, "decoded", changed) == before
    number.fill("100000")
    page.get_by_role("button", name="Set").click()
    page.get_by_text("expected 0 <= code <").wait_for()


def test_a_run_that_still_trains(browser, runs, tmp_path):
    """Its curves grow; once there is a model, the page shows that."""
    run = tmp_path / "run"
    shutil.copytree(runs / "conditional-vae", run, ignore=shutil.ignore_patterns("*.safetensors"))
    server = Server(run).wait()
    assert "holds no model yet" in server.said
    page = browser.new_page()
    page.goto(server.address)
    page.get_by_text("step 2", exact=True).wait_for()
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 3, "split": "train", "loss": 9.0}) + "\n")
    page.get_by_text("step 3", exact=True).wait_for()
    weights = "model.safetensors"
    shutil.copy(runs / "conditional-vae" / weights, tmp_path / weights)
    (tmp_path / weights).rename(run / weights)
    page.wait_for_selector("img[alt=decoded][src]")
    page.close()
    errors = server.stop()
    assert (server.process.returncode, errors) == (0, ""), errors


def test_other_names_of_this_machine_are_refused(servers):
    """A page elsewhere whose name is made to point here must not read this one."""
    import httpx

    address = servers["vq-vae"].address
    assert httpx.get(address).status_code == 200
    assert httpx.get(address, headers={"Host": "elsewhere.example"}).status_code == 400
