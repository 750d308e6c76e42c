"""What the demo reads: a small real project whose facts can be asked, and a manual that is made by its script."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from longctx.corpus import Lines, Moment, Page
from longctx.sources import read

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"


@pytest.fixture(scope="module")
def corpus():
    return read(DEMO / "project")


@pytest.mark.parametrize(
    ("fact", "place"),
    [
        ("The retry policy is decided here and nowhere else.", "tidewatch/retry.py"),
        ("A reading is tried four times.", "tidewatch/retry.py"),
        ("named by its UTC date", "tidewatch/storage.py"),
        ("The alarm level of the harbour is 5.20 m.", "README.md"),
        ("accuracy of ±3 mm over the whole range", 1),
        ("Clean the radar window every six months", 2),
        ("The gauge listens on TCP port 4117", 3),
        ("A new battery goes in every April.", 11.0),
    ],
)
def test_each_fact_that_can_be_asked_stands_in_one_place(corpus, fact, place):
    (segment,) = [segment for segment in corpus.segments.values() if fact in segment.text]
    match segment.origin:
        case Lines(path=path):
            assert path == place
        case Page(path=path, number=number):
            assert (path, number) == ("manual.pdf", place)
        case Moment(path=path, start=start, end=end):
            assert path == "tour.mp4"
            assert start <= place < end


def test_everything_in_it_is_read_and_it_stays_small(corpus):
    said = {row.path: row.reason for row in corpus.manifest if row.reason}
    assert {row.status for row in corpus.manifest} == {"read"}
    assert said == {"tour.mp4": "30 s, 640x360, 300 frames, subtitles"}
    characters = sum(len(segment.text) for segment in corpus.segments.values())
    assert 9_000 < characters < 14_000, "about 3,000 tokens"


def test_the_manual_is_what_its_script_makes(pymupdf):
    made = runpy.run_path(str(DEMO / "make_pdf.py"))["manual"]
    assert made() == made(), "the same bytes every time"
    with pymupdf.open(stream=made()) as fresh, pymupdf.open(DEMO / "project" / "manual.pdf") as kept:
        assert [page.get_text() for page in fresh] == [page.get_text() for page in kept]
        assert len(kept) == 3


def test_the_tour_is_what_its_script_makes(tmp_path):
    runpy.run_path(str(DEMO / "make_video.py"))["tour"](tmp_path / "tour.mp4")
    made, kept = (read(folder / "tour.mp4").sources[0].footage for folder in (tmp_path, DEMO / "project"))
    assert (made.times, made.cues, made.duration) == (kept.times, kept.cues, kept.duration)
    assert (kept.width, kept.height, len(kept.cues)) == (640, 360, 6)
    places = [5.0 * slide + 2 for slide in range(6)]
    pairs = zip(*(footage.medium.frames(places, 320, 180, lambda: None) for footage in (made, kept)), strict=True)
    assert max(abs(one.pixels.astype(float) - other.pixels).mean() for one, other in pairs) < 4


def test_the_program_runs(tmp_path):
    shutil.copytree(DEMO / "project", tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__", "data"))
    command = [sys.executable, "-B", "-m", "tidewatch", "tidewatch.toml", "--once", "--simulate"]
    done = subprocess.run(command, cwd=tmp_path / "project", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Northquay: ")
    (file,) = (tmp_path / "project" / "data").glob("*.csv")
    assert file.read_text().startswith("time,level_m,temperature_c\n")


def test_its_retry_policy_and_its_protocol_are_as_they_say(monkeypatch):
    monkeypatch.syspath_prepend(str(DEMO / "project"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    from tidewatch.gauge import GaugeError, Reading, parse
    from tidewatch.retry import RetryPolicy

    waits = []

    def damaged():
        return parse("L 3.412 T 11.8 *25")

    with pytest.raises(GaugeError, match="checksum"):
        RetryPolicy().run(damaged, waits.append)
    assert waits == [0, 2, 4, 8]
    assert parse("L 3.412 T 11.8 *24\r\n") == Reading(3.412, 11.8)
