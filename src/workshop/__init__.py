"""Workshop: variational autoencoders on JAX and Flax NNX."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workshop.generative_models.models.vae import VAE

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(run: str | Path) -> "VAE":
    """Return the model of a run folder, such as `workshop train` writes.

    If the run was stopped or still trains, that is the model of its newest checkpoint, and the log
    says of which step.

    It is in evaluation mode, as by `model.eval()`.

    Args:
        run: the folder, with `config.json`, and `model.safetensors` or `checkpoints/`.

    Raises:
        ValueError: if a file is missing or damaged.
    """
    # JAX takes a second or two to import, and `import workshop` should not.
    from workshop.generative_models.models.restoring import load_run

    return load_run(run)
