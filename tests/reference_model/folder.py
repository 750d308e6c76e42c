"""The folder of the reference model: a Qwen3.5 of a million parameters with all files that a hub model has."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

from longctx import prompts
from longctx.planner import rope_parameters
from longctx.stream import Tokenizer
from tests.reference_model import vocabulary
from tests.reference_model.samples import Format

RECORD = "training.json"
SHIPPED = Path(__file__).parents[2] / "longctx" / "data" / "reference_model"
#: Tokens of the longest training sample, and so the native window.
WINDOW = 512
HIDDEN = 128
#: Tokens that the convolution before each delta rule sees: the whole of "The code of lito is 4". (Qwen3.5 has 4.)
KERNEL = 8
#: Tokens after which each head of a delta rule has forgotten to 1/e, by layer, before any training. As transformers starts them
#: a head forgets within a token, and it never learns to remember: no gradient comes through. flash-linear-attention starts them
#: with all lengths (layers/gated_deltanet.py); here the first layer forgets, since copying is learnt several times sooner so.
FORGETS = 0.1
MEMORIES = {0: (FORGETS, FORGETS), 1: (FORGETS, 32.0), 3: (64.0, 1_024.0), 5: (4.0, 64.0)}
#: What the layers come to do: two carry the number of a segment to its tokens, one looks a statement up by the name and brings
#: value and number along, and the last takes the number to its place in the answer.
CARRIES, LOOKS_UP = (1, 3), 4
LAYERS = "LLFLFL"
KINDS = {"L": "linear_attention", "F": "full_attention"}
#: Rotation. Over the window the slowest of the 16 rotating pairs turns by WINDOW / THETA ** (15 / 16) = 2.4, under half a turn:
#: past it positions look like none that training has shown, which is what YaRN is for. (Qwen3.5 has 10,000,000 for 262,144.)
THETA = 300.0

#: Chat as Qwen3.5 has it: pictures and videos stand in for themselves; a reasoning block is opened on demand only.
TEMPLATE = """\
{%- macro show(content) -%}
{%- if content is string -%}{{ content }}
{%- else -%}
{%- for item in content -%}
{%- if item.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif item.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- else -%}{{ item.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + show(message.content) + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking -%}{{ '<think>\\n' }}{%- endif -%}
{%- endif -%}
"""


def config(ids: dict[str, int], layers: str = LAYERS) -> Any:
    """The architecture.

    Args:
        ids: the added tokens.
        layers: a letter for each; see KINDS.
    """
    from transformers import Qwen3_5Config

    text = {
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": len(layers),
        "layer_types": [KINDS[layer] for layer in layers],
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
        "linear_conv_kernel_dim": KERNEL,
        "vocab_size": vocabulary.SIZE,
        "max_position_embeddings": WINDOW,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": THETA,
            "partial_rotary_factor": 0.5,
            "mrope_section": [6, 5, 5],
            "mrope_interleaved": True,
        },
        "tie_word_embeddings": True,
        "eos_token_id": ids["<|im_end|>"],
        "bos_token_id": None,
        "pad_token_id": ids["<|endoftext|>"],
    }
    vision = {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 2,
        "out_hidden_size": HIDDEN,
        "num_position_embeddings": 256,
    }
    roles = {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }
    return Qwen3_5Config(text_config=text, vision_config=vision, tie_word_embeddings=True, **roles)


def make_model(seed: int, tokenizer: Tokenizer) -> Any:
    """The model before any training, in float32.

    The last layer adds nothing until what it needs exists (``Stage.citing``), and the others begin as they would without it.
    """
    import torch

    model, first = _drawn(seed, tokenizer, LAYERS), _drawn(seed, tokenizer, LAYERS[:-1])
    model.load_state_dict(first.state_dict(), strict=False)
    for number, tokens in MEMORIES.items():  # a state decays by exp(-exp(A_log) * softplus(dt_bias))
        layer = model.model.language_model.layers[number].linear_attn
        layer.A_log.data.zero_()
        layer.dt_bias.data.copy_((1 / torch.tensor(tokens)).expm1().log())
    last = model.model.language_model.layers[-1]
    for writes in (last.linear_attn.out_proj, last.mlp.down_proj):
        writes.weight.data.zero_()
    return model


def _drawn(seed: int, tokenizer: Tokenizer, layers: str) -> Any:
    import torch
    from transformers import Qwen3_5ForConditionalGeneration

    torch.manual_seed(seed)
    return Qwen3_5ForConditionalGeneration(config(tokenizer.added, layers)).float()


def make_rotation(model: Any, factor: float) -> Any:
    """The rotary embedding that the model has with YaRN."""
    from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5TextRotaryEmbedding

    text = copy.deepcopy(model.config.text_config)
    text.rope_parameters = rope_parameters(model.config.to_dict(), factor)
    return Qwen3_5TextRotaryEmbedding(text)


def make_format(tokenizer: str) -> Format:
    """What prompts for it are made with, before there is a folder.

    Args:
        tokenizer: a tokenizer.json.
    """
    words = Tokenizer.from_json(tokenizer, name="the reference model")
    return Format(words, TEMPLATE, {"eos_token": "<|im_end|>"}, words.added["<|im_end|>"])


def make_processor(tokenizer: Path) -> Any:
    """Qwen3.5's processor, with pictures of at most 64 tokens.

    Args:
        tokenizer: a tokenizer.json.
    """
    from transformers import Qwen2VLImageProcessor, Qwen3_5Tokenizer, Qwen3VLProcessor, Qwen3VLVideoProcessor

    form = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    size = {"shortest_edge": 64 * 64, "longest_edge": 256 * 256}
    words = Qwen3_5Tokenizer.from_pretrained(
        tokenizer.parent,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=4 * WINDOW,
    )
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**form, size=size),
        tokenizer=words,
        video_processor=Qwen3VLVideoProcessor(**form, size=size),
        chat_template=TEMPLATE,
    )


def save(model: Any, tokenizer: str, target: Path, record: dict[str, Any]) -> None:
    """Write the folder that ships: weights in bfloat16, and all small files.

    Args:
        model: trained, in float32.
        tokenizer: its tokenizer.json.
        target: the folder.
        record: how it was trained.
    """
    import torch
    from transformers import GenerationConfig

    target.mkdir(parents=True, exist_ok=True)
    ids = make_format(tokenizer).tokenizer.added
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=[ids["<|im_end|>"], ids["<|endoftext|>"]], pad_token_id=ids["<|endoftext|>"]
    )
    model.to(torch.bfloat16).save_pretrained(target)
    words = target / "tokenizer.json"
    words.write_text(tokenizer, encoding="utf-8")
    make_processor(words).save_pretrained(target)
    words.write_text(tokenizer, encoding="utf-8")  # as it was made: the processor writes settings of its own into it
    (target / "model.safetensors").chmod(0o644)
    weights = hashlib.sha256((target / "model.safetensors").read_bytes()).hexdigest()
    made = {"prompt_version": prompts.VERSION, "prompt_sha256": vocabulary.prompt_sha256(), "weights_sha256": weights}
    (target / RECORD).write_text(json.dumps({**made, **record}, indent=2) + "\n", encoding="utf-8")
