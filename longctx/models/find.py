"""From a model's name to its files. The network is used only for a model that the user named or agreed to."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from longctx.errors import ModelError, ModelNotFoundError, UsageError
from longctx.models import gguf
from longctx.models.files import ModelFiles, weight_files

#: What a plan needs: everything but the weights.
SMALL_FILES = ("*.json", "*.jinja", "tokenizer.model", "*.txt")
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+\Z")
HUB_TIMEOUT = 5.0
#: The name of the model that ships with longctx: a trained Qwen3.5 of a million parameters, to check a machine with.
REFERENCE_NAME = "reference"
REFERENCE_FOLDER = Path(__file__).parents[1] / "data" / "reference_model"


def find(name: str | os.PathLike[str], *, config_only: bool = False) -> ModelFiles:
    """The files of a model by local folder, GGUF file or hub id; weights are not downloaded yet.

    Args:
        name: ``"~/models/Qwen3.5-4B"``, ``"~/models/Qwen3.5-4B-Q4_K_M.gguf"`` or ``"Qwen/Qwen3.5-4B"``; ``"reference"`` is the
            one that ships with longctx, unless there is a folder of this name.
        config_only: look at config.json alone, and fetch no more than that.

    Raises:
        UsageError: the name is empty.
        ModelNotFoundError: there is no such folder and no such model that can be reached.
        ModelDamagedError: a part of it is missing or unreadable.
        ModelError: a GGUF file holds no model that generates text, or a folder nothing but such files.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise UsageError(f"model={name!r} is no name", hint="name a hub id such as Qwen/Qwen3.5-4B or a local folder")
    text = os.fspath(name)
    if not text.strip():
        raise UsageError("the model's name is empty", hint="name a hub id such as Qwen/Qwen3.5-4B or a local folder")
    folder = _path(text)
    if folder.is_dir():
        _require_config(folder, text)
        return ModelFiles.read(folder.resolve(), name=text, config_only=config_only)
    if folder.is_file() and gguf.is_gguf(folder):
        return ModelFiles.of_gguf(folder.absolute(), name=text)  # a link of the hub's cache is named, what it leads to is not
    if text == REFERENCE_NAME:
        return ModelFiles.read(REFERENCE_FOLDER, name=text, config_only=config_only)
    if folder.exists() or not HUB_ID.match(text):
        raise ModelNotFoundError(
            f"no model at {text!r}: it is neither a folder nor a GGUF file nor a hub id",
            hint="give a folder with config.json and *.safetensors, a .gguf file to plan for, a hub id such as "
            "Qwen/Qwen3.5-4B, or 'reference'",
        )
    return cached(text, config_only=config_only) or _from_hub(text, config_only)


def foreseen(hub_id: str, config: Mapping[str, Any]) -> ModelFiles:
    """A hub model of which nothing is on this machine but what somebody knows of its config.

    Args:
        hub_id: under which :func:`find` will look for it.
        config: its config.json, as far as it is known.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=hub_id, repo_type="model"))
    return ModelFiles(hub_id, folder, config, template=None, remote=True, config_only=True)


def with_weights(files: ModelFiles) -> ModelFiles:
    """The same model with its weights on this machine, downloaded where they are not.

    Raises:
        ModelError: it is a GGUF file.
        ModelNotFoundError: the hub cannot be reached.
    """
    if files.header is not None:
        raise ModelError(
            f"{files.name} is a GGUF file, which longctx plans for and does not load",
            hint="name the folder or the hub id of the model it was made from; plan.command('llama.cpp') serves it as it is",
        )
    if not files.remote:
        return files
    folder = _snapshot(files.name, (*SMALL_FILES, *WEIGHTS))
    return ModelFiles.read(folder, name=files.name)


def cached_family_member(ids: Sequence[str]) -> Iterator[ModelFiles]:
    """Those of some hub models that lie whole in the local hub cache. Uses no network."""
    for hub_id in ids:
        files = cached(hub_id)
        if files is not None and not files.remote:
            yield files


def hub_answers(hub_id: str) -> bool:
    """Whether the hub can be reached and knows this model; waits a few seconds at the most."""
    try:
        _snapshot(hub_id, ["config.json"])
    except ModelNotFoundError:
        return False
    return True


def cached(hub_id: str, *, config_only: bool = False) -> ModelFiles | None:
    """What the local hub cache has of a model, or None where that is too little. Uses no network.

    Args:
        hub_id: such as ``"Qwen/Qwen3.5-4B"``.
        config_only: be content with config.json.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, FileNotFoundError):
        return None
    if not all((folder / file).is_file() for file in _needed(config_only)):
        return None
    return ModelFiles.read(folder, name=hub_id, remote=not weight_files(folder), config_only=config_only)


def _from_hub(hub_id: str, config_only: bool) -> ModelFiles:
    needed = _needed(config_only)
    folder = _snapshot(hub_id, needed if config_only else SMALL_FILES, needed)
    return ModelFiles.read(folder, name=hub_id, remote=True, config_only=config_only)


def _path(text: str) -> Path:
    """The path that a name may be.

    Raises:
        ModelNotFoundError: the system cannot look there: the name is too long, or a folder on the way may not be read.
    """
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:  # RuntimeError: no such user
        raise ModelNotFoundError(
            f"no model at {text[:200]!r}: {getattr(error, 'strerror', None) or error}",
            hint="give a hub id or a folder that can be read",
        ) from error
    return path


def _require_config(folder: Path, name: str) -> None:
    """Say that a folder has nothing but GGUF files, one of which is to be named."""
    if not (folder / "config.json").is_file() and (files := sorted(folder.glob("*.gguf"))):
        some = ", ".join(str(file) for file in files[:3])
        raise ModelError(f"{name}: the folder has no config.json, but GGUF files", hint=f"name one to plan for it: {some}")


def _needed(config_only: bool) -> tuple[str, ...]:
    return ("config.json",) if config_only else ("config.json", "tokenizer.json")


def _snapshot(hub_id: str, patterns: Sequence[str], needed: Sequence[str] = ()) -> Path:
    """The folder of a hub model in the cache, with what matches the patterns.

    Without a hub, huggingface_hub gives what it has; only by asking for a file that is missing does it tell which is the case.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=list(patterns), etag_timeout=HUB_TIMEOUT))
        for file in needed:
            if not (folder / file).is_file():
                with contextlib.suppress(RemoteEntryNotFoundError):  # there is none; the folder's reader says what that means
                    hf_hub_download(hub_id, file, etag_timeout=HUB_TIMEOUT)
        return folder
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
