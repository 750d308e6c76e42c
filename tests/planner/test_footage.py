from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.errors import UsageError
from longctx.planner import Geometry, Reel, Room, Sight, footage, largest_patch, pinched, sample, words

QWEN = Geometry.from_config(json.loads((Path(__file__).parent / "configs/Qwen3.5-4B/config.json").read_text()))
SIGHT = Sight()
LECTURE = Reel("lecture.mp4", 3600.0, 1280, 720, 90_000)
CLIP = Reel("clip.mp4", 30.0, 640, 480, 900)
TALL = Reel("tall.mov", 200.0, 1080, 1920, 6_000)
PLENTY = 10**9
ROOM = Room(tokens=250_000, window=262_144, taken=12_144, limit="window")

REELS = st.lists(
    st.builds(
        Reel,
        path=st.sampled_from(["a", "b", "c"]),
        duration=st.one_of(st.just(0.0), st.floats(0.01, 50_000)),
        width=st.integers(1, 8_000),
        height=st.integers(1, 8_000),
        frames=st.integers(0, 100_000),
    ),
    max_size=4,
)
SIGHTS = st.builds(
    Sight, patch_size=st.sampled_from([14, 16]), merge=st.sampled_from([1, 2]), temporal=st.sampled_from([1, 2, 3])
)


def total(samplings) -> int:
    return sum(sampling.tokens for sampling in samplings)


@pytest.mark.parametrize(
    ("reel", "frames", "size"),
    [
        (LECTURE, 7_200, (448, 256)),
        (CLIP, 60, (384, 288)),
        (TALL, 400, (256, 448)),
        (replace(CLIP, width=1000, height=1000), 60, (352, 352)),
        (replace(CLIP, width=320, height=180), 60, (288, 160)),
        (replace(CLIP, width=10, height=10), 60, (32, 32)),
        (replace(CLIP, width=4000, height=20), 60, (3584, 32)),
        (replace(CLIP, frames=17), 16, (384, 288)),
        (replace(CLIP, frames=1), 1, (384, 288)),
        (replace(CLIP, duration=0.0), 2, (384, 288)),
        (replace(CLIP, duration=29.99999999), 60, (384, 288)),
        (replace(CLIP, duration=30.9), 60, (384, 288)),
    ],
)
def test_with_room_there_are_two_frames_a_second_of_the_usual_size(reel, frames, size):
    (got,) = sample([reel], room=PLENTY, sight=SIGHT)
    assert (got.frames, got.width, got.height) == (frames, *size)
    assert got.fps == pytest.approx(frames / reel.duration if reel.duration else 0.0)


def test_tokens_are_those_of_placeholders_times_and_marks():
    (got,) = sample([CLIP], room=PLENTY, sight=SIGHT)
    assert got.tokens == 30 * (12 * 9 + footage.STAMP + 2) + 4 * footage.MARK


def test_times_and_marks_of_the_real_format_take_no_more_than_is_counted():
    from longctx.corpus import Moment, Segment
    from longctx.prompts import Frame
    from longctx.stream.vocabulary import qwen

    tokenizer = qwen()
    for seconds in (0.2, 59.9, 599.5, 3599.5, 35_999.5):
        around = tokenizer.encode_template(f"<{seconds:.1f} seconds><|vision_start|><|vision_end|>")
        assert len(around) == footage.STAMP + len(str(int(seconds)))
    mark = Frame().mark(9_999, Segment("", Moment("a", 3725, 3735)))
    assert len(tokenizer.encode_data(mark)) <= footage.MARK


def test_frames_get_rarer_then_smaller_then_rarer_still():
    rooms = (250_000, 50_000, 25_000, 15_000, 3_000, 100)
    seen = [sample([LECTURE], room=room, sight=SIGHT)[0] for room in rooms]
    assert [(s.width, s.height) for s in seen[:2]] == [(448, 256)] * 2
    assert seen[0].fps > seen[1].fps > 0.1
    assert (seen[2].frames, seen[3].frames) == (360, 360)
    assert seen[2].width * seen[2].height > seen[3].width * seen[3].height
    assert seen[4].frames < 360
    assert (seen[4].width, seen[4].height) == (224, 128)
    assert seen[5].frames == 2


def test_a_room_is_nearly_filled():
    for room in (30_000, 100_000, 250_000, 400_000):
        assert total(sample([LECTURE, CLIP, TALL], room=room, sight=SIGHT)) > 0.98 * room or room < 50_000


def test_videos_share_a_room_by_their_duration():
    long, short = sample([LECTURE, replace(LECTURE, path="b", duration=360.0)], room=100_000, sight=SIGHT)
    assert long.tokens / short.tokens == pytest.approx(10, rel=0.05)
    assert long.fps == pytest.approx(short.fps, rel=0.02)


def test_where_not_every_video_has_room_as_many_as_possible_are_seen_and_of_equals_the_longest():
    long, short = replace(TALL, duration=300.0), replace(TALL, duration=150.0)
    assert [got.frames for got in sample([short, long, TALL], room=140, sight=SIGHT)] == [0, 2, 2]
    assert [got.frames for got in sample([LECTURE, replace(CLIP, width=64, height=64)], room=60, sight=SIGHT)] == [0, 2]
    assert total(sample([CLIP, LECTURE], room=-5, sight=SIGHT)) == 0


@given(REELS, st.integers(-10, 2_000_000), SIGHTS)
@settings(max_examples=200, deadline=None)
def test_no_room_is_overrun_and_every_size_and_count_is_one_that_the_model_takes(reels, room, sight):
    samplings = sample(reels, room=room, sight=sight)
    assert total(samplings) <= max(0, room)
    for reel, got in zip(reels, samplings, strict=True):
        assert got.path == reel.path
        assert 0 <= got.frames <= reel.frames
        if not got.frames:
            assert (got.width, got.height, got.tokens, got.fps) == (0, 0, 0, 0)
            continue
        assert got.frames % sight.temporal == 0 or got.frames == reel.frames < sight.temporal
        assert got.width % sight.step == got.height % sight.step == 0
        assert min(got.width, got.height) >= sight.step
        assert got.width <= max(reel.width, sight.step)
        assert got.height <= max(reel.height, sight.step)
        assert sight.tokens(got.width, got.height) <= largest_patch(reels, sight)
        assert got.frames <= max(sight.temporal, 2 * reel.duration + 0.01)


@given(REELS.filter(bool), st.integers(0, 2_000))
@settings(max_examples=200, deadline=None)
def test_whoever_fits_alone_leaves_no_room_unused(reels, room):
    alone = [total(sample([reel], room=room, sight=SIGHT)) for reel in reels]
    assert any(alone) == any(got.frames for got in sample(reels, room=room, sight=SIGHT))


@given(REELS, st.integers(0, 1_000_000), st.integers(0, 1_000_000), st.sampled_from([None, 20_000, 500_000]))
@settings(max_examples=300, deadline=None)
def test_more_room_never_shows_less(reels, room, more, pixels):
    few, many = (sample(reels, room=size, sight=SIGHT, pixels=pixels) for size in (room, room + more))
    for less, rich in zip(few, many, strict=True):
        assert less.frames <= rich.frames
        assert less.width * less.height <= rich.width * rich.height
        assert less.tokens <= rich.tokens


@given(REELS.filter(bool), st.integers(1, 10**7), st.integers(1, 10**6))
@settings(max_examples=200, deadline=None)
def test_more_pixels_never_make_a_smaller_frame(reels, pixels, more):
    reel = reels[0]
    few, many = (footage.size(reel.width, reel.height, area, 32) for area in (pixels, pixels + more))
    assert few[0] <= many[0]
    assert few[1] <= many[1]


def test_what_is_asked_for_is_obeyed_whatever_the_room():
    frames = [got.frames for got in sample([LECTURE, CLIP], room=10, sight=SIGHT, fps=1)]
    assert frames == [3600, 30]
    frames = [got.frames for got in sample([LECTURE, CLIP], room=10, sight=SIGHT, frames=999)]
    assert frames == [1000, 900]
    (got,) = sample([LECTURE], room=PLENTY, sight=SIGHT, fps=4, pixels=1280 * 720)
    assert (got.frames, got.width, got.height) == (14_400, 1248, 704)
    (got,) = sample([LECTURE], room=100_000, sight=SIGHT, pixels=1280 * 720)
    assert (got.width, got.height) == (1248, 704)
    assert got.tokens <= 100_000


def test_asked_frames_get_smaller_where_that_makes_them_fit():
    (got,) = sample([LECTURE], room=100_000, sight=SIGHT, frames=1_800)
    assert got.frames == 1_800
    assert got.tokens <= 100_000
    assert got.width * got.height < footage.USUAL_PIXELS


@pytest.mark.parametrize("none", [{"fps": 0}, {"fps": 0.0}, {"frames": 0}])
def test_no_frames_are_taken_where_none_are_wanted(none):
    assert [(got.frames, got.tokens) for got in sample([LECTURE, CLIP], room=PLENTY, sight=SIGHT, **none)] == [(0, 0)] * 2


@pytest.mark.parametrize(
    "wish",
    [
        {"fps": -1},
        {"fps": float("nan")},
        {"fps": float("inf")},
        {"fps": "2"},
        {"fps": True},
        {"frames": -2},
        {"frames": 1.5},
        {"frames": float("nan")},
        {"frames": True},
        {"pixels": 0},
        {"pixels": -1},
        {"pixels": float("nan")},
        {"pixels": "448x256"},
        {"fps": 1, "frames": 3},
    ],
)
def test_nonsense_is_refused_with_its_value_and_a_hint(wish):
    with pytest.raises(UsageError) as caught:
        sample([LECTURE], room=1_000, sight=SIGHT, **wish)
    assert all(f"{name}={value!r}" in caught.value.message for name, value in wish.items())
    assert caught.value.hint


def test_no_videos_are_no_rows():
    assert sample([], room=0, sight=SIGHT) == ()
    assert largest_patch([], SIGHT) == largest_patch([replace(CLIP, frames=0)], SIGHT) == 0
    assert words([], (), sight=SIGHT, rope=QWEN.rope, room=ROOM) == ()


# -- words -------------------------------------------------------------------------------------------------------------
def said(reels, room=ROOM, **wishes):
    samplings = sample(reels, room=room.tokens, sight=SIGHT, **wishes)
    return words(reels, samplings, sight=SIGHT, rope=QWEN.rope, room=room, **wishes)


def test_a_video_that_is_seen_less_says_why_and_what_more_would_need():
    assert said([LECTURE]) == (
        "lecture.mp4 (1 h 00 min): 3,896 frames at 448x256, 1.08 a second, which is what the window of 262,144 allows; "
        "2 a second at 448x256 would need about 453,000 tokens (a window of 524,288, YaRN factor 2)",
    )


def test_a_memory_that_ends_the_room_is_named():
    (note,) = said([LECTURE], Room(3_000, 262_144, 8_000, "memory"))
    assert "at 224x128, one every 41 s, which is what the memory allows" in note
    assert note.endswith("and more memory")


def test_a_video_for_which_no_window_suffices_says_so():
    (note,) = said([replace(LECTURE, duration=36_000.0, frames=900_000)])
    assert note.endswith("more than fit into the 1,010,000 that this model reaches")


def test_several_videos_say_once_what_all_of_them_would_need():
    notes = said([LECTURE, CLIP])
    assert [note.partition(":")[0] for note in notes] == ["lecture.mp4 (1 h 00 min)", "clip.mp4 (30.0 s)", "videos"]
    assert notes[2].startswith("videos: 2 a second would need about 457,000 tokens")


def test_a_video_with_its_usual_frames_has_nothing_to_explain():
    assert said([CLIP]) == ("clip.mp4 (30.0 s): 60 frames at 384x288, 2 a second",)
    assert said([replace(CLIP, frames=1)]) == ("clip.mp4 (30.0 s): 1 frame at 384x288",)


def test_what_was_asked_is_called_asked():
    assert said([CLIP], fps=1) == ("clip.mp4 (30.0 s): 30 frames at 384x288, 1 a second, as asked",)
    assert said([CLIP], frames=0) == ("clip.mp4 (30.0 s): no frame of it is looked at, as asked",)
    (note,) = said([LECTURE], fps=1.5)
    assert "5,400 frames at 352x192, 1.5 a second, as asked, of the size that the window of 262,144 allows" in note
    (note,) = said([LECTURE], frames=40_000)
    assert "as asked, which is more than the window of 262,144 allows; 40,000 frames at 448x256 would need" in note


@pytest.mark.parametrize(
    ("reel", "wishes", "less"),
    [
        (CLIP, {}, False),
        (CLIP, {"fps": 1}, False),
        (LECTURE, {}, True),
        (LECTURE, {"fps": 1.5}, True),
        (LECTURE, {"fps": 4}, True),
    ],
)
def test_only_what_was_given_up_or_is_too_much_is_to_be_warned_of(reel, wishes, less):
    samplings = sample([reel], room=ROOM.tokens, sight=SIGHT, **wishes)
    assert pinched([reel], samplings, sight=SIGHT, room=ROOM, **wishes) is less


def test_a_video_without_any_room_says_so():
    (note,) = said([LECTURE], Room(0, 262_144, 300_000, "window"))
    assert "no frame of it is looked at, which is what the window of 262,144 allows" in note
