"""Whatever calls itself a video, or is one without saying so, has a row that is true; of a damaged one, no frame is wrong."""

from __future__ import annotations

import random
from fractions import Fraction

import av
import numpy as np
import pytest

from longctx.errors import EmptyCorpusError
from longctx.sources import process as process_module
from longctx.sources import read
from longctx.sources.signatures import is_recording
from tests.videos import draw_index, make_video, read_index, workers

STEADY = [round(0.04 * index, 3) for index in range(60)]


@pytest.fixture(autouse=True)
def no_process_left():
    yield
    process_module.end_idle()
    assert workers() == []


@pytest.fixture
def outcome(tmp_path, rows):
    """The row and the footage of one file among others."""

    def _outcome(name, **options):
        (tmp_path / "zz.txt").write_text("text\n")
        corpus = read(tmp_path, **options)
        footage = next((source.footage for source in corpus.sources if source.path == name), None)
        return rows(corpus)[name], footage

    return _outcome


def _indices(footage, places):
    frames = footage.medium.frames(places, footage.width, footage.height, lambda: None)
    return [(frame.place, read_index(frame.pixels)) for frame in frames]


# -- no video --------------------------------------------------------------------------------------------------------
def test_an_empty_file(tmp_path, outcome):
    (tmp_path / "a.mp4").touch()
    row, _ = outcome("a.mp4")
    assert (row.kind, row.status, row.reason) == ("video", "failed", "not a video: the file is empty")


def test_a_text_called_like_a_video_is_read_as_text(tmp_path, outcome):
    (tmp_path / "a.mp4").write_text("<html>\nnot found\n</html>\n")
    row, _ = outcome("a.mp4")
    assert (row.kind, row.status, row.reason) == ("text", "read", "not a video: a text")


def test_a_pointer_of_git_lfs_is_told_from_the_video(tmp_path, outcome):
    (tmp_path / "a.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    row, _ = outcome("a.mp4")
    assert (row.kind, row.status) == ("video", "skipped")
    assert "git lfs pull" in row.reason


@pytest.mark.parametrize("name", ["a.ts", "b.mts"])
def test_typescript_is_code(tmp_path, outcome, name):
    (tmp_path / name).write_text("export const answer: number = 42;\n" * 50)
    row, _ = outcome(name)
    assert (row.kind, row.status, row.reason) == ("code", "read", "")


@pytest.mark.parametrize(
    "text", ["The free software", "    skip this", "what ftypmeans", "ID3 tags are", "OggS", "G" * 1024, "RIFF is a format"]
)
def test_words_are_no_signature(text):
    assert not is_recording(text.encode())


def test_noise_is_no_video(tmp_path, outcome):
    (tmp_path / "a.mkv").write_bytes(random.Random(0).randbytes(5000))
    (tmp_path / "b.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(5000))
    for name in ("a.mkv", "b.mp4"):
        row, _ = outcome(name)
        assert (row.kind, row.status) == ("video", "failed")
        assert "nvalid data" in row.reason


def test_a_file_that_names_another_does_not_lead_there(tmp_path, outcome):
    """Some containers are lists of files and addresses."""
    make_video(tmp_path / "other.mkv", STEADY[:3])
    (tmp_path / "a.mp4").write_bytes(b"ffconcat version 1.0\nfile other.mkv\n# \x00\n")
    row, footage = outcome("a.mp4")
    assert row.status == "failed"
    assert footage is None


def _with_sound_and_picture(file, codec, *, sound=True, art=False):
    with av.open(str(file), "w", format="mp4" if art and codec == "aac" else None) as output:
        if sound:
            stream = output.add_stream(codec, rate=16_000)
            stream.layout = "mono"
        if art:
            picture = output.add_stream("png", rate=1)
            picture.width, picture.height, picture.pix_fmt = 16, 16, "rgb24"
            picture.disposition = av.stream.Disposition.attached_pic
        if sound:
            wave = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            wave.sample_rate, wave.pts, wave.time_base = 16_000, 0, Fraction(1, 16_000)
            output.mux([*stream.encode(wave), *stream.encode(None)])
        if art:
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            output.mux([*picture.encode(frame), *picture.encode(None)])
    return file


@pytest.mark.parametrize(
    ("name", "codec", "art", "reason"),
    [
        ("a.m4a", "aac", False, "no video stream, only sound"),
        ("a.mp4", "aac", False, "no video stream, only sound"),
        ("a.mp3", "libmp3lame", True, "no video stream, only cover art"),
        ("b.m4a", "aac", True, "no video stream, only cover art"),
    ],
)
def test_sound_alone_is_no_video_and_a_cover_is_none_either(tmp_path, outcome, name, codec, art, reason):
    _with_sound_and_picture(tmp_path / name, codec, art=art)
    row, _ = outcome(name)
    assert (row.kind, row.status, row.reason) == ("audio", "skipped", reason)


def test_nothing_but_a_broken_video_is_one_error(tmp_path):
    (tmp_path / "a.mp4").write_bytes(bytes(2000))
    with pytest.raises(EmptyCorpusError, match="not a readable video"):
        read(tmp_path)


# -- another name ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("made", "name"),
    [("a.mp4", "a.bin"), ("b.mkv", "b"), ("c.ts", "c.dat"), ("d.avi", "d.mp4"), ("e.webm", "e.txt"), ("f.mp4", "f.ts")],
)
def test_a_video_is_known_by_its_content(tmp_path, outcome, made, name):
    make_video(tmp_path / made, STEADY[:20], codec="libvpx-vp9" if made.endswith("webm") else "libx264")
    (tmp_path / made).rename(tmp_path / name)
    row, footage = outcome(name)
    assert (row.kind, row.status) == ("video", "read")
    assert _indices(footage, footage.times[4:6]) == [(footage.times[4], 4), (footage.times[5], 5)]


def test_a_name_that_is_no_utf_8(tmp_path, rows):
    name = b"v\xff.mp4".decode(errors="surrogateescape")
    (tmp_path / "a.mp4").write_bytes(make_video(tmp_path / "b.mp4", STEADY[:5]).read_bytes())
    (tmp_path / "a.mp4").rename(tmp_path / name)
    corpus = read(tmp_path)
    assert rows(corpus)[name].status == "read"
    footage = next(source.footage for source in corpus.sources if source.path == name)
    assert len(_indices(footage, footage.times)) == 5


def test_a_title_that_is_no_utf_8(tmp_path, rows):
    file = make_video(tmp_path / "a.mkv", STEADY[:5])
    file.write_bytes(file.read_bytes().replace(b"Lavf", b"L\xe9\xfff"))
    assert rows(read(tmp_path))["a.mkv"].status == "read"


# -- cut off ---------------------------------------------------------------------------------------------------------
def test_an_mp4_without_its_end_cannot_be_read(tmp_path, outcome):
    file = make_video(tmp_path / "a.mp4", STEADY)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    row, _ = outcome("a.mp4")
    assert row.status == "failed"
    assert row.reason.startswith("cut off, and nothing of it can be read")


@pytest.mark.parametrize("before", [-20, 60], ids=["in a frame", "before it"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mkv", {}),
        ("fragments.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("index-first.mp4", {"movflags": "faststart"}),
        ("a.avi", {}),
        ("a.ts", {}),
    ],
)
def test_of_a_video_that_is_cut_off_the_frames_that_are_there_are_read(tmp_path, outcome, name, options, before):
    file = make_video(tmp_path / name, STEADY, codec="mpeg4", container_options=options)
    with av.open(str(file)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    file.write_bytes(file.read_bytes()[: places[36] - before])
    row, footage = outcome(name)
    assert row.status == "truncated"
    assert row.reason.startswith("cut off: the first ")
    assert 30 < len(footage.times) < 40
    found = _indices(footage, footage.times)
    assert len(found) >= len(footage.times) - 2
    assert all(index == round(place / 0.04) for place, index in found)


def test_a_recording_that_begins_between_keyframes_begins_with_the_first_one(tmp_path, outcome):
    file = make_video(tmp_path / "a.ts", STEADY)
    with av.open(str(file)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    file.write_bytes(file.read_bytes()[places[5] // 188 * 188 :])
    row, footage = outcome("a.ts")
    assert row.status == "read"
    assert (footage.times[0], len(footage.times)) == (0, 48)
    assert [index for _, index in _indices(footage, footage.times)] == list(range(12, 60))


# -- damaged ---------------------------------------------------------------------------------------------------------
def _damage(file, number, seed):
    """Write noise over one packet of a video, behind its headers."""
    with av.open(str(file)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
    data = bytearray(file.read_bytes())
    start = data.find(bytes(packet))
    assert start > 0
    data[start + 40 : start + packet.size] = random.Random(seed).randbytes(packet.size - 40)
    file.write_bytes(data)


@pytest.fixture(scope="module")
def grainy():
    """Numbered pictures with so much grain that packets are much longer than their headers."""
    grain = np.random.default_rng(0)
    pictures = [draw_index(index).astype(int) + grain.integers(-20, 20, (96, 128, 1)) for index in range(60)]
    return [picture.astype(np.uint8) for picture in pictures]


def _is_right(place, index):
    """Whether a frame is of its time; damage that a decoder does not notice may have made it unreadable."""
    return index in (None, round(place / 0.04))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("b.mp4", "libx265")])
def test_damage_in_the_middle_costs_frames_up_to_the_next_keyframe_and_makes_none_wrong(
    tmp_path, outcome, grainy, name, codec, seed
):
    file = make_video(tmp_path / name, STEADY, codec=codec, pictures=grainy)
    _damage(file, 24 + 2 * seed, seed)
    row, footage = outcome(name)
    assert row.status == "read"
    found = _indices(footage, footage.times)
    assert all(_is_right(place, index) for place, index in found)
    readable = {index for _, index in found} - {None}
    assert readable >= {*range(20), *range(36, 60)}
    assert len(readable) < 60
    assert _indices(footage, footage.times[40:42]) == [(footage.times[40], 40), (footage.times[41], 41)]


@pytest.mark.parametrize(
    ("name", "codec", "number"), [("a.mp4", "mpeg4", 13), ("a.mp4", "mpeg4", 25), ("a.mkv", "libx264", 18)]
)
def test_what_is_shown_before_a_damaged_frame_and_refers_to_it_is_left_out_too(tmp_path, outcome, grainy, name, codec, number):
    options = {"bf": "2"} if codec == "mpeg4" else {"bf": "3", "preset": "fast"}
    file = make_video(tmp_path / name, STEADY, codec=codec, options=options, pictures=grainy)
    _damage(file, number, 0)
    _, footage = outcome(name)
    found = _indices(footage, footage.times)
    assert all(_is_right(place, index) for place, index in found)
    assert 30 <= len(found) < 60


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv"])
def test_bits_turned_over_anywhere_never_end_the_read(tmp_path, outcome, name, seed):
    file = make_video(tmp_path / name, STEADY[:30])
    chance, data = random.Random(seed), bytearray(file.read_bytes())
    for _ in range(20):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)
    row, footage = outcome(name)
    assert row.status in ("read", "truncated", "failed", "skipped")
    if footage is not None:
        places = [place for place, _ in _indices(footage, footage.times)]
        assert set(places) <= set(footage.times)
