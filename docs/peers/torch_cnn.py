"""PyTorch by hand: a convolutional VAE on digits."""

import sys

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits


class VAE(nn.Module):
    """Two convolutions down to 2 × 2 pixels of 16 channels, and two up."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.fc_mu, self.fc_logvar = nn.Linear(64, 8), nn.Linear(64, 8)
        self.decoder = nn.Sequential(
            nn.Linear(8, 64), nn.Unflatten(1, (16, 2, 2)),
            nn.ConvTranspose2d(16, 16, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 1, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x, noise):
        """Return the reconstruction loss and the KL, sums over the batch."""
        h = self.encoder(x)
        mu, logvar = self.fc_mu(h), self.fc_logvar(h)
        logits = self.decoder(mu + torch.exp(0.5 * logvar) * noise)
        bce = binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return bce, -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())


steps, seed = map(int, sys.argv[1:])
x = torch.tensor(load_digits().images[:, None] / 16).float()
train, test = x[:1500], x[1500:]

torch.manual_seed(seed)
model = VAE()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(steps // 15):
    for batch in torch.randperm(1500).split(100):
        optimizer.zero_grad()
        (sum(model(train[batch], torch.randn(100, 8))) / 100).backward()
        optimizer.step()

with torch.no_grad():
    noise = torch.tensor(np.random.default_rng(0).standard_normal((297, 8))).float()
    elbo = -sum(model(test, noise)).item() / 297
print({"ELBO of the convolutional weights": elbo})
save_file(model.state_dict(), "torch_cnn.safetensors", {"elbo": str(elbo)})
