"""Pictures and temporal patches against transformers' own processor and model, for the same frames."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from longctx.corpus import Corpus as MadeCorpus
from longctx.corpus import Cue, Footage, Frame, Moment, Page, Segment, Source, Visual
from longctx.errors import FramesLostError, ModelDamagedError, SourceChangedError
from longctx.prompts import Frame as Framing
from longctx.stream import QwenVision, Shown, Sight, Tokenizer, build, sampled
from longctx.stream.sampling import choose
from longctx.stream.vision import smart_size, stamp
from tests.conftest import VISION_TOKENS
from tests.pictures import Noise


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer: str) -> Tokenizer:
    return Tokenizer.from_json(tiny_tokenizer)


@pytest.fixture(scope="module")
def config(tokenizer: Tokenizer) -> dict[str, Any]:
    return {role: tokenizer.added[text] for role, text in VISION_TOKENS.items()}


@pytest.fixture(scope="module")
def vision(config: dict[str, Any], tokenizer: Tokenizer) -> QwenVision:
    return QwenVision.from_config(config, {}, tokenizer)


@pytest.fixture(scope="module")
def processor(tiny_tokenizer: str) -> Any:
    from tokenizers import Tokenizer as Rust
    from transformers import PreTrainedTokenizerFast, Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    made = PreTrainedTokenizerFast(tokenizer_object=Rust.from_str(tiny_tokenizer), eos_token="<|im_end|>")
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    size = {"shortest_edge": 65536, "longest_edge": 16777216}
    images = Qwen2VLImageProcessor(patch_size=16, merge_size=2, temporal_patch_size=2, size=size, **half)
    videos = Qwen3VLVideoProcessor(size={"shortest_edge": 4096, "longest_edge": 25165824}, cap_pixels_per_frame=False, **half)
    return Qwen3VLProcessor(image_processor=images, tokenizer=made, video_processor=videos)


def still(medium: Noise, width: int, height: int) -> Visual:
    return Visual(medium, (0.0,), width, height)


def frames_of(look: Any) -> list[Frame]:
    medium = look.visual.medium
    return [Frame(place, medium.pixels(place, *look.size)) for place in look.places]


def ids_of(look: Any) -> list[int]:
    return list(look.ids)


@pytest.mark.parametrize("size", [(256, 256), (448, 256), (320, 640), (1024, 64)])
def test_a_picture_is_what_the_processor_makes_of_it(size: tuple[int, int], vision: QwenVision, processor: Any) -> None:
    (look,) = vision.looks(still(Noise(), *size))
    assert look.size == size
    pixels = torch.from_numpy(Noise().pixels(0.0, *size)).permute(2, 0, 1)
    text = "<|vision_start|><|image_pad|><|vision_end|>"
    theirs = processor(text=[text], images=[pixels], return_tensors="pt")
    ours = vision.inputs([look], [frames_of(look)])
    assert ids_of(look) == theirs["input_ids"][0].tolist()
    assert ours["image_grid_thw"].tolist() == theirs["image_grid_thw"].tolist()
    assert np.array_equal(ours["pixel_values"], theirs["pixel_values"].numpy())


@pytest.mark.parametrize("count", [2, 5, 8])
def test_a_video_is_what_the_processor_makes_of_it(count: int, vision: QwenVision, processor: Any) -> None:
    times = tuple(2.0 * i for i in range(count))
    visual = Visual(Noise(), times, 160, 96, moving=True, shown=(160, 96))
    looks = vision.looks(visual)
    video = torch.stack([torch.from_numpy(Noise().pixels(t, 160, 96)).permute(2, 0, 1) for t in times])
    told = {"fps": 0.5, "frames_indices": list(range(count)), "total_num_frames": count, "duration": 2.0 * count}
    theirs = processor(
        text=["<|vision_start|><|video_pad|><|vision_end|>"],
        videos=[video],
        video_metadata=[told],
        do_sample_frames=False,
        return_tensors="pt",
    )
    ours = vision.inputs(looks, [frames_of(look) for look in looks])
    # The processor leaves the markers around its place for a video in; the model cards' template writes none.
    expected = theirs["input_ids"][0].tolist()
    got = [number for look in looks for number in ids_of(look)]
    start, end = vision.ids["vision_start"], vision.ids["vision_end"]
    assert got == expected or [start, *got, end] == expected
    assert [[len(looks), *looks[0].grid[1:]]] == theirs["video_grid_thw"].tolist()
    assert np.array_equal(ours["pixel_values_videos"], theirs["pixel_values_videos"].numpy())


def test_sizes_are_those_of_the_processor() -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    rng = np.random.default_rng(0)
    for _ in range(500):
        width, height = (int(x) for x in rng.integers(20, 5000, 2))
        theirs = smart_resize(height, width, 32, 65_536, 2_097_152)
        assert smart_size(width, height, 32, 65_536, 2_097_152) == theirs[::-1], (width, height)


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (30_000, 30_000), (100_000, 3)])
def test_an_extreme_picture_has_a_size_that_can_be_shown(size: tuple[int, int]) -> None:
    width, height = smart_size(*size, 32, 65_536, 2_097_152)
    assert width % 32 == height % 32 == 0
    assert 0 < width * height <= 2_200_000


def test_positions_are_those_of_the_model(vision: QwenVision, tiny_models: Any) -> None:
    from transformers import Qwen3_5ForConditionalGeneration

    model = Qwen3_5ForConditionalGeneration.from_pretrained(tiny_models("qwen3_5"))
    clip = Visual(Noise(), (0.0, 1.0, 2.0, 3.0), 96, 64, moving=True, shown=(96, 64))
    looks = [*vision.looks(still(Noise(), 320, 256)), *vision.looks(clip)]
    ids, placed, kinds = [5, 6, 7], [], [0, 0, 0]
    for look in looks:
        placed.append((len(ids) + look.lead, look))
        ids += ids_of(look)
        kinds += (
            [0] * look.lead
            + [{"image": 1, "video": 2}[look.kind]] * look.count
            + [0] * (len(look.ids) - look.lead - look.count)
        )
    ids, kinds = [*ids, 8, 9], [*kinds, 0, 0]
    theirs, delta = model.model.get_rope_index(
        torch.tensor([ids]),
        torch.tensor([kinds]),
        image_grid_thw=torch.tensor([looks[0].grid]),
        video_grid_thw=torch.tensor([[2, *looks[1].grid[1:]]]),
    )
    ours = vision.positions(len(ids) + 1, placed)
    assert np.array_equal(ours[:, :-1], theirs[:, 0].numpy())
    assert ours[:, -1].tolist() == [len(ids) + int(delta)] * 3


def test_the_time_of_a_temporal_patch_is_between_its_frames_own_times() -> None:
    assert stamp((1.0, 2.0), 2) == "<1.5 seconds>"
    assert stamp((3661.04,), 2) == "<3661.0 seconds>"


def test_a_tokenizer_without_vision_tokens_is_an_error_of_the_model(config: dict[str, Any], tiny_tokenizer: str) -> None:
    document = json.loads(tiny_tokenizer)
    document["added_tokens"] = [t for t in document["added_tokens"] if t["content"] != "<|video_pad|>"]
    with pytest.raises(ModelDamagedError, match="video_pad"):
        QwenVision.from_config({}, {}, Tokenizer.from_json(json.dumps(document)))


# -- in the stream -----------------------------------------------------------------------------------------------------
def source(*segments: Segment, path: str = "a.mp4", footage: Footage | None = None) -> Source:
    return Source(path, f"/tmp/{path}", "video", 1, "s", segments, footage=footage)


def corpus(medium: Noise) -> MadeCorpus:
    clip = Visual(medium, (0.0, 1.0, 2.0, 3.0), 640, 360, moving=True, at=6, shown=(96, 64))
    later = Visual(medium, (4.0, 5.0), 640, 360, moving=True, at=6, shown=(96, 64))
    picture = Segment("", Page("p.png", 1, picture=True), visuals=(still(Noise("p"), 64, 64),))
    return MadeCorpus(
        (
            source(
                Segment("hello\nbye\n", Moment("a.mp4", 0, 4), visuals=(clip,)),
                Segment("so it\nends\n", Moment("a.mp4", 4, 6), visuals=(later,)),
            ),
            source(picture, path="p.png"),
        ),
        (),
    )


def test_every_token_of_a_frame_leads_to_its_seconds(tokenizer: Tokenizer, vision: QwenVision) -> None:
    stream = build(corpus(Noise()), tokenizer, Framing(), vision=vision)
    assert [look.kind for _, look in stream.looks] == ["video", "video", "video", "image"]
    for start, look in stream.looks[:3]:
        assert stream.ids[start : start + look.count].tolist() == [vision.ids["video"]] * look.count
        for index in range(start - look.lead, start + look.count + 1):
            assert stream.origin(index) == Moment("a.mp4", look.places[0], look.places[1])
    assert stream.origin(stream.looks[3][0]) == Page("p.png", 1, picture=True)


def test_text_before_and_after_a_picture_stands_before_and_after_it(tokenizer: Tokenizer, vision: QwenVision) -> None:
    stream = build(corpus(Noise()), tokenizer, Framing(), vision=vision)
    spoken = [tokenizer.decode(stream.ids[s.start : s.stop]) if s.look is None else s.look.places for s in stream.spans]
    assert spoken[1:6] == ["\n<seg 1 00:00:00-00:00:04>\n", "hello\n", (0.0, 1.0), (2.0, 3.0), "bye\n"]


def test_a_model_that_cannot_see_gets_the_text_alone(tokenizer: Tokenizer) -> None:
    stream = build(corpus(Noise()), tokenizer, Framing())
    assert not stream.looks
    assert "hello\nbye" in tokenizer.decode(stream.ids)


def test_choosing_segments_keeps_their_frames_and_counts_their_tokens(tokenizer: Tokenizer, vision: QwenVision) -> None:
    whole = build(corpus(Noise()), tokenizer, Framing(), vision=vision)
    for chosen in ({1}, {2}, {1, 3}, {1, 2, 3}):
        part = whole.select(chosen)
        assert sum(part.tokens_per_segment.values()) == sum(whole.tokens_per_segment[n] for n in chosen)
        for start, look in part.looks:
            assert part.ids[start : start + look.count].tolist() == list(look.ids[look.lead : look.lead + look.count])
    assert whole.select({1, 2, 3}).ids.tolist() == whole.ids.tolist()
    assert sum(whole.tokens_per_source.values()) == len(whole)


def test_a_subtitle_cannot_pose_as_a_time(tokenizer: Tokenizer, vision: QwenVision) -> None:
    frame = Framing()
    assert frame.escape("<3.0 seconds>") != "<3.0 seconds>"
    assert frame.unescape(frame.escape("<3.0 seconds>")) == "<3.0 seconds>"


# -- decoding ----------------------------------------------------------------------------------------------------------
def sight(medium: Noise, tokenizer: Tokenizer, vision: QwenVision) -> Sight:
    stream = build(corpus(medium), tokenizer, Framing(), vision=vision)
    return Sight(stream.looks, vision, ["a.mp4"] * 3 + ["p.png"])


def go_on() -> None:
    pass


def test_a_video_is_read_once_and_no_further_than_it_is_asked_for(tokenizer: Tokenizer, vision: QwenVision) -> None:
    medium = Noise()
    made = sight(medium, tokenizer, vision)
    first = made.inputs(0, 1, go_on)
    assert medium.given == 2
    both = made.inputs(1, 3, go_on)
    assert medium.asked == [(0.0, 1.0, 2.0, 3.0, 4.0, 5.0)]
    assert len(both["pixel_values_videos"]) == 2 * len(first["pixel_values_videos"])
    again = made.inputs(0, 1, go_on)
    assert np.array_equal(again["pixel_values_videos"], first["pixel_values_videos"])


def test_frames_that_cannot_be_decoded_are_named_all_at_once(tokenizer: Tokenizer, vision: QwenVision) -> None:
    made = sight(Noise(missing=(1.0, 4.0)), tokenizer, vision)
    with pytest.raises(FramesLostError) as caught:
        made.inputs(0, 2, go_on)
    assert caught.value.places == (1.0, 4.0)


def test_a_picture_that_is_gone_is_an_error_of_its_source(tokenizer: Tokenizer, vision: QwenVision) -> None:
    look = vision.looks(still(Noise(missing=(0.0,)), 64, 64))[0]
    with pytest.raises(SourceChangedError, match=r"p\.png"):
        Sight([(0, look)], vision, ["p.png"]).inputs(0, 1, go_on)


def test_what_is_seen_has_another_key_where_anything_differs(tokenizer: Tokenizer, vision: QwenVision) -> None:
    one, other = (sight(Noise(name), tokenizer, vision).keys for name in ("one", "other"))
    assert len({*one, *other}) == 7, "only the picture is the same"
    assert all(key < 0 for key in one)


# -- sampling ----------------------------------------------------------------------------------------------------------
def footage(seconds: float = 60.0, fps: float = 25.0, cues: tuple[Cue, ...] = ()) -> Footage:
    return Footage(Noise(), 1280, 720, seconds, [i / fps for i in range(round(seconds * fps))], cues)


def test_segments_cover_a_video_without_gaps_and_hold_every_frame_once() -> None:
    made = MadeCorpus((source(footage=footage()),), ())
    (video,) = sampled(made, {"a.mp4": Shown(60, 448, 256)}, group=2).sources
    origins = [segment.origin for segment in video.segments]
    assert origins[0].start == 0
    assert origins[-1].end == 60
    assert all(a.end == b.start for a, b in pairwise(origins))
    times = [place for segment in video.segments for visual in segment.visuals for place in visual.places]
    assert times == sorted(set(times))
    assert len(times) == 60
    for segment in video.segments:
        for visual in segment.visuals:
            assert all(segment.origin.start <= place <= segment.origin.end for place in visual.places)
            assert len(visual.places) % 2 == 0


def test_subtitles_stand_between_the_frames_of_their_time() -> None:
    cues = (Cue(2.2, 3, "first"), Cue(31, 33, "second"), Cue(59.9, 61, "third"))
    made = MadeCorpus((source(footage=footage(cues=cues)),), ())
    (video,) = sampled(made, {"a.mp4": Shown(60, 448, 256)}, group=2).sources
    assert sum(segment.text.count("Subtitles: ") for segment in video.segments) == 3
    said = next(segment for segment in video.segments if "second" in segment.text)
    before, after = said.visuals
    assert (before.at, after.at) == (0, len("Subtitles: second\n"))
    assert before.places[-1] < 31 + 2
    assert after.places[0] >= 31
    assert said.origin.start <= 31 < said.origin.end


def test_lost_frames_are_left_out_and_their_neighbours_do_not_stand_in_for_them() -> None:
    made = MadeCorpus((source(footage=footage(2, 5)),), ())
    (video,) = sampled(made, {"a.mp4": Shown(4, 64, 64)}, group=2, lost={"a.mp4": {0.6, 1.2}}).sources
    times = [place for segment in video.segments for visual in segment.visuals for place in visual.places]
    assert times == [0.0, 1.8]


def test_no_frames_leave_the_subtitles() -> None:
    made = MadeCorpus((source(footage=footage(cues=(Cue(1, 2, "said"),))),), ())
    (video,) = sampled(made, {"a.mp4": Shown(0, 64, 64)}, group=2).sources
    assert [segment.text for segment in video.segments] == ["Subtitles: said\n"]


def test_a_video_of_uneven_times_gives_frames_that_exist() -> None:
    times = [0.0, 0.1, 0.2, 5.0, 5.1, 30.0]
    assert set(choose(times, 4)) <= set(times)
    assert choose(times, 100) == tuple(times)
    assert choose([2.5], 3) == (2.5,)
    assert choose([], 3) == ()


def test_positions_made_step_by_step_are_those_of_the_whole(tokenizer: Tokenizer, vision: QwenVision) -> None:
    stream = build(corpus(Noise()), tokenizer, Framing(), vision=vision)
    made = Sight(stream.looks, vision, ["a.mp4"] * 3 + ["p.png"])
    whole = vision.positions(len(stream) + 1, stream.looks)
    inside = {place for start, stop in made.spans for place in range(start + 1, stop)}
    cuts = [place for place in range(0, len(stream) + 2, 7) if place not in inside] + [len(stream) + 1]
    pieces = [made.positions(start, stop) for start, stop in pairwise(cuts)]
    assert np.array_equal(np.concatenate(pieces, axis=1), whole)
