"""A record of which examples each split of a run held, to find the same splits again later.

Splits are drawn anew whenever data is loaded. After one file is added or removed, most examples
land in another split, so that a test would be on examples that the model was trained on.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from workshop.generative_models.core.files import write_text
from workshop.generative_models.data.arrays import SPLITS
from workshop.generative_models.data.dataset import Dataset, Split
from workshop.generative_models.data.rows import joined

FILE = "splits.json"
_SAMPLED = 64
"""Examples that stand for a split on disk whose examples have no names."""
_BYTES = 8  # of a digest: among a million examples two agree by chance once in 10 million runs


@dataclass(frozen=True)
class _Change:
    """How data differs from a record: new examples, missing ones of each split, shared ones."""

    new: int
    missing: Mapping[str, int]
    found: int
    new_names: tuple[str, ...] = ()
    missing_names: tuple[str, ...] = ()

    def __str__(self) -> str:
        gone = sum(self.missing.values())
        if not self.new and not gone:
            return "the same examples are split or ordered in another way (were files renamed?)"
        found = []
        if self.new:
            found.append(f"{self.new:,} new{_some(self.new_names)}")
        if gone:
            parts = ", ".join(f"{n:,} of {part}" for part, n in self.missing.items() if n)
            found.append(f"{gone:,} missing ({parts}){_some(self.missing_names)}")
        return f"examples: {', '.join(found)}"


def _some(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    return f": {', '.join(names[:3])}" + (", ..." if len(names) > 3 else "")


def write_record(dataset: Dataset, folder: Path) -> None:
    """Writes what each split holds into `folder`: digests of the values, or names on disk."""
    content = _described(dataset)
    for held in content.values():
        if "digests" in held:
            held["digests"] = base64.b64encode(b"".join(held["digests"])).decode()
    content["format"] = 1
    write_text(json.dumps(content, separators=(",", ":")) + "\n", folder / FILE)


def read_record(folder: Path) -> dict[str, Any] | None:
    """Returns the record in `folder`, or None if there is none."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != 1:
            raise ValueError(f"format {content['format']}; expected 1")
        for part in SPLITS:
            held = content[part]
            named = held.get("names", [])
            if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
                raise ValueError(f"{part} has names that are none")
            if "digests" in held:
                whole = base64.b64decode(held["digests"], validate=True)
                held["digests"] = [whole[i : i + _BYTES] for i in range(0, len(whole), _BYTES)]
            for field in ("digests", "names"):
                if len(held.get(field, range(held["examples"]))) != held["examples"]:
                    raise ValueError(f"{part} has {len(held[field])} {field}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {error}): it says which examples the run "
            "was trained on; delete it to go by a fresh split of the data"
        ) from None
    return content


def unchanged(record: Mapping[str, Any], dataset: Dataset) -> bool:
    """Says whether every split holds what the record says, in the same order."""
    now = _described(dataset)
    key = _told_apart_by(record, now)
    fields = ("examples", "sample") if key is None else (key,)
    return all(record[p].get(f) == now[p].get(f) for p in SPLITS for f in fields)


def compare(record: Mapping[str, Any], dataset: Dataset) -> _Change:
    """Returns how data differs from the record, however it is split now."""
    return _assigned(record, dataset)[1]


def as_recorded(record: Mapping[str, Any], dataset: Dataset) -> tuple[Dataset, _Change | None]:
    """Returns data with every example in the split of the record, and the change, if any.

    Of new examples, those that a fresh split puts into test are tested on too; the others are left
    out, unless the record has none of the examples of a split.
    """
    if unchanged(record, dataset):
        return dataset, None
    places, change = _assigned(record, dataset)
    whole = _concatenated(list(dataset.splits.values()))
    splits = {part: whole.take(np.asarray(places[part], int)) for part in SPLITS if places[part]}
    if "test" not in splits:
        raise ValueError(
            f"{dataset.name}: every example of it is one that the run was trained or validated on, "
            "so none is left to test on; give data that is new to the model"
        )
    for part in ("train", "validation"):
        splits.setdefault(part, dataset.splits[part])
    return replace(dataset, **splits), change


def _assigned(record: Mapping[str, Any], dataset: Dataset) -> tuple[dict[str, list[int]], _Change]:
    """The examples of each split as places in all of them laid end to end."""
    now = _described(dataset)
    key = _told_apart_by(record, now)
    if key is None:
        raise ValueError(
            f"{dataset.name}: the data has changed since the run began, and examples on disk "
            "without names cannot be told apart; restore it, or give other data"
        )
    left = {part: Counter(record[part][key]) for part in SPLITS}
    places: dict[str, list[int]] = {part: [] for part in SPLITS}
    new_names: list[str] = []
    new = place = 0
    for fresh in SPLITS:
        for i, example in enumerate(now[fresh][key]):
            # Of equal examples as many are trained on as there were.
            part = next((part for part in SPLITS if left[part][example]), None)
            if part is not None:
                left[part][example] -= 1
            else:
                new += 1
                new_names += now[fresh].get("names", [])[i : i + 1]
            if part is not None or fresh == "test":
                places[part or fresh].append(place + i)
        place += now[fresh]["examples"]
    gone = {part: sum(counter.values()) for part, counter in left.items()}
    missing_names = tuple(
        name
        for part in SPLITS
        for example, name in zip(record[part][key], record[part].get("names", ()), strict=False)
        if left[part][example]
    )
    return places, _Change(new, gone, place - new, tuple(new_names), missing_names)


def _told_apart_by(record: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What tells all examples of the record and of the data apart; None if nothing does."""
    held = [side[part] for side in (record, now) for part in SPLITS]
    return next((key for key in ("digests", "names") if all(key in part for part in held)), None)


def _described(dataset: Dataset) -> dict[str, Any]:
    """What each split holds: digests in memory, names of files, else a digest of some examples."""
    result: dict[str, Any] = {}
    for part, split in dataset.splits.items():
        held: dict[str, Any] = {"examples": len(split)}
        if isinstance(split.x, np.ndarray):
            held["digests"] = _digests(split.x)
        if split.names is not None:
            held["names"] = list(split.names)
        if len(held) == 1:
            rows = np.linspace(0, len(split) - 1, min(len(split), _SAMPLED)).astype(int)
            held["sample"] = hashlib.blake2b(b"".join(_digests(split.x[rows]))).hexdigest()[:16]
        result[part] = held
    return result


def _digests(x: np.ndarray) -> list[bytes]:
    return [hashlib.blake2b(row.tobytes(), digest_size=_BYTES).digest() for row in x]


def _concatenated(splits: list[Split]) -> Split:
    def optional(values: list[Any]) -> Any:
        return None if any(value is None for value in values) else np.concatenate(values)

    names = [split.names for split in splits]
    return Split(
        joined([split.x for split in splits]),
        optional([split.y for split in splits]),
        optional([split.factors for split in splits]),
        None if None in names else tuple(name for part in names for name in part or ()),
    )
