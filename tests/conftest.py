"""Settings that every test shares."""

import os
import shutil
import tempfile

import jax
import matplotlib
from hypothesis import settings
from jaxtyping import install_import_hook

matplotlib.use("Agg")
# Equal programs compile once in a session: both workers, and the commands they start, share these.
_MADE = "JAX_COMPILATION_CACHE_DIR" not in os.environ  # or else it is somebody's own
if _MADE:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="workshop-tests-")
_CACHE = os.environ["JAX_COMPILATION_CACHE_DIR"]
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
jax.config.update("jax_compilation_cache_dir", _CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
# Compilation makes the first example of a property slow; a deadline would only measure that.
settings.register_profile("workshop", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("workshop")
# Every annotated shape in the package is checked at run time in the tests.
install_import_hook("workshop", "typechecking.checker")


def pytest_sessionfinish(session):
    """Remove the compiled programs, once both workers are done."""
    if _MADE and not hasattr(session.config, "workerinput"):
        shutil.rmtree(_CACHE, ignore_errors=True)
