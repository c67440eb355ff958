"""`make figures` knows every picture of the documentation, and keeps it small."""

import importlib.util
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
if not DOCS.is_dir():
    pytest.skip("the documentation is in the checkout alone", allow_module_level=True)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("docs_figures", DOCS / "figures.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        spec.loader.exec_module(module)
    return module


def test_it_draws_every_picture_and_no_other(script):
    drawn = [name for group in script.FIGURES.values() for name in group]
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) == {path.stem for path in (DOCS / "figures").iterdir()}


@pytest.mark.slow
def test_pictures_shrink_by_colours_alone(script):
    few = Image.fromarray(np.kron(np.eye(8), np.full((40, 40), 255)).astype(np.uint8))
    kept = Image.open(BytesIO(script.shrink(few))).convert("L")
    np.testing.assert_array_equal(kept, few)
    noise = np.random.default_rng(0).integers(0, 256, (200, 150, 3)).astype(np.uint8)
    content = script.shrink(Image.fromarray(noise), 20_000)
    assert len(content) < 20_000
    assert Image.open(BytesIO(content)).size == (150, 200)
    with pytest.raises(ValueError, match="150 × 200 has more than 1,000 bytes"):
        script.shrink(Image.fromarray(noise), 1_000)


def test_what_it_wants(script, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["figures.py", "--fast"])
    with pytest.raises(SystemExit):
        script.main()
    assert "--fast wants --out" in capsys.readouterr().err
