"""Find the image files of a folder, with their splits and classes."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff",
    ".ppm", ".pgm",
)  # fmt: skip
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of splits, in any case, and which one each is."""
_NOT_DATA = ("__MACOSX", "@eaDir")
"""Folders that archives and file servers add; so are hidden ones."""


Parts = dict[str, dict[Path, str]]
"""For each split the files and their class, "" without one, in sorted order."""


def find(folder: Path, where: str) -> tuple[Parts, tuple[str, ...]]:
    """Finds the files of FOLDER, FOLDER/CLASS, or either in train/, validation/, test/.

    Also returns notes on what was passed over.
    """
    walk = _Walk(where)
    inner = walk.folders(folder)
    splits = {name: SPLIT_NAMES.get(name.lower(), "") for name in inner}
    if not any(splits.values()):
        _refuse_almost_splits(inner, where)
        parts = {"train": _classes(folder, walk, where)}
    elif "train" in splits.values() and all(splits.values()):
        if len(set(splits.values())) < len(inner):
            twice = next(part for part, n in Counter(splits.values()).items() if n > 1)
            raise ValueError(f"{where}: found folders {inner}; expected one {twice}/")
        parts = {splits[name]: _classes(folder / name, walk, where) for name in inner}
    else:
        raise ValueError(
            f"{where}: found folders {inner}; expected train/ with validation/ and test/ if there "
            "are any, or class folders alone (a class named train goes inside train/)"
        )
    if len({"" in files.values() for files in parts.values()}) > 1:
        raise ValueError(f"{where}: some splits have class folders; expected all or none")
    return parts, walk.notes()


def class_names(parts: Parts) -> tuple[str, ...]:
    """The classes in order: numbers by their value, other names by the alphabet."""
    names = {label for files in parts.values() for label in files.values() if label}
    numbers = all(name.isdecimal() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if numbers else 0, name)))


@dataclass
class _Walk:
    """A walk through folders that follows links and counts what it passes over."""

    where: str
    entered: dict[Path, Path] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    cycles: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    def files(self, folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
        """The image files in a folder and in those inside of it."""
        real = folder.resolve()
        if real in above:
            self.cycles.append(folder.name)
            return
        if real in self.entered:
            raise ValueError(
                f"{self.where}: {self.entered[real]} and {folder} are the same folder, so its "
                "images would count twice; remove one of the links"
            )
        self.entered[real] = folder
        for entry in self._entries(folder):
            path = Path(entry.path)
            lost = entry.is_symlink() and not path.exists()
            if entry.is_dir():
                yield from self.files(path, (*above, real))
            elif path.suffix.lower() in SUFFIXES and (lost or entry.is_file()):
                yield path  # a lost one is named with the others that can't be read
            elif lost:
                raise ValueError(f"{self.where}: {path} is a link that leads nowhere")
            else:
                self.others[path.suffix.lower() or "no suffix"] += 1

    def folders(self, folder: Path) -> list[str]:
        """The names of the folders inside."""
        return [entry.name for entry in self._entries(folder) if entry.is_dir()]

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                found = [e for e in entries if not e.name.startswith(".")]
        except OSError as error:
            raise ValueError(f"{self.where}: {folder} cannot be read ({error.strerror})") from error
        return sorted((e for e in found if e.name not in _NOT_DATA), key=lambda entry: entry.name)

    def notes(self) -> tuple[str, ...]:
        """What was passed over."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.others.most_common(5))
        found = {
            f"passed over {self.others.total():,} other files ({kinds})": self.others,
            f"no images in {', '.join(self.empty)}": self.empty,
            f"not followed {', '.join(self.cycles)}, a link to a folder around it": self.cycles,
        }
        return tuple(note for note, reason in found.items() if reason)


def _classes(folder: Path, walk: _Walk, where: str) -> dict[Path, str]:
    """The files of one split and their classes, which are the folders right inside of it."""
    labels, others = {}, walk.others.copy()
    for file in walk.files(folder):
        inside = file.relative_to(folder).parts
        # One name, however its accents are stored.
        labels[file] = unicodedata.normalize("NFC", inside[0]) if len(inside) > 1 else ""
    if not labels:
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in (walk.others - others).most_common(5))
        raise ValueError(
            f"{where}: no images in {folder}{f', but {kinds} files' if kinds else ''}; expected "
            f"{', '.join(SUFFIXES)} files; Pillow converts others: image.save('x.png')"
        )
    classes = set(labels.values())
    if "" in classes and len(classes) > 1:
        loose = next(file for file, label in labels.items() if not label)
        raise ValueError(
            f"{where}: {loose.name} lies beside class folders; expected every image in a class "
            "folder, or none"
        )
    found = walk.folders(folder)
    walk.empty += [n for n in found if unicodedata.normalize("NFC", n) not in classes]
    if "" not in classes:
        _refuse_deeper_structure(folder, labels, where)
    return labels


def _refuse_almost_splits(names: list[str], where: str) -> None:
    """Refuses folders such as train_images and test_images, which would be taken for classes."""
    words = [{SPLIT_NAMES.get(w) for w in re.findall("[a-z]+", n.lower())} - {None} for n in names]
    together: set[str | None] = set().union(*words)
    if len(together) > 1 and "train" in together and all(words):
        raise ValueError(
            f"{where}: found folders {names}, which look like splits; rename them to train/, "
            "validation/ and test/ (or, if they are classes, put them inside train/)"
        )


def _refuse_deeper_structure(folder: Path, labels: dict[Path, str], where: str) -> None:
    """Refuses splits inside of classes, and classes inside of one folder around them all."""
    paths = [file.relative_to(folder).parts for file in labels]
    for inside in paths:
        if len(inside) > 2 and inside[1].lower() in SPLIT_NAMES:
            raise ValueError(
                f"{where}: {folder / inside[0]} has the folder {inside[1]}, a split inside of "
                f"{inside[0]}; expected splits outside and classes inside: "
                f"{inside[1]}/{inside[0]}/ (or give {folder / inside[0]})"
            )
    second = {inside[1] for inside in paths if len(inside) > 2}
    if len({inside[0] for inside in paths}) == 1 and len(paths[0]) > 2 and len(second) > 1:
        raise ValueError(
            f"{where}: all images lie in {paths[0][0]}, in its folders {', '.join(sorted(second))},"
            f" which would be one class; give {folder / paths[0][0]} for a class each"
        )
