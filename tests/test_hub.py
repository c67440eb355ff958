"""Models that travel: folders, cards, a hub that is faked or read from its cache, and bad files."""

import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import huggingface_hub
import jax
import numpy as np
import pytest
from flax import nnx
from huggingface_hub.errors import LocalEntryNotFoundError
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import workshop
from workshop import hub
from workshop.generative_models.core.configuration import (
    MODEL_CONFIGS,
    DecoderConfig,
    EncoderConfig,
    PriorConfig,
)
from workshop.generative_models.models.vae import MODELS, VAE, VQVAE, BetaVAE

EVENT = (4, 4, 1)
X = np.random.default_rng(0).random((3, *EVENT), np.float32)
FIELDS = {"vq-vae": {"num_embeddings": 5, "embedding_dim": 2}, "conditional-vae": {"embed_dim": 2}}


def build(name="vae", input_shape=EVENT):
    sizes = {"hidden_dims": (6,), "latent_dim": 4}
    config = MODEL_CONFIGS[name](
        encoder=EncoderConfig(input_shape=input_shape, **sizes),
        decoder=DecoderConfig(output_shape=EVENT, **sizes),
        **FIELDS.get(name, {}),
    )
    return MODELS[name](config, rngs=nnx.Rngs(7))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "vae"
    build().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that may be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "vae"))


def outputs(model):
    labels = {"y": np.array([0, 1, 2])} if hasattr(model, "condition_dim") else {}
    return np.asarray(model.reconstruct(X, deterministic=True, **labels))


@pytest.mark.sampled
@pytest.mark.parametrize("name", MODELS)
def test_every_model_comes_back_the_same(name, tmp_path):
    model = build(name)
    model.save_pretrained(tmp_path / "a")
    files = {path.name for path in (tmp_path / "a").iterdir()}
    assert files == {"config.json", "model.safetensors", "README.md"}
    assert len({path.stat().st_mode for path in (tmp_path / "a").iterdir()}) == 1
    for again in (
        MODELS[name].from_pretrained(tmp_path / "a"),
        VAE.from_pretrained(str(tmp_path / "a")),
        workshop.load(tmp_path / "a"),
    ):
        assert type(again) is MODELS[name]
        assert again.config == model.config
        np.testing.assert_array_equal(outputs(again), outputs(model))


@pytest.mark.slow
def test_a_prior_travels_and_does_not_outlive_its_model(tmp_path):
    model = build("vq-vae")
    model.prior = model.new_prior(PriorConfig(layers=1, width=4, heads=1), rngs=nnx.Rngs(1))
    model.save_pretrained(tmp_path)
    again = VQVAE.from_pretrained(tmp_path)
    for a, b in zip(*(jax.tree.leaves(nnx.state(m.prior, nnx.Param)) for m in (model, again)),
                    strict=True):  # fmt: skip
        np.testing.assert_array_equal(a, b)
    model.prior = None
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "prior.safetensors").exists()


def test_a_model_built_by_its_first_batch_comes_back(tmp_path):
    model = build(input_shape=None)
    with pytest.raises(ValueError, match="has no weights yet"):
        model.save_pretrained(tmp_path)
    before = outputs(model)
    model.save_pretrained(tmp_path)
    np.testing.assert_array_equal(outputs(VAE.from_pretrained(tmp_path)), before)


def test_a_run_folder_is_read_and_not_written(folder):
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "training": {}}))
    with pytest.raises(ValueError, match="is a run folder"):
        VAE.from_pretrained(folder).save_pretrained(folder)
    (folder / "config.json").write_text('{"architectures": ["Other"]}')
    with pytest.raises(ValueError, match="describes no model"):
        build().save_pretrained(folder)


# The card.


ELBO = {"value": -101.3912, "standard_error": 0.3041, "n": 180, "unit": "nats",
        "estimator": "mean over examples, 1 sample of z each"}  # fmt: skip
ODD = {"value": 3.0, "standard_error": None, "n": 180, "unit": "", "estimator": "count"}


def evaluation(path, data="/home/me/secret/faces.npz"):
    """Write what `workshop evaluate` would, in little."""
    section = {"title": "How likely", "figures": {"elbo": ELBO, "a|b_c": ODD}}
    content = {
        "format": 1,
        "data": {"name": data, "split": "test", "examples": 1180},
        "verdicts": ["2 of 4 latents are unused"],
        "sections": {"likelihood": section, "empty": {"title": "Nothing", "figures": {}}},
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def test_the_card_has_the_figures_of_the_evaluation(tmp_path):
    evaluation(tmp_path / "run" / "evaluation.json")
    build("beta-vae").save_pretrained(tmp_path / "digits", evaluation=tmp_path / "run")
    text = (tmp_path / "digits" / "README.md").read_text()
    assert (
        "| ELBO | -101.39 ± 0.30 nats | mean over examples, 1 sample of z each, n = 180 |" in text
    )
    assert r"| a\|b c | 3 | count, n = 180 |" in text
    assert "1,180 test examples of faces.npz" in text
    assert "### How likely" in text
    assert "Nothing" not in text
    assert "- 2 of 4 latents are unused" in text
    assert "secret" not in text
    header = huggingface_hub.ModelCard(text).data
    assert header.library_name == "workshop-vae"
    assert {"variational-autoencoder", "beta-vae"} <= set(header.tags)


def test_the_card_counts_what_the_files_hold(saved):
    text = (saved / "README.md").read_text()
    count = sum(a.size for a in load_file(saved / "model.safetensors").values())
    assert f"| numbers in its files | {count:,} |" in text
    assert 'VAE.from_pretrained("vae")' in text
    assert "comes without an evaluation" in text


def test_a_folders_own_evaluation_is_shown_and_a_bad_one_named(folder, tmp_path):
    model = VAE.from_pretrained(folder)
    evaluation(folder / "evaluation.json", "hf:ylecun/mnist")
    model.save_pretrained(folder)
    assert "examples of hf:ylecun/mnist" in (folder / "README.md").read_text()
    with pytest.raises(ValueError, match="is missing: run workshop evaluate"):
        model.save_pretrained(tmp_path / "new", evaluation=tmp_path)
    assert not (tmp_path / "new").exists()


# What is no model.


class Bomb:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def _weights(change):
    def damage(folder):
        arrays = load_file(folder / "model.safetensors")
        change(arrays, min(arrays))
        save_file(arrays, folder / "model.safetensors")

    return damage


def _config(change):
    def damage(folder):
        content = json.loads((folder / "config.json").read_text())
        change(content)
        (folder / "config.json").write_text(json.dumps(content))

    return damage


def _set(arrays, name, value):
    arrays[name] = value


WRONG = {
    "no config": (lambda f: (f / "config.json").unlink(), "holds no config.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "holds no model.safetensors"),
    "a pickle": (
        lambda f: (f / "model.safetensors").write_bytes(pickle.dumps(Bomb())),
        "model.safetensors is damaged, or no file of weights",
    ),
    "a pickle as config": (
        lambda f: (f / "config.json").write_bytes(pickle.dumps(Bomb())), "config.json is damaged"
    ),
    "empty": (lambda f: (f / "model.safetensors").write_bytes(b""), "is damaged"),
    "cut": (lambda f: os.truncate(f / "model.safetensors", 2000), "is damaged"),
    "other keys": (
        _weights(lambda a, k: _set(a, "model.embed.weight", a.pop(k))), "is in one of them only"
    ),
    "one too many": (_weights(lambda a, k: _set(a, "x", a[k])), "x is in one of them only"),
    "other shape": (_weights(lambda a, k: _set(a, k, a[k][..., :1])), r"is F32 \("),
    "other type": (_weights(lambda a, k: _set(a, k, a[k].astype(np.float16))), "is F16"),
    "not finite": (_weights(lambda a, k: _set(a, k, a[k] + np.nan)), "NaN or infinite"),
    "unknown model": (
        _config(lambda c: c.update(model="vea")),
        r"config.json: model='vea': expected one of .* did you mean 'vae'",
    ),
    "no name": (_config(lambda c: c.update(model=["vae"])), "config.json: model="),
    "another's": (_config(lambda c: c.pop("config")), "describes no model"),
    "no numbers": (_config(lambda c: c["config"].update(encoder=3)), "config.json is damaged"),
    "a field too many": (_config(lambda c: c["config"].update(code="x")), "config.json is damaged"),
    "deep": (lambda f: (f / "config.json").write_text("[" * 100_000), "config.json is damaged"),
    "huge": (
        # 40 TB, of which none is allocated.
        _config(lambda c: c["config"]["encoder"].update(hidden_dims=[10**12])),
        r"encoder\..* but its config.json makes it F32 \(1000000000000,\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", WRONG)
def test_a_bad_file_is_a_sentence(folder, damage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, said = WRONG[damage]
    change(folder)
    with pytest.raises(ValueError, match=said):
        VAE.from_pretrained(folder)
    assert not Path("exploded").exists()


@given(st.data())
def test_no_byte_of_the_header_can_do_more_than_fail(saved, tmp_path_factory, data):
    """A file of which some bytes were changed or cut off loads, or is a ValueError."""
    folder = tmp_path_factory.mktemp("changed")
    shutil.copy(saved / "config.json", folder)
    content = bytearray((saved / "model.safetensors").read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)))
    (folder / "model.safetensors").write_bytes(content[:end])
    try:
        model = VAE.from_pretrained(folder)
    except ValueError:
        return
    assert end == len(content)
    assert np.isfinite(outputs(model)).all()


def test_a_model_of_another_class_is_refused(tmp_path):
    build("vq-vae").save_pretrained(tmp_path / "a")
    with pytest.raises(ValueError, match=r"holds a VQVAE, which is no BetaVAE: .*VQVAE\.from_pre"):
        BetaVAE.from_pretrained(tmp_path / "a")


# The hub.


@pytest.fixture
def remote(saved, monkeypatch, tmp_path):
    """A hub with one repository, which has more in it than it should; what it was asked for."""
    asked = []

    def download(repo_id, *, allow_patterns, **options):
        asked.append((repo_id, options))
        if repo_id != "me/vae":
            raise LocalEntryNotFoundError(f"404 Client Error.\n\nRepository {repo_id} not found.")
        target = tmp_path / "cache"
        target.mkdir()
        for name in allow_patterns:
            if (saved / name).exists():
                shutil.copy(saved / name, target)
        return str(target)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


def test_a_name_is_downloaded(saved, remote, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (saved / "modeling.py").write_text("raise SystemExit")
    model = VAE.from_pretrained("me/vae", revision="v1", token="t", local_files_only=True)
    np.testing.assert_array_equal(outputs(model), outputs(VAE.from_pretrained(saved)))
    options = {"revision": "v1", "token": "t", "local_files_only": True,
               "cache_dir": None, "force_download": False}  # fmt: skip
    assert remote == [("me/vae", options)]
    assert not (tmp_path / "cache" / "modeling.py").exists()
    with pytest.raises(ValueError, match=r"no such folder here.*says: 404 .* me/vea not found"):
        VAE.from_pretrained("me/vea")


def test_the_real_client_reads_its_cache(saved, tmp_path):
    """In the layout that the hub's client keeps, without the network."""
    repository = tmp_path / "models--me--vae"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(saved, repository / "snapshots" / ("0" * 40))
    found = VAE.from_pretrained("me/vae", cache_dir=tmp_path, local_files_only=True)
    np.testing.assert_array_equal(outputs(found), outputs(VAE.from_pretrained(saved)))
    with pytest.raises(ValueError, match="no such folder here, and the Hugging Face Hub says"):
        VAE.from_pretrained("me/other", cache_dir=tmp_path, local_files_only=True)
    with pytest.raises(ValueError, match="no such folder here, and the Hugging Face Hub says"):
        VAE.from_pretrained("not a name", cache_dir=tmp_path, local_files_only=True)


def test_what_looks_like_a_path_never_leaves_the_machine(saved, remote, tmp_path):
    for source in (tmp_path / "no", str(tmp_path / "no"), "./no", "~/no", "a/b/c"):
        with pytest.raises(ValueError, match="this is no folder"):
            VAE.from_pretrained(source)
    with pytest.raises(ValueError, match="this is a file: pass the folder"):
        VAE.from_pretrained(saved / "model.safetensors")
    with pytest.raises(ValueError, match=r"revision='v1': .* is a folder here"):
        VAE.from_pretrained(saved, revision="v1")
    assert remote == []


def test_without_the_extra_folders_still_work(saved, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    VAE.from_pretrained(saved).save_pretrained(tmp_path / "again")
    assert outputs(VAE.from_pretrained(tmp_path / "again")).shape == X.shape
    for call in (
        lambda: VAE.from_pretrained("me/vae"),
        lambda: build().push_to_hub("me/vae"),
    ):
        with pytest.raises(ImportError, match=r"pip install 'workshop-vae\[hub\]'"):
            call()


def test_publishing_sends_what_a_folder_would_hold(monkeypatch, tmp_path):
    sent = {}

    class Api:
        def __init__(self, token):
            sent["token"] = token

        def create_repo(self, repo_id, **options):
            sent["repository"] = options
            return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

        def upload_folder(self, *, repo_id, folder_path, **options):
            sent["commit"] = options
            shutil.copytree(folder_path, tmp_path / repo_id)
            return "https://huggingface.co/me/faces/commit/1"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    evaluation(tmp_path / "evaluation.json")
    model = build()
    url = model.push_to_hub(
        "me/faces", evaluation=tmp_path, private=True, token="t", branch="b", create_pr=True,
        commit_message="First",
    )  # fmt: skip
    assert url == "https://huggingface.co/me/faces/commit/1"
    assert sent == {
        "token": "t",
        "repository": {"private": True, "exist_ok": True},
        "commit": {"commit_message": "First", "revision": "b", "create_pr": True,
                   "delete_patterns": ["prior.safetensors"]},
    }  # fmt: skip
    assert {p.name for p in (tmp_path / "me/faces").iterdir()} <= set(hub.FILES)
    card = (tmp_path / "me/faces/README.md").read_text()
    assert 'VAE.from_pretrained("me/faces")' in card
    assert "-101.39 ± 0.30 nats" in card
    np.testing.assert_array_equal(
        outputs(VAE.from_pretrained(tmp_path / "me/faces")), outputs(model)
    )
