"""`workshop export` on a run of its own."""

import sys

import jax
import numpy as np
import pytest
from flax import nnx

import workshop
from workshop.cli import main
from workshop.generative_models.core.modules import sample_key
from workshop.generative_models.export import load_exported
from workshop.generative_models.models.saving import build_model, save_config, save_weights


def command(*arguments):
    main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "run"
    shape, sizes = (8, 8, 1), {"hidden_dims": (8,), "latent_dim": 2}
    config = {
        "encoder": sizes | {"input_shape": shape},
        "decoder": sizes | {"output_shape": shape},
        "condition_dim": 10,
    }
    model = build_model("conditional-vae", config, rngs=nnx.Rngs(0))
    folder.mkdir()
    save_config(model, folder)
    save_weights(model, folder)
    return folder


def test_export_of_a_run(run, capsys):
    command("export", run, "--to", "stablehlo")
    said = capsys.readouterr().out
    assert "encode(x, y) -> mean, log_var: largest difference from the model" in said
    assert str(run / "export" / "stablehlo") in said
    functions, model = load_exported(run / "export" / "stablehlo"), workshop.load(run)
    rngs, y = nnx.Rngs(3), np.arange(10, dtype=np.int32)
    noise = jax.random.normal(sample_key(nnx.Rngs(3)), (10, 2))
    expected = model.sample(10, y=y, rngs=rngs)
    found = functions["sample"](noise, np.float32(1), y)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_where_it_goes_is_chosen_and_guarded(run, tmp_path, capsys):
    command("export", run, "--to", "safetensors", "--out", tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "model.safetensors").read_bytes() == (
        run / "model.safetensors"
    ).read_bytes()
    with pytest.raises(SystemExit):
        command("export", run, "--to", "safetensors", "--out", run)
    assert "holds no export that could be replaced" in capsys.readouterr().err
    assert (run / "config.json").exists()


def test_errors_are_sentences(run, tmp_path, capsys, monkeypatch):
    for arguments, said in (
        ((run,), "--to"),
        ((run, "--to", "pickle"), "pickle"),
        ((tmp_path, "--to", "onnx"), "is no run"),
    ):
        with pytest.raises(SystemExit):
            command("export", *arguments)
        assert said in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(SystemExit):
        command("export", run, "--to", "onnx")
    assert "pip install 'workshop-vae[onnx]'" in capsys.readouterr().err
    assert not (run / "export" / "onnx").exists()
