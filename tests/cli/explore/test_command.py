import socket
import subprocess
import sys

import pytest

from workshop.cli import main
from workshop.cli.explore.command import free_port


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["explore", *map(str, arguments)])
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"--port {port}: nothing can listen there"):
            free_port("127.0.0.1", port)
    assert free_port("127.0.0.1", port) == port
    assert free_port("127.0.0.1", 0) > 0


@pytest.mark.parametrize("port", [-1, 70_000])
def test_what_is_no_port(port):
    with pytest.raises(ValueError, match=f"--port {port}: expected"):
        free_port("127.0.0.1", port)


def test_a_folder_that_is_no_run(capsys, tmp_path):
    pytest.importorskip("nicegui", reason="the extra explore is not installed")
    assert "holds no config.json" in refused(capsys, tmp_path)


@pytest.mark.slow
def test_without_nicegui_the_extra_is_named(runs):
    """In a process of its own, where NiceGUI cannot be imported."""
    script = (
        "import sys\nsys.modules['nicegui'] = None\nfrom workshop.cli import main\n"
        f"main(['explore', {str(runs / 'vae')!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'workshop-vae[explore]'" in done.stderr


def test_help_comes_without_the_page_and_jax(capsys):
    script = (
        "import sys\nfrom workshop.cli import main\n"
        "try: main(['explore', '--help'])\nexcept SystemExit as stop: assert not stop.code\n"
        "print(sorted({'jax', 'nicegui', 'fastapi', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
