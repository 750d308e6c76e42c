"""Encrypted documents: the right password opens text and pages, a wrong one says so, and none is kept where it can be found."""

from __future__ import annotations

import pickle

import pytest

from longctx import arguments, cli
from longctx.errors import UsageError
from longctx.sources import passwords, read

USER, OWNER = "Ada's tide-7", "owner-Öl-9"


@pytest.fixture
def locked(document, write, pymupdf):
    """A folder with a document of two pages, the second a drawing, that opens with two passwords."""
    document.new_page().insert_text((72, 72), "secret minutes")
    document.new_page(width=200, height=100).draw_line((10, 10), (150, 90))
    data = document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw=USER, owner_pw=OWNER)
    return write({"a.pdf": data, "other.txt": "still read\n"})


@pytest.mark.parametrize("password", [USER, OWNER])
def test_either_password_opens_the_text_and_the_pages(locked, password):
    corpus = read(locked, password=password)
    source = next(source for source in corpus.sources if source.kind == "pdf")
    assert [segment.text for segment in source.segments] == ["secret minutes", ""]
    (visual,) = source.segments[1].visuals
    (frame,) = visual.medium.frames([2.0], 200, 100, lambda: None)
    assert frame.pixels.min() < 100
    assert source.medium.look(1.0, 100).startswith(b"\xff\xd8")


@pytest.mark.parametrize("cipher", ["RC4_40", "RC4_128", "AES_128", "AES_256"])
def test_every_encryption_is_opened(document, write, pymupdf, cipher):
    document.new_page().insert_text((72, 72), "secret minutes")
    data = document.tobytes(encryption=getattr(pymupdf, f"PDF_ENCRYPT_{cipher}"), user_pw="user", owner_pw="owner")
    assert read(write({"a.pdf": data}), password="user").segments[1].text == "secret minutes"


def test_a_wrong_password_and_none_are_told_apart_and_the_rest_is_read(locked, rows):
    reasons = [rows(read(locked, **given))["a.pdf"].reason for given in ({}, {"password": "wrong-4711"})]
    assert reasons == ["encrypted: it opens with a password only", "encrypted: the password does not open it"]
    assert rows(read(locked, password="wrong-4711"))["other.txt"].status == "read"


def test_the_password_stands_in_no_repr_no_pickle_no_plan_and_no_command_line(locked, tmp_path, monkeypatch):
    from longctx.sources import process

    started = []
    popen = process.subprocess.Popen
    monkeypatch.setattr(
        process.subprocess, "Popen", lambda command, **more: started.append((command, more["env"])) or popen(command, **more)
    )
    corpus = read(locked, password=USER)
    next(source.medium for source in corpus.sources if source.medium).look(1.0, 50)
    shown = [repr(corpus), repr(corpus.sources), repr(corpus.manifest), repr(started), str(pickle.dumps(corpus))]
    shown += [repr(visual.medium) for segment in corpus.segments.values() for visual in segment.visuals]
    shown += [visual.medium.identity for segment in corpus.segments.values() for visual in segment.visuals]
    assert started
    assert not [one for one in shown if "tide-7" in one]


def test_a_corpus_of_another_process_has_no_password_and_says_so(locked, monkeypatch):
    from longctx.errors import SourceChangedError

    corpus = read(locked, password=USER)
    monkeypatch.setattr(passwords, "_by_hash", {})
    medium = next(source.medium for source in corpus.sources if source.medium)
    with pytest.raises(SourceChangedError, match="opens with a password only"):
        medium.look(1.0, 50)


def test_the_ordinary_document_needs_none(document, write, rows):
    document.new_page().insert_text((72, 72), "open to all")
    corpus = read(write({"a.pdf": document.tobytes()}), password="of no use")
    assert (corpus.segments[1].text, rows(corpus)["a.pdf"].reason) == ("open to all", "")


def test_what_is_no_text_is_wrong_use(locked):
    with pytest.raises(UsageError, match="password= takes a text"):
        read(locked, password=4711)


def test_the_command_line_takes_it_from_the_environment_or_asks(locked, monkeypatch, capsys):
    monkeypatch.delenv(arguments.PASSWORD, raising=False)
    assert cli.main(["read", str(locked / "a.pdf"), "--password"]) == cli.WRONG_USE
    assert arguments.PASSWORD in capsys.readouterr().err
    assert cli.main(["read", str(locked / "a.pdf")]) == cli.FAILED
    assert "encrypted: it opens with a password only" in capsys.readouterr().err
    monkeypatch.setenv(arguments.PASSWORD, USER)
    assert cli.main(["read", str(locked / "a.pdf")]) == cli.DONE
    monkeypatch.delenv(arguments.PASSWORD)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(cli.getpass, "getpass", lambda prompt, stream: OWNER)
    assert cli.main(["read", str(locked / "a.pdf"), "--password"]) == cli.DONE
    said = capsys.readouterr()
    assert OWNER not in said.out + said.err
