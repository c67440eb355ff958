"""Models that travel: programs in StableHLO or ONNX, or weights, compared with the model."""

from workshop.generative_models.export.folder import export_model
from workshop.generative_models.export.loading import ExportedFunction, load_exported
from workshop.generative_models.export.manifest import Manifest

__all__ = ["ExportedFunction", "Manifest", "export_model", "load_exported"]
