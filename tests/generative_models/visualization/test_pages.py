"""Pages: what stands in them, where, and nothing that would run or fetch."""

import re

import numpy as np
from matplotlib.figure import Figure

from workshop.generative_models.evaluation.comparison import compare
from workshop.generative_models.evaluation.estimates import Estimate
from workshop.generative_models.evaluation.sections import Section
from workshop.generative_models.visualization import image_grid, kl_bars
from workshop.generative_models.visualization.evaluation import comparison_page, run_page


def picture(name: str) -> Figure:
    return image_grid(np.zeros((1, 4, 4, 1)), title=name)


def sections(elbo: float = -1.5) -> dict[str, Section]:
    return {
        "likelihood": Section("Likelihood", {"elbo": Estimate(elbo, 0.1, 1234, "<a>", "nats")}),
        "latents": Section("Latents", {}, ["2 of 3 latents & more are inactive"], ["a note"]),
    }


def test_figures_stand_under_their_sections_and_the_rest_last():
    figures = [("training_curves", picture("curves")), ("kl_per_latent", kl_bars([1.0, 2.0]))]
    text = run_page("A <run>", sections(), figures, about=["on digits"], command="workshop e")
    heads = re.findall(r"<h[12]>([^<]*)</h", text)
    assert heads == ["A &lt;run&gt;", "Likelihood", "Latents", "Training"]
    by_part = text.split("<h2>")[1:]
    assert ["<figure>" in part for part in by_part] == [False, True, True]
    assert 'alt="curves"' in by_part[2]
    assert "-1.50 ± 0.10 nats" in by_part[0]
    assert "1,234" in by_part[0]
    assert "&lt;a&gt;" in by_part[0]
    assert "2 of 3 latents &amp; more are inactive" in text.split("<h2>")[0]
    assert "None of the checks" not in text


def test_figures_of_several_codebooks_stand_under_codes():
    codes = {"codes": Section("Codes", {})}
    names = ["codebook_1_usage", "codebook_2_usage", "code_maps", "other"]
    text = run_page("run", codes, [(name, picture(name)) for name in names])
    _, under, rest = text.split("<h2>")
    assert [f'alt="{name}"' in under for name in names] == [True, True, True, False]
    assert 'alt="other"' in rest


def test_the_best_of_several_runs_is_marked():
    basis = {"data": "a", "likelihood": "b"}
    runs = [{"sections": {"likelihood": s["likelihood"].figures}, "basis": basis}
            for s in (sections(-2.0), sections(-1.0))]  # fmt: skip
    text = comparison_page(compare(runs), ["one", "two"], {"likelihood": "Likelihood"})
    cells = re.findall(r'<td class="([^"]*)">([^<]*)</td>', text)
    assert [cell for kind, cell in cells if "best" in kind] == ["-1.00 ± 0.10 nats"]
    assert "None of the checks" not in text


def test_nothing_runs_and_nothing_is_fetched():
    text = run_page("run", sections(), [("kl_per_latent", kl_bars([1.0]))])
    assert not re.search(r"<script|<link|@import|url\(|https?:", text)
