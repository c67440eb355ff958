"""Pythae: train a VAE on digits, measure it, sample."""

import sys

import torch
from pythae.models import VAE, VAEConfig
from pythae.pipelines import TrainingPipeline
from pythae.samplers import NormalSampler
from pythae.trainers import BaseTrainerConfig
from sklearn.datasets import load_digits

steps, seed = map(int, sys.argv[1:])
x = torch.tensor(load_digits().images[:, None] / 16).float()  # (1797, 1, 8, 8)
train, test = x[:1500], x[1500:]

torch.manual_seed(seed)
model = VAE(VAEConfig(input_dim=(1, 8, 8), latent_dim=8, reconstruction_loss="bce"))
options = BaseTrainerConfig(
    output_dir="pythae",
    num_epochs=steps // 15,
    per_device_train_batch_size=100,
    learning_rate=1e-3,
    seed=seed,
    no_cuda=True,
)
TrainingPipeline(model=model, training_config=options)(train_data=train)

model.eval()
with torch.no_grad():
    out = model({"data": test})
    bound = model.get_nll(test, n_samples=100, batch_size=100)
    samples = NormalSampler(model).sample(num_samples=16)  # (16, 1, 8, 8)
    means = model.predict(test).embedding
print(
    {
        "reconstruction": out.recon_loss.item(),
        "KL": out.reg_loss.item(),
        "log p(x), 100 samples": float(bound),
    }
)
