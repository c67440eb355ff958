"""The folder of an export: whole or not there, and refused when it is not what was written."""

import dataclasses
import json
import re
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export, lax
from safetensors.numpy import load_file

from workshop.generative_models.core.configuration import VAEConfig
from workshop.generative_models.export import export_model, load_exported, stablehlo
from workshop.generative_models.export import folder as folder_module
from workshop.generative_models.export.manifest import digests
from workshop.generative_models.models.saving import load_model
from workshop.generative_models.models.vae import VAE, MLPEncoder


@pytest.fixture
def copy(exported, tmp_path):
    """An export that a test may harm."""
    shutil.copytree(exported("beta-vae", "stablehlo")[0], tmp_path / "copy")
    return tmp_path / "copy"


def edit(folder, change):
    file = folder / "export.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def resign(folder):
    """Make digests fit the files again, as a stranger could."""
    edit(folder, lambda c: c.update(files=digests(folder, c["files"])))


@pytest.mark.sampled
@pytest.mark.parametrize("to", ["stablehlo", "onnx", "safetensors"])
def test_the_code_of_the_readme_runs(exported, to, monkeypatch):
    folder, manifest, functions = exported("beta-vae", to)
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1 + len(manifest.functions)
    monkeypatch.chdir(folder)
    names = {}
    exec("\n".join(blocks), names)
    assert names["reconstruction"].shape == (8, 6)
    again = functions["sample"](names["noise"], names["temperature"])
    np.testing.assert_allclose(names["x"], again, atol=1e-6)


def test_the_manifest_says_what_was_exported(exported, model):
    folder, manifest, _ = exported("beta-vae", "stablehlo")
    assert (manifest.model, manifest.format) == ("beta-vae", "stablehlo")
    assert manifest.config == model("beta-vae").config.model_dump(mode="json")
    assert manifest.made_with["jax"] == jax.__version__
    assert manifest.functions["encode"].inputs[0].shape == ["batch", 6]
    assert all(0 <= d <= 1e-5 for d in manifest.differences.values())
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*manifest.files, "README.md", "export.json"]
    )
    assert [p.name for p in folder.parent.iterdir()] == ["made"]


def test_safetensors_hold_the_weights_bit_for_bit(exported, model):
    folder, _, functions = exported("conditional-vae", "safetensors")
    model = model("conditional-vae")
    weights, again = load_file(folder / "model.safetensors"), load_model(folder)
    for found, kept in zip(weights_of(again), weights_of(model), strict=True):
        np.testing.assert_array_equal(found, kept)
    np.testing.assert_array_equal(
        weights["encoder.encoder.mean_proj.kernel"], model.encoder.encoder.mean_proj.kernel[...]
    )
    z, y = np.ones((2, 4), np.float32), np.array([0, 2], np.int32)
    np.testing.assert_allclose(functions["decode"](z, y), model.decode(z, y), atol=1e-6)


@pytest.mark.slow
def test_a_prior_has_a_file_of_its_own(model, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "_difference", lambda *_: 0.0)  # measured elsewhere
    manifest = export_model(model("with a prior"), tmp_path / "made", "safetensors")
    assert "prior.safetensors" in manifest.files
    again = load_model(tmp_path / "made").prior
    for found, kept in zip(weights_of(again), weights_of(model("with a prior").prior), strict=True):
        np.testing.assert_array_equal(found, kept)


def weights_of(module):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(module, nnx.Param))]


def test_a_program_that_disagrees_leaves_nothing(model, tmp_path, monkeypatch):
    write = stablehlo.write

    def wrong(function, path):
        def run(*arrays):
            return tuple(a * 1.0001 for a in function.run(*arrays))

        write(dataclasses.replace(function, run=run), path)

    monkeypatch.setattr(stablehlo, "write", wrong)
    with pytest.raises(ValueError, match=r"encode of 1 examples is not the model's: mean differs"):
        export_model(model("beta-vae"), tmp_path / "new" / "made", "stablehlo")
    assert not list(tmp_path.iterdir())


def test_a_failure_keeps_the_export_that_was_there(copy, model, monkeypatch):
    before = {path.name: path.read_bytes() for path in copy.iterdir()}

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(stablehlo, "write", fail)
    with pytest.raises(OSError, match="no space left"):
        export_model(model("beta-vae"), copy, "stablehlo")
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_an_older_export_is_replaced_and_anything_else_is_not(copy, model, tmp_path):
    export_model(model("beta-vae"), copy, "safetensors")
    assert not list(copy.glob("*.stablehlo"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(ValueError, match="holds no export that could be replaced"):
        export_model(model("beta-vae"), tmp_path / "mine", "safetensors")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"


class Odd(nnx.Module):
    """A decoder with a primitive of choice."""

    output_shape, latent_dim = (2,), 2

    def __init__(self, primitive):
        self.primitive = primitive

    def __call__(self, z: jax.Array) -> jax.Array:
        return self.primitive(1 + z**2, jnp.full_like(z, 2))


def odd(primitive):
    rngs = nnx.Rngs(0)
    return VAE(MLPEncoder([3], 2, "relu", (2,), rngs=rngs), Odd(primitive), 2, rngs=rngs)


def smallest(a, _):
    return lax.reduce_window(a, jnp.inf, lax.min, (1, 2), (1, 1), "SAME")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("primitive", "said"),
    [
        (smallest, "the primitive reduce_window_min"),
        # A loop that jax2onnx writes, and no runtime takes.
        (lax.random_gamma_grad, r"one of its primitives \[.*digamma.*while"),
    ],
)
def test_what_onnx_lacks_is_named(tmp_path, primitive, said):
    pytest.importorskip("jax2onnx", reason="needs the extra: pip install 'workshop-vae[onnx]'")
    with pytest.raises(ValueError, match=f"decode cannot be exported to ONNX: .*{said}"):
        export_model(odd(primitive), tmp_path / "made", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_a_converter_only_comes_near_to_is_refused(tmp_path):
    """jax2onnx writes the incomplete gamma function as a series of few terms: 5e-5 off."""
    pytest.importorskip("jax2onnx", reason="needs the extra: pip install 'workshop-vae[onnx]'")
    with pytest.raises(ValueError, match=r"exported decode of 1 examples is not the model's"):
        export_model(odd(lax.igammac), tmp_path / "made", "onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_that_no_config_rebuilds_has_no_safetensors(tmp_path):
    with pytest.raises(ValueError, match="built from modules"):
        export_model(odd(lax.igammac), tmp_path / "made", "safetensors")
    assert not list(tmp_path.iterdir())


def test_models_and_formats_that_are_refused(model, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="did you mean 'onnx'"):
        export_model(model("beta-vae"), tmp_path / "made", "onx")
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'workshop-vae\[onnx\]'"):
        export_model(model("beta-vae"), tmp_path / "made", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_half_precision_travels_in_float32_and_the_model_stays_as_it_was(tmp_path):
    parts = {
        "encoder": {"hidden_dims": (8,), "latent_dim": 2, "input_shape": (6,)},
        "decoder": {"hidden_dims": (8,), "latent_dim": 2, "output_shape": (6,)},
    }
    config = VAEConfig.model_validate(parts)
    half = VAE(config, rngs=nnx.Rngs(0), dtype=jnp.bfloat16)
    export_model(half, tmp_path / "made", "stablehlo")
    z = np.random.default_rng(0).standard_normal((4, 2), np.float32)
    found, whole = load_exported(tmp_path / "made")["decode"](z), VAE(config, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(found, whole.decode(z), atol=1e-6)
    assert np.abs(found - half.decode(z)).max() > 1e-5  # bfloat16 has three digits


def test_damage_is_told(copy):
    file = copy / "encode.stablehlo"
    whole = file.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=r"encode.stablehlo is damaged or was changed"):
            load_exported(copy)
    for broken in (whole[: len(whole) // 2], b"", b"not a program"):
        file.write_bytes(broken)
        resign(copy)
        with pytest.raises(ValueError, match=r"encode.stablehlo is damaged: "):
            load_exported(copy)
    file.unlink()
    with pytest.raises(ValueError, match=r"'encode.stablehlo', which the folder does not hold"):
        load_exported(copy)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(code="import os"), "code: Extra inputs"),
        (lambda c: c.update(version=2), "version"),
        (lambda c: c.pop("functions"), "functions: Field required"),
        (lambda c: c["files"].update({"../stolen": "0"}), r"names the file '../stolen'"),
        (lambda c: c["files"].pop("encode.stablehlo"), "names no file of encode"),
        (lambda c: c["functions"]["decode"]["inputs"][0].update(shape=["batch", 9]), "inputs"),
        (lambda c: c["functions"].update({"../x": c["functions"]["decode"]}), "pattern"),
    ],
)
def test_a_manifest_that_does_not_fit(copy, change, said):
    edit(copy, change)
    with pytest.raises(ValueError, match=said):
        load_exported(copy)


def test_no_export_and_no_json(tmp_path):
    with pytest.raises(ValueError, match=r"holds no export.json"):
        load_exported(tmp_path)
    (tmp_path / "export.json").write_text("{")
    with pytest.raises(ValueError, match=r"export.json is damaged"):
        load_exported(tmp_path)


def test_a_program_that_calls_what_is_no_operator_is_refused(copy):
    """A call of something in the process by its name, which a stranger would choose."""
    (batch,) = export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, 4), np.float32)
    call = jax.ffi.ffi_call("xla_ffi_python_cpu_callback", jax.ShapeDtypeStruct((4,), np.float32))
    checks = [export.DisabledSafetyCheck.custom_call("xla_ffi_python_cpu_callback")]
    program = export.export(
        jax.jit(lambda z: (z + call(),)), platforms=("cpu",), disabled_checks=checks
    )(shape)
    (copy / "decode.stablehlo").write_bytes(program.serialize())
    resign(copy)
    with pytest.raises(ValueError, match=r"calls xla_ffi_python_cpu_callback, which no program"):
        load_exported(copy)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ((), r"sample takes \(noise, temperature\), and got 0 arrays"),
        ((np.zeros((2, 5)), 1.0), r"sample\(noise\) has shape \(2, 5\) and type float64"),
        ((np.zeros((0, 4)), 1.0), r"expected \(batch, 4\) of float32, standard normal numbers"),
        ((np.zeros(4), 1.0), r"has shape \(4,\)"),
        ((np.zeros((2, 4), np.uint8), 1.0), "type uint8"),
        ((np.zeros((2, 4)), np.ones(1)), r"sample\(temperature\) has shape \(1,\)"),
    ],
)
def test_arguments_that_do_not_fit(exported, arrays, said):
    with pytest.raises(ValueError, match=said):
        exported("beta-vae", "stablehlo")[2]["sample"](*arrays)


def test_batches_that_differ(exported):
    encode = exported("conditional-vae", "stablehlo")[2]["encode"]
    with pytest.raises(ValueError, match=r"batches of \[2, 3\] examples: they must agree"):
        encode(np.zeros((2, 6)), np.zeros(3, np.int32))


def test_a_model_of_unknown_shape_is_refused(tmp_path):
    rngs = nnx.Rngs(0)
    vae = VAE(MLPEncoder([3], 2, "relu", rngs=rngs), Shapeless(), 2, rngs=rngs)
    with pytest.raises(ValueError, match="does not know the shape of its examples"):
        export_model(vae, tmp_path / "made", "stablehlo")


class Shapeless(nnx.Module):
    def __call__(self, z: jax.Array) -> jax.Array:
        return z
