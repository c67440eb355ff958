"""The README of an export draws latents of the model's space."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from workshop.generative_models.core.supports import SUPPORTS
from workshop.generative_models.export import readme
from workshop.generative_models.export.manifest import FunctionInfo, Manifest, TensorInfo


@pytest.mark.parametrize("support", list(SUPPORTS))
def test_latents_of_the_example_are_in_their_space(support):
    space = SUPPORTS[support]
    z = TensorInfo(name="z", shape=["batch", 3], dtype="float32", about=space.about)
    x = TensorInfo(name="x", shape=["batch", 5], dtype="float32")
    decode = FunctionInfo(about="examples", inputs=[z], outputs=[x])
    manifest = Manifest(
        format="safetensors", model="vae", config=None, made_with={}, functions={"decode": decode},
        left_out={}, files={}, differences={}
    )  # fmt: skip
    code = re.findall(r"```python\n(.*?)```", readme.text(manifest), re.DOTALL)[1]
    names = {"np": np, "load": lambda _: lambda z: z}
    exec(code, names)
    assert names["z"].shape == (8, 3)
    projected = space.project(jnp.asarray(names["z"]))
    np.testing.assert_allclose(projected, names["z"], rtol=1e-6)
