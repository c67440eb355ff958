"""What every command shares: errors of options, output in any encoding, saved configurations."""

import contextlib
import io
import json
import os
import sys
import warnings

import numpy as np
import pytest
from flax import nnx

from workshop.cli import main
from workshop.cli.starting import train_options
from workshop.generative_models.core.configuration import DecoderConfig, EncoderConfig, VAEConfig
from workshop.generative_models.models.saving import save_config, save_weights
from workshop.generative_models.models.vae import VAE


def command(*arguments):
    main([str(a) for a in arguments])


def show_warning(message, category, filename, lineno, file=None, line=None):
    """Print a warning as Python does where no test records it."""
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def refused(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        command(*arguments)
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--model", "vq-vae", "--quantizer.learning", "frozen"),
            "error: --quantizer.learning='frozen' keeps the codes: kmeans and "
            "--quantizer.revive-below move them",
        ),
        (
            ("--model", "vq-vae", "--quantizer.kind", "fsq", "--quantizer.levels", "1", "8"),
            "error: --quantizer.levels=",
        ),
        (("--encoder.hidden-dims", "0"), "error: --encoder.hidden-dims=0: Input should be greater"),
        (
            ("--encoder.latent-dim", "3"),
            "error: --encoder.latent-dim=3 and --decoder.latent-dim=16 must agree",
        ),
        (("--scale", "-1"), "error: --scale=-1.0: Input should be greater than 0 or Input should"),
        (("--model", "conditional-vae", "--condition-dim", "0"), "error: --condition-dim=0: Input"),
        (("--kl-schedule-steps", "-3"), "error: --kl-schedule-steps=-3: Input should be"),
        (("--latent-dim", "0"), "error: --latent-dim=0: Input should be greater than 0"),
    ],
)
def test_what_a_configuration_refuses_is_a_sentence_on_its_option(capsys, options, message):
    said = refused(capsys, "train", *options)
    assert message in said
    for foreign in ("tyro", "pydantic", "validation error", "input_type", "For further"):
        assert foreign not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "--image-size", 6), "--image-size: expected {None}|{INT INT}, got 6"),
        (("train", "--image-size", "six", 6), "expected {None}|{INT INT}, got six 6"),
        (("train", "--steps", 3.5), "--steps: expected INT, got 3.5"),
        (("train", "--clip-norm", "x"), "--clip-norm: expected {None}|FLOAT, got x"),
        (("train", "--scale", "big"), "expected FLOAT|{learned,per_feature,optimal}, got big"),
        (("train", "--encoder.hidden-dims", 8, "b"), "expected [INT [INT ...]], got 8 b"),
        (("traverse", "RUN", "--dims", "x"), "--dims: expected {None}|{[INT [INT ...]]}, got x"),
    ],
)
def test_values_of_the_wrong_type_are_told_what_the_help_expects(capsys, words, message):
    said = refused(capsys, *words).replace("│ ", "")
    assert message in said
    for foreign in ("<class", "[bold]", "instantiated", "invalid literal"):
        assert foreign not in said


@pytest.mark.slow
def test_a_warning_is_a_sentence(tmp_path, monkeypatch, capsys):
    """Without the file and the line of code that it comes from."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((40, 3, 8, 8)))
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        monkeypatch.setattr(warnings, "showwarning", show_warning)
        command("train", "--data", tmp_path / "x.npy", "--steps", 1, "--hidden-dims", 4,
                "--no-progress", "--out", tmp_path / "run")  # fmt: skip
    said = capsys.readouterr().err
    assert f"warning: data '{tmp_path / 'x.npy'}': x has shape (40, 3, 8, 8)" in said
    assert "UserWarning" not in said
    assert "arrays.py" not in said


def test_output_goes_on_in_an_encoding_without_our_letters(monkeypatch):
    """ASCII, as with PYTHONIOENCODING=ascii or LANG=C; what it lacks is spelt out."""
    for arguments, words in (
        (["data"], ["digits", "8x8x1"]),
        (["train", "--help"], ["--latent-dim"]),
        (["evaluate", "--help"], ["--samples"]),
    ):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
        with contextlib.suppress(SystemExit):  # after help
            main(arguments)
        printed = raw.getvalue().decode("ascii")
        for word in words:
            assert word in printed


@pytest.mark.slow
def test_a_run_goes_on_when_the_reader_of_its_output_is_gone(monkeypatch, tmp_path):
    """As in `workshop train | head -1`: the pipe breaks, and the run ends as it would have."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", buffering=1, encoding="ascii") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit) as stop:
            main(["train", "--help"])
        assert not stop.value.code
        command("train", "--steps", 2, "--hidden-dims", 4, "--no-progress", "--out", tmp_path)
        monkeypatch.undo()
    assert (tmp_path / "model.safetensors").is_file()
    assert (tmp_path / "figures" / "samples.png").is_file()


@pytest.mark.parametrize("width", [60, 80])
def test_no_table_cuts_what_must_be_typed(monkeypatch, capsys, width):
    from workshop.cli import tables
    from workshop.generative_models.data import list_datasets

    monkeypatch.setenv("COLUMNS", str(width))
    tables.console.width = width
    try:
        command("data")
    finally:
        tables.console._width = None
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert "pip install 'workshop-vae[EXTRA]'" in printed
    for name, info in list_datasets().items():
        assert f" {name} " in printed
        assert info.extra is None or f" {info.extra} " in printed


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A config.json as `workshop train` writes it, without the cost of a training."""
    folder = tmp_path_factory.mktemp("saved")
    model = VAE(
        VAEConfig(
            encoder=EncoderConfig(hidden_dims=(9, 5), latent_dim=3, input_shape=(8, 8, 1)),
            decoder=DecoderConfig(
                hidden_dims=(6,), latent_dim=3, output_shape=(8, 8, 1),
                output_activation="sigmoid",
            ),
            encoder_type="dense", likelihood="bce", kl_weight=0.5,
        ),
        rngs=nnx.Rngs(0),
    )  # fmt: skip
    training = {"data": "digits", "steps": 7, "batch_size": 11, "optimizer": "adamw",
                "weight_decay": 0.1, "seed": 4, "average": 0.5}  # fmt: skip
    save_config(model, folder, training=training, classes=None)
    return folder / "config.json"


class TestSavedConfigurations:
    def options_of(self, *arguments):
        """Return the defaults of the options that are not given."""
        kind = train_options([str(a) for a in arguments])
        found = {name: f.default for name, f in kind.__dataclass_fields__.items()}
        return dict(found.pop("training")) | found

    def test_its_values_are_where_options_start(self, file):
        for given in (file, file.parent):
            found = self.options_of("--config", given)
            assert found["config"].kl_weight == 0.5
            assert found["config"].encoder.hidden_dims == (9, 5)
            assert found["config"].decoder.hidden_dims == (6,)
            chosen = {"steps": 7, "batch_size": 11, "optimizer": "adamw", "seed": 4, "average": 0.5}
            assert {name: found[name] for name in chosen} == chosen
            assert found["model"] == "vae"

    def test_options_override_it(self, file, tmp_path):
        found = self.options_of("--config", file, "--latent-dim", 2, "--hidden-dims", 4, 3)
        assert found["config"].encoder.latent_dim == found["config"].decoder.latent_dim == 2
        assert found["config"].encoder.hidden_dims == (4, 3)
        assert found["config"].decoder.hidden_dims == (3, 4)
        assert found["config"].kl_weight == 0.5, "what no option names stays"
        np.save(tmp_path / "x.npy", np.zeros((5, 6, 4, 1), np.float32))
        found = self.options_of("--config", file, "--data", tmp_path / "x.npy")
        assert found["config"].encoder.input_shape == (6, 4, 1)
        assert found["config"].decoder.output_shape == (6, 4, 1)

    @pytest.mark.slow
    def test_a_run_that_starts_from_it_is_the_run(self, file, tmp_path, capsys):
        command("train", "--config", file, "--steps", 3, "--no-progress", "--out", tmp_path / "run")
        saved = json.loads((tmp_path / "run" / "config.json").read_text())
        expected = json.loads(file.read_text())
        assert saved["config"] == expected["config"]
        assert saved["training"] | expected["training"] | {"steps": 3} == saved["training"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"model": "gan"}, "model='gan': expected one of vae"),
            ({"config": {"encoder": {"latent_dim": -1}}}, "config.encoder.latent_dim=-1"),
            ({"config": {"colour": 3}}, "config.colour=3"),
            ({"training": {"steps": "many"}}, "steps='many'"),
            ({"training": {"colour": 3}}, "training.colour is no option"),
            ({"training": 3}, "training=3: expected options by name"),
        ],
    )
    def test_what_is_wrong_in_it_is_named_with_the_file(
        self, file, tmp_path, capsys, change, message
    ):
        content = json.loads(file.read_text())
        for key, value in change.items():
            if isinstance(value, dict):
                for name, inner in value.items():
                    if isinstance(inner, dict):
                        content[key][name] |= inner
                    else:
                        content[key][name] = inner
            else:
                content[key] = value
        wrong = tmp_path / "wrong.json"
        wrong.write_text(json.dumps(content))
        said = refused(capsys, "train", "--config", wrong)
        assert str(wrong) in said
        assert message in said
        assert "pydantic" not in said

    def test_a_file_that_is_none_and_another_model_are_refused(self, file, tmp_path, capsys):
        assert "there is no file" in refused(capsys, "train", "--config", tmp_path / "nothing")
        (tmp_path / "text.json").write_text("no JSON")
        assert "text.json is damaged" in refused(
            capsys, "train", "--config", tmp_path / "text.json"
        )
        said = refused(capsys, "train", "--config", file, "--model", "vq-vae")
        assert "--model vq-vae" in said
        assert "describes a vae" in said
        said = refused(capsys, "train", "--resume", file.parent, "--config", file)
        assert "drop --config" in said


@pytest.mark.slow
def test_a_model_that_was_saved_from_python_is_scored_with_data(tmp_path, capsys):
    """A folder of `save_config` and `save_weights` names no data, so the command must."""
    config = VAEConfig(
        encoder=EncoderConfig(hidden_dims=(4,), latent_dim=2, input_shape=(5,)),
        decoder=DecoderConfig(hidden_dims=(4,), latent_dim=2, output_shape=(5,)),
    )
    model, run, data = VAE(config, rngs=nnx.Rngs(0)), tmp_path / "run", tmp_path / "x.npy"
    save_config(model, run)
    save_weights(model, run)
    np.save(data, np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32))
    command("score", run, data, "--out", tmp_path / "scores.csv", "--samples", 1)
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 31
    command("sample", run, "--count", 2, "--out", tmp_path / "s.npy")
    assert np.load(tmp_path / "s.npy").shape == (2, 5)
    for words in (("score", run, "--out", tmp_path / "t.csv"), ("evaluate", run)):
        assert "name the data, with --data" in refused(capsys, *words)
    assert "did not make it" in refused(capsys, "train", "--resume", run)
