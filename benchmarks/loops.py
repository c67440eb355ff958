"""The loops of training.py that run in this process, and how they are timed."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from cases import BATCH, EXAMPLES
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.training import Trainer

Loop = Callable[[int], object]
"""Trains for a number of steps, and returns when they are done."""

SIDE, PRODUCTS = 2048, 5


def ceiling() -> Loop:
    """A product of large matrices, as many as steps: what the machine can do."""
    a = jnp.ones((SIDE, SIDE))
    product = jax.jit(lambda a: a @ a)

    def run(steps: int) -> None:
        for _ in range(steps):
            product(a).block_until_ready()

    return run


def trainer_loop(model: VAE, x: np.ndarray, *, folder: bool) -> Loop:
    optimizer = optax.adam(1e-3)

    def run(steps: int) -> None:
        if not folder:
            Trainer(model, optimizer, BATCH, progress=False).fit(x, steps=steps)
            return
        with (
            tempfile.TemporaryDirectory() as path,
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stderr(nowhere),  # where the bar is drawn
        ):
            Trainer(model, optimizer, BATCH, folder=path, progress=True).fit(x, steps=steps)

    return run


def scan_loop(model: VAE, x: np.ndarray) -> Loop:
    """Gradient and Adam, nothing else: no metrics, no statistics of codes."""
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    optimizer = optax.adam(1e-3)
    data = jnp.asarray(x)

    def loss(params: nnx.State, rest: nnx.State, batch: jax.Array, key: jax.Array) -> jax.Array:
        model = nnx.merge(graphdef, params, rest, copy=True)
        return model.loss_fn(batch=batch, rng=key)["total_loss"]

    @jax.jit
    def train(params: nnx.State, rest: nnx.State, data: jax.Array, order: jax.Array) -> nnx.State:
        def step(carry: tuple, inputs: tuple) -> tuple[tuple, None]:
            params, opt_state = carry
            indices, i = inputs
            key = jax.random.fold_in(jax.random.key(0), i)
            gradient = jax.grad(loss)(params, rest, data[indices], key)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), None

        carry = (params, optimizer.init(params))
        return jax.lax.scan(step, carry, (order, jnp.arange(len(order))))[0][0]

    def run(steps: int) -> None:
        jax.block_until_ready(train(params, rest, data, jnp.asarray(_order(steps))))

    return run


def nnx_loop(model: VAE, x: np.ndarray) -> Loop:
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    data = jnp.asarray(x)

    @nnx.jit
    def step(
        model: VAE, optimizer: nnx.Optimizer, data: jax.Array, indices: jax.Array, i: int
    ) -> None:
        key = jax.random.fold_in(jax.random.key(0), i)
        gradient = nnx.grad(lambda m: m.loss_fn(batch=data[indices], rng=key)["total_loss"])(model)
        optimizer.update(model, gradient)

    def run(steps: int) -> None:
        for i, indices in enumerate(_order(steps)):
            step(model, optimizer, data, indices, i)
        jax.block_until_ready(nnx.state(model, nnx.Param))

    return run


def _order(steps: int) -> np.ndarray:
    """Return indices (steps, batch) from shuffled epochs laid end to end."""
    generator = np.random.default_rng(0)
    epochs = -(-steps * BATCH // EXAMPLES)
    stream = np.concatenate([generator.permutation(EXAMPLES) for _ in range(epochs)])
    return stream[: steps * BATCH].astype(np.int32).reshape(steps, BATCH)


def timed(loop: Loop, steps: int) -> float:
    started = time.perf_counter()
    loop(steps)
    return time.perf_counter() - started


def steps_in(loop: Loop, seconds: float, most: int = 1_000_000) -> int:
    """Return about how many steps take so many seconds, from runs that are shorter."""
    steps = min(2, most)
    while True:
        loop(steps)  # another length may be another program
        taken = timed(loop, steps)
        if taken > seconds / 4 or steps == most:
            return min(max(round(seconds * steps / taken), 2), most)
        steps = min(steps * 8, most)
