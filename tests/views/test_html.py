"""What holds for the HTML of every view: it is well formed, stands alone, and nothing foreign in it can act."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from longctx.jobs import Progress
from longctx.views import answer, budget, citations, manifest, progress, style, timeline
from longctx.views.answer import AnswerState
from longctx.views.citations import CitationState, SourceLine
from longctx.views.progress import ProgressState
from longctx.views.timeline import PartState, SummaryState

EVIL = "</details></pre></section><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\u2066\x1b[2J\udce9&amp;"
VOID = {"br", "hr", "wbr", "img"}
PICTURE = b"\xff\xd8\xff\xe0"


def views(word: str) -> dict[str, str]:
    """Every view, with ``word`` wherever something foreign is shown."""
    lines = [SourceLine(7, f"x = {word}\n"), SourceLine(8, word, quoted=True), SourceLine(None, word)]
    quoted = CitationState(1, word, word, word, True, "cited", lines)
    seen = CitationState(2, word, word, word, False, picture=PICTURE, picture_alt=word, picture_note=word)
    cites = [quoted, seen, CitationState(3, word, basis="matched", lines=lines)]
    working = ProgressState(
        word, "running", Progress(word, 3, 9, word, 2.0), 4.0, {"weights": 5, word: 3}, {word: 9}, 9, 20, stopping=True
    )
    said = f"{word} **{word}** `{word}` [1] [2, 3]\n\n- {word}\n  1. {word}\n\n> {word}\n\n# {word}\n\n"
    said += f"|{word}|b|\n|-|-|\n|{word}|d|\n\n```{word}\n{word}\n"
    usage = {"prompt_tokens": 9, "reused_tokens": 5, "reused_from": word, "miss_reason": word, "seconds_to_first_token": 0.1}
    full = AnswerState(word, said, word, "done", cites, [word, "lost"], usage, [word, {"path": word, "reason": word}], [word])
    plan = {
        "model": word, "fits": False, "window": 8192, "native_window": 4096, "yarn_factor": 2.0, "prompt_tokens": 900,
        "memory": {"weights": 10**9, word: 10**8, "total": 11 * 10**8, "available": 10**8, "basis": word}, "disk": 5,
        "sources": [{"path": word, "tokens": 900, "budget": {"key": word, "tokens": 9, "of_tokens": 99, "read": word}},
                    {"path": "empty", "tokens": 0}], "chunk": 9, "ways": [{"way": word, "words": word, "taken": True}],
        "left_out": [word, {"path": word}], "warnings": [word], "notes": [word], "mode": word, "counts_basis": word,
    }  # fmt: skip
    rows = [
        {"path": word, "kind": word, "status": status, "reason": word, "bytes": 5, "tokens": None}
        for status in (*manifest.STATUSES, *["skipped"] * 9)
    ]
    return {
        "progress": progress.html(working),
        "progress failed": progress.html(ProgressState(word, "failed", error=f"{word}\n  {word}")),
        "progress done": progress.html(ProgressState(word, "done", measured={word: 1}, summary=word)),
        "plan": budget.html(plan),
        "manifest": manifest.html({"files": rows, "totals": {"counts": word}}),
        "answer": answer.html(full),
        "answer thinking": answer.html(AnswerState(word, "", word, "running", progress=working)),
        "answer waiting": answer.html(AnswerState(word, state="queued", progress=ProgressState(word))),
        "answer failed": answer.html(AnswerState(word, state="failed", error=f"{word}\n  {word}")),
        "summary failed": timeline.html(SummaryState(word, state="failed", error=word)),
        "citation": citations.html(quoted),
        "citation of a picture": citations.html(replace(seen, lines=lines)),
        "summary": timeline.html(
            SummaryState(
                word, said, [PartState(word, said, cites, word, PICTURE, word, word)], "running", usage, [word], working, word
            )
        ),
    }


class Structure(HTMLParser):
    """Reads HTML strictly: everything that opens closes, in order; no id stands twice."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), (tag, names)
        if tag in ("div", "ul", "ol", "pre", "table", "details", "p", "section", "h4"):
            assert not {"p", "h4", "summary", "a"} & set(self.stack), (tag, self.stack)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b\ud800-\udfff]", data)


@pytest.mark.parametrize("name", views(""))
@pytest.mark.parametrize("word", ["plain", "", EVIL, "a * b ` c [1] \ue000 \ue001", "$x$ and \\(y\\)", "\n\n\n"])
def test_every_view_is_well_formed_html_that_stands_alone(name: str, word: str) -> None:
    html = views(word)[name]
    html.encode("utf-8")
    read = Structure(html)
    assert not {"script", "iframe", "link", "object", "form"} & set(read.tags)
    assert not [attribute for attribute, _ in read.attributes if attribute.startswith("on")]
    links = [value or "" for attribute, value in read.attributes if attribute in ("href", "src", "srcset", "data", "action")]
    assert all(re.fullmatch(r"#lcx-[a-f0-9-]+|data:image/jpeg;base64,[A-Za-z0-9+/=]+", link) for link in links)
    assert read.tags.count("img") == len([value for attribute, value in read.attributes if attribute == "alt"])
    assert not re.search(r"url\(|@import|https?://", html)
    names = [value for attribute, value in read.attributes if attribute in ("id", "name")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", views(""))
def test_what_is_foreign_shows_as_the_text_that_it_is(name: str) -> None:
    class Text(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.shown = ""

        def handle_data(self, data: str) -> None:
            self.shown += data

    text = Text()
    text.feed(views(EVIL)[name])
    text.close()
    assert "</section><script>alert(1)</script>" in text.shown
    assert "‹U+202E›‹U+2066›␛[2J\\xe9&amp;" in text.shown


@pytest.mark.parametrize("name", views(""))
def test_every_view_has_a_name_for_screen_readers_and_colours_for_light_and_dark(name: str) -> None:
    html = views("word")[name]
    assert re.search(r'<section class="lcx [a-z]+ mathjax_ignore" aria-label="[^"]+">', html)
    assert "prefers-color-scheme:dark" in html
    assert "data-jp-theme-light=false" in html
    used = set(re.findall(r"var\(--lcx-([a-z-]+)\)", html))
    assert used <= set(re.findall(r"--lcx-([a-z-]+):", html))


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, as WCAG 2.2 defines it."""

    def light(colour: str) -> float:
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    bright, dark = sorted((light(first), light(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def colours_of(theme: str) -> dict[str, str]:
    """The variables that the style sets in a theme; every rule that sets a theme sets the same."""
    rules = set(re.findall(rf"{{color-scheme:{theme};([^}}]*)}}", style.sheet()))
    (rule,) = rules
    return dict(re.findall(r"--lcx-([a-z-]+):(#[0-9a-f]{6});", rule))


@pytest.mark.parametrize(("theme", "page"), [("light", "#ffffff"), ("dark", "#111111"), ("dark", "#212121")])
def test_text_can_be_read_on_every_ground_it_stands_on(theme: str, page: str) -> None:
    colours = colours_of(theme)
    for name in ("fg", "soft", "accent", "good", "warn", "bad"):
        for ground in (page, colours["panel"]):
            assert contrast(colours[name], ground) >= 4.5, (name, ground)
    for name in ("fg", "soft"):  # lines that are cited, and their numbers
        assert contrast(colours[name], colours["quote"]) >= 4.5, name
    for name in ("weights", "kv", "state-c", "act", "other", "accent"):
        assert contrast(colours[name], page) >= 3.0, name


def test_a_citation_mark_leads_into_the_element_that_holds_its_lines() -> None:
    html = views("word")["answer"]
    (target,) = set(re.findall(r'<a class="ref" href="#([^"]+)"[^>]*>\[1\]</a>', html))
    details = re.search(
        r'<details class="cite"><summary>(?:(?!</summary>).)*</summary><div class="place"><a name="([^"]+)">', html
    )
    assert details is not None
    assert details[1] == target


def test_two_answers_on_one_page_have_different_ids() -> None:
    one, two = (answer.html(AnswerState("q", "t [1]", "", "done", [CitationState(1, "a:1")], key=key)) for key in "ab")
    assert not set(re.findall(r'name="([^"]+)"', one)) & set(re.findall(r'name="([^"]+)"', two))
