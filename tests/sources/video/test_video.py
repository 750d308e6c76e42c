"""Every frame is the one of its time, whatever the container; nothing runs on after it was needed."""

from __future__ import annotations

import io
import os
import random
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from longctx.corpus import Moment
from longctx.errors import FramesLostError, MissingPackageError, SourceChangedError, Stopped, UsageError
from longctx.jobs import Job
from longctx.sources import process as process_module
from longctx.sources import read
from longctx.sources.video import footage as video
from tests.videos import make_video, read_index, workers

STEADY = [round(0.04 * index, 3) for index in range(60)]
#: File name, codec, options of the codec.
KINDS = [
    ("b-frames.mp4", "libx264", {"bf": "3", "preset": "fast"}),
    ("open-gop.mkv", "libx264", {"bf": "3", "x264-params": "open-gop=1:scenecut=0", "preset": "fast"}),
    ("stream.ts", "libx264", None),
    ("disc.m2ts", "libx264", None),
    ("h264.avi", "libx264", {"bf": "2"}),
    ("mpeg4.avi", "mpeg4", None),
    ("flash.flv", "libx264", None),
    ("hevc.mp4", "libx265", None),
    ("hevc.ts", "libx265", None),
    ("vp9.webm", "libvpx-vp9", None),
    ("windows.wmv", "wmv2", None),
]


def _go_on():
    pass


def _footage(file, **options):
    (source,) = read(file, **options).sources
    assert source.kind == "video"
    assert source.medium is source.footage.medium
    return source.footage


def _indices(footage, places, size=None):
    """The numbers that the frames at these places carry, by place."""
    width, height = size or (footage.width, footage.height)
    return [(frame.place, read_index(frame.pixels)) for frame in footage.medium.frames(places, width, height, _go_on)]


@pytest.fixture(autouse=True)
def no_process_left():
    """Whatever a test does, at its end no worker is left that does more than wait for a next request."""
    yield
    process_module.end_idle()
    assert workers() == []


@pytest.fixture(scope="module")
def lecture(tmp_path_factory):
    """A minute in which one keyframe leads fifty frames."""
    folder = tmp_path_factory.mktemp("lecture")
    return make_video(
        folder / "lecture.mp4", [index / 5 for index in range(300)], gop=50, options={"bf": "2", "preset": "fast"}
    )


# -- the frame of a time ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "codec", "options"), KINDS, ids=[name for name, *_ in KINDS])
def test_each_frame_is_the_one_of_its_time(tmp_path, name, codec, options):
    file = make_video(tmp_path / name, STEADY, codec=codec, options=options, format="mpegts" if name.endswith("m2ts") else None)
    footage = _footage(file)
    assert footage.times == pytest.approx(STEADY, abs=1e-6)
    for seed, count in enumerate((1, 2, 5, 20, 60)):
        chosen = sorted(random.Random(seed).sample(range(60), count))
        assert [index for _, index in _indices(footage, [footage.times[one] for one in chosen])] == chosen


def test_times_of_a_variable_frame_rate_are_exact(tmp_path):
    times = np.cumsum([0, *random.Random(0).choices([0.001, 0.04, 0.5, 7.3], k=50)]).round(3).tolist()
    footage = _footage(make_video(tmp_path / "a.mp4", times))
    assert footage.times == pytest.approx(times, abs=1e-6)
    assert _indices(footage, footage.times) == list(zip(footage.times, range(51), strict=True))


@pytest.mark.parametrize("start", [1.4, 36_000.0])
def test_a_start_time_is_taken_off(tmp_path, start):
    footage = _footage(make_video(tmp_path / "a.ts", [start + time for time in STEADY[:20]]))
    assert footage.times == pytest.approx(STEADY[:20], abs=1e-6)
    assert footage.duration == pytest.approx(0.8, abs=0.05)
    assert _indices(footage, footage.times[7:9]) == [(footage.times[7], 7), (footage.times[8], 8)]


def test_the_clock_starts_with_the_sound_where_that_begins_much_earlier(tmp_path):
    late = _footage(make_video(tmp_path / "late.mkv", [3 + time for time in STEADY[:20]], sound=(0, 4)))
    assert late.times[0] == pytest.approx(3, abs=0.08)
    run_up = _footage(make_video(tmp_path / "run-up.mkv", [0.06 + time for time in STEADY[:20]], sound=(0, 1)))
    assert run_up.times[0] == 0


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_turned_picture_stands_upright(tmp_path, rotation):
    footage = _footage(make_video(tmp_path / "a.mov", STEADY[:10], rotation=rotation))
    assert (footage.width, footage.height) == ((128, 96) if rotation == 180 else (96, 128))
    assert _indices(footage, footage.times[3:5], (48, 64)) == [(footage.times[3], 3), (footage.times[4], 4)]


def test_what_is_no_frame_s_time_is_left_out_and_what_is_asked_twice_comes_twice(lecture):
    footage = _footage(lecture)
    assert _indices(footage, [-1.0, 0.1, 2.0, 2.0, 2.0001, 99.0]) == [(2.0, 10), (2.0, 10)]
    assert _indices(footage, []) == []


def test_frames_come_in_the_order_in_which_they_are_asked_for(lecture):
    footage = _footage(lecture)
    assert [index for _, index in _indices(footage, [8.0, 7.8, 40.0, 0.0, 0.2])] == [40, 39, 200, 0, 1]


def test_passing_over_frames_to_which_none_refers_changes_no_pixel(lecture, tmp_path):
    from longctx.sources.video.decode import frames

    footage = _footage(lecture)
    wanted = [footage.medium._ticks(number) for number in (3, 30, 31, 120, 299)]
    given = [
        [bytes(answer[1]) for answer in frames(str(lecture), 0, wanted, 64, 48, 0, skip) if isinstance(answer, tuple)]
        for skip in (True, False)
    ]
    assert len(given[0]) == 5
    assert given[0] == given[1]


def test_one_frame_and_one_pixel(tmp_path):
    footage = _footage(make_video(tmp_path / "one.mp4", [0.0]))
    assert _indices(footage, footage.times) == [(0.0, 0)]
    white = np.full((1, 1, 3), 235, np.uint8)
    point = _footage(make_video(tmp_path / "point.mkv", [0.0, 0.1], (1, 1), "ffv1", pictures=[white, white]))
    assert (point.width, point.height, len(point.times)) == (1, 1, 2)
    shapes = [frame.pixels.shape for frame in point.medium.frames(point.times, 1, 1, _go_on)]
    assert shapes == [(1, 1, 3), (1, 1, 3)]


def test_pixels_can_be_written(lecture):
    """A tensor is made of them without a copy."""
    footage = _footage(lecture)
    (frame,) = footage.medium.frames([0.0], 64, 48, _go_on)
    assert frame.pixels.flags.writeable
    assert (frame.pixels.dtype, frame.pixels.shape) == (np.uint8, (48, 64, 3))


def test_the_row_says_what_there_is(tmp_path, rows):
    make_video(tmp_path / "a.mkv", STEADY, subtitles=[(0.0, 1.0, "hello")])
    (row,) = rows(read(tmp_path)).values()
    assert (row.kind, row.status, row.reason) == ("video", "read", "2.4 s, 128x96, 60 frames, subtitles")


# -- to be seen by people --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("place", "index"), [(2.0, 10), (2.19, 10), (-5.0, 0), (1e6, 299)])
def test_a_look_shows_the_frame_of_that_time(lecture, place, index):
    for engine in ("av", "decord"):
        picture = Image.open(io.BytesIO(_footage(lecture, engine=engine).medium.look(place, 64)))
        assert (picture.format, picture.size) == ("JPEG", (64, 48))
        assert read_index(np.asarray(picture)) == index


# -- processes -------------------------------------------------------------------------------------------------------
def test_the_worker_is_kept_for_the_next_frames(lecture):
    footage = _footage(lecture)
    list(footage.medium.frames([0.0], 64, 48, _go_on))
    (worker,) = workers()
    assert _indices(footage, [2.0, 30.0]) == [(2.0, 10), (30.0, 150)]
    assert workers() == [worker]


def test_a_worker_that_nobody_asks_ends(lecture, monkeypatch):
    monkeypatch.setattr(process_module, "IDLE", 0.1)
    list(_footage(lecture).medium.frames([0.0], 64, 48, _go_on))
    (worker,) = workers()
    worker.wait(30)


def test_frames_that_are_left_half_way_end_their_worker(lecture):
    footage = _footage(lecture)
    closed = footage.medium.frames(footage.times, 64, 48, _go_on)
    next(closed)
    closed.close()
    assert workers() == []
    forgotten = footage.medium.frames(footage.times, 64, 48, _go_on)
    next(forgotten)
    del forgotten
    assert workers() == []


def test_two_can_go_through_a_video_at_the_same_time(lecture):
    footage = _footage(lecture)
    places = footage.times[::30]
    both = zip(footage.medium.frames(places, 64, 48, _go_on), footage.medium.frames(places, 64, 48, _go_on), strict=True)
    assert [(read_index(one.pixels), read_index(other.pixels)) for one, other in both] == [(at, at) for at in range(0, 300, 30)]


def test_a_stop_ends_the_decoding(lecture):
    footage = _footage(lecture)
    seen = []

    def check():
        if len(seen) == 3:
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        seen.extend(frame.place for frame in footage.medium.frames(footage.times, 64, 48, check))
    assert len(seen) == 3
    assert workers() == []


#: The real worker, except that it dies over some frames.
DYING = """
import os, signal
from longctx.sources.video import decode as video_decode
from longctx.sources import worker
real = video_decode.Decoder.get
def get(self, pts, key, *, leaves):
    if pts in map(int, os.environ["DEADLY"].split()): os.kill(os.getpid(), signal.SIGSEGV)
    return real(self, pts, key, leaves=leaves)
video_decode.Decoder.get = get
worker.main()
"""


def test_a_frame_over_which_the_decoder_dies_is_left_out(lecture, monkeypatch):
    footage = _footage(lecture)
    monkeypatch.setattr(process_module, "COMMAND", (sys.executable, "-W", "ignore", "-c", DYING))
    monkeypatch.setenv("DEADLY", str(footage.medium._ticks(20)[0]))
    assert [index for _, index in _indices(footage, footage.times[:40:10])] == [0, 10, 30]
    monkeypatch.setenv("DEADLY", " ".join(str(footage.medium._ticks(number)[0]) for number in range(300)))
    process_module.end_idle()
    with pytest.raises(FramesLostError, match="7 frames cannot be decoded, the first at"):
        _indices(footage, footage.times[:10])


# -- the file afterwards ---------------------------------------------------------------------------------------------
def test_a_file_that_changed_or_is_gone_is_told(lecture, tmp_path):
    file = tmp_path / "a.mp4"
    file.write_bytes(lecture.read_bytes())
    footage = _footage(file)
    running = footage.medium.frames(footage.times, 64, 48, _go_on)
    next(running)
    os.utime(file, (1, 1))
    for ask in (lambda: list(running), lambda: _indices(footage, [0.0]), lambda: footage.medium.look(0.0, 64)):
        with pytest.raises(SourceChangedError, match=r"a\.mp4: changed since it was read"):
            ask()
    file.unlink()
    with pytest.raises(SourceChangedError, match=r"a\.mp4: gone since it was read"):
        _indices(footage, [0.0])


def test_the_identity_names_the_file_and_the_decoder(lecture):
    (source,) = read(lecture).sources
    decord = _footage(lecture, engine="decord").medium.identity
    assert source.medium.identity.startswith(f"{source.sha256} av ")
    assert decord.startswith(f"{source.sha256} decord ")
    assert read(lecture).sources[0].medium == source.medium


# -- the other engine ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(64, 48), (48, 64), (33, 31), (128, 96)])
def test_decord_gives_the_same_frames(lecture, size):
    footage = _footage(lecture, engine="decord")
    assert [index for _, index in _indices(footage, [0.0, 2.2, 13.0, 13.2, 59.8], size)] == [0, 11, 65, 66, 299]


def test_decord_turns_and_finds_frames_of_a_variable_rate(tmp_path):
    times = [0.0, 0.1, 0.5, 0.54, 3.0, 3.04, 9.0]
    footage = _footage(make_video(tmp_path / "a.mov", times, rotation=90), engine="decord")
    assert (footage.width, footage.height) == (96, 128)
    assert _indices(footage, footage.times[1:6:2], (48, 64)) == [(footage.times[at], at) for at in (1, 3, 5)]


@pytest.mark.parametrize(("name", "codec", "what"), [("a.mp4", "libx265", "hevc"), ("a.ts", "libx264", "mpegts")])
def test_decord_is_not_given_what_it_reads_wrongly(tmp_path, rows, name, codec, what):
    (tmp_path / "a.txt").write_text("text\n")
    make_video(tmp_path / name, STEADY[:20], codec=codec)
    row = rows(read(tmp_path, engine="decord"))[name]
    assert row.status == "failed"
    assert row.reason == f"decord gives wrong frames of {what} without saying so: read it with engine='av'"


def test_an_engine_that_is_unknown_or_missing_is_an_error(lecture, monkeypatch):
    with pytest.raises(UsageError, match="engine='ffmpeg': no such engine"):
        read(lecture, engine="ffmpeg")
    monkeypatch.setattr(video, "_is_installed", lambda module: False)
    with pytest.raises(MissingPackageError, match="engine='decord' needs the package decord") as caught:
        read(lecture, engine="decord")
    assert "pip install" in caught.value.hint


def test_without_pyav_decord_reads(lecture, tmp_path, rows, monkeypatch):
    monkeypatch.setattr(video, "_is_installed", lambda module: module == "decord")
    hidden = "import sys; sys.modules['av'] = None; from longctx.sources import worker; worker.main()"
    monkeypatch.setattr(process_module, "COMMAND", (sys.executable, "-W", "ignore", "-c", hidden))
    footage = _footage(lecture)
    assert (footage.width, footage.height, footage.duration) == (128, 96, pytest.approx(60, abs=0.3))
    assert [index for _, index in _indices(footage, [footage.times[7], footage.times[299]])] == [7, 299]
    make_video(tmp_path / "h.mp4", STEADY[:20], codec="libx265")
    (tmp_path / "a.txt").write_text("text\n")
    row = rows(read(tmp_path))["h.mp4"]
    assert (row.status, "wrong frames of hevc" in row.reason) == ("failed", True)


def test_without_any_engine_the_row_says_what_is_missing(lecture, tmp_path, rows, monkeypatch):
    hidden = "import sys; sys.modules['av'] = None; from longctx.sources import worker; worker.main()"
    monkeypatch.setattr(process_module, "COMMAND", (sys.executable, "-W", "ignore", "-c", hidden))
    (tmp_path / "a.txt").write_text("text\n")
    (tmp_path / "a.mp4").write_bytes(lecture.read_bytes())
    row = rows(read(tmp_path))["a.mp4"]
    assert row.status == "failed"
    assert "PyAV cannot be imported" in row.reason


# -- subtitles -------------------------------------------------------------------------------------------------------
CUES = [(0.0, 1.5, "Welcome."), (2.0, 4.0, "Two lines\nof text"), (11.0, 12.0, "After ten seconds")]
SRT = "1\n00:00:00,500 --> 00:00:01,000\n<i>Beside</i>\n"


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_embedded_subtitles_become_cues_and_segments(tmp_path, name):
    (source,) = read(make_video(tmp_path / name, [index / 2 for index in range(30)], subtitles=CUES)).sources
    assert [(cue.start, cue.end, cue.text) for cue in source.footage.cues] == [pytest.approx(cue) for cue in CUES]
    assert [str(segment.origin) for segment in source.segments] == [
        f"{name} at 00:00:00-00:00:04",
        f"{name} at 00:00:11-00:00:12",
    ]
    assert source.segments[0].text == "Welcome.\nTwo lines\nof text\n"


def test_embedded_subtitles_go_by_the_clock_of_the_video(tmp_path):
    times = [100 + index / 2 for index in range(30)]
    footage = _footage(make_video(tmp_path / "a.mkv", times, subtitles=[(101.0, 102.0, "one second in")]))
    assert (footage.cues[0].start, footage.cues[0].end) == (pytest.approx(1.0), pytest.approx(2.0))


def test_subtitles_beside_a_video_are_its_own_and_no_source(tmp_path, rows):
    make_video(tmp_path / "talk.mp4", STEADY, subtitles=[(0.0, 1.0, "Embedded")])
    make_video(tmp_path / "other.mkv", STEADY)
    for name in ("talk.en.srt", "talk.de.srt", "other.vtt"):
        (tmp_path / name).write_text(SRT.replace(",", ".") if name.endswith("vtt") else SRT)
    corpus = read(tmp_path)
    manifest = rows(corpus)
    assert [(source.path, [cue.text for cue in source.footage.cues]) for source in corpus.sources] == [
        ("other.mkv", ["Beside"]),
        ("talk.mp4", ["Beside"]),
    ]
    assert (manifest["other.vtt"].status, manifest["other.vtt"].reason) == ("read", "subtitles of other.mkv")
    assert (manifest["talk.de.srt"].status, manifest["talk.de.srt"].reason) == ("read", "subtitles of talk.mp4")
    assert manifest["talk.en.srt"].status == "skipped"
    assert manifest["talk.en.srt"].reason == "subtitles of talk.mp4, of which talk.de.srt is read"
    assert manifest["talk.mp4"].reason.endswith("60 frames, subtitles from talk.de.srt")


def test_subtitles_beside_a_video_that_is_named_by_itself_are_found(tmp_path, rows):
    make_video(tmp_path / "talk.mp4", STEADY)
    (tmp_path / "talk.srt").write_text(SRT)
    assert set(rows(read(tmp_path / "talk.mp4"))) == {"talk.mp4", "talk.srt"}
    assert set(rows(read(tmp_path / "talk.mp4", tmp_path / "talk.srt"))) == {"talk.mp4", "talk.srt"}
    assert set(rows(read(tmp_path / "talk.mp4", exclude=["*.srt"]))) == {"talk.mp4"}


def test_subtitles_of_a_video_that_is_none_are_read_by_themselves(tmp_path, rows):
    (tmp_path / "talk.mp4").write_bytes(b"\x00" * 2000)
    (tmp_path / "talk.srt").write_text(SRT)
    corpus = read(tmp_path)
    assert [(source.path, source.kind) for source in corpus.sources] == [("talk.srt", "subtitles")]
    assert corpus.segments[1].origin == Moment("talk.srt", 0.5, 1.0)
    assert rows(corpus)["talk.mp4"].status == "failed"


def test_a_stop_is_heard_while_a_large_file_is_hashed(tmp_path):
    job = Job(lambda job: read(tmp_path / "long.mp4", job=job), title="read")
    with open(tmp_path / "long.mp4", "wb") as stream:
        stream.write(b"\x00\x00\x00\x18ftypisom")
        stream.truncate(64 * 2**30)
    thread = threading.Thread(target=job.run)
    thread.start()
    while job.progress.stage != "read":
        thread.join(0.05)
    thread.join(0.2)
    assert job.state == "running"
    job.cancel()
    thread.join(30)
    assert job.state == "stopped"
