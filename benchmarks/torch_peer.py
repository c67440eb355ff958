"""The models of cases.py in PyTorch, trained by a loop by hand or by Pythae's trainer, and used.

Started by peers.py in an environment that has torch (and pythae); not a part of the library.

    python torch_peer.py CASE LOOP [MODEL OPTIONS]

LOOP is "eager", "tuned" (fused Adam, channels-last, large blocks kept by glibc), "compile"
(torch.compile over the tuned step), "pythae" (its VAE or VQ-VAE, or MODEL, the name of another of
its models, with OPTIONS of its configuration in JSON), or for samples and codes, without gradients,
"infer" (tuned) or "infer-compile". Warms up, prints "ready" and what it says of itself in JSON, and
then reads lines:

    STEPS                   train for so many
    sample SIZE BATCHES     draw so many batches of samples, or "encode" as many of examples

and answers each with the seconds that it took, or "peak" with the most bytes it has held.
"""

import ctypes
import itertools
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from memory import peak_bytes

BATCH, EXAMPLES, LATENTS, CODES = 128, 5000, 20, 512


def keep_large_blocks() -> None:
    """Make glibc keep freed memory: page faults take up to half of the time otherwise."""
    trim, mmap, most = -1, -3, 1 << 30
    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt(trim, most)
    libc.mallopt(mmap, most)


def mkl_processor() -> str:
    """Return which processors MKL chose its code for, in its own words."""

    class Version(ctypes.Structure):
        _fields_ = (
            [(name, ctypes.c_int) for name in ("major", "minor", "update")]
            + [(name, ctypes.c_char_p) for name in ("status", "build", "processor", "platform")]
        )  # fmt: skip

    version = Version()
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        library.mkl_serv_get_version(ctypes.byref(version))
    except (OSError, AttributeError):
        return ""  # a PyTorch without MKL, or with one in files of its own
    return version.processor.decode()


def dense(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers)


def doubling(channels: list[int], sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b, low, high in zip(channels[:-1], channels[1:], sizes[:-1], sizes[1:], strict=True):
        layers += [nn.ConvTranspose2d(a, b, 4, 2, 1, output_padding=high - 2 * low), nn.ReLU()]
    return nn.Sequential(*layers)


def floors(size: int, stages: int) -> list[int]:
    return [size >> stage for stage in range(stages + 1)]


class MLP(nn.Module):
    shape = (784,)

    def __init__(self):
        super().__init__()
        self.encoder = dense([784, 512, 256])
        self.mean, self.log_var = nn.Linear(256, LATENTS), nn.Linear(256, LATENTS)
        self.decoder = nn.Sequential(dense([LATENTS, 256, 512]), nn.Linear(512, 784))

    def encode(self, x):
        h = self.encoder(x)
        return self.mean(h), self.log_var(h)

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x):
        """Return the loss: binary cross-entropy and KL, in nats per example."""
        mean, log_var = self.encode(x)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        kl = -0.5 * torch.sum(1 + log_var - mean**2 - log_var.exp())
        bce = functional.binary_cross_entropy_with_logits(self.decode(z), x, reduction="sum")
        return (bce + kl) / len(x)


class CNN(MLP):
    def __init__(self, size: int, hidden: list[int]):
        nn.Module.__init__(self)
        self.shape = (1, size, size)
        sizes = floors(size, len(hidden))
        # Sizes halve by floor: an odd one without padding.
        self.stages = nn.ModuleList(
            nn.Conv2d(a, b, 3, 2, 1 if s % 2 == 0 else 0)
            for a, b, s in zip([1, *hidden[:-1]], hidden, sizes[:-1], strict=True)
        )
        self.first = (hidden[-1], sizes[-1], sizes[-1])
        features = int(np.prod(self.first))
        self.mean, self.log_var = nn.Linear(features, LATENTS), nn.Linear(features, LATENTS)
        self.project = nn.Linear(LATENTS, features)
        back = hidden[::-1]
        self.up = doubling([back[0], *back], sizes[::-1])
        self.last = nn.Conv2d(back[-1], 1, 3, 1, 1)

    def features(self, x):
        for stage in self.stages:
            x = functional.relu(stage(x))
        return x

    def encode(self, x):
        h = self.features(x).flatten(1)
        return self.mean(h), self.log_var(h)

    def decode(self, z):
        return self.last(self.up(self.project(z).view(-1, *self.first)))


class VQ(CNN):
    """Maps of codes: 7 × 7 of 512 with 64 numbers, straight through, codebook by loss."""

    def __init__(self):
        super().__init__(28, [32, 64])
        self.mean, self.log_var = nn.Conv2d(64, 64, 1), None
        self.project = nn.Conv2d(64, 64, 1)
        self.codes = nn.Parameter(torch.rand(CODES, 64) * 2 / CODES - 1 / CODES)

    def forward(self, x):
        z_e = self.mean(self.features(x)).permute(0, 2, 3, 1)
        flat = z_e.reshape(-1, 64)
        with torch.no_grad():
            distance = (self.codes**2).sum(1) - 2 * flat @ self.codes.T
            nearest = distance.argmin(1)
        codes = self.codes[nearest].view(z_e.shape)
        z = (z_e + (codes - z_e).detach()).permute(0, 3, 1, 2)
        logits = self.last(self.up(self.project(z)))
        bce = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        terms = ((z_e.detach() - codes) ** 2).sum() + 0.25 * ((z_e - codes.detach()) ** 2).sum()
        return (bce + terms) / len(x)


CASES: dict[str, Callable[[], nn.Module]] = {
    "mlp": MLP,
    "cnn28": lambda: CNN(28, [32, 64, 128]),
    "cnn64": lambda: CNN(64, [32, 64, 128]),
    "vq": VQ,
}


def by_hand(model: nn.Module, x: torch.Tensor, loop: str) -> Callable[[str], None]:
    tuned = loop != "eager"
    if tuned and x.ndim == 4:
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=tuned)
    loss = torch.compile(model) if loop == "compile" else model

    def run(steps: str) -> None:
        order = torch.empty(0, dtype=torch.long)
        for _ in range(int(steps)):
            if len(order) < BATCH:
                order = torch.cat([order, torch.randperm(len(x))])
            batch, order = x[order[:BATCH]], order[BATCH:]
            optimizer.zero_grad()
            loss(batch).backward()
            optimizer.step()

    return run


def without_gradients(
    model: nn.Module, x: torch.Tensor, loop: str
) -> Callable[[str, str, str], None]:
    """Samples from the prior, and means and variances of examples, in batches."""
    decode, encode = model.decode, model.encode
    if x.ndim == 4:
        model.to(memory_format=torch.channels_last)
    if loop == "infer-compile":
        decode, encode = torch.compile(decode), torch.compile(encode)

    @torch.inference_mode()
    def run(what: str, size: str, batches: str) -> None:
        batch = x[: int(size)]
        if x.ndim == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        for _ in range(int(batches)):
            if what == "sample":
                torch.sigmoid(decode(torch.randn(int(size), LATENTS)))
            else:
                encode(batch)

    return run


TRAINERS = {
    "Adversarial_AE": "AdversarialTrainer",
    "FactorVAE": "AdversarialTrainer",
    "PIWAE": "CoupledOptimizerTrainer",
    "RAE_L2": "CoupledOptimizerTrainer",
    "VAEGAN": "CoupledOptimizerAdversarialTrainer",
}
"""Pythae's trainers of models with several optimizers."""


def by_pythae(model: nn.Module, x: torch.Tensor, name: str, options: dict) -> Callable[[str], None]:
    """Pythae's trainer on a model of its own with these networks."""
    from pythae import models, trainers
    from pythae.data.datasets import BaseDataset
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    logging.disable(logging.WARNING)

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            if isinstance(self.inner, VQ):
                return ModelOutput(embedding=self.inner.mean(self.inner.features(x)))
            mean, log_var = self.inner.encode(x)
            if name == "SVAE":
                return ModelOutput(embedding=mean, log_concentration=log_var[:, :1])
            # A posterior of flows reads a context as well.
            return ModelOutput(embedding=mean, log_covariance=log_var, context=mean)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, z):
            return ModelOutput(reconstruction=torch.sigmoid(self.inner.decode(z)))

    of_vq = {"latent_dim": 64, "num_embeddings": CODES}
    shared = {"input_dim": model.shape, **(of_vq if name == "VQVAE" else {"latent_dim": LATENTS})}
    configuration = getattr(models, f"{name}Config", None) or getattr(models, f"{name}_Config")
    fields = configuration.__dataclass_fields__
    if "reconstruction_loss" in fields:
        shared["reconstruction_loss"] = "bce"
    vae = getattr(models, name)(
        configuration(**shared, **options), encoder=Encoder(), decoder=Decoder()
    )
    trainer = TRAINERS.get(name, "BaseTrainer")
    rates = {
        field: 1e-3
        for field in getattr(trainers, f"{trainer}Config").__dataclass_fields__
        if field.endswith("learning_rate")
    }

    def run(words: str) -> None:
        steps = int(words)
        examples = torch.cat([x] * (steps * BATCH // len(x) + 1))[: steps * BATCH]
        data = BaseDataset(examples, torch.zeros(len(examples)))
        with tempfile.TemporaryDirectory() as folder:
            given = getattr(trainers, f"{trainer}Config")(
                output_dir=folder,
                num_epochs=1,
                per_device_train_batch_size=BATCH,
                no_cuda=True,
                **rates,
            )
            getattr(trainers, trainer)(vae, train_dataset=data, training_config=given).train()

    return run


def main() -> None:
    case, loop, *of_pythae = sys.argv[1:]
    talk, sys.stdout = sys.stdout, sys.stderr  # what libraries print is not our answer
    infer = loop.startswith("infer")
    if infer or loop in ("tuned", "compile"):
        keep_large_blocks()
    torch.manual_seed(0)
    model = CASES[case]()
    x = torch.rand(EXAMPLES, *model.shape)
    if loop == "pythae":
        usual = ("VQVAE" if isinstance(model, VQ) else "VAE", "{}")
        name, options = of_pythae or usual
        run = by_pythae(model, x, name, json.loads(options))
    else:
        run = (without_gradients if infer else by_hand)(model, x, loop)
    run(*(("sample", "2", "1") if infer else "3"))
    count = sum(p.numel() for p in model.parameters())
    about = {"parameters": count, "mkl": mkl_processor(), "torch": torch.__version__}
    print("ready", json.dumps(about), file=talk, flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        if line.strip() == "peak":
            print(peak_bytes(), file=talk, flush=True)
            continue
        run(*line.split())
        print(time.perf_counter() - started, file=talk, flush=True)


if __name__ == "__main__":
    main()
