"""Pictures for every family whose format is not computed by ourselves: by the model's own processor, picture by picture.

Knows pixels, ids and the processor in a model's folder; runs no model. A video's frames are pictures after their time.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers

from longctx.backends.transformers.weights import quiet
from longctx.corpus import Frame, Visual
from longctx.errors import LongctxError, MissingPackageError, ModelDamagedError, ModelError
from longctx.stream.tokenizer import Tokenizer
from longctx.stream.vision import MOST_PIXELS, Inputs, Look, Size, grid_positions, natural_size, stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Families whose pictures take positions in time, height and width, all by the same rule: get_rope_index of models/qwen2_vl,
#: qwen2_5_vl, glm4v, glm4v_moe, glm46v, glm_ocr and paddleocr_vl (transformers 5.23). Their videos differ; ours are pictures.
THREE_AXES = frozenset({"qwen2_vl", "qwen2_5_vl", "glm4v", "glm4v_moe", "glm46v", "glm_ocr", "paddleocr_vl"})
#: Families in which the tokens of one picture see each other in both directions, and the argument that says which they are.
BOTH_WAYS = {"gemma3": "token_type_ids", "gemma4": "mm_token_type_ids"}
#: Families that cannot read a prompt with pictures in chunks: their pictures see text that follows, or each other, in both
#: directions; or stand beside the prompt instead of in it; or need arguments for the prompt as a whole; or answer no questions.
UNSUITED = frozenset({
    "blip", "blip-2", "cohere_compass", "deepseek_ocr2", "diffusion_gemma", "emu3", "evolla", "fuyu", "gemma4_unified", "git",
    "idefics", "instructblip", "instructblipvideo", "kosmos-2", "kosmos-2.5", "mllama", "molmo2", "paligemma", "pi0",
    "pix2struct", "shieldgemma2", "udop", "unlimited_ocr", "video_llava",
})  # fmt: skip
#: Arguments that belong to the tokens; the engine gives its own.
_OF_TOKENS = frozenset({"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"})
#: What stands around a picture by the chat template and not by the processor: fields of config.json.
_AROUND = (("vision_start_token_id", "vision_end_token_id"), ("image_start_token_id", "image_end_token_id"))
#: Processors refuse a picture that is thinner, or longer by its width, than this.
_LEAST_SIDE, _MOST_ASPECT = 28, 100


@dataclass(frozen=True)
class _Shape:
    """The tokens of a picture of some size: ids, those before the first placeholder, those from it to the last one."""

    ids: tuple[int, ...]
    lead: int
    count: int
    grid: tuple[int, int, int]


class ProcessorVision:
    """The format of a family by its own processor. Satisfies :class:`longctx.stream.VisionFormat`.

    Args:
        folder: of the model: config.json, the processor's and the tokenizer's files.
        tokenizer: of the model.
        name: of the model, for messages.
        most_pixels: of a picture, before the processor makes of it what it will.

    Raises:
        ModelDamagedError: the folder has no processor of pictures, or a part of it is missing or unreadable.
        ModelError: the family is shown pictures in a way that cannot be read in chunks.
        MissingPackageError: the processor needs a package that is not installed.
    """

    #: Frames of one temporal patch: each is a picture.
    frames = 1

    def __init__(self, folder: Path, tokenizer: Tokenizer, *, name: str, most_pixels: int = MOST_PIXELS) -> None:
        self._folder = folder
        self._tokenizer = tokenizer
        self._model = name
        self._most_pixels = most_pixels
        self._shapes: dict[Size, _Shape] = {}
        with self._translated("cannot be loaded"):
            self._config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            self._family: str = self._config.model_type
            self._check_family()
            self._processor: Any = transformers.AutoProcessor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        self._check_processor()
        self._placeholder = int(self._config.image_token_id)

    @property
    def name(self) -> str:
        """Everything that decides about the pixels of a given size."""
        settings = json.dumps(self._processor.image_processor.to_dict(), sort_keys=True, default=str)
        digest = hashlib.sha256(settings.encode()).hexdigest()[:16]
        return f"{type(self._processor).__name__}-{transformers.__version__}-{digest}"

    def shown(self, visual: Visual) -> Size:
        """Pixels (width, height) of what the processor is given: the plan's, or those of the original within bounds."""
        return visual.shown or _bounded(*natural_size(visual), self._most_pixels)

    def looks(self, visual: Visual) -> list[Look]:
        """A picture is one; each frame of a video is one, after the text of its time."""
        size = self.shown(visual)
        if not visual.moving:
            return [self._look("", size, visual.places[0], visual)]
        return [self._look(stamp((place,), 1), size, place, visual) for place in visual.places]

    def inputs(self, looks: Sequence[Look], frames: Sequence[Sequence[Frame]], starts: Sequence[int] = ()) -> Inputs:
        """What the processor makes of the pictures of one chunk, joined by itself, under the names of the model's forward.

        Args:
            looks: in their order.
            frames: of each look.
            starts: index in the prompt of the first placeholder of each; needed where a picture is seen in both directions.

        Raises:
            ModelDamagedError: the processor fails, or makes other tokens of the pictures together than of each.
        """
        batch = self._run([frame.pixels for shown in frames for frame in shown])
        given = int((batch["input_ids"] == self._placeholder).sum())
        if given != (wanted := sum(look.ids.count(self._placeholder) for look in looks)):
            raise self._damaged(f"made {given:,} tokens of {len(looks)} pictures, where {wanted:,} were planned")
        found = {key: _array(value) for key, value in batch.items() if key not in _OF_TOKENS}
        if kind := self._both_ways:
            found[kind] = self._types(looks, starts)
        return found

    def positions(self, length: int, placed: Sequence[tuple[int, Look]]) -> NDArray[np.int64]:
        """The positions of a prompt's tokens, [axes, length]: their numbers; time, height and width where a family has such."""
        if self._family not in THREE_AXES:
            return np.arange(length, dtype=np.int64)[np.newaxis]
        return grid_positions(length, placed, int(self._config.vision_config.spatial_merge_size))

    # -- one picture ---------------------------------------------------------------------------------------------------
    def _look(self, text: str, size: Size, place: float, visual: Visual) -> Look:
        shape = self._shapes.get(size)
        if shape is None:
            shape = self._shapes[size] = self._shape(size)
        time = self._tokenizer.encode_data(text)
        return Look("image", (*time, *shape.ids), len(time) + shape.lead, shape.count, shape.grid, size, (place,), visual)

    def _shape(self, size: Size) -> _Shape:
        """What the processor makes of a blank picture of this size."""
        batch = self._run([np.zeros((size[1], size[0], 3), dtype=np.uint8)])
        ids = self._set_off(batch["input_ids"][0].tolist())
        places = [index for index, number in enumerate(ids) if number == self._placeholder]
        if not places or max(ids) >= self._tokenizer.vocab_size:
            raise self._damaged(f"gives no tokens that its model knows for a picture of {size[0]} x {size[1]} pixels")
        grid = batch["image_grid_thw"][0].tolist() if self._family in THREE_AXES else (1, 1, 1)
        return _Shape(ids, places[0], places[-1] + 1 - places[0], tuple(grid))

    def _run(self, pictures: Sequence[NDArray[np.uint8]]) -> Mapping[str, Any]:
        """The processor's whole output for so many pictures in one prompt."""
        with self._translated("cannot be shown pictures"):
            batch: Mapping[str, Any] = self._processor(
                text=[self._processor.image_token * len(pictures)],
                images=list(pictures),
                add_special_tokens=False,
                input_data_format="channels_last",
                return_tensors="pt",
            )
        return batch

    @property
    def _both_ways(self) -> str | None:
        """The argument that says which tokens see each other in both directions, where the model has such."""
        text = self._config.get_text_config()
        causal = self._family == "gemma4" and text.use_bidirectional_attention != "vision"
        return None if causal else BOTH_WAYS.get(self._family)

    def _types(self, looks: Sequence[Look], starts: Sequence[int]) -> NDArray[np.int64]:
        """1 for placeholders, 0 for others, from the start of the prompt to the last placeholder of this chunk: the models
        read them by position. Earlier pictures need no mark, for no token of this chunk is part of them."""
        types = np.zeros((1, starts[-1] + looks[-1].count), dtype=np.int64)
        for start, look in zip(starts, looks, strict=True):
            ids = look.ids[look.lead : look.lead + look.count]
            types[0, start : start + look.count] = [number == self._placeholder for number in ids]
        return types

    # -- what the folder has -------------------------------------------------------------------------------------------
    def _check_family(self) -> None:
        models = transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        fit = self._family not in UNSUITED and not self._config.is_encoder_decoder and type(self._config) in models
        if not fit or (self._family not in THREE_AXES and _counts_otherwise(models[type(self._config)])):
            raise ModelError(
                f"{self._model}: pictures cannot be shown to models of the family {self._family!r} here",
                hint="choose another model, or leave pictures and videos out",
            )

    def _check_processor(self) -> None:
        lacking = [part for part in ("tokenizer", "image_processor") if getattr(self._processor, part, None) is None]
        if lacking:
            raise self._damaged(f"has no {lacking[0].replace('_', ' ')}")
        if not isinstance(getattr(self._processor, "image_token", None), str):
            raise self._damaged("has no token for a picture")
        if not isinstance(getattr(self._config, "image_token_id", None), int):
            raise self._damaged("belongs to a config.json without image_token_id")

    def _set_off(self, ids: list[int]) -> tuple[int, ...]:
        """The tokens of a picture with the start and the end that the chat template writes where the processor does not."""
        known = set(self._tokenizer.added.values()).difference(ids)
        for names in _AROUND:
            start, end = (getattr(self._config, name, None) for name in names)
            if start in known and end in known:
                return (start, *ids, end)
        return tuple(ids)

    def _damaged(self, what: str) -> ModelDamagedError:
        return ModelDamagedError(
            f"{self._model}: the processor in {self._folder} {what}",
            hint="fetch the model again, with all of its files; or leave pictures and videos out",
        )

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Foreign errors as our own, and no chatter."""
        try:
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except LongctxError:
            raise
        except ImportError as error:
            raise MissingPackageError(
                f"{self._model}: its processor needs a package: {_first_line(error)}", hint="install that package with pip"
            ) from error
        except Exception as error:  # processors are many, and each fails in its own way
            raise self._damaged(f"{what}: {_first_line(error)}") from error


def _bounded(width: int, height: int, most: int) -> Size:
    """The size (width, height) in which the area is within bounds, and no side too thin for a processor.

    >>> _bounded(640, 480, 2_097_152), _bounded(4000, 4000, 1_000_000), _bounded(1, 1000, 2_097_152)
    ((640, 480), (1000, 1000), (28, 2800))
    """
    wide, high = max(width, height / _MOST_ASPECT), max(height, width / _MOST_ASPECT)
    grow = max(1, _LEAST_SIDE / min(wide, high))
    scale = min(grow, math.sqrt(most / (wide * high)))
    return max(1, round(wide * scale)), max(1, round(high * scale))


def _counts_otherwise(model: type) -> bool:
    """Whether a model gives pictures positions by a rule of its own."""
    return any(hasattr(part, "get_rope_index") for part in vars(sys.modules[model.__module__]).values())


def _array(value: Any) -> NDArray[Any]:
    array: NDArray[Any] = value.numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    return array


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
