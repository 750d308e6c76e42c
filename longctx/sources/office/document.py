"""Lines and pictures of a document as segments, in the reading process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longctx.corpus import Lines, Segment
from longctx.sources.parsed import Parsed, counted
from longctx.sources.pictures.stills import picture_segment
from longctx.sources.snapshot import Snapshot
from longctx.sources.texts.text import pieces, spans

Reply = Mapping[str, Any]
#: Characters of one document that are read, whatever the reader has asked for.
MOST_CHARS = 50_000_000


def parse_document(kind: str, snapshot: Snapshot, replies: Iterator[Reply], most: int = MOST_CHARS) -> Parsed | None:
    """The segments of a document; None for a page that is to be read as it stands.

    Args:
        kind: as in :class:`longctx.corpus.Source`.
        snapshot: of the file.
        replies: of the reader of this kind, see :func:`longctx.sources.office.made.replies`.
        most: characters that are read; what follows is left out, and the row says where.
    """
    found = _Found(snapshot, most)
    for reply in replies:
        if "source" in reply:
            return None
        if "missing" in reply:
            return Parsed(kind, status="skipped", reason=f"needs the extra: {reply['missing']}")
        if "error" in reply:
            return Parsed(kind, status="failed", reason=reply["error"])
        found.notes += reply.get("notes", ())
        if "lines" in reply and not found.add(reply):
            break
    return found.told(kind)


@dataclass
class _Found:
    """What was found so far."""

    snapshot: Snapshot
    most: int
    chars: int = 0
    heading: str = ""
    cut_at: str = ""
    segments: list[Segment] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, reply: Reply) -> bool:
        """Take in lines of one part; whether there is room for more."""
        if reply["heading"] is not None:
            self.heading = reply["heading"]
        origin = Lines(self.snapshot.path, 1, 1, part=reply["part"], unit=reply["unit"])
        held: list[Sequence[Any]] = []
        for line in reply["lines"]:
            if self.chars > self.most:
                self.cut_at = Lines("", line[1], line[1], part=origin.part, unit=origin.unit).where
                break
            held.append(line)
            self.chars += len(line[0]) + 1
            if line[4] is not None:
                self._take(held[:-1], origin)
                self.segments.append(self._picture(line, origin))
                held = []
        self._take(held, origin)
        return not self.cut_at

    def _take(self, lines: Sequence[Sequence[Any]], origin: Lines) -> None:
        made, heading = made_segments(lines, origin, self.heading)
        self.segments += made
        self.heading = heading

    def _picture(self, line: Sequence[Any], origin: Lines) -> Segment:
        _, first, last, _, picture = line
        return picture_segment(
            self.snapshot, picture, Lines(origin.path, first, last, part=origin.part, unit=origin.unit), self.heading
        )

    def told(self, kind: str) -> Parsed:
        """What became of the document."""
        if not self.segments:
            return Parsed(kind, status="skipped", reason="; ".join(["nothing to read in it", *self.notes]))
        cut = f"its first {counted(self.chars, 'character')}; left out from {self.cut_at} on"
        reason = "; ".join([*([cut] if self.cut_at else []), *self.notes])
        return Parsed(kind, tuple(self.segments), "truncated" if self.cut_at else "read", reason)


def made_segments(lines: Sequence[Sequence[Any]], origin: Lines, heading: str) -> tuple[list[Segment], str]:
    """Lines of one part as segments, and the heading that holds after them.

    Args:
        lines: each with its text, first and last place, and the level of a heading.
        origin: of the part; the numbers in it do not count.
        heading: that holds before them.
    """
    texts = [f"{line[0]}\n" for line in lines]
    starts = [index for index, line in enumerate(lines) if line[3]]
    found: list[Segment] = []
    for first, last in spans(texts, starts):
        titles = [line[0].lstrip("# ") for line in lines[first:last] if line[3]]
        heading = titles[0] if titles and first in starts else heading
        places = tuple((line[1], line[2]) for line in lines[first:last])
        place = Lines(origin.path, min(a for a, _ in places), max(b for _, b in places), None, origin.part, origin.unit)
        text = "".join(texts[first:last])
        cut = pieces(text) if last - first == 1 else [text]
        found += [Segment(piece, place, heading, made_of=places) for piece in cut]
        heading = titles[-1] if titles else heading
    return found, heading
