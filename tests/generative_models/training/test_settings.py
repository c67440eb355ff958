"""A run is resumed with what determines it, or the difference is named."""

import json
import subprocess
import sys

import numpy as np
import optax
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import (
    BetaVAEConfig,
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
)
from workshop.generative_models.core.likelihoods import create_likelihood
from workshop.generative_models.models.vae import VAE, BetaVAE, MLPDecoder, MLPEncoder
from workshop.generative_models.training import Trainer, create_optimizer
from workshop.generative_models.training.settings import (
    data_settings,
    described,
    differences,
    flat,
    model_settings,
    optimizer_settings,
)

NETWORKS = {
    "encoder": EncoderConfig(hidden_dims=(8,), latent_dim=2, input_shape=(6,)),
    "decoder": DecoderConfig(hidden_dims=(8,), latent_dim=2, output_shape=(6,)),
}


def vae(**fields):
    return VAE(VAEConfig(**NETWORKS | fields), rngs=nnx.Rngs(0))


def modules(activation="relu", **options):
    rngs = nnx.Rngs(0)
    encoder = MLPEncoder([8], 2, activation, (6,), rngs=rngs)
    return VAE(encoder, MLPDecoder([8], (6,), 2, rngs=rngs), 2, rngs=rngs, **options)


def changed(model, **attributes):
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


@pytest.mark.parametrize(
    ("make", "other", "message"),
    [
        (vae, lambda: vae(likelihood="bce"), "config.likelihood=mse, not bce; model.likelihood"),
        (vae, lambda: vae(kl_weight=2.0), "config.kl_weight=1.0, not 2.0"),
        (vae, lambda: vae(free_bits=0.5), "config.free_bits=0.0, not 0.5"),
        (vae, lambda: vae(kl_schedule="linear", kl_schedule_steps=9),
         "config.kl_schedule=constant, not linear; config.kl_schedule_steps=0, not 9"),
        (vae, lambda: vae(encoder=NETWORKS["encoder"].model_copy(update={"hidden_dims": (9,)})),
         "config.encoder.hidden_dims=(8,), not (9,)"),
        (vae, lambda: vae(decoder=NETWORKS["decoder"].model_copy(update={"dtype": "bfloat16"})),
         "config.decoder.dtype=float32, not bfloat16"),
        (lambda: vae(likelihood="gaussian"), lambda: vae(likelihood="gaussian", scale=0.5),
         "config.scale=1.0, not 0.5"),
        (vae, lambda: changed(vae(), likelihood=create_likelihood("bce")),
         "model.likelihood.type=SquaredError, not Bernoulli"),
        (vae, lambda: changed(vae(), kl_weight=3.0), "model.objective.weight=1.0, not 3.0"),
        (modules, lambda: modules(kl_weight=3.0), "model.objective.weight=1.0, not 3.0"),
        (modules, lambda: modules("tanh"), "activation=relu, not tanh"),
        (vae, lambda: BetaVAE(BetaVAEConfig(**NETWORKS), rngs=nnx.Rngs(0)),
         "model=VAE, not BetaVAE"),
    ],
)  # fmt: skip
def test_a_change_of_the_model_is_named(make, other, message):
    saved = json.loads(json.dumps(model_settings(make())))
    assert not differences(saved, model_settings(make()))
    assert message in differences(saved, model_settings(other()))


def test_notes_and_modes_are_no_difference():
    other = vae(name="mine", description="a note")
    other.eval()
    assert not differences(model_settings(vae()), model_settings(other))


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (create_optimizer("adam", 1e-3), create_optimizer("adam", 1e-4),
         "optimizer.learning_rate=0.001, not 0.0001"),
        (create_optimizer(), create_optimizer("adamw"), "optimizer.name=adam, not adamw"),
        (create_optimizer(), create_optimizer(clip_norm=1.0), "clip_norm=None, not 1.0"),
        (create_optimizer(steps=9, schedule="cosine"), create_optimizer(steps=9, schedule="linear"),
         "optimizer.schedule=cosine, not linear"),
        (create_optimizer(), optax.adam(1e-3), "optimizer=create_optimizer, not another"),
        (optax.adam(1e-3), optax.adam(1e-2), "step_size=-0.001, not -0.01"),
        (optax.adam(1e-3), optax.adam(1e-3, b1=0.5), "b1=0.9, not 0.5"),
        (optax.adam(1e-3), optax.adamw(1e-3), "length=2, not 3"),
        (optax.sgd(1e-3), optax.sgd(1e-3, momentum=0.5), "decay=0.9"),
        (optax.adam(optax.cosine_decay_schedule(1e-2, 9)),
         optax.adam(optax.cosine_decay_schedule(1e-2, 8)), "decay_steps=9, not 8"),
        (optax.sgd(lambda step: 0.1 / (1.0 + step)), optax.sgd(lambda step: 0.2 / (1.0 + step)),
         "numbers=(0.1, 1.0), not (0.2, 1.0)"),
        (optax.chain(optax.clip(1.0), optax.adam(1e-3)),
         optax.chain(optax.clip(2.0), optax.adam(1e-3)), "max_delta=1.0, not 2.0"),
        (optax.MultiSteps(optax.adam(1e-3), 2).gradient_transformation(),
         optax.MultiSteps(optax.adam(1e-3), 3).gradient_transformation(),
         "every_k_schedule=2, not 3"),
        (optax.masked(optax.adam(1e-3), {"a": True}), optax.masked(optax.adam(1e-3), {"a": False}),
         "mask.a=True, not False"),
        (optax.noisy_sgd(1e-3, key=7), optax.noisy_sgd(1e-3, key=8), "key"),
        (optax.inject_hyperparams(optax.adam)(1e-3), optax.inject_hyperparams(optax.adam)(1e-2),
         "learning_rate=0.001, not 0.01"),
    ],
)  # fmt: skip
def test_a_change_of_the_optimizer_is_named(one, other, message):
    saved = json.loads(json.dumps(optimizer_settings(one)))
    assert not differences(saved, optimizer_settings(one))
    found = differences(saved, optimizer_settings(other), most=99)
    if message != "decay=0.9":  # which only one of them has: its function has another name
        assert message in found
    assert found


def test_steps_that_span_no_schedule_do_not_count():
    one, other = create_optimizer(steps=10), create_optimizer(steps=20)
    assert not differences(optimizer_settings(one), optimizer_settings(other))


class TestData:
    @pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.bool_])
    @pytest.mark.parametrize("row", [0, 17, 49])
    def test_one_changed_value_is_placed(self, x, dtype, row):
        data = {"x": (255 * x).astype(dtype), "y": np.arange(50)}
        other = {"x": data["x"].copy(), "y": data["y"]}
        other["x"][row, 3] = not other["x"][row, 3]
        saved = data_settings("data", data, streams=False)
        found = differences(saved, data_settings("data", other, streams=False), most=99)
        places = [tuple(map(int, name.split("]")[0].split(":")))
                  for name in found.split("data.x[")[1:]]  # fmt: skip
        assert len(places) == 1
        assert places[0][0] <= row < places[0][1]
        assert places[0][1] - places[0][0] <= 4

    def test_labels_count_too(self, x):
        data = {"x": x, "y": np.arange(50)}
        other = {"x": x, "y": np.arange(50)[::-1].copy()}
        saved = data_settings("data", data, streams=False)
        assert "data.y[0:3]=" in differences(saved, data_settings("data", other, streams=False))

    def test_shape_and_type_are_named(self, x):
        saved = data_settings("data", {"x": x}, streams=False)
        now = data_settings("data", {"x": x[:40].astype(np.float64)}, streams=False)
        assert "data.x=float32 (50, 6), not float64 (40, 6)" in differences(saved, now)

    def test_of_data_that_streams_some_rows_are_read(self):
        x = np.arange(3000, dtype=np.float32)[:, None]
        saved = data_settings("data", {"x": x}, streams=False)
        read = []

        class Rows:
            shape, dtype = x.shape, x.dtype

            def __len__(self):
                return len(x)

            def __getitem__(self, rows):
                read.extend(rows)
                return x[rows]

        assert not differences(saved, data_settings("data", {"x": Rows()}, streams=True))
        assert len(read) == 256
        assert (read[0], read[-1]) == (0, 2999)
        x = x + 1
        found = differences(saved, data_settings("data", {"x": Rows()}, streams=True))
        assert found.startswith("data.x, some rows=")


def test_long_and_mixed_values_are_short_and_stable():
    words = tuple(f"word {i}" for i in range(10_000))
    one, other = (described({"words": w}) for w in (words, (*words[:-1], "another")))
    assert one != other
    assert len(one["words"]) < 300
    assert described(np.array(["a", None], object)) == "('a', None)"


@pytest.mark.slow
def test_a_description_ends_and_is_the_same_in_another_process():
    class Holds:
        def __init__(self):
            self.itself, self.number, self.function = self, np.float32(2), max

    text = json.dumps(flat("it", described({"object": Holds(), "set": {"a", "b"}, "nan": np.nan})))
    assert json.loads(text) == {
        "it.object": "Holds", "it.object.itself": "Holds", "it.object.number": 2.0,
        "it.object.function": "max", "it.set": "a b", "it.nan": "nan",
    }  # fmt: skip
    code = (
        "import json, optax; from workshop.generative_models.training.settings import *; "
        "print(json.dumps(optimizer_settings(optax.adamw(optax.cosine_decay_schedule(.1, 9)))))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = optimizer_settings(optax.adamw(optax.cosine_decay_schedule(0.1, 9)))
    assert json.loads(run.stdout) == here


OPTIONS = {"batch_size": 8, "progress": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    x = np.random.default_rng(0).random((50, 6), np.float32)
    Trainer(vae(), folder=folder, **OPTIONS).fit(x, steps=2)
    return folder


class TestResume:
    """The mechanism as a whole, once for each part."""

    @pytest.mark.parametrize(
        ("make", "options", "message"),
        [
            (lambda: vae(likelihood="bce"), {}, r"likelihood=mse, not bce.*: resume it with that"),
            (lambda: vae(kl_weight=2.0), {}, r"kl_weight=1.0, not 2.0; .*: resume it with that"),
            (vae, {"optimizer": create_optimizer("adam", 1e-2)}, r"rate=0.001, not 0.01: resume"),
            (vae, {"batch_size": 9}, r"batch_size=8, not 9: resume"),
            (vae, {"keep_best": True}, r"keep_best=False, not True: resume"),
        ],
    )
    def test_a_difference_is_an_error(self, folder, x, make, options, message):
        run = Trainer(make(), folder=folder, **OPTIONS | options)
        with pytest.raises(ValueError, match=message):
            run.fit(x, x[:9], steps=4, resume=True)

    def test_so_is_one_value_of_the_data(self, folder, x):
        x[23, 1] += 1e-3
        run = Trainer(vae(), folder=folder, **OPTIONS)
        with pytest.raises(ValueError, match=r"; data.x\[21:25\]=\w+, not \w+: resume it"):
            run.fit(x, steps=4, resume=True)

    @pytest.mark.slow
    def test_a_longer_schedule_is_said(self, x, tmp_path, caplog):
        for steps in (2, 4):
            optimizer = create_optimizer(steps=steps, schedule="cosine")
            run = Trainer(vae(), optimizer, folder=tmp_path, **OPTIONS)
            rows = run.fit(x, steps=steps, resume=True)
        assert rows[-1]["step"] == 4
        assert "spans 4 steps, not 2 as before" in caplog.text

    def test_a_checkpoint_is_compared_by_what_it_holds(self, folder, x, tmp_path):
        import shutil

        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
        file = tmp_path / "checkpoints" / "2" / "settings" / "metadata"
        settings = json.loads(file.read_text())
        known = ("seed", "batch_size", "examples", "average", "keep_best", "data")
        file.write_text(json.dumps({name: settings[name] for name in known}))
        with pytest.raises(ValueError, match="batch_size=8, not 9"):
            Trainer(vae(), folder=tmp_path, batch_size=9).fit(x, steps=4, resume=True)
        rows = Trainer(vae(), folder=tmp_path, **OPTIONS).fit(x, steps=4, resume=True)
        assert rows[-1]["step"] == 4
