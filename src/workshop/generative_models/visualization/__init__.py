"""Pictures of data, of models and of their training: arrays in, matplotlib figures out.

No function keeps a figure, opens a window or changes matplotlib's settings. `save` writes PNG.
"""

from .bars import code_maps, codebook_panels, codebook_usage, kl_bars
from .curves import training_curves
from .files import save
from .grids import image_grid, reconstructions, samples
from .latents import latent_map
from .paths import interpolations, traversals

__all__ = [
    "code_maps",
    "codebook_panels",
    "codebook_usage",
    "image_grid",
    "interpolations",
    "kl_bars",
    "latent_map",
    "reconstructions",
    "samples",
    "save",
    "training_curves",
    "traversals",
]
