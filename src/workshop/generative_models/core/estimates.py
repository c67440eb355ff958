"""Figures with their standard errors, and the file that holds those of an evaluation."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

EVALUATION_FILE = "evaluation.json"
FORMAT = 1
"""Of `evaluation.json`."""
_EARLIER = {"distortion": "reconstruction_loss", "rate": "kl_loss", "prior_rate": "prior_kl_loss"}
"""Names that figures had in files of earlier versions."""


@dataclass(frozen=True)
class Estimate:
    """A figure and how it came about."""

    value: float
    """The figure."""
    standard_error: float | None
    """Standard deviation of the estimator over repetitions; None where there is no estimate."""
    n: int
    """How many examples, samples or runs it rests on."""
    estimator: str
    """How it was estimated, in a few words: "mean over examples, 1 sample of z each"."""
    unit: str = ""
    """Such as nats or bits; empty for a plain number."""

    def __str__(self) -> str:
        """Return the figure with as many digits as its error leaves two of: -101.39 ± 0.30 nats."""
        unit = f" {self.unit}" if self.unit else ""
        error = self.standard_error
        # Float32 has no digits for an error of less than a millionth of the figure.
        if not error or not np.isfinite(error) or error < 1e-6 * abs(self.value):
            whole = float(self.value).is_integer()
            return f"{self.value:,.{'0f' if whole else '4g'}}{unit}"
        digits = min(max(0, 1 - int(np.floor(np.log10(error)))), 9)
        return f"{self.value:,.{digits}f} ± {error:,.{digits}f}{unit}"

    def as_json(self) -> dict[str, Any]:
        """Return the fields for `evaluation.json`; see `in_json`."""
        return in_json(asdict(self))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Estimate":
        """Return the estimate that `as_json` gave the fields of."""
        value = content["value"]
        known: dict[str, Any] = {field.name: content[field.name] for field in fields(cls)}
        known["value"] = float("nan" if value is None else value)
        return cls(**known)


def in_json(value: Any) -> Any:
    """Return numbers, or lists or dicts of them, for strict JSON: NaN as None, ∞ as "inf"."""
    if isinstance(value, dict):
        return {name: in_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [in_json(part) for part in value]
    if not isinstance(value, float) or np.isfinite(value):
        return value
    return None if np.isnan(value) else str(float(value))


def read(path: Path) -> dict[str, Any]:
    """Return an evaluation, its figures as `Estimate`, and the titles of its sections."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: run workshop evaluate {path.parent} first")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] > FORMAT:
            raise ValueError(f"its format {content['format']} is newer than {FORMAT}")
        content["titles"] = {name: s["title"] for name, s in content["sections"].items()}
        content["sections"] = {
            name: {
                _EARLIER.get(key, key): Estimate.from_json(figure)
                for key, figure in section["figures"].items()
            }
            for name, section in content["sections"].items()
        }  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    return content
