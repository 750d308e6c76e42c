"""PowerPoint presentations: slide by slide, with titles, tables, charts, notes and comments. Runs in the worker process.

Numbers count what is read of a slide, in the order in which a screen reader would: paragraphs, rows of tables and of charts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from longctx.errors import require
from longctx.sources.office.made import Findings, Line, Part, described, name, pictured, plain, replies, table
from longctx.sources.office.package import opened

Reply = Mapping[str, Any]

#: Points of a chart that are read, at most.
_MOST_POINTS = 500
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
#: Placeholders that say nothing about the slide: date, footer, slide number (by their number in the format).
_RECORDINGS = frozenset({"videoFile", "audioFile", "wavAudioFile", "quickTimeFile"})
_MARGIN = frozenset({"DATE", "FOOTER", "SLIDE_NUMBER"})


def blocks(file: str) -> Iterator[Reply]:
    """What the slides of a presentation say, as :func:`longctx.sources.office.made.replies` hands it over.

    Args:
        file: the absolute path.
    """
    yield from replies(lambda findings: _parts(file, findings), file)


def _parts(file: str, findings: Findings) -> Iterator[Part]:
    pptx = require("pptx", extra="documents", feature="reading PowerPoint presentations")
    with opened(file, "pptx"):
        pass
    hidden: list[str] = []
    for number, slide in enumerate(pptx.Presentation(file).slides, start=1):
        is_hidden = slide._element.get("show") in ("0", "false")
        hidden += [str(number)] if is_hidden else []
        reader = _Slide(slide, findings)
        lines = list(reader.lines())
        yield Part(f"slide {number}{' (hidden)' * is_hidden}", "paragraph", lines, reader.title)
    if hidden:
        findings.flags.append(f"hidden: slide{'s' * (len(hidden) > 1)} {', '.join(hidden[:20])}{'…' * (len(hidden) > 20)}")


@dataclass
class _Slide:
    """The state of reading one slide."""

    slide: Any
    findings: Findings
    number: int = 0
    title: str = ""
    comments: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[Line]:
        """Title, shapes, comments and notes."""
        title = self.slide.shapes.title
        if title is not None and (text := plain(title.text_frame.text)):
            self.title = name(text)
            yield self._next(f"# {text}", level=1)
        for shape in self.slide.shapes:
            if title is None or shape.shape_id != title.shape_id:
                yield from self._shape(shape)
        for comment in self._comments():
            yield self._next(f"[Comment: {comment}]")
        if self.slide.has_notes_slide and (frame := self.slide.notes_slide.notes_text_frame) is not None:
            for paragraph in frame.paragraphs:
                if text := _text(paragraph):
                    yield self._next(f"Notes: {text}")

    def _next(self, text: str, level: int = 0) -> Line:
        self.number += 1
        return Line(text, self.number, self.number, level)

    def _shape(self, shape: Any) -> Iterator[Line]:
        if getattr(shape, "shapes", None) is not None:
            for inner in shape.shapes:
                yield from self._shape(inner)
        elif getattr(shape, "has_table", False):
            yield from self._table(list(shape.table.rows))
        elif getattr(shape, "has_chart", False):
            yield from self._chart(shape.chart)
        elif shape.has_text_frame:
            yield from self._texts(shape)
        elif _local(shape._element) == "graphicFrame":
            yield from self._graphic(shape._element)
        self.findings.left["recording"] += any(_local(one) in _RECORDINGS for one in shape._element.iter())
        if _fill(shape._element):
            yield from self._picture(shape)

    def _texts(self, shape: Any) -> Iterator[Line]:
        place = shape.placeholder_format.type if shape.is_placeholder else None
        if place is not None and place.name in _MARGIN:
            return
        for paragraph in shape.text_frame.paragraphs:
            if text := _text(paragraph):
                listed = place is not None and place.name in ("BODY", "OBJECT")
                yield self._next("  " * paragraph.level + ("- " if listed or paragraph.level else "") + text)

    def _table(self, rows: Iterable[Any]) -> Iterator[Line]:
        cells = [["" if cell.is_spanned else cell.text_frame.text for cell in line.cells] for line in rows]
        yield from self._rows(cells)

    def _rows(self, rows: list[list[str]]) -> Iterator[Line]:
        first = self.number
        self.number += len(rows)
        yield from table([(cells, first + index, first + index) for index, cells in enumerate(rows, start=1)])

    def _chart(self, chart: Any) -> Iterator[Line]:
        """The numbers behind a chart, a row for each category."""
        try:
            plot = chart.plots[0]
            names = [str(one) for one in plot.categories][:_MOST_POINTS]
            series = [(str(one.name or ""), list(one.values)[:_MOST_POINTS]) for one in plot.series]
            title = plain(chart.chart_title.text_frame.text) if chart.has_title and chart.chart_title.has_text_frame else ""
        except Exception:
            self.findings.left["chart"] += 1
            return
        yield self._next(f"[Chart{f': {title}' if title else ''}]")
        rows = [["", *(label for label, _ in series)]]
        for index in range(max((len(values) for _, values in series), default=0)):
            cells = [values[index] if index < len(values) else None for _, values in series]
            rows.append([names[index] if index < len(names) else "", *("" if one is None else f"{one:g}" for one in cells)])
        yield from self._rows(rows)

    def _graphic(self, frame: Any) -> Iterator[Line]:
        """The words of a diagram, which lie in a part of their own; what else a frame may hold is counted."""
        from pptx.oxml import parse_xml

        ids = [
            value for one in frame.iter() if _local(one) == "relIds" for key, value in one.attrib.items() if key.endswith("}dm")
        ]
        related = self.slide.part.rels
        texts = [
            plain(" ".join(node.text or "" for node in paragraph.iter(_A + "t")))
            for one in ids
            if one in related and not related[one].is_external
            for paragraph in parse_xml(related[one].target_part.blob).iter(_A + "p")
        ]
        if not any(texts):
            self.findings.left["embedded object"] += 1
        for text in filter(None, texts):
            yield self._next(f"[Diagram: {text}]")

    def _picture(self, shape: Any) -> Iterator[Line]:
        properties = next((one for one in shape._element.iter() if _local(one) == "cNvPr"), None)
        if properties is not None and (text := described(properties.get("descr", ""))):
            yield self._next(text)
        place = max(1, self.number)
        for relation in _fill(shape._element):
            target = self.slide.part.rels.get(relation)
            if target is None or target.is_external:
                self.findings.left["picture that lies elsewhere"] += 1
                continue
            address = {"member": str(target.target_part.partname).lstrip("/")}
            for line in pictured(address, target.target_part.blob, self.findings, place, place):
                yield replace(line, first=place, last=place)

    def _comments(self) -> Iterator[str]:
        from pptx.oxml import parse_xml

        for relation in self.slide.part.rels.values():
            if not relation.is_external and relation.reltype.endswith("/comments"):
                for one in parse_xml(relation.target_part.blob).iter():
                    if _local(one) in ("text", "t") and (text := plain(one.text or "")):
                        yield text


def _fill(element: Any) -> list[str]:
    """The relations by which a shape names the pictures that it shows itself."""
    if _local(element) == "grpSp":
        return []
    return [
        value
        for one in element.iter(_A + "blip")
        for key, value in one.attrib.items()
        if key.endswith(("}embed", "}link")) and value
    ]


def _text(paragraph: Any) -> str:
    """The text of a paragraph, links in Markdown."""
    pieces = []
    for run in paragraph._p:
        kind = _local(run)
        text = " " if kind == "br" else "".join(node.text or "" for node in run.iter(_A + "t"))
        pieces.append(_linked(run, text, paragraph) if kind == "r" else text)
    return plain("".join(pieces))


def _linked(run: Any, text: str, paragraph: Any) -> str:
    link = next((value for one in run.iter(_A + "hlinkClick") for key, value in one.attrib.items() if key.endswith("}id")), "")
    relation = paragraph.part.rels.get(link) if link else None
    if relation is None or not relation.is_external or relation.target_ref == text:
        return text
    return f"[{text}]({plain(relation.target_ref)[:300]})"


def _local(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
