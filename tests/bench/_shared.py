"""What several benchmarks use: random models that read with a real vocabulary, and real source code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longctx import models
from longctx.stream.vocabulary import qwen

#: Random models of 32M parameters, nearly all of them in embeddings and head: one with full attention only, and one of
#: Qwen3.5's shape, with its positions.
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": (
        "llama",
        {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 1_010_000},
    ),
    "hybrid": (
        "qwen3_5_text",
        {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2,
         "num_key_value_heads": 1, "head_dim": 32, "linear_num_key_heads": 2, "linear_num_value_heads": 2,
         "linear_key_head_dim": 32, "linear_value_head_dim": 32, "max_position_embeddings": 262_144},
    ),
}  # fmt: skip
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def random_model(kind: str, folder: Path, **changes: Any) -> Path:
    """Make the folder of a random model that has the vocabulary of Qwen3.5.

    Args:
        kind: of SHAPES.
        folder: to make.
        changes: in its config.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from longctx.backends.transformers.weights import quiet

    model_type, sizes = SHAPES[kind]
    tokenizer = qwen()
    end = tokenizer.added["<|im_end|>"]
    sizes = {**sizes, **changes, "vocab_size": 248_320, "tie_word_embeddings": False, "eos_token_id": end, "bos_token_id": None}
    torch.manual_seed(0)
    with quiet():
        AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **sizes)).save_pretrained(folder)
    kept = next((models.cache_folder() / "tokenizers").glob("qwen3.5-*.json"))
    shutil.copyfile(kept, folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return folder


def source_code(folder: Path, tokens: int) -> Path:
    """Fill a folder with so many tokens of source code of the standard library, in files as they are; the last one is cut."""
    library = Path(sysconfig.get_path("stdlib"))
    left = tokens
    for number, file in enumerate(_modules(library)):
        text = file.read_bytes().decode("utf-8", "replace")
        ids = qwen().encode_data(text)
        whole = len(ids) <= left
        name = f"{number:04}_{file.name}"
        (folder / name).write_text(text if whole else qwen().decode(ids[:left]), encoding="utf-8")
        left -= min(left, len(ids))
        if not left:
            return folder
    raise ValueError(f"{tokens} tokens were asked for, and {library} has {tokens - left}")


def _modules(library: Path) -> Iterator[Path]:
    skipped = {"site-packages", "__pycache__", "test", "idlelib"}
    return (file for file in sorted(library.rglob("*.py")) if skipped.isdisjoint(file.parts))


def in_a_process(module: str, *arguments: object) -> dict[str, Any]:
    """What a benchmark prints as its last line when it is run as a program."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{arguments}: {done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
