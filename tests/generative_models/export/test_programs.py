"""Exported programs give what the model's own methods do, for any number of examples.

Two programs of one model differ by their order of sums, some 1e-7 of the largest number; 1e-5 of it
is what the command promises.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.modules import sample_key
from workshop.generative_models.export.codes import settled_examples

CONTINUOUS = ("vae", "beta-vae", "beta-vae-capacity", "conditional-vae")
FORMATS = ("stablehlo", "onnx")
SIZES = (1, 3, 64)


def agree(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1, np.abs(b).max()))


@pytest.mark.sampled
@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("case", CONTINUOUS)
def test_continuous_models(exported, model, case, to):
    model, functions = model(case), exported(case, to)[2]
    rng = np.random.default_rng(1)
    x = rng.random((64, *model.event_shape), np.float32)
    z = rng.standard_normal((64, 4), np.float32)
    y = {"y": rng.integers(0, 3, 64).astype(np.int32)} if case == "conditional-vae" else {}
    expected = {
        "encode": jax.jit(lambda x, y: model.encode(x, **y))(x, y),
        "decode": [jax.jit(lambda z, y: model.decode(z, **y))(z, y)],
        "reconstruct": [jax.jit(lambda x, y: model(x, deterministic=True, **y))(x, y)["logits"]],
    }
    expected["reconstruct"] = [model.likelihood.mean(*expected["reconstruct"])]
    for n in SIZES:
        labels = [a[:n] for a in y.values()]
        for name, given in (("encode", x), ("decode", z), ("reconstruct", x)):
            found = functions[name](given[:n], *labels)
            found = found if isinstance(found, tuple) else (found,)
            agree(found, [np.asarray(a)[:n] for a in expected[name]])


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("case", ["beta-vae", "conditional-vae"])
def test_samples_are_those_of_the_same_noise(exported, model, case, to):
    model, functions = model(case), exported(case, to)[2]
    y = [np.array([2, 0, 1], np.int32)] if case == "conditional-vae" else []
    expected = model.sample(3, temperature=0.7, rngs=nnx.Rngs(5), **({"y": y[0]} if y else {}))
    noise = jax.random.normal(sample_key(nnx.Rngs(5)), (3, 4))
    agree([functions["sample"](noise, np.float32(0.7), *y)], [np.asarray(expected)])


@pytest.mark.parametrize("to", FORMATS)
def test_the_label_minus_one_is_no_class(exported, model, to):
    model, functions = model("conditional-vae"), exported("conditional-vae", to)[2]
    x = np.random.default_rng(2).random((2, *model.event_shape), np.float32)
    found = functions["encode"](x, np.array([-1, -1], np.int32))
    agree(found, [np.asarray(a) for a in model.encode(x)])
    named = functions["encode"](x, np.array([1, 1], np.int32))
    assert np.abs(named[0] - found[0]).max() > 0.01


@pytest.mark.sampled
@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("case", ["vq-vae", "with a prior"])
def test_discrete_models(exported, model, case, to):
    model, functions = model(case), exported(case, to)[2]
    x = settled_examples(model, np.random.default_rng(3), 64)
    codes = np.asarray(jax.jit(model.encode_indices)(x))
    images = np.asarray(jax.jit(model.decode_indices)(codes))
    assert len(np.unique(codes)) > 2  # so that equal codes say something
    for n in SIZES:
        found = functions["encode"](x[:n])
        np.testing.assert_array_equal(found, codes[:n])
        assert found.dtype == np.int32
        agree([functions["decode"](codes[:n])], [images[:n]])
        agree([functions["reconstruct"](x[:n])], [images[:n]])


@pytest.mark.slow
@pytest.mark.parametrize("to", FORMATS)
def test_samples_of_codes_by_their_usage(exported, model, to):
    """Codes from float64 numpy: where a number falls among the sums of usage^(1/T)."""
    model, functions = model("vq-vae"), exported("vq-vae", to)[2]
    usage = np.asarray(model.usage[...], np.float64)
    assert (usage == 0).any()
    assert (usage.sum(-1) > 0).all()
    u = np.random.default_rng(4).random((5, *model.code_shape), np.float32)
    shares = usage ** (1 / 1.5)
    sums = np.cumsum(shares / shares.sum(-1, keepdims=True), -1)
    flat = u.reshape(5, -1)
    codes = [[np.searchsorted(sums[p], row[p], "right") for p in range(len(sums))] for row in flat]
    codes = np.asarray(codes, np.int32).reshape(u.shape)
    expected = model.decode_indices(codes)
    agree([functions["sample"](u, np.float32(1.5))], [np.asarray(expected)])


@pytest.mark.slow
def test_a_prior_draws_each_example_by_its_seed(exported, model):
    model, (_, manifest, functions) = model("with a prior"), exported("with a prior", "stablehlo")
    seeds, y = np.array([7, 11, 7], np.int32), np.array([0, 2, 0], np.int32)
    found = functions["sample"](seeds, np.float32(0.9), y)
    for i in range(2):
        expected = model.sample(1, 0.9, rngs=nnx.Rngs(int(seeds[i])), y=jnp.asarray(y[i]))
        agree([found[i : i + 1]], [np.asarray(expected)])
    np.testing.assert_array_equal(found[0], found[2])
    assert not manifest.left_out


def test_onnx_leaves_out_the_samples_of_a_prior_and_says_why(exported):
    folder, manifest, functions = exported("with a prior", "onnx")
    assert functions.keys() == {"encode", "decode", "reconstruct"}
    assert "random numbers" in manifest.left_out["sample"]
    assert manifest.left_out["sample"] in (folder / "README.md").read_text()
    assert not (folder / "sample.onnx").exists()


def test_onnx_files_name_their_arrays_and_leave_the_batch_free(exported):
    folder, manifest, _ = exported("vq-vae", "onnx")
    import onnx

    for name, info in manifest.functions.items():
        model = onnx.load(folder / f"{name}.onnx")
        onnx.checker.check_model(model, full_check=True)
        graph = model.graph
        read = {given for node in graph.node for given in node.input}
        assert read >= {constant.name for constant in graph.initializer}  # or runtimes warn
        for said, values in ((info.inputs, graph.input), (info.outputs, graph.output)):
            assert [t.name for t in said] == [v.name for v in values]
            for tensor, value in zip(said, values, strict=True):
                sizes = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
                assert sizes == tensor.shape
