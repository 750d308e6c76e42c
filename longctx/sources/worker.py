"""The process in which parsers and decoders run that may crash: ``python -m longctx.sources.worker``.

One request a line comes in, ``{"do": "pdf", "seconds": 120, "file": "/absolute/path.pdf"}``. The replies go out, a JSON object
a line; one with the key ``"bytes"`` is followed by so many raw bytes; the last is ``{"end": true}``. What libraries print is
thrown away. It ends when its input does.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

#: What can be asked for, and the generator that answers: it takes the request's arguments, and yields replies.
TABLE = {
    "pdf": "longctx.sources.pdf.pages:pages",
    "page_frames": "longctx.sources.pictures.pages:frames",
    "page_look": "longctx.sources.pictures.pages:look",
    "picture_probe": "longctx.sources.pictures.pixels:probe",
    "picture_frames": "longctx.sources.pictures.pixels:frames",
    "picture_look": "longctx.sources.pictures.pixels:look",
    "inside_probe": "longctx.sources.pictures.inside:probe",
    "inside_frames": "longctx.sources.pictures.inside:frames",
    "inside_look": "longctx.sources.pictures.inside:look",
    "docx": "longctx.sources.office.docx:blocks",
    "pptx": "longctx.sources.office.pptx:blocks",
    "xlsx": "longctx.sources.office.xlsx:blocks",
    "epub": "longctx.sources.office.epub:blocks",
    "html": "longctx.sources.office.html:blocks",
    "code": "longctx.sources.programs.syntax:definitions",
    "ocr": "longctx.sources.ocr.reader:texts",
    "video_probe": "longctx.sources.video.probe:probe",
    "video_frames": "longctx.sources.video.decode:frames",
    "video_look": "longctx.sources.video.decode:look",
    "video_probe_decord": "longctx.sources.video.with_decord:probe",
    "video_frames_decord": "longctx.sources.video.with_decord:frames",
    "video_look_decord": "longctx.sources.video.with_decord:look",
}
#: Bytes of address space that a parser may take before it is refused more: a decompression bomb must not take the machine.
MEMORY = 8 * 2**30

Reply = Mapping[str, Any]
#: A reply, or a reply with raw bytes that follow it.
Answer = Reply | tuple[Reply, bytes | bytearray | memoryview]


def main() -> None:
    """Answer requests until the input ends."""
    channel = _own_channel()
    _limit_memory()
    _keep_light()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            if other := _other_than_file(request.get("file")):
                _send(channel, {"error": other})
            else:
                for answer in _timed(_function(request.pop("do")), request.pop("seconds"), request):
                    _send(channel, answer)
        except BrokenPipeError:
            return  # nobody listens any more
        except Exception as error:
            # An error that nobody foresaw ends the process, but not without saying which.
            _send(channel, {"failed": f"{type(error).__name__}: {error}"})
            raise
        _send(channel, {"end": True})


def _other_than_file(path: str | None) -> str:
    """What is wrong if no file stands there by now: a pipe would make a parser wait, a link lead it out of the folder."""
    try:
        mode = os.lstat(path).st_mode if path else stat.S_IFREG
    except OSError:
        return ""  # the parser says what is wrong
    return "" if stat.S_ISREG(mode) else "it changed while it was read: it is a file no longer"


def _function(name: str) -> Callable[..., Iterator[Answer]]:
    module, _, function = TABLE[name].partition(":")
    found: Callable[..., Iterator[Answer]] = getattr(importlib.import_module(module), function)
    return found


def _timed(function: Callable[..., Iterator[Answer]], seconds: float, arguments: Mapping[str, Any]) -> Iterator[Answer]:
    """What a function answers; this process ends if one answer takes much too long and no parent is there to see it.

    The time in which an answer waits to be taken does not count.
    """
    answers = iter(function(**arguments))
    while True:
        _alarm(seconds)
        answer = next(answers, None)
        _alarm(0)
        if answer is None:
            return
        yield answer


def _own_channel() -> IO[bytes]:
    """The way to the parent; what else is printed, by Python or by C, goes nowhere (stderr is the parent's to choose)."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return channel


def _send(channel: IO[bytes], answer: Answer) -> None:
    reply, data = answer if isinstance(answer, tuple) else (answer, None)
    if data is not None:
        reply = {**reply, "bytes": memoryview(data).nbytes}
    channel.write(json.dumps(reply).encode("ascii") + b"\n")
    if data is not None:
        channel.write(data)
    channel.flush()


def _alarm(seconds: float) -> None:
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
