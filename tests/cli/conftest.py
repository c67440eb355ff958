"""Commands in tests draw one empty figure: the real ones take longer than a short run."""

import contextlib
import sys

import pytest
from matplotlib.figure import Figure

from workshop.generative_models.visualization import report

ALL = report.run_figures
WITHOUT_FIGURES = """
import sys
from workshop.cli import main
from workshop.generative_models.visualization import report
report.run_figures = lambda *_: []
main(sys.argv[1:])
"""


@contextlib.contextmanager
def figures_of(function):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "run_figures", function)
        yield


@pytest.fixture(autouse=True, scope="module")
def _one_figure():
    with figures_of(lambda *_: [("samples", Figure())]):
        yield


@pytest.fixture(scope="session")
def all_figures():
    """Return a context in which commands draw all figures."""
    return lambda: figures_of(ALL)


@pytest.fixture(scope="session")
def without_figures():
    """Return a command line that a command's words follow, for a process of its own."""
    return [sys.executable, "-c", WITHOUT_FIGURES]
