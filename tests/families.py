"""Tiny random models of other vision families, with their own processors around the tests' tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf

TEXT = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 16, "vocab_size": 512, "max_position_embeddings": 4096, "tie_word_embeddings": True, "pad_token_id": 0,
}  # fmt: skip
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 14}


def rust(document: str, *tokens: str) -> tuple[Any, dict[str, int]]:
    """A tokenizer with more control tokens, and their ids."""
    from tokenizers import Tokenizer as Rust

    made = Rust.from_str(document)
    made.add_special_tokens(list(tokens))
    return made, {token: made.token_to_id(token) for token in tokens}


def wrapped(made: Any, **named: str) -> Any:
    ends = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return hf.PreTrainedTokenizerFast(tokenizer_object=made, extra_special_tokens=named, **ends)


def llava(document: str) -> tuple[Any, Any]:
    made, ids = rust(document, "<image>")
    images = hf.CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    shape = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    processor = hf.LlavaProcessor(images, wrapped(made), image_token="<image>", **shape)
    vision = hf.CLIPVisionConfig(**TOWER, image_size=56)
    config = hf.LlavaConfig(vision_config=vision, text_config=hf.LlamaConfig(**TEXT), image_token_index=ids["<image>"])
    return hf.LlavaForConditionalGeneration(config), processor


def gemma3(document: str) -> tuple[Any, Any]:
    made, ids = rust(document, "<image_soft_token>", "<start_of_image>", "<end_of_image>")
    named = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    images = hf.Gemma3ImageProcessor(size={"height": 112, "width": 112}, do_pan_and_scan=False)
    processor = hf.Gemma3Processor(images, wrapped(made, **named), image_seq_length=16)
    layers = ["sliding_attention", "full_attention", "sliding_attention"]
    config = hf.Gemma3Config(
        text_config=hf.Gemma3TextConfig(**TEXT, sliding_window=24, layer_types=layers),
        vision_config=hf.SiglipVisionConfig(**TOWER, image_size=112, vision_use_head=False),
        mm_tokens_per_image=16,
        boi_token_index=ids["<start_of_image>"],
        eoi_token_index=ids["<end_of_image>"],
        image_token_index=ids["<image_soft_token>"],
    )
    model = hf.Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.5)  # zeros see nothing
    return model, processor


def idefics3(document: str) -> tuple[Any, Any]:
    rows = [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
    made, ids = rust(document, "<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *rows)
    images = hf.Idefics3ImageProcessor(size={"longest_edge": 112}, max_image_size={"longest_edge": 56})
    processor = hf.Idefics3Processor(images, wrapped(made), image_seq_len=4)
    config = hf.Idefics3Config(
        text_config=hf.LlamaConfig(**TEXT),
        vision_config={**TOWER, "image_size": 56, "model_type": "idefics3_vision"},
        image_token_id=ids["<image>"],
        scale_factor=2,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    return hf.Idefics3ForConditionalGeneration(config), processor


def qwen2_5_vl(document: str) -> tuple[Any, Any]:
    made, _ = rust(document)
    images = hf.Qwen2VLImageProcessor(size={"shortest_edge": 784, "longest_edge": 28 * 28 * 64})
    videos = hf.Qwen2VLVideoProcessor()
    processor = hf.Qwen2_5_VLProcessor(images, wrapped(made), videos)
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    config = hf.Qwen2_5_VLConfig(
        text_config={**TEXT, "rope_parameters": rope},
        vision_config={**vision, "fullatt_block_indexes": [1], "window_size": 56},
        **{
            name: made.token_to_id(token)
            for name, token in [
                ("vision_start_token_id", "<|vision_start|>"), ("vision_end_token_id", "<|vision_end|>"),
                ("image_token_id", "<|image_pad|>"), ("video_token_id", "<|video_pad|>"),
            ]
        },
        tie_word_embeddings=True,
    )  # fmt: skip
    return hf.Qwen2_5_VLForConditionalGeneration(config), processor


def mistral3(document: str) -> tuple[Any, Any]:
    made, ids = rust(document, "[IMG]", "[IMG_BREAK]", "[IMG_END]")
    images = hf.PixtralImageProcessor(size={"longest_edge": 112}, patch_size={"height": 14, "width": 14})
    processor = hf.PixtralProcessor(images, wrapped(made), patch_size=14, spatial_merge_size=2)
    config = hf.Mistral3Config(
        vision_config=hf.PixtralVisionConfig(**TOWER, image_size=112, head_dim=16),
        text_config=hf.MistralConfig(**TEXT, sliding_window=None),
        image_token_index=ids["[IMG]"],
        spatial_merge_size=2,
        vision_feature_layer=-1,
    )
    return hf.Mistral3ForConditionalGeneration(config), processor


def llava_onevision(document: str) -> tuple[Any, Any]:
    made, ids = rust(document, "<image>", "<video>")
    grid = [[56, 112], [112, 56], [112, 112]]
    images = hf.LlavaOnevisionImageProcessor(size={"height": 56, "width": 56}, image_grid_pinpoints=grid)
    shape = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
    processor = hf.LlavaOnevisionProcessor(images, wrapped(made), hf.LlavaOnevisionVideoProcessor(), **shape)
    config = hf.LlavaOnevisionConfig(
        vision_config=hf.SiglipVisionConfig(**TOWER, image_size=56, vision_use_head=False),
        text_config=hf.Qwen2Config(**TEXT),
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
        image_grid_pinpoints=grid,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    return hf.LlavaOnevisionForConditionalGeneration(config), processor


def internvl(document: str) -> tuple[Any, Any]:
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    made, ids = rust(document, *named.values(), "<video>")
    images = hf.GotOcr2ImageProcessor(size={"height": 56, "width": 56}, crop_to_patches=True, min_patches=1, max_patches=4)
    tokenizer = wrapped(made, **named, video_token="<video>")
    processor = hf.InternVLProcessor(images, tokenizer, hf.InternVLVideoProcessor(), image_seq_length=4)
    config = hf.InternVLConfig(
        vision_config={**TOWER, "image_size": [56, 56], "patch_size": [14, 14]},
        text_config=hf.Qwen2Config(**TEXT),
        image_token_id=ids["<IMG_CONTEXT>"],
        image_seq_length=4,
    )
    return hf.InternVLForConditionalGeneration(config), processor


def gemma4(document: str) -> tuple[Any, Any]:
    named = {f"{name}_token": f"<{name}>" for name in ("image", "boi", "eoi", "audio", "boa", "eoa")}
    made, ids = rust(document, *named.values(), "<|video|>")
    parts = (hf.Gemma4AudioFeatureExtractor(), hf.Gemma4ImageProcessor(max_soft_tokens=70), wrapped(made, **named))
    processor = hf.Gemma4Processor(*parts, hf.Gemma4VideoProcessor(), image_seq_length=70)
    text = {
        **TEXT, "num_hidden_layers": 4, "layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 24,
        "use_bidirectional_attention": "vision", "vocab_size_per_layer_input": 512, "hidden_size_per_layer_input": 8,
        "global_head_dim": 16,
    }  # fmt: skip
    tower = {**TOWER, "patch_size": 16, "head_dim": 16, "num_key_value_heads": 2, "position_embedding_size": 64}
    config = hf.Gemma4Config(
        text_config=hf.Gemma4TextConfig(**text),
        vision_config=hf.Gemma4VisionConfig(**tower),
        audio_config=None,
        **{f"{name}_token_id": ids[f"<{name}>"] for name in ("image", "boi", "eoi", "audio")},
        video_token_id=ids["<|video|>"],
    )
    return hf.Gemma4ForConditionalGeneration(config), processor


#: A model and its processor by family, from the JSON of a tokenizer.
FAMILIES: dict[str, Callable[[str], tuple[Any, Any]]] = {
    made.__name__: made for made in (llava, gemma3, idefics3, qwen2_5_vl, mistral3, llava_onevision, internvl, gemma4)
}
