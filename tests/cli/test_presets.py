"""Models of the literature: `workshop models`, and what `--model` builds."""

import json

import pytest
from flax import nnx
from rich.console import Console

import workshop
from workshop.cli import main, models
from workshop.cli.options import Start, default_config
from workshop.cli.starting import train_options
from workshop.generative_models.core.configuration.presets import PRESETS
from workshop.generative_models.models.saving import build_model

# Pythae 0.1.2, `pythae.models.AutoModel`, and disentanglement_lib's `methods/unsupervised/vae.py`,
# under our names; docs/coming_from.md maps them.
PYTHAE = (
    "ae", "vae", "beta-vae", "beta-vae-capacity", "beta-tc-vae", "factor-vae", "iwae", "miwae",
    "piwae", "ciwae", "ms-ssim-vae", "info-vae-mmd", "wae-mmd", "adversarial-ae", "vae-gan",
    "vae-lin-nf", "vae-iaf", "vq-vae", "rae-l2", "rae-gp", "svae",
    "poincare-vae", "vamp", "hvae", "rhvae",
)  # fmt: skip
DISENTANGLEMENT = (
    "beta-vae", "beta-vae-capacity", "factor-vae", "beta-tc-vae", "dip-vae-i", "dip-vae-ii",
)  # fmt: skip


def test_every_model_of_the_peers_is_there():
    assert {*PYTHAE, *DISENTANGLEMENT} <= PRESETS.keys()


@pytest.mark.sampled
@pytest.mark.parametrize("name", [name for name in PRESETS if name != "perceptual-vae"])
def test_the_command_line_builds_it_with_its_components(name):
    preset = PRESETS[name]
    config = default_config(Start(model=name))
    for field, component in preset.components.items():
        assert getattr(config, field) == component
    model = nnx.eval_shape(lambda: build_model(preset.model, config, rngs=nnx.Rngs(0)))
    assert model.config == config


def test_weights_of_the_kl_suit_the_size_of_the_data():
    # The digits have 64 pixels, 4 nats at one for 16.
    config = default_config(Start(model="beta-vae-capacity"))
    assert (config.capacity_max, config.gamma) == (4.0, 10.0)
    assert default_config(Start(model="beta-vae-capacity", data="mnist5k")).capacity_max == 25.0
    assert default_config(Start(model="beta-vae")).beta_default == 2.0


def test_a_run_of_a_model_by_its_name_can_be_loaded(tmp_path, monkeypatch, capsys, one_figure):
    monkeypatch.chdir(tmp_path)
    small = "--steps 2 --limit 50 --latent-dim 2 --hidden-dims 4 --no-progress"
    main(["train", "--model", "wae-mmd", *small.split()])
    assert "wae-mmd on digits" in capsys.readouterr().out
    assert workshop.load("runs/digits-wae-mmd").kinds["objective"] == "wae_mmd"


def test_a_component_of_ones_own_choice_replaces_that_of_the_model():
    options = train_options(["--model", "iwae", "--objective.kind", "dreg", "--prior.kind", "maf"])
    config = options.__dataclass_fields__["config"].default
    assert (config.objective.kind, config.prior.kind) == ("dreg", "maf")


def test_the_list_names_each_model_with_its_paper(capsys, monkeypatch):
    monkeypatch.setattr(models, "console", Console(width=200))
    main(["models"])
    out = capsys.readouterr().out
    for name, preset in PRESETS.items():
        line = next(line for line in out.splitlines() if f" {name} " in line)
        assert preset.paper[-4:] in line
        assert all(part.kind in line for part in preset.components.values())


def test_a_printed_configuration_is_a_file_to_start_from(capsys, tmp_path):
    main(["models", "factor-vae"])
    file = tmp_path / "factor.json"
    file.write_text(capsys.readouterr().out)
    assert json.loads(file.read_text())["config"]["objective"]["gamma"] == 10
    found = train_options(["--config", str(file)]).__dataclass_fields__["config"].default
    assert found == default_config(Start(model="factor-vae"))


def test_an_unknown_model_is_a_sentence(capsys):
    with pytest.raises(SystemExit):
        main(["models", "facto-vae"])
    assert "did you mean 'factor-vae'?" in capsys.readouterr().err
