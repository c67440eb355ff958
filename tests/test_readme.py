"""Code blocks of the README run as they stand; `make test` stops before the evaluation."""

import re
import shlex
from pathlib import Path

import pytest

from workshop.cli import main

ROOT = Path(__file__).parents[1]
if not (ROOT / "README.md").is_file():
    pytest.skip("the README is in the checkout alone", allow_module_level=True)
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)


@pytest.mark.parametrize("blocks", [BLOCKS[:-1], pytest.param(BLOCKS, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("one_figure")
def test_python_and_shell_blocks_run_in_order(blocks, tmp_path, monkeypatch, capsys):
    """Commands run in this process; a later Python block loads what they left."""
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    printed = ""
    for language, block in blocks:
        if language == "python":
            exec(compile(block, "README.md", "exec"), namespace)
            printed += capsys.readouterr().out
        elif language == "bash":
            for command in block.splitlines():
                program, *arguments = shlex.split(command)
                assert program == "workshop"
                main(arguments)
    assert namespace["sevens"].shape == (4, 8, 8, 1)
    elbo = float(re.search(r"(-?[\d.]+) nats", printed)[1])
    # The mean of the training images, as the probabilities of every test image, gives -26.84.
    assert -26.5 < elbo < -22


def test_every_block_is_of_a_kind_that_runs():
    assert {language for language, _ in BLOCKS} == {"python", "bash", "console"}


def test_the_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    commands = [b for language, b in BLOCKS if language == "console"]
    for target in re.findall(r"^make (\w+)", "".join(commands), re.M):
        assert f"\n{target}:" in makefile


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
