"""Bytes become text: byte order mark, strict UTF-8, what a file says of itself, and a guess that says it is one."""

from __future__ import annotations

import codecs
import re
import unicodedata
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


#: Bytes at the beginning that tell UTF-16 without a mark; of them the share of characters of which one byte must be 0.
_GLANCE, _ZERO_SHARE = 4096, 0.5
#: Bytes of a sample by whose characters Unicode of other scripts is told, and what stands between words and sentences in all.
_LETTERS, _BETWEEN = 256, " \n\u3000\u3001\u3002\uff0c"
#: How a file says in one of its first two lines what it is encoded in: as Python (PEP 263), Emacs, Vim, XML and CSS have it.
_DECLARED = re.compile(rb"(?:coding[:=]|@charset)[ \t]*[\"']?([A-Za-z][\w.-]{1,39})")
#: Encodings that files are in today. Any other has to be the better guess by so much chaos, in charset-normalizer's measure.
_COMMON_NAMES = """
    big5 big5hkscs cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp437 cp850 cp852 cp866 cp874 cp932 cp949
    cp950 euc_jis_2004 euc_jp euc_kr gb18030 gb2312 gbk iso8859_15 iso8859_2 iso8859_5 iso8859_7 iso8859_8 iso8859_9 johab
    koi8_r koi8_u latin_1 mac_cyrillic shift_jis shift_jis_2004 tis_620
"""
_COMMON = frozenset(_COMMON_NAMES.split())
_RARE_CHAOS = 0.07
#: Bytes of lines beyond ASCII that a guess looks at: where they are rare, it is faster and surer than one about the whole.
_SAMPLE = 65_536
#: Of the lines beyond ASCII so many must be sound UTF-8 for the others to be in another encoding; a few are so by chance.
_MIXED_SHARE = 0.2
#: The encoding of most files that are not in Unicode; how much worse a guess may be, in charset-normalizer's measures, to
#: count as equal; and the share of bytes beyond ASCII up to which what fits no encoding is still a text.
_USUAL, _CHAOS, _COHERENCE, _FOREIGN_SHARE = "cp1252", 0.02, 0.15, 0.3
_BEYOND_ASCII = bytes(range(0x80, 0x100))
_DELIMITERS = "\r\n\t,;"
_PRINTED = bytes({0, *b"\t\n\r\f", *range(0x20, 0x7F)})
#: Kinds of characters that do not stand in a text: controls, surrogates, what has no meaning or a private one.
_NO_TEXT = frozenset(("Cc", "Cs", "Cn", "Co"))
#: Japanese with escapes is ASCII by its bytes.
_ISO_2022 = re.compile(rb"\x1b\$[@B]")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, and how it was decoded where that was not plain UTF-8."""

    text: str
    note: str = ""
    encoding: str = "utf-8"

    @property
    def keeps_ascii(self) -> bool:
        """Whether line ends and delimiters are the bytes that they are in ASCII, and those bytes nothing else."""
        return self.encoding != "iso2022_jp" and _DELIMITERS.encode(self.encoding) == _DELIMITERS.encode()


def decode(data: bytes, *, whole: bool = True) -> Decoded | None:
    r"""The text of a file, line ends as they stand, without its byte order mark; None for what is no text.

    UTF-16 without a mark is told by its zeros: every other byte is one, wherever its text is ASCII; in other scripts, as
    UTF-32 in any, by characters that all exist and have spaces or line ends among them.

    Args:
        data: the file's bytes, or the first of them.
        whole: whether ``data`` is the whole file; if not, the text ends at the last line end in it, if there is one.

    >>> decode(b"na\xc3\xafve\r\n")
    Decoded(text='naïve\r\n', note='', encoding='utf-8')
    >>> decode(b"\x89PNG\r\n\x1a\n\x00\x00") is None
    True
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _marked(data[len(mark) :], encoding, whole)
    if b"\x00" in data:
        return _unmarked(data, whole)
    if len(data) - len(data.translate(None, _CONTROLS)) > _CONTROL_SHARE * len(data):
        return None
    if b"\x1b" in data and _ISO_2022.search(data) and (found := _escaped(data, whole)):
        return found
    try:
        return Decoded(_finished(_decoded(data, "utf-8", "strict", whole), whole))
    except UnicodeDecodeError:
        return _declared(data, whole) or _damaged(data, whole) or _mixed(data, whole) or _guessed(data, whole)


def is_binary(head: bytes) -> bool:
    r"""Whether the first bytes of a file are those of no text, for having zeros that no text has.

    >>> is_binary(b"PK\x03\x04\x00\x00"), is_binary(b"a\x00b\x00\n\x00"), is_binary(b"text")
    (True, False, False)
    """
    return b"\x00" in head and not any(head.startswith(mark) for mark, _ in _MARKS) and not _by_zeros(head)


def _by_zeros(data: bytes) -> str:
    """Which UTF-16 the zeros of some bytes speak for; empty for none."""
    glance = data[: min(_GLANCE, len(data) // 2 * 2)]
    even, odd = glance[::2].count(0), glance[1::2].count(0)
    if not even and odd >= _ZERO_SHARE * len(glance) / 2:
        return "utf-16-le"
    if not odd and even >= _ZERO_SHARE * len(glance) / 2:
        return "utf-16-be"
    return _by_letters(data) if even + odd else ""


def _by_letters(data: bytes) -> str:
    """Which Unicode the characters at the beginning, in the middle and at the end of some bytes speak for; empty for none."""
    last = max(0, len(data) - _LETTERS) // 4 * 4
    samples = [data[at : at + _LETTERS] for at in dict.fromkeys((0, last // 8 * 4, last))]
    is_ascii = not b"".join(samples).translate(None, _PRINTED)  # and zeros, which are no half of a character in UTF-16 then
    between = {
        encoding: sum(map(_words, (_characters(sample, encoding) for sample in samples)))
        for encoding in ("utf-32-le", "utf-32-be", *(() if is_ascii else ("utf-16-le", "utf-16-be")))
        if all(_characters(sample, encoding) for sample in samples)
    }
    return max(between, key=lambda encoding: between[encoding]) if any(between.values()) else ""


def _words(text: str) -> int:
    return sum(map(text.count, _BETWEEN))


def _characters(data: bytes, encoding: str) -> str:
    """The characters of some bytes; empty where they are none that a text has."""
    try:
        text = _decoded(data, encoding, "strict", whole=False)
    except UnicodeDecodeError:
        return ""
    exist = all(letter in "\t\n\r\f\ufeff" or unicodedata.category(letter) not in _NO_TEXT for letter in text)
    return text if exist else ""


def _unmarked(data: bytes, whole: bool) -> Decoded | None:
    encoding = _by_zeros(data)
    if not encoding:
        return None
    try:
        text = _finished(_decoded(data, encoding, "strict", whole), whole)
    except UnicodeDecodeError:
        return None
    controls = len(text) - len(text.translate(dict.fromkeys(_CONTROLS)))
    if controls > _CONTROL_SHARE * len(text):
        return None
    glance = text[:_GLANCE]
    share = sum(letter.isalnum() or letter.isspace() or letter.isascii() for letter in glance) / max(1, len(glance))
    return Decoded(text, f"decoded as {encoding} (a guess without a byte order mark, confidence {share:.0%})", encoding)


def _escaped(data: bytes, whole: bool) -> Decoded | None:
    """Japanese with escapes (ISO-2022-JP)."""
    try:
        text = _decoded(data, "iso2022_jp", "strict", whole)
    except UnicodeDecodeError:
        return None
    return Decoded(_finished(text, whole), "decoded as iso2022_jp by its escapes", "iso2022_jp")


def _marked(data: bytes, encoding: str, whole: bool) -> Decoded:
    note = "" if encoding == "utf-8" else f"decoded as {encoding} by its byte order mark"
    try:
        return Decoded(_finished(_decoded(data, encoding, "strict", whole), whole), note, encoding)
    except UnicodeDecodeError:
        text = _decoded(data, encoding, "replace", whole)
        damaged = text.count("\ufffd")
        note = f"decoded as {encoding} by its byte order mark, {damaged:,} damaged places"
        return Decoded(_finished(text, whole), note, encoding)


def _declared(data: bytes, whole: bool) -> Decoded | None:
    """Text in the encoding that the file names, if that is one of a text and every byte means something in it."""
    found = next(filter(None, map(_DECLARED.search, data[:1024].splitlines()[:2])), None)
    try:
        encoding = codecs.lookup(found[1].decode("ascii")).name.replace("-", "_") if found else ""
        if encoding not in _COMMON and not encoding.startswith(("iso8859", "cp", "koi8", "mac_", "euc_")):
            return None
        text = _finished(_decoded(data, encoding, "strict", whole), whole)
    except (LookupError, UnicodeDecodeError):
        return None
    return Decoded(text, f"decoded as {encoding}, as it says itself", encoding)


def _damaged(data: bytes, whole: bool) -> Decoded | None:
    """UTF-8 with a few bad bytes, which a guess would turn into a wrong encoding throughout."""
    text = _decoded(data, "utf-8", "replace", whole)
    damaged = text.count("\ufffd")
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore")) - damaged
    if beyond_ascii < _SOUND_PER_DAMAGED * damaged:
        return None
    return Decoded(_finished(text, whole), f"decoded as utf-8, {damaged:,} damaged places")


def _mixed(data: bytes, whole: bool) -> Decoded | None:
    """Lines in UTF-8 among lines in another encoding, as when files were put together; each line by its own."""
    lines = (data if whole else data[: _line_end(data) or len(data)]).splitlines(keepends=True)
    sound = [line.isascii() or _is_utf8(line) for line in lines]
    others = [line for line, is_sound in zip(lines, sound, strict=True) if not is_sound]
    telling = sum(not line.isascii() for line in lines)
    guess = _guess(b"".join(others)) if telling - len(others) >= _MIXED_SHARE * telling else None
    if guess is None:
        return None
    texts = [line.decode("utf-8" if good else guess[0], "replace") for line, good in zip(lines, sound, strict=True)]
    note = f"decoded as utf-8, of {telling:,} lines beyond ASCII {len(others):,} as {guess[0]}"
    note += f" (a guess, confidence {guess[1]:.0%})"
    return Decoded("".join(texts), note)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _guessed(data: bytes, whole: bool) -> Decoded | None:
    guess = _guess(data if whole else data[: _line_end(data) or len(data)])
    if guess is None:
        return None
    encoding, confidence = guess
    text = _finished(_decoded(data, encoding, "replace", whole), whole)
    damaged = text.count("\ufffd")
    note = f"decoded as {encoding} (a guess, confidence {confidence:.0%})" + (
        f", {damaged:,} damaged places" if damaged else ""
    )
    return Decoded(text, note, encoding)


def _guess(data: bytes) -> tuple[str, float] | None:
    """An encoding, and how sure that is; None for what is no text in any."""
    from charset_normalizer import from_bytes

    matches = list(from_bytes(_sample(data)))
    if not matches:
        beyond_ascii = len(data) - len(data.translate(None, _BEYOND_ASCII))
        return (_USUAL, 0.0) if beyond_ascii < _FOREIGN_SHARE * len(data) else None
    common = [match for match in matches if _COMMON.intersection(match.could_be_from_charset)]
    if common and min(match.chaos for match in common) <= min(match.chaos for match in matches) + _RARE_CHAOS:
        matches = common
    # Many texts fit several encodings about equally well; then it is the one that most such files are in.
    chaos = min(match.chaos for match in matches)
    likely = [match for match in matches if match.chaos <= chaos + _CHAOS]
    coherence = max(match.coherence for match in likely)
    equal = [match for match in likely if match.coherence >= coherence - _COHERENCE]
    names = [name for match in equal for name in match.could_be_from_charset]
    best = min(equal, key=lambda match: (round(match.chaos, 2), -round(match.coherence, 2)))
    name = next((name for name in best.could_be_from_charset if name in _COMMON), best.encoding)
    return _USUAL if _USUAL in names else name, (1 - best.chaos) / len(equal)


def _sample(data: bytes) -> bytes:
    """What a guess looks at: all of a small text, of a large one its lines with bytes beyond ASCII, up to a bound."""
    if len(data) <= _SAMPLE:
        return data
    telling, size = [], 0
    for line in data.splitlines(keepends=True):
        if not line.isascii():
            telling.append(line)
            size += len(line)
        if size >= _SAMPLE:
            break
    sample = b"".join(telling)[:_SAMPLE]
    # No character of two bytes ends in one of these, so that none is cut in two.
    return sample[: max(sample.rfind(sign) for sign in (b"\n", b"\r", b" ", b",", b";", b'"')) + 1] or sample


def _decoded(data: bytes, encoding: str, errors: str, whole: bool) -> str:
    """Decoded; a character that the end of a part cuts in two is left out."""
    if whole:
        return data.decode(encoding, errors)
    return codecs.getincrementaldecoder(encoding)(errors).decode(data)


def _finished(text: str, whole: bool) -> str:
    return text if whole else text[: max(text.rfind("\n"), text.rfind("\r", 0, len(text) - 1)) + 1] or text


def _line_end(data: bytes) -> int:
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
