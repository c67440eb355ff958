"""The newest model of a folder: the oracle is the model that the trainer itself left."""

import logging
import shutil

import numpy as np
import pytest
from flax import nnx

import workshop
from workshop.generative_models.core.configuration import (
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
    VQConfig,
    VQVAEConfig,
)
from workshop.generative_models.core.files import locked
from workshop.generative_models.models.restoring import load_run, unfinished
from workshop.generative_models.models.saving import save_config, save_weights, variables
from workshop.generative_models.models.vae import VAE, VQVAE
from workshop.generative_models.training import Trainer, create_optimizer

X = np.random.default_rng(0).random((40, 4), np.float32)
NETWORKS = {
    "encoder": EncoderConfig(hidden_dims=(4,), latent_dim=2, input_shape=(4,)),
    "decoder": DecoderConfig(hidden_dims=(4,), latent_dim=2, output_shape=(4,)),
}


def new(kind=VAE):
    if kind is VAE:
        return VAE(VAEConfig(**NETWORKS), rngs=nnx.Rngs(0))
    quantizer = VQConfig(learning="ema", decay=0.9, kmeans=True, revive_below=0.5)
    config = VQVAEConfig(**NETWORKS, num_embeddings=5, embedding_dim=1, quantizer=quantizer)
    return VQVAE(config, rngs=nnx.Rngs(0))


def train(model, folder, steps, *, resume=False, **options):
    rate = create_optimizer(clip_norm=1.0, accumulate=2)  # an optimizer with a nested state
    trainer = Trainer(model, rate, batch_size=8, folder=folder, checkpoint_every=10,
                      progress=False, **options)  # fmt: skip
    trainer.fit(X[:30], X[30:], steps=steps, resume=resume)
    save_config(model, folder, training={"steps": steps})


def assert_same(model, other):
    one, two = variables(model), variables(other)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name][...], two[name][...], err_msg=name)


CASES = {
    "last": (VAE, {}),
    "average": (VAE, {"average": 0.9}),
    "best": (VAE, {"average": 0.9, "keep_best": True, "evaluate_every": 15}),
    "codes": (VQVAE, {}),
}


@pytest.mark.sampled
@pytest.mark.parametrize("case", CASES)
def test_without_a_saved_model_the_newest_checkpoint_is_read(tmp_path, caplog, case):
    kind, options = CASES[case]
    model = new(kind)
    train(model, tmp_path, 20, **options)
    with caplog.at_level(logging.WARNING, "workshop"):
        assert_same(model, workshop.load(tmp_path))
    assert "the model is that of the checkpoint of step 20 of 20" in caplog.text
    assert unfinished(tmp_path) == "step 20 of 20"
    assert_same(model, kind.from_pretrained(tmp_path))


@pytest.mark.slow
def test_of_a_model_and_a_checkpoint_the_newer_one_is_read(tmp_path, caplog):
    first, second = new(), new()
    train(first, tmp_path, 10)
    save_weights(first, tmp_path, step=10)
    with caplog.at_level(logging.WARNING, "workshop"):
        assert_same(first, load_run(tmp_path))
    assert unfinished(tmp_path) is None
    assert not caplog.text
    # The trainer stops after its last checkpoint, before the model is written.
    train(second, tmp_path, 20, resume=True)
    assert_same(second, load_run(tmp_path))
    assert unfinished(tmp_path) == "step 20 of 20"
    save_weights(second, tmp_path, step=20)
    assert unfinished(tmp_path) is None


@pytest.mark.sampled
@pytest.mark.parametrize("damage", ["emptied", "flipped", "of another model"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_read(tmp_path, caplog, damage):
    before, model = new(), new()
    train(before, tmp_path / "before", 10)
    train(model, tmp_path / "run", 20)
    newest = tmp_path / "run" / "checkpoints" / "20"
    if damage == "emptied":
        shutil.rmtree(newest / "state")
    elif damage == "flipped":
        file = max((f for f in newest.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    else:
        text = (newest / "weights" / "metadata").read_text()
        (newest / "weights" / "metadata").write_text(text.replace('"params": ', '"params": 1'))
    with caplog.at_level(logging.WARNING, "workshop"):
        found = load_run(tmp_path / "run")
    assert "checkpoint of step 20" in caplog.text
    assert "cannot be read" in caplog.text
    assert_same(before, found)


def test_another_run_into_the_same_folder_is_refused(tmp_path):
    import threading

    refused = []

    def attempt():
        for resume in (False, True):
            try:
                Trainer(new(), folder=tmp_path, progress=False).fit(X, steps=1, resume=resume)
            except BlockingIOError as error:
                refused.append(str(error))

    with locked(tmp_path):
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    assert len(refused) == 2
    assert all("is being written by process" in message for message in refused)
    assert not list(tmp_path.iterdir()), "the refused run left something behind"
