"""The models of cases.py in artifex, trained by the faster of the two loops that it documents.

Started by peers.py in an environment that has avitai-artifex; not a part of the library.

    python artifex_peer.py CASE

The loops are `train_epoch_staged` and `VAETrainer.train_step` under `nnx.jit`. Speaks as
torch_peer.py does. Its networks are the nearest that its configuration allows: its decoder makes
maps of a wrong size and resizes them.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import artifex  # noqa: F401 - first, so that its absence is what is said
import jax
import numpy as np
import optax
from artifex.generative_models.core.configuration import DecoderConfig, EncoderConfig, VAEConfig
from artifex.generative_models.models.vae import VAE
from artifex.generative_models.training.loops import train_epoch_staged
from artifex.generative_models.training.trainers import VAETrainer, VAETrainingConfig
from flax import nnx

BATCH, EXAMPLES, LATENTS, TRIAL = 128, 5000, 20, 1

# case: (hidden sizes of the encoder, of the decoder, shape, kind)
CASES = {  # of 64×64 a step would take seconds
    "mlp": ((512, 256), (256, 512), (784,), "dense"),
    # The convolutional decoder reverses what it is given.
    "cnn28": ((32, 64, 128), (32, 64, 128), (28, 28, 1), "cnn"),
}


def build(case: str) -> VAE:
    down, up, shape, kind = CASES[case]
    shared = {"latent_dim": LATENTS, "activation": "relu"}
    config = VAEConfig(
        name="vae",
        encoder=EncoderConfig(name="encoder", input_shape=shape, hidden_dims=down, **shared),
        decoder=DecoderConfig(name="decoder", output_shape=shape, hidden_dims=up, **shared),
        encoder_type=kind,
    )
    return VAE(config, rngs=nnx.Rngs(params=0, dropout=1, sample=2))


def loops(case: str) -> dict[str, Callable[[int], None]]:
    model = build(case)
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    trainer = VAETrainer(VAETrainingConfig(kl_annealing="none"))
    loss = trainer.create_loss_fn(loss_type="bce")
    x = jax.device_put(np.random.default_rng(0).random((EXAMPLES, *CASES[case][2]), np.float32))
    epoch = EXAMPLES // BATCH
    generator = np.random.default_rng(0)

    def staged(steps: int) -> None:
        for start in range(0, steps, epoch):
            count = BATCH * min(epoch, steps - start)
            data = x[generator.permutation(EXAMPLES)[:count]]
            train_epoch_staged(model, optimizer, data, BATCH, jax.random.key(start), loss)

    compiled = nnx.jit(lambda m, o, batch: trainer.train_step(m, o, batch, loss_type="bce"))

    def stepped(steps: int) -> None:
        order = np.empty(0, np.int64)
        for _ in range(steps):
            if len(order) < BATCH:
                order = np.concatenate([order, generator.permutation(EXAMPLES)])
            compiled(model, optimizer, {"image": x[order[:BATCH]]})
            order = order[BATCH:]
        jax.block_until_ready(nnx.state(model, nnx.Param))

    return {"`train_epoch_staged`": staged, "`train_step` under `nnx.jit`": stepped}


def seconds(loop: Callable[[int], None], steps: int) -> float:
    started = time.perf_counter()
    loop(steps)
    return time.perf_counter() - started


def main() -> None:
    talk, sys.stdout = sys.stdout, sys.stderr  # what libraries print is not our answer
    ways = loops(sys.argv[1])
    for loop in ways.values():
        loop(TRIAL)
    times = {name: seconds(loop, TRIAL) for name, loop in ways.items()}
    best = min(times, key=times.__getitem__)
    params = nnx.state(build(sys.argv[1]), nnx.Param)
    about = {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "loop": f"{best}, the faster of {' and '.join(times)}",
        "artifex": version("avitai-artifex"),
    }
    print("ready", json.dumps(about), file=talk, flush=True)
    for line in sys.stdin:
        print(seconds(ways[best], int(line)), file=talk, flush=True)


if __name__ == "__main__":
    main()
