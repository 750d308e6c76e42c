"""Secrets are gone from everything that a model reads, lines stay where they were, and rows tell what was taken out."""

from __future__ import annotations

import io
import json

import pytest

from longctx.citations import Citation
from longctx.citations.again import again
from longctx.corpus import Cue, Footage, Lines, Page, Segment, Visual, split_lines
from longctx.sources import read
from longctx.sources.parsed import Parsed
from longctx.sources.texts.notebook import OUTPUT_HEAD, OUTPUT_TAIL, parse_notebook
from longctx.sources.texts.redaction import without_secrets
from tests.sources.secret_samples import IN_CONTEXT, TOKENS, armour, token

TOKEN, KEY = TOKENS[0][1], armour(lines=60)


def _text(corpus, path):
    return "".join(segment.text for source in corpus.sources if source.path == path for segment in source.segments)


def _no_secret_in(text, *secrets):
    lines = [line for secret in secrets for line in secret.split() if len(line) > 12]
    return not [line for line in lines if line in text]


def test_the_row_says_how_many_secrets_of_what_were_taken_out(write, rows):
    top = write({"a.py": f"one = '{TOKEN}'\ntwo = '{TOKEN}'\n{KEY}", "plain.py": "x = 1\n"})
    corpus = read(top)
    row = rows(corpus)["a.py"]
    assert (row.status, row.reason) == ("redacted", "3 secrets redacted: 2 × AWS access key, private key")
    assert rows(corpus)["plain.py"].status == "read"
    assert _text(corpus, "a.py").startswith(
        "one = '[redacted: AWS access key]'\ntwo = '[redacted: AWS access key]'\n[redacted: "
    )


def test_where_it_is_not_wanted_nothing_is_taken_out(write, rows):
    text = f"one = '{TOKEN}'\n{KEY}"
    corpus = read(write({"a.py": text}), redact=False)
    assert _text(corpus, "a.py") == text
    assert rows(corpus)["a.py"].status == "read"


def test_the_command_line_can_leave_secrets_in(write, capsys):
    from longctx.cli import main

    top = write({"a.py": f"one = '{TOKEN}'\n"})
    statuses = []
    for options in ([], ["--no-redact"]):
        assert main(["read", str(top), "--json", *options]) == 0
        statuses.append(json.loads(capsys.readouterr().out)["files"][0]["status"])
    assert statuses == ["redacted", "read"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("before", range(0, 60, 7))
def test_a_key_over_several_segments_is_taken_out_of_all_and_lines_hold(write, end, before):
    key = armour(lines=60, end=end)
    text = "".join(f"x{number} = {number}{end}" for number in range(before)) + key + f"after = 1{end}"
    corpus = read(write({"a.py": text}))
    whole = _text(corpus, "a.py")
    assert _no_secret_in(whole, key)
    assert len(split_lines(whole)) == len(split_lines(text))
    assert split_lines(whole)[-1] == f"after = 1{end}"
    reached = 0
    for segment in corpus.sources[0].segments:
        assert segment.origin.first == reached + 1
        assert len(split_lines(segment.text)) == segment.origin.last - reached
        assert segment.text.strip(), "a segment that was all key says so"
        reached = segment.origin.last


@pytest.mark.parametrize("at", [0, 1980, 1990, 1999, 2000, 3975, 3990])
def test_a_token_across_the_pieces_of_a_long_line_is_taken_out(write, at):
    corpus = read(write({"a.txt": "x " * (at // 2) + " " * (at % 2) + TOKEN + " y" * 3000}))
    assert TOKEN not in _text(corpus, "a.txt")
    assert TOKEN[:12] not in _text(corpus, "a.txt")
    assert TOKEN[-12:] not in _text(corpus, "a.txt")


@pytest.mark.parametrize(("what", "secret"), TOKENS)
@pytest.mark.parametrize("name", ["a.py", "a.md", ".env", "a.csv", "a.json", "a.srt", "nb.ipynb"])
def test_no_kind_of_file_lets_a_token_through(write, rows, name, what, secret):
    texts = {
        "a.srt": f"1\n00:00:01,000 --> 00:00:02,000\nthe key is {secret}\n",
        "nb.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": f"# {secret}", "outputs": [], "metadata": {}}]}),
    }
    corpus = read(write({name: texts.get(name, f"# {secret}\n")}))
    assert secret not in repr(corpus.sources)
    assert rows(corpus)[name].status == "redacted"
    assert what in rows(corpus)[name].reason


def test_outputs_of_notebooks_hold_no_secrets_however_they_are_shortened(write, rows):
    output = {"output_type": "stream", "text": "log\n" * 200 + json.dumps({"private_key": KEY}) + f"\n{KEY}\ntoken {TOKEN}\n"}
    raw = {"output_type": "stream", "text": KEY}
    cells = [{"cell_type": "code", "source": "show()", "outputs": [one]} for one in (output, raw)]
    corpus = read(write({"nb.ipynb": json.dumps({"cells": cells})}))
    assert _no_secret_in(_text(corpus, "nb.ipynb"), KEY, TOKEN)
    assert rows(corpus)["nb.ipynb"].status == "truncated"
    assert "secrets redacted" in rows(corpus)["nb.ipynb"].reason


@pytest.mark.parametrize(
    ("text", "hidden"),
    [(TOKEN, TOKEN), (KEY, KEY[40:-40]), ("postgres://app:s3cr!et(of)mine@db.internal/app", "s3cr!et(of)mine")],
    ids=["token", "key", "password"],
)
def test_an_output_that_is_shortened_inside_of_a_secret_shows_no_part_of_it(text, hidden):
    for at in range(1, len(text), max(1, len(text) // 20)):
        first, last = "log " * 500, " log" * 500
        printed = f"{first[-(OUTPUT_HEAD - at - 1) :]} {text}\n{'.' * 5000}\n{text}\n{last[: OUTPUT_TAIL - len(text) + at - 1]}"
        output = {"output_type": "stream", "text": printed}
        cell = {"cell_type": "code", "source": "x", "outputs": [output]}
        parsed = without_secrets(parse_notebook("nb.ipynb", io.BytesIO(json.dumps({"cells": [cell]}).encode())))
        shown = parsed.segments[-1].text
        assert "characters left out]" in shown
        assert not [place for place in range(len(hidden) - 5) if hidden[place : place + 6] in shown]


def test_pages_hold_no_secrets(write, rows, pymupdf):
    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((72, 72), ["The access key:", TOKEN, "is private."])
    for line, text in enumerate(armour(lines=12).splitlines()):
        page.insert_text((72, 200 + 14 * line), text, fontsize=9)
    corpus = read(write({"a.pdf": document.tobytes()}))
    assert _no_secret_in(_text(corpus, "a.pdf"), TOKEN, armour(lines=12))
    assert "is private." in _text(corpus, "a.pdf")
    assert rows(corpus)["a.pdf"].reason == "2 secrets redacted: AWS access key, private key"


def test_junk_that_is_cut_holds_no_secrets(write, rows):
    text = f"{TOKEN}\n" + "package\n" * 5000
    row = rows(read(write({"uv.lock": text})))["uv.lock"]
    assert row.status == "truncated"
    assert row.reason == "lock file: its first 40 lines of 5,001; 1 secret redacted: AWS access key"


def test_a_key_in_another_encoding_is_found(write):
    corpus = read(
        write({"a.txt": f"Schlüssel: {TOKEN}\r\n".encode("utf-16"), "b.txt": f"Schlüssel: {TOKEN}\n".encode("cp1252")})
    )
    assert TOKEN not in repr(corpus.sources)


def test_a_secret_in_a_heading_is_not_told_there(write):
    corpus = read(write({"a.md": f"# The key {TOKEN}\n\nwords\n"}))
    assert corpus.sources[0].segments[0].heading == "The key [redacted: AWS access key]"


def test_cells_that_meet_hide_no_secret(write):
    cells = [{"cell_type": "code", "source": source, "outputs": []} for source in ("x", TOKEN)]
    assert TOKEN not in repr(read(write({"nb.ipynb": json.dumps({"cells": cells})})).sources)


def test_what_there_is_to_look_at_stays_at_its_place_in_the_text():
    text = f"before {TOKEN} middle {TOKEN} after"
    visuals = tuple(Visual(None, (0,), 1, 1, at=text.index(word)) for word in ("before", "middle", "after"))
    parsed = without_secrets(Parsed("pdf", (Segment(text, Page("a.pdf", 1), visuals=visuals),)))
    (segment,) = parsed.segments
    assert [segment.text[visual.at :].split()[0] for visual in segment.visuals] == ["before", "middle", "after"]


def test_subtitles_of_a_video_hold_no_secrets():
    footage = Footage(None, 2, 2, 3.0, (0.0,), (Cue(0, 1, "hello"), Cue(1, 2, f"it is {TOKEN}")))
    parsed = without_secrets(Parsed("video", footage=footage))
    assert [cue.text for cue in parsed.footage.cues] == ["hello", "it is [redacted: AWS access key]"]
    assert (parsed.status, parsed.reason) == ("redacted", "1 secret redacted: AWS access key")


def test_a_citation_beside_a_secret_is_still_checked_when_a_conversation_is_reopened(write):
    top = write({"a.py": f"key = '{TOKEN}'\nurl = 'https://service.internal'\n"})
    segments = read(top).segments
    quoted = "key = '[redacted: AWS access key]'"
    citation = Citation(1, 1, Lines("a.py", 1, 1), quote=quoted, verified=True)
    assert again(citation, segments).verified
    leaked = Citation(1, 1, Lines("a.py", 1, 1), quote=f"key = '{TOKEN}'", verified=True)
    assert again(leaked, segments).lost


@pytest.mark.parametrize(("what", "before", "secret", "after"), IN_CONTEXT)
def test_what_stands_around_a_secret_is_kept(write, what, before, secret, after):
    corpus = read(write({"a.txt": before + secret + after + "\n"}))
    assert _text(corpus, "a.txt") == f"{before}[redacted: {what}]{after}\n"


def test_a_file_that_is_large_takes_no_more_time_than_it_must(write):
    import time

    lines = [f"line {number} of a text and a token ghp_{token(number, 36)}\n" for number in range(20_000)]
    parsed = Parsed("text", tuple(Segment(line, Lines("a.txt", n, n)) for n, line in enumerate(lines, 1)))
    began = time.process_time()
    found = without_secrets(parsed)
    assert time.process_time() - began < 3
    assert "secrets redacted" in found.reason


@pytest.mark.parametrize("most", [1010, 1015, 1019])
def test_a_file_cut_inside_of_a_token_shows_no_part_of_it(write, most):
    corpus = read(write({"a.txt": "x " * 500 + TOKEN + " y" * 500}), max_file_bytes=most)
    assert _text(corpus, "a.txt") == "x " * 500
