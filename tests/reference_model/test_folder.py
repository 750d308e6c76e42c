"""The shipped folder is what its card says, and transformers loads it like any model of the hub."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import longctx as lc
from longctx import prompts
from longctx.stream import Tokenizer
from tests.reference_model import vocabulary
from tests.reference_model.folder import RECORD, SHIPPED, TEMPLATE
from tests.reference_model.language import NAME, SYLLABLES

MOST_PARAMETERS, MOST_BYTES = 3_900_000, 8_000_000
RECORDED: dict[str, Any] = json.loads((SHIPPED / RECORD).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def auto() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(SHIPPED)


@pytest.fixture(scope="module")
def own() -> Tokenizer:
    return Tokenizer.from_folder(SHIPPED)


def test_it_was_trained_on_the_prompts_that_the_library_writes_today() -> None:
    assert RECORDED["prompt_version"] == prompts.VERSION, "the prompt changed: train the reference model again"
    assert RECORDED["prompt_sha256"] == vocabulary.prompt_sha256(), "the prompt changed without its version"


def test_the_weights_are_those_of_the_record() -> None:
    weights = SHIPPED / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == RECORDED["weights_sha256"]
    assert weights.stat().st_size < MOST_BYTES


def test_transformers_loads_it_as_a_model_that_sees() -> None:
    import torch
    from transformers import AutoModelForImageTextToText, Qwen3_5ForConditionalGeneration

    model, info = AutoModelForImageTextToText.from_pretrained(SHIPPED, output_loading_info=True)
    assert isinstance(model, Qwen3_5ForConditionalGeneration)
    assert not any(info.values()), info
    assert model.dtype == torch.bfloat16
    assert sum(p.numel() for p in model.parameters()) < MOST_PARAMETERS
    assert set(model.config.text_config.layer_types) == {"linear_attention", "full_attention"}
    assert model.model.visual.merger is not None
    assert model.generation_config.eos_token_id[0] == model.config.text_config.eos_token_id


def test_its_processor_puts_a_picture_where_the_model_looks_for_it() -> None:
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(SHIPPED)
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}], add_generation_prompt=True
    )
    inputs = processor(text=text, images=[Image.new("RGB", (128, 96))], return_tensors="pt")
    model = AutoModelForImageTextToText.from_pretrained(SHIPPED).float()
    assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == 4 * 3
    assert model(**inputs).logits.isfinite().all()


def test_auto_tokenizer_gives_the_ids_of_our_own(auto: Any, own: Tokenizer) -> None:
    text = f'<|im_start|>system\n{prompts.SYSTEM}<|im_end|>\n<file path="a.md">\n<seg 12 lines 1-9>\nThe code of lito is "417".'
    assert auto(text).input_ids == own.encode_template(text)
    assert auto.chat_template == TEMPLATE


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_comes_back_and_reads_the_same_in_both_tokenizers(auto: Any, own: Tokenizer, text: str) -> None:
    import unicodedata

    ids = own.encode_data(text)
    assert own.decode(ids) == unicodedata.normalize("NFC", text)
    if not any(token in text for token in own.added):
        assert auto(text).input_ids == ids


def test_the_roles_of_its_tokens_are_those_of_qwen(auto: Any, own: Tokenizer) -> None:
    special = set(auto.all_special_tokens)
    assert {"<|im_end|>", "<|endoftext|>"} <= special
    assert auto.eos_token == "<|im_end|>"
    assert auto.decode(own.encode_template("<think>a</think><|im_end|>"), skip_special_tokens=True) == "<think>a</think>"
    assert set(own.added) == {*vocabulary.SPECIAL, *vocabulary.PLAIN}


def test_a_tokenizer_that_is_made_now_is_the_one_that_is_shipped() -> None:
    assert vocabulary.make_tokenizer().to_str() == (SHIPPED / "tokenizer.json").read_text(encoding="utf-8")


def test_a_name_is_read_as_its_three_syllables(own: Tokenizer) -> None:
    names = [f" {a}{b}{c}" for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES]
    assert sum(len(own.encode_data(name)) == NAME for name in names) > 0.99 * len(names)


def test_it_is_found_by_name(tmp_path: Any) -> None:
    (tmp_path / "a.txt").write_text("The code of litoba is 417.\n")
    plan = lc.plan(lc.read(tmp_path), "reference", store=False)
    assert plan.model == "reference"
    assert plan.files.folder == SHIPPED
    assert plan.fits
