"""Text: how it is decoded, where it is cut, and that every origin leads back to exactly its lines."""

from __future__ import annotations

import codecs
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.corpus import split_lines
from longctx.sources import read
from longctx.sources.programs.code import definitions
from longctx.sources.texts.decoding import decode
from longctx.sources.texts.markdown import headings
from longctx.sources.texts.text import MAX_CHARS, MAX_LINES, cut, parse_text


def _lines_by_hand(text):
    """Lines as an editor counts them: an independent way to cut at \\n, \\r\\n and \\r."""
    return [part for part in re.split(r"(?<=\n)|(?<=\r)(?!\n)", text) if part]


# -- origins ---------------------------------------------------------------------------------------------------------
words = st.text(st.sampled_from("ab \t#=x(:é漢\x0c\u2028\x85\x1c"), max_size=30)
line_texts = st.one_of(words, st.sampled_from(["def f(x):", "# Title", ""]))
texts = st.lists(st.tuples(line_texts, st.sampled_from(["\n", "\r\n", "\r", "\n\n"])))
KINDS = {"a.py": "code", "a.md": "markdown", "a.txt": "text", "a.c": "code"}


@given(texts, st.sampled_from(sorted(KINDS)), st.sampled_from(["", "tail without end"]))
@settings(max_examples=150, deadline=None)
def test_slicing_a_file_by_an_origin_gives_the_segment(parts, name, tail):
    text = "".join(line + end for line, end in parts) + tail
    data = text.encode()
    parsed = parse_text(name, KINDS[name], data, len(data))
    if parsed.kind == "binary":
        return
    lines = _lines_by_hand(text)
    assert "".join(segment.text for segment in parsed.segments) == text
    reached = 0
    for segment in parsed.segments:
        first, last = segment.origin.first, segment.origin.last
        assert first == reached + 1
        assert "".join(lines[first - 1 : last]) == segment.text
        assert last - first < MAX_LINES
        assert len(segment.text) <= MAX_CHARS
        reached = last
    assert reached == len(lines)


@given(
    st.lists(st.integers(0, 5000) | st.sampled_from([MAX_CHARS, 2 * MAX_CHARS]), min_size=1, max_size=8),
    st.sampled_from(["\n", "\r\n", ""]),
)
@settings(max_examples=60, deadline=None)
def test_a_line_too_long_is_spread_over_pieces_with_its_number(lengths, end):
    lines = [f"{'x' * length}{end or chr(10)}" for length in lengths]
    lines[-1] = lines[-1].rstrip("\r\n") + end
    lines = [line for line in lines if line]
    segments = cut(lines, "a.txt")
    assert "".join(segment.text for segment in segments) == "".join(lines)
    for number, line in enumerate(lines, start=1):
        own = [segment for segment in segments if segment.origin.first <= number <= segment.origin.last]
        assert line in "".join(segment.text for segment in own)
        assert len(own) == max(1, -(-len(line.rstrip("\r\n")) // MAX_CHARS))
    assert all(len(segment.text) <= MAX_CHARS + 2 for segment in segments)


def test_a_line_of_twelve_megabytes_takes_no_more_than_its_share(write):
    top = write({"wide.csv": "1,2,3,4;" * 1_500_000, "plain.txt": "a\n"})
    corpus = read(top, max_file_bytes=20_000_000, junk=True)
    wide = next(source for source in corpus.sources if source.path == "wide.csv")
    assert {segment.origin.last for segment in wide.segments} == {1}
    assert sum(len(segment.text) for segment in wide.segments) == 12_000_000


# -- where it is cut -------------------------------------------------------------------------------------------------
def test_code_is_cut_before_definitions_with_their_decorators_and_comments():
    function = "# what {0} does\n@cache\ndef f{0}(x):\n" + "    x += 1\n" * 11 + "    return x\n\n\n"
    lines = split_lines("".join(function.format(number) for number in range(5)))
    segments = cut(lines, "a.py", definitions(lines, "a.py"))
    assert [segment.text.partition("\n")[0] for segment in segments] == ["# what 0 does", "# what 2 does", "# what 4 does"]
    assert [segment.heading for segment in segments] == ["f0", "f2", "f4"]


def test_markdown_is_cut_before_headings():
    lines = split_lines("".join(f"## Part {number}\n\n" + "words\n" * 23 for number in range(3)))
    segments = cut(lines, "a.md", headings(lines))
    assert [(segment.origin.first, segment.heading) for segment in segments] == [(1, "Part 0"), (26, "Part 1"), (51, "Part 2")]


def test_plain_text_is_cut_at_a_blank_line_rather_than_inside_a_paragraph():
    lines = split_lines(("one two three\n" * 11 + "\n") * 5)
    assert [segment.origin.last for segment in cut(lines, "a.txt")] == [36, 60]


@pytest.mark.parametrize(
    ("path", "line", "name"),
    [
        ("a.py", "async def go(self):", "go"),
        ("a.py", "class Ünit[T](Base):", "Ünit"),
        ("a.go", "func (s *Server) Serve(l net.Listener) error {", "Serve"),
        ("a.rs", "pub(crate) async fn poll<T>(x: T) {", "poll"),
        ("a.rs", "impl<T> Iterator for Rows<T> {", "Iterator for Rows<T>"),
        ("a.ts", "export default class View extends Base {", "View"),
        ("a.ts", "export const load = async (path: string) => {", "load"),
        ("a.c", "static int parse_row(const char *text, size_t n)", "parse_row"),
        ("a.java", "public final class Main {", "Main"),
        ("a.sh", "install_all() {", "install_all"),
        ("a.toml", "[tool.ruff]", "tool.ruff"),
    ],
)
def test_definitions_of_many_languages_are_found_by_their_look(path, line, name):
    assert definitions([line + "\n"], path) == [(0, name)]


@pytest.mark.parametrize(
    ("path", "line"),
    [("a.py", "    def inner():"), ("a.py", "define(x)"), ("a.c", "if (ready) {"), ("a.c", "call(x);"), ("a.json", "{")],
)
def test_what_only_looks_like_a_definition_is_none(path, line):
    assert definitions([line + "\n"], path) == []


def test_headings_in_fences_lists_and_tables_are_none():
    text = "Title\n===\n~~~~ py\n# no\n~~~\n# no\n~~~~\n- item\n---\n| a |\n---\n\n  ## Last ##\n"
    assert headings(split_lines(text)) == [(0, "Title"), (12, "Last")]


# -- decoding --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_byte_order_mark_decides_and_is_no_text(mark, encoding):
    decoded = decode(mark + "grün\r\n漢字\r\n".encode(encoding))
    assert decoded.text == "grün\r\n漢字\r\n"
    assert ("byte order mark" in decoded.note) == (encoding != "utf-8")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("# Café naïve résumé – “quoted”\nprint('hello')\n", "cp1252"),
        ("def area(r):\n    return r * r  # Fläche für André\n" * 20, "cp1252"),
        ("Привет, мир. Это простой русский текст для проверки.\n", "cp1251"),
        ("これは日本語のテキストです。文字コードの判定を確認します。\n", "cp932"),
    ],
)
def test_other_encodings_are_guessed_and_the_row_says_so(text, encoding):
    decoded = decode(text.encode(encoding))
    assert decoded.text == text
    assert decoded.note.startswith(f"decoded as {encoding} (a guess, confidence ")


def test_a_few_bad_bytes_do_not_turn_utf8_into_something_else():
    decoded = decode("Größe und Länge, überall Umlaute: äöüß\n".encode() * 3 + b"\xff\n")
    assert decoded.text.endswith("äöüß\n\ufffd\n")
    assert decoded.note == "decoded as utf-8, 1 damaged places"


@pytest.mark.parametrize(
    "data",
    [b"\x89PNG\r\n\x1a\n\x00", b"text\x00text\n", b"text\n" * 99 + b"\x00\n", bytes(range(1, 256)) * 4, b"\x01\x02\x03\x04abc"],
)
def test_binary_is_told_from_text(data):
    assert decode(data) is None


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_bytes_give_an_error_or_a_lone_surrogate(data, whole):
    decoded = decode(data, whole=whole)
    if decoded is not None:
        decoded.text.encode()


def test_surrogates_of_a_broken_utf16_file_do_not_come_out():
    decoded = decode(codecs.BOM_UTF16_LE + b"a\x00\x00\xd8b\x00")
    assert decoded.text == "a\ufffdb"
    assert "1 damaged places" in decoded.note


# -- too long --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_file_too_long_is_cut_at_a_line_end_and_says_by_how_much(write, rows, encoding):
    line = "Zählung über Häfen und Ähnliches\r\n"
    data = (line * 1000).encode(encoding)
    corpus = read(write({"a.txt": data}), max_file_bytes=1001)
    row = rows(corpus)["a.txt"]
    text = "".join(segment.text for segment in corpus.sources[0].segments)
    assert text == line * (len(text) // len(line)) != ""
    assert row.status == "truncated"
    assert row.reason.startswith(
        f"its first {len(text) // len(line)} lines, {len(text):,} characters of a file of {len(data):,} bytes"
    )


def test_a_first_line_longer_than_the_limit_is_cut_inside():
    parsed = parse_text("a.txt", "text", "漢".encode() * 10, 1000)
    assert (parsed.status, parsed.segments[0].text) == ("truncated", "漢" * 10)
    cut_inside_a_character = parse_text("a.txt", "text", "漢".encode() * 10 + b"\xe6", 1000)
    assert cut_inside_a_character.segments == parsed.segments


def test_an_empty_file_is_read_and_a_lone_mark_is_nothing(write, rows):
    manifest = rows(read(write({"empty.py": "", "mark.txt": codecs.BOM_UTF8, "a.txt": "a\n"})))
    assert (manifest["empty.py"].status, manifest["empty.py"].reason) == ("read", "empty")
    assert manifest["mark.txt"].status == "skipped"


def test_a_source_tells_its_size_and_hash():
    import hashlib

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.py").write_bytes(b"x = 1\r\n")
        (source,) = read(folder).sources
    assert (source.size, source.kind, source.sha256) == (7, "code", hashlib.sha256(b"x = 1\r\n").hexdigest())


# -- encodings, hard ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text", ["plain words\r\nand more\r\n", "Grüße über Straßen und Plätze\n" * 200, "x = 1  # 漢字 beside\n" * 50]
)
def test_utf16_without_a_mark_is_told_by_its_zeros(write, rows, encoding, text):
    corpus = read(write({"a.txt": text.encode(encoding), "b.py": text.encode(encoding)}))
    for name in ("a.txt", "b.py"):
        assert "".join(s.text for source in corpus.sources if source.path == name for s in source.segments) == text
        assert rows(corpus)[name].reason.startswith(f"decoded as {encoding} (a guess without a byte order mark, confidence ")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text",
    [
        "Съешь ещё этих мягких булок\r\n",
        "我能吞下玻璃而不伤身体。一二三\n",
        "유리를 먹을 수 있어요\n",
        "שלום עולם\n",
        "مرحبا بالعالم\n",
        "สวัสดี ชาวโลก\n",
    ],
)
def test_unicode_of_other_scripts_without_a_mark_is_told_by_its_characters(write, rows, encoding, text):
    corpus = read(write({"a.txt": (text * 60).encode(encoding)}))
    assert "".join(segment.text for segment in corpus.sources[0].segments) == text * 60
    assert rows(corpus)["a.txt"].reason.startswith(f"decoded as {encoding} (a guess without a byte order mark, confidence ")


def test_words_between_zeros_are_no_unicode(write, rows):
    manifest = rows(
        read(write({"a.bin": b"a word \x00and more\n\x00" * 99, "b.bin": b"a b\n\x00" * 50 + b"c", "a.txt": "a\n"}))
    )
    assert {name: row.reason for name, row in manifest.items()} == {"a.bin": "binary", "b.bin": "binary", "a.txt": ""}


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("# -*- coding: iso-8859-9 -*-\n", "iso8859_9"),
        ("#!/usr/bin/env python\n# vim: set fileencoding=cp1254 :\n", "cp1254"),
        ('<?xml version="1.0" encoding="windows-1254"?>\n', "cp1254"),
        ('@charset "windows-1254";\n', "cp1254"),
    ],
)
def test_a_file_that_says_its_encoding_is_believed(head, encoding):
    text = head + "Pijamalı hasta yağız şoföre çabucak güvendi\n" * 5
    decoded = decode(text.encode(encoding))
    assert (decoded.text, decoded.note) == (text, f"decoded as {encoding}, as it says itself")


@pytest.mark.parametrize("said", ["rot13", "hex", "utf-8", "cp1253", "zlib", "no-such", "unicode_escape", "idna", "utf-16"])
def test_what_a_file_says_wrongly_is_not_believed(said):
    text = "Größe und Länge über alles, Übermut in Maßen, 1ª Größe\n" * 5
    decoded = decode(f"# coding: {said}\n{text}".encode("cp1252"))
    assert decoded.text == f"# coding: {said}\n{text}"
    assert "(a guess, " in decoded.note


def test_zeros_alone_and_zeros_in_pairs_are_no_text(write, rows):
    top = write({
        "nul.txt": b"\x00" * 3_000_000,
        "pairs.py": b"a\x00\x00\x00b\x00\x00\x00" * 99,
        "one.txt": b"text\x00text\n",
        "words.bin": bytes(range(256)) * 99,
        "numbers.dat": b"".join(number.to_bytes(2, "little") for number in range(900)),
        "small.dat": b"\x01\x00\x02\x00\x03\x00\x04\x00" * 99,
        "a.txt": "a\n",
    })  # fmt: skip
    manifest = rows(read(top))
    assert {name: row.status for name, row in manifest.items()} == {**dict.fromkeys(manifest, "skipped"), "a.txt": "read"}
    assert {row.reason for row in manifest.values() if row.status == "skipped"} == {"binary"}


def test_utf16_cut_in_the_middle_of_a_character_is_cut_at_a_line(write, rows):
    text = "wörter\n" * 5000
    for encoding in ("utf-16-le", "utf-16-be"):
        corpus = read(write({"a.txt": text.encode(encoding)}), max_file_bytes=10_001)
        read_text = "".join(segment.text for segment in corpus.sources[0].segments)
        assert read_text == "wörter\n" * (10_000 // 14)
        assert rows(corpus)["a.txt"].status == "truncated"


def test_japanese_with_escapes_is_no_ascii():
    text = "件名: 会議のお知らせ\nplain\n" * 3
    decoded = decode(text.encode("iso2022_jp"))
    assert (decoded.text, decoded.note) == (text, "decoded as iso2022_jp by its escapes")
    colours = "\x1b[31mred\x1b[0m and \x1b$B? no\n"
    assert decode(colours.encode()).text.startswith("\x1b[31mred")


@pytest.mark.parametrize(
    ("line", "encoding"),
    [
        ("Überall Flächen, André misst die Größe.\n", "cp1252"),
        ("Это простой русский текст для проверки кодировки.\n", "cp1251"),
        ("これは日本語のテキストです。文字コードの判定。\n", "cp932"),
        ("这是一个用来检查编码的简单中文文本。\n", "gb18030"),
    ],
)
def test_a_guess_about_a_large_file_is_made_from_its_rare_lines(line, encoding):
    text = "def plain(line):  # of a program\n" * 20_000 + line * 40 + "    return line\n" * 10_000
    decoded = decode(text.encode(encoding))
    assert decoded.text == text
    confidence = re.search(r"\(a guess, confidence (\d+)%\)", decoded.note)
    assert int(confidence[1]) >= 25, "a guess about all of it is half as sure"


def test_a_long_line_in_another_encoding_is_not_cut_inside_a_character():
    text = "日本語のテキスト、" * 20_000 + "終わり"
    assert decode(text.encode("cp932")).text == text


@pytest.mark.parametrize(("good", "bad"), [(20, 30), (5, 5), (30, 9)])
def test_two_encodings_in_one_file_are_each_decoded_by_their_own(good, bad):
    line = "Größe und Länge über alles, Übermut in Maßen\n"
    decoded = decode(line.encode() * good + line.encode("cp1252") * bad + b"plain\r")
    assert decoded.text == line * (good + bad) + "plain\r"
    assert decoded.note.startswith(f"decoded as utf-8, of {good + bad} lines beyond ASCII {bad} as cp1252 (a guess")


def test_two_encodings_in_a_file_cut_short_are_cut_at_a_line():
    line = "Größe und Länge über alles, Übermut in Maßen\n"
    data = line.encode() * 5 + line.encode("cp1252") * 5 + "Grö".encode()[:-1]
    assert decode(data, whole=False).text == line * 10


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Größe und Länge über alles, Übermut in Maßen\n" * 5, "cp1252"),
        ("// © 2004 Müller & Söhne\n", "cp1252"),
        ("Él llegó mañana, ¿verdad?\n" * 3, "cp1252"),
        ("Voix ambiguë d’un cœur qui au zéphyr préfère les jattes de kiwis, déjà triées.\n" * 3, "cp1252"),
        ("Pchnąć w tę łódź jeża lub ośm skrzyń fig. Funkcja zwraca listę plików. Źródło błędów\n" * 6, "iso8859_2"),
        ("Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.\n" * 3, "cp850"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy\n" * 3, "cp1250"),
        ("Καλημέρα κόσμε, αυτό είναι ένα κείμενο\n" * 3, "cp1253"),
        ("Это простой русский текст для проверки кодировки.\n" * 3, "koi8_r"),
        ("這是一個繁體中文的文本檔案\n" * 3, "big5"),
        ("안녕하세요 이것은 한국어 텍스트입니다\n" * 3, "cp949"),
    ],
)
def test_texts_of_many_languages_come_out_as_they_were_written(text, encoding):
    assert decode(text.encode(encoding)).text == text


def test_a_text_that_fits_no_encoding_is_read_as_the_most_usual_one():
    decoded = decode(b"x = 1\n" * 99 + "zażółć gęślą jaźń\n".encode("cp1250") * 3)
    assert decoded.text.startswith("x = 1\n" * 99)
    assert "confidence" in decoded.note


@pytest.mark.parametrize(("encoding", "keeps"), [("utf-8", True), ("cp1251", True), ("gb18030", True), ("utf-16-le", False),
    ("utf-32-be", False), ("iso2022_jp", False), ("cp037", False)])  # fmt: skip
def test_lines_are_counted_by_bytes_only_where_bytes_tell(encoding, keeps):
    from longctx.sources.texts.decoding import Decoded

    assert Decoded("", "", encoding).keeps_ascii == keeps
