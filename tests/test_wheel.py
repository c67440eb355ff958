"""What is installed is whole: the wheel holds every file of the package, and no other."""

import zipfile
from email import message_from_bytes
from importlib import metadata, resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "workshop"


def test_the_templates_are_installed():
    found = {path.name for path in _files(resources.files("workshop")) if "jinja" in path.name}
    assert {"page.html.jinja", "card.md.jinja"} <= found


def _files(folder):
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def test_the_command_is_installed():
    (command,) = metadata.entry_points(group="console_scripts", name="workshop")
    assert command.load().__module__ == "workshop.cli.app"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel as `make wheel` builds it, opened."""
    if not SOURCE.is_dir():
        pytest.skip("a wheel is built from the checkout alone")
    from hatchling.builders.wheel import WheelBuilder

    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")))
    with zipfile.ZipFile(path) as file:
        yield file


def test_a_wheel_has_every_file_of_the_package_and_no_other(wheel):
    files = {path.relative_to(SOURCE.parent).as_posix() for path in SOURCE.rglob("*")
             if path.is_file() and "__pycache__" not in path.parts}  # fmt: skip
    assert len(files) > 100
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == files
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_a_wheel_says_what_it_needs(wheel):
    (name,) = (n for n in wheel.namelist() if n.endswith("/METADATA"))
    about = message_from_bytes(wheel.read(name))
    assert about["Name"] == "workshop-vae"
    assert set((about["Requires-Python"] or "").split(",")) == {">=3.11", "<3.14"}
    assert {"hub", "hf", "dev"} <= set(about.get_all("Provides-Extra") or [])
    needs = [n for n in about.get_all("Requires-Dist") or [] if "extra ==" not in n]
    assert {"jax", "flax"} <= {need.split(">")[0] for need in needs}
    assert not [n for n in needs if n.startswith(("torch", "huggingface"))], "extras stay extras"
