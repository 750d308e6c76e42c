"""Conversations in files: nothing is lost on the way there and back, nothing of others is overwritten, bad files say so."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx import conversations
from longctx.citations import Citation
from longctx.conversations import Conversation, SourceRead, Turn, files, records
from longctx.corpus import Lines, Moment, Page
from longctx.errors import ConversationError
from longctx.outcomes import Outcome, Usage

# -- there and back ----------------------------------------------------------------------------------------------------
TEXTS = st.text(max_size=30)
COUNTS = st.integers(0, 1 << 40)
NUMBERS = st.floats(0, 1e9)
PATHS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\udc80\udce9"), max_size=20)
LINES = st.builds(
    lambda path, first, more, cell, part, unit: Lines(path, first, first + more, cell, part, unit),
    PATHS,
    st.integers(1, 99),
    COUNTS,
    st.none() | COUNTS,
    TEXTS,
    st.sampled_from(["line", "paragraph", "row"]),
)
PAGES = st.builds(Page, PATHS, COUNTS, st.none() | st.tuples(*[st.floats(-1e6, 1e6)] * 4), st.none() | TEXTS, st.booleans())
ORIGINS = st.none() | LINES | PAGES | st.builds(Moment, PATHS, NUMBERS, NUMBERS)
CITATIONS = st.builds(
    Citation, COUNTS, COUNTS, ORIGINS, TEXTS, st.booleans(), st.sampled_from(["cited", "matched"]), TEXTS, TEXTS
)
ROWS = st.fixed_dictionaries({"path": PATHS, "tokens": COUNTS, "reason": TEXTS})
OUTCOMES = st.builds(
    Outcome,
    text=TEXTS,
    reasoning=TEXTS,
    stopped=st.booleans(),
    citations=st.lists(CITATIONS, max_size=3).map(tuple),
    unsupported=st.lists(TEXTS, max_size=3).map(tuple),
    left_out=st.lists(ROWS, max_size=2).map(tuple),
    usage=st.builds(Usage, COUNTS, COUNTS, TEXTS, TEXTS, COUNTS, NUMBERS, NUMBERS),
    memory=st.dictionaries(TEXTS, COUNTS, max_size=2),
    notes=st.lists(TEXTS, max_size=2).map(tuple),
    ids=st.lists(st.integers(0, 1 << 20), max_size=9).map(tuple),
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "thinking": st.booleans(),
        "temperature": st.floats(0, 100) | st.integers(0, 9),
        "top_p": st.floats(1e-6, 1),
        "top_k": st.integers(0, 1 << 31),
        "max_tokens": st.integers(1, 1 << 31),
        "seed": st.integers(-(1 << 63), (1 << 64) - 1),
    },
)
TURNS = st.builds(Turn, TEXTS.filter(str.strip), OUTCOMES, OPTIONS)
SOURCES = st.builds(SourceRead, PATHS, TEXTS, COUNTS, TEXTS)
CONVERSATIONS = st.builds(
    Conversation,
    turns=st.lists(TURNS, min_size=1, max_size=3).map(tuple),
    model=PATHS,
    tokenizer=TEXTS,
    prompt=TEXTS,
    sources=st.lists(SOURCES, max_size=3).map(tuple),
)


@settings(deadline=None, max_examples=60)
@given(CONVERSATIONS)
def test_nothing_is_lost_on_the_way_into_a_file_and_back(talk: Conversation) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        place = conversations.write(Path(folder, "talk.json"), talk)
        place.read_bytes().decode("utf-8")
        again = conversations.read(place)
    assert replace(again, saved="") == talk
    assert again.saved


@settings(deadline=None, max_examples=60)
@given(CONVERSATIONS)
def test_every_conversation_can_be_exported(talk: Conversation) -> None:
    document = talk.to_markdown(reasoning=True)
    assert document.count("\n## ") == len(talk.turns)
    document.encode("utf-8")


# -- files -------------------------------------------------------------------------------------------------------------
def conversation(*texts: str) -> Conversation:
    turns = [Turn(f"Question {n}?", Outcome(text, ids=(1, 2))) for n, text in enumerate(texts or ("Yes.",))]
    return Conversation(tuple(turns), "some/model", "abc", "2", (SourceRead("a.py", "code", 3, "aa"),))


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return conversations.write(tmp_path / "talk.json", conversation("Yes.", "No."))


def test_a_conversation_replaces_its_own_beginning_and_nothing_else(talk: Path) -> None:
    conversations.write(talk, conversation("Yes.", "No."))
    conversations.write(talk, conversation("Yes.", "No.", "Perhaps."))
    for other in (conversation("Yes."), conversation("Yes.", "Yes.", "Yes.", "Yes.")):
        with pytest.raises(ConversationError, match="another conversation") as refused:
            conversations.write(talk, other)
        assert "overwrite=True" in refused.value.hint
    assert len(conversations.read(talk).turns) == 3
    conversations.write(talk, conversation("Yes."), overwrite=True)
    assert len(conversations.read(talk).turns) == 1


@pytest.mark.parametrize("content", [b"", b"# My notes\n", b"{}", b"\xff\xfe", b'{"format": "longctx-conversation"'])
def test_a_file_that_is_no_conversation_is_never_overwritten_unasked(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(content)
    with pytest.raises(ConversationError, match="notes"):
        conversations.write(tmp_path / "notes", conversation())
    assert (tmp_path / "notes").read_bytes() == content
    conversations.write(tmp_path / "notes", conversation(), overwrite=True)
    assert conversations.read(tmp_path / "notes").turns


def test_an_export_replaces_another_document_only_where_it_is_told_to(tmp_path: Path) -> None:
    place = conversations.export(tmp_path / "talk.md", "one\n")
    assert conversations.export(place, "one\n") == place
    with pytest.raises(ConversationError, match="there already"):
        conversations.export(place, "two\n")
    assert place.read_text() == "one\n"
    conversations.export(place, "two\n", overwrite=True)
    assert place.read_text() == "two\n"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_does_not_take_it_leaves_what_was_there_and_nothing_half(
    code: int, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = talk.read_bytes()

    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConversationError, match=os.strerror(code)) as refused:
        conversations.write(talk, conversation("Yes.", "No.", "Perhaps."))
    assert str(talk) in refused.value.message
    assert [file.name for file in talk.parent.iterdir()] == ["talk.json"]
    assert talk.read_bytes() == before


def test_an_interrupt_while_writing_leaves_nothing_half(talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        conversations.write(talk, conversation("Yes.", "No.", "Perhaps."))
    assert [file.name for file in talk.parent.iterdir()] == ["talk.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_nothing_is_put_in_the_place_of_a_device() -> None:
    with pytest.raises(ConversationError, match="no plain file"):
        conversations.export("/dev/full", "text", overwrite=True)
    assert not Path("/dev/full").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_goes_on_leading_to_the_file(talk: Path) -> None:
    link = talk.with_name("link.json")
    link.symlink_to(talk)
    conversations.write(link, conversation("Yes.", "No.", "Perhaps."))
    assert link.is_symlink()
    assert len(conversations.read(talk).turns) == 3


def test_a_place_where_nothing_can_be_saved_is_known_before_anything_is_asked(talk: Path) -> None:
    conversations.check_free(talk.with_name("new.json"))
    conversations.check_free(talk, going_on=True)
    assert [file.name for file in talk.parent.iterdir()] == ["talk.json"]
    for wrong in (talk, talk.parent, talk.parent / "no" / "talk.json", "", "a\0b", talk / "below.json"):
        with pytest.raises(ConversationError) as refused:
            conversations.check_free(wrong)
        assert refused.value.hint


# -- bad files ---------------------------------------------------------------------------------------------------------
def test_every_cut_of_a_file_is_one_clear_error(talk: Path) -> None:
    whole = talk.read_bytes()
    for stop in [*range(0, 400, 7), len(whole) // 2, len(whole) - 3]:
        talk.write_bytes(whole[:stop])
        with pytest.raises(ConversationError, match=r"talk\.json"):
            conversations.read(talk)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no conversation"),
        ("hello", "no conversation"),
        ("[]", "no conversation"),
        ('{"format": "other"}', "no conversation"),
        ("[" * 100_000, "no conversation"),
        ('{"format": "longctx-conversation", "version": 1, "turns": [' + "[" * 100_000, "damaged"),
        ('{"format": "longctx-conversation", "version": NaN}', "NaN"),
        ('{"format": "longctx-conversation", "version": ' + "9" * 5000 + "}", "damaged"),
        ('{"format": "longctx-conversation", "version": 2}', "newer longctx"),
        ('{"format": "longctx-conversation", "version": true}', "version is True"),
        ('{"format": "longctx-conversation", "version": 0}', "version is 0"),
        ('{"format": "longctx-conversation", "version": 1}', "'turns'"),
        ('{"format": "longctx-conversation", "version": 1, "turns": []}', "no turns"),
        ("\ufeff{}", "no conversation"),
    ],
)
def test_a_file_that_is_no_conversation_says_what_is_wrong(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "talk.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConversationError, match=words) as refused:
        conversations.read(tmp_path / "talk.json")
    assert refused.value.hint
    assert len(str(refused.value)) < 600


def test_what_is_no_file_is_said_to_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConversationError, match="folder"):
        conversations.read(tmp_path)
    with pytest.raises(ConversationError, match="No such file"):
        conversations.read(tmp_path / "missing.json")
    with pytest.raises(ConversationError, match="null"):
        conversations.read("a\0b")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ConversationError, match="no plain file"):
            conversations.read(tmp_path / "pipe")
    (tmp_path / "huge.json").write_bytes(b"")
    os.truncate(tmp_path / "huge.json", files.MOST_BYTES + 1)
    with pytest.raises(ConversationError, match="too many"):
        conversations.read(tmp_path / "huge.json")

    def refuse(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    (tmp_path / "secret.json").write_text("{}")
    with pytest.raises(ConversationError, match="Permission denied"):
        conversations.read(tmp_path / "secret.json")


def full() -> dict[str, Any]:
    """A conversation with every field, as JSON."""
    places = (
        Citation(1, 3, Lines("a.py", 1, 2, 3), "words", True, "cited", "note", ""),
        Citation(2, 3, Page("a.pdf", 1, (0.0, 1.0, 2.0, 3.0), "i"), "words", True),
        Citation(3, 3, Moment("a.mp4", 1.0, 2.0), "words", True, "matched"),
    )
    row = {"path": "b.py", "tokens": 3, "reason": "too much"}
    outcome = Outcome("Yes.", "hm", False, places, ("Yes.",), (row,), Usage(), {"peak": 3}, ("note",), (1, 2))
    options = {"thinking": True, "temperature": 0.5, "top_p": 0.5, "top_k": 3, "max_tokens": 9, "seed": 1}
    return Conversation((Turn("Why?", outcome, options),), "m", "t", "2", (SourceRead("a.py"),)).to_json()


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a JSON file."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, item in inner for place in places(item, (*at, key)))]


@pytest.mark.parametrize("wrong", [None, True, -1, 1.5, 1e999, 10**30, "x", "\ud800", [], {}, [None], {"a": {}}])
def test_a_value_of_the_wrong_kind_anywhere_is_one_clear_error_or_none(wrong: Any, tmp_path: Path) -> None:
    for way in places(full())[1:]:
        data = full()
        *outer, last = way
        inside = data
        for key in outer:
            inside = inside[key]
        inside[last] = wrong
        file = tmp_path / "talk.json"
        file.write_text(json.dumps(data), encoding="utf-8")
        with contextlib.suppress(ConversationError):  # anything else that is raised fails
            conversations.read(file).to_markdown(reasoning=True)


def test_every_field_but_those_that_may_be_absent_is_asked_for(tmp_path: Path) -> None:
    absent = {
        "label",
        "box",
        "cell",
        "part",
        "unit",
        "page",
        "start",
        "origin",
        "tokens",
        "reason",
        *full()["turns"][0]["options"],
    }
    named = [way for way in places(full()) if way and isinstance(way[-1], str) and way[-1] not in absent and way[-1] != "peak"]
    for *outer, last in named:
        data = full()
        inside = data
        for key in outer:
            inside = inside[key]
        del inside[last]
        (tmp_path / "talk.json").write_text(json.dumps(data), encoding="utf-8")
        with pytest.raises(ConversationError):
            conversations.read(tmp_path / "talk.json")


def test_a_field_of_a_later_longctx_is_no_error(talk: Path) -> None:
    data = json.loads(talk.read_text(encoding="utf-8"))
    data["mood"] = data["turns"][0]["mood"] = {"good": True}
    talk.write_text(json.dumps(data), encoding="utf-8")
    assert len(conversations.read(talk).turns) == 2


@pytest.mark.parametrize(
    ("paths", "title"),
    [
        ([], "A conversation"),
        (["a"], "A conversation about a"),
        (["a", "b", "c"], "A conversation about a, b and c"),
        (list("abcdef"), "A conversation about a, b and 4 more sources"),
    ],
)
def test_a_title_names_the_sources(paths: list[str], title: str) -> None:
    assert Conversation((), "m", sources=tuple(map(SourceRead, paths))).title == title


def test_the_encoded_file_is_for_people_too() -> None:
    written = records.encoded(
        {"answer": "漢字 [\n1,\n 2]", "ids": [1, 22, 333], "box": [0.5, -1.0], "turns": [], "a": [{}]}
    ).decode()
    assert '"ids": [1, 22, 333],\n' in written
    assert '"box": [0.5, -1.0],\n' in written
    assert json.loads(written)["answer"] == "漢字 [\n1,\n 2]"
    assert "漢字" in written


def test_the_bytes_of_a_file_name_come_back(tmp_path: Path) -> None:
    named: Callable[[str], Conversation] = lambda path: replace(conversation(), sources=(SourceRead(path),))  # noqa: E731
    place = conversations.write(tmp_path / "talk.json", named("caf\udce9.py"))
    assert conversations.read(place).sources[0].path == "caf\udce9.py"
