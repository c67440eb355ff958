"""A run as a tokenizer, and the prior over its codes, from the command line."""

import json
import logging
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

import workshop
from workshop.cli import main
from workshop.generative_models.data import load_dataset, load_in_order
from workshop.generative_models.evaluation import summary
from workshop.generative_models.models.saving import save_weights
from workshop.generative_models.training import Trainer


def command(*arguments):
    main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A vq-vae of two residual stages on the digits, with a prior."""
    folder = tmp_path_factory.mktemp("codes") / "run"
    command("train", "--model", "vq-vae", "--quantizer.kind", "residual", "--quantizer.stages", 2,
            "--num-embeddings", 16, "--hidden-dims", 8, 8, "--steps", 20, "--out", folder,
            "--no-progress")  # fmt: skip
    command("prior", folder, "--steps", 12, "--layers", 1, "--width", 8, "--heads", 2,
            "--no-progress")  # fmt: skip
    return folder


def test_codes_of_the_runs_own_data(run, tmp_path):
    command("encode", run, "--out", tmp_path / "codes.npz")
    codes, data = np.load(tmp_path / "codes.npz"), load_dataset("digits")
    model = workshop.load(run)
    assert set(codes) == {f"{a}_{s}" for a in "xy" for s in ("train", "validation", "test")}
    for name, split in data.splits.items():
        assert codes[f"x_{name}"].dtype == np.uint8
        np.testing.assert_array_equal(codes[f"y_{name}"], split.y)
    found = codes["x_test"][:7]
    np.testing.assert_array_equal(found, model.encode_indices(data.test.x[:7]))
    assert found.shape == (7, 2, 2, 2)


@pytest.mark.slow
def test_codes_of_a_file_are_in_its_order_and_decode(run, tmp_path):
    digits = load_in_order("digits")[0]["train"]
    np.savez(tmp_path / "some.npz", x=digits.x[:130], y=digits.y[:130])
    command("encode", run, tmp_path / "some.npz", "--out", tmp_path / "codes.npz")
    codes, model = np.load(tmp_path / "codes.npz"), workshop.load(run)
    np.testing.assert_array_equal(codes["x"], model.encode_indices(digits.x[:130]))
    np.testing.assert_array_equal(codes["y"], digits.y[:130])
    for kind in ("npy", "npz", "png"):
        command(
            "decode", run, tmp_path / "codes.npz", "--count", 9, "--out", tmp_path / f"o.{kind}"
        )
    expected = model.decode_indices(codes["x"].astype(np.int32))
    for images in (np.load(tmp_path / "o.npy"), np.load(tmp_path / "o.npz")["x"]):
        np.testing.assert_allclose(images, expected, rtol=1e-5, atol=1e-6)
    assert np.asarray(Image.open(tmp_path / "o.png")).std() > 5
    assert not list(tmp_path.glob(".*"))  # no half-written file stays


@pytest.mark.slow
def test_a_prior_is_saved_loaded_and_sampled(run, tmp_path, capsys):
    model, again = workshop.load(run), workshop.load(run)
    assert model.prior.num_classes == 10
    samples = [m.sample(5, y=3, rngs=nnx.Rngs(1)) for m in (model, again)]
    np.testing.assert_array_equal(*samples)
    assert samples[0].shape == (5, 8, 8, 1)
    digits = load_dataset("digits")
    codes = {"x": model.encode_indices(digits.validation.x), "y": digits.validation.y}
    lines = (run / "prior" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    best = min(row["loss"] for row in rows if row["split"] == "validation")
    found = Trainer(model.prior, batch_size=64).evaluate(codes)["loss"]
    assert found == pytest.approx(best, rel=1e-5)
    assert float(-model.prior.log_prob(codes["x"], codes["y"]).mean()) == pytest.approx(
        best, rel=1e-4
    )
    command("sample", run, "--count", 6, "--label", 2, "--out", tmp_path / "s.npy")
    assert np.load(tmp_path / "s.npy").shape == (6, 8, 8, 1)
    command("sample", run, "--count", 6, "--label", 2, "--guidance", 3, "--out", tmp_path / "g.npy")
    guided = model.sample(6, y=2, guidance=3.0, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(np.load(tmp_path / "g.npy"), guided, rtol=1e-5, atol=1e-6)
    assert (guided != np.load(tmp_path / "s.npy")).any()
    command("sample", run, "--count", 6, "--label", 2, "--top-k", 1, "--out", tmp_path / "k.npy")
    np.testing.assert_allclose(  # the most probable code each time: no chance is left
        np.load(tmp_path / "k.npy"), model.sample(6, y=2, top_k=1), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(SystemExit):
        command("sample", run, "--label", "three")
    said = " ".join(capsys.readouterr().err.split())
    assert "--label='three': expected one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in said
    assert (run / "figures" / "prior_samples.png").exists()


@pytest.mark.slow
def test_evaluate_tells_codebooks_and_prior(run, tmp_path):
    """Bits per dimension are (-log p(x|z) - log p(z|y) - log p(y)) / (64 log 2)."""
    command("evaluate", run, "--quick", "--out", tmp_path)
    told = summary.read(tmp_path / "evaluation.json")["sections"]
    assert {"used_1", "used_2", "perplexity_1", "code_distance_2"} <= told["codes"].keys()
    model, test = workshop.load(run), load_dataset("digits").test
    model.eval()
    codes = model.encode_indices(test.x)
    prior = -float(model.prior.log_prob(codes, test.y).mean())
    pixels = -float(model.log_likelihood(jnp.asarray(test.x), model(test.x)).mean())
    bits = (prior + pixels + np.log(10)) / 64 / np.log(2)  # ten classes, all alike
    per_code = told["prior"]["prior_bits_per_code"].value
    assert per_code == pytest.approx(prior / 8 / np.log(2), rel=1e-5)
    assert told["prior"]["bits_per_dim"].value == pytest.approx(bits, rel=1e-5)


@pytest.mark.slow
def test_a_prior_goes_on_where_it_was_stopped(run, tmp_path, capsys):
    """A second fit is refused; one that is resumed at its end changes nothing."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    before = (copy / "prior.safetensors").read_bytes()
    options = ("--steps", 12, "--layers", 1, "--width", 8, "--heads", 2, "--no-progress")
    with pytest.raises(SystemExit):
        command("prior", copy, *options)
    assert "go on with --resume, or delete it" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(SystemExit):
        command("prior", copy, "--steps", 13, "--resume")
    assert "the options that the fit was started with" in " ".join(capsys.readouterr().err.split())
    command("prior", copy, *options, "--resume")
    assert (copy / "prior.safetensors").read_bytes() == before


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    np.savez(folder / "far.npz", x=np.full((2, 2, 2, 2), 99))
    np.savez(folder / "flat.npz", x=np.zeros((2, 4), int))
    np.savez(folder / "wide.npz", x=np.zeros((2, 2, 3, 2), int))
    np.savez(folder / "real.npz", x=np.zeros((2, 2, 2, 2)))
    np.savez(folder / "other.npz", z=np.zeros(3))
    np.savez(
        folder / "several.npz",
        x_train=np.zeros((1, 2, 2, 2), int),
        x_test=np.zeros((1, 2, 2, 2), int),
    )
    (folder / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    np.save(folder / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "out", "message"),
    [
        ("far.npz", "o.npy", "lies in [99, 99]: expected 0 <= code < 16"),
        ("flat.npz", "o.npy", "has shape (2, 4): expected (n, 2, 2, 2)"),
        ("wide.npz", "o.npy", "has shape (2, 2, 3, 2): expected (n, 2, 2, 2)"),
        ("real.npz", "o.npy", "is float64: expected integers"),
        ("other.npz", "o.npy", "holds ['z']: expected x, or x_train"),
        ("several.npz", "o.npy", "holds x_train, x_test; choose a .npz file"),
        ("torn.npz", "o.npy", "is no .npz or .npy file of codes"),
        ("object.npy", "o.npy", "is no .npz or .npy file of codes"),
        ("missing.npz", "o.npy", "is no .npz or .npy file of codes"),
        ("far.npz", "o.txt", "expected a name that ends in .npz or .npy or .png"),
    ],
)
def test_wrong_codes_are_sentences(run, codes, capsys, tmp_path, file, out, message):
    with pytest.raises(SystemExit) as stop:
        command("decode", run, codes / file, "--out", tmp_path / out)
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["encode", "decode", "reconstruct", "score"])
def test_the_file_that_is_read_is_not_overwritten(run, tmp_path, capsys, name):
    """Whatever path names it."""
    kind = {"score": "csv", "reconstruct": "npy"}.get(name, "npz")
    file = tmp_path / f"data.{kind}"
    if kind == "npz":
        np.savez(
            file, x=np.zeros((2, 2, 2, 2), int) if name == "decode" else np.zeros((2, 8, 8, 1))
        )
    elif kind == "npy":
        np.save(file, np.zeros((20, 8, 8, 1), np.float32))
    else:
        file.write_text("a,b\n1,2\n")
    before = file.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path)
    source = ("--data", file) if name == "reconstruct" else (file,)
    with pytest.raises(SystemExit) as stop:
        command(name, run, *source, "--out", tmp_path / "link" / file.name)
    assert stop.value.code == 2
    assert "is the file that is read: choose another name" in " ".join(
        capsys.readouterr().err.split()
    )
    assert file.read_bytes() == before


@pytest.mark.slow
def test_a_run_without_codes_is_a_sentence(tmp_path, capsys):
    command("train", "--steps", 2, "--hidden-dims", 4, "--out", tmp_path / "vae", "--no-progress")
    for arguments in (("encode", tmp_path / "vae", "--out", tmp_path / "c.npz"),
                      ("prior", tmp_path / "vae")):  # fmt: skip
        with pytest.raises(SystemExit):
            command(*arguments)
        assert "holds a vae, which has no codes: train a vq-vae" in " ".join(
            capsys.readouterr().err.split()
        )
    with pytest.raises(SystemExit):
        command("sample", tmp_path / "vae", "--guidance", 2)
    said = " ".join(capsys.readouterr().err.split())
    assert "--guidance 2.0 is for a prior over codes that knows classes" in said


def test_a_damaged_prior_is_a_sentence(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    weights = (copy / "prior.safetensors").read_bytes()
    (copy / "prior.safetensors").write_bytes(weights[:100])
    with pytest.raises(ValueError, match=r"prior\.safetensors is damaged"):
        workshop.load(copy)


def test_a_prior_of_other_weights_is_left_out(run, tmp_path, caplog):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    model = workshop.load(copy)
    save_weights(workshop.load(copy), copy)
    assert workshop.load(copy).prior is not None  # the same weights, written again
    model.usage[...] += 1.0
    save_weights(model, copy)
    logging.getLogger("workshop").propagate = True
    with caplog.at_level("WARNING", "workshop"):
        assert workshop.load(copy).prior is None
    assert "fitted to other weights" in caplog.text


def test_a_prior_of_another_version_is_left_out(run, tmp_path, caplog):
    """Priors of format 1 read their class elsewhere, from weights of the same names."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    with safe_open(copy / "prior.safetensors", "numpy") as file:
        about = json.loads(file.metadata()["prior"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert about.pop("format") == 3
    save_file(arrays, copy / "prior.safetensors", {"prior": json.dumps(about)})
    logging.getLogger("workshop").propagate = True
    with caplog.at_level("WARNING", "workshop"):
        assert workshop.load(copy).prior is None
    assert "is of another version of this library, and is left out: fit it again" in caplog.text


@pytest.mark.slow
def test_training_drops_a_prior(run, caplog):
    model = workshop.load(run)
    logging.getLogger("workshop").propagate = True
    with caplog.at_level("WARNING", "workshop"):
        Trainer(model, batch_size=8, progress=False).fit(
            load_dataset("digits").train.x[:16], steps=1
        )
    assert model.prior is None
    assert "training changes what codes mean" in caplog.text
