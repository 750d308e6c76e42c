"""What the worker said of documents, kept by content: the same replies, or the worker is asked again."""

import os
import zipfile
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longctx.sources import read, replies
from longctx.sources.process import ParserProcess
from longctx.sources.replies import Replies

NUMBERS = count()
BOOK = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": """<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>""",
    "book.opf": """<package xmlns="http://www.idpf.org/2007/opf"><manifest>
<item id="one" href="one.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="one"/></spine></package>""",
    "one.xhtml": """<html xmlns="http://www.w3.org/1999/xhtml">
<body><h1>Boats</h1><p>A boat lies in the harbour.</p></body></html>""",
}
SAID = [{"number": 1, "text": "naïve \ud800", "box": [0.1, 2.0, 1e-9, 3.3]}, {"pages": 1, "none": None, "yes": True}]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(replies, "LARGEST", 2**20)
    return Replies(tmp_path / "kept")


def told(kept, said, name="pdf", **arguments):
    """What is told, and how often the worker was asked for it."""
    asked = []

    def ask():
        asked.append(name)
        yield from said

    return list(kept.told((name, "sha"), ask, **arguments)), len(asked)


def test_what_was_said_once_is_told_again_and_equal(kept):
    assert told(kept, SAID) == (SAID, 1)
    assert told(kept, []) == (SAID, 0)
    assert told(kept, [], "docx") == ([], 1)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    said=st.lists(st.dictionaries(st.sampled_from("abc"), st.text() | st.integers() | st.floats(allow_nan=False))),
    chunk=st.integers(1, 9),
)
def test_replies_are_the_same_wherever_they_are_cut_when_they_are_unpacked(kept, monkeypatch, said, chunk):
    monkeypatch.setattr(replies, "_CHUNK", chunk)
    name = f"{next(NUMBERS)}"
    assert told(kept, said, name) == (said, 1)
    assert told(kept, None, name) == (said, 0)


def test_one_damaged_byte_makes_the_worker_be_asked_again(kept, tmp_path):
    told(kept, SAID)
    (file,) = (tmp_path / "kept").iterdir()
    sound = file.read_bytes()
    for place in range(len(sound)):
        file.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        assert told(kept, SAID) == (SAID, 1)
    file.write_bytes(sound[:-1])
    assert told(kept, SAID) == (SAID, 1)


@pytest.mark.parametrize("failed", [{"error": "the PDF reader crashed"}, {"failed": "KeyError"}])
def test_an_error_is_not_kept(kept, failed):
    assert told(kept, [*SAID, failed]) == ([*SAID, failed], 1)
    assert told(kept, SAID) == (SAID, 1)


def test_a_page_that_cannot_be_read_is_kept_with_the_others(kept):
    said = [*SAID, {"page": 2, "error": "damaged"}]
    assert told(kept, said) == (said, 1)
    assert told(kept, []) == (said, 0)


def test_what_is_told_again_counts_as_used(kept, tmp_path):
    told(kept, SAID)
    (file,) = (tmp_path / "kept").iterdir()
    os.utime(file, (1000, 1000))
    told(kept, SAID)
    assert file.stat().st_mtime > 1000


def test_what_changed_while_it_was_read_is_not_kept(kept):
    told(kept, SAID, is_still=lambda: False)
    assert told(kept, SAID) == (SAID, 1)


def test_what_was_not_heard_to_its_end_is_not_kept(kept):
    begun = kept.told(("pdf", "sha"), lambda: iter(SAID))
    next(begun)
    begun.close()
    assert told(kept, SAID) == (SAID, 1)


def test_what_is_too_large_is_passed_on_and_not_kept(kept, monkeypatch):
    monkeypatch.setattr(replies, "LARGEST", 10)
    many = [{"number": number} for number in range(200_000)]
    assert told(kept, many) == (many, 1)
    assert told(kept, SAID) == (SAID, 1)


def test_another_version_of_the_parsers_is_asked_itself(kept, monkeypatch):
    told(kept, SAID)
    monkeypatch.setattr(replies, "_code", lambda: "another")
    assert told(kept, []) == ([], 1)


def test_the_version_is_that_of_every_module_that_parses(tmp_path, monkeypatch):
    made = tmp_path / "sources"
    (made / "pdf").mkdir(parents=True)
    (made / "pdf" / "lines.py").write_text("a = 1\n")
    monkeypatch.setattr(replies, "__file__", str(made / "replies.py"))
    before = replies._code.__wrapped__()
    (made / "pdf" / "lines.py").write_text("a = 2\n")
    assert replies._code.__wrapped__() != before


def test_a_folder_that_cannot_be_written_is_no_error(kept, tmp_path):
    (tmp_path / "kept").write_bytes(b"")
    assert told(kept, SAID) == (SAID, 1)


# -- whole reads -------------------------------------------------------------------------------------------------------
@pytest.fixture
def folder(pymupdf, tmp_path, cache):
    """A PDF with a key in it, a book, and a page in HTML, which is parsed every time."""
    place = tmp_path / "shelf"
    place.mkdir()
    with pymupdf.open() as document:
        document.new_page().insert_textbox((50, 50, 500, 300), "The tide comes in twice a day. AKIA" + "Z7Q2LMN4XK3P5RTV")
        document.save(place / "tide.pdf")
    with zipfile.ZipFile(place / "boats.epub", "w") as book:
        for name, text in BOOK.items():
            book.writestr(name, text)
    (place / "page.html").write_text("<h1>Boats</h1>" + "<p>A boat lies in the harbour, and another one at sea.</p>" * 20)
    return place


def parsed(monkeypatch):
    """What the worker is asked from now on."""
    asked = []
    ask = ParserProcess.ask

    def noted(self, do, check, **arguments):
        asked.append(do)
        return ask(self, do, check, **arguments)

    monkeypatch.setattr(ParserProcess, "ask", noted)
    return asked


def test_documents_read_again_elsewhere_are_the_same_without_the_worker(folder, monkeypatch):
    monkeypatch.setattr(replies, "LARGEST", 2**20)
    first = read(folder)
    words, rows = [repr(segment) for segment in first.segments.values()], first.manifest
    del first  # what is still held is not read again at all
    asked = parsed(monkeypatch)
    again = read(folder)
    assert asked == ["html"]
    assert [repr(segment) for segment in again.segments.values()] == words
    assert again.manifest == rows
    assert {row.path: row.status for row in rows} == {"boats.epub": "read", "page.html": "read", "tide.pdf": "redacted"}


def test_a_document_that_is_another_one_now_is_parsed(folder, monkeypatch, pymupdf):
    monkeypatch.setattr(replies, "LARGEST", 2**20)
    read(folder / "tide.pdf")
    with pymupdf.open() as document:
        document.new_page().insert_text((50, 50), "The boats are gone.")
        document.save(folder / "tide.pdf")
    assert "The boats are gone." in read(folder / "tide.pdf").segments[1].text


def test_a_document_that_changes_while_it_is_read_is_not_kept(folder, cache, monkeypatch):
    monkeypatch.setattr(replies, "LARGEST", 2**20)
    ask = ParserProcess.ask

    def changed(self, do, check, **arguments):
        yield from ask(self, do, check, **arguments)
        os.utime(arguments["file"], (1000, 1000))

    monkeypatch.setattr(ParserProcess, "ask", changed)
    read(folder / "tide.pdf")
    assert not (cache / "documents").exists()


def test_a_document_with_a_password_is_parsed_every_time(pymupdf, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(replies, "LARGEST", 2**20)
    with pymupdf.open() as document:
        document.new_page().insert_text((50, 50), "the tide")
        document.save(tmp_path / "a.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="open", owner_pw="own")
    read(tmp_path / "a.pdf", password="open")
    asked = parsed(monkeypatch)
    read(tmp_path / "a.pdf", password="open")
    assert asked == ["pdf"]


def test_a_read_leaves_no_more_than_there_is_room_for(folder, cache, monkeypatch):
    monkeypatch.setattr(replies, "LARGEST", 2**20)
    monkeypatch.setattr(replies, "MOST_KEPT", 0)
    read(folder)
    assert list((cache / "documents").iterdir()) == []
    monkeypatch.setattr(replies, "MOST_KEPT", 2**20)
    read(folder)
    assert len(list((cache / "documents").iterdir())) == 2
