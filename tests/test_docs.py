"""Every code block of the documentation runs, and its links and pictures are there."""

import importlib
import re
import shlex
import shutil
import textwrap
from pathlib import Path

import pytest

from workshop.cli import main

DOCS = Path(__file__).parents[1] / "docs"
if not DOCS.is_dir():
    pytest.skip("the documentation is in the checkout alone", allow_module_level=True)
PAGES = sorted(DOCS.glob("*.md"))
QUICK = ("index",)
"""Pages that `make test` runs; `make test-all` runs all."""
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.M | re.S)  # in tabs they are indented
SNIPPET = re.compile(r"--8<--\n(\S+)\n--8<--\n")


def blocks(page):
    """Language, first line and code of each block; the line lets tracebacks point into the page."""
    text = page.read_text()
    return [
        (m[2], text[: m.start(3)].count("\n"), textwrap.dedent(m[3])) for m in FENCE.finditer(text)
    ]


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path, one_figure):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=() if page.stem in QUICK else pytest.mark.slow)
        for page in PAGES
    ],
)
def test_blocks_run_in_order(page):
    """The blocks of a page share one namespace and one folder. Commands run in this process.

    A snippet is code for another library's environment, and what it left there lies beside it.
    """
    for file in (DOCS / "peers").glob("*.safetensors"):
        shutil.copy(file, file.name)
    namespace: dict = {"__name__": "docs"}
    for language, line, code in blocks(page):
        if snippet := SNIPPET.fullmatch(code):
            compile((DOCS / snippet[1]).read_text(), snippet[1], "exec")
        elif language == "python":
            exec(compile("\n" * line + code, str(page), "exec"), namespace)
        elif language == "bash":
            for command in code.splitlines():
                program, *arguments = shlex.split(command)
                assert program == "workshop"
                quiet = ["--no-progress"] if arguments[0] in ("train", "prior") else []
                main([*arguments, *quiet])


def test_every_block_is_of_a_kind_that_runs():
    """Console blocks hold what no test runs: make targets, and commands that serve."""
    languages = {language for page in PAGES for language, _, _ in blocks(page)}
    assert languages == {"python", "bash", "console"}


def test_every_page_and_picture_is_used():
    """MkDocs itself, in strict mode, checks the links; this needs no MkDocs."""
    named = (DOCS.parent / "mkdocs.yml").read_text()
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert set(re.findall(r"^ +- [^:\n]+: (\S+\.md)$", named, re.M)) == pages
    pictures = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.png")}
    shown = {
        link for page in PAGES for link in re.findall(r"!\[[^]]+\]\((\S+)\)", page.read_text())
    }
    assert shown == pictures
    assert all((DOCS / picture).stat().st_size < 60_000 for picture in pictures)


def test_every_object_of_the_reference_is_there():
    """The pages name objects by their path; a renamed one would break `make docs`."""
    for page in (DOCS / "reference").glob("*.md"):
        for name in re.findall(r"^::: (\S+)$", page.read_text(), re.M):
            try:
                importlib.import_module(name)
            except ModuleNotFoundError:
                module, _, attribute = name.rpartition(".")
                assert hasattr(importlib.import_module(module), attribute), name
