"""PyTorch by hand: train a VAE on digits, measure it, save its weights."""

import sys

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu


class VAE(nn.Module):
    """64 pixels, 8 latents."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 64)
        self.fc_mu, self.fc_logvar = nn.Linear(64, 8), nn.Linear(64, 8)
        self.fc2, self.fc3 = nn.Linear(8, 64), nn.Linear(64, 64)

    def forward(self, x, noise):
        """Return the reconstruction loss and the KL, sums over the batch."""
        h = relu(self.fc1(x))
        mu, logvar = self.fc_mu(h), self.fc_logvar(h)
        z = mu + torch.exp(0.5 * logvar) * noise
        logits = self.fc3(relu(self.fc2(z)))
        bce = binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return bce, -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())


steps, seed = map(int, sys.argv[1:])
x = torch.tensor(load_digits().data / 16).float()
train, test = x[:1500], x[1500:]

torch.manual_seed(seed)
model = VAE()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(steps // 15):
    for batch in torch.randperm(1500).split(100):
        bce, kl = model(train[batch], torch.randn(100, 8))
        optimizer.zero_grad()
        ((bce + kl) / 100).backward()
        optimizer.step()

with torch.no_grad():
    noise = torch.tensor(np.random.default_rng(0).standard_normal((297, 8))).float()
    bce, kl = model(test, noise)
    elbo = -(bce + kl).item() / 297
print({"reconstruction": bce.item() / 297, "KL": kl.item() / 297})
print({"ELBO of the dense weights": elbo})
save_file(model.state_dict(), "torch_digits.safetensors", {"elbo": str(elbo)})
