"""The names that `workshop` itself exports."""

import subprocess
import sys

import pytest

import workshop
from workshop.generative_models import data, training
from workshop.generative_models.core import configuration
from workshop.generative_models.models import vae


def test_public_names_are_those_of_their_packages():
    packages = (vae, configuration, data, training)
    for name in set(workshop.__all__) - {"__version__", "load"}:
        found = getattr(workshop, name)
        homes = [package for package in packages if name in package.__all__]
        assert homes or name == "VAEEstimator"
        assert all(getattr(home, name) is found for home in homes)
        assert found.__name__ == name
    assert set(workshop.__all__) <= set(dir(workshop))
    with pytest.raises(AttributeError, match="has no attribute 'GAN'"):
        workshop.GAN  # noqa: B018


def test_importing_the_package_imports_no_jax():
    code = (
        "import sys, time\n"
        "start = time.perf_counter()\n"
        "import workshop\n"
        "took = time.perf_counter() - start\n"
        "print(took, sorted({'jax', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    took, imported = made.stdout.split(maxsplit=1)
    assert imported.strip() == "[]"
    assert float(took) < 0.2
