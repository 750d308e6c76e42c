"""For a model that cannot see: pictures, scanned pages and videos become text with its place, and nothing is lost silently."""

from __future__ import annotations

import base64
import io
import json
import os
import stat
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from longctx.corpus import Lines, Moment, Page
from longctx.errors import MissingPackageError, SourceChangedError, Stopped
from longctx.jobs import Job
from longctx.sources import read
from longctx.sources.process import end_idle
from longctx.sources.promises import HEADING, Told, estimate, fulfil
from tests import pictures
from tests.videos import make_video


@pytest.fixture(scope="module")
def slide():
    """A slide with these lines, as pixels."""
    return pictures.slide


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def scanned(pymupdf, document, slide, *lines, rotation=0):
    """A page that is nothing but a picture."""
    page = document.new_page(width=640, height=360)
    page.insert_image(page.rect, stream=png(slide(*lines)))
    page.set_rotation(rotation)


def only(corpus):
    (source,) = corpus.sources
    return source


def spread(segments):
    return " ".join(segment.text for segment in segments).split()


# -- pictures and pages ----------------------------------------------------------------------------------------------
def test_a_picture_becomes_text_with_its_box_and_can_still_be_shown(write, rows, slide, tmp_path):
    corpus = read(write({"a.png": png(slide("Retry policy", "five attempts")), "b.txt": "text\n"}))
    found, told = fulfil(corpus, cache_folder=tmp_path / "cache")
    source = next(source for source in found.sources if source.path == "a.png")
    assert spread(source.segments) == ["Retry", "policy", "five", "attempts"]
    for segment in source.segments:
        assert (segment.heading, segment.visuals) == (HEADING, ())
        assert segment.origin == Page("a.png", 1, segment.origin.box, picture=True)
        x0, y0, x1, y1 = segment.origin.box
        assert 20 < x0 < 60 < 200 < x1 < 330
        assert 40 < y0 < y1 < 190
    assert source.medium.look(0.0, 100, segment.origin.box)[:2] == b"\xff\xd8"
    assert (told.pictures, told.pages, told.frames, told.kept) == (1, 0, 0, 0)
    assert told.words() == "1 picture was read as text (OCR)"
    assert (rows(found)["a.png"].status, rows(found)["a.png"].reason) == ("read", HEADING)
    assert next(source for source in found.sources if source.path == "b.txt") in corpus.sources


@pytest.mark.parametrize("rotation", [0, 90])
def test_scanned_pages_of_a_mixed_document_are_read_in_place(write, rows, slide, pymupdf, tmp_path, rotation):
    with pymupdf.open() as document:
        document.new_page().insert_text((72, 72), "written words")
        scanned(pymupdf, document, slide, "scanned words", rotation=rotation)
        scanned(pymupdf, document, slide)
        document.new_page().insert_text((72, 72), "more of them")
        corpus = read(write({"a.pdf": document.tobytes()}))
    found, told = fulfil(corpus, cache_folder=tmp_path)
    segments = only(found).segments
    assert [(s.origin.number, s.text) for s in segments] == [(1, "written words"), (2, "scanned words"), (4, "more of them")]
    x0, y0, x1, y1 = segments[1].origin.box
    upright = (x0, y0, x1, y1) if rotation == 0 else (y0, 360 - x1, y1, 360 - x0)
    assert all(abs(value - wanted) < 15 for value, wanted in zip(upright, (40, 55, 250, 90), strict=True)), upright
    assert (told.pages, told.words()) == (2, "2 pages were read as text (OCR)")
    assert rows(found)["a.pdf"].reason == (
        "pages 2-3 are pictures (scanned); read as text (OCR); no text on page 3 for a model that cannot see"
    )


def test_pictures_of_pages_whose_text_is_known_are_not_read(write, pymupdf, tmp_path):
    with pymupdf.open() as document:
        document.new_page().insert_text((72, 72), "written words")
        top = write({"a.pdf": document.tobytes()})
    found, told = fulfil(read(top, pages_as_pictures=True), cache_folder=tmp_path)
    assert found.sources[0].segments == read(top).sources[0].segments
    assert told == Told(seconds=told.seconds)


def test_a_picture_without_text_is_dropped_and_its_row_says_so(write, rows, slide, tmp_path):
    corpus = read(write({"blank.png": png(slide()), "b.txt": "text\n"}))
    found, _ = fulfil(corpus, cache_folder=tmp_path)
    assert [source.path for source in found.sources] == ["b.txt"]
    row = rows(found)["blank.png"]
    assert (row.status, row.reason) == (
        "skipped",
        "a picture without text; nothing to read for a model that cannot see",
    )


def test_a_corpus_without_promises_stays_what_it_is_and_needs_no_recogniser(write, tmp_path, no_rapidocr):
    corpus = read(write({"a.txt": "text\n"}))
    assert fulfil(corpus, cache_folder=tmp_path) == (corpus, Told())


# -- what is kept ----------------------------------------------------------------------------------------------------
@pytest.fixture
def no_rapidocr(monkeypatch, tmp_path):
    """A worker that cannot import the recogniser."""
    broken = tmp_path / "broken"
    (broken / "rapidocr").mkdir(parents=True)
    (broken / "rapidocr" / "__init__.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    end_idle()
    yield
    end_idle()


def test_what_was_read_before_is_not_read_again_and_damaged_entries_are(write, slide, tmp_path, monkeypatch):
    top = write({"a.png": png(slide("log")), "b.png": png(slide("tide"))})
    corpus = read(top)
    found, told = fulfil(corpus, cache_folder=tmp_path / "cache")
    folder = tmp_path / "cache" / "ocr"
    assert (told.pictures, told.kept) == (2, 0)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    again, told = fulfil(read(top), cache_folder=tmp_path / "cache")
    assert (again.sources, again.manifest) == (found.sources, found.manifest)
    assert (told.pictures, told.kept) == (2, 2)
    entries = sorted(folder.iterdir())
    assert len(entries) == 2
    for damage in (b"\xff{}", b'{"sum": "0", "blocks": [[[[0, 0, 1, 1], "forged"]]]}'):
        entries[0].write_bytes(damage)
        again, told = fulfil(corpus, cache_folder=tmp_path / "cache")
        assert again.sources == found.sources
        assert told.kept == 1
    assert sorted(folder.iterdir()) == entries, "no temporary file is left"


def test_what_is_kept_is_known_by_content_and_needs_no_recogniser(write, slide, tmp_path, no_rapidocr, monkeypatch):
    data = png(slide("Retry policy"))
    corpus = read(write({"a.png": data}))
    with pytest.raises(MissingPackageError, match="'rapidocr'"):
        fulfil(corpus, cache_folder=tmp_path / "cache")
    monkeypatch.delenv("PYTHONPATH")
    end_idle()
    fulfil(corpus, cache_folder=tmp_path / "cache")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    end_idle()
    found, _ = fulfil(read(write({"other.png": data}, folder="elsewhere")), cache_folder=tmp_path / "cache")
    assert spread(only(found).segments) == ["Retry", "policy"]


def test_where_only_what_is_kept_is_wanted_other_promises_stay_open(write, rows, slide, pymupdf, tmp_path):
    with pymupdf.open() as document:
        scanned(pymupdf, document, slide, "first page")
        scanned(pymupdf, document, slide, "second page")
        corpus = read(write({"a.pdf": document.tobytes()}))
    open_, told = fulfil(corpus, cache_folder=tmp_path, only_kept=True)
    assert (open_.sources, open_.manifest) == (corpus.sources, corpus.manifest)
    assert told.left == 2
    one = replace(corpus.sources[0], segments=corpus.sources[0].segments[:1])
    fulfil(replace(corpus, sources=(one,)), cache_folder=tmp_path)
    part, told = fulfil(corpus, cache_folder=tmp_path, only_kept=True)
    assert [(segment.text, len(segment.visuals)) for segment in only(part).segments] == [("first page", 0), ("", 1)]
    assert (told.kept, told.left) == (1, 1)


# -- trouble ---------------------------------------------------------------------------------------------------------
def test_a_file_that_changed_after_it_was_read_is_an_error(write, slide, tmp_path):
    top = write({"a.png": png(slide("Retry policy"))})
    corpus = read(top)
    os.utime(top / "a.png", ns=(1, 1))
    with pytest.raises(SourceChangedError, match=r"a\.png: changed since it was read"):
        fulfil(corpus, cache_folder=tmp_path)


def test_a_stop_ends_the_work_and_what_was_read_is_kept(write, slide, tmp_path):
    corpus = read(write({f"{number}.png": png(slide(f"Number {number}")) for number in range(3)}))
    job = Job(lambda job: fulfil(corpus, cache_folder=tmp_path, job=job), title="read")
    seen = []

    def stop_after_one():
        seen.append((job.progress.stage, job.progress.done, job.progress.total))
        if job.progress.done == 1:
            job.cancel()

    job.watch(stop_after_one)
    job.run()
    assert job.state == "stopped"
    assert ("read pictures as text", 1, 3) in seen
    with pytest.raises(Stopped):
        job.result()
    assert len(list((tmp_path / "ocr").iterdir())) == 1


def test_a_picture_that_cannot_be_read_any_more_fails_with_a_reason(write, rows, tmp_path):
    stream = io.BytesIO()
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(stream, "PNG")
    data = stream.getvalue()
    top = write({"a.png": data, "b.txt": "text\n"})
    corpus = read(top)
    source = next(source for source in corpus.sources if source.path == "a.png")
    snapshot = source.medium.snapshot
    (top / "a.png").write_bytes(b"\x00" * len(data))  # its size and time are put back, as a failing disk would
    os.utime(top / "a.png", ns=(snapshot.modified, snapshot.modified))
    found, _ = fulfil(corpus, cache_folder=tmp_path)
    assert (rows(found)["a.png"].status, rows(found)["a.png"].reason) == (
        "failed",
        "1 picture cannot be read as text: damaged: it cannot be opened",
    )


# -- videos ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def lecture(tmp_path_factory, slide):
    """Twelve seconds, four frames a second: a slide, one with a line more, nothing, another; subtitles beside."""
    shown = [slide("Retry policy"), slide("Retry policy", "five attempts"), slide(), slide("Battery log")]
    changes = (0.0, 3.25, 6.5, 9.0)
    times = [number / 4 for number in range(48)]
    pictures = [shown[sum(time >= change for change in changes) - 1] for time in times]
    folder = tmp_path_factory.mktemp("lecture")
    subtitles = [(0.5, 2.0, "Welcome."), (7.0, 8.0, "A pause."), (9.5, 11.0, "The end.")]
    make_video(folder / "lecture.mp4", times, (640, 360), subtitles=subtitles, pictures=pictures)
    return folder / "lecture.mp4"


def test_a_video_becomes_what_stands_on_the_screen_and_what_is_said_by_exact_times(lecture, rows, tmp_path):
    corpus = read(lecture)
    found, told = fulfil(corpus, cache_folder=tmp_path)
    source = only(found)
    assert [(segment.text, segment.origin) for segment in source.segments] == [
        ("On screen: Retry policy\nSubtitles: Welcome.\n", Moment("lecture.mp4", 0.0, 3.25)),
        ("On screen: Retry policy\nfive attempts\n", Moment("lecture.mp4", 3.25, 6.5)),
        ("Subtitles: A pause.\n", Moment("lecture.mp4", 7.0, 9.0)),
        ("On screen: Battery log\nSubtitles: The end.\n", Moment("lecture.mp4", 9.0, corpus.sources[0].footage.duration)),
    ]
    assert source.footage is None
    assert source.medium.look(4.0, 100)[:2] == b"\xff\xd8"
    assert told.frames == 12
    assert rows(found)["lecture.mp4"].reason.endswith("12 frames read as text (OCR)")
    again, told = fulfil(corpus, cache_folder=tmp_path, only_kept=True)
    assert again.sources == found.sources
    assert told.kept == told.frames == 12


def test_frames_that_were_chosen_are_the_ones_that_are_read(lecture, tmp_path):
    found, told = fulfil(read(lecture), cache_folder=tmp_path, frames={"lecture.mp4": [0.0, 3.25, 9.1]})
    starts = [segment.origin.start for segment in only(found).segments]
    assert starts == [0.0, 3.25, 9.0], "what stands between them was not read"
    assert told.frames == 3


def test_a_video_of_which_not_everything_is_kept_stays_open(lecture, tmp_path):
    corpus = read(lecture)
    fulfil(corpus, cache_folder=tmp_path, frames={"lecture.mp4": [0.0]})
    found, told = fulfil(corpus, cache_folder=tmp_path, only_kept=True)
    assert only(found) is only(corpus)
    assert (told.left, told.frames) == (12, 0)


def test_a_video_without_text_and_subtitles_is_dropped_and_its_row_says_so(write, rows, slide, tmp_path):
    top = write({"b.txt": "text\n"})
    make_video(top / "a.mp4", [0.0, 0.5], (640, 360), pictures=[slide()] * 2)
    found, _ = fulfil(read(top), cache_folder=tmp_path)
    assert [source.path for source in found.sources] == ["b.txt"]
    assert rows(found)["a.mp4"].status == "skipped"
    assert "nothing to read for a model that cannot see" in rows(found)["a.mp4"].reason


# -- estimates -------------------------------------------------------------------------------------------------------
def test_estimates_are_generous_and_nothing_for_text(lecture, write, slide, pymupdf, tmp_path):
    with pymupdf.open() as document:
        scanned(pymupdf, document, slide, "a page", "with lines")
        top = write({"a.png": png(slide("Retry policy")), "a.pdf": document.tobytes(), "b.txt": "text\n"})
    corpus = read(top)
    found, _ = fulfil(corpus, cache_folder=tmp_path)
    for before, after in zip(corpus.sources, found.sources, strict=True):
        characters = sum(len(segment.text) for segment in after.segments if segment.heading == HEADING)
        assert estimate(before) >= characters // 2, before.path
        assert estimate(after) == 0
        assert estimate(before) <= 4000
    assert estimate(only(read(lecture))) > 12 * 20


# -- pictures inside of documents ------------------------------------------------------------------------------------
def test_a_picture_in_a_notebook_becomes_text_at_its_cell(write, rows, slide, tmp_path):
    figures = [
        {"output_type": "display_data", "data": {"image/png": base64.b64encode(png(slide(*words))).decode()}}
        for words in (("Retry policy", "five attempts"), ())
    ]
    cell = {"cell_type": "code", "source": "plot()\nshow()", "outputs": figures}
    corpus = read(write({"nb.ipynb": json.dumps({"cells": [cell]})}))
    assert estimate(corpus.sources[0]) > 0
    found, told = fulfil(corpus, cache_folder=tmp_path)
    code, *texts = only(found).segments
    assert code == corpus.sources[0].segments[0]
    assert spread(texts) == ["Retry", "policy", "five", "attempts"]
    assert all(one.origin == Lines("nb.ipynb", 1, 2, 1) and one.lines_at(5) == (1, 2) for one in texts)
    assert (told.pictures, told.pages) == (2, 0)
    assert rows(found)["nb.ipynb"].reason == f"{HEADING}; 1 picture without text for a model that cannot see"
    kept, again = fulfil(corpus, cache_folder=tmp_path, only_kept=True)
    assert (kept, again.kept) == (found, 2)


# -- secrets -----------------------------------------------------------------------------------------------------------
AWS_KEY = "AKIAZ7Q2LMN4XK3P5RTV"


def test_a_token_in_a_picture_is_redacted_counted_and_not_searched_for_when_nobody_wants_that(write, rows, slide, tmp_path):
    top = write({"a.png": png(slide("key of the cloud", f"= {AWS_KEY}")), "b.txt": "text\n"})
    found, _ = fulfil(read(top), cache_folder=tmp_path / "cache")
    assert AWS_KEY not in str(found.sources)
    assert "[redacted: AWS access key]" in " ".join(segment.text for segment in found.segments.values())
    assert rows(found)["a.png"].status == "redacted"
    assert rows(found)["a.png"].reason == f"{HEADING}; 1 secret redacted: AWS access key in it"
    plain, told = fulfil(read(top, redact=False), cache_folder=tmp_path / "cache")
    assert AWS_KEY in " ".join(segment.text for segment in plain.segments.values())
    assert (rows(plain)["a.png"].status, rows(plain)["a.png"].reason) == ("read", HEADING)
    assert told.kept == 1, "what was read before is searched as well"


def test_a_private_key_on_a_scanned_page_is_redacted_over_all_its_lines(write, rows, pymupdf, tmp_path):
    body = base64.b64encode(np.random.default_rng(5).bytes(900)).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    with pymupdf.open() as typed, pymupdf.open() as document:
        page = typed.new_page(width=500, height=500)
        key = ["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----"]
        page.insert_text(
            (30, 50), "\n".join(["Keep this safe.", *key, "And the main gate opens."]), fontsize=11, fontname="cour"
        )
        picture = page.get_pixmap(dpi=170)
        sheet = document.new_page(width=500, height=500)
        sheet.insert_image(sheet.rect, pixmap=picture)
        corpus = read(write({"a.pdf": document.tobytes()}))
    found, _ = fulfil(corpus, cache_folder=tmp_path / "cache")
    text = "\n".join(segment.text for segment in only(found).segments)
    assert (text.split("\n")[0], text.split("\n")[-1]) == ("Keep this safe.", "And the main gate opens.")
    assert not any(line[8:40] in text for line in lines)
    assert text.count("[redacted: private key]") >= 1
    assert rows(found)["a.pdf"].reason.endswith("1 secret redacted: private key in it")


def test_dashes_that_a_recogniser_makes_of_hyphens_do_not_hide_a_key():
    from longctx.corpus import Segment
    from longctx.sources.texts.redaction import without_recognised

    body = base64.b64encode(np.random.default_rng(5).bytes(300)).decode()
    text = f"一 list —\n—————BEGIN PRIVATE KEY一一一一一\n{body}\n—————END PRIVATE KEY—————"
    (safe,), found = without_recognised([Segment(text, Page("a.png", 1, None, None, picture=True), HEADING)])
    assert safe.text == "一 list —\n[redacted: private key]\n\n"
    assert found == {"private key": 1}


def test_a_token_on_a_slide_of_a_video_is_redacted(write, rows, slide, tmp_path):
    frames = [slide("Set up the cloud", AWS_KEY)] * 4
    make_video(tmp_path / "a.mp4", [0.0, 1.0, 2.0, 3.0], (640, 360), pictures=frames)
    corpus = read(write({"a.mp4": (tmp_path / "a.mp4").read_bytes()}))
    found, _ = fulfil(corpus, cache_folder=tmp_path / "cache")
    text = "\n".join(segment.text for segment in only(found).segments)
    assert "On screen: Set up the cloud\n[redacted: AWS access key]" in text
    assert rows(found)["a.mp4"].status == "redacted"
