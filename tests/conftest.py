"""Settings that every test shares."""

import contextlib
import functools
import gc
import logging
import os
import shutil
import tempfile
import zlib
from collections import defaultdict
from pathlib import Path

import jax
import matplotlib
import pytest
from hypothesis import settings
from jax._src.interpreters import mlir
from jaxtyping import install_import_hook

from typechecking import check_local_functions_once

matplotlib.use("Agg")
# Equal programs compile once in a session: both workers, and the commands they start, share these.
_MADE = "JAX_COMPILATION_CACHE_DIR" not in os.environ  # or else it is somebody's own
if _MADE:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="workshop-tests-")
_CACHE = os.environ["JAX_COMPILATION_CACHE_DIR"]
# Most of the suite's time is compilation, and these flags make it up to four times as fast. The
# programs are slower, and compute the same; tests compare programs that are compiled alike, as
# processes that tests start inherit the flags. `XLA_FLAGS= make test` compiles as users do.
_FLAGS = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
if jax.__version_info__[:2] == (0, 10):  # XLA ends a process that names a flag it does not know
    _FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(_FLAGS))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
jax.config.update("jax_compilation_cache_dir", _CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
# A sixth of the time of small programs is a new MLIR context for each, which one can replace, and
# the garbage collector going through millions of objects that stay.
if hasattr(mlir, "make_ir_context"):
    mlir.make_ir_context = functools.cache(mlir.make_ir_context)
gc.set_threshold(20_000, 50, 100)
# Compilation makes the first example of a property slow; a deadline would only measure that.
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=10)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=50)
settings.load_profile("quick")
# Every annotated shape in the package is checked at run time in the tests.
check_local_functions_once()
install_import_hook("workshop", "typechecking.checker")

# They hold no examples to run, and two modules of one name cannot both be looked through.
collect_ignore_glob = ["conftest.py", "**/conftest.py"]


@pytest.fixture(autouse=True)
def _log_reaches_caplog():
    """Commands that ran earlier in this process have switched propagation off."""
    logging.getLogger("workshop").propagate = True


@pytest.fixture(scope="module")
def one_figure():
    """Draw one empty figure at the end of a run: the real ones take longer than a short run.

    The value is a context in which all are drawn.
    """
    from matplotlib.figure import Figure

    from workshop.generative_models.visualization import report

    draw = report.run_figures

    @contextlib.contextmanager
    def by(function):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(report, "run_figures", function)
            yield

    with by(lambda *_: [("samples", Figure())]):
        yield lambda: by(draw)


class RoomForPrograms:
    """Let go of compiled programs before a process has no more room for them.

    Each takes a few memory maps, of which Linux gives a process 65,530; beyond that LLVM ends it.
    """

    MAPS = Path("/proc/self/maps")
    MOST = 50_000

    def __init__(self):
        self.module = None

    def pytest_runtest_setup(self, item):
        """Look whenever another file begins."""
        if item.path == self.module:
            return
        self.module = item.path
        if self.MAPS.exists() and self.MAPS.read_bytes().count(b"\n") > self.MOST:
            jax.clear_caches()
            gc.collect()


def pytest_configure(config):
    config.pluginmanager.register(RoomForPrograms())


def pytest_collection_modifyitems(config, items):
    """Begin with the longest tests, or one worker waits at the end for the other."""
    if config.option.markexpr == "not slow":
        _leave_out_cases(config, items)
    items.sort(key=lambda item: item.path.name not in ("test_readme.py", "test_docs.py"))


def _leave_out_cases(config, items):
    """Keep one in six cases of each test marked `sampled`; which, differs from test to test."""
    cases = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sampled"):
            cases[item.nodeid.split("[")[0]].append(item)
    left_out = {
        item
        for name, some in cases.items()
        for i, item in enumerate(some)
        if i % 6 != zlib.crc32(name.encode()) % min(6, len(some))
    }
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def pytest_sessionfinish(session):
    """Remove the compiled programs, once both workers are done."""
    if _MADE and not hasattr(session.config, "workerinput"):
        shutil.rmtree(_CACHE, ignore_errors=True)
