"""The recipe of mnist5k_elbo.py in plain PyTorch, which starts this script; needs torch and numpy.

Reads the split from an .npz file with "train" and "test", prints a JSON list of figures by seed.
"""

import argparse
import json

import numpy as np
import torch
from torch import nn
from torch.nn import functional

LATENTS, HIDDEN, BATCH, LEARNING_RATE = 20, 500, 128, 1e-3


class VAE(nn.Module):
    """784-500-20 and back, as a person would write it."""

    def __init__(self, features: int):
        super().__init__()
        self.hidden = nn.Linear(features, HIDDEN)
        self.mean = nn.Linear(HIDDEN, LATENTS)
        self.log_var = nn.Linear(HIDDEN, LATENTS)
        self.decoder = nn.Sequential(
            nn.Linear(LATENTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, features)
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return -log p(x|z) and the KL, each the mean over the batch of a sum, in nats."""
        h = torch.relu(self.hidden(x))
        mean, log_var = self.mean(h), self.log_var(h)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        logits = self.decoder(z)
        bce = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        kl = -0.5 * torch.sum(1 + log_var - mean**2 - log_var.exp()) / len(x)
        return bce, kl


def start_as_flax(model: VAE) -> None:
    """Draw the initial weights from Flax's defaults: variance 1 / fan-in, biases zero.

    PyTorch's own are uniform with a third of that variance, in the biases too.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            # Cut off at two deviations, which takes 0.8796 of the deviation.
            deviation = layer.in_features**-0.5 / 0.87962566
            nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
            nn.init.zeros_(layer.bias)


def batches(examples: int, steps: int):
    """Cut batches from shuffled epochs laid end to end: none is short, none is dropped."""
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        while len(order) < BATCH:
            order = torch.cat([order, torch.randperm(examples)])
        yield order[:BATCH]
        order = order[BATCH:]


def run(train: torch.Tensor, test: torch.Tensor, seed: int, args: argparse.Namespace) -> dict:
    torch.manual_seed(seed)
    model = VAE(train.shape[1])
    if args.init == "flax":
        start_as_flax(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for indices in batches(len(train), args.steps):
        bce, kl = model(train[indices])
        optimizer.zero_grad()
        (bce + kl).backward()
        optimizer.step()
    with torch.no_grad():
        parts = torch.tensor([model(test) for _ in range(args.samples)], dtype=torch.float64).mean(
            0
        )
    bce, kl = parts.tolist()
    return {"elbo": -(bce + kl), "reconstruction_loss": bce, "kl_loss": kl}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("split")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--init", choices=["flax", "torch"], required=True)
    args = parser.parse_args()
    with np.load(args.split) as file:
        train, test = (
            torch.from_numpy(file[name].astype(np.float32)) for name in ("train", "test")
        )
    runs = [run(train, test, seed, args) for seed in args.seeds]
    print(json.dumps(runs))


if __name__ == "__main__":
    main()
