"""Plain lax convolutions against the forms of core/convolution.py, gradients included.

Both forms of each layer run here on whatever platform JAX finds, whichever of them the library
would choose on it: value and both gradients, in one compiled scan, in turns. Times are the least
of all turns.

    python benchmarks/convolution.py --steps 50
"""

import os
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax
from rich.console import Console
from rich.table import Table

from workshop.generative_models.core import convolution_forms as forms
from workshop.generative_models.core.convolution import downsample_padding

# name: (height and width, channels in, channels out, kernel, height and width out)
DOWN = {
    "28x28x1 -> 14x14x32, k3 s2": (28, 1, 32, 3, 14),
    "14x14x32 -> 7x7x64, k3 s2": (14, 32, 64, 3, 7),
    "7x7x64 -> 3x3x128, k3 s2": (7, 64, 128, 3, 3),
    "28x28x32 -> 28x28x1, k3 s1": (28, 32, 1, 3, 28),
    "14x14x64 -> 14x14x64, k3 s1": (14, 64, 64, 3, 14),
}
UP = {
    "3x3x128 -> 7x7x64, k4 s2 up": (3, 128, 64, 4, 7),
    "7x7x64 -> 14x14x32, k4 s2 up": (7, 64, 32, 4, 14),
    "14x14x32 -> 28x28x32, k4 s2 up": (14, 32, 32, 4, 28),
}


def both_forms(name):
    """The layer's plan, its lax form and its other form."""
    if name in DOWN:
        size, _, _, kernel, out = DOWN[name]
        stride = size // out
        low, _ = downsample_padding(size, kernel, stride)
        return forms.ConvPlan(stride, (low, low), (out, out), None), forms.conv_lax, forms.conv_cpu
    size, _, _, kernel, out = UP[name]
    low = ((size - 1) * 2 + kernel - out) // 2
    return forms.ConvPlan(2, (low, low), (out, out), None), forms.transpose_lax, forms.transpose_cpu


def training(function, steps):
    """`steps` steps of value, gradients and an update of both arrays, in one scan."""

    def loss(arrays):
        return 0.5 * jnp.sum(function(*arrays) ** 2)

    def step(arrays, _):
        value, gradients = jax.value_and_grad(loss)(arrays)
        return jax.tree.map(lambda a, g: a - 1e-9 * g, arrays, gradients), value

    return jax.jit(lambda arrays: lax.scan(step, arrays, None, length=steps))


def main(batch: int = 128, steps: int = 50, repeats: int = 3, only: str = "") -> None:
    """Print one row per layer.

    Args:
        batch: Images at a time.
        steps: Length of the scan.
        repeats: Turns of each form.
        only: Part of the names of the layers to run; all by default.
    """
    device = jax.devices()[0]
    table = Table(title=f"ms per step (value and gradients), batch {batch}, scan of {steps}")
    for column in ("layer", "lax", "products", "lax / products", "GFLOP/s"):
        table.add_column(column, justify="left" if column == "layer" else "right", no_wrap=True)
    for name in (n for n in DOWN | UP if only in n):
        size, inputs, outputs, taps, out = (DOWN | UP)[name]
        random = np.random.default_rng(0)
        x = jnp.asarray(random.normal(size=(batch, size, size, inputs)), jnp.float32)
        kernel = jnp.asarray(random.normal(size=(taps, taps, inputs, outputs)), jnp.float32)
        plan, *functions = both_forms(name)
        runs = [training(partial(f, plan), steps).lower((x, kernel)).compile() for f in functions]
        best = [float("inf")] * len(runs)
        for _ in range(repeats):
            for i, run in enumerate(runs):
                start = time.perf_counter()
                jax.block_until_ready(run((x, kernel)))
                best[i] = min(best[i], (time.perf_counter() - start) / steps)
        # Multiplications and additions, of the value and of two gradients.
        work = 6 * batch * min(size, out) ** 2 * taps**2 * inputs * outputs
        plain, other = best
        row = plain * 1e3, other * 1e3, plain / other, work / other / 1e9
        table.add_row(name, *(f"{value:.2f}" for value in row))
    console = Console()
    console.print(f"{device.platform} ({device.device_kind}), {os.cpu_count()} processors")
    console.print(f"JAX {jax.__version__}")
    console.print(table)


if __name__ == "__main__":
    tyro.cli(main)
