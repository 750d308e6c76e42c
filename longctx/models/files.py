"""The files of one model folder, read and checked; no weights, no tokenizer library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longctx.errors import ModelDamagedError
from longctx.models import gguf
from longctx.models.gguf_config import config as config_of

WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True)
class ModelFiles:
    """A model's small files, and where its weights are or would be.

    Args:
        name: as the user gave it.
        folder: the local folder; of a model of which nothing is on this machine, where the hub's cache will have it; of a
            GGUF file the file itself.
        config: config.json.
        template: the chat template (Jinja), or None for a model that was not trained to chat.
        special: control strings by role: ``"bos_token"``, ``"eos_token"``.
        generation: generation_config.json; empty where there is none.
        processor: what is said about how pictures are prepared; empty where nothing is.
        remote: whether the weights still have to be downloaded.
        config_only: whether only config.json was looked at: enough for a plan without a corpus, too little for anything else.
        header: of a GGUF file, which is planned for but not loaded; None of any other model.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    template: str | None
    special: Mapping[str, str] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    processor: Mapping[str, Any] = field(default_factory=dict)
    remote: bool = False
    config_only: bool = False
    header: gguf.Header | None = None

    @classmethod
    def of_gguf(cls, file: Path, *, name: str) -> ModelFiles:
        """Read the header of a GGUF file.

        Raises:
            ModelError: it holds no model that generates text.
            ModelDamagedError: it is damaged, or is no GGUF file.
        """
        header = gguf.read(file, name=name)
        return cls(name, file, config_of(header, name=name), template=None, config_only=True, header=header)

    @classmethod
    def read(cls, folder: Path, *, name: str, remote: bool = False, config_only: bool = False) -> ModelFiles:
        """Read a model folder.

        Args:
            folder: with config.json and tokenizer.json.
            name: as the user gave it.
            remote: whether the weights may be missing still.
            config_only: look at nothing but config.json.

        Raises:
            ModelDamagedError: a file is missing or unreadable; the message names it.
        """
        config = read_json(folder, "config.json", name)
        if config_only:
            return cls(name, folder, config, template=None, remote=remote, config_only=True)
        if not (folder / "tokenizer.json").is_file():
            raise ModelDamagedError(
                f"{name}: the folder {folder} has no tokenizer.json",
                hint="download the model again; a model with only a slow tokenizer is converted once by "
                "transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
            )
        if not remote and not weight_files(folder):
            raise ModelDamagedError(
                f"{name}: the folder {folder} has no weights ({' or '.join(WEIGHT_PATTERNS)})",
                hint="download the model again, or name its hub id",
            )
        settings = read_json(folder, "tokenizer_config.json", name, optional=True)
        return cls(
            name=name,
            folder=folder,
            config=config,
            template=_template(folder, settings),
            special=_special(settings),
            generation=read_json(folder, "generation_config.json", name, optional=True),
            processor=_processor(folder, name),
            remote=remote,
        )

    @property
    def stop_tokens(self) -> frozenset[int]:
        """Ids at which an answer ends, as far as the configs name them."""
        text_config = self.config.get("text_config") or {}
        found = [source.get("eos_token_id") for source in (self.generation, self.config, text_config)]
        return frozenset(i for ids in found if ids is not None for i in (ids if isinstance(ids, list) else [ids]))


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a folder, sorted."""
    return sorted(path for pattern in WEIGHT_PATTERNS for path in folder.glob(pattern))


def read_json(folder: Path, file: str, name: str, *, optional: bool = False) -> dict[str, Any]:
    """A JSON object of a model folder.

    Raises:
        ModelDamagedError: it is missing, no JSON, or no object.
    """
    path = folder / file
    if optional and not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelDamagedError(
            f"{name}: {path} cannot be read: {error}", hint="download the model again, or name a complete model folder"
        ) from error
    if not isinstance(value, dict):
        raise ModelDamagedError(f"{name}: {path} holds {type(value).__name__}, not an object")
    return value


def _processor(folder: Path, name: str) -> Mapping[str, Any]:
    """Of pictures: in a file of its own, or, as transformers 5 saves it, inside that of the whole processor."""
    own = read_json(folder, "preprocessor_config.json", name, optional=True)
    whole = read_json(folder, "processor_config.json", name, optional=True)
    inside = whole.get("image_processor")
    return own or (inside if isinstance(inside, dict) else {})


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise ModelDamagedError(f"{file} cannot be read: {error}", hint="download the model again") from error
    template = settings.get("chat_template")
    if isinstance(template, list):  # several named templates: the one for plain chat
        named = [t for t in template if isinstance(t, dict)]
        template = next((t.get("template") for t in named if t.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def _special(settings: Mapping[str, Any]) -> dict[str, str]:
    roles = ("bos_token", "eos_token", "pad_token", "unk_token")
    found = {role: settings.get(role) for role in roles}
    plain = {role: value.get("content") if isinstance(value, dict) else value for role, value in found.items()}
    return {role: value for role, value in plain.items() if isinstance(value, str)}
