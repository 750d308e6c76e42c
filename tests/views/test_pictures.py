"""Pictures in views: small inside an answer, large alone, in words where nothing can be shown, and never an exception."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from longctx import showing
from longctx.citations import Citation
from longctx.corpus import Box, Corpus, Frame, Lines, Moment, Page, Segment, Source, Visual
from longctx.errors import FramesLostError, SourceChangedError
from longctx.outcomes import Outcome
from longctx.summaries import PartSummary
from longctx.views import answer, citations, timeline
from longctx.views.answer import AnswerState
from longctx.views.citations import CitationState
from longctx.views.timeline import SummaryState

#: A look at whose bytes decides nothing here; JPEGs begin so.
JPEG = b"\xff\xd8\xff\xe0 looked at "


@dataclass
class Slide:
    """A medium that says what it was asked for, or what it raises."""

    identity: str
    error: Exception | None = None
    looked: list[tuple[float, int, Box | None]] = field(default_factory=list)

    def frames(self, places: Sequence[float], width: int, height: int, check: Callable[[], None]) -> Iterator[Frame]:
        raise AssertionError("nothing but looks is asked for")

    def look(self, place: float, side: int, box: Box | None = None) -> bytes:
        self.looked.append((place, side, box))
        if self.error is not None:
            raise self.error
        return JPEG + f"{place} {side}".encode()


@pytest.fixture
def talk(request: pytest.FixtureRequest) -> Slide:
    return Slide(request.node.name)


def corpus(medium: Slide) -> Corpus:
    segments = {
        "talk.mp4": Segment("We start now.\n", Moment("talk.mp4", 10.4, 16.0)),
        "paper.pdf": Segment("Words.\n", Page("paper.pdf", 3, (1.0, 2.0, 30.0, 40.0))),
        "photo.png": Segment("", Page("photo.png", 1, (0.0, 0.0, 9.0, 9.0), picture=True)),
        "a.py": Segment("x = 1\n", Lines("a.py", 1, 1)),
    }
    sources = [Source(path, f"/{path}", "", 9, "", (segment,), medium) for path, segment in segments.items()]
    sources[-1] = replace(sources[-1], medium=None)
    return Corpus(tuple(sources), ())


def cite(read: Corpus, number: int) -> Citation:
    return Citation(number, number, read.segments[number].origin, verified=True)


def shown(html: str) -> list[bytes]:
    """The pictures that stand in the HTML."""
    return [base64.b64decode(data) for data in re.findall(r'<img [^>]*src="data:image/jpeg;base64,([^"]+)"', html)]


def test_a_citation_is_looked_at_at_the_place_that_it_names(talk: Slide) -> None:
    read = corpus(talk)
    states = showing.citation_states([cite(read, number) for number in (1, 2, 3, 4)], read, side=360)
    assert talk.looked == [(10.4, 360, None), (3.0, 360, (1.0, 2.0, 30.0, 40.0)), (0.0, 360, (0.0, 0.0, 9.0, 9.0))]
    alts = ["Frame of talk.mp4 at 00:00:10", "Page 3 of paper.pdf", "Picture photo.png", ""]
    assert [state.picture_alt for state in states] == alts
    assert [bool(state.picture) for state in states] == [True, True, True, False]


def test_a_picture_stands_in_the_citation_that_opens_with_words_for_who_does_not_see_it(talk: Slide) -> None:
    read = corpus(talk)
    html = answer.html(
        AnswerState("q", "so [1]", state="done", citations=[showing.citation_state(cite(read, 1), read, side=360)])
    )
    (opened,) = re.findall(r'<details class="cite">.*?</details>', html, re.DOTALL)
    assert shown(opened) == [JPEG + b"10.4 360"]
    assert 'alt="Frame of talk.mp4 at 00:00:10" loading="lazy"' in opened
    assert "00:00:10-00:00:16" in opened
    assert "We start now." in opened


def test_a_citation_shown_alone_is_large_and_says_its_time_once(talk: Slide) -> None:
    read = corpus(talk)
    live = showing.CitationLive(cite(read, 1), read)
    assert (
        live.text()
        == "talk.mp4 at 00:00:10-00:00:16   ✓ place checked\n    ▣ Frame of talk.mp4 at 00:00:10\n           │ We start now."
    )
    assert talk.looked == []
    html = live.html()
    assert talk.looked == [(10.4, 1280, None)]
    assert shown(html) == [JPEG + b"10.4 1280"]
    assert re.search(r"<bdi>talk.mp4 at 00:00:10-00:00:16</bdi></span>", html)
    assert showing.CitationLive(cite(read, 4), read).html().count('<span class="soft">line 1</span>') == 1


@pytest.mark.parametrize(
    "error",
    [SourceChangedError("talk.mp4 changed", hint="read it again"), FramesLostError("/talk.mp4", (10.4,)), OSError("gone")],
)
def test_what_cannot_be_shown_is_a_note_and_the_lines_stay(talk: Slide, error: Exception) -> None:
    talk.error = error
    read = corpus(talk)
    state = showing.citation_state(cite(read, 1), read, side=360)
    html = answer.html(AnswerState("q", "so [1]", state="done", citations=[state]))
    assert shown(html) == []
    assert "no picture: " in html
    assert str(error).splitlines()[0] in html
    assert "We start now." in html
    assert "no picture: " in citations.text(state)


def test_a_picture_is_made_once_and_an_error_is_tried_again(talk: Slide) -> None:
    read = corpus(talk)
    talk.error = OSError("busy")
    assert showing.citation_state(cite(read, 1), read, side=360).picture == b""
    talk.error = None
    pictures = {showing.citation_state(cite(read, 1), read, side=360).picture for _ in range(3)}
    assert pictures == {JPEG + b"10.4 360"}
    assert len(talk.looked) == 2


def test_what_is_kept_of_pictures_is_bounded(talk: Slide) -> None:
    read = corpus(talk)
    for side in range(1, 100):
        showing.citation_state(cite(read, 1), read, side=side)
    assert len(showing._looked) <= 64
    showing.citation_state(cite(read, 1), read, side=99)
    assert len(talk.looked) == 99


def test_many_citations_do_not_make_a_large_notebook(talk: Slide) -> None:
    read = corpus(talk)
    many = [replace(cite(read, 1), number=n, origin=Moment("talk.mp4", float(n), n + 1.0)) for n in range(1, 31)]
    states = showing.citation_states([cite(read, 4), *many], read, side=360)
    assert [bool(state.picture) for state in states] == [False] + [True] * 12 + [False] * 18
    assert {state.picture_note for state in states[13:]} == {showing.NOT_SHOWN}
    assert {state.picture_note for state in states[:13]} == {""}
    assert not any(state.picture_note for state in showing.citation_states(many, read))


def test_a_part_of_a_recording_has_its_time_and_a_picture(talk: Slide) -> None:
    read = corpus(talk)
    later = replace(cite(read, 1), origin=Moment("talk.mp4", 70.0, 80.0))
    part = PartSummary("talk.mp4", Outcome("They start [1].", citations=(later, cite(read, 1))))
    state = SummaryState("1 source", "", [showing.part_state(part, read, side=240)], "running")
    html = timeline.html(state)
    assert shown(html) == [JPEG + b"10.4 240"]
    assert '<span class="when soft mono">00:00:10</span>talk.mp4' in html
    assert timeline.parts(state)[3] in html
    assert "▸ 00:00:10 talk.mp4\n  ▣ Frame of talk.mp4 at 00:00:10" in timeline.text(state)
    plain = showing.part_state(PartSummary("a.py", Outcome("One [1].", citations=(cite(read, 4),))), read, side=240)
    assert (plain.when, plain.picture, plain.picture_alt) == ("", b"", "")


def test_a_citation_of_a_place_with_neither_lines_nor_picture_still_says_where_it_is() -> None:
    assert "picture: nothing to show." in citations.html(CitationState(1, "photo.png", "picture"))


def test_a_picture_inside_of_a_document_is_looked_at_by_its_own_medium(talk: Slide) -> None:
    place = Lines("deck.pptx", 4, 4, part="slide 2", unit="paragraph")
    picture = Segment("", place, visuals=(Visual(talk, (0.0,), 64, 48),))
    read = Corpus((Source("deck.pptx", "/deck.pptx", "pptx", 1, "", (picture,)),), ())
    state = showing.citation_state(cite(read, 1), read, side=360)
    assert (state.picture_alt, talk.looked) == ("Picture of deck.pptx, slide 2 paragraph 4", [(0.0, 360, None)])
    assert state.picture


def test_the_lines_of_a_document_are_shown_with_the_numbers_that_they_have_there() -> None:
    place = Lines("a.xlsx", 1, 60, part="sheet 'Q1'", unit="row")
    rows = (1, 2, 50, 53, 60)
    segment = Segment("".join(f"| {row} |\n" for row in rows), place, made_of=tuple((row, row) for row in rows))
    read = Corpus((Source("a.xlsx", "/a.xlsx", "xlsx", 1, "", (segment,)),), ())
    lines = showing.source_lines(Citation(1, 1, replace(place, first=50, last=50)), read)
    assert [(line.number, line.text, line.quoted) for line in lines] == [(50, "| 50 |", True), (53, "| 53 |", False)]
