"""How a model of Qwen's vision family is shown a picture or a temporal patch: sizes, placeholder tokens, patches, positions.

The format of Qwen3-VL and Qwen3.5 (transformers 5.23, models/qwen3_vl/processing_qwen3_vl.py, video_processing_qwen3_vl.py,
models/qwen2_vl/image_processing_qwen2_vl.py; positions: models/qwen3_5/modeling_qwen3_5.py, ``get_rope_index``), computed here
so that a plan needs no torch and a video is never held whole. Knows pixels and ids; no corpus is read and no model run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from longctx.corpus import Frame, Visual
from longctx.errors import ModelDamagedError
from longctx.stream.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Size = tuple[int, int]
Inputs = Mapping[str, "NDArray[Any]"]

#: Models whose format this is.
MODEL_TYPES = ("qwen3_5", "qwen3_5_moe", "qwen3_vl", "qwen3_vl_moe")
#: Pixels of a still picture at most, unless the user says otherwise: what a page of print needs to be read. 2,048 tokens.
MOST_PIXELS = 2_097_152
#: Pixels for each point of a page: 144 dots per inch.
PAGE_SCALE = 2
#: Longer than this by its width, a picture is shown as if it were less long; the models' processors refuse it.
MOST_ASPECT = 200


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that a model looks at: a picture, or a temporal patch of a video.

    Args:
        kind: as the model tells them apart.
        ids: all of its tokens: the time of a temporal patch, the start of vision, placeholders, the end of vision.
        lead: tokens before the first placeholder.
        count: tokens from the first to the last placeholder; a chunk never ends among them.
        grid: patches (in time, down, across), before they are merged; (1, 1, 1) where the model has no such thing.
        size: pixels (width, height).
        places: of the frames, as in :class:`longctx.corpus.Frame`; one for a picture.
        visual: where it comes from.
    """

    kind: Literal["image", "video"]
    ids: tuple[int, ...]
    lead: int
    count: int
    grid: tuple[int, int, int]
    size: Size
    places: tuple[float, ...]
    visual: Visual

    def __len__(self) -> int:
        return len(self.ids)


class VisionFormat(Protocol):
    """How one family of models is shown things. Other families' formats come from their own processors."""

    @property
    def name(self) -> str:
        """Part of a prefix's identity: whatever decides about the pixels that reach the model."""

    @property
    def frames(self) -> int:
        """Frames of one temporal patch."""

    def looks(self, visual: Visual) -> list[Look]:
        """What a model sees of a visual, in order."""

    def inputs(self, looks: Sequence[Look], frames: Sequence[Sequence[Frame]], starts: Sequence[int]) -> Inputs:
        """What the model's forward takes besides ids and positions, for looks that stand in one chunk.

        Args:
            looks: in their order.
            frames: of each look.
            starts: index in the prompt of the first placeholder of each look.
        """

    def positions(self, length: int, placed: Sequence[tuple[int, Look]]) -> NDArray[np.int64]:
        """The positions of a prompt's tokens: shape [axes, length].

        Args:
            length: tokens.
            placed: index of the first placeholder of each look, and the look.
        """


@dataclass(frozen=True)
class QwenVision:
    """The format of Qwen3-VL and Qwen3.5. Satisfies :class:`VisionFormat`.

    Args:
        tokenizer: of the model.
        ids: of the control tokens by role: ``vision_start``, ``vision_end``, ``image``, ``video``.
        patch: pixels of a patch's side.
        merge: patches that become one token, along each side.
        frames: frames of one temporal patch.
        mean: subtracted from pixels of 0 to 1, by colour.
        std: what they are then divided by.
        least_pixels: of a still picture.
        most_pixels: of a still picture.
    """

    tokenizer: Tokenizer
    ids: Mapping[str, int]
    patch: int = 16
    merge: int = 2
    frames: int = 2
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    least_pixels: int = 65_536
    most_pixels: int = MOST_PIXELS

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], processor: Mapping[str, Any], tokenizer: Tokenizer, *, most_pixels: int | None = None
    ) -> QwenVision:
        """Read a model's config.json and preprocessor_config.json (may be empty).

        Args:
            config: with ``vision_config`` and the ids of the control tokens.
            processor: with the sizes and the normalisation of pictures.
            tokenizer: of the model.
            most_pixels: of a still picture; None takes :data:`MOST_PIXELS`, or less where the model takes less.

        Raises:
            ModelDamagedError: the tokenizer lacks the control tokens of vision.
        """
        vision = config.get("vision_config") or {}
        size = processor.get("size") or {}
        stated = int(size.get("longest_edge") or 16_777_216)
        return cls(
            tokenizer=tokenizer,
            ids=_control_ids(config, tokenizer),
            patch=int(vision.get("patch_size") or 16),
            merge=int(vision.get("spatial_merge_size") or 2),
            frames=int(vision.get("temporal_patch_size") or 2),
            mean=tuple(processor.get("image_mean") or (0.5, 0.5, 0.5)),
            std=tuple(processor.get("image_std") or (0.5, 0.5, 0.5)),
            least_pixels=min(int(size.get("shortest_edge") or 65_536), most_pixels or stated),
            most_pixels=min(most_pixels or MOST_PIXELS, stated),
        )

    @property
    def step(self) -> int:
        """Pixels of a token's side; sizes are multiples of it."""
        return self.patch * self.merge

    @property
    def name(self) -> str:
        """Everything that decides about the pixels of a given size."""
        return f"qwen-{self.patch}-{self.merge}-{self.frames}-{self.mean}-{self.std}"

    def shown(self, visual: Visual) -> Size:
        """Pixels (width, height) at which a visual is shown: the plan's, or what the model's own processor would choose."""
        return visual.shown or smart_size(*natural_size(visual), self.step, self.least_pixels, self.most_pixels)

    def looks(self, visual: Visual) -> list[Look]:
        """A picture is one; frames are taken together by temporal patches, the last one repeated where it is alone."""
        width, height = self.shown(visual)
        if not visual.moving:
            return [self._look("image", "", (width, height), visual.places[:1], visual)]
        groups = [visual.places[i : i + self.frames] for i in range(0, len(visual.places), self.frames)]
        return [self._look("video", stamp(group, self.frames), (width, height), group, visual) for group in groups]

    def _look(self, kind: Literal["image", "video"], text: str, size: Size, places: tuple[float, ...], visual: Visual) -> Look:
        before = (*self.tokenizer.encode_data(text), self.ids["vision_start"])
        grid = (1, size[1] // self.patch, size[0] // self.patch)
        count = grid[1] * grid[2] // self.merge**2
        ids = (*before, *[self.ids[kind]] * count, self.ids["vision_end"])
        return Look(kind, ids, len(before), count, grid, size, places, visual)

    def inputs(self, looks: Sequence[Look], frames: Sequence[Sequence[Frame]], starts: Sequence[int] = ()) -> Inputs:
        """Patches and grids under the names of the model's forward, pictures and temporal patches apart."""
        import numpy as np

        found: dict[str, NDArray[Any]] = {}
        names: tuple[tuple[str, str, str], ...] = (
            ("image", "pixel_values", "image_grid_thw"),
            ("video", "pixel_values_videos", "video_grid_thw"),
        )
        for kind, pixels, grids in names:
            chosen = [(look, shown) for look, shown in zip(looks, frames, strict=True) if look.kind == kind]
            if chosen:
                found[pixels] = np.concatenate([self.patches([frame.pixels for frame in shown]) for _, shown in chosen])
                found[grids] = np.array([look.grid for look, _ in chosen], dtype=np.int64)
        return found

    def patches(self, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """The patches of one temporal patch, in the order in which the vision tower takes them.

        Args:
            frames: RGB, uint8, [height, width, 3], sides multiples of :attr:`step`; the last is repeated to fill a temporal
                patch.

        Returns:
            float32, [patches down x across, 3 x frames x patch x patch].
        """
        import numpy as np

        shown = [*frames, *[frames[-1]] * (self.frames - len(frames))]
        pixels = np.stack(shown).astype(np.float32)  # [time, height, width, colour]
        pixels -= np.array([255 * value for value in self.mean], dtype=np.float32)
        pixels /= np.array([255 * value for value in self.std], dtype=np.float32)
        down, across = pixels.shape[1] // self.step, pixels.shape[2] // self.step
        blocks = pixels.reshape(self.frames, down, self.merge, self.patch, across, self.merge, self.patch, 3)
        # to: down, across, within the merged token down and across, colour, time, row, column
        return blocks.transpose(1, 4, 2, 5, 7, 0, 3, 6).reshape(down * across * self.merge**2, -1)

    def positions(self, length: int, placed: Sequence[tuple[int, Look]]) -> NDArray[np.int64]:
        """Time, height and width of every token. What is looked at takes as many positions as its longer side has tokens."""
        return grid_positions(length, placed, self.merge)


def grid_positions(length: int, placed: Sequence[tuple[int, Look]], merge: int) -> NDArray[np.int64]:
    """Time, height and width of every token, [3, length], by the rule that Qwen's families and others share.

    Args:
        length: tokens.
        placed: index of the first placeholder of each look, and the look; its grid is 1 in time.
        merge: patches that become one token, along each side.
    """
    import numpy as np

    found = np.empty((3, length), dtype=np.int64)
    at, position = 0, 0
    for start, look in placed:
        found[:, at:start] = np.arange(position, position + start - at)
        position += start - at
        down, across = look.grid[1] // merge, look.grid[2] // merge
        stop = start + look.count
        found[0, start:stop] = position
        found[1, start:stop] = position + np.repeat(np.arange(down), across)
        found[2, start:stop] = position + np.tile(np.arange(across), down)
        position += max(down, across)
        at = stop
    found[:, at:] = np.arange(position, position + length - at)
    return found


def stamp(places: Sequence[float], frames: int) -> str:
    """The time of a temporal patch as the models were taught it: the middle between its first and its last frame.

    >>> stamp((0.0, 0.5), 2), stamp((7.0,), 2)
    ('<0.2 seconds>', '<7.0 seconds>')
    """
    last = places[-1] if len(places) < frames else places[frames - 1]
    return f"<{(places[0] + last) / 2:.1f} seconds>"


def smart_size(width: int, height: int, step: int, least: int, most: int) -> Size:
    """The size (width, height) that the models' own processor chooses: multiples of a step, within bounds of area.

    >>> smart_size(448, 256, 32, 65_536, 2_097_152), smart_size(10, 10, 32, 65_536, 2_097_152)
    ((448, 256), (256, 256))
    """
    height = max(height, math.ceil(width / MOST_ASPECT))
    width = max(width, math.ceil(height / MOST_ASPECT))
    across, down = round(width / step) * step, round(height / step) * step
    if across * down > most:
        shrink = math.sqrt(height * width / most)
        return (max(step, math.floor(width / shrink / step) * step), max(step, math.floor(height / shrink / step) * step))
    if across * down < least:
        grow = math.sqrt(least / (height * width))
        return (math.ceil(width * grow / step) * step, math.ceil(height * grow / step) * step)
    return across, down


def natural_size(visual: Visual) -> Size:
    """Pixels (width, height) of a visual at which nothing of it is lost; of a page those of 144 dots per inch."""
    scale = PAGE_SCALE if not visual.moving and visual.places[0] >= 1 else 1
    return visual.width * scale, visual.height * scale


def usual_tokens(visual: Visual) -> int:
    """Tokens that a still picture has in Qwen3.5's own format, start and end of vision included."""
    width, height = smart_size(*natural_size(visual), QwenVision.patch * QwenVision.merge, QwenVision.least_pixels, MOST_PIXELS)
    return width * height // (QwenVision.patch * QwenVision.merge) ** 2 + 2


def _control_ids(config: Mapping[str, Any], tokenizer: Tokenizer) -> dict[str, int]:
    tokens = {
        "vision_start": ("vision_start_token_id", "<|vision_start|>"),
        "vision_end": ("vision_end_token_id", "<|vision_end|>"),
        "image": ("image_token_id", "<|image_pad|>"),
        "video": ("video_token_id", "<|video_pad|>"),
    }
    stated = {role: config.get(key, tokenizer.added.get(text)) for role, (key, text) in tokens.items()}
    missing = [tokens[role][1] for role, number in stated.items() if number not in tokenizer.added.values()]
    if missing:
        raise ModelDamagedError(
            f"{tokenizer.name}: its tokenizer lacks {missing[0]}, with which pictures are shown to the model",
            hint="fetch the model again, with all of its files",
        )
    return {role: int(number) for role, number in stated.items() if number is not None}
