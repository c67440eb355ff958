"""Models that travel: as a folder of plain files, and by the Hugging Face Hub."""

from workshop.generative_models.models.hub import (
    FILES,
    from_pretrained,
    push_to_hub,
    save_pretrained,
)

__all__ = ["FILES", "from_pretrained", "push_to_hub", "save_pretrained"]
