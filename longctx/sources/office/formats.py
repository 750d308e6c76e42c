"""Which document a file is, by its name and its first bytes, and what to do with old formats. Opens nothing."""

from __future__ import annotations

from posixpath import splitext

#: The container of Microsoft's formats before 2007, and of today's where they are encrypted.
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP = b"PK\x03\x04"
#: How the name of the stream is written that holds an encrypted document.
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")

#: What a document is called in messages, by its kind.
NAMES = {"docx": "Word document", "pptx": "PowerPoint presentation", "xlsx": "Excel workbook", "epub": "EPUB book"}

_WORD, _SLIDES, _SHEETS = (f"soffice --headless --convert-to {ending} FILE does it, too" for ending in ("docx", "pptx", "xlsx"))
#: What becomes of formats that are not read, by the endings of their names.
_OLD = {
    ".doc .dot .docm .dotx .dotm .odt .ott .fodt .rtf .pages .wps .wpd": f"save it as .docx ({_WORD})",
    ".ppt .pps .pptm .ppsx .ppsm .potx .potm .odp .key": f"save it as .pptx ({_SLIDES})",
    ".xls .xlt .xlsb .ods .numbers": f"save it as .xlsx ({_SHEETS})",
    ".msg": "save it as text or HTML in the mail program",
    ".mobi .azw .azw3 .kfx .djvu .chm": "convert it to EPUB or PDF (Calibre's ebook-convert does)",
}
_CONVERT = {ending: advice for endings, advice in _OLD.items() for ending in endings.split()}
_OLD_HEADS = (OLE, ZIP, b"{\\rtf", b"AT&TFORM", b"ITSF")


class RefusedError(ValueError):
    """A document that is not read, and why. Stays in the worker."""


def unread_format(path: str, head: bytes) -> str:
    r"""Why a document of a format that is not read is left out, and what to convert it to; empty for every other file.

    Args:
        path: as it is cited.
        head: the first bytes of the file; a text under such a name stays a text.

    >>> unread_format("old.doc", OLE)
    '.doc is not read: save it as .docx (soffice --headless --convert-to docx FILE does it, too)'
    >>> unread_format("server.key", b"-----BEGIN"), unread_format("notes.doc", b"Dear reader")
    ('', '')
    """
    ending = splitext(path)[1].lower()
    known = head.startswith(_OLD_HEADS) or b"BOOKMOBI" in head[:80]
    return f"{ending} is not read: {_CONVERT[ending]}" if known and ending in _CONVERT else ""


def wrong_beginning(kind: str, head: bytes, size: int, *, encrypted: bool) -> str:
    r"""Why a file cannot be the document that its name says; empty where it may be.

    Args:
        kind: one of :data:`NAMES`.
        head: the first bytes of the file.
        size: bytes of the file.
        encrypted: whether it holds :data:`ENCRYPTED`.

    >>> wrong_beginning("docx", b"%!PS", 400, encrypted=False)
    "not a Word document: it begins with b'%!PS'"
    """
    if not size:
        return f"not a {NAMES[kind]}: the file is empty"
    if head.startswith(OLE) and encrypted:
        return "encrypted: it opens with a password only; save it without one"
    if head.startswith(OLE):
        return f"not a .{kind}: a document of an older Office under this name; save it as .{kind}"
    return "" if head.startswith(ZIP) else f"not a {NAMES[kind]}: it begins with {head[:12]!r}"
