"""Models that travel: programs in StableHLO or ONNX, or weights, compared with the model."""

from .folder import export_model
from .loading import ExportedFunction, load_exported
from .manifest import Manifest

__all__ = ["ExportedFunction", "Manifest", "export_model", "load_exported"]
