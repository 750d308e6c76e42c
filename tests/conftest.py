"""What tests share: real things made small, models loaded once, and no way to the outside."""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # the cores are taken by processes; threads that wait for each other cost more than they help
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

ROOT = Path(__file__).parents[1]
#: The oldest ipykernel that we support, and what it needs that the current one does not.
OLD_IPYKERNEL = ("ipykernel==6.31.0", "nest-asyncio==1.6.0")
LOCAL = {"localhost", "127.0.0.1", "::1", "", None}
#: Memory to reckon with for a process of tests: a model in it, and the kernels and workers that it starts.
PROCESS_BYTES = 4_000_000_000


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What ``-n auto`` starts: a process for each core, as far as memory goes."""
    import psutil

    return max(1, min(os.cpu_count() or 1, psutil.virtual_memory().total // PROCESS_BYTES))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes run the tests, the longest come first: at the end none waits for another."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_seconds, reverse=True)


def _seconds(item: pytest.Item) -> float:
    """What a test takes, roughly; 0 where nobody says that it is long."""
    long = item.get_closest_marker("long")
    return float(long.args[0]) if long else 0.0


def pytest_collection_finish() -> None:
    """What was imported stays: it is not looked through again whenever an engine is closed, half a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_name_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local run never asks for a name: any look-up but that of this machine fails the test."""
    real = socket.getaddrinfo

    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        assert host in LOCAL or str(host) == socket.gethostname(), f"a local run looked up {host!r}"
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", guarded)


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The embedded default, fetched and converted into the user's cache on the first run, checked by sha256."""
    from longctx import planning

    with one_at_a_time("embedded"):
        return planning.embedded_model().folder


def one_at_a_time(what: str) -> FileLock:
    """A lock among the processes that run tests: what one of them fetches, the others find."""
    import platformdirs

    folder = Path(platformdirs.user_cache_dir("longctx-tests"))
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{what}.lock")


@pytest.fixture(scope="session")
def reference_model() -> Path:
    """The trained model that ships with longctx: it recalls, counts positions and cites; see its card."""
    from longctx.models import REFERENCE_FOLDER

    return REFERENCE_FOLDER


@pytest.fixture(scope="session")
def old_ipykernel() -> Path:
    """A folder with ipykernel 6.31, fetched into the user's cache on the first run. It must come first on a kernel's path."""
    import platformdirs

    folder = Path(platformdirs.user_cache_dir("longctx-tests"), "-".join(OLD_IPYKERNEL).replace("==", "-"))
    with one_at_a_time("ipykernel"):
        if not folder.is_dir():
            _install(OLD_IPYKERNEL, folder)
    return folder


def _install(packages: Sequence[str], folder: Path) -> None:
    """Install packages into a folder of their own, as a whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        whole = Path(temporary, "whole")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(whole), *packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        whole.rename(folder)


@pytest.fixture(params=["7.", "6.31."])
def ipykernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that a test starts run on the installed ipykernel, then on the oldest that we support.

    They find in ``IPYKERNEL_UNDER_TEST`` how their version must begin, and check it.
    """
    monkeypatch.setenv("IPYKERNEL_UNDER_TEST", request.param)
    first = [ROOT]
    if request.param == "6.31.":
        old = request.getfixturevalue("old_ipykernel")
        first.insert(0, old)
        monkeypatch.setenv("JUPYTER_PATH", str(old / "share" / "jupyter"))  # its own kernel.json says what it can do
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, first)))


@pytest.fixture(scope="session")
def tiny_tokenizer() -> str:
    """The JSON of a small byte-level BPE with Qwen-like control tokens."""
    return make_tiny_tokenizer()


def make_tiny_tokenizer() -> str:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    # On words that stay as they are, those before a frame among them: to any model that sees they are few tokens.
    tokenizer.train_from_iterator([(ROOT / "LICENSE").read_text(encoding="utf-8"), *["<0.5 seconds>"] * 200], trainer)
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    tokenizer.add_special_tokens(list(VISION_TOKENS.values()))
    text: str = tokenizer.to_str()
    return text


#: Roles of a Qwen config, and their tokens.
VISION_TOKENS = {
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
}

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking %}<think>\n{% endif %}{% endif %}"
)

TINY_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 512,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "layer_types": ["linear_attention"] * 3 + ["full_attention"],
    "max_position_embeddings": 4096,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5,
        "mrope_section": [3, 3, 2],
        "mrope_interleaved": True,
    },
    "tie_word_embeddings": True,
}
TINY_VISION = {
    "depth": 1,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "out_hidden_size": 64,
    "num_position_embeddings": 64,
}


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: str) -> Callable[[str], Path]:
    """Folders of tiny random models by kind: ``"qwen3_5"``, ``"qwen3_5_moe"``, ``"llama"``; float32, made once."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("models") / kind
            make_tiny_model(kind, made[kind], tiny_tokenizer)
        return made[kind]

    return folder


def make_tiny_model(kind: str, folder: Path, tokenizer: str, **text: Any) -> None:
    """Write the folder of a tiny random model.

    Args:
        kind: ``"qwen3_5"``, ``"qwen3_5_moe"``, ``"llama"``.
        folder: to make.
        tokenizer: its tokenizer.json.
        text: what differs from TINY_TEXT in the config of a Qwen model's decoder.
    """
    _build(kind, tokenizer, text).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}), encoding="utf-8")


def _build(kind: str, tokenizer: str, text: dict[str, Any]) -> Any:
    import torch
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        Qwen3_5Config,
        Qwen3_5ForConditionalGeneration,
        Qwen3_5MoeConfig,
        Qwen3_5MoeForConditionalGeneration,
    )

    torch.manual_seed(0)
    added = {token["content"]: token["id"] for token in json.loads(tokenizer)["added_tokens"]}
    ids = {role: added[token] for role, token in VISION_TOKENS.items()}
    if kind == "llama":
        config = LlamaConfig(
            hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=512, max_position_embeddings=4096, tie_word_embeddings=True,
        )  # fmt: skip
        return LlamaForCausalLM(config).float()
    if kind == "qwen3_5":
        return Qwen3_5ForConditionalGeneration(
            Qwen3_5Config(text_config={**TINY_TEXT, **text}, vision_config=TINY_VISION, **ids)
        ).float()
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64}
    config = Qwen3_5MoeConfig(text_config={**TINY_TEXT, **experts, **text}, vision_config=TINY_VISION, **ids)
    return Qwen3_5MoeForConditionalGeneration(config).float()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small folder of code and prose."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "retry.py").write_text(
        '"""Retries."""\n\nMAX_ATTEMPTS = 5\n\n\ndef wait(attempt):\n    """Seconds before the next try."""\n'
        "    return min(60, 2 ** attempt)\n",
        encoding="utf-8",
    )
    (folder / "README.md").write_text("# Weather\n\nThe station sends a reading every ten minutes.\n", encoding="utf-8")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LONGCTX_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def documents_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads what an earlier run of it has kept, unless it is about that."""
    monkeypatch.setattr("longctx.sources.replies.LARGEST", -1)


@pytest.fixture(autouse=True)
def nothing_left_loaded() -> Iterator[None]:
    """Every test gives its engines back, and nothing goes on showing what it loads."""
    yield
    if "longctx.engines" in sys.modules:
        sys.modules["longctx.engines"].free()
    if "longctx.showing" in sys.modules:
        sys.modules["longctx.showing"].set_presenter(None)
