"""Commands in tests draw one empty figure, except where a test asks for all of them."""

import sys

import pytest

WITHOUT_FIGURES = """
import sys
from workshop.cli import main
from workshop.generative_models.visualization import report
report.run_figures = lambda *_: []
main(sys.argv[1:])
"""


@pytest.fixture(autouse=True, scope="module")
def all_figures(one_figure):
    """Return a context in which commands draw all figures."""
    return one_figure


@pytest.fixture(scope="session")
def without_figures():
    """Return a command line that a command's words follow, for a process of its own."""
    return [sys.executable, "-c", WITHOUT_FIGURES]
