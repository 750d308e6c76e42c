"""Models whose state longctx does not know: right logits, nothing used again, and a word about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from longctx.backends.base import Sampling
from longctx.backends.transformers import unknown
from longctx.errors import Stopped
from tests.backends.test_engine import TOLERANCE, backend, job, reference, tokens

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 512}
BLOCK = {"intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
#: One with a state of its own, one with a cache of its own, and two that read a second chunk as if there were no first.
UNKNOWN: dict[str, dict[str, Any]] = {
    "rwkv": {"attention_hidden_size": 64, "context_length": 512},
    "minimax": {**BLOCK, "num_hidden_layers": 4},
    "mamba": {"state_size": 8},
    "recurrent_gemma": {**BLOCK, "num_key_value_heads": 1, "num_hidden_layers": 3, "lru_width": 64},
}
KNOWN: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 512},
    "jamba": {**BLOCK, "num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
}
GREEDY = Sampling(temperature=0, max_tokens=8)


def made(kind: str, sizes: dict[str, Any], folder: Path) -> Path:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SMALL, **sizes})).save_pretrained(folder / kind)
    return folder / kind


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_model_with_a_state_of_an_unknown_kind_answers_as_one_forward_and_says_why_nothing_was_reused(
    kind: str, tmp_path: Path
) -> None:
    engine, ids = backend(made(kind, UNKNOWN[kind], tmp_path), tmp_path, prefix_folder=tmp_path / "prefixes"), tokens(150)
    for prompt in (ids, [*ids[:120], *ids[:20]]):
        reuse = engine.prefill(prompt, job(), marks=(120,))
        assert (reuse.tokens, reuse.source) == (0, "none")
        assert kind in reuse.miss_reason
        assert "not known here" in reuse.miss_reason
        assert (engine.logits - reference(engine, prompt)).abs().max() < TOLERANCE
    said = list(engine.decode(GREEDY, [], job()))
    with torch.inference_mode():
        for count in range(8):
            assert said[count] == int(reference(engine, [*prompt, *said[:count]]).argmax())
    assert not list((tmp_path / "prefixes").glob("*")), "what cannot be taken up again was kept"


def test_a_stop_leaves_a_state_that_goes_on_there_too(tmp_path: Path) -> None:
    engine, ids, stopping = backend(made("rwkv", UNKNOWN["rwkv"], tmp_path), tmp_path), tokens(60), job()
    engine.prefill(ids, job())
    decoding = engine.decode(GREEDY, [], stopping)
    next(decoding)
    stopping.cancel()
    with pytest.raises(Stopped):
        next(decoding)
    engine.prefill(ids[:40], job())
    assert (engine.logits - reference(engine, ids[:40])).abs().max() < TOLERANCE


@pytest.mark.parametrize("kind", KNOWN)
def test_an_architecture_that_goes_on_as_it_should_is_reused(kind: str, tmp_path: Path) -> None:
    engine, ids = backend(made(kind, KNOWN[kind], tmp_path), tmp_path), tokens(150)
    engine.prefill(ids, job(), marks=(120,))
    prompt = [*ids[:120], *ids[:20]]
    assert engine.prefill(prompt, job(), marks=(120,)).tokens == 120
    assert (engine.logits - reference(engine, prompt)).abs().max() < TOLERANCE


def test_layers_that_cannot_be_kept_on_disk_are_reused_in_memory_and_named_in_a_new_process(tmp_path: Path) -> None:
    sizes = {**BLOCK, "mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8}
    folder, ids = made("falcon_h1", sizes, tmp_path), tokens(150)
    for _ in range(2):
        engine = backend(folder, tmp_path, prefix_folder=tmp_path / "prefixes")
        reuse = engine.prefill(ids, job(), marks=(120,))
        assert (reuse.tokens, reuse.miss_reason) == (0, "layers of this kind cannot be kept on disk")
    assert engine.prefill([*ids[:120], 5, 6], job(), marks=(120,)).tokens == 120


@pytest.mark.parametrize("kind", [kind for kind in sorted(unknown.TRIED) if kind not in ("qwen3_5", "qwen3_5_moe", "gemma3")])
def test_what_counts_as_tried_really_goes_on(kind: str) -> None:
    torch.manual_seed(0)
    more = {"n_embd": 64, "n_layer": 2, "n_head": 4} if kind == "gpt2" else {**BLOCK, "pad_token_id": 0}
    layers = 4 if kind.startswith("qwen3_") else 2
    config = AutoConfig.for_model(kind, **{**SMALL, "num_hidden_layers": layers, **more})
    assert unknown._goes_on(AutoModelForCausalLM.from_config(config).eval())


def test_a_chunk_that_does_not_see_the_first_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **SMALL, **BLOCK)).eval()
    assert unknown._goes_on(model)

    class Blind:
        """Gives every chunk an empty cache."""

        def __init__(self, config: Any, device: Any) -> None:
            pass

        @property
        def cache(self) -> DynamicCache:
            return DynamicCache()

    monkeypatch.setattr(unknown, "State", Blind)
    assert not unknown._goes_on(model)
