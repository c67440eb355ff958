"""Settings that every test shares."""

import matplotlib
from hypothesis import settings
from jaxtyping import install_import_hook

matplotlib.use("Agg")
# Compilation makes the first example of a property slow; a deadline would only measure that.
settings.register_profile("workshop", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("workshop")
# Every annotated shape in the package is checked at run time in the tests.
install_import_hook("workshop", "typechecking.checker")
