"""Models that travel: as a folder of plain files, and by the Hugging Face Hub."""

import tempfile
from pathlib import Path
from types import ModuleType
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
    """Write a model and its card; see `Pretrained.save_pretrained`.

    Args:
        model: a model that was built from a configuration.
        folder: where to.
        evaluation: whose figures the card shows.
        name: what the card calls the model; None is the folder's name.
    """
    folder = Path(folder)
    _refuse_foreign(folder)
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
    """Return the model of a folder or a name on the hub; see `Pretrained.from_pretrained`."""
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
    evaluation: str | Path | None,
    commit_message: str,
    private: bool | None,
    token: str | bool | None,
    branch: str | None,
    create_pr: bool,
) -> str:
    """Publish a model and its card; see `Pretrained.push_to_hub`."""
    api = _hub(f"push_to_hub({repo_id!r})").HfApi(token=token)
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


def _download(source: str | Path, **options: Any) -> Path:
    """Return the folder that a repository's files were downloaded to."""
    call = f"from_pretrained({str(source)!r})"
    if isinstance(source, Path) or source.startswith((".", "/", "~")) or source.count("/") > 1:
        what = "a file: pass the folder that it is in" if Path(source).is_file() else "no folder"
        raise ValueError(f"{call}: this is {what}")
    hub = _hub(f"{call}: there is no such folder here, and a name on the Hugging Face Hub")
    try:
        return Path(hub.snapshot_download(source, allow_patterns=list(FILES), **options))
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ValueError(
            f"{call}: there is no such folder here, and the Hugging Face Hub says: {said}"
        ) from error


def _hub(call: str) -> ModuleType:
    return optional("huggingface_hub", "hub", call)


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder whose `config.json` says more than ours would."""
    if (folder / CONFIG_FILE).exists() and read_config(folder).keys() - {"model", "config"}:
        raise ValueError(
            f"{folder} is a run folder, whose {CONFIG_FILE} also says how it was trained: choose "
            "another folder, or load the run as it is by from_pretrained"
        )
