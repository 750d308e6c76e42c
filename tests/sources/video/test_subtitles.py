"""Subtitle files of all sorts become cues in order, without markup; what is none stays text."""

from __future__ import annotations

from longctx.corpus import Cue, Lines, Moment
from longctx.sources import read
from longctx.sources.video.subtitles import cues_of, tidy


def test_subrip_in_all_its_sloppiness():
    text = (
        "\ufeff7\r\n00:00:01,000 --> 00:00:02,500 X1:10\r\n<font color='red'>Red</font> {\\an8}text\r\n\r\n"
        "00:00:04,000-->00:00:05,000\nno number, a < b\nsecond line\n\n\n"
        "9\n1:00:03.5 --> 1:00:04.25\n\nafter an empty line\n"
        "10\n00:00:00,000 --> 00:00:00,900\nout of order\n\n"
        "11\n00:00:09,000 --> 00:00:08,000\nends before it begins\n\n12\n00:00:10,000 --> 00:00:11,000\n\n"
    )
    assert cues_of(text) == (
        Cue(0.0, 0.9, "out of order"),
        Cue(1.0, 2.5, "Red text"),
        Cue(4.0, 5.0, "no number, a < b\nsecond line"),
        Cue(9.0, 9.0, "ends before it begins"),
        Cue(3603.5, 3604.25, "after an empty line"),
    )


def test_webvtt_with_notes_styles_and_voices():
    text = (
        "WEBVTT - title\n\nNOTE\nnot to be shown\n\nSTYLE\n::cue { color: red }\n\n"
        "intro\n00:01.000 --> 00:02.000 align:start\n<v Ada>Hello <00:01.500><c>there</c> &amp; welcome</v>\n\n"
        "01:00:00.000 --> 01:00:01.000\n- one\n- two\n"
    )
    assert cues_of(text) == (Cue(1.0, 2.0, "Hello there & welcome"), Cue(3600.0, 3601.0, "- one\n- two"))


def test_a_cue_that_repeats_the_one_before_prolongs_it():
    assert tidy([Cue(0, 1, "a"), Cue(1, 2, "a"), Cue(5, 6, "a")]) == (Cue(0, 2, "a"), Cue(5, 6, "a"))


def test_a_file_of_its_own_is_cut_into_stretches_of_ten_seconds(tmp_path, rows):
    lines = [f"{at}\n00:00:{at:02d},000 --> 00:00:{at:02d},900\nline {at}\n" for at in range(25)]
    (tmp_path / "a.srt").write_text("\n".join(lines), encoding="utf-16")
    corpus = read(tmp_path)
    assert [segment.origin for segment in corpus.segments.values()] == [
        Moment("a.srt", 0.0, 9.9),
        Moment("a.srt", 10.0, 19.9),
        Moment("a.srt", 20.0, 24.9),
    ]
    assert corpus.segments[3].text.startswith("line 20\nline 21\n")
    assert (rows(corpus)["a.srt"].kind, rows(corpus)["a.srt"].reason) == ("subtitles", "25 cues")


def test_what_only_is_called_so_stays_text(tmp_path, rows):
    (tmp_path / "a.vtt").write_text("just words\n")
    (tmp_path / "b.srt").write_text("")
    corpus = read(tmp_path)
    assert corpus.segments[1].origin == Lines("a.vtt", 1, 1)
    assert [(row.kind, row.status, row.reason) for row in rows(corpus).values()] == [
        ("text", "read", ""),
        ("text", "read", "empty"),
    ]


def test_words_behind_an_empty_line_belong_to_their_cue_in_subrip_and_remarks_of_webvtt_do_not():
    rip = "1\n00:00:01,000 --> 00:00:02,000\nbefore\n\nand after\n\n2\n00:00:03,000 --> 00:00:04,000\n42\n\n3\n"
    rip += "00:00:05,000 --> 00:00:06,000\nlast\n"
    assert [cue.text for cue in cues_of(rip)] == ["before\nand after", "42", "last"]
    web = "WEBVTT\n\n00:01.000 --> 00:02.000\nsaid\n\nNOTE not said\n\n00:03.000 --> 00:04.000\nlast\n"
    assert [cue.text for cue in cues_of(web)] == ["said", "last"]
