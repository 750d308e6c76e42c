"""Foreign text made safe to show: nothing in it can act, hide or turn the line around.

Everything that comes from a source, a model or a file name passes through here before it is shown. Control characters (an
escape sequence would steer a terminal), marks that reorder or hide text, and bytes of names that are not UTF-8 become visible.
"""

from __future__ import annotations

import html
import re

#: C0 but tab and newline, DEL and C1, marks of direction, invisible marks, lone surrogates, tag characters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_CONTROL_PICTURES = 0x2400


def visible(text: str) -> str:
    r"""The text with every character that acts or hides replaced by one that shows; tabs and newlines stay.

    >>> visible("a\x1b[2Kb"), visible("caf\udce9.txt"), visible("x\u202ey")
    ('a␛[2Kb', 'caf\\xe9.txt', 'x‹U+202E›y')
    """
    return _UNSEEN.sub(lambda found: _picture(ord(found[0])), text)


def _picture(code: int) -> str:
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    if code == 0x7F:
        return "␡"
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"‹U+{code:04X}›"


def oneline(text: str) -> str:
    r"""Visible text on one line.

    >>> oneline("two\nlines\tand more")
    'two lines and more'
    """
    return visible(re.sub(r"\s*[\r\n\t]+\s*", " ", text)).strip()


def escape(text: str) -> str:
    """Visible text as HTML, for content and for attribute values.

    >>> escape('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(visible(text), quote=True)
