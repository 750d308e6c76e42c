"""What stands on the screen and what is said meanwhile, by time."""

from __future__ import annotations

import pytest

from longctx.corpus import Cue, Moment
from longctx.sources.ocr.timeline import Stretch, segments, stretches


def told(shown, cues, end):
    return [(s.origin.start, s.origin.end, s.text) for s in segments("a.mp4", shown, cues, end)]


def test_a_slide_lasts_from_its_first_frame_to_the_next_change_or_the_end():
    frames = [(0.04, ["Retry policy"]), (1.04, ["Retry policy"]), (2.04, ["Battery"]), (3.04, [])]
    assert stretches(frames, 4.2) == [
        Stretch(0.04, 2.04, ("Retry policy",)),
        Stretch(2.04, 3.04, ("Battery",)),
        Stretch(3.04, 4.2),
    ]


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (["The station sends a reading"], ["The statlon sends a reading"], True),
        (["The station", "10:31:05"], ["The station", "10:31:06"], True),
        (["The station", "3 / 20"], ["The station", "4 / 20"], True),
        (["The station"], ["The station", "sends a reading"], False),
        (["The station", "sends a reading"], ["The station"], False),
        (["Battery: 12 V"], ["Battery: 24 V"], False),
        (["Part 1"], ["Part 2"], False),
        (["The station"], [], False),
    ],
)
def test_only_what_is_the_same_text_read_twice_is_drawn_together(before, after, same):
    assert len(stretches([(0.0, before), (1.0, after)], 2.0)) == (1 if same else 2)


def test_subtitles_are_told_in_the_stretch_in_which_they_begin():
    shown = [Stretch(0.0, 4.0, ("One", "two")), Stretch(4.0, 8.0, ("Three",))]
    cues = [Cue(0.5, 2.0, "First."), Cue(3.5, 5.0, "Second."), Cue(4.0, 6.0, "Third."), Cue(9.0, 9.5, "Late.")]
    assert told(shown, cues, 8.0) == [
        (0.0, 4.0, "On screen: One\ntwo\nSubtitles: First. Second.\n"),
        (4.0, 8.0, "On screen: Three\nSubtitles: Third. Late.\n"),
    ]


def test_a_long_stretch_is_cut_at_subtitles_about_every_ten_seconds():
    cues = [Cue(4.0 * n + 1, 4.0 * n + 4, f"cue {n}") for n in range(8)]
    found = told([Stretch(0.0, 40.0, ("Slide",))], cues, 40.0)
    assert [(start, end) for start, end, _ in found] == [(0.0, 13.0), (13.0, 25.0), (25.0, 40.0)]
    assert [text.count("On screen") for _, _, text in found] == [1, 0, 0]
    assert " ".join(text for _, _, text in found).count("cue") == 8


def test_a_stretch_without_text_and_subtitles_is_left_out_and_none_is_lost_without_frames():
    assert told([Stretch(0.0, 5.0), Stretch(5.0, 9.0, ("Slide",))], [], 9.0) == [(5.0, 9.0, "On screen: Slide\n")]
    assert told([], [Cue(2.0, 3.0, "Spoken.")], 9.0) == [(2.0, 9.0, "Subtitles: Spoken.\n")]
    assert told([], [], 9.0) == []
    assert stretches([], 9.0) == []


def test_what_is_said_before_the_first_frame_is_kept():
    found = segments("a.mp4", [Stretch(2.0, 4.0, ("Slide",))], [Cue(0.5, 1.0, "Before.")], 4.0)
    assert [segment.origin for segment in found] == [Moment("a.mp4", 0.5, 2.0), Moment("a.mp4", 2.0, 4.0)]
    assert [segment.heading for segment in found] == ["", "read as text (OCR)"]
