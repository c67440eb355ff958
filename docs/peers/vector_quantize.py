"""vector-quantize-pytorch: a codebook for the rows of digits, by moving averages."""

import sys

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from vector_quantize_pytorch import FSQ, VectorQuantize

steps, seed = map(int, sys.argv[1:])
x = torch.tensor(load_digits().images / 16).float()  # (1797, 8, 8): 8 vectors of 8 an image
train, test = x[:1500], x[1500:]

torch.manual_seed(seed)
quantizer = VectorQuantize(
    dim=8, codebook_size=64, decay=0.99, kmeans_init=True, commitment_weight=0.25
)
quantizer.train()
for _ in range(steps // 15):
    for batch in torch.randperm(1500).split(100):
        quantizer(train[batch])  # the codes move in the forward pass

quantizer.eval()
codes, indices, _ = quantizer(test)
error = ((codes - test) ** 2).sum((1, 2)).mean()
print({"squared error of an image": error.item(), "codes used": len(indices.unique())})

quantizer.train()  # in eval mode the loss is 0
_, _, loss = quantizer(test, freeze_codebook=True)
scalar = FSQ([8, 6, 5])
_, scalar_indices = scalar(4 * test[..., :3] - 2)
save_file(
    {
        "codebook": quantizer.codebook.contiguous(),
        "indices": indices.to(torch.uint8),
        "scalar_indices": scalar_indices.to(torch.uint8),
        "loss": loss.detach(),
    },
    "vector_quantize.safetensors",
)
