"""Components chosen on the command line: --prior.kind and its like, with options of their own."""

import pytest
import tyro

import workshop
from workshop.cli import main
from workshop.cli.parsing import reading
from workshop.cli.starting import train_options
from workshop.generative_models.core.configuration import (
    COMPONENT_CONFIGS,
    MODEL_CONFIGS,
    CapacityConfig,
    FSQConfig,
    IAFConfig,
    MAFConfig,
    MixtureConfig,
    PointMassConfig,
    ReconstructionConfig,
    ResidualConfig,
    SimVQConfig,
)


def parsed(*arguments):
    """Return the model's configuration that a command line makes, without warnings of tyro."""
    words = [str(a) for a in arguments]
    with reading():
        return tyro.cli(train_options(words), args=words).config


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {"prior": None, "posterior": None, "objective": None}),
        (
            ("--prior.kind", "mixture", "--prior.components", 50),
            {"prior": MixtureConfig(components=50), "posterior": None},
        ),
        (
            ("--posterior.kind=point_mass", "--objective.kind=reconstruction"),
            {"posterior": PointMassConfig(), "objective": ReconstructionConfig()},
        ),
        (
            ("--posterior.kind", "iaf", "--posterior.hidden-dims", 8, 6, "--prior.kind", "maf"),
            {"posterior": IAFConfig(hidden_dims=(8, 6)), "prior": MAFConfig()},
        ),
        (
            ("--objective.kind", "capacity", "--objective.gamma", 5, "--steps", 30),
            {"objective": CapacityConfig(gamma=5, capacity_num_iter=15)},
        ),
        (
            ("--model", "beta-vae", "--prior.kind", "mixture", "--prior.components", 3),
            {"prior": MixtureConfig(components=3), "beta_default": 2.0},
        ),
        (("--model", "vq-vae", "--quantizer.kind", "fsq"), {"quantizer": FSQConfig()}),
        (
            ("--model", "vq-vae", "--quantizer.kind", "residual", "--quantizer.stages", 2,
             "--quantizer.stage.kind", "simvq"),
            {"quantizer": ResidualConfig(stages=2, stage=SimVQConfig()), "embedding_dim": 16},
        ),
    ],
)  # fmt: skip
def test_components_are_chosen_by_kind(arguments, expected):
    config = parsed(*arguments)
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize("name", ["vae", "beta-vae", "vq-vae"])
def test_the_help_names_the_kinds_of_the_components_that_a_model_has(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main(["train", "--model", name, "--help"])
    help_text = capsys.readouterr().out
    for component in COMPONENT_CONFIGS.keys() - {"stage"}:
        shown = f"--{component}.kind {{" in help_text
        assert shown == (component in MODEL_CONFIGS[name].model_fields)
        assert not shown or all(kind in help_text for kind in COMPONENT_CONFIGS[component])
    assert "--prior.components" not in help_text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--prior.kind", "vampp"), "invalid choice 'vampp' for argument '--prior.kind'"),
        (("--prior.components", "5"), "Unrecognized options: --prior.components"),
        (("--model", "vq-vae", "--prior.kind", "mixture"), "Unrecognized options: --prior.kind"),
        (("--prior.kind", "mixture", "--prior.components", "0"), "--prior.components=0: Input"),
        (("--posterior.kind", "point_mass"), "choose an objective of kind"),
    ],
)
def test_what_cannot_be_chosen(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["train", *arguments])
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_run_keeps_its_components_and_others_start_from_them(tmp_path):
    run = tmp_path / "run"
    main(["train", "--prior.kind", "mixture", "--prior.components", "3", "--hidden-dims", "4",
          "--latent-dim", "2", "--steps", "2", "--no-progress", "--out", str(run)])  # fmt: skip
    assert workshop.load(run).prior.means.shape == (3, 2)
    assert (run / "figures" / "samples.png").is_file()
    assert parsed("--config", run).prior == MixtureConfig(components=3)
    assert parsed("--config", run, "--prior.components", 4).prior == MixtureConfig(components=4)
    assert parsed("--config", run, "--prior.kind", "None").prior is None
    assert parsed("--config", run, "--objective.kind", "reconstruction").prior.components == 3
