"""Bytes become text: byte order mark, strict UTF-8, and a guess that says it is one."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

#: UTF-32 before UTF-16, whose mark is the beginning of UTF-32's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\v\f\r\b\x1b"))
#: Above this share of control bytes a file is no text, whatever encoding would accept it.
_CONTROL_SHARE = 0.05
#: Damaged UTF-8 is still UTF-8 when so many of its characters beyond ASCII are sound for one that is not.
_SOUND_PER_DAMAGED = 10


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, and how it was decoded where that was not plain UTF-8."""

    text: str
    note: str = ""


def decode(data: bytes, *, whole: bool = True) -> Decoded | None:
    r"""The text of a file, line ends as they stand, without its byte order mark; None for what is no text.

    Args:
        data: the file's bytes, or the first of them.
        whole: whether ``data`` is the whole file; if not, the text ends at the last line end in it, if there is one.

    >>> decode(b"na\xc3\xafve\r\n")
    Decoded(text='naïve\r\n', note='')
    >>> decode(b"\x89PNG\r\n\x1a\n\x00\x00") is None
    True
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _marked(data[len(mark) :], encoding, whole)
    if b"\x00" in data or len(data) - len(data.translate(None, _CONTROLS)) > _CONTROL_SHARE * len(data):
        return None
    try:
        return Decoded(_finished(_decoded(data, "utf-8", "strict", whole), whole))
    except UnicodeDecodeError:
        return _damaged(data, whole) or _guessed(data, whole)


def _marked(data: bytes, encoding: str, whole: bool) -> Decoded:
    text = _decoded(data, encoding, "replace", whole)
    damaged = text.count("\ufffd")
    try:
        _decoded(data, encoding, "strict", whole)
    except UnicodeDecodeError:
        return Decoded(_finished(text, whole), f"decoded as {encoding} by its byte order mark, {damaged:,} damaged places")
    return Decoded(_finished(text, whole), "" if encoding == "utf-8" else f"decoded as {encoding} by its byte order mark")


def _damaged(data: bytes, whole: bool) -> Decoded | None:
    """UTF-8 with a few bad bytes, which a guess would turn into a wrong encoding throughout."""
    text = _decoded(data, "utf-8", "replace", whole)
    damaged = text.count("\ufffd")
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore")) - damaged
    if beyond_ascii < _SOUND_PER_DAMAGED * damaged:
        return None
    return Decoded(_finished(text, whole), f"decoded as utf-8, {damaged:,} damaged places")


def _guessed(data: bytes, whole: bool) -> Decoded | None:
    from charset_normalizer import from_bytes

    matches = list(from_bytes(data if whole else data[: _line_end(data) or len(data)]))
    if not matches:
        return None
    # Many short texts fit several encodings equally well; then the one that most such files are in.
    best = min((round(match.chaos, 2), -round(match.coherence, 2)) for match in matches)
    equal = [match for match in matches if (round(match.chaos, 2), -round(match.coherence, 2)) == best]
    names = [name for match in equal for name in match.could_be_from_charset]
    encoding = "cp1252" if "cp1252" in names else equal[0].encoding
    confidence = (1 - equal[0].chaos) / len(equal)
    text = _finished(_decoded(data, encoding, "replace", whole), whole)
    return Decoded(text, f"decoded as {encoding} (a guess, confidence {confidence:.0%})")


def _decoded(data: bytes, encoding: str, errors: str, whole: bool) -> str:
    """Decoded; a character that the end of a part cuts in two is left out."""
    return codecs.getincrementaldecoder(encoding)(errors).decode(data, final=whole)


def _finished(text: str, whole: bool) -> str:
    return text if whole else text[: max(text.rfind("\n"), text.rfind("\r", 0, len(text) - 1)) + 1] or text


def _line_end(data: bytes) -> int:
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
