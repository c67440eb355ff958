"""Saving: the same bytes from the same data, and never half a file."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from workshop.generative_models import visualization
from workshop.generative_models.evaluation.latents import codebook_health
from workshop.generative_models.visualization import (
    code_maps,
    codebook_panels,
    codebook_usage,
    image_grid,
    interpolations,
    kl_bars,
    latent_map,
    reconstructions,
    samples,
    save,
    training_curves,
    traversals,
)

IMAGES = np.random.default_rng(0).uniform(size=(6, 8, 8, 1))
ROWS = [{"step": i, "split": "train", "loss": 100 / (i + 1), "elbo": -i} for i in range(20)]
FIGURES = {
    "image_grid": lambda: image_grid(IMAGES, titles=range(6), title="Digits"),
    "image_grid of a table": lambda: image_grid(IMAGES.reshape(6, 64) * 9),
    "reconstructions": lambda: reconstructions(IMAGES, IMAGES**2, range(6), range(6)),
    "samples": lambda: samples(IMAGES, [0, 1, 2, 0, 1, 2]),
    "traversals": lambda: traversals(IMAGES.reshape(2, 3, 8, 8, 1), [1, 0], [2, 1], [-1, 0, 1]),
    "interpolations": lambda: interpolations(IMAGES.reshape(2, 3, 8, 8, 1)),
    "training_curves": lambda: training_curves(ROWS),
    "latent_map": lambda: latent_map(IMAGES.reshape(6, 64), range(6)),
    "latent_map by pca": lambda: latent_map(IMAGES.reshape(6, 64), method="pca"),
    "latent_map of one latent": lambda: latent_map(IMAGES[:, 0, :1, 0], [0, 1, 2] * 2),
    "latent_map of many classes": lambda: latent_map(IMAGES.reshape(-1, 2), range(192)),
    "kl_bars": lambda: kl_bars([0.5, 0.001, 2.0]),
    "codebook_usage": lambda: codebook_usage([5, 0, 9, 1]),
    "codebook_panels": lambda: codebook_panels(
        codebook_health([0, 1, 1, 3], 4, [[0.0], [1.0], [2.0], [5.0]])
    ),
    "code_maps": lambda: code_maps(np.arange(32).reshape(2, 4, 4)),
}


def test_every_function_is_here():
    assert {name.split()[0] for name in FIGURES} == set(visualization.__all__) - {"save"}


@pytest.mark.sampled
@pytest.mark.parametrize("name", FIGURES)
def test_the_same_data_gives_the_same_bytes(name, tmp_path):
    figure = FIGURES[name]()
    first = save(figure, tmp_path / "1.png").read_bytes()
    again = save(figure, tmp_path / "2.png").read_bytes()
    # Whatever a user has set.
    with matplotlib.rc_context({"font.size": 30, "figure.dpi": 50, "axes.facecolor": "red"}):
        anew = save(FIGURES[name](), tmp_path / "3.png").read_bytes()
    assert first == again == anew
    assert len(first) < 100_000
    with Image.open(tmp_path / "1.png") as picture:
        assert picture.size == figure.canvas.get_width_height()
        assert set(picture.info) <= {"dpi"}  # no date, no version


@pytest.mark.sampled
@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_at_the_edges(name, tmp_path):
    with Image.open(save(FIGURES[name](), tmp_path / "a.png")) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    edges = [pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:]]
    assert all((edge == 255).all() for edge in edges)


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(tmp_path):
    program = (
        "import sys; from workshop.generative_models.visualization import *\n"
        "save(kl_bars([0.5, 0.001, 2.0]), sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    there = tmp_path / "there.png"
    subprocess.run([sys.executable, "-c", program, str(there)], check=True)
    assert there.read_bytes() == save(FIGURES["kl_bars"](), tmp_path / "here.png").read_bytes()


@pytest.mark.parametrize("broken", ["write_bytes", "replace", "savefig"])
def test_a_failing_write_leaves_the_old_file(broken, tmp_path, monkeypatch):
    path = save(FIGURES["kl_bars"](), tmp_path / "figure.png")
    old = path.read_bytes()
    figure = FIGURES["codebook_usage"]()

    def half(self, data):
        with open(self, "wb") as file:
            file.write(data[:100])
        fail()

    def fail(*_args, **_kwargs):
        raise OSError("no space left on device")

    owner = {"write_bytes": Path, "replace": os, "savefig": figure}[broken]
    monkeypatch.setattr(owner, broken, half if broken == "write_bytes" else fail)
    with pytest.raises(OSError, match="no space"):
        save(figure, path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["figure.png"]


def test_a_new_file_replaces_the_old_one_and_folders_are_made(tmp_path):
    path = tmp_path / "runs" / "1" / "figures" / "figure.png"
    assert save(FIGURES["kl_bars"](), str(path)) == path
    old = path.read_bytes()
    save(FIGURES["codebook_usage"](), path)
    assert path.read_bytes() != old
    assert os.listdir(path.parent) == ["figure.png"]


@pytest.mark.parametrize("name", ["figure", "figure.pdf", "png"])
def test_only_png(name, tmp_path):
    with pytest.raises(ValueError, match=r"save\(path=.*\.png"):
        save(FIGURES["kl_bars"](), tmp_path / name)
    assert os.listdir(tmp_path) == []
