"""The process in which parsers run that may crash: ``python -m longctx.sources.worker``.

One JSON object a line comes in, ``{"pdf": "/absolute/path.pdf", "seconds": 600}``; the replies of its parser go out, one a
line, then ``{"end": true}``. What libraries print is thrown away. It ends when its input does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from types import TracebackType
from typing import IO, Any

#: Bytes of address space that a parser may take before it is refused more: a decompression bomb must not take the machine.
MEMORY = 8 * 2**30


def main() -> None:
    """Answer requests until the input ends."""
    replies = _own_channel()
    sys.excepthook = lambda kind, error, trace: _last_words(replies, kind, error, trace)
    _limit_memory()
    _keep_light()
    from longctx.sources.pdf import pages

    for line in sys.stdin.buffer:
        request = json.loads(line)
        _alarm(request["seconds"])
        for reply in pages(request["pdf"]):
            _send(replies, reply)
        _send(replies, {"end": True})
        _alarm(0)


def _own_channel() -> IO[str]:
    """The way to the parent; what else is printed, by Python or by C, goes nowhere (stderr is the parent's to choose)."""
    channel = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return channel


def _send(channel: IO[str], reply: Any) -> None:
    channel.write(json.dumps(reply) + "\n")
    channel.flush()


def _last_words(channel: IO[str], kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An error that nobody foresaw ends the process, but not without saying which."""
    _send(channel, {"error": f"the PDF reader failed: {kind.__name__}: {error}"})


def _alarm(seconds: float) -> None:
    """End this process if a file takes much too long and the parent is no longer there to do it."""
    if hasattr(signal, "alarm"):
        signal.alarm(int(seconds))


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _keep_light() -> None:
    """PyMuPDF imports its layout analysis, and with it onnxruntime, where it finds them; text needs neither."""
    sys.modules.setdefault("pymupdf.layout", None)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
