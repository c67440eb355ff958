"""The methods by which a model travels: to a folder or the Hugging Face Hub, and back.

They have the names and keywords of `huggingface_hub.ModelHubMixin`. That class itself sets
attributes before a module has its state, which Flax NNX does not allow, and would make its package
a requirement of every model.
"""

from pathlib import Path
from typing import TypeVar

from workshop.generative_models.models import hub

Model = TypeVar("Model", bound="Pretrained")


class Pretrained:
    """A model that can be saved, loaded and published; see `models.hub`."""

    def save_pretrained(self, folder: str | Path, *, evaluation: str | Path | None = None) -> None:
        """Write `config.json`, `model.safetensors` and a model card, `README.md`, to a folder.

        A fitted prior over codes is one more file, `prior.safetensors`.

        Args:
            folder: where to; it is made if there is none.
            evaluation: the run folder, or the `evaluation.json` in it, whose figures the card
                shows; None is the folder's own, if there is one.

        Raises:
            ValueError: if nothing on disk could rebuild the model, the folder holds a run or
                another program's model, or the evaluation cannot be read.

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
        hub.save_pretrained(self, folder, evaluation=evaluation)

    @classmethod
    def from_pretrained(
        cls: type[Model],
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
            source: a folder, such as `save_pretrained` or `workshop train` leaves, or a name on the
                hub, "owner/name", which needs the extra `hub`.
            revision: branch, tag or commit; this and the others are for a name on the hub.
            token: of an account on the hub, for what is not public; None is the one that is stored.
            cache_dir: where downloads are kept; None is the hub's own folder.
            local_files_only: read what was downloaded before, and nothing else.
            force_download: download again what is there.

        Raises:
            ValueError: if a file is missing or damaged, or files do not fit each other; if the
                model is not of this class; if there is no such folder or name.
            ImportError: for a name on the hub without the extra `hub`.
        """
        return hub.from_pretrained(
            cls,
            source,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )

    def push_to_hub(
        self,
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
            repo_id: "owner/name"; the repository is made if there is none.
            evaluation: the run folder, or the `evaluation.json` in it, whose figures the card
                shows.
            commit_message: of the commit.
            private: of a new repository, whether others cannot see it; None is the account's
                default.
            token: of an account; None is the one that is stored.
            branch: to commit to; None is the main one.
            create_pr: open a pull request in place of a commit.

        Raises:
            ValueError: as `save_pretrained`, or for a name that is none.
            ImportError: without the extra `hub`.
            OSError: if the hub refuses.
        """
        return hub.push_to_hub(
            self,
            repo_id,
            evaluation=evaluation,
            commit_message=commit_message,
            private=private,
            token=token,
            branch=branch,
            create_pr=create_pr,
        )
