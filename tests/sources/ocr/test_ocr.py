"""Text in pictures: read in the right order, whichever way it runs, with its place, without a word to the outside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from longctx.sources import process as process_module
from longctx.sources.ocr import reader as ocr
from longctx.sources.ocr.boxes import parts

WORDS = ["tide", "gauge", "level", "reading", "harbour", "storm", "log", "minute", "sensor", "battery", "cable", "datum"]
HOME = Path(process_module.__file__).resolve().parents[2]


def prose(count, first):
    return " ".join(WORDS[(first + 5 * number + number // 12) % len(WORDS)] for number in range(count))


def drawn(page, width, height, pymupdf):
    picture = page.get_pixmap(matrix=pymupdf.Matrix(width / page.rect.width, height / page.rect.height), alpha=False)
    return np.frombuffer(picture.samples, np.uint8).reshape(height, width, 3)


@pytest.fixture(scope="module")
def reader():
    return ocr.Reader()


@pytest.fixture(scope="module")
def columns(pymupdf):
    """A page of two columns below a title, and its words in reading order."""
    with pymupdf.open() as document:
        page = document.new_page(width=400, height=300)
        page.insert_text((30, 40), "Readings of the tide gauge", fontsize=18)
        page.insert_textbox((30, 60, 190, 290), prose(45, 0), fontsize=11)
        page.insert_textbox((210, 60, 370, 290), prose(45, 7), fontsize=11)
        return drawn(page, 1000, 750, pymupdf), "Readings of the tide gauge " + prose(45, 0) + " " + prose(45, 7)


def words(text):
    return re.findall(r"\w+", text.lower())


def in_order(found, wanted):
    from difflib import SequenceMatcher

    matched = SequenceMatcher(None, words(wanted), words(found), autojunk=False).get_matching_blocks()
    return sum(block.size for block in matched) / len(words(wanted))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_two_columns_are_read_in_order_whichever_way_the_page_lies(reader, columns, turns):
    pixels, wanted = columns
    turned = np.ascontiguousarray(np.rot90(pixels, turns))
    blocks = reader.read(turned)
    assert in_order(" ".join(text for _, text in parts(blocks)), wanted) > 0.97
    height, width = turned.shape[:2]
    for block in blocks:
        for (x0, y0, x1, y1), _ in block:
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            assert turned[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1].min() < 100, "nothing is written there"
    (x0, y0, x1, y1), text = blocks[0][0]
    assert text == "Readings of the tide gauge"
    upright = ((x0, y0), (height - y1, x0), (width - x1, height - y1), (y0, width - x1))[turns]
    assert max(upright) < 200, "the title stands at the top left of the upright page"


def test_a_page_that_lies_askew_is_read_in_order(reader, columns):
    from PIL import Image

    pixels, wanted = columns
    askew = Image.fromarray(pixels).rotate(2.5, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    found = " ".join(text for _, text in parts(reader.read(np.asarray(askew))))
    assert in_order(found, wanted) > 0.97


def test_a_slide_is_read_word_for_word(reader, pymupdf):
    lines = ["Retry policy of the station", "at most five attempts", "then wait 60 seconds", "alarm after 10 minutes"]
    with pymupdf.open() as document:
        page = document.new_page(width=1280, height=720)
        page.draw_rect(page.rect, fill=(0.1, 0.15, 0.3))
        for number, line in enumerate(lines):
            page.insert_text((90, 140 + 110 * number), line, fontsize=36 if number else 56, color=(1, 1, 1))
        pixels = drawn(page, 1280, 720, pymupdf)
    found = Counter(words(" ".join(text for _, text in parts(reader.read(pixels)))))
    assert found == Counter(words(" ".join(lines)))


def test_noise_blank_sheets_and_slivers_have_no_text(reader):
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    for pixels in (
        noise,
        np.full((200, 300, 3), 255, np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((3, 2000, 3), np.uint8),
    ):
        assert reader.read(pixels) == []


def test_one_new_line_on_a_slide_makes_a_frame_unlike_and_noise_does_not(pymupdf):
    with pymupdf.open() as document:
        page = document.new_page(width=1280, height=720)
        page.insert_text((90, 140), "Retry policy", fontsize=40)
        before = drawn(page, 1280, 720, pymupdf)
        page.insert_text((90, 240), "at most five attempts", fontsize=18)
        after = drawn(page, 1280, 720, pymupdf)
    noise = np.random.default_rng(0).normal(0, 3, before.shape)
    noisy = np.clip(before + noise, 0, 255).astype(np.uint8)
    assert ocr.alike(ocr.thumbnail(before), ocr.thumbnail(noisy))
    assert not ocr.alike(ocr.thumbnail(before), ocr.thumbnail(after))


QUIET = """
import socket, sys, json, logging
def outside(*arguments, **keywords): raise SystemExit(f"asked for {arguments}")
socket.getaddrinfo = socket.gethostbyname = socket.create_connection = socket.socket.connect = outside
from longctx.sources.ocr import reader as ocr
request = {"do": "picture_frames", "file": sys.argv[1], "places": [0.0], "width": 640, "height": 360}
replies = list(ocr.texts(request))
assert "Retry policy" in json.dumps(replies), replies
"""


def test_reading_looks_up_no_name_and_prints_nothing(tmp_path, pymupdf):
    with pymupdf.open() as document:
        page = document.new_page(width=640, height=360)
        page.insert_text((40, 140), "Retry policy", fontsize=40)
        page.get_pixmap().save(tmp_path / "a.png")
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    command = [sys.executable, "-W", "ignore", "-c", QUIET, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_missing_recogniser_is_named_with_what_to_install(tmp_path):
    (tmp_path / "rapidocr").mkdir()
    (tmp_path / "rapidocr" / "__init__.py").write_text("raise ImportError('not here')\n")
    program = (
        "import json; from longctx.sources.ocr.reader import texts; print(json.dumps(list(texts({'do': 'picture_frames'}))))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(HOME)))}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    (reply,) = json.loads(done.stdout)
    assert "reading pictures as text needs the package 'rapidocr'" in reply["missing"]
    assert reply["hint"] == "pip install 'longctx-jupyter[ocr]'"


def test_threads_are_bounded(reader):
    assert 1 <= ocr.THREADS <= 4
    reader.read(np.full((64, 64, 3), 255, np.uint8))  # its models are loaded when they are first needed
    options = reader._engine.text_det.session.session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (ocr.THREADS, 1)
