"""Models that travel: as a folder of plain files, and by the Hugging Face Hub."""

import tempfile
from pathlib import Path
from typing import Any, TypeVar

from workshop.generative_models.core.checks import optional
from workshop.generative_models.core.estimates import EVALUATION_FILE, read
from workshop.generative_models.core.files import CONFIG_FILE, read_config, write_text
from workshop.generative_models.models.card import model_card
from workshop.generative_models.models.code_prior import PRIOR_FILE, save_prior
from workshop.generative_models.models.restoring import load_run
from workshop.generative_models.models.saving import save_config, save_weights
from workshop.generative_models.models.weights import WEIGHTS_FILE

_CARD_FILE = "README.md"
FILES = (CONFIG_FILE, WEIGHTS_FILE, PRIOR_FILE, _CARD_FILE)
"""All that is ever downloaded: whatever else a repository holds stays there."""
Model = TypeVar("Model")


def save_pretrained(
    model: Any, folder: str | Path, *, evaluation: str | Path | None = None, name: str | None = None
) -> None:
    """Write `config.json`, `model.safetensors` and a model card, `README.md`, to a folder.

    A fitted prior over codes is one more file, `prior.safetensors`.

    Args:
        model: a model that was built from a configuration.
        folder: where to; it is made if there is none.
        evaluation: the run folder, or the `evaluation.json` in it, whose figures the card shows;
            None is the folder's own, if there is one.
        name: what the card calls the model; None is the folder's name.

    Raises:
        ValueError: if nothing on disk could rebuild the model, the folder holds a run or another
            program's model, or the evaluation cannot be read.

    Examples:
        >>> import tempfile
        >>> from flax import nnx
        >>> from workshop.generative_models.core.configuration import (
        ...     DecoderConfig, EncoderConfig, VAEConfig)
        >>> from workshop.generative_models.models.vae import VAE
        >>> config = VAEConfig(
        ...     encoder=EncoderConfig(hidden_dims=[8], latent_dim=2, input_shape=[4]),
        ...     decoder=DecoderConfig(hidden_dims=[8], latent_dim=2, output_shape=[4]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     VAE(config, rngs=nnx.Rngs(0)).save_pretrained(folder)
        ...     VAE.from_pretrained(folder).latent_dim
        2
    """
    folder = Path(folder)
    if (folder / CONFIG_FILE).exists() and read_config(folder).keys() - {"model", "config"}:
        raise ValueError(
            f"{folder} is a run folder, whose {CONFIG_FILE} also says how it was trained: choose "
            "another folder, or load the run as it is by from_pretrained"
        )
    if evaluation is None and (folder / EVALUATION_FILE).is_file():
        evaluation = folder
    found = None
    if evaluation is not None:
        path = Path(evaluation)
        found = read(path / EVALUATION_FILE if path.is_dir() else path)
    save_config(model, folder)
    save_weights(model, folder)
    if model.code_prior is not None:
        save_prior(model, folder)
    else:
        (folder / PRIOR_FILE).unlink(missing_ok=True)  # of a model that was here before
    write_text(model_card(model, name or folder.resolve().name, found), folder / _CARD_FILE)


def from_pretrained(
    kind: type[Model],
    source: str | Path,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Model:
    """Return the model of a folder or of the Hugging Face Hub; nothing that is read can run.

    Args:
        kind: the class that it must be of, or a subclass of it.
        source: a folder, such as `save_pretrained` or `workshop train` leaves, or a name on the
            hub, "owner/name", which needs the extra `hub`.
        revision: branch, tag or commit; this and the others are for a name on the hub.
        token: of an account on the hub, for what is not public; None is the one that is stored.
        cache_dir: where downloads are kept; None is the hub's own folder.
        local_files_only: read what was downloaded before, and nothing else.
        force_download: download again what is there.

    Raises:
        ValueError: if a file is missing or damaged, or files do not fit each other; if the model is
            not of this class; if there is no such folder or name.
        ImportError: for a name on the hub without the extra `hub`.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ValueError(
                f"revision={revision!r}: {source} is a folder here, which has none; leave it out"
            )
        return load_run(folder, kind)
    options = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
    found = _download(source, revision=revision, force_download=force_download, **options)
    return load_run(found, kind)


def push_to_hub(
    model: Any,
    repo_id: str,
    *,
    evaluation: str | Path | None = None,
    commit_message: str = "Push model using workshop-vae",
    private: bool | None = None,
    token: str | bool | None = None,
    branch: str | None = None,
    create_pr: bool = False,
) -> str:
    """Publish what `save_pretrained` writes on the Hugging Face Hub; return the commit's page.

    Args:
        model: as in `save_pretrained`.
        repo_id: "owner/name"; the repository is made if there is none.
        evaluation: as in `save_pretrained`.
        commit_message: of the commit.
        private: of a new repository, whether others cannot see it; None is the account's default.
        token: of an account; None is the one that is stored.
        branch: to commit to; None is the main one.
        create_pr: open a pull request in place of a commit.

    Raises:
        ValueError: as `save_pretrained`, or for a name that is none.
        ImportError: without the extra `hub`.
        OSError: if the hub refuses.
    """
    api = optional("huggingface_hub", "hub", f"push_to_hub({repo_id!r})").HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder, evaluation=evaluation, name=repo_id)
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            commit_message=commit_message,
            revision=branch,
            create_pr=create_pr,
            delete_patterns=[PRIOR_FILE],  # one of older weights, if there is none now
        )
    return str(commit)


class Pretrained:
    """A model that has the functions of this module as methods.

    They have the names and keywords of `huggingface_hub.ModelHubMixin`, which itself sets
    attributes before a module has its state, and Flax NNX does not allow that.
    """

    save_pretrained = save_pretrained
    from_pretrained = classmethod(from_pretrained)
    push_to_hub = push_to_hub


def _download(source: str | Path, **options: Any) -> Path:
    """Return the folder that a repository's files were downloaded to."""
    call = f"from_pretrained({str(source)!r})"
    if isinstance(source, Path) or source.startswith((".", "/", "~")) or source.count("/") > 1:
        what = "a file: pass the folder that it is in" if Path(source).is_file() else "no folder"
        raise ValueError(f"{call}: this is {what}")
    what = f"{call}: there is no such folder here, and a name on the Hugging Face Hub"
    hub = optional("huggingface_hub", "hub", what)
    try:
        return Path(hub.snapshot_download(source, allow_patterns=list(FILES), **options))
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ValueError(
            f"{call}: there is no such folder here, and the Hugging Face Hub says: {said}"
        ) from error
