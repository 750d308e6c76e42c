"""From a model's name to its files. The network is used only for a model that the user named or agreed to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from longctx.errors import ModelNotFoundError, UsageError
from longctx.models.files import ModelFiles, weight_files

#: What a plan needs: everything but the weights.
SMALL_FILES = ("*.json", "*.jinja", "tokenizer.model", "*.txt")
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+\Z")
HUB_TIMEOUT = 5.0
#: The name of the model that ships with longctx: a trained Qwen3.5 of a million parameters, to check a machine with.
REFERENCE_NAME = "reference"
REFERENCE_FOLDER = Path(__file__).parents[1] / "data" / "reference_model"


def cache_folder() -> Path:
    """Where longctx keeps what it made once: converted and quantised weights, prefixes."""
    import platformdirs

    return Path(os.environ.get("LONGCTX_CACHE") or platformdirs.user_cache_dir("longctx"))


def find(name: str | os.PathLike[str]) -> ModelFiles:
    """The files of a model by local folder or hub id; weights are not downloaded yet.

    Args:
        name: ``"~/models/Qwen3.5-4B"`` or ``"Qwen/Qwen3.5-4B"``; ``"reference"`` is the one that ships with longctx, unless
            there is a folder of this name.

    Raises:
        UsageError: the name is empty.
        ModelNotFoundError: there is no such folder and no such model that can be reached.
        ModelDamagedError: a part of it is missing or unreadable.
    """
    text = os.fspath(name)
    if not text.strip():
        raise UsageError("the model's name is empty", hint="name a hub id such as Qwen/Qwen3.5-4B or a local folder")
    folder = Path(text).expanduser()
    if folder.is_dir():
        return ModelFiles.read(folder.resolve(), name=text)
    if text == REFERENCE_NAME:
        return ModelFiles.read(REFERENCE_FOLDER, name=text)
    if folder.exists() or not HUB_ID.match(text):
        raise ModelNotFoundError(
            f"no model at {text!r}: it is neither a folder nor a hub id",
            hint="give a folder with config.json and *.safetensors, a hub id such as Qwen/Qwen3.5-4B, or 'reference'",
        )
    return _from_cache(text) or _from_hub(text)


def with_weights(files: ModelFiles) -> ModelFiles:
    """The same model with its weights on this machine, downloaded where they are not.

    Raises:
        ModelNotFoundError: the hub cannot be reached.
    """
    if not files.remote:
        return files
    folder = _snapshot(files.name, (*SMALL_FILES, *WEIGHTS))
    return ModelFiles.read(folder, name=files.name)


def cached_family_member(ids: Sequence[str]) -> Iterator[ModelFiles]:
    """Those of some hub models that lie whole in the local hub cache. Uses no network."""
    for hub_id in ids:
        files = _from_cache(hub_id)
        if files is not None and not files.remote:
            yield files


def hub_answers(hub_id: str) -> bool:
    """Whether the hub can be reached and knows this model; waits a few seconds at the most."""
    try:
        _snapshot(hub_id, ["config.json"])
    except ModelNotFoundError:
        return False
    return True


def _from_cache(hub_id: str) -> ModelFiles | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, FileNotFoundError):
        return None
    if not (folder / "config.json").is_file() or not (folder / "tokenizer.json").is_file():
        return None
    return ModelFiles.read(folder, name=hub_id, remote=not weight_files(folder))


def _from_hub(hub_id: str) -> ModelFiles:
    return ModelFiles.read(_snapshot(hub_id, SMALL_FILES), name=hub_id, remote=True)


def _snapshot(hub_id: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(patterns), etag_timeout=HUB_TIMEOUT))
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"the hub knows no model {hub_id!r}, or it needs a login",
            hint="check the spelling; for a gated model run: huggingface-cli login",
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelNotFoundError(
            f"{hub_id!r} is not on this machine and the hub cannot be reached ({type(error).__name__})",
            hint="connect to the network once, or copy the model's folder here and give its path; "
            "without a model name the embedded default is used",
            retryable=True,
        ) from error
