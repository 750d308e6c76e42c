"""Turns and what belongs to them as JSON values, and back: every field is read with care, for a file may come from anywhere."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from longctx.citations import Citation
from longctx.corpus import Box, Lines, Moment, Origin, Page, origin_json
from longctx.outcomes import Outcome, Usage

#: Whole numbers beyond this are no count of anything.
MOST = 1 << 53


#: A list of numbers over lines, such as token ids; no text holds a newline, which JSON escapes.
_NUMBERS = re.compile(r"\[\n *-?\d[^\[\]{}\"]*\]")


class MalformedError(ValueError):
    """A field is missing, or is not what it should be; the message names it."""


@dataclass(frozen=True)
class SourceRead:
    """A source of the corpus with which a conversation was: its path as it is cited, its kind, bytes and sha256."""

    path: str
    kind: str = ""
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Turn:
    """A question and what came of it.

    Args:
        question: as the user asked it.
        outcome: all that is known of the answer.
        options: with which it was asked, by the names of :meth:`longctx.Session.ask`; a follow-up takes them over.
    """

    question: str
    outcome: Outcome
    options: Mapping[str, Any] = field(default_factory=dict)


class Record:
    """An object of a JSON file whose fields are checked as they are read.

    Args:
        value: from the file.
        where: what it is, in words.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise MalformedError(f"{where} is no object")
        self._value: dict[str, Any] = value
        self.where = where

    def has(self, key: str) -> bool:
        """Whether a field is there and is not null."""
        return self._value.get(key) is not None

    def text(self, key: str) -> str:
        """A text."""
        return str(self._get(key, str, "text"))

    def flag(self, key: str) -> bool:
        """True or false."""
        return bool(self._get(key, bool, "true or false"))

    def whole(self, key: str, least: int = 0, most: int = MOST) -> int:
        """A whole number, neither too small nor too large."""
        number = self._get(key, int, "whole number")
        if isinstance(number, bool) or not least <= number <= most:
            raise self._wrong(key, f"whole number from {least}")
        return int(number)

    def number(self, key: str) -> float:
        """A number, neither endless nor below zero."""
        number: float = self._get(key, (int, float), "number")
        if isinstance(number, bool) or not 0 <= number <= MOST:
            raise self._wrong(key, "number")
        return number

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(self._list(key, lambda item: isinstance(item, str), "texts"))

    def wholes(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers from 0 on."""
        return tuple(self._list(key, lambda item: type(item) is int and 0 <= item < MOST, "whole numbers"))

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of numbers."""
        return tuple(self._list(key, lambda item: type(item) in (int, float) and math.isfinite(item), "numbers"))

    def records(self, key: str) -> list[Record]:
        """A list of objects."""
        items = self._get(key, list, "list")
        return [Record(item, f"{key}[{number}]") for number, item in enumerate(items)]

    def record(self, key: str) -> Record:
        """An object."""
        return Record(self._get(key, dict, "object"), key)

    def plain(self) -> dict[str, Any]:
        """All fields; none of them may hold others."""
        for key, value in self._value.items():
            if isinstance(value, dict | list) or (isinstance(value, float) and not math.isfinite(value)):
                raise self._wrong(key, "plain value")
        return dict(self._value)

    def wholes_by_name(self) -> dict[str, int]:
        """All fields, each a whole number."""
        return {key: self.whole(key) for key in self._value}

    def _list(self, key: str, good: Any, what: str) -> list[Any]:
        items: list[Any] = self._get(key, list, f"list of {what}")
        if not all(map(good, items)):
            raise self._wrong(key, f"list of {what}")
        return items

    def _get(self, key: str, kind: type | tuple[type, ...], what: str) -> Any:
        value = self._value.get(key)
        if not isinstance(value, kind):
            raise self._wrong(key, what)
        return value

    def _wrong(self, key: str, what: str) -> MalformedError:
        shown = repr(self._value[key])[:60] if key in self._value else "missing"
        return MalformedError(f"{key!r} of {self.where} is {shown}, no {what}")


def encoded(value: Mapping[str, Any]) -> bytes:
    """JSON in UTF-8. Bytes of file names that are no UTF-8 stand as escapes, which JSON reads back."""
    text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
    text = _NUMBERS.sub(lambda found: "".join(found[0].split()).replace(",", ", "), text)
    return (text + "\n").encode("utf-8", "backslashreplace")


# -- turns -------------------------------------------------------------------------------------------------------------
def turn_json(turn: Turn) -> dict[str, Any]:
    """A turn; what differed when it was reopened is not kept."""
    outcome = turn.outcome
    return {
        "question": turn.question,
        "answer": outcome.text,
        "reasoning": outcome.reasoning,
        "stopped": outcome.stopped,
        "citations": [citation_json(citation) for citation in outcome.citations],
        "unsupported": list(outcome.unsupported),
        "left_out": [dict(row) for row in outcome.left_out],
        "usage": asdict(outcome.usage),
        "memory": dict(outcome.memory),
        "notes": list(outcome.notes),
        "options": dict(turn.options),
        "ids": list(outcome.ids),
    }


def turn(record: Record) -> Turn:
    """The turn in an object.

    Raises:
        MalformedError: a field is missing, or is not what it should be.
    """
    outcome = Outcome(
        text=record.text("answer"),
        reasoning=record.text("reasoning"),
        stopped=record.flag("stopped"),
        citations=tuple(citation(place) for place in record.records("citations")),
        unsupported=record.texts("unsupported"),
        left_out=tuple(_left_out(row) for row in record.records("left_out")),
        usage=_usage(record.record("usage")),
        memory=record.record("memory").wholes_by_name(),
        notes=record.texts("notes"),
        ids=record.wholes("ids"),
    )
    question = record.text("question")
    if not question.strip():
        raise MalformedError(f"'question' of {record.where} is empty")
    return Turn(question, outcome, _options(record.record("options")))


def _left_out(row: Record) -> dict[str, Any]:
    row.text("path")
    if row.has("tokens"):
        row.whole("tokens")
    if row.has("reason"):
        row.text("reason")
    return row.plain()


def _usage(record: Record) -> Usage:
    return Usage(
        prompt_tokens=record.whole("prompt_tokens"),
        reused_tokens=record.whole("reused_tokens"),
        reused_from=record.text("reused_from"),
        miss_reason=record.text("miss_reason"),
        new_tokens=record.whole("new_tokens"),
        seconds_to_first_token=record.number("seconds_to_first_token"),
        decode_tokens_per_s=record.number("decode_tokens_per_s"),
        guessed_tokens=record.whole("guessed_tokens"),
        accepted_tokens=record.whole("accepted_tokens"),
    )


def _options(record: Record) -> dict[str, Any]:
    """Those that are there and known; values out of range are refused where they are used."""
    readers: dict[str, Any] = {
        "thinking": record.flag,
        "lookup": record.flag,
        "temperature": record.number,
        "top_p": record.number,
        "top_k": record.whole,
        "max_tokens": record.whole,
        "seed": lambda key: record.whole(key, -(1 << 64), 1 << 64),
    }
    return {key: reader(key) for key, reader in readers.items() if record.has(key)}


# -- citations and sources -----------------------------------------------------------------------------------------------
def citation_json(place: Citation) -> dict[str, Any]:
    """A citation, with everything that is known of its place."""
    return {
        "number": place.number,
        "segment": place.segment,
        "origin": None if place.origin is None else _origin_json(place.origin),
        "quote": place.quote,
        "verified": place.verified,
        "basis": place.basis,
        "note": place.note,
        "lost": place.lost,
    }


def citation(record: Record) -> Citation:
    """The citation in an object.

    Raises:
        MalformedError: a field is missing, or is not what it should be.
    """
    basis: Literal["cited", "matched"] = "matched" if record.text("basis") == "matched" else "cited"
    return Citation(
        number=record.whole("number"),
        segment=record.whole("segment"),
        origin=_origin(record.record("origin")) if record.has("origin") else None,
        quote=record.text("quote"),
        verified=record.flag("verified"),
        basis=basis,
        note=record.text("note"),
        lost=record.text("lost"),
    )


def _origin_json(origin: Origin) -> dict[str, Any]:
    page = {"label": origin.label, "picture": origin.picture} if isinstance(origin, Page) else {}
    return {**{key: value for key, value in origin_json(origin).items() if value is not None}, **page}


def _origin(record: Record) -> Origin:
    path = record.text("path")
    if record.has("page"):
        label = record.text("label") if record.has("label") else None
        return Page(path, record.whole("page"), _box(record), label, record.flag("picture"))
    if record.has("start"):
        return Moment(path, record.number("start"), record.number("end"))
    cell = record.whole("cell") if record.has("cell") else None
    first = record.whole("first_line", 1)
    part = record.text("part") if record.has("part") else ""
    unit = record.text("unit") if record.has("unit") else "line"
    return Lines(path, first, record.whole("last_line", first), cell, part, unit)


def _box(record: Record) -> Box | None:
    if not record.has("box"):
        return None
    x0, y0, x1, y1 = _four(record.numbers("box"), record)
    return (x0, y0, x1, y1)


def _four(numbers: Sequence[float], record: Record) -> Sequence[float]:
    if len(numbers) != 4:
        raise MalformedError(f"'box' of {record.where} has {len(numbers)} numbers, no 4")
    return numbers


def source_json(source_: SourceRead) -> dict[str, Any]:
    """A source."""
    return asdict(source_)


def source(record: Record) -> SourceRead:
    """The source in an object.

    Raises:
        MalformedError: a field is missing, or is not what it should be.
    """
    return SourceRead(record.text("path"), record.text("kind"), record.whole("size"), record.text("sha256"))
