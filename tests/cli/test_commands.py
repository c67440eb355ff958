import json
import subprocess
import sys

import numpy as np
import pytest
from flax import nnx
from PIL import Image

import workshop
from workshop.cli import main
from workshop.cli.train import _some
from workshop.generative_models.data import Split, load_dataset

MODELS = ("vae", "beta-vae", "beta-vae-capacity", "conditional-vae", "vq-vae")


def command(*arguments):
    main([str(a) for a in arguments])


def train(name, out):
    command("train", "--model", name, "--steps", 20, "--hidden-dims", 16, "--out", out,
            "--no-progress")  # fmt: skip


class Runs:
    """A short run of each model on the digits, trained when it is first asked for."""

    def __init__(self, folder):
        self.folder = folder

    def __truediv__(self, name):
        if not (self.folder / name).exists():
            train(name, self.folder / name)
        return self.folder / name


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.mark.sampled
@pytest.mark.parametrize("name", MODELS)
def test_train_leaves_a_run_folder(runs, name):
    for file in ("config.json", "model.safetensors", "metrics.jsonl", "checkpoints/20"):
        assert (runs / name / file).exists(), file


# The other models have the figures of a VAE.
@pytest.mark.parametrize(
    "name", ["vae", *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS[3:])]
)
def test_train_draws_figures(name, tmp_path, all_figures):
    run = tmp_path / "run"
    with all_figures():
        train(name, run)
    figures = {path.stem for path in (run / "figures").iterdir()}
    assert figures >= {
        "training_curves", "reconstructions", "samples", "traversals", "interpolations",
        "latent_map",
    }  # fmt: skip
    assert ("codebook_usage" if name == "vq-vae" else "kl_per_latent") in figures
    for path in (run / "figures").iterdir():
        assert np.asarray(Image.open(path)).std() > 5, f"{path.name} is blank"


@pytest.mark.sampled
@pytest.mark.parametrize("name", MODELS)
def test_load_gives_the_same_model_back(runs, name):
    """The oracle is `evaluate`: the last validation row was written by the model in training."""
    from workshop.generative_models.training import Trainer

    rows = [json.loads(line) for line in (runs / name / "metrics.jsonl").read_text().splitlines()]
    digits = load_dataset("digits")
    found = Trainer(workshop.load(runs / name), batch_size=128).evaluate(digits.validation)
    for key in ("elbo", "reconstruction_loss", "kl_loss"):
        np.testing.assert_allclose(found[key], rows[-1][key], rtol=1e-5)
    x = digits.test.x[:4]
    one, two = workshop.load(runs / name), workshop.load(runs / name)
    np.testing.assert_array_equal(
        one.reconstruct(x, deterministic=True), two.reconstruct(x, deterministic=True)
    )


def test_samples_as_an_array(runs, tmp_path):
    out = tmp_path / "some.npz"
    command("sample", runs / "conditional-vae", "--count", 3, "--label", 7, "--out", out)
    samples = np.load(out)["x"]
    model = workshop.load(runs / "conditional-vae")
    from flax import nnx

    np.testing.assert_allclose(samples, model.sample(3, y=7, rngs=nnx.Rngs(0)), atol=1e-6)


def test_observation_noise_draws_black_and_white_under_bce(runs, tmp_path):
    for name, arguments in (("sample", ["--count", 4]), ("reconstruct", ["--count", 4])):
        out = tmp_path / f"{name}.npy"
        command(name, runs / "vae", *arguments, "--observation-noise", "--out", out)
        assert set(np.unique(np.load(out))) == {0, 1}
        command(name, runs / "vae", *arguments, "--out", out)
        assert len(np.unique(np.load(out))) > 2


def test_options_that_a_model_has_no_use_for(runs, capsys):
    for arguments, words in (
        (["sample", "vae", "--top-k", 3], "--top-k 3 is for a prior over codes"),
        (["sample", "vq-vae", "--top-p", 0.5], "--top-p 0.5 is for a prior over codes"),
        (["interpolate", "vae", "--labels", 1, 2], "--labels 1 2: a vae decodes without a class"),
        (["interpolate", "conditional-vae", "--labels", 1, "x"], "--labels='x': expected one of"),
    ):
        with pytest.raises(SystemExit):
            command(arguments[0], runs / arguments[1], *arguments[2:])
        assert words in " ".join(capsys.readouterr().err.split())


@pytest.mark.sampled
@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "vae", "--count", "5"],
        ["reconstruct", "vae", "--count", "5"],
        ["interpolate", "vae", "--first", "3", "--last", "9", "--steps", "4"],
        ["traverse", "vae", "--example", "2", "--dims", "0", "3", "--steps", "3"],
        ["traverse", "vq-vae"],
        ["interpolate", "conditional-vae"],
        ["interpolate", "conditional-vae", "--labels", "3", "8"],
    ],
)
def test_commands_that_draw(runs, tmp_path, arguments):
    out = tmp_path / "figure.png"
    command(arguments[0], runs / arguments[1], *arguments[2:], "--out", out)
    assert np.asarray(Image.open(out)).std() > 5


def test_data_lists_what_there_is(capsys):
    command("data")
    printed = capsys.readouterr().out
    for name in ("digits", "sprites", "mnist5k", "faces", "hf:NAME_OR_PATH"):
        assert name in printed


@pytest.mark.slow
def test_training_ends_with_the_name_of_a_collapse(tmp_path, capsys):
    """A weight of 1,000 leaves nothing in the latents; none leaves them alone."""
    for weight, collapsed in ((1000, True), (0, False)):
        command("train", "--model", "beta-vae", "--beta-default", weight, "--steps", 150,
                "--hidden-dims", 8, "--latent-dim", 3, "--learning-rate", 0.01, "--no-progress",
                "--out", tmp_path / str(weight))  # fmt: skip
        said = capsys.readouterr().out
        assert ("3 of 3 latents are inactive (Var E[z|x] < 0.01): lower beta" in said) is collapsed
        assert ("reconstructions do not depend on the input" in said) is collapsed
        x = load_dataset("digits").test.x
        variance = np.asarray(workshop.load(tmp_path / str(weight)).encode(x)[0]).var(0)
        assert (variance < 0.01).all() == collapsed


def test_a_split_in_the_order_of_its_classes_is_looked_at_all_over():
    """Of its first thousand alone, one class, nothing would vary."""
    x = np.repeat(np.eye(3, dtype=np.float32), 1000, 0)
    some = _some(Split(x, np.repeat(np.arange(3, dtype=np.int32), 1000)))
    assert len(some) == 1000
    # A share of a third: four of its standard deviations.
    np.testing.assert_allclose(some.x.mean(0), 1 / 3, atol=4 * np.sqrt(2 / 9 / 1000))
    assert len(_some(Split(x[:7]))) == 7


@pytest.mark.slow
def test_a_class_is_named_without_its_data_and_names_win_over_numbers(tmp_path, capsys):
    rng, run, data = np.random.default_rng(0), tmp_path / "run", tmp_path / "data.npz"
    np.savez(data, x=rng.random((60, 4), np.float32), y=np.array(["10", "2", "7"] * 20))
    command("train", "--model", "conditional-vae", "--data", data, "--steps", 2, "--hidden-dims", 4,
            "--out", run, "--no-progress")  # fmt: skip
    data.unlink()
    for label, number in (("2", 1), ("10", 0), ("0", 0)):
        command("sample", run, "--label", label, "--count", 3, "--out", tmp_path / "s.npy")
        expected = workshop.load(run).sample(3, y=np.full(3, number), rngs=nnx.Rngs(0))
        np.testing.assert_allclose(np.load(tmp_path / "s.npy"), expected, rtol=1e-5)
    with pytest.raises(SystemExit):
        command("sample", run, "--label", "eleven")
    said = " ".join(capsys.readouterr().err.split())
    assert "--label='eleven': expected one of 10, 2, 7" in said


@pytest.mark.slow
def test_a_path_a_table_and_every_option_of_the_model(tmp_path):
    table = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    np.save(tmp_path / "table.npy", table)
    command("train", "--data", tmp_path / "table.npy", "--steps", 3, "--latent-dim", 2,
            "--likelihood", "laplace", "--scale", "optimal", "--encoder.activation", "tanh",
            "--decoder.hidden-dims", 7, 9, "--seed", 5, "--out", tmp_path / "run",
            "--no-progress")  # fmt: skip
    config = workshop.load(tmp_path / "run").config
    assert (config.likelihood, config.scale, config.encoder.activation) == (
        "laplace", "optimal", "tanh",
    )  # fmt: skip
    assert (config.decoder.hidden_dims, config.encoder.latent_dim) == ((7, 9), 2)
    assert config.decoder.output_activation == "identity"


@pytest.mark.slow
def test_resume_ends_where_the_whole_run_ends(tmp_path):
    """Killed by SIGKILL between checkpoints; the metrics and weights are those of one run."""
    options = ["--steps", "60", "--hidden-dims", "16", "--checkpoint-every", "20", "--no-progress"]
    command("train", *options, "--out", tmp_path / "whole")
    script = (
        "import os\n"
        "from workshop.cli import main\n"
        "from workshop.generative_models.tracking.loggers import History\n"
        "add = History.add\n"
        "def kill(self, step, *rest):\n"
        "    if step >= 48: os.kill(os.getpid(), 9)\n"
        "    add(self, step, *rest)\n"
        "History.add = kill\n"
        f"main(['train', *{options}, '--out', r'{tmp_path / 'cut'}'])\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert killed.returncode == -9
    command("train", "--resume", tmp_path / "cut", "--no-progress")
    for file in ("metrics.jsonl", "model.safetensors"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "cut" / file).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "didgits"], "digits"),
        (["train", "--encoder.latent-dim", "3"], "must agree"),
        (["train", "--steps", "0"], "--steps=0"),
        (["train", "--learning-rate", "-1"], "learning-rate"),
        (["train", "--seed", "5000000000"], "--seed=5000000000"),
        (["train", "--latent-dim", "0"], "latent-dim"),
        (["train", "--warmup-steps", "9000"], "warmup_steps=9000"),
        (["train", "--average", "2"], "average=2.0"),
        (["evaluate", "[/x]"], "[/x] is no run"),
        (["train", "--resume", "nowhere"], "nowhere is no run: there is no such folder"),
        (["train", "--resume", "nowhere", "--batch-size", "5"], "drop --batch-size"),
        (["sample", "nowhere"], "there is no such folder"),
        (["explore", "nowhere"], "there is no such folder"),
        (["evaluate", "."], ". is no run: it holds no config.json"),
        (["train", "--data", "."], "error: data '.': no images in"),
    ],
)
def test_errors_are_sentences(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir()), "a failed command left something behind"


def test_a_run_is_not_written_over(runs, capsys):
    with pytest.raises(SystemExit):
        command("train", "--steps", 1, "--out", runs / "vae")
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["truncated", "foreign", "missing"])
def test_damaged_weights_are_named(runs, tmp_path, damage):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(runs / "vae", run)
    if damage == "missing":  # the checkpoints too, which would be read in its place
        for state in run.glob("checkpoints/*/state"):
            shutil.rmtree(state)
    weights = run / "model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif damage == "foreign":
        shutil.copy(runs / "vq-vae" / "model.safetensors", weights)
    else:
        weights.unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors") as told:
        workshop.load(run)
    way_out = f"continue it with workshop train --resume {run}"
    assert (way_out in str(told.value)) == (damage == "missing")


@pytest.mark.sampled
@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["evaluate", "--help"]])
def test_help_comes_without_jax(arguments):
    """JAX, matplotlib and scikit-learn take seconds to import; help is not to wait for them."""
    script = (
        "import sys\nfrom workshop.cli import main\n"
        f"try: main({arguments})\nexcept SystemExit as stop: assert not stop.code\n"
        "print(sorted({'jax', 'flax', 'matplotlib', 'sklearn', 'optax'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "usage: workshop" in done.stdout


def test_every_config_field_is_an_option(capsys):
    from workshop.generative_models.core.configuration import MODEL_CONFIGS

    for name, config in MODEL_CONFIGS.items():
        with pytest.raises(SystemExit):
            main(["train", "--model", name, "--help"])
        printed = capsys.readouterr().out
        for field, info in config.model_fields.items():
            parts = getattr(info.annotation, "model_fields", None)
            names = [f"{field}.{part}" for part in parts] if parts else [field]
            for option in names:
                assert f"--{option.replace('_', '-')}" in printed, (name, option)


@pytest.mark.slow
def test_two_processes_make_one_run(tmp_path, without_figures):
    """They choose one folder, and leave one model, as good as that of one process."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = ["train", "--steps", "12", "--hidden-dims", "16", "--no-progress"]
    shared = ["--devices", "full", "--coordinator", address, "--processes", "2"]
    runs = [
        subprocess.Popen(
            [*without_figures, *options, *shared, "--process", str(process),
             "--out", str(tmp_path / "two")],
            stderr=subprocess.PIPE, text=True,
        )
        for process in range(2)
    ]  # fmt: skip
    for run in runs:
        _, errors = run.communicate(timeout=300)
        assert run.returncode == 0, errors
    command(*options, "--out", tmp_path / "one")
    rows = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    for one, two in zip(*rows, strict=True):
        assert one["step"] == two["step"]
        np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-5)
    assert workshop.load(tmp_path / "two").config == workshop.load(tmp_path / "one").config
